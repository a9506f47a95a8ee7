//! Training on a Vulkan device by a step that is recorded once, beside torch on one thread of the host, and
//! grilly on the same device.

use std::time::Duration;

use anyhow::{Result, ensure};
use numpack_nn::optim::{Adam, AdamOptions};
use numpack_nn::{
    DType, Device, Linear, Module, ModuleExt, Objective, ReLU, Sequential, Tensor, TrainStep,
};
use vulkan_core::{DeviceOptions, Stream};

use crate::Settings;
use crate::peers::{self, Python};
use crate::table::{Bound, Row, Table};
use crate::timing::{Pairs, median, repeat, time};

/// All rows about training.
///
/// # Errors
/// When there is no device, or it fails.
pub fn train(s: &Settings, table: &mut Table) -> Result<()> {
    let device = vulkan_core::Device::open(&DeviceOptions::new())?;
    let stream = device.stream()?;
    eprintln!("on {}", device.info());
    let networks: [(&str, u32, usize, &[usize], Bound); 2] = [
        ("small classifier, 10-20-2", 100, 100, &[10, 20, 2], Bound::Ratio(1.0)),
        ("network, 784-512-512-10", 10, 128, &[784, 512, 512, 10], Bound::None),
    ];
    for (name, epochs, batch, sizes, bound) in networks {
        network(&stream, s, table, (name, epochs, batch, sizes), bound)?;
    }
    Ok(())
}

fn network(
    stream: &Stream,
    s: &Settings,
    table: &mut Table,
    (name, epochs, batch, sizes): (&str, u32, usize, &[usize]),
    bound: Bound,
) -> Result<()> {
    let device = Device::from(stream.clone());
    let mut model = Sequential::new();
    for pair in sizes.windows(2) {
        if !model.is_empty() {
            model = model.add(ReLU);
        }
        model = model.add(Linear::new(pair[0], pair[1], true)?);
    }
    model.to_device(&device)?;
    let x = Tensor::randn(&[batch, sizes[0]], DType::F32, &device)?;
    let y = Tensor::zeros(&[batch], DType::I64, &device)?;
    let adam = Adam::new(model.parameters(), AdamOptions { lr: 0.01, ..Default::default() });
    let mut step = TrainStep::new(adam, &[&x, &y], move |inputs| {
        Ok(Objective::cross_entropy(model.forward(&inputs[0])?, &inputs[1]))
    })?;
    let inputs = step.inputs().to_vec();
    let mut run = |times: u32| -> Result<f64> {
        for _ in 0..times {
            step.run(&[&inputs[0], &inputs[1]])?;
        }
        Ok(step.item()?)
    };
    run(1)?;
    let before = stream.device().usage();
    ensure!(run(epochs)?.is_finite(), "the loss is not finite");
    let after = stream.device().usage();
    let each = |now: u64, then: u64| (now - then) as f64 / f64::from(epochs);
    // The loss is computed and read once.
    eprintln!(
        "{name}: {:.2} kernels, {:.2} submits, {:.0} bytes up and {:.0} down in a step",
        each(after.dispatches, before.dispatches),
        each(after.submits, before.submits),
        each(after.uploaded_bytes, before.uploaded_bytes),
        each(after.downloaded_bytes, before.downloaded_bytes)
    );
    let mut ours = || -> Result<Duration> { time(|| run(epochs)) };
    let what = format!("{name}, batch of {batch}, {epochs} steps, recorded");
    let sizes: Vec<String> = sizes.iter().map(usize::to_string).collect();
    let question = format!("{epochs} {batch} {}", sizes.join(" "));
    match Python::start(peers::TORCH_TRAINING)? {
        Some((mut python, version)) => {
            let pairs = Pairs::measure(s.pairs * 3, &mut ours, || python.ask(&question))?;
            table.push(Row::pairs(what.clone(), &version, &pairs, bound));
        }
        None => {
            let reason = format!("torch is not there; name its Python in {}", peers::PYTHON);
            let alone = median(&repeat(s.pairs, &mut ours)?);
            table.push(Row::alone(what.clone(), alone, reason, bound));
        }
    }
    let device = &stream.device().info().name;
    match Python::start_named(peers::VULKAN_PYTHON, peers::GRILLY_TRAINING, &[device])? {
        Some((mut python, version)) => {
            let pairs = Pairs::measure(s.pairs, ours, || python.ask(&question))?;
            table.push(Row::pairs(what, &version, &pairs, Bound::None));
        }
        None => {
            let reason = "grilly is not there; cargo xtask vulkan peers fetches it".to_owned();
            table.push(Row::alone(what, median(&repeat(s.pairs, ours)?), reason, Bound::None));
        }
    }
    Ok(())
}
