//! The neighbours of `.pt`: `.safetensors`, `.npy` and `.npz` files, opened as checkpoints.
//!
//! Each becomes a tree and, for each tensor, a storage of its own with the place of its bytes in
//! the file. So all that reads checkpoints reads them, and no element is read before it is wanted.
//!
//! - `safetensors`: one file, or the files that a `.safetensors.index.json` names
//! - `numpy`: `.npy` files, and `.npz` archives of them

mod numpy;
mod safetensors;

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use torch_pickle::{
    Checkpoint, CrcPolicy, DType, Dict, Node, NodeId, Options, Record, Storage, StorageType,
    Tensor, Tree,
};

use crate::tensors::Format;
use crate::{Error, Result};

pub(crate) use numpy::SUFFIX as NPY;
pub(crate) use safetensors::{HALVED, INDEX, MAX_HEADER, TYPES};

/// What is said of a file besides its tensors: the `__metadata__` of safetensors.
pub(crate) type Metadata = BTreeMap<String, String>;

/// A file, opened.
pub(crate) struct Opened {
    pub(crate) checkpoint: Checkpoint,
    pub(crate) metadata: Metadata,
    pub(crate) warnings: Vec<String>,
}

/// Opens a checkpoint or one of its neighbours.
pub(crate) fn open(path: &Path, format: Format, crc: CrcPolicy) -> Result<Opened> {
    let options = Options::default().crc(crc);
    match format {
        Format::SafeTensors => safetensors::open(path, &options),
        Format::Npy => numpy::open_npy(path, &options),
        Format::Npz => numpy::open_npz(path, &options),
        _ => Ok(Opened {
            checkpoint: Checkpoint::open_with(path, &options)?,
            metadata: Metadata::new(),
            warnings: Vec::new(),
        }),
    }
}

/// A warning where there is metadata that the output has no place for. That a file was meant for
/// torch is no news.
pub(crate) fn lost(path: &Path, metadata: &Metadata) -> Option<String> {
    let lost = metadata.keys().filter(|key| *key != "format").count();
    let entries = if lost == 1 { "entry" } else { "entries" };
    (lost > 0).then(|| {
        format!(
            "{}: {lost} {entries} of its __metadata__ have no place in the output, and were left \
             out; numpack info shows them",
            path.display()
        )
    })
}

/// The suffix of a path, in small letters.
pub(crate) fn suffix(path: &Path) -> String {
    path.extension().and_then(|s| s.to_str()).unwrap_or("").to_ascii_lowercase()
}

/// A tensor whose bytes lie together.
struct Stored<'a> {
    name: &'a str,
    dtype: DType,
    shape: &'a [u64],
    /// Whether the first dimension is the one that changes fastest.
    fortran_order: bool,
    /// The number of its file.
    file: u32,
    record: Record,
}

/// A checkpoint in the making.
#[derive(Default)]
struct Builder {
    tree: Tree,
    records: Vec<(u32, Record)>,
}

impl Builder {
    /// Adds a tensor with a storage of its own.
    fn add(&mut self, stored: &Stored<'_>) -> NodeId {
        let (dtype, len) = (stored.dtype, stored.record.len);
        let (storage_type, numel) = match dtype.storage_class() {
            Some(_) => (StorageType::Typed(dtype), len / dtype.size() as u64),
            None => (StorageType::Untyped, len),
        };
        let storage = self.tree.add_storage(Storage {
            key: stored.name.into(),
            dtype: storage_type,
            location: "cpu".into(),
            numel,
        });
        let mut tensor = Tensor::contiguous(storage, dtype, stored.shape);
        if stored.fortran_order {
            let turned: Vec<u64> = stored.shape.iter().rev().copied().collect();
            tensor = Tensor::contiguous(storage, dtype, &turned).reversed();
        }
        self.records.push((stored.file, stored.record));
        let id = self.tree.add_tensor(tensor);
        self.tree.add(Node::Tensor(id))
    }

    /// An item of a dict.
    fn item(&mut self, name: &str, value: NodeId) -> (NodeId, NodeId) {
        (self.tree.add(Node::Str(name.into())), value)
    }

    /// Makes a dict the whole object.
    fn set_dict(&mut self, items: Vec<(NodeId, NodeId)>) {
        let root = self.tree.add(Node::Dict(Dict { items, ..Dict::default() }));
        self.tree.set_root(root);
    }

    fn finish(
        self,
        path: &Path,
        files: Vec<(PathBuf, File)>,
        options: &Options,
    ) -> Result<Checkpoint> {
        Ok(Checkpoint::from_files(path, files, self.tree, self.records, options)?)
    }
}

/// An error about one tensor of a file.
fn bad_tensor(path: &Path, name: &str, problem: impl std::fmt::Display) -> Error {
    Error::damaged(path, format!("tensor {name:?}: {problem}"))
}
