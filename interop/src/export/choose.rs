//! Which tensors are written, under which names, and whether the format can hold them.

use std::collections::HashSet;

use torch_pickle::{DType, Node, NodeId, Storage, Tensor, TensorId, Tree};

use super::Export;
use crate::dtype::is_native;
use crate::neighbours::{HALVED, TYPES};
use crate::tensors::{Format, MAX_NAMES, unique_names};
use crate::to_torch::select;
use crate::{Error, Result, Tensors};

/// Tensors may take so many bytes more than four times what is stored.
const MAX_EXPANSION: u64 = 1 << 30;
/// How many names an error lists.
const SHOWN: usize = 8;

/// A tensor that is written.
pub(super) struct Item {
    pub(super) name: String,
    pub(super) id: TensorId,
    pub(super) nbytes: u64,
}

/// What is written.
pub(super) struct Chosen {
    pub(super) items: Vec<Item>,
    pub(super) warnings: Vec<String>,
}

pub(super) fn choose(source: &Tensors, format: Format, options: &Export) -> Result<Chosen> {
    let path = source.path();
    let name_error = |e| Error::name(path, e);
    let selected;
    let mut tree = source.tree();
    if options.key.is_some() || options.array_names.is_some() {
        let mut part = tree.clone();
        if let Some(key) = &options.key {
            part.set_root(part.find(key).map_err(name_error)?);
        }
        if let Some(names) = &options.array_names {
            select(&mut part, names).map_err(name_error)?;
        }
        selected = part;
        tree = &selected;
    }
    let items = unique_names(tree.named_tensors(MAX_NAMES)?).into_iter();
    let items = items.filter_map(|(name, node)| {
        let Node::Tensor(id) = *tree.node(node) else { return None };
        let nbytes = tree.tensor(id).nbytes().unwrap_or(u64::MAX);
        let whole = Some(node) == tree.root();
        let name = if whole { root_name(source, options) } else { name };
        Some(Item { name, id, nbytes })
    });
    let items: Vec<Item> = items.collect();
    let unsupported = |message| Err(Error::Unsupported { path: path.to_owned(), message });
    for item in &items {
        if let Err(problem) = takes(format, tree.tensor(item.id), &item.name) {
            return unsupported(format!("tensor {:?}: {problem}", item.name));
        }
    }
    if format == Format::Npy && items.len() != 1 {
        let names: Vec<&str> = items.iter().take(SHOWN).map(|item| item.name.as_str()).collect();
        let more = if items.len() > SHOWN { ", …" } else { "" };
        let message = match items.len() {
            0 => "it holds no tensor, and a .npy file is one".to_owned(),
            n => format!(
                "it holds {n} tensors, and a .npy file is one; choose it by its key ({names:?}\
                 {more}), or write a .npz file"
            ),
        };
        return Err(Error::Name { path: path.to_owned(), message });
    }
    if !options.copy_shared
        && let Some((a, b)) = shared(tree, &items)
    {
        return Err(Error::Shared {
            path: path.to_owned(),
            first: a.to_owned(),
            second: b.to_owned(),
            format: format.name(),
        });
    }
    let stored = tree.storages().iter().filter_map(Storage::nbytes).fold(0, u64::saturating_add);
    let planned = items.iter().map(|item| item.nbytes).fold(0, u64::saturating_add);
    if planned > stored.saturating_mul(4).saturating_add(MAX_EXPANSION) {
        return unsupported(format!(
            "its views show {planned} bytes of storages of {stored}; converting them would write \
             all of that"
        ));
    }
    let values = values(tree);
    let mut warnings = Vec::new();
    if values > 0 {
        let (noun, verb) = if values == 1 { ("value", "is") } else { ("values", "are") };
        warnings.push(format!(
            "left out {values} {noun} that {verb} no tensor: a {} file has no place for them",
            format.name()
        ));
    }
    Ok(Chosen { items, warnings })
}

/// The name of a tensor that is all there is.
fn root_name(source: &Tensors, options: &Export) -> String {
    let stem = source.path().file_stem().map(|s| s.to_string_lossy().into_owned());
    options.key.clone().or(stem).unwrap_or_else(|| "data".to_owned())
}

/// Whether a format has a tensor's type and can bear its name.
fn takes(format: Format, tensor: &Tensor, name: &str) -> Result<(), String> {
    let dtype: DType = tensor.dtype;
    if format == Format::SafeTensors {
        if !TYPES.iter().any(|(_, ours)| *ours == dtype) {
            return Err(format!(
                "safetensors files have no {dtype}; choose the others by their names, or convert \
                 it with torch first"
            ));
        }
        if dtype == HALVED.1 && tensor.shape.is_empty() {
            return Err(format!("safetensors files have no 0-d {dtype}; reshape it to [1]"));
        }
        if name == "__metadata__" {
            return Err("safetensors files keep this name for themselves; rename it".to_owned());
        }
        return Ok(());
    }
    if !is_native(dtype) {
        return Err(format!(
            ".npy files have no {dtype}; choose the others by their names, convert it with torch \
             first, or write a safetensors file"
        ));
    }
    // Python's zip library ends a name at a NUL, and the archive's own fields are 16 bits wide.
    if format == Format::Npz && (name.contains('\0') || name.len() > 65_000) {
        return Err("a zip archive cannot bear this name; rename it".to_owned());
    }
    Ok(())
}

/// Two tensors that show a byte in common.
fn shared<'a>(tree: &Tree, items: &'a [Item]) -> Option<(&'a str, &'a str)> {
    let mut spans: Vec<_> = items
        .iter()
        .filter(|item| item.nbytes > 0)
        .map(|item| {
            let tensor = tree.tensor(item.id);
            let from = tensor.offset.saturating_mul(tensor.dtype.size() as u64);
            (tensor.storage, from, tensor.end_byte().unwrap_or(u64::MAX), item)
        })
        .collect();
    // By place; those of one place stay in the order of their names.
    spans.sort_by_key(|&(storage, from, ..)| (storage, from));
    let mut last: Option<&(_, _, u64, &Item)> = None;
    for span in &spans {
        match last {
            Some(before) if before.0 == span.0 && span.1 < before.2 => {
                return Some((&before.3.name, &span.3.name));
            }
            _ => last = Some(span),
        }
    }
    None
}

/// How many values below the root are no tensors and no containers of them.
fn values(tree: &Tree) -> usize {
    let mut seen = HashSet::new();
    let mut stack: Vec<NodeId> = tree.root().into_iter().collect();
    let mut count = 0;
    while let Some(id) = stack.pop() {
        match tree.node(id) {
            Node::Tensor(_) => {}
            // The same number in two places is two values.
            Node::Dict(dict) if seen.insert(id) => stack.extend(dict.items.iter().map(|i| i.1)),
            Node::List(ids) | Node::Tuple(ids) | Node::Set(ids) | Node::FrozenSet(ids)
                if seen.insert(id) =>
            {
                stack.extend(ids);
            }
            Node::Dict(_) | Node::List(_) | Node::Tuple(_) | Node::Set(_) | Node::FrozenSet(_) => {}
            _ => count += 1,
        }
    }
    count
}
