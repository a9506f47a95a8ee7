//! Bringing back an array whose record was lost.

use super::arrays::check_name;
use super::{Mode, Writer};
use crate::bitmap::Bitmap;
use crate::disk::{self, Dir};
use crate::dtype::{DType, byte_size, row_size};
use crate::error::{Error, Result, format};
use crate::merge::Merge;
use crate::metadata::Record;
use crate::plan::{Bits, Entry, NoteOf};
use crate::{names, segments, store};
use std::collections::HashMap;
use std::sync::Arc;

impl Writer {
    /// Makes an array of a data file that lies in the store and that no record names: what is left
    /// where another program died before it wrote its metadata. [`verify`](crate::Store::verify)
    /// lists such files, as [`FaultKind::Orphan`](crate::FaultKind::Orphan).
    ///
    /// What the file holds is not written in it, so the caller says it: the element type, and the
    /// shape of one row. The file must be one in which an array of this name lies, and hold whole
    /// rows. Rows that the bitmap of that name drops stay dropped. Says how many rows there are then.
    pub fn adopt_array(
        &mut self,
        name: &str,
        file: &str,
        dtype: DType,
        row: &[u64],
    ) -> Result<u64> {
        self.check_process()?;
        check_name(name)?;
        if self.plan.get(name).is_some() {
            let problem =
                "there is an array of this name already; remove it first, or give it another name";
            return Err(Error::parameter(Some(name), problem));
        }
        if names::choice(name, file).is_none() && file != names::segment_list(name) {
            let problem = format!(
                "{file:?} is no data file of an array of this name; adopt it under its own name, and rename it then"
            );
            return Err(Error::parameter(Some(name), problem));
        }
        let Mode::Merge(merge) = &self.mode else {
            let problem = "a new store has no data files that could be adopted";
            return Err(Error::parameter(Some(name), problem));
        };
        self.check_unused(merge, name, file)?;
        let (shape, size_bytes) = self.whole_rows(&merge.dir, name, file, dtype, row)?;
        let found = self.bits_beside(&merge.dir, name, shape[0]);
        let found =
            found.and_then(|bits| make_durable(merge, file, dtype, &shape, self).map(|()| bits));
        let bits = found.inspect_err(|e| {
            // A later sync of the same file would succeed, and mean nothing.
            if e.is_failed_sync() {
                self.poison();
            }
        });
        let bits = bits.map_err(|e| e.in_array(name))?;
        let live = match &bits {
            Bits::New(bitmap) => bitmap.live(),
            _ => shape[0],
        };
        let record = Record {
            name: name.to_owned(),
            dtype,
            shape,
            data_file: file.to_owned(),
            modified_micros: self.now(name),
            size_bytes,
        };
        self.adopted.insert(file.to_owned());
        self.plan.put(Entry { record, staged: None, scalar: false, bits, note: NoteOf::Fresh });
        Ok(live)
    }

    /// Refuses a file that an array has, or had when the writer was made.
    fn check_unused(&self, merge: &Merge, name: &str, file: &str) -> Result<()> {
        let folded = names::fold(file);
        let is_it = |other: &str| names::fold(other) == folded;
        let base = &self.state.store.metadata;
        let mut user = base.iter().find(|r| is_it(r.data_file)).map(|r| r.name);
        user = user.or_else(|| {
            let new = self.plan.entries().map(|e| &e.record);
            new.into_iter().find(|r| is_it(&r.data_file)).map(|r| &r.name[..])
        });
        for r in base.iter().filter(|r| r.data_file.ends_with(segments::SUFFIX)) {
            // A list that cannot be read is its own array's trouble.
            let files = merge.segments(r.data_file, &self.options.limits).unwrap_or_default();
            user = user.or_else(|| files.iter().any(|f| is_it(f)).then_some(r.name));
        }
        user.map_or(Ok(()), |user| {
            let problem = format!("{file:?} holds the array {user:?}");
            Err(Error::parameter(Some(name), problem))
        })
    }

    /// The shape that an array in this file has, and its size in bytes.
    fn whole_rows(
        &self,
        dir: &Dir,
        name: &str,
        file: &str,
        dtype: DType,
        row: &[u64],
    ) -> Result<(Vec<u64>, u64)> {
        let mut shape = vec![1];
        shape.extend_from_slice(row);
        let max = self.options.limits.max_dims;
        if shape.len() as u64 > u64::from(max) {
            let problem =
                format!("{} dimensions are more than the {max} a store takes", shape.len());
            return Err(Error::parameter(Some(name), problem));
        }
        let row_size = match row_size(dtype, shape.iter().copied()) {
            None => {
                let problem = format!("a row of the shape {row:?} of {dtype} exceeds 64 bits");
                return Err(Error::parameter(Some(name), problem));
            }
            Some(0) => {
                let problem = "rows without bytes cannot be counted; save the array anew";
                return Err(Error::parameter(Some(name), problem));
            }
            Some(size) => size,
        };
        let path = dir.join(file);
        let missing = || Error::parameter(Some(name), format!("{file:?} is not in the store"));
        let (rows, size) = if file.ends_with(segments::SUFFIX) {
            let limit = self.options.limits.max_segment_list_bytes;
            let bytes = dir.read(file, "the size of a segment list", limit)?.ok_or_else(missing)?;
            let list = segments::parse_unchecked(&bytes, &path).map_err(|e| e.in_array(name))?;
            let rows = list.iter().try_fold(0u64, |sum, s| sum.checked_add(s.rows));
            // That it fits the lengths of the files is looked at when they are opened.
            let size = rows.and_then(|rows| rows.checked_mul(row_size));
            let too_many = || format(&path, None, "the segments have more rows than 64 bits count");
            (rows.ok_or_else(too_many)?, size.ok_or_else(too_many)?)
        } else {
            let (_, id) = dir.open_file(file)?.ok_or_else(missing)?;
            let size = id.len();
            if !size.is_multiple_of(row_size) {
                let problem = format!(
                    "{file:?} ends after {size} bytes, which are no whole rows of {dtype} and shape {row:?}, {row_size} bytes each"
                );
                return Err(Error::parameter(Some(name), problem));
            }
            (size / row_size, size)
        };
        shape[0] = rows;
        debug_assert_eq!(byte_size(dtype, shape.iter().copied()), Some(size));
        Ok((shape, size))
    }

    /// Which of the rows are live, by the bitmap that lies beside the file.
    fn bits_beside(&self, dir: &Dir, name: &str, rows: u64) -> Result<Bits> {
        let Some(file) = names::bitmap_file(name) else { return Ok(Bits::All) };
        let limit = self.options.limits.max_bitmap_bytes;
        let Some(bytes) = dir.read(&file, "the size of the bitmap", limit)? else {
            return Ok(Bits::All);
        };
        let bitmap = Bitmap::parse(&bytes, rows, &dir.join(&file))?;
        Ok(Bits::New(Arc::new(bitmap.resized(rows, false))))
    }
}

/// Syncs data files whose writer may have died before it did, and that they are in their folders.
fn make_durable(
    merge: &Merge,
    file: &str,
    dtype: DType,
    shape: &[u64],
    writer: &Writer,
) -> Result<()> {
    let dir = &merge.dir;
    let limits = &writer.options.limits;
    for part in store::open_parts(dir, &HashMap::new(), file, dtype, shape, limits)? {
        disk::sync_file(&part.file, &part.path)?;
        let inside = part.path.strip_prefix(dir.path()).ok().and_then(|p| p.parent()?.to_str());
        if let Some(folder) = inside.filter(|folder| !folder.is_empty())
            && let Some(folder) = dir.open_dir(folder)?
        {
            folder.sync()?;
        }
    }
    dir.sync()
}
