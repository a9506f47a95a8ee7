//! The bytes of each array, from the archive into its file.

use std::io::{self, Write};

use numpack_format::{ArrayWriter, Writer};
use torch_pickle::{ByteOrder, Checkpoint, Record, StorageId};

use super::FromTorch;
use super::encode::bytes_of;
use super::layout::stored_shape;
use super::plan::{PlannedArray, Source};
use crate::copy;
use crate::dtype::stored_form;
use crate::progress::Meter;
use crate::{Error, Result, buffer_size};

/// Up to this size a record passes through a buffer; above it the kernel copies.
const SMALL: u64 = 1 << 20;

pub(super) struct Filler<'a, 'm, 'p> {
    checkpoint: &'a Checkpoint,
    chunk: usize,
    meter: &'m mut Meter<'p>,
    buffer: Vec<u8>,
}

impl<'a, 'm, 'p> Filler<'a, 'm, 'p> {
    pub(super) fn new(
        checkpoint: &'a Checkpoint,
        options: &FromTorch,
        meter: &'m mut Meter<'p>,
    ) -> Self {
        Filler { checkpoint, chunk: buffer_size(options.chunk_size), meter, buffer: Vec::new() }
    }

    /// Writes one array.
    pub(super) fn fill(
        &mut self,
        writer: &mut Writer,
        array: &PlannedArray,
        name: &str,
    ) -> Result<()> {
        let (dtype, _) = stored_form(array.dtype);
        let (shape, _) = stored_shape(array);
        let mut out = writer.begin_array(name, dtype, &shape)?;
        match array.source {
            Source::Storage(id) => self.storage(id, &mut out)?,
            Source::Tensor(id) => {
                let tensor = self.checkpoint.tree().tensor(id);
                let storage = tensor.storage;
                let (plain, record) = self.record(storage)?;
                let in_order = tensor.is_contiguous() && !tensor.conj && !tensor.neg;
                let checkpoint = self.checkpoint;
                if plain && in_order && tensor.nbytes().is_some_and(|n| n > SMALL) {
                    let start = tensor.offset * tensor.dtype.size() as u64;
                    let len = tensor.nbytes().unwrap_or(0);
                    checkpoint.check_storage(storage)?;
                    self.splice(record.offset + start, len, &mut out, false)?;
                } else {
                    checkpoint.stream(id, self.chunk, &mut |bytes| self.take(&mut out, bytes))?;
                }
            }
            Source::Bytes(id) => {
                let bytes = bytes_of(self.checkpoint.tree(), id).unwrap_or_default();
                out.write_all(bytes).map_err(|e| self.io("write", e))?;
                self.count(bytes.len() as u64)?;
            }
        }
        Ok(out.finish()?)
    }

    /// A whole storage.
    fn storage(&mut self, id: StorageId, out: &mut ArrayWriter<'_>) -> Result<()> {
        let (plain, record) = self.record(id)?;
        if !plain {
            // Inflated or turned around on the way.
            let checkpoint = self.checkpoint;
            checkpoint.stream_storage(id, self.chunk, &mut |bytes| self.take(out, bytes))?;
        } else if record.len <= SMALL {
            let mut buffer = std::mem::take(&mut self.buffer);
            buffer.resize(record.len as usize, 0);
            copy::read_exact_at(self.checkpoint.file(), &mut buffer, record.offset)
                .map_err(|e| self.io("read", e))?;
            if self.checkpoint.wants_checksum(id)? {
                self.checkpoint.compare_checksum(id, crc32fast::hash(&buffer))?;
            }
            out.write_all(&buffer).map_err(|e| self.io("write", e))?;
            self.buffer = buffer;
            self.count(record.len)?;
        } else {
            let wants_crc = self.checkpoint.wants_checksum(id)?;
            if let Some(crc) = self.splice(record.offset, record.len, out, wants_crc)? {
                self.checkpoint.compare_checksum(id, crc)?;
            }
        }
        Ok(())
    }

    /// Copies a range of the archive by the kernel.
    fn splice(
        &mut self,
        from: u64,
        len: u64,
        out: &mut ArrayWriter<'_>,
        wants_crc: bool,
    ) -> Result<Option<u32>> {
        let mut crc = None;
        let file = self.checkpoint.file();
        let meter = &mut *self.meter;
        out.splice(len, |to, at| {
            if wants_crc {
                crc = Some(copy::copy_with_crc((file, from), (to, at), len, meter)?);
                Ok(())
            } else {
                copy::copy((file, from), (to, at), len, meter)
            }
        })?;
        Ok(crc)
    }

    /// The place of a storage, and whether its bytes can be taken as they are.
    fn record(&self, id: StorageId) -> Result<(bool, Record)> {
        let record = self.checkpoint.storage_record(id)?;
        let native = self.checkpoint.byte_order() == ByteOrder::Little;
        Ok((native && !record.compressed, record))
    }

    /// Takes streamed bytes; a failure to write travels through the reader's error.
    fn take(&mut self, out: &mut ArrayWriter<'_>, bytes: &[u8]) -> torch_pickle::Result<()> {
        let path = self.checkpoint.path();
        out.write_all(bytes).and_then(|()| self.meter.add(bytes.len() as u64)).map_err(|e| {
            torch_pickle::Error::Io {
                file: path.to_owned(),
                action: "convert",
                offset: None,
                source: e,
            }
        })
    }

    fn count(&mut self, bytes: u64) -> Result<()> {
        self.meter.add(bytes).map_err(|e| self.io("write", e))
    }

    fn io(&self, action: &'static str, e: io::Error) -> Error {
        Error::io(self.checkpoint.path(), action, e)
    }
}
