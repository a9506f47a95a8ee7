//! Steps that are recorded once.

use numpack_nn::optim::{Adam, AdamOptions, Optimizer, Sgd, SgdOptions};
use numpack_nn::{
    CrossEntropy, DType, Device, Dropout, GELU, LayerNorm, Linear, Module, ModuleExt, Objective,
    ReLU, Reduction, Result, Sequential, Tensor, TrainStep, manual_seed,
};
use vulkan_core::DeviceOptions;

use crate::{classifier, data, stream, stream_with};

fn parameters(model: &Sequential) -> Result<Vec<Vec<f32>>> {
    model.parameters().iter().map(Tensor::to_vec::<f32>).collect()
}

fn step_of<O: Optimizer>(
    optimizer: O,
    model: &Sequential,
    inputs: &[&Tensor],
) -> Result<TrainStep<O>> {
    let network = model.clone();
    TrainStep::new(optimizer, inputs, move |all| {
        Ok(Objective::cross_entropy(network.forward(&all[0])?, &all[1]))
    })
}

/// With the bits of eager mode, whatever the optimiser, and with a learning rate that falls.
#[test]
fn a_recorded_step_is_the_eager_one() -> Result<()> {
    fn check<O: Optimizer>(
        device: &Device,
        make: impl Fn(Vec<Tensor>) -> O,
        set_lr: impl Fn(&mut O, f64),
    ) -> Result<()> {
        let train = |recorded: bool| -> Result<(Vec<f64>, Vec<Vec<f32>>)> {
            let model = classifier()?;
            model.to_device(device)?;
            let (x, y) = data(100)?;
            let (x, y) = (x.to_device(device)?, y.to_device(device)?);
            let mut losses = Vec::new();
            if recorded {
                let mut step = step_of(make(model.parameters()), &model, &[&x, &y])?;
                for i in 0..50 {
                    set_lr(step.optimizer(), 0.1 / f64::from(i + 1));
                    losses.push(step.run(&[&x, &y])?.item()?);
                }
                // And on from there, step by step.
                let mut optimizer = step.into_optimizer();
                for _ in 0..3 {
                    let loss = model.forward(&x)?.cross_entropy(&y, &CrossEntropy::default())?;
                    optimizer.zero_grad();
                    loss.backward()?;
                    optimizer.step()?;
                    losses.push(loss.item()?);
                }
            } else {
                let mut optimizer = make(model.parameters());
                for i in 0..53 {
                    if i < 50 {
                        set_lr(&mut optimizer, 0.1 / f64::from(i + 1));
                    }
                    let loss = model.forward(&x)?.cross_entropy(&y, &CrossEntropy::default())?;
                    optimizer.zero_grad();
                    loss.backward()?;
                    optimizer.step()?;
                    losses.push(loss.item()?);
                }
            }
            Ok((losses, parameters(&model)?))
        };
        let (eager, recorded) = (train(false)?, train(true)?);
        assert!(eager.0[52] < 0.95 * eager.0[0], "{:?}", eager.0);
        assert_eq!(recorded.0, eager.0);
        assert_eq!(recorded.1, eager.1);
        Ok(())
    }
    let Some(stream) = stream() else { return Ok(()) };
    let device = Device::from(stream);
    for options in [AdamOptions::default(), AdamOptions { amsgrad: true, ..AdamOptions::adamw() }] {
        check(&device, |p| Adam::new(p, options), |o, lr| o.groups[0].options.lr = lr)?;
    }
    for momentum in [0.0, 0.9] {
        let options = SgdOptions { lr: 0.1, momentum, weight_decay: 0.01, ..Default::default() };
        check(&device, |p| Sgd::new(p, options), |o, lr| o.groups[0].options.lr = lr)?;
    }
    Ok(())
}

/// Seven kernels and one submission, and nothing but the batch crosses the bus.
#[test]
fn the_small_classifier_takes_seven_kernels() -> Result<()> {
    let Some(stream) = stream() else { return Ok(()) };
    let device = Device::from(stream.clone());
    let model = classifier()?;
    model.to_device(&device)?;
    let (x, y) = data(100)?;
    let (there, classes) = (x.to_device(&device)?, y.to_device(&device)?);
    let adam = Adam::new(model.parameters(), AdamOptions { lr: 0.01, ..Default::default() });
    let mut step = step_of(adam, &model, &[&there, &classes])?;
    let first = step.run(&[&there, &classes])?.item()?;
    let count = |usage: vulkan_core::Usage| {
        [
            usage.dispatches,
            usage.submits,
            usage.uploaded_bytes,
            usage.downloaded_bytes,
            usage.live_bytes,
        ]
    };
    let before = count(stream.device().usage());
    for _ in 0..100 {
        step.run(&[&there, &classes])?;
    }
    let after = count(stream.device().usage());
    let [dispatches, submits, up, down, live] = std::array::from_fn(|i| after[i] - before[i]);
    assert!(dispatches <= 700, "{dispatches} kernels");
    // What is written into the inputs is handed over with the step that reads it.
    assert_eq!((submits, up, down, live), (100, 0, 0, 0));
    // From the host's memory: the batch.
    step.run(&[&x, &y])?;
    let up = stream.device().usage().uploaded_bytes - after[2];
    assert_eq!(up, 100 * 10 * 4 + 100 * 8);
    let last = step.item()?;
    assert!(last < 0.1 * first, "{first} to {last}");
    assert!(stream.device().messages().is_empty(), "{:?}", stream.device().messages());
    Ok(())
}

/// Other layers, a general loss, shared weights: gradients that are not written in place are copied.
#[test]
fn any_network() -> Result<()> {
    let Some(stream) = stream() else { return Ok(()) };
    let device = Device::from(stream);
    let train = |recorded: bool| -> Result<Vec<f64>> {
        manual_seed(4);
        let tied: std::sync::Arc<dyn Module> = std::sync::Arc::new(Linear::new(6, 6, true)?);
        let model = Sequential::new()
            .add_shared(tied.clone())
            .add(GELU::default())
            .add(LayerNorm::new(&[6])?)
            .add_shared(tied)
            .add(ReLU)
            .add(Linear::new(6, 3, false)?);
        model.to_device(&device)?;
        let x = Tensor::randn(&[20, 6], DType::F32, &device)?;
        let y = Tensor::randn(&[20, 3], DType::F32, &device)?;
        let options = AdamOptions { lr: 0.01, ..Default::default() };
        let mut optimizer = Adam::new(model.parameters(), options);
        let mut losses = Vec::new();
        if recorded {
            let mut step = TrainStep::new(optimizer, &[&x, &y], move |all| {
                Ok(model.forward(&all[0])?.mse_loss(&all[1], Reduction::Mean)?.into())
            })?;
            for _ in 0..20 {
                losses.push(step.run(&[&x, &y])?.item()?);
            }
        } else {
            for _ in 0..20 {
                let loss = model.forward(&x)?.mse_loss(&y, Reduction::Mean)?;
                optimizer.zero_grad();
                loss.backward()?;
                optimizer.step()?;
                losses.push(loss.item()?);
            }
        }
        Ok(losses)
    };
    let (eager, recorded) = (train(false)?, train(true)?);
    assert!(eager[19] < eager[0]);
    assert_eq!(recorded, eager);
    Ok(())
}

/// Batches of other sizes are other sequences over the same parameters, of which some are kept.
#[test]
fn steps_of_several_shapes() -> Result<()> {
    let Some(stream) = stream() else { return Ok(()) };
    let device = Device::from(stream.clone());
    let sizes = [32, 7, 32, 32, 7, 1, 2, 3, 4, 5, 6, 8, 9, 32];
    let train = |recorded: bool| -> Result<(Vec<f64>, Vec<Vec<f32>>)> {
        let model = classifier()?;
        model.to_device(&device)?;
        let (x, y) = data(32)?;
        let (x, y) = (x.to_device(&device)?, y.to_device(&device)?);
        let options = AdamOptions { lr: 0.01, ..Default::default() };
        let mut adam = Adam::new(model.parameters(), options);
        let mut losses = Vec::new();
        if recorded {
            let mut step = step_of(adam, &model, &[&x, &y])?;
            for n in sizes {
                let (x, y) = (x.narrow(0, 0, n)?, y.narrow(0, 0, n)?);
                losses.push(step.run(&[&x, &y])?.item()?);
            }
            let before = stream.device().usage().submits;
            step.run(&[&x, &y])?;
            assert_eq!(stream.device().usage().submits, before + 1, "it was recorded before");
        } else {
            for n in sizes.into_iter().chain([32]) {
                let (x, y) = (x.narrow(0, 0, n)?, y.narrow(0, 0, n)?);
                let loss = model.forward(&x)?.cross_entropy(&y, &CrossEntropy::default())?;
                adam.zero_grad();
                loss.backward()?;
                adam.step()?;
                losses.push(loss.item()?);
            }
            losses.pop();
        }
        Ok((losses, parameters(&model)?))
    };
    assert_eq!(train(true)?, train(false)?);
    Ok(())
}

#[test]
fn dropout_moves_on_with_each_replay() -> Result<()> {
    let Some(stream) = stream() else { return Ok(()) };
    let device = Device::from(stream);
    manual_seed(5);
    let model = Sequential::new().add(Dropout::new(0.5)?).add(Linear::new(10, 1, true)?);
    model.to_device(&device)?;
    let (x, _) = data(64)?;
    let x = x.to_device(&device)?;
    let still = Sgd::new(model.parameters(), SgdOptions { lr: 0.0, ..Default::default() });
    let mut step = TrainStep::new(still, &[&x], move |all| {
        Ok(model.forward(&all[0])?.square()?.mean()?.into())
    })?;
    let losses: Vec<f64> = (0..4).map(|_| step.run(&[&x])?.item()).collect::<Result<_>>()?;
    assert!((1..4).all(|i| losses[i] != losses[0]), "{losses:?}");
    Ok(())
}

#[test]
fn what_cannot_be_recorded_is_refused() -> Result<()> {
    let Some(stream) = stream() else { return Ok(()) };
    let device = Device::from(stream);
    let (x, y) = data(8)?;
    let (x, y) = (x.to_device(&device)?, y.to_device(&device)?);
    // Parameters on the host.
    let model = classifier()?;
    let adam = || Adam::new(model.parameters(), AdamOptions::default());
    let e = step_of(adam(), &model, &[&x, &y]).err().unwrap().to_string();
    assert!(e.contains("keep parameters in float32 on one device"), "{e}");
    // Inputs on another stream.
    model.to_device(&device)?;
    let other = Device::from(x.vulkan().unwrap().device().new_stream().unwrap());
    let there = data(8)?.0.to_device(&other)?;
    let e = step_of(adam(), &model, &[&there, &y]).err().unwrap().to_string();
    assert!(e.contains("another stream"), "{e}");
    // A value that is read meanwhile.
    let network = model.clone();
    let read = TrainStep::new(adam(), &[&x], move |all| {
        let y = network.forward(&all[0])?.mean()?;
        let _ = y.item()?;
        Ok(y.into())
    });
    let e = read.err().unwrap().to_string();
    assert!(e.contains("record"), "{e}");
    // Parameters that nothing is computed of.
    let e = TrainStep::new(adam(), &[&x], |all| {
        Ok(all[0].detach().requires_grad_(true)?.mean()?.into())
    });
    let e = e.err().unwrap().to_string();
    assert!(e.contains("parameter 0 of a group has no gradient"), "{e}");
    // Another number of inputs, and inputs that do not fit; and after all that it still works.
    let mut step = step_of(adam(), &model, &[&x, &y])?;
    let e = step.run(&[&x]).err().unwrap().to_string();
    assert!(e.contains("1 inputs; it was made for 2"), "{e}");
    assert!(step.run(&[&x.narrow(0, 0, 4)?, &y]).is_err());
    assert!(step.run(&[&x, &y])?.item()?.is_finite());
    Ok(())
}

/// On a device with little memory a step for a batch that is too large fails, and has changed nothing.
#[test]
fn a_step_without_memory_changes_nothing() -> Result<()> {
    let Some(stream) = stream_with(DeviceOptions::new().memory_limit(64 << 20)) else {
        return Ok(());
    };
    let device = Device::from(stream);
    let model = classifier()?;
    model.to_device(&device)?;
    let (x, y) = data(1000)?;
    let (x, y) = (x.to_device(&device)?, y.to_device(&device)?);
    let mut adam = Adam::new(model.parameters(), AdamOptions::default());
    let mut step = |x: &Tensor, y: &Tensor| -> Result<f64> {
        let loss = model.forward(x)?.cross_entropy(y, &CrossEntropy::default())?;
        adam.zero_grad();
        loss.backward()?;
        adam.step()?;
        loss.item()
    };
    step(&x, &y)?;
    let before = parameters(&model)?;
    let many = x.unsqueeze(0)?.expand(&[1000, 1000, 10])?;
    let e = many.reshape(&[-1, 10]).and_then(|x| {
        let y = y.unsqueeze(0)?.expand(&[1000, 1000])?.reshape(&[-1])?;
        step(&x, &y)
    });
    let e = e.unwrap_err().to_string();
    assert!(e.contains("bytes"), "{e}");
    assert_eq!(parameters(&model)?, before);
    assert!(step(&x, &y)?.is_finite());
    Ok(())
}

/// A step whose parameters were taken by another one says so, and does nothing.
#[test]
fn a_step_without_its_parameters_says_so() -> Result<()> {
    let Some(stream) = stream() else { return Ok(()) };
    let device = Device::from(stream);
    let model = classifier()?;
    model.to_device(&device)?;
    let (x, y) = data(10)?;
    let (x, y) = (x.to_device(&device)?, y.to_device(&device)?);
    let adam = || Adam::new(model.parameters(), AdamOptions::default());
    let mut first = step_of(adam(), &model, &[&x, &y])?;
    first.run(&[&x, &y])?;
    let mut second = step_of(adam(), &model, &[&x, &y])?;
    let before = parameters(&model)?;
    let refused = first.run(&[&x, &y]).err().map(|e| e.to_string()).unwrap_or_default();
    assert!(refused.contains("record another step"), "{refused}");
    assert_eq!(parameters(&model)?, before);
    second.run(&[&x, &y])?;
    assert_ne!(parameters(&model)?, before);
    Ok(())
}
