//! What every function does around its work.

use std::ffi::{CStr, CString, c_char, c_void};
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;

use numpack_interop::Error;

use crate::status::{self, NUMPACK_OK, NUMPACK_PANIC};

/// Runs the work of a function, and turns its end into a status and a message.
pub(crate) fn guard(work: impl FnOnce() -> Result<(), Error>) -> i32 {
    let work = || {
        #[cfg(test)]
        crate::panics::strike();
        work()
    };
    // What the work borrowed is not looked at again after a panic.
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(())) => {
            status::set_last(String::new(), 0);
            NUMPACK_OK
        }
        Ok(Err(e)) => {
            status::set_last(e.to_string(), status::os_error(&e));
            status::code(&e)
        }
        Err(panic) => {
            let what = panic
                .downcast_ref::<&str>()
                .copied()
                .or_else(|| panic.downcast_ref::<String>().map(String::as_str));
            let what = what.unwrap_or("no message");
            status::set_last(format!("a fault of libnumpack: {what}; please report it"), 0);
            NUMPACK_PANIC
        }
    }
}

/// Text that must be there.
///
/// # Safety
/// `text` is NULL or points to bytes that end in NUL and stay unchanged for `'a`.
pub(crate) unsafe fn required<'a>(text: *const c_char, what: &str) -> Result<&'a str, Error> {
    // SAFETY: the caller's promise is the same.
    match unsafe { optional(text, what) }? {
        Some(text) => Ok(text),
        None => Err(Error::Parameter(format!("{what} is NULL"))),
    }
}

/// Text that may be NULL.
///
/// # Safety
/// As for [`required`].
pub(crate) unsafe fn optional<'a>(
    text: *const c_char,
    what: &str,
) -> Result<Option<&'a str>, Error> {
    if text.is_null() {
        return Ok(None);
    }
    // SAFETY: not NULL, and the caller vouches for the NUL and the lifetime.
    let text = unsafe { CStr::from_ptr(text) };
    let text = text.to_str().map_err(|e| {
        Error::Parameter(format!("{what} is not UTF-8 from byte {} on", e.valid_up_to()))
    })?;
    Ok(Some(text))
}

/// A path, which must be there.
///
/// # Safety
/// As for [`required`].
pub(crate) unsafe fn path(text: *const c_char, what: &str) -> Result<PathBuf, Error> {
    // SAFETY: the caller's promise is the same.
    unsafe { required(text, what) }.map(PathBuf::from)
}

/// The paths of a conversion, which must be there.
///
/// # Safety
/// As for [`required`], for both.
pub(crate) unsafe fn paths(
    input: *const c_char,
    output: *const c_char,
) -> Result<(PathBuf, PathBuf), Error> {
    // SAFETY: the caller's promise is the same.
    let input = unsafe { path(input, "input") }?;
    // SAFETY: the caller's promise is the same.
    let output = unsafe { path(output, "output") }?;
    Ok((input, output))
}

/// An array of texts, each of which must be there.
///
/// # Safety
/// `texts` is NULL or points to `count` pointers, each as for [`required`].
pub(crate) unsafe fn texts<'a>(
    texts: *const *const c_char,
    count: usize,
    what: &str,
) -> Result<Vec<&'a str>, Error> {
    // SAFETY: the caller's promise.
    let texts = unsafe { slice(texts, count, what) }?;
    let mut list = Vec::new();
    for (i, &text) in texts.iter().enumerate() {
        // SAFETY: the caller vouches for each text.
        list.push(unsafe { required(text, &format!("{what}[{i}]")) }?);
    }
    Ok(list)
}

/// The caller's numbers.
///
/// # Safety
/// `first` is NULL or points to `count` values that stay unchanged for `'a`, and any bytes are
/// a valid `T`.
pub(crate) unsafe fn slice<'a, T>(
    first: *const T,
    count: usize,
    what: &str,
) -> Result<&'a [T], Error> {
    if count == 0 {
        return Ok(&[]);
    }
    if first.is_null() {
        return Err(parameter(format!("{what} is NULL, and is to have {count} elements")));
    }
    if !first.is_aligned() {
        let size = size_of::<T>();
        return Err(parameter(format!("{what} is not aligned to its elements of {size} bytes")));
    }
    if count > isize::MAX as usize / size_of::<T>() {
        return Err(parameter(format!("{what}: {count} elements do not fit the memory")));
    }
    // SAFETY: not NULL, aligned, no larger than an allocation can be; the caller vouches for the
    // elements and that they stay as they are.
    Ok(unsafe { std::slice::from_raw_parts(first, count) })
}

/// The caller's memory, to be filled.
///
/// # Safety
/// `buffer` is NULL or points to `size` writable bytes that nobody else uses for `'a`.
pub(crate) unsafe fn buffer<'a>(buffer: *mut c_void, size: usize) -> Result<&'a mut [u8], Error> {
    if size == 0 {
        return Ok(&mut []);
    }
    if buffer.is_null() {
        return Err(parameter(format!("buffer is NULL, and is to have {size} bytes")));
    }
    if size > isize::MAX as usize {
        return Err(parameter(format!("a buffer of {size} bytes does not fit the memory")));
    }
    // SAFETY: not NULL, no larger than an allocation can be, and the caller vouches for the bytes.
    // Whatever they are, they are a valid u8: memory that crosses the border to C is initialised as
    // far as Rust can know.
    Ok(unsafe { std::slice::from_raw_parts_mut(buffer.cast(), size) })
}

/// Rows from one on, so many.
pub(crate) fn range(start: u64, count: u64) -> Result<Range<u64>, Error> {
    match start.checked_add(count) {
        Some(end) => Ok(start..end),
        None => Err(parameter(format!("{count} rows from row {start} on exceed 64 bits"))),
    }
}

/// Writes an output that the caller may not want.
///
/// # Safety
/// `out` is NULL or points to writable memory for a `T`.
pub(crate) unsafe fn put<T>(out: *mut T, value: T) {
    if !out.is_null() {
        // SAFETY: not NULL, and the caller vouches for the memory.
        unsafe { out.write(value) };
    }
}

/// Text for the caller. A NUL within, which would end it, is written `\0`.
pub(crate) fn c_text(text: &str) -> CString {
    CString::new(text.replace('\0', "\\0")).unwrap_or_default()
}

/// An argument that cannot be.
pub(crate) fn parameter(problem: String) -> Error {
    Error::Parameter(problem)
}
