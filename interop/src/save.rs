//! Tensors in memory become a `.pt` file, or a store.

use std::collections::HashMap;
use std::io::Write;
use std::path::Path;

use torch_pickle::{
    DType, Dict, Dims, Node, NodeId, Storage, StorageData, StorageId, StorageSink, StorageType,
    Tensor, TensorId, Tree, WriteOptions, stream_view,
};

use crate::dtype::{self, stored_form};
use crate::from_torch::plan::Source;
use crate::from_torch::{Object, into_store, stored_shape};
use crate::tensor::Reading;
use crate::{Error, Existing, FromTorch, Report, Result};

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
    check_names(tensors.iter().map(|(name, _)| *name))?;
    let mut held = Held::default();
    for (name, borrowed) in tensors {
        let window = view(name, borrowed)?;
        let storage = held.storage(window, borrowed.data);
        let tensor = Tensor::contiguous(storage, borrowed.dtype, borrowed.shape);
        held.tensor(name, tensor);
    }
    held.write(path.as_ref(), options)
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
    let kept = Kept::new(tensors)?;
    let bytes = kept.read()?;
    kept.held(&bytes)?.write(path.as_ref(), options)
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
    let kept = Kept::new(tensors)?;
    let bytes = kept.read()?;
    let mut held = kept.held(&bytes)?;
    let output = output.as_ref();
    let root = held.finish();
    let object = Object { path: output, tree: &held.tree, root, root_name: "data" };
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

/// A dict of tensors that lies in memory.
#[derive(Default)]
struct Held<'a> {
    tree: Tree,
    items: Vec<(NodeId, NodeId)>,
    /// What each storage has: the elements that a window of somebody's memory shows, in C order.
    storages: Vec<(Tensor, &'a [u8])>,
}

impl<'a> Held<'a> {
    /// One storage more.
    fn storage(&mut self, window: Tensor, data: &'a [u8]) -> StorageId {
        let (dtype, numel) = (StorageType::Typed(window.dtype), window.numel().unwrap_or(u64::MAX));
        let key = self.storages.len().to_string().into();
        self.storages.push((window, data));
        self.tree.add_storage(Storage { key, dtype, location: "cpu".into(), numel })
    }

    /// One entry more.
    fn tensor(&mut self, name: &str, tensor: Tensor) {
        let tensor = self.tree.add_tensor(tensor);
        let key = self.tree.add(Node::Str(name.into()));
        self.items.push((key, self.tree.add(Node::Tensor(tensor))));
    }

    /// The dict of all entries becomes the object.
    fn finish(&mut self) -> NodeId {
        let items = std::mem::take(&mut self.items);
        let root = self.tree.add(Node::Dict(Dict { items, ..Dict::default() }));
        self.tree.set_root(root);
        root
    }

    fn write(mut self, path: &Path, options: &WriteOptions) -> Result<()> {
        self.finish();
        let tree = std::mem::take(&mut self.tree);
        torch_pickle::write(path, &tree, options, &mut self).map_err(|e| written(path, e))
    }

    /// Hands on the bytes of a storage.
    fn stream(
        &self,
        id: StorageId,
        sink: &mut dyn FnMut(&[u8]) -> torch_pickle::Result<()>,
    ) -> torch_pickle::Result<()> {
        let (window, data) = &self.storages[id.0 as usize];
        stream(window, data, sink)
    }

    /// Hands on the elements of an entry: of the memory that its storage is a window of.
    fn stream_tensor(
        &self,
        id: TensorId,
        sink: &mut dyn FnMut(&[u8]) -> torch_pickle::Result<()>,
    ) -> torch_pickle::Result<()> {
        let tensor = self.tree.tensor(id);
        let (window, data) = &self.storages[tensor.storage.0 as usize];
        if !window.is_contiguous() {
            // Such a storage has one tensor, which shows all of it.
            return stream(window, data, sink);
        }
        let offset = window.offset + tensor.offset;
        stream(&Tensor { offset, ..tensor.clone() }, data, sink)
    }
}

impl StorageData for Held<'_> {
    fn write_storage(
        &mut self,
        id: StorageId,
        sink: &mut StorageSink<'_, '_>,
    ) -> torch_pickle::Result<()> {
        self.stream(id, &mut |bytes| sink.write(bytes))
    }
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

/// Hands on what a window of memory shows.
fn stream(
    window: &Tensor,
    data: &[u8],
    sink: &mut dyn FnMut(&[u8]) -> torch_pickle::Result<()>,
) -> torch_pickle::Result<()> {
    if window.numel() == Some(0) {
        return Ok(());
    }
    let mut read = |at: u64, out: &mut [u8]| {
        let from = at as usize;
        out.copy_from_slice(&data[from..from + out.len()]);
        Ok(())
    };
    stream_view(window, data.len() as u64, &mut read, CHUNK, sink)
}

/// Tensors to be saved, in a form that torch has: no strides are negative.
struct Kept<'a> {
    names: Vec<&'a str>,
    tensors: Vec<crate::Tensor>,
    /// Which of them show one storage as one type, and of which such group each is.
    groups: Vec<Vec<usize>>,
    group_of: Vec<usize>,
}

impl<'a> Kept<'a> {
    fn new(tensors: &[(&'a str, &crate::Tensor)]) -> Result<Kept<'a>> {
        check_names(tensors.iter().map(|(name, _)| *name))?;
        let names = tensors.iter().map(|(name, _)| *name).collect();
        let positive = |t: &crate::Tensor| {
            if t.strides().iter().any(|&s| s < 0) { t.clone() } else { Ok(t.alias()) }
        };
        let kept = tensors.iter().map(|(_, t)| positive(t)).collect::<Result<Vec<_>>>()?;
        let mut known = HashMap::new();
        let (mut groups, mut group_of) = (Vec::<Vec<usize>>::new(), Vec::new());
        for (i, t) in kept.iter().enumerate() {
            let key = (t.storage().identity(), t.dtype());
            let group = *known.entry(key).or_insert(groups.len());
            if group == groups.len() {
                groups.push(Vec::new());
            }
            groups[group].push(i);
            group_of.push(group);
        }
        Ok(Kept { names, tensors: kept, groups, group_of })
    }

    /// The memory of each, which nobody changes meanwhile.
    fn read(&self) -> Result<Vec<Reading<'_>>> {
        self.tensors.iter().map(|t| t.storage().read()).collect()
    }

    fn held<'b>(&self, bytes: &'b [Reading<'_>]) -> Result<Held<'b>> {
        let mut held = Held::default();
        let mut storages: HashMap<usize, (StorageId, usize)> = HashMap::new();
        for (i, tensor) in self.tensors.iter().enumerate() {
            let shape: Dims = tensor.shape().iter().map(|&n| n as u64).collect();
            let strides: Dims = tensor.strides().iter().map(|&s| s as u64).collect();
            let mut new = Tensor::contiguous(StorageId(0), torch_type(tensor)?, &shape);
            new.requires_grad = tensor.requires_grad();
            let group = self.group_of[i];
            if self.groups[group].len() == 1 {
                let offset = tensor.storage_offset() as u64;
                new.storage =
                    held.storage(Tensor { offset, stride: strides, ..new.clone() }, &bytes[i]);
                held.tensor(self.names[i], new);
                continue;
            }
            let (storage, low) = match storages.get(&group) {
                Some(&known) => known,
                None => {
                    let (low, high) = self.shown(group);
                    let numel = (high - low) as u64;
                    let window = Tensor::contiguous(StorageId(0), new.dtype, &[numel]);
                    let window = Tensor { offset: low as u64, ..window };
                    let made = (held.storage(window, &bytes[i]), low);
                    storages.insert(group, made);
                    made
                }
            };
            new.storage = storage;
            if tensor.numel() > 0 {
                (new.offset, new.stride) = ((tensor.storage_offset() - low) as u64, strides);
            }
            held.tensor(self.names[i], new);
        }
        Ok(held)
    }

    /// From which element to before which one any tensor of a group shows the storage.
    fn shown(&self, group: usize) -> (usize, usize) {
        let ends = self.groups[group].iter().filter_map(|&i| self.tensors[i].extent());
        let all = ends.reduce(|(a, b), (c, d)| (a.min(c), b.max(d)));
        all.map_or((0, 0), |(low, high)| (low, high + 1))
    }
}

fn torch_type(tensor: &crate::Tensor) -> Result<DType> {
    dtype::to_torch(tensor.dtype()).ok_or_else(|| Error::Type {
        problem: format!("torch has no {}", tensor.dtype()),
        advice: "convert it with to_dtype first",
    })
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
