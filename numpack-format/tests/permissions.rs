//! Who may use a store, before and after it is replaced or changed.
#![allow(missing_docs, reason = "a test")]

mod common;

use common::{place, save};
use numpack_format::{DType, Writer};
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

fn set(path: &Path, mode: u32) {
    std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

#[test]
fn they_survive() {
    let (t, path) = place();
    let mut w = Writer::create(&path).unwrap();
    save(&mut w, "a", DType::U8, &[1], &[1]);
    w.commit().unwrap();
    // A new store has what the process gives all it makes.
    std::fs::create_dir(t.path().join("folder")).unwrap();
    std::fs::write(t.path().join("file"), "").unwrap();
    assert_eq!(mode(&path), mode(&t.path().join("folder")));
    assert_eq!(mode(&path.join("data_a.npkd")), mode(&t.path().join("file")));
    assert_eq!(mode(&path.join("metadata.npkm")), mode(&t.path().join("file")));

    set(&path, 0o2750);
    set(&path.join("metadata.npkm"), 0o640);
    let mut w = Writer::replace(&path).unwrap();
    save(&mut w, "a", DType::U8, &[1], &[2]);
    let hidden = std::fs::read_dir(t.path()).unwrap().map(|e| e.unwrap().path());
    let hidden: Vec<_> = hidden.filter(|p| p.to_str().unwrap().contains(".libnumpack-")).collect();
    assert_eq!((hidden.len(), mode(&hidden[0])), (1, 0o700));
    w.commit().unwrap();
    assert_eq!(mode(&path), 0o2750);
    for file in ["metadata.npkm", "data_a.npkd", "libnumpack.lock"] {
        assert_eq!(mode(&path.join(file)), 0o640, "{file}");
    }
    set(&path, 0o700);
    set(&path.join("metadata.npkm"), 0o600);
    let mut w = Writer::open(&path).unwrap();
    save(&mut w, "b", DType::U8, &[1], &[2]);
    assert_eq!(mode(&path.join("libnumpack.stage")), 0o700);
    w.commit().unwrap();
    for file in ["metadata.npkm", "data_b.npkd", "libnumpack.lock"] {
        assert_eq!(mode(&path.join(file)), 0o600, "{file}");
    }
    // Also a store that has had no lock yet.
    std::fs::remove_file(path.join("libnumpack.lock")).unwrap();
    drop(Writer::open(&path).unwrap());
    assert_eq!(mode(&path.join("libnumpack.lock")), 0o600);
    assert_eq!(mode(&path), 0o700);
}
