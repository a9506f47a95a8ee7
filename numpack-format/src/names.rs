//! Names of arrays and the files they go to.

use sha2::{Digest, Sha256};
use std::borrow::Cow;
use std::collections::hash_map::RandomState;
use std::fmt::Write;
use std::hash::BuildHasher;
use std::sync::Arc;

/// The longest name of a data file this crate makes, in bytes.
const MAX_FILE_NAME: usize = 200;
/// The longest name a file system takes, in bytes.
pub(crate) const MAX_COMPONENT: usize = 255;
/// All auxiliary files begin so. None matches `data_*` or ends in `.npkd`, `.npkb` or `.npkseg`,
/// which other programs pack or delete.
pub(crate) const OWN_PREFIX: &str = "libnumpack.";

/// Whether a path from a file is relative and stays inside the store; if not, why.
pub(crate) fn check_relative(path: &str) -> Result<(), &'static str> {
    if path.is_empty() {
        return Err("is empty");
    }
    if path.starts_with('/') {
        return Err("is absolute; it must lie inside the store");
    }
    // In one pass over the bytes: there are as many paths as arrays.
    let mut start = 0;
    let bytes = path.as_bytes();
    for end in 0..=bytes.len() {
        match bytes.get(end) {
            Some(0) => return Err("contains a NUL byte"),
            Some(b'/') | None => {
                if matches!(&bytes[start..end], b"" | b"." | b"..") {
                    return Err(
                        "has an empty, \".\" or \"..\" component; it must lie inside the store",
                    );
                }
                if end - start > MAX_COMPONENT {
                    return Err("is longer than a file name can be");
                }
                start = end + 1;
            }
            Some(_) => {}
        }
    }
    let own = path
        .as_bytes()
        .get(..OWN_PREFIX.len())
        .is_some_and(|p| p.eq_ignore_ascii_case(OWN_PREFIX.as_bytes()));
    if own || path.eq_ignore_ascii_case(crate::metadata::FILE) {
        return Err("is reserved");
    }
    Ok(())
}

/// The `n`-th choice of a data file for an array: its name where a file name can spell it, with
/// `/`, NUL and `%` escaped where it cannot, a hash where it is too long; `~n` after the first.
pub(crate) fn data_file(name: &str, n: u32) -> String {
    let spelled: Cow<'_, str> = if name.contains(['/', '\0']) {
        Cow::Owned(name.replace('%', "%25").replace('/', "%2F").replace('\0', "%00"))
    } else {
        Cow::Borrowed(name)
    };
    let base = if "data_.npkd".len() + spelled.len() > MAX_FILE_NAME {
        let mut hex = String::with_capacity(32);
        for b in Sha256::digest(name.as_bytes()).iter().take(16) {
            let _ = write!(hex, "{b:02x}");
        }
        Cow::Owned(hex)
    } else {
        spelled
    };
    if n == 0 { format!("data_{base}.npkd") } else { format!("data_{base}~{n}.npkd") }
}

/// Which choice of a data file for an array a file is, `None` if it is none.
pub(crate) fn choice(name: &str, file: &str) -> Option<u32> {
    if file == data_file(name, 0) {
        return Some(0);
    }
    let n = file.strip_suffix(".npkd")?.rsplit_once('~')?.1.parse().ok()?;
    (n > 0 && file == data_file(name, n)).then_some(n)
}

/// The list of an array's segments, as the public package names it.
pub(crate) fn segment_list(name: &str) -> String {
    format!("data_{name}.npkseg")
}

/// Whether a file may be the bitmap of an array.
pub(crate) fn is_bitmap_file(file: &str) -> bool {
    file.starts_with("deleted_") && file.ends_with(".npkb") && !file.contains('/')
}

/// Whether a folder holds the segments of an array.
pub(crate) fn is_segment_folder(folder: &str) -> bool {
    folder.starts_with("data_") && folder.ends_with("_segments") && !folder.contains('/')
}

/// The bitmap of an array's dropped rows, or `None` if its name has no such file.
pub(crate) fn bitmap_file(name: &str) -> Option<String> {
    let fits = !name.contains(['/', '\0']) && name.len() + "deleted_.npkb".len() <= MAX_COMPONENT;
    fits.then(|| format!("deleted_{name}.npkb"))
}

/// Names that differ by case only are one on some file systems.
pub(crate) fn fold(name: &str) -> String {
    if name.is_ascii() { name.to_ascii_lowercase() } else { name.to_lowercase() }
}

/// Finds positions in a list by name without a second copy of the names. A copy is cheap.
#[derive(Clone, Debug, Default)]
pub(crate) struct NameIndex {
    hasher: RandomState,
    /// Open addressing, a power of two slots, at most half of them taken: position plus one, or 0
    /// if free, and some bits of the name's hash.
    slots: Arc<Vec<(u32, u32)>>,
}

impl NameIndex {
    /// The index of `n` names, or the position of the first that is there twice.
    pub(crate) fn build<'a>(n: usize, name: impl Fn(usize) -> &'a str) -> Result<NameIndex, usize> {
        let mut slots = vec![(0, 0); (n * 2).next_power_of_two()];
        let hasher = RandomState::new();
        for i in 0..n {
            let hash = hasher.hash_one(name(i));
            let slot = probe(&slots, hash, name(i), &name);
            if slots[slot].0 != 0 {
                return Err(i);
            }
            slots[slot] = (i as u32 + 1, (hash >> 32) as u32);
        }
        Ok(NameIndex { hasher, slots: Arc::new(slots) })
    }

    /// The position of a name; `name` gives the name at a position.
    pub(crate) fn find<'a>(&self, wanted: &str, name: impl Fn(usize) -> &'a str) -> Option<usize> {
        if self.slots.is_empty() {
            return None;
        }
        let slot = probe(&self.slots, self.hasher.hash_one(wanted), wanted, &name);
        (self.slots[slot].0 as usize).checked_sub(1)
    }
}

/// The slot of a name, or the free one where it would go.
fn probe<'a>(
    slots: &[(u32, u32)],
    hash: u64,
    wanted: &str,
    name: &impl Fn(usize) -> &'a str,
) -> usize {
    let mask = slots.len() - 1;
    let mut slot = hash as usize & mask;
    loop {
        let (position, bits) = slots[slot];
        let here = bits == (hash >> 32) as u32;
        if position == 0 || (here && name(position as usize - 1) == wanted) {
            return slot;
        }
        slot = (slot + 1) & mask;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_names() {
        assert_eq!(data_file("w", 0), "data_w.npkd");
        assert_eq!(data_file("", 2), "data_~2.npkd");
        assert_eq!(data_file("a%b", 0), "data_a%b.npkd");
        assert_eq!(data_file("a/b%\0", 0), "data_a%2Fb%25%00.npkd");
        assert_eq!(data_file(&"x".repeat(190), 0).len(), 200);
        assert_eq!(data_file(&"x".repeat(191), 0).len(), 42);
        assert_eq!(bitmap_file("a/b"), None);
    }

    #[test]
    fn paths_stay_inside() {
        for good in ["data_a.npkd", "data_...npkd", "seg/x", "a\\b", "..."] {
            assert_eq!(check_relative(good), Ok(()), "{good}");
        }
        for bad in [
            "",
            "/etc/x",
            "..",
            "../x",
            "a/../../x",
            "a//b",
            "./x",
            "a\0b",
            "metadata.npkm",
            "libnumpack.redo",
            "LibNumPack.stage/1.new",
        ] {
            assert!(check_relative(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn index_finds_and_refuses_twins() {
        let names = ["a", "b", "", "c"];
        let index = NameIndex::build(4, |i| names[i]).unwrap();
        assert_eq!(index.find("", |i| names[i]), Some(2));
        assert_eq!(index.find("d", |i| names[i]), None);
        assert_eq!(NameIndex::build(3, |i| ["a", "b", "a"][i]).unwrap_err(), 2);
        assert_eq!(NameIndex::default().find("a", |_| ""), None);
    }
}
