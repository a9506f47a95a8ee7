//! Turning rows into few reads.

use super::{Array, Part};
use crate::bitmap::Bitmap;
use crate::error::{Error, Result, format};
use crate::patches::{Patches, Runs};
use crate::rows::Picked;
use std::os::unix::fs::FileExt;

/// A live run of at least this many bytes is read by itself, straight to its place.
const DIRECT: u64 = 64 << 10;
/// Shorter runs are read together, up to so many bytes…
const WINDOW: u64 = 128 << 10;
/// …as long as no more than this lies unwanted between two of them.
const MAX_GAP: u64 = 16 << 10;
/// Single rows are only read together over smaller gaps: a read of its own costs about as much.
const MAX_ROW_GAP: u64 = 2 << 10;
/// Rows of a selection that are put in order at a time.
const BLOCK: usize = 4096;

/// New bytes that lie over what is in the file.
type Over<'a> = Option<(&'a Patches, &'a Runs)>;

impl Array {
    /// Reads stored bytes, dropped rows and all.
    pub(super) fn read_stored(
        &self,
        over: Over<'_>,
        mut offset: u64,
        mut out: &mut [u8],
    ) -> Result<()> {
        let mut i = self.parts.partition_point(|p| p.start + p.len <= offset);
        while !out.is_empty() {
            let Some(part) = self.parts.get(i) else {
                return Err(format(self.path(), offset, "the array ends before its last row"));
            };
            let at = offset - part.start;
            let n = (part.len - at).min(out.len() as u64);
            let (now, rest) = out.split_at_mut(n as usize);
            read_part(part, at, now)?;
            if let Some((patches, runs)) = over {
                patches.overlay(runs, at, now)?;
            }
            (out, offset, i) = (rest, offset + n, i + 1);
        }
        Ok(())
    }

    pub(super) fn read_live(
        &self,
        over: Over<'_>,
        bitmap: &Bitmap,
        offset: u64,
        mut out: &mut [u8],
    ) -> Result<()> {
        let size = self.row_size;
        let mut within = offset % size;
        let mut row = bitmap.select(offset / size);
        let mut scratch = Vec::new();
        // Runs that wait to be read together: where each starts, and its length.
        let mut runs: Vec<(u64, u64)> = Vec::new();
        let mut waiting = 0;
        loop {
            let run = row.filter(|_| waiting < out.len() as u64).map(|at| {
                let wanted = out.len() as u64 - waiting;
                let rows = bitmap.run(at, (wanted + within).div_ceil(size));
                (at * size + within, (rows * size - within).min(wanted), at + rows)
            });
            let joins = match (run, runs.first(), runs.last()) {
                (Some((start, len, _)), Some(&(first, _)), Some(&(last, n))) => {
                    len < DIRECT && start - (last + n) <= MAX_GAP && start + len - first <= WINDOW
                }
                (Some((_, len, _)), _, _) => len < DIRECT,
                (None, ..) => false,
            };
            if !joins && !runs.is_empty() {
                self.read_runs(over, &runs, &mut scratch, out)?;
                (out, waiting) = (&mut out[waiting as usize..], 0);
                runs.clear();
            }
            let Some((start, len, next)) = run else { break };
            if len < DIRECT {
                runs.push((start, len));
                waiting += len;
            } else {
                let (now, rest) = out.split_at_mut(len as usize);
                self.read_stored(over, start, now)?;
                out = rest;
            }
            within = 0;
            row = bitmap.next_live(next);
        }
        if out.is_empty() {
            Ok(())
        } else {
            Err(format(self.path(), None, "the bitmap has fewer live rows than it counted"))
        }
    }

    /// Reads a few close runs in one go, to where `out` begins. What comes later in it may change.
    fn read_runs(
        &self,
        over: Over<'_>,
        runs: &[(u64, u64)],
        scratch: &mut Vec<u8>,
        out: &mut [u8],
    ) -> Result<()> {
        let (Some(first), Some(last)) = (runs.first(), runs.last()) else { return Ok(()) };
        let span = (last.0 + last.1 - first.0) as usize;
        let at =
            |start: u64, len: u64| (start - first.0) as usize..(start + len - first.0) as usize;
        let mut to = 0;
        // Moved together where they are, the rows come from memory that is at hand.
        if let Some(out) = out.get_mut(..span) {
            self.read_stored(over, first.0, out)?;
            for &(start, len) in runs {
                out.copy_within(at(start, len), to);
                to += len as usize;
            }
            return Ok(());
        }
        scratch.resize(span, 0);
        self.read_stored(over, first.0, scratch)?;
        for &(start, len) in runs {
            out[to..to + len as usize].copy_from_slice(&scratch[at(start, len)]);
            to += len as usize;
        }
        Ok(())
    }

    /// Reads the rows of a selection: a block of them is put in the order of the file, and what is
    /// close together there is read together.
    pub(super) fn read_picked(
        &self,
        over: Over<'_>,
        picked: &Picked<'_>,
        out: &mut [u8],
    ) -> Result<()> {
        let size = self.row_size as usize;
        let mut scratch = Vec::new();
        // Stored row, and its place in the block.
        let mut block: Vec<(u64, usize)> = Vec::with_capacity(BLOCK.min(out.len() / size));
        let mut done = 0;
        let mut flush = |block: &mut Vec<(u64, usize)>, done: &mut usize| {
            let n = block.len() * size;
            let part = &mut out[*done..*done + n];
            *done += n;
            block.sort_unstable();
            let mut rest = &block[..];
            while !rest.is_empty() {
                let n = self.close_rows(rest);
                let (now, later) = rest.split_at(n);
                self.read_close(over, now, &mut scratch, part)?;
                rest = later;
            }
            block.clear();
            Ok(())
        };
        picked.for_each(|row| {
            let stored = match &self.bitmap {
                None => Some(row),
                Some(bitmap) => bitmap.select(row),
            };
            let Some(stored) = stored else {
                let problem = "the bitmap has fewer live rows than it counted";
                return Err(format(self.path(), None, problem));
            };
            block.push((stored, block.len()));
            if block.len() == BLOCK { flush(&mut block, &mut done) } else { Ok(()) }
        })?;
        flush(&mut block, &mut done)
    }

    /// How many rows from the first are to be read together.
    fn close_rows(&self, rows: &[(u64, usize)]) -> usize {
        let first = rows[0].0;
        let joins = |pair: &[(u64, usize)]| {
            let gap = (pair[1].0 - pair[0].0).saturating_sub(1).saturating_mul(self.row_size);
            let span = (pair[1].0 - first + 1).saturating_mul(self.row_size);
            gap <= MAX_ROW_GAP && span <= WINDOW
        };
        1 + rows.windows(2).take_while(|pair| joins(pair)).count()
    }

    fn read_close(
        &self,
        over: Over<'_>,
        rows: &[(u64, usize)],
        scratch: &mut Vec<u8>,
        out: &mut [u8],
    ) -> Result<()> {
        let size = self.row_size as usize;
        let (Some(first), Some(last)) = (rows.first(), rows.last()) else { return Ok(()) };
        let start = first.0 * self.row_size;
        // The same rows in the same order, one after another.
        let in_order = |pair: &[(u64, usize)]| pair[1] == (pair[0].0 + 1, pair[0].1 + 1);
        if rows.windows(2).all(in_order) {
            return self.read_stored(over, start, &mut out[first.1 * size..][..rows.len() * size]);
        }
        scratch.resize((last.0 - first.0 + 1) as usize * size, 0);
        self.read_stored(over, start, scratch)?;
        for (stored, place) in rows {
            let from = (stored - first.0) as usize * size;
            out[place * size..][..size].copy_from_slice(&scratch[from..from + size]);
        }
        Ok(())
    }
}

fn read_part(part: &Part, at: u64, out: &mut [u8]) -> Result<()> {
    part.file.read_exact_at(out, at).map_err(|e| match e.kind() {
        std::io::ErrorKind::UnexpectedEof => {
            let problem = format!("expected {} bytes, the file has been shortened", out.len());
            format(&part.path, at, problem)
        }
        _ => Error::io("read", &part.path)(e),
    })
}
