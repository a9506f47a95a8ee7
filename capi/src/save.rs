//! Tensors in memory become a `.pt` file, or a store.

use std::ffi::c_char;

use numpack_interop::{Borrowed, Error, Existing, Tensor, from_torch, save_tensors, save_torch};
use torch_pickle::WriteOptions;

use crate::handle;
use crate::shell::{self, guard};
use crate::structs::{self, Versioned};
use crate::tensor::numpack_tensor;
use crate::view::{self, numpack_view};

/// How `numpack_save_torch`, `numpack_save_tensors` and `numpack_object_save` write. Zero means the default of each.
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
        save_torch(&path, &tensors, &settings(&o))
    })
}

/// Writes a dict of `count` tensors in memory as a `.pt` file, which torch loads with
/// `weights_only=True`. Tensors that show one storage do so in the file, and which requires grad is
/// kept. The file appears whole or not at all.
///
/// `names` are `count` texts, all different. `options` may be NULL. Errors: as
/// `numpack_save_torch`; `NUMPACK_IN_USE` for a tensor that is being written to, `NUMPACK_SHARING`
/// for one on a device.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_save_tensors(
    path: *const c_char,
    names: *const *const c_char,
    tensors: *const *const numpack_tensor,
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
        let tensors = unsafe { named(names, tensors, count) }?;
        save_tensors(&path, &tensors, &settings(&o))
    })
}

/// Writes `count` tensors in memory as arrays of a store, in one commit: as
/// `numpack_from_torch_file` does it from a file with a dict of them. `existing` is a
/// `NUMPACK_EXISTING_*`, by default a store that is there is added to.
///
/// `names` are `count` texts, all different. Errors: as `numpack_save_tensors` and
/// `numpack_from_torch_file`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_from_torch(
    names: *const *const c_char,
    tensors: *const *const numpack_tensor,
    count: usize,
    output: *const c_char,
    existing: i32,
) -> i32 {
    guard(|| {
        // SAFETY: the caller's promise.
        let output = unsafe { shell::path(output, "output") }?;
        let existing = crate::options::existing(existing, Existing::Merge)?;
        // SAFETY: the caller's promise.
        let tensors = unsafe { named(names, tensors, count) }?;
        from_torch(&tensors, output, existing).map(drop)
    })
}

/// The caller's tensors, with their names.
///
/// # Safety
/// `names` and `tensors` are NULL or point to `count` texts and handles.
unsafe fn named<'a>(
    names: *const *const c_char,
    tensors: *const *const numpack_tensor,
    count: usize,
) -> Result<Vec<(&'a str, &'a Tensor)>, Error> {
    // SAFETY: the caller's promise.
    let names = unsafe { shell::texts(names, count, "names") }?;
    // SAFETY: the caller's promise.
    let tensors = unsafe { shell::slice(tensors, count, "tensors") }?;
    let pair = |(name, &tensor): (_, &*const numpack_tensor)| {
        // SAFETY: one of the caller's handles.
        Ok((name, &unsafe { handle::borrow(tensor) }?.tensor))
    };
    names.into_iter().zip(tensors).map(pair).collect()
}

pub(crate) fn settings(o: &numpack_save_options) -> WriteOptions {
    let settings = WriteOptions::new().overwrite(o.overwrite != 0);
    if o.alignment == 0 { settings } else { settings.alignment(o.alignment) }
}
