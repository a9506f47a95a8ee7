//! A checked walk over the bytes of a small file.

use crate::error::{Error, Result, format};
use std::path::Path;

/// Reads little-endian fields, each checked against what is left.
pub(crate) struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
    file: &'a Path,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(bytes: &'a [u8], file: &'a Path) -> Cursor<'a> {
        Cursor { bytes, at: 0, file }
    }

    /// The offset of the next byte.
    #[inline]
    pub(crate) fn at(&self) -> u64 {
        self.at as u64
    }

    #[inline]
    pub(crate) fn left(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// An error at `offset` of this file.
    pub(crate) fn error(&self, offset: u64, problem: impl Into<String>) -> Error {
        format(self.file, offset, problem)
    }

    #[inline]
    pub(crate) fn take(&mut self, n: u64, what: &str) -> Result<&'a [u8]> {
        let n = usize::try_from(n).unwrap_or(usize::MAX);
        if n > self.left() {
            let left = self.left();
            return Err(self.error(
                self.at(),
                format!("expected {n} bytes of {what}, the file ends after {left}"),
            ));
        }
        let bytes = &self.bytes[self.at..self.at + n];
        self.at += n;
        Ok(bytes)
    }

    #[inline]
    fn array<const N: usize>(&mut self, what: &str) -> Result<[u8; N]> {
        let bytes = self.take(N as u64, what)?;
        let mut out = [0; N];
        out.copy_from_slice(bytes);
        Ok(out)
    }

    #[inline]
    pub(crate) fn u8(&mut self, what: &str) -> Result<u8> {
        Ok(u8::from_le_bytes(self.array(what)?))
    }

    #[inline]
    pub(crate) fn u32(&mut self, what: &str) -> Result<u32> {
        Ok(u32::from_le_bytes(self.array(what)?))
    }

    #[inline]
    pub(crate) fn u64(&mut self, what: &str) -> Result<u64> {
        Ok(u64::from_le_bytes(self.array(what)?))
    }

    pub(crate) fn digest(&mut self, what: &str) -> Result<[u8; 32]> {
        self.array(what)
    }

    /// A count of things that take at least `each` bytes, so no more than the rest can hold.
    #[inline]
    pub(crate) fn count(&mut self, each: usize, what: &str) -> Result<usize> {
        let at = self.at();
        let n = self.u32(what)? as usize;
        if n > self.left() / each.max(1) {
            let left = self.left();
            return Err(
                self.error(at, format!("{what} is {n}, which the {left} bytes left cannot hold"))
            );
        }
        Ok(n)
    }

    /// A length-prefixed string.
    #[inline]
    pub(crate) fn string(&mut self, what: &str) -> Result<&'a str> {
        let n = self.u32(what)?;
        let at = self.at();
        let bytes = self.take(u64::from(n), what)?;
        std::str::from_utf8(bytes).map_err(|_| self.error(at, format!("{what} is not UTF-8")))
    }

    /// Nothing may follow.
    pub(crate) fn end(&self) -> Result<()> {
        if self.left() == 0 {
            return Ok(());
        }
        Err(self.error(
            self.at(),
            format!("expected the end of the file, {} more bytes follow", self.left()),
        ))
    }
}

/// Appends a length-prefixed string.
pub(crate) fn put_str(out: &mut Vec<u8>, s: &str) {
    out.extend_from_slice(&(s.len() as u32).to_le_bytes());
    out.extend_from_slice(s.as_bytes());
}
