//! What the objects in a checkpoint are: the ones torch and numpy write, by the recipe they are
//! made with. None of them is a dense tensor, and none is ever built.

use crate::{Construct, Dict, Global, Node, NodeId, Object, Tree};

/// What a node is, beyond the plain kinds of [`Node`].
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub enum Kind<'t> {
    /// No [`Node::Object`] at all: the node itself says what it is.
    Plain,
    /// A sparse tensor.
    Sparse(Sparse),
    /// A nested tensor, of rows of different lengths.
    Nested,
    /// A tensor without data (`device='meta'`).
    Meta,
    /// A tensor of a subclass, named by its type where that is known.
    Subclass(Option<&'t Global>),
    /// A tensor of a device that saves its data in a numpy array or a CPU tensor.
    Device,
    /// A numpy array.
    NdArray(NdArray<'t>),
    /// A numpy scalar.
    NumpyScalar(NumpyScalar<'t>),
    /// A numpy dtype.
    NumpyDtype(NumpyDtype),
    /// A `torch.Size`.
    Size(Vec<i64>),
    /// A `torch.device`, such as `cuda:0`.
    TorchDevice(String),
    /// A `torch.nn.Module`, with its class.
    Module(Option<&'t Global>),
    /// An identifier for `persistent_load` that is no storage.
    PersistentId,
    /// An object of a class or function that means nothing here.
    Unknown(Option<&'t Global>),
}

/// The parts of a sparse tensor.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sparse {
    /// `sparse_coo`, `sparse_csr`, `sparse_csc`, `sparse_bsr`, `sparse_bsc`.
    pub layout: &'static str,
    /// The dense tensors it is made of, with their names.
    pub components: Vec<(&'static str, NodeId)>,
    /// The node of its size.
    pub size: NodeId,
    /// Whether indices are unique and sorted, where that is said.
    pub coalesced: Option<bool>,
}

/// A numpy array.
#[derive(Clone, PartialEq, Debug)]
pub struct NdArray<'t> {
    /// Its element type, where it is a plain one.
    pub dtype: Option<NumpyDtype>,
    /// Length of each dimension.
    pub shape: Vec<u64>,
    /// Whether the elements are in Fortran order.
    pub fortran: bool,
    /// The elements; `None` where they are Python objects.
    pub data: Option<&'t [u8]>,
}

/// A numpy scalar.
#[derive(Clone, PartialEq, Debug)]
pub struct NumpyScalar<'t> {
    /// Its type, where it is a plain one.
    pub dtype: Option<NumpyDtype>,
    /// Its bytes, where they are plain ones.
    pub data: Option<&'t [u8]>,
}

/// A numpy element type without fields.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NumpyDtype {
    /// Byte order and kind: `<f4`, `|b1`, `>i8`.
    pub name: String,
}

impl Tree {
    /// What a node is.
    ///
    /// ```
    /// use torch_pickle::{Kind, Node, Tree};
    /// let mut tree = Tree::new();
    /// let id = tree.add(Node::Int(1));
    /// assert_eq!(tree.kind_of(id), Kind::Plain);
    /// ```
    pub fn kind_of(&self, id: NodeId) -> Kind<'_> {
        let Node::Object(object) = self.node(id) else { return Kind::Plain };
        if object.construct == Construct::PersistentId {
            return Kind::PersistentId;
        }
        let class = self.global(object.callable);
        if object.construct == Construct::Call
            && let Some(global) = class
            && let Some(kind) = self.called(object, global)
        {
            return kind;
        }
        if self.module_parts(object).is_some() {
            return Kind::Module(class);
        }
        Kind::Unknown(class)
    }

    fn called<'t>(&'t self, object: &'t Object, global: &Global) -> Option<Kind<'t>> {
        let args = self.sequence(object.args).unwrap_or_default();
        match (&*global.module, &*global.name) {
            ("torch._utils", "_rebuild_sparse_tensor" | "_rebuild_sparse_csr_tensor") => {
                self.sparse(args).map(Kind::Sparse)
            }
            ("torch._utils", "_rebuild_nested_tensor") => Some(Kind::Nested),
            ("torch._utils", "_rebuild_meta_tensor_no_storage") => Some(Kind::Meta),
            ("torch._utils", "_rebuild_wrapper_subclass") => {
                Some(Kind::Subclass(args.first().and_then(|&a| self.global(a))))
            }
            ("torch._tensor", "_rebuild_from_type_v2") => {
                Some(Kind::Subclass(args.get(1).and_then(|&a| self.global(a))))
            }
            (
                "torch._utils",
                "_rebuild_device_tensor_from_numpy"
                | "_rebuild_device_tensor_from_cpu_tensor"
                | "_rebuild_xla_tensor",
            ) => Some(Kind::Device),
            ("torch", "Size") => {
                let dims = self.sequence(*args.first()?)?;
                let dims = dims.iter().map(|&d| match self.node(d) {
                    Node::Int(n) => Some(*n),
                    _ => None,
                });
                Some(Kind::Size(dims.collect::<Option<_>>()?))
            }
            ("torch", "device") => {
                let Node::Str(kind) = self.node(*args.first()?) else { return None };
                let index = args.get(1).map(|&i| self.node(i));
                Some(Kind::TorchDevice(match index {
                    Some(Node::Int(n)) => format!("{kind}:{n}"),
                    _ => kind.to_string(),
                }))
            }
            ("numpy", "dtype") => self.dtype_of(object).map(Kind::NumpyDtype),
            ("numpy.core.multiarray" | "numpy._core.multiarray", "scalar") => {
                let dtype = args.first().and_then(|&d| self.numpy_dtype(d));
                let data = args.get(1).and_then(|&d| self.bytes(d));
                Some(Kind::NumpyScalar(NumpyScalar { dtype, data }))
            }
            ("numpy.core.multiarray" | "numpy._core.multiarray", "_reconstruct") => {
                let [_, shape, dtype, fortran, data] = self.sequence(object.state?)? else {
                    return None;
                };
                Some(Kind::NdArray(NdArray {
                    dtype: self.numpy_dtype(*dtype),
                    shape: self.lengths(*shape)?,
                    fortran: matches!(self.node(*fortran), Node::Bool(true) | Node::Int(1)),
                    data: self.bytes(*data),
                }))
            }
            ("numpy.core.numeric" | "numpy._core.numeric", "_frombuffer") => {
                let [data, dtype, shape, order] = args else { return None };
                Some(Kind::NdArray(NdArray {
                    dtype: self.numpy_dtype(*dtype),
                    shape: self.lengths(*shape)?,
                    fortran: matches!(self.node(*order), Node::Str(s) if &**s == "F"),
                    data: self.bytes(*data),
                }))
            }
            _ => None,
        }
    }

    fn sparse(&self, args: &[NodeId]) -> Option<Sparse> {
        let layout = match self.node(*args.first()?) {
            Node::Global(g) => &*g.name,
            // `torch.serialization._get_layout('torch.sparse_coo')`.
            Node::Object(object) => {
                let name = *self.sequence(object.args)?.first()?;
                let Node::Str(name) = self.node(name) else { return None };
                name.strip_prefix("torch.").unwrap_or(name)
            }
            Node::Str(name) => name.strip_prefix("torch.").unwrap_or(name),
            _ => return None,
        };
        let data = self.sequence(*args.get(1)?)?;
        let (layout, names): (_, &[&str]) = match layout {
            "sparse_coo" => ("sparse_coo", &["indices", "values"]),
            "sparse_csr" => ("sparse_csr", &["crow_indices", "col_indices", "values"]),
            "sparse_bsr" => ("sparse_bsr", &["crow_indices", "col_indices", "values"]),
            "sparse_csc" => ("sparse_csc", &["ccol_indices", "row_indices", "values"]),
            "sparse_bsc" => ("sparse_bsc", &["ccol_indices", "row_indices", "values"]),
            _ => return None,
        };
        let size = *data.get(names.len())?;
        let coalesced = match data.get(names.len() + 1).map(|&c| self.node(c)) {
            Some(Node::Bool(b)) => Some(*b),
            _ => None,
        };
        let components = names.iter().copied().zip(data.iter().copied()).collect();
        Some(Sparse { layout, components, size, coalesced })
    }

    /// A dtype: an object of its own, or the class or name of one.
    fn numpy_dtype(&self, id: NodeId) -> Option<NumpyDtype> {
        match self.node(id) {
            Node::Object(object) => self.dtype_of(object),
            _ => None,
        }
    }

    fn dtype_of(&self, object: &Object) -> Option<NumpyDtype> {
        if !self.global(object.callable)?.is("numpy", "dtype") {
            return None;
        }
        let name = *self.sequence(object.args)?.first()?;
        let Node::Str(name) = self.node(name) else { return None };
        let state = object.state.and_then(|s| self.sequence(s)).unwrap_or_default();
        // (version, byte order, subarray, names, fields, …): a plain type has none of the last three.
        if state.iter().skip(2).take(3).any(|&s| *self.node(s) != Node::None) {
            return None;
        }
        let order = match state.get(1).map(|&o| self.node(o)) {
            Some(Node::Str(order)) => order,
            _ => "",
        };
        let bare = name.trim_start_matches(['<', '>', '|', '=']);
        let order = match (order, &**name) {
            ("<" | ">" | "|", _) => order,
            (_, named) if named.len() > bare.len() => &named[..1],
            _ => "|",
        };
        Some(NumpyDtype { name: format!("{order}{bare}") })
    }

    fn global(&self, id: NodeId) -> Option<&Global> {
        match self.node(id) {
            Node::Global(global) => Some(global),
            _ => None,
        }
    }

    fn sequence(&self, id: NodeId) -> Option<&[NodeId]> {
        match self.node(id) {
            Node::Tuple(items) | Node::List(items) => Some(items),
            _ => None,
        }
    }

    fn lengths(&self, id: NodeId) -> Option<Vec<u64>> {
        let items = self.sequence(id)?.iter().map(|&d| match self.node(d) {
            Node::Int(n) => u64::try_from(*n).ok(),
            _ => None,
        });
        items.collect()
    }

    fn bytes(&self, id: NodeId) -> Option<&[u8]> {
        match self.node(id) {
            Node::Bytes(bytes) | Node::ByteArray(bytes) => Some(bytes),
            _ => None,
        }
    }

    fn dict(&self, id: NodeId) -> Option<&Dict> {
        match self.node(id) {
            Node::Dict(dict) => Some(dict),
            _ => None,
        }
    }

    /// The value of a string key.
    pub(crate) fn attribute(&self, dict: &Dict, name: &str) -> Option<NodeId> {
        let is_it = |key: NodeId| matches!(self.node(key), Node::Str(s) if &**s == name);
        dict.items.iter().find(|(key, _)| is_it(*key)).map(|&(_, value)| value)
    }

    /// Parameters, buffers and submodules, where an object is a module.
    pub(crate) fn module_parts(&self, object: &Object) -> Option<ModuleParts<'_>> {
        let state = self.dict(object.state?)?;
        let part = |name| self.dict(self.attribute(state, name)?);
        let hidden = self.attribute(state, "_non_persistent_buffers_set");
        let hidden = match hidden.map(|id| self.node(id)) {
            Some(Node::Set(names) | Node::FrozenSet(names) | Node::List(names)) => &names[..],
            _ => &[],
        };
        Some(ModuleParts {
            parameters: part("_parameters")?,
            buffers: part("_buffers")?,
            modules: part("_modules")?,
            hidden,
        })
    }
}

/// What `state_dict()` lists of a module.
pub(crate) struct ModuleParts<'t> {
    pub(crate) parameters: &'t Dict,
    pub(crate) buffers: &'t Dict,
    pub(crate) modules: &'t Dict,
    /// Names of buffers that are not saved.
    pub(crate) hidden: &'t [NodeId],
}
