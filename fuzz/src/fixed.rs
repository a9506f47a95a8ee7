//! A store that is sound but for one file.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use numpack_format::{Fault, Result, Store};

use crate::Scratch;

/// Larger arrays are not read: their bytes are not in the file that is made up.
const MAX_ARRAY: u64 = 1 << 20;

/// The metadata of two `uint8` arrays, `a` and `b`, the first in `data_file`.
fn metadata(rows: u64, data_file: &str) -> Vec<u8> {
    let text = |s: &str| [&(s.len() as u32).to_le_bytes(), s.as_bytes()].concat();
    let record = |name: &str, rows: u64, file: &str| {
        let mut out = [text(name), 1u32.to_le_bytes().to_vec()].concat();
        out.extend(rows.to_le_bytes());
        out.extend(text(file));
        out.extend([7, rows].map(u64::to_le_bytes).concat());
        out.push(1);
        out.extend([0; 22]);
        out
    };
    let mut out = b"NPKB\x01\0\0\0".to_vec();
    out.extend((rows + 8).to_le_bytes());
    out.extend(2u32.to_le_bytes());
    out.extend(record("a", rows, data_file));
    out.extend(record("b", 8, "data_b.npkd"));
    out
}

/// A folder for such a store.
#[derive(Debug)]
pub struct Fixed {
    scratch: Scratch,
}

impl Default for Fixed {
    fn default() -> Fixed {
        Fixed { scratch: Scratch::new() }
    }
}

impl Fixed {
    /// Makes the store anew: `uint8` arrays `a` of so many rows and `b` of 8, numbered from 0, a
    /// segment of 64 bytes, a staged file of 32, and one more file, of the metadata's making.
    ///
    /// # Panics
    /// When the folder cannot be written.
    pub fn store(
        &self,
        rows: u64,
        data_file: &str,
        more: (&str, &dyn Fn(&[u8]) -> Vec<u8>),
    ) -> PathBuf {
        let store = self.scratch.path("store.npk");
        if store.exists() {
            fs::remove_dir_all(&store).expect("a folder can be removed");
        }
        let numbers = |n: u64| (0..n).map(|i| i as u8).collect::<Vec<u8>>();
        let metadata = metadata(rows, data_file);
        let files = [
            ("metadata.npkm", metadata.clone()),
            ("data_a.npkd", numbers(rows)),
            ("data_b.npkd", numbers(8)),
            ("data_a_segments/seg_000000.npkd", numbers(64)),
            ("libnumpack.stage/0.new", numbers(32)),
            (more.0, more.1(&metadata)),
        ];
        for (name, bytes) in files {
            let file = store.join(name);
            fs::create_dir_all(file.parent().expect("in a folder")).expect("a folder can be made");
            fs::write(file, bytes).expect("a file can be written");
        }
        store
    }
}

/// Every file below a folder, and its bytes.
fn snapshot(store: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![store.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder can be read").flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.insert(path.clone(), fs::read(&path).expect("a file can be read"));
            }
        }
    }
    found
}

/// Checks a store and reads every array of it.
///
/// # Errors
/// The first that a reader meets.
///
/// # Panics
/// When reading writes, or what was found sound cannot be read.
pub fn read_all(path: &Path) -> Result<BTreeMap<String, (Vec<u64>, Vec<u8>)>> {
    let before = snapshot(path);
    let sound = Store::verify(path).is_ok_and(|faults| faults.iter().all(Fault::is_notice));
    let read = read_arrays(path);
    assert!(read.is_ok() || !sound, "{read:?} in a sound store");
    assert!(before == snapshot(path), "a reader wrote");
    read
}

fn read_arrays(path: &Path) -> Result<BTreeMap<String, (Vec<u64>, Vec<u8>)>> {
    let store = Store::open_listed(path)?;
    let mut arrays = BTreeMap::new();
    for info in store.arrays()? {
        let array = store.array(&info.name)?;
        assert_eq!(array.nbytes(), info.nbytes());
        let mut bytes =
            vec![0; if array.nbytes() > MAX_ARRAY { 0 } else { array.nbytes() as usize }];
        if array.nbytes() <= MAX_ARRAY {
            array.read_into(&mut bytes)?;
        }
        arrays.insert(info.name.clone(), (info.shape.clone(), bytes));
    }
    Ok(arrays)
}
