//! The file of the metadata that takes the place of the one before.
//!
//! It is written under another name, made durable, and gets the name. What takes most of the time
//! is that the file system finds room for the new file and frees that of the old one, where all
//! that differs is a few numbers. So a handle exchanges the two, keeps the old one under the
//! temporary name, and makes the next one of it by writing the blocks that differ. What keeps this
//! safe:
//!
//! - Who reads the old file, of any program, reads it to its end as it was. It is written to only
//!   under a [lease](crate::lease), which is given if nobody has it open, and nobody opens it by a
//!   name that it has no more. Who looked it up by the name it had and has not opened it yet waits
//!   until it has that name again.
//! - The exchange is durable before the old file is written to: no power loss brings the name back
//!   to what is half another file.
//! - What the file holds is read, not remembered: whoever wrote to it, it has the right bytes in
//!   the end.
//! - A state that somebody compares is known by its metadata's file, which is held open meanwhile:
//!   so it cannot come back with other content.

use crate::disk::{self, Dir, FileId};
use crate::error::{Error, Result};
use crate::lease::Lease;
use crate::metadata;
use crate::redo::METADATA_TEMPORARY as TEMPORARY;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Bytes compared at a time.
const CHUNK: usize = 64 << 10;
/// Bytes written at a time: what the system keeps together, or a multiple or part of that.
const BLOCK: usize = 4 << 10;

/// The file of the metadata before the last change, under its temporary name for good. The folder
/// has been in the state that this change made since.
#[derive(Debug)]
pub(crate) struct LastMetadata {
    /// Kept open, so that no other file can come by its identity.
    file: File,
    id: FileId,
}

impl LastMetadata {
    /// What has the temporary name, if that is the file with this identity.
    fn open(dir: &Dir, id: FileId) -> Option<LastMetadata> {
        let (file, found, _) = dir.open_to_change(TEMPORARY).ok()??;
        found.same_file(&id).then_some(LastMetadata { file, id })
    }

    /// The file under a lease, if it may be made the next one, of `len` bytes.
    fn reuse(self, dir: &Dir, len: usize) -> Option<Lease> {
        let lease = Lease::take(self.file)?;
        let now = dir.find(TEMPORARY).ok()??;
        let same = now.id.same_file(&self.id) && now.id.len() == len as u64;
        // With another name it is in somebody's copy of the folder, by links.
        (same && now.links == 1 && Some(now.access) == dir.like).then_some(lease)
    }

    /// Whether the name still stands for it: another writer may have cleared it.
    pub(crate) fn is_in(&self, dir: &Dir) -> bool {
        dir.id(TEMPORARY).ok().flatten().is_some_and(|now| now.same_file(&self.id))
    }
}

/// A file that is to become the metadata.
#[derive(Debug)]
pub(crate) enum NextMetadata {
    New(File),
    Reused(Lease),
}

impl NextMetadata {
    /// Writes it, of the last one where that can be had. It is not durable yet.
    pub(crate) fn write(
        dir: &Dir,
        bytes: &[u8],
        last: Option<LastMetadata>,
    ) -> Result<NextMetadata> {
        let path = dir.join(TEMPORARY);
        if let Some(lease) = last.and_then(|last| last.reuse(dir, bytes.len())) {
            write_changed(lease.file(), bytes, &path)?;
            return Ok(NextMetadata::Reused(lease));
        }
        let file = dir.create_anew(TEMPORARY, dir.like)?;
        disk::write_at(&file, bytes, 0, &path)?;
        // On its way before the rows are synced, it costs no second commit of a journal.
        disk::begin_to_write(&file);
        Ok(NextMetadata::New(file))
    }

    /// Makes its content durable.
    pub(crate) fn sync(&self, dir: &Dir) -> Result<()> {
        let path = dir.join(TEMPORARY);
        match self {
            NextMetadata::New(file) => disk::sync_file(file, &path),
            // Nothing but its bytes has changed.
            NextMetadata::Reused(lease) => disk::sync_data(lease.file(), &path),
        }
    }

    /// Gives it the name; the folder is not durable yet. The file comes back, and that of the
    /// metadata before, if it is to be kept and could be.
    pub(crate) fn publish(
        self,
        dir: &Dir,
        before: Option<FileId>,
        keep: bool,
    ) -> Result<(File, Option<LastMetadata>)> {
        let mut last = None;
        if let Some(id) = before.filter(|_| keep)
            && dir
                .exchange(TEMPORARY, metadata::FILE)
                .map_err(Error::io("exchange", dir.join(TEMPORARY)))?
        {
            last = LastMetadata::open(dir, id);
            if last.is_none() {
                let _ = dir.remove_file(TEMPORARY);
            }
        } else {
            dir.rename(TEMPORARY, dir, metadata::FILE)?;
        }
        let file = match self {
            NextMetadata::New(file) => file,
            NextMetadata::Reused(lease) => lease.end(),
        };
        Ok((file, last))
    }
}

/// Makes the content of a file of as many bytes these. Nobody else writes to it.
fn write_changed(file: &File, bytes: &[u8], path: &Path) -> Result<()> {
    let mut there = vec![0; CHUNK.min(bytes.len())];
    for (n, chunk) in bytes.chunks(CHUNK).enumerate() {
        let there = &mut there[..chunk.len()];
        let at = (n * CHUNK) as u64;
        file.read_exact_at(there, at).map_err(Error::io("read", path))?;
        if there == chunk {
            continue;
        }
        for (i, (old, new)) in there.chunks(BLOCK).zip(chunk.chunks(BLOCK)).enumerate() {
            if old != new {
                disk::write_at(file, new, at + (i * BLOCK) as u64, path)?;
            }
        }
    }
    Ok(())
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use crate::fault::{Action, arm};
    use crate::{DType, Error, Fault, NumPack, Rows, Store, View, Writer};
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    use std::path::PathBuf;

    /// Metadata of three blocks.
    fn store() -> (tempfile::TempDir, PathBuf, NumPack) {
        let t = tempfile::tempdir().unwrap();
        let path = t.path().join("s.npk");
        let mut w = Writer::create(&path).unwrap();
        for i in 0..100 {
            w.save(&format!("array {i}"), &View::new(DType::U8, &[1], &[0])).unwrap();
        }
        w.commit().unwrap();
        let npk = NumPack::open(&path).unwrap();
        (t, path, npk)
    }

    fn append(npk: &NumPack, value: u8) {
        let view = || View::new(DType::U8, &[1], std::slice::from_ref(&value));
        npk.append(&[("array 3", view()), ("array 98", view())]).unwrap();
    }

    /// Appends until the metadata are written over those of the last but one: what somebody has
    /// open is not, be it another thread's child that has not started its program yet.
    fn settle(npk: &NumPack) {
        for _ in 0..500 {
            let kept = inode(npk.path(), TEMPORARY);
            append(npk, 0);
            if kept.is_some() && inode(npk.path(), metadata::FILE) == kept {
                return;
            }
        }
        panic!("they never are");
    }

    fn rows(path: &Path) -> Vec<u8> {
        assert!(Store::verify(path).unwrap().iter().all(Fault::is_notice));
        let array = Store::open(path).unwrap().array("array 98").unwrap();
        let mut out = vec![0; array.nbytes() as usize];
        array.read_into(&mut out).unwrap();
        out
    }

    fn inode(path: &Path, name: &str) -> Option<u64> {
        std::fs::metadata(path.join(name)).ok().map(|m| m.ino())
    }

    #[test]
    fn two_files_take_turns() {
        let (_t, path, npk) = store();
        let guard = arm(0, Action::Nothing, false);
        let mut all = vec![0];
        for n in 1..=40 {
            let (now, kept) = (inode(&path, metadata::FILE), inode(&path, TEMPORARY));
            append(&npk, n);
            assert_eq!(inode(&path, TEMPORARY), now);
            all.push(n);
            assert_eq!(rows(&path), all);
            assert!(n < 3 || kept.is_some());
        }
        let steps = guard.steps();
        let count = |op: &str| steps.iter().filter(|(o, n)| o == op && n == TEMPORARY).count();
        assert_eq!((count("exchange"), count("rename")), (40, 0));
        // What is in the way of a new one goes first.
        let new = count("create") - count("remove");
        assert!((2..20).contains(&new), "{new} new files");
        // Of rows, and of the blocks in which something has changed.
        let writes = steps.iter().filter(|(op, _)| op == "write").count();
        assert_eq!(writes, 40 * 4 - new);
        assert_eq!(Store::verify(&path).unwrap(), []);
        drop((npk, guard));
        assert_eq!(inode(&path, TEMPORARY), None);
        // A writer without a handle leaves none.
        let mut w = Writer::open(&path).unwrap();
        w.append(&[("array 98", View::new(DType::U8, &[1], &[41]))]).unwrap();
        w.commit().unwrap();
        assert_eq!((inode(&path, TEMPORARY), rows(&path)[41]), (None, 41));
    }

    #[test]
    fn who_has_it_open_reads_it_as_it_was() {
        let (_t, path, npk) = store();
        settle(&npk);
        let mut old = Vec::new();
        for n in 0..6 {
            let file = File::open(path.join(metadata::FILE)).unwrap();
            old.push((file, std::fs::read(path.join(metadata::FILE)).unwrap()));
            let state = Store::open(&path).unwrap();
            append(&npk, n);
            append(&npk, n);
            append(&npk, n);
            for (file, bytes) in &old {
                let mut now = vec![0; bytes.len()];
                file.read_exact_at(&mut now, 0).unwrap();
                assert!(now == *bytes);
            }
            assert!(matches!(state.array("array 98"), Err(Error::Changed { .. })));
            assert_eq!(state.array("array 50").unwrap().info().shape, [1]);
        }
        old.clear();
        settle(&npk);
    }

    #[test]
    fn what_others_did_with_it_is_noticed() {
        let (t, path, npk) = store();
        let other = NumPack::open(&path).unwrap();
        let file = path.join(TEMPORARY);
        let changes: [&dyn Fn(); 7] = [
            &|| drop(Writer::open(&path).unwrap()),
            &|| std::fs::remove_file(&file).unwrap(),
            &|| std::fs::hard_link(&file, t.path().join("copy")).unwrap(),
            &|| std::fs::rename(&file, t.path().join("moved")).unwrap(),
            &|| std::fs::write(&file, "short").unwrap(),
            &|| std::fs::set_permissions(&file, PermissionsExt::from_mode(0o600)).unwrap(),
            &|| append(&other, 1),
        ];
        for (i, change) in changes.iter().enumerate() {
            settle(&npk);
            let (kept, bytes) = (inode(&path, TEMPORARY), std::fs::read(&file).unwrap());
            // Not held open, so that it could be written over.
            let held = t.path().join(format!("held {i}"));
            std::fs::hard_link(&file, &held).unwrap();
            change();
            append(&npk, i as u8);
            assert_ne!(inode(&path, metadata::FILE), kept, "{i}");
            assert_eq!(rows(&path).last(), Some(&(i as u8)));
            assert!(i == 4 || std::fs::read(&held).unwrap() == bytes, "{i}");
        }
        // What it holds is not taken on trust.
        for n in 90.. {
            settle(&npk);
            let (kept, len) = (inode(&path, TEMPORARY), std::fs::metadata(&file).unwrap().len());
            std::fs::write(&file, vec![7; len as usize]).unwrap();
            append(&npk, n);
            assert_eq!(rows(&path).last(), Some(&n));
            if inode(&path, metadata::FILE) == kept {
                break;
            }
        }
        // The metadata are for others now.
        let mode = PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(path.join(metadata::FILE), mode).unwrap();
        append(&npk, 98);
        assert_eq!(std::fs::metadata(path.join(metadata::FILE)).unwrap().mode() & 0o777, 0o600);
        drop(other);
        assert!(file.exists());
        drop(npk);
        assert!(!file.exists());
    }

    #[test]
    fn other_changes_come_between() {
        let (_t, path, npk) = store();
        settle(&npk);
        let kept = inode(&path, TEMPORARY);
        let nine = View::new(DType::U8, &[1], &[9]);
        npk.replace_rows("array 98", &Rows::Index(0), &nine).unwrap();
        // One that is begun and given up.
        let mut w = npk.begin().unwrap();
        w.append(&[("array 3", View::new(DType::U8, &[1], &[1]))]).unwrap();
        drop(w);
        assert_eq!(inode(&path, TEMPORARY), kept);
        append(&npk, 1);
        // Other metadata come under the temporary name.
        npk.drop_rows("array 98", &Rows::Index(1)).unwrap();
        assert_eq!(inode(&path, TEMPORARY), None);
        npk.append(&[("array 3", View::new(DType::U8, &[1], &[1]))]).unwrap();
        assert!(inode(&path, TEMPORARY).is_some());
        let rows = rows(&path);
        assert!(rows[0] == 9 && rows.ends_with(&[0, 1]), "{rows:?}");
    }

    #[test]
    fn a_forked_child_leaves_it() {
        let (_t, path, mut npk) = store();
        append(&npk, 1);
        npk.pretend_forked();
        drop(npk);
        assert!(inode(&path, TEMPORARY).is_some());
        drop(Writer::open(&path).unwrap());
        assert_eq!(inode(&path, TEMPORARY), None);
    }

    #[test]
    fn where_nothing_can_be_exchanged_none_is_kept() {
        let (_t, path, npk) = store();
        let guard = arm(0, Action::Nothing, true);
        for n in 1..4 {
            append(&npk, n);
            assert_eq!(inode(&path, TEMPORARY), None);
        }
        drop(guard);
        assert_eq!(rows(&path), [0, 1, 2, 3]);
    }
}
