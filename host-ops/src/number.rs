//! Arithmetic of one element, as torch defines it for each kind of number.

use crate::Element;
use crate::special::{erf, erfc, tanh};

/// Numbers that arithmetic is done in: integers, which wrap, `f32` and `f64`.
pub trait Number: Element + PartialOrd {
    const ZERO: Self;
    const ONE: Self;
    const IS_INTEGER: bool;

    fn plus(self, other: Self) -> Self;
    fn minus(self, other: Self) -> Self;
    fn times(self, other: Self) -> Self;
    fn negative(self) -> Self;
    fn absolute(self) -> Self;
    fn sign(self) -> Self;
    /// Rounded down. The divisor is no integer 0.
    fn floor_div(self, divisor: Self) -> Self;
    /// What [`floor_div`](Number::floor_div) leaves; it has the divisor's sign.
    fn remainder(self, divisor: Self) -> Self;
    fn power(self, exponent: Self) -> Self;
    fn is_nan(self) -> bool;

    /// The greater one, NaN if one is.
    #[inline]
    fn greater(self, other: Self) -> Self {
        if self.is_nan() || self > other { self } else { other }
    }

    /// The smaller one, NaN if one is.
    #[inline]
    fn smaller(self, other: Self) -> Self {
        if self.is_nan() || self < other { self } else { other }
    }
}

macro_rules! integers {
    ($($t:ty, $signed:literal;)*) => {$(
        impl Number for $t {
            const ZERO: $t = 0;
            const ONE: $t = 1;
            const IS_INTEGER: bool = true;

            #[inline]
            fn plus(self, other: $t) -> $t {
                self.wrapping_add(other)
            }

            #[inline]
            fn minus(self, other: $t) -> $t {
                self.wrapping_sub(other)
            }

            #[inline]
            fn times(self, other: $t) -> $t {
                self.wrapping_mul(other)
            }

            #[inline]
            fn negative(self) -> $t {
                self.wrapping_neg()
            }

            #[inline]
            #[allow(unused_comparisons, reason = "one body for signed and unsigned")]
            fn absolute(self) -> $t {
                if self < 0 { self.wrapping_neg() } else { self }
            }

            #[inline]
            #[allow(unused_comparisons, reason = "one body for signed and unsigned")]
            fn sign(self) -> $t {
                if self < 0 { (0 as $t).wrapping_sub(1) } else { <$t>::from(self > 0) }
            }

            #[inline]
            #[allow(unused_comparisons, reason = "one body for signed and unsigned")]
            fn floor_div(self, divisor: $t) -> $t {
                let q = self.wrapping_div(divisor);
                let r = self.wrapping_rem(divisor);
                if r != 0 && (r < 0) != (divisor < 0) { q.wrapping_sub(1) } else { q }
            }

            #[inline]
            #[allow(unused_comparisons, reason = "one body for signed and unsigned")]
            fn remainder(self, divisor: $t) -> $t {
                let r = self.wrapping_rem(divisor);
                if r != 0 && (r < 0) != (divisor < 0) { r.wrapping_add(divisor) } else { r }
            }

            // A negative exponent gives what is left of the fraction: 0, but for the bases 1 and -1.
            #[allow(unused_comparisons, reason = "one body for signed and unsigned")]
            fn power(self, exponent: $t) -> $t {
                if exponent < 0 {
                    return match self {
                        1 => 1,
                        b if $signed && b == (0 as $t).wrapping_sub(1) => {
                            if exponent & 1 == 0 { 1 } else { b }
                        }
                        _ => 0,
                    };
                }
                let (mut base, mut left, mut out) = (self, exponent, 1 as $t);
                while left > 0 {
                    if left & 1 == 1 {
                        out = out.wrapping_mul(base);
                    }
                    base = base.wrapping_mul(base);
                    left >>= 1;
                }
                out
            }

            #[inline]
            fn is_nan(self) -> bool {
                false
            }
        }
    )*};
}

integers! {
    u8, false;
    i8, true;
    i16, true;
    i32, true;
    i64, true;
}

/// `f32` and `f64`.
pub trait Float:
    Number
    + std::ops::Add<Output = Self>
    + std::ops::Sub<Output = Self>
    + std::ops::Mul<Output = Self>
    + std::ops::Div<Output = Self>
    + std::ops::Neg<Output = Self>
    + std::ops::AddAssign
    + ndarray::LinalgScalar
{
    fn of(value: f64) -> Self;
    /// As a double, which is exact.
    fn wide(self) -> f64;
    fn exp(self) -> Self;
    fn ln(self) -> Self;
    fn ln_1p(self) -> Self;
    fn sqrt(self) -> Self;
    fn sin(self) -> Self;
    fn cos(self) -> Self;
    fn tanh(self) -> Self;
    fn erf(self) -> Self;
    /// x · Φ(x): through `erfc`, which keeps the tail that `1 + erf` loses.
    fn gelu(self) -> Self;
}

macro_rules! floats {
    ($($t:ty, $tanh:expr;)*) => {$(
        impl Number for $t {
            const ZERO: $t = 0.0;
            const ONE: $t = 1.0;
            const IS_INTEGER: bool = false;

            #[inline]
            fn plus(self, other: $t) -> $t {
                self + other
            }

            #[inline]
            fn minus(self, other: $t) -> $t {
                self - other
            }

            #[inline]
            fn times(self, other: $t) -> $t {
                self * other
            }

            #[inline]
            fn negative(self) -> $t {
                -self
            }

            #[inline]
            fn absolute(self) -> $t {
                self.abs()
            }

            #[inline]
            fn sign(self) -> $t {
                if self > 0.0 {
                    1.0
                } else if self < 0.0 {
                    -1.0
                } else {
                    0.0
                }
            }

            // As Python divides floats: from the exact remainder, so that both agree.
            fn floor_div(self, divisor: $t) -> $t {
                if divisor == 0.0 {
                    return self / divisor;
                }
                let r = self % divisor;
                let mut q = (self - r) / divisor;
                if r != 0.0 && (divisor < 0.0) != (r < 0.0) {
                    q -= 1.0;
                }
                if q == 0.0 {
                    return (0.0 as $t).copysign(self / divisor);
                }
                let floor = q.floor();
                if q - floor > 0.5 { floor + 1.0 } else { floor }
            }

            #[inline]
            fn remainder(self, divisor: $t) -> $t {
                let r = self % divisor;
                if r != 0.0 && (divisor < 0.0) != (r < 0.0) { r + divisor } else { r }
            }

            #[inline]
            fn power(self, exponent: $t) -> $t {
                if exponent == 2.0 { self * self } else { self.powf(exponent) }
            }

            #[inline]
            fn is_nan(self) -> bool {
                <$t>::is_nan(self)
            }
        }

        impl Float for $t {
            #[inline]
            fn of(value: f64) -> $t {
                value as $t
            }

            #[inline]
            fn wide(self) -> f64 {
                f64::from(self)
            }

            #[inline]
            fn exp(self) -> $t {
                <$t>::exp(self)
            }

            #[inline]
            fn ln(self) -> $t {
                <$t>::ln(self)
            }

            #[inline]
            fn ln_1p(self) -> $t {
                <$t>::ln_1p(self)
            }

            #[inline]
            fn sqrt(self) -> $t {
                <$t>::sqrt(self)
            }

            #[inline]
            fn sin(self) -> $t {
                <$t>::sin(self)
            }

            #[inline]
            fn cos(self) -> $t {
                <$t>::cos(self)
            }

            #[inline]
            fn tanh(self) -> $t {
                $tanh(self)
            }

            #[inline]
            fn erf(self) -> $t {
                erf(f64::from(self)) as $t
            }

            #[inline]
            fn gelu(self) -> $t {
                let x = f64::from(self);
                (0.5 * x * erfc(-x * std::f64::consts::FRAC_1_SQRT_2)) as $t
            }
        }
    )*};
}

floats! {
    f32, tanh;
    f64, f64::tanh;
}
