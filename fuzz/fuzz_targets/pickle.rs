//! A pickle in a sound archive.
//!
//! Reading, walking and comparing never panic; a listed name can be found; and an object that can
//! be written is the same object when it is read again.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use numpack_fuzz::{Scratch, checkpoint};
use torch_pickle::{
    Checkpoint, Construct, Error, Node, NodeId, StorageId, Tree, WriteOptions, write,
};

static SCRATCH: LazyLock<Scratch> = LazyLock::new(Scratch::new);

fuzz_target!(|input: &[u8]| {
    let path = SCRATCH.write("input.pt", &checkpoint(input));
    let Ok(first) = Checkpoint::open(&path) else { return };
    let tree = first.tree();
    walk(tree);
    assert!(tree.same_as(tree), "a tree is not itself");

    let bytes: Vec<Vec<u8>> = (0..tree.storages().len() as u32).map(|i| read(&first, i)).collect();
    let out = SCRATCH.path("output.pt");
    if write(&out, tree, &WriteOptions::new(), &mut &bytes[..]).is_err() {
        return;
    }
    let second = Checkpoint::open(&out).expect("what was written can be read");
    assert_eq!(second.verify().len(), 0, "what was written is sound");
    if keeps_its_form(tree) {
        assert!(tree.same_as(second.tree()), "what was written is another object");
        assert!(second.tree().same_as(tree), "being the same is symmetric");
    }
});

fn walk(tree: &Tree) {
    for i in 0..tree.nodes().len() as u32 {
        let _ = tree.kind_of(NodeId::new(i));
    }
    let _ = tree.reachable_storages();
    let first = tree.first_names();
    let listed = tree.named_tensors(1_000).unwrap_or_default();
    for (name, _) in listed.iter().chain(&first).take(50).filter(|(n, _)| n.len() < 100) {
        if let Err(Error::Parameter { problem, .. }) = tree.find(name) {
            assert!(problem.contains("ambiguous"), "{name:?} is listed: {problem}");
        }
    }
}

fn read(checkpoint: &Checkpoint, i: u32) -> Vec<u8> {
    let len = checkpoint.tree().storage(StorageId(i)).nbytes().expect("a known length");
    let mut bytes = vec![0; len as usize];
    checkpoint.read_storage_into(StorageId(i), &mut bytes).expect("the archive is sound");
    bytes
}

/// Whether reading makes of each recipe what it was.
///
/// `__newobj_ex__` has no opcode in the protocol that is written: a call of
/// `copyreg.__newobj_ex__` builds the same, but is another recipe. And a call of a function that
/// the reader knows, kept because its arguments were odd at that time, may be understood when it
/// comes after what was done to them later.
fn keeps_its_form(tree: &Tree) -> bool {
    const KNOWN: [&str; 5] =
        ["_codecs", "builtins", "collections", "torch._tensor", "torch._utils"];
    let changes = |node: &Node| match node {
        Node::Object(o) => {
            let known = |n: &Node| matches!(n, Node::Global(g) if KNOWN.contains(&&*g.module));
            o.construct == Construct::NewEx || known(tree.node(o.callable))
        }
        _ => false,
    };
    !tree.nodes().iter().any(changes)
}
