//! Tensors in memory become a `.pt` file.

use std::ffi::c_char;
use std::io::ErrorKind;

use numpack_interop::{Borrowed, Error, save_torch};
use torch_pickle::WriteOptions;

use crate::shell::{self, guard};
use crate::structs::{self, Versioned};
use crate::view::{self, numpack_view};

/// How `numpack_save_torch` writes. Zero means the default of each.
#[allow(non_camel_case_types, reason = "the name C programs type")]
#[derive(Clone, Copy)]
#[repr(C)]
pub struct numpack_save_options {
    /// `sizeof(numpack_save_options)`.
    pub struct_size: u32,
    /// Not 0: an existing file is replaced. 0: it is `NUMPACK_EXISTS`.
    pub overwrite: i32,
    /// Alignment of each tensor's data in bytes. 0: 64; 4096 is the other choice.
    pub alignment: u32,
    /// Must be 0.
    pub reserved: i32,
}

// SAFETY: integers only, and `struct_size` first.
unsafe impl Versioned for numpack_save_options {
    const NAME: &str = "numpack_save_options";
    const ZERO: Self =
        numpack_save_options { struct_size: 0, overwrite: 0, alignment: 0, reserved: 0 };
}

/// Writes a dict of `count` tensors as a `.pt` file, which torch loads with `weights_only=True`.
/// Each is stored in C order. The file appears whole or not at all.
///
/// `names` are `count` texts, all different, `views` as many views: of any `NUMPACK_DTYPE_*`,
/// little-endian, with strides that are multiples of an element and not negative, as torch has
/// them. `options` may be NULL.
///
/// Errors: `NUMPACK_PARAMETER`; `NUMPACK_EXISTS`; `NUMPACK_IO`, as on a full disk: what was at the
/// path is then as it was.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_save_torch(
    path: *const c_char,
    names: *const *const c_char,
    views: *const numpack_view,
    count: usize,
    options: *const numpack_save_options,
) -> i32 {
    guard(|| {
        // SAFETY: the caller's promise.
        let path = unsafe { shell::path(path, "path") }?;
        // SAFETY: the caller's promise.
        let o = unsafe { structs::read_or_zero(options) }?;
        crate::options::reserved(o.reserved)?;
        // SAFETY: the caller's promise.
        let names = unsafe { shell::texts(names, count, "names") }?;
        // SAFETY: the caller's promise.
        let tensors = unsafe { view::tensors(views, count) }?;
        let tensors: Vec<(&str, Borrowed<'_>)> = names.into_iter().zip(tensors).collect();
        let mut settings = WriteOptions::new().overwrite(o.overwrite != 0);
        if o.alignment != 0 {
            settings = settings.alignment(o.alignment);
        }
        save_torch(&path, &tensors, &settings).map_err(|e| match e {
            Error::Torch(torch_pickle::Error::Io { source, .. })
                if source.kind() == ErrorKind::AlreadyExists =>
            {
                Error::Exists { path, what: "a file" }
            }
            other => other,
        })
    })
}
