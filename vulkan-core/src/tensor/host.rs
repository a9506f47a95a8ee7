//! Bytes from the host and back.

use std::sync::Arc;

use super::{Tensor, nbytes};
use crate::core::storage::Storage;
use crate::dtype::{DType, Element};
use crate::error::{Error, Result};
use crate::stream::{Mark, Stream};
use crate::transfer::{self, Pending};
use crate::watch::Noted;

impl Tensor {
    /// A tensor that holds these elements, in C order.
    ///
    /// # Errors
    /// As for [`empty`](Tensor::empty), [`Error::Parameter`] where there are more or fewer than the shape
    /// has, and [`Error::Recording`] while a sequence is recorded on the stream.
    pub fn from_host<T: Element>(stream: &Stream, data: &[T], shape: &[usize]) -> Result<Tensor> {
        Tensor::from_bytes(stream, bytemuck::cast_slice(data), T::DTYPE, shape)
    }

    /// A tensor that holds these elements, in C order, each in the host's byte order.
    ///
    /// # Errors
    /// As for [`from_host`](Tensor::from_host).
    pub fn from_bytes(
        stream: &Stream,
        bytes: &[u8],
        dtype: DType,
        shape: &[usize],
    ) -> Result<Tensor> {
        must_fill(bytes.len(), dtype, shape)?;
        let storage = transfer::upload_new(stream, bytes)?;
        Ok(Tensor::over(stream, storage, dtype, shape))
    }

    /// Copies these elements over the tensor's own, in C order, after all that was recorded. The slice
    /// may be used again at once.
    ///
    /// # Errors
    /// As for [`from_host`](Tensor::from_host); and [`Error::Parameter`] for a tensor some of whose
    /// elements are the same memory.
    pub fn copy_from_host<T: Element>(&self, data: &[T]) -> Result<()> {
        if T::DTYPE != self.dtype {
            let (have, want) = (T::DTYPE, self.dtype);
            let problem = format!("elements of {have} do not go into a tensor of {want}");
            return Err(Error::Parameter(problem + "; convert one of them"));
        }
        let bytes: &[u8] = bytemuck::cast_slice(data);
        must_fill(bytes.len(), self.dtype, self.shape())?;
        if self.is_contiguous() {
            let at = (self.layout.offset * self.dtype.size()) as u64;
            return transfer::upload_staged(&self.stream, bytes, &self.storage, at);
        }
        self.copy_from(&Tensor::from_bytes(&self.stream, bytes, self.dtype, self.shape())?)
    }

    /// The elements in C order. Waits until they are there.
    ///
    /// # Errors
    /// [`Error::DeviceLost`], [`Error::OutOfMemory`] for staging memory, and [`Error::Parameter`] for
    /// another type than the tensor has; [`Error::Recording`] while a sequence is recorded on the stream.
    /// [`Error::Index`] where indices led nowhere in what was recorded on the same stream since the last
    /// read; the next one succeeds.
    pub fn to_host<T: Element>(&self) -> Result<Vec<T>> {
        if T::DTYPE != self.dtype {
            let problem = format!("a tensor of {} has no elements of {}", self.dtype, T::DTYPE);
            return Err(Error::Parameter(problem + "; cast it first"));
        }
        T::from_bytes(&self.to_bytes()?)
    }

    /// The elements in C order, each in the host's byte order. Waits until they are there.
    ///
    /// # Errors
    /// As for [`to_host`](Tensor::to_host).
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let mut bytes = vec![0; self.nbytes()];
        self.read_into(&mut bytes)?;
        Ok(bytes)
    }

    /// Copies the elements out in C order, into memory of the caller's. Waits until they are there.
    ///
    /// # Errors
    /// As for [`to_host`](Tensor::to_host); and [`Error::Parameter`] where `out` has not just as many
    /// bytes.
    pub fn read_into(&self, out: &mut [u8]) -> Result<()> {
        must_fill(out.len(), self.dtype, self.shape())?;
        self.stream.must_not_capture(transfer::DOWNLOAD)?;
        if out.is_empty() {
            return Ok(());
        }
        let whole = self.contiguous()?;
        let at = (whole.layout.offset * whole.dtype.size()) as u64;
        transfer::download(&whole.stream, &whole.storage, at, out)?;
        whole.stream.watch().check(&whole.stream)
    }

    /// The elements on their way to the host, as they are at this point of the stream. Nothing waits.
    ///
    /// # Errors
    /// As for [`to_host`](Tensor::to_host).
    pub fn download(&self) -> Result<Download> {
        self.stream.must_not_capture(transfer::DOWNLOAD)?;
        let whole = self.contiguous()?;
        let nbytes = whole.nbytes();
        let at = (whole.layout.offset * whole.dtype.size()) as u64;
        let pending = match nbytes {
            0 => None,
            _ => Some(Pending::begin(&whole.stream, &whole.storage, at, nbytes as u64)?),
        };
        let noted = whole.stream.watch().send(&whole.stream)?;
        let (stream, _source) = (whole.stream, whole.storage);
        Ok(Download { pending, noted, nbytes, dtype: self.dtype, stream, _source })
    }
}

/// A tensor's elements on their way to the host.
pub struct Download {
    pending: Option<Pending>,
    noted: Option<Noted>,
    nbytes: usize,
    dtype: DType,
    stream: Stream,
    _source: Arc<Storage>,
}

impl Download {
    /// Whether they are there.
    ///
    /// # Errors
    /// [`Error::DeviceLost`].
    pub fn is_ready(&self) -> Result<bool> {
        self.pending.as_ref().map_or(Ok(true), |pending| pending.mark.is_reached())
    }

    /// The point of the stream at which they are there.
    pub fn mark(&self) -> Option<&Mark> {
        self.pending.as_ref().map(|pending| &pending.mark)
    }

    /// The elements in C order. Waits until they are there.
    ///
    /// # Errors
    /// As for [`Tensor::to_host`].
    pub fn wait<T: Element>(self) -> Result<Vec<T>> {
        if T::DTYPE != self.dtype {
            let problem = format!("a tensor of {} has no elements of {}", self.dtype, T::DTYPE);
            return Err(Error::Parameter(problem + "; cast it first"));
        }
        let mut bytes = vec![0; self.nbytes];
        let counts = self._source.shared.clone();
        if let Some(pending) = self.pending {
            pending.read(&mut bytes)?;
        }
        counts.downloaded(bytes.len());
        if let Some(noted) = self.noted {
            self.stream.watch().receive(&self.stream, noted)?;
        }
        T::from_bytes(&bytes)
    }
}

fn must_fill(have: usize, dtype: DType, shape: &[usize]) -> Result<()> {
    let need = nbytes(shape, dtype)?;
    if have as u64 == need {
        return Ok(());
    }
    Err(Error::parameter(format!(
        "{have} bytes do not fill shape {shape:?} of {dtype}, which has {need}"
    )))
}
