//! What is computed with tensors.
//!
//! | module | holds |
//! |---|---|
//! | `bind` | what every dispatch keeps to |
//! | `pointwise` | kernels over the elements of one shape: how their tensors are described, cut, and bound |
//! | `promote` | the type of a result |
//! | `unary`, `binary` | functions of one element, and of two |
//! | `copy` | copies, casts, and what is put into tensors |
//! | `select` | the choice between two tensors |
//! | `matmul` | products of matrices |
//! | `linear` | linear layers, and their gradients |
//! | `probe` | what a device's arithmetic does at most |
//! | `flat` | kernels over tensors that lie in a row: how these are cut, and bound |
//! | `random` | random numbers by their place in a stream, dropout |
//! | `place` | such places |
//! | `indexing`, `scatter` | elements by their indices, and the sums that lead back |
//! | `optim` | optimisers' steps, in place |
//! | `schedule` | what of those changes from one to the next, in device memory |
//! | `backward` | gradients of functions of elements |
//! | `reduce_backward` | gradients of sums, means, variances and extremes |
//! | `move_backward` | gradients of views, of tensors put together, and of what is added by indices |
//! | `norm` | layers that normalise rows, and their gradients |
//! | `reduce` | sums, means, extremes and their places along dimensions |
//! | `rows` | kernels over rows: how their tensors are described, cut, and bound |
//! | `loss` | losses of rows over classes, and their gradients |
//! | `softmax` | softmax, its logarithm, and their gradients |

mod backward;
mod binary;
mod bind;
mod copy;
mod flat;
mod indexing;
mod linear;
mod loss;
mod matmul;
mod move_backward;
mod norm;
mod optim;
mod place;
mod pointwise;
mod probe;
mod promote;
mod random;
mod reduce;
mod reduce_backward;
mod rows;
mod scatter;
mod schedule;
mod select;
mod softmax;
mod unary;

pub use binary::Operand;
pub(crate) use copy::{arange, bits_of};
pub use linear::Activation;
pub use loss::{CrossEntropy, Reduction};
pub use norm::NormGrads;
pub use optim::{Adam, Sgd, clip_grad_norm};
pub use place::{DevicePlace, Place, RandomSource};
pub use probe::multiply_add;
pub use schedule::Schedule;
