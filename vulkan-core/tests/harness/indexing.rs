//! Elements by their indices, and the sums that lead back.

use numpack_host_ops as host;
use numpack_host_ops::Array;
use vulkan_core::{DType, Error, Stream, Tensor};

use crate::common::Numbers;
use crate::judge::Judge;
use crate::layouts::{Both, View};
use crate::values::{self, Range};
use crate::{Bench, is_frugal, ways};

/// What is indexed, and along which dimension.
const CASES: &[(View, isize)] = &[
    (View { name: "rows", base: &[37, 12], make: |t| t.clone() }, 0),
    (View { name: "many rows", base: &[300, 8], make: |t| t.clone() }, 0),
    (View { name: "columns", base: &[9, 21], make: |t| t.clone() }, 1),
    (View { name: "transposed", base: &[11, 13], make: |t| t.t().unwrap() }, 0),
    (View { name: "the middle", base: &[3, 10, 4], make: |t| t.clone() }, 1),
    (View { name: "stepped", base: &[40, 5], make: |t| t.slice(0, 1, 40, 3).unwrap() }, -2),
    (View { name: "repeated", base: &[6, 1], make: |t| t.expand(&[6, 5]).unwrap() }, 1),
    (View { name: "one dimension", base: &[800], make: |t| t.clone() }, 0),
    (
        View {
            name: "five dimensions",
            base: &[2, 3, 4, 3, 2],
            make: |t| t.permute(&[4, 1, 2, 0, 3]).unwrap(),
        },
        2,
    ),
];

fn cases() -> &'static [(View, isize)] {
    if is_frugal() { &CASES[..2] } else { CASES }
}

fn types() -> &'static [DType] {
    if is_frugal() { &DType::ALL[..1] } else { &DType::ALL }
}

/// Indices below `size` on the device and on the host, `int64` or `int32`.
fn indices(stream: &Stream, numbers: &mut Numbers, size: usize, shape: &[usize]) -> Both {
    let n = shape.iter().product();
    let list: Vec<f64> = (0..n).map(|_| numbers.below(size) as f64).collect();
    let dtype = if numbers.below(2) == 0 { DType::I64 } else { DType::I32 };
    both(stream, dtype, &values::bytes(dtype, &list), shape)
}

fn both(stream: &Stream, dtype: DType, bytes: &[u8], shape: &[usize]) -> Both {
    let device = Tensor::from_bytes(stream, bytes, dtype, shape).unwrap();
    let strides: Vec<isize> = device.strides().iter().map(|&s| s as isize).collect();
    let on_host = crate::layouts::on_host(dtype);
    Both { device, host: Array::from_bytes(on_host, bytes, shape, &strides, 0).unwrap() }
}

fn some(stream: &Stream, numbers: &mut Numbers, dtype: DType, shape: &[usize]) -> Both {
    let n = shape.iter().product();
    let values = values::floats(numbers, n, Range::Moderate);
    both(stream, dtype, &values::bytes(dtype, &values), shape)
}

#[test]
fn elements_by_their_indices() {
    for (way, options) in ways() {
        let Some(mut bench) = Bench::open(&options) else { return };
        let (mut judge, mut numbers) = (Judge::default(), Numbers::new(51));
        for &dtype in types() {
            for (view, dim) in cases() {
                bench.guard();
                let values = values::floats(&mut numbers, view.numel(), Range::All);
                let x = view.of(&bench.stream, dtype, &values::bytes(dtype, &values));
                let d = dim.rem_euclid(x.device.ndim() as isize) as usize;
                let case = |name| format!("{name} of {dtype}, {}, {dim}{way}", view.name);
                let size = x.device.shape()[d];
                let index = indices(&bench.stream, &mut numbers, size, &[17]);
                let got = x.device.index_select(*dim, &index.device).unwrap();
                let wanted = host::index_select(&x.host, *dim, &index.host).unwrap();
                judge.bits(&got, &wanted, &case("index_select"));

                let mut shape = x.device.shape().to_vec();
                shape[d] = 7;
                shape[0] = shape[0].min(5);
                let index = indices(&bench.stream, &mut numbers, size, &shape);
                let got = x.device.gather(*dim, &index.device).unwrap();
                let wanted = host::gather(&x.host, *dim, &index.host).unwrap();
                judge.bits(&got, &wanted, &case("gather"));

                if x.device.ndim() == 2 {
                    let size = x.device.shape()[0];
                    let index = indices(&bench.stream, &mut numbers, size, &[4, 6]);
                    let got = x.device.embedding(&index.device).unwrap();
                    let wanted = host::embedding(&x.host, &index.host).unwrap();
                    judge.bits(&got, &wanted, &case("embedding"));
                }
            }
        }
        bench.finish(&format!("elements by their indices{way}"), &judge);
    }
}

#[test]
fn sums_by_their_indices() {
    for (way, options) in ways() {
        let Some(mut bench) = Bench::open(&options) else { return };
        let (mut judge, mut numbers) = (Judge::default(), Numbers::new(52));
        for &dtype in types().iter().filter(|t| **t != DType::Bool) {
            for (view, dim) in cases() {
                bench.guard();
                let values = values::floats(&mut numbers, view.numel(), Range::Moderate);
                let x = view.of(&bench.stream, dtype, &values::bytes(dtype, &values));
                let d = dim.rem_euclid(x.device.ndim() as isize) as usize;
                let case = |name| format!("{name} of {dtype}, {}, {dim}{way}", view.name);
                let size = x.device.shape()[d];
                let mut shape = x.device.shape().to_vec();
                shape[d] = 23;
                let index = indices(&bench.stream, &mut numbers, size, &[23]);
                let source = some(&bench.stream, &mut numbers, dtype, &shape);
                for alpha in [1.0, -3.0] {
                    let got = x.device.index_add(*dim, &index.device, &source.device, alpha);
                    let wanted =
                        host::index_add(&x.host, *dim, &index.host, &source.host, alpha).unwrap();
                    judge.bits(&got.unwrap(), &wanted, &case("index_add"));
                }
                shape[0] = shape[0].min(5);
                let index = indices(&bench.stream, &mut numbers, size, &shape);
                shape[d] += 2;
                let source = some(&bench.stream, &mut numbers, dtype, &shape);
                let got = x.device.scatter_add(*dim, &index.device, &source.device).unwrap();
                let wanted = host::scatter_add(&x.host, *dim, &index.host, &source.host).unwrap();
                judge.bits(&got, &wanted, &case("scatter_add"));
            }
        }
        bench.finish(&format!("sums by their indices{way}"), &judge);
    }
}

/// So many indices that lists of them are made; some of them very often.
#[test]
fn gradients_of_embeddings() {
    for (way, options) in ways() {
        let Some(mut bench) = Bench::open(&options) else { return };
        let (mut judge, mut numbers) = (Judge::default(), Numbers::new(53));
        for &dtype in &types()[..types().len().min(5)] {
            for (rows, batch, width) in [(500, [3, 150], 6), (300, [1, 600], 8), (7, [2, 5], 3)] {
                bench.guard();
                let case =
                    format!("embedding_backward of {dtype}, {rows}, {batch:?}, {width}{way}");
                let n = batch.iter().product();
                let list: Vec<i64> = (0..n)
                    .map(|_| if numbers.below(3) == 0 { 5 } else { numbers.below(rows) as i64 })
                    .collect();
                let bytes: Vec<u8> = list.iter().flat_map(|i| i.to_ne_bytes()).collect();
                let index = both(&bench.stream, DType::I64, &bytes, &batch);
                let shape = [batch[0], batch[1], width];
                let grad = some(&bench.stream, &mut numbers, dtype, &shape);
                for padding in [None, Some(5)] {
                    let got = grad.device.embedding_backward(&index.device, rows, padding).unwrap();
                    let wanted =
                        host::embedding_backward(&grad.host, &index.host, rows, padding).unwrap();
                    judge.bits(&got, &wanted, &case);
                }
            }
        }
        bench.finish(&format!("gradients of embeddings{way}"), &judge);
    }
}

#[test]
fn tensors_after_one_another() {
    for (way, options) in ways() {
        let Some(mut bench) = Bench::open(&options) else { return };
        let (mut judge, mut numbers) = (Judge::default(), Numbers::new(54));
        for &dtype in types() {
            bench.guard();
            let parts: Vec<Both> = [[3, 5], [1, 5], [7, 5]]
                .iter()
                .map(|shape| some(&bench.stream, &mut numbers, dtype, shape))
                .collect();
            let none = some(&bench.stream, &mut numbers, DType::Bool, &[0]);
            let all: Vec<&Both> = parts.iter().chain([&none]).collect();
            let device: Vec<&Tensor> = all.iter().map(|b| &b.device).collect();
            let on_host: Vec<&Array> = all.iter().map(|b| &b.host).collect();
            let case = format!("cat of {dtype}{way}");
            let got = Tensor::cat(&device, 0).unwrap();
            judge.bits(&got, &host::cat(&on_host, 0).unwrap(), &case);
            // Columns, of another type among them.
            let flags = some(&bench.stream, &mut numbers, DType::U8, &[5, 2]);
            let (turned, turned_host) =
                (parts[2].device.t().unwrap(), parts[2].host.transpose(0, 1).unwrap());
            let got = Tensor::cat(&[&turned, &flags.device], -1).unwrap();
            judge.bits(&got, &host::cat(&[&turned_host, &flags.host], -1).unwrap(), &case);
            for dim in [0, 1, -1] {
                let (a, b) = (&parts[0], some(&bench.stream, &mut numbers, dtype, &[3, 5]));
                let got = Tensor::stack(&[&a.device, &b.device, &a.device], dim).unwrap();
                let wanted = host::stack(&[&a.host, &b.host, &a.host], dim).unwrap();
                judge.bits(&got, &wanted, &format!("stack of {dtype}, {dim}{way}"));
            }
        }
        assert!(Tensor::cat(&[], 0).is_err());
        bench.finish(&format!("tensors after one another{way}"), &judge);
    }
}

/// Nothing is read or written where an index leads that is beyond, and the next read tells.
#[test]
fn indices_that_lead_nowhere() {
    let Some(mut bench) = Bench::open(&crate::common::options()) else { return };
    bench.guard();
    let stream = bench.stream.clone();
    let x = Tensor::arange(&stream, 1.0, 13.0, 1.0, DType::F32).unwrap().view(&[4, 3]).unwrap();
    bench.guard();
    let index = Tensor::from_host(&stream, &[1_i64, 4, -1, 1 << 40, 3], &[5]).unwrap();
    let rows = x.index_select(0, &index).unwrap();
    let told = rows.to_host::<f32>().unwrap_err();
    assert!(matches!(told, Error::Index { size: 4, .. }), "{told}");
    let zeros = [0.0_f32; 3];
    let wanted = [[4.0, 5.0, 6.0], zeros, zeros, zeros, [10.0, 11.0, 12.0]].concat();
    assert_eq!(rows.to_host::<f32>().unwrap(), wanted, "it is told once");

    let source = Tensor::full(&stream, 1.0, DType::F32, &[5, 3]).unwrap();
    let sums = x.index_add(0, &index, &source, 1.0).unwrap();
    assert!(matches!(stream.synchronize(), Err(Error::Index { .. })));
    let mut wanted: Vec<f32> = (1..13).map(|i| i as f32).collect();
    wanted[3..6].iter_mut().for_each(|x| *x += 1.0);
    wanted[9..].iter_mut().for_each(|x| *x += 1.0);
    assert_eq!(sums.to_host::<f32>().unwrap(), wanted);

    // By lists.
    let long = index.expand(&[400, 5]).unwrap().reshape(&[2000]).unwrap();
    let grad = Tensor::full(&stream, 1.0, DType::F32, &[2000, 2]).unwrap();
    let sums = grad.embedding_backward(&long, 1000, None).unwrap();
    let under_way = sums.download().unwrap();
    assert!(matches!(under_way.wait::<f32>(), Err(Error::Index { size: 1000, .. })));
    let sums = sums.to_host::<f32>().unwrap();
    let at = |row: usize| (sums[2 * row], sums[2 * row + 1]);
    assert_eq!((at(1), at(2), at(4)), ((400.0, 400.0), (0.0, 0.0), (400.0, 400.0)));
    assert_eq!(sums.iter().sum::<f32>(), 2400.0);

    let refused = x.index_select(0, &x).unwrap_err();
    assert!(refused.to_string().contains("cast them to int64"), "{refused}");
    let nothing = Tensor::zeros(&stream, DType::F32, &[0, 3]).unwrap();
    assert!(nothing.index_select(0, &index).is_err());
    let none = Tensor::zeros(&stream, DType::I64, &[0]).unwrap();
    assert_eq!(nothing.index_select(0, &none).unwrap().shape(), [0, 3]);
    bench.finish("indices that lead nowhere", &Judge::default());
}
