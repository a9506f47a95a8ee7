//! Gradients of every operation and layer against central differences, in doubles on the host.

use std::sync::Arc;

use numpack_nn::{
    CrossEntropy, DType, Device, Flatten, LayerNorm, Linear, LogSoftmax, Module, ModuleExt,
    MultiheadAttention, RMSNorm, Reduction, Result, Sequential, SiLU, Softmax, Tanh, Tensor,
    TransformerActivation, TransformerEncoderLayer, TransformerOptions, manual_seed, no_grad,
};

/// Numbers that keep away from where functions have corners or poles, in [0.3, 1.3) and with signs.
fn numbers(shape: &[usize], signs: bool) -> Result<Tensor> {
    let x = Tensor::rand(shape, DType::F64, &Device::Cpu)?.add(0.3)?;
    if !signs {
        return Ok(x);
    }
    let sign = Tensor::rand(shape, DType::F64, &Device::Cpu)?.lt(0.5)?;
    x.neg()?.where_(&sign, &x)
}

type Function<'a> = dyn Fn(&[Tensor]) -> Result<Tensor> + 'a;

/// Compares the gradients of Σ w f(inputs), with random w, with differences of the function.
fn check(name: &str, f: &Function<'_>, inputs: &[Tensor]) -> Result<()> {
    const STEP: f64 = 1e-6;
    let leaves: Vec<Tensor> = inputs
        .iter()
        .map(|x| x.detach().copied()?.requires_grad_(x.dtype().is_float()))
        .collect::<Result<_>>()?;
    let y = f(&leaves)?;
    let w = Tensor::randn(&y.shape(), DType::F64, &Device::Cpu)?;
    y.mul(&w)?.sum()?.backward()?;
    let value = |inputs: &[Tensor]| -> Result<f64> { f(inputs)?.mul(&w)?.sum()?.item() };
    let mut compared = 0;
    for (i, leaf) in leaves.iter().enumerate() {
        if !leaf.requires_grad() {
            continue;
        }
        let grad = leaf.grad().unwrap_or_else(|| panic!("{name}: input {i} has no gradient"));
        assert_eq!((grad.shape(), grad.dtype()), (leaf.shape(), leaf.dtype()), "{name}");
        let grad = grad.to_vec::<f64>()?;
        let elements = leaf.to_vec::<f64>()?;
        for (k, &have) in grad.iter().enumerate() {
            let at = |by: f64| -> Result<f64> {
                let mut moved = elements.clone();
                moved[k] += by;
                let mut inputs: Vec<Tensor> = leaves.iter().map(Tensor::detach).collect();
                inputs[i] = Tensor::from_vec(moved, &leaf.shape())?;
                value(&inputs)
            };
            let want = (at(STEP)? - at(-STEP)?) / (2.0 * STEP);
            // Differences of sums of up to some hundred numbers, each rounded.
            let bound = 1e-7 * (1.0 + want.abs());
            assert!(
                (have - want).abs() < bound,
                "{name}: input {i}, element {k}: {have}, not {want}"
            );
            compared += 1;
        }
    }
    assert!(compared > 0, "{name}: nothing was compared");
    Ok(())
}

#[test]
fn functions_of_one_element() -> Result<()> {
    manual_seed(1);
    type Unary = fn(&Tensor) -> Result<Tensor>;
    let all: [(&str, Unary, bool); 16] = [
        ("neg", Tensor::neg, true),
        ("abs", Tensor::abs, true),
        ("exp", Tensor::exp, true),
        ("log", Tensor::log, false),
        ("sqrt", Tensor::sqrt, false),
        ("rsqrt", Tensor::rsqrt, false),
        ("reciprocal", Tensor::reciprocal, true),
        ("square", Tensor::square, true),
        ("sin", Tensor::sin, true),
        ("cos", Tensor::cos, true),
        ("tanh", Tensor::tanh, true),
        ("sigmoid", Tensor::sigmoid, true),
        ("relu", Tensor::relu, true),
        ("gelu", Tensor::gelu, true),
        ("gelu_tanh", Tensor::gelu_tanh, true),
        ("silu", Tensor::silu, true),
    ];
    for (name, f, signs) in all {
        for shape in [&[][..], &[1], &[3, 4], &[2, 3, 2]] {
            check(name, &|x| f(&x[0]), &[numbers(shape, signs)?])?;
        }
        // Of a transposed view.
        check(name, &|x| f(&x[0].t()?), &[numbers(&[3, 4], signs)?])?;
    }
    let clamp = |x: &[Tensor]| x[0].clamp(Some(-0.6), Some(0.8));
    check("clamp", &clamp, &[numbers(&[5, 4], true)?])
}

#[test]
fn functions_of_two_elements() -> Result<()> {
    manual_seed(2);
    type Binary = fn(&Tensor, &Tensor) -> Result<Tensor>;
    let all: [(&str, Binary); 7] = [
        ("add", |a, b| a.add(b)),
        ("sub", |a, b| a.sub(b)),
        ("mul", |a, b| a.mul(b)),
        ("div", |a, b| a.div(b)),
        ("pow", |a, b| a.pow(b)),
        ("maximum", |a, b| a.maximum(b)),
        ("minimum", |a, b| a.minimum(b)),
    ];
    let shapes: [(&[usize], &[usize]); 6] = [
        (&[3, 4], &[3, 4]),
        (&[3, 4], &[4]),
        (&[3, 1], &[1, 4]),
        (&[], &[2, 3]),
        (&[2, 1, 3], &[4, 1]),
        (&[1], &[1]),
    ];
    for (name, f) in all {
        let signs = name != "pow";
        for (a, b) in shapes {
            check(name, &|x| f(&x[0], &x[1]), &[numbers(a, signs)?, numbers(b, signs)?])?;
        }
        // Both are one tensor.
        if !name.ends_with("imum") {
            check(name, &|x| f(&x[0], &x[0]), &[numbers(&[5], signs)?])?;
        }
    }
    type Number = fn(&Tensor) -> Result<Tensor>;
    let with_numbers: [(&str, Number); 13] = [
        ("add", |a| a.add(2.5)),
        ("sub", |a| a.sub(2.5)),
        ("mul", |a| a.mul(2.5)),
        ("div", |a| a.div(2.5)),
        ("pow 2", |a| a.pow(2.0)),
        ("pow 3", |a| a.pow(3)),
        ("pow 0", |a| a.pow(0.0)),
        ("pow -1.5", |a| a.abs()?.pow(-1.5)),
        ("maximum", |a| a.maximum(0.1)),
        ("minimum", |a| a.minimum(-0.1)),
        ("rsub", |a| a.rsub(2.5)),
        ("rdiv", |a| a.rdiv(2.5)),
        ("rpow", |a| a.rpow(2.5)),
    ];
    for (name, f) in with_numbers {
        check(name, &|x| f(&x[0]), &[numbers(&[3, 4], true)?])?;
    }
    let condition = Tensor::from_slice(&[true, false, false], &[3, 1])?;
    check(
        "where",
        &|x| x[0].where_(&condition, &x[1]),
        &[numbers(&[3, 4], true)?, numbers(&[4], true)?],
    )
}

#[test]
fn views_and_joining() -> Result<()> {
    manual_seed(3);
    let x = || numbers(&[3, 4, 2], true);
    let index = Tensor::from_slice(&[2_i64, 0, 2], &[3])?;
    let places = Tensor::from_slice(&[0_i64, 3, 3, 1, 2, 0], &[1, 6, 1])?;
    let all: [(&str, &Function<'_>); 18] = [
        ("transpose", &|x| x[0].transpose(0, 2)),
        ("permute", &|x| x[0].permute(&[2, 0, 1])),
        ("reshape", &|x| x[0].reshape(&[2, -1])),
        ("reshape of a transposed one", &|x| x[0].transpose(0, 1)?.reshape(&[-1])),
        ("flatten", &|x| x[0].flatten(1, -1)),
        ("expand", &|x| x[0].unsqueeze(1)?.expand(&[2, 3, 5, 4, 2])),
        ("squeeze", &|x| x[0].narrow(0, 1, 1)?.squeeze(0)),
        ("unsqueeze", &|x| x[0].unsqueeze(-1)),
        ("slice", &|x| x[0].slice(1, -3, 100, 2)),
        ("narrow", &|x| x[0].narrow(1, 1, 2)),
        ("select", &|x| x[0].select(1, -1)),
        ("contiguous", &|x| x[0].transpose(0, 1)?.contiguous()),
        ("clone", &|x| x[0].copied()),
        ("to_dtype", &|x| x[0].to_dtype(DType::F64)),
        ("index_select", &|x| x[0].index_select(0, &index)),
        ("gather", &|x| x[0].gather(1, &places)),
        ("cat", &|x| Tensor::cat(&[&x[0], &x[0].slice(1, 1, 3, 1)?], 1)),
        ("stack", &|x| Tensor::stack(&[&x[0], &x[0].square()?], -1)),
    ];
    for (name, f) in all {
        check(name, f, &[x()?])?;
    }
    let two = [numbers(&[2, 3], true)?, numbers(&[4, 3], true)?];
    check("cat", &|x| Tensor::cat(&[&x[0], &x[1]], 0), &two)
}

#[test]
fn reductions() -> Result<()> {
    manual_seed(4);
    type Along = fn(&Tensor, &[isize], bool) -> Result<Tensor>;
    let all: [(&str, Along); 5] = [
        ("sum", |x, dims, keep| x.sum_dims(dims, keep)),
        ("mean", |x, dims, keep| x.mean_dims(dims, keep)),
        ("var", |x, dims, keep| x.var(dims, 1.0, keep)),
        ("amax", |x, dims, keep| x.amax(dims, keep)),
        ("amin", |x, dims, keep| x.amin(dims, keep)),
    ];
    for (name, f) in all {
        for dims in [&[][..], &[0], &[-1], &[1, 2], &[0, 2]] {
            for keep in [false, true] {
                check(name, &|x| f(&x[0], dims, keep), &[numbers(&[3, 4, 2], true)?])?;
            }
        }
    }
    // Equal ones share the gradient.
    let x = Tensor::from_slice(&[1.0_f64, 3.0, 3.0], &[3])?.requires_grad_(true)?;
    x.amax(&[], false)?.backward()?;
    assert_eq!(x.grad().unwrap().to_vec::<f64>()?, [0.0, 0.5, 0.5]);
    Ok(())
}

#[test]
fn products_and_layers() -> Result<()> {
    manual_seed(5);
    let shapes: [(&[usize], &[usize]); 8] = [
        (&[3, 4], &[4, 2]),
        (&[4], &[4]),
        (&[3, 4], &[4]),
        (&[4], &[4, 2]),
        (&[2, 3, 4], &[4, 2]),
        (&[2, 3, 4], &[2, 4, 2]),
        (&[2, 1, 3, 4], &[3, 4, 2]),
        (&[1, 1], &[1, 1]),
    ];
    for (a, b) in shapes {
        check("matmul", &|x| x[0].matmul(&x[1]), &[numbers(a, true)?, numbers(b, true)?])?;
    }
    for x in [&[4][..], &[3, 4], &[2, 3, 4]] {
        let all = [numbers(x, true)?, numbers(&[5, 4], true)?, numbers(&[5], true)?];
        check("linear", &|x| x[0].linear(&x[1], Some(&x[2])), &all)?;
        check("linear without bias", &|x| x[0].linear(&x[1], None), &all[..2])?;
    }
    Ok(())
}

#[test]
fn rows() -> Result<()> {
    manual_seed(6);
    for dim in [0, 1, -1] {
        check("softmax", &|x| x[0].softmax(dim), &[numbers(&[3, 4, 2], true)?])?;
        check("log_softmax", &|x| x[0].log_softmax(dim), &[numbers(&[3, 4, 2], true)?])?;
    }
    for shape in [&[4][..], &[3, 4]] {
        let all = [numbers(&[2, 3, 4], true)?, numbers(shape, true)?, numbers(shape, true)?];
        check("layer_norm", &|x| x[0].layer_norm(shape, Some(&x[1]), Some(&x[2]), 1e-5), &all)?;
        check("layer_norm alone", &|x| x[0].layer_norm(shape, None, None, 1e-5), &all[..1])?;
        check("rms_norm", &|x| x[0].rms_norm(shape, Some(&x[1]), Some(1e-6)), &all[..2])?;
    }
    let index = Tensor::from_slice(&[2_i64, 0, 2, 1], &[2, 2])?;
    check("embedding", &|x| x[0].embedding(&index, None), &[numbers(&[3, 4], true)?])?;
    // The row for padding has no gradient.
    let weight = numbers(&[3, 4], true)?.requires_grad_(true)?;
    weight.embedding(&index, Some(2))?.sum()?.backward()?;
    let grad = weight.grad().unwrap().to_vec::<f64>()?;
    assert!(grad[8..] == [0.0; 4] && grad[..8] == [1.0; 8]);
    // The same numbers are drawn for each difference.
    check(
        "dropout",
        &|x| {
            manual_seed(9);
            let out = x[0].dropout(0.4);
            manual_seed(10);
            out
        },
        &[numbers(&[5, 4], true)?],
    )
}

/// Of layers, for what they take and for each parameter, all in doubles.
#[test]
fn layers() -> Result<()> {
    manual_seed(8);
    let options = |norm_first, activation| TransformerOptions {
        dim_feedforward: 6,
        dropout: 0.0,
        batch_first: true,
        norm_first,
        activation,
        ..Default::default()
    };
    let encoder = |norm_first, activation| -> Result<Arc<dyn Module>> {
        Ok(Arc::new(TransformerEncoderLayer::new(4, 2, &options(norm_first, activation))?))
    };
    let mlp = Sequential::new()
        .add(Linear::new(4, 5, true)?)
        .add(Tanh)
        .add(Linear::new(5, 3, false)?)
        .add(SiLU)
        .add(Flatten::default());
    let all: [(&str, Arc<dyn Module>); 9] = [
        ("Linear", Arc::new(Linear::new(4, 3, true)?)),
        ("LayerNorm", Arc::new(LayerNorm::new(&[4])?)),
        ("RMSNorm", Arc::new(RMSNorm::new(&[4], Some(1e-6))?)),
        ("Softmax", Arc::new(Softmax { dim: -1 })),
        ("LogSoftmax", Arc::new(LogSoftmax { dim: 1 })),
        ("MultiheadAttention", Arc::new(MultiheadAttention::new(4, 2, 0.0, true, true)?)),
        ("TransformerEncoderLayer", encoder(false, TransformerActivation::Gelu)?),
        ("TransformerEncoderLayer, norm first", encoder(true, TransformerActivation::Gelu)?),
        ("Sequential", Arc::new(mlp)),
    ];
    for (name, module) in all {
        let params = module.parameters();
        let mut inputs = vec![numbers(&[2, 3, 4], true)?];
        for p in &params {
            // Biases begin at 0, where nothing is learnt of them.
            inputs.push(numbers(&p.shape(), true)?);
        }
        let forward = |inputs: &[Tensor]| {
            for (p, value) in params.iter().zip(&inputs[1..]) {
                p.set_data(value)?;
            }
            module.forward(&inputs[0])
        };
        // Gradients for parameters are the module's own.
        let x = inputs[0].detach().requires_grad_(true)?;
        let y = forward(&[std::slice::from_ref(&x), &inputs[1..]].concat())?;
        let w = Tensor::randn(&y.shape(), DType::F64, &Device::Cpu)?;
        module.zero_grad();
        y.mul(&w)?.sum()?.backward()?;
        let leaves: Vec<Tensor> = std::iter::once(x).chain(params.iter().cloned()).collect();
        for (i, leaf) in leaves.iter().enumerate() {
            let grad = leaf.grad().unwrap_or_else(|| panic!("{name}: no gradient for {i}"));
            let elements = inputs[i].to_vec::<f64>()?;
            for (k, &have) in grad.to_vec::<f64>()?.iter().enumerate() {
                let at = |by: f64| -> Result<f64> {
                    let mut moved = elements.clone();
                    moved[k] += by;
                    let mut inputs = inputs.clone();
                    inputs[i] = Tensor::from_vec(moved, &inputs[i].shape())?;
                    no_grad(|| forward(&inputs)?.mul(&w)?.sum()?.item())
                };
                let want = (at(1e-6)? - at(-1e-6)?) / 2e-6;
                let bound = 1e-6 * (1.0 + want.abs());
                assert!((have - want).abs() < bound, "{name}: {i}, {k}: {have}, not {want}");
            }
        }
    }
    Ok(())
}

#[test]
fn losses() -> Result<()> {
    manual_seed(7);
    let classes = Tensor::from_slice(&[2_i64, 0, -100, 1], &[4])?;
    let weight = Tensor::from_slice(&[0.5_f64, 2.0, 1.0], &[3])?;
    for reduction in [Reduction::None, Reduction::Mean, Reduction::Sum] {
        for (weight, label_smoothing) in [(None, 0.0), (Some(weight.clone()), 0.1)] {
            let options = CrossEntropy { weight, label_smoothing, reduction, ..Default::default() };
            let x = [numbers(&[4, 3], true)?];
            check("cross_entropy", &|x| x[0].cross_entropy(&classes, &options), &x)?;
            let nll = |x: &[Tensor]| x[0].log_softmax(1)?.nll_loss(&classes, &options);
            check("nll_loss", &nll, &x)?;
            let soft = numbers(&[4, 3], false)?.softmax(1)?;
            check("cross_entropy", &|x| x[0].cross_entropy(&soft, &options), &x)?;
        }
        let two = [numbers(&[3, 4], true)?, numbers(&[3, 4], true)?];
        check("mse_loss", &|x| x[0].mse_loss(&x[1], reduction), &two)?;
        check("l1_loss", &|x| x[0].l1_loss(&x[1], reduction), &two)?;
        let target = Tensor::rand(&[3, 4], DType::F64, &Device::Cpu)?;
        let bce = |x: &[Tensor]| x[0].binary_cross_entropy_with_logits(&target, reduction);
        check("binary_cross_entropy_with_logits", &bce, &two[..1])?;
    }
    Ok(())
}
