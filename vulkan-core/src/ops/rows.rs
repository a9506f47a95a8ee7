//! Kernels over rows: how their tensors are described to them, cut, and bound, and by how many each row
//! is taken.

use bytemuck::{NoUninit, bytes_of};

use super::bind::{bound, grid, group_size, is_software, storage_range};
use crate::core::record::{Part, Work};
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::kernels::{MAX_BINDINGS, Module};
use crate::tensor::Tensor;
use crate::vk::pipeline::{Key, MAX_CONSTANTS};

/// A row of so many columns is taken by one invocation everywhere.
const SHORT: usize = 64;

/// What a kernel is told, as `shaders/rows.glsl` declares it.
#[derive(Clone, Copy, NoUninit)]
#[repr(C)]
struct Push {
    rows: u32,
    columns: u32,
    parts: u32,
    inner: u32,
    start: [u32; 3],
    outer_stride: [u32; 3],
    column_stride: [u32; 3],
    inner_stride: [u32; 3],
    more: [u32; 16],
}

const _: () = assert!(size_of::<Push>() <= crate::kernels::PUSH_BYTES as usize);

/// By whom a row is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// One invocation.
    One,
    /// So many, whose findings a second dispatch puts together.
    Parts(usize),
    /// A group of so many, which share memory.
    Group(u32),
}

/// A kernel over the rows of tensors that are seen as (outer, columns, inner).
#[derive(Clone, Copy)]
pub(super) struct Rows<'a> {
    /// For one invocation a row, and for a group.
    pub(super) modules: [Module; 2],
    pub(super) op: u32,
    pub(super) out: &'a Tensor,
    pub(super) a: &'a Tensor,
    /// Seen by columns if it has as many as `a`.
    pub(super) b: Option<&'a Tensor>,
    /// Whether the result is written row by row, and not just seen.
    pub(super) writes: bool,
    /// How many floats a part of a row finds; 0 where rows are not taken in parts.
    pub(super) found: usize,
    /// Whether so little is done with a row that one invocation does it.
    pub(super) alone: bool,
    /// Whether what a group does together is much, so that it had better be large.
    pub(super) together: bool,
    /// The buffers from the fifth on.
    pub(super) rest: &'a [Part<'a>],
    /// The constants from the seventh on.
    pub(super) constants: &'a [u32],
    pub(super) more: [u32; 16],
}

/// A tensor as (outer, columns, inner), copied where its dimensions do not lie so.
pub(super) fn along(t: &Tensor, dim: usize) -> Result<Tensor> {
    let shape = t.shape();
    let outer = shape[..dim].iter().product();
    let inner = shape[dim + 1..].iter().product();
    t.reshape(&[outer, shape[dim], inner])
}

/// Some of the rows: which outer indices, and which inner ones.
#[derive(Clone, Copy, Debug)]
pub(super) struct Piece {
    outer: (usize, usize),
    inner: (usize, usize),
}

impl Piece {
    /// What of a tensor, whose first dimension is the outer one and whose last is the inner one, is in it.
    pub(super) fn of(&self, t: &Tensor) -> Result<Tensor> {
        t.narrow(0, self.outer.0, self.outer.1)?.narrow(-1, self.inner.0, self.inner.1)
    }
}

/// All rows of tensors of (outer, columns, inner), in pieces that kernels can see.
pub(super) fn pieces(name: &str, tensors: &[&Tensor]) -> Result<Vec<Piece>> {
    let t = tensors[0];
    let [outer, columns, inner] = *t.shape() else { unreachable!("tensors of rows") };
    let limit = storage_range(t.stream());
    let mut pieces = Vec::new();
    if outer * columns * inner == 0 {
        return Ok(pieces);
    }
    let mut todo = vec![Piece { outer: (0, outer), inner: (0, inner) }];
    while let Some(piece) = todo.pop() {
        let mut largest = 0;
        for t in tensors {
            let (start, end) = piece.of(t)?.layout.extent();
            largest = largest.max((end - start) as u64 * t.dtype().size() as u64 + 512);
        }
        let rows = piece.outer.1 * piece.inner.1;
        if largest <= limit && rows <= 1 << 24 {
            pieces.push(piece);
        } else if rows > 1 {
            let half = |(start, n): (usize, usize)| {
                // Halves that begin with a word keep the fast way.
                let first = if n > 8 { (n / 2).next_multiple_of(4) } else { n / 2 };
                [(start, first), (start + first, n - first)]
            };
            // The first half is the next one.
            if piece.outer.1 > 1 {
                todo.extend(
                    half(piece.outer).into_iter().rev().map(|outer| Piece { outer, ..piece }),
                );
            } else {
                todo.extend(
                    half(piece.inner).into_iter().rev().map(|inner| Piece { inner, ..piece }),
                );
            }
        } else {
            return Err(Error::Unsupported {
                device: t.device().info().to_string(),
                what: format!(
                    "{name} of a row of {columns} elements in {largest} bytes is not computed, where \
                     kernels see {limit}; use shorter rows"
                ),
            });
        }
    }
    Ok(pieces)
}

impl Rows<'_> {
    fn shape(&self) -> [usize; 3] {
        let [outer, columns, inner] = *self.a.shape() else { unreachable!("tensors of rows") };
        [outer, columns, inner]
    }

    /// The tensors that are seen by columns.
    fn seen(&self) -> impl Iterator<Item = (usize, &Tensor)> {
        let b = self.b.filter(|b| b.shape() == self.a.shape());
        let out = self.writes.then_some(self.out);
        [out, Some(self.a), b].into_iter().enumerate().filter_map(|(i, t)| Some((i, t?)))
    }

    fn way(&self) -> Way {
        let [outer, columns, inner] = self.shape();
        let rows = outer * inner;
        let software = is_software(self.a.stream());
        if columns <= SHORT || self.alone {
            return Way::One;
        }
        // Enough invocations to be busy, each with enough to do.
        let (enough, worth) = if software { (1 << 7, 256) } else { (1 << 14, 32) };
        let parts = (enough / rows).min(columns / worth).min(256);
        let side_by_side = self.seen().all(|(_, t)| t.strides()[1] == 1);
        let is_group = !software && side_by_side && (rows >= 64 || columns <= 1 << 14);
        if is_group || self.found == 0 && !software {
            let most = group_size(self.a.stream(), 256);
            Way::Group(if columns <= 1024 { 64.min(most) } else { most })
        } else if parts > 1 && self.found > 0 {
            Way::Parts(parts)
        } else {
            Way::One
        }
    }

    /// Records it.
    pub(super) fn run(&self) -> Result<()> {
        let [outer, _, inner] = self.shape();
        let way = self.way();
        let Way::Parts(parts) = way else {
            return self.dispatch(way, 0, None);
        };
        let shape = [outer * inner, parts, self.found];
        let found = Tensor::empty(self.a.stream(), DType::F32, &shape)?;
        self.dispatch(way, 1, Some(&found))?;
        self.dispatch(way, 2, Some(&found))
    }

    fn dispatch(&self, way: Way, stage: u32, found: Option<&Tensor>) -> Result<()> {
        let stream = self.a.stream();
        let [outer, columns, inner] = self.shape();
        let rows = outer * inner;
        let mut push = Push {
            rows: rows as u32,
            columns: columns as u32,
            parts: if let Way::Parts(parts) = way { parts as u32 } else { 1 },
            inner: inner as u32,
            start: [0; 3],
            outer_stride: [0; 3],
            column_stride: [0; 3],
            inner_stride: [0; 3],
            more: self.more,
        };
        let (a_part, _) = bound(self.a);
        let mut parts = [a_part; MAX_BINDINGS];
        let mut fours = inner == 1 && columns.is_multiple_of(4);
        for (i, t) in self.seen() {
            let (part, start) = bound(t);
            parts[i] = part;
            let [outer_stride, column_stride, inner_stride] = *t.strides() else {
                unreachable!("tensors of rows")
            };
            push.start[i] = start;
            push.outer_stride[i] = outer_stride as u32;
            push.column_stride[i] = column_stride as u32;
            push.inner_stride[i] = inner_stride as u32;
            fours &= column_stride == 1
                && start.is_multiple_of(4)
                && (outer == 1 || outer_stride.is_multiple_of(4));
        }
        let (out_part, _) = bound(self.out);
        parts[0] = Part { write: self.writes && stage != 1, ..out_part };
        if let Some(b) = self.b {
            let (part, start) = bound(b);
            (parts[2], push.start[2]) = (part, start);
            if let [outer_stride, inner_stride] = *b.strides() {
                push.outer_stride[2] = outer_stride as u32;
                push.inner_stride[2] = inner_stride as u32;
            }
        }
        if let Some(found) = found {
            let bytes = (found.numel() as u64 * 4).next_multiple_of(16);
            parts[3] = Part { write: stage == 1, ..Part::read(&found.storage, 0, bytes) };
        }
        parts[4..][..self.rest.len()].copy_from_slice(self.rest);
        let most = group_size(stream, u32::MAX);
        let is_group = matches!(way, Way::Group(_));
        let (local, groups) = match way {
            Way::Group(lanes) => (lanes, rows as u64),
            way => {
                // Few long rows are spread over all of the device.
                let local = if way == Way::One && !self.together && is_software(stream) {
                    most.min(16)
                } else {
                    most.min(64)
                };
                (local, (rows as u64 * u64::from(push.parts)).div_ceil(u64::from(local)))
            }
        };
        let mut constants = [0; MAX_CONSTANTS];
        constants[0] = local;
        constants[1] = self.op;
        constants[2] = self.out.dtype() as u32;
        constants[3] = self.a.dtype() as u32;
        constants[4] = match self.b {
            Some(b) if b.dtype().is_float() => b.dtype() as u32,
            // Kernels know by themselves what else it is.
            Some(_) => DType::I64 as u32,
            None => 0,
        };
        constants[5] = fours.into();
        constants[6] = stage;
        constants[7..][..self.constants.len()].copy_from_slice(self.constants);
        let module = self.modules[usize::from(is_group)];
        let pipeline = stream.shared().pipeline(Key { module, constants })?;
        stream.record(&Work::Dispatch {
            pipeline,
            parts: &parts[..module.bindings()],
            push: bytes_of(&push),
            groups: grid(stream, groups),
            steps: (rows * columns) as u64 * 4,
        })
    }
}
