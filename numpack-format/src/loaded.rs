//! Reading what counts: the metadata, with a committed change applied in memory.

use crate::disk::{Dir, FileId};
use crate::error::{Error, Result};
use crate::folder::{Folder, Generation};
use crate::limits::Limits;
use crate::metadata::{self, Metadata};
use crate::overlay::Overlay;
use crate::redo::{self, Redo, sha256};
use std::fs::File;
use std::sync::Arc;

/// A state of a store, but for the files of its arrays.
pub(crate) struct Loaded {
    pub(crate) metadata: Metadata,
    /// The change, and the file that holds new rows.
    pub(crate) redo: Option<(Redo, Arc<File>)>,
    pub(crate) warnings: Vec<String>,
    /// Whether a redo record was found that no longer applies.
    pub(crate) ignored: bool,
    files: (File, Option<Arc<File>>),
    generation: Generation,
}

impl Loaded {
    pub(crate) fn read(dir: &Dir, limits: &Limits) -> Result<Loaded> {
        let record = Redo::read(dir, limits)?;
        let path = dir.join(metadata::FILE);
        let found =
            dir.read(metadata::FILE, "the size of the metadata", limits.max_metadata_bytes)?;
        let Some((file, mut bytes)) = found else {
            return Err(Error::NotAStore {
                path: dir.path().to_owned(),
                problem: "it holds no metadata.npkm",
            });
        };
        let generation = Generation {
            metadata: Some(FileId::of(&file).map_err(Error::io("inspect", &path))?),
            redo: record.as_ref().map(|(_, id, _)| *id),
        };
        let (mut redo, mut redo_file, mut warnings, mut ignored) = (None, None, Vec::new(), false);
        if let Some((f, _, r)) = record {
            redo_file = Some(f.clone());
            let is_new = !r.metadata.is_empty() && r.metadata == bytes;
            if is_new || r.old == sha256(&bytes) {
                if !r.metadata.is_empty() {
                    bytes.clone_from(&r.metadata);
                }
                redo = Some((r, f));
            } else {
                ignored = true;
                warnings.push(format!("{} is ignored: another program has rewritten {} since; the next writer discards it", dir.join(redo::FILE).display(), metadata::FILE));
            }
        }
        let metadata = Metadata::parse(bytes, &path, limits)?;
        if let Some((redo, _)) = &redo {
            redo.check_targets(&metadata, &dir.join(redo::FILE))?;
        }
        Ok(Loaded { metadata, redo, warnings, ignored, files: (file, redo_file), generation })
    }

    /// What the change puts in the place of files, and the folder in this state.
    pub(crate) fn split(self, dir: Dir) -> (Metadata, Overlay, Folder, Vec<String>) {
        let overlay = match self.redo {
            Some((redo, file)) => Overlay::new(&dir, redo, file),
            None => Overlay::default(),
        };
        let folder = Folder::new(dir, self.files, self.generation);
        (self.metadata, overlay, folder, self.warnings)
    }
}
