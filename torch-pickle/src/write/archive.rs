//! The zip container, written front to back: stored entries with their real sizes and CRC-32s in
//! the local headers, no descriptors, zip64 fields only where a number needs them.
//!
//! Field layout: PKWARE APPNOTE 4.3.7 (local header), 4.3.12 (central directory), 4.3.14 to
//! 4.3.16 (end records). The padding that aligns an entry's data sits in an extra field with
//! torch's own tag, `FB`.

use std::fs::File;
use std::io;

use crate::io::write_all_at;

const LOCAL_SIGNATURE: u32 = 0x0403_4b50;
const CENTRAL_SIGNATURE: u32 = 0x0201_4b50;
const END_SIGNATURE: u32 = 0x0605_4b50;
const END64_SIGNATURE: u32 = 0x0606_4b50;
const LOCATOR64_SIGNATURE: u32 = 0x0706_4b50;
const LOCAL_LEN: usize = 30;
/// Where the CRC-32 stands in a local header.
const LOCAL_CRC_AT: u64 = 14;
const PADDING_TAG: u16 = u16::from_le_bytes(*b"FB");
const ZIP64_TAG: u16 = 1;
/// Names are UTF-8.
const FLAGS: u16 = 0x0800;
/// 1 January 1980, the first day a zip can name: files do not depend on the clock.
const DOS_DATE: u16 = 0x0021;
const VERSION: u16 = 20;
const VERSION_ZIP64: u16 = 45;
const BUFFER: usize = 1 << 20;

/// A zip archive that is being written into a file from its start, for formats that are built on
/// it, such as `.npz`: stored records, aligned, each with its checksum.
///
/// ```
/// use torch_pickle::{ZipFile, ZipWriter};
/// let file = tempfile::NamedTempFile::new()?;
/// let mut zip = ZipWriter::new(file.reopen()?);
/// zip.add("greeting.txt", 64, b"hello")?;
/// zip.finish()?;
/// let zip = ZipFile::open(file.path())?.expect("it is a zip archive");
/// assert_eq!(zip.record(0)?.offset, 64);
/// assert_eq!(zip.start_of(0, 5)?, b"hello");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct ZipWriter {
    file: File,
    /// Bytes not yet in the file; they belong at `flushed`.
    buffer: Vec<u8>,
    flushed: u64,
    central: Vec<u8>,
    entries: u64,
}

/// An entry whose data is being written.
struct Entry {
    header_at: u64,
    len: u64,
}

impl ZipWriter {
    /// Begins an archive at the start of a file.
    pub fn new(file: File) -> ZipWriter {
        ZipWriter {
            file,
            buffer: Vec::with_capacity(BUFFER),
            flushed: 0,
            central: Vec::new(),
            entries: 0,
        }
    }

    /// Adds an entry whose bytes are at hand; they start at a multiple of `alignment`, a power of
    /// two up to 32768.
    ///
    /// # Errors
    /// As [`add_with`](Self::add_with).
    pub fn add(&mut self, name: &str, alignment: u64, data: &[u8]) -> io::Result<()> {
        self.add_with(name, alignment, data.len() as u64, |sink| sink.write(data))
    }

    /// Adds an entry of `len` bytes, which `fill` writes.
    ///
    /// # Errors
    /// When the file cannot be written, the name has more than 65535 bytes, or `fill` fails or
    /// writes less.
    pub fn add_with<E: From<io::Error>>(
        &mut self,
        name: &str,
        alignment: u64,
        len: u64,
        fill: impl FnOnce(&mut ZipEntryWriter<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        if name.len() > usize::from(u16::MAX) || !alignment.is_power_of_two() || alignment > 32768 {
            let problem = format!(
                "a record with a name of {} bytes, aligned to {alignment}, cannot be written",
                name.len()
            );
            return Err(io::Error::new(io::ErrorKind::InvalidInput, problem).into());
        }
        let entry = self.begin(name, alignment, len);
        let mut sink =
            ZipEntryWriter { archive: self, remaining: len, crc: crc32fast::Hasher::new() };
        fill(&mut sink)?;
        let (remaining, crc) = (sink.remaining, sink.crc);
        if remaining != 0 {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("{remaining} of {len} bytes of record {name} were not supplied"),
            )
            .into());
        }
        self.end(name, &entry, crc.finalize())?;
        Ok(())
    }

    fn position(&self) -> u64 {
        self.flushed + self.buffer.len() as u64
    }

    fn begin(&mut self, name: &str, alignment: u64, len: u64) -> Entry {
        let header_at = self.position();
        let zip64 = len >= u64::from(u32::MAX);
        let zip64_len = if zip64 { 20 } else { 0 };
        let data_at = header_at + (LOCAL_LEN + name.len() + zip64_len + 4) as u64;
        let padding = (alignment - data_at % alignment) % alignment;
        let size = if zip64 { u32::MAX } else { len as u32 };
        let out = &mut self.buffer;
        out.extend(LOCAL_SIGNATURE.to_le_bytes());
        out.extend((if zip64 { VERSION_ZIP64 } else { VERSION }).to_le_bytes());
        out.extend(FLAGS.to_le_bytes());
        out.extend([0; 4]); // stored; midnight
        out.extend(DOS_DATE.to_le_bytes());
        out.extend([0; 4]); // the CRC-32, known at the end
        out.extend(size.to_le_bytes());
        out.extend(size.to_le_bytes());
        out.extend((name.len() as u16).to_le_bytes());
        out.extend((zip64_len as u16 + 4 + padding as u16).to_le_bytes());
        out.extend(name.as_bytes());
        if zip64 {
            out.extend(ZIP64_TAG.to_le_bytes());
            out.extend(16u16.to_le_bytes());
            out.extend(len.to_le_bytes());
            out.extend(len.to_le_bytes());
        }
        out.extend(PADDING_TAG.to_le_bytes());
        out.extend((padding as u16).to_le_bytes());
        out.extend(std::iter::repeat_n(b'Z', padding as usize));
        Entry { header_at, len }
    }

    fn end(&mut self, name: &str, entry: &Entry, crc: u32) -> io::Result<()> {
        let at = entry.header_at + LOCAL_CRC_AT;
        self.patch(at, crc.to_le_bytes())?;
        let big_len = entry.len >= u64::from(u32::MAX);
        let big_offset = entry.header_at >= u64::from(u32::MAX);
        let mut extra = Vec::new();
        if big_len || big_offset {
            let n = 16 * u16::from(big_len) + 8 * u16::from(big_offset);
            extra.extend(ZIP64_TAG.to_le_bytes());
            extra.extend(n.to_le_bytes());
            if big_len {
                extra.extend(entry.len.to_le_bytes());
                extra.extend(entry.len.to_le_bytes());
            }
            if big_offset {
                extra.extend(entry.header_at.to_le_bytes());
            }
        }
        let version = if extra.is_empty() { VERSION } else { VERSION_ZIP64 };
        let size = if big_len { u32::MAX } else { entry.len as u32 };
        let offset = if big_offset { u32::MAX } else { entry.header_at as u32 };
        let out = &mut self.central;
        out.extend(CENTRAL_SIGNATURE.to_le_bytes());
        out.extend(version.to_le_bytes());
        out.extend(version.to_le_bytes());
        out.extend(FLAGS.to_le_bytes());
        out.extend([0; 4]);
        out.extend(DOS_DATE.to_le_bytes());
        out.extend(crc.to_le_bytes());
        out.extend(size.to_le_bytes());
        out.extend(size.to_le_bytes());
        out.extend((name.len() as u16).to_le_bytes());
        out.extend((extra.len() as u16).to_le_bytes());
        out.extend([0; 10]); // no comment, first disk, no attributes
        out.extend(offset.to_le_bytes());
        out.extend(name.as_bytes());
        out.extend(extra);
        self.entries += 1;
        if self.buffer.len() >= BUFFER {
            self.flush()?;
        }
        Ok(())
    }

    /// Changes four bytes behind the end: in the buffer, in the file, or across both.
    fn patch(&mut self, at: u64, bytes: [u8; 4]) -> io::Result<()> {
        if at < self.flushed && at + 4 > self.flushed {
            self.flush()?;
        }
        if at < self.flushed {
            write_all_at(&self.file, &bytes, at)
        } else {
            let start = (at - self.flushed) as usize;
            self.buffer[start..start + 4].copy_from_slice(&bytes);
            Ok(())
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        write_all_at(&self.file, &self.buffer, self.flushed)?;
        self.flushed += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    /// Writes the central directory and the end records.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn finish(mut self) -> io::Result<()> {
        let start = self.position();
        let len = self.central.len() as u64;
        let end = start + len;
        let zip64 = self.entries >= u64::from(u16::MAX)
            || len >= u64::from(u32::MAX)
            || start >= u64::from(u32::MAX);
        self.flush()?;
        write_all_at(&self.file, &self.central, self.flushed)?;
        let mut out = Vec::new();
        if zip64 {
            out.extend(END64_SIGNATURE.to_le_bytes());
            out.extend(44u64.to_le_bytes());
            out.extend(VERSION_ZIP64.to_le_bytes());
            out.extend(VERSION_ZIP64.to_le_bytes());
            out.extend([0; 8]);
            out.extend(self.entries.to_le_bytes());
            out.extend(self.entries.to_le_bytes());
            out.extend(len.to_le_bytes());
            out.extend(start.to_le_bytes());
            out.extend(LOCATOR64_SIGNATURE.to_le_bytes());
            out.extend([0; 4]);
            out.extend(end.to_le_bytes());
            out.extend(1u32.to_le_bytes());
        }
        let entries = u16::try_from(self.entries).unwrap_or(u16::MAX);
        out.extend(END_SIGNATURE.to_le_bytes());
        out.extend([0; 4]);
        out.extend(entries.to_le_bytes());
        out.extend(entries.to_le_bytes());
        out.extend(u32::try_from(len).unwrap_or(u32::MAX).to_le_bytes());
        out.extend(u32::try_from(start).unwrap_or(u32::MAX).to_le_bytes());
        out.extend([0; 2]);
        write_all_at(&self.file, &out, end)
    }
}

/// Takes the data of one entry.
#[derive(Debug)]
pub struct ZipEntryWriter<'a> {
    archive: &'a mut ZipWriter,
    remaining: u64,
    crc: crc32fast::Hasher,
}

impl ZipEntryWriter<'_> {
    /// How many bytes are still to come.
    pub fn remaining(&self) -> u64 {
        self.remaining
    }

    fn take(&mut self, len: u64) -> io::Result<()> {
        self.remaining = self.remaining.checked_sub(len).ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("{len} bytes for a record that takes {} more", self.remaining),
            )
        })?;
        Ok(())
    }

    /// Takes the next bytes.
    ///
    /// # Errors
    /// When they are more than remain, or the file cannot be written.
    pub fn write(&mut self, data: &[u8]) -> io::Result<()> {
        self.take(data.len() as u64)?;
        self.crc.update(data);
        let archive = &mut *self.archive;
        if archive.buffer.len() + data.len() > BUFFER {
            archive.flush()?;
        }
        if data.len() >= BUFFER {
            write_all_at(&archive.file, data, archive.flushed)?;
            archive.flushed += data.len() as u64;
        } else {
            archive.buffer.extend_from_slice(data);
        }
        Ok(())
    }

    /// Lets `fill` write the next `len` bytes at a position of the file, and takes the CRC-32 it
    /// returns.
    ///
    /// # Errors
    /// When they are more than remain, or `fill` fails.
    pub fn splice(
        &mut self,
        len: u64,
        fill: impl FnOnce(&File, u64) -> io::Result<u32>,
    ) -> io::Result<()> {
        self.take(len)?;
        self.archive.flush()?;
        let crc = fill(&self.archive.file, self.archive.flushed)?;
        self.archive.flushed += len;
        self.crc.combine(&crc32fast::Hasher::new_with_initial_len(crc, len));
        Ok(())
    }
}
