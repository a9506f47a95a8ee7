//! A store, or a package, seen as the object it came from.
//!
//! The side information's nodes become a tree, each array a storage of it. A store without side
//! information is a dict of its arrays. Nothing is read but what the tree itself needs.

use std::collections::{HashMap, HashSet};

use numpack_format::ArrayInfo;
use numpack_format::side::{self, NodeRef, SideInfo};
use torch_pickle::{
    Construct, DType, Dict, Global, Node, NodeId, Object, Storage, StorageId, StorageType, Tensor,
    TensorClass, Tree,
};

use crate::dtype::{native, stored_form};
use crate::stored::Stored;
use crate::tensors::Unique;
use crate::{Error, Result};

/// A store, and its arrays as an object.
pub(crate) struct StoreTree {
    pub(crate) store: Stored,
    pub(crate) tree: Tree,
    /// The array behind each storage of the tree.
    pub(crate) arrays: Vec<String>,
    pub(crate) warnings: Vec<String>,
}

impl StoreTree {
    pub(crate) fn new(store: Stored) -> Result<StoreTree> {
        let side = store.side().cloned().unwrap_or_default();
        let mut b = Builder {
            store: &store,
            infos: store.arrays()?,
            side: &side,
            types: HashMap::new(),
            storages: HashMap::new(),
            arrays: Vec::new(),
            blobs: HashSet::new(),
            tree: Tree::new(),
            warnings: store.warnings().to_vec(),
        };
        b.collect_types()?;
        for node in &side.nodes {
            let node = b.node(node)?;
            b.tree.add(node);
        }
        b.finish();
        let Builder { tree, arrays, warnings, .. } = b;
        Ok(StoreTree { store, tree, arrays, warnings })
    }
}

struct Builder<'a> {
    store: &'a Stored,
    infos: &'a [ArrayInfo],
    side: &'a SideInfo,
    /// The element type of each array's storage; `None` where its views do not agree on one.
    types: HashMap<&'a str, Option<DType>>,
    storages: HashMap<&'a str, StorageId>,
    arrays: Vec<String>,
    /// Notes whose arrays were read as bytes.
    blobs: HashSet<u32>,
    tree: Tree,
    warnings: Vec<String>,
}

impl<'a> Builder<'a> {
    /// The array of a note, and its logical type and shape.
    fn array(&self, index: u32) -> Result<Option<(&'a ArrayInfo, DType, Vec<u64>)>> {
        let note = self.side.arrays.get(index as usize).filter(|n| !n.dropped);
        let Some(note) = note else { return Ok(None) };
        let Some(info) = self.store.info(&note.name)? else { return Ok(None) };
        let note = self.store.note_fits(index as usize).then_some(note);
        let (dtype, shape) = logical(info, note);
        Ok(Some((info, dtype, shape)))
    }

    fn collect_types(&mut self) -> Result<()> {
        let mut seen = |name: &'a str, dtype: Option<DType>| {
            self.types
                .entry(name)
                .and_modify(|t| *t = t.filter(|t| Some(*t) == dtype))
                .or_insert(dtype);
        };
        for node in &self.side.nodes {
            let (index, dtype) = match node {
                side::Node::Tensor(t) => {
                    (t.array, t.view.as_ref().map(|v| DType::from_name(&v.dtype)))
                }
                side::Node::Storage(array, dtype) => {
                    (*array, Some(dtype.as_deref().and_then(DType::from_name)))
                }
                _ => continue,
            };
            let note = self.side.arrays.get(index as usize).filter(|n| !n.dropped);
            let Some(note) = note else { continue };
            let Some(info) = self.store.info(&note.name)? else { continue };
            let fits = self.store.note_fits(index as usize);
            let own = logical(info, fits.then_some(note)).0;
            seen(&info.name, if fits { dtype.unwrap_or(Some(own)) } else { Some(own) });
        }
        Ok(())
    }

    fn node(&mut self, node: &side::Node) -> Result<Node> {
        let id = |n: &NodeRef| NodeId::new(*n);
        let ids = |ns: &[NodeRef]| ns.iter().map(id).collect::<Vec<_>>();
        let pairs =
            |ps: &[(NodeRef, NodeRef)]| ps.iter().map(|(k, v)| (id(k), id(v))).collect::<Vec<_>>();
        Ok(match node {
            side::Node::None => Node::None,
            side::Node::Bool(b) => Node::Bool(*b),
            side::Node::Int(i) => Node::Int(*i),
            side::Node::BigInt(b) => Node::BigInt(b.0.clone().into()),
            side::Node::Float(f) => Node::Float(f.0),
            side::Node::Str(s) => Node::Str(s.as_str().into()),
            side::Node::SurrogateStr(b) => Node::SurrogateStr(b.0.clone().into()),
            side::Node::Bytes(b) => Node::Bytes(b.0.clone().into()),
            side::Node::ByteArray(b) => Node::ByteArray(b.0.clone().into()),
            side::Node::BytesIn(array) => self.bytes(*array)?,
            side::Node::Tuple(parts) => Node::Tuple(ids(parts)),
            side::Node::List(parts) => Node::List(ids(parts)),
            side::Node::Set(parts) => Node::Set(ids(parts)),
            side::Node::FrozenSet(parts) => Node::FrozenSet(ids(parts)),
            side::Node::Dict(items) => Node::Dict(Dict { items: pairs(items), ..Dict::default() }),
            side::Node::OrderedDict(items, attributes) => Node::Dict(Dict {
                ordered: true,
                items: pairs(items),
                attributes: attributes.as_ref().map(id),
            }),
            side::Node::Global(module, name) => {
                Node::Global(Box::new(Global::new(module.as_str(), name.as_str())))
            }
            side::Node::Tensor(t) => self.tensor(t)?,
            side::Node::Storage(array, _) => match self.array(*array)? {
                Some((info, ..)) => Node::Storage(self.storage(info)),
                None => self.gone(*array),
            },
            side::Node::Object(o) => Node::Object(Box::new(Object {
                construct: construct(&o.construct),
                callable: id(&o.callable),
                args: id(&o.args),
                kwargs: o.kwargs.as_ref().map(id),
                state: o.state.as_ref().map(id),
                appended: ids(&o.appended),
                items: pairs(&o.items),
            })),
            // The reader refuses kinds it does not know.
            _ => Node::None,
        })
    }

    fn bytes(&mut self, index: u32) -> Result<Node> {
        let Some((info, ..)) = self.array(index)? else { return Ok(self.gone(index)) };
        // Each array is read once: a few bytes of side information must not ask for gigabytes.
        if !self.blobs.insert(index) {
            return Err(Error::Name {
                path: self.store.path().to_owned(),
                message: format!(
                    "the side information has the bytes of array {:?} in two places",
                    info.name
                ),
            });
        }
        let mut array = self.store.array(&info.name)?;
        let len = usize::try_from(array.nbytes()).map_err(|_| {
            Error::Parameter(format!("array {:?} does not fit this machine's memory", info.name))
        })?;
        let mut bytes = Vec::new();
        let full = |_| Error::io(self.store.path(), "read", std::io::ErrorKind::OutOfMemory.into());
        bytes.try_reserve_exact(len).map_err(full)?;
        bytes.resize(len, 0);
        array.read_bytes_at(0, &mut bytes)?;
        Ok(Node::Bytes(bytes.into()))
    }

    /// What stands for an array that another program removed.
    fn gone(&mut self, index: u32) -> Node {
        let name = self.side.arrays.get(index as usize).map_or("", |n| &n.name);
        self.warnings.push(format!("array {name:?} is gone; the object has None in its place"));
        Node::None
    }

    fn tensor(&mut self, t: &side::Tensor) -> Result<Node> {
        let Some((info, own_dtype, own_shape)) = self.array(t.array)? else {
            return Ok(self.gone(t.array));
        };
        let view = t.view.as_ref().filter(|_| self.store.note_fits(t.array as usize));
        let storage = self.storage(info);
        let mut tensor = Tensor::contiguous(storage, own_dtype, &own_shape);
        if let Some(view) = view {
            let dtype = DType::from_name(&view.dtype);
            tensor.dtype = dtype.ok_or_else(|| self.bad_view(info, &view.dtype))?;
            tensor.shape = view.shape.as_slice().into();
            tensor.stride = view.stride.as_slice().into();
            tensor.offset = view.offset;
            let nbytes = self.tree.storage(storage).nbytes();
            let inside = tensor.shape.len() == tensor.stride.len()
                && matches!((tensor.end_byte(), nbytes), (Some(end), Some(n)) if end <= n);
            if !inside {
                return Err(self.bad_view(info, &format!("{view:?}")));
            }
        }
        tensor.requires_grad = t.requires_grad;
        tensor.class = if t.parameter { TensorClass::Parameter } else { TensorClass::Tensor };
        tensor.hooks = t.hooks.map(NodeId::new);
        tensor.state = t.state.map(NodeId::new);
        tensor.quantizer = t.quantizer.map(NodeId::new);
        Ok(Node::Tensor(self.tree.add_tensor(tensor)))
    }

    fn bad_view(&self, info: &ArrayInfo, what: &str) -> Error {
        Error::Name {
            path: self.store.path().to_owned(),
            message: format!(
                "the side information describes a view of array {:?} that cannot be: {what}",
                info.name
            ),
        }
    }

    fn storage(&mut self, info: &'a ArrayInfo) -> StorageId {
        if let Some(&id) = self.storages.get(info.name.as_str()) {
            return id;
        }
        let nbytes = info.nbytes();
        let dtype = self.types.get(info.name.as_str()).copied().unwrap_or(Some(native(info.dtype)));
        let (dtype, numel) = match dtype {
            Some(d) if d.storage_class().is_some() => {
                (StorageType::Typed(d), nbytes / d.size() as u64)
            }
            _ => (StorageType::Untyped, nbytes),
        };
        let id = self.tree.add_storage(Storage {
            key: self.arrays.len().to_string().into(),
            dtype,
            location: "cpu".into(),
            numel,
        });
        self.arrays.push(info.name.clone());
        self.storages.insert(&info.name, id);
        id
    }

    /// The root, and the arrays that are no part of the object.
    fn finish(&mut self) {
        let referenced: HashSet<&str> = self.storages.keys().copied().collect();
        let notes: HashMap<&str, usize> = self
            .side
            .arrays
            .iter()
            .enumerate()
            .filter(|(_, n)| !n.dropped)
            .map(|(i, n)| (n.name.as_str(), i))
            .collect();
        let mut loose = Vec::new();
        for info in self.infos {
            let note = notes.get(info.name.as_str());
            let hidden = note.is_some_and(|&i| self.side.arrays[i].hidden);
            if !referenced.contains(info.name.as_str()) && !hidden {
                loose.push((info, note.copied()));
            }
        }
        let root = self.side.root.map(NodeId::new);
        let takes_more = root.is_none_or(|r| matches!(self.tree.node(r), Node::Dict(_)));
        if !takes_more {
            for (info, _) in loose {
                self.warnings.push(format!(
                    "array {:?} is no part of the stored object; name it to export it",
                    info.name
                ));
            }
            self.tree.set_root(root.unwrap_or(NodeId::new(0)));
            return;
        }
        let mut items = Vec::with_capacity(loose.len());
        let mut names = Unique::default();
        if let Some(Node::Dict(dict)) = root.map(|r| self.tree.node(r)) {
            for &(key, _) in &dict.items {
                if let Node::Str(text) = self.tree.node(key) {
                    names.take(text.to_string());
                }
            }
        }
        for (info, note) in loose {
            let fitting = note.filter(|&i| self.store.note_fits(i)).map(|i| &self.side.arrays[i]);
            let (dtype, shape) = logical(info, fitting);
            self.types.insert(&info.name, Some(dtype));
            let storage = self.storage(info);
            let tensor = self.tree.add_tensor(Tensor::contiguous(storage, dtype, &shape));
            let name = names.pick(info.name.clone());
            if name != info.name {
                self.warnings.push(format!(
                    "array {:?} is no part of the stored object, which has a value of that name; \
                     it is shown as {name:?}",
                    info.name
                ));
            }
            let key = self.tree.add(Node::Str(name.into()));
            let value = self.tree.add(Node::Tensor(tensor));
            items.push((key, value));
        }
        match root {
            Some(root) => {
                if let Node::Dict(dict) = self.tree.node_mut(root) {
                    dict.items.extend(items);
                }
                self.tree.set_root(root);
            }
            None => {
                let root = self.tree.add(Node::Dict(Dict { items, ..Dict::default() }));
                self.tree.set_root(root);
            }
        }
    }
}

/// The logical type and shape of an array.
pub(crate) fn logical(info: &ArrayInfo, note: Option<&side::ArrayNote>) -> (DType, Vec<u64>) {
    let own = native(info.dtype);
    let dtype = note.and_then(|n| n.dtype.as_deref()).and_then(DType::from_name).unwrap_or(own);
    let (stored, pair) = stored_form(dtype);
    let mut shape = info.shape.clone();
    // A note that names a type stored otherwise says nothing of this array.
    if stored != info.dtype || (pair && shape.last() != Some(&2)) {
        return (own, shape);
    }
    if pair {
        shape.pop();
    }
    if note.is_some_and(|n| n.scalar) && shape == [1] {
        shape.clear();
    }
    (dtype, shape)
}

fn construct(name: &str) -> Construct {
    match name {
        "new" => Construct::New,
        "newex" => Construct::NewEx,
        "persistent" => Construct::PersistentId,
        _ => Construct::Call,
    }
}
