//! Products of matrices, layers.

use numpack_host_ops::{self as host, Approximate};

use super::{Unary, Value};
use crate::error::Result;

/// What a layer does with each element of its product.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Activation(pub(crate) Option<Unary>);

impl Activation {
    fn host(self) -> host::Activation {
        match self.0 {
            Some(Unary::Relu) => host::Activation::Relu,
            Some(Unary::Gelu) => host::Activation::Gelu(Approximate::None),
            Some(Unary::GeluTanh) => host::Activation::Gelu(Approximate::Tanh),
            Some(Unary::Silu) => host::Activation::Silu,
            Some(Unary::Tanh) => host::Activation::Tanh,
            Some(Unary::Sigmoid) => host::Activation::Sigmoid,
            _ => host::Activation::None,
        }
    }

    #[cfg(feature = "vulkan")]
    fn device(self) -> vulkan_core::Activation {
        use vulkan_core::Activation as To;
        match self.0 {
            Some(Unary::Relu) => To::Relu,
            Some(Unary::Gelu) => To::Gelu,
            Some(Unary::GeluTanh) => To::GeluTanh,
            Some(Unary::Silu) => To::Silu,
            Some(Unary::Tanh) => To::Tanh,
            Some(Unary::Sigmoid) => To::Sigmoid,
            _ => To::None,
        }
    }
}

impl Value {
    pub(crate) fn matmul(&self, other: &Value) -> Result<Value> {
        Ok(on_both!("matmul", (self, other), (a, b) => host::matmul(a, b), (a, b) => a.matmul(b)))
    }

    /// activation(self weightᵀ + bias).
    pub(crate) fn linear(
        &self,
        weight: &Value,
        bias: Option<&Value>,
        activation: Activation,
    ) -> Result<Value> {
        const OP: &str = "linear";
        match (self, weight, bias) {
            (Value::Host(x), Value::Host(w), None) => {
                Ok(Value::Host(host::linear(x, w, None, activation.host())?))
            }
            (Value::Host(x), Value::Host(w), Some(Value::Host(b))) => {
                Ok(Value::Host(host::linear(x, w, Some(b), activation.host())?))
            }
            #[cfg(feature = "vulkan")]
            (Value::Device(x), Value::Device(w), None) => {
                Ok(Value::Device(x.linear(w, None, activation.device())?))
            }
            #[cfg(feature = "vulkan")]
            (Value::Device(x), Value::Device(w), Some(Value::Device(b))) => {
                Ok(Value::Device(x.linear(w, Some(b), activation.device())?))
            }
            #[cfg(feature = "vulkan")]
            (x, w, _) if x.device() != w.device() => Err(x.elsewhere(OP, w)),
            #[cfg(feature = "vulkan")]
            (x, w, bias) => Err(x.elsewhere(OP, bias.unwrap_or(w))),
        }
    }
}
