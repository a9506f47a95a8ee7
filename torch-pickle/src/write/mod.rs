//! Writes a tree as a `.pt` file that torch loads with `weights_only=True`.
//!
//! - `check`: that a tree can be written; which storages, in which order
//! - `pickle`, `emit`: the tree as a pickle of protocol 2; its opcodes as bytes
//! - `archive`: the zip container
//! - `atomic`: the file appears whole or not at all

mod archive;
mod atomic;
mod check;
mod emit;
mod pickle;

use std::fs::File;
use std::io;
use std::path::Path;

pub use archive::{ZipEntryWriter, ZipWriter};
pub use atomic::AtomicFile;

use crate::{Error, Result, StorageId, Tree};

/// How a file is written.
#[derive(Clone, Debug)]
pub struct WriteOptions {
    alignment: u32,
    overwrite: bool,
}

impl Default for WriteOptions {
    fn default() -> WriteOptions {
        WriteOptions { alignment: 64, overwrite: true }
    }
}

impl WriteOptions {
    /// Data aligned to 64 bytes, as torch does; an existing file is replaced.
    pub fn new() -> WriteOptions {
        WriteOptions::default()
    }

    /// The data of each storage starts at a multiple of this: 64 by default; 4096 lets file
    /// systems share blocks and devices import pages.
    ///
    /// Other powers of two up to 32768 work too; anything else is refused when writing.
    #[must_use]
    pub fn alignment(mut self, bytes: u32) -> WriteOptions {
        self.alignment = bytes;
        self
    }

    /// Whether an existing file is replaced (the default), or refused and left as it is.
    #[must_use]
    pub fn overwrite(mut self, yes: bool) -> WriteOptions {
        self.overwrite = yes;
        self
    }
}

/// Supplies the bytes of the storages of a tree.
pub trait StorageData {
    /// Writes all bytes of storage `id` into `sink`, little-endian: exactly
    /// [`Storage::nbytes`](crate::Storage::nbytes) of them.
    ///
    /// # Errors
    /// Whatever keeps the bytes from being read; the file is then not written.
    fn write_storage(&mut self, id: StorageId, sink: &mut StorageSink<'_, '_>) -> Result<()>;
}

/// Storages that lie in memory, one slice each, by the number of the storage.
impl<B: AsRef<[u8]>> StorageData for &[B] {
    fn write_storage(&mut self, id: StorageId, sink: &mut StorageSink<'_, '_>) -> Result<()> {
        let bytes = self
            .get(id.0 as usize)
            .ok_or_else(|| refused(format!("no bytes were supplied for storage {}", id.0)))?;
        sink.write(bytes.as_ref())
    }
}

/// Takes the bytes of one storage.
pub struct StorageSink<'s, 'a> {
    entry: &'s mut archive::ZipEntryWriter<'a>,
    path: &'s Path,
}

impl StorageSink<'_, '_> {
    /// How many bytes are still to come.
    pub fn remaining(&self) -> u64 {
        self.entry.remaining()
    }

    /// Takes the next bytes.
    ///
    /// # Errors
    /// When they are more than remain, or the file cannot be written.
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.entry.write(bytes).map_err(|e| Error::io(self.path, "write", None, e))
    }

    /// Lets `fill` write the next `len` bytes by itself, for instance by a copy inside the
    /// kernel: it is given the file and the offset at which they belong, must write just those,
    /// and returns their CRC-32.
    ///
    /// # Errors
    /// When they are more than remain, or `fill` fails.
    pub fn splice(
        &mut self,
        len: u64,
        fill: impl FnOnce(&File, u64) -> io::Result<u32>,
    ) -> Result<()> {
        self.entry.splice(len, fill).map_err(|e| Error::io(self.path, "write", None, e))
    }
}

/// Whether [`write`] would take a tree.
///
/// # Errors
/// What is wrong with it: see [`write`].
///
/// ```
/// let tree = torch_pickle::Tree::new();
/// assert!(torch_pickle::check(&tree).is_err(), "it has no root yet");
/// ```
pub fn check(tree: &Tree) -> Result<()> {
    check::Plan::of(tree).map(drop)
}

/// Writes `tree` to `path` as a `.pt` file.
///
/// Storages that several tensors share are written once. The file is complete and on disk, or as
/// it was before: it is written under a hidden name beside `path`, synced and renamed. Memory:
/// the pickle and the directory of the archive, and a buffer of 1 MiB; the bytes of the storages
/// pass through.
///
/// # Errors
/// A tree that cannot be a checkpoint (an id out of range, a tensor past its storage, conj or neg
/// bits, a key that is a list, a circle Python could not build), or a file that cannot be written.
///
/// Protocol 2 has no opcode for [`Construct::NewEx`](crate::Construct::NewEx): it is written as a
/// call of `copyreg.__newobj_ex__`, which builds the same.
///
/// ```
/// use torch_pickle::*;
/// # fn main() -> Result<()> {
/// let mut tree = Tree::new();
/// let storage = tree.add_storage(Storage {
///     key: "0".into(),
///     dtype: StorageType::Typed(DType::Float32),
///     location: "cpu".into(),
///     numel: 2,
/// });
/// let tensor = tree.add_tensor(Tensor::contiguous(storage, DType::Float32, &[2]));
/// let root = tree.add(Node::Tensor(tensor));
/// tree.set_root(root);
///
/// let folder = tempfile::tempdir().unwrap();
/// let path = folder.path().join("x.pt");
/// let bytes = [[0, 0, 128, 63, 0, 0, 0, 64]]; // 1.0, 2.0
/// write(&path, &tree, &WriteOptions::new(), &mut &bytes[..])?;
/// assert_eq!(Checkpoint::open(&path)?.tree().tensors()[0].shape[..], [2]);
/// # Ok(())
/// # }
/// ```
pub fn write(
    path: impl AsRef<Path>,
    tree: &Tree,
    options: &WriteOptions,
    data: &mut dyn StorageData,
) -> Result<()> {
    let path = path.as_ref();
    let alignment = u64::from(options.alignment);
    if !alignment.is_power_of_two() || alignment > 32768 {
        return Err(Error::Parameter {
            parameter: "alignment",
            problem: format!("{alignment} bytes is no power of two up to 32768"),
            advice: "use 64 or 4096",
        });
    }
    let io = |e| Error::io(path, "write", None, e);
    let plan = check::Plan::of(tree)?;
    let pickle = pickle::pickle(tree, &plan)?;

    let target = AtomicFile::create(path).map_err(io)?;
    let mut archive = ZipWriter::new(target.file().try_clone().map_err(io)?);
    archive.add("archive/data.pkl", 1, &pickle).map_err(io)?;
    drop(pickle);
    archive.add("archive/byteorder", 1, b"little").map_err(io)?;
    for (key, &id) in plan.storages.iter().enumerate() {
        let len = tree.storage(id).nbytes().unwrap_or(0);
        archive
            .add_with(&format!("archive/data/{key}"), alignment, len, |entry| {
                data.write_storage(id, &mut StorageSink { entry, path }).map_err(Failure::Ours)
            })
            .map_err(|e| match e {
                Failure::Ours(e) => e,
                Failure::Io(e) => io(e),
            })?;
    }
    archive.add("archive/version", 1, b"3\n").map_err(io)?;
    archive.finish().map_err(io)?;
    target.commit(options.overwrite).map_err(io)
}

/// An error about the tree that was to be written.
fn refused(problem: impl Into<String>) -> Error {
    Error::Parameter { parameter: "tree", problem: problem.into(), advice: "" }
}

/// Tells a failure of the supplier from one of the file.
enum Failure {
    Ours(Error),
    Io(io::Error),
}

impl From<io::Error> for Failure {
    fn from(e: io::Error) -> Failure {
        Failure::Io(e)
    }
}
