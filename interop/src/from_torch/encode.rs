//! The object of a checkpoint as a table of nodes for a store's side information.

use std::collections::{BTreeMap, HashMap, HashSet};

use numpack_format::side::{self, Float, Hex, NodeRef};
use torch_pickle::{
    Construct, Node, NodeId, StorageType, TensorClass, TensorId, TensorNames, Tree,
};

use super::objects::{self, Fate};
use super::plan::{Contents, HIDDEN_PREFIX, Plan, PlannedArray, Source};
use crate::dtype::is_native;
use crate::tensors::{MAX_NAMES, Unique, unique_names};

/// Bytes longer than this become an array of their own.
const INLINE_BYTES: usize = 1024;

/// A checkpoint ready to be written as a store.
pub(super) struct Encoded {
    pub(super) plan: Plan,
    pub(super) nodes: Vec<side::Node>,
    pub(super) root: NodeRef,
    /// Whether the arrays alone, in order, say all there is: a dict of plain tensors.
    pub(super) is_plain: bool,
    pub(super) warnings: Vec<String>,
}

/// What the caller chose.
#[derive(Clone, Copy)]
pub(super) struct Choices<'a> {
    pub(super) keep_objects: bool,
    pub(super) compact_views: bool,
    /// The name of a tensor that has none because it is the whole object.
    pub(super) root_name: &'a str,
}

/// Encodes the part of `tree` below `root`.
///
/// The error says that the tensors of reduced objects have too many names: a file can describe far
/// more than it holds.
pub(super) fn encode(tree: &Tree, root: NodeId, choices: Choices<'_>) -> Result<Encoded, String> {
    let mut e = Encoder {
        tree,
        paths: TensorNames::of(tree),
        choices,
        index: HashMap::new(),
        items: Vec::new(),
        tensors: Vec::new(),
        storages: Vec::new(),
        blobs: Vec::new(),
        left_out: HashMap::new(),
        reduced: BTreeMap::new(),
        names_given: 0,
        key_names: HashMap::new(),
        foreign: HashMap::new(),
        foreign_keys: BTreeMap::new(),
    };
    e.discover(root)?;
    let names = e.names(root);
    let mut plan = Contents {
        tree,
        tensors: std::mem::take(&mut e.tensors),
        alone: e.storages.iter().copied().collect(),
        storages: std::mem::take(&mut e.storages),
        names,
        compact_views: choices.compact_views,
    }
    .plan()?;
    let first_blob = plan.arrays.len();
    for (i, &id) in e.blobs.iter().enumerate() {
        plan.arrays.push(PlannedArray {
            name: format!("{HIDDEN_PREFIX}bytes.{}", first_blob + i),
            hidden: true,
            dtype: torch_pickle::DType::UInt8,
            shape: vec![bytes_of(tree, id).map_or(0, |b| b.len() as u64)],
            source: Source::Bytes(id),
        });
    }
    let blob_at: HashMap<NodeId, u32> =
        e.blobs.iter().enumerate().map(|(i, &id)| (id, (first_blob + i) as u32)).collect();
    let nodes: Vec<side::Node> =
        e.items.iter().map(|item| e.encode_item(item, &plan, &blob_at)).collect();
    let root = e.reference(root);
    let is_plain = is_plain(&nodes, root, &plan);
    Ok(Encoded { plan, nodes, root, is_plain, warnings: e.warnings() })
}

/// What stands at one place of the table.
enum Item {
    /// A node of the tree.
    Node(NodeId),
    /// An object reduced to its tensors: places of their names, and the tensors.
    Reduced(Vec<(NodeRef, NodeId)>),
    /// A name in such a reduced object, or text that stands for a key.
    Name(String),
    /// Something that was left out.
    Nothing,
}

struct Encoder<'a> {
    tree: &'a Tree,
    paths: TensorNames<'a>,
    choices: Choices<'a>,
    /// The place of each node that is carried over.
    index: HashMap<NodeId, NodeRef>,
    items: Vec<Item>,
    tensors: Vec<TensorId>,
    storages: Vec<torch_pickle::StorageId>,
    /// Nodes whose bytes become arrays.
    blobs: Vec<NodeId>,
    /// Whether nothing at all remains of an object.
    left_out: HashMap<NodeId, bool>,
    /// By class: how many objects were not carried over, and how many tensors they held.
    reduced: BTreeMap<String, (usize, usize)>,
    /// How many tensors reduced objects list.
    names_given: usize,
    /// Text that stands for a key or member that is not carried over, by container and position.
    key_names: HashMap<(NodeId, usize), NodeRef>,
    /// Whether a key is, or holds, an object of an unknown class.
    foreign: HashMap<NodeId, bool>,
    /// By class: how many keys became text.
    foreign_keys: BTreeMap<String, usize>,
}

impl<'a> Encoder<'a> {
    /// Gives each node below `root` its place.
    fn discover(&mut self, root: NodeId) -> Result<(), String> {
        let mut stack = vec![root];
        while let Some(id) = stack.pop() {
            if self.index.contains_key(&id) {
                continue;
            }
            self.index.insert(id, self.items.len() as NodeRef);
            let first = stack.len();
            if self.is_unknown(id) {
                self.reduce(id, &mut stack)?;
                stack[first..].reverse();
                continue;
            }
            self.items.push(Item::Node(id));
            match self.tree.node(id) {
                Node::Tensor(t) => self.tensors.push(*t),
                Node::Storage(s) => self.storages.push(*s),
                Node::Bytes(b) if b.len() > INLINE_BYTES => self.blobs.push(id),
                _ => {}
            }
            self.push_children(id, &mut stack);
            stack[first..].reverse();
        }
        Ok(())
    }

    fn is_unknown(&self, id: NodeId) -> bool {
        match objects::fate(self.tree, id) {
            Fate::Keep => false,
            Fate::Unknown => !self.choices.keep_objects,
            Fate::Never => true,
        }
    }

    /// An object of an unknown class: what is left are its tensors, under their names.
    fn reduce(&mut self, id: NodeId, stack: &mut Vec<NodeId>) -> Result<(), String> {
        let place = self.items.len();
        self.items.push(Item::Nothing);
        if self.is_left_out(id) {
            return Ok(());
        }
        // Under each of its names, as in a state dict: tied weights have several.
        let left = MAX_NAMES - self.names_given;
        let Some(names) = self.paths.all_names(id, left) else {
            return Err(format!(
                "objects of unknown classes name their tensors more than {MAX_NAMES} times; \
                 select a part by its key"
            ));
        };
        let names = unique_names(names);
        self.names_given += names.len();
        let mut pairs = Vec::with_capacity(names.len());
        for (name, node) in names {
            pairs.push((self.items.len() as NodeRef, node));
            self.items.push(Item::Name(name));
            stack.push(node);
        }
        self.items[place] = Item::Reduced(pairs);
        Ok(())
    }

    /// Whether nothing at all remains of a node, so that a dict drops its key too.
    fn is_left_out(&mut self, id: NodeId) -> bool {
        if !self.is_unknown(id) {
            return false;
        }
        if let Some(&known) = self.left_out.get(&id) {
            return known;
        }
        let left_out = !self.paths.any_below(id);
        let count = self.reduced.entry(self.class_of(id)).or_default();
        count.0 += 1;
        count.1 += usize::from(!left_out);
        self.left_out.insert(id, left_out);
        left_out
    }

    fn class_of(&self, id: NodeId) -> String {
        match self.tree.node(id) {
            Node::Object(object) => objects::class_of(self.tree, object),
            Node::Global(global) => global.to_string(),
            _ => String::new(),
        }
    }

    /// The first object of an unknown class that a key is or holds.
    fn foreign_in(&mut self, key: NodeId) -> Option<NodeId> {
        if self.foreign.get(&key) == Some(&false) {
            return None;
        }
        let mut seen = HashSet::new();
        let mut stack = vec![key];
        while let Some(id) = stack.pop() {
            if !seen.insert(id) || self.foreign.get(&id) == Some(&false) {
                continue;
            }
            if self.is_unknown(id) {
                return Some(id);
            }
            if let Node::Tuple(parts) | Node::FrozenSet(parts) = self.tree.node(id) {
                stack.extend(parts);
            }
        }
        self.foreign.extend(seen.into_iter().map(|id| (id, false)));
        None
    }

    /// Gives text to the keys or members of a container that are not carried over, and pushes the
    /// others.
    fn push_keys(
        &mut self,
        container: NodeId,
        keys: impl Iterator<Item = NodeId> + Clone,
        stack: &mut Vec<NodeId>,
    ) {
        let mut unique: Option<Unique> = None;
        for (i, key) in keys.clone().enumerate() {
            let Some(culprit) = self.foreign_in(key) else {
                stack.push(key);
                continue;
            };
            let class = self.class_of(culprit);
            let tree = self.tree;
            let names = unique.get_or_insert_with(|| {
                let mut names = Unique::default();
                for key in keys.clone() {
                    if let Node::Str(text) = tree.node(key) {
                        names.take(text.to_string());
                    }
                }
                names
            });
            let text = names.pick(format!("<{class}>"));
            *self.foreign_keys.entry(class).or_default() += 1;
            self.key_names.insert((container, i), self.items.len() as NodeRef);
            self.items.push(Item::Name(text));
        }
    }

    fn warnings(&self) -> Vec<String> {
        let values = self.reduced.iter().map(|(class, &(objects, holding))| {
            let all = format!("{objects} of class {class}, which is no known plain value");
            match holding {
                0 => format!("left out {all}"),
                n if n == objects => format!("kept only the tensors of {all}"),
                n => format!("left out {all}; {n} held tensors, which were kept"),
            }
        });
        let keys = self.foreign_keys.iter().map(|(class, keys)| {
            format!("{keys} keys of class {class}, which is no known plain value, became text")
        });
        values.chain(keys).collect()
    }

    fn push_children(&mut self, id: NodeId, stack: &mut Vec<NodeId>) {
        let tree = self.tree;
        match tree.node(id) {
            Node::Set(parts) | Node::FrozenSet(parts) => {
                self.push_keys(id, parts.iter().copied(), stack);
            }
            Node::Dict(dict) => {
                let mut kept = Vec::with_capacity(dict.items.len());
                for &(k, v) in &dict.items {
                    if !self.is_left_out(v) {
                        kept.push((k, v));
                    }
                }
                self.push_keys(id, kept.iter().map(|i| i.0), stack);
                stack.extend(kept.iter().map(|i| i.1));
                stack.extend(dict.attributes);
            }
            Node::Object(o) => {
                stack.extend([o.callable, o.args]);
                stack.extend(o.kwargs);
                stack.extend(&o.appended);
                self.push_keys(id, o.items.iter().map(|i| i.0), stack);
                stack.extend(o.items.iter().map(|i| i.1));
                stack.extend(o.state);
            }
            _ => tree.push_children(id, stack),
        }
    }

    /// The path of each tensor.
    fn names(&mut self, root: NodeId) -> HashMap<TensorId, String> {
        let mut names = HashMap::with_capacity(self.tensors.len());
        for (name, node) in self.paths.first_names(root) {
            let Node::Tensor(t) = self.tree.node(node) else { continue };
            // Only the whole object has no name; a key may well be empty.
            let name = if node == root { self.choices.root_name.to_owned() } else { name };
            names.entry(*t).or_insert(name);
        }
        // What a quantised tensor is scaled by has no path of its own.
        for &t in &self.tensors {
            let Some(quantizer) = self.tree.tensor(t).quantizer else { continue };
            let (Node::Tuple(parts), Some(owner)) =
                (self.tree.node(quantizer), names.get(&t).cloned())
            else {
                continue;
            };
            for (&part, role) in parts.iter().skip(1).zip(["scales", "zero_points"]) {
                if let Node::Tensor(part) = self.tree.node(part) {
                    names.entry(*part).or_insert_with(|| format!("{owner}.{role}"));
                }
            }
        }
        names
    }

    fn reference(&self, id: NodeId) -> NodeRef {
        // Each child of a node that has a place was given one too, but for keys that became text.
        self.index.get(&id).copied().unwrap_or(NodeRef::MAX)
    }

    /// The key or member at a position of a container.
    fn key_reference(&self, container: NodeId, i: usize, key: NodeId) -> NodeRef {
        match self.key_names.get(&(container, i)) {
            Some(&name) => name,
            None => self.reference(key),
        }
    }

    fn references(&self, ids: &[NodeId]) -> Vec<NodeRef> {
        ids.iter().map(|&id| self.reference(id)).collect()
    }

    fn pairs<'p>(
        &self,
        container: NodeId,
        pairs: impl Iterator<Item = &'p (NodeId, NodeId)>,
    ) -> Vec<(NodeRef, NodeRef)> {
        pairs
            .enumerate()
            .map(|(i, &(k, v))| (self.key_reference(container, i, k), self.reference(v)))
            .collect()
    }

    fn members(&self, container: NodeId, members: &[NodeId]) -> Vec<NodeRef> {
        let members = members.iter().enumerate();
        members.map(|(i, &m)| self.key_reference(container, i, m)).collect()
    }

    fn encode_item(&self, item: &Item, plan: &Plan, blobs: &HashMap<NodeId, u32>) -> side::Node {
        let id = match item {
            Item::Nothing => return side::Node::None,
            Item::Name(name) => return side::Node::Str(name.clone()),
            Item::Reduced(pairs) => {
                let pairs = pairs.iter().map(|&(name, node)| (name, self.reference(node)));
                return side::Node::OrderedDict(pairs.collect(), None);
            }
            Item::Node(id) => *id,
        };
        let optional = |id: Option<NodeId>| id.map(|id| self.reference(id));
        match self.tree.node(id) {
            Node::None => side::Node::None,
            Node::Bool(b) => side::Node::Bool(*b),
            Node::Int(i) => side::Node::Int(*i),
            Node::BigInt(b) => side::Node::BigInt(Hex(b.to_vec())),
            Node::Float(f) => side::Node::Float(Float(*f)),
            Node::Str(s) => side::Node::Str(s.to_string()),
            Node::SurrogateStr(b) => side::Node::SurrogateStr(Hex(b.to_vec())),
            Node::Bytes(b) => match blobs.get(&id) {
                Some(&array) => side::Node::BytesIn(array),
                None => side::Node::Bytes(Hex(b.to_vec())),
            },
            Node::ByteArray(b) => side::Node::ByteArray(Hex(b.to_vec())),
            Node::Tuple(parts) => side::Node::Tuple(self.references(parts)),
            Node::List(parts) => side::Node::List(self.references(parts)),
            Node::Set(parts) => side::Node::Set(self.members(id, parts)),
            Node::FrozenSet(parts) => side::Node::FrozenSet(self.members(id, parts)),
            Node::Dict(dict) => {
                let kept = dict.items.iter().filter(|(_, v)| self.left_out.get(v) != Some(&true));
                let kept = self.pairs(id, kept);
                if dict.ordered {
                    side::Node::OrderedDict(kept, optional(dict.attributes))
                } else {
                    side::Node::Dict(kept)
                }
            }
            Node::Global(g) => side::Node::Global(g.module.to_string(), g.name.to_string()),
            Node::Storage(s) => {
                let dtype = match self.tree.storage(*s).dtype {
                    StorageType::Typed(dtype) => Some(dtype.name().to_owned()),
                    StorageType::Untyped => None,
                };
                side::Node::Storage(plan.storages.get(s).copied().unwrap_or_default(), dtype)
            }
            Node::Tensor(t) => {
                let tensor = self.tree.tensor(*t);
                let (array, view) = plan.tensors.get(t).cloned().unwrap_or_default();
                side::Node::Tensor(Box::new(side::Tensor {
                    array,
                    view,
                    requires_grad: tensor.requires_grad,
                    parameter: tensor.class == TensorClass::Parameter,
                    hooks: optional(tensor.hooks),
                    state: optional(tensor.state),
                    quantizer: optional(tensor.quantizer),
                }))
            }
            Node::Object(o) => side::Node::Object(Box::new(side::Object {
                construct: construct_name(o.construct).to_owned(),
                callable: self.reference(o.callable),
                args: self.reference(o.args),
                kwargs: optional(o.kwargs),
                state: optional(o.state),
                appended: self.references(&o.appended),
                items: self.pairs(id, o.items.iter()),
            })),
            // A kind of node this version does not know cannot come from a reader of this version.
            _ => side::Node::None,
        }
    }
}

fn construct_name(construct: Construct) -> &'static str {
    match construct {
        Construct::New => "new",
        Construct::NewEx => "newex",
        Construct::PersistentId => "persistent",
        _ => "call",
    }
}

pub(super) fn bytes_of(tree: &Tree, id: NodeId) -> Option<&[u8]> {
    match tree.node(id) {
        Node::Bytes(b) => Some(b),
        _ => None,
    }
}

/// Whether the object is a dict of text and plain tensors, one array each, named as its key.
fn is_plain(nodes: &[side::Node], root: NodeRef, plan: &Plan) -> bool {
    let Some(side::Node::Dict(items)) = nodes.get(root as usize) else { return false };
    // Arrays stand in the order their tensors are met, which must be the order of the keys.
    items.len() == plan.arrays.len()
        && items.iter().enumerate().all(|(i, &(k, v))| {
            let (side::Node::Str(key), side::Node::Tensor(t)) =
                (&nodes[k as usize], &nodes[v as usize])
            else {
                return false;
            };
            let array = &plan.arrays[i];
            let plain = side::Tensor { array: i as u32, ..side::Tensor::default() };
            **t == plain
                && array.name == *key
                && !array.hidden
                && array.name != side::ARRAY_NAME
                && is_native(array.dtype)
                && !array.shape.is_empty()
        })
}
