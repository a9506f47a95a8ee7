//! `.npkg`: a store in one file, to send and to keep.
//!
//! [`pack`] writes one, [`unpack`] makes a store of it, and [`Package`] reads it as it is.
//!
//! | file | subject |
//! |---|---|
//! | `format.rs` | the layout: header, entries, names, checksum |
//! | `content.rs` | the bytes of one entry, inflated as they are read |
//! | `read.rs` | [`Package`]: what is in it, and whether it is sound |
//! | `array.rs` | [`PackedArray`]: reading one array |
//! | `source.rs` | all that is asked of the store that is packed |
//! | `write.rs` | [`pack`] |
//! | `output.rs` | the file that is written, until it is in its place |
//! | `unpack.rs` | [`unpack`] |

mod array;
mod content;
#[cfg(test)]
mod crash_tests;
mod format;
mod output;
mod read;
mod source;
mod unpack;
mod write;

pub use array::PackedArray;
pub use read::{Package, PackageInfo, PackedFile};
pub use unpack::{UnpackInfo, UnpackOptions, unpack};
pub use write::{PackInfo, PackOptions, pack};

/// How a file in a package is stored.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Compression {
    /// As it is. Every public reader takes it.
    Stored,
    /// A zlib stream. The public reader takes it only where `zstandard` is not installed.
    Zlib,
    /// A Zstandard frame, as the public package writes where `zstandard` is installed: read, but
    /// not written.
    Zstd,
}

/// Bytes that are read, checked and written at a time.
const CHUNK: usize = 1 << 20;
