//! The commit of a writer.

use super::{Mode, Writer};
use crate::commit;
use crate::disk;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::merge::sync_new_files;
use crate::metadata::{self, Record};
use crate::side;
use crate::side_codec;
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
        self.write_side()?;
        for staged in std::mem::take(&mut self.discarded) {
            self.new_files().map_or(Ok(()), |d| d.remove_file(&staged))?;
        }
        let more = match self.mode {
            Mode::New { .. } => self.commit_new()?,
            Mode::Merge(_) => self.commit_merge()?,
        };
        self.warnings.extend(more);
        Ok(std::mem::take(&mut self.warnings))
    }

    /// Writes the side information as an array, where it changes.
    fn write_side(&mut self) -> Result<()> {
        let mut changed = match self.side.take() {
            Some(given) => {
                let mut given = given.unwrap_or_default();
                self.plan.add_scalars(&mut given);
                if let Some((array, problem)) = self.plan.misfit(&given) {
                    return Err(Error::parameter(
                        Some(array),
                        format!("the side information does not fit: {problem}"),
                    ));
                }
                given
            }
            None => {
                let old = self.store.side().cloned();
                if old.is_none() && self.plan.get(side::ARRAY_NAME).is_some() {
                    // It cannot be read, so it cannot be brought up to date; only 0-d arrays need that.
                    if self.plan.entries().any(|e| e.scalar) {
                        let problem = "the side information is damaged, so a 0-d array cannot be noted; set it anew, or save the array with shape [1]";
                        return Err(Error::parameter(None, problem));
                    }
                    return Ok(());
                }
                let old = old.unwrap_or_default();
                let mut new = old.clone();
                self.plan.update_notes(&mut new);
                if new == old {
                    return Ok(());
                }
                new
            }
        };
        if changed.is_empty() {
            if let Some(entry) = self.plan.remove(side::ARRAY_NAME) {
                self.discard(entry);
            }
            return Ok(());
        }
        self.plan.date_notes(&mut changed);
        let bytes = side_codec::encode(&changed)?;
        commit::within(
            &self.new_files_path().join(side::ARRAY_NAME),
            "the size of the side information",
            bytes.len(),
            self.options.limits.max_side_bytes,
        )?;
        let mut array = self.begin(side::ARRAY_NAME, DType::U8, &[bytes.len() as u64], false)?;
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
        let file = new.dir.create_new(metadata::FILE)?;
        let path = new.dir.join(metadata::FILE);
        disk::write_at(&file, &metadata, 0, &path)?;
        new.open_up()?;
        if !sync_new_files(&mut self.unsynced, &new.dir, &self.plan)? {
            disk::sync_file(&file, &path)?;
            new.dir.sync()?;
        }
        if *replace {
            let records: Vec<&Record> = self.plan.records().collect();
            new.publish_over(&records, &metadata, &self.options, &mut self.published)
        } else {
            new.publish(&mut self.published).map(|()| Vec::new())
        }
    }

    fn commit_merge(&mut self) -> Result<Vec<String>> {
        if self.plan.is_unchanged() {
            return Ok(Vec::new());
        }
        let Mode::Merge(merge) = &self.mode else { return Ok(Vec::new()) };
        let limits = &self.options.limits;
        if !merge.dir.is_here(&self.target)?
            || commit::metadata_hash(&merge.dir, limits)? != merge.metadata
        {
            return Err(Error::Changed { file: merge.dir.join(metadata::FILE) });
        }
        let (redo, mut warnings) = merge.redo(&self.plan, limits)?;
        if let Some(stage) = &merge.stage
            && !sync_new_files(&mut self.unsynced, stage, &self.plan)?
        {
            stage.sync()?;
            merge.dir.sync()?;
        }
        commit::publish(&merge.dir, &redo, limits, &mut self.published)?;
        warnings.extend(commit::apply(&merge.dir, &redo, limits)?);
        Ok(warnings)
    }
}
