//! Bytes to look at: a part of the file, or what was inflated from one.
//!
//! Nothing is read that is not asked for, so that a storage of gigabytes costs its first bytes.

use std::cell::Cell;
use std::fs::File;
use std::io;
use std::rc::Rc;

use crate::io::read_exact_at;

/// A run of bytes. Cheap to copy; a part of it is another one.
#[derive(Clone)]
pub(super) struct Bytes<'f> {
    origin: Origin<'f>,
    from: u64,
    len: u64,
}

#[derive(Clone)]
enum Origin<'f> {
    File(&'f File),
    Memory(Rc<Held>),
}

/// Bytes in memory, and the count of all that are held, which they leave when they go.
struct Held {
    bytes: Vec<u8>,
    held: Rc<Cell<u64>>,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.held.set(self.held.get().saturating_sub(self.bytes.len() as u64));
    }
}

impl<'f> Bytes<'f> {
    pub(super) fn of_file(file: &'f File, len: u64) -> Bytes<'f> {
        Bytes { origin: Origin::File(file), from: 0, len }
    }

    pub(super) fn of_memory(bytes: Vec<u8>, held: &Rc<Cell<u64>>) -> Bytes<'f> {
        let len = bytes.len() as u64;
        held.set(held.get().saturating_add(len));
        Bytes { origin: Origin::Memory(Rc::new(Held { bytes, held: held.clone() })), from: 0, len }
    }

    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// The part from `from` on, of at most `len` bytes.
    pub(super) fn slice(&self, from: u64, len: u64) -> Bytes<'f> {
        let from = from.min(self.len);
        let len = len.min(self.len - from);
        Bytes { origin: self.origin.clone(), from: self.from + from, len }
    }

    pub(super) fn after(&self, from: u64) -> Bytes<'f> {
        self.slice(from, u64::MAX)
    }

    /// Where the first byte stands in the file; `None` for what was inflated.
    pub(super) fn file_offset(&self) -> Option<u64> {
        matches!(self.origin, Origin::File(_)).then_some(self.from)
    }

    /// Reads into `out` from `at` on, and says how many bytes there were.
    pub(super) fn read_at(&self, at: u64, out: &mut [u8]) -> io::Result<usize> {
        let n = self.len.saturating_sub(at).min(out.len() as u64) as usize;
        if n == 0 {
            // A place beyond the end may be beyond what can be counted.
            return Ok(0);
        }
        match &self.origin {
            Origin::File(file) => read_exact_at(file, &mut out[..n], self.from + at)?,
            Origin::Memory(held) => {
                let from = (self.from + at) as usize;
                out[..n].copy_from_slice(&held.bytes[from..from + n]);
            }
        }
        Ok(n)
    }

    /// Up to `n` bytes from `at` on.
    pub(super) fn read(&self, at: u64, n: usize) -> io::Result<Vec<u8>> {
        let n = self.len.saturating_sub(at).min(n as u64) as usize;
        let mut out = crate::io::buffer(n)?;
        self.read_at(at, &mut out)?;
        Ok(out)
    }
}

/// Bytes read ahead.
const WINDOW: usize = 64 * 1024;

/// A place in some bytes, with a window of them in memory.
pub(super) struct Cursor<'f> {
    bytes: Bytes<'f>,
    window: Vec<u8>,
    window_at: u64,
    at: u64,
}

impl<'f> Cursor<'f> {
    pub(super) fn new(bytes: Bytes<'f>) -> Cursor<'f> {
        Cursor { bytes, window: Vec::new(), window_at: 0, at: 0 }
    }

    pub(super) fn bytes(&self) -> &Bytes<'f> {
        &self.bytes
    }

    pub(super) fn at(&self) -> u64 {
        self.at
    }

    pub(super) fn go_to(&mut self, at: u64) {
        self.at = at.min(self.bytes.len());
    }

    pub(super) fn left(&self) -> u64 {
        self.bytes.len() - self.at
    }

    /// What the window has from here on: at least `n` bytes if there are as many.
    pub(super) fn peek(&mut self, n: usize) -> io::Result<&[u8]> {
        let inside = self.at >= self.window_at
            && self.at - self.window_at + n as u64 <= self.window.len() as u64;
        if !inside && self.left() > 0 {
            let size = self.left().min(WINDOW.max(n) as u64) as usize;
            // An end that is in the window already needs no other read.
            let ends = self.at >= self.window_at
                && self.window_at + self.window.len() as u64 == self.bytes.len();
            if !ends || self.window.is_empty() {
                self.window.resize(size, 0);
                self.bytes.read_at(self.at, &mut self.window)?;
                self.window_at = self.at;
            }
        }
        let from = (self.at.saturating_sub(self.window_at) as usize).min(self.window.len());
        Ok(&self.window[from..])
    }

    /// Up to `len` bytes from `at` on, as far as there is room, from the window if they are in it.
    pub(super) fn look<'r>(&self, at: u64, len: u64, room: &'r mut [u8]) -> io::Result<&'r [u8]> {
        let n = len.min(room.len() as u64).min(self.bytes.len().saturating_sub(at)) as usize;
        let from = at.checked_sub(self.window_at).and_then(|n| usize::try_from(n).ok());
        match from.and_then(|from| self.window.get(from..from.checked_add(n)?)) {
            Some(inside) => room[..n].copy_from_slice(inside),
            None => {
                self.bytes.read_at(at, &mut room[..n])?;
            }
        }
        Ok(&room[..n])
    }

    /// The next byte, or `None` at the end.
    pub(super) fn byte(&mut self) -> io::Result<Option<u8>> {
        let byte = self.peek(1)?.first().copied();
        self.at += u64::from(byte.is_some());
        Ok(byte)
    }

    /// The next `N` bytes, if there are as many.
    pub(super) fn array<const N: usize>(&mut self) -> io::Result<Option<[u8; N]>> {
        let array = self.peek(N)?.first_chunk().copied();
        if array.is_some() {
            self.at += N as u64;
        }
        Ok(array)
    }

    /// Goes behind the next line feed, and gives the length of what stands before it; `None` where
    /// the bytes end first.
    pub(super) fn line(&mut self) -> io::Result<Option<u64>> {
        let from = self.at;
        loop {
            let window = self.peek(1)?;
            if window.is_empty() {
                return Ok(None);
            }
            let (found, seen) = match window.iter().position(|&b| b == b'\n') {
                Some(n) => (true, n as u64),
                None => (false, window.len() as u64),
            };
            self.at += seen;
            if found {
                self.at += 1;
                return Ok(Some(self.at - 1 - from));
            }
        }
    }
}
