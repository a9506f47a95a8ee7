//! Buffers: those in use, and those to use again.

use std::collections::BTreeMap;

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
}

/// All buffers of a device.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    slots: Vec<Option<Slot>>,
    /// Places without a buffer.
    empty: Vec<BufferId>,
    /// Buffers that nobody has, by purpose and size.
    free: BTreeMap<(u8, u64), Vec<BufferId>>,
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
        let list = self.free.get_mut(&(purpose as u8, class))?;
        let slots = &self.slots;
        let at = list.iter().rposition(|&id| usable(slots[id].as_ref().and_then(|s| s.last)))?;
        Some(list.remove(at))
    }

    /// Takes a new buffer in.
    pub(crate) fn add(&mut self, buffer: Buffer, purpose: Purpose) -> BufferId {
        let slot = Slot { buffer, purpose, history: History::default(), last: None };
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

    /// Nobody has it any more. The device may still be using it.
    pub(crate) fn put_back(&mut self, id: BufferId) {
        let Slot { purpose, buffer, .. } = self.slot(id);
        let key = (*purpose as u8, buffer.size);
        self.free.entry(key).or_default().push(id);
    }

    /// Destroys what nobody has and the device does not use either.
    pub(crate) fn trim(&mut self, memory: &mut Memory, is_over: impl Fn(LastUse) -> bool) {
        let Pool { slots, empty, free } = self;
        free.retain(|_, list| {
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
        self.free.clear();
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
