//! A file that is written under another name beside its place, and put there at once.

use super::CHUNK;
use crate::disk::{self, Dir, Kind};
use crate::error::{Error, Result};
use crate::new_store;
use std::ffi::OsString;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

/// A new file that nobody looks at yet; removed if it comes to nothing.
pub(super) struct Output {
    parent: Dir,
    target: PathBuf,
    name: OsString,
    overwrite: bool,
    temporary: String,
    path: PathBuf,
    /// Locked, which tells it from what a dead process left.
    file: File,
    published: bool,
    /// Bytes that are to be written at `flushed`.
    buffer: Vec<u8>,
    used: usize,
    flushed: u64,
}

impl Output {
    /// Begins the file for a place, which must be free, or hold a regular file that may go.
    pub(super) fn begin(target: &Path, overwrite: bool) -> Result<Output> {
        check_place(target, overwrite)?;
        let (mut parent, name) = new_store::split(target)?;
        let prefix = new_store::sibling_prefix(&name);
        clear(&parent, &prefix);
        parent.like = match name.to_str() {
            Some(name) => parent.access_of(name)?,
            None => None,
        };
        let (temporary, file) = loop {
            let random = new_store::random();
            let temporary = format!("{prefix}{}-{random:016x}", std::process::id());
            let file = parent.create_new(&temporary)?;
            match lock_own(&parent, &temporary, &file) {
                Ok(true) => break (temporary, file),
                // Somebody who clears leftovers has taken the file for one.
                Ok(false) => {}
                Err(e) => {
                    let _ = parent.remove_file(&temporary);
                    return Err(e);
                }
            }
        };
        Ok(Output {
            path: parent.join(&temporary),
            parent,
            target: target.to_owned(),
            name,
            overwrite,
            temporary,
            file,
            published: false,
            buffer: vec![0; CHUNK],
            used: 0,
            flushed: 0,
        })
    }

    /// Where the next byte goes.
    pub(super) fn at(&self) -> u64 {
        self.flushed + self.used as u64
    }

    /// Appends bytes.
    pub(super) fn put(&mut self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            let space = self.space()?;
            let n = space.len().min(bytes.len());
            space[..n].copy_from_slice(&bytes[..n]);
            self.used += n;
            bytes = &bytes[n..];
        }
        Ok(())
    }

    /// Room for the next bytes, never empty; [`take`](Output::take) says how many came.
    pub(super) fn space(&mut self) -> Result<&mut [u8]> {
        if self.used == self.buffer.len() {
            self.flush()?;
        }
        Ok(&mut self.buffer[self.used..])
    }

    pub(super) fn take(&mut self, n: usize) {
        self.used += n;
    }

    /// Goes back to an earlier place; what was written from there on is written over.
    pub(super) fn rewind(&mut self, to: u64) {
        match to.checked_sub(self.flushed) {
            Some(used) => self.used = self.used.min(used as usize),
            None => (self.flushed, self.used) = (to, 0),
        }
    }

    /// Changes bytes that were put before.
    pub(super) fn patch(&mut self, at: u64, bytes: &[u8]) -> Result<()> {
        if at < self.flushed {
            // They may lie on both sides.
            self.flush()?;
            return disk::write_at(&self.file, bytes, at, &self.path);
        }
        let start = (at - self.flushed) as usize;
        self.buffer[start..start + bytes.len()].copy_from_slice(bytes);
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        if self.used > 0 {
            disk::write_at(&self.file, &self.buffer[..self.used], self.flushed, &self.path)?;
            self.flushed += self.used as u64;
            self.used = 0;
        }
        Ok(())
    }

    /// Makes what was written durable.
    pub(super) fn sync(&mut self) -> Result<()> {
        self.flush()?;
        disk::sync_file(&self.file, &self.path)
    }

    /// Puts the file in its place for good.
    pub(super) fn publish(mut self) -> Result<()> {
        check_place(&self.target, self.overwrite)?;
        if self.overwrite {
            self.parent
                .try_rename(&self.temporary, &self.parent, &*self.name)
                .map_err(Error::io("replace", &self.target))?;
        } else {
            let free = self
                .parent
                .rename_new(&self.temporary, &*self.name)
                .map_err(Error::io("create", &self.target))?;
            if !free {
                return Err(Error::Exists { path: self.target.clone() });
            }
        }
        self.published = true;
        self.parent.sync()
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        if !self.published {
            // What cannot be removed now, the next one for the same place removes.
            let _ = self.parent.remove_file(&self.temporary);
        }
    }
}

/// Refuses a place with anything that is not to go.
fn check_place(target: &Path, overwrite: bool) -> Result<()> {
    match std::fs::symlink_metadata(target) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(e) => Err(Error::io("inspect", target)(e)),
        Ok(_) if !overwrite => Err(Error::Exists { path: target.to_owned() }),
        Ok(m) if m.is_file() => Ok(()),
        Ok(_) => Err(Error::parameter(
            None,
            format!(
                "{} is no regular file, and only such is replaced by a package; choose another path",
                target.display()
            ),
        )),
    }
}

fn lock_own(parent: &Dir, name: &str, file: &File) -> Result<bool> {
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Ok(false),
        Err(TryLockError::Error(e)) => return Err(Error::io("lock", parent.join(name))(e)),
    }
    let fail = || Error::io("inspect", parent.join(name));
    let own = disk::FileId::of(file).map_err(fail())?;
    Ok(parent.id(name).map_err(fail())?.is_some_and(|id| id.same_file(&own)))
}

/// Removes what processes that died left beside a place. Whatever cannot be looked at stays.
fn clear(parent: &Dir, prefix: &str) {
    let Ok(entries) = parent.entries_where(|n| n.starts_with(prefix.as_bytes())) else { return };
    for (entry, kind) in entries {
        let Some(entry) = entry.filter(|e| kind == Kind::File && new_store::is_sibling(e, prefix))
        else {
            continue;
        };
        if let Ok(Some((file, _))) = parent.open_file(&entry)
            && lock_own(parent, &entry, &file).unwrap_or(false)
        {
            let _ = parent.remove_file(&entry);
        }
    }
}
