//! Computes what it is asked to, for checks against PyTorch: a request a line, in JSON.
//!
//! A request names a `.pt` file of tensors, a device (`cpu` or `vulkan`), steps that compute more of
//! them (see `steps`), and a file for the result. Or it describes training (see `training`). The answer is
//! a line: `ok`, or what went wrong.

mod modules;
mod steps;
mod training;

use std::collections::HashMap;
use std::io::{BufRead, Write};

use anyhow::{Context, Result, bail};
use numpack_interop::nn::{load_state, save_state};
use numpack_nn::{Device, Tensor, manual_seed};
use serde_json::Value as Json;

/// Tensors by their names.
type Names = HashMap<String, Tensor>;

fn main() -> Result<()> {
    let mut gpu = None;
    for line in std::io::stdin().lock().lines() {
        let answer = match serve(&serde_json::from_str(&line?)?, &mut gpu) {
            Ok(()) => "ok".to_owned(),
            Err(e) => format!("{e:#}").replace('\n', " "),
        };
        println!("{answer}");
        std::io::stdout().flush()?;
    }
    Ok(())
}

fn serve(request: &Json, gpu: &mut Option<Device>) -> Result<()> {
    let device = match text(request, "device")? {
        "cpu" => Device::Cpu,
        "vulkan" => match gpu {
            Some(device) => device.clone(),
            None => {
                let options = vulkan_core::DeviceOptions::new();
                gpu.insert(vulkan_core::Device::open(&options)?.stream()?.into()).clone()
            }
        },
        other => bail!("no device {other:?}"),
    };
    manual_seed(0);
    let mut names = Names::new();
    for (name, t) in load_state(text(request, "file")?, None)? {
        names.insert(name, t.to_device(&device)?);
    }
    if !request["training"].is_null() {
        return training::run(&request["training"], &device, &names, text(request, "result")?);
    }
    for name in list(request, "leaves") {
        let leaf = names.get(name).with_context(|| format!("no tensor {name:?}"))?;
        names.insert(name.to_owned(), leaf.detach().requires_grad_(true)?);
    }
    let module = match &request["module"] {
        Json::Null => None,
        of => Some(modules::make(of, &names, &device)?),
    };
    for step in request["steps"].as_array().into_iter().flatten() {
        let made =
            steps::run(step, &names, module.as_deref()).with_context(|| format!("step {step}"))?;
        names.insert(text(step, "out")?.to_owned(), made);
    }
    let mut results = Vec::new();
    for name in list(request, "outputs") {
        results.push((name.to_owned(), names[name].detach()));
    }
    if let Some(root) = request["backward"].as_str() {
        names[root].backward()?;
        for name in list(request, "leaves") {
            if let Some(grad) = names[name].grad() {
                results.push((format!("grad {name}"), grad));
            }
        }
        for (name, p) in module.iter().flat_map(|m| modules::parameters(&**m)) {
            if let Some(grad) = p.grad() {
                results.push((format!("grad {name}"), grad));
            }
        }
    }
    Ok(save_state(text(request, "result")?, &results, true)?)
}

fn text<'a>(json: &'a Json, key: &str) -> Result<&'a str> {
    json[key].as_str().with_context(|| format!("no text {key:?}"))
}

fn list<'a>(json: &'a Json, key: &str) -> Vec<&'a str> {
    json[key].as_array().into_iter().flatten().filter_map(Json::as_str).collect()
}
