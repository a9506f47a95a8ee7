//! What Python calls when a capsule with a tensor goes.
//!
//! That may be while an exception is on its way, and what the deleter calls may be Python again,
//! which would trip over it: a destructor written in Python turns it into a `SystemError`. This one
//! puts it aside meanwhile.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr;

use super::abi::{DLManagedTensor, DLManagedTensorVersioned};

type IsValid = unsafe extern "C" fn(*mut c_void, *const c_char) -> c_int;
type GetPointer = unsafe extern "C" fn(*mut c_void, *const c_char) -> *mut c_void;
type Fetch = unsafe extern "C" fn(*mut *mut c_void, *mut *mut c_void, *mut *mut c_void);
type Restore = unsafe extern "C" fn(*mut c_void, *mut c_void, *mut c_void);

/// What a capsule is called as long as nobody has taken its tensor.
const VERSIONED: &CStr = c"dltensor_versioned";
const LEGACY: &CStr = c"dltensor";

/// The destructor of a `PyCapsule` named `dltensor_versioned` or `dltensor`: it calls the tensor's
/// deleter if nobody took it. Outside a process that runs Python it does nothing.
///
/// # Safety
/// Called by Python, with the lock it holds then, on a capsule whose pointer is such a struct.
pub unsafe extern "C" fn capsule_destructor(capsule: *mut c_void) {
    let Some(python) = Python::of_process() else { return };
    // SAFETY: Python calls this, on its own object.
    if let Some(at) = unsafe { python.held(capsule, VERSIONED) } {
        let managed = at.cast::<DLManagedTensorVersioned>();
        // SAFETY: the pointer in a capsule of this name is such a struct.
        if let Some(deleter) = unsafe { managed.as_ref() }.and_then(|m| m.deleter) {
            // SAFETY: nobody took it, else the capsule would have another name.
            let delete = || unsafe { deleter(managed) };
            // SAFETY: Python calls this, so its lock is held.
            unsafe { python.without_exception(delete) };
        }
        return;
    }
    // SAFETY: as above.
    if let Some(at) = unsafe { python.held(capsule, LEGACY) } {
        let managed = at.cast::<DLManagedTensor>();
        // SAFETY: the pointer in a capsule of this name is such a struct.
        if let Some(deleter) = unsafe { managed.as_ref() }.and_then(|m| m.deleter) {
            // SAFETY: nobody took it, else the capsule would have another name.
            let delete = || unsafe { deleter(managed) };
            // SAFETY: Python calls this, so its lock is held.
            unsafe { python.without_exception(delete) };
        }
    }
}

/// Functions of Python's C interface, all of its stable part.
struct Python {
    is_valid: IsValid,
    get_pointer: GetPointer,
    fetch: Fetch,
    restore: Restore,
}

impl Python {
    /// Those of the Python that this process runs, if it runs one.
    #[cfg(unix)]
    fn of_process() -> Option<Python> {
        let process = libloading::os::unix::Library::this();
        // SAFETY: the signature is the one in Python's C API reference.
        let is_valid = unsafe { process.get::<IsValid>(b"PyCapsule_IsValid\0") }.ok()?;
        // SAFETY: as above.
        let get_pointer = unsafe { process.get::<GetPointer>(b"PyCapsule_GetPointer\0") }.ok()?;
        // SAFETY: as above.
        let fetch = unsafe { process.get::<Fetch>(b"PyErr_Fetch\0") }.ok()?;
        // SAFETY: as above.
        let restore = unsafe { process.get::<Restore>(b"PyErr_Restore\0") }.ok()?;
        Some(Python {
            is_valid: *is_valid,
            get_pointer: *get_pointer,
            fetch: *fetch,
            restore: *restore,
        })
    }

    #[cfg(not(unix))]
    fn of_process() -> Option<Python> {
        None
    }

    /// What a capsule of this name holds; `None` if it has another.
    ///
    /// # Safety
    /// Python's lock is held, and `capsule` is an object of Python's.
    unsafe fn held(&self, capsule: *mut c_void, name: &CStr) -> Option<*mut c_void> {
        // SAFETY: Python's own function, on Python's own object; it sets no exception.
        if unsafe { (self.is_valid)(capsule, name.as_ptr()) } == 0 {
            return None;
        }
        // SAFETY: as above; the capsule has been found valid.
        Some(unsafe { (self.get_pointer)(capsule, name.as_ptr()) })
    }

    /// Does something while the exception on its way, if there is one, is out of it.
    ///
    /// # Safety
    /// Python's lock is held.
    unsafe fn without_exception(&self, work: impl FnOnce()) {
        let (mut kind, mut value, mut trace) = (ptr::null_mut(), ptr::null_mut(), ptr::null_mut());
        // SAFETY: three places for pointers, which are ours until they are restored.
        unsafe { (self.fetch)(&raw mut kind, &raw mut value, &raw mut trace) };
        work();
        // SAFETY: what was fetched, once.
        unsafe { (self.restore)(kind, value, trace) };
    }
}
