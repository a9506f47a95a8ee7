//! Storages as memory, without reading them: the one place where this crate maps a file.
#![allow(unsafe_code)]

use std::sync::Arc;

use memmap2::Mmap;

use crate::archive::ByteOrder;
use crate::checkpoint::Checkpoint;
use crate::error::{Error, Part, Result};
use crate::source::Source;
use crate::{StorageId, StorageType, TensorId};

/// A checkpoint's files as memory.
#[derive(Debug)]
pub struct Map {
    checkpoint: Checkpoint,
    /// One for each input; those in one file share it.
    maps: Vec<Arc<Mmap>>,
}

impl Checkpoint {
    /// Maps its files, so that storages can be borrowed instead of read.
    ///
    /// # Safety
    /// For as long as the map lives, nobody may change or truncate the files: Rust takes the
    /// memory to be constant, and access beyond a shortened file's end kills the process.
    ///
    /// # Errors
    /// [`Error::Io`] where the system refuses.
    pub unsafe fn map(&self) -> Result<Map> {
        let mut maps: Vec<Arc<Mmap>> = Vec::with_capacity(self.inputs().len());
        let mut last = None;
        for Source { file, path, .. } in self.inputs().iter().map(|input| &input.source) {
            // Archives within one file come one after the other.
            if let (Some(last), Some(map)) = (last.replace(file), maps.last())
                && Arc::ptr_eq(last, file)
            {
                maps.push(map.clone());
                continue;
            }
            // SAFETY: that the file stays as it is while the map lives is the caller's promise.
            let map = unsafe { Mmap::map(&**file) };
            maps.push(Arc::new(map.map_err(|e| Error::io(path, "map", None, e))?));
        }
        Ok(Map { checkpoint: self.clone(), maps })
    }
}

impl Map {
    /// The bytes of a storage, as they lie in the file: little-endian. Checksums are not computed.
    ///
    /// # Errors
    /// [`Error::Unsupported`] where the record is compressed, has numbers of several bytes in a
    /// big-endian archive, or lies in several pieces: read it instead.
    pub fn storage(&self, id: StorageId) -> Result<&[u8]> {
        let checkpoint = &self.checkpoint;
        let part = || checkpoint.record_part(id);
        let refuse = |what: &str| {
            let (path, advice) = (checkpoint.record_path(id), "read it with read_storage_into");
            Err(Error::unsupported(path, part(), None, what, advice))
        };
        let found = checkpoint.storage_record(id)?.zip(checkpoint.input_of(id));
        let Some((record, input)) = found else {
            return refuse("a mapped storage that lies in several pieces");
        };
        let swapped = record.order == ByteOrder::Big
            && match checkpoint.tree().storage(id).dtype {
                StorageType::Typed(dtype) => dtype.swap_size() > 1,
                StorageType::Untyped => true,
            };
        if swapped {
            return refuse("a mapped big-endian storage");
        }
        if record.compressed {
            return refuse("a mapped compressed storage");
        }
        let from = usize::try_from(record.offset).ok();
        let len = usize::try_from(record.len).ok();
        let map = self.maps.get(input as usize);
        let bytes = from.zip(len).zip(map).and_then(|((f, n), map)| map.get(f..f.checked_add(n)?));
        bytes.ok_or_else(|| {
            let problem = "the file ends before the record does; it changed after it was opened";
            Error::format(checkpoint.record_path(id), part(), record.offset, problem)
        })
    }

    /// The bytes of a tensor's elements, as [`Checkpoint::read_into`] gives them, but with no
    /// checksum compared.
    ///
    /// # Errors
    /// As [`storage`](Self::storage); and [`Error::Unsupported`] where the elements do not lie one
    /// after another in C order, or are stored conjugated or negated.
    pub fn tensor(&self, id: TensorId) -> Result<&[u8]> {
        let checkpoint = &self.checkpoint;
        let tensor = checkpoint.tree().tensor(id);
        let per_item = tensor.dtype.values_per_item();
        let is_plain = tensor.is_contiguous()
            && !(tensor.conj && tensor.dtype.is_complex())
            && !tensor.neg
            && tensor.offset.is_multiple_of(per_item);
        let len = tensor.nbytes().unwrap_or(u64::MAX);
        if len == 0 {
            return Ok(&[]);
        }
        let bytes = self.storage(tensor.storage)?;
        let from = tensor.offset / per_item * tensor.dtype.size() as u64;
        let range = usize::try_from(from).ok().zip(usize::try_from(len).ok());
        let found = range.and_then(|(from, len)| bytes.get(from..from.checked_add(len)?));
        found.filter(|_| is_plain).ok_or_else(|| {
            let part = Part::Tensor(checkpoint.tensor_name(id).into());
            let what = "a mapped tensor whose elements are not stored one after another";
            Error::unsupported(checkpoint.path(), part, None, what, "read it with read_into")
        })
    }
}
