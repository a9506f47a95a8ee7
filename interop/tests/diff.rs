//! What the comparison sees, and what it does not mind.

mod common;

use common::Object;
use numpack_interop::{Tensors, diff};
use torch_pickle::{DType, Dict, Node, NodeId, Tensor};

/// The differences of two objects, as `path: what`.
fn compare(
    a: impl FnOnce(&mut Object) -> NodeId,
    b: impl FnOnce(&mut Object) -> NodeId,
) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let open = |name: &str, make: &mut dyn FnMut(&mut Object) -> NodeId| {
        let mut object = Object::default();
        let root = make(&mut object);
        let path = folder.path().join(name);
        object.write(root, &path);
        Tensors::open(path).unwrap()
    };
    let (mut a, mut b) = (Some(a), Some(b));
    let a = open("a.pt", &mut |o| a.take().unwrap()(o));
    let b = open("b.pt", &mut |o| b.take().unwrap()(o));
    let found = diff(&a, &b, 100).unwrap();
    found.into_iter().map(|d| format!("{}: {}", d.path, d.what)).collect()
}

fn keyed(o: &mut Object, key: Node, value: Node) -> NodeId {
    let (key, value) = (o.tree.add(key), o.tree.add(value));
    o.tree.add(Node::Dict(Dict { items: vec![(key, value)], ..Dict::default() }))
}

#[test]
fn values_keys_and_kinds() {
    let int = |i| move |o: &mut Object| keyed(o, Node::Str("k".into()), Node::Int(i));
    assert_eq!(compare(int(1), int(1)), [""; 0]);
    assert_eq!(compare(int(1), int(2)), ["k: 1 in the first, 2 in the second"]);
    let key = |key: Node| move |o: &mut Object| keyed(o, key, Node::None);
    assert_eq!(
        compare(key(Node::Int(0)), key(Node::Str("0".into()))),
        ["0: in the first only", "0: in the second only"]
    );
    // One key to Python, but not of one type.
    assert_eq!(
        compare(key(Node::Int(1)), key(Node::Bool(true))),
        ["1: an int in the first, a bool in the second"]
    );
    let nan = |bits| move |o: &mut Object| o.tree.add(Node::Float(f64::from_bits(bits)));
    assert_eq!(compare(nan(0x7ff8 << 48), nan(0x7ff8 << 48)), [""; 0]);
    assert_eq!(compare(nan(0), nan(1 << 63)), [": 0.0 in the first, -0.0 in the second"]);
    let list = |o: &mut Object| o.tree.add(Node::List(Vec::new()));
    let tuple = |o: &mut Object| o.tree.add(Node::Tuple(Vec::new()));
    assert_eq!(compare(list, tuple), [": a list in the first, a tuple in the second"]);
}

#[test]
fn the_order_of_keys_counts_and_that_of_sets_does_not() {
    let dict = |keys: [i64; 2]| {
        move |o: &mut Object| {
            let none = o.tree.add(Node::None);
            let items = keys.map(|k| (o.tree.add(Node::Int(k)), none)).to_vec();
            o.tree.add(Node::Dict(Dict { items, ..Dict::default() }))
        }
    };
    assert_eq!(compare(dict([1, 2]), dict([2, 1])), [": the keys stand in another order"]);
    let set = |members: [i64; 2]| {
        move |o: &mut Object| {
            let members = members.map(|m| o.tree.add(Node::Int(m))).to_vec();
            let inner = o.tree.add(Node::FrozenSet(members));
            o.tree.add(Node::Set(vec![inner]))
        }
    };
    assert_eq!(compare(set([1, 2]), set([2, 1])), [""; 0]);
    assert_eq!(compare(set([1, 2]), set([2, 3])), [": the elements differ"]);
}

#[test]
fn tensors_that_are_keys_are_compared_too() {
    let with = |seed| {
        move |o: &mut Object| {
            let tensor = o.tensor(DType::Int8, &[3], seed);
            o.tree.add(Node::Set(vec![tensor]))
        }
    };
    assert_eq!(compare(with(1), with(1)), [""; 0]);
    assert_eq!(compare(with(1), with(2)), ["0: 3 of 3 elements differ"]);
}

#[test]
fn elements_are_counted_in_small_and_large_tensors() {
    for numel in [1000u64, 3 << 20] {
        let with = |change: bool| {
            move |o: &mut Object| {
                let tensor = o.tensor(DType::Int16, &[numel], 1);
                if change {
                    for i in [0, 1, 7, numel as usize * 2 - 1] {
                        o.bytes[0][i] ^= 0xff;
                    }
                }
                tensor
            }
        };
        assert_eq!(compare(with(false), with(false)), [""; 0]);
        assert_eq!(compare(with(false), with(true)), [format!(": 3 of {numel} elements differ")]);
    }
}

#[test]
fn sharing_is_seen() {
    let two = |shared: bool| {
        move |o: &mut Object| {
            let first = o.storage(DType::Int8, 4, 1);
            let second = if shared { first } else { o.storage(DType::Int8, 4, 1) };
            let views = [first, second].map(|s| o.view(Tensor::contiguous(s, DType::Int8, &[4])));
            o.tree.add(Node::Tuple(views.to_vec()))
        }
    };
    assert_eq!(
        compare(two(true), two(false)),
        ["1: the storage is shared with \"0\" in the first, not in the second"]
    );
    let lists = |shared: bool| {
        move |o: &mut Object| {
            let first = o.tree.add(Node::List(Vec::new()));
            let second = if shared { first } else { o.tree.add(Node::List(Vec::new())) };
            o.tree.add(Node::Tuple(vec![first, second]))
        }
    };
    assert_eq!(
        compare(lists(false), lists(true)),
        ["1: shared with \"0\" in the second, not in the first"]
    );
}

#[test]
fn depth_and_shared_keys_cost_little() {
    let deep = |o: &mut Object| {
        let mut node = o.tree.add(Node::None);
        for _ in 0..300_000 {
            node = o.tree.add(Node::List(vec![node]));
        }
        node
    };
    assert_eq!(compare(deep, deep), [""; 0]);
    // k = ((…), (…)) of twice the same, sixty levels: 2^60 leaves.
    let doubled = |o: &mut Object| {
        let mut key = o.tree.add(Node::Int(1));
        for _ in 0..60 {
            key = o.tree.add(Node::Tuple(vec![key, key]));
        }
        let value = o.tree.add(Node::None);
        o.tree.add(Node::Dict(Dict { items: vec![(key, value)], ..Dict::default() }))
    };
    assert_eq!(compare(doubled, doubled), [""; 0]);
}
