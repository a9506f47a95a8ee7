//! New bytes of rows that wait in another file to be written to their place.

use crate::error::{Error, Result};
use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;

/// Some bytes of a data file, by their offset in it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Run {
    pub(crate) len: u64,
    /// Where they wait, in the other file.
    pub(crate) at: u64,
}

/// The new bytes of one data file: no two runs overlap.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Runs(BTreeMap<u64, Run>);

impl Runs {
    /// Adds a run, which counts more than what was there.
    pub(crate) fn put(&mut self, offset: u64, len: u64, at: u64) {
        if len == 0 {
            return;
        }
        let end = offset + len;
        // Of all that overlaps, only a first and a last part can stay.
        let before = self.0.range(..offset).next_back().map(|(&o, &r)| (o, r));
        if let Some((o, r)) = before.filter(|(o, r)| o + r.len > offset) {
            self.0.insert(o, Run { len: offset - o, at: r.at });
            if o + r.len > end {
                self.0.insert(end, Run { len: o + r.len - end, at: r.at + (end - o) });
            }
        }
        while let Some((&o, &r)) = self.0.range(offset..end).next() {
            self.0.remove(&o);
            if o + r.len > end {
                self.0.insert(end, Run { len: o + r.len - end, at: r.at + (end - o) });
            }
        }
        // What continues the run before it, here and where it waits, is one with it.
        if let Some((_, r)) = self
            .0
            .range_mut(..offset)
            .next_back()
            .filter(|(o, r)| **o + r.len == offset && r.at + r.len == at)
        {
            r.len += len;
        } else {
            self.0.insert(offset, Run { len, at });
        }
    }

    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = (u64, Run)> + '_ {
        self.0.iter().map(|(&o, &r)| (o, r))
    }

    /// Where the last run ends in the data file.
    pub(crate) fn end(&self) -> u64 {
        self.0.last_key_value().map_or(0, |(o, r)| o + r.len)
    }

    /// The parts of runs that lie in a range of the data file.
    fn within(&self, offset: u64, len: u64) -> impl Iterator<Item = (u64, Run)> + '_ {
        let end = offset.saturating_add(len);
        let first = self.0.range(..offset).next_back().map_or(offset, |(&o, _)| o);
        self.0.range(first..end).filter_map(move |(&o, r)| {
            let (from, to) = (o.max(offset), (o + r.len).min(end));
            (from < to).then(|| (from, Run { len: to - from, at: r.at + (from - o) }))
        })
    }
}

/// Where new bytes wait.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    File(Arc<File>),
    Memory(Arc<[u8]>),
}

impl Source {
    pub(crate) fn read_exact_at(&self, out: &mut [u8], at: u64) -> io::Result<()> {
        match self {
            Source::File(file) => file.read_exact_at(out, at),
            Source::Memory(bytes) => {
                let bytes = usize::try_from(at).ok().and_then(|at| bytes.get(at..));
                let bytes = bytes.and_then(|bytes| bytes.get(..out.len()));
                out.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
                Ok(())
            }
        }
    }
}

/// New bytes for data files, and where they wait: the path is for messages.
#[derive(Clone, Debug)]
pub(crate) struct Patches {
    pub(crate) source: Source,
    pub(crate) path: PathBuf,
    pub(crate) of: HashMap<String, Runs>,
}

impl Patches {
    /// Puts what waits for a data file in the place of what was read from it at `offset`.
    pub(crate) fn overlay(&self, runs: &Runs, offset: u64, out: &mut [u8]) -> Result<()> {
        for (from, run) in runs.within(offset, out.len() as u64) {
            let at = (from - offset) as usize;
            let now = &mut out[at..at + run.len as usize];
            self.source.read_exact_at(now, run.at).map_err(Error::io("read", &self.path))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_last_run_counts(puts in proptest::collection::vec((0u64..60, 0u64..20), 0..30), from in 0u64..60, len in 0u64..30) {
            let mut runs = Runs::default();
            let mut plain = vec![None; 100];
            let mut at = 16;
            for (offset, len) in puts {
                runs.put(offset, len, at);
                (0..len).for_each(|i| plain[(offset + i) as usize] = Some(at + i));
                at += len;
            }
            let mut seen = vec![None; 100];
            for (o, r) in runs.iter() {
                for i in 0..r.len {
                    prop_assert_eq!(seen[(o + i) as usize].replace(r.at + i), None);
                }
            }
            prop_assert_eq!(&seen, &plain);
            let mut part = vec![None; 100];
            for (o, r) in runs.within(from, len) {
                prop_assert!(o >= from && o + r.len <= from + len);
                (0..r.len).for_each(|i| part[(o + i) as usize] = Some(r.at + i));
            }
            prop_assert_eq!(&part[from as usize..(from + len) as usize], &plain[from as usize..(from + len) as usize]);
        }
    }
}
