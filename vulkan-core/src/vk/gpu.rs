//! One logical device: its queue, timelines and waits, and what is known of its end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use ash::{ext, khr, vk};

use super::adapter::Adapter;
use super::import::Import;
use crate::devices::DeviceInfo;
use crate::error::{Error, Result};
use crate::options::{DeviceOptions, Feature};

/// A logical device. Destroyed when nothing made of it is left.
pub(crate) struct Gpu {
    pub(crate) adapter: Adapter,
    raw: ash::Device,
    lost: AtomicBool,
    memory_budget: bool,
    subgroup_broadcast: bool,
    import: Option<Import>,
}

impl Gpu {
    /// A device with one queue for computing.
    pub(crate) fn open(adapter: Adapter, options: &DeviceOptions) -> Result<(Arc<Gpu>, Queue)> {
        let priorities = [1.0];
        let queues = [vk::DeviceQueueCreateInfo::default()
            .queue_family_index(adapter.queue_family)
            .queue_priorities(&priorities)];
        let mut extensions = Vec::new();
        if adapter.has.portability {
            extensions.push(khr::portability_subset::NAME.as_ptr());
        }
        let memory_budget =
            adapter.has.memory_budget && !options.without.contains(&Feature::MemoryBudget);
        if memory_budget {
            extensions.push(ext::memory_budget::NAME.as_ptr());
        }
        let imports =
            adapter.has.host_import > 0 && !options.without.contains(&Feature::HostImport);
        if imports {
            extensions.push(ext::external_memory_host::NAME.as_ptr());
        }
        let subgroup_broadcast = adapter.has.subgroup_broadcast
            && !options.without.contains(&Feature::SubgroupBroadcast);
        let mut v12 = vk::PhysicalDeviceVulkan12Features::default().timeline_semaphore(true);
        let mut v13 = vk::PhysicalDeviceVulkan13Features::default()
            .synchronization2(true)
            .maintenance4(true)
            .compute_full_subgroups(subgroup_broadcast);
        let info = vk::DeviceCreateInfo::default()
            .queue_create_infos(&queues)
            .enabled_extension_names(&extensions)
            .push_next(&mut v12)
            .push_next(&mut v13);
        let instance = adapter.instance.raw();
        // SAFETY: see the module; features and extensions are some that the device was found to have.
        let raw = unsafe { instance.create_device(adapter.raw, &info, None) };
        let raw = raw.map_err(|e| driver(&adapter.info, "open the device", e))?;
        // SAFETY: a queue of this family was asked for.
        let queue = unsafe { raw.get_device_queue(adapter.queue_family, 0) };
        let import = imports.then(|| Import::new(&adapter, &raw, adapter.has.host_import));
        let lost = AtomicBool::new(false);
        let gpu = Gpu { adapter, raw, lost, memory_budget, subgroup_broadcast, import };
        let gpu = Arc::new(gpu);
        let faults = options.faults.lose_at_submit;
        Ok((gpu.clone(), Queue { gpu, raw: queue, submits: 0, lose_at: faults }))
    }

    pub(crate) fn raw(&self) -> &ash::Device {
        &self.raw
    }

    /// How it reads the host's memory where that is, if it does.
    pub(crate) fn import(&self) -> Option<&Import> {
        self.import.as_ref()
    }

    /// Whether kernels may be full subgroups that broadcast.
    pub(crate) fn subgroup_broadcast(&self) -> bool {
        self.subgroup_broadcast
    }

    pub(crate) fn info(&self) -> &DeviceInfo {
        &self.adapter.info
    }

    /// Refuses to go on with a device that was lost.
    pub(crate) fn check(&self, doing: &'static str) -> Result<()> {
        if self.is_lost() { Err(self.failed(doing, vk::Result::ERROR_DEVICE_LOST)) } else { Ok(()) }
    }

    pub(crate) fn is_lost(&self) -> bool {
        self.lost.load(Ordering::Acquire)
    }

    /// What a driver's refusal means. That the device is lost is kept in mind.
    pub(crate) fn failed(&self, doing: &'static str, code: vk::Result) -> Error {
        if code == vk::Result::ERROR_DEVICE_LOST {
            self.lost.store(true, Ordering::Release);
            return Error::DeviceLost { device: self.info().to_string(), doing };
        }
        driver(self.info(), doing, code)
    }

    /// How many bytes of a heap are free, as the driver says; `None` where it does not.
    pub(crate) fn free_in_heap(&self, heap: usize) -> Option<u64> {
        if !self.memory_budget {
            return None;
        }
        let mut budget = vk::PhysicalDeviceMemoryBudgetPropertiesEXT::default();
        let mut all = vk::PhysicalDeviceMemoryProperties2::default().push_next(&mut budget);
        let instance = self.adapter.instance.raw();
        // SAFETY: the extension that the structure belongs to is there.
        unsafe { instance.get_physical_device_memory_properties2(self.adapter.raw, &mut all) };
        Some(budget.heap_budget.get(heap)?.saturating_sub(budget.heap_usage[heap]))
    }

    /// Waits until nothing runs. A lost device runs nothing.
    pub(crate) fn wait_idle(&self) {
        // SAFETY: called when nobody submits: by who has the queue, or when that is gone.
        let result = unsafe { self.raw.device_wait_idle() };
        // There is nothing left that could be told of an error.
        let _ = result;
    }
}

impl Drop for Gpu {
    fn drop(&mut self) {
        self.wait_idle();
        // SAFETY: whatever was made of the device holds it by an `Arc`, so nothing is left.
        unsafe { self.raw.destroy_device(None) };
    }
}

fn driver(info: &DeviceInfo, doing: &'static str, code: vk::Result) -> Error {
    Error::Driver { device: info.to_string(), doing, code: format!("{code:?}") }
}

/// The device's queue. Whoever has it is the only one to submit.
pub(crate) struct Queue {
    gpu: Arc<Gpu>,
    raw: vk::Queue,
    submits: u64,
    lose_at: Option<u64>,
}

/// A value that a timeline has to reach, or will have reached.
pub(crate) type Point<'a> = (&'a Timeline, u64);

impl Queue {
    /// Hands over commands, to begin when all `waits` are reached, and to reach `signal` when they are
    /// done.
    pub(crate) fn submit(
        &mut self,
        commands: &[vk::CommandBuffer],
        waits: &[Point<'_>],
        signal: Point<'_>,
    ) -> Result<()> {
        self.gpu.check("submitting")?;
        if self.lose_at == Some(self.submits) {
            // On a device that is really lost, nothing runs any more.
            self.gpu.wait_idle();
            return Err(self.gpu.failed("submitting", vk::Result::ERROR_DEVICE_LOST));
        }
        let point = |(timeline, value): Point<'_>| {
            vk::SemaphoreSubmitInfo::default()
                .semaphore(timeline.raw)
                .value(value)
                .stage_mask(vk::PipelineStageFlags2::ALL_COMMANDS)
        };
        let waits: Vec<_> = waits.iter().map(|&wait| point(wait)).collect();
        let signals = [point(signal)];
        let commands: Vec<_> = commands
            .iter()
            .map(|&commands| vk::CommandBufferSubmitInfo::default().command_buffer(commands))
            .collect();
        let submits = [vk::SubmitInfo2::default()
            .wait_semaphore_infos(&waits)
            .command_buffer_infos(&commands)
            .signal_semaphore_infos(&signals)];
        // SAFETY: see the module; `&mut self` is the only way to the queue, and the commands have been
        // ended by who hands them over: those of a batch once, those of a sequence were begun for more.
        let result = unsafe { self.gpu.raw.queue_submit2(self.raw, &submits, vk::Fence::null()) };
        if let Err(e) = result {
            // What was recorded would be missing from every tensor that it should have written.
            self.gpu.lost.store(true, Ordering::Release);
            return Err(self.gpu.failed("submitting", e));
        }
        self.submits += 1;
        Ok(())
    }

    /// How often work was handed over.
    pub(crate) fn submits(&self) -> u64 {
        self.submits
    }
}

/// A counter that the device counts up as it goes.
pub(crate) struct Timeline {
    gpu: Arc<Gpu>,
    raw: vk::Semaphore,
}

impl Timeline {
    pub(crate) fn new(gpu: &Arc<Gpu>) -> Result<Timeline> {
        let mut kind = vk::SemaphoreTypeCreateInfo::default()
            .semaphore_type(vk::SemaphoreType::TIMELINE)
            .initial_value(0);
        let info = vk::SemaphoreCreateInfo::default().push_next(&mut kind);
        // SAFETY: see the module.
        let raw = unsafe { gpu.raw.create_semaphore(&info, None) };
        let raw = raw.map_err(|e| gpu.failed("make a semaphore", e))?;
        Ok(Timeline { gpu: gpu.clone(), raw })
    }

    /// How far the device is. On a lost device everything is over.
    pub(crate) fn reached(&self) -> u64 {
        if self.gpu.is_lost() {
            return u64::MAX;
        }
        // SAFETY: see the module; the call may be made from any thread.
        let value = unsafe { self.gpu.raw.get_semaphore_counter_value(self.raw) };
        value.unwrap_or_else(|e| {
            self.gpu.failed("asking how far it is", e);
            if self.gpu.is_lost() { u64::MAX } else { 0 }
        })
    }

    /// Looks again and again until the device is so far, as long as it gets on: whether it got there.
    ///
    /// A thread that sleeps is woken late, and where the device is a program on the processor, one that
    /// stays awake keeps its threads from being moved to a processor that has to be woken for each kernel.
    fn watch(&self, value: u64) -> bool {
        // Longer than a small training step takes, and not much to lose before a long wait.
        const PATIENCE: Duration = Duration::from_millis(1);
        let (mut last, mut since) = (self.reached(), Instant::now());
        while last < value {
            if since.elapsed() > PATIENCE {
                return false;
            }
            thread::yield_now();
            let reached = self.reached();
            if reached != last {
                (last, since) = (reached, Instant::now());
            }
        }
        true
    }

    /// Waits until the device is so far: awake as long as it gets there in small pieces, else asleep.
    pub(crate) fn wait(&self, value: u64) -> Result<()> {
        if self.watch(value) {
            return self.gpu.check("waiting for a result");
        }
        // A driver that hangs is to be noticed here, as is a device that another thread saw lost.
        const TURN: Duration = Duration::from_secs(5);
        loop {
            self.gpu.check("waiting for a result")?;
            let (semaphores, values) = ([self.raw], [value]);
            let info = vk::SemaphoreWaitInfo::default().semaphores(&semaphores).values(&values);
            // SAFETY: see the module; the call may be made from any thread.
            let result = unsafe { self.gpu.raw.wait_semaphores(&info, TURN.as_nanos() as u64) };
            match result {
                Ok(()) => return Ok(()),
                Err(vk::Result::TIMEOUT) => {}
                Err(e) => return Err(self.gpu.failed("waiting for a result", e)),
            }
        }
    }
}

impl Drop for Timeline {
    fn drop(&mut self) {
        // SAFETY: who owns it has waited for what was submitted with it.
        unsafe { self.gpu.raw.destroy_semaphore(self.raw, None) };
    }
}
