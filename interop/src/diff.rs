//! What two files disagree on.
//!
//! Both objects are walked together. Two nodes that were compared once are not compared again,
//! so shared and self-referring objects end, and depth costs no recursion.

use std::collections::{HashMap, HashSet};
use std::sync::mpsc;

use torch_pickle::{DType, Node, NodeId, Storage, StorageId, Tensor, TensorClass, TensorId, Tree};

use crate::keys::{Classes, OfTable, Parts, Shape, number};
use crate::{Result, Tensors};

/// Up to this size a tensor is held in memory to be compared.
const SMALL: u64 = 1 << 20;

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
/// Not compared is what a conversion may change: strides, how much of a storage is invisible, and
/// the device a tensor was on. At most `limit` differences are returned; bytes are read 1 MiB at
/// a time.
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
    let (Some(x), Some(y)) = (a.tree().root(), b.tree().root()) else { return Ok(Vec::new()) };
    let mut walk = Walk {
        a,
        b,
        limit,
        found: Vec::new(),
        places: vec![(0, Label::Root)],
        stack: vec![(x, y, 0)],
        seen: HashSet::new(),
        partners: Partners::default(),
        storages: Partners::default(),
        classes: Classes::default(),
        tables: [OfTable::default(), OfTable::default()],
    };
    while let Some((x, y, at)) = walk.stack.pop() {
        if walk.found.len() >= limit {
            break;
        }
        if walk.seen.insert((x, y)) {
            walk.compare(x, y, at)?;
        }
    }
    Ok(walk.found)
}

/// A place in [`Walk::places`]: a path whose text is made only if something differs there.
type Place = u32;

/// One step of a path.
#[derive(Clone, Copy)]
enum Label {
    Root,
    /// A key of the first file, or of the second.
    Key(Side, NodeId),
    Index(usize),
    Name(&'static str),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    First,
    Second,
}

/// Which thing of one file stands for which of the other, and where that was seen first.
#[derive(Default)]
struct Partners {
    forth: HashMap<u32, (u32, Place)>,
    back: HashMap<u32, (u32, Place)>,
}

impl Partners {
    /// Where one side shares and the other does not, if that is so: the place, and which shares.
    fn disagree(&mut self, x: u32, y: u32, at: Place) -> Option<(Place, Side)> {
        let (first, seen) = *self.forth.entry(x).or_insert((y, at));
        if first != y {
            return Some((seen, Side::First));
        }
        let (first, seen) = *self.back.entry(y).or_insert((x, at));
        (first != x).then_some((seen, Side::Second))
    }
}

struct Walk<'a> {
    a: &'a Tensors,
    b: &'a Tensors,
    limit: usize,
    found: Vec<Difference>,
    places: Vec<(Place, Label)>,
    stack: Vec<(NodeId, NodeId, Place)>,
    seen: HashSet<(NodeId, NodeId)>,
    /// Containers that can be shared visibly.
    partners: Partners,
    storages: Partners,
    classes: Classes,
    tables: [OfTable; 2],
}

impl Walk<'_> {
    fn differ(&mut self, at: Place, what: impl Into<String>) {
        if self.found.len() < self.limit {
            let path = self.path(at);
            self.found.push(Difference { path, what: what.into() });
        }
    }

    fn below(&mut self, at: Place, label: Label) -> Place {
        self.places.push((at, label));
        (self.places.len() - 1) as Place
    }

    fn path(&self, mut at: Place) -> String {
        let mut parts = Vec::new();
        while at != 0 {
            let (parent, label) = self.places[at as usize];
            parts.push(match label {
                Label::Root => String::new(),
                Label::Key(Side::First, key) => display_key(self.a.tree(), key),
                Label::Key(Side::Second, key) => display_key(self.b.tree(), key),
                Label::Index(i) => i.to_string(),
                Label::Name(name) => name.to_owned(),
            });
            at = parent;
        }
        parts.reverse();
        parts.join(".")
    }

    fn push(&mut self, x: NodeId, y: NodeId, at: Place, label: Label) {
        let at = self.below(at, label);
        self.stack.push((x, y, at));
    }

    fn push_optional(
        &mut self,
        x: Option<NodeId>,
        y: Option<NodeId>,
        at: Place,
        name: &'static str,
    ) {
        match (x, y) {
            (Some(x), Some(y)) => self.push(x, y, at, Label::Name(name)),
            (None, None) => {}
            _ => self.differ(at, format!("{name} in one only")),
        }
    }

    fn compare(&mut self, x: NodeId, y: NodeId, at: Place) -> Result<()> {
        let (a, b) = (self.a.tree(), self.b.tree());
        let (nx, ny) = (a.node(x), b.node(y));
        if kind(nx) != kind(ny) {
            self.differ(at, format!("{} in the first, {} in the second", kind(nx), kind(ny)));
            return Ok(());
        }
        let shows_sharing = matches!(
            nx,
            Node::List(_) | Node::Dict(_) | Node::Set(_) | Node::ByteArray(_) | Node::Object(_)
        );
        if shows_sharing && let Some(seen) = self.partners.disagree(x.place(), y.place(), at) {
            let what = self.sharing(seen);
            self.differ(at, what);
        }
        match (nx, ny) {
            (Node::Tensor(s), Node::Tensor(t)) => self.tensors(*s, *t, at)?,
            (Node::Storage(s), Node::Storage(t)) => self.storages(*s, *t, at)?,
            (Node::List(p), Node::List(q)) | (Node::Tuple(p), Node::Tuple(q)) => {
                self.sequences(p, q, at);
            }
            (Node::Set(p), Node::Set(q)) | (Node::FrozenSet(p), Node::FrozenSet(q)) => {
                self.members(p, q, at);
            }
            (Node::Dict(p), Node::Dict(q)) => {
                self.items(&p.items, &q.items, at);
                self.push_optional(p.attributes, q.attributes, at, "__dict__");
            }
            (Node::Object(p), Node::Object(q)) => {
                if p.construct != q.construct {
                    self.differ(at, "built in another way");
                }
                self.push(p.callable, q.callable, at, Label::Name("__class__"));
                self.push(p.args, q.args, at, Label::Name("__args__"));
                self.push_optional(p.kwargs, q.kwargs, at, "__kwargs__");
                self.push_optional(p.state, q.state, at, "__dict__");
                self.sequences(&p.appended, &q.appended, at);
                self.items(&p.items, &q.items, at);
            }
            (Node::Float(s), Node::Float(t)) if s.to_bits() == t.to_bits() => {}
            (Node::Float(s), Node::Float(t)) => {
                self.differ(at, format!("{s:?} in the first, {t:?} in the second"));
            }
            (s, t) if s == t => {}
            (s, t) => {
                self.differ(at, format!("{} in the first, {} in the second", short(s), short(t)));
            }
        }
        Ok(())
    }

    fn sharing(&self, (seen, side): (Place, Side)) -> String {
        let (in_one, in_other) = match side {
            Side::First => ("first", "second"),
            Side::Second => ("second", "first"),
        };
        format!("shared with {:?} in the {in_one}, not in the {in_other}", self.path(seen))
    }

    fn sequences(&mut self, p: &[NodeId], q: &[NodeId], at: Place) {
        if p.len() != q.len() {
            let what = format!("{} elements in the first, {} in the second", p.len(), q.len());
            self.differ(at, what);
        }
        for (i, (&s, &t)) in p.iter().zip(q).enumerate().rev() {
            self.push(s, t, at, Label::Index(i));
        }
    }

    /// The class of a key, and which of its class it is in its container.
    fn keys(&mut self, side: Side, keys: impl Iterator<Item = NodeId>) -> Vec<(u32, u32)> {
        let (tree, table) = match side {
            Side::First => (self.a.tree(), &mut self.tables[0]),
            Side::Second => (self.b.tree(), &mut self.tables[1]),
        };
        let mut counts: HashMap<u32, u32> = HashMap::new();
        let classes = &mut self.classes;
        keys.map(|key| {
            let class = classes.of(table, key.place(), |n| parts_of(tree, NodeId::new(n)));
            let count = counts.entry(class).or_insert(0);
            *count += 1;
            (class, *count)
        })
        .collect()
    }

    fn members(&mut self, p: &[NodeId], q: &[NodeId], at: Place) {
        let first = self.keys(Side::First, p.iter().copied());
        let second = self.keys(Side::Second, q.iter().copied());
        let other: HashMap<_, _> = second.iter().copied().zip(q.iter().copied()).collect();
        if first.len() != second.len() || first.iter().any(|key| !other.contains_key(key)) {
            self.differ(at, "the elements differ");
            return;
        }
        for (i, (key, &member)) in first.iter().zip(p).enumerate() {
            self.push(member, other[key], at, Label::Index(i));
        }
    }

    fn items(&mut self, p: &[(NodeId, NodeId)], q: &[(NodeId, NodeId)], at: Place) {
        let first = self.keys(Side::First, p.iter().map(|i| i.0));
        let second = self.keys(Side::Second, q.iter().map(|i| i.0));
        let other: HashMap<(u32, u32), usize> =
            second.iter().enumerate().map(|(i, &key)| (key, i)).collect();
        let mut last = None;
        let mut in_order = true;
        let mut matched = vec![false; q.len()];
        let mut pairs = Vec::with_capacity(p.len());
        for (key, &(k, v)) in first.iter().zip(p) {
            let Some(&i) = other.get(key) else {
                let at = self.below(at, Label::Key(Side::First, k));
                self.differ(at, "in the first only");
                continue;
            };
            in_order &= last.is_none_or(|l| l < i);
            last = Some(i);
            matched[i] = true;
            pairs.push((k, v, q[i].0, q[i].1));
        }
        for (i, &(k, _)) in q.iter().enumerate() {
            if !matched[i] {
                let at = self.below(at, Label::Key(Side::Second, k));
                self.differ(at, "in the second only");
            }
        }
        if !in_order {
            self.differ(at, "the keys stand in another order");
        }
        for (k, v, l, w) in pairs.into_iter().rev() {
            self.push(v, w, at, Label::Key(Side::First, k));
            self.push(k, l, at, Label::Key(Side::First, k));
        }
    }

    fn tensors(&mut self, s: TensorId, t: TensorId, at: Place) -> Result<()> {
        let (x, y) = (self.a.tree().tensor(s), self.b.tree().tensor(t));
        let both = |p: &dyn std::fmt::Display, q: &dyn std::fmt::Display| {
            format!("{p} in the first, {q} in the second")
        };
        if x.dtype != y.dtype {
            self.differ(at, both(&x.dtype, &y.dtype));
            return Ok(());
        }
        if x.shape != y.shape {
            let what = format!("shape {:?} in the first, {:?} in the second", x.shape, y.shape);
            self.differ(at, what);
            return Ok(());
        }
        if x.class != y.class {
            let name = |t: &Tensor| match t.class {
                TensorClass::Parameter => "a Parameter",
                _ => "a Tensor",
            };
            self.differ(at, both(&name(x), &name(y)));
        }
        if x.requires_grad != y.requires_grad {
            let what = format!("requires_grad {}", both(&x.requires_grad, &y.requires_grad));
            self.differ(at, what);
        }
        self.push_optional(x.quantizer, y.quantizer, at, "__quantizer__");
        self.push_optional(x.hooks, y.hooks, at, "__hooks__");
        self.push_optional(x.state, y.state, at, "__dict__");
        // Resolving a conjugated or negated tensor gives it memory of its own.
        let resolved = x.conj || x.neg || y.conj || y.neg;
        if !resolved
            && x.numel() != Some(0)
            && let Some(seen) = self.storages.disagree(x.storage.0, y.storage.0, at)
        {
            let what = format!("the storage is {}", self.sharing(seen));
            self.differ(at, what);
        }
        let (a, b) = (self.a, self.b);
        let len = x.nbytes().unwrap_or(u64::MAX);
        let differing =
            count_differing(x.dtype, len, |sink| a.stream(s, sink), |sink| b.stream(t, sink))?;
        if differing != 0 {
            let total = x.numel().unwrap_or(0);
            self.differ(at, format!("{differing} of {total} elements differ"));
        }
        Ok(())
    }

    fn storages(&mut self, s: StorageId, t: StorageId, at: Place) -> Result<()> {
        let (a, b) = (self.a, self.b);
        let (x, y) = (a.tree().storage(s), b.tree().storage(t));
        let form = |s: &Storage| (s.dtype, s.numel);
        if form(x) != form(y) {
            let what = format!("{:?} in the first, {:?} in the second", form(x), form(y));
            self.differ(at, what);
            return Ok(());
        }
        let differing = count_differing(
            DType::UInt8,
            x.nbytes().unwrap_or(u64::MAX),
            |sink| a.stream_storage(s, sink),
            |sink| b.stream_storage(t, sink),
        )?;
        if differing != 0 {
            self.differ(at, format!("{differing} bytes differ"));
        }
        Ok(())
    }
}

type Sink<'s> = &'s mut dyn FnMut(&[u8]) -> torch_pickle::Result<()>;

/// How many elements of two streams of `len` bytes are not the same.
fn count_differing(
    dtype: DType,
    len: u64,
    read_a: impl FnOnce(Sink<'_>) -> Result<()> + Send,
    read_b: impl FnOnce(Sink<'_>) -> Result<()>,
) -> Result<u64> {
    let mut count = Count { size: dtype.size() as u64, at: 0, last: None, differing: 0 };
    if len <= SMALL {
        let mut all = Vec::with_capacity(len as usize);
        read_a(&mut |bytes| {
            all.extend_from_slice(bytes);
            Ok(())
        })?;
        let mut rest = &all[..];
        read_b(&mut |bytes| {
            let (piece, behind) = rest.split_at(bytes.len().min(rest.len()));
            count.add(piece, &bytes[..piece.len()]);
            rest = behind;
            Ok(())
        })?;
        return Ok(count.differing);
    }
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
                count.add(&piece[at..at + n], &bytes[..n]);
                at += n;
                bytes = &bytes[n..];
            }
            Ok(())
        });
        drop(receiver);
        let read = reader.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        read.and(compared).map(|()| count.differing)
    })
}

/// Counts elements that differ in two streams that are handed over piece by piece.
struct Count {
    size: u64,
    at: u64,
    last: Option<u64>,
    differing: u64,
}

impl Count {
    fn add(&mut self, x: &[u8], y: &[u8]) {
        if x != y {
            for i in (0..x.len()).filter(|&i| x[i] != y[i]) {
                let element = Some((self.at + i as u64) / self.size);
                if self.last != element {
                    self.last = element;
                    self.differing += 1;
                }
            }
        }
        self.at += x.len() as u64;
    }
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

/// What a key is made of.
fn parts_of(tree: &Tree, id: NodeId) -> Parts {
    let ids = |nodes: &[NodeId]| nodes.iter().map(|n| n.place()).collect::<Vec<u32>>();
    let plain = |text: Vec<u8>| Parts::Whole(Shape::Plain(text));
    match tree.node(id) {
        Node::None => plain(b"None".to_vec()),
        Node::Bool(b) => Parts::Whole(number(0.0, Some(i64::from(*b)))),
        Node::Int(i) => Parts::Whole(number(0.0, Some(*i))),
        Node::Float(f) => Parts::Whole(number(*f, None)),
        Node::BigInt(b) => plain([b"n", &b[..]].concat()),
        Node::Str(s) => plain([b"s", s.as_bytes()].concat()),
        Node::SurrogateStr(s) => plain([b"s", &s[..]].concat()),
        Node::Bytes(b) => plain([b"b", &b[..]].concat()),
        Node::Global(g) => plain(format!("g{g}").into_bytes()),
        Node::Tuple(parts) => Parts::Sequence("tuple", ids(parts)),
        Node::FrozenSet(parts) => Parts::Set(ids(parts)),
        Node::Object(o) => {
            let mut parts = vec![o.callable.place(), o.args.place()];
            parts.extend(o.kwargs.map(|n| n.place()));
            Parts::Sequence("object", parts)
        }
        // Everything else is equal to itself alone, or cannot be a key.
        _ => Parts::Whole(Shape::Itself),
    }
}
