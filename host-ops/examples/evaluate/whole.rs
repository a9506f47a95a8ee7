//! Operations that look at many elements at once.

use numpack_host_ops as ops;
use numpack_host_ops::{Activation, Array};

use crate::elementwise::approximate;
use crate::request::{Outcome, Request};

pub(crate) fn activation(r: &Request) -> Activation {
    match r.word("activation") {
        "relu" => Activation::Relu,
        "gelu" => Activation::Gelu(approximate(r)),
        "silu" => Activation::Silu,
        "tanh" => Activation::Tanh,
        "sigmoid" => Activation::Sigmoid,
        _ => Activation::None,
    }
}

fn one_dim(r: &Request) -> Result<Option<isize>, String> {
    Ok(if r.has("dim") { Some(r.int("dim")? as isize) } else { None })
}

pub(crate) fn evaluate(r: &Request) -> Option<Outcome> {
    match named(r) {
        Ok(result) => result.map(|result| result.map_err(|e| e.to_string())),
        Err(e) => Some(Err(e)),
    }
}

fn named(r: &Request) -> Result<Option<ops::Result<Vec<Array>>>, String> {
    let one = |array: ops::Result<Array>| array.map(|array| vec![array]);
    let two = |arrays: ops::Result<(Array, Array)>| arrays.map(|(a, b)| vec![a, b]);
    let (dims, keepdim) = (r.dims("dims"), r.flag("keepdim"));
    Ok(Some(match r.op.as_str() {
        "sum" => one(ops::sum(r.array(0)?, &dims, keepdim)),
        "prod" => one(ops::prod(r.array(0)?, &dims, keepdim)),
        "mean" => one(ops::mean(r.array(0)?, &dims, keepdim)),
        "var" => one(ops::var(r.array(0)?, &dims, r.float("correction")?, keepdim)),
        "std" => one(ops::std(r.array(0)?, &dims, r.float("correction")?, keepdim)),
        "amax" => one(ops::amax(r.array(0)?, &dims, keepdim)),
        "amin" => one(ops::amin(r.array(0)?, &dims, keepdim)),
        "argmax" => one(ops::argmax(r.array(0)?, one_dim(r)?, keepdim)),
        "argmin" => one(ops::argmin(r.array(0)?, one_dim(r)?, keepdim)),
        "max" => two(ops::max_with_indices(r.array(0)?, r.int("dim")? as isize, keepdim)),
        "min" => two(ops::min_with_indices(r.array(0)?, r.int("dim")? as isize, keepdim)),
        "count_nonzero" => one(ops::count_nonzero(r.array(0)?, &dims)),
        "sum_to_shape" => one(ops::sum_to_shape(r.array(0)?, &r.sizes("shape"))),
        "softmax" => one(ops::softmax(r.array(0)?, r.int("dim")? as isize)),
        "log_softmax" => one(ops::log_softmax(r.array(0)?, r.int("dim")? as isize)),
        "matmul" => one(ops::matmul(r.array(0)?, r.array(1)?)),
        "addmm" => {
            let (beta, alpha) = (r.float("beta")?, r.float("alpha")?);
            one(ops::addmm(r.array(0)?, r.array(1)?, r.array(2)?, beta, alpha))
        }
        "linear" => one(ops::linear(r.array(0)?, r.array(1)?, r.optional(2)?, activation(r))),
        _ => return Ok(None),
    }))
}
