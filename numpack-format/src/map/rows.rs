//! The rows of an array as memory, one by one or many at once.

use super::{Map, prefetch};
use crate::array::Array;
use crate::bitmap::{Bitmap, Places};
use crate::error::{Error, Result, format};
use std::fmt::{self, Debug, Display};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};

/// A row is asked of memory so many rows before it is copied.
const AHEAD: usize = 16;
/// Of so many rows the places are looked up together.
const BATCH: usize = 128;
/// What memory comes in, on most machines.
const LINE: usize = 64;
/// A table of the rows' places is a fourteenth of rows of this size; smaller ones do without…
const TABLE_ROW_SIZE: usize = 16;
/// …and so do more rows than these: the table is at most 288 MiB.
const TABLE_ROWS: u64 = 1 << 28;
/// To look up one row in so many without the table takes as long as to make it.
const TABLE_PAYS: u64 = 16;

/// The live rows of an array, mapped from its files; see [`Array::map_rows`].
///
/// It holds on to the files by itself, so the array and the store may go first. It can be used from
/// several threads at once.
pub struct MappedRows {
    name: String,
    /// In order: the stored row that each starts with. None where rows have no bytes.
    parts: Vec<(u64, Map)>,
    /// Absent where every row is live.
    bitmap: Option<Arc<Bitmap>>,
    /// Where the live rows are, once enough have been looked up.
    places: OnceLock<Option<Places>>,
    looked_up: AtomicU64,
    rows: u64,
    row_size: usize,
}

impl MappedRows {
    /// Of an array, and maps of all its parts.
    pub(super) fn new(array: &Array, maps: Vec<Map>) -> Result<MappedRows> {
        let info = array.info();
        let too_few = || format(array.path(), None, "the files do not hold all rows");
        let row_size = usize::try_from(array.row_size()).map_err(|_| too_few())?;
        let mut parts = Vec::with_capacity(maps.len());
        let mut stored = 0;
        for map in maps {
            let Some(rows) = map.len().checked_div(row_size) else { break };
            parts.push((stored, map));
            stored += rows as u64;
        }
        // What follows relies on it that every live row is in the maps.
        let claimed = array.bitmap.as_ref().map_or(0, |b| b.rows()).max(info.stored_rows);
        if row_size > 0 && stored < claimed {
            return Err(too_few().in_array(&info.name));
        }
        Ok(MappedRows {
            name: info.name.clone(),
            parts,
            bitmap: array.bitmap.clone(),
            places: OnceLock::new(),
            looked_up: AtomicU64::new(0),
            rows: info.shape.first().copied().unwrap_or(1),
            row_size,
        })
    }

    /// How many rows there are; dropped ones do not count.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// The size of a row in bytes.
    pub fn row_size(&self) -> usize {
        self.row_size
    }

    /// A row, counted without dropped rows: its [`row_size`](MappedRows::row_size) bytes in C
    /// order, little-endian, at any address. `None` past the last one.
    pub fn row(&self, row: u64) -> Option<&[u8]> {
        if row >= self.rows {
            return None;
        }
        match &self.bitmap {
            Some(bitmap) => self.stored(bitmap.select(row)?),
            None => self.stored(row),
        }
    }

    /// Copies rows, in the order and as often as they are named, one after another into `out`,
    /// which must have exactly their size: `rows.len()` times [`row_size`](MappedRows::row_size)
    /// bytes. Rows are counted without dropped ones; a negative number counts from the end, -1
    /// being the last row.
    ///
    /// If a row is out of range, or `out` has another size, this is an error, and nothing has been
    /// written.
    ///
    /// Nothing is allocated, with one exception: where rows have been dropped, and rows have 16
    /// bytes or more, the first call after one sixteenth as many rows as there are have been
    /// gathered makes a table of nine bits a row (288 MiB at most), for which calls from other
    /// threads wait. With it, rows are found several times as fast.
    ///
    /// See [`Array::map_rows`] for an example.
    pub fn gather_into(&self, rows: &[i64], out: &mut [u8]) -> Result<()> {
        self.check(rows, out)?;
        match self.row_size {
            0 => Ok(()),
            // Copies of a size that the compiler knows take a few instructions.
            1 => self.gather::<1>(rows, out),
            2 => self.gather::<2>(rows, out),
            4 => self.gather::<4>(rows, out),
            8 => self.gather::<8>(rows, out),
            12 => self.gather::<12>(rows, out),
            16 => self.gather::<16>(rows, out),
            24 => self.gather::<24>(rows, out),
            32 => self.gather::<32>(rows, out),
            40 => self.gather::<40>(rows, out),
            48 => self.gather::<48>(rows, out),
            64 => self.gather::<64>(rows, out),
            96 => self.gather::<96>(rows, out),
            128 => self.gather::<128>(rows, out),
            _ => self.gather::<0>(rows, out),
        }
    }

    /// Finds any reason why these rows cannot be copied there.
    fn check(&self, rows: &[i64], out: &[u8]) -> Result<()> {
        let expected = rows.len() as u128 * self.row_size as u128;
        if out.len() as u128 != expected {
            return Err(self.parameter(format!(
                "the buffer has {} bytes, {expected} are needed for {} rows of {}",
                out.len(),
                rows.len(),
                self.row_size
            )));
        }
        // All are looked at, which is quicker than to look each time whether to stop.
        let is_bad = |row: i64| self.counted(row) >= self.rows;
        if rows.iter().fold(false, |bad, &row| bad | is_bad(row))
            && let Some(&bad) = rows.iter().find(|&&row| is_bad(row))
        {
            return Err(self.out_of_range(bad));
        }
        Ok(())
    }

    #[cold]
    fn out_of_range(&self, row: impl Display) -> Error {
        let rows = self.rows;
        let right = match rows.checked_sub(1) {
            Some(last) => format!("{rows}: use -{rows} to {last}"),
            None => "no rows".to_owned(),
        };
        self.parameter(format!("row {row} is out of range, the array has {right}"))
    }

    fn parameter(&self, problem: String) -> Error {
        Error::parameter(Some(&self.name), problem)
    }

    /// The number of a row from the start; no less than the number of rows if it is out of range.
    #[inline]
    fn counted(&self, row: i64) -> u64 {
        // A negative number is 2^64 too much as `u64`. Where the sum wraps, that is put right;
        // where it does not, the row is before the start, and the sum as large as said.
        (row as u64).wrapping_add(if row < 0 { self.rows } else { 0 })
    }

    /// A stored row, if it is there.
    fn stored(&self, row: u64) -> Option<&[u8]> {
        if self.row_size == 0 {
            return Some(&[]);
        }
        let part = self.parts.partition_point(|p| p.0 <= row).checked_sub(1)?;
        let (start, map) = &self.parts[part];
        let at = usize::try_from(row - start).ok()?.checked_mul(self.row_size)?;
        map.get(at..)?.get(..self.row_size)
    }

    /// The table of places, if there is one, or if with so many look-ups more it pays to make it.
    fn places(&self, bitmap: &Bitmap, look_ups: usize) -> Option<&Places> {
        if let Some(places) = self.places.get() {
            return places.as_ref();
        }
        if self.row_size < TABLE_ROW_SIZE || self.rows > TABLE_ROWS {
            return None;
        }
        let before = self.looked_up.fetch_add(look_ups as u64, Relaxed);
        if before < self.rows / TABLE_PAYS {
            return None;
        }
        self.places.get_or_init(|| Places::new(bitmap)).as_ref()
    }

    /// Copies rows of `SIZE` bytes, or of any size but 0 if that is 0. They have been checked.
    fn gather<const SIZE: usize>(&self, rows: &[i64], out: &mut [u8]) -> Result<()> {
        let size = if SIZE == 0 { self.row_size } else { SIZE };
        match (&self.parts[..], &self.bitmap) {
            ([(_, map)], None) => {
                self.copy::<SIZE>(map, rows.len(), |i| self.counted(rows[i]), out);
            }
            ([(_, map)], Some(bitmap)) => {
                let places = self.places(bitmap, rows.len());
                let mut stored = [0; BATCH + AHEAD];
                for (i, out) in out.chunks_mut(BATCH.saturating_mul(size)).enumerate() {
                    let rows = &rows[i * BATCH..];
                    let count = rows.len().min(stored.len());
                    let stored = &mut stored[..count];
                    for (to, &row) in stored.iter_mut().zip(rows) {
                        *to = self.counted(row);
                    }
                    match places {
                        Some(places) => places.select_all(bitmap, stored),
                        None => bitmap.select_all(stored),
                    }
                    .map_err(|row| self.out_of_range(row))?;
                    self.copy::<SIZE>(map, count, |i| stored[i], out);
                }
            }
            _ => {
                for (to, &row) in out.chunks_exact_mut(size).zip(rows) {
                    let found = self.row(self.counted(row));
                    to.copy_from_slice(found.ok_or_else(|| self.out_of_range(row))?);
                }
            }
        }
        Ok(())
    }

    /// Copies as many rows as `out` takes from one map. Which stored row the i-th is, `stored`
    /// says for each i below `count`, which may be more.
    #[inline]
    fn copy<const SIZE: usize>(
        &self,
        map: &[u8],
        count: usize,
        stored: impl Fn(usize) -> u64,
        out: &mut [u8],
    ) {
        let size = if SIZE == 0 { self.row_size } else { SIZE };
        for (i, to) in out.chunks_exact_mut(size).enumerate() {
            // How a row goes on after two lines, the processor sees by itself.
            let next = stored((i + AHEAD).min(count - 1)) as usize * size;
            prefetch(map, next);
            prefetch(map, next + LINE.min(size - 1));
            to.copy_from_slice(&map[stored(i) as usize * size..][..size]);
        }
    }
}

impl Debug for MappedRows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MappedRows")
            .field("name", &self.name)
            .field("rows", &self.rows)
            .field("row_size", &self.row_size)
            .finish_non_exhaustive()
    }
}

/// It may be used from several threads at once.
const _: fn() = || {
    fn shared<T: Send + Sync>() {}
    shared::<MappedRows>();
};
