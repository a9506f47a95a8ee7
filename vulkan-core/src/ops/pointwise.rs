//! Kernels over the elements of one shape: how their tensors are described to them, cut, and bound.

use bytemuck::{NoUninit, bytes_of};

use super::bind::{alignment, grid, group_size, storage_range};
use crate::core::record::{Part, Work};
use crate::dtype::DType;
use crate::error::Result;
use crate::kernels::{MAX_BINDINGS, Module};
use crate::stream::Stream;
use crate::tensor::Tensor;
use crate::vk::pipeline::{Key, MAX_CONSTANTS};

/// How many tensors a kernel sees, its result first.
const TENSORS: usize = 4;

/// How many dimensions a kernel tells apart.
const DIMS: usize = 4;

/// More elements are given to several dispatches, so that their numbers fit into 32 bits with room.
const MAX_ELEMENTS: usize = 1 << 30;

/// What is computed for each element.
#[derive(Clone, Copy)]
pub(crate) struct Function {
    pub(crate) module: Module,
    pub(crate) op: u32,
    /// Numbers beside the tensors, as the kernel takes them.
    pub(crate) scalar: [u32; 4],
    /// Whether they take a tensor's place.
    pub(crate) takes_place: bool,
}

/// What a kernel is told, as `shaders/pointwise.glsl` declares it.
#[derive(Clone, Copy, NoUninit)]
#[repr(C)]
struct Push {
    n: u32,
    start: [u32; TENSORS],
    size: [u32; DIMS],
    stride: [[u32; DIMS]; TENSORS],
    scalar: [u32; 4],
}

const _: () = assert!(size_of::<Push>() <= crate::kernels::PUSH_BYTES as usize);

/// One dimension of all tensors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Dim {
    size: usize,
    /// In elements of each tensor.
    stride: [usize; TENSORS],
}

/// Which elements of the tensors belong together.
#[derive(Clone, Debug)]
struct Geometry {
    /// The outermost first.
    dims: Vec<Dim>,
    start: [usize; TENSORS],
}

/// Records a function of the elements of some tensors, each of the shape of the result. A result that is
/// one of them must be so in the same layout.
pub(crate) fn pointwise(
    stream: &Stream,
    function: &Function,
    out: &Tensor,
    inputs: &[&Tensor],
) -> Result<()> {
    record(stream, function, out, inputs, None)
}

/// What a kernel sees beside the elements of its own number.
pub(crate) struct Beside<'a> {
    /// How far, in elements of each tensor, what it may read is from those.
    pub(crate) reach: [usize; TENSORS],
    /// The buffer of its last binding.
    pub(crate) part: Part<'a>,
}

/// The same, of a kernel that sees more.
pub(crate) fn pointwise_beside(
    stream: &Stream,
    function: &Function,
    out: &Tensor,
    inputs: &[&Tensor],
    beside: &Beside<'_>,
) -> Result<()> {
    record(stream, function, out, inputs, Some(beside))
}

fn record(
    stream: &Stream,
    function: &Function,
    out: &Tensor,
    inputs: &[&Tensor],
    beside: Option<&Beside<'_>>,
) -> Result<()> {
    let mut tensors = [out; TENSORS];
    for (place, &input) in tensors[1..].iter_mut().zip(inputs) {
        debug_assert_eq!(input.shape(), out.shape());
        *place = input;
    }
    let tensors = &tensors[..=inputs.len()];
    Pointwise { stream, function, tensors, beside }.run(&Geometry::of(tensors))
}

struct Pointwise<'a> {
    stream: &'a Stream,
    function: &'a Function,
    tensors: &'a [&'a Tensor],
    beside: Option<&'a Beside<'a>>,
}

impl Pointwise<'_> {
    /// Dispatches it, in pieces if one dispatch cannot see it all.
    fn run(&self, geometry: &Geometry) -> Result<()> {
        if geometry.dims.iter().any(|d| d.size == 0) {
            return Ok(());
        }
        if geometry.dims.len() > DIMS {
            // One after another for the smallest of the outer dimensions.
            let outer = geometry.dims.len() - DIMS + 1;
            let smallest = (0..outer).min_by_key(|&d| geometry.dims[d].size).unwrap_or(0);
            for i in 0..geometry.dims[smallest].size {
                self.run(&geometry.at(smallest, i))?;
            }
            return Ok(());
        }
        match self.too_large(geometry) {
            Some(d) => {
                let (first, second) = geometry.halves(d);
                self.run(&first)?;
                self.run(&second)
            }
            None => self.dispatch(geometry),
        }
    }

    /// The dimension to cut, if a tensor has more bytes than a kernel may see.
    fn too_large(&self, geometry: &Geometry) -> Option<usize> {
        let limit = storage_range(self.stream);
        let many = geometry.dims.iter().map(|d| d.size).product::<usize>() > MAX_ELEMENTS;
        if many {
            return (0..geometry.dims.len()).max_by_key(|&d| geometry.dims[d].size);
        }
        for (t, tensor) in self.tensors.iter().enumerate() {
            let (start, end) = self.bound(tensor.dtype, geometry, t);
            if end - start > limit {
                let reach = |d: &Dim| (d.size - 1) * d.stride[t];
                return (0..geometry.dims.len()).max_by_key(|&d| reach(&geometry.dims[d]));
            }
        }
        None
    }

    /// The bytes of a tensor that are bound: from a place where the device can begin, to where four
    /// elements at once end, which is still in the buffer.
    fn bound(&self, dtype: DType, geometry: &Geometry, t: usize) -> (u64, u64) {
        let size = dtype.size() as u64;
        let reach: usize = geometry.dims.iter().map(|d| (d.size - 1) * d.stride[t]).sum();
        let reach = reach + self.beside.map_or(0, |beside| beside.reach[t]);
        let first = geometry.start[t] as u64 * size;
        let end = (geometry.start[t] + reach + 1) as u64 * size;
        let align = alignment(self.stream);
        (first - first % align, end.next_multiple_of(4 * size))
    }

    /// Whether nothing that anyone may see lies behind the result.
    fn ends_its_storage(&self, geometry: &Geometry) -> bool {
        let reach: usize = geometry.dims.iter().map(|d| (d.size - 1) * d.stride[0]).sum();
        let end = (geometry.start[0] + reach + 1) as u64 * self.tensors[0].dtype.size() as u64;
        end == self.tensors[0].storage.nbytes
    }

    fn dispatch(&self, geometry: &Geometry) -> Result<()> {
        let Pointwise { stream, function, tensors, beside } = *self;
        let out = tensors[0];
        let mut push = Push {
            n: geometry.dims.iter().map(|d| d.size).product::<usize>() as u32,
            start: [0; TENSORS],
            size: [1; DIMS],
            stride: [[0; DIMS]; TENSORS],
            scalar: function.scalar,
        };
        let mut parts = [Part::read(&out.storage, 0, 0); MAX_BINDINGS];
        for (t, tensor) in tensors.iter().enumerate() {
            let (start, end) = self.bound(tensor.dtype, geometry, t);
            parts[t] = Part { storage: &tensor.storage, start, end, write: t == 0 };
            push.start[t] = (geometry.start[t] as u64 - start / tensor.dtype.size() as u64) as u32;
        }
        let mut linear = 0;
        for (d, dim) in geometry.dims.iter().enumerate() {
            push.size[d] = dim.size as u32;
            for t in 0..TENSORS {
                push.stride[t][d] = dim.stride[t] as u32;
            }
        }
        for t in 0..tensors.len() {
            let in_a_row = match &geometry.dims[..] {
                [] => true,
                [one] => one.stride[t] == 1,
                _ => false,
            };
            linear |= u32::from(in_a_row) << t;
        }
        // A kernel that takes a number instead of its last tensor is given the result once more, so
        // that something is bound.
        let count = function.module.bindings();
        for t in tensors.len()..count {
            parts[t] = Part { write: false, ..parts[1.min(tensors.len() - 1)] };
        }
        if let Some(beside) = beside {
            parts[count - 1] = beside.part;
        }

        let by_four = push.start.iter().enumerate().filter(|(_, start)| *start % 4 == 0);
        let fours = by_four.fold(0, |bits, (t, _)| bits | (linear & (1 << t)));
        // The last four may be less, where what lies behind the result is nobody's.
        let has_room = push.n.is_multiple_of(4) || self.ends_its_storage(geometry);
        let each = if fours & 1 == 1 && has_room { 4 } else { 1 };
        let types = tensors.iter().map(|t| t.dtype as u32).chain([0; TENSORS]).take(TENSORS);
        let local = group_size(stream, 256);
        let mut constants = [0; MAX_CONSTANTS];
        constants[0] = local;
        constants[1] = function.op;
        for (constant, dtype) in constants[2..6].iter_mut().zip(types) {
            *constant = dtype;
        }
        constants[6] = geometry.dims.len().max(1) as u32;
        constants[7] = linear;
        constants[8] = each;
        constants[9] = function.takes_place.into();
        constants[10] = fours;
        let pipeline = stream.shared().pipeline(Key { module: function.module, constants })?;
        stream.record(&Work::Dispatch {
            pipeline,
            parts: &parts[..count],
            push: bytes_of(&push),
            groups: grid(stream, u64::from(push.n.div_ceil(each)).div_ceil(u64::from(local))),
            steps: u64::from(push.n),
        })
    }
}

impl Geometry {
    /// Dimensions that lie one in the other in all tensors are one; those of size 1 are none.
    fn of(tensors: &[&Tensor]) -> Geometry {
        let mut dims: Vec<Dim> = Vec::new();
        let mut start = [0; TENSORS];
        for (start, tensor) in start.iter_mut().zip(tensors) {
            *start = tensor.storage_offset();
        }
        for (d, &size) in tensors[0].shape().iter().enumerate() {
            if size == 1 {
                continue;
            }
            let mut stride = [0; TENSORS];
            for (stride, tensor) in stride.iter_mut().zip(tensors) {
                *stride = tensor.strides()[d];
            }
            match dims.last_mut() {
                Some(outer) if (0..TENSORS).all(|t| outer.stride[t] == stride[t] * size) => {
                    *outer = Dim { size: outer.size * size, stride };
                }
                _ => dims.push(Dim { size, stride }),
            }
        }
        Geometry { dims, start }
    }

    /// With one index of a dimension.
    fn at(&self, d: usize, index: usize) -> Geometry {
        let mut part = self.clone();
        let dim = part.dims.remove(d);
        for (start, stride) in part.start.iter_mut().zip(dim.stride) {
            *start += index * stride;
        }
        part
    }

    /// The lower and the upper half of a dimension, which has at least 2.
    fn halves(&self, d: usize) -> (Geometry, Geometry) {
        let (mut first, mut second) = (self.clone(), self.clone());
        // Halves that begin with a word keep the fast way.
        let size = self.dims[d].size;
        let half = if size > 8 { (size / 2).next_multiple_of(4) } else { size / 2 };
        first.dims[d].size = half;
        second.dims[d].size -= half;
        for (start, stride) in second.start.iter_mut().zip(self.dims[d].stride) {
            *start += half * stride;
        }
        (first, second)
    }
}
