//! Gradients of linear layers, and a step of a small network.

use numpack_host_ops as host;
use numpack_host_ops::{Approximate, Array};
use vulkan_core::{Activation, Adam, CrossEntropy, DType, Tensor};

use crate::common::{self, Numbers};
use crate::judge::{Bound, Judge};
use crate::layouts::{View, on_host, view};
use crate::matrices::{bound, some, ways, wide};
use crate::{Bench, is_frugal};

/// Gradients of results and what the layers took: one and none, odd and round, larger than a tile, in
/// several orders, with few rows and with more than a kernel sums by the way.
const CASES: &[(View, View)] = &[
    (view!([100, 2]), view!([100, 20])),
    (view!([100, 20]), view!([100, 10])),
    (view!([33, 70]), view!([33, 129])),
    (view!([64, 64]), view!([64, 32])),
    (view!([1, 1]), view!([1, 1])),
    (view!([7]), view!([9])),
    (view!([0, 3]), view!([0, 5])),
    (view!([4, 0]), view!([4, 6])),
    (view!([6, 4]), view!([6, 0])),
    (view!([3, 5, 11]), view!([3, 5, 13])),
    (view!([19, 30], "turned", t => t.t()), view!([30, 21])),
    (view!([21, 17]), view!([16, 21], "turned", t => t.t())),
    (
        view!([18, 40], "stepped", t => t.slice(1, 1, 40, 3)),
        view!([18, 25], "odd", t => t.narrow(1, 3, 9)),
    ),
    (
        view!([5, 4, 6], "no matrix", t => t.transpose(0, 1)),
        view!([4, 5, 8], "three dimensions", t => t.narrow(2, 0, 7)),
    ),
    (view!([1, 12], "repeated", t => t.expand(&[40, 12])), view!([40, 8])),
    (view!([1500, 3]), view!([1500, 6])),
    (view!([1100, 9]), view!([1100, 10])),
];

const TYPES: [(DType, DType); 3] =
    [(DType::F32, DType::F32), (DType::F16, DType::F16), (DType::BF16, DType::F32)];

/// All types where a way has kernels of its own; each needs some more, which take seconds to compile.
fn types(way: &str) -> &'static [(DType, DType)] {
    if is_frugal() || way.contains("limits") || way.contains("alone") {
        &TYPES[..1]
    } else {
        &TYPES
    }
}

/// So many cases of a type.
fn count(dtype: DType, all: usize, frugal: usize) -> usize {
    match (is_frugal(), dtype) {
        (true, _) => frugal,
        (false, DType::F32) => all,
        (false, _) => 5,
    }
}

/// Both as matrices, in float64.
fn rows(grad: &Array, x: &Array) -> (Array, Array) {
    let flat = |t: &Array| {
        let (&last, batch) = t.shape().split_last().unwrap();
        wide(t).reshape(&[batch.iter().product::<usize>() as isize, last as isize]).unwrap()
    };
    (flat(grad), flat(x))
}

/// gradᵀ x with its bound, and the sums of the columns with the sizes that theirs depends on.
fn wanted(grad: &Array, x: &Array) -> (Array, Bound, Array, Array) {
    let (grads, taken) = rows(grad, x);
    let turned = grads.t().unwrap();
    let product = host::matmul(&turned, &taken).unwrap();
    let sums = host::sum(&grads, &[0], false).unwrap();
    let sizes = host::sum(&host::abs(&grads).unwrap(), &[0], false).unwrap();
    (product, bound(&turned, &taken), sums, sizes)
}

#[test]
fn gradients_for_weights() {
    for (way, options) in ways() {
        let Some(mut bench) = Bench::open(&options) else { return };
        let (mut judge, mut numbers) = (Judge::default(), Numbers::new(43));
        for &(first, second) in types(way) {
            let cases = CASES.iter().take(count(first, CASES.len(), 4));
            for (i, (g, x)) in cases.enumerate() {
                bench.guard();
                let (g, x) =
                    (some(&bench, &mut numbers, g, first), some(&bench, &mut numbers, x, second));
                let case = format!(
                    "{first} {:?} and {second} {:?}{way}",
                    g.device.shape(),
                    x.device.shape()
                );
                let (product, bound, sums, sizes) = wanted(&g.host, &x.host);
                let (weight, bias) = g.device.linear_weight_backward(&x.device, true).unwrap();
                let bias = bias.unwrap();
                assert_eq!(bias.dtype(), first, "{case}");
                assert_eq!(weight.dtype(), if first == second { first } else { DType::F32 });
                judge.floats(&weight, &product, bound, &case);
                judge.sized(&bias, &sums, (4.0, &sizes), &case);
                if i % 4 == 0 {
                    let (alone, none) = g.device.linear_weight_backward(&x.device, false).unwrap();
                    assert!(none.is_none());
                    assert!(alone.to_bytes().unwrap() == weight.to_bytes().unwrap(), "{case}");
                }
                let (again, sums) = g.device.linear_weight_backward(&x.device, true).unwrap();
                assert!(again.to_bytes().unwrap() == weight.to_bytes().unwrap(), "{case}");
                assert!(sums.unwrap().to_bytes().unwrap() == bias.to_bytes().unwrap(), "{case}");
            }
        }
        bench.finish(&format!("gradients for weights{way}"), &judge);
    }
}

/// One tensor holds all gradients; what lies around those that are written stays as it is.
#[test]
fn gradients_into_tensors_that_are_there() {
    for (way, options) in ways() {
        let Some(bench) = Bench::open(&options) else { return };
        let (mut judge, mut numbers) = (Judge::default(), Numbers::new(44));
        for (g, x) in CASES.iter().take(if is_frugal() { 2 } else { CASES.len() }) {
            for (dtype, offset) in [(DType::F32, 5), (DType::F32, 8), (DType::F16, 3)] {
                if is_frugal() && dtype != DType::F32 {
                    continue;
                }
                let g = some(&bench, &mut numbers, g, DType::F32);
                let x = some(&bench, &mut numbers, x, DType::F32);
                let (product, within, sums, sizes) = wanted(&g.host, &x.host);
                let (outputs, inputs) = (product.shape()[0], product.shape()[1]);
                let n = outputs * inputs;
                let arena = Tensor::full(&bench.stream, 7.0, dtype, &[n + outputs + 20]).unwrap();
                let weight = arena.narrow(0, offset, n).unwrap().view(&[outputs, inputs]).unwrap();
                let bias = arena.narrow(0, offset + n + 3, outputs).unwrap();
                let case = format!(
                    "{:?} and {:?} into {dtype} at {offset}{way}",
                    g.device.shape(),
                    x.device.shape()
                );
                let Bound::Absolute(off) = within else { unreachable!() };
                let largest = host::abs(&product).unwrap().to_vec::<f64>().unwrap();
                let largest = largest.into_iter().fold(0.0, f64::max);
                // Of what is added to, itself rounded to its type.
                let once = if dtype == DType::F16 { 2f64.powi(12) } else { 0.5 };
                for (accumulate, times) in [(false, 1.0), (true, 2.0)] {
                    g.device
                        .linear_weight_backward_into(&x.device, &weight, Some(&bias), accumulate)
                        .unwrap();
                    let scaled = |a: &Array| host::mul(a, times).unwrap();
                    let off = times * (off + once * 2f64.powi(-23) * largest);
                    judge.floats(&weight, &scaled(&product), Bound::Absolute(off), &case);
                    judge.sized(&bias, &scaled(&sums), (times * (4.0 + once), &sizes), &case);
                }
                let before = arena.narrow(0, 0, offset).unwrap().to_bytes().unwrap();
                let between = arena.narrow(0, offset + n, 3).unwrap().to_bytes().unwrap();
                let at = offset + n + 3 + outputs;
                let behind =
                    arena.narrow(0, at, n + outputs + 20 - at).unwrap().to_bytes().unwrap();
                let seven = Array::full(&[1], 7.0, on_host(dtype)).unwrap().to_bytes().unwrap();
                for piece in [before, between, behind] {
                    assert!(piece.chunks(dtype.size()).all(|each| each == seven), "{case}");
                }
            }
        }
        bench.finish(&format!("gradients into tensors that are there{way}"), &judge);
    }
}

const ACTIVATIONS: [(Activation, host::Activation); 7] = [
    (Activation::Relu, host::Activation::Relu),
    (Activation::None, host::Activation::None),
    (Activation::Tanh, host::Activation::Tanh),
    (Activation::Sigmoid, host::Activation::Sigmoid),
    (Activation::Silu, host::Activation::Silu),
    (Activation::Gelu, host::Activation::Gelu(Approximate::None)),
    (Activation::GeluTanh, host::Activation::Gelu(Approximate::Tanh)),
];

/// Gradients of results, weights, and what is kept of the activation before.
const INPUTS: &[(View, View, View)] = &[
    (view!([100, 2]), view!([2, 20]), view!([100, 20])),
    (view!([33, 70]), view!([70, 129]), view!([33, 129])),
    (view!([5, 6]), view!([6, 40]), view!([40, 5], "turned", t => t.t())),
    (view!([2, 300]), view!([300, 3]), view!([2, 3])),
    (view!([3]), view!([3, 8]), view!([8])),
    (view!([0, 3]), view!([3, 8]), view!([0, 8])),
    (view!([4, 0]), view!([0, 5]), view!([4, 5])),
    (view!([3, 5, 11]), view!([13, 11], "turned", t => t.t()), view!([3, 5, 13])),
    (
        view!([9, 8], "turned", t => t.t()),
        view!([9, 18], "odd", t => t.narrow(1, 1, 15)),
        view!([8, 15]),
    ),
];

#[test]
fn gradients_for_inputs() {
    for (way, options) in ways() {
        let Some(mut bench) = Bench::open(&options) else { return };
        let (mut judge, mut numbers) = (Judge::default(), Numbers::new(45));
        for &(first, second) in types(way) {
            let cases = INPUTS.iter().take(count(first, INPUTS.len(), 2));
            for (i, (g, w, saved)) in cases.enumerate() {
                bench.guard();
                let g = some(&bench, &mut numbers, g, first);
                let w = some(&bench, &mut numbers, w, second);
                let saved = some(&bench, &mut numbers, saved, first);
                let plain = host::matmul(&wide(&g.host), &wide(&w.host)).unwrap();
                let largest = host::abs(&plain).unwrap().to_vec::<f64>().unwrap();
                let largest = largest.into_iter().fold(0.0, f64::max);
                let Bound::Absolute(off) = bound(&wide(&g.host), &wide(&w.host)) else {
                    unreachable!()
                };
                let all = i < 2 && first == DType::F32 && !is_frugal();
                let count = if all { ACTIVATIONS.len() } else { 2 };
                for (device, reference) in ACTIVATIONS.into_iter().take(count) {
                    let case = format!(
                        "{device:?}, {first} {:?} by {second} {:?}{way}",
                        g.device.shape(),
                        w.device.shape()
                    );
                    let got = g
                        .device
                        .linear_input_backward(&w.device, device, Some(&saved.device))
                        .unwrap();
                    let common = if first == second { first } else { DType::F32 };
                    let dtype = if device == Activation::None { common } else { first };
                    assert_eq!(got.dtype(), dtype, "{case}");
                    let expected = reference.backward(&plain, &wide(&saved.host)).unwrap();
                    // A derivative of at most 9/8, itself within 16 units of the largest gradient.
                    let off = off * 1.125 + 16.0 * 2f64.powi(-23) * largest;
                    judge.floats(&got, &expected, Bound::Absolute(off), &case);
                    let again = g
                        .device
                        .linear_input_backward(&w.device, device, Some(&saved.device))
                        .unwrap();
                    assert!(got.to_bytes().unwrap() == again.to_bytes().unwrap(), "{case}");
                }
            }
        }
        bench.finish(&format!("gradients for inputs{way}"), &judge);
    }
}

#[test]
fn what_has_no_gradient_is_refused() {
    let Some(bench) = Bench::open(&common::options()) else { return };
    let ones = |shape: &[usize], dtype| Tensor::full(&bench.stream, 1.0, dtype, shape).unwrap();
    let (g, x, w) =
        (ones(&[4, 3], DType::F32), ones(&[4, 5], DType::F32), ones(&[3, 5], DType::F32));
    let into = |weight: &Tensor, bias: Option<&Tensor>| {
        g.linear_weight_backward_into(&x, weight, bias, false)
    };
    let arena = ones(&[20], DType::F32);
    let (matrix, tail) = (arena.narrow(0, 0, 15).unwrap(), arena.narrow(0, 14, 3).unwrap());
    let matrix = matrix.view(&[3, 5]).unwrap();
    let cases = [
        (g.linear_weight_backward(&ones(&[5, 5], DType::F32), true).err(), "give (…, out)"),
        (g.linear_weight_backward(&ones(&[4, 5], DType::I32), true).err(), "give floats"),
        (ones(&[], DType::F32).linear_weight_backward(&x, true).err(), "without dimensions"),
        (into(&ones(&[5, 3], DType::F32), None).err(), "of that shape"),
        (into(&ones(&[3, 5], DType::I64), None).err(), "of that shape"),
        (into(&w, Some(&ones(&[5], DType::F32))).err(), "of that shape"),
        (into(&matrix, Some(&tail)).err(), "memory of its own"),
        (into(&x.narrow(0, 0, 3).unwrap(), None).err(), "memory of its own"),
        (g.linear_input_backward(&w, Activation::Relu, None).err(), "nothing was kept"),
        (g.linear_input_backward(&w, Activation::Relu, Some(&g)).err(), "of shape [4, 5]"),
        (g.linear_input_backward(&x, Activation::None, None).err(), "do not fit"),
        (
            ones(&[], DType::F32).linear_input_backward(&w, Activation::Relu, Some(&g)).err(),
            "of shape []",
        ),
    ];
    for (i, (refused, expected)) in cases.into_iter().enumerate() {
        let refused = refused.map(|e| e.to_string()).unwrap_or_default();
        assert!(refused.contains(expected), "{i}: {refused}");
    }
    bench.finish("gradients that are refused", &Judge::default());
}

/// Forwards, loss, backwards and Adam, with all gradients in one tensor: each is a dispatch.
#[test]
fn a_step_of_a_small_network_is_seven_dispatches() {
    let Some(bench) = Bench::open(&common::options()) else { return };
    let (mut judge, mut numbers) = (Judge::default(), Numbers::new(46));
    let (rows, inputs, hidden, classes) = (100, 10, 20, 2);
    let x = some(&bench, &mut numbers, &view!([100, 10]), DType::F32);
    let p = some(&bench, &mut numbers, &view!([262]), DType::F32);
    let labels: Vec<i64> = (0..rows as i64).map(|i| i * i % 3 % 2).collect();
    let target = Tensor::from_host(&bench.stream, &labels, &[rows]).unwrap();
    let state = || Tensor::zeros(&bench.stream, DType::F32, &[262]).unwrap();
    let (grads, mean, squares) = (state(), state(), state());
    // Where each parameter is, in what holds them all.
    let sizes: [(usize, &[usize]); 4] = [
        (0, &[hidden, inputs]),
        (hidden * inputs, &[hidden]),
        (hidden * (inputs + 1), &[classes, hidden]),
        (hidden * (inputs + 1 + classes), &[classes]),
    ];
    let views = |all: &Tensor| {
        sizes.map(|(at, shape)| {
            all.narrow(0, at, shape.iter().product()).unwrap().view(shape).unwrap()
        })
    };
    let ([w1, b1, w2, b2], [dw1, db1, dw2, db2]) = (views(&p.device), views(&grads));
    let options = CrossEntropy::default();

    let before = bench.device.usage().dispatches;
    let h = x.device.linear(&w1, Some(&b1), Activation::Relu).unwrap();
    let y = h.linear(&w2, Some(&b2), Activation::None).unwrap();
    let (_loss, dy) = y.cross_entropy_with_grad(&target, &options).unwrap();
    dy.linear_weight_backward_into(&h, &dw2, Some(&db2), false).unwrap();
    let dh = dy.linear_input_backward(&w2, Activation::Relu, Some(&h)).unwrap();
    dh.linear_weight_backward_into(&x.device, &dw1, Some(&db1), false).unwrap();
    Adam::default().step(&p.device, &grads, &mean, &squares, None, 1).unwrap();
    let count = bench.device.usage().dispatches - before;
    assert!(count <= 7, "a step has {count} dispatches");

    // The same in float64 on the host.
    let all = wide(&p.host);
    let [w1, b1, w2, b2] = sizes.map(|(at, shape)| {
        let n: usize = shape.iter().product();
        let shape: Vec<isize> = shape.iter().map(|&n| n as isize).collect();
        all.narrow(0, at, n).unwrap().reshape(&shape).unwrap()
    });
    let x = wide(&x.host);
    let h = host::linear(&x, &w1, Some(&b1), host::Activation::Relu).unwrap();
    let y = host::linear(&h, &w2, Some(&b2), host::Activation::None).unwrap();
    let target = Array::from_slice(&labels, &[rows]).unwrap();
    let dy = host::cross_entropy_backward(
        &Array::scalar(1.0_f64),
        &y,
        &target,
        &host::CrossEntropy::default(),
    )
    .unwrap();
    let (dh, for_w2, for_b2) = host::linear_backward(&dy, &h, &w2).unwrap();
    let dh = host::Activation::Relu.backward(&dh, &h).unwrap();
    let (_, for_w1, for_b1) = host::linear_backward(&dh, &x, &w1).unwrap();
    for (got, expected) in [(dw1, for_w1), (db1, for_b1), (dw2, for_w2), (db2, for_b2)] {
        judge.floats(&got, &expected, Bound::Absolute(2e-6), "gradients of a network");
    }
    bench.finish(&format!("a step of {count} dispatches"), &judge);
}
