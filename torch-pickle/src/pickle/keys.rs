//! Equality of dictionary keys and set members, as Python has it: `1 == True == 1.0`.
//!
//! Tuples are compared by classes: equal tuples get one number, computed once for each node. That
//! keeps a tuple that holds the same tuple many times, many levels deep, as cheap as it is small.

use std::borrow::Cow;
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

use super::text::{integer, negate};
use crate::table::{Hasher, IdTable};
use crate::{Node, NodeId, Tree};

/// Fewer keys than this are compared one by one; from here on there may be an index.
pub(super) const FEW: usize = 8;

/// What makes two keys equal.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
enum Key<'a> {
    None,
    Int(i64),
    BigInt(Cow<'a, [u8]>),
    /// Neither integral nor NaN: the bits.
    Float(u64),
    Str(Cow<'a, [u8]>),
    Bytes(Cow<'a, [u8]>),
    Tuple(Cow<'a, [u32]>),
    FrozenSet(Cow<'a, [u32]>),
    /// A tuple or frozen set, by the number of its class.
    Class(u32),
    Global(Cow<'a, str>, Cow<'a, str>),
    /// Equal only to itself.
    Identity(u32),
}

#[derive(Default)]
pub(super) struct Keys {
    hasher: Hasher,
    mixed: RandomState,
    classes: HashMap<Key<'static>, u32>,
    class_of: HashMap<NodeId, u32>,
}

impl Keys {
    /// Must be called before a node's place is used for another node.
    pub(super) fn forget(&mut self, id: NodeId) {
        if !self.class_of.is_empty() {
            self.class_of.remove(&id);
        }
    }

    /// Makes a node ready to be compared; the error is the name of a type that cannot be a key.
    pub(super) fn prepare(&mut self, tree: &Tree, id: NodeId) -> Result<(), &'static str> {
        if let Some(name) = unhashable(tree.node(id)) {
            return Err(name);
        }
        if !matches!(tree.node(id), Node::Tuple(_) | Node::FrozenSet(_)) {
            return Ok(());
        }
        let mut work = vec![id];
        while let Some(&id) = work.last() {
            if self.class_of.contains_key(&id) {
                work.pop();
                continue;
            }
            let node = tree.node(id);
            if let Some(name) = unhashable(node) {
                return Err(name);
            }
            let owned = match node {
                Node::Tuple(items) | Node::FrozenSet(items) => {
                    let before = work.len();
                    work.extend(items.iter().filter(|i| !self.class_of.contains_key(i)));
                    if work.len() > before {
                        continue;
                    }
                    let mut classes: Vec<u32> = items.iter().map(|i| self.class_of[i]).collect();
                    if matches!(node, Node::Tuple(_)) {
                        Key::Tuple(classes.into())
                    } else {
                        classes.sort_unstable();
                        classes.dedup();
                        Key::FrozenSet(classes.into())
                    }
                }
                _ => self.key(tree, id).owned(),
            };
            let fresh = self.classes.len() as u32;
            let class = *self.classes.entry(owned).or_insert(fresh);
            self.class_of.insert(id, class);
            work.pop();
        }
        Ok(())
    }

    fn key<'t>(&self, tree: &'t Tree, id: NodeId) -> Key<'t> {
        match tree.node(id) {
            Node::None => Key::None,
            Node::Bool(b) => Key::Int((*b).into()),
            Node::Int(n) => Key::Int(*n),
            Node::BigInt(bytes) => Key::BigInt(Cow::Borrowed(bytes)),
            Node::Float(f) if f.is_nan() => Key::Identity(id.place()),
            Node::Float(f) => match integral(*f) {
                Some(Node::Int(n)) => Key::Int(n),
                Some(Node::BigInt(bytes)) => Key::BigInt(Cow::Owned(bytes.into())),
                _ => Key::Float(f.to_bits()),
            },
            Node::Str(text) => Key::Str(Cow::Borrowed(text.as_bytes())),
            Node::SurrogateStr(bytes) => Key::Str(Cow::Borrowed(bytes)),
            Node::Bytes(bytes) => Key::Bytes(Cow::Borrowed(bytes)),
            Node::Global(g) => Key::Global(Cow::Borrowed(&g.module), Cow::Borrowed(&g.name)),
            Node::Tuple(_) | Node::FrozenSet(_) => match self.class_of.get(&id) {
                Some(class) => Key::Class(*class),
                None => Key::Identity(id.place()),
            },
            _ => Key::Identity(id.place()),
        }
    }

    pub(super) fn hash(&self, tree: &Tree, id: NodeId) -> u64 {
        match tree.node(id) {
            Node::Str(text) => self.hasher.hash(text.as_bytes()),
            Node::SurrogateStr(bytes) => self.hasher.hash(bytes),
            _ => self.mixed.hash_one(self.key(tree, id)),
        }
    }

    fn equal(&self, tree: &Tree, a: NodeId, b: NodeId) -> bool {
        match (tree.node(a), tree.node(b)) {
            _ if a == b => true,
            (Node::Str(a), Node::Str(b)) => a == b,
            (Node::Str(_), Node::Int(_)) | (Node::Int(_), Node::Str(_)) => false,
            _ => self.key(tree, a) == self.key(tree, b),
        }
    }

    /// The position of an equal key among `len`; each one and `key` must have been prepared. Where
    /// there is none, the table, if there is one, is told that the key will stand behind them.
    pub(super) fn place(
        &self,
        tree: &Tree,
        table: Option<&mut IdTable>,
        len: usize,
        key_at: impl Fn(usize) -> NodeId,
        key: NodeId,
    ) -> Option<usize> {
        match table {
            None => (0..len).find(|&i| self.equal(tree, key_at(i), key)),
            Some(table) => {
                let hash = self.hash(tree, key);
                let found = table.find(hash, |i| self.equal(tree, key_at(i as usize), key));
                if found.is_none() {
                    table.insert(hash, len as u32);
                }
                found.map(|i| i as usize)
            }
        }
    }
}

impl Key<'_> {
    fn owned(self) -> Key<'static> {
        match self {
            Key::None => Key::None,
            Key::Int(n) => Key::Int(n),
            Key::BigInt(b) => Key::BigInt(b.into_owned().into()),
            Key::Float(bits) => Key::Float(bits),
            Key::Str(b) => Key::Str(b.into_owned().into()),
            Key::Bytes(b) => Key::Bytes(b.into_owned().into()),
            Key::Tuple(c) => Key::Tuple(c.into_owned().into()),
            Key::FrozenSet(c) => Key::FrozenSet(c.into_owned().into()),
            Key::Class(c) => Key::Class(c),
            Key::Global(m, n) => Key::Global(m.into_owned().into(), n.into_owned().into()),
            Key::Identity(id) => Key::Identity(id),
        }
    }
}

fn unhashable(node: &Node) -> Option<&'static str> {
    match node {
        Node::List(_) => Some("list"),
        Node::Dict(_) => Some("dict"),
        Node::Set(_) => Some("set"),
        Node::ByteArray(_) => Some("bytearray"),
        _ => None,
    }
}

/// The integer equal to a float, if there is one.
fn integral(f: f64) -> Option<Node> {
    if !f.is_finite() || f.trunc() != f {
        return None;
    }
    // Within ±2^63 the conversion is exact, as no fraction is left.
    if (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&f) {
        return Some(Node::Int(f as i64));
    }
    let bits = f.to_bits();
    let exponent = (bits >> 52 & 0x7FF) as usize - 1075;
    let mantissa = u128::from(bits & ((1 << 52) - 1) | 1 << 52) << (exponent % 8);
    let mut bytes = vec![0; exponent / 8];
    bytes.extend(mantissa.to_le_bytes());
    if f < 0.0 {
        negate(&mut bytes);
    }
    Some(integer(&bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_compare_by_value() {
        assert_eq!(integral(3.0), Some(Node::Int(3)));
        assert_eq!(integral(-0.0), Some(Node::Int(0)));
        assert_eq!(integral(0.5), None);
        assert_eq!(integral(f64::INFINITY), None);
        let two_64 = Node::BigInt([0, 0, 0, 0, 0, 0, 0, 0, 1].into());
        assert_eq!(integral(18_446_744_073_709_551_616.0), Some(two_64));
        let minus = Node::BigInt([0, 0, 0, 0, 0, 0, 0, 0, 0xFF].into());
        assert_eq!(integral(-18_446_744_073_709_551_616.0), Some(minus));
        assert_eq!(integral(-9_223_372_036_854_775_808.0), Some(Node::Int(i64::MIN)));
    }

    #[test]
    fn tuples_compare_by_content_and_bombs_stay_small() {
        let mut tree = Tree::new();
        let mut ends = Vec::new();
        for _ in 0..2 {
            let mut id = tree.add(Node::Int(1));
            for _ in 0..60 {
                id = tree.add(Node::Tuple(vec![id; 4]));
            }
            ends.push(id);
        }
        let other = tree.add(Node::Tuple(vec![ends[0]]));
        let list = tree.add(Node::List(vec![]));
        let bad = tree.add(Node::Tuple(vec![list]));
        let mut keys = Keys::default();
        for id in [ends[0], ends[1], other] {
            keys.prepare(&tree, id).unwrap();
        }
        assert!(keys.equal(&tree, ends[0], ends[1]));
        assert!(!keys.equal(&tree, ends[0], other));
        assert_eq!(keys.prepare(&tree, bad), Err("list"));
    }
}
