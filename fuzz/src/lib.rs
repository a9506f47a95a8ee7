//! What the fuzz targets share: a scratch folder in memory, a zip container around a pickle, the
//! files of a store cut from one input, and a store that is sound but for one file.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod fixed;
mod package;
mod scratch;
mod store_input;
mod zip;

pub use fixed::{Fixed, read_all};
pub use package::with_checksum;
pub use scratch::Scratch;
pub use store_input::{StoreInput, complete};
pub use zip::{Method, Zip, checkpoint};

/// What the first byte of an input says it is.
pub fn neighbour_suffix(kind: u8) -> &'static str {
    ["npy", "npz", "safetensors"][usize::from(kind % 3)]
}
