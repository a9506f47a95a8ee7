//! The files of a store, cut from one input: see `StoreInput`.
//!
//! Opening, checking and reading never panic and write nothing; and a store in which nothing is
//! found wrong gives each of its arrays.

#![no_main]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use numpack_format::{Fault, Store};
use numpack_fuzz::{Scratch, StoreInput};

const MAX_ARRAY: u64 = 1 << 20;

/// A store's folder with what no input makes: a segment and a staged file.
static FOLDER: LazyLock<(Scratch, PathBuf)> = LazyLock::new(|| {
    let scratch = Scratch::new();
    let store = scratch.path("store.npk");
    for (folder, file, len) in
        [("data_a_segments", "seg_000000.npkd", 64), ("libnumpack.stage", "0.new", 32)]
    {
        let folder = store.join(folder);
        fs::create_dir_all(&folder).expect("a folder can be made");
        let content: Vec<u8> = (0..len).collect();
        fs::write(folder.join(file), content).expect("a file can be written");
    }
    (scratch, store)
});

fuzz_target!(|input: &[u8]| {
    let store = FOLDER.1.as_path();
    for old in fs::read_dir(store).expect("the folder is there").flatten() {
        if old.path().is_file() {
            fs::remove_file(old.path()).expect("a file can be removed");
        }
    }
    for (name, bytes) in StoreInput::of(input).files() {
        fs::write(store.join(name), bytes).expect("a file can be written");
    }
    let before = snapshot(store);
    let sound = Store::verify(store).is_ok_and(|faults| faults.iter().all(Fault::is_notice));
    let read = read_all(store);
    assert!(read.is_ok() || !sound, "{read:?} in a sound store");
    assert!(before == snapshot(store), "a reader wrote");
});

fn read_all(path: &Path) -> numpack_format::Result<()> {
    let store = Store::open(path)?;
    let mut first = Ok(());
    for info in store.arrays().unwrap() {
        let read = store.array(&info.name).and_then(|array| {
            assert_eq!(array.nbytes(), info.nbytes());
            if array.nbytes() > MAX_ARRAY {
                return Ok(());
            }
            let mut bytes = vec![0; array.nbytes() as usize];
            array.read_into(&mut bytes)
        });
        first = first.and(read);
    }
    first
}

/// Every file and its bytes.
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
