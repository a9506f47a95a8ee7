//! Gradients of sums, means, variances and extremes along dimensions.
//!
//! Each is a method of the gradient of the result, whose shape says by `keepdim` whether the dimensions
//! are still there with size 1; all dimensions are meant if none is named. Other operations make them up.

use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::tensor::Tensor;
use crate::tensor::layout::Layout;

impl Tensor {
    /// Of [`sum`](Tensor::sum), for a tensor of this shape: grad, expanded. A view.
    ///
    /// # Errors
    /// [`Error::Parameter`] where this has not the shape of the result, and for dimensions that are not
    /// there or named twice.
    pub fn sum_backward(&self, shape: &[usize], dims: &[isize], keepdim: bool) -> Result<Tensor> {
        self.kept("sum_backward", shape, dims, keepdim)?.expand(shape)
    }

    /// Of [`mean`](Tensor::mean), for a tensor of this shape: grad / n, within 3 units in the last place. A
    /// view.
    ///
    /// # Errors
    /// As for [`sum_backward`](Tensor::sum_backward), and [`Error::Parameter`] for integers;
    /// [`Error::OutOfMemory`], [`Error::DeviceLost`].
    pub fn mean_backward(&self, shape: &[usize], dims: &[isize], keepdim: bool) -> Result<Tensor> {
        self.must_be_float("mean_backward")?;
        let kept = self.kept("mean_backward", shape, dims, keepdim)?;
        let n = shape.iter().product::<usize>() / kept.numel().max(1);
        kept.div(n as f64)?.expand(shape)
    }

    /// Of [`var`](Tensor::var): grad · 2 (x − mean) / max(0, n − correction), within 8 units in the last
    /// place of the same with the largest |x| of its row for x − mean.
    ///
    /// # Errors
    /// As for [`mean_backward`](Tensor::mean_backward), and [`Error::Parameter`] for tensors of two
    /// devices.
    pub fn var_backward(
        &self,
        x: &Tensor,
        dims: &[isize],
        correction: f64,
        keepdim: bool,
    ) -> Result<Tensor> {
        const OP: &str = "var_backward";
        x.must_be_on(self.stream())?;
        self.must_be_float(OP)?;
        x.must_be_float(OP)?;
        let kept = self.kept(OP, x.shape(), dims, keepdim)?;
        let n = x.numel() / kept.numel().max(1);
        let slope = kept.to_dtype(DType::F32)?.mul(2.0 / (n as f64 - correction).max(0.0))?;
        let wide = x.to_dtype(DType::F32)?;
        wide.sub(&wide.mean(dims, true)?)?.mul(&slope)?.to_dtype(x.dtype())
    }

    /// Of [`amax`](Tensor::amax) and [`amin`](Tensor::amin), of which `y` is the result: shared equally by
    /// all elements that equal it, within 3 units in the last place.
    ///
    /// # Errors
    /// As for [`var_backward`](Tensor::var_backward), and [`Error::Parameter`] where `y` has not this one's
    /// shape.
    pub fn amax_backward(
        &self,
        x: &Tensor,
        y: &Tensor,
        dims: &[isize],
        keepdim: bool,
    ) -> Result<Tensor> {
        const OP: &str = "amax_backward";
        x.must_be_on(self.stream())?;
        self.must_be_float(OP)?;
        x.must_be_float(OP)?;
        let kept = self.kept(OP, x.shape(), dims, keepdim)?;
        let equal = x.eq(&y.kept(OP, x.shape(), dims, keepdim)?)?;
        let share = kept.to_dtype(DType::F32)?.div(&equal.sum(dims, true)?)?;
        share.expand(x.shape())?.where_(&equal, 0.0)?.to_dtype(x.dtype())
    }

    /// The same elements, in the shape that a tensor of another shape has when it is reduced and its
    /// dimensions are kept.
    fn kept(&self, op: &str, shape: &[usize], dims: &[isize], keepdim: bool) -> Result<Tensor> {
        let mut reduced = vec![dims.is_empty(); shape.len()];
        for &dim in dims {
            let d = Layout::contiguous(shape).dim(dim)?;
            if std::mem::replace(&mut reduced[d], true) {
                return Err(Error::parameter(format!(
                    "{op}: dimension {dim} comes twice in {dims:?}; name each once"
                )));
            }
        }
        let sizes = || shape.iter().zip(&reduced);
        let kept: Vec<usize> = sizes().map(|(&n, &gone)| if gone { 1 } else { n }).collect();
        let left: Vec<usize> = sizes().filter(|(_, gone)| !**gone).map(|(&n, _)| n).collect();
        let wanted = if keepdim { &kept } else { &left };
        if self.shape() != wanted {
            return Err(Error::parameter(format!(
                "{op}: a tensor of shape {:?} of a result of {wanted:?}; give the result's gradient",
                self.shape()
            )));
        }
        self.reshape(&kept)
    }
}
