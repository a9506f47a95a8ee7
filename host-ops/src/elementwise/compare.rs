//! Comparisons, and logic.

use super::loops::{map1, map2};
use super::prepare;
use crate::element::by_number;
use crate::number::Number;
use crate::{Array, DType, Operand, Result, result_type};

/// A comparison in the type that both have together.
macro_rules! comparisons {
    ($($(#[$doc:meta])* $name:ident: $loops:ident, $swapped:literal;)*) => {$(
        $(#[$doc])*
        ///
        /// Shapes broadcast; both are converted to [`result_type`]; the result is bool.
        ///
        /// # Errors
        /// [`Error::Shape`](crate::Error::Shape) where the shapes do not broadcast.
        pub fn $name<'a>(
            a: impl Into<Operand<'a>>,
            b: impl Into<Operand<'a>>,
        ) -> Result<Array> {
            let (a, b) = (a.into(), b.into());
            let dtype = result_type(&[a, b]);
            let (a, b) = (prepare(a, dtype)?, prepare(b, dtype)?);
            let (a, b) = if $swapped { (b, a) } else { (a, b) };
            $loops(stringify!($name), &a, &b)
        }
    )*};
}

comparisons! {
    /// a = b: `torch.eq`. NaN equals nothing.
    eq: equal, false;
    /// a ≠ b: `torch.ne`. True for NaN.
    ne: unequal, false;
    /// a < b: `torch.lt`. False for NaN.
    lt: less, false;
    /// a ≤ b: `torch.le`. False for NaN.
    le: less_or_equal, false;
    /// a > b: `torch.gt`. False for NaN.
    gt: less, true;
    /// a ≥ b: `torch.ge`. False for NaN.
    ge: less_or_equal, true;
}

/// The loops of a comparison, for bools and all types that are computed in.
macro_rules! loops {
    ($($name:ident: $f:tt;)*) => {$(
        fn $name(op: &'static str, a: &Array, b: &Array) -> Result<Array> {
            if a.dtype() == DType::Bool {
                return map2::<bool, bool, bool>(op, a, b, |x, y| x $f y);
            }
            by_number!(op, a.dtype(), T => map2::<T, T, bool>(op, a, b, |x, y| x $f y))
        }
    )*};
}

loops! {
    equal: ==;
    unequal: !=;
    less: <;
    less_or_equal: <=;
}

/// Two truth values, which any numbers are: what is not 0, NaN too, is true.
macro_rules! logic {
    ($($(#[$doc:meta])* $name:ident: $f:tt;)*) => {$(
        $(#[$doc])*
        ///
        /// Of any types: what is not 0, NaN too, is true. Shapes broadcast; the result is bool.
        ///
        /// # Errors
        /// [`Error::Shape`](crate::Error::Shape) where the shapes do not broadcast.
        pub fn $name(a: &Array, b: &Array) -> Result<Array> {
            let (a, b) = (a.cast(DType::Bool)?, b.cast(DType::Bool)?);
            map2::<bool, bool, bool>(stringify!($name), &a, &b, |x, y| x $f y)
        }
    )*};
}

logic! {
    /// Whether both are true: `torch.logical_and`.
    logical_and: &;
    /// Whether one is true: `torch.logical_or`.
    logical_or: |;
    /// Whether just one is true: `torch.logical_xor`.
    logical_xor: ^;
}

/// Whether it is 0: `torch.logical_not`. The result is bool.
///
/// # Errors
/// [`Error::OutOfMemory`](crate::Error::OutOfMemory).
pub fn logical_not(x: &Array) -> Result<Array> {
    map1::<bool, bool>("logical_not", &x.cast(DType::Bool)?, |x| !x)
}

/// Whether it is NaN: `torch.isnan`. The result is bool.
///
/// # Errors
/// [`Error::OutOfMemory`](crate::Error::OutOfMemory).
pub fn isnan(x: &Array) -> Result<Array> {
    let wide = x.cast(x.dtype().compute())?;
    match wide.dtype() {
        DType::F32 => map1::<f32, bool>("isnan", &wide, Number::is_nan),
        DType::F64 => map1::<f64, bool>("isnan", &wide, Number::is_nan),
        _ => Array::full(x.shape(), false, DType::Bool),
    }
}
