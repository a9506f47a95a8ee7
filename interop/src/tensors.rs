//! A checkpoint, one of its neighbours, a store or a package, listed and read by the same calls.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use numpack_format::{Package, Store};
use sha2::{Digest, Sha256};
use torch_pickle::{
    Checkpoint, CrcPolicy, DType, Dims, Node, NodeId, PrintOptions, Printed, StorageId, Tensor,
    TensorClass, TensorId, Text, Tree, ZipFile,
};

use crate::neighbours::{self, Metadata};
use crate::store_tree::{StoreTree, logical};
use crate::stored::Stored;
use crate::{Error, Result};

/// Bytes handed on at a time.
pub(crate) const CHUNK: usize = 1 << 20;
/// More names than this are not listed: a file can describe far more than it holds.
pub(crate) const MAX_NAMES: usize = 1_000_000;

/// The kinds of file.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Format {
    /// A checkpoint of torch, in whatever it is stored: see [`torch_pickle::Container`].
    Torch,
    /// A NumPack store.
    NumPack,
    /// A `.npkg` package: a store in one file.
    Package,
    /// A `.safetensors` file, or the index of several.
    SafeTensors,
    /// A `.npy` file: one array of NumPy's.
    Npy,
    /// A `.npz` archive of such files.
    Npz,
}

/// How much of a file is looked at to say what it is: the first record of a zip archive, up to
/// its name.
const HEAD: u64 = 1024;

impl Format {
    /// The kind of an existing file, by its content: a folder is a store, or a
    /// distributed checkpoint if it has a `.metadata`; a file that begins with `NPKG` is a
    /// package; a zip archive of `.npy` files without a pickle is an `.npz` file. Anything else
    /// is what its suffix says, if that is one of the neighbours of `.pt`, or for the
    /// checkpoint's reader to recognise or to name.
    ///
    /// # Errors
    /// When there is nothing at `path`, or a folder of another kind.
    pub fn of_file(path: impl AsRef<Path>) -> Result<Format> {
        let path = path.as_ref();
        let metadata = path.metadata().map_err(|e| Error::io(path, "open", e))?;
        if metadata.is_file() {
            let mut head = Vec::new();
            let read = File::open(path).and_then(|f| f.take(HEAD).read_to_end(&mut head));
            read.map_err(|e| Error::io(path, "read", e))?;
            return Ok(Format::of_head(path, &head));
        }
        if !metadata.is_dir() {
            return Ok(Format::Torch);
        }
        if path.join(".metadata").is_file() {
            return Ok(Format::Torch);
        }
        // The store's reader says best what is missing.
        Ok(Format::NumPack)
    }

    fn of_head(path: &Path, head: &[u8]) -> Format {
        if head.starts_with(b"NPKG") {
            return Format::Package;
        }
        if head.starts_with(b"\x93NUMPY") {
            return Format::Npy;
        }
        if head.starts_with(b"PK\x05\x06") {
            // Torch writes no empty archive.
            return Format::Npz;
        }
        if head.starts_with(b"PK\x03\x04") {
            return if is_npz(path, head) { Format::Npz } else { Format::Torch };
        }
        let name = path.file_name().map(|n| n.to_string_lossy()).unwrap_or_default();
        if name.ends_with(neighbours::INDEX) {
            return Format::SafeTensors;
        }
        // The length of a header, which is far below 4 GiB, and the header.
        if head.get(4..8) == Some(&[0; 4]) && head.get(8) == Some(&b'{') {
            return Format::SafeTensors;
        }
        let first = head.first().copied().unwrap_or(0);
        let pickle = first == 0x80 && head.get(1).is_some_and(|v| (1..=5).contains(v));
        match neighbours::suffix(path).as_str() {
            _ if pickle => Format::Torch,
            "safetensors" => Format::SafeTensors,
            "npy" => Format::Npy,
            "npz" => Format::Npz,
            _ => Format::Torch,
        }
    }

    /// What the suffix of an output asks for: `.npk` a store, `.npkg` a package, `.safetensors`,
    /// `.npy` and `.npz` what they say, and `.pt`, `.pth`, `.bin` and `.ckpt` a checkpoint; `None`
    /// for any other.
    ///
    /// ```
    /// use numpack_interop::Format;
    /// assert_eq!(Format::of_suffix("weights/model.PTH"), Some(Format::Torch));
    /// assert_eq!(Format::of_suffix("model"), None);
    /// ```
    pub fn of_suffix(path: impl AsRef<Path>) -> Option<Format> {
        Some(match neighbours::suffix(path.as_ref()).as_str() {
            "pt" | "pth" | "bin" | "ckpt" => Format::Torch,
            "npk" => Format::NumPack,
            "npkg" => Format::Package,
            "safetensors" => Format::SafeTensors,
            "npy" => Format::Npy,
            "npz" => Format::Npz,
            _ => return None,
        })
    }

    /// Whether it is one of the neighbours of `.pt`.
    pub(crate) fn is_neighbour(self) -> bool {
        matches!(self, Format::SafeTensors | Format::Npy | Format::Npz)
    }

    /// `pt`, `npk`, `npkg`, `safetensors`, `npy` or `npz`.
    pub fn name(self) -> &'static str {
        match self {
            Format::SafeTensors => "safetensors",
            Format::Npy => "npy",
            Format::Npz => "npz",
            Format::Torch => "pt",
            Format::NumPack => "npk",
            Format::Package => "npkg",
        }
    }
}

/// What is known of a tensor without reading it.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct TensorInfo {
    /// The dotted path; empty for a tensor that is the whole object.
    pub name: Text,
    /// Element type; shown, and by its `name`, in torch's words.
    pub dtype: DType,
    /// Logical shape; empty for a 0-d tensor.
    pub shape: Dims,
    /// Step of each dimension in its storage, in elements.
    pub stride: Dims,
    /// First element in its storage, in elements.
    pub offset: u64,
    /// Which storage it shows; tensors with the same number share memory.
    pub storage: u32,
    /// Bytes of that storage.
    pub storage_nbytes: u64,
    /// Bytes of the elements in C order.
    pub nbytes: u64,
    /// Whether autograd tracks it.
    pub requires_grad: bool,
    /// Whether it is a `torch.nn.Parameter`.
    pub parameter: bool,
    /// Which tensor of the [tree](Tensors::tree) it is; under several names it is the same.
    pub id: TensorId,
}

/// A file with tensors in it, open for reading.
pub struct Tensors {
    path: PathBuf,
    format: Format,
    pub(crate) source: Source,
    metadata: Metadata,
    /// What looked odd before the source was there to say it.
    warnings: Vec<String>,
    /// A checkpoint's files as memory, once a tensor was mapped.
    map: Mutex<Option<Arc<torch_pickle::Map>>>,
}

pub(crate) enum Source {
    Torch(Box<Checkpoint>),
    Stored(Box<StoreTree>),
}

impl Tensors {
    /// Opens a checkpoint, a `.safetensors`, `.npy` or `.npz` file, a store or a package, told
    /// apart by content.
    ///
    /// # Errors
    /// When it is none of them, or cannot be read.
    pub fn open(path: impl AsRef<Path>) -> Result<Tensors> {
        Tensors::open_with(path, CrcPolicy::default())
    }

    /// The same, and says what to do about a checkpoint's checksums.
    ///
    /// # Errors
    /// As [`open`](Tensors::open).
    pub fn open_with(path: impl AsRef<Path>, crc: CrcPolicy) -> Result<Tensors> {
        let path = path.as_ref();
        let format = Format::of_file(path)?;
        let (mut metadata, mut warnings) = (Metadata::new(), Vec::new());
        let source = match format {
            Format::NumPack | Format::Package => {
                Source::Stored(Box::new(StoreTree::new(Stored::open(path, format)?)?))
            }
            _ => {
                let opened = neighbours::open(path, format, crc)?;
                (metadata, warnings) = (opened.metadata, opened.warnings);
                Source::Torch(Box::new(opened.checkpoint))
            }
        };
        let (path, map) = (path.to_owned(), Mutex::default());
        Ok(Tensors { path, format, source, metadata, warnings, map })
    }

    /// The path it was opened by.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What kind of file it is.
    pub fn format(&self) -> Format {
        self.format
    }

    /// What is said of the file as a whole besides its tensors: the `__metadata__` of a
    /// `.safetensors` file.
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        &self.metadata
    }

    /// The checkpoint, where it is one, or what one of its neighbours looks like as one.
    pub fn checkpoint(&self) -> Option<&Checkpoint> {
        match &self.source {
            Source::Torch(checkpoint) => Some(checkpoint),
            Source::Stored(_) => None,
        }
    }

    /// The store, where it is one.
    pub fn store(&self) -> Option<&Store> {
        match &self.source {
            Source::Stored(source) => match &source.store {
                Stored::Store(store) => Some(store),
                Stored::Package(_) => None,
            },
            Source::Torch(_) => None,
        }
    }

    /// The package, where it is one.
    pub fn package(&self) -> Option<&Package> {
        match &self.source {
            Source::Stored(source) => match &source.store {
                Stored::Package(package) => Some(package),
                Stored::Store(_) => None,
            },
            Source::Torch(_) => None,
        }
    }

    /// The object the tensors are part of.
    pub fn tree(&self) -> &Tree {
        match &self.source {
            Source::Torch(checkpoint) => checkpoint.tree(),
            Source::Stored(source) => &source.tree,
        }
    }

    /// The object as text, or what stands at a path in it: see [`Tree::print`].
    ///
    /// ```no_run
    /// use numpack_interop::{PrintOptions, Tensors};
    /// let file = Tensors::open("model.pt")?;
    /// println!("{}", file.print("optimizer", &PrintOptions::new().depth(2))?);
    /// # Ok::<(), numpack_interop::Error>(())
    /// ```
    ///
    /// # Errors
    /// When there is nothing at the path; the message says what there is.
    pub fn print(&self, path: &str, options: &PrintOptions) -> Result<Printed<'_>> {
        let tree = self.tree();
        let node = tree.find(path).map_err(|e| Error::name(&self.path, e))?;
        Ok(tree.print(node, options))
    }

    /// What looked odd when it was opened.
    pub fn warnings(&self) -> Vec<String> {
        match &self.source {
            Source::Torch(checkpoint) => {
                self.warnings.iter().cloned().chain(checkpoint.warnings()).collect()
            }
            Source::Stored(source) => source.warnings.clone(),
        }
    }

    /// Every tensor under every name, in the object's order.
    ///
    /// Where two paths read the same (`{'a': {'b': …}, 'a.b': …}`), the later ones get `~1`, `~2`
    /// behind them, as their arrays do in a store.
    ///
    /// # Errors
    /// When there are more than a million names, as in a file built to have them.
    pub fn list(&self) -> Result<Vec<TensorInfo>> {
        let names = self.tree().tensor_names(MAX_NAMES)?;
        let (all_differ, names) = (names.all_differ(), names.into_iter());
        let mut unique = Unique::default();
        let mut list = Vec::with_capacity(names.len());
        for (name, node) in names {
            let name = if all_differ { name } else { unique.pick(name.into()).into() };
            list.extend(self.info(name, node));
        }
        Ok(list)
    }

    /// The tensor of a name, as [`list`](Tensors::list) spells it, or at a path; else the one that
    /// is the array of that name.
    ///
    /// # Errors
    /// When there is none; the message says what there is.
    pub fn find(&self, name: &str) -> Result<TensorInfo> {
        let listed = unique_names(self.tree().named_tensors(MAX_NAMES)?).into_iter().collect();
        let node = match find_tensor(self.tree(), &listed, name) {
            Ok(node) => node,
            Err(e) => self.tensor_of(name)?.ok_or_else(|| Error::name(&self.path, e))?,
        };
        let missing = || Error::Parameter(format!("{name:?} is no tensor"));
        self.info(name.into(), node).ok_or_else(missing)
    }

    /// The tensor that shows all of an array of the store.
    fn tensor_of(&self, array: &str) -> Result<Option<NodeId>> {
        let Source::Stored(source) = &self.source else { return Ok(None) };
        for (_, node) in source.tree.first_names() {
            let Node::Tensor(id) = *source.tree.node(node) else { continue };
            let tensor = source.tree.tensor(id);
            if source.arrays[tensor.storage.0 as usize] == array && is_whole(source, tensor)? {
                return Ok(Some(node));
            }
        }
        Ok(None)
    }

    /// The array of a store that a name stands for: the one that holds the tensor listed under
    /// it, whatever the array is called, else the one of that name.
    ///
    /// # Errors
    /// When there is neither, or the tensor is only a part of an array; the message says which.
    pub fn array_name(&self, name: &str) -> Result<String> {
        let Source::Stored(source) = &self.source else {
            let message = "it is no store, and has no arrays; convert it to one first";
            return Err(Error::Name { path: self.path.clone(), message: message.to_owned() });
        };
        let tensor = match self.find(name) {
            Ok(info) => source.tree.tensor(info.id),
            Err(_) if source.store.info(name)?.is_some() => return Ok(name.to_owned()),
            Err(e) => return Err(e),
        };
        let array = &source.arrays[tensor.storage.0 as usize];
        if is_whole(source, tensor)? {
            return Ok(array.clone());
        }
        let message =
            format!("tensor {name:?} is only a view of array {array:?}; name that array instead");
        Err(Error::Name { path: self.path.clone(), message })
    }

    fn info(&self, name: Text, node: NodeId) -> Option<TensorInfo> {
        let tree = self.tree();
        let Node::Tensor(id) = *tree.node(node) else { return None };
        let tensor = tree.tensor(id);
        Some(TensorInfo {
            name,
            dtype: tensor.dtype,
            shape: tensor.shape.clone(),
            stride: tensor.stride.clone(),
            offset: tensor.offset,
            storage: tensor.storage.0,
            storage_nbytes: tree.storage(tensor.storage).nbytes().unwrap_or(0),
            nbytes: tensor.nbytes().unwrap_or(u64::MAX),
            requires_grad: tensor.requires_grad,
            parameter: tensor.class == TensorClass::Parameter,
            id,
        })
    }

    /// Hands on the bytes of a tensor's elements in C order, little-endian, conj and neg
    /// resolved: whole elements, at most 1 MiB at a time.
    ///
    /// # Errors
    /// When they cannot be read, or `sink` fails.
    pub fn read(&self, tensor: &TensorInfo, sink: &mut dyn FnMut(&[u8])) -> Result<()> {
        self.stream(tensor.id, &mut |bytes| {
            sink(bytes);
            Ok(())
        })
    }

    /// Reads a tensor into memory the caller has: as [`read`](Tensors::read) hands it on.
    ///
    /// # Errors
    /// As [`read`](Tensors::read), and where `out` is not of [`TensorInfo::nbytes`] bytes.
    pub fn read_into(&self, tensor: &TensorInfo, out: &mut [u8]) -> Result<()> {
        if let Source::Torch(checkpoint) = &self.source {
            return Ok(checkpoint.read_into(tensor.id, out)?);
        }
        if out.len() as u64 != tensor.nbytes {
            let (have, need) = (out.len(), tensor.nbytes);
            let problem = format!("the buffer has {have} bytes, and {need} are to be read");
            return Err(Error::Parameter(problem));
        }
        let mut at = 0;
        self.stream(tensor.id, &mut |bytes| {
            out[at..at + bytes.len()].copy_from_slice(bytes);
            at += bytes.len();
            Ok(())
        })
    }

    /// A checkpoint's files as memory, mapped by `map` if they have not been.
    pub(crate) fn mapped(
        &self,
        map: impl FnOnce() -> torch_pickle::Result<torch_pickle::Map>,
    ) -> Result<Arc<torch_pickle::Map>> {
        let mut kept = self.map.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(map) = &*kept {
            return Ok(Arc::clone(map));
        }
        Ok(Arc::clone(kept.insert(Arc::new(map()?))))
    }

    /// The SHA-256 of those bytes.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn sha256(&self, tensor: &TensorInfo) -> Result<[u8; 32]> {
        let mut hash = Sha256::new();
        self.read(tensor, &mut |bytes| hash.update(bytes))?;
        Ok(hash.finalize().into())
    }

    /// Hands on all bytes of a storage.
    pub(crate) fn stream_storage(
        &self,
        id: StorageId,
        sink: &mut dyn FnMut(&[u8]) -> torch_pickle::Result<()>,
    ) -> Result<()> {
        match &self.source {
            Source::Torch(checkpoint) => checkpoint.stream_storage(id, CHUNK, sink)?,
            Source::Stored(source) => {
                source.store.array(&source.arrays[id.0 as usize])?.stream(sink)?;
            }
        }
        Ok(())
    }

    pub(crate) fn stream(
        &self,
        id: TensorId,
        sink: &mut dyn FnMut(&[u8]) -> torch_pickle::Result<()>,
    ) -> Result<()> {
        match &self.source {
            Source::Torch(checkpoint) => Ok(checkpoint.stream(id, CHUNK, sink)?),
            Source::Stored(source) => self.stream_stored(source, source.tree.tensor(id), sink),
        }
    }

    /// Hands on what a tensor shows, be it one of the tree or a part of one.
    pub(crate) fn stream_stored(
        &self,
        source: &StoreTree,
        tensor: &Tensor,
        sink: &mut dyn FnMut(&[u8]) -> torch_pickle::Result<()>,
    ) -> Result<()> {
        let (len, stored) = (tensor.nbytes(), source.tree.storage(tensor.storage).nbytes());
        let most = torch_pickle::Limits::default().max_expansion;
        if len > stored && len.is_none_or(|n| n > most) {
            return Err(Error::Unsupported {
                path: self.path.clone(),
                message: format!(
                    "a tensor of shape {:?} shows far more elements than are stored",
                    tensor.shape
                ),
            });
        }
        let mut array = source.store.array(&source.arrays[tensor.storage.0 as usize])?;
        let nbytes = array.nbytes();
        let mut failure = None;
        let mut read = |at: u64, out: &mut [u8]| {
            array.read_bytes_at(at, out).map_err(|e| {
                failure = Some(e);
                torch_pickle::Error::Cancelled { file: self.path.clone() }
            })
        };
        let done = torch_pickle::stream_view(tensor, nbytes, &mut read, CHUNK, sink);
        // The store's own error says more than that the reading ended.
        match failure {
            Some(e) => Err(e.into()),
            None => Ok(done?),
        }
    }
}

/// Whether a zip archive is one of `.npy` files. Torch has a pickle in each of its own, and
/// nearly always as the first record.
fn is_npz(path: &Path, head: &[u8]) -> bool {
    let name_len = head.get(26..28).map_or(0, |b| usize::from(b[0]) + (usize::from(b[1]) << 8));
    let first = head.get(30..30 + name_len).unwrap_or(&[]);
    if first.ends_with(b"/data.pkl") {
        return false;
    }
    // What cannot be read is the checkpoint's reader's to name, but for what is called .npz.
    let Ok(Some(zip)) = ZipFile::open(path) else { return neighbours::suffix(path) == "npz" };
    let has = |suffix: &str| zip.entries().any(|e| e.name.ends_with(suffix));
    let is_torch = has("/data.pkl") || has("/archive_format") || has("exported_program.json");
    has(".npy") && !is_torch || zip.entries().next().is_none()
}

/// Whether a tensor is all of its array, in the array's own type and shape.
fn is_whole(source: &StoreTree, tensor: &Tensor) -> Result<bool> {
    let info = source.store.info(&source.arrays[tensor.storage.0 as usize])?;
    let own = info.map(|info| logical(info, info.note.as_ref()));
    let first = tensor.offset == 0 && tensor.is_contiguous();
    Ok(first && own == Some((tensor.dtype, tensor.shape.to_vec())))
}

/// The node of a tensor, by the name it is listed under, or by a path that leads to it.
pub(crate) fn find_tensor(
    tree: &Tree,
    listed: &HashMap<String, NodeId>,
    name: &str,
) -> torch_pickle::Result<NodeId> {
    let found = match listed.get(name) {
        Some(&node) => node,
        None => tree.find(name)?,
    };
    if matches!(tree.node(found), Node::Tensor(_)) {
        return Ok(found);
    }
    Err(torch_pickle::Error::Parameter {
        parameter: "path",
        problem: format!("{name:?} is no tensor; list the names first"),
        advice: "",
    })
}

/// Names of which no two are the same.
pub(crate) fn unique_names(mut names: Vec<(String, NodeId)>) -> Vec<(String, NodeId)> {
    // They nearly always are already, which is told without a copy of each.
    if torch_pickle::all_differ(names.iter().map(|(name, _)| &**name)) {
        return names;
    }
    let mut unique = Unique::default();
    for (name, _) in &mut names {
        *name = unique.pick(std::mem::take(name));
    }
    names
}

/// Gives out names: as they are, or with `~1`, `~2` behind them.
#[derive(Default)]
pub(crate) struct Unique {
    used: HashSet<String>,
    /// Counting on from the last number keeps a thousand equal names from being quadratic.
    last: HashMap<String, u32>,
}

impl Unique {
    /// A name is taken.
    pub(crate) fn take(&mut self, name: impl Into<String>) {
        self.used.insert(name.into());
    }

    pub(crate) fn pick(&mut self, name: String) -> String {
        if self.used.insert(name.clone()) {
            return name;
        }
        loop {
            let n = self.last.entry(name.clone()).or_insert(0);
            *n += 1;
            let numbered = format!("{name}~{n}");
            if self.used.insert(numbered.clone()) {
                return numbered;
            }
        }
    }
}
