//! Arithmetic of two operands.

use super::loops::map2;
use super::prepare;
use crate::element::{by_float, by_number, no_numbers};
use crate::number::Number;
use crate::{Array, DType, Error, Operand, Result, Scalar, result_type};

/// An operation of two numbers in the type that they have together.
macro_rules! arithmetic {
    ($($(#[$doc:meta])* $name:ident: $f:ident, $bools:expr;)*) => {$(
        $(#[$doc])*
        ///
        /// Shapes broadcast, and the type is [`result_type`]'s. Integers wrap, plain numbers that are
        /// beyond the type too.
        ///
        /// # Errors
        /// [`Error::Shape`] where the shapes do not broadcast, [`Error::DType`] where it is not
        /// defined for the type.
        pub fn $name<'a>(
            a: impl Into<Operand<'a>>,
            b: impl Into<Operand<'a>>,
        ) -> Result<Array> {
            let op = stringify!($name);
            let (a, b) = (a.into(), b.into());
            let dtype = result_type(&[a, b]);
            if op == "sub" && [a, b].iter().any(|x| x.dtype() == DType::Bool) {
                return Err(no_numbers(op, DType::Bool));
            }
            let (a, b) = (prepare(a, dtype)?, prepare(b, dtype)?);
            let bools: Option<fn(bool, bool) -> bool> = $bools;
            if let (DType::Bool, Some(f)) = (dtype, bools) {
                return map2::<bool, bool, bool>(op, &a, &b, f);
            }
            by_number!(op, dtype.compute(), T => map2::<T, T, T>(op, &a, &b, |x, y| x.$f(y)))?
                .cast(dtype)
        }
    )*};
}

arithmetic! {
    /// a + b: `torch.add`. Of two bools, whether one is true.
    ///
    /// ```
    /// use numpack_host_ops::{Array, DType, add};
    /// let column = Array::from_slice(&[10_i64, 20], &[2, 1])?;
    /// let row = Array::from_slice(&[1_u8, 2, 3], &[3])?;
    /// let sum = add(&column, &row)?;
    /// assert_eq!((sum.dtype(), sum.shape()), (DType::I64, &[2, 3][..]));
    /// assert_eq!(sum.to_vec::<i64>()?, [11, 12, 13, 21, 22, 23]);
    /// assert_eq!(add(&row, 0.5)?.dtype(), DType::F32);
    /// # Ok::<(), numpack_host_ops::Error>(())
    /// ```
    add: plus, Some(|a, b| a | b);
    /// a − b: `torch.sub`. Not of bools, as in torch.
    sub: minus, None;
    /// a · b: `torch.mul`. Of two bools, whether both are true.
    mul: times, Some(|a, b| a & b);
    /// The greater one, NaN where one is: `torch.maximum`.
    maximum: greater, Some(|a, b| a | b);
    /// The smaller one, NaN where one is: `torch.minimum`.
    minimum: smaller, Some(|a, b| a & b);
}

/// a / b, never rounded to an integer: `torch.div`, `torch.true_divide`.
///
/// Shapes broadcast. The type is [`result_type`]'s, but float32 where that is no float. Dividing by 0
/// gives an infinity or NaN.
///
/// # Errors
/// [`Error::Shape`] where the shapes do not broadcast.
pub fn div<'a>(a: impl Into<Operand<'a>>, b: impl Into<Operand<'a>>) -> Result<Array> {
    let (a, b) = (a.into(), b.into());
    let dtype = super::unary::float_of(result_type(&[a, b]));
    let (a, b) = (prepare(a, dtype)?, prepare(b, dtype)?);
    by_float!("div", dtype.compute(), T => map2::<T, T, T>("div", &a, &b, |x, y| x / y))?
        .cast(dtype)
}

/// a / b rounded down: `torch.floor_divide`, `//` in Python.
///
/// Shapes broadcast, and the type is [`result_type`]'s.
///
/// # Errors
/// [`Error::DivisionByZero`] for integers; floats give an infinity or NaN. Else as [`add`].
pub fn floor_divide<'a>(a: impl Into<Operand<'a>>, b: impl Into<Operand<'a>>) -> Result<Array> {
    divided("floor_divide", a.into(), b.into(), true)
}

/// What [`floor_divide`] leaves, with the sign of `b`: `torch.remainder`, `%` in Python.
///
/// Shapes broadcast, and the type is [`result_type`]'s.
///
/// # Errors
/// As [`floor_divide`].
pub fn remainder<'a>(a: impl Into<Operand<'a>>, b: impl Into<Operand<'a>>) -> Result<Array> {
    divided("remainder", a.into(), b.into(), false)
}

fn divided(op: &'static str, a: Operand<'_>, b: Operand<'_>, quotient: bool) -> Result<Array> {
    let dtype = result_type(&[a, b]);
    let (a, b) = (prepare(a, dtype)?, prepare(b, dtype)?);
    by_number!(op, dtype.compute(), T => {
        // A divisor that meets no element, because the other side is empty, does no harm.
        if <T as Number>::IS_INTEGER && a.numel() > 0 && b.flat::<T>(op)?.contains(&T::ZERO) {
            return Err(Error::DivisionByZero { op });
        }
        if quotient {
            map2::<T, T, T>(op, &a, &b, |x, y| x.floor_div(y))
        } else {
            map2::<T, T, T>(op, &a, &b, Number::remainder)
        }
    })?
    .cast(dtype)
}

/// a to the power of b: `torch.pow`.
///
/// Shapes broadcast, and the type is [`result_type`]'s. Integers wrap; an array of negative integers
/// as exponents gives 0, but for the bases 1 and −1, as in torch.
///
/// # Errors
/// [`Error::Parameter`] for an integer array to a negative number or one beyond its type, and as
/// [`add`].
pub fn pow<'a>(a: impl Into<Operand<'a>>, b: impl Into<Operand<'a>>) -> Result<Array> {
    const OP: &str = "pow";
    let (a, b) = (a.into(), b.into());
    let dtype = result_type(&[a, b]);
    if let Operand::Scalar(Scalar::Int(n)) = b
        && n < 0
        && !dtype.is_float()
    {
        let problem = format!("{dtype} to the power of {n} is no integer");
        return Err(Error::parameter(OP, problem, "cast to a float type first"));
    }
    if let Operand::Scalar(Scalar::Int(n)) = b
        && !dtype.is_float()
        && Array::of_scalar(n.into(), dtype).item()? != Scalar::Int(n)
    {
        let problem = format!("the exponent {n} is beyond {dtype}");
        return Err(Error::parameter(OP, problem, "cast to a wider type first"));
    }
    // Of bools torch takes only what needs no arithmetic.
    if dtype == DType::Bool {
        return match (a, b) {
            (Operand::Array(a), Operand::Scalar(Scalar::Bool(true))) => a.contiguous(),
            (Operand::Array(a), Operand::Scalar(Scalar::Bool(false))) => {
                Array::ones(a.shape(), dtype)
            }
            _ => Err(no_numbers(OP, dtype)),
        };
    }
    let (a, b) = (prepare(a, dtype)?, prepare(b, dtype)?);
    by_number!(OP, dtype.compute(), T => map2::<T, T, T>(OP, &a, &b, |x, y| x.power(y)))?
        .cast(dtype)
}
