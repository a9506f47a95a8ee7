//! A tensor's memory.

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use ash::vk;

use super::Shared;
use super::pool::BufferId;
use crate::error::Result;
use crate::vk::buffer::{Mapped, Purpose};

/// Memory that goes back to the pool when nobody has it any more.
pub(crate) struct Storage {
    pub(crate) shared: Arc<Shared>,
    pub(crate) id: BufferId,
    pub(crate) raw: vk::Buffer,
    /// As many as were asked for; the buffer may have more.
    pub(crate) nbytes: u64,
    pub(crate) mapped: Option<Mapped>,
    purpose: Purpose,
    /// The buffer's own.
    host: Arc<RwLock<()>>,
}

impl Storage {
    /// Memory whose first use is on this stream; if `idle`, the host may write to it at once.
    pub(crate) fn new(
        shared: &Arc<Shared>,
        stream: u64,
        nbytes: u64,
        purpose: Purpose,
        idle: bool,
    ) -> Result<Storage> {
        let mut core = shared.lock();
        let id = core.allocate(stream, nbytes, purpose, idle)?;
        let slot = core.slot(id);
        let (raw, mapped, host) = (slot.buffer.raw, slot.buffer.mapped, slot.host.clone());
        drop(core);
        if purpose == Purpose::Tensor {
            shared.counters.born(nbytes);
        }
        Ok(Storage { shared: shared.clone(), id, raw, nbytes, mapped, purpose, host })
    }

    /// Keeps writers from being recorded. Taken under the device's lock, and held without it.
    pub(crate) fn hold_for_host(&self) -> RwLockReadGuard<'_, ()> {
        self.host.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Storage {
    fn drop(&mut self) {
        if self.purpose == Purpose::Tensor {
            self.shared.counters.gone(self.nbytes);
        }
        self.shared.throw_away(self.id);
    }
}
