//! Gradients of reductions, products, views, tensors put together, and of what is added by indices.

use numpack_host_ops as host;
use numpack_host_ops::Array;
use vulkan_core::{DType, Tensor};

use crate::common::{self, Numbers};
use crate::judge::{Bound, Judge};
use crate::layouts::{Both, View, view};
use crate::matrices::{some, wide};
use crate::{Bench, is_frugal, matrices, reductions, values};

const UNIT: f64 = 1.0 / (1 << 23) as f64;

/// Random numbers of this shape.
fn numbers_of(bench: &Bench, numbers: &mut Numbers, dtype: DType, shape: &[usize]) -> Both {
    let list: Vec<f64> = (0..shape.iter().product::<usize>()).map(|_| numbers.unit()).collect();
    let bytes = values::bytes(dtype, &list);
    let device = Tensor::from_bytes(&bench.stream, &bytes, dtype, shape).unwrap();
    let strides: Vec<isize> = device.strides().iter().map(|&s| s as isize).collect();
    let on_host = crate::layouts::on_host(dtype);
    Both { device, host: Array::from_bytes(on_host, &bytes, shape, &strides, 0).unwrap() }
}

fn largest(x: &Array) -> f64 {
    let all = host::abs(x).unwrap().to_vec::<f64>().unwrap();
    all.into_iter().filter(|x| x.is_finite()).fold(0.0, f64::max)
}

#[test]
fn gradients_of_reductions() {
    for (way, options) in reductions::ways() {
        let Some(mut bench) = Bench::open(&options) else { return };
        let (mut judge, mut numbers) = (Judge::default(), Numbers::new(81));
        for dtype in [DType::F32, DType::F16, DType::BF16] {
            for (view, dims) in reductions::cases() {
                bench.guard();
                // Thirds of whole numbers, so that some are equal.
                let list: Vec<f64> =
                    (0..view.numel()).map(|_| (numbers.unit() * 6.0).round() / 3.0).collect();
                let both = view.of(&bench.stream, dtype, &values::bytes(dtype, &list));
                let (x, shape) = (wide(&both.host), both.device.shape().to_vec());
                for keepdim in [dtype == DType::F32, false] {
                    let case =
                        |name| format!("{name}_backward of {dtype}, {}, {dims:?}{way}", view.name);
                    let sum = both.device.sum(dims, keepdim).unwrap();
                    let grad = numbers_of(&bench, &mut numbers, dtype, sum.shape());
                    let (g, on) = (wide(&grad.host), &grad.device);
                    let got = on.sum_backward(&shape, dims, keepdim).unwrap();
                    let wanted = host::sum_backward(&g, &shape, dims, keepdim).unwrap();
                    judge.floats(&got, &wanted, Bound::Exact, &case("sum"));
                    let got = on.mean_backward(&shape, dims, keepdim).unwrap();
                    let wanted = host::mean_backward(&g, &shape, dims, keepdim).unwrap();
                    judge.floats(&got, &wanted, Bound::Ulps(3.0), &case("mean"));
                    for correction in [0.0, 1.0] {
                        let got = on.var_backward(&both.device, dims, correction, keepdim).unwrap();
                        assert_eq!(got.dtype(), dtype);
                        let wanted = host::var_backward(&g, &x, dims, correction, keepdim).unwrap();
                        let n = (x.numel() / g.numel().max(1)) as f64;
                        let slope = 2.0 / (n - correction).max(1.0);
                        let bound = 8.0 * UNIT * slope * largest(&g) * largest(&x);
                        judge.floats(&got, &wanted, Bound::Absolute(bound), &case("var"));
                    }
                    if x.numel() == 0 {
                        continue;
                    }
                    for (y, truth) in [
                        (both.device.amax(dims, keepdim), host::amax(&x, dims, keepdim)),
                        (both.device.amin(dims, keepdim), host::amin(&x, dims, keepdim)),
                    ] {
                        let got = on.amax_backward(&both.device, &y.unwrap(), dims, keepdim);
                        let wanted =
                            host::amax_backward(&g, &x, &truth.unwrap(), dims, keepdim).unwrap();
                        judge.floats(&got.unwrap(), &wanted, Bound::Ulps(3.0), &case("amax"));
                    }
                }
            }
        }
        let x = Tensor::zeros(&bench.stream, DType::F32, &[3, 4]).unwrap();
        let refused = x.sum_backward(&[3, 4], &[1], true).unwrap_err().to_string();
        assert!(refused.contains("[3, 1]"), "{refused}");
        let refused = x.mean_backward(&[3, 4], &[1, -1], true).unwrap_err().to_string();
        assert!(refused.contains("comes twice"), "{refused}");
        bench.finish(&format!("gradients of reductions{way}"), &judge);
    }
}

#[test]
fn gradients_of_products() {
    for (way, options) in matrices::ways() {
        let Some(mut bench) = Bench::open(&options) else { return };
        let (mut judge, mut numbers) = (Judge::default(), Numbers::new(82));
        for (first, second) in [(DType::F32, DType::F32), (DType::F16, DType::F32)] {
            let all = if first == DType::F32 { matrices::CASES.len() } else { 5 };
            for (a, b) in matrices::CASES.iter().take(if is_frugal() { 4 } else { all }) {
                bench.guard();
                let a = some(&bench, &mut numbers, a, first);
                let b = some(&bench, &mut numbers, b, second);
                let y = a.device.matmul(&b.device).unwrap();
                let grad = numbers_of(&bench, &mut numbers, second, y.shape());
                let case = format!("{first} {:?} by {:?}{way}", a.device.shape(), b.device.shape());
                let got = grad.device.matmul_backward(&a.device, &b.device).unwrap();
                let (g, p, q) = (wide(&grad.host), wide(&a.host), wide(&b.host));
                let wanted = host::matmul_backward(&g, &p, &q).unwrap();
                // Of all terms there are, none of which is larger than 1.
                let sizes = host::matmul_backward(
                    &host::abs(&g).unwrap(),
                    &host::abs(&p).unwrap(),
                    &host::abs(&q).unwrap(),
                )
                .unwrap();
                for (got, wanted, size, input) in
                    [(got.0, wanted.0, sizes.0, &a), (got.1, wanted.1, sizes.1, &b)]
                {
                    assert_eq!(got.dtype(), input.device.dtype(), "{case}");
                    let terms =
                        (g.numel() / y.shape().iter().min().copied().unwrap_or(1).max(1)) as f64;
                    let bound = (terms + 12.0) * UNIT / 2.0 * largest(&size);
                    judge.floats(&got, &wanted, Bound::Absolute(bound), &case);
                }
            }
        }
        let (a, g) = (view!([3, 4]), view!([3, 3]));
        let a = some(&bench, &mut numbers, &a, DType::F32).device;
        let g = some(&bench, &mut numbers, &g, DType::F32).device;
        assert!(g.matmul_backward(&a, &a.t().unwrap()).is_ok());
        let refused = g.matmul_backward(&a.t().unwrap(), &a).unwrap_err().to_string();
        assert!(refused.contains("give the product's gradient"), "{refused}");
        bench.finish(&format!("gradients of products{way}"), &judge);
    }
}

#[test]
fn gradients_of_what_is_moved() {
    let Some(bench) = Bench::open(&common::options()) else { return };
    let (mut judge, mut numbers) = (Judge::default(), Numbers::new(83));
    for dtype in [DType::F32, DType::BF16] {
        let mut of = |shape: &[usize]| numbers_of(&bench, &mut numbers, dtype, shape);
        let (shape, g) = ([4, 9], of(&[4, 3]));
        let got = g.device.slice_backward(&shape, 1, 1, 9, 3).unwrap();
        judge.bits(&got, &host::slice_backward(&g.host, &shape, 1, 1, 9, 3).unwrap(), "slice");
        assert!(g.device.slice_backward(&shape, 1, 1, 9, 2).is_err());
        let g = of(&[9]);
        let got = g.device.select_backward(&shape, 0, -2).unwrap();
        judge.bits(&got, &host::select_backward(&g.host, &shape, 0, -2).unwrap(), "select");
        assert!(g.device.select_backward(&shape, 1, 0).is_err());
        let g = of(&[2, 3, 5]);
        let got = g.device.permute_backward(&[2, 0, -2]).unwrap();
        judge.bits(&got, &host::permute_backward(&g.host, &[2, 0, -2]).unwrap(), "permute");
        assert!(g.device.permute_backward(&[0, 0, 1]).is_err());
        let got = g.device.cat_backward(&[1, 0, 4], -1).unwrap();
        let wanted = host::cat_backward(&g.host, &[1, 0, 4], -1).unwrap();
        for (got, wanted) in got.iter().zip(&wanted) {
            judge.bits(got, wanted, "cat");
        }
        assert!(g.device.cat_backward(&[1, 3], -1).is_err());
        let got = g.device.stack_backward(1).unwrap();
        let wanted = host::stack_backward(&g.host, 1).unwrap();
        assert_eq!(got.len(), wanted.len());
        for (got, wanted) in got.iter().zip(&wanted) {
            judge.bits(got, wanted, "stack");
        }
        let list = [2_i64, 0, 2, 1, 1, 0];
        let index = Tensor::from_host(&bench.stream, &list[..4], &[4]).unwrap();
        let index_host = Array::from_slice(&list[..4], &[4]).unwrap();
        let got = g.device.index_add_backward(1, &index, 2.0).unwrap();
        let wanted = host::index_add_backward(&g.host, 1, &index_host, 2.0).unwrap();
        judge.bits(&got, &wanted, "index_add");
        let index = Tensor::from_host(&bench.stream, &list, &[1, 2, 3]).unwrap();
        let index_host = Array::from_slice(&list, &[1, 2, 3]).unwrap();
        let got = g.device.scatter_add_backward(1, &index).unwrap();
        let wanted = host::scatter_add_backward(&g.host, 1, &index_host).unwrap();
        judge.bits(&got, &wanted, "scatter_add");
    }
    bench.finish("gradients of what is moved", &judge);
}
