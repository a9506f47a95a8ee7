//! What can go wrong.

use crate::DType;

/// The result of every call of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why an operation was refused. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Shapes that the operation does not take, or not together.
    #[error("{op}: {problem}; {advice}")]
    Shape {
        /// The operation.
        op: &'static str,
        /// Which shapes, and what is wrong with them.
        problem: String,
        /// What to do instead.
        advice: &'static str,
    },
    /// An element type that the operation does not take.
    #[error("{op}: {problem}; {advice}")]
    DType {
        /// The operation.
        op: &'static str,
        /// Which type, and where.
        problem: String,
        /// What to do instead.
        advice: &'static str,
    },
    /// A dimension that the array does not have.
    #[error(
        "{op}: there is no dimension {dim} among {ndim}; count from 0, or from the end with -1"
    )]
    Dimension {
        /// The operation.
        op: &'static str,
        /// What was asked for.
        dim: isize,
        /// How many there are.
        ndim: usize,
    },
    /// An index beyond its dimension.
    #[error("{op}: index {index} is beyond a dimension of size {size}; indices are 0 to size - 1{}",
        if *negative { ", or negative to count from the end" } else { "" })]
    Index {
        /// The operation.
        op: &'static str,
        /// The index.
        index: i64,
        /// The size of the dimension it goes into.
        size: usize,
        /// Whether the operation counts negative indices from the end.
        negative: bool,
    },
    /// An integer divided by zero.
    #[error("{op}: an integer is divided by zero; divide floats, or replace the zeros first")]
    DivisionByZero {
        /// The operation.
        op: &'static str,
    },
    /// A reduction that has no value for no elements.
    #[error(
        "{op}: no elements to reduce in shape {shape:?} along {dims:?}; only reductions with a \
         neutral element, such as sum, take none"
    )]
    Empty {
        /// The operation.
        op: &'static str,
        /// The shape of the input.
        shape: Vec<usize>,
        /// The dimensions to be reduced.
        dims: Vec<usize>,
    },
    /// An option or argument that cannot be.
    #[error("{op}: {problem}; {advice}")]
    Parameter {
        /// The operation.
        op: &'static str,
        /// Which, and why not.
        problem: String,
        /// What to do instead.
        advice: &'static str,
    },
    /// There is not so much memory.
    #[error("{elements} elements of {dtype} could not be had; work on a part of them")]
    OutOfMemory {
        /// How many elements were asked for.
        elements: usize,
        /// Of which type.
        dtype: DType,
    },
}

impl Error {
    pub(crate) fn shape(
        op: &'static str,
        problem: impl Into<String>,
        advice: &'static str,
    ) -> Error {
        Error::Shape { op, problem: problem.into(), advice }
    }

    pub(crate) fn dtype(
        op: &'static str,
        problem: impl Into<String>,
        advice: &'static str,
    ) -> Error {
        Error::DType { op, problem: problem.into(), advice }
    }

    pub(crate) fn parameter(
        op: &'static str,
        problem: impl Into<String>,
        advice: &'static str,
    ) -> Error {
        Error::Parameter { op, problem: problem.into(), advice }
    }
}
