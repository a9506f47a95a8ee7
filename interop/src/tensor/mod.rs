//! Tensors in memory: many views of one storage, shared with whoever else has the memory.
//!
//! | module | holds |
//! |---|---|
//! | `memory` | [`Storage`]: the bytes, whose they are, and who uses them now |
//! | `layout` | sizes and strides, and the rules of views |
//! | `views` | views of a tensor |
//! | `elements` | a tensor's elements as Rust values: [`Element`], [`Elements`], [`Scalar`] |
//! | `values` | copies: contiguous ones, other element types, one tensor into another |
//! | `copy`, `cast`, `float8` | the loops for that |
//! | `sharing` | [`from_numpy`], [`as_tensor`], [`tensor`], [`Tensor::numpy`]: who shares, who copies |
//! | `array` | [`ArrayInterface`], NumPy's description of an array |
//! | `nested` | [`Nested`], values in lists |
//! | `dlpack` | DLPack's structs, in and out |
//! | `stored` | tensors of files, read or mapped: [`Tensors::load`](crate::Tensors::load), [`Tensors::map`](crate::Tensors::map) |
//! | `device` | [`Device`], [`DeviceMemory`]: what a GPU has to do |

mod array;
mod cast;
mod copy;
mod device;
pub mod dlpack;
mod elements;
mod float8;
mod layout;
mod memory;
mod nested;
mod sharing;
mod stored;
mod values;
mod views;

pub use array::{Array, ArrayInterface};
pub use device::{Device, DeviceMemory};
pub use elements::{Element, Elements, ElementsMut, Scalar};
pub(crate) use memory::Reading;
pub use memory::{ALIGNMENT, Storage};
pub use nested::Nested;
pub use sharing::{Memory, as_tensor, from_memory, from_numpy, tensor};

use std::fmt;

use crate::dtype::DType;
use crate::{Error, Result};
use layout::Layout;

/// Elements of one type in some order in a [`Storage`]. What [views](Tensor::transpose) show is the
/// same memory: a change through one is seen by all, and by whoever lent it.
///
/// Names and rules are PyTorch's. Dimensions and indices count from the end where they are negative.
/// Strides count elements and may be 0 or negative.
///
/// Threads: a tensor may be used by many at once, and so may many views of one storage. Reading
/// goes on side by side. Writing beside any other use of the same storage is refused with
/// [`Error::InUse`], wherever it comes from; nothing waits.
///
/// ```
/// use numpack_interop::Tensor;
/// let t = Tensor::from_slice(&[1.0_f32, 2.0, 3.0, 4.0, 5.0, 6.0], &[2, 3])?;
/// let column = t.select(1, 0)?;
/// column.fill(9.0)?;
/// assert_eq!(t.to_vec::<f32>()?, [9.0, 2.0, 3.0, 9.0, 5.0, 6.0]);
/// # Ok::<(), numpack_interop::Error>(())
/// ```
pub struct Tensor {
    storage: Storage,
    dtype: DType,
    layout: Layout,
    requires_grad: bool,
}

impl Tensor {
    /// Shows elements of a storage: of this shape, `strides` elements apart, the first of them
    /// `offset` elements from the storage's start.
    ///
    /// # Errors
    /// [`Error::Parameter`] where that leads out of the storage, or elements would not lie at
    /// multiples of [`DType::align`]; [`Error::Type`] for a type not in [`DType::ALL`].
    pub fn new(
        storage: Storage,
        dtype: DType,
        shape: &[usize],
        strides: &[isize],
        offset: usize,
    ) -> Result<Tensor> {
        allowed(dtype)?;
        if shape.len() != strides.len() {
            let problem = format!("{} sizes and {} strides", shape.len(), strides.len());
            return Err(Error::Parameter(format!("{problem}: give one stride for each size")));
        }
        layout::numel(shape)?;
        let layout = Layout { shape: shape.to_vec(), strides: strides.to_vec(), offset };
        let (size, nbytes) = (dtype.size(), storage.nbytes());
        // Without elements, only the first one's place could be wrong.
        let end = layout.extent()?.map_or(offset, |(_, last)| last.saturating_add(1));
        if end.checked_mul(size).is_none_or(|end| end > nbytes) {
            return Err(Error::Parameter(format!(
                "shape {shape:?}, strides {strides:?} and offset {offset} need {end} elements of \
                 {size} bytes, and the storage has {nbytes} bytes"
            )));
        }
        if storage.as_ptr().is_ok_and(|at| nbytes > 0 && !at.addr().is_multiple_of(dtype.align())) {
            let align = dtype.align();
            return Err(Error::Parameter(format!(
                "the storage does not lie at a multiple of {align} bytes, which {dtype} needs; copy \
                 it"
            )));
        }
        Ok(Tensor { storage, dtype, layout, requires_grad: false })
    }

    /// New memory, all zero, in C order.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`], or [`Error::Parameter`] for a shape beyond all memory.
    pub fn zeros(shape: &[usize], dtype: DType) -> Result<Tensor> {
        allowed(dtype)?;
        let layout = Layout::contiguous(shape)?;
        let nbytes = layout.numel().checked_mul(dtype.size());
        let nbytes = nbytes.ok_or(Error::OutOfMemory { nbytes: u64::MAX })?;
        let storage = Storage::zeros(nbytes)?;
        Ok(Tensor { storage, dtype, layout, requires_grad: false })
    }

    /// New memory, each element of this value.
    ///
    /// # Errors
    /// As [`zeros`](Tensor::zeros), and [`Error::Parameter`] for a value that the type cannot hold.
    pub fn full(shape: &[usize], value: impl Into<Scalar>, dtype: DType) -> Result<Tensor> {
        let t = Tensor::zeros(shape, dtype)?;
        t.fill(value)?;
        Ok(t)
    }

    /// A copy of these elements, in C order.
    ///
    /// # Errors
    /// As [`zeros`](Tensor::zeros), and where there are more or fewer than the shape has.
    pub fn from_slice<T: Element>(data: &[T], shape: &[usize]) -> Result<Tensor> {
        if layout::numel(shape)? != data.len() {
            let n = data.len();
            return Err(Error::Parameter(format!("{n} elements do not fill shape {shape:?}")));
        }
        let t = Tensor::zeros(shape, T::DTYPE)?;
        t.storage.write()?.copy_from_slice(bytemuck::cast_slice(data));
        Ok(t)
    }

    /// The element type.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// The size of each dimension.
    pub fn shape(&self) -> &[usize] {
        &self.layout.shape
    }

    /// How many elements it is from one index to the next, for each dimension.
    pub fn strides(&self) -> &[isize] {
        &self.layout.strides
    }

    /// How many elements of the storage lie before the first one shown.
    pub fn storage_offset(&self) -> usize {
        self.layout.offset
    }

    /// How many dimensions there are.
    pub fn ndim(&self) -> usize {
        self.layout.ndim()
    }

    /// How many elements there are.
    pub fn numel(&self) -> usize {
        self.layout.numel()
    }

    /// Bytes of one element.
    pub fn itemsize(&self) -> usize {
        self.dtype.size()
    }

    /// Bytes of all elements; a storage may have fewer (after [`expand`](Tensor::expand)) or more.
    pub fn nbytes(&self) -> usize {
        self.numel().saturating_mul(self.itemsize())
    }

    /// The first and the last element of the storage that are shown; `None` where there are none.
    pub(crate) fn extent(&self) -> Option<(usize, usize)> {
        // A tensor's layout has been found to lie in its storage.
        self.layout.extent().ok().flatten()
    }

    /// Whether the elements lie one after another in C order.
    pub fn is_contiguous(&self) -> bool {
        self.layout.is_contiguous()
    }

    /// Whether writing is refused.
    pub fn is_read_only(&self) -> bool {
        self.storage.is_read_only()
    }

    /// The memory that is shown.
    pub fn storage(&self) -> &Storage {
        &self.storage
    }

    /// Where the first element is, for code that knows who else uses the memory; without elements,
    /// no byte.
    ///
    /// # Errors
    /// [`Error::Sharing`] on a device.
    pub fn data_ptr(&self) -> Result<*mut u8> {
        Ok(self.storage.as_ptr()?.wrapping_add(self.run().start))
    }

    /// The name of the device it is on; `cpu` for the memory of this process.
    pub fn device(&self) -> String {
        self.storage.device().map_or_else(|| "cpu".to_owned(), |memory| memory.device().name())
    }

    /// Whether operations on it are to be differentiated. A flag only: nothing here computes.
    pub fn requires_grad(&self) -> bool {
        self.requires_grad
    }

    /// Sets the flag of this handle.
    ///
    /// # Errors
    /// [`Error::Type`] for integers and truth values, which have no gradient.
    pub fn set_requires_grad(&mut self, requires_grad: bool) -> Result<()> {
        if requires_grad && !self.dtype.is_differentiable() {
            return Err(Error::Type {
                problem: format!("a tensor of {} has no gradient", self.dtype),
                advice: "convert it to a float type first",
            });
        }
        self.requires_grad = requires_grad;
        Ok(())
    }

    /// Another handle on the same tensor, flag and all.
    pub fn alias(&self) -> Tensor {
        self.showing(self.layout.clone())
    }

    /// The same memory without the wish for a gradient.
    pub fn detach(&self) -> Tensor {
        Tensor { requires_grad: false, ..self.alias() }
    }

    /// The same memory in another layout, which lies within what this one shows.
    fn showing(&self, layout: Layout) -> Tensor {
        Tensor {
            storage: self.storage.clone(),
            dtype: self.dtype,
            layout,
            requires_grad: self.requires_grad,
        }
    }
}

impl fmt::Debug for Tensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tensor")
            .field("dtype", &self.dtype)
            .field("shape", &self.layout.shape)
            .field("strides", &self.layout.strides)
            .field("offset", &self.layout.offset)
            .field("requires_grad", &self.requires_grad)
            .field("storage", &self.storage)
            .finish()
    }
}

/// Refuses types that no tensor has.
fn allowed(dtype: DType) -> Result<()> {
    if DType::ALL.contains(&dtype) {
        return Ok(());
    }
    let DType { code, bits, lanes } = dtype;
    Err(Error::Type {
        problem: format!("no tensor has elements of {lanes} times {bits} bits of kind {code:?}"),
        advice: "take its bytes as uint8",
    })
}
