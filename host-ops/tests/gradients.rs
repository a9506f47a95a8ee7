//! Backward functions against central differences of the forward functions, in float64, over random
//! shapes and orders of memory.

use numpack_host_ops::random::{Place, normal};
use numpack_host_ops::{
    self as ops, Activation, Approximate, Array, CrossEntropy, DType, Reduction, Result, mul, sum,
};
use proptest::prelude::*;

/// Random numbers of this shape, at times a transposed view.
fn numbers(shape: &[usize], seed: u64) -> Result<Array> {
    if seed.is_multiple_of(2) || shape.len() < 2 {
        return normal(shape, 0.0, 1.0, DType::F64, Place::new(seed));
    }
    let mut turned = shape.to_vec();
    turned.swap(0, shape.len() - 1);
    normal(&turned, 0.0, 1.0, DType::F64, Place::new(seed))?.transpose(0, -1)
}

/// Compares the gradients of Σ g · f(inputs), g random, with its differences.
fn check(
    what: &str,
    inputs: &[Array],
    forward: impl Fn(&[Array]) -> Result<Array>,
    backward: impl Fn(&Array, &[Array]) -> Result<Vec<Array>>,
) -> Result<()> {
    let y = forward(inputs)?;
    let g = numbers(y.shape(), 17)?;
    let loss = |inputs: &[Array]| -> Result<f64> {
        Ok(sum(&mul(&forward(inputs)?, &g)?, &[], false)?.to_vec::<f64>()?[0])
    };
    let grads = backward(&g, inputs)?;
    for (i, grad) in grads.iter().enumerate().take(inputs.len()) {
        assert_eq!(grad.shape(), inputs[i].shape(), "{what}, input {i}");
        let (all, found) = (inputs[i].to_vec::<f64>()?, grad.to_vec::<f64>()?);
        let step = 1e-5;
        for at in 0..all.len() {
            let with = |moved: f64| -> Result<f64> {
                let mut changed = all.clone();
                changed[at] += moved;
                let mut inputs = inputs.to_vec();
                inputs[i] = Array::from_vec(changed, grad.shape())?;
                loss(&inputs)
            };
            let wanted = (with(step)? - with(-step)?) / (2.0 * step);
            // The difference is off by step² times the third derivative, and by rounding over step.
            let bound = 1e-6 * (1.0 + wanted.abs());
            let off = (found[at] - wanted).abs();
            assert!(off <= bound, "{what}, input {i}, element {at}: {} not {wanted}", found[at]);
        }
    }
    Ok(())
}

/// Whether no element of a is so close to one of b that a step of the differences leads past it.
fn apart(a: &Array, b: &Array) -> Result<bool> {
    let gap = ops::amin(&ops::abs(&ops::sub(a, b)?)?, &[], false)?;
    Ok(gap.to_vec::<f64>()?[0] > 1e-4)
}

fn one(grad: Result<Array>) -> Result<Vec<Array>> {
    grad.map(|g| vec![g])
}

fn two(grads: Result<(Array, Array)>) -> Result<Vec<Array>> {
    grads.map(|(a, b)| vec![a, b])
}

fn shapes() -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(1_usize..4, 0..4)
}

/// Away from 0, where functions have corners.
fn off_zero(x: &Array) -> Result<Array> {
    ops::add(x, &mul(&ops::sign(x)?, 0.1)?)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn functions_of_one(shape in shapes(), seed in 0_u64..1 << 40) {
        let x = [off_zero(&numbers(&shape, seed)?)?];
        let positive = [ops::add(&ops::abs(&x[0])?, 0.3)?];
        macro_rules! by_input {
            ($x:expr, $($f:ident $b:ident;)*) => {
                $(check(stringify!($f), &$x, |x| ops::$f(&x[0]), |g, x| one(ops::$b(g, &x[0])))?;)*
            };
        }
        macro_rules! by_output {
            ($x:expr, $($f:ident $b:ident;)*) => {
                $(check(stringify!($f), &$x, |x| ops::$f(&x[0]), |g, x| {
                    one(ops::$b(g, &ops::$f(&x[0])?))
                })?;)*
            };
        }
        by_input!(x, abs abs_backward; sin sin_backward; cos cos_backward; silu silu_backward;
            relu relu_backward;);
        by_input!(x, square square_backward; erf erf_backward;);
        by_input!(positive, log log_backward; log1p log1p_backward;);
        by_output!(x, reciprocal reciprocal_backward;);
        by_output!(x, exp exp_backward; tanh tanh_backward; sigmoid sigmoid_backward;
            relu relu_backward;);
        by_output!(positive, sqrt sqrt_backward; rsqrt rsqrt_backward;);
        check("sign", &x, |x| ops::sign(&x[0]), |g, _| one(ops::sign_backward(g)))?;
        check("neg", &x, |x| ops::neg(&x[0]), |g, _| one(ops::neg_backward(g)))?;
        for how in [Approximate::None, Approximate::Tanh] {
            check("gelu", &x, |x| ops::gelu(&x[0], how), |g, x| one(ops::gelu_backward(g, &x[0], how)))?;
        }
        check("leaky_relu", &x, |x| ops::leaky_relu(&x[0], 0.2), |g, x| {
            one(ops::leaky_relu_backward(g, &x[0], 0.2))
        })?;
        let bounds = Array::from_slice(&[-0.95, 1.05], &[2, 1])?;
        if apart(&x[0].reshape(&[-1])?, &bounds)? {
            let (low, high) = (Some((-0.95).into()), Some(1.05.into()));
            check(
                "clamp",
                &x,
                |x| ops::clamp(&x[0], low, high),
                |g, x| one(ops::clamp_backward(g, &x[0], low, high)),
            )?;
        }
    }

    #[test]
    fn functions_of_two(
        shape in shapes(), drop in 0_usize..3, ones in 0_usize..8, seed in 0_u64..1 << 40,
    ) {
        // The second is broadcast: without the first dimensions, and 1 where a bit says so.
        let other: Vec<usize> = (shape.iter().enumerate().skip(drop))
            .map(|(i, &n)| if ones >> i & 1 == 1 { 1 } else { n })
            .collect();
        let both = [numbers(&shape, seed)?, off_zero(&numbers(&other, seed + 2)?)?];
        macro_rules! checks {
            ($($f:ident $b:ident;)*) => {
                $(check(stringify!($f), &both, |x| ops::$f(&x[0], &x[1]), |g, x| {
                    two(ops::$b(g, &x[0], &x[1]))
                })?;)*
            };
        }
        checks!(add add_backward; sub sub_backward; mul mul_backward; );
        if apart(&both[0], &both[1])? {
            checks!(maximum maximum_backward; minimum minimum_backward;);
        }
        let safe = [both[0].clone(), ops::add(&ops::abs(&both[1])?, 0.5)?];
        check("div", &safe, |x| ops::div(&x[0], &x[1]), |g, x| two(ops::div_backward(g, &x[0], &x[1])))?;
        let powers = [ops::add(&ops::abs(&both[0])?, 0.5)?, both[1].clone()];
        check("pow", &powers, |x| ops::pow(&x[0], &x[1]), |g, x| {
            two(ops::pow_backward(g, &x[0], &x[1], &ops::pow(&x[0], &x[1])?))
        })?;
        // Away from where the quotient steps.
        let rest = ops::remainder(&ops::div(&both[0], &both[1])?, 1)?;
        let middle = ops::abs(&ops::sub(&rest, 0.5)?)?;
        if ops::amax(&middle, &[], false)?.to_vec::<f64>()?[0] < 0.49 {
            checks!(remainder remainder_backward;);
        }
        let condition = ops::gt(&both[0], 0)?;
        check("where", &both, |x| ops::where_(&condition, &x[0], &x[1]), |g, x| {
            two(ops::where_backward(g, &condition, &x[0], &x[1]))
        })?;
    }

    #[test]
    fn reductions(shape in prop::collection::vec(1_usize..4, 1..4), pick in 0_usize..4, keep: bool, seed in 0_u64..1 << 40) {
        let x = [numbers(&shape, seed)?];
        let dims: Vec<isize> = match pick {
            0 => vec![],
            1 => vec![-1],
            2 => vec![0],
            _ => (0..shape.len() as isize).collect(),
        };
        let (d, s) = (&dims[..], &shape[..]);
        check("sum", &x, |x| sum(&x[0], d, keep), |g, _| one(ops::sum_backward(g, s, d, keep)))?;
        check("mean", &x, |x| ops::mean(&x[0], d, keep), |g, _| one(ops::mean_backward(g, s, d, keep)))?;
        check("prod", &x, |x| ops::prod(&x[0], d, keep), |g, x| one(ops::prod_backward(g, &x[0], d, keep)))?;
        check("var", &x, |x| ops::var(&x[0], d, 0.0, keep), |g, x| {
            one(ops::var_backward(g, &x[0], d, 0.0, keep))
        })?;
        let all = x[0].reshape(&[-1])?;
        let others = |i: usize| apart(&all.narrow(0, i, 1)?, &all.narrow(0, i + 1, all.numel() - i - 1)?);
        let mut distinct = true;
        for i in 0..all.numel() - 1 {
            distinct &= others(i)?;
        }
        if distinct {
                check("amax", &x, |x| ops::amax(&x[0], d, keep), |g, x| {
            one(ops::amax_backward(g, &x[0], &ops::amax(&x[0], d, keep)?, d, keep))
        })?;
         }
       if ops::amin(&ops::std(&x[0], d, 0.0, true)?, &[], false)?.to_vec::<f64>()?[0] > 0.1 {
            check("std", &x, |x| ops::std(&x[0], d, 0.0, keep), |g, x| {
                one(ops::std_backward(g, &x[0], &ops::std(&x[0], d, 0.0, keep)?, d, 0.0, keep))
            })?;
        }
        for dim in [0, -1] {
            check("softmax", &x, |x| ops::softmax(&x[0], dim), |g, x| {
                one(ops::softmax_backward(g, &ops::softmax(&x[0], dim)?, dim))
            })?;
            check("log_softmax", &x, |x| ops::log_softmax(&x[0], dim), |g, x| {
                one(ops::log_softmax_backward(g, &ops::log_softmax(&x[0], dim)?, dim))
            })?;
        }
    }

    #[test]
    fn products(m in 1_usize..4, k in 1_usize..4, n in 1_usize..4, batch in 1_usize..3, seed in 0_u64..1 << 40) {
        for (a, b) in [
            (vec![k], vec![k]),
            (vec![m, k], vec![k]),
            (vec![k], vec![k, n]),
            (vec![m, k], vec![k, n]),
            (vec![batch, m, k], vec![k, n]),
            (vec![batch, m, k], vec![k]),
            (vec![k], vec![batch, k, n]),
            (vec![1, m, k], vec![batch, k, n]),
            (vec![2, 1, m, k], vec![batch, k, n]),
        ] {
            let both = [numbers(&a, seed)?, numbers(&b, seed + 1)?];
            check("matmul", &both, |x| ops::matmul(&x[0], &x[1]), |g, x| {
                two(ops::matmul_backward(g, &x[0], &x[1]))
            })?;
        }
        let all = [numbers(&[n], seed)?, numbers(&[m, k], seed + 1)?, numbers(&[k, n], seed + 2)?];
        check("addmm", &all, |x| ops::addmm(&x[0], &x[1], &x[2], 0.5, -2.0), |g, x| {
            let (input, a, b) = ops::addmm_backward(g, &x[0], &x[1], &x[2], 0.5, -2.0)?;
            Ok(vec![input, a, b])
        })?;
        let layer = [numbers(&[batch, m, k], seed)?, numbers(&[n, k], seed + 1)?, numbers(&[n], seed)?];
        for activation in [
            Activation::None, Activation::Gelu(Approximate::None), Activation::Silu,
            Activation::Tanh, Activation::Sigmoid,
        ] {
            check("linear", &layer, |x| ops::linear(&x[0], &x[1], Some(&x[2]), activation), |g, x| {
                let before = ops::linear(&x[0], &x[1], Some(&x[2]), Activation::None)?;
                let saved =
                    if activation.saves_output() { activation.forward(&before)? } else { before };
                let inner = activation.backward(g, &saved)?;
                let (x, weight, bias) = ops::linear_backward(&inner, &x[0], &x[1])?;
                Ok(vec![x, weight, bias])
            })?;
        }
    }

    #[test]
    fn norms(shape in prop::collection::vec(1_usize..4, 1..4), parts in 1_usize..3, seed in 0_u64..1 << 40) {
        let normal = &shape[shape.len().saturating_sub(parts)..];
        let all = [numbers(&shape, seed)?, numbers(normal, seed + 1)?, numbers(normal, seed + 2)?];
        check("layer_norm", &all, |x| ops::layer_norm(&x[0], normal, Some(&x[1]), Some(&x[2]), 0.1), |g, x| {
            let grads = ops::layer_norm_backward(g, &x[0], normal, Some(&x[1]), 0.1)?;
            Ok(vec![grads.input, grads.weight, grads.bias])
        })?;
        check("rms_norm", &all[..2], |x| ops::rms_norm(&x[0], normal, Some(&x[1]), Some(0.1)), |g, x| {
            let grads = ops::rms_norm_backward(g, &x[0], normal, Some(&x[1]), Some(0.1))?;
            Ok(vec![grads.input, grads.weight])
        })?;
    }

    #[test]
    fn losses(batch in 1_usize..4, classes in 1_usize..5, smoothing in prop::sample::select(vec![0.0, 0.1, 1.0]), seed in 0_u64..1 << 40) {
        let targets = ops::random::integers(&[batch, 2], 0, classes as i64, Place::new(seed))?;
        let logits = [numbers(&[batch, classes, 2], seed)?];
        let likely = ops::softmax(&numbers(&[batch, classes, 2], seed + 5)?, 1)?;
        let weight = ops::abs(&numbers(&[classes], seed + 9)?)?;
        for reduction in [Reduction::None, Reduction::Mean, Reduction::Sum] {
            for weight in [None, Some(weight.clone())] {
                let options = CrossEntropy { weight, label_smoothing: smoothing, reduction, ..CrossEntropy::default() };
                for target in [&targets, &likely] {
                    check("cross_entropy", &logits, |x| ops::cross_entropy(&x[0], target, &options), |g, x| {
                        one(ops::cross_entropy_backward(g, &x[0], target, &options))
                    })?;
                }
                check("nll_loss", &logits, |x| ops::nll_loss(&x[0], &targets, &options), |g, x| {
                    one(ops::nll_loss_backward(g, &x[0], &targets, &options))
                })?;
            }
            check("mse_loss", &logits, |x| ops::mse_loss(&x[0], &likely, reduction), |g, x| {
                one(ops::mse_loss_backward(g, &x[0], &likely, reduction))
            })?;
        }
    }

    #[test]
    fn moves(rows in 1_usize..4, columns in 1_usize..5, seed in 0_u64..1 << 40) {
        let shape = [rows, columns];
        let x = [numbers(&shape, seed)?];
        let place = Place::new(seed);
        let index = ops::random::integers(&[rows, 3], 0, columns as i64, place)?;
        check("gather", &x, |x| ops::gather(&x[0], 1, &index), |g, _| {
            one(ops::gather_backward(g, &shape, 1, &index))
        })?;
        let sums = [x[0].clone(), numbers(&[rows, 3], seed + 4)?];
        check("scatter_add", &sums, |x| ops::scatter_add(&x[0], 1, &index, &x[1]), |g, _| {
            Ok(vec![g.clone(), ops::scatter_add_backward(g, 1, &index)?])
        })?;
        let index = ops::random::integers(&[4], 0, columns as i64, place)?;
        let sums = [x[0].clone(), numbers(&[rows, 4], seed + 4)?];
        check("index_add", &sums, |x| ops::index_add(&x[0], 1, &index, &x[1], 1.5), |g, _| {
            Ok(vec![g.clone(), ops::index_add_backward(g, 1, &index, 1.5)?])
        })?;
        check("index_select", &x, |x| ops::index_select(&x[0], -1, &index), |g, _| {
            one(ops::index_select_backward(g, &shape, -1, &index))
        })?;
        let index = ops::random::integers(&[2, 2], 0, rows as i64, place)?;
        check("embedding", &x, |x| ops::embedding(&x[0], &index), |g, _| {
            one(ops::embedding_backward(g, &index, rows, None))
        })?;
        check("slice", &x, |x| x[0].slice(1, 1, 4, 2), |g, _| one(ops::slice_backward(g, &shape, 1, 1, 4, 2)))?;
        check("select", &x, |x| x[0].select(1, -1), |g, _| one(ops::select_backward(g, &shape, 1, -1)))?;
        check("permute", &x, |x| x[0].permute(&[1, 0]), |g, _| one(ops::permute_backward(g, &[1, 0])))?;
        let pair = [x[0].clone(), numbers(&[rows, 2], seed + 3)?];
        check("cat", &pair, |x| ops::cat(&[&x[0], &x[1]], 1), |g, _| ops::cat_backward(g, &[columns, 2], 1))?;
        let pair = [x[0].clone(), numbers(&shape, seed + 3)?];
        check("stack", &pair, |x| ops::stack(&[&x[0], &x[1]], -1), |g, _| ops::stack_backward(g, -1))?;
        let (_, mask) = ops::random::dropout(&x[0], 0.4, place)?;
        check("dropout", &x, |x| Ok(ops::random::dropout(&x[0], 0.4, place)?.0), |g, _| {
            one(ops::random::dropout_backward(g, &mask, 0.4))
        })?;
    }
}
