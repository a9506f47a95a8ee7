//! Functions of two elements.

use super::pointwise::{Function, pointwise};
use super::promote::{Kind, result_type};
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::kernels::Module;
use crate::tensor::Tensor;
use crate::tensor::layout::broadcast;

/// What an operation takes beside a tensor: another, or a number, which takes less part in choosing the
/// type of the result.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Operand<'a> {
    /// A tensor.
    Tensor(&'a Tensor),
    /// A number with a fraction.
    Float(f64),
    /// A whole number.
    Int(i64),
    /// A truth value.
    Bool(bool),
}

macro_rules! operand {
    ($($rust:ty => $kind:ident as $to:ty),*) => {$(
        impl From<$rust> for Operand<'_> {
            fn from(value: $rust) -> Self {
                Operand::$kind(<$to>::from(value))
            }
        }
    )*};
}

operand!(f32 => Float as f64, f64 => Float as f64, i32 => Int as i64, i64 => Int as i64, bool => Bool as bool);

impl<'a> From<&'a Tensor> for Operand<'a> {
    fn from(tensor: &'a Tensor) -> Self {
        Operand::Tensor(tensor)
    }
}

impl Operand<'_> {
    fn kind(&self) -> Kind {
        match self {
            Operand::Tensor(t) if t.ndim() == 0 => Kind::ZeroDim(t.dtype()),
            Operand::Tensor(t) => Kind::Dimensioned(t.dtype()),
            Operand::Float(_) => Kind::Number(DType::F32),
            Operand::Int(_) => Kind::Number(DType::I64),
            Operand::Bool(_) => Kind::Number(DType::Bool),
        }
    }
}

/// As `shaders/binary.comp` and `shaders/binary_int.comp` number them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
enum Binary {
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

impl Binary {
    fn compares(self) -> bool {
        use Binary::*;
        matches!(self, Eq | Ne | Lt | Le | Gt | Ge)
    }

    fn is_logical(self) -> bool {
        use Binary::*;
        matches!(self, LogicalAnd | LogicalOr | LogicalXor)
    }
}

macro_rules! binary {
    ($($(#[$doc:meta])* $name:ident $op:ident;)*) => {
        impl Tensor {
            $(
                $(#[$doc])*
                ///
                /// # Errors
                /// [`Error::Parameter`] for shapes that do not broadcast, tensors of two devices, and
                /// types that this has no meaning for; [`Error::OutOfMemory`], [`Error::DeviceLost`].
                pub fn $name<'a>(&self, other: impl Into<Operand<'a>>) -> Result<Tensor> {
                    self.binary(Binary::$op, other.into())
                }
            )*
        }
    };
}

binary! {
    /// The sums. Shapes broadcast, types are promoted as PyTorch does; integers wrap.
    add Add;
    /// The differences.
    sub Sub;
    /// The products.
    mul Mul;
    /// The quotients, `float32` for integers, within 3 units in the last place.
    div Div;
    /// The elements to the power of the others, as floats, within 16 units in the last place.
    pow Pow;
    /// Of each two the larger, or NaN if one is.
    maximum Maximum;
    /// Of each two the smaller, or NaN if one is.
    minimum Minimum;
    /// Whether they are equal.
    eq Eq;
    /// Whether they are not equal.
    ne Ne;
    /// Whether they are less.
    lt Lt;
    /// Whether they are less or equal.
    le Le;
    /// Whether they are greater.
    gt Gt;
    /// Whether they are greater or equal.
    ge Ge;
    /// Whether both are true, of truth values.
    logical_and LogicalAnd;
    /// Whether one of them is true, of truth values.
    logical_or LogicalOr;
    /// Whether just one of them is true, of truth values.
    logical_xor LogicalXor;
}

impl Tensor {
    /// Multiplies each element, no two of which are the same memory, with a number on the device.
    pub(crate) fn mul_in_place(&self, factor: &Tensor) -> Result<()> {
        let (module, op) = (Module::Binary, Binary::Mul as u32);
        let function = Function { module, op, scalar: [0; 4], takes_place: false };
        pointwise(self.stream(), &function, self, &[self, &factor.expand(self.shape())?])
    }

    fn binary(&self, op: Binary, other: Operand<'_>) -> Result<Tensor> {
        let name = || format!("{op:?}").to_lowercase();
        let shape = match other {
            Operand::Tensor(t) => {
                t.must_be_on(self.stream())?;
                broadcast(self.shape(), t.shape())?
            }
            _ => self.shape().to_vec(),
        };
        let mut dtype = result_type(&[Operand::Tensor(self).kind(), other.kind()]);
        if op.is_logical() && dtype != DType::Bool {
            let problem = format!("{} is for truth values, not {dtype}", name());
            return Err(Error::Parameter(problem + "; compare with 0 first"));
        }
        if op == Binary::Div && !dtype.is_float() {
            dtype = DType::F32;
        }
        if op == Binary::Pow && !dtype.is_float() {
            let problem = format!("powers of {dtype} are not computed on a device");
            return Err(Error::Parameter(problem + "; cast to float32, or compute on the host"));
        }
        let is_bool = |kind| {
            let (Kind::Dimensioned(dtype) | Kind::ZeroDim(dtype) | Kind::Number(dtype)) = kind;
            dtype == DType::Bool
        };
        if op == Binary::Sub && (self.dtype() == DType::Bool || is_bool(other.kind())) {
            let problem = "truth values have no difference".to_owned();
            return Err(Error::Parameter(problem + "; use logical_xor, or cast them to numbers"));
        }
        // Whole powers have kernels that are exact, or nearly so.
        if let (Binary::Pow, Operand::Float(_) | Operand::Int(_)) = (op, other) {
            let power = match other {
                Operand::Float(power) => power,
                Operand::Int(power) => power as f64,
                _ => 0.0,
            };
            let base = || self.to_dtype(dtype);
            match power {
                2.0 => return base()?.square(),
                0.5 => return base()?.sqrt(),
                -1.0 => return base()?.reciprocal(),
                _ => {}
            }
        }
        let result = if op.compares() || op.is_logical() { DType::Bool } else { dtype };
        let module = match op {
            Binary::Pow => Module::Pow,
            _ if dtype.is_float() => Module::Binary,
            _ => Module::BinaryInt,
        };
        let out = Tensor::empty(self.stream(), result, &shape)?;
        // Long integers are rounded to a narrow float type before anything is done with them.
        let rounded = |t: &Tensor| match (t.dtype(), dtype) {
            (DType::I32 | DType::I64, DType::F16 | DType::BF16) if t.ndim() > 0 => {
                t.to_dtype(dtype)
            }
            _ => Ok(t.clone()),
        };
        let a = rounded(self)?.expand(&shape)?;
        let (b, scalar) = match other {
            Operand::Tensor(t) => (Some(rounded(t)?.expand(&shape)?), [0; 4]),
            Operand::Float(x) => (None, [(x as f32).to_bits(), 0, 0, 0]),
            Operand::Int(_) | Operand::Bool(_) if dtype.is_float() => {
                let x = match other {
                    Operand::Int(x) => x as f32,
                    _ => f32::from(u8::from(matches!(other, Operand::Bool(true)))),
                };
                (None, [x.to_bits(), 0, 0, 0])
            }
            Operand::Int(x) => (None, [x as u32, (x >> 32) as u32, 0, 0]),
            Operand::Bool(x) => (None, [x.into(), 0, 0, 0]),
        };
        let function = Function { module, op: op as u32, scalar, takes_place: b.is_none() };
        match &b {
            Some(b) => pointwise(self.stream(), &function, &out, &[&a, b])?,
            None => pointwise(self.stream(), &function, &out, &[&a])?,
        }
        Ok(out)
    }
}
