//! Sums, means, extremes and their places along dimensions.

use numpack_host_ops as host;
use numpack_host_ops::Array;
use vulkan_core::{DType, DeviceKind, DeviceOptions, Tensor};

use crate::common::Numbers;
use crate::judge::{Bound, Judge};
use crate::layouts::View;
use crate::values;
use crate::{Bench, common, is_frugal};

/// What is reduced, and along which dimensions.
const CASES: &[(View, &[isize])] = &[
    (View { name: "long rows", base: &[3, 5000], make: |t| t.clone() }, &[1]),
    (View { name: "short rows", base: &[700, 5], make: |t| t.clone() }, &[1]),
    (View { name: "columns", base: &[300, 17], make: |t| t.clone() }, &[0]),
    (View { name: "everything", base: &[1001], make: |t| t.clone() }, &[]),
    (View { name: "transposed", base: &[64, 40], make: |t| t.t().unwrap() }, &[-1]),
    (View { name: "the middle", base: &[4, 50, 8], make: |t| t.clone() }, &[1]),
    (View { name: "the outer two", base: &[4, 50, 8], make: |t| t.clone() }, &[0, 2]),
    (View { name: "stepped", base: &[10, 90], make: |t| t.slice(1, 1, 90, 2).unwrap() }, &[1]),
    (View { name: "repeated", base: &[6, 1], make: |t| t.expand(&[6, 30]).unwrap() }, &[1]),
    (
        View {
            name: "six dimensions",
            base: &[2, 3, 2, 3, 2, 3],
            make: |t| t.permute(&[5, 0, 3, 2, 1, 4]).unwrap(),
        },
        &[0, 2, 4],
    ),
    (View { name: "one", base: &[1, 1], make: |t| t.clone() }, &[0]),
    (View { name: "no rows", base: &[0, 5], make: |t| t.clone() }, &[1]),
];

/// On processors, an invocation's elements lie in a row; on GPUs, those of neighbours do.
pub(crate) fn ways() -> Vec<(&'static str, DeviceOptions)> {
    let mut ways = crate::ways();
    ways.push((", as on a GPU", common::options().kernels_for(DeviceKind::Discrete)));
    ways
}

pub(crate) fn cases() -> &'static [(View, &'static [isize])] {
    if is_frugal() { &CASES[..3] } else { CASES }
}

fn wide(x: &Array) -> Array {
    x.cast(host::DType::F64).unwrap()
}

#[test]
fn sums_and_means_of_floats() {
    for (way, options) in ways() {
        let Some(mut bench) = Bench::open(&options) else { return };
        let (mut judge, mut numbers) = (Judge::default(), Numbers::new(31));
        for dtype in [DType::F32, DType::F16, DType::BF16] {
            for (view, dims) in cases() {
                bench.guard();
                let values: Vec<f64> =
                    (0..view.numel()).map(|_| numbers.unit() * 3.0 + 1.0).collect();
                let both = view.of(&bench.stream, dtype, &values::bytes(dtype, &values));
                let x = wide(&both.host);
                for keepdim in [false, true] {
                    let case = |name| format!("{name} of {dtype}, {}, {dims:?}{way}", view.name);
                    let size = host::sum(&host::abs(&x).unwrap(), dims, keepdim).unwrap();
                    let largest = size.to_vec::<f64>().unwrap().into_iter().fold(0.0, f64::max);
                    let bound = Bound::Absolute(4.0 * 2f64.powi(-23) * largest);
                    let sum = both.device.sum(dims, keepdim).unwrap();
                    judge.floats(&sum, &host::sum(&x, dims, keepdim).unwrap(), bound, &case("sum"));
                    let n = (both.device.numel() / sum.numel().max(1)).max(1) as f64;
                    let bound = Bound::Absolute(5.0 * 2f64.powi(-23) * largest / n);
                    let mean = both.device.mean(dims, keepdim).unwrap();
                    judge.floats(
                        &mean,
                        &host::mean(&x, dims, keepdim).unwrap(),
                        bound,
                        &case("mean"),
                    );
                    for correction in [0, 1] {
                        let got = both.device.var(dims, f64::from(correction), keepdim).unwrap();
                        let expected = host::var(&x, dims, f64::from(correction), keepdim).unwrap();
                        let case = case("var");
                        // Or the square of what the mean of numbers up to 4 is off.
                        judge.floats(&got, &expected, Bound::UlpsOr(64.0, 1e-12), &case);
                    }
                    let again = both.device.sum(dims, keepdim).unwrap();
                    assert!(
                        again.to_bytes().unwrap() == sum.to_bytes().unwrap(),
                        "{}",
                        case("sum")
                    );
                }
            }
        }
        let nothing = Tensor::zeros(&bench.stream, DType::F32, &[3, 0]).unwrap();
        assert_eq!(nothing.sum(&[1], false).unwrap().to_host::<f32>().unwrap(), [0.0; 3]);
        assert!(
            nothing.mean(&[1], false).unwrap().to_host::<f32>().unwrap().iter().all(|v| v.is_nan())
        );
        let refused = nothing.amax(&[1], false).unwrap_err().to_string();
        assert!(refused.contains("no elements to choose from"), "{refused}");
        assert!(nothing.sum(&[2], false).is_err() && nothing.sum(&[0, 0], false).is_err());
        bench.finish(&format!("sums and means{way}"), &judge);
    }
}

/// A sum of many is as good as one of few.
#[test]
fn a_long_sum_keeps_its_digits() {
    let Some(bench) = Bench::open(&common::options()) else { return };
    let mut judge = Judge::default();
    let n = 3_000_001;
    let tenth = Tensor::full(&bench.stream, 0.1, DType::F32, &[n]).unwrap();
    let expected = Array::from_slice(&[f64::from(0.1_f32) * n as f64], &[]).unwrap();
    judge.floats(&tenth.sum(&[], false).unwrap(), &expected, Bound::Ulps(2.0), "many tenths");
    bench.finish("a long sum", &judge);
}

#[test]
fn reductions_of_integers() {
    for (way, options) in ways() {
        let Some(bench) = Bench::open(&options) else { return };
        let (mut judge, mut numbers) = (Judge::default(), Numbers::new(32));
        for dtype in [DType::I64, DType::I32, DType::U8, DType::Bool] {
            for (view, dims) in cases() {
                let bytes = values::integer_bytes(&mut numbers, dtype, view.numel());
                let both = view.of(&bench.stream, dtype, &bytes);
                let case = |name| format!("{name} of {dtype}, {}, {dims:?}{way}", view.name);
                let got = both.device.sum(dims, false).unwrap();
                judge.bits(&got, &host::sum(&both.host, dims, false).unwrap(), &case("sum"));
                let got = both.device.amax(dims, true).unwrap();
                judge.bits(&got, &host::amax(&both.host, dims, true).unwrap(), &case("amax"));
                let got = both.device.amin(dims, false).unwrap();
                judge.bits(&got, &host::amin(&both.host, dims, false).unwrap(), &case("amin"));
            }
        }
        assert!(Tensor::zeros(&bench.stream, DType::I64, &[2]).unwrap().mean(&[], false).is_err());
        bench.finish(&format!("reductions of integers{way}"), &judge);
    }
}

#[test]
fn extremes_and_their_places() {
    for (way, options) in ways() {
        let Some(bench) = Bench::open(&options) else { return };
        let (mut judge, mut numbers) = (Judge::default(), Numbers::new(33));
        for dtype in DType::ALL {
            for (view, dims) in cases() {
                // Few different ones, so that there are equal ones; NaN here and there.
                let mut values: Vec<f64> =
                    (0..view.numel()).map(|_| numbers.below(9) as f64 - 4.0).collect();
                if dtype.is_float() {
                    for _ in 0..view.numel() / 200 {
                        let at = numbers.below(view.numel());
                        values[at] = f64::NAN;
                    }
                }
                let both = view.of(&bench.stream, dtype, &values::bytes(dtype, &values));
                let case = |name| format!("{name} of {dtype}, {}, {dims:?}{way}", view.name);
                if dtype.is_float() {
                    let got = both.device.amax(dims, false).unwrap();
                    judge.bits(&got, &host::amax(&both.host, dims, false).unwrap(), &case("amax"));
                    let got = both.device.amin(dims, true).unwrap();
                    judge.bits(&got, &host::amin(&both.host, dims, true).unwrap(), &case("amin"));
                }
                // Torch has no places of truth values.
                if dims.len() > 1 || dtype == DType::Bool {
                    continue;
                }
                let dim = dims.first().copied();
                let got = both.device.argmax(dim, false);
                let Ok(expected) = host::argmax(&both.host, dim, false) else {
                    assert!(got.is_err(), "{}", case("argmax"));
                    continue;
                };
                judge.bits(&got.unwrap(), &expected, &case("argmax"));
                let got = both.device.argmin(dim, true).unwrap();
                judge.bits(&got, &host::argmin(&both.host, dim, true).unwrap(), &case("argmin"));
            }
        }
        bench.finish(&format!("extremes{way}"), &judge);
    }
}

/// Larger than what a kernel may see at once.
#[test]
fn reductions_are_cut() {
    let Some(bench) = Bench::open(&common::options().max_storage_range(8192)) else {
        return;
    };
    let mut judge = Judge::default();
    let ones = Tensor::full(&bench.stream, 1.0, DType::F32, &[30, 1000]).unwrap();
    let all = |value: f64, n: usize| Array::from_vec(vec![value; n], &[n]).unwrap();
    judge.floats(&ones.sum(&[1], false).unwrap(), &all(1000.0, 30), Bound::Exact, "rows");
    judge.floats(&ones.sum(&[0], false).unwrap(), &all(30.0, 1000), Bound::Exact, "columns");
    let total = ones.sum(&[], false).unwrap();
    assert_eq!(total.to_host::<f32>().unwrap(), [30_000.0]);
    assert_eq!(ones.var(&[], 0.0, false).unwrap().to_host::<f32>().unwrap(), [0.0]);
    assert_eq!(ones.argmax(Some(1), false).unwrap().to_host::<i64>().unwrap(), [0; 30]);
    let long = Tensor::arange(&bench.stream, 0.0, 9000.0, 1.0, DType::F32).unwrap();
    assert_eq!(long.argmax(None, false).unwrap().to_host::<i64>().unwrap(), [8999]);
    assert_eq!(long.argmin(Some(0), true).unwrap().to_host::<i64>().unwrap(), [0]);
    assert_eq!(long.amax(&[], false).unwrap().to_host::<f32>().unwrap(), [8999.0]);
    bench.finish("reductions that are cut", &judge);
}
