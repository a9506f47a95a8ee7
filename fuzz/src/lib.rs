//! What the fuzz targets share: a scratch folder in memory, a zip container around a pickle, and
//! the files of a store cut from one input.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod package;
mod scratch;
mod store_input;
mod zip;

pub use package::with_checksum;
pub use scratch::Scratch;
pub use store_input::StoreInput;
pub use zip::{Method, Zip, checkpoint};
