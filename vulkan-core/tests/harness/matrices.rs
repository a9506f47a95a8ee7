//! Products of matrices.

use numpack_host_ops as host;
use numpack_host_ops::Array;
use vulkan_core::{Activation, DType, DeviceKind, DeviceOptions, Feature, Tensor};

use crate::common::{self, Numbers};
use crate::judge::{Bound, Judge};
use crate::layouts::{Both, View, view};
use crate::{Bench, is_frugal, values};

/// Ragged and round, tiny and with many summed, turned either way, of many matrices.
pub(crate) const CASES: &[(View, View)] = &[
    (view!([13, 21]), view!([21, 18])),
    (view!([64, 64]), view!([64, 64])),
    (view!([100, 10]), view!([10, 20])),
    (view!([1, 300]), view!([300, 7])),
    (view!([300]), view!([300])),
    (view!([33, 1000]), view!([1000])),
    (view!([1000]), view!([1000, 3])),
    (view!([40, 24], "turned", t => t.t()), view!([40, 36])),
    (view!([24, 40]), view!([36, 40], "turned", t => t.t())),
    (view!([40, 24], "turned", t => t.t()), view!([36, 40], "turned", t => t.t())),
    (view!([19, 30], "from an odd place", t => t.narrow(1, 1, 17)), view!([17, 9])),
    (view!([20, 34], "stepped", t => t.slice(1, 0, 34, 2)), view!([17, 12])),
    (view!([3, 12, 16]), view!([3, 16, 20])),
    (view!([3, 12, 16]), view!([16, 20])),
    (view!([2, 1, 9, 8]), view!([3, 8, 5])),
    (view!([4, 3, 2, 8, 6], "five dimensions", t => t.permute(&[2, 0, 1, 3, 4])), view!([6, 10])),
    (view!([0, 5]), view!([5, 3])),
    (view!([4, 0]), view!([0, 3])),
    (view!([70, 129]), view!([129, 66])),
];

pub(crate) fn ways() -> Vec<(&'static str, DeviceOptions)> {
    let mut ways = vec![("", common::options())];
    ways.push((", as on a GPU", common::options().kernels_for(DeviceKind::Discrete)));
    if !is_frugal() {
        ways.push((", small limits", common::options().max_groups(3)));
        let alone = common::options().without(Feature::SubgroupBroadcast);
        ways.push((", invocations alone", alone));
    }
    ways
}

pub(crate) fn wide(x: &Array) -> Array {
    x.cast(host::DType::F64).unwrap()
}

pub(crate) fn some(bench: &Bench, numbers: &mut Numbers, view: &View, dtype: DType) -> Both {
    let values: Vec<f64> = (0..view.numel()).map(|_| numbers.unit()).collect();
    view.of(&bench.stream, dtype, &values::bytes(dtype, &values))
}

/// Half of a unit for each of the sums, of what is summed at most.
pub(crate) fn bound(a: &Array, b: &Array) -> Bound {
    let sizes = host::matmul(&host::abs(a).unwrap(), &host::abs(b).unwrap()).unwrap();
    let largest = sizes.to_vec::<f64>().unwrap().into_iter().fold(0.0, f64::max);
    let k = *a.shape().last().unwrap_or(&1) as f64;
    Bound::Absolute((k + 2.0) * 2f64.powi(-24) * largest)
}

#[test]
fn products_of_matrices() {
    for (way, options) in ways() {
        let Some(mut bench) = Bench::open(&options) else { return };
        let (mut judge, mut numbers) = (Judge::default(), Numbers::new(41));
        let types = [(DType::F32, DType::F32), (DType::F16, DType::F16), (DType::BF16, DType::F32)];
        for (first, second) in types.into_iter().take(if is_frugal() { 1 } else { 3 }) {
            for (a, b) in CASES.iter().take(if is_frugal() { 6 } else { CASES.len() }) {
                bench.guard();
                let (x, y) =
                    (some(&bench, &mut numbers, a, first), some(&bench, &mut numbers, b, second));
                let case = format!(
                    "{first} {:?} by {second} {:?}{way}",
                    x.device.shape(),
                    y.device.shape()
                );
                let got = x.device.matmul(&y.device).unwrap();
                let (p, q) = (wide(&x.host), wide(&y.host));
                judge.floats(&got, &host::matmul(&p, &q).unwrap(), bound(&p, &q), &case);
                let again = x.device.matmul(&y.device).unwrap();
                assert!(got.to_bytes().unwrap() == again.to_bytes().unwrap(), "{case}");
            }
        }
        bench.finish(&format!("products of matrices{way}"), &judge);
    }
}

#[test]
fn linear_layers() {
    for (way, options) in ways() {
        let Some(bench) = Bench::open(&options) else { return };
        let (mut judge, mut numbers) = (Judge::default(), Numbers::new(42));
        let activations = [
            (Activation::None, host::Activation::None),
            (Activation::Relu, host::Activation::Relu),
            (Activation::Gelu, host::Activation::Gelu(host::Approximate::None)),
            (Activation::GeluTanh, host::Activation::Gelu(host::Approximate::Tanh)),
            (Activation::Silu, host::Activation::Silu),
            (Activation::Tanh, host::Activation::Tanh),
            (Activation::Sigmoid, host::Activation::Sigmoid),
        ];
        let layers = [
            (view!([50, 30]), view!([22, 30]), view!([22])),
            (view!([2, 500]), view!([3, 500]), view!([3])),
        ];
        for (x, w, bias) in layers {
            for (device, reference) in activations.into_iter().take(if is_frugal() { 2 } else { 7 })
            {
                let case = format!("{device:?}, {:?} by {:?}{way}", x.base, w.base);
                let x = some(&bench, &mut numbers, &x, DType::F32);
                let w = some(&bench, &mut numbers, &w, DType::F32);
                let b = some(&bench, &mut numbers, &bias, DType::F32);
                let got = x.device.linear(&w.device, Some(&b.device), device).unwrap();
                let expected =
                    host::linear(&wide(&x.host), &wide(&w.host), Some(&wide(&b.host)), reference)
                        .unwrap();
                judge.floats(&got, &expected, Bound::Absolute(3e-5), &case);
                let got = x.device.linear(&w.device, None, device).unwrap();
                let expected =
                    host::linear(&wide(&x.host), &wide(&w.host), None, reference).unwrap();
                judge.floats(&got, &expected, Bound::Absolute(3e-5), &case);
            }
        }
        bench.finish(&format!("linear layers{way}"), &judge);
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let Some(bench) = Bench::open(&common::options().max_storage_range(4096)) else { return };
    let ones = |shape: &[usize], dtype| Tensor::full(&bench.stream, 1.0, dtype, shape).unwrap();
    let a = ones(&[2, 3], DType::F32);
    let cases = [
        (a.matmul(&ones(&[4, 2], DType::F32)), "3 columns meet 4 rows"),
        (a.matmul(&ones(&[3, 2], DType::I32)), "cast to a float type first"),
        (a.matmul(&ones(&[], DType::F32)), "use mul"),
        (ones(&[2, 2, 3], DType::F32).matmul(&ones(&[3, 3, 2], DType::F32)), "do not broadcast"),
        (ones(&[64, 64], DType::F32).matmul(&ones(&[64, 64], DType::F32)), "multiply parts of it"),
        (a.linear(&ones(&[5], DType::F32), None, Activation::None), "give (out, in)"),
        (
            a.linear(&ones(&[5, 3], DType::F32), Some(&ones(&[4], DType::F32)), Activation::None),
            "one number for each of 5 columns",
        ),
    ];
    for (result, expected) in cases {
        let refused = result.unwrap_err().to_string();
        assert!(refused.contains(expected), "{refused}");
    }
    bench.finish("products that are refused", &Judge::default());
}
