//! Sums and the like. Without dimensions they are of all elements.

use super::Tensor;
use crate::error::Result;
use crate::exec::Value;

impl Tensor {
    /// The sum of all elements.
    ///
    /// # Errors
    /// What executors say.
    pub fn sum(&self) -> Result<Tensor> {
        self.sum_dims(&[], false)
    }

    /// The mean of all elements, of a float type.
    ///
    /// # Errors
    /// What executors say.
    pub fn mean(&self) -> Result<Tensor> {
        self.mean_dims(&[], false)
    }

    /// The sums along dimensions, which stay with size 1 if `keepdim`.
    ///
    /// # Errors
    /// What executors say of dimensions.
    pub fn sum_dims(&self, dims: &[isize], keepdim: bool) -> Result<Tensor> {
        let x = self.get();
        let value = x.sum(dims, keepdim)?;
        let dims = x.dims("sum", dims)?;
        let (shape, dtype) = (x.shape().to_vec(), x.dtype());
        Ok(Tensor::computed("sum", value, &[self], |_| {
            Box::new(move |grad, _| {
                Ok(vec![Some(grad.get()?.spread(&shape, &dims, keepdim)?.cast(dtype)?)])
            })
        }))
    }

    /// The means along dimensions.
    ///
    /// # Errors
    /// What executors say of dimensions.
    pub fn mean_dims(&self, dims: &[isize], keepdim: bool) -> Result<Tensor> {
        let x = self.get();
        let value = x.mean(dims, keepdim)?;
        let dims = x.dims("mean", dims)?;
        let (shape, dtype) = (x.shape().to_vec(), x.dtype());
        Ok(Tensor::computed("mean", value, &[self], |_| {
            let count: usize = dims.iter().map(|&d| shape[d]).product();
            Box::new(move |grad, _| {
                let each = grad.get()?.times(1.0 / count as f64)?;
                Ok(vec![Some(each.spread(&shape, &dims, keepdim)?.cast(dtype)?)])
            })
        }))
    }

    /// The variances along dimensions: of `n` elements, divided by `n - correction`.
    ///
    /// # Errors
    /// What executors say of dimensions.
    pub fn var(&self, dims: &[isize], correction: f64, keepdim: bool) -> Result<Tensor> {
        let value = self.get().var(dims, correction, keepdim)?;
        let all = self.value().dims("var", dims)?;
        let given = dims.to_vec();
        Ok(Tensor::computed("var", value, &[self], |_| {
            let x = self.save();
            Box::new(move |grad, _| {
                let x = x.get("var")?;
                let count: usize = all.iter().map(|&d| x.shape()[d]).product();
                let factor = 2.0 / (count as f64 - correction);
                let off = x.sub(&x.mean(&given, true)?)?;
                let each = grad.get()?.times(factor)?.spread(x.shape(), &all, keepdim)?;
                Ok(vec![Some(off.mul(&each)?)])
            })
        }))
    }

    /// The largest along dimensions. The gradient is shared by all that equal it.
    ///
    /// # Errors
    /// What executors say of dimensions, and of no elements.
    pub fn amax(&self, dims: &[isize], keepdim: bool) -> Result<Tensor> {
        let value = self.get().amax(dims, keepdim)?;
        Ok(self.extreme("amax", value, dims, keepdim))
    }

    /// The smallest along dimensions.
    ///
    /// # Errors
    /// As for [`amax`](Tensor::amax).
    pub fn amin(&self, dims: &[isize], keepdim: bool) -> Result<Tensor> {
        let value = self.get().amin(dims, keepdim)?;
        Ok(self.extreme("amin", value, dims, keepdim))
    }

    fn extreme(&self, op: &'static str, value: Value, dims: &[isize], keepdim: bool) -> Tensor {
        let dims = dims.to_vec();
        Tensor::computed(op, value, &[self], |out| {
            let x = self.save();
            Box::new(move |grad, _| {
                let (x, y) = (x.get(op)?, out.get(op)?);
                Ok(vec![Some(grad.get()?.amax_backward(x, y, &dims, keepdim)?)])
            })
        })
    }

    /// The place of the largest along a dimension, or of all elements; the first of equal ones. `int64`.
    ///
    /// # Errors
    /// As for [`amax`](Tensor::amax).
    pub fn argmax(&self, dim: Option<isize>, keepdim: bool) -> Result<Tensor> {
        Ok(Tensor::of(self.get().argmax(dim, keepdim)?))
    }

    /// The place of the smallest.
    ///
    /// # Errors
    /// As for [`amax`](Tensor::amax).
    pub fn argmin(&self, dim: Option<isize>, keepdim: bool) -> Result<Tensor> {
        Ok(Tensor::of(self.get().argmin(dim, keepdim)?))
    }
}
