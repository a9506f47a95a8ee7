//! Data files that no record names become arrays again, if somebody knows what they hold.

mod common;

use common::{Raw, bitmap, names, place, read};
use numpack_format::{DType, Error, FaultKind, NumPack, Rows, Store, View, Writer};
use std::path::Path;

/// A store with an array `kept`, of two bytes, and these files beside it.
fn store(path: &Path, files: &[(&str, &[u8])]) {
    let metadata = Raw { arrays: vec![("kept".into(), 1, vec![2], "data_kept.npkd".into())] };
    let all = [("metadata.npkm", &metadata.metadata()[..]), ("data_kept.npkd", &[8, 9])];
    for (name, bytes) in all.iter().chain(files) {
        let file = path.join(name);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, bytes).unwrap();
    }
}

fn orphans(path: &Path) -> Vec<String> {
    let faults = Store::verify(path).unwrap();
    assert!(faults.iter().all(|f| f.kind == FaultKind::Orphan), "{faults:?}");
    faults.iter().map(|f| f.file.file_name().unwrap().to_str().unwrap().to_owned()).collect()
}

fn refusal<T>(result: numpack_format::Result<T>) -> String {
    result.err().unwrap().to_string()
}

#[test]
fn what_a_program_that_died_left_comes_back() {
    let (_t, path) = place();
    store(&path, &[("data_a.npkd", &[1, 2, 3, 4, 5, 6, 7, 8])]);
    assert_eq!(orphans(&path), ["data_a.npkd"]);
    let npk = NumPack::open(&path).unwrap();
    assert_eq!(npk.adopt_array("a", "data_a.npkd", DType::U16, &[2]).unwrap(), 2);
    let a = npk.array("a").unwrap();
    assert_eq!((a.info().dtype, &a.info().shape[..]), (DType::U16, &[2, 2][..]));
    // It is an array like any other.
    npk.append(&[("a", View::new(DType::U16, &[1, 2], &[9, 0, 9, 0]))]).unwrap();
    npk.drop_rows("a", &Rows::Index(0)).unwrap();
    let reopened = Store::open(&path).unwrap();
    assert_eq!(read(&reopened, "a"), [5, 6, 7, 8, 9, 0, 9, 0]);
    assert_eq!(read(&reopened, "kept"), [8, 9]);
    assert_eq!(Store::verify(&path).unwrap(), []);
}

#[test]
fn dropped_rows_stay_dropped() {
    let live = bitmap(4, |r| r != 1);
    let (_t, path) = place();
    store(&path, &[("data_a.npkd", &[1, 2, 3, 4, 5]), ("deleted_a.npkb", &live)]);
    assert_eq!(orphans(&path).len(), 2);
    let npk = NumPack::open(&path).unwrap();
    // As the public package reads it: what the bitmap does not know of is dead.
    assert_eq!(npk.adopt_array("a", "data_a.npkd", DType::U8, &[]).unwrap(), 3);
    assert_eq!(read(&npk.store().unwrap(), "a"), [1, 3, 4]);
    npk.append(&[("a", View::new(DType::U8, &[1], &[6]))]).unwrap();
    assert_eq!(read(&npk.store().unwrap(), "a"), [1, 3, 4, 6]);
    assert_eq!(Store::verify(&path).unwrap(), []);

    let (_t, path) = place();
    store(&path, &[("data_a.npkd", &[1; 5]), ("deleted_a.npkb", &[1; 9])]);
    let npk = NumPack::open(&path).unwrap();
    let said = refusal(npk.adopt_array("a", "data_a.npkd", DType::U8, &[]));
    assert!(said.contains("deleted_a.npkb") && said.contains("9 bytes fit neither"), "{said}");
}

#[test]
fn segments_come_back_together() {
    let list = br#"{"version":1,"segments":[{"file":"data_a_segments/0.npkd","rows":2,"bytes":4},{"file":"data_a_segments/1.npkd","rows":1,"bytes":2}]}"#;
    let (_t, path) = place();
    let files: [(&str, &[u8]); 3] = [
        ("data_a.npkseg", list),
        ("data_a_segments/0.npkd", &[1, 2, 3, 4]),
        ("data_a_segments/1.npkd", &[5, 6]),
    ];
    store(&path, &files);
    assert_eq!(orphans(&path).len(), 3);
    let npk = NumPack::open(&path).unwrap();
    let said = refusal(npk.adopt_array("a", "data_a.npkseg", DType::U8, &[]));
    assert!(said.contains("segment 0 has 2 rows of 1 bytes in 4 bytes"), "{said}");
    assert_eq!(npk.adopt_array("a", "data_a.npkseg", DType::I16, &[1]).unwrap(), 3);
    assert_eq!(read(&npk.store().unwrap(), "a"), [1, 2, 3, 4, 5, 6]);
    // The segments are its own now.
    let said = refusal(npk.adopt_array("0", "data_a_segments/0.npkd", DType::U8, &[]));
    assert!(said.contains("is no data file of an array of this name"), "{said}");
    npk.compact().unwrap();
    assert_eq!(Store::verify(&path).unwrap(), []);
    assert_eq!(
        names(&path),
        [
            "data_a.npkd",
            "data_kept.npkd",
            "libnumpack.lock",
            "libnumpack.redo.tmp",
            "metadata.npkm"
        ]
    );

    let (_t, path) = place();
    store(&path, &files[..2]);
    let npk = NumPack::open(&path).unwrap();
    let said = refusal(npk.adopt_array("a", "data_a.npkseg", DType::I16, &[]));
    assert!(said.contains("data_a_segments/1.npkd") && said.contains("is missing"), "{said}");
    assert_eq!(npk.store().unwrap().names().collect::<Vec<_>>(), ["kept"]);
}

#[test]
fn what_cannot_be_adopted() {
    let (_t, path) = place();
    let escaped = ("data_a%2Fb.npkd", &[1, 2][..]);
    store(&path, &[("data_a.npkd", &[1; 7]), escaped, ("notes.txt", b"mine")]);
    let before = common::tree(&path);
    let npk = NumPack::open(&path).unwrap();
    let adopt = |name, file, dtype, row: &[u64]| refusal(npk.adopt_array(name, file, dtype, row));
    for (said, end) in [
        (
            adopt("a", "data_a.npkd", DType::F32, &[]),
            "\"data_a.npkd\" ends after 7 bytes, which are no whole rows of float32 and shape [], 4 bytes each",
        ),
        (adopt("b", "data_b.npkd", DType::U8, &[]), "\"data_b.npkd\" is not in the store"),
        (
            adopt("kept", "data_a.npkd", DType::U8, &[]),
            "there is an array of this name already; remove it first, or give it another name",
        ),
        (
            adopt("b", "data_a.npkd", DType::U8, &[]),
            "\"data_a.npkd\" is no data file of an array of this name; adopt it under its own name, and rename it then",
        ),
        (adopt("../x", "../x", DType::U8, &[]), "and rename it then"),
        (adopt("a", "notes.txt", DType::U8, &[]), "and rename it then"),
        (
            adopt("a", "data_a.npkd", DType::U8, &[0, 2]),
            "rows without bytes cannot be counted; save the array anew",
        ),
        (
            adopt("a", "data_a.npkd", DType::U8, &[u64::MAX, 2]),
            "a row of the shape [18446744073709551615, 2] of uint8 exceeds 64 bits",
        ),
        (adopt("a", "data_a.npkd", DType::U8, &[1; 64]), "more than the 64 a store takes"),
        (adopt("__libnumpack__", "data___libnumpack__.npkd", DType::U8, &[]), "or use set_side"),
    ] {
        assert!(said.ends_with(end), "{said}");
    }
    let mut w = npk.begin().unwrap();
    w.remove_array("kept").unwrap();
    let said = refusal(w.adopt_array("kept", "data_kept.npkd", DType::U8, &[]));
    assert!(said.ends_with("\"data_kept.npkd\" holds the array \"kept\""), "{said}");
    drop(w);
    drop(npk);
    let mut after = common::tree(&path);
    after.remove(&path.join("libnumpack.lock"));
    assert_eq!(after, before);

    // A name that no file can have is that of a file all the same.
    let npk = NumPack::open(&path).unwrap();
    assert_eq!(npk.adopt_array("a/b", escaped.0, DType::U8, &[]).unwrap(), 2);
    assert_eq!(read(&npk.store().unwrap(), "a/b"), [1, 2]);
    let mut new = Writer::create(path.join("new.npk")).unwrap();
    let said = refusal(new.adopt_array("a", "data_a.npkd", DType::U8, &[]));
    assert!(said.ends_with("a new store has no data files that could be adopted"), "{said}");
}

#[test]
fn a_link_out_of_the_store_is_not_followed() {
    let (t, path) = place();
    store(&path, &[]);
    std::fs::write(t.path().join("secret"), b"12").unwrap();
    std::os::unix::fs::symlink("../secret", path.join("data_a.npkd")).unwrap();
    let adopted = NumPack::open(&path).unwrap().adopt_array("a", "data_a.npkd", DType::U8, &[]);
    assert!(matches!(adopted, Err(Error::Format { .. })), "{adopted:?}");
}

#[test]
fn rows_are_replaced_and_added_in_the_same_commit() {
    for commits in [false, true] {
        let (_t, path) = place();
        store(&path, &[("data_a.npkd", &[1, 2, 3])]);
        let mut w = Writer::open(&path).unwrap();
        assert_eq!(w.adopt_array("a", "data_a.npkd", DType::U8, &[]).unwrap(), 3);
        w.replace_rows("a", &Rows::Index(1), &View::new(DType::U8, &[1], &[20])).unwrap();
        w.append(&[("a", View::new(DType::U8, &[2], &[4, 5]))]).unwrap();
        w.replace_rows("a", &Rows::from(2..4), &View::new(DType::U8, &[2], &[30, 40])).unwrap();
        let mut now = [0; 5];
        w.array("a").unwrap().read_into(&mut now).unwrap();
        assert_eq!(now, [1, 20, 30, 40, 5]);
        if commits {
            w.commit().unwrap();
            assert_eq!(read(&Store::open(&path).unwrap(), "a"), now);
            // What it was is another file now.
            assert_eq!(Store::verify(&path).unwrap(), []);
        } else {
            drop(w);
            assert_eq!(std::fs::read(path.join("data_a.npkd")).unwrap(), [1, 2, 3]);
            assert_eq!(orphans(&path), ["data_a.npkd"]);
        }
    }
    // Dropped, it is gone, as an array that was there before.
    for name in ["a", "b"] {
        let (_t, path) = place();
        store(&path, &[("data_a.npkd", &[1, 2, 3])]);
        let mut w = Writer::open(&path).unwrap();
        w.adopt_array("a", "data_a.npkd", DType::U8, &[]).unwrap();
        if name == "a" {
            w.remove_array("a").unwrap();
        } else {
            w.rename_array("a", "b").unwrap();
        }
        w.save("c", &View::new(DType::U8, &[1], &[1])).unwrap();
        w.commit().unwrap();
        assert_eq!(Store::verify(&path).unwrap(), []);
        assert!(!path.join("data_a.npkd").exists());
        assert_eq!(Store::open(&path).unwrap().contains("b"), name == "b");
    }
}
