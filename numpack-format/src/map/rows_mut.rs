//! The rows of an array as memory that can be written.

use super::MapMut;
use crate::disk;
use crate::error::{Error, Result};
use crate::writer::{Mappable, Writer};
use std::fs::File;
use std::ops::{Deref, DerefMut};
use std::path::PathBuf;

/// The bytes of an array, mapped for writing; see [`NumPack::map_rows_mut`](crate::NumPack::map_rows_mut).
#[derive(Debug)]
pub struct RowsMut {
    map: MapMut,
    rows: u64,
    row_size: usize,
    file: File,
    path: PathBuf,
    /// Has the store locked.
    writer: Writer,
}

impl RowsMut {
    pub(super) fn new(map: MapMut, found: Mappable, writer: Writer) -> RowsMut {
        // The map would not be there if a row exceeded the memory.
        let row_size = usize::try_from(found.row_size).unwrap_or(usize::MAX);
        RowsMut { map, rows: found.rows, row_size, file: found.file, path: found.path, writer }
    }

    /// The size of a row in bytes.
    pub fn row_size(&self) -> usize {
        self.row_size
    }

    /// A row, in C order and little-endian; `None` past the last one.
    pub fn row_mut(&mut self, row: usize) -> Option<&mut [u8]> {
        if row as u64 >= self.rows {
            return None;
        }
        let start = row.checked_mul(self.row_size)?;
        self.map.get_mut(start..start.checked_add(self.row_size)?)
    }

    /// Makes what was written so far durable. Without it, that may reach the disk at any later
    /// time, in any order, or not at all if the system fails.
    pub fn flush(&self) -> Result<()> {
        self.writer.check_process()?;
        let flushed = self.map.flush().map_err(Error::io("sync", &self.path));
        let flushed = flushed.and_then(|()| disk::sync_data(&self.file, &self.path));
        flushed.inspect_err(|_| self.writer.poison())
    }
}

impl Deref for RowsMut {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.map
    }
}

impl DerefMut for RowsMut {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.map
    }
}
