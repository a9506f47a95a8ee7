//! Pickles one after another in a file, with other things between them. Where one ends only its
//! opcodes tell.

use std::path::Path;

use super::scan::scan_first;
use crate::Limits;
use crate::error::{Error, Part, Result};
use crate::source::Source;

/// Bytes looked at first. Most pickles between other things take fewer, and there may be one for
/// each tensor; for a long one twice as many are looked at each time.
const FIRST: u64 = 1024;

/// A place in a file.
pub(crate) struct Stream<'a> {
    source: &'a Source,
    at: u64,
    end: u64,
}

impl<'a> Stream<'a> {
    /// A range of a file, from its first byte on.
    pub(crate) fn new(source: &'a Source, at: u64, end: u64) -> Stream<'a> {
        Stream { source, at, end: end.min(source.len) }
    }

    pub(crate) fn at(&self) -> u64 {
        self.at
    }

    pub(crate) fn path(&self) -> &'a Path {
        &self.source.path
    }

    pub(crate) fn left(&self) -> u64 {
        self.end - self.at
    }

    /// The bytes of the next pickle. Not much more than it is read.
    pub(crate) fn pickle(&mut self, name: &str, limits: &Limits) -> Result<Vec<u8>> {
        let part = || Part::Pickle(name.into());
        let left = self.left();
        let most = limits.max_pickle_bytes;
        let mut bytes = Vec::new();
        let mut want = FIRST.min(left).min(most);
        loop {
            let more =
                self.source.bytes(self.at + bytes.len() as u64, want as usize - bytes.len())?;
            bytes.extend_from_slice(&more);
            drop(more);
            match scan_first(&bytes) {
                Ok(end) => {
                    bytes.truncate(end);
                    self.at += end as u64;
                    return Ok(bytes);
                }
                Err(fault) => {
                    let needs = fault.needs().filter(|&needs| needs <= left);
                    let Some(needs) = needs else {
                        return Err(fault.into_error(&self.source.path, part()));
                    };
                    if needs > most {
                        let (path, limit) = (&self.source.path, "max_pickle_bytes");
                        return Err(Error::limit(path, part(), limit, needs, most, "bytes"));
                    }
                    want = needs.max(2 * bytes.len() as u64).min(left).min(most);
                }
            }
        }
    }

    /// The next bytes as they are.
    pub(crate) fn take<const N: usize>(&mut self, what: &str) -> Result<[u8; N]> {
        let mut out = [0; N];
        self.skip(N as u64, what)?;
        self.source.read(self.at - N as u64, &mut out)?;
        Ok(out)
    }

    /// A number of 8 bytes that must not be negative.
    pub(crate) fn count(&mut self, what: &str) -> Result<u64> {
        let at = self.at;
        let n = i64::from_le_bytes(self.take(what)?);
        u64::try_from(n).map_err(|_| {
            self.source.format(Part::File, at, format!("{what} is {n}, which is negative"))
        })
    }

    /// Goes over bytes, which must be there.
    pub(crate) fn skip(&mut self, len: u64, what: &str) -> Result<()> {
        if len > self.left() {
            let problem =
                format!("truncated: {what} needs {len} bytes, and {} are left", self.left());
            return Err(self.source.format(Part::File, self.at, problem));
        }
        self.at += len;
        Ok(())
    }
}
