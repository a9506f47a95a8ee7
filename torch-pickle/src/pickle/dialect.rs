//! What persistent ids mean: that is up to the container.

use std::collections::HashMap;

use super::machine::Machine;
use super::tensors::LONG_KEY;
use crate::error::Fault;
use crate::{Construct, Node, NodeId, Object, Storage, StorageId, StorageKey, StorageType, Tree};

/// Storages that are parts of others: which one, and from which element on.
pub(crate) type Views = HashMap<StorageId, (StorageId, u64)>;

/// The containers that a pickle may be in.
#[derive(Default)]
pub(crate) enum Dialect {
    /// `('storage', class, key, location, numel)`: the archives of torch.
    #[default]
    Archive,
    /// The same with a sixth part, for a storage that is a part of another, and
    /// `('module', class, file, source)`.
    Legacy,
    /// Numbers of tensors and storages that stand in the tree already.
    Numbered(Tree, HashMap<u64, NodeId>),
}

/// What is left of it while the machine runs.
pub(super) enum Persistent {
    Archive,
    Legacy,
    Numbered(HashMap<u64, NodeId>),
}

/// An object, and which of its storages are parts of others.
pub(crate) struct Loaded {
    pub(crate) tree: Tree,
    pub(crate) views: Views,
}

impl Dialect {
    pub(super) fn begin(self) -> (Persistent, Tree) {
        match self {
            Dialect::Archive => (Persistent::Archive, Tree::new()),
            Dialect::Legacy => (Persistent::Legacy, Tree::new()),
            Dialect::Numbered(tree, nodes) => (Persistent::Numbered(nodes), tree),
        }
    }
}

impl Machine<'_> {
    /// `persistent_load(id)`: a storage, or an object nobody here knows.
    pub(super) fn persistent(&mut self, id: NodeId) -> Result<NodeId, Fault> {
        let (first, len) = match self.tree.node(id) {
            Node::Tuple(items) => (items.first().copied(), items.len()),
            _ => (None, 0),
        };
        if let Persistent::Numbered(nodes) = &self.persistent {
            // A class is saved with its source.
            if let Some(class) = first {
                self.pin(class);
                return Ok(class);
            }
            return match number(self.tree.node(id)).and_then(|n| nodes.get(&n)) {
                Some(&node) => Ok(node),
                None => self.fail("a tensor or storage is mentioned that is not in the archive"),
            };
        }
        let legacy = matches!(self.persistent, Persistent::Legacy);
        let is = |text: &str| {
            first.is_some_and(|f| matches!(self.tree.node(f), Node::Str(s) if &**s == text))
        };
        if legacy && len == 4 && is("module") {
            let Node::Tuple(items) = self.tree.node(id) else { return Ok(id) };
            let class = items[1];
            self.pin(class);
            return Ok(class);
        }
        if !is("storage") {
            let callable = self.none_node()?;
            let object = Object::new(Construct::PersistentId, callable, id);
            return self.alloc(Node::Object(Box::new(object)));
        }
        let most = if legacy { 6 } else { 5 };
        let args = self.args(id, 5, "the id of a storage")?;
        if args.len() > most {
            return self.fail(format!("the id of a storage has 5 parts, not {}", args.len()));
        }
        let mut storage = self.storage(&args)?;
        if let Some(view) = args.get(5).filter(|&v| !matches!(self.tree.node(v), Node::None)) {
            storage = self.part_of(storage, view)?;
        }
        self.release(id, &[]);
        self.alloc(Node::Storage(storage))
    }

    /// The storage that `(key, offset, numel)` describes: a part of another.
    fn part_of(&mut self, whole: StorageId, view: NodeId) -> Result<StorageId, Fault> {
        let parts = match self.tree.node(view) {
            Node::Tuple(items) if items.len() == 3 => [items[0], items[1], items[2]],
            _ => return self.fail("the view of a storage must be a tuple of three"),
        };
        let [key, offset, numel] = parts.map(|id| self.tree.node(id));
        let (Node::Str(key), Node::Int(offset @ 0..), Node::Int(numel @ 0..)) =
            (key, offset, numel)
        else {
            return self.fail("the view of a storage must be a key, an offset and a length");
        };
        let (offset, numel, len) = (*offset as u64, *numel as u64, key.len() as u64);
        let key = StorageKey::from(&**key);
        self.charge(len.saturating_sub(LONG_KEY))?;
        if self.views.contains_key(&whole) {
            let name = &self.tree.storage(whole).key;
            return self.fail(format!(
                "storage {key:?} is said to be part of storage {name:?}, which is itself a part"
            ));
        }
        let (dtype, location) = {
            let whole = self.tree.storage(whole);
            if offset.checked_add(numel).is_none_or(|end| end > whole.numel) {
                let (name, have) = (&whole.key, whole.numel);
                let problem = format!(
                    "{numel} elements from {offset} on are said to be part of storage {name:?}, which has {have}"
                );
                return self.fail(problem);
            }
            (whole.dtype, whole.location.clone())
        };
        match self.storage_keys.find(self.tree.storages(), &key) {
            Some(known) => {
                let same = self.views.get(&known) == Some(&(whole, offset))
                    && self.tree.storage(known).numel == numel;
                if !same {
                    return self.fail(format!("storage {key:?} is mentioned in two ways"));
                }
                Ok(known)
            }
            None => {
                self.charge(len + location.len() as u64)?;
                let id = self.tree.add_storage(Storage { key, dtype, location, numel });
                self.storage_keys.added(self.tree.storages());
                self.views.insert(id, (whole, offset));
                Ok(id)
            }
        }
    }
}

/// A number that is written as one, or as text.
pub(crate) fn number(node: &Node) -> Option<u64> {
    match node {
        Node::Int(n) => u64::try_from(*n).ok(),
        Node::BigInt(bytes) if bytes.len() == 9 && bytes[8] == 0 => {
            let mut low = [0; 8];
            low.copy_from_slice(&bytes[..8]);
            Some(u64::from_le_bytes(low))
        }
        Node::Str(text) => text.parse().ok(),
        _ => None,
    }
}

/// The element type of a storage's class.
pub(crate) fn storage_class(node: &Node) -> Option<StorageType> {
    let Node::Global(global) = node else { return None };
    match (&*global.module, &*global.name) {
        ("torch.storage" | "torch", "UntypedStorage") => Some(StorageType::Untyped),
        ("torch" | "torch.cuda", name) => {
            crate::DType::from_storage_class(name).map(StorageType::Typed)
        }
        _ => None,
    }
}
