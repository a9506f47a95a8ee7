//! The bytes of each array, from the archive into its file.

use std::fs::File;
use std::io::{self, Write};

use numpack_format::{ArrayWriter, Writer};
use torch_pickle::{Checkpoint, Record, StorageId};

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
                let plain = self.plain(storage)?;
                let in_order = tensor.is_contiguous() && !tensor.conj && !tensor.neg;
                let checkpoint = self.checkpoint;
                if let Some(place) = plain
                    && in_order
                    && tensor.nbytes().is_some_and(|n| n > SMALL)
                {
                    let start = tensor.offset * tensor.dtype.size() as u64;
                    let len = tensor.nbytes().unwrap_or(0);
                    checkpoint.check_storage(storage)?;
                    self.splice(place, start, len, &mut out, false)?;
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
        let Some(place) = self.plain(id)? else {
            // Inflated, turned around or put together on the way.
            let checkpoint = self.checkpoint;
            checkpoint.stream_storage(id, self.chunk, &mut |bytes| self.take(out, bytes))?;
            return Ok(());
        };
        let (file, record) = place;
        if record.len <= SMALL {
            let mut buffer = std::mem::take(&mut self.buffer);
            buffer.resize(record.len as usize, 0);
            copy::read_exact_at(file, &mut buffer, record.offset)
                .map_err(|e| self.io("read", e))?;
            if self.checkpoint.wants_checksum(id)? {
                self.checkpoint.compare_checksum(id, crc32fast::hash(&buffer))?;
            }
            out.write_all(&buffer).map_err(|e| self.io("write", e))?;
            self.buffer = buffer;
            self.count(record.len)?;
        } else {
            let wants_crc = self.checkpoint.wants_checksum(id)?;
            if let Some(crc) = self.splice(place, 0, record.len, out, wants_crc)? {
                self.checkpoint.compare_checksum(id, crc)?;
            }
        }
        Ok(())
    }

    /// Copies a range of a storage by the kernel.
    fn splice(
        &mut self,
        (file, record): (&File, Record),
        start: u64,
        len: u64,
        out: &mut ArrayWriter<'_>,
        wants_crc: bool,
    ) -> Result<Option<u32>> {
        let mut crc = None;
        let from = record.offset + start;
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

    /// Where the bytes of a storage lie, if they can be taken as they are.
    fn plain(&self, id: StorageId) -> Result<Option<(&'a File, Record)>> {
        let record = self.checkpoint.storage_record(id)?.filter(Record::is_plain);
        Ok(record.and_then(|record| Some((self.checkpoint.storage_file(id)?.0, record))))
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
