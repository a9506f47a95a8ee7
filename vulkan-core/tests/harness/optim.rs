//! A hundred steps of each optimiser.

use numpack_host_ops::{Array, optim};
use vulkan_core::{Adam, DType, Sgd, Tensor, clip_grad_norm};

use crate::common::Numbers;
use crate::judge::{Bound, Judge};
use crate::{Bench, is_frugal, ways};

/// The last steps end a case.
const STEPS: u64 = 100;

/// So many numbers, and where they begin in a tensor that has one more in front and behind.
const ARENAS: &[(usize, usize)] = &[(1003, 0), (512, 4), (257, 1)];

/// A part of a longer tensor, so that writing beside it is seen.
fn arena(bench: &Bench, values: &[f32], at: usize) -> (Tensor, Tensor) {
    let mut all = vec![7.0_f32; values.len() + at + 5];
    all[at..at + values.len()].copy_from_slice(values);
    let whole = Tensor::from_host(&bench.stream, &all, &[all.len()]).unwrap();
    let part = whole.narrow(0, at, values.len()).unwrap();
    (whole, part)
}

fn untouched(whole: &Tensor, part: &Tensor, case: &str) {
    let (all, at) = (whole.to_host::<f32>().unwrap(), part.storage_offset());
    let beside = all[..at].iter().chain(&all[at + part.numel()..]);
    assert!(beside.copied().all(|x| x == 7.0), "{case}: written beside");
}

fn array(values: &[f32]) -> Array {
    Array::from_slice(values, &[values.len()]).unwrap()
}

fn random(numbers: &mut Numbers, n: usize, size: f64) -> Vec<f32> {
    (0..n).map(|_| (numbers.unit() * size) as f32).collect()
}

fn arenas() -> &'static [(usize, usize)] {
    if is_frugal() { &ARENAS[..1] } else { ARENAS }
}

#[test]
fn stochastic_gradient_descent() {
    for (way, options) in ways() {
        let Some(mut bench) = Bench::open(&options) else { return };
        let (mut judge, mut numbers) = (Judge::default(), Numbers::new(61));
        let plain = Sgd { lr: 0.05, ..Sgd::default() };
        let heavy = Sgd { momentum: 0.9, dampening: 0.25, weight_decay: 0.125, ..plain };
        let ahead = Sgd { momentum: 0.8, nesterov: true, ..plain };
        for sgd in [plain, Sgd { weight_decay: 0.01, ..plain }, heavy, ahead] {
            let there = optim::Sgd {
                lr: sgd.lr,
                momentum: sgd.momentum,
                dampening: sgd.dampening,
                weight_decay: sgd.weight_decay,
                nesterov: sgd.nesterov,
            };
            for &(n, at) in arenas() {
                bench.guard();
                let case = format!("{sgd:?}, {n} from {at}{way}");
                let mut wanted = random(&mut numbers, n, 3.0);
                let mut kept = vec![f32::NAN; n];
                let (whole, params) = arena(&bench, &wanted, at);
                let (kept_whole, buffer) = arena(&bench, &kept, at);
                for step in 1..=STEPS {
                    let grads = random(&mut numbers, n, 2.0);
                    let (_, on_device) = arena(&bench, &grads, at);
                    let buffer = (sgd.momentum > 0.0).then_some(&buffer);
                    sgd.step(&params, &on_device, buffer, step).unwrap();
                    there.step(&mut wanted, &grads, &mut kept, step).unwrap();
                }
                judge.bits(&params, &array(&wanted), &case);
                judge.bits(&buffer, &array(&kept), &case);
                untouched(&whole, &params, &case);
                untouched(&kept_whole, &buffer, &case);
            }
        }
        bench.finish(&format!("stochastic gradient descent{way}"), &judge);
    }
}

#[test]
fn adam() {
    for (way, options) in ways() {
        let Some(mut bench) = Bench::open(&options) else { return };
        let (mut judge, mut numbers) = (Judge::default(), Numbers::new(62));
        let plain = Adam { lr: 0.01, ..Adam::default() };
        for (adam, amsgrad) in [
            (plain, false),
            (plain, true),
            (Adam { weight_decay: 0.1, ..plain }, false),
            (Adam { lr: 0.01, betas: (0.8, 0.99), ..Adam::adamw() }, false),
        ] {
            let there = optim::Adam {
                lr: adam.lr,
                betas: adam.betas,
                eps: adam.eps,
                weight_decay: adam.weight_decay,
                decoupled: adam.decoupled,
            };
            for &(n, at) in arenas() {
                bench.guard();
                let case = format!("{adam:?}, {amsgrad}, {n} from {at}{way}");
                let mut wanted = random(&mut numbers, n, 3.0);
                let (mut mean, mut squares, mut most) = (vec![0.0; n], vec![0.0; n], vec![0.0; n]);
                let (whole, params) = arena(&bench, &wanted, at);
                let states = [&mean, &squares, &most].map(|state| arena(&bench, state, at));
                for step in 1..=STEPS {
                    let grads = random(&mut numbers, n, 2.0);
                    let (_, on_device) = arena(&bench, &grads, at);
                    let [(_, m), (_, v), (_, max)] = &states;
                    let max = amsgrad.then_some(max);
                    adam.step(&params, &on_device, m, v, max, step).unwrap();
                    let max = amsgrad.then_some(&mut most[..]);
                    there.step(&mut wanted, &grads, &mut mean, &mut squares, max, step).unwrap();
                }
                // Each step is at most about the learning rate, and within some units of it.
                let off = STEPS as f64 * (adam.lr * 13.0 + 3.0) * 2f64.powi(-24);
                judge.floats(&params, &array(&wanted), Bound::Absolute(off), &case);
                for ((whole, state), wanted) in states.iter().zip([&mean, &squares, &most]) {
                    untouched(whole, state, &case);
                    if adam.weight_decay == 0.0 || adam.decoupled {
                        judge.bits(state, &array(wanted), &case);
                    }
                }
                untouched(&whole, &params, &case);
            }
        }
        bench.finish(&format!("adam{way}"), &judge);
    }
}

#[test]
fn clipped_gradients() {
    for (way, options) in ways() {
        let Some(bench) = Bench::open(&options) else { return };
        let (mut judge, mut numbers) = (Judge::default(), Numbers::new(63));
        for &(n, at) in arenas() {
            for most in [1.0, 1e4] {
                let case = format!("{n} from {at}, {most}{way}");
                let grads = random(&mut numbers, n, 2.0);
                let (whole, on_device) = arena(&bench, &grads, at);
                let mut wanted: Vec<f64> = grads.iter().map(|&g| f64::from(g)).collect();
                let norm = clip_grad_norm(&on_device, most).unwrap();
                let there = optim::clip_grad_norm(&mut wanted, most).unwrap();
                judge.floats(&norm, &Array::scalar(there), Bound::Ulps(16.0), &case);
                let wanted = Array::from_vec(wanted, &[n]).unwrap();
                judge.floats(&on_device, &wanted, Bound::Ulps(16.0), &case);
                untouched(&whole, &on_device, &case);
            }
        }
        bench.finish(&format!("clipped gradients{way}"), &judge);
    }
}

#[test]
fn optimisers_refuse_what_they_would_spoil() {
    let Some(bench) = Bench::open(&crate::common::options()) else { return };
    let zeros = |n: usize| Tensor::zeros(&bench.stream, DType::F32, &[n]).unwrap();
    let (p, g, m, v) = (zeros(8), zeros(8), zeros(8), zeros(8));
    let sgd = Sgd::default();
    let momentum = Sgd { momentum: 0.9, ..sgd };
    let halves = Tensor::zeros(&bench.stream, DType::F16, &[8]).unwrap();
    let repeated = zeros(1).expand(&[8]).unwrap();
    let overlapping = zeros(12);
    let [first, second] = [0, 4].map(|at| overlapping.narrow(0, at, 8).unwrap());
    for (refused, why) in [
        (sgd.step(&p, &zeros(7), None, 1), "one length"),
        (sgd.step(&p, &halves, None, 1), "float32"),
        (sgd.step(&repeated, &g, None, 1), "contiguous"),
        (sgd.step(&p, &p, None, 1), "share"),
        (sgd.step(&first, &second, None, 1), "share"),
        (sgd.step(&p, &g, None, 0), "from 1"),
        (momentum.step(&p, &g, None, 1), "give one"),
        (Sgd { lr: f64::NAN, ..sgd }.step(&p, &g, None, 1), "0 or more"),
        (Sgd { nesterov: true, ..sgd }.step(&p, &g, None, 1), "give a momentum"),
        (Adam::default().step(&p, &g, &m, &m, None, 1), "share"),
        (Adam { betas: (1.0, 0.5), ..Adam::default() }.step(&p, &g, &m, &v, None, 1), "before 1"),
    ] {
        let problem = refused.unwrap_err().to_string();
        assert!(problem.contains(why), "{problem}");
    }
    // Neighbours in one arena are no trouble.
    let arena = zeros(64);
    let [p, g, m, v] = [0, 16, 32, 48].map(|at| arena.narrow(0, at, 16).unwrap());
    g.fill(1.0).unwrap();
    Adam::default().step(&p, &g, &m, &v, None, 1).unwrap();
    assert!(p.to_host::<f32>().unwrap().iter().all(|p| (p + 1e-3).abs() < 1e-8));
    bench.finish("what optimisers refuse", &Judge::default());
}
