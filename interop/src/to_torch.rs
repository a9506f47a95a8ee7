//! A store, a package, or a neighbour of `.pt` becomes a `.pt` file.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};

use torch_pickle::{
    Checkpoint, Dict, Node, StorageData, StorageId, StorageSink, Tree, WriteOptions,
};

use crate::copy;
use crate::progress::Meter;
use crate::store_tree::StoreTree;
use crate::stored::{Content, Stored};
use crate::supply::Supply;
use crate::tensors::{Format, find_tensor, unique_names};
use crate::{
    DEFAULT_CHUNK_SIZE, Error, Existing, Progress, Report, Result, Tensors, buffer_size, neighbours,
};

/// Up to this size an array passes through a buffer; above it the kernel copies.
const SMALL: u64 = 1 << 20;

/// How many arrays are opened at a time.
const AHEAD: usize = 64;

/// How [`to_torch_file`] converts.
#[derive(Clone, Debug)]
pub struct ToTorch {
    array_names: Option<Vec<String>>,
    existing: Existing,
    chunk_size: u64,
    alignment: u32,
}

impl Default for ToTorch {
    fn default() -> ToTorch {
        ToTorch {
            array_names: None,
            existing: Existing::Replace,
            chunk_size: DEFAULT_CHUNK_SIZE,
            alignment: 64,
        }
    }
}

impl ToTorch {
    /// The whole store as the object it came from; an existing file is replaced.
    pub fn new() -> ToTorch {
        ToTorch::default()
    }

    /// Only these arrays, as a flat dict in this order. A name is that of an array or the dotted
    /// path of a tensor.
    #[must_use]
    pub fn array_names<S: Into<String>>(mut self, names: impl IntoIterator<Item = S>) -> ToTorch {
        self.array_names = Some(names.into_iter().map(Into::into).collect());
        self
    }

    /// What happens to a file that is there already. A file cannot be added to:
    /// [`Existing::Merge`] is an error.
    #[must_use]
    pub fn existing(mut self, existing: Existing) -> ToTorch {
        self.existing = existing;
        self
    }

    /// Upper bound of the buffers, in bytes; they stay below 8 MiB whatever it is.
    #[must_use]
    pub fn chunk_size(mut self, bytes: u64) -> ToTorch {
        self.chunk_size = bytes;
        self
    }

    /// The data of each tensor starts at a multiple of this: 64 by default, or 4096.
    #[must_use]
    pub fn alignment(mut self, bytes: u32) -> ToTorch {
        self.alignment = bytes;
        self
    }

    fn writing(&self) -> WriteOptions {
        WriteOptions::new().alignment(self.alignment).overwrite(self.existing == Existing::Replace)
    }
}

/// Converts a store, a package as it is, or a `.safetensors`, `.npy` or `.npz` file to a `.pt`
/// file, streaming.
///
/// A store that came from a checkpoint gives an equal object back, which torch loads with
/// `weights_only=True` if it could the first; any other gives a dict of its arrays, which it can.
/// The file appears whole or not at all.
///
/// # Errors
/// A store that cannot be read, a name that is not there, an output that may not be replaced or
/// cannot be written, or cancellation. An existing output is then as it was.
///
/// ```no_run
/// use numpack_interop::{NoProgress, ToTorch, to_torch_file};
/// let options = ToTorch::new().array_names(["encoder.weight", "encoder.bias"]);
/// to_torch_file("model.npk", "encoder.pt", &options, &mut NoProgress)?;
/// # Ok::<(), numpack_interop::Error>(())
/// ```
pub fn to_torch_file(
    input: impl AsRef<Path>,
    output: impl AsRef<Path>,
    options: &ToTorch,
    progress: &mut dyn Progress,
) -> Result<Report> {
    let (input, output) = (input.as_ref(), output.as_ref());
    let output = &check_output(input, output, options.existing)?;
    let format = Format::of_file(input)?;
    if format.is_neighbour() {
        return from_neighbour((input, output), format, options, progress);
    }
    let mut source = StoreTree::new(Stored::open(input, format)?)?;
    if let Some(names) = &options.array_names {
        select(&mut source.tree, names).map_err(|e| Error::name(input, e))?;
    }
    let written = source.tree.reachable_storages();
    let bytes = written.iter().filter_map(|&id| source.tree.storage(id).nbytes()).sum();
    let mut data = Data {
        source: &source,
        order: &written,
        opened: VecDeque::new(),
        meter: Meter::new(progress, bytes),
        buffer: vec![0; buffer_size(options.chunk_size)],
        failure: None,
    };
    let result = torch_pickle::write(output, &source.tree, &options.writing(), &mut data);
    match (result, data.failure) {
        (Ok(()), _) => Ok(Report { tensors: written.len(), bytes, warnings: source.warnings }),
        // The writer only knows that its supplier failed; this is why.
        (Err(_), Some(failure)) => Err(failure),
        (Err(e), None) => Err(e.into()),
    }
}

/// A neighbour of `.pt`, whose storages are ranges of its file.
fn from_neighbour(
    (input, output): (&Path, &Path),
    format: Format,
    options: &ToTorch,
    progress: &mut dyn Progress,
) -> Result<Report> {
    let source = Tensors::open(input)?;
    let Some(checkpoint) = source.checkpoint() else {
        let message = format!("it is no {} file any more", format.name());
        return Err(Error::Unsupported { path: input.to_owned(), message });
    };
    let selected;
    let mut tree = source.tree();
    if let Some(names) = &options.array_names {
        let mut part = tree.clone();
        select(&mut part, names).map_err(|e| Error::name(input, e))?;
        selected = part;
        tree = &selected;
    }
    let written = tree.reachable_storages();
    let bytes = written.iter().filter_map(|&id| tree.storage(id).nbytes()).sum();
    let supply = Supply {
        from: &source,
        meter: Meter::new(progress, bytes),
        chunk: buffer_size(options.chunk_size),
        to: output,
    };
    let mut ranges = Ranges { checkpoint, supply, failure: None };
    let result = torch_pickle::write(output, tree, &options.writing(), &mut ranges);
    match (result, ranges.failure) {
        (Ok(()), _) => {
            let mut warnings = source.warnings();
            warnings.extend(neighbours::lost(input, source.metadata()));
            Ok(Report { tensors: written.len(), bytes, warnings })
        }
        (Err(_), Some(failure)) => Err(failure),
        (Err(e), None) => Err(e.into()),
    }
}

/// Supplies ranges of a file as storages.
struct Ranges<'a, 'p> {
    checkpoint: &'a Checkpoint,
    supply: Supply<'a, 'p>,
    failure: Option<Error>,
}

impl StorageData for Ranges<'_, '_> {
    fn write_storage(
        &mut self,
        id: StorageId,
        sink: &mut StorageSink<'_, '_>,
    ) -> torch_pickle::Result<()> {
        let copied = self.supply.storage(self.checkpoint, id, sink);
        copied.map_err(|e| {
            self.failure = Some(e);
            stopped(self.checkpoint.path())
        })
    }
}

/// What the writer is told; the failure itself is kept beside it.
fn stopped(path: &Path) -> torch_pickle::Error {
    let source = std::io::Error::other("its bytes could not be supplied");
    torch_pickle::Error::Io { file: path.to_owned(), action: "read", offset: None, source }
}

/// The file to write: the output, or what it links to.
pub(crate) fn check_output(input: &Path, output: &Path, existing: Existing) -> Result<PathBuf> {
    let exists = |what| Err(Error::Exists { path: output.to_owned(), what });
    let folder = match output.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let folder = folder.canonicalize().map_err(|e| Error::io(folder, "write to", e))?;
    if let Ok(from) = input.canonicalize()
        && (folder.starts_with(&from) || output.canonicalize().is_ok_and(|to| to == from))
    {
        return Err(Error::Parameter(format!(
            "{}: the output is, or lies in, what it is made from; choose another place",
            output.display()
        )));
    }
    match output.metadata() {
        Ok(found) if found.is_dir() => exists("a folder"),
        Ok(found) if !found.is_file() => exists("something that is no file"),
        Ok(_) if existing != Existing::Replace => exists("a file"),
        // Through a link it is the file behind it that is replaced.
        Ok(_) => output.canonicalize().map_err(|e| Error::io(output, "write to", e)),
        Err(_) if output.is_symlink() => exists("a link to nothing"),
        Err(_) => Ok(output.to_owned()),
    }
}

/// Makes the object a flat dict of these tensors.
pub(crate) fn select(tree: &mut Tree, names: &[String]) -> torch_pickle::Result<()> {
    let listed = unique_names(tree.first_names()).into_iter().collect();
    let mut items = Vec::with_capacity(names.len());
    for name in names {
        let found = find_tensor(tree, &listed, name)?;
        items.push((tree.add(Node::Str(name.as_str().into())), found));
    }
    let root = tree.add(Node::Dict(Dict { items, ..Dict::default() }));
    tree.set_root(root);
    Ok(())
}

/// Supplies the arrays as storages.
struct Data<'a, 'p> {
    source: &'a StoreTree,
    /// The order in which storages are asked for, as far as they were not yet.
    order: &'a [StorageId],
    /// Arrays opened ahead of that.
    opened: VecDeque<(StorageId, Content<'a>)>,
    meter: Meter<'p>,
    buffer: Vec<u8>,
    failure: Option<Error>,
}

impl StorageData for Data<'_, '_> {
    fn write_storage(
        &mut self,
        id: StorageId,
        sink: &mut StorageSink<'_, '_>,
    ) -> torch_pickle::Result<()> {
        self.copy(id, sink).map_err(|e| {
            self.failure = Some(e);
            stopped(self.source.store.path())
        })
    }
}

impl<'a> Data<'a, '_> {
    /// The array of a storage, opened together with those that come next.
    fn open(&mut self, id: StorageId) -> Result<Content<'a>> {
        if self.opened.is_empty() {
            let (next, rest) = self.order.split_at(self.order.len().min(AHEAD));
            self.order = rest;
            let names: Vec<&str> =
                next.iter().map(|id| self.source.arrays[id.0 as usize].as_str()).collect();
            let arrays = self.source.store.arrays_by_name(&names)?;
            self.opened = next.iter().copied().zip(arrays).collect();
        }
        match self.opened.pop_front() {
            Some((at, array)) if at == id => Ok(array),
            _ => self.source.store.array(&self.source.arrays[id.0 as usize]),
        }
    }

    fn copy(&mut self, id: StorageId, sink: &mut StorageSink<'_, '_>) -> Result<()> {
        let mut array = self.open(id)?;
        let path = self.source.store.path();
        let len = sink.remaining();
        if let Content::Store(array) = &array
            && let Some((file, offset, _)) = array.plain_file().filter(|_| len > SMALL)
        {
            let meter = &mut self.meter;
            sink.splice(len, |to, at| copy::copy_with_crc((file, offset), (to, at), len, meter))?;
            // The kernel does not see to it that what it copied is one state.
            if !array.is_unchanged()? {
                return Err(numpack_format::Error::Changed { file: path.to_owned() }.into());
            }
            return Ok(());
        }
        let mut at = 0;
        while at < len {
            let n = self.buffer.len().min(usize::try_from(len - at).unwrap_or(usize::MAX));
            let piece = &mut self.buffer[..n];
            array.read_bytes_at(at, piece)?;
            sink.write(piece)?;
            at += n as u64;
            self.meter.add(n as u64).map_err(|e| Error::io(path, "read", e))?;
        }
        Ok(())
    }
}
