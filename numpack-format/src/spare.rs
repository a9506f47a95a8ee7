//! The file of a record, kept from one change to the next.
//!
//! To make a file and to remove it costs a journal a commit and the disk a discard, which is most
//! of what a small change takes. So, when a change is carried out, a handle moves the record
//! back to its temporary name, and writes the next one over it. (Changes of few rows and nothing else
//! go by [`crate::row_log`], which needs no name at all.) What keeps this safe:
//!
//! - Nobody reads what is being written. Whoever opens a record takes a shared lock on it, and
//!   keeps it as long as the file is open; it is overwritten under an exclusive one, which is given
//!   back when the new record is complete, before it gets its name. Nobody waits for these locks.
//! - The move away is durable before the file is overwritten: no power loss brings the name back to
//!   what is half another record.
//! - The identity of a file that is overwritten may come back within a tick of the clock. Whoever
//!   compares it holds the file open, and with that locked, from the first look to the last.

use crate::disk::{Access, Dir, FileId, Found};
use crate::error::{Error, Result};
use crate::folder::Generation;
use crate::lock::StoreLock;
use crate::metadata;
use crate::next_metadata::LastMetadata;
use crate::redo::{FILE, METADATA_TEMPORARY, TEMPORARY};
use crate::row_log::{self, RowLog};
use std::fs::{File, TryLockError};
use std::sync::Arc;

/// A larger record is removed: it takes longer to write than a file takes to make.
pub(crate) const MAX: u64 = 64 << 10;

/// Opens the record of a folder for reading, if there is one. While the file is open, nobody
/// overwrites it.
pub(crate) fn open_record(dir: &Dir) -> Result<Option<(File, FileId)>> {
    let Some((file, id)) = dir.open_file(FILE)? else { return Ok(None) };
    let changed = || Error::Changed { file: dir.join(FILE) };
    match file.try_lock_shared() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(changed()),
        // Where files cannot be locked, none is overwritten.
        Err(TryLockError::Error(_)) => return Ok(Some((file, id))),
    }
    // It may have been overwritten before it was locked, and not be decided yet: only a file that
    // has its name now is the record.
    match dir.id(FILE).map_err(Error::io("inspect", dir.join(FILE)))? {
        Some(now) if now.same_file(&id) => Ok(Some((file, now))),
        _ => Err(changed()),
    }
}

/// A state of a folder, to see later whether it has changed. While this lives, no other record or
/// metadata can pass for those that were found.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) generation: Generation,
    _files: [Option<File>; 2],
}

impl Held {
    /// `None` if the record or the metadata is about to be another one.
    pub(crate) fn of(dir: &Dir) -> Result<Option<Held>> {
        let inspect = || Error::io("inspect", dir.path());
        let record = match open_record(dir) {
            Ok(record) => record,
            Err(Error::Changed { .. }) => return Ok(None),
            // What cannot be read is no record that somebody goes on with.
            Err(_) => {
                let generation = Generation::of(dir).map_err(inspect())?;
                return Ok(Some(Held { generation, _files: [None, None] }));
            }
        };
        // After the record, as ever.
        let (metadata, file) = match dir.open_file(metadata::FILE) {
            Ok(found) => found.map(|(file, id)| (id, file)).unzip(),
            Err(Error::Changed { .. }) => return Ok(None),
            // Nor is this metadata that a handle writes over.
            Err(_) => (dir.id(metadata::FILE).map_err(inspect())?, None),
        };
        let (record, redo) = record.unzip();
        Ok(Some(Held { generation: Generation { metadata, redo }, _files: [record, file] }))
    }

    /// Whether a folder is in that state.
    pub(crate) fn is_of(&self, dir: &Dir) -> Result<bool> {
        let now = Generation::of(dir).map_err(Error::io("inspect", dir.path()))?;
        Ok(now == self.generation)
    }
}

/// A record's file that has been carried out, under its temporary name.
#[derive(Debug)]
pub(crate) struct Spare {
    pub(crate) file: Arc<File>,
    pub(crate) len: u64,
    /// As of when it was made.
    pub(crate) found: Found,
    /// What it was made like.
    pub(crate) like: Option<Access>,
}

impl Spare {
    /// Locks the file so that it may be overwritten; `false` if it must not be.
    pub(crate) fn lock(&self, dir: &Dir) -> bool {
        self.like == dir.like
            && self.found_in(dir).is_some_and(|now| {
                // With another name it is in somebody's copy of the folder, by links.
                now.links == 1 && now.access == self.found.access && now.id.len() == self.len
            })
            && self.file.try_lock().is_ok()
    }

    /// What its name stands for, if that is this file: another writer may have cleared it.
    fn found_in(&self, dir: &Dir) -> Option<Found> {
        let found = dir.find(TEMPORARY).ok().flatten();
        found.filter(|found| found.id.same_file(&self.found.id))
    }
}

/// Removes what a handle has kept, unless somebody is writing to the store: the next writer does it
/// then.
pub(crate) fn remove(
    dir: &Dir,
    record: Option<&Spare>,
    last: Option<&LastMetadata>,
    rows: Option<&RowLog>,
) {
    let there = || {
        [
            (TEMPORARY, record.is_some_and(|record| record.found_in(dir).is_some())),
            (METADATA_TEMPORARY, last.is_some_and(|last| last.is_in(dir))),
            (row_log::FILE, rows.is_some_and(|rows| rows.is_in(dir))),
        ]
    };
    // Before the lock is looked for, which would be made in a folder that is a store no more.
    if there().iter().any(|(_, there)| *there)
        && let Ok(Some(lock)) = StoreLock::in_dir(dir, false)
        && lock.is_in(dir).unwrap_or(false)
    {
        for (name, _) in there().into_iter().filter(|(_, there)| *there) {
            let _ = dir.remove_file(name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commit::{self, AtHand};
    use crate::patches::Runs;
    use crate::redo::{self, RecordWriter, Redo};
    use crate::{DType, Limits, NumPack, Rows, Store, View, Writer};
    use std::collections::HashMap;
    use std::os::unix::fs::MetadataExt;
    use std::path::{Path, PathBuf};

    fn store() -> (tempfile::TempDir, PathBuf, NumPack) {
        let t = tempfile::tempdir().unwrap();
        let path = t.path().join("s.npk");
        let npk = NumPack::create(&path).unwrap();
        npk.save(&[("a", View::new(DType::U8, &[4], &[1, 2, 3, 4]))]).unwrap();
        (t, path, npk)
    }

    /// Changes a row and more than that, which takes such a record.
    fn replace(npk: &NumPack, row: i64, value: u8) {
        replace_all(npk, &Rows::Index(row), &[value]);
    }

    fn replace_all(npk: &NumPack, rows: &Rows<'_>, values: &[u8]) {
        let len = values.len() as u64;
        let mut w = npk.begin().unwrap();
        w.replace_rows("a", rows, &View::new(DType::U8, &[len], values)).unwrap();
        w.save("more", &View::new(DType::U8, &[1], &[0])).unwrap();
        w.commit().unwrap();
    }

    fn rows(path: &Path) -> Vec<u8> {
        assert!(Store::verify(path).unwrap().iter().all(crate::Fault::is_notice));
        let mut out = vec![0; 4];
        Store::open(path).unwrap().array("a").unwrap().read_into(&mut out).unwrap();
        out
    }

    fn inode(path: &Path) -> Option<u64> {
        std::fs::metadata(path.join(TEMPORARY)).ok().map(|m| m.ino())
    }

    #[test]
    fn it_is_overwritten_and_goes_with_the_handle() {
        let (_t, path, npk) = store();
        replace(&npk, 0, 9);
        let first = inode(&path).unwrap();
        replace(&npk, 1, 8);
        assert_eq!(inode(&path), Some(first));
        assert_eq!(Store::verify(&path).unwrap(), []);
        // Longer, and shorter again.
        replace_all(&npk, &Rows::from(2..), &[7, 6]);
        replace(&npk, 1, 5);
        assert_eq!((inode(&path), rows(&path)), (Some(first), vec![9, 5, 7, 6]));
        // One that is begun and given up goes, if it has begun in the file.
        for large in [false, true] {
            let mut w = npk.begin().unwrap();
            for _ in 0..if large { MAX } else { 1 } {
                w.replace_rows("a", &Rows::Index(0), &View::new(DType::U8, &[1], &[0])).unwrap();
            }
            assert_eq!(inode(&path) == Some(first), !large);
            drop(w);
            assert_eq!(inode(&path).is_some(), !large);
        }
        assert_eq!((inode(&path), rows(&path)), (None, vec![9, 5, 7, 6]));
        replace(&npk, 0, 4);
        assert!(inode(&path).is_some());
        drop(npk);
        assert_eq!((inode(&path), rows(&path)), (None, vec![4, 5, 7, 6]));
        // A writer may outlive its handle, and one without a handle leaves none.
        let npk = NumPack::open(&path).unwrap();
        let mut w = npk.begin().unwrap();
        drop(npk);
        w.drop_rows("a", &Rows::Index(3)).unwrap();
        w.commit().unwrap();
        assert_eq!(inode(&path), None);
        let mut w = Writer::open(&path).unwrap();
        w.drop_rows("a", &Rows::Index(0)).unwrap();
        w.commit().unwrap();
        assert_eq!(inode(&path), None);
    }

    #[test]
    fn a_large_one_is_removed() {
        let (_t, path, npk) = store();
        let large = vec![1; MAX as usize];
        replace(&npk, 0, 9);
        npk.save(&[("b", View::new(DType::U8, &[MAX], &large))]).unwrap();
        assert!(inode(&path).is_some());
        npk.replace_rows("b", &Rows::All, &View::new(DType::U8, &[MAX], &large)).unwrap();
        assert_eq!(inode(&path), None);
        replace(&npk, 0, 8);
        assert!(inode(&path).is_some());
        // Nobody keeps such a large one.
        std::fs::write(path.join(TEMPORARY), [&large[..], &[0]].concat()).unwrap();
        let faults = Store::verify(&path).unwrap();
        assert!(faults.len() == 1 && faults[0].is_notice(), "{faults:?}");
    }

    #[test]
    fn somebody_who_has_it_locked_keeps_it() {
        let (_t, path, npk) = store();
        for shared in [true, false] {
            replace(&npk, 0, 9);
            let before = inode(&path).unwrap();
            let held = File::open(path.join(TEMPORARY)).unwrap();
            let locked = if shared { held.try_lock_shared() } else { held.try_lock() };
            locked.unwrap();
            let read = |mut f: &File| {
                use std::io::{Read, Seek};
                let mut bytes = Vec::new();
                f.rewind().unwrap();
                f.read_to_end(&mut bytes).unwrap();
                bytes
            };
            let content = read(&held);
            replace(&npk, 1, 8);
            assert_ne!(inode(&path), Some(before));
            assert_eq!(read(&held), content);
            replace(&npk, 1, 7);
            assert_eq!(rows(&path), [9, 7, 3, 4]);
        }
    }

    #[test]
    fn what_others_did_with_it_is_noticed() {
        let (t, path, npk) = store();
        let other = NumPack::open(&path).unwrap();
        replace(&npk, 0, 9);
        let file = path.join(TEMPORARY);
        let changes: [&dyn Fn(); 7] = [
            &|| drop(Writer::open(&path).unwrap()),
            &|| std::fs::remove_file(&file).unwrap(),
            &|| std::fs::hard_link(&file, t.path().join("copy")).unwrap(),
            &|| std::fs::rename(&file, t.path().join("moved")).unwrap(),
            &|| std::fs::write(&file, "short").unwrap(),
            &|| {
                let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
                std::fs::set_permissions(&file, mode).unwrap();
            },
            &|| replace(&other, 3, 1),
        ];
        for (i, change) in changes.iter().enumerate() {
            // Held open, so that no other file comes by its number.
            let before = File::open(&file).unwrap();
            change();
            replace(&npk, 1, i as u8);
            let now = inode(&path).unwrap();
            assert_ne!(now, before.metadata().unwrap().ino(), "{i}");
            replace(&npk, 2, i as u8);
            assert_eq!(inode(&path), Some(now), "{i}");
            assert_eq!(rows(&path)[..3], [9, i as u8, i as u8]);
        }
        // The metadata is for others now, and the record with it.
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(path.join("metadata.npkm"), mode).unwrap();
        replace(&npk, 0, 8);
        assert_eq!(std::fs::metadata(&file).unwrap().mode() & 0o777, 0o600);
        drop(other);
        assert!(file.exists());
        drop(npk);
        assert!(!file.exists());
    }

    #[test]
    fn a_forked_child_leaves_it() {
        let (_t, path, mut npk) = store();
        replace(&npk, 0, 9);
        npk.pretend_forked();
        drop(npk);
        assert!(inode(&path).is_some());
        drop(Writer::open(&path).unwrap());
        assert_eq!(inode(&path), None);
    }

    #[test]
    fn an_array_that_a_writer_lent_keeps_its_rows() {
        let (_t, _path, npk) = store();
        let mut w = npk.begin().unwrap();
        w.replace_rows("a", &Rows::Index(0), &View::new(DType::U8, &[1], &[9])).unwrap();
        let few = w.array("a").unwrap();
        // So many that they are not kept in memory.
        for _ in 0..MAX {
            w.replace_rows("a", &Rows::Index(0), &View::new(DType::U8, &[1], &[8])).unwrap();
        }
        let many = w.array("a").unwrap();
        w.commit().unwrap();
        replace(&npk, 1, 8);
        replace(&npk, 0, 7);
        for (lent, row) in [(few, 9), (many, 8)] {
            let mut out = [0; 4];
            lent.read_into(&mut out).unwrap();
            assert_eq!(out[0], row);
        }
    }

    /// Decides on a change of the first row, without carrying it out.
    fn decide(dir: &Dir, value: u8, spare: Option<Spare>) -> (Redo, Spare) {
        let limits = Limits::default();
        let mut record = RecordWriter::new(dir);
        let mut runs = Runs::default();
        runs.put(0, 1, record.put(&[value], dir).unwrap());
        let old = commit::metadata_hash(dir, None, &limits).unwrap();
        let rows = HashMap::from([("data_a.npkd".to_owned(), runs)]);
        let redo = Redo { old, rows, ..Redo::default() };
        let check = || Ok(());
        let spare = commit::publish(dir, record, spare, &redo, &limits, check, &mut false).unwrap();
        (redo, spare)
    }

    fn carry_out(dir: &Dir, redo: &Redo, spare: &Spare) {
        let lock = StoreLock::in_dir(dir, false).unwrap().unwrap();
        let path = dir.join(redo::FILE);
        let source = crate::patches::Source::File(spare.file.clone());
        let rows = crate::patches::Patches { source, path, of: HashMap::new() };
        let at_hand = AtHand { keep: true, ..AtHand::default() };
        commit::apply(dir, &lock, redo, Some(&rows), at_hand, &Limits::default()).unwrap();
    }

    #[test]
    fn a_reader_that_has_the_record_keeps_its_rows() {
        let (_t, path, npk) = store();
        drop(npk);
        let dir = Dir::open(&path).unwrap();
        let (redo, spare) = decide(&dir, 9, None);
        let first = spare.found.id;
        let held = Held::of(&dir).unwrap().unwrap();
        let array = Store::open(&path).unwrap().array("a").unwrap();
        let read = || {
            let mut out = [0; 4];
            array.read_into(&mut out).unwrap();
            out
        };
        assert_eq!(read(), [9, 2, 3, 4]);
        carry_out(&dir, &redo, &spare);
        assert_eq!(inode(&path), Some(spare.file.metadata().unwrap().ino()));
        assert_eq!(read(), [9, 2, 3, 4]);

        let (redo, spare) = decide(&dir, 8, Some(spare));
        assert!(!spare.found.id.same_file(&first) && !held.is_of(&dir).unwrap());
        assert_eq!(read(), [9, 2, 3, 4]);
        carry_out(&dir, &redo, &spare);
        assert_eq!(read(), [8, 2, 3, 4]);
        drop(held);

        // What has been read again is of the record, and holds that one.
        let second = spare.found.id;
        let (redo, spare) = decide(&dir, 7, Some(spare));
        assert!(spare.found.id.same_file(&second));
        assert_eq!((read(), rows(&path)), ([8, 2, 3, 4], vec![7, 2, 3, 4]));
        carry_out(&dir, &redo, &spare);
        assert_eq!(read(), [7, 2, 3, 4]);
        remove(&dir, Some(&spare), None, None);
        assert_eq!(inode(&path), None);
    }

    #[test]
    fn a_record_that_is_being_overwritten_is_not_read() {
        let (_t, path, npk) = store();
        drop(npk);
        let dir = Dir::open(&path).unwrap();
        let (redo, spare) = decide(&dir, 9, None);
        // As if it had been found before it was moved away.
        spare.file.try_lock().unwrap();
        assert!(matches!(open_record(&dir), Err(Error::Changed { .. })));
        assert!(Held::of(&dir).unwrap().is_none());
        std::thread::scope(|s| {
            let reader = s.spawn(|| rows(&path));
            std::thread::sleep(std::time::Duration::from_millis(20));
            assert!(!reader.is_finished());
            spare.file.unlock().unwrap();
            assert_eq!(reader.join().unwrap(), [9, 2, 3, 4]);
        });
        carry_out(&dir, &redo, &spare);
        assert_eq!(rows(&path), [9, 2, 3, 4]);
        drop(Writer::open(&path).unwrap());
    }
}
