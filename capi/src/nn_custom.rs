//! Modules and losses that the caller computes.

use std::ffi::{c_char, c_void};
use std::ptr;
use std::sync::{Arc, Mutex, PoisonError};

use numpack_nn::{Error as NnError, Module, Part, Result, Tensor};

use crate::handle;
use crate::nn_module::{self, numpack_nn_module};
use crate::nn_optim::numpack_nn_optimizer;
use crate::nn_step::{self, numpack_nn_step};
use crate::nn_tensor::{borrow, borrow_all, numpack_nn_tensor};
use crate::shell::{self, guard, parameter};
use crate::tensor::{numpack_release_fn, release};

/// Computes what a module gives of `x`, which is borrowed: `result` takes a new handle, which the library
/// takes over. 0: done. Anything else: it failed, `result` is not looked at, and what called for it
/// returns `NUMPACK_CANCELLED`. It is called on the thread that calls for it, and may use the library, but
/// not the step that it is part of.
#[allow(non_camel_case_types, reason = "the name C programs type")]
pub type numpack_nn_forward_fn = Option<
    unsafe extern "C" fn(
        x: *const numpack_nn_tensor,
        result: *mut *mut numpack_nn_tensor,
        user: *mut c_void,
    ) -> i32,
>;

/// Computes a loss, a single number, of what a module gave and what it should have given. As
/// `numpack_nn_forward_fn` in all else.
#[allow(non_camel_case_types, reason = "the name C programs type")]
pub type numpack_nn_loss_fn = Option<
    unsafe extern "C" fn(
        output: *const numpack_nn_tensor,
        target: *const numpack_nn_tensor,
        loss: *mut *mut numpack_nn_tensor,
        user: *mut c_void,
    ) -> i32,
>;

/// What the caller handed in besides a function.
struct User {
    user: *mut c_void,
    release: Mutex<Option<Box<dyn FnOnce() + Send>>>,
}

// SAFETY: only handed to the caller's own functions, which the header says are called on whichever thread
// uses the module or step.
unsafe impl Send for User {}
// SAFETY: as above.
unsafe impl Sync for User {}

impl User {
    fn new(user: *mut c_void, call: numpack_release_fn) -> User {
        User { user, release: Mutex::new(Some(Box::new(release(call, user)))) }
    }
}

impl Drop for User {
    fn drop(&mut self) {
        let release = self.release.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(release) = release {
            release();
        }
    }
}

/// A handle for a function of the caller's, which may retain it.
fn lent(t: &Tensor) -> Arc<numpack_nn_tensor> {
    Arc::new(numpack_nn_tensor::new(t.clone()))
}

/// What a function of the caller's computed.
///
/// # Safety
/// Where `status` is 0, `result` is NULL or a handle whose ownership is given up.
unsafe fn taken(op: &'static str, status: i32, result: *mut numpack_nn_tensor) -> Result<Tensor> {
    if status != 0 {
        return Err(NnError::Cancelled);
    }
    // SAFETY: NULL, or a handle that is not freed yet.
    let Ok(tensor) = (unsafe { borrow(result) }) else {
        let problem = "the function returned 0 and gave no tensor".to_owned();
        return Err(NnError::Parameter {
            op,
            problem,
            advice: "give one, or return another number",
        });
    };
    let tensor = tensor.clone();
    // SAFETY: a handle, whose ownership is ours.
    unsafe { handle::free(result) };
    Ok(tensor)
}

/// A module whose forward is a function of the caller's.
struct Custom {
    named: Vec<(String, Tensor)>,
    forward: unsafe extern "C" fn(
        *const numpack_nn_tensor,
        *mut *mut numpack_nn_tensor,
        *mut c_void,
    ) -> i32,
    user: User,
}

impl Module for Custom {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let x = lent(x);
        let mut result = ptr::null_mut();
        // SAFETY: the caller vouches for its function; the handle lives, and `result` is ours.
        let status = unsafe { (self.forward)(Arc::as_ptr(&x), &raw mut result, self.user.user) };
        // SAFETY: what the function promises of its result.
        unsafe { taken("forward", status, result) }
    }

    fn parts(&self) -> Vec<(String, Part<'_>)> {
        self.named.iter().map(|(name, t)| (name.clone(), Part::Parameter(t))).collect()
    }
}

/// A module whose forward is the caller's function. Its parameters are `count` tensors by these names,
/// which differ: the same tensors, so whoever changes one sees it in both. Optimisers, states, files,
/// sequences and steps take it as any other; a step records what the function computes.
///
/// The function is called on whichever thread uses the module, by several at once if they do; `release`,
/// which may be NULL, once when the module is gone, and not if this fails. The caller owns the module.
///
/// Errors: `NUMPACK_PARAMETER` for names that are equal, and no function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_nn_module_custom(
    names: *const *const c_char,
    tensors: *const *const numpack_nn_tensor,
    count: usize,
    forward: numpack_nn_forward_fn,
    release: numpack_release_fn,
    user: *mut c_void,
    module: *mut *mut numpack_nn_module,
) -> i32 {
    guard(|| {
        handle::wanted(module)?;
        let forward = forward.ok_or_else(|| parameter("forward is NULL".to_owned()))?;
        // SAFETY: the caller's promise.
        let names = unsafe { shell::texts(names, count, "names") }?;
        // SAFETY: the caller's promise.
        let tensors = unsafe { borrow_all(tensors, count, "tensors") }?;
        if !torch_pickle::all_differ(names.iter().copied()) {
            return Err(parameter("two of the names are equal; give each its own".to_owned()));
        }
        let named = names.into_iter().zip(tensors);
        let named = named.map(|(name, t)| (name.to_owned(), t.clone())).collect();
        let new = Custom { named, forward, user: User::new(user, release) };
        // SAFETY: not NULL; the caller vouches for the memory.
        unsafe { nn_module::give(module, Arc::new(new)) };
        Ok(())
    })
}

/// `numpack_nn_step_create` with a loss that the caller's function computes of what the module gives and
/// `y`. On a device the function is called while the step is recorded, for each new shape of inputs, and not
/// when it is done again; it cannot read values then. `release`, which may be NULL, is called once when the
/// step is gone, and not if this fails.
///
/// Errors: as `numpack_nn_step_create`; `NUMPACK_CANCELLED`; `NUMPACK_PARAMETER` for no function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_nn_step_create_custom(
    module: *const numpack_nn_module,
    optimizer: *mut numpack_nn_optimizer,
    loss: numpack_nn_loss_fn,
    release: numpack_release_fn,
    user: *mut c_void,
    x: *const numpack_nn_tensor,
    y: *const numpack_nn_tensor,
    step: *mut *mut numpack_nn_step,
) -> i32 {
    guard(|| {
        let loss = loss.ok_or_else(|| parameter("loss is NULL".to_owned()))?;
        // Nothing is released before all has worked.
        let user = Arc::new(User::new(user, None));
        let shared = Arc::clone(&user);
        let objective = move |output: &Tensor, target: &Tensor| {
            let (output, target) = (lent(output), lent(target));
            let (o, t) = (Arc::as_ptr(&output), Arc::as_ptr(&target));
            let mut found = ptr::null_mut();
            // SAFETY: the caller vouches for its function; the handles live, and `found` is ours.
            let status = unsafe { loss(o, t, &raw mut found, shared.user) };
            // SAFETY: what the function promises of its result.
            Ok(unsafe { taken("loss", status, found) }?.into())
        };
        // SAFETY: the caller's promise.
        unsafe { nn_step::create(module, optimizer, x, y, step, objective) }?;
        let made = Box::new(crate::tensor::release(release, user.user));
        *user.release.lock().unwrap_or_else(PoisonError::into_inner) = Some(made);
        Ok(())
    })
}
