//! The stack, the marks, the memo, and the opcodes that touch only them.

use std::collections::{HashMap, HashSet};

use super::call::Known;
use super::keys::{FEW, Keys};
use super::op::{Op, Reader, bad_text};
use super::scan::{Scan, scan};
use super::text;
use crate::error::{Fault, FaultKind};
use crate::table::{Hasher, IdTable};
use crate::{Construct, Dict, Global, Limits, Node, NodeId, Object, Tree};

/// Integers from 0 up to this have one node each.
const SMALL: usize = 1024;
const UNSET: NodeId = NodeId(u32::MAX);

pub(super) struct Machine<'a> {
    reader: Reader<'a>,
    scan: Scan,
    /// Where the current opcode starts.
    pub(super) start: u64,
    pub(super) tree: Tree,
    max_nodes: u64,
    stack: Vec<NodeId>,
    /// Heights of the stack at each open MARK.
    marks: Vec<usize>,
    memo: Vec<NodeId>,
    memo_high: HashMap<u64, NodeId>,
    memo_seen: HashSet<u64>,
    memo_len: u64,
    /// Nodes that something besides the stack may refer to. All others have exactly one reference,
    /// and can be changed or reused by whoever takes them off the stack.
    pinned: Vec<bool>,
    pub(super) free: Vec<NodeId>,
    release: Vec<NodeId>,
    none: NodeId,
    truth: [NodeId; 2],
    empty_tuple: NodeId,
    small: Vec<NodeId>,
    globals: HashMap<Box<[u8]>, NodeId>,
    pub(super) known: Vec<(NodeId, Known)>,
    /// How many items or bytes may still be copied out of shared nodes. Genuine pickles copy each
    /// at most once; without a bound, a few bytes could copy a large list again and again.
    copies: u64,
    pub(super) keys: Keys,
    /// Indexes of the keys of large dicts and sets.
    pub(super) indexes: HashMap<NodeId, IdTable>,
    pub(super) storage_keys: IdTable,
    pub(super) hasher: Hasher,
}

/// Runs a pickle to its end.
pub(super) fn run(bytes: &[u8], limits: &Limits) -> Result<Tree, Fault> {
    let scan = scan(bytes)?;
    let mut machine = Machine {
        reader: Reader::new(bytes),
        scan,
        start: 0,
        tree: Tree::new(),
        max_nodes: limits.max_nodes.min(u64::from(u32::MAX - 1)),
        stack: Vec::new(),
        marks: Vec::new(),
        memo: Vec::new(),
        memo_high: HashMap::new(),
        memo_seen: HashSet::new(),
        memo_len: 0,
        pinned: Vec::new(),
        free: Vec::new(),
        release: Vec::new(),
        none: UNSET,
        truth: [UNSET; 2],
        empty_tuple: UNSET,
        small: vec![UNSET; SMALL],
        globals: HashMap::new(),
        known: Vec::new(),
        copies: 4 * bytes.len() as u64 + 4096,
        keys: Keys::default(),
        indexes: HashMap::new(),
        storage_keys: IdTable::default(),
        hasher: Hasher::default(),
    };
    loop {
        let (start, op) = machine.reader.next()?;
        machine.start = start;
        if op == Op::Stop {
            let root = machine.pop()?;
            machine.tree.set_root(root);
            return Ok(machine.tree);
        }
        machine.step(op)?;
    }
}

impl Machine<'_> {
    pub(super) fn fail<T>(&self, problem: impl Into<String>) -> Result<T, Fault> {
        Err(Fault::format(self.start, problem))
    }

    fn step(&mut self, op: Op<'_>) -> Result<(), Fault> {
        match op {
            Op::Proto | Op::Frame | Op::Stop => {}
            Op::Put(index) => self.put(index)?,
            Op::Memoize => {
                if self.scan.has_put {
                    let index = self.memo_seen.len() as u64;
                    self.put(index)?;
                } else {
                    let index = self.memo_len;
                    self.memo_len += 1;
                    self.put(index)?;
                }
            }
            Op::Get(index) => {
                let found = match self.scan.is_dense(index) {
                    true => self.memo.get(index as usize).copied().filter(|&id| id != UNSET),
                    false => self.memo_high.get(&index).copied(),
                };
                match found {
                    Some(id) => self.stack.push(id),
                    None => return self.fail(format!("memo entry {index} was never set")),
                }
            }
            Op::Mark => self.marks.push(self.stack.len()),
            Op::Pop => {
                if self.stack.len() > self.base() {
                    self.stack.pop();
                } else if self.marks.pop().is_none() {
                    return self.fail("nothing is on the stack");
                }
            }
            Op::PopMark => {
                let from = self.mark()?;
                self.stack.truncate(from);
            }
            Op::Dup => {
                let top = self.top()?;
                self.pin(top);
                self.stack.push(top);
            }
            Op::None => {
                let id = self.none_node()?;
                self.stack.push(id);
            }
            Op::Bool(b) => {
                if self.truth[usize::from(b)] == UNSET {
                    self.truth[usize::from(b)] = self.pinned_node(Node::Bool(b))?;
                }
                self.stack.push(self.truth[usize::from(b)]);
            }
            Op::Int(n) => {
                let id = self.int(n)?;
                self.stack.push(id);
            }
            Op::EmptyTuple => {
                let id = self.empty_tuple()?;
                self.stack.push(id);
            }
            Op::Tuple => {
                let from = self.mark()?;
                self.tuple_from(from)?;
            }
            Op::TupleN(n) => {
                let from = self.stack.len().saturating_sub(n);
                if from < self.base() || self.stack.len() < n {
                    return self.fail(format!("a tuple of {n} needs {n} items on the stack"));
                }
                self.tuple_from(from)?;
            }
            Op::Unicode(bytes) => match text::unicode(bytes) {
                Some(node) => self.push(node)?,
                None => return self.fail("a string that is not UTF-8"),
            },
            Op::Float(f) => self.push(Node::Float(f))?,
            Op::Long(bytes) => match text::integer(bytes) {
                Node::Int(n) => {
                    let id = self.int(n)?;
                    self.stack.push(id);
                }
                big => self.push(big)?,
            },
            Op::LongText(line) => match text::decimal(line) {
                Some(node) => self.push(node)?,
                None => return Err(bad_text(self.start, "an integer", line)),
            },
            Op::String(bytes) => self.push(text::string(bytes.to_vec()))?,
            Op::StringText(line) => match text::quoted(line) {
                Some(bytes) => self.push(text::string(bytes))?,
                None => return Err(bad_text(self.start, "a quoted string", line)),
            },
            Op::UnicodeText(line) => {
                match text::raw_unicode_escape(line).as_deref().and_then(text::unicode) {
                    Some(node) => self.push(node)?,
                    None => return Err(bad_text(self.start, "escaped text", line)),
                }
            }
            Op::Bytes(bytes) => self.push(Node::Bytes(bytes.into()))?,
            Op::ByteArray(bytes) => self.push(Node::ByteArray(bytes.into()))?,
            Op::EmptyList => self.push(Node::List(Vec::new()))?,
            Op::List => {
                let from = self.mark()?;
                let items = self.stack.split_off(from);
                self.push(Node::List(items))?;
            }
            Op::EmptyDict => self.push(Node::Dict(Dict::default()))?,
            Op::Dict => {
                let from = self.mark()?;
                let items = self.stack.split_off(from);
                self.push(Node::Dict(Dict::default()))?;
                self.set_items(self.top()?, &items)?;
            }
            Op::EmptySet => self.push(Node::Set(Vec::new()))?,
            Op::FrozenSet => {
                let from = self.mark()?;
                let items = self.stack.split_off(from);
                let id = self.alloc(Node::Set(Vec::new()))?;
                self.add_members(id, &items)?;
                self.freeze(id);
                self.stack.push(id);
            }
            Op::Append => {
                let item = self.pop()?;
                let target = self.top()?;
                self.append(target, &[item])?;
            }
            Op::Appends | Op::AddItems | Op::SetItems => {
                let from = self.mark()?;
                let items = self.stack.split_off(from);
                let target = self.top()?;
                match op {
                    Op::Appends => self.append(target, &items)?,
                    Op::AddItems => self.add_items(target, &items)?,
                    _ => self.set_items(target, &items)?,
                }
            }
            Op::SetItem => {
                let value = self.pop()?;
                let key = self.pop()?;
                let target = self.top()?;
                self.set_items(target, &[key, value])?;
            }
            Op::Global(module, name) => {
                let id = self.global(module, name)?;
                self.stack.push(id);
            }
            Op::StackGlobal => {
                let (name, module) = (self.pop()?, self.pop()?);
                let (Node::Str(m), Node::Str(n)) = (self.tree.node(module), self.tree.node(name))
                else {
                    return self.fail("the name of a global must be two strings");
                };
                let (m, n) = (m.clone(), n.clone());
                self.charge((m.len() + n.len()) as u64)?;
                let id = self.global(m.as_bytes(), n.as_bytes())?;
                self.stack.push(id);
            }
            Op::Inst(module, name) => {
                let callable = self.global(module, name)?;
                let from = self.mark()?;
                self.tuple_from(from)?;
                let args = self.pop()?;
                let id = self.reduce(callable, args)?;
                self.stack.push(id);
            }
            Op::Obj => {
                let from = self.mark()?;
                let items = self.stack.split_off(from);
                let Some((&callable, rest)) = items.split_first() else {
                    return self.fail("an object needs a class on the stack");
                };
                let args = match rest {
                    [] => self.empty_tuple()?,
                    _ => self.alloc(Node::Tuple(rest.to_vec()))?,
                };
                let id = self.reduce(callable, args)?;
                self.stack.push(id);
            }
            Op::Reduce => {
                let args = self.pop()?;
                let callable = self.pop()?;
                let id = self.reduce(callable, args)?;
                self.stack.push(id);
            }
            Op::NewObj => {
                let args = self.pop()?;
                let class = self.pop()?;
                let id = self.new_object(class, args)?;
                self.stack.push(id);
            }
            Op::NewObjEx => {
                let kwargs = self.pop()?;
                let args = self.pop()?;
                let class = self.pop()?;
                let mut object = new_object(Construct::NewEx, class, args);
                object.kwargs = Some(kwargs);
                self.push(Node::Object(Box::new(object)))?;
            }
            Op::Build => {
                let state = self.pop()?;
                let target = self.top()?;
                self.build(target, state)?;
            }
            Op::PersistentId(line) => {
                let Ok(text) = std::str::from_utf8(line) else {
                    return Err(bad_text(self.start, "an identifier", line));
                };
                let args = self.alloc(Node::Str(text.into()))?;
                let id = self.persistent(args)?;
                self.stack.push(id);
            }
            Op::BinPersistentId => {
                let args = self.pop()?;
                let id = self.persistent(args)?;
                self.stack.push(id);
            }
        }
        Ok(())
    }

    fn put(&mut self, index: u64) -> Result<(), Fault> {
        let top = self.top()?;
        if self.scan.has_memoize && self.scan.has_put {
            self.memo_seen.insert(index);
        }
        if !self.scan.is_fetched(index) {
            return Ok(());
        }
        self.pin(top);
        if self.scan.is_dense(index) {
            let index = index as usize;
            if index >= self.memo.len() {
                self.memo.resize(index + 1, UNSET);
            }
            self.memo[index] = top;
        } else {
            self.memo_high.insert(index, top);
        }
        Ok(())
    }

    /// The height below which the innermost MARK hides the stack.
    fn base(&self) -> usize {
        self.marks.last().copied().unwrap_or(0)
    }

    fn mark(&mut self) -> Result<usize, Fault> {
        match self.marks.pop() {
            Some(height) => Ok(height),
            None => self.fail("no MARK is open"),
        }
    }

    fn pop(&mut self) -> Result<NodeId, Fault> {
        if self.stack.len() > self.base()
            && let Some(id) = self.stack.pop()
        {
            return Ok(id);
        }
        self.fail("the stack is empty here")
    }

    fn top(&self) -> Result<NodeId, Fault> {
        match self.stack.last() {
            Some(&id) if self.stack.len() > self.base() => Ok(id),
            _ => self.fail("the stack is empty here"),
        }
    }

    fn push(&mut self, node: Node) -> Result<(), Fault> {
        let id = self.alloc(node)?;
        self.stack.push(id);
        Ok(())
    }

    /// A place for a node.
    pub(super) fn alloc(&mut self, node: Node) -> Result<NodeId, Fault> {
        if let Some(id) = self.free.pop() {
            self.keys.forget(id);
            *self.tree.node_mut(id) = node;
            return Ok(id);
        }
        let count = self.tree.nodes().len() as u64;
        if count >= self.max_nodes {
            return Err(Fault::new(
                self.start,
                FaultKind::Limit {
                    limit: "max_nodes",
                    needed: count + 1,
                    allowed: self.max_nodes,
                    unit: "nodes",
                },
            ));
        }
        self.pinned.push(false);
        Ok(self.tree.add(node))
    }

    fn pinned_node(&mut self, node: Node) -> Result<NodeId, Fault> {
        let id = self.alloc(node)?;
        self.pin(id);
        Ok(id)
    }

    pub(super) fn pin(&mut self, id: NodeId) {
        self.pinned[id.0 as usize] = true;
    }

    /// Whether the caller, who took this node off the stack, holds the only reference to it.
    pub(super) fn is_owned(&self, id: NodeId) -> bool {
        !self.pinned[id.0 as usize]
    }

    /// Frees a node taken off the stack and all it alone refers to, except `keep`.
    pub(super) fn release(&mut self, id: NodeId, keep: &[NodeId]) {
        let mut work = std::mem::take(&mut self.release);
        work.push(id);
        while let Some(id) = work.pop() {
            if self.pinned[id.0 as usize] || keep.contains(&id) {
                continue;
            }
            match std::mem::replace(self.tree.node_mut(id), Node::None) {
                Node::Tuple(items)
                | Node::List(items)
                | Node::Set(items)
                | Node::FrozenSet(items) => work.extend(items),
                Node::Dict(dict) => {
                    work.extend(dict.items.iter().flat_map(|&(k, v)| [k, v]));
                    work.extend(dict.attributes);
                    if dict.items.len() > FEW {
                        self.indexes.remove(&id);
                    }
                }
                // These stand in a table as well; nothing that is consumed holds one.
                node @ (Node::Tensor(_) | Node::Object(_)) => {
                    *self.tree.node_mut(id) = node;
                    continue;
                }
                _ => {}
            }
            self.free.push(id);
        }
        self.release = work;
    }

    /// Counts a copy of `n` items out of a node that stays.
    pub(super) fn charge(&mut self, n: u64) -> Result<(), Fault> {
        match self.copies.checked_sub(n) {
            Some(left) => {
                self.copies = left;
                Ok(())
            }
            None => self.fail("the same values are copied again and again, as no pickler does"),
        }
    }

    pub(super) fn none_node(&mut self) -> Result<NodeId, Fault> {
        if self.none == UNSET {
            self.none = self.pinned_node(Node::None)?;
        }
        Ok(self.none)
    }

    pub(super) fn empty_tuple(&mut self) -> Result<NodeId, Fault> {
        if self.empty_tuple == UNSET {
            self.empty_tuple = self.pinned_node(Node::Tuple(Vec::new()))?;
        }
        Ok(self.empty_tuple)
    }

    fn int(&mut self, n: i64) -> Result<NodeId, Fault> {
        let Some(slot) = usize::try_from(n).ok().filter(|&i| i < SMALL) else {
            return self.alloc(Node::Int(n));
        };
        if self.small[slot] == UNSET {
            self.small[slot] = self.pinned_node(Node::Int(n))?;
        }
        Ok(self.small[slot])
    }

    fn tuple_from(&mut self, from: usize) -> Result<(), Fault> {
        if from == self.stack.len() {
            let id = self.empty_tuple()?;
            self.stack.push(id);
            return Ok(());
        }
        let items = self.stack[from..].to_vec();
        self.stack.truncate(from);
        self.push(Node::Tuple(items))
    }

    /// The node of a class or function; one for each name.
    fn global(&mut self, module: &[u8], name: &[u8]) -> Result<NodeId, Fault> {
        let (module, name) = later_name(module, name);
        let raw = [module, b"\n", name].concat();
        if let Some(&id) = self.globals.get(raw.as_slice()) {
            return Ok(id);
        }
        let (Ok(module), Ok(name)) = (std::str::from_utf8(module), std::str::from_utf8(name))
        else {
            return self.fail("the name of a global is not UTF-8");
        };
        let id = self.pinned_node(Node::Global(Global::new(module, name)))?;
        if let Some(known) = Known::of(module, name) {
            self.known.push((id, known));
        }
        self.globals.insert(raw.into(), id);
        Ok(id)
    }
}

/// The name that Python 3 and later versions of torch have for a global (`_compat_pickle.py`:
/// protocols below 3 are written with the names of Python 2).
fn later_name<'a>(module: &'a [u8], name: &'a [u8]) -> (&'a [u8], &'a [u8]) {
    match (module, name) {
        (b"__builtin__", b"long") => (b"builtins", b"int"),
        (b"__builtin__", b"unicode") => (b"builtins", b"str"),
        (b"__builtin__", b"xrange") => (b"builtins", b"range"),
        (b"__builtin__", name) => (b"builtins", name),
        (b"copy_reg", name) => (b"copyreg", name),
        (b"torch.tensor", name) => (b"torch._tensor", name),
        other => other,
    }
}

pub(super) fn new_object(construct: Construct, callable: NodeId, args: NodeId) -> Object {
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
