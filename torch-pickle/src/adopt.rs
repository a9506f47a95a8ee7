//! One object becomes a part of another.

use std::path::Path;

use crate::error::{Error, Part, Result};
use crate::{Dict, Limits, Node, NodeId, StorageId, Tensor, TensorId, Tree};

/// Where the parts of an adopted tree stand now.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Adopted {
    nodes: u32,
    tensors: u32,
    storages: u32,
}

impl Adopted {
    pub(crate) fn of(self, id: NodeId) -> NodeId {
        NodeId::new(id.place() + self.nodes)
    }

    fn all(self, ids: &mut [NodeId]) {
        ids.iter_mut().for_each(|id| *id = self.of(*id));
    }

    fn pairs(self, pairs: &mut [(NodeId, NodeId)]) {
        for (key, value) in pairs {
            (*key, *value) = (self.of(*key), self.of(*value));
        }
    }

    fn option(self, id: &mut Option<NodeId>) {
        *id = id.map(|id| self.of(id));
    }

    fn node(self, node: &mut Node) {
        match node {
            Node::Tuple(ids) | Node::List(ids) | Node::Set(ids) | Node::FrozenSet(ids) => {
                self.all(ids);
            }
            Node::Dict(Dict { items, attributes, .. }) => {
                self.pairs(items);
                self.option(attributes);
            }
            Node::Storage(id) => *id = StorageId(id.0 + self.storages),
            Node::Tensor(id) => *id = TensorId(id.0 + self.tensors),
            Node::Object(object) => {
                object.callable = self.of(object.callable);
                object.args = self.of(object.args);
                self.option(&mut object.kwargs);
                self.option(&mut object.state);
                self.all(&mut object.appended);
                self.pairs(&mut object.items);
            }
            Node::None
            | Node::Bool(_)
            | Node::Int(_)
            | Node::BigInt(_)
            | Node::Float(_)
            | Node::Str(_)
            | Node::SurrogateStr(_)
            | Node::Bytes(_)
            | Node::ByteArray(_)
            | Node::Global(_) => {}
        }
    }

    fn tensor(self, tensor: &mut Tensor) {
        tensor.storage = StorageId(tensor.storage.0 + self.storages);
        self.option(&mut tensor.hooks);
        self.option(&mut tensor.state);
        self.option(&mut tensor.quantizer);
    }
}

impl Tree {
    /// Takes in all of another tree, whose root becomes a node like any other.
    pub(crate) fn adopt(&mut self, other: Tree, limits: &Limits, path: &Path) -> Result<Adopted> {
        let count = self.nodes.len() as u64 + other.nodes.len() as u64;
        let most = limits.max_nodes.min(u64::from(u32::MAX - 1));
        if count > most {
            return Err(Error::limit(path, Part::Object, "max_nodes", count, most, "nodes"));
        }
        let moved = Adopted {
            nodes: self.nodes.len() as u32,
            tensors: self.tensors.len() as u32,
            storages: self.storages.len() as u32,
        };
        self.keys_differ &= other.keys_differ;
        self.nodes.extend(other.nodes.into_iter().map(|mut node| {
            moved.node(&mut node);
            node
        }));
        self.tensors.extend(other.tensors.into_iter().map(|mut tensor| {
            moved.tensor(&mut tensor);
            tensor
        }));
        self.storages.extend(other.storages);
        Ok(moved)
    }
}
