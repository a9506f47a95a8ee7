//! What every function does around its work.

use std::ffi::{CStr, c_char};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;

use numpack_interop::Error;

use crate::status::{self, NUMPACK_OK, NUMPACK_PANIC};

/// Runs the work of a function, and turns its end into a status and a message.
pub(crate) fn guard(work: impl FnOnce() -> Result<(), Error>) -> i32 {
    // What the work borrowed is not looked at again after a panic.
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(())) => {
            status::set_last(String::new());
            NUMPACK_OK
        }
        Ok(Err(e)) => {
            status::set_last(e.to_string());
            status::code(&e)
        }
        Err(panic) => {
            let what = panic
                .downcast_ref::<&str>()
                .copied()
                .or_else(|| panic.downcast_ref::<String>().map(String::as_str));
            let what = what.unwrap_or("no message");
            status::set_last(format!("a fault of libnumpack: {what}; please report it"));
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

/// The paths of a conversion, which must be there.
///
/// # Safety
/// As for [`required`], for both.
pub(crate) unsafe fn paths(
    input: *const c_char,
    output: *const c_char,
) -> Result<(PathBuf, PathBuf), Error> {
    // SAFETY: the caller's promise is the same.
    let input = unsafe { required(input, "input") }?;
    // SAFETY: the caller's promise is the same.
    let output = unsafe { required(output, "output") }?;
    Ok((PathBuf::from(input), PathBuf::from(output)))
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
