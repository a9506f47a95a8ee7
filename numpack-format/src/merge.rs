//! A store that is there, while a change of it is prepared.

use crate::commit;
use crate::disk::{self, Dir};
use crate::error::{Error, Result};
use crate::limits::Limits;
use crate::lock::StoreLock;
use crate::metadata::{self, Record};
use crate::plan::Plan;
use crate::redo::{self, Redo};
use crate::{names, new_store, segments};
use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::path::PathBuf;

/// Up to so many new files are synced one by one; beyond, the file system as a whole.
const FEW: usize = 32;

/// The state that is changed.
#[derive(Debug)]
pub(crate) struct Merge {
    pub(crate) dir: Dir,
    /// Where new files wait; made when the first one comes.
    pub(crate) stage: Option<Dir>,
    pub(crate) stage_path: PathBuf,
    pub(crate) base: HashMap<String, Record>,
    /// Data files that two records name.
    pub(crate) shared: HashSet<String>,
    pub(crate) metadata: [u8; 32],
    pub(crate) _lock: StoreLock,
}

/// New files whose bytes may not be on the disk yet.
#[derive(Debug, Default)]
pub(crate) struct Unsynced {
    count: usize,
    few: Vec<(PathBuf, File)>,
}

impl Unsynced {
    /// Remembers a new file. Few are kept open; of many, none.
    pub(crate) fn add(&mut self, path: PathBuf, file: File) {
        self.count += 1;
        if self.count <= FEW {
            self.few.push((path, file));
        } else {
            self.few.clear();
        }
    }
}

/// Makes new files durable: one by one if they are few, else with all else on the file system;
/// then `true`, and their folder and what else is in it are durable too.
pub(crate) fn sync_new_files(unsynced: &mut Unsynced, dir: &Dir, plan: &Plan) -> Result<bool> {
    if unsynced.count <= FEW {
        for (path, file) in unsynced.few.drain(..) {
            disk::sync_file(&file, &path)?;
        }
        return Ok(false);
    }
    if dir.sync_file_system()? {
        return Ok(true);
    }
    for (staged, record) in plan.staged() {
        let path = dir.join(staged);
        let missing = || Error::Changed { file: path.clone() };
        let (file, _) =
            dir.open_file(staged)?.ok_or_else(missing).map_err(|e| e.in_array(&record.name))?;
        disk::sync_file(&file, &path)?;
    }
    Ok(false)
}

impl Merge {
    /// The folder of new files, made when it is first asked for.
    pub(crate) fn stage(&mut self) -> Result<&Dir> {
        if self.stage.is_none() {
            self.stage = Some(commit::make_stage(&self.dir)?);
        }
        self.stage.as_ref().ok_or_else(|| Error::Changed { file: self.dir.join(redo::STAGE) })
    }

    /// The change that makes the store on disk the one in the plan, and what the caller should be
    /// told.
    pub(crate) fn redo(&self, plan: &Plan, limits: &Limits) -> Result<(Redo, Vec<String>)> {
        let mut warnings = Vec::new();
        let metadata = metadata::encode(plan.records())?;
        commit::within(
            &self.dir.join(metadata::FILE),
            "the size of the metadata",
            metadata.len(),
            limits.max_metadata_bytes,
        )?;
        let mut redo = Redo { old: self.metadata, metadata, ..Redo::default() };
        if let Some(stage) = &self.stage {
            let renames = plan
                .staged()
                .map(|(staged, r)| new_store::stage_rename(stage, staged.to_owned(), &r.data_file));
            redo.renames = renames.collect::<Result<_>>()?;
        }
        let there: HashSet<String> =
            self.dir.entries()?.into_iter().filter_map(|(name, _)| name).collect();
        for name in plan.touched() {
            redo.stale_bitmaps.extend(names::bitmap_file(name).filter(|f| there.contains(f)));
        }
        // A file that any array of the new state uses stays, whatever else names it.
        let mut needed: HashMap<String, Vec<String>> = HashMap::new();
        let mut need = |file: String| needed.entry(names::fold(&file)).or_default().push(file);
        for r in plan.records() {
            need(r.data_file.clone());
            if r.data_file.ends_with(segments::SUFFIX) {
                self.segments(&r.data_file, limits)?.into_iter().for_each(&mut need);
            }
        }
        let bitmaps: HashSet<String> = plan
            .records()
            .filter_map(|r| names::bitmap_file(&r.name))
            .map(|f| names::fold(&f))
            .collect();
        let mut folders = HashSet::new();
        for r in self.base.values() {
            let kept = plan.get(&r.name).is_some_and(|e| e.staged.is_none());
            if kept {
                continue;
            }
            let mut old = vec![r.data_file.clone()];
            if r.data_file.ends_with(segments::SUFFIX) {
                // A list that is damaged names no files; verify shows what is left.
                old.extend(self.segments(&r.data_file, limits).unwrap_or_default());
            }
            for file in old {
                let folded = names::fold(&file);
                let kept = new_store::names_one_of(&self.dir, &file, needed.get(&folded))?;
                if kept || bitmaps.contains(&folded) {
                    continue;
                }
                if !redo::is_removable(&file) {
                    warnings.push(format!(
                        "{} is no longer needed, but lies where no other program puts one, and is left",
                        self.dir.join(&file).display()
                    ));
                    continue;
                }
                if let Some((folder, _)) = file.split_once('/') {
                    folders.insert(folder.to_owned());
                }
                redo.removals.push(file);
            }
        }
        redo.removals.sort();
        redo.removals.dedup();
        redo.folders = folders.into_iter().collect();
        redo.folders.sort();
        Ok((redo, warnings))
    }

    fn segments(&self, list: &str, limits: &Limits) -> Result<Vec<String>> {
        let Some((_, bytes)) =
            self.dir.read(list, "the size of a segment list", limits.max_segment_list_bytes)?
        else {
            return Ok(Vec::new());
        };
        Ok(segments::parse_unchecked(&bytes, &self.dir.join(list))?
            .into_iter()
            .map(|s| s.file)
            .collect())
    }
}
