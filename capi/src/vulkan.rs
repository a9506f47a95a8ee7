//! Devices by Vulkan.

use std::sync::Arc;

use numpack_interop::vulkan::{
    DeviceInfo, DeviceOptions, Select, Validation, VulkanDevice, devices,
};
use numpack_interop::{Device, Error, Tensor};

use crate::device::{
    Described, NUMPACK_VALIDATION_CORE, NUMPACK_VALIDATION_OFF, NUMPACK_VALIDATION_SYNCHRONIZATION,
    numpack_device_usage,
};
use crate::shell::parameter;
use crate::structs::Versioned;

/// An open device.
pub(crate) struct Opened(Arc<VulkanDevice>);

/// What is said of each device.
pub(crate) fn list() -> Result<Vec<Described>, Error> {
    Ok(devices()?.iter().map(described).collect())
}

fn described(info: &DeviceInfo) -> Described {
    let limits = &info.limits;
    Described {
        index: info.index as u32,
        name: info.name.clone(),
        kind: info.kind.name(),
        vendor: info.vendor(),
        uuid: info.uuid_text(),
        driver: format!("{} {}", info.driver, info.driver_info).trim_end().to_owned(),
        problem: info.unusable.clone(),
        memory: info.memory,
        max_storage_range: limits.max_storage_range,
        max_allocation: limits.max_allocation,
        shared_memory: limits.shared_memory,
        max_invocations: limits.max_invocations,
        subgroup_size: limits.subgroup_size,
    }
}

impl Opened {
    /// The device that a text names, or else the usual one.
    pub(crate) fn open(select: Option<&str>, validation: i32) -> Result<Opened, Error> {
        let named = |text: &str| text.parse::<Select>().map_err(|e| parameter(e.to_string()));
        let select = select.map(named).transpose()?.unwrap_or_default();
        let validation = match validation {
            NUMPACK_VALIDATION_OFF => Validation::Off,
            NUMPACK_VALIDATION_CORE => Validation::Core,
            NUMPACK_VALIDATION_SYNCHRONIZATION => Validation::Synchronization,
            other => {
                let problem =
                    format!("validation is {other}, which is none of NUMPACK_VALIDATION_*");
                return Err(parameter(problem));
            }
        };
        let options = DeviceOptions::new().select(select).validation(validation);
        VulkanDevice::open(&options).map(Opened)
    }

    pub(crate) fn describe(&self) -> Described {
        described(self.0.device().info())
    }

    /// What a person should know who uses it.
    pub(crate) fn warning(&self) -> Option<String> {
        self.0.device().warning()
    }

    /// What it holds and did so far; the struct's size is left to the caller.
    pub(crate) fn usage(&self) -> numpack_device_usage {
        let usage = self.0.device().usage();
        numpack_device_usage {
            live_bytes: usage.live_bytes,
            live_buffers: usage.live_buffers,
            peak_bytes: usage.peak_bytes,
            reserved_bytes: usage.reserved_bytes,
            uploaded_bytes: usage.uploaded_bytes,
            downloaded_bytes: usage.downloaded_bytes,
            submits: usage.submits,
            dispatches: usage.dispatches,
            copies: usage.copies,
            barriers: usage.barriers,
            pipelines: usage.pipelines,
            ..numpack_device_usage::ZERO
        }
    }

    pub(crate) fn synchronize(&self) -> Result<(), Error> {
        self.0.stream().synchronize().map_err(|e| self.0.error(&e))
    }

    pub(crate) fn trim(&self) {
        self.0.device().trim();
    }

    pub(crate) fn upload(&self, tensor: &Tensor) -> Result<Tensor, Error> {
        let device: Arc<dyn Device> = self.0.clone();
        tensor.to_device(&device)
    }

    /// Where tensors are that compute.
    pub(crate) fn place(&self) -> numpack_nn::Device {
        self.0.stream().clone().into()
    }
}
