//! One writer at a time.

use crate::disk::{self, Dir, FileId, Kind};
use crate::error::{Error, Result};
use crate::folder;
use crate::metadata;
use std::fs::{File, TryLockError};
use std::io;
use std::path::Path;

/// The lock's name in the store. The file is never deleted while the store lives.
pub(crate) const FILE: &str = "libnumpack.lock";

/// The right to write a store; given back on drop, but not by a forked child.
#[derive(Debug)]
pub(crate) struct StoreLock {
    file: File,
    id: FileId,
    pid: u32,
    /// Whether somebody else had it first.
    waited: bool,
}

impl StoreLock {
    /// Locks the store at a path and opens its folder, unless the one that is `known` is it.
    /// Without `wait`, a store that another writer has is an error.
    ///
    /// The folder may be exchanged for another while we wait; the lock is good only if the path
    /// still leads to the folder it is in.
    pub(crate) fn acquire(
        path: &Path,
        wait: bool,
        mut known: Option<Dir>,
    ) -> Result<(Dir, StoreLock)> {
        loop {
            let mut dir = match known.take() {
                Some(dir) if dir.leads_from(path)? => dir,
                _ => folder::open(path)?,
            };
            // Before the lock file is made: a folder that is no store gets none.
            let found = dir.find(metadata::FILE).map_err(Error::io("inspect", path))?;
            let Some(found) = found else {
                // An old store that was replaced meanwhile loses its files.
                if dir.is_here(path)? {
                    let problem = "it holds no metadata.npkm";
                    return Err(Error::NotAStore { path: path.to_owned(), problem });
                }
                continue;
            };
            dir.like = (found.kind == Kind::File).then_some(found.access);
            let lock = match StoreLock::in_dir(&dir, wait) {
                Ok(Some(lock)) => lock,
                Ok(None) => return Err(Error::Locked { path: path.to_owned() }),
                // No file can be made in a folder that was removed since it was opened.
                Err(e) => {
                    if is_gone(&e) && !dir.is_here(path)? {
                        continue;
                    }
                    return Err(e);
                }
            };
            if dir.is_here(path)? && lock.is_in(&dir)? {
                if lock.waited {
                    dir.like = dir.access_of(metadata::FILE)?;
                }
                return Ok((dir, lock));
            }
        }
    }

    /// Locks a folder; `None` if somebody else has and we are not to wait.
    pub(crate) fn in_dir(dir: &Dir, wait: bool) -> Result<Option<StoreLock>> {
        let (file, id) = dir.open_lock(FILE)?;
        let fail = Error::io("lock", dir.join(FILE));
        let waited = match file.try_lock() {
            Ok(()) => false,
            Err(TryLockError::WouldBlock) if wait => true,
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(e)) => return Err(fail(e)),
        };
        if waited {
            // A signal that is handled does not end the wait.
            loop {
                match file.lock() {
                    Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                    Err(e) => return Err(fail(e)),
                    Ok(()) => break,
                }
            }
        }
        Ok(Some(StoreLock { file, id, pid: crate::process::id(), waited }))
    }

    /// Whether the lock file is still the one in the folder.
    pub(crate) fn is_in(&self, dir: &Dir) -> Result<bool> {
        let there = dir.id(FILE).map_err(|e| Error::io("inspect", dir.join(FILE))(e))?;
        Ok(there.is_some_and(|id| id.same_file(&self.id)))
    }
}

impl StoreLock {
    /// How often rows have been replaced in place.
    pub(crate) fn count(&self, dir: &Dir) -> Result<u64> {
        folder::count(&self.file).map_err(Error::io("read", dir.join(FILE)))
    }

    /// Counts that rows are about to be replaced in place, for readers to see. Nothing needs to
    /// reach the disk: who reads after a power loss has not begun before it.
    pub(crate) fn count_up(&self, dir: &Dir) -> Result<()> {
        let count = self.count(dir)?.wrapping_add(1);
        disk::write_at(&self.file, &count.to_le_bytes(), 0, &dir.join(FILE))
    }
}

/// Whether an error says that something is not there.
pub(crate) fn is_gone(e: &Error) -> bool {
    matches!(e, Error::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
}

impl Drop for StoreLock {
    fn drop(&mut self) {
        // The lock belongs to the open file, which a forked child shares: unlocking there would
        // take it from the parent.
        if self.pid == crate::process::id() {
            let _ = self.file.unlock();
        }
    }
}
