//! The commit of a writer.

use super::{Mode, Writer};
use crate::commit::{self, AtHand};
use crate::disk;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::lease;
use crate::merge::{State, sync_new_files};
use crate::metadata::{self, Record};
use crate::names;
use crate::new_store;
use crate::next_metadata::NextMetadata;
use crate::patches::Patches;
use crate::plan::{Bits, NoteOf};
use crate::redo::{self, RecordWriter, Redo};
use crate::row_log;
use crate::side::{self, SideInfo};
use crate::side_codec;
use crate::spare;
use crate::store::Store;
use std::collections::{HashMap, HashSet};
use std::io::Write;

impl Writer {
    /// Makes the change durable and visible. After an error the store is as it was, unless the
    /// change had been decided already, which the next reader sees and the next writer completes.
    pub fn commit(self) -> Result<()> {
        self.commit_with_warnings().map(|_| ())
    }

    /// The same, and says what the caller should be told.
    pub fn commit_with_warnings(mut self) -> Result<Vec<String>> {
        self.check_process()?;
        let done = self.commit_all();
        if let (Err(e), Some(home)) = (&done, &self.home)
            && e.is_failed_sync()
        {
            home.poison();
        }
        self.warnings.extend(done?);
        self.published = true;
        self.go_home();
        Ok(std::mem::take(&mut self.warnings))
    }

    fn commit_all(&mut self) -> Result<Vec<String>> {
        if self.broken {
            let problem = "an earlier change failed half-way; begin the changes anew";
            return Err(Error::parameter(None, problem));
        }
        self.write_side()?;
        for staged in std::mem::take(&mut self.discarded) {
            self.new_files().map_or(Ok(()), |d| d.remove_file(&staged))?;
        }
        match self.mode {
            Mode::New { .. } => self.commit_new(),
            Mode::Merge(_) => self.commit_merge(),
        }
    }

    /// Writes the side information as an array, where it changes.
    fn write_side(&mut self) -> Result<()> {
        let changed = match self.side.take() {
            Some(given) => {
                let mut given = given.unwrap_or_default();
                self.plan.add_scalars(&mut given);
                if let Some((array, problem)) = self.plan.misfit(&given) {
                    return Err(Error::parameter(
                        Some(array),
                        format!("the side information does not fit: {problem}"),
                    ));
                }
                self.plan.date_notes(&mut given);
                given
            }
            None => {
                let Some(old) =
                    self.state.store.side().cloned().or_else(|| {
                        self.plan.get(side::ARRAY_NAME).is_none().then(SideInfo::default)
                    })
                else {
                    // It cannot be read, so it cannot be brought up to date; only 0-d arrays need that.
                    if self.plan.entries().any(|e| e.scalar) {
                        let problem = "the side information is damaged, so a 0-d array cannot be noted; set it anew, or save the array with shape [1]";
                        return Err(Error::parameter(None, problem));
                    }
                    return Ok(());
                };
                let mut new = old.clone();
                self.plan.update_notes(&mut new);
                if new == old {
                    return Ok(());
                }
                new
            }
        };
        if changed.is_empty() {
            if let Some(Some(entry)) = self.plan.remove(side::ARRAY_NAME) {
                self.discard(entry);
            }
            return Ok(());
        }
        let bytes = side_codec::encode(&changed)?;
        commit::within(
            &self.new_files_path().join(side::ARRAY_NAME),
            "the size of the side information",
            bytes.len(),
            self.options.limits.max_side_bytes,
        )?;
        let name = side::ARRAY_NAME;
        let mut array = self.begin(name, DType::U8, &[bytes.len() as u64], false, NoteOf::Fresh)?;
        let file = array.writer_path();
        array.write_all(&bytes).map_err(Error::io("write", file))?;
        array.finish()
    }

    fn commit_new(&mut self) -> Result<Vec<String>> {
        let metadata = metadata::encode(self.plan.records())?;
        let Mode::New { new, replace } = &self.mode else { return Ok(Vec::new()) };
        commit::within(
            &self.target.join(metadata::FILE),
            "the size of the metadata",
            metadata.len(),
            self.options.limits.max_metadata_bytes,
        )?;
        let bitmaps = self.plan.entries().filter_map(|e| match &e.bits {
            Bits::New(bitmap) => Some((names::bitmap_file(&e.record.name)?, bitmap.encode())),
            _ => None,
        });
        let mut small_files: Vec<(String, Vec<u8>)> = bitmaps.collect();
        small_files.push((metadata::FILE.to_owned(), metadata));
        let mut small = Vec::with_capacity(small_files.len());
        for (name, bytes) in &small_files {
            let file = new.dir.create_new(name)?;
            let path = new.dir.join(name);
            disk::write_at(&file, bytes, 0, &path)?;
            small.push((file, path));
        }
        new.open_up()?;
        self.live.sync_all()?;
        if !sync_new_files(&mut self.unsynced, &new.dir, &self.plan)? {
            for (file, path) in &small {
                disk::sync_file(file, path)?;
            }
            new.dir.sync()?;
        }
        if *replace {
            let records: Vec<&Record> = self.plan.entries().map(|e| &e.record).collect();
            let metadata = small_files.pop().unwrap_or_default().1;
            new.publish_over(&records, &metadata, &self.options, &mut self.published)
        } else {
            new.publish(&mut self.published).map(|()| Vec::new())
        }
    }

    fn commit_merge(&mut self) -> Result<Vec<String>> {
        if self.plan.is_unchanged() && self.record.is_none() {
            // Rows may have been replaced in place.
            self.live.sync_all()?;
            self.clear_stage();
            return Ok(Vec::new());
        }
        let Mode::Merge(merge) = &self.mode else { return Ok(Vec::new()) };
        let limits = &self.options.limits;
        if self.record.is_none() && self.plan.only_grows() {
            return self.commit_growth();
        }
        let (mut redo, mut warnings) =
            merge.redo(self.state.hash(), &self.plan, &self.adopted, limits)?;
        self.live.sync_all()?;
        if let Some(stage) = &merge.stage
            && !sync_new_files(&mut self.unsynced, stage, &self.plan)?
        {
            stage.sync()?;
            merge.dir.sync()?;
        }
        let mut rows = None;
        let mut record = RecordWriter::new(&merge.dir);
        if let Some((writer, mut of)) = self.record.take() {
            // Rows of arrays that were saved again or removed meanwhile are gone.
            let kept: HashSet<&str> = self.plan.records().map(|r| r.data_file()).collect();
            of.retain(|file, _| kept.contains(&file[..]));
            for (_, record) in self.plan.staged() {
                of.remove(&record.data_file);
            }
            redo.rows = of;
            rows = Some(writer.patches(&HashMap::new()));
            record = writer;
        }
        if redo.metadata.is_empty()
            && self.home.is_some()
            && let Some(record) = record.in_memory(&redo, row_log::MAX, limits)?
        {
            self.commit_rows(&redo, &record)?;
            return Ok(warnings);
        }
        let spare = self.state.spare.take();
        let check = || merge.check_here(&self.state, &self.target);
        let published = &mut self.published;
        let file = commit::publish(&merge.dir, record, spare, &redo, limits, check, published)?;
        let keep = self.home.is_some() && file.len <= spare::MAX;
        let live = &self.live;
        let at_hand = AtHand {
            metadata: self.state.hashed(),
            files: Some(&|name: &str| live.opened(name)),
            keep,
        };
        let applied =
            commit::apply(&merge.dir, &merge.lock, &redo, rows.as_ref(), at_hand, limits)?;
        warnings.extend(applied);
        self.clear_stage();
        let Mode::Merge(merge) = &self.mode else { return Ok(warnings) };
        self.state.spare = keep.then_some(file);
        // The change stands, whatever comes now.
        match merge.state_after(&redo, self.state.store.path(), limits) {
            Ok((store, count)) => self.state.replace(store, &redo.removals, count),
            Err(_) => {
                self.home = None;
                if keep {
                    let _ = merge.dir.remove_file(redo::TEMPORARY);
                }
            }
        }
        Ok(warnings)
    }

    /// Rows and nothing else are replaced, few enough for the file that the handle keeps for that;
    /// `record` is all but its checksum.
    fn commit_rows(&mut self, redo: &Redo, record: &[u8]) -> Result<()> {
        let Mode::Merge(merge) = &self.mode else { return Ok(()) };
        let (dir, limits) = (&merge.dir, &self.options.limits);
        let content = row_log::encode(record, new_store::random());
        let last = self.state.log.take();
        let check = || merge.check_here(&self.state, &self.target);
        let decided = commit::publish_rows(dir, &content, last, check, &mut self.published)?;
        let source = row_log::record_of(&content);
        let rows = Patches { source, path: dir.join(row_log::FILE), of: HashMap::new() };
        let live = &self.live;
        let at_hand = AtHand {
            metadata: self.state.hashed(),
            files: Some(&|name: &str| live.opened(name)),
            keep: true,
        };
        commit::apply_rows(dir, &merge.lock, redo, &rows, at_hand, limits)?;
        let log = decided.withdraw()?;
        self.clear_stage();
        // The change stands, whatever comes now.
        let Mode::Merge(merge) = &self.mode else { return Ok(()) };
        match merge.lock.count(&merge.dir) {
            Ok(count) => {
                self.state.log = Some(log);
                self.state.replace(None, &[], count);
            }
            Err(_) => {
                self.home = None;
                let _ = merge.dir.remove_file(row_log::FILE);
            }
        }
        Ok(())
    }

    /// Arrays without dropped rows have grown: what is behind their end is nobody's until the
    /// metadata says so, and that is one file.
    fn commit_growth(&mut self) -> Result<Vec<String>> {
        let Mode::Merge(merge) = &self.mode else { return Ok(Vec::new()) };
        let changes: Vec<_> = self.plan.changed().map(|(i, e)| (i, &e.record)).collect();
        let metadata = self.state.store.metadata.with_rows(&changes)?;
        let dir = &merge.dir;
        let keep = self.home.is_some() && lease::POSSIBLE;
        let mut last = self.state.last.take();
        let mut write = || {
            let next = NextMetadata::write(dir, metadata.bytes(), last.take())?;
            self.live.sync_all()?;
            next.sync(dir)?;
            // The syncs may have taken long.
            merge.check_here(&self.state, &self.target)?;
            next.publish(dir, self.state.metadata_file(), keep)
        };
        let clear = || dir.remove_file(redo::METADATA_TEMPORARY);
        let (file, last) = match write() {
            Ok(published) => published,
            Err(e) => {
                let _ = clear();
                return Err(e);
            }
        };
        self.published = true;
        dir.sync()?;
        // The change stands, whatever comes now.
        if self.state.grown(metadata, dir, file).is_ok() {
            self.state.last = last;
        } else {
            self.home = None;
            let _ = last.map(|_| clear());
        }
        self.clear_stage();
        Ok(Vec::new())
    }

    /// Removes what was staged and is not wanted any more. If it cannot be, the next writer does it.
    fn clear_stage(&self) {
        if let Mode::Merge(merge) = &self.mode
            && merge.stage.is_some()
        {
            let _ = commit::clear_stage(&merge.dir, "");
        }
    }

    /// Gives what is known of the store to the next change of the same handle.
    pub(super) fn go_home(&mut self) {
        if let Some(home) = &self.home {
            let none = State::new(Store::absent(self.state.store.path()), 0);
            home.put(std::mem::replace(&mut self.state, none));
        }
    }
}
