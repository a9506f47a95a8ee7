//! Random numbers: the same ones on the host and on every device.

use numpack_host_ops::{DType, random};

use super::Value;
use crate::device::Device;
use crate::error::Result;

pub(crate) use numpack_host_ops::random::Place;

#[cfg(feature = "vulkan")]
fn there(place: Place) -> vulkan_core::Place {
    vulkan_core::Place { seed: place.seed, offset: place.offset }
}

impl Value {
    /// Uniform numbers from 0 up to before 1.
    pub(crate) fn rand(
        device: &Device,
        shape: &[usize],
        dtype: DType,
        place: Place,
    ) -> Result<Value> {
        match device {
            Device::Cpu => Ok(Value::Host(random::uniform(shape, 0.0, 1.0, dtype, place)?)),
            #[cfg(feature = "vulkan")]
            Device::Vulkan(stream) => {
                let dtype = super::value::device_type("rand", dtype)?;
                Ok(Value::Device(vulkan_core::Tensor::rand(stream, dtype, shape, there(place))?))
            }
        }
    }

    /// Normal numbers of mean 0 and deviation 1.
    pub(crate) fn randn(
        device: &Device,
        shape: &[usize],
        dtype: DType,
        place: Place,
    ) -> Result<Value> {
        match device {
            Device::Cpu => Ok(Value::Host(random::normal(shape, 0.0, 1.0, dtype, place)?)),
            #[cfg(feature = "vulkan")]
            Device::Vulkan(stream) => {
                let dtype = super::value::device_type("randn", dtype)?;
                Ok(Value::Device(vulkan_core::Tensor::randn(stream, dtype, shape, there(place))?))
            }
        }
    }

    /// x / (1 - p), and 0 with probability p. Its gradient is the same function of the gradient.
    pub(crate) fn dropout(&self, p: f64, place: Place) -> Result<Value> {
        Ok(on!(self,
            a => random::dropout(a, p, place).map(|(out, _)| out),
            t => t.dropout(p, there(place)),
        ))
    }
}
