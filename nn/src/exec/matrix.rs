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

    /// As a matrix of all its rows.
    pub(crate) fn rows(&self) -> Result<Value> {
        let last = self.shape().last().copied().unwrap_or(1);
        let count = self.shape().iter().rev().skip(1).product();
        self.reshape(&[count, last])
    }

    /// The gradient for what a layer took, as the gradient's method. If that, `below`, is the result of a
    /// rectifier, its derivative may be taken in the same kernel; says whether it was.
    pub(crate) fn linear_input_backward(
        &self,
        weight: &Value,
        below: Option<&Value>,
    ) -> Result<(Value, bool)> {
        match (self, weight, below) {
            #[cfg(feature = "vulkan")]
            (Value::Device(g), Value::Device(w), Some(Value::Device(x))) => {
                let relu = vulkan_core::Activation::Relu;
                Ok((Value::Device(g.linear_input_backward(w, relu, Some(x))?), true))
            }
            _ => Ok((self.matmul(weight)?, false)),
        }
    }

    /// The gradients for a layer's weight and, if wanted, bias, as the gradient's method; into these
    /// places, if there is one for each.
    pub(crate) fn linear_weight_backward(
        &self,
        x: &Value,
        bias: bool,
        slots: (Option<Value>, Option<Value>),
    ) -> Result<(Value, Option<Value>)> {
        #[cfg(feature = "vulkan")]
        if let (Value::Device(g), Value::Device(t)) = (self, x) {
            if let (Some(Value::Device(to)), beside) = &slots
                && (beside.is_some() || !bias)
            {
                let sums = match beside.as_ref().filter(|_| bias) {
                    Some(Value::Device(sums)) => Some(sums),
                    _ => None,
                };
                g.linear_weight_backward_into(t, to, sums, false)?;
                let sums = sums.cloned().map(Value::Device);
                return Ok((Value::Device(to.clone()), sums));
            }
            let (weight, sums) = g.linear_weight_backward(t, bias)?;
            return Ok((Value::Device(weight), sums.map(Value::Device)));
        }
        let grads = self.rows()?;
        let weight = grads.transpose(0, 1)?.matmul(&x.rows()?)?;
        let sums = bias.then(|| grads.sum(&[0], false)).transpose()?;
        Ok((weight, sums))
    }
}
