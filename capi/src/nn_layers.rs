//! Products of matrices, softmax, norms, dropout, losses.

use numpack_interop::Error;
use numpack_nn::{CrossEntropy, LayerActivation, Reduction, Tensor};

use crate::nn_ops::{
    NUMPACK_NN_GELU, NUMPACK_NN_GELU_TANH, NUMPACK_NN_RELU, NUMPACK_NN_SIGMOID, NUMPACK_NN_SILU,
    NUMPACK_NN_TANH,
};
use crate::nn_tensor::{borrow, make, numpack_nn_tensor, of_nn, optional};
use crate::shell::parameter;
use crate::structs::{self, Versioned};
use crate::tensor;
use crate::tensor_views::number;

/// The mean of the losses; weighted by the classes' weights where targets are indices.
pub const NUMPACK_NN_REDUCTION_MEAN: i32 = 0;
/// The sum of the losses.
pub const NUMPACK_NN_REDUCTION_SUM: i32 = 1;
/// All losses, as they are.
pub const NUMPACK_NN_REDUCTION_NONE: i32 = 2;

/// (x - target)².
pub const NUMPACK_NN_MSE: i32 = 300;
/// |x - target|.
pub const NUMPACK_NN_L1: i32 = 301;
/// The binary cross entropy between the sigmoid of x and a target from 0 to 1.
pub const NUMPACK_NN_BCE_WITH_LOGITS: i32 = 302;

/// How `numpack_nn_tensor_cross_entropy` and `numpack_nn_tensor_nll_loss` compute. Zero means the
/// default of each.
#[allow(non_camel_case_types, reason = "the name C programs type")]
#[derive(Clone, Copy)]
#[repr(C)]
pub struct numpack_nn_cross_entropy_options {
    /// `sizeof(numpack_nn_cross_entropy_options)`.
    pub struct_size: u32,
    /// A `NUMPACK_NN_REDUCTION_*`.
    pub reduction: i32,
    /// A weight for each class, in the logits' type. NULL: 1 for each.
    pub weight: *const numpack_nn_tensor,
    /// A target index that counts for nothing. NULL: -100.
    pub ignore_index: *const i64,
    /// What part of a target is spread over all classes, from 0 to 1.
    pub label_smoothing: f64,
}

// SAFETY: numbers and raw pointers only, and `struct_size` first.
unsafe impl Versioned for numpack_nn_cross_entropy_options {
    const NAME: &str = "numpack_nn_cross_entropy_options";
    const ZERO: Self = numpack_nn_cross_entropy_options {
        struct_size: 0,
        reduction: 0,
        weight: std::ptr::null(),
        ignore_index: std::ptr::null(),
        label_smoothing: 0.0,
    };
}

fn reduction(value: i32) -> Result<Reduction, Error> {
    match value {
        NUMPACK_NN_REDUCTION_MEAN => Ok(Reduction::Mean),
        NUMPACK_NN_REDUCTION_SUM => Ok(Reduction::Sum),
        NUMPACK_NN_REDUCTION_NONE => Ok(Reduction::None),
        other => {
            let problem = format!("reduction is {other}, which is none of NUMPACK_NN_REDUCTION_*");
            Err(parameter(problem))
        }
    }
}

/// The caller's options.
///
/// # Safety
/// `options` is NULL or points to options, whose pointers are NULL or valid.
unsafe fn settings(
    options: *const numpack_nn_cross_entropy_options,
) -> Result<CrossEntropy, Error> {
    // SAFETY: the caller's promise.
    let o = unsafe { structs::read_or_zero(options) }?;
    // SAFETY: the caller's promise.
    let weight = unsafe { optional(o.weight) };
    // SAFETY: the caller's promise.
    let ignored = unsafe { o.ignore_index.as_ref() };
    let usual = CrossEntropy::default();
    Ok(CrossEntropy {
        weight: weight.cloned(),
        ignore_index: ignored.copied().unwrap_or(usual.ignore_index),
        label_smoothing: o.label_smoothing,
        reduction: reduction(o.reduction)?,
    })
}

/// The product of two matrices, of a matrix and a vector, of two vectors, or of many matrices whose
/// outer dimensions broadcast, as `torch.matmul` has it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_nn_tensor_matmul(
    tensor: *const numpack_nn_tensor,
    other: *const numpack_nn_tensor,
    result: *mut *mut numpack_nn_tensor,
) -> i32 {
    let compute = |t: &Tensor| {
        // SAFETY: the caller's promise.
        of_nn(t.matmul(unsafe { borrow(other) }?))
    };
    // SAFETY: the caller's promise.
    unsafe { make(tensor, result, compute) }
}

/// The activation that a number of the caller's stands for.
pub(crate) fn activation(op: i32) -> Result<LayerActivation, Error> {
    Ok(match op {
        NUMPACK_NN_RELU => LayerActivation::Relu,
        NUMPACK_NN_GELU => LayerActivation::Gelu,
        NUMPACK_NN_GELU_TANH => LayerActivation::GeluTanh,
        NUMPACK_NN_SILU => LayerActivation::Silu,
        NUMPACK_NN_TANH => LayerActivation::Tanh,
        NUMPACK_NN_SIGMOID => LayerActivation::Sigmoid,
        other => {
            let problem = format!(
                "op is {other}; give NUMPACK_NN_RELU, _GELU, _GELU_TANH, _SILU, _TANH or _SIGMOID"
            );
            return Err(parameter(problem));
        }
    })
}

/// `tensor` times `weight`, transposed, plus `bias`, which may be NULL: of shape (…, in) to (…, out).
/// The weight has shape (out, in), the bias (out).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_nn_tensor_linear(
    tensor: *const numpack_nn_tensor,
    weight: *const numpack_nn_tensor,
    bias: *const numpack_nn_tensor,
    result: *mut *mut numpack_nn_tensor,
) -> i32 {
    let compute = |t: &Tensor| {
        // SAFETY: the caller's promise.
        let weight = unsafe { borrow(weight) }?;
        // SAFETY: the caller's promise.
        of_nn(t.linear(weight, unsafe { optional(bias) }))
    };
    // SAFETY: the caller's promise.
    unsafe { make(tensor, result, compute) }
}

/// `numpack_nn_tensor_linear`, and what is done with each element of its result, in one where the device
/// does that: `op` is one of those that `numpack_nn_module_activation` takes.
/// Errors: `NUMPACK_PARAMETER` also for another `op`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_nn_tensor_linear_activation(
    tensor: *const numpack_nn_tensor,
    weight: *const numpack_nn_tensor,
    bias: *const numpack_nn_tensor,
    op: i32,
    result: *mut *mut numpack_nn_tensor,
) -> i32 {
    let compute = |t: &Tensor| {
        let op = activation(op)?;
        // SAFETY: the caller's promise.
        let weight = unsafe { borrow(weight) }?;
        // SAFETY: the caller's promise.
        of_nn(t.linear_activation(weight, unsafe { optional(bias) }, op))
    };
    // SAFETY: the caller's promise.
    unsafe { make(tensor, result, compute) }
}

/// e to the power of each element over the sum of those along a dimension; its logarithm if
/// `logarithm` is not 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_nn_tensor_softmax(
    tensor: *const numpack_nn_tensor,
    dim: i64,
    logarithm: i32,
    result: *mut *mut numpack_nn_tensor,
) -> i32 {
    let compute = |t: &Tensor| {
        of_nn(if logarithm != 0 { t.log_softmax(number(dim)) } else { t.softmax(number(dim)) })
    };
    // SAFETY: the caller's promise.
    unsafe { make(tensor, result, compute) }
}

/// (x - mean) / √(variance + eps) over the last `ndim` dimensions, which have this shape, times
/// `weight`, plus `bias`, both of this shape or NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_nn_tensor_layer_norm(
    tensor: *const numpack_nn_tensor,
    ndim: u32,
    shape: *const u64,
    weight: *const numpack_nn_tensor,
    bias: *const numpack_nn_tensor,
    eps: f64,
    result: *mut *mut numpack_nn_tensor,
) -> i32 {
    let compute = |t: &Tensor| {
        // SAFETY: the caller's promise.
        let shape = unsafe { tensor::shape(shape, ndim) }?;
        // SAFETY: the caller's promise.
        let weight = unsafe { optional(weight) };
        // SAFETY: the caller's promise.
        of_nn(t.layer_norm(shape, weight, unsafe { optional(bias) }, eps))
    };
    // SAFETY: the caller's promise.
    unsafe { make(tensor, result, compute) }
}

/// x / √(mean of squares + eps) over the last `ndim` dimensions, which have this shape, times
/// `weight`, of this shape or NULL. With `eps` NULL it is the type's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_nn_tensor_rms_norm(
    tensor: *const numpack_nn_tensor,
    ndim: u32,
    shape: *const u64,
    weight: *const numpack_nn_tensor,
    eps: *const f64,
    result: *mut *mut numpack_nn_tensor,
) -> i32 {
    let compute = |t: &Tensor| {
        // SAFETY: the caller's promise.
        let shape = unsafe { tensor::shape(shape, ndim) }?;
        // SAFETY: the caller's promise.
        let eps = unsafe { eps.as_ref() };
        // SAFETY: the caller's promise.
        of_nn(t.rms_norm(shape, unsafe { optional(weight) }, eps.copied()))
    };
    // SAFETY: the caller's promise.
    unsafe { make(tensor, result, compute) }
}

/// 0 with probability `p`, else x / (1 - p).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_nn_tensor_dropout(
    tensor: *const numpack_nn_tensor,
    p: f64,
    result: *mut *mut numpack_nn_tensor,
) -> i32 {
    // SAFETY: the caller's promise.
    unsafe { make(tensor, result, |t| of_nn(t.dropout(p))) }
}

/// The cross entropy between the probabilities that softmax makes of `tensor`, of shape (classes),
/// (batch, classes) or (batch, classes, …), and `target`: class indices of that shape without
/// classes, or probabilities of the same shape. `options` may be NULL.
///
/// Errors: `NUMPACK_SHARING` also for a target that wants a gradient; `NUMPACK_INDEX` for classes that
/// are not there, where a device's loss is NaN instead.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_nn_tensor_cross_entropy(
    tensor: *const numpack_nn_tensor,
    target: *const numpack_nn_tensor,
    options: *const numpack_nn_cross_entropy_options,
    loss: *mut *mut numpack_nn_tensor,
) -> i32 {
    let compute = |t: &Tensor| {
        // SAFETY: the caller's promise.
        let target = unsafe { borrow(target) }?;
        // SAFETY: the caller's promise.
        of_nn(t.cross_entropy(target, &unsafe { settings(options) }?))
    };
    // SAFETY: the caller's promise.
    unsafe { make(tensor, loss, compute) }
}

/// The same behind a logarithm of softmax, of class indices; label smoothing is not used.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_nn_tensor_nll_loss(
    tensor: *const numpack_nn_tensor,
    target: *const numpack_nn_tensor,
    options: *const numpack_nn_cross_entropy_options,
    loss: *mut *mut numpack_nn_tensor,
) -> i32 {
    let compute = |t: &Tensor| {
        // SAFETY: the caller's promise.
        let target = unsafe { borrow(target) }?;
        // SAFETY: the caller's promise.
        of_nn(t.nll_loss(target, &unsafe { settings(options) }?))
    };
    // SAFETY: the caller's promise.
    unsafe { make(tensor, loss, compute) }
}

/// A loss of two tensors of one shape: `kind` is `NUMPACK_NN_MSE`, `NUMPACK_NN_L1` or
/// `NUMPACK_NN_BCE_WITH_LOGITS`, and `reduction` a `NUMPACK_NN_REDUCTION_*`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_nn_tensor_loss(
    tensor: *const numpack_nn_tensor,
    kind: i32,
    target: *const numpack_nn_tensor,
    reduction: i32,
    loss: *mut *mut numpack_nn_tensor,
) -> i32 {
    let compute = |t: &Tensor| {
        let reduction = self::reduction(reduction)?;
        // SAFETY: the caller's promise.
        let target = unsafe { borrow(target) }?;
        of_nn(match kind {
            NUMPACK_NN_MSE => t.mse_loss(target, reduction),
            NUMPACK_NN_L1 => t.l1_loss(target, reduction),
            NUMPACK_NN_BCE_WITH_LOGITS => t.binary_cross_entropy_with_logits(target, reduction),
            other => {
                let problem =
                    format!("kind is {other}, which is none of those from NUMPACK_NN_MSE on");
                return Err(parameter(problem));
            }
        })
    };
    // SAFETY: the caller's promise.
    unsafe { make(tensor, loss, compute) }
}
