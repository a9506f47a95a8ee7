//! What is recorded once, and handed over again and again.
//!
//! A sequence has commands of its own, which begin and end with a barrier: what is recorded before and
//! after it on its stream needs to know nothing of what it does. The buffers that it uses are held for it,
//! so that the pool gives them to nobody else. Those that its own tensors leave while it is being recorded
//! serve its next ones.

use std::collections::HashMap;
use std::mem;
use std::thread::{self, ThreadId};

use super::hazard::History;
use super::pool::{BufferId, Free};
use super::record::{Part, Work};
use super::recorder::{Recorder, Spare, Waits, wait_for};
use super::usage::Counts;
use super::{Core, Shared};
use crate::error::{Error, Result};
use crate::vk::buffer::Purpose;
use crate::vk::commands::Commands;

/// A sequence that is being recorded.
pub(crate) struct Capture {
    /// Who may record.
    thread: ThreadId,
    /// Of each but the last the work is as much as may be handed over at once.
    commands: Vec<Commands>,
    work: u64,
    /// Counts its barriers.
    epoch: u64,
    uses: HashMap<BufferId, Use>,
    left: Free,
    counts: Counts,
    /// Why nothing can come of it.
    failed: Option<Error>,
}

/// What a sequence does with a buffer.
#[derive(Default)]
struct Use {
    history: History,
    writes: bool,
    /// Whether it was taken for a tensor of the sequence's own.
    own: bool,
}

/// A sequence that can be handed over.
#[derive(Default)]
pub(crate) struct Recorded {
    commands: Vec<Commands>,
    /// What it uses, and whether it writes to it.
    uses: Vec<(BufferId, bool)>,
    counts: Counts,
}

impl Capture {
    fn new(shared: &Shared, spare: &mut Spare) -> Result<Capture> {
        let mut capture = Capture {
            thread: thread::current().id(),
            commands: vec![begun(shared, spare)?],
            work: 0,
            epoch: 1,
            uses: HashMap::new(),
            left: Free::default(),
            counts: Counts::default(),
            failed: None,
        };
        capture.barrier(shared);
        Ok(capture)
    }

    /// The commands that are being recorded.
    fn last(&mut self) -> &mut Commands {
        self.commands.last_mut().expect("there are some from the beginning on")
    }

    fn barrier(&mut self, shared: &Shared) {
        self.epoch += 1;
        if !shared.options.faults.forget_barriers {
            self.last().barrier();
            self.counts.barriers += 1;
        }
    }

    fn put(&mut self, shared: &Shared, spare: &mut Spare, work: &Work<'_>) -> Result<()> {
        let conflicts = |part: &Part<'_>| {
            let used = self.uses.get(&part.storage.id);
            used.is_some_and(|used| used.history.conflicts(self.epoch, part.span()))
        };
        if work.parts().iter().any(conflicts) {
            self.barrier(shared);
        }
        for part in work.parts() {
            let used = self.uses.entry(part.storage.id).or_default();
            used.history.add(self.epoch, part.span());
            used.writes |= part.write;
        }
        let counts = work.put(self.last())?;
        self.counts.dispatches += counts.dispatches;
        self.counts.copies += counts.copies;
        self.work = self.work.saturating_add(work.steps());
        if self.work >= shared.most_work() {
            let next = begun(shared, spare)?;
            self.last().end()?;
            self.commands.push(next);
            self.work = 0;
        }
        Ok(())
    }

    fn end(&mut self, shared: &Shared) -> Result<()> {
        if let Some(e) = self.failed.take() {
            return Err(e);
        }
        self.barrier(shared);
        self.last().host_barrier();
        self.last().end()
    }
}

fn begun(shared: &Shared, spare: &mut Spare) -> Result<Commands> {
    let mut commands = spare.take(&shared.gpu)?;
    commands.begin(true)?;
    Ok(commands)
}

/// The sequence that a stream is recording, if one is: refused to other threads than the one that does.
fn capturing(streams: &mut HashMap<u64, Recorder>, stream: u64) -> Result<Option<&mut Capture>> {
    match streams.get_mut(&stream).and_then(|s| s.capture.as_mut()) {
        Some(capture) if capture.thread != thread::current().id() => {
            Err(Error::Recording { what: "work of another thread" })
        }
        capture => Ok(capture),
    }
}

impl Core {
    /// Refuses what cannot be part of a sequence, while one is being recorded.
    pub(crate) fn must_not_capture(&mut self, stream: u64, what: &'static str) -> Result<()> {
        match self.stream(stream).capture {
            Some(_) => Err(Error::Recording { what }),
            None => Ok(()),
        }
    }

    /// Has what is recorded from now on go into a sequence.
    pub(crate) fn begin_capture(&mut self, shared: &Shared, stream: u64) -> Result<()> {
        shared.gpu.check("recording")?;
        self.must_not_capture(stream, "another sequence")?;
        let Core { streams, spare, .. } = self;
        let recorder = streams.get_mut(&stream).expect("seen before");
        recorder.collect(spare);
        recorder.capture = Some(Capture::new(shared, spare)?);
        Ok(())
    }

    /// Records one thing to do into a sequence, if one is being recorded.
    pub(super) fn capture(
        &mut self,
        shared: &Shared,
        stream: u64,
        work: &Work<'_>,
    ) -> Result<bool> {
        let Core { streams, pool, spare, .. } = self;
        let Some(capture) = capturing(streams, stream)? else { return Ok(false) };
        if let Some(e) = &capture.failed {
            return Err(e.clone());
        }
        for part in work.parts() {
            capture.uses.entry(part.storage.id).or_insert_with(|| {
                pool.hold(part.storage.id);
                Use::default()
            });
        }
        let put = capture.put(shared, spare, work);
        capture.failed = put.clone().err();
        put.map(|()| true)
    }

    /// Memory that the sequence being recorded has left, if one is.
    pub(super) fn left_by_capture(
        &mut self,
        stream: u64,
        class: u64,
        purpose: Purpose,
    ) -> Result<Option<BufferId>> {
        let Core { streams, pool, .. } = self;
        let capture = capturing(streams, stream)?;
        Ok(capture.and_then(|capture| pool.take_left(&mut capture.left, class, purpose)))
    }

    /// Notes that a buffer was taken for a tensor of a sequence, if one is being recorded.
    pub(super) fn captured(&mut self, stream: u64, id: BufferId) {
        if let Some(capture) = &mut self.stream(stream).capture {
            capture.uses.insert(id, Use { own: true, ..Use::default() });
            self.pool.hold(id);
        }
    }

    /// No tensor has a buffer any more.
    pub(super) fn put_back(&mut self, id: BufferId) {
        let Core { streams, pool, .. } = self;
        // What other sequences use too stays as it is.
        if pool.put_back(id) != 1 {
            return;
        }
        for capture in streams.values_mut().filter_map(|s| s.capture.as_mut()) {
            if capture.uses.get(&id).is_some_and(|used| used.own) {
                pool.leave(id, &mut capture.left);
            }
        }
    }

    /// Ends a sequence.
    pub(crate) fn end_capture(&mut self, shared: &Shared, stream: u64) -> Result<Recorded> {
        let Some(mut capture) = self.stream(stream).capture.take() else {
            return Ok(Recorded::default());
        };
        let ended = capture.end(shared);
        let Capture { commands, uses, counts, .. } = capture;
        let uses = uses.into_iter().map(|(id, used)| (id, used.writes)).collect();
        let recorded = Recorded { commands, uses, counts };
        if let Err(e) = ended {
            self.forget(stream, recorded, 0);
            return Err(e);
        }
        Ok(recorded)
    }

    /// Hands a sequence over behind all that was recorded, and says when it is over.
    pub(crate) fn replay(
        &mut self,
        shared: &Shared,
        stream: u64,
        recorded: &Recorded,
    ) -> Result<u64> {
        shared.gpu.check("replaying a sequence")?;
        self.must_not_capture(stream, "replaying a sequence")?;
        let mut waits = Waits::new();
        for &(id, _) in &recorded.uses {
            if let Some((timeline, value)) = self.use_elsewhere(stream, id)? {
                wait_for(&mut waits, timeline, value);
            }
        }
        for &(id, _) in recorded.uses.iter().filter(|(_, writes)| *writes) {
            self.pool.slot(id).wait_for_host();
        }
        let Core { streams, spare, .. } = self;
        streams.get_mut(&stream).expect("seen before").collect(spare);
        for commands in &recorded.commands {
            self.hand_over(stream, Some(commands), mem::take(&mut waits))?;
        }
        let end = self.stream(stream).submitted();
        for &(id, _) in &recorded.uses {
            self.pool.slot_mut(id).last = Some((stream, end));
        }
        // Its last barrier is one for all that came before.
        self.epoch += 1;
        self.stream(stream).epoch = self.epoch;
        shared.counters.count(recorded.counts);
        Ok(end)
    }

    /// Lets go of a sequence, which was last handed over up to this point.
    pub(crate) fn forget(&mut self, stream: u64, recorded: Recorded, end: u64) {
        for &(id, _) in &recorded.uses {
            self.pool.let_go(id);
        }
        self.stream(stream).keep(recorded.commands, end);
    }
}
