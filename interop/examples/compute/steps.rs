//! One operation: `{"out": name, "op": name, "in": [names], …arguments}`.

use anyhow::{Context, Result, bail};
use numpack_nn::{CrossEntropy, DType, Module, Reduction, Scalar, Tensor};
use serde_json::Value as Json;

use crate::{Names, list, text};

pub(crate) fn reduction(json: &Json) -> Result<Reduction> {
    Ok(match json["reduction"].as_str() {
        Some("none") => Reduction::None,
        Some("sum") => Reduction::Sum,
        None | Some("mean") => Reduction::Mean,
        Some(other) => bail!("no reduction {other:?}"),
    })
}

fn ints(json: &Json, key: &str) -> Vec<isize> {
    json[key]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Json::as_i64)
        .map(|i| i as isize)
        .collect()
}

fn int(json: &Json, key: &str) -> Result<isize> {
    Ok(json[key].as_i64().with_context(|| format!("no whole number {key:?}"))? as isize)
}

fn float(json: &Json, key: &str) -> Result<f64> {
    json[key].as_f64().with_context(|| format!("no number {key:?}"))
}

fn number(json: &Json) -> Result<Scalar> {
    Ok(match json.as_i64() {
        Some(i) => i.into(),
        None => json.as_f64().context("no number")?.into(),
    })
}

pub(crate) fn run(step: &Json, names: &Names, module: Option<&dyn Module>) -> Result<Tensor> {
    let inputs = list(step, "in");
    let all: Vec<&Tensor> = inputs
        .iter()
        .map(|name| names.get(*name).with_context(|| format!("no tensor {name:?}")))
        .collect::<Result<_>>()?;
    let x = *all.first().context("no input")?;
    let second = || all.get(1).copied().context("one input");
    let op = text(step, "op")?;
    let (dims, keep) = (ints(step, "dims"), step["keepdim"].as_bool().unwrap_or(false));
    macro_rules! with {
        ($($name:ident),*) => {
            match &step["number"] {
                Json::Null => match op { $(stringify!($name) => x.$name(second()?),)* _ => bail!("no {op}") },
                n => match op { $(stringify!($name) => x.$name(number(n)?),)* _ => bail!("no {op}") },
            }
        };
    }
    Ok(match op {
        "module" => module.context("no module")?.forward(x),
        "neg" => x.neg(),
        "abs" => x.abs(),
        "exp" => x.exp(),
        "log" => x.log(),
        "sqrt" => x.sqrt(),
        "rsqrt" => x.rsqrt(),
        "reciprocal" => x.reciprocal(),
        "square" => x.square(),
        "sin" => x.sin(),
        "cos" => x.cos(),
        "tanh" => x.tanh(),
        "sigmoid" => x.sigmoid(),
        "relu" => x.relu(),
        "gelu" => x.gelu(),
        "gelu_tanh" => x.gelu_tanh(),
        "silu" => x.silu(),
        "add" | "sub" | "mul" | "div" | "pow" | "maximum" | "minimum" => {
            with!(add, sub, mul, div, pow, maximum, minimum)
        }
        "where" => second()?.where_(x, all[2]),
        "clamp" => x.clamp(step["min"].as_f64(), step["max"].as_f64()),
        "sum" => x.sum_dims(&dims, keep),
        "mean" => x.mean_dims(&dims, keep),
        "var" => x.var(&dims, float(step, "correction")?, keep),
        "amax" => x.amax(&dims, keep),
        "amin" => x.amin(&dims, keep),
        "matmul" => x.matmul(second()?),
        "linear" => x.linear(second()?, all.get(2).copied()),
        "softmax" => x.softmax(int(step, "dim")?),
        "log_softmax" => x.log_softmax(int(step, "dim")?),
        "layer_norm" | "rms_norm" => {
            let shape: Vec<usize> = ints(step, "shape").into_iter().map(|s| s as usize).collect();
            match op {
                "layer_norm" => x.layer_norm(
                    &shape,
                    all.get(1).copied(),
                    all.get(2).copied(),
                    float(step, "eps")?,
                ),
                _ => x.rms_norm(&shape, all.get(1).copied(), step["eps"].as_f64()),
            }
        }
        "embedding" => x.embedding(second()?, step["padding_idx"].as_u64().map(|i| i as usize)),
        "index_select" => x.index_select(int(step, "dim")?, second()?),
        "gather" => x.gather(int(step, "dim")?, second()?),
        "cat" => Tensor::cat(&all, int(step, "dim")?),
        "stack" => Tensor::stack(&all, int(step, "dim")?),
        "transpose" => x.transpose(dims[0], dims[1]),
        "permute" => x.permute(&dims),
        "reshape" => x.reshape(&dims),
        "expand" => x.expand(&dims),
        "select" => x.select(int(step, "dim")?, int(step, "index")? as i64),
        "slice" => x.slice(int(step, "dim")?, dims[0] as i64, dims[1] as i64, dims[2] as i64),
        "to" => x.to_dtype(DType::from_name(text(step, "dtype")?).context("no such type")?),
        "cross_entropy" | "nll_loss" => {
            let options = CrossEntropy {
                weight: all.get(2).map(|&w| w.clone()),
                ignore_index: step["ignore_index"].as_i64().unwrap_or(-100),
                label_smoothing: step["label_smoothing"].as_f64().unwrap_or(0.0),
                reduction: reduction(step)?,
            };
            match op {
                "cross_entropy" => x.cross_entropy(second()?, &options),
                _ => x.nll_loss(second()?, &options),
            }
        }
        "mse_loss" => x.mse_loss(second()?, reduction(step)?),
        "l1_loss" => x.l1_loss(second()?, reduction(step)?),
        "binary_cross_entropy_with_logits" => {
            x.binary_cross_entropy_with_logits(second()?, reduction(step)?)
        }
        other => bail!("no operation {other:?}"),
    }?)
}
