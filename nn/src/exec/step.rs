//! Optimisers' steps, in place.

use numpack_host_ops::{Array, DType, optim};

use super::Value;
use crate::error::{Error, Result};

/// What an optimiser keeps of a parameter.
pub(crate) type Kept<'a> = &'a mut Value;

fn no_type(op: &'static str, dtype: DType) -> Error {
    let problem = format!("a parameter of {dtype}");
    Error::parameter(op, problem, "keep parameters in float32, or float64 on the cpu")
}

/// Elements to read, one after another.
fn flat<T: numpack_host_ops::Element>(a: &Array) -> Result<std::borrow::Cow<'_, [T]>> {
    Ok(match a.as_slice::<T>() {
        Some(all) => all.into(),
        None => a.to_vec::<T>()?.into(),
    })
}

impl Value {
    /// A step of gradient descent.
    pub(crate) fn sgd(
        &mut self,
        grad: &Value,
        buffer: Option<Kept<'_>>,
        options: &optim::Sgd,
        step: u64,
    ) -> Result<()> {
        const OP: &str = "sgd";
        macro_rules! host {
            ($t:ty, $p:expr, $g:expr, $b:expr) => {{
                let mut none = [];
                let buffer = match $b {
                    Some(Value::Host(b)) => b.as_mut_slice::<$t>()?,
                    _ => &mut none[..],
                };
                let grads = flat::<$t>($g)?;
                Ok(options.step($p.as_mut_slice::<$t>()?, &grads, buffer, step)?)
            }};
        }
        match (self, grad) {
            (Value::Host(p), Value::Host(g)) => match p.dtype() {
                DType::F32 => host!(f32, p, g, buffer),
                DType::F64 => host!(f64, p, g, buffer),
                other => Err(no_type(OP, other)),
            },
            #[cfg(feature = "vulkan")]
            (Value::Device(p), Value::Device(g)) => {
                let optim::Sgd { lr, momentum, dampening, weight_decay, nesterov } = *options;
                let all = vulkan_core::Sgd { lr, momentum, dampening, weight_decay, nesterov };
                let buffer = buffer.and_then(|b| b.device_tensor());
                Ok(all.step(p, &g.contiguous()?, buffer, step)?)
            }
            #[cfg(feature = "vulkan")]
            (p, g) => Err(p.elsewhere(OP, g)),
        }
    }

    /// A step of Adam.
    pub(crate) fn adam(
        &mut self,
        grad: &Value,
        [mean, squares]: [Kept<'_>; 2],
        max: Option<Kept<'_>>,
        options: &optim::Adam,
        step: u64,
    ) -> Result<()> {
        const OP: &str = "adam";
        macro_rules! host {
            ($t:ty, $p:expr, $g:expr) => {{
                let grads = flat::<$t>($g)?;
                let max = match max {
                    Some(Value::Host(max)) => Some(max.as_mut_slice::<$t>()?),
                    _ => None,
                };
                match (mean, squares) {
                    (Value::Host(m), Value::Host(v)) => {
                        let (m, v) = (m.as_mut_slice::<$t>()?, v.as_mut_slice::<$t>()?);
                        Ok(options.step($p.as_mut_slice::<$t>()?, &grads, m, v, max, step)?)
                    }
                    #[cfg(feature = "vulkan")]
                    (m, _) => Err(grad.elsewhere(OP, m)),
                }
            }};
        }
        match (self, grad) {
            (Value::Host(p), Value::Host(g)) => match p.dtype() {
                DType::F32 => host!(f32, p, g),
                DType::F64 => host!(f64, p, g),
                other => Err(no_type(OP, other)),
            },
            #[cfg(feature = "vulkan")]
            (Value::Device(p), Value::Device(g)) => {
                let optim::Adam { lr, betas, eps, weight_decay, decoupled } = *options;
                let all = vulkan_core::Adam { lr, betas, eps, weight_decay, decoupled };
                let max = max.and_then(|m| m.device_tensor());
                match (mean.device_tensor(), squares.device_tensor()) {
                    (Some(m), Some(v)) => Ok(all.step(p, &g.contiguous()?, m, v, max, step)?),
                    _ => Err(grad.elsewhere(OP, mean)),
                }
            }
            #[cfg(feature = "vulkan")]
            (p, g) => Err(p.elsewhere(OP, g)),
        }
    }

    #[cfg(feature = "vulkan")]
    fn device_tensor(&self) -> Option<&vulkan_core::Tensor> {
        match self {
            Value::Device(t) => Some(t),
            Value::Host(_) => None,
        }
    }
}
