//! Activation functions.

use super::loops::map1;
use super::unary::only_floats;
pub use super::unary::sigmoid;
use crate::element::{by_float, by_number};
use crate::number::{Float, Number};
use crate::{Array, Result};

/// How GELU is computed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Approximate {
    /// x · Φ(x), Φ the normal distribution: torch's `approximate='none'`.
    #[default]
    None,
    /// ½ x (1 + tanh(√(2/π) (x + 0.044715 x³))): torch's `approximate='tanh'`.
    Tanh,
}

/// max(x, 0): `torch.relu`. NaN stays.
///
/// In the input's type and shape.
///
/// # Errors
/// [`Error::DType`](crate::Error::DType) for bool; [`Error::OutOfMemory`](crate::Error::OutOfMemory).
pub fn relu(x: &Array) -> Result<Array> {
    let wide = x.cast(x.dtype().compute())?;
    by_number!("relu", wide.dtype(), T => map1::<T, T>("relu", &wide, relu_of))?.cast(x.dtype())
}

#[inline]
pub(crate) fn relu_of<T: Number>(x: T) -> T {
    if x <= T::ZERO { T::ZERO } else { x }
}

/// x where it is positive, `slope` · x elsewhere: `torch.nn.functional.leaky_relu`.
///
/// In the input's type and shape.
///
/// # Errors
/// [`Error::DType`](crate::Error::DType) for all but floats; [`Error::OutOfMemory`](crate::Error::OutOfMemory).
pub fn leaky_relu(x: &Array, slope: f64) -> Result<Array> {
    const OP: &str = "leaky_relu";
    only_floats(OP, x)?;
    let wide = x.cast(x.dtype().compute())?;
    by_float!(OP, wide.dtype(), T => {
        let slope = T::of(slope);
        map1::<T, T>(OP, &wide, |x| if x > T::ZERO { x } else { x * slope })
    })?
    .cast(x.dtype())
}

/// The Gaussian error linear unit: `torch.nn.functional.gelu`.
///
/// In the input's type and shape.
///
/// # Errors
/// [`Error::DType`](crate::Error::DType) for all but floats; [`Error::OutOfMemory`](crate::Error::OutOfMemory).
///
/// ```
/// use numpack_host_ops::{Approximate, Array, gelu};
/// let x = Array::from_slice(&[-1.0_f64, 0.0, 1.0], &[3])?;
/// let y = gelu(&x, Approximate::None)?.to_vec::<f64>()?;
/// assert!((y[2] - 0.8413447460685429).abs() < 1e-15);
/// # Ok::<(), numpack_host_ops::Error>(())
/// ```
pub fn gelu(x: &Array, approximate: Approximate) -> Result<Array> {
    const OP: &str = "gelu";
    only_floats(OP, x)?;
    let wide = x.cast(x.dtype().compute())?;
    by_float!(OP, wide.dtype(), T => match approximate {
        Approximate::None => map1::<T, T>(OP, &wide, |x| x.gelu()),
        Approximate::Tanh => map1::<T, T>(OP, &wide, gelu_tanh),
    })?
    .cast(x.dtype())
}

/// √(2/π)
pub(super) const TANH_SCALE: f64 =
    std::f64::consts::FRAC_2_SQRT_PI * std::f64::consts::FRAC_1_SQRT_2;
pub(super) const TANH_CUBE: f64 = 0.044715;

pub(crate) fn gelu_tanh<T: Float>(x: T) -> T {
    let inner = T::of(TANH_SCALE) * (x + T::of(TANH_CUBE) * x * x * x);
    T::of(0.5) * x * (T::ONE + inner.tanh())
}

/// x · sigmoid(x), also called swish: `torch.nn.functional.silu`.
///
/// In the input's type and shape.
///
/// # Errors
/// [`Error::DType`](crate::Error::DType) for all but floats; [`Error::OutOfMemory`](crate::Error::OutOfMemory).
pub fn silu(x: &Array) -> Result<Array> {
    const OP: &str = "silu";
    only_floats(OP, x)?;
    let wide = x.cast(x.dtype().compute())?;
    by_float!(OP, wide.dtype(), T => map1::<T, T>(OP, &wide, silu_of))?.cast(x.dtype())
}

#[inline]
pub(crate) fn silu_of<T: Float>(x: T) -> T {
    x / (T::ONE + (-x).exp())
}
