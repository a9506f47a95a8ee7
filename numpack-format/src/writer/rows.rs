//! Appending, replacing and dropping rows, and leaving out those that were dropped.

use super::arrays::check_name;
use super::{Mode, Writer};
use crate::array::{Array, ArrayInfo, Part};
use crate::bitmap::Bitmap;
use crate::commit;
use crate::dtype::{byte_size, row_size};
use crate::error::{Error, Result};
use crate::plan::{Bits, Current, Entry, NoteOf};
use crate::redo::RecordWriter;
use crate::rows::{Picked, Rows};
use crate::view::{Elements, View};
use crate::{names, segments, store};
use std::collections::HashMap;
use std::sync::Arc;

/// New rows, in pieces no larger than this.
type Pieces<'a> = &'a mut dyn FnMut(&mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()>;

impl Writer {
    /// Adds rows at the end of arrays: each view has the array's element type and dimensions, but
    /// for the first.
    ///
    /// Everything is checked before the first byte is written, and if a write fails, no array has
    /// grown.
    pub fn append(&mut self, rows: &[(&str, View<'_>)]) -> Result<()> {
        self.check_process()?;
        let mut checked = Vec::with_capacity(rows.len());
        for (name, view) in rows {
            checked.push((*name, view.rows(), self.check_rows(name, view)?));
        }
        let mut grown: Vec<(Entry, u64)> = Vec::with_capacity(rows.len());
        for (name, count, elements) in checked {
            if count == 0 {
                continue;
            }
            // One array may get rows twice.
            let earlier = grown.iter().rposition(|(e, _)| e.record.name == name);
            let appended = match earlier {
                Some(i) => {
                    let entry = grown[i].0.clone();
                    self.append_to(entry, count, &elements)
                }
                None => self.open_to_grow(name).and_then(|e| self.append_to(e, count, &elements)),
            };
            match appended {
                Ok(entry) => grown.push(entry),
                Err(e) => {
                    for (entry, len) in grown.iter().rev() {
                        self.live.take_back(file_of(entry), *len);
                    }
                    return Err(e);
                }
            }
        }
        for (entry, _) in grown {
            self.plan.put(entry);
        }
        Ok(())
    }

    /// The array that is to grow, with a file that can.
    fn open_to_grow(&mut self, name: &str) -> Result<Entry> {
        // Most arrays have no bitmap; those that have cannot keep it as it is.
        let bitmap = self.pending_bitmap(name)?;
        let mut entry = self.open_to_change(name)?;
        if let Some(bitmap) = bitmap.filter(|_| matches!(entry.bits, Bits::Kept)) {
            entry.bits = Bits::New(bitmap);
        }
        Ok(entry)
    }

    /// Writes rows behind those of an array: what the array is then, and its size in bytes before.
    fn append_to(
        &mut self,
        mut entry: Entry,
        count: u64,
        elements: &Elements<'_>,
    ) -> Result<(Entry, u64)> {
        let r = &mut entry.record;
        let too_many = || Error::parameter(None, "the array would exceed 64 bits");
        let rows = r.shape[0].checked_add(count).ok_or_else(too_many)?;
        let shape = [rows].into_iter().chain(r.shape[1..].iter().copied());
        let size = byte_size(r.dtype, shape).ok_or_else(too_many)?;
        let (mut at, before) = (r.size_bytes, r.size_bytes);
        let file = entry.staged.as_deref().unwrap_or(&entry.record.data_file);
        let live = &mut self.live;
        let written = elements.for_each(|bytes| {
            live.write(file, bytes, at)?;
            at += bytes.len() as u64;
            Ok(())
        });
        if let Err(e) = written {
            // The next append finds the file as it was.
            self.live.take_back(file, before);
            return Err(e);
        }
        if let Bits::New(_) = &entry.bits {
            self.check_bitmap(&entry.record.name, rows)?;
        }
        let modified = self.now(&entry.record.name);
        let r = &mut entry.record;
        (r.shape[0], r.size_bytes, r.modified_micros) = (rows, size, modified);
        if let Bits::New(bitmap) = &entry.bits {
            let bitmap = bitmap.resized(rows - count, false).resized(rows, true);
            let all = bitmap.live() == rows;
            entry.bits = if all { Bits::All } else { Bits::New(Arc::new(bitmap)) };
        }
        Ok((entry, before))
    }

    /// Replaces rows: the view has one row for each row of the selection, in its order. Where a
    /// row is selected several times, the last one counts.
    ///
    /// The new rows are seen, all at once, after the commit; but see
    /// [`WriterOptions::in_place`].
    pub fn replace_rows(&mut self, name: &str, rows: &Rows<'_>, view: &View<'_>) -> Result<()> {
        self.check_process()?;
        let elements = self.check_rows(name, view)?;
        let bitmap = self.pending_bitmap(name)?;
        let stored = self.stored_rows(name)?;
        let count = bitmap.as_ref().map_or(stored, |b| b.live());
        let picked = rows.pick(count).map_err(|problem| Error::parameter(Some(name), problem))?;
        if picked.len() != view.rows() {
            let problem = format!(
                "{} rows are to be replaced, the data has {}; give one for each",
                picked.len(),
                view.rows()
            );
            return Err(Error::parameter(Some(name), problem));
        }
        if view.rows() == 0 {
            return Ok(());
        }
        let entry = self.open_to_change(name)?;
        // A new file has no dropped rows.
        let bitmap = if entry.staged.is_some() { self.pending_bitmap(name)? } else { bitmap };
        let size = row_size(entry.record.dtype, &entry.record.shape).unwrap_or(0);
        if size == 0 {
            return Ok(());
        }
        let mut runs = Vec::new();
        stored_runs(&picked, bitmap.as_deref(), &mut runs)?;
        let mut at = 0;
        let mut within = 0;
        self.put_runs(&entry, &mut |sink| elements.for_each(&mut *sink), &mut |bytes| {
            // Cut the bytes where runs end.
            let (row, rows) = runs[at];
            let n = (rows * size - within).min(bytes as u64);
            let offset = row * size + within;
            within += n;
            if within == rows * size {
                (at, within) = (at + 1, 0);
            }
            (offset, n)
        })
    }

    /// Writes bytes to the places that `next` gives for as many as it says.
    fn put_runs(
        &mut self,
        entry: &Entry,
        pieces: Pieces<'_>,
        next: &mut dyn FnMut(usize) -> (u64, u64),
    ) -> Result<()> {
        let file = file_of(entry).to_owned();
        // What is not in the store yet can be changed at once.
        let committed = match (&entry.staged, self.options.in_place) {
            (None, false) => self.committed_size(&entry.record.name),
            _ => 0,
        };
        if committed > 0 && self.record.is_none() {
            let Mode::Merge(merge) = &self.mode else { return Ok(()) };
            self.record = Some((RecordWriter::begin(&merge.dir)?, HashMap::new()));
        }
        pieces(&mut |mut bytes| {
            while !bytes.is_empty() {
                let (offset, n) = next(bytes.len());
                let (mut now, rest) = bytes.split_at(n as usize);
                bytes = rest;
                let mut offset = offset;
                if offset < committed
                    && let Some((record, rows)) = &mut self.record
                {
                    let (waits, later) = now.split_at((committed - offset).min(n) as usize);
                    let at = record.put(waits)?;
                    let runs = rows.entry(file.clone()).or_default();
                    runs.put(offset, waits.len() as u64, at);
                    (offset, now) = (offset + waits.len() as u64, later);
                }
                if !now.is_empty() {
                    self.live.write(&file, now, offset)?;
                }
            }
            Ok(())
        })
    }

    /// How many bytes of an array are in the store already.
    fn committed_size(&self, name: &str) -> u64 {
        let store = &self.state.store;
        store.position(name).map_or(0, |i| store.metadata.get(i).size_bytes)
    }

    /// Drops rows: they are skipped from then on, and [`compact_array`](Writer::compact_array)
    /// frees their room. A row may be selected several times. Says how many went.
    pub fn drop_rows(&mut self, name: &str, rows: &Rows<'_>) -> Result<u64> {
        self.check_process()?;
        self.check_has_rows(name)?;
        let bitmap = self.pending_bitmap(name)?;
        let stored = self.stored_rows(name)?;
        let before = bitmap.as_ref().map_or(stored, |b| b.live());
        let picked = rows.pick(before).map_err(|problem| Error::parameter(Some(name), problem))?;
        if picked.len() == 0 {
            return Ok(0);
        }
        self.check_bitmap(name, stored)?;
        let mut runs = Vec::new();
        stored_runs(&picked, bitmap.as_deref(), &mut runs)?;
        let dead = runs.into_iter().flat_map(|(row, n)| row..row + n);
        let bitmap = match bitmap {
            Some(bitmap) => bitmap.without(dead),
            None => Bitmap::full(stored).without(dead),
        };
        let live = bitmap.live();
        let Some(current) = self.plan.get(name) else { return Err(self.missing(name)) };
        let mut entry = current.to_entry();
        entry.bits = Bits::New(Arc::new(bitmap));
        entry.record.modified_micros = self.now(name);
        self.plan.put(entry);
        if names::bitmap_file(name).is_none() {
            // Other programs would look for the bitmap under another name.
            self.rewrite_own(name)?;
        }
        Ok(before - live)
    }

    /// Frees the room of dropped rows, and puts segments together: the array gets a new file. Says
    /// how many rows went.
    pub fn compact_array(&mut self, name: &str) -> Result<u64> {
        self.check_process()?;
        check_name(name)?;
        let stored = self.stored_rows(name)?;
        let Some(current) = self.plan.get(name) else { return Err(self.missing(name)) };
        let in_segments = match &current {
            Current::Kept(r) => r.data_file.ends_with(segments::SUFFIX),
            Current::Entry(e) => {
                e.staged.is_none() && e.record.data_file.ends_with(segments::SUFFIX)
            }
        };
        let bitmap = self.pending_bitmap(name)?;
        let dead = bitmap.as_ref().map_or(0, |b| stored - b.live());
        if bitmap.is_some() || in_segments {
            self.rewrite_own(name)?;
        }
        Ok(dead)
    }

    /// The same for all arrays.
    pub fn compact(&mut self) -> Result<u64> {
        let names: Vec<String> = self.names().map(str::to_owned).collect();
        let mut rows = 0;
        for name in names {
            rows += self.compact_array(&name)?;
        }
        Ok(rows)
    }

    fn rewrite_own(&mut self, name: &str) -> Result<()> {
        let shape = self.plan_shape(name)?;
        let Some(current) = self.plan.get(name) else { return Err(self.missing(name)) };
        let entry = current.to_entry();
        self.rewrite(name, name, &shape, entry.scalar, entry.note)
    }

    /// Refuses more rows than a bitmap may have.
    fn check_bitmap(&self, name: &str, rows: u64) -> Result<()> {
        let len = usize::try_from(Bitmap::file_len(rows)).unwrap_or(usize::MAX);
        let file = self.target.join(names::bitmap_file(name).unwrap_or_default());
        let (what, limit) = ("the size of the bitmap", self.options.limits.max_bitmap_bytes);
        commit::within(&file, what, len, limit).map_err(|e| e.in_array(name))
    }

    /// Refuses what has no rows to speak of: the side information, and 0-d arrays.
    fn check_has_rows(&self, name: &str) -> Result<()> {
        check_name(name)?;
        let Some(current) = self.plan.get(name) else { return Err(self.missing(name)) };
        let store = &self.state.store;
        let scalar = match &current {
            Current::Kept(r) => !r.has_rows() || store.note(name).is_some_and(|n| n.scalar),
            Current::Entry(e) => {
                let note = match e.note {
                    NoteOf::Fresh => None,
                    NoteOf::Kept => store.note(name),
                    NoteOf::Moved(i) | NoteOf::Copied(i) => {
                        store.side().and_then(|side| side.arrays.get(i))
                    }
                };
                e.record.shape.is_empty() || e.scalar || note.is_some_and(|n| n.scalar)
            }
        };
        if scalar {
            return Err(Error::parameter(Some(name), "a 0-d array has no rows; save it again"));
        }
        Ok(())
    }

    /// Whether rows fit an array.
    fn check_rows<'a>(&self, name: &str, view: &View<'a>) -> Result<Elements<'a>> {
        self.check_has_rows(name)?;
        let Some(current) = self.plan.get(name) else { return Err(self.missing(name)) };
        let fits = |dtype, shape: &[u64]| {
            let rows = view.shape.get(1..).filter(|_| !view.shape.is_empty());
            if view.dtype == dtype && rows == shape.get(1..) {
                return Ok(());
            }
            let problem = format!(
                "rows of {dtype} and shape {:?} are needed, the data is {} of shape {:?}",
                shape.get(1..).unwrap_or_default(),
                view.dtype,
                view.shape
            );
            Err(Error::parameter(Some(name), problem))
        };
        match &current {
            Current::Kept(r) => fits(r.dtype, &r.shape())?,
            Current::Entry(e) => fits(e.record.dtype, &e.record.shape)?,
        }
        view.check(name)
    }

    fn stored_rows(&self, name: &str) -> Result<u64> {
        match self.plan.get(name) {
            None => Err(self.missing(name)),
            Some(Current::Kept(r)) => Ok(r.rows()),
            Some(Current::Entry(e)) => Ok(e.record.shape.first().copied().unwrap_or(1)),
        }
    }

    /// The bitmap that an array will have.
    pub(super) fn pending_bitmap(&self, name: &str) -> Result<Option<Arc<Bitmap>>> {
        match self.plan.get(name) {
            Some(Current::Entry(e)) => match &e.bits {
                Bits::All => return Ok(None),
                Bits::New(bitmap) => return Ok(Some(bitmap.clone())),
                Bits::Kept => {}
            },
            Some(Current::Kept(..)) => {}
            None => return Ok(None),
        }
        match self.state.store.position(name) {
            Some(i) => self.state.store.bitmap(i),
            None => Ok(None),
        }
    }

    /// An array whose file can be changed in place; it may have to be copied first. The file is
    /// open then.
    fn open_to_change(&mut self, name: &str) -> Result<Entry> {
        for _ in 0..2 {
            let Some(current) = self.plan.get(name) else { return Err(self.missing(name)) };
            let entry = current.to_entry();
            let size = entry.record.size_bytes;
            let in_place = match (&self.mode, &entry.staged) {
                (Mode::New { new, .. }, Some(staged)) => {
                    self.live.open(&new.dir, staged, size, name)?
                }
                (Mode::Merge(merge), Some(staged)) => match &merge.stage {
                    Some(stage) => self.live.open(stage, staged, size, name)?,
                    None => return Err(self.missing(name)),
                },
                (Mode::New { .. }, None) => return Err(self.missing(name)),
                (Mode::Merge(merge), None) => {
                    let file = &entry.record.data_file;
                    !file.ends_with(segments::SUFFIX)
                        && !file.contains('/')
                        && !self.state.is_shared(file)
                        && self.live.open(&merge.dir, file, size, name)?
                }
            };
            if in_place {
                return Ok(entry);
            }
            self.rewrite_own(name)?;
        }
        Err(self.missing(name))
    }

    /// Opens an array as it will be.
    pub(super) fn open_pending(&self, name: &str) -> Result<Array> {
        let Some(current) = self.plan.get(name) else { return Err(self.missing(name)) };
        let store = &self.state.store;
        let kept = match &current {
            Current::Kept(..) => true,
            Current::Entry(e) => e.staged.is_none(),
        };
        let entry = current.to_entry();
        let r = &entry.record;
        let parts = match (&self.mode, &entry.staged) {
            (Mode::Merge(merge), None) => {
                let limits = &self.options.limits;
                let parts = store::open_parts(
                    &merge.dir,
                    &HashMap::new(),
                    &r.data_file,
                    r.dtype,
                    &r.shape,
                    limits,
                );
                parts.map_err(|e| e.in_array(name))?
            }
            (_, staged) => {
                let staged = staged.as_deref().unwrap_or_default();
                let path = self.new_file_path(staged);
                let file = self.new_files().map(|d| d.open_file(staged)).transpose()?.flatten();
                let (file, _) = file.ok_or_else(|| Error::Changed { file: path.clone() })?;
                vec![Part { file: Arc::new(file), path, start: 0, len: r.size_bytes }]
            }
        };
        let bitmap = self.pending_bitmap(name)?;
        let stored_rows = r.shape.first().copied().unwrap_or(1);
        let mut shape = r.shape.clone();
        if let (Some(rows), Some(bitmap)) = (shape.first_mut(), &bitmap) {
            *rows = bitmap.live();
        }
        let note = store.note(name).filter(|_| entry.note == NoteOf::Kept).cloned();
        let info = ArrayInfo {
            name: name.to_owned(),
            dtype: r.dtype,
            shape,
            stored_rows,
            modified_micros: r.modified_micros,
            note,
        };
        let array = Array::new(info, parts, bitmap, None);
        let waiting = self.record.as_ref().filter(|_| kept);
        Ok(match waiting.and_then(|(record, rows)| Some((record, rows, rows.get(&r.data_file)?))) {
            Some((record, rows, runs)) => array.patched(record.patches(rows), runs.clone()),
            None => array,
        })
    }
}

/// The file that holds an array's rows, while its change is prepared.
fn file_of(entry: &Entry) -> &str {
    entry.staged.as_deref().unwrap_or(&entry.record.data_file)
}

/// The stored rows of a selection, as runs.
fn stored_runs(
    picked: &Picked<'_>,
    bitmap: Option<&Bitmap>,
    out: &mut Vec<(u64, u64)>,
) -> Result<()> {
    picked.for_each_run(|mut row, mut n| {
        let Some(bitmap) = bitmap else {
            out.push((row, n));
            return Ok(());
        };
        while n > 0 {
            let Some(stored) = bitmap.select(row) else { break };
            let run = bitmap.run(stored, n).max(1);
            out.push((stored, run));
            (row, n) = (row + run, n - run);
        }
        Ok(())
    })
}
