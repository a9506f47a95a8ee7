//! What a path can lead on to from a node: runs of children, which several nodes may share.
//!
//! Twenty thousand objects may have one tuple of arguments. So that it is looked through once and
//! not for each of them, a node gives the runs and not the children.

use std::collections::{HashMap, HashSet};

use crate::names::push_key;
use crate::{Construct, Dict, Kind, Node, NodeId, Object, Tree};

/// How many modules may show one dict of buffers, each with other names hidden; further ones hide
/// none. Genuine ones share no such dict.
const MOST_HIDING: u32 = 16;
/// Entries of the state of what may be a sparse tensor, which has none in genuine files.
const SMALL_STATE: usize = 64;

/// One step of a path.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Label {
    /// A key or the name of an attribute.
    Key(NodeId),
    Index(usize),
    Name(&'static str),
}

impl Label {
    pub(crate) fn push(self, tree: &Tree, out: &mut String) {
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

pub(crate) type Child = (Label, NodeId);

/// A run of children, by the node that holds it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Run {
    /// The items of a tuple, list or set.
    Items(NodeId),
    /// The values of a dict.
    Values(NodeId),
    /// Those that are not `None`.
    Present(NodeId),
    /// Of these, those that a set does not name.
    Saved(NodeId, NodeId),
    /// Of the attributes of a TorchScript module those that are in its state dict: tensors and
    /// modules, but not what is in lists and dicts.
    Script(NodeId),
    /// What was appended to an object.
    Appended(NodeId),
    /// What was set on an object by keys.
    Set(NodeId),
    /// One child.
    One(&'static str, NodeId),
}

/// The parts of a module's state: dicts that are not empty.
#[derive(Clone, Copy)]
struct Module<'t> {
    parameters: Option<NodeId>,
    buffers: Option<NodeId>,
    modules: Option<NodeId>,
    /// The names of buffers that are not saved, and the node that holds them.
    hidden: Option<(NodeId, &'t [NodeId])>,
}

pub(crate) struct Runs<'t> {
    pub(crate) tree: &'t Tree,
    /// For each state that is a dict, whether it is that of a module.
    modules: HashMap<NodeId, Option<Module<'t>>>,
    hiding: HashMap<NodeId, u32>,
    hidden: HashMap<NodeId, HashSet<&'t str>>,
}

impl<'t> Runs<'t> {
    pub(crate) fn of(tree: &'t Tree) -> Runs<'t> {
        let (modules, hiding, hidden) = (HashMap::new(), HashMap::new(), HashMap::new());
        Runs { tree, modules, hiding, hidden }
    }

    /// Appends the runs of a node, in order.
    pub(crate) fn push(&mut self, id: NodeId, out: &mut Vec<Run>) {
        let tree = self.tree;
        match tree.node(id) {
            Node::Tuple(_) | Node::List(_) | Node::Set(_) | Node::FrozenSet(_) => {
                out.push(Run::Items(id));
            }
            Node::Dict(dict) => {
                out.push(Run::Values(id));
                if let Some(attributes) = dict.attributes {
                    self.state(attributes, out);
                }
            }
            Node::Tensor(tensor) => {
                if let Some(attributes) = tree.tensor(*tensor).state {
                    self.state(attributes, out);
                }
            }
            Node::Object(object) => self.object(id, object, out),
            _ => {}
        }
    }

    fn object(&mut self, id: NodeId, object: &'t Object, out: &mut Vec<Run>) {
        let tree = self.tree;
        if may_be_sparse(tree, object)
            && let Kind::Sparse(sparse) = tree.kind_of(id)
        {
            out.extend(sparse.components.iter().map(|&(name, c)| Run::One(name, c)));
            return;
        }
        if let Some(module) = self.module(object) {
            out.extend(module.parameters.map(Run::Present));
            out.extend(module.buffers.map(|buffers| match module.hidden {
                Some((hidden, _)) => Run::Saved(buffers, hidden),
                None => Run::Present(buffers),
            }));
            out.extend(module.modules.map(Run::Present));
            return;
        }
        if let Some(state) = object.state.filter(|_| is_script(tree, object))
            && let Node::Dict(_) = tree.node(state)
        {
            out.push(Run::Script(state));
            return;
        }
        if let Node::Tuple(_) = tree.node(object.args) {
            out.push(Run::Items(object.args));
        }
        if let Some(kwargs) = object.kwargs {
            self.state(kwargs, out);
        }
        if let Some(attributes) = object.state {
            self.state(attributes, out);
        }
        out.extend([Run::Appended(id), Run::Set(id)]);
    }

    /// The attributes an object was given. With `__slots__` they are a pair of dicts, each of
    /// which may be `None`.
    fn state(&self, id: NodeId, out: &mut Vec<Run>) {
        match self.tree.node(id) {
            Node::Dict(_) => out.push(Run::Values(id)),
            Node::Tuple(items) => {
                let slots = |&i: &NodeId| matches!(self.tree.node(i), Node::None | Node::Dict(_));
                if items.len() != 2 || !items.iter().all(slots) {
                    out.push(Run::Items(id));
                    return;
                }
                for &part in items {
                    if let Node::Dict(_) = self.tree.node(part) {
                        out.push(Run::Values(part));
                    }
                }
            }
            Node::List(_) => out.push(Run::Items(id)),
            Node::Tensor(_) | Node::Object(_) => out.push(Run::One("state", id)),
            _ => {}
        }
    }

    fn module(&mut self, object: &Object) -> Option<Module<'t>> {
        let tree = self.tree;
        let state = object.state?;
        let Node::Dict(dict) = tree.node(state) else { return None };
        if let Some(&known) = self.modules.get(&state) {
            return known;
        }
        let mut module = read_module(tree, object, dict);
        if let Some(Module { buffers: Some(buffers), hidden, .. }) = &mut module
            && let Some((id, names)) = *hidden
        {
            let uses = self.hiding.entry(*buffers).or_default();
            *uses += 1;
            if *uses > MOST_HIDING {
                *hidden = None;
            }
            let texts = || names.iter().filter_map(|&name| text(tree, name)).collect();
            self.hidden.entry(id).or_insert_with(texts);
        }
        self.modules.insert(state, module);
        module
    }

    /// The length of a run, children that are not shown included.
    pub(crate) fn len(&self, run: Run) -> usize {
        match run {
            Run::One(..) => 1,
            Run::Items(id) => items(self.tree.node(id)).len(),
            Run::Appended(id) => appended(self.tree.node(id)).len(),
            Run::Values(id)
            | Run::Present(id)
            | Run::Saved(id, _)
            | Run::Script(id)
            | Run::Set(id) => pairs(self.tree.node(id)).len(),
        }
    }

    /// A child of a run; there must be one.
    pub(crate) fn at(&self, run: Run, i: usize) -> Child {
        match run {
            Run::One(name, id) => (Label::Name(name), id),
            Run::Items(id) => (Label::Index(i), items(self.tree.node(id))[i]),
            Run::Appended(id) => (Label::Index(i), appended(self.tree.node(id))[i]),
            Run::Values(id)
            | Run::Present(id)
            | Run::Saved(id, _)
            | Run::Script(id)
            | Run::Set(id) => {
                let (key, value) = pairs(self.tree.node(id))[i];
                (Label::Key(key), value)
            }
        }
    }

    /// Whether a path goes to this child.
    pub(crate) fn shows(&self, run: Run, (label, child): Child) -> bool {
        let hidden = match run {
            Run::Script(_) => {
                return matches!(self.tree.node(child), Node::Tensor(_) | Node::Object(_));
            }
            Run::Present(_) => None,
            Run::Saved(_, hidden) => self.hidden.get(&hidden),
            _ => return true,
        };
        let name = match label {
            Label::Key(key) => text(self.tree, key),
            _ => None,
        };
        *self.tree.node(child) != Node::None
            && !name.is_some_and(|name| hidden.is_some_and(|hidden| hidden.contains(name)))
    }

    /// Whether a label of this run reads like no other label of it.
    pub(crate) fn is_distinct(&self, run: Run, label: Label) -> bool {
        match (run, label) {
            // An object keeps all that was set on it, also by one key.
            (Run::Set(_), _) => false,
            // Of the keys of a dict, a text and what is no text may read the same: 1 and '1'.
            (_, Label::Key(key)) => {
                self.tree.keys_differ && matches!(self.tree.node(key), Node::Str(_))
            }
            (_, Label::Index(_) | Label::Name(_)) => true,
        }
    }

    /// Appends all that a path can lead on to.
    pub(super) fn children(&mut self, id: NodeId, out: &mut Vec<Child>) {
        let mut runs = Vec::new();
        self.push(id, &mut runs);
        for run in runs {
            let all = (0..self.len(run)).map(|i| self.at(run, i));
            out.extend(all.filter(|&child| self.shows(run, child)));
        }
    }
}

/// Whether it is worth to look closer, and cheap.
fn may_be_sparse(tree: &Tree, object: &Object) -> bool {
    let named = |id| match tree.node(id) {
        // The second is what torch 1.13 has for compressed rows.
        Node::Global(g) => {
            g.is("torch._utils", "_rebuild_sparse_tensor")
                || g.is("torch._utils", "_rebuild_sparse_csr_tensor")
        }
        _ => false,
    };
    let state = object.state.map(|state| tree.node(state));
    object.construct == Construct::Call
        && named(object.callable)
        && !matches!(state, Some(Node::Dict(dict)) if dict.items.len() > SMALL_STATE)
}

/// Whether an object is of a class of TorchScript.
fn is_script(tree: &Tree, object: &Object) -> bool {
    matches!(tree.node(object.callable), Node::Global(g) if g.module.starts_with("__torch__"))
}

fn read_module<'t>(tree: &'t Tree, object: &Object, state: &Dict) -> Option<Module<'t>> {
    let parts = tree.module_parts(object)?;
    // A run over nothing is spared.
    let filled = |dict: &Dict, name| match dict.items.is_empty() {
        true => None,
        false => tree.attribute(state, name),
    };
    let hidden = match parts.hidden {
        [] => None,
        names => Some((tree.attribute(state, "_non_persistent_buffers_set")?, names)),
    };
    Some(Module {
        parameters: filled(parts.parameters, "_parameters"),
        buffers: filled(parts.buffers, "_buffers"),
        modules: filled(parts.modules, "_modules"),
        hidden,
    })
}

fn items(node: &Node) -> &[NodeId] {
    match node {
        Node::Tuple(items) | Node::List(items) | Node::Set(items) | Node::FrozenSet(items) => items,
        _ => &[],
    }
}

fn appended(node: &Node) -> &[NodeId] {
    match node {
        Node::Object(object) => &object.appended,
        _ => &[],
    }
}

fn pairs(node: &Node) -> &[(NodeId, NodeId)] {
    match node {
        Node::Dict(dict) => &dict.items,
        Node::Object(object) => &object.items,
        _ => &[],
    }
}

fn text(tree: &Tree, id: NodeId) -> Option<&str> {
    match tree.node(id) {
        Node::Str(text) => Some(text),
        _ => None,
    }
}

pub(crate) fn is_leaf(node: &Node) -> bool {
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
///
/// A node that shares a run with others is linked to the node that holds it, not to what is in it.
/// So a dict of attributes that has attributes itself, which no path goes through, leads on too.
pub(super) fn leading_to_tensors(shape: &mut Runs<'_>) -> Vec<bool> {
    let tree = shape.tree;
    let count = tree.nodes().len();
    let mut leads = vec![false; count];
    // Edges from child to parent.
    let mut edges: Vec<(u32, u32)> = Vec::new();
    let mut todo = Vec::new();
    let mut runs = Vec::new();
    let is_tensor = |id: NodeId| matches!(tree.node(id), Node::Tensor(_));
    for id in (0..count as u32).map(NodeId::new) {
        if is_tensor(id) {
            leads[id.place() as usize] = true;
            continue;
        }
        if is_leaf(tree.node(id)) {
            continue;
        }
        // What holds a tensor needs no other ways to one; a dict of tensors shows it at once.
        if let Node::Dict(dict) = tree.node(id)
            && dict.items.iter().any(|&(_, value)| is_tensor(value))
        {
            todo.push(id.place());
            continue;
        }
        runs.clear();
        shape.push(id, &mut runs);
        let first = edges.len();
        let mut holds_one = false;
        for &run in &runs {
            let holder = match run {
                // A list among the attributes of a script may make it lead there in vain.
                Run::Items(holder)
                | Run::Values(holder)
                | Run::Present(holder)
                | Run::Script(holder) => holder,
                // How often a dict is gone through with names hidden is limited.
                Run::Saved(..) | Run::Appended(_) | Run::Set(_) | Run::One(..) => id,
            };
            if holder != id {
                edges.push((holder.place(), id.place()));
                continue;
            }
            for child in (0..shape.len(run)).map(|i| shape.at(run, i)) {
                if shape.shows(run, child) {
                    holds_one |= is_tensor(child.1);
                    if !is_leaf(tree.node(child.1)) {
                        edges.push((child.1.place(), id.place()));
                    }
                }
            }
        }
        if holds_one {
            edges.truncate(first);
            todo.push(id.place());
        }
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
