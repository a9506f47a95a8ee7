//! Gradients of operations on each element.
//!
//! Each takes the gradient of the result and what the operation took (`x`, `a`, `b`) or gave (`y`),
//! and returns the gradient of each input, in that input's type and shape: where an input was
//! broadcast, the gradient is summed ([`sum_to_shape`]).

use super::activation::{Approximate, TANH_CUBE, TANH_SCALE};
use super::loops::{map2, map3};
use super::{div, eq, floor_divide, gt, lt, mul, neg, where_};
use crate::element::by_float;
use crate::number::{Float, Number};
use crate::special::erfc;
use crate::{Array, Operand, Result, sum_to_shape};

/// A gradient from the gradient of the result and one saved array.
macro_rules! of_one {
    ($($(#[$doc:meta])* $name:ident($saved:ident): $f:expr;)*) => {$(
        $(#[$doc])*
        ///
        /// # Errors
        /// [`Error::DType`](crate::Error::DType) for all but floats, [`Error::Shape`](crate::Error::Shape) where the shapes do not broadcast.
        pub fn $name(grad: &Array, $saved: &Array) -> Result<Array> {
            fn f<T: Float>(grad: T, $saved: T) -> T {
                let f: fn(T, T) -> T = $f;
                f(grad, $saved)
            }
            let op = stringify!($name);
            let wide = $saved.dtype().compute();
            let (grad, saved) = (grad.cast(wide)?, $saved.cast(wide)?);
            by_float!(op, wide, T => map2::<T, T, T>(op, &grad, &saved, f::<T>))?
                .cast($saved.dtype())
        }
    )*};
}

of_one! {
    /// Of [`abs`](crate::abs): grad · sign(x), 0 at 0.
    abs_backward(x): |g, x| g * x.sign();
    /// Of [`exp`](crate::exp): grad · y.
    exp_backward(y): |g, y| g * y;
    /// Of [`log`](crate::log): grad / x.
    log_backward(x): |g, x| g / x;
    /// Of [`sqrt`](crate::sqrt): grad / 2y.
    sqrt_backward(y): |g, y| g / (y + y);
    /// Of [`log1p`](crate::log1p): grad / (1 + x).
    log1p_backward(x): |g, x| g / (T::ONE + x);
    /// Of [`rsqrt`](crate::rsqrt): −grad · y³ / 2.
    rsqrt_backward(y): |g, y| g * T::of(-0.5) * y * y * y;
    /// Of [`reciprocal`](crate::reciprocal): −grad · y².
    reciprocal_backward(y): |g, y| -(g * y * y);
    /// Of [`square`](crate::square): grad · 2x.
    square_backward(x): |g, x| g * x + g * x;
    /// Of [`erf`](crate::erf): grad · 2/√π · exp(−x²).
    erf_backward(x): |g, x| g * (T::of(std::f64::consts::FRAC_2_SQRT_PI) * (-(x * x)).exp());
    /// Of [`sin`](crate::sin): grad · cos(x).
    sin_backward(x): |g, x| g * x.cos();
    /// Of [`cos`](crate::cos): −grad · sin(x).
    cos_backward(x): |g, x| -(g * x.sin());
    /// Of [`tanh`](crate::tanh): grad (1 − y²).
    tanh_backward(y): |g, y| g * (T::ONE - y * y);
    /// Of [`sigmoid`](crate::sigmoid): grad · y (1 − y).
    sigmoid_backward(y): |g, y| g * (T::ONE - y) * y;
    /// Of [`relu`](crate::relu): grad where it was positive. `y` may be what it took or gave.
    relu_backward(y): |g, y| if y <= T::ZERO { T::ZERO } else { g };
    /// Of [`silu`](crate::silu): grad · s (1 + x (1 − s)) with s = sigmoid(x).
    silu_backward(x): |g, x| {
        let s = T::ONE / (T::ONE + (-x).exp());
        g * s * (T::ONE + x * (T::ONE - s))
    };
}

/// Of [`neg`]: −grad.
///
/// # Errors
/// As [`neg`].
pub fn neg_backward(grad: &Array) -> Result<Array> {
    neg(grad)
}

/// Of [`sign`](crate::sign), which is level but for the step at 0: nothing, as torch has it.
///
/// # Errors
/// [`Error::OutOfMemory`](crate::Error::OutOfMemory).
pub fn sign_backward(grad: &Array) -> Result<Array> {
    Array::zeros(grad.shape(), grad.dtype())
}

/// Of [`leaky_relu`](crate::leaky_relu): grad where x is positive, `slope` · grad elsewhere.
///
/// # Errors
/// [`Error::DType`](crate::Error::DType) for all but floats, [`Error::Shape`](crate::Error::Shape) where the shapes do not broadcast.
pub fn leaky_relu_backward(grad: &Array, x: &Array, slope: f64) -> Result<Array> {
    const OP: &str = "leaky_relu_backward";
    let wide = x.dtype().compute();
    let (grad, saved) = (grad.cast(wide)?, x.cast(wide)?);
    by_float!(OP, wide, T => {
        let slope = <T as Float>::of(slope);
        map2::<T, T, T>(OP, &grad, &saved, |g, x| if x > 0.0 { g } else { g * slope })
    })?
    .cast(x.dtype())
}

/// Of [`gelu`](crate::gelu): grad (Φ(x) + x φ(x)), φ the density of the normal distribution; of its
/// approximation, the derivative of that.
///
/// # Errors
/// [`Error::DType`](crate::Error::DType) for all but floats, [`Error::Shape`](crate::Error::Shape) where the shapes do not broadcast.
pub fn gelu_backward(grad: &Array, x: &Array, approximate: Approximate) -> Result<Array> {
    const OP: &str = "gelu_backward";
    let wide = x.dtype().compute();
    let (grad, saved) = (grad.cast(wide)?, x.cast(wide)?);
    by_float!(OP, wide, T => match approximate {
        Approximate::None => map2::<T, T, T>(OP, &grad, &saved, |g, x| {
            let x = x.wide();
            let density = (-0.5 * x * x).exp() * INVERSE_SQRT_TAU;
            let below = 0.5 * erfc(-x * std::f64::consts::FRAC_1_SQRT_2);
            (g.wide() * (below + x * density)) as T
        }),
        Approximate::Tanh => map2::<T, T, T>(OP, &grad, &saved, |g, x| {
            let (scale, cube) = (<T as Float>::of(TANH_SCALE), <T as Float>::of(TANH_CUBE));
            let t = (scale * (x + cube * x * x * x)).tanh();
            let slope = scale * (1.0 + 3.0 * cube * x * x);
            g * (0.5 * (1.0 + t) + 0.5 * x * (1.0 - t * t) * slope)
        }),
    })?
    .cast(x.dtype())
}

/// 1/√(2π)
const INVERSE_SQRT_TAU: f64 =
    0.5 * std::f64::consts::FRAC_2_SQRT_PI * std::f64::consts::FRAC_1_SQRT_2;

/// A gradient in an input's type and shape.
fn fitted(grad: &Array, input: &Array) -> Result<Array> {
    sum_to_shape(grad, input.shape())?.cast(input.dtype())
}

/// Of [`add`](crate::add): grad, for both.
///
/// # Errors
/// [`Error::Shape`](crate::Error::Shape) where `grad` is not of the result's shape.
pub fn add_backward(grad: &Array, a: &Array, b: &Array) -> Result<(Array, Array)> {
    Ok((fitted(grad, a)?, fitted(grad, b)?))
}

/// Of [`sub`](crate::sub): grad and −grad.
///
/// # Errors
/// As [`add_backward`].
pub fn sub_backward(grad: &Array, a: &Array, b: &Array) -> Result<(Array, Array)> {
    Ok((fitted(grad, a)?, fitted(&neg(grad)?, b)?))
}

/// Of [`mul`]: grad · b and grad · a.
///
/// # Errors
/// As [`add_backward`].
pub fn mul_backward(grad: &Array, a: &Array, b: &Array) -> Result<(Array, Array)> {
    Ok((fitted(&mul(grad, b)?, a)?, fitted(&mul(grad, a)?, b)?))
}

/// Of [`div`]: grad / b and −grad · (a / b) / b.
///
/// # Errors
/// As [`add_backward`].
pub fn div_backward(grad: &Array, a: &Array, b: &Array) -> Result<(Array, Array)> {
    let for_b = neg(&mul(grad, &div(&div(a, b)?, b)?)?)?;
    Ok((fitted(&div(grad, b)?, a)?, fitted(&for_b, b)?))
}

/// Of [`remainder`](crate::remainder): grad and −grad · ⌊a / b⌋.
///
/// # Errors
/// As [`add_backward`].
pub fn remainder_backward(grad: &Array, a: &Array, b: &Array) -> Result<(Array, Array)> {
    let for_b = neg(&mul(grad, &floor_divide(a, b)?)?)?;
    Ok((fitted(grad, a)?, fitted(&for_b, b)?))
}

/// Of [`pow`](crate::pow), whose result `y` is: grad · b · aᵇ⁻¹, 0 where b is 0, and grad · y · ln(a),
/// 0 where a is 0 and b is not negative.
///
/// # Errors
/// As [`add_backward`]; [`Error::DType`](crate::Error::DType) for all but floats.
pub fn pow_backward(grad: &Array, a: &Array, b: &Array, y: &Array) -> Result<(Array, Array)> {
    const OP: &str = "pow_backward";
    let wide = y.dtype().compute();
    let [g, x, e, out] = [grad.cast(wide)?, a.cast(wide)?, b.cast(wide)?, y.cast(wide)?];
    by_float!(OP, wide, T => {
        let for_a = map3::<T, T, T, T>(OP, [&g, &x, &e], |g, x, e| {
            if e == 0.0 { 0.0 } else { g * (e * Number::power(x, e - 1.0)) }
        })?;
        let logs = map3::<T, T, T, T>(OP, [&x, &e, &out], |x, e, y| {
            if x == 0.0 && e >= 0.0 { 0.0 } else { y * x.ln() }
        })?;
        Ok((fitted(&for_a, a)?, fitted(&mul(&g, &logs)?, b)?))
    })
}

/// Of [`maximum`](crate::maximum): grad for the greater one, half of it for each where they are
/// equal.
///
/// # Errors
/// As [`add_backward`]; [`Error::DType`](crate::Error::DType) for all but floats.
pub fn maximum_backward(grad: &Array, a: &Array, b: &Array) -> Result<(Array, Array)> {
    choice("maximum_backward", grad, a, b, true)
}

/// Of [`minimum`](crate::minimum): grad for the smaller one, half of it for each where they are equal.
///
/// # Errors
/// As [`maximum_backward`].
pub fn minimum_backward(grad: &Array, a: &Array, b: &Array) -> Result<(Array, Array)> {
    choice("minimum_backward", grad, a, b, false)
}

fn choice(
    op: &'static str,
    grad: &Array,
    a: &Array,
    b: &Array,
    greater: bool,
) -> Result<(Array, Array)> {
    let wide = grad.dtype().compute();
    let [g, x, y] = [grad.cast(wide)?, a.cast(wide)?, b.cast(wide)?];
    by_float!(op, wide, T => {
        let part = |g: T, own: T, other: T| {
            let wins = if greater { own > other } else { own < other };
            let share = if own == other { 0.5 } else { <T as Float>::of(f64::from(u8::from(wins))) };
            g * share
        };
        let for_a = map3::<T, T, T, T>(op, [&g, &x, &y], part)?;
        let for_b = map3::<T, T, T, T>(op, [&g, &y, &x], part)?;
        Ok((fitted(&for_a, a)?, fitted(&for_b, b)?))
    })
}

/// Of [`clamp`](crate::clamp), for `x`: grad where x lies within the bounds. Where it equals a bound, a
/// plain number takes all of the gradient, and an array half of it, as in torch 2.15.
///
/// # Errors
/// As [`add_backward`]; [`Error::DType`](crate::Error::DType) for all but floats.
pub fn clamp_backward<'a>(
    grad: &Array,
    x: &'a Array,
    min: Option<Operand<'a>>,
    max: Option<Operand<'a>>,
) -> Result<Array> {
    let mut out = grad.clone();
    for (bound, below) in [(min, true), (max, false)] {
        let Some(bound) = bound else { continue };
        let inside = if below { gt(x, bound)? } else { lt(x, bound)? };
        let at_bound = match bound {
            Operand::Array(_) => where_(&eq(x, bound)?, &mul(&out, 0.5)?, 0.0)?,
            Operand::Scalar(_) => Array::zeros(&[], out.dtype())?,
        };
        out = where_(&inside, &out, &at_bound)?;
    }
    fitted(&out, x)
}

/// Of [`where_`]: grad where the condition is true, and where it is false.
///
/// # Errors
/// As [`add_backward`].
pub fn where_backward(
    grad: &Array,
    condition: &Array,
    a: &Array,
    b: &Array,
) -> Result<(Array, Array)> {
    let (for_a, for_b) = (where_(condition, grad, 0.0)?, where_(condition, 0.0, grad)?);
    Ok((fitted(&for_a, a)?, fitted(&for_b, b)?))
}
