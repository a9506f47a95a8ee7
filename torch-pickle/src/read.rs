//! Reading storages and tensors: in place where the bytes already lie as wanted, else by way of
//! [`view`](crate::view), and then resolved: byte order, conjugation, negation.

use std::ops::Range;

use crate::archive::ByteOrder;
use crate::checkpoint::{Checkpoint, Shown};
use crate::error::{Error, Part, Result};
use crate::place::Data;
use crate::resolve::{Resolve, swap_bytes};
use crate::{CrcPolicy, Node, StorageId, StorageType, Tensor, TensorId, view};

/// Bounds of the pieces a stream is cut into.
const CHUNK: Range<usize> = 4 * 1024..8 * 1024 * 1024;
/// The scratch memory of a read into the caller's buffer.
const SCRATCH: usize = 4 * 1024 * 1024;

/// Where a tensor's elements come from.
struct Source<'a> {
    id: TensorId,
    tensor: &'a Tensor,
    data: Data<'a>,
    /// Bytes of an element.
    size: usize,
    /// Bytes of the tensor.
    len: u64,
    /// The first byte in the storage.
    start: u64,
    resolve: Resolve,
}

impl Checkpoint {
    /// Reads a whole storage, little-endian.
    ///
    /// The elements of an untyped storage in a big-endian archive are swapped by the type of the
    /// tensors that show it.
    ///
    /// # Errors
    /// [`Error::Parameter`] where `out` has another length than the storage;
    /// [`Error::Unsupported`] where tensors of several types show an untyped big-endian storage;
    /// [`Error::Format`] where its checksum is wrong and the policy is to refuse.
    pub fn read_storage_into(&self, id: StorageId, out: &mut [u8]) -> Result<()> {
        let data = self.data(id)?;
        check_len(out.len(), data.len())?;
        let swap = self.storage_swap(id)?;
        self.read_whole(id, &data, out)?;
        swap_bytes(out, swap);
        Ok(())
    }

    /// Reads a tensor: its elements in C order, little-endian, conjugation and negation resolved.
    ///
    /// # Errors
    /// As [`read_storage_into`](Self::read_storage_into), and [`Error::Limit`] where the tensor is
    /// larger than its storage (`expand`) and than [`Limits::max_expansion`].
    ///
    /// [`Limits::max_expansion`]: crate::Limits::max_expansion
    pub fn read_into(&self, id: TensorId, out: &mut [u8]) -> Result<()> {
        let source = self.source(id, self.tree().tensor(id))?;
        check_len(out.len(), source.len)?;
        if source.len == 0 {
            return Ok(());
        }
        let tensor = source.tensor;
        if tensor.is_contiguous() {
            if source.start == 0 && source.len == source.data.len() {
                self.read_whole(tensor.storage, &source.data, out)?;
            } else if source.data.is_compressed()
                || !self.crc_is_settled(tensor.storage, &source.data)
            {
                // One pass checks the record and fetches the part.
                let mut filled = 0;
                self.pass(&source, SCRATCH, &mut |piece| {
                    out[filled..filled + piece.len()].copy_from_slice(piece);
                    filled += piece.len();
                    Ok(())
                })?;
            } else {
                source.data.read_part(source.start, out)?;
            }
        } else {
            let dims = view::simplify(&tensor.shape, &tensor.stride);
            let mut scratch = Vec::new();
            self.with_bytes(&source, SCRATCH, &mut |read| {
                let boxed = view::c_order(&dims);
                view::gather(&boxed, tensor.offset, source.size, SCRATCH, &mut scratch, read, out)
            })?;
        }
        source.resolve.apply(out);
        Ok(())
    }

    /// Hands a tensor's bytes, the same as [`read_into`](Self::read_into) gives, to `sink` in
    /// pieces of whole elements, at most `chunk` bytes (between 4 KiB and 8 MiB). No more than
    /// twice that is held in memory, but for a compressed storage read out of order, which is
    /// inflated whole.
    ///
    /// A checksum may be found wrong only after the last piece: what `sink` was given counts once
    /// this returns `Ok`.
    ///
    /// # Errors
    /// As [`read_into`](Self::read_into); and the first error of `sink`, which ends the stream:
    /// [`Error::Cancelled`] is meant for that.
    pub fn stream(
        &self,
        id: TensorId,
        chunk: usize,
        sink: &mut dyn FnMut(&[u8]) -> Result<()>,
    ) -> Result<()> {
        self.stream_as(id, self.tree().tensor(id), chunk, sink)
    }

    /// The same with the dimensions in reverse order: a tensor in Fortran order gives its bytes as
    /// they are stored.
    ///
    /// # Errors
    /// As [`stream`](Self::stream).
    pub fn stream_reversed(
        &self,
        id: TensorId,
        chunk: usize,
        sink: &mut dyn FnMut(&[u8]) -> Result<()>,
    ) -> Result<()> {
        self.stream_as(id, &self.tree().tensor(id).reversed(), chunk, sink)
    }

    /// The same for some of its rows: `count` of them, every `step`-th from `first` on.
    ///
    /// # Errors
    /// As [`stream`](Self::stream); and [`Error::Parameter`] where there are not so many rows.
    pub fn stream_rows(
        &self,
        id: TensorId,
        (first, count, step): (u64, u64, u64),
        chunk: usize,
        sink: &mut dyn FnMut(&[u8]) -> Result<()>,
    ) -> Result<()> {
        let tensor = self.tree().tensor(id);
        let rows = tensor.rows(first, count, step).ok_or_else(|| Error::Parameter {
            parameter: "rows",
            problem: format!("{count} rows from row {first} on are not in {:?}", tensor.shape),
            advice: "",
        })?;
        self.stream_as(id, &rows, chunk, sink)
    }

    /// Reads elements of a tensor, counted in C order from `from` on.
    pub(crate) fn read_elements(&self, id: TensorId, from: u64, out: &mut [u8]) -> Result<()> {
        let tensor = self.tree().tensor(id);
        let size = tensor.dtype.size();
        let (mut at, mut done) = (from, 0);
        while done < out.len() {
            let (part, n) = elements(tensor, at, ((out.len() - done) / size) as u64);
            self.stream_as(id, &part, CHUNK.end, &mut |bytes| {
                out[done..done + bytes.len()].copy_from_slice(bytes);
                done += bytes.len();
                Ok(())
            })?;
            at += n;
        }
        Ok(())
    }

    /// Hands on what `tensor` shows, which is the tensor `id` or a part of it.
    fn stream_as(
        &self,
        id: TensorId,
        tensor: &Tensor,
        chunk: usize,
        sink: &mut dyn FnMut(&[u8]) -> Result<()>,
    ) -> Result<()> {
        // A multiple of every element's size.
        let chunk = chunk.clamp(CHUNK.start, CHUNK.end) & !15;
        let source = self.source(id, tensor)?;
        if source.len == 0 {
            return Ok(());
        }
        let resolve = source.resolve;
        let mut emit = |piece: &mut [u8]| {
            resolve.apply(piece);
            sink(piece)
        };
        if !tensor.is_contiguous() {
            let dims = view::simplify(&tensor.shape, &tensor.stride);
            return self.with_bytes(&source, chunk, &mut |read| {
                view::stream(&dims, tensor.offset, source.size, chunk, read, &mut emit)
            });
        }
        let whole = source.start == 0 && source.len == source.data.len();
        if whole || source.data.is_compressed() {
            return self.pass(&source, chunk, &mut emit);
        }
        self.settle_crc(tensor.storage, &source.data, chunk)?;
        let mut buf = vec![0; chunk.min(usize::try_from(source.len).unwrap_or(chunk))];
        let mut at = 0;
        while at < source.len {
            let n = (source.len - at).min(buf.len() as u64) as usize;
            source.data.read_part(source.start + at, &mut buf[..n])?;
            emit(&mut buf[..n])?;
            at += n as u64;
        }
        Ok(())
    }

    fn source<'a>(&'a self, id: TensorId, tensor: &'a Tensor) -> Result<Source<'a>> {
        let unsupported = |what: &str, advice: &'static str| {
            let part = Part::Tensor(self.tensor_name(id).into());
            Error::unsupported(self.path(), part, None, what, advice)
        };
        let size = tensor.dtype.size();
        let per_item = tensor.dtype.values_per_item();
        // Bounds were checked when the pickle was read.
        let len = tensor.nbytes().unwrap_or(u64::MAX);
        if per_item > 1 && (!tensor.is_contiguous() || !tensor.offset.is_multiple_of(per_item)) {
            return Err(unsupported(
                "several of its values share a byte, and the view does not start or step by whole bytes",
                "save a contiguous copy of it with torch",
            ));
        }
        let data = self.data(tensor.storage)?;
        let most = self.options().limits.max_expansion;
        if len > data.len() && len > most {
            let part = Part::Tensor(self.tensor_name(id).into());
            return Err(Error::limit(self.path(), part, "max_expansion", len, most, "bytes"));
        }
        let swap = match (data.order(), self.tree().storage(tensor.storage).dtype) {
            (ByteOrder::Little, _) => 1,
            (ByteOrder::Big, StorageType::Untyped) => tensor.dtype.swap_size(),
            (ByteOrder::Big, StorageType::Typed(stored)) => {
                if stored.swap_size() != tensor.dtype.swap_size() {
                    return Err(unsupported(
                        "its type is not that of its storage, in a big-endian archive",
                        "save it again with torch on a little-endian machine",
                    ));
                }
                stored.swap_size()
            }
        };
        let resolve = Resolve::new(tensor, swap)
            .ok_or_else(|| unsupported("a negated tensor of a type without negatives", ""))?;
        Ok(Source {
            id,
            tensor,
            data,
            size,
            len,
            start: if len == 0 { 0 } else { tensor.offset / per_item * size as u64 },
            resolve,
        })
    }

    /// Reads all of a record and checks it.
    fn read_whole(&self, id: StorageId, data: &Data<'_>, out: &mut [u8]) -> Result<()> {
        self.warn(data.read_into(self.policy(id), out)?);
        self.note_checked(id);
        Ok(())
    }

    /// What is to be done about the checksum of a storage that is read whole.
    pub(crate) fn policy(&self, id: StorageId) -> CrcPolicy {
        if self.is_checked(id) { CrcPolicy::Off } else { self.options().crc }
    }

    pub(crate) fn note_checked(&self, id: StorageId) {
        if self.options().crc != CrcPolicy::Off {
            self.set_checked(id);
        }
    }

    /// Whether nothing is left to be checked about a storage.
    pub(crate) fn crc_is_settled(&self, id: StorageId, data: &Data<'_>) -> bool {
        self.options().crc == CrcPolicy::Off || !data.has_crc() || self.is_checked(id)
    }

    /// Checks a storage before a part of it is read.
    pub(crate) fn settle_crc(&self, id: StorageId, data: &Data<'_>, step: usize) -> Result<()> {
        if self.crc_is_settled(id, data) {
            return Ok(());
        }
        self.warn(data.pass(self.options().crc, step, &mut |_| Ok(()))?);
        self.note_checked(id);
        Ok(())
    }

    /// Goes over a whole record, checks it, and hands out what belongs to a contiguous tensor.
    fn pass(
        &self,
        source: &Source<'_>,
        step: usize,
        sink: &mut dyn FnMut(&mut [u8]) -> Result<()>,
    ) -> Result<()> {
        let id = source.tensor.storage;
        let (from, to) = (source.start, source.start + source.len);
        let mut at = 0u64;
        let mut part = |piece: &mut [u8]| {
            let end = at + piece.len() as u64;
            let (a, b) = (from.clamp(at, end) - at, to.clamp(at, end) - at);
            at = end;
            if a < b { sink(&mut piece[a as usize..b as usize]) } else { Ok(()) }
        };
        self.warn(source.data.pass(self.policy(id), step, &mut part)?);
        self.note_checked(id);
        Ok(())
    }

    /// Gives `body` random access to the bytes of a tensor's storage, which was checked.
    fn with_bytes(
        &self,
        source: &Source<'_>,
        step: usize,
        body: &mut dyn FnMut(&mut view::ReadAt<'_>) -> Result<()>,
    ) -> Result<()> {
        let (id, data) = (source.tensor.storage, &source.data);
        if !data.is_compressed() {
            self.settle_crc(id, data, step)?;
            return body(&mut |at, out| data.read_part(at, out));
        }
        let (len, most) = (data.len(), self.options().limits.max_expansion);
        if len > most {
            let part = Part::Tensor(self.tensor_name(source.id).into());
            return Err(Error::limit(self.path(), part, "max_expansion", len, most, "bytes"));
        }
        let (bytes, warning) = data.read_all(self.policy(id))?;
        self.warn(warning);
        self.note_checked(id);
        body(&mut |at, out| {
            let from = at as usize;
            out.copy_from_slice(&bytes[from..from + out.len()]);
            Ok(())
        })
    }

    /// The size of the numbers to swap in a storage; 1 where none are.
    pub(crate) fn storage_swap(&self, id: StorageId) -> Result<usize> {
        if self.data(id)?.order() == ByteOrder::Little {
            return Ok(1);
        }
        if let StorageType::Typed(dtype) = self.tree().storage(id).dtype {
            return Ok(dtype.swap_size());
        }
        match self.shown(id) {
            Shown::Nowhere => return Ok(1),
            Shown::As(size) => return Ok(size),
            Shown::Mixed => {}
        }
        Err(Error::unsupported(
            self.record_path(id),
            self.record_part(id),
            None,
            "tensors of several types show this untyped storage of a big-endian archive",
            "read the tensors one by one",
        ))
    }

    /// The first path of a tensor, or its number: for error messages.
    pub(crate) fn tensor_name(&self, id: TensorId) -> String {
        let tree = self.tree();
        let named = tree.first_names();
        let name = named.into_iter().find(|(_, n)| *tree.node(*n) == Node::Tensor(id));
        match name {
            Some((name, _)) if !name.is_empty() => name,
            _ => format!("number {}", id.0),
        }
    }
}

/// The part of a tensor with the elements from `from` on, counted in C order, and how many they
/// are: `most`, or as many as one box has. There must be that many, and at least one.
fn elements(tensor: &Tensor, from: u64, most: u64) -> (Tensor, u64) {
    let mut part = tensor.clone();
    if tensor.is_contiguous() {
        (part.shape, part.stride) = ([most].into(), [1].into());
        part.offset += from;
        return (part, most);
    }
    // The outermost dimension of which whole rows start here; within a row, the last one.
    let (mut d, mut inner, mut index) = (tensor.shape.len() - 1, 1, from);
    while d > 0 && index % tensor.shape[d] == 0 && inner * tensor.shape[d] <= most {
        index /= tensor.shape[d];
        inner *= tensor.shape[d];
        d -= 1;
    }
    let len = tensor.shape[d];
    let count = (len - index % len).min(most / inner);
    part.shape = std::iter::once(count).chain(tensor.shape[d + 1..].iter().copied()).collect();
    part.stride = tensor.stride[d..].into();
    part.offset += tensor.element_at(from);
    (part, count * inner)
}

fn check_len(have: usize, need: u64) -> Result<()> {
    if have as u64 == need {
        return Ok(());
    }
    Err(Error::Parameter {
        parameter: "out",
        problem: format!("the buffer has {have} bytes, and {need} are to be read"),
        advice: "size it by nbytes()",
    })
}
