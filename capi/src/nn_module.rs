//! What modules do: compute, tell of their parameters, go to devices, files and back.

use std::ffi::c_char;
use std::sync::{Arc, OnceLock};

use numpack_interop::{Error, nn};
use numpack_nn::{Attend, Module, ModuleExt, Tensor};

use crate::device::{self, numpack_device};
use crate::handle::{self, Handle};
use crate::nn_state::{Named, numpack_nn_state};
use crate::nn_tensor::{self, borrow, numpack_nn_tensor, of_nn};
use crate::shell::{self, guard};

/// What has parameters and computes with them. Any number of threads may use one at once; the
/// parameters are changed where they are, so whoever holds one sees what becomes of it.
#[allow(non_camel_case_types, reason = "the name C programs type")]
pub struct numpack_nn_module {
    pub(crate) module: Arc<dyn Module>,
    /// What is pointed to when parameters are asked for.
    parameters: OnceLock<Named>,
}

impl Handle for numpack_nn_module {
    const NAME: &str = "module";
}

impl numpack_nn_module {
    fn parameters(&self) -> &Named {
        self.parameters.get_or_init(|| Named::new(self.module.named_parameters()))
    }
}

/// Gives the caller a module.
///
/// # Safety
/// `out` is writable, and not NULL, as `handle::wanted` found.
pub(crate) unsafe fn give(out: *mut *mut numpack_nn_module, module: Arc<dyn Module>) {
    let new = numpack_nn_module { module, parameters: OnceLock::new() };
    // SAFETY: the caller's promise.
    unsafe { handle::give(out, new) };
}

/// The caller's module.
///
/// # Safety
/// `module` is NULL or a handle that is not freed during `'a`.
unsafe fn module<'a>(module: *const numpack_nn_module) -> Result<&'a dyn Module, Error> {
    // SAFETY: the caller's promise.
    Ok(&*unsafe { handle::borrow(module) }?.module)
}

/// What a module computes of a tensor, where its parameters are. The caller owns the result.
///
/// Errors: those of what it computes with (`numpack_nn_tensor_unary`).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_nn_module_forward(
    module: *const numpack_nn_module,
    tensor: *const numpack_nn_tensor,
    result: *mut *mut numpack_nn_tensor,
) -> i32 {
    guard(|| {
        // SAFETY: the caller's promise.
        let module = unsafe { self::module(module) }?;
        // SAFETY: the caller's promise.
        let x = unsafe { borrow(tensor) }?;
        handle::wanted(result)?;
        let new = of_nn(module.forward(x))?;
        // SAFETY: not NULL; the caller vouches for the memory.
        unsafe { nn_tensor::give(result, new) };
        Ok(())
    })
}

/// The same of a module of attention or a layer of an encoder, which attends to no more than it may.
/// `key_padding_mask` has truth values (batch, keys): true where a key is not attended to, such as padding;
/// `attn_mask` (queries, keys) or (batch · heads, queries, keys): truth values likewise, or numbers that
/// are added to the scores. Either may be NULL.
///
/// Errors: `NUMPACK_PARAMETER` also for other modules.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_nn_module_forward_masked(
    module: *const numpack_nn_module,
    tensor: *const numpack_nn_tensor,
    key_padding_mask: *const numpack_nn_tensor,
    attn_mask: *const numpack_nn_tensor,
    result: *mut *mut numpack_nn_tensor,
) -> i32 {
    guard(|| {
        // SAFETY: the caller's promise.
        let module = unsafe { self::module(module) }?;
        // SAFETY: the caller's promise.
        let x = unsafe { borrow(tensor) }?;
        handle::wanted(result)?;
        // SAFETY: the caller's promise.
        let key_padding_mask = unsafe { nn_tensor::optional(key_padding_mask) };
        // SAFETY: the caller's promise.
        let attn_mask = unsafe { nn_tensor::optional(attn_mask) };
        let new = of_nn(module.forward_masked(x, Attend { key_padding_mask, attn_mask }))?;
        // SAFETY: not NULL; the caller vouches for the memory.
        unsafe { nn_tensor::give(result, new) };
        Ok(())
    })
}

/// How many parameters there are; 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_nn_module_parameter_count(
    module: *const numpack_nn_module,
) -> usize {
    // SAFETY: the caller's promise.
    unsafe { module.as_ref() }.map_or(0, |m| m.parameters().len())
}

/// The dotted name and the tensor of the parameter at `index`, from 0, both borrowed from the
/// module: to keep the tensor, `numpack_nn_tensor_retain` it. One that has two names comes once, by
/// the first. Errors: `NUMPACK_PARAMETER` for an index past the last one.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_nn_module_get_parameter(
    module: *const numpack_nn_module,
    index: usize,
    name: *mut *const c_char,
    tensor: *mut *const numpack_nn_tensor,
) -> i32 {
    guard(|| {
        // SAFETY: the caller's promise.
        let module = unsafe { handle::borrow(module) }?;
        // SAFETY: the caller's promise.
        unsafe { module.parameters().put(index, name, tensor) }
    })
}

/// The parameters and buffers of a module by all their names: the same memory, wanting no gradients.
/// The caller owns the state.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_nn_module_state(
    module: *const numpack_nn_module,
    state: *mut *mut numpack_nn_state,
) -> i32 {
    guard(|| {
        // SAFETY: the caller's promise.
        let module = unsafe { self::module(module) }?;
        handle::wanted(state)?;
        let value = numpack_nn_state { named: Named::new(module.state_dict()) };
        // SAFETY: not NULL; the caller vouches for the memory.
        unsafe { handle::give(state, value) };
        Ok(())
    })
}

/// Copies `count` tensors, of any type and device, into the parameters and buffers of these names.
/// If `strict` is not 0, both sides have the same names.
///
/// Errors: `NUMPACK_PARAMETER`, listing all names that are missing or unknown, and all shapes that
/// differ; `NUMPACK_OUT_OF_MEMORY`; `NUMPACK_DEVICE`. Nothing is changed then.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_nn_module_load_state(
    module: *const numpack_nn_module,
    names: *const *const c_char,
    tensors: *const *const numpack_nn_tensor,
    count: usize,
    strict: i32,
) -> i32 {
    guard(|| {
        // SAFETY: the caller's promise.
        let module = unsafe { self::module(module) }?;
        // SAFETY: the caller's promise.
        let names = unsafe { shell::texts(names, count, "names") }?;
        // SAFETY: the caller's promise.
        let tensors = unsafe { nn_tensor::borrow_all(tensors, count, "tensors") }?;
        let pairs = names.into_iter().zip(tensors);
        let state: Vec<(String, Tensor)> =
            pairs.map(|(name, t)| (name.to_owned(), t.clone())).collect();
        of_nn(module.load_state_dict(&state, strict != 0)).map(drop)
    })
}

/// Moves parameters and buffers to a device, or to the host for NULL. Gradients go.
///
/// Errors: `NUMPACK_TYPE`; `NUMPACK_OUT_OF_MEMORY`; `NUMPACK_DEVICE`. Those that were moved already
/// stay there.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_nn_module_to_device(
    module: *const numpack_nn_module,
    device: *const numpack_device,
) -> i32 {
    guard(|| {
        // SAFETY: the caller's promise.
        let module = unsafe { self::module(module) }?;
        // SAFETY: the caller's promise.
        of_nn(module.to_device(&unsafe { device::place(device) }))
    })
}

/// Says whether a module is trained, as modules are made for, or used, for 0: dropout is only done
/// in training.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_nn_module_train(
    module: *const numpack_nn_module,
    training: i32,
) -> i32 {
    guard(|| {
        // SAFETY: the caller's promise.
        unsafe { self::module(module) }?.train(training != 0);
        Ok(())
    })
}

/// Leaves all parameters without gradients.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_nn_module_zero_grad(module: *const numpack_nn_module) -> i32 {
    guard(|| {
        // SAFETY: the caller's promise.
        unsafe { self::module(module) }?.zero_grad();
        Ok(())
    })
}

/// Writes the state of a module as a dict of tensors: a `.pt` file that torch loads, or a store
/// where the path ends in `.npk`. If `overwrite` is not 0, what is there is replaced, whole or not
/// at all.
///
/// Errors: `NUMPACK_EXISTS`; `NUMPACK_PARAMETER` for another suffix; `NUMPACK_IO`; `NUMPACK_DEVICE`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_nn_module_save(
    module: *const numpack_nn_module,
    path: *const c_char,
    overwrite: i32,
) -> i32 {
    guard(|| {
        // SAFETY: the caller's promise.
        let module = unsafe { self::module(module) }?;
        // SAFETY: the caller's promise.
        let path = unsafe { shell::path(path, "path") }?;
        nn::save_state(path, &module.state_dict(), overwrite != 0)
    })
}

/// Reads the state of a module from any file of tensors: those whose names begin with `key` and a
/// dot, without that, or all for NULL.
///
/// Errors: those of `numpack_checkpoint_open` and `numpack_nn_module_load_state`;
/// `NUMPACK_PARAMETER` where there are no such tensors; `NUMPACK_TYPE` for a type that nothing is
/// computed with. Nothing is changed then.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_nn_module_load(
    module: *const numpack_nn_module,
    path: *const c_char,
    key: *const c_char,
    strict: i32,
) -> i32 {
    guard(|| {
        // SAFETY: the caller's promise.
        let module = unsafe { self::module(module) }?;
        // SAFETY: the caller's promise.
        let path = unsafe { shell::path(path, "path") }?;
        // SAFETY: the caller's promise.
        let key = unsafe { shell::optional(key, "key") }?;
        let state = nn::load_state(path, key)?;
        of_nn(module.load_state_dict(&state, strict != 0)).map(drop)
    })
}

/// Shares a module handle: it comes back, and is to be freed once more. NULL is fine.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_nn_module_retain(
    module: *const numpack_nn_module,
) -> *mut numpack_nn_module {
    // SAFETY: the caller's promise.
    unsafe { handle::retain(module) }
}

/// Gives a module back; a sequence that it is part of keeps it. NULL is fine.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_nn_module_free(module: *mut numpack_nn_module) {
    // SAFETY: the caller's promise.
    unsafe { handle::free(module) };
}
