//! The element types that every device holds, whatever it can compute with.

use std::fmt;

/// An element type, by PyTorch's name. A device without 16-bit, 8-bit or 64-bit arithmetic has
/// them all the same: kernels load and store 32-bit words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum DType {
    /// IEEE 754 binary32.
    F32 = 0,
    /// IEEE 754 binary16.
    F16 = 1,
    /// The upper half of a binary32.
    BF16 = 2,
    /// 32-bit signed integer.
    I32 = 3,
    /// 64-bit signed integer.
    I64 = 4,
    /// 8-bit unsigned integer.
    U8 = 5,
    /// One byte, 0 or 1.
    Bool = 6,
}

impl DType {
    /// All of them.
    pub const ALL: [DType; 7] =
        [DType::F32, DType::F16, DType::BF16, DType::I32, DType::I64, DType::U8, DType::Bool];

    /// Bytes of one element.
    pub const fn size(self) -> usize {
        match self {
            DType::U8 | DType::Bool => 1,
            DType::F16 | DType::BF16 => 2,
            DType::F32 | DType::I32 => 4,
            DType::I64 => 8,
        }
    }

    /// Whether its values are fractions.
    pub const fn is_float(self) -> bool {
        matches!(self, DType::F32 | DType::F16 | DType::BF16)
    }

    /// PyTorch's name: `float32`, `bool`.
    pub const fn name(self) -> &'static str {
        match self {
            DType::F32 => "float32",
            DType::F16 => "float16",
            DType::BF16 => "bfloat16",
            DType::I32 => "int32",
            DType::I64 => "int64",
            DType::U8 => "uint8",
            DType::Bool => "bool",
        }
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

mod sealed {
    pub trait Sealed {}
}

/// A Rust type whose values are elements of a tensor.
pub trait Element: bytemuck::NoUninit + Default + sealed::Sealed {
    /// What a tensor of them has.
    const DTYPE: DType;

    /// Elements as the device has them, in the host's byte order.
    ///
    /// # Errors
    /// [`Error::Parameter`](crate::Error::Parameter) where bytes are no values of the type.
    fn from_bytes(bytes: &[u8]) -> crate::Result<Vec<Self>>;
}

macro_rules! elements {
    ($($rust:ty => $dtype:ident),* $(,)?) => {$(
        impl sealed::Sealed for $rust {}
        impl Element for $rust {
            const DTYPE: DType = DType::$dtype;

            fn from_bytes(bytes: &[u8]) -> crate::Result<Vec<Self>> {
                Ok(bytes.chunks_exact(size_of::<$rust>()).map(bytemuck::pod_read_unaligned).collect())
            }
        }
    )*};
}

elements! {
    f32 => F32,
    half::f16 => F16,
    half::bf16 => BF16,
    i32 => I32,
    i64 => I64,
    u8 => U8,
}

impl sealed::Sealed for bool {}
impl Element for bool {
    const DTYPE: DType = DType::Bool;

    /// As in PyTorch, a byte that is not 0 is true.
    fn from_bytes(bytes: &[u8]) -> crate::Result<Vec<Self>> {
        Ok(bytes.iter().map(|&b| b != 0).collect())
    }
}
