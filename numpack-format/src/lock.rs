//! One writer at a time.

use crate::disk::{self, Dir, FileId};
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
    pid: u32,
}

impl StoreLock {
    /// Locks the store at a path and opens its folder. Without `wait`, a store that another
    /// writer has is an error.
    ///
    /// The folder may be exchanged for another while we wait; the lock is good only if the path
    /// still leads to the folder it is in.
    pub(crate) fn acquire(path: &Path, wait: bool) -> Result<(Dir, StoreLock)> {
        loop {
            let mut dir = folder::open(path)?;
            dir.like = dir.access_of(metadata::FILE)?;
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
                return Ok((dir, lock));
            }
        }
    }

    /// Locks a folder; `None` if somebody else has and we are not to wait.
    pub(crate) fn in_dir(dir: &Dir, wait: bool) -> Result<Option<StoreLock>> {
        let file = dir.open_lock(FILE)?;
        let fail = Error::io("lock", dir.join(FILE));
        if wait {
            // A signal that is handled does not end the wait.
            loop {
                match file.lock() {
                    Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                    Err(e) => return Err(fail(e)),
                    Ok(()) => break,
                }
            }
        } else {
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Ok(None),
                Err(TryLockError::Error(e)) => return Err(fail(e)),
            }
        }
        Ok(Some(StoreLock { file, pid: std::process::id() }))
    }

    /// Whether the lock file is still the one in the folder.
    pub(crate) fn is_in(&self, dir: &Dir) -> Result<bool> {
        let fail = || Error::io("inspect", dir.join(FILE));
        let ours = FileId::of(&self.file).map_err(fail())?;
        Ok(dir.id(FILE).map_err(fail())?.is_some_and(|id| id.same_file(&ours)))
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
        if self.pid == std::process::id() {
            let _ = self.file.unlock();
        }
    }
}
