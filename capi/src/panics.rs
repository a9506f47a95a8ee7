//! A panic within any function becomes `NUMPACK_PANIC`: it does not get out into C, writes nothing,
//! and the library goes on.

use std::cell::Cell;
use std::sync::atomic::{AtomicU8, Ordering};

use crate::status::{NUMPACK_OK, NUMPACK_PANIC, numpack_last_error};

thread_local! {
    static IS_ARMED: Cell<bool> = const { Cell::new(false) };
}

/// Panics, once after it was armed. `shell::guard` calls it where the work of a function begins.
pub(crate) fn strike() {
    assert!(!IS_ARMED.take(), "struck");
}

/// What every pointer points to. Nobody is to read or write it.
static MEMORY: [AtomicU8; 1024] = [const { AtomicU8::new(0xa5) }; 1024];

/// An argument that is not looked at.
trait Argument {
    const ANY: Self;
}

impl<T> Argument for *const T {
    const ANY: Self = (&raw const MEMORY).cast();
}

impl<T> Argument for *mut T {
    const ANY: Self = (&raw const MEMORY).cast_mut().cast();
}

/// A callback.
impl<T> Argument for Option<T> {
    const ANY: Self = None;
}

/// A function that returns a status.
trait Function {
    fn call(self) -> i32;
}

macro_rules! numbers {
    ($($of:ty)*) => { $(impl Argument for $of { const ANY: Self = 1; })* };
}

numbers!(i32 u32 i64 u64 usize);

impl Argument for f64 {
    const ANY: Self = 1.0;
}

macro_rules! functions_of {
    ($($($argument:ident)*;)*) => {
        $(impl<$($argument: Argument),*> Function
            for unsafe extern "C" fn($($argument),*) -> i32
        {
            fn call(self) -> i32 {
                // SAFETY: the work, which would use the arguments, panics where it begins.
                unsafe { self($($argument::ANY),*) }
            }
        })*
    };
}

functions_of! {
    A;
    A B;
    A B C;
    A B C D;
    A B C D E;
    A B C D E F;
    A B C D E F G;
    A B C D E F G H;
}

/// The functions of each module, with as many `_` as they have parameters.
macro_rules! functions {
    ($($module:ident { $($name:ident($($any:tt),*);)* })*) => {
        vec![$($((
            stringify!($name),
            Box::new(|| {
                (crate::$module::$name as unsafe extern "C" fn($($any),*) -> i32).call()
            }),
        ),)*)*]
    };
}

type Call = Box<dyn Fn() -> i32>;

fn functions() -> Vec<(&'static str, Call)> {
    functions! {
        convert {
            numpack_from_torch_file(_, _, _, _, _);
            numpack_to_torch_file(_, _, _, _, _);
            numpack_export_file(_, _, _, _, _);
        }
        scan {
            numpack_scan(_, _, _, _, _);
            numpack_diff(_, _, _, _, _, _);
        }
        view {
            numpack_rows_count(_, _, _);
        }
        store {
            numpack_store_open(_, _, _);
            numpack_store_create(_, _, _);
            numpack_store_open_or_create(_, _, _);
            numpack_store_save(_, _, _, _);
            numpack_store_append(_, _, _, _);
            numpack_store_replace_rows(_, _, _, _);
            numpack_store_drop_rows(_, _, _, _);
            numpack_store_remove_arrays(_, _, _);
            numpack_store_rename_array(_, _, _);
            numpack_store_adopt_array(_, _, _, _, _, _, _);
            numpack_store_clone_array(_, _, _);
            numpack_store_compact(_, _, _);
            numpack_store_reset(_);
        }
        writer {
            numpack_store_begin(_, _, _);
            numpack_writer_create(_, _, _);
            numpack_writer_replace(_, _, _);
            numpack_writer_commit(_, _, _);
            numpack_writer_array(_, _, _);
            numpack_writer_save(_, _, _, _);
            numpack_writer_append(_, _, _, _);
            numpack_writer_replace_rows(_, _, _, _);
            numpack_writer_drop_rows(_, _, _, _);
            numpack_writer_remove_arrays(_, _, _);
            numpack_writer_rename_array(_, _, _);
            numpack_writer_adopt_array(_, _, _, _, _, _, _);
            numpack_writer_clone_array(_, _, _);
            numpack_writer_compact(_, _, _);
            numpack_writer_reset(_);
        }
        list {
            numpack_store_list(_, _);
            numpack_list_get(_, _, _);
            numpack_list_find(_, _, _);
            numpack_list_warnings(_, _, _);
        }
        array {
            numpack_array_open(_, _, _);
            numpack_array_get_info(_, _);
            numpack_array_read(_, _, _);
            numpack_array_read_rows(_, _, _, _, _);
            numpack_array_read_bytes(_, _, _, _);
            numpack_array_gather(_, _, _, _);
        }
        map {
            numpack_array_map(_, _, _);
            numpack_array_map_rows(_, _);
            numpack_mapped_rows_get(_, _, _, _);
            numpack_mapped_rows_gather(_, _, _, _, _);
        }
        rows_mut {
            numpack_store_map_rows_mut(_, _, _);
            numpack_rows_mut_get(_, _, _);
            numpack_rows_mut_flush(_);
        }
        package {
            numpack_pack(_, _, _, _, _, _);
            numpack_unpack(_, _, _, _, _);
            numpack_package_open(_, _);
            numpack_package_list(_, _);
            numpack_package_read(_, _, _, _);
            numpack_package_read_rows(_, _, _, _, _, _);
            numpack_package_verify(_);
        }
        checkpoint {
            numpack_checkpoint_open(_, _, _);
            numpack_checkpoint_get_info(_, _, _);
            numpack_checkpoint_find(_, _, _);
            numpack_checkpoint_warnings(_, _, _);
            numpack_checkpoint_read(_, _, _, _);
            numpack_checkpoint_sha256(_, _, _);
            numpack_checkpoint_read_rows(_, _, _, _, _, _);
            numpack_checkpoint_map(_, _, _, _);
        }
        tree {
            numpack_checkpoint_get_root(_, _);
            numpack_checkpoint_get_node(_, _, _);
            numpack_checkpoint_get_child(_, _, _, _, _);
            numpack_checkpoint_get_attributes(_, _, _);
        }
        tensor {
            numpack_tensor_zeros(_, _, _, _);
            numpack_tensor_share(_, _, _, _, _);
            numpack_tensor_copy(_, _);
            numpack_tensor_get_layout(_, _);
            numpack_tensor_is_shared(_, _);
            numpack_tensor_shares(_, _, _);
        }
        tensor_array {
            numpack_tensor_from_numpy(_, _, _, _);
            numpack_tensor_as_tensor(_, _, _, _, _);
            numpack_tensor_copy_numpy(_, _, _, _);
            numpack_tensor_numpy(_, _);
            numpack_tensor_get_view(_, _);
            numpack_checkpoint_load(_, _, _);
            numpack_array_load(_, _);
            numpack_checkpoint_load_mapped(_, _, _);
            numpack_checkpoint_load_all(_, _, _);
        }
        tensor_views {
            numpack_tensor_select(_, _, _, _);
            numpack_tensor_slice(_, _, _, _, _, _);
            numpack_tensor_narrow(_, _, _, _, _);
            numpack_tensor_transpose(_, _, _, _);
            numpack_tensor_permute(_, _, _, _);
            numpack_tensor_squeeze(_, _, _);
            numpack_tensor_squeeze_all(_, _);
            numpack_tensor_unsqueeze(_, _, _);
            numpack_tensor_expand(_, _, _, _);
            numpack_tensor_view(_, _, _, _);
            numpack_tensor_reshape(_, _, _, _);
            numpack_tensor_flatten(_, _, _, _);
            numpack_tensor_detach(_, _);
            numpack_tensor_require_grad(_, _, _);
            numpack_tensor_clone(_, _);
            numpack_tensor_contiguous(_, _);
            numpack_tensor_to_dtype(_, _, _);
            numpack_tensor_cpu(_, _);
        }
        tensor_values {
            numpack_tensor_full(_, _, _, _, _);
            numpack_tensor_get(_, _, _, _);
            numpack_tensor_set(_, _, _, _);
            numpack_tensor_fill(_, _);
            numpack_tensor_copy_from(_, _);
            numpack_tensor_read(_, _, _);
            numpack_tensor_write(_, _, _);
        }
        dlpack {
            numpack_tensor_to_dlpack(_, _, _);
            numpack_tensor_to_dlpack_legacy(_, _, _);
            numpack_tensor_from_dlpack(_, _);
            numpack_tensor_from_dlpack_legacy(_, _);
        }
        save {
            numpack_save_torch(_, _, _, _, _);
            numpack_save_tensors(_, _, _, _, _);
            numpack_from_torch(_, _, _, _, _);
        }
        object {
            numpack_object_create(_);
            numpack_object_add(_, _, _);
            numpack_object_add_items(_, _, _, _, _);
            numpack_object_add_dict(_, _, _, _, _, _, _);
            numpack_object_add_tensor(_, _, _, _);
            numpack_object_save(_, _, _, _);
        }
        verify {
            numpack_store_verify(_, _, _, _, _);
            numpack_verify(_, _, _, _, _);
        }
        device {
            numpack_devices(_);
            numpack_device_list_get(_, _, _);
            numpack_device_open(_, _);
            numpack_device_get_info(_, _);
            numpack_device_get_warning(_, _);
            numpack_device_get_usage(_, _);
            numpack_device_synchronize(_);
            numpack_device_trim(_);
            numpack_tensor_to_device(_, _, _);
        }
        nn_tensor {
            numpack_nn_tensor_from_tensor(_, _);
            numpack_nn_tensor_to_tensor(_, _);
            numpack_nn_tensor_get_info(_, _);
            numpack_nn_tensor_read(_, _, _);
            numpack_nn_tensor_item(_, _);
            numpack_nn_tensor_full(_, _, _, _, _, _);
            numpack_nn_tensor_random(_, _, _, _, _, _);
            numpack_nn_tensor_arange(_, _, _);
            numpack_nn_manual_seed(_);
            numpack_nn_tensor_to_device(_, _, _);
            numpack_nn_tensor_to_dtype(_, _, _);
        }
        nn_grad {
            numpack_nn_tensor_require_grad(_, _);
            numpack_nn_tensor_grad(_, _);
            numpack_nn_tensor_set_grad(_, _);
            numpack_nn_tensor_detach(_, _);
            numpack_nn_tensor_backward(_, _, _);
            numpack_nn_set_grad_enabled(_, _);
            numpack_nn_tensor_copy_from(_, _);
            numpack_nn_tensor_fill(_, _);
            numpack_nn_tensor_refresh(_, _, _);
            numpack_nn_tensor_write_to(_, _);
            numpack_nn_tensor_set_data(_, _);
        }
        nn_ops {
            numpack_nn_tensor_unary(_, _, _);
            numpack_nn_tensor_binary(_, _, _, _);
            numpack_nn_tensor_binary_in_memory(_, _, _, _);
            numpack_nn_tensor_binary_scalar(_, _, _, _, _);
            numpack_nn_tensor_where(_, _, _, _);
            numpack_nn_tensor_clamp(_, _, _, _);
            numpack_nn_tensor_reduce(_, _, _, _, _, _);
            numpack_nn_tensor_var(_, _, _, _, _, _);
        }
        nn_views {
            numpack_nn_tensor_select(_, _, _, _);
            numpack_nn_tensor_slice(_, _, _, _, _, _);
            numpack_nn_tensor_narrow(_, _, _, _, _);
            numpack_nn_tensor_transpose(_, _, _, _);
            numpack_nn_tensor_permute(_, _, _, _);
            numpack_nn_tensor_squeeze(_, _, _);
            numpack_nn_tensor_unsqueeze(_, _, _);
            numpack_nn_tensor_expand(_, _, _, _);
            numpack_nn_tensor_reshape(_, _, _, _);
            numpack_nn_tensor_flatten(_, _, _, _);
            numpack_nn_tensor_contiguous(_, _);
            numpack_nn_tensor_clone(_, _);
            numpack_nn_tensor_cat(_, _, _, _);
            numpack_nn_tensor_stack(_, _, _, _);
            numpack_nn_tensor_index_select(_, _, _, _);
            numpack_nn_tensor_gather(_, _, _, _);
            numpack_nn_tensor_embedding(_, _, _, _);
        }
        nn_layers {
            numpack_nn_tensor_matmul(_, _, _);
            numpack_nn_tensor_linear(_, _, _, _);
            numpack_nn_tensor_linear_activation(_, _, _, _, _);
            numpack_nn_tensor_softmax(_, _, _, _);
            numpack_nn_tensor_layer_norm(_, _, _, _, _, _, _);
            numpack_nn_tensor_rms_norm(_, _, _, _, _, _);
            numpack_nn_tensor_dropout(_, _, _);
            numpack_nn_tensor_cross_entropy(_, _, _, _);
            numpack_nn_tensor_nll_loss(_, _, _, _);
            numpack_nn_tensor_loss(_, _, _, _, _);
        }
        nn_module {
            numpack_nn_module_forward(_, _, _);
            numpack_nn_module_forward_masked(_, _, _, _, _);
            numpack_nn_module_get_parameter(_, _, _, _);
            numpack_nn_module_state(_, _);
            numpack_nn_module_load_state(_, _, _, _, _);
            numpack_nn_module_to_device(_, _);
            numpack_nn_module_train(_, _);
            numpack_nn_module_zero_grad(_);
            numpack_nn_module_save(_, _, _);
            numpack_nn_module_load(_, _, _, _);
        }
        nn_modules {
            numpack_nn_module_linear(_, _, _, _);
            numpack_nn_module_activation(_, _);
            numpack_nn_module_softmax(_, _, _);
            numpack_nn_module_dropout(_, _);
            numpack_nn_module_layer_norm(_, _, _, _, _);
            numpack_nn_module_rms_norm(_, _, _, _);
            numpack_nn_module_embedding(_, _, _, _);
            numpack_nn_module_flatten(_, _, _);
            numpack_nn_module_sequential(_, _, _);
            numpack_nn_module_multihead_attention(_, _, _, _, _, _);
            numpack_nn_module_transformer_encoder_layer(_, _, _, _, _);
        }
        nn_state {
            numpack_nn_state_get(_, _, _, _);
        }
        nn_optim {
            numpack_nn_optimizer_sgd(_, _, _, _, _);
            numpack_nn_optimizer_adam(_, _, _, _, _);
            numpack_nn_optimizer_add_group(_, _, _, _);
            numpack_nn_optimizer_set_lr(_, _, _);
            numpack_nn_optimizer_step(_);
            numpack_nn_optimizer_zero_grad(_);
            numpack_nn_clip_grad_norm(_, _, _, _);
            numpack_nn_clip_grad_value(_, _, _);
        }
        nn_step {
            numpack_nn_step_create(_, _, _, _, _, _);
            numpack_nn_step_run(_, _, _);
            numpack_nn_step_loss(_, _);
        }
        nn_custom {
            numpack_nn_module_custom(_, _, _, _, _, _, _);
            numpack_nn_step_create_custom(_, _, _, _, _, _, _, _);
        }
        nn_settings {
            numpack_nn_optimizer_state(_, _);
            numpack_nn_optimizer_load_state(_, _, _, _);
            numpack_nn_optimizer_get_setting(_, _, _, _);
            numpack_nn_optimizer_set_setting(_, _, _, _);
            numpack_nn_save_training(_, _, _, _);
            numpack_nn_optimizer_load(_, _, _);
        }
    }
}

fn last_error() -> String {
    let mut text = [0; 200];
    // SAFETY: a buffer of this size.
    let length = unsafe { numpack_last_error(text.as_mut_ptr().cast(), text.len()) };
    String::from_utf8(text[..length].to_vec()).unwrap()
}

#[test]
fn a_panic_in_any_function_is_a_status() {
    for (name, call) in functions() {
        IS_ARMED.set(true);
        assert_eq!(call(), NUMPACK_PANIC, "{name}");
        assert!(!IS_ARMED.get(), "{name}");
        assert_eq!(last_error(), "a fault of libnumpack: struck; please report it", "{name}");
        let is_untouched = |byte: &AtomicU8| byte.load(Ordering::Relaxed) == 0xa5;
        assert!(MEMORY.iter().all(is_untouched), "{name} wrote to an output");
        // And the next call works.
        assert_eq!(crate::shell::guard(|| Ok(())), NUMPACK_OK);
        assert_eq!(last_error(), "");
    }
}

#[test]
fn no_function_with_a_status_is_forgotten() {
    let header = include_str!("../../include/numpack.h");
    let declared = |line: &'static str| line.strip_prefix("int32_t ")?.split_once('(');
    let mut declared: Vec<&str> =
        header.lines().filter_map(declared).map(|(name, _)| name).collect();
    // What it returns is no status.
    declared.retain(|&name| name != "numpack_last_os_error");
    let mut called: Vec<&str> = functions().into_iter().map(|(name, _)| name).collect();
    declared.sort_unstable();
    called.sort_unstable();
    assert_eq!(called, declared);
}
