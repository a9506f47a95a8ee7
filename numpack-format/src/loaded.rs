//! Reading what counts: the metadata, with a committed change applied in memory.

use crate::disk::Dir;
use crate::error::{Error, Result};
use crate::folder::{self, Counted, Folder, Generation};
use crate::limits::Limits;
use crate::metadata::{self, Metadata};
use crate::overlay::Overlay;
use crate::patches::Source;
use crate::redo::{self, Redo, sha256};
use crate::row_log::{self, Waiting};
use std::fs::File;
use std::sync::Arc;

/// A state of a store, but for the files of its arrays.
pub(crate) struct Loaded {
    pub(crate) metadata: Metadata,
    /// The change, where its new rows wait, and the name of the file that it was found in.
    pub(crate) redo: Option<(Redo, Source, &'static str)>,
    pub(crate) warnings: Vec<String>,
    /// Whether a redo record was found that no longer applies.
    pub(crate) ignored: bool,
    files: (File, Option<Arc<File>>),
    generation: Generation,
    counted: Counted,
}

impl Loaded {
    pub(crate) fn read(dir: &Dir, limits: &Limits) -> Result<Loaded> {
        // In this order: rows are counted when their record is in its place, and no other one comes
        // before theirs is withdrawn, or is made of it before that goes.
        let counted = folder::counted(dir)?;
        let waiting = row_log::read(dir, limits)?;
        let record = Redo::read(dir, limits)?;
        let path = dir.join(metadata::FILE);
        let what = "the size of the metadata";
        let found = dir.read_and_keep(metadata::FILE, what, limits.max_metadata_bytes)?;
        let Some((file, id, mut bytes)) = found else {
            return Err(Error::NotAStore {
                path: dir.path().to_owned(),
                problem: "it holds no metadata.npkm",
            });
        };
        let generation =
            Generation { metadata: Some(id), redo: record.as_ref().map(|(_, id, _)| *id) };
        let (mut redo, mut redo_file, mut warnings, mut ignored) = (None, None, Vec::new(), false);
        if let Some((f, _, r)) = record {
            redo_file = Some(f.clone());
            let is_new = !r.metadata.is_empty() && r.metadata == bytes;
            if is_new || r.old == sha256(&bytes) {
                if !r.metadata.is_empty() {
                    bytes.clone_from(&r.metadata);
                }
                redo = Some((r, Source::File(f), redo::FILE));
            } else {
                ignored = true;
                warnings.push(ignores(dir, redo::FILE));
            }
        } else if let Some(Waiting { redo: r, record }) = waiting {
            if r.old == sha256(&bytes) {
                redo = Some((r, record, row_log::FILE));
            } else if row_log::read(dir, limits)?.is_some_and(|now| now.redo == r) {
                warnings.push(ignores(dir, row_log::FILE));
            } else {
                // It was carried out, and then the metadata changed.
                return Err(Error::Changed { file: dir.join(row_log::FILE) });
            }
        }
        let metadata = Metadata::parse(bytes, &path, limits)?;
        if let Some((redo, _, name)) = &redo {
            redo.check_targets(&metadata, &dir.join(name))?;
        }
        let files = (file, redo_file);
        Ok(Loaded { metadata, redo, warnings, ignored, files, generation, counted })
    }

    /// What the change puts in the place of files, and the folder in this state.
    pub(crate) fn split(self, dir: Dir) -> (Metadata, Overlay, Folder, Vec<String>) {
        let overlay = match self.redo {
            Some((redo, source, name)) => Overlay::new(&dir, redo, source, name),
            None => Overlay::default(),
        };
        let folder = Folder::new(dir, self.files, self.generation, self.counted);
        (self.metadata, overlay, folder, self.warnings)
    }
}

fn ignores(dir: &Dir, record: &str) -> String {
    format!(
        "{} is ignored: another program has rewritten {} since; the next writer discards it",
        dir.join(record).display(),
        metadata::FILE
    )
}
