//! `libnumpack.rows`: replaced rows of a handle, decided by what the file holds and not by its name.
//!
//! To give a file a name and to take it away costs a journal a commit each, which is most of what
//! replacing a few rows takes. So a handle keeps this file under its name as long as it lives, and
//! where a change is of few rows and nothing else, writes its record into it. What keeps this safe:
//!
//! - A record counts only if it is whole: its checksum covers all of it and the head before it,
//!   which says how long it is and has a number of its own. Of a record that is written over another
//!   one, longer or shorter, any part may have reached the disk or a reader: that is no record, or
//!   all of the new one. It is never the old one, whose head has been cleared for good, and no other
//!   head makes its checksum right, however alike the two are.
//! - A record that has been carried out is withdrawn by clearing the head, and that is durable
//!   before the call returns. So what comes later without a record, an append, rows written in place
//!   or by another program, is never undone by one that comes back.
//! - Readers take the record into memory, and hold nothing. A record that they see in part is one
//!   whose rows have not been touched yet, or one that is being withdrawn, whose rows are all in
//!   their place. Which of two it was, the number in the lock file tells: see [`crate::array`].
//! - Only the handle that made the file writes to it. Any other writer that finds it, and cannot
//!   know what of it is durable, makes an ordinary record of what it holds, and removes it for good
//!   before it does anything else.

use crate::disk::{self, Access, Dir, FileId, Found};
use crate::error::{Error, Result};
use crate::limits::Limits;
use crate::patches::Source;
use crate::redo::{self, Redo};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

/// The file's name in the store.
pub(crate) const FILE: &str = "libnumpack.rows";
/// A larger record is none for this file: readers hold it in memory.
pub(crate) const MAX: u64 = 64 << 10;
/// The file grows by so much, since a record that fits into it is the cheaper to sync.
const STEP: usize = 4096;

const MAGIC: [u8; 8] = *b"NPKROWS\0";
/// The magic, the number, and the length of the record.
const HEAD: usize = 24;

/// The content of the file that decides on a change: `record` is all but the checksum, and no two
/// records have one number.
pub(crate) fn encode(record: &[u8], number: u64) -> Vec<u8> {
    let len = (record.len() + redo::CHECKSUM) as u64;
    let mut bytes = [&MAGIC[..], &number.to_le_bytes(), &len.to_le_bytes(), record].concat();
    let hash = Sha256::digest(&bytes);
    bytes.extend_from_slice(&hash);
    bytes
}

/// The record that such a content holds.
pub(crate) fn record_of(content: &[u8]) -> Source {
    Source::Memory(content[HEAD..].into())
}

/// A record that waits to be carried out.
pub(crate) struct Waiting {
    pub(crate) redo: Redo,
    /// The record itself, which holds the new rows.
    pub(crate) record: Source,
}

/// The record of a folder, if one waits there.
pub(crate) fn read(dir: &Dir, limits: &Limits) -> Result<Option<Waiting>> {
    let Some((head, record)) = read_whole(dir)? else { return Ok(None) };
    let len = record.len() as u64;
    let record = Source::Memory(record.into());
    let path = dir.join(FILE);
    let redo = Redo::read_checked(&record, len, &head, &path, limits).map_err(redo::with_hint)?;
    redo.check_only_rows(&path)?;
    Ok(Some(Waiting { redo, record }))
}

fn read_whole(dir: &Dir) -> Result<Option<([u8; HEAD], Vec<u8>)>> {
    let Some((file, _)) = dir.open_file(FILE)? else { return Ok(None) };
    let read = |out: &mut [u8], at| match file.read_exact_at(out, at) {
        // It is being made, or its maker died.
        Err(e) if e.kind() == ErrorKind::UnexpectedEof => Ok(false),
        read => read.map(|()| true).map_err(Error::io("read", dir.join(FILE))),
    };
    let mut head = [0; HEAD];
    if !read(&mut head, 0)? {
        return Ok(None);
    }
    let [magic, len] = [0, 16].map(|at| head[at..].first_chunk().copied().unwrap_or_default());
    let len = u64::from_le_bytes(len);
    if magic != MAGIC || len < redo::CHECKSUM as u64 || len > MAX {
        return Ok(None);
    }
    let mut record = vec![0; len as usize];
    if !read(&mut record, HEAD as u64)? {
        return Ok(None);
    }
    let (content, checksum) = record.split_at(record.len() - redo::CHECKSUM);
    let hash = Sha256::new().chain_update(head).chain_update(content).finalize();
    Ok((hash[..] == *checksum).then_some((head, record)))
}

/// Makes an ordinary record of the one that waits: what is found here may not be durable, nor may
/// it be written again, for the file may have another name in somebody's copy of the folder.
pub(crate) fn promote(dir: &Dir, waiting: &Source) -> Result<()> {
    let Source::Memory(record) = waiting else { return Ok(()) };
    let content = &record[..record.len().saturating_sub(redo::CHECKSUM)];
    let record = [content, &Sha256::digest(content)].concat();
    dir.replace_file(redo::TEMPORARY, redo::FILE, &record)?;
    dir.sync()?;
    // Should it come back, it is the same change.
    dir.remove_file(FILE)
}

/// Removes the file for good, if it is there.
pub(crate) fn remove(dir: &Dir) -> Result<()> {
    if dir.id(FILE).map_err(Error::io("inspect", dir.join(FILE)))?.is_some() {
        dir.remove_file(FILE)?;
        dir.sync()?;
    }
    Ok(())
}

/// The file of a handle. No record waits in it.
#[derive(Debug)]
pub(crate) struct RowLog {
    file: File,
    path: PathBuf,
    /// As of when it was made.
    found: Found,
    len: u64,
    /// What it was made like.
    like: Option<Access>,
}

/// The same, while a record waits in it.
#[derive(Debug)]
pub(crate) struct Decided(RowLog);

impl RowLog {
    /// Makes a change durable; `content` is what [`encode`] made of it. Once this returns it is
    /// decided. After an error it may be: the file stays, for the next writer to go by what it holds.
    /// Were it removed, other handles would not know that it may come back after a power loss.
    pub(crate) fn decide(dir: &Dir, last: Option<RowLog>, content: &[u8]) -> Result<Decided> {
        match last.filter(|log| log.is_usable(dir)) {
            Some(log) => log.write_over(content),
            None => RowLog::make(dir, content),
        }
    }

    fn make(dir: &Dir, content: &[u8]) -> Result<Decided> {
        let (path, content) = (dir.join(FILE), padded(content));
        // It is one that has been withdrawn for good, if there is one.
        let file = dir.create_anew(FILE, dir.like)?;
        disk::write_at(&file, &content, 0, &path)?;
        disk::sync_file(&file, &path)?;
        dir.sync()?;
        let found = Found::of(&file).map_err(Error::io("inspect", &path))?;
        let len = content.len() as u64;
        Ok(Decided(RowLog { file, path, found, len, like: dir.like }))
    }

    fn write_over(mut self, content: &[u8]) -> Result<Decided> {
        if content.len() as u64 > self.len {
            let content = padded(content);
            disk::write_at(&self.file, &content, 0, &self.path)?;
            self.len = content.len() as u64;
        } else {
            disk::write_at(&self.file, content, 0, &self.path)?;
        }
        disk::sync_data(&self.file, &self.path)?;
        Ok(Decided(self))
    }

    /// Whether the next record may be written into the file.
    fn is_usable(&self, dir: &Dir) -> bool {
        // With another name it is in somebody's copy of the folder, by links.
        let usable = |now: Found| {
            now.id.same_file(&self.found.id)
                && now.links == 1
                && now.access == self.found.access
                && now.id.len() == self.len
        };
        self.like == dir.like && dir.find(FILE).ok().flatten().is_some_and(usable)
    }

    /// Whether this file has an identity.
    pub(crate) fn is(&self, id: &FileId) -> bool {
        self.found.id.same_file(id)
    }

    /// Whether the folder has it.
    pub(crate) fn is_in(&self, dir: &Dir) -> bool {
        dir.id(FILE).ok().flatten().is_some_and(|id| self.is(&id))
    }
}

impl Decided {
    /// Withdraws a change that has been carried out, for good.
    pub(crate) fn withdraw(self) -> Result<RowLog> {
        let Decided(log) = self;
        disk::write_at(&log.file, &[0; HEAD], 0, &log.path)?;
        disk::sync_data(&log.file, &log.path)?;
        Ok(log)
    }
}

fn padded(content: &[u8]) -> Vec<u8> {
    let mut content = content.to_vec();
    content.resize(content.len().next_multiple_of(STEP), 0);
    content
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::{Action, arm};
    use crate::new_store::random;
    use crate::patches::Runs;
    use crate::redo::{RecordWriter, sha256};
    use crate::{DType, NumPack, Rows, Store, View, Writer, WriterOptions};
    use std::collections::HashMap;
    use std::os::unix::fs::MetadataExt;
    use std::path::Path;

    fn store() -> (tempfile::TempDir, PathBuf, NumPack) {
        let t = tempfile::tempdir().unwrap();
        let path = t.path().join("s.npk");
        let npk = NumPack::create(&path).unwrap();
        npk.save(&[("a", View::new(DType::U8, &[4], &[1, 2, 3, 4]))]).unwrap();
        (t, path, npk)
    }

    fn replace(npk: &NumPack, row: i64, value: u8) {
        npk.replace_rows("a", &Rows::Index(row), &View::new(DType::U8, &[1], &[value])).unwrap();
    }

    fn rows(path: &Path) -> Vec<u8> {
        assert!(Store::verify(path).unwrap().iter().all(crate::Fault::is_notice));
        let mut out = vec![0; 4];
        Store::open(path).unwrap().array("a").unwrap().read_into(&mut out).unwrap();
        out
    }

    fn inode(path: &Path) -> Option<u64> {
        std::fs::metadata(path.join(FILE)).ok().map(|m| m.ino())
    }

    /// The content for a change of so many bytes of rows.
    fn content(dir: &Dir, at: u64, rows: &[u8], number: u64) -> Vec<u8> {
        let mut record = RecordWriter::new(dir);
        let mut runs = Runs::default();
        runs.put(at, rows.len() as u64, record.put(rows, dir).unwrap());
        let rows = HashMap::from([("data_a.npkd".to_owned(), runs)]);
        let redo = Redo { old: sha256(b"old"), rows, ..Redo::default() };
        encode(&record.in_memory(&redo, MAX, &Limits::default()).unwrap().unwrap(), number)
    }

    #[test]
    fn a_part_of_a_record_is_none() {
        const SECTOR: usize = 512;
        let t = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let dir = Dir::open(t.path()).unwrap();
        let found = |bytes: &[u8]| {
            std::fs::write(t.path().join(FILE), bytes).unwrap();
            read(&dir, &Limits::default()).unwrap().map(|waiting| match waiting.record {
                Source::Memory(record) => record.to_vec(),
                Source::File(_) => unreachable!(),
            })
        };
        // Some are as long, and begin alike.
        let records = [(7, 2500, 0), (8, 1500, 0), (9, 2500, 0), (9, 2500, 100), (9, 300, 0)];
        let records = records.map(|(byte, len, at)| content(&dir, at, &vec![byte; len], random()));
        let mut tried = 0;
        for old in &records {
            assert_eq!(found(old).as_ref(), Some(&old[HEAD..].to_vec()));
            let mut withdrawn = padded(old);
            withdrawn[..HEAD].fill(0);
            assert_eq!(found(&withdrawn), None);
            for new in records.iter().filter(|new| *new != old) {
                let mut all = withdrawn.clone();
                all[..new.len()].copy_from_slice(new);
                let sectors = new.len().div_ceil(SECTOR);
                for there in 0..1u32 << sectors {
                    let mut mixed = withdrawn.clone();
                    for i in (0..sectors).filter(|i| there >> i & 1 == 1) {
                        let range = i * SECTOR..((i + 1) * SECTOR).min(new.len());
                        mixed[range.clone()].copy_from_slice(&new[range]);
                    }
                    let expected = (mixed == all).then(|| new[HEAD..].to_vec());
                    assert_eq!(found(&mixed), expected, "sectors {there:b}");
                    tried += 1;
                }
                // The same of two halves, cut anywhere.
                for at in (0..HEAD + 20).chain((0..new.len()).step_by(97)) {
                    let first = [&new[..at], &withdrawn[at..]].concat();
                    let second = [&withdrawn[..at], &all[at..]].concat();
                    for mixed in [first, second] {
                        let whole = mixed == all;
                        assert_eq!(found(&mixed).is_some(), whole, "cut at {at}");
                    }
                }
            }
        }
        assert!(tried > 500);
        let good = content(&dir, 0, &[1, 2, 3], random());
        for i in 0..good.len() {
            assert_eq!(found(&good[..i]), None, "cut at {i}");
            for bit in 0..8 {
                let mut bad = good.clone();
                bad[i] ^= 1 << bit;
                assert_eq!(found(&bad), None, "flip of bit {bit} at {i}");
            }
        }
        // What follows is nothing of it, and an ordinary record is none.
        assert!(found(&[&good[..], &[9; 5000]].concat()).is_some());
        assert_eq!(found(&good[HEAD..]), None);
        assert_eq!(found(&[]), None);
    }

    #[test]
    fn it_is_written_over_and_goes_with_the_handle() {
        let (_t, path, npk) = store();
        let large = vec![1; MAX as usize];
        npk.save(&[("b", View::new(DType::U8, &[MAX], &large))]).unwrap();
        assert_eq!(inode(&path), None);
        let mut first = None;
        let mut sizes = Vec::new();
        for (n, len) in [3, 3, 5000, 3, 4096, 60_000].into_iter().enumerate() {
            let shape = [len];
            let view = View::new(DType::U8, &shape, &large[..len as usize]);
            npk.replace_rows("b", &Rows::from(0..len as i64), &view).unwrap();
            replace(&npk, n as i64 % 4, n as u8);
            let now = inode(&path);
            assert_eq!(*first.get_or_insert(now), now);
            sizes.push(std::fs::metadata(path.join(FILE)).unwrap().len());
            assert_eq!(Store::verify(&path).unwrap(), []);
        }
        assert_eq!(sizes, [4096, 4096, 8192, 8192, 8192, 61440]);
        assert_eq!(rows(&path), [4, 5, 2, 3]);
        // Other changes, and those given up, leave it.
        npk.append(&[("b", View::new(DType::U8, &[1], &[1]))]).unwrap();
        npk.drop_rows("b", &Rows::Index(0)).unwrap();
        let mut w = npk.begin().unwrap();
        w.replace_rows("a", &Rows::Index(0), &View::new(DType::U8, &[1], &[0])).unwrap();
        drop(w);
        assert_eq!(Some(inode(&path)), first);
        // A record that is too large goes another way.
        npk.replace_rows("b", &Rows::All, &View::new(DType::U8, &[MAX], &large)).unwrap();
        replace(&npk, 0, 9);
        assert_eq!(Some(inode(&path)), first);
        drop(npk);
        assert_eq!((inode(&path), rows(&path)), (None, vec![9, 5, 2, 3]));
        // One without a handle makes none.
        let mut w = Writer::open(&path).unwrap();
        w.replace_rows("a", &Rows::Index(0), &View::new(DType::U8, &[1], &[1])).unwrap();
        w.commit().unwrap();
        assert_eq!((inode(&path), rows(&path)), (None, vec![1, 5, 2, 3]));
    }

    /// What it costs: no commit of a journal but for the first one.
    #[test]
    fn what_is_synced() {
        let (_t, _path, npk) = store();
        replace(&npk, 0, 9);
        let guard = arm(0, Action::Nothing, false);
        replace(&npk, 1, 8);
        let steps = guard.steps();
        let ops: Vec<&str> = steps.iter().map(|(op, _)| &op[..]).collect();
        let syncs = ops.iter().filter(|op| op.starts_with("sync")).count();
        assert_eq!(ops, ["write", "syncdata", "write", "write", "syncdata", "write", "syncdata"]);
        assert_eq!(syncs, 3);
    }

    #[test]
    fn what_others_did_with_it_is_noticed() {
        let (t, path, npk) = store();
        let other = NumPack::open(&path).unwrap();
        replace(&npk, 0, 9);
        let file = path.join(FILE);
        let copy = t.path().join("copy");
        let changes: [&dyn Fn(); 7] = [
            &|| drop(Writer::open(&path).unwrap()),
            &|| std::fs::remove_file(&file).unwrap(),
            &|| std::fs::hard_link(&file, &copy).unwrap(),
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
        // Somebody's copy by links has what it had.
        assert_eq!(std::fs::read(&copy).unwrap()[..HEAD], [0; HEAD]);
        // The metadata is for others now, and the file with it.
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

    /// Two handles, of which one dies in the middle, or fails; what the other one does then, in any
    /// way, lasts.
    #[test]
    fn a_handle_finds_what_another_one_left() {
        type Change = fn(&NumPack);
        let changes: [(Change, u8); 4] = [
            (
                |npk| {
                    let options = WriterOptions { in_place: true, ..WriterOptions::default() };
                    let mut w = npk.begin_with(&options).unwrap();
                    let view = View::new(DType::U8, &[1], &[5]);
                    w.replace_rows("a", &Rows::Index(1), &view).unwrap();
                    w.commit().unwrap();
                },
                5,
            ),
            (|npk| replace(npk, 1, 6), 6),
            (
                |npk| {
                    npk.drop_rows("a", &Rows::Index(1)).unwrap();
                    npk.compact().unwrap();
                    let all = View::new(DType::U8, &[1], &[7]);
                    npk.append(&[("a", all)]).unwrap();
                },
                7,
            ),
            (
                // As the public package does it, who knows nothing of a record.
                |npk| {
                    drop(npk.begin().unwrap());
                    let file = npk.path().join("data_a.npkd");
                    let file = File::options().write(true).open(file).unwrap();
                    file.write_all_at(&[8], 1).unwrap();
                },
                8,
            ),
        ];
        let (mut before, mut after) = (0, 0);
        let ways = [Action::Dead, Action::DeadTorn, Action::Fail(rustix::io::Errno::IO)];
        for (first, way) in ways.iter().flat_map(|way| [(false, way), (true, way)]) {
            for (change, value) in &changes {
                for n in 1.. {
                    let (_t, path, one) = store();
                    let other = NumPack::open(&path).unwrap();
                    replace(&other, 0, 1);
                    if !first {
                        replace(&one, 3, 4);
                        // It finds the store as it left it.
                        if *value != 7 {
                            replace(&other, 0, 1);
                            replace(&one, 3, 4);
                        }
                    }
                    let guard = arm(n, *way, false);
                    let view = View::new(DType::U8, &[2], &[9, 9]);
                    let died = one.replace_rows("a", &Rows::from(1..3), &view).is_err();
                    drop(guard);
                    if !died {
                        break;
                    }
                    std::mem::forget(one);
                    let seen = rows(&path);
                    assert!(seen == [1, 2, 3, 4] || seen == [1, 9, 9, 4], "{n}: {seen:?}");
                    change(&other);
                    let expected = match value {
                        7 => vec![1, seen[2], 4, 7],
                        _ => vec![1, *value, seen[2], 4],
                    };
                    assert_eq!(rows(&path), expected, "{n}, {value}");
                    drop(Writer::open(&path).unwrap());
                    assert_eq!(rows(&path), expected, "{n}, {value}");
                    *if seen[2] == 9 { &mut after } else { &mut before } += 1;
                }
            }
        }
        assert!(before > 24 && after > 24, "{before}, {after}");
    }

    /// What is found may be another writer's, and waits for this one to be read again.
    #[test]
    fn a_reader_takes_the_record_into_memory() {
        let (_t, path, npk) = store();
        let store = Store::open(&path).unwrap();
        let early = store.array("a").unwrap();
        replace(&npk, 3, 5);
        // Decided, and not carried out: the count goes up with the third change to the disk.
        let guard = arm(3, Action::Dead, false);
        let view = View::new(DType::U8, &[1], &[9]);
        assert!(npk.replace_rows("a", &Rows::Index(0), &view).is_err());
        drop(guard);
        let read = |array: &crate::Array| {
            let mut out = [0; 4];
            array.read_into(&mut out).unwrap();
            out
        };
        let late = Store::open(&path).unwrap();
        let waits = late.array("a").unwrap();
        assert!(waits.plain_file().is_none());
        assert_eq!((read(&waits), read(&store.array("a").unwrap())), ([9, 2, 3, 5], [9, 2, 3, 5]));
        assert_eq!(std::fs::read(path.join("data_a.npkd")).unwrap(), [1, 2, 3, 5]);
        let notices = Store::verify(&path).unwrap();
        assert!(notices.len() == 1 && notices[0].is_notice(), "{notices:?}");
        assert!(notices[0].file.ends_with(FILE));
        drop(Writer::open(&path).unwrap());
        assert_eq!(std::fs::read(path.join("data_a.npkd")).unwrap(), [9, 2, 3, 5]);
        assert_eq!(Store::verify(&path).unwrap(), []);
        // A store that was opened while it waited has an array of now.
        replace(&npk, 0, 7);
        for array in [early, waits, late.array("a").unwrap(), store.array("a").unwrap()] {
            assert_eq!(read(&array), [7, 2, 3, 5]);
        }
        assert!(late.array("a").unwrap().plain_file().is_some());
    }

    /// Who writes the metadata does not know of the record.
    #[test]
    fn one_of_other_metadata_is_ignored() {
        let (_t, path, npk) = store();
        let guard = arm(6, Action::Dead, false);
        let view = View::new(DType::U8, &[1], &[9]);
        assert!(npk.replace_rows("a", &Rows::Index(0), &view).is_err());
        drop(guard);
        assert_eq!(rows(&path), [9, 2, 3, 4]);
        let metadata = std::fs::read(path.join("metadata.npkm")).unwrap();
        let at = metadata.windows(11).position(|w| w == b"data_a.npkd").unwrap() + 11;
        let mut other = metadata;
        other[at] ^= 1;
        std::fs::write(path.join("metadata.npkm"), other).unwrap();
        let store = Store::open(&path).unwrap();
        assert!(
            store.warnings().iter().any(|w| w.contains("is ignored")),
            "{:?}",
            store.warnings()
        );
        let faults = Store::verify(&path).unwrap();
        assert!(faults.len() == 1 && faults[0].file.ends_with(FILE), "{faults:?}");
        let w = Writer::open(&path).unwrap();
        assert!(w.warnings().iter().any(|w| w.contains("is ignored")));
        drop(w);
        assert_eq!((inode(&path), Store::verify(&path).unwrap().len()), (None, 0));
    }
}
