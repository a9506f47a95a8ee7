//! A store becomes a `.pt` file.

use std::collections::HashMap;
use std::path::Path;

use numpack_format::Store;
use torch_pickle::{Dict, Node, NodeId, StorageData, StorageId, StorageSink, Tree, WriteOptions};

use crate::copy;
use crate::progress::Meter;
use crate::store_tree::StoreTree;
use crate::tensors::unique_names;
use crate::{DEFAULT_CHUNK_SIZE, Error, Existing, Progress, Report, Result, buffer_size};

/// Up to this size an array passes through a buffer; above it the kernel copies.
const SMALL: u64 = 1 << 20;

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
}

/// Converts a store to a `.pt` file that torch loads with `weights_only=True`, streaming.
///
/// A store that came from a checkpoint gives an equal object back; any other gives a dict of its
/// arrays. The file appears whole or not at all.
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
    check_output(output, options.existing)?;
    let mut source = StoreTree::new(Store::open(input)?)?;
    if let Some(names) = &options.array_names {
        select(&mut source.tree, names).map_err(|e| Error::name(input, e))?;
    }
    let written = source.tree.reachable_storages();
    let bytes = written.iter().filter_map(|&id| source.tree.storage(id).nbytes()).sum();
    let mut data = Data {
        source: &source,
        meter: Meter::new(progress, bytes),
        buffer: vec![0; buffer_size(options.chunk_size)],
        failure: None,
    };
    let writing = WriteOptions::new()
        .alignment(options.alignment)
        .overwrite(options.existing == Existing::Replace);
    let result = torch_pickle::write(output, &source.tree, &writing, &mut data);
    match (result, data.failure) {
        (Ok(()), _) => Ok(Report { tensors: written.len(), bytes, warnings: source.warnings }),
        // The writer only knows that its supplier failed; this is why.
        (Err(_), Some(failure)) => Err(failure),
        (Err(e), None) => Err(e.into()),
    }
}

fn check_output(output: &Path, existing: Existing) -> Result<()> {
    let exists = |what| Err(Error::Exists { path: output.to_owned(), what });
    match output.symlink_metadata() {
        Err(_) => Ok(()),
        Ok(_) if output.is_dir() => exists("a folder"),
        Ok(_) if existing != Existing::Replace => exists("a file"),
        Ok(_) => Ok(()),
    }
}

/// Makes the object a flat dict of these tensors.
fn select(tree: &mut Tree, names: &[String]) -> torch_pickle::Result<()> {
    let listed: HashMap<String, NodeId> = unique_names(tree.first_names()).into_iter().collect();
    let mut items = Vec::with_capacity(names.len());
    for name in names {
        let found = match listed.get(name) {
            Some(&node) => node,
            None => tree.find(name)?,
        };
        if !matches!(tree.node(found), Node::Tensor(_)) {
            return Err(torch_pickle::Error::Parameter {
                parameter: "path",
                problem: format!("{name:?} is no tensor; list the names first"),
                advice: "",
            });
        }
        items.push((tree.add(Node::Str(name.as_str().into())), found));
    }
    let root = tree.add(Node::Dict(Dict { items, ..Dict::default() }));
    tree.set_root(root);
    Ok(())
}

/// Supplies the arrays as storages.
struct Data<'a, 'p> {
    source: &'a StoreTree,
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
            let stopped = std::io::Error::other("its bytes could not be supplied");
            let file = self.source.store.path().to_owned();
            torch_pickle::Error::Io { file, action: "read", offset: None, source: stopped }
        })
    }
}

impl Data<'_, '_> {
    fn copy(&mut self, id: StorageId, sink: &mut StorageSink<'_, '_>) -> Result<()> {
        let array = self.source.store.array(&self.source.arrays[id.0 as usize])?;
        let path = self.source.store.path();
        let len = sink.remaining();
        if let Some((file, offset, _)) = array.plain_file().filter(|_| len > SMALL) {
            let meter = &mut self.meter;
            sink.splice(len, |to, at| copy::copy_with_crc((file, offset), (to, at), len, meter))?;
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
