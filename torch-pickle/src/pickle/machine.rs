//! The stack, the marks, the memo, and the opcodes that touch only them.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::call::Known;
use super::dialect::{Dialect, Loaded, Persistent, Views};
use super::keys::{FEW, Keys};
use super::op::{Op, Reader, bad_text};
use super::scan::{Scan, is_short, scan};
use super::storages::StorageKeys;
use super::text;
use crate::error::{Fault, FaultKind};
use crate::table::IdTable;
use crate::{Construct, Dict, Global, Limits, Node, NodeId, Object, StorageType, Text, Tree};

/// Integers from 0 up to this have one node each.
const SMALL: usize = 1024;
const UNSET: NodeId = NodeId::new(u32::MAX - 1);

pub(super) struct Machine<'a> {
    pub(super) reader: Reader<'a>,
    scan: Scan,
    /// The short texts of the pickle, and where the next one starts.
    texts: Arc<String>,
    text_at: usize,
    /// Where the current opcode starts.
    pub(super) start: u64,
    pub(super) tree: Tree,
    /// What persistent ids mean.
    pub(super) persistent: Persistent,
    /// Storages that are parts of others.
    pub(super) views: Views,
    max_nodes: u64,
    pub(super) stack: Vec<NodeId>,
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
    pub(super) storage_keys: StorageKeys,
    /// Whether a tensor has hooks that were empty when it was made.
    pub(super) unfilled_hooks: bool,
    /// The class of storage met last, and what it means.
    pub(super) storage_class: Option<(NodeId, StorageType)>,
    /// The location of the storage met last.
    pub(super) location: Option<Arc<str>>,
}

/// Runs a pickle to its end.
pub(super) fn run(bytes: &[u8], limits: &Limits, dialect: Dialect) -> Result<Loaded, Fault> {
    let mut scan = scan(bytes)?;
    let texts = Arc::new(scan.take_texts());
    let (persistent, mut tree) = dialect.begin();
    // A genuine mention of a storage and the tensor around it take more bytes than this.
    let most = usize::try_from(limits.max_nodes / 2).unwrap_or(usize::MAX);
    tree.reserve(scan.calls.min(bytes.len() / 64).min(most));
    let mut machine = Machine {
        reader: Reader::new(bytes),
        scan,
        texts,
        text_at: 0,
        start: 0,
        // What is there already may be asked for at any time.
        pinned: vec![true; tree.nodes().len()],
        tree,
        persistent,
        views: HashMap::new(),
        max_nodes: limits.max_nodes.min(u64::from(u32::MAX - 1)),
        stack: Vec::new(),
        marks: Vec::new(),
        memo: Vec::new(),
        memo_high: HashMap::new(),
        memo_seen: HashSet::new(),
        memo_len: 0,
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
        storage_keys: StorageKeys::default(),
        unfilled_hooks: false,
        storage_class: None,
        location: None,
    };
    loop {
        machine.run_common()?;
        machine.start = machine.reader.at();
        let op = machine.reader.next()?;
        if let Op::Stop = op {
            let root = machine.pop()?;
            machine.tree.set_root(root);
            machine.drop_empty_hooks();
            machine.tree.keys_differ = true;
            return Ok(Loaded { tree: machine.tree, views: machine.views });
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
            Op::Get(index) => self.get(index)?,
            Op::Mark => self.push_mark(),
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
            Op::Bool(b) => self.push_bool(b)?,
            Op::Int(n) => self.push_int(n)?,
            Op::EmptyTuple => self.push_empty_tuple()?,
            Op::Tuple => {
                let from = self.mark()?;
                self.tuple_from(from)?;
            }
            Op::TupleN(n) => self.short_tuple(n)?,
            Op::Unicode(bytes) => self.push_text(bytes)?,
            Op::Float(f) => self.push(Node::Float(f))?,
            Op::Long(bytes) => match text::integer(bytes) {
                Node::Int(n) => self.push_int(n)?,
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
            Op::Reduce => self.reduce_top()?,
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
                let mut object = Object::new(Construct::NewEx, class, args);
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
            Op::BinPersistentId => self.persistent_top()?,
        }
        Ok(())
    }

    #[inline]
    pub(super) fn push_mark(&mut self) {
        self.marks.push(self.stack.len());
    }

    #[inline]
    pub(super) fn push_bool(&mut self, b: bool) -> Result<(), Fault> {
        if self.truth[usize::from(b)] == UNSET {
            self.truth[usize::from(b)] = self.pinned_node(Node::Bool(b))?;
        }
        self.stack.push(self.truth[usize::from(b)]);
        Ok(())
    }

    #[inline]
    pub(super) fn push_int(&mut self, n: i64) -> Result<(), Fault> {
        let id = self.int(n)?;
        self.stack.push(id);
        Ok(())
    }

    #[inline]
    pub(super) fn push_text(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        let part = match is_short(bytes) {
            true => Text::part(&self.texts, self.text_at, self.text_at + bytes.len()),
            false => None,
        };
        self.pass_text(bytes);
        match part.map(Node::Str).or_else(|| text::unicode(bytes)) {
            Some(node) => self.push(node),
            None => self.fail("a string that is not UTF-8"),
        }
    }

    /// Goes over a text of the pickle.
    #[inline]
    pub(super) fn pass_text(&mut self, bytes: &[u8]) {
        if is_short(bytes) {
            self.text_at += bytes.len();
        }
    }

    #[inline]
    pub(super) fn push_empty_tuple(&mut self) -> Result<(), Fault> {
        let id = self.empty_tuple()?;
        self.stack.push(id);
        Ok(())
    }

    #[inline]
    pub(super) fn short_tuple(&mut self, n: usize) -> Result<(), Fault> {
        match self.stack.len().checked_sub(n) {
            Some(from) if from >= self.base() => self.tuple_from(from),
            _ => self.fail(format!("a tuple of {n} needs {n} items on the stack")),
        }
    }

    #[inline]
    pub(super) fn reduce_top(&mut self) -> Result<(), Fault> {
        let args = self.pop()?;
        let callable = self.pop()?;
        let id = self.reduce(callable, args)?;
        self.stack.push(id);
        Ok(())
    }

    #[inline]
    pub(super) fn persistent_top(&mut self) -> Result<(), Fault> {
        let args = self.pop()?;
        let id = self.persistent(args)?;
        self.stack.push(id);
        Ok(())
    }

    #[inline]
    pub(super) fn get(&mut self, index: u64) -> Result<(), Fault> {
        match self.kept(index) {
            Some(id) => self.stack.push(id),
            None => return self.fail(format!("memo entry {index} was never set")),
        }
        Ok(())
    }

    /// What is kept in a memo entry.
    #[inline]
    pub(super) fn kept(&self, index: u64) -> Option<NodeId> {
        match self.scan.is_dense(index) {
            true => self.memo.get(index as usize).copied().filter(|&id| id != UNSET),
            false => self.memo_high.get(&index).copied(),
        }
    }

    #[inline]
    pub(super) fn put(&mut self, index: u64) -> Result<(), Fault> {
        let top = self.top()?;
        if self.scan.has_memoize && self.scan.has_put {
            self.memo_seen.insert(index);
        }
        if self.scan.is_fetched(index) {
            self.keep(index, top);
        }
        Ok(())
    }

    /// Whether a PUT to this memo entry does nothing.
    pub(super) fn is_idle(&self, index: u64) -> bool {
        !self.scan.has_memoize && !self.scan.is_fetched(index)
    }

    fn keep(&mut self, index: u64, top: NodeId) {
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
    }

    /// The height below which the innermost MARK hides the stack.
    pub(super) fn base(&self) -> usize {
        self.marks.last().copied().unwrap_or(0)
    }

    pub(super) fn mark(&mut self) -> Result<usize, Fault> {
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
    #[inline]
    pub(super) fn alloc(&mut self, node: Node) -> Result<NodeId, Fault> {
        if let Some(id) = self.free.pop() {
            self.keys.forget(id);
            // A free place holds nothing that would have to be dropped.
            std::mem::forget(std::mem::replace(self.tree.node_mut(id), node));
            return Ok(id);
        }
        if self.tree.nodes().len() as u64 >= self.max_nodes {
            return Err(self.too_many_nodes());
        }
        self.pinned.push(false);
        Ok(self.tree.add(node))
    }

    #[cold]
    fn too_many_nodes(&self) -> Fault {
        Fault::new(
            self.start,
            FaultKind::Limit {
                limit: "max_nodes",
                needed: self.tree.nodes().len() as u64 + 1,
                allowed: self.max_nodes,
                unit: "nodes",
            },
        )
    }

    fn pinned_node(&mut self, node: Node) -> Result<NodeId, Fault> {
        let id = self.alloc(node)?;
        self.pin(id);
        Ok(id)
    }

    pub(super) fn pin(&mut self, id: NodeId) {
        self.pinned[id.place() as usize] = true;
    }

    /// Whether the caller, who took this node off the stack, holds the only reference to it.
    pub(super) fn is_owned(&self, id: NodeId) -> bool {
        !self.pinned[id.place() as usize]
    }

    /// Frees a node taken off the stack and all it alone refers to, except `keep`.
    pub(super) fn release(&mut self, id: NodeId, keep: &[NodeId]) {
        self.release_all(&[id], keep);
    }

    pub(super) fn release_all(&mut self, ids: &[NodeId], keep: &[NodeId]) {
        let mut work = std::mem::take(&mut self.release);
        work.extend(ids.iter().filter(|id| !self.pinned[id.place() as usize]));
        while let Some(id) = work.pop() {
            if self.pinned[id.place() as usize] || keep.contains(&id) {
                continue;
            }
            let node = self.tree.node_mut(id);
            match node {
                Node::Tuple(items) | Node::List(items) | Node::FrozenSet(items) => {
                    work.extend_from_slice(items);
                }
                Node::Set(items) => {
                    work.extend_from_slice(items);
                    // A stale index would be taken for that of the next node in this place.
                    if items.len() >= FEW {
                        self.indexes.remove(&id);
                    }
                }
                Node::Dict(dict) => {
                    work.extend(dict.items.iter().flat_map(|&(k, v)| [k, v]));
                    work.extend(dict.attributes);
                    if dict.items.len() >= FEW {
                        self.indexes.remove(&id);
                    }
                }
                // These stand in a table as well; nothing that is consumed holds one.
                Node::Tensor(_) | Node::Object(_) => continue,
                _ => {}
            }
            *node = Node::None;
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

    /// Whether it is the one that EMPTY_TUPLE gives.
    pub(super) fn is_empty_tuple(&self, id: NodeId) -> bool {
        id == self.empty_tuple
    }

    #[inline]
    fn int(&mut self, n: i64) -> Result<NodeId, Fault> {
        let Some(slot) = usize::try_from(n).ok().filter(|&i| i < SMALL) else {
            return self.alloc(Node::Int(n));
        };
        if self.small[slot] == UNSET {
            self.small[slot] = self.pinned_node(Node::Int(n))?;
        }
        Ok(self.small[slot])
    }

    pub(super) fn tuple_from(&mut self, from: usize) -> Result<(), Fault> {
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
        // STACK_GLOBAL takes any bytes, so only the length tells where the module ends.
        let raw = [&module.len().to_le_bytes(), module, name].concat();
        if let Some(&id) = self.globals.get(raw.as_slice()) {
            return Ok(id);
        }
        let (Ok(module), Ok(name)) = (std::str::from_utf8(module), std::str::from_utf8(name))
        else {
            return self.fail("the name of a global is not UTF-8");
        };
        let id = self.pinned_node(Node::Global(Box::new(Global::new(module, name))))?;
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
