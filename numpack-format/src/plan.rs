//! What a store will hold after the commit: the arrays it has, and what becomes of them.

use crate::bitmap::Bitmap;
use crate::dtype::DType;
use crate::metadata::{Metadata, Record, RecordRef, Source};
use crate::names::NameIndex;
use crate::side::{self, ArrayNote, SideInfo};
use crate::side_codec;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

/// An array of the store to be that is not what it was.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) record: Record,
    /// The new file, until the commit; `None` for an array whose file is kept.
    pub(crate) staged: Option<String>,
    /// Whether it was saved as a 0-d array.
    pub(crate) scalar: bool,
    pub(crate) bits: Bits,
    pub(crate) note: NoteOf,
}

/// Which rows will be live.
#[derive(Clone, Debug)]
pub(crate) enum Bits {
    /// Those that are now.
    Kept,
    /// All.
    All,
    /// These.
    New(Arc<Bitmap>),
}

/// Which note of the side information an array will have.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum NoteOf {
    /// The one of its name.
    Kept,
    /// One that says no more than what is stored.
    Fresh,
    /// The same, in the place of that one, whose array this was saved again as.
    FreshAt(usize),
    /// That one, which was another array's, or the array's own under another name.
    Moved(usize),
    /// A copy of that one.
    Copied(usize),
}

/// An array as it will be.
pub(crate) enum Current<'a> {
    /// As it is: the position of its record.
    Kept(usize, RecordRef<'a>),
    Entry(&'a Entry),
}

impl<'a> Current<'a> {
    pub(crate) fn dtype(&self) -> DType {
        match self {
            Current::Kept(_, r) => r.dtype,
            Current::Entry(e) => e.record.dtype,
        }
    }

    /// The name of the data file, or that of the new one until the commit.
    pub(crate) fn file(&self) -> &'a str {
        match self {
            Current::Kept(_, r) => r.data_file,
            Current::Entry(e) => e.staged.as_deref().unwrap_or(&e.record.data_file),
        }
    }

    pub(crate) fn is_staged(&self) -> bool {
        matches!(self, Current::Entry(e) if e.staged.is_some())
    }

    pub(crate) fn size_bytes(&self) -> u64 {
        match self {
            Current::Kept(_, r) => r.size_bytes,
            Current::Entry(e) => e.record.size_bytes,
        }
    }

    /// How many dimensions it has as stored.
    pub(crate) fn dims(&self) -> usize {
        match self {
            Current::Kept(_, r) => r.dims.len(),
            Current::Entry(e) => e.record.shape.len(),
        }
    }

    /// Dimension `i` as stored, which it must have: dropped rows count.
    pub(crate) fn dim(&self, i: usize) -> u64 {
        match self {
            Current::Kept(_, r) => u64::from_le_bytes(r.dims[i]),
            Current::Entry(e) => e.record.shape[i],
        }
    }

    /// Stored rows: dropped ones count. An array without dimensions has one.
    pub(crate) fn rows(&self) -> u64 {
        if self.dims() == 0 { 1 } else { self.dim(0) }
    }

    /// A copy that can be changed and put in its place.
    pub(crate) fn to_entry(&self) -> Entry {
        match self {
            Current::Entry(e) => (*e).clone(),
            Current::Kept(_, r) => Entry {
                record: r.to_record(),
                staged: None,
                scalar: false,
                bits: Bits::Kept,
                note: NoteOf::Kept,
            },
        }
    }
}

/// The arrays of the store to be, in order.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    base: Metadata,
    index: NameIndex,
    /// Arrays of the store that change, by position; `None`: goes.
    changed: BTreeMap<usize, Option<Entry>>,
    added: Vec<Option<Entry>>,
    added_at: HashMap<String, usize>,
}

impl Plan {
    /// A plan that keeps the arrays of a store.
    pub(crate) fn keep(base: Metadata, index: NameIndex) -> Plan {
        Plan { base, index, ..Plan::default() }
    }

    fn position(&self, name: &str) -> Option<usize> {
        self.index.find(name, |i| self.base.name(i))
    }

    pub(crate) fn get(&self, name: &str) -> Option<Current<'_>> {
        if let Some(&i) = self.added_at.get(name) {
            return self.added[i].as_ref().map(Current::Entry);
        }
        let i = self.position(name)?;
        match self.changed.get(&i) {
            None => Some(Current::Kept(i, self.base.get(i))),
            Some(changed) => changed.as_ref().map(Current::Entry),
        }
    }

    /// Adds an array, or puts it in the place of one of the same name; what had changed of that
    /// one before is returned.
    pub(crate) fn put(&mut self, entry: Entry) -> Option<Entry> {
        let name = &entry.record.name;
        if let Some(&i) = self.added_at.get(name) {
            return self.added[i].replace(entry);
        }
        match self.position(name) {
            // One that was dropped comes back at the end.
            Some(i) if !matches!(self.changed.get(&i), Some(None)) => {
                self.changed.insert(i, Some(entry)).flatten()
            }
            _ => {
                self.added_at.insert(name.clone(), self.added.len());
                self.added.push(Some(entry));
                None
            }
        }
    }

    /// Puts back what [`put`](Plan::put) returned for a name.
    pub(crate) fn restore(&mut self, name: &str, before: Option<Entry>) {
        if let Some(entry) = before {
            self.put(entry);
        } else if let Some(i) = self.position(name) {
            self.changed.remove(&i);
        }
    }

    /// Takes an array away: `None` if there is none, else what had changed of it.
    pub(crate) fn remove(&mut self, name: &str) -> Option<Option<Entry>> {
        if let Some(i) = self.added_at.remove(name) {
            return Some(self.added[i].take());
        }
        let i = self.position(name)?;
        match self.changed.insert(i, None) {
            Some(None) => None,
            Some(entry) => Some(entry),
            None => Some(None),
        }
    }

    /// Takes all arrays away, and gives what had changed of them.
    pub(crate) fn clear(&mut self) -> Vec<Entry> {
        let changed = std::mem::take(&mut self.changed).into_values().flatten();
        let entries =
            changed.chain(std::mem::take(&mut self.added).into_iter().flatten()).collect();
        self.added_at.clear();
        self.changed = (0..self.base.len()).map(|i| (i, None)).collect();
        entries
    }

    /// The arrays that are not what they were.
    pub(crate) fn entries(&self) -> impl Iterator<Item = &Entry> + Clone {
        self.changed.values().flatten().chain(self.added.iter().flatten())
    }

    /// The arrays whose file is kept and whose record changes: the position of it, and the array.
    pub(crate) fn changed(&self) -> impl Iterator<Item = (usize, &Entry)> {
        self.changed.iter().filter_map(|(&i, e)| Some((i, e.as_ref()?)))
    }

    /// All records, in order.
    pub(crate) fn records(&self) -> impl Iterator<Item = Source<'_>> {
        let kept = self.base.iter().enumerate().filter_map(|(i, r)| match self.changed.get(&i) {
            None => Some(Source::Kept(r)),
            Some(changed) => changed.as_ref().map(|e| Source::New(&e.record)),
        });
        kept.chain(self.added.iter().flatten().map(|e| Source::New(&e.record)))
    }

    /// New arrays: staged name, final name.
    pub(crate) fn staged(&self) -> impl Iterator<Item = (&str, &Record)> + Clone {
        self.entries().filter_map(|e| e.staged.as_deref().map(|s| (s, &e.record)))
    }

    /// Records of the store whose data files the plan does not keep.
    pub(crate) fn left(&self) -> impl Iterator<Item = RecordRef<'_>> {
        self.changed
            .iter()
            .filter(|(_, e)| e.as_ref().is_none_or(|e| e.staged.is_some()))
            .map(|(&i, _)| self.base.get(i))
    }

    /// Whether a commit would change anything but rows.
    pub(crate) fn is_unchanged(&self) -> bool {
        self.changed.is_empty() && self.added_at.is_empty()
    }

    /// Whether all that changes is that arrays without dropped rows grow.
    pub(crate) fn only_grows(&self) -> bool {
        let grows = |e: &Option<Entry>| {
            e.as_ref().is_some_and(|e| e.staged.is_none() && matches!(e.bits, Bits::Kept))
        };
        self.added_at.is_empty() && self.changed.values().all(grows)
    }

    /// Names of the store that no array has any more.
    pub(crate) fn dropped(&self) -> impl Iterator<Item = &str> {
        let gone = self.changed.iter().filter(|(_, e)| e.is_none()).map(|(&i, _)| self.base.get(i));
        gone.map(|r| r.name).filter(|n| !self.added_at.contains_key(*n))
    }

    /// Makes the notes of side information say what this plan changes: 0-d arrays get theirs, and
    /// a note on an array that was saved again, or dropped, is about the old one.
    ///
    /// Places in the list stay, for the nodes refer to them; only without nodes may notes go. A
    /// note on a dropped array says so, until an array of its name is saved. Where rows were
    /// appended or dropped, the note forgets the time of change, once.
    pub(crate) fn update_notes(&self, side: &mut SideInfo) {
        let mut places: HashMap<String, usize> = HashMap::new();
        for (i, n) in side.arrays.iter().enumerate() {
            if !n.dropped || !places.contains_key(&n.name) {
                places.insert(n.name.clone(), i);
            }
        }
        // Notes that another name has now.
        let mut moved = HashSet::new();
        let mut gone = HashSet::new();
        for e in self.entries() {
            let (NoteOf::Moved(i) | NoteOf::Copied(i) | NoteOf::FreshAt(i)) = e.note else {
                continue;
            };
            let Some(old) = side.arrays.get(i) else { continue };
            if e.note == NoteOf::FreshAt(i) {
                side.arrays[i] = ArrayNote { hidden: old.hidden, ..note(e) };
                moved.insert(i);
                if !e.scalar && side.nodes.is_empty() {
                    gone.insert(i);
                }
                continue;
            }
            let mut note = ArrayNote {
                name: e.record.name.clone(),
                modified: Some(e.record.modified_micros),
                ..old.clone()
            };
            if e.note == NoteOf::Moved(i) {
                side.arrays[i] = note;
                moved.insert(i);
            } else {
                note.hidden = false;
                side.arrays.push(note);
            }
        }
        let own = |name: &str| places.get(name).copied().filter(|i| !moved.contains(i));
        let renamed = self.entries().filter(|e| !matches!(e.note, NoteOf::Kept | NoteOf::Fresh));
        let renamed = renamed.map(|e| &e.record.name[..]);
        // The notes of arrays that are gone, and of those whose name another array has taken.
        for i in self.dropped().chain(renamed).filter_map(own) {
            if side.nodes.is_empty() {
                gone.insert(i);
            } else {
                side.arrays[i].dropped = true;
                side.arrays[i].modified = None;
            }
        }
        for e in self.entries().filter(|e| e.record.name != side::ARRAY_NAME) {
            match (e.note, own(&e.record.name)) {
                (NoteOf::Kept, Some(i)) => side.arrays[i].modified = None,
                (NoteOf::Fresh, Some(i)) => {
                    let hidden = side.arrays[i].hidden;
                    side.arrays[i] = ArrayNote { hidden, ..note(e) };
                    if !e.scalar && side.nodes.is_empty() {
                        gone.insert(i);
                    }
                }
                (NoteOf::Fresh, None) if e.scalar => side.arrays.push(note(e)),
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
            n.modified = match self.get(&n.name).filter(|_| !n.dropped) {
                Some(Current::Entry(e)) if misfit(n, &e.record).is_none() => {
                    Some(e.record.modified_micros)
                }
                Some(Current::Kept(_, r))
                    if side_codec::misfit(n, r.dtype, &r.shape()).is_none() =>
                {
                    Some(r.modified_micros)
                }
                _ => None,
            };
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
                Some(Current::Kept(_, r)) => side_codec::misfit(n, r.dtype, &r.shape()),
                Some(Current::Entry(e)) => misfit(n, &e.record),
            };
            problem.map(|p| (&n.name[..], p))
        })
    }
}

fn misfit(note: &ArrayNote, record: &Record) -> Option<String> {
    side_codec::misfit(note, record.dtype, &record.shape)
}

/// A note that says no more than what is stored, and whether it is 0-d.
pub(crate) fn note(e: &Entry) -> ArrayNote {
    ArrayNote {
        name: e.record.name.clone(),
        stored: e.record.dtype.code(),
        trailing: e.record.shape.get(1..).unwrap_or_default().to_vec(),
        scalar: e.scalar,
        modified: Some(e.record.modified_micros),
        ..ArrayNote::default()
    }
}
