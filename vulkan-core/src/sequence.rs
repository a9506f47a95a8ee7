//! Work that is recorded once, and replayed.

use std::fmt;
use std::marker::PhantomData;
use std::mem;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::core::sequence::Recorded;
use crate::error::Result;
use crate::stream::Stream;

impl Stream {
    /// Records what the function does on this stream, without doing it, and returns it as a [`Sequence`]
    /// with whatever the function returns: most often the tensors in which results will be.
    ///
    /// ```no_run
    /// use vulkan_core::{DType, Device, DeviceOptions, Tensor};
    /// let stream = Device::open(&DeviceOptions::new())?.stream()?;
    /// let x = Tensor::zeros(&stream, DType::F32, &[3])?;
    /// let (sequence, y) = stream.record_sequence(|| x.mul(2.0)?.add(1.0))?;
    /// for input in [[1.0_f32, 2.0, 3.0], [4.0, 5.0, 6.0]] {
    ///     x.copy_from_host(&input)?;
    ///     sequence.replay()?;
    ///     assert_eq!(y.to_host::<f32>()?, input.map(|x| 2.0 * x + 1.0));
    /// }
    /// # Ok::<(), vulkan_core::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of the function, and of [`begin_sequence`](Stream::begin_sequence) and [`Recording::end`].
    /// The stream is then as it was before.
    pub fn record_sequence<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<(Sequence, T)> {
        let recording = self.begin_sequence()?;
        let result = work()?;
        Ok((recording.end()?, result))
    }

    /// Begins to record a sequence: until the [`Recording`] is ended or dropped, what this thread does on
    /// this stream goes into the sequence and is not done. What is done on other streams is done as ever.
    ///
    /// Meanwhile these are errors ([`Error::Recording`](crate::Error::Recording)), which leave the
    /// recording as it was: to copy values from the host or to it, to wait, to hand work over, to begin or
    /// to replay a sequence, all on this stream; and whatever another thread would record on it.
    ///
    /// # Errors
    /// [`Error::Recording`](crate::Error::Recording), [`Error::OutOfMemory`](crate::Error::OutOfMemory),
    /// [`Error::Driver`](crate::Error::Driver), [`Error::DeviceLost`](crate::Error::DeviceLost).
    pub fn begin_sequence(&self) -> Result<Recording> {
        self.must_not_capture("another sequence")?;
        // The note is cleared when it is made, and not again by each replay.
        self.watch().part(self)?;
        let seen = self.watch().recorded();
        self.shared().lock().begin_capture(self.shared(), self.0.id)?;
        Ok(Recording { stream: self.clone(), seen, ended: false, _thread: PhantomData })
    }
}

/// A sequence that is being recorded. It is thrown away if this is dropped.
///
/// Threads: stays on the one that began it, the only one that may record.
#[must_use = "what is recorded is thrown away with this"]
#[derive(Debug)]
pub struct Recording {
    stream: Stream,
    seen: u64,
    ended: bool,
    _thread: PhantomData<*const ()>,
}

impl Recording {
    /// Ends it.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`](crate::Error::OutOfMemory), [`Error::Driver`](crate::Error::Driver) and
    /// [`Error::DeviceLost`](crate::Error::DeviceLost), also of something that could not be recorded in
    /// between. It is then thrown away.
    pub fn end(mut self) -> Result<Sequence> {
        self.ended = true;
        let stream = self.stream.clone();
        let watched = stream.watch().recorded() > self.seen;
        let recorded = stream.shared().lock().end_capture(stream.shared(), stream.0.id)?;
        Ok(Sequence { recorded, watched, end: AtomicU64::new(0), stream })
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        let mut core = self.stream.shared().lock();
        // If it cannot be ended, it is gone already.
        if let Ok(recorded) = core.end_capture(self.stream.shared(), self.stream.0.id) {
            core.forget(self.stream.0.id, recorded, 0);
        }
    }
}

/// Work that was recorded once on a stream ([`Stream::record_sequence`]), with all the memory that it uses.
///
/// A replay does just what was recorded, with the same tensors: it reads what is in them by then, writes
/// over what it wrote before, and takes numbers that were given as arguments (those of `add(2.0)`, a
/// learning rate, a [`Place`](crate::Place)) as they were. New inputs are written into the tensors that it
/// reads ([`Tensor::copy_from_host`](crate::Tensor::copy_from_host),
/// [`Tensor::copy_from`](crate::Tensor::copy_from)), results are read from those that it made.
///
/// Memory: what it uses is kept as long as it lives, though the tensors may be dropped; no other tensor
/// gets it. Tensors that are made and dropped while it is recorded share memory among themselves. Of a
/// tensor that it made, what is read before the first replay is whatever was there.
///
/// Order: a replay comes after all that was recorded before on its stream, its own earlier replays among
/// it, and before all that is recorded after; for tensors used on several streams, as with all other work.
///
/// Indices that lead nowhere are told by the next read after a replay, as ever
/// ([`Error::Index`](crate::Error::Index)). [`Usage`](crate::Usage) counts kernels, copies and barriers with
/// each replay, and none while they are recorded.
///
/// Threads: may be used by many at once; their replays come one after another.
pub struct Sequence {
    recorded: Recorded,
    /// Whether kernels of it may say something about indices.
    watched: bool,
    /// The value that the stream's timeline reaches when the last replay is over.
    end: AtomicU64,
    stream: Stream,
}

impl Sequence {
    /// Does it all once more, after all that was recorded on its stream, which is handed over with it.
    /// Nothing waits. This is one submission, or some if it is so much work that drivers would not let it
    /// go through at once.
    ///
    /// # Errors
    /// [`Error::Recording`](crate::Error::Recording) while a sequence is recorded on the stream,
    /// [`Error::DeviceLost`](crate::Error::DeviceLost), [`Error::Driver`](crate::Error::Driver).
    pub fn replay(&self) -> Result<()> {
        let mut core = self.stream.shared().lock();
        let end = core.replay(self.stream.shared(), self.stream.0.id, &self.recorded)?;
        self.end.fetch_max(end, Ordering::Relaxed);
        if self.watched {
            self.stream.watch().count();
        }
        Ok(())
    }

    /// The stream that it is of.
    pub fn stream(&self) -> &Stream {
        &self.stream
    }
}

impl fmt::Debug for Sequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sequence").field("stream", &self.stream).finish_non_exhaustive()
    }
}

impl Drop for Sequence {
    /// Does not wait: the device may still be at it.
    fn drop(&mut self) {
        let recorded = mem::take(&mut self.recorded);
        let end = *self.end.get_mut();
        self.stream.shared().lock().forget(self.stream.0.id, recorded, end);
    }
}
