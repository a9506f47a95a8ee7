//! Changing a store that is there: one record decides, and is then carried out.

use crate::disk::{self, Dir, FileId, Kind, not_plain};
use crate::error::{Error, Result, format};
use crate::limits::Limits;
use crate::loaded::Loaded;
use crate::lock::StoreLock;
use crate::metadata;
use crate::new_store;
use crate::patches::{Patches, Runs};
use crate::redo::{self, RecordWriter, Redo, sha256};
use crate::row_log::{self, Decided, RowLog};
use crate::spare::Spare;
use rustix::io::Errno;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// How the names of staged files end.
pub(crate) const NEW: &str = ".new";
/// Bytes copied at a time.
const CHUNK: u64 = 1 << 20;

/// The metadata by what it was when it was read, of a file that is open still, and its hash.
pub(crate) type Hashed = (FileId, [u8; 32]);

/// Gives a file by its name, if it is open, and what it was then.
pub(crate) type OpenFiles<'a> = dyn Fn(&str) -> Option<(&'a File, FileId)> + 'a;

/// What the writer that decided a change knows, and need not find out again to carry it out.
#[derive(Clone, Copy, Default)]
pub(crate) struct AtHand<'a> {
    pub(crate) metadata: Option<Hashed>,
    /// Gives data files that are open.
    pub(crate) files: Option<&'a OpenFiles<'a>>,
    /// Whether the record's file is kept for the next one.
    pub(crate) keep: bool,
}

/// Makes a change durable. Once this returns, or if `published` was set, the change is decided.
/// `record` holds the new rows, if there are any, and gets the file of an earlier one, if that can
/// be had. Last of all, `check` sees that the metadata is the one that is replaced: the syncs before
/// may have taken long. Gives the record's file, of use when the change has been carried out.
///
/// The staged files must have been synced, and the folder they are in.
pub(crate) fn publish(
    dir: &Dir,
    record: RecordWriter,
    spare: Option<Spare>,
    redo: &Redo,
    limits: &Limits,
    check: impl FnOnce() -> Result<()>,
    published: &mut bool,
) -> Result<Spare> {
    let write = || {
        check_room(dir, redo)?;
        let file = record.finish(dir, spare, redo, limits)?;
        check()?;
        dir.rename(redo::TEMPORARY, dir, redo::FILE)?;
        Ok(file)
    };
    let file = write().inspect_err(|_| {
        let _ = dir.remove_file(redo::TEMPORARY);
    })?;
    *published = true;
    dir.sync()?;
    Ok(file)
}

/// The same of a change of rows and nothing else, whose record is `content`; it may be decided from
/// when `published` is set.
pub(crate) fn publish_rows(
    dir: &Dir,
    content: &[u8],
    last: Option<RowLog>,
    check: impl FnOnce() -> Result<()>,
    published: &mut bool,
) -> Result<Decided> {
    check()?;
    *published = true;
    RowLog::decide(dir, last, content)
}

/// Refuses to write more than a reader with these limits takes.
pub(crate) fn within(
    file: &std::path::Path,
    what: &'static str,
    value: usize,
    limit: u64,
) -> Result<()> {
    let value = value as u64;
    if value <= limit {
        return Ok(());
    }
    Err(Error::Limit { file: file.to_owned(), array: None, what, value, limit })
}

/// Refuses a change that could be decided, but not carried out: what it moves, writes and removes
/// are regular files, or not there.
fn check_room(dir: &Dir, redo: &Redo) -> Result<()> {
    let targets = redo.renames.iter().map(|r| &r.target);
    let bitmaps = redo.bitmaps.iter().map(|(name, _)| name).chain(&redo.stale_bitmaps);
    for file in targets.chain(bitmaps).chain(&redo.removals) {
        if dir.kind(file)?.is_some_and(|kind| kind != Kind::File) {
            return Err(not_plain(
                dir.join(file),
                "is no regular file, and is to be replaced or removed",
            ));
        }
    }
    Ok(())
}

/// Carries out a published change, and says what was worth a warning. It may have been begun
/// before; doing it twice does no harm. `rows` has the new rows, if there are any.
pub(crate) fn apply(
    dir: &Dir,
    lock: &StoreLock,
    redo: &Redo,
    rows: Option<&Patches>,
    at_hand: AtHand<'_>,
    limits: &Limits,
) -> Result<Vec<String>> {
    let only_rows = redo.metadata.is_empty();
    // Somebody who does not know of the record may have written.
    let is_new = || match metadata_hash(dir, at_hand.metadata, limits)? {
        hash if hash == redo.old => Ok(only_rows),
        hash if !only_rows && hash == sha256(&redo.metadata) => Ok(true),
        _ => Err(Error::Changed { file: dir.join(metadata::FILE) }),
    };
    let is_there = is_new()?;
    let stage = if only_rows { None } else { dir.open_dir(redo::STAGE)? };
    check_staged(dir, stage.as_ref(), redo)?;
    // Begun before anything else is synced, it costs no commit of a journal of its own.
    let begin = || dir.begin_file(redo::METADATA_TEMPORARY, metadata::FILE, &redo.metadata);
    let next = if is_there { None } else { Some(begin()?) };
    put_all_rows(dir, lock, redo, rows, at_hand)?;
    for (name, bytes) in &redo.bitmaps {
        dir.replace_file(redo::BITMAP_TEMPORARY, name, bytes)?;
    }
    for name in &redo.stale_bitmaps {
        dir.remove_file(name)?;
    }
    if let Some(stage) = &stage {
        for r in &redo.renames {
            match stage.try_rename(&r.staged, dir, &r.target[..]) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => {
                    return Err(Error::io("rename", stage.join(&r.staged))(e));
                }
                _ => {}
            }
        }
    }
    is_new()?;
    if let Some(file) = next {
        dir.finish_file(&file, redo::METADATA_TEMPORARY, metadata::FILE)?;
    }
    let mut warnings = Vec::new();
    for name in &redo.removals {
        leave(dir.remove_file(name), &mut warnings)?;
    }
    for name in &redo.folders {
        leave(dir.remove_dir(name), &mut warnings)?;
    }
    // Where only rows have changed, no entry of the folder has.
    if !only_rows {
        // A file must not be gone from the stage before it is in its place for good.
        dir.sync()?;
    }
    if let Some(stage) = stage {
        stage.sync()?;
        dir.remove_dir(redo::STAGE)?;
    }
    if at_hand.keep {
        dir.rename(redo::FILE, dir, redo::TEMPORARY)?;
    } else {
        dir.remove_file(redo::FILE)?;
    }
    dir.sync()?;
    Ok(warnings)
}

/// The same of a change of rows and nothing else, whose record the caller withdraws then.
pub(crate) fn apply_rows(
    dir: &Dir,
    lock: &StoreLock,
    redo: &Redo,
    rows: &Patches,
    at_hand: AtHand<'_>,
    limits: &Limits,
) -> Result<()> {
    // Somebody who does not know of the record may have written.
    let check = || match metadata_hash(dir, at_hand.metadata, limits)? {
        hash if hash == redo.old => Ok(()),
        _ => Err(Error::Changed { file: dir.join(metadata::FILE) }),
    };
    check()?;
    put_all_rows(dir, lock, redo, Some(rows), at_hand)?;
    check()
}

fn put_all_rows(
    dir: &Dir,
    lock: &StoreLock,
    redo: &Redo,
    rows: Option<&Patches>,
    at_hand: AtHand<'_>,
) -> Result<()> {
    let Some(rows) = rows.filter(|_| !redo.rows.is_empty()) else { return Ok(()) };
    lock.count_up(dir)?;
    redo.rows.iter().try_for_each(|(name, runs)| put_rows(dir, name, runs, rows, at_hand))
}

/// Replaces rows in place, for good.
fn put_rows(dir: &Dir, name: &str, runs: &Runs, rows: &Patches, at_hand: AtHand<'_>) -> Result<()> {
    let path = dir.join(name);
    let there = || dir.find(name).map_err(Error::io("inspect", &path));
    let opened;
    let (file, copied) = match at_hand.files.and_then(|open| open(name)) {
        Some((file, id)) if there()?.is_some_and(|f| f.id.same_file(&id) && f.links == 1) => {
            (file, false)
        }
        _ => {
            let (file, copied) = match dir.open_to_change(name)? {
                Some((file, _, 1)) => (file, false),
                // It has got another name since, of a copy by links perhaps, where rows must stay.
                Some((file, ..)) => (copy(dir, &file, &path)?, true),
                None => {
                    let problem = format!("it has new rows of {name:?}, which is missing");
                    return Err(redo::with_hint(format(&rows.path, None, problem)));
                }
            };
            opened = file;
            (&opened, copied)
        }
    };
    let mut buffer = Vec::new();
    for (offset, run) in runs.iter() {
        let mut done = 0;
        while done < run.len {
            let n = (run.len - done).min(CHUNK);
            buffer.resize(n as usize, 0);
            let read = rows.source.read_exact_at(&mut buffer, run.at + done);
            read.map_err(Error::io("read", &rows.path))?;
            disk::write_at(file, &buffer, offset + done, &path)?;
            done += n;
        }
    }
    disk::sync_data(file, &path)?;
    if copied {
        disk::sync_file(file, &path)?;
        dir.rename(redo::ROWS_TEMPORARY, dir, name)?;
        dir.sync()?;
    }
    Ok(())
}

/// A copy of a data file under a name of its own.
fn copy(dir: &Dir, from: &File, path: &Path) -> Result<File> {
    dir.remove_file(redo::ROWS_TEMPORARY)?;
    let to = dir.create_new(redo::ROWS_TEMPORARY)?;
    let len = FileId::of(from).map_err(Error::io("inspect", path))?.len();
    let mut buffer = vec![0; len.min(CHUNK) as usize];
    let mut at = 0;
    while at < len {
        let n = (len - at).min(CHUNK) as usize;
        from.read_exact_at(&mut buffer[..n], at).map_err(Error::io("read", path))?;
        disk::write_at(&to, &buffer[..n], at, &dir.join(redo::ROWS_TEMPORARY))?;
        at += n as u64;
    }
    Ok(to)
}

/// What is to go and is not what it was when that was decided stays: the store is sound with it.
fn leave<T>(removed: Result<T>, warnings: &mut Vec<String>) -> Result<()> {
    let mut other = vec![Errno::ISDIR, Errno::NOTDIR, Errno::LOOP];
    if cfg!(not(target_os = "linux")) {
        // What other systems say of a folder.
        other.push(Errno::PERM);
    }
    match removed {
        Err(Error::Io { file, source, .. }) if disk::is_errno(&source, &other) => {
            warnings.push(format!(
                "{} is no longer needed, but has become something else and is left: {source}",
                file.display()
            ));
            Ok(())
        }
        Err(e) => Err(e),
        Ok(_) => Ok(()),
    }
}

/// Each staged file is the one that was committed, or stands in its place already.
fn check_staged(dir: &Dir, stage: Option<&Dir>, redo: &Redo) -> Result<()> {
    for r in &redo.renames {
        let inspect = |d: &Dir, name: &str| d.id(name).map_err(Error::io("inspect", d.join(name)));
        let staged = stage.map(|s| inspect(s, &r.staged)).transpose()?.flatten();
        let problem = match staged {
            Some(id) if id.len() == r.len => continue,
            Some(id) => format!(
                "the new file {:?} has {} bytes, {} were committed",
                r.staged,
                id.len(),
                r.len
            ),
            None if inspect(dir, &r.target)?.is_some_and(|id| id.len() >= r.len) => continue,
            None => {
                format!("the new file {:?} of {} bytes is missing", r.staged, r.len)
            }
        };
        return Err(redo::with_hint(format(&dir.join(redo::FILE), None, problem)));
    }
    Ok(())
}

/// Finishes or discards what an earlier writer left behind, and says what was worth a warning.
/// The lock is that of the folder.
pub(crate) fn recover(dir: &Dir, lock: &StoreLock, limits: &Limits) -> Result<Vec<String>> {
    let loaded = Loaded::read(dir, limits)?;
    let mut warnings = loaded.warnings;
    if let Some((_, record, row_log::FILE)) = &loaded.redo {
        row_log::promote(dir, record)?;
    }
    // Whoever put a record there, or removed the last one, may not have lived to sync that. A
    // record must be there for good before any of it is carried out; and should an old one come
    // back after a power loss, it must not find a later writer's state.
    dir.sync()?;
    match loaded.redo {
        Some((redo, source, _)) => {
            let path = dir.join(redo::FILE);
            let rows = Patches { source, path, of: HashMap::new() };
            warnings.extend(apply(dir, lock, &redo, Some(&rows), AtHand::default(), limits)?);
        }
        None if loaded.ignored => {
            dir.remove_file(redo::FILE)?;
            dir.sync()?;
        }
        None => {}
    }
    // Whoever withdrew the record in it may not have lived to sync that.
    row_log::remove(dir)?;
    clear_leftovers(dir)?;
    Ok(warnings)
}

/// Removes what a writer that died before its commit left.
fn clear_leftovers(dir: &Dir) -> Result<()> {
    for name in
        [redo::TEMPORARY, redo::METADATA_TEMPORARY, redo::BITMAP_TEMPORARY, redo::ROWS_TEMPORARY]
    {
        if dir.id(name).map_err(Error::io("inspect", dir.join(name)))?.is_some() {
            dir.remove_file(name)?;
        }
    }
    let probe = new_store::PROBE;
    if dir.id(probe).map_err(Error::io("inspect", dir.join(probe)))?.is_some() {
        dir.remove_dir(probe)?;
    }
    clear_stage(dir, "")
}

/// Removes the staged files whose names begin so, and their folder, if nothing else is in it.
pub(crate) fn clear_stage(dir: &Dir, prefix: &str) -> Result<()> {
    let Some(stage) = dir.open_dir(redo::STAGE)? else { return Ok(()) };
    for (name, kind) in stage.entries()? {
        if let Some(name) =
            name.filter(|n| kind == Kind::File && n.starts_with(prefix) && n.ends_with(NEW))
        {
            stage.remove_file(&name)?;
        }
    }
    dir.remove_dir(redo::STAGE)?;
    Ok(())
}

/// Makes the folder of staged files, for the same users as the store's own.
pub(crate) fn make_stage(dir: &Dir) -> Result<Dir> {
    let made = dir.make_dir(redo::STAGE, 0o777)?;
    let Some(mut stage) = dir.open_dir(redo::STAGE)? else {
        return Err(Error::Changed { file: dir.join(redo::STAGE) });
    };
    if made {
        stage.give_access(dir.access()?)?;
    }
    stage.like = dir.like;
    Ok(stage)
}

/// Refuses a change of a metadata that is not there any more.
pub(crate) fn check_old(dir: &Dir, redo: &Redo, limits: &Limits) -> Result<()> {
    match metadata_hash(dir, None, limits)? {
        hash if hash == redo.old => Ok(()),
        _ => Err(Error::Changed { file: dir.join(metadata::FILE) }),
    }
}

/// The hash of the metadata as it is on disk now. Where it is the file that has been hashed, as far
/// as its identity says, it is not read again: who rewrites it, by another file or in place, changes
/// that, and readers go by no more.
pub(crate) fn metadata_hash(dir: &Dir, known: Option<Hashed>, limits: &Limits) -> Result<[u8; 32]> {
    let path = dir.join(metadata::FILE);
    if let Some((id, hash)) = known
        && dir.id(metadata::FILE).map_err(Error::io("inspect", &path))? == Some(id)
    {
        return Ok(hash);
    }
    let Some((file, id)) = dir.open_file(metadata::FILE)? else {
        return Err(Error::Changed { file: path });
    };
    let len = id.len();
    let (what, limit) = ("the size of the metadata", limits.max_metadata_bytes);
    if len > limit {
        return Err(Error::Limit { file: path, array: None, what, value: len, limit });
    }
    let mut hash = Sha256::new();
    let mut buffer = vec![0; len.min(1 << 20) as usize];
    let mut at = 0;
    while at < len {
        let n = (len - at).min(buffer.len() as u64) as usize;
        file.read_exact_at(&mut buffer[..n], at).map_err(Error::io("read", &path))?;
        hash.update(&buffer[..n]);
        at += n as u64;
    }
    Ok(hash.finalize().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn somebody_else_wrote() {
        let t = tempfile::tempdir().unwrap();
        let dir = Dir::open(t.path()).unwrap();
        let limits = Limits::default();
        std::fs::write(t.path().join(metadata::FILE), "foreign").unwrap();
        std::fs::write(t.path().join("data_x.npkd"), "x").unwrap();
        let redo = Redo {
            old: sha256(b"old"),
            metadata: b"new".to_vec(),
            removals: vec!["data_x.npkd".into()],
            ..Redo::default()
        };
        let mut published = false;
        let lock = StoreLock::in_dir(&dir, false).unwrap().unwrap();
        let check = || check_old(&dir, &redo, &limits);
        let record = RecordWriter::new(&dir);
        let refused = publish(&dir, record, None, &redo, &limits, check, &mut published);
        assert!(matches!(refused, Err(Error::Changed { .. })) && !published);
        let refused = apply(&dir, &lock, &redo, None, AtHand::default(), &limits);
        assert!(matches!(refused, Err(Error::Changed { .. })));
        assert_eq!(std::fs::read(t.path().join(metadata::FILE)).unwrap(), b"foreign");
        assert_eq!(std::fs::read_dir(t.path()).unwrap().count(), 3);
    }

    #[test]
    fn what_became_a_folder_is_left() {
        let t = tempfile::tempdir().unwrap();
        let dir = Dir::open(t.path()).unwrap();
        std::fs::write(t.path().join(metadata::FILE), "old").unwrap();
        std::fs::create_dir(t.path().join("data_x.npkd")).unwrap();
        std::os::unix::fs::symlink(t.path(), t.path().join("data_y_segments")).unwrap();
        let redo = Redo {
            old: sha256(b"old"),
            metadata: b"new".to_vec(),
            removals: vec!["data_x.npkd".into(), "data_y_segments/metadata.npkm".into()],
            folders: vec!["data_y_segments".into()],
            ..Redo::default()
        };
        let lock = StoreLock::in_dir(&dir, false).unwrap().unwrap();
        let applied = apply(&dir, &lock, &redo, None, AtHand::default(), &Limits::default());
        assert_eq!(applied.unwrap().len(), 3);
        assert_eq!(std::fs::read(t.path().join(metadata::FILE)).unwrap(), b"new");
    }
}
