//! Gradients of functions of elements, each within what its documentation promises.

use numpack_host_ops as host;
use numpack_host_ops::{Approximate, Array, Operand, Scalar};
use vulkan_core::{DType, Result, Tensor};

use crate::common::Numbers;
use crate::judge::{Bound, Judge};
use crate::layouts::{self, Both, PAIRS, View};
use crate::values::{self, Range};
use crate::{Bench, is_frugal, ways};

const FLOATS: [DType; 3] = [DType::F32, DType::F16, DType::BF16];

/// Gradients are about as large, so that bounds that depend on them are tried.
const LARGEST: f64 = 12.0;

/// A unit in the last place of 1, times the largest gradient.
const UNIT: f64 = LARGEST / (1 << 23) as f64;

type One = (
    &'static str,
    fn(&Tensor, &Tensor) -> Result<Tensor>,
    fn(&Array, &Array) -> host::Result<Array>,
    Bound,
);

fn number(value: f64) -> Option<Operand<'static>> {
    Some(Operand::Scalar(Scalar::Float(value)))
}

const ONE: &[One] = &[
    ("exp", Tensor::exp_backward, host::exp_backward, Bound::Ulps(0.51)),
    ("log", Tensor::log_backward, host::log_backward, Bound::Ulps(3.0)),
    ("sqrt", Tensor::sqrt_backward, host::sqrt_backward, Bound::Ulps(3.0)),
    ("rsqrt", Tensor::rsqrt_backward, host::rsqrt_backward, Bound::Ulps(3.0)),
    ("reciprocal", Tensor::reciprocal_backward, host::reciprocal_backward, Bound::Ulps(2.0)),
    ("square", Tensor::square_backward, host::square_backward, Bound::Ulps(0.51)),
    (
        "neg",
        |g, x| g.neg_backward()?.to_dtype(x.dtype()),
        |g, _| host::neg_backward(g),
        Bound::Exact,
    ),
    ("sin", Tensor::sin_backward, host::sin_backward, Bound::Absolute(3.0 * UNIT)),
    ("cos", Tensor::cos_backward, host::cos_backward, Bound::Absolute(3.0 * UNIT)),
    ("tanh", Tensor::tanh_backward, host::tanh_backward, Bound::Ulps(3.0)),
    ("sigmoid", Tensor::sigmoid_backward, host::sigmoid_backward, Bound::Ulps(3.0)),
    ("relu", Tensor::relu_backward, host::relu_backward, Bound::Exact),
    ("abs", Tensor::abs_backward, host::abs_backward, Bound::Exact),
    (
        "clamp",
        |g, x| g.clamp_backward(x, Some(-1.5), Some(2.25)),
        |g, x| host::clamp_backward(g, x, number(-1.5), number(2.25)),
        Bound::Exact,
    ),
    (
        "clamp from below",
        |g, x| g.clamp_backward(x, Some(0.5), None),
        |g, x| host::clamp_backward(g, x, number(0.5), None),
        Bound::Exact,
    ),
    ("silu", Tensor::silu_backward, host::silu_backward, Bound::UlpsOr(8.0, 4.0 * UNIT)),
    (
        "gelu",
        Tensor::gelu_backward,
        |g, x| host::gelu_backward(g, x, Approximate::None),
        Bound::UlpsOr(8.0, 4.0 * UNIT),
    ),
    (
        "gelu_tanh",
        Tensor::gelu_tanh_backward,
        |g, x| host::gelu_backward(g, x, Approximate::Tanh),
        Bound::Absolute(16.0 * UNIT),
    ),
];

fn wide(x: &Array) -> Array {
    x.cast(host::DType::F64).unwrap()
}

/// Gradients of a result of this shape.
fn gradients(bench: &Bench, numbers: &mut Numbers, dtype: DType, shape: &[usize]) -> Both {
    let n = shape.iter().product();
    let values: Vec<f64> =
        (0..n).map(|_| numbers.unit().signum() * (LARGEST - numbers.unit().abs())).collect();
    let bytes = values::bytes(dtype, &values);
    let device = Tensor::from_bytes(&bench.stream, &bytes, dtype, shape).unwrap();
    let strides: Vec<isize> = device.strides().iter().map(|&s| s as isize).collect();
    let on_host = layouts::on_host(dtype);
    Both { device, host: Array::from_bytes(on_host, &bytes, shape, &strides, 0).unwrap() }
}

fn views(dtype: DType) -> &'static [View] {
    match (dtype, is_frugal()) {
        (DType::F32, false) => layouts::first(12),
        (_, false) => layouts::first(2),
        (_, true) => layouts::first(1),
    }
}

#[test]
fn gradients_of_functions_of_one() {
    for (way, options) in ways() {
        let Some(mut bench) = Bench::open(&options) else { return };
        let (mut judge, mut numbers) = (Judge::default(), Numbers::new(71));
        for &(name, device, reference, bound) in ONE {
            for dtype in if is_frugal() { &FLOATS[..1] } else { &FLOATS[..] } {
                for view in views(*dtype) {
                    bench.guard();
                    let values = values::floats(&mut numbers, view.numel(), Range::All);
                    let saved = view.of(&bench.stream, *dtype, &values::bytes(*dtype, &values));
                    // Of another type too.
                    let grad_type = if view.name == "stepped" { DType::F32 } else { *dtype };
                    let grad = gradients(&bench, &mut numbers, grad_type, saved.device.shape());
                    let case = format!("{name}_backward of {dtype}, {}{way}", view.name);
                    let got = device(&grad.device, &saved.device).unwrap();
                    assert_eq!(got.dtype(), *dtype, "{case}");
                    let wanted = reference(&wide(&grad.host), &wide(&saved.host)).unwrap();
                    judge.floats(&got, &wanted, bound, &case);
                }
            }
        }
        let integers = Tensor::zeros(&bench.stream, DType::I64, &[3]).unwrap();
        let refused = integers.exp_backward(&integers).unwrap_err().to_string();
        assert!(refused.contains("give floats"), "{refused}");
        bench.finish(&format!("gradients of functions of one{way}"), &judge);
    }
}

type Pair<T> = (T, T);

type Two = (
    &'static str,
    fn(&Tensor, &Tensor, &Tensor) -> Result<Pair<Tensor>>,
    fn(&Array, &Array, &Array) -> host::Result<Pair<Array>>,
    Pair<f64>,
);

const TWO: &[Two] = &[
    ("add", Tensor::add_backward, host::add_backward, (0.51, 0.51)),
    ("sub", Tensor::sub_backward, host::sub_backward, (0.51, 0.51)),
    ("mul", Tensor::mul_backward, host::mul_backward, (0.51, 0.51)),
    ("div", Tensor::div_backward, host::div_backward, (3.0, 8.0)),
    (
        "pow",
        Tensor::pow_backward,
        |g, a, b| host::pow_backward(g, a, b, &host::pow(a, b)?),
        (64.0, 24.0),
    ),
    ("maximum", Tensor::maximum_backward, host::maximum_backward, (0.51, 0.51)),
    ("minimum", Tensor::minimum_backward, host::minimum_backward, (0.51, 0.51)),
];

/// The sum of the absolute values of what is summed to a shape.
fn size_of_sums(grads: &Array, shape: &[usize]) -> f64 {
    let sums = host::sum_to_shape(&host::abs(grads).unwrap(), shape).unwrap();
    sums.to_vec::<f64>().unwrap().into_iter().fold(0.0, f64::max)
}

#[test]
fn gradients_of_functions_of_two() {
    for (way, options) in ways() {
        let Some(mut bench) = Bench::open(&options) else { return };
        let (mut judge, mut numbers) = (Judge::default(), Numbers::new(72));
        let pairs = if is_frugal() { &PAIRS[1..2] } else { PAIRS };
        for (first, second) in [(DType::F32, DType::F32), (DType::F16, DType::F32)] {
            for (a_view, b_view) in pairs {
                bench.guard();
                let mut both = |view: &View, dtype| {
                    // Positive, so that powers are numbers; and some equal.
                    let values: Vec<f64> =
                        values::floats(&mut numbers, view.numel(), Range::Moderate)
                            .iter()
                            .enumerate()
                            .map(|(i, x)| if i % 7 == 0 { 1.5 } else { (x / 4.0).abs() + 0.125 })
                            .collect();
                    view.of(&bench.stream, dtype, &values::bytes(dtype, &values))
                };
                let (a, b) = (both(a_view, first), both(b_view, second));
                let shape = a.device.add(&b.device).unwrap().shape().to_vec();
                let grad = gradients(&bench, &mut numbers, second, &shape);
                let [g, x, y] = [&grad, &a, &b].map(|both| wide(&both.host));
                for &(name, device, reference, (ulps_a, ulps_b)) in TWO {
                    let case = format!(
                        "{name}_backward of {first} and {second}, {} and {}{way}",
                        a_view.name, b_view.name
                    );
                    let (for_a, for_b) = device(&grad.device, &a.device, &b.device).unwrap();
                    // Of each element by itself, and summed.
                    let (full_x, full_y) = (x.broadcast_to(&shape), y.broadcast_to(&shape));
                    let full = reference(&g, &full_x.unwrap(), &full_y.unwrap()).unwrap();
                    let wanted = reference(&g, &x, &y).unwrap();
                    for (got, wanted, full, ulps, input) in [
                        (for_a, wanted.0, full.0, ulps_a, &a),
                        (for_b, wanted.1, full.1, ulps_b, &b),
                    ] {
                        assert_eq!(got.dtype(), input.device.dtype(), "{case}");
                        let repeated = input.device.shape() != shape;
                        let bound = if repeated {
                            let size = size_of_sums(&full, input.device.shape());
                            Bound::Absolute((ulps + 4.0) * size * 2f64.powi(-23))
                        } else {
                            Bound::Ulps(ulps)
                        };
                        judge.floats(&got, &wanted, bound, &case);
                    }
                }
                // With a condition.
                let condition = a.device.gt(&b.device).unwrap();
                let condition_host = host::gt(&a.host, &b.host).unwrap();
                let got = grad.device.where_backward(&condition, &a.device, &b.device).unwrap();
                let wanted = host::where_backward(&g, &condition_host, &x, &y).unwrap();
                for (got, wanted) in [(got.0, wanted.0), (got.1, wanted.1)] {
                    let size = size_of_sums(&g, got.shape());
                    let case = format!("where_backward, {} and {}{way}", a_view.name, b_view.name);
                    judge.floats(
                        &got,
                        &wanted,
                        Bound::Absolute(4.0 * size * 2f64.powi(-23)),
                        &case,
                    );
                }
                if a.device.shape() == shape {
                    let got = grad.device.pow_number_backward(&a.device, 3.5).unwrap();
                    let power = Array::scalar(3.5_f64);
                    let wanted =
                        host::pow_backward(&g, &x, &power, &host::pow(&x, &power).unwrap());
                    judge.floats(&got, &wanted.unwrap().0, Bound::Ulps(64.0), "a number's power");
                }
            }
        }
        bench.finish(&format!("gradients of functions of two{way}"), &judge);
    }
}

/// Where powers are 0, no numbers or without an end.
#[test]
fn gradients_of_awkward_powers() {
    let Some(bench) = Bench::open(&crate::common::options()) else { return };
    let mut judge = Judge::default();
    let bases: [f32; 7] = [0.0, 0.0, 0.0, -2.0, -2.0, 2.0, 1.0];
    let exponents: [f32; 7] = [0.0, 2.0, 1.0, 3.0, 0.5, 0.0, -3.0];
    let tensor = |x: &[f32]| Tensor::from_host(&bench.stream, x, &[7]).unwrap();
    let array = |x: &[f32]| Array::from_slice(x, &[7]).unwrap();
    let ones = [1.0; 7];
    let got = tensor(&ones).pow_backward(&tensor(&bases), &tensor(&exponents)).unwrap();
    let (a, b) = (array(&bases), array(&exponents));
    let power = host::pow(&a, &b).unwrap();
    let wanted = host::pow_backward(&array(&ones), &a, &b, &power).unwrap();
    judge.floats(&got.0, &wanted.0, Bound::Ulps(64.0), "of bases");
    judge.floats(&got.1, &wanted.1, Bound::Ulps(24.0), "of exponents");
    bench.finish("gradients of awkward powers", &judge);
}

#[test]
fn sums_to_a_shape() {
    let Some(bench) = Bench::open(&crate::common::options()) else { return };
    let mut judge = Judge::default();
    let ones = Tensor::full(&bench.stream, 1.0, DType::F16, &[2, 3, 4]).unwrap();
    for (shape, count) in
        [(&[3, 4][..], 2), (&[1, 4], 6), (&[], 24), (&[2, 1, 1], 12), (&[1, 3, 4], 2)]
    {
        let got = ones.sum_to_shape(shape).unwrap();
        let wanted = Array::full(shape, f64::from(count), host::DType::F64).unwrap();
        judge.floats(&got, &wanted, Bound::Exact, "sum_to_shape");
    }
    assert!(ones.sum_to_shape(&[2, 4]).is_err() && ones.sum_to_shape(&[1, 1, 1, 1]).is_err());
    bench.finish("sums to a shape", &judge);
}
