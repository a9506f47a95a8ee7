//! Archives of `torch.export` come out as torch reads them. `export/make.py` says how the files were
//! made.

mod common;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use common::*;
use serde_json::Value;
use torch_pickle::{
    Checkpoint, Class, Container, FileKind, Mention, Node, ScanOptions, TensorClass, Verdict,
    ZipFile, scan,
};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/export")
}

fn truth() -> HashMap<String, Vec<Value>> {
    serde_json::from_slice(&std::fs::read(folder().join("truth.json")).unwrap()).unwrap()
}

/// Compares all that torch holds with what is listed, read and mapped.
fn check(c: &Checkpoint, wanted: &[Value]) {
    assert_eq!(c.container(), Container::Export);
    let tree = c.tree();
    let found = tree.named_tensors(1000).unwrap();
    let names: Vec<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
    let expected: Vec<&str> = wanted.iter().map(|w| w["name"].as_str().unwrap()).collect();
    assert_eq!(names, expected);
    let (mut there, mut back) = (HashMap::new(), HashMap::new());
    for ((name, node), wanted) in found.iter().zip(wanted) {
        let Node::Tensor(id) = *tree.node(*node) else { panic!("{name}") };
        let tensor = tree.tensor(id);
        let numbers = |key: &str| -> Vec<u64> {
            wanted[key].as_array().unwrap().iter().map(|n| n.as_u64().unwrap()).collect()
        };
        assert_eq!(tensor.dtype.name(), wanted["dtype"], "{name}");
        assert_eq!(tensor.shape, numbers("shape"), "{name}");
        assert_eq!(tensor.stride, numbers("stride"), "{name}");
        assert_eq!(tensor.offset, wanted["offset"].as_u64().unwrap(), "{name}");
        assert_eq!(tensor.requires_grad, wanted["requires_grad"], "{name}");
        assert_eq!(tensor.class == TensorClass::Parameter, wanted["parameter"], "{name}");
        let shares = wanted["storage"].as_u64().unwrap();
        assert_eq!(*there.entry(tensor.storage).or_insert(shares), shares, "{name}");
        assert_eq!(*back.entry(shares).or_insert(tensor.storage), tensor.storage, "{name}");
        let mut bytes = vec![0; tensor.nbytes().unwrap() as usize];
        c.read_into(id, &mut bytes).unwrap();
        let hex: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(hex, wanted["bytes"], "{name}");
        let mut streamed = Vec::new();
        c.stream(id, 16, &mut |piece| {
            streamed.extend_from_slice(piece);
            Ok(())
        })
        .unwrap();
        assert!(streamed == bytes, "{name}");
    }
    assert!(c.verify().is_empty() && c.warnings().is_empty());
}

#[test]
fn as_torch_reads_them() {
    let truth = truth();
    assert_eq!(truth.len(), 4);
    for (name, wanted) in &truth {
        let path = folder().join(name);
        let c = Checkpoint::open(&path).unwrap();
        check(&c, wanted);
        assert_eq!(c.archive().unwrap().version(), if name == "old.pt2" { 0 } else { 6 });
    }
    let of = |name: &str| truth[name].len();
    assert_eq!([of("model.pt2"), of("two.pt2"), of("old.pt2"), of("compiled.pt2")], [9, 24, 4, 3]);
}

#[test]
#[allow(unsafe_code)]
fn weights_are_mapped_where_they_lie() {
    let path = folder().join("model.pt2");
    let c = Checkpoint::open(&path).unwrap();
    let Node::Tensor(id) = *c.tree().node(c.tree().find("turned").unwrap()) else { panic!() };
    let storage = c.tree().tensor(id).storage;
    let record = c.storage_record(storage).unwrap().unwrap();
    assert!(record.is_plain() && record.offset.is_multiple_of(64) && record.len == 48);
    // SAFETY: nobody changes the file.
    let map = unsafe { c.map() }.unwrap();
    let bytes = map.storage(storage).unwrap();
    let numbers: Vec<f32> = bytes.as_chunks().0.iter().map(|&n| f32::from_le_bytes(n)).collect();
    assert_eq!(numbers, (0..12u8).map(f32::from).collect::<Vec<_>>());
    assert_eq!(&*c.tree().storage(storage).location, "cpu");
    assert_eq!(c.tree().storage(storage).key.to_string(), "data/weights/weight_2");
}

/// The records of a file, without their folder.
fn records_of(name: &str) -> Vec<(String, Vec<u8>)> {
    let zip = ZipFile::open(folder().join(name)).unwrap().unwrap();
    let entries: Vec<_> = zip.entries().map(|e| (e.name.to_owned(), e.len as usize)).collect();
    let read = |(i, (name, len)): (usize, (String, usize))| {
        let name = name.split_once('/').map_or(&*name, |(_, rest)| rest).to_owned();
        (name, zip.start_of(i as u32, len).unwrap())
    };
    entries.into_iter().enumerate().map(read).collect()
}

#[test]
fn other_layouts_of_the_same() {
    let truth = &truth()["old.pt2"];
    let old = records_of("old.pt2");
    let record = |name: &str| &*old.iter().find(|(n, _)| n == name).unwrap().1;
    let (weights, constants) =
        (record("serialized_state_dict.pt"), record("serialized_constants.pt"));
    // Files of torch.save in the newer archive.
    let mut saved = vec![
        Rec::new("m/data/weights/model.pt", weights),
        Rec::new("m/data/constants/model.pt", constants),
        Rec::new("m/models/model.json", b"{}"),
        Rec::new("m/archive_format", b"pt2"),
        Rec::new("m/archive_version", b"0"),
        Rec::new("m/.data/version", b"6\n"),
    ];
    check(&open(&zip(&saved)).unwrap(), truth);
    // Nothing is saved as nothing, and old archives had no constants, nor the version of the layout.
    saved[1] = Rec::new("m/data/constants/model.pt", b"");
    saved.remove(4);
    check(&open(&zip(&saved)).unwrap(), &truth[..3]);
    let oldest = [
        Rec::new("serialized_exported_program.json", b"{}"),
        Rec::new("serialized_state_dict.json", weights),
        Rec::new("version", b"1.1"),
    ];
    check(&open(&zip(&oldest)).unwrap(), &truth[..3]);
}

#[test]
fn what_was_pickled_is_read_and_not_run() {
    let path = folder().join("pickled.pt2");
    let c = Checkpoint::open(&path).unwrap();
    let tree = c.tree();
    let names: Vec<String> = tree.named_tensors(99).unwrap().into_iter().map(|n| n.0).collect();
    assert!(names.iter().any(|n| n.starts_with("pair")), "{names:?}");
    assert!(names.iter().any(|n| n.starts_with("packed")), "{names:?}");
    let class = |name: &str| match tree.node(tree.find(name).unwrap()) {
        Node::Object(object) => match tree.node(object.callable) {
            Node::Global(global) => format!("{}.{}", global.module, global.name),
            _ => String::new(),
        },
        other => panic!("{name}: {other:?}"),
    };
    assert_eq!(class("packed"), "__torch__.torch.classes.quantized.LinearPackedParamsBase");
    assert!(matches!(tree.node(tree.find("opaque").unwrap()), Node::Dict(d) if d.items.len() == 1));
    assert!(matches!(*tree.node(tree.find("opaque.rate").unwrap()), Node::Float(r) if r == 0.5));
    assert!(c.verify().is_empty() && c.warnings().is_empty());
}

#[test]
fn a_scan_finds_the_pickles_inside() {
    let found = |name: &str| scan(folder().join(name), &ScanOptions::new()).unwrap();
    for (name, pickles) in
        [("model.pt2", 1), ("two.pt2", 0), ("compiled.pt2", 2), ("old.pt2", 2), ("pickled.pt2", 3)]
    {
        let report = found(name);
        assert_eq!(report.containers, [FileKind::Export], "{name}: {report:?}");
        assert_eq!(report.pickles.len(), pickles, "{name}: {:?}", report.pickles);
        assert!(report.findings.is_empty(), "{name}: {:?}", report.findings);
        assert!(report.pickles.iter().all(|p| p.sound), "{name}: {:?}", report.pickles);
        // A class of torch's own tests, and no other.
        let odd = |m: &&Mention| m.class < Class::Refused;
        let odd: Vec<&str> = report.mentions.iter().filter(odd).map(|m| &*m.name).collect();
        assert_eq!(odd, if name == "pickled.pt2" { &["TwoTensor"][..] } else { &[] }, "{name}");
        assert!(!report.weights_only.accepts(), "{name}");
    }
    let pickles = found("pickled.pt2").pickles;
    let at = |name: &str| pickles.iter().any(|p| p.name.ends_with(name));
    assert!(
        at("data/constants/opaque_obj_0") && at("custom_obj_0, archive/data.pkl"),
        "{pickles:?}"
    );
}

#[test]
fn a_scan_finds_what_would_run() {
    let evil: &[u8] = b"\x80\x02cos\nsystem\nX\x02\x00\x00\x00id\x85R.";
    for (name, old) in
        [("data/constants/opaque_obj_0", None), ("data/constants/custom_obj_0", Some("data.pkl"))]
    {
        let evil = match old {
            Some(_) => checkpoint(evil, &[]),
            None => evil.to_vec(),
        };
        let changed: Vec<Rec> = records_of("pickled.pt2")
            .iter()
            .map(|(n, data)| Rec::new(&format!("m/{n}"), if n == name { &evil } else { data }))
            .collect();
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), zip(&changed)).unwrap();
        let report = scan(file.path(), &ScanOptions::new()).unwrap();
        assert_eq!(report.verdict(), Verdict::Dangerous, "{name}: {report:?}");
        // It is read all the same, as what it is: a call that nobody makes.
        assert!(Checkpoint::open(file.path()).is_ok());
    }
}
