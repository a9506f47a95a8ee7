//! First values of parameters, as torch draws them (from other random numbers).

use numpack_host_ops::DType;

use crate::device::Device;
use crate::error::Result;
use crate::tensor::Tensor;

/// A parameter: a leaf that wants a gradient.
pub(crate) fn parameter(values: &Tensor) -> Result<Tensor> {
    values.detach().requires_grad_(true)
}

/// Uniform numbers from `-bound` to `bound`, in `float32` on the host.
pub(crate) fn uniform(shape: &[usize], bound: f64) -> Result<Tensor> {
    let all = Tensor::rand(shape, DType::F32, &Device::Cpu)?;
    parameter(&all.mul(2.0 * bound)?.sub(bound)?)
}

/// What a linear layer with so many inputs begins with: `kaiming_uniform_(a=√5)` for its weight, and
/// the same bound for its bias, 1 / √inputs (PyTorch, `torch/nn/modules/linear.py`, documented with
/// `torch.nn.Linear`).
pub(crate) fn linear(shape: &[usize], inputs: usize) -> Result<Tensor> {
    let bound = if inputs > 0 { 1.0 / (inputs as f64).sqrt() } else { 0.0 };
    uniform(shape, bound)
}

/// `xavier_uniform_` of a matrix (outputs, inputs): √(6 / (inputs + outputs)) is the bound (Glorot and
/// Bengio, 2010).
pub(crate) fn xavier(outputs: usize, inputs: usize) -> Result<Tensor> {
    uniform(&[outputs, inputs], (6.0 / (outputs as f64 + inputs as f64).max(1.0)).sqrt())
}

/// One number everywhere.
pub(crate) fn constant(shape: &[usize], value: f64) -> Result<Tensor> {
    parameter(&Tensor::full(shape, value, DType::F32, &Device::Cpu)?)
}
