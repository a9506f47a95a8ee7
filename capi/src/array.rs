//! Reading one array.

use std::ffi::{c_char, c_void};
use std::sync::Mutex;

use numpack_format::{Array, Map};

use crate::handle::{self, Handle};
use crate::list::{Info, numpack_array_info};
use crate::shell::{self, guard};
use crate::store::numpack_store;
use crate::view::{self, numpack_rows};

/// An array, open for reading. It keeps its rows when the store is changed or its handle freed, but
/// for one thing: rows that are replaced are replaced here too, all those of one commit at once.
#[allow(non_camel_case_types, reason = "the name C programs type")]
pub struct numpack_array {
    pub(crate) array: Array,
    info: Info,
    /// What has been mapped stays so as long as the handle lives.
    pub(crate) map: Mutex<Option<Map>>,
}

impl Handle for numpack_array {
    const NAME: &str = "array";
}

impl numpack_array {
    pub(crate) fn new(array: Array) -> numpack_array {
        let info = Info::new(array.info());
        numpack_array { array, info, map: Mutex::new(None) }
    }
}

/// Opens an array of a store as it is now; none of its rows is read. The caller owns the handle;
/// `numpack_array_free` gives it back. It has the array's file open.
///
/// Errors: `NUMPACK_NOT_FOUND`, and `NUMPACK_FORMAT` if a file of the array is damaged.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_array_open(
    store: *const numpack_store,
    name: *const c_char,
    array: *mut *mut numpack_array,
) -> i32 {
    guard(|| {
        // SAFETY: the caller's promise.
        let store = unsafe { handle::borrow(store) }?;
        // SAFETY: the caller's promise.
        let name = unsafe { shell::required(name, "name") }?;
        handle::wanted(array)?;
        let opened = store.store.array(name)?;
        // SAFETY: not NULL; the caller vouches for the memory.
        unsafe { handle::give(array, numpack_array::new(opened)) };
        Ok(())
    })
}

/// Shares an array: it comes back, and is to be freed once more. NULL is fine.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_array_retain(array: *const numpack_array) -> *mut numpack_array {
    // SAFETY: the caller's promise.
    unsafe { handle::retain(array) }
}

/// Gives an array back, and what it was asked for. NULL is fine.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_array_free(array: *mut numpack_array) {
    // SAFETY: the caller's promise.
    unsafe { handle::free(array) };
}

/// Says what there is of an array. What `info` points to lives as long as the array.
///
/// Errors: `NUMPACK_PARAMETER` for a wrong `info->struct_size`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_array_get_info(
    array: *const numpack_array,
    info: *mut numpack_array_info,
) -> i32 {
    guard(|| {
        // SAFETY: the caller's promise.
        let array = unsafe { handle::borrow(array) }?;
        // SAFETY: the caller's promise.
        unsafe { array.info.put(info) }
    })
}

/// Runs a reading into the caller's buffer.
///
/// # Safety
/// As for the functions of C.
unsafe fn read_by(
    array: *const numpack_array,
    buffer: *mut c_void,
    size: usize,
    read: impl FnOnce(&Array, &mut [u8]) -> Result<(), numpack_interop::Error>,
) -> i32 {
    guard(|| {
        // SAFETY: the caller's promise.
        let array = unsafe { handle::borrow(array) }?;
        // SAFETY: the caller's promise.
        let out = unsafe { shell::buffer(buffer, size) }?;
        read(&array.array, out)
    })
}

/// Reads a whole array into `buffer`, whose `size` must be `numpack_array_info.nbytes`: in C order,
/// little-endian, without dropped rows.
///
/// Errors of this and the following: `NUMPACK_PARAMETER` for a buffer of another size, or rows that
/// are not there; `NUMPACK_IO`; `NUMPACK_FORMAT`. After an error the buffer may be filled in part.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_array_read(
    array: *const numpack_array,
    buffer: *mut c_void,
    size: usize,
) -> i32 {
    // SAFETY: the caller's promise.
    unsafe { read_by(array, buffer, size, |a, out| Ok(a.read_into(out)?)) }
}

/// Reads `count` rows from row `start` on. `size` must be `count` times
/// `numpack_array_info.row_size`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_array_read_rows(
    array: *const numpack_array,
    start: u64,
    count: u64,
    buffer: *mut c_void,
    size: usize,
) -> i32 {
    let read = |a: &Array, out: &mut [u8]| Ok(a.read_rows_into(shell::range(start, count)?, out)?);
    // SAFETY: the caller's promise.
    unsafe { read_by(array, buffer, size, read) }
}

/// Reads any `size` bytes, from byte `offset` of what `numpack_array_read` gives: for a stream.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_array_read_bytes(
    array: *const numpack_array,
    offset: u64,
    buffer: *mut c_void,
    size: usize,
) -> i32 {
    // SAFETY: the caller's promise.
    unsafe { read_by(array, buffer, size, |a, out| Ok(a.read_bytes_at(offset, out)?)) }
}

/// Reads the chosen rows, one after another in the order of the choice. `size` must be
/// `numpack_rows_count` times `numpack_array_info.row_size`.
///
/// For many scattered small rows, `numpack_mapped_rows_gather` is faster.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_array_gather(
    array: *const numpack_array,
    rows: *const numpack_rows,
    buffer: *mut c_void,
    size: usize,
) -> i32 {
    let read = |a: &Array, out: &mut [u8]| {
        // SAFETY: the caller's promise.
        let rows = unsafe { view::rows(rows) }?;
        Ok(a.gather_into(&rows.rows(), out)?)
    };
    // SAFETY: the caller's promise.
    unsafe { read_by(array, buffer, size, read) }
}
