//! An opened checkpoint: the object, and the bytes of its tensors on request.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::archive::{Archive, ByteOrder};
use crate::error::{Error, Part, Result};
use crate::record::{self, Record};
use crate::{Options, StorageId, StorageType, Tree, pickle};

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
        let tree = read_object(&file, path, &archive, options, &mut warnings)?;
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
        let inner = Inner { path, file, archive, options, tree, storages, warnings };
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
    path: &Path,
    archive: &Archive,
    options: &Options,
    warnings: &mut Vec<String>,
) -> Result<Tree> {
    let missing = || Error::format(path, Part::File, None, "no record data.pkl");
    let index = archive.find("data.pkl").ok_or_else(missing)?;
    let record = archive.record(file, path, index)?;
    let name = archive.entry(index).name;
    let most = options.limits.max_pickle_bytes;
    if record.len > most {
        let part = Part::Record(name.into());
        return Err(Error::limit(path, part, "max_pickle_bytes", record.len, most, "bytes"));
    }
    let (bytes, warning) = record::read_all(file, path, name, &record, options.crc)?;
    warnings.extend(warning);
    pickle::load(&bytes, &options.limits, path, name)
}

/// Finds the record of each storage and compares its length.
fn find_storages(path: &Path, archive: &Archive, tree: &Tree) -> Result<Vec<Place>> {
    let mut hint = 0;
    let mut places = Vec::with_capacity(tree.storages().len());
    for storage in tree.storages() {
        let key = &storage.key;
        let Some(entry) = archive.find_storage(key, hint) else {
            let problem =
                format!("no record {}/data/{key}, which a tensor shows", archive.prefix());
            return Err(Error::format(path, Part::File, None, problem));
        };
        hint = entry + 1;
        let found = archive.entry(entry);
        if storage.nbytes() != Some(found.len) {
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
