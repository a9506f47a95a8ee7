//! Streams: work in the order in which it was recorded.

use std::fmt;
use std::sync::Arc;

use crate::core::Shared;
use crate::core::record::{Part, Work};
use crate::core::storage::Storage;
use crate::device::Device;
use crate::error::Result;
use crate::vk::buffer::Purpose;
use crate::vk::gpu::Timeline;
use crate::watch::Watch;

/// Records work, hands it to the device in batches, and waits for nothing until a value is read.
/// Clones are handles on the same stream.
///
/// Whatever is recorded sees the results of what was recorded before it, on this stream or, for
/// tensors used on several, on others.
///
/// Threads: may be used by many at once; their work is recorded in the order in which they come.
#[derive(Clone)]
pub struct Stream(pub(crate) Arc<Handle>);

/// What all clones of a stream share.
pub(crate) struct Handle {
    pub(crate) device: Device,
    pub(crate) id: u64,
    timeline: Arc<Timeline>,
    watch: Watch,
}

impl Stream {
    pub(crate) fn new(device: &Device) -> Result<Stream> {
        let (id, timeline) = device.shared.lock().add_stream(&device.shared)?;
        let watch = Watch::default();
        Ok(Stream(Arc::new(Handle { device: device.clone(), id, timeline, watch })))
    }

    /// What its kernels say about indices.
    pub(crate) fn watch(&self) -> &Watch {
        &self.0.watch
    }

    /// The device it is of.
    pub fn device(&self) -> &Device {
        &self.0.device
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.0.device.shared
    }

    /// Hands over what is recorded, without waiting.
    ///
    /// # Errors
    /// [`Error::DeviceLost`](crate::Error::DeviceLost), [`Error::Driver`](crate::Error::Driver), and
    /// [`Error::Recording`](crate::Error::Recording) while a sequence is recorded.
    pub fn submit(&self) -> Result<()> {
        let mut core = self.shared().lock();
        core.must_not_capture(self.0.id, "handing work over")?;
        core.flush(self.0.id)
    }

    /// Hands over what is recorded, and waits until all of it is done.
    ///
    /// # Errors
    /// As for [`submit`](Stream::submit), and [`Error::Index`](crate::Error::Index).
    pub fn synchronize(&self) -> Result<()> {
        let mut core = self.shared().lock();
        core.must_not_capture(self.0.id, "waiting")?;
        let value = core.end_of(self.0.id)?;
        drop(core);
        self.0.timeline.wait(value)?;
        self.watch().check(self)
    }

    /// The point up to which work is recorded now; while a sequence is recorded, the one before that.
    pub fn mark(&self) -> Mark {
        let value = self.shared().lock().now(self.0.id);
        Mark { stream: self.clone(), value }
    }

    /// Refuses what cannot be part of a sequence, while one is being recorded.
    pub(crate) fn must_not_capture(&self, what: &'static str) -> Result<()> {
        self.shared().lock().must_not_capture(self.0.id, what)
    }

    /// Records one thing to do.
    pub(crate) fn record(&self, work: &Work<'_>) -> Result<()> {
        self.shared().lock().record(self.shared(), self.0.id, work)
    }

    /// Records a copy of bytes.
    pub(crate) fn copy(
        &self,
        from: &Storage,
        from_at: u64,
        to: &Storage,
        to_at: u64,
        nbytes: u64,
    ) -> Result<()> {
        if nbytes == 0 {
            return Ok(());
        }
        let parts =
            [Part::read(from, from_at, from_at + nbytes), Part::write(to, to_at, to_at + nbytes)];
        self.record(&Work::Copy(&parts))
    }

    /// Memory whose first use is on this stream.
    pub(crate) fn allocate(&self, nbytes: u64, purpose: Purpose, idle: bool) -> Result<Storage> {
        Storage::new(self.shared(), self.0.id, nbytes, purpose, idle)
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream").field("id", &self.0.id).finish_non_exhaustive()
    }
}

impl PartialEq for Stream {
    /// Whether both are handles on the same stream.
    fn eq(&self, other: &Stream) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Drop for Handle {
    /// Waits until all of its work is done.
    fn drop(&mut self) {
        let shared = self.device.shared.clone();
        let end = shared.lock().end_of(self.id);
        // Of an error nobody could be told; it stays with the device and comes with the next call.
        if let Ok(value) = end {
            let _ = self.timeline.wait(value);
        }
        shared.lock().remove_stream(self.id);
    }
}

/// A point in a stream's work.
#[derive(Clone, Debug)]
pub struct Mark {
    stream: Stream,
    value: u64,
}

impl Mark {
    /// Whether the device is past it. Work that was not handed over yet is handed over.
    ///
    /// # Errors
    /// As for [`Stream::submit`].
    pub fn is_reached(&self) -> Result<bool> {
        self.hand_over("asking how far the device is")?;
        self.stream.shared().gpu.check("asking how far it is")?;
        Ok(self.stream.0.timeline.reached() >= self.value)
    }

    /// Waits until the device is past it.
    ///
    /// # Errors
    /// As for [`Stream::submit`].
    pub fn wait(&self) -> Result<()> {
        self.hand_over("waiting")?;
        self.stream.0.timeline.wait(self.value)
    }

    fn hand_over(&self, what: &'static str) -> Result<()> {
        let mut core = self.stream.shared().lock();
        core.must_not_capture(self.stream.0.id, what)?;
        if core.is_recording(self.stream.0.id, self.value) {
            core.flush(self.stream.0.id)?;
        }
        Ok(())
    }
}
