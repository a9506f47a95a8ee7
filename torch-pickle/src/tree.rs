//! The object a checkpoint holds, as a flat table of nodes.
//!
//! A pickle is a graph: two keys may name one dictionary, a list may contain itself. Nodes refer
//! to each other by [`NodeId`], so sharing and cycles are kept as they are, and dropping, walking
//! and comparing need no recursion however deep the object is.

use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;

use crate::{DType, Dims, StorageKey, Text};

/// The place of a node in [`Tree::nodes`].
///
/// ```
/// use torch_pickle::NodeId;
/// assert_eq!(NodeId::new(7).place(), 7);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(
    /// One more than the place, so that an optional one takes no more memory.
    NonZeroU32,
);

impl NodeId {
    /// The id of a place. The last of all, 2³²−1, where no tree has a node, is taken for the one
    /// before.
    pub const fn new(place: u32) -> NodeId {
        NodeId(NonZeroU32::MIN.saturating_add(place))
    }

    /// The place.
    pub const fn place(self) -> u32 {
        self.0.get() - 1
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NodeId({})", self.place())
    }
}

/// The place of a tensor in [`Tree::tensors`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub struct TensorId(pub u32);

/// The place of a storage in [`Tree::storages`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub struct StorageId(pub u32);

/// One Python value.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub enum Node {
    /// `None`.
    None,
    /// `True` or `False`.
    Bool(bool),
    /// An integer that fits 64 bits.
    Int(i64),
    /// Any other integer: two's complement, little-endian, shortest form.
    BigInt(Box<[u8]>),
    /// A float.
    Float(f64),
    /// A string.
    Str(Text),
    /// A string with lone surrogates: UTF-8 that encodes them too, as pickle writes it
    /// (`surrogatepass`).
    SurrogateStr(Box<[u8]>),
    /// `bytes`.
    Bytes(Box<[u8]>),
    /// `bytearray`.
    ByteArray(Box<[u8]>),
    /// A tuple.
    Tuple(Vec<NodeId>),
    /// A list.
    List(Vec<NodeId>),
    /// A `dict` or `OrderedDict`.
    Dict(Dict),
    /// A set.
    Set(Vec<NodeId>),
    /// A frozenset.
    FrozenSet(Vec<NodeId>),
    /// A class or function by name, such as `torch.float32`. Never looked up, never called.
    Global(Box<Global>),
    /// A storage that stands in the object by itself.
    Storage(StorageId),
    /// A tensor.
    Tensor(TensorId),
    /// Anything else: the recipe by which Python would build it.
    Object(Box<Object>),
}

impl Node {
    /// An integer of any size: of two's complement, little-endian.
    ///
    /// ```
    /// use torch_pickle::Node;
    /// assert_eq!(Node::integer(&[0xFE, 0xFF]), Node::Int(-2));
    /// assert_eq!(Node::integer(&[0, 0, 0, 0, 0, 0, 0, 0, 1, 0]), Node::BigInt([0, 0, 0, 0, 0, 0, 0, 0, 1].into()));
    /// ```
    pub fn integer(bytes: &[u8]) -> Node {
        crate::pickle::text::integer(bytes)
    }

    /// A string of UTF-8 that may encode lone surrogates; `None` where it is no such.
    ///
    /// ```
    /// use torch_pickle::Node;
    /// assert_eq!(Node::string("π".as_bytes()), Some(Node::Str("π".into())));
    /// let lone = [0xED, 0xA0, 0x80];
    /// assert_eq!(Node::string(&lone), Some(Node::SurrogateStr(lone.into())));
    /// assert_eq!(Node::string(&[0xFF]), None);
    /// ```
    pub fn string(bytes: &[u8]) -> Option<Node> {
        crate::pickle::text::unicode(bytes)
    }
}

/// A dictionary, in order.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Dict {
    /// Whether it is a `collections.OrderedDict`.
    pub ordered: bool,
    /// Keys and values. A key occurs once: setting it again replaced the value in place.
    pub items: Vec<(NodeId, NodeId)>,
    /// Attributes of an `OrderedDict` (a node that is a dict), such as the `_metadata` of a state
    /// dict.
    pub attributes: Option<NodeId>,
}

/// The name of a class or function.
#[derive(Clone, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub struct Global {
    /// The module, as written: `torch._utils`. Python 2's `__builtin__` and `copy_reg` are given
    /// their later names, `builtins` and `copyreg`, and `torch.tensor` is `torch._tensor`.
    pub module: Box<str>,
    /// The name in the module; dotted where it is nested in a class.
    pub name: Box<str>,
}

impl Global {
    /// A global from its parts.
    pub fn new(module: impl Into<Box<str>>, name: impl Into<Box<str>>) -> Global {
        Global { module: module.into(), name: name.into() }
    }

    /// Whether it is this one.
    pub fn is(&self, module: &str, name: &str) -> bool {
        &*self.module == module && &*self.name == name
    }
}

impl fmt::Display for Global {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.module, self.name)
    }
}

/// How an [`Object`] is made.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Construct {
    /// `callable(*args)`: the REDUCE opcode (and INST, OBJ).
    Call,
    /// `cls.__new__(cls, *args)`: NEWOBJ.
    New,
    /// `cls.__new__(cls, *args, **kwargs)`: NEWOBJ_EX.
    NewEx,
    /// `persistent_load(args)`, for an identifier that is no storage: BINPERSID.
    PersistentId,
}

/// An object that is none of the plain kinds, kept as the recipe that stands in the pickle.
#[derive(Clone, PartialEq, Debug)]
pub struct Object {
    /// How it is made.
    pub construct: Construct,
    /// The callable: nearly always a [`Node::Global`]. A [`Node::None`] for a persistent id.
    pub callable: NodeId,
    /// The positional arguments: nearly always a [`Node::Tuple`].
    pub args: NodeId,
    /// Keyword arguments of [`Construct::NewEx`].
    pub kwargs: Option<NodeId>,
    /// What BUILD gave it.
    pub state: Option<NodeId>,
    /// What APPEND gave it, in order.
    pub appended: Vec<NodeId>,
    /// What SETITEM gave it, in order.
    pub items: Vec<(NodeId, NodeId)>,
}

impl Object {
    /// One that was given nothing but arguments.
    pub fn new(construct: Construct, callable: NodeId, args: NodeId) -> Object {
        Object {
            construct,
            callable,
            args,
            kwargs: None,
            state: None,
            appended: Vec::new(),
            items: Vec::new(),
        }
    }
}

/// What class of tensor Python would see.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum TensorClass {
    /// `torch.Tensor`.
    Tensor,
    /// `torch.nn.Parameter`.
    Parameter,
}

/// A dense tensor: a view of a storage.
#[derive(Clone, PartialEq, Debug)]
pub struct Tensor {
    /// The storage it shows.
    pub storage: StorageId,
    /// Element type.
    pub dtype: DType,
    /// Length of each dimension; empty for a 0-d tensor.
    pub shape: Dims,
    /// Step of each dimension, in elements.
    pub stride: Dims,
    /// First element, in elements from the start of the storage.
    pub offset: u64,
    /// Whether autograd tracks it.
    pub requires_grad: bool,
    /// Its class.
    pub class: TensorClass,
    /// Whether the stored values are the complex conjugates of the logical ones.
    pub conj: bool,
    /// Whether the stored values are the negatives of the logical ones.
    pub neg: bool,
    /// The backward hooks, where there are any.
    pub hooks: Option<NodeId>,
    /// Python attributes set on the tensor (the state of `_rebuild_from_type_v2` and
    /// `_rebuild_parameter_with_state`).
    pub state: Option<NodeId>,
    /// For a quantised tensor the parameter tuple: `(scheme, scale, zero_point)` or
    /// `(scheme, scales, zero_points, axis)`.
    pub quantizer: Option<NodeId>,
}

impl Tensor {
    /// Number of elements, or `None` where the product does not fit.
    pub fn numel(&self) -> Option<u64> {
        if self.shape.contains(&0) {
            return Some(0);
        }
        self.shape.iter().try_fold(1u64, |n, &d| n.checked_mul(d))
    }

    /// Bytes of the elements in C order, or `None` where the product does not fit.
    pub fn nbytes(&self) -> Option<u64> {
        let n = self.numel()?.div_ceil(self.dtype.values_per_item());
        n.checked_mul(self.dtype.size() as u64)
    }

    /// A plain tensor that shows the first elements of a storage in C order.
    ///
    /// ```
    /// use torch_pickle::{DType, StorageId, Tensor};
    /// let tensor = Tensor::contiguous(StorageId(0), DType::Int64, &[2, 3]);
    /// assert_eq!(tensor.stride[..], [3, 1]);
    /// ```
    pub fn contiguous(storage: StorageId, dtype: DType, shape: &[u64]) -> Tensor {
        let mut stride = vec![1u64; shape.len()];
        for i in (1..shape.len()).rev() {
            // As torch has it: a dimension of length 0 steps as one of length 1.
            stride[i - 1] = stride[i].saturating_mul(shape[i].max(1));
        }
        Tensor {
            storage,
            dtype,
            shape: shape.into(),
            stride: stride.into(),
            offset: 0,
            requires_grad: false,
            class: TensorClass::Tensor,
            conj: false,
            neg: false,
            hooks: None,
            state: None,
            quantizer: None,
        }
    }

    /// The same elements with the dimensions in reverse order: its transpose.
    ///
    /// ```
    /// use torch_pickle::{DType, StorageId, Tensor};
    /// let turned = Tensor::contiguous(StorageId(0), DType::Int64, &[2, 3]).reversed();
    /// assert_eq!((&turned.shape[..], &turned.stride[..]), (&[3, 2][..], &[1, 3][..]));
    /// ```
    #[must_use]
    pub fn reversed(&self) -> Tensor {
        let mut turned = self.clone();
        turned.shape.reverse();
        turned.stride.reverse();
        turned
    }

    /// The tensor that shows `count` of its rows, every `step`-th from `first` on; `None` where it
    /// has not so many. Rows are the first dimension.
    ///
    /// ```
    /// use torch_pickle::{DType, StorageId, Tensor};
    /// let tensor = Tensor::contiguous(StorageId(0), DType::Int64, &[5, 3]);
    /// let rows = tensor.rows(1, 2, 3).unwrap();
    /// assert_eq!((&rows.shape[..], &rows.stride[..], rows.offset), (&[2, 3][..], &[9, 1][..], 3));
    /// assert_eq!(tensor.rows(2, 2, 3), None);
    /// ```
    pub fn rows(&self, first: u64, count: u64, step: u64) -> Option<Tensor> {
        let (&len, &stride) = self.shape.first().zip(self.stride.first())?;
        let mut rows = self.clone();
        rows.shape[0] = count;
        if count == 0 {
            return (first <= len).then_some(rows);
        }
        let last = (count - 1).checked_mul(step)?.checked_add(first)?;
        if last >= len {
            return None;
        }
        if count > 1 {
            rows.stride[0] = stride.saturating_mul(step);
        }
        // Saturated numbers belong to tensors without elements.
        rows.offset = self.offset.saturating_add(first.saturating_mul(stride));
        Some(rows)
    }

    /// Where an element lies, counted from the first one in C order, relative to `offset`.
    pub(crate) fn element_at(&self, mut index: u64) -> u64 {
        let mut at = 0;
        for (&len, &step) in self.shape.iter().zip(&self.stride).rev() {
            at += index % len * step;
            index /= len;
        }
        at
    }

    /// Bytes from the start of the storage to the end of the last element: how long the storage
    /// must be. 0 for a tensor without elements, `None` where it does not fit.
    pub fn end_byte(&self) -> Option<u64> {
        if self.shape.contains(&0) {
            return Some(0);
        }
        let mut last = self.offset;
        for (&len, &step) in self.shape.iter().zip(&self.stride) {
            last = last.checked_add((len - 1).checked_mul(step)?)?;
        }
        let items = (last / self.dtype.values_per_item()).checked_add(1)?;
        items.checked_mul(self.dtype.size() as u64)
    }

    /// Whether the elements lie in C order without gaps, as torch's `is_contiguous` has it:
    /// steps of dimensions of length 1 do not matter.
    pub fn is_contiguous(&self) -> bool {
        if self.shape.contains(&0) {
            return true;
        }
        let mut expected = 1u64;
        for (&len, &step) in self.shape.iter().zip(&self.stride).rev() {
            if len != 1 {
                if step != expected {
                    return false;
                }
                expected = expected.saturating_mul(len);
            }
        }
        true
    }
}

/// The element type a storage was saved with.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum StorageType {
    /// One of torch's typed storages, `torch.FloatStorage`.
    Typed(DType),
    /// `torch.storage.UntypedStorage`, counted in bytes.
    Untyped,
}

impl StorageType {
    /// Bytes of one of its elements.
    pub const fn item_size(self) -> usize {
        match self {
            StorageType::Typed(dtype) => dtype.size(),
            StorageType::Untyped => 1,
        }
    }
}

/// Memory that tensors are views of: one record of the archive.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Storage {
    /// The key: its record is `<prefix>/data/<key>`.
    pub key: StorageKey,
    /// Element type.
    pub dtype: StorageType,
    /// Where torch had it: `cpu`, `cuda:0`. Usually one text for all storages.
    pub location: Arc<str>,
    /// Number of elements (bytes for an untyped storage).
    pub numel: u64,
}

impl Storage {
    /// Bytes of its record, or `None` where the product does not fit.
    pub fn nbytes(&self) -> Option<u64> {
        self.numel.checked_mul(self.dtype.item_size() as u64)
    }
}

/// A whole object: its nodes, and the tensors and storages in it.
///
/// Each id that occurs in a tree made by this crate is in range. A tree built by hand is checked
/// when it is written.
#[derive(Clone, Debug, Default)]
pub struct Tree {
    pub(crate) nodes: Vec<Node>,
    pub(crate) tensors: Vec<Tensor>,
    pub(crate) storages: Vec<Storage>,
    root: Option<NodeId>,
    /// Whether the keys of each dict are known to differ: those of a pickle do.
    pub(crate) keys_differ: bool,
}

impl Tree {
    /// An empty tree, to be filled by the `add` functions.
    ///
    /// ```
    /// use torch_pickle::{Dict, Node, Tree};
    /// let mut tree = Tree::new();
    /// let key = tree.add(Node::Str("epoch".into()));
    /// let value = tree.add(Node::Int(3));
    /// let root = tree.add(Node::Dict(Dict { items: vec![(key, value)], ..Dict::default() }));
    /// tree.set_root(root);
    /// assert_eq!(tree.node(tree.root().unwrap()), tree.node(root));
    /// ```
    pub fn new() -> Tree {
        Tree::default()
    }

    /// Makes room for as many tensors, each of its own storage and with a name. Where memory does
    /// not suffice the tables grow as they are filled.
    pub(crate) fn reserve(&mut self, tensors: usize) {
        let _ = self.nodes.try_reserve_exact(tensors.saturating_mul(2).saturating_add(16));
        let _ = self.tensors.try_reserve_exact(tensors);
        let _ = self.storages.try_reserve_exact(tensors);
    }

    /// Adds a node.
    ///
    /// # Panics
    /// Past 2³²−1 nodes; a reader's limits keep it far below.
    pub fn add(&mut self, node: Node) -> NodeId {
        let id = NodeId::new(u32::try_from(self.nodes.len()).expect("more than 2^32 nodes"));
        self.nodes.push(node);
        self.keys_differ = false;
        id
    }

    /// Adds a tensor; [`Node::Tensor`] makes it part of the object.
    ///
    /// # Panics
    /// Past 2³²−1 tensors.
    pub fn add_tensor(&mut self, tensor: Tensor) -> TensorId {
        let id = TensorId(u32::try_from(self.tensors.len()).expect("more than 2^32 tensors"));
        self.tensors.push(tensor);
        id
    }

    /// Adds a storage.
    ///
    /// # Panics
    /// Past 2³²−1 storages.
    pub fn add_storage(&mut self, storage: Storage) -> StorageId {
        let id = StorageId(u32::try_from(self.storages.len()).expect("more than 2^32 storages"));
        self.storages.push(storage);
        id
    }

    /// Says which node is the whole object.
    pub fn set_root(&mut self, root: NodeId) {
        self.root = Some(root);
    }

    /// The node that is the whole object; `None` only while a tree is being built.
    pub fn root(&self) -> Option<NodeId> {
        self.root
    }

    /// All nodes.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// A node.
    ///
    /// # Panics
    /// On an id of another tree that is out of range here; so do the three below.
    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.place() as usize]
    }

    /// A node, to be changed.
    pub fn node_mut(&mut self, id: NodeId) -> &mut Node {
        self.keys_differ = false;
        &mut self.nodes[id.place() as usize]
    }

    /// All tensors, in the order the pickle made them.
    pub fn tensors(&self) -> &[Tensor] {
        &self.tensors
    }

    /// A tensor.
    pub fn tensor(&self, id: TensorId) -> &Tensor {
        &self.tensors[id.0 as usize]
    }

    pub(crate) fn tensor_mut(&mut self, id: TensorId) -> &mut Tensor {
        &mut self.tensors[id.0 as usize]
    }

    /// The storages that the root leads to, in the order they are met.
    pub fn reachable_storages(&self) -> Vec<StorageId> {
        let mut met = vec![false; self.storages.len()];
        let mut seen = vec![false; self.nodes.len()];
        let mut found = Vec::new();
        let mut stack: Vec<NodeId> = self.root.into_iter().collect();
        while let Some(id) = stack.pop() {
            if std::mem::replace(&mut seen[id.place() as usize], true) {
                continue;
            }
            let storage = match self.node(id) {
                Node::Storage(s) => Some(*s),
                Node::Tensor(t) => Some(self.tensor(*t).storage),
                _ => None,
            };
            if let Some(s) = storage
                && !std::mem::replace(&mut met[s.0 as usize], true)
            {
                found.push(s);
            }
            let first = stack.len();
            self.push_children(id, &mut stack);
            stack[first..].reverse();
        }
        found
    }

    /// Appends the nodes that a node refers to, in the order Python would write them.
    pub fn push_children(&self, id: NodeId, out: &mut Vec<NodeId>) {
        match self.node(id) {
            Node::Tuple(parts) | Node::List(parts) | Node::Set(parts) | Node::FrozenSet(parts) => {
                out.extend(parts);
            }
            Node::Dict(dict) => {
                out.extend(dict.items.iter().flat_map(|&(k, v)| [k, v]));
                out.extend(dict.attributes);
            }
            Node::Tensor(t) => {
                let tensor = self.tensor(*t);
                out.extend([tensor.quantizer, tensor.hooks, tensor.state].into_iter().flatten());
            }
            Node::Object(o) => {
                out.extend([o.callable, o.args]);
                out.extend(o.kwargs);
                out.extend(&o.appended);
                out.extend(o.items.iter().flat_map(|&(k, v)| [k, v]));
                out.extend(o.state);
            }
            _ => {}
        }
    }

    /// All storages, in the order the pickle met them.
    pub fn storages(&self) -> &[Storage] {
        &self.storages
    }

    /// A storage.
    pub fn storage(&self, id: StorageId) -> &Storage {
        &self.storages[id.0 as usize]
    }
}
