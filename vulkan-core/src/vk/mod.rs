//! Vulkan itself: the only module of the crate with unsafe code.
//!
//! | module | holds |
//! |---|---|
//! | `instance` | the loader, opened at run time, and one instance |
//! | `messages` | what the validation layers say |
//! | `adapter` | what a physical device is and can |
//! | `gpu` | one logical device with its queue, its semaphores and waits |
//! | `buffer` | memory: a buffer in an allocation, and its bytes where the host sees them |
//! | `import` | bytes of the host's that the device reads where they are |
//! | `commands` | recording into one command buffer, and descriptor sets |
//! | `pipeline` | compute pipelines and their cache |
//!
//! What makes the calls sound is the same everywhere, and said once here:
//!
//! - *Handles live long enough.* Each object owns what it was made from by an [`Arc`](std::sync::Arc)
//!   (an instance outlives its devices, a device all that was made of it), and nothing that the device may
//!   still use is destroyed before the timeline value of its last use has been reached, nor while commands
//!   are kept that may be handed over again with it; the `core` module sees to that, and on a lost device
//!   nothing is in use any more.
//! - *One thread at a time.* What Vulkan wants synchronised by the caller (the queue, command pools,
//!   descriptor pools, the allocator) is reached through `&mut`, and lies behind the device's lock.
//! - *Structures are whole.* They are made by `ash`'s builders from slices and references that outlive the call.

pub(crate) mod adapter;
pub(crate) mod buffer;
pub(crate) mod commands;
pub(crate) mod gpu;
pub(crate) mod import;
pub(crate) mod instance;
pub(crate) mod messages;
pub(crate) mod pipeline;
