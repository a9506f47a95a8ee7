//! Recording dispatches and copies, and handing batches over.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::hazard::Span;
use super::pool::{BufferId, LastUse, Slot, class};
use super::recorder::{BATCH_OPS, BATCH_WORK, Batch, Recorder, Waits, wait_for};
use super::storage::Storage;
use super::usage::Counts;
use super::{Core, Shared};
use crate::error::{Error, Result};
use crate::vk::buffer::Purpose;
use crate::vk::commands::{Commands, Piece};
use crate::vk::gpu::Timeline;
use crate::vk::pipeline::Pipeline;

/// Bytes of a tensor's memory that something is done with.
#[derive(Clone, Copy)]
pub(crate) struct Part<'a> {
    pub(crate) storage: &'a Storage,
    /// The first byte, and the one behind the last.
    pub(crate) start: u64,
    pub(crate) end: u64,
    pub(crate) write: bool,
}

impl<'a> Part<'a> {
    pub(crate) fn read(storage: &'a Storage, start: u64, end: u64) -> Part<'a> {
        Part { storage, start, end, write: false }
    }

    pub(crate) fn write(storage: &'a Storage, start: u64, end: u64) -> Part<'a> {
        Part { storage, start, end, write: true }
    }

    pub(super) fn span(&self) -> Span {
        Span { start: self.start, end: self.end, write: self.write }
    }

    fn piece(&self) -> Piece {
        Piece { buffer: self.storage.raw, offset: self.start, len: self.end - self.start }
    }
}

/// One thing to do.
pub(crate) enum Work<'a> {
    /// A kernel over parts of memory, in the order of its bindings.
    Dispatch {
        pipeline: Pipeline,
        parts: &'a [Part<'a>],
        push: &'a [u8],
        groups: [u32; 3],
        steps: u64,
    },
    /// Bytes from the first part to the second.
    Copy(&'a [Part<'a>; 2]),
    /// Bytes of a buffer that is in no pool, from its start.
    CopyIn(ash::vk::Buffer, &'a [Part<'a>; 1]),
    /// A word, again and again.
    Fill(&'a [Part<'a>; 1], u32),
}

impl Work<'_> {
    pub(super) fn parts(&self) -> &[Part<'_>] {
        match self {
            Work::Dispatch { parts, .. } => parts,
            Work::Copy(parts) => &parts[..],
            Work::CopyIn(_, parts) | Work::Fill(parts, _) => &parts[..],
        }
    }

    /// Records it, and says what that was.
    pub(super) fn put(&self, commands: &mut Commands) -> Result<Counts> {
        match *self {
            Work::Dispatch { pipeline, parts, push, groups, .. } => {
                let mut pieces = [Piece { buffer: ash::vk::Buffer::null(), offset: 0, len: 0 };
                    crate::kernels::MAX_BINDINGS];
                for (piece, part) in pieces.iter_mut().zip(parts) {
                    *piece = part.piece();
                }
                commands.dispatch(pipeline, &pieces[..parts.len()], push, groups)?;
                return Ok(Counts { dispatches: 1, ..Counts::default() });
            }
            Work::Copy([from, to]) => commands.copy(from.piece(), to.piece()),
            Work::CopyIn(buffer, [to]) => {
                let from = Piece { buffer, offset: 0, len: to.end - to.start };
                commands.copy(from, to.piece());
            }
            Work::Fill([to], word) => commands.fill(to.piece(), word),
        }
        Ok(Counts { copies: 1, ..Counts::default() })
    }

    /// Steps of its innermost loop.
    pub(super) fn steps(&self) -> u64 {
        if let Work::Dispatch { steps, .. } = self { *steps } else { 0 }
    }
}

impl Core {
    /// A new stream's number and timeline.
    pub(crate) fn add_stream(&mut self, shared: &Shared) -> Result<(u64, Arc<Timeline>)> {
        let recorder = Recorder::new(&shared.gpu, &mut self.spare)?;
        let timeline = recorder.timeline.clone();
        let id = self.next_stream;
        self.next_stream += 1;
        self.streams.insert(id, recorder);
        Ok((id, timeline))
    }

    /// Forgets a stream all of whose work is over.
    pub(crate) fn remove_stream(&mut self, id: u64) {
        if let Some(recorder) = self.streams.remove(&id) {
            recorder.leave(&mut self.spare);
        }
    }

    /// The batch that a stream is recording.
    fn batch(&mut self, shared: &Shared, id: u64) -> Result<&mut Batch> {
        let Core { streams, spare, .. } = self;
        let stream = streams.get_mut(&id).expect("a stream is there while anyone has its handle");
        stream.batch(&shared.gpu, spare)
    }

    pub(super) fn stream(&mut self, id: u64) -> &mut Recorder {
        self.streams.get_mut(&id).expect("a stream is there while anyone has its handle")
    }

    /// Whether what used a buffer last is over. A stream that is gone had waited.
    fn is_over(&self, (stream, value): LastUse) -> bool {
        self.streams.get(&stream).is_none_or(|s| s.timeline.reached() >= value)
    }

    /// Records one thing to do on a stream, after whatever it has to wait for.
    pub(crate) fn record(&mut self, shared: &Shared, stream: u64, work: &Work<'_>) -> Result<()> {
        shared.gpu.check("recording")?;
        if self.capture(shared, stream, work)? {
            return Ok(());
        }
        self.wait_for_others(shared, stream, work.parts())?;
        self.order(shared, stream, work.parts())?;
        let batch = self.batch(shared, stream)?;
        shared.counters.count(work.put(&mut batch.commands)?);
        batch.work = batch.work.saturating_add(work.steps());
        batch.ops += 1;
        if batch.ops >= BATCH_OPS || batch.work >= shared.most_work() {
            self.flush(stream)?;
        }
        Ok(())
    }

    /// Has the batch wait for what other streams do with the same memory.
    fn wait_for_others(&mut self, shared: &Shared, stream: u64, parts: &[Part<'_>]) -> Result<()> {
        for part in parts {
            if let Some((timeline, value)) = self.use_elsewhere(stream, part.storage.id)? {
                wait_for(&mut self.batch(shared, stream)?.waits, timeline, value);
            }
        }
        Ok(())
    }

    /// The point at which another stream is done with a buffer, if it is not yet. What it has recorded
    /// with it is handed over.
    pub(super) fn use_elsewhere(
        &mut self,
        stream: u64,
        id: BufferId,
    ) -> Result<Option<(Arc<Timeline>, u64)>> {
        let Some((other, value)) = self.pool.slot(id).last else { return Ok(None) };
        if other == stream || self.is_over((other, value)) {
            return Ok(None);
        }
        if self.stream(other).value == value {
            self.flush(other)?;
        }
        Ok(Some((self.stream(other).timeline.clone(), value)))
    }

    /// Puts a barrier before these accesses if one has to wait, and notes them.
    fn order(&mut self, shared: &Shared, stream: u64, parts: &[Part<'_>]) -> Result<()> {
        let Core { streams, pool, epoch, spare, .. } = self;
        let recorder = streams.get_mut(&stream).expect("seen before");
        let waits = parts
            .iter()
            .any(|part| pool.slot(part.storage.id).history.conflicts(recorder.epoch, part.span()));
        // A stream counts from a barrier of its own.
        if waits || recorder.epoch == 0 {
            *epoch += 1;
            recorder.epoch = *epoch;
        }
        let value = recorder.value;
        let current = recorder.epoch;
        if waits && !shared.options.faults.forget_barriers {
            recorder.batch(&shared.gpu, spare)?.commands.barrier();
            shared.counters.count(Counts { barriers: 1, ..Counts::default() });
        }
        for part in parts {
            let slot = pool.slot_mut(part.storage.id);
            if part.write {
                // Whoever is just copying from this memory to the host goes first.
                slot.wait_for_host();
            }
            slot.history.add(current, part.span());
            slot.last = Some((stream, value));
        }
        Ok(())
    }

    /// Hands over what a stream has recorded.
    pub(crate) fn flush(&mut self, stream: u64) -> Result<()> {
        if self.stream(stream).batch.is_none() {
            return Ok(());
        }
        self.hand_over(stream, None, Waits::new())
    }

    /// Hands over what a stream has recorded, and these commands behind it, when all `waits` are reached.
    pub(super) fn hand_over(
        &mut self,
        stream: u64,
        behind: Option<&Commands>,
        mut waits: Waits,
    ) -> Result<()> {
        let Core { streams, queue, spare, .. } = self;
        let recorder =
            streams.get_mut(&stream).expect("a stream is there while anyone has its handle");
        let (mut own, mut ended) = (None, Ok(()));
        if let Some(mut batch) = recorder.batch.take() {
            batch.commands.host_barrier();
            ended = batch.commands.end();
            for (timeline, value) in batch.waits {
                wait_for(&mut waits, timeline, value);
            }
            own = Some(batch.commands);
        }
        let all: Vec<_> = own.iter().chain(behind).map(Commands::raw).collect();
        let points: Vec<_> = waits.iter().map(|(timeline, value)| (&**timeline, *value)).collect();
        let signal = (&*recorder.timeline, recorder.value);
        let handed = ended.and_then(|()| queue.submit(&all, &points, signal));
        match handed {
            Ok(()) => recorder.runs(own, waits),
            Err(_) => spare.commands.extend(own),
        }
        handed
    }

    /// Hands over what uses this memory, and says when that is over.
    pub(crate) fn last_use(&mut self, storage: &Storage) -> Result<Option<(Arc<Timeline>, u64)>> {
        let Some((stream, value)) = self.pool.slot(storage.id).last else { return Ok(None) };
        let Some(recorder) = self.streams.get(&stream) else { return Ok(None) };
        let timeline = recorder.timeline.clone();
        if recorder.value == value {
            self.flush(stream)?;
        }
        Ok(Some((timeline, value)))
    }

    /// The point at which all that a stream has recorded is over, once it is handed over.
    pub(crate) fn end_of(&mut self, stream: u64) -> Result<u64> {
        self.flush(stream)?;
        Ok(self.stream(stream).submitted())
    }

    /// The point at which the batch that is being recorded is over, or the one before if there is none.
    pub(crate) fn now(&mut self, stream: u64) -> u64 {
        let recorder = self.stream(stream);
        if recorder.batch.is_some() { recorder.value } else { recorder.submitted() }
    }

    /// Whether the batch that reaches this value is still being recorded.
    pub(crate) fn is_recording(&mut self, stream: u64, value: u64) -> bool {
        let recorder = self.stream(stream);
        recorder.batch.is_some() && recorder.value == value
    }

    /// Memory for a stream. If `idle`, the device must not be using it, so that the host may write
    /// at once.
    pub(crate) fn allocate(
        &mut self,
        stream: u64,
        nbytes: u64,
        purpose: Purpose,
        idle: bool,
    ) -> Result<BufferId> {
        let too_much = || Error::parameter(format!("{nbytes} bytes are more than any memory has"));
        let class = class(nbytes).ok_or_else(too_much)?;
        if let Some(id) = self.left_by_capture(stream, class, purpose)? {
            return Ok(id);
        }
        for attempt in 0..3 {
            let Core { pool, streams, .. } = self;
            let usable = |last: Option<LastUse>| match last {
                None => true,
                Some((by, _)) if by == stream && !idle => true,
                Some((by, value)) => streams.get(&by).is_none_or(|s| s.timeline.reached() >= value),
            };
            if let Some(id) = pool.take(class, purpose, usable) {
                self.captured(stream, id);
                return Ok(id);
            }
            match self.memory.create(class, purpose) {
                Ok(buffer) => {
                    let id = self.pool.add(buffer, purpose);
                    self.captured(stream, id);
                    return Ok(id);
                }
                // First what lies about unused is given up, then what is still in use but nobody has.
                Err(Error::OutOfMemory { .. }) if attempt == 0 => self.trim(),
                Err(Error::OutOfMemory { .. }) if attempt == 1 => {
                    self.wait_for_all()?;
                    self.trim();
                }
                Err(e) => return Err(e),
            }
        }
        unreachable!("the last attempt returns")
    }

    /// Waits for everything that was recorded anywhere.
    fn wait_for_all(&mut self) -> Result<()> {
        let ids: Vec<u64> = self.streams.keys().copied().collect();
        for id in ids {
            let value = self.end_of(id)?;
            let timeline = self.stream(id).timeline.clone();
            timeline.wait(value)?;
        }
        Ok(())
    }

    /// Gives up the buffers that nobody has and the device does not use.
    pub(crate) fn trim(&mut self) {
        let Core { pool, memory, streams, .. } = self;
        pool.trim(memory, |(stream, value)| {
            streams.get(&stream).is_none_or(|s| s.timeline.reached() >= value)
        });
    }

    /// A buffer, and what is known of its use.
    pub(crate) fn slot(&self, id: BufferId) -> &Slot {
        self.pool.slot(id)
    }

    pub(crate) fn reserved(&self) -> u64 {
        self.memory.reserved()
    }

    pub(crate) fn submits(&self) -> u64 {
        self.queue.submits()
    }
}

impl Shared {
    /// How much work is handed over at once at most.
    pub(super) fn most_work(&self) -> u64 {
        self.options.max_work.unwrap_or(BATCH_WORK)
    }

    /// What is held and was done so far.
    pub(crate) fn usage(&self) -> super::usage::Usage {
        let mut usage = self.counters.read();
        let core = self.lock();
        usage.reserved_bytes = core.reserved();
        usage.submits = core.submits();
        drop(core);
        usage.pipelines = self.pipeline_count() as u64;
        usage
    }

    pub(crate) fn uploaded(&self, nbytes: usize) {
        self.counters.uploaded.fetch_add(nbytes as u64, Ordering::Relaxed);
    }

    pub(crate) fn downloaded(&self, nbytes: usize) {
        self.counters.downloaded.fetch_add(nbytes as u64, Ordering::Relaxed);
    }
}
