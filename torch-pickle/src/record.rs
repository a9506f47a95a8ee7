//! The bytes of one record: positioned, inflated where needed, checked against their CRC-32.

use std::fs::File;
use std::io;

use flate2::{Decompress, FlushDecompress, Status};

use crate::error::{Error, Part, Result};
use crate::io::{buffer, read_exact_at};
use crate::source::Source;
use crate::{ByteOrder, CrcPolicy};

/// Where a record's bytes are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Record {
    /// The position of the first byte in the file.
    pub offset: u64,
    /// Bytes in the file.
    pub stored_len: u64,
    /// Bytes once inflated; the same where it is not compressed.
    pub len: u64,
    /// CRC-32 of the contents, or `None` where the archive has no checksums.
    pub crc: Option<u32>,
    /// Whether the bytes are deflated.
    pub compressed: bool,
    /// The order of the bytes of each number in it.
    pub order: ByteOrder,
    /// Bytes that a compressed record inflates to before its contents begin, which count neither
    /// in `len` nor in `crc`: a header in front of the elements. It should be short, as it is
    /// inflated whenever the record is read.
    pub skip: u32,
}

impl Record {
    /// Bytes that are neither compressed nor have a checksum.
    pub fn plain(offset: u64, len: u64, order: ByteOrder) -> Record {
        Record { offset, stored_len: len, len, crc: None, compressed: false, order, skip: 0 }
    }

    /// Bytes as they are: neither compressed nor big-endian.
    pub fn is_plain(&self) -> bool {
        !self.compressed && self.order == ByteOrder::Little
    }
}

/// Bytes read or inflated at a time.
const STEP: usize = 256 * 1024;

/// A pass over a record's contents from the first byte on.
pub(crate) struct Contents<'a> {
    source: &'a Source,
    name: &'a str,
    record: Record,
    /// Bytes handed out.
    at: u64,
    inflate: Option<Box<Inflate>>,
}

struct Inflate {
    engine: Decompress,
    input: Vec<u8>,
    /// The part of `input` not consumed yet.
    from: usize,
    to: usize,
    /// Bytes read from the file.
    taken: u64,
    ended: bool,
}

impl<'a> Contents<'a> {
    pub(crate) fn new(source: &'a Source, name: &'a str, record: &Record) -> Result<Contents<'a>> {
        let inflate = if record.compressed {
            let size = record.stored_len.min(STEP as u64) as usize;
            let input = buffer(size)
                .map_err(|e| Error::io(&source.path, "read", Some(record.offset), e))?;
            let engine = Decompress::new(false);
            Some(Box::new(Inflate { engine, input, from: 0, to: 0, taken: 0, ended: false }))
        } else {
            None
        };
        let mut contents = Contents { source, name, record: *record, at: 0, inflate };
        contents.pass_header()?;
        Ok(contents)
    }

    /// Inflates what stands in front of the contents.
    fn pass_header(&mut self) -> Result<()> {
        if !self.record.compressed {
            return Ok(());
        }
        let mut scratch = [0u8; 512];
        let mut left = self.record.skip as usize;
        while left > 0 {
            let n = left.min(scratch.len());
            self.fill(&mut scratch[..n])?;
            left -= n;
        }
        self.at = 0;
        Ok(())
    }

    fn fail(&self, problem: impl Into<String>) -> Error {
        Error::format(
            &self.source.path,
            Part::Record(self.name.into()),
            self.record.offset,
            problem,
        )
    }

    /// Fills `out` with what comes next; there must be that much left.
    pub(crate) fn fill(&mut self, out: &mut [u8]) -> Result<()> {
        let from = self.record.offset + self.at;
        match &mut self.inflate {
            None => read_exact_at(&self.source.file, out, from)
                .map_err(|e| read_error(self.source, self.name, from, e))?,
            Some(inflate) => match inflate.fill(&self.source.file, &self.record, out) {
                Ok(true) => {}
                Ok(false) => {
                    return Err(self.fail(format!(
                        "its deflated data are damaged: they do not give the {} bytes the central directory states",
                        self.record.len
                    )));
                }
                Err(e) => return Err(read_error(self.source, self.name, self.record.offset, e)),
            },
        }
        self.at += out.len() as u64;
        Ok(())
    }

    /// After the last byte: the deflated data must end here too.
    pub(crate) fn finish(&mut self) -> Result<()> {
        let record = self.record;
        if let Some(inflate) = &mut self.inflate {
            let ended = inflate
                .at_end(&self.source.file, &record)
                .map_err(|e| read_error(self.source, self.name, record.offset, e))?;
            if !ended {
                return Err(self.fail(format!(
                    "its deflated data do not end after the {} bytes the central directory states",
                    record.len
                )));
            }
        }
        Ok(())
    }
}

/// A read that hits the end of the file means that the file has shrunk.
pub(crate) fn read_error(source: &Source, name: &str, offset: u64, e: io::Error) -> Error {
    if e.kind() == io::ErrorKind::UnexpectedEof {
        let problem = "the file ends before the record does; it changed after it was opened";
        return Error::format(&source.path, Part::Record(name.into()), offset, problem);
    }
    Error::io(&source.path, "read", Some(offset), e)
}

impl Inflate {
    /// Fills `out`; false where the data are damaged or too short.
    fn fill(&mut self, file: &File, record: &Record, out: &mut [u8]) -> io::Result<bool> {
        let mut done = 0;
        while done < out.len() {
            if self.ended {
                return Ok(false);
            }
            self.refill(file, record)?;
            let (before_in, before_out) = (self.engine.total_in(), self.engine.total_out());
            let status = self.engine.decompress(
                &self.input[self.from..self.to],
                &mut out[done..],
                FlushDecompress::None,
            );
            let Ok(status) = status else { return Ok(false) };
            let used = (self.engine.total_in() - before_in) as usize;
            let made = (self.engine.total_out() - before_out) as usize;
            self.from += used;
            done += made;
            self.ended = matches!(status, Status::StreamEnd);
            if used == 0 && made == 0 && !self.ended {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn refill(&mut self, file: &File, record: &Record) -> io::Result<()> {
        if self.from < self.to {
            return Ok(());
        }
        let n = (record.stored_len - self.taken).min(self.input.len() as u64) as usize;
        read_exact_at(file, &mut self.input[..n], record.offset + self.taken)?;
        self.taken += n as u64;
        (self.from, self.to) = (0, n);
        Ok(())
    }

    /// Whether the stream ends without another byte, and so does its input.
    fn at_end(&mut self, file: &File, record: &Record) -> io::Result<bool> {
        let mut spare = [0u8; 1];
        while !self.ended {
            self.refill(file, record)?;
            let before_in = self.engine.total_in();
            let before_out = self.engine.total_out();
            let status = self.engine.decompress(
                &self.input[self.from..self.to],
                &mut spare,
                FlushDecompress::None,
            );
            let used = (self.engine.total_in() - before_in) as usize;
            self.from += used;
            match status {
                Ok(Status::StreamEnd) => self.ended = true,
                Ok(_) if used > 0 => {}
                _ => return Ok(false),
            }
            if self.engine.total_out() != before_out {
                return Ok(false);
            }
        }
        Ok(self.from == self.to && self.taken == record.stored_len)
    }
}

/// Runs over a whole record in steps, and compares its checksum. A warning is returned where the
/// policy is to warn.
pub(crate) fn pass(
    source: &Source,
    name: &str,
    record: &Record,
    policy: CrcPolicy,
    step: usize,
    sink: &mut dyn FnMut(&mut [u8]) -> Result<()>,
) -> Result<Option<String>> {
    let mut contents = Contents::new(source, name, record)?;
    let size = record.len.min(step as u64) as usize;
    let mut scratch =
        buffer(size).map_err(|e| Error::io(&source.path, "read", Some(record.offset), e))?;
    let mut crc = crc32fast::Hasher::new();
    let check = policy != CrcPolicy::Off && record.crc.is_some();
    let mut left = record.len;
    while left > 0 {
        let n = left.min(size as u64) as usize;
        contents.fill(&mut scratch[..n])?;
        if check {
            crc.update(&scratch[..n]);
        }
        sink(&mut scratch[..n])?;
        left -= n as u64;
    }
    contents.finish()?;
    verdict(source, name, record, policy, crc)
}

/// Reads a whole record into memory the caller has.
pub(crate) fn read_into(
    source: &Source,
    name: &str,
    record: &Record,
    policy: CrcPolicy,
    out: &mut [u8],
) -> Result<Option<String>> {
    let mut contents = Contents::new(source, name, record)?;
    let mut crc = crc32fast::Hasher::new();
    let check = policy != CrcPolicy::Off && record.crc.is_some();
    // In steps, so that the checksum finds the bytes in the cache.
    for piece in out.chunks_mut(if check || record.compressed { STEP } else { usize::MAX >> 1 }) {
        contents.fill(piece)?;
        if check {
            crc.update(piece);
        }
    }
    contents.finish()?;
    verdict(source, name, record, policy, crc)
}

/// Reads a whole record. The caller has compared its length with a limit; a deflated one grows as
/// it is inflated, so that a false length costs nothing.
pub(crate) fn read_all(
    source: &Source,
    name: &str,
    record: &Record,
    policy: CrcPolicy,
) -> Result<(Vec<u8>, Option<String>)> {
    let memory =
        |_| Error::io(&source.path, "read", Some(record.offset), io::ErrorKind::OutOfMemory.into());
    let len = usize::try_from(record.len)
        .map_err(|_| Error::io(&source.path, "read", None, io::ErrorKind::OutOfMemory.into()))?;
    let mut out = Vec::new();
    if record.compressed {
        let warning = pass(source, name, record, policy, STEP, &mut |piece| {
            // Doubled as it fills, but never past the length on record.
            if out.capacity() - out.len() < piece.len() {
                let more = out.capacity().max(piece.len()).min(len - out.len());
                out.try_reserve_exact(more.max(piece.len())).map_err(memory)?;
            }
            out.extend_from_slice(piece);
            Ok(())
        })?;
        return Ok((out, warning));
    }
    out.try_reserve_exact(len).map_err(memory)?;
    let mut contents = Contents::new(source, name, record)?;
    let mut crc = crc32fast::Hasher::new();
    let check = policy != CrcPolicy::Off && record.crc.is_some();
    // In steps, so that reading and the checksum find the bytes in the cache.
    while out.len() < len {
        let from = out.len();
        out.resize(len.min(from + STEP), 0);
        contents.fill(&mut out[from..])?;
        if check {
            crc.update(&out[from..]);
        }
    }
    contents.finish()?;
    let warning = verdict(source, name, record, policy, crc)?;
    Ok((out, warning))
}

/// Compares a checksum with the one on record.
pub(crate) fn verdict(
    source: &Source,
    name: &str,
    record: &Record,
    policy: CrcPolicy,
    crc: crc32fast::Hasher,
) -> Result<Option<String>> {
    let Some(expected) = record.crc else { return Ok(None) };
    if policy == CrcPolicy::Off {
        return Ok(None);
    }
    let found = crc.finalize();
    if found == expected {
        return Ok(None);
    }
    let problem = format!("its bytes have checksum {found:08x}, and {expected:08x} is on record");
    match policy {
        CrcPolicy::Refuse => Err(Error::Format {
            file: source.path.clone(),
            part: Part::Record(name.into()),
            offset: Some(record.offset),
            problem,
            advice: "the data are damaged; fetch the file again, or open it with another CrcPolicy",
        }),
        _ => Ok(Some(format!("{}: record {name}: {problem}", source.path.display()))),
    }
}
