//! One stream's batches: what is being recorded, and what runs.

use std::collections::VecDeque;
use std::sync::Arc;

use super::sequence::Capture;
use crate::error::Result;
use crate::vk::commands::Commands;
use crate::vk::gpu::{Gpu, Timeline};

/// So many kernels and copies are handed over at once. Handing over costs some ten microseconds, and
/// until then the device may have nothing to do.
pub(crate) const BATCH_OPS: u32 = 128;

/// So much work, in steps of a kernel's innermost loop, is handed over at once at most: drivers end
/// what takes seconds.
pub(crate) const BATCH_WORK: u64 = 1 << 34;

/// A stream's state.
pub(crate) struct Recorder {
    pub(crate) timeline: Arc<Timeline>,
    /// What the timeline reaches when the batch that is being recorded is done.
    pub(crate) value: u64,
    /// The barrier that everything before is over for.
    pub(crate) epoch: u64,
    /// What is being recorded, if anything is.
    pub(crate) batch: Option<Batch>,
    /// The sequence that is being recorded, if one is.
    pub(crate) capture: Option<Capture>,
    running: VecDeque<Running>,
}

/// Points of timelines that have to be reached first.
pub(crate) type Waits = Vec<(Arc<Timeline>, u64)>;

/// Adds a point. Of two of one timeline the later one is enough.
pub(crate) fn wait_for(waits: &mut Waits, timeline: Arc<Timeline>, value: u64) {
    match waits.iter_mut().find(|(known, _)| Arc::ptr_eq(known, &timeline)) {
        Some((_, known)) => *known = value.max(*known),
        None => waits.push((timeline, value)),
    }
}

/// What streams that are gone have left for those to come. Destroying it at once would be allowed, but
/// drivers that make timelines of other things may still be at the end of a batch whose value they have
/// already shown as reached (Mesa's do), so that it waits for the device's own end.
#[derive(Default)]
pub(crate) struct Spare {
    pub(crate) commands: Vec<Commands>,
    /// With the value that comes next.
    timelines: Vec<(Arc<Timeline>, u64)>,
}

impl Spare {
    /// Commands to record into.
    pub(crate) fn take(&mut self, gpu: &Arc<Gpu>) -> Result<Commands> {
        self.commands.pop().map_or_else(|| Commands::new(gpu), Ok)
    }
}

/// Commands that the device has.
struct Running {
    /// What the timeline reaches when they are done.
    value: u64,
    /// None, where they are a sequence's.
    commands: Vec<Commands>,
    /// Of other streams, which may be gone before the device has seen that it need not wait.
    _waits: Waits,
}

/// Commands that are not handed over yet.
pub(crate) struct Batch {
    pub(crate) commands: Commands,
    pub(crate) ops: u32,
    pub(crate) work: u64,
    /// Points of other streams.
    pub(crate) waits: Waits,
}

impl Recorder {
    pub(crate) fn new(gpu: &Arc<Gpu>, spare: &mut Spare) -> Result<Recorder> {
        let (timeline, value) = match spare.timelines.pop() {
            Some(used) => used,
            None => (Arc::new(Timeline::new(gpu)?), 1),
        };
        Ok(Recorder {
            timeline,
            value,
            epoch: 0,
            batch: None,
            capture: None,
            running: VecDeque::new(),
        })
    }

    /// Leaves what it had to others, when all of its work is over.
    pub(crate) fn leave(self, spare: &mut Spare) {
        let Recorder { timeline, value, batch, running, .. } = self;
        spare.commands.extend(running.into_iter().flat_map(|done| done.commands));
        spare.commands.extend(batch.map(|batch| batch.commands));
        spare.timelines.push((timeline, value));
    }

    /// The batch that is being recorded, begun if there is none.
    pub(crate) fn batch(&mut self, gpu: &Arc<Gpu>, spare: &mut Spare) -> Result<&mut Batch> {
        if self.batch.is_none() {
            gpu.check("recording")?;
            self.collect(spare);
            let mut commands = spare.take(gpu)?;
            commands.begin(false)?;
            self.batch = Some(Batch { commands, ops: 0, work: 0, waits: Vec::new() });
        }
        Ok(self.batch.as_mut().expect("was just seen to be there"))
    }

    /// Notes that a batch runs, and goes on to the next value.
    pub(crate) fn runs(&mut self, commands: Option<Commands>, waits: Waits) {
        let commands = commands.into_iter().collect();
        self.running.push_back(Running { value: self.value, commands, _waits: waits });
        self.value += 1;
    }

    /// Keeps the commands of a sequence that is gone until the device is done with them.
    pub(crate) fn keep(&mut self, commands: Vec<Commands>, value: u64) {
        self.running.push_back(Running { value, commands, _waits: Waits::new() });
    }

    /// Takes back the commands that are done.
    pub(crate) fn collect(&mut self, spare: &mut Spare) {
        if self.running.is_empty() {
            return;
        }
        let reached = self.timeline.reached();
        while self.running.front().is_some_and(|oldest| oldest.value <= reached) {
            spare.commands.extend(self.running.pop_front().into_iter().flat_map(|r| r.commands));
        }
    }

    /// The last value that was handed over.
    pub(crate) fn submitted(&self) -> u64 {
        self.value - 1
    }
}
