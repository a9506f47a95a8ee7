//! Sums and the like, along dimensions (all, if none are given).

use numpack_host_ops as host;

use super::Value;
use crate::error::Result;

impl Value {
    pub(crate) fn sum(&self, dims: &[isize], keepdim: bool) -> Result<Value> {
        Ok(on!(self, a => host::sum(a, dims, keepdim), t => t.sum(dims, keepdim)))
    }

    pub(crate) fn mean(&self, dims: &[isize], keepdim: bool) -> Result<Value> {
        Ok(on!(self, a => host::mean(a, dims, keepdim), t => t.mean(dims, keepdim)))
    }

    pub(crate) fn var(&self, dims: &[isize], correction: f64, keepdim: bool) -> Result<Value> {
        Ok(on!(self,
            a => host::var(a, dims, correction, keepdim),
            t => t.var(dims, correction, keepdim),
        ))
    }

    pub(crate) fn amax(&self, dims: &[isize], keepdim: bool) -> Result<Value> {
        Ok(on!(self, a => host::amax(a, dims, keepdim), t => t.amax(dims, keepdim)))
    }

    pub(crate) fn amin(&self, dims: &[isize], keepdim: bool) -> Result<Value> {
        Ok(on!(self, a => host::amin(a, dims, keepdim), t => t.amin(dims, keepdim)))
    }

    pub(crate) fn argmax(&self, dim: Option<isize>, keepdim: bool) -> Result<Value> {
        Ok(on!(self, a => host::argmax(a, dim, keepdim), t => t.argmax(dim, keepdim)))
    }

    pub(crate) fn argmin(&self, dim: Option<isize>, keepdim: bool) -> Result<Value> {
        Ok(on!(self, a => host::argmin(a, dim, keepdim), t => t.argmin(dim, keepdim)))
    }

    /// The sum over what was broadcast from `shape`.
    pub(crate) fn sum_to_shape(&self, shape: &[usize]) -> Result<Value> {
        if self.shape() == shape {
            return Ok(self.clone());
        }
        Ok(on!(self, a => host::sum_to_shape(a, shape), t => t.sum_to_shape(shape)))
    }

    /// What was reduced to this, spread over its shape again; no memory is copied.
    pub(crate) fn spread(&self, shape: &[usize], dims: &[usize], keepdim: bool) -> Result<Value> {
        let mut kept = shape.to_vec();
        for &d in dims {
            kept[d] = 1;
        }
        let whole = if keepdim { self.clone() } else { self.reshape(&kept)? };
        whole.expand(shape)
    }

    /// The gradient of a largest or smallest element `y`, shared by all that equal it.
    pub(crate) fn amax_backward(
        &self,
        x: &Value,
        y: &Value,
        dims: &[isize],
        keepdim: bool,
    ) -> Result<Value> {
        match (self, x, y) {
            (Value::Host(g), Value::Host(x), Value::Host(y)) => {
                Ok(Value::Host(host::amax_backward(g, x, y, dims, keepdim)?))
            }
            #[cfg(feature = "vulkan")]
            (Value::Device(g), Value::Device(x), Value::Device(y)) => {
                Ok(Value::Device(g.amax_backward(x, y, dims, keepdim)?))
            }
            #[cfg(feature = "vulkan")]
            _ => Err(self.elsewhere("amax", x)),
        }
    }
}
