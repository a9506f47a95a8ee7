//! The same on a device as on the host: values, gradients, training.

use std::sync::Arc;

use numpack_nn::optim::{Adam, AdamOptions, Optimizer, Sgd, SgdOptions, clip_grad_norm};
use numpack_nn::{
    CrossEntropy, DType, Device, Embedding, Error, Flatten, LayerNorm, Linear, Module, ModuleExt,
    MultiheadAttention, RMSNorm, ReLU, Reduction, Result, Sequential, Tanh, Tensor,
    TransformerEncoderLayer, TransformerOptions, manual_seed,
};

use crate::{classifier, data, normal, stream};

/// The largest difference of two tensors, in units of the largest element of the first.
fn off(want: &Tensor, have: &Tensor) -> Result<f64> {
    assert_eq!((want.shape(), want.dtype()), (have.shape(), have.dtype()));
    let (want, have) = (want.to_array()?.cast(DType::F64)?, have.to_array()?.cast(DType::F64)?);
    let (want, have) = (want.to_vec::<f64>()?, have.to_vec::<f64>()?);
    let largest = want.iter().fold(1e-30_f64, |m, x| m.max(x.abs()));
    let each = want.iter().zip(&have).map(|(w, h)| match w == h || (w.is_nan() && h.is_nan()) {
        true => 0.0,
        false => (w - h).abs() / largest,
    });
    Ok(each.fold(0.0, |m, x| if x.is_nan() { f64::INFINITY } else { m.max(x) }))
}

type Function<'a> = dyn Fn(&[Tensor]) -> Result<Tensor> + 'a;

/// Runs it on both, with gradients, and compares all.
fn same(name: &str, device: &Device, f: &Function<'_>, inputs: &[Tensor]) -> Result<()> {
    let run = |on: &Device| -> Result<Vec<Tensor>> {
        manual_seed(77);
        let there = |x: &Tensor| x.detach().to_device(on)?.requires_grad_(x.dtype().is_float());
        let leaves = inputs.iter().map(there).collect::<Result<Vec<_>>>()?;
        let y = f(&leaves)?;
        assert_eq!(y.device(), *on, "{name}");
        let mut all = vec![y.detach()];
        if y.requires_grad() {
            let w = Tensor::rand(&y.shape(), y.dtype(), on)?;
            y.mul(&w)?.sum()?.backward()?;
            all.extend(leaves.iter().filter_map(Tensor::grad));
        }
        Ok(all)
    };
    let (want, have) = (run(&Device::Cpu)?, run(device)?);
    assert_eq!(want.len(), have.len(), "{name}");
    for (i, (w, h)) in want.iter().zip(&have).enumerate() {
        // Of singles a few units in the last place, and sums of some tens of them.
        let by = off(w, h)?;
        assert!(
            by < 4e-6,
            "{name}: {} is off by {by}",
            if i == 0 { "the value" } else { "a gradient" }
        );
    }
    Ok(())
}

#[test]
fn operations_are_the_same() -> Result<()> {
    let Some(stream) = stream() else { return Ok(()) };
    let device = Device::from(stream);
    manual_seed(1);
    type Unary = fn(&Tensor) -> Result<Tensor>;
    let unary: [(&str, Unary); 22] = [
        ("neg", Tensor::neg),
        ("abs", Tensor::abs),
        ("exp", Tensor::exp),
        ("log", |x| x.abs()?.log()),
        ("sqrt", |x| x.abs()?.sqrt()),
        ("rsqrt", |x| x.abs()?.add(0.1)?.rsqrt()),
        ("reciprocal", |x| x.abs()?.add(0.1)?.reciprocal()),
        ("square", Tensor::square),
        ("sin", Tensor::sin),
        ("cos", Tensor::cos),
        ("tanh", Tensor::tanh),
        ("sigmoid", Tensor::sigmoid),
        ("relu", Tensor::relu),
        ("gelu", Tensor::gelu),
        ("silu", Tensor::silu),
        ("clamp", |x| x.clamp(Some(-0.5), Some(0.5))),
        ("pow 2", |x| x.pow(2)),
        ("pow 3", |x| x.pow(3.0)),
        ("rsub", |x| x.rsub(1.5)),
        ("rdiv", |x| x.abs()?.add(0.1)?.rdiv(2)),
        ("dropout", |x| x.dropout(0.3)),
        ("to_dtype", |x| x.to_dtype(DType::F16)?.to_dtype(DType::F32)),
    ];
    for (name, f) in unary {
        same(name, &device, &|x| f(&x[0]), &[normal(&[5, 7])?])?;
    }
    type Binary = fn(&Tensor, &Tensor) -> Result<Tensor>;
    let binary: [(&str, Binary); 12] = [
        ("add", |a, b| a.add(b)),
        ("sub", |a, b| a.sub(b)),
        ("mul", |a, b| a.mul(b)),
        ("div", |a, b| a.div(&b.abs()?.add(0.1)?)),
        ("pow", |a, b| a.abs()?.add(0.1)?.pow(b)),
        ("maximum", |a, b| a.maximum(b)),
        ("minimum", |a, b| a.minimum(b)),
        ("where", |a, b| a.where_(&a.gt(b)?, b)),
        ("gt", |a, b| a.gt(b)),
        ("logical_not", |a, b| a.le(b)?.logical_not()),
        ("mse_loss", |a, b| a.expand(&[5, 7])?.mse_loss(&b.expand(&[5, 7])?, Reduction::Mean)),
        ("l1_loss", |a, b| a.expand(&[5, 7])?.l1_loss(&b.expand(&[5, 7])?, Reduction::Sum)),
    ];
    for (name, f) in binary {
        for (a, b) in [(&[5, 7][..], &[7][..]), (&[5, 1], &[1, 7])] {
            same(name, &device, &|x| f(&x[0], &x[1]), &[normal(a)?, normal(b)?])?;
        }
    }
    let index = Tensor::from_slice(&[2_i64, 0, 2, 1], &[4])?.to_device(&device)?;
    let i = |x: &Tensor| index.to_device(&x.device());
    let shaped: [(&str, &Function<'_>); 20] = [
        ("sum", &|x| x[0].sum()),
        ("sum along", &|x| x[0].sum_dims(&[1], true)),
        ("mean", &|x| x[0].mean_dims(&[0, 2], false)),
        ("var", &|x| x[0].var(&[2], 1.0, false)),
        ("amax", &|x| x[0].amax(&[1], false)),
        ("amin", &|x| x[0].amin(&[0, 1], true)),
        ("argmax", &|x| x[0].argmax(Some(1), false)),
        ("permute", &|x| x[0].permute(&[2, 0, 1])?.contiguous()),
        ("reshape", &|x| x[0].transpose(0, 1)?.reshape(&[-1, 3])),
        ("slice", &|x| x[0].slice(1, 1, 6, 2)),
        ("select", &|x| x[0].select(0, 1)),
        ("expand", &|x| x[0].unsqueeze(0)?.expand(&[3, -1, -1, -1])),
        ("cat", &|x| Tensor::cat(&[&x[0], &x[0].narrow(1, 1, 2)?], 1)),
        ("stack", &|x| Tensor::stack(&[&x[0], &x[0].exp()?], 1)),
        ("index_select", &|x| x[0].index_select(0, &i(&x[0])?)),
        ("gather", &|x| x[0].gather(0, &i(&x[0])?.reshape(&[4, 1, 1])?)),
        ("softmax", &|x| x[0].softmax(-1)),
        ("log_softmax", &|x| x[0].log_softmax(1)),
        ("layer_norm", &|x| x[0].layer_norm(&[5], None, None, 1e-5)),
        ("rms_norm", &|x| x[0].rms_norm(&[6, 5], None, Some(1e-6))),
    ];
    for (name, f) in shaped {
        same(name, &device, f, &[normal(&[3, 6, 5])?])?;
    }
    let places = Tensor::arange(5000, &device)?.to_vec::<i64>()?;
    assert!(places.iter().enumerate().all(|(i, &n)| n == i as i64) && places.len() == 5000);
    for (a, b) in [
        (&[4, 6][..], &[6, 5][..]),
        (&[6], &[6]),
        (&[2, 4, 6], &[6, 5]),
        (&[2, 1, 4, 6], &[3, 6, 5]),
    ] {
        same("matmul", &device, &|x| x[0].matmul(&x[1]), &[normal(a)?, normal(b)?])?;
    }
    let loss = |f: &dyn Fn(&Tensor, &Tensor) -> Result<Tensor>| {
        same("a loss", &device, &|x| f(&x[0], &i(&x[0])?), &[normal(&[4, 3])?])
    };
    for reduction in [Reduction::None, Reduction::Mean, Reduction::Sum] {
        for label_smoothing in [0.0, 0.2] {
            let options = CrossEntropy { label_smoothing, reduction, ..Default::default() };
            loss(&|x, y| x.cross_entropy(y, &options))?;
            loss(&|x, y| x.log_softmax(1)?.nll_loss(y, &options))?;
        }
        let bce = |x: &[Tensor]| {
            let target = x[0].detach().gt(0.3)?.to_dtype(DType::F32)?;
            x[0].mul(8.0)?.binary_cross_entropy_with_logits(&target, reduction)
        };
        same("binary cross entropy", &device, &bce, &[normal(&[5, 7])?])?;
    }
    Ok(())
}

/// Moves a module there, and compares what it computes and its gradients.
fn module_is_same(name: &str, device: &Device, module: &dyn Module, x: &Tensor) -> Result<()> {
    let run = |on: &Device| -> Result<Vec<Tensor>> {
        module.to_device(on)?;
        module.zero_grad();
        manual_seed(5);
        let x = x.to_device(on)?;
        let y = module.forward(&x)?;
        let w = Tensor::rand(&y.shape(), y.dtype(), on)?;
        y.mul(&w)?.sum()?.backward()?;
        let grads = module.parameters().into_iter().filter_map(|p| p.grad());
        Ok(std::iter::once(y.detach()).chain(grads).collect())
    };
    let (want, have) = (run(&Device::Cpu)?, run(device)?);
    assert_eq!(want.len(), have.len(), "{name}");
    assert_eq!(want.len(), 1 + module.parameters().len(), "{name}");
    for (w, h) in want.iter().zip(&have) {
        let by = off(w, h)?;
        assert!(by < 1e-5, "{name} is off by {by}");
    }
    module.to_device(&Device::Cpu)
}

#[test]
fn modules_are_the_same() -> Result<()> {
    let Some(stream) = stream() else { return Ok(()) };
    let device = Device::from(stream);
    manual_seed(2);
    let x = normal(&[2, 3, 8])?;
    let options =
        TransformerOptions { dim_feedforward: 16, batch_first: true, ..Default::default() };
    let modules: [(&str, Arc<dyn Module>); 6] = [
        ("Linear", Arc::new(Linear::new(8, 5, true)?)),
        ("LayerNorm", Arc::new(LayerNorm::new(&[8])?)),
        ("RMSNorm", Arc::new(RMSNorm::new(&[8], None)?)),
        ("MultiheadAttention", Arc::new(MultiheadAttention::new(8, 2, 0.1, true, true)?)),
        ("TransformerEncoderLayer", Arc::new(TransformerEncoderLayer::new(8, 2, &options)?)),
        (
            "Sequential",
            Arc::new(
                Sequential::new()
                    .add(Linear::new(8, 6, true)?)
                    .add(ReLU)
                    .add(Linear::new(6, 4, false)?)
                    .add(Tanh)
                    .add(Flatten::default()),
            ),
        ),
    ];
    for (name, module) in modules {
        module_is_same(name, &device, &*module, &x)?;
    }
    let index = Tensor::from_slice(&[2_i64, 0, 2, 1, 1, 6], &[2, 3])?;
    module_is_same("Embedding", &device, &Embedding::new(7, 4, Some(1))?, &index)
}

/// The small classifier learns the same there.
#[test]
fn training_is_the_same() -> Result<()> {
    let Some(stream) = stream() else { return Ok(()) };
    let device = Device::from(stream.clone());
    type Make = fn(Vec<Tensor>) -> Box<dyn Optimizer>;
    let optimizers: [(&str, Make, f64); 3] = [
        ("adam", |p| Box::new(Adam::new(p, AdamOptions { lr: 0.01, ..Default::default() })), 1e-3),
        (
            "adamw",
            |p| {
                Box::new(Adam::new(
                    p,
                    AdamOptions { lr: 0.01, amsgrad: true, ..AdamOptions::adamw() },
                ))
            },
            1e-3,
        ),
        (
            "sgd",
            |p| {
                let options =
                    SgdOptions { lr: 0.1, momentum: 0.9, nesterov: true, ..Default::default() };
                Box::new(Sgd::new(p, options))
            },
            1e-3,
        ),
    ];
    for (name, make, bound) in optimizers {
        let run = |on: &Device| -> Result<Vec<f64>> {
            let model = classifier()?;
            model.to_device(on)?;
            let (x, y) = data(100)?;
            let (x, y) = (x.to_device(on)?, y.to_device(on)?);
            let mut optimizer = make(model.parameters());
            let mut losses = Vec::new();
            for _ in 0..60 {
                let loss = model.forward(&x)?.cross_entropy(&y, &CrossEntropy::default())?;
                optimizer.zero_grad();
                loss.backward()?;
                clip_grad_norm(&model.parameters(), 1.0)?;
                optimizer.step()?;
                losses.push(loss.detach());
            }
            losses.iter().map(Tensor::item).collect()
        };
        let (want, have) = (run(&Device::Cpu)?, run(&device)?);
        assert!(have[59] < 0.7 * have[0], "{name} learns nothing: {} to {}", have[0], have[59]);
        for (step, (w, h)) in want.iter().zip(&have).enumerate() {
            assert!((w - h).abs() < bound * w, "{name}, step {step}: {h}, not {w}");
        }
    }
    Ok(())
}

#[test]
fn ten_thousand_steps_cross_no_bus_and_take_no_memory() -> Result<()> {
    let Some(stream) = stream() else { return Ok(()) };
    let device = Device::from(stream.clone());
    let model = classifier()?;
    model.to_device(&device)?;
    let x = normal(&[32, 10])?.to_device(&device)?;
    let y = Tensor::zeros(&[32], DType::I64, &device)?;
    let mut optimizer = Adam::new(model.parameters(), AdamOptions::default());
    let mut step = || -> Result<Tensor> {
        let loss = model.forward(&x)?.cross_entropy(&y, &CrossEntropy::default())?;
        optimizer.zero_grad();
        loss.backward()?;
        optimizer.step()?;
        Ok(loss.detach())
    };
    for _ in 0..3 {
        step()?;
    }
    device.synchronize()?;
    let before = stream.device().usage();
    for _ in 0..9_999 {
        step()?;
    }
    let last = step()?;
    let after = stream.device().usage();
    assert_eq!(
        (after.uploaded_bytes, after.downloaded_bytes),
        (before.uploaded_bytes, before.downloaded_bytes)
    );
    // The last loss is held.
    assert_eq!(after.live_bytes, before.live_bytes + 4);
    assert_eq!(after.reserved_bytes, before.reserved_bytes);
    assert!(last.item()?.is_finite());
    assert!(stream.device().messages().is_empty(), "{:?}", stream.device().messages());
    Ok(())
}

#[test]
fn two_devices_are_not_mixed() -> Result<()> {
    let Some(stream) = stream() else { return Ok(()) };
    let device = Device::from(stream);
    let (a, b) = (normal(&[2, 2])?, normal(&[2, 2])?.to_device(&device)?);
    for refused in [a.add(&b), b.matmul(&a), Tensor::cat(&[&a, &b], 0), b.linear(&a, None)] {
        let e = refused.unwrap_err();
        assert!(matches!(e, Error::Devices { .. }), "{e}");
        assert!(e.to_string().ends_with("move one of them with to_device"), "{e}");
    }
    // Gradients come back to where the leaf is.
    let x = a.requires_grad_(true)?;
    x.to_device(&device)?.mul(&b)?.sum()?.backward()?;
    let grad = x.grad().unwrap();
    assert_eq!((grad.device(), grad.to_vec::<f32>()?), (Device::Cpu, b.to_vec::<f32>()?));
    let double = Tensor::ones(&[1], DType::F64, &Device::Cpu)?;
    let e = double.to_device(&device).unwrap_err().to_string();
    assert_eq!(e, "to_device: float64 is not computed on a device; cast it, or compute on the cpu");
    Ok(())
}
