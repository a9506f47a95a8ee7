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
    assert!(!array.is_unchanged().unwrap());
    assert_eq!(all(3), [1, 20, 30]);
    // Under another name it is still the same file.
    npk.rename_array("a", "b").unwrap();
    npk.replace_rows("b", &Rows::Index(0), &bytes(&[10])).unwrap();
    assert_eq!(all(3), [10, 20, 30]);
    npk.replace_rows("b", &Rows::Index(0), &bytes(&[1])).unwrap();
    npk.rename_array("b", "a").unwrap();
    npk.drop_rows("a", &Rows::All).unwrap();
    npk.compact().unwrap();
    npk.save(&[("a", bytes(&[7]))]).unwrap();
    assert_eq!(all(3), [1, 20, 30]);
    npk.replace_rows("a", &Rows::All, &bytes(&[8])).unwrap();
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

#[test]
fn a_new_store_may_have_its_arrays_written_again() {
    let (_t, path) = place();
    let mut w = Writer::create(&path).unwrap();
    w.save("a", &bytes(&[1, 2])).unwrap();
    w.append(&[("a", bytes(&[3]))]).unwrap();
    w.save("a", &bytes(&[7, 8])).unwrap();
    w.append(&[("a", bytes(&[9]))]).unwrap();
    w.save("b", &bytes(&[1, 2, 3])).unwrap();
    w.append(&[("b", bytes(&[4]))]).unwrap();
    w.remove_array("b").unwrap();
    w.save("b", &bytes(&[5])).unwrap();
    w.append(&[("b", bytes(&[6]))]).unwrap();
    w.save("c/d", &bytes(&[1, 2, 3])).unwrap();
    w.drop_rows("c/d", &Rows::Index(0)).unwrap();
    w.replace_rows("c/d", &Rows::Index(0), &bytes(&[20])).unwrap();
    w.commit().unwrap();
    assert_eq!(now(&path, "a"), [7, 8, 9]);
    assert_eq!((now(&path, "b"), now(&path, "c/d")), (vec![5, 6], vec![20, 3]));
}

#[test]
fn the_public_package_changes_bitmaps_behind_a_handle() {
    let (_t, path) = place();
    let npk = NumPack::create(&path).unwrap();
    npk.save(&[("a", bytes(&[1, 2, 3]))]).unwrap();
    npk.append(&[("a", bytes(&[4]))]).unwrap();
    put(&path, &[("deleted_a.npkb", &common::bitmap(4, |row| row != 0))]);
    assert_eq!(npk.array("a").unwrap().rows(), 3);
    npk.append(&[("a", bytes(&[5]))]).unwrap();
    assert_eq!(now(&path, "a"), [2, 3, 4, 5]);
    put(&path, &[("deleted_a.npkb", &common::bitmap(5, |row| row > 1))]);
    npk.drop_rows("a", &Rows::Index(-1)).unwrap();
    assert_eq!(now(&path, "a"), [3, 4]);
    assert_eq!(npk.listed().unwrap().arrays().unwrap()[0].shape, [2]);
}

#[test]
fn what_another_program_appended_is_not_cut_off() {
    let (_t, path) = place();
    NumPack::create(&path).unwrap().save(&[("a", bytes(&[1, 2]))]).unwrap();
    let mut w = Writer::open(&path).unwrap();
    // The public package knows of no lock.
    put(
        &path,
        &[("data_a.npkd", &[1, 2, 3]), ("metadata.npkm", &Raw::one(1, &[3], "data_a.npkd"))],
    );
    assert!(matches!(w.append(&[("a", bytes(&[4]))]), Err(Error::Changed { .. })));
    assert!(matches!(w.replace_rows("a", &Rows::All, &bytes(&[7, 8])), Err(Error::Changed { .. })));
    drop(w);
    assert_eq!(now(&path, "a"), [1, 2, 3]);
}

#[test]
fn a_list_is_of_one_state_or_none() {
    let (_t, path) = place();
    let npk = NumPack::create(&path).unwrap();
    npk.save(&[("a", bytes(&[1, 2, 3]))]).unwrap();
    npk.drop_rows("a", &Rows::Index(0)).unwrap();
    let store = Store::open(&path).unwrap();
    npk.compact().unwrap();
    for _ in 0..2 {
        assert!(matches!(store.arrays(), Err(Error::Changed { .. })));
        assert!(matches!(store.info("a"), Err(Error::Changed { .. })));
    }
}

#[test]
fn a_copy_by_links_in_the_middle_of_a_change() {
    let (t, path) = place();
    let npk = NumPack::create(&path).unwrap();
    npk.save(&[("a", bytes(&[1, 2, 3]))]).unwrap();
    let mut w = npk.begin().unwrap();
    w.replace_rows("a", &Rows::Index(1), &bytes(&[20])).unwrap();
    let copy = t.path().join("copy");
    std::fs::hard_link(path.join("data_a.npkd"), &copy).unwrap();
    w.commit().unwrap();
    assert_eq!(now(&path, "a"), [1, 20, 3]);
    assert_eq!(std::fs::read(copy).unwrap(), [1, 2, 3]);
}

#[test]
fn what_refers_to_an_array_follows_its_name() {
    let (_t, path) = place();
    let mut w = Writer::create(&path).unwrap();
    let note = |name: &str| ArrayNote { name: name.into(), stored: 1, ..ArrayNote::default() };
    let tensor = |array| Node::Tensor(Box::new(Tensor { array, ..Tensor::default() }));
    w.save("a", &bytes(&[1])).unwrap();
    w.save("c", &bytes(&[2])).unwrap();
    let nodes = vec![tensor(0), tensor(1), Node::List(vec![0, 1])];
    w.set_side(Some(SideInfo { arrays: vec![note("a"), note("c")], nodes, root: Some(2) }));
    w.commit().unwrap();
    let mut w = Writer::open(&path).unwrap();
    w.remove_array("c").unwrap();
    w.save("a", &bytes(&[3])).unwrap();
    w.rename_array("a", "c").unwrap();
    w.commit().unwrap();
    let store = Store::open(&path).unwrap();
    let notes: Vec<_> =
        store.side().unwrap().arrays.iter().map(|n| (n.name.clone(), n.dropped)).collect();
    assert_eq!(notes, [("c".to_owned(), false), ("c".to_owned(), true)]);
    assert_eq!(now(&path, "c"), [3]);
}

#[test]
fn nothing_is_left_behind() {
    let (_t, path) = place();
    let npk = NumPack::create(&path).unwrap();
    let all: Vec<(String, View<'_>)> =
        (0..100).map(|i| (format!("n{i}"), bytes(&[1, 2]))).collect();
    let all: Vec<(&str, View<'_>)> = all.iter().map(|(n, v)| (&n[..], *v)).collect();
    npk.save(&all).unwrap();
    let before = common::tree(&path);
    let mut w = npk.begin().unwrap();
    w.save("x", &bytes(&[1])).unwrap();
    w.remove_array("x").unwrap();
    w.commit().unwrap();
    assert_eq!(common::tree(&path), before);
    // More arrays than are kept open.
    let mut w = npk.begin().unwrap();
    w.append(&all).unwrap();
    drop(w);
    assert_eq!(common::tree(&path), before);
    // What stands where a bitmap is to be.
    std::fs::create_dir(path.join("deleted_n0.npkb")).unwrap();
    let mut w = npk.begin().unwrap();
    w.replace_rows("n1", &Rows::All, &bytes(&[7, 8])).unwrap();
    w.remove_array("n0").unwrap();
    assert!(w.commit().is_err());
    std::fs::remove_dir(path.join("deleted_n0.npkb")).unwrap();
    // Nor is the record that the handle had kept for it.
    let mut before = before;
    assert!(before.remove(&path.join("libnumpack.redo.tmp")).is_some());
    assert_eq!(common::tree(&path), before);
}

#[test]
fn a_handle_that_was_opened_by_a_relative_path() {
    // A process has one working folder: another one is asked.
    let (t, path) = place();
    NumPack::create(&path).unwrap().save(&[("a", bytes(&[1]))]).unwrap();
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["elsewhere", "--exact", "--nocapture", "--test-threads=1"])
        .env("NUMPACK_ROWS_ELSEWHERE", "1")
        .current_dir(t.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Runs in that process.
#[test]
fn elsewhere() {
    if std::env::var_os("NUMPACK_ROWS_ELSEWHERE").is_none() {
        return;
    }
    let store = Store::open("s.npk").unwrap();
    let npk = NumPack::open("s.npk").unwrap();
    std::env::set_current_dir("/").unwrap();
    npk.save(&[("b", bytes(&[2]))]).unwrap();
    assert_eq!(read(&store, "a"), [1]);
    assert!(npk.store().unwrap().contains("b"));
}
