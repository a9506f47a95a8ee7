//! Train on the host or on any GPU: tensors with gradients, layers, losses and optimisers, with
//! PyTorch's names and meaning.
//!
//! ```
//! use numpack_nn::optim::{Adam, AdamOptions, Optimizer};
//! use numpack_nn::{CrossEntropy, DType, Device, Linear, Module, ModuleExt, ReLU, Sequential, Tensor};
//! numpack_nn::manual_seed(0);
//! let device = Device::Cpu; // or a stream of a Vulkan device
//! let model =
//!     Sequential::new().add(Linear::new(10, 20, true)?).add(ReLU).add(Linear::new(20, 2, true)?);
//! model.to_device(&device)?;
//! let x = Tensor::randn(&[100, 10], DType::F32, &device)?;
//! let y = x.sum_dims(&[1], false)?.gt(0.0)?.to_dtype(DType::I64)?;
//! let mut optimizer = Adam::new(model.parameters(), AdamOptions { lr: 0.01, ..Default::default() });
//! for _ in 0..100 {
//!     let loss = model.forward(&x)?.cross_entropy(&y, &CrossEntropy::default())?;
//!     optimizer.zero_grad();
//!     loss.backward()?;
//!     optimizer.step()?;
//! }
//! let loss = model.forward(&x)?.cross_entropy(&y, &CrossEntropy::default())?;
//! assert!(loss.item()? < 0.2);
//! # Ok::<(), numpack_nn::Error>(())
//! ```
//!
//! # Map
//!
//! | module | holds |
//! |---|---|
//! | `device` | [`Device`]: where tensors are |
//! | `exec` | the two executors behind one face: `numpack-host-ops` and `vulkan-core` |
//! | `tensor` | [`Tensor`] and its operations |
//! | `autograd` | what was computed of what, and the way back |
//! | `module` | [`Module`]: names, states, moves |
//! | `layers` | layers |
//! | `init` | first values of parameters |
//! | [`optim`] | optimisers |
//! | `step` | [`TrainStep`]: a training step that is recorded once |
#![forbid(unsafe_code)]
// Without devices there is less to tell apart.
#![cfg_attr(not(feature = "vulkan"), allow(dead_code, unused_variables, irrefutable_let_patterns))]

mod autograd;
mod device;
mod error;
#[macro_use]
mod exec;
mod init;
mod layers;
mod module;
pub mod optim;
mod step;
mod tensor;

pub use autograd::{NoGrad, is_grad_enabled, no_grad, set_grad_enabled};
pub use device::Device;
pub use error::{Error, Result};
pub use layers::*;
pub use module::{ActivationRole, Module, ModuleExt, Part, Role};
pub use numpack_host_ops::{Array, DType, Element, Reduction, Scalar};
pub use step::{Objective, TrainStep};
pub use tensor::{CrossEntropy, LayerActivation, Other, Tensor, manual_seed};
