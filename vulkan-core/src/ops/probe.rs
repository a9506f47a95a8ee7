//! What a device's arithmetic does at most.

use super::bind::{grid, group_size};
use crate::core::record::{Part, Work};
use crate::dtype::DType;
use crate::error::Result;
use crate::kernels::Module;
use crate::stream::Stream;
use crate::tensor::Tensor;
use crate::vk::pipeline::{Key, MAX_CONSTANTS};

/// Multiplications and additions of one invocation in one round.
const EACH: u64 = 24;

/// Has so many invocations do nothing but multiply and add, so many rounds of 12 each: a reference that
/// products of matrices are measured by. Returns how many multiplications and additions that is.
///
/// # Errors
/// As for [`Tensor::empty`].
#[doc(hidden)]
pub fn multiply_add(stream: &Stream, invocations: usize, rounds: u32) -> Result<u64> {
    let out = Tensor::empty(stream, DType::F32, &[invocations])?;
    let local = group_size(stream, 64);
    let mut constants = [0; MAX_CONSTANTS];
    constants[0] = local;
    let pipeline = stream.shared().pipeline(Key { module: Module::MultiplyAdd, constants })?;
    let work = invocations as u64 * u64::from(rounds) * EACH;
    stream.record(&Work::Dispatch {
        pipeline,
        parts: &[Part::write(&out.storage, 0, (invocations as u64 * 4).next_multiple_of(16))],
        push: bytemuck::cast_slice(&[invocations as u32, rounds]),
        groups: grid(stream, (invocations as u64).div_ceil(u64::from(local))),
        steps: work / EACH,
    })?;
    Ok(work)
}
