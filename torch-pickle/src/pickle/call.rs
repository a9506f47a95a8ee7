//! REDUCE, NEWOBJ and BUILD: the callables known by name, and recipes for all others.

use super::machine::Machine;
use super::text;
use crate::error::Fault;
use crate::{Construct, Dict, Node, NodeId, Object};

/// A callable with a meaning here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Known {
    OrderedDict,
    Dict,
    List,
    Tuple,
    Set,
    FrozenSet,
    Bytes,
    ByteArray,
    Encode,
    Tensor,
    TensorV2,
    TensorV3,
    QTensor,
    Parameter,
    ParameterWithState,
    FromType,
    /// `torch.jit._pickle`: a list, or a value with the name of its type.
    Script,
    /// `copyreg._reconstructor`: what protocols 0 and 1 have in place of NEWOBJ.
    Reconstructor,
}

impl Known {
    pub(super) fn of(module: &str, name: &str) -> Option<Known> {
        Some(match (module, name) {
            ("collections", "OrderedDict") => Known::OrderedDict,
            ("builtins", "dict") => Known::Dict,
            ("builtins", "list") => Known::List,
            ("builtins", "tuple") => Known::Tuple,
            ("builtins", "set") => Known::Set,
            ("builtins", "frozenset") => Known::FrozenSet,
            ("builtins", "bytes") => Known::Bytes,
            ("builtins", "bytearray") => Known::ByteArray,
            ("_codecs", "encode") => Known::Encode,
            ("torch._utils", "_rebuild_tensor") => Known::Tensor,
            ("torch._utils", "_rebuild_tensor_v2") => Known::TensorV2,
            ("torch._utils", "_rebuild_tensor_v3") => Known::TensorV3,
            ("torch._utils", "_rebuild_qtensor") => Known::QTensor,
            ("torch._utils", "_rebuild_parameter") => Known::Parameter,
            ("torch._utils", "_rebuild_parameter_with_state") => Known::ParameterWithState,
            ("torch._tensor", "_rebuild_from_type_v2") => Known::FromType,
            (
                "torch.jit._pickle",
                "build_intlist" | "build_tensorlist" | "build_doublelist" | "build_boollist"
                | "restore_type_tag",
            ) => Known::Script,
            ("copyreg", "_reconstructor") => Known::Reconstructor,
            _ => return None,
        })
    }

    /// Whether it makes a plain tensor out of a storage.
    pub(super) fn makes_tensor(self) -> bool {
        matches!(self, Known::Tensor | Known::TensorV2 | Known::TensorV3 | Known::QTensor)
    }
}

impl Machine<'_> {
    pub(super) fn known(&self, callable: NodeId) -> Option<Known> {
        // A handful of entries; the last one used is nearly always among the first.
        self.known.iter().find(|(id, _)| *id == callable).map(|&(_, known)| known)
    }

    /// `callable(*args)`.
    pub(super) fn reduce(&mut self, callable: NodeId, args: NodeId) -> Result<NodeId, Fault> {
        let made = match self.known(callable) {
            // The hooks of each tensor are one.
            Some(known @ (Known::OrderedDict | Known::Dict)) if self.is_empty_tuple(args) => {
                let ordered = known == Known::OrderedDict;
                return self.alloc(Node::Dict(Dict { ordered, ..Dict::default() }));
            }
            Some(known) if known.makes_tensor() => Some(self.rebuild_tensor(known, args)?),
            Some(Known::Parameter | Known::ParameterWithState) => self.rebuild_parameter(args)?,
            Some(Known::FromType) => self.rebuild_from_type(args)?,
            Some(Known::Script) => self.first_of(args),
            Some(Known::Reconstructor) => self.reconstruct(args)?,
            Some(known) => self.builtin(known, args)?,
            None => None,
        };
        match made {
            Some(id) => Ok(id),
            None => {
                let object = Object::new(Construct::Call, callable, args);
                self.alloc(Node::Object(Box::new(object)))
            }
        }
    }

    /// The first of the arguments, which stands for the whole.
    fn first_of(&mut self, args: NodeId) -> Option<NodeId> {
        let Node::Tuple(items) = self.tree.node(args) else { return None };
        let first = *items.first()?;
        self.pin(first);
        Some(first)
    }

    /// `_reconstructor(cls, base, state)`: `base.__new__(cls, state)`, and `None` for a base other
    /// than `object`, `list` and `dict`.
    fn reconstruct(&mut self, args: NodeId) -> Result<Option<NodeId>, Fault> {
        let Node::Tuple(items) = self.tree.node(args) else { return Ok(None) };
        let [class, base, state] = items[..] else { return Ok(None) };
        let base = match self.tree.node(base) {
            Node::Global(global) if &*global.module == "builtins" => global.name.clone(),
            _ => return Ok(None),
        };
        let mut object = Object::new(Construct::New, class, class);
        match (&*base, self.tree.node(state)) {
            ("object", Node::None) => {}
            ("list", Node::List(items)) => object.appended.clone_from(items),
            ("dict", Node::Dict(dict)) if !dict.ordered => object.items.clone_from(&dict.items),
            _ => return Ok(None),
        }
        let parts = object.appended.iter().copied();
        let parts = parts.chain(object.items.iter().flat_map(|&(k, v)| [k, v]));
        let parts: Vec<NodeId> = parts.chain([class]).collect();
        self.charge(parts.len() as u64)?;
        parts.into_iter().for_each(|id| self.pin(id));
        object.args = self.empty_tuple()?;
        self.alloc(Node::Object(Box::new(object))).map(Some)
    }

    /// `cls.__new__(cls, *args)`.
    pub(super) fn new_object(&mut self, class: NodeId, args: NodeId) -> Result<NodeId, Fault> {
        let known = self.known(class);
        if matches!(known, Some(Known::OrderedDict | Known::Dict | Known::List | Known::Set))
            && matches!(self.tree.node(args), Node::Tuple(items) if items.is_empty())
            && let Some(known) = known
            && let Some(id) = self.builtin(known, args)?
        {
            return Ok(id);
        }
        let object = Object::new(Construct::New, class, args);
        self.alloc(Node::Object(Box::new(object)))
    }

    /// A builtin container; `None` where the arguments have an unknown form.
    fn builtin(&mut self, known: Known, args: NodeId) -> Result<Option<NodeId>, Fault> {
        let Node::Tuple(items) = self.tree.node(args) else {
            return self.fail("arguments must be a tuple");
        };
        let (count, first, second) = (items.len(), items.first().copied(), items.get(1).copied());
        let made = match (known, count) {
            (Known::OrderedDict | Known::Dict, 0 | 1) => self.make_dict(known, first)?,
            (Known::List | Known::Tuple | Known::Set | Known::FrozenSet, 0 | 1) => {
                self.make_sequence(known, first)?
            }
            (Known::Bytes | Known::ByteArray, 0) => Some(bytes_node(known, Vec::new())),
            (Known::Bytes | Known::ByteArray, 1) => match first.map(|id| self.tree.node(id)) {
                Some(Node::Bytes(bytes)) => {
                    let bytes = bytes.to_vec();
                    self.charge(bytes.len() as u64)?;
                    Some(bytes_node(known, bytes))
                }
                _ => None,
            },
            (Known::Encode | Known::ByteArray, 2) => self.encode(known, first, second)?,
            _ => None,
        };
        let Some(node) = made else { return Ok(None) };
        self.release(args, &[]);
        self.alloc(node).map(Some)
    }

    /// `_codecs.encode(text, 'latin1')` and `bytearray(text, 'latin-1')`.
    fn encode(
        &mut self,
        known: Known,
        text: Option<NodeId>,
        codec: Option<NodeId>,
    ) -> Result<Option<Node>, Fault> {
        let (Some(text), Some(codec)) = (text, codec) else { return Ok(None) };
        let (Node::Str(text), Node::Str(codec)) = (self.tree.node(text), self.tree.node(codec))
        else {
            return Ok(None);
        };
        if !matches!(&**codec, "latin1" | "latin-1") {
            return Ok(None);
        }
        match text::latin1(text) {
            Some(bytes) => {
                self.charge(bytes.len() as u64)?;
                Ok(Some(bytes_node(known, bytes)))
            }
            None => self.fail("text outside latin-1 is encoded as latin-1"),
        }
    }

    fn make_dict(&mut self, known: Known, pairs: Option<NodeId>) -> Result<Option<Node>, Fault> {
        let empty = Dict { ordered: known == Known::OrderedDict, ..Dict::default() };
        let Some(pairs) = pairs else { return Ok(Some(Node::Dict(empty))) };
        let items = match self.tree.node(pairs) {
            Node::List(items) | Node::Tuple(items) => items,
            _ => return Ok(None),
        };
        let mut flat = Vec::with_capacity(items.len() * 2);
        for &item in items {
            match self.tree.node(item) {
                Node::List(pair) | Node::Tuple(pair) if pair.len() == 2 => {
                    flat.extend_from_slice(pair);
                }
                _ => return Ok(None),
            }
        }
        self.charge(flat.len() as u64)?;
        // The pairs go, what they hold stays.
        for &id in &flat {
            self.pin(id);
        }
        let id = self.alloc(Node::Dict(empty))?;
        self.set_items(id, &flat)?;
        Ok(Some(self.take_node(id)))
    }

    fn make_sequence(&mut self, known: Known, from: Option<NodeId>) -> Result<Option<Node>, Fault> {
        let mut items = Vec::new();
        if let Some(from) = from {
            match self.tree.node(from) {
                Node::List(list) | Node::Tuple(list) | Node::Set(list) | Node::FrozenSet(list) => {
                    items = list.clone();
                }
                _ => return Ok(None),
            }
            self.charge(items.len() as u64)?;
            for &id in &items {
                self.pin(id);
            }
        }
        Ok(Some(match known {
            Known::List => Node::List(items),
            Known::Tuple => Node::Tuple(items),
            _ => {
                let id = self.alloc(Node::Set(Vec::new()))?;
                self.add_members(id, &items)?;
                if known == Known::FrozenSet {
                    self.freeze(id);
                }
                self.take_node(id)
            }
        }))
    }

    /// BUILD: gives an object its state.
    pub(super) fn build(&mut self, target: NodeId, state: NodeId) -> Result<(), Fault> {
        let is_dict = matches!(self.tree.node(state), Node::Dict(_));
        let is_none = matches!(self.tree.node(state), Node::None);
        let old = match self.tree.node_mut(target) {
            Node::Object(object) => {
                if object.state.is_none() {
                    object.state = Some(state);
                    return Ok(());
                }
                object.state
            }
            Node::Dict(dict) if dict.ordered && is_dict => {
                if dict.attributes.is_none() {
                    dict.attributes = Some(state);
                    return Ok(());
                }
                dict.attributes
            }
            // As in the arguments of a rebuild function, None is no state.
            Node::Tensor(_) if is_none => return Ok(()),
            Node::Tensor(id) => {
                let id = *id;
                let tensor = self.tree.tensor_mut(id);
                if tensor.state.is_none() {
                    tensor.state = Some(state);
                    return Ok(());
                }
                tensor.state
            }
            _ => return self.fail("a state is given to a value that cannot have one"),
        };
        // A second state updates the attributes that the first one set.
        let Node::Dict(new) = self.tree.node(state) else {
            return self.fail("a second state is no dict");
        };
        let flat: Vec<NodeId> = new.items.iter().flat_map(|&(k, v)| [k, v]).collect();
        match old {
            Some(old) if old != state && matches!(self.tree.node(old), Node::Dict(_)) => {
                self.charge(flat.len() as u64)?;
                flat.iter().for_each(|&id| self.pin(id));
                self.set_items(old, &flat)
            }
            Some(old) if old == state => Ok(()),
            _ => self.fail("a second state follows one that is no dict"),
        }
    }
}

fn bytes_node(known: Known, bytes: Vec<u8>) -> Node {
    if known == Known::ByteArray {
        Node::ByteArray(bytes.into())
    } else {
        Node::Bytes(bytes.into())
    }
}
