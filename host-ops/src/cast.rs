//! One element type to another.

use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};

use crate::element::Element;
use crate::layout::room;
use crate::{Array, DType, Result, Scalar};

/// A number to be read: as an integer, or as a float that holds it exactly.
pub trait Source: Copy {
    fn to<T: Target>(self) -> T;
}

/// A number to be made.
pub trait Target: Copy {
    fn of_int(value: i64) -> Self;
    fn of_float(value: f64) -> Self;
}

macro_rules! plain {
    ($($t:ty as $wide:ty, $of:ident;)*) => {$(
        impl Source for $t {
            #[inline]
            fn to<T: Target>(self) -> T {
                T::$of(self as $wide)
            }
        }

        impl Target for $t {
            #[inline]
            fn of_int(value: i64) -> $t {
                value as $t
            }

            #[inline]
            fn of_float(value: f64) -> $t {
                value as $t
            }
        }
    )*};
}

plain! {
    u8 as i64, of_int;
    i8 as i64, of_int;
    i16 as i64, of_int;
    i32 as i64, of_int;
    i64 as i64, of_int;
    f32 as f64, of_float;
    f64 as f64, of_float;
}

impl Source for bool {
    #[inline]
    fn to<T: Target>(self) -> T {
        T::of_int(i64::from(self))
    }
}

impl Target for bool {
    #[inline]
    fn of_int(value: i64) -> bool {
        value != 0
    }

    #[inline]
    fn of_float(value: f64) -> bool {
        value != 0.0
    }
}

impl Source for f16 {
    #[inline]
    fn to<T: Target>(self) -> T {
        T::of_float(f64::from(self.to_f32()))
    }
}

impl Target for f16 {
    #[inline]
    fn of_int(value: i64) -> f16 {
        f16::from_f32(value as f32)
    }

    #[inline]
    fn of_float(value: f64) -> f16 {
        f16::from_f32(single_to_round_again(value))
    }
}

impl Source for bf16 {
    #[inline]
    fn to<T: Target>(self) -> T {
        T::of_float(f64::from(self.to_f32()))
    }
}

impl Target for bf16 {
    #[inline]
    fn of_int(value: i64) -> bf16 {
        bf16::from_f32(value as f32)
    }

    #[inline]
    fn of_float(value: f64) -> bf16 {
        bf16::from_f32(value as f32)
    }
}

/// A single that rounds to the same half as the double would: where the double does not fit, the
/// one of the two singles around it that is odd.
fn single_to_round_again(value: f64) -> f32 {
    let near = value as f32;
    if f64::from(near) == value || value.is_nan() || value.is_infinite() {
        return near;
    }
    let further = f64::from(near).abs() > value.abs();
    f32::from_bits((near.to_bits() - u32::from(further)) | 1)
}

pub(crate) fn cast_slice<S: Element + Source, T: Element + Target>(from: &[S]) -> Result<Vec<T>> {
    let mut out = room(from.len())?;
    out.extend(from.iter().map(|&x| x.to::<T>()));
    Ok(out)
}

pub(crate) fn cast_scalar<T: Target>(value: Scalar) -> T {
    match value {
        Scalar::Bool(b) => T::of_int(i64::from(b)),
        Scalar::Int(i) => T::of_int(i),
        Scalar::Float(f) => T::of_float(f),
    }
}

/// Between halves and singles, by the processor's instructions where it has them; `None` for other
/// types.
pub(crate) fn cast_halves(x: &Array, dtype: DType) -> Result<Option<Array>> {
    macro_rules! between {
        ($half:ty, $to:literal) => {
            if $to {
                let mut out = room::<$half>(x.numel())?;
                out.resize(x.numel(), <$half>::ZERO);
                out.convert_from_f32_slice(&x.flat::<f32>("cast")?);
                Array::from_vec(out, x.shape())
            } else {
                let mut out = room::<f32>(x.numel())?;
                out.resize(x.numel(), 0.0);
                x.flat::<$half>("cast")?.convert_to_f32_slice(&mut out);
                Array::from_vec(out, x.shape())
            }
        };
    }
    match (x.dtype(), dtype) {
        (DType::F32, DType::F16) => between!(f16, true),
        (DType::F32, DType::BF16) => between!(bf16, true),
        (DType::F16, DType::F32) => between!(f16, false),
        (DType::BF16, DType::F32) => between!(bf16, false),
        _ => return Ok(None),
    }
    .map(Some)
}
