//! Reading one array: [`mod@read`] turns ranges and lists of rows into few reads, [`watch`] sees to
//! it that what was read is one state.

mod read;
mod watch;

use crate::bitmap::Bitmap;
use crate::dtype::{DType, byte_size, row_size};
use crate::error::{Error, Result};
use crate::patches::{Patches, Runs};
use crate::rows::Rows;
use crate::side::ArrayNote;
use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub(crate) use watch::Watch;

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
        byte_size(self.dtype, self.shape.iter().copied()).unwrap_or(0)
    }

    /// How many rows there are: the first dimension, without dropped rows.
    pub fn rows(&self) -> u64 {
        self.shape.first().copied().unwrap_or(1)
    }

    /// The size of a row in bytes.
    pub fn row_size(&self) -> u64 {
        row_size(self.dtype, self.shape.iter().copied()).unwrap_or(0)
    }

    /// Whether the array is logically 0-d, stored with shape `[1]`.
    pub fn is_scalar(&self) -> bool {
        self.note.as_ref().is_some_and(|n| n.scalar)
    }
}

/// A file, and which bytes of the stored content it holds.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) file: Arc<File>,
    pub(crate) path: PathBuf,
    pub(crate) start: u64,
    pub(crate) len: u64,
}

/// An array, open for reading; none of its rows is read until it is asked for.
///
/// Only live rows show: they are counted from 0, without those that were dropped.
///
/// It has its files open, so it keeps its rows when the store is changed, replaced or closed.
/// There is one exception: rows that a writer replaces are replaced here too, all those of one
/// commit at once. It can be read from several threads at once.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("m.npk");
/// # use numpack_format::{DType, Rows, Store, View, Writer};
/// # let mut w = Writer::create(&path)?;
/// # w.save("a", &View::new(DType::U8, &[3, 2], &[1, 2, 3, 4, 5, 6]))?;
/// # w.commit()?;
/// let array = Store::open(&path)?.array("a")?;
/// let mut rows = [0; 4];
/// array.read_rows_into(1..3, &mut rows)?;
/// assert_eq!(rows, [3, 4, 5, 6]);
/// array.gather_into(&Rows::List(&[-1, 0]), &mut rows)?;
/// assert_eq!(rows, [5, 6, 1, 2]);
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Array {
    info: ArrayInfo,
    pub(crate) parts: Vec<Part>,
    /// Absent where every row is live.
    pub(crate) bitmap: Option<Arc<Bitmap>>,
    row_size: u64,
    nbytes: u64,
    source: Source,
}

/// What stands above the files.
#[derive(Debug)]
enum Source {
    /// Nothing: nobody changes them.
    Quiet,
    /// Rows that a transaction will replace.
    Pending(Patches, Runs),
    /// A store in which rows may be replaced at any time.
    Watched(Watch),
}

impl Array {
    pub(crate) fn new(
        info: ArrayInfo,
        parts: Vec<Part>,
        bitmap: Option<Arc<Bitmap>>,
        watch: Option<Watch>,
    ) -> Array {
        let bitmap = bitmap.filter(|b| b.live() != info.stored_rows);
        let row_size = info.row_size();
        let nbytes = info.nbytes();
        let source = watch.map_or(Source::Quiet, Source::Watched);
        Array { info, parts, bitmap, row_size, nbytes, source }
    }

    /// The array as it will be once these rows have been replaced.
    pub(crate) fn patched(mut self, patches: Patches, runs: Runs) -> Array {
        self.source = Source::Pending(patches, runs);
        self
    }

    /// What the store says of the array.
    pub fn info(&self) -> &ArrayInfo {
        &self.info
    }

    /// The size of the content in bytes, without dropped rows.
    pub fn nbytes(&self) -> u64 {
        self.nbytes
    }

    /// How many rows there are: the first dimension.
    pub fn rows(&self) -> u64 {
        self.info.rows()
    }

    /// The size of a row in bytes.
    pub fn row_size(&self) -> u64 {
        self.row_size
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

    /// Reads a range of rows. `out` must have their exact size.
    pub fn read_rows_into(&self, rows: Range<u64>, out: &mut [u8]) -> Result<()> {
        let count = self.rows();
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
        self.settled(|rows| match &self.bitmap {
            None => self.read_stored(rows, offset, out),
            Some(bitmap) => self.read_live(rows, bitmap, offset, out),
        })
    }

    /// Reads the rows of a selection, one after another in its order. `out` must have their exact
    /// size, [`Rows::count`] times [`row_size`](Array::row_size) bytes.
    ///
    /// Rows that lie close together are read together; for many scattered small rows,
    /// [`map_rows`](Array::map_rows) is faster.
    pub fn gather_into(&self, rows: &Rows<'_>, out: &mut [u8]) -> Result<()> {
        let picked = rows.pick(self.rows()).map_err(|problem| self.parameter(problem))?;
        let size = picked.len().checked_mul(self.row_size);
        let size = size.ok_or_else(|| self.parameter("the rows exceed 64 bits".to_owned()))?;
        self.check_len(size, out)?;
        if out.is_empty() {
            return Ok(());
        }
        if let Some(range) = picked.as_range() {
            return self.read_rows_into(range, out);
        }
        self.settled(|runs| self.read_picked(runs, &picked, out))
    }

    /// The array in batches of rows, for a stream in constant memory.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let dir = tempfile::tempdir()?;
    /// # let path = dir.path().join("m.npk");
    /// # use numpack_format::{DType, Store, View, Writer};
    /// # let mut w = Writer::create(&path)?;
    /// # w.save("a", &View::new(DType::U8, &[5], &[1, 2, 3, 4, 5]))?;
    /// # w.commit()?;
    /// let array = Store::open(&path)?.array("a")?;
    /// let mut sums = Vec::new();
    /// let mut batches = array.batches(2)?;
    /// while let Some((rows, bytes)) = batches.next()? {
    ///     sums.push((rows.start, bytes.iter().sum::<u8>()));
    /// }
    /// assert_eq!(sums, [(0, 3), (2, 7), (4, 5)]);
    /// # Ok(()) }
    /// ```
    pub fn batches(&self, rows: u64) -> Result<Batches<'_>> {
        if rows == 0 {
            return Err(
                self.parameter("a batch of no rows never ends; ask for one at least".into())
            );
        }
        Ok(Batches { array: self, rows, next: 0, buffer: Vec::new() })
    }

    /// The file and the range of it, offset and length in bytes, that is the content; `None` where
    /// it is not one range of one file, or some of its rows are about to be replaced.
    ///
    /// Who reads the file by other means asks [`is_unchanged`](Array::is_unchanged) afterwards.
    pub fn plain_file(&self) -> Option<(&File, u64, u64)> {
        match (&self.parts[..], &self.bitmap) {
            ([part], None) if self.is_quiet() && part.start == 0 && part.len >= self.nbytes => {
                Some((&part.file, 0, self.nbytes))
            }
            _ => None,
        }
    }

    /// Whether what is in the files is what a reader gets.
    pub(crate) fn is_quiet(&self) -> bool {
        match &self.source {
            Source::Quiet => true,
            Source::Pending(..) => false,
            Source::Watched(watch) => watch.is_quiet(),
        }
    }

    /// Whether no writer has begun to replace rows in the store since this array was opened.
    pub fn is_unchanged(&self) -> Result<bool> {
        match &self.source {
            Source::Watched(watch) => watch.is_unchanged(),
            _ => Ok(true),
        }
    }

    /// Runs `read` with the new bytes that wait for this array, again if rows were replaced
    /// meanwhile.
    fn settled(&self, mut read: impl FnMut(Option<(&Patches, &Runs)>) -> Result<()>) -> Result<()> {
        let done = match &self.source {
            Source::Quiet => read(None),
            Source::Pending(patches, runs) => read(Some((patches, runs))),
            Source::Watched(watch) => watch.settled(&self.parts, read),
        };
        done.map_err(|e| e.in_array(&self.info.name))
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
}

/// The rows of an array, a batch at a time; see [`Array::batches`].
#[derive(Debug)]
pub struct Batches<'a> {
    array: &'a Array,
    rows: u64,
    next: u64,
    buffer: Vec<u8>,
}

impl Batches<'_> {
    /// The next batch: which rows, and their bytes; `None` after the last one. The last one may
    /// have fewer rows.
    #[allow(clippy::should_implement_trait, reason = "the bytes are lent, which no iterator can")]
    pub fn next(&mut self) -> Result<Option<(Range<u64>, &[u8])>> {
        let end = self.next.saturating_add(self.rows).min(self.array.rows());
        let rows = self.next..end;
        if rows.is_empty() {
            return Ok(None);
        }
        let size = usize::try_from((end - self.next) * self.array.row_size);
        let size = size.map_err(|_| {
            self.array.parameter("a batch exceeds the memory; ask for fewer rows".to_owned())
        })?;
        self.buffer.resize(size, 0);
        self.array.read_rows_into(rows.clone(), &mut self.buffer)?;
        self.next = end;
        Ok(Some((rows, &self.buffer)))
    }
}
