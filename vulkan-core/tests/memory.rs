//! What is held, and what happens when there is no more.

mod common;

use common::{Numbers, device, options, silent};
use vulkan_core::{DType, Device, Error, Tensor, Transfers};

#[test]
fn counts_are_exact() {
    let Some(device) = device(&options()) else { return };
    let stream = device.stream().unwrap();
    let before = device.usage();
    assert_eq!((before.live_bytes, before.live_buffers), (0, 0));
    let a = Tensor::zeros(&stream, DType::F32, &[100]).unwrap();
    let b = Tensor::zeros(&stream, DType::U8, &[3]).unwrap();
    let view = a.narrow(0, 10, 20).unwrap();
    let usage = device.usage();
    assert_eq!((usage.live_bytes, usage.live_buffers, usage.peak_bytes), (403, 2, 403));
    drop(a);
    assert_eq!(device.usage().live_bytes, 403, "a view keeps the memory");
    drop((view, b));
    let usage = device.usage();
    assert_eq!((usage.live_bytes, usage.live_buffers, usage.peak_bytes), (0, 0, 403));
    stream.synchronize().unwrap();
    device.trim();
    assert_eq!(device.usage().reserved_bytes, 0);
}

/// Tensors of all sizes come and go; what is held stays what it was.
#[test]
fn ten_thousand_rounds_leave_nothing() {
    for transfers in [Transfers::Auto, Transfers::Staged] {
        let Some(device) = device(&options().transfers(transfers)) else { return };
        let stream = device.stream().unwrap();
        let mut numbers = Numbers::new(2);
        let weights = Tensor::full(&stream, 0.5, DType::F32, &[64]).unwrap();
        let mut held = Vec::new();
        let mut reserved = Vec::new();
        let rounds = 10_000;
        for round in 0..rounds {
            let n = 1 + numbers.below(64);
            let x = Tensor::from_host(&stream, &vec![1.0_f32; n], &[n]).unwrap();
            let y = x.add(&weights.narrow(0, 0, n).unwrap()).unwrap().mul(2.0).unwrap();
            held.push(y.relu().unwrap());
            if held.len() > 8 {
                let oldest = held.remove(numbers.below(8));
                if round % 16 == 0 {
                    assert!(oldest.to_host::<f32>().unwrap().iter().all(|&v| v == 3.0));
                }
            }
            if round % 1000 == 999 {
                reserved.push(device.usage().reserved_bytes);
            }
        }
        drop(held);
        let usage = device.usage();
        assert_eq!((usage.live_bytes, usage.live_buffers), (256, 1));
        assert!(reserved[9] <= reserved[1] * 2, "memory grows: {reserved:?}");
        silent(&device);
    }
}

#[test]
fn a_hundred_devices_come_and_go() {
    for _ in 0..100 {
        let Some(device) = device(&options()) else { return };
        let t = Tensor::full(&device.stream().unwrap(), 3.0, DType::F16, &[7]).unwrap();
        assert_eq!(
            t.add(1.0).unwrap().to_host::<half::f16>().unwrap(),
            [half::f16::from_f32(4.0); 7]
        );
        silent(&device);
    }
}

#[test]
fn out_of_memory_says_how_much_and_passes() {
    let limit = 1 << 20;
    let Some(device) = device(&options().memory_limit(limit)) else { return };
    let stream = device.stream().unwrap();
    let half = Tensor::full(&stream, 1.0, DType::U8, &[600 << 10]).unwrap();
    let refused = Tensor::empty(&stream, DType::U8, &[600 << 10]).unwrap_err();
    let Error::OutOfMemory { asked, free, heap, .. } = refused else { panic!("{refused}") };
    assert!(asked >= 600 << 10 && free < 600 << 10 && heap == limit, "{refused}");
    assert!(refused.to_string().contains("drop tensors or use smaller batches"), "{refused}");
    // What was there is there.
    assert!(half.to_host::<u8>().unwrap().iter().all(|&b| b == 1));
    drop(half);
    // What nobody has, though the device may still be at it, makes room.
    let again = Tensor::full(&stream, 2.0, DType::U8, &[700 << 10]).unwrap();
    assert!(again.to_host::<u8>().unwrap().iter().all(|&b| b == 2));
    drop(again);
    let other = Tensor::full(&stream, 3.0, DType::U8, &[900 << 10]).unwrap();
    assert!(other.to_host::<u8>().unwrap().iter().all(|&b| b == 3));
    silent(&device);
}

/// More than any device has is refused by the driver's own limits.
#[test]
fn no_device_has_so_much() {
    let Some(device) = device(&options()) else { return };
    let stream = device.stream().unwrap();
    let refused = Tensor::empty(&stream, DType::U8, &[1 << 46]).unwrap_err();
    assert!(matches!(refused, Error::OutOfMemory { asked, .. } if asked >= 1 << 46), "{refused}");
    silent(&device);
}

/// A lost device stays lost, says so, and takes nobody down.
#[test]
fn a_lost_device_is_said_to_be_lost() {
    let Some(device) = device(&options().lose_at_submit(2)) else { return };
    let stream = device.stream().unwrap();
    let t = Tensor::full(&stream, 1.0, DType::F32, &[16]).unwrap();
    assert_eq!(t.to_host::<f32>().unwrap(), [1.0; 16]);
    let u = t.add(1.0).unwrap();
    stream.submit().unwrap();
    let v = u.add(1.0).unwrap();
    let lost = v.to_host::<f32>().unwrap_err();
    assert!(matches!(lost, Error::DeviceLost { .. }), "{lost}");
    assert!(lost.to_string().contains("open the device again"), "{lost}");
    assert!(device.is_lost());
    for again in [t.to_host::<f32>().err(), v.add(1.0).err(), stream.synchronize().err()] {
        assert!(matches!(again, Some(Error::DeviceLost { .. })), "{again:?}");
    }
    assert!(matches!(t.download().err(), Some(Error::DeviceLost { .. })));
    assert!(matches!(device.new_stream().err(), None | Some(Error::DeviceLost { .. })));
    drop((t, u, v, stream));
    drop(device);
    let Ok(device) = Device::open(&options()) else { return };
    let t = Tensor::full(&device.stream().unwrap(), 1.0, DType::F32, &[16]).unwrap();
    assert_eq!(t.to_host::<f32>().unwrap(), [1.0; 16]);
}
