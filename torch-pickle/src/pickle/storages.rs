//! Which storage a key means.

use crate::Storage;
use crate::StorageId;
use crate::table::{Hasher, IdTable};

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
    pub(super) fn find(&self, storages: &[Storage], key: &str) -> Option<StorageId> {
        let found = match &self.index {
            None => number(key).filter(|&n| (n as usize) < storages.len()),
            Some((hasher, table)) => {
                table.find(hasher.hash(key.as_bytes()), |i| &*storages[i as usize].key == key)
            }
        };
        found.map(StorageId)
    }

    /// Takes note of the last of the storages, whose key must be a new one.
    pub(super) fn added(&mut self, storages: &[Storage]) {
        let Some(last) = storages.len().checked_sub(1) else { return };
        match &mut self.index {
            None if number(&storages[last].key) == Some(last as u32) => {}
            None => {
                let (hasher, mut table) = (Hasher::default(), IdTable::default());
                for (i, storage) in storages.iter().enumerate() {
                    table.insert(hasher.hash(storage.key.as_bytes()), i as u32);
                }
                self.index = Some((hasher, table));
            }
            Some((hasher, table)) => {
                table.insert(hasher.hash(storages[last].key.as_bytes()), last as u32);
            }
        }
    }
}

/// The number that a key is the shortest decimal text of.
fn number(key: &str) -> Option<u32> {
    let digits = key.as_bytes();
    if digits.len() > 9 || (digits.first() == Some(&b'0') && digits.len() > 1) {
        return None;
    }
    let mut n = 0;
    for d in digits {
        n = n * 10 + char::from(*d).to_digit(10)?;
    }
    (!digits.is_empty()).then_some(n)
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
                assert_eq!(known.find(&storages, key), None, "{key} of {keys:?}");
                let dtype = StorageType::Typed(DType::Int8);
                let key = (*key).into();
                storages.push(Storage { key, dtype, location: "cpu".into(), numel: 1 });
                known.added(&storages);
            }
            for (i, key) in keys.iter().enumerate() {
                assert_eq!(known.find(&storages, key), Some(StorageId(i as u32)));
            }
            assert_eq!(known.find(&storages, "9"), None);
            assert_eq!(known.find(&storages, "00"), None);
        }
    }
}
