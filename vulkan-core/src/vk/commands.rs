//! Recording into one command buffer.

use std::sync::Arc;

use ash::vk;

use super::gpu::Gpu;
use super::pipeline::Pipeline;
use crate::error::Result;
use crate::kernels::MAX_BINDINGS;

/// Sets of buffers that one pool holds.
const SETS: u32 = 128;

/// Some bytes of a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) buffer: vk::Buffer,
    pub(crate) offset: u64,
    pub(crate) len: u64,
}

/// A command buffer with what it needs, recorded again and again.
pub(crate) struct Commands {
    gpu: Arc<Gpu>,
    pool: vk::CommandPool,
    raw: vk::CommandBuffer,
    pools: Vec<vk::DescriptorPool>,
    /// How many sets the last pool has left.
    left: u32,
    /// Sets by their layout, and how many of them are in use. They are kept, since some drivers take longer
    /// to make one than all else of a dispatch takes.
    sets: Vec<(vk::DescriptorSetLayout, Vec<vk::DescriptorSet>, usize)>,
    bound: vk::Pipeline,
}

impl Commands {
    pub(crate) fn new(gpu: &Arc<Gpu>) -> Result<Commands> {
        let device = gpu.raw();
        let info = vk::CommandPoolCreateInfo::default()
            .queue_family_index(gpu.adapter.queue_family)
            .flags(vk::CommandPoolCreateFlags::TRANSIENT);
        // SAFETY: see the module.
        let pool = unsafe { device.create_command_pool(&info, None) };
        let pool = pool.map_err(|e| gpu.failed("make a command pool", e))?;
        let mut commands = Commands {
            gpu: gpu.clone(),
            pool,
            raw: vk::CommandBuffer::null(),
            pools: Vec::new(),
            left: 0,
            sets: Vec::new(),
            bound: vk::Pipeline::null(),
        };
        let info = vk::CommandBufferAllocateInfo::default()
            .command_pool(pool)
            .level(vk::CommandBufferLevel::PRIMARY)
            .command_buffer_count(1);
        // SAFETY: see the module; the pool was just made.
        let made = unsafe { device.allocate_command_buffers(&info) };
        commands.raw = made.map_err(|e| gpu.failed("make a command buffer", e))?[0];
        Ok(commands)
    }

    pub(crate) fn raw(&self) -> vk::CommandBuffer {
        self.raw
    }

    /// Begins anew, what may be handed over `again` while the device still has it. What was recorded before
    /// must be done.
    pub(crate) fn begin(&mut self, again: bool) -> Result<()> {
        let device = self.gpu.raw();
        // SAFETY: the device is done with the commands, by the function's condition.
        let reset =
            unsafe { device.reset_command_pool(self.pool, vk::CommandPoolResetFlags::empty()) };
        reset.map_err(|e| self.gpu.failed("reset a command pool", e))?;
        for (_, _, used) in &mut self.sets {
            *used = 0;
        }
        self.bound = vk::Pipeline::null();
        let usage = if again {
            vk::CommandBufferUsageFlags::SIMULTANEOUS_USE
        } else {
            vk::CommandBufferUsageFlags::ONE_TIME_SUBMIT
        };
        let info = vk::CommandBufferBeginInfo::default().flags(usage);
        // SAFETY: the buffer was reset.
        let begun = unsafe { device.begin_command_buffer(self.raw, &info) };
        begun.map_err(|e| self.gpu.failed("begin a command buffer", e))
    }

    /// Ends what is recorded.
    pub(crate) fn end(&mut self) -> Result<()> {
        // SAFETY: the buffer is being recorded.
        let ended = unsafe { self.gpu.raw().end_command_buffer(self.raw) };
        ended.map_err(|e| self.gpu.failed("end a command buffer", e))
    }

    /// Runs a kernel over these pieces of buffers, in the order of its bindings.
    pub(crate) fn dispatch(
        &mut self,
        pipeline: Pipeline,
        pieces: &[Piece],
        push: &[u8],
        groups: [u32; 3],
    ) -> Result<()> {
        let set = self.set(pipeline.set)?;
        let device = self.gpu.raw();
        let mut infos = [vk::DescriptorBufferInfo::default(); MAX_BINDINGS];
        for (info, piece) in infos.iter_mut().zip(pieces) {
            *info = info.buffer(piece.buffer).offset(piece.offset).range(piece.len);
        }
        let writes = [vk::WriteDescriptorSet::default()
            .dst_set(set)
            .descriptor_type(vk::DescriptorType::STORAGE_BUFFER)
            .buffer_info(&infos[..pieces.len()])];
        // SAFETY: no commands use the set, and it has as many bindings as there are pieces, one after another.
        unsafe { device.update_descriptor_sets(&writes, &[]) };
        if self.bound != pipeline.raw {
            let point = vk::PipelineBindPoint::COMPUTE;
            // SAFETY: the buffer is being recorded; pipelines live as long as the device's state.
            unsafe { device.cmd_bind_pipeline(self.raw, point, pipeline.raw) };
            self.bound = pipeline.raw;
        }
        let sets = [set];
        // SAFETY: as above; the set is of the pipeline's layout.
        unsafe {
            device.cmd_bind_descriptor_sets(
                self.raw,
                vk::PipelineBindPoint::COMPUTE,
                pipeline.layout,
                0,
                &sets,
                &[],
            );
        };
        if !push.is_empty() {
            let stage = vk::ShaderStageFlags::COMPUTE;
            // SAFETY: as above; the layout has room for as many bytes as kernels declare.
            unsafe { device.cmd_push_constants(self.raw, pipeline.layout, stage, 0, push) };
        }
        let [x, y, z] = groups;
        // SAFETY: as above; the counts are within the device's limits, see `grid`.
        unsafe { device.cmd_dispatch(self.raw, x, y, z) };
        Ok(())
    }

    /// A set that the commands do not use yet.
    fn set(&mut self, layout: vk::DescriptorSetLayout) -> Result<vk::DescriptorSet> {
        let at = match self.sets.iter().position(|(known, ..)| *known == layout) {
            Some(at) => at,
            None => {
                self.sets.push((layout, Vec::new(), 0));
                self.sets.len() - 1
            }
        };
        let (_, made, used) = &self.sets[at];
        let set = match made.get(*used) {
            Some(&set) => set,
            None => {
                let set = self.new_set(layout)?;
                self.sets[at].1.push(set);
                set
            }
        };
        self.sets[at].2 += 1;
        Ok(set)
    }

    fn new_set(&mut self, layout: vk::DescriptorSetLayout) -> Result<vk::DescriptorSet> {
        let device = self.gpu.raw();
        if self.left == 0 {
            let sizes = [vk::DescriptorPoolSize::default()
                .ty(vk::DescriptorType::STORAGE_BUFFER)
                .descriptor_count(SETS * MAX_BINDINGS as u32)];
            let info = vk::DescriptorPoolCreateInfo::default().max_sets(SETS).pool_sizes(&sizes);
            // SAFETY: see the module.
            let pool = unsafe { device.create_descriptor_pool(&info, None) };
            self.pools.push(pool.map_err(|e| self.gpu.failed("make a descriptor pool", e))?);
            self.left = SETS;
        }
        let layouts = [layout];
        let info = vk::DescriptorSetAllocateInfo::default()
            .descriptor_pool(self.pools[self.pools.len() - 1])
            .set_layouts(&layouts);
        // SAFETY: the pool has room, as counted.
        let made = unsafe { device.allocate_descriptor_sets(&info) };
        let made = made.map_err(|e| self.gpu.failed("allocate a descriptor set", e))?;
        self.left -= 1;
        Ok(made[0])
    }

    /// Copies bytes from one buffer to another, or within one where they do not overlap.
    pub(crate) fn copy(&mut self, from: Piece, to: Piece) {
        debug_assert_eq!(from.len, to.len);
        let regions = [vk::BufferCopy::default()
            .src_offset(from.offset)
            .dst_offset(to.offset)
            .size(from.len)];
        let device = self.gpu.raw();
        // SAFETY: the buffer is being recorded; the pieces lie within their buffers.
        unsafe { device.cmd_copy_buffer(self.raw, from.buffer, to.buffer, &regions) };
    }

    /// Fills whole words.
    pub(crate) fn fill(&mut self, to: Piece, word: u32) {
        let device = self.gpu.raw();
        // SAFETY: the buffer is being recorded; offset and length are multiples of 4 within it.
        unsafe { device.cmd_fill_buffer(self.raw, to.buffer, to.offset, to.len, word) };
    }

    /// What comes after sees what kernels and copies before have written, and does not write over
    /// what they still read.
    pub(crate) fn barrier(&mut self) {
        let stages = vk::PipelineStageFlags2::COMPUTE_SHADER | vk::PipelineStageFlags2::TRANSFER;
        let writes = vk::AccessFlags2::SHADER_STORAGE_WRITE | vk::AccessFlags2::TRANSFER_WRITE;
        let reads = vk::AccessFlags2::SHADER_STORAGE_READ | vk::AccessFlags2::TRANSFER_READ;
        self.memory_barrier(stages, writes, stages, reads | writes);
    }

    /// The host sees what was written, once the device is done.
    pub(crate) fn host_barrier(&mut self) {
        let stages = vk::PipelineStageFlags2::COMPUTE_SHADER | vk::PipelineStageFlags2::TRANSFER;
        let writes = vk::AccessFlags2::SHADER_STORAGE_WRITE | vk::AccessFlags2::TRANSFER_WRITE;
        let host = vk::PipelineStageFlags2::HOST;
        self.memory_barrier(stages, writes, host, vk::AccessFlags2::HOST_READ);
    }

    fn memory_barrier(
        &mut self,
        from: vk::PipelineStageFlags2,
        wrote: vk::AccessFlags2,
        to: vk::PipelineStageFlags2,
        uses: vk::AccessFlags2,
    ) {
        let barriers = [vk::MemoryBarrier2::default()
            .src_stage_mask(from)
            .src_access_mask(wrote)
            .dst_stage_mask(to)
            .dst_access_mask(uses)];
        let info = vk::DependencyInfo::default().memory_barriers(&barriers);
        // SAFETY: the buffer is being recorded.
        unsafe { self.gpu.raw().cmd_pipeline_barrier2(self.raw, &info) };
    }
}

impl Drop for Commands {
    fn drop(&mut self) {
        let device = self.gpu.raw();
        // SAFETY: who drops commands has seen that the device is done with them.
        unsafe { device.destroy_command_pool(self.pool, None) };
        for &pool in &self.pools {
            // SAFETY: as above.
            unsafe { device.destroy_descriptor_pool(pool, None) };
        }
    }
}
