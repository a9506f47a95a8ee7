//! Views: the same memory in another layout.

use super::Tensor;
use super::layout::{Layout, numel};
use crate::dtype::DType;
use crate::error::{Error, Result};

impl Tensor {
    /// With two dimensions exchanged.
    ///
    /// # Errors
    /// [`Error::Parameter`] for dimensions that are not there.
    pub fn transpose(&self, a: isize, b: isize) -> Result<Tensor> {
        let (a, b) = (self.layout.dim(a)?, self.layout.dim(b)?);
        let mut layout = self.layout.clone();
        layout.shape.swap(a, b);
        layout.strides.swap(a, b);
        Ok(self.showing(layout))
    }

    /// A matrix with its dimensions exchanged.
    ///
    /// # Errors
    /// [`Error::Parameter`] for more than two dimensions.
    pub fn t(&self) -> Result<Tensor> {
        match self.ndim() {
            0 | 1 => Ok(self.clone()),
            2 => self.transpose(0, 1),
            n => {
                Err(Error::parameter(format!("t() is for at most 2 dimensions, not {n}; permute")))
            }
        }
    }

    /// With its dimensions in this order.
    ///
    /// # Errors
    /// [`Error::Parameter`] where they are not each named once.
    pub fn permute(&self, dims: &[isize]) -> Result<Tensor> {
        Ok(self.showing(self.layout.permute(dims)?))
    }

    /// `length` indices of a dimension, from `start` on.
    ///
    /// # Errors
    /// [`Error::Parameter`] for what is not there.
    pub fn narrow(&self, dim: isize, start: usize, length: usize) -> Result<Tensor> {
        self.slice(dim, start, start.saturating_add(length), 1)
    }

    /// Every `step`th index of a dimension, from `start` to before `end`.
    ///
    /// # Errors
    /// [`Error::Parameter`] for what is not there.
    pub fn slice(&self, dim: isize, start: usize, end: usize, step: usize) -> Result<Tensor> {
        Ok(self.showing(self.layout.slice(dim, start, end, step)?))
    }

    /// One index of a dimension, which goes.
    ///
    /// # Errors
    /// [`Error::Parameter`] for what is not there.
    pub fn select(&self, dim: isize, index: isize) -> Result<Tensor> {
        Ok(self.showing(self.layout.select(dim, index)?))
    }

    /// As if sizes of 1, and dimensions that are not there in front, were repeated.
    ///
    /// # Errors
    /// [`Error::Parameter`] where a size is neither 1 nor the one wanted.
    pub fn expand(&self, shape: &[usize]) -> Result<Tensor> {
        Ok(self.showing(self.layout.expand(shape)?))
    }

    /// The same elements in another shape.
    ///
    /// # Errors
    /// [`Error::Parameter`] for a shape with another number of elements, and where the elements do not
    /// lie so: [`reshape`](Tensor::reshape) then copies.
    pub fn view(&self, shape: &[usize]) -> Result<Tensor> {
        match self.layout.view(shape)? {
            Some(layout) => Ok(self.showing(layout)),
            None => Err(Error::parameter(format!(
                "strides {:?} of shape {:?} have no view of shape {shape:?}; use reshape, which copies",
                self.strides(),
                self.shape()
            ))),
        }
    }

    /// The same elements in another shape, copied where they do not lie so.
    ///
    /// # Errors
    /// As for [`view`](Tensor::view), and what [`contiguous`](Tensor::contiguous) has.
    pub fn reshape(&self, shape: &[usize]) -> Result<Tensor> {
        match self.layout.view(shape)? {
            Some(layout) => Ok(self.showing(layout)),
            None => self.contiguous()?.view(shape),
        }
    }

    /// Without a dimension of size 1; with one of another size, as it is.
    ///
    /// # Errors
    /// [`Error::Parameter`] for a dimension that is not there.
    pub fn squeeze(&self, dim: isize) -> Result<Tensor> {
        let d = self.layout.dim(dim)?;
        let mut layout = self.layout.clone();
        if layout.shape[d] == 1 {
            layout.shape.remove(d);
            layout.strides.remove(d);
        }
        Ok(self.showing(layout))
    }

    /// With a dimension of size 1 more, before the one that is there.
    ///
    /// # Errors
    /// [`Error::Parameter`] for a place beyond one after the last.
    pub fn unsqueeze(&self, dim: isize) -> Result<Tensor> {
        let n = self.ndim() as isize;
        let d = if dim < 0 { dim + n + 1 } else { dim };
        if !(0..=n).contains(&d) {
            let problem = format!("dimension {dim} cannot be put among {n}");
            return Err(Error::Parameter(format!("{problem}; give 0 to {n}")));
        }
        let d = d as usize;
        let mut layout = self.layout.clone();
        let stride = layout.shape.get(d).map_or(1, |&size| size * layout.strides[d]);
        layout.shape.insert(d, 1);
        layout.strides.insert(d, stride);
        Ok(self.showing(layout))
    }
}

/// The memory below a tensor.
impl Tensor {
    /// All bytes of the memory that it shows a part of.
    pub fn storage_bytes(&self) -> Tensor {
        let nbytes = usize::try_from(self.storage.nbytes).expect("it was asked for as a shape");
        let layout = Layout::contiguous(&[nbytes]);
        Tensor { dtype: DType::U8, layout, ..self.clone() }
    }

    /// Elements of any type in the memory that it shows a part of: of this shape, `strides` elements
    /// apart, the first of them `offset` elements from the memory's start (`torch.as_strided`, over
    /// `storage_bytes` with another type).
    ///
    /// # Errors
    /// [`Error::Parameter`] where that leads out of the memory.
    pub fn as_strided(
        &self,
        dtype: DType,
        shape: &[usize],
        strides: &[usize],
        offset: usize,
    ) -> Result<Tensor> {
        let refuse = |what: String| Err(Error::Parameter(format!("as_strided: {what}")));
        if shape.len() != strides.len() {
            return refuse(format!(
                "{} sizes and {} strides; give as many",
                shape.len(),
                strides.len()
            ));
        }
        let empty = numel(shape)? == 0;
        let reach = shape.iter().zip(strides).try_fold(offset, |end, (&n, &stride)| {
            end.checked_add(n.saturating_sub(1).checked_mul(stride)?)
        });
        let end = reach.and_then(|last| last.checked_add(usize::from(!empty)));
        let bytes = end.and_then(|end| end.checked_mul(dtype.size()));
        match bytes {
            Some(bytes) if empty || bytes as u64 <= self.storage.nbytes => {}
            _ => {
                return refuse(format!(
                    "shape {shape:?}, strides {strides:?} and offset {offset} of {dtype} lead out of \
                     memory of {} bytes",
                    self.storage.nbytes
                ));
            }
        }
        let layout = Layout { shape: shape.to_vec(), strides: strides.to_vec(), offset };
        Ok(Tensor { dtype, layout, ..self.clone() })
    }
}
