//! Views, joining, casting.

use numpack_host_ops::{self as host, DType};

use super::Value;
use crate::error::{Error, Result};

/// The shape that one with at most one -1 stands for.
pub(crate) fn sizes(op: &'static str, numel: usize, shape: &[isize]) -> Result<Vec<usize>> {
    let wrong =
        |problem: String| Error::parameter(op, problem, "give sizes, and -1 for at most one");
    let unknown = shape.iter().filter(|&&s| s == -1).count();
    if unknown > 1 || shape.iter().any(|&s| s < -1) {
        return Err(wrong(format!("shape {shape:?}")));
    }
    let known =
        shape.iter().filter(|&&s| s >= 0).try_fold(1_usize, |n, &s| n.checked_mul(s as usize));
    let rest = match known {
        Some(0) | None if unknown == 1 => None,
        Some(n) if unknown == 1 && numel.is_multiple_of(n) => Some(numel / n),
        Some(n) if unknown == 0 && n == numel => Some(1),
        _ => None,
    };
    let Some(rest) = rest else {
        return Err(wrong(format!("shape {shape:?} of {numel} elements")));
    };
    Ok(shape.iter().map(|&s| if s < 0 { rest } else { s as usize }).collect())
}

fn signed(shape: &[usize]) -> Vec<isize> {
    shape.iter().map(|&s| s as isize).collect()
}

impl Value {
    pub(crate) fn permute(&self, dims: &[isize]) -> Result<Value> {
        Ok(on!(self, a => a.permute(dims), t => t.permute(dims)))
    }

    pub(crate) fn transpose(&self, a: isize, b: isize) -> Result<Value> {
        Ok(on!(self, x => x.transpose(a, b), t => t.transpose(a, b)))
    }

    pub(crate) fn reshape(&self, shape: &[usize]) -> Result<Value> {
        Ok(on!(self, a => a.reshape(&signed(shape)), t => t.reshape(shape)))
    }

    pub(crate) fn expand(&self, shape: &[usize]) -> Result<Value> {
        Ok(on!(self, a => a.broadcast_to(shape), t => t.expand(shape)))
    }

    pub(crate) fn squeeze(&self, dim: isize) -> Result<Value> {
        Ok(on!(self, a => a.squeeze(dim), t => t.squeeze(dim)))
    }

    pub(crate) fn unsqueeze(&self, dim: isize) -> Result<Value> {
        Ok(on!(self, a => a.unsqueeze(dim), t => t.unsqueeze(dim)))
    }

    pub(crate) fn select(&self, dim: isize, index: i64) -> Result<Value> {
        Ok(on!(self, a => a.select(dim, index), t => t.select(dim, index as isize)))
    }

    /// Every `step`th from `start` up to before `end`, which lie in the dimension.
    pub(crate) fn slice(&self, dim: usize, start: usize, end: usize, step: usize) -> Result<Value> {
        let dim = dim as isize;
        Ok(on!(self,
            a => a.slice(dim, start as i64, end as i64, step as i64),
            t => t.slice(dim, start, end, step),
        ))
    }

    pub(crate) fn contiguous(&self) -> Result<Value> {
        Ok(on!(self, a => a.contiguous(), t => t.contiguous()))
    }

    /// Memory of its own.
    pub(crate) fn copy(&self) -> Result<Value> {
        Ok(on!(self, a => copied(a), t => t.copy()))
    }

    pub(crate) fn cast(&self, dtype: DType) -> Result<Value> {
        if dtype == self.dtype() {
            return Ok(self.clone());
        }
        Ok(on!(self,
            a => a.cast(dtype),
            t => t.to_dtype(super::value::device_type("to_dtype", dtype)?),
        ))
    }

    pub(crate) fn cat(values: &[&Value], dim: isize) -> Result<Value> {
        Ok(match Many::of("cat", values)? {
            Many::Host(arrays) => Value::Host(host::cat(&arrays, dim)?),
            #[cfg(feature = "vulkan")]
            Many::Device(tensors) => Value::Device(vulkan_core::Tensor::cat(&tensors, dim)?),
        })
    }

    pub(crate) fn stack(values: &[&Value], dim: isize) -> Result<Value> {
        Ok(match Many::of("stack", values)? {
            Many::Host(arrays) => Value::Host(host::stack(&arrays, dim)?),
            #[cfg(feature = "vulkan")]
            Many::Device(tensors) => Value::Device(vulkan_core::Tensor::stack(&tensors, dim)?),
        })
    }

    /// The gradient for what a slice was taken of: this, and zeros elsewhere.
    pub(crate) fn slice_backward(
        &self,
        shape: &[usize],
        dim: usize,
        (start, end, step): (usize, usize, usize),
    ) -> Result<Value> {
        let zeros = Value::full(&self.device(), 0.0.into(), self.dtype(), shape)?;
        match (zeros, self) {
            (Value::Host(mut to), Value::Host(grad)) => {
                to.write(
                    |all| all.slice(dim as isize, start as i64, end as i64, step as i64),
                    grad,
                )?;
                Ok(Value::Host(to))
            }
            #[cfg(feature = "vulkan")]
            (Value::Device(to), Value::Device(grad)) => {
                to.slice(dim as isize, start, end, step)?.copy_from(grad)?;
                Ok(Value::Device(to))
            }
            #[cfg(feature = "vulkan")]
            (zeros, _) => Err(zeros.elsewhere("slice", self)),
        }
    }
}

fn copied(a: &host::Array) -> host::Result<host::Array> {
    let mut out = host::Array::zeros(a.shape(), a.dtype())?;
    out.copy_from(a)?;
    Ok(out)
}

/// Several on one device.
enum Many<'a> {
    Host(Vec<&'a host::Array>),
    #[cfg(feature = "vulkan")]
    Device(Vec<&'a vulkan_core::Tensor>),
}

impl<'a> Many<'a> {
    fn of(op: &'static str, values: &[&'a Value]) -> Result<Many<'a>> {
        let Some(first) = values.first() else {
            return Err(Error::parameter(op, "no tensors", "give one or more"));
        };
        let device = first.device();
        if let Some(other) = values.iter().find(|v| !v.is_on(&device)) {
            return Err(first.elsewhere(op, other));
        }
        let mut arrays = Vec::new();
        #[cfg(feature = "vulkan")]
        let mut tensors = Vec::new();
        for value in values {
            match value {
                Value::Host(a) => arrays.push(a),
                #[cfg(feature = "vulkan")]
                Value::Device(t) => tensors.push(t),
            }
        }
        #[cfg(feature = "vulkan")]
        if !device.is_cpu() {
            return Ok(Many::Device(tensors));
        }
        Ok(Many::Host(arrays))
    }
}
