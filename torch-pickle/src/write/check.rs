//! What has to be known of a tree before it is written: that it can be, which nodes are referred
//! to more than once, and which storages in which order.

use super::refused;
use crate::pickle::text::is_utf8_with_surrogates;
use crate::{Dict, Error, Node, NodeId, Result, StorageId, StorageType, Tensor, Tree};

/// The plan of a file.
pub(super) struct Plan {
    pub(super) root: NodeId,
    /// How often each node is referred to, saturating at 2.
    references: Vec<u8>,
    /// The storages to write, in the order the pickle meets them.
    pub(super) storages: Vec<StorageId>,
    /// The key of each storage of the tree: its place in `storages`.
    keys: Vec<u32>,
}

impl Plan {
    /// Checks `tree` and numbers its storages.
    pub(super) fn of(tree: &Tree) -> Result<Plan> {
        let root = tree.root().ok_or_else(|| refused("the tree has no root; set one first"))?;
        let mut plan = Plan {
            root,
            references: vec![0; tree.nodes().len()],
            storages: Vec::new(),
            keys: vec![u32::MAX; tree.storages().len()],
        };
        let mut stack = vec![root];
        while let Some(id) = stack.pop() {
            let node = tree
                .nodes()
                .get(id.place() as usize)
                .ok_or_else(|| out_of_range("node", id.place()))?;
            let count = &mut plan.references[id.place() as usize];
            *count = count.saturating_add(1).min(2);
            if *count > 1 {
                continue;
            }
            let first = stack.len();
            each_child(tree, node, |child, _| stack.push(child))?;
            stack[first..].reverse();
            match node {
                Node::SurrogateStr(bytes) if !is_utf8_with_surrogates(bytes) => {
                    return Err(refused(format!(
                        "node {} is a string that is not UTF-8, not even with surrogates",
                        id.place()
                    )));
                }
                Node::Storage(s) => plan.meet(tree, *s)?,
                Node::Tensor(t) => {
                    let tensor = tree.tensor(*t);
                    check_tensor(tree, tensor)?;
                    let quantizer =
                        tensor.quantizer.and_then(|q| tree.nodes().get(q.place() as usize));
                    if !matches!(quantizer, None | Some(Node::Tuple(_))) {
                        return Err(refused("the quantizer of a tensor must be a tuple"));
                    }
                    plan.meet(tree, tensor.storage)?;
                }
                _ => {}
            }
        }
        plan.check_buildable(tree)?;
        plan.check_keys(tree)?;
        Ok(plan)
    }

    /// Whether the node is referred to more than once, and so needs a place in the memo.
    pub(super) fn is_shared(&self, id: NodeId) -> bool {
        self.references[id.place() as usize] > 1
    }

    /// The number that stands for a storage in the file.
    pub(super) fn key(&self, id: StorageId) -> u32 {
        self.keys[id.0 as usize]
    }

    fn meet(&mut self, tree: &Tree, id: StorageId) -> Result<()> {
        let key = self.keys.get_mut(id.0 as usize).ok_or_else(|| out_of_range("storage", id.0))?;
        if *key == u32::MAX {
            *key = self.storages.len() as u32;
            self.storages.push(id);
            if tree.storage(id).nbytes().is_none() {
                return Err(refused(format!("the size of storage {} does not fit 64 bits", id.0)));
            }
        }
        Ok(())
    }

    /// Keys of dicts and members of sets must have a hash.
    fn check_keys(&self, tree: &Tree) -> Result<()> {
        let mut sound = vec![false; tree.nodes().len()];
        let mut stack = Vec::new();
        for (i, node) in tree.nodes().iter().enumerate().filter(|(i, _)| self.references[*i] > 0) {
            match node {
                Node::Dict(dict) => stack.extend(dict.items.iter().map(|i| i.0)),
                Node::Object(object) => stack.extend(object.items.iter().map(|i| i.0)),
                Node::Set(parts) | Node::FrozenSet(parts) => stack.extend(parts),
                _ => continue,
            }
            while let Some(key) = stack.pop() {
                if std::mem::replace(&mut sound[key.place() as usize], true) {
                    continue;
                }
                let kind = match tree.node(key) {
                    Node::Tuple(parts) => {
                        stack.extend(parts);
                        continue;
                    }
                    Node::List(_) => "a list",
                    Node::Dict(_) => "a dict",
                    Node::Set(_) => "a set",
                    Node::ByteArray(_) => "a bytearray",
                    _ => continue,
                };
                return Err(refused(format!("{kind} cannot be a key, as it is in node {i}")));
            }
        }
        Ok(())
    }

    /// A tuple, a set or the arguments of an object exist before the thing they are put into, so
    /// a circle of only those can never be built.
    fn check_buildable(&self, tree: &Tree) -> Result<()> {
        const OPEN: u8 = 1;
        const DONE: u8 = 2;
        enum Step {
            Enter(NodeId),
            Leave(NodeId),
        }
        let mut state = vec![0u8; tree.nodes().len()];
        for start in (0..tree.nodes().len() as u32).map(NodeId::new) {
            if state[start.place() as usize] != 0 || self.references[start.place() as usize] == 0 {
                continue;
            }
            let mut stack = vec![Step::Enter(start)];
            while let Some(step) = stack.pop() {
                match step {
                    Step::Leave(id) => state[id.place() as usize] = DONE,
                    Step::Enter(id) => match state[id.place() as usize] {
                        DONE => {}
                        OPEN => {
                            return Err(refused(format!(
                                "node {} contains itself without a list, dict or attribute in \
                                 between; Python could not build it",
                                id.place()
                            )));
                        }
                        _ => {
                            state[id.place() as usize] = OPEN;
                            stack.push(Step::Leave(id));
                            each_child(tree, tree.node(id), |child, before| {
                                if before {
                                    stack.push(Step::Enter(child));
                                }
                            })?;
                        }
                    },
                }
            }
        }
        Ok(())
    }
}

/// Calls `f` with each node that `node` refers to, and whether that one must exist before it.
fn each_child(tree: &Tree, node: &Node, mut f: impl FnMut(NodeId, bool)) -> Result<()> {
    match node {
        Node::Tuple(parts) | Node::Set(parts) | Node::FrozenSet(parts) => {
            parts.iter().for_each(|&p| f(p, true));
        }
        Node::List(parts) => parts.iter().for_each(|&p| f(p, false)),
        Node::Dict(Dict { items, attributes, .. }) => {
            for &(k, v) in items {
                f(k, false);
                f(v, false);
            }
            if let Some(a) = attributes {
                f(*a, false);
            }
        }
        Node::Tensor(t) => {
            let tensor =
                tree.tensors().get(t.0 as usize).ok_or_else(|| out_of_range("tensor", t.0))?;
            for child in [tensor.quantizer, tensor.hooks, tensor.state].into_iter().flatten() {
                f(child, true);
            }
        }
        Node::Object(object) => {
            f(object.callable, true);
            f(object.args, true);
            if let Some(kwargs) = object.kwargs {
                f(kwargs, true);
            }
            object.appended.iter().for_each(|&e| f(e, false));
            for &(k, v) in &object.items {
                f(k, false);
                f(v, false);
            }
            if let Some(state) = object.state {
                f(state, false);
            }
        }
        _ => {}
    }
    Ok(())
}

fn check_tensor(tree: &Tree, tensor: &Tensor) -> Result<()> {
    let storage = tree
        .storages()
        .get(tensor.storage.0 as usize)
        .ok_or_else(|| out_of_range("storage", tensor.storage.0))?;
    let fail = |what: String| Err(refused(what));
    if tensor.conj || tensor.neg {
        return fail(
            "a tensor with the conj or neg bit cannot be written; resolve it first".to_owned(),
        );
    }
    if tensor.shape.len() != tensor.stride.len() {
        return fail(format!(
            "a tensor has {} dimensions and {} strides",
            tensor.shape.len(),
            tensor.stride.len()
        ));
    }
    if let StorageType::Typed(dtype) = storage.dtype
        && dtype != tensor.dtype
    {
        return fail(format!("a {} tensor on a storage of {dtype}", tensor.dtype));
    }
    if tensor.quantizer.is_some() && storage.dtype == StorageType::Untyped {
        return fail("a quantised tensor needs a typed storage".to_owned());
    }
    match tensor.end_byte() {
        Some(end) if storage.nbytes().is_some_and(|n| end <= n) => Ok(()),
        _ => fail(format!(
            "a tensor of shape {:?}, stride {:?}, offset {} reaches past its storage of {} elements",
            tensor.shape, tensor.stride, tensor.offset, storage.numel
        )),
    }
}

fn out_of_range(what: &str, index: u32) -> Error {
    refused(format!("{what} {index} is not in the tree"))
}
