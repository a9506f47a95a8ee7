//! One element type to another.
//!
//! As NumPy does it: integers wrap, floats lose their fraction on the way to integers, whatever is
//! not zero is true, a complex number loses its imaginary part, and floats round to the nearest,
//! to the even one of two. Where a float does not fit an integer, NumPy leaves the result to the
//! processor; here it is the nearest integer there is, and 0 for NaN. To the types that NumPy lacks
//! (bfloat16, the 8-bit floats, complex numbers of halves) numbers go through a single, as in torch.

use bytemuck::{Pod, Zeroable};
use half::{bf16, f16};
use num_complex::Complex;

use super::float8;
use crate::dtype::DType;

/// A double and its imaginary part.
type Pair = Complex<f64>;

/// A number to be read: what holds it exactly, and is then made into anything.
trait Source: Pod {
    type Wide: Wide;

    fn widen(self) -> Self::Wide;
}

/// A number to be made, of each that may hold one.
trait Target: Pod {
    fn of_int(value: i64) -> Self;
    fn of_uint(value: u64) -> Self;
    fn of_float(value: f64) -> Self;

    fn of_complex(value: Pair) -> Self {
        Self::of_float(value.re)
    }

    /// As a part of a complex number.
    fn of_part(value: f64) -> Self {
        Self::of_float(value)
    }
}

trait Wide: Pod {
    fn to<T: Target>(self) -> T;
}

impl Wide for i64 {
    fn to<T: Target>(self) -> T {
        T::of_int(self)
    }
}

impl Wide for u64 {
    fn to<T: Target>(self) -> T {
        T::of_uint(self)
    }
}

impl Wide for f64 {
    fn to<T: Target>(self) -> T {
        T::of_float(self)
    }
}

impl Wide for Pair {
    fn to<T: Target>(self) -> T {
        T::of_complex(self)
    }
}

/// Numbers that `as` converts, with what holds them.
macro_rules! plain {
    ($($t:ty as $wide:ty;)*) => {$(
        impl Source for $t {
            type Wide = $wide;

            fn widen(self) -> $wide {
                self as $wide
            }
        }

        impl Target for $t {
            fn of_int(value: i64) -> $t {
                value as $t
            }

            fn of_uint(value: u64) -> $t {
                value as $t
            }

            fn of_float(value: f64) -> $t {
                value as $t
            }
        }
    )*};
}

plain! {
    i8 as i64;
    i16 as i64;
    i32 as i64;
    i64 as i64;
    u8 as i64;
    u16 as i64;
    u32 as i64;
    u64 as u64;
    f32 as f64;
    f64 as f64;
}

/// Shorter floats: how one becomes a single, and one is made of a single.
macro_rules! short {
    ($($t:ty: $to_single:expr, $of_single:expr, $of_double:expr;)*) => {$(
        impl Source for $t {
            type Wide = f64;

            fn widen(self) -> f64 {
                let to_single: fn($t) -> f32 = $to_single;
                f64::from(to_single(self))
            }
        }

        impl Target for $t {
            fn of_int(value: i64) -> $t {
                let of_single: fn(f32) -> $t = $of_single;
                of_single(value as f32)
            }

            fn of_uint(value: u64) -> $t {
                let of_single: fn(f32) -> $t = $of_single;
                of_single(value as f32)
            }

            fn of_float(value: f64) -> $t {
                let of_double: fn(f64) -> $t = $of_double;
                of_double(value)
            }

            fn of_part(value: f64) -> $t {
                let of_single: fn(f32) -> $t = $of_single;
                of_single(value as f32)
            }
        }
    )*};
}

short! {
    f16: f16::to_f32, f16::from_f32, |x| f16::from_f32(single_to_round_again(x));
    bf16: bf16::to_f32, bf16::from_f32, |x| bf16::from_f32(x as f32);
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

/// Floats of 8 bits, each a type of its own.
macro_rules! eight {
    ($($t:ident: $decode:expr, $encode:expr;)*) => {$(
        #[derive(Clone, Copy, Pod, Zeroable)]
        #[repr(transparent)]
        struct $t(u8);

        short! {
            $t: |x| $decode(x.0), |x| $t($encode(x)), |x| $t($encode(x as f32));
        }
    )*};
}

eight! {
    E4M3Fn: |x| float8::E4M3FN.decode(x), |x| float8::E4M3FN.encode(x);
    E4M3Fnuz: |x| float8::E4M3FNUZ.decode(x), |x| float8::E4M3FNUZ.encode(x);
    E5M2: |x| float8::E5M2.decode(x), |x| float8::E5M2.encode(x);
    E5M2Fnuz: |x| float8::E5M2FNUZ.decode(x), |x| float8::E5M2FNUZ.encode(x);
    E8M0: float8::decode_e8m0, float8::encode_e8m0;
}

/// A truth value: any byte but 0 is true.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(transparent)]
struct Truth(u8);

impl Source for Truth {
    type Wide = i64;

    fn widen(self) -> i64 {
        i64::from(self.0 != 0)
    }
}

impl Target for Truth {
    fn of_int(value: i64) -> Truth {
        Truth(u8::from(value != 0))
    }

    fn of_uint(value: u64) -> Truth {
        Truth(u8::from(value != 0))
    }

    fn of_float(value: f64) -> Truth {
        Truth(u8::from(value != 0.0))
    }

    fn of_complex(value: Pair) -> Truth {
        Truth(u8::from(value.re != 0.0 || value.im != 0.0))
    }
}

impl<T: Source<Wide = f64> + Target> Source for Complex<T>
where
    Complex<T>: Pod,
{
    type Wide = Pair;

    fn widen(self) -> Pair {
        Complex::new(self.re.widen(), self.im.widen())
    }
}

impl<T: Source<Wide = f64> + Target> Target for Complex<T>
where
    Complex<T>: Pod,
{
    fn of_int(value: i64) -> Self {
        Complex::new(T::of_int(value), T::of_part(0.0))
    }

    fn of_uint(value: u64) -> Self {
        Complex::new(T::of_uint(value), T::of_part(0.0))
    }

    fn of_float(value: f64) -> Self {
        Complex::new(T::of_part(value), T::of_part(0.0))
    }

    fn of_complex(value: Pair) -> Self {
        Complex::new(T::of_part(value.re), T::of_part(value.im))
    }
}

/// Does `$action!(…, Type)` for the Rust type of an element type.
macro_rules! with_type {
    ($dtype:expr, $action:ident, $($given:tt)*) => {
        match $dtype {
            DType::BOOL => $action!($($given)*, Truth),
            DType::UINT8 => $action!($($given)*, u8),
            DType::UINT16 => $action!($($given)*, u16),
            DType::UINT32 => $action!($($given)*, u32),
            DType::UINT64 => $action!($($given)*, u64),
            DType::INT8 => $action!($($given)*, i8),
            DType::INT16 => $action!($($given)*, i16),
            DType::INT32 => $action!($($given)*, i32),
            DType::INT64 => $action!($($given)*, i64),
            DType::FLOAT16 => $action!($($given)*, f16),
            DType::BFLOAT16 => $action!($($given)*, bf16),
            DType::FLOAT32 => $action!($($given)*, f32),
            DType::FLOAT64 => $action!($($given)*, f64),
            DType::COMPLEX32 => $action!($($given)*, Complex<f16>),
            DType::COMPLEX64 => $action!($($given)*, Complex<f32>),
            DType::COMPLEX128 => $action!($($given)*, Complex<f64>),
            DType::FLOAT8_E4M3FN => $action!($($given)*, E4M3Fn),
            DType::FLOAT8_E4M3FNUZ => $action!($($given)*, E4M3Fnuz),
            DType::FLOAT8_E5M2 => $action!($($given)*, E5M2),
            DType::FLOAT8_E5M2FNUZ => $action!($($given)*, E5M2Fnuz),
            DType::FLOAT8_E8M0FNU => $action!($($given)*, E8M0),
            other => unreachable!("tensors of {other}"),
        }
    };
}

/// Elements converted at a time.
const CHUNK: usize = 256;

/// Converts elements that lie one after another; both slices are aligned to their elements.
///
/// It goes by way of what holds them exactly, so that there is code for each type, and not for each
/// pair of types, which would be a twentieth of the library.
pub(super) fn cast(src: &[u8], from: DType, dst: &mut [u8], to: DType) {
    macro_rules! source {
        ($dst:expr, $S:ty) => {
            widen_all::<$S>(src, $dst, to)
        };
    }
    with_type!(from, source, dst);
}

fn widen_all<S: Source>(src: &[u8], dst: &mut [u8], to: DType) {
    let src = bytemuck::cast_slice::<u8, S>(src);
    let mut wide = [S::Wide::zeroed(); CHUNK];
    for (src, dst) in src.chunks(CHUNK).zip(dst.chunks_mut(CHUNK * to.size())) {
        let wide = &mut wide[..src.len()];
        for (to, from) in wide.iter_mut().zip(src) {
            *to = from.widen();
        }
        make_all(wide, dst, to);
    }
}

#[inline(never)]
fn make_all<W: Wide>(wide: &[W], dst: &mut [u8], to: DType) {
    macro_rules! target {
        ($dst:expr, $T:ty) => {
            for (to, from) in bytemuck::cast_slice_mut::<u8, $T>($dst).iter_mut().zip(wide) {
                *to = from.to();
            }
        };
    }
    with_type!(to, target, dst);
}
