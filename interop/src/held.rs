//! Tensors in memory as what a `.pt` file or a store takes: storages that are windows of memory.

use std::collections::HashMap;
use std::path::Path;

use torch_pickle::{
    DType, Dims, NodeId, Storage, StorageData, StorageId, StorageSink, StorageType, Tensor,
    TensorId, Tree, WriteOptions, stream_view,
};

use crate::save::written;
use crate::tensor::Reading;
use crate::{Error, Result, dtype};

/// Bytes handed on at a time.
const CHUNK: usize = 1 << 20;

/// An object whose storages lie in memory.
#[derive(Default)]
pub(crate) struct Held<'a> {
    pub(crate) tree: Tree,
    /// What each storage has: the elements that a window of somebody's memory shows, in C order.
    storages: Vec<(Tensor, &'a [u8])>,
}

impl<'a> Held<'a> {
    /// An object, the storages of whose tensors are still to come.
    pub(crate) fn of(tree: Tree) -> Held<'a> {
        Held { tree, storages: Vec::new() }
    }

    /// One storage more.
    pub(crate) fn storage(&mut self, window: Tensor, data: &'a [u8]) -> StorageId {
        let numel = window.numel().unwrap_or(u64::MAX);
        // Of newer types torch has no typed storages.
        let (dtype, numel) = match window.dtype.storage_class() {
            Some(_) => (StorageType::Typed(window.dtype), numel),
            None => (StorageType::Untyped, numel.saturating_mul(window.dtype.size() as u64)),
        };
        let key = self.storages.len().to_string().into();
        self.storages.push((window, data));
        self.tree.add_storage(Storage { key, dtype, location: "cpu".into(), numel })
    }

    pub(crate) fn write(mut self, root: NodeId, path: &Path, options: &WriteOptions) -> Result<()> {
        self.tree.set_root(root);
        let tree = std::mem::take(&mut self.tree);
        torch_pickle::write(path, &tree, options, &mut self).map_err(|e| written(path, e))
    }

    /// Hands on the bytes of a storage.
    pub(crate) fn stream(
        &self,
        id: StorageId,
        sink: &mut dyn FnMut(&[u8]) -> torch_pickle::Result<()>,
    ) -> torch_pickle::Result<()> {
        let (window, data) = &self.storages[id.0 as usize];
        stream(window, data, sink)
    }

    /// Hands on the elements of a tensor: of the memory that its storage is a window of.
    pub(crate) fn stream_tensor(
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

/// Hands on what a window of memory shows: as it lies there, if it lies in C order.
fn stream(
    window: &Tensor,
    data: &[u8],
    sink: &mut dyn FnMut(&[u8]) -> torch_pickle::Result<()>,
) -> torch_pickle::Result<()> {
    if window.numel() == Some(0) {
        return Ok(());
    }
    let start = window.offset.checked_mul(window.dtype.size() as u64);
    if let (Some(start), Some(end), true) = (start, window.end_byte(), window.is_contiguous())
        && window.dtype.values_per_item() == 1
        && let Some(bytes) = data.get(start as usize..end as usize)
    {
        return bytes.chunks(CHUNK).try_for_each(sink);
    }
    let mut read = |at: u64, out: &mut [u8]| {
        let from = at as usize;
        out.copy_from_slice(&data[from..from + out.len()]);
        Ok(())
    };
    stream_view(window, data.len() as u64, &mut read, CHUNK, sink)
}

/// Tensors to be saved, in a form that torch has: no strides are negative.
pub(crate) struct Kept {
    tensors: Vec<crate::Tensor>,
    /// Which of them show one storage as one type, and of which such group each is.
    groups: Vec<Vec<usize>>,
    group_of: Vec<usize>,
}

impl Kept {
    pub(crate) fn new<'a>(tensors: impl Iterator<Item = &'a crate::Tensor>) -> Result<Kept> {
        let positive = |t: &crate::Tensor| {
            if t.strides().iter().any(|&s| s < 0) { t.clone() } else { Ok(t.alias()) }
        };
        let kept = tensors.map(positive).collect::<Result<Vec<_>>>()?;
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
        Ok(Kept { tensors: kept, groups, group_of })
    }

    /// The memory of each, which nobody changes meanwhile.
    pub(crate) fn read(&self) -> Result<Vec<Reading<'_>>> {
        self.tensors.iter().map(|t| t.storage().read()).collect()
    }

    /// Each as a tensor of a file, in their order, whose storages are windows of `bytes`.
    pub(crate) fn put<'b>(
        &self,
        bytes: &'b [Reading<'_>],
        held: &mut Held<'b>,
    ) -> Result<Vec<Tensor>> {
        let mut storages: HashMap<usize, (StorageId, usize)> = HashMap::new();
        let mut all = Vec::new();
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
                all.push(new);
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
            all.push(new);
        }
        Ok(all)
    }

    /// From which element to before which one any tensor of a group shows the storage.
    fn shown(&self, group: usize) -> (usize, usize) {
        let ends = self.groups[group].iter().filter_map(|&i| self.tensors[i].extent());
        let all = ends.reduce(|(a, b), (c, d)| (a.min(c), b.max(d)));
        all.map_or((0, 0), |(low, high)| (low, high + 1))
    }
}

/// The type that a file has of a tensor's elements.
pub(crate) fn torch_type(tensor: &crate::Tensor) -> Result<DType> {
    dtype::to_torch(tensor.dtype()).ok_or_else(|| Error::Type {
        problem: format!("torch has no {}", tensor.dtype()),
        advice: "convert it with to_dtype first",
    })
}
