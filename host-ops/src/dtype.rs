//! Element types, and which one two of them become together.

use std::fmt;

/// The type of an array's elements. It prints as torch's name for it: `float32`.
///
/// ```
/// use numpack_host_ops::DType;
/// assert_eq!(DType::BF16.to_string(), "bfloat16");
/// assert_eq!(DType::from_name("float32"), Some(DType::F32));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub enum DType {
    /// A truth value in one byte.
    Bool,
    /// Unsigned, 8 bits.
    U8,
    /// Signed, 8 bits.
    I8,
    /// Signed, 16 bits.
    I16,
    /// Signed, 32 bits.
    I32,
    /// Signed, 64 bits.
    I64,
    /// IEEE 754 half.
    F16,
    /// The upper half of a 32-bit float.
    BF16,
    /// IEEE 754 single.
    F32,
    /// IEEE 754 double.
    F64,
}

impl DType {
    /// All of them.
    pub const ALL: [DType; 10] = [
        DType::Bool,
        DType::U8,
        DType::I8,
        DType::I16,
        DType::I32,
        DType::I64,
        DType::F16,
        DType::BF16,
        DType::F32,
        DType::F64,
    ];

    /// Torch's name: `float32`.
    pub const fn name(self) -> &'static str {
        match self {
            DType::Bool => "bool",
            DType::U8 => "uint8",
            DType::I8 => "int8",
            DType::I16 => "int16",
            DType::I32 => "int32",
            DType::I64 => "int64",
            DType::F16 => "float16",
            DType::BF16 => "bfloat16",
            DType::F32 => "float32",
            DType::F64 => "float64",
        }
    }

    /// The type of this name.
    pub fn from_name(name: &str) -> Option<DType> {
        DType::ALL.into_iter().find(|d| d.name() == name)
    }

    /// Bytes of one element.
    pub const fn size(self) -> usize {
        match self {
            DType::Bool | DType::U8 | DType::I8 => 1,
            DType::I16 | DType::F16 | DType::BF16 => 2,
            DType::I32 | DType::F32 => 4,
            DType::I64 | DType::F64 => 8,
        }
    }

    /// Whether it is a float.
    pub const fn is_float(self) -> bool {
        matches!(self, DType::F16 | DType::BF16 | DType::F32 | DType::F64)
    }

    /// Whether it is an integer, truth values not being any.
    pub const fn is_integer(self) -> bool {
        !self.is_float() && !matches!(self, DType::Bool)
    }

    /// The type that two tensors with dimensions have together: `torch.promote_types`.
    ///
    /// A float beside an integer or a truth value stays as it is. Of two floats it is the wider
    /// one, and float32 for the two halves; of two signed integers the wider one; `uint8` beside a
    /// signed integer needs more than 8 bits; bool is below all others.
    ///
    /// ```
    /// use numpack_host_ops::DType;
    /// assert_eq!(DType::U8.promote(DType::I8), DType::I16);
    /// assert_eq!(DType::F16.promote(DType::I64), DType::F16);
    /// assert_eq!(DType::F16.promote(DType::BF16), DType::F32);
    /// ```
    pub const fn promote(self, other: DType) -> DType {
        match (self, other) {
            (DType::F16, DType::BF16) | (DType::BF16, DType::F16) => DType::F32,
            (DType::U8, DType::I8) | (DType::I8, DType::U8) => DType::I16,
            // The order of the variants is that of the types otherwise.
            (a, b) if a as u8 >= b as u8 => a,
            (_, b) => b,
        }
    }

    /// The type that arithmetic is done in: halves become singles, and their results are rounded.
    pub(crate) const fn compute(self) -> DType {
        match self {
            DType::F16 | DType::BF16 => DType::F32,
            other => other,
        }
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
