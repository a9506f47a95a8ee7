//! Compute pipelines, made when they are first wanted, and their cache.

use std::collections::HashMap;
use std::sync::Arc;

use ash::vk;

use super::gpu::Gpu;
use crate::error::Result;
use crate::kernels::{MAX_BINDINGS, Module, PUSH_BYTES};

/// How many specialisation constants a kernel may have.
pub(crate) const MAX_CONSTANTS: usize = 12;

/// A kernel with its constants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    pub(crate) module: Module,
    /// By number, from 0; those not used are 0.
    pub(crate) constants: [u32; MAX_CONSTANTS],
}

/// A pipeline, which lives as long as the device's [`Pipelines`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pipeline {
    pub(crate) raw: vk::Pipeline,
    pub(crate) layout: vk::PipelineLayout,
    pub(crate) set: vk::DescriptorSetLayout,
}

/// All pipelines of a device.
pub(crate) struct Pipelines {
    gpu: Arc<Gpu>,
    cache: vk::PipelineCache,
    /// By the number of buffers bound, from 1.
    layouts: Vec<(vk::DescriptorSetLayout, vk::PipelineLayout)>,
    modules: HashMap<Module, vk::ShaderModule>,
    made: HashMap<Key, Pipeline>,
}

impl Pipelines {
    /// Begins with what an earlier run had compiled, which must be of this very driver.
    pub(crate) fn new(gpu: &Arc<Gpu>, compiled: &[u8]) -> Result<Pipelines> {
        let info = vk::PipelineCacheCreateInfo::default().initial_data(compiled);
        // SAFETY: see the module; the data were found to be whole and this driver's own by `cache`.
        let cache = unsafe { gpu.raw().create_pipeline_cache(&info, None) };
        let cache = cache.map_err(|e| gpu.failed("make a cache of kernels", e))?;
        let mut pipelines = Pipelines {
            gpu: gpu.clone(),
            cache,
            layouts: Vec::new(),
            modules: HashMap::new(),
            made: HashMap::new(),
        };
        for count in 1..=MAX_BINDINGS {
            pipelines.add_layout(count)?;
        }
        Ok(pipelines)
    }

    fn add_layout(&mut self, count: usize) -> Result<()> {
        let device = self.gpu.raw();
        let bindings: Vec<_> = (0..count as u32)
            .map(|binding| {
                vk::DescriptorSetLayoutBinding::default()
                    .binding(binding)
                    .descriptor_type(vk::DescriptorType::STORAGE_BUFFER)
                    .descriptor_count(1)
                    .stage_flags(vk::ShaderStageFlags::COMPUTE)
            })
            .collect();
        let info = vk::DescriptorSetLayoutCreateInfo::default().bindings(&bindings);
        // SAFETY: see the module.
        let set = unsafe { device.create_descriptor_set_layout(&info, None) };
        let set = set.map_err(|e| self.gpu.failed("describe a kernel's buffers", e))?;
        let sets = [set];
        let push = [vk::PushConstantRange::default()
            .stage_flags(vk::ShaderStageFlags::COMPUTE)
            .size(PUSH_BYTES)];
        let info =
            vk::PipelineLayoutCreateInfo::default().set_layouts(&sets).push_constant_ranges(&push);
        // SAFETY: see the module; the set's layout was just made.
        let layout = unsafe { device.create_pipeline_layout(&info, None) };
        match layout {
            Ok(layout) => {
                self.layouts.push((set, layout));
                Ok(())
            }
            Err(e) => {
                // SAFETY: nobody has seen it.
                unsafe { device.destroy_descriptor_set_layout(set, None) };
                Err(self.gpu.failed("describe a kernel's arguments", e))
            }
        }
    }

    /// How many pipelines there are.
    pub(crate) fn count(&self) -> usize {
        self.made.len()
    }

    /// A kernel, compiled if this is the first time it is wanted.
    pub(crate) fn get(&mut self, key: Key) -> Result<Pipeline> {
        if let Some(&pipeline) = self.made.get(&key) {
            return Ok(pipeline);
        }
        self.gpu.check("compiling a kernel")?;
        let module = self.module(key.module)?;
        let (set, layout) = self.layouts[key.module.bindings() - 1];
        let entries: Vec<_> = (0..MAX_CONSTANTS as u32)
            .map(|id| vk::SpecializationMapEntry::default().constant_id(id).offset(4 * id).size(4))
            .collect();
        let constants = vk::SpecializationInfo::default()
            .map_entries(&entries)
            .data(bytemuck::bytes_of(&key.constants));
        let full = vk::PipelineShaderStageCreateFlags::REQUIRE_FULL_SUBGROUPS;
        let stage = vk::PipelineShaderStageCreateInfo::default()
            .flags(if key.module.is_subgroup() { full } else { Default::default() })
            .stage(vk::ShaderStageFlags::COMPUTE)
            .module(module)
            .name(c"main")
            .specialization_info(&constants);
        let info = [vk::ComputePipelineCreateInfo::default().stage(stage).layout(layout)];
        // SAFETY: see the module; the module and the layout live as long as this does.
        let made = unsafe { self.gpu.raw().create_compute_pipelines(self.cache, &info, None) };
        let raw = match made {
            Ok(made) => made[0],
            Err((_, e)) => return Err(self.gpu.failed("compile a kernel", e)),
        };
        let pipeline = Pipeline { raw, layout, set };
        self.made.insert(key, pipeline);
        Ok(pipeline)
    }

    fn module(&mut self, module: Module) -> Result<vk::ShaderModule> {
        if let Some(&made) = self.modules.get(&module) {
            return Ok(made);
        }
        let words: Vec<u32> = module
            .spirv()
            .chunks_exact(4)
            .map(|word| u32::from_le_bytes([word[0], word[1], word[2], word[3]]))
            .collect();
        let info = vk::ShaderModuleCreateInfo::default().code(&words);
        // SAFETY: see the module; the code is SPIR-V that came out of the compiler.
        let made = unsafe { self.gpu.raw().create_shader_module(&info, None) };
        let made = made.map_err(|e| self.gpu.failed("load a kernel", e))?;
        self.modules.insert(module, made);
        Ok(made)
    }

    /// What the driver wants to keep for the next run.
    pub(crate) fn compiled(&self) -> Result<Vec<u8>> {
        // SAFETY: see the module; `self` keeps others from adding to the cache.
        let data = unsafe { self.gpu.raw().get_pipeline_cache_data(self.cache) };
        data.map_err(|e| self.gpu.failed("read the cache of kernels", e))
    }
}

impl Drop for Pipelines {
    fn drop(&mut self) {
        let device = self.gpu.raw();
        for pipeline in self.made.values() {
            // SAFETY: nothing that was submitted runs any more when a device's state is dropped.
            unsafe { device.destroy_pipeline(pipeline.raw, None) };
        }
        for &module in self.modules.values() {
            // SAFETY: as above.
            unsafe { device.destroy_shader_module(module, None) };
        }
        for &(set, layout) in &self.layouts {
            // SAFETY: as above.
            unsafe { device.destroy_pipeline_layout(layout, None) };
            // SAFETY: as above.
            unsafe { device.destroy_descriptor_set_layout(set, None) };
        }
        // SAFETY: as above.
        unsafe { device.destroy_pipeline_cache(self.cache, None) };
    }
}
