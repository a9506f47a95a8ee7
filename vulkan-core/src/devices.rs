//! The devices of this machine, and the choice of one.

use std::fmt;

use crate::error::{Error, Result};
use crate::options::{DEVICE_VARIABLE, Feature, Select, Validation};
use crate::vk::adapter::{Adapter, adapters};
use crate::vk::instance::Instance;

/// A device, as its driver describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeviceInfo {
    /// Its place in the list: those for graphics first, software last.
    pub index: usize,
    /// Its name, for people.
    pub name: String,
    /// What it is.
    pub kind: DeviceKind,
    /// The vendor's number: its PCI id, or one of Khronos'.
    pub vendor_id: u32,
    /// The vendor's number of the model.
    pub device_id: u32,
    /// What it is known by from start to start.
    pub uuid: [u8; 16],
    /// The driver's name.
    pub driver: String,
    /// The driver's version, for people.
    pub driver_info: String,
    /// The driver's version, as a number of the vendor's own making.
    pub driver_version: u32,
    pub(crate) cache_uuid: [u8; 16],
    /// The version of Vulkan: major, minor, patch.
    pub api_version: (u32, u32, u32),
    /// Bytes of its memory.
    pub memory: u64,
    /// What kernels have to keep to.
    pub limits: Limits,
    /// What it has that others may lack.
    pub features: Vec<Feature>,
    /// Why it cannot be used, if so.
    pub unusable: Option<String>,
}

/// What a device is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum DeviceKind {
    /// A GPU with memory of its own.
    Discrete,
    /// A GPU that shares the host's memory.
    Integrated,
    /// A part of a GPU, handed to a virtual machine.
    Virtual,
    /// Something else.
    Other,
    /// A program on the host's processor.
    Software,
}

impl DeviceKind {
    /// In a word: `discrete`.
    pub const fn name(self) -> &'static str {
        match self {
            DeviceKind::Discrete => "discrete",
            DeviceKind::Integrated => "integrated",
            DeviceKind::Virtual => "virtual",
            DeviceKind::Other => "other",
            DeviceKind::Software => "software",
        }
    }
}

/// What kernels have to keep to, by Vulkan's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// `maxStorageBufferRange`, bytes.
    pub max_storage_range: u64,
    /// `maxMemoryAllocationSize`, bytes.
    pub max_allocation: u64,
    /// `maxComputeWorkGroupCount`.
    pub max_groups: [u32; 3],
    /// `maxComputeWorkGroupInvocations`.
    pub max_invocations: u32,
    /// `maxComputeWorkGroupSize`.
    pub max_group_size: [u32; 3],
    /// `maxComputeSharedMemorySize`, bytes.
    pub shared_memory: u32,
    /// `minStorageBufferOffsetAlignment`, bytes.
    pub storage_alignment: u64,
    /// `maxPushConstantsSize`, bytes.
    pub push_constants: u32,
    /// `subgroupSize`.
    pub subgroup_size: u32,
}

impl DeviceInfo {
    /// The vendor's name, where it is known; else its number.
    pub fn vendor(&self) -> String {
        let name = match self.vendor_id {
            0x1002 => "AMD",
            0x1010 => "Imagination",
            0x106b => "Apple",
            0x10de => "NVIDIA",
            0x13b5 => "Arm",
            0x14e4 => "Broadcom",
            0x1ae0 => "Google",
            0x5143 => "Qualcomm",
            0x8086 => "Intel",
            0x10005 => "Mesa",
            id => return format!("{id:#06x}"),
        };
        name.to_owned()
    }

    /// The UUID as text, as [`Select`] reads it.
    pub fn uuid_text(&self) -> String {
        let hex: Vec<String> = self.uuid.iter().map(|b| format!("{b:02x}")).collect();
        let part = |range: std::ops::Range<usize>| hex[range].concat();
        [part(0..4), part(4..6), part(6..8), part(8..10), part(10..16)].join("-")
    }
}

impl fmt::Display for DeviceInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "vulkan:{} ({})", self.index, self.name)
    }
}

/// All devices, those that cannot be used too, each with the reason. GPUs come first, software last.
///
/// ```no_run
/// for device in vulkan_core::devices()? {
///     println!("{device}: {} MiB, {}", device.memory >> 20, device.driver);
/// }
/// # Ok::<(), vulkan_core::Error>(())
/// ```
///
/// # Errors
/// [`Error::Loader`] without a Vulkan loader or without any driver.
pub fn devices() -> Result<Vec<DeviceInfo>> {
    Ok(sorted(Validation::Off)?.into_iter().map(|adapter| adapter.info).collect())
}

fn sorted(validation: Validation) -> Result<Vec<Adapter>> {
    let mut all = adapters(&Instance::open(validation)?)?;
    all.sort_by_key(|adapter| adapter.info.kind);
    for (index, adapter) in all.iter_mut().enumerate() {
        adapter.info.index = index;
    }
    Ok(all)
}

/// The device that is meant.
pub(crate) fn choose(select: &Select, validation: Validation) -> Result<Adapter> {
    let variable = std::env::var(DEVICE_VARIABLE).ok().filter(|v| !v.trim().is_empty());
    let (select, by) = match (select, variable) {
        (Select::Default, Some(text)) => {
            let select = text
                .parse()
                .map_err(|e| Error::parameter(format!("the variable {DEVICE_VARIABLE}: {e}")))?;
            (select, format!(" ({DEVICE_VARIABLE})"))
        }
        (select, _) => (select.clone(), String::new()),
    };
    let all = sorted(validation)?;
    let found = all.iter().find(|adapter| match &select {
        Select::Default => adapter.info.unusable.is_none(),
        Select::Index(index) => adapter.info.index == *index,
        Select::Uuid(uuid) => adapter.info.uuid == *uuid,
    });
    let wanted = || {
        let what = match &select {
            Select::Default => "the first that can be used".to_owned(),
            Select::Index(index) => format!("device {index}"),
            Select::Uuid(uuid) => {
                format!("device {}", uuid.iter().map(|b| format!("{b:02x}")).collect::<String>())
            }
        };
        what + &by
    };
    match found {
        Some(adapter) => match &adapter.info.unusable {
            None => Ok(adapter.clone()),
            Some(reason) => Err(Error::NoDevice {
                wanted: wanted(),
                found: format!("{} cannot be used: {reason}", adapter.info),
            }),
        },
        None => Err(Error::NoDevice { wanted: wanted(), found: inventory(&all) }),
    }
}

/// What there is, for the message that what was wanted is not.
fn inventory(all: &[Adapter]) -> String {
    if all.is_empty() {
        return "there is none: install your GPU's Vulkan driver, or a software one (on Debian: \
                mesa-vulkan-drivers)"
            .to_owned();
    }
    let each: Vec<String> = all
        .iter()
        .map(|Adapter { info, .. }| match &info.unusable {
            None => format!("{info}, UUID {}", info.uuid_text()),
            Some(reason) => format!("{info}, unusable: {reason}"),
        })
        .collect();
    format!("there are {}", each.join("; "))
}
