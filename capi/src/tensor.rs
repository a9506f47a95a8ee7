//! Tensors in memory: made, described, shared.

use std::ffi::{CString, c_void};
use std::ptr;
use std::sync::OnceLock;

use numpack_interop::{Array, Error, Memory, Tensor, from_memory};

use crate::dtype;
use crate::handle::{self, Handle};
use crate::shell::{self, guard};
use crate::structs::{self, Versioned};
use crate::view::{self, numpack_view};

/// A tensor in memory: elements of one type in some order in a storage, which it may share with
/// other tensors, and with whoever lent the memory. The storage lives as long as any of them.
///
/// Many threads may use one tensor, and many tensors of one storage. Reading goes on side by side;
/// a function that writes while another uses the same storage, or the other way round, returns
/// `NUMPACK_IN_USE`. Access through pointers is the caller's to order: while a function of this
/// library reads the storage nobody writes there, and while one writes nobody uses it.
#[allow(non_camel_case_types, reason = "the name C programs type")]
pub struct numpack_tensor {
    pub(crate) tensor: Tensor,
    /// What is pointed to when NumPy's description is asked for, or a view.
    pub(crate) array: OnceLock<Described>,
    pub(crate) strides: OnceLock<Vec<i64>>,
}

impl Handle for numpack_tensor {
    const NAME: &str = "tensor";
}

/// A tensor as NumPy describes it, its text as C has it.
pub(crate) struct Described {
    pub(crate) array: Array,
    pub(crate) typestr: CString,
}

/// What is said of a tensor in memory. The caller sets `struct_size`, a call the rest; the pointers
/// are borrowed from the tensor.
#[allow(non_camel_case_types, reason = "the name C programs type")]
#[derive(Clone, Copy)]
#[repr(C)]
pub struct numpack_tensor_layout {
    /// `sizeof(numpack_tensor_layout)`.
    pub struct_size: u32,
    /// A `NUMPACK_DTYPE_*`.
    pub dtype: i32,
    /// How many dimensions. 0: a single element.
    pub ndim: u32,
    /// Not 0: its memory must not be written to.
    pub read_only: i32,
    /// `ndim` lengths.
    pub shape: *const u64,
    /// `ndim` steps in elements, also negative or 0.
    pub strides: *const i64,
    /// The first element; NULL on a device. Without elements it points to nothing.
    pub data: *mut c_void,
    /// How many elements there are.
    pub numel: u64,
    /// The size of the elements in C order in bytes: what `numpack_tensor_read` fills.
    pub nbytes: u64,
    /// How many elements of the storage lie before the first one.
    pub offset: u64,
    /// The size of the storage in bytes.
    pub storage_nbytes: u64,
    /// Not 0: the elements lie one after another in C order.
    pub contiguous: i32,
    /// Not 0: operations on it are to be differentiated.
    pub requires_grad: i32,
    /// Not 0: it is on a device, and not in the memory of this process.
    pub on_device: i32,
    /// 0.
    pub reserved: i32,
}

// SAFETY: integers and raw pointers only, and `struct_size` first.
unsafe impl Versioned for numpack_tensor_layout {
    const NAME: &str = "numpack_tensor_layout";
    const ZERO: Self = numpack_tensor_layout {
        struct_size: 0,
        dtype: 0,
        ndim: 0,
        read_only: 0,
        shape: ptr::null(),
        strides: ptr::null(),
        data: ptr::null_mut(),
        numel: 0,
        nbytes: 0,
        offset: 0,
        storage_nbytes: 0,
        contiguous: 0,
        requires_grad: 0,
        on_device: 0,
        reserved: 0,
    };
}

/// Called once with the caller's pointer when what it lent is no longer needed, on the thread that frees
/// the last that uses it, such as a tensor of memory. It must not call back into this library for that.
#[allow(non_camel_case_types, reason = "the name C programs type")]
pub type numpack_release_fn = Option<unsafe extern "C" fn(user: *mut c_void)>;

/// The caller's pointer, on its way to whichever thread releases the memory.
struct User(*mut c_void);

// SAFETY: only handed back to the caller's own function, which is documented to be called so.
unsafe impl Send for User {}

/// What calls the caller's function.
pub(crate) fn release(call: numpack_release_fn, user: *mut c_void) -> impl FnOnce() + Send {
    let user = User(user);
    move || {
        let user = user;
        if let Some(call) = call {
            // SAFETY: the caller's function with the caller's pointer, once.
            unsafe { call(user.0) };
        }
    }
}

/// What sizes and strides are read and written as.
const _: () = assert!(size_of::<usize>() == size_of::<u64>());

/// The caller's sizes.
///
/// # Safety
/// `shape` is NULL or points to `ndim` numbers that stay unchanged for `'a`.
pub(crate) unsafe fn shape<'a>(shape: *const u64, ndim: u32) -> Result<&'a [usize], Error> {
    // SAFETY: the caller's promise; the two integers have the same size.
    unsafe { shell::slice(shape.cast::<usize>(), ndim as usize, "shape") }
}

/// Gives the caller a tensor.
///
/// # Safety
/// `out` is writable, and not NULL, as `handle::wanted` found.
pub(crate) unsafe fn give(out: *mut *mut numpack_tensor, tensor: Tensor) {
    let new = numpack_tensor { tensor, array: OnceLock::new(), strides: OnceLock::new() };
    // SAFETY: the caller's promise.
    unsafe { handle::give(out, new) };
}

/// A new tensor in C order whose elements are all zero.
///
/// The caller owns it; `numpack_tensor_free` gives it back, here and wherever a tensor is an output.
/// Errors: `NUMPACK_PARAMETER`; `NUMPACK_TYPE` for a type no tensor in memory has: bool, integers,
/// floats of 8 to 64 bits and complex numbers of them are possible; `NUMPACK_OUT_OF_MEMORY`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_tensor_zeros(
    dtype: i32,
    ndim: u32,
    shape: *const u64,
    tensor: *mut *mut numpack_tensor,
) -> i32 {
    guard(|| {
        handle::wanted(tensor)?;
        let dtype = dtype::of_tensor(dtype)?;
        // SAFETY: the caller's promise.
        let shape = unsafe { self::shape(shape, ndim) }?;
        let new = Tensor::zeros(shape, dtype)?;
        // SAFETY: not NULL; the caller vouches for the memory.
        unsafe { give(tensor, new) };
        Ok(())
    })
}

/// A tensor that shares the memory of a view, of any type a tensor in memory can have. `release` may
/// be NULL; where this fails it is not called.
///
/// Strides of the view are multiples of an element, and its memory is aligned to them.
/// `numpack_tensor_from_numpy` is the same for what NumPy describes. Errors: `NUMPACK_PARAMETER`,
/// `NUMPACK_TYPE`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_tensor_share(
    view: *const numpack_view,
    read_only: i32,
    release: numpack_release_fn,
    user: *mut c_void,
    tensor: *mut *mut numpack_tensor,
) -> i32 {
    guard(|| {
        handle::wanted(tensor)?;
        // SAFETY: the caller's promise.
        let v = unsafe { structs::read(view) }?;
        view::reserved(&v)?;
        let dtype = dtype::of_tensor(v.dtype)?;
        // SAFETY: the caller's promise.
        let shape = unsafe { self::shape(v.shape, v.ndim) }?;
        // SAFETY: the caller's promise.
        let strides = unsafe { view::strides(&v) }?;
        let memory = Memory {
            data: v.data.cast::<u8>().cast_mut(),
            nbytes: v.nbytes,
            read_only: read_only != 0,
            dtype,
            shape,
            strides,
            offset: v.offset,
        };
        // SAFETY: the caller's promise.
        let new = unsafe { from_memory(&memory, self::release(release, user)) }?;
        // SAFETY: not NULL; the caller vouches for the memory.
        unsafe { give(tensor, new) };
        Ok(())
    })
}

/// A tensor of a copy of a view's elements, in C order: of any type a tensor in memory can have,
/// with any strides within its memory. Errors: as `numpack_tensor_zeros`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_tensor_copy(
    view: *const numpack_view,
    tensor: *mut *mut numpack_tensor,
) -> i32 {
    guard(|| {
        handle::wanted(tensor)?;
        // SAFETY: the caller's promise.
        let from = unsafe { view::tensor(view) }?;
        let new = Tensor::copy_of(&from)?;
        // SAFETY: not NULL; the caller vouches for the memory.
        unsafe { give(tensor, new) };
        Ok(())
    })
}

/// Shares a tensor handle: it comes back, and is to be freed once more. NULL is fine.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_tensor_retain(
    tensor: *const numpack_tensor,
) -> *mut numpack_tensor {
    // SAFETY: the caller's promise.
    unsafe { handle::retain(tensor) }
}

/// Gives a tensor back; its memory stays as long as another tensor shows it. NULL is fine.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_tensor_free(tensor: *mut numpack_tensor) {
    // SAFETY: the caller's promise.
    unsafe { handle::free(tensor) };
}

/// Says what a tensor is. The pointers in `layout` live as long as the tensor.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_tensor_get_layout(
    tensor: *const numpack_tensor,
    layout: *mut numpack_tensor_layout,
) -> i32 {
    guard(|| {
        // SAFETY: the caller's promise.
        let t = &unsafe { handle::borrow(tensor) }?.tensor;
        // SAFETY: the caller's promise.
        let size = unsafe { structs::size(layout) }?;
        let found = numpack_tensor_layout {
            struct_size: size as u32,
            dtype: dtype::of_exchange(t.dtype()),
            ndim: t.ndim() as u32,
            read_only: t.is_read_only().into(),
            shape: t.shape().as_ptr().cast(),
            strides: t.strides().as_ptr().cast(),
            data: t.data_ptr().map_or(ptr::null_mut(), <*mut u8>::cast),
            numel: t.numel() as u64,
            nbytes: t.nbytes() as u64,
            offset: t.storage_offset() as u64,
            storage_nbytes: t.storage().nbytes() as u64,
            contiguous: t.is_contiguous().into(),
            requires_grad: t.requires_grad().into(),
            on_device: t.storage().device().is_some().into(),
            reserved: 0,
        };
        // SAFETY: the caller vouches for so many bytes.
        unsafe { structs::write(layout, size, found) };
        Ok(())
    })
}

/// Says whether anybody else holds a tensor's memory: `shared` takes 1 if another tensor shows it or
/// it was given to another library by DLPack, else 0. Handles that `numpack_tensor_retain` gave, and
/// pointers to the memory, are not counted.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_tensor_is_shared(
    tensor: *const numpack_tensor,
    shared: *mut i32,
) -> i32 {
    guard(|| {
        // SAFETY: the caller's promise.
        let tensor = &unsafe { handle::borrow(tensor) }?.tensor;
        let found = tensor.storage().is_shared();
        // SAFETY: the caller's promise.
        unsafe { shell::put(shared, found.into()) };
        Ok(())
    })
}

/// Says where two tensors' memory is the same: `same` takes 1 if they show one storage, else 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_tensor_shares(
    tensor: *const numpack_tensor,
    other: *const numpack_tensor,
    same: *mut i32,
) -> i32 {
    guard(|| {
        // SAFETY: the caller's promise.
        let tensor = &unsafe { handle::borrow(tensor) }?.tensor;
        // SAFETY: the caller's promise.
        let other = &unsafe { handle::borrow(other) }?.tensor;
        let found = tensor.storage().is_same(other.storage());
        // SAFETY: the caller's promise.
        unsafe { shell::put(same, found.into()) };
        Ok(())
    })
}
