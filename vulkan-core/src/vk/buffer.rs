//! Memory: buffers in allocations, and their bytes where the host sees them.

use std::ptr::NonNull;
use std::sync::Arc;

use ash::vk;
use gpu_allocator::vulkan::AllocatorCreateDesc;
use gpu_allocator::vulkan::{Allocation, AllocationCreateDesc, AllocationScheme, Allocator};
use gpu_allocator::{AllocationError, AllocationSizes, AllocatorDebugSettings, MemoryLocation};

use super::gpu::Gpu;
use crate::error::{Error, Result};

/// What a buffer is for, which says where it should lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// A tensor: where the device reads fastest.
    Tensor,
    /// Bytes on their way to the device.
    Upload,
    /// Bytes on their way to the host, which reads other memory than its own very slowly.
    Download,
}

/// The device's memory.
pub(crate) struct Memory {
    gpu: Arc<Gpu>,
    /// `None` only while being dropped, since it has to go before the device.
    allocator: Option<Allocator>,
    /// Where tensors go: onto the device, or where the host sees the whole of the device's memory, there.
    tensors: MemoryLocation,
    /// Bytes in buffers now.
    reserved: u64,
    /// Beyond which nothing is given, for tests.
    limit: Option<u64>,
}

/// A buffer, bound to memory.
#[derive(Debug)]
pub(crate) struct Buffer {
    pub(crate) raw: vk::Buffer,
    pub(crate) size: u64,
    pub(crate) mapped: Option<Mapped>,
    allocation: Allocation,
}

/// A buffer's bytes as the host sees them. It owns nothing: who has it keeps the buffer, and sees to
/// it that the device does not use the bytes meanwhile.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mapped {
    at: NonNull<u8>,
    len: usize,
    /// Whether reading is as fast as any memory.
    pub(crate) cached: bool,
}

// SAFETY: it is an address of memory that stays mapped, of no thread in particular; who reads and
// writes there when is said at `read` and `write`.
unsafe impl Send for Mapped {}
// SAFETY: as above.
unsafe impl Sync for Mapped {}

impl Mapped {
    /// Copies bytes to the host.
    ///
    /// The buffer must be alive, and neither the device nor another thread may write to it.
    pub(crate) fn read(&self, offset: usize, out: &mut [u8]) {
        assert!(offset <= self.len && out.len() <= self.len - offset, "beyond the buffer");
        // SAFETY: the offset lies within the mapping, as was just seen.
        let from = unsafe { self.at.as_ptr().add(offset) };
        // SAFETY: so do the bytes from there; `out` is the host's own memory, so they do not overlap;
        // nobody writes, by the function's condition, which `storage` and `staging` keep to.
        unsafe { std::ptr::copy_nonoverlapping(from, out.as_mut_ptr(), out.len()) };
    }

    /// Copies bytes to where the device sees them.
    ///
    /// The buffer must be alive, and neither the device nor another thread may use these bytes.
    pub(crate) fn write(&self, offset: usize, bytes: &[u8]) {
        assert!(offset <= self.len && bytes.len() <= self.len - offset, "beyond the buffer");
        // SAFETY: the offset lies within the mapping, as was just seen.
        let to = unsafe { self.at.as_ptr().add(offset) };
        // SAFETY: so do the bytes from there, which nobody uses, by the function's condition, which
        // `storage` and `staging` keep to; `bytes` is the host's own memory, so they do not overlap.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), to, bytes.len()) };
    }
}

impl Memory {
    pub(crate) fn new(gpu: &Arc<Gpu>, limit: Option<u64>) -> Result<Memory> {
        let allocator = Allocator::new(&AllocatorCreateDesc {
            instance: gpu.adapter.instance.raw().clone(),
            device: gpu.raw().clone(),
            physical_device: gpu.adapter.raw,
            debug_settings: AllocatorDebugSettings::default(),
            buffer_device_address: false,
            // Small devices should not lose a quarter of a gigabyte to the first tensor.
            allocation_sizes: AllocationSizes::new(16 << 20, 16 << 20)
                .with_max_device_memblock_size(256 << 20)
                .with_max_host_memblock_size(64 << 20),
        });
        let allocator = allocator.map_err(|e| Error::Driver {
            device: gpu.info().to_string(),
            doing: "set up memory",
            code: e.to_string(),
        })?;
        Ok(Memory {
            gpu: gpu.clone(),
            allocator: Some(allocator),
            tensors: tensors_location(&gpu.adapter.memory),
            reserved: 0,
            limit,
        })
    }

    /// Bytes in buffers now.
    pub(crate) fn reserved(&self) -> u64 {
        self.reserved
    }

    /// A new buffer. What it holds is whatever was there before.
    pub(crate) fn create(&mut self, size: u64, purpose: Purpose) -> Result<Buffer> {
        self.gpu.check("allocating")?;
        let out_of_memory = |memory: &Memory| memory.out_of_memory(size);
        if size > self.gpu.info().limits.max_allocation
            || self.limit.is_some_and(|limit| self.reserved.saturating_add(size) > limit)
        {
            return Err(out_of_memory(self));
        }
        let usage = vk::BufferUsageFlags::STORAGE_BUFFER
            | vk::BufferUsageFlags::TRANSFER_SRC
            | vk::BufferUsageFlags::TRANSFER_DST;
        let info = vk::BufferCreateInfo::default().size(size).usage(usage);
        let device = self.gpu.raw();
        // SAFETY: see the module; the size is not 0.
        let raw = unsafe { device.create_buffer(&info, None) };
        let raw = raw.map_err(|e| self.refused(size, e))?;
        // SAFETY: the buffer was just made.
        let requirements = unsafe { device.get_buffer_memory_requirements(raw) };
        let location = match purpose {
            Purpose::Tensor => self.tensors,
            Purpose::Upload => MemoryLocation::CpuToGpu,
            Purpose::Download => MemoryLocation::GpuToCpu,
        };
        let name = match purpose {
            Purpose::Tensor => "tensor",
            Purpose::Upload => "upload",
            Purpose::Download => "download",
        };
        let wish = AllocationCreateDesc {
            name,
            requirements,
            location,
            linear: true,
            allocation_scheme: AllocationScheme::GpuAllocatorManaged,
        };
        let allocator = self.allocator.as_mut().expect("there until it is dropped");
        let allocation = match allocator.allocate(&wish) {
            Ok(allocation) => allocation,
            Err(e) => {
                // SAFETY: nobody has seen the buffer.
                unsafe { device.destroy_buffer(raw, None) };
                return Err(self.not_allocated(size, &e));
            }
        };
        // SAFETY: the memory is used for nothing but to bind this buffer to it.
        let memory = unsafe { allocation.memory() };
        // SAFETY: the allocation was made by the buffer's own requirements.
        let bound = unsafe { device.bind_buffer_memory(raw, memory, allocation.offset()) };
        let properties = allocation.memory_properties();
        let coherent = properties.contains(vk::MemoryPropertyFlags::HOST_COHERENT);
        let mapped = allocation.mapped_ptr().filter(|_| coherent).map(|at| Mapped {
            at: at.cast(),
            len: size as usize,
            cached: properties.contains(vk::MemoryPropertyFlags::HOST_CACHED),
        });
        self.reserved += size;
        let buffer = Buffer { raw, size, mapped, allocation };
        if let Err(e) = bound {
            self.destroy(buffer);
            return Err(self.refused(size, e));
        }
        Ok(buffer)
    }

    /// Gives a buffer back, which the device does not use any more.
    pub(crate) fn destroy(&mut self, buffer: Buffer) {
        // SAFETY: the device does not use it: the condition of the function, which `core` keeps to.
        unsafe { self.gpu.raw().destroy_buffer(buffer.raw, None) };
        self.reserved -= buffer.size;
        let allocator = self.allocator.as_mut().expect("there until it is dropped");
        // That fails only for an allocation of another allocator.
        let freed = allocator.free(buffer.allocation);
        debug_assert!(freed.is_ok(), "{freed:?}");
    }

    fn refused(&self, size: u64, code: vk::Result) -> Error {
        match code {
            vk::Result::ERROR_OUT_OF_DEVICE_MEMORY | vk::Result::ERROR_OUT_OF_HOST_MEMORY => {
                self.out_of_memory(size)
            }
            code => self.gpu.failed("allocate memory", code),
        }
    }

    fn not_allocated(&self, size: u64, e: &AllocationError) -> Error {
        match e {
            AllocationError::OutOfMemory => self.out_of_memory(size),
            // The allocator knows one kind of want of memory and hands others over as text.
            AllocationError::Internal(text) if text.contains("OUT_OF_HOST_MEMORY") => {
                self.out_of_memory(size)
            }
            AllocationError::Internal(text) if text.contains("DEVICE_LOST") => {
                self.gpu.failed("allocate memory", vk::Result::ERROR_DEVICE_LOST)
            }
            e => Error::Driver {
                device: self.gpu.info().to_string(),
                doing: "allocate memory",
                code: e.to_string(),
            },
        }
    }

    fn out_of_memory(&self, asked: u64) -> Error {
        let heaps = self.gpu.adapter.memory.memory_heaps_as_slice();
        let is_local = |h: &vk::MemoryHeap| h.flags.contains(vk::MemoryHeapFlags::DEVICE_LOCAL);
        let index = heaps.iter().position(is_local).unwrap_or(0);
        let heap = self.limit.or(heaps.get(index).map(|h| h.size)).unwrap_or(0);
        let unused = heap.saturating_sub(self.reserved);
        let free = match self.limit {
            Some(_) => unused,
            None => self.gpu.free_in_heap(index).unwrap_or(unused),
        };
        Error::OutOfMemory { device: self.gpu.info().to_string(), asked, free, heap }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // Before the device, which the other field keeps.
        drop(self.allocator.take());
    }
}

/// Where the host sees all of the device's memory, tensors lie where both do: bytes then come without
/// a detour. A small window into the device's memory is left to others.
fn tensors_location(memory: &vk::PhysicalDeviceMemoryProperties) -> MemoryLocation {
    let heaps = memory.memory_heaps_as_slice();
    let largest = heaps.iter().enumerate().max_by_key(|(_, heap)| {
        (heap.flags.contains(vk::MemoryHeapFlags::DEVICE_LOCAL), heap.size)
    });
    let both = vk::MemoryPropertyFlags::DEVICE_LOCAL
        | vk::MemoryPropertyFlags::HOST_VISIBLE
        | vk::MemoryPropertyFlags::HOST_COHERENT;
    let seen = memory.memory_types_as_slice().iter().any(|kind| {
        kind.property_flags.contains(both)
            && largest.is_some_and(|(index, _)| kind.heap_index as usize == index)
    });
    if seen { MemoryLocation::CpuToGpu } else { MemoryLocation::GpuOnly }
}
