//! `.safetensors`, `.npy` and `.npz` files: what goes out and comes in again, and what does not.

mod common;

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;

use common::random::random_object;
use common::{Object, example, names_in};
use numpack_interop::{
    CrcPolicy, Error, Existing, Export, Format, FromTorch, NoProgress, Report, Rows, Tensors,
    ToTorch, diff, export_file, from_torch_file, to_torch_file, verify,
};
use proptest::prelude::*;
use torch_pickle::{DType, Node, Tensor};

fn export(from: &Path, to: &Path) -> Result<Report, Error> {
    export_file(from, to, &Export::new(), &mut NoProgress)
}

/// By name: element type, shape and hash of each tensor.
fn contents(path: &Path) -> BTreeMap<String, (&'static str, Vec<u64>, [u8; 32])> {
    let file = Tensors::open(path).unwrap();
    let list = file.list().unwrap().into_iter();
    list.map(|t| (t.name.to_string(), (t.dtype.name(), t.shape.to_vec(), file.sha256(&t).unwrap())))
        .collect()
}

fn assert_sound(path: &Path) {
    let found = verify(path).unwrap();
    assert_eq!(found.faults, [""; 0], "{}", path.display());
}

/// What numpy has too.
fn is_number(dtype: DType) -> bool {
    use DType as D;
    matches!(dtype, D::Bool | D::UInt8 | D::UInt16 | D::UInt32 | D::UInt64 | D::Int8 | D::Int16)
        || matches!(dtype, D::Int32 | D::Int64 | D::Float16 | D::Float32 | D::Float64)
        || matches!(dtype, D::Complex64 | D::Complex128)
}

fn is_in_safetensors(dtype: DType) -> bool {
    use DType as D;
    is_number(dtype) && dtype != D::Complex128
        || matches!(dtype, D::BFloat16 | D::Float8E4M3Fn | D::Float8E5M2 | D::Float8E8M0Fnu)
        || matches!(dtype, D::Float8E4M3Fnuz | D::Float8E5M2Fnuz)
}

/// Takes a random object out and compares each tensor; then to all other kinds of file.
fn check(seed: u64, suffix: &str, takes: fn(DType) -> bool) {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let (mut object, root) = random_object(seed, takes);
    object.write(root, &path("a.pt"));
    from_torch_file(path("a.pt"), path("a.npk"), &FromTorch::new(), &mut NoProgress).unwrap();
    let out = path(&format!("b.{suffix}"));
    let copying = Export::new().copy_shared(true);
    let wanted = contents(&path("a.pt"));
    let bare = matches!(object.tree.node(root), Node::Tensor(_));
    for source in ["a.pt", "a.npk"] {
        let report = export_file(path(source), &out, &copying, &mut NoProgress).unwrap();
        assert_eq!(report.tensors, wanted.len());
        assert_sound(&out);
        let found = contents(&out);
        if bare {
            assert!(found.values().eq(wanted.values()), "{source}");
        } else {
            assert_eq!(found, wanted, "{source}");
        }
    }
    let wanted = contents(&out);
    let b = Tensors::open(&out).unwrap();
    to_torch_file(&out, path("c.pt"), &ToTorch::new(), &mut NoProgress).unwrap();
    from_torch_file(&out, path("c.npk"), &FromTorch::new(), &mut NoProgress).unwrap();
    for name in ["c.pt", "c.npk"] {
        assert_sound(&path(name));
        assert_eq!(diff(&b, &Tensors::open(path(name)).unwrap(), 5).unwrap(), [], "{name}");
        let back = path(&format!("d.{suffix}"));
        // The names of a safetensors file do not say of themselves what it was meant for.
        export(&path(name), &back).unwrap();
        assert_eq!(contents(&back), wanted, "{name}");
        if suffix == "safetensors" || name == "c.pt" {
            assert!(std::fs::read(&back).unwrap() == std::fs::read(&out).unwrap(), "{name}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    #[test]
    fn tensors_of_any_object_go_to_safetensors_and_come_back(seed: u64) {
        check(seed, "safetensors", is_in_safetensors);
    }

    #[test]
    fn tensors_of_any_object_go_to_npz_and_come_back(seed: u64) {
        check(seed, "npz", is_number);
    }
}

#[test]
fn a_real_checkpoint_goes_out_and_what_is_no_tensor_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("model.safetensors");
    let copying = Export::new().copy_shared(true);
    let report = export_file(example(), &out, &copying, &mut NoProgress).unwrap();
    assert!(report.warnings[0].starts_with("left out "), "{:?}", report.warnings);
    assert_eq!(contents(&out), contents(&example()));
    let file = Tensors::open(&out).unwrap();
    assert_eq!(file.format(), Format::SafeTensors);
    assert_eq!(file.metadata()["format"], "pt");
    let options = copying.clone().key("model");
    let report = export_file(example(), &out, &options, &mut NoProgress).unwrap();
    assert_eq!(report.warnings, [""; 0]);
    assert!(contents(&out).contains_key("hidden.bias"));
    // NumPy lacks bfloat16.
    let npz = folder.path().join("model.npz");
    let e = export_file(example(), &npz, &copying, &mut NoProgress).unwrap_err().to_string();
    assert!(e.contains(".npy files have no bfloat16"), "{e}");
    assert_eq!(names_in(folder.path()), ["model.safetensors"]);
}

#[test]
fn shared_memory_is_refused_or_copied() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let mut o = Object::default();
    let storage = o.storage(DType::Float32, 10, 1);
    let part = |from: u64, len: u64| Tensor {
        offset: from,
        ..Tensor::contiguous(storage, DType::Float32, &[len])
    };
    let (low, high, all) = (o.view(part(0, 5)), o.view(part(5, 5)), o.view(part(0, 10)));
    let empty = o.view(part(3, 0));
    for (items, clash) in [
        (&[("a", low), ("b", high), ("c", empty)][..], None),
        (&[("a", low), ("b", low)], Some(["\"a\"", "\"b\""])),
        (&[("x", high), ("y", all)], Some(["\"x\"", "\"y\""])),
    ] {
        let root = o.dict(items);
        o.write(root, &path("a.pt"));
        for out in [path("out.safetensors"), path("out.npz")] {
            let copied = Export::new().copy_shared(true);
            match (export(&path("a.pt"), &out), clash) {
                (Ok(_), None) => {}
                (Err(e @ Error::Shared { .. }), Some(names)) => {
                    let e = e.to_string();
                    assert!(names.iter().all(|n| e.contains(n)), "{e}");
                    export_file(path("a.pt"), &out, &copied, &mut NoProgress).unwrap();
                }
                (result, _) => panic!("{result:?}"),
            }
            assert_eq!(contents(&out), contents(&path("a.pt")));
        }
    }
}

#[test]
fn one_array_is_a_npy_file_and_keeps_how_it_lies() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let mut o = Object::default();
    let storage = o.storage(DType::Int16, 6, 1);
    let turned = o.view(Tensor::contiguous(storage, DType::Int16, &[3, 2]).reversed());
    let other = o.tensor(DType::Float32, &[4], 2);
    let root = o.dict(&[("turned", turned), ("other", other)]);
    o.write(root, &path("a.pt"));
    let e = export(&path("a.pt"), &path("a.npy")).unwrap_err().to_string();
    assert!(e.contains("2 tensors") && e.contains("\"turned\", \"other\""), "{e}");
    let one = Export::new().key("turned");
    export_file(path("a.pt"), path("a.npy"), &one, &mut NoProgress).unwrap();
    let bytes = std::fs::read(path("a.npy")).unwrap();
    assert!(String::from_utf8_lossy(&bytes[..128]).contains("'fortran_order': True"));
    assert_eq!(bytes[128..], o.bytes[0]);
    let a = Tensors::open(path("a.npy")).unwrap();
    assert_eq!(a.list().unwrap()[0].stride, [1, 2]);
    // The first row, of elements that do not lie side by side.
    let mut row = Vec::new();
    let take = &mut |bytes: &[u8]| {
        row.extend_from_slice(bytes);
        ControlFlow::Continue(())
    };
    a.read_rows(&a.list().unwrap()[0], &Rows::from(..1), take).unwrap();
    let stored = &o.bytes[0];
    assert_eq!(row, [&stored[..2], &stored[4..6], &stored[8..10]].concat());
    for (name, between) in [("b.npy", "b.pt"), ("c.npy", "c.npz")] {
        match between {
            "b.pt" => to_torch_file(path("a.npy"), path(between), &ToTorch::new(), &mut NoProgress),
            _ => export(&path("a.npy"), &path(between)),
        }
        .unwrap();
        export(&path(between), &path(name)).unwrap();
        assert!(std::fs::read(path(name)).unwrap() == bytes, "{between}");
    }
}

#[test]
fn metadata_is_shown_kept_and_missed() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let text = r#"{"__metadata__":{"who":"me","format":"np"},"x":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}}"#;
    let mut bytes = (text.len() as u64).to_le_bytes().to_vec();
    bytes.extend(text.as_bytes());
    bytes.extend([7, 8]);
    std::fs::write(path("a.safetensors"), &bytes).unwrap();
    export(&path("a.safetensors"), &path("b.safetensors")).unwrap();
    for name in ["a.safetensors", "b.safetensors"] {
        let summary = Tensors::open(path(name)).unwrap().summary();
        let found: Vec<_> = summary.metadata.iter().collect();
        assert_eq!(found, [(&"format".into(), &"np".into()), (&"who".into(), &"me".into())]);
        assert_eq!(summary.container, "safetensors");
    }
    let lost = "1 entry of its __metadata__ have no place";
    let a = path("a.safetensors");
    let reports = [
        to_torch_file(&a, path("a.pt"), &ToTorch::new(), &mut NoProgress).unwrap(),
        from_torch_file(&a, path("a.npk"), &FromTorch::new(), &mut NoProgress).unwrap(),
        export(&a, &path("a.npz")).unwrap(),
    ];
    for report in reports {
        assert!(report.warnings.iter().any(|w| w.contains(lost)), "{:?}", report.warnings);
    }
}

#[test]
fn several_files_are_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let mut o = Object::default();
    let (a, b) = (o.tensor(DType::BFloat16, &[3], 1), o.tensor(DType::Int64, &[2, 2], 2));
    for (name, node) in [("one", a), ("two", b)] {
        let root = o.dict(&[(name, node)]);
        o.write(root, &path("part.pt"));
        export(&path("part.pt"), &path(&format!("{name}.safetensors"))).unwrap();
    }
    let both = o.dict(&[("two", b), ("one", a)]);
    o.write(both, &path("both.pt"));
    let index = path("model.safetensors.index.json");
    let write = |map: &str| std::fs::write(&index, format!("{{\"weight_map\": {map}}}")).unwrap();
    write(r#"{"two": "two.safetensors", "one": "one.safetensors"}"#);
    let file = Tensors::open(&index).unwrap();
    assert_eq!(file.summary().container, "safetensors, 2 files");
    assert_eq!(diff(&file, &Tensors::open(path("both.pt")).unwrap(), 5).unwrap(), []);
    assert_sound(&index);
    export(&index, &path("both.safetensors")).unwrap();
    from_torch_file(&index, path("both.npk"), &FromTorch::new(), &mut NoProgress).unwrap();
    assert_eq!(contents(&path("both.npk")), contents(&path("both.safetensors")));
    for (map, words) in [
        (r#"{"one": "../one.safetensors"}"#, "is no name in the same folder"),
        (r#"{"one": ".."}"#, "is no name in the same folder"),
        (r#"{"one": "two.safetensors"}"#, "was expected to hold \"one\""),
        (r#"{"one": "three.safetensors"}"#, "three.safetensors: could not open"),
        (r#"{"one": "one.safetensors", "one": "one.safetensors"}"#, "stands there twice"),
        (r#"{"one": 1}"#, "the index is damaged"),
        ("[]", "the index is damaged"),
    ] {
        write(map);
        let e = Tensors::open(&index).err().unwrap().to_string();
        assert!(e.contains(words), "{e}");
    }
    write(r#"{"one": "one.safetensors"}"#);
    assert_eq!(Tensors::open(&index).unwrap().warnings(), [""; 0]);
    write("{}");
    assert!(Tensors::open(&index).unwrap().list().unwrap().is_empty());
}

#[test]
fn an_output_appears_whole_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let mut o = Object::default();
    let large = o.tensor(DType::Float32, &[1 << 20, 9], 1);
    let root = o.dict(&[("large", large)]);
    o.write(root, &path("a.pt"));
    from_torch_file(path("a.pt"), path("a.npk"), &FromTorch::new(), &mut NoProgress).unwrap();
    for suffix in ["safetensors", "npy", "npz"] {
        let out = path(&format!("out.{suffix}"));
        std::fs::write(&out, "before").unwrap();
        let refuse = Export::new().existing(Existing::Refuse);
        let e = export_file(path("a.pt"), &out, &refuse, &mut NoProgress).unwrap_err();
        assert!(matches!(e, Error::Exists { .. }), "{e}");
        for source in ["a.pt", "a.npk"] {
            let mut seen = 0;
            let mut stop = |done: u64, total: u64| {
                assert_eq!(total, 36 << 20);
                seen = done;
                if done < 20 << 20 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            };
            let e = export_file(path(source), &out, &Export::new(), &mut stop).unwrap_err();
            assert!(matches!(e, Error::Cancelled), "{e}");
            assert!(seen >= 20 << 20);
            assert_eq!(std::fs::read(&out).unwrap(), b"before");
        }
        export(&path("a.npk"), &out).unwrap();
        let found: Vec<_> = contents(&out).into_values().collect();
        assert_eq!(found, contents(&path("a.pt")).into_values().collect::<Vec<_>>());
        assert_sound(&out);
        let e = export(&out, &out).unwrap_err().to_string();
        assert!(e.contains("the output is"), "{e}");
    }
    let e = export(&path("a.pt"), &path("out.txt")).unwrap_err().to_string();
    assert!(e.contains(".safetensors, .npy or .npz"), "{e}");
    let names = ["a.npk", "a.pt", "out.npy", "out.npz", "out.safetensors"];
    assert_eq!(names_in(folder.path()), names);
}

#[test]
fn a_damaged_archive_is_found_out_wherever_its_bytes_are_used() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let mut o = Object::default();
    // One that passes through a buffer, and one that the kernel copies.
    let (small, large) =
        (o.tensor(DType::Int32, &[9], 1), o.tensor(DType::Int32, &[1 << 20, 2], 2));
    let root = o.dict(&[("small", small), ("large", large)]);
    o.write(root, &path("a.pt"));
    export(&path("a.pt"), &path("a.npz")).unwrap();
    let sound = std::fs::read(path("a.npz")).unwrap();
    let file = Tensors::open(path("a.npz")).unwrap();
    let checkpoint = file.checkpoint().unwrap();
    for (i, name) in ["small", "large"].iter().enumerate() {
        let record = checkpoint.storage_record(torch_pickle::StorageId(i as u32)).unwrap().unwrap();
        assert_eq!(record.offset % 64, 0);
        let mut bytes = sound.clone();
        bytes[record.offset as usize + 5] ^= 1;
        std::fs::write(path("bad.npz"), &bytes).unwrap();
        let faults = verify(path("bad.npz")).unwrap().faults;
        assert!(faults.len() == 1 && faults[0].contains(&format!("record {name}")), "{faults:?}");
        let bad = path("bad.npz");
        let results = [
            from_torch_file(&bad, path("x.npk"), &FromTorch::new(), &mut NoProgress),
            to_torch_file(&bad, path("x.pt"), &ToTorch::new(), &mut NoProgress),
            export(&bad, &path("x.npz")),
            export(&bad, &path("x.safetensors")),
        ];
        for result in results {
            let e = result.unwrap_err().to_string();
            assert!(e.contains("checksum"), "{e}");
        }
        assert_eq!(names_in(folder.path()), ["a.npz", "a.pt", "bad.npz"]);
        let lenient = Export::new().crc(CrcPolicy::Warn);
        let report = export_file(&bad, path("x.npz"), &lenient, &mut NoProgress).unwrap();
        assert!(report.warnings[0].contains("checksum"), "{:?}", report.warnings);
        std::fs::remove_file(path("x.npz")).unwrap();
    }
}

#[test]
fn suffixes_and_contents_say_what_a_file_is() {
    let folder = tempfile::tempdir().unwrap();
    let mut o = Object::default();
    let root = o.tensor(DType::Float32, &[2], 1);
    let pt = folder.path().join("x.pt");
    o.write(root, &pt);
    for format in [Format::SafeTensors, Format::Npy, Format::Npz] {
        let out = folder.path().join("out.any");
        let options = Export::new().format(format);
        export_file(&pt, &out, &options, &mut NoProgress).unwrap();
        assert_eq!(Format::of_file(&out).unwrap(), format);
        assert_eq!(Format::of_suffix(format!("x.{}", format.name())), Some(format));
        // A checkpoint is one whatever it is called.
        let called = folder.path().join(format!("y.{}", format.name()));
        std::fs::copy(&pt, &called).unwrap();
        assert_eq!(Format::of_file(&called).unwrap(), Format::Torch);
    }
}
