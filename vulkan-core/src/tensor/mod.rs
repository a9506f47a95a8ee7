//! Tensors on a device.
//!
//! | module | holds |
//! |---|---|
//! | `layout` | sizes and strides, and the rules of views |
//! | `views` | views of a tensor |
//! | `host` | bytes from the host and back |
//! | `create` | new tensors: filled, counted up, random |

mod create;
mod host;
pub(crate) mod layout;
mod views;

use std::fmt;
use std::sync::Arc;

pub use host::Download;

use crate::core::storage::Storage;
use crate::device::Device;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::stream::Stream;
use crate::vk::buffer::Purpose;
use layout::Layout;

/// Elements of one type in a device's memory, in some order. Views show the same memory.
///
/// Names and rules are PyTorch's; dimensions and indices count from the end where they are negative.
/// What is done with a tensor is recorded on the stream that it was made on, and nothing waits until
/// a value is read ([`to_host`](Tensor::to_host)).
///
/// Threads: may be used by many at once. A kernel that writes and one that reads, recorded by two
/// threads, run in the order in which they were recorded.
#[derive(Clone)]
pub struct Tensor {
    pub(crate) stream: Stream,
    pub(crate) storage: Arc<Storage>,
    pub(crate) dtype: DType,
    pub(crate) layout: Layout,
}

impl Tensor {
    /// New memory, holding whatever was there before.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`], [`Error::DeviceLost`], and [`Error::Parameter`] for a shape beyond all
    /// memory.
    pub fn empty(stream: &Stream, dtype: DType, shape: &[usize]) -> Result<Tensor> {
        let nbytes = nbytes(shape, dtype)?;
        let storage = stream.allocate(nbytes, Purpose::Tensor, false)?;
        Ok(Tensor::over(stream, storage, dtype, shape))
    }

    fn over(stream: &Stream, storage: Storage, dtype: DType, shape: &[usize]) -> Tensor {
        Tensor {
            stream: stream.clone(),
            storage: Arc::new(storage),
            dtype,
            layout: Layout::contiguous(shape),
        }
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
    pub fn strides(&self) -> &[usize] {
        &self.layout.strides
    }

    /// How many elements of the memory lie before the first one shown.
    pub fn storage_offset(&self) -> usize {
        self.layout.offset
    }

    /// How many dimensions there are.
    pub fn ndim(&self) -> usize {
        self.layout.shape.len()
    }

    /// How many elements there are.
    pub fn numel(&self) -> usize {
        self.layout.numel()
    }

    /// Bytes of all elements; the memory may have fewer (after [`expand`](Tensor::expand)) or more.
    pub fn nbytes(&self) -> usize {
        self.numel().saturating_mul(self.dtype.size())
    }

    /// Whether the elements lie one after another in C order.
    pub fn is_contiguous(&self) -> bool {
        self.layout.is_contiguous()
    }

    /// The device it is on.
    pub fn device(&self) -> &Device {
        self.stream.device()
    }

    /// The stream that what is done with it is recorded on.
    pub fn stream(&self) -> &Stream {
        &self.stream
    }

    /// The same tensor, what is done with which is recorded on another stream of the same device.
    ///
    /// # Errors
    /// [`Error::Parameter`] for a stream of another device.
    pub fn on(&self, stream: &Stream) -> Result<Tensor> {
        self.must_be_on(stream)?;
        Ok(Tensor { stream: stream.clone(), ..self.clone() })
    }

    pub(crate) fn must_be_on(&self, stream: &Stream) -> Result<()> {
        if self.device() == stream.device() {
            return Ok(());
        }
        Err(Error::parameter(format!(
            "a tensor on {} and one on {} cannot be used together; copy one through the host",
            self.device().info(),
            stream.device().info()
        )))
    }

    /// Whether both show memory of the same storage.
    pub fn shares_storage(&self, other: &Tensor) -> bool {
        Arc::ptr_eq(&self.storage, &other.storage)
    }

    fn showing(&self, layout: Layout) -> Tensor {
        Tensor { layout, ..self.clone() }
    }
}

impl fmt::Debug for Tensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tensor")
            .field("dtype", &self.dtype)
            .field("shape", &self.layout.shape)
            .field("strides", &self.layout.strides)
            .field("offset", &self.layout.offset)
            .finish_non_exhaustive()
    }
}

/// Bytes of a contiguous tensor.
fn nbytes(shape: &[usize], dtype: DType) -> Result<u64> {
    Ok(layout::numel(shape)? as u64 * dtype.size() as u64)
}
