//! A store that is there, while a change of it is prepared.

use crate::commit::{self, Hashed};
use crate::disk::{self, Dir, FileId};
use crate::error::{Error, Result};
use crate::folder::Generation;
use crate::limits::Limits;
use crate::lock::StoreLock;
use crate::metadata::{self, Metadata};
use crate::next_metadata::LastMetadata;
use crate::plan::{Bits, Plan};
use crate::redo::{self, Redo, sha256};
use crate::row_log::{self, RowLog};
use crate::spare::Spare;
use crate::store::Store;
use crate::{names, new_store, segments};
use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::path::{Path, PathBuf};

/// Up to so many new files are synced one by one; beyond, the file system as a whole.
const FEW: usize = 32;

/// What a writer knows of a store before it changes it: worth keeping for the next change.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) store: Store,
    /// How often rows had been replaced in place.
    count: u64,
    /// File names that are in use, without regard to case.
    pub(crate) taken: HashSet<String>,
    listed: bool,
    /// Data files that two records name.
    shared: Option<HashSet<String>>,
    /// Of the metadata.
    hash: Option<[u8; 32]>,
    /// The file of the last record, for the next one.
    pub(crate) spare: Option<Spare>,
    /// The file for replaced rows.
    pub(crate) log: Option<RowLog>,
    /// The file of the metadata before, for the next one.
    pub(crate) last: Option<LastMetadata>,
}

impl State {
    pub(crate) fn new(store: Store, count: u64) -> State {
        State {
            store,
            count,
            taken: HashSet::new(),
            listed: false,
            shared: None,
            hash: None,
            spare: None,
            log: None,
            last: None,
        }
    }

    /// Whether the folder is still in the state that was read.
    ///
    /// Rows that another writer has replaced since leave no trace but the count; that writer may
    /// not have lived to make it durable that its record is gone.
    pub(crate) fn is_of(&self, dir: &Dir, lock: &StoreLock) -> Result<bool> {
        let inspect = || Error::io("inspect", dir.path());
        let Some(folder) = self.store.folder() else { return Ok(false) };
        // One that another writer made may hold anything.
        let log = dir.id(row_log::FILE).map_err(inspect())?;
        let is_ours = |id| self.log.as_ref().is_some_and(|log| log.is(&id));
        Ok(folder.dir.same_as(dir)?
            && self.is_current(dir)?
            && lock.count(dir)? == self.count
            && log.is_none_or(is_ours)
            && dir.id(redo::STAGE).map_err(inspect())?.is_none())
    }

    /// Whether the metadata, or a record of a change, is another one now.
    pub(crate) fn is_current(&self, dir: &Dir) -> Result<bool> {
        let now = Generation::of(dir).map_err(Error::io("inspect", dir.path()))?;
        Ok(self.store.folder().is_some_and(|folder| folder.generation == now))
    }

    /// Makes `taken` complete.
    pub(crate) fn list(&mut self, dir: &Dir) -> Result<()> {
        if !self.listed {
            let names = dir.entries()?.into_iter().filter_map(|(name, _)| name);
            self.taken.extend(names.map(|n| names::fold(&n)));
            self.taken.extend(self.store.metadata.iter().map(|r| names::fold(r.data_file)));
            self.listed = true;
        }
        Ok(())
    }

    /// Whether two records name this data file.
    pub(crate) fn is_shared(&mut self, data_file: &str) -> bool {
        let metadata = &self.store.metadata;
        let shared = self.shared.get_or_insert_with(|| {
            let mut seen = HashSet::with_capacity(metadata.len());
            let files = metadata.iter().map(|r| r.data_file);
            files.filter(|f| !seen.insert(*f)).map(str::to_owned).collect()
        });
        shared.contains(data_file)
    }

    /// The SHA-256 of the metadata.
    pub(crate) fn hash(&mut self) -> [u8; 32] {
        *self.hash.get_or_insert_with(|| sha256(self.store.metadata.bytes()))
    }

    /// The metadata as it was read, if that was from a file.
    pub(crate) fn hashed(&mut self) -> Option<Hashed> {
        Some((self.metadata_file()?, self.hash()))
    }

    /// The file of the metadata as it was read, if that was from one.
    pub(crate) fn metadata_file(&self) -> Option<FileId> {
        self.store.folder()?.generation.metadata
    }

    /// Arrays without dropped rows have grown.
    pub(crate) fn grown(&mut self, metadata: Metadata, dir: &Dir, file: File) -> Result<()> {
        self.hash = None;
        self.store.grown(metadata, dir, file)
    }

    /// The store is another one now, without these files; if it is none, only rows have changed.
    pub(crate) fn replace(&mut self, store: Option<Store>, removed: &[String], count: u64) {
        self.count = count;
        if let Some(store) = store {
            // Its own metadata came under the temporary name.
            (self.store, self.hash, self.last) = (store, None, None);
        }
        for file in removed {
            self.taken.remove(&names::fold(file));
        }
    }

    /// Names were given to files that came to nothing.
    pub(crate) fn forget_names(&mut self) {
        self.taken.clear();
        self.listed = false;
    }
}

/// The store that is changed, locked.
#[derive(Debug)]
pub(crate) struct Merge {
    pub(crate) dir: Dir,
    /// Where new files wait; made when the first one comes.
    pub(crate) stage: Option<Dir>,
    pub(crate) stage_path: PathBuf,
    pub(crate) lock: StoreLock,
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
    pub(crate) fn new(dir: Dir, lock: StoreLock) -> Merge {
        let stage_path = dir.join(redo::STAGE);
        Merge { dir, stage: None, stage_path, lock }
    }

    /// The store after a change that was carried out, if more than rows changed, and the count.
    pub(crate) fn state_after(
        &self,
        redo: &Redo,
        path: &Path,
        limits: &Limits,
    ) -> Result<(Option<Store>, u64)> {
        let changed = !redo.metadata.is_empty();
        let store = changed.then(|| Store::open_with(path, limits)).transpose()?;
        Ok((store, self.lock.count(&self.dir)?))
    }

    /// Refuses to go on where somebody else has changed the store.
    pub(crate) fn check_current(&self, state: &State) -> Result<()> {
        if state.is_current(&self.dir)? {
            return Ok(());
        }
        Err(Error::Changed { file: self.dir.join(metadata::FILE) })
    }

    /// The same, or where the path leads to another store.
    pub(crate) fn check_here(&self, state: &State, path: &Path) -> Result<()> {
        if self.dir.is_here(path)? {
            return self.check_current(state);
        }
        Err(Error::Changed { file: self.dir.join(metadata::FILE) })
    }

    /// The folder of new files, made when it is first asked for.
    pub(crate) fn stage(&mut self) -> Result<&Dir> {
        if self.stage.is_none() {
            self.stage = Some(commit::make_stage(&self.dir)?);
        }
        self.stage.as_ref().ok_or_else(|| Error::Changed { file: self.dir.join(redo::STAGE) })
    }

    /// The change that makes the store on disk the one in the plan, but for replaced rows, and
    /// what the caller should be told.
    pub(crate) fn redo(
        &self,
        old: [u8; 32],
        plan: &Plan,
        adopted: &HashSet<String>,
        limits: &Limits,
    ) -> Result<(Redo, Vec<String>)> {
        let mut redo = Redo { old, ..Redo::default() };
        if plan.is_unchanged() {
            return Ok((redo, Vec::new()));
        }
        redo.metadata = metadata::encode(plan.records())?;
        commit::within(
            &self.dir.join(metadata::FILE),
            "the size of the metadata",
            redo.metadata.len(),
            limits.max_metadata_bytes,
        )?;
        if let Some(stage) = &self.stage {
            let renames = plan
                .staged()
                .map(|(staged, r)| new_store::stage_rename(stage, staged.to_owned(), &r.data_file));
            redo.renames = renames.collect::<Result<_>>()?;
        }
        self.put_bitmaps(plan, &mut redo)?;
        let warnings = self.put_removals(plan, adopted, limits, &mut redo)?;
        Ok((redo, warnings))
    }

    fn put_bitmaps(&self, plan: &Plan, redo: &mut Redo) -> Result<()> {
        let mut stale: Vec<String> = plan.dropped().filter_map(names::bitmap_file).collect();
        for e in plan.entries() {
            match (&e.bits, names::bitmap_file(&e.record.name)) {
                (Bits::New(bitmap), Some(file)) => redo.bitmaps.push((file, bitmap.encode())),
                (Bits::All, Some(file)) => stale.push(file),
                _ => {}
            }
        }
        for file in stale {
            let there = self.dir.id(&file).map_err(Error::io("inspect", self.dir.join(&file)))?;
            if there.is_some() {
                redo.stale_bitmaps.push(file);
            }
        }
        Ok(())
    }

    /// The files that go: what the old state used, or the writer adopted, and the new one does not
    /// use.
    fn put_removals(
        &self,
        plan: &Plan,
        adopted: &HashSet<String>,
        limits: &Limits,
        redo: &mut Redo,
    ) -> Result<Vec<String>> {
        let mut warnings = Vec::new();
        if plan.left().next().is_none() && adopted.is_empty() {
            return Ok(warnings);
        }
        // A file that any array of the new state uses stays, whatever else names it.
        let mut needed: HashMap<String, Vec<String>> = HashMap::new();
        let mut need = |file: String| needed.entry(names::fold(&file)).or_default().push(file);
        let mut bitmaps = HashSet::new();
        for r in plan.records() {
            need(r.data_file().to_owned());
            if r.data_file().ends_with(segments::SUFFIX) {
                self.segments(r.data_file(), limits)?.into_iter().for_each(&mut need);
            }
            bitmaps.extend(names::bitmap_file(r.name()).map(|f| names::fold(&f)));
        }
        let mut folders = HashSet::new();
        for data_file in plan.left().map(|r| r.data_file).chain(adopted.iter().map(|f| &f[..])) {
            let mut old = vec![data_file.to_owned()];
            if data_file.ends_with(segments::SUFFIX) {
                // A list that is damaged names no files; verify shows what is left.
                old.extend(self.segments(data_file, limits).unwrap_or_default());
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
        Ok(warnings)
    }

    /// The files that a segment list names.
    pub(crate) fn segments(&self, list: &str, limits: &Limits) -> Result<Vec<String>> {
        let Some(bytes) =
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
