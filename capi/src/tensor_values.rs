//! Elements of tensors: single ones, all of them, and from one tensor to another.

use std::ffi::c_void;

use numpack_interop::{Error, Scalar};

use crate::dtype;
use crate::handle;
use crate::shell::{self, guard, parameter};
use crate::structs::{self, Versioned};
use crate::tensor::{self, numpack_tensor};
use crate::tensor_views::numbers;

/// `integer` is 0 or 1.
pub const NUMPACK_SCALAR_BOOL: i32 = 0;
/// `integer` counts.
pub const NUMPACK_SCALAR_INT: i32 = 1;
/// `integer` counts, as the `uint64_t` with the same bits.
pub const NUMPACK_SCALAR_UINT: i32 = 2;
/// `real` counts.
pub const NUMPACK_SCALAR_FLOAT: i32 = 3;
/// `real` and `imaginary` count.
pub const NUMPACK_SCALAR_COMPLEX: i32 = 4;

/// One element, of whichever type. The functions `numpack_scalar_*` make one.
#[allow(non_camel_case_types, reason = "the name C programs type")]
#[derive(Clone, Copy)]
#[repr(C)]
pub struct numpack_scalar {
    /// `sizeof(numpack_scalar)`.
    pub struct_size: u32,
    /// A `NUMPACK_SCALAR_*`, which says what of the rest counts.
    pub kind: i32,
    /// A truth value or an integer.
    pub integer: i64,
    /// A float, or the real part.
    pub real: f64,
    /// The imaginary part.
    pub imaginary: f64,
}

// SAFETY: numbers only, and `struct_size` first.
unsafe impl Versioned for numpack_scalar {
    const NAME: &str = "numpack_scalar";
    const ZERO: Self =
        numpack_scalar { struct_size: 0, kind: 0, integer: 0, real: 0.0, imaginary: 0.0 };
}

/// The caller's value.
///
/// # Safety
/// `value` is NULL or a scalar.
pub(crate) unsafe fn read(value: *const numpack_scalar) -> Result<Scalar, Error> {
    // SAFETY: the caller's promise.
    let v = unsafe { structs::read(value) }?;
    Ok(match v.kind {
        NUMPACK_SCALAR_BOOL => Scalar::Bool(v.integer != 0),
        NUMPACK_SCALAR_INT => Scalar::Int(v.integer),
        NUMPACK_SCALAR_UINT => Scalar::UInt(v.integer.cast_unsigned()),
        NUMPACK_SCALAR_FLOAT => Scalar::Float(v.real),
        NUMPACK_SCALAR_COMPLEX => Scalar::complex(v.real, v.imaginary),
        other => {
            let problem = format!("kind is {other}, which is none of NUMPACK_SCALAR_*");
            return Err(parameter(problem));
        }
    })
}

/// The same for the caller.
fn of(value: Scalar, size: usize) -> numpack_scalar {
    let zero = numpack_scalar { struct_size: size as u32, ..numpack_scalar::ZERO };
    match value {
        Scalar::Bool(b) => numpack_scalar { kind: NUMPACK_SCALAR_BOOL, integer: b.into(), ..zero },
        Scalar::Int(i) => numpack_scalar { kind: NUMPACK_SCALAR_INT, integer: i, ..zero },
        Scalar::UInt(u) => {
            numpack_scalar { kind: NUMPACK_SCALAR_UINT, integer: u.cast_signed(), ..zero }
        }
        Scalar::Float(x) => numpack_scalar { kind: NUMPACK_SCALAR_FLOAT, real: x, ..zero },
        Scalar::Complex(z) => {
            numpack_scalar { kind: NUMPACK_SCALAR_COMPLEX, real: z.re, imaginary: z.im, ..zero }
        }
    }
}

/// A new tensor in C order, each of whose elements is this value; a fraction that the type lacks is
/// cut off. The caller owns it. Errors: as `numpack_tensor_zeros`, and `NUMPACK_PARAMETER` for a
/// number that the type cannot hold.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_tensor_full(
    dtype: i32,
    ndim: u32,
    shape: *const u64,
    value: *const numpack_scalar,
    tensor: *mut *mut numpack_tensor,
) -> i32 {
    guard(|| {
        handle::wanted(tensor)?;
        let dtype = dtype::of_tensor(dtype)?;
        // SAFETY: the caller's promise.
        let shape = unsafe { tensor::shape(shape, ndim) }?;
        // SAFETY: the caller's promise.
        let value = unsafe { read(value) }?;
        let new = numpack_interop::Tensor::full(shape, value, dtype)?;
        // SAFETY: not NULL; the caller vouches for the memory.
        unsafe { tensor::give(tensor, new) };
        Ok(())
    })
}

/// Reads one element: `count` indices, one for each dimension; with `count` 0 the only element of a
/// tensor that has one. The caller sets `value->struct_size`.
///
/// Errors: `NUMPACK_PARAMETER` for an index that is not there; `NUMPACK_IN_USE`; `NUMPACK_SHARING`
/// on a device.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_tensor_get(
    tensor: *const numpack_tensor,
    count: u32,
    index: *const i64,
    value: *mut numpack_scalar,
) -> i32 {
    guard(|| {
        // SAFETY: the caller's promise.
        let t = &unsafe { handle::borrow(tensor) }?.tensor;
        // SAFETY: the caller's promise.
        let size = unsafe { structs::size(value) }?;
        // SAFETY: the caller's promise.
        let index = unsafe { numbers(index, count, "index") }?;
        let found = if index.is_empty() { t.item() } else { t.get(index) }?;
        // SAFETY: the caller vouches for so many bytes.
        unsafe { structs::write(value, size, of(found, size)) };
        Ok(())
    })
}

/// Writes one element, as `numpack_tensor_get` reads it; a fraction that the type lacks is cut off.
///
/// Errors: as there, `NUMPACK_PARAMETER` for a number that the type cannot hold, and
/// `NUMPACK_SHARING` for read-only memory.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_tensor_set(
    tensor: *const numpack_tensor,
    count: u32,
    index: *const i64,
    value: *const numpack_scalar,
) -> i32 {
    guard(|| {
        // SAFETY: the caller's promise.
        let t = &unsafe { handle::borrow(tensor) }?.tensor;
        // SAFETY: the caller's promise.
        let index = unsafe { numbers(index, count, "index") }?;
        // SAFETY: the caller's promise.
        let value = unsafe { read(value) }?;
        let first = vec![0; t.ndim()];
        match t.numel() {
            1 if index.is_empty() => t.set(&first, value),
            _ => t.set(index, value),
        }
    })
}

/// Writes a value to every element; a fraction that the type lacks is cut off.
///
/// Errors: as `numpack_tensor_set`, and `NUMPACK_PARAMETER` for a tensor that shows elements more
/// than once, as after `numpack_tensor_expand`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_tensor_fill(
    tensor: *const numpack_tensor,
    value: *const numpack_scalar,
) -> i32 {
    guard(|| {
        // SAFETY: the caller's promise.
        let t = &unsafe { handle::borrow(tensor) }?.tensor;
        // SAFETY: the caller's promise.
        t.fill(unsafe { read(value) }?)
    })
}

/// Copies the elements of `from` to the same indices of `tensor`, converted as
/// `numpack_tensor_to_dtype` does it; `from` is expanded to the shape of `tensor`.
///
/// Errors: as `numpack_tensor_fill`, and `NUMPACK_PARAMETER` for a shape that does not fit.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_tensor_copy_from(
    tensor: *const numpack_tensor,
    from: *const numpack_tensor,
) -> i32 {
    guard(|| {
        // SAFETY: the caller's promise.
        let to = &unsafe { handle::borrow(tensor) }?.tensor;
        // SAFETY: the caller's promise.
        let from = &unsafe { handle::borrow(from) }?.tensor;
        to.copy_from(from)
    })
}

/// Copies all elements in C order into `buffer`, whose `size` is `numpack_tensor_layout.nbytes`.
///
/// Errors: `NUMPACK_PARAMETER` for a buffer of another size; `NUMPACK_IN_USE`; `NUMPACK_SHARING` on
/// a device.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_tensor_read(
    tensor: *const numpack_tensor,
    buffer: *mut c_void,
    size: usize,
) -> i32 {
    guard(|| {
        // SAFETY: the caller's promise.
        let t = &unsafe { handle::borrow(tensor) }?.tensor;
        // SAFETY: the caller's promise.
        t.read_into(unsafe { shell::buffer(buffer, size) }?)
    })
}

/// Writes all elements in C order from `buffer`, whose `size` is `numpack_tensor_layout.nbytes`.
///
/// `buffer` is no memory of the tensor's. Errors: as `numpack_tensor_read` and `numpack_tensor_fill`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_tensor_write(
    tensor: *const numpack_tensor,
    buffer: *const c_void,
    size: usize,
) -> i32 {
    guard(|| {
        // SAFETY: the caller's promise.
        let t = &unsafe { handle::borrow(tensor) }?.tensor;
        // SAFETY: the caller's promise; any bytes are a valid u8.
        t.write_from(unsafe { shell::slice(buffer.cast::<u8>(), size, "buffer") }?)
    })
}
