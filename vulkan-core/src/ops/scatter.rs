//! Sums of what indices lead to the same place: the way back from what was taken by indices.
//!
//! What leads to one element is added in the order of the indices, in 32 bits for floats and 64 for
//! integers, and rounded once; so the result is the same from run to run, and that of the host. Either
//! each element of the result looks at all of its indices, or lists of equal indices are made first, for
//! which each index looks at those equal to it: that is slow where nearly all of very many are equal.

use bytemuck::{NoUninit, bytes_of};

use super::bind::{alignment, grid, group_size, storage_range};
use super::indexing::{
    along, must_be_index, must_be_list, must_be_one, must_go_with, must_have_room, piece,
};
use super::pointwise::{Beside, Function, pointwise_beside};
use crate::core::record::{Part, Work};
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::kernels::Module;
use crate::tensor::Tensor;
use crate::vk::pipeline::{Key, MAX_CONSTANTS};

/// So many looks at indices are worth less than lists of them.
const FEW: u128 = 1 << 20;

impl Tensor {
    /// A copy with `alpha` times the slices of `source` added, each to the slice that its index names
    /// (`torch.index_add`).
    ///
    /// # Errors
    /// [`Error::Parameter`] for a dimension that is not there, for indices of another type or of more
    /// dimensions, a source of another type or without one slice for each index, truth values, and
    /// tensors of two devices; [`Error::OutOfMemory`], [`Error::DeviceLost`]. Of indices beyond the
    /// dimension the next read tells ([`Error::Index`]); they add nothing.
    pub fn index_add(
        &self,
        dim: isize,
        index: &Tensor,
        source: &Tensor,
        alpha: f64,
    ) -> Result<Tensor> {
        const OP: &str = "index_add";
        must_be_list(OP, index)?;
        self.must_add(OP, source)?;
        if self.ndim() == 0 {
            must_be_one(OP, index)?;
            let (index, source) = (index.view(&[1])?, source.reshape(&[1])?);
            return self.view(&[1])?.index_add(dim, &index, &source, alpha)?.view(&[]);
        }
        let d = self.layout.dim(dim)?;
        let mut wanted = self.shape().to_vec();
        wanted[d] = index.numel();
        if source.shape() != wanted {
            let problem =
                format!("index_add: a source of shape {:?}, not {wanted:?}", source.shape());
            return Err(Error::Parameter(problem + "; give one slice for each index"));
        }
        let wide = self.wide();
        let source = match alpha {
            1.0 => source.clone(),
            _ if wide == DType::F32 => source.to_dtype(wide)?.mul(alpha)?,
            _ if alpha.fract() == 0.0 => source.to_dtype(wide)?.mul(alpha as i64)?,
            _ => {
                let problem = format!("index_add: {alpha} times integers; give a whole number");
                return Err(Error::Parameter(problem));
            }
        };
        let out = self.copied_as(wide)?;
        let (rows, count) = (self.shape()[d], index.numel());
        let each = (out.numel() / rows.max(1)) as u128;
        let looks = each * rows as u128 * count as u128;
        let equal = (count as u128).pow(2) / rows.max(1) as u128 + each * count as u128;
        let fits = (2 * count + 4 * rows + 512) as u64 * 4 <= storage_range(self.stream());
        if looks > FEW && equal < looks && fits {
            add_by_lists(&out, d, index, &source)?;
        } else {
            let index = along(index, source.shape(), d)?;
            add_by_looks(OP, &out, d, &index, &source)?;
        }
        out.to_dtype(self.dtype())
    }

    /// A copy with `out[index[i][j][k]][j][k] += source[i][j][k]` for dimension 0, and alike for others
    /// (`torch.scatter_add`). The source may be larger than the index. Each element of the result looks at
    /// all indices that might lead to it.
    ///
    /// # Errors
    /// As for [`index_add`](Tensor::index_add); [`Error::Parameter`] where the index has other dimensions.
    pub fn scatter_add(&self, dim: isize, index: &Tensor, source: &Tensor) -> Result<Tensor> {
        const OP: &str = "scatter_add";
        must_be_index(OP, index)?;
        self.must_add(OP, source)?;
        if self.ndim() == 0 {
            must_be_one(OP, index)?;
            let (index, source) = (index.reshape(&[1])?, source.reshape(&[1])?);
            return self.view(&[1])?.scatter_add(dim, &index, &source)?.view(&[]);
        }
        let d = self.layout.dim(dim)?;
        must_go_with(OP, self, d, index)?;
        must_go_with(OP, source, usize::MAX, index)?;
        let out = self.copied_as(self.wide())?;
        let (mut place, mut from) = (out.clone(), source.clone());
        for (i, &n) in index.shape().iter().enumerate() {
            from = from.narrow(i as isize, 0, n.min(from.shape()[i]))?;
            if i != d {
                place = place.narrow(i as isize, 0, n.min(place.shape()[i]))?;
            }
        }
        add_by_looks(OP, &place, d, index, &from)?;
        out.to_dtype(self.dtype())
    }

    /// The gradient of [`index_select`](Tensor::index_select), of which this is the result's, for a tensor
    /// of this shape.
    ///
    /// # Errors
    /// As for [`index_add`](Tensor::index_add).
    pub fn index_select_backward(
        &self,
        shape: &[usize],
        dim: isize,
        index: &Tensor,
    ) -> Result<Tensor> {
        Tensor::zeros(self.stream(), self.dtype(), shape)?.index_add(dim, index, self, 1.0)
    }

    /// The gradient of [`gather`](Tensor::gather), of which this is the result's, for a tensor of this
    /// shape.
    ///
    /// # Errors
    /// As for [`scatter_add`](Tensor::scatter_add).
    pub fn gather_backward(&self, shape: &[usize], dim: isize, index: &Tensor) -> Result<Tensor> {
        Tensor::zeros(self.stream(), self.dtype(), shape)?.scatter_add(dim, index, self)
    }

    /// The gradient of [`embedding`](Tensor::embedding), of which this is the result's, for a weight of so
    /// many rows; the row `padding_idx` gets none.
    ///
    /// # Errors
    /// As for [`index_add`](Tensor::index_add); [`Error::Parameter`] where the index does not have this
    /// shape but for the last dimension.
    pub fn embedding_backward(
        &self,
        index: &Tensor,
        rows: usize,
        padding_idx: Option<usize>,
    ) -> Result<Tensor> {
        let Some((&width, batch)) = self.shape().split_last().filter(|(_, b)| *b == index.shape())
        else {
            return Err(Error::parameter(format!(
                "embedding_backward: a gradient of shape {:?} for indices of {:?}; give the gradient of the \
                 rows that were taken",
                self.shape(),
                index.shape()
            )));
        };
        let count = batch.iter().product();
        let (index, grad) = (index.reshape(&[count])?, self.reshape(&[count, width])?);
        let out = grad.index_select_backward(&[rows, width], 0, &index)?;
        if let Some(row) = padding_idx.filter(|&row| row < rows) {
            out.select(0, row as isize)?.fill(0.0)?;
        }
        Ok(out)
    }

    /// What sums are computed in.
    fn wide(&self) -> DType {
        if self.dtype().is_float() { DType::F32 } else { DType::I64 }
    }

    /// A copy in memory of its own, of another type perhaps.
    fn copied_as(&self, dtype: DType) -> Result<Tensor> {
        let out = Tensor::empty(self.stream(), dtype, self.shape())?;
        out.copy_from(self)?;
        Ok(out)
    }

    fn must_add(&self, op: &str, source: &Tensor) -> Result<()> {
        source.must_be_on(self.stream())?;
        if self.dtype() == DType::Bool || self.dtype() != source.dtype() {
            let (have, want) = (source.dtype(), self.dtype());
            let problem = format!("{op}: {have} is not added to {want}");
            return Err(Error::Parameter(problem + "; cast both to one type of numbers"));
        }
        Ok(())
    }
}

/// A tensor with one number along a dimension, and how many elements it is from one to the next.
fn first_of(t: &Tensor, d: usize, shape: &[usize], at: usize) -> (Tensor, usize) {
    let mut first = t.clone();
    let stride = t.strides()[d];
    first.layout.offset += at * stride;
    first.layout.shape = shape.to_vec();
    first.layout.strides[d] = 0;
    (first, stride)
}

/// Each element of the result looks at all indices of its line. Index and source have one shape, which is
/// the result's but for the dimension.
fn add_by_looks(op: &str, out: &Tensor, d: usize, index: &Tensor, source: &Tensor) -> Result<()> {
    let stream = out.stream();
    index.must_be_on(stream)?;
    if index.numel() == 0 {
        return Ok(());
    }
    let (size, count) = (out.shape()[d], index.shape()[d]);
    must_have_room(op, size)?;
    let rows = Tensor::arange(stream, 0.0, size as f64, 1.0, DType::I32)?;
    let rows = along(&rows, out.shape(), d)?;
    let module = if out.dtype() == DType::F32 { Module::Scatter } else { Module::ScatterInt };
    let most = piece(index, index.strides()[d]).min(piece(source, source.strides()[d]));
    for at in (0..count).step_by(most) {
        let n = most.min(count - at);
        let (index, index_stride) = first_of(index, d, out.shape(), at);
        let (source, source_stride) = first_of(source, d, out.shape(), at);
        let scalar = [n as u32, index_stride as u32, source_stride as u32, size as u32];
        let function = Function { module, op: 0, scalar, takes_place: false };
        let reach = [0, 0, (n - 1) * index_stride, (n - 1) * source_stride];
        let beside = Beside { reach, part: stream.watch().part(stream)? };
        pointwise_beside(stream, &function, out, &[&rows, &index, &source], &beside)?;
        stream.watch().count();
    }
    Ok(())
}

/// Each element of the result has a list of the slices that lead to it.
fn add_by_lists(out: &Tensor, d: usize, index: &Tensor, source: &Tensor) -> Result<()> {
    let stream = out.stream();
    let (size, count) = (out.shape()[d], index.numel());
    let lists = Lists::of(index, size)?;
    let part = |start: u32| along(&lists.work.narrow(0, start as usize, size)?, out.shape(), d);
    let (starts, ends) = (part(lists.push.starts)?, part(lists.push.ends)?);
    let order = Part::read(&lists.work.storage, 0, (count as u64 * 4).next_multiple_of(16));
    let module = match out.dtype() {
        DType::F32 => Module::ScatterLists,
        _ => Module::ScatterListsInt,
    };
    let most = piece(source, source.strides()[d]);
    for at in (0..count).step_by(most) {
        let n = most.min(count - at);
        let (source, stride) = first_of(source, d, out.shape(), at);
        let scalar = [n as u32, at as u32, stride as u32, 0];
        let function = Function { module, op: 0, scalar, takes_place: false };
        let beside = Beside { reach: [0, 0, 0, (n - 1) * stride], part: order };
        pointwise_beside(stream, &function, out, &[&starts, &ends, &source], &beside)?;
    }
    Ok(())
}

/// Lists of the places of equal indices.
struct Lists {
    work: Tensor,
    push: Push,
}

/// What a kernel is told, as `shaders/segments.comp` declares it.
#[derive(Clone, Copy, NoUninit)]
#[repr(C)]
struct Push {
    count: u32,
    size: u32,
    start: u32,
    slots: u32,
    counts: u32,
    filled: u32,
    starts: u32,
    ends: u32,
    total: u32,
}

impl Lists {
    fn of(index: &Tensor, size: usize) -> Result<Lists> {
        let stream = index.stream();
        let index = index.contiguous()?;
        let (count, rows) = (index.numel() as u32, size as u32);
        let slots = count.next_multiple_of(4);
        let counts = slots + count;
        let align = alignment(stream);
        let bytes = index.dtype().size() as u64;
        let first = index.storage_offset() as u64;
        let start = first * bytes / align * align;
        let push = Push {
            count,
            size: rows,
            start: (first - start / bytes) as u32,
            slots,
            counts,
            filled: counts + rows,
            starts: counts + 2 * rows,
            ends: counts + 3 * rows,
            total: counts + 4 * rows,
        };
        let work = Tensor::zeros(stream, DType::I32, &[push.total as usize + 1])?;
        let end = ((first + u64::from(count)) * bytes).next_multiple_of(16);
        let parts = [
            Part::write(&work.storage, 0, (work.numel() as u64 * 4).next_multiple_of(16)),
            Part::read(&index.storage, start, end),
            stream.watch().part(stream)?,
        ];
        let local = group_size(stream, 128);
        // As `shaders/segments.comp` numbers them: count, divide, fill, order.
        for (op, n) in [(0, count), (1, rows), (2, count), (3, count)] {
            let mut constants = [0; MAX_CONSTANTS];
            constants[0] = local;
            constants[1] = op;
            constants[2] = (index.dtype() == DType::I64).into();
            let key = Key { module: Module::Segments, constants };
            stream.record(&Work::Dispatch {
                pipeline: stream.shared().pipeline(key)?,
                parts: &parts,
                push: bytes_of(&push),
                groups: grid(stream, u64::from(n.div_ceil(local))),
                steps: n.into(),
            })?;
        }
        stream.watch().count();
        Ok(Lists { work, push })
    }
}
