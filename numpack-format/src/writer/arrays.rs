//! Saving, removing, renaming and copying whole arrays.

use super::{Mode, Writer};
use crate::array_writer::ArrayWriter;
use crate::commit;
use crate::dtype::{DType, byte_size};
use crate::error::{Error, Result};
use crate::metadata::Record;
use crate::names;
use crate::plan::{Bits, Current, Entry, NoteOf};
use crate::segments;
use crate::side;
use crate::view::View;
use std::fs::File;
use std::io::Write;
use std::time::{SystemTime, UNIX_EPOCH};

impl Writer {
    /// Begins an array, or the replacement of the one of that name. The shape needs at least one
    /// dimension; [`save`](Writer::save) takes 0-d arrays too.
    pub fn begin_array(
        &mut self,
        name: &str,
        dtype: DType,
        shape: &[u64],
    ) -> Result<ArrayWriter<'_>> {
        check_name(name)?;
        if shape.is_empty() {
            return Err(Error::parameter(
                Some(name),
                "a 0-d shape has no rows; save the array with shape [1], or with save",
            ));
        }
        self.begin(name, dtype, shape, false, NoteOf::Fresh)
    }

    pub(super) fn begin(
        &mut self,
        name: &str,
        dtype: DType,
        shape: &[u64],
        scalar: bool,
        note: NoteOf,
    ) -> Result<ArrayWriter<'_>> {
        self.check_process()?;
        let max = self.options.limits.max_dims;
        if shape.len() as u64 > u64::from(max) {
            return Err(Error::parameter(
                Some(name),
                format!("{} dimensions are more than the {max} a store takes", shape.len()),
            ));
        }
        if u32::try_from(name.len()).is_err() {
            return Err(Error::parameter(None, "a name of 4 GiB or more is too long"));
        }
        let Some(size_bytes) = byte_size(dtype, shape.iter().copied()) else {
            return Err(Error::parameter(
                Some(name),
                format!("the shape {shape:?} of {dtype} exceeds 64 bits"),
            ));
        };
        let (data_file, claimed) = self.choose_file(name)?;
        let staged = self.staged_name(&data_file);
        let dir = match &mut self.mode {
            Mode::New { new, .. } => &new.dir,
            Mode::Merge(merge) => merge.stage()?,
        };
        let file = dir.create_new(&staged).map_err(|e| e.in_array(name))?;
        if claimed {
            self.state.taken.insert(names::fold(&data_file));
        }
        let record = Record {
            name: name.to_owned(),
            dtype,
            shape: shape.to_vec(),
            data_file,
            modified_micros: self.now(name),
            size_bytes,
        };
        let entry = Entry { record, staged: Some(staged), scalar, bits: Bits::All, note };
        Ok(ArrayWriter::new(self, file, entry, claimed))
    }

    /// A name for a new file until the commit.
    fn staged_name(&mut self, data_file: &str) -> String {
        match self.mode {
            Mode::New { .. } => data_file.to_owned(),
            Mode::Merge(_) => {
                self.serial += 1;
                format!("{}-{:016x}-{}{}", self.pid, self.random, self.serial, commit::NEW)
            }
        }
    }

    /// The time, but later than the last change of the array, so that the two can be told apart.
    pub(super) fn now(&self, name: &str) -> i64 {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |d| i64::try_from(d.as_micros()).unwrap_or(i64::MAX));
        let store = &self.state.store;
        let base = store.position(name).map(|i| store.metadata.get(i).modified_micros);
        base.map_or(now, |b| now.max(b.saturating_add(1)))
    }

    /// A data file for an array, and whether its name was free rather than the array's own.
    fn choose_file(&mut self, name: &str) -> Result<(String, bool)> {
        let own = match &self.mode {
            Mode::New { .. } => None,
            Mode::Merge(merge) => {
                self.state.list(&merge.dir)?;
                let own = self.own_file(name).map(str::to_owned);
                own.filter(|f| !self.state.is_shared(f))
            }
        };
        let own = own.and_then(|f| names::choice(name, &f));
        let first = names::data_file(name, 0);
        // The first is free as a rule; else all up to the last one given are taken.
        if own != Some(0) && self.is_free(&first)? {
            return Ok((first, true));
        }
        let key = names::fold(&first);
        let mut n = self.choices.get(&key).copied().unwrap_or(0);
        if let Some(own) = own.filter(|&own| own <= n) {
            return Ok((names::data_file(name, own), false));
        }
        loop {
            let file = names::data_file(name, n);
            if own == Some(n) {
                return Ok((file, false));
            }
            if self.is_free(&file)? {
                self.choices.insert(key, n + 1);
                return Ok((file, true));
            }
            n += 1;
        }
    }

    /// Whether no file has this name, or one that differs by case only.
    fn is_free(&self, file: &str) -> Result<bool> {
        if self.state.taken.contains(&names::fold(file)) {
            return Ok(false);
        }
        match &self.mode {
            Mode::New { .. } => Ok(true),
            // The folder may have been listed a while ago.
            Mode::Merge(merge) => {
                let id = merge.dir.id(file).map_err(Error::io("inspect", merge.dir.join(file)))?;
                Ok(id.is_none())
            }
        }
    }

    /// Writes a whole array from memory, in the place of one of that name, whatever that one's
    /// type and shape.
    ///
    /// A shape without dimensions is stored as `[1]`, with a note in the side information.
    pub fn save(&mut self, name: &str, view: &View<'_>) -> Result<()> {
        check_name(name)?;
        let elements = view.check(name)?;
        let scalar = view.shape.is_empty();
        let shape = if scalar { &[1] } else { view.shape };
        let mut array = self.begin(name, view.dtype, shape, scalar, NoteOf::Fresh)?;
        let file = array.writer_path();
        elements.for_each(|bytes| array.write_all(bytes).map_err(Error::io("write", &file)))?;
        array.finish()
    }

    /// Takes an array out of the store. A note on it that an object refers to stays in its place,
    /// and says so.
    pub fn remove_array(&mut self, name: &str) -> Result<()> {
        self.check_process()?;
        check_name(name)?;
        let Some(removed) = self.plan.remove(name) else { return Err(self.missing(name)) };
        if let Some(entry) = removed {
            self.discard(entry);
        }
        Ok(())
    }

    /// Takes all arrays out of the store, and the side information.
    pub fn clear(&mut self) {
        for entry in self.plan.clear() {
            self.discard(entry);
        }
        self.side = Some(None);
    }

    /// Gives an array another name, which must be free. Its note, and what refers to it, follow.
    pub fn rename_array(&mut self, from: &str, to: &str) -> Result<()> {
        self.move_array(from, to, true)
    }

    /// Copies an array to another name, which must be free. Dropped rows are not copied.
    pub fn clone_array(&mut self, from: &str, to: &str) -> Result<()> {
        self.move_array(from, to, false)
    }

    fn move_array(&mut self, from: &str, to: &str, rename: bool) -> Result<()> {
        self.check_process()?;
        check_name(from)?;
        check_name(to)?;
        let Some(current) = self.plan.get(from) else { return Err(self.missing(from)) };
        if self.plan.get(to).is_some() {
            let problem =
                "there is an array of this name already; remove it first, or choose another";
            return Err(Error::parameter(Some(to), problem));
        }
        let old = current.to_entry();
        let note = self.note_of(from, old.note, rename);
        let shape = self.plan_shape(from)?;
        let linked = rename && self.link_array(&old, to, note)?;
        if !linked {
            self.rewrite(from, to, &shape, old.scalar, note)?;
        }
        if rename {
            self.remove_array(from)?;
        }
        Ok(())
    }

    /// Which note an array has under its new name.
    fn note_of(&self, name: &str, note: NoteOf, moves: bool) -> NoteOf {
        let kept = || {
            let side = self.state.store.side()?;
            side.arrays.iter().position(|n| n.name == name && !n.dropped)
        };
        // Saved again under the name it had, it has the note's place still.
        let place = || {
            let side = self.state.store.side()?;
            let dropped = side.arrays.iter().position(|n| n.name == name);
            kept().or(dropped).filter(|_| moves)
        };
        match note {
            NoteOf::Kept => kept().map_or(NoteOf::Fresh, |i| {
                if moves { NoteOf::Moved(i) } else { NoteOf::Copied(i) }
            }),
            NoteOf::Moved(i) if !moves => NoteOf::Copied(i),
            NoteOf::Fresh => place().map_or(NoteOf::Fresh, NoteOf::FreshAt),
            NoteOf::FreshAt(_) if !moves => NoteOf::Fresh,
            other => other,
        }
    }

    /// Gives an array's file, rows and all, to another name: `false` if it has to be copied.
    fn link_array(&mut self, old: &Entry, to: &str, note: NoteOf) -> Result<bool> {
        let pending = |f: &String| self.record.as_ref().is_some_and(|(_, of)| of.contains_key(f));
        let Mode::Merge(merge) = &mut self.mode else { return Ok(false) };
        let plain = old.staged.is_none()
            // Without dimensions it is read as one row, but never written so.
            && !old.record.shape.is_empty()
            && !old.record.data_file.ends_with(segments::SUFFIX)
            && !old.record.data_file.contains('/')
            && !self.state.is_shared(&old.record.data_file)
            && !pending(&old.record.data_file)
            // With dropped rows it needs a bitmap, which not every name can have.
            && (names::bitmap_file(to).is_some() || matches!(old.bits, Bits::All));
        if !plain {
            return Ok(false);
        }
        merge.stage()?;
        // What was appended must be there before the commit, under whichever name.
        self.live.sync(&old.record.data_file)?;
        let bits = match (&old.bits, self.state.store.position(&old.record.name)) {
            (Bits::Kept, Some(i)) => self.state.store.bitmap(i)?.map_or(Bits::All, Bits::New),
            (bits, _) => bits.clone(),
        };
        let (data_file, claimed) = self.choose_file(to)?;
        let staged = self.staged_name(&data_file);
        let Mode::Merge(merge) = &mut self.mode else { return Ok(false) };
        let Some(stage) = &merge.stage else { return Ok(false) };
        if !merge.dir.link(&old.record.data_file, stage, &staged)? {
            return Ok(false);
        }
        if claimed {
            self.state.taken.insert(names::fold(&data_file));
        }
        let record = Record {
            name: to.to_owned(),
            data_file,
            modified_micros: self.now(to),
            ..old.record.clone()
        };
        self.plan.put(Entry { record, staged: Some(staged), scalar: old.scalar, bits, note });
        Ok(true)
    }

    /// Writes the live rows of an array to a new file, under its own name or another.
    pub(super) fn rewrite(
        &mut self,
        from: &str,
        to: &str,
        shape: &[u64],
        scalar: bool,
        note: NoteOf,
    ) -> Result<()> {
        let array = self.open_pending(from)?;
        let mut writer = self.begin(to, array.info().dtype, shape, scalar, note)?;
        let file = writer.writer_path();
        let mut buffer = vec![0; array.nbytes().min(COPY) as usize];
        let mut at = 0;
        while at < array.nbytes() {
            let n = (array.nbytes() - at).min(COPY) as usize;
            array.read_bytes_at(at, &mut buffer[..n])?;
            writer.write_all(&buffer[..n]).map_err(Error::io("write", &file))?;
            at += n as u64;
        }
        writer.finish()
    }

    /// The shape of an array as it will be, without dropped rows.
    pub(super) fn plan_shape(&self, name: &str) -> Result<Vec<u64>> {
        let Some(current) = self.plan.get(name) else { return Err(self.missing(name)) };
        let mut shape: Vec<u64> = (0..current.dims()).map(|i| current.dim(i)).collect();
        if shape.is_empty() {
            // Read as one element, never written so.
            shape.push(1);
        }
        if let Some(bitmap) = self.pending_bitmap(&current)? {
            shape[0] = bitmap.live();
        }
        Ok(shape)
    }

    /// Takes a finished array into the plan.
    pub(crate) fn place(&mut self, mut entry: Entry, file: File) -> Result<()> {
        let earlier = match self.plan.get(&entry.record.name) {
            Some(Current::Entry(e)) => {
                e.staged.clone().map(|staged| (staged, e.record.data_file.clone()))
            }
            _ => None,
        };
        let staged = entry.staged.clone().unwrap_or_default();
        self.live.forget(&staged);
        if let Some((old, data_file)) = earlier {
            self.live.forget(&old);
            // Saved twice in one commit: the later one counts, under the name of the earlier.
            let placed = match (&self.mode, self.new_files()) {
                (Mode::New { .. }, Some(dir)) => dir.rename(&staged, dir, &old).map(|()| Some(old)),
                (_, Some(dir)) => dir.remove_file(&old).map(|()| None),
                (_, None) => Ok(None),
            };
            match placed {
                Ok(name) => entry.staged = Some(name.unwrap_or(staged)),
                Err(e) => {
                    self.abandon(&entry.record, &staged, entry.record.data_file != data_file);
                    return Err(e);
                }
            }
            if entry.record.data_file != data_file {
                self.release(&entry.record.name, &entry.record.data_file);
                entry.record.data_file = data_file;
            }
        }
        let path = self.new_file_path(entry.staged.as_deref().unwrap_or_default());
        self.unsynced.add(path, file);
        self.plan.put(entry);
        Ok(())
    }
}

/// Bytes copied at a time.
const COPY: u64 = 1 << 20;

/// Refuses the name of the side information.
pub(super) fn check_name(name: &str) -> Result<()> {
    if name == side::ARRAY_NAME {
        let problem = "the name is reserved for side information; choose another, or use set_side";
        return Err(Error::parameter(Some(name), problem));
    }
    Ok(())
}
