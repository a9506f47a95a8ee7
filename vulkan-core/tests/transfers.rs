//! Bytes to the device and back.

mod common;

use common::{Numbers, device, options, silent};
use vulkan_core::{DType, DeviceOptions, Error, Feature, Tensor, Transfers};

fn ways() -> [DeviceOptions; 3] {
    let staged = options().transfers(Transfers::Staged);
    [options(), options().without(Feature::HostImport), staged]
}

#[test]
fn bytes_come_back_as_they_went() {
    for way in ways() {
        let Some(device) = device(&way) else { return };
        let stream = device.stream().unwrap();
        let mut numbers = Numbers::new(1);
        let (mut up, mut down) = (0, 0);
        // Around words, around what one piece of staging memory holds, and several of those.
        let sizes =
            [0, 1, 2, 3, 4, 5, 255, 256, 257, (4 << 20) - 1, 4 << 20, (4 << 20) + 1, 21 << 20];
        for n in sizes {
            let bytes = numbers.bytes(n);
            let t = Tensor::from_host(&stream, &bytes, &[n]).unwrap();
            assert!(t.to_host::<u8>().unwrap() == bytes, "{n} bytes");
            up += n as u64;
            down += n as u64;
            // From the middle on, and over again.
            let part = t.narrow(0, n / 3, n / 2).unwrap();
            assert!(part.to_host::<u8>().unwrap() == bytes[n / 3..n / 3 + n / 2], "{n} bytes");
            let other = numbers.bytes(n / 2);
            part.copy_from_host(&other).unwrap();
            let mut whole = bytes.clone();
            whole[n / 3..n / 3 + n / 2].copy_from_slice(&other);
            assert!(t.to_host::<u8>().unwrap() == whole, "{n} bytes");
            up += (n / 2) as u64;
            down += (n / 2 + n) as u64;
        }
        let usage = device.usage();
        assert_eq!((usage.uploaded_bytes, usage.downloaded_bytes), (up, down));
        silent(&device);
    }
}

/// Large uploads are copied from where they are, wherever that is.
#[test]
fn large_uploads_need_no_staging_memory() {
    const SIZE: usize = 21 << 20;
    let mut numbers = Numbers::new(3);
    let bytes = numbers.bytes(SIZE + (64 << 10));
    for way in ways() {
        let imports = format!("{way:?}").contains("transfers: Auto, without: []");
        let Some(device) = device(&way) else { return };
        let stream = device.stream().unwrap();
        let t = Tensor::zeros(&stream, DType::U8, &[SIZE + 1]).unwrap();
        let there = device.info().features.contains(&Feature::HostImport);
        for start in [0, 1, 17, 4095, 4096, 30_000] {
            let to = t.narrow(0, 1, SIZE).unwrap();
            let reserved = device.usage().reserved_bytes;
            let before = device.usage().copies;
            // Nobody needs them afterwards.
            let source = bytes[start..start + SIZE].to_vec();
            to.copy_from_host(&source).unwrap();
            drop(source);
            let copies = device.usage().copies - before;
            // One, with what is before and behind it; or pieces of staging memory.
            assert!(if imports && there { copies <= 3 } else { copies == 6 }, "{copies} copies");
            let grown = device.usage().reserved_bytes - reserved;
            assert!(!(imports && there) || grown <= 3 << 20, "{grown} bytes of staging memory");
            assert!(to.to_host::<u8>().unwrap() == bytes[start..start + SIZE], "from {start}");
        }
        silent(&device);
    }
}

/// Whoever uploads has the bytes back for themselves, also where the device is lost meanwhile.
#[test]
fn a_large_upload_to_a_lost_device_is_refused() {
    let Some(device) = device(&options().lose_at_submit(1)) else { return };
    let stream = device.stream().unwrap();
    let t = Tensor::zeros(&stream, DType::U8, &[9 << 20]).unwrap();
    stream.synchronize().unwrap();
    let refused = t.copy_from_host(&vec![1_u8; 9 << 20]).unwrap_err();
    assert!(matches!(refused, Error::DeviceLost { .. }), "{refused}");
    silent(&device);
}

#[test]
fn a_download_is_of_its_moment() {
    for way in ways() {
        let Some(device) = device(&way) else { return };
        let stream = device.stream().unwrap();
        let t = Tensor::from_host(&stream, &[1.0_f32, 2.0, 3.0], &[3]).unwrap();
        let before = t.t().unwrap().download().unwrap();
        t.fill(7.0).unwrap();
        let after = t.narrow(0, 1, 2).unwrap().download().unwrap();
        t.fill(8.0).unwrap();
        after.mark().unwrap().wait().unwrap();
        assert!(after.is_ready().unwrap() && before.is_ready().unwrap());
        assert_eq!(before.wait::<f32>().unwrap(), [1.0, 2.0, 3.0]);
        assert_eq!(after.wait::<f32>().unwrap(), [7.0, 7.0]);
        assert_eq!(t.to_host::<f32>().unwrap(), [8.0; 3]);
        let none = Tensor::zeros(&stream, DType::F32, &[0, 4]).unwrap().download().unwrap();
        assert!(none.is_ready().unwrap() && none.wait::<f32>().unwrap().is_empty());
        silent(&device);
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let Some(device) = device(&options()) else { return };
    let stream = device.stream().unwrap();
    let refused = Tensor::from_host(&stream, &[1.0_f32; 5], &[2, 3]).unwrap_err().to_string();
    assert_eq!(refused, "20 bytes do not fill shape [2, 3] of float32, which has 24");
    let t = Tensor::from_host(&stream, &[1.0_f32; 6], &[2, 3]).unwrap();
    let refused = t.to_host::<i32>().unwrap_err().to_string();
    assert_eq!(refused, "a tensor of float32 has no elements of int32; cast it first");
    assert!(t.copy_from_host(&[1_i32; 6]).is_err());
    assert!(t.read_into(&mut [0; 23]).is_err());
    let row = Tensor::from_host(&stream, &[1.0_f32; 3], &[3]).unwrap().expand(&[2, 3]).unwrap();
    let refused = row.copy_from_host(&[2.0_f32; 6]).unwrap_err().to_string();
    assert!(refused.contains("are the same memory; write to a copy"), "{refused}");
    let huge = Tensor::empty(&stream, DType::F32, &[usize::MAX, 2]).unwrap_err().to_string();
    assert!(huge.contains("more elements than memory can hold"), "{huge}");
}

/// Bytes that are not 0 or 1 are true, as in PyTorch.
#[test]
fn truth_values_come_back_as_truth_values() {
    let Some(device) = device(&options()) else { return };
    let stream = device.stream().unwrap();
    let t = Tensor::from_bytes(&stream, &[0, 1, 2, 255], DType::Bool, &[4]).unwrap();
    assert_eq!(t.to_host::<bool>().unwrap(), [false, true, true, true]);
}
