//! Rows, one matter at a time; `model.rs` has them in all combinations.

mod common;

use common::{Raw, names, place, read};
use numpack_format::side::{ArrayNote, Node, Tensor};
use numpack_format::{DType, Error, NumPack, Rows, SideInfo, Store, View, Writer, WriterOptions};
use std::path::Path;

fn bytes(data: &[u8]) -> View<'_> {
    View::strided(DType::U8, LENGTHS[data.len()], &[1], data, 0)
}

const LENGTHS: [&[u64]; 8] = [&[0], &[1], &[2], &[3], &[4], &[5], &[6], &[7]];

fn now(path: &Path, name: &str) -> Vec<u8> {
    assert_eq!(Store::verify(path).unwrap(), []);
    read(&Store::open(path).unwrap(), name)
}

fn put(path: &Path, files: &[(&str, &[u8])]) {
    for (name, bytes) in files {
        let file = path.join(name);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, bytes).unwrap();
    }
}

#[test]
fn segments_become_one_file_when_they_change() {
    let list = br#"{"version":1,"segments":[{"file":"data_a_segments/0.npkd","rows":2,"bytes":2},{"file":"data_a_segments/1.npkd","rows":1,"bytes":1}]}"#;
    let one: [fn(&NumPack); 4] = [
        |npk| npk.append(&[("a", bytes(&[4]))]).unwrap(),
        |npk| npk.replace_rows("a", &Rows::Index(1), &bytes(&[20])).unwrap(),
        |npk| assert_eq!(npk.compact().unwrap(), 0),
        |npk| assert_eq!(npk.drop_rows("a", &Rows::Index(0)).unwrap(), 1),
    ];
    let expected: [&[u8]; 4] = [&[1, 2, 3, 4], &[1, 20, 3], &[1, 2, 3], &[2, 3]];
    for (i, (change, expected)) in one.iter().zip(expected).enumerate() {
        let (_t, path) = place();
        put(
            &path,
            &[
                ("metadata.npkm", &Raw::one(1, &[3], "data_a.npkseg")),
                ("data_a.npkseg", list),
                ("data_a_segments/0.npkd", &[1, 2]),
                ("data_a_segments/1.npkd", &[3]),
            ],
        );
        change(&NumPack::open(&path).unwrap());
        assert_eq!(now(&path, "a"), expected);
        if i < 3 {
            assert_eq!(names(&path), ["data_a.npkd", "libnumpack.lock", "metadata.npkm"]);
        } else {
            // Dropping rows moves no byte.
            assert!(path.join("data_a.npkseg").exists());
            assert_eq!(NumPack::open(&path).unwrap().compact_array("a").unwrap(), 1);
            assert_eq!(now(&path, "a"), expected);
            assert!(!path.join("data_a.npkseg").exists() && !path.join("data_a_segments").exists());
        }
    }
}

#[test]
fn files_that_others_have_too_are_copied() {
    // Two records with one file.
    let (_t, path) = place();
    let both = Raw {
        arrays: vec![
            ("a".into(), 1, vec![3], "data_a.npkd".into()),
            ("b".into(), 1, vec![3], "data_a.npkd".into()),
            ("c".into(), 1, vec![3], "deeper/c.npkd".into()),
        ],
    };
    put(
        &path,
        &[
            ("metadata.npkm", &both.metadata()),
            ("data_a.npkd", &[1, 2, 3]),
            ("deeper/c.npkd", &[4, 5, 6]),
        ],
    );
    let npk = NumPack::open(&path).unwrap();
    npk.replace_rows("a", &Rows::Index(0), &bytes(&[9])).unwrap();
    npk.append(&[("c", bytes(&[7]))]).unwrap();
    let store = Store::open(&path).unwrap();
    assert_eq!(read(&store, "a"), [9, 2, 3]);
    assert_eq!(read(&store, "b"), [1, 2, 3]);
    assert_eq!(read(&store, "c"), [4, 5, 6, 7]);

    // A snapshot by hard links.
    let (t, path) = place();
    let npk = NumPack::create(&path).unwrap();
    npk.save(&[("a", bytes(&[1, 2, 3])), ("b", bytes(&[4]))]).unwrap();
    let linked = t.path().join("linked");
    std::fs::hard_link(path.join("data_a.npkd"), &linked).unwrap();
    npk.append(&[("a", bytes(&[5]))]).unwrap();
    assert_eq!(std::fs::read(&linked).unwrap(), [1, 2, 3]);
    std::fs::hard_link(path.join("data_b.npkd"), t.path().join("other")).unwrap();
    let in_place = WriterOptions { in_place: true, ..WriterOptions::default() };
    let mut writer = npk.begin_with(&in_place).unwrap();
    writer.replace_rows("b", &Rows::All, &bytes(&[8])).unwrap();
    writer.commit().unwrap();
    assert_eq!(std::fs::read(t.path().join("other")).unwrap(), [4]);
    assert_eq!((now(&path, "a"), now(&path, "b")), (vec![1, 2, 3, 5], vec![8]));
}

#[test]
fn a_tail_that_a_dead_writer_left_is_cut() {
    let (_t, path) = place();
    let npk = NumPack::create(&path).unwrap();
    npk.save(&[("a", bytes(&[1, 2]))]).unwrap();
    put(&path, &[("data_a.npkd", &[1, 2, 77, 78, 79])]);
    assert_eq!(read(&Store::open(&path).unwrap(), "a"), [1, 2]);
    npk.append(&[("a", bytes(&[3]))]).unwrap();
    assert_eq!(std::fs::read(path.join("data_a.npkd")).unwrap(), [1, 2, 3]);
    // One of our own, given up.
    let mut writer = npk.begin().unwrap();
    writer.append(&[("a", bytes(&[4, 5, 6]))]).unwrap();
    drop(writer);
    assert_eq!(std::fs::read(path.join("data_a.npkd")).unwrap(), [1, 2, 3]);
    assert_eq!(now(&path, "a"), [1, 2, 3]);
}

#[test]
fn appending_to_several_arrays_is_checked_before_it_begins() {
    let (_t, path) = place();
    let npk = NumPack::create(&path).unwrap();
    npk.save(&[("a", bytes(&[1])), ("b", bytes(&[2]))]).unwrap();
    let wide = View::new(DType::U8, &[1, 2], &[0, 0]);
    for bad in [("b", wide), ("none", bytes(&[1])), ("b", View::new(DType::I8, &[1], &[1]))] {
        let before = common::tree(&path);
        assert!(npk.append(&[("a", bytes(&[3])), bad]).is_err());
        assert_eq!(common::tree(&path), before);
    }
    let e = npk.append(&[("b", wide)]).unwrap_err().to_string();
    assert!(e.contains("rows of uint8 and shape [] are needed"), "{e}");
}

#[test]
fn what_is_noted_of_an_array_follows_it() {
    let (_t, path) = place();
    let mut writer = Writer::create(&path).unwrap();
    writer.save("w", &View::new(DType::U16, &[2, 1], &[1, 0, 2, 0])).unwrap();
    let note = |name: &str| ArrayNote {
        name: name.into(),
        stored: DType::U16.code(),
        trailing: vec![1],
        dtype: Some("bfloat16".into()),
        ..ArrayNote::default()
    };
    let tensor = Node::Tensor(Box::new(Tensor { array: 0, ..Tensor::default() }));
    let side = SideInfo { arrays: vec![note("w")], nodes: vec![tensor], root: Some(0) };
    writer.set_side(Some(side));
    writer.commit().unwrap();
    let npk = NumPack::open(&path).unwrap();
    let dtype = |name: &str| {
        let store = npk.store().unwrap();
        assert_eq!(store.warnings(), [""; 0]);
        assert_eq!(Store::verify(&path).unwrap(), []);
        let info = store.info(name).unwrap().unwrap().clone();
        (info.note.and_then(|n| n.dtype), info.shape[0])
    };
    let bf16 = || Some("bfloat16".to_owned());
    let row = View::new(DType::U16, &[1, 1], &[3, 0]);
    npk.append(&[("w", row)]).unwrap();
    assert_eq!(dtype("w"), (bf16(), 3));
    // From the second time on, it is one file that changes.
    let side_file = path.join("data___libnumpack__.npkd");
    let written = std::fs::metadata(&side_file).unwrap().modified().unwrap();
    npk.append(&[("w", row)]).unwrap();
    assert_eq!(std::fs::metadata(&side_file).unwrap().modified().unwrap(), written);
    npk.drop_rows("w", &Rows::Index(0)).unwrap();
    npk.replace_rows("w", &Rows::Index(0), &row).unwrap();
    npk.compact().unwrap();
    assert_eq!(dtype("w"), (bf16(), 3));
    npk.rename_array("w", "v").unwrap();
    npk.clone_array("v", "copy").unwrap();
    assert_eq!((dtype("v"), dtype("copy")), ((bf16(), 3), (bf16(), 3)));
    assert_eq!(npk.store().unwrap().side().unwrap().arrays[0].name, "v");
    // Saved again, it is what it is stored as.
    npk.save(&[("copy", row)]).unwrap();
    assert_eq!((dtype("v"), dtype("copy")), ((bf16(), 3), (None, 1)));
    npk.remove_arrays(&["v"]).unwrap();
    let store = npk.store().unwrap();
    assert!(store.side().unwrap().arrays[0].dropped && store.warnings().is_empty());
}

#[test]
fn open_arrays_see_replaced_rows_and_nothing_else() {
    let (_t, path) = place();
    let npk = NumPack::create(&path).unwrap();
    npk.save(&[("a", bytes(&[1, 2, 3]))]).unwrap();
    let array = npk.array("a").unwrap();
    let all = |n: usize| {
        let mut out = vec![0; n];
        array.read_into(&mut out).unwrap();
        out
    };
    npk.append(&[("a", bytes(&[4]))]).unwrap();
    npk.replace_rows("a", &Rows::from(1..), &bytes(&[20, 30, 40])).unwrap();
    assert_eq!(all(3), [1, 20, 30]);
    assert!(array.is_unchanged().unwrap());
    npk.drop_rows("a", &Rows::All).unwrap();
    npk.compact().unwrap();
    npk.save(&[("a", bytes(&[7]))]).unwrap();
    assert_eq!(all(3), [1, 20, 30]);
    npk.replace_rows("a", &Rows::All, &bytes(&[8])).unwrap();
    assert!(!array.is_unchanged().unwrap());
    assert_eq!(all(3), [1, 20, 30]);
    std::fs::remove_dir_all(&path).unwrap();
    assert_eq!(all(3), [1, 20, 30]);
}

#[test]
fn memory_to_work_in() {
    let (_t, path) = place();
    let npk = NumPack::create(&path).unwrap();
    npk.save(&[("a", View::new(DType::U8, &[2, 2], &[1, 2, 3, 4])), ("e", bytes(&[]))]).unwrap();
    // SAFETY: nobody else uses this store.
    let mut rows = unsafe { npk.map_rows_mut("a") }.unwrap();
    rows.row_mut(0).unwrap()[1] = 20;
    assert!(rows.row_mut(2).is_none() && rows.row_mut(usize::MAX).is_none());
    rows.flush().unwrap();
    assert_eq!(read(&Store::open(&path).unwrap(), "a"), [1, 20, 3, 4]);
    let impatient = WriterOptions { wait: false, ..WriterOptions::default() };
    assert!(matches!(npk.begin_with(&impatient), Err(Error::Locked { .. })));
    drop(rows);
    // SAFETY: as above.
    assert!(unsafe { npk.map_rows_mut("e") }.unwrap().is_empty());
    npk.drop_rows("a", &Rows::Index(0)).unwrap();
    // SAFETY: as above.
    let e = unsafe { npk.map_rows_mut("a") }.unwrap_err().to_string();
    assert!(e.contains("compact it first"), "{e}");
    npk.compact().unwrap();
    // SAFETY: as above.
    assert_eq!(unsafe { npk.map_rows_mut("a") }.unwrap()[..], [3, 4]);
}

#[test]
fn many_arrays_in_one_batch() {
    // More than are kept open at a time.
    let (_t, path) = place();
    let mut writer = Writer::create(&path).unwrap();
    for i in 0..200u8 {
        writer.save(&format!("n{i}"), &bytes(&[i])).unwrap();
    }
    for round in 1..3u8 {
        for i in 0..200u8 {
            writer.append(&[(&format!("n{i}"), bytes(&[i, round]))]).unwrap();
        }
        if round == 1 {
            writer.commit().unwrap();
            writer = Writer::open(&path).unwrap();
        }
    }
    for i in 0..200u8 {
        writer.replace_rows(&format!("n{i}"), &Rows::from(0..2), &bytes(&[100, 101])).unwrap();
        writer.replace_rows(&format!("n{i}"), &Rows::Index(-1), &bytes(&[102])).unwrap();
    }
    writer.commit().unwrap();
    let store = Store::open(&path).unwrap();
    for i in 0..200u8 {
        assert_eq!(read(&store, &format!("n{i}")), [100, 101, 1, i, 102]);
    }
    assert_eq!(Store::verify(&path).unwrap(), []);
}

#[test]
fn limits_hold_for_what_is_written() {
    let (_t, path) = place();
    let mut options = WriterOptions::default();
    options.limits.max_bitmap_bytes = 32;
    let npk = NumPack::create(&path).unwrap();
    let long = vec![1; 200];
    npk.save(&[("a", View::new(DType::U8, &[200], &long)), ("b", bytes(&[1, 2]))]).unwrap();
    let npk = NumPack::open_with(&path, &options).unwrap();
    assert!(matches!(npk.drop_rows("a", &Rows::Index(0)), Err(Error::Limit { .. })));
    npk.drop_rows("b", &Rows::Index(0)).unwrap();
    let more = View::new(DType::U8, &[200], &long);
    assert!(matches!(npk.append(&[("b", more)]), Err(Error::Limit { .. })));
    assert_eq!((now(&path, "a").len(), now(&path, "b")), (200, vec![2]));
}
