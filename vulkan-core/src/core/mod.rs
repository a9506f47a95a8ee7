//! What a device does, behind one lock: who holds which memory, what is recorded, what runs.
//!
//! | module | holds |
//! |---|---|
//! | `pool` | buffers, those in use and those to use again |
//! | `hazard` | which accesses have to wait for which |
//! | `recorder` | one stream's batches: what is being recorded, what runs |
//! | `record` | recording dispatches and copies, and handing batches over |
//! | `sequence` | what is recorded once, and handed over again and again |
//! | `storage` | a tensor's memory, given back when nobody has it any more |
//! | `usage` | counts of all that |

pub(crate) mod hazard;
pub(crate) mod pool;
pub(crate) mod record;
pub(crate) mod recorder;
pub(crate) mod sequence;
pub(crate) mod storage;
pub(crate) mod usage;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::cache;
use crate::devices::choose;
use crate::error::Result;
use crate::options::DeviceOptions;
use crate::vk::buffer::Memory;
use crate::vk::gpu::{Gpu, Queue};
use crate::vk::pipeline::{Key, Pipeline, Pipelines};
use pool::{BufferId, Pool};
use recorder::{Recorder, Spare};
use usage::Counters;

/// A device's state, shared by all handles on it.
pub(crate) struct Shared {
    core: Mutex<Core>,
    pipelines: Mutex<Pipelines>,
    /// Buffers that nobody has any more. Storages are dropped anywhere, also where the lock is held.
    garbage: Mutex<Vec<BufferId>>,
    pub(crate) counters: Counters,
    pub(crate) options: DeviceOptions,
    cache: Option<cache::File>,
    /// Last, since it goes last.
    pub(crate) gpu: Arc<Gpu>,
}

/// What is behind the lock.
pub(crate) struct Core {
    /// By their numbers, which are never given again.
    streams: HashMap<u64, Recorder>,
    next_stream: u64,
    spare: Spare,
    /// Counts the barriers of all streams.
    epoch: u64,
    pool: Pool,
    memory: Memory,
    queue: Queue,
}

impl Shared {
    pub(crate) fn open(options: &DeviceOptions) -> Result<Arc<Shared>> {
        let adapter = choose(&options.select, options.validation)?;
        let (gpu, queue) = Gpu::open(adapter, options)?;
        let memory = Memory::new(&gpu, options.faults.memory)?;
        let cache = cache::File::of(gpu.info(), &options.pipeline_cache);
        let compiled = cache.as_ref().and_then(cache::File::read).unwrap_or_default();
        let pipelines = Pipelines::new(&gpu, &compiled)?;
        Ok(Arc::new(Shared {
            core: Mutex::new(Core {
                streams: HashMap::new(),
                next_stream: 0,
                spare: Spare::default(),
                epoch: 0,
                pool: Pool::default(),
                memory,
                queue,
            }),
            pipelines: Mutex::new(pipelines),
            garbage: Mutex::default(),
            counters: Counters::default(),
            options: options.clone(),
            cache,
            gpu,
        }))
    }

    /// The state, with what was dropped meanwhile put back into the pool.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Core> {
        // A panic under the lock is a fault of ours; what was recorded is still whole commands.
        let mut core = self.core.lock().unwrap_or_else(PoisonError::into_inner);
        let mut garbage = self.garbage.lock().unwrap_or_else(PoisonError::into_inner);
        for id in garbage.drain(..) {
            core.put_back(id);
        }
        drop(garbage);
        core
    }

    /// A kernel; compiled now if it is wanted for the first time, which takes milliseconds.
    pub(crate) fn pipeline(&self, key: Key) -> Result<Pipeline> {
        self.pipelines.lock().unwrap_or_else(PoisonError::into_inner).get(key)
    }

    pub(crate) fn pipeline_count(&self) -> usize {
        self.pipelines.lock().unwrap_or_else(PoisonError::into_inner).count()
    }

    /// Gives all memory back that nothing uses.
    pub(crate) fn trim(&self) {
        let mut core = self.lock();
        core.trim();
    }

    fn throw_away(&self, id: BufferId) {
        self.garbage.lock().unwrap_or_else(PoisonError::into_inner).push(id);
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let core = self.core.get_mut().unwrap_or_else(PoisonError::into_inner);
        // Streams hold the state, so they are gone, and have waited; but see `Spare`.
        self.gpu.wait_idle();
        core.streams.clear();
        let Core { pool, memory, .. } = core;
        pool.clear(memory);
        let pipelines = self.pipelines.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(file) = &self.cache
            && !self.gpu.is_lost()
            && let Ok(compiled) = pipelines.compiled()
        {
            file.write(&compiled);
        }
    }
}
