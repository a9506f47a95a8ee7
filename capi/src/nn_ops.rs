//! What is computed of elements: functions of one and two, sums and the like.

use numpack_interop::{Error, nn};
use numpack_nn::{Other, Scalar, Tensor};

use crate::handle;
use crate::nn_tensor::{borrow, give, make, numpack_nn_tensor, of_nn, scalar};
use crate::shell::{guard, parameter};
use crate::tensor::numpack_tensor;
use crate::tensor_values::numpack_scalar;
use crate::tensor_views::numbers;

/// The negative of each element.
pub const NUMPACK_NN_NEG: i32 = 0;
/// The absolute value.
pub const NUMPACK_NN_ABS: i32 = 1;
/// e to the power of it.
pub const NUMPACK_NN_EXP: i32 = 2;
/// The natural logarithm.
pub const NUMPACK_NN_LOG: i32 = 3;
/// The square root.
pub const NUMPACK_NN_SQRT: i32 = 4;
/// One over the square root.
pub const NUMPACK_NN_RSQRT: i32 = 5;
/// One over it.
pub const NUMPACK_NN_RECIPROCAL: i32 = 6;
/// It times itself.
pub const NUMPACK_NN_SQUARE: i32 = 7;
/// The sine.
pub const NUMPACK_NN_SIN: i32 = 8;
/// The cosine.
pub const NUMPACK_NN_COS: i32 = 9;
/// The hyperbolic tangent.
pub const NUMPACK_NN_TANH: i32 = 10;
/// 1 / (1 + e^-x).
pub const NUMPACK_NN_SIGMOID: i32 = 11;
/// It, or 0 if that is more.
pub const NUMPACK_NN_RELU: i32 = 12;
/// x times the part of a normal distribution below x.
pub const NUMPACK_NN_GELU: i32 = 13;
/// The same by its approximation with a hyperbolic tangent.
pub const NUMPACK_NN_GELU_TANH: i32 = 14;
/// x times the sigmoid of x.
pub const NUMPACK_NN_SILU: i32 = 15;
/// Whether it is false, of truth values.
pub const NUMPACK_NN_LOGICAL_NOT: i32 = 16;

/// The sums of two tensors.
pub const NUMPACK_NN_ADD: i32 = 100;
/// The differences.
pub const NUMPACK_NN_SUB: i32 = 101;
/// The products.
pub const NUMPACK_NN_MUL: i32 = 102;
/// The quotients, floats of integers.
pub const NUMPACK_NN_DIV: i32 = 103;
/// The first to the power of the second.
pub const NUMPACK_NN_POW: i32 = 104;
/// The larger of each two, or NaN if one is.
pub const NUMPACK_NN_MAXIMUM: i32 = 105;
/// The smaller of each two, or NaN if one is.
pub const NUMPACK_NN_MINIMUM: i32 = 106;
/// Whether they are equal.
pub const NUMPACK_NN_EQ: i32 = 107;
/// Whether they are not equal.
pub const NUMPACK_NN_NE: i32 = 108;
/// Whether the first is less.
pub const NUMPACK_NN_LT: i32 = 109;
/// Whether the first is less or equal.
pub const NUMPACK_NN_LE: i32 = 110;
/// Whether the first is greater.
pub const NUMPACK_NN_GT: i32 = 111;
/// Whether the first is greater or equal.
pub const NUMPACK_NN_GE: i32 = 112;
/// Whether both are true, of truth values.
pub const NUMPACK_NN_LOGICAL_AND: i32 = 113;
/// Whether one is true, of truth values.
pub const NUMPACK_NN_LOGICAL_OR: i32 = 114;
/// Whether just one is true, of truth values.
pub const NUMPACK_NN_LOGICAL_XOR: i32 = 115;

/// The sum along dimensions.
pub const NUMPACK_NN_SUM: i32 = 200;
/// The mean, of floats.
pub const NUMPACK_NN_MEAN: i32 = 201;
/// The largest.
pub const NUMPACK_NN_AMAX: i32 = 202;
/// The smallest.
pub const NUMPACK_NN_AMIN: i32 = 203;
/// The place of the largest, along one dimension or among all elements, as `INT64`.
pub const NUMPACK_NN_ARGMAX: i32 = 204;
/// The place of the smallest.
pub const NUMPACK_NN_ARGMIN: i32 = 205;

fn none_of(what: &str, op: i32) -> Error {
    parameter(format!("op is {op}, which is none of {what}"))
}

fn binary(a: &Tensor, op: i32, b: Other<'_>) -> Result<Tensor, Error> {
    of_nn(match op {
        NUMPACK_NN_ADD => a.add(b),
        NUMPACK_NN_SUB => a.sub(b),
        NUMPACK_NN_MUL => a.mul(b),
        NUMPACK_NN_DIV => a.div(b),
        NUMPACK_NN_POW => a.pow(b),
        NUMPACK_NN_MAXIMUM => a.maximum(b),
        NUMPACK_NN_MINIMUM => a.minimum(b),
        NUMPACK_NN_EQ => a.eq(b),
        NUMPACK_NN_NE => a.ne(b),
        NUMPACK_NN_LT => a.lt(b),
        NUMPACK_NN_LE => a.le(b),
        NUMPACK_NN_GT => a.gt(b),
        NUMPACK_NN_GE => a.ge(b),
        NUMPACK_NN_LOGICAL_AND => a.logical_and(b),
        NUMPACK_NN_LOGICAL_OR => a.logical_or(b),
        NUMPACK_NN_LOGICAL_XOR => a.logical_xor(b),
        other => return Err(none_of("those from NUMPACK_NN_ADD on", other)),
    })
}

/// The same with the number first.
fn reversed(number: Scalar, op: i32, t: &Tensor) -> Result<Tensor, Error> {
    let op = match op {
        NUMPACK_NN_SUB => return of_nn(t.rsub(number)),
        NUMPACK_NN_DIV => return of_nn(t.rdiv(number)),
        NUMPACK_NN_POW => return of_nn(t.rpow(number)),
        NUMPACK_NN_LT => NUMPACK_NN_GT,
        NUMPACK_NN_LE => NUMPACK_NN_GE,
        NUMPACK_NN_GT => NUMPACK_NN_LT,
        NUMPACK_NN_GE => NUMPACK_NN_LE,
        same_either_way => same_either_way,
    };
    binary(t, op, number.into())
}

/// A function of each element: `op` is one of those from `NUMPACK_NN_NEG` to
/// `NUMPACK_NN_LOGICAL_NOT`. The gradients of all but the last are known.
///
/// Errors, here and in all that computes: `NUMPACK_TYPE` for elements that the operation does not
/// take, which on a device may be `NUMPACK_PARAMETER`, and on a device for those it has not;
/// `NUMPACK_PARAMETER` for shapes, dimensions and numbers that it does not take; `NUMPACK_SHARING`
/// for tensors on two devices; `NUMPACK_OUT_OF_MEMORY`; `NUMPACK_DEVICE`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_nn_tensor_unary(
    tensor: *const numpack_nn_tensor,
    op: i32,
    result: *mut *mut numpack_nn_tensor,
) -> i32 {
    let compute = |t: &Tensor| {
        of_nn(match op {
            NUMPACK_NN_NEG => t.neg(),
            NUMPACK_NN_ABS => t.abs(),
            NUMPACK_NN_EXP => t.exp(),
            NUMPACK_NN_LOG => t.log(),
            NUMPACK_NN_SQRT => t.sqrt(),
            NUMPACK_NN_RSQRT => t.rsqrt(),
            NUMPACK_NN_RECIPROCAL => t.reciprocal(),
            NUMPACK_NN_SQUARE => t.square(),
            NUMPACK_NN_SIN => t.sin(),
            NUMPACK_NN_COS => t.cos(),
            NUMPACK_NN_TANH => t.tanh(),
            NUMPACK_NN_SIGMOID => t.sigmoid(),
            NUMPACK_NN_RELU => t.relu(),
            NUMPACK_NN_GELU => t.gelu(),
            NUMPACK_NN_GELU_TANH => t.gelu_tanh(),
            NUMPACK_NN_SILU => t.silu(),
            NUMPACK_NN_LOGICAL_NOT => t.logical_not(),
            other => return Err(none_of("those from NUMPACK_NN_NEG on", other)),
        })
    };
    // SAFETY: the caller's promise.
    unsafe { make(tensor, result, compute) }
}

/// A function of each two elements: `op` is one of those from `NUMPACK_NN_ADD` to
/// `NUMPACK_NN_LOGICAL_XOR`. Shapes broadcast and types are promoted as in PyTorch.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_nn_tensor_binary(
    tensor: *const numpack_nn_tensor,
    op: i32,
    other: *const numpack_nn_tensor,
    result: *mut *mut numpack_nn_tensor,
) -> i32 {
    let compute = |t: &Tensor| {
        // SAFETY: the caller's promise.
        binary(t, op, unsafe { borrow(other) }?.into())
    };
    // SAFETY: the caller's promise.
    unsafe { make(tensor, result, compute) }
}

/// The same of two tensors in memory, without tensors that compute to be made of them first: of small
/// ones that takes longer than what is computed.
///
/// Errors: those of `numpack_nn_tensor_from_tensor`; `NUMPACK_PARAMETER` for one that requires grad,
/// which would get none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_nn_tensor_binary_in_memory(
    tensor: *const numpack_tensor,
    op: i32,
    other: *const numpack_tensor,
    result: *mut *mut numpack_nn_tensor,
) -> i32 {
    guard(|| {
        // SAFETY: the caller's promise.
        let tensor = &unsafe { handle::borrow(tensor) }?.tensor;
        // SAFETY: the caller's promise.
        let other = &unsafe { handle::borrow(other) }?.tensor;
        handle::wanted(result)?;
        if tensor.requires_grad() || other.requires_grad() {
            let advice = "compute with what numpack_nn_tensor_from_tensor makes of it";
            return Err(parameter(format!("the tensor requires grad; {advice}")));
        }
        let new = binary(&nn::to_nn(tensor)?, op, (&nn::to_nn(other)?).into())?;
        // SAFETY: not NULL; the caller vouches for the memory.
        unsafe { give(result, new) };
        Ok(())
    })
}

/// The same of each element and a number; if `reversed` is not 0, the number comes first. It takes
/// less part in choosing the type of the result than a tensor.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_nn_tensor_binary_scalar(
    tensor: *const numpack_nn_tensor,
    op: i32,
    value: *const numpack_scalar,
    reversed: i32,
    result: *mut *mut numpack_nn_tensor,
) -> i32 {
    let compute = |t: &Tensor| {
        // SAFETY: the caller's promise.
        let value = unsafe { scalar(value) }?;
        if reversed == 0 { binary(t, op, value.into()) } else { self::reversed(value, op, t) }
    };
    // SAFETY: the caller's promise.
    unsafe { make(tensor, result, compute) }
}

/// Of each two elements that of `tensor` where `condition`, of truth values, is true, else that of
/// `other`. All three broadcast.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_nn_tensor_where(
    tensor: *const numpack_nn_tensor,
    condition: *const numpack_nn_tensor,
    other: *const numpack_nn_tensor,
    result: *mut *mut numpack_nn_tensor,
) -> i32 {
    let compute = |t: &Tensor| {
        // SAFETY: the caller's promise.
        let condition = unsafe { borrow(condition) }?;
        // SAFETY: the caller's promise.
        of_nn(t.where_(condition, unsafe { borrow(other) }?))
    };
    // SAFETY: the caller's promise.
    unsafe { make(tensor, result, compute) }
}

/// Each element, or the bound that it is beyond; either may be NULL, but not both.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_nn_tensor_clamp(
    tensor: *const numpack_nn_tensor,
    min: *const f64,
    max: *const f64,
    result: *mut *mut numpack_nn_tensor,
) -> i32 {
    let compute = |t: &Tensor| {
        // SAFETY: the caller's promise.
        let min = unsafe { min.as_ref() };
        // SAFETY: the caller's promise.
        let max = unsafe { max.as_ref() };
        of_nn(t.clamp(min.copied(), max.copied()))
    };
    // SAFETY: the caller's promise.
    unsafe { make(tensor, result, compute) }
}

/// One element of those along `count` dimensions, or of all for 0: `op` is one of those from
/// `NUMPACK_NN_SUM` on. The dimensions go, or stay with size 1 if `keepdim` is not 0.
///
/// Errors: `NUMPACK_PARAMETER` also for several dimensions of `NUMPACK_NN_ARGMAX` and
/// `NUMPACK_NN_ARGMIN`, and where the largest or smallest of nothing is asked for.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_nn_tensor_reduce(
    tensor: *const numpack_nn_tensor,
    op: i32,
    count: u32,
    dims: *const i64,
    keepdim: i32,
    result: *mut *mut numpack_nn_tensor,
) -> i32 {
    let keepdim = keepdim != 0;
    let compute = |t: &Tensor| {
        // SAFETY: the caller's promise.
        let dims = unsafe { numbers(dims, count, "dims") }?;
        let one = || match dims {
            [] => Ok(None),
            [dim] => Ok(Some(*dim)),
            _ => Err(parameter(format!("{count} dimensions; give one, or none for all elements"))),
        };
        of_nn(match op {
            NUMPACK_NN_SUM => t.sum_dims(dims, keepdim),
            NUMPACK_NN_MEAN => t.mean_dims(dims, keepdim),
            NUMPACK_NN_AMAX => t.amax(dims, keepdim),
            NUMPACK_NN_AMIN => t.amin(dims, keepdim),
            NUMPACK_NN_ARGMAX => t.argmax(one()?, keepdim),
            NUMPACK_NN_ARGMIN => t.argmin(one()?, keepdim),
            other => return Err(none_of("those from NUMPACK_NN_SUM on", other)),
        })
    };
    // SAFETY: the caller's promise.
    unsafe { make(tensor, result, compute) }
}

/// The variance along `count` dimensions, or of all elements for 0: of n elements divided by
/// n - `correction`, which is 1 as a rule.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_nn_tensor_var(
    tensor: *const numpack_nn_tensor,
    count: u32,
    dims: *const i64,
    correction: f64,
    keepdim: i32,
    result: *mut *mut numpack_nn_tensor,
) -> i32 {
    let compute = |t: &Tensor| {
        // SAFETY: the caller's promise.
        let dims = unsafe { numbers(dims, count, "dims") }?;
        of_nn(t.var(dims, correction, keepdim != 0))
    };
    // SAFETY: the caller's promise.
    unsafe { make(tensor, result, compute) }
}
