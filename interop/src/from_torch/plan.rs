//! Which arrays a checkpoint's tensors become.
//!
//! | tensors of one storage | arrays |
//! |---|---|
//! | one, or several that are the same window | the window's elements in C order |
//! | several windows, one of which is the whole storage in order | that one; the others are views |
//! | several other windows, or a window larger than its storage | the storage, hidden; all are views |
//!
//! Conjugated and negated tensors are resolved into arrays of their own.

use std::collections::{HashMap, HashSet};

use numpack_format::side;
use torch_pickle::{DType, NodeId, StorageId, StorageType, Tensor, TensorId, Tree};

/// The name of a hidden array starts with this.
pub(crate) const HIDDEN_PREFIX: &str = "__libnumpack__.";

/// Arrays may take so many bytes more than four times what is stored.
const MAX_EXPANSION: u64 = 1 << 30;

/// One array to be written.
pub(crate) struct PlannedArray {
    /// The name it would like; another array may have it.
    pub(crate) name: String,
    pub(crate) hidden: bool,
    /// Logical element type and shape.
    pub(crate) dtype: DType,
    pub(crate) shape: Vec<u64>,
    pub(crate) source: Source,
}

/// Where the bytes of an array come from.
#[derive(Clone, Copy)]
pub(crate) enum Source {
    /// All of a storage.
    Storage(StorageId),
    /// A tensor's elements in C order.
    Tensor(TensorId),
    /// A node that is bytes.
    Bytes(NodeId),
}

impl PlannedArray {
    pub(crate) fn nbytes(&self) -> u64 {
        let elements = self.shape.iter().fold(1u64, |n, &d| n.saturating_mul(d));
        elements.saturating_mul(self.dtype.size() as u64)
    }
}

/// All arrays of a checkpoint, and what each tensor is in terms of them.
#[derive(Default)]
pub(crate) struct Plan {
    pub(crate) arrays: Vec<PlannedArray>,
    /// Array and window of each tensor that is part of the object.
    pub(crate) tensors: HashMap<TensorId, (u32, Option<side::View>)>,
    /// Array of each storage that stands in the object by itself.
    pub(crate) storages: HashMap<StorageId, u32>,
}

/// What the object holds, in the order it is met.
pub(crate) struct Contents<'a> {
    pub(crate) tree: &'a Tree,
    pub(crate) tensors: Vec<TensorId>,
    /// Storages that stand in the object by themselves, and the same as a set.
    pub(crate) storages: Vec<StorageId>,
    pub(crate) alone: HashSet<StorageId>,
    /// The dotted path of each tensor.
    pub(crate) names: HashMap<TensorId, String>,
    /// Whether sharing is given up for compact copies.
    pub(crate) compact_views: bool,
}

impl Contents<'_> {
    /// Decides on the arrays. The error says that they would be far larger than what is stored.
    pub(crate) fn plan(&self) -> Result<Plan, String> {
        let mut plan = Plan::default();
        let mut groups: HashMap<StorageId, Vec<TensorId>> = HashMap::new();
        let shares = |t: &Tensor| !t.conj && !t.neg;
        for &id in self.tensors.iter().filter(|&&id| shares(self.tree.tensor(id))) {
            groups.entry(self.tree.tensor(id).storage).or_default().push(id);
        }
        for &id in &self.tensors {
            if plan.tensors.contains_key(&id) {
                continue;
            }
            let tensor = self.tree.tensor(id);
            match groups.get(&tensor.storage) {
                Some(group) if shares(tensor) => self.plan_group(group, &mut plan),
                _ => self.plan_window(&[id], &mut plan),
            }
        }
        for &id in &self.storages {
            if !plan.storages.contains_key(&id) {
                let array = self.hidden_storage(id, &[], &mut plan);
                plan.storages.insert(id, array);
            }
        }
        let stored = self.tree.storages().iter().filter_map(torch_pickle::Storage::nbytes);
        let stored = stored.fold(0, u64::saturating_add);
        let planned = plan.arrays.iter().map(PlannedArray::nbytes);
        let planned = planned.fold(0, u64::saturating_add);
        if planned > stored.saturating_mul(4).saturating_add(MAX_EXPANSION) {
            return Err(format!(
                "its views show {planned} bytes of storages of {stored}; converting them would \
                 write all of that"
            ));
        }
        Ok(plan)
    }

    /// All tensors that show one storage.
    fn plan_group(&self, group: &[TensorId], plan: &mut Plan) {
        let storage = self.tree.tensor(group[0]).storage;
        let mut windows: Vec<Vec<TensorId>> = Vec::new();
        let mut known: HashMap<Window<'_>, usize> = HashMap::new();
        for &id in group {
            let at = *known.entry(Window::of(self.tree.tensor(id))).or_insert(windows.len());
            if at == windows.len() {
                windows.push(Vec::new());
            }
            windows[at].push(id);
        }
        let stands_alone = self.alone.contains(&storage);
        if !stands_alone && (windows.len() == 1 || self.compact_views) {
            for window in &windows {
                self.plan_window(window, plan);
            }
            return;
        }
        let whole = group.iter().copied().find(|&id| self.shows_all(id) && !stands_alone);
        let array = match whole {
            Some(id) => self.push(id, Source::Storage(storage), plan),
            None => self.hidden_storage(storage, group, plan),
        };
        let base = whole.map(|id| Window::of(self.tree.tensor(id)));
        for &id in group {
            let tensor = self.tree.tensor(id);
            let view = (base != Some(Window::of(tensor))).then(|| view_of(tensor));
            plan.tensors.insert(id, (array, view));
        }
        if stands_alone {
            plan.storages.insert(storage, array);
        }
    }

    /// Tensors that are the same window, sharing with nothing else.
    fn plan_window(&self, ids: &[TensorId], plan: &mut Plan) {
        let id = ids[0];
        let tensor = self.tree.tensor(id);
        let stored = self.tree.storage(tensor.storage).nbytes().unwrap_or(0);
        let packed = tensor.dtype.values_per_item() != 1;
        let resolved = tensor.conj || tensor.neg;
        let fits = tensor.nbytes().is_some_and(|n| n <= stored);
        let (array, view) = if packed || (!fits && !resolved) {
            (self.hidden_storage(tensor.storage, ids, plan), Some(view_of(tensor)))
        } else if self.shows_all(id) {
            (self.push(id, Source::Storage(tensor.storage), plan), None)
        } else {
            (self.push(id, Source::Tensor(id), plan), None)
        };
        for &id in ids {
            plan.tensors.insert(id, (array, view.clone()));
        }
    }

    /// Whether a tensor is its whole storage in order.
    fn shows_all(&self, id: TensorId) -> bool {
        let tensor = self.tree.tensor(id);
        tensor.offset == 0
            && tensor.is_contiguous()
            && !tensor.conj
            && !tensor.neg
            && tensor.dtype.values_per_item() == 1
            && tensor.nbytes() == self.tree.storage(tensor.storage).nbytes()
    }

    fn push(&self, id: TensorId, source: Source, plan: &mut Plan) -> u32 {
        let tensor = self.tree.tensor(id);
        plan.arrays.push(PlannedArray {
            name: self.names.get(&id).cloned().unwrap_or_else(|| format!("tensor {}", id.0)),
            hidden: false,
            dtype: tensor.dtype,
            shape: tensor.shape.to_vec(),
            source,
        });
        (plan.arrays.len() - 1) as u32
    }

    /// A storage as a 1-d array of its elements; of bytes where its tensors do not agree on a
    /// type.
    fn hidden_storage(&self, id: StorageId, group: &[TensorId], plan: &mut Plan) -> u32 {
        let storage = self.tree.storage(id);
        let nbytes = storage.nbytes().unwrap_or(0);
        let mut types = group.iter().map(|&t| self.tree.tensor(t).dtype);
        let dtype = match (storage.dtype, types.next()) {
            (StorageType::Typed(dtype), _) => dtype,
            (StorageType::Untyped, Some(first))
                if types.all(|t| t == first) && nbytes.is_multiple_of(first.size() as u64) =>
            {
                first
            }
            (StorageType::Untyped, _) => DType::UInt8,
        };
        plan.arrays.push(PlannedArray {
            name: format!("{HIDDEN_PREFIX}storage.{}", plan.arrays.len()),
            hidden: true,
            dtype,
            shape: vec![nbytes / dtype.size() as u64],
            source: Source::Storage(id),
        });
        (plan.arrays.len() - 1) as u32
    }
}

/// What makes two tensors of one storage the same.
#[derive(PartialEq, Eq, Hash)]
struct Window<'a> {
    dtype: DType,
    offset: u64,
    shape: &'a [u64],
    stride: &'a [u64],
}

impl Window<'_> {
    fn of(tensor: &Tensor) -> Window<'_> {
        Window {
            dtype: tensor.dtype,
            offset: tensor.offset,
            shape: &tensor.shape,
            stride: &tensor.stride,
        }
    }
}

fn view_of(tensor: &Tensor) -> side::View {
    side::View {
        dtype: tensor.dtype.name().to_owned(),
        shape: tensor.shape.to_vec(),
        stride: tensor.stride.to_vec(),
        offset: tensor.offset,
    }
}
