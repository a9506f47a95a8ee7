//! Adding to a store that is there, keys, names, and outputs that may not be replaced.

mod common;

use std::ops::ControlFlow;
use std::path::Path;

use common::{Object, names_in};
use numpack_interop::{
    Error, Existing, FromTorch, NoProgress, Tensors, ToTorch, from_torch_file, to_torch_file,
    verify,
};
use torch_pickle::{DType, Tensor};

fn names(path: &Path) -> Vec<String> {
    Tensors::open(path).unwrap().list().unwrap().into_iter().map(|t| t.name.into()).collect()
}

fn arrays(path: &Path) -> Vec<String> {
    let store = numpack_format::Store::open(path).unwrap();
    store.arrays().unwrap().iter().map(|a| a.name.clone()).collect()
}

fn sha(path: &Path, name: &str) -> [u8; 32] {
    let file = Tensors::open(path).unwrap();
    let list = file.list().unwrap();
    file.sha256(list.iter().find(|t| t.name == name).unwrap()).unwrap()
}

#[test]
fn a_store_grows_file_by_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    // Bare tensors, one a file, as saving parameter by parameter does.
    for (i, name) in ["first", "second", "third"].iter().enumerate() {
        let mut o = Object::default();
        let root = o.tensor(DType::BFloat16, &[2, 3], i as u64);
        let file = path(&format!("{name}.pt"));
        o.write(root, &file);
        from_torch_file(&file, path("all.npk"), &FromTorch::new(), &mut NoProgress).unwrap();
        assert_eq!(sha(&path("all.npk"), if i == 0 { "" } else { name }), sha(&file, ""));
    }
    assert_eq!(names(&path("all.npk")), ["first", "second", "third"]);
    assert_eq!(verify(path("all.npk")).unwrap(), Default::default());

    // One of them again: it is replaced, the others stay.
    let mut o = Object::default();
    let root = o.tensor(DType::Float64, &[5], 9);
    o.write(root, &path("second.pt"));
    from_torch_file(path("second.pt"), path("all.npk"), &FromTorch::new(), &mut NoProgress)
        .unwrap();
    assert_eq!(names(&path("all.npk")), ["first", "second", "third"]);
    assert_eq!(sha(&path("all.npk"), "second"), sha(&path("second.pt"), ""));
    assert_eq!(verify(path("all.npk")).unwrap(), Default::default());
}

#[test]
fn plain_stores_stay_plain_when_they_grow() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    for (file, keys) in [("a.pt", ["x", "y"]), ("b.pt", ["y", "z"])] {
        let mut o = Object::default();
        let items: Vec<_> =
            keys.iter().map(|&k| (k, o.tensor(DType::Float32, &[4], file.len() as u64))).collect();
        let root = o.dict(&items);
        o.write(root, &path(file));
        from_torch_file(path(file), path("s.npk"), &FromTorch::new(), &mut NoProgress).unwrap();
    }
    assert_eq!(arrays(&path("s.npk")), ["x", "y", "z"]);
    assert!(numpack_format::Store::open(path("s.npk")).unwrap().side().is_none());
    assert_eq!(sha(&path("s.npk"), "y"), sha(&path("b.pt"), "y"));
}

#[test]
fn an_alias_survives_the_replacement_of_its_other_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let mut o = Object::default();
    let storage = o.storage(DType::Float32, 4, 1);
    let tied = Tensor::contiguous(storage, DType::Float32, &[4]);
    let (w, v) = (o.view(tied.clone()), o.view(tied));
    let root = o.dict(&[("w", w), ("v", v)]);
    o.write(root, &path("a.pt"));
    from_torch_file(path("a.pt"), path("s.npk"), &FromTorch::new(), &mut NoProgress).unwrap();
    assert_eq!(arrays(&path("s.npk")), ["w"]);
    let before = sha(&path("s.npk"), "v");

    let mut o = Object::default();
    let other = o.tensor(DType::Int8, &[3], 2);
    let root = o.dict(&[("w", other)]);
    o.write(root, &path("b.pt"));
    from_torch_file(path("b.pt"), path("s.npk"), &FromTorch::new(), &mut NoProgress).unwrap();
    assert_eq!(names(&path("s.npk")), ["w", "v"]);
    assert_eq!(sha(&path("s.npk"), "v"), before);
    assert_eq!(sha(&path("s.npk"), "w"), sha(&path("b.pt"), "w"));
    assert_eq!(verify(path("s.npk")).unwrap(), Default::default());

    // And once nothing refers to the old array, it goes.
    let mut o = Object::default();
    let other = o.tensor(DType::Int8, &[3], 3);
    let root = o.dict(&[("v", other)]);
    o.write(root, &path("c.pt"));
    from_torch_file(path("c.pt"), path("s.npk"), &FromTorch::new(), &mut NoProgress).unwrap();
    assert_eq!(arrays(&path("s.npk")).len(), 2);
}

#[test]
fn an_array_that_another_program_changed_is_what_the_store_says() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let mut o = Object::default();
    let (w, v) = (o.tensor(DType::BFloat16, &[4, 2], 1), o.tensor(DType::BFloat16, &[3], 2));
    let scalar = o.tensor(DType::Float32, &[], 3);
    let root = o.dict(&[("w", w), ("v", v), ("s", scalar)]);
    o.write(root, &path("a.pt"));
    from_torch_file(path("a.pt"), path("s.npk"), &FromTorch::new(), &mut NoProgress).unwrap();
    // The element type of one array, which stands behind its file's name, two times and a size.
    let metadata = path("s.npk").join("metadata.npkm");
    let mut bytes = std::fs::read(&metadata).unwrap();
    let name = b"data_w.npkd";
    let at = bytes.windows(name.len()).position(|w| w == name).unwrap() + name.len() + 16;
    assert_eq!(bytes[at], numpack_format::DType::U16.code());
    bytes[at] = numpack_format::DType::I16.code();
    std::fs::write(&metadata, bytes).unwrap();

    let mut o = Object::default();
    let other = o.tensor(DType::Int8, &[3], 4);
    let root = o.dict(&[("x", other)]);
    o.write(root, &path("b.pt"));
    from_torch_file(path("b.pt"), path("s.npk"), &FromTorch::new(), &mut NoProgress).unwrap();
    assert_eq!(verify(path("s.npk")).unwrap().faults, [""; 0]);
    let list = Tensors::open(path("s.npk")).unwrap().list().unwrap();
    let seen: Vec<(&str, &str)> = list.iter().map(|t| (&*t.name, t.dtype.name())).collect();
    assert_eq!(seen, [("w", "int16"), ("v", "bfloat16"), ("s", "float32"), ("x", "int8")]);
    assert_eq!(sha(&path("s.npk"), "w"), sha(&path("a.pt"), "w"));
}

#[test]
fn a_key_selects_a_part() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let convert = |key: &str, out: &str| {
        from_torch_file(common::example(), path(out), &FromTorch::new().key(key), &mut NoProgress)
    };
    convert("model", "model.npk").unwrap();
    assert!(names(&path("model.npk")).contains(&"embedding.weight".to_owned()));
    convert("model.embedding.weight", "one.npk").unwrap();
    assert_eq!(arrays(&path("one.npk"))[0], "model.embedding.weight");
    let e = convert("model.embeding", "none.npk").unwrap_err();
    assert!(e.to_string().contains("model.embeding"), "{e}");
    assert!(!path("none.npk").exists());
}

#[test]
fn names_make_a_flat_dict_in_their_order() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    from_torch_file(common::example(), path("s.npk"), &FromTorch::new(), &mut NoProgress).unwrap();
    let wanted = ["model.output.weight", "model.embedding.weight", "rng_state"];
    let options = ToTorch::new().array_names(wanted);
    to_torch_file(path("s.npk"), path("two.pt"), &options, &mut NoProgress).unwrap();
    assert_eq!(names(&path("two.pt")), wanted);
    let two = Tensors::open(path("two.pt")).unwrap().list().unwrap();
    assert_eq!(two[0].storage, two[1].storage, "tied weights stay tied");

    let options = ToTorch::new().array_names(["model.output.weihgt"]);
    let e = to_torch_file(path("s.npk"), path("no.pt"), &options, &mut NoProgress).unwrap_err();
    assert!(e.to_string().contains("weihgt"), "{e}");
    assert!(!path("no.pt").exists());
}

#[test]
fn outputs_are_replaced_only_on_request_and_only_if_they_are_ours() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let convert = |out: &str, existing| {
        let options = FromTorch::new().existing(existing);
        from_torch_file(common::example(), path(out), &options, &mut NoProgress)
    };
    convert("s.npk", Existing::Refuse).unwrap();
    let before = names_in(&path("s.npk"));
    let e = convert("s.npk", Existing::Refuse).unwrap_err();
    assert!(matches!(e, Error::Exists { .. }), "{e}");
    assert_eq!(names_in(&path("s.npk")), before);

    std::fs::create_dir(path("photos")).unwrap();
    std::fs::write(path("photos/cat.jpg"), "meow").unwrap();
    std::fs::write(path("letter"), "dear").unwrap();
    for existing in [Existing::Merge, Existing::Replace, Existing::Refuse] {
        for out in ["photos", "letter"] {
            let e = convert(out, existing).unwrap_err();
            assert!(matches!(e, Error::Exists { .. }), "{out}: {e}");
        }
    }
    assert_eq!(names_in(&path("photos")), ["cat.jpg"]);
    let to = ToTorch::new();
    let e = to_torch_file(path("s.npk"), path("photos"), &to, &mut NoProgress).unwrap_err();
    assert!(matches!(e, Error::Exists { .. }), "{e}");
    let refuse = to.clone().existing(Existing::Refuse);
    let e = to_torch_file(path("s.npk"), path("letter"), &refuse, &mut NoProgress).unwrap_err();
    assert!(matches!(e, Error::Exists { .. }), "{e}");
    assert_eq!(std::fs::read(path("letter")).unwrap(), b"dear");
}

#[test]
fn a_cancelled_conversion_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let mut o = Object::default();
    let root = o.tensor(DType::Float32, &[24 << 20], 1);
    o.write(root, &path("big.pt"));
    let mut calls = 0;
    let mut stop = |done: u64, total: u64| {
        calls += 1;
        assert!(done <= total);
        if done > 30 << 20 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let e =
        from_torch_file(path("big.pt"), path("big.npk"), &FromTorch::new(), &mut stop).unwrap_err();
    assert!(matches!(e, Error::Cancelled), "{e}");
    assert!(calls > 1);
    assert_eq!(names_in(folder.path()), ["big.pt"]);

    from_torch_file(path("big.pt"), path("big.npk"), &FromTorch::new(), &mut NoProgress).unwrap();
    let mut stop = |_: u64, _: u64| ControlFlow::Break(());
    let e =
        to_torch_file(path("big.npk"), path("again.pt"), &ToTorch::new(), &mut stop).unwrap_err();
    assert!(matches!(e, Error::Cancelled), "{e}");
    assert_eq!(names_in(folder.path()), ["big.npk", "big.pt"]);
}

#[test]
fn a_wrong_checksum_stops_the_conversion() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    for len in [1000u64, 3 << 20] {
        let mut o = Object::default();
        let root = o.tensor(DType::Float32, &[len], 1);
        o.write(root, &path("a.pt"));
        let mut bytes = std::fs::read(path("a.pt")).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(path("a.pt"), bytes).unwrap();
        let e = from_torch_file(path("a.pt"), path("a.npk"), &FromTorch::new(), &mut NoProgress)
            .unwrap_err();
        assert!(e.to_string().contains("checksum"), "{e}");
        assert!(!path("a.npk").exists());
        let warn = FromTorch::new().crc(numpack_interop::CrcPolicy::Warn);
        let report = from_torch_file(path("a.pt"), path("a.npk"), &warn, &mut NoProgress).unwrap();
        assert_eq!(report.warnings.len(), 1);
        let off = FromTorch::new().crc(numpack_interop::CrcPolicy::Off).existing(Existing::Replace);
        let report = from_torch_file(path("a.pt"), path("a.npk"), &off, &mut NoProgress).unwrap();
        assert_eq!(report.warnings.len(), 0);
        std::fs::remove_dir_all(path("a.npk")).unwrap();
        assert_eq!(verify(path("a.pt")).unwrap().faults.len(), 1);
    }
}
