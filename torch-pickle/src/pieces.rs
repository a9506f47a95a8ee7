//! A tensor that lies in several: the shards that the processes of one training wrote.

use std::path::PathBuf;
use std::sync::OnceLock;

use smallvec::SmallVec;

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
    /// For each the position of its first element, and where it and all before it end: what lies
    /// elsewhere is not looked at.
    spans: Vec<(u64, u64)>,
    len: u64,
}

/// Pairs of pieces that are compared at most: a file could name very many.
const MAX_PAIRS: u64 = 20_000_000;
/// Runs shorter than this are fetched together, as many as fit into a batch.
const SHORT: usize = 64 * 1024;
const BATCH: usize = 4 * 1024 * 1024;

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
        let mut reach = 0;
        let spans = pieces.iter().map(|piece| {
            let runs = Runs::new(&shape, piece);
            reach = reach.max(runs.start(runs.count - 1) + runs.len);
            (runs.start(0), reach)
        });
        let spans = spans.collect();
        Ok(Pieces { name: name.into(), path, shape, dtype, options, pieces, spans, len })
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
        let first = self.spans.partition_point(|&(_, reach)| reach <= from);
        let last = self.spans.partition_point(|&(start, _)| start < to);
        let mut scratch = Vec::new();
        for piece in self.pieces.get(first..last).unwrap_or_default() {
            self.read_piece(piece, from, to, out, &mut scratch)?;
        }
        Ok(())
    }

    /// Copies what a piece has of the elements `from..to` of the whole tensor to `out`.
    fn read_piece(
        &self,
        piece: &Piece,
        from: u64,
        to: u64,
        out: &mut [u8],
        scratch: &mut Vec<u8>,
    ) -> Result<()> {
        let size = self.dtype.size();
        let runs = Runs::new(&self.shape, piece);
        let len = runs.len;
        // In both the whole and the piece the runs stand in the same order.
        let mut run = runs.first_behind(from);
        while run < runs.count && runs.start(run) < to {
            // The part of the run that is wanted, from its first element on.
            let wanted = |run: u64| {
                let start = runs.start(run);
                let (a, b) = (start.max(from), (start + len).min(to));
                (a < b).then(|| (a - start, (a - from) as usize * size, (b - a) as usize * size))
            };
            let Some((skip, place, bytes)) = wanted(run) else { return Ok(()) };
            if bytes >= SHORT {
                let out = &mut out[place..place + bytes];
                self.read_elements(piece, run * len + skip, out)?;
                run += 1;
                continue;
            }
            // Short runs are fetched together, and put where they belong.
            let most = ((BATCH / size) as u64 / len).max(1);
            let (first, mut have) = (run, 0);
            while run - first < most
                && run < runs.count
                && let Some((_, _, bytes)) = wanted(run)
            {
                have += bytes;
                run += 1;
            }
            scratch.resize(have, 0);
            self.read_elements(piece, first * len + skip, scratch)?;
            let mut rest = &scratch[..];
            for (_, place, bytes) in (first..run).filter_map(wanted) {
                let (part, after) = rest.split_at(bytes);
                out[place..place + bytes].copy_from_slice(part);
                rest = after;
            }
        }
        Ok(())
    }

    /// Reads elements of a piece, counted in C order.
    fn read_elements(&self, piece: &Piece, from: u64, out: &mut [u8]) -> Result<()> {
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
                // A few bytes would otherwise stand for a tensor without end.
                let have = tree.storage(tensor.storage).nbytes();
                if tensor.nbytes() > have {
                    return fail(format!(
                        "its piece of shape {:?} has fewer bytes than that takes: {}",
                        piece.sizes,
                        have.unwrap_or(u64::MAX)
                    ));
                }
                // Each part of it would be had by way of all that is before.
                if checkpoint.data(tensor.storage)?.is_compressed() {
                    return Err(Error::unsupported(
                        &piece.source.path,
                        Part::Tensor(self.name.clone()),
                        piece.source.base,
                        "a piece of a tensor that is compressed",
                        "save the checkpoint again with torch",
                    ));
                }
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

/// The elements of a piece that stand one after another in the whole tensor too.
struct Runs<'a> {
    /// Elements of a run.
    len: u64,
    count: u64,
    /// The position of the first one.
    first: u64,
    /// The dimensions that the runs count up, and their steps in the whole.
    outer: &'a [u64],
    steps: SmallVec<[u64; 4]>,
}

impl<'a> Runs<'a> {
    /// The piece must lie in the shape, and have elements.
    fn new(shape: &[u64], piece: &'a Piece) -> Runs<'a> {
        let mut steps: SmallVec<[u64; 4]> = SmallVec::from_elem(1, shape.len());
        for d in (1..shape.len()).rev() {
            steps[d - 1] = steps[d] * shape[d];
        }
        let first = piece.offsets.iter().zip(&steps).map(|(o, s)| o * s).sum();
        // The dimensions behind `inner` are whole, so that a run goes on from one row to the next.
        let is_whole = |d: &usize| piece.sizes[*d] == shape[*d];
        let inner = (0..shape.len()).rev().find(|d| !is_whole(d)).unwrap_or(0);
        let (outer, run) = piece.sizes.split_at(inner);
        let (len, count) = (run.iter().product(), outer.iter().product());
        Runs { len, count, first, outer, steps }
    }

    /// Where a run starts in the whole.
    fn start(&self, mut run: u64) -> u64 {
        let mut at = self.first;
        for (n, step) in self.outer.iter().zip(&self.steps).rev() {
            at += run % n * step;
            run /= n;
        }
        at
    }

    /// The first run that goes beyond a position.
    fn first_behind(&self, at: u64) -> u64 {
        let (mut low, mut high) = (0, self.count);
        while low < high {
            let middle = low + (high - low) / 2;
            match self.start(middle) + self.len <= at {
                true => low = middle + 1,
                false => high = middle,
            }
        }
        low
    }
}
