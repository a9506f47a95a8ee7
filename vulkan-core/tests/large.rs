//! Beyond what a device does at once: more bytes than it binds, more groups than it starts. And the same
//! bits each time.

mod common;

use common::{device, options, silent};
use vulkan_core::{DType, Device, DeviceKind, Place, Stream, Tensor};

fn open() -> Option<(Device, Stream)> {
    let device = device(&options())?;
    let stream = device.stream().unwrap();
    Some((device, stream))
}

/// More bytes than are bound at once: on lavapipe 128 MiB. Where a device binds more than that, what a test
/// should take all the same.
fn beyond(device: &Device) -> usize {
    let most = device.info().limits.max_storage_range;
    usize::try_from(most.min(128 << 20)).unwrap() + (1 << 20) + 8
}

#[test]
fn tensors_of_more_bytes_than_are_bound() {
    let Some((device, stream)) = open() else { return };
    let n = beyond(&device) / 4;
    let x = Tensor::arange(&stream, 0.0, n as f64, 1.0, DType::I32).unwrap();
    let is = |t: &Tensor, f: fn(usize, usize) -> i32| {
        let found = t.to_host::<i32>().unwrap();
        assert_eq!(found.len(), n);
        assert!(found.iter().enumerate().all(|(i, &y)| y == f(i, n)));
    };
    is(&x, |i, _| i as i32);
    is(&x.add(&x).unwrap(), |i, _| 2 * i as i32);
    is(&x.mul(3).unwrap().sub(&x).unwrap().copy().unwrap(), |i, _| 2 * i as i32);
    // In another order, and from and to bytes.
    let turned = x.view(&[2, n / 2]).unwrap().t().unwrap().contiguous().unwrap();
    is(&turned.view(&[n]).unwrap(), |i, n| ((i % 2) * (n / 2) + i / 2) as i32);
    let even = x.to_dtype(DType::U8).unwrap();
    is(&even.to_dtype(DType::I32).unwrap(), |i, _| (i % 256) as i32);
    let all = x.to_host::<i32>().unwrap();
    x.copy_from_host(&all.iter().map(|x| -x).collect::<Vec<_>>()).unwrap();
    is(&x, |i, _| -(i as i32));
    silent(&device);
}

/// More rows than the 65,535 groups that a device starts in one direction, by the kernels of software
/// devices and by those of GPUs, of which some give each row a group.
#[test]
fn more_rows_than_a_direction_has_groups() {
    for kernels in [None, Some(DeviceKind::Discrete)] {
        let options = kernels.map_or_else(options, |kind| options().kernels_for(kind));
        let Some(device) = device(&options) else { return };
        let stream = device.stream().unwrap();
        let (rows, columns) = (70_000, 96);
        assert!(rows > device.info().limits.max_groups[0].min(65_535) as usize);
        let x = Tensor::arange(&stream, 0.0, (rows * columns) as f64, 1.0, DType::I32).unwrap();
        let x = x.view(&[rows, columns]).unwrap();
        let sums = x.sum(&[1], false).unwrap().to_host::<i64>().unwrap();
        let sum = |row: usize| (columns * row * columns + columns * (columns - 1) / 2) as i64;
        assert!(sums.iter().enumerate().all(|(row, &found)| found == sum(row)));
        let parts = x.to_dtype(DType::F32).unwrap().mul(1e-6).unwrap().softmax(1).unwrap();
        let ones = parts.sum(&[1], false).unwrap().to_host::<f32>().unwrap();
        assert!(ones.len() == rows && ones.iter().all(|one| (one - 1.0).abs() < 1e-5));
        silent(&device);
    }
}

/// On one device and driver: on another handle of it too.
#[test]
fn the_same_bits_each_time() {
    let run = || {
        let (_device, stream) = open()?;
        let draw = |shape: &[usize], seed| {
            Tensor::randn(&stream, DType::F32, shape, Place::new(seed)).unwrap()
        };
        let (a, b) = (draw(&[257, 333], 1), draw(&[333, 129], 2));
        let weight = draw(&[129, 129], 3);
        let index = draw(&[257], 4).mul(7.0).unwrap().abs().unwrap().clamp(None, Some(9.0));
        let index = index.unwrap().to_dtype(DType::I64).unwrap();
        let product = a.matmul(&b).unwrap();
        let results = [
            product.softmax(1).unwrap(),
            product.gelu().unwrap().linear(&weight, None, Default::default()).unwrap(),
            product.layer_norm(&[129], None, None, 1e-5).unwrap(),
            product.sum(&[], false).unwrap(),
            product.var(&[0], 1.0, false).unwrap(),
            product.embedding_backward(&index, 10, None).unwrap(),
            product.linear_weight_backward(&a, true).unwrap().0,
            product.dropout(0.3, Place::new(5)).unwrap(),
        ];
        Some(results.map(|t| t.to_bytes().unwrap()))
    };
    let first = run();
    for _ in 0..3 {
        assert!(run() == first);
    }
}
