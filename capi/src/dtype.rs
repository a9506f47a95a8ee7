//! The element types of stored arrays and of tensors.

use std::ffi::{CString, c_char};
use std::ptr;
use std::sync::OnceLock;

use numpack_format::DType;
use numpack_interop::Error;
use numpack_interop::dtype::{DType as Exchange, from_torch, to_torch};
use torch_pickle::DType as Torch;

use crate::shell::parameter;

/// A truth value in one byte, 0 or 1.
pub const NUMPACK_DTYPE_BOOL: i32 = 0;
/// `uint8_t`.
pub const NUMPACK_DTYPE_UINT8: i32 = 1;
/// `uint16_t`.
pub const NUMPACK_DTYPE_UINT16: i32 = 2;
/// `uint32_t`.
pub const NUMPACK_DTYPE_UINT32: i32 = 3;
/// `uint64_t`.
pub const NUMPACK_DTYPE_UINT64: i32 = 4;
/// `int8_t`.
pub const NUMPACK_DTYPE_INT8: i32 = 5;
/// `int16_t`.
pub const NUMPACK_DTYPE_INT16: i32 = 6;
/// `int32_t`.
pub const NUMPACK_DTYPE_INT32: i32 = 7;
/// `int64_t`.
pub const NUMPACK_DTYPE_INT64: i32 = 8;
/// An IEEE 754 half.
pub const NUMPACK_DTYPE_FLOAT16: i32 = 9;
/// `float`.
pub const NUMPACK_DTYPE_FLOAT32: i32 = 10;
/// `double`.
pub const NUMPACK_DTYPE_FLOAT64: i32 = 11;
/// Two floats: real, imaginary.
pub const NUMPACK_DTYPE_COMPLEX64: i32 = 12;
/// Two doubles: real, imaginary.
pub const NUMPACK_DTYPE_COMPLEX128: i32 = 13;

// Only tensors of a checkpoint have the following; arrays of a store do not.

/// The upper half of a `float`.
pub const NUMPACK_DTYPE_BFLOAT16: i32 = 32;
/// Two halves: real, imaginary.
pub const NUMPACK_DTYPE_COMPLEX32: i32 = 33;
/// Two bfloat16: real, imaginary.
pub const NUMPACK_DTYPE_BCOMPLEX32: i32 = 34;
/// An 8-bit float, 4 exponent bits, no infinities.
pub const NUMPACK_DTYPE_FLOAT8_E4M3FN: i32 = 35;
/// The same without a negative zero.
pub const NUMPACK_DTYPE_FLOAT8_E4M3FNUZ: i32 = 36;
/// An 8-bit float, 5 exponent bits.
pub const NUMPACK_DTYPE_FLOAT8_E5M2: i32 = 37;
/// The same without infinities and a negative zero.
pub const NUMPACK_DTYPE_FLOAT8_E5M2FNUZ: i32 = 38;
/// An 8-bit power of two.
pub const NUMPACK_DTYPE_FLOAT8_E8M0FNU: i32 = 39;
/// Two 4-bit floats in a byte, counted as one element.
pub const NUMPACK_DTYPE_FLOAT4_E2M1FN_X2: i32 = 40;
/// A quantised `int8_t`.
pub const NUMPACK_DTYPE_QINT8: i32 = 41;
/// A quantised `uint8_t`.
pub const NUMPACK_DTYPE_QUINT8: i32 = 42;
/// A quantised `int32_t`.
pub const NUMPACK_DTYPE_QINT32: i32 = 43;
/// Two quantised 4-bit values in a byte.
pub const NUMPACK_DTYPE_QUINT4X2: i32 = 44;
/// Four quantised 2-bit values in a byte.
pub const NUMPACK_DTYPE_QUINT2X4: i32 = 45;
/// 8 bits without a meaning.
pub const NUMPACK_DTYPE_BITS8: i32 = 46;
/// 16 bits without a meaning.
pub const NUMPACK_DTYPE_BITS16: i32 = 47;
/// Eight bits in a byte, counted as one element.
pub const NUMPACK_DTYPE_BITS1X8: i32 = 48;
/// Four pairs of bits in a byte, counted as one element.
pub const NUMPACK_DTYPE_BITS2X4: i32 = 49;
/// Two halves of a byte, counted as one element.
pub const NUMPACK_DTYPE_BITS4X2: i32 = 50;

/// cbindgen needs the numbers; the store's codes are what they are.
const _: () = {
    let ours = [
        (NUMPACK_DTYPE_BOOL, DType::Bool),
        (NUMPACK_DTYPE_UINT8, DType::U8),
        (NUMPACK_DTYPE_UINT16, DType::U16),
        (NUMPACK_DTYPE_UINT32, DType::U32),
        (NUMPACK_DTYPE_UINT64, DType::U64),
        (NUMPACK_DTYPE_INT8, DType::I8),
        (NUMPACK_DTYPE_INT16, DType::I16),
        (NUMPACK_DTYPE_INT32, DType::I32),
        (NUMPACK_DTYPE_INT64, DType::I64),
        (NUMPACK_DTYPE_FLOAT16, DType::F16),
        (NUMPACK_DTYPE_FLOAT32, DType::F32),
        (NUMPACK_DTYPE_FLOAT64, DType::F64),
        (NUMPACK_DTYPE_COMPLEX64, DType::Complex64),
        (NUMPACK_DTYPE_COMPLEX128, DType::Complex128),
    ];
    assert!(ours.len() == DType::ALL.len());
    let mut i = 0;
    while i < ours.len() {
        assert!(ours[i].0 == ours[i].1.code() as i32);
        i += 1;
    }
};

/// The types of a checkpoint's tensors.
const TORCH: &[(i32, Torch)] = &[
    (NUMPACK_DTYPE_BOOL, Torch::Bool),
    (NUMPACK_DTYPE_UINT8, Torch::UInt8),
    (NUMPACK_DTYPE_UINT16, Torch::UInt16),
    (NUMPACK_DTYPE_UINT32, Torch::UInt32),
    (NUMPACK_DTYPE_UINT64, Torch::UInt64),
    (NUMPACK_DTYPE_INT8, Torch::Int8),
    (NUMPACK_DTYPE_INT16, Torch::Int16),
    (NUMPACK_DTYPE_INT32, Torch::Int32),
    (NUMPACK_DTYPE_INT64, Torch::Int64),
    (NUMPACK_DTYPE_FLOAT16, Torch::Float16),
    (NUMPACK_DTYPE_FLOAT32, Torch::Float32),
    (NUMPACK_DTYPE_FLOAT64, Torch::Float64),
    (NUMPACK_DTYPE_COMPLEX64, Torch::Complex64),
    (NUMPACK_DTYPE_COMPLEX128, Torch::Complex128),
    (NUMPACK_DTYPE_BFLOAT16, Torch::BFloat16),
    (NUMPACK_DTYPE_COMPLEX32, Torch::Complex32),
    (NUMPACK_DTYPE_BCOMPLEX32, Torch::BComplex32),
    (NUMPACK_DTYPE_FLOAT8_E4M3FN, Torch::Float8E4M3Fn),
    (NUMPACK_DTYPE_FLOAT8_E4M3FNUZ, Torch::Float8E4M3Fnuz),
    (NUMPACK_DTYPE_FLOAT8_E5M2, Torch::Float8E5M2),
    (NUMPACK_DTYPE_FLOAT8_E5M2FNUZ, Torch::Float8E5M2Fnuz),
    (NUMPACK_DTYPE_FLOAT8_E8M0FNU, Torch::Float8E8M0Fnu),
    (NUMPACK_DTYPE_FLOAT4_E2M1FN_X2, Torch::Float4E2M1FnX2),
    (NUMPACK_DTYPE_QINT8, Torch::QInt8),
    (NUMPACK_DTYPE_QUINT8, Torch::QUInt8),
    (NUMPACK_DTYPE_QINT32, Torch::QInt32),
    (NUMPACK_DTYPE_QUINT4X2, Torch::QUInt4x2),
    (NUMPACK_DTYPE_QUINT2X4, Torch::QUInt2x4),
    (NUMPACK_DTYPE_BITS8, Torch::Bits8),
    (NUMPACK_DTYPE_BITS16, Torch::Bits16),
    (NUMPACK_DTYPE_BITS1X8, Torch::Bits1x8),
    (NUMPACK_DTYPE_BITS2X4, Torch::Bits2x4),
    (NUMPACK_DTYPE_BITS4X2, Torch::Bits4x2),
];

/// The number of one of torch's types; -1 for one that this version has not.
pub(crate) fn of_torch(dtype: Torch) -> i32 {
    TORCH.iter().find(|(_, t)| *t == dtype).map_or(-1, |&(number, _)| number)
}

fn torch(dtype: i32) -> Option<Torch> {
    TORCH.iter().find(|(number, _)| *number == dtype).map(|&(_, torch)| torch)
}

/// A type of a tensor that the caller names.
pub(crate) fn required_torch(dtype: i32) -> Result<Torch, Error> {
    torch(dtype)
        .ok_or_else(|| parameter(format!("dtype is {dtype}, which is none of NUMPACK_DTYPE_*")))
}

/// A type that a tensor in memory can have, which the caller names.
pub(crate) fn of_tensor(dtype: i32) -> Result<Exchange, Error> {
    let torch = required_torch(dtype)?;
    from_torch(torch).filter(|d| Exchange::ALL.contains(d)).ok_or_else(|| Error::Type {
        problem: format!("no tensor in memory has elements of {torch}"),
        advice: "take their bytes as uint8",
    })
}

/// Its number.
pub(crate) fn of_exchange(dtype: Exchange) -> i32 {
    to_torch(dtype).map_or(-1, of_torch)
}

/// The same where -1 means none.
pub(crate) fn optional_of_tensor(dtype: i32) -> Result<Option<Exchange>, Error> {
    if dtype == -1 { Ok(None) } else { of_tensor(dtype).map(Some) }
}

fn known(dtype: i32) -> Option<DType> {
    u8::try_from(dtype).ok().and_then(DType::from_code)
}

/// A type that a store has, which the caller names.
pub(crate) fn required(dtype: i32) -> Result<DType, Error> {
    match (known(dtype), required_torch(dtype)) {
        (Some(known), _) => Ok(known),
        (None, Ok(torch)) => Err(Error::Type {
            problem: format!("a store has no elements of {torch} by themselves"),
            advice: "write a tensor of them with numpack_from_torch, which keeps what they stand for",
        }),
        (None, Err(unknown)) => Err(unknown),
    }
}

/// The size of an element in bytes; 0 for what is none of `NUMPACK_DTYPE_*`. Of types that pack
/// several values it is the size of what holds them.
#[unsafe(no_mangle)]
pub extern "C" fn numpack_dtype_size(dtype: i32) -> usize {
    torch(dtype).map_or(0, Torch::size)
}

/// The word for an element type, such as `float32`, which is NumPy's and torch's; NULL for what is
/// none of `NUMPACK_DTYPE_*`. The text lives as long as the library.
#[unsafe(no_mangle)]
pub extern "C" fn numpack_dtype_name(dtype: i32) -> *const c_char {
    static NAMES: OnceLock<Vec<CString>> = OnceLock::new();
    let names = NAMES.get_or_init(|| {
        TORCH.iter().map(|(_, t)| CString::new(t.name()).unwrap_or_default()).collect()
    });
    let place = TORCH.iter().position(|(number, _)| *number == dtype);
    place.map_or(ptr::null(), |i| names[i].as_ptr())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_type_has_one_number_and_the_same_name() {
        for torch in Torch::ALL {
            let number = of_torch(*torch);
            assert_eq!(TORCH.iter().filter(|(n, _)| *n == number).count(), 1, "{torch}");
            assert_eq!(numpack_dtype_size(number), torch.size());
        }
        for npk in DType::ALL {
            let torch = Torch::from_name(npk.name()).map(of_torch);
            assert_eq!(torch, Some(i32::from(npk.code())), "{npk}");
        }
        assert_eq!(numpack_dtype_size(-1), 0);
    }
}
