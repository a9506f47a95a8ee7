//! Softmax and its logarithm, and their gradients.

use numpack_host_ops as host;
use numpack_host_ops::Array;
use vulkan_core::{DType, DeviceKind, DeviceOptions, Tensor};

use crate::common::{Numbers, options};
use crate::judge::{Bound, Judge};
use crate::layouts::{Both, View};
use crate::values;
use crate::{Bench, is_frugal};

const FLOATS: [DType; 3] = [DType::F32, DType::F16, DType::BF16];

/// A way, see [`row_ways`].
const AS_GPU: &str = ", as a GPU";

/// The types that are worth a kernel's compiling each way.
pub(crate) fn dtypes(way: &str) -> Vec<DType> {
    match (way, is_frugal()) {
        ("", false) => FLOATS.to_vec(),
        ("", true) => vec![DType::F16],
        (AS_GPU, false) => vec![DType::F32, DType::BF16],
        _ => vec![DType::F32],
    }
}

macro_rules! view {
    ($name:literal $base:expr) => {
        $crate::layouts::View { name: $name, base: &$base, make: |t| t.clone() }
    };
    ($name:literal $base:expr, $t:ident => $make:expr) => {
        $crate::layouts::View { name: $name, base: &$base, make: |$t| $make.unwrap() }
    };
}
pub(crate) use view;

/// Rows, and the dimension that they lie along.
const CASES: &[(View, isize)] = &[
    (view!("few long rows" [3, 5000]), 1),
    (view!("short rows" [301, 10]), -1),
    (view!("many rows" [150, 256]), 1),
    (view!("odd rows" [70, 131]), 1),
    (view!("pairs" [513, 2]), 1),
    (view!("the middle" [4, 30, 9]), 1),
    (view!("columns" [300, 17]), 0),
    (view!("a long column" [700, 2]), 0),
    (view!("transposed" [64, 40], t => t.t()), -1),
    (view!("four dimensions" [3, 4, 5, 6], t => t.permute(&[2, 0, 3, 1])), 2),
    (view!("from the fourth" [20, 200], t => t.narrow(1, 4, 128)), 1),
    (view!("from an odd place" [20, 200], t => t.narrow(1, 3, 101)), 1),
    (view!("repeated" [6, 1], t => t.expand(&[6, 30])), 1),
    (view!("one" [1, 1]), 0),
    (view!("no dimension" [1], t => t.view(&[])), 0),
    (view!("no rows" [0, 5]), 1),
];

/// All of them where one way takes them as they are, else the first.
fn cases(way: &str, dtype: DType) -> &'static [(View, isize)] {
    match (way.is_empty(), is_frugal()) {
        (_, true) => &CASES[..2],
        (true, _) if dtype == DType::F32 => CASES,
        _ => &CASES[..5],
    }
}

/// Each way to take rows: as the device has it, in small pieces, and as GPUs have it.
pub(crate) fn row_ways() -> Vec<(&'static str, DeviceOptions)> {
    let gpu = (AS_GPU, options().kernels_for(DeviceKind::Discrete));
    if is_frugal() {
        return vec![("", options()), gpu];
    }
    let small = options().max_groups(3).max_storage_range(22_000);
    vec![("", options()), (", small limits", small), gpu]
}

pub(crate) fn wide(x: &Array) -> Array {
    x.cast(host::DType::F64).unwrap()
}

/// Numbers between -6 and 6.
pub(crate) fn some(bench: &Bench, numbers: &mut Numbers, view: &View, dtype: DType) -> Both {
    let values: Vec<f64> = (0..view.numel()).map(|_| numbers.unit() * 6.0).collect();
    view.of(&bench.stream, dtype, &values::bytes(dtype, &values))
}

/// The largest magnitude of all.
pub(crate) fn largest(x: &Array) -> f64 {
    x.to_vec::<f64>().unwrap().into_iter().fold(0.0, |m, v| m.max(v.abs()))
}

#[test]
fn softmax_and_its_logarithm() {
    for (way, options) in row_ways() {
        let Some(mut bench) = Bench::open(&options) else { return };
        let (mut judge, mut numbers) = (Judge::default(), Numbers::new(51));
        for dtype in dtypes(way) {
            for (view, dim) in cases(way, dtype) {
                bench.guard();
                let x = some(&bench, &mut numbers, view, dtype);
                let case = |name| format!("{name} of {dtype}, {}{way}", view.name);
                let got = x.device.softmax(*dim).unwrap();
                assert_eq!(got.dtype(), dtype);
                let expected = host::softmax(&wide(&x.host), *dim).unwrap();
                judge.floats(&got, &expected, Bound::Ulps(8.0 + 6.0), &case("softmax"));
                let again = x.device.softmax(*dim).unwrap();
                assert!(got.to_bytes().unwrap() == again.to_bytes().unwrap(), "{}", case("again"));
                let got = x.device.log_softmax(*dim).unwrap();
                let expected = host::log_softmax(&wide(&x.host), *dim).unwrap();
                judge.floats(&got, &expected, Bound::UlpsOr(4.0, 5e-7), &case("log_softmax"));
            }
        }
        bench.finish(&format!("softmax{way}"), &judge);
    }
}

#[test]
fn gradients_of_softmax() {
    for (way, options) in row_ways() {
        let Some(mut bench) = Bench::open(&options) else { return };
        let (mut judge, mut numbers) = (Judge::default(), Numbers::new(52));
        for dtype in dtypes(way) {
            for (view, dim) in cases(way, dtype) {
                bench.guard();
                let grad = some(&bench, &mut numbers, view, DType::F32);
                let g = wide(&grad.host);
                // Results of the type that the layer before them has.
                let x = some(&bench, &mut numbers, view, dtype).device;
                let on_host = |t: &Tensor| {
                    let values = values::as_f64(t);
                    Array::from_vec(values, t.shape()).unwrap()
                };
                let sums = |x: &Array| {
                    if x.ndim() == 0 {
                        return x.clone();
                    }
                    host::sum(&host::abs(x).unwrap(), &[*dim], true).unwrap()
                };
                let case = |name| format!("{name} of {dtype}, {}{way}", view.name);

                let y = x.softmax(*dim).unwrap();
                let got = y.softmax_backward(&grad.device, *dim).unwrap();
                assert_eq!(got.dtype(), dtype);
                let y = on_host(&y);
                let expected = host::softmax_backward(&g, &y, *dim).unwrap();
                let size = host::add(&host::abs(&g).unwrap(), &sums(&host::mul(&g, &y).unwrap()));
                let size = host::mul(&y, &size.unwrap()).unwrap();
                judge.sized(&got, &expected, (4.0, &size), &case("softmax_backward"));

                let y = x.log_softmax(*dim).unwrap();
                let got = y.log_softmax_backward(&grad.device, *dim).unwrap();
                let y = on_host(&y);
                let expected = host::log_softmax_backward(&g, &y, *dim).unwrap();
                let size = host::mul(&host::exp(&y).unwrap(), &sums(&g)).unwrap();
                let size = host::add(&host::abs(&g).unwrap(), &size).unwrap();
                judge.sized(&got, &expected, (4.0, &size), &case("log_softmax_backward"));
            }
        }
        bench.finish(&format!("gradients of softmax{way}"), &judge);
    }
}

/// Rows of what is infinite or no number, far apart, and what is refused.
#[test]
fn awkward_rows() {
    const INF: f64 = f64::INFINITY;
    for (way, options) in row_ways() {
        let Some(bench) = Bench::open(&options) else { return };
        let mut judge = Judge::default();
        for dtype in dtypes(way) {
            // Rows that one invocation takes, and that several take.
            for columns in if is_frugal() { vec![3] } else { vec![3, 90, 1028] } {
                let rows = [
                    [1.0, -INF, 2.0],
                    [-INF, -INF, -INF],
                    [INF, 1.0, 2.0],
                    [1.0, f64::NAN, 3.0],
                    [-60000.0, 60000.0, 60000.0],
                    [1000.0, 1030.0, 1001.0],
                    [-INF, -INF, 0.5],
                ];
                let mut values = Vec::new();
                for row in rows {
                    let beyond = if row[0] == -INF { -INF } else { row[2].min(row[0]) };
                    values.extend(row);
                    values.extend(std::iter::repeat_n(beyond, columns - 3));
                }
                let bytes = values::bytes(dtype, &values);
                let shape = [rows.len(), columns];
                let t = Tensor::from_bytes(&bench.stream, &bytes, dtype, &shape).unwrap();
                let x = Array::from_vec(values::as_f64(&t), &shape).unwrap();
                let case = |name| format!("{name} of {dtype}, {columns} columns{way}");
                let got = t.softmax(1).unwrap();
                let expected = host::softmax(&x, 1).unwrap();
                judge.floats(&got, &expected, Bound::Ulps(24.0), &case("softmax"));
                let got = t.log_softmax(1).unwrap();
                let expected = host::log_softmax(&x, 1).unwrap();
                judge.floats(&got, &expected, Bound::UlpsOr(4.0, 5e-7), &case("log_softmax"));
            }
        }
        let t = Tensor::zeros(&bench.stream, DType::F32, &[2, 3]).unwrap();
        let ints = t.to_dtype(DType::I32).unwrap();
        let cases = [
            (t.softmax(2), "not one of 2"),
            (ints.softmax(1), "cast to a float type first"),
            (t.softmax_backward(&t.t().unwrap(), 1), "give that of the result"),
            (t.log_softmax_backward(&ints, 1), "cast to a float type first"),
        ];
        for (result, expected) in cases {
            let refused = result.unwrap_err().to_string();
            assert!(refused.contains(expected), "{refused}");
        }
        bench.finish(&format!("awkward rows{way}"), &judge);
    }
    let Some(bench) = Bench::open(&options().max_storage_range(4096)) else { return };
    let long = Tensor::zeros(&bench.stream, DType::F32, &[2, 3000]).unwrap();
    let refused = long.softmax(1).unwrap_err().to_string();
    assert!(refused.contains("use shorter rows"), "{refused}");
}
