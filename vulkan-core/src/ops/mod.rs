//! What is computed with tensors.
//!
//! | module | holds |
//! |---|---|
//! | `pointwise` | kernels over the elements of one shape: how their tensors are described, cut, and bound |
//! | `promote` | the type of a result |
//! | `unary`, `binary` | functions of one element, and of two |
//! | `copy` | copies, casts, and what is put into tensors |
//! | `select` | the choice between two tensors |
//! | `matmul` | products of matrices |
//! | `norm` | layers that normalise rows, and their gradients |
//! | `reduce` | sums, means, extremes and their places along dimensions |
//! | `rows` | kernels over rows: how their tensors are described, cut, and bound |
//! | `loss` | losses of rows over classes, and their gradients |
//! | `softmax` | softmax, its logarithm, and their gradients |

mod binary;
mod copy;
mod loss;
mod matmul;
mod norm;
mod pointwise;
mod promote;
mod reduce;
mod rows;
mod select;
mod softmax;
mod unary;

pub use binary::Operand;
pub(crate) use copy::{arange, bits_of};
pub use loss::{CrossEntropy, Reduction};
pub use matmul::Activation;
pub use norm::NormGrads;
