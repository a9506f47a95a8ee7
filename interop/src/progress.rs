//! How a caller follows long work and stops it.

use std::ops::ControlFlow;

/// Follows a conversion.
///
/// It is called from the thread that runs the conversion, at least once for every 16 MiB.
pub trait Progress {
    /// `done` of `total` bytes are written. `Break` cancels: the call returns
    /// [`Error::Cancelled`](crate::Error::Cancelled) and the output stays as it was before.
    fn advance(&mut self, done: u64, total: u64) -> ControlFlow<()>;
}

/// Any closure follows.
impl<F: FnMut(u64, u64) -> ControlFlow<()>> Progress for F {
    fn advance(&mut self, done: u64, total: u64) -> ControlFlow<()> {
        self(done, total)
    }
}

/// Follows nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoProgress;

impl Progress for NoProgress {
    fn advance(&mut self, _: u64, _: u64) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }
}

/// Counts bytes and reports them.
pub(crate) struct Meter<'p> {
    progress: &'p mut dyn Progress,
    done: u64,
    total: u64,
}

impl<'p> Meter<'p> {
    pub(crate) fn new(progress: &'p mut dyn Progress, total: u64) -> Meter<'p> {
        Meter { progress, done: 0, total }
    }

    /// Counts `bytes`; an error when the caller said stop.
    pub(crate) fn add(&mut self, bytes: u64) -> std::io::Result<()> {
        self.done += bytes;
        match self.progress.advance(self.done, self.total) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(crate::error::cancel_error()),
        }
    }
}
