//! The choice between two tensors.

use super::binary::Operand;
use super::pointwise::{Function, pointwise};
use super::promote::{Kind, result_type};
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::kernels::Module;
use crate::tensor::Tensor;
use crate::tensor::layout::broadcast;

impl Tensor {
    /// `torch.where(condition, self, other)`: the elements where the condition is true, and the others'
    /// where it is not. Shapes broadcast, types are promoted.
    ///
    /// # Errors
    /// [`Error::Parameter`] for a condition that is not of truth values, shapes that do not broadcast, and
    /// tensors of two devices; [`Error::OutOfMemory`], [`Error::DeviceLost`].
    pub fn where_<'a>(&self, condition: &Tensor, other: impl Into<Operand<'a>>) -> Result<Tensor> {
        let other = other.into();
        condition.must_be_on(self.stream())?;
        if condition.dtype() != DType::Bool {
            let problem = format!("a condition is of truth values, not {}", condition.dtype());
            return Err(Error::Parameter(problem + "; compare with 0 first"));
        }
        let kind = |t: &Tensor| match t.ndim() {
            0 => Kind::ZeroDim(t.dtype()),
            _ => Kind::Dimensioned(t.dtype()),
        };
        let number = |dtype| (Kind::Number(dtype), None);
        let (other_kind, other_tensor) = match other {
            Operand::Tensor(t) => (kind(t), Some(t)),
            Operand::Float(_) => number(DType::F32),
            Operand::Int(_) => number(DType::I64),
            Operand::Bool(_) => number(DType::Bool),
        };
        let dtype = result_type(&[kind(self), other_kind]);
        let mut shape = broadcast(condition.shape(), self.shape())?;
        if let Some(t) = other_tensor {
            t.must_be_on(self.stream())?;
            shape = broadcast(&shape, t.shape())?;
        }
        let out = Tensor::empty(self.stream(), dtype, &shape)?;
        let condition = condition.expand(&shape)?;
        let first = self.to_dtype(dtype)?.expand(&shape)?;
        let bits = match other {
            Operand::Int(x) if dtype == DType::I64 => x as u64,
            Operand::Int(x) => super::bits_of(x as f64, dtype),
            Operand::Float(x) => super::bits_of(x, dtype),
            Operand::Bool(x) => super::bits_of(f64::from(u8::from(x)), dtype),
            Operand::Tensor(_) => 0,
        };
        let function = Function {
            module: Module::Select,
            op: 0,
            scalar: [bits as u32, (bits >> 32) as u32, 0, 0],
            takes_place: other_tensor.is_none(),
        };
        match other_tensor {
            Some(t) => {
                let second = t.to_dtype(dtype)?.expand(&shape)?;
                pointwise(self.stream(), &function, &out, &[&condition, &first, &second])?;
            }
            None => pointwise(self.stream(), &function, &out, &[&condition, &first])?,
        }
        Ok(out)
    }
}
