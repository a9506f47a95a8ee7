//! Train on the host or on any GPU: tensors with gradients, layers, losses and optimisers, with
//! PyTorch's names and meaning.
#![forbid(unsafe_code)]
// Without devices there is less to tell apart.
#![cfg_attr(not(feature = "vulkan"), allow(dead_code, unused_variables, irrefutable_let_patterns))]

mod autograd;
mod device;
mod error;
#[macro_use]
mod exec;
mod tensor;

pub use autograd::{NoGrad, is_grad_enabled, no_grad};
pub use device::Device;
pub use error::{Error, Result};
pub use numpack_host_ops::{Array, DType, Element, Reduction, Scalar};
pub use tensor::{CrossEntropy, Other, Tensor, manual_seed};
