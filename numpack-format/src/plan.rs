//! What a store will hold after the commit.

use crate::metadata::Record;
use crate::side::{self, ArrayNote, SideInfo};
use crate::side_codec;
use std::collections::{HashMap, HashSet};

/// An array of the store to be.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) record: Record,
    /// The new file, until the commit; `None` for an array that is kept.
    pub(crate) staged: Option<String>,
    /// Whether it was saved as a 0-d array.
    pub(crate) scalar: bool,
}

/// The arrays of the store to be, in order.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    entries: Vec<Option<Entry>>,
    index: HashMap<String, usize>,
    /// Names that were kept and are not any more.
    dropped: HashSet<String>,
}

impl Plan {
    /// A plan that keeps these arrays.
    pub(crate) fn keep(records: impl Iterator<Item = Record>) -> Plan {
        let mut plan = Plan::default();
        for record in records {
            plan.put(Entry { record, staged: None, scalar: false });
        }
        plan
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Entry> {
        self.index.get(name).and_then(|&i| self.entries[i].as_ref())
    }

    /// Adds an array, or puts it in the place of one of the same name, which is returned.
    pub(crate) fn put(&mut self, entry: Entry) -> Option<Entry> {
        match self.index.get(&entry.record.name) {
            Some(&i) => self.entries[i].replace(entry),
            None => {
                self.index.insert(entry.record.name.clone(), self.entries.len());
                self.entries.push(Some(entry));
                None
            }
        }
    }

    pub(crate) fn remove(&mut self, name: &str) -> Option<Entry> {
        let entry = self.index.remove(name).and_then(|i| self.entries[i].take())?;
        self.dropped.insert(name.to_owned());
        Some(entry)
    }

    /// Takes all arrays away.
    pub(crate) fn clear(&mut self) -> Vec<Entry> {
        self.index.clear();
        let entries: Vec<Entry> = std::mem::take(&mut self.entries).into_iter().flatten().collect();
        self.dropped.extend(entries.iter().map(|e| e.record.name.clone()));
        entries
    }

    pub(crate) fn entries(&self) -> impl Iterator<Item = &Entry> + Clone {
        self.entries.iter().flatten()
    }

    /// The records, in order.
    pub(crate) fn records(&self) -> impl Iterator<Item = &Record> + Clone {
        self.entries().map(|e| &e.record)
    }

    /// New arrays: staged name, final name.
    pub(crate) fn staged(&self) -> impl Iterator<Item = (&str, &Record)> + Clone {
        self.entries().filter_map(|e| e.staged.as_deref().map(|s| (s, &e.record)))
    }

    /// Whether a commit would change anything.
    pub(crate) fn is_unchanged(&self) -> bool {
        self.dropped.is_empty() && self.staged().next().is_none()
    }

    /// Names whose bitmap, if there is one, is about rows that are gone.
    pub(crate) fn touched(&self) -> impl Iterator<Item = &str> {
        self.dropped.iter().map(|n| &n[..]).chain(self.staged().map(|(_, r)| &r.name[..]))
    }

    /// Makes the notes of side information say what this plan changes: 0-d arrays get theirs, and
    /// a note on an array that was saved again, or dropped, is about the old one.
    ///
    /// Places in the list stay, for the nodes refer to them; only without nodes may notes go. A
    /// note on a dropped array says so, until an array of its name is saved.
    pub(crate) fn update_notes(&self, side: &mut SideInfo) {
        let mut places: HashMap<String, usize> = HashMap::new();
        for (i, n) in side.arrays.iter().enumerate() {
            if !n.dropped || !places.contains_key(&n.name) {
                places.insert(n.name.clone(), i);
            }
        }
        let mut gone = HashSet::new();
        for name in self.touched().filter(|n| *n != side::ARRAY_NAME) {
            let entry = self.get(name);
            match (entry, places.get(name)) {
                (Some(e), Some(&i)) => {
                    let hidden = side.arrays[i].hidden;
                    side.arrays[i] = ArrayNote { hidden, ..note(e) };
                    if !e.scalar && side.nodes.is_empty() {
                        gone.insert(i);
                    }
                }
                (Some(e), None) if e.scalar => {
                    places.insert(name.to_owned(), side.arrays.len());
                    side.arrays.push(note(e));
                }
                (None, Some(&i)) if side.nodes.is_empty() => {
                    gone.insert(i);
                }
                (None, Some(&i)) => {
                    side.arrays[i].dropped = true;
                    side.arrays[i].modified = None;
                }
                _ => {}
            }
        }
        let mut i = 0;
        side.arrays.retain(|_| {
            i += 1;
            !gone.contains(&(i - 1))
        });
    }

    /// Notes when each array that a note fits was last changed.
    pub(crate) fn date_notes(&self, side: &mut SideInfo) {
        for n in &mut side.arrays {
            let entry = self.get(&n.name).map(|e| &e.record);
            n.modified = entry
                .filter(|r| !n.dropped && side_codec::misfit(n, r.dtype, &r.shape).is_none())
                .map(|r| r.modified_micros);
        }
    }

    /// Adds what 0-d arrays need to side information that the caller wrote.
    pub(crate) fn add_scalars(&self, side: &mut SideInfo) {
        let mut scalars: HashMap<&str, &Entry> =
            self.entries().filter(|e| e.scalar).map(|e| (&e.record.name[..], e)).collect();
        for n in side.arrays.iter_mut().filter(|n| !n.dropped) {
            n.scalar |= scalars.remove(&n.name[..]).is_some();
        }
        // In the plan's order, so that the same calls give the same bytes.
        side.arrays
            .extend(self.entries().filter(|e| scalars.contains_key(&e.record.name[..])).map(note));
    }

    /// Why the first note that fits no array does not: its array, and the reason.
    pub(crate) fn misfit<'a>(&self, side: &'a SideInfo) -> Option<(&'a str, String)> {
        side.arrays.iter().filter(|n| !n.dropped).find_map(|n| {
            let problem = match self.get(&n.name) {
                None => Some("the store will hold no such array".to_owned()),
                Some(e) => side_codec::misfit(n, e.record.dtype, &e.record.shape),
            };
            problem.map(|p| (&n.name[..], p))
        })
    }
}

/// A note that says no more than what is stored, and whether it is 0-d.
fn note(e: &Entry) -> ArrayNote {
    ArrayNote {
        name: e.record.name.clone(),
        stored: e.record.dtype.code(),
        trailing: e.record.shape.get(1..).unwrap_or_default().to_vec(),
        scalar: e.scalar,
        modified: Some(e.record.modified_micros),
        ..ArrayNote::default()
    }
}
