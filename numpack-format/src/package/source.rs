//! All that packing asks of a store: one state of it, whole, and the bytes of its arrays.
//!
//! Nothing is locked and nothing is written.

use crate::array::Array;
use crate::bitmap::Bitmap;
use crate::disk::FileId;
use crate::error::{Error, Result};
use crate::limits::Limits;
use crate::metadata::{Record, RecordRef};
use crate::store::Store;
use std::path::Path;
use std::sync::Arc;

/// A store that is packed. A committed change that is not applied yet counts.
pub(super) struct Source {
    store: Store,
    records: Vec<Record>,
    /// How often rows had been replaced in place.
    count: u64,
    limits: Limits,
}

impl Source {
    /// Reads what stands in the store at a path now.
    pub(super) fn open(path: &Path, limits: &Limits) -> Result<Source> {
        let (store, count) = Store::open_counted(path, limits)?;
        let records = store.metadata.iter().map(RecordRef::to_record).collect();
        Ok(Source { store, records, count, limits: limits.clone() })
    }

    /// The arrays, with that of the side information, in the order of their records.
    pub(super) fn records(&self) -> &[Record] {
        &self.records
    }

    /// What the caller should be told.
    pub(super) fn warnings(&self) -> &[String] {
        self.store.warnings()
    }

    /// The bitmap of array `i`, also where no row is dropped.
    pub(super) fn bitmap(&self, i: usize) -> Result<Option<Arc<Bitmap>>> {
        self.store.bitmap(i)
    }

    /// The bitmap file of array `i`: with its header, and a bit for each stored row and no more.
    pub(super) fn bitmap_file(&self, i: usize) -> Result<Vec<u8>> {
        let r = &self.records[i];
        let rows = r.shape.first().copied().unwrap_or(0);
        let Some(bitmap) = self.bitmap(i)? else { return Ok(Vec::new()) };
        // An array without bytes can have any number of rows, and its bitmap may end before them.
        let (value, limit) = (Bitmap::file_len(rows), self.limits.max_bitmap_bytes);
        if value > limit {
            let (file, what) = (self.store.path().to_owned(), "the size of the bitmap");
            return Err(Error::Limit { file, array: Some(r.name.clone()), what, value, limit });
        }
        Ok(bitmap.resized(rows, false).encode())
    }

    /// Opens the data of array `i`, as stored: dropped rows and all, segments joined.
    pub(super) fn data(&self, i: usize) -> Result<Data> {
        Ok(Data { array: self.store.stored_array(i, self.count)?, at: 0 })
    }

    /// Whether the store is still what it was, and these are still the files of its arrays; of
    /// those with none, nothing has been read.
    pub(super) fn is_current(&self, files: &[Vec<FileId>]) -> Result<bool> {
        let same_file = |(i, ids): (usize, &Vec<FileId>)| {
            ids.is_empty() || self.data(i).and_then(|d| d.ids()).is_ok_and(|now| now == *ids)
        };
        let count = self.store.folder().map_or(Ok(0), |folder| folder.replacements())?;
        Ok(count == self.count
            && self.store.is_latest()?
            && files.iter().enumerate().all(same_file)
            && self.store.is_latest()?)
    }
}

/// The stored bytes of an array, in their order.
pub(super) struct Data {
    array: Array,
    at: u64,
}

impl Data {
    /// Reads the next bytes, as many as there are room for; past the end is an error.
    pub(super) fn read(&mut self, out: &mut [u8]) -> Result<usize> {
        let n = (self.array.nbytes() - self.at).min(out.len() as u64) as usize;
        // None are left: an error that says so.
        let n = n.max(usize::from(!out.is_empty()));
        self.array.read_bytes_at(self.at, &mut out[..n])?;
        self.at += n as u64;
        Ok(n)
    }

    /// Reads from the start again.
    pub(super) fn rewind(&mut self) {
        self.at = 0;
    }

    /// What tells the files from others, and from themselves before a change.
    pub(super) fn ids(&self) -> Result<Vec<FileId>> {
        let id =
            |p: &crate::array::Part| FileId::of(&p.file).map_err(Error::io("inspect", &p.path));
        self.array.parts.iter().map(id).collect()
    }
}
