//! Views: the same memory, other sizes and strides. No element is copied.

use super::Tensor;
use crate::{Error, Result};

impl Tensor {
    /// One index of a dimension, which goes.
    ///
    /// # Errors
    /// [`Error::Parameter`] for a dimension or an index that is not there, here and in all views.
    pub fn select(&self, dim: isize, index: isize) -> Result<Tensor> {
        Ok(self.showing(self.layout.select(dim, index)?))
    }

    /// Every `step`-th index of a dimension from `start` to before `stop`, as Python's slices have
    /// it: both are cut to what is there, and `None` stands for the end on its side. `step` is 1 or
    /// more, as in torch.
    ///
    /// ```
    /// # use numpack_interop::Tensor;
    /// let t = Tensor::from_slice(&[0, 1, 2, 3, 4, 5, 6, 7, 8, 9_i32], &[10])?;
    /// assert_eq!(t.slice(0, Some(1), None, 3)?.to_vec::<i32>()?, [1, 4, 7]);
    /// # Ok::<(), numpack_interop::Error>(())
    /// ```
    pub fn slice(
        &self,
        dim: isize,
        start: Option<isize>,
        stop: Option<isize>,
        step: isize,
    ) -> Result<Tensor> {
        Ok(self.showing(self.layout.slice(dim, start, stop, step)?))
    }

    /// `length` indices of a dimension, from `start` on.
    pub fn narrow(&self, dim: isize, start: usize, length: usize) -> Result<Tensor> {
        Ok(self.showing(self.layout.narrow(dim, start, length)?))
    }

    /// The dimensions in another order; each is named once.
    pub fn permute(&self, dims: &[isize]) -> Result<Tensor> {
        Ok(self.showing(self.layout.permute(dims)?))
    }

    /// Two dimensions change places.
    pub fn transpose(&self, a: isize, b: isize) -> Result<Tensor> {
        Ok(self.showing(self.layout.transpose(a, b)?))
    }

    /// A matrix transposed; a tensor of fewer dimensions is as it was.
    ///
    /// # Errors
    /// [`Error::Parameter`] for more than two dimensions.
    pub fn t(&self) -> Result<Tensor> {
        match self.ndim() {
            0 | 1 => Ok(self.alias()),
            2 => self.transpose(0, 1),
            n => Err(Error::Parameter(format!(
                "t() is for at most 2 dimensions, and there are {n}; use transpose or permute"
            ))),
        }
    }

    /// Without all dimensions of size 1, or without this one if its size is 1.
    pub fn squeeze(&self, dim: Option<isize>) -> Result<Tensor> {
        Ok(self.showing(self.layout.squeeze(dim)?))
    }

    /// One more dimension of size 1, which becomes dimension `dim`.
    pub fn unsqueeze(&self, dim: isize) -> Result<Tensor> {
        Ok(self.showing(self.layout.unsqueeze(dim)?))
    }

    /// Dimensions of size 1 become these sizes, and new ones come in front; -1 keeps a size. Each
    /// element is then shown many times, and cannot be written to.
    pub fn expand(&self, sizes: &[isize]) -> Result<Tensor> {
        Ok(self.showing(self.layout.expand(sizes)?))
    }

    /// The same elements in the same order with other sizes; one may be -1 and follows from the
    /// others.
    ///
    /// # Errors
    /// [`Error::Parameter`] where the number of elements differs, and where no strides can say it,
    /// as after a transposition: [`reshape`](Tensor::reshape) copies then.
    pub fn view(&self, sizes: &[isize]) -> Result<Tensor> {
        let shape = self.layout.infer(sizes)?;
        match self.layout.view(&shape) {
            Some(layout) => Ok(self.showing(layout)),
            None => Err(Error::Parameter(format!(
                "shape {:?} with strides {:?} cannot be seen as {sizes:?} without a copy; use \
                 reshape",
                self.shape(),
                self.strides()
            ))),
        }
    }

    /// As [`view`](Tensor::view) where that is possible, else a copy.
    pub fn reshape(&self, sizes: &[isize]) -> Result<Tensor> {
        let shape = self.layout.infer(sizes)?;
        match self.layout.view(&shape) {
            Some(layout) => Ok(self.showing(layout)),
            None => self.contiguous()?.view(sizes),
        }
    }

    /// One dimension in place of those from `first` to `last`, as [`reshape`](Tensor::reshape) does
    /// it.
    pub fn flatten(&self, first: isize, last: isize) -> Result<Tensor> {
        if self.ndim() == 0 {
            return self.reshape(&[1]);
        }
        let (first, last) = (self.layout.dim(first)?, self.layout.dim(last)?);
        if first > last {
            return Err(Error::Parameter(format!(
                "dimension {first} to be flattened comes after dimension {last}"
            )));
        }
        let shape = self.shape();
        let one = [shape[first..=last].iter().product()];
        let sizes = shape[..first].iter().chain(&one).chain(&shape[last + 1..]);
        let sizes: Vec<isize> = sizes.map(|&n| n as isize).collect();
        self.reshape(&sizes)
    }
}
