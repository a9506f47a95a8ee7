//! A file, or a part of one, that a checkpoint is read from.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::{Error, Part, Result};
use crate::io::{append_at, read_exact_at};

/// An open file, or a range of one: a distributed checkpoint puts many archives into one file.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    pub(crate) path: PathBuf,
    pub(crate) file: Arc<File>,
    /// Where it starts in the file. Positions given to this type count from here, those in errors
    /// from the start of the file.
    pub(crate) base: u64,
    pub(crate) len: u64,
}

impl Source {
    /// Opens a whole file.
    pub(crate) fn open(path: &Path) -> Result<Source> {
        let failed = |e| Error::io(path, "open", None, e);
        let file = File::open(path).map_err(failed)?;
        let len = file.metadata().map_err(failed)?.len();
        Ok(Source { path: path.to_owned(), file: Arc::new(file), base: 0, len })
    }

    /// A range of it, which must lie in it.
    pub(crate) fn part(&self, from: u64, len: u64) -> Source {
        Source { base: self.base + from, len, ..self.clone() }
    }

    /// Fills `out` from `at` on.
    pub(crate) fn read(&self, at: u64, out: &mut [u8]) -> Result<()> {
        let at = self.base + at;
        read_exact_at(&self.file, out, at).map_err(|e| self.io(at, e))
    }

    /// The bytes from `at` on.
    pub(crate) fn bytes(&self, at: u64, len: usize) -> Result<Vec<u8>> {
        let mut out = Vec::new();
        let at = self.base + at;
        append_at(&self.file, &mut out, len, at).map_err(|e| self.io(at, e))?;
        Ok(out)
    }

    fn io(&self, at: u64, e: io::Error) -> Error {
        Error::io(&self.path, "read", Some(at), e)
    }

    /// An error about a position.
    pub(crate) fn format(&self, part: Part, at: u64, problem: impl Into<String>) -> Error {
        Error::format(&self.path, part, self.base + at, problem)
    }

    /// The same for what is not read.
    pub(crate) fn unsupported(
        &self,
        part: Part,
        at: u64,
        what: impl Into<String>,
        advice: &'static str,
    ) -> Error {
        Error::unsupported(&self.path, part, self.base + at, what, advice)
    }
}
