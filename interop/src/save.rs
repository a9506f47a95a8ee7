//! Tensors in memory become a `.pt` file, or a store.

use std::io::Write;
use std::path::Path;

use torch_pickle::{DType, Dict, Node, NodeId, StorageId, Tensor, WriteOptions};

use crate::dtype::stored_form;
use crate::from_torch::plan::Source;
use crate::from_torch::{self, into_store, stored_shape};
use crate::held::Held;
use crate::object::Object;
use crate::{Error, Existing, FromTorch, Report, Result};

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
    check_names(tensors.iter().map(|(name, _)| *name))?;
    let mut held = Held::default();
    let mut items = Vec::new();
    for (name, borrowed) in tensors {
        let window = view(name, borrowed)?;
        let storage = held.storage(window, borrowed.data);
        let tensor = Tensor::contiguous(storage, borrowed.dtype, borrowed.shape);
        let tensor = held.tree.add_tensor(tensor);
        let key = held.tree.add(Node::Str((*name).into()));
        items.push((key, held.tree.add(Node::Tensor(tensor))));
    }
    let root = held.tree.add(Node::Dict(Dict { items, ..Dict::default() }));
    held.write(root, path.as_ref(), options)
}

/// Writes a dict of tensors as a `.pt` file, as [`save_torch`] does: but tensors that show one
/// storage do so in the file, and which requires grad is kept.
///
/// # Errors
/// As [`save_torch`]; [`Error::InUse`] for a tensor that is being written to, [`Error::Sharing`] for
/// one on a device.
///
/// ```
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("m.pt");
/// use numpack_interop::{Tensor, Tensors, save_tensors};
/// use torch_pickle::WriteOptions;
/// let w = Tensor::from_slice(&[1.0_f32, 2.0, 3.0, 4.0], &[2, 2])?;
/// save_tensors(&path, &[("w", &w), ("w.t", &w.t()?)], &WriteOptions::new())?;
/// let list = Tensors::open(&path)?.list()?;
/// assert_eq!(list[0].storage, list[1].storage);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn save_tensors(
    path: impl AsRef<Path>,
    tensors: &[(&str, &crate::Tensor)],
    options: &WriteOptions,
) -> Result<()> {
    let (object, root) = dict(tensors)?;
    object.save(root, path, options)
}

/// Writes a dict of tensors as a store, or adds them to one or replaces them in it, in one commit:
/// as [`from_torch_file`](crate::from_torch_file) would from a file with such a dict. What is no
/// type of NumPack's, such as bfloat16, is named in the side information.
///
/// # Errors
/// As [`save_tensors`] and [`from_torch_file`](crate::from_torch_file).
///
/// ```
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("m.npk");
/// use numpack_interop::{Existing, Tensor, Tensors, dtype::DType, from_torch};
/// let w = Tensor::zeros(&[2, 2], DType::BFLOAT16)?;
/// from_torch(&[("w", &w)], &path, Existing::Merge)?;
/// assert_eq!(Tensors::open(&path)?.list()?[0].dtype.to_string(), "bfloat16");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn from_torch(
    tensors: &[(&str, &crate::Tensor)],
    output: impl AsRef<Path>,
    existing: Existing,
) -> Result<Report> {
    let (object, root) = dict(tensors)?;
    let kept = object.kept()?;
    let bytes = kept.read()?;
    let mut held = object.held(&kept, &bytes)?;
    held.tree.set_root(root);
    let output = output.as_ref();
    let object = from_torch::Object { path: output, tree: &held.tree, root, root_name: "data" };
    let options = FromTorch::new().existing(existing);
    into_store(&object, &options, output, |writer, arrays, names| {
        for (array, name) in arrays.iter().zip(names) {
            let mut out =
                writer.begin_array(name, stored_form(array.dtype).0, &stored_shape(array).0)?;
            let mut failed = None;
            let mut sink = |piece: &[u8]| {
                out.write_all(piece).map_err(|e| {
                    failed = Some(e);
                    torch_pickle::Error::Cancelled { file: output.to_owned() }
                })
            };
            let done = match array.source {
                Source::Storage(id) => held.stream(id, &mut sink),
                Source::Tensor(id) => held.stream_tensor(id, &mut sink),
                // There are no such nodes in a dict of tensors.
                Source::Bytes(_) => Ok(()),
            };
            match failed {
                Some(e) => return Err(Error::io(output, "write", e)),
                None => done?,
            }
            out.finish()?;
        }
        Ok(())
    })
}

/// A dict of tensors, whose names differ.
fn dict(tensors: &[(&str, &crate::Tensor)]) -> Result<(Object, NodeId)> {
    check_names(tensors.iter().map(|(name, _)| *name))?;
    let mut object = Object::new();
    let mut items = Vec::new();
    for (name, tensor) in tensors {
        items.push((*name, object.tensor(tensor, false)?));
    }
    let root = object.dict(&items)?;
    Ok((object, root))
}

/// What stood against writing a file: that it is there already, as all outputs say it.
pub(crate) fn written(path: &Path, e: torch_pickle::Error) -> Error {
    match e {
        torch_pickle::Error::Io { source, .. }
            if source.kind() == std::io::ErrorKind::AlreadyExists =>
        {
            Error::Exists { path: path.to_owned(), what: "a file" }
        }
        other => other.into(),
    }
}

fn check_names<'a>(names: impl ExactSizeIterator<Item = &'a str> + Clone) -> Result<()> {
    match torch_pickle::all_differ(names) {
        true => Ok(()),
        false => Err(Error::Parameter("two of the tensors have the same name".to_owned())),
    }
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
