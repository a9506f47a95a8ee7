//! Tensors given away.

use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;

use super::abi::{
    CPU, DLDataType, DLDevice, DLManagedTensor, DLManagedTensorVersioned, DLTensor, FLAG_IS_COPIED,
    FLAG_READ_ONLY, VERSION,
};
use crate::tensor::Tensor;
use crate::{Error, Result};

/// Whether memory given away is a copy.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Copied {
    /// It is shared.
    #[default]
    No,
    /// It is copied first, and nobody else's.
    Yes,
}

/// What a given tensor needs until it comes back: one allocation, the struct first.
#[repr(C)]
struct Given<M> {
    managed: M,
    shape: Vec<i64>,
    strides: Vec<i64>,
    /// Keeps the memory.
    _tensor: Tensor,
}

/// Gives a tensor away. Whoever takes it calls its `deleter` once, on any thread.
///
/// # Errors
/// [`Error::Sharing`] for a tensor on a device, and for one that requires grad; where it is to be
/// copied, [`Error::OutOfMemory`] and [`Error::InUse`].
///
/// ```
/// use numpack_interop::{Tensor, dlpack};
/// let t = Tensor::from_slice(&[1_i32, 2], &[2])?;
/// let given = dlpack::to_dlpack(&t, dlpack::Copied::No)?;
/// // SAFETY: just given, and taken by nobody else.
/// let taken = unsafe { dlpack::from_dlpack(given) }?;
/// t.set(&[0], 7)?;
/// assert_eq!(taken.to_vec::<i32>()?, [7, 2]);
/// # Ok::<(), numpack_interop::Error>(())
/// ```
pub fn to_dlpack(tensor: &Tensor, copied: Copied) -> Result<*mut DLManagedTensorVersioned> {
    let (tensor, dl_tensor) = describe(tensor, copied)?;
    let read_only = if tensor.is_read_only() { FLAG_READ_ONLY } else { 0 };
    let is_copied = if copied == Copied::Yes { FLAG_IS_COPIED } else { 0 };
    let managed = DLManagedTensorVersioned {
        version: VERSION,
        manager_ctx: ptr::null_mut(),
        deleter: Some(delete_versioned),
        flags: read_only | is_copied,
        dl_tensor,
    };
    let given = give(tensor, managed, |managed| &mut managed.dl_tensor);
    // SAFETY: just made, and nobody else's yet.
    unsafe { (*given).manager_ctx = given.cast() };
    Ok(given)
}

/// Gives a tensor away in the struct from before version 1, which cannot say that memory is
/// read-only.
///
/// # Errors
/// As [`to_dlpack`], and [`Error::Sharing`] for read-only memory.
pub fn to_dlpack_legacy(tensor: &Tensor, copied: Copied) -> Result<*mut DLManagedTensor> {
    let (tensor, dl_tensor) = describe(tensor, copied)?;
    if tensor.is_read_only() {
        return Err(Error::Sharing {
            problem: "the tensor's memory is read-only, which DLPack cannot say before version 1"
                .to_owned(),
            advice: "ask for version 1, or clone the tensor",
        });
    }
    let managed =
        DLManagedTensor { dl_tensor, manager_ctx: ptr::null_mut(), deleter: Some(delete_legacy) };
    let given = give(tensor, managed, |managed| &mut managed.dl_tensor);
    // SAFETY: just made, and nobody else's yet.
    unsafe { (*given).manager_ctx = given.cast() };
    Ok(given)
}

/// Puts the struct where it stays until the deleter is called, with the numbers it points to.
fn give<M>(tensor: Tensor, managed: M, inner: fn(&mut M) -> &mut DLTensor) -> *mut M {
    let shape = tensor.shape().iter().map(|&n| n as i64).collect();
    let strides = tensor.strides().iter().map(|&s| s as i64).collect();
    let mut given = Box::new(Given { managed, shape, strides, _tensor: tensor });
    let (shape, strides) = (given.shape.as_mut_ptr(), given.strides.as_mut_ptr());
    let described = inner(&mut given.managed);
    (described.shape, described.strides) = (shape, strides);
    Box::into_raw(given).cast()
}

/// The tensor that is given, and all of its description but the numbers of its dimensions.
fn describe(tensor: &Tensor, copied: Copied) -> Result<(Tensor, DLTensor)> {
    tensor.storage().as_ptr()?;
    tensor.no_grad("memory of a tensor that requires grad")?;
    let tensor = if copied == Copied::Yes { tensor.clone()? } else { tensor.alias() };
    let data = match tensor.numel() {
        0 => ptr::null_mut(),
        _ => tensor.data_ptr()?.cast::<c_void>(),
    };
    let dtype = tensor.dtype();
    let described = DLTensor {
        data,
        device: DLDevice { device_type: CPU, device_id: 0 },
        ndim: tensor.ndim() as i32,
        dtype: DLDataType { code: dtype.code as u8, bits: dtype.bits, lanes: dtype.lanes },
        shape: ptr::null_mut(),
        strides: ptr::null_mut(),
        byte_offset: 0,
    };
    Ok((tensor, described))
}

unsafe extern "C" fn delete_versioned(managed: *mut DLManagedTensorVersioned) {
    // SAFETY: whoever took the tensor calls this once, with what it got.
    unsafe { delete::<DLManagedTensorVersioned>(managed) };
}

unsafe extern "C" fn delete_legacy(managed: *mut DLManagedTensor) {
    // SAFETY: whoever took the tensor calls this once, with what it got.
    unsafe { delete::<DLManagedTensor>(managed) };
}

/// # Safety
/// `managed` is NULL, or a struct of [`Given`] that nobody uses any more.
unsafe fn delete<M>(managed: *mut M) {
    if managed.is_null() {
        return;
    }
    // SAFETY: the struct is the first field of the box it was made with.
    let given = unsafe { Box::from_raw(managed.cast::<Given<M>>()) };
    // What lent the memory to us may fail when it gets it back; the caller is C and cannot know.
    let _ = catch_unwind(AssertUnwindSafe(|| drop(given)));
}
