//! Filling lists, dictionaries and sets.

use super::keys::FEW;
use super::machine::Machine;
use crate::error::Fault;
use crate::table::IdTable;
use crate::{Node, NodeId};

impl Machine<'_> {
    pub(super) fn append(&mut self, target: NodeId, items: &[NodeId]) -> Result<(), Fault> {
        match self.tree.node_mut(target) {
            Node::List(list) => list.extend_from_slice(items),
            Node::Object(object) => object.appended.extend_from_slice(items),
            _ => return self.fail("items are appended to what is no list"),
        }
        Ok(())
    }

    pub(super) fn add_items(&mut self, target: NodeId, items: &[NodeId]) -> Result<(), Fault> {
        match self.tree.node_mut(target) {
            Node::Set(_) => self.add_members(target, items),
            Node::Object(object) => {
                object.appended.extend_from_slice(items);
                Ok(())
            }
            _ => self.fail("members are added to what is no set"),
        }
    }

    fn prepare(&mut self, key: NodeId, what: &str) -> Result<(), Fault> {
        match self.keys.prepare(&self.tree, key) {
            Ok(()) => Ok(()),
            Err(kind) => self.fail(format!("a {kind} cannot be {what}")),
        }
    }

    /// Adds members to a set that are not in it yet.
    pub(super) fn add_members(&mut self, set: NodeId, items: &[NodeId]) -> Result<(), Fault> {
        let mut table = self.indexes.remove(&set);
        for &item in items {
            self.prepare(item, "a member of a set")?;
            let Node::Set(members) = self.tree.node(set) else { continue };
            let len = members.len();
            let at = |i: usize| members[i];
            self.ensure_index(&mut table, len, at);
            if self.keys.place(&self.tree, table.as_mut(), len, at, item).is_some() {
                continue;
            }
            if let Node::Set(members) = self.tree.node_mut(set) {
                members.push(item);
            }
        }
        self.indexes.extend(table.map(|t| (set, t)));
        Ok(())
    }

    /// Gives a collection of `len` keys an index, unless it is small.
    fn ensure_index(
        &self,
        table: &mut Option<IdTable>,
        len: usize,
        key_at: impl Fn(usize) -> NodeId,
    ) {
        if table.is_some() || len < FEW {
            return;
        }
        let mut fresh = IdTable::default();
        for i in 0..len {
            fresh.insert(self.keys.hash(&self.tree, key_at(i)), i as u32);
        }
        *table = Some(fresh);
    }

    /// Sets keys to values, given alternately.
    pub(super) fn set_items(&mut self, target: NodeId, items: &[NodeId]) -> Result<(), Fault> {
        if items.len() % 2 == 1 {
            return self.fail("a key without a value");
        }
        let pairs = items.chunks_exact(2).map(|p| (p[0], p[1]));
        match self.tree.node_mut(target) {
            Node::Object(object) => {
                object.items.extend(pairs);
                return Ok(());
            }
            Node::Dict(_) => {}
            _ => return self.fail("items are set on what is no dict"),
        }
        let mut table = self.indexes.remove(&target);
        if let Some(table) = &mut table {
            table.reserve(items.len() / 2);
        }
        if let Node::Dict(dict) = self.tree.node_mut(target) {
            dict.items.reserve(items.len() / 2);
        }
        for (key, value) in pairs {
            self.prepare(key, "the key of a dict")?;
            let Node::Dict(dict) = self.tree.node(target) else { continue };
            let at = |i: usize| dict.items[i].0;
            let len = dict.items.len();
            self.ensure_index(&mut table, len, at);
            let place = self.keys.place(&self.tree, table.as_mut(), len, at, key);
            if let Node::Dict(dict) = self.tree.node_mut(target) {
                match place {
                    Some(i) => dict.items[i].1 = value,
                    None => dict.items.push((key, value)),
                }
            }
        }
        self.indexes.extend(table.map(|t| (target, t)));
        Ok(())
    }

    /// Takes a node out of its place, which may be used again.
    pub(super) fn take_node(&mut self, id: NodeId) -> Node {
        self.indexes.remove(&id);
        self.free.push(id);
        std::mem::replace(self.tree.node_mut(id), Node::None)
    }

    /// Turns a set that nobody refers to yet into a frozen one.
    pub(super) fn freeze(&mut self, id: NodeId) {
        self.indexes.remove(&id);
        let node = self.tree.node_mut(id);
        if let Node::Set(members) = node {
            *node = Node::FrozenSet(std::mem::take(members));
        }
    }
}
