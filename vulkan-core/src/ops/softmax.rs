//! Softmax and its logarithm along a dimension, and their gradients.

use super::bind::is_software;
use super::rows::{Rows, along, pieces};
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::kernels::Module;
use crate::tensor::Tensor;

/// As `shaders/softmax.comp` numbers them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
enum Op {
    Softmax,
    Log,
    SoftmaxBackward,
    LogBackward,
}

impl Tensor {
    /// `exp(x - max) / Σ exp(x - max)` along a dimension, in the type and shape of the tensor
    /// (`torch.softmax`). Computed in 32 bits: within 8 units in the last place, and half of one for each
    /// 1 that an element is below the largest of its row. What is too small to be normal is 0.
    ///
    /// # Errors
    /// [`Error::Parameter`] for a dimension that is not there and for types that are no floats;
    /// [`Error::Unsupported`] for a row that a kernel does not see at once; [`Error::OutOfMemory`],
    /// [`Error::DeviceLost`].
    pub fn softmax(&self, dim: isize) -> Result<Tensor> {
        self.over_rows("softmax", Op::Softmax, None, dim)
    }

    /// `x - max - ln Σ exp(x - max)` along a dimension, in the type and shape of the tensor
    /// (`torch.log_softmax`). Computed in 32 bits: within 4 units in the last place, or 5e-7.
    ///
    /// # Errors
    /// As for [`softmax`](Tensor::softmax).
    pub fn log_softmax(&self, dim: isize) -> Result<Tensor> {
        self.over_rows("log_softmax", Op::Log, None, dim)
    }

    /// The gradient of [`softmax`](Tensor::softmax), whose result this is: `y (grad - Σ grad y)`, in this
    /// tensor's type. Within 4 units in the last place of `y (|grad| + Σ |grad y|)`.
    ///
    /// # Errors
    /// As for [`softmax`](Tensor::softmax), and [`Error::Parameter`] for a gradient of another shape.
    pub fn softmax_backward(&self, grad: &Tensor, dim: isize) -> Result<Tensor> {
        grad.over_rows("softmax_backward", Op::SoftmaxBackward, Some(self), dim)
    }

    /// The gradient of [`log_softmax`](Tensor::log_softmax), whose result this is:
    /// `grad - exp(y) Σ grad`, in this tensor's type. Within 4 units in the last place of
    /// `|grad| + exp(y) Σ |grad|`.
    ///
    /// # Errors
    /// As for [`softmax_backward`](Tensor::softmax_backward).
    pub fn log_softmax_backward(&self, grad: &Tensor, dim: isize) -> Result<Tensor> {
        grad.over_rows("log_softmax_backward", Op::LogBackward, Some(self), dim)
    }

    fn over_rows(&self, name: &str, op: Op, y: Option<&Tensor>, dim: isize) -> Result<Tensor> {
        self.must_be_float(name)?;
        if let Some(y) = y {
            y.must_be_float(name)?;
            y.must_be_on(self.stream())?;
            if y.shape() != self.shape() {
                return Err(Error::parameter(format!(
                    "{name}: the gradient has shape {:?}, and the result {:?}; give that of the result",
                    self.shape(),
                    y.shape()
                )));
            }
        }
        // One number is a row, as in torch.
        if self.ndim() == 0 {
            let y = y.map(|y| y.view(&[1])).transpose()?;
            return self.view(&[1])?.over_rows(name, op, y.as_ref(), dim)?.view(&[]);
        }
        let dim = self.layout.dim(dim)?;
        let dtype = y.map_or(self.dtype(), Tensor::dtype);
        let out = Tensor::empty(self.stream(), dtype, self.shape())?;
        let (result, a) = (along(&out, dim)?, along(self, dim)?);
        let b = y.map(|y| along(y, dim)).transpose()?;
        let all: Vec<&Tensor> =
            [Some(&result), Some(&a), b.as_ref()].into_iter().flatten().collect();
        // Where powers are what takes the time, they are kept.
        let keep = op == Op::Softmax && dtype == DType::F32 && is_software(self.stream());
        for piece in pieces(name, &all)? {
            let b = b.as_ref().map(|b| piece.of(b)).transpose()?;
            Rows {
                modules: [Module::Softmax, Module::SoftmaxGroup],
                op: op as u32,
                out: &piece.of(&result)?,
                a: &piece.of(&a)?,
                b: b.as_ref(),
                writes: true,
                found: 2,
                alone: false,
                together: false,
                rest: &[],
                constants: &[keep.into()],
                more: [0; 16],
            }
            .run()?;
        }
        Ok(out)
    }
}
