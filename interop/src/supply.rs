//! Bytes of tensors and storages, from any kind of file to whatever takes them: copied by the
//! kernel where they lie as they are wanted, else streamed.

use std::fs::File;
use std::io;
use std::path::Path;

use torch_pickle::{Checkpoint, Record, StorageId, StorageSink, Tensor, TensorId};

use crate::copy;
use crate::progress::Meter;
use crate::store_tree::StoreTree;
use crate::stored::Content;
use crate::tensors::Source;
use crate::{Error, Result, Tensors};

/// Up to this size bytes pass through a buffer; above it the kernel copies.
const SMALL: u64 = 1 << 20;

/// Writes a number of bytes at a position of a file, and says their CRC-32.
pub(crate) type Fill<'f> = &'f mut dyn FnMut(&File, u64) -> io::Result<u32>;

/// Takes the bytes of a tensor.
pub(crate) trait Sink {
    /// Whether the CRC-32 of what is spliced is wanted.
    const CRC: bool;

    /// Takes the next bytes.
    fn write(&mut self, bytes: &[u8]) -> torch_pickle::Result<()>;

    /// Lets `fill` write the next `len` bytes.
    fn splice(&mut self, len: u64, fill: Fill<'_>) -> torch_pickle::Result<()>;
}

impl Sink for StorageSink<'_, '_> {
    const CRC: bool = true;

    fn write(&mut self, bytes: &[u8]) -> torch_pickle::Result<()> {
        StorageSink::write(self, bytes)
    }

    fn splice(&mut self, len: u64, fill: Fill<'_>) -> torch_pickle::Result<()> {
        StorageSink::splice(self, len, fill)
    }
}

/// Supplies what is in a file, and counts it.
pub(crate) struct Supply<'a, 'p> {
    pub(crate) from: &'a Tensors,
    pub(crate) meter: Meter<'p>,
    pub(crate) chunk: usize,
    /// The output, for messages.
    pub(crate) to: &'a Path,
}

impl Supply<'_, '_> {
    /// The elements of a tensor in C order, or in Fortran order.
    pub(crate) fn tensor<S: Sink>(
        &mut self,
        id: TensorId,
        fortran_order: bool,
        sink: &mut S,
    ) -> Result<()> {
        let from = self.from;
        let mut tensor = from.tree().tensor(id).clone();
        if fortran_order {
            tensor = tensor.reversed();
        }
        let len = tensor.nbytes().unwrap_or(u64::MAX);
        let lies_so = tensor.is_contiguous()
            && !tensor.conj
            && !tensor.neg
            && tensor.dtype.values_per_item() == 1;
        match &from.source {
            Source::Torch(checkpoint) => {
                if lies_so
                    && len > SMALL
                    && let Some(place) = plain(checkpoint, tensor.storage)?
                {
                    return self.part(checkpoint, &tensor, place, len, sink);
                }
                let mut take = |bytes: &[u8]| take(&mut self.meter, self.to, sink, bytes);
                match fortran_order {
                    true => checkpoint.stream_reversed(id, self.chunk, &mut take)?,
                    false => checkpoint.stream(id, self.chunk, &mut take)?,
                }
                Ok(())
            }
            Source::Stored(source) => {
                if lies_so && len > SMALL && self.stored(source, &tensor, len, sink)? {
                    return Ok(());
                }
                let mut take = |bytes: &[u8]| take(&mut self.meter, self.to, sink, bytes);
                from.stream_stored(source, &tensor, &mut take)
            }
        }
    }

    /// A whole storage.
    pub(crate) fn storage<S: Sink>(
        &mut self,
        checkpoint: &Checkpoint,
        id: StorageId,
        sink: &mut S,
    ) -> Result<()> {
        match plain(checkpoint, id)? {
            Some((file, record)) if record.len > SMALL => {
                self.whole(checkpoint, id, (file, record), sink)
            }
            _ => {
                let mut take = |bytes: &[u8]| take(&mut self.meter, self.to, sink, bytes);
                Ok(checkpoint.stream_storage(id, self.chunk, &mut take)?)
            }
        }
    }

    /// What a tensor shows of a storage that lies in a file as it is.
    fn part<S: Sink>(
        &mut self,
        checkpoint: &Checkpoint,
        tensor: &Tensor,
        (file, record): (&File, Record),
        len: u64,
        sink: &mut S,
    ) -> Result<()> {
        let start = tensor.offset * tensor.dtype.size() as u64;
        if start == 0 && len == record.len {
            return self.whole(checkpoint, tensor.storage, (file, record), sink);
        }
        checkpoint.check_storage(tensor.storage)?;
        self.splice((file, record.offset + start), len, S::CRC, sink)?;
        Ok(())
    }

    /// All of a storage that lies in a file as it is.
    fn whole<S: Sink>(
        &mut self,
        checkpoint: &Checkpoint,
        id: StorageId,
        (file, record): (&File, Record),
        sink: &mut S,
    ) -> Result<()> {
        let wanted = checkpoint.wants_checksum(id)?;
        let crc = self.splice((file, record.offset), record.len, S::CRC || wanted, sink)?;
        if wanted {
            checkpoint.compare_checksum(id, crc)?;
        }
        Ok(())
    }

    /// What a tensor shows of an array of a store, if it lies in one file.
    fn stored<S: Sink>(
        &mut self,
        source: &StoreTree,
        tensor: &Tensor,
        len: u64,
        sink: &mut S,
    ) -> Result<bool> {
        let array = source.store.array(&source.arrays[tensor.storage.0 as usize])?;
        let Content::Store(array) = &array else { return Ok(false) };
        let Some((file, offset, stored)) = array.plain_file() else { return Ok(false) };
        let start = tensor.offset * tensor.dtype.size() as u64;
        if start.checked_add(len).is_none_or(|end| end > stored) {
            return Ok(false);
        }
        self.splice((file, offset + start), len, S::CRC, sink)?;
        // The kernel does not see to it that what it copied is one state.
        if !array.is_unchanged()? {
            let file = source.store.path().to_owned();
            return Err(numpack_format::Error::Changed { file }.into());
        }
        Ok(true)
    }

    fn splice<S: Sink>(
        &mut self,
        from: (&File, u64),
        len: u64,
        crc: bool,
        sink: &mut S,
    ) -> Result<u32> {
        let (mut found, meter) = (0, &mut self.meter);
        sink.splice(len, &mut |to, at| {
            if crc {
                found = copy::copy_with_crc(from, (to, at), len, meter)?;
            } else {
                copy::copy(from, (to, at), len, meter)?;
            }
            Ok(found)
        })?;
        Ok(found)
    }
}

/// Where the bytes of a storage lie, if they can be taken as they are.
fn plain(checkpoint: &Checkpoint, id: StorageId) -> Result<Option<(&File, Record)>> {
    let record = checkpoint.storage_record(id)?.filter(Record::is_plain);
    Ok(record.and_then(|record| Some((checkpoint.storage_file(id)?.0, record))))
}

/// Hands streamed bytes on, and counts them.
fn take<S: Sink>(
    meter: &mut Meter<'_>,
    to: &Path,
    sink: &mut S,
    bytes: &[u8],
) -> torch_pickle::Result<()> {
    sink.write(bytes)?;
    meter.add(bytes.len() as u64).map_err(|e| write_error(to, e))
}

/// A failure to write, in the reader's words, through which it travels.
pub(crate) fn write_error(to: &Path, source: io::Error) -> torch_pickle::Error {
    torch_pickle::Error::Io { file: to.to_owned(), action: "write", offset: None, source }
}

impl From<io::Error> for Stopped {
    fn from(e: io::Error) -> Stopped {
        Stopped::Io(e)
    }
}

/// Tells a failure of the supplier from one of the file that is written.
pub(crate) enum Stopped {
    Ours(Error),
    Io(io::Error),
}

impl Stopped {
    pub(crate) fn at(self, output: &Path) -> Error {
        match self {
            Stopped::Ours(e) => e,
            Stopped::Io(e) => Error::io(output, "write", e),
        }
    }
}
