//! Activations as modules.

use crate::error::Result;
use crate::exec::Unary;
use crate::module::{ActivationRole, Module, Role};
use crate::tensor::Tensor;

macro_rules! activations {
    ($($(#[$doc:meta])* $name:ident $op:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default)]
        pub struct $name;

        impl Module for $name {
            fn forward(&self, x: &Tensor) -> Result<Tensor> {
                x.unary(Unary::$op)
            }

            fn role(&self) -> Role<'_> {
                Role::Activation(ActivationRole(Unary::$op))
            }
        }
    )*};
}

activations! {
    /// [`Tensor::relu`] (`torch.nn.ReLU`).
    ReLU Relu;
    /// [`Tensor::silu`] (`torch.nn.SiLU`).
    SiLU Silu;
    /// [`Tensor::tanh`] (`torch.nn.Tanh`).
    Tanh Tanh;
    /// [`Tensor::sigmoid`] (`torch.nn.Sigmoid`).
    Sigmoid Sigmoid;
}

/// [`Tensor::gelu`] (`torch.nn.GELU`).
#[derive(Clone, Copy, Debug, Default)]
pub struct GELU {
    /// By a hyperbolic tangent (`approximate='tanh'`).
    pub tanh: bool,
}

impl GELU {
    fn op(self) -> Unary {
        if self.tanh { Unary::GeluTanh } else { Unary::Gelu }
    }
}

impl Module for GELU {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        x.unary(self.op())
    }

    fn role(&self) -> Role<'_> {
        Role::Activation(ActivationRole(self.op()))
    }
}

/// [`Tensor::softmax`] (`torch.nn.Softmax`).
#[derive(Clone, Copy, Debug)]
pub struct Softmax {
    /// The dimension whose elements add up to 1.
    pub dim: isize,
}

impl Module for Softmax {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        x.softmax(self.dim)
    }
}

/// [`Tensor::log_softmax`] (`torch.nn.LogSoftmax`).
#[derive(Clone, Copy, Debug)]
pub struct LogSoftmax {
    /// The dimension whose elements' exponentials add up to 1.
    pub dim: isize,
}

impl Module for LogSoftmax {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        x.log_softmax(self.dim)
    }
}
