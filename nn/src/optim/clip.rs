//! Gradients made smaller.

use crate::error::{Error, Result};
use crate::exec::{Binary, Unary, Value};
use crate::tensor::Tensor;

/// Scales the gradients of these parameters, all on one device, so that the root of the sum of their
/// squares is at most `max_norm`, and gives what it was (`torch.nn.utils.clip_grad_norm_`). The factor is
/// max_norm / (norm + 1e-6), at most 1. On a device nothing waits. Without gradients the norm is 0.
///
/// # Errors
/// [`Error::Parameter`] for a negative norm; [`Error::Devices`]; what executors say of memory. No
/// gradient has changed then.
pub fn clip_grad_norm(params: &[Tensor], max_norm: f64) -> Result<Tensor> {
    const OP: &str = "clip_grad_norm";
    if max_norm.is_nan() || max_norm < 0.0 {
        return Err(Error::parameter(OP, format!("norm {max_norm}"), "give 0 or more"));
    }
    let grads: Vec<(&Tensor, Value)> =
        params.iter().filter_map(|p| Some((p, p.grad_value()?))).collect();
    if grads.is_empty() {
        return Tensor::scalar(0.0, &Default::default());
    }
    let sums = grads.iter().map(|(_, g)| g.unary(Unary::Square)?.sum(&[], false));
    let sums = sums.collect::<Result<Vec<Value>>>()?;
    let all = Value::stack(&sums.iter().collect::<Vec<_>>(), 0)?;
    let norm = all.sum(&[], false)?.unary(Unary::Sqrt)?;
    let factor = norm
        .binary_number(Binary::Add, 1e-6.into())?
        .unary(Unary::Reciprocal)?
        .times(max_norm)?
        .clamp(None, Some(1.0))?;
    let scaled = grads.into_iter().map(|(p, g)| Ok((p, g.mul(&factor)?.cast(g.dtype())?)));
    for (param, grad) in scaled.collect::<Result<Vec<_>>>()? {
        param.put_grad(Some(grad));
    }
    Ok(Tensor::of(norm))
}

/// Cuts each element of the gradients to between -value and value
/// (`torch.nn.utils.clip_grad_value_`).
///
/// # Errors
/// [`Error::Parameter`] for a negative value; what executors say of memory. No gradient has changed
/// then.
pub fn clip_grad_value(params: &[Tensor], value: f64) -> Result<()> {
    if value.is_nan() || value < 0.0 {
        let problem = format!("value {value}");
        return Err(Error::parameter("clip_grad_value", problem, "give 0 or more"));
    }
    let grads = params.iter().filter_map(|p| Some((p, p.grad_value()?)));
    let cut = grads.map(|(p, g)| Ok((p, g.clamp(Some(-value), Some(value))?)));
    for (param, grad) in cut.collect::<Result<Vec<_>>>()? {
        param.put_grad(Some(grad));
    }
    Ok(())
}
