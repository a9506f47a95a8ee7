//! What Python calls when a capsule with a tensor goes.
//!
//! Written in Python, such a destructor runs while an exception may be on its way, and replaces it
//! by a `SystemError`; this one calls three functions of Python's that touch no exception.

use std::ffi::{CStr, c_char, c_int, c_void};

use super::abi::{DLManagedTensor, DLManagedTensorVersioned};

type IsValid = unsafe extern "C" fn(*mut c_void, *const c_char) -> c_int;
type GetPointer = unsafe extern "C" fn(*mut c_void, *const c_char) -> *mut c_void;

/// What a capsule is called as long as nobody has taken its tensor.
const VERSIONED: &CStr = c"dltensor_versioned";
const LEGACY: &CStr = c"dltensor";

/// The destructor of a `PyCapsule` named `dltensor_versioned` or `dltensor`: it calls the tensor's
/// deleter if nobody took it. Outside a process that runs Python it does nothing.
///
/// # Safety
/// Called by Python, with the lock it holds then, on a capsule whose pointer is such a struct.
pub unsafe extern "C" fn capsule_destructor(capsule: *mut c_void) {
    let Some((is_valid, get_pointer)) = python() else { return };
    // SAFETY: Python's own function, on Python's own object; it sets no exception.
    if unsafe { is_valid(capsule, VERSIONED.as_ptr()) } != 0 {
        // SAFETY: as above; the capsule has been found valid.
        let at = unsafe { get_pointer(capsule, VERSIONED.as_ptr()) };
        let managed = at.cast::<DLManagedTensorVersioned>();
        // SAFETY: the pointer in a capsule of this name is such a struct.
        if let Some(deleter) = unsafe { managed.as_ref() }.and_then(|m| m.deleter) {
            // SAFETY: nobody took it, else the capsule would have another name.
            unsafe { deleter(managed) };
        }
        return;
    }
    // SAFETY: as above.
    if unsafe { is_valid(capsule, LEGACY.as_ptr()) } != 0 {
        // SAFETY: as above; the capsule has been found valid.
        let at = unsafe { get_pointer(capsule, LEGACY.as_ptr()) };
        let managed = at.cast::<DLManagedTensor>();
        // SAFETY: the pointer in a capsule of this name is such a struct.
        if let Some(deleter) = unsafe { managed.as_ref() }.and_then(|m| m.deleter) {
            // SAFETY: nobody took it, else the capsule would have another name.
            unsafe { deleter(managed) };
        }
    }
}

/// Python's functions, if this process runs Python.
#[cfg(unix)]
fn python() -> Option<(IsValid, GetPointer)> {
    let process = libloading::os::unix::Library::this();
    // SAFETY: the signature is the one in Python's C API reference.
    let is_valid = unsafe { process.get::<IsValid>(b"PyCapsule_IsValid\0") }.ok()?;
    // SAFETY: as above.
    let get_pointer = unsafe { process.get::<GetPointer>(b"PyCapsule_GetPointer\0") }.ok()?;
    Some((*is_valid, *get_pointer))
}

#[cfg(not(unix))]
fn python() -> Option<(IsValid, GetPointer)> {
    None
}
