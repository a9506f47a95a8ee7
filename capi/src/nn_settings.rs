//! What optimisers keep, and their settings.

use std::ffi::c_char;

use numpack_interop::{Error, nn};
use numpack_nn::ModuleExt;
use numpack_nn::optim::OptimizerState;

use crate::handle;
use crate::nn_module::numpack_nn_module;
use crate::nn_optim::{Kind, kind, numpack_nn_optimizer, rate};
use crate::nn_state::{Named, numpack_nn_state};
use crate::nn_tensor::{borrow_all, numpack_nn_tensor, of_nn};
use crate::shell::{self, guard, parameter};

/// What an optimiser keeps, copied, by names such as `0.exp_avg`: the number of the parameter, over all
/// groups, and PyTorch's name of the entry: `step`, `exp_avg`, `exp_avg_sq`, `max_exp_avg_sq` of Adam,
/// `momentum_buffer` of SGD. Parameters that took no step have none. The caller owns the state.
/// Errors: `NUMPACK_OUT_OF_MEMORY`; `NUMPACK_DEVICE`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_nn_optimizer_state(
    optimizer: *const numpack_nn_optimizer,
    state: *mut *mut numpack_nn_state,
) -> i32 {
    guard(|| {
        // SAFETY: the caller's promise.
        let mut kind = unsafe { kind(optimizer) }?;
        handle::wanted(state)?;
        let all = of_nn(kind.optimizer().state_dict())?;
        let named = all.into_iter().map(|(i, name, t)| (format!("{i}.{name}"), t)).collect();
        // SAFETY: not NULL; the caller vouches for the memory.
        unsafe { handle::give(state, numpack_nn_state { named: Named::new(named) }) };
        Ok(())
    })
}

/// Has an optimiser keep these `count` tensors, as `numpack_nn_optimizer_state` gives them, and nothing else.
/// They are copied to where the parameters are. Not for one whose steps are recorded on a device.
///
/// Errors: `NUMPACK_PARAMETER` for names that are not such, or of other optimisers, and shapes that are not
/// the parameters'; `NUMPACK_OUT_OF_MEMORY`; `NUMPACK_DEVICE`. Nothing is changed then.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_nn_optimizer_load_state(
    optimizer: *mut numpack_nn_optimizer,
    names: *const *const c_char,
    tensors: *const *const numpack_nn_tensor,
    count: usize,
) -> i32 {
    guard(|| {
        // SAFETY: the caller's promise.
        let mut kind = unsafe { kind(optimizer) }?;
        // SAFETY: the caller's promise.
        let names = unsafe { shell::texts(names, count, "names") }?;
        // SAFETY: the caller's promise.
        let tensors = unsafe { borrow_all(tensors, count, "tensors") }?;
        let mut state = OptimizerState::new();
        for (name, t) in names.into_iter().zip(tensors) {
            let parts = name.split_once('.').and_then(|(i, name)| Some((i.parse().ok()?, name)));
            let Some((i, entry)) = parts else {
                let problem = format!("{name:?} is no number, dot and entry, such as 0.exp_avg");
                return Err(parameter(problem));
            };
            state.push((i, entry.to_owned(), t.clone()));
        }
        of_nn(kind.optimizer().load_state_dict(&state))
    })
}

/// How many groups of parameters there are; 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_nn_optimizer_group_count(
    optimizer: *const numpack_nn_optimizer,
) -> usize {
    // SAFETY: the caller's promise.
    unsafe { kind(optimizer) }.map_or(0, |kind| match &*kind {
        Kind::Sgd(sgd) => sgd.groups.len(),
        Kind::Adam(adam) => adam.groups.len(),
    })
}

/// A setting of a group.
enum Setting<'a> {
    Number(&'a mut f64),
    Flag(&'a mut bool),
}

/// The setting of this name of a group.
fn setting<'a>(kind: &'a mut Kind, group: usize, name: &str) -> Result<Setting<'a>, Error> {
    use Setting::{Flag, Number};
    let missing = |count| parameter(format!("group {group} is out of range, there are {count}"));
    let (found, known) = match kind {
        Kind::Sgd(sgd) => {
            let count = sgd.groups.len();
            let o = &mut sgd.groups.get_mut(group).ok_or_else(|| missing(count))?.options;
            let found = match name {
                "lr" => Some(Number(&mut o.lr)),
                "momentum" => Some(Number(&mut o.momentum)),
                "dampening" => Some(Number(&mut o.dampening)),
                "weight_decay" => Some(Number(&mut o.weight_decay)),
                "nesterov" => Some(Flag(&mut o.nesterov)),
                _ => None,
            };
            (found, "lr, momentum, dampening, weight_decay and nesterov")
        }
        Kind::Adam(adam) => {
            let count = adam.groups.len();
            let o = &mut adam.groups.get_mut(group).ok_or_else(|| missing(count))?.options;
            let found = match name {
                "lr" => Some(Number(&mut o.lr)),
                "beta1" => Some(Number(&mut o.betas.0)),
                "beta2" => Some(Number(&mut o.betas.1)),
                "eps" => Some(Number(&mut o.eps)),
                "weight_decay" => Some(Number(&mut o.weight_decay)),
                "amsgrad" => Some(Flag(&mut o.amsgrad)),
                "decoupled" => Some(Flag(&mut o.decoupled)),
                _ => None,
            };
            (found, "lr, beta1, beta2, eps, weight_decay, amsgrad and decoupled")
        }
    };
    found.ok_or_else(|| parameter(format!("no setting is called {name:?}; there are {known}")))
}

/// A setting of a group, counted from 0, as a number: of SGD `lr`, `momentum`, `dampening`, `weight_decay` and
/// `nesterov`, of Adam `lr`, `beta1`, `beta2`, `eps`, `weight_decay`, `amsgrad` and `decoupled`; those that
/// are yes or no are 1 or 0. Errors: `NUMPACK_PARAMETER` for a group or name that is not there.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_nn_optimizer_get_setting(
    optimizer: *const numpack_nn_optimizer,
    group: usize,
    name: *const c_char,
    value: *mut f64,
) -> i32 {
    guard(|| {
        // SAFETY: the caller's promise.
        let mut kind = unsafe { kind(optimizer) }?;
        // SAFETY: the caller's promise.
        let name = unsafe { shell::required(name, "name") }?;
        let found = match setting(&mut kind, group, name)? {
            Setting::Number(x) => *x,
            Setting::Flag(yes) => f64::from(u8::from(*yes)),
        };
        // SAFETY: the caller's promise.
        unsafe { shell::put(value, found) };
        Ok(())
    })
}

/// Sets one for the steps to come; a step that is recorded on a device takes no other than `lr`.
///
/// Errors: `NUMPACK_PARAMETER` for a group or name that is not there, a learning rate below 0, and another
/// number than 0 and 1 where it is yes or no; other numbers that cannot be are found wrong by the next step.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_nn_optimizer_set_setting(
    optimizer: *mut numpack_nn_optimizer,
    group: usize,
    name: *const c_char,
    value: f64,
) -> i32 {
    guard(|| {
        // SAFETY: the caller's promise.
        let mut kind = unsafe { kind(optimizer) }?;
        // SAFETY: the caller's promise.
        let name = unsafe { shell::required(name, "name") }?;
        match setting(&mut kind, group, name)? {
            Setting::Number(x) => *x = if name == "lr" { rate(value)? } else { value },
            Setting::Flag(yes) => {
                if value != 0.0 && value != 1.0 {
                    return Err(parameter(format!("{name} is {value}; give 0 or 1")));
                }
                *yes = value == 1.0;
            }
        }
        Ok(())
    })
}

/// Writes the states of a module and its optimiser as `{"model": …, "optimizer": …}`, a `.pt` file that torch
/// loads, and whose parts its `load_state_dict` takes. If `overwrite` is not 0, what is there is replaced,
/// whole or not at all. `numpack_nn_module_load` reads the first part, `numpack_nn_optimizer_load` the second.
///
/// Errors: `NUMPACK_EXISTS`; `NUMPACK_IO`; `NUMPACK_OUT_OF_MEMORY`; `NUMPACK_DEVICE`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_nn_save_training(
    path: *const c_char,
    module: *const numpack_nn_module,
    optimizer: *const numpack_nn_optimizer,
    overwrite: i32,
) -> i32 {
    guard(|| {
        // SAFETY: the caller's promise.
        let path = unsafe { shell::path(path, "path") }?;
        // SAFETY: the caller's promise.
        let state = unsafe { handle::borrow(module) }?.module.state_dict();
        // SAFETY: the caller's promise.
        let mut kind = unsafe { kind(optimizer) }?;
        nn::save_training(path, &state, kind.optimizer(), overwrite != 0)
    })
}

/// Reads what an optimiser kept, as `numpack_nn_save_training` or torch wrote it, from below `key`, such as
/// `optimizer`, or as the whole file for NULL. Settings stay as they are. Not for an optimiser whose steps
/// are recorded on a device.
///
/// Errors: those of `numpack_checkpoint_open`, and `NUMPACK_PARAMETER` for a key that is not there, or what
/// is no state of such an optimiser. Nothing is changed then.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_nn_optimizer_load(
    optimizer: *mut numpack_nn_optimizer,
    path: *const c_char,
    key: *const c_char,
) -> i32 {
    guard(|| {
        // SAFETY: the caller's promise.
        let mut kind = unsafe { kind(optimizer) }?;
        // SAFETY: the caller's promise.
        let path = unsafe { shell::path(path, "path") }?;
        // SAFETY: the caller's promise.
        let key = unsafe { shell::optional(key, "key") }?;
        of_nn(kind.optimizer().load_state_dict(&nn::load_optimizer(path, key)?))
    })
}
