//! Indices that lead nowhere: kernels note them, and the next read tells.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::core::record::{Part, Work};
use crate::core::storage::Storage;
use crate::error::{Error, Result};
use crate::stream::Stream;
use crate::transfer::{self, Pending};
use crate::vk::buffer::Purpose;

/// The bytes of a note, as `shaders/watch.glsl` has it.
const BYTES: u64 = 16;

/// What a stream's kernels say about indices.
#[derive(Default)]
pub(crate) struct Watch {
    /// Made when the first index is used.
    note: OnceLock<Storage>,
    /// How many kernels that may have written to it were recorded, and after how many it was last read.
    recorded: AtomicU64,
    read: AtomicU64,
}

/// A note on its way to the host.
pub(crate) struct Noted {
    pending: Pending,
    seen: u64,
}

impl Watch {
    /// Where a kernel that is recorded next may write.
    pub(crate) fn part(&self, stream: &Stream) -> Result<Part<'_>> {
        if self.note.get().is_none() {
            let made = stream.allocate(BYTES, Purpose::Download, false)?;
            clear(stream, &made)?;
            // Another thread's may have come first.
            let _ = self.note.set(made);
        }
        Ok(Part::write(self.note.get().expect("it was just set"), 0, BYTES))
    }

    /// How many kernels that may write there were recorded.
    pub(crate) fn recorded(&self) -> u64 {
        self.recorded.load(Ordering::Relaxed)
    }

    /// Counts a kernel that may write there, once it is recorded: who reads the note before that has not
    /// seen it.
    pub(crate) fn count(&self) {
        self.recorded.fetch_add(1, Ordering::Relaxed);
    }

    /// The note, if nobody has read it since a kernel may have written to it.
    fn unread(&self) -> Option<(&Storage, u64)> {
        let seen = self.recorded.load(Ordering::Relaxed);
        self.note.get().filter(|_| seen > self.read.load(Ordering::Relaxed)).map(|n| (n, seen))
    }

    /// Waits for what may have written to the note, and reads it.
    pub(crate) fn check(&self, stream: &Stream) -> Result<()> {
        let Some((note, seen)) = self.unread() else { return Ok(()) };
        let mut bytes = [0; BYTES as usize];
        transfer::download(stream, note, 0, &mut bytes)?;
        self.judge(stream, bytes, seen)
    }

    /// Sends the note to the host, as it is at this point of the stream.
    pub(crate) fn send(&self, stream: &Stream) -> Result<Option<Noted>> {
        let Some((note, seen)) = self.unread() else { return Ok(None) };
        Ok(Some(Noted { pending: Pending::begin(stream, note, 0, BYTES)?, seen }))
    }

    /// Waits for a note and reads it.
    pub(crate) fn receive(&self, stream: &Stream, noted: Noted) -> Result<()> {
        let mut bytes = [0; BYTES as usize];
        noted.pending.read(&mut bytes)?;
        self.judge(stream, bytes, noted.seen)
    }

    fn judge(&self, stream: &Stream, bytes: [u8; BYTES as usize], seen: u64) -> Result<()> {
        let [count, low, high, size]: [u32; 4] = bytemuck::pod_read_unaligned(&bytes);
        if count > 0
            && let Some(note) = self.note.get()
        {
            // Where that cannot be recorded now, the note is read again.
            clear(stream, note)?;
        }
        self.read.fetch_max(seen, Ordering::Relaxed);
        if count == 0 {
            return Ok(());
        }
        let index = (u64::from(high) << 32 | u64::from(low)) as i64;
        Err(Error::Index { index, size: u64::from(size) })
    }
}

fn clear(stream: &Stream, note: &Storage) -> Result<()> {
    stream.record(&Work::Fill(&[Part::write(note, 0, BYTES)], 0))
}
