//! What of an optimiser's steps changes from one to the next, in device memory.

use crate::core::record::Part;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::stream::Stream;
use crate::tensor::Tensor;

/// An optimiser's learning rate and count of steps in device memory, so that the step that a
/// [`Sequence`](crate::Sequence) does is another one with each replay. Made by
/// [`Sgd::schedule`](crate::Sgd::schedule) or [`Adam::schedule`](crate::Adam::schedule), one for all that a
/// call of `step_by` changes. Clones are the same schedule.
///
/// ```no_run
/// use vulkan_core::{Adam, DType, Device, DeviceOptions, Tensor};
/// let stream = Device::open(&DeviceOptions::new())?.stream()?;
/// let zeros = || Tensor::zeros(&stream, DType::F32, &[1000]);
/// let (params, mean, squares) = (zeros()?, zeros()?, zeros()?);
/// let adam = Adam::default();
/// let schedule = adam.schedule(&stream, 0)?;
/// let (sequence, ()) = stream.record_sequence(|| {
///     let grads = params.sub(1.0)?;
///     adam.step_by(&params, &grads, &mean, &squares, None, &schedule)
/// })?;
/// for step in 1..=100 {
///     schedule.lr().copy_from_host(&[0.1_f32 / step as f32])?;
///     sequence.replay()?;
/// }
/// assert_eq!(schedule.steps().to_host::<i32>()?, [100]);
/// # Ok::<(), vulkan_core::Error>(())
/// ```
///
/// Threads: as for [`Tensor`].
#[derive(Clone, Debug)]
pub struct Schedule {
    /// As `shaders/optimise.comp` has it.
    words: Tensor,
    pub(super) betas: Option<(f64, f64)>,
}

/// Words before the list.
const HEAD: usize = 4;

/// Longer lists are refused: betas so near to 1 are hardly meant.
const MOST: usize = 1 << 22;

impl Schedule {
    pub(super) fn new(
        stream: &Stream,
        lr: f64,
        betas: Option<(f64, f64)>,
        steps: u32,
    ) -> Result<Schedule> {
        let mut words = vec![(lr as f32).to_bits(), steps, steps, 0];
        if let Some(betas) = betas {
            for step in 1.. {
                if step > MOST {
                    let (first, second) = betas;
                    return Err(Error::parameter(format!(
                        "adam: betas {first} and {second} matter for more than {MOST} steps; give smaller \
                         ones, or use step"
                    )));
                }
                let row = corrections(betas, step as u64);
                words.extend(row.map(f32::to_bits));
                // All later ones are the same.
                if row == [1.0, 1.0] {
                    break;
                }
            }
        }
        words[3] = ((words.len() - HEAD) / 2) as u32;
        let words = Tensor::from_host::<i32>(stream, bytemuck::cast_slice(&words), &[words.len()])?;
        Ok(Schedule { words, betas })
    }

    /// The learning rate of the steps to come: one `float32`, to be written by
    /// [`copy_from_host`](Tensor::copy_from_host) or computed on the device. It is nowhere checked.
    pub fn lr(&self) -> Tensor {
        let mut lr = self.part(0);
        lr.dtype = DType::F32;
        lr
    }

    /// How many steps were taken: one `int32`, which may be written too.
    pub fn steps(&self) -> Tensor {
        self.part(2)
    }

    fn part(&self, at: usize) -> Tensor {
        let mut part = self.words.clone();
        part.layout.offset = at;
        part.layout.shape = vec![1];
        part
    }

    pub(super) fn must_go_with(&self, tensor: &Tensor) -> Result<()> {
        self.words.must_be_on(tensor.stream())?;
        if tensor.shares_storage(&self.words) {
            let problem = "step_by: a schedule's own memory is no parameter, gradient or state";
            return Err(Error::parameter(format!("{problem}; give other tensors")));
        }
        Ok(())
    }

    /// Begins a step: those that were taken are those before it.
    pub(super) fn begin_step(&self, stream: &Stream) -> Result<()> {
        stream.copy(&self.words.storage, 8, &self.words.storage, 4, 4)
    }

    /// What a kernel sees.
    pub(super) fn bound(&self) -> Part<'_> {
        let nbytes = self.words.nbytes() as u64;
        Part::write(&self.words.storage, 0, nbytes.next_multiple_of(16))
    }
}

/// What the means of Adam begin at zero for, in step `t`: 1 / (1 − β₁ᵗ), and √(1 − β₂ᵗ).
pub(super) fn corrections((first, second): (f64, f64), step: u64) -> [f32; 2] {
    let power = |beta: f64| 1.0 - beta.powf(step as f64);
    [(1.0 / power(first)) as f32, power(second).sqrt() as f32]
}

#[cfg(test)]
mod tests {
    use super::corrections;

    /// A list may end where both are 1.
    #[test]
    fn corrections_stay_at_one() {
        for betas in [(0.9, 0.999), (0.0, 0.99), (0.95, 0.0), (0.5, 0.9999)] {
            let last = (1..).find(|&step| corrections(betas, step) == [1.0, 1.0]).unwrap();
            for later in (last..last + 5000).chain([1 << 30, u64::from(u32::MAX)]) {
                assert_eq!(corrections(betas, later), [1.0, 1.0], "{betas:?}, {later}");
            }
        }
    }
}
