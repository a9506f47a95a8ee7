//! Any zip archive, for formats that are built on it: its records, and how each begins.

use std::fs::File;
use std::path::Path;

use super::{Archive, Entry, Naming};
use crate::error::{Error, Result};
use crate::record::{Contents, Record};
use crate::source::Source;

/// A zip archive whose records are named anyhow, such as an `.npz` file, read as strictly as a
/// checkpoint.
///
/// ```no_run
/// use torch_pickle::ZipFile;
/// if let Some(zip) = ZipFile::open("arrays.npz")? {
///     for (index, entry) in zip.entries().enumerate() {
///         println!("{} at byte {}", entry.name, zip.record(index as u32)?.offset);
///     }
/// }
/// # Ok::<(), torch_pickle::Error>(())
/// ```
#[derive(Debug)]
pub struct ZipFile {
    source: Source,
    archive: Archive,
}

impl ZipFile {
    /// Opens a file; `None` where it is no zip archive.
    ///
    /// # Errors
    /// [`Error::Io`] where it cannot be read, [`Error::Format`] where it is damaged or could be
    /// understood in two ways, [`Error::Unsupported`] where it is encrypted or compressed in
    /// another way than deflate.
    pub fn open(path: impl AsRef<Path>) -> Result<Option<ZipFile>> {
        let source = Source::open(path.as_ref())?;
        let archive = Archive::open(&source, Naming::Free)?;
        Ok(archive.map(|archive| ZipFile { source, archive }))
    }

    /// The open file, for callers that read its records by other means.
    pub fn file(&self) -> &File {
        &self.source.file
    }

    /// The records, in the order of the central directory.
    pub fn entries(&self) -> impl Iterator<Item = Entry<'_>> {
        self.archive.entries()
    }

    /// Where the bytes of a record lie, by its place among the entries, after its local header was
    /// compared with the directory.
    ///
    /// # Errors
    /// [`Error::Format`] where the two contradict each other.
    ///
    /// # Panics
    /// Where there are not so many entries.
    pub fn record(&self, index: u32) -> Result<Record> {
        self.archive.record(&self.source, index)
    }

    /// The first bytes of a record's contents, at most `len` of them.
    ///
    /// # Errors
    /// As [`record`](Self::record); and where the deflated data are damaged.
    ///
    /// # Panics
    /// As [`record`](Self::record).
    pub fn start_of(&self, index: u32, len: usize) -> Result<Vec<u8>> {
        let record = self.record(index)?;
        let name = self.archive.entry(index).name;
        let len = record.len.min(len as u64) as usize;
        let mut out = crate::io::buffer(len)
            .map_err(|e| Error::io(&self.source.path, "read", Some(record.offset), e))?;
        Contents::new(&self.source, name, &record)?.fill(&mut out)?;
        Ok(out)
    }
}
