//! What two files disagree on.
//!
//! Both objects are walked together. Two nodes that were compared once are not compared again,
//! so shared and self-referring objects end, and depth costs no recursion.

use std::collections::{HashMap, HashSet};
use std::sync::mpsc;

use torch_pickle::{DType, Node, NodeId, Storage, StorageId, Tensor, TensorClass, TensorId, Tree};

use crate::{Result, Tensors};

/// One thing that is not the same in both files.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Difference {
    /// Where, as a dotted path; empty for the whole object.
    pub path: String,
    /// What: `float32 in the first, float64 in the second`.
    pub what: String,
}

/// Compares two files: the kinds of containers, keys and their order, plain values, and of each
/// tensor the element type, shape, flags, elements and what it shares its storage with.
///
/// Not compared is what a conversion may change: strides, and how much of a storage is invisible.
/// At most `limit` differences are returned; bytes are read 1 MiB at a time.
///
/// # Errors
/// When a file cannot be read.
///
/// ```no_run
/// use numpack_interop::{Tensors, diff};
/// let (a, b) = (Tensors::open("model.pt")?, Tensors::open("model.npk")?);
/// for d in diff(&a, &b, 10)? {
///     println!("{}: {}", d.path, d.what);
/// }
/// # Ok::<(), numpack_interop::Error>(())
/// ```
pub fn diff(a: &Tensors, b: &Tensors, limit: usize) -> Result<Vec<Difference>> {
    let mut walk = Walk {
        a,
        b,
        limit,
        found: Vec::new(),
        stack: Vec::new(),
        seen: HashSet::new(),
        partners: Partners::default(),
        storages: Partners::default(),
    };
    match (a.tree().root(), b.tree().root()) {
        (Some(x), Some(y)) => walk.stack.push((x, y, String::new())),
        _ => return Ok(Vec::new()),
    }
    while let Some((x, y, path)) = walk.stack.pop() {
        if walk.found.len() >= limit {
            break;
        }
        if walk.seen.insert((x, y)) {
            walk.compare(x, y, &path)?;
        }
    }
    Ok(walk.found)
}

/// Which thing of one file stands for which of the other, and where that was seen first.
#[derive(Default)]
struct Partners {
    forth: HashMap<u32, (u32, String)>,
    back: HashMap<u32, (u32, String)>,
}

impl Partners {
    /// Where one side shares and the other does not, if that is so.
    fn disagree(&mut self, x: u32, y: u32, path: &str) -> Option<String> {
        let (first, at) = self.forth.entry(x).or_insert_with(|| (y, path.to_owned()));
        if *first != y {
            return Some(format!("shared with {at:?} in the first, not in the second"));
        }
        let (first, at) = self.back.entry(y).or_insert_with(|| (x, path.to_owned()));
        (*first != x).then(|| format!("shared with {at:?} in the second, not in the first"))
    }
}

struct Walk<'a> {
    a: &'a Tensors,
    b: &'a Tensors,
    limit: usize,
    found: Vec<Difference>,
    stack: Vec<(NodeId, NodeId, String)>,
    seen: HashSet<(NodeId, NodeId)>,
    /// Containers that can be shared visibly.
    partners: Partners,
    storages: Partners,
}

impl Walk<'_> {
    fn differ(&mut self, path: &str, what: impl Into<String>) {
        if self.found.len() < self.limit {
            self.found.push(Difference { path: path.to_owned(), what: what.into() });
        }
    }

    fn compare(&mut self, x: NodeId, y: NodeId, path: &str) -> Result<()> {
        let (a, b) = (self.a.tree(), self.b.tree());
        let (nx, ny) = (a.node(x), b.node(y));
        if kind(nx) != kind(ny) {
            let what = format!("{} in the first, {} in the second", kind(nx), kind(ny));
            self.differ(path, what);
            return Ok(());
        }
        if matches!(
            nx,
            Node::List(_) | Node::Dict(_) | Node::Set(_) | Node::ByteArray(_) | Node::Object(_)
        ) && let Some(what) = self.partners.disagree(x.0, y.0, path)
        {
            self.differ(path, what);
        }
        match (nx, ny) {
            (Node::Tensor(s), Node::Tensor(t)) => self.tensors(*s, *t, path)?,
            (Node::Storage(s), Node::Storage(t)) => self.storages(*s, *t, path)?,
            (Node::List(p), Node::List(q)) | (Node::Tuple(p), Node::Tuple(q)) => {
                self.sequences(p, q, path);
            }
            (Node::Set(p), Node::Set(q)) | (Node::FrozenSet(p), Node::FrozenSet(q)) => {
                let keys = |tree: &Tree, ids: &[NodeId]| {
                    ids.iter().map(|&id| key_text(tree, id)).collect::<HashSet<_>>()
                };
                if keys(a, p) != keys(b, q) {
                    self.differ(path, "the elements differ");
                }
            }
            (Node::Dict(p), Node::Dict(q)) => {
                self.items(&p.items, &q.items, path);
                match (p.attributes, q.attributes) {
                    (Some(s), Some(t)) => self.stack.push((s, t, join(path, "__dict__"))),
                    (None, None) => {}
                    _ => self.differ(path, "attributes (such as _metadata) in one only"),
                }
            }
            (Node::Object(p), Node::Object(q)) => {
                if p.construct != q.construct {
                    self.differ(path, "built in another way");
                }
                self.stack.push((p.callable, q.callable, join(path, "__class__")));
                self.stack.push((p.args, q.args, join(path, "__args__")));
                for (s, t, name) in
                    [(p.kwargs, q.kwargs, "__kwargs__"), (p.state, q.state, "__dict__")]
                {
                    match (s, t) {
                        (Some(s), Some(t)) => self.stack.push((s, t, join(path, name))),
                        (None, None) => {}
                        _ => self.differ(path, format!("{name} in one only")),
                    }
                }
                self.sequences(&p.appended, &q.appended, path);
                self.items(&p.items, &q.items, path);
            }
            (Node::Float(s), Node::Float(t)) if s.to_bits() == t.to_bits() => {}
            (Node::Float(s), Node::Float(t)) => {
                self.differ(path, format!("{s:?} in the first, {t:?} in the second"));
            }
            (s, t) if s == t => {}
            (s, t) => {
                self.differ(path, format!("{} in the first, {} in the second", short(s), short(t)));
            }
        }
        Ok(())
    }

    fn sequences(&mut self, p: &[NodeId], q: &[NodeId], path: &str) {
        if p.len() != q.len() {
            let what = format!("{} elements in the first, {} in the second", p.len(), q.len());
            self.differ(path, what);
        }
        let pairs = p.iter().zip(q).enumerate();
        self.stack.extend(pairs.rev().map(|(i, (&s, &t))| (s, t, join(path, &i.to_string()))));
    }

    fn items(&mut self, p: &[(NodeId, NodeId)], q: &[(NodeId, NodeId)], path: &str) {
        let (a, b) = (self.a.tree(), self.b.tree());
        let other: HashMap<String, (usize, NodeId)> =
            q.iter().enumerate().map(|(i, &(k, v))| (key_text(b, k), (i, v))).collect();
        let mut last = None;
        let mut in_order = true;
        let mut matched = HashSet::new();
        let first = self.stack.len();
        for &(k, v) in p {
            let key = key_text(a, k);
            let Some(&(at, w)) = other.get(&key) else {
                self.differ(&join(path, &display_key(a, k)), "in the first only");
                continue;
            };
            in_order &= last.is_none_or(|l| l < at);
            last = Some(at);
            matched.insert(at);
            self.stack.push((v, w, join(path, &display_key(a, k))));
        }
        self.stack[first..].reverse();
        for (i, &(k, _)) in q.iter().enumerate() {
            if !matched.contains(&i) {
                self.differ(&join(path, &display_key(b, k)), "in the second only");
            }
        }
        if !in_order {
            self.differ(path, "the keys stand in another order");
        }
    }

    fn tensors(&mut self, s: TensorId, t: TensorId, path: &str) -> Result<()> {
        let (x, y) = (self.a.tree().tensor(s), self.b.tree().tensor(t));
        let both = |p: &dyn std::fmt::Display, q: &dyn std::fmt::Display| {
            format!("{p} in the first, {q} in the second")
        };
        if x.dtype != y.dtype {
            self.differ(path, both(&x.dtype, &y.dtype));
            return Ok(());
        }
        if x.shape != y.shape {
            let what = format!("shape {:?} in the first, {:?} in the second", x.shape, y.shape);
            self.differ(path, what);
            return Ok(());
        }
        if x.class != y.class {
            let name = |t: &Tensor| match t.class {
                TensorClass::Parameter => "a Parameter",
                _ => "a Tensor",
            };
            self.differ(path, both(&name(x), &name(y)));
        }
        if x.requires_grad != y.requires_grad {
            let what = format!("requires_grad {}", both(&x.requires_grad, &y.requires_grad));
            self.differ(path, what);
        }
        for (p, q, name) in [
            (x.quantizer, y.quantizer, "__quantizer__"),
            (x.hooks, y.hooks, "__hooks__"),
            (x.state, y.state, "__dict__"),
        ] {
            match (p, q) {
                (Some(p), Some(q)) => self.stack.push((p, q, join(path, name))),
                (None, None) => {}
                _ => self.differ(path, format!("{name} in one only")),
            }
        }
        // Resolving a conjugated or negated tensor gives it memory of its own.
        let resolved = x.conj || x.neg || y.conj || y.neg;
        if !resolved
            && x.numel() != Some(0)
            && let Some(what) = self.storages.disagree(x.storage.0, y.storage.0, path)
        {
            self.differ(path, format!("the storage is {what}"));
        }
        let (a, b) = (self.a, self.b);
        let differing =
            count_differing(x.dtype, |sink| a.stream(s, sink), |sink| b.stream(t, sink))?;
        if differing != 0 {
            let total = x.numel().unwrap_or(0);
            self.differ(path, format!("{differing} of {total} elements differ"));
        }
        Ok(())
    }

    fn storages(&mut self, s: StorageId, t: StorageId, path: &str) -> Result<()> {
        let (a, b) = (self.a, self.b);
        let (x, y) = (a.tree().storage(s), b.tree().storage(t));
        let form = |s: &Storage| (s.dtype, s.numel);
        if form(x) != form(y) {
            let what = format!("{:?} in the first, {:?} in the second", form(x), form(y));
            self.differ(path, what);
            return Ok(());
        }
        let differing = count_differing(
            DType::UInt8,
            |sink| a.stream_storage(s, sink),
            |sink| b.stream_storage(t, sink),
        )?;
        if differing != 0 {
            self.differ(path, format!("{differing} bytes differ"));
        }
        Ok(())
    }
}

type Sink<'s> = &'s mut dyn FnMut(&[u8]) -> torch_pickle::Result<()>;

/// How many elements of two streams of equal length are not the same.
fn count_differing(
    dtype: DType,
    read_a: impl FnOnce(Sink<'_>) -> Result<()> + Send,
    read_b: impl FnOnce(Sink<'_>) -> Result<()>,
) -> Result<u64> {
    let size = dtype.size();
    std::thread::scope(|scope| {
        // The first stream runs ahead by a few pieces at most.
        let (sender, receiver) = mpsc::sync_channel::<Vec<u8>>(2);
        let reader = scope.spawn(move || {
            read_a(&mut |bytes| {
                // The other side stops listening only when it failed, and says why itself.
                let _ = sender.send(bytes.to_vec());
                Ok(())
            })
        });
        let mut piece = Vec::new();
        let mut at = 0;
        let mut element = 0;
        let mut position = 0u64;
        let mut last_counted = None;
        let mut differing = 0;
        let compared = read_b(&mut |mut bytes| {
            while !bytes.is_empty() {
                if at == piece.len() {
                    piece = receiver.recv().unwrap_or_default();
                    at = 0;
                    if piece.is_empty() {
                        return Ok(());
                    }
                }
                let n = bytes.len().min(piece.len() - at);
                let (x, y) = (&piece[at..at + n], &bytes[..n]);
                if x != y {
                    for i in (0..n).filter(|&i| x[i] != y[i]) {
                        element = (position + i as u64) / size as u64;
                        if last_counted != Some(element) {
                            last_counted = Some(element);
                            differing += 1;
                        }
                    }
                }
                at += n;
                position += n as u64;
                bytes = &bytes[n..];
            }
            Ok(())
        });
        drop(receiver);
        let read = reader.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        let _ = element;
        read.and(compared).map(|()| differing)
    })
}

fn join(path: &str, part: &str) -> String {
    if path.is_empty() { part.to_owned() } else { format!("{path}.{part}") }
}

fn kind(node: &Node) -> &'static str {
    match node {
        Node::None => "None",
        Node::Bool(_) => "a bool",
        Node::Int(_) | Node::BigInt(_) => "an int",
        Node::Float(_) => "a float",
        Node::Str(_) | Node::SurrogateStr(_) => "a str",
        Node::Bytes(_) => "bytes",
        Node::ByteArray(_) => "a bytearray",
        Node::Tuple(_) => "a tuple",
        Node::List(_) => "a list",
        Node::Dict(d) if d.ordered => "an OrderedDict",
        Node::Dict(_) => "a dict",
        Node::Set(_) => "a set",
        Node::FrozenSet(_) => "a frozenset",
        Node::Global(_) => "a class or function",
        Node::Storage(_) => "a storage",
        Node::Tensor(_) => "a tensor",
        _ => "an object",
    }
}

/// A plain value, short enough for a line.
fn short(node: &Node) -> String {
    let text = match node {
        Node::Bool(b) => b.to_string(),
        Node::Int(i) => i.to_string(),
        Node::Str(s) => format!("{s:?}"),
        Node::Bytes(b) | Node::ByteArray(b) => format!("{} bytes", b.len()),
        Node::Global(g) => g.to_string(),
        other => kind(other).to_owned(),
    };
    match text.char_indices().nth(60) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// A key as it stands in a path.
fn display_key(tree: &Tree, key: NodeId) -> String {
    match tree.node(key) {
        Node::Str(s) => s.to_string(),
        other => short(other),
    }
}

/// Text that is the same for equal keys.
fn key_text(tree: &Tree, key: NodeId) -> String {
    let mut text = String::new();
    let mut stack = vec![key];
    while let Some(id) = stack.pop() {
        match tree.node(id) {
            Node::Tuple(parts) | Node::FrozenSet(parts) if text.len() < 4096 => {
                text.push_str(&format!("({}", parts.len()));
                stack.extend(parts.iter().rev());
            }
            Node::Object(object) => {
                text.push('@');
                stack.extend([object.args, object.callable]);
            }
            scalar => text.push_str(&format!("{scalar:?},")),
        }
    }
    text
}
