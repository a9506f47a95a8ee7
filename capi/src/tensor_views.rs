//! Views of tensors: the same memory, other sizes and strides; and copies.

use numpack_interop::{Error, Tensor};

use crate::dtype;
use crate::handle;
use crate::shell::{self, guard, parameter};
use crate::tensor::{self, numpack_tensor};

/// In place of a slice's `start` or `stop`: from or to the end. It is `INT64_MIN`, as
/// `NUMPACK_ROWS_END` is.
pub const NUMPACK_SLICE_END: i64 = -9_223_372_036_854_775_807 - 1;

/// Does `work` on a tensor, and gives the caller what it makes.
///
/// # Safety
/// `from` is NULL or a tensor; `out` is NULL or writable.
unsafe fn make(
    from: *const numpack_tensor,
    out: *mut *mut numpack_tensor,
    work: impl FnOnce(&Tensor) -> Result<Tensor, Error>,
) -> i32 {
    guard(|| {
        // SAFETY: the caller's promise.
        let from = &unsafe { handle::borrow(from) }?.tensor;
        handle::wanted(out)?;
        let new = work(from)?;
        // SAFETY: not NULL; the caller vouches for the memory.
        unsafe { tensor::give(out, new) };
        Ok(())
    })
}

/// The same with `count` numbers of the caller's.
///
/// # Safety
/// As for [`make`]; `first` is NULL or points to so many numbers.
unsafe fn make_with(
    from: *const numpack_tensor,
    (first, count, what): (*const i64, u32, &str),
    out: *mut *mut numpack_tensor,
    work: impl FnOnce(&Tensor, &[isize]) -> Result<Tensor, Error>,
) -> i32 {
    let work = |t: &Tensor| {
        // SAFETY: the caller's promise.
        work(t, unsafe { numbers(first, count, what) }?)
    };
    // SAFETY: the caller's promise.
    unsafe { make(from, out, work) }
}

/// A dimension or an index: it fits, or is out of any range.
pub(crate) fn number(n: i64) -> isize {
    n as isize
}

const _: () = assert!(size_of::<i64>() == size_of::<isize>());

/// One index of a dimension, which goes. Negative dimensions and indices count from the end, here
/// and below. The view owns its share of the memory and outlives the tensor, as all views do.
///
/// Errors: `NUMPACK_PARAMETER` for a dimension or an index that is not there, here and below.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_tensor_select(
    tensor: *const numpack_tensor,
    dim: i64,
    index: i64,
    view: *mut *mut numpack_tensor,
) -> i32 {
    // SAFETY: the caller's promise.
    unsafe { make(tensor, view, |t| t.select(number(dim), number(index))) }
}

/// Every `step`-th index of a dimension from `start` to before `stop`, as Python's slices have it:
/// both are cut to what is there, and may be `NUMPACK_SLICE_END`. `step` is 1 or more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_tensor_slice(
    tensor: *const numpack_tensor,
    dim: i64,
    start: i64,
    stop: i64,
    step: i64,
    view: *mut *mut numpack_tensor,
) -> i32 {
    let end = |i: i64| (i != NUMPACK_SLICE_END).then_some(number(i));
    // SAFETY: the caller's promise.
    unsafe { make(tensor, view, |t| t.slice(number(dim), end(start), end(stop), number(step))) }
}

/// `length` indices of a dimension from `start` on.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_tensor_narrow(
    tensor: *const numpack_tensor,
    dim: i64,
    start: u64,
    length: u64,
    view: *mut *mut numpack_tensor,
) -> i32 {
    // SAFETY: the caller's promise.
    unsafe { make(tensor, view, |t| t.narrow(number(dim), start as usize, length as usize)) }
}

/// Two dimensions change places.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_tensor_transpose(
    tensor: *const numpack_tensor,
    a: i64,
    b: i64,
    view: *mut *mut numpack_tensor,
) -> i32 {
    // SAFETY: the caller's promise.
    unsafe { make(tensor, view, |t| t.transpose(number(a), number(b))) }
}

/// The dimensions in another order: `count` of them, each named once.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_tensor_permute(
    tensor: *const numpack_tensor,
    count: u32,
    dims: *const i64,
    view: *mut *mut numpack_tensor,
) -> i32 {
    // SAFETY: the caller's promise.
    unsafe { make_with(tensor, (dims, count, "dims"), view, Tensor::permute) }
}

/// Without the dimension, if its size is 1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_tensor_squeeze(
    tensor: *const numpack_tensor,
    dim: i64,
    view: *mut *mut numpack_tensor,
) -> i32 {
    // SAFETY: the caller's promise.
    unsafe { make(tensor, view, |t| t.squeeze(Some(number(dim)))) }
}

/// Without all dimensions of size 1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_tensor_squeeze_all(
    tensor: *const numpack_tensor,
    view: *mut *mut numpack_tensor,
) -> i32 {
    // SAFETY: the caller's promise.
    unsafe { make(tensor, view, |t| t.squeeze(None)) }
}

/// One more dimension of size 1, which becomes dimension `dim`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_tensor_unsqueeze(
    tensor: *const numpack_tensor,
    dim: i64,
    view: *mut *mut numpack_tensor,
) -> i32 {
    // SAFETY: the caller's promise.
    unsafe { make(tensor, view, |t| t.unsqueeze(number(dim))) }
}

/// Dimensions of size 1 become these sizes, new ones come in front, and -1 keeps a size: `count`
/// sizes. Elements that are shown more than once cannot be written to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_tensor_expand(
    tensor: *const numpack_tensor,
    count: u32,
    sizes: *const i64,
    view: *mut *mut numpack_tensor,
) -> i32 {
    // SAFETY: the caller's promise.
    unsafe { make_with(tensor, (sizes, count, "sizes"), view, Tensor::expand) }
}

/// The same elements in the same order with `count` other sizes, of which one may be -1 and follows
/// from the others. Errors: `NUMPACK_PARAMETER` also where that takes a copy.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_tensor_view(
    tensor: *const numpack_tensor,
    count: u32,
    sizes: *const i64,
    view: *mut *mut numpack_tensor,
) -> i32 {
    // SAFETY: the caller's promise.
    unsafe { make_with(tensor, (sizes, count, "sizes"), view, Tensor::view) }
}

/// The same, but copied where that is needed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_tensor_reshape(
    tensor: *const numpack_tensor,
    count: u32,
    sizes: *const i64,
    reshaped: *mut *mut numpack_tensor,
) -> i32 {
    // SAFETY: the caller's promise.
    unsafe { make_with(tensor, (sizes, count, "sizes"), reshaped, Tensor::reshape) }
}

/// One dimension in place of those from `first` to `last`, copied where that is needed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_tensor_flatten(
    tensor: *const numpack_tensor,
    first: i64,
    last: i64,
    flat: *mut *mut numpack_tensor,
) -> i32 {
    // SAFETY: the caller's promise.
    unsafe { make(tensor, flat, |t| t.flatten(number(first), number(last))) }
}

/// The same memory without the wish for a gradient.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_tensor_detach(
    tensor: *const numpack_tensor,
    detached: *mut *mut numpack_tensor,
) -> i32 {
    // SAFETY: the caller's promise.
    unsafe { make(tensor, detached, |t| Ok(t.detach())) }
}

/// The same memory with the wish for a gradient, or without it. The tensor handed in stays as it is.
/// Errors: `NUMPACK_TYPE` for integers and truth values.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_tensor_require_grad(
    tensor: *const numpack_tensor,
    requires_grad: i32,
    flagged: *mut *mut numpack_tensor,
) -> i32 {
    let flag = |t: &Tensor| {
        let mut t = t.alias();
        t.set_requires_grad(requires_grad != 0)?;
        Ok(t)
    };
    // SAFETY: the caller's promise.
    unsafe { make(tensor, flagged, flag) }
}

/// A copy in memory of its own, in C order, writable. Errors: `NUMPACK_OUT_OF_MEMORY`;
/// `NUMPACK_IN_USE`; `NUMPACK_SHARING` on a device.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_tensor_clone(
    tensor: *const numpack_tensor,
    copy: *mut *mut numpack_tensor,
) -> i32 {
    // SAFETY: the caller's promise.
    unsafe { make(tensor, copy, Tensor::clone) }
}

/// The same memory if the elements lie one after another in C order, else a copy in which they do.
/// Errors: as `numpack_tensor_clone`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_tensor_contiguous(
    tensor: *const numpack_tensor,
    contiguous: *mut *mut numpack_tensor,
) -> i32 {
    // SAFETY: the caller's promise.
    unsafe { make(tensor, contiguous, Tensor::contiguous) }
}

/// The elements as another type: the same memory if they have it already, else a copy.
///
/// Integers wrap; a float loses its fraction on the way to an integer, and one that does not fit
/// becomes the nearest integer there is, NaN 0; whatever is not zero is true; a complex number loses
/// its imaginary part; floats round to the nearest, of two to the even one. What is too large for an
/// 8-bit float becomes infinity, NaN in a type without one, but the largest number in
/// `FLOAT8_E4M3FN`. Errors: as `numpack_tensor_clone`, and `NUMPACK_TYPE` for a type no tensor in
/// memory has.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_tensor_to_dtype(
    tensor: *const numpack_tensor,
    dtype: i32,
    converted: *mut *mut numpack_tensor,
) -> i32 {
    // SAFETY: the caller's promise.
    unsafe { make(tensor, converted, |t| t.to_dtype(dtype::of_tensor(dtype)?)) }
}

/// The same memory if it is this process's, else a copy from the device.
/// Errors: `NUMPACK_OUT_OF_MEMORY`, `NUMPACK_DEVICE`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_tensor_cpu(
    tensor: *const numpack_tensor,
    host: *mut *mut numpack_tensor,
) -> i32 {
    // SAFETY: the caller's promise.
    unsafe { make(tensor, host, Tensor::cpu) }
}

/// The caller's dimensions or sizes.
///
/// # Safety
/// `first` is NULL or points to `count` numbers that stay unchanged for `'a`.
pub(crate) unsafe fn numbers<'a>(
    first: *const i64,
    count: u32,
    what: &str,
) -> Result<&'a [isize], Error> {
    if count > 4096 {
        return Err(parameter(format!("{what}: there are {count}, and no tensor has so many")));
    }
    // SAFETY: the caller's promise; the two integers have the same size.
    unsafe { shell::slice(first.cast::<isize>(), count as usize, what) }
}
