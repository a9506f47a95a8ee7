//! Losses of rows over classes, and their gradients.

use numpack_host_ops as host;
use numpack_host_ops::Array;
use vulkan_core::{CrossEntropy, DType, Reduction, Tensor};

use crate::common::Numbers;
use crate::judge::{Bound, Judge};
use crate::layouts::{Both, View};
use crate::rows::{dtypes, largest, row_ways, some, view, wide};
use crate::values;
use crate::{Bench, is_frugal};

/// Logits, and the shape of the targets.
const LOGITS: &[(View, &[usize])] = &[
    (view!("few" [100, 2]), &[100]),
    (view!("many classes" [40, 1200]), &[40]),
    (view!("more rows than a group counts" [1401, 5]), &[1401]),
    (view!("as many as a group counts" [1024, 3]), &[1024]),
    (view!("odd classes" [7, 131]), &[7]),
    (view!("one row"[5]), &[]),
    (view!("images" [3, 6, 4, 5]), &[3, 4, 5]),
    (view!("transposed" [12, 50], t => t.t()), &[50]),
    (view!("none" [0, 4]), &[0]),
];

const OPTIONS: [(Reduction, bool, f64); 5] = [
    (Reduction::Mean, false, 0.0),
    (Reduction::Sum, true, 0.1),
    (Reduction::None, true, 0.0),
    (Reduction::Mean, true, 0.25),
    (Reduction::None, false, 1.0),
];

fn logits(dtype: DType) -> &'static [(View, &'static [usize])] {
    match (dtype, is_frugal()) {
        (_, true) => &LOGITS[..2],
        (DType::F32, _) => LOGITS,
        _ => &LOGITS[..3],
    }
}

fn same(reduction: Reduction) -> host::Reduction {
    match reduction {
        Reduction::None => host::Reduction::None,
        Reduction::Mean => host::Reduction::Mean,
        Reduction::Sum => host::Reduction::Sum,
    }
}

/// Options on the device and on the host.
fn both_options(
    bench: &Bench,
    numbers: &mut Numbers,
    classes: usize,
    (reduction, weighted, label_smoothing): (Reduction, bool, f64),
) -> (CrossEntropy, host::CrossEntropy) {
    let values: Vec<f32> = (0..classes).map(|_| numbers.unit() as f32 * 0.75 + 1.0).collect();
    let weight = Tensor::from_host(&bench.stream, &values, &[classes]).unwrap();
    let on_host = Array::from_vec(values, &[classes]).unwrap();
    (
        CrossEntropy {
            weight: weighted.then_some(weight),
            ignore_index: 1,
            label_smoothing,
            reduction,
        },
        host::CrossEntropy {
            weight: weighted.then(|| wide(&on_host)),
            ignore_index: 1,
            label_smoothing,
            reduction: same(reduction),
        },
    )
}

/// Class indices, some of which are to be ignored.
fn classes(bench: &Bench, numbers: &mut Numbers, n: usize, dtype: DType, shape: &[usize]) -> Both {
    let count = shape.iter().product();
    let values: Vec<f64> = (0..count).map(|_| numbers.below(n) as f64).collect();
    let bytes = values::bytes(dtype, &values);
    let device = Tensor::from_bytes(&bench.stream, &bytes, dtype, shape).unwrap();
    let values = values.into_iter().map(|v| v as i64).collect();
    Both { device, host: Array::from_vec(values, shape).unwrap() }
}

type Loss = fn(&Tensor, &Tensor, &CrossEntropy) -> vulkan_core::Result<Tensor>;
type Gradient = fn(&Tensor, &Tensor, &Tensor, &CrossEntropy) -> vulkan_core::Result<Tensor>;
type OnHost = fn(&Array, &Array, &host::CrossEntropy) -> host::Result<Array>;
type GradientOnHost = fn(&Array, &Array, &Array, &host::CrossEntropy) -> host::Result<Array>;

/// One loss in all its ways: of a target, with options.
struct Case<'a> {
    x: &'a Both,
    target: &'a Both,
    device: &'a CrossEntropy,
    host: &'a host::CrossEntropy,
    name: String,
}

impl Case<'_> {
    /// The largest part of the result that one row has.
    fn share(&self) -> f64 {
        let weight = self.host.weight.as_ref().map(|w| w.to_vec::<f64>().unwrap());
        let heaviest = self.host.weight.as_ref().map_or(1.0, largest);
        let rows = if self.target.host.dtype().is_float() {
            self.target.host.numel() as f64 / self.classes() as f64
        } else {
            let classes = self.target.host.to_vec::<i64>().unwrap().into_iter();
            let counted = classes.filter(|&class| class != self.host.ignore_index);
            counted.map(|class| weight.as_ref().map_or(1.0, |w| w[class as usize])).sum()
        };
        if self.device.reduction == Reduction::Mean && rows > 0.0 {
            heaviest / rows
        } else {
            heaviest
        }
    }

    fn classes(&self) -> usize {
        let shape = self.x.device.shape();
        shape[usize::from(shape.len() > 1)]
    }

    fn check(
        &self,
        judge: &mut Judge,
        (loss, gradient): (Loss, Gradient),
        (on_host, gradient_on_host): (OnHost, GradientOnHost),
    ) -> Array {
        let Case { x, target, device, host, name } = self;
        let wide_x = wide(&x.host);
        let rows = (x.host.numel() / self.classes()) as f64;
        let expected = on_host(&wide_x, &target.host, host).unwrap();
        let got = loss(&x.device, &target.device, device).unwrap();
        assert_eq!(got.dtype(), x.device.dtype());
        let all = if device.reduction == Reduction::None { 1.0 } else { rows.max(1.0) };
        judge.floats(&got, &expected, Bound::UlpsOr(8.0, 1e-6 * self.share() * all), name);

        let grad_values: Vec<f32> = (0..expected.numel()).map(|i| 1.0 - i as f32 / 64.0).collect();
        let grad = Tensor::from_host(&got.stream().clone(), &grad_values, got.shape()).unwrap();
        let grad_on_host = wide(&Array::from_vec(grad_values, expected.shape()).unwrap());
        let wanted = gradient_on_host(&grad_on_host, &wide_x, &target.host, host).unwrap();
        let got = gradient(&x.device, &grad, &target.device, device).unwrap();
        assert_eq!(got.dtype(), x.device.dtype());
        let bound = Bound::Absolute(2e-6 * self.share() * largest(&grad_on_host));
        judge.floats(&got, &wanted, bound, &format!("gradient of {name}"));
        expected
    }

    /// Losses and gradient at once.
    fn check_at_once(&self, judge: &mut Judge, expected: &Array) {
        let Case { x, target, device, host, name } = self;
        let rows = (x.host.numel() / self.classes()) as f64;
        let at_once = || x.device.cross_entropy_with_grad(&target.device, device).unwrap();
        let (losses, grad) = at_once();
        let ones = Array::full(expected.shape(), 1.0, host::DType::F64).unwrap();
        let wanted =
            host::cross_entropy_backward(&ones, &wide(&x.host), &target.host, host).unwrap();
        let bound = Bound::Absolute(2e-6 * self.share());
        judge.floats(&grad, &wanted, bound, &format!("gradient with {name}"));
        if device.reduction == Reduction::None {
            judge.floats(&losses, expected, Bound::UlpsOr(8.0, 1e-6 * self.share()), name);
        } else if rows > 0.0 {
            let sum = losses.sum(&[], false).unwrap();
            let bound = Bound::UlpsOr(8.0, 1e-6 * self.share() * rows);
            judge.floats(&sum, expected, bound, name);
        }
        let again = at_once();
        assert!(losses.to_bytes().unwrap() == again.0.to_bytes().unwrap(), "{name}");
        assert!(grad.to_bytes().unwrap() == again.1.to_bytes().unwrap(), "{name}");
    }
}

#[test]
fn losses_of_classes() {
    for (way, options) in row_ways() {
        let Some(mut bench) = Bench::open(&options) else { return };
        let (mut judge, mut numbers) = (Judge::default(), Numbers::new(61));
        let indices = [DType::I64, DType::I32, DType::U8];
        for dtype in dtypes(way) {
            for (i, (view, shape)) in logits(dtype).iter().enumerate() {
                for (k, option) in OPTIONS.into_iter().enumerate() {
                    // Two of the options with one type, and one with the others.
                    if k != i % 5 && (dtype != DType::F32 || k != (i + 3) % 5 || is_frugal()) {
                        continue;
                    }
                    bench.guard();
                    let x = some(&bench, &mut numbers, view, dtype);
                    let n = x.device.shape()[usize::from(x.device.ndim() > 1)];
                    let (device, host) = both_options(&bench, &mut numbers, n, option);
                    let index = if n > 256 { DType::I64 } else { indices[i % 3] };
                    let target = classes(&bench, &mut numbers, n, index, shape);
                    let name = format!("{dtype}, {}, {option:?}{way}", view.name);
                    let case = Case { x: &x, target: &target, device: &device, host: &host, name };
                    let expected = case.check(
                        &mut judge,
                        (Tensor::cross_entropy, Tensor::cross_entropy_backward),
                        (host::cross_entropy, host::cross_entropy_backward),
                    );
                    case.check_at_once(&mut judge, &expected);
                    if option.2 == 0.0 && way.is_empty() {
                        let case = Case { name: format!("nll of {}", case.name), ..case };
                        case.check(
                            &mut judge,
                            (Tensor::nll_loss, Tensor::nll_loss_backward),
                            (host::nll_loss, host::nll_loss_backward),
                        );
                    }
                }
            }
        }
        bench.finish(&format!("losses of classes{way}"), &judge);
    }
}

#[test]
fn losses_of_probabilities() {
    for (way, options) in row_ways() {
        let Some(mut bench) = Bench::open(&options) else { return };
        let (mut judge, mut numbers) = (Judge::default(), Numbers::new(62));
        for dtype in dtypes(way) {
            for (i, (view, _)) in logits(dtype).iter().enumerate() {
                bench.guard();
                let option = OPTIONS[i % 4];
                let x = some(&bench, &mut numbers, view, dtype);
                let dim = isize::from(x.device.ndim() > 1);
                let n = x.device.shape()[dim as usize];
                let (device, host) = both_options(&bench, &mut numbers, n, option);
                let of = some(&bench, &mut numbers, view, DType::F32).device.softmax(dim).unwrap();
                let on_host = Array::from_vec(values::as_f64(&of), of.shape()).unwrap();
                let target = Both { device: of, host: on_host };
                let name = format!("{dtype}, probable {}, {option:?}{way}", view.name);
                let case = Case { x: &x, target: &target, device: &device, host: &host, name };
                let expected = case.check(
                    &mut judge,
                    (Tensor::cross_entropy, Tensor::cross_entropy_backward),
                    (host::cross_entropy, host::cross_entropy_backward),
                );
                case.check_at_once(&mut judge, &expected);
            }
        }
        bench.finish(&format!("losses of probabilities{way}"), &judge);
    }
}

/// One dispatch for the loss and its gradient, a class that there is not, and what is refused.
#[test]
fn a_loss_is_one_dispatch() {
    let Some(bench) = Bench::open(&crate::common::options()) else { return };
    let options = CrossEntropy::default();
    let zeros = |rows| Tensor::zeros(&bench.stream, DType::F32, &[rows, 2]).unwrap();
    for rows in [100, 1024] {
        let target = Tensor::full(&bench.stream, 1.0, DType::I64, &[rows]).unwrap();
        let x = zeros(rows);
        let before = bench.device.usage().dispatches;
        let (losses, grad) = x.cross_entropy_with_grad(&target, &options).unwrap();
        assert_eq!(bench.device.usage().dispatches - before, 1);
        let expected = std::f32::consts::LN_2 / rows as f32;
        assert!(losses.to_host::<f32>().unwrap().iter().all(|l| (l - expected).abs() < 1e-8));
        assert!(grad.to_host::<f32>().unwrap().chunks(2).all(|g| (g[0] + g[1]).abs() < 1e-9));
    }
    let (x, target) = (zeros(100), Tensor::full(&bench.stream, 1.0, DType::I64, &[100]).unwrap());

    let each = CrossEntropy { reduction: Reduction::None, ..CrossEntropy::default() };
    let beyond = Tensor::from_host(&bench.stream, &[0_i64, 2, -1, -100], &[4]).unwrap();
    let few = Tensor::zeros(&bench.stream, DType::F32, &[4, 2]).unwrap();
    let losses = few.cross_entropy(&beyond, &each).unwrap().to_host::<f32>().unwrap();
    assert!(losses[0] > 0.6 && losses[1].is_nan() && losses[2].is_nan() && losses[3] == 0.0);
    let (_, grad) = few.cross_entropy_with_grad(&beyond, &each).unwrap();
    let grad = grad.to_host::<f32>().unwrap();
    assert!(grad[0] == -0.5 && grad[2].is_nan() && grad[5].is_nan() && grad[6] == 0.0);

    let heavy = CrossEntropy { weight: Some(losses_weight(&bench)), ..CrossEntropy::default() };
    let smooth = CrossEntropy { label_smoothing: 1.5, ..CrossEntropy::default() };
    let of = |dtype| target.to_dtype(dtype).unwrap();
    let cases = [
        (x.cross_entropy(&target.narrow(0, 0, 9).unwrap(), &options), "give [100]"),
        (x.cross_entropy(&target, &heavy), "the weight has shape [3]"),
        (x.cross_entropy(&target, &smooth), "give one from 0 to 1"),
        (x.cross_entropy(&of(DType::Bool), &options), "give class indices"),
        (x.nll_loss(&of(DType::F32), &options), "give class indices"),
        (of(DType::I32).cross_entropy(&target, &options), "cast to a float type first"),
        (x.cross_entropy_backward(&x, &target, &options), "which the result has"),
    ];
    for (result, expected) in cases {
        let refused = result.unwrap_err().to_string();
        assert!(refused.contains(expected), "{refused}");
    }
    bench.finish("a loss", &Judge::default());
}

fn losses_weight(bench: &Bench) -> Tensor {
    Tensor::full(&bench.stream, 1.0, DType::F32, &[3]).unwrap()
}
