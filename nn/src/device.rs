//! Where tensors are, and are computed with.

use std::fmt;

/// Where a tensor is.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub enum Device {
    /// In the host's memory; the host computes with it.
    #[default]
    Cpu,
    /// On a Vulkan device; what is done with it is recorded on this stream.
    #[cfg(feature = "vulkan")]
    Vulkan(vulkan_core::Stream),
}

impl Device {
    /// Whether it is the host.
    pub fn is_cpu(&self) -> bool {
        matches!(self, Device::Cpu)
    }

    /// A Vulkan device's place in the list of devices; `None` for the host.
    pub fn index(&self) -> Option<usize> {
        match self {
            Device::Cpu => None,
            #[cfg(feature = "vulkan")]
            Device::Vulkan(stream) => Some(stream.device().info().index),
        }
    }

    /// Waits until all that was asked of it is done.
    ///
    /// # Errors
    /// [`Error::Device`](crate::Error::Device) where the device was lost, or an index led nowhere.
    pub fn synchronize(&self) -> crate::Result<()> {
        match self {
            Device::Cpu => Ok(()),
            #[cfg(feature = "vulkan")]
            Device::Vulkan(stream) => Ok(stream.synchronize()?),
        }
    }
}

#[cfg(feature = "vulkan")]
impl From<vulkan_core::Stream> for Device {
    fn from(stream: vulkan_core::Stream) -> Device {
        Device::Vulkan(stream)
    }
}

impl PartialEq for Device {
    /// Whether both are the host, or one device: its streams may be two.
    fn eq(&self, other: &Device) -> bool {
        match (self, other) {
            (Device::Cpu, Device::Cpu) => true,
            #[cfg(feature = "vulkan")]
            (Device::Vulkan(a), Device::Vulkan(b)) => a.device() == b.device(),
            #[cfg(feature = "vulkan")]
            _ => false,
        }
    }
}

impl fmt::Display for Device {
    /// `cpu`, or `vulkan:` and the device's place in the list.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.index() {
            None => f.write_str("cpu"),
            Some(index) => write!(f, "vulkan:{index}"),
        }
    }
}
