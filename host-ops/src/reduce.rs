//! Reductions: one element for all along some dimensions.
//!
//! `dims` names the dimensions, from the end where negative; none means all, as in torch. With
//! `keepdim` they stay, with a size of 1.

use crate::element::{by_float, by_number};
use crate::elementwise::mul;
use crate::layout::{broadcast, room};
use crate::number::{Float, Number};
use crate::rows::{Plan, same_shape};
use crate::sums::{add_columns, sum_by};
use crate::{Array, DType, Error, Result};

/// Σ x: `torch.sum`. 0 for no elements.
///
/// Of integers and bools the result is int64, which wraps; of floats the same type. Floats are added
/// as doubles, pairwise, and rounded once.
///
/// # Errors
/// [`Error::Dimension`](crate::Error::Dimension), [`Error::Shape`](crate::Error::Shape) for a
/// dimension named twice.
///
/// ```
/// use numpack_host_ops::{Array, sum};
/// let x = Array::from_slice(&[1_u8, 255, 3, 4], &[2, 2])?;
/// assert_eq!(sum(&x, &[0], false)?.to_vec::<i64>()?, [4, 259]);
/// assert_eq!(sum(&x, &[], true)?.shape(), [1, 1]);
/// # Ok::<(), numpack_host_ops::Error>(())
/// ```
pub fn sum(x: &Array, dims: &[isize], keepdim: bool) -> Result<Array> {
    const OP: &str = "sum";
    let plan = Plan::new(OP, x.shape(), dims)?;
    if !x.dtype().is_float() {
        return plan.reduce::<i64, i64>(OP, &x.cast(DType::I64)?, keepdim, |row| {
            row.iter().fold(0, |sum, &x| sum.wrapping_add(x))
        });
    }
    let wide = x.cast(x.dtype().compute())?;
    by_float!(OP, wide.dtype(), T => {
        if plan.is_columns() {
            let mut sums = room(plan.count)?;
            sums.resize(plan.count, 0.0);
            add_columns(&wide.flat::<T>(OP)?, plan.count, &mut sums, &Float::wide);
            let shape = plan.reduced(x.shape(), keepdim);
            let mut out = room(plan.count)?;
            out.extend(sums.into_iter().map(|sum| sum as T));
            Array::from_vec(out, &shape)
        } else {
            plan.reduce::<T, T>(OP, &wide, keepdim, |row| sum_by(row, &Float::wide) as T)
        }
    })?
    .cast(x.dtype())
}

/// Π x: `torch.prod`. 1 for no elements.
///
/// Of integers and bools the result is int64, which wraps; of floats, multiplied as doubles, the
/// same type.
///
/// # Errors
/// As [`sum`].
pub fn prod(x: &Array, dims: &[isize], keepdim: bool) -> Result<Array> {
    const OP: &str = "prod";
    let plan = Plan::new(OP, x.shape(), dims)?;
    if !x.dtype().is_float() {
        return plan.reduce::<i64, i64>(OP, &x.cast(DType::I64)?, keepdim, |row| {
            row.iter().fold(1, |product, &x| product.wrapping_mul(x))
        });
    }
    let wide = x.cast(x.dtype().compute())?;
    by_float!(OP, wide.dtype(), T => plan.reduce::<T, T>(OP, &wide, keepdim, |row| {
        row.iter().map(|&x| x.wide()).product::<f64>() as T
    }))?
    .cast(x.dtype())
}

/// Σ x / n: `torch.mean`. NaN for no elements.
///
/// # Errors
/// [`Error::DType`](crate::Error::DType) for all but floats, as in torch; else as [`sum`].
pub fn mean(x: &Array, dims: &[isize], keepdim: bool) -> Result<Array> {
    const OP: &str = "mean";
    let plan = Plan::new(OP, x.shape(), dims)?;
    let wide = x.cast(x.dtype().compute())?;
    by_float!(OP, wide.dtype(), T => plan.reduce::<T, T>(OP, &wide, keepdim, |row| {
        (sum_by(row, &Float::wide) / row.len() as f64) as T
    }))?
    .cast(x.dtype())
}

/// The mean of a row, and Σ (x − mean)².
pub(crate) fn moments<T: Copy>(row: &[T], wide: &impl Fn(T) -> f64) -> (f64, f64) {
    let mean = sum_by(row, wide) / row.len() as f64;
    (mean, sum_by(row, &|x| (wide(x) - mean) * (wide(x) - mean)))
}

/// Σ (x − mean)² / max(0, n − correction): `torch.var`, whose correction is 1 if none is said. NaN
/// or an infinity where nothing is left to divide by.
///
/// # Errors
/// As [`mean`].
pub fn var(x: &Array, dims: &[isize], correction: f64, keepdim: bool) -> Result<Array> {
    variance("var", x, dims, correction, keepdim, |v| v)
}

/// The square root of [`var`]: `torch.std`.
///
/// # Errors
/// As [`mean`].
pub fn std(x: &Array, dims: &[isize], correction: f64, keepdim: bool) -> Result<Array> {
    variance("std", x, dims, correction, keepdim, f64::sqrt)
}

fn variance(
    op: &'static str,
    x: &Array,
    dims: &[isize],
    correction: f64,
    keepdim: bool,
    f: impl Fn(f64) -> f64,
) -> Result<Array> {
    let plan = Plan::new(op, x.shape(), dims)?;
    let wide = x.cast(x.dtype().compute())?;
    let divisor = (plan.length as f64 - correction).max(0.0);
    by_float!(op, wide.dtype(), T => plan.reduce::<T, T>(op, &wide, keepdim, |row| {
        f(moments(row, &Float::wide).1 / divisor) as T
    }))?
    .cast(x.dtype())
}

/// The greatest: `torch.amax`. NaN where one is.
///
/// # Errors
/// [`Error::Empty`](crate::Error::Empty) where there are no elements; else as [`sum`].
pub fn amax(x: &Array, dims: &[isize], keepdim: bool) -> Result<Array> {
    extreme("amax", x, dims, keepdim, true)
}

/// The smallest: `torch.amin`. NaN where one is.
///
/// # Errors
/// As [`amax`].
pub fn amin(x: &Array, dims: &[isize], keepdim: bool) -> Result<Array> {
    extreme("amin", x, dims, keepdim, false)
}

fn extreme(
    op: &'static str,
    x: &Array,
    dims: &[isize],
    keepdim: bool,
    highest: bool,
) -> Result<Array> {
    let plan = Plan::new(op, x.shape(), dims)?;
    plan.not_empty(op, x.shape())?;
    // Bools are ordered as their numbers are.
    let own = if x.dtype() == DType::Bool { DType::U8 } else { x.dtype().compute() };
    let wide = x.cast(own)?;
    by_number!(op, own, T => if highest {
        plan.reduce::<T, T>(op, &wide, keepdim, greatest)
    } else {
        plan.reduce::<T, T>(op, &wide, keepdim, |row| best(row, Number::smaller))
    })?
    .cast(x.dtype())
}

/// The greatest of a row, NaN if one is.
pub(crate) fn greatest<T: Number>(row: &[T]) -> T {
    best(row, T::greater)
}

/// What remains of a row where `better` chooses one of two, in eight lanes: the order of comparing
/// does not matter.
fn best<T: Number>(row: &[T], better: impl Fn(T, T) -> T) -> T {
    let mut eights = row.chunks_exact(8);
    let rest = eights.remainder().iter().copied().reduce(&better);
    let Some(first) = eights.next() else { return rest.unwrap_or_default() };
    let mut lanes = [first[0]; 8];
    lanes.copy_from_slice(first);
    for eight in eights {
        for (lane, &x) in lanes.iter_mut().zip(eight) {
            *lane = better(*lane, x);
        }
    }
    lanes.into_iter().chain(rest).reduce(better).unwrap_or_default()
}

/// Where the greatest is along a dimension, or among all in C order: `torch.argmax`. The first one of
/// several equal ones; the first NaN where there is one. The result is int64.
///
/// # Errors
/// [`Error::Empty`](crate::Error::Empty) where there are no elements,
/// [`Error::DType`](crate::Error::DType) for bool, as in torch; else as [`sum`].
///
/// ```
/// use numpack_host_ops::{Array, argmax};
/// let x = Array::from_slice(&[1.0_f32, 3.0, 3.0, 2.0], &[2, 2])?;
/// assert_eq!(argmax(&x, Some(1), false)?.to_vec::<i64>()?, [1, 0]);
/// assert_eq!(argmax(&x, None, false)?.to_vec::<i64>()?, [1]);
/// # Ok::<(), numpack_host_ops::Error>(())
/// ```
pub fn argmax(x: &Array, dim: Option<isize>, keepdim: bool) -> Result<Array> {
    place_of_extreme("argmax", x, dim, keepdim, true)
}

/// Where the smallest is: `torch.argmin`. As [`argmax`].
///
/// # Errors
/// As [`argmax`].
pub fn argmin(x: &Array, dim: Option<isize>, keepdim: bool) -> Result<Array> {
    place_of_extreme("argmin", x, dim, keepdim, false)
}

fn place_of_extreme(
    op: &'static str,
    x: &Array,
    dim: Option<isize>,
    keepdim: bool,
    highest: bool,
) -> Result<Array> {
    let plan = Plan::new(op, x.shape(), dim.as_slice())?;
    plan.not_empty(op, x.shape())?;
    let wide = x.cast(x.dtype().compute())?;
    by_number!(op, wide.dtype(), T => plan.reduce::<T, i64>(op, &wide, keepdim, |row| {
        let mut best = 0;
        for (i, &x) in row.iter().enumerate() {
            let leader = row[best];
            let beyond = if highest { x > leader } else { x < leader };
            if !Number::is_nan(leader) && (beyond || Number::is_nan(x)) {
                best = i;
            }
        }
        best as i64
    }))
}

/// The greatest along a dimension and where it is: `torch.max` with a dimension. The gradient goes there
/// ([`gather_backward`](crate::gather_backward), with the dimension kept).
///
/// # Errors
/// As [`argmax`].
pub fn max_with_indices(x: &Array, dim: isize, keepdim: bool) -> Result<(Array, Array)> {
    Ok((amax(x, &[dim], keepdim)?, argmax(x, Some(dim), keepdim)?))
}

/// The smallest along a dimension and where it is: `torch.min` with a dimension; as
/// [`max_with_indices`].
///
/// # Errors
/// As [`argmax`].
pub fn min_with_indices(x: &Array, dim: isize, keepdim: bool) -> Result<(Array, Array)> {
    Ok((amin(x, &[dim], keepdim)?, argmin(x, Some(dim), keepdim)?))
}

/// The gradient of what was broadcast: sums along the dimensions that broadcasting to `x`'s shape
/// repeated, so that the result has this shape. `torch.Tensor.sum_to_size`.
///
/// # Errors
/// [`Error::Shape`](crate::Error::Shape) where this shape does not broadcast to `x`'s.
pub fn sum_to_shape(x: &Array, shape: &[usize]) -> Result<Array> {
    const OP: &str = "sum_to_shape";
    if x.shape() == shape {
        return Ok(x.clone());
    }
    if broadcast(OP, &[x.shape(), shape])? != x.shape() {
        let problem = format!("shape {:?} to {shape:?}", x.shape());
        return Err(Error::shape(OP, problem, "give a shape that broadcasts to the array's"));
    }
    let missing = x.ndim() - shape.len();
    let repeated: Vec<isize> = (0..x.ndim())
        .filter(|&d| d < missing || (shape[d - missing] == 1 && x.shape()[d] != 1))
        .map(|d| d as isize)
        .collect();
    let sizes: Vec<isize> = shape.iter().map(|&n| n as isize).collect();
    // No dimension would mean all; then there is only a leading 1 to be dropped.
    let summed = if repeated.is_empty() { x.clone() } else { sum(x, &repeated, true)? };
    summed.cast(x.dtype())?.reshape(&sizes)
}

/// A gradient of one element for each row, seen in the shape that was reduced.
fn spread(
    op: &'static str,
    grad: &Array,
    shape: &[usize],
    dims: &[isize],
    keepdim: bool,
) -> Result<(Array, Plan)> {
    let plan = Plan::new(op, shape, dims)?;
    same_shape(op, "the gradient", grad, &plan.reduced(shape, keepdim))?;
    let kept: Vec<isize> = plan.reduced(shape, true).into_iter().map(|n| n as isize).collect();
    Ok((grad.reshape(&kept)?.broadcast_to(shape)?, plan))
}

/// The gradient of [`sum`] for an input of this shape: the gradient itself, expanded. A view.
///
/// # Errors
/// [`Error::Shape`](crate::Error::Shape) where `grad` is not of the result's shape.
pub fn sum_backward(grad: &Array, shape: &[usize], dims: &[isize], keepdim: bool) -> Result<Array> {
    Ok(spread("sum_backward", grad, shape, dims, keepdim)?.0)
}

/// The gradient of [`mean`] for an input of this shape: grad / n.
///
/// # Errors
/// As [`sum_backward`].
pub fn mean_backward(
    grad: &Array,
    shape: &[usize],
    dims: &[isize],
    keepdim: bool,
) -> Result<Array> {
    let n = Plan::new("mean_backward", shape, dims)?.length;
    let part = crate::div(grad, n as f64)?;
    Ok(spread("mean_backward", &part, shape, dims, keepdim)?.0)
}

/// The gradient of [`var`]: grad · 2 (x − mean) / max(0, n − correction).
///
/// # Errors
/// As [`sum_backward`].
pub fn var_backward(
    grad: &Array,
    x: &Array,
    dims: &[isize],
    correction: f64,
    keepdim: bool,
) -> Result<Array> {
    const OP: &str = "var_backward";
    let (grad, plan) = spread(OP, grad, x.shape(), dims, keepdim)?;
    let wide = x.cast(x.dtype().compute())?;
    let divisor = (plan.length as f64 - correction).max(0.0);
    by_float!(OP, wide.dtype(), T => {
        let grad = grad.cast(wide.dtype())?;
        plan.map::<T, 2>(OP, [&grad, &wide], |[g, x], out| {
            let mean = sum_by(x, &Float::wide) / x.len() as f64;
            for ((to, &g), &x) in out.iter_mut().zip(g).zip(x) {
                *to = (g.wide() * 2.0 * (x.wide() - mean) / divisor) as T;
            }
        })
    })?
    .cast(x.dtype())
}

/// The gradient of [`std()`], whose result `y` is: that of [`var`] times 1 / 2y.
///
/// # Errors
/// As [`sum_backward`].
pub fn std_backward(
    grad: &Array,
    x: &Array,
    y: &Array,
    dims: &[isize],
    correction: f64,
    keepdim: bool,
) -> Result<Array> {
    let half = crate::div(grad, &mul(y, 2.0)?)?;
    // Where nothing varies the gradient is 0, as in torch.
    let flat = crate::eq(y, 0.0)?;
    var_backward(&crate::where_(&flat, 0.0, &half)?, x, dims, correction, keepdim)
}

/// The gradient of [`amax`] and [`amin`], whose result `y` is: shared equally by all elements that
/// equal it.
///
/// # Errors
/// As [`sum_backward`].
pub fn amax_backward(
    grad: &Array,
    x: &Array,
    y: &Array,
    dims: &[isize],
    keepdim: bool,
) -> Result<Array> {
    const OP: &str = "amax_backward";
    let (grad, plan) = spread(OP, grad, x.shape(), dims, keepdim)?;
    let (y, _) = spread(OP, y, x.shape(), dims, keepdim)?;
    let wide = x.dtype().compute();
    by_float!(OP, wide, T => {
        let all = [&grad.cast(wide)?, &x.cast(wide)?, &y.cast(wide)?];
        plan.map::<T, 3>(OP, all, |[g, x, y], out| {
            let equal = x.iter().zip(y).filter(|(x, y)| x == y).count();
            for (((to, &g), x), y) in out.iter_mut().zip(g).zip(x).zip(y) {
                *to = if x == y { g / equal as T } else { 0.0 };
            }
        })
    })?
    .cast(x.dtype())
}

/// The gradient of [`prod`]: that of each element is the product of all others.
///
/// # Errors
/// As [`sum_backward`].
pub fn prod_backward(grad: &Array, x: &Array, dims: &[isize], keepdim: bool) -> Result<Array> {
    const OP: &str = "prod_backward";
    let (grad, plan) = spread(OP, grad, x.shape(), dims, keepdim)?;
    let wide = x.dtype().compute();
    by_float!(OP, wide, T => {
        let all = [&grad.cast(wide)?, &x.cast(wide)?];
        plan.map::<T, 2>(OP, all, |[g, x], out| {
            // What is before each, times what is after it: no division by a zero.
            let mut before = 1.0;
            for (to, &x) in out.iter_mut().zip(x) {
                *to = before;
                before *= x;
            }
            let mut after = 1.0;
            for ((to, &x), &g) in out.iter_mut().zip(x).zip(g).rev() {
                *to = *to * after * g;
                after *= x;
            }
        })
    })?
    .cast(x.dtype())
}

/// The number of elements that are not 0: `torch.count_nonzero`. int64.
///
/// # Errors
/// As [`sum`].
pub fn count_nonzero(x: &Array, dims: &[isize]) -> Result<Array> {
    sum(&x.cast(DType::Bool)?, dims, false)
}
