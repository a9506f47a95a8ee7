//! Softmax, norms, losses: what looks at whole rows.

use numpack_host_ops::{self as host, Reduction};

use super::Value;
use crate::error::Result;

/// The gradients of a norm.
pub(crate) struct NormGrads {
    pub(crate) input: Value,
    pub(crate) weight: Value,
    pub(crate) bias: Value,
}

/// Which norm.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Norm {
    Layer(f64),
    Rms(Option<f64>),
}

/// Options of a loss over classes.
#[derive(Clone, Debug)]
pub(crate) struct Losses {
    pub(crate) weight: Option<Value>,
    pub(crate) ignore_index: i64,
    pub(crate) label_smoothing: f64,
    pub(crate) reduction: Reduction,
    /// Whether the input has been through log-softmax.
    pub(crate) of_logs: bool,
}

impl Losses {
    pub(crate) fn name(&self) -> &'static str {
        if self.of_logs { "nll_loss" } else { "cross_entropy" }
    }

    fn host(&self) -> Result<host::CrossEntropy> {
        Ok(host::CrossEntropy {
            weight: self.weight.as_ref().map(Value::to_array).transpose()?,
            ignore_index: self.ignore_index,
            label_smoothing: self.label_smoothing,
            reduction: self.reduction,
        })
    }

    #[cfg(feature = "vulkan")]
    fn device(&self, like: &Value) -> Result<vulkan_core::CrossEntropy> {
        use vulkan_core::Reduction as To;
        let weight = match &self.weight {
            None => None,
            Some(Value::Device(weight)) => Some(weight.clone()),
            Some(weight) => return Err(like.elsewhere(self.name(), weight)),
        };
        Ok(vulkan_core::CrossEntropy {
            weight,
            ignore_index: self.ignore_index,
            label_smoothing: self.label_smoothing,
            reduction: match self.reduction {
                Reduction::None => To::None,
                Reduction::Mean => To::Mean,
                Reduction::Sum => To::Sum,
            },
        })
    }
}

impl Value {
    pub(crate) fn softmax(&self, dim: isize) -> Result<Value> {
        Ok(on!(self, a => host::softmax(a, dim), t => t.softmax(dim)))
    }

    pub(crate) fn log_softmax(&self, dim: isize) -> Result<Value> {
        Ok(on!(self, a => host::log_softmax(a, dim), t => t.log_softmax(dim)))
    }

    /// Of the result `y`, as the gradient's method.
    pub(crate) fn softmax_backward(&self, y: &Value, dim: isize) -> Result<Value> {
        Ok(on_both!("softmax", (self, y),
            (g, y) => host::softmax_backward(g, y, dim),
            (g, y) => y.softmax_backward(g, dim),
        ))
    }

    /// Of the result `y`, as the gradient's method.
    pub(crate) fn log_softmax_backward(&self, y: &Value, dim: isize) -> Result<Value> {
        Ok(on_both!("log_softmax", (self, y),
            (g, y) => host::log_softmax_backward(g, y, dim),
            (g, y) => y.log_softmax_backward(g, dim),
        ))
    }

    pub(crate) fn norm(
        &self,
        norm: Norm,
        shape: &[usize],
        weight: Option<&Value>,
        bias: Option<&Value>,
    ) -> Result<Value> {
        const OP: &str = "layer_norm";
        Ok(match self {
            Value::Host(x) => {
                let (w, b) = (self.host_part(OP, weight)?, self.host_part(OP, bias)?);
                Value::Host(match norm {
                    Norm::Layer(eps) => host::layer_norm(x, shape, w, b, eps)?,
                    Norm::Rms(eps) => host::rms_norm(x, shape, w, eps)?,
                })
            }
            #[cfg(feature = "vulkan")]
            Value::Device(x) => {
                let (w, b) = (self.device_part(OP, weight)?, self.device_part(OP, bias)?);
                Value::Device(match norm {
                    Norm::Layer(eps) => x.layer_norm(shape, w, b, eps)?,
                    Norm::Rms(eps) => x.rms_norm(shape, w, eps)?,
                })
            }
        })
    }

    /// As the gradient's method.
    pub(crate) fn norm_backward(
        &self,
        norm: Norm,
        x: &Value,
        shape: &[usize],
        weight: Option<&Value>,
    ) -> Result<NormGrads> {
        const OP: &str = "layer_norm";
        match (self, x) {
            (Value::Host(g), Value::Host(a)) => {
                let w = self.host_part(OP, weight)?;
                let all = match norm {
                    Norm::Layer(eps) => host::layer_norm_backward(g, a, shape, w, eps)?,
                    Norm::Rms(eps) => host::rms_norm_backward(g, a, shape, w, eps)?,
                };
                Ok(NormGrads {
                    input: Value::Host(all.input),
                    weight: Value::Host(all.weight),
                    bias: Value::Host(all.bias),
                })
            }
            #[cfg(feature = "vulkan")]
            (Value::Device(g), Value::Device(t)) => {
                let w = self.device_part(OP, weight)?;
                let all = match norm {
                    Norm::Layer(eps) => t.layer_norm_backward(g, shape, w, eps)?,
                    Norm::Rms(eps) => t.rms_norm_backward(g, shape, w, eps)?,
                };
                Ok(NormGrads {
                    input: Value::Device(all.input),
                    weight: Value::Device(all.weight),
                    bias: Value::Device(all.bias),
                })
            }
            #[cfg(feature = "vulkan")]
            _ => Err(self.elsewhere(OP, x)),
        }
    }

    fn host_part<'a>(
        &self,
        op: &'static str,
        part: Option<&'a Value>,
    ) -> Result<Option<&'a host::Array>> {
        match part {
            None => Ok(None),
            Some(Value::Host(a)) => Ok(Some(a)),
            #[cfg(feature = "vulkan")]
            Some(part) => Err(self.elsewhere(op, part)),
        }
    }

    #[cfg(feature = "vulkan")]
    fn device_part<'a>(
        &self,
        op: &'static str,
        part: Option<&'a Value>,
    ) -> Result<Option<&'a vulkan_core::Tensor>> {
        match part {
            None => Ok(None),
            Some(Value::Device(t)) => Ok(Some(t)),
            Some(part) => Err(self.elsewhere(op, part)),
        }
    }

    /// A loss over classes.
    pub(crate) fn loss(&self, target: &Value, options: &Losses) -> Result<Value> {
        Ok(on_both!(options.name(), (self, target),
            (x, y) => {
                let all = options.host()?;
                if options.of_logs { host::nll_loss(x, y, &all) } else { host::cross_entropy(x, y, &all) }
            },
            (x, y) => {
                let all = options.device(self)?;
                if options.of_logs { x.nll_loss(y, &all) } else { x.cross_entropy(y, &all) }
            },
        ))
    }

    /// Losses whose sum is the loss, and its gradient for the input, where one kernel makes both.
    pub(crate) fn losses_with_grad(
        &self,
        target: &Value,
        options: &Losses,
    ) -> Result<Option<(Value, Value)>> {
        match (self, target) {
            #[cfg(feature = "vulkan")]
            (Value::Device(x), Value::Device(y))
                if !options.of_logs && options.reduction != Reduction::None && x.numel() > 0 =>
            {
                let (losses, grad) = x.cross_entropy_with_grad(y, &options.device(self)?)?;
                Ok(Some((Value::Device(losses), Value::Device(grad))))
            }
            _ => Ok(None),
        }
    }

    /// The gradient of a loss for its input `x`, as the gradient's method.
    pub(crate) fn loss_backward(
        &self,
        x: &Value,
        target: &Value,
        options: &Losses,
    ) -> Result<Value> {
        match (self, x, target) {
            (Value::Host(g), Value::Host(x), Value::Host(y)) => {
                let all = options.host()?;
                Ok(Value::Host(match options.of_logs {
                    true => host::nll_loss_backward(g, x, y, &all)?,
                    false => host::cross_entropy_backward(g, x, y, &all)?,
                }))
            }
            #[cfg(feature = "vulkan")]
            (Value::Device(g), Value::Device(t), Value::Device(y)) => {
                let all = options.device(x)?;
                Ok(Value::Device(match options.of_logs {
                    true => t.nll_loss_backward(g, y, &all)?,
                    false => t.cross_entropy_backward(g, y, &all)?,
                }))
            }
            #[cfg(feature = "vulkan")]
            _ => Err(self.elsewhere(options.name(), x)),
        }
    }
}
