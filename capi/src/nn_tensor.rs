//! Tensors that compute: made, described, read, moved.

use std::ffi::c_void;

use numpack_interop::{Error, nn};
use numpack_nn::{DType, Scalar, Tensor};

use crate::device::{self, numpack_device};
use crate::dtype::{self, *};
use crate::handle::{self, Handle};
use crate::shell::{self, guard, parameter};
use crate::structs::{self, Versioned};
use crate::tensor::{self, numpack_tensor};
use crate::tensor_values::{self, numpack_scalar};

/// Uniform numbers from 0 up to before 1.
pub const NUMPACK_NN_UNIFORM: i32 = 0;
/// Normal numbers of mean 0 and deviation 1.
pub const NUMPACK_NN_NORMAL: i32 = 1;

/// A tensor that computes, on the host or on a device, and knows what it was computed of: names and
/// rules are PyTorch's. Its elements are `BOOL`, `UINT8`, `INT8`, `INT16`, `INT32`, `INT64`,
/// `FLOAT16`, `BFLOAT16`, `FLOAT32` or `FLOAT64`, without `INT8`, `INT16` and `FLOAT64` on a device.
///
/// Any number of threads may use one at once. What is computed is a new tensor, or a view of the
/// same memory; the caller owns it.
#[allow(non_camel_case_types, reason = "the name C programs type")]
pub struct numpack_nn_tensor {
    pub(crate) tensor: Tensor,
    /// What is pointed to when it is described.
    shape: Vec<usize>,
}

impl Handle for numpack_nn_tensor {
    const NAME: &str = "tensor";
}

impl numpack_nn_tensor {
    pub(crate) fn new(tensor: Tensor) -> numpack_nn_tensor {
        let shape = tensor.shape();
        numpack_nn_tensor { tensor, shape }
    }
}

/// What is said of a tensor that computes. The caller sets `struct_size`, a call the rest; `shape`
/// is borrowed from the tensor.
#[allow(non_camel_case_types, reason = "the name C programs type")]
#[derive(Clone, Copy)]
#[repr(C)]
pub struct numpack_nn_tensor_info {
    /// `sizeof(numpack_nn_tensor_info)`.
    pub struct_size: u32,
    /// A `NUMPACK_DTYPE_*`.
    pub dtype: i32,
    /// `ndim` lengths.
    pub shape: *const u64,
    /// How many dimensions. 0: a single element.
    pub ndim: u32,
    /// Not 0: it is on a device.
    pub on_device: i32,
    /// How many elements there are.
    pub numel: u64,
    /// The size of the elements in bytes: what `numpack_nn_tensor_read` fills.
    pub nbytes: u64,
    /// Not 0: a gradient is computed for it.
    pub requires_grad: i32,
    /// Not 0: it was not computed of anything that wants a gradient, and keeps its own.
    pub is_leaf: i32,
    /// Not 0: it has a gradient.
    pub has_grad: i32,
    /// Not 0: its elements lie one after another in C order.
    pub contiguous: i32,
    /// Its device's `index`, as `numpack_device_info` has it; -1 on the host.
    pub device_index: i32,
    /// 0.
    pub reserved: i32,
}

// SAFETY: integers and raw pointers only, and `struct_size` first.
unsafe impl Versioned for numpack_nn_tensor_info {
    const NAME: &str = "numpack_nn_tensor_info";
    const ZERO: Self = numpack_nn_tensor_info {
        struct_size: 0,
        dtype: 0,
        shape: std::ptr::null(),
        ndim: 0,
        on_device: 0,
        numel: 0,
        nbytes: 0,
        requires_grad: 0,
        is_leaf: 0,
        has_grad: 0,
        contiguous: 0,
        device_index: 0,
        reserved: 0,
    };
}

/// What `numpack_nn` said, as an error of this library.
pub(crate) fn of_nn<T>(result: numpack_nn::Result<T>) -> Result<T, Error> {
    result.map_err(|e| nn::error(&e))
}

/// Gives the caller a tensor.
///
/// # Safety
/// `out` is writable, and not NULL, as `handle::wanted` found.
pub(crate) unsafe fn give(out: *mut *mut numpack_nn_tensor, tensor: Tensor) {
    // SAFETY: the caller's promise.
    unsafe { handle::give(out, numpack_nn_tensor::new(tensor)) };
}

/// The caller's tensor.
///
/// # Safety
/// `tensor` is NULL or a handle that is not freed during `'a`.
pub(crate) unsafe fn borrow<'a>(tensor: *const numpack_nn_tensor) -> Result<&'a Tensor, Error> {
    // SAFETY: the caller's promise.
    Ok(&unsafe { handle::borrow(tensor) }?.tensor)
}

/// The same, where NULL stands for none.
///
/// # Safety
/// As for [`borrow`].
pub(crate) unsafe fn optional<'a>(tensor: *const numpack_nn_tensor) -> Option<&'a Tensor> {
    // SAFETY: the caller's promise: the value lives, and nobody has it mutably.
    unsafe { tensor.as_ref() }.map(|t| &t.tensor)
}

/// The caller's tensors.
///
/// # Safety
/// `tensors` is NULL or points to `count` handles that are not freed during `'a`.
pub(crate) unsafe fn borrow_all<'a>(
    tensors: *const *const numpack_nn_tensor,
    count: usize,
    what: &str,
) -> Result<Vec<&'a Tensor>, Error> {
    // SAFETY: the caller's promise.
    let tensors = unsafe { shell::slice(tensors, count, what) }?;
    // SAFETY: each is one of the caller's handles.
    tensors.iter().map(|&t| unsafe { borrow(t) }).collect()
}

/// Computes something, and gives the caller the result.
///
/// # Safety
/// `from` is NULL or a tensor; `out` is NULL or writable.
pub(crate) unsafe fn make(
    from: *const numpack_nn_tensor,
    out: *mut *mut numpack_nn_tensor,
    work: impl FnOnce(&Tensor) -> Result<Tensor, Error>,
) -> i32 {
    guard(|| {
        // SAFETY: the caller's promise.
        let from = unsafe { borrow(from) }?;
        handle::wanted(out)?;
        let new = work(from)?;
        // SAFETY: not NULL; the caller vouches for the memory.
        unsafe { give(out, new) };
        Ok(())
    })
}

/// The element types that are computed with.
const TYPES: [(i32, DType); 10] = [
    (NUMPACK_DTYPE_BOOL, DType::Bool),
    (NUMPACK_DTYPE_UINT8, DType::U8),
    (NUMPACK_DTYPE_INT8, DType::I8),
    (NUMPACK_DTYPE_INT16, DType::I16),
    (NUMPACK_DTYPE_INT32, DType::I32),
    (NUMPACK_DTYPE_INT64, DType::I64),
    (NUMPACK_DTYPE_FLOAT16, DType::F16),
    (NUMPACK_DTYPE_BFLOAT16, DType::BF16),
    (NUMPACK_DTYPE_FLOAT32, DType::F32),
    (NUMPACK_DTYPE_FLOAT64, DType::F64),
];

/// The type that a number of the caller's stands for.
fn of_number(dtype: i32) -> Result<DType, Error> {
    let torch = dtype::required_torch(dtype)?;
    let found = TYPES.iter().find(|(number, _)| *number == dtype).map(|&(_, found)| found);
    found.ok_or_else(|| Error::Type {
        problem: format!("nothing is computed with {torch}"),
        advice: "convert it first, to float32 for example",
    })
}

/// Sizes of a tensor that could be, of which each type has elements.
pub(crate) fn possible(shape: &[usize]) -> Result<&[usize], Error> {
    // Those other than 0, so that no product of some of them overflows.
    let sizes = shape.iter().filter(|&&size| size > 0);
    let bytes = sizes.copied().try_fold(8_usize, usize::checked_mul);
    if bytes.is_some_and(|n| n <= isize::MAX as usize) {
        return Ok(shape);
    }
    Err(Error::OutOfMemory { nbytes: u64::MAX })
}

/// The caller's sizes of a new tensor.
///
/// # Safety
/// `shape` is NULL or points to `ndim` numbers that stay unchanged for `'a`.
pub(crate) unsafe fn shape<'a>(shape: *const u64, ndim: u32) -> Result<&'a [usize], Error> {
    // SAFETY: the caller's promise.
    possible(unsafe { tensor::shape(shape, ndim) }?)
}

/// The caller's number.
///
/// # Safety
/// `value` is NULL or a scalar.
pub(crate) unsafe fn scalar(value: *const numpack_scalar) -> Result<Scalar, Error> {
    use numpack_interop::Scalar as Given;
    // SAFETY: the caller's promise.
    Ok(match unsafe { tensor_values::read(value) }? {
        Given::Bool(b) => Scalar::Bool(b),
        Given::Int(i) => Scalar::Int(i),
        Given::UInt(u) => match i64::try_from(u) {
            Ok(i) => Scalar::Int(i),
            Err(_) => return Err(parameter(format!("{u} is beyond INT64_MAX; give a float"))),
        },
        Given::Float(x) => Scalar::Float(x),
        Given::Complex(_) => {
            return Err(Error::Type {
                problem: "nothing is computed with complex numbers".to_owned(),
                advice: "give the real part",
            });
        }
    })
}

/// A tensor that computes, of a tensor in memory: the elements of the host are copied, those of a
/// device are the same memory. It wants a gradient if `from` does.
///
/// Errors: `NUMPACK_TYPE` for a type that nothing is computed with; `NUMPACK_SHARING` for a device's
/// tensor whose strides go backwards; `NUMPACK_IN_USE`; `NUMPACK_OUT_OF_MEMORY`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_nn_tensor_from_tensor(
    from: *const numpack_tensor,
    tensor: *mut *mut numpack_nn_tensor,
) -> i32 {
    guard(|| {
        // SAFETY: the caller's promise.
        let from = &unsafe { handle::borrow(from) }?.tensor;
        handle::wanted(tensor)?;
        let new = nn::to_nn(from)?;
        // SAFETY: not NULL; the caller vouches for the memory.
        unsafe { give(tensor, new) };
        Ok(())
    })
}

/// The elements as a tensor in memory, to share, view and save: those of the host are copied, those
/// of a device are the same memory. It requires grad if this one does; the caller owns it.
///
/// Errors: `NUMPACK_OUT_OF_MEMORY`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_nn_tensor_to_tensor(
    tensor: *const numpack_nn_tensor,
    to: *mut *mut numpack_tensor,
) -> i32 {
    guard(|| {
        // SAFETY: the caller's promise.
        let from = unsafe { borrow(tensor) }?;
        handle::wanted(to)?;
        let new = nn::from_nn(from)?;
        // SAFETY: not NULL; the caller vouches for the memory.
        unsafe { tensor::give(to, new) };
        Ok(())
    })
}

/// Shares a tensor handle: it comes back, and is to be freed once more. NULL is fine.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_nn_tensor_retain(
    tensor: *const numpack_nn_tensor,
) -> *mut numpack_nn_tensor {
    // SAFETY: the caller's promise.
    unsafe { handle::retain(tensor) }
}

/// Gives a tensor back. What was computed of it keeps what it needs. NULL is fine.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_nn_tensor_free(tensor: *mut numpack_nn_tensor) {
    // SAFETY: the caller's promise.
    unsafe { handle::free(tensor) };
}

/// Says what a tensor is. `info->shape` lives as long as the handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_nn_tensor_get_info(
    tensor: *const numpack_nn_tensor,
    info: *mut numpack_nn_tensor_info,
) -> i32 {
    guard(|| {
        // SAFETY: the caller's promise.
        let handle = unsafe { handle::borrow(tensor) }?;
        // SAFETY: the caller's promise.
        let size = unsafe { structs::size(info.cast_const()) }?;
        let t = &handle.tensor;
        let dtype = t.dtype();
        let number = TYPES.iter().find(|(_, d)| *d == dtype).map_or(-1, |&(number, _)| number);
        let found = numpack_nn_tensor_info {
            struct_size: size as u32,
            dtype: number,
            shape: handle.shape.as_ptr().cast(),
            ndim: handle.shape.len() as u32,
            on_device: (!t.device().is_cpu()).into(),
            numel: t.numel() as u64,
            nbytes: t.numel().saturating_mul(dtype.size()) as u64,
            requires_grad: t.requires_grad().into(),
            is_leaf: t.is_leaf().into(),
            has_grad: t.grad().is_some().into(),
            contiguous: t.is_contiguous().into(),
            device_index: t.device().index().map_or(-1, |index| index as i32),
            reserved: 0,
        };
        // SAFETY: the caller vouches for so many bytes.
        unsafe { structs::write(info, size, found) };
        Ok(())
    })
}

/// Copies all elements in C order into `buffer`, whose `size` is `numpack_nn_tensor_info.nbytes`.
/// Those of a device are waited for.
///
/// Errors: `NUMPACK_PARAMETER` for a buffer of another size; `NUMPACK_INDEX` for indices that led
/// nowhere on the device; `NUMPACK_DEVICE`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_nn_tensor_read(
    tensor: *const numpack_nn_tensor,
    buffer: *mut c_void,
    size: usize,
) -> i32 {
    guard(|| {
        // SAFETY: the caller's promise.
        let t = unsafe { borrow(tensor) }?;
        // SAFETY: the caller's promise.
        let buffer = unsafe { shell::buffer(buffer, size) }?;
        let here = of_nn(t.detach().cpu())?;
        nn::from_nn(&here)?.read_into(buffer)
    })
}

/// The only element, as a double. That of a device is waited for.
///
/// Errors: `NUMPACK_PARAMETER` if there is not exactly one; as `numpack_nn_tensor_read`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_nn_tensor_item(
    tensor: *const numpack_nn_tensor,
    value: *mut f64,
) -> i32 {
    guard(|| {
        // SAFETY: the caller's promise.
        let found = of_nn(unsafe { borrow(tensor) }?.item())?;
        // SAFETY: the caller's promise.
        unsafe { shell::put(value, found) };
        Ok(())
    })
}

/// A new tensor on a device, or the host for NULL, each of whose elements is this value.
///
/// Errors: `NUMPACK_TYPE` for a type that nothing is computed with there, and for a complex value;
/// `NUMPACK_PARAMETER` for a value that the type cannot hold; `NUMPACK_OUT_OF_MEMORY`;
/// `NUMPACK_DEVICE`, here and below.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_nn_tensor_full(
    dtype: i32,
    ndim: u32,
    shape: *const u64,
    value: *const numpack_scalar,
    device: *const numpack_device,
    tensor: *mut *mut numpack_nn_tensor,
) -> i32 {
    guard(|| {
        handle::wanted(tensor)?;
        let dtype = of_number(dtype)?;
        // SAFETY: the caller's promise.
        let shape = unsafe { self::shape(shape, ndim) }?;
        // SAFETY: the caller's promise.
        let value = unsafe { scalar(value) }?;
        // SAFETY: the caller's promise.
        let place = unsafe { device::place(device) };
        let new = of_nn(Tensor::full(shape, value, dtype, &place))?;
        // SAFETY: not NULL; the caller vouches for the memory.
        unsafe { give(tensor, new) };
        Ok(())
    })
}

/// A new tensor of random numbers, on a device, or the host for NULL. `distribution` is
/// `NUMPACK_NN_UNIFORM` or `NUMPACK_NN_NORMAL`; the same seed gives the same numbers everywhere.
///
/// Errors: as `numpack_nn_tensor_full`; a type that is no float is `NUMPACK_TYPE` on the host, and
/// `NUMPACK_PARAMETER` on a device.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_nn_tensor_random(
    distribution: i32,
    dtype: i32,
    ndim: u32,
    shape: *const u64,
    device: *const numpack_device,
    tensor: *mut *mut numpack_nn_tensor,
) -> i32 {
    guard(|| {
        handle::wanted(tensor)?;
        let draw = match distribution {
            NUMPACK_NN_UNIFORM => Tensor::rand,
            NUMPACK_NN_NORMAL => Tensor::randn,
            other => {
                let problem = format!(
                    "distribution is {other}; give NUMPACK_NN_UNIFORM or NUMPACK_NN_NORMAL"
                );
                return Err(parameter(problem));
            }
        };
        let dtype = of_number(dtype)?;
        // SAFETY: the caller's promise.
        let shape = unsafe { self::shape(shape, ndim) }?;
        // SAFETY: the caller's promise.
        let place = unsafe { device::place(device) };
        let new = of_nn(draw(shape, dtype, &place))?;
        // SAFETY: not NULL; the caller vouches for the memory.
        unsafe { give(tensor, new) };
        Ok(())
    })
}

/// The numbers 0 to `end` - 1 as `INT64`, on a device, or the host for NULL.
/// Errors: `NUMPACK_OUT_OF_MEMORY`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_nn_tensor_arange(
    end: u64,
    device: *const numpack_device,
    tensor: *mut *mut numpack_nn_tensor,
) -> i32 {
    guard(|| {
        handle::wanted(tensor)?;
        let end = end as usize;
        possible(&[end])?;
        // SAFETY: the caller's promise.
        let place = unsafe { device::place(device) };
        let new = of_nn(Tensor::arange(end, &place))?;
        // SAFETY: not NULL; the caller vouches for the memory.
        unsafe { give(tensor, new) };
        Ok(())
    })
}

/// Begins the random numbers of the whole process anew: those of `numpack_nn_tensor_random`, of
/// dropout, and the first values of modules.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_nn_manual_seed(seed: u64) -> i32 {
    guard(|| {
        numpack_nn::manual_seed(seed);
        Ok(())
    })
}

/// The same elements on a device, or the host for NULL; another handle on the tensor if they are
/// there already. Gradients come back. Errors: as `numpack_nn_tensor_full`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_nn_tensor_to_device(
    tensor: *const numpack_nn_tensor,
    device: *const numpack_device,
    there: *mut *mut numpack_nn_tensor,
) -> i32 {
    let moved = |t: &Tensor| {
        // SAFETY: the caller's promise.
        of_nn(t.to_device(&unsafe { device::place(device) }))
    };
    // SAFETY: the caller's promise.
    unsafe { make(tensor, there, moved) }
}

/// The elements as another type; another handle on the tensor if they have it already.
/// Errors: as `numpack_nn_tensor_full`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_nn_tensor_to_dtype(
    tensor: *const numpack_nn_tensor,
    dtype: i32,
    converted: *mut *mut numpack_nn_tensor,
) -> i32 {
    // SAFETY: the caller's promise.
    unsafe { make(tensor, converted, |t| of_nn(t.to_dtype(of_number(dtype)?))) }
}
