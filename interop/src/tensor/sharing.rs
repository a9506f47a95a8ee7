//! NumPy to tensor and back: who shares, who copies, and what is refused.
//!
//! | call | memory | refuses |
//! |---|---|---|
//! | [`from_numpy`] | shares | elements that are no numbers; read-only, in the other byte order, misaligned; strides that are negative or no multiples of an element |
//! | [`as_tensor`] | shares if it can, else copies | elements that are no numbers |
//! | [`tensor`], [`Tensor::from_nested`] | copies | elements that are no numbers; lists of different lengths |
//! | [`from_memory`] | shares | elements that are not where they should be |
//! | [`Tensor::numpy`] | shares | a tensor on a device, one that requires grad, a type NumPy lacks |
//! | [`Tensor::detach`] | shares | |
//! | [`Tensor::clone`], [`Tensor::to_dtype`], [`Tensor::to_device`] | copy | |
//!
//! Where torch only warns of a read-only array and shares it all the same, this refuses: writing to
//! such a tensor could end the process.
#![allow(unsafe_code)]

use std::sync::Arc;

use super::array::{Array, ArrayInterface};
use super::{Device, Nested, Storage, Tensor, layout};
use crate::dtype::DType;
use crate::{Error, Result};

/// A tensor that shares the memory of an array. Its element type is kept, and so is its order: an
/// array in Fortran order becomes a tensor that is not contiguous. `release` is called once, when
/// the last tensor that shows the memory is gone, on whichever thread that is. Where this fails, it
/// is dropped and not called.
///
/// # Errors
/// [`Error::Type`] for elements that are no numbers. [`Error::Sharing`] for an array that is
/// read-only, in the other byte order, or misaligned, or has strides that are negative or no
/// multiples of an element.
///
/// # Safety
/// The description is true, and until `release` is called its memory may be read and written, as
/// [`Storage::from_raw`](super::Storage::from_raw) says.
///
/// ```
/// use numpack_interop::{ArrayInterface, from_numpy};
/// let mut data = Box::new([1.0_f32, 2.0, 3.0]);
/// let array = ArrayInterface {
///     data: data.as_mut_ptr().cast(),
///     read_only: false,
///     typestr: "<f4",
///     shape: &[3],
///     strides: None,
/// };
/// // SAFETY: the closure keeps the memory until the tensor is gone.
/// let t = unsafe { from_numpy(&array, move || drop(data)) }?;
/// assert_eq!(t.to_vec::<f32>()?, [1.0, 2.0, 3.0]);
/// # Ok::<(), numpack_interop::Error>(())
/// ```
pub unsafe fn from_numpy(
    array: &ArrayInterface<'_>,
    release: impl FnOnce() + Send + 'static,
) -> Result<Tensor> {
    let found = array.describe()?;
    match array.obstacle(&found) {
        Some(refusal) => Err(refusal),
        // SAFETY: the caller's promise.
        None => unsafe { array.share(&found, release) },
    }
}

/// A tensor of an array's elements: it shares the memory where [`from_numpy`] would and neither
/// another type nor a device is asked for, and copies it else. After a copy `release` is called at
/// once.
///
/// # Errors
/// [`Error::Type`] for elements that are no numbers, and what copying may fail with.
///
/// # Safety
/// As for [`from_numpy`].
pub unsafe fn as_tensor(
    array: &ArrayInterface<'_>,
    dtype: Option<DType>,
    device: Option<&Arc<dyn Device>>,
    release: impl FnOnce() + Send + 'static,
) -> Result<Tensor> {
    let found = array.describe()?;
    let same = dtype.is_none_or(|d| d == found.dtype) && device.is_none();
    if same && array.obstacle(&found).is_none() {
        // SAFETY: the caller's promise.
        return unsafe { array.share(&found, release) };
    }
    // SAFETY: the caller's promise.
    let copy = unsafe { array.copy(&found) }?;
    let copy = finish(copy, dtype, device)?;
    release();
    Ok(copy)
}

/// A tensor of a copy of an array's elements, always.
///
/// # Errors
/// [`Error::Type`] for elements that are no numbers, or where `requires_grad` is asked for and the
/// type has no gradient; and what copying may fail with.
///
/// # Safety
/// The description is true, and during the call nobody writes its memory.
pub unsafe fn tensor(
    array: &ArrayInterface<'_>,
    dtype: Option<DType>,
    device: Option<&Arc<dyn Device>>,
    requires_grad: bool,
) -> Result<Tensor> {
    let found = array.describe()?;
    // SAFETY: the caller's promise.
    let copy = unsafe { array.copy(&found) }?;
    let mut copy = finish(copy, dtype, device)?;
    copy.set_requires_grad(requires_grad)?;
    Ok(copy)
}

/// Memory of somebody else's, of any type a tensor has.
#[derive(Clone, Copy, Debug)]
pub struct Memory<'a> {
    /// Its first byte.
    pub data: *mut u8,
    /// How many bytes there are.
    pub nbytes: usize,
    /// Whether they may not be written to.
    pub read_only: bool,
    /// Element type.
    pub dtype: DType,
    /// Length of each dimension.
    pub shape: &'a [usize],
    /// Step of each dimension in bytes; `None` for C order without gaps.
    pub strides: Option<&'a [i64]>,
    /// Where in the memory the first element is, in bytes.
    pub offset: usize,
}

/// A tensor that shares such memory, read-only if that is. For arrays of NumPy's, [`from_numpy`]
/// does it by NumPy's own description. `release` is called once, when the last tensor that shows the
/// memory is gone, on whichever thread that is. Where this fails, it is dropped and not called.
///
/// # Errors
/// [`Error::Parameter`] for elements outside the memory, or not at multiples of their size;
/// [`Error::Type`] for a type no tensor has.
///
/// # Safety
/// As for [`Storage::from_raw`].
pub unsafe fn from_memory(
    memory: &Memory<'_>,
    release: impl FnOnce() + Send + 'static,
) -> Result<Tensor> {
    let size = memory.dtype.size();
    let whole = |bytes: i64| (bytes % size as i64 == 0).then(|| (bytes / size as i64) as isize);
    let strides = match memory.strides {
        Some(strides) => strides.iter().map(|&s| whole(s)).collect(),
        None => {
            layout::numel(memory.shape)?;
            Some(layout::c_strides(memory.shape))
        }
    };
    let Some(strides) = strides.filter(|_| memory.offset.is_multiple_of(size)) else {
        return Err(Error::Parameter(format!(
            "strides of {:?} bytes and an offset of {} are no multiples of an element's {size} \
             bytes; copy the memory instead",
            memory.strides.unwrap_or_default(),
            memory.offset
        )));
    };
    let shown =
        |storage| Tensor::new(storage, memory.dtype, memory.shape, &strides, memory.offset / size);
    let (data, nbytes, writable) = (memory.data, memory.nbytes, !memory.read_only);
    // What does not fit is found before the memory counts as taken.
    // SAFETY: this tensor goes at once, and nothing looks at its elements.
    shown(unsafe { Storage::from_raw(data, nbytes, writable, || ()) }?)?;
    // SAFETY: the caller's promise.
    shown(unsafe { Storage::from_raw(data, nbytes, writable, release) }?)
}

fn finish(copy: Tensor, dtype: Option<DType>, device: Option<&Arc<dyn Device>>) -> Result<Tensor> {
    let copy = dtype.map_or(Ok(copy.alias()), |dtype| copy.to_dtype(dtype))?;
    device.map_or(Ok(copy.alias()), |device| copy.to_device(device))
}

impl Tensor {
    /// A tensor of values in lists. Without `dtype` truth values become bool, integers int64,
    /// floats float32, complex numbers complex64, and a mixture the widest of them; no values at all
    /// are float32.
    ///
    /// ```
    /// use numpack_interop::{Nested, Tensor, dtype::DType};
    /// let t = Tensor::from_nested(&Nested::from(vec![vec![1, 2], vec![3, 4]]), None)?;
    /// assert_eq!((t.dtype(), t.shape()), (DType::INT64, &[2, 2][..]));
    /// # Ok::<(), numpack_interop::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Parameter`] for lists of one depth that differ in length, and for numbers that the
    /// type cannot hold.
    pub fn from_nested(values: &Nested, dtype: Option<DType>) -> Result<Tensor> {
        values.tensor(dtype)
    }

    /// The tensor as an array that shares its memory.
    ///
    /// # Errors
    /// [`Error::Sharing`] for a tensor on a device, and for one that requires grad: writing to the
    /// array would go unnoticed. [`Error::Type`] for a type that NumPy lacks.
    pub fn numpy(&self) -> Result<Array> {
        self.storage.as_ptr()?;
        self.no_grad("an array of a tensor that requires grad")?;
        Array::of(self)
    }

    /// How many bytes it is from one index to the next, for each dimension.
    pub fn byte_strides(&self) -> Vec<i64> {
        let size = self.itemsize() as i64;
        self.strides().iter().map(|&s| (s as i64).wrapping_mul(size)).collect()
    }

    /// Refuses to share memory whose gradient is wanted.
    pub(super) fn no_grad(&self, what: &str) -> Result<()> {
        if !self.requires_grad {
            return Ok(());
        }
        let problem = format!("{what} would be changed without its gradient");
        Err(Error::Sharing { problem, advice: "call .detach() first" })
    }
}
