//! DLPack 1.1: tensors handed to and taken from other libraries, without a copy.
//!
//! Source: <https://github.com/dmlc/dlpack/blob/v1.1/include/dlpack/dlpack.h> and
//! <https://dmlc.github.io/dlpack/latest/python_spec.html>.
//!
//! | module | holds |
//! |---|---|
//! | `abi` | the structs, laid out as in `dlpack.h` |
//! | `export` | [`to_dlpack`], [`to_dlpack_legacy`] |
//! | `import` | [`from_dlpack`], [`from_dlpack_legacy`] |
//! | `capsule` | [`capsule_destructor`]: what Python calls for a capsule that nobody took |
//!
//! What is given away is owned by whoever gets it, who calls its `deleter` once, from any thread;
//! the memory stays until then. Strides are always written. Read-only memory says so in the flags;
//! the older struct has none, so such a tensor is refused there.
#![allow(unsafe_code)]

mod abi;
mod capsule;
mod export;
mod import;

pub use abi::{
    DLDataType, DLDevice, DLManagedTensor, DLManagedTensorVersioned, DLPackVersion, DLTensor,
    FLAG_IS_COPIED, FLAG_READ_ONLY, FLAG_SUBBYTE_PADDED, VERSION,
};
pub use capsule::capsule_destructor;
pub use export::{Copied, to_dlpack, to_dlpack_legacy};
pub use import::{from_dlpack, from_dlpack_legacy};
