//! Operations on each element by itself.
//!
//! Every operation has the same steps: the type of the result by torch's rules, operands converted
//! to it, one loop ([`loops`]), and for halves, which are computed as float32, one rounding.

mod activation;
mod backward;
mod binary;
mod choose;
mod compare;
pub(crate) mod loops;
mod unary;

pub use activation::{Approximate, gelu, leaky_relu, relu, sigmoid, silu};
pub(crate) use activation::{gelu_tanh, relu_of, silu_of};
pub use backward::{
    abs_backward, add_backward, clamp_backward, cos_backward, div_backward, erf_backward,
    exp_backward, gelu_backward, leaky_relu_backward, log_backward, log1p_backward,
    maximum_backward, minimum_backward, mul_backward, neg_backward, pow_backward,
    reciprocal_backward, relu_backward, remainder_backward, rsqrt_backward, sigmoid_backward,
    sign_backward, silu_backward, sin_backward, sqrt_backward, square_backward, sub_backward,
    tanh_backward, where_backward,
};
pub use binary::{add, div, floor_divide, maximum, minimum, mul, pow, remainder, sub};
pub use choose::{clamp, where_};
pub use compare::{
    eq, ge, gt, isnan, le, logical_and, logical_not, logical_or, logical_xor, lt, ne,
};
pub use unary::{
    abs, cos, erf, exp, log, log1p, neg, reciprocal, rsqrt, sign, sin, sqrt, square, tanh,
};

use crate::{Array, DType, Operand, Result};

/// An operand in the type in which an operation computes that gives `dtype`.
///
/// Arrays with dimensions take the result's type first, so halves round; plain numbers, and arrays
/// without dimensions, keep the precision of the computation, as in torch.
/// An integer beyond the type wraps.
pub(crate) fn prepare(operand: Operand<'_>, dtype: DType) -> Result<Array> {
    match operand {
        Operand::Array(a) if a.ndim() > 0 => a.cast(dtype)?.cast(dtype.compute()),
        Operand::Array(a) => a.cast(dtype.compute()),
        Operand::Scalar(s) => Ok(Array::of_scalar(s, dtype.compute())),
    }
}
