//! New tensors: filled, and counted up.

use super::Tensor;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::ops::{arange, bits_of};
use crate::stream::Stream;

impl Tensor {
    /// All zero.
    ///
    /// # Errors
    /// As for [`empty`](Tensor::empty).
    pub fn zeros(stream: &Stream, dtype: DType, shape: &[usize]) -> Result<Tensor> {
        Tensor::full(stream, 0.0, dtype, shape)
    }

    /// The same value everywhere.
    ///
    /// # Errors
    /// As for [`empty`](Tensor::empty).
    pub fn full(stream: &Stream, value: f64, dtype: DType, shape: &[usize]) -> Result<Tensor> {
        let t = Tensor::empty(stream, dtype, shape)?;
        t.put(bits_of(value, dtype))?;
        Ok(t)
    }

    /// `start`, `start + step` and so on, as long as they are before `end`.
    ///
    /// # Errors
    /// As for [`empty`](Tensor::empty), and [`Error::Parameter`] for a step of 0 or away from `end`, and
    /// for truth values.
    pub fn arange(
        stream: &Stream,
        start: f64,
        end: f64,
        step: f64,
        dtype: DType,
    ) -> Result<Tensor> {
        let n = ((end - start) / step).ceil();
        let goes = step != 0.0 && start.is_finite() && (n >= 0.0 || start == end);
        if !goes || dtype == DType::Bool {
            return Err(Error::parameter(format!(
                "arange: no {dtype} goes from {start} to {end} by {step}; give a step towards the end, and \
                 a type of numbers"
            )));
        }
        if !dtype.is_float() && (start.fract() != 0.0 || step.fract() != 0.0) {
            return Err(Error::parameter(format!(
                "arange: {start} and {step} are no {dtype}; give whole numbers, or a float type"
            )));
        }
        let t = Tensor::empty(stream, dtype, &[n.max(0.0) as usize])?;
        arange(&t, start, step)?;
        Ok(t)
    }
}
