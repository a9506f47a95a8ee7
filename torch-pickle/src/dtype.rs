//! Element types, in torch's words.
//!
//! Source: `torch/storage.py` (`_dtype_to_storage_type_map`), `c10/core/ScalarType.h`; the newer
//! types have no storage class of their own and travel in an untyped storage.

use std::fmt;

macro_rules! dtypes {
    ($($(#[$doc:meta])* $variant:ident = $name:literal, $size:literal, $storage:expr;)*) => {
        /// An element type that torch can save.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum DType { $($(#[$doc])* $variant,)* }

        impl DType {
            /// Every element type, in a fixed order.
            pub const ALL: &'static [DType] = &[$(DType::$variant),*];

            /// The name torch gives it, without the `torch.` in front: `float32`, `bfloat16`.
            ///
            /// ```
            /// assert_eq!(torch_pickle::DType::BFloat16.name(), "bfloat16");
            /// ```
            pub const fn name(self) -> &'static str {
                match self { $(DType::$variant => $name,)* }
            }

            /// Bytes of one element of storage.
            ///
            /// For `quint4x2` and `quint2x4`, whose bytes hold several values, see
            /// [`values_per_item`](Self::values_per_item).
            pub const fn size(self) -> usize {
                match self { $(DType::$variant => $size,)* }
            }

            /// The class name of its typed storage in module `torch`, such as `FloatStorage`;
            /// `None` where torch writes an `UntypedStorage` and `_rebuild_tensor_v3`.
            pub const fn storage_class(self) -> Option<&'static str> {
                match self { $(DType::$variant => $storage,)* }
            }
        }
    };
}

dtypes! {
    /// 64-bit float.
    Float64 = "float64", 8, Some("DoubleStorage");
    /// 32-bit float.
    Float32 = "float32", 4, Some("FloatStorage");
    /// IEEE 16-bit float.
    Float16 = "float16", 2, Some("HalfStorage");
    /// The upper half of a 32-bit float.
    BFloat16 = "bfloat16", 2, Some("BFloat16Storage");
    /// Two 64-bit floats.
    Complex128 = "complex128", 16, Some("ComplexDoubleStorage");
    /// Two 32-bit floats.
    Complex64 = "complex64", 8, Some("ComplexFloatStorage");
    /// Two 16-bit floats.
    Complex32 = "complex32", 4, None;
    /// Two bfloat16.
    BComplex32 = "bcomplex32", 4, None;
    /// Signed 64-bit integer.
    Int64 = "int64", 8, Some("LongStorage");
    /// Signed 32-bit integer.
    Int32 = "int32", 4, Some("IntStorage");
    /// Signed 16-bit integer.
    Int16 = "int16", 2, Some("ShortStorage");
    /// Signed 8-bit integer.
    Int8 = "int8", 1, Some("CharStorage");
    /// Unsigned 8-bit integer.
    UInt8 = "uint8", 1, Some("ByteStorage");
    /// Unsigned 16-bit integer.
    UInt16 = "uint16", 2, None;
    /// Unsigned 32-bit integer.
    UInt32 = "uint32", 4, None;
    /// Unsigned 64-bit integer.
    UInt64 = "uint64", 8, None;
    /// One byte, 0 or 1.
    Bool = "bool", 1, Some("BoolStorage");
    /// Quantised signed byte.
    QInt8 = "qint8", 1, Some("QInt8Storage");
    /// Quantised unsigned byte.
    QUInt8 = "quint8", 1, Some("QUInt8Storage");
    /// Quantised 32-bit integer.
    QInt32 = "qint32", 4, Some("QInt32Storage");
    /// Two quantised 4-bit values a byte.
    QUInt4x2 = "quint4x2", 1, Some("QUInt4x2Storage");
    /// Four quantised 2-bit values a byte.
    QUInt2x4 = "quint2x4", 1, Some("QUInt2x4Storage");
    /// 8-bit float, 4 exponent bits, no infinities.
    Float8E4M3Fn = "float8_e4m3fn", 1, None;
    /// 8-bit float, 4 exponent bits, no infinities, no negative zero.
    Float8E4M3Fnuz = "float8_e4m3fnuz", 1, None;
    /// 8-bit float, 5 exponent bits.
    Float8E5M2 = "float8_e5m2", 1, None;
    /// 8-bit float, 5 exponent bits, no infinities, no negative zero.
    Float8E5M2Fnuz = "float8_e5m2fnuz", 1, None;
    /// 8-bit power of two.
    Float8E8M0Fnu = "float8_e8m0fnu", 1, None;
    /// Two 4-bit floats a byte, counted as one element.
    Float4E2M1FnX2 = "float4_e2m1fn_x2", 1, None;
    /// Eight uninterpreted bits.
    Bits8 = "bits8", 1, None;
    /// Sixteen uninterpreted bits.
    Bits16 = "bits16", 2, None;
    /// Eight 1-bit values a byte, counted as one element.
    Bits1x8 = "bits1x8", 1, None;
    /// Four 2-bit values a byte, counted as one element.
    Bits2x4 = "bits2x4", 1, None;
    /// Two 4-bit values a byte, counted as one element.
    Bits4x2 = "bits4x2", 1, None;
}

impl DType {
    /// The type with this name, with or without `torch.` in front.
    ///
    /// ```
    /// use torch_pickle::DType;
    /// assert_eq!(DType::from_name("torch.float32"), Some(DType::Float32));
    /// assert_eq!(DType::from_name("float31"), None);
    /// ```
    pub fn from_name(name: &str) -> Option<DType> {
        let name = name.strip_prefix("torch.").unwrap_or(name);
        DType::ALL.iter().copied().find(|d| d.name() == name)
    }

    /// The type held by a typed storage class of module `torch`.
    pub fn from_storage_class(class: &str) -> Option<DType> {
        DType::ALL.iter().copied().find(|d| d.storage_class() == Some(class))
    }

    /// How many tensor elements one byte of storage holds, for the two quantised types that count
    /// values instead of bytes; 1 for all others.
    pub const fn values_per_item(self) -> u64 {
        match self {
            DType::QUInt4x2 => 2,
            DType::QUInt2x4 => 4,
            _ => 1,
        }
    }

    /// The size of the number whose bytes are swapped on a machine of the other byte order: half
    /// an element for complex types.
    pub const fn swap_size(self) -> usize {
        match self {
            DType::Complex128 | DType::Complex64 | DType::Complex32 | DType::BComplex32 => {
                self.size() / 2
            }
            _ => self.size(),
        }
    }

    /// Whether an element is a pair of real and imaginary part.
    pub const fn is_complex(self) -> bool {
        matches!(self, DType::Complex128 | DType::Complex64 | DType::Complex32 | DType::BComplex32)
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
