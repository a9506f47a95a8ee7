//! The type of a result: torch's promotion rules.
//!
//! Source: PyTorch's documentation, "Tensor Attributes", section "torch.dtype" on type promotion,
//! and `torch.result_type`. Operands are of three classes: arrays with dimensions, arrays without,
//! and plain numbers. A lower class decides only where its *category* (truth value, integer, float)
//! is above that of all higher classes; then the type of the lower class is promoted with it.

use crate::{Array, DType};

/// A plain number as an operand: what Python's `bool`, `int` and `float` are to torch.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Scalar {
    /// A truth value.
    Bool(bool),
    /// An integer.
    Int(i64),
    /// A float.
    Float(f64),
}

impl Scalar {
    /// The type that it has for promotion: a float is float32, torch's default type.
    pub const fn dtype(self) -> DType {
        match self {
            Scalar::Bool(_) => DType::Bool,
            Scalar::Int(_) => DType::I64,
            Scalar::Float(_) => DType::F32,
        }
    }

    pub(crate) fn as_f64(self) -> f64 {
        match self {
            Scalar::Bool(b) => f64::from(u8::from(b)),
            Scalar::Int(i) => i as f64,
            Scalar::Float(f) => f,
        }
    }
}

impl From<bool> for Scalar {
    fn from(value: bool) -> Scalar {
        Scalar::Bool(value)
    }
}

impl From<i32> for Scalar {
    fn from(value: i32) -> Scalar {
        Scalar::Int(i64::from(value))
    }
}

impl From<i64> for Scalar {
    fn from(value: i64) -> Scalar {
        Scalar::Int(value)
    }
}

impl From<f32> for Scalar {
    fn from(value: f32) -> Scalar {
        Scalar::Float(f64::from(value))
    }
}

impl From<f64> for Scalar {
    fn from(value: f64) -> Scalar {
        Scalar::Float(value)
    }
}

/// What an operation takes: an array or a plain number.
#[derive(Clone, Copy, Debug)]
pub enum Operand<'a> {
    /// An array, with or without dimensions.
    Array(&'a Array),
    /// A plain number, which has no dimensions and the least say in the type of the result.
    Scalar(Scalar),
}

impl<'a> From<&'a Array> for Operand<'a> {
    fn from(array: &'a Array) -> Operand<'a> {
        Operand::Array(array)
    }
}

impl<S: Into<Scalar>> From<S> for Operand<'_> {
    fn from(scalar: S) -> Self {
        Operand::Scalar(scalar.into())
    }
}

impl Operand<'_> {
    /// Its own type.
    pub fn dtype(&self) -> DType {
        match self {
            Operand::Array(a) => a.dtype(),
            Operand::Scalar(s) => s.dtype(),
        }
    }
}

/// The type in which an operation on these computes: `torch.result_type`, for any number of
/// operands. Bool for none.
///
/// ```
/// use numpack_host_ops::{Array, DType, result_type};
/// let ints = Array::from_slice(&[1_i32, 2], &[2])?;
/// let double = Array::full(&[], 2.5, DType::F64)?; // without dimensions
/// assert_eq!(result_type(&[(&ints).into(), 2.into()]), DType::I32);
/// assert_eq!(result_type(&[(&ints).into(), 2.5.into()]), DType::F32);
/// assert_eq!(result_type(&[(&ints).into(), (&double).into()]), DType::F64);
/// # Ok::<(), numpack_host_ops::Error>(())
/// ```
pub fn result_type(operands: &[Operand<'_>]) -> DType {
    // With dimensions, without, plain numbers.
    let mut classes = [None; 3];
    for operand in operands {
        let class = match operand {
            Operand::Array(a) if a.ndim() > 0 => &mut classes[0],
            Operand::Array(_) => &mut classes[1],
            Operand::Scalar(_) => &mut classes[2],
        };
        *class = Some(class.map_or(operand.dtype(), |d: DType| d.promote(operand.dtype())));
    }
    let [dims, zero, plain] = classes;
    combine(dims, combine(zero, plain)).unwrap_or(DType::Bool)
}

fn combine(higher: Option<DType>, lower: Option<DType>) -> Option<DType> {
    let (Some(high), Some(low)) = (higher, lower) else { return higher.or(lower) };
    Some(if category(low) > category(high) { high.promote(low) } else { high })
}

fn category(dtype: DType) -> u8 {
    match dtype {
        DType::Bool => 0,
        d if d.is_integer() => 1,
        _ => 2,
    }
}
