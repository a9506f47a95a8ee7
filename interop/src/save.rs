//! Tensors in memory become a `.pt` file.

use std::path::Path;

use torch_pickle::{
    DType, Dict, Node, Storage, StorageData, StorageId, StorageSink, StorageType, Tensor, Tree,
    WriteOptions, stream_view,
};

use crate::{Error, Result};

/// Bytes handed on at a time.
const CHUNK: usize = 1 << 20;

/// A tensor in somebody's memory, little-endian.
#[derive(Clone, Copy, Debug)]
pub struct Borrowed<'a> {
    /// Element type.
    pub dtype: DType,
    /// Length of each dimension.
    pub shape: &'a [u64],
    /// Step of each dimension in bytes, a multiple of an element and not negative, as torch has
    /// them; `None` for C order without gaps.
    pub strides: Option<&'a [i64]>,
    /// The memory.
    pub data: &'a [u8],
    /// Where in it the first element is, in bytes.
    pub offset: usize,
}

/// Writes a dict of tensors as a `.pt` file, which torch loads with `weights_only=True`. Each
/// tensor is stored in C order with a storage of its own. The file appears whole or not at all.
///
/// # Errors
/// [`Error::Parameter`] for two tensors of one name, or one that does not fit its memory or has
/// strides that torch has not; what [`torch_pickle::write`] refuses; and when the file cannot be
/// written.
///
/// ```
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("m.pt");
/// use numpack_interop::{Borrowed, Tensors, save_torch};
/// use torch_pickle::{DType, WriteOptions};
/// let data = [1, 2, 3, 4, 5, 6];
/// let w = Borrowed {
///     dtype: DType::UInt8,
///     shape: &[3, 2],
///     strides: Some(&[1, 3]),
///     data: &data,
///     offset: 0,
/// };
/// save_torch(&path, &[("w", w)], &WriteOptions::new())?;
/// let file = Tensors::open(&path)?;
/// let mut bytes = [0; 6];
/// file.read_into(&file.find("w")?, &mut bytes)?;
/// assert_eq!(bytes, [1, 4, 2, 5, 3, 6]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn save_torch(
    path: impl AsRef<Path>,
    tensors: &[(&str, Borrowed<'_>)],
    options: &WriteOptions,
) -> Result<()> {
    if !torch_pickle::all_differ(tensors.iter().map(|(name, _)| *name)) {
        return Err(Error::Parameter("two of the tensors have the same name".to_owned()));
    }
    let mut tree = Tree::new();
    let mut items = Vec::with_capacity(tensors.len());
    let mut shown = Vec::with_capacity(tensors.len());
    for (name, borrowed) in tensors {
        shown.push((view(name, borrowed)?, borrowed.data));
        let whole = Tensor::contiguous(StorageId(0), borrowed.dtype, borrowed.shape);
        let storage = tree.add_storage(Storage {
            key: tree.storages().len().to_string().into(),
            dtype: StorageType::Typed(borrowed.dtype),
            location: "cpu".into(),
            numel: whole.numel().unwrap_or(u64::MAX),
        });
        let tensor = tree.add_tensor(Tensor { storage, ..whole });
        let key = tree.add(Node::Str((*name).into()));
        items.push((key, tree.add(Node::Tensor(tensor))));
    }
    let root = tree.add(Node::Dict(Dict { items, ..Dict::default() }));
    tree.set_root(root);
    torch_pickle::write(path.as_ref(), &tree, options, &mut Memory(&shown))?;
    Ok(())
}

/// What of the memory a tensor shows.
fn view(name: &str, from: &Borrowed<'_>) -> Result<Tensor> {
    let fail = |problem: String| Err(Error::Parameter(format!("tensor {name:?}: {problem}")));
    let size = from.dtype.size();
    let in_elements = |bytes: i64| {
        u64::try_from(bytes).ok().filter(|b| b.is_multiple_of(size as u64)).map(|b| b / size as u64)
    };
    if from.dtype.values_per_item() > 1 {
        return fail(format!("{} packs several values into a byte; save its bytes", from.dtype));
    }
    if !from.offset.is_multiple_of(size) {
        return fail(format!("its offset of {} bytes is within an element", from.offset));
    }
    let mut tensor = Tensor::contiguous(StorageId(0), from.dtype, from.shape);
    tensor.offset = (from.offset / size) as u64;
    if let Some(strides) = from.strides {
        if strides.len() != from.shape.len() {
            return fail(format!("{} sizes and {} strides", from.shape.len(), strides.len()));
        }
        match strides.iter().map(|&s| in_elements(s)).collect() {
            Some(stride) => tensor.stride = stride,
            None => {
                return fail(format!(
                    "strides of {strides:?} bytes are negative, or no multiples of {size}; copy it to C order first"
                ));
            }
        }
    }
    let len = from.data.len() as u64;
    let end = if tensor.numel() == Some(0) { Some(0) } else { tensor.end_byte() };
    if tensor.numel().is_none() || end.is_none_or(|end| end > len) {
        return fail(format!("shape {:?} reaches out of its {len} bytes", from.shape));
    }
    Ok(tensor)
}

/// The memory of each tensor, by the number of its storage.
struct Memory<'a>(&'a [(Tensor, &'a [u8])]);

impl StorageData for Memory<'_> {
    fn write_storage(
        &mut self,
        id: StorageId,
        sink: &mut StorageSink<'_, '_>,
    ) -> torch_pickle::Result<()> {
        let (tensor, data) = &self.0[id.0 as usize];
        if tensor.numel() == Some(0) {
            return Ok(());
        }
        let mut read = |at: u64, out: &mut [u8]| {
            let from = at as usize;
            out.copy_from_slice(&data[from..from + out.len()]);
            Ok(())
        };
        let len = data.len() as u64;
        stream_view(tensor, len, &mut read, CHUNK, &mut |bytes| sink.write(bytes))
    }
}
