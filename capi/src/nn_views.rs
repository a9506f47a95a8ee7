//! Views of tensors that compute, joining, picking by indices.

use numpack_interop::Error;
use numpack_nn::Tensor;

use crate::handle;
use crate::nn_tensor::{borrow, borrow_all, give, make, numpack_nn_tensor, of_nn};
use crate::shell::guard;
use crate::tensor_views::{NUMPACK_SLICE_END, number, numbers};

/// The same with `count` numbers of the caller's.
///
/// # Safety
/// As for [`make`]; `first` is NULL or points to so many numbers.
unsafe fn make_with(
    from: *const numpack_nn_tensor,
    (first, count, what): (*const i64, u32, &str),
    out: *mut *mut numpack_nn_tensor,
    work: impl FnOnce(&Tensor, &[isize]) -> Result<Tensor, Error>,
) -> i32 {
    let work = |t: &Tensor| {
        // SAFETY: the caller's promise.
        work(t, unsafe { numbers(first, count, what) }?)
    };
    // SAFETY: the caller's promise.
    unsafe { make(from, out, work) }
}

/// One index of a dimension, which goes. Negative dimensions and indices count from the end, here
/// and below. On a device a view is changed with its tensor, on the host it keeps what it shows.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_nn_tensor_select(
    tensor: *const numpack_nn_tensor,
    dim: i64,
    index: i64,
    view: *mut *mut numpack_nn_tensor,
) -> i32 {
    // SAFETY: the caller's promise.
    unsafe { make(tensor, view, |t| of_nn(t.select(number(dim), index))) }
}

/// Every `step`-th index of a dimension from `start` to before `stop`, as Python's slices have it:
/// both are cut to what is there, and may be `NUMPACK_SLICE_END`. `step` is 1 or more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_nn_tensor_slice(
    tensor: *const numpack_nn_tensor,
    dim: i64,
    start: i64,
    stop: i64,
    step: i64,
    view: *mut *mut numpack_nn_tensor,
) -> i32 {
    let start = if start == NUMPACK_SLICE_END { 0 } else { start };
    let stop = if stop == NUMPACK_SLICE_END { i64::MAX } else { stop };
    // SAFETY: the caller's promise.
    unsafe { make(tensor, view, |t| of_nn(t.slice(number(dim), start, stop, step))) }
}

/// `length` indices of a dimension from `start` on.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_nn_tensor_narrow(
    tensor: *const numpack_nn_tensor,
    dim: i64,
    start: u64,
    length: u64,
    view: *mut *mut numpack_nn_tensor,
) -> i32 {
    // SAFETY: the caller's promise.
    unsafe { make(tensor, view, |t| of_nn(t.narrow(number(dim), start as usize, length as usize))) }
}

/// Two dimensions change places.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_nn_tensor_transpose(
    tensor: *const numpack_nn_tensor,
    a: i64,
    b: i64,
    view: *mut *mut numpack_nn_tensor,
) -> i32 {
    // SAFETY: the caller's promise.
    unsafe { make(tensor, view, |t| of_nn(t.transpose(number(a), number(b)))) }
}

/// The dimensions in another order: `count` of them, each named once.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_nn_tensor_permute(
    tensor: *const numpack_nn_tensor,
    count: u32,
    dims: *const i64,
    view: *mut *mut numpack_nn_tensor,
) -> i32 {
    // SAFETY: the caller's promise.
    unsafe { make_with(tensor, (dims, count, "dims"), view, |t, dims| of_nn(t.permute(dims))) }
}

/// Without the dimension, if its size is 1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_nn_tensor_squeeze(
    tensor: *const numpack_nn_tensor,
    dim: i64,
    view: *mut *mut numpack_nn_tensor,
) -> i32 {
    // SAFETY: the caller's promise.
    unsafe { make(tensor, view, |t| of_nn(t.squeeze(number(dim)))) }
}

/// One more dimension of size 1, which becomes dimension `dim`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_nn_tensor_unsqueeze(
    tensor: *const numpack_nn_tensor,
    dim: i64,
    view: *mut *mut numpack_nn_tensor,
) -> i32 {
    // SAFETY: the caller's promise.
    unsafe { make(tensor, view, |t| of_nn(t.unsqueeze(number(dim)))) }
}

/// Dimensions of size 1 become these sizes, new ones come in front, and -1 keeps a size: `count`
/// sizes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_nn_tensor_expand(
    tensor: *const numpack_nn_tensor,
    count: u32,
    sizes: *const i64,
    view: *mut *mut numpack_nn_tensor,
) -> i32 {
    // SAFETY: the caller's promise.
    unsafe { make_with(tensor, (sizes, count, "sizes"), view, |t, sizes| of_nn(t.expand(sizes))) }
}

/// The same elements in the same order with `count` other sizes, of which one may be -1 and follows
/// from the others; copied where strides stand against a view.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_nn_tensor_reshape(
    tensor: *const numpack_nn_tensor,
    count: u32,
    sizes: *const i64,
    reshaped: *mut *mut numpack_nn_tensor,
) -> i32 {
    let reshape = |t: &Tensor, sizes: &[isize]| of_nn(t.reshape(sizes));
    // SAFETY: the caller's promise.
    unsafe { make_with(tensor, (sizes, count, "sizes"), reshaped, reshape) }
}

/// One dimension in place of those from `first` to `last`, copied where that is needed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_nn_tensor_flatten(
    tensor: *const numpack_nn_tensor,
    first: i64,
    last: i64,
    flat: *mut *mut numpack_nn_tensor,
) -> i32 {
    // SAFETY: the caller's promise.
    unsafe { make(tensor, flat, |t| of_nn(t.flatten(number(first), number(last)))) }
}

/// Another handle on the tensor if its elements lie one after another in C order, else a copy in
/// which they do.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_nn_tensor_contiguous(
    tensor: *const numpack_nn_tensor,
    contiguous: *mut *mut numpack_nn_tensor,
) -> i32 {
    // SAFETY: the caller's promise.
    unsafe { make(tensor, contiguous, |t| of_nn(t.contiguous())) }
}

/// A copy in memory of its own. Gradients come through.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_nn_tensor_clone(
    tensor: *const numpack_nn_tensor,
    copy: *mut *mut numpack_nn_tensor,
) -> i32 {
    // SAFETY: the caller's promise.
    unsafe { make(tensor, copy, |t| of_nn(t.copied())) }
}

/// Joins the caller's tensors.
///
/// # Safety
/// `tensors` is NULL or points to `count` handles; `joined` is NULL or writable.
unsafe fn join(
    tensors: *const *const numpack_nn_tensor,
    count: usize,
    dim: i64,
    joined: *mut *mut numpack_nn_tensor,
    work: fn(&[&Tensor], isize) -> numpack_nn::Result<Tensor>,
) -> i32 {
    guard(|| {
        // SAFETY: the caller's promise.
        let tensors = unsafe { borrow_all(tensors, count, "tensors") }?;
        handle::wanted(joined)?;
        let new = of_nn(work(&tensors, number(dim)))?;
        // SAFETY: not NULL; the caller vouches for the memory.
        unsafe { give(joined, new) };
        Ok(())
    })
}

/// `count` tensors one after another along a dimension; their other sizes are equal.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_nn_tensor_cat(
    tensors: *const *const numpack_nn_tensor,
    count: usize,
    dim: i64,
    joined: *mut *mut numpack_nn_tensor,
) -> i32 {
    // SAFETY: the caller's promise.
    unsafe { join(tensors, count, dim, joined, Tensor::cat) }
}

/// `count` tensors of one shape along a new dimension.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_nn_tensor_stack(
    tensors: *const *const numpack_nn_tensor,
    count: usize,
    dim: i64,
    joined: *mut *mut numpack_nn_tensor,
) -> i32 {
    // SAFETY: the caller's promise.
    unsafe { join(tensors, count, dim, joined, Tensor::stack) }
}

/// Those of a dimension that `index`, of one dimension and whole numbers, names, in its order.
///
/// Errors: `NUMPACK_INDEX` for an index that is not there; on a device that is said by the next
/// call that reads elements, here and below.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_nn_tensor_index_select(
    tensor: *const numpack_nn_tensor,
    dim: i64,
    index: *const numpack_nn_tensor,
    result: *mut *mut numpack_nn_tensor,
) -> i32 {
    let compute = |t: &Tensor| {
        // SAFETY: the caller's promise.
        of_nn(t.index_select(number(dim), unsafe { borrow(index) }?))
    };
    // SAFETY: the caller's promise.
    unsafe { make(tensor, result, compute) }
}

/// For each place of `index`, which has as many dimensions, the element that it names along a
/// dimension.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_nn_tensor_gather(
    tensor: *const numpack_nn_tensor,
    dim: i64,
    index: *const numpack_nn_tensor,
    result: *mut *mut numpack_nn_tensor,
) -> i32 {
    let compute = |t: &Tensor| {
        // SAFETY: the caller's promise.
        of_nn(t.gather(number(dim), unsafe { borrow(index) }?))
    };
    // SAFETY: the caller's promise.
    unsafe { make(tensor, result, compute) }
}

/// The rows of the matrix `weight` that `index` names, of shape (index…, columns). The row
/// `padding_idx` has no gradient; -1: all have.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_nn_tensor_embedding(
    weight: *const numpack_nn_tensor,
    index: *const numpack_nn_tensor,
    padding_idx: i64,
    result: *mut *mut numpack_nn_tensor,
) -> i32 {
    let compute = |t: &Tensor| {
        // SAFETY: the caller's promise.
        let index = unsafe { borrow(index) }?;
        of_nn(t.embedding(index, row_or_none(padding_idx)?))
    };
    // SAFETY: the caller's promise.
    unsafe { make(weight, result, compute) }
}

/// A row, or none for -1.
pub(crate) fn row_or_none(row: i64) -> Result<Option<usize>, Error> {
    match (row, usize::try_from(row)) {
        (-1, _) => Ok(None),
        (_, Ok(row)) => Ok(Some(row)),
        (_, Err(_)) => Err(crate::shell::parameter(format!(
            "padding_idx is {row}; give a row, or -1 for none"
        ))),
    }
}
