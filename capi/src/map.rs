//! Arrays as memory, for callers that know who else uses the store.

use std::ffi::c_void;
use std::ptr;
use std::sync::PoisonError;

use numpack_format::MappedRows;

use crate::array::numpack_array;
use crate::handle::{self, Handle};
use crate::shell::{self, guard, parameter};

/// The rows of an array as memory, also where it is in segments or has dropped rows.
#[allow(non_camel_case_types, reason = "the name C programs type")]
pub struct numpack_mapped_rows {
    rows: MappedRows,
}

impl Handle for numpack_mapped_rows {
    const NAME: &str = "mapped rows";
}

/// Maps a whole array into memory: `data` takes where it is, `nbytes` how long. It is read from the
/// disk as it is touched, and must not be written to. It stays until the array is freed; `data` is
/// NULL for an array without bytes.
///
/// The caller answers for the file: while it is mapped, nobody may change or shorten it. This
/// library replaces rows in place, which then changes them under the reader, in parts; for all else
/// it gives a changed array a new file or adds behind the end. The public numpack package also
/// shortens files; touching what is cut off ends the process by a signal, `SIGBUS`. Where others
/// write, use `numpack_array_read`.
///
/// Errors: `NUMPACK_PARAMETER` for an array in segments, or with dropped rows: it is not one piece
/// of a file. `numpack_store_compact` makes it one; `numpack_array_map_rows` maps it as it is. Also
/// while a committed change of rows waits to be carried out; the next writer does it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_array_map(
    array: *const numpack_array,
    data: *mut *const c_void,
    nbytes: *mut usize,
) -> i32 {
    guard(|| {
        // SAFETY: the caller's promise.
        let array = unsafe { handle::borrow(array) }?;
        let mut kept = array.map.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.is_none() {
            // SAFETY: the caller answers for the file, as the header says.
            *kept = Some(unsafe { array.array.map() }?);
        }
        let bytes = kept.as_deref().unwrap_or_default();
        let start = if bytes.is_empty() { ptr::null() } else { bytes.as_ptr().cast() };
        // SAFETY: the caller's promise.
        unsafe { shell::put(data, start) };
        // SAFETY: the caller's promise.
        unsafe { shell::put(nbytes, bytes.len()) };
        Ok(())
    })
}

/// Maps the rows of an array, to look at single ones or to gather many. The caller owns the handle,
/// which outlives the array and the store; `numpack_mapped_rows_free` gives it back.
///
/// The caller answers for the files as with `numpack_array_map`. Errors: `NUMPACK_PARAMETER` while
/// a committed change of rows waits to be carried out.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_array_map_rows(
    array: *const numpack_array,
    mapped: *mut *mut numpack_mapped_rows,
) -> i32 {
    guard(|| {
        // SAFETY: the caller's promise.
        let array = unsafe { handle::borrow(array) }?;
        handle::wanted(mapped)?;
        // SAFETY: the caller answers for the files, as the header says.
        let rows = unsafe { array.array.map_rows() }?;
        // SAFETY: not NULL; the caller vouches for the memory.
        unsafe { handle::give(mapped, numpack_mapped_rows { rows }) };
        Ok(())
    })
}

/// Shares mapped rows: they come back, and are to be freed once more. NULL is fine.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_mapped_rows_retain(
    mapped: *const numpack_mapped_rows,
) -> *mut numpack_mapped_rows {
    // SAFETY: the caller's promise.
    unsafe { handle::retain(mapped) }
}

/// Gives mapped rows back, and every pointer to one. NULL is fine.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_mapped_rows_free(mapped: *mut numpack_mapped_rows) {
    // SAFETY: the caller's promise.
    unsafe { handle::free(mapped) };
}

/// Points to one row, from 0, counted without dropped ones: `data` takes where it is, at any
/// address, and `size` how many bytes it has. It stays as long as the handle.
///
/// Errors: `NUMPACK_PARAMETER` for a row that is not there.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_mapped_rows_get(
    mapped: *const numpack_mapped_rows,
    row: u64,
    data: *mut *const c_void,
    size: *mut usize,
) -> i32 {
    guard(|| {
        // SAFETY: the caller's promise.
        let mapped = unsafe { handle::borrow(mapped) }?;
        let found = mapped.rows.row(row).ok_or_else(|| {
            let count = mapped.rows.rows();
            parameter(format!("row {row} is out of range, the array has {count} rows"))
        })?;
        let start = if found.is_empty() { ptr::null() } else { found.as_ptr().cast() };
        // SAFETY: the caller's promise.
        unsafe { shell::put(data, start) };
        // SAFETY: the caller's promise.
        unsafe { shell::put(size, found.len()) };
        Ok(())
    })
}

/// Copies `count` rows, in the order and as often as they are named, one after another into
/// `buffer`, whose `size` must be `count` times `numpack_array_info.row_size`. A negative number
/// counts from the end.
///
/// Errors: `NUMPACK_PARAMETER` for a row that is not there, or a buffer of another size; nothing is
/// written then.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_mapped_rows_gather(
    mapped: *const numpack_mapped_rows,
    rows: *const i64,
    count: usize,
    buffer: *mut c_void,
    size: usize,
) -> i32 {
    guard(|| {
        // SAFETY: the caller's promise.
        let mapped = unsafe { handle::borrow(mapped) }?;
        // SAFETY: the caller's promise.
        let rows = unsafe { shell::slice(rows, count, "rows") }?;
        // SAFETY: the caller's promise.
        let out = unsafe { shell::buffer(buffer, size) }?;
        Ok(mapped.rows.gather_into(rows, out)?)
    })
}
