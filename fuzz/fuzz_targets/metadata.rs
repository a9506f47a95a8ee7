//! The files of a store, cut from one input: see `StoreInput`.
//!
//! Opening, checking and reading never panic and write nothing; and a store in which nothing is
//! found wrong gives each of its arrays.

#![no_main]

use std::fs;
use std::path::PathBuf;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use numpack_fuzz::{Scratch, StoreInput, read_all};

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
    let _ = read_all(store);
});
