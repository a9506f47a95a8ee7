//! Functions of one and two elements, comparing, choosing.

use numpack_host_ops::{self as host, Approximate, Array, DType, Operand, Scalar, result_type};

use super::Value;
use crate::error::Result;

/// A plain number.
pub(crate) type Number = Scalar;

/// A function of one element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unary {
    Neg,
    Abs,
    Exp,
    Log,
    Sqrt,
    Rsqrt,
    Reciprocal,
    Square,
    Sin,
    Cos,
    Tanh,
    Sigmoid,
    Relu,
    Gelu,
    GeluTanh,
    Silu,
}

/// A function of two elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Binary {
    Add,
    Sub,
    Mul,
    Div,
    Pow,
    Maximum,
    Minimum,
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
    LogicalAnd,
    LogicalOr,
    LogicalXor,
}

impl Unary {
    /// What messages call it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Unary::Neg => "neg",
            Unary::Abs => "abs",
            Unary::Exp => "exp",
            Unary::Log => "log",
            Unary::Sqrt => "sqrt",
            Unary::Rsqrt => "rsqrt",
            Unary::Reciprocal => "reciprocal",
            Unary::Square => "square",
            Unary::Sin => "sin",
            Unary::Cos => "cos",
            Unary::Tanh => "tanh",
            Unary::Sigmoid => "sigmoid",
            Unary::Relu => "relu",
            Unary::Gelu | Unary::GeluTanh => "gelu",
            Unary::Silu => "silu",
        }
    }

    /// Whether the gradient is computed of what the function gave; else of what it took.
    pub(crate) fn saves_output(self) -> bool {
        use Unary::*;
        matches!(self, Exp | Sqrt | Rsqrt | Reciprocal | Tanh | Sigmoid | Relu)
    }
}

impl Binary {
    /// What messages call it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Binary::Add => "add",
            Binary::Sub => "sub",
            Binary::Mul => "mul",
            Binary::Div => "div",
            Binary::Pow => "pow",
            Binary::Maximum => "maximum",
            Binary::Minimum => "minimum",
            Binary::Eq => "eq",
            Binary::Ne => "ne",
            Binary::Lt => "lt",
            Binary::Le => "le",
            Binary::Gt => "gt",
            Binary::Ge => "ge",
            Binary::LogicalAnd => "logical_and",
            Binary::LogicalOr => "logical_or",
            Binary::LogicalXor => "logical_xor",
        }
    }
}

/// Calls the function of that name of either executor.
macro_rules! by_op {
    ($op:expr, $kind:ident, ($a:expr, $b:expr), $($variant:ident $name:ident),*) => {
        on_both!($op.name(), ($a, $b),
            (a, b) => match $op { $($kind::$variant => host::$name(a, b),)* },
            (t, u) => match $op { $($kind::$variant => t.$name(u),)* },
        )
    };
}

impl Value {
    pub(crate) fn unary(&self, op: Unary) -> Result<Value> {
        Ok(on!(self,
            a => match op {
                Unary::Neg => host::neg(a),
                Unary::Abs => host::abs(a),
                Unary::Exp => host::exp(a),
                Unary::Log => host::log(a),
                Unary::Sqrt => host::sqrt(a),
                Unary::Rsqrt => host::rsqrt(a),
                Unary::Reciprocal => host::reciprocal(a),
                Unary::Square => host::square(a),
                Unary::Sin => host::sin(a),
                Unary::Cos => host::cos(a),
                Unary::Tanh => host::tanh(a),
                Unary::Sigmoid => host::sigmoid(a),
                Unary::Relu => host::relu(a),
                Unary::Gelu => host::gelu(a, Approximate::None),
                Unary::GeluTanh => host::gelu(a, Approximate::Tanh),
                Unary::Silu => host::silu(a),
            },
            t => match op {
                Unary::Neg => t.neg(),
                Unary::Abs => t.abs(),
                Unary::Exp => t.exp(),
                Unary::Log => t.log(),
                Unary::Sqrt => t.sqrt(),
                Unary::Rsqrt => t.rsqrt(),
                Unary::Reciprocal => t.reciprocal(),
                Unary::Square => t.square(),
                Unary::Sin => t.sin(),
                Unary::Cos => t.cos(),
                Unary::Tanh => t.tanh(),
                Unary::Sigmoid => t.sigmoid(),
                Unary::Relu => t.relu(),
                Unary::Gelu => t.gelu(),
                Unary::GeluTanh => t.gelu_tanh(),
                Unary::Silu => t.silu(),
            },
        ))
    }

    /// The gradient of a function of which this is the result's; `saved` is what
    /// [`Unary::saves_output`] says.
    pub(crate) fn unary_backward(&self, op: Unary, saved: &Value) -> Result<Value> {
        if op == Unary::Neg {
            return self.unary(Unary::Neg);
        }
        Ok(on_both!(op.name(), (self, saved),
            (g, s) => match op {
                Unary::Abs => host::abs_backward(g, s),
                Unary::Exp => host::exp_backward(g, s),
                Unary::Log => host::log_backward(g, s),
                Unary::Sqrt => host::sqrt_backward(g, s),
                Unary::Rsqrt => host::rsqrt_backward(g, s),
                Unary::Reciprocal => host::reciprocal_backward(g, s),
                Unary::Square => host::square_backward(g, s),
                Unary::Sin => host::sin_backward(g, s),
                Unary::Cos => host::cos_backward(g, s),
                Unary::Tanh => host::tanh_backward(g, s),
                Unary::Sigmoid => host::sigmoid_backward(g, s),
                Unary::Relu => host::relu_backward(g, s),
                Unary::GeluTanh => host::gelu_backward(g, s, Approximate::Tanh),
                Unary::Silu => host::silu_backward(g, s),
                _ => host::gelu_backward(g, s, Approximate::None),
            },
            (g, s) => match op {
                Unary::Abs => g.abs_backward(s),
                Unary::Exp => g.exp_backward(s),
                Unary::Log => g.log_backward(s),
                Unary::Sqrt => g.sqrt_backward(s),
                Unary::Rsqrt => g.rsqrt_backward(s),
                Unary::Reciprocal => g.reciprocal_backward(s),
                Unary::Square => g.square_backward(s),
                Unary::Sin => g.sin_backward(s),
                Unary::Cos => g.cos_backward(s),
                Unary::Tanh => g.tanh_backward(s),
                Unary::Sigmoid => g.sigmoid_backward(s),
                Unary::Relu => g.relu_backward(s),
                Unary::GeluTanh => g.gelu_tanh_backward(s),
                Unary::Silu => g.silu_backward(s),
                _ => g.gelu_backward(s),
            },
        ))
    }

    pub(crate) fn binary(&self, op: Binary, other: &Value) -> Result<Value> {
        Ok(by_op!(op, Binary, (self, other),
            Add add, Sub sub, Mul mul, Div div, Pow pow, Maximum maximum, Minimum minimum,
            Eq eq, Ne ne, Lt lt, Le le, Gt gt, Ge ge,
            LogicalAnd logical_and, LogicalOr logical_or, LogicalXor logical_xor))
    }

    /// With a number on the right.
    pub(crate) fn binary_number(&self, op: Binary, number: Number) -> Result<Value> {
        // Where a number is as good as an array: it has the least say in the type.
        macro_rules! with {
            ($($variant:ident $name:ident),*) => {
                on!(self,
                    a => match op {
                        $(Binary::$variant => host::$name(a, number),)*
                        _ => return self.binary(op, &self.alone(number)?),
                    },
                    t => match op {
                        $(Binary::$variant => t.$name(number_of(number)),)*
                        _ => return self.binary(op, &self.alone(number)?),
                    },
                )
            };
        }
        Ok(with!(Add add, Sub sub, Mul mul, Div div, Pow pow, Maximum maximum, Minimum minimum,
            Eq eq, Ne ne, Lt lt, Le le, Gt gt, Ge ge))
    }

    /// With a number on the left.
    pub(crate) fn number_binary(&self, op: Binary, number: Number) -> Result<Value> {
        self.number_beside(number)?.binary(op, self)
    }

    /// A number without dimensions there, that has no more say in the type of a result than a plain one: beside
    /// what has no dimensions either it is of the type that the two have together.
    pub(crate) fn number_beside(&self, number: Number) -> Result<Value> {
        let alone = self.alone(number)?;
        if self.ndim() > 0 {
            return Ok(alone);
        }
        let like = Array::full(&[1], 0, self.dtype())?;
        alone.cast(result_type(&[(&like).into(), number.into()]))
    }

    /// A number without dimensions there, in the type that it has by itself.
    fn alone(&self, number: Number) -> Result<Value> {
        Value::full(&self.device(), number, number.dtype(), &[])
    }

    pub(crate) fn add(&self, other: &Value) -> Result<Value> {
        self.binary(Binary::Add, other)
    }

    pub(crate) fn sub(&self, other: &Value) -> Result<Value> {
        self.binary(Binary::Sub, other)
    }

    pub(crate) fn mul(&self, other: &Value) -> Result<Value> {
        self.binary(Binary::Mul, other)
    }

    pub(crate) fn div(&self, other: &Value) -> Result<Value> {
        self.binary(Binary::Div, other)
    }

    /// Each element so many times.
    pub(crate) fn times(&self, factor: f64) -> Result<Value> {
        self.binary_number(Binary::Mul, Scalar::Float(factor))
    }

    pub(crate) fn logical_not(&self) -> Result<Value> {
        Ok(on!(self,
            a => host::logical_not(a),
            t => t.eq(false),
        ))
    }

    /// log(1 + x), to the last places of small x too.
    pub(crate) fn log1p(&self) -> Result<Value> {
        if let Value::Host(a) = self {
            return Ok(Value::Host(host::log1p(a)?));
        }
        // What is lost of x in w = 1 + x is made up for by the factor x / (w - 1) (Kahan's).
        let w = self.binary_number(Binary::Add, 1.0.into())?;
        let kept = w.binary_number(Binary::Sub, 1.0.into())?;
        let log = w.unary(Unary::Log)?.mul(&self.div(&kept)?)?;
        kept.binary_number(Binary::Eq, 0.0.into())?.choose(self, &log)
    }

    /// Of each two one, by a truth value (`self`).
    pub(crate) fn choose(&self, a: &Value, b: &Value) -> Result<Value> {
        const OP: &str = "where";
        match (self, a, b) {
            (Value::Host(c), Value::Host(a), Value::Host(b)) => {
                Ok(Value::Host(host::where_(c, a, b)?))
            }
            #[cfg(feature = "vulkan")]
            (Value::Device(c), Value::Device(a), Value::Device(b)) => {
                Ok(Value::Device(a.where_(c, b)?))
            }
            #[cfg(feature = "vulkan")]
            _ if self.device() == a.device() => Err(a.elsewhere(OP, b)),
            #[cfg(feature = "vulkan")]
            _ => Err(self.elsewhere(OP, a)),
        }
    }

    pub(crate) fn clamp(&self, min: Option<f64>, max: Option<f64>) -> Result<Value> {
        Ok(on!(self,
            a => host::clamp(a, bound(a.dtype(), min), bound(a.dtype(), max)),
            t => t.clamp(min, max),
        ))
    }

    pub(crate) fn clamp_backward(
        &self,
        x: &Value,
        min: Option<f64>,
        max: Option<f64>,
    ) -> Result<Value> {
        Ok(on_both!("clamp", (self, x),
            (g, a) => host::clamp_backward(g, a, bound(a.dtype(), min), bound(a.dtype(), max)),
            (g, t) => g.clamp_backward(t, min, max),
        ))
    }

    /// The gradient of a power for its base, of a plain exponent.
    pub(crate) fn pow_number_backward(&self, base: &Value, exponent: f64) -> Result<Value> {
        Ok(on_both!("pow", (self, base),
            (g, x) => {
                let slope = host::mul(&host::pow(x, exponent - 1.0)?, exponent)?;
                // The slope of x⁰ is 0, at 0 too.
                if exponent == 0.0 { host::mul(g, 0.0) } else { host::mul(g, &slope) }
            },
            (g, x) => g.pow_number_backward(x, exponent),
        ))
    }

    /// The gradients of a power `y` for base and exponent, in their types and shapes.
    pub(crate) fn pow_backward(&self, a: &Value, b: &Value, y: &Value) -> Result<[Value; 2]> {
        match (self, a, b, y) {
            (Value::Host(g), Value::Host(a), Value::Host(b), Value::Host(y)) => {
                let (a, b) = host::pow_backward(g, a, b, y)?;
                Ok([Value::Host(a), Value::Host(b)])
            }
            #[cfg(feature = "vulkan")]
            (Value::Device(g), Value::Device(a), Value::Device(b), _) => {
                let (a, b) = g.pow_backward(a, b)?;
                Ok([Value::Device(a), Value::Device(b)])
            }
            #[cfg(feature = "vulkan")]
            _ => Err(self.elsewhere("pow", a)),
        }
    }

    /// The gradients of a maximum or minimum, in the inputs' types and shapes.
    pub(crate) fn extreme_backward(&self, op: Binary, a: &Value, b: &Value) -> Result<[Value; 2]> {
        match (self, a, b) {
            (Value::Host(g), Value::Host(a), Value::Host(b)) => {
                let (a, b) = match op {
                    Binary::Maximum => host::maximum_backward(g, a, b)?,
                    _ => host::minimum_backward(g, a, b)?,
                };
                Ok([Value::Host(a), Value::Host(b)])
            }
            #[cfg(feature = "vulkan")]
            (Value::Device(g), Value::Device(a), Value::Device(b)) => {
                let (a, b) = match op {
                    Binary::Maximum => g.maximum_backward(a, b)?,
                    _ => g.minimum_backward(a, b)?,
                };
                Ok([Value::Device(a), Value::Device(b)])
            }
            #[cfg(feature = "vulkan")]
            _ => Err(self.elsewhere(op.name(), a)),
        }
    }
}

/// Whole bounds of integers keep their type.
fn bound<'a>(dtype: DType, bound: Option<f64>) -> Option<Operand<'a>> {
    bound.map(|b| {
        let whole = !dtype.is_float() && b.fract() == 0.0 && b.abs() < (1_u64 << 53) as f64;
        Operand::Scalar(if whole { Scalar::Int(b as i64) } else { Scalar::Float(b) })
    })
}

#[cfg(feature = "vulkan")]
fn number_of(number: Number) -> vulkan_core::Operand<'static> {
    match number {
        Scalar::Bool(b) => b.into(),
        Scalar::Int(i) => i.into(),
        Scalar::Float(f) => f.into(),
    }
}
