//! Kernels over tensors whose elements lie in a row: how these are cut, and bound.

use bytemuck::{NoUninit, bytes_of};

use super::bind::{alignment, grid, group_size, storage_range};
use crate::core::record::{Part, Work};
use crate::error::Result;
use crate::kernels::Module;
use crate::stream::Stream;
use crate::tensor::Tensor;
use crate::vk::pipeline::{Key, MAX_CONSTANTS};

/// How many tensors a kernel of this kind sees at most.
const TENSORS: usize = 6;

/// Numbers beside the tensors that a kernel may have.
pub(crate) const SCALARS: usize = 16;

/// What a kernel is told, as `shaders/flat.glsl` declares it.
#[derive(Clone, Copy, NoUninit)]
#[repr(C)]
struct Push {
    n: u32,
    start: [u32; TENSORS],
    scalar: [u32; SCALARS],
}

const _: () = assert!(size_of::<Push>() <= crate::kernels::PUSH_BYTES as usize);

/// Pieces begin at multiples of so many elements, which every device can bind.
const STEP: usize = 512;

/// More elements are given to several dispatches.
const MAX_ELEMENTS: usize = 1 << 28;

/// What is computed.
#[derive(Clone, Copy)]
pub(crate) struct Flat<'a> {
    pub(crate) module: Module,
    pub(crate) op: u32,
    /// What the kernel takes beside the tensors.
    pub(crate) constants: &'a [u32],
    /// The tensors in the order of the bindings, and whether each is written to. Each is contiguous, and
    /// has as many elements as the first, which is the result.
    pub(crate) tensors: &'a [(&'a Tensor, bool)],
    /// The buffer of its last binding, if that is no tensor.
    pub(crate) beside: Option<Part<'a>>,
}

impl Flat<'_> {
    /// Records it, in pieces if one dispatch cannot see it all; what numbers it takes may depend on
    /// where a piece begins.
    pub(crate) fn run(
        &self,
        stream: &Stream,
        scalars: impl Fn(usize) -> [u32; SCALARS],
    ) -> Result<()> {
        let n = self.tensors[0].0.numel();
        let widest = self.tensors.iter().map(|(t, _)| t.dtype.size()).max().unwrap_or(4);
        // Of what is bound, some bytes lie before the first element and behind the last.
        let room = storage_range(stream).saturating_sub(2 * self.align(stream)) as usize / widest;
        let most = (room / STEP * STEP).clamp(STEP, MAX_ELEMENTS);
        for at in (0..n).step_by(most) {
            self.dispatch(stream, at, most.min(n - at), scalars(at))?;
        }
        Ok(())
    }

    fn align(&self, stream: &Stream) -> u64 {
        alignment(stream)
    }

    fn dispatch(&self, stream: &Stream, at: usize, n: usize, scalar: [u32; SCALARS]) -> Result<()> {
        let mut push = Push { n: n as u32, start: [0; TENSORS], scalar };
        let align = self.align(stream);
        let mut parts = [Part::read(&self.tensors[0].0.storage, 0, 0); TENSORS];
        for (i, &(t, write)) in self.tensors.iter().enumerate() {
            let size = t.dtype.size() as u64;
            let first = (t.storage_offset() + at) as u64;
            let start = first * size / align * align;
            let end = ((first + n as u64) * size).next_multiple_of(16);
            parts[i] = Part { storage: &t.storage, start, end, write };
            push.start[i] = (first - start / size) as u32;
        }
        // What a kernel does not use is bound all the same, to what it sees anyway.
        let count = self.module.bindings();
        for i in self.tensors.len()..count {
            parts[i] = Part { write: false, ..parts[0] };
        }
        if let Some(beside) = self.beside {
            parts[count - 1] = beside;
        }
        let local = group_size(stream, 128);
        let mut constants = [0; MAX_CONSTANTS];
        constants[0] = local;
        constants[1] = self.op;
        constants[2] = self.tensors[0].0.dtype as u32;
        constants[3] = self.tensors.get(1).map_or(0, |(t, _)| t.dtype as u32);
        constants[4] = push.start.iter().all(|start| start.is_multiple_of(4)).into();
        constants[5..5 + self.constants.len()].copy_from_slice(self.constants);
        let pipeline = stream.shared().pipeline(Key { module: self.module, constants })?;
        stream.record(&Work::Dispatch {
            pipeline,
            parts: &parts[..count],
            push: bytes_of(&push),
            groups: grid(stream, (n as u64).div_ceil(4).div_ceil(u64::from(local))),
            steps: n as u64,
        })
    }
}
