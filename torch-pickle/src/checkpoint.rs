//! An opened checkpoint: the object, and the bytes of its tensors on request.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use crate::archive::{Archive, ByteOrder};
use crate::error::{Error, Part, Result};
use crate::record::{self, Record};
use crate::{Limits, Options, StorageId, StorageType, Tree, pickle};

/// What a compressed `data.pkl` may inflate to in any file, and for each byte of the file. Pickles
/// of torch shrink to a tenth, and their storages have headers in the same file.
const INFLATED_LEAST: u64 = 64 << 20;
const INFLATED_TIMES: u64 = 64;
/// The nodes that a compressed `data.pkl` may have in any file, besides one for each byte of the
/// file: what is not compressed cannot have more than that either.
const INFLATED_NODES: u64 = 1 << 20;
/// Most warnings kept.
const MAX_WARNINGS: usize = 100;

/// A `.pt` file, open for reading.
///
/// Opening reads the archive's directory and `data.pkl`; tensor data are read when asked for, by
/// positioned reads, so that one checkpoint serves many threads. A clone shares all of it.
///
/// ```no_run
/// use torch_pickle::{Checkpoint, Node};
///
/// let checkpoint = Checkpoint::open("model.pt")?;
/// for (name, node) in checkpoint.tree().named_tensors(1_000_000)? {
///     let Node::Tensor(id) = *checkpoint.tree().node(node) else { continue };
///     let tensor = checkpoint.tree().tensor(id);
///     println!("{name}: {} {:?}", tensor.dtype, tensor.shape);
///     let mut bytes = vec![0; tensor.nbytes().unwrap_or(0) as usize];
///     checkpoint.read_into(id, &mut bytes)?;
/// }
/// # Ok::<(), torch_pickle::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Checkpoint {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    file: File,
    archive: Archive,
    options: Options,
    tree: Tree,
    storages: Vec<Place>,
    warnings: Mutex<Vec<String>>,
    /// For each storage how the tensors that show it swap bytes; only for a big-endian archive.
    shown: OnceLock<Vec<Shown>>,
}

/// The numbers that the tensors of one storage swap.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Shown {
    Nowhere,
    As(usize),
    Mixed,
}

/// What is known about the record of a storage.
#[derive(Debug)]
struct Place {
    /// Its index in the archive.
    entry: u32,
    /// Whether its checksum was found right, or wrong and only warned about.
    checked: AtomicBool,
    /// Where its bytes start; 0, where no record's bytes can start, before the local header was
    /// checked.
    offset: AtomicU64,
}

impl Checkpoint {
    /// Opens a file with the default [`Options`].
    ///
    /// # Errors
    /// [`Error::Io`] where it cannot be read, [`Error::Unsupported`] naming what it is where it is
    /// no zip checkpoint, [`Error::Format`] where it is damaged, [`Error::Limit`] where it asks for
    /// too much.
    pub fn open(path: impl AsRef<Path>) -> Result<Checkpoint> {
        Checkpoint::open_with(path, &Options::default())
    }

    /// Opens a file.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_with(path: impl AsRef<Path>, options: &Options) -> Result<Checkpoint> {
        let path = path.as_ref();
        let failed = |e| Error::io(path, "open", None, e);
        let file = File::open(path).map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        if metadata.is_dir() {
            return Err(crate::archive::folder(path));
        }
        let mut archive = Archive::open(&file, path, metadata.len(), options.crc)?;
        let mut warnings = std::mem::take(&mut archive.warnings);
        let tree = read_object(&file, metadata.len(), path, &archive, options, &mut warnings)?;
        let storages = find_storages(path, &archive, &tree)?;
        if archive.byte_order() == ByteOrder::Big
            && tree.storages().iter().any(|s| s.dtype == StorageType::Untyped)
        {
            warnings.push(format!(
                "{}: untyped storages of this big-endian archive are swapped by the type of their tensors; torch leaves them as they are",
                path.display()
            ));
        }
        let (path, options, warnings) = (path.to_owned(), *options, Mutex::new(warnings));
        let shown = OnceLock::new();
        let inner = Inner { path, file, archive, options, tree, storages, warnings, shown };
        Ok(Checkpoint { inner: Arc::new(inner) })
    }

    /// The object in the file.
    pub fn tree(&self) -> &Tree {
        &self.inner.tree
    }

    /// The path it was opened by.
    pub fn path(&self) -> &Path {
        &self.inner.path
    }

    /// The open file, for callers that copy ranges by the system's own means.
    pub fn file(&self) -> &File {
        &self.inner.file
    }

    /// The order of bytes in the file. What this crate hands out is always little-endian.
    pub fn byte_order(&self) -> ByteOrder {
        self.inner.archive.byte_order()
    }

    /// The archive's directory.
    pub fn archive(&self) -> &Archive {
        &self.inner.archive
    }

    /// How it was opened.
    pub fn options(&self) -> &Options {
        &self.inner.options
    }

    /// What was odd so far but no error; grows as data are read.
    pub fn warnings(&self) -> Vec<String> {
        self.inner.warnings.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn warn(&self, warning: Option<String>) {
        let Some(warning) = warning else { return };
        let mut all = self.inner.warnings.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() < MAX_WARNINGS && !all.contains(&warning) {
            all.push(warning);
        }
    }

    /// Where the bytes of a storage lie in the file, once its local header was compared with the
    /// central directory.
    ///
    /// The length agrees with the storage's number of elements. Bytes of a compressed record, or in
    /// a big-endian archive, are not yet what [`read_storage_into`](Self::read_storage_into) gives.
    ///
    /// # Errors
    /// [`Error::Format`] where the local header contradicts the directory.
    ///
    /// # Panics
    /// On an id of another tree that is out of range here, as all functions that take one.
    pub fn storage_record(&self, id: StorageId) -> Result<Record> {
        let place = &self.inner.storages[id.0 as usize];
        let archive = &self.inner.archive;
        match place.offset.load(Ordering::Relaxed) {
            0 => {
                let record = archive.record(&self.inner.file, &self.inner.path, place.entry)?;
                place.offset.store(record.offset, Ordering::Relaxed);
                Ok(record)
            }
            offset => Ok(archive.record_at(place.entry, offset)),
        }
    }

    /// How the tensors that show a storage swap bytes.
    pub(crate) fn shown(&self, id: StorageId) -> Shown {
        let all = self.inner.shown.get_or_init(|| {
            let mut all = vec![Shown::Nowhere; self.tree().storages().len()];
            for tensor in self.tree().tensors() {
                let place = &mut all[tensor.storage.0 as usize];
                let own = Shown::As(tensor.dtype.swap_size());
                *place = if *place == Shown::Nowhere || *place == own { own } else { Shown::Mixed };
            }
            all
        });
        all[id.0 as usize]
    }

    /// The name of the record of a storage.
    pub(crate) fn record_name(&self, id: StorageId) -> &str {
        self.inner.archive.entry(self.inner.storages[id.0 as usize].entry).name
    }

    pub(crate) fn is_checked(&self, id: StorageId) -> bool {
        self.inner.storages[id.0 as usize].checked.load(Ordering::Relaxed)
    }

    pub(crate) fn set_checked(&self, id: StorageId) {
        self.inner.storages[id.0 as usize].checked.store(true, Ordering::Relaxed);
    }
}

fn read_object(
    file: &File,
    file_len: u64,
    path: &Path,
    archive: &Archive,
    options: &Options,
    warnings: &mut Vec<String>,
) -> Result<Tree> {
    let missing = || Error::format(path, Part::File, None, "no record data.pkl");
    let index = archive.find("data.pkl").ok_or_else(missing)?;
    let record = archive.record(file, path, index)?;
    let name = archive.entry(index).name;
    let limits = allowed(options, &record, file_len);
    let most = limits.max_pickle_bytes;
    if record.len > most {
        let part = Part::Record(name.into());
        return Err(Error::limit(path, part, "max_pickle_bytes", record.len, most, "bytes"));
    }
    let (bytes, warning) = record::read_all(file, path, name, &record, options.crc)?;
    warnings.extend(warning);
    pickle::load(&bytes, &limits, path, name)
}

/// The limits for a `data.pkl`: a compressed one may cost what its file justifies, where the caller
/// has not chosen otherwise.
fn allowed(options: &Options, record: &Record, file_len: u64) -> Limits {
    let (mut limits, defaults) = (options.limits, Limits::default());
    if record.compressed && limits.max_pickle_bytes == defaults.max_pickle_bytes {
        let most = INFLATED_TIMES.saturating_mul(file_len).saturating_add(INFLATED_LEAST);
        limits.max_pickle_bytes = limits.max_pickle_bytes.min(most);
    }
    if record.compressed && limits.max_nodes == defaults.max_nodes {
        limits.max_nodes = limits.max_nodes.min(file_len.saturating_add(INFLATED_NODES));
    }
    limits
}

/// Finds the record of each storage and compares its length.
fn find_storages(path: &Path, archive: &Archive, tree: &Tree) -> Result<Vec<Place>> {
    let mut hint = 0;
    let mut scratch = Vec::new();
    let mut places = Vec::with_capacity(tree.storages().len());
    for storage in tree.storages() {
        let key = &storage.key;
        let Some(entry) = archive.find_storage(key, hint, &mut scratch) else {
            let problem =
                format!("no record {}/data/{key}, which a tensor shows", archive.prefix());
            return Err(Error::format(path, Part::File, None, problem));
        };
        hint = entry + 1;
        if storage.nbytes() != Some(archive.extent(entry).len) {
            let found = archive.entry(entry);
            let expected = match storage.nbytes() {
                Some(n) => format!("{n} bytes"),
                None => "more bytes than 64 bits count".into(),
            };
            return Err(Error::format(
                path,
                Part::Record(found.name.into()),
                found.offset,
                format!(
                    "it has {} bytes, and {} elements of {} bytes are {expected}",
                    found.len,
                    storage.numel,
                    storage.dtype.item_size()
                ),
            ));
        }
        places.push(Place { entry, checked: AtomicBool::new(false), offset: AtomicU64::new(0) });
    }
    Ok(places)
}
