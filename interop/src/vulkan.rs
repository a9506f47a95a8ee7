//! Tensors on a GPU, by Vulkan.
//!
//! [`VulkanDevice`] is what [`Tensor::to_device`] takes; [`on_device`] shows such a tensor to
//! [`vulkan_core`], which computes with it, and [`from_device`] shows what it computed. Neither copies.
//!
//! ```no_run
//! use std::sync::Arc;
//! use numpack_interop::vulkan::{DeviceOptions, VulkanDevice, from_device, on_device};
//! use numpack_interop::{Device, Tensors};
//! let gpu = VulkanDevice::open(&DeviceOptions::new())?;
//! let device: Arc<dyn Device> = gpu.clone();
//! let file = Tensors::open("model.pt")?;
//! let weight = file.load(&file.find("encoder.weight")?)?.to_device(&device)?;
//! let squared = on_device(&weight)?.square().map_err(|e| gpu.error(&e))?;
//! println!("{:?}", from_device(&gpu, &squared)?.cpu()?);
//! # Ok::<(), numpack_interop::Error>(())
//! ```

use std::any::Any;
use std::fmt;
use std::sync::Arc;

pub use vulkan_core::{
    DEVICE_VARIABLE, DeviceInfo, DeviceKind, DeviceOptions, Limits, Select, Transfers, Usage,
    Validation,
};

use crate::dtype::DType;
use crate::tensor::{Device, DeviceMemory, Storage, Tensor};
use crate::{Error, Result};

/// All devices, those that cannot be used too, each with the reason.
///
/// # Errors
/// [`Error::Device`] without a Vulkan loader or without any driver, saying what to install.
pub fn devices() -> Result<Vec<DeviceInfo>> {
    vulkan_core::devices().map_err(|e| error("vulkan", &e))
}

/// An open device with the stream that its tensors are used on.
pub struct VulkanDevice {
    stream: vulkan_core::Stream,
    name: String,
}

impl VulkanDevice {
    /// Opens a device.
    ///
    /// # Errors
    /// [`Error::Device`] where none can be used as asked, saying what there is; [`Error::Parameter`] for a
    /// variable that names none.
    pub fn open(options: &DeviceOptions) -> Result<Arc<VulkanDevice>> {
        let open = || vulkan_core::Device::open(options)?.stream();
        open().map(VulkanDevice::of).map_err(|e| error("vulkan", &e))
    }

    /// A device that is open already; its tensors are used on this stream.
    pub fn of(stream: vulkan_core::Stream) -> Arc<VulkanDevice> {
        let name = format!("vulkan:{}", stream.device().info().index);
        Arc::new(VulkanDevice { stream, name })
    }

    /// The device itself.
    pub fn device(&self) -> &vulkan_core::Device {
        self.stream.device()
    }

    /// What its tensors are used on.
    pub fn stream(&self) -> &vulkan_core::Stream {
        &self.stream
    }

    /// What `vulkan_core` said, as an error of this crate.
    pub fn error(&self, e: &vulkan_core::Error) -> Error {
        error(&self.name, e)
    }
}

impl fmt::Debug for VulkanDevice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("VulkanDevice").field(self.device().info()).finish()
    }
}

impl Device for VulkanDevice {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn upload(self: Arc<Self>, bytes: &[u8]) -> Result<Box<dyn DeviceMemory>> {
        let uploaded = vulkan_core::Tensor::from_host(&self.stream, bytes, &[bytes.len()]);
        let bytes = uploaded.map_err(|e| self.error(&e))?;
        Ok(Box::new(VulkanMemory { device: self, bytes }))
    }
}

/// A piece of a device's memory.
struct VulkanMemory {
    device: Arc<VulkanDevice>,
    /// All of it, as bytes.
    bytes: vulkan_core::Tensor,
}

impl DeviceMemory for VulkanMemory {
    fn device(&self) -> Arc<dyn Device> {
        self.device.clone()
    }

    fn nbytes(&self) -> usize {
        self.bytes.numel()
    }

    fn download(&self, offset: usize, out: &mut [u8]) -> Result<()> {
        let read = self.bytes.narrow(0, offset, out.len()).and_then(|part| part.read_into(out));
        read.map_err(|e| self.device.error(&e))
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// A tensor on a Vulkan device as `vulkan_core` has it: the same memory.
///
/// # Errors
/// [`Error::Sharing`] for one that is elsewhere, and for strides that go backwards; [`Error::Type`] for
/// elements that devices do not compute with.
pub fn on_device(t: &Tensor) -> Result<vulkan_core::Tensor> {
    let memory = t.storage().device().and_then(|memory| memory.as_any().downcast_ref());
    let Some(VulkanMemory { device, bytes }) = memory else {
        return Err(Error::Sharing {
            problem: format!("a tensor on {} is on no Vulkan device", t.device()),
            advice: "move it with to_device",
        });
    };
    let dtype = to_vulkan(t.dtype())?;
    let strides: Option<Vec<usize>> =
        t.strides().iter().map(|&stride| usize::try_from(stride).ok()).collect();
    let Some(strides) = strides else {
        return Err(Error::Sharing {
            problem: format!("strides {:?} go backwards", t.strides()),
            advice: "move a contiguous copy to the device",
        });
    };
    let shown = bytes.as_strided(dtype, t.shape(), &strides, t.storage_offset());
    shown.map_err(|e| device.error(&e))
}

/// What `vulkan_core` has on a device, as a tensor: the same memory.
///
/// # Errors
/// [`Error::Parameter`] for a tensor of another device.
pub fn from_device(device: &Arc<VulkanDevice>, t: &vulkan_core::Tensor) -> Result<Tensor> {
    if t.device() != device.device() {
        let (theirs, ours) = (t.device().info(), &device.name);
        return Err(Error::Parameter(format!("a tensor on {theirs} is not on {ours}")));
    }
    let bytes = t.storage_bytes();
    let memory = VulkanMemory { device: device.clone(), bytes };
    let strides: Vec<isize> = t.strides().iter().map(|&stride| stride as isize).collect();
    let storage = Storage::on_device(Box::new(memory));
    Tensor::new(storage, from_vulkan(t.dtype()), t.shape(), &strides, t.storage_offset())
}

/// The types of `vulkan_core`, and their names here.
const TYPES: [(vulkan_core::DType, DType); 7] = [
    (vulkan_core::DType::F32, DType::FLOAT32),
    (vulkan_core::DType::F16, DType::FLOAT16),
    (vulkan_core::DType::BF16, DType::BFLOAT16),
    (vulkan_core::DType::I32, DType::INT32),
    (vulkan_core::DType::I64, DType::INT64),
    (vulkan_core::DType::U8, DType::UINT8),
    (vulkan_core::DType::Bool, DType::BOOL),
];

fn to_vulkan(dtype: DType) -> Result<vulkan_core::DType> {
    let known = TYPES.iter().find(|(_, ours)| *ours == dtype);
    known.map(|(theirs, _)| *theirs).ok_or_else(|| Error::Type {
        problem: format!("devices do not compute with {dtype}"),
        advice: "convert it first, to float32 for example",
    })
}

fn from_vulkan(dtype: vulkan_core::DType) -> DType {
    let known = TYPES.iter().find(|(theirs, _)| *theirs == dtype);
    known.map_or(DType::UINT8, |(_, ours)| *ours)
}

pub(crate) fn error(name: &str, e: &vulkan_core::Error) -> Error {
    use vulkan_core::Error::{DeviceLost, Driver, Index, OutOfMemory, Parameter, Unsupported};
    let text = e.to_string();
    let problem = match e {
        Parameter(message) => return Error::Parameter(message.clone()),
        Index { .. } => return Error::Index(text),
        // They begin with the device, as this error does.
        Unsupported { device, .. }
        | OutOfMemory { device, .. }
        | DeviceLost { device, .. }
        | Driver { device, .. } => {
            text.strip_prefix(&format!("{device}: ")).unwrap_or(&text).to_owned()
        }
        _ => text,
    };
    let device = name.to_owned();
    match e {
        OutOfMemory { .. } => Error::DeviceMemory { device, problem },
        _ => Error::Device { device, problem },
    }
}
