//! Pickles that other programs could have made, written again: the object is the same, and writing
//! it ends.

mod common;

use common::{checkpoint, open};
use torch_pickle::{Checkpoint, Global, Node, StorageId, WriteOptions, write};

/// A tensor of two floats on storage "1", up to its hooks.
const TENSOR: &[u8] =
    b"ctorch._utils\n_rebuild_tensor_v2\n((X\x07\0\0\0storagectorch\nFloatStorage\n\
    X\x01\0\0\x001X\x03\0\0\0cpuK\x02tQK\0K\x02\x85K\x01\x85\x89";

/// Opens the pickle, writes the object, and compares what is read again.
fn check(pickle: &[u8]) {
    let first = open(&checkpoint(pickle, &[("1", &[7; 8])])).unwrap();
    let tree = first.tree();
    let bytes: Vec<Vec<u8>> = (0..tree.storages().len() as u32)
        .map(|i| {
            let len = tree.storage(StorageId(i)).nbytes().unwrap();
            let mut bytes = vec![0; len as usize];
            first.read_storage_into(StorageId(i), &mut bytes).unwrap();
            bytes
        })
        .collect();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("again.pt");
    write(&path, tree, &WriteOptions::new(), &mut &bytes[..]).unwrap();
    let second = Checkpoint::open(&path).unwrap();
    assert!(second.verify().is_empty());
    assert!(tree.same_as(second.tree()), "{:?}\n{:?}", tree.nodes(), second.tree().nodes());
}

#[test]
fn objects_that_contain_themselves() {
    // t = ([],); t[0].append(t), and the list is the object
    check(b"\x80\x02]q\0\x85q\x01h\0h\x01a0.");
    // l = []; c = m.C(l); l.append(c)
    check(b"\x80\x02cm\nC\n]q\0\x85Rq\x01h\0h\x01a0.");
    // s = set(); c = m.C(); s.add(c); c.__dict__ = {'a': s}
    check(b"\x80\x04\x8fq\0(cm\nC\n)Rq\x01\x90h\x01}X\x01\0\0\0ah\0sb0.");
    // t.__dict__ = {1: t}
    check(&[b"\x80\x02", TENSOR, b"NtRq\x01}K\x01h\x01sb."].concat());
    // A tensor whose hooks hold a list that holds the tensor.
    check(&[b"\x80\x02", TENSOR, b"}K\x01]q\x05stRq\x06h\x05h\x06a0."].concat());
}

#[test]
fn attributes_that_are_none_are_none() {
    check(&[b"\x80\x02", TENSOR, b"NtRNb."].concat());
}

#[test]
fn hooks_that_are_filled_later_are_kept() {
    // h = {}; t = tensor(.., hooks=h); h[1] = 2
    check(&[b"\x80\x02}q\x05", TENSOR, b"h\x05tRq\x06h\x05K\x01K\x02s0h\x06\x86."].concat());
}

#[test]
fn parameters_in_the_hooks_of_parameters_are_written_once() {
    let mut pickle = b"\x80\x02}".to_vec();
    for i in 0..40u8 {
        // hooks = {0: Parameter(tensor, True, hooks)}
        let parameter: &[u8] = b"ctorch._utils\n_rebuild_parameter\n";
        let before = [&[b'q', i][..], b"0}K\0", parameter, TENSOR, b"NtR\x88", &[b'h', i]].concat();
        pickle.extend([before, b"\x87Rs".to_vec()].concat());
    }
    pickle.push(b'.');
    check(&pickle);
}

#[test]
fn sets_and_dicts_that_were_given_up_leave_no_trace() {
    // A set of twelve and a dict of eight, as the hooks of tensors, and many more of each after.
    let set: Vec<u8> =
        [&b"\x8f("[..], &(0..12).flat_map(|i| [b'K', i]).collect::<Vec<u8>>(), b"\x90"].concat();
    let dict: Vec<u8> =
        [&b"}("[..], &(0..8).flat_map(|i| [b'K', i, b'N']).collect::<Vec<u8>>(), b"uK\0Ns"]
            .concat();
    for container in [set, dict] {
        let mut pickle = [b"\x80\x04](", TENSOR, &container[..], b"tR"].concat();
        for _ in 0..9 {
            pickle.extend(&container);
        }
        pickle.extend(b"e.");
        let first = open(&checkpoint(&pickle, &[("1", &[7; 8])]));
        assert!(first.is_ok(), "{first:?}");
    }
}

#[test]
fn classes_whose_names_break_a_line_are_kept_apart() {
    // ("a\nb", "c") and ("a", "b\nc")
    let pickle = b"\x80\x04\x8C\x03a\nb\x8C\x01c\x93\x8C\x01a\x8C\x03b\nc\x93\x86.";
    let opened = open(&checkpoint(pickle, &[])).unwrap();
    let tree = opened.tree();
    let Node::Tuple(parts) = tree.node(tree.root().unwrap()) else { panic!() };
    assert_eq!(*tree.node(parts[0]), Node::Global(Box::new(Global::new("a\nb", "c"))));
    assert_eq!(*tree.node(parts[1]), Node::Global(Box::new(Global::new("a", "b\nc"))));
}

#[test]
fn hooks_that_stay_empty_are_none() {
    // h = {}; (tensor(.., hooks=h), h)
    let pickle = [b"\x80\x02}q\x05", TENSOR, b"h\x05tRh\x05\x86."].concat();
    check(&pickle);
    let opened = open(&checkpoint(&pickle, &[("1", &[7; 8])])).unwrap();
    assert_eq!(opened.tree().tensors()[0].hooks, None);
}
