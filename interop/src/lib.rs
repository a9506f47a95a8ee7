//! Tensors between a PyTorch `.pt` file and a NumPack store: streaming, without loss, and without
//! PyTorch or Python. The same from and to the neighbours of `.pt`: `.safetensors`, `.npy` and
//! `.npz` files. Rows out of any of them, and out of these three into a store.
//!
//! | module | holds |
//! |---|---|
//! | [`dtype`] | the exchange element type and the tables to both formats |
//! | `from_torch` | `.pt` → store: [`from_torch_file`] |
//! | `to_torch` | store → `.pt`: [`to_torch_file`] |
//! | `neighbours` | `.safetensors`, `.npy` and `.npz` files, read as checkpoints |
//! | `export` | any file → one of these: [`export_file`] |
//! | `supply` | the bytes of tensors, from any file to whatever takes them |
//! | `stored` | arrays on the disk: a store's, or a package's as it is |
//! | `store_tree` | a store seen as the object it came from |
//! | `tensors` | each kind of file, listed and read by the same calls: [`Tensors`] |
//! | `save` | tensors in memory → `.pt` or store: [`save_tensors`], [`from_torch`] |
//! | `object` | values, containers and tensors in memory → `.pt`: [`Object`] |
//! | `held` | their storages, as what is written takes them |
//! | `pull` | a tensor as something to be read |
//! | `rows`, `text`, `npy` | rows of a tensor: as bytes, text or a `.npy` file |
//! | `append` | rows of such files added to a store: [`append_npy`] |
//! | `summary` | what a file holds, and whether it is sound: [`Tensors::summary`], [`verify`] |
//! | [`scan`], [`scanned`] | what a file would do to whoever unpickles it |
//! | `diff` | what two files disagree on: [`diff`] |
//! | `keys` | which keys are the same |
//! | `copy` | bytes from file to file, with their checksum |
//! | `tensor` | tensors in memory that share: [`Tensor`], [`from_numpy`], [`dlpack`] |
//! | `vulkan` | tensors on a GPU (feature `vulkan`) |
//! | `nn` | tensors that compute, and states of modules in files (feature `nn`) |
//! | `progress`, `error` | [`Progress`], [`Error`] |
//!
//! ```no_run
//! use numpack_interop::{FromTorch, NoProgress, Tensors, from_torch_file};
//! from_torch_file("model.pt", "model.npk", &FromTorch::new(), &mut NoProgress)?;
//! for tensor in Tensors::open("model.npk")?.list()? {
//!     println!("{} {} {:?}", tensor.name, tensor.dtype, tensor.shape);
//! }
//! # Ok::<(), numpack_interop::Error>(())
//! ```
//!
//! What a round trip `.pt` → store → `.pt` keeps: the kind of every container, key order and key
//! types, element types (bfloat16 and float8 too), 0-d and empty tensors, shared storages and
//! shared containers, `Parameter` and `requires_grad`, `_metadata`, and plain Python values. What
//! it does not: the strides of a tensor that shares its storage with none, the invisible rest of
//! a storage of which one tensor shows a part, the conj and neg bits (resolved), and objects of
//! unknown classes unless asked to ([`FromTorch::keep_objects`]).

#![deny(unsafe_code)]

mod append;
mod copy;
mod diff;
pub mod dtype;
mod error;
mod export;
mod from_torch;
mod held;
mod keys;
mod neighbours;
#[cfg(feature = "nn")]
pub mod nn;
mod npy;
mod object;
mod progress;
mod pull;
mod rows;
mod save;
mod store_tree;
mod stored;
mod summary;
mod supply;
mod tensor;
mod tensors;
mod text;
mod to_torch;
#[cfg(feature = "vulkan")]
pub mod vulkan;

pub use append::append_npy;
pub use diff::{Difference, diff};
pub use error::{Error, Result};
pub use export::{Export, export_file};
pub use from_torch::{Existing, FromTorch, Report, from_torch_file};
pub use npy::Npy;
pub use numpack_format::Rows;
pub use object::Object;
pub use progress::{NoProgress, Progress};
pub use save::{Borrowed, from_torch, save_tensors, save_torch};
pub use summary::{Summary, Verified, verify};
pub use tensor::{
    ALIGNMENT, Array, ArrayInterface, Device, DeviceMemory, Element, Elements, ElementsMut, Memory,
    Nested, Scalar, Storage, Tensor, as_tensor, dlpack, from_memory, from_numpy, tensor,
};
pub use tensors::{Format, TensorInfo, Tensors};
pub use to_torch::{ToTorch, to_torch_file};
pub use torch_pickle::{
    Container, CrcPolicy, PrintOptions, Printed, ScanOptions, ScanReport, scan,
};

/// What [`scan`] says of a file.
pub mod scanned {
    pub use torch_pickle::{
        Class, FileKind, Finding, Level, Mention, PickleFound, Place, Verdict, WeightsOnly,
    };
}

/// The default upper bound of buffers: 100 MiB, as the public numpack package has it. Buffers
/// stay below 8 MiB all the same.
pub const DEFAULT_CHUNK_SIZE: u64 = 100 << 20;

/// The buffer that an upper bound allows.
fn buffer_size(chunk_size: u64) -> usize {
    chunk_size.clamp(4 << 10, 4 << 20) as usize
}
