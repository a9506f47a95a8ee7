//! A committed change, seen before it is carried out.

use crate::bitmap::Bitmap;
use crate::disk::{Dir, Kind};
use crate::error::Result;
use crate::limits::Limits;
use crate::metadata::Record;
use crate::names;
use crate::redo::Redo;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// Up to so many arrays, each bitmap is looked for by itself; beyond, the folder is listed.
const FEW: usize = 16;

/// What a committed change puts in the place of files.
pub(crate) struct Overlay<'a> {
    pub(crate) staged: HashMap<String, String>,
    written: HashMap<&'a str, &'a [u8]>,
    removed: HashSet<&'a str>,
    /// Files that go when the change is applied.
    pub(crate) leaving: HashSet<&'a str>,
}

impl<'a> Overlay<'a> {
    pub(crate) fn new(redo: Option<&'a Redo>) -> Overlay<'a> {
        let mut overlay = Overlay {
            staged: HashMap::new(),
            written: HashMap::new(),
            removed: HashSet::new(),
            leaving: HashSet::new(),
        };
        if let Some(redo) = redo {
            overlay.staged =
                redo.renames.iter().map(|r| (r.target.clone(), r.staged.clone())).collect();
            overlay.written =
                redo.bitmaps.iter().map(|(name, bytes)| (&name[..], &bytes[..])).collect();
            overlay.removed = redo.stale_bitmaps.iter().map(|n| &n[..]).collect();
            overlay.leaving =
                redo.removals.iter().chain(&redo.stale_bitmaps).map(|n| &n[..]).collect();
        }
        overlay
    }

    /// The bitmap of an array, `None` if it has none.
    pub(crate) fn bitmap(
        &self,
        dir: &Dir,
        record: &Record,
        limits: &Limits,
    ) -> Result<Option<Bitmap>> {
        let (Some(&rows), Some(file)) = (record.shape.first(), names::bitmap_file(&record.name))
        else {
            return Ok(None);
        };
        if let Some(bytes) = self.written.get(&file[..]) {
            return Bitmap::parse(bytes, rows, &dir.join(&file)).map(Some);
        }
        if self.removed.contains(&file[..]) {
            return Ok(None);
        }
        let Some((_, bytes)) =
            dir.read(&file, "the size of the bitmap", limits.max_bitmap_bytes)?
        else {
            return Ok(None);
        };
        Bitmap::parse(&bytes, rows, &dir.join(&file)).map(Some)
    }

    pub(crate) fn bitmaps(
        &self,
        dir: &Dir,
        records: &[Record],
        limits: &Limits,
    ) -> Result<HashMap<usize, Arc<Bitmap>>> {
        let mut out = HashMap::new();
        let mut listed: Option<HashSet<String>> = None;
        if records.len() > FEW {
            let bitmaps = dir.entries_where(|name| name.ends_with(b".npkb"))?.into_iter();
            let names =
                bitmaps.filter(|(_, kind)| *kind != Kind::Folder).filter_map(|(name, _)| name);
            listed = Some(names.chain(self.written.keys().map(|k| (*k).to_owned())).collect());
            if listed.as_ref().is_some_and(HashSet::is_empty) {
                return Ok(out);
            }
        }
        for (i, r) in records.iter().enumerate() {
            let there = listed
                .as_ref()
                .is_none_or(|l| names::bitmap_file(&r.name).is_some_and(|f| l.contains(&f)));
            if there
                && let Some(bitmap) =
                    self.bitmap(dir, r, limits).map_err(|e| e.in_array(&r.name))?
            {
                out.insert(i, Arc::new(bitmap));
            }
        }
        Ok(out)
    }
}
