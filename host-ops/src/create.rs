//! New arrays.

use crate::cast::cast_scalar;
use crate::element::by_type;
use crate::layout::{numel, room};
use crate::{Array, DType, Error, Result, Scalar};

impl Array {
    /// Zeros: `torch.zeros`.
    ///
    /// # Errors
    /// [`Error::Shape`] for a shape beyond counting, [`Error::OutOfMemory`].
    pub fn zeros(shape: &[usize], dtype: DType) -> Result<Array> {
        Array::full(shape, 0, dtype)
    }

    /// Ones: `torch.ones`.
    ///
    /// # Errors
    /// As [`zeros`](Array::zeros).
    pub fn ones(shape: &[usize], dtype: DType) -> Result<Array> {
        Array::full(shape, 1, dtype)
    }

    /// One value everywhere, converted as [`cast`](Array::cast) does: `torch.full`.
    ///
    /// # Errors
    /// As [`zeros`](Array::zeros).
    pub fn full(shape: &[usize], value: impl Into<Scalar>, dtype: DType) -> Result<Array> {
        let n = numel("full", shape)?;
        let value = value.into();
        by_type!(dtype, T => {
            let mut out = room::<T>(n)?;
            out.resize(n, cast_scalar(value));
            Array::from_vec(out, shape)
        })
    }

    /// `start`, `start + step`, … up to before `end`: `torch.arange`. Without a type it is int64 for
    /// integers, and float32 if one of them is a float. Element `i` is `start + i · step`, computed
    /// in int64 for integers and in float64 for floats.
    ///
    /// # Errors
    /// [`Error::Parameter`] where the step is 0 or leads away from the end, or nothing is finite;
    /// [`Error::OutOfMemory`].
    ///
    /// ```
    /// use numpack_host_ops::{Array, DType};
    /// assert_eq!(Array::arange(1, 10, 3, None)?.to_vec::<i64>()?, [1, 4, 7]);
    /// # Ok::<(), numpack_host_ops::Error>(())
    /// ```
    pub fn arange(
        start: impl Into<Scalar>,
        end: impl Into<Scalar>,
        step: impl Into<Scalar>,
        dtype: Option<DType>,
    ) -> Result<Array> {
        let (start, end, step) = (start.into(), end.into(), step.into());
        let refuse = || {
            let problem = format!("from {start:?} to {end:?} by {step:?}");
            Error::parameter("arange", problem, "give a finite step that leads to the end")
        };
        let given = [start, end, step];
        if let [Ok(a), Ok(z), Ok(d)] = given.map(integer) {
            let (from, to, by) = (i128::from(a), i128::from(z), i128::from(d));
            if by == 0 || (to - from).signum() == -by.signum() {
                return Err(refuse());
            }
            let n = (to - from).unsigned_abs().div_ceil(by.unsigned_abs());
            let n = usize::try_from(n).map_err(|_| refuse())?;
            numel("arange", &[n])?;
            let mut out = room(n)?;
            out.extend((0..n as i64).map(|i| a.wrapping_add(i.wrapping_mul(d))));
            return Array::from_vec::<i64>(out, &[n])?.cast(dtype.unwrap_or(DType::I64));
        }
        let [a, z, d] = given.map(Scalar::as_f64);
        let n = ((z - a) / d).ceil();
        // 2^53 is as far as a double counts; NaN is refused too.
        let finite = a.is_finite() && z.is_finite() && d.is_finite();
        // A step away from the end is refused even where less than one step is missing.
        if !finite || !(0.0..9e15).contains(&n) || (z - a) * d < 0.0 {
            return Err(refuse());
        }
        let n = n as usize;
        let mut out = room(n)?;
        out.extend((0..n).map(|i| a + i as f64 * d));
        Array::from_vec::<f64>(out, &[n])?.cast(dtype.unwrap_or(DType::F32))
    }
}

fn integer(value: Scalar) -> Result<i64, ()> {
    match value {
        Scalar::Bool(b) => Ok(i64::from(b)),
        Scalar::Int(i) => Ok(i),
        Scalar::Float(_) => Err(()),
    }
}
