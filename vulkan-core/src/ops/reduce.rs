//! Sums, means, extremes and their places along dimensions.

use bytemuck::{NoUninit, bytes_of};

use super::bind::{alignment, grid, group_size, is_software, storage_range};
use crate::core::record::{Part, Work};
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::kernels::Module;
use crate::tensor::Tensor;
use crate::vk::pipeline::{Key, MAX_CONSTANTS};

/// How many dimensions a kernel tells apart, of rows and of columns.
const DIMS: usize = 4;

/// So many invocations keep a device busy.
const ENOUGH: usize = 1 << 14;

/// On a processor fewer do.
const ENOUGH_SOFTWARE: usize = 1 << 8;

/// So many elements are worth an invocation.
const WORTH: usize = 32;

/// As `shaders/reduce.comp` numbers them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
enum Reduction {
    Sum,
    Squares,
    Max,
    Min,
    Argmax,
    Argmin,
}

impl Reduction {
    fn is_sum(self) -> bool {
        matches!(self, Reduction::Sum | Reduction::Squares)
    }

    fn has_place(self) -> bool {
        matches!(self, Reduction::Argmax | Reduction::Argmin)
    }
}

/// What a kernel is told, as `shaders/reduce.comp` declares it.
#[derive(Clone, Copy, NoUninit)]
#[repr(C)]
struct Push {
    rows: u32,
    columns: u32,
    parts: u32,
    start: u32,
    row_size: [u32; DIMS],
    row_stride: [u32; DIMS],
    column_size: [u32; DIMS],
    column_stride: [u32; DIMS],
    factor: f32,
}

const _: () = assert!(size_of::<Push>() <= crate::kernels::PUSH_BYTES as usize);

impl Tensor {
    /// The sums along some dimensions, all if none is named. Of integers and truth values it is
    /// `int64`, of floats computed in 32 bits with the digits kept that a sum loses (Kahan's): within 4
    /// units in the last place of the sum of the absolute values. Of nothing it is 0.
    ///
    /// # Errors
    /// [`Error::Parameter`] for dimensions that are not there or named twice; [`Error::OutOfMemory`],
    /// [`Error::DeviceLost`].
    pub fn sum(&self, dims: &[isize], keepdim: bool) -> Result<Tensor> {
        let dtype = if self.dtype().is_float() { self.dtype() } else { DType::I64 };
        let along = Along::new(self, dims)?;
        let sum = self.reduce(Reduction::Sum, &along, None, 1.0)?.0;
        along.shaped(&sum.to_dtype(dtype)?, keepdim)
    }

    /// The means along some dimensions, all if none is named. Of nothing it is NaN.
    ///
    /// # Errors
    /// As for [`sum`](Tensor::sum), and [`Error::Parameter`] for integers.
    pub fn mean(&self, dims: &[isize], keepdim: bool) -> Result<Tensor> {
        self.must_be_float("mean")?;
        let along = Along::new(self, dims)?;
        let factor = 1.0 / along.columns as f64;
        let sum = self
            .reduce(Reduction::Sum, &along, None, if factor.is_finite() { factor } else { 1.0 })?
            .0;
        // The mean of nothing.
        let mean = if along.columns == 0 { sum.div(0.0)? } else { sum };
        along.shaped(&mean.to_dtype(self.dtype())?, keepdim)
    }

    /// The variances along some dimensions, all if none is named: the sum of the squared distances from
    /// the mean, over the number of elements less `correction`.
    ///
    /// # Errors
    /// As for [`mean`](Tensor::mean).
    pub fn var(&self, dims: &[isize], correction: f64, keepdim: bool) -> Result<Tensor> {
        self.must_be_float("var")?;
        let along = Along::new(self, dims)?;
        let mean = self.reduce(Reduction::Sum, &along, None, 1.0 / along.columns.max(1) as f64)?.0;
        let sum = self.reduce(Reduction::Squares, &along, Some(&mean), 1.0)?.0;
        // As torch has it, of one element with a correction of 1 it is NaN.
        let var = sum.div((along.columns as f64 - correction).max(0.0))?;
        along.shaped(&var.to_dtype(self.dtype())?, keepdim)
    }

    /// The largest elements along some dimensions, all if none is named; NaN where there is one.
    ///
    /// # Errors
    /// As for [`sum`](Tensor::sum), and [`Error::Parameter`] for nothing to choose from.
    pub fn amax(&self, dims: &[isize], keepdim: bool) -> Result<Tensor> {
        self.extreme(Reduction::Max, "amax", dims, keepdim)
    }

    /// The smallest elements along some dimensions, all if none is named; NaN where there is one.
    ///
    /// # Errors
    /// As for [`amax`](Tensor::amax).
    pub fn amin(&self, dims: &[isize], keepdim: bool) -> Result<Tensor> {
        self.extreme(Reduction::Min, "amin", dims, keepdim)
    }

    /// Where the largest element along a dimension is, or among all in C order; the first of equal ones,
    /// and of those that are NaN if there are any. The result is `int64`.
    ///
    /// # Errors
    /// As for [`amax`](Tensor::amax).
    pub fn argmax(&self, dim: Option<isize>, keepdim: bool) -> Result<Tensor> {
        self.place(Reduction::Argmax, "argmax", dim, keepdim)
    }

    /// Where the smallest element is, as [`argmax`](Tensor::argmax).
    ///
    /// # Errors
    /// As for [`amax`](Tensor::amax).
    pub fn argmin(&self, dim: Option<isize>, keepdim: bool) -> Result<Tensor> {
        self.place(Reduction::Argmin, "argmin", dim, keepdim)
    }

    pub(super) fn must_be_float(&self, name: &str) -> Result<()> {
        if self.dtype().is_float() {
            return Ok(());
        }
        let problem = format!("{name} is of floats, not {}", self.dtype());
        Err(Error::Parameter(problem + "; cast to a float type first"))
    }

    fn extreme(&self, op: Reduction, name: &str, dims: &[isize], keepdim: bool) -> Result<Tensor> {
        let along = Along::new(self, dims)?;
        along.must_have_columns(name, self)?;
        let found = self.reduce(op, &along, None, 1.0)?.0;
        along.shaped(&found.to_dtype(self.dtype())?, keepdim)
    }

    fn place(
        &self,
        op: Reduction,
        name: &str,
        dim: Option<isize>,
        keepdim: bool,
    ) -> Result<Tensor> {
        let Some(dim) = dim else {
            let flat = self.reshape(&[self.numel()])?;
            let place = flat.place(op, name, Some(0), false)?;
            return if keepdim { place.view(&vec![1; self.ndim()]) } else { Ok(place) };
        };
        let along = Along::new(self, &[dim])?;
        along.must_have_columns(name, self)?;
        let (_, places) = self.reduce(op, &along, None, 1.0)?;
        let places = places.expect("asked for");
        along.shaped(&places.to_dtype(DType::I64)?, keepdim)
    }

    /// Reduces each row; a float in 32 bits, an integer in 64, and where it was.
    fn reduce(
        &self,
        op: Reduction,
        along: &Along,
        mean: Option<&Tensor>,
        factor: f64,
    ) -> Result<(Tensor, Option<Tensor>)> {
        let dtype = if self.dtype().is_float() { DType::F32 } else { DType::I64 };
        let stream = self.stream();
        if along.rows == 0 || along.columns == 0 {
            let zeros = |dtype| Tensor::zeros(stream, dtype, &[along.rows]);
            return Ok((zeros(dtype)?, Some(zeros(DType::I32)?)));
        }
        let most = storage_range(stream) as usize / 2;
        let bytes = (along.reach() + 1) * self.dtype().size();
        if bytes > most || along.row_dims.len() > DIMS || along.column_dims.len() > DIMS {
            return self.reduce_in_pieces(op, along, mean, factor, bytes > most);
        }
        // Enough invocations to be busy, each with enough to do.
        let software = is_software(stream);
        let enough = if software { ENOUGH_SOFTWARE } else { ENOUGH };
        let parts = (enough / along.rows).min(along.columns / WORTH).max(1);
        // Shares of whole fours, none of which is empty.
        let share = along.columns.div_ceil(parts).next_multiple_of(4);
        let parts = if software { along.columns.div_ceil(share) } else { parts };
        let pass = |source: &Source<'_>, parts: usize, factor: f64| {
            let out = Tensor::empty(stream, dtype, &[source.along.rows * parts])?;
            let places = if op.has_place() {
                Some(Tensor::empty(stream, DType::I32, &[source.along.rows * parts])?)
            } else {
                None
            };
            source.dispatch(op, &out, places.as_ref(), parts, factor as f32)?;
            Ok::<_, Error>((out, places))
        };
        let first = Source { tensor: self, along, beside: mean };
        if parts == 1 {
            return pass(&first, 1, factor);
        }
        let (found, places) = pass(&first, parts, 1.0)?;
        let found = found.view(&[along.rows, parts])?;
        let again = Along::new(&found, &[1])?;
        // Sums of squares are summed.
        let op_again = if op == Reduction::Squares { Reduction::Sum } else { op };
        let second = Source { tensor: &found, along: &again, beside: places.as_ref() };
        let out = Tensor::empty(stream, dtype, &[along.rows])?;
        let out_places = places
            .as_ref()
            .map(|_| Tensor::empty(stream, DType::I32, &[along.rows]))
            .transpose()?;
        second.dispatch(op_again, &out, out_places.as_ref(), 1, factor as f32)?;
        Ok((out, out_places))
    }

    /// Reduces what one dispatch cannot see, or tell apart, in pieces.
    fn reduce_in_pieces(
        &self,
        op: Reduction,
        along: &Along,
        mean: Option<&Tensor>,
        factor: f64,
        is_large: bool,
    ) -> Result<(Tensor, Option<Tensor>)> {
        if !is_large {
            // A copy has one dimension of rows and one of columns.
            let order: Vec<isize> =
                along.kept.iter().chain(&along.reduced).map(|&d| d as isize).collect();
            let copy = self.permute(&order)?.copy()?.view(&[along.rows, along.columns])?;
            let again = Along::new(&copy, &[1])?;
            return copy.reduce(op, &again, mean, factor);
        }
        let flat_rows = along.kept.iter().max_by_key(|&&d| self.shape()[d]).copied();
        let dtype = if self.dtype().is_float() { DType::F32 } else { DType::I64 };
        if let Some(d) = flat_rows.filter(|&d| self.shape()[d] > 1) {
            // Half of the rows, and the other half, along the dimension that has the most.
            let size = self.shape()[d];
            let mut kept: Vec<usize> = along.kept.iter().map(|&k| self.shape()[k]).collect();
            let at = along.kept.iter().position(|&k| k == d).unwrap_or(0);
            let out = Tensor::empty(self.stream(), dtype, &kept)?;
            let mut places = None;
            let means = mean.map(|m| m.view(&kept)).transpose()?;
            for (start, len) in [(0, size / 2), (size / 2, size - size / 2)] {
                kept[at] = len;
                let piece = self.narrow(d as isize, start, len)?;
                let dims: Vec<isize> = along.reduced.iter().map(|&r| r as isize).collect();
                let again = Along::over(&piece, &dims)?;
                let mean = means
                    .as_ref()
                    .map(|m| m.narrow(at as isize, start, len)?.copy()?.view(&[again.rows]))
                    .transpose()?;
                let (found, found_places) = piece.reduce(op, &again, mean.as_ref(), factor)?;
                out.narrow(at as isize, start, len)?.copy_from(&found.view(&kept)?)?;
                if let Some(found) = found_places {
                    let whole = match places.take() {
                        Some(whole) => whole,
                        None => Tensor::empty(self.stream(), DType::I32, out.shape())?,
                    };
                    whole.narrow(at as isize, start, len)?.copy_from(&found.view(&kept)?)?;
                    places = Some(whole);
                }
            }
            let flat = |t: Tensor| t.view(&[along.rows]);
            return Ok((flat(out)?, places.map(flat).transpose()?));
        }
        // Half of the columns, and the other half; places are counted along the one dimension there is.
        let d = *along.reduced.iter().max_by_key(|&&d| self.shape()[d]).expect("it has columns");
        let size = self.shape()[d];
        let pairs = |dtype| Tensor::empty(self.stream(), dtype, &[along.rows, 2]);
        let (halves, places) = (pairs(dtype)?, pairs(DType::I32)?);
        for (i, (start, len)) in
            [(0, size / 2), (size / 2, size - size / 2)].into_iter().enumerate()
        {
            let piece = self.narrow(d as isize, start, len)?;
            let dims: Vec<isize> = along.reduced.iter().map(|&r| r as isize).collect();
            let again = Along::over(&piece, &dims)?;
            let (found, at) = piece.reduce(op, &again, mean, 1.0)?;
            halves.select(1, i as isize)?.copy_from(&found)?;
            if let Some(at) = at {
                places.select(1, i as isize)?.copy_from(&at.add(start as i64)?)?;
            }
        }
        let op = if op == Reduction::Squares { Reduction::Sum } else { op };
        let again = Along::new(&halves, &[1])?;
        let beside = op.has_place().then_some(&places);
        let source = Source { tensor: &halves, along: &again, beside };
        let found = Tensor::empty(self.stream(), dtype, &[along.rows])?;
        let at = Tensor::empty(self.stream(), DType::I32, &[along.rows])?;
        source.dispatch(op, &found, beside.map(|_| &at), 1, factor as f32)?;
        Ok((found, op.has_place().then_some(at)))
    }
}

/// Which dimensions of a tensor are reduced, and how the others tell the rows apart.
#[derive(Debug)]
struct Along {
    rows: usize,
    columns: usize,
    /// (size, stride), the outermost first.
    row_dims: Vec<(usize, usize)>,
    column_dims: Vec<(usize, usize)>,
    kept: Vec<usize>,
    reduced: Vec<usize>,
    shape: Vec<usize>,
}

impl Along {
    /// All dimensions if none is named.
    fn new(t: &Tensor, dims: &[isize]) -> Result<Along> {
        let all: Vec<isize> = (0..t.ndim() as isize).collect();
        Along::over(t, if dims.is_empty() { &all } else { dims })
    }

    fn over(t: &Tensor, dims: &[isize]) -> Result<Along> {
        let mut reduced = Vec::new();
        for &dim in dims {
            let d = t.layout.dim(dim)?;
            if reduced.contains(&d) {
                return Err(Error::parameter(format!("dimension {dim} comes twice in {dims:?}")));
            }
            reduced.push(d);
        }
        reduced.sort_unstable();
        let kept: Vec<usize> = (0..t.ndim()).filter(|d| !reduced.contains(d)).collect();
        let merged = |dims: &[usize]| {
            let mut merged: Vec<(usize, usize)> = Vec::new();
            for &d in dims {
                let (size, stride) = (t.shape()[d], t.strides()[d]);
                match merged.last_mut() {
                    _ if size == 1 => {}
                    Some((n, outer)) if *outer == stride * size => {
                        (*n, *outer) = (*n * size, stride);
                    }
                    _ => merged.push((size, stride)),
                }
            }
            merged
        };
        let count = |dims: &[usize]| dims.iter().map(|&d| t.shape()[d]).product();
        Ok(Along {
            rows: count(&kept),
            columns: count(&reduced),
            row_dims: merged(&kept),
            column_dims: merged(&reduced),
            kept,
            reduced,
            shape: t.shape().to_vec(),
        })
    }

    /// How far the last element is from the first.
    fn reach(&self) -> usize {
        self.row_dims.iter().chain(&self.column_dims).map(|(n, stride)| (n - 1) * stride).sum()
    }

    fn must_have_columns(&self, name: &str, t: &Tensor) -> Result<()> {
        if self.columns > 0 || self.rows == 0 {
            return Ok(());
        }
        let problem =
            format!("{name} of nothing: shape {:?} has no elements to choose from", t.shape());
        Err(Error::Parameter(problem + "; leave the empty dimension out"))
    }

    /// One value for each row in the shape of the result.
    fn shaped(&self, values: &Tensor, keepdim: bool) -> Result<Tensor> {
        let shape: Vec<usize> = if keepdim {
            let size = |d: usize| if self.reduced.contains(&d) { 1 } else { self.shape[d] };
            (0..self.shape.len()).map(size).collect()
        } else {
            self.kept.iter().map(|&d| self.shape[d]).collect()
        };
        values.view(&shape)
    }
}

/// What is reduced, and what belongs to it: a mean for each row, or a place for each element, from the
/// start of their memory on.
struct Source<'a> {
    tensor: &'a Tensor,
    along: &'a Along,
    beside: Option<&'a Tensor>,
}

impl Source<'_> {
    fn dispatch(
        &self,
        op: Reduction,
        out: &Tensor,
        places: Option<&Tensor>,
        parts: usize,
        factor: f32,
    ) -> Result<()> {
        let Source { tensor, along, beside } = *self;
        let stream = tensor.stream();
        let size = tensor.dtype().size() as u64;
        let align = alignment(stream);
        let first = tensor.storage_offset() as u64 * size;
        let start = first - first % align;
        let end = (first + (along.reach() as u64 + 1) * size).next_multiple_of(16);
        let mut push = Push {
            rows: along.rows as u32,
            columns: along.columns as u32,
            parts: parts as u32,
            start: ((first - start) / size) as u32,
            row_size: [1; DIMS],
            row_stride: [0; DIMS],
            column_size: [1; DIMS],
            column_stride: [0; DIMS],
            factor,
        };
        for (d, &(n, stride)) in along.row_dims.iter().enumerate() {
            (push.row_size[d], push.row_stride[d]) = (n as u32, stride as u32);
        }
        for (d, &(n, stride)) in along.column_dims.iter().enumerate() {
            (push.column_size[d], push.column_stride[d]) = (n as u32, stride as u32);
        }
        let fours = op.is_sum()
            && tensor.dtype().is_float()
            && matches!(along.column_dims[..], [(_, 1)])
            && along.columns.is_multiple_of(4)
            && push.start.is_multiple_of(4)
            && along.row_dims.iter().all(|(_, stride)| stride.is_multiple_of(4));
        let module = if tensor.dtype().is_float() { Module::Reduce } else { Module::ReduceInt };
        let local = group_size(stream, 64);
        let mut constants = [0; MAX_CONSTANTS];
        constants[0] = local;
        constants[1] = op as u32;
        constants[2] = out.dtype() as u32;
        constants[3] = tensor.dtype() as u32;
        constants[4] = along.row_dims.len().max(1) as u32;
        constants[5] = along.column_dims.len().max(1) as u32;
        constants[6] = u32::from(op.has_place() && beside.is_some());
        constants[7] = fours.into();
        constants[8] = is_software(stream).into();
        let pipeline = stream.shared().pipeline(Key { module, constants })?;
        let whole = |t: &Tensor| (t.numel() as u64 * t.dtype().size() as u64).next_multiple_of(16);
        let source = Part::read(&tensor.storage, start, end);
        let result = Part::write(&out.storage, 0, whole(out));
        // What a kernel does not use is bound all the same, to what it reads or writes anyway.
        let parts = [
            result,
            source,
            beside.map_or(source, |t| Part::read(&t.storage, 0, whole(t))),
            places.map_or(result, |t| Part::write(&t.storage, 0, whole(t))),
        ];
        let invocations = u64::from(push.rows) * u64::from(push.parts);
        stream.record(&Work::Dispatch {
            pipeline,
            parts: &parts,
            push: bytes_of(&push),
            groups: grid(stream, invocations.div_ceil(u64::from(local))),
            steps: (along.rows * along.columns) as u64,
        })
    }
}
