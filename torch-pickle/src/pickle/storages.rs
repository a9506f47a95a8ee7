//! Which storage a key means.

use crate::table::{Hasher, IdTable};
use crate::{Storage, StorageId, StorageKey};

/// The storages by their keys.
///
/// Torch numbers the storages as it meets them, so that the key of each is its place. As long as a
/// pickle does so no index is needed.
#[derive(Default)]
pub(super) struct StorageKeys {
    /// Made at the first key that is not its storage's place.
    index: Option<(Hasher, IdTable)>,
}

impl StorageKeys {
    /// The storage with this key.
    pub(super) fn find(&self, storages: &[Storage], key: &StorageKey) -> Option<StorageId> {
        let found = match &self.index {
            None => key.number().filter(|&n| (n as usize) < storages.len()),
            Some((hasher, table)) => {
                table.find(hash(hasher, key), |i| storages[i as usize].key == *key)
            }
        };
        found.map(StorageId)
    }

    /// Takes note of the last of the storages, whose key must be a new one.
    pub(super) fn added(&mut self, storages: &[Storage]) {
        let Some(last) = storages.len().checked_sub(1) else { return };
        match &mut self.index {
            None if storages[last].key.number() == Some(last as u32) => {}
            None => {
                let (hasher, mut table) = (Hasher::default(), IdTable::default());
                for (i, storage) in storages.iter().enumerate() {
                    table.insert(hash(&hasher, &storage.key), i as u32);
                }
                self.index = Some((hasher, table));
            }
            Some((hasher, table)) => {
                table.insert(hash(hasher, &storages[last].key), last as u32);
            }
        }
    }
}

fn hash(hasher: &Hasher, key: &StorageKey) -> u64 {
    match key.number() {
        Some(n) => hasher.hash(&n.to_le_bytes()),
        None => hasher.hash(key.text().unwrap_or_default().as_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DType, StorageType};

    #[test]
    fn each_key_means_one_storage_whatever_the_order() {
        let orders: [&[&str]; 4] = [
            &["0", "1", "2", "3"],
            &["0", "1", "01", "2", "3"],
            &["5", "0", "", "1", "a"],
            &["0", "1", "3", "2", "+2", "0x1", "4294967296"],
        ];
        for keys in orders {
            let mut known = StorageKeys::default();
            let mut storages = Vec::new();
            for key in keys {
                let key = StorageKey::from(*key);
                assert_eq!(known.find(&storages, &key), None, "{key} of {keys:?}");
                let dtype = StorageType::Typed(DType::Int8);
                storages.push(Storage { key, dtype, location: "cpu".into(), numel: 1 });
                known.added(&storages);
            }
            for (i, key) in keys.iter().enumerate() {
                assert_eq!(known.find(&storages, &(*key).into()), Some(StorageId(i as u32)));
            }
            assert_eq!(known.find(&storages, &"9".into()), None);
            assert_eq!(known.find(&storages, &"00".into()), None);
        }
    }
}
