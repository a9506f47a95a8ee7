//! Changing a store: everything since the writer was made becomes visible in one commit.
//!
//! [`arrays`] has what is done to whole arrays, [`adopt`] brings back those that no record names,
//! [`rows`] has what is done to rows, [`finish`] the commit; [`files`] keeps the data files that are
//! changed in place.

mod adopt;
mod arrays;
mod files;
mod finish;
mod rows;

use crate::array::Array;
use crate::commit;
use crate::disk::Dir;
use crate::error::{Error, Result};
use crate::limits::Limits;
use crate::lock::StoreLock;
use crate::merge::{Merge, State, Unsynced};
use crate::metadata;
use crate::names;
use crate::new_store::{self, NewStore, Place};
use crate::numpack::Home;
use crate::plan::{Entry, Plan};
use crate::redo::RecordWriter;
use crate::side::SideInfo;
use crate::store::Store;
use crate::{folder, patches::Runs};
use files::LiveFiles;
pub(crate) use rows::Mappable;
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

/// How a writer behaves.
#[derive(Clone, Debug)]
pub struct WriterOptions {
    /// Whether to wait for another writer of the same store. If not, it is
    /// [`Error::Locked`]. Default: wait.
    pub wait: bool,
    /// Whether [`replace_rows`](Writer::replace_rows) writes to the rows' place at once.
    ///
    /// By default the new rows wait in a record, and take their place when the commit is decided:
    /// all or none. With this, a program that ends before the commit leaves some of the rows
    /// replaced, a power loss may leave parts of rows, readers may see the change half-done, and
    /// dropping the writer does not take it back. Everything else still waits for the commit.
    /// Default: no.
    pub in_place: bool,
    /// Bounds on what an existing store may ask for, and on what is written.
    pub limits: Limits,
}

impl Default for WriterOptions {
    fn default() -> WriterOptions {
        WriterOptions { wait: true, in_place: false, limits: Limits::default() }
    }
}

/// Changes a store, or makes a new one, in one commit.
///
/// Nothing is visible until [`commit`](Writer::commit) returns, and then all of it is, and
/// survives a power loss. Dropped without commit, a writer leaves no trace. There is one writer of
/// a store at a time; a second one waits, also in the same process.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("m.npk");
/// use numpack_format::{DType, Rows, Store, View, Writer};
///
/// let mut writer = Writer::create(&path)?;
/// writer.save("w", &View::new(DType::U8, &[2, 2], &[1, 2, 3, 4]))?;
/// writer.commit()?;
///
/// let mut writer = Writer::open(&path)?;
/// writer.append(&[("w", View::new(DType::U8, &[1, 2], &[5, 6]))])?;
/// writer.replace_rows("w", &Rows::Index(-1), &View::new(DType::U8, &[1, 2], &[7, 8]))?;
/// writer.drop_rows("w", &Rows::List(&[0]))?;
/// writer.commit()?;
///
/// let mut bytes = [0; 4];
/// Store::open(&path)?.array("w")?.read_into(&mut bytes)?;
/// assert_eq!(bytes, [3, 4, 7, 8]);
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Writer {
    target: PathBuf,
    options: WriterOptions,
    pid: u32,
    mode: Mode,
    plan: Plan,
    state: State,
    live: LiveFiles,
    /// New rows that wait, and the record they wait in.
    record: Option<(RecordWriter, HashMap<String, Runs>)>,
    side: Option<Option<SideInfo>>,
    unsynced: Unsynced,
    /// New files that could not be removed at once.
    discarded: Vec<String>,
    /// Data files that were adopted: the commit leaves them as they are, or removes them.
    adopted: HashSet<String>,
    serial: u64,
    /// Tells this writer's staged files from those of any other.
    random: u64,
    /// The next choice of a file name to try, by the first one without regard to case.
    choices: HashMap<String, u32>,
    warnings: Vec<String>,
    /// Whether a change failed half-way, so that what is there is none the caller asked for.
    broken: bool,
    /// Whether readers have been told that rows change in place.
    counted: bool,
    /// Whether the commit is decided: what is on disk then belongs to the store.
    published: bool,
    pub(crate) buffer: Vec<u8>,
    /// Where the state goes when the writer is done with it.
    home: Option<Home>,
}

#[derive(Debug)]
enum Mode {
    New { new: Box<NewStore>, replace: bool },
    Merge(Box<Merge>),
}

impl Writer {
    /// A new store. The path must not exist, or be an empty folder.
    pub fn create(path: impl AsRef<Path>) -> Result<Writer> {
        Writer::create_with(path, &WriterOptions::default())
    }

    /// The same, with options: their limits are those of what is written.
    pub fn create_with(path: impl AsRef<Path>, options: &WriterOptions) -> Result<Writer> {
        let path = path.as_ref();
        let target = new_store::resolve(path)?;
        match new_store::place(&target)? {
            Place::Nothing | Place::EmptyFolder => {
                Writer::begin_new(path, target, false, options.clone())
            }
            Place::Store | Place::Other(_) => Err(Error::Exists { path: path.to_owned() }),
        }
    }

    /// A new store that takes the place of the one at the path, damaged or not, or is created.
    /// Anything but a store, a path that does not exist or an empty folder is refused.
    ///
    /// The old store stays until the commit, which exchanges the two at once. Files in it that are
    /// none of a store's are kept beside the new one; see
    /// [`commit_with_warnings`](Writer::commit_with_warnings).
    pub fn replace(path: impl AsRef<Path>) -> Result<Writer> {
        Writer::replace_with(path, &WriterOptions::default())
    }

    /// The same, with options: they say whether the commit waits for another writer.
    pub fn replace_with(path: impl AsRef<Path>, options: &WriterOptions) -> Result<Writer> {
        let path = path.as_ref();
        let target = new_store::resolve(path)?;
        match new_store::place(&target)? {
            Place::Nothing | Place::EmptyFolder | Place::Store => {
                Writer::begin_new(path, target, true, options.clone())
            }
            Place::Other(problem) => Err(Error::NotAStore { path: path.to_owned(), problem }),
        }
    }

    fn begin_new(
        path: &Path,
        target: PathBuf,
        replace: bool,
        options: WriterOptions,
    ) -> Result<Writer> {
        new_store::clear_siblings(&target);
        let new = Box::new(NewStore::begin(&target)?);
        let state = State::new(Store::absent(path), 0);
        Ok(Writer::new(target, options, state, Mode::New { new, replace }))
    }

    /// A change of an existing store. Waits for another writer, then finishes what one that died
    /// left behind.
    pub fn open(path: impl AsRef<Path>) -> Result<Writer> {
        Writer::open_with(path, &WriterOptions::default())
    }

    /// The same, with options.
    pub fn open_with(path: impl AsRef<Path>, options: &WriterOptions) -> Result<Writer> {
        Writer::open_from(path.as_ref(), options, None)
    }

    /// The same, with what was known of the store after an earlier change, if that is still so.
    pub(crate) fn open_from(
        path: &Path,
        options: &WriterOptions,
        home: Option<&Home>,
    ) -> Result<Writer> {
        let (target, dir) = match home.and_then(Home::dir) {
            // The handle's path was resolved when it was opened.
            Some(dir) => (path.to_owned(), Some(dir)),
            None => {
                let there = |e| folder::open(path).and(Err(e));
                (new_store::resolve(path).or_else(there)?, None)
            }
        };
        if dir.is_none() {
            new_store::clear_siblings(&target);
        }
        let locked = StoreLock::acquire(&target, options.wait, dir);
        let (dir, lock) = locked.map_err(|e| match e {
            Error::NotAStore { problem, .. } => Error::NotAStore { path: path.to_owned(), problem },
            e => e,
        })?;
        // Nobody else can put anything there now.
        let known = home.and_then(Home::take);
        let (state, warnings) = match known {
            Some(mut state) if state.is_of(&dir, &lock)? => {
                // The public package changes bitmaps and nothing else.
                state.store.forget_bitmaps();
                (state, Vec::new())
            }
            _ => {
                new_store::sync_place(&target)?;
                let warnings = commit::recover(&dir, &lock, &options.limits)?;
                let mut store = Store::open_with(&target, &options.limits)?;
                // What could be read with other limits, or by a newer version, is not to be lost.
                if let Some(e @ (Error::Unsupported { .. } | Error::Limit { .. })) =
                    store.side_error()
                {
                    return Err(e);
                }
                (State::new(store, lock.count(&dir)?), warnings)
            }
        };
        let mode = Mode::Merge(Box::new(Merge::new(dir, lock)));
        let mut writer = Writer::new(target, options.clone(), state, mode);
        writer.warnings = warnings;
        writer.home = home.cloned();
        Ok(writer)
    }

    fn new(target: PathBuf, options: WriterOptions, state: State, mode: Mode) -> Writer {
        let plan = Plan::keep(state.store.metadata.clone(), state.store.index.clone());
        Writer {
            target,
            options,
            pid: crate::process::id(),
            mode,
            plan,
            state,
            live: LiveFiles::default(),
            record: None,
            side: None,
            unsynced: Unsynced::default(),
            discarded: Vec::new(),
            adopted: HashSet::new(),
            serial: 0,
            random: new_store::random(),
            choices: HashMap::new(),
            warnings: Vec::new(),
            broken: false,
            counted: false,
            published: false,
            buffer: Vec::new(),
            home: None,
        }
    }

    /// The store as it is without this change; without arrays for a new one.
    pub fn store(&self) -> &Store {
        &self.state.store
    }

    /// The names of the arrays as they will be after the commit, in order, without the one that
    /// holds the side information.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.plan.records().map(|r| r.name()).filter(|n| *n != crate::side::ARRAY_NAME)
    }

    /// An array as it will be after the commit, with the changes so far. Later changes may or may
    /// not show in it.
    pub fn array(&self, name: &str) -> Result<Array> {
        self.check_process()?;
        self.open_pending(name)
    }

    /// What the caller should be told so far.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Gives the whole side information, in place of what there is; `None` and an empty one remove
    /// it. The commit checks it against the arrays.
    pub fn set_side(&mut self, side: Option<SideInfo>) {
        self.side = Some(side);
    }

    /// A sync has failed: the handle is good for nothing more.
    pub(crate) fn poison(&self) {
        if let Some(home) = &self.home {
            home.poison();
        }
    }

    fn missing(&self, name: &str) -> Error {
        Error::NoArray { path: self.state.store.path().to_owned(), name: name.to_owned() }
    }

    /// The folder of new files, if it is there.
    fn new_files(&self) -> Option<&Dir> {
        match &self.mode {
            Mode::New { new, .. } => Some(&new.dir),
            Mode::Merge(merge) => merge.stage.as_ref(),
        }
    }

    /// Where that folder is.
    pub(crate) fn new_files_path(&self) -> &Path {
        match &self.mode {
            Mode::New { new, .. } => new.dir.path(),
            Mode::Merge(merge) => &merge.stage_path,
        }
    }

    pub(crate) fn new_file_path(&self, staged: &str) -> PathBuf {
        self.new_files_path().join(staged)
    }

    /// A forked child has a copy of this writer, but not its lock.
    pub(crate) fn check_process(&self) -> Result<()> {
        if self.pid == crate::process::id() {
            Ok(())
        } else {
            Err(Error::Forked { path: self.state.store.path().to_owned() })
        }
    }

    /// Removes the new file of an entry that is no longer wanted.
    fn discard(&mut self, entry: Entry) {
        let Some(staged) = entry.staged else { return };
        if self.pid != crate::process::id() {
            return;
        }
        let own = self.own_file(&entry.record.name).is_some_and(|f| f == entry.record.data_file);
        self.abandon(&entry.record, &staged, !own);
    }

    /// The data file an array has in the store.
    fn own_file(&self, name: &str) -> Option<&str> {
        let store = &self.state.store;
        store.position(name).map(|i| store.metadata.get(i).data_file)
    }

    /// Removes the file of an array that came to nothing.
    pub(crate) fn abandon(&mut self, record: &metadata::Record, staged: &str, claimed: bool) {
        if self.pid != crate::process::id() {
            return;
        }
        self.live.forget(staged);
        if self.new_files().is_some_and(|d| d.remove_file(staged).is_err()) {
            // Its name stays taken; the commit tries again.
            self.discarded.push(staged.to_owned());
        } else if claimed {
            self.release(&record.name, &record.data_file);
        }
    }

    /// The name of an array's data file is free again.
    fn release(&mut self, name: &str, data_file: &str) {
        self.state.taken.remove(&names::fold(data_file));
        if let (Some(n), Some(next)) = (
            names::choice(name, data_file),
            self.choices.get_mut(&names::fold(&names::data_file(name, 0))),
        ) {
            *next = n.min(*next);
        }
    }
}

#[cfg(test)]
impl Writer {
    /// As if this were a copy in a forked child.
    pub(crate) fn pretend_forked(&mut self) {
        self.pid ^= 1 << 30;
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // A sync may fail before the commit.
        if let Some(home) = self.home.as_ref().filter(|_| self.live.is_poisoned()) {
            home.poison();
        }
        if self.published || self.pid != crate::process::id() {
            return;
        }
        // What cannot be removed now, the next writer removes.
        let cleared = match &self.mode {
            Mode::New { new, .. } => new.remove(),
            Mode::Merge(merge) => {
                // Another program may have appended, and said so in the metadata.
                if self.state.is_current(&merge.dir).unwrap_or(false) {
                    self.live.take_back_all(&merge.dir);
                }
                let begun = self.record.as_ref().is_some_and(|(record, _)| record.is_begun());
                let record = begun.then(|| merge.dir.remove_file(crate::redo::TEMPORARY));
                let stage = merge.stage.as_ref().map(|_| commit::clear_stage(&merge.dir, ""));
                record.into_iter().chain(stage).collect()
            }
        };
        // The next change of the same handle finds the store as this one did.
        if cleared.is_ok() {
            self.state.forget_names();
            self.go_home();
        }
    }
}
