//! The element types a store can hold.

use std::fmt;

/// An element type of a stored array; the code is the byte that stands in `metadata.npkm`.
///
/// ```
/// use numpack_format::DType;
/// assert_eq!(DType::F32.code(), 10);
/// assert_eq!(DType::from_code(10), Some(DType::F32));
/// assert_eq!((DType::F32.size(), DType::F32.name()), (4, "float32"));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum DType {
    /// A truth value in one byte, 0 or 1.
    Bool = 0,
    /// An unsigned 8-bit integer.
    U8 = 1,
    /// An unsigned 16-bit integer.
    U16 = 2,
    /// An unsigned 32-bit integer.
    U32 = 3,
    /// An unsigned 64-bit integer.
    U64 = 4,
    /// A signed 8-bit integer.
    I8 = 5,
    /// A signed 16-bit integer.
    I16 = 6,
    /// A signed 32-bit integer.
    I32 = 7,
    /// A signed 64-bit integer.
    I64 = 8,
    /// An IEEE 754 half.
    F16 = 9,
    /// An IEEE 754 single.
    F32 = 10,
    /// An IEEE 754 double.
    F64 = 11,
    /// Two singles: real, imaginary.
    Complex64 = 12,
    /// Two doubles: real, imaginary.
    Complex128 = 13,
}

impl DType {
    /// Every element type, in the order of the codes.
    pub const ALL: [DType; 14] = [
        DType::Bool,
        DType::U8,
        DType::U16,
        DType::U32,
        DType::U64,
        DType::I8,
        DType::I16,
        DType::I32,
        DType::I64,
        DType::F16,
        DType::F32,
        DType::F64,
        DType::Complex64,
        DType::Complex128,
    ];

    /// The code in `metadata.npkm`.
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The type of a code; `None` for a code no version has given a meaning.
    pub const fn from_code(code: u8) -> Option<DType> {
        if (code as usize) < Self::ALL.len() { Some(Self::ALL[code as usize]) } else { None }
    }

    /// The size of an element in bytes.
    pub const fn size(self) -> usize {
        match self {
            DType::Bool | DType::U8 | DType::I8 => 1,
            DType::U16 | DType::I16 | DType::F16 => 2,
            DType::U32 | DType::I32 | DType::F32 => 4,
            DType::U64 | DType::I64 | DType::F64 | DType::Complex64 => 8,
            DType::Complex128 => 16,
        }
    }

    /// NumPy's word for it, such as `"float32"`.
    pub const fn name(self) -> &'static str {
        match self {
            DType::Bool => "bool",
            DType::U8 => "uint8",
            DType::U16 => "uint16",
            DType::U32 => "uint32",
            DType::U64 => "uint64",
            DType::I8 => "int8",
            DType::I16 => "int16",
            DType::I32 => "int32",
            DType::I64 => "int64",
            DType::F16 => "float16",
            DType::F32 => "float32",
            DType::F64 => "float64",
            DType::Complex64 => "complex64",
            DType::Complex128 => "complex128",
        }
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

// `from_code` relies on this.
const _: () = {
    let mut i = 0;
    while i < DType::ALL.len() {
        assert!(DType::ALL[i].code() as usize == i);
        i += 1;
    }
};

/// Bytes of `shape` elements of `dtype`, or `None` where that exceeds 64 bits. The product of the
/// dimensions but the first must fit too, even if the array has no rows.
pub(crate) fn byte_size(dtype: DType, shape: impl Iterator<Item = u64> + Clone) -> Option<u64> {
    let rows = shape.clone().next().unwrap_or(1);
    trailing_size(dtype, shape.skip(1))?.checked_mul(rows)
}

/// Bytes of one row of an array of `shape`.
pub(crate) fn row_size(dtype: DType, shape: impl Iterator<Item = u64> + Clone) -> Option<u64> {
    trailing_size(dtype, shape.skip(1))
}

fn trailing_size(dtype: DType, mut dims: impl Iterator<Item = u64> + Clone) -> Option<u64> {
    if dims.clone().any(|d| d == 0) {
        return Some(0);
    }
    dims.try_fold(dtype.size() as u64, u64::checked_mul)
}
