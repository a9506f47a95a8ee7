//! Modules: names, states, moves, and what layers compute.

use std::sync::Arc;

use numpack_nn::optim::{
    Adam, AdamOptions, Optimizer, Sgd, SgdOptions, clip_grad_norm, clip_grad_value,
};
use numpack_nn::{
    Attend, CrossEntropy, DType, Device, Dropout, Embedding, Error, Flatten, GELU, LayerNorm,
    Linear, Module, ModuleExt, MultiheadAttention, RMSNorm, ReLU, Result, Sequential, SiLU,
    Softmax, Tanh, Tensor, TransformerEncoderLayer, TransformerOptions, manual_seed,
};

fn names(module: &dyn Module) -> Vec<String> {
    module.state_dict().into_iter().map(|(name, _)| name).collect()
}

/// As torch's modules name theirs.
#[test]
fn names_are_torchs() -> Result<()> {
    let model = Sequential::new()
        .add(Embedding::new(7, 4, None)?)
        .add(LayerNorm::new(&[4])?)
        .add(RMSNorm::new(&[4], None)?)
        .add(Flatten::default())
        .named("head", Arc::new(Linear::new(4, 2, false)?));
    assert_eq!(names(&model), ["0.weight", "1.weight", "1.bias", "2.weight", "head.weight"]);
    let layer = TransformerEncoderLayer::new(8, 2, &TransformerOptions::default())?;
    let want = [
        "self_attn.in_proj_weight",
        "self_attn.in_proj_bias",
        "self_attn.out_proj.weight",
        "self_attn.out_proj.bias",
        "linear1.weight",
        "linear1.bias",
        "linear2.weight",
        "linear2.bias",
        "norm1.weight",
        "norm1.bias",
        "norm2.weight",
        "norm2.bias",
    ];
    assert_eq!(names(&layer), want);
    assert_eq!(layer.parameter_count(), 8 * 24 + 24 + 64 + 8 + 2 * 8 * 2048 + 2048 + 8 + 32);
    Ok(())
}

#[test]
fn shared_parameters_come_once_and_have_all_names() -> Result<()> {
    let tied: Arc<dyn Module> = Arc::new(Linear::new(3, 3, false)?);
    let model = Sequential::new().add_shared(tied.clone()).add(ReLU).add_shared(tied);
    assert_eq!(model.parameters().len(), 1);
    assert_eq!(names(&model), ["0.weight", "2.weight"]);
    Ok(())
}

#[test]
fn states_are_loaded_whole_or_not_at_all() -> Result<()> {
    let model = || -> Result<Sequential> {
        Ok(Sequential::new().add(Linear::new(3, 4, true)?).add(Linear::new(4, 2, true)?))
    };
    let (a, b) = (model()?, model()?);
    let x = Tensor::rand(&[5, 3], DType::F32, &Device::Cpu)?;
    let out = |m: &Sequential| -> Result<Vec<f32>> { m.forward(&x)?.to_vec::<f32>() };
    assert_ne!(out(&a)?, out(&b)?);
    b.load_state_dict(&a.state_dict(), true)?;
    assert_eq!(out(&a)?, out(&b)?);
    // Copies: what becomes of one does not reach the other.
    assert!(!b.parameters()[0].is_same(&a.parameters()[0]));

    let before = out(&b)?;
    let mut state = model()?.state_dict();
    state[1].1 = Tensor::zeros(&[5], DType::F32, &Device::Cpu)?;
    state.push(("2.weight".into(), Tensor::zeros(&[1], DType::F32, &Device::Cpu)?));
    state.retain(|(name, _)| name != "0.weight");
    let e = b.load_state_dict(&state, true).unwrap_err();
    assert!(matches!(e, Error::StateDict { .. }));
    assert_eq!(
        e.to_string(),
        "load_state_dict: missing: 0.weight; unknown: 2.weight; other shapes: 0.bias is [5], not [4]; \
         give the state of a module made with the same arguments"
    );
    assert_eq!(out(&b)?, before);
    state[0].1 = Tensor::zeros(&[4], DType::F64, &Device::Cpu)?;
    let (missing, unknown) = b.load_state_dict(&state, false)?;
    assert_eq!((missing, unknown), (vec!["0.weight".to_owned()], vec!["2.weight".to_owned()]));
    assert_ne!(out(&b)?, before);
    assert_eq!(b.parameters()[1].dtype(), DType::F32);
    Ok(())
}

#[test]
fn first_values_are_within_torchs_bounds() -> Result<()> {
    manual_seed(1);
    let largest = |t: &Tensor| t.abs()?.amax(&[], false)?.item();
    let linear = Linear::new(100, 300, true)?;
    for t in [&linear.weight, linear.bias.as_ref().unwrap()] {
        let most = largest(t)?;
        assert!(most <= 0.1 && most > 0.098, "{most}");
    }
    let attention = MultiheadAttention::new(32, 4, 0.0, true, true)?;
    let bound = (6.0_f64 / 128.0).sqrt();
    let most = largest(&attention.in_proj_weight)?;
    assert!(most <= bound && most > 0.98 * bound, "{most}");
    assert_eq!(largest(attention.out_proj.bias.as_ref().unwrap())?, 0.0);
    let rows = Embedding::new(50, 40, Some(3))?;
    let var = rows.weight.var(&[], 1.0, false)?.item()?;
    assert!((0.85..1.1).contains(&var), "{var}");
    assert_eq!(largest(&rows.weight.select(0, 3)?)?, 0.0);
    // The same each time.
    manual_seed(1);
    assert_eq!(
        Linear::new(100, 300, true)?.weight.to_vec::<f32>()?,
        linear.weight.to_vec::<f32>()?
    );
    Ok(())
}

#[test]
fn a_layer_and_its_activation_are_one_thing() -> Result<()> {
    let linear = Arc::new(Linear::new(6, 5, true)?);
    let x = Tensor::randn(&[4, 6], DType::F32, &Device::Cpu)?.requires_grad_(true)?;
    let activations: [Arc<dyn Module>; 6] = [
        Arc::new(ReLU),
        Arc::new(Tanh),
        Arc::new(SiLU),
        Arc::new(GELU { tanh: false }),
        Arc::new(GELU { tanh: true }),
        Arc::new(Softmax { dim: 1 }),
    ];
    for activation in activations {
        let run = |y: Tensor| -> Result<[Vec<f32>; 3]> {
            linear.zero_grad();
            x.zero_grad();
            y.square()?.sum()?.backward()?;
            let grad = |t: &Tensor| t.grad().unwrap().to_vec::<f32>();
            Ok([y.to_vec::<f32>()?, grad(&linear.weight)?, grad(&x)?])
        };
        let one = Sequential::new().add_shared(linear.clone()).add_shared(activation.clone());
        let together = run(one.forward(&x)?)?;
        let apart = run(activation.forward(&linear.forward(&x)?)?)?;
        assert_eq!(together, apart);
    }
    Ok(())
}

/// Sizes beyond all memory are refused.
#[test]
fn no_size_is_too_much_for_an_error() {
    const HUGE: usize = usize::MAX / 2;
    let shape: &[usize] = &[HUGE, 3, HUGE];
    assert!(Tensor::rand(shape, DType::F32, &Device::Cpu).is_err());
    assert!(Tensor::randn(&[HUGE, 5], DType::F64, &Device::Cpu).is_err());
    assert!(Tensor::zeros(shape, DType::U8, &Device::Cpu).is_err());
    assert!(Linear::new(HUGE, HUGE, true).is_err() && Linear::new(0, HUGE, true).is_err());
    assert!(Embedding::new(HUGE, 4, Some(1)).is_err() && LayerNorm::new(shape).is_err());
    assert!(MultiheadAttention::new(HUGE - 1, 2, 0.0, true, true).is_err());
    let x = Tensor::zeros(&[2, 3], DType::F32, &Device::Cpu).unwrap();
    assert!(x.reshape(&[isize::MAX, isize::MAX, -1]).is_err());
    assert!(x.unsqueeze(0).unwrap().expand(&[isize::MAX, isize::MAX, 2, 3]).is_err());
}

#[test]
fn dropout_is_for_training() -> Result<()> {
    manual_seed(3);
    let model = Sequential::new().add(Dropout::new(0.25)?);
    let x = Tensor::ones(&[1000], DType::F32, &Device::Cpu)?;
    let all = model.forward(&x)?.to_vec::<f32>()?;
    let kept = all.iter().filter(|&&y| y != 0.0).count();
    assert!((700..800).contains(&kept) && all.iter().all(|&y| y == 0.0 || y == 1.0 / 0.75));
    model.eval();
    assert!(model.forward(&x)?.is_same(&x));
    model.train(true);
    assert!(!model.forward(&x)?.is_same(&x));
    assert!(Dropout::new(1.5).is_err());
    Ok(())
}

/// One head without biases, by the formula; and masks by what they hide.
#[test]
fn attention() -> Result<()> {
    let one = MultiheadAttention::new(4, 1, 0.0, true, true)?;
    let x = Tensor::randn(&[2, 3, 4], DType::F32, &Device::Cpu)?;
    let (out, weights) = one.attend([&x, &x, &x], Attend::default(), true)?;
    let weights = weights.unwrap();
    assert_eq!((out.shape(), weights.shape()), (vec![2, 3, 4], vec![2, 3, 3]));
    for row in weights.sum_dims(&[-1], false)?.to_vec::<f32>()? {
        assert!((row - 1.0).abs() < 1e-6);
    }
    let [q, k, v] =
        [0, 4, 8].map(|i| one.in_proj_weight.narrow(0, i, 4).and_then(|w| x.linear(&w, None)));
    let scores = q?.matmul(&k?.transpose(1, 2)?)?.mul(0.5)?;
    let want = one.out_proj.forward(&scores.softmax(-1)?.matmul(&v?)?)?;
    let off = out.sub(&want)?.abs()?.amax(&[], false)?.item()?;
    assert!(off < 1e-6, "{off}");

    let heads = MultiheadAttention::new(4, 2, 0.0, true, true)?;
    let hidden = Tensor::from_slice(&[false, false, true, false, true, true], &[2, 3])?;
    let attend = Attend { key_padding_mask: Some(&hidden), ..Attend::default() };
    let (_, weights) = heads.attend([&x, &x, &x], attend, true)?;
    let weights = weights.unwrap().to_vec::<f32>()?;
    assert!((0..3).all(|q| weights[q * 3 + 2] == 0.0));
    assert!((3..6).all(|q| weights[q * 3..q * 3 + 3] == [1.0, 0.0, 0.0]));
    // Nobody looks ahead, said in two ways.
    let later =
        Tensor::from_slice(&[false, true, true, false, false, true, false, false, false], &[3, 3])?;
    let never = Tensor::full(&[], f64::NEG_INFINITY, DType::F32, &Device::Cpu)?;
    let added = never.where_(&later, 0.0)?;
    let by = |mask: &Tensor| -> Result<Vec<f32>> {
        let attend = Attend { attn_mask: Some(mask), ..Attend::default() };
        heads.attend([&x, &x, &x], attend, false)?.0.to_vec::<f32>()
    };
    assert_eq!(by(&later)?, by(&added)?);
    let each = later.unsqueeze(0)?.expand(&[4, 3, 3])?;
    assert_eq!(by(&later)?, by(&each)?);
    // The same of other inputs, and with the length first.
    let y = x.copied()?;
    let apart = heads.attend([&x, &y, &y], Attend::default(), false)?.0.to_vec::<f32>()?;
    let together = heads.forward(&x)?.to_vec::<f32>()?;
    assert!(apart.iter().zip(&together).all(|(a, b)| (a - b).abs() < 1e-6));
    let turned = MultiheadAttention::new(4, 2, 0.0, true, false)?;
    turned.load_state_dict(&heads.state_dict(), true)?;
    let other = turned.forward(&x.transpose(0, 1)?)?.transpose(0, 1)?.to_vec::<f32>()?;
    assert!(other.iter().zip(&together).all(|(a, b)| (a - b).abs() < 1e-6));
    for refused in [
        MultiheadAttention::new(4, 3, 0.0, true, true),
        MultiheadAttention::new(4, 0, 0.0, true, true),
    ] {
        assert!(refused.is_err());
    }
    Ok(())
}

/// The formulas are checked in `numpack-host-ops`; here, groups, what is kept, and who is left alone.
#[test]
fn optimisers() -> Result<()> {
    let leaf = |x: f64| Tensor::from_slice(&[x], &[1])?.requires_grad_(true);
    let (a, b, c) = (leaf(1.0)?, leaf(1.0)?, leaf(1.0)?);
    let mut sgd = Sgd::new(vec![a.clone()], SgdOptions { lr: 0.1, ..Default::default() });
    let options = SgdOptions { lr: 0.5, momentum: 0.5, ..Default::default() };
    sgd.groups.push(numpack_nn::optim::Group { params: vec![b.clone(), c.clone()], options });
    for _ in 0..2 {
        sgd.zero_grad();
        a.mul(2.0)?.add(&b.mul(2.0)?)?.sum()?.backward()?;
        sgd.step()?;
    }
    // a: 1 - 2 · 0.1 · 2; b: 1 - 0.5 · 2 - 0.5 · (2 + 0.5 · 2); c has no gradient.
    assert!((a.item()? - 0.6).abs() < 1e-12);
    assert_eq!((b.item()?, c.item()?), (-1.5, 1.0));
    sgd.groups[0].options.lr = 0.0;
    sgd.step()?;
    assert!((a.item()? - 0.6).abs() < 1e-12);
    sgd.groups[0].options.lr = -1.0;
    let before = b.item()?;
    assert!(sgd.step().is_err());
    assert_eq!(b.item()?, before);

    // One that goes on with another's state does what that would have done.
    let train = |adam: &mut Adam, p: &Tensor, steps: usize| -> Result<f64> {
        for _ in 0..steps {
            adam.zero_grad();
            p.square()?.sum()?.backward()?;
            adam.step()?;
        }
        p.item()
    };
    for options in [AdamOptions::default(), AdamOptions { amsgrad: true, ..AdamOptions::adamw() }] {
        let p = leaf(3.0)?;
        let mut whole = Adam::new(vec![p.clone()], options);
        let want = train(&mut whole, &p, 20)?;
        let p = leaf(3.0)?;
        let mut first = Adam::new(vec![p.clone()], options);
        train(&mut first, &p, 8)?;
        let mut second = Adam::new(vec![p.clone()], options);
        second.load_state_dict(&first.state_dict()?)?;
        assert_eq!(train(&mut second, &p, 12)?, want);
        let mut wrong = first.state_dict()?;
        wrong[1].2 = Tensor::zeros(&[2], DType::F64, &Device::Cpu)?;
        wrong.push((4, "exp_avg".into(), Tensor::zeros(&[1], DType::F64, &Device::Cpu)?));
        wrong.push((0, "mean".into(), Tensor::zeros(&[1], DType::F64, &Device::Cpu)?));
        let e = second.load_state_dict(&wrong).unwrap_err().to_string();
        for part in ["exp_avg of parameter 0 is [2], not [1]", "parameter 4 of 1", "unknown: mean"]
        {
            assert!(e.contains(part), "{e}");
        }
    }
    Ok(())
}

#[test]
fn gradients_are_made_smaller() -> Result<()> {
    let leaf = |grad: &[f32]| -> Result<Tensor> {
        let t = Tensor::zeros(&[grad.len()], DType::F32, &Device::Cpu)?.requires_grad_(true)?;
        t.set_grad(Some(&Tensor::from_slice(grad, &[grad.len()])?))?;
        Ok(t)
    };
    let all = [leaf(&[3.0])?, leaf(&[0.0, 4.0])?, Tensor::zeros(&[1], DType::F32, &Device::Cpu)?];
    assert_eq!(clip_grad_norm(&all, 10.0)?.item()?, 5.0);
    assert_eq!(all[1].grad().unwrap().to_vec::<f32>()?, [0.0, 4.0]);
    assert_eq!(clip_grad_norm(&all, 1.0)?.item()?, 5.0);
    let norm = clip_grad_norm(&all, 100.0)?.item()?;
    assert!((norm - 1.0).abs() < 1e-5, "{norm}");
    let one = [leaf(&[-3.0, 0.5, 2.0])?];
    clip_grad_value(&one, 1.0)?;
    assert_eq!(one[0].grad().unwrap().to_vec::<f32>()?, [-1.0, 0.5, 1.0]);
    assert!(clip_grad_norm(&one, -1.0).is_err() && clip_grad_value(&one, f64::NAN).is_err());
    assert_eq!(clip_grad_norm(&[], 1.0)?.item()?, 0.0);
    Ok(())
}

/// A layer learns what it is shown, over ten thousand steps; the loss stays finite.
#[test]
fn ten_thousand_steps() -> Result<()> {
    manual_seed(5);
    let model =
        Sequential::new().add(Linear::new(4, 8, true)?).add(Tanh).add(Linear::new(8, 3, true)?);
    let x = Tensor::randn(&[12, 4], DType::F32, &Device::Cpu)?;
    let y = Tensor::arange(12, &Device::Cpu)?.to_vec::<i64>()?;
    let y = Tensor::from_vec(y.into_iter().map(|i| i % 3).collect(), &[12])?;
    let options = AdamOptions { lr: 0.01, ..AdamOptions::adamw() };
    let mut optimizer = Adam::new(model.parameters(), options);
    let mut last = f64::INFINITY;
    for step in 0..10_000 {
        let loss = model.forward(&x)?.cross_entropy(&y, &CrossEntropy::default())?;
        optimizer.zero_grad();
        loss.backward()?;
        optimizer.step()?;
        if step % 1000 == 0 {
            last = loss.item()?;
            assert!(last.is_finite());
        }
    }
    assert!(last < 0.05, "{last}");
    Ok(())
}
