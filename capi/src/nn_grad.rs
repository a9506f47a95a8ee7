//! Gradients, and changes in place.

use numpack_interop::{Error, nn};
use numpack_nn::Tensor;

use crate::handle;
use crate::nn_tensor::{self, borrow, make, numpack_nn_tensor, of_nn, optional};
use crate::shell::{self, guard, parameter};
use crate::tensor::numpack_tensor;
use crate::tensor_values::numpack_scalar;

/// Says whether a gradient is to be computed for this leaf.
///
/// Errors: `NUMPACK_TYPE` for integers and truth values; `NUMPACK_SHARING` where a tensor that was
/// computed is to want none (`numpack_nn_tensor_detach` it).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_nn_tensor_require_grad(
    tensor: *const numpack_nn_tensor,
    requires_grad: i32,
) -> i32 {
    guard(|| {
        // SAFETY: the caller's promise.
        let t = unsafe { borrow(tensor) }?;
        if requires_grad != 0 && !t.dtype().is_float() {
            return Err(Error::Type {
                problem: format!("a tensor of {} has no gradient", t.dtype()),
                advice: "convert it to a float type first",
            });
        }
        of_nn(t.clone().requires_grad_(requires_grad != 0)).map(drop)
    })
}

/// The gradient that `numpack_nn_tensor_backward` left, of this leaf's type, shape and device: the
/// same memory. `grad` takes NULL where there is none; the caller owns it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_nn_tensor_grad(
    tensor: *const numpack_nn_tensor,
    grad: *mut *mut numpack_nn_tensor,
) -> i32 {
    guard(|| {
        // SAFETY: the caller's promise.
        let found = unsafe { borrow(tensor) }?.grad();
        handle::wanted(grad)?;
        match found {
            // SAFETY: not NULL; the caller vouches for the memory.
            Some(found) => unsafe { nn_tensor::give(grad, found) },
            // SAFETY: as above.
            None => unsafe { shell::put(grad, std::ptr::null_mut()) },
        }
        Ok(())
    })
}

/// Puts another gradient there, or none for NULL.
/// Errors: `NUMPACK_SHARING` for another type, shape or device than the tensor's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_nn_tensor_set_grad(
    tensor: *const numpack_nn_tensor,
    grad: *const numpack_nn_tensor,
) -> i32 {
    guard(|| {
        // SAFETY: the caller's promise.
        let t = unsafe { borrow(tensor) }?;
        // SAFETY: the caller's promise.
        of_nn(t.set_grad(unsafe { optional(grad) }))
    })
}

/// The same elements, in the same memory, computed of nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_nn_tensor_detach(
    tensor: *const numpack_nn_tensor,
    detached: *mut *mut numpack_nn_tensor,
) -> i32 {
    // SAFETY: the caller's promise.
    unsafe { make(tensor, detached, |t| Ok(t.detach())) }
}

/// Adds the gradient of this tensor to that of each leaf that it was computed of. `grad` is the
/// tensor's own gradient, of its type, shape and device; NULL: 1, for a tensor of one element. What
/// was kept of the computation is given up, unless `retain_graph` is not 0.
///
/// Errors: `NUMPACK_SHARING` for a tensor of more elements without `grad`, if nothing that it was
/// computed of wants a gradient, if what was kept has been given up, or if a tensor that is needed
/// was changed in place; `NUMPACK_OUT_OF_MEMORY`; `NUMPACK_DEVICE`. After an error all gradients of
/// leaves are as they were.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_nn_tensor_backward(
    tensor: *const numpack_nn_tensor,
    grad: *const numpack_nn_tensor,
    retain_graph: i32,
) -> i32 {
    guard(|| {
        // SAFETY: the caller's promise.
        let t = unsafe { borrow(tensor) }?;
        // SAFETY: the caller's promise.
        of_nn(t.backward_with(unsafe { optional(grad) }, retain_graph != 0))
    })
}

/// Says whether this thread notes what it computes, so that gradients can be had of it: not 0, as
/// threads begin, or 0, and what it computes wants no gradients. `before` takes what was before.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_nn_set_grad_enabled(enabled: i32, before: *mut i32) -> i32 {
    guard(|| {
        let found = numpack_nn::set_grad_enabled(enabled != 0);
        // SAFETY: the caller's promise.
        unsafe { shell::put(before, found.into()) };
        Ok(())
    })
}

/// Copies the elements of `from`, of any type and device, into `tensor`, to whose shape they are
/// expanded. On the host, views of the tensor keep what they show.
///
/// Errors: `NUMPACK_SHARING` for a tensor that requires grad, unless
/// `numpack_nn_set_grad_enabled(0, …)`; `NUMPACK_PARAMETER` for a shape that does not fit;
/// `NUMPACK_TYPE`; `NUMPACK_OUT_OF_MEMORY`; `NUMPACK_DEVICE`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_nn_tensor_copy_from(
    tensor: *const numpack_nn_tensor,
    from: *const numpack_nn_tensor,
) -> i32 {
    guard(|| {
        // SAFETY: the caller's promise.
        let t: &Tensor = unsafe { borrow(tensor) }?;
        // SAFETY: the caller's promise.
        of_nn(t.copy_(unsafe { borrow(from) }?))
    })
}

/// Writes a value to every element. Errors: as `numpack_nn_tensor_copy_from`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_nn_tensor_fill(
    tensor: *const numpack_nn_tensor,
    value: *const numpack_scalar,
) -> i32 {
    guard(|| {
        // SAFETY: the caller's promise.
        let t = unsafe { borrow(tensor) }?;
        // SAFETY: the caller's promise.
        of_nn(t.fill_(unsafe { nn_tensor::scalar(value) }?))
    })
}

/// Takes the elements of a tensor in memory, of the same type and shape, if they differ in any bit from
/// those of `tensor`, which is on the host; `changed` takes 1 then, else 0. This is for memory that
/// `tensor` was made of and somebody has written to: also a leaf that requires grad takes it, and a way
/// back that needs what was there says so. Where nothing differs, nothing is copied.
///
/// Errors: `NUMPACK_PARAMETER` for another type or shape, and a `tensor` on a device; `NUMPACK_SHARING`
/// for memory on a device; `NUMPACK_IN_USE`; `NUMPACK_OUT_OF_MEMORY`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_nn_tensor_refresh(
    tensor: *const numpack_nn_tensor,
    from: *const numpack_tensor,
    changed: *mut i32,
) -> i32 {
    guard(|| {
        // SAFETY: the caller's promise.
        let t = unsafe { borrow(tensor) }?;
        // SAFETY: the caller's promise.
        let found = nn::refresh(t, &unsafe { handle::borrow(from) }?.tensor)?;
        // SAFETY: the caller's promise.
        unsafe { shell::put(changed, found.into()) };
        Ok(())
    })
}

/// Copies the elements, of the host or a device, into a tensor in memory of the same type and shape, which
/// may have strides; straight into it if it is contiguous. Those of a device are waited for.
///
/// Errors: `NUMPACK_PARAMETER` for another type or shape, and for elements of `to` that are the same
/// memory; `NUMPACK_SHARING` for memory that is read-only or on a device; `NUMPACK_IN_USE`;
/// `NUMPACK_OUT_OF_MEMORY`; `NUMPACK_DEVICE`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_nn_tensor_write_to(
    tensor: *const numpack_nn_tensor,
    to: *const numpack_tensor,
) -> i32 {
    guard(|| {
        // SAFETY: the caller's promise.
        let t = unsafe { borrow(tensor) }?;
        // SAFETY: the caller's promise.
        nn::write_to(t, &unsafe { handle::borrow(to) }?.tensor)
    })
}

/// Has a leaf take the elements of `from`, of the same shape, of any type and device, in the place of its
/// own: what moves a parameter, and all who hold it see it there. They are the same memory on a device. Its
/// gradient goes, if it does not fit any more.
///
/// Errors: `NUMPACK_PARAMETER` for another shape; `NUMPACK_SHARING` for a tensor that was computed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_nn_tensor_set_data(
    tensor: *const numpack_nn_tensor,
    from: *const numpack_nn_tensor,
) -> i32 {
    guard(|| {
        // SAFETY: the caller's promise.
        let t = unsafe { borrow(tensor) }?;
        // SAFETY: the caller's promise.
        let from = unsafe { borrow(from) }?;
        // Handles have the shape that they were made with.
        if t.shape() != from.shape() {
            let (own, other) = (t.shape(), from.shape());
            let problem = format!("elements of shape {other:?} for a tensor of shape {own:?}");
            return Err(parameter(format!("{problem}; make a new tensor of them")));
        }
        of_nn(t.set_data(from))
    })
}
