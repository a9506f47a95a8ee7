//! Training: a module, an optimiser, tensors `x` and `y`, and a number of steps. The result has the
//! losses and the parameters.

use anyhow::{Result, bail};
use numpack_interop::nn::save_state;
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
    let losses = Tensor::stack(&losses.iter().collect::<Vec<_>>(), 0)?;
    let mut state = module.state_dict();
    state.push(("losses".into(), losses));
    Ok(save_state(result, &state, true)?)
}
