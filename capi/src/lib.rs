//! The C interface of libnumpack: a thin shell around `numpack-interop` and `numpack-format`, with
//! no algorithm of its own. `include/numpack.h` is generated from this crate, in the order below.
//!
//! | module | holds |
//! |---|---|
//! | `version` | versions |
//! | `status` | status codes and the message of the last error |
//! | `options` | the callbacks, and the options of conversions |
//! | `convert` | `numpack_from_torch_file`, `numpack_to_torch_file`, `numpack_export_file` |
//! | `dtype` | element types |
//! | `view` | what goes in: arrays in memory, choices of rows |
//! | `store` | `numpack_store`: opening, and changes that are durable on return |
//! | `writer` | `numpack_writer`: many changes in one commit |
//! | `list` | `numpack_list`: what arrays there are |
//! | `array` | `numpack_array`: reading one |
//! | `map` | arrays as memory |
//! | `rows_mut` | arrays as memory to work in |
//! | `package` | `numpack_package`, packing and unpacking |
//! | `checkpoint` | `numpack_checkpoint`: the tensors of a file, listed, read and mapped |
//! | `tree` | the object they are part of, node by node |
//! | `tensor` | `numpack_tensor`: tensors in memory, made and described |
//! | `tensor_array` | arrays as NumPy describes them, in and out; tensors of files in memory |
//! | `tensor_views` | views and copies |
//! | `tensor_values` | elements |
//! | `dlpack` | tensors to and from other libraries |
//! | `save` | tensors in memory to a `.pt` file |
//! | `object` | `numpack_object`: whole objects to a `.pt` file |
//! | `scan` | what unpickling a file would do; what two files disagree on |
//! | `verify` | what is wrong with a store |
//! | `device` | `numpack_device`: GPUs, by Vulkan |
//! | `nn_tensor` | `numpack_nn_tensor`: tensors that compute, made, read, moved |
//! | `nn_grad` | their gradients, and changes in place |
//! | `nn_ops` | functions of elements, sums and the like |
//! | `nn_views` | views, joining, picking |
//! | `nn_layers` | products of matrices, softmax, norms, losses |
//! | `nn_module` | `numpack_nn_module`: what modules do |
//! | `nn_modules` | the kinds of modules |
//! | `nn_state` | `numpack_nn_state`: tensors by name |
//! | `nn_optim` | `numpack_nn_optimizer`: optimisers |
//! | `nn_step` | `numpack_nn_step`: a training step that is recorded once |
//! | `nn_custom` | modules and losses that the caller computes |
//! | `nn_settings` | what optimisers keep, and their settings |
//! | `vulkan`, `no_vulkan` | devices, and what stands in for them |
//! | `shell` | what every function does: NULL checks, text, memory, panics caught |
//! | `structs` | structs that begin with their size |
//! | `handle` | what is behind the opaque pointers |
//!
//! # Conventions
//!
//! - A function returns a status; [`status::NUMPACK_OK`] is 0, and the numbers are never reused.
//!   After any other, `numpack_last_error` has a message for this thread.
//! - The handle comes first, then inputs, then outputs. An output is written only on success; a
//!   NULL output is skipped, but one for a handle is needed.
//! - Paths and names are UTF-8 and end in NUL. NULL where something is required is
//!   `NUMPACK_PARAMETER`, not a crash.
//! - `_open`, `_create`, `_begin` and `_list` give ownership, `_free` takes it, `_retain` shares;
//!   what `_get` gives is borrowed.
//! - Structs begin with `struct_size`, set to their `sizeof`; in options, all else may be zero and
//!   then has its default, and a NULL pointer means all defaults.
//! - Callbacks take `void *user` last. They are called on the calling thread.
//! - What is behind a `const` pointer may be used by several threads at once, what is behind any
//!   other not.
//!
//! # Safety
//!
//! What a C program promises with every call, and the comments of `unsafe` blocks call the caller's
//! promise: a pointer is NULL or valid. Text ends in NUL; a struct has `struct_size` bytes, and what
//! it points to is there; an output and a buffer are writable, and nobody else uses them; a handle
//! has not been freed. Callbacks neither unwind nor jump out.
#![allow(clippy::missing_safety_doc, reason = "the contract is the same for all, and stated once")]

// The header has this order.
pub mod version;

pub mod status;

pub mod options;

pub mod convert;

pub mod dtype;

pub mod view;

pub mod store;

pub mod writer;

pub mod list;

pub mod array;

pub mod map;

pub mod rows_mut;

pub mod package;

pub mod checkpoint;

pub mod tree;

pub mod tensor;

pub mod tensor_array;

pub mod tensor_views;

pub mod tensor_values;

pub mod dlpack;

pub mod save;

pub mod object;

pub mod scan;

pub mod verify;

pub mod device;

pub mod nn_tensor;

pub mod nn_grad;

pub mod nn_ops;

pub mod nn_views;

pub mod nn_layers;

pub mod nn_module;

pub mod nn_modules;

pub mod nn_state;

pub mod nn_optim;

pub mod nn_step;

pub mod nn_custom;

pub mod nn_settings;

mod handle;
#[cfg(test)]
mod panics;
mod shell;
mod structs;
#[cfg_attr(not(feature = "vulkan"), path = "no_vulkan.rs")]
mod vulkan;
