//! Buffers: those in use, and those to use again.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use super::hazard::History;
use crate::vk::buffer::{Buffer, Memory, Purpose};

/// A buffer's place in the pool.
pub(crate) type BufferId = usize;

/// When a buffer was used last: the stream, and the value its timeline reaches when that is over.
pub(crate) type LastUse = (u64, u64);

/// A buffer, and what is known of its use.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) buffer: Buffer,
    purpose: Purpose,
    pub(crate) history: History,
    pub(crate) last: Option<LastUse>,
    /// Held by who copies from the memory to the host. Work that writes to it is only handed on while
    /// nobody does.
    pub(crate) host: Arc<RwLock<()>>,
    /// How many sequences use it, which nobody else may then have.
    holders: u32,
    /// Whether no tensor has it any more, though sequences use it.
    left: bool,
}

impl Slot {
    /// Waits for those who copy from it to the host. They do not need the device's lock for that.
    pub(crate) fn wait_for_host(&self) {
        drop(self.host.write().unwrap_or_else(PoisonError::into_inner));
    }
}

/// Buffers that nobody has, by purpose and size.
#[derive(Debug, Default)]
pub(crate) struct Free(BTreeMap<(u8, u64), Vec<BufferId>>);

impl Free {
    fn put(&mut self, id: BufferId, slot: &Slot) {
        self.0.entry((slot.purpose as u8, slot.buffer.size)).or_default().push(id);
    }

    /// The last one of this kind that can be used.
    fn take(
        &mut self,
        class: u64,
        purpose: Purpose,
        usable: impl Fn(BufferId) -> bool,
    ) -> Option<BufferId> {
        let list = self.0.get_mut(&(purpose as u8, class))?;
        let at = list.iter().rposition(|&id| usable(id))?;
        Some(list.remove(at))
    }
}

/// All buffers of a device.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    slots: Vec<Option<Slot>>,
    /// Places without a buffer.
    empty: Vec<BufferId>,
    free: Free,
}

/// The smallest buffer.
const SMALLEST: u64 = 256;

/// The size of the buffer for so many bytes: at most an eighth more, so that tensors of about the same
/// size can follow each other.
pub(crate) fn class(nbytes: u64) -> Option<u64> {
    let nbytes = nbytes.max(SMALLEST);
    let step = (nbytes.checked_next_power_of_two()? / 16).max(SMALLEST);
    nbytes.checked_next_multiple_of(step)
}

impl Pool {
    pub(crate) fn slot(&self, id: BufferId) -> &Slot {
        self.slots[id].as_ref().expect("whoever has the number has the buffer")
    }

    pub(crate) fn slot_mut(&mut self, id: BufferId) -> &mut Slot {
        self.slots[id].as_mut().expect("whoever has the number has the buffer")
    }

    /// A buffer of this class that nobody has and that may be used at once.
    pub(crate) fn take(
        &mut self,
        class: u64,
        purpose: Purpose,
        usable: impl Fn(Option<LastUse>) -> bool,
    ) -> Option<BufferId> {
        let slots = &self.slots;
        self.free.take(class, purpose, |id| usable(slots[id].as_ref().and_then(|s| s.last)))
    }

    /// One that a sequence has left while it is being recorded, for what it records next.
    pub(crate) fn take_left(
        &mut self,
        left: &mut Free,
        class: u64,
        purpose: Purpose,
    ) -> Option<BufferId> {
        let id = left.take(class, purpose, |_| true)?;
        self.slot_mut(id).left = false;
        Some(id)
    }

    /// Takes a new buffer in.
    pub(crate) fn add(&mut self, buffer: Buffer, purpose: Purpose) -> BufferId {
        let slot = Slot {
            buffer,
            purpose,
            history: History::default(),
            last: None,
            host: Arc::default(),
            holders: 0,
            left: false,
        };
        match self.empty.pop() {
            Some(id) => {
                self.slots[id] = Some(slot);
                id
            }
            None => {
                self.slots.push(Some(slot));
                self.slots.len() - 1
            }
        }
    }

    /// No tensor has it any more; returns how many sequences do. The device may still be using it.
    pub(crate) fn put_back(&mut self, id: BufferId) -> u32 {
        let slot = self.slots[id].as_mut().expect("whoever has the number has the buffer");
        slot.left = slot.holders > 0;
        if !slot.left {
            self.free.put(id, slot);
        }
        slot.holders
    }

    /// Keeps a buffer for what a sequence records next.
    pub(crate) fn leave(&self, id: BufferId, left: &mut Free) {
        left.put(id, self.slot(id));
    }

    /// A sequence uses it.
    pub(crate) fn hold(&mut self, id: BufferId) {
        self.slot_mut(id).holders += 1;
    }

    /// A sequence is gone that did.
    pub(crate) fn let_go(&mut self, id: BufferId) {
        let slot = self.slots[id].as_mut().expect("whoever has the number has the buffer");
        slot.holders -= 1;
        if slot.holders == 0 && std::mem::take(&mut slot.left) {
            self.free.put(id, slot);
        }
    }

    /// Destroys what nobody has and the device does not use either.
    pub(crate) fn trim(&mut self, memory: &mut Memory, is_over: impl Fn(LastUse) -> bool) {
        let Pool { slots, empty, free } = self;
        free.0.retain(|_, list| {
            list.retain(|&id| {
                let busy = slots[id].as_ref().is_some_and(|s| s.last.is_some_and(|l| !is_over(l)));
                if !busy && let Some(slot) = slots[id].take() {
                    memory.destroy(slot.buffer);
                    empty.push(id);
                }
                busy
            });
            !list.is_empty()
        });
    }

    /// Destroys all, when nothing runs any more.
    pub(crate) fn clear(&mut self, memory: &mut Memory) {
        for slot in self.slots.drain(..).flatten() {
            memory.destroy(slot.buffer);
        }
        self.empty.clear();
        self.free.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::class;

    #[test]
    fn a_class_holds_what_it_is_for_and_little_more() {
        for nbytes in (0..5000).chain([1 << 20, (1 << 20) + 1, 3 << 30, u64::from(u32::MAX)]) {
            let class = class(nbytes).unwrap();
            assert!(class >= nbytes && class.is_multiple_of(256), "{nbytes}: {class}");
            assert!(class <= nbytes.max(256) + (nbytes / 8).max(255), "{nbytes}: {class}");
            assert_eq!(super::class(class), Some(class), "a class is its own class");
        }
        assert_eq!(class(u64::MAX), None);
    }
}
