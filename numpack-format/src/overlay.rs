//! A committed change, seen before it is carried out.

use crate::bitmap::Bitmap;
use crate::disk::{Dir, Kind};
use crate::error::Result;
use crate::limits::Limits;
use crate::metadata::RecordRef;
use crate::names;
use crate::patches::{Patches, Source};
use crate::redo::Redo;
use crate::row_log;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// What a committed change puts in the place of files.
#[derive(Debug, Default)]
pub(crate) struct Overlay {
    /// Data files that wait in the stage: final name, staged name.
    pub(crate) staged: HashMap<String, String>,
    written: HashMap<String, Vec<u8>>,
    removed: HashSet<String>,
    /// Files that go when the change is applied.
    pub(crate) leaving: HashSet<String>,
    /// New bytes of rows.
    pub(crate) rows: Option<Arc<Patches>>,
    /// Whether they may have taken their place since without a trace but the count.
    pub(crate) passing: bool,
}

impl Overlay {
    /// `record` is the name of the file that the change was found in.
    pub(crate) fn new(dir: &Dir, redo: Redo, source: Source, record: &str) -> Overlay {
        let leaving = redo.removals.iter().chain(&redo.stale_bitmaps).cloned().collect();
        let rows = (!redo.rows.is_empty())
            .then(|| Arc::new(Patches { source, path: dir.join(record), of: redo.rows }));
        Overlay {
            staged: redo.renames.into_iter().map(|r| (r.target, r.staged)).collect(),
            written: redo.bitmaps.into_iter().collect(),
            removed: redo.stale_bitmaps.into_iter().collect(),
            leaving,
            rows,
            passing: record == row_log::FILE,
        }
    }

    /// Whether the change puts a file there.
    pub(crate) fn writes(&self, file: &str) -> bool {
        self.written.contains_key(file)
    }

    /// The bitmap of an array, `None` if it has none.
    pub(crate) fn bitmap(
        &self,
        dir: &Dir,
        record: &RecordRef<'_>,
        limits: &Limits,
    ) -> Result<Option<Bitmap>> {
        let Some(file) = names::bitmap_file(record.name).filter(|_| record.has_rows()) else {
            return Ok(None);
        };
        let rows = record.rows();
        if let Some(bytes) = self.written.get(&file[..]) {
            return Bitmap::parse(bytes, rows, &dir.join(&file)).map(Some);
        }
        if self.removed.contains(&file[..]) {
            return Ok(None);
        }
        let Some(bytes) = dir.read(&file, "the size of the bitmap", limits.max_bitmap_bytes)?
        else {
            return Ok(None);
        };
        Bitmap::parse(&bytes, rows, &dir.join(&file)).map(Some)
    }

    /// The names of all bitmaps that may be there.
    pub(crate) fn bitmap_files(&self, dir: &Dir) -> Result<HashSet<String>> {
        let there = dir.entries_where(|name| name.ends_with(b".npkb"))?.into_iter();
        let names = there.filter(|(_, kind)| *kind != Kind::Folder).filter_map(|(name, _)| name);
        Ok(names.chain(self.written.keys().cloned()).collect())
    }
}
