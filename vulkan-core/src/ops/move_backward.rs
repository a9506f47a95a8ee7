//! Gradients of views, of tensors put together, and of what is added by indices. Each is a method of the
//! gradient of the result.

use crate::error::{Error, Result};
use crate::tensor::Tensor;

impl Tensor {
    /// Of [`slice`](Tensor::slice) and [`narrow`](Tensor::narrow), for a tensor of this shape: grad in its
    /// place, 0 elsewhere.
    ///
    /// # Errors
    /// As for [`slice`](Tensor::slice); [`Error::Parameter`] where this has not the slice's shape;
    /// [`Error::OutOfMemory`], [`Error::DeviceLost`].
    pub fn slice_backward(
        &self,
        shape: &[usize],
        dim: isize,
        start: usize,
        end: usize,
        step: usize,
    ) -> Result<Tensor> {
        let out = Tensor::zeros(self.stream(), self.dtype(), shape)?;
        out.slice(dim, start, end, step)?.take_all("slice_backward", self)?;
        Ok(out)
    }

    /// Of [`select`](Tensor::select), for a tensor of this shape: grad in its place, 0 elsewhere.
    ///
    /// # Errors
    /// As for [`select`](Tensor::select); [`Error::Parameter`] where this has not the shape that is left;
    /// [`Error::OutOfMemory`], [`Error::DeviceLost`].
    pub fn select_backward(&self, shape: &[usize], dim: isize, index: isize) -> Result<Tensor> {
        let out = Tensor::zeros(self.stream(), self.dtype(), shape)?;
        out.select(dim, index)?.take_all("select_backward", self)?;
        Ok(out)
    }

    /// Of [`permute`](Tensor::permute): the dimensions back in their order. A view.
    ///
    /// # Errors
    /// As for [`permute`](Tensor::permute).
    pub fn permute_backward(&self, dims: &[isize]) -> Result<Tensor> {
        // Refuses what is no order of them.
        self.permute(dims)?;
        let mut back = vec![0; dims.len()];
        for (i, &dim) in dims.iter().enumerate() {
            back[self.layout.dim(dim)?] = i as isize;
        }
        self.permute(&back)
    }

    /// Of [`cat`](Tensor::cat), of tensors with so many slices each. Views.
    ///
    /// # Errors
    /// [`Error::Parameter`] for a dimension that is not there, and where there are not as many slices.
    pub fn cat_backward(&self, sizes: &[usize], dim: isize) -> Result<Vec<Tensor>> {
        let size = self.shape()[self.layout.dim(dim)?];
        let sum = sizes.iter().try_fold(0_usize, |sum, &n| sum.checked_add(n));
        if sum != Some(size) {
            let problem = format!("cat_backward: sizes {sizes:?} of {size} slices");
            return Err(Error::Parameter(problem + "; give those that were put together"));
        }
        let mut at = 0;
        let part = |&n: &usize| {
            at += n;
            self.narrow(dim, at - n, n)
        };
        sizes.iter().map(part).collect()
    }

    /// Of [`stack`](Tensor::stack). Views.
    ///
    /// # Errors
    /// [`Error::Parameter`] for a dimension that is not there.
    pub fn stack_backward(&self, dim: isize) -> Result<Vec<Tensor>> {
        let size = self.shape()[self.layout.dim(dim)?];
        (0..size as isize).map(|i| self.select(dim, i)).collect()
    }

    /// Of [`index_add`](Tensor::index_add), for its source: `alpha` times the slices of grad that the
    /// indices name. For the tensor that is added to, it is grad itself.
    ///
    /// # Errors
    /// As for [`index_select`](Tensor::index_select).
    pub fn index_add_backward(&self, dim: isize, index: &Tensor, alpha: f64) -> Result<Tensor> {
        let slices = self.index_select(dim, index)?;
        if alpha == 1.0 { Ok(slices) } else { slices.mul(alpha) }
    }

    /// Of [`scatter_add`](Tensor::scatter_add), for the part of its source that the index covers: the
    /// elements of grad that the indices name. For the tensor that is added to, it is grad itself.
    ///
    /// # Errors
    /// As for [`gather`](Tensor::gather).
    pub fn scatter_add_backward(&self, dim: isize, index: &Tensor) -> Result<Tensor> {
        self.gather(dim, index)
    }

    /// Takes over the elements of a tensor of this very shape.
    fn take_all(&self, op: &str, other: &Tensor) -> Result<()> {
        if self.shape() == other.shape() {
            return self.copy_from(other);
        }
        Err(Error::parameter(format!(
            "{op}: a gradient of shape {:?} of a view of {:?}; give the view's gradient",
            other.shape(),
            self.shape()
        )))
    }
}
