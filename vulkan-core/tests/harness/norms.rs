//! Layers that normalise rows, and their gradients.

use numpack_host_ops as host;
use numpack_host_ops::Array;
use vulkan_core::{DType, Tensor};

use crate::common::{Numbers, options};
use crate::judge::{Bound, Judge};
use crate::layouts::{Both, View};
use crate::rows::{dtypes, row_ways, some, view, wide};
use crate::values;
use crate::{Bench, is_frugal};

/// Inputs, and the shape of a row.
const INPUTS: &[(View, &[usize])] = &[
    (view!("many rows" [150, 256]), &[256]),
    (view!("few long rows" [3, 4000]), &[4000]),
    (view!("short rows" [301, 10]), &[10]),
    (view!("odd rows" [70, 131]), &[131]),
    (view!("two dimensions" [6, 3, 5, 8]), &[5, 8]),
    (view!("transposed" [40, 30], t => t.t()), &[40]),
    (view!("from an odd place" [20, 100], t => t.narrow(1, 3, 90)), &[90]),
    (view!("stepped" [20, 100], t => t.slice(1, 0, 100, 2)), &[50]),
    (view!("one row"[12]), &[12]),
    (view!("one column" [9, 1]), &[1]),
    (view!("none" [0, 4]), &[4]),
];

fn inputs(dtype: DType) -> &'static [(View, &'static [usize])] {
    match (dtype, is_frugal()) {
        (_, true) => &INPUTS[..1],
        (DType::F32, _) => INPUTS,
        _ => &INPUTS[..3],
    }
}

/// The same numbers on the device and, in float64, on the host.
fn parameters(bench: &Bench, numbers: &mut Numbers, shape: &[usize], dtype: DType) -> Both {
    let n = shape.iter().product();
    let values: Vec<f64> = (0..n).map(|_| 1.0 + numbers.unit()).collect();
    let bytes = values::bytes(dtype, &values);
    let device = Tensor::from_bytes(&bench.stream, &bytes, dtype, shape).unwrap();
    let host = Array::from_vec(values::as_f64(&device), shape).unwrap();
    Both { device, host }
}

const EPS: f64 = 1e-5;

fn plus(a: &Array, b: &Array) -> Array {
    host::add(a, b).unwrap()
}

fn times(a: &Array, b: &Array) -> Array {
    host::mul(a, b).unwrap()
}

fn size_of(x: &Array) -> Array {
    host::abs(x).unwrap()
}

/// What rows are measured by, in float64: for each 1 / deviation, and for each element what 1, it, and the
/// mean are in deviations.
struct Measure {
    scale: Array,
    normal: Array,
    mean: Array,
    dims: Vec<isize>,
}

impl Measure {
    fn of(x: &Array, shape: &[usize], is_rms: bool) -> Measure {
        let dims: Vec<isize> = (1..=shape.len() as isize).map(|d| -d).collect();
        let mean = host::mean(x, &dims, true).unwrap();
        let mean = if is_rms { times(&mean, &scalar(0.0)) } else { mean };
        let apart = host::sub(x, &mean).unwrap();
        let squares = host::mean(&times(&apart, &apart), &dims, true).unwrap();
        let scale = host::rsqrt(&plus(&squares, &scalar(EPS))).unwrap();
        let (normal, mean) = (size_of(&times(&apart, &scale)), size_of(&times(&mean, &scale)));
        Measure { scale, normal, mean, dims }
    }

    /// 1, the element, and the mean.
    fn elements(&self) -> Array {
        plus(&plus(&self.normal, &self.mean), &scalar(1.0))
    }

    /// Of the gradient for the input.
    fn gradient(&self, g: &Array) -> Array {
        let most = match g.numel() {
            0 => host::sum(g, &self.dims, true).unwrap(),
            _ => host::amax(&size_of(g), &self.dims, true).unwrap(),
        };
        let one = scalar(1.0);
        let size = times(&plus(&self.normal, &one), &plus(&self.mean, &one));
        times(&times(&size, &self.scale), &most)
    }

    /// The sums over rows.
    fn over_rows(&self, x: &Array, shape: &[usize]) -> Array {
        let outer = x.ndim() - shape.len();
        let dims: Vec<isize> = (0..outer as isize).collect();
        if outer == 0 { x.clone() } else { host::sum(x, &dims, false).unwrap() }
    }
}

fn scalar(value: f64) -> Array {
    Array::from_vec(vec![value], &[]).unwrap()
}

#[test]
fn norms_of_rows() {
    for (way, options) in row_ways() {
        let Some(mut bench) = Bench::open(&options) else { return };
        let (mut judge, mut numbers) = (Judge::default(), Numbers::new(71));
        for dtype in dtypes(way) {
            for (i, (view, shape)) in inputs(dtype).iter().enumerate() {
                bench.guard();
                let x = some(&bench, &mut numbers, view, dtype);
                let wide_x = wide(&x.host);
                // Parameters of the layer's own type, or of another one.
                let of = if i % 2 == 0 { dtype } else { DType::F32 };
                let weight = parameters(&bench, &mut numbers, shape, of);
                let bias = parameters(&bench, &mut numbers, shape, of);
                let case = |name| format!("{name} of {dtype}, {}{way}", view.name);
                // With weight and bias, or without.
                let has = i % 3 != 1;
                let (w, b) = (has.then_some(&weight), has.then_some(&bias));
                let (dw, db) = (w.map(|w| &w.device), b.map(|b| &b.device));
                let (hw, hb) = (w.map(|w| &w.host), b.map(|b| &b.host));
                let got = x.device.layer_norm(shape, dw, db, EPS).unwrap();
                assert_eq!(got.dtype(), dtype);
                let expected = host::layer_norm(&wide_x, shape, hw, hb, EPS).unwrap();
                let size = Measure::of(&wide_x, shape, false).elements();
                let size = hw.map_or(size.clone(), |w| times(&size, &size_of(w)));
                let size = hb.map_or(size.clone(), |b| plus(&size, &size_of(b)));
                judge.sized(&got, &expected, (8.0, &size), &case("layer_norm"));
                let again = x.device.layer_norm(shape, dw, db, EPS).unwrap();
                assert!(got.to_bytes().unwrap() == again.to_bytes().unwrap(), "{}", case("it"));
                if is_frugal() {
                    continue;
                }
                let got = x.device.rms_norm(shape, dw, None).unwrap();
                let eps = Some(f64::from(f32::EPSILON));
                let expected = host::rms_norm(&wide_x, shape, hw, eps).unwrap();
                judge.floats(&got, &expected, Bound::Ulps(8.0), &case("rms_norm"));
            }
        }
        bench.finish(&format!("norms{way}"), &judge);
    }
}

#[test]
fn gradients_of_norms() {
    for (way, options) in row_ways() {
        let Some(mut bench) = Bench::open(&options) else { return };
        let (mut judge, mut numbers) = (Judge::default(), Numbers::new(72));
        for dtype in dtypes(way) {
            for (i, (view, shape)) in inputs(dtype).iter().enumerate() {
                bench.guard();
                let x = some(&bench, &mut numbers, view, dtype);
                let grad = some(&bench, &mut numbers, view, DType::F32);
                let (wide_x, wide_g) = (wide(&x.host), wide(&grad.host));
                let weight = parameters(&bench, &mut numbers, shape, dtype);
                let has = i % 3 != 2;
                let (dw, hw) = (has.then_some(&weight.device), has.then_some(&weight.host));
                let case = |name: &str| format!("{name} of {dtype}, {}{way}", view.name);
                let mut check =
                    |got: vulkan_core::NormGrads, wanted: host::NormGrads, name: &str| {
                        assert_eq!(got.input.dtype(), dtype, "{}", case(name));
                        let measure = Measure::of(&wide_x, shape, name == "rms_norm_backward");
                        let g = hw.map_or(wide_g.clone(), |w| times(&wide_g, w));
                        let size = measure.gradient(&g);
                        judge.sized(&got.input, &wanted.input, (16.0, &size), &case(name));
                        let size = times(&size_of(&wide_g), &measure.elements());
                        let size = measure.over_rows(&size, shape);
                        judge.sized(&got.weight, &wanted.weight, (8.0, &size), &case("weight"));
                        let size = measure.over_rows(&size_of(&wide_g), shape);
                        judge.sized(&got.bias, &wanted.bias, (4.0, &size), &case("bias"));
                    };
                let got = x.device.layer_norm_backward(&grad.device, shape, dw, EPS).unwrap();
                let again = x.device.layer_norm_backward(&grad.device, shape, dw, EPS).unwrap();
                for (a, b) in [(&got.input, &again.input), (&got.weight, &again.weight)] {
                    assert!(a.to_bytes().unwrap() == b.to_bytes().unwrap(), "{}", case("again"));
                }
                let wanted = host::layer_norm_backward(&wide_g, &wide_x, shape, hw, EPS).unwrap();
                check(got, wanted, "layer_norm_backward");
                if is_frugal() {
                    continue;
                }
                let got = x.device.rms_norm_backward(&grad.device, shape, dw, Some(EPS)).unwrap();
                let wanted =
                    host::rms_norm_backward(&wide_g, &wide_x, shape, hw, Some(EPS)).unwrap();
                check(got, wanted, "rms_norm_backward");
            }
        }
        bench.finish(&format!("gradients of norms{way}"), &judge);
    }
}

/// Rows far from 0, and what is refused.
#[test]
fn awkward_norms() {
    let Some(bench) = Bench::open(&options()) else { return };
    let mut judge = Judge::default();
    for columns in [40, 1000] {
        // A mean that is a thousand deviations from 0.
        let values: Vec<f32> = (0..4 * columns).map(|i| 1000.0 + (i % 7) as f32 / 2.0).collect();
        let x = Tensor::from_host(&bench.stream, &values, &[4, columns]).unwrap();
        let on_host = wide(&Array::from_vec(values, &[4, columns]).unwrap());
        let expected = host::layer_norm(&on_host, &[columns], None, None, 0.0).unwrap();
        let bound = Bound::Absolute(8.0 * f64::from(f32::EPSILON) * 1001.0);
        judge.floats(&x.layer_norm(&[columns], None, None, 0.0).unwrap(), &expected, bound, "far");
    }
    let x = Tensor::zeros(&bench.stream, DType::F32, &[2, 3]).unwrap();
    let ints = x.to_dtype(DType::I64).unwrap();
    let cases = [
        (x.layer_norm(&[2], None, None, EPS), "does not end with [2]"),
        (x.layer_norm(&[], None, None, EPS), "normalise the last dimensions"),
        (x.rms_norm(&[3], Some(&x), None), "the weight has shape [2, 3]; give [3]"),
        (ints.rms_norm(&[3], None, None), "cast to a float type first"),
        (
            x.layer_norm_backward(&x.t().unwrap(), &[3], None, EPS).map(|g| g.input),
            "as the input has",
        ),
    ];
    for (result, expected) in cases {
        let refused = result.unwrap_err().to_string();
        assert!(refused.contains(expected), "{refused}");
    }
    bench.finish("awkward norms", &judge);
}
