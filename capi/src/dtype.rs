//! The element types of stored arrays.

use std::ffi::{CString, c_char};
use std::ptr;
use std::sync::OnceLock;

use numpack_format::DType;
use numpack_interop::Error;

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

fn known(dtype: i32) -> Option<DType> {
    u8::try_from(dtype).ok().and_then(DType::from_code)
}

/// An element type that the caller names.
pub(crate) fn required(dtype: i32) -> Result<DType, Error> {
    known(dtype)
        .ok_or_else(|| parameter(format!("dtype is {dtype}, which is none of NUMPACK_DTYPE_*")))
}

/// The size of an element in bytes; 0 for what is none of `NUMPACK_DTYPE_*`.
#[unsafe(no_mangle)]
pub extern "C" fn numpack_dtype_size(dtype: i32) -> usize {
    known(dtype).map_or(0, DType::size)
}

/// NumPy's word for an element type, such as `float32`; NULL for what is none of
/// `NUMPACK_DTYPE_*`. The text lives as long as the library.
#[unsafe(no_mangle)]
pub extern "C" fn numpack_dtype_name(dtype: i32) -> *const c_char {
    static NAMES: OnceLock<Vec<CString>> = OnceLock::new();
    let names = NAMES.get_or_init(|| {
        DType::ALL.iter().map(|d| CString::new(d.name()).unwrap_or_default()).collect()
    });
    known(dtype).map_or(ptr::null(), |d| names[usize::from(d.code())].as_ptr())
}
