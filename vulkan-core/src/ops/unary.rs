//! Functions of one element.

use super::pointwise::{Function, pointwise};
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::kernels::Module;
use crate::tensor::Tensor;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
enum Unary {
    // As `shaders/unary.comp` and `shaders/unary_int.comp` number them.
    Neg,
    Abs,
    Sqrt,
    Relu,
    Clamp,
    Reciprocal,
    Square,
    Rsqrt,
    // With a module each.
    Exp,
    Log,
    Sin,
    Cos,
    Tanh,
    Sigmoid,
    Gelu,
    GeluTanh,
    Silu,
}

impl Unary {
    /// Whether integers stay integers.
    fn keeps_integers(self) -> bool {
        matches!(self, Unary::Neg | Unary::Abs | Unary::Relu | Unary::Clamp | Unary::Square)
    }

    /// The kernel for floats.
    fn module(self) -> Module {
        match self {
            Unary::Exp => Module::Exp,
            Unary::Log => Module::Log,
            Unary::Sin => Module::Sin,
            Unary::Cos => Module::Cos,
            Unary::Tanh => Module::Tanh,
            Unary::Sigmoid => Module::Sigmoid,
            Unary::Gelu => Module::Gelu,
            Unary::GeluTanh => Module::GeluTanh,
            Unary::Silu => Module::Silu,
            _ => Module::Unary,
        }
    }
}

macro_rules! unary {
    ($($(#[$doc:meta])* $name:ident $op:ident;)*) => {
        impl Tensor {
            $(
                $(#[$doc])*
                ///
                /// # Errors
                /// [`Error::OutOfMemory`], [`Error::DeviceLost`]; [`Error::Parameter`] for truth
                /// values where that has no meaning.
                pub fn $name(&self) -> Result<Tensor> {
                    self.unary(Unary::$op, [0; 4])
                }
            )*
        }
    };
}

unary! {
    /// The negative of each element. Integers keep their type and wrap.
    neg Neg;
    /// The absolute value of each element.
    abs Abs;
    /// e to the power of each element, within 2 units in the last place. As of all functions below,
    /// the result of integers is `float32`.
    exp Exp;
    /// The natural logarithm of each element, within 2 units in the last place.
    log Log;
    /// The square root of each element, as exact as the device is: within 3 units in the last place.
    sqrt Sqrt;
    /// One over the square root of each element, within 5 units in the last place.
    rsqrt Rsqrt;
    /// One over each element, within 3 units in the last place.
    reciprocal Reciprocal;
    /// Each element times itself. Integers keep their type and wrap.
    square Square;
    /// The sine of each element, in radians, within 2 units in the last place of 1; so is every
    /// argument, however large, taken modulo the circle.
    sin Sin;
    /// The cosine of each element, as [`sin`](Tensor::sin).
    cos Cos;
    /// The hyperbolic tangent of each element, within 4 units in the last place.
    tanh Tanh;
    /// 1 / (1 + e^-x) of each element, within 5 units in the last place.
    sigmoid Sigmoid;
    /// Each element, or 0 if that is more.
    relu Relu;
    /// x times the part of a normal distribution below x (`torch.nn.functional.gelu`), within 6 units in
    /// the last place.
    gelu Gelu;
    /// The same by its approximation with a hyperbolic tangent (`approximate='tanh'`), within 128 units in
    /// the last place: the tangent's argument is rounded before its exponential is taken.
    gelu_tanh GeluTanh;
    /// x times the sigmoid of x, within 6 units in the last place.
    silu Silu;
}

impl Tensor {
    /// Each element, or the bound that it is beyond; a bound that is `None` is none. NaN stays.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`], [`Error::DeviceLost`]; [`Error::Parameter`] for truth values, for a
    /// bound that is NaN, and for bounds with a fraction where the elements are integers.
    pub fn clamp(&self, min: Option<f64>, max: Option<f64>) -> Result<Tensor> {
        let refuse = |what: String| Err(Error::Parameter(format!("clamp: {what}")));
        if [min, max].iter().flatten().any(|b| b.is_nan()) {
            return refuse("a bound is NaN; leave it out for none".to_owned());
        }
        if self.dtype().is_float() {
            let low = min.map_or(f32::NEG_INFINITY, |b| b as f32);
            let high = max.map_or(f32::INFINITY, |b| b as f32);
            return self.unary(Unary::Clamp, [low.to_bits(), high.to_bits(), 0, 0]);
        }
        if let Some(bound) = [min, max].into_iter().flatten().find(|b| b.fract() != 0.0) {
            let dtype = self.dtype();
            return refuse(format!(
                "{bound} is no bound of {dtype}; cast the tensor to a float type"
            ));
        }
        let low = min.map_or(i64::MIN, |b| b as i64) as u64;
        let high = max.map_or(i64::MAX, |b| b as i64) as u64;
        let words = [low as u32, (low >> 32) as u32, high as u32, (high >> 32) as u32];
        self.unary(Unary::Clamp, words)
    }

    fn unary(&self, op: Unary, scalar: [u32; 4]) -> Result<Tensor> {
        let keeps = op.keeps_integers();
        if keeps && self.dtype() == DType::Bool {
            let problem = format!("{op:?} has no meaning for truth values").to_lowercase();
            return Err(Error::Parameter(problem + "; cast them to numbers first"));
        }
        let integers = keeps && !self.dtype().is_float();
        let dtype = if self.dtype().is_float() || integers { self.dtype() } else { DType::F32 };
        let module = if integers { Module::UnaryInt } else { op.module() };
        let out = Tensor::empty(self.stream(), dtype, self.shape())?;
        let function = Function { module, op: op as u32, scalar, takes_place: false };
        pointwise(self.stream(), &function, &out, &[self])?;
        Ok(out)
    }
}
