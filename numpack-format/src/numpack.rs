//! A handle on a store through which each change is durable when it returns.

use crate::array::Array;
use crate::disk::Dir;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::merge::State;
use crate::rows::Rows;
use crate::spare;
use crate::store::Store;
use crate::view::View;
use crate::writer::{Writer, WriterOptions};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A store, open for reading and writing.
///
/// Each call is one commit: when it returns `Ok`, the change is on the disk for good; if it
/// returns an error, or the process ends in the middle, the store is as before or as after. Many
/// changes in one commit cost less, and are all or nothing: [`begin`](NumPack::begin).
///
/// The store is locked only while a call, or a [`Writer`], changes it, so many processes and
/// threads can have handles; a second writer waits. Never change a store through its handle while
/// the same thread has a writer of it: the call would wait for ever.
///
/// A handle that has changed the store keeps small files there: `libnumpack.rows` if it has
/// replaced rows, `libnumpack.redo.tmp` after other changes, and if it has appended to a store of
/// many arrays the metadata as they were before, `libnumpack.meta.tmp`. Its next change needs them,
/// and they go with it.
///
/// A handle may be used by several threads. In a forked child it refuses to change anything: open
/// the store anew there. After a sync that failed it refuses too, for what the system has dropped
/// then cannot be known: [`Error::Poisoned`].
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("m.npk");
/// use numpack_format::{DType, NumPack, Rows, View};
///
/// let npk = NumPack::create(&path)?;
/// npk.save(&[("ids", View::new(DType::U8, &[3], &[1, 2, 3]))])?;
/// npk.append(&[("ids", View::new(DType::U8, &[2], &[4, 5]))])?;
/// npk.drop_rows("ids", &Rows::from(..2))?;
///
/// let ids = npk.array("ids")?;
/// let mut bytes = vec![0; ids.nbytes() as usize];
/// ids.read_into(&mut bytes)?;
/// assert_eq!(bytes, [3, 4, 5]);
///
/// // Two changes, both or none.
/// let mut writer = npk.begin()?;
/// writer.rename_array("ids", "old")?;
/// writer.save("ids", &View::new(DType::U8, &[1], &[9]))?;
/// writer.commit()?;
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct NumPack {
    path: PathBuf,
    options: WriterOptions,
    pid: u32,
    home: Home,
    seen: Mutex<Option<Arc<Store>>>,
}

/// What a handle keeps from one change to the next.
#[derive(Clone, Debug, Default)]
pub(crate) struct Home(Arc<Kept>);

#[derive(Debug)]
struct Kept {
    state: Mutex<Option<State>>,
    poisoned: AtomicBool,
    pid: u32,
}

impl Default for Kept {
    fn default() -> Kept {
        Kept {
            state: Mutex::default(),
            poisoned: AtomicBool::new(false),
            pid: crate::process::id(),
        }
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        // A forked child has a copy, of which the original may be in use.
        if self.pid != crate::process::id() {
            return;
        }
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(state) = state
            && let Some(folder) = state.store.folder()
        {
            let (record, last, rows) = (&state.spare, &state.last, &state.log);
            spare::remove(&folder.dir, record.as_ref(), last.as_ref(), rows.as_ref());
        }
    }
}

impl Home {
    pub(crate) fn take(&self) -> Option<State> {
        lock(&self.0.state).take()
    }

    /// The folder of the store, if it is known.
    pub(crate) fn dir(&self) -> Option<Dir> {
        lock(&self.0.state).as_ref()?.store.folder().map(|folder| folder.dir.clone())
    }

    pub(crate) fn put(&self, state: State) {
        *lock(&self.0.state) = Some(state);
    }

    pub(crate) fn poison(&self) {
        self.0.poisoned.store(true, Ordering::Relaxed);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
impl NumPack {
    /// As if this were a copy in a forked child.
    pub(crate) fn pretend_forked(&mut self) {
        self.pid ^= 1 << 30;
        if let Some(kept) = Arc::get_mut(&mut self.home.0) {
            kept.pid = self.pid;
        }
    }
}

impl NumPack {
    /// Opens the store at a path, which must be there.
    pub fn open(path: impl AsRef<Path>) -> Result<NumPack> {
        NumPack::open_with(path, &WriterOptions::default())
    }

    /// The same, with options.
    pub fn open_with(path: impl AsRef<Path>, options: &WriterOptions) -> Result<NumPack> {
        let path = path.as_ref();
        let store = Store::open_with(path, &options.limits)?;
        // A relative path is one from the folder the process is in now.
        let path = crate::new_store::resolve(path)?;
        Ok(NumPack {
            path,
            options: options.clone(),
            pid: crate::process::id(),
            home: Home::default(),
            seen: Mutex::new(Some(Arc::new(store))),
        })
    }

    /// Makes a new store without arrays, and opens it. The path must not exist, or be an empty
    /// folder.
    pub fn create(path: impl AsRef<Path>) -> Result<NumPack> {
        NumPack::create_with(path, &WriterOptions::default())
    }

    /// The same, with options.
    pub fn create_with(path: impl AsRef<Path>, options: &WriterOptions) -> Result<NumPack> {
        let path = path.as_ref();
        Writer::create_with(path, options)?.commit()?;
        NumPack::open_with(path, options)
    }

    /// Opens the store at a path, and makes it first if there is nothing.
    pub fn open_or_create(path: impl AsRef<Path>, options: &WriterOptions) -> Result<NumPack> {
        let path = path.as_ref();
        match Writer::create_with(path, options).and_then(Writer::commit) {
            // Another process may have been faster.
            Ok(()) | Err(Error::Exists { .. }) => NumPack::open_with(path, options),
            Err(e) => Err(e),
        }
    }

    /// Where the store is, as an absolute path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The store as it is now, whole.
    pub fn store(&self) -> Result<Arc<Store>> {
        let mut seen = lock(&self.seen);
        if let Some(store) = seen.as_ref()
            && store.is_latest()?
        {
            return Ok(store.clone());
        }
        let store = Arc::new(Store::open_with(&self.path, &self.options.limits)?);
        *seen = Some(store.clone());
        Ok(store)
    }

    /// The same, with what [`arrays`](Store::arrays) gives: that then succeeds whatever becomes of
    /// the store.
    pub fn listed(&self) -> Result<Arc<Store>> {
        // Not the one that was seen last: the public package changes bitmaps and nothing else.
        let store = Arc::new(Store::open_listed_with(&self.path, &self.options.limits)?);
        *lock(&self.seen) = Some(store.clone());
        Ok(store)
    }

    /// Opens an array for reading, as it is now.
    pub fn array(&self, name: &str) -> Result<Array> {
        loop {
            let store = self.store()?;
            match store.array(name) {
                // It has been changed since: look again.
                Err(Error::Changed { .. }) if !store.is_latest()? => {}
                array => return array,
            }
        }
    }

    /// Locks the store for changes that will be one commit. Drop the writer to give them up.
    pub fn begin(&self) -> Result<Writer> {
        self.begin_with(&self.options)
    }

    /// The same, with other options than the handle's.
    pub fn begin_with(&self, options: &WriterOptions) -> Result<Writer> {
        if self.pid != crate::process::id() {
            return Err(Error::Forked { path: self.path.clone() });
        }
        if self.home.0.poisoned.load(Ordering::Relaxed) {
            return Err(Error::Poisoned { path: self.path.clone() });
        }
        // It finishes what an earlier writer left, and syncs that.
        Writer::open_from(&self.path, options, Some(&self.home)).inspect_err(|e| {
            if e.is_failed_sync() {
                self.home.poison();
            }
        })
    }

    fn commit<T>(&self, change: impl FnOnce(&mut Writer) -> Result<T>) -> Result<T> {
        let mut writer = self.begin()?;
        let changed = change(&mut writer)?;
        writer.commit()?;
        Ok(changed)
    }

    /// Writes arrays, each in the place of one of its name, whatever that one's type and shape.
    pub fn save(&self, arrays: &[(&str, View<'_>)]) -> Result<()> {
        self.commit(|w| arrays.iter().try_for_each(|(name, view)| w.save(name, view)))
    }

    /// Adds rows to arrays; see [`Writer::append`].
    pub fn append(&self, rows: &[(&str, View<'_>)]) -> Result<()> {
        self.commit(|w| w.append(rows))
    }

    /// Replaces rows of an array; see [`Writer::replace_rows`].
    pub fn replace_rows(&self, name: &str, rows: &Rows<'_>, view: &View<'_>) -> Result<()> {
        self.commit(|w| w.replace_rows(name, rows, view))
    }

    /// Drops rows of an array, and says how many; see [`Writer::drop_rows`].
    pub fn drop_rows(&self, name: &str, rows: &Rows<'_>) -> Result<u64> {
        self.commit(|w| w.drop_rows(name, rows))
    }

    /// Takes arrays out of the store, all or none.
    pub fn remove_arrays(&self, names: &[&str]) -> Result<()> {
        self.commit(|w| names.iter().try_for_each(|name| w.remove_array(name)))
    }

    /// Gives an array another name, which must be free.
    pub fn rename_array(&self, from: &str, to: &str) -> Result<()> {
        self.commit(|w| w.rename_array(from, to))
    }

    /// Copies an array to another name, which must be free. Dropped rows are not copied.
    pub fn clone_array(&self, from: &str, to: &str) -> Result<()> {
        self.commit(|w| w.clone_array(from, to))
    }

    /// Makes an array of a data file that no record names; see [`Writer::adopt_array`].
    pub fn adopt_array(&self, name: &str, file: &str, dtype: DType, row: &[u64]) -> Result<u64> {
        self.commit(|w| w.adopt_array(name, file, dtype, row))
    }

    /// Frees the room of an array's dropped rows, and puts its segments together. Says how many
    /// rows went.
    pub fn compact_array(&self, name: &str) -> Result<u64> {
        self.commit(|w| w.compact_array(name))
    }

    /// The same for all arrays.
    pub fn compact(&self) -> Result<u64> {
        self.commit(Writer::compact)
    }

    /// Takes all arrays out of the store, and the side information.
    pub fn reset(&self) -> Result<()> {
        self.commit(|w| {
            w.clear();
            Ok(())
        })
    }
}
