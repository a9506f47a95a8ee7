//! What is written: read back by this crate, and taken apart by the `zip` crate.

use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use torch_pickle::{
    Checkpoint, Construct, DType, Dict, Global, Node, NodeId, Object, Storage, StorageData,
    StorageId, StorageSink, StorageType, Tensor, TensorClass, Tree, WriteOptions, write,
};

fn add_storage(tree: &mut Tree, dtype: DType, numel: u64) -> StorageId {
    tree.add_storage(Storage {
        key: tree.storages().len().to_string().into(),
        dtype: StorageType::Typed(dtype),
        location: "cpu".into(),
        numel,
    })
}

fn add_tensor(tree: &mut Tree, tensor: Tensor) -> NodeId {
    let id = tree.add_tensor(tensor);
    tree.add(Node::Tensor(id))
}

fn text(tree: &mut Tree, s: &str) -> NodeId {
    tree.add(Node::Str(s.into()))
}

fn names_in(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    entries.map(|e| e.unwrap().file_name().to_string_lossy().into_owned()).collect()
}

/// Writes a tree without storages and reads it back.
fn round_trip(tree: &Tree) -> Tree {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.pt");
    write(&path, tree, &WriteOptions::new(), &mut &[[0u8; 0]; 0][..]).unwrap();
    Checkpoint::open(&path).unwrap().tree().clone()
}

#[test]
fn the_zip_crate_reads_the_same_records() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.pt");
    let mut tree = Tree::new();
    let lengths = [0u64, 1, 63, 64, 5000, 3 << 20];
    let bytes: Vec<Vec<u8>> =
        lengths.iter().map(|&n| (0..n).map(|i| (i * 7 + n) as u8).collect()).collect();
    let tensors: Vec<NodeId> = lengths
        .iter()
        .map(|&n| {
            let storage = add_storage(&mut tree, DType::UInt8, n);
            add_tensor(&mut tree, Tensor::contiguous(storage, DType::UInt8, &[n]))
        })
        .collect();
    let root = tree.add(Node::List(tensors));
    tree.set_root(root);
    for alignment in [64, 4096] {
        let options = WriteOptions::new().alignment(alignment);
        write(&path, &tree, &options, &mut &bytes[..]).unwrap();
        let mut archive = zip::ZipArchive::new(File::open(&path).unwrap()).unwrap();
        assert_eq!(archive.len(), lengths.len() + 3);
        for (i, expected) in bytes.iter().enumerate() {
            let mut entry = archive.by_name(&format!("archive/data/{i}")).unwrap();
            assert_eq!(entry.data_start().unwrap() % u64::from(alignment), 0);
            let mut found = Vec::new();
            // Reading to the end compares the checksum.
            entry.read_to_end(&mut found).unwrap();
            assert!(found == *expected);
        }
        for (name, expected) in [("byteorder", "little"), ("version", "3\n")] {
            let mut found = String::new();
            let mut entry = archive.by_name(&format!("archive/{name}")).unwrap();
            entry.read_to_string(&mut found).unwrap();
            assert_eq!(found, expected);
        }
        let checkpoint = Checkpoint::open(&path).unwrap();
        assert!(checkpoint.verify().is_empty());
        assert!(checkpoint.tree().same_as(&tree));
    }
}

#[test]
fn a_hundred_thousand_records_need_zip64() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("many.pt");
    let mut tree = Tree::new();
    let count = 100_000;
    let tensors: Vec<NodeId> = (0..count)
        .map(|_| {
            let storage = add_storage(&mut tree, DType::Int8, 1);
            add_tensor(&mut tree, Tensor::contiguous(storage, DType::Int8, &[1]))
        })
        .collect();
    let root = tree.add(Node::List(tensors));
    tree.set_root(root);
    let bytes: Vec<[u8; 1]> = (0..count).map(|i| [i as u8]).collect();
    write(&path, &tree, &WriteOptions::new(), &mut &bytes[..]).unwrap();
    assert_eq!(zip::ZipArchive::new(File::open(&path).unwrap()).unwrap().len(), count + 3);
    let checkpoint = Checkpoint::open(&path).unwrap();
    assert!(checkpoint.tree().same_as(&tree));
    let mut byte = [0];
    checkpoint.read_storage_into(StorageId(77_777), &mut byte).unwrap();
    assert_eq!(byte[0], 77_777usize as u8);
}

/// Leaves holes in the file where the storages are.
struct Holes;

impl StorageData for Holes {
    fn write_storage(
        &mut self,
        _: StorageId,
        sink: &mut StorageSink<'_, '_>,
    ) -> torch_pickle::Result<()> {
        let mut left = sink.remaining();
        // The checksum of a piece of zeros, combined with itself.
        let piece = 1u64 << 20;
        let crc = crc32fast::hash(&vec![0; piece as usize]);
        while left >= piece {
            sink.splice(piece, |file, at| {
                file.set_len(at + piece)?;
                Ok(crc)
            })?;
            left -= piece;
        }
        sink.write(&vec![0; left as usize])
    }
}

#[test]
fn storages_past_four_gigabytes_need_zip64() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("large.pt");
    let mut tree = Tree::new();
    let mut items = Vec::new();
    for (name, numel) in [("large", (1u64 << 32) + 5), ("behind", 3)] {
        let storage = add_storage(&mut tree, DType::UInt8, numel);
        let tensor = Tensor::contiguous(storage, DType::UInt8, &[numel]);
        let value = add_tensor(&mut tree, tensor);
        items.push((text(&mut tree, name), value));
    }
    let root = tree.add(Node::Dict(Dict { items, ..Dict::default() }));
    tree.set_root(root);
    write(&path, &tree, &WriteOptions::new(), &mut Holes).unwrap();
    let checkpoint = Checkpoint::open(&path).unwrap();
    assert!(checkpoint.tree().same_as(&tree));
    let behind = checkpoint.storage_record(StorageId(1)).unwrap().unwrap();
    assert!(behind.offset > 1 << 32 && behind.len == 3 && behind.offset.is_multiple_of(64));
    let mut bytes = [1; 3];
    checkpoint.read_storage_into(StorageId(1), &mut bytes).unwrap();
    assert_eq!(bytes, [0; 3]);
    let mut archive = zip::ZipArchive::new(File::open(&path).unwrap()).unwrap();
    assert_eq!(archive.by_name("archive/data/0").unwrap().size(), (1 << 32) + 5);
}

#[test]
fn circles_through_tuples_and_objects_come_back() {
    // t = ([],); t[0].append(t)
    let mut tree = Tree::new();
    let list = tree.add(Node::List(Vec::new()));
    let tuple = tree.add(Node::Tuple(vec![list, list, list, list]));
    *tree.node_mut(list) = Node::List(vec![tuple, list]);
    tree.set_root(tuple);
    assert!(round_trip(&tree).same_as(&tree));

    // An object whose state holds the object.
    let mut tree = Tree::new();
    let callable = tree.add(Node::Global(Box::new(Global::new("argparse", "Namespace"))));
    let args = tree.add(Node::Tuple(Vec::new()));
    let key = text(&mut tree, "me");
    let object = tree.add(Node::None);
    let state = tree.add(Node::Dict(Dict { items: vec![(key, object)], ..Dict::default() }));
    *tree.node_mut(object) = Node::Object(Box::new(Object {
        construct: Construct::New,
        callable,
        args,
        kwargs: None,
        state: Some(state),
        appended: Vec::new(),
        items: Vec::new(),
    }));
    tree.set_root(object);
    assert!(round_trip(&tree).same_as(&tree));
}

#[test]
fn depth_costs_no_stack() {
    let mut tree = Tree::new();
    let mut node = tree.add(Node::None);
    for i in 0..200_000 {
        node = tree.add(if i % 2 == 0 { Node::List(vec![node]) } else { Node::Tuple(vec![node]) });
    }
    tree.set_root(node);
    let worker = std::thread::Builder::new().stack_size(1 << 20);
    let work = move || assert!(round_trip(&tree).same_as(&tree));
    worker.spawn(work).unwrap().join().unwrap();
}

#[test]
fn every_kind_of_plain_value_comes_back() {
    let mut tree = Tree::new();
    let mut values = vec![
        Node::None,
        Node::Bool(true),
        Node::Bool(false),
        Node::Float(-0.0),
        Node::Float(f64::from_bits(0x7ff8_0000_0000_1234)),
        Node::Str("".into()),
        Node::Str("grüße \0 😀".into()),
        Node::SurrogateStr(vec![0x61, 0xed, 0xa0, 0x80].into()),
        Node::Bytes((0..=255).collect()),
        Node::Bytes(Vec::new().into()),
        Node::ByteArray(vec![1, 2].into()),
        Node::Tuple(Vec::new()),
        Node::List(Vec::new()),
        Node::Set(Vec::new()),
        Node::Global(Box::new(Global::new("builtins", "int"))),
        Node::BigInt([vec![0xff; 300], vec![0x7f]].concat().into()),
    ];
    for i in [0, 1, 255, 256, 65535, 65536, -1, -128, 1 << 31, -(1 << 31), i64::MAX, i64::MIN] {
        values.push(Node::Int(i));
    }
    let ids: Vec<NodeId> = values.into_iter().map(|v| tree.add(v)).collect();
    let set = tree.add(Node::FrozenSet(vec![ids[0], ids[1]]));
    let many = tree.add(Node::List((0..3500).map(|i| ids[i % ids.len()]).collect()));
    let root = tree.add(Node::List(ids.into_iter().chain([set, many]).collect()));
    tree.set_root(root);
    assert!(round_trip(&tree).same_as(&tree));
}

/// As Python reads them: a line ends with its newline, and with that alone.
#[test]
fn names_keep_a_carriage_return() {
    let mut tree = Tree::new();
    let ids: Vec<NodeId> = [("os\r", "path"), ("os", "path\r"), ("o\rs", "\r")]
        .map(|(module, name)| tree.add(Node::Global(Box::new(Global::new(module, name)))))
        .into();
    let root = tree.add(Node::List(ids));
    tree.set_root(root);
    assert!(round_trip(&tree).same_as(&tree));
}

#[test]
fn what_cannot_be_a_checkpoint_is_refused_and_nothing_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.pt");
    let refused = |tree: &Tree, options: &WriteOptions, why: &str| {
        let e = write(&path, tree, options, &mut &[[0u8; 24]][..]).unwrap_err().to_string();
        assert!(e.contains(why), "{e}");
        assert_eq!(names_in(folder.path()), [""; 0], "{why}");
    };
    let plain = WriteOptions::new();
    refused(&Tree::new(), &plain, "no root");

    // A name is a line.
    for (module, name) in [("o\ns", "path"), ("os", "pa\nth"), ("os", "")] {
        let mut tree = Tree::new();
        let root = tree.add(Node::Global(Box::new(Global::new(module, name))));
        tree.set_root(root);
        refused(&tree, &plain, "the name of a class or function cannot be written");
    }

    let with = |change: &dyn Fn(&mut Tensor)| {
        let mut tree = Tree::new();
        let storage = add_storage(&mut tree, DType::Float32, 6);
        let mut tensor = Tensor::contiguous(storage, DType::Float32, &[2, 3]);
        change(&mut tensor);
        let root = add_tensor(&mut tree, tensor);
        tree.set_root(root);
        tree
    };
    refused(&with(&|t| t.offset = 1), &plain, "reaches past its storage");
    refused(&with(&|t| t.stride[0] = 1 << 62), &plain, "reaches past its storage");
    refused(&with(&|t| t.shape = [u64::MAX, 3].into()), &plain, "reaches past its storage");
    refused(&with(&|t| t.stride = [1].into()), &plain, "2 dimensions and 1 strides");
    refused(&with(&|t| t.dtype = DType::Int32), &plain, "on a storage of float32");
    refused(&with(&|t| t.conj = true), &plain, "conj");
    refused(&with(&|t| t.neg = true), &plain, "neg");
    refused(&with(&|t| t.storage = StorageId(9)), &plain, "storage 9 is not in the tree");
    refused(&with(&|t| t.hooks = Some(NodeId::new(99))), &plain, "node 99 is not in the tree");
    for alignment in [0, 3, 65536] {
        refused(&with(&|_| {}), &WriteOptions::new().alignment(alignment), "alignment");
    }

    // Too few bytes, too many.
    for len in [23, 25] {
        let bytes = vec![0u8; len];
        let e = write(&path, &with(&|_| {}), &plain, &mut &[bytes][..]).unwrap_err();
        assert!(e.to_string().contains("record"), "{e}");
        assert_eq!(names_in(folder.path()), [""; 0]);
    }

    let mut tree = Tree::new();
    let tuple = tree.add(Node::None);
    *tree.node_mut(tuple) = Node::Tuple(vec![tuple]);
    tree.set_root(tuple);
    refused(&tree, &plain, "contains itself");
}

#[test]
fn parameters_attributes_and_quantisers_come_back() {
    let mut tree = Tree::new();
    let storage = add_storage(&mut tree, DType::Float32, 4);
    let attribute = text(&mut tree, "note");
    let value = tree.add(Node::Int(5));
    let state = tree.add(Node::Dict(Dict { items: vec![(attribute, value)], ..Dict::default() }));
    let mut nodes = Vec::new();
    for class in [TensorClass::Tensor, TensorClass::Parameter] {
        for state in [None, Some(state)] {
            for requires_grad in [false, true] {
                let mut tensor = Tensor::contiguous(storage, DType::Float32, &[4]);
                (tensor.class, tensor.state, tensor.requires_grad) = (class, state, requires_grad);
                nodes.push(add_tensor(&mut tree, tensor));
            }
        }
    }
    let quantised = add_storage(&mut tree, DType::QInt8, 4);
    let scheme = tree.add(Node::Global(Box::new(Global::new("torch", "per_tensor_affine"))));
    let scale = tree.add(Node::Float(0.5));
    let zero = tree.add(Node::Int(3));
    let mut tensor = Tensor::contiguous(quantised, DType::QInt8, &[2, 2]);
    tensor.quantizer = Some(tree.add(Node::Tuple(vec![scheme, scale, zero])));
    nodes.push(add_tensor(&mut tree, tensor));
    let untyped = tree.add_storage(Storage {
        key: "u".into(),
        dtype: StorageType::Untyped,
        location: "cpu".into(),
        numel: 4,
    });
    nodes.push(add_tensor(&mut tree, Tensor::contiguous(untyped, DType::UInt16, &[2])));
    nodes.push(tree.add(Node::Storage(untyped)));
    let root = tree.add(Node::List(nodes));
    tree.set_root(root);

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.pt");
    let bytes = [vec![1u8; 16], vec![2; 4], vec![3; 4]];
    write(&path, &tree, &WriteOptions::new(), &mut &bytes[..]).unwrap();
    let checkpoint = Checkpoint::open(&path).unwrap();
    assert!(checkpoint.tree().same_as(&tree));
    assert!(checkpoint.verify().is_empty());
}

#[test]
fn an_existing_file_is_replaced_whole_or_kept() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.pt");
    fs::write(&path, "old").unwrap();
    let mut tree = Tree::new();
    let root = tree.add(Node::None);
    tree.set_root(root);
    let nothing = &mut &[[0u8; 0]; 0][..];
    let keep = WriteOptions::new().overwrite(false);
    assert!(write(&path, &tree, &keep, nothing).is_err());
    assert_eq!(fs::read(&path).unwrap(), b"old");

    // What a run that died left is cleared; what belongs to another file is not.
    fs::write(folder.path().join(".x.pt.torch-pickle-abcd1234"), "half").unwrap();
    fs::write(folder.path().join(".y.pt.torch-pickle-abcd1234"), "other").unwrap();
    let held = File::create(folder.path().join(".x.pt.torch-pickle-living")).unwrap();
    held.lock().unwrap();
    write(&path, &tree, &WriteOptions::new(), nothing).unwrap();
    assert!(Checkpoint::open(&path).is_ok());
    let mut names = names_in(folder.path());
    names.sort();
    assert_eq!(names, [".x.pt.torch-pickle-living", ".y.pt.torch-pickle-abcd1234", "x.pt"]);
}
