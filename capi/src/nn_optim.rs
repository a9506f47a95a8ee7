//! Optimisers, and gradients made smaller.

use std::sync::{Mutex, MutexGuard, PoisonError};

use numpack_interop::Error;
use numpack_nn::Tensor;
use numpack_nn::optim::{
    Adam, AdamOptions, Group, Optimizer, Sgd, SgdOptions, clip_grad_norm, clip_grad_value,
};

use crate::handle::{self, Handle};
use crate::nn_tensor::{borrow_all, numpack_nn_tensor, of_nn};
use crate::shell::{self, guard, parameter};
use crate::structs::{self, Versioned};

/// How `numpack_nn_optimizer_sgd` changes parameters. Zero means the default of each.
#[allow(non_camel_case_types, reason = "the name C programs type")]
#[derive(Clone, Copy)]
#[repr(C)]
pub struct numpack_nn_sgd_options {
    /// `sizeof(numpack_nn_sgd_options)`.
    pub struct_size: u32,
    /// Not 0: looks ahead along the kept direction.
    pub nesterov: i32,
    /// The part of the last step's direction that is kept.
    pub momentum: f64,
    /// What the gradient is lessened by before it is added to that.
    pub dampening: f64,
    /// What of the parameter is added to its gradient.
    pub weight_decay: f64,
}

// SAFETY: numbers only, and `struct_size` first.
unsafe impl Versioned for numpack_nn_sgd_options {
    const NAME: &str = "numpack_nn_sgd_options";
    const ZERO: Self = numpack_nn_sgd_options {
        struct_size: 0,
        nesterov: 0,
        momentum: 0.0,
        dampening: 0.0,
        weight_decay: 0.0,
    };
}

/// How `numpack_nn_optimizer_adam` changes parameters. Zero means the default of each.
#[allow(non_camel_case_types, reason = "the name C programs type")]
#[derive(Clone, Copy)]
#[repr(C)]
pub struct numpack_nn_adam_options {
    /// `sizeof(numpack_nn_adam_options)`.
    pub struct_size: u32,
    /// Not 0: weight decay leaves the gradient alone, which makes it AdamW.
    pub decoupled: i32,
    /// What is kept of the mean of the gradients. 0: 0.9.
    pub beta1: f64,
    /// What is kept of the mean of their squares. 0: 0.999.
    pub beta2: f64,
    /// Added to the root of the latter. 0: 1e-8.
    pub eps: f64,
    /// What of the parameter is added to its gradient; or taken off the parameter, times the learning
    /// rate, where it is decoupled. 0 is none, also for AdamW, for which PyTorch's default is 0.01.
    pub weight_decay: f64,
    /// Not 0: the largest mean of squares so far is used.
    pub amsgrad: i32,
    /// Must be 0.
    pub reserved: i32,
}

// SAFETY: numbers only, and `struct_size` first.
unsafe impl Versioned for numpack_nn_adam_options {
    const NAME: &str = "numpack_nn_adam_options";
    const ZERO: Self = numpack_nn_adam_options {
        struct_size: 0,
        decoupled: 0,
        beta1: 0.0,
        beta2: 0.0,
        eps: 0.0,
        weight_decay: 0.0,
        amsgrad: 0,
        reserved: 0,
    };
}

pub(crate) enum Kind {
    Sgd(Sgd),
    Adam(Adam),
}

impl Kind {
    pub(crate) fn optimizer(&mut self) -> &mut dyn Optimizer {
        match self {
            Kind::Sgd(sgd) => sgd,
            Kind::Adam(adam) => adam,
        }
    }
}

/// What changes parameters by their gradients, in groups with a learning rate of their own. It keeps
/// the parameters. One thread at a time may use it.
#[allow(non_camel_case_types, reason = "the name C programs type")]
pub struct numpack_nn_optimizer {
    kind: Mutex<Kind>,
}

impl numpack_nn_optimizer {
    /// Does something with it that nobody else does meanwhile.
    pub(crate) fn with<T>(&self, f: impl FnOnce(&mut dyn Optimizer) -> T) -> T {
        f(self.kind.lock().unwrap_or_else(PoisonError::into_inner).optimizer())
    }
}

impl Handle for numpack_nn_optimizer {
    const NAME: &str = "optimiser";
}

/// The caller's optimiser.
///
/// # Safety
/// `optimizer` is NULL or a handle that is not freed during `'a`.
pub(crate) unsafe fn kind<'a>(
    optimizer: *const numpack_nn_optimizer,
) -> Result<MutexGuard<'a, Kind>, Error> {
    // SAFETY: the caller's promise.
    let optimizer = unsafe { handle::borrow(optimizer) }?;
    Ok(optimizer.kind.lock().unwrap_or_else(PoisonError::into_inner))
}

/// The caller's parameters.
///
/// # Safety
/// `params` is NULL or points to `count` handles.
unsafe fn owned(
    params: *const *const numpack_nn_tensor,
    count: usize,
) -> Result<Vec<Tensor>, Error> {
    // SAFETY: the caller's promise.
    Ok(unsafe { borrow_all(params, count, "params") }?.into_iter().cloned().collect())
}

pub(crate) fn rate(lr: f64) -> Result<f64, Error> {
    match lr >= 0.0 {
        true => Ok(lr),
        false => Err(parameter(format!("learning rate {lr}; give 0 or more"))),
    }
}

/// Stochastic gradient descent of `count` parameters with the learning rate `lr`: PyTorch's `SGD`.
/// The caller owns the optimiser. `options` may be NULL.
///
/// Errors: `NUMPACK_PARAMETER` for a learning rate below 0; other options are found wrong by the
/// first step.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_nn_optimizer_sgd(
    params: *const *const numpack_nn_tensor,
    count: usize,
    lr: f64,
    options: *const numpack_nn_sgd_options,
    optimizer: *mut *mut numpack_nn_optimizer,
) -> i32 {
    guard(|| {
        handle::wanted(optimizer)?;
        // SAFETY: the caller's promise.
        let o = unsafe { structs::read_or_zero(options) }?;
        // SAFETY: the caller's promise.
        let params = unsafe { owned(params, count) }?;
        let settings = SgdOptions {
            lr: rate(lr)?,
            momentum: o.momentum,
            dampening: o.dampening,
            weight_decay: o.weight_decay,
            nesterov: o.nesterov != 0,
        };
        let kind = Mutex::new(Kind::Sgd(Sgd::new(params, settings)));
        // SAFETY: not NULL; the caller vouches for the memory.
        unsafe { handle::give(optimizer, numpack_nn_optimizer { kind }) };
        Ok(())
    })
}

/// Adam, or AdamW, of `count` parameters with the learning rate `lr`: PyTorch's `Adam` and `AdamW`.
/// The caller owns the optimiser. `options` may be NULL. Errors: as `numpack_nn_optimizer_sgd`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_nn_optimizer_adam(
    params: *const *const numpack_nn_tensor,
    count: usize,
    lr: f64,
    options: *const numpack_nn_adam_options,
    optimizer: *mut *mut numpack_nn_optimizer,
) -> i32 {
    guard(|| {
        handle::wanted(optimizer)?;
        // SAFETY: the caller's promise.
        let o = unsafe { structs::read_or_zero(options) }?;
        crate::options::reserved(o.reserved)?;
        // SAFETY: the caller's promise.
        let params = unsafe { owned(params, count) }?;
        let usual = AdamOptions::default();
        let or = |given: f64, usual: f64| if given == 0.0 { usual } else { given };
        let settings = AdamOptions {
            lr: rate(lr)?,
            betas: (or(o.beta1, usual.betas.0), or(o.beta2, usual.betas.1)),
            eps: or(o.eps, usual.eps),
            weight_decay: o.weight_decay,
            decoupled: o.decoupled != 0,
            amsgrad: o.amsgrad != 0,
        };
        let kind = Mutex::new(Kind::Adam(Adam::new(params, settings)));
        // SAFETY: not NULL; the caller vouches for the memory.
        unsafe { handle::give(optimizer, numpack_nn_optimizer { kind }) };
        Ok(())
    })
}

/// One more group of `count` parameters, with a learning rate of its own, and all else as the first.
/// Errors: `NUMPACK_PARAMETER` for a learning rate below 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_nn_optimizer_add_group(
    optimizer: *mut numpack_nn_optimizer,
    params: *const *const numpack_nn_tensor,
    count: usize,
    lr: f64,
) -> i32 {
    guard(|| {
        // SAFETY: the caller's promise.
        let mut kind = unsafe { kind(optimizer) }?;
        // SAFETY: the caller's promise.
        let params = unsafe { owned(params, count) }?;
        let lr = rate(lr)?;
        match &mut *kind {
            Kind::Sgd(sgd) => {
                let options = SgdOptions { lr, ..sgd.groups[0].options };
                sgd.groups.push(Group { params, options });
            }
            Kind::Adam(adam) => {
                let options = AdamOptions { lr, ..adam.groups[0].options };
                adam.groups.push(Group { params, options });
            }
        }
        Ok(())
    })
}

/// Sets the learning rate of a group, counted from 0, for the steps to come.
/// Errors: `NUMPACK_PARAMETER` for a group that is not there, and for a learning rate below 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_nn_optimizer_set_lr(
    optimizer: *mut numpack_nn_optimizer,
    group: usize,
    lr: f64,
) -> i32 {
    guard(|| {
        // SAFETY: the caller's promise.
        let mut kind = unsafe { kind(optimizer) }?;
        let new = rate(lr)?;
        let (lr, count) = match &mut *kind {
            Kind::Sgd(sgd) => {
                let count = sgd.groups.len();
                (sgd.groups.get_mut(group).map(|g| &mut g.options.lr), count)
            }
            Kind::Adam(adam) => {
                let count = adam.groups.len();
                (adam.groups.get_mut(group).map(|g| &mut g.options.lr), count)
            }
        };
        let missing = || parameter(format!("group {group} is out of range, there are {count}"));
        *lr.ok_or_else(missing)? = new;
        Ok(())
    })
}

/// Changes each parameter that has a gradient.
///
/// Errors: `NUMPACK_PARAMETER` for options that cannot be; `NUMPACK_TYPE`; `NUMPACK_OUT_OF_MEMORY`;
/// `NUMPACK_DEVICE`. No parameter has changed then.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_nn_optimizer_step(optimizer: *mut numpack_nn_optimizer) -> i32 {
    guard(|| {
        // SAFETY: the caller's promise.
        let mut kind = unsafe { kind(optimizer) }?;
        of_nn(kind.optimizer().step())
    })
}

/// Leaves all its parameters without gradients.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_nn_optimizer_zero_grad(
    optimizer: *mut numpack_nn_optimizer,
) -> i32 {
    guard(|| {
        // SAFETY: the caller's promise.
        unsafe { kind(optimizer) }?.optimizer().zero_grad();
        Ok(())
    })
}

/// Gives an optimiser back. NULL is fine.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_nn_optimizer_free(optimizer: *mut numpack_nn_optimizer) {
    // SAFETY: the caller's promise.
    unsafe { handle::free(optimizer) };
}

/// Scales the gradients of `count` tensors, all on one device, so that the root of the sum of their
/// squares is at most `max_norm`. `norm` takes what it was; for NULL nothing waits for a device.
///
/// Errors: `NUMPACK_PARAMETER` for a negative norm; `NUMPACK_SHARING`; `NUMPACK_OUT_OF_MEMORY`;
/// `NUMPACK_DEVICE`. No gradient has changed then.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_nn_clip_grad_norm(
    params: *const *const numpack_nn_tensor,
    count: usize,
    max_norm: f64,
    norm: *mut f64,
) -> i32 {
    guard(|| {
        // SAFETY: the caller's promise.
        let params = unsafe { owned(params, count) }?;
        let found = of_nn(clip_grad_norm(&params, max_norm))?;
        if !norm.is_null() {
            let found = of_nn(found.item())?;
            // SAFETY: the caller's promise.
            unsafe { shell::put(norm, found) };
        }
        Ok(())
    })
}

/// Cuts each element of the gradients of `count` tensors to between -`value` and `value`.
/// Errors: as `numpack_nn_clip_grad_norm`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_nn_clip_grad_value(
    params: *const *const numpack_nn_tensor,
    count: usize,
    value: f64,
) -> i32 {
    guard(|| {
        // SAFETY: the caller's promise.
        let params = unsafe { owned(params, count) }?;
        of_nn(clip_grad_value(&params, value))
    })
}
