//! Values in lists of lists, as scripting languages write them.

use num_complex::Complex;

use super::{Scalar, Tensor};
use crate::dtype::DType;
use crate::{Error, Result};

/// A value, or a list of such.
#[derive(Clone, PartialEq, Debug)]
pub enum Nested {
    /// A value.
    Scalar(Scalar),
    /// A list.
    List(Vec<Nested>),
}

impl<T: Into<Scalar>> From<T> for Nested {
    fn from(value: T) -> Nested {
        Nested::Scalar(value.into())
    }
}

impl<T: Into<Nested>> From<Vec<T>> for Nested {
    fn from(values: Vec<T>) -> Nested {
        Nested::List(values.into_iter().map(Into::into).collect())
    }
}

impl<T: Into<Nested>, const N: usize> From<[T; N]> for Nested {
    fn from(values: [T; N]) -> Nested {
        Nested::List(values.into_iter().map(Into::into).collect())
    }
}

impl Nested {
    pub(super) fn tensor(&self, dtype: Option<DType>) -> Result<Tensor> {
        let shape = self.shape();
        let mut values = Vec::new();
        self.collect(&shape, 0, &mut values)?;
        let dtype = dtype.unwrap_or_else(|| default_type(&values));
        let t = Tensor::zeros(&shape, dtype)?;
        let mut out = t.storage.write()?;
        for (value, place) in values.iter().zip(out.chunks_exact_mut(dtype.size())) {
            let (bytes, size) = value.encode(dtype)?;
            place.copy_from_slice(&bytes[..size]);
        }
        drop(out);
        Ok(t)
    }

    /// The lengths that the first list of each depth has.
    fn shape(&self) -> Vec<usize> {
        let mut shape = Vec::new();
        let mut at = self;
        while let Nested::List(list) = at {
            shape.push(list.len());
            match list.first() {
                Some(first) => at = first,
                None => break,
            }
        }
        shape
    }

    /// The values in order; every list must be as long as the first of its depth.
    fn collect(&self, shape: &[usize], depth: usize, values: &mut Vec<Scalar>) -> Result<()> {
        match (self, shape.get(depth)) {
            (Nested::Scalar(value), None) => {
                values.push(*value);
                Ok(())
            }
            (Nested::List(list), Some(&n)) if list.len() == n => {
                list.iter().try_for_each(|item| item.collect(shape, depth + 1, values))
            }
            (Nested::List(list), Some(&n)) => Err(Error::Parameter(format!(
                "a list of dimension {depth} has {} elements and the first has {n}; make all lists \
                 of a dimension as long",
                list.len()
            ))),
            (Nested::List(_), None) => Err(Error::Parameter(format!(
                "there is a list among the values of dimension {depth}; make all of them lists or \
                 none"
            ))),
            (Nested::Scalar(_), Some(_)) => Err(Error::Parameter(format!(
                "there is a value among the lists of dimension {depth}; make all of them lists or \
                 none"
            ))),
        }
    }
}

/// The type that torch gives to such values.
fn default_type(values: &[Scalar]) -> DType {
    let rank = |value: &Scalar| match value {
        Scalar::Bool(_) => 0,
        Scalar::Int(_) | Scalar::UInt(_) => 1,
        Scalar::Float(_) => 2,
        Scalar::Complex(Complex { .. }) => 3,
    };
    match values.iter().map(rank).max() {
        Some(0) => DType::BOOL,
        Some(1) => DType::INT64,
        Some(3) => DType::COMPLEX64,
        _ => DType::FLOAT32,
    }
}
