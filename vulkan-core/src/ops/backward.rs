//! Gradients of functions of elements.
//!
//! Each is a method of the gradient of the result, and takes what the function took (`x`, `a`, `b`) or
//! gave (`y`). The gradient of an input has its type and shape: where it was broadcast, the gradient is
//! summed. Each is one kernel, and one or two more for such a sum; or none, where it is the gradient itself.

use super::pointwise::{Function, pointwise};
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::kernels::Module;
use crate::tensor::Tensor;
use crate::tensor::layout::broadcast;

/// As `shaders/backward.comp` numbers them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
enum One {
    Exp,
    Log,
    Sqrt,
    Tanh,
    Sigmoid,
    Relu,
    Abs,
    Clamp,
    Rsqrt,
    Reciprocal,
    Square,
    // With a module each.
    Sin,
    Cos,
    Silu,
    Gelu,
    GeluTanh,
}

impl One {
    fn module(self) -> Module {
        match self {
            One::Sin => Module::SinBackward,
            One::Cos => Module::CosBackward,
            One::Silu => Module::SiluBackward,
            One::Gelu => Module::GeluBackward,
            One::GeluTanh => Module::GeluTanhBackward,
            _ => Module::Backward,
        }
    }
}

/// As `shaders/backward.comp` numbers them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
enum Two {
    Div,
    Maximum,
    Minimum,
    // With a module each.
    Pow,
    Exponent,
}

macro_rules! of_one {
    ($($(#[$doc:meta])* $name:ident($saved:ident) $op:ident;)*) => {
        impl Tensor {
            $(
                $(#[$doc])*
                ///
                /// # Errors
                /// [`Error::Parameter`] for shapes that differ, types that are no floats, and tensors of
                /// two devices; [`Error::OutOfMemory`], [`Error::DeviceLost`].
                pub fn $name(&self, $saved: &Tensor) -> Result<Tensor> {
                    self.of_one(One::$op, $saved, [0; 4])
                }
            )*
        }
    };
}

of_one! {
    /// Of [`exp`](Tensor::exp), of which `y` is the result: grad · y.
    exp_backward(y) Exp;
    /// Of [`log`](Tensor::log): grad / x, within 3 units in the last place.
    log_backward(x) Log;
    /// Of [`sqrt`](Tensor::sqrt), of which `y` is the result: grad / 2y, within 3 units in the last place.
    sqrt_backward(y) Sqrt;
    /// Of [`rsqrt`](Tensor::rsqrt), of which `y` is the result: −grad · y³ / 2, within 3 units in the last
    /// place.
    rsqrt_backward(y) Rsqrt;
    /// Of [`reciprocal`](Tensor::reciprocal), of which `y` is the result: −grad · y², within 2 units in
    /// the last place.
    reciprocal_backward(y) Reciprocal;
    /// Of [`square`](Tensor::square): grad · 2x.
    square_backward(x) Square;
    /// Of [`sin`](Tensor::sin): grad · cos(x), within 3 · 2⁻²³ |grad|.
    sin_backward(x) Sin;
    /// Of [`cos`](Tensor::cos): −grad · sin(x), as [`sin_backward`](Tensor::sin_backward).
    cos_backward(x) Cos;
    /// Of [`tanh`](Tensor::tanh), of which `y` is the result: grad (1 − y²), within 3 units in the last
    /// place.
    tanh_backward(y) Tanh;
    /// Of [`sigmoid`](Tensor::sigmoid), of which `y` is the result: grad · y (1 − y), within 3 units in
    /// the last place.
    sigmoid_backward(y) Sigmoid;
    /// Of [`relu`](Tensor::relu): grad where it was positive. `y` may be what it took or gave.
    relu_backward(y) Relu;
    /// Of [`abs`](Tensor::abs): grad · sign(x), 0 at 0.
    abs_backward(x) Abs;
    /// Of [`silu`](Tensor::silu): within 8 units in the last place, or 2⁻²¹ |grad|.
    silu_backward(x) Silu;
    /// Of [`gelu`](Tensor::gelu): as [`silu_backward`](Tensor::silu_backward).
    gelu_backward(x) Gelu;
    /// Of [`gelu_tanh`](Tensor::gelu_tanh): within 2⁻¹⁹ |grad|.
    gelu_tanh_backward(x) GeluTanh;
}

impl Tensor {
    /// Of [`neg`](Tensor::neg): −grad.
    ///
    /// # Errors
    /// As for [`neg`](Tensor::neg).
    pub fn neg_backward(&self) -> Result<Tensor> {
        self.neg()
    }

    /// Of [`clamp`](Tensor::clamp): grad where x lies between the bounds, 0 elsewhere and on them.
    ///
    /// # Errors
    /// As for [`exp_backward`](Tensor::exp_backward), and [`Error::Parameter`] for a bound that is NaN.
    pub fn clamp_backward(&self, x: &Tensor, min: Option<f64>, max: Option<f64>) -> Result<Tensor> {
        if [min, max].iter().flatten().any(|bound| bound.is_nan()) {
            let problem = "clamp_backward: a bound is NaN; leave it out for none";
            return Err(Error::parameter(problem));
        }
        let bits = |bound: Option<f64>| bound.map_or(0, |b| (b as f32).to_bits());
        let there = u32::from(min.is_some()) | u32::from(max.is_some()) << 1;
        self.of_one(One::Clamp, x, [bits(min), bits(max), there, 0])
    }

    /// Of [`add`](Tensor::add): grad, for both.
    ///
    /// # Errors
    /// As for [`div_backward`](Tensor::div_backward).
    pub fn add_backward(&self, a: &Tensor, b: &Tensor) -> Result<(Tensor, Tensor)> {
        self.must_be_of("add_backward", &[a, b])?;
        Ok((self.fitted(a)?, self.fitted(b)?))
    }

    /// Of [`sub`](Tensor::sub): grad and −grad.
    ///
    /// # Errors
    /// As for [`div_backward`](Tensor::div_backward).
    pub fn sub_backward(&self, a: &Tensor, b: &Tensor) -> Result<(Tensor, Tensor)> {
        self.must_be_of("sub_backward", &[a, b])?;
        Ok((self.fitted(a)?, self.fitted(b)?.neg()?))
    }

    /// Of [`mul`](Tensor::mul): grad · b and grad · a.
    ///
    /// # Errors
    /// As for [`div_backward`](Tensor::div_backward).
    pub fn mul_backward(&self, a: &Tensor, b: &Tensor) -> Result<(Tensor, Tensor)> {
        self.must_be_of("mul_backward", &[a, b])?;
        Ok((self.wide_if(a)?.mul(b)?.fitted(a)?, self.wide_if(b)?.mul(a)?.fitted(b)?))
    }

    /// Of [`div`](Tensor::div): grad / b and −grad · (a / b) / b, within 8 units in the last place.
    ///
    /// # Errors
    /// [`Error::Parameter`] where grad does not have the shape that both broadcast to, for types that are
    /// no floats, and tensors of two devices; [`Error::OutOfMemory`], [`Error::DeviceLost`].
    pub fn div_backward(&self, a: &Tensor, b: &Tensor) -> Result<(Tensor, Tensor)> {
        self.must_be_of("div_backward", &[a, b])?;
        let for_a = self.wide_if(a)?.div(&b.expand(self.shape())?)?;
        Ok((for_a.fitted(a)?, self.of_two(Two::Div, b, [a, b])?))
    }

    /// Of [`pow`](Tensor::pow): grad · b · aᵇ⁻¹, 0 where b is 0, within 64 units in the last place; and
    /// grad · aᵇ · ln(a), 0 where a is 0 and b is not negative, within 24.
    ///
    /// # Errors
    /// As for [`div_backward`](Tensor::div_backward).
    pub fn pow_backward(&self, a: &Tensor, b: &Tensor) -> Result<(Tensor, Tensor)> {
        self.must_be_of("pow_backward", &[a, b])?;
        let for_a = self.of_two(Two::Pow, a, [a, b])?;
        Ok((for_a, self.of_two(Two::Exponent, b, [a, b])?))
    }

    /// Of a power with a number as its exponent, as [`pow_backward`](Tensor::pow_backward).
    ///
    /// # Errors
    /// As for [`exp_backward`](Tensor::exp_backward).
    pub fn pow_number_backward(&self, a: &Tensor, exponent: f64) -> Result<Tensor> {
        self.must_be_of("pow_number_backward", &[a])?;
        let out = Tensor::empty(self.stream(), a.dtype(), self.shape())?;
        let scalar = [(exponent as f32).to_bits(), 0, 0, 0];
        let function = Function { module: Module::PowBackward, op: 0, scalar, takes_place: true };
        pointwise(self.stream(), &function, &out, &[self, a])?;
        Ok(out)
    }

    /// Of [`maximum`](Tensor::maximum): grad for the greater one, half of it for each where they are equal.
    ///
    /// # Errors
    /// As for [`div_backward`](Tensor::div_backward).
    pub fn maximum_backward(&self, a: &Tensor, b: &Tensor) -> Result<(Tensor, Tensor)> {
        self.must_be_of("maximum_backward", &[a, b])?;
        let for_a = self.of_two(Two::Maximum, a, [a, b])?;
        Ok((for_a, self.of_two(Two::Maximum, b, [b, a])?))
    }

    /// Of [`minimum`](Tensor::minimum): grad for the smaller one, half of it for each where they are equal.
    ///
    /// # Errors
    /// As for [`div_backward`](Tensor::div_backward).
    pub fn minimum_backward(&self, a: &Tensor, b: &Tensor) -> Result<(Tensor, Tensor)> {
        self.must_be_of("minimum_backward", &[a, b])?;
        let for_a = self.of_two(Two::Minimum, a, [a, b])?;
        Ok((for_a, self.of_two(Two::Minimum, b, [b, a])?))
    }

    /// Of [`where_`](Tensor::where_): grad where the condition is true, for `a`, and where it is false,
    /// for `b`.
    ///
    /// # Errors
    /// As for [`div_backward`](Tensor::div_backward), and [`Error::Parameter`] for a condition that is not
    /// of truth values.
    pub fn where_backward(
        &self,
        condition: &Tensor,
        a: &Tensor,
        b: &Tensor,
    ) -> Result<(Tensor, Tensor)> {
        must_be_floats("where_backward", &[self, a, b])?;
        self.must_have_shape_of("where_backward", &[condition, a, b])?;
        let condition = condition.expand(self.shape())?;
        let zero = Tensor::zeros(self.stream(), self.dtype(), &[])?;
        let (for_a, for_b) = (self.where_(&condition, &zero)?, zero.where_(&condition, self)?);
        Ok((for_a.fitted(a)?, for_b.fitted(b)?))
    }

    /// The sums over what was repeated when a tensor of `shape` was broadcast to this one's: the gradient
    /// of [`expand`](Tensor::expand).
    ///
    /// # Errors
    /// [`Error::Parameter`] for a shape that does not expand to this one's; what
    /// [`sum`](Tensor::sum) has.
    pub fn sum_to_shape(&self, shape: &[usize]) -> Result<Tensor> {
        if self.shape() == shape {
            return Ok(self.clone());
        }
        let fits = |missing: usize| {
            let mut sizes = shape.iter().zip(&self.shape()[missing..]);
            sizes.all(|(&n, &have)| n == have || n == 1)
        };
        let Some(missing) = self.ndim().checked_sub(shape.len()).filter(|&m| fits(m)) else {
            return Err(Error::parameter(format!(
                "sum_to_shape: shape {shape:?} does not expand to {:?}; give one that does",
                self.shape()
            )));
        };
        let repeated: Vec<isize> = (0..self.ndim())
            .filter(|&d| d < missing || (shape[d - missing] == 1 && self.shape()[d] != 1))
            .map(|d| d as isize)
            .collect();
        self.sum(&repeated, true)?.to_dtype(self.dtype())?.view(shape)
    }

    fn of_one(&self, op: One, saved: &Tensor, scalar: [u32; 4]) -> Result<Tensor> {
        let name = format!("{op:?}_backward").to_lowercase();
        saved.must_be_on(self.stream())?;
        must_be_floats(&name, &[self, saved])?;
        if self.shape() != saved.shape() {
            return Err(Error::parameter(format!(
                "{name}: a gradient of shape {:?} and what was kept of {:?}; give equal shapes",
                self.shape(),
                saved.shape()
            )));
        }
        let out = Tensor::empty(self.stream(), saved.dtype(), self.shape())?;
        let function = Function { module: op.module(), op: op as u32, scalar, takes_place: false };
        pointwise(self.stream(), &function, &out, &[self, saved])?;
        Ok(out)
    }

    /// The gradient for `input`, one of two, which the kernel takes as `order` has them.
    fn of_two(&self, op: Two, input: &Tensor, order: [&Tensor; 2]) -> Result<Tensor> {
        let module = match op {
            Two::Pow => Module::PowBackward,
            Two::Exponent => Module::ExponentBackward,
            _ => Module::BackwardTwo,
        };
        let repeated = input.shape() != self.shape();
        // What is summed is rounded after that.
        let dtype = if repeated { DType::F32 } else { input.dtype() };
        let out = Tensor::empty(self.stream(), dtype, self.shape())?;
        let function = Function { module, op: op as u32, scalar: [0; 4], takes_place: false };
        let [first, second] = [order[0].expand(self.shape())?, order[1].expand(self.shape())?];
        pointwise(self.stream(), &function, &out, &[self, &first, &second])?;
        out.fitted(input)
    }

    /// As `float32`, if what is made of it will be summed.
    fn wide_if(&self, input: &Tensor) -> Result<Tensor> {
        if input.shape() == self.shape() { Ok(self.clone()) } else { self.to_dtype(DType::F32) }
    }

    /// A gradient in an input's type and shape.
    fn fitted(&self, input: &Tensor) -> Result<Tensor> {
        self.sum_to_shape(input.shape())?.to_dtype(input.dtype())
    }

    fn must_be_of(&self, op: &str, inputs: &[&Tensor]) -> Result<()> {
        must_be_floats(op, &[&[self], inputs].concat())?;
        self.must_have_shape_of(op, inputs)
    }

    /// Refuses inputs that do not broadcast to the gradient's shape.
    fn must_have_shape_of(&self, op: &str, inputs: &[&Tensor]) -> Result<()> {
        let mut shape = Vec::new();
        for input in inputs {
            input.must_be_on(self.stream())?;
            shape = broadcast(&shape, input.shape())?;
        }
        if shape == self.shape() {
            return Ok(());
        }
        Err(Error::parameter(format!(
            "{op}: a gradient of shape {:?} of a result of {shape:?}; give the result's gradient",
            self.shape()
        )))
    }
}

fn must_be_floats(op: &str, tensors: &[&Tensor]) -> Result<()> {
    match tensors.iter().find(|t| !t.dtype().is_float()) {
        Some(t) => {
            let problem = format!("{op}: {} has no gradient", t.dtype());
            Err(Error::Parameter(problem + "; give floats"))
        }
        None => Ok(()),
    }
}
