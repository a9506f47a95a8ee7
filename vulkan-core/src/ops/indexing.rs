//! Elements by their indices, and tensors one after another.
//!
//! Indices are `int64` or `int32`, from 0; negative ones lead nowhere, as in PyTorch. No kernel reads or
//! writes where an index leads that is beyond its dimension: what it would bring is 0, or left out, and the
//! next read on the same stream says so ([`Error::Index`]).

use super::bind::storage_range;
use super::pointwise::{Beside, Function, pointwise_beside};
use super::promote::{Kind, result_type};
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::kernels::Module;
use crate::tensor::Tensor;

impl Tensor {
    /// Tensors one after another along a dimension (`torch.cat`). Types are promoted; tensors of shape
    /// (0) are left out.
    ///
    /// # Errors
    /// [`Error::Parameter`] for none, for shapes that differ in another dimension, and tensors of two
    /// devices; [`Error::OutOfMemory`], [`Error::DeviceLost`].
    pub fn cat(tensors: &[&Tensor], dim: isize) -> Result<Tensor> {
        let Some(&any) = tensors.first() else {
            return Err(Error::parameter("cat: no tensors; give one or more"));
        };
        let kinds: Vec<Kind> = tensors.iter().map(|t| kind(t)).collect();
        let dtype = result_type(&kinds);
        let kept: Vec<&Tensor> = tensors.iter().copied().filter(|t| t.shape() != [0]).collect();
        let Some(first) = kept.first() else {
            return Tensor::empty(any.stream(), dtype, &[0]);
        };
        let d = first.layout.dim(dim)?;
        let mut shape = first.shape().to_vec();
        shape[d] = 0;
        for t in &kept {
            t.must_be_on(any.stream())?;
            let fits = t.ndim() == shape.len()
                && t.shape().iter().zip(&shape).enumerate().all(|(i, (a, b))| i == d || a == b);
            if !fits {
                return Err(Error::parameter(format!(
                    "cat: shapes {:?} and {:?} differ beside dimension {dim}; make the others equal",
                    first.shape(),
                    t.shape()
                )));
            }
            shape[d] = shape[d].saturating_add(t.shape()[d]);
        }
        let out = Tensor::empty(any.stream(), dtype, &shape)?;
        let mut at = 0;
        for t in kept {
            let n = t.shape()[d];
            out.narrow(d as isize, at, n)?.copy_from(t)?;
            at += n;
        }
        Ok(out)
    }

    /// Tensors one after another along a new dimension (`torch.stack`).
    ///
    /// # Errors
    /// As for [`cat`](Tensor::cat); [`Error::Parameter`] for shapes that differ.
    pub fn stack(tensors: &[&Tensor], dim: isize) -> Result<Tensor> {
        if let Some(other) = tensors.iter().find(|t| t.shape() != tensors[0].shape()) {
            return Err(Error::parameter(format!(
                "stack: shapes {:?} and {:?} differ; make them equal",
                tensors[0].shape(),
                other.shape()
            )));
        }
        let apart = tensors.iter().map(|t| t.unsqueeze(dim)).collect::<Result<Vec<Tensor>>>()?;
        let nd = tensors.first().map_or(0, |t| t.ndim()) as isize;
        let dim = if dim < 0 { dim + nd + 1 } else { dim };
        Tensor::cat(&apart.iter().collect::<Vec<_>>(), dim)
    }

    /// The slices of a dimension that the indices name, in their order (`torch.index_select`). The index
    /// has one dimension, or none for one slice; of a tensor without dimensions, one index is taken.
    ///
    /// # Errors
    /// [`Error::Parameter`] for a dimension that is not there, for indices of another type or of more
    /// dimensions, and tensors of two devices; [`Error::OutOfMemory`], [`Error::DeviceLost`]. Of indices
    /// beyond the dimension the next read tells ([`Error::Index`]); the elements are 0.
    pub fn index_select(&self, dim: isize, index: &Tensor) -> Result<Tensor> {
        const OP: &str = "index_select";
        must_be_list(OP, index)?;
        if self.ndim() == 0 {
            must_be_one(OP, index)?;
            return self.view(&[1])?.index_select(dim, index)?.view(&[]);
        }
        let d = self.layout.dim(dim)?;
        let mut source = self.clone();
        let (size, stride) = (self.shape()[d], self.strides()[d]);
        (source.layout.shape[d], source.layout.strides[d]) = (index.numel(), 0);
        let index = along(index, source.shape(), d)?;
        Taken { op: OP, source, size, stride, index }.take()
    }

    /// `out[i][j][k] = self[index[i][j][k]][j][k]` for dimension 0, and alike for others
    /// (`torch.gather`). The result has the index's shape, no size of which but that of the dimension may
    /// be larger than the tensor's.
    ///
    /// # Errors
    /// As for [`index_select`](Tensor::index_select); [`Error::Parameter`] where the index has other
    /// dimensions.
    pub fn gather(&self, dim: isize, index: &Tensor) -> Result<Tensor> {
        const OP: &str = "gather";
        must_be_index(OP, index)?;
        if self.ndim() == 0 {
            must_be_one(OP, index)?;
            return self.view(&[1])?.gather(dim, &index.reshape(&[1])?)?.view(index.shape());
        }
        let d = self.layout.dim(dim)?;
        must_go_with(OP, self, d, index)?;
        let mut source = self.clone();
        let (size, stride) = (self.shape()[d], self.strides()[d]);
        source.layout.shape = index.shape().to_vec();
        source.layout.strides[d] = 0;
        Taken { op: OP, source, size, stride, index: index.clone() }.take()
    }

    /// The rows of a matrix that the indices name (`torch.nn.functional.embedding`, of which this is the
    /// weight): the result has the index's shape, and the rows' width behind it.
    ///
    /// # Errors
    /// As for [`index_select`](Tensor::index_select); [`Error::Parameter`] for what is no matrix.
    pub fn embedding(&self, index: &Tensor) -> Result<Tensor> {
        const OP: &str = "embedding";
        must_be_index(OP, index)?;
        let &[rows, width] = self.shape() else {
            let problem = format!("embedding: a weight of shape {:?}", self.shape());
            return Err(Error::Parameter(problem + "; give (rows, width)"));
        };
        let mut source = self.clone();
        source.layout.shape = [index.shape(), &[width]].concat();
        source.layout.strides = vec![0; index.ndim()];
        source.layout.strides.push(self.strides()[1]);
        let shape = source.shape().to_vec();
        let index = index.unsqueeze(-1)?.expand(&shape)?;
        Taken { op: OP, source, size: rows, stride: self.strides()[0], index }.take()
    }
}

/// Elements that are taken by an index along one dimension.
struct Taken {
    op: &'static str,
    /// What the index 0 leads to, in the shape of the result.
    source: Tensor,
    /// How many indices there are, and how many elements it is from one to the next.
    size: usize,
    stride: usize,
    /// In the shape of the result.
    index: Tensor,
}

impl Taken {
    fn take(&self) -> Result<Tensor> {
        let Taken { op, source, size, stride, index } = self;
        let stream = source.stream();
        index.must_be_on(stream)?;
        let out = Tensor::empty(stream, source.dtype(), source.shape())?;
        if out.numel() == 0 {
            return Ok(out);
        }
        must_have_room(op, *size)?;
        // So much of the source is seen at once.
        let most = piece(source, *stride);
        for first in (0..*size).step_by(most) {
            let count = most.min(size - first);
            let mut seen = source.clone();
            seen.layout.offset += first * stride;
            let scalar = [*stride as u32, *size as u32, first as u32, count as u32];
            let function =
                Function { module: Module::Take, op: 0, scalar, takes_place: first == 0 };
            let beside = Beside {
                reach: [0, (count - 1) * stride, 0, 0],
                part: stream.watch().part(stream)?,
            };
            let inputs = [&seen, index, &out];
            let inputs = if first == 0 { &inputs[..2] } else { &inputs[..] };
            pointwise_beside(stream, &function, &out, inputs, &beside)?;
            stream.watch().count();
        }
        Ok(out)
    }
}

/// How many slices of a tensor, each so many elements from the one before, a kernel sees at once, where
/// other dimensions are cut.
pub(crate) fn piece(t: &Tensor, stride: usize) -> usize {
    let most = storage_range(t.stream()) as usize / 2 / t.dtype().size();
    (most / stride.max(1)).max(1)
}

pub(crate) fn kind(t: &Tensor) -> Kind {
    if t.ndim() == 0 { Kind::ZeroDim(t.dtype()) } else { Kind::Dimensioned(t.dtype()) }
}

/// A list of indices in a shape along one of its dimensions.
pub(crate) fn along(list: &Tensor, shape: &[usize], d: usize) -> Result<Tensor> {
    let mut view = vec![1; shape.len()];
    view[d] = list.numel();
    list.reshape(&view)?.expand(shape)
}

pub(crate) fn must_be_index(op: &str, index: &Tensor) -> Result<()> {
    if matches!(index.dtype(), DType::I64 | DType::I32) {
        return Ok(());
    }
    let problem = format!("{op}: the indices are {}", index.dtype());
    Err(Error::Parameter(problem + "; cast them to int64"))
}

pub(crate) fn must_be_list(op: &str, index: &Tensor) -> Result<()> {
    must_be_index(op, index)?;
    if index.ndim() <= 1 {
        return Ok(());
    }
    let problem = format!("{op}: indices of shape {:?}", index.shape());
    Err(Error::Parameter(problem + "; give indices of one dimension"))
}

pub(crate) fn must_be_one(op: &str, index: &Tensor) -> Result<()> {
    if index.numel() == 1 {
        return Ok(());
    }
    let problem = format!("{op}: {} indices into a tensor without dimensions", index.numel());
    Err(Error::Parameter(problem + "; give one, or unsqueeze the tensor"))
}

/// Indices are compared in 32 bits once they are known to be no longer.
pub(crate) fn must_have_room(op: &str, size: usize) -> Result<()> {
    match size {
        0 => Err(Error::parameter(format!("{op}: indices into a dimension of 0; leave them out"))),
        _ if u32::try_from(size).is_ok() => Ok(()),
        _ => Err(Error::parameter(format!("{op}: {size} are too many to index; take a part"))),
    }
}

/// Refuses an index that has other dimensions than a tensor, or is larger in one but `d`.
pub(crate) fn must_go_with(op: &str, t: &Tensor, d: usize, index: &Tensor) -> Result<()> {
    let sizes = index.shape().iter().zip(t.shape()).enumerate();
    let fits = index.ndim() == t.ndim() && sizes.into_iter().all(|(i, (n, m))| i == d || n <= m);
    if fits || (index.ndim() == t.ndim() && index.numel() == 0) {
        return Ok(());
    }
    let problem = format!("{op}: indices of shape {:?} into {:?}", index.shape(), t.shape());
    Err(Error::Parameter(problem + "; give as many dimensions, no larger than the tensor's"))
}
