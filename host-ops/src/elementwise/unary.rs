//! Functions of one element.

use super::loops::map1;
use crate::element::{by_float, by_number, no_floats};
use crate::number::{Float, Number};
use crate::{Array, DType, Result};

/// The float type that a function of this type gives: the same, or float32 for integers and bools.
pub(crate) fn float_of(dtype: DType) -> DType {
    if dtype.is_float() { dtype } else { DType::F32 }
}

/// A function of numbers of any kind but bool, in the same type.
macro_rules! number_functions {
    ($($(#[$doc:meta])* $name:ident: $f:ident;)*) => {$(
        $(#[$doc])*
        ///
        /// In the input's type and shape.
        ///
        /// # Errors
        /// [`Error::DType`](crate::Error::DType) for bool; [`Error::OutOfMemory`](crate::Error::OutOfMemory).
        pub fn $name(x: &Array) -> Result<Array> {
            let op = stringify!($name);
            let wide = x.cast(x.dtype().compute())?;
            by_number!(op, wide.dtype(), T => map1::<T, T>(op, &wide, |x| Number::$f(x)))?
                .cast(x.dtype())
        }
    )*};
}

number_functions! {
    /// −x; the lowest integer stays itself, and unsigned ones wrap: `torch.neg`.
    neg: negative;
    /// |x|; the lowest integer stays itself: `torch.abs`.
    abs: absolute;
}

/// −1, 0 or 1: `torch.sign`. 0 for NaN.
///
/// In the input's type and shape; a bool is its own sign.
///
/// # Errors
/// [`Error::OutOfMemory`](crate::Error::OutOfMemory).
pub fn sign(x: &Array) -> Result<Array> {
    if x.dtype() == DType::Bool {
        return x.contiguous();
    }
    let wide = x.cast(x.dtype().compute())?;
    by_number!("sign", wide.dtype(), T => map1::<T, T>("sign", &wide, Number::sign))?
        .cast(x.dtype())
}

/// x²: `torch.square`.
///
/// In the input's type and shape; integers wrap, and of bools it is the int64 0 or 1, as in torch.
///
/// # Errors
/// [`Error::OutOfMemory`](crate::Error::OutOfMemory).
pub fn square(x: &Array) -> Result<Array> {
    super::pow(x, 2)
}

/// A function of floats: integers and bools are converted to float32 first.
macro_rules! float_functions {
    ($($(#[$doc:meta])* $name:ident: $f:expr;)*) => {$(
        $(#[$doc])*
        ///
        /// In the input's type and shape; float32 for integers and bools.
        ///
        /// # Errors
        /// [`Error::OutOfMemory`](crate::Error::OutOfMemory).
        pub fn $name(x: &Array) -> Result<Array> {
            fn f<T: Float>(x: T) -> T {
                let f: fn(T) -> T = $f;
                f(x)
            }
            let op = stringify!($name);
            let dtype = float_of(x.dtype());
            let wide = x.cast(dtype.compute())?;
            by_float!(op, wide.dtype(), T => map1::<T, T>(op, &wide, f::<T>))?.cast(dtype)
        }
    )*};
}

float_functions! {
    /// eˣ: `torch.exp`.
    exp: |x| x.exp();
    /// The natural logarithm: `torch.log`. −∞ at 0, NaN below.
    log: |x| x.ln();
    /// ln(1 + x), exact near 0: `torch.log1p`.
    log1p: |x| x.ln_1p();
    /// √x: `torch.sqrt`. NaN below 0.
    sqrt: |x| x.sqrt();
    /// 1 / √x: `torch.rsqrt`.
    rsqrt: |x| T::ONE / x.sqrt();
    /// 1 / x: `torch.reciprocal`.
    reciprocal: |x| T::ONE / x;
    /// `torch.sin`.
    sin: |x| x.sin();
    /// `torch.cos`.
    cos: |x| x.cos();
    /// `torch.tanh`.
    tanh: |x| x.tanh();
    /// The error function 2/√π · ∫₀ˣ exp(−t²) dt: `torch.erf`.
    erf: |x| x.erf();
    /// 1 / (1 + e⁻ˣ): `torch.sigmoid`.
    sigmoid: |x| T::ONE / (T::ONE + (-x).exp());
}

/// A function of floats that takes nothing else.
pub(crate) fn only_floats(op: &'static str, x: &Array) -> Result<()> {
    if x.dtype().is_float() { Ok(()) } else { Err(no_floats(op, x.dtype())) }
}
