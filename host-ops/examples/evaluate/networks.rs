//! Norms, indexing, losses, optimisers and random numbers.

use numpack_host_ops as ops;
use numpack_host_ops::optim::{Adam, Sgd, clip_grad_norm};
use numpack_host_ops::random::{self, Place};
use numpack_host_ops::{Array, CrossEntropy, DType, Reduction};

use crate::request::{Outcome, Request};

pub(crate) fn evaluate(r: &Request) -> Option<Outcome> {
    let families = [norms, indexing, losses, optimisers, numbers];
    families.into_iter().find_map(|family| match family(r) {
        Ok(result) => result.map(|result| result.map_err(|e| e.to_string())),
        Err(e) => Some(Err(e)),
    })
}

type Named = Result<Option<ops::Result<Vec<Array>>>, String>;

fn one(array: ops::Result<Array>) -> ops::Result<Vec<Array>> {
    array.map(|array| vec![array])
}

fn norms(r: &Request) -> Named {
    let shape = r.sizes("shape");
    let eps = if r.has("eps") { Some(r.float("eps")?) } else { None };
    let grads =
        |all: ops::Result<ops::NormGrads>| all.map(|all| vec![all.input, all.weight, all.bias]);
    Ok(Some(match r.op.as_str() {
        "layer_norm" => {
            let eps = r.float("eps")?;
            one(ops::layer_norm(r.array(0)?, &shape, r.optional(1)?, r.optional(2)?, eps))
        }
        "layer_norm_backward" => {
            let (grad, x, weight) = (r.array(0)?, r.array(1)?, r.optional(2)?);
            grads(ops::layer_norm_backward(grad, x, &shape, weight, r.float("eps")?))
        }
        "rms_norm" => one(ops::rms_norm(r.array(0)?, &shape, r.optional(1)?, eps)),
        "rms_norm_backward" => {
            let (grad, x, weight) = (r.array(0)?, r.array(1)?, r.optional(2)?);
            grads(ops::rms_norm_backward(grad, x, &shape, weight, eps))
        }
        _ => return Ok(None),
    }))
}

fn indexing(r: &Request) -> Named {
    let dim = if r.has("dim") { r.int("dim")? as isize } else { 0 };
    let shape = r.sizes("shape");
    Ok(Some(match r.op.as_str() {
        "index_select" => one(ops::index_select(r.array(0)?, dim, r.array(1)?)),
        "index_select_backward" => {
            one(ops::index_select_backward(r.array(0)?, &shape, dim, r.array(1)?))
        }
        "index_add" => {
            let alpha = r.float("alpha")?;
            one(ops::index_add(r.array(0)?, dim, r.array(1)?, r.array(2)?, alpha))
        }
        "index_add_backward" => {
            let alpha = r.float("alpha")?;
            one(ops::index_add_backward(r.array(0)?, dim, r.array(1)?, alpha))
        }
        "scatter_add_backward" => one(ops::scatter_add_backward(r.array(0)?, dim, r.array(1)?)),
        "gather" => one(ops::gather(r.array(0)?, dim, r.array(1)?)),
        "gather_backward" => one(ops::gather_backward(r.array(0)?, &shape, dim, r.array(1)?)),
        "scatter_add" => one(ops::scatter_add(r.array(0)?, dim, r.array(1)?, r.array(2)?)),
        "embedding" => one(ops::embedding(r.array(0)?, r.array(1)?)),
        "embedding_backward" => {
            let padding =
                if r.has("padding_idx") { Some(r.int("padding_idx")? as usize) } else { None };
            let rows = r.int("rows")? as usize;
            one(ops::embedding_backward(r.array(0)?, r.array(1)?, rows, padding))
        }
        "slice_backward" => {
            let (start, stop, step) = (r.int("start")?, r.int("stop")?, r.int("step")?);
            one(ops::slice_backward(r.array(0)?, &shape, dim, start, stop, step))
        }
        "select_backward" => one(ops::select_backward(r.array(0)?, &shape, dim, r.int("index")?)),
        "permute_backward" => one(ops::permute_backward(r.array(0)?, &r.dims("dims"))),
        "cat" => one(ops::cat(&r.arrays(0)?, dim)),
        "cat_backward" => ops::cat_backward(r.array(0)?, &r.sizes("sizes"), dim),
        "stack" => one(ops::stack(&r.arrays(0)?, dim)),
        "stack_backward" => ops::stack_backward(r.array(0)?, dim),
        _ => return Ok(None),
    }))
}

fn reduction(r: &Request) -> Reduction {
    match r.word("reduction") {
        "none" => Reduction::None,
        "sum" => Reduction::Sum,
        _ => Reduction::Mean,
    }
}

/// Inputs are the gradient where there is one, the input, the target, and weights.
fn losses(r: &Request) -> Named {
    let at = usize::from(r.op.ends_with("_backward"));
    let options = || -> Result<CrossEntropy, String> {
        let default = CrossEntropy::default();
        Ok(CrossEntropy {
            weight: r.optional(at + 2)?.cloned(),
            ignore_index: if r.has("ignore_index") { r.int("ignore_index")? } else { -100 },
            label_smoothing: if r.has("label_smoothing") {
                r.float("label_smoothing")?
            } else {
                default.label_smoothing
            },
            reduction: reduction(r),
        })
    };
    Ok(Some(match r.op.as_str() {
        "cross_entropy" => one(ops::cross_entropy(r.array(0)?, r.array(1)?, &options()?)),
        "cross_entropy_backward" => {
            let (grad, x, target) = (r.array(0)?, r.array(1)?, r.array(2)?);
            one(ops::cross_entropy_backward(grad, x, target, &options()?))
        }
        "nll_loss" => one(ops::nll_loss(r.array(0)?, r.array(1)?, &options()?)),
        "nll_loss_backward" => {
            let (grad, x, target) = (r.array(0)?, r.array(1)?, r.array(2)?);
            one(ops::nll_loss_backward(grad, x, target, &options()?))
        }
        "mse_loss" => one(ops::mse_loss(r.array(0)?, r.array(1)?, reduction(r))),
        "mse_loss_backward" => {
            one(ops::mse_loss_backward(r.array(0)?, r.array(1)?, r.array(2)?, reduction(r)))
        }
        _ => return Ok(None),
    }))
}

/// Inputs are parameters, gradients and state; outputs what parameters and state become.
fn optimisers(r: &Request) -> Named {
    if !matches!(r.op.as_str(), "sgd" | "adam" | "clip_grad_norm") {
        return Ok(None);
    }
    Ok(Some(match r.array(0)?.dtype() {
        DType::F64 => optimise::<f64>(r)?,
        _ => optimise::<f32>(r)?,
    }))
}

fn optimise<T: ops::optim::Real>(r: &Request) -> Result<ops::Result<Vec<Array>>, String> {
    let mut all: Vec<Vec<T>> = Vec::new();
    for array in r.arrays(0)? {
        all.push(array.to_vec().map_err(|e| e.to_string())?);
    }
    let step = if r.has("step") { r.int("step")? as u64 } else { 1 };
    let done = match (r.op.as_str(), &mut all[..]) {
        ("sgd", [params, grads, rest @ ..]) => {
            let options = Sgd {
                lr: r.float("lr")?,
                momentum: r.float("momentum")?,
                dampening: r.float("dampening")?,
                weight_decay: r.float("weight_decay")?,
                nesterov: r.flag("nesterov"),
            };
            let buffer = rest.first_mut().map_or(&mut [][..], |b| b);
            options.step(params, grads, buffer, step)
        }
        ("adam", [params, grads, mean, squares, rest @ ..]) => {
            let options = Adam {
                lr: r.float("lr")?,
                betas: (r.float("beta1")?, r.float("beta2")?),
                eps: r.float("eps")?,
                weight_decay: r.float("weight_decay")?,
                decoupled: r.flag("decoupled"),
            };
            let max = rest.first_mut().map(|max| &mut max[..]);
            options.step(params, grads, mean, squares, max, step)
        }
        ("clip_grad_norm", [grads, ..]) => {
            clip_grad_norm(grads, r.float("max_norm")?).map(|norm| {
                all.push(vec![T::of(norm)]);
            })
        }
        _ => return Err("inputs are missing".to_owned()),
    };
    Ok(done.and_then(|()| {
        all.into_iter()
            .map(|v| {
                let n = v.len();
                Array::from_vec(v, &[n])
            })
            .collect()
    }))
}

fn numbers(r: &Request) -> Named {
    let shape = r.sizes("shape");
    let place = || -> Result<Place, String> {
        Ok(Place { seed: r.int("seed")? as u64, offset: r.int("offset")? as u64 })
    };
    Ok(Some(match r.op.as_str() {
        "uniform" => {
            let (low, high) = (r.float("low")?, r.float("high")?);
            one(random::uniform(&shape, low, high, r.dtype("dtype")?, place()?))
        }
        "normal" => {
            let (mean, std) = (r.float("mean")?, r.float("std")?);
            one(random::normal(&shape, mean, std, r.dtype("dtype")?, place()?))
        }
        "integers" => one(random::integers(&shape, r.int("low")?, r.int("high")?, place()?)),
        "bernoulli" => one(random::bernoulli(&shape, r.float("p")?, place()?)),
        "dropout" => {
            let both = random::dropout(r.array(0)?, r.float("p")?, place()?);
            both.map(|(y, mask)| vec![y, mask])
        }
        "dropout_backward" => {
            one(random::dropout_backward(r.array(0)?, r.array(1)?, r.float("p")?))
        }
        _ => return Ok(None),
    }))
}
