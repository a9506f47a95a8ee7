//! Handles: pointers to what the caller holds and cannot look into.
//!
//! A handle that many may use at once is counted; one that a single caller changes is not, and is
//! a box.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use numpack_interop::Error;

use crate::shell::parameter;

/// What can be handed out as a handle: C may use it from any thread, and from several at once.
pub(crate) trait Handle: Send + Sync {
    /// What messages call it.
    const NAME: &str;
}

/// Refuses to make a handle that nobody would get.
pub(crate) fn wanted<T: Handle>(out: *mut *mut T) -> Result<(), Error> {
    if out.is_null() {
        return Err(parameter(format!(
            "there is no place for the {}: its output is NULL",
            T::NAME
        )));
    }
    Ok(())
}

/// Gives the caller a handle, which it owns.
///
/// # Safety
/// `out` points to writable memory for a pointer.
pub(crate) unsafe fn give<T: Handle>(out: *mut *mut T, value: T) {
    let handle = Arc::into_raw(Arc::new(value)).cast_mut();
    // SAFETY: the caller's promise.
    unsafe { out.write(handle) };
}

/// What is behind a handle.
///
/// # Safety
/// `handle` is NULL or a handle that is not freed during `'a`.
pub(crate) unsafe fn borrow<'a, T: Handle>(handle: *const T) -> Result<&'a T, Error> {
    // SAFETY: the caller's promise: the value lives, and nobody has it mutably.
    let value = unsafe { handle.as_ref() };
    value.ok_or_else(|| parameter(format!("the {} is NULL", T::NAME)))
}

/// A share of what is behind a handle.
///
/// # Safety
/// As for [`retain`].
pub(crate) unsafe fn share<T: Handle>(handle: *const T) -> Result<Arc<T>, Error> {
    // SAFETY: the caller's promise.
    unsafe { borrow(handle) }?;
    // SAFETY: the caller's promise; it is not NULL, as was found.
    unsafe { Arc::increment_strong_count(handle) };
    // SAFETY: from `Arc::into_raw`, and counted for this just now.
    Ok(unsafe { Arc::from_raw(handle) })
}

/// Counts one owner more.
///
/// # Safety
/// `handle` is NULL or a handle that [`give`] made and that is not freed.
pub(crate) unsafe fn retain<T: Handle>(handle: *const T) -> *mut T {
    if !handle.is_null() {
        // SAFETY: from `Arc::into_raw`, and still owned by somebody.
        unsafe { Arc::increment_strong_count(handle) };
    }
    handle.cast_mut()
}

/// Counts one owner less; the last one's goes.
///
/// # Safety
/// As for [`retain`]; the caller gives up one ownership.
pub(crate) unsafe fn free<T: Handle>(handle: *mut T) {
    if handle.is_null() {
        return;
    }
    // SAFETY: from `Arc::into_raw`, and the caller gives up its count.
    let owner = unsafe { Arc::from_raw(handle) };
    drop_quietly(owner);
}

/// Drops a value. There is nobody to tell of a panic, and it must not get out.
pub(crate) fn drop_quietly<T>(value: T) {
    let _ = catch_unwind(AssertUnwindSafe(|| drop(value)));
}
