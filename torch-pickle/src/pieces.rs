//! A tensor that lies in several: the shards that the processes of one training wrote.

use std::path::PathBuf;
use std::sync::OnceLock;

use crate::error::{Error, Part, Result};
use crate::source::Source;
use crate::{Checkpoint, Dims, Node, Options, Tensor, TensorId};

/// A box of a tensor, saved as a tensor of its own.
#[derive(Debug)]
pub(crate) struct Piece {
    /// Where the box starts in the whole tensor, and how long it is.
    pub(crate) offsets: Dims,
    pub(crate) sizes: Dims,
    /// The archive that holds it.
    pub(crate) source: Source,
    /// Opened when it is first read.
    pub(crate) opened: OnceLock<(Checkpoint, TensorId)>,
}

/// A tensor in C order that is put together as it is read.
#[derive(Debug)]
pub(crate) struct Pieces {
    name: Box<str>,
    /// The checkpoint it is in.
    path: PathBuf,
    shape: Dims,
    dtype: crate::DType,
    options: Options,
    /// Sorted by the position of their first element.
    pieces: Vec<Piece>,
    len: u64,
}

/// Pairs of pieces that are compared at most: a file could name very many.
const MAX_PAIRS: u64 = 20_000_000;

impl Pieces {
    /// The pieces must cover the tensor, each element once.
    pub(crate) fn new(
        path: PathBuf,
        name: &str,
        (shape, dtype): (Dims, crate::DType),
        mut pieces: Vec<Piece>,
        options: Options,
    ) -> Result<Pieces> {
        let whole = Tensor::contiguous(crate::StorageId(0), dtype, &shape);
        let fail =
            |problem: String| Err(Error::format(&path, Part::Tensor(name.into()), None, problem));
        let Some((count, len)) = whole.numel().zip(whole.nbytes()) else {
            return fail(format!("a shape of {shape:?} has more elements than 64 bits count"));
        };
        pieces.retain(|p| !p.sizes.contains(&0));
        let mut covered = 0u64;
        for p in &pieces {
            let fits = p.offsets.len() == shape.len()
                && p.sizes.len() == shape.len()
                && (p.offsets.iter().zip(&p.sizes).zip(&shape))
                    .all(|((o, n), len)| o.checked_add(*n).is_some_and(|end| end <= *len));
            if !fits {
                let (o, n) = (&p.offsets, &p.sizes);
                return fail(format!("a piece of {n:?} at {o:?} is outside of {shape:?}"));
            }
            // A box in another of `count` elements has no more of them.
            covered = covered.saturating_add(p.sizes.iter().product());
        }
        pieces.sort_by(|a, b| a.offsets.cmp(&b.offsets));
        if let Some((a, b)) = overlap(&pieces)? {
            return fail(format!("its pieces at {a:?} and {b:?} overlap"));
        }
        if covered != count {
            return fail(format!("its pieces have {covered} of its {count} elements"));
        }
        Ok(Pieces { name: name.into(), path, shape, dtype, options, pieces, len })
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// All of it, `step` bytes at a time.
    pub(crate) fn pass(
        &self,
        step: usize,
        sink: &mut dyn FnMut(&mut [u8]) -> Result<()>,
    ) -> Result<()> {
        let mut buffer = vec![0; self.len.min(step as u64) as usize];
        let mut at = 0;
        while at < self.len {
            let n = (self.len - at).min(buffer.len() as u64) as usize;
            self.read(at, &mut buffer[..n])?;
            sink(&mut buffer[..n])?;
            at += n as u64;
        }
        Ok(())
    }

    /// Reads bytes from a position on; both are multiples of an element's size.
    pub(crate) fn read(&self, at: u64, out: &mut [u8]) -> Result<()> {
        let size = self.dtype.size() as u64;
        let (from, to) = (at / size, (at + out.len() as u64) / size);
        for piece in &self.pieces {
            self.read_piece(piece, from, to, out)?;
        }
        Ok(())
    }

    /// Copies what a piece has of the elements `from..to` of the whole tensor to `out`.
    fn read_piece(&self, piece: &Piece, from: u64, to: u64, out: &mut [u8]) -> Result<()> {
        let dims = self.shape.len();
        // The dimensions behind `inner` are whole, so that a run goes on from one row to the next.
        let whole = |d: usize| piece.sizes[d] == self.shape[d];
        let inner = (0..dims).rev().find(|&d| !whole(d)).unwrap_or(0);
        let run: u64 = piece.sizes[inner.min(dims)..].iter().product();
        let tail: u64 = self.shape[(inner + 1).min(dims)..].iter().product();
        let steps = steps(&self.shape);
        let first: u64 = piece.offsets.iter().zip(&steps).map(|(o, s)| o * s).sum();
        let last: u64 =
            first + piece.sizes.iter().zip(&steps).map(|(n, s)| (n - 1) * s).sum::<u64>();
        if last < from || first >= to {
            return Ok(());
        }
        let outer = &piece.sizes[..inner];
        let rows: u64 = outer.iter().product();
        let mut index = vec![0u64; inner];
        let mut row = 0;
        // Whole slabs of the first dimension that lie before are stepped over.
        if inner > 0 && from > first {
            let slab = (from - first) / steps[0];
            let slab = slab.saturating_sub(1).min(outer[0] - 1);
            index[0] = slab;
            row = slab * outer[1..].iter().product::<u64>();
        }
        debug_assert_eq!(run % tail.max(1), 0);
        while row < rows {
            let start = first + index.iter().zip(&steps).map(|(i, s)| i * s).sum::<u64>();
            if start >= to && index.iter().skip(1).all(|&i| i == 0) {
                return Ok(());
            }
            let (a, b) = (start.max(from), (start + run).min(to));
            if a < b {
                let size = self.dtype.size();
                let place = (a - from) as usize * size;
                let n = (b - a) as usize * size;
                self.read_run(piece, row * run + (a - start), &mut out[place..place + n])?;
            }
            row += 1;
            for d in (0..inner).rev() {
                index[d] += 1;
                if index[d] < outer[d] {
                    break;
                }
                index[d] = 0;
            }
        }
        Ok(())
    }

    /// Reads elements of a piece, counted in C order.
    fn read_run(&self, piece: &Piece, from: u64, out: &mut [u8]) -> Result<()> {
        let (checkpoint, id) = self.open(piece)?;
        checkpoint.read_elements(*id, from, out)
    }

    fn open<'a>(&self, piece: &'a Piece) -> Result<&'a (Checkpoint, TensorId)> {
        if let Some(opened) = piece.opened.get() {
            return Ok(opened);
        }
        let checkpoint = Checkpoint::of_source(piece.source.clone(), &self.options)?;
        let tree = checkpoint.tree();
        let found = match tree.root().map(|root| tree.node(root)) {
            Some(Node::Tensor(id)) => Some((*id, tree.tensor(*id))),
            _ => None,
        };
        let fail = |problem: String| {
            Err(Error::format(
                &piece.source.path,
                Part::Tensor(self.name.clone()),
                piece.source.base,
                problem,
            ))
        };
        match found {
            Some((id, tensor)) if tensor.shape == piece.sizes && tensor.dtype == self.dtype => {
                Ok(piece.opened.get_or_init(|| (checkpoint, id)))
            }
            Some((_, tensor)) => fail(format!(
                "its piece is {} of shape {:?}, and {} of {:?} was expected in {}",
                tensor.dtype,
                tensor.shape,
                self.dtype,
                piece.sizes,
                self.path.display()
            )),
            None => fail("its piece is no tensor".into()),
        }
    }
}

/// Two pieces that share an element.
#[allow(clippy::type_complexity, reason = "two positions, for one error")]
fn overlap(pieces: &[Piece]) -> Result<Option<(Dims, Dims)>> {
    let mut pairs = 0u64;
    for (i, a) in pieces.iter().enumerate() {
        let end = a.offsets.first().zip(a.sizes.first()).map_or(u64::MAX, |(o, n)| o + n);
        for b in &pieces[i + 1..] {
            // Sorted by the first dimension: what starts behind this piece is beside it.
            if b.offsets.first().is_some_and(|&o| o >= end) {
                break;
            }
            pairs += 1;
            if pairs > MAX_PAIRS {
                return Err(Error::Limit {
                    file: a.source.path.clone(),
                    part: Part::File,
                    offset: None,
                    limit: "pairs of pieces",
                    needed: pairs,
                    allowed: MAX_PAIRS,
                    unit: "pairs",
                });
            }
            let apart = |d: usize| {
                a.offsets[d] + a.sizes[d] <= b.offsets[d]
                    || b.offsets[d] + b.sizes[d] <= a.offsets[d]
            };
            if !(0..a.offsets.len()).any(apart) {
                return Ok(Some((a.offsets.clone(), b.offsets.clone())));
            }
        }
    }
    Ok(None)
}

/// The step of each dimension of a tensor in C order.
fn steps(shape: &[u64]) -> Vec<u64> {
    let mut steps = vec![1u64; shape.len()];
    for d in (1..shape.len()).rev() {
        steps[d - 1] = steps[d] * shape[d];
    }
    steps
}
