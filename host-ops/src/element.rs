//! The Rust types of elements, the memory that holds them, and the choice between them.

use std::fmt::Debug;
use std::sync::Arc;

use half::{bf16, f16};

use crate::DType;
use crate::cast::{Source, Target};

/// Elements of one type, shared by all arrays that show them.
#[derive(Clone)]
pub enum Storage {
    Bool(Arc<Vec<bool>>),
    U8(Arc<Vec<u8>>),
    I8(Arc<Vec<i8>>),
    I16(Arc<Vec<i16>>),
    I32(Arc<Vec<i32>>),
    I64(Arc<Vec<i64>>),
    F16(Arc<Vec<f16>>),
    BF16(Arc<Vec<bf16>>),
    F32(Arc<Vec<f32>>),
    F64(Arc<Vec<f64>>),
}

/// How a type is found in a storage. Only this crate implements it.
pub trait Stored: Sized {
    fn within(storage: &Storage) -> Option<&Arc<Vec<Self>>>;
    fn within_mut(storage: &mut Storage) -> Option<&mut Arc<Vec<Self>>>;
    fn store(elements: Vec<Self>) -> Storage;
}

/// A Rust type that is an element of an array: `bool`, `u8`, `i8` to `i64`, `f16`, `bf16`,
/// `f32` and `f64`.
pub trait Element:
    Stored + Source + Target + Copy + Default + PartialOrd + Debug + Send + Sync + 'static
{
    /// Its element type.
    const DTYPE: DType;
}

macro_rules! elements {
    ($($t:ty, $name:ident;)*) => {$(
        impl Stored for $t {
            fn within(storage: &Storage) -> Option<&Arc<Vec<$t>>> {
                match storage {
                    Storage::$name(elements) => Some(elements),
                    _ => None,
                }
            }

            fn within_mut(storage: &mut Storage) -> Option<&mut Arc<Vec<$t>>> {
                match storage {
                    Storage::$name(elements) => Some(elements),
                    _ => None,
                }
            }

            fn store(elements: Vec<$t>) -> Storage {
                Storage::$name(Arc::new(elements))
            }
        }

        impl Element for $t {
            const DTYPE: DType = DType::$name;
        }
    )*

        impl Storage {
            pub(crate) fn dtype(&self) -> DType {
                match self {
                    $(Storage::$name(_) => DType::$name,)*
                }
            }

            pub(crate) fn len(&self) -> usize {
                match self {
                    $(Storage::$name(elements) => elements.len(),)*
                }
            }

            /// Whether both are the same memory.
            pub(crate) fn is(&self, other: &Storage) -> bool {
                match (self, other) {
                    $((Storage::$name(a), Storage::$name(b)) => Arc::ptr_eq(a, b),)*
                    _ => false,
                }
            }
        }
    };
}

elements! {
    bool, Bool;
    u8, U8;
    i8, I8;
    i16, I16;
    i32, I32;
    i64, I64;
    f16, F16;
    bf16, BF16;
    f32, F32;
    f64, F64;
}

/// `by_type!(dtype, T => expression)`: with `T` the Rust type of any element type.
macro_rules! by_type {
    ($dtype:expr, $T:ident => $body:expr) => {
        match $dtype {
            $crate::DType::Bool => {
                type $T = bool;
                $body
            }
            $crate::DType::U8 => {
                type $T = u8;
                $body
            }
            $crate::DType::I8 => {
                type $T = i8;
                $body
            }
            $crate::DType::I16 => {
                type $T = i16;
                $body
            }
            $crate::DType::I32 => {
                type $T = i32;
                $body
            }
            $crate::DType::I64 => {
                type $T = i64;
                $body
            }
            $crate::DType::F16 => {
                type $T = ::half::f16;
                $body
            }
            $crate::DType::BF16 => {
                type $T = ::half::bf16;
                $body
            }
            $crate::DType::F32 => {
                type $T = f32;
                $body
            }
            $crate::DType::F64 => {
                type $T = f64;
                $body
            }
        }
    };
}

/// `by_number!(op, dtype, T => expression)`: with `T` an integer, `f32` or `f64`; an error for bool.
/// Halves are computed as `f32` and never come here.
macro_rules! by_number {
    ($op:expr, $dtype:expr, $T:ident => $body:expr) => {
        match $dtype {
            $crate::DType::U8 => {
                type $T = u8;
                $body
            }
            $crate::DType::I8 => {
                type $T = i8;
                $body
            }
            $crate::DType::I16 => {
                type $T = i16;
                $body
            }
            $crate::DType::I32 => {
                type $T = i32;
                $body
            }
            $crate::DType::I64 => {
                type $T = i64;
                $body
            }
            $crate::DType::F32 => {
                type $T = f32;
                $body
            }
            $crate::DType::F64 => {
                type $T = f64;
                $body
            }
            other => Err($crate::element::no_numbers($op, other)),
        }
    };
}

/// `by_float!(op, dtype, T => expression)`: with `T` `f32` or `f64`; an error for all others.
macro_rules! by_float {
    ($op:expr, $dtype:expr, $T:ident => $body:expr) => {
        match $dtype {
            $crate::DType::F32 => {
                type $T = f32;
                $body
            }
            $crate::DType::F64 => {
                type $T = f64;
                $body
            }
            other => Err($crate::element::no_floats($op, other)),
        }
    };
}

pub(crate) use {by_float, by_number, by_type};

/// Refuses truth values where numbers are needed.
pub(crate) fn no_numbers(op: &'static str, dtype: DType) -> crate::Error {
    crate::Error::dtype(op, format!("{dtype} elements are no numbers"), "cast them to int64 first")
}

/// Refuses what is no float.
pub(crate) fn no_floats(op: &'static str, dtype: DType) -> crate::Error {
    crate::Error::dtype(op, format!("takes floats, and got {dtype}"), "cast to float32 first")
}
