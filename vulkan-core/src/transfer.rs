//! Bytes from the host to a tensor's memory and back.

use std::collections::VecDeque;

use crate::core::record::{Part, Work};
use crate::core::storage::Storage;
use crate::error::{Error, Result};
use crate::options::Transfers;
use crate::stream::{Mark, Stream};
use crate::vk::buffer::{Mapped, Purpose};
use crate::vk::import::Imported;

/// How much goes through one piece of staging memory. One is filled while the one before is copied.
const CHUNK: usize = 4 << 20;

/// How many pieces may be on their way.
const UNDER_WAY: usize = 4;

/// What cannot be part of a sequence.
const UPLOAD: &str = "copying values from the host";
pub(crate) const DOWNLOAD: &str = "copying values to the host";

/// New memory of a tensor that holds these bytes.
pub(crate) fn upload_new(stream: &Stream, bytes: &[u8]) -> Result<Storage> {
    stream.must_not_capture(UPLOAD)?;
    let shared = stream.shared();
    let staged = shared.options.transfers == Transfers::Staged;
    let storage = stream.allocate(bytes.len() as u64, Purpose::Tensor, !staged)?;
    match storage.mapped {
        Some(mapped) if !staged => {
            // It is new, and was asked for idle: nobody else has it, the device neither.
            mapped.write(0, bytes);
            shared.uploaded(bytes.len());
        }
        _ => upload_staged(stream, bytes, &storage, 0)?,
    }
    Ok(storage)
}

/// Copies bytes over a part of a tensor's memory, after all that was recorded.
pub(crate) fn upload_staged(stream: &Stream, bytes: &[u8], to: &Storage, at: u64) -> Result<()> {
    stream.must_not_capture(UPLOAD)?;
    let mut done = 0;
    while done < bytes.len() {
        let there = upload_in_place(stream, &bytes[done..], to, at + done as u64)?;
        // What is before it, and if there is none, all of the rest.
        stage(stream, &bytes[done..done + there.start], to, at + done as u64)?;
        done += there.end;
    }
    stream.shared().uploaded(bytes.len());
    Ok(())
}

/// So many bytes are worth showing the device, and so many are shown at once.
const SHOWN: std::ops::RangeInclusive<usize> = 4 << 20..=256 << 20;

/// Has the device copy from the host's own memory, waits for that, and returns which of the bytes it
/// were; none, at the end of them, where it cannot or they are few.
fn upload_in_place(
    stream: &Stream,
    bytes: &[u8],
    to: &Storage,
    at: u64,
) -> Result<std::ops::Range<usize>> {
    let none = bytes.len()..bytes.len();
    let shared = stream.shared();
    let import = shared.gpu.import().filter(|_| shared.options.transfers == Transfers::Auto);
    let Some(import) = import else { return Ok(none) };
    let mut part = import.part(bytes);
    part.end = part.end.min(part.start + SHOWN.end());
    if part.len() < *SHOWN.start() {
        return Ok(none);
    }
    let Some(shown) = Imported::new(&shared.gpu, import, &bytes[part.clone()]) else {
        return Ok(none);
    };
    let parts = [Part::write(to, at + part.start as u64, at + part.end as u64)];
    // Handed over under the lock that it is recorded under: then it runs, or never will.
    let mut core = shared.lock();
    core.record(shared, stream.0.id, &Work::CopyIn(shown.raw(), &parts))?;
    let last = core.last_use(to);
    drop(core);
    let waited = last.and_then(|last| last.map_or(Ok(()), |(timeline, at)| timeline.wait(at)));
    if waited.is_err() {
        // The device may be reading all the same: a batch of another thread's was refused, or there is no
        // memory to wait with. Nobody submits while the lock is held.
        let core = shared.lock();
        shared.gpu.wait_idle();
        drop(core);
    }
    drop(shown);
    waited?;
    Ok(part)
}

/// The same through staging memory.
fn stage(stream: &Stream, bytes: &[u8], to: &Storage, at: u64) -> Result<()> {
    let mut under_way: VecDeque<Mark> = VecDeque::new();
    let mut done = 0;
    for chunk in bytes.chunks(CHUNK) {
        if under_way.len() == UNDER_WAY
            && let Some(mark) = under_way.pop_front()
        {
            mark.wait()?;
        }
        let staging = stream.allocate(chunk.len() as u64, Purpose::Upload, true)?;
        // It was asked for idle, and nobody else has it.
        seen(&staging)?.write(0, chunk);
        stream.copy(&staging, 0, to, at + done, chunk.len() as u64)?;
        done += chunk.len() as u64;
        if bytes.len() > CHUNK {
            under_way.push_back(stream.mark());
            stream.submit()?;
        }
    }
    Ok(())
}

/// Copies a part of a tensor's memory to the host, after all that was recorded with it.
pub(crate) fn download(stream: &Stream, from: &Storage, at: u64, out: &mut [u8]) -> Result<()> {
    stream.must_not_capture(DOWNLOAD)?;
    let shared = stream.shared();
    match from.mapped {
        Some(mapped) if mapped.cached && shared.options.transfers == Transfers::Auto => {
            let mut core = shared.lock();
            let last = core.last_use(from)?;
            let held = from.hold_for_host();
            drop(core);
            if let Some((timeline, value)) = last {
                timeline.wait(value)?;
            }
            shared.gpu.check("reading a tensor")?;
            // What was recorded is over, and whoever records a write waits for `held`.
            mapped.read(at as usize, out);
            drop(held);
        }
        _ => {
            let mut under_way: VecDeque<(Pending, &mut [u8])> = VecDeque::new();
            let mut done = at;
            for piece in out.chunks_mut(CHUNK) {
                if under_way.len() == UNDER_WAY
                    && let Some((pending, out)) = under_way.pop_front()
                {
                    pending.read(out)?;
                }
                let pending = Pending::begin(stream, from, done, piece.len() as u64)?;
                done += piece.len() as u64;
                under_way.push_back((pending, piece));
            }
            for (pending, out) in under_way {
                pending.read(out)?;
            }
        }
    }
    shared.downloaded(out.len());
    Ok(())
}

/// Bytes on their way to the host.
pub(crate) struct Pending {
    staging: Storage,
    pub(crate) mark: Mark,
}

impl Pending {
    /// Records the copy, and hands it over.
    pub(crate) fn begin(stream: &Stream, from: &Storage, at: u64, nbytes: u64) -> Result<Pending> {
        stream.must_not_capture(DOWNLOAD)?;
        let staging = stream.allocate(nbytes, Purpose::Download, false)?;
        stream.copy(from, at, &staging, 0, nbytes)?;
        let mark = stream.mark();
        stream.submit()?;
        Ok(Pending { staging, mark })
    }

    /// Waits for them.
    pub(crate) fn read(self, out: &mut [u8]) -> Result<()> {
        self.mark.wait()?;
        // The copy is over, and nobody else has the memory.
        seen(&self.staging)?.read(0, out);
        Ok(())
    }
}

/// Staging memory as the host sees it, which Vulkan promises there is.
fn seen(staging: &Storage) -> Result<Mapped> {
    staging.mapped.ok_or_else(|| Error::Unsupported {
        device: staging.shared.gpu.info().to_string(),
        what: "none of its memory is seen by the host; another driver may do better".to_owned(),
    })
}
