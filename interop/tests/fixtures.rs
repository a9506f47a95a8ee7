//! Real checkpoints from elsewhere: each becomes a store and comes back, and at every stage is
//! what torch says of it.

mod common;

use std::collections::BTreeMap;
use std::path::Path;

use numpack_interop::{
    FromTorch, NoProgress, Tensors, ToTorch, diff, from_torch_file, to_torch_file, verify,
};
use serde_json::Value;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// What of a file's tensors is not as torch says.
fn disagreements(file: &Tensors, truth: &Value) -> Vec<String> {
    let list = file.list().unwrap();
    let expected = truth["tensors"].as_array().unwrap();
    let mut wrong = Vec::new();
    if list.len() != expected.len() {
        wrong.push(format!("{} tensors, expected {}", list.len(), expected.len()));
    }
    let mut storages = BTreeMap::new();
    for (t, e) in list.iter().zip(expected) {
        let mut check = |what: &str, found: Value, expected: &Value| {
            if found != *expected {
                wrong.push(format!("{}: {what} {found}, expected {expected}", t.name));
            }
        };
        check("name", t.name.as_str().into(), &e["name"]);
        check("dtype", t.dtype.name().into(), &e["dtype"]);
        check("shape", serde_json::json!(t.shape[..]), &e["shape"]);
        check("sha256", hex(&file.sha256(t).unwrap()).into(), &e["sha256"]);
        // `state_dict()` detaches; a module's own parameters are parameters.
        if truth["root"] != "module" {
            check("requires_grad", t.requires_grad.into(), &e["requires_grad"]);
            check("parameter", t.parameter.into(), &e["parameter"]);
        }
        let known = storages.entry(t.storage).or_insert_with(|| e["storage_id"].clone());
        check("storage", known.clone(), &e["storage_id"]);
    }
    wrong
}

#[test]
fn every_checkpoint_becomes_a_store_and_comes_back() {
    let Some(fixtures) = common::fixtures() else { return };
    let fixtures = fixtures.join("pt");
    let truth: Value =
        serde_json::from_slice(&std::fs::read(fixtures.join("truth.json")).unwrap()).unwrap();
    let (mut agreed, mut tensors) = (0, 0);
    let mut wrong = Vec::new();
    for (name, truth) in truth.as_object().unwrap() {
        let path = fixtures.join(name);
        if truth.get("error").is_some() {
            continue;
        }
        let source = Tensors::open(&path).unwrap_or_else(|e| panic!("{e}"));
        let folder = tempfile::tempdir().unwrap();
        match round_trip(&source, truth, folder.path()) {
            found if found.is_empty() => {
                agreed += 1;
                tensors += truth["tensors"].as_array().unwrap().len();
            }
            found => wrong.push(format!("{name}:\n    {}", found.join("\n    "))),
        }
    }
    println!("{agreed} checkpoints with {tensors} tensors agree at every stage");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(agreed > 150, "only {agreed}");
}

fn round_trip(source: &Tensors, truth: &Value, folder: &Path) -> Vec<String> {
    let (store, back) = (folder.join("s.npk"), folder.join("b.pt"));
    let mut wrong = disagreements(source, truth);
    let report =
        from_torch_file(source.path(), &store, &FromTorch::new(), &mut NoProgress).unwrap();
    to_torch_file(&store, &back, &ToTorch::new(), &mut NoProgress).unwrap();
    for path in [&store, &back] {
        wrong.extend(verify(path).unwrap().faults);
        let file = Tensors::open(path).unwrap();
        // A module was reduced to its tensors, under the names its state dict has.
        wrong.extend(disagreements(&file, truth).into_iter().filter(|w| {
            report.warnings.is_empty() || !(w.contains("parameter") || w.contains("requires_grad"))
        }));
        if report.warnings.is_empty() {
            wrong.extend(diff(source, &file, 5).unwrap().iter().map(|d| format!("{d:?}")));
        }
    }
    wrong
}

#[test]
fn every_store_is_listed_and_exported() {
    let Some(fixtures) = common::fixtures() else { return };
    let fixtures = fixtures.join("npk");
    let truth: Value =
        serde_json::from_slice(&std::fs::read(fixtures.join("truth.json")).unwrap()).unwrap();
    let mut arrays = 0;
    for (name, truth) in truth["stores"].as_object().unwrap() {
        let path = fixtures.join(truth["path"].as_str().unwrap());
        let folder = tempfile::tempdir().unwrap();
        let back = folder.path().join("b.pt");
        to_torch_file(&path, &back, &ToTorch::new(), &mut NoProgress).unwrap();
        for path in [&path, &back] {
            let file = Tensors::open(path).unwrap();
            let list = file.list().unwrap();
            let expected = truth["arrays"].as_object().unwrap();
            assert_eq!(list.len(), expected.len(), "{name}");
            for t in &list {
                let e = &expected[t.name.as_str()];
                assert_eq!(t.dtype.name(), e["dtype"].as_str().unwrap(), "{name} {}", t.name);
                assert_eq!(serde_json::json!(t.shape[..]), e["shape"], "{name} {}", t.name);
                assert_eq!(hex(&file.sha256(t).unwrap()), e["sha256"].as_str().unwrap());
                arrays += 1;
            }
        }
    }
    println!("{arrays} arrays agree, in their stores and exported");
    assert!(arrays > 100);
}
