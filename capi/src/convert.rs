//! Conversions between files.

use std::ffi::c_char;

use numpack_interop::{
    Existing, Export, FromTorch, Report, ToTorch, export_file, from_torch_file, to_torch_file,
};

use crate::options::{
    self, Callbacks, numpack_export_options, numpack_from_torch_options, numpack_to_torch_options,
};
use crate::shell::{self, guard};
use crate::structs;

/// Converts a `.pt` file to a NumPack store, streaming; nothing in the file is executed.
///
/// Tensors are named by their dotted paths (`model.encoder.weight`), a bare tensor by the file's
/// stem; all else of the object is kept beside them. The change is one commit: on failure,
/// cancellation or a crash the output is as it was before.
///
/// `input` and `output` are paths. `options` may be NULL. `tensors` and `bytes`, both may be
/// NULL, take the number of arrays written and their bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_from_torch_file(
    input: *const c_char,
    output: *const c_char,
    options: *const numpack_from_torch_options,
    tensors: *mut u64,
    bytes: *mut u64,
) -> i32 {
    guard(|| {
        // SAFETY: the caller's promise.
        let (input, output) = unsafe { shell::paths(input, output) }?;
        // SAFETY: the caller's promise.
        let o = unsafe { structs::read_or_zero(options) }?;
        options::reserved(o.reserved)?;
        let mut settings = FromTorch::new()
            .existing(options::existing(o.existing, Existing::Merge)?)
            .crc(options::crc(o.crc)?)
            .keep_objects(o.keep_objects != 0)
            .compact_views(o.compact_views != 0);
        // SAFETY: the caller's promise.
        if let Some(key) = unsafe { shell::optional(o.key, "key") }? {
            settings = settings.key(key);
        }
        if o.chunk_size != 0 {
            settings = settings.chunk_size(o.chunk_size);
        }
        let mut callbacks = Callbacks { progress: o.progress, warning: o.warning, user: o.user };
        let report = from_torch_file(input, output, &settings, &mut callbacks)?;
        // SAFETY: the caller's promise.
        unsafe { hand_over(&report, &callbacks, tensors, bytes) };
        Ok(())
    })
}

/// Converts a NumPack store to a `.pt` file, streaming.
///
/// A store that came from a checkpoint gives an equal object back, which torch loads with
/// `weights_only=True` if it could the first; any other gives a dict of its arrays, which it can.
/// The file appears whole or not at all.
///
/// `input` and `output` are paths. `options` may be NULL. `tensors` and `bytes`, both may be
/// NULL, take the number of storages written and their bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_to_torch_file(
    input: *const c_char,
    output: *const c_char,
    options: *const numpack_to_torch_options,
    tensors: *mut u64,
    bytes: *mut u64,
) -> i32 {
    guard(|| {
        // SAFETY: the caller's promise.
        let (input, output) = unsafe { shell::paths(input, output) }?;
        // SAFETY: the caller's promise.
        let o = unsafe { structs::read_or_zero(options) }?;
        options::reserved(o.reserved)?;
        let mut settings =
            ToTorch::new().existing(options::existing(o.existing, Existing::Replace)?);
        // SAFETY: the caller's promise.
        let names = unsafe { shell::texts(o.array_names, o.array_count, "array_names") }?;
        if !o.array_names.is_null() {
            settings = settings.array_names(names);
        }
        if o.chunk_size != 0 {
            settings = settings.chunk_size(o.chunk_size);
        }
        if o.alignment != 0 {
            settings = settings.alignment(o.alignment);
        }
        let mut callbacks = Callbacks { progress: o.progress, warning: o.warning, user: o.user };
        let report = to_torch_file(input, output, &settings, &mut callbacks)?;
        // SAFETY: the caller's promise.
        unsafe { hand_over(&report, &callbacks, tensors, bytes) };
        Ok(())
    })
}

/// Converts any file with tensors to a `.safetensors`, `.npy` or `.npz` file, which the suffix of
/// `output` chooses; streaming. Tensors go by their dotted names, a bare one by the stem of the
/// input's name. Values that are no tensors are left out, with a warning. The file appears whole or
/// not at all.
///
/// `input` and `output` are paths. `options` may be NULL. `tensors` and `bytes`, both may be NULL,
/// take the number of tensors written and their bytes. Errors: `NUMPACK_UNSUPPORTED` for what such a
/// file cannot hold: an element type it lacks, and, without `copy_shared`, tensors that share bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_export_file(
    input: *const c_char,
    output: *const c_char,
    options: *const numpack_export_options,
    tensors: *mut u64,
    bytes: *mut u64,
) -> i32 {
    guard(|| {
        // SAFETY: the caller's promise.
        let (input, output) = unsafe { shell::paths(input, output) }?;
        // SAFETY: the caller's promise.
        let o = unsafe { structs::read_or_zero(options) }?;
        let mut settings = Export::new()
            .existing(options::existing(o.existing, Existing::Replace)?)
            .crc(options::crc(o.crc)?)
            .copy_shared(o.copy_shared != 0);
        // SAFETY: the caller's promise.
        if let Some(key) = unsafe { shell::optional(o.key, "key") }? {
            settings = settings.key(key);
        }
        // SAFETY: the caller's promise.
        let names = unsafe { shell::texts(o.array_names, o.array_count, "array_names") }?;
        if !o.array_names.is_null() {
            settings = settings.array_names(names);
        }
        if o.chunk_size != 0 {
            settings = settings.chunk_size(o.chunk_size);
        }
        let mut callbacks = Callbacks { progress: o.progress, warning: o.warning, user: o.user };
        let report = export_file(input, output, &settings, &mut callbacks)?;
        // SAFETY: the caller's promise.
        unsafe { hand_over(&report, &callbacks, tensors, bytes) };
        Ok(())
    })
}

/// Tells the caller how a conversion that succeeded went.
///
/// # Safety
/// `tensors` and `bytes` are NULL or point to writable memory.
unsafe fn hand_over(report: &Report, callbacks: &Callbacks, tensors: *mut u64, bytes: *mut u64) {
    callbacks.warn(&report.warnings);
    // SAFETY: the caller's promise.
    unsafe { shell::put(tensors, report.tensors as u64) };
    // SAFETY: the caller's promise.
    unsafe { shell::put(bytes, report.bytes) };
}
