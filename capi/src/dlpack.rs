//! DLPack: tensors to and from other libraries, without a copy.

use std::ffi::c_void;

use numpack_interop::dlpack::{self, Copied, DLManagedTensor, DLManagedTensorVersioned};

use crate::handle;
use crate::shell::guard;
use crate::tensor::{self, numpack_tensor};

/// Gives a tensor to another library as a `DLManagedTensorVersioned` of DLPack 1.1. Whoever takes it
/// calls its `deleter` once, from any thread; the memory stays until then. With `copied` not 0 it is
/// copied first. Strides are always written, read-only memory is flagged.
///
/// Errors: `NUMPACK_SHARING` for a tensor on a device, or one that requires grad;
/// `NUMPACK_OUT_OF_MEMORY` and `NUMPACK_IN_USE` for a copy.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_tensor_to_dlpack(
    tensor: *const numpack_tensor,
    copied: i32,
    managed: *mut *mut DLManagedTensorVersioned,
) -> i32 {
    guard(|| {
        // SAFETY: the caller's promise.
        let t = &unsafe { handle::borrow(tensor) }?.tensor;
        dlpack_output(managed)?;
        let given = dlpack::to_dlpack(t, copying(copied))?;
        // SAFETY: not NULL; the caller vouches for the memory.
        unsafe { managed.write(given) };
        Ok(())
    })
}

/// The same in the struct from before version 1, `DLManagedTensor`. Errors: as
/// `numpack_tensor_to_dlpack`, and `NUMPACK_SHARING` for read-only memory, which that struct cannot
/// say.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_tensor_to_dlpack_legacy(
    tensor: *const numpack_tensor,
    copied: i32,
    managed: *mut *mut DLManagedTensor,
) -> i32 {
    guard(|| {
        // SAFETY: the caller's promise.
        let t = &unsafe { handle::borrow(tensor) }?.tensor;
        dlpack_output(managed)?;
        let given = dlpack::to_dlpack_legacy(t, copying(copied))?;
        // SAFETY: not NULL; the caller vouches for the memory.
        unsafe { managed.write(given) };
        Ok(())
    })
}

/// Takes a tensor that another library gives. Its `deleter` is called once, when the last tensor
/// that shows the memory is freed, on that thread. Where this fails nothing is taken, and the caller
/// still has to call it.
///
/// Errors: `NUMPACK_SHARING` for memory of a device or another major version; `NUMPACK_TYPE` for a
/// type no tensor in memory has; `NUMPACK_PARAMETER` for what cannot be.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_tensor_from_dlpack(
    managed: *mut DLManagedTensorVersioned,
    tensor: *mut *mut numpack_tensor,
) -> i32 {
    guard(|| {
        handle::wanted(tensor)?;
        // SAFETY: the caller's promise.
        let new = unsafe { dlpack::from_dlpack(managed) }?;
        // SAFETY: not NULL; the caller vouches for the memory.
        unsafe { tensor::give(tensor, new) };
        Ok(())
    })
}

/// The same of a `DLManagedTensor`, the struct from before version 1. Its memory counts as writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_tensor_from_dlpack_legacy(
    managed: *mut DLManagedTensor,
    tensor: *mut *mut numpack_tensor,
) -> i32 {
    guard(|| {
        handle::wanted(tensor)?;
        // SAFETY: the caller's promise.
        let new = unsafe { dlpack::from_dlpack_legacy(managed) }?;
        // SAFETY: not NULL; the caller vouches for the memory.
        unsafe { tensor::give(tensor, new) };
        Ok(())
    })
}

/// A destructor for `PyCapsule_New`, of a capsule named `dltensor_versioned` or `dltensor`: calls
/// the tensor's deleter if nobody took it, with an exception that is on its way put aside meanwhile.
/// Called by Python only. A destructor written in Python would replace the exception.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_dlpack_capsule_destructor(capsule: *mut c_void) {
    // SAFETY: Python calls it, on such a capsule.
    unsafe { dlpack::capsule_destructor(capsule) };
}

fn copying(copied: i32) -> Copied {
    if copied == 0 { Copied::No } else { Copied::Yes }
}

/// Refuses to give a tensor away that nobody would get.
fn dlpack_output<M>(out: *mut *mut M) -> Result<(), numpack_interop::Error> {
    if out.is_null() {
        let problem = "there is no place for the DLPack tensor: its output is NULL".to_owned();
        return Err(crate::shell::parameter(problem));
    }
    Ok(())
}
