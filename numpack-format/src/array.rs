//! Reading one array.

use crate::bitmap::Bitmap;
use crate::dtype::{DType, byte_size, row_size};
use crate::error::{Error, Result, format};
use crate::side::ArrayNote;
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A live run of at least this many bytes is read by itself, straight to its place.
const DIRECT: u64 = 64 << 10;
/// Shorter runs are read together, up to so many bytes…
const WINDOW: u64 = 256 << 10;
/// …as long as no more than this lies dead between two of them.
const MAX_GAP: u64 = 16 << 10;

/// What a store says of one array.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub struct ArrayInfo {
    /// Its name.
    pub name: String,
    /// The stored element type; the note may say that it stands for another.
    pub dtype: DType,
    /// The shape as a reader sees it: dropped rows do not count. An array that is logically 0-d
    /// has shape `[1]` here, and its note says so.
    pub shape: Vec<u64>,
    /// The first dimension as stored: dropped rows count.
    pub stored_rows: u64,
    /// When it was last changed, in microseconds since 1970.
    pub modified_micros: i64,
    /// What the side information says of it, if that fits.
    pub note: Option<ArrayNote>,
}

impl ArrayInfo {
    /// The size of the content in bytes, without dropped rows.
    pub fn nbytes(&self) -> u64 {
        // The stored shape has been checked, and the logical one is no larger.
        byte_size(self.dtype, &self.shape).unwrap_or(0)
    }

    /// Whether the array is logically 0-d, stored with shape `[1]`.
    pub fn is_scalar(&self) -> bool {
        self.note.as_ref().is_some_and(|n| n.scalar)
    }
}

/// A file, and which bytes of the stored content it holds.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) file: File,
    pub(crate) path: PathBuf,
    pub(crate) start: u64,
    pub(crate) len: u64,
}

/// An array, open for reading.
///
/// It has its files open, so it stays as it is when the store is changed, replaced or closed. It
/// can be read from several threads at once.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("m.npk");
/// # use numpack_format::{DType, Store, Writer};
/// # let mut w = Writer::create(&path)?;
/// # w.save("a", DType::U8, &[3, 2], &[2, 1], &[1, 2, 3, 4, 5, 6], 0)?;
/// # w.commit()?;
/// let array = Store::open(&path)?.array("a")?;
/// let mut rows = [0; 4];
/// array.read_rows_into(1..3, &mut rows)?;
/// assert_eq!(rows, [3, 4, 5, 6]);
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Array {
    info: ArrayInfo,
    parts: Vec<Part>,
    /// Absent where every row is live.
    bitmap: Option<Arc<Bitmap>>,
    row_size: u64,
    nbytes: u64,
}

impl Array {
    pub(crate) fn new(info: ArrayInfo, parts: Vec<Part>, bitmap: Option<Arc<Bitmap>>) -> Array {
        let bitmap = bitmap.filter(|b| b.live() != info.stored_rows);
        let row_size = row_size(info.dtype, &info.shape).unwrap_or(0);
        let nbytes = info.nbytes();
        Array { info, parts, bitmap, row_size, nbytes }
    }

    /// What the store says of the array.
    pub fn info(&self) -> &ArrayInfo {
        &self.info
    }

    /// The size of the content in bytes, without dropped rows.
    pub fn nbytes(&self) -> u64 {
        self.nbytes
    }

    /// The first file, for messages.
    pub(crate) fn path(&self) -> &Path {
        self.parts.first().map_or(Path::new(""), |p| &p.path)
    }

    /// Reads everything: `out` must have [`nbytes`](Array::nbytes) bytes. They are in C order,
    /// little-endian, without dropped rows.
    pub fn read_into(&self, out: &mut [u8]) -> Result<()> {
        self.check_len(self.nbytes, out)?;
        self.read_bytes_at(0, out)
    }

    /// Reads a range of rows, counted without dropped rows. `out` must have their exact size.
    pub fn read_rows_into(&self, rows: Range<u64>, out: &mut [u8]) -> Result<()> {
        let count = self.info.shape.first().copied().unwrap_or(1);
        if rows.start > rows.end || rows.end > count {
            return Err(self.parameter(format!(
                "rows {}..{} are out of range, the array has {count}",
                rows.start, rows.end
            )));
        }
        self.check_len((rows.end - rows.start) * self.row_size, out)?;
        self.read_bytes_at(rows.start * self.row_size, out)
    }

    /// Reads any range of the content's bytes, for a stream: `offset` is in bytes from the start
    /// of what [`read_into`](Array::read_into) gives.
    pub fn read_bytes_at(&self, offset: u64, out: &mut [u8]) -> Result<()> {
        let fits = offset.checked_add(out.len() as u64).is_some_and(|end| end <= self.nbytes);
        if !fits {
            return Err(self.parameter(format!(
                "{} bytes at {offset} are out of range, the array has {}",
                out.len(),
                self.nbytes
            )));
        }
        if out.is_empty() {
            return Ok(());
        }
        let read = match &self.bitmap {
            None => self.read_stored(offset, out),
            Some(bitmap) => self.read_live(bitmap, offset, out),
        };
        read.map_err(|e| e.in_array(&self.info.name))
    }

    /// The file and the range of it, offset and length in bytes, that is the content; `None` where
    /// it is not one range of one file.
    pub fn plain_file(&self) -> Option<(&File, u64, u64)> {
        match (&self.parts[..], &self.bitmap) {
            ([part], None) if part.start == 0 && part.len >= self.nbytes => {
                Some((&part.file, 0, self.nbytes))
            }
            _ => None,
        }
    }

    fn check_len(&self, expected: u64, out: &[u8]) -> Result<()> {
        if out.len() as u64 == expected {
            return Ok(());
        }
        Err(self.parameter(format!("the buffer has {} bytes, {expected} are needed", out.len())))
    }

    fn parameter(&self, problem: String) -> Error {
        Error::parameter(Some(&self.info.name), problem)
    }

    /// Reads stored bytes, dropped rows and all.
    fn read_stored(&self, mut offset: u64, mut out: &mut [u8]) -> Result<()> {
        let mut i = self.parts.partition_point(|p| p.start + p.len <= offset);
        while !out.is_empty() {
            let Some(part) = self.parts.get(i) else {
                return Err(format(self.path(), offset, "the array ends before its last row"));
            };
            let at = offset - part.start;
            let n = (part.len - at).min(out.len() as u64);
            let (now, rest) = out.split_at_mut(n as usize);
            part.file.read_exact_at(now, at).map_err(|e| match e.kind() {
                std::io::ErrorKind::UnexpectedEof => format(
                    &part.path,
                    at,
                    format!("expected {n} bytes, the file has been shortened"),
                ),
                _ => Error::io("read", &part.path)(e),
            })?;
            (out, offset, i) = (rest, offset + n, i + 1);
        }
        Ok(())
    }

    fn read_live(&self, bitmap: &Bitmap, offset: u64, mut out: &mut [u8]) -> Result<()> {
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
                let (now, rest) = out.split_at_mut(waiting as usize);
                self.read_runs(&runs, &mut scratch, now)?;
                (out, waiting) = (rest, 0);
                runs.clear();
            }
            let Some((start, len, next)) = run else { break };
            if len < DIRECT {
                runs.push((start, len));
                waiting += len;
            } else {
                let (now, rest) = out.split_at_mut(len as usize);
                self.read_stored(start, now)?;
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

    /// Reads a few close runs in one go.
    fn read_runs(
        &self,
        runs: &[(u64, u64)],
        scratch: &mut Vec<u8>,
        mut out: &mut [u8],
    ) -> Result<()> {
        if let [(start, _)] = runs {
            return self.read_stored(*start, out);
        }
        let (Some(first), Some(last)) = (runs.first(), runs.last()) else { return Ok(()) };
        scratch.resize((last.0 + last.1 - first.0) as usize, 0);
        self.read_stored(first.0, scratch)?;
        for (start, len) in runs {
            let at = (start - first.0) as usize;
            let (now, rest) = out.split_at_mut(*len as usize);
            now.copy_from_slice(&scratch[at..at + now.len()]);
            out = rest;
        }
        Ok(())
    }
}
