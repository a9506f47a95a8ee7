//! Versions.

use std::ffi::c_char;

/// The version of the interface. A library with another number is not compatible.
pub const NUMPACK_ABI_VERSION: u32 = 1;

/// The version of the interface that the library at hand has; compare it with
/// `NUMPACK_ABI_VERSION`.
#[unsafe(no_mangle)]
pub extern "C" fn numpack_abi_version() -> u32 {
    NUMPACK_ABI_VERSION
}

/// The version of the library, such as `0.1.0`. The text lives as long as the library.
#[unsafe(no_mangle)]
pub extern "C" fn numpack_version() -> *const c_char {
    concat!(env!("CARGO_PKG_VERSION"), "\0").as_ptr().cast()
}
