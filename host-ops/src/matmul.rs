//! Products of matrices.
//!
//! float32 and float64 are multiplied by ndarray's kernels, in any order of memory; sums are in the
//! type itself. Halves are computed as float32, and integers in their type, wrapping.

use std::borrow::Cow;

use ndarray::linalg::general_mat_mul;
use ndarray::{ArrayView2, ArrayViewMut2, ShapeBuilder};

use crate::element::{by_number, no_numbers};
use crate::layout::{Layout, broadcast, numel, room};
use crate::number::{Float, Number};
use crate::{Array, DType, Element, Error, Result, sum_to_shape};

/// The product of vectors, matrices or batches of matrices: `torch.matmul`.
///
/// | `a` | `b` | result |
/// |---|---|---|
/// | (k) | (k) | () |
/// | (m, k) | (k) | (m) |
/// | (k) | (k, n) | (n) |
/// | (…, m, k) | (…, k, n) | (…, m, n), where the first dimensions broadcast |
///
/// # Errors
/// [`Error::DType`] for two types, or bool; [`Error::Shape`] for arrays without dimensions, and where
/// the sizes do not fit.
///
/// ```
/// use numpack_host_ops::{Array, matmul};
/// let a = Array::from_slice(&[1.0_f32, 2.0, 3.0, 4.0], &[2, 2])?;
/// assert_eq!(matmul(&a, &a.t()?)?.to_vec::<f32>()?, [5.0, 11.0, 11.0, 25.0]);
/// # Ok::<(), numpack_host_ops::Error>(())
/// ```
pub fn matmul(a: &Array, b: &Array) -> Result<Array> {
    const OP: &str = "matmul";
    one_type(OP, a, b)?;
    let wrong = || {
        let problem = format!("shapes {:?} and {:?}", a.shape(), b.shape());
        Error::shape(OP, problem, "make the last size of the first that of the second's rows")
    };
    if a.ndim() == 0 || b.ndim() == 0 {
        return Err(wrong());
    }
    let (row, column) = (a.ndim() == 1, b.ndim() == 1);
    let left = if row { a.unsqueeze(0)? } else { a.clone() };
    let right = if column { b.unsqueeze(1)? } else { b.clone() };
    let (batch_a, m, k) = parts(&left);
    let (batch_b, other, n) = parts(&right);
    if k != other {
        return Err(wrong());
    }
    let batch = broadcast(OP, &[&batch_a, &batch_b])?;
    let mut shape = batch.clone();
    shape.extend((!row).then_some(m));
    shape.extend((!column).then_some(n));
    let dtype = a.dtype();
    let (left, right) = (left.cast(dtype.compute())?, right.cast(dtype.compute())?);
    // All rows of a batch at once where the second is a single matrix.
    if right.ndim() == 2 && left.ndim() > 2 {
        let rows =
            left.reshape(&[numel(OP, &[&batch[..], &[m]].concat())? as isize, k as isize])?;
        let product = product(OP, &rows, &right, &[])?;
        return Array { layout: Layout::contiguous(&shape), ..product }.cast(dtype);
    }
    let product = product(OP, &left, &right, &batch)?;
    Array { layout: Layout::contiguous(&shape), ..product }.cast(dtype)
}

/// beta · input + alpha · a · b, of matrices; input broadcasts: `torch.addmm`. With a beta of 0
/// what input holds does not matter.
///
/// # Errors
/// As [`matmul`]; [`Error::DType`] for all but floats; [`Error::Shape`] for all but matrices.
pub fn addmm(input: &Array, a: &Array, b: &Array, beta: f64, alpha: f64) -> Result<Array> {
    const OP: &str = "addmm";
    one_type(OP, a, b)?;
    one_type(OP, a, input)?;
    let (&[m, k], &[other, n]) = (a.shape(), b.shape()) else {
        let problem = format!("shapes {:?} and {:?}", a.shape(), b.shape());
        return Err(Error::shape(OP, problem, "give two matrices"));
    };
    if k != other {
        let problem = format!("shapes {:?} and {:?}", a.shape(), b.shape());
        return Err(Error::shape(OP, problem, "make the columns of one the rows of the other"));
    }
    let dtype = a.dtype();
    let start = input.broadcast_to(&[m, n])?.cast(dtype.compute())?;
    let (a, b) = (a.cast(dtype.compute())?, b.cast(dtype.compute())?);
    crate::element::by_float!(OP, dtype.compute(), T => {
        let mut out = start.to_vec::<T>()?;
        gemm::<T>(OP, alpha as T, &a, &b, beta as T, &mut out)?;
        Array::from_vec(out, &[m, n])
    })?
    .cast(dtype)
}

pub(crate) fn one_type(op: &'static str, a: &Array, b: &Array) -> Result<()> {
    if a.dtype() != b.dtype() {
        let problem = format!("{} and {}", a.dtype(), b.dtype());
        return Err(Error::dtype(op, problem, "cast one to the type of the other"));
    }
    if a.dtype() == DType::Bool { Err(no_numbers(op, DType::Bool)) } else { Ok(()) }
}

/// Leading dimensions, rows and columns of an array of two dimensions or more.
fn parts(x: &Array) -> (Vec<usize>, usize, usize) {
    match x.shape() {
        [batch @ .., m, n] => (batch.to_vec(), *m, *n),
        _ => (Vec::new(), 1, 1),
    }
}

/// All matrices of a batch multiplied, one after another in C order, as a flat array.
fn product(op: &'static str, a: &Array, b: &Array, batch: &[usize]) -> Result<Array> {
    let ((_, m, k), (_, _, n)) = (parts(a), parts(b));
    let count = numel(op, batch)?;
    let total = numel(op, &[batch, &[m, n]].concat())?;
    let a = a.broadcast_to(&[batch, &[m, k]].concat())?;
    let b = b.broadcast_to(&[batch, &[k, n]].concat())?;
    by_number!(op, a.dtype(), T => {
        let mut out = room::<T>(total)?;
        out.resize(total, T::default());
        if total > 0 {
            for (i, to) in out.chunks_exact_mut(m * n).enumerate().take(count) {
                let (a, b) = (matrix_of(&a, batch, i), matrix_of(&b, batch, i));
                multiply::<T>(op, &a, &b, to)?;
            }
        }
        Array::from_vec(out, &[total])
    })
}

/// The `i`-th matrix of a batch, in C order.
fn matrix_of(x: &Array, batch: &[usize], mut i: usize) -> Array {
    let mut offset = x.layout.offset as isize;
    for (&size, &stride) in batch.iter().zip(x.strides()).rev() {
        offset += (i % size) as isize * stride;
        i /= size;
    }
    let at = batch.len();
    x.showing(Layout {
        shape: x.shape()[at..].to_vec(),
        strides: x.strides()[at..].to_vec(),
        offset: offset as usize,
    })
}

/// A type that matrices are multiplied in.
trait Multiply: Number {
    fn multiply(op: &'static str, a: &Array, b: &Array, out: &mut [Self]) -> Result<()>;
}

fn multiply<T: Multiply>(op: &'static str, a: &Array, b: &Array, out: &mut [T]) -> Result<()> {
    T::multiply(op, a, b, out)
}

macro_rules! by_kernels {
    ($($t:ty)*) => {$(
        impl Multiply for $t {
            fn multiply(op: &'static str, a: &Array, b: &Array, out: &mut [$t]) -> Result<()> {
                gemm(op, 1.0, a, b, 0.0, out)
            }
        }
    )*};
}

macro_rules! by_rows {
    ($($t:ty)*) => {$(
        impl Multiply for $t {
            fn multiply(op: &'static str, a: &Array, b: &Array, out: &mut [$t]) -> Result<()> {
                let (a_all, b_all) = (a.flat::<$t>(op)?, b.flat::<$t>(op)?);
                let (&[_, k], &[_, n]) = (a.shape(), b.shape()) else { return Ok(()) };
                out.fill(0);
                for (i, to) in out.chunks_exact_mut(n.max(1)).enumerate() {
                    for (j, &x) in a_all[i * k..][..k].iter().enumerate() {
                        for (to, &y) in to.iter_mut().zip(&b_all[j * n..][..n]) {
                            *to = to.wrapping_add(x.wrapping_mul(y));
                        }
                    }
                }
                Ok(())
            }
        }
    )*};
}

by_kernels! { f32 f64 }
by_rows! { u8 i8 i16 i32 i64 }

/// out = alpha · a · b + beta · out, of matrices in any order of memory; out in C order.
pub(crate) fn gemm<T: Float>(
    op: &'static str,
    alpha: T,
    a: &Array,
    b: &Array,
    beta: T,
    out: &mut [T],
) -> Result<()> {
    let (&[m, k], &[_, n]) = (a.shape(), b.shape()) else { return Ok(()) };
    if m == 0 || n == 0 {
        return Ok(());
    }
    if beta == T::ZERO {
        // The kernels promise to overwrite then, whatever is there; for no columns nobody does.
        out.fill(T::ZERO);
    }
    if k == 0 {
        out.iter_mut().for_each(|x| *x = *x * beta);
        return Ok(());
    }
    let (a_own, b_own) = (kernel_ready::<T>(a)?, kernel_ready::<T>(b)?);
    let failed = |e: ndarray::ShapeError| {
        let problem = format!("shapes {:?} and {:?}: {e}", a.shape(), b.shape());
        Error::shape(op, problem, "make both contiguous")
    };
    let left = as_matrix::<T>(op, &a_own)?.map_err(failed)?;
    let right = as_matrix::<T>(op, &b_own)?.map_err(failed)?;
    let mut target = ArrayViewMut2::from_shape((m, n), out).map_err(failed)?;
    general_mat_mul(alpha, &left, &right, beta, &mut target);
    Ok(())
}

/// The matrix with strides that a view of ndarray can have.
fn kernel_ready<T: Element>(x: &Array) -> Result<Cow<'_, Array>> {
    if x.strides().iter().all(|&s| s >= 0) {
        return Ok(Cow::Borrowed(x));
    }
    Ok(Cow::Owned(Array::from_vec(x.to_vec::<T>()?, x.shape())?))
}

fn as_matrix<'a, T: Element>(
    op: &'static str,
    x: &'a Array,
) -> Result<Result<ArrayView2<'a, T>, ndarray::ShapeError>> {
    let (&[m, n], &[s, t]) = (x.shape(), x.strides()) else {
        return Err(Error::shape(op, format!("shape {:?}", x.shape()), "give a matrix"));
    };
    let all = x.elements::<T>(op)?;
    let part = &all[x.layout.offset.min(all.len())..];
    Ok(ArrayView2::from_shape((m, n).strides((s as usize, t as usize)), part))
}

/// The gradients of [`matmul`] for `a` and `b`: grad · bᵀ and aᵀ · grad, summed where the first
/// dimensions were broadcast.
///
/// # Errors
/// [`Error::Shape`] where `grad` is not of the product's shape, and as [`matmul`].
pub fn matmul_backward(grad: &Array, a: &Array, b: &Array) -> Result<(Array, Array)> {
    const OP: &str = "matmul_backward";
    if a.ndim() == 0 || b.ndim() == 0 {
        let problem = format!("shapes {:?} and {:?}", a.shape(), b.shape());
        return Err(Error::shape(OP, problem, "give the arrays that were multiplied"));
    }
    let left = if a.ndim() == 1 { a.unsqueeze(0)? } else { a.clone() };
    let right = if b.ndim() == 1 { b.unsqueeze(1)? } else { b.clone() };
    let mut grad = grad.clone();
    if b.ndim() == 1 {
        grad = grad.unsqueeze(-1)?;
    }
    if a.ndim() == 1 {
        grad = grad.unsqueeze(-2)?;
    }
    let for_a = matmul(&grad, &right.transpose(-1, -2)?)?;
    // With one matrix for the whole batch its gradient is a single product over all rows.
    let for_b = if right.ndim() == 2 && left.ndim() > 2 && grad.ndim() == left.ndim() {
        let rows = |x: &Array| x.flatten(0, -2);
        matmul(&rows(&left)?.t()?, &rows(&grad)?)?
    } else {
        matmul(&left.transpose(-1, -2)?, &grad)?
    };
    let back = |grad: Array, to: &Array, own: &Array| -> Result<Array> {
        let sizes: Vec<isize> = own.shape().iter().map(|&n| n as isize).collect();
        sum_to_shape(&grad, to.shape())?.reshape(&sizes)
    };
    Ok((back(for_a, &left, a)?, back(for_b, &right, b)?))
}

/// The gradients of [`addmm`] for `input`, `a` and `b`: beta · grad, alpha · grad · bᵀ and
/// alpha · aᵀ · grad; the first is summed where the input was broadcast.
///
/// # Errors
/// [`Error::Shape`] where `grad` is not of the result's shape, and as [`matmul`].
pub fn addmm_backward(
    grad: &Array,
    input: &Array,
    a: &Array,
    b: &Array,
    beta: f64,
    alpha: f64,
) -> Result<(Array, Array, Array)> {
    let for_input = sum_to_shape(&crate::mul(grad, beta)?, input.shape())?;
    let (for_a, for_b) = matmul_backward(&crate::mul(grad, alpha)?, a, b)?;
    Ok((for_input, for_a, for_b))
}
