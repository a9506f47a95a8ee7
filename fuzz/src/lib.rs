//! What the fuzz targets share: a scratch folder in memory, a zip container around a pickle,
//! containers of older versions of torch and of its exporter, what holds of any checkpoint, the files of a store cut
//! from one input, and a store that is sound but for one file.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod export;
mod fixed;
mod grammar;
mod package;
mod reads;
mod scratch;
mod store_input;
mod zip;

pub use export::export;
pub use fixed::{Fixed, read_all};
pub use grammar::{legacy, tar};
pub use package::with_checksum;
pub use reads::read_each;
pub use scratch::Scratch;
pub use store_input::{StoreInput, complete, of_rows};
pub use zip::{Method, Zip, checkpoint};

/// What the first byte of an input says it is.
pub fn neighbour_suffix(kind: u8) -> &'static str {
    ["npy", "npz", "safetensors"][usize::from(kind % 3)]
}
