//! Elements by their indices, and the sums that lead back.
//!
//! Indices are int64 or int32, from 0; negative ones are refused, as in torch. Where several lead to
//! one place, what they bring is added in the order of the indices.

use std::borrow::Cow;

use crate::element::{by_number, by_type};
use crate::layout::{dim_of, dim_or_scalar, numel, room};
use crate::matmul::one_type;
use crate::number::Number;
use crate::{Array, DType, Error, Result};

/// Indices as they are needed: all below `size`.
pub(crate) fn indices<'a>(
    op: &'static str,
    index: &'a Array,
    size: usize,
) -> Result<Cow<'a, [i64]>> {
    let all: Cow<'a, [i64]> = match index.dtype() {
        DType::I64 => index.flat::<i64>(op)?,
        DType::I32 => Cow::Owned(index.cast(DType::I64)?.to_vec()?),
        other => {
            let problem = format!("the indices are {other}");
            return Err(Error::dtype(op, problem, "cast them to int64"));
        }
    };
    match all.iter().find(|&&i| i < 0 || i >= size as i64) {
        Some(&index) => Err(Error::Index { op, index, size, negative: false }),
        None => Ok(all),
    }
}

/// The sizes before a dimension multiplied, its own, and those after it multiplied.
fn around(shape: &[usize], d: usize) -> (usize, usize, usize) {
    let product = |part: &[usize]| part.iter().product::<usize>();
    match shape.get(d) {
        Some(&size) => (product(&shape[..d]), size, product(&shape[d + 1..])),
        None => (1, 1, 1),
    }
}

/// The slices of a dimension that the indices name, in their order: `torch.index_select`.
///
/// `index` has one dimension, or none for one index.
///
/// # Errors
/// [`Error::Index`] for one beyond the dimension, [`Error::DType`] for indices of another type,
/// [`Error::Shape`] for indices of more dimensions, [`Error::Dimension`].
///
/// ```
/// use numpack_host_ops::{Array, index_select};
/// let x = Array::arange(0, 6, 1, None)?.reshape(&[2, 3])?;
/// let index = Array::from_slice(&[2_i64, 0], &[2])?;
/// assert_eq!(index_select(&x, 1, &index)?.to_vec::<i64>()?, [2, 0, 5, 3]);
/// # Ok::<(), numpack_host_ops::Error>(())
/// ```
pub fn index_select(x: &Array, dim: isize, index: &Array) -> Result<Array> {
    const OP: &str = "index_select";
    let d = dim_or_scalar(OP, dim, x.ndim())?;
    one_dimension(OP, index)?;
    let (outer, size, inner) = around(x.shape(), d);
    let index = indices(OP, index, size)?;
    let mut shape = x.shape().to_vec();
    if let Some(size) = shape.get_mut(d) {
        *size = index.len();
    } else if index.len() != 1 {
        let problem = format!("{} indices into an array without dimensions", index.len());
        return Err(Error::shape(OP, problem, "give one index, or unsqueeze the array"));
    }
    let total = numel(OP, &shape)?;
    by_type!(x.dtype(), T => {
        let all = x.flat::<T>(OP)?;
        let mut out = room(total)?;
        for o in 0..outer {
            for &i in index.iter() {
                out.extend_from_slice(&all[(o * size + i as usize) * inner..][..inner]);
            }
        }
        Array::from_vec(out, &shape)
    })
}

fn one_dimension(op: &'static str, index: &Array) -> Result<()> {
    if index.ndim() <= 1 {
        return Ok(());
    }
    let problem = format!("indices of shape {:?}", index.shape());
    Err(Error::shape(op, problem, "give indices of one dimension"))
}

/// A copy of x with `alpha` · `source` added: slice `i` of the source's dimension to slice `index[i]`
/// of x's. `torch.index_add`.
///
/// # Errors
/// As [`index_select`]; [`Error::DType`] for two types or bool; [`Error::Shape`] where the source has
/// not x's shape with as many slices as there are indices.
pub fn index_add(
    x: &Array,
    dim: isize,
    index: &Array,
    source: &Array,
    alpha: f64,
) -> Result<Array> {
    const OP: &str = "index_add";
    let d = dim_or_scalar(OP, dim, x.ndim())?;
    one_dimension(OP, index)?;
    one_type(OP, x, source)?;
    let (outer, size, inner) = around(x.shape(), d);
    let index = indices(OP, index, size)?;
    let mut wanted = x.shape().to_vec();
    if let Some(size) = wanted.get_mut(d) {
        *size = index.len();
    }
    if source.shape() != wanted || (x.ndim() == 0 && index.len() != 1) {
        let problem = format!("a source of shape {:?} for {wanted:?}", source.shape());
        return Err(Error::shape(OP, problem, "give one slice for each index"));
    }
    let wide = x.dtype().compute();
    let factor = Array::of_scalar(scalar_in(alpha, wide), wide);
    let (start, added) = (x.cast(wide)?, crate::mul(&source.cast(wide)?, &factor)?);
    by_number!(OP, wide, T => {
        let from = added.flat::<T>(OP)?;
        let mut out = start.to_vec::<T>()?;
        for o in 0..outer {
            for (k, &i) in index.iter().enumerate() {
                let to = &mut out[(o * size + i as usize) * inner..][..inner];
                let from = &from[(o * index.len() + k) * inner..][..inner];
                to.iter_mut().zip(from).for_each(|(to, &x)| *to = Number::plus(*to, x));
            }
        }
        Array::from_vec(out, x.shape())
    })?
    .cast(x.dtype())
}

fn scalar_in(value: f64, dtype: DType) -> crate::Scalar {
    if dtype.is_float() { value.into() } else { (value as i64).into() }
}

/// Where gather and scatter go: for each element of the index's shape its place in C order of the
/// index, and the place in an array of `shape` with the index along `d`.
fn each_place(
    op: &'static str,
    shape: &[usize],
    d: usize,
    index: &Array,
    f: &mut dyn FnMut(usize, usize),
) -> Result<()> {
    let size = shape.get(d).copied().unwrap_or(1);
    let all = indices(op, index, size)?;
    let strides = crate::layout::contiguous_strides(shape);
    let step = strides.get(d).map_or(1, |s| s.unsigned_abs());
    // The index's own dimension does not move; the index says where.
    let mut others = strides;
    if let Some(stride) = others.get_mut(d) {
        *stride = 0;
    }
    let mut at = 0;
    crate::layout::rows(index.shape(), [&others], [0], &mut |[start], [s], n| {
        for k in 0..n {
            f(at, crate::layout::at(start, s, k) + all[at] as usize * step);
            at += 1;
        }
    });
    Ok(())
}

/// Refuses an index that does not go with an array: as many dimensions, and no size but that of `d`
/// larger than the array's.
fn goes_with(op: &'static str, x: &Array, d: usize, index: &Array) -> Result<()> {
    let fits = |(i, (&n, &size)): (usize, (&usize, &usize))| i == d || n <= size;
    let ok = index.ndim() == x.ndim() && index.shape().iter().zip(x.shape()).enumerate().all(fits);
    if ok || index.numel() == 0 {
        return Ok(());
    }
    let problem = format!("indices of shape {:?} into shape {:?}", index.shape(), x.shape());
    Err(Error::shape(op, problem, "give as many dimensions, no larger than those of the array"))
}

/// `out[i][j][k] = x[index[i][j][k]][j][k]` for dimension 0, and alike for others: `torch.gather`. The
/// result has the index's shape.
///
/// # Errors
/// [`Error::Index`] for one beyond the dimension, [`Error::DType`] for indices of another type,
/// [`Error::Shape`] where the index has other dimensions, [`Error::Dimension`].
pub fn gather(x: &Array, dim: isize, index: &Array) -> Result<Array> {
    const OP: &str = "gather";
    let d = dim_or_scalar(OP, dim, x.ndim())?;
    goes_with(OP, x, d, index)?;
    by_type!(x.dtype(), T => {
        let all = x.flat::<T>(OP)?;
        let mut out = room(index.numel())?;
        each_place(OP, x.shape(), d, index, &mut |_, from| out.push(all[from]))?;
        Array::from_vec(out, index.shape())
    })
}

/// The gradient of [`gather`] for an input of this shape.
///
/// # Errors
/// As [`scatter_add`].
pub fn gather_backward(grad: &Array, shape: &[usize], dim: isize, index: &Array) -> Result<Array> {
    scatter_add(&Array::zeros(shape, grad.dtype())?, dim, index, grad)
}

/// A copy of x with `x[index[i][j][k]][j][k] += source[i][j][k]` for dimension 0, and alike for others:
/// `torch.scatter_add`. The source may be larger than the index.
///
/// # Errors
/// As [`gather`]; [`Error::DType`] for two types or bool.
pub fn scatter_add(x: &Array, dim: isize, index: &Array, source: &Array) -> Result<Array> {
    const OP: &str = "scatter_add";
    let d = dim_or_scalar(OP, dim, x.ndim())?;
    one_type(OP, x, source)?;
    goes_with(OP, x, d, index)?;
    goes_with(OP, source, usize::MAX, index)?;
    let wide = x.dtype().compute();
    // The part of the source that has indices.
    let mut part = source.cast(wide)?;
    if index.numel() == 0 {
        return Ok(x.clone());
    }
    for (i, &n) in index.shape().iter().enumerate() {
        part = part.narrow(i as isize, 0, n)?;
    }
    let start = x.cast(wide)?;
    by_number!(OP, wide, T => {
        let from = part.flat::<T>(OP)?;
        let mut out = start.to_vec::<T>()?;
        each_place(OP, x.shape(), d, index, &mut |k, to| out[to] = Number::plus(out[to], from[k]))?;
        Array::from_vec(out, x.shape())
    })?
    .cast(x.dtype())
}

/// The gradient of [`index_select`] for an input of this shape.
///
/// # Errors
/// As [`index_add`].
pub fn index_select_backward(
    grad: &Array,
    shape: &[usize],
    dim: isize,
    index: &Array,
) -> Result<Array> {
    index_add(&Array::zeros(shape, grad.dtype())?, dim, index, grad, 1.0)
}

/// The rows of a matrix that the indices name: `torch.nn.functional.embedding`.
///
/// `weight` is (rows, width), `index` of any shape; the result has the index's shape and `width`.
///
/// # Errors
/// [`Error::Index`] for one beyond the rows, [`Error::DType`] for indices of another type,
/// [`Error::Shape`] for a weight that is no matrix.
pub fn embedding(weight: &Array, index: &Array) -> Result<Array> {
    const OP: &str = "embedding";
    let &[_, width] = weight.shape() else {
        let problem = format!("a weight of shape {:?}", weight.shape());
        return Err(Error::shape(OP, problem, "give (rows, width)"));
    };
    let rows = index_select(weight, 0, &index.reshape(&[-1]).or_else(|_| index.reshape(&[0]))?);
    let rows = rows.map_err(|e| match e {
        Error::Index { index, size, negative, .. } => {
            Error::Index { op: OP, index, size, negative }
        }
        Error::DType { problem, advice, .. } => Error::DType { op: OP, problem, advice },
        other => other,
    })?;
    let mut shape: Vec<isize> = index.shape().iter().map(|&n| n as isize).collect();
    shape.push(width as isize);
    rows.reshape(&shape)
}

/// The gradient of [`embedding`] for a weight of so many rows: each row of `grad` added to the row of
/// its index. `padding_idx` names a row that gets none.
///
/// # Errors
/// As [`embedding`]; [`Error::Shape`] where `grad` has not the result's shape.
pub fn embedding_backward(
    grad: &Array,
    index: &Array,
    rows: usize,
    padding_idx: Option<usize>,
) -> Result<Array> {
    const OP: &str = "embedding_backward";
    let Some((&width, batch)) = grad.shape().split_last().filter(|(_, b)| *b == index.shape())
    else {
        let problem = format!("a gradient of {:?} for indices {:?}", grad.shape(), index.shape());
        return Err(Error::shape(OP, problem, "give the gradient of the rows that were taken"));
    };
    let count = numel(OP, batch)? as isize;
    let zeros = Array::zeros(&[rows, width], grad.dtype())?;
    let index = index.reshape(&[count])?;
    let mut out = index_add(&zeros, 0, &index, &grad.reshape(&[count, width as isize])?, 1.0)?;
    if let Some(row) = padding_idx.filter(|&row| row < rows) {
        out.write(|x| x.select(0, row as i64), &Array::scalar(0_u8))?;
    }
    Ok(out)
}

/// The gradient of [`index_add`] for its source: `alpha` times the slices of grad that the indices name. For
/// `x` it is grad itself.
///
/// # Errors
/// As [`index_select`].
pub fn index_add_backward(grad: &Array, dim: isize, index: &Array, alpha: f64) -> Result<Array> {
    let slices = index_select(grad, dim, index)?;
    if alpha == 1.0 { Ok(slices) } else { crate::mul(&slices, alpha) }
}

/// The gradient of [`scatter_add`] for the part of its source that the index covers: the elements of grad
/// that the indices name. For `x` it is grad itself.
///
/// # Errors
/// As [`gather`].
pub fn scatter_add_backward(grad: &Array, dim: isize, index: &Array) -> Result<Array> {
    gather(grad, dim, index)
}

/// The gradient of [`Array::slice`] for an input of this shape: grad in its place, 0 elsewhere.
///
/// # Errors
/// As [`Array::slice`]; [`Error::Shape`] where `grad` has not the slice's shape.
pub fn slice_backward(
    grad: &Array,
    shape: &[usize],
    dim: isize,
    start: i64,
    stop: i64,
    step: i64,
) -> Result<Array> {
    let mut out = Array::zeros(shape, grad.dtype())?;
    let place = out.slice(dim, start, stop, step)?;
    crate::rows::same_shape("slice_backward", "the gradient", grad, place.shape())?;
    drop(place);
    out.write(|x| x.slice(dim, start, stop, step), grad)?;
    Ok(out)
}

/// The gradient of [`Array::select`] for an input of this shape: grad in its place, 0 elsewhere.
///
/// # Errors
/// As [`Array::select`]; [`Error::Shape`] where `grad` has not the shape that is left.
pub fn select_backward(grad: &Array, shape: &[usize], dim: isize, index: i64) -> Result<Array> {
    let mut out = Array::zeros(shape, grad.dtype())?;
    let place = out.select(dim, index)?;
    crate::rows::same_shape("select_backward", "the gradient", grad, place.shape())?;
    drop(place);
    out.write(|x| x.select(dim, index), grad)?;
    Ok(out)
}

/// The gradient of [`Array::permute`]: the dimensions back in their order. A view.
///
/// # Errors
/// As [`Array::permute`].
pub fn permute_backward(grad: &Array, dims: &[isize]) -> Result<Array> {
    const OP: &str = "permute_backward";
    let mut back = vec![0; dims.len()];
    for (i, &dim) in dims.iter().enumerate() {
        back[dim_of(OP, dim, dims.len())?] = i as isize;
    }
    grad.permute(&back)
}

/// Arrays one after another along a dimension: `torch.cat`. They promote to one type; arrays of shape
/// (0) are left out, as in torch.
///
/// # Errors
/// [`Error::Shape`] for none, and where other sizes differ; [`Error::Dimension`].
///
/// ```
/// use numpack_host_ops::{Array, cat};
/// let (a, b) = (Array::arange(0, 2, 1, None)?, Array::arange(5, 7, 1, None)?);
/// assert_eq!(cat(&[&a, &b], 0)?.to_vec::<i64>()?, [0, 1, 5, 6]);
/// # Ok::<(), numpack_host_ops::Error>(())
/// ```
pub fn cat(arrays: &[&Array], dim: isize) -> Result<Array> {
    const OP: &str = "cat";
    let types: Vec<_> = arrays.iter().map(|&a| a.into()).collect();
    let dtype = crate::result_type(&types);
    let kept: Vec<&Array> = arrays.iter().copied().filter(|a| a.shape() != [0]).collect();
    let Some(first) = kept.first() else {
        return match arrays.first() {
            Some(_) => Array::zeros(&[0], dtype),
            None => Err(Error::shape(OP, "no arrays", "give one or more")),
        };
    };
    let d = dim_of(OP, dim, first.ndim())?;
    let mut shape = first.shape().to_vec();
    shape[d] = 0;
    for array in &kept {
        let mut other = array.shape().to_vec();
        let own = other.get_mut(d).map_or(0, std::mem::take);
        let mut bare = shape.clone();
        bare[d] = 0;
        if other != bare {
            let problem = format!("shapes {:?} and {:?}", first.shape(), array.shape());
            return Err(Error::shape(
                OP,
                problem,
                "make all sizes but that of the dimension equal",
            ));
        }
        shape[d] = shape[d].saturating_add(own);
    }
    let (outer, total) = (shape[..d].iter().product::<usize>(), numel(OP, &shape)?);
    by_type!(dtype, T => {
        let parts: Vec<Array> = kept.iter().map(|a| a.cast(dtype)).collect::<Result<_>>()?;
        let parts: Vec<Cow<'_, [T]>> = parts.iter().map(|a| a.flat::<T>(OP)).collect::<Result<_>>()?;
        let mut out = room(total)?;
        for o in 0..outer {
            for part in &parts {
                let run = part.len() / outer;
                out.extend_from_slice(&part[o * run..][..run]);
            }
        }
        Array::from_vec(out, &shape)
    })
}

/// The gradients of [`cat`], for as many slices of each: views of `grad`.
///
/// # Errors
/// [`Error::Shape`] where they are not as many as `grad` has, [`Error::Dimension`].
pub fn cat_backward(grad: &Array, sizes: &[usize], dim: isize) -> Result<Vec<Array>> {
    let mut at = 0_usize;
    let part = |&size: &usize| {
        let start = at;
        at = at.saturating_add(size);
        grad.narrow(dim, start, size)
    };
    let parts = sizes.iter().map(part).collect::<Result<_>>()?;
    if at != grad.size(dim)? {
        let problem = format!("sizes {sizes:?} of {}", grad.size(dim)?);
        return Err(Error::shape("cat_backward", problem, "give the sizes that were put together"));
    }
    Ok(parts)
}

/// Arrays of one shape along a new dimension: `torch.stack`. They promote to one type.
///
/// # Errors
/// [`Error::Shape`] for none, or several shapes; [`Error::Dimension`].
pub fn stack(arrays: &[&Array], dim: isize) -> Result<Array> {
    const OP: &str = "stack";
    let Some(first) = arrays.first() else {
        return Err(Error::shape(OP, "no arrays", "give one or more"));
    };
    let mut parts = Vec::with_capacity(arrays.len());
    for array in arrays {
        if array.shape() != first.shape() {
            let problem = format!("shapes {:?} and {:?}", first.shape(), array.shape());
            return Err(Error::shape(OP, problem, "give arrays of one shape"));
        }
        parts.push(array.unsqueeze(dim)?);
    }
    cat(&parts.iter().collect::<Vec<_>>(), dim)
}

/// The gradients of [`stack`]: views of `grad`.
///
/// # Errors
/// [`Error::Dimension`].
pub fn stack_backward(grad: &Array, dim: isize) -> Result<Vec<Array>> {
    (0..grad.size(dim)?).map(|i| grad.select(dim, i as i64)).collect()
}
