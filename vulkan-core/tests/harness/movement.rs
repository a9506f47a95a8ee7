//! Copies, casts, and what is put into tensors.

use numpack_host_ops as host;
use numpack_host_ops::Array;
use vulkan_core::{DType, Tensor};

use crate::common::Numbers;
use crate::judge::Judge;
use crate::layouts::{self, View, on_host};
use crate::values::{self, Range};
use crate::{Bench, is_frugal, ways};

fn some(numbers: &mut Numbers, dtype: DType, n: usize) -> Vec<u8> {
    if dtype.is_float() {
        return values::bytes(dtype, &values::floats(numbers, n, Range::All));
    }
    values::integer_bytes(numbers, dtype, n)
}

#[test]
fn casts_between_all_types() {
    let Some(mut bench) = Bench::open(&crate::common::options()) else { return };
    let (mut judge, mut numbers) = (Judge::default(), Numbers::new(21));
    for from in DType::ALL {
        for view in layouts::first(if is_frugal() { 1 } else { 3 }) {
            bench.guard();
            let both = view.of(&bench.stream, from, &some(&mut numbers, from, view.numel()));
            for to in DType::ALL {
                let got = both.device.to_dtype(to).unwrap();
                let expected = both.host.cast(on_host(to)).unwrap();
                judge.bits(&got, &expected, &format!("{from} to {to}, {}", view.name));
            }
        }
    }
    bench.finish("casts", &judge);
}

/// Every 16-bit float, to 32 bits and back, and as integers.
#[test]
fn all_16_bit_floats() {
    let Some(bench) = Bench::open(&crate::common::options()) else { return };
    let mut judge = Judge::default();
    let bytes: Vec<u8> = (0..=u16::MAX).flat_map(u16::to_ne_bytes).collect();
    let view = View { name: "all", base: &[1 << 16], make: Tensor::clone };
    for dtype in [DType::F16, DType::BF16] {
        let both = view.of(&bench.stream, dtype, &bytes);
        for to in [DType::F32, DType::I32, DType::U8, DType::Bool, DType::I64] {
            let got = both.device.to_dtype(to).unwrap();
            judge.bits(&got, &both.host.cast(on_host(to)).unwrap(), &format!("{dtype} to {to}"));
        }
        let there = both.device.to_dtype(DType::F32).unwrap();
        judge.bits(&there.to_dtype(dtype).unwrap(), &both.host, &format!("{dtype} there and back"));
    }
    // Those between two of them, to the nearest, and to even.
    let between: Vec<u8> =
        (0..1_u32 << 18).flat_map(|i| (i << 14 | (i & 3)).to_ne_bytes()).collect();
    let view = View { name: "between", base: &[1 << 18], make: Tensor::clone };
    let both = view.of(&bench.stream, DType::F32, &between);
    for to in [DType::F16, DType::BF16] {
        let got = both.device.to_dtype(to).unwrap();
        judge.bits(&got, &both.host.cast(on_host(to)).unwrap(), &format!("float32 to {to}"));
    }
    bench.finish("16-bit floats", &judge);
}

/// A tensor is written to within a larger one, whose other elements stay.
#[test]
fn copies_into_views() {
    for (way, options) in ways() {
        let Some(bench) = Bench::open(&options) else { return };
        let (mut judge, mut numbers) = (Judge::default(), Numbers::new(22));
        for dtype in DType::ALL {
            for view in layouts::first(if is_frugal() { 2 } else { layouts::ALL.len() }) {
                let repeats = view.name == "repeated";
                let bytes = some(&mut numbers, dtype, view.numel());
                let base = Tensor::from_bytes(&bench.stream, &bytes, dtype, view.base).unwrap();
                let mut host_base =
                    Array::from_bytes(on_host(dtype), &bytes, view.base, &row_major(view.base), 0)
                        .unwrap();
                let target = (view.make)(&base);
                let n = target.numel();
                let source_bytes = some(&mut numbers, dtype, n);
                let source =
                    Tensor::from_bytes(&bench.stream, &source_bytes, dtype, target.shape())
                        .unwrap();
                let case = format!("{dtype} into {}{way}", view.name);
                let copied = target.copy_from(&source);
                if repeats {
                    assert!(copied.unwrap_err().to_string().contains("the same memory"), "{case}");
                    continue;
                }
                copied.unwrap();
                // The slow way: element by element.
                let mut all = host_base.to_bytes().unwrap();
                let size = dtype.size();
                for (i, at) in places(&target).into_iter().enumerate() {
                    all[at * size..][..size].copy_from_slice(&source_bytes[i * size..][..size]);
                }
                host_base =
                    Array::from_bytes(on_host(dtype), &all, view.base, &row_major(view.base), 0)
                        .unwrap();
                judge.bits(&base, &host_base, &case);
                target.fill(1.0).unwrap();
                let one = Array::scalar(1.0_f64).cast(on_host(dtype)).unwrap().to_bytes().unwrap();
                for at in places(&target) {
                    all[at * size..][..size].copy_from_slice(&one);
                }
                host_base =
                    Array::from_bytes(on_host(dtype), &all, view.base, &row_major(view.base), 0)
                        .unwrap();
                judge.bits(&base, &host_base, &format!("fill of {case}"));
            }
        }
        bench.finish(&format!("copies into views{way}"), &judge);
    }
}

fn row_major(shape: &[usize]) -> Vec<isize> {
    let mut strides = vec![1; shape.len()];
    for d in (1..shape.len()).rev() {
        strides[d - 1] = strides[d] * shape[d].max(1) as isize;
    }
    strides
}

/// Where each element of a view is.
fn places(t: &Tensor) -> Vec<usize> {
    let mut places = vec![t.storage_offset()];
    for (&size, &stride) in t.shape().iter().zip(t.strides()) {
        places = places.iter().flat_map(|&p| (0..size).map(move |i| p + i * stride)).collect();
    }
    places
}

#[test]
fn a_tensor_copied_over_itself() {
    let Some(bench) = Bench::open(&crate::common::options()) else { return };
    let t = Tensor::arange(&bench.stream, 0.0, 16.0, 1.0, DType::I32).unwrap();
    let square = t.view(&[4, 4]).unwrap();
    square.copy_from(&square.t().unwrap()).unwrap();
    let expected: Vec<i32> = (0..16).map(|i| i % 4 * 4 + i / 4).collect();
    assert_eq!(t.to_host::<i32>().unwrap(), expected);
    t.narrow(0, 1, 15).unwrap().copy_from(&t.narrow(0, 0, 15).unwrap()).unwrap();
    let moved: Vec<i32> = (0..16).map(|i: usize| expected[i.saturating_sub(1)]).collect();
    assert_eq!(t.to_host::<i32>().unwrap(), moved);
    let bytes = Tensor::arange(&bench.stream, 0.0, 9.0, 1.0, DType::U8).unwrap();
    bytes.narrow(0, 0, 5).unwrap().copy_from(&bytes.narrow(0, 4, 5).unwrap()).unwrap();
    assert_eq!(bytes.to_host::<u8>().unwrap(), [4, 5, 6, 7, 8, 5, 6, 7, 8]);
    bench.finish("copies over themselves", &Judge::default());
}

#[test]
fn numbers_that_go_up() {
    for (way, options) in ways() {
        let Some(bench) = Bench::open(&options) else { return };
        let mut judge = Judge::default();
        for (start, end, step) in
            [(0.0, 10_007.0, 1.0), (-5.0, 8.0, 3.0), (7.0, -7.0, -2.0), (3.0, 3.0, 1.0)]
        {
            for dtype in [DType::F32, DType::F16, DType::BF16, DType::I32, DType::I64] {
                let got = Tensor::arange(&bench.stream, start, end, step, dtype).unwrap();
                let n = ((end - start) / step).ceil() as usize;
                let values: Vec<f64> = (0..n).map(|i| start + i as f64 * step).collect();
                let expected = Array::from_vec(values, &[n]).unwrap().cast(on_host(dtype)).unwrap();
                judge.bits(&got, &expected, &format!("{start} to {end} by {step}, {dtype}{way}"));
            }
        }
        let far = Tensor::arange(
            &bench.stream,
            (1_i64 << 40) as f64,
            (1_i64 << 40) as f64 + 5.0,
            2.0,
            DType::I64,
        );
        assert_eq!(far.unwrap().to_host::<i64>().unwrap(), [1 << 40, (1 << 40) + 2, (1 << 40) + 4]);
        for (start, end, step) in
            [(0.0, 1.0, 0.0), (0.0, 1.0, -1.0), (f64::NAN, 1.0, 1.0), (0.0, f64::NAN, 1.0)]
        {
            let refused = Tensor::arange(&bench.stream, start, end, step, DType::F32);
            assert!(refused.is_err(), "{start} {end} {step}");
        }
        assert!(Tensor::arange(&bench.stream, 0.5, 3.0, 1.0, DType::I32).is_err());
        let full = Tensor::full(&bench.stream, -2.5, DType::F16, &[3, 5]).unwrap();
        judge.bits(&full, &host::Array::full(&[3, 5], -2.5, host::DType::F16).unwrap(), "full");
        let zeros = Tensor::zeros(&bench.stream, DType::I64, &[7]).unwrap();
        judge.bits(&zeros, &host::Array::zeros(&[7], host::DType::I64).unwrap(), "zeros");
        bench.finish(&format!("numbers that go up{way}"), &judge);
    }
}
