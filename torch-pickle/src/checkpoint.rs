//! An opened checkpoint: the object, and the bytes of its tensors on request.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use crate::archive::{Archive, ByteOrder};
use crate::container::{self, Container, Opened};
use crate::error::{Part, Result};
use crate::place::{Data, Found, Input, Place};
use crate::record::Record;
use crate::source::Source;
use crate::{Options, StorageId, Tree};

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
    container: Container,
    options: Options,
    tree: Tree,
    inputs: Vec<Input>,
    places: Vec<Place>,
    /// For each storage what reading it has found out; made when the first one is read.
    found: OnceLock<Box<[Found]>>,
    constants: Option<Checkpoint>,
    warnings: Mutex<Vec<String>>,
    /// For each storage how the tensors that show it swap bytes; only where some are big-endian.
    shown: OnceLock<Vec<Shown>>,
}

/// The numbers that the tensors of one storage swap.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Shown {
    Nowhere,
    As(usize),
    Mixed,
}

impl Checkpoint {
    /// Opens a file, or the folder of a distributed checkpoint, with the default [`Options`].
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) where it cannot be read, [`Error::Unsupported`](crate::Error::Unsupported) naming what it is where it is
    /// no checkpoint, [`Error::Format`](crate::Error::Format) where it is damaged, [`Error::Limit`](crate::Error::Limit) where it asks for
    /// too much.
    pub fn open(path: impl AsRef<Path>) -> Result<Checkpoint> {
        Checkpoint::open_with(path, &Options::default())
    }

    /// Opens a file or folder.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_with(path: impl AsRef<Path>, options: &Options) -> Result<Checkpoint> {
        let path = path.as_ref();
        let opened = container::open(path, options)?;
        Ok(Checkpoint::new(path.to_owned(), opened, *options))
    }

    /// The archive in a part of a file.
    pub(crate) fn of_source(source: Source, options: &Options) -> Result<Checkpoint> {
        let path = source.path.clone();
        let opened = container::open_archive(source, options)?;
        Ok(Checkpoint::new(path, opened, *options))
    }

    /// A checkpoint made of an object and of one open file in which its storages lie: how files of
    /// other formats are read by the same calls. There must be one record for each storage of the
    /// tree, of its length.
    ///
    /// # Errors
    /// [`Error::Format`](crate::Error::Format) where the records do not fit the storages, or the tensors reach out of
    /// them.
    ///
    /// ```
    /// use torch_pickle::{
    ///     ByteOrder, Checkpoint, DType, Node, Options, Record, Storage, StorageType, Tensor, Tree,
    /// };
    /// # let dir = tempfile::tempdir()?;
    /// # let path = dir.path().join("numbers.raw");
    /// std::fs::write(&path, [1u8, 0, 2, 0])?;
    /// let mut tree = Tree::new();
    /// let dtype = StorageType::Typed(DType::Int16);
    /// let storage = tree.add_storage(Storage {
    ///     key: "0".into(),
    ///     dtype,
    ///     location: "cpu".into(),
    ///     numel: 2,
    /// });
    /// let tensor = tree.add_tensor(Tensor::contiguous(storage, DType::Int16, &[2]));
    /// let root = tree.add(Node::Tensor(tensor));
    /// tree.set_root(root);
    /// let file = std::fs::File::open(&path)?;
    /// let records = vec![Record::plain(0, 4, ByteOrder::Little)];
    /// let checkpoint = Checkpoint::from_parts(&path, file, tree, records, &Options::default())?;
    /// let mut bytes = [0; 4];
    /// checkpoint.read_into(tensor, &mut bytes)?;
    /// assert_eq!(bytes, [1, 0, 2, 0]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn from_parts(
        path: &Path,
        file: File,
        tree: Tree,
        records: Vec<Record>,
        options: &Options,
    ) -> Result<Checkpoint> {
        let records = records.into_iter().map(|record| (0, record)).collect();
        Checkpoint::from_files(path, vec![(path.to_owned(), file)], tree, records, options)
    }

    /// The same of several files: each record goes with the number of the file that it lies in.
    /// `path` is what the whole of them is called.
    ///
    /// # Errors
    /// As [`from_parts`](Self::from_parts).
    pub fn from_files(
        path: &Path,
        files: Vec<(PathBuf, File)>,
        tree: Tree,
        records: Vec<(u32, Record)>,
        options: &Options,
    ) -> Result<Checkpoint> {
        let opened = container::parts(path, files, tree, &records)?;
        Ok(Checkpoint::new(path.to_owned(), opened, *options))
    }

    fn new(path: PathBuf, opened: Opened, options: Options) -> Checkpoint {
        let Opened { container, tree, inputs, places, constants, warnings } = opened;
        let constants = constants.map(|c| Checkpoint::new(path.clone(), *c, options));
        let inner = Inner {
            path,
            container,
            options,
            tree,
            inputs,
            places,
            found: OnceLock::new(),
            constants,
            warnings: Mutex::new(warnings),
            shown: OnceLock::new(),
        };
        Checkpoint { inner: Arc::new(inner) }
    }

    /// The object in the file.
    pub fn tree(&self) -> &Tree {
        &self.inner.tree
    }

    /// The path it was opened by.
    pub fn path(&self) -> &Path {
        &self.inner.path
    }

    /// What kind of file it is.
    pub fn container(&self) -> Container {
        self.inner.container
    }

    /// The constants of the code in a TorchScript archive, which are no part of the module: a
    /// checkpoint of their own, a tuple.
    pub fn constants(&self) -> Option<&Checkpoint> {
        self.inner.constants.as_ref()
    }

    /// The open file in which a storage lies, for callers that copy ranges by the system's own
    /// means, and its path; `None` where the storage is put together out of pieces.
    pub fn storage_file(&self, id: StorageId) -> Option<(&File, &Path)> {
        let source = &self.inner.inputs[self.input_of(id)? as usize].source;
        Some((&source.file, &source.path))
    }

    /// The archive's directory, where the checkpoint is a single zip archive; of archives in one
    /// another that of the outermost.
    pub fn archive(&self) -> Option<&Archive> {
        match (self.inner.container, &self.inner.inputs[..]) {
            (Container::Zip | Container::TorchScript, [input])
            | (Container::Export, [input, ..]) => input.archive.as_ref(),
            _ => None,
        }
    }

    /// The order of bytes in which the numbers of its storages are stored: big-endian if any is.
    /// What this crate hands out is always little-endian.
    pub fn byte_order(&self) -> ByteOrder {
        let big = |input: &Input| {
            input.archive.as_ref().is_some_and(|a| a.byte_order() == ByteOrder::Big)
        };
        if self.inner.inputs.iter().any(big) { ByteOrder::Big } else { ByteOrder::Little }
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

    /// Where the bytes of a storage lie in [its file](Self::storage_file), once its local header
    /// was compared with the central directory; `None` where it is put together out of pieces.
    ///
    /// The length agrees with the storage's number of elements. Bytes that are compressed, or
    /// big-endian, are not yet what [`read_storage_into`](Self::read_storage_into) gives.
    ///
    /// # Errors
    /// [`Error::Format`](crate::Error::Format) where the local header contradicts the directory.
    ///
    /// # Panics
    /// On an id of another tree that is out of range here, as all functions that take one.
    pub fn storage_record(&self, id: StorageId) -> Result<Option<Record>> {
        Ok(self.data(id)?.record())
    }

    pub(crate) fn data(&self, id: StorageId) -> Result<Data<'_>> {
        self.inner.places[id.0 as usize].data(&self.inner.inputs, self.found(id))
    }

    fn found(&self, id: StorageId) -> &Found {
        let all = self
            .inner
            .found
            .get_or_init(|| self.inner.places.iter().map(|_| Found::default()).collect());
        &all[id.0 as usize]
    }

    /// Which of the files a storage lies in.
    pub(crate) fn input_of(&self, id: StorageId) -> Option<u32> {
        self.inner.places[id.0 as usize].input()
    }

    pub(crate) fn inputs(&self) -> &[Input] {
        &self.inner.inputs
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
        self.inner.places[id.0 as usize].name(&self.inner.inputs)
    }

    /// The file that a storage is in, for messages.
    pub(crate) fn record_path(&self, id: StorageId) -> &Path {
        self.storage_file(id).map_or(&self.inner.path, |(_, path)| path)
    }

    /// An error about the record of a storage.
    pub(crate) fn record_part(&self, id: StorageId) -> Part {
        Part::Record(self.record_name(id).into())
    }

    pub(crate) fn is_checked(&self, id: StorageId) -> bool {
        self.found(id).is_checked()
    }

    pub(crate) fn set_checked(&self, id: StorageId) {
        self.found(id).set_checked();
    }
}
