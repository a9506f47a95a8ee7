//! The rows of an array as memory that can be written.

use std::ffi::{c_char, c_void};
use std::ptr;

use numpack_format::RowsMut;

use crate::handle::{self, Handle};
use crate::shell::{self, guard, parameter};
use crate::store::numpack_store;

/// The rows of an array as memory to work in. It has the store locked. One thread at a time may
/// use it.
#[allow(non_camel_case_types, reason = "the name C programs type")]
pub struct numpack_rows_mut {
    rows: RowsMut,
}

impl Handle for numpack_rows_mut {
    const NAME: &str = "rows";
}

/// Maps a whole array into memory that can be written: work in place, without a copy. The caller
/// owns the handle; `numpack_rows_mut_free` gives it back, and until then the store is locked.
///
/// What is written is in the file at once, for every reader, and on the disk after
/// `numpack_rows_mut_flush`. It is no commit: a crash leaves some of it, and readers see it
/// half-done. The caller answers for the file as with `numpack_array_map`.
///
/// Errors: those of every change (`numpack_store_save`), and `NUMPACK_PARAMETER` for an array with
/// dropped rows, in segments or of a shared file: `numpack_store_compact` first.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_store_map_rows_mut(
    store: *const numpack_store,
    name: *const c_char,
    rows: *mut *mut numpack_rows_mut,
) -> i32 {
    guard(|| {
        // SAFETY: the caller's promise.
        let store = unsafe { handle::borrow(store) }?;
        // SAFETY: the caller's promise.
        let name = unsafe { shell::required(name, "name") }?;
        handle::wanted(rows)?;
        // SAFETY: the caller answers for the file, as the header says.
        let mapped = unsafe { store.store.map_rows_mut(name) }?;
        let handle = Box::into_raw(Box::new(numpack_rows_mut { rows: mapped }));
        // SAFETY: not NULL; the caller vouches for the memory.
        unsafe { rows.write(handle) };
        Ok(())
    })
}

/// Points to the memory: `data` takes where it is, `nbytes` how long, C order, little-endian. It
/// stays until the handle is freed; `data` is NULL for an array without bytes.
///
/// Errors: `NUMPACK_PARAMETER`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_rows_mut_get(
    rows: *mut numpack_rows_mut,
    data: *mut *mut c_void,
    nbytes: *mut usize,
) -> i32 {
    guard(|| {
        // SAFETY: the caller's promise: nobody else uses the handle now.
        let rows = unsafe { rows.as_mut() }.ok_or_else(missing)?;
        let bytes: &mut [u8] = &mut rows.rows;
        let len = bytes.len();
        let start = if len == 0 { ptr::null_mut() } else { bytes.as_mut_ptr().cast() };
        // SAFETY: the caller's promise.
        unsafe { shell::put(data, start) };
        // SAFETY: the caller's promise.
        unsafe { shell::put(nbytes, len) };
        Ok(())
    })
}

/// Makes what was written so far durable.
///
/// Errors: `NUMPACK_IO`; what was written since the last flush may then be lost.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_rows_mut_flush(rows: *mut numpack_rows_mut) -> i32 {
    guard(|| {
        // SAFETY: the caller's promise: nobody else uses the handle now.
        let rows = unsafe { rows.as_mut() }.ok_or_else(missing)?;
        Ok(rows.rows.flush()?)
    })
}

/// Gives the memory back, and unlocks the store. What was not flushed reaches the disk when the
/// system sees fit. NULL is fine.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_rows_mut_free(rows: *mut numpack_rows_mut) {
    if rows.is_null() {
        return;
    }
    // SAFETY: from `Box::into_raw`, and the caller gives it up.
    let owner = unsafe { Box::from_raw(rows) };
    handle::drop_quietly(owner);
}

fn missing() -> numpack_interop::Error {
    parameter(format!("the {} is NULL", numpack_rows_mut::NAME))
}
