//! Counts of what a device holds and did.

use std::sync::atomic::{AtomicU64, Ordering};

/// What a device holds and did since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Usage {
    /// Bytes of all tensors, as they were asked for; views add nothing.
    pub live_bytes: u64,
    /// How many pieces of memory those tensors have.
    pub live_buffers: u64,
    /// The most that `live_bytes` ever was.
    pub peak_bytes: u64,
    /// Bytes in all buffers, those for staging, for later use, and of sequences too.
    pub reserved_bytes: u64,
    /// Bytes that went from the host to the device.
    pub uploaded_bytes: u64,
    /// Bytes that went from the device to the host.
    pub downloaded_bytes: u64,
    /// How often work was handed to the driver.
    pub submits: u64,
    /// How many kernels were recorded. Those of a sequence count whenever it is replayed.
    pub dispatches: u64,
    /// How many copies and fills were recorded that need no kernel; for sequences, the same.
    pub copies: u64,
    /// How many barriers were recorded between them; for sequences, the same.
    pub barriers: u64,
    /// How many kernels were compiled, or taken from the cache.
    pub pipelines: u64,
}

/// The counts that change outside the lock too.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    live_bytes: AtomicU64,
    live_buffers: AtomicU64,
    peak_bytes: AtomicU64,
    pub(crate) uploaded: AtomicU64,
    pub(crate) downloaded: AtomicU64,
    dispatches: AtomicU64,
    copies: AtomicU64,
    barriers: AtomicU64,
}

/// What was recorded.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) dispatches: u64,
    pub(crate) copies: u64,
    pub(crate) barriers: u64,
}

impl Counters {
    /// A tensor's memory came to life.
    pub(crate) fn born(&self, nbytes: u64) {
        let now = self.live_bytes.fetch_add(nbytes, Ordering::Relaxed) + nbytes;
        self.live_buffers.fetch_add(1, Ordering::Relaxed);
        self.peak_bytes.fetch_max(now, Ordering::Relaxed);
    }

    /// Nobody has it any more.
    pub(crate) fn gone(&self, nbytes: u64) {
        self.live_bytes.fetch_sub(nbytes, Ordering::Relaxed);
        self.live_buffers.fetch_sub(1, Ordering::Relaxed);
    }

    pub(crate) fn count(&self, counts: Counts) {
        self.dispatches.fetch_add(counts.dispatches, Ordering::Relaxed);
        self.copies.fetch_add(counts.copies, Ordering::Relaxed);
        self.barriers.fetch_add(counts.barriers, Ordering::Relaxed);
    }

    pub(crate) fn read(&self) -> Usage {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Usage {
            live_bytes: get(&self.live_bytes),
            live_buffers: get(&self.live_buffers),
            peak_bytes: get(&self.peak_bytes),
            uploaded_bytes: get(&self.uploaded),
            downloaded_bytes: get(&self.downloaded),
            dispatches: get(&self.dispatches),
            copies: get(&self.copies),
            barriers: get(&self.barriers),
            ..Usage::default()
        }
    }
}
