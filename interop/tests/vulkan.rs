//! Tensors on a device and back, whatever they came from. `cargo xtask vulkan` runs these with drivers.
#![cfg(feature = "vulkan")]

use std::sync::Arc;

use numpack_interop::dtype::DType;
use numpack_interop::vulkan::{
    DeviceOptions, Select, VulkanDevice, devices, from_device, on_device,
};
use numpack_interop::{Device, Error, Tensor, Tensors, save_tensors};

/// A device, where the tests are run with one.
fn gpu() -> Option<Arc<VulkanDevice>> {
    if std::env::var_os("NUMPACK_TEST_DRIVER").is_none() {
        println!("skipped: cargo xtask vulkan runs this with drivers");
        return None;
    }
    Some(VulkanDevice::open(&DeviceOptions::new().pipeline_cache(None)).unwrap())
}

#[test]
fn tensors_go_to_a_device_and_come_back() {
    let Some(gpu) = gpu() else { return };
    let device: Arc<dyn Device> = gpu.clone();
    assert_eq!(device.name(), format!("vulkan:{}", devices().unwrap()[0].index));
    let t = Tensor::from_slice(&[1.0_f32, 2.0, 3.0, 4.0, 5.0, 6.0], &[2, 3]).unwrap();
    let there = t.t().unwrap().to_device(&device).unwrap();
    assert_eq!((there.device(), there.shape()), (device.name(), &[3, 2][..]));
    assert_eq!(there.cpu().unwrap().to_vec::<f32>().unwrap(), [1.0, 4.0, 2.0, 5.0, 3.0, 6.0]);
    // Views are views there too.
    let row = there.select(0, 1).unwrap();
    assert_eq!(row.cpu().unwrap().to_vec::<f32>().unwrap(), [2.0, 5.0]);
    let turned = there.t().unwrap();
    assert_eq!(turned.cpu().unwrap().to_vec::<f32>().unwrap(), [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    // NumPy and the host are told where it is.
    let refused = there.to_vec::<f32>().unwrap_err().to_string();
    assert!(refused.contains(&device.name()), "{refused}");
}

#[test]
fn what_is_computed_shares_memory_both_ways() {
    let Some(gpu) = gpu() else { return };
    let device: Arc<dyn Device> = gpu.clone();
    let t = Tensor::from_slice(&[1_i64, -2, 3, -4], &[2, 2]).unwrap().to_device(&device).unwrap();
    let seen = on_device(&t.t().unwrap()).unwrap();
    assert_eq!(seen.to_host::<i64>().unwrap(), [1, 3, -2, -4]);
    seen.select(0, 1).unwrap().fill(7.0).unwrap();
    assert_eq!(t.cpu().unwrap().to_vec::<i64>().unwrap(), [1, 7, 3, 7]);
    // And from there, with its strides.
    let product = seen.mul(10).unwrap().t().unwrap();
    let back = from_device(&gpu, &product).unwrap();
    assert_eq!(back.cpu().unwrap().to_vec::<i64>().unwrap(), [10, 70, 30, 70]);
    assert_eq!(on_device(&back).unwrap().to_host::<i64>().unwrap(), [10, 70, 30, 70]);
    drop((t, seen, product));
    assert_eq!(back.cpu().unwrap().to_vec::<i64>().unwrap(), [10, 70, 30, 70]);
    drop(back);
    assert_eq!(gpu.device().usage().live_bytes, 0);
}

#[test]
fn every_type_that_devices_have_goes_there() {
    let Some(gpu) = gpu() else { return };
    let device: Arc<dyn Device> = gpu.clone();
    for &dtype in DType::ALL {
        let t =
            Tensor::full(&[5], 1.0, dtype).unwrap_or_else(|_| Tensor::zeros(&[5], dtype).unwrap());
        let there = t.to_device(&device).unwrap();
        // What it cannot compute with it keeps all the same.
        let back = there.cpu().unwrap();
        assert_eq!(format!("{:?}", back.shape()), "[5]", "{dtype}");
        match on_device(&there) {
            Ok(seen) => {
                assert_eq!(seen.dtype().name(), dtype.to_string());
                assert_eq!(
                    seen.to_dtype(vulkan_core::DType::F32).unwrap().to_host::<f32>().unwrap(),
                    [1.0; 5]
                );
            }
            Err(e) => assert!(matches!(e, Error::Type { .. }), "{dtype}: {e}"),
        }
    }
}

/// A checkpoint's tensors, read or mapped, go there and are saved from there.
#[test]
fn files_go_to_a_device_and_back() {
    let Some(gpu) = gpu() else { return };
    let device: Arc<dyn Device> = gpu.clone();
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/checkpoint.pt");
    let file = Tensors::open(example).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut compared = 0;
    for info in file.list().unwrap() {
        let host = file.load(&info).unwrap();
        let there = host.to_device(&device).unwrap();
        let Ok(seen) = on_device(&there) else { continue };
        let back = from_device(&gpu, &seen.copy().unwrap()).unwrap().cpu().unwrap();
        let path = folder.path().join("one.pt");
        save_tensors(&path, &[("t", &back)], &Default::default()).unwrap();
        let saved = Tensors::open(&path).unwrap();
        let again = saved.find("t").unwrap();
        assert_eq!(saved.sha256(&again).unwrap(), file.sha256(&info).unwrap(), "{}", info.name);
        compared += 1;
        std::fs::remove_file(&path).unwrap();
    }
    assert!(compared > 10, "{compared}");
}

#[test]
fn what_cannot_be_is_refused() {
    let Some(gpu) = gpu() else { return };
    let host = Tensor::from_slice(&[1.0_f32], &[1]).unwrap();
    let refused = on_device(&host).unwrap_err().to_string();
    assert_eq!(refused, "a tensor on cpu is on no Vulkan device; move it with to_device");
    let other = VulkanDevice::open(&DeviceOptions::new().pipeline_cache(None)).unwrap();
    let theirs = vulkan_core::Tensor::from_host(other.stream(), &[1.0_f32], &[1]).unwrap();
    assert!(from_device(&gpu, &theirs).is_err());
    let refused = VulkanDevice::open(&DeviceOptions::new().select(Select::Index(99))).unwrap_err();
    assert!(matches!(refused, Error::Device { .. }), "{refused}");
    assert!(refused.to_string().contains("no such Vulkan device"), "{refused}");
    let small = DeviceOptions::new().pipeline_cache(None).memory_limit(1000);
    let small: Arc<dyn Device> = VulkanDevice::open(&small).unwrap();
    let refused =
        Tensor::zeros(&[4000], DType::UINT8).unwrap().to_device(&small).unwrap_err().to_string();
    assert!(refused.starts_with("vulkan:0: out of memory: "), "{refused}");
}
