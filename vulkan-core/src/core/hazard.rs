//! Which accesses have to wait for which.

/// Bytes of a buffer that are read or written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) start: u64,
    pub(crate) end: u64,
    pub(crate) write: bool,
}

impl Span {
    fn conflicts(self, other: Span) -> bool {
        (self.write || other.write) && self.start < other.end && other.start < self.end
    }
}

/// What was done to a buffer since the last barrier of the stream that uses it.
#[derive(Debug, Default)]
pub(crate) struct History {
    /// The barrier it is counted from; what an earlier one had before it is over.
    epoch: u64,
    spans: Vec<Span>,
}

/// Beyond so many, the spans of a buffer become one of each kind: a barrier too many is cheaper than
/// long lists.
const LONG: usize = 16;

impl History {
    /// Whether an access has to wait for one since the barrier `epoch`.
    pub(crate) fn conflicts(&self, epoch: u64, span: Span) -> bool {
        self.epoch == epoch && self.spans.iter().any(|&earlier| earlier.conflicts(span))
    }

    /// Notes an access.
    pub(crate) fn add(&mut self, epoch: u64, span: Span) {
        if self.epoch != epoch {
            self.epoch = epoch;
            self.spans.clear();
        }
        if self.spans.contains(&span) {
            return;
        }
        self.spans.push(span);
        if self.spans.len() > LONG {
            let mut hulls: [Option<Span>; 2] = [None, None];
            for span in self.spans.drain(..) {
                let hull = hulls[usize::from(span.write)].get_or_insert(span);
                hull.start = hull.start.min(span.start);
                hull.end = hull.end.max(span.end);
            }
            self.spans.extend(hulls.into_iter().flatten());
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn span(start: u64, end: u64, write: bool) -> Span {
        Span { start, end, write }
    }

    #[test]
    fn readers_do_not_wait_for_readers() {
        let mut history = History::default();
        history.add(1, span(0, 16, false));
        assert!(!history.conflicts(1, span(0, 16, false)));
        assert!(history.conflicts(1, span(15, 20, true)));
        assert!(!history.conflicts(1, span(16, 20, true)));
        // After a barrier nothing is left to wait for.
        assert!(!history.conflicts(2, span(0, 16, true)));
    }

    proptest! {
        /// Against the plain rule: two accesses to one byte, one of them a write.
        #[test]
        fn no_hazard_is_missed(
            accesses in prop::collection::vec((0u64..40, 1u64..9, any::<bool>()), 1..40),
            next in (0u64..40, 1u64..9, any::<bool>()),
        ) {
            let mut history = History::default();
            let mut bytes = [(false, false); 64];
            for (start, len, write) in accesses {
                history.add(7, span(start, start + len, write));
                for byte in &mut bytes[start as usize..(start + len) as usize] {
                    if write { byte.1 = true } else { byte.0 = true }
                }
            }
            let (start, len, write) = next;
            let touched = &bytes[start as usize..(start + len) as usize];
            let must_wait = touched.iter().any(|&(read, wrote)| wrote || (write && read));
            prop_assert!(!must_wait || history.conflicts(7, span(start, start + len, write)));
        }
    }
}
