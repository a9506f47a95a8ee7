//! The exchange element type, and the tables between it and the two formats.
//!
//! [`DType`] is DLPack's triple of code, bits and lanes (`dlpack.h` 1.1, `DLDataType`). Every
//! element type of a checkpoint has a form in which a store holds it: its own, or an integer or
//! float type of the same size and a word in the side information.

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

/// An element type in DLPack's terms.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
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
