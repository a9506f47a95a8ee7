//! Softmax and its logarithm along a dimension.

use crate::element::by_float;
use crate::number::Float;
use crate::reduce::greatest;
use crate::rows::{Plan, same_shape};
use crate::sums::{sum_by, sum_by2};
use crate::{Array, Result};

/// exp(x − max) / Σ exp(x − max): `torch.softmax`.
///
/// In the input's type and shape. The sum is one of doubles.
///
/// # Errors
/// [`Error::DType`](crate::Error::DType) for all but floats,
/// [`Error::Dimension`](crate::Error::Dimension).
///
/// ```
/// use numpack_host_ops::{Array, softmax};
/// let x = Array::from_slice(&[0.0_f32, 0.0, f32::NEG_INFINITY], &[3])?;
/// assert_eq!(softmax(&x, 0)?.to_vec::<f32>()?, [0.5, 0.5, 0.0]);
/// # Ok::<(), numpack_host_ops::Error>(())
/// ```
pub fn softmax(x: &Array, dim: isize) -> Result<Array> {
    const OP: &str = "softmax";
    let plan = Plan::new(OP, x.shape(), &[dim])?;
    let wide = x.cast(x.dtype().compute())?;
    by_float!(OP, wide.dtype(), T => plan.map::<T, 1>(OP, [&wide], |[x], out| {
        let max = greatest(x);
        out.iter_mut().zip(x).for_each(|(to, &x)| *to = (x - max).exp());
        let scale = (1.0 / sum_by(out, &Float::wide)) as T;
        out.iter_mut().for_each(|to| *to *= scale);
    }))?
    .cast(x.dtype())
}

/// x − max − ln Σ exp(x − max): `torch.log_softmax`.
///
/// In the input's type and shape. The sum and its logarithm are doubles.
///
/// # Errors
/// As [`softmax`].
pub fn log_softmax(x: &Array, dim: isize) -> Result<Array> {
    const OP: &str = "log_softmax";
    let plan = Plan::new(OP, x.shape(), &[dim])?;
    let wide = x.cast(x.dtype().compute())?;
    by_float!(OP, wide.dtype(), T => plan.map::<T, 1>(OP, [&wide], |[x], out| {
        let max = greatest(x);
        let log = sum_by(x, &|x| (x - max).exp().wide()).ln();
        out.iter_mut().zip(x).for_each(|(to, &x)| {
            *to = (x.wide() - max.wide() - log) as T;
        });
    }))?
    .cast(x.dtype())
}

/// The gradient of [`softmax`], whose result `y` is: y (grad − Σ grad · y).
///
/// # Errors
/// [`Error::Shape`](crate::Error::Shape) for arrays of two shapes, and as [`softmax`].
pub fn softmax_backward(grad: &Array, y: &Array, dim: isize) -> Result<Array> {
    const OP: &str = "softmax_backward";
    same_shape(OP, "the gradient", grad, y.shape())?;
    let plan = Plan::new(OP, y.shape(), &[dim])?;
    let wide = y.dtype().compute();
    by_float!(OP, wide, T => {
        let both = [&grad.cast(wide)?, &y.cast(wide)?];
        plan.map::<T, 2>(OP, both, |[g, y], out| {
            let dot = sum_by2(g, y, &|g, y| g.wide() * y.wide()) as T;
            out.iter_mut().zip(g).zip(y).for_each(|((to, &g), &y)| *to = y * (g - dot));
        })
    })?
    .cast(y.dtype())
}

/// The gradient of [`log_softmax`], whose result `y` is: grad − exp(y) Σ grad.
///
/// # Errors
/// As [`softmax_backward`].
pub fn log_softmax_backward(grad: &Array, y: &Array, dim: isize) -> Result<Array> {
    const OP: &str = "log_softmax_backward";
    same_shape(OP, "the gradient", grad, y.shape())?;
    let plan = Plan::new(OP, y.shape(), &[dim])?;
    let wide = y.dtype().compute();
    by_float!(OP, wide, T => {
        let both = [&grad.cast(wide)?, &y.cast(wide)?];
        plan.map::<T, 2>(OP, both, |[g, y], out| {
            let sum = sum_by(g, &Float::wide) as T;
            out.iter_mut().zip(g).zip(y).for_each(|((to, &g), &y)| *to = g - y.exp() * sum);
        })
    })?
    .cast(y.dtype())
}
