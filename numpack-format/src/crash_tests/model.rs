//! A file system as the standards have it, with what a power loss may leave of it.
//!
//! What is durable:
//!
//! - The bytes and the length of a file as of its last `fsync` or `fdatasync`. The latter leaves
//!   out what is not needed to read the data, here the permissions (fdatasync(2)).
//! - The entries of a folder as of its last `fsync`: syncing a file says nothing of its name
//!   (fsync(2)), nor does syncing a folder of that folder's own name.
//! - Everything as of the last `syncfs`.
//!
//! Of what came later, a power loss leaves any choice:
//!
//! - Each write to a file may be there, or not, or half of it (either half); one that made the
//!   file longer may have done only that, with zeros or with garbage for bytes. Each cut may be
//!   there or not. POSIX orders none of them, and file systems with delayed allocation do not.
//! - Each change of a folder's entries may be there or not. One change is whole: rename(2) and
//!   `RENAME_EXCHANGE` within a folder are atomic, and a name that is replaced always stands for
//!   the old or the new file. A change to a name depends on the one before it to that name:
//!   no file system keeps "t became m" without "t was made".
//! - A move from one folder to another is two changes. Either may be there without the other,
//!   though a file that has lost its old name has the new one, unless the old folder was synced
//!   and the new one was not: such a sync promises that the name is gone from the folder, and
//!   nothing in POSIX promises more. Journals (ext4, XFS) and checkpoints (F2FS) keep moves whole,
//!   and so does the tree of Btrfs; the log tree that it replays after an `fsync` has in the past
//!   come back with both names, or with one.
//!
//! A file system may be kinder and keep changes of a folder in order ([`Order::Kept`]: ext4, XFS
//! and F2FS by their journals, ext2 hardly), or not ([`Order::Any`]). The choices of the former are
//! all among those of the latter; where these are too many to try all, both are gone through.
//!
//! What a failed `fsync` of a file covered may be there or not for good, for Linux takes the pages
//! for clean then, and a later `fsync` succeeds without writing them (fsync(2), `EIO`). A folder
//! whose sync failed is synced by the next one that succeeds: metadata that cannot be written ends
//! in a file system that takes no more changes, not in one that forgets some.
//!
//! Not in the model: a folder's entry whose file does not exist, a file with another's bytes
//! (other than as garbage at its new end), and durable bytes that go bad.

use crate::fault::record::Op;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

/// A file or folder, whatever its names.
pub(super) type Id = usize;

/// Whether changes of a folder's entries reach the disk in order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Order {
    Kept,
    Any,
}

/// A file system, and what of it is not durable yet.
#[derive(Clone, Debug)]
pub(super) struct Model {
    pub(super) nodes: Vec<Node>,
    by_inode: HashMap<u64, Id>,
    pub(super) root: Id,
    /// Numbers the changes.
    seq: u64,
}

#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) mode: u32,
    pub(super) pending: Vec<Change>,
    pub(super) kind: Kind,
}

#[derive(Clone, Debug)]
pub(super) enum Kind {
    /// Durable bytes.
    File(Vec<u8>),
    Folder(Folder),
}

/// A change of a file, or of a folder's permissions.
#[derive(Clone, Debug)]
pub(super) struct Change {
    pub(super) seq: u64,
    pub(super) what: What,
    pub(super) fate: Fate,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Fate {
    /// No sync has come yet.
    Open,
    /// A sync of it failed.
    Lost,
    /// Durable, and made after one that is not.
    Durable,
}

#[derive(Clone, Debug)]
pub(super) enum What {
    Write { at: u64, bytes: Vec<u8> },
    Cut(u64),
    Mode(u32),
}

#[derive(Clone, Debug, Default)]
pub(super) struct Folder {
    pub(super) durable: BTreeMap<String, Id>,
    now: BTreeMap<String, Id>,
    pub(super) pending: Vec<EntryChange>,
}

/// A change of a folder's entries.
#[derive(Clone, Debug)]
pub(super) struct EntryChange {
    pub(super) seq: u64,
    /// What the names stand for then.
    pub(super) set: Vec<(String, Option<Id>)>,
    /// A folder whose change of the same number must be there too.
    pub(super) needs: Option<Id>,
}

/// How much of a change of a file is there after a crash.
pub(super) const NOTHING: u8 = 0;
pub(super) const ALL: u8 = 1;
const FIRST_HALF: u8 = 2;
const SECOND_HALF: u8 = 3;
const ONLY_LENGTH: u8 = 4;
const GARBAGE: u8 = 5;

impl What {
    /// How many choices there are, from [`NOTHING`] on.
    pub(super) fn choices(&self) -> u8 {
        match self {
            What::Write { bytes, .. } if !bytes.is_empty() => GARBAGE + 1,
            _ => ALL + 1,
        }
    }

    /// Makes the change, or as much of it as was chosen.
    pub(super) fn apply(&self, choice: u8, file: &mut Vec<u8>, permissions: &mut u32) {
        if choice == NOTHING {
            return;
        }
        let (at, bytes) = match self {
            What::Write { at, bytes } => (*at as usize, bytes),
            What::Cut(len) => return file.resize(*len as usize, 0),
            What::Mode(mode) => {
                *permissions = *mode;
                return;
            }
        };
        let (before, half) = (file.len(), bytes.len() / 2);
        let end = at + bytes.len();
        let part = match choice {
            FIRST_HALF => 0..half,
            SECOND_HALF => half..bytes.len(),
            ONLY_LENGTH | GARBAGE => 0..0,
            _ => 0..bytes.len(),
        };
        // Half of a write may be all there is of it, or the half of which the blocks were written.
        let len = if choice == FIRST_HALF { at + half } else { end };
        file.resize(before.max(len), 0);
        if choice == GARBAGE {
            file[before.max(at).min(end)..end].fill(0xdb);
        }
        file[at + part.start..at + part.end].copy_from_slice(&bytes[part]);
    }
}

impl Model {
    /// All that is below a folder, durable.
    pub(super) fn of(root: &Path) -> Model {
        let (nodes, by_inode) = (Vec::new(), HashMap::new());
        let mut model = Model { nodes, by_inode, root: 0, seq: 0 };
        model.root = model.read(root);
        model
    }

    fn read(&mut self, path: &Path) -> Id {
        use std::os::unix::fs::MetadataExt;
        let stat = std::fs::symlink_metadata(path).unwrap();
        if let Some(id) = self.by_inode.get(&stat.ino()).filter(|_| stat.is_file()) {
            return *id;
        }
        let kind = if stat.is_dir() {
            let mut durable = BTreeMap::new();
            for entry in std::fs::read_dir(path).unwrap() {
                let entry = entry.unwrap();
                durable.insert(entry.file_name().into_string().unwrap(), self.read(&entry.path()));
            }
            Kind::Folder(Folder { now: durable.clone(), durable, pending: Vec::new() })
        } else {
            Kind::File(std::fs::read(path).unwrap())
        };
        self.add(stat.ino(), stat.mode() & 0o7777, kind)
    }

    fn add(&mut self, inode: u64, mode: u32, kind: Kind) -> Id {
        let id = self.nodes.len();
        self.nodes.push(Node { mode, pending: Vec::new(), kind });
        self.by_inode.insert(inode, id);
        id
    }

    fn id(&self, inode: u64) -> Id {
        *self.by_inode.get(&inode).expect("the log names what it has seen")
    }

    fn folder(&mut self, id: Id) -> &mut Folder {
        match &mut self.nodes[id].kind {
            Kind::Folder(folder) => folder,
            Kind::File(_) => panic!("the log changes entries of a file"),
        }
    }

    fn look_up(&mut self, folder: Id, name: &str) -> Option<Id> {
        self.folder(folder).now.get(name).copied()
    }

    fn set(&mut self, folder: Id, set: Vec<(String, Option<Id>)>, needs: Option<Id>) {
        let seq = self.seq;
        let folder = self.folder(folder);
        for (name, id) in &set {
            match id {
                Some(id) => folder.now.insert(name.clone(), *id),
                None => folder.now.remove(name),
            };
        }
        folder.pending.push(EntryChange { seq, set, needs });
    }

    fn change(&mut self, inode: u64, what: What) {
        let (id, seq) = (self.id(inode), self.seq);
        self.nodes[id].pending.push(Change { seq, what, fate: Fate::Open });
    }

    /// Does what was logged.
    pub(super) fn replay(&mut self, op: &Op) {
        self.seq += 1;
        match op {
            Op::Create { folder, name, file, exclusive, mode } => {
                let folder = self.id(*folder);
                let there = self.look_up(folder, name);
                if !exclusive && there.is_some() {
                    return;
                }
                assert_eq!(there, None, "{name} was there already");
                let id = self.add(*file, *mode, Kind::File(Vec::new()));
                self.set(folder, vec![(name.clone(), Some(id))], None);
            }
            Op::MakeFolder { folder, name, made, mode } => {
                let folder = self.id(*folder);
                let id = self.add(*made, *mode, Kind::Folder(Folder::default()));
                self.set(folder, vec![(name.clone(), Some(id))], None);
            }
            Op::Mode { inode, mode } => self.change(*inode, What::Mode(*mode)),
            Op::Write { file, at, bytes } => {
                self.change(*file, What::Write { at: *at, bytes: bytes.clone() });
            }
            Op::Cut { file, len } => self.change(*file, What::Cut(*len)),
            Op::Rename { from, to } => {
                let (source, target) = (self.id(from.0), self.id(to.0));
                let moved = self.look_up(source, &from.1).expect("what is moved is there");
                if self.look_up(target, &to.1) == Some(moved) {
                    // Two names of one file: rename(2) does nothing.
                } else if source == target {
                    let set = vec![(from.1.clone(), None), (to.1.clone(), Some(moved))];
                    self.set(source, set, None);
                } else {
                    self.set(target, vec![(to.1.clone(), Some(moved))], None);
                    self.set(source, vec![(from.1.clone(), None)], Some(target));
                }
            }
            Op::Exchange { folder, names: [a, b] } => {
                let folder = self.id(*folder);
                let set = [(a, self.look_up(folder, b)), (b, self.look_up(folder, a))];
                self.set(folder, set.map(|(name, id)| (name.clone(), id)).to_vec(), None);
            }
            Op::Link { file, to } => {
                let (file, folder) = (self.id(*file), self.id(to.0));
                self.set(folder, vec![(to.1.clone(), Some(file))], None);
            }
            Op::Remove { folder, name } | Op::RemoveFolder { folder, name } => {
                let folder = self.id(*folder);
                assert!(self.look_up(folder, name).is_some(), "{name} is there");
                self.set(folder, vec![(name.clone(), None)], None);
            }
            Op::Sync { inode, only_data, failed } => {
                let id = self.id(*inode);
                self.sync(id, *only_data, *failed);
            }
            Op::SyncAll { failed } => {
                for id in 0..self.nodes.len() {
                    self.sync(id, false, *failed);
                }
            }
            Op::Returned => {}
        }
    }

    fn sync(&mut self, id: Id, only_data: bool, failed: bool) {
        let node = &mut self.nodes[id];
        let is_file = matches!(node.kind, Kind::File(_));
        for change in &mut node.pending {
            let stays = only_data && matches!(change.what, What::Mode(_));
            if failed && is_file && change.fate == Fate::Open {
                change.fate = Fate::Lost;
            } else if !failed && change.fate == Fate::Open && !stays {
                change.fate = Fate::Durable;
            }
        }
        let open = node.pending.iter().position(|c| c.fate != Fate::Durable);
        let mut none = Vec::new();
        let file = match &mut node.kind {
            Kind::File(bytes) => bytes,
            Kind::Folder(_) => &mut none,
        };
        for change in node.pending.drain(..open.unwrap_or(node.pending.len())) {
            change.what.apply(ALL, file, &mut node.mode);
        }
        if let Kind::Folder(folder) = &mut node.kind
            && !failed
        {
            folder.pending.clear();
            folder.durable.clone_from(&folder.now);
        }
    }
}
