//! What a physical device is, has and can.

use std::ffi::CStr;
use std::sync::Arc;

use ash::{ext, khr, vk};

use super::import;
use super::instance::{FLOOR, Instance, failed};
use crate::devices::{DeviceInfo, DeviceKind, Limits};
use crate::error::Result;
use crate::kernels::MAX_BINDINGS;
use crate::options::Feature;

/// A physical device of an instance.
#[derive(Clone)]
pub(crate) struct Adapter {
    pub(crate) instance: Arc<Instance>,
    pub(crate) raw: vk::PhysicalDevice,
    /// Its place in the list is filled in by who makes the list.
    pub(crate) info: DeviceInfo,
    /// A family whose queues compute.
    pub(crate) queue_family: u32,
    pub(crate) memory: vk::PhysicalDeviceMemoryProperties,
    pub(crate) has: Optional,
}

/// What is used of the device where it is there.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Optional {
    pub(crate) memory_budget: bool,
    /// At multiples of how many bytes the device reads the host's memory where it is; 0 where it does not.
    pub(crate) host_import: usize,
    /// Subgroups can be asked for that are full, and broadcast.
    pub(crate) subgroup_broadcast: bool,
    /// Must be named if it is there: the device does not do all of Vulkan.
    pub(crate) portability: bool,
}

/// The physical devices, as the loader has them.
pub(crate) fn adapters(instance: &Arc<Instance>) -> Result<Vec<Adapter>> {
    // SAFETY: see the module; the instance is alive.
    let all = unsafe { instance.raw().enumerate_physical_devices() };
    let all = all.map_err(|e| failed("list the devices", e))?;
    all.into_iter().map(|raw| adapter(instance, raw)).collect()
}

fn adapter(instance: &Arc<Instance>, raw: vk::PhysicalDevice) -> Result<Adapter> {
    let functions = instance.raw();
    // SAFETY: see the module; the device is one of this instance's.
    let memory = unsafe { functions.get_physical_device_memory_properties(raw) };
    // SAFETY: as above.
    let first = unsafe { functions.get_physical_device_properties(raw) };

    let mut ids = vk::PhysicalDeviceIDProperties::default();
    let mut driver = vk::PhysicalDeviceDriverProperties::default();
    let mut subgroup = vk::PhysicalDeviceSubgroupProperties::default();
    let mut maintenance = vk::PhysicalDeviceMaintenance3Properties::default();
    let mut all = vk::PhysicalDeviceProperties2::default()
        .push_next(&mut ids)
        .push_next(&mut subgroup)
        .push_next(&mut maintenance);
    // Older devices do not know the structure of a driver.
    if first.api_version >= vk::API_VERSION_1_2 {
        all = all.push_next(&mut driver);
    }
    if first.api_version >= vk::API_VERSION_1_1 {
        // SAFETY: as above; the structures chained are those that the device's version knows.
        unsafe { functions.get_physical_device_properties2(raw, &mut all) };
    }
    let limits = first.limits;
    // SAFETY: as above.
    let families = unsafe { functions.get_physical_device_queue_family_properties(raw) };
    let queue = families.iter().position(|f| f.queue_flags.contains(vk::QueueFlags::COMPUTE));
    // SAFETY: as above.
    let extensions = unsafe { functions.enumerate_device_extension_properties(raw) };
    let extensions = extensions.map_err(|e| failed("list a device's extensions", e))?;
    let has = |name: &CStr| {
        extensions.iter().any(|e| e.extension_name_as_c_str().is_ok_and(|n| n == name))
    };
    let imports = has(ext::external_memory_host::NAME) && first.api_version >= FLOOR;
    let has = Optional {
        memory_budget: has(ext::memory_budget::NAME),
        host_import: 0,
        subgroup_broadcast: false,
        portability: has(khr::portability_subset::NAME),
    };

    let text = |chars: &[std::ffi::c_char]| {
        let bytes: Vec<u8> = chars.iter().map(|&c| c as u8).take_while(|&c| c != 0).collect();
        String::from_utf8_lossy(&bytes).into_owned()
    };
    let heaps = memory.memory_heaps_as_slice();
    let local = heaps.iter().filter(|h| h.flags.contains(vk::MemoryHeapFlags::DEVICE_LOCAL));
    let version = first.api_version;
    let info = DeviceInfo {
        index: 0,
        name: text(&first.device_name),
        kind: match first.device_type {
            vk::PhysicalDeviceType::DISCRETE_GPU => DeviceKind::Discrete,
            vk::PhysicalDeviceType::INTEGRATED_GPU => DeviceKind::Integrated,
            vk::PhysicalDeviceType::VIRTUAL_GPU => DeviceKind::Virtual,
            vk::PhysicalDeviceType::CPU => DeviceKind::Software,
            _ => DeviceKind::Other,
        },
        vendor_id: first.vendor_id,
        device_id: first.device_id,
        uuid: ids.device_uuid,
        driver: text(&driver.driver_name),
        driver_info: text(&driver.driver_info),
        driver_version: first.driver_version,
        cache_uuid: first.pipeline_cache_uuid,
        api_version: (
            vk::api_version_major(version),
            vk::api_version_minor(version),
            vk::api_version_patch(version),
        ),
        memory: local.map(|h| h.size).sum(),
        limits: Limits {
            max_storage_range: u64::from(limits.max_storage_buffer_range),
            max_allocation: maintenance.max_memory_allocation_size,
            max_groups: limits.max_compute_work_group_count,
            max_invocations: limits.max_compute_work_group_invocations,
            max_group_size: limits.max_compute_work_group_size,
            shared_memory: limits.max_compute_shared_memory_size,
            storage_alignment: limits.min_storage_buffer_offset_alignment,
            push_constants: limits.max_push_constants_size,
            subgroup_size: subgroup.subgroup_size,
        },
        features: Vec::new(),
        unusable: None,
    };
    let mut adapter = Adapter {
        instance: instance.clone(),
        raw,
        info,
        queue_family: queue.unwrap_or(0) as u32,
        memory,
        has,
    };
    if imports {
        adapter.has.host_import = import::alignment(&adapter);
    }
    adapter.has.subgroup_broadcast = first.api_version >= FLOOR
        && subgroup.supported_stages.contains(vk::ShaderStageFlags::COMPUTE)
        && subgroup.supported_operations.contains(vk::SubgroupFeatureFlags::BALLOT)
        && features(&adapter).full_subgroups;
    let there = |feature: &Feature| match feature {
        Feature::MemoryBudget => adapter.has.memory_budget,
        Feature::HostImport => adapter.has.host_import > 0,
        Feature::SubgroupBroadcast => adapter.has.subgroup_broadcast,
    };
    adapter.info.features = Feature::ALL.into_iter().filter(there).collect();
    adapter.info.unusable = unusable(&adapter, version, queue.is_some()).or_else(|| {
        let (has, needs) = (limits.max_per_stage_descriptor_storage_buffers, MAX_BINDINGS);
        let too_few = (has as usize) < needs;
        too_few.then(|| format!("a kernel on it sees {has} buffers, and {needs} are needed"))
    });
    Ok(adapter)
}

/// Why it cannot be used, if so.
fn unusable(adapter: &Adapter, version: u32, computes: bool) -> Option<String> {
    if version < FLOOR {
        let (major, minor, _) = adapter.info.api_version;
        return Some(format!(
            "its driver has Vulkan {major}.{minor}, and 1.3 is needed; update it"
        ));
    }
    if !computes {
        return Some("none of its queues computes".to_owned());
    }
    let has = features(adapter);
    let needed = [
        (has.timelines, "timeline semaphores"),
        (has.synchronization2, "synchronization2"),
        (has.maintenance4, "maintenance4"),
    ];
    let missing: Vec<&str> =
        needed.iter().filter(|(there, _)| !there).map(|(_, name)| *name).collect();
    if missing.is_empty() {
        return None;
    }
    Some(format!("its driver lacks {}; update it", missing.join(", ")))
}

/// Which features a device of the floor's version has.
struct Features {
    timelines: bool,
    synchronization2: bool,
    maintenance4: bool,
    full_subgroups: bool,
}

fn features(adapter: &Adapter) -> Features {
    let mut v12 = vk::PhysicalDeviceVulkan12Features::default();
    let mut v13 = vk::PhysicalDeviceVulkan13Features::default();
    let mut all = vk::PhysicalDeviceFeatures2::default().push_next(&mut v12).push_next(&mut v13);
    // SAFETY: the device is one of the instance's, and of a version that knows the structures.
    unsafe { adapter.instance.raw().get_physical_device_features2(adapter.raw, &mut all) };
    Features {
        timelines: v12.timeline_semaphore == vk::TRUE,
        synchronization2: v13.synchronization2 == vk::TRUE,
        maintenance4: v13.maintenance4 == vk::TRUE,
        full_subgroups: v13.compute_full_subgroups == vk::TRUE,
    }
}
