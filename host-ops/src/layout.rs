//! Sizes and strides, and the walk over several arrays at once.

use crate::{DType, Error, Result};

/// Where an array's elements lie in its storage. Strides count elements.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Layout {
    pub(crate) shape: Vec<usize>,
    pub(crate) strides: Vec<isize>,
    pub(crate) offset: usize,
}

/// How many elements a shape has.
///
/// The sizes other than 0 are multiplied checked, so that no product of some of them overflows.
pub(crate) fn numel(op: &'static str, shape: &[usize]) -> Result<usize> {
    let product = shape.iter().filter(|&&n| n > 0).try_fold(1_usize, |p, &n| p.checked_mul(n));
    match product.filter(|&p| isize::try_from(p).is_ok()) {
        None => Err(Error::shape(
            op,
            format!("shape {shape:?} has more elements than can be counted"),
            "choose smaller sizes",
        )),
        Some(_) if shape.contains(&0) => Ok(0),
        Some(n) => Ok(n),
    }
}

/// Strides of elements that lie one after another in C order; the shape is a checked one.
pub(crate) fn contiguous_strides(shape: &[usize]) -> Vec<isize> {
    let mut strides = vec![1; shape.len()];
    let mut step = 1_isize;
    for (stride, &size) in strides.iter_mut().zip(shape).rev() {
        *stride = step;
        step = step.saturating_mul(size.max(1) as isize);
    }
    strides
}

impl Layout {
    /// One after another in C order, from the storage's start.
    pub(crate) fn contiguous(shape: &[usize]) -> Layout {
        Layout { shape: shape.to_vec(), strides: contiguous_strides(shape), offset: 0 }
    }

    pub(crate) fn numel(&self) -> usize {
        self.shape.iter().product()
    }

    pub(crate) fn is_contiguous(&self) -> bool {
        if self.shape.contains(&0) {
            return true;
        }
        let mut step = 1_isize;
        for (&size, &stride) in self.shape.iter().zip(&self.strides).rev() {
            if size != 1 {
                if stride != step {
                    return false;
                }
                step = step.saturating_mul(size as isize);
            }
        }
        true
    }

    /// Whether two indices may lead to the same element: strides of 0, or steps that do not clear
    /// the extent of the smaller ones. Unusual orders that do not overlap may be taken for such.
    pub(crate) fn may_overlap(&self) -> bool {
        if self.shape.contains(&0) {
            return false;
        }
        let mut dims: Vec<_> = (self.shape.iter().zip(&self.strides))
            .filter(|&(&n, _)| n > 1)
            .map(|(&n, &s)| (s.unsigned_abs(), n))
            .collect();
        dims.sort_unstable();
        let mut extent = 0_usize;
        dims.into_iter().any(|(stride, n)| {
            let overlaps = stride <= extent;
            extent = extent.saturating_add(stride.saturating_mul(n - 1));
            overlaps
        })
    }

    /// Refuses a layout that leads out of a storage of `len` elements.
    pub(crate) fn check(&self, op: &'static str, len: usize) -> Result<()> {
        let Layout { shape, strides, offset } = self;
        if shape.len() != strides.len() {
            return Err(Error::shape(
                op,
                format!("{} sizes and {} strides", shape.len(), strides.len()),
                "give one stride for each size",
            ));
        }
        let empty = numel(op, shape)? == 0;
        let out = || {
            Error::shape(
                op,
                format!(
                    "shape {shape:?}, strides {strides:?} and offset {offset} lead out of {len} \
                     elements"
                ),
                "give more elements, or a smaller shape",
            )
        };
        let (mut low, mut high) = (isize::try_from(*offset).map_err(|_| out())?, 0_isize);
        if empty {
            return if *offset <= len { Ok(()) } else { Err(out()) };
        }
        let first = low;
        for (&size, &stride) in shape.iter().zip(strides) {
            let reach = (size as isize - 1).checked_mul(stride).ok_or_else(out)?;
            let end = if reach < 0 { &mut low } else { &mut high };
            *end = end.checked_add(reach).ok_or_else(out)?;
        }
        let last = first.checked_add(high).ok_or_else(out)?;
        if low < 0 || last.unsigned_abs() >= len { Err(out()) } else { Ok(()) }
    }
}

/// A dimension counted from the end where it is negative.
pub(crate) fn dim_of(op: &'static str, dim: isize, ndim: usize) -> Result<usize> {
    let n = ndim as isize;
    let from_start = if dim < 0 { dim.checked_add(n) } else { Some(dim) };
    from_start.filter(|d| (0..n).contains(d)).map(|d| d as usize).ok_or(Error::Dimension {
        op,
        dim,
        ndim,
    })
}

/// As [`dim_of`], where an array without dimensions takes 0 and -1.
pub(crate) fn dim_or_scalar(op: &'static str, dim: isize, ndim: usize) -> Result<usize> {
    dim_of(op, dim, ndim.max(1)).map_err(|_| Error::Dimension { op, dim, ndim })
}

/// The shape that all of these broadcast to, by torch's rules: aligned at the last dimension, each
/// size the same or 1.
pub(crate) fn broadcast(op: &'static str, shapes: &[&[usize]]) -> Result<Vec<usize>> {
    let ndim = shapes.iter().map(|s| s.len()).max().unwrap_or(0);
    let mut out = vec![1; ndim];
    for shape in shapes {
        for (to, &size) in out.iter_mut().rev().zip(shape.iter().rev()) {
            match (*to, size) {
                (_, 1) => {}
                (1, n) => *to = n,
                (m, n) if m == n => {}
                _ => {
                    let problem = format!("shapes {shapes:?} do not broadcast");
                    let advice = "make their sizes, from the last one, equal or 1";
                    return Err(Error::shape(op, problem, advice));
                }
            }
        }
    }
    numel(op, &out)?;
    Ok(out)
}

/// The strides of an array seen in a shape that it broadcasts to.
pub(crate) fn broadcast_strides(layout: &Layout, shape: &[usize]) -> Vec<isize> {
    let missing = shape.len().saturating_sub(layout.shape.len());
    let mut strides = vec![0; missing];
    strides.extend(
        (layout.shape.iter().zip(&layout.strides).zip(&shape[missing..]))
            .map(|((&own, &stride), &size)| if own == size { stride } else { 0 }),
    );
    strides
}

/// Calls `row(starts, steps, length)` for each innermost row of a shape, in C order, with where
/// each of `N` arrays is then and how it goes on. Dimensions that are one in all of them are merged,
/// so contiguous arrays of one shape are a single row.
///
/// `row` is no type parameter, so that this is compiled once and not for each loop in the crate.
pub(crate) fn rows<const N: usize>(
    shape: &[usize],
    strides: [&[isize]; N],
    starts: [usize; N],
    row: &mut dyn FnMut([usize; N], [isize; N], usize),
) {
    if shape.contains(&0) {
        return;
    }
    let mut sizes: Vec<usize> = Vec::with_capacity(shape.len());
    let mut steps: Vec<[isize; N]> = Vec::with_capacity(shape.len());
    for (i, &size) in shape.iter().enumerate().filter(|&(_, &size)| size != 1) {
        let step = strides.map(|s| s[i]);
        match (sizes.last_mut(), steps.last_mut()) {
            (Some(outer), Some(last))
                if (0..N).all(|k| step[k].checked_mul(size as isize) == Some(last[k])) =>
            {
                *outer *= size;
                *last = step;
            }
            _ => {
                sizes.push(size);
                steps.push(step);
            }
        }
    }
    let (Some(length), Some(inner)) = (sizes.pop(), steps.pop()) else {
        return row(starts, [0; N], 1);
    };
    let mut at = starts.map(|s| s as isize);
    let mut index = vec![0_usize; sizes.len()];
    loop {
        row(at.map(|a| a as usize), inner, length);
        let mut d = sizes.len();
        loop {
            if d == 0 {
                return;
            }
            d -= 1;
            index[d] += 1;
            if index[d] < sizes[d] {
                (0..N).for_each(|k| at[k] += steps[d][k]);
                break;
            }
            (0..N).for_each(|k| at[k] -= steps[d][k] * (index[d] as isize - 1));
            index[d] = 0;
        }
    }
}

/// The place of the `k`-th element of a row.
#[inline]
pub(crate) fn at(start: usize, step: isize, k: usize) -> usize {
    (start as isize + step * k as isize) as usize
}

/// An empty vector with room for so many elements.
pub(crate) fn room<T: crate::Element>(elements: usize) -> Result<Vec<T>> {
    let dtype: DType = T::DTYPE;
    let mut vec = Vec::new();
    vec.try_reserve_exact(elements).map_err(|_| Error::OutOfMemory { elements, dtype })?;
    Ok(vec)
}

/// A walk over arrays that broadcast to one shape.
pub(crate) struct Walk<const N: usize> {
    pub(crate) shape: Vec<usize>,
    pub(crate) numel: usize,
    strides: [Vec<isize>; N],
    starts: [usize; N],
}

impl<const N: usize> Walk<N> {
    /// Over all elements of these.
    pub(crate) fn over(op: &'static str, arrays: [&crate::Array; N]) -> Result<Walk<N>> {
        let shape = broadcast(op, &arrays.map(crate::Array::shape))?;
        let numel = shape.iter().product();
        let strides = arrays.map(|a| broadcast_strides(&a.layout, &shape));
        Ok(Walk { shape, numel, strides, starts: arrays.map(|a| a.layout.offset) })
    }

    /// Calls `row` as [`rows`] does.
    pub(crate) fn rows(&self, row: &mut dyn FnMut([usize; N], [isize; N], usize)) {
        let strides = std::array::from_fn(|i| &self.strides[i][..]);
        rows(&self.shape, strides, self.starts, row);
    }
}
