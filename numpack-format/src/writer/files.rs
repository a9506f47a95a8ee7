//! Data files of the store that a writer changes in place: rows at their end, which nobody sees
//! before the commit, and replaced rows.

use crate::disk::{self, Dir, FileId};
use crate::error::{Error, Result, format};
use std::collections::HashMap;
use std::fs::File;
use std::path::PathBuf;

/// So many are kept open at a time.
const MANY: usize = 64;

#[derive(Debug, Default)]
pub(super) struct LiveFiles {
    open: Vec<Live>,
    by_name: HashMap<String, usize>,
    /// The end of what the store says is in each, also of those that were closed since.
    ends: HashMap<String, u64>,
    /// A sync that failed: what the system has dropped then, no later one tells.
    failed: Option<PathBuf>,
}

/// A file that is open, until another one is opened.
#[derive(Clone, Copy, Debug)]
pub(super) struct FileNumber(usize);

#[derive(Debug)]
struct Live {
    file: File,
    /// As of when it was opened.
    id: FileId,
    path: PathBuf,
    /// Whether something may not be on the disk yet.
    dirty: bool,
}

impl LiveFiles {
    /// Opens a data file whose first `len` bytes are an array's. What follows them is what an
    /// earlier writer left, and is cut off, unless `check` says that it may be what another
    /// program has appended. `None` if it has another name somewhere, whose owner does not expect
    /// that it changes.
    pub(super) fn open(
        &mut self,
        dir: &Dir,
        name: &str,
        len: u64,
        array: &str,
        check: impl FnOnce() -> Result<()>,
    ) -> Result<Option<FileNumber>> {
        if let Some(&i) = self.by_name.get(name) {
            return Ok(Some(FileNumber(i)));
        }
        let path = dir.join(name);
        let Some((file, id, links)) = dir.open_to_change(name).map_err(|e| e.in_array(array))?
        else {
            return Err(format(&path, None, "the data file is missing").in_array(array));
        };
        if links > 1 {
            return Ok(None);
        }
        if id.len() != len {
            check()?;
        }
        if id.len() < len {
            let problem = format!("expected {len} bytes, the file ends after {}", id.len());
            return Err(format(&path, id.len(), problem).in_array(array));
        }
        if self.open.len() >= MANY {
            // What they hold stays, and is looked up when they are needed again.
            self.sync_all()?;
            self.open.clear();
            self.by_name.clear();
        }
        if id.len() > len {
            disk::cut(&file, len, &path)?;
        }
        self.ends.entry(name.to_owned()).or_insert(len);
        let i = self.open.len();
        self.by_name.insert(name.to_owned(), i);
        self.open.push(Live { file, id, path, dirty: false });
        Ok(Some(FileNumber(i)))
    }

    /// A file, if it is open.
    pub(super) fn number(&self, name: &str) -> Option<FileNumber> {
        self.by_name.get(name).map(|&i| FileNumber(i))
    }

    /// A file that is open, and its identity when it was opened.
    pub(super) fn opened(&self, name: &str) -> Option<(&File, FileId)> {
        let live = self.by_name.get(name).and_then(|&i| self.open.get(i))?;
        Some((&live.file, live.id))
    }

    /// An open file once more, and its path.
    pub(super) fn file(&self, number: FileNumber) -> Result<(File, PathBuf)> {
        let live = &self.open[number.0];
        let file = live.file.try_clone().map_err(Error::io("open", &live.path))?;
        Ok((file, live.path.clone()))
    }

    /// Writes to a file that is open.
    pub(super) fn write(&mut self, file: FileNumber, bytes: &[u8], at: u64) -> Result<()> {
        let Some(live) = self.open.get_mut(file.0) else { return Ok(()) };
        live.dirty = true;
        disk::write_at(&live.file, bytes, at, &live.path)
    }

    /// Takes back what was appended past `len`, as well as that can be done.
    pub(super) fn take_back(&mut self, name: &str, len: u64) {
        if let Some(live) = self.by_name.get(name).and_then(|&i| self.open.get(i)) {
            let _ = disk::cut(&live.file, len, &live.path);
        }
    }

    /// Takes back all that was appended to files of the store, as well as that can be done.
    pub(super) fn take_back_all(&mut self, dir: &Dir) {
        for (name, end) in self.ends.drain() {
            let open = self.by_name.get(&name).map(|&i| &self.open[i].file);
            let opened = match open {
                Some(file) => file.try_clone().ok(),
                None => dir.open_to_change(&name).ok().flatten().map(|(file, ..)| file),
            };
            let longer = |file: &File| file.metadata().is_ok_and(|m| m.len() > end);
            if let Some(file) = opened.filter(longer) {
                let _ = disk::cut(&file, end, &dir.join(&name));
            }
        }
        self.by_name.clear();
        self.open.clear();
    }

    /// Another file has this name now, or none.
    pub(super) fn forget(&mut self, name: &str) {
        self.ends.remove(name);
        if let Some(i) = self.by_name.remove(name) {
            self.open[i].dirty = false;
        }
    }

    /// Makes a file durable.
    pub(super) fn sync(&mut self, name: &str) -> Result<()> {
        self.check()?;
        match self.by_name.get(name).and_then(|&i| self.open.get_mut(i)) {
            Some(live) => live.sync(&mut self.failed),
            None => Ok(()),
        }
    }

    /// Makes all of them durable.
    pub(super) fn sync_all(&mut self) -> Result<()> {
        self.check()?;
        self.open.iter_mut().try_for_each(|live| live.sync(&mut self.failed))
    }

    /// Whether a sync has failed.
    pub(super) fn is_poisoned(&self) -> bool {
        self.failed.is_some()
    }

    fn check(&self) -> Result<()> {
        self.failed.clone().map_or(Ok(()), |path| Err(Error::Poisoned { path }))
    }
}

impl Live {
    fn sync(&mut self, failed: &mut Option<PathBuf>) -> Result<()> {
        if self.dirty {
            disk::sync_data(&self.file, &self.path).inspect_err(|_| {
                *failed = Some(self.path.clone());
            })?;
            self.dirty = false;
        }
        Ok(())
    }
}
