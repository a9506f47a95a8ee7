//! Strided views: bringing elements that lie apart into C order with few reads.
//!
//! The elements of a box are found in storage order: the dimensions of smallest stride form a block
//! that one read fetches, gaps included, and that is then scattered to where the elements belong.
//! A transposed matrix is so read a band at a time and never element by element.

use crate::error::{Error, Result};
use crate::{Storage, StorageType, Tensor};

/// Bytes that are read rather than skipped: about what one more read costs.
const GAP: u64 = 16 * 1024;
/// Elements along each side of a tile; both sides of a tile stay in the first-level cache.
const TILE: usize = 32;

/// One dimension of a box: its length, and the steps in elements in the storage and the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Dim {
    pub(crate) len: usize,
    pub(crate) src: u64,
    pub(crate) dst: usize,
}

/// A shape without dimensions of length 1, and with those joined that step as one.
///
/// No length may be 0.
pub(crate) fn simplify(shape: &[u64], stride: &[u64]) -> Vec<(u64, u64)> {
    let mut dims: Vec<(u64, u64)> = Vec::new();
    for (&len, &step) in shape.iter().zip(stride).filter(|(len, _)| **len != 1) {
        match dims.last_mut() {
            Some((outer, outer_step)) if step.checked_mul(len) == Some(*outer_step) => {
                *outer *= len;
                *outer_step = step;
            }
            _ => dims.push((len, step)),
        }
    }
    dims
}

/// Reads bytes of the storage: position, buffer.
pub type ReadAt<'a> = dyn FnMut(u64, &mut [u8]) -> Result<()> + 'a;

/// Calls `emit` with each piece of the output, in order. A piece has at most `chunk` bytes, and
/// `scratch` grows to at most as many.
pub(crate) fn stream(
    dims: &[(u64, u64)],
    start: u64,
    size: usize,
    chunk: usize,
    read: &mut ReadAt<'_>,
    emit: &mut dyn FnMut(&mut [u8]) -> Result<()>,
) -> Result<()> {
    let most = (chunk / size).max(1) as u64;
    // The dimensions from `split` on fit a piece whole; the one before is cut into bands.
    let mut inner = 1u64;
    let mut split = dims.len();
    while split > 0 && inner.saturating_mul(dims[split - 1].0) <= most {
        split -= 1;
        inner *= dims[split].0;
    }
    let outer = split.saturating_sub(1);
    let (cut, rest) = match split {
        0 => ((1, 0), dims),
        _ => (dims[outer], &dims[split..]),
    };
    let band = (most / inner).max(1);
    let mut out = Vec::new();
    let mut scratch = Vec::new();
    let mut piece: Vec<(u64, u64)> = Vec::new();
    let mut index = vec![0u64; outer];
    loop {
        let base = start + index.iter().zip(dims).map(|(i, d)| i * d.1).sum::<u64>();
        let (len, step) = cut;
        let mut at = 0;
        while at < len {
            let n = band.min(len - at);
            piece.clear();
            piece.push((n, step));
            piece.extend_from_slice(rest);
            let elements: u64 = piece.iter().map(|d| d.0).product();
            out.resize(elements as usize * size, 0);
            let boxed = c_order(&piece);
            gather(&boxed, base + at * step, size, chunk, &mut scratch, read, &mut out)?;
            emit(&mut out)?;
            at += n;
        }
        if !advance(&mut index, dims) {
            return Ok(());
        }
    }
}

/// Counts up an index, the last dimension fastest; false after the last one.
fn advance(index: &mut [u64], dims: &[(u64, u64)]) -> bool {
    for (i, d) in index.iter_mut().zip(dims).rev() {
        *i += 1;
        if *i < d.0 {
            return true;
        }
        *i = 0;
    }
    false
}

/// The dimensions of a box whose output is in C order.
pub(crate) fn c_order(dims: &[(u64, u64)]) -> Vec<Dim> {
    let mut step = 1usize;
    let mut boxed: Vec<Dim> = dims
        .iter()
        .rev()
        .map(|&(len, src)| {
            let dim = Dim { len: len as usize, src, dst: step };
            step = step.saturating_mul(len as usize);
            dim
        })
        .collect();
    boxed.reverse();
    boxed
}

/// Fills a box of the output. Every length is at least 1, and `out` has room for the box.
pub(crate) fn gather(
    dims: &[Dim],
    start: u64,
    size: usize,
    cap: usize,
    scratch: &mut Vec<u8>,
    read: &mut ReadAt<'_>,
    out: &mut [u8],
) -> Result<()> {
    let most = (cap / size).max(1) as u64;
    let mut dims = dims.to_vec();
    dims.sort_by_key(|d| d.src);

    // The block: as many dimensions of smallest stride as one read may span.
    let mut span = 1u64;
    let mut block: Vec<Dim> = Vec::new();
    let mut cut: Option<Dim> = None;
    let mut outer: Vec<Dim> = Vec::new();
    for dim in dims {
        let gap_ok = dim.src <= span.saturating_add(GAP / size as u64);
        if cut.is_some() || !outer.is_empty() || !gap_ok {
            outer.push(dim);
            continue;
        }
        let fit = (most - span).checked_div(dim.src).map_or(dim.len, |n| n as usize + 1);
        if fit >= dim.len {
            span += (dim.len as u64 - 1) * dim.src;
            block.push(dim);
        } else if fit >= 2 {
            block.push(Dim { len: fit, ..dim });
            cut = Some(dim);
        } else {
            outer.push(dim);
        }
    }
    // Where a dimension is cut, the last one of the block is its band.
    let band = cut.and(block.last()).map_or(1, |b| b.len);

    let mut index = vec![0usize; outer.len()];
    loop {
        let mut src = start;
        let mut dst = 0;
        for (&i, d) in index.iter().zip(&outer) {
            src += i as u64 * d.src;
            dst += i * d.dst;
        }
        let total = cut.map_or(1, |c| c.len);
        let mut at = 0;
        while at < total {
            let n = band.min(total - at);
            if let (Some(_), Some(last)) = (cut, block.last_mut()) {
                last.len = n;
            }
            let span: u64 = 1 + block.iter().map(|d| (d.len as u64 - 1) * d.src).sum::<u64>();
            let step = cut.map_or((0, 0), |c| (c.src, c.dst));
            let from = src + at as u64 * step.0;
            scratch.resize(span as usize * size, 0);
            read(from * size as u64, scratch)?;
            scatter(scratch, &block, size, out, dst + at * step.1);
            at += n;
        }
        if !advance_dims(&mut index, &outer) {
            return Ok(());
        }
    }
}

fn advance_dims(index: &mut [usize], dims: &[Dim]) -> bool {
    for (i, d) in index.iter_mut().zip(dims) {
        *i += 1;
        if *i < d.len {
            return true;
        }
        *i = 0;
    }
    false
}

/// Copies each element of a block to its place.
fn scatter(src: &[u8], dims: &[Dim], size: usize, out: &mut [u8], dst: usize) {
    match size {
        1 => scatter_as::<1>(src, dims, out, dst),
        2 => scatter_as::<2>(src, dims, out, dst),
        4 => scatter_as::<4>(src, dims, out, dst),
        8 => scatter_as::<8>(src, dims, out, dst),
        _ => scatter_as::<16>(src, dims, out, dst),
    }
}

fn scatter_as<const N: usize>(src: &[u8], dims: &[Dim], out: &mut [u8], dst: usize) {
    const ONE: Dim = Dim { len: 1, src: 0, dst: 0 };
    let mut dims: Vec<Dim> = dims.iter().copied().filter(|d| d.len > 1).collect();
    dims.sort_by_key(|d| std::cmp::Reverse(d.dst));
    // The fastest in the output, and of the others the fastest in the storage.
    let a = dims.pop().unwrap_or(ONE);
    let b = match dims.iter().enumerate().min_by_key(|(_, d)| d.src) {
        Some((i, _)) => dims.remove(i),
        None => ONE,
    };
    let mut index = vec![0usize; dims.len()];
    loop {
        let (mut s, mut d) = (0usize, dst);
        for (&i, dim) in index.iter().zip(&dims) {
            s += i * dim.src as usize;
            d += i * dim.dst;
        }
        plane::<N>(src, s, out, d, a, b);
        if !advance_dims(&mut index, &dims) {
            return;
        }
    }
}

fn plane<const N: usize>(src: &[u8], s: usize, out: &mut [u8], d: usize, a: Dim, b: Dim) {
    let (a_src, b_src) = (a.src as usize, b.src as usize);
    if a_src == 1 && a.dst == 1 {
        for j in 0..b.len {
            let (from, to) = ((s + j * b_src) * N, (d + j * b.dst) * N);
            out[to..to + a.len * N].copy_from_slice(&src[from..from + a.len * N]);
        }
        return;
    }
    for j0 in (0..b.len).step_by(TILE) {
        for i0 in (0..a.len).step_by(TILE) {
            for j in j0..(j0 + TILE).min(b.len) {
                for i in i0..(i0 + TILE).min(a.len) {
                    let from = (s + j * b_src + i * a_src) * N;
                    let to = (d + j * b.dst + i * a.dst) * N;
                    out[to..to + N].copy_from_slice(&src[from..from + N]);
                }
            }
        }
    }
}

/// Hands the elements of a tensor in C order to `sink`, at most `chunk` bytes at a time, from a
/// storage that is not in a checkpoint: `read` fills a buffer with its bytes from a position on.
///
/// The conj and neg bits are not looked at. About twice `chunk` is held in memory.
///
/// # Errors
/// [`Error::Parameter`] for a tensor that reaches out of `storage_len` bytes, or whose elements
/// share bytes and are not in order; and the first error of `read` or `sink`.
///
/// ```
/// use torch_pickle::{DType, StorageId, Tensor, stream_view};
/// let memory = [1u8, 2, 3, 4, 5, 6];
/// let mut turned = Tensor::contiguous(StorageId(0), DType::UInt8, &[3, 2]);
/// turned.stride = [1, 3].into();
/// let mut read = |at: u64, out: &mut [u8]| {
///     out.copy_from_slice(&memory[at as usize..][..out.len()]);
///     Ok(())
/// };
/// let mut bytes = Vec::new();
/// stream_view(&turned, 6, &mut read, 4096, &mut |piece| {
///     bytes.extend_from_slice(piece);
///     Ok(())
/// })?;
/// assert_eq!(bytes, [1, 4, 2, 5, 3, 6]);
/// # Ok::<(), torch_pickle::Error>(())
/// ```
pub fn stream_view(
    tensor: &Tensor,
    storage_len: u64,
    read: &mut ReadAt<'_>,
    chunk: usize,
    sink: &mut dyn FnMut(&[u8]) -> Result<()>,
) -> Result<()> {
    let bytes = Storage {
        key: "".into(),
        dtype: StorageType::Untyped,
        location: "".into(),
        numel: storage_len,
    };
    let refuse = |problem| Err(Error::Parameter { parameter: "tensor", problem, advice: "" });
    if let Err(problem) = tensor.check_bounds(&bytes) {
        return refuse(problem);
    }
    let Some(len) = tensor.nbytes().filter(|&n| n > 0) else { return Ok(()) };
    let (size, per_item) = (tensor.dtype.size(), tensor.dtype.values_per_item());
    let chunk = chunk.clamp(4096, 8 << 20) & !15;
    if !tensor.is_contiguous() {
        if per_item > 1 {
            return refuse("several of its values share a byte and are not in order".to_owned());
        }
        let dims = simplify(&tensor.shape, &tensor.stride);
        return stream(&dims, tensor.offset, size, chunk, read, &mut |piece| sink(piece));
    }
    if !tensor.offset.is_multiple_of(per_item) {
        return refuse("it starts within a byte".to_owned());
    }
    let start = tensor.offset / per_item * size as u64;
    let mut buffer = vec![0; chunk.min(usize::try_from(len).unwrap_or(chunk))];
    let mut at = 0;
    while at < len {
        let n = usize::try_from(len - at).unwrap_or(chunk).min(buffer.len());
        read(start + at, &mut buffer[..n])?;
        sink(&buffer[..n])?;
        at += n as u64;
    }
    Ok(())
}
