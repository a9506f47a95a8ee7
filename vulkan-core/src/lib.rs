//! Tensors on any GPU, by Vulkan compute: devices, memory, command streams, and kernels. No CUDA, no
//! driver of a certain vendor; the Vulkan loader is looked for when a device is first asked for.
//!
//! | module | holds |
//! |---|---|
//! | `devices` | [`devices`], what they are, and the choice of one |
//! | `options` | [`DeviceOptions`] |
//! | `device` | [`Device`], an open one |
//! | `stream` | [`Stream`]: work in the order in which it was recorded |
//! | `sequence` | [`Sequence`]: work that is recorded once, and replayed |
//! | `tensor` | [`Tensor`], its views, and its way from the host and back |
//! | `ops` | what is computed with tensors |
//! | `kernels` | the kernels that do it, as SPIR-V |
//! | `transfer` | bytes on their way |
//! | `core` | who holds which memory, what is recorded, what runs |
//! | `watch` | indices that lead nowhere, which kernels note |
//! | `cache` | compiled kernels, kept from one run to the next |
//! | `vk` | Vulkan itself: the only module with unsafe code |
//!
//! # How work runs
//!
//! An operation takes its result's memory out of a pool, and records a kernel; after some hundred, or
//! when a value is wanted, the device gets them at once. A barrier stands between two kernels only if
//! the second needs what the first wrote, or would write over what it reads. Memory that nobody has
//! any more serves the next tensor of its stream at once: that it is still in use counts as such a need.
//! What is done again and again is recorded once, and replayed in one submission ([`Sequence`]).
//!
//! Whoever wants a value stays awake while the device gets there in pieces of less than a millisecond, and
//! sleeps through longer ones.
//!
//! # What is the same everywhere
//!
//! Every device holds every [`DType`]. Kernels read and write 32-bit words, so that none needs 8-bit, 16-bit
//! or 64-bit arithmetic. The same operation gives the same bits from run to run on one device and driver.
//! Whether numbers below the smallest normal `f32` are kept is the device's choice.
#![deny(unsafe_code)]

mod cache;
mod core;
mod device;
mod devices;
mod dtype;
mod error;
mod kernels;
mod ops;
mod options;
mod sequence;
mod stream;
mod tensor;
mod transfer;
#[allow(unsafe_code)]
mod vk;
mod watch;

pub use crate::core::usage::Usage;
pub use device::Device;
pub use devices::{DeviceInfo, DeviceKind, Limits, devices};
pub use dtype::{DType, Element};
pub use error::{Error, Result};
#[doc(hidden)]
pub use ops::multiply_add;
pub use ops::{
    Activation, Adam, CrossEntropy, DevicePlace, NormGrads, Operand, Place, RandomSource,
    Reduction, Schedule, Sgd, clip_grad_norm,
};
pub use options::{DEVICE_VARIABLE, DeviceOptions, Feature, Select, Transfers, Validation};
pub use sequence::{Recording, Sequence};
pub use stream::{Mark, Stream};
pub use tensor::{Download, Tensor};
