//! Bytes of the host's that the device reads where they are (`VK_EXT_external_memory_host`).

use std::ffi::c_void;
use std::marker::PhantomData;
use std::sync::Arc;

use ash::{ext, vk};

use super::adapter::Adapter;
use super::gpu::Gpu;

const KIND: vk::ExternalMemoryHandleTypeFlags =
    vk::ExternalMemoryHandleTypeFlags::HOST_ALLOCATION_EXT;
const USAGE: vk::BufferUsageFlags = vk::BufferUsageFlags::TRANSFER_SRC;

/// What a device needs for it.
pub(crate) struct Import {
    functions: ext::external_memory_host::Device,
    /// Addresses and sizes are multiples of so many bytes.
    alignment: usize,
}

/// A buffer over bytes of the host's, which it borrows. Whoever has it must not let it go, nor end the
/// borrow, before the device has done with the buffer.
pub(crate) struct Imported<'a> {
    gpu: &'a Arc<Gpu>,
    raw: vk::Buffer,
    memory: vk::DeviceMemory,
    bytes: PhantomData<&'a [u8]>,
}

/// At multiples of how many bytes a device can, if it has the extension: 0 where it does not take buffers
/// to be copied from.
pub(super) fn alignment(adapter: &Adapter) -> usize {
    let instance = adapter.instance.raw();
    let wanted = vk::PhysicalDeviceExternalBufferInfo::default().usage(USAGE).handle_type(KIND);
    let mut found = vk::ExternalBufferProperties::default();
    // SAFETY: see the module; the device is of a version that has the function.
    unsafe {
        instance.get_physical_device_external_buffer_properties(adapter.raw, &wanted, &mut found);
    }
    let features = found.external_memory_properties.external_memory_features;
    let whole = features.contains(vk::ExternalMemoryFeatureFlags::IMPORTABLE)
        && !features.contains(vk::ExternalMemoryFeatureFlags::DEDICATED_ONLY);
    let mut host = vk::PhysicalDeviceExternalMemoryHostPropertiesEXT::default();
    let mut all = vk::PhysicalDeviceProperties2::default().push_next(&mut host);
    // SAFETY: as above; the structure chained is of an extension that the device has.
    unsafe { instance.get_physical_device_properties2(adapter.raw, &mut all) };
    let alignment = usize::try_from(host.min_imported_host_pointer_alignment).unwrap_or(0);
    if whole && alignment.is_power_of_two() { alignment } else { 0 }
}

impl Import {
    pub(super) fn new(adapter: &Adapter, device: &ash::Device, alignment: usize) -> Import {
        let instance = adapter.instance.raw();
        let functions = ext::external_memory_host::Device::new(instance, device);
        Import { functions, alignment }
    }

    /// The part of some bytes that begins and ends where the device can.
    pub(crate) fn part(&self, bytes: &[u8]) -> std::ops::Range<usize> {
        let before = bytes.as_ptr().align_offset(self.alignment).min(bytes.len());
        before..before + (bytes.len() - before) / self.alignment * self.alignment
    }
}

impl<'a> Imported<'a> {
    /// Over a [`part`](Import::part) of some bytes; `None` where the driver does not want these.
    pub(crate) fn new(gpu: &'a Arc<Gpu>, import: &Import, bytes: &'a [u8]) -> Option<Imported<'a>> {
        if bytes.is_empty() || import.part(bytes) != (0..bytes.len()) {
            return None;
        }
        let device = gpu.raw();
        let at = bytes.as_ptr().cast::<c_void>();
        let mut seen = vk::MemoryHostPointerPropertiesEXT::default();
        let ask = import.functions.fp().get_memory_host_pointer_properties_ext;
        // SAFETY: the function is this device's; the address is one of the host's memory, and aligned.
        let asked = unsafe { ask(device.handle(), KIND, at, &mut seen) };
        asked.result().ok()?;
        let mut external = vk::ExternalMemoryBufferCreateInfo::default().handle_types(KIND);
        let info = vk::BufferCreateInfo::default()
            .size(bytes.len() as u64)
            .usage(USAGE)
            .push_next(&mut external);
        // SAFETY: see the module; the size is not 0, and the device was asked about such buffers.
        let raw = unsafe { device.create_buffer(&info, None) }.ok()?;
        // What there is so far goes again with it.
        let mut made = Imported { gpu, raw, memory: vk::DeviceMemory::null(), bytes: PhantomData };
        // SAFETY: the buffer was just made.
        let needs = unsafe { device.get_buffer_memory_requirements(raw) };
        let types = gpu.adapter.memory.memory_types_as_slice();
        // What the host wrote is seen by the device without more ado.
        let coherent = |kind: &vk::MemoryType| {
            kind.property_flags.contains(vk::MemoryPropertyFlags::HOST_COHERENT)
        };
        let allowed = needs.memory_type_bits & seen.memory_type_bits;
        let kind = (0..types.len()).find(|&i| allowed >> i & 1 == 1 && coherent(&types[i]))?;
        if needs.size > bytes.len() as u64 {
            return None;
        }
        let mut from = vk::ImportMemoryHostPointerInfoEXT::default()
            .handle_type(KIND)
            .host_pointer(at.cast_mut());
        let info = vk::MemoryAllocateInfo::default()
            .allocation_size(bytes.len() as u64)
            .memory_type_index(kind as u32)
            .push_next(&mut from);
        // SAFETY: address and size are aligned, and the bytes are there as long as this is; nothing writes
        // to them, since the buffer can only be copied from.
        made.memory = unsafe { device.allocate_memory(&info, None) }.ok()?;
        // SAFETY: the memory is new, of a type that the buffer can have, and as large as that needs.
        unsafe { device.bind_buffer_memory(raw, made.memory, 0) }.ok()?;
        Some(made)
    }

    pub(crate) fn raw(&self) -> vk::Buffer {
        self.raw
    }
}

impl Drop for Imported<'_> {
    fn drop(&mut self) {
        // SAFETY: the device has done with it, as whoever has it sees to.
        unsafe { self.gpu.raw().destroy_buffer(self.raw, None) };
        // SAFETY: nothing else is bound to the memory, if there is any.
        unsafe { self.gpu.raw().free_memory(self.memory, None) };
    }
}
