//! The final names and the side information: for a new store, or merged into one that is there.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};

use crate::error::Result;
use numpack_format::side::{self, ArrayNote, NodeRef, SideInfo};
use numpack_format::{ArrayInfo, Store};

use super::encode::Encoded;
use super::plan::{HIDDEN_PREFIX, PlannedArray};
use crate::dtype::{is_native, stored_form};
use crate::keys::{Classes, OfTable, Parts, Shape, number};
use crate::tensors::Unique;

/// Everything a commit changes.
pub(super) struct Layout {
    /// The name of each planned array, in their order.
    pub(super) names: Vec<String>,
    pub(super) side: Option<SideInfo>,
    /// Arrays whose place in the object was taken.
    pub(super) remove: Vec<String>,
}

/// The shape in which a store holds an array, and whether it is logically 0-d.
pub(crate) fn stored_shape(array: &PlannedArray) -> (Vec<u64>, bool) {
    let (_, pair) = stored_form(array.dtype);
    let mut shape = array.shape.clone();
    if pair {
        shape.push(2);
    }
    let scalar = shape.is_empty();
    if scalar {
        shape.push(1);
    }
    (shape, scalar)
}

/// For a store that holds nothing yet.
pub(super) fn fresh(encoded: Encoded) -> (Layout, Vec<PlannedArray>) {
    let arrays = encoded.plan.arrays;
    let names = pick_names(&arrays, Unique::default());
    let side = (!encoded.is_plain).then(|| SideInfo {
        arrays: notes(&arrays, &names),
        nodes: encoded.nodes,
        root: Some(encoded.root),
    });
    (Layout { names, side, remove: Vec::new() }, arrays)
}

/// For a store that holds arrays: the new object's entries join or replace those of the old one.
///
/// What is no dict counts as a dict of one entry; `root_name` names the new one's.
pub(super) fn merged(
    store: &Store,
    encoded: Encoded,
    root_name: &str,
) -> Result<(Layout, Vec<PlannedArray>)> {
    let arrays = encoded.plan.arrays;
    let mut old_side = store.side().cloned().unwrap_or_default();
    refresh(store, &mut old_side)?;
    if encoded.is_plain && old_side.root.is_none() {
        // Arrays alone say it all, and stay so; what replaces an array loses its note.
        let names: Vec<String> = arrays.iter().map(|a| a.name.clone()).collect();
        let replaced: HashSet<&str> = names.iter().map(String::as_str).collect();
        let kept: Vec<ArrayNote> = old_side
            .arrays
            .into_iter()
            .enumerate()
            .filter(|(i, n)| store.note_fits(*i) && !replaced.contains(n.name.as_str()))
            .map(|(_, n)| n)
            .collect();
        let side = (!kept.is_empty()).then(|| SideInfo { arrays: kept, ..SideInfo::default() });
        return Ok((Layout { names, side, remove: Vec::new() }, arrays));
    }

    let mut table = Table { nodes: old_side.nodes, notes: old_side.arrays };
    let infos = store.arrays()?;
    let old = table.entries_of_store(infos, old_side.root);
    let first_new_note = table.notes.len() as u32;
    let new_root = table.append(encoded.nodes, encoded.root, first_new_note);
    // Names are chosen below; until then a note's place is what identifies it.
    let placeholder: Vec<String> = arrays.iter().map(|a| a.name.clone()).collect();
    table.notes.extend(notes(&arrays, &placeholder));
    let new = table.entries(new_root, root_name);

    let mut items = old.items;
    let (mut classes, mut of_table) = (Classes::default(), OfTable::default());
    let mut class = |key: NodeRef| classes.of(&mut of_table, key, |n| parts_of(&table.nodes, n));
    let mut known: HashMap<u32, usize> = HashMap::new();
    for (i, &(key, _)) in items.iter().enumerate() {
        known.insert(class(key), i);
    }
    for (key, value) in new.items {
        match known.entry(class(key)) {
            Entry::Occupied(at) => items[*at.get()].1 = value,
            Entry::Vacant(free) => {
                free.insert(items.len());
                items.push((key, value));
            }
        }
    }
    table.nodes.push(if old.ordered || new.ordered {
        side::Node::OrderedDict(items, new.attributes.or(old.attributes))
    } else {
        side::Node::Dict(items)
    });
    let root = (table.nodes.len() - 1) as NodeRef;
    let (nodes, root, used) = table.reachable(root);

    let old_used: HashSet<&str> = used
        .iter()
        .filter(|&&n| n < first_new_note)
        .map(|&n| table.notes[n as usize].name.as_str())
        .collect();
    let remove: Vec<String> = infos
        .iter()
        .map(|a| a.name.clone())
        .filter(|name| !old_used.contains(name.as_str()))
        .collect();
    let mut taken = Unique::default();
    old_used.iter().for_each(|name| taken.take(*name));
    let names = pick_names(&arrays, taken);
    // A name that is written again needs no removal.
    let written: HashSet<&String> = names.iter().collect();
    let remove = remove.into_iter().filter(|n| !written.contains(n)).collect();
    for (note, name) in table.notes[first_new_note as usize..].iter_mut().zip(&names) {
        note.name.clone_from(name);
    }
    let side = Some(renumber(nodes, root, table.notes, &used));
    Ok((Layout { names, side, remove }, arrays))
}

/// Brings notes of arrays that another program changed up to date: they are what the store says
/// they are, and nothing is a view of them any more.
fn refresh(store: &Store, side: &mut SideInfo) -> Result<()> {
    let mut stale = HashSet::new();
    for (i, note) in side.arrays.iter_mut().enumerate() {
        if note.dropped || store.note_fits(i) {
            continue;
        }
        stale.insert(i as u32);
        match store.info(&note.name)? {
            None => note.dropped = true,
            Some(info) => *note = ArrayNote { hidden: note.hidden, ..plain_note(info) },
        }
    }
    for node in &mut side.nodes {
        if let side::Node::Tensor(tensor) = node
            && stale.contains(&tensor.array)
        {
            tensor.view = None;
        }
    }
    Ok(())
}

/// The note of an array that is what it is stored as.
fn plain_note(info: &ArrayInfo) -> ArrayNote {
    ArrayNote {
        name: info.name.clone(),
        stored: info.dtype.code(),
        trailing: info.shape.get(1..).unwrap_or_default().to_vec(),
        ..ArrayNote::default()
    }
}

fn notes(arrays: &[PlannedArray], names: &[String]) -> Vec<ArrayNote> {
    arrays
        .iter()
        .zip(names)
        .map(|(array, name)| {
            let (shape, scalar) = stored_shape(array);
            ArrayNote {
                name: name.clone(),
                stored: stored_form(array.dtype).0.code(),
                trailing: shape[1..].to_vec(),
                dtype: (!is_native(array.dtype)).then(|| array.dtype.name().to_owned()),
                scalar,
                hidden: array.hidden,
                ..ArrayNote::default()
            }
        })
        .collect()
}

/// A name for each array that no other has.
fn pick_names(arrays: &[PlannedArray], mut names: Unique) -> Vec<String> {
    names.take(side::ARRAY_NAME);
    arrays.iter().map(|array| names.pick(array.name.clone())).collect()
}

/// The entries of an object, as those of a dict.
struct Entries {
    ordered: bool,
    items: Vec<(NodeRef, NodeRef)>,
    attributes: Option<NodeRef>,
}

/// Nodes and notes of both objects.
struct Table {
    nodes: Vec<side::Node>,
    notes: Vec<ArrayNote>,
}

impl Table {
    fn push(&mut self, node: side::Node) -> NodeRef {
        self.nodes.push(node);
        (self.nodes.len() - 1) as NodeRef
    }

    /// Adds nodes of another table and returns where `root` came to stand.
    fn append(&mut self, nodes: Vec<side::Node>, root: NodeRef, first_note: u32) -> NodeRef {
        let base = self.nodes.len() as NodeRef;
        self.nodes.extend(nodes.into_iter().map(|mut node| {
            node.for_each_node_mut(|n| *n += base);
            node.for_each_array_mut(|a| *a += first_note);
            node
        }));
        base + root
    }

    /// The object as entries of a dict.
    fn entries(&mut self, root: NodeRef, root_name: &str) -> Entries {
        let plain = |items| Entries { ordered: false, items, attributes: None };
        match &self.nodes[root as usize] {
            side::Node::Dict(items) => plain(items.clone()),
            side::Node::OrderedDict(items, attributes) => {
                Entries { ordered: true, items: items.clone(), attributes: *attributes }
            }
            _ => {
                let key = self.push(side::Node::Str(root_name.to_owned()));
                plain(vec![(key, root)])
            }
        }
    }

    /// The object of a store, and its arrays that are no part of it.
    fn entries_of_store(&mut self, infos: &[ArrayInfo], root: Option<NodeRef>) -> Entries {
        let mut entries = match root {
            Some(root) => {
                let name = match &self.nodes[root as usize] {
                    side::Node::Tensor(t) => self.notes[t.array as usize].name.clone(),
                    _ => "value".to_owned(),
                };
                self.entries(root, &name)
            }
            None => Entries { ordered: false, items: Vec::new(), attributes: None },
        };
        let mut referenced = vec![false; self.notes.len()];
        for node in &mut self.nodes {
            node.for_each_array_mut(|a| referenced[*a as usize] = true);
        }
        let at: HashMap<String, usize> = self
            .notes
            .iter()
            .enumerate()
            .filter(|(_, n)| !n.dropped)
            .map(|(i, n)| (n.name.clone(), i))
            .collect();
        for info in infos {
            let array = match at.get(&info.name) {
                Some(&i) if referenced[i] || self.notes[i].hidden => continue,
                Some(&i) => i as u32,
                None => {
                    let hidden = info.name.starts_with(HIDDEN_PREFIX);
                    self.notes.push(ArrayNote { hidden, ..plain_note(info) });
                    (self.notes.len() - 1) as u32
                }
            };
            let key = self.push(side::Node::Str(info.name.clone()));
            let value = self.push(side::Node::Tensor(Box::new(side::Tensor {
                array,
                ..side::Tensor::default()
            })));
            entries.items.push((key, value));
        }
        entries
    }

    /// The nodes that `root` leads to, renumbered, and the notes they use.
    fn reachable(&self, root: NodeRef) -> (Vec<side::Node>, NodeRef, Vec<u32>) {
        let mut place = vec![NodeRef::MAX; self.nodes.len()];
        let mut order = Vec::new();
        let mut stack = vec![root];
        while let Some(at) = stack.pop() {
            if place[at as usize] != NodeRef::MAX {
                continue;
            }
            place[at as usize] = order.len() as NodeRef;
            order.push(at);
            let first = stack.len();
            self.nodes[at as usize].clone().for_each_node_mut(|n| stack.push(*n));
            stack[first..].reverse();
        }
        let mut used = Vec::new();
        let mut seen = vec![false; self.notes.len()];
        let nodes = order
            .iter()
            .map(|&at| {
                let mut node = self.nodes[at as usize].clone();
                node.for_each_node_mut(|n| *n = place[*n as usize]);
                node.for_each_array_mut(|a| {
                    if !std::mem::replace(&mut seen[*a as usize], true) {
                        used.push(*a);
                    }
                });
                node
            })
            .collect();
        used.sort_unstable();
        (nodes, place[root as usize], used)
    }
}

/// Keeps only the notes in use.
fn renumber(
    mut nodes: Vec<side::Node>,
    root: NodeRef,
    notes: Vec<ArrayNote>,
    used: &[u32],
) -> SideInfo {
    let place: HashMap<u32, u32> =
        used.iter().enumerate().map(|(new, &old)| (old, new as u32)).collect();
    for node in &mut nodes {
        node.for_each_array_mut(|a| *a = place[a]);
    }
    let mut kept = Vec::with_capacity(used.len());
    for (i, note) in notes.into_iter().enumerate() {
        if place.contains_key(&(i as u32)) {
            kept.push(note);
        }
    }
    SideInfo { arrays: kept, nodes, root: Some(root) }
}

/// What a key is made of.
fn parts_of(nodes: &[side::Node], at: NodeRef) -> Parts {
    let plain = |text: Vec<u8>| Parts::Whole(Shape::Plain(text));
    match &nodes[at as usize] {
        side::Node::None => plain(b"None".to_vec()),
        side::Node::Bool(b) => Parts::Whole(number(0.0, Some(i64::from(*b)))),
        side::Node::Int(i) => Parts::Whole(number(0.0, Some(*i))),
        side::Node::Float(f) => Parts::Whole(number(f.0, None)),
        side::Node::BigInt(b) => plain([b"n", &b.0[..]].concat()),
        side::Node::Str(s) => plain([b"s", s.as_bytes()].concat()),
        side::Node::SurrogateStr(s) => plain([b"s", &s.0[..]].concat()),
        side::Node::Bytes(b) => plain([b"b", &b.0[..]].concat()),
        side::Node::Global(module, name) => plain(format!("g{module}.{name}").into_bytes()),
        side::Node::Tuple(parts) => Parts::Sequence("tuple", parts.clone()),
        side::Node::FrozenSet(parts) => Parts::Set(parts.clone()),
        // An object or a tensor is equal to itself alone: a word of its own for each.
        _ => plain(format!("#{at}").into_bytes()),
    }
}
