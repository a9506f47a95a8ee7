//! Writing a store: everything since the writer was made becomes visible in one commit.

use crate::array_writer::ArrayWriter;
use crate::commit;
use crate::disk::Dir;
use crate::dtype::{DType, byte_size};
use crate::error::{Error, Result};
use crate::limits::Limits;
use crate::lock::StoreLock;
use crate::merge::{Merge, Unsynced};
use crate::metadata::{self, Record};
use crate::names;
use crate::new_store::{self, NewStore, Place};
use crate::plan::{Entry, Plan};
use crate::redo;
use crate::side::{self, SideInfo};
use crate::store::{self, Loaded, Store};
use crate::strided::Strided;
use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

mod finish;

/// How a writer behaves.
#[derive(Clone, Debug)]
pub struct WriterOptions {
    /// Whether to wait for another writer of the same store. If not, it is
    /// [`Error::Locked`]. Default: wait.
    pub wait: bool,
    /// Bounds on what an existing store may ask for, and on what is written.
    pub limits: Limits,
}

impl Default for WriterOptions {
    fn default() -> WriterOptions {
        WriterOptions { wait: true, limits: Limits::default() }
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
/// use numpack_format::{DType, Store, Writer};
///
/// let mut writer = Writer::create(&path)?;
/// writer.save("w", DType::U8, &[2, 2], &[2, 1], &[1, 2, 3, 4], 0)?;
/// writer.commit()?;
///
/// let mut writer = Writer::open(&path)?;
/// // The same numbers transposed: the strides change places.
/// writer.save("w.T", DType::U8, &[2, 2], &[1, 2], &[1, 2, 3, 4], 0)?;
/// writer.commit()?;
///
/// let store = Store::open(&path)?;
/// let mut bytes = [0; 4];
/// store.array("w.T")?.read_into(&mut bytes)?;
/// assert_eq!(bytes, [1, 3, 2, 4]);
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Writer {
    target: PathBuf,
    options: WriterOptions,
    store: Store,
    pid: u32,
    mode: Mode,
    plan: Plan,
    /// File names that are in use, without regard to case.
    taken: HashSet<String>,
    side: Option<Option<SideInfo>>,
    unsynced: Unsynced,
    /// New files that could not be removed at once.
    discarded: Vec<String>,
    serial: u64,
    /// Tells this writer's staged files from those of any other.
    random: u64,
    /// The next choice of a file name to try, by the first one without regard to case.
    choices: HashMap<String, u32>,
    warnings: Vec<String>,
    /// Whether the commit is decided: what is on disk then belongs to the store.
    published: bool,
    pub(crate) buffer: Vec<u8>,
}

#[derive(Debug)]
enum Mode {
    New { new: NewStore, replace: bool },
    Merge(Box<Merge>),
}

impl Writer {
    /// A new store. The path must not exist, or be an empty folder.
    pub fn create(path: impl AsRef<Path>) -> Result<Writer> {
        let path = path.as_ref();
        let target = new_store::resolve(path)?;
        match new_store::place(&target)? {
            Place::Nothing | Place::EmptyFolder => {
                Writer::begin_new(path, target, false, WriterOptions::default())
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
        let new = NewStore::begin(&target)?;
        Ok(Writer::new(
            target,
            options,
            Store::absent(path),
            Mode::New { new, replace },
            Plan::default(),
        ))
    }

    /// A change of an existing store. Waits for another writer, then finishes what one that died
    /// left behind.
    pub fn open(path: impl AsRef<Path>) -> Result<Writer> {
        Writer::open_with(path, &WriterOptions::default())
    }

    /// The same, with options.
    pub fn open_with(path: impl AsRef<Path>, options: &WriterOptions) -> Result<Writer> {
        let path = path.as_ref();
        // Before the lock file is made: a folder that is no store gets none.
        loop {
            let dir = store::open_folder(path)?;
            if dir.id(metadata::FILE).map_err(Error::io("inspect", path))?.is_some() {
                break;
            }
            // An old store that was replaced meanwhile loses its files.
            if dir.is_here(path)? {
                return Err(Error::NotAStore {
                    path: path.to_owned(),
                    problem: "it holds no metadata.npkm",
                });
            }
        }
        let target = new_store::resolve(path)?;
        new_store::clear_siblings(&target);
        let (mut dir, lock) = StoreLock::acquire(&target, options.wait)?;
        dir.like = dir.access_of(metadata::FILE)?;
        let warnings = commit::recover(&dir, &options.limits)?;
        let mut store = Store::open_with(&target, &options.limits)?;
        // What could be read with other limits, or by a newer version, is not to be lost.
        if let Some(e @ (Error::Unsupported { .. } | Error::Limit { .. })) = store.side_error() {
            return Err(e);
        }
        let loaded = Loaded::read(&dir, &options.limits)?;
        let mut base = HashMap::with_capacity(loaded.records.len());
        let mut taken: HashSet<String> = dir
            .entries()?
            .into_iter()
            .filter_map(|(name, _)| name)
            .map(|n| names::fold(&n))
            .collect();
        let (mut seen, mut shared) = (HashSet::new(), HashSet::new());
        for r in &loaded.records {
            taken.insert(names::fold(&r.data_file));
            if !seen.insert(&r.data_file) {
                shared.insert(r.data_file.clone());
            }
            base.insert(r.name.clone(), r.clone());
        }
        let merge = Merge {
            stage: None,
            stage_path: dir.join(redo::STAGE),
            dir,
            base,
            shared,
            metadata: loaded.on_disk(),
            _lock: lock,
        };
        let plan = Plan::keep(loaded.records.iter().cloned());
        let mut writer =
            Writer::new(target, options.clone(), store, Mode::Merge(Box::new(merge)), plan);
        (writer.taken, writer.warnings) = (taken, warnings);
        Ok(writer)
    }

    fn new(
        target: PathBuf,
        options: WriterOptions,
        store: Store,
        mode: Mode,
        plan: Plan,
    ) -> Writer {
        Writer {
            target,
            options,
            store,
            pid: std::process::id(),
            mode,
            plan,
            taken: HashSet::new(),
            side: None,
            unsynced: Unsynced::default(),
            discarded: Vec::new(),
            serial: 0,
            random: new_store::random(),
            choices: HashMap::new(),
            warnings: Vec::new(),
            published: false,
            buffer: Vec::new(),
        }
    }

    /// The store as it is without this change; without arrays for a new one.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// What the caller should be told so far.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Begins an array, or the replacement of the one of that name. The shape needs at least one
    /// dimension; [`save`](Writer::save) takes 0-d arrays too.
    pub fn begin_array(
        &mut self,
        name: &str,
        dtype: DType,
        shape: &[u64],
    ) -> Result<ArrayWriter<'_>> {
        if name == side::ARRAY_NAME {
            return Err(Error::parameter(
                Some(name),
                "the name is reserved for side information; choose another",
            ));
        }
        if shape.is_empty() {
            return Err(Error::parameter(
                Some(name),
                "a 0-d shape has no rows; save the array with shape [1], or with save",
            ));
        }
        self.begin(name, dtype, shape, false)
    }

    fn begin(
        &mut self,
        name: &str,
        dtype: DType,
        shape: &[u64],
        scalar: bool,
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
        let Some(size_bytes) = byte_size(dtype, shape) else {
            return Err(Error::parameter(
                Some(name),
                format!("the shape {shape:?} of {dtype} exceeds 64 bits"),
            ));
        };
        let (data_file, claimed) = self.choose_file(name);
        let (dir, staged) = match &mut self.mode {
            Mode::New { new, .. } => (&new.dir, data_file.clone()),
            Mode::Merge(merge) => {
                self.serial += 1;
                let (pid, random, n) = (self.pid, self.random, self.serial);
                (merge.stage()?, format!("{pid}-{random:016x}-{n}{}", commit::NEW))
            }
        };
        let file = dir.create_new(&staged).map_err(|e| e.in_array(name))?;
        if claimed {
            self.taken.insert(names::fold(&data_file));
        }
        let modified_micros = self.now(name);
        let record = Record {
            name: name.to_owned(),
            dtype,
            shape: shape.to_vec(),
            data_file,
            modified_micros,
            size_bytes,
        };
        Ok(ArrayWriter::new(self, file, record, staged, claimed, scalar))
    }

    /// The time, but later than the last change of the array, so that the two can be told apart.
    fn now(&self, name: &str) -> i64 {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |d| i64::try_from(d.as_micros()).unwrap_or(i64::MAX));
        let base = match &self.mode {
            Mode::New { .. } => None,
            Mode::Merge(merge) => merge.base.get(name).map(|r| r.modified_micros),
        };
        base.map_or(now, |b| now.max(b.saturating_add(1)))
    }

    /// A data file for an array, and whether its name was free rather than the array's own.
    fn choose_file(&mut self, name: &str) -> (String, bool) {
        let own = match &self.mode {
            Mode::New { .. } => None,
            Mode::Merge(merge) => {
                merge.base.get(name).map(|r| &r.data_file).filter(|f| !merge.shared.contains(*f))
            }
        };
        let own = own.and_then(|f| names::choice(name, f));
        let first = names::data_file(name, 0);
        // The first is free as a rule; else all up to the last one given are taken.
        if own != Some(0) && !self.taken.contains(&names::fold(&first)) {
            return (first, true);
        }
        let key = names::fold(&first);
        let mut n = self.choices.get(&key).copied().unwrap_or(0);
        if let Some(own) = own.filter(|&own| own <= n) {
            return (names::data_file(name, own), false);
        }
        loop {
            let file = names::data_file(name, n);
            if own == Some(n) {
                return (file, false);
            }
            if !self.taken.contains(&names::fold(&file)) {
                self.choices.insert(key, n + 1);
                return (file, true);
            }
            n += 1;
        }
    }

    /// The name of an array's data file is free again.
    fn release(&mut self, name: &str, data_file: &str) {
        self.taken.remove(&names::fold(data_file));
        if let (Some(n), Some(next)) = (
            names::choice(name, data_file),
            self.choices.get_mut(&names::fold(&names::data_file(name, 0))),
        ) {
            *next = n.min(*next);
        }
    }

    /// Writes a whole array from memory: element `[i, j, …]` is at byte `offset` +
    /// `i * strides[0] + j * strides[1] + …` of `data`. Strides may be negative or 0; every element
    /// must lie in `data`.
    ///
    /// A shape without dimensions is stored as `[1]`, with a note in the side information.
    pub fn save(
        &mut self,
        name: &str,
        dtype: DType,
        shape: &[u64],
        strides: &[isize],
        data: &[u8],
        offset: usize,
    ) -> Result<()> {
        if name == side::ARRAY_NAME {
            return Err(Error::parameter(
                Some(name),
                "the name is reserved for side information; choose another",
            ));
        }
        let strided = Strided::new(data, dtype.size(), shape, strides, offset)
            .map_err(|problem| Error::parameter(Some(name), problem))?;
        let scalar = shape.is_empty();
        let mut array = self.begin(name, dtype, if scalar { &[1] } else { shape }, scalar)?;
        let file = array.writer_path();
        strided.for_each(|bytes| array.write_all(bytes).map_err(Error::io("write", &file)))?;
        array.finish()
    }

    /// Takes an array out of the store. A note on it that an object refers to stays in its place,
    /// and says so.
    pub fn remove_array(&mut self, name: &str) -> Result<()> {
        self.check_process()?;
        let missing =
            || Error::NoArray { path: self.store.path().to_owned(), name: name.to_owned() };
        if name == side::ARRAY_NAME {
            return Err(Error::parameter(
                Some(name),
                "the name is reserved for side information; use set_side",
            ));
        }
        let entry = self.plan.remove(name);
        self.discard(entry.ok_or_else(missing)?);
        Ok(())
    }

    /// Takes all arrays out of the store, and the side information.
    pub fn clear(&mut self) {
        for entry in self.plan.clear() {
            self.discard(entry);
        }
        self.side = Some(None);
    }

    /// Removes the new file of an entry that is no longer wanted.
    fn discard(&mut self, entry: Entry) {
        let Some(staged) = entry.staged else { return };
        if self.pid != std::process::id() {
            return;
        }
        let own = match &self.mode {
            Mode::New { .. } => false,
            Mode::Merge(merge) => merge
                .base
                .get(&entry.record.name)
                .is_some_and(|r| r.data_file == entry.record.data_file),
        };
        self.abandon(&entry.record, &staged, !own);
    }

    /// Gives the whole side information, in place of what there is; `None` and an empty one remove
    /// it. The commit checks it against the arrays.
    pub fn set_side(&mut self, side: Option<SideInfo>) {
        self.side = Some(side);
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
        if self.pid == std::process::id() {
            Ok(())
        } else {
            Err(Error::Forked { path: self.store.path().to_owned() })
        }
    }

    /// Takes a finished array into the plan.
    pub(crate) fn place(
        &mut self,
        mut record: Record,
        mut staged: String,
        file: File,
        scalar: bool,
    ) -> Result<()> {
        let earlier = self
            .plan
            .get(&record.name)
            .and_then(|e| Some((e.staged.clone()?, e.record.data_file.clone())));
        if let Some((old, data_file)) = earlier {
            // Saved twice in one commit: the later one counts, under the name of the earlier.
            let placed = match (&self.mode, self.new_files()) {
                (Mode::New { .. }, Some(dir)) => dir.rename(&staged, dir, &old).map(|()| Some(old)),
                (_, Some(dir)) => dir.remove_file(&old).map(|()| None),
                (_, None) => Ok(None),
            };
            match placed {
                Ok(name) => staged = name.unwrap_or(staged),
                Err(e) => {
                    self.abandon(&record, &staged, record.data_file != data_file);
                    return Err(e);
                }
            }
            if record.data_file != data_file {
                self.release(&record.name, &record.data_file);
                record.data_file = data_file;
            }
        }
        let path = self.new_file_path(&staged);
        self.unsynced.add(path, file);
        self.plan.put(Entry { record, staged: Some(staged), scalar });
        Ok(())
    }

    /// Removes the file of an array that came to nothing.
    pub(crate) fn abandon(&mut self, record: &Record, staged: &str, claimed: bool) {
        if self.pid != std::process::id() {
            return;
        }
        if self.new_files().is_some_and(|d| d.remove_file(staged).is_err()) {
            // Its name stays taken; the commit tries again.
            self.discarded.push(staged.to_owned());
        } else if claimed {
            self.release(&record.name, &record.data_file);
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
        if self.published || self.pid != std::process::id() {
            return;
        }
        // What cannot be removed now, the next writer removes.
        let _ = match &self.mode {
            Mode::New { new, .. } => new.remove(),
            Mode::Merge(merge) if merge.stage.is_some() => commit::clear_stage(&merge.dir, ""),
            Mode::Merge(_) => Ok(()),
        };
    }
}
