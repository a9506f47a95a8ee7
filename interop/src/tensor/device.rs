//! What a device has to do so that tensors can lie there.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use crate::Result;

/// A device with memory of its own, such as a GPU. The crate that drives it implements this.
pub trait Device: Send + Sync + fmt::Debug {
    /// How messages and [`Tensor::device`](super::Tensor::device) name it: `vulkan:0`.
    fn name(&self) -> String;

    /// New memory of the device that holds a copy of these bytes.
    ///
    /// # Errors
    /// [`Error::Device`](crate::Error::Device), and
    /// [`Error::OutOfMemory`](crate::Error::OutOfMemory).
    fn upload(self: Arc<Self>, bytes: &[u8]) -> Result<Box<dyn DeviceMemory>>;
}

/// A piece of a device's memory, freed when it is dropped.
pub trait DeviceMemory: Send + Sync {
    /// Whose it is.
    fn device(&self) -> Arc<dyn Device>;

    /// How many bytes it has.
    fn nbytes(&self) -> usize;

    /// Copies bytes to the host: as many as `out` takes, from byte `offset` on. The caller has seen
    /// to it that there are so many.
    ///
    /// # Errors
    /// [`Error::Device`](crate::Error::Device).
    fn download(&self, offset: usize, out: &mut [u8]) -> Result<()>;

    /// Itself, for the crate that knows its type.
    fn as_any(&self) -> &dyn Any;
}
