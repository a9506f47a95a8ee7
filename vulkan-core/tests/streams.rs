//! Work in the order in which it was recorded, on one stream and on several.

mod common;

use std::thread;

use common::{device, options, silent};
use vulkan_core::{DType, Tensor};

#[test]
fn a_long_chain_is_few_submits_and_in_order() {
    let Some(device) = device(&options()) else { return };
    let stream = device.stream().unwrap();
    let mut t = Tensor::zeros(&stream, DType::I64, &[5]).unwrap();
    let before = device.usage();
    for i in 0..1000 {
        t = t.mul(3).unwrap().add(i % 7).unwrap();
    }
    stream.submit().unwrap();
    let usage = device.usage();
    assert_eq!(usage.dispatches - before.dispatches, 2000);
    assert!(usage.submits - before.submits <= 20, "{usage:?}");
    // Nothing went over the bus.
    assert_eq!(usage.uploaded_bytes + usage.downloaded_bytes, 0);
    let expected = (0..1000_i64).fold(0_i64, |x, i| x.wrapping_mul(3).wrapping_add(i % 7));
    assert_eq!(t.to_host::<i64>().unwrap(), [expected; 5]);
    silent(&device);
}

/// Independent work needs no barrier; what depends on it does.
#[test]
fn barriers_stand_where_they_are_needed() {
    let Some(device) = device(&options()) else { return };
    let stream = device.stream().unwrap();
    let a = Tensor::full(&stream, 1.0, DType::F32, &[1000]).unwrap();
    let b = Tensor::full(&stream, 2.0, DType::F32, &[1000]).unwrap();
    let count = || device.usage().barriers;
    let start = count();
    let sums: Vec<Tensor> = (0..10).map(|i| a.add(f64::from(i)).unwrap()).collect();
    assert_eq!(count() - start, 1, "all wait for the fill of `a`, once");
    let more: Vec<Tensor> = (0..10).map(|i| b.add(f64::from(i)).unwrap()).collect();
    assert_eq!(count() - start, 1, "and nothing for that of `b`, which that barrier was for too");
    let both = sums[3].add(&more[4]).unwrap();
    assert_eq!(count() - start, 2);
    assert_eq!(both.to_host::<f32>().unwrap(), [1.0 + 3.0 + 2.0 + 4.0; 1000]);
    // Two halves of one tensor are written side by side.
    let halves = Tensor::empty(&stream, DType::F32, &[2048]).unwrap();
    stream.synchronize().unwrap();
    let start = count();
    halves.narrow(0, 0, 1024).unwrap().copy_from(&a.narrow(0, 0, 1).unwrap()).unwrap();
    let before_second = count();
    halves.narrow(0, 1024, 1024).unwrap().copy_from(&b.narrow(0, 0, 1).unwrap()).unwrap();
    assert_eq!(count(), before_second, "{start}");
    halves.narrow(0, 1023, 2).unwrap().fill(5.0).unwrap();
    assert_eq!(count(), before_second + 1);
    let mut expected = [[1.0; 1024], [2.0; 1024]].concat();
    expected[1023..1025].fill(5.0);
    assert_eq!(halves.to_host::<f32>().unwrap(), expected);
    silent(&device);
}

#[test]
fn streams_wait_for_each_other() {
    let Some(device) = device(&options()) else { return };
    let (one, two) = (device.new_stream().unwrap(), device.new_stream().unwrap());
    let mut a = Tensor::zeros(&one, DType::I32, &[300]).unwrap();
    for i in 0..50 {
        // Each turn reads what the other stream made just before.
        a = a.on(&two).unwrap().add(i).unwrap();
        a = a.on(&one).unwrap().mul(2).unwrap();
        if i % 10 == 0 {
            let shared = a.on(&two).unwrap();
            shared.narrow(0, 0, 10).unwrap().fill(1.0).unwrap();
        }
    }
    let model = |first: bool| {
        (0..50).fold(0_i32, |x, i| {
            let x = x.wrapping_add(i).wrapping_mul(2);
            if first && i % 10 == 0 { 1 } else { x }
        })
    };
    let result = a.to_host::<i32>().unwrap();
    assert_eq!(result[..10], [model(true); 10]);
    assert_eq!(result[10..], [model(false); 290]);
    let mark = one.mark();
    mark.wait().unwrap();
    assert!(mark.is_reached().unwrap());
    silent(&device);
}

#[test]
fn threads_use_one_device_and_one_tensor() {
    let Some(device) = device(&options()) else { return };
    let shared = Tensor::full(&device.stream().unwrap(), 1.0, DType::F32, &[4096]).unwrap();
    let counter = Tensor::zeros(&device.stream().unwrap(), DType::I64, &[1]).unwrap();
    thread::scope(|scope| {
        for id in 0..4_i32 {
            let (device, shared, counter) = (&device, &shared, &counter);
            scope.spawn(move || {
                let stream = device.new_stream().unwrap();
                let mine = shared.on(&stream).unwrap();
                for turn in 0..50 {
                    let sum = mine.add(f64::from(id * 100 + turn)).unwrap();
                    if turn % 5 == 0 {
                        let expected = (id * 100 + turn + 1) as f32;
                        assert_eq!(sum.to_host::<f32>().unwrap()[4095], expected);
                        // Copied to the host while others write the same.
                        assert_eq!(shared.to_host::<f32>().unwrap()[17], 1.0);
                    }
                    shared.on(&stream).unwrap().fill(1.0).unwrap();
                }
                let _ = counter;
            });
        }
    });
    assert_eq!(shared.to_host::<f32>().unwrap(), [1.0; 4096]);
    silent(&device);
}

/// Each barrier is there for a reason: without them, the layer that looks for races speaks.
#[test]
fn without_barriers_the_layer_speaks() {
    if std::env::var("NUMPACK_TEST_VALIDATION").as_deref() != Ok("synchronization") {
        println!("skipped: synchronisation is not watched in this run");
        return;
    }
    let Some(device) = device(&options().forget_barriers()) else { return };
    let stream = device.stream().unwrap();
    let t = Tensor::from_host(&stream, &[1.0_f32; 64], &[64]).unwrap();
    let read_after_write = t.add(1.0).unwrap().add(1.0).unwrap();
    stream.synchronize().unwrap();
    let messages = device.messages();
    assert!(messages.iter().any(|m| m.contains("READ_AFTER_WRITE")), "{messages:?}");
    // Memory that is used again while it may still be read.
    let before = messages.len();
    let other = read_after_write.add(1.0).unwrap();
    drop(read_after_write);
    let _again = t.add(5.0).unwrap();
    stream.synchronize().unwrap();
    let messages = &device.messages()[before..];
    assert!(messages.iter().any(|m| m.contains("WRITE_AFTER_READ")), "{messages:?}");
    drop(other);
}
