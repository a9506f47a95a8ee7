//! What is written is what is read.
#![allow(missing_docs, reason = "a test")]

mod common;

use common::{pattern, place, read, save, strides};
use numpack_format::{DType, Error, NumPack, Store, View, Writer, WriterOptions};
use proptest::prelude::*;
use std::io::Write;

#[test]
fn every_type_and_shape() {
    let (_t, path) = place();
    let mut expected = Vec::new();
    let mut w = Writer::create(&path).unwrap();
    for dtype in DType::ALL {
        for shape in
            [&[][..], &[0], &[1], &[7], &[0, 3], &[3, 0], &[130, 3], &[5, 2, 3, 4], &[2; 16]]
        {
            let name = format!("{dtype}{shape:?}");
            let data = pattern(shape.iter().product::<u64>() as usize * dtype.size(), dtype.code());
            save(&mut w, &name, dtype, shape, &data);
            expected.push((name, dtype, shape.to_vec(), data));
        }
    }
    w.commit().unwrap();
    let s = Store::open(&path).unwrap();
    assert_eq!(s.arrays().unwrap().len(), expected.len());
    for (info, (name, dtype, shape, data)) in s.arrays().unwrap().iter().zip(&expected) {
        assert_eq!((&info.name, info.dtype), (name, *dtype));
        assert_eq!(info.is_scalar(), shape.is_empty());
        assert_eq!(info.shape, if shape.is_empty() { vec![1] } else { shape.clone() });
        assert_eq!(&read(&s, name), data);
        assert!(s.array(name).unwrap().plain_file().is_some());
        // SAFETY: nobody else uses the store.
        assert_eq!(&unsafe { s.array(name).unwrap().map() }.unwrap()[..], data);
    }
    assert_eq!(Store::verify(&path).unwrap(), []);
}

#[test]
fn odd_names() {
    let (_t, path) = place();
    let long = "x".repeat(300);
    let almost = "y".repeat(190);
    let list = [
        "",
        " ",
        ".",
        "..",
        "...",
        "a/b",
        "a%2Fb",
        "/",
        "//",
        "../../etc/passwd",
        "nul\0",
        "new\nline",
        "back\\slash",
        "名前",
        "A",
        "a",
        "café",
        "cafe\u{301}",
        "data_a.npkd",
        "~1",
        "a~1",
        &long,
        &almost,
        "É",
        "é",
        "__libnumpack_",
        "metadata.npkm",
        "x_segments",
    ];
    let mut w = Writer::create(&path).unwrap();
    for (i, name) in list.iter().enumerate() {
        save(&mut w, name, DType::U8, &[3], &[i as u8; 3]);
    }
    w.commit().unwrap();
    let check = |twist: u8| {
        let s = Store::open(&path).unwrap();
        assert_eq!(s.arrays().unwrap().iter().map(|a| &a.name[..]).collect::<Vec<_>>(), list);
        for (i, name) in list.iter().enumerate() {
            assert_eq!(read(&s, name), [i as u8 ^ twist; 3], "{name:?}");
        }
        assert_eq!(Store::verify(&path).unwrap(), []);
        let lower: std::collections::HashSet<String> =
            common::names(&path).iter().map(|n| n.to_lowercase()).collect();
        assert_eq!(lower.len(), list.len() + 2, "two files differ by case only");
    };
    check(0);
    assert!(path.join("data_a%2Fb.npkd").exists());
    let files = common::names(&path);
    // Saved over, each keeps its file and its place.
    let mut w = Writer::open(&path).unwrap();
    for (i, name) in list.iter().enumerate().rev() {
        save(&mut w, name, DType::U8, &[3], &[i as u8 ^ 0x80; 3]);
    }
    w.commit().unwrap();
    check(0x80);
    assert_eq!(common::names(&path), files);
}

#[test]
fn a_transaction_of_everything() {
    let (_t, path) = place();
    let mut w = Writer::create(&path).unwrap();
    save(&mut w, "keep", DType::U8, &[1], &[1]);
    save(&mut w, "change", DType::U8, &[2], &[1, 2]);
    save(&mut w, "drop", DType::U8, &[1], &[3]);
    save(&mut w, "twice", DType::U8, &[1], &[4]);
    save(&mut w, "twice", DType::U16, &[1], &[5, 5]);
    save(&mut w, "never", DType::U16, &[1], &[5, 5]);
    w.remove_array("never").unwrap();
    w.commit().unwrap();
    assert_eq!(
        common::names(&path),
        [
            "data_change.npkd",
            "data_drop.npkd",
            "data_keep.npkd",
            "data_twice.npkd",
            "libnumpack.lock",
            "metadata.npkm"
        ]
    );
    let kept = Store::open(&path).unwrap().info("keep").unwrap().unwrap().clone();

    let mut w = Writer::open(&path).unwrap();
    assert_eq!(w.store().arrays().unwrap().len(), 4);
    save(&mut w, "change", DType::F64, &[2, 1], &pattern(16, 0));
    save(&mut w, "change", DType::F32, &[2, 2], &pattern(16, 1));
    w.remove_array("drop").unwrap();
    save(&mut w, "new", DType::I8, &[0], &[]);
    assert!(matches!(w.remove_array("drop"), Err(Error::NoArray { .. })));
    // Nothing is visible yet.
    assert_eq!(Store::open(&path).unwrap().arrays().unwrap().len(), 4);
    w.commit().unwrap();
    let s = Store::open(&path).unwrap();
    assert_eq!(
        s.arrays().unwrap().iter().map(|a| &a.name[..]).collect::<Vec<_>>(),
        ["keep", "change", "twice", "new"]
    );
    assert_eq!(
        (s.info("change").unwrap().unwrap().dtype, read(&s, "change")),
        (DType::F32, pattern(16, 1))
    );
    assert_eq!(s.info("keep").unwrap().unwrap(), &kept);
    assert_eq!(
        common::names(&path),
        [
            "data_change.npkd",
            "data_keep.npkd",
            "data_new.npkd",
            "data_twice.npkd",
            "libnumpack.lock",
            "metadata.npkm"
        ]
    );
    assert_eq!(Store::verify(&path).unwrap(), []);

    // Without a commit, or without a change, nothing happens.
    let before = common::tree(&path);
    let mut w = Writer::open(&path).unwrap();
    save(&mut w, "x", DType::I8, &[0], &[]);
    w.clear();
    drop(w);
    Writer::open(&path).unwrap().commit().unwrap();
    assert_eq!(common::tree(&path), before);

    let mut w = Writer::open(&path).unwrap();
    w.clear();
    save(&mut w, "keep", DType::U8, &[1], &[9]);
    w.commit().unwrap();
    assert_eq!(common::names(&path), ["data_keep.npkd", "libnumpack.lock", "metadata.npkm"]);
}

#[test]
fn streams() {
    let (_t, path) = place();
    let data = pattern(300_000, 3);
    let mut w = Writer::create(&path).unwrap();
    let mut a = w.begin_array("pieces", DType::U8, &[300_000]).unwrap();
    for piece in [0..1, 1..70_000, 70_000..70_001, 70_001..200_000] {
        a.write_all(&data[piece]).unwrap();
    }
    a.splice(50_000, |file, at| {
        std::os::unix::fs::FileExt::write_all_at(file, &data[200_000..250_000], at)
    })
    .unwrap();
    assert_eq!(a.remaining(), 50_000);
    for chunk in data[250_000..].chunks(17) {
        a.write_all(chunk).unwrap();
    }
    assert_eq!(a.remaining(), 0);
    assert!(a.write_all(&[0]).unwrap_err().to_string().contains("too many"));
    a.finish().unwrap();

    let mut a = w.begin_array("short", DType::U16, &[2]).unwrap();
    a.write_all(&[1, 2, 3]).unwrap();
    assert!(a.finish().unwrap_err().to_string().contains("1 of its 4 bytes"));
    let mut a = w.begin_array("lied", DType::U16, &[2]).unwrap();
    a.splice(4, |_, _| Ok(())).unwrap();
    assert!(a.finish().is_err());
    let mut a = w.begin_array("left", DType::U16, &[2]).unwrap();
    a.write_all(&[1]).unwrap();
    drop(a);
    // A replacement that fails leaves what was there.
    let mut a = w.begin_array("pieces", DType::U8, &[9]).unwrap();
    a.write_all(&[1]).unwrap();
    drop(a);
    w.commit().unwrap();
    let s = Store::open(&path).unwrap();
    assert_eq!(s.arrays().unwrap().len(), 1);
    assert_eq!(read(&s, "pieces"), data);
    assert_eq!(Store::verify(&path).unwrap(), []);
}

#[test]
fn what_cannot_be() {
    let (t, path) = place();
    let mut w = Writer::create(&path).unwrap();
    assert!(w.begin_array("a", DType::U8, &[]).is_err());
    assert!(w.begin_array("a", DType::U16, &[1 << 63]).is_err());
    assert!(w.begin_array("a", DType::U16, &[0, 1 << 40, 1 << 40]).is_err());
    assert!(w.begin_array("a", DType::U16, &[1; 65]).is_err());
    assert!(w.begin_array("__libnumpack__", DType::U8, &[1]).is_err());
    for (shape, strides, offset) in [
        (&[3u64][..], &[1isize][..], 1),
        (&[3], &[-1], 1),
        (&[2, 2], &[1], 0),
        (&[1], &[1], 3),
        (&[2], &[isize::MAX], 0),
        (&[u64::MAX], &[isize::MIN], 0),
    ] {
        assert!(
            matches!(
                w.save("a", &View::strided(DType::U8, shape, strides, &[0; 3], offset)),
                Err(Error::Parameter { .. })
            ),
            "{shape:?} {strides:?}"
        );
    }
    drop(w);
    assert_eq!(common::names(t.path()), [""; 0]);

    std::fs::write(&path, "x").unwrap();
    assert!(matches!(Writer::create(&path), Err(Error::Exists { .. })));
    assert!(matches!(Writer::replace(&path), Err(Error::NotAStore { .. })));
    assert!(matches!(Writer::open(&path), Err(Error::NotAStore { .. })));
    assert!(matches!(Store::open(&path), Err(Error::NotAStore { .. })));
    std::fs::remove_file(&path).unwrap();
    assert!(matches!(Writer::open(&path), Err(Error::NotAStore { .. })));
    assert!(matches!(Store::open(&path), Err(Error::NotAStore { .. })));
    std::fs::create_dir(&path).unwrap();
    assert!(matches!(Writer::open(&path), Err(Error::NotAStore { .. })));
    assert!(matches!(Store::open(&path), Err(Error::NotAStore { .. })));
    Writer::create(&path).unwrap().commit().unwrap();
    assert!(matches!(Writer::create(&path), Err(Error::Exists { .. })));
    assert!(matches!(Writer::create(t.path().join("no/where")), Err(Error::Io { .. })));
    assert!(matches!(Writer::create("/"), Err(Error::Exists { .. })));
    assert!(Writer::create(t.path().join("x/..")).is_err());
    std::fs::write(t.path().join("precious"), "x").unwrap();
    assert!(matches!(Writer::replace(t.path()), Err(Error::NotAStore { .. })));
}

#[test]
fn replace_takes_only_stores() {
    let (t, path) = place();
    let mut w = Writer::replace(&path).unwrap();
    save(&mut w, "a", DType::U8, &[2], &[1, 2]);
    w.commit().unwrap();
    // Damaged is no obstacle; a reader keeps what it has open.
    let old = Store::open(&path).unwrap();
    let array = old.array("a").unwrap();
    std::fs::write(path.join("metadata.npkm"), "rubbish").unwrap();
    std::fs::write(path.join("notes.txt"), "mine").unwrap();
    let mut w = Writer::replace(&path).unwrap();
    save(&mut w, "b", DType::U8, &[1], &[3]);
    let warnings = w.commit_with_warnings().unwrap();
    assert!(warnings[0].contains("notes.txt"), "{warnings:?}");
    let s = Store::open(&path).unwrap();
    assert_eq!(s.arrays().unwrap().len(), 1);
    assert_eq!(read(&s, "b"), [3]);
    let mut out = [0; 2];
    array.read_into(&mut out).unwrap();
    assert_eq!(out, [1, 2]);
    assert!(matches!(old.array("a"), Err(Error::Changed { .. })));
    // What is none of ours is kept beside it.
    let beside: Vec<String> =
        common::names(t.path()).into_iter().filter(|n| n.starts_with('.')).collect();
    assert_eq!(common::names(&t.path().join(&beside[0])), ["notes.txt"]);
    // Through a link: the store changes, not the link.
    let link = t.path().join("link");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    let w = Writer::replace_with(&link, &WriterOptions { wait: false, ..WriterOptions::default() })
        .unwrap();
    w.commit().unwrap();
    assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(Store::open(&path).unwrap().arrays().unwrap().len(), 0);
    // A name too long for a longer one beside it.
    let long = t.path().join("n".repeat(255));
    Writer::replace(&long).unwrap().commit().unwrap();
    Writer::replace(&long).unwrap().commit().unwrap();
    Store::open(&long).unwrap();
}

#[test]
fn many_arrays() {
    let (_t, path) = place();
    let mut w = Writer::create(&path).unwrap();
    for i in 0..500u32 {
        save(&mut w, &format!("layer.{i}"), DType::U32, &[1], &i.to_le_bytes());
    }
    w.commit().unwrap();
    let mut w = Writer::open(&path).unwrap();
    for i in 0..100u32 {
        save(&mut w, &format!("layer.{i}"), DType::U32, &[1], &(i + 1000).to_le_bytes());
    }
    w.commit().unwrap();
    let s = Store::open(&path).unwrap();
    for i in 0..500u32 {
        assert_eq!(
            read(&s, &format!("layer.{i}")),
            (if i < 100 { i + 1000 } else { i }).to_le_bytes()
        );
    }
    assert_eq!(Store::verify(&path).unwrap(), []);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]
    #[test]
    fn any_names_and_strides(arrays in proptest::collection::vec((".{0,40}", 0usize..14, proptest::collection::vec(0u64..5, 0..4), any::<bool>()), 0..6)) {
        let (_t, path) = place();
        let mut w = Writer::create(&path).unwrap();
        let mut expected = std::collections::HashMap::new();
        for (name, code, shape, turned) in arrays {
            let dtype = DType::ALL[code];
            let data = pattern(shape.iter().product::<u64>() as usize * dtype.size(), 5);
            let straight = strides(dtype, &shape);
            if turned {
                // Every axis backwards.
                let back: Vec<isize> = straight.iter().map(|s| -s).collect();
                let items = data.len() / dtype.size();
                let at = items.saturating_sub(1) * dtype.size();
                w.save(&name, &View::strided(dtype, &shape, &back, &data, at)).unwrap();
                let turned: Vec<u8> = data.chunks(dtype.size()).rev().flatten().copied().collect();
                expected.insert(name, turned);
            } else {
                w.save(&name, &View::strided(dtype, &shape, &straight, &data, 0)).unwrap();
                expected.insert(name, data);
            }
        }
        w.commit().unwrap();
        let s = Store::open(&path).unwrap();
        prop_assert_eq!(s.arrays().unwrap().len(), expected.len());
        for (name, data) in &expected {
            prop_assert_eq!(&read(&s, name), data);
        }
        prop_assert_eq!(Store::verify(&path).unwrap(), vec![]);
    }
}

#[test]
fn one_handle_gives_names_of_files_again() {
    let (_t, path) = place();
    let npk = NumPack::create(&path).unwrap();
    let one = View::new(DType::U8, &[1], &[1]);
    for _ in 0..3 {
        npk.save(&[("a", one)]).unwrap();
        npk.begin().unwrap().save("b", &one).unwrap();
        npk.rename_array("a", "b").unwrap();
        let names = ["data_b.npkd", "libnumpack.lock", "libnumpack.redo.tmp", "metadata.npkm"];
        assert_eq!(common::names(&path), names);
        npk.reset().unwrap();
    }
}
