//! The exchange element type, and the tables between it and the two formats.
//!
//! [`DType`] is DLPack's triple of code, bits and lanes (`dlpack.h` 1.1, `DLDataType`). Every
//! element type of a checkpoint has a form in which a store holds it: its own, or an integer or
//! float type of the same size and a word in the side information.

use std::fmt;

use numpack_format::DType as Npk;
use torch_pickle::DType as Torch;

/// DLPack's type codes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
#[non_exhaustive]
pub enum TypeCode {
    /// Signed integer.
    Int = 0,
    /// Unsigned integer.
    UInt = 1,
    /// IEEE float.
    Float = 2,
    /// bfloat16.
    BFloat = 4,
    /// Pair of IEEE floats.
    Complex = 5,
    /// Boolean.
    Bool = 6,
    /// `float8_e4m3fn`.
    Float8E4M3Fn = 10,
    /// `float8_e4m3fnuz`.
    Float8E4M3Fnuz = 11,
    /// `float8_e5m2`.
    Float8E5M2 = 12,
    /// `float8_e5m2fnuz`.
    Float8E5M2Fnuz = 13,
    /// `float8_e8m0fnu`.
    Float8E8M0Fnu = 14,
    /// `float4_e2m1fn`.
    Float4E2M1Fn = 17,
}

/// An element type in DLPack's terms. It prints as torch's name for it: `float32`.
///
/// ```
/// use numpack_interop::dtype::DType;
/// assert_eq!((DType::BFLOAT16.to_string(), DType::BFLOAT16.size()), ("bfloat16".to_owned(), 2));
/// assert_eq!(DType::from_name("float32"), Some(DType::FLOAT32));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct DType {
    /// The kind of number.
    pub code: TypeCode,
    /// Bits of one number; of the whole pair for a complex one.
    pub bits: u8,
    /// Numbers in one element.
    pub lanes: u16,
}

const fn one(code: TypeCode, bits: u8) -> DType {
    DType { code, bits, lanes: 1 }
}

macro_rules! named {
    ($($(#[$doc:meta])* $name:ident = $code:ident, $bits:literal;)*) => {
        /// The types that a [`Tensor`](crate::Tensor) can have.
        impl DType {
            $($(#[$doc])* pub const $name: DType = one(TypeCode::$code, $bits);)*

            /// All of them.
            pub const ALL: &'static [DType] = &[$(DType::$name),*];
        }
    };
}

named! {
    /// A truth value in one byte.
    BOOL = Bool, 8;
    /// Unsigned, 8 bits.
    UINT8 = UInt, 8;
    /// Unsigned, 16 bits.
    UINT16 = UInt, 16;
    /// Unsigned, 32 bits.
    UINT32 = UInt, 32;
    /// Unsigned, 64 bits.
    UINT64 = UInt, 64;
    /// Signed, 8 bits.
    INT8 = Int, 8;
    /// Signed, 16 bits.
    INT16 = Int, 16;
    /// Signed, 32 bits.
    INT32 = Int, 32;
    /// Signed, 64 bits.
    INT64 = Int, 64;
    /// IEEE 754 half.
    FLOAT16 = Float, 16;
    /// The upper half of a 32-bit float.
    BFLOAT16 = BFloat, 16;
    /// IEEE 754 single.
    FLOAT32 = Float, 32;
    /// IEEE 754 double.
    FLOAT64 = Float, 64;
    /// Two halves.
    COMPLEX32 = Complex, 32;
    /// Two singles.
    COMPLEX64 = Complex, 64;
    /// Two doubles.
    COMPLEX128 = Complex, 128;
    /// 8-bit float with 4 exponent bits and no infinity.
    FLOAT8_E4M3FN = Float8E4M3Fn, 8;
    /// The same without a negative zero.
    FLOAT8_E4M3FNUZ = Float8E4M3Fnuz, 8;
    /// 8-bit float with 5 exponent bits.
    FLOAT8_E5M2 = Float8E5M2, 8;
    /// The same without infinity and negative zero.
    FLOAT8_E5M2FNUZ = Float8E5M2Fnuz, 8;
    /// 8-bit power of two.
    FLOAT8_E8M0FNU = Float8E8M0Fnu, 8;
}

impl DType {
    /// Bytes of one element.
    pub const fn size(self) -> usize {
        self.bits as usize * self.lanes as usize / 8
    }

    /// Bytes at whose multiples an element lies: those of one number, half of a complex one.
    pub const fn align(self) -> usize {
        match self.code {
            TypeCode::Complex => self.size() / 2,
            _ => self.size(),
        }
    }

    /// Torch's name: `float32`.
    pub fn name(self) -> &'static str {
        to_torch(self).map_or("a type that torch has not", Torch::name)
    }

    /// The type of this name, with or without `torch.` in front, if a tensor can have it.
    pub fn from_name(name: &str) -> Option<DType> {
        from_torch(Torch::from_name(name)?).filter(|d| DType::ALL.contains(d))
    }

    /// Whether it can have a gradient: floats and complex numbers.
    pub const fn is_differentiable(self) -> bool {
        self.is_floating_point() || self.is_complex()
    }

    /// Whether it is an integer, truth values not being any.
    pub const fn is_integer(self) -> bool {
        matches!(self.code, TypeCode::Int | TypeCode::UInt)
    }

    /// Whether it has negative numbers.
    pub const fn is_signed(self) -> bool {
        !matches!(self.code, TypeCode::UInt | TypeCode::Bool | TypeCode::Float8E8M0Fnu)
    }

    /// Whether it is a pair of real and imaginary part.
    pub const fn is_complex(self) -> bool {
        matches!(self.code, TypeCode::Complex)
    }

    /// Whether it is a float of any kind, and not complex.
    pub const fn is_floating_point(self) -> bool {
        !matches!(self.code, TypeCode::Int | TypeCode::UInt | TypeCode::Bool | TypeCode::Complex)
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl fmt::Debug for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The exchange type of a checkpoint's element type; `None` for those DLPack has no code for
/// (quantised types, raw bits, the complex type of two bfloat16).
///
/// ```
/// use numpack_interop::dtype::{from_torch, TypeCode};
/// let bf16 = from_torch(torch_pickle::DType::BFloat16).unwrap();
/// assert_eq!((bf16.code, bf16.bits, bf16.lanes), (TypeCode::BFloat, 16, 1));
/// ```
pub fn from_torch(dtype: Torch) -> Option<DType> {
    use TypeCode as C;
    Some(match dtype {
        Torch::Float64 => one(C::Float, 64),
        Torch::Float32 => one(C::Float, 32),
        Torch::Float16 => one(C::Float, 16),
        Torch::BFloat16 => one(C::BFloat, 16),
        Torch::Complex128 => one(C::Complex, 128),
        Torch::Complex64 => one(C::Complex, 64),
        Torch::Complex32 => one(C::Complex, 32),
        Torch::Int64 => one(C::Int, 64),
        Torch::Int32 => one(C::Int, 32),
        Torch::Int16 => one(C::Int, 16),
        Torch::Int8 => one(C::Int, 8),
        Torch::UInt64 => one(C::UInt, 64),
        Torch::UInt32 => one(C::UInt, 32),
        Torch::UInt16 => one(C::UInt, 16),
        Torch::UInt8 => one(C::UInt, 8),
        Torch::Bool => one(C::Bool, 8),
        Torch::Float8E4M3Fn => one(C::Float8E4M3Fn, 8),
        Torch::Float8E4M3Fnuz => one(C::Float8E4M3Fnuz, 8),
        Torch::Float8E5M2 => one(C::Float8E5M2, 8),
        Torch::Float8E5M2Fnuz => one(C::Float8E5M2Fnuz, 8),
        Torch::Float8E8M0Fnu => one(C::Float8E8M0Fnu, 8),
        Torch::Float4E2M1FnX2 => DType { code: C::Float4E2M1Fn, bits: 4, lanes: 2 },
        _ => return None,
    })
}

/// The checkpoint's element type for an exchange type, or `None` where torch has none.
pub fn to_torch(dtype: DType) -> Option<Torch> {
    Torch::ALL.iter().copied().find(|&t| from_torch(t) == Some(dtype))
}

/// The exchange type of a store's element type.
pub fn from_numpack(dtype: Npk) -> DType {
    // The names are the same words, and each of them is one that DLPack has.
    let torch = native(dtype);
    from_torch(torch).unwrap_or(one(TypeCode::UInt, 8))
}

/// The store's element type for an exchange type, or `None` where NumPack has none.
pub fn to_numpack(dtype: DType) -> Option<Npk> {
    Npk::ALL.into_iter().find(|&n| from_numpack(n) == dtype)
}

/// The checkpoint's element type that a store's type is, without side information.
pub(crate) fn native(dtype: Npk) -> Torch {
    match dtype {
        Npk::Bool => Torch::Bool,
        Npk::U8 => Torch::UInt8,
        Npk::U16 => Torch::UInt16,
        Npk::U32 => Torch::UInt32,
        Npk::U64 => Torch::UInt64,
        Npk::I8 => Torch::Int8,
        Npk::I16 => Torch::Int16,
        Npk::I32 => Torch::Int32,
        Npk::I64 => Torch::Int64,
        Npk::F16 => Torch::Float16,
        Npk::F32 => Torch::Float32,
        Npk::F64 => Torch::Float64,
        Npk::Complex64 => Torch::Complex64,
        Npk::Complex128 => Torch::Complex128,
    }
}

/// The form in which a store holds elements of a checkpoint's type: its own element type, and
/// whether each element is a pair along an extra last dimension.
///
/// The bytes are the same in every case; where the type is not the store's own, the side
/// information names it.
pub(crate) fn stored_form(dtype: Torch) -> (Npk, bool) {
    match dtype {
        Torch::Complex32 => (Npk::F16, true),
        Torch::BComplex32 => (Npk::U16, true),
        Torch::BFloat16 | Torch::Bits16 => (Npk::U16, false),
        Torch::QInt8 => (Npk::I8, false),
        Torch::QInt32 => (Npk::I32, false),
        other => match Npk::ALL.into_iter().find(|&n| native(n) == other) {
            Some(own) => (own, false),
            // What is left has one byte an element.
            None => (Npk::U8, false),
        },
    }
}

/// Whether a store holds this type as what it is.
pub(crate) fn is_native(dtype: Torch) -> bool {
    let (stored, pair) = stored_form(dtype);
    !pair && native(stored) == dtype
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_stored_form_keeps_the_bytes() {
        for &t in Torch::ALL {
            let (stored, pair) = stored_form(t);
            assert_eq!(stored.size() * if pair { 2 } else { 1 }, t.size(), "{t}");
        }
    }

    #[test]
    fn the_tables_are_each_others_inverse() {
        for n in Npk::ALL {
            assert_eq!(to_numpack(from_numpack(n)), Some(n));
            assert!(is_native(native(n)));
            assert_eq!(stored_form(native(n)), (n, false));
            assert_eq!(from_numpack(n).bits as usize, n.size() * 8);
            assert_eq!(native(n).name(), n.name());
        }
        for &t in Torch::ALL {
            if let Some(d) = from_torch(t) {
                assert_eq!(to_torch(d), Some(t));
                assert_eq!(usize::from(d.bits) * usize::from(d.lanes), t.size() * 8);
            }
        }
    }
}
