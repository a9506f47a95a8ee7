//! Storages and tensors: persistent ids and torch's rebuild functions.

use std::sync::Arc;

use super::call::Known;
use super::dialect::{Persistent, storage_class};
use super::machine::Machine;
use crate::error::{Fault, FaultKind};
use crate::{
    DType, Dims, Node, NodeId, Storage, StorageId, StorageKey, StorageType, Tensor, TensorClass,
    TensorId,
};

/// Arguments of a rebuild function; none has more than this many.
const MAX_ARGS: usize = 8;

/// A key no longer than this costs nothing to look up; torch's have a dozen digits. One longer may
/// be mentioned again and again by a few bytes each time.
pub(super) const LONG_KEY: u64 = 64;

pub(super) struct Args {
    ids: [NodeId; MAX_ARGS],
    len: usize,
}

impl Args {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn get(&self, i: usize) -> Option<NodeId> {
        self.ids[..self.len].get(i).copied()
    }
}

impl Machine<'_> {
    /// What stands on the stack from `from` on, taken off it.
    fn args_of(&mut self, from: usize) -> Args {
        let items = &self.stack[from..];
        let mut ids = [NodeId::new(0); MAX_ARGS];
        ids[..items.len()].copy_from_slice(items);
        let len = items.len();
        self.stack.truncate(from);
        Args { ids, len }
    }

    /// The storage that the persistent id from `from` on describes; `None` where it is none, with
    /// the stack as it was.
    pub(super) fn storage_of(&mut self, from: usize) -> Result<Option<NodeId>, Fault> {
        let [first, _, _, _, _] = self.stack[from..] else { return Ok(None) };
        // Where persistent ids are numbers, nothing says where such a storage would lie.
        if !self.is_storage(first) || matches!(self.persistent, Persistent::Numbered(_)) {
            return Ok(None);
        }
        let args = self.args_of(from);
        let storage = self.storage(&args)?;
        self.release_all(&args.ids[..args.len], &[]);
        self.alloc(Node::Storage(storage)).map(Some)
    }

    /// The tensor that the function below `from` makes of what stands from there on; `None` where
    /// that is another function, with the stack as it was.
    pub(super) fn tensor_of(&mut self, from: usize) -> Result<Option<NodeId>, Fault> {
        let below = from.checked_sub(1).filter(|&i| i >= self.base());
        let Some(callable) = below.map(|i| self.stack[i]) else { return Ok(None) };
        let known = self.known(callable).filter(|k| k.makes_tensor());
        let Some(known) = known else { return Ok(None) };
        if !(least(known)..=MAX_ARGS).contains(&(self.stack.len() - from)) {
            return Ok(None);
        }
        let args = self.args_of(from);
        self.stack.truncate(from - 1);
        let id = self.tensor(known, &args)?;
        self.release_all(&args.ids[..args.len], &[]);
        self.alloc(Node::Tensor(id)).map(Some)
    }

    pub(super) fn is_storage(&self, first: NodeId) -> bool {
        matches!(self.tree.node(first), Node::Str(s) if &**s == "storage")
    }

    pub(super) fn args(&self, id: NodeId, least: usize, what: &str) -> Result<Args, Fault> {
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

    pub(super) fn storage(&mut self, args: &Args) -> Result<StorageId, Fault> {
        let [_, class, key, location, numel, ..] = args.ids;
        let dtype = self.storage_type(class)?;
        let Node::Str(text) = self.tree.node(key) else {
            return self.fail("the key of a storage must be a string");
        };
        let (key, len) = (StorageKey::from(&**text), text.len() as u64);
        let Node::Str(place) = self.tree.node(location) else {
            return self.fail("the location of a storage must be a string");
        };
        let numel = match self.tree.node(numel) {
            Node::Int(n) if *n >= 0 => *n as u64,
            other => {
                let shown = number_text(other);
                return self.fail(format!("storage {key} has {shown} elements"));
            }
        };
        let known = self.storage_keys.find(self.tree.storages(), &key);
        let storage = match known {
            Some(storage) => {
                let seen = self.tree.storage(storage);
                if (seen.dtype, seen.numel) != (dtype, numel) {
                    return self.fail(format!(
                        "storage {key} is mentioned as {numel} elements of {}, and before as {} of {}",
                        type_name(dtype),
                        seen.numel,
                        type_name(seen.dtype)
                    ));
                }
                self.charge(len.saturating_sub(LONG_KEY))?;
                storage
            }
            None => {
                let location = match &self.location {
                    Some(known) if **known == **place => known.clone(),
                    _ => Arc::from(&**place),
                };
                self.charge(len + location.len() as u64)?;
                self.location = Some(location.clone());
                let id = self.tree.add_storage(Storage { key, dtype, location, numel });
                self.storage_keys.added(self.tree.storages());
                id
            }
        };
        Ok(storage)
    }

    fn storage_type(&mut self, class: NodeId) -> Result<StorageType, Fault> {
        if let Some((seen, dtype)) = self.storage_class
            && seen == class
        {
            return Ok(dtype);
        }
        let dtype = self.named_storage_type(class)?;
        // The node of a global stays what it is.
        self.storage_class = Some((class, dtype));
        Ok(dtype)
    }

    fn named_storage_type(&self, class: NodeId) -> Result<StorageType, Fault> {
        let Node::Global(global) = self.tree.node(class) else {
            return self.fail("the class of a storage must be a global");
        };
        if let Some(dtype) = storage_class(self.tree.node(class)) {
            return Ok(dtype);
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
    fn dims(&mut self, id: NodeId, what: &str) -> Result<Dims, Fault> {
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
        let dim = |&item: &NodeId| match self.tree.node(item) {
            Node::Int(n) => u64::try_from(*n).ok(),
            _ => None,
        };
        let Some(dims) = items.iter().map(dim).collect::<Option<Dims>>() else {
            let other = items.iter().find(|item| dim(item).is_none()).unwrap_or(&id);
            let shown = number_text(self.tree.node(*other));
            return self.fail(format!("the {what} of a tensor contains {shown}"));
        };
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

    /// Hooks, unless there are none. An empty dict that is on the memo may be filled later.
    fn hooks(&mut self, id: Option<NodeId>) -> Option<NodeId> {
        let id = id?;
        match self.tree.node(id) {
            Node::None => None,
            node if is_empty_dict(node) && self.is_owned(id) => None,
            node => {
                self.unfilled_hooks |= is_empty_dict(node);
                self.pin(id);
                Some(id)
            }
        }
    }

    /// At the end of the pickle: hooks that nothing was put into are none.
    pub(super) fn drop_empty_hooks(&mut self) {
        if !self.unfilled_hooks {
            return;
        }
        for id in (0..self.tree.tensors().len() as u32).map(TensorId) {
            let hooks = self.tree.tensor(id).hooks;
            if hooks.is_some_and(|hooks| is_empty_dict(self.tree.node(hooks))) {
                self.tree.tensor_mut(id).hooks = None;
            }
        }
    }

    /// `_rebuild_tensor`, `_v2`, `_v3` and `_rebuild_qtensor`.
    pub(super) fn rebuild_tensor(&mut self, known: Known, args: NodeId) -> Result<NodeId, Fault> {
        let a = self.args(args, least(known), "a function that rebuilds a tensor")?;
        let id = self.tensor(known, &a)?;
        self.release(args, &[]);
        self.alloc(Node::Tensor(id))
    }

    fn tensor(&mut self, known: Known, a: &Args) -> Result<TensorId, Fault> {
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
        let mut tensor = Tensor {
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
        // It was found to lie in the part; it shows the whole.
        if let Some(&(whole, from)) = self.views.get(&storage) {
            (tensor.storage, tensor.offset) = (whole, tensor.offset.saturating_add(from));
        }
        Ok(self.tree.add_tensor(tensor))
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

fn is_empty_dict(node: &Node) -> bool {
    matches!(node, Node::Dict(dict) if dict.items.is_empty() && dict.attributes.is_none())
}

/// The least number of arguments of a function that rebuilds a tensor.
fn least(known: Known) -> usize {
    match known {
        Known::Tensor => 4,
        Known::TensorV2 => 6,
        _ => 7,
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
