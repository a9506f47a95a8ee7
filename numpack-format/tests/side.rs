//! Side information: kept with the arrays it is about.
#![allow(missing_docs, reason = "a test")]

mod common;

use common::{place, save};
use numpack_format::side::{ARRAY_NAME, ArrayNote, Node, SideInfo, Tensor};
use numpack_format::{DType, Error, FaultKind, Store, View, Writer, WriterOptions};

fn note(name: &str, dtype: DType, trailing: &[u64]) -> ArrayNote {
    ArrayNote {
        name: name.into(),
        stored: dtype.code(),
        trailing: trailing.into(),
        dtype: Some("bfloat16".into()),
        ..ArrayNote::default()
    }
}

/// Without the times, which differ from run to run.
fn undated(side: Option<&SideInfo>) -> Option<SideInfo> {
    side.cloned().map(|mut side| {
        side.arrays.iter_mut().for_each(|n| n.modified = None);
        side
    })
}

fn tensor(array: u32) -> Node {
    Node::Tensor(Box::new(Tensor { array, ..Tensor::default() }))
}

#[test]
fn it_stands_beside_the_arrays() {
    let (_t, path) = place();
    let side = SideInfo {
        arrays: vec![note("w", DType::U16, &[2])],
        nodes: vec![tensor(0)],
        root: Some(0),
    };
    let mut w = Writer::create(&path).unwrap();
    save(&mut w, "w", DType::U16, &[3, 2], &[1; 12]);
    w.set_side(Some(side.clone()));
    w.commit().unwrap();
    let s = Store::open(&path).unwrap();
    assert_eq!(undated(s.side()), Some(side.clone()));
    assert!(s.note_fits(0) && !s.note_fits(1));
    let written = s.info("w").unwrap().unwrap();
    assert_eq!(written.note, Some(s.side().unwrap().arrays[0].clone()));
    assert_eq!(written.note.as_ref().unwrap().modified, Some(written.modified_micros));
    assert_eq!(s.arrays().unwrap().len(), 1);
    assert!(s.info(ARRAY_NAME).unwrap().is_none());
    assert!(matches!(s.array(ARRAY_NAME), Err(Error::NoArray { .. })));
    let bytes = std::fs::read(path.join("data___libnumpack__.npkd")).unwrap();
    assert!(bytes.starts_with(
        br#"{"libnumpack":1,"arrays":[{"name":"w","stored":2,"trailing":[2],"dtype":"bfloat16","modified":"#
    ));
    // A commit that does not concern it leaves its file alone.
    let mut w = Writer::open(&path).unwrap();
    save(&mut w, "v", DType::U8, &[1], &[1]);
    w.commit().unwrap();
    assert_eq!(undated(Store::open(&path).unwrap().side()), Some(side));
    assert_eq!(std::fs::read(path.join("data___libnumpack__.npkd")).unwrap(), bytes);
    let mut w = Writer::open(&path).unwrap();
    w.set_side(None);
    w.commit().unwrap();
    assert_eq!(Store::open(&path).unwrap().side(), None);
    assert_eq!(
        common::names(&path),
        ["data_v.npkd", "data_w.npkd", "libnumpack.lock", "metadata.npkm"]
    );
}

#[test]
fn it_must_fit_when_it_is_given() {
    let (_t, path) = place();
    for bad in [
        note("x", DType::U16, &[]),
        note("w", DType::I16, &[]),
        note("w", DType::U16, &[1]),
        ArrayNote { scalar: true, ..note("w", DType::U16, &[]) },
    ] {
        let mut w = Writer::create(&path).unwrap();
        save(&mut w, "w", DType::U16, &[2], &[1; 4]);
        w.set_side(Some(SideInfo { arrays: vec![bad.clone()], ..SideInfo::default() }));
        assert!(matches!(w.commit(), Err(Error::Parameter { .. })), "{bad:?}");
        assert!(!path.exists());
    }
    let mut w = Writer::create(&path).unwrap();
    w.set_side(Some(SideInfo { root: Some(1), ..SideInfo::default() }));
    assert!(w.commit().unwrap_err().to_string().contains("out of range"));
}

#[test]
fn notes_are_judged_one_by_one() {
    let (_t, path) = place();
    let side = SideInfo {
        arrays: vec![note("a", DType::U16, &[]), note("b", DType::U16, &[])],
        nodes: vec![tensor(0), tensor(1)],
        root: Some(0),
    };
    let mut w = Writer::create(&path).unwrap();
    save(&mut w, "a", DType::U16, &[2], &[1; 4]);
    save(&mut w, "b", DType::U16, &[2], &[2; 4]);
    w.set_side(Some(side));
    w.commit().unwrap();
    // Another program saves "a" as something else, in place.
    let metadata = std::fs::read(path.join("metadata.npkm")).unwrap();
    let at = metadata.windows(11).position(|w| w == b"data_a.npkd").unwrap() + 11 + 16;
    let mut changed = metadata.clone();
    assert_eq!(changed[at], 2);
    changed[at] = 6;
    std::fs::write(path.join("metadata.npkm"), changed).unwrap();
    let s = Store::open(&path).unwrap();
    assert!(!s.note_fits(0) && s.note_fits(1));
    assert!(s.warnings().len() == 1 && s.warnings()[0].contains("\"a\""), "{:?}", s.warnings());
    assert_eq!(
        (s.info("a").unwrap().unwrap().note.as_ref(), s.side().unwrap().arrays.len()),
        (None, 2)
    );
    assert!(
        Store::verify(&path)
            .unwrap()
            .iter()
            .any(|f| f.kind == FaultKind::Side && f.array.as_deref() == Some("a"))
    );
    // Saved by us, the note follows the array; its place stays.
    let mut w = Writer::open(&path).unwrap();
    save(&mut w, "a", DType::F32, &[1, 1], &[0; 4]);
    w.commit().unwrap();
    let s = Store::open(&path).unwrap();
    assert_eq!(s.warnings(), [""; 0]);
    let n = &s.side().unwrap().arrays[0];
    assert_eq!((n.stored, &n.trailing[..], &n.dtype), (DType::F32.code(), &[1][..], &None));
}

#[test]
fn scalars() {
    let (_t, path) = place();
    let mut w = Writer::create(&path).unwrap();
    w.save("s", &View::new(DType::F32, &[], &[0, 0, 128, 63])).unwrap();
    save(&mut w, "v", DType::F32, &[1], &[0; 4]);
    w.commit().unwrap();
    let s = Store::open(&path).unwrap();
    assert!(
        s.info("s").unwrap().unwrap().is_scalar() && !s.info("v").unwrap().unwrap().is_scalar()
    );
    assert_eq!(s.info("s").unwrap().unwrap().shape, [1]);
    // Saved again with a dimension, it is 0-d no more, and nothing is left to be said.
    let mut w = Writer::open(&path).unwrap();
    save(&mut w, "s", DType::F32, &[1], &[0; 4]);
    w.save("t", &View::new(DType::U8, &[], &[1])).unwrap();
    w.commit().unwrap();
    let s = Store::open(&path).unwrap();
    assert!(
        !s.info("s").unwrap().unwrap().is_scalar() && s.info("t").unwrap().unwrap().is_scalar()
    );
    let mut w = Writer::open(&path).unwrap();
    w.remove_array("t").unwrap();
    w.commit().unwrap();
    assert!(!path.join("data___libnumpack__.npkd").exists());
    // Together with what the caller gives.
    let mut w = Writer::replace(&path).unwrap();
    w.save("x", &View::new(DType::U16, &[], &[1, 0])).unwrap();
    w.save("y", &View::new(DType::U16, &[], &[1, 0])).unwrap();
    w.set_side(Some(SideInfo { arrays: vec![note("x", DType::U16, &[])], ..SideInfo::default() }));
    w.commit().unwrap();
    let s = Store::open(&path).unwrap();
    assert!(s.info("x").unwrap().unwrap().is_scalar() && s.info("y").unwrap().unwrap().is_scalar());
    assert_eq!(
        s.info("x").unwrap().unwrap().note.as_ref().unwrap().dtype.as_deref(),
        Some("bfloat16")
    );
}

#[test]
fn damaged_or_newer() {
    let (_t, path) = place();
    let put = |bytes: &[u8]| {
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir(&path).unwrap();
        let arrays = vec![
            (ARRAY_NAME.into(), 1, vec![bytes.len() as u64], "data___libnumpack__.npkd".into()),
            ("a".into(), 1, vec![1], "data_a.npkd".into()),
        ];
        std::fs::write(path.join("metadata.npkm"), common::Raw { arrays }.metadata()).unwrap();
        std::fs::write(path.join("data___libnumpack__.npkd"), bytes).unwrap();
        std::fs::write(path.join("data_a.npkd"), "x").unwrap();
        let s = Store::open(&path).unwrap();
        assert!(s.side().is_none() && s.warnings().len() == 1);
        assert_eq!(common::read(&s, "a"), b"x");
        assert!(Store::verify(&path).unwrap().iter().any(|f| f.kind == FaultKind::Side));
    };
    put(b"{\"libnumpack\":2,\"wonders\":[]}");
    let e = Writer::open(&path).unwrap_err();
    assert!(matches!(e, Error::Unsupported { .. }) && e.to_string().contains("upgrade"));
    for rubbish in
        [&b""[..], b"{", b"{\"libnumpack\":1,\"nodes\":[{\"list\":[7]}]}", b"{\"libnumpack\":0}"]
    {
        put(rubbish);
        let mut w = Writer::open(&path).unwrap();
        save(&mut w, "a", DType::U8, &[1], b"y");
        w.commit().unwrap();
        assert_eq!(common::read(&Store::open(&path).unwrap(), "a"), b"y");
        let mut w = Writer::open(&path).unwrap();
        w.save("s", &View::new(DType::U8, &[], b"y")).unwrap();
        assert!(w.commit().unwrap_err().to_string().contains("damaged"));
        let mut w = Writer::open(&path).unwrap();
        w.set_side(None);
        w.save("s", &View::new(DType::U8, &[], b"y")).unwrap();
        w.commit().unwrap();
        assert!(Store::open(&path).unwrap().info("s").unwrap().unwrap().is_scalar());
    }
}

#[test]
fn a_dropped_array_leaves_its_place_in_the_object() {
    let (_t, path) = place();
    let side = SideInfo {
        arrays: vec![note("a", DType::U16, &[]), note("b", DType::U16, &[])],
        nodes: vec![tensor(0), tensor(1), Node::List(vec![0, 1])],
        root: Some(2),
    };
    let mut w = Writer::create(&path).unwrap();
    save(&mut w, "a", DType::U16, &[2], &[1; 4]);
    save(&mut w, "b", DType::U16, &[2], &[2; 4]);
    w.set_side(Some(side));
    w.commit().unwrap();
    let mut w = Writer::open(&path).unwrap();
    w.remove_array("a").unwrap();
    w.commit().unwrap();
    assert_eq!(Store::verify(&path).unwrap(), []);
    let s = Store::open(&path).unwrap();
    assert_eq!(s.warnings(), [""; 0]);
    assert!(!s.note_fits(0) && s.note_fits(1));
    assert!(s.side().unwrap().arrays[0].dropped && s.side().unwrap().nodes.len() == 3);
    // What was read can be written again, as it is or beside a new array of that name.
    let mut given = s.side().cloned().unwrap();
    given.arrays.push(note("a", DType::U16, &[]));
    let mut w = Writer::open(&path).unwrap();
    save(&mut w, "a", DType::U16, &[1], &[1; 2]);
    w.set_side(Some(given));
    w.commit().unwrap();
    let s = Store::open(&path).unwrap();
    assert!(!s.note_fits(0) && s.note_fits(1) && s.note_fits(2));
    let mut w = Writer::open(&path).unwrap();
    w.remove_array("a").unwrap();
    w.commit().unwrap();
    let mut w = Writer::open(&path).unwrap();
    save(&mut w, "b", DType::U8, &[1], &[1]);
    w.commit().unwrap();
    assert_eq!(Store::verify(&path).unwrap(), []);
    // An array of that name takes the place again.
    let mut w = Writer::open(&path).unwrap();
    save(&mut w, "a", DType::U8, &[1], &[1]);
    w.commit().unwrap();
    let s = Store::open(&path).unwrap();
    assert_eq!((0..3).map(|i| s.note_fits(i)).collect::<Vec<_>>(), [true, true, false]);
    assert_eq!(s.warnings(), [""; 0]);
}

#[test]
fn a_change_by_another_program_is_told() {
    let (_t, path) = place();
    let mut w = Writer::create(&path).unwrap();
    save(&mut w, "w", DType::U16, &[2], &[1; 4]);
    w.set_side(Some(SideInfo { arrays: vec![note("w", DType::U16, &[])], ..SideInfo::default() }));
    w.commit().unwrap();
    assert_eq!(Store::verify(&path).unwrap(), []);
    let mut metadata = std::fs::read(path.join("metadata.npkm")).unwrap();
    let at = metadata.windows(11).position(|w| w == b"data_w.npkd").unwrap() + 11;
    metadata[at] ^= 1;
    std::fs::write(path.join("metadata.npkm"), metadata).unwrap();
    let faults = Store::verify(&path).unwrap();
    assert!(faults.len() == 1 && faults[0].kind == FaultKind::Modified && faults[0].is_notice());
    assert!(faults[0].to_string().contains("\"w\""), "{}", faults[0]);
    let s = Store::open(&path).unwrap();
    assert!(s.note_fits(0) && s.warnings().is_empty());
}

#[test]
fn what_cannot_be_read_now_is_not_lost() {
    let (_t, path) = place();
    let mut w = Writer::create(&path).unwrap();
    w.save("s", &View::new(DType::U8, &[], &[1])).unwrap();
    w.commit().unwrap();
    let mut options = WriterOptions::default();
    options.limits.max_side_bytes = 10;
    assert!(Store::open_with(&path, &options.limits).unwrap().side().is_none());
    assert!(matches!(Writer::open_with(&path, &options), Err(Error::Limit { limit: 10, .. })));
    // Nobody can open a socket as a file.
    let file = path.join("data___libnumpack__.npkd");
    std::fs::remove_file(&file).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(&file).unwrap();
    assert!(matches!(Store::open(&path), Err(Error::Io { .. })));
    assert!(matches!(Writer::open(&path), Err(Error::Io { .. })));
    assert!(matches!(Store::verify(&path), Err(Error::Io { .. })));
}

#[test]
fn no_more_is_written_than_may_be_read() {
    let (t, path) = place();
    Writer::create(&path).unwrap().commit().unwrap();
    let before = common::tree(t.path());
    let refused = |set: &dyn Fn(&mut WriterOptions), what: &str| {
        let mut options = WriterOptions::default();
        set(&mut options);
        for replace in [false, true] {
            // A new store needs no redo record where folders can be exchanged.
            if replace && what.contains("redo") {
                continue;
            }
            let open = if replace { Writer::replace_with } else { Writer::open_with };
            let mut w = open(&path, &options).unwrap();
            w.save("s", &View::new(DType::U8, &[], &[1])).unwrap();
            match w.commit() {
                Err(Error::Limit { what: found, .. }) => assert_eq!(found, what),
                other => panic!("{what}: {other:?}"),
            }
            assert_eq!(common::tree(t.path()), before, "{what}");
        }
    };
    refused(&|o| o.limits.max_side_bytes = 20, "the size of the side information");
    refused(&|o| o.limits.max_metadata_bytes = 60, "the size of the metadata");
    refused(&|o| o.limits.max_redo_bytes = 100, "the size of the redo record");
}
