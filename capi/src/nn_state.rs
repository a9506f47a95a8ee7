//! Tensors by name: what modules consist of.

use std::ffi::{CString, c_char};
use std::sync::Arc;

use numpack_interop::Error;
use numpack_nn::Tensor;

use crate::handle::{self, Handle};
use crate::nn_tensor::numpack_nn_tensor;
use crate::shell::{self, guard, parameter};

/// Tensors with names, in memory that C can be pointed to.
pub(crate) struct Named(Vec<(CString, Arc<numpack_nn_tensor>)>);

impl Named {
    pub(crate) fn new(all: Vec<(String, Tensor)>) -> Named {
        let entry =
            |(name, t): (String, _)| (shell::c_text(&name), Arc::new(numpack_nn_tensor::new(t)));
        Named(all.into_iter().map(entry).collect())
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Points the caller to one of them.
    ///
    /// # Safety
    /// `name` and `tensor` are NULL or writable.
    pub(crate) unsafe fn put(
        &self,
        index: usize,
        name: *mut *const c_char,
        tensor: *mut *const numpack_nn_tensor,
    ) -> Result<(), Error> {
        let found = self.0.get(index).ok_or_else(|| {
            parameter(format!("index {index} is out of range, there are {}", self.len()))
        })?;
        // SAFETY: the caller's promise.
        unsafe { shell::put(name, found.0.as_ptr()) };
        // SAFETY: the caller's promise.
        unsafe { shell::put(tensor, Arc::as_ptr(&found.1)) };
        Ok(())
    }
}

/// The parameters and buffers of a module by their dotted names, as `state_dict` has them in torch.
#[allow(non_camel_case_types, reason = "the name C programs type")]
pub struct numpack_nn_state {
    pub(crate) named: Named,
}

impl Handle for numpack_nn_state {
    const NAME: &str = "state";
}

/// How many tensors there are; 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_nn_state_count(state: *const numpack_nn_state) -> usize {
    // SAFETY: the caller's promise.
    unsafe { state.as_ref() }.map_or(0, |s| s.named.len())
}

/// The name and the tensor at `index`, from 0, both borrowed from the state: to keep the tensor,
/// `numpack_nn_tensor_retain` it. Errors: `NUMPACK_PARAMETER` for an index past the last one.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_nn_state_get(
    state: *const numpack_nn_state,
    index: usize,
    name: *mut *const c_char,
    tensor: *mut *const numpack_nn_tensor,
) -> i32 {
    guard(|| {
        // SAFETY: the caller's promise.
        let state = unsafe { handle::borrow(state) }?;
        // SAFETY: the caller's promise.
        unsafe { state.named.put(index, name, tensor) }
    })
}

/// Shares a state: it comes back, and is to be freed once more. NULL is fine.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_nn_state_retain(
    state: *const numpack_nn_state,
) -> *mut numpack_nn_state {
    // SAFETY: the caller's promise.
    unsafe { handle::retain(state) }
}

/// Gives a state back, and what it was asked for. NULL is fine.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_nn_state_free(state: *mut numpack_nn_state) {
    // SAFETY: the caller's promise.
    unsafe { handle::free(state) };
}
