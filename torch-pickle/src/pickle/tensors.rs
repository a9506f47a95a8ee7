//! Storages and tensors: persistent ids and torch's rebuild functions.

use super::call::Known;
use super::machine::{Machine, new_object};
use crate::error::{Fault, FaultKind};
use crate::{Construct, DType, Node, NodeId, Storage, StorageId, StorageType, Tensor, TensorClass};

/// Arguments of a rebuild function; none has more than this many.
const MAX_ARGS: usize = 8;

struct Args {
    ids: [NodeId; MAX_ARGS],
    len: usize,
}

impl Args {
    fn get(&self, i: usize) -> Option<NodeId> {
        self.ids[..self.len].get(i).copied()
    }
}

impl Machine<'_> {
    fn args(&self, id: NodeId, least: usize, what: &str) -> Result<Args, Fault> {
        let Node::Tuple(items) = self.tree.node(id) else {
            return self.fail(format!("the arguments of {what} must be a tuple"));
        };
        if items.len() < least || items.len() > MAX_ARGS {
            return self.fail(format!(
                "{what} takes {least} arguments or a few more, not {}",
                items.len()
            ));
        }
        let mut ids = [id; MAX_ARGS];
        ids[..items.len()].copy_from_slice(items);
        Ok(Args { ids, len: items.len() })
    }

    /// `persistent_load(id)`: a storage, or an object nobody here knows.
    pub(super) fn persistent(&mut self, id: NodeId) -> Result<NodeId, Fault> {
        let first = match self.tree.node(id) {
            Node::Tuple(items) => items.first().map(|&f| self.tree.node(f)),
            _ => None,
        };
        if !matches!(first, Some(Node::Str(s)) if &**s == "storage") {
            let callable = self.none_node()?;
            let object = new_object(Construct::PersistentId, callable, id);
            return self.alloc(Node::Object(Box::new(object)));
        }
        let args = self.args(id, 5, "the id of a storage")?;
        let [_, class, key, location, numel, ..] = args.ids;
        if args.len != 5 {
            return self.fail(format!("the id of a storage has 5 parts, not {}", args.len));
        }
        let dtype = self.storage_type(class)?;
        let Node::Str(text) = self.tree.node(key) else {
            return self.fail("the key of a storage must be a string");
        };
        let Node::Str(place) = self.tree.node(location) else {
            return self.fail("the location of a storage must be a string");
        };
        let numel = match self.tree.node(numel) {
            Node::Int(n) if *n >= 0 => *n as u64,
            other => {
                let shown = number_text(other);
                return self.fail(format!("storage {text} has {shown} elements"));
            }
        };
        let hash = self.hasher.hash(text.as_bytes());
        let known = self.storage_keys.find(hash, |i| self.tree.storage(StorageId(i)).key == *text);
        let storage = match known {
            Some(i) => {
                let seen = self.tree.storage(StorageId(i));
                if (seen.dtype, seen.numel) != (dtype, numel) {
                    return self.fail(format!(
                        "storage {text} is mentioned as {numel} elements of {}, and before as {} of {}",
                        type_name(dtype),
                        seen.numel,
                        type_name(seen.dtype)
                    ));
                }
                StorageId(i)
            }
            None => {
                let location = place.clone();
                self.charge(location.len() as u64)?;
                let owned = self.is_owned(id) && self.is_owned(key);
                let key = match self.tree.node_mut(key) {
                    Node::Str(text) if owned => std::mem::take(text),
                    Node::Str(text) => text.clone(),
                    _ => Box::default(),
                };
                self.charge(key.len() as u64)?;
                let id = self.tree.add_storage(Storage { key, dtype, location, numel });
                self.storage_keys.insert(hash, id.0);
                id
            }
        };
        self.release(id, &[]);
        self.alloc(Node::Storage(storage))
    }

    fn storage_type(&self, class: NodeId) -> Result<StorageType, Fault> {
        let Node::Global(global) = self.tree.node(class) else {
            return self.fail("the class of a storage must be a global");
        };
        match (&*global.module, &*global.name) {
            ("torch.storage" | "torch", "UntypedStorage") => return Ok(StorageType::Untyped),
            ("torch" | "torch.cuda", name) => {
                if let Some(dtype) = DType::from_storage_class(name) {
                    return Ok(StorageType::Typed(dtype));
                }
            }
            _ => {}
        }
        Err(Fault::new(
            self.start,
            FaultKind::Unsupported(
                format!("the storage class {global}"),
                "load the file with torch and save it again",
            ),
        ))
    }

    /// Sizes or strides.
    fn dims(&mut self, id: NodeId, what: &str) -> Result<Box<[u64]>, Fault> {
        let mut id = id;
        // Some writers leave the size as the torch.Size it was.
        if let Node::Object(object) = self.tree.node(id)
            && matches!(self.tree.node(object.callable), Node::Global(g) if g.is("torch", "Size"))
            && let Node::Tuple(items) = self.tree.node(object.args)
            && let [inner] = items[..]
        {
            id = inner;
        }
        let items = match self.tree.node(id) {
            Node::Tuple(items) | Node::List(items) => items,
            _ => return self.fail(format!("the {what} of a tensor must be a tuple")),
        };
        let dims: Result<Box<[u64]>, Fault> = items
            .iter()
            .map(|&d| match self.tree.node(d) {
                Node::Int(n) if *n >= 0 => Ok(*n as u64),
                other => {
                    self.fail(format!("the {what} of a tensor contains {}", number_text(other)))
                }
            })
            .collect();
        let dims = dims?;
        self.charge(dims.len() as u64)?;
        Ok(dims)
    }

    fn flag(&self, id: NodeId, what: &str) -> Result<bool, Fault> {
        match self.tree.node(id) {
            Node::Bool(b) => Ok(*b),
            Node::Int(n @ 0..=1) => Ok(*n == 1),
            _ => self.fail(format!("{what} must be True or False")),
        }
    }

    /// Hooks, unless there are none.
    fn hooks(&mut self, id: Option<NodeId>) -> Option<NodeId> {
        let id = id?;
        match self.tree.node(id) {
            Node::None => None,
            Node::Dict(d) if d.items.is_empty() && d.attributes.is_none() => None,
            _ => {
                self.pin(id);
                Some(id)
            }
        }
    }

    /// `_rebuild_tensor`, `_v2`, `_v3` and `_rebuild_qtensor`.
    pub(super) fn rebuild_tensor(&mut self, known: Known, args: NodeId) -> Result<NodeId, Fault> {
        let least = match known {
            Known::Tensor => 4,
            Known::TensorV2 => 6,
            _ => 7,
        };
        let a = self.args(args, least, "a function that rebuilds a tensor")?;
        let [storage, offset, size, stride, ..] = a.ids;
        let Node::Storage(storage) = *self.tree.node(storage) else {
            return self.fail("a tensor is rebuilt from what is no storage");
        };
        let offset = match self.tree.node(offset) {
            Node::Int(n) if *n >= 0 => *n as u64,
            other => {
                let shown = number_text(other);
                return self.fail(format!("a tensor starts at element {shown} of its storage"));
            }
        };
        let shape = self.dims(size, "size")?;
        let stride = self.dims(stride, "stride")?;
        if shape.len() != stride.len() {
            return self.fail(format!(
                "a tensor has {} sizes and {} strides",
                shape.len(),
                stride.len()
            ));
        }
        let stored = match self.tree.storage(storage).dtype {
            StorageType::Typed(dtype) => dtype,
            // Torch wraps an untyped storage as one of bytes.
            StorageType::Untyped => DType::UInt8,
        };
        let (grad, hooks, dtype, bits, quantizer) = match known {
            Known::Tensor => (None, None, stored, None, None),
            Known::TensorV2 => (a.get(4), a.get(5), stored, a.get(6), None),
            Known::TensorV3 => (a.get(4), a.get(5), self.dtype(a.ids[6])?, a.get(7), None),
            _ => (a.get(5), a.get(6), stored, a.get(7), a.get(4)),
        };
        let requires_grad = match grad {
            Some(id) => self.flag(id, "requires_grad")?,
            None => false,
        };
        let (conj, neg) = match bits {
            Some(id) => self.math_bits(id)?,
            None => (false, false),
        };
        if let Some(quantizer) = quantizer {
            if !matches!(self.tree.node(quantizer), Node::Tuple(_)) {
                return self.fail("the quantizer of a tensor must be a tuple");
            }
            self.pin(quantizer);
        }
        let hooks = self.hooks(hooks);
        let tensor = Tensor {
            storage,
            dtype,
            shape,
            stride,
            offset,
            requires_grad,
            class: TensorClass::Tensor,
            conj,
            neg,
            hooks,
            state: None,
            quantizer,
        };
        if let Err(problem) = tensor.check_bounds(self.tree.storage(storage)) {
            return self.fail(problem);
        }
        let id = self.tree.add_tensor(tensor);
        self.release(args, &[]);
        self.alloc(Node::Tensor(id))
    }

    fn dtype(&self, id: NodeId) -> Result<DType, Fault> {
        if let Node::Global(global) = self.tree.node(id) {
            if &*global.module == "torch"
                && let Some(dtype) = DType::from_name(&global.name)
            {
                return Ok(dtype);
            }
            return Err(Fault::new(
                self.start,
                FaultKind::Unsupported(format!("the element type {global}"), ""),
            ));
        }
        self.fail("the element type of a tensor must be a global")
    }

    /// The seventh argument: `{'conj': True}`, `{'neg': True}`.
    fn math_bits(&self, id: NodeId) -> Result<(bool, bool), Fault> {
        let dict = match self.tree.node(id) {
            Node::None => return Ok((false, false)),
            Node::Dict(dict) => dict,
            _ => return self.fail("the metadata of a tensor must be a dict"),
        };
        let (mut conj, mut neg) = (false, false);
        for &(key, value) in &dict.items {
            match self.tree.node(key) {
                Node::Str(s) if &**s == "conj" => conj = self.flag(value, "conj")?,
                Node::Str(s) if &**s == "neg" => neg = self.flag(value, "neg")?,
                _ => {
                    return Err(Fault::new(
                        self.start,
                        FaultKind::Unsupported(
                            "a tensor with metadata other than conj and neg".into(),
                            "",
                        ),
                    ));
                }
            }
        }
        Ok((conj, neg))
    }

    /// `_rebuild_parameter(data, requires_grad, hooks)` and `_with_state`; `None` where the data
    /// are no dense tensor.
    pub(super) fn rebuild_parameter(&mut self, args: NodeId) -> Result<Option<NodeId>, Fault> {
        let a = self.args(args, 3, "_rebuild_parameter")?;
        let [data, grad, hooks, ..] = a.ids;
        if !matches!(self.tree.node(data), Node::Tensor(_)) {
            return Ok(None);
        }
        let requires_grad = self.flag(grad, "requires_grad")?;
        let hooks = self.hooks(Some(hooks));
        let state = a.get(3).filter(|&s| !matches!(self.tree.node(s), Node::None));
        if let Some(state) = state {
            self.pin(state);
        }
        let id = self.own_tensor(args, data, |tensor| {
            tensor.class = TensorClass::Parameter;
            tensor.requires_grad = requires_grad;
            tensor.hooks = hooks;
            tensor.state = state;
        })?;
        Ok(Some(id))
    }

    /// Changes the tensor that `args` holds, or a copy of it where something else refers to it.
    fn own_tensor(
        &mut self,
        args: NodeId,
        data: NodeId,
        change: impl FnOnce(&mut Tensor),
    ) -> Result<NodeId, Fault> {
        let Node::Tensor(tensor) = *self.tree.node(data) else {
            return self.fail("a tensor was expected");
        };
        if self.is_owned(args) && self.is_owned(data) {
            change(self.tree.tensor_mut(tensor));
            self.release(args, &[data]);
            return Ok(data);
        }
        let mut copy = self.tree.tensor(tensor).clone();
        self.charge(copy.shape.len() as u64 + 1)?;
        change(&mut copy);
        let id = self.tree.add_tensor(copy);
        self.release(args, &[]);
        self.alloc(Node::Tensor(id))
    }

    /// `_rebuild_from_type_v2(function, type, args, state)`; `None` for a class of tensor that is
    /// not torch's own.
    pub(super) fn rebuild_from_type(&mut self, args: NodeId) -> Result<Option<NodeId>, Fault> {
        let a = self.args(args, 4, "_rebuild_from_type_v2")?;
        let [function, class, inner, state, ..] = a.ids;
        let class = match self.tree.node(class) {
            Node::Global(g) if g.is("torch", "Tensor") => TensorClass::Tensor,
            Node::Global(g) if g.is("torch.nn.parameter", "Parameter") => TensorClass::Parameter,
            _ => return Ok(None),
        };
        let state = Some(state).filter(|&s| !matches!(self.tree.node(s), Node::None));
        let known = self.known(function);
        if !self.is_owned(args) {
            self.pin(inner);
        }
        let data = match known {
            Some(known) if known.makes_tensor() => self.rebuild_tensor(known, inner)?,
            Some(Known::Parameter) => match self.rebuild_parameter(inner)? {
                Some(id) => id,
                None => return Ok(None),
            },
            _ => return Ok(None),
        };
        if let Node::Tensor(id) = *self.tree.node(data) {
            let tensor = self.tree.tensor_mut(id);
            tensor.class = class;
            tensor.state = state;
        }
        if let Some(state) = state {
            self.pin(state);
        }
        // The inner arguments are gone if they were owned, and their place may be taken again.
        self.forget_args(args, inner);
        self.release(args, &[data]);
        Ok(Some(data))
    }

    /// Replaces what `args` says of `inner`, which was consumed, by a node that stays.
    fn forget_args(&mut self, args: NodeId, inner: NodeId) {
        if !self.is_owned(args) || !self.is_owned(inner) {
            return;
        }
        if let Node::Tuple(items) = self.tree.node_mut(args) {
            items.retain(|&i| i != inner);
        }
    }
}

fn type_name(dtype: StorageType) -> &'static str {
    match dtype {
        StorageType::Typed(dtype) => dtype.name(),
        StorageType::Untyped => "one byte",
    }
}

fn number_text(node: &Node) -> String {
    match node {
        Node::Int(n) => n.to_string(),
        Node::BigInt(_) => "an integer beyond 64 bits".into(),
        _ => "what is no integer".into(),
    }
}
