//! Whether two trees are the same object.

use std::collections::HashMap;

use crate::{Node, NodeId, StorageId, Tensor, Tree};

const UNSET: u32 = u32::MAX;

impl Tree {
    /// Whether two trees hold the same object: values, order, which of the mutable parts are one
    /// and the same, which tensors share a storage, and the geometry of each.
    ///
    /// Left out are the bytes of the tensors, and the keys and locations of storages, which a
    /// writer may choose anew. Floats are compared by their bits. It takes time in proportion to
    /// the trees, however often their parts are shared.
    pub fn same_as(&self, other: &Tree) -> bool {
        let (Some(a), Some(b)) = (self.root(), other.root()) else {
            return self.root().is_none() && other.root().is_none();
        };
        let mut same = Same {
            a: self,
            b: other,
            to_b: vec![UNSET; self.nodes().len()],
            to_a: vec![UNSET; other.nodes().len()],
            classes: (0..(self.nodes().len() + other.nodes().len()) as u32).collect(),
            storages: HashMap::new(),
            storages_back: HashMap::new(),
            todo: vec![(a, b)],
        };
        while let Some((a, b)) = same.todo.pop() {
            if !same.visit(a, b) {
                return false;
            }
        }
        true
    }
}

struct Same<'t> {
    a: &'t Tree,
    b: &'t Tree,
    /// The partner of each mutable node that was met.
    to_b: Vec<u32>,
    to_a: Vec<u32>,
    /// Immutable nodes that were assumed equal, as a forest over the nodes of both trees: identity
    /// does not matter for these, so one may have several partners.
    classes: Vec<u32>,
    storages: HashMap<StorageId, StorageId>,
    storages_back: HashMap<StorageId, StorageId>,
    todo: Vec<(NodeId, NodeId)>,
}

impl Same<'_> {
    fn visit(&mut self, a: NodeId, b: NodeId) -> bool {
        match (self.a.node(a), self.b.node(b)) {
            (Node::Float(x), Node::Float(y)) => x.to_bits() == y.to_bits(),
            (Node::Storage(x), Node::Storage(y)) => self.pair_storages(*x, *y),
            (Node::Tuple(x), Node::Tuple(y)) | (Node::FrozenSet(x), Node::FrozenSet(y)) => {
                !self.join(a, b) || self.push_all(x, y)
            }
            (Node::List(x), Node::List(y)) | (Node::Set(x), Node::Set(y)) => {
                match self.pair(a, b) {
                    Some(fresh) => !fresh || self.push_all(x, y),
                    None => false,
                }
            }
            (Node::ByteArray(x), Node::ByteArray(y)) => self.pair(a, b).is_some() && x == y,
            (Node::Dict(x), Node::Dict(y)) => match self.pair(a, b) {
                Some(true) => {
                    x.ordered == y.ordered
                        && self.push_option(x.attributes, y.attributes)
                        && self.push_pairs(&x.items, &y.items)
                }
                Some(false) => true,
                None => false,
            },
            (Node::Tensor(x), Node::Tensor(y)) => match self.pair(a, b) {
                Some(true) => self.tensors(self.a.tensor(*x), self.b.tensor(*y)),
                Some(false) => true,
                None => false,
            },
            (Node::Object(x), Node::Object(y)) => match self.pair(a, b) {
                Some(true) => {
                    self.todo.push((x.callable, y.callable));
                    self.todo.push((x.args, y.args));
                    x.construct == y.construct
                        && self.push_option(x.kwargs, y.kwargs)
                        && self.push_option(x.state, y.state)
                        && self.push_all(&x.appended, &y.appended)
                        && self.push_pairs(&x.items, &y.items)
                }
                Some(false) => true,
                None => false,
            },
            // What is left holds no other node.
            (x, y) => std::mem::discriminant(x) == std::mem::discriminant(y) && x == y,
        }
    }

    fn tensors(&mut self, x: &Tensor, y: &Tensor) -> bool {
        (x.dtype, x.offset, x.requires_grad, x.class, x.conj, x.neg)
            == (y.dtype, y.offset, y.requires_grad, y.class, y.conj, y.neg)
            && x.shape == y.shape
            && x.stride == y.stride
            && self.pair_storages(x.storage, y.storage)
            && self.push_option(x.hooks, y.hooks)
            && self.push_option(x.state, y.state)
            && self.push_option(x.quantizer, y.quantizer)
    }

    /// Makes two mutable nodes partners. `Some(true)` if they were none before, `None` where one
    /// of them has another partner.
    fn pair(&mut self, a: NodeId, b: NodeId) -> Option<bool> {
        let (to_b, to_a) = (&mut self.to_b[a.place() as usize], &mut self.to_a[b.place() as usize]);
        if *to_b == UNSET && *to_a == UNSET {
            (*to_b, *to_a) = (b.place(), a.place());
            return Some(true);
        }
        (*to_b == b.place() && *to_a == a.place()).then_some(false)
    }

    fn pair_storages(&mut self, a: StorageId, b: StorageId) -> bool {
        let (x, y) = (self.a.storage(a), self.b.storage(b));
        (x.dtype, x.numel) == (y.dtype, y.numel)
            && *self.storages.entry(a).or_insert(b) == b
            && *self.storages_back.entry(b).or_insert(a) == a
    }

    /// Assumes two immutable nodes equal; false if that was known.
    fn join(&mut self, a: NodeId, b: NodeId) -> bool {
        let x = self.class(a.place());
        let y = self.class(self.a.nodes().len() as u32 + b.place());
        if x == y {
            return false;
        }
        self.classes[x as usize] = y;
        true
    }

    fn class(&mut self, mut id: u32) -> u32 {
        while self.classes[id as usize] != id {
            let up = self.classes[self.classes[id as usize] as usize];
            self.classes[id as usize] = up;
            id = up;
        }
        id
    }

    fn push_all(&mut self, x: &[NodeId], y: &[NodeId]) -> bool {
        self.todo.extend(x.iter().copied().zip(y.iter().copied()));
        x.len() == y.len()
    }

    fn push_pairs(&mut self, x: &[(NodeId, NodeId)], y: &[(NodeId, NodeId)]) -> bool {
        for (x, y) in x.iter().zip(y) {
            self.todo.extend([(x.0, y.0), (x.1, y.1)]);
        }
        x.len() == y.len()
    }

    fn push_option(&mut self, x: Option<NodeId>, y: Option<NodeId>) -> bool {
        match (x, y) {
            (Some(x), Some(y)) => {
                self.todo.push((x, y));
                true
            }
            (None, None) => true,
            _ => false,
        }
    }
}
