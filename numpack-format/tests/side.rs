//! Side information: kept with the arrays it is about.
#![allow(missing_docs, reason = "a test")]

mod common;

use common::{place, save};
use numpack_format::side::{ARRAY_NAME, ArrayNote, Node, SideInfo, Tensor};
use numpack_format::{DType, Error, FaultKind, Store, Writer};

fn note(name: &str, dtype: DType, trailing: &[u64]) -> ArrayNote {
    ArrayNote {
        name: name.into(),
        stored: dtype.code(),
        trailing: trailing.into(),
        dtype: Some("bfloat16".into()),
        scalar: false,
        hidden: false,
    }
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
    assert_eq!(s.side(), Some(&side));
    assert!(s.note_fits(0) && !s.note_fits(1));
    assert_eq!(s.info("w").unwrap().note, Some(side.arrays[0].clone()));
    assert_eq!(s.arrays().len(), 1);
    assert!(s.info(ARRAY_NAME).is_none());
    assert!(matches!(s.array(ARRAY_NAME), Err(Error::NoArray { .. })));
    let bytes = std::fs::read(path.join("data___libnumpack__.npkd")).unwrap();
    assert!(bytes.starts_with(
        br#"{"libnumpack":1,"arrays":[{"name":"w","stored":2,"trailing":[2],"dtype":"bfloat16"}]"#
    ));
    // A commit that does not concern it leaves its file alone.
    let mut w = Writer::open(&path).unwrap();
    save(&mut w, "v", DType::U8, &[1], &[1]);
    w.commit().unwrap();
    assert_eq!(Store::open(&path).unwrap().side(), Some(&side));
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
    assert_eq!((s.info("a").unwrap().note.as_ref(), s.side().unwrap().arrays.len()), (None, 2));
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
    w.save("s", DType::F32, &[], &[], &[0, 0, 128, 63], 0).unwrap();
    save(&mut w, "v", DType::F32, &[1], &[0; 4]);
    w.commit().unwrap();
    let s = Store::open(&path).unwrap();
    assert!(s.info("s").unwrap().is_scalar() && !s.info("v").unwrap().is_scalar());
    assert_eq!(s.info("s").unwrap().shape, [1]);
    // Saved again with a dimension, it is 0-d no more, and nothing is left to be said.
    let mut w = Writer::open(&path).unwrap();
    save(&mut w, "s", DType::F32, &[1], &[0; 4]);
    w.save("t", DType::U8, &[], &[], &[1], 0).unwrap();
    w.commit().unwrap();
    let s = Store::open(&path).unwrap();
    assert!(!s.info("s").unwrap().is_scalar() && s.info("t").unwrap().is_scalar());
    let mut w = Writer::open(&path).unwrap();
    w.remove_array("t").unwrap();
    w.commit().unwrap();
    assert!(!path.join("data___libnumpack__.npkd").exists());
    // Together with what the caller gives.
    let mut w = Writer::replace(&path).unwrap();
    w.save("x", DType::U16, &[], &[], &[1, 0], 0).unwrap();
    w.save("y", DType::U16, &[], &[], &[1, 0], 0).unwrap();
    w.set_side(Some(SideInfo { arrays: vec![note("x", DType::U16, &[])], ..SideInfo::default() }));
    w.commit().unwrap();
    let s = Store::open(&path).unwrap();
    assert!(s.info("x").unwrap().is_scalar() && s.info("y").unwrap().is_scalar());
    assert_eq!(s.info("x").unwrap().note.as_ref().unwrap().dtype.as_deref(), Some("bfloat16"));
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
        w.save("s", DType::U8, &[], &[], b"y", 0).unwrap();
        assert!(w.commit().unwrap_err().to_string().contains("damaged"));
        let mut w = Writer::open(&path).unwrap();
        w.set_side(None);
        w.save("s", DType::U8, &[], &[], b"y", 0).unwrap();
        w.commit().unwrap();
        assert!(Store::open(&path).unwrap().info("s").unwrap().is_scalar());
    }
}
