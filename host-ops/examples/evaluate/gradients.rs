//! Gradients.

use numpack_host_ops as ops;
use numpack_host_ops::Array;

use crate::elementwise::approximate;
use crate::request::{Outcome, Request};
use crate::whole::activation;

pub(crate) fn evaluate(r: &Request) -> Option<Outcome> {
    match named(r) {
        Ok(result) => result.map(|result| result.map_err(|e| e.to_string())),
        Err(e) => Some(Err(e)),
    }
}

fn named(r: &Request) -> Result<Option<ops::Result<Vec<Array>>>, String> {
    macro_rules! of_one {
        ($($name:ident)*) => {
            match r.op.as_str() {
                $(stringify!($name) => {
                    return Ok(Some(ops::$name(r.array(0)?, r.array(1)?).map(|g| vec![g])));
                })*
                _ => {}
            }
        };
    }
    of_one! {
        abs_backward exp_backward log_backward sqrt_backward sin_backward cos_backward
        tanh_backward sigmoid_backward relu_backward silu_backward log1p_backward rsqrt_backward
        reciprocal_backward square_backward erf_backward
    }
    macro_rules! of_two {
        ($($name:ident)*) => {
            match r.op.as_str() {
                $(stringify!($name) => {
                    let both = ops::$name(r.array(0)?, r.array(1)?, r.array(2)?);
                    return Ok(Some(both.map(|(a, b)| vec![a, b])));
                })*
                _ => {}
            }
        };
    }
    of_two! {
        add_backward sub_backward mul_backward div_backward maximum_backward minimum_backward
        matmul_backward remainder_backward
    }
    let one = |array: ops::Result<Array>| array.map(|array| vec![array]);
    let two = |arrays: ops::Result<(Array, Array)>| arrays.map(|(a, b)| vec![a, b]);
    let (dims, keepdim, shape) = (r.dims("dims"), r.flag("keepdim"), r.sizes("shape"));
    Ok(Some(match r.op.as_str() {
        "gelu_backward" => one(ops::gelu_backward(r.array(0)?, r.array(1)?, approximate(r))),
        "leaky_relu_backward" => {
            one(ops::leaky_relu_backward(r.array(0)?, r.array(1)?, r.float("slope")?))
        }
        "neg_backward" => one(ops::neg_backward(r.array(0)?)),
        "sign_backward" => one(ops::sign_backward(r.array(0)?)),
        "pow_backward" => {
            two(ops::pow_backward(r.array(0)?, r.array(1)?, r.array(2)?, r.array(3)?))
        }
        "clamp_backward" => one(ops::clamp_backward(
            r.array(0)?,
            r.array(1)?,
            r.optional_operand(2),
            r.optional_operand(3),
        )),
        "where_backward" => {
            two(ops::where_backward(r.array(0)?, r.array(1)?, r.array(2)?, r.array(3)?))
        }
        "sum_backward" => one(ops::sum_backward(r.array(0)?, &shape, &dims, keepdim)),
        "mean_backward" => one(ops::mean_backward(r.array(0)?, &shape, &dims, keepdim)),
        "prod_backward" => one(ops::prod_backward(r.array(0)?, r.array(1)?, &dims, keepdim)),
        "var_backward" => {
            let correction = r.float("correction")?;
            one(ops::var_backward(r.array(0)?, r.array(1)?, &dims, correction, keepdim))
        }
        "std_backward" => {
            let correction = r.float("correction")?;
            let (g, x, y) = (r.array(0)?, r.array(1)?, r.array(2)?);
            one(ops::std_backward(g, x, y, &dims, correction, keepdim))
        }
        "amax_backward" => {
            one(ops::amax_backward(r.array(0)?, r.array(1)?, r.array(2)?, &dims, keepdim))
        }
        "softmax_backward" => {
            one(ops::softmax_backward(r.array(0)?, r.array(1)?, r.int("dim")? as isize))
        }
        "log_softmax_backward" => {
            one(ops::log_softmax_backward(r.array(0)?, r.array(1)?, r.int("dim")? as isize))
        }
        "addmm_backward" => {
            let (g, input, a, b) = (r.array(0)?, r.array(1)?, r.array(2)?, r.array(3)?);
            let all = ops::addmm_backward(g, input, a, b, r.float("beta")?, r.float("alpha")?);
            all.map(|(input, a, b)| vec![input, a, b])
        }
        "linear_backward" => {
            let all = ops::linear_backward(r.array(0)?, r.array(1)?, r.array(2)?);
            all.map(|(x, weight, bias)| vec![x, weight, bias])
        }
        "activation_backward" => one(activation(r).backward(r.array(0)?, r.array(1)?)),
        _ => return Ok(None),
    }))
}
