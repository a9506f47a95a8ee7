//! One of several values for each element.

use super::loops::map3;
use super::prepare;
use crate::element::{by_number, by_type};
use crate::number::Number;
use crate::{Array, DType, Error, Operand, Result, maximum, minimum, result_type};

/// a where the condition is true, b elsewhere: `torch.where`.
///
/// Shapes broadcast, and the type is [`result_type`]'s of `a` and `b`.
///
/// # Errors
/// [`Error::DType`] for a condition that is not bool, [`Error::Shape`] where the shapes do not
/// broadcast.
///
/// ```
/// use numpack_host_ops::{Array, gt, where_};
/// let x = Array::from_slice(&[-1.0_f32, 2.0], &[2])?;
/// assert_eq!(where_(&gt(&x, 0)?, &x, 0.0)?.to_vec::<f32>()?, [0.0, 2.0]);
/// # Ok::<(), numpack_host_ops::Error>(())
/// ```
pub fn where_<'a>(
    condition: &Array,
    a: impl Into<Operand<'a>>,
    b: impl Into<Operand<'a>>,
) -> Result<Array> {
    const OP: &str = "where";
    if condition.dtype() != DType::Bool {
        let problem = format!("the condition is {}", condition.dtype());
        return Err(Error::dtype(OP, problem, "compare it with something, or cast it to bool"));
    }
    let (a, b) = (a.into(), b.into());
    let dtype = result_type(&[a, b]);
    let (a, b) = (prepare(a, dtype)?.cast(dtype)?, prepare(b, dtype)?.cast(dtype)?);
    by_type!(dtype, T => {
        map3::<bool, T, T, T>(OP, [condition, &a, &b], |c, x, y| if c { x } else { y })
    })
}

/// x, but no less than `min` and no more than `max`: `torch.clamp`. `max` where `min` is above it;
/// NaN where anything is.
///
/// Shapes broadcast, and the type is [`result_type`]'s of all that is given.
///
/// # Errors
/// [`Error::Parameter`] where neither is given; [`Error::DType`] for bool; else as
/// [`add`](crate::add).
pub fn clamp<'a>(
    x: &'a Array,
    min: Option<Operand<'a>>,
    max: Option<Operand<'a>>,
) -> Result<Array> {
    const OP: &str = "clamp";
    let x = Operand::Array(x);
    let given: Vec<Operand<'_>> = [Some(x), min, max].into_iter().flatten().collect();
    let dtype = result_type(&given);
    if dtype == DType::Bool {
        return Err(crate::element::no_numbers(OP, dtype));
    }
    let wide = |operand| prepare(operand, dtype);
    match (min, max) {
        (Some(min), Some(max)) => by_number!(OP, dtype.compute(), T => {
            let all = [&wide(x)?, &wide(min)?, &wide(max)?];
            map3::<T, T, T, T>(OP, all, |x, min, max| x.greater(min).smaller(max))
        })?
        .cast(dtype),
        (Some(min), None) => maximum(&wide(x)?, &wide(min)?)?.cast(dtype),
        (None, Some(max)) => minimum(&wide(x)?, &wide(max)?)?.cast(dtype),
        (None, None) => Err(Error::parameter(OP, "neither min nor max", "give one of them")),
    }
}
