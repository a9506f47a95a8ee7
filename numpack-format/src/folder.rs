//! The open folder of a store, and what tells one state of it from another.

use crate::disk::{Dir, FileId};
use crate::error::{Error, Result};
use crate::{lock, metadata, redo};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Arc, OnceLock};

/// What changes with every commit, but for rows that are replaced in place.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Generation {
    pub(crate) metadata: Option<FileId>,
    pub(crate) redo: Option<FileId>,
}

impl Generation {
    pub(crate) fn of(dir: &Dir) -> io::Result<Generation> {
        // In this order: a change puts its record there, moves data files, changes the metadata and
        // takes the record away. The old metadata after no record means that none has been moved.
        let redo = dir.id(redo::FILE)?;
        Ok(Generation { metadata: dir.id(metadata::FILE)?, redo })
    }
}

/// A store's folder in the state that was read.
#[derive(Debug)]
pub(crate) struct Folder {
    pub(crate) dir: Dir,
    /// Kept open, so that no other file can come by their identity, nor the record be overwritten.
    _files: (File, Option<Arc<File>>),
    pub(crate) generation: Generation,
    /// How often rows had been replaced in place before a record was looked for.
    pub(crate) count: u64,
    lock: OnceLock<File>,
}

/// How often rows have been replaced in place, and the file that says so, if it is there.
pub(crate) type Counted = (u64, Option<File>);

/// Looks at that before anything else is read.
pub(crate) fn counted(dir: &Dir) -> Result<Counted> {
    let Some((file, _)) = dir.open_file(lock::FILE)? else { return Ok((0, None)) };
    let count = count(&file).map_err(Error::io("read", dir.join(lock::FILE)))?;
    Ok((count, Some(file)))
}

impl Folder {
    pub(crate) fn new(
        dir: Dir,
        files: (File, Option<Arc<File>>),
        generation: Generation,
        (count, lock): Counted,
    ) -> Folder {
        let lock = lock.map_or_else(OnceLock::new, OnceLock::from);
        Folder { dir, _files: files, generation, count, lock }
    }

    /// Whether the folder is still in the state that was read.
    pub(crate) fn is_current(&self) -> Result<bool> {
        let now = Generation::of(&self.dir).map_err(Error::io("inspect", self.dir.path()))?;
        Ok(now == self.generation)
    }

    /// How often rows have been replaced in place: the writer counts before each time.
    pub(crate) fn replacements(&self) -> Result<u64> {
        let file = match self.lock.get() {
            Some(file) => file,
            None => match self.dir.open_file(lock::FILE)? {
                Some((file, _)) => self.lock.get_or_init(|| file),
                // Nobody has written here yet.
                None => return Ok(0),
            },
        };
        count(file).map_err(Error::io("read", self.dir.join(lock::FILE)))
    }
}

/// The number in the lock file.
pub(crate) fn count(lock: &File) -> io::Result<u64> {
    let mut bytes = [0; 8];
    match lock.read_exact_at(&mut bytes, 0) {
        Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => Ok(0),
        read => read.map(|()| u64::from_le_bytes(bytes)),
    }
}

/// Opens a store's folder.
pub(crate) fn open(path: &Path) -> Result<Dir> {
    let problem = |problem| Error::NotAStore { path: path.to_owned(), problem };
    Dir::open(path).map_err(|e| match e.kind() {
        io::ErrorKind::NotFound => problem("there is nothing"),
        io::ErrorKind::NotADirectory => problem("it is a file, not a folder"),
        _ => Error::io("open", path)(e),
    })
}
