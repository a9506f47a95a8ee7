//! Training: a module, an optimiser, tensors `x` and `y`, and a number of steps. The result has the
//! states of the module and the optimiser, and is an error where the loss has not fallen. The optimiser goes on
//! with what another kept in the file `optimizer`, if that is named.

use anyhow::{Result, bail};
use numpack_interop::nn::{load_optimizer, save_training};
use numpack_nn::optim::{Adam, AdamOptions, Optimizer, Sgd, SgdOptions, clip_grad_norm};
use numpack_nn::{CrossEntropy, Device, ModuleExt, Reduction, Tensor};
use serde_json::Value as Json;

use crate::{Names, modules, text};

pub(crate) fn run(of: &Json, device: &Device, names: &Names, result: &str) -> Result<()> {
    let module = modules::make(&of["module"], names, device)?;
    let params = module.parameters();
    let number = |key: &str, default: f64| of["optimizer"][key].as_f64().unwrap_or(default);
    let mut optimizer: Box<dyn Optimizer> = match text(&of["optimizer"], "kind")? {
        "SGD" => {
            let options = SgdOptions {
                lr: number("lr", 0.001),
                momentum: number("momentum", 0.0),
                weight_decay: number("weight_decay", 0.0),
                nesterov: of["optimizer"]["nesterov"].as_bool().unwrap_or(false),
                ..SgdOptions::default()
            };
            Box::new(Sgd::new(params.clone(), options))
        }
        kind @ ("Adam" | "AdamW") => {
            let plain = match kind {
                "Adam" => AdamOptions::default(),
                _ => AdamOptions::adamw(),
            };
            let options = AdamOptions {
                lr: number("lr", plain.lr),
                weight_decay: number("weight_decay", plain.weight_decay),
                amsgrad: of["optimizer"]["amsgrad"].as_bool().unwrap_or(false),
                ..plain
            };
            Box::new(Adam::new(params.clone(), options))
        }
        other => bail!("no optimiser {other:?}"),
    };
    if let Some(file) = of["state"].as_str() {
        optimizer.load_state_dict(&load_optimizer(file, Some("optimizer"))?)?;
    }
    let (x, y) = (&names["x"], &names["y"]);
    let mut losses = Vec::new();
    for _ in 0..of["steps"].as_u64().unwrap_or(0) {
        let out = module.forward(x)?;
        let loss = match text(of, "loss")? {
            "cross_entropy" => out.cross_entropy(y, &CrossEntropy::default())?,
            "mse_loss" => out.mse_loss(y, Reduction::Mean)?,
            other => bail!("no loss {other:?}"),
        };
        optimizer.zero_grad();
        loss.backward()?;
        if let Some(norm) = of["clip"].as_f64() {
            clip_grad_norm(&params, norm)?;
        }
        optimizer.step()?;
        losses.push(loss.detach());
    }
    let losses: Vec<f64> = losses.iter().map(Tensor::item).collect::<Result<_, _>>()?;
    if losses.last() >= losses.first() {
        bail!("nothing is learnt: the losses are {losses:?}");
    }
    Ok(save_training(result, &module.state_dict(), &*optimizer, true)?)
}
