//! Writing the bytes of one array.

use crate::disk::{self, FileId};
use crate::error::{Error, Result};
use crate::plan::Entry;
use crate::writer::Writer;
use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;

/// Writes of at least this many bytes are not buffered.
const DIRECT: usize = 64 << 10;

/// Takes the bytes of one array: C order, little-endian, exactly as many as its shape needs.
///
/// Dropped without [`finish`](ArrayWriter::finish), the array is not added, and one that it was to
/// replace stays.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("m.npk");
/// # use numpack_format::{DType, Store, View, Writer};
/// use std::io::Write;
/// let mut writer = Writer::create(&path)?;
/// let mut array = writer.begin_array("a", DType::U16, &[2])?;
/// array.write_all(&7u16.to_le_bytes())?;
/// array.write_all(&8u16.to_le_bytes())?;
/// array.finish()?;
/// writer.commit()?;
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct ArrayWriter<'a> {
    writer: &'a mut Writer,
    /// Absent once finished.
    file: Option<File>,
    /// What the array will be, absent once finished.
    entry: Option<Entry>,
    /// Whether the name of the data file was free, and is so again if the array comes to nothing.
    claimed: bool,
    nbytes: u64,
    /// Bytes in the file.
    at: u64,
    buffer: Vec<u8>,
    spliced: bool,
    failed: bool,
}

impl<'a> ArrayWriter<'a> {
    pub(crate) fn new(
        writer: &'a mut Writer,
        file: File,
        entry: Entry,
        claimed: bool,
    ) -> ArrayWriter<'a> {
        let mut buffer = std::mem::take(&mut writer.buffer);
        buffer.clear();
        let nbytes = entry.record.size_bytes;
        ArrayWriter {
            writer,
            file: Some(file),
            entry: Some(entry),
            claimed,
            nbytes,
            at: 0,
            buffer,
            spliced: false,
            failed: false,
        }
    }

    /// How many bytes are still to be written.
    pub fn remaining(&self) -> u64 {
        self.nbytes - self.at - self.buffer.len() as u64
    }

    fn name(&self) -> &str {
        self.entry.as_ref().map_or("", |e| &e.record.name)
    }

    /// The new file, for messages.
    pub(crate) fn writer_path(&self) -> PathBuf {
        let staged = self.entry.as_ref().and_then(|e| e.staged.as_deref());
        self.writer.new_file_path(staged.unwrap_or_default())
    }

    fn parameter(&self, problem: String) -> Error {
        Error::parameter(Some(self.name()), problem)
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        let Some(file) = &self.file else { return Ok(()) };
        // A forked child shares the file with its parent.
        let ours = self.writer.check_process().map_err(io::Error::other);
        let written = ours
            .and_then(|()| disk::try_write_at(file, bytes, self.at, self.writer.new_files_path()));
        self.failed |= written.is_err();
        self.at += bytes.len() as u64;
        written
    }

    fn put_buffer(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let buffer = std::mem::take(&mut self.buffer);
        let written = self.put(&buffer);
        self.buffer = buffer;
        self.buffer.clear();
        written
    }

    /// Lets the caller fill the next `len` bytes of the file, for copies that the kernel makes by
    /// itself: `f` gets the file and the offset of the first of them in bytes, and must write all
    /// of them and nothing else.
    pub fn splice(&mut self, len: u64, f: impl FnOnce(&File, u64) -> io::Result<()>) -> Result<()> {
        self.writer.check_process()?;
        if len > self.remaining() {
            return Err(
                self.parameter(format!("{len} bytes are too many, {} remain", self.remaining()))
            );
        }
        self.put_buffer().map_err(Error::io("write", self.writer_path()))?;
        if let Some(file) = self.file.as_ref().filter(|_| len > 0) {
            let filled = disk::fill(file, self.at, len, self.writer.new_files_path(), f);
            self.failed |= filled.is_err();
            filled.map_err(|e| Error::io("write", self.writer_path())(e))?;
            self.at += len;
            self.spliced = true;
        }
        Ok(())
    }

    /// Adds the array to what the writer will commit. Fewer bytes than the shape needs are an
    /// error, and the array is not added.
    pub fn finish(mut self) -> Result<()> {
        self.writer.check_process()?;
        if self.remaining() > 0 {
            return Err(self.parameter(format!(
                "{} of its {} bytes have not been written",
                self.remaining(),
                self.nbytes
            )));
        }
        self.put_buffer().map_err(|e| Error::io("write", self.writer_path())(e))?;
        if self.failed {
            return Err(self.parameter("an earlier write failed; write it again".to_owned()));
        }
        let (Some(file), Some(entry)) = (self.file.take(), self.entry.take()) else {
            return Ok(());
        };
        if self.spliced {
            let len = FileId::of(&file);
            let len = len.map_err(Error::io("inspect", self.writer.new_files_path()))?.len();
            if len < self.nbytes {
                (self.file, self.entry) = (Some(file), Some(entry));
                return Err(
                    self.parameter(format!("the file has {len} bytes, {} are needed", self.nbytes))
                );
            }
        }
        self.writer.place(entry, file)
    }
}

impl Write for ArrayWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.failed {
            return Err(io::Error::other("an earlier write failed; write the array again"));
        }
        if bytes.len() as u64 > self.remaining() {
            let problem = format!(
                "array {:?}: {} bytes are too many, {} remain",
                self.name(),
                bytes.len(),
                self.remaining()
            );
            return Err(io::Error::new(io::ErrorKind::InvalidInput, problem));
        }
        if bytes.len() >= DIRECT
            || (self.buffer.is_empty() && bytes.len() as u64 == self.remaining())
        {
            self.put_buffer()?;
            if !bytes.is_empty() {
                self.put(bytes)?;
            }
        } else {
            self.buffer.extend_from_slice(bytes);
            if self.buffer.len() >= DIRECT {
                self.put_buffer()?;
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.put_buffer()
    }
}

impl Drop for ArrayWriter<'_> {
    fn drop(&mut self) {
        self.buffer.clear();
        self.writer.buffer = std::mem::take(&mut self.buffer);
        if let Some(Entry { record, staged: Some(staged), .. }) = self.entry.take() {
            self.writer.abandon(&record, &staged, self.claimed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DType;

    #[test]
    fn a_forked_child_writes_nothing() {
        let t = tempfile::tempdir().unwrap();
        let mut w = Writer::create(t.path().join("s.npk")).unwrap();
        let mut array = w.begin_array("a", DType::U8, &[2]).unwrap();
        array.write_all(&[1]).unwrap();
        array.writer.pretend_forked();
        assert!(array.flush().is_err() && array.write_all(&[2]).is_err());
        assert_eq!(std::fs::metadata(array.writer_path()).unwrap().len(), 0);
        array.writer.pretend_forked();
        drop(array);
    }
}
