//! A small classifier learns whether ten numbers add up to more than 0: `classifier [vulkan]`.

use numpack_nn::optim::{Adam, AdamOptions, Optimizer};
use numpack_nn::{
    CrossEntropy, DType, Device, Linear, Module, ModuleExt, ReLU, Result, Sequential, Tensor,
    manual_seed,
};

fn main() -> Result<()> {
    let device = match std::env::args().nth(1).as_deref() {
        None | Some("cpu") => Device::Cpu,
        #[cfg(feature = "vulkan")]
        Some("vulkan") => {
            let gpu = vulkan_core::Device::open(&vulkan_core::DeviceOptions::new())?;
            if let Some(warning) = gpu.warning() {
                eprintln!("warning: {warning}");
            }
            gpu.stream()?.into()
        }
        Some(other) => {
            eprintln!("error: no device {other:?}; give cpu or vulkan");
            std::process::exit(2);
        }
    };
    manual_seed(0);
    let model =
        Sequential::new().add(Linear::new(10, 20, true)?).add(ReLU).add(Linear::new(20, 2, true)?);
    model.to_device(&device)?;
    let x = Tensor::randn(&[100, 10], DType::F32, &device)?;
    let y = x.sum_dims(&[1], false)?.gt(0.0)?.to_dtype(DType::I64)?;
    let mut optimizer =
        Adam::new(model.parameters(), AdamOptions { lr: 0.01, ..Default::default() });
    for epoch in 0..100 {
        let loss = model.forward(&x)?.cross_entropy(&y, &CrossEntropy::default())?;
        optimizer.zero_grad();
        loss.backward()?;
        optimizer.step()?;
        if epoch % 10 == 9 {
            println!("epoch {:3}: loss {:.4}", epoch + 1, loss.item()?);
        }
    }
    Ok(())
}
