//! Layers that normalise rows, and their gradients.

use numpack_host_ops as host;
use numpack_host_ops::Array;
use vulkan_core::{DType, Tensor};

use crate::common::{Numbers, options};
use crate::judge::{Bound, Judge};
use crate::layouts::{Both, View};
use crate::rows::{UNIT, dtypes, largest, row_ways, some, view, wide};
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
                // Normal elements are at most 6 deviations of about 3.5 away, and weights at most 2.
                let bound = Bound::Absolute(2.0 * 8.0 * UNIT * 4.0);
                // With weight and bias, or without.
                let has = i % 3 != 1;
                let (w, b) = (has.then_some(&weight), has.then_some(&bias));
                let (dw, db) = (w.map(|w| &w.device), b.map(|b| &b.device));
                let (hw, hb) = (w.map(|w| &w.host), b.map(|b| &b.host));
                let got = x.device.layer_norm(shape, dw, db, EPS).unwrap();
                assert_eq!(got.dtype(), dtype);
                let expected = host::layer_norm(&wide_x, shape, hw, hb, EPS).unwrap();
                judge.floats(&got, &expected, bound, &case("layer_norm"));
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
                        // A row of one element has no deviation but eps.
                        let scale = if wide_x.numel() == 9 { 1.0 / EPS.sqrt() } else { 1.0 };
                        let bound = Bound::Absolute(16.0 * UNIT * 12.0 * scale);
                        judge.floats(&got.input, &wanted.input, bound, &case(name));
                        let sum = host::sum(&host::abs(&wide_g).unwrap(), &[], false).unwrap();
                        let rows = wide_x.numel() as f64 / shape.iter().product::<usize>() as f64;
                        let size = largest(&sum) / wide_x.numel().max(1) as f64 * rows;
                        let bound = Bound::Absolute(16.0 * UNIT * size.max(6.0) * 4.0);
                        judge.floats(&got.weight, &wanted.weight, bound, &case("weight"));
                        judge.floats(&got.bias, &wanted.bias, bound, &case("bias"));
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
        let bound = Bound::Absolute(8.0 * UNIT * 1001.0);
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
