//! Storages as memory, without reading them: the one place where this crate maps a file.
#![allow(unsafe_code)]

use memmap2::Mmap;

use crate::archive::ByteOrder;
use crate::checkpoint::Checkpoint;
use crate::error::{Error, Part, Result};
use crate::{StorageId, StorageType};

/// A checkpoint's file as memory.
#[derive(Debug)]
pub struct Map {
    checkpoint: Checkpoint,
    map: Mmap,
}

impl Checkpoint {
    /// Maps the file, so that storages can be borrowed instead of read.
    ///
    /// # Safety
    /// For as long as the map lives, nobody may change or truncate the file: Rust takes the
    /// memory to be constant, and access beyond a shortened file's end kills the process.
    ///
    /// # Errors
    /// [`Error::Io`] where the system refuses.
    pub unsafe fn map(&self) -> Result<Map> {
        // SAFETY: that the file stays as it is while the map lives is the caller's promise.
        let map = unsafe { Mmap::map(self.file()) };
        let map = map.map_err(|e| Error::io(self.path(), "map", None, e))?;
        Ok(Map { checkpoint: self.clone(), map })
    }
}

impl Map {
    /// The bytes of a storage, as they lie in the file: little-endian. Checksums are not computed.
    ///
    /// # Errors
    /// [`Error::Unsupported`] where the record is compressed, or has numbers of several bytes in a
    /// big-endian archive: read it instead.
    pub fn storage(&self, id: StorageId) -> Result<&[u8]> {
        let checkpoint = &self.checkpoint;
        let record = checkpoint.storage_record(id)?;
        let part = || Part::Record(checkpoint.record_name(id).into());
        let swapped = checkpoint.byte_order() == ByteOrder::Big
            && match checkpoint.tree().storage(id).dtype {
                StorageType::Typed(dtype) => dtype.swap_size() > 1,
                StorageType::Untyped => true,
            };
        if record.compressed || swapped {
            let what =
                if swapped { "a mapped big-endian storage" } else { "a mapped compressed storage" };
            return Err(Error::unsupported(
                checkpoint.path(),
                part(),
                record.offset,
                what,
                "read it with read_storage_into",
            ));
        }
        let from = usize::try_from(record.offset).ok();
        let len = usize::try_from(record.len).ok();
        let bytes = from.zip(len).and_then(|(f, n)| self.map.get(f..f.checked_add(n)?));
        bytes.ok_or_else(|| {
            let problem = "the file ends before the record does; it changed after it was opened";
            Error::format(checkpoint.path(), part(), record.offset, problem)
        })
    }
}
