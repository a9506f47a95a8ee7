//! Appending, replacing and dropping rows, and leaving out those that were dropped.

use super::arrays::check_name;
use super::files::FileNumber;
use super::{Mode, Writer};
use crate::array::{Array, ArrayInfo, Part};
use crate::bitmap::Bitmap;
use crate::commit;
use crate::dtype::{byte_size, row_size};
use crate::error::{Error, Result};
use crate::plan::{self, Bits, Current, Entry, NoteOf};
use crate::redo::RecordWriter;
use crate::rows::{Picked, Rows};
use crate::view::{Elements, View};
use crate::{names, segments, store};
use std::collections::HashMap;
use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

/// What a map of an array's rows is made of.
pub(crate) struct Mappable {
    pub(crate) file: File,
    pub(crate) path: PathBuf,
    pub(crate) len: u64,
    pub(crate) rows: u64,
    pub(crate) row_size: u64,
}

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
            checked.push((*name, view.rows(), self.check_rows(name, view)?.1));
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

    /// The array that is to grow; it may have to be copied first.
    fn open_to_grow(&mut self, name: &str) -> Result<Entry> {
        self.open_to_change(name)?;
        let Some(current) = self.plan.get(name) else { return Err(self.missing(name)) };
        let bitmap = self.pending_bitmap(&current)?;
        let mut entry = current.to_entry();
        // An array without a bitmap needs none; one that has cannot keep it as it is.
        if let (Some(bitmap), Bits::Kept) = (bitmap, &entry.bits) {
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
        let r = &entry.record;
        let too_many = || Error::parameter(Some(&r.name), "the array would exceed 64 bits");
        let rows = r.shape[0].checked_add(count).ok_or_else(too_many)?;
        let shape = [rows].into_iter().chain(r.shape[1..].iter().copied());
        let size = byte_size(r.dtype, shape).ok_or_else(too_many)?;
        if let Bits::New(_) = &entry.bits {
            self.check_bitmap(&r.name, rows)?;
        }
        let before = r.size_bytes;
        let file = self.open_file_of(&entry)?;
        let (live, mut at) = (&mut self.live, before);
        let written = elements.for_each(|bytes| {
            live.write(file, bytes, at)?;
            at += bytes.len() as u64;
            Ok(())
        });
        if let Err(e) = written {
            // The next append finds the file as it was.
            self.live.take_back(file_of(&entry), before);
            return Err(e);
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
    /// [`WriterOptions::in_place`](crate::WriterOptions::in_place).
    pub fn replace_rows(&mut self, name: &str, rows: &Rows<'_>, view: &View<'_>) -> Result<()> {
        self.check_process()?;
        let (current, elements) = self.check_rows(name, view)?;
        let bitmap = self.pending_bitmap(&current)?;
        let count = bitmap.as_ref().map_or(current.rows(), |b| b.live());
        let picked = rows.pick(count).map_err(|problem| Error::parameter(Some(name), problem))?;
        if picked.len() != view.rows() {
            let problem = format!(
                "{} rows are to be replaced, the data has {}; give one for each",
                picked.len(),
                view.rows()
            );
            return Err(Error::parameter(Some(name), problem));
        }
        let dims = (0..current.dims()).map(|i| current.dim(i));
        let size = row_size(current.dtype(), dims).unwrap_or(0);
        if view.rows() == 0 || size == 0 {
            return Ok(());
        }
        let opened = self.live.number(current.file());
        let copied = if opened.is_some() { false } else { self.open_to_change(name)? };
        // A copy has no dropped rows.
        let bitmap = bitmap.filter(|_| !copied);
        if let (Some(range), None) = (picked.as_range(), &bitmap) {
            let mut at = range.start * size;
            return self.put_rows(name, opened, &elements, &mut |bytes| {
                let now = at;
                at += bytes as u64;
                (now, bytes as u64)
            });
        }
        let mut runs = Vec::new();
        stored_runs(&picked, bitmap.as_deref(), &mut runs)?;
        let (mut at, mut within) = (0, 0);
        self.put_rows(name, opened, &elements, &mut |bytes| {
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

    /// Writes elements to the places that `next` gives for as many bytes as it says. The array's file
    /// may be known to be open.
    fn put_rows(
        &mut self,
        name: &str,
        opened: Option<FileNumber>,
        elements: &Elements<'_>,
        next: &mut dyn FnMut(usize) -> (u64, u64),
    ) -> Result<()> {
        // What is not in the store yet can be changed at once.
        let (file, committed) = match opened {
            Some(file) if self.options.in_place => (Some(file), 0),
            _ => {
                let Some(current) = self.plan.get(name) else { return Err(self.missing(name)) };
                let at_once = current.is_staged() || self.options.in_place;
                let committed = if at_once { 0 } else { self.committed_size(name) };
                (self.live.number(current.file()), committed)
            }
        };
        if let Mode::Merge(merge) = &self.mode {
            if committed > 0 && self.record.is_none() {
                self.record = Some((RecordWriter::new(&merge.dir), HashMap::new()));
            }
            if self.options.in_place && !std::mem::replace(&mut self.counted, true) {
                merge.lock.count_up(&merge.dir)?;
            }
        }
        // Rows that wait take their place in the list when all of them are there.
        let mut waiting = Vec::new();
        let mut direct = false;
        let written = elements.for_each(|mut bytes| {
            while !bytes.is_empty() {
                let (mut offset, n) = next(bytes.len());
                let (mut now, rest) = bytes.split_at(n as usize);
                bytes = rest;
                if offset < committed
                    && let Some((record, _)) = &mut self.record
                    && let Mode::Merge(merge) = &self.mode
                {
                    let (waits, later) = now.split_at((committed - offset).min(n) as usize);
                    let at = record.put(waits, &merge.dir)?;
                    waiting.push((offset, waits.len() as u64, at));
                    (offset, now) = (offset + waits.len() as u64, later);
                }
                if let (false, Some(file)) = (now.is_empty(), file) {
                    direct = true;
                    self.live.write(file, now, offset)?;
                }
            }
            Ok(())
        });
        if written.is_ok()
            && !waiting.is_empty()
            && let Some((_, rows)) = &mut self.record
            && let Some(current) = self.plan.get(name)
        {
            let runs = rows.entry(current.file().to_owned()).or_default();
            waiting.into_iter().for_each(|(offset, len, at)| runs.put(offset, len, at));
        }
        self.broken |= written.is_err() && direct;
        written
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
        let current = self.array_with_rows(name)?;
        let (bitmap, stored) = (self.pending_bitmap(&current)?, current.rows());
        let before = bitmap.as_ref().map_or(stored, |b| b.live());
        let picked = rows.pick(before).map_err(|problem| Error::parameter(Some(name), problem))?;
        if picked.len() == 0 {
            return Ok(0);
        }
        self.check_bitmap(name, stored)?;
        let all = bitmap.is_none().then(|| Arc::new(Bitmap::full(stored)));
        let all = bitmap.as_ref().or(all.as_ref());
        let Some(old) = all else { return Ok(0) };
        let bitmap = old.without(|drop| {
            picked.for_each(|row| {
                // Where all rows are live, they are where they are counted.
                drop(if bitmap.is_some() { old.select(row).unwrap_or(u64::MAX) } else { row });
                Ok(())
            })
        })?;
        let live = bitmap.live();
        let mut entry = current.to_entry();
        entry.bits = Bits::New(Arc::new(bitmap));
        entry.record.modified_micros = self.now(name);
        let before_it = self.plan.put(entry);
        if names::bitmap_file(name).is_none()
            // Other programs would look for the bitmap under another name.
            && let Err(e) = self.rewrite_own(name)
        {
            self.plan.restore(name, before_it);
            return Err(e);
        }
        Ok(before - live)
    }

    /// Frees the room of dropped rows, and puts segments together: the array gets a new file. Says
    /// how many rows went.
    pub fn compact_array(&mut self, name: &str) -> Result<u64> {
        self.check_process()?;
        check_name(name)?;
        let Some(current) = self.plan.get(name) else { return Err(self.missing(name)) };
        let in_segments = current.file().ends_with(segments::SUFFIX);
        let bitmap = self.pending_bitmap(&current)?;
        let dead = bitmap.as_ref().map_or(0, |b| current.rows() - b.live());
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

    /// The file of an array whose rows are one range of it, from the start, that nobody else shares.
    pub(crate) fn file_to_map(&mut self, name: &str) -> Result<Mappable> {
        let current = self.array_with_rows(name)?;
        let (len, rows) = (current.size_bytes(), current.rows());
        let dims = (0..current.dims()).map(|i| current.dim(i));
        let row_size = row_size(current.dtype(), dims).unwrap_or(0);
        let file = &current.file().to_owned();
        let all_live = self.pending_bitmap(&current)?.is_none_or(|b| b.live() == rows);
        let plain = all_live && !file.ends_with(segments::SUFFIX) && !file.contains('/');
        let opened = match &self.mode {
            Mode::Merge(merge) if plain && !self.state.is_shared(file) => {
                self.live.open(&merge.dir, file, len, name, || Ok(()))?
            }
            _ => None,
        };
        let Some(opened) = opened else {
            let problem = "it has dropped rows, is in segments, or shares its file; compact it first, or save it again";
            return Err(Error::parameter(Some(name), problem));
        };
        let (file, path) = self.live.file(opened)?;
        if let Mode::Merge(merge) = &self.mode {
            merge.lock.count_up(&merge.dir)?;
        }
        Ok(Mappable { file, path, len, rows, row_size })
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

    /// An array, if it has rows to speak of: not the side information, nor a 0-d array.
    fn array_with_rows(&self, name: &str) -> Result<Current<'_>> {
        check_name(name)?;
        let Some(current) = self.plan.get(name) else { return Err(self.missing(name)) };
        let store = &self.state.store;
        let note = match &current {
            Current::Kept(i, _) => store.note_at(*i),
            Current::Entry(e) => match e.note {
                NoteOf::Fresh | NoteOf::FreshAt(_) => None,
                NoteOf::Kept => store.note(name),
                NoteOf::Moved(i) | NoteOf::Copied(i) => {
                    store.side().and_then(|side| side.arrays.get(i))
                }
            },
        };
        let saved_so = matches!(&current, Current::Entry(e) if e.scalar);
        if current.dims() == 0 || saved_so || note.is_some_and(|n| n.scalar) {
            return Err(Error::parameter(Some(name), "a 0-d array has no rows; save it again"));
        }
        Ok(current)
    }

    /// The array that rows are for, and the rows, if they fit it.
    fn check_rows<'a>(&self, name: &str, view: &View<'a>) -> Result<(Current<'_>, Elements<'a>)> {
        let current = self.array_with_rows(name)?;
        let fits = view.dtype == current.dtype()
            && view.shape.len() == current.dims()
            && (1..current.dims()).all(|i| view.shape[i] == current.dim(i));
        if !fits {
            let row: Vec<u64> = (1..current.dims()).map(|i| current.dim(i)).collect();
            let problem = format!(
                "rows of {} and shape {row:?} are needed, the data is {} of shape {:?}",
                current.dtype(),
                view.dtype,
                view.shape
            );
            return Err(Error::parameter(Some(name), problem));
        }
        let elements = view.check(name)?;
        Ok((current, elements))
    }

    /// The bitmap that an array will have.
    pub(super) fn pending_bitmap(&self, current: &Current<'_>) -> Result<Option<Arc<Bitmap>>> {
        let store = &self.state.store;
        match current {
            Current::Kept(i, _) => store.bitmap_known(*i),
            Current::Entry(e) => match &e.bits {
                Bits::All => Ok(None),
                Bits::New(bitmap) => Ok(Some(bitmap.clone())),
                Bits::Kept => {
                    store.position(&e.record.name).map_or(Ok(None), |i| store.bitmap_known(i))
                }
            },
        }
    }

    /// Opens the file of an array to be changed in place. Where that cannot be, the live rows are
    /// copied to a new one: then `true`.
    fn open_to_change(&mut self, name: &str) -> Result<bool> {
        for copied in [false, true] {
            let Some(current) = self.plan.get(name) else { return Err(self.missing(name)) };
            let (file, size) = (current.file(), current.size_bytes());
            let opened = match &self.mode {
                Mode::New { new, .. } => self.live.open(&new.dir, file, size, name, || Ok(()))?,
                Mode::Merge(merge) if current.is_staged() => match &merge.stage {
                    Some(stage) => self.live.open(stage, file, size, name, || Ok(()))?,
                    None => None,
                },
                Mode::Merge(_)
                    if file.ends_with(segments::SUFFIX)
                        || file.contains('/')
                        || self.state.is_shared(file)
                        // Given up, it is as it was.
                        || self.adopted.contains(file) =>
                {
                    None
                }
                Mode::Merge(merge) => {
                    // The commit looks at this too, but what is written in place is not waiting
                    // for it.
                    if self.options.in_place && self.live.number(file).is_none() {
                        merge.check_current(&self.state)?;
                    }
                    let check = || merge.check_current(&self.state);
                    self.live.open(&merge.dir, file, size, name, check)?
                }
            };
            if opened.is_some() {
                return Ok(copied);
            }
            if !copied {
                self.rewrite_own(name)?;
            }
        }
        Err(self.missing(name))
    }

    /// The same, of an array that is not in the plan yet. Other files may have been opened since
    /// it was, and this one closed.
    fn open_file_of(&mut self, entry: &Entry) -> Result<FileNumber> {
        let (name, size) = (&entry.record.name, entry.record.size_bytes);
        let dir = match &self.mode {
            Mode::New { new, .. } => Some(&new.dir),
            Mode::Merge(merge) if entry.staged.is_some() => merge.stage.as_ref(),
            Mode::Merge(merge) => Some(&merge.dir),
        };
        let opened = match dir {
            Some(dir) => self.live.open(dir, file_of(entry), size, name, || Ok(()))?,
            None => None,
        };
        opened.ok_or_else(|| self.missing(name))
    }

    /// Opens an array as it will be.
    pub(super) fn open_pending(&self, name: &str) -> Result<Array> {
        let Some(current) = self.plan.get(name) else { return Err(self.missing(name)) };
        let store = &self.state.store;
        let kept = !current.is_staged();
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
        let bitmap = self.pending_bitmap(&current)?;
        let stored_rows = r.shape.first().copied().unwrap_or(1);
        let mut shape = r.shape.clone();
        if let (Some(rows), Some(bitmap)) = (shape.first_mut(), &bitmap) {
            *rows = bitmap.live();
        }
        let note = match entry.note {
            NoteOf::Kept => store.note(name).cloned(),
            NoteOf::Fresh | NoteOf::FreshAt(_) => entry.scalar.then(|| plan::note(&entry)),
            NoteOf::Moved(i) | NoteOf::Copied(i) => {
                store.side().and_then(|side| side.arrays.get(i).cloned())
            }
        };
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
