//! Places in streams of random numbers, of the host's and in device memory.

use crate::error::Result;
use crate::stream::Stream;
use crate::tensor::Tensor;

/// A place in a stream of random numbers: the seed names the stream, the offset its next number.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Place {
    /// Which stream.
    pub seed: u64,
    /// How many of its numbers come before.
    pub offset: u64,
}

impl Place {
    /// The start of a stream.
    pub const fn new(seed: u64) -> Place {
        Place { seed, offset: 0 }
    }

    /// Behind `count` numbers more. Who draws a tensor draws as many numbers as it has elements.
    pub const fn after(self, count: u64) -> Place {
        Place { offset: self.offset.wrapping_add(count), ..self }
    }
}

/// A place in a stream of random numbers that lies in device memory, so that it can move on between replays
/// of a [`Sequence`](crate::Sequence). Clones are the same place.
///
/// Kernels that draw from it read where it is, and note how far they draw;
/// [`advance`](DevicePlace::advance) moves it behind all that was drawn since the last time. So a step that
/// begins with `advance`, and draws behind each other from `place`, `place.after(m)`, `place.after(m + n)`,
/// draws the numbers that it would draw with a [`Place`] of the host's that is counted up; what is drawn a
/// second time, as for the gradient of dropout, counts once.
///
/// ```no_run
/// use vulkan_core::{DType, Device, DeviceOptions, DevicePlace, Place, Tensor};
/// let stream = Device::open(&DeviceOptions::new())?.stream()?;
/// let x = Tensor::full(&stream, 1.0, DType::F32, &[100])?;
/// let place = DevicePlace::new(&stream, Place::new(7))?;
/// let (sequence, dropped) = stream.record_sequence(|| {
///     place.advance()?;
///     x.dropout(0.5, &place)
/// })?;
/// for step in 0..3 {
///     sequence.replay()?;
///     let same = x.dropout(0.5, Place::new(7).after(100 * step))?;
///     assert_eq!(dropped.to_host::<f32>()?, same.to_host::<f32>()?);
/// }
/// # Ok::<(), vulkan_core::Error>(())
/// ```
///
/// Threads: as for [`Tensor`].
#[derive(Clone, Debug)]
pub struct DevicePlace {
    /// As `shaders/random.comp` has it: the seed, the place, and that behind all numbers drawn.
    pub(super) words: Tensor,
    pub(super) after: u64,
}

impl DevicePlace {
    /// In memory of this stream's device.
    ///
    /// # Errors
    /// As for [`Tensor::from_host`].
    pub fn new(stream: &Stream, place: Place) -> Result<DevicePlace> {
        let words = Tensor::from_host(stream, &words(place), &[3])?;
        Ok(DevicePlace { words, after: 0 })
    }

    /// The same memory, [`advance`](DevicePlace::advance) and what else is done with which is recorded on
    /// another stream.
    ///
    /// # Errors
    /// As for [`Tensor::on`].
    pub fn on(&self, stream: &Stream) -> Result<DevicePlace> {
        Ok(DevicePlace { words: self.words.on(stream)?, after: self.after })
    }

    /// Behind `count` numbers more than this one, wherever it is by then.
    #[must_use]
    pub fn after(&self, count: u64) -> DevicePlace {
        DevicePlace { after: self.after.wrapping_add(count), words: self.words.clone() }
    }

    /// Moves it behind all numbers that were drawn from it, after all that was recorded on its stream. That
    /// is a copy of eight bytes, and no kernel.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`](crate::Error::OutOfMemory),
    /// [`Error::DeviceLost`](crate::Error::DeviceLost).
    pub fn advance(&self) -> Result<()> {
        let Tensor { stream, storage, .. } = &self.words;
        stream.copy(storage, 16, storage, 8, 8)
    }

    /// Moves it to another place, after all that was recorded on its stream.
    ///
    /// # Errors
    /// As for [`Tensor::copy_from_host`].
    pub fn set(&self, place: Place) -> Result<()> {
        self.words.copy_from_host(&words(place))
    }

    /// Where [`advance`](DevicePlace::advance) would move it. Waits.
    ///
    /// # Errors
    /// As for [`Tensor::to_host`].
    pub fn next(&self) -> Result<Place> {
        let words = self.words.to_host::<i64>()?;
        Ok(Place { seed: words[0] as u64, offset: words[2] as u64 })
    }
}

fn words(Place { seed, offset }: Place) -> [i64; 3] {
    [seed as i64, offset as i64, offset as i64]
}

/// What random numbers are drawn from: a [`Place`], or a reference to a [`DevicePlace`].
#[derive(Clone, Copy, Debug)]
pub enum RandomSource<'a> {
    /// The same whenever it is done.
    Place(Place),
    /// Where that is by then.
    Device(&'a DevicePlace),
}

impl From<Place> for RandomSource<'_> {
    fn from(place: Place) -> Self {
        RandomSource::Place(place)
    }
}

impl<'a> From<&'a DevicePlace> for RandomSource<'a> {
    fn from(place: &'a DevicePlace) -> Self {
        RandomSource::Device(place)
    }
}
