//! Arrays as NumPy describes them, in and out, and files' tensors as tensors in memory.

use std::ffi::{c_char, c_void};
use std::ptr;

use numpack_interop::{ArrayInterface, Error, Tensor, as_tensor, from_numpy};

use crate::array::numpack_array;
use crate::checkpoint::numpack_checkpoint;
use crate::dtype;
use crate::handle;
use crate::shell::{self, guard};
use crate::structs::{self, Versioned};
use crate::tensor::{self, Described, numpack_release_fn, numpack_tensor};
use crate::view::numpack_view;

/// An array as NumPy describes it: `__array_interface__`, version 3.
#[allow(non_camel_case_types, reason = "the name C programs type")]
#[derive(Clone, Copy)]
#[repr(C)]
pub struct numpack_array_interface {
    /// `sizeof(numpack_array_interface)`.
    pub struct_size: u32,
    /// Not 0: the array may not be written to.
    pub read_only: i32,
    /// Where the element with index 0 is: the first item of `data`.
    pub data: *mut c_void,
    /// Byte order, kind and size of an element, such as `<f4`, and a NUL.
    pub typestr: *const c_char,
    /// `ndim` lengths.
    pub shape: *const u64,
    /// `ndim` steps in bytes; NULL for C order without gaps.
    pub strides: *const i64,
    /// How many dimensions. 0: a single element.
    pub ndim: u32,
    /// Must be 0.
    pub reserved: i32,
}

// SAFETY: integers and raw pointers only, and `struct_size` first.
unsafe impl Versioned for numpack_array_interface {
    const NAME: &str = "numpack_array_interface";
    const ZERO: Self = numpack_array_interface {
        struct_size: 0,
        read_only: 0,
        data: ptr::null_mut(),
        typestr: ptr::null(),
        shape: ptr::null(),
        strides: ptr::null(),
        ndim: 0,
        reserved: 0,
    };
}

/// The caller's array.
///
/// # Safety
/// `from` is NULL or points to a description whose text and numbers stay unchanged for `'a`.
unsafe fn array<'a>(from: *const numpack_array_interface) -> Result<ArrayInterface<'a>, Error> {
    // SAFETY: the caller's promise.
    let a = unsafe { structs::read(from) }?;
    crate::options::reserved(a.reserved)?;
    // SAFETY: the caller's promise.
    let typestr = unsafe { shell::required(a.typestr, "typestr") }?;
    // SAFETY: the caller's promise.
    let shape = unsafe { tensor::shape(a.shape, a.ndim) }?;
    let strides = a.strides.cast::<isize>();
    let strides = if strides.is_null() {
        None
    } else {
        // SAFETY: the caller's promise; the two integers have the same size.
        Some(unsafe { shell::slice(strides, a.ndim as usize, "strides") }?)
    };
    Ok(ArrayInterface { data: a.data.cast(), read_only: a.read_only != 0, typestr, shape, strides })
}

/// A tensor that shares the memory of an array, which must stay until `release` is called with
/// `user`; `release` may be NULL. A write on either side is seen on the other. Element type and
/// order are kept: an array in Fortran order becomes a tensor that is not contiguous. Where this
/// fails, `release` is not called.
///
/// Errors: `NUMPACK_TYPE` for elements that are no numbers. `NUMPACK_SHARING` for an array that is
/// read-only, in the other byte order, misaligned, or has strides that are negative or no multiples
/// of an element: `numpack_tensor_as_tensor` copies those.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_tensor_from_numpy(
    array: *const numpack_array_interface,
    release: numpack_release_fn,
    user: *mut c_void,
    tensor: *mut *mut numpack_tensor,
) -> i32 {
    guard(|| {
        handle::wanted(tensor)?;
        // SAFETY: the caller's promise.
        let array = unsafe { self::array(array) }?;
        // SAFETY: the caller vouches for the memory until it is released.
        let new = unsafe { from_numpy(&array, tensor::release(release, user)) }?;
        // SAFETY: not NULL; the caller vouches for the memory.
        unsafe { tensor::give(tensor, new) };
        Ok(())
    })
}

/// A tensor of an array's elements: it shares the memory where `numpack_tensor_from_numpy` would and
/// `dtype` is the array's own or -1, and copies it else. After a copy `release` is called before
/// this returns; where this fails, it is not called.
///
/// Errors: `NUMPACK_TYPE` for elements that are no numbers; `NUMPACK_OUT_OF_MEMORY`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_tensor_as_tensor(
    array: *const numpack_array_interface,
    dtype: i32,
    release: numpack_release_fn,
    user: *mut c_void,
    tensor: *mut *mut numpack_tensor,
) -> i32 {
    guard(|| {
        handle::wanted(tensor)?;
        // SAFETY: the caller's promise.
        let array = unsafe { self::array(array) }?;
        let dtype = dtype::optional_of_tensor(dtype)?;
        let release = tensor::release(release, user);
        // SAFETY: the caller vouches for the memory until it is released.
        let new = unsafe { as_tensor(&array, dtype, None, release) }?;
        // SAFETY: not NULL; the caller vouches for the memory.
        unsafe { tensor::give(tensor, new) };
        Ok(())
    })
}

/// A tensor of a copy of an array's elements, always: of type `dtype`, or the array's own for -1.
///
/// Errors: `NUMPACK_TYPE` for elements that are no numbers, and where a gradient is wished for that
/// the type has not; `NUMPACK_OUT_OF_MEMORY`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_tensor_copy_numpy(
    array: *const numpack_array_interface,
    dtype: i32,
    requires_grad: i32,
    tensor: *mut *mut numpack_tensor,
) -> i32 {
    guard(|| {
        handle::wanted(tensor)?;
        // SAFETY: the caller's promise.
        let array = unsafe { self::array(array) }?;
        let dtype = dtype::optional_of_tensor(dtype)?;
        // SAFETY: the caller vouches for the memory during the call.
        let new = unsafe { numpack_interop::tensor(&array, dtype, None, requires_grad != 0) }?;
        // SAFETY: not NULL; the caller vouches for the memory.
        unsafe { tensor::give(tensor, new) };
        Ok(())
    })
}

/// Describes a tensor as NumPy does: the array shares its memory. What `array` points to lives as
/// long as the tensor, which the caller keeps (`numpack_tensor_retain`) as long as the array. The
/// caller sets `array->struct_size`.
///
/// Errors: `NUMPACK_SHARING` for a tensor on a device, or one that requires grad; `NUMPACK_TYPE` for
/// a type NumPy lacks.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_tensor_numpy(
    tensor: *const numpack_tensor,
    array: *mut numpack_array_interface,
) -> i32 {
    guard(|| {
        // SAFETY: the caller's promise.
        let t = unsafe { handle::borrow(tensor) }?;
        // SAFETY: the caller's promise.
        let size = unsafe { structs::size(array) }?;
        let described = match t.array.get() {
            Some(described) => described,
            None => {
                let array = t.tensor.numpy()?;
                let typestr = shell::c_text(array.interface().typestr);
                t.array.get_or_init(|| Described { array, typestr })
            }
        };
        let found = described.array.interface();
        let given = numpack_array_interface {
            struct_size: size as u32,
            read_only: found.read_only.into(),
            data: found.data.cast(),
            typestr: described.typestr.as_ptr(),
            shape: found.shape.as_ptr().cast(),
            strides: found.strides.unwrap_or_default().as_ptr().cast(),
            ndim: found.shape.len() as u32,
            reserved: 0,
        };
        // SAFETY: the caller vouches for so many bytes.
        unsafe { structs::write(array, size, given) };
        Ok(())
    })
}

/// Describes a tensor's memory as a view, for `numpack_store_save`, `numpack_save_torch` and other
/// functions that take one. What `view` points to lives as long as the tensor. The caller sets
/// `view->struct_size`. Errors: `NUMPACK_SHARING` for a tensor on a device.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_tensor_get_view(
    tensor: *const numpack_tensor,
    view: *mut numpack_view,
) -> i32 {
    guard(|| {
        // SAFETY: the caller's promise.
        let t = unsafe { handle::borrow(tensor) }?;
        // SAFETY: the caller's promise.
        let size = unsafe { structs::size(view) }?;
        let (tensor, storage) = (&t.tensor, t.tensor.storage());
        let data = storage.as_ptr()?;
        let strides = t.strides.get_or_init(|| tensor.byte_strides());
        let given = numpack_view {
            struct_size: size as u32,
            dtype: dtype::of_exchange(tensor.dtype()),
            ndim: tensor.ndim() as u32,
            reserved: 0,
            shape: tensor.shape().as_ptr().cast(),
            strides: strides.as_ptr(),
            data: data.cast_const().cast(),
            nbytes: storage.nbytes(),
            offset: tensor.data_ptr()?.addr() - data.addr(),
        };
        // SAFETY: the caller vouches for so many bytes.
        unsafe { structs::write(view, size, given) };
        Ok(())
    })
}

/// Reads tensor `index` of a file into memory of its own: in C order, writable, independent of the
/// file. The caller owns it.
///
/// Errors: as `numpack_checkpoint_read`; `NUMPACK_TYPE` for a type no tensor in memory has, such as
/// quantised ones; `NUMPACK_OUT_OF_MEMORY`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_checkpoint_load(
    checkpoint: *const numpack_checkpoint,
    index: usize,
    tensor: *mut *mut numpack_tensor,
) -> i32 {
    guard(|| {
        // SAFETY: the caller's promise.
        let c = unsafe { handle::borrow(checkpoint) }?;
        handle::wanted(tensor)?;
        let new = c.tensors.load(c.get(index)?)?;
        // SAFETY: not NULL; the caller vouches for the memory.
        unsafe { tensor::give(tensor, new) };
        Ok(())
    })
}

/// Reads all tensors of a file, as `numpack_checkpoint_load` does, but so that those which show one
/// storage share memory here too, with the strides they have in the file. `tensors` takes
/// `numpack_checkpoint_count` handles, which the caller owns; `count` says that it has room for them.
///
/// Errors: as `numpack_checkpoint_load`, and `NUMPACK_PARAMETER` for another `count`. Nothing is
/// written then.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_checkpoint_load_all(
    checkpoint: *const numpack_checkpoint,
    tensors: *mut *mut numpack_tensor,
    count: usize,
) -> i32 {
    guard(|| {
        // SAFETY: the caller's promise.
        let c = unsafe { handle::borrow(checkpoint) }?;
        let all = c.infos();
        if count != all.len() {
            let problem = format!("count is {count}, and there are {} tensors", all.len());
            return Err(shell::parameter(problem));
        }
        if count == 0 {
            return Ok(());
        }
        handle::wanted(tensors)?;
        for (i, tensor) in c.tensors.load_all(&all)?.into_iter().enumerate() {
            // SAFETY: less than the `count` that the caller vouches for.
            let place = unsafe { tensors.add(i) };
            // SAFETY: it is writable, as the caller vouches, and not NULL.
            unsafe { tensor::give(place, tensor) };
        }
        Ok(())
    })
}

/// Maps tensor `index` of a file: its memory is the file's, read as it is touched, and read-only;
/// its strides are those in the file. It outlives the checkpoint. Checksums are not compared.
///
/// The caller answers for the file: as long as a tensor of it lives, nobody may change or shorten
/// it. Errors: as `numpack_checkpoint_map` and `numpack_checkpoint_load`; what cannot be mapped can
/// be loaded.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_checkpoint_load_mapped(
    checkpoint: *const numpack_checkpoint,
    index: usize,
    tensor: *mut *mut numpack_tensor,
) -> i32 {
    guard(|| {
        // SAFETY: the caller's promise.
        let c = unsafe { handle::borrow(checkpoint) }?;
        handle::wanted(tensor)?;
        // SAFETY: the caller answers for the file, as the header says.
        let new = unsafe { c.tensors.map(c.get(index)?) }?;
        // SAFETY: not NULL; the caller vouches for the memory.
        unsafe { tensor::give(tensor, new) };
        Ok(())
    })
}

/// Reads all rows of an array into a tensor in memory of its own. Its type is the array's in the
/// store; `numpack_checkpoint_load` knows of types that a store lacks. The caller owns it.
///
/// Errors: as `numpack_array_read`; `NUMPACK_OUT_OF_MEMORY`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_array_load(
    array: *const numpack_array,
    tensor: *mut *mut numpack_tensor,
) -> i32 {
    guard(|| {
        // SAFETY: the caller's promise.
        let array = unsafe { handle::borrow(array) }?;
        handle::wanted(tensor)?;
        let new = Tensor::from_array(&array.array)?;
        // SAFETY: not NULL; the caller vouches for the memory.
        unsafe { tensor::give(tensor, new) };
        Ok(())
    })
}
