//! A tree becomes a pickle of protocol 2, with the opcodes torch itself writes.
//!
//! The order of opcodes is Python's: a container enters the memo before it is filled, a tuple or
//! an object after its parts. Work waits on an explicit stack, so depth costs no recursion.

use std::collections::HashMap;

use super::check::Plan;
use super::refused;
use crate::{
    Construct, DType, Dict, Global, Node, NodeId, Object, Result, StorageId, StorageType, Tensor,
    TensorClass, Tree,
};

/// How many elements one APPENDS or SETITEMS takes, as in Python.
const BATCH: usize = 1000;

mod op {
    pub(super) const MARK: u8 = b'(';
    pub(super) const STOP: u8 = b'.';
    pub(super) const POP: u8 = b'0';
    pub(super) const POP_MARK: u8 = b'1';
    pub(super) const BINFLOAT: u8 = b'G';
    pub(super) const BININT: u8 = b'J';
    pub(super) const BININT1: u8 = b'K';
    pub(super) const BININT2: u8 = b'M';
    pub(super) const NONE: u8 = b'N';
    pub(super) const BINPERSID: u8 = b'Q';
    pub(super) const REDUCE: u8 = b'R';
    pub(super) const BINUNICODE: u8 = b'X';
    pub(super) const APPEND: u8 = b'a';
    pub(super) const BUILD: u8 = b'b';
    pub(super) const GLOBAL: u8 = b'c';
    pub(super) const APPENDS: u8 = b'e';
    pub(super) const BINGET: u8 = b'h';
    pub(super) const LONG_BINGET: u8 = b'j';
    pub(super) const BINPUT: u8 = b'q';
    pub(super) const LONG_BINPUT: u8 = b'r';
    pub(super) const SETITEM: u8 = b's';
    pub(super) const TUPLE: u8 = b't';
    pub(super) const SETITEMS: u8 = b'u';
    pub(super) const EMPTY_DICT: u8 = b'}';
    pub(super) const EMPTY_LIST: u8 = b']';
    pub(super) const EMPTY_TUPLE: u8 = b')';
    pub(super) const PROTO: u8 = 0x80;
    pub(super) const NEWOBJ: u8 = 0x81;
    pub(super) const TUPLE1: u8 = 0x85;
    pub(super) const NEWTRUE: u8 = 0x88;
    pub(super) const NEWFALSE: u8 = 0x89;
    pub(super) const LONG1: u8 = 0x8a;
    pub(super) const LONG4: u8 = 0x8b;
}

/// Writes the pickle of `tree` from its root, with storage keys as `plan` numbers them.
pub(super) fn pickle(tree: &Tree, plan: &Plan) -> Result<Vec<u8>> {
    let mut p = Pickler {
        tree,
        plan,
        out: vec![op::PROTO, 2],
        memo: HashMap::new(),
        interned: HashMap::new(),
        next_memo: 0,
        steps: vec![Step::Visit(plan.root)],
    };
    while let Some(step) = p.steps.pop() {
        p.step(step)?;
    }
    p.out.push(op::STOP);
    Ok(p.out)
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
    out: Vec<u8>,
    memo: HashMap<NodeId, u32>,
    /// Memo places of globals and of the strings every storage repeats.
    interned: HashMap<Vec<u8>, u32>,
    next_memo: u32,
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
                        self.out.push(op::POP_MARK);
                    } else {
                        self.out.extend(std::iter::repeat_n(op::POP, n));
                    }
                    self.get(at);
                } else {
                    self.close_tuple(n);
                    self.remember(id);
                }
            }
            Step::ClosePlainTuple(n) => self.close_tuple(n),
            Step::Op(code) => self.out.push(code),
            Step::Memo(id) => {
                if let Some(&at) = self.memo.get(&id) {
                    self.out.push(op::POP);
                    self.get(at);
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
            Step::Bool(b) => self.out.push(if b { op::NEWTRUE } else { op::NEWFALSE }),
            Step::Global(module, name) => self.global(module, name)?,
        }
        Ok(())
    }

    fn visit(&mut self, id: NodeId) -> Result<()> {
        if let Some(&at) = self.memo.get(&id) {
            self.get(at);
            return Ok(());
        }
        let tree = self.tree;
        match tree.node(id) {
            Node::None => self.out.push(op::NONE),
            Node::Bool(b) => self.out.push(if *b { op::NEWTRUE } else { op::NEWFALSE }),
            Node::Int(i) => {
                self.int(*i);
                self.remember(id);
            }
            Node::BigInt(bytes) => {
                self.big_int(bytes)?;
                self.remember(id);
            }
            Node::Float(f) => {
                self.out.push(op::BINFLOAT);
                self.out.extend(f.to_be_bytes());
                self.remember(id);
            }
            Node::Str(s) => {
                self.unicode(s.as_bytes())?;
                self.remember(id);
            }
            Node::SurrogateStr(s) => {
                self.unicode(s)?;
                self.remember(id);
            }
            Node::Bytes(b) => {
                self.bytes(b)?;
                self.remember(id);
            }
            Node::ByteArray(b) => {
                self.global("builtins", "bytearray")?;
                self.bytes(b)?;
                self.out.extend([op::TUPLE1, op::REDUCE]);
                self.remember(id);
            }
            Node::Tuple(parts) if parts.is_empty() => self.out.push(op::EMPTY_TUPLE),
            Node::Tuple(parts) => {
                if parts.len() > 3 {
                    self.out.push(op::MARK);
                }
                self.steps.push(Step::CloseTuple(id, parts.len()));
                self.steps.extend(parts.iter().rev().map(|&p| Step::Visit(p)));
            }
            Node::List(_) => {
                self.out.push(op::EMPTY_LIST);
                self.remember(id);
                self.steps.push(Step::Elements(id, 0));
            }
            Node::Dict(Dict { ordered, attributes, .. }) => {
                if *ordered {
                    self.global("collections", "OrderedDict")?;
                    self.out.extend([op::EMPTY_TUPLE, op::REDUCE]);
                } else {
                    self.out.push(op::EMPTY_DICT);
                }
                self.remember(id);
                if let Some(state) = attributes {
                    self.steps.extend([Step::Op(op::BUILD), Step::Visit(*state)]);
                }
                self.steps.push(Step::Items(id, 0));
            }
            Node::Set(_) | Node::FrozenSet(_) => {
                let name = if matches!(tree.node(id), Node::Set(_)) { "set" } else { "frozenset" };
                self.global("builtins", name)?;
                self.steps.extend([
                    Step::Memo(id),
                    Step::Op(op::REDUCE),
                    Step::Op(op::TUPLE1),
                    Step::SetOf(id),
                ]);
            }
            Node::Global(g) => self.global(&g.module, &g.name)?,
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
                self.out.push(op::MARK);
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
                self.out.push(op::MARK);
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
        self.out.push(op::EMPTY_LIST);
        if !parts.is_empty() {
            self.out.push(op::MARK);
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
                self.global("copyreg", "__newobj_ex__")?;
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
                self.global("torch._utils", name)?;
                if state.is_some() {
                    self.out.push(op::MARK);
                }
                self.steps.push(Step::Op(op::REDUCE));
                self.steps.push(Step::ClosePlainTuple(3 + usize::from(state.is_some())));
                self.steps.extend(state.map(Step::Visit));
                self.steps.extend([Step::Hooks(id), Step::Bool(requires_grad), Step::Dense(id)]);
            }
            (false, Some(state)) => {
                self.global("torch._tensor", "_rebuild_from_type_v2")?;
                self.out.push(op::MARK);
                self.dense_function(id)?;
                self.global("torch", "Tensor")?;
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
        self.global("torch._utils", name)
    }

    /// The argument tuple of a rebuild function. What holds no node is written at once; hooks and
    /// quantiser wait their turn.
    fn dense_arguments(&mut self, id: NodeId) -> Result<()> {
        let tree = self.tree;
        let Node::Tensor(t) = tree.node(id) else { return Ok(()) };
        let tensor = tree.tensor(*t);
        self.out.push(op::MARK);
        self.storage(tensor.storage)?;
        self.unsigned(tensor.offset)?;
        self.extents(&tensor.shape)?;
        self.extents(&tensor.stride)?;
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
        self.global("collections", "OrderedDict")?;
        self.out.extend([op::EMPTY_TUPLE, op::REDUCE]);
        Ok(())
    }

    /// The persistent id of a storage.
    fn storage(&mut self, id: StorageId) -> Result<()> {
        let tree = self.tree;
        let storage = tree.storage(id);
        self.out.push(op::MARK);
        self.interned_str("storage")?;
        match storage.dtype {
            StorageType::Typed(dtype) => self.global("torch", storage_class(dtype)?)?,
            StorageType::Untyped => self.global("torch.storage", "UntypedStorage")?,
        }
        self.unicode(self.plan.key(id).to_string().as_bytes())?;
        self.interned_str(&storage.location)?;
        self.unsigned(storage.numel)?;
        self.out.extend([op::TUPLE, op::BINPERSID]);
        Ok(())
    }

    fn extents(&mut self, extents: &[u64]) -> Result<()> {
        if extents.is_empty() {
            self.out.push(op::EMPTY_TUPLE);
            return Ok(());
        }
        if extents.len() > 3 {
            self.out.push(op::MARK);
        }
        for &n in extents {
            self.unsigned(n)?;
        }
        self.close_tuple(extents.len());
        Ok(())
    }

    fn close_tuple(&mut self, n: usize) {
        self.out.push(match n {
            1..=3 => op::TUPLE1 + (n as u8 - 1),
            _ => op::TUPLE,
        });
    }

    fn int(&mut self, i: i64) {
        if let Ok(b) = u8::try_from(i) {
            self.out.extend([op::BININT1, b]);
        } else if let Ok(h) = u16::try_from(i) {
            self.out.push(op::BININT2);
            self.out.extend(h.to_le_bytes());
        } else if let Ok(w) = i32::try_from(i) {
            self.out.push(op::BININT);
            self.out.extend(w.to_le_bytes());
        } else {
            let bytes = i.to_le_bytes();
            let n = shortest_len(&bytes);
            self.out.extend([op::LONG1, n as u8]);
            self.out.extend(&bytes[..n]);
        }
    }

    fn unsigned(&mut self, n: u64) -> Result<()> {
        let i = i64::try_from(n)
            .map_err(|_| refused("a size, stride or offset of 2^63 or more cannot be written"))?;
        self.int(i);
        Ok(())
    }

    fn big_int(&mut self, bytes: &[u8]) -> Result<()> {
        if let Ok(n) = u8::try_from(bytes.len()) {
            self.out.extend([op::LONG1, n]);
        } else {
            let n = i32::try_from(bytes.len())
                .map_err(|_| refused("an integer of 2 GiB or more cannot be written"))?;
            self.out.push(op::LONG4);
            self.out.extend(n.to_le_bytes());
        }
        self.out.extend(bytes);
        Ok(())
    }

    fn unicode(&mut self, utf8: &[u8]) -> Result<()> {
        let n = u32::try_from(utf8.len())
            .map_err(|_| refused("a string of 4 GiB or more cannot be written"))?;
        self.out.push(op::BINUNICODE);
        self.out.extend(n.to_le_bytes());
        self.out.extend(utf8);
        Ok(())
    }

    /// `bytes` as protocol 2 has them: text in latin-1, encoded when loaded.
    fn bytes(&mut self, bytes: &[u8]) -> Result<()> {
        self.global("_codecs", "encode")?;
        let text: String = bytes.iter().map(|&b| char::from(b)).collect();
        self.unicode(text.as_bytes())?;
        self.interned_str("latin1")?;
        self.out.extend([op::TUPLE1 + 1, op::REDUCE]);
        Ok(())
    }

    fn global(&mut self, module: &str, name: &str) -> Result<()> {
        // Protocol 2 spells these as Python 2 did; both Pythons read that.
        let module = match module {
            "builtins" => "__builtin__",
            "copyreg" => "copy_reg",
            other => other,
        };
        if module.contains('\n') || name.contains('\n') || name.is_empty() {
            return Err(refused(format!(
                "the name of a class or function cannot be written: {:?}",
                Global::new(module, name)
            )));
        }
        let mut text = Vec::with_capacity(module.len() + name.len() + 3);
        text.push(op::GLOBAL);
        text.extend(module.as_bytes());
        text.push(b'\n');
        text.extend(name.as_bytes());
        text.push(b'\n');
        self.intern(text);
        Ok(())
    }

    fn interned_str(&mut self, s: &str) -> Result<()> {
        let start = self.out.len();
        self.unicode(s.as_bytes())?;
        let text = self.out.split_off(start);
        self.intern(text);
        Ok(())
    }

    /// Writes opcodes that push a constant, once; later only their memo place.
    fn intern(&mut self, text: Vec<u8>) {
        if let Some(&at) = self.interned.get(&text) {
            self.get(at);
            return;
        }
        self.out.extend(&text);
        let at = self.put();
        self.interned.insert(text, at);
    }

    /// Gives a value its place in the memo, if it can be asked for again. A value that is filled
    /// after it was made always gets one, as in Python: it may contain itself.
    fn remember(&mut self, id: NodeId) {
        let filled_later =
            matches!(self.tree.node(id), Node::List(_) | Node::Dict(_) | Node::Object(_));
        if filled_later || self.plan.is_shared(id) {
            let at = self.put();
            self.memo.insert(id, at);
        }
    }

    fn put(&mut self) -> u32 {
        let at = self.next_memo;
        self.next_memo += 1;
        self.place(op::BINPUT, op::LONG_BINPUT, at);
        at
    }

    fn get(&mut self, at: u32) {
        self.place(op::BINGET, op::LONG_BINGET, at);
    }

    fn place(&mut self, short: u8, long: u8, at: u32) {
        if let Ok(b) = u8::try_from(at) {
            self.out.extend([short, b]);
        } else {
            self.out.push(long);
            self.out.extend(at.to_le_bytes());
        }
    }
}

fn storage_class(dtype: DType) -> Result<&'static str> {
    dtype.storage_class().ok_or_else(|| {
        refused(format!("torch has no typed storage for {dtype}; use an untyped storage"))
    })
}

/// How many bytes the two's complement needs.
fn shortest_len(le: &[u8; 8]) -> usize {
    let fill = if le[7] & 0x80 == 0 { 0 } else { 0xff };
    let mut n = 8;
    while n > 1 && le[n - 1] == fill && (le[n - 2] ^ fill) & 0x80 == 0 {
        n -= 1;
    }
    n
}
