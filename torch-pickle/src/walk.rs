//! Finding tensors in an object, and naming them by the way that leads there.

use std::collections::HashSet;
use std::path::Path;

use crate::error::{Error, Part, Result};
use crate::names::push_key;
use crate::special::Kind;
use crate::{Node, NodeId, Tree};

/// Bytes of names allowed for each name: deep nesting makes long paths.
const BYTES_PER_NAME: usize = 128;
/// Bytes of names allowed in any case.
const LEAST_BYTES: usize = 1 << 20;
/// Bytes of names after which [`Tree::first_names`] gives numbers instead of paths.
const FIRST_BYTES: usize = 128 << 20;

/// One step of a path.
#[derive(Clone, Copy, Debug)]
enum Label {
    /// A key or the name of an attribute.
    Key(NodeId),
    Index(usize),
    Name(&'static str),
}

impl Label {
    fn push(self, tree: &Tree, out: &mut String) {
        match self {
            Label::Key(key) => push_key(tree, key, out),
            Label::Index(i) => {
                use std::fmt::Write;
                // Writing to a string cannot fail.
                let _ = write!(out, "{i}");
            }
            Label::Name(name) => out.push_str(name),
        }
    }
}

type Child = (Label, NodeId);

/// Appends what a path can lead on to.
fn children(tree: &Tree, id: NodeId, out: &mut Vec<Child>) {
    match tree.node(id) {
        Node::Tuple(items) | Node::List(items) | Node::Set(items) | Node::FrozenSet(items) => {
            indexed(items, out);
        }
        Node::Dict(dict) => {
            keyed(&dict.items, out);
            if let Some(attributes) = dict.attributes {
                state(tree, attributes, out);
            }
        }
        Node::Tensor(tensor) => {
            if let Some(attributes) = tree.tensor(*tensor).state {
                state(tree, attributes, out);
            }
        }
        Node::Object(object) => {
            if let Kind::Sparse(sparse) = tree.kind_of(id) {
                out.extend(sparse.components.iter().map(|&(name, c)| (Label::Name(name), c)));
                return;
            }
            if let Some(module) = tree.module_parts(object) {
                let none = |&&(_, v): &&(NodeId, NodeId)| *tree.node(v) != Node::None;
                let parts = module.parameters.items.iter().filter(none);
                out.extend(parts.map(|&(k, v)| (Label::Key(k), v)));
                let hidden: std::collections::HashSet<&str> =
                    module.hidden.iter().filter_map(|&h| text(tree, h)).collect();
                let buffers = module.buffers.items.iter().filter(none);
                let saved =
                    buffers.filter(|(k, _)| text(tree, *k).is_none_or(|k| !hidden.contains(k)));
                out.extend(saved.map(|&(k, v)| (Label::Key(k), v)));
                let modules = module.modules.items.iter().filter(none);
                out.extend(modules.map(|&(k, v)| (Label::Key(k), v)));
                return;
            }
            if let Node::Tuple(args) = tree.node(object.args) {
                indexed(args, out);
            }
            if let Some(kwargs) = object.kwargs {
                state(tree, kwargs, out);
            }
            if let Some(attributes) = object.state {
                state(tree, attributes, out);
            }
            indexed(&object.appended, out);
            keyed(&object.items, out);
        }
        _ => {}
    }
}

/// The attributes an object was given. With `__slots__` they are a pair of dicts, each of which may
/// be `None`.
fn state(tree: &Tree, id: NodeId, out: &mut Vec<Child>) {
    match tree.node(id) {
        Node::Dict(dict) => keyed(&dict.items, out),
        Node::Tuple(items) => {
            let slots = |&i: &NodeId| matches!(tree.node(i), Node::None | Node::Dict(_));
            if items.len() != 2 || !items.iter().all(slots) {
                return indexed(items, out);
            }
            for &part in items {
                if let Node::Dict(dict) = tree.node(part) {
                    keyed(&dict.items, out);
                }
            }
        }
        Node::List(items) => indexed(items, out),
        Node::Tensor(_) | Node::Object(_) => out.push((Label::Name("state"), id)),
        _ => {}
    }
}

fn indexed(items: &[NodeId], out: &mut Vec<Child>) {
    out.extend(items.iter().enumerate().map(|(i, &item)| (Label::Index(i), item)));
}

fn keyed(items: &[(NodeId, NodeId)], out: &mut Vec<Child>) {
    out.extend(items.iter().map(|&(key, value)| (Label::Key(key), value)));
}

fn text(tree: &Tree, id: NodeId) -> Option<&str> {
    match tree.node(id) {
        Node::Str(text) => Some(text),
        _ => None,
    }
}

fn is_leaf(node: &Node) -> bool {
    !matches!(
        node,
        Node::Tuple(_)
            | Node::List(_)
            | Node::Set(_)
            | Node::FrozenSet(_)
            | Node::Dict(_)
            | Node::Tensor(_)
            | Node::Object(_)
    )
}

/// For each node whether a tensor can be reached from it.
fn leading_to_tensors(tree: &Tree) -> Vec<bool> {
    let count = tree.nodes().len();
    let mut leads = vec![false; count];
    // Edges from child to parent.
    let mut edges: Vec<(u32, u32)> = Vec::new();
    let mut todo = Vec::new();
    let mut found = Vec::new();
    for id in (0..count as u32).map(NodeId) {
        if is_leaf(tree.node(id)) {
            continue;
        }
        if matches!(tree.node(id), Node::Tensor(_)) {
            todo.push(id.0);
        }
        children(tree, id, &mut found);
        let inner = found.drain(..).filter(|(_, child)| !is_leaf(tree.node(*child)));
        edges.extend(inner.map(|(_, child)| (child.0, id.0)));
    }
    edges.sort_unstable();
    edges.dedup();
    while let Some(id) = todo.pop() {
        if std::mem::replace(&mut leads[id as usize], true) {
            continue;
        }
        let from = edges.partition_point(|&(child, _)| child < id);
        let parents = edges[from..].iter().take_while(|&&(child, _)| child == id);
        todo.extend(parents.map(|&(_, parent)| parent).filter(|&p| !leads[p as usize]));
    }
    leads
}

/// A node on the way, and which of its children are still to be visited.
struct Frame {
    node: NodeId,
    /// The end of its part of the list of children; it starts where that of its parent ends.
    end: usize,
    next: usize,
    /// The length of its path.
    len: usize,
}

/// Goes from the root along every path, or the first to each node, to the tensors.
struct Walk<'t> {
    tree: &'t Tree,
    leads: &'t [bool],
    /// On the current path; with `once`, met before: whether it holds the number of this walk.
    passed: &'t mut [u32],
    number: u32,
    /// Whether paths go through the attributes of tensors.
    attributes: bool,
    once: bool,
    max_names: usize,
    max_bytes: usize,
    names: Vec<(String, NodeId)>,
    bytes: usize,
    steps: usize,
}

/// What was exceeded: limit, need, allowance, unit.
type Exceeded = (&'static str, u64, u64, &'static str);

impl Walk<'_> {
    fn run(&mut self, root: NodeId) -> std::result::Result<(), Exceeded> {
        // Each step leads to a name or into a part of a cycle, of which a hostile file may have
        // many more than names.
        let max_steps =
            self.max_names.saturating_mul(8).saturating_add(self.tree.nodes().len() * 2);
        let mut path = String::new();
        let mut kids: Vec<Child> = Vec::new();
        let mut frames: Vec<Frame> = Vec::new();
        self.enter(root, &path, &mut kids, &mut frames)?;
        while let Some(frame) = frames.last_mut() {
            if frame.next == frame.end {
                let first = kids.len() - (frame.end - self.start_of(&frames));
                if let Some(done) = frames.pop()
                    && !self.once
                {
                    self.passed[done.node.0 as usize] = 0;
                }
                kids.truncate(first);
                continue;
            }
            let (label, child) = kids[frame.next];
            frame.next += 1;
            if self.passed[child.0 as usize] == self.number {
                continue;
            }
            path.truncate(frame.len);
            if frames.len() > 1 {
                path.push('.');
            }
            let at = path.len();
            label.push(self.tree, &mut path);
            if path.len() > self.max_bytes {
                if !self.once {
                    return Err(self.too_long(path.len()));
                }
                path.truncate(at);
                path.push('…');
            }
            self.steps += 1;
            if self.steps > max_steps && !self.once {
                let needed = self.max_names as u64 + 1;
                return Err(("max_names", needed, self.max_names as u64, "paths"));
            }
            self.enter(child, &path, &mut kids, &mut frames)?;
        }
        Ok(())
    }

    fn start_of(&self, frames: &[Frame]) -> usize {
        frames.len().checked_sub(2).map_or(0, |i| frames[i].end)
    }

    fn too_long(&self, needed: usize) -> Exceeded {
        ("max_names", needed as u64, self.max_bytes as u64, "bytes of names")
    }

    fn enter(
        &mut self,
        id: NodeId,
        path: &str,
        kids: &mut Vec<Child>,
        frames: &mut Vec<Frame>,
    ) -> std::result::Result<(), Exceeded> {
        if !self.leads[id.0 as usize] {
            return Ok(());
        }
        if let Node::Tensor(tensor) = self.tree.node(id) {
            let mut name = path.to_owned();
            if self.names.len() >= self.max_names {
                let needed = self.names.len() as u64 + 1;
                return Err(("max_names", needed, self.max_names as u64, "names"));
            }
            if self.bytes + name.len() > self.max_bytes {
                if !self.once {
                    return Err(self.too_long(self.bytes + name.len()));
                }
                name = format!("<tensor {}>", tensor.0);
            }
            self.bytes += name.len();
            self.names.push((name, id));
        }
        let from = kids.len();
        if self.attributes || !matches!(self.tree.node(id), Node::Tensor(_)) {
            children(self.tree, id, kids);
        }
        let mut kept = from;
        for i in from..kids.len() {
            if self.leads[kids[i].1.0 as usize] {
                kids[kept] = kids[i];
                kept += 1;
            }
        }
        kids.truncate(kept);
        self.passed[id.0 as usize] = self.number;
        frames.push(Frame { node: id, end: kept, next: from, len: path.len() });
        Ok(())
    }
}

/// Names the tensors below any node of a tree, sharing what has to be known of all of it.
///
/// ```
/// use torch_pickle::{Node, TensorNames, Tree};
/// let mut tree = Tree::new();
/// let list = tree.add(Node::List(vec![]));
/// let mut names = TensorNames::of(&tree);
/// assert!(!names.any_below(list));
/// assert!(names.first_names(list).is_empty());
/// ```
pub struct TensorNames<'t> {
    tree: &'t Tree,
    leads: Vec<bool>,
    /// The number of the last walk that met each node.
    passed: Vec<u32>,
    walks: u32,
}

impl<'t> TensorNames<'t> {
    /// Looks at all nodes once.
    pub fn of(tree: &'t Tree) -> TensorNames<'t> {
        let leads = leading_to_tensors(tree);
        TensorNames { tree, leads, passed: vec![0; tree.nodes().len()], walks: 0 }
    }

    /// Whether a path leads from a node to a tensor.
    pub fn any_below(&self, node: NodeId) -> bool {
        self.leads[node.0 as usize]
    }

    /// Each tensor node below `root` once, by the first path that leads to it from there; a path
    /// through the attributes of another tensor counts last.
    ///
    /// Paths that together take more than 128 MiB are replaced by `<tensor N>`.
    pub fn first_names(&mut self, root: NodeId) -> Vec<(String, NodeId)> {
        let mut walk = self.walk(true, usize::MAX, FIRST_BYTES);
        walk.attributes = false;
        // Without a limit on names nothing is exceeded.
        let _ = walk.run(root);
        let mut names = walk.names;
        let has_attributes = |&(_, id): &(String, NodeId)| match self.tree.node(id) {
            Node::Tensor(t) => self.tree.tensor(*t).state.is_some(),
            _ => false,
        };
        if names.iter().any(has_attributes) {
            let known: HashSet<NodeId> = names.iter().map(|&(_, id)| id).collect();
            let mut walk = self.walk(true, usize::MAX, FIRST_BYTES);
            let _ = walk.run(root);
            names.extend(walk.names.into_iter().filter(|(_, id)| !known.contains(id)));
        }
        names
    }

    fn walk(&mut self, once: bool, max_names: usize, max_bytes: usize) -> Walk<'_> {
        self.walks += 1;
        Walk {
            tree: self.tree,
            leads: &self.leads,
            passed: &mut self.passed,
            number: self.walks,
            attributes: true,
            once,
            max_names,
            max_bytes,
            names: Vec::new(),
            bytes: 0,
            steps: 0,
        }
    }
}

impl Tree {
    /// Each dense tensor with every path that leads to it: keys, indices and names of attributes,
    /// joined by dots; the root is "". A tensor that is shared has several names.
    ///
    /// A whole `nn.Module` gives the names of its `state_dict()`; a sparse tensor those of its
    /// parts (`indices`, `values`); of a quantised tensor only the tensor itself is listed. Each
    /// node is a [`Node::Tensor`].
    ///
    /// ```
    /// use torch_pickle::{Node, Tree};
    /// let mut tree = Tree::new();
    /// let root = tree.add(Node::List(vec![]));
    /// tree.set_root(root);
    /// assert!(tree.named_tensors(100)?.is_empty());
    /// # Ok::<(), torch_pickle::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Limit`] for more than `max_names` names, or for more than 128 bytes to each of
    /// them: a small file can hold paths beyond count.
    pub fn named_tensors(&self, max_names: usize) -> Result<Vec<(String, NodeId)>> {
        let bytes = max_names.saturating_mul(BYTES_PER_NAME).max(LEAST_BYTES);
        let Some(root) = self.root() else { return Ok(Vec::new()) };
        let mut names = TensorNames::of(self);
        let mut walk = names.walk(false, max_names, bytes);
        match walk.run(root) {
            Ok(()) => Ok(walk.names),
            Err((limit, needed, allowed, unit)) => {
                Err(Error::limit(Path::new(""), Part::Object, limit, needed, allowed, unit))
            }
        }
    }

    /// Each tensor node once, by the first path that leads to it: see
    /// [`TensorNames::first_names`].
    pub fn first_names(&self) -> Vec<(String, NodeId)> {
        self.root().map(|root| TensorNames::of(self).first_names(root)).unwrap_or_default()
    }

    /// The node at a path, as [`named_tensors`](Self::named_tensors) spells paths, though any node
    /// can be found.
    ///
    /// At each container a key equal to all of what is left of the path is taken first, then the
    /// longest key that the path goes on with.
    ///
    /// ```
    /// use torch_pickle::{Dict, Node, Tree};
    /// let mut tree = Tree::new();
    /// let key = tree.add(Node::Str("layer.0".into()));
    /// let value = tree.add(Node::Int(5));
    /// let list = tree.add(Node::List(vec![value]));
    /// let root = tree.add(Node::Dict(Dict { items: vec![(key, list)], ..Dict::default() }));
    /// tree.set_root(root);
    /// assert_eq!(tree.find("layer.0.0")?, value);
    /// # Ok::<(), torch_pickle::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Parameter`] where there is no such node, or where two keys read the same (`1` and
    /// `'1'`).
    pub fn find(&self, path: &str) -> Result<NodeId> {
        let fail =
            |problem: String, advice| Err(Error::Parameter { parameter: "path", problem, advice });
        let Some(root) = self.root() else { return fail("the tree is empty".into(), "") };
        if path.is_empty() {
            return Ok(root);
        }
        let mut todo = vec![(root, 0usize)];
        let mut seen = std::collections::HashSet::new();
        let mut kids = Vec::new();
        let mut label = String::new();
        while let Some((id, at)) = todo.pop() {
            if !seen.insert((id, at)) {
                continue;
            }
            let rest = &path[at..];
            kids.clear();
            children(self, id, &mut kids);
            // (length of the label, node); the whole rest counts as the longest.
            let mut matches: Vec<(usize, NodeId)> = Vec::new();
            for &(step, child) in &kids {
                label.clear();
                step.push(self, &mut label);
                let after = rest.strip_prefix(label.as_str());
                if after.is_some_and(|a| a.is_empty() || a.starts_with('.')) {
                    matches.push((label.len(), child));
                }
            }
            matches.sort_by_key(|&(len, _)| len);
            for pair in matches.windows(2) {
                if pair[0].0 == pair[1].0 && pair[0].1 != pair[1].1 {
                    let shown = &path[..at + pair[0].0];
                    let kinds: Vec<String> = kids
                        .iter()
                        .filter(|(_, child)| pair.iter().any(|p| p.1 == *child))
                        .map(|(step, _)| self.describe(*step))
                        .collect();
                    return fail(
                        format!("\"{shown}\" is ambiguous: {}", kinds.join(" and ")),
                        "rename one of them where the file is made",
                    );
                }
            }
            if let Some(&(len, child)) = matches.last()
                && len == rest.len()
            {
                return Ok(child);
            }
            todo.extend(matches.iter().map(|&(len, child)| (child, at + len + 1)));
        }
        let top: Vec<String> = {
            kids.clear();
            children(self, root, &mut kids);
            kids.iter().take(8).map(|(step, _)| self.describe(*step)).collect()
        };
        fail(
            format!("nothing is named \"{path}\"; at the top are: {}", top.join(", ")),
            "list the names first",
        )
    }

    fn describe(&self, label: Label) -> String {
        let mut out = String::new();
        label.push(self, &mut out);
        let kind = match label {
            Label::Index(_) => "index",
            Label::Name(_) => "name",
            Label::Key(key) => match self.node(key) {
                Node::Str(_) | Node::SurrogateStr(_) => "string",
                Node::Int(_) | Node::BigInt(_) => "integer",
                Node::Float(_) => "float",
                Node::Tuple(_) => "tuple",
                _ => "key",
            },
        };
        format!("{kind} \"{out}\"")
    }
}
