//! Tensors taken.

use std::slice;

use super::abi::{
    CPU, CUDA_HOST, DLDataType, DLManagedTensor, DLManagedTensorVersioned, DLTensor,
    FLAG_READ_ONLY, ROCM_HOST, VERSION,
};
use crate::dtype::DType;
use crate::tensor::layout::{Layout, c_strides};
use crate::tensor::{Storage, Tensor};
use crate::{Error, Result};

/// Takes a tensor that another library gives. Its `deleter` is called once the last tensor that
/// shows the memory is gone, on whichever thread that is. Where this fails, nothing is taken, and
/// the caller still has to call it.
///
/// # Errors
/// [`Error::Sharing`] for memory of a device or a struct of another major version; [`Error::Type`]
/// for elements that no tensor has; [`Error::Parameter`] for what cannot be: NULL, negative sizes,
/// misaligned data.
///
/// # Safety
/// `managed` is NULL or a valid struct that nobody else takes, and its memory may be used as
/// [`Storage::from_raw`] says until its deleter is called, which may be on any thread.
pub unsafe fn from_dlpack(managed: *mut DLManagedTensorVersioned) -> Result<Tensor> {
    // SAFETY: the caller's promise.
    let Some(given) = (unsafe { managed.as_ref() }) else { return Err(null()) };
    if given.version.major != VERSION.major {
        return Err(Error::Sharing {
            problem: format!(
                "DLPack {}.{} is not understood, only {}.x",
                given.version.major, given.version.minor, VERSION.major
            ),
            advice: "ask the other library for an older version",
        });
    }
    let (deleter, at) = (given.deleter, At(managed));
    let release = move || {
        let at = at;
        if let Some(deleter) = deleter {
            // SAFETY: the tensor was taken, so this is called once, with what was given.
            unsafe { deleter(at.0) };
        }
    };
    let writable = given.flags & FLAG_READ_ONLY == 0;
    // SAFETY: the caller's promise.
    unsafe { take(&given.dl_tensor, writable, release) }
}

/// Takes a tensor in the struct from before version 1, whose memory counts as writable.
///
/// # Errors
/// As [`from_dlpack`].
///
/// # Safety
/// As for [`from_dlpack`].
pub unsafe fn from_dlpack_legacy(managed: *mut DLManagedTensor) -> Result<Tensor> {
    // SAFETY: the caller's promise.
    let Some(given) = (unsafe { managed.as_ref() }) else { return Err(null()) };
    let (deleter, at) = (given.deleter, At(managed));
    let release = move || {
        let at = at;
        if let Some(deleter) = deleter {
            // SAFETY: the tensor was taken, so this is called once, with what was given.
            unsafe { deleter(at.0) };
        }
    };
    // SAFETY: the caller's promise.
    unsafe { take(&given.dl_tensor, true, release) }
}

/// A pointer that may go to another thread.
struct At<M>(*mut M);

// SAFETY: the deleter, the only one to use it, may be called on any thread, as the caller promised.
unsafe impl<M> Send for At<M> {}

/// # Safety
/// As for [`from_dlpack`].
unsafe fn take(
    given: &DLTensor,
    writable: bool,
    release: impl FnOnce() + Send + 'static,
) -> Result<Tensor> {
    let device = given.device;
    if ![CPU, CUDA_HOST, ROCM_HOST].contains(&device.device_type) {
        return Err(Error::Sharing {
            problem: format!(
                "the tensor is on device {}:{} of DLPack's list, not in the memory of this process",
                device.device_type, device.device_id
            ),
            advice: "move it to the host with .cpu() first",
        });
    }
    let dtype = element_type(given.dtype)?;
    let Ok(ndim) = usize::try_from(given.ndim) else {
        return Err(Error::Parameter(format!("a DLPack tensor of {} dimensions", given.ndim)));
    };
    // SAFETY: the struct says that there are so many sizes.
    let sizes = unsafe { numbers(given.shape, ndim) };
    let Some(sizes) = sizes else {
        return Err(Error::Parameter(format!("a DLPack tensor of {ndim} dimensions has no shape")));
    };
    let shape: Option<Vec<usize>> = sizes.iter().map(|&n| usize::try_from(n).ok()).collect();
    let Some(shape) = shape else {
        return Err(Error::Parameter(format!("a DLPack tensor has the shape {sizes:?}")));
    };
    let mut layout = Layout::contiguous(&shape)?;
    // SAFETY: the struct says that there are so many steps.
    if let Some(strides) = unsafe { numbers(given.strides, ndim) } {
        layout.strides = strides.iter().map(|&s| s as isize).collect();
    }
    if layout.numel() == 0 {
        layout.strides = c_strides(&shape);
    }

    // With negative strides the first element is not the lowest.
    let (before, after) = reach(&layout, dtype)?;
    let far = || Error::Parameter(format!("a DLPack tensor starts at byte {}", given.byte_offset));
    let offset = usize::try_from(given.byte_offset).map_err(|_| far())?;
    let first = given.data.cast::<u8>().wrapping_add(offset);
    let start = match layout.numel() {
        0 => std::ptr::null_mut(),
        _ if given.data.is_null() => {
            return Err(Error::Parameter(format!(
                "the data of a DLPack tensor of {shape:?} is NULL"
            )));
        }
        _ => first.wrapping_sub(before),
    };
    if !start.addr().is_multiple_of(dtype.align()) {
        let align = dtype.align();
        return Err(Error::Sharing {
            problem: format!(
                "the DLPack tensor is misaligned: it is at no multiple of {align} bytes"
            ),
            advice: "copy it first",
        });
    }
    // SAFETY: these are the bytes that the struct's numbers reach; the caller vouches for them.
    let storage = unsafe { Storage::from_raw(start, before + after, writable, release) }?;
    Tensor::new(storage, dtype, &shape, &layout.strides, before / dtype.size())
}

/// How many bytes lie before the first element, and from it on.
fn reach(layout: &Layout, dtype: DType) -> Result<(usize, usize)> {
    if layout.numel() == 0 {
        return Ok((0, 0));
    }
    let (mut before, mut after) = (0_i128, 1_i128);
    for (&n, &stride) in layout.shape.iter().zip(&layout.strides) {
        let far = (n as i128 - 1) * stride as i128;
        if far < 0 { before -= far } else { after += far }
    }
    let size = dtype.size() as i128;
    match isize::try_from((before + after).saturating_mul(size)) {
        Ok(_) => Ok(((before * size) as usize, (after * size) as usize)),
        Err(_) => Err(Error::Parameter(format!(
            "strides {:?} of shape {:?} lead out of the memory",
            layout.strides, layout.shape
        ))),
    }
}

/// # Safety
/// `first` is NULL or points to so many numbers, which stay as they are for `'a`.
unsafe fn numbers<'a>(first: *const i64, count: usize) -> Option<&'a [i64]> {
    match count {
        0 => Some(&[]),
        _ if first.is_null() => None,
        // SAFETY: the caller's promise.
        _ => Some(unsafe { slice::from_raw_parts(first, count) }),
    }
}

fn element_type(given: DLDataType) -> Result<DType> {
    let same =
        |d: &&DType| (d.code as u8, d.bits, d.lanes) == (given.code, given.bits, given.lanes);
    DType::ALL.iter().find(same).copied().ok_or_else(|| Error::Type {
        problem: format!(
            "no tensor has elements of DLPack's code {}, {} bits, {} lanes",
            given.code, given.bits, given.lanes
        ),
        advice: "convert them, or view them as uint8 first",
    })
}

fn null() -> Error {
    Error::Parameter("the DLPack tensor is NULL".to_owned())
}
