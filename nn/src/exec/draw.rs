//! Random numbers: the same ones on the host and on every device.

use numpack_host_ops::{DType, random};

use super::Value;
use crate::device::Device;
use crate::error::Result;

pub(crate) use numpack_host_ops::random::Place;

/// Where random numbers are drawn from.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    /// The same whenever it is done.
    Place(Place),
    /// While a step is recorded: where a place in the device's memory is by then.
    #[cfg(feature = "vulkan")]
    Device(vulkan_core::DevicePlace),
}

impl Source {
    #[cfg(feature = "vulkan")]
    fn there(&self) -> vulkan_core::RandomSource<'_> {
        match self {
            Source::Place(place) => {
                vulkan_core::Place { seed: place.seed, offset: place.offset }.into()
            }
            Source::Device(place) => place.into(),
        }
    }

    /// The host draws from no device's place: nothing on it is recorded.
    fn here(&self) -> Place {
        match self {
            Source::Place(place) => *place,
            #[cfg(feature = "vulkan")]
            Source::Device(_) => Place::default(),
        }
    }
}

impl Value {
    /// Uniform numbers from 0 up to before 1.
    pub(crate) fn rand(
        device: &Device,
        shape: &[usize],
        dtype: DType,
        place: &Source,
    ) -> Result<Value> {
        match device {
            Device::Cpu => Ok(Value::Host(random::uniform(shape, 0.0, 1.0, dtype, place.here())?)),
            #[cfg(feature = "vulkan")]
            Device::Vulkan(stream) => {
                let dtype = super::value::device_type("rand", dtype)?;
                Ok(Value::Device(vulkan_core::Tensor::rand(stream, dtype, shape, place.there())?))
            }
        }
    }

    /// Normal numbers of mean 0 and deviation 1.
    pub(crate) fn randn(
        device: &Device,
        shape: &[usize],
        dtype: DType,
        place: &Source,
    ) -> Result<Value> {
        match device {
            Device::Cpu => Ok(Value::Host(random::normal(shape, 0.0, 1.0, dtype, place.here())?)),
            #[cfg(feature = "vulkan")]
            Device::Vulkan(stream) => {
                let dtype = super::value::device_type("randn", dtype)?;
                Ok(Value::Device(vulkan_core::Tensor::randn(stream, dtype, shape, place.there())?))
            }
        }
    }

    /// x / (1 - p), and 0 with probability p. Its gradient is the same function of the gradient.
    pub(crate) fn dropout(&self, p: f64, place: &Source) -> Result<Value> {
        Ok(on!(self,
            a => random::dropout(a, p, place.here()).map(|(out, _)| out),
            t => t.dropout(p, place.there()),
        ))
    }
}
