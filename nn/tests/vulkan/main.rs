//! What is done on a device. `cargo xtask vulkan` runs these with drivers.
//!
//! | module | holds |
//! |---|---|
//! | `same` | values, gradients and training are those of the host |
//! | `recorded` | steps that are recorded once |
#![cfg(feature = "vulkan")]

mod recorded;
mod same;

use numpack_nn::{DType, Device, Linear, ReLU, Result, Sequential, Tensor, manual_seed};
use vulkan_core::{DeviceOptions, Stream, Validation};

/// A stream, where the tests are run with a driver.
fn stream_with(options: DeviceOptions) -> Option<Stream> {
    if std::env::var_os("NUMPACK_TEST_DRIVER").is_none() {
        println!("skipped: cargo xtask vulkan runs this with drivers");
        return None;
    }
    let options = options.pipeline_cache(None).validation(Validation::Core);
    Some(vulkan_core::Device::open(&options).unwrap().stream().unwrap())
}

fn stream() -> Option<Stream> {
    stream_with(DeviceOptions::new())
}

fn normal(shape: &[usize]) -> Result<Tensor> {
    Tensor::randn(shape, DType::F32, &Device::Cpu)
}

/// The small classifier, the same each time.
fn classifier() -> Result<Sequential> {
    manual_seed(3);
    Ok(Sequential::new().add(Linear::new(10, 20, true)?).add(ReLU).add(Linear::new(20, 2, true)?))
}

/// Rows of ten numbers, and whether they add up to more than 0.
fn data(n: usize) -> Result<(Tensor, Tensor)> {
    let x = normal(&[n, 10])?;
    let y = x.sum_dims(&[1], false)?.gt(0.0)?.to_dtype(DType::I64)?;
    Ok((x, y))
}
