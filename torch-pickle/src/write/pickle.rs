//! A tree becomes a pickle of protocol 2, with the opcodes torch itself writes.
//!
//! The order of opcodes is Python's: a container enters the memo before it is filled, a tuple or
//! an object after its parts. Work waits on an explicit stack, so depth costs no recursion.

use std::collections::HashMap;

use super::check::Plan;
use super::emit::{Emitter, op};
use super::refused;
use crate::{
    Construct, DType, Dict, Node, NodeId, Object, Result, StorageId, StorageType, Tensor,
    TensorClass, Tree,
};

/// How many elements one APPENDS or SETITEMS takes, as in Python.
const BATCH: usize = 1000;

/// Writes the pickle of `tree` from its root, with storage keys as `plan` numbers them.
pub(super) fn pickle(tree: &Tree, plan: &Plan) -> Result<Vec<u8>> {
    let mut p = Pickler {
        tree,
        plan,
        out: Emitter::new(),
        memo: HashMap::new(),
        steps: vec![Step::Visit(plan.root)],
    };
    while let Some(step) = p.steps.pop() {
        p.step(step)?;
    }
    p.out.op(op::STOP);
    Ok(p.out.bytes)
}

/// What is still to be written, last first.
enum Step {
    /// A node, from the beginning.
    Visit(NodeId),
    /// The parts of a tuple are on the stack: close it.
    CloseTuple(NodeId, usize),
    /// Parts of a thing that has no node of its own are on the stack: close them as a tuple.
    ClosePlainTuple(usize),
    /// One opcode.
    Op(u8),
    /// The value on top of the stack is this node.
    Memo(NodeId),
    /// A list, from this element on.
    Elements(NodeId, usize),
    /// A dictionary or the items of an object, from this pair on.
    Items(NodeId, usize),
    /// A set's elements as the argument list of its class.
    SetOf(NodeId),
    /// The dense part of a tensor.
    Dense(NodeId),
    /// The hooks of a tensor: its own or an empty `OrderedDict`.
    Hooks(NodeId),
    /// An empty `OrderedDict`.
    NoHooks,
    /// A constant.
    Bool(bool),
    /// A class or function.
    Global(&'static str, &'static str),
}

struct Pickler<'a> {
    tree: &'a Tree,
    plan: &'a Plan,
    out: Emitter,
    memo: HashMap<NodeId, u32>,
    steps: Vec<Step>,
}

impl Pickler<'_> {
    fn step(&mut self, step: Step) -> Result<()> {
        match step {
            Step::Visit(id) => self.visit(id)?,
            Step::CloseTuple(id, n) => {
                if let Some(&at) = self.memo.get(&id) {
                    // A part of the tuple referred back to it and has built it already.
                    if n > 3 {
                        self.out.op(op::POP_MARK);
                    } else {
                        self.out.ops(&[op::POP; 3][..n]);
                    }
                    self.out.get(at);
                } else {
                    self.out.close_tuple(n);
                    self.remember(id);
                }
            }
            Step::ClosePlainTuple(n) => self.out.close_tuple(n),
            Step::Op(code) => self.out.op(code),
            Step::Memo(id) => {
                if let Some(&at) = self.memo.get(&id) {
                    self.out.op(op::POP);
                    self.out.get(at);
                } else {
                    self.remember(id);
                }
            }
            Step::Elements(id, from) => self.elements(id, from),
            Step::Items(id, from) => self.items(id, from),
            Step::SetOf(id) => self.set_of(id),
            Step::Dense(id) => self.dense(id)?,
            Step::Hooks(id) => match self.tensor_of(id).hooks {
                Some(hooks) => self.steps.push(Step::Visit(hooks)),
                None => self.no_hooks()?,
            },
            Step::NoHooks => self.no_hooks()?,
            Step::Bool(b) => self.out.op(if b { op::NEWTRUE } else { op::NEWFALSE }),
            Step::Global(module, name) => self.out.global(module, name)?,
        }
        Ok(())
    }

    fn visit(&mut self, id: NodeId) -> Result<()> {
        if let Some(&at) = self.memo.get(&id) {
            self.out.get(at);
            return Ok(());
        }
        let tree = self.tree;
        match tree.node(id) {
            Node::None => self.out.op(op::NONE),
            Node::Bool(b) => self.out.op(if *b { op::NEWTRUE } else { op::NEWFALSE }),
            Node::Int(i) => {
                self.out.int(*i);
                self.remember(id);
            }
            Node::BigInt(bytes) => {
                self.out.big_int(bytes)?;
                self.remember(id);
            }
            Node::Float(f) => {
                self.out.op(op::BINFLOAT);
                self.out.ops(&f.to_be_bytes());
                self.remember(id);
            }
            Node::Str(s) => {
                self.out.unicode(s.as_bytes())?;
                self.remember(id);
            }
            Node::SurrogateStr(s) => {
                self.out.unicode(s)?;
                self.remember(id);
            }
            Node::Bytes(b) => {
                self.out.bytes(b)?;
                self.remember(id);
            }
            Node::ByteArray(b) => {
                self.out.global("builtins", "bytearray")?;
                self.out.bytes(b)?;
                self.out.ops(&[op::TUPLE1, op::REDUCE]);
                self.remember(id);
            }
            Node::Tuple(parts) if parts.is_empty() => self.out.op(op::EMPTY_TUPLE),
            Node::Tuple(parts) => {
                if parts.len() > 3 {
                    self.out.op(op::MARK);
                }
                self.steps.push(Step::CloseTuple(id, parts.len()));
                self.steps.extend(parts.iter().rev().map(|&p| Step::Visit(p)));
            }
            Node::List(_) => {
                self.out.op(op::EMPTY_LIST);
                self.remember(id);
                self.steps.push(Step::Elements(id, 0));
            }
            Node::Dict(Dict { ordered, attributes, .. }) => {
                if *ordered {
                    self.out.global("collections", "OrderedDict")?;
                    self.out.ops(&[op::EMPTY_TUPLE, op::REDUCE]);
                } else {
                    self.out.op(op::EMPTY_DICT);
                }
                self.remember(id);
                if let Some(state) = attributes {
                    self.steps.extend([Step::Op(op::BUILD), Step::Visit(*state)]);
                }
                self.steps.push(Step::Items(id, 0));
            }
            Node::Set(_) | Node::FrozenSet(_) => {
                let name = if matches!(tree.node(id), Node::Set(_)) { "set" } else { "frozenset" };
                self.out.global("builtins", name)?;
                self.steps.extend([
                    Step::Memo(id),
                    Step::Op(op::REDUCE),
                    Step::Op(op::TUPLE1),
                    Step::SetOf(id),
                ]);
            }
            Node::Global(g) => self.out.global(&g.module, &g.name)?,
            Node::Storage(s) => self.storage(*s)?,
            Node::Tensor(_) => self.tensor(id)?,
            Node::Object(object) => self.object(id, object)?,
        }
        Ok(())
    }

    fn elements(&mut self, id: NodeId, from: usize) {
        let tree = self.tree;
        let list = match tree.node(id) {
            Node::List(list) => list,
            Node::Object(object) => &object.appended,
            _ => return,
        };
        let rest = &list[from..];
        let batch = &rest[..rest.len().min(BATCH)];
        if rest.len() > batch.len() {
            self.steps.push(Step::Elements(id, from + batch.len()));
        }
        match batch {
            [] => {}
            [one] => self.steps.extend([Step::Op(op::APPEND), Step::Visit(*one)]),
            many => {
                self.out.op(op::MARK);
                self.steps.push(Step::Op(op::APPENDS));
                self.steps.extend(many.iter().rev().map(|&e| Step::Visit(e)));
            }
        }
    }

    fn items(&mut self, id: NodeId, from: usize) {
        let tree = self.tree;
        let items = match tree.node(id) {
            Node::Dict(dict) => &dict.items,
            Node::Object(object) => &object.items,
            _ => return,
        };
        let rest = &items[from..];
        let batch = &rest[..rest.len().min(BATCH)];
        if rest.len() > batch.len() {
            self.steps.push(Step::Items(id, from + batch.len()));
        }
        match batch {
            [] => {}
            [(k, v)] => {
                self.steps.extend([Step::Op(op::SETITEM), Step::Visit(*v), Step::Visit(*k)]);
            }
            many => {
                self.out.op(op::MARK);
                self.steps.push(Step::Op(op::SETITEMS));
                for &(k, v) in many.iter().rev() {
                    self.steps.extend([Step::Visit(v), Step::Visit(k)]);
                }
            }
        }
    }

    fn set_of(&mut self, id: NodeId) {
        let tree = self.tree;
        let (Node::Set(parts) | Node::FrozenSet(parts)) = tree.node(id) else { return };
        self.out.op(op::EMPTY_LIST);
        if !parts.is_empty() {
            self.out.op(op::MARK);
            self.steps.push(Step::Op(op::APPENDS));
            self.steps.extend(parts.iter().rev().map(|&p| Step::Visit(p)));
        }
    }

    fn object(&mut self, id: NodeId, object: &Object) -> Result<()> {
        if let Some(state) = object.state {
            self.steps.extend([Step::Op(op::BUILD), Step::Visit(state)]);
        }
        self.steps.extend([Step::Items(id, 0), Step::Elements(id, 0), Step::Memo(id)]);
        match object.construct {
            Construct::Call => self.steps.extend([
                Step::Op(op::REDUCE),
                Step::Visit(object.args),
                Step::Visit(object.callable),
            ]),
            Construct::New => self.steps.extend([
                Step::Op(op::NEWOBJ),
                Step::Visit(object.args),
                Step::Visit(object.callable),
            ]),
            Construct::NewEx => {
                // Protocol 2 has no opcode for it; this function does the same.
                self.out.global("copyreg", "__newobj_ex__")?;
                let kwargs = object.kwargs.map_or(Step::Op(op::EMPTY_DICT), Step::Visit);
                self.steps.extend([
                    Step::Op(op::REDUCE),
                    Step::ClosePlainTuple(3),
                    kwargs,
                    Step::Visit(object.args),
                    Step::Visit(object.callable),
                ]);
            }
            Construct::PersistentId => {
                return Err(refused(
                    "an object outside the file (a persistent id that is no storage) cannot be \
                     written; leave it out",
                ));
            }
        }
        Ok(())
    }

    /// A tensor and what wraps it: the class Parameter, attributes.
    fn tensor(&mut self, id: NodeId) -> Result<()> {
        let tensor = self.tensor_of(id);
        let (parameter, state) = (tensor.class == TensorClass::Parameter, tensor.state);
        let requires_grad = tensor.requires_grad;
        self.steps.push(Step::Memo(id));
        match (parameter, state) {
            (false, None) => self.steps.push(Step::Dense(id)),
            (true, state) => {
                let name = match state {
                    None => "_rebuild_parameter",
                    Some(_) => "_rebuild_parameter_with_state",
                };
                self.out.global("torch._utils", name)?;
                if state.is_some() {
                    self.out.op(op::MARK);
                }
                self.steps.push(Step::Op(op::REDUCE));
                self.steps.push(Step::ClosePlainTuple(3 + usize::from(state.is_some())));
                self.steps.extend(state.map(Step::Visit));
                self.steps.extend([Step::Hooks(id), Step::Bool(requires_grad), Step::Dense(id)]);
            }
            (false, Some(state)) => {
                self.out.global("torch._tensor", "_rebuild_from_type_v2")?;
                self.out.op(op::MARK);
                self.dense_function(id)?;
                self.out.global("torch", "Tensor")?;
                self.steps.extend([
                    Step::Op(op::REDUCE),
                    Step::ClosePlainTuple(4),
                    Step::Visit(state),
                ]);
                self.dense_arguments(id)?;
            }
        }
        Ok(())
    }

    fn tensor_of(&self, id: NodeId) -> &Tensor {
        match self.tree.node(id) {
            Node::Tensor(t) => self.tree.tensor(*t),
            // The plan visits tensors only here.
            other => unreachable!("{other:?} is no tensor"),
        }
    }

    fn dense(&mut self, id: NodeId) -> Result<()> {
        self.dense_function(id)?;
        self.steps.push(Step::Op(op::REDUCE));
        self.dense_arguments(id)
    }

    fn dense_function(&mut self, id: NodeId) -> Result<()> {
        let tensor = self.tensor_of(id);
        let name = match (tensor.quantizer, self.tree.storage(tensor.storage).dtype) {
            (Some(_), _) => "_rebuild_qtensor",
            (None, StorageType::Typed(_)) => "_rebuild_tensor_v2",
            (None, StorageType::Untyped) => "_rebuild_tensor_v3",
        };
        self.out.global("torch._utils", name)
    }

    /// The argument tuple of a rebuild function. What holds no node is written at once; hooks and
    /// quantiser wait their turn.
    fn dense_arguments(&mut self, id: NodeId) -> Result<()> {
        let tree = self.tree;
        let Node::Tensor(t) = tree.node(id) else { return Ok(()) };
        let tensor = tree.tensor(*t);
        self.out.op(op::MARK);
        self.storage(tensor.storage)?;
        self.out.unsigned(tensor.offset)?;
        self.out.extents(&tensor.shape)?;
        self.out.extents(&tensor.stride)?;
        // A parameter's inner tensor carries neither the flag nor the hooks.
        let inner = tensor.class == TensorClass::Parameter;
        let requires_grad = Step::Bool(tensor.requires_grad && !inner);
        let hooks = if inner { Step::NoHooks } else { Step::Hooks(id) };
        match (tensor.quantizer, tree.storage(tensor.storage).dtype) {
            (Some(quantizer), _) => self.steps.extend([
                Step::ClosePlainTuple(7),
                hooks,
                requires_grad,
                Step::Visit(quantizer),
            ]),
            (None, StorageType::Typed(_)) => {
                self.steps.extend([Step::ClosePlainTuple(6), hooks, requires_grad]);
            }
            (None, StorageType::Untyped) => self.steps.extend([
                Step::ClosePlainTuple(7),
                Step::Global("torch", tensor.dtype.name()),
                hooks,
                requires_grad,
            ]),
        }
        Ok(())
    }

    fn no_hooks(&mut self) -> Result<()> {
        self.out.global("collections", "OrderedDict")?;
        self.out.ops(&[op::EMPTY_TUPLE, op::REDUCE]);
        Ok(())
    }

    /// The persistent id of a storage.
    fn storage(&mut self, id: StorageId) -> Result<()> {
        let tree = self.tree;
        let storage = tree.storage(id);
        self.out.op(op::MARK);
        self.out.interned_str("storage")?;
        match storage.dtype {
            StorageType::Typed(dtype) => self.out.global("torch", storage_class(dtype)?)?,
            StorageType::Untyped => self.out.global("torch.storage", "UntypedStorage")?,
        }
        self.out.unicode(self.plan.key(id).to_string().as_bytes())?;
        self.out.interned_str(&storage.location)?;
        self.out.unsigned(storage.numel)?;
        self.out.ops(&[op::TUPLE, op::BINPERSID]);
        Ok(())
    }

    /// Gives a value its place in the memo, if it can be asked for again. A value that is filled
    /// after it was made always gets one, as in Python: it may contain itself.
    fn remember(&mut self, id: NodeId) {
        let filled_later =
            matches!(self.tree.node(id), Node::List(_) | Node::Dict(_) | Node::Object(_));
        if filled_later || self.plan.is_shared(id) {
            let at = self.out.put();
            self.memo.insert(id, at);
        }
    }
}

fn storage_class(dtype: DType) -> Result<&'static str> {
    dtype.storage_class().ok_or_else(|| {
        refused(format!("torch has no typed storage for {dtype}; use an untyped storage"))
    })
}
