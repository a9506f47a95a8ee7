//! What is in the containers besides the zip archive comes out as it was put in.

mod common;
#[path = "common/containers.rs"]
mod containers;

use common::*;
use containers::*;
use torch_pickle::{Checkpoint, Container, Node, TensorId};

fn tensor(checkpoint: &Checkpoint, name: &str) -> TensorId {
    let tree = checkpoint.tree();
    match *tree.node(tree.find(name).unwrap()) {
        Node::Tensor(id) => id,
        ref other => panic!("{name}: {other:?}"),
    }
}

fn read(checkpoint: &Checkpoint, id: TensorId) -> Vec<u8> {
    let len = checkpoint.tree().tensor(id).nbytes().unwrap();
    let mut out = vec![0; len as usize];
    checkpoint.read_into(id, &mut out).unwrap();
    let mut streamed = Vec::new();
    checkpoint
        .stream(id, 4096, &mut |piece| {
            streamed.extend_from_slice(piece);
            Ok(())
        })
        .unwrap();
    assert!(out == streamed);
    out
}

fn numbers(bytes: &[u8]) -> Vec<i32> {
    bytes.as_chunks().0.iter().map(|&n| i32::from_le_bytes(n)).collect()
}

#[test]
fn legacy_views_and_modules() {
    let whole = |p| legacy_id(p, "ByteStorage", "10", 8, None);
    let part = |p| legacy_id(p, "ByteStorage", "10", 8, Some(("11", 3, 4)));
    let p = tensor_of(Pickle::new().op(b"}(").str("whole"), whole, 1, &[7], &[1]);
    let p = tensor_of(p.str("part"), part, 1, &[3], &[1]);
    let p = tensor_of(p.str("turned"), part, 0, &[2, 2], &[1, 2]);
    let p = part(p.str("storage"));
    // A module is its class, its file and its source, which is left alone.
    let p = p.str("module").op(b"(").str("module").global("my.net", "Net").str("net.py");
    let p = p.str("raise SystemExit").op(b"tQ)\x81}(").str("weight");
    let p = tensor_of(p, whole, 0, &[2], &[4]).op(b"ubu");
    for protocol in 0..6 {
        let mut bytes = magic(protocol);
        let rest = legacy(&p.clone().end(), &["10"], &[(8, &[0, 1, 2, 3, 4, 5, 6, 7])]);
        bytes.extend(&rest[magic(2).len()..]);
        let c = open(&bytes).unwrap();
        assert_eq!(c.container(), Container::Legacy);
        assert_eq!(read(&c, tensor(&c, "whole")), [1, 2, 3, 4, 5, 6, 7]);
        assert_eq!(read(&c, tensor(&c, "part")), [4, 5, 6]);
        assert_eq!(read(&c, tensor(&c, "turned")), [3, 5, 4, 6]);
        assert_eq!(read(&c, tensor(&c, "module.weight")), [0, 4]);
        // Tensors of a part share the whole, so that what they share stays shared.
        let shown = |name| c.tree().tensor(tensor(&c, name)).storage;
        assert_eq!(shown("whole"), shown("part"));
        let Node::Storage(id) = *c.tree().node(c.tree().find("storage").unwrap()) else { panic!() };
        let mut out = [0; 4];
        c.read_storage_into(id, &mut out).unwrap();
        assert_eq!(out, [3, 4, 5, 6]);
        let Node::Object(module) = c.tree().node(c.tree().find("module").unwrap()) else {
            panic!()
        };
        assert!(matches!(c.tree().node(module.callable), Node::Global(g) if &*g.name == "Net"));
        assert!(c.verify().is_empty() && c.warnings().is_empty());
    }
}

#[test]
fn legacy_storages_stand_in_the_order_of_the_keys() {
    let p = ["a", "b"].iter().fold(Pickle::new().op(b"}("), |p, key| {
        tensor_of(p.str(key), |p| legacy_id(p, "ShortStorage", key, 2, None), 0, &[2], &[1])
    });
    let mut bytes =
        legacy(&p.op(b"u").end(), &["b", "a"], &[(2, &[1, 0, 2, 0]), (2, &[3, 0, 4, 0])]);
    bytes.extend(b"more");
    let c = open(&bytes).unwrap();
    assert_eq!(read(&c, tensor(&c, "b")), [1, 0, 2, 0]);
    assert_eq!(read(&c, tensor(&c, "a")), [3, 0, 4, 0]);
    assert!(c.warnings()[0].contains("4 bytes follow the last storage"), "{:?}", c.warnings());
}

#[test]
fn tar_storages_parts_and_tensors() {
    let storages = tar_storages(
        &[(1, "IntStorage", 6, &[0, 1, 2, 3, 4, 5].map(i32::to_le_bytes).concat())],
        &[[2, 1, 2, 4], [3, 2, 1, 2]],
    );
    let tensors =
        tar_tensors(&[(10, 1, &[2, 3], &[3, 1], 0), (11, 2, &[2], &[2], 1), (12, 3, &[], &[], 1)]);
    let p = Pickle::new().op(b"}(").str("all").op(b"P10\n").str("part").op(b"P11\n");
    let p = p.str("inner").op(b"P12\n").str("storage").op(b"P3\n").str("class");
    let p = p.op(b"(").global("my.net", "Net").str("net.py").str("source").op(b"tQu");
    let mut members = tar_members(storages, tensors, p.end());
    // A file that only has a time with a fraction.
    let times =
        Member { kind: b'x', ..Member::new("PaxHeaders", b"20 mtime=1500000.5\n".to_vec()) };
    members.insert(1, times);
    let c = open(&tar(&members)).unwrap();
    assert_eq!(c.container(), Container::Tar);
    assert_eq!(numbers(&read(&c, tensor(&c, "all"))), [0, 1, 2, 3, 4, 5]);
    assert_eq!(numbers(&read(&c, tensor(&c, "part"))), [3, 5]);
    assert_eq!(numbers(&read(&c, tensor(&c, "inner"))), [4]);
    let Node::Storage(id) = *c.tree().node(c.tree().find("storage").unwrap()) else { panic!() };
    let mut out = [0; 8];
    c.read_storage_into(id, &mut out).unwrap();
    assert_eq!(numbers(&out), [3, 4]);
    assert!(c.verify().is_empty());
}

#[test]
fn torchscript_has_constants() {
    let weight = Pickle::new().op(b"}").str("w").tensor(&SMALL).op(b"s").end();
    let constant = T { numel: 2, shape: &[2], stride: &[1], ..SMALL };
    let constants = Pickle::new().op(b"(").tensor(&constant).op(b"t").end();
    let mut all = records(&weight, &[("0", &[1, 2, 3, 4, 5, 6])]);
    all.push(Rec::new("archive/constants.pkl", &constants));
    all.push(Rec::new("archive/constants/0", &[7, 8]));
    all.push(Rec::deflated("archive/code/__torch__.py", b"exit()\n"));
    let c = open(&zip(&all)).unwrap();
    assert_eq!(c.container(), Container::TorchScript);
    assert_eq!(read(&c, tensor(&c, "w")), [1, 2, 3, 4, 5, 6]);
    let constants = c.constants().unwrap();
    assert_eq!(read(constants, tensor(constants, "0")), [7, 8]);
    // In an archive of one, a storage is never taken from the folder of the other.
    all.retain(|r| r.name != b"archive/constants/0");
    let e = open(&zip(&all)).unwrap_err().to_string();
    assert!(e.contains("constants/0"), "{e}");
}

#[test]
fn shards_are_one_dict() {
    let folder = tempfile::tempdir().unwrap();
    let shard = |name: &str, key: &str, byte: u8| {
        let p = Pickle::new().op(b"}").str(key).tensor(&SMALL).op(b"s").end();
        std::fs::write(folder.path().join(name), checkpoint(&p, &[("0", &[byte; 6])])).unwrap();
    };
    shard("1.bin", "b", 1);
    shard("2.bin", "a", 2);
    let index = folder.path().join("pytorch_model.bin.index.json");
    std::fs::write(&index, r#" {"metadata": {}, "weight_map": {"b": "1.bin", "a": "2.bin"}}"#)
        .unwrap();
    let c = Checkpoint::open(&index).unwrap();
    assert_eq!(c.container(), Container::Shards);
    assert_eq!(read(&c, tensor(&c, "b")), [1; 6]);
    assert_eq!(read(&c, tensor(&c, "a")), [2; 6]);
    assert!(c.verify().is_empty());
}

/// Each way of reading a tensor that lies in pieces, against the numbers 0 and up.
fn compare(c: &Checkpoint, name: &str, shape: &[i64]) {
    let id = tensor(c, name);
    let count: i64 = shape.iter().product();
    let all: Vec<i32> = (0..count as i32).collect();
    assert!(numbers(&read(c, id)) == all, "{name}");
    let Some(&rows) = shape.first() else { return };
    let row = (count / rows) as usize;
    for (first, step) in [(0, 1), (rows / 2, 1), (0, 2), (1 % rows, 3), (rows - 1, 1)] {
        let n = (rows - 1 - first) / step + 1;
        let mut out = Vec::new();
        let rows = (first as u64, n as u64, step as u64);
        c.stream_rows(id, rows, 4096, &mut |piece| {
            out.extend_from_slice(piece);
            Ok(())
        })
        .unwrap();
        let wanted: Vec<i32> = (0..n)
            .flat_map(|i| all[(first + i * step) as usize * row..][..row].iter().copied())
            .collect();
        assert!(numbers(&out) == wanted, "{name}: {rows:?}");
    }
}

/// A name, a shape, and where each dimension is cut.
type Cut<'a> = (&'a str, &'a [i64], &'a [Vec<i64>]);

#[test]
fn pieces_are_one_tensor_however_they_are_read() {
    let shapes: [Cut<'_>; 9] = [
        ("rows", &[10, 4], &[vec![3, 7], vec![]]),
        ("columns", &[10, 9], &[vec![], vec![1, 4, 8]]),
        ("both", &[9, 10], &[vec![2, 5], vec![3, 9]]),
        ("box", &[4, 6, 5], &[vec![1, 3], vec![2, 4], vec![1]]),
        ("slab", &[1, 3000, 2], &[vec![], vec![], vec![1]]),
        ("flat", &[5000], &[vec![1, 2500, 4999]]),
        ("inner", &[3, 4, 50], &[vec![], vec![2], vec![]]),
        ("wide", &[2, 40_000], &[vec![1], vec![20_000]]),
        ("one", &[], &[]),
    ];
    let folder = tempfile::tempdir().unwrap();
    let made = shapes.iter().fold(Folder::default(), |f, (n, s, cuts)| sharded(f, n, s, cuts));
    made.write(folder.path());
    let c = Checkpoint::open(folder.path()).unwrap();
    assert_eq!(c.container(), Container::Distributed);
    for (name, shape, _) in shapes {
        compare(&c, name, shape);
        let storage = c.tree().tensor(tensor(&c, name)).storage;
        assert!(c.storage_record(storage).unwrap().is_none() && c.storage_file(storage).is_none());
    }
    assert!(c.verify().is_empty(), "{:?}", c.verify());
    let other = Checkpoint::open(folder.path()).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| shapes.iter().for_each(|(name, shape, _)| compare(&other, name, shape)));
        }
    });
}

#[test]
#[allow(unsafe_code)]
fn pieces_cannot_be_mapped() {
    let folder = tempfile::tempdir().unwrap();
    sharded(Folder::default(), "w", &[4], &[vec![2]]).write(folder.path());
    let c = Checkpoint::open(folder.path()).unwrap();
    // SAFETY: nobody else knows the folder.
    let map = unsafe { c.map() }.unwrap();
    let e = map.tensor(tensor(&c, "w")).unwrap_err().to_string();
    assert!(e.contains("several pieces") && e.contains("read_storage_into"), "{e}");
}

#[test]
fn objects_and_ways_are_nested() {
    let object = checkpoint(&Pickle::new().op(b"K\x07").end(), &[]);
    let state = Pickle::new().op(b"]").tensor(&SMALL).op(b"a").end();
    let state = checkpoint(&state, &[("0", &[9; 6])]);
    let made = sharded(Folder::default(), "m.w", &[3], &[vec![1]])
        .object("m.step", "__0_0.distcp", &object)
        .object("m.list", "__1_0.distcp", &state)
        .tensor("empty", &[0, 1 << 40])
        .way("m.w", &[Step::Name("m"), Step::Name("w")])
        .way("m.step", &[Step::Name("m"), Step::Place(0)])
        .way("m.list", &[Step::Name("l"), Step::Place(2)]);
    let folder = tempfile::tempdir().unwrap();
    made.write(folder.path());
    // "m" cannot be both a dict and a list.
    let e = Checkpoint::open(folder.path()).unwrap_err().to_string();
    assert!(e.contains("\"m.step\" does not fit"), "{e}");
    let mut made = made;
    made.ways[1].1 = vec![Step::Name("m"), Step::Name("step")];
    made.write(folder.path());
    let c = Checkpoint::open(folder.path()).unwrap();
    let tree = c.tree();
    assert_eq!(numbers(&read(&c, tensor(&c, "m.w"))), [0, 1, 2]);
    assert_eq!(*tree.node(tree.find("m.step").unwrap()), Node::Int(7));
    assert_eq!(*tree.node(tree.find("l.0").unwrap()), Node::None);
    assert_eq!(read(&c, tensor(&c, "l.2.0")), [9; 6]);
    assert!(read(&c, tensor(&c, "empty")).is_empty());
    assert!(c.verify().is_empty());
}
