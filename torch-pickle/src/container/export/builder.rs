//! The object of a `torch.export` archive is put together out of what its records say.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::SAVE;
use super::config::{Compiled, Config, Meta, Payload};
use crate::archive::{Archive, Naming};
use crate::container::zip;
use crate::error::{Error, Part, Result};
use crate::place::{Input, Place};
use crate::record;
use crate::source::Source;
use crate::{
    DType, Dict, Dims, Limits, Node, NodeId, Options, Storage, StorageId, StorageType, Tensor,
    TensorClass, Tree, pickle,
};

/// Bytes of all descriptions: a hundred thousand tensors need half of it.
const MAX_CONFIGS: u64 = 64 << 20;
/// What a compressed one may inflate to in any file, and for each byte of the file: there are
/// weights in it besides.
const INFLATED_LEAST: u64 = 8 << 20;
const INFLATED_TIMES: u64 = 64;
/// What the pickle in an archive within the archive may inflate to for each of its bytes.
const OBJECT_TIMES: u64 = 16;

const WEIGHTS: &str = "data/weights/";
const CONSTANTS: &str = "data/constants/";

pub(super) struct Builder<'a> {
    source: &'a Source,
    archive: &'a Archive,
    options: &'a Options,
    pub(super) tree: Tree,
    places: Vec<Place>,
    /// The archives within the archive; the archive itself comes before them.
    inputs: Vec<Input>,
    warnings: Vec<String>,
    /// Records that are storages.
    storages: HashMap<u32, (StorageId, DType)>,
    /// Records that were read as objects: each is read once, however many names it has.
    objects: HashMap<u32, NodeId>,
    location: Arc<str>,
    configs_left: u64,
}

/// What came of it.
pub(super) struct Built {
    pub(super) tree: Tree,
    pub(super) places: Vec<Place>,
    pub(super) inputs: Vec<Input>,
    pub(super) warnings: Vec<String>,
}

/// The entries of one model, no two of one name.
#[derive(Default)]
struct Entries {
    items: Vec<(NodeId, NodeId)>,
    names: HashSet<Box<str>>,
}

impl<'a> Builder<'a> {
    pub(super) fn new(source: &'a Source, archive: &'a Archive, options: &'a Options) -> Self {
        Builder {
            source,
            archive,
            options,
            tree: Tree::new(),
            places: Vec::new(),
            inputs: Vec::new(),
            warnings: Vec::new(),
            storages: HashMap::new(),
            objects: HashMap::new(),
            location: "cpu".into(),
            configs_left: MAX_CONFIGS,
        }
    }

    pub(super) fn done(self) -> Built {
        let Builder { tree, places, inputs, warnings, .. } = self;
        Built { tree, places, inputs, warnings }
    }

    /// The weights and constants of a model.
    pub(super) fn exported(&mut self, model: &str) -> Result<NodeId> {
        let mut entries = Entries::default();
        for (folder, kind) in [(WEIGHTS, "weights"), (CONSTANTS, "constants")] {
            if let Some(saved) = self.archive.find(&format!("{folder}{model}.pt")) {
                self.saved_dict(saved, &mut entries)?;
                continue;
            }
            let name = format!("{folder}{model}_{kind}_config.json");
            let index =
                self.find(&name, || format!("where the {kind} of {model:?} are described"))?;
            let config: Config = self.config(index)?;
            for (name, payload) in config.config.0 {
                let value = self.payload(folder, index, &name, &payload)?;
                self.add(index, &mut entries, &name, value)?;
            }
        }
        Ok(self.dict(entries))
    }

    /// The weights of a compiled model.
    pub(super) fn compiled(&mut self, model: &str) -> Result<NodeId> {
        let name = format!("data/aotinductor/{model}/weights_config.json");
        let index = self.find(&name, || format!("where the weights of {model:?} are described"))?;
        let config: Compiled = self.config(index)?;
        let mut entries = Entries::default();
        for (name, (record, sizes, strides, offset)) in config.0 {
            let found = self.record_of(WEIGHTS, &record, index, &name)?;
            let whole = self.archived(found)?;
            let Node::Tensor(whole) = *self.tree.node(whole) else {
                return self.fail(found, "a tensor saved by torch.save was expected");
            };
            let whole = self.tree.tensor(whole).clone();
            if whole.quantizer.is_some() {
                return self.fail(found, "a quantised tensor, of which no part can be shown");
            }
            let (shape, stride) = (Dims::from(sizes), Dims::from(strides));
            let class = TensorClass::Tensor;
            let tensor = Tensor { shape, stride, offset, class, hooks: None, state: None, ..whole };
            let value = self.tensor(index, &name, tensor)?;
            self.add(index, &mut entries, &name, value)?;
        }
        Ok(self.dict(entries))
    }

    /// The state dict and the constants, each saved by `torch.save`.
    pub(super) fn saved(&mut self, weights: u32, constants: Option<u32>) -> Result<NodeId> {
        let mut entries = Entries::default();
        for index in [Some(weights), constants].into_iter().flatten() {
            self.saved_dict(index, &mut entries)?;
        }
        Ok(self.dict(entries))
    }

    /// Adds the entries of a dict that is a record.
    fn saved_dict(&mut self, index: u32, entries: &mut Entries) -> Result<()> {
        // Torch writes nothing at all for nothing.
        if self.archive.extent(index).len == 0 {
            return Ok(());
        }
        let root = self.archived(index)?;
        let Node::Dict(dict) = self.tree.node(root) else {
            return self.fail(index, "a dict of tensors was expected");
        };
        for (key, value) in dict.items.clone() {
            let Node::Str(name) = self.tree.node(key) else {
                return self.fail(index, "a dict with names as keys was expected");
            };
            if !entries.names.insert((**name).into()) {
                let problem = format!("there is another entry called {name:?}");
                return self.fail(index, problem);
            }
            entries.items.push((key, value));
        }
        Ok(())
    }

    fn payload(
        &mut self,
        folder: &str,
        config: u32,
        name: &str,
        payload: &Payload,
    ) -> Result<NodeId> {
        let path = payload.path_name.as_str();
        let index = self.record_of(folder, path, config, name)?;
        if folder == CONSTANTS {
            if path.starts_with("opaque_obj_") {
                return self.pickled(index);
            }
            if path.starts_with("custom_obj_") {
                return self.archived(index);
            }
            if !path.starts_with("tensor_") {
                let problem = format!("{name:?} is in {path:?}, which is no kind of constant");
                return self.fail(config, problem);
            }
        }
        if payload.use_pickle {
            return self.archived(index);
        }
        let Some(meta) = &payload.tensor_meta else {
            return self.fail(config, format!("{name:?} is a tensor, and not described"));
        };
        let dtype = match meta.dtype() {
            Ok(dtype) => dtype,
            Err(problem) => return self.fail(config, format!("{name:?}: {problem}")),
        };
        if let Some(layout) = meta.sparse() {
            let what = format!("{name:?} is no dense tensor: {layout}");
            return self.unsupported(config, what);
        }
        let storage = self.storage(index, config, name, dtype, meta)?;
        let tensor = Tensor {
            stride: meta.strides.clone(),
            offset: meta.storage_offset,
            requires_grad: meta.requires_grad,
            class: if payload.is_param { TensorClass::Parameter } else { TensorClass::Tensor },
            ..Tensor::contiguous(storage, dtype, &meta.sizes)
        };
        self.tensor(config, name, tensor)
    }

    /// A storage that is a record.
    fn storage(
        &mut self,
        index: u32,
        config: u32,
        name: &str,
        dtype: DType,
        meta: &Meta,
    ) -> Result<StorageId> {
        let len = self.archive.extent(index).len;
        let (size, numel) = (dtype.size() as u64, meta.sizes.iter().all(|&n| n > 0));
        if len == 0 && numel {
            let what = format!(
                "{name:?} has no bytes: the model was exported with tensors that have none"
            );
            return self.unsupported(index, what);
        }
        match self.storages.get(&index) {
            Some(&(storage, known)) if known == dtype => return Ok(storage),
            Some((_, known)) => {
                let record = self.archive.entry(index).name;
                let problem = format!("{name:?} is {dtype} in {record}, where others are {known}");
                return self.fail(config, problem);
            }
            None => {}
        }
        if !len.is_multiple_of(size) {
            let problem =
                format!("it has {len} bytes, no whole number of {dtype}, which {name:?} is");
            return self.fail(index, problem);
        }
        let location = meta.location();
        if *self.location != *location {
            self.location = location.into();
        }
        let record = self.archive.entry(index).name;
        let key = record.get(self.archive.prefix().len() + 1..).unwrap_or(record);
        let storage = self.tree.add_storage(Storage {
            key: key.into(),
            dtype: StorageType::Typed(dtype),
            location: self.location.clone(),
            numel: len / size,
        });
        self.places.push(Place::Entry { input: 0, entry: index });
        self.storages.insert(index, (storage, dtype));
        Ok(storage)
    }

    /// Adds a tensor, if it lies in its storage.
    fn tensor(&mut self, config: u32, name: &str, tensor: Tensor) -> Result<NodeId> {
        if tensor.shape.len() != tensor.stride.len() {
            let (sizes, strides) = (tensor.shape.len(), tensor.stride.len());
            return self.fail(config, format!("{name:?} has {sizes} sizes and {strides} strides"));
        }
        if let Err(problem) = tensor.check_bounds(self.tree.storage(tensor.storage)) {
            return self.fail(config, format!("{name:?}: {problem}"));
        }
        let id = self.tree.add_tensor(tensor);
        Ok(self.tree.add(Node::Tensor(id)))
    }

    /// What an archive of `torch.save` within the archive holds.
    fn archived(&mut self, index: u32) -> Result<NodeId> {
        if let Some(&known) = self.objects.get(&index) {
            return Ok(known);
        }
        let record = self.archive.record(self.source, index)?;
        if record.compressed {
            let part = Part::Record(self.archive.entry(index).name.into());
            let what = "an archive within the archive, and compressed";
            let advice = "zip the folder again without compression";
            return Err(Error::unsupported(&self.source.path, part, record.offset, what, advice));
        }
        let source = self.source.part(record.offset - self.source.base, record.len);
        let Some(inner) = Archive::open(&source, Naming::InOneFolder)? else {
            return self.fail(index, "a file of torch.save was expected here");
        };
        let options = Options { limits: self.limits(record.len), ..*self.options };
        let opened = zip::open(source, inner, &options)?;
        let Some(root) = opened.tree.root() else {
            return self.fail(index, "it holds no object");
        };
        // The archive itself is the first input.
        let inputs = self.inputs.len() as u32 + 1;
        self.inputs.extend(opened.inputs);
        self.places.extend(opened.places.into_iter().map(|place| place.shift(inputs)));
        self.warnings.extend(opened.warnings);
        self.adopt(index, opened.tree, root)
    }

    /// What a plain pickle holds.
    fn pickled(&mut self, index: u32) -> Result<NodeId> {
        if let Some(&known) = self.objects.get(&index) {
            return Ok(known);
        }
        let record = self.archive.record(self.source, index)?;
        let name = self.archive.entry(index).name;
        let limits = self.limits(record.stored_len);
        let most = limits.max_pickle_bytes;
        if record.len > most {
            let (path, part) = (&self.source.path, Part::Record(name.into()));
            return Err(Error::limit(path, part, "max_pickle_bytes", record.len, most, "bytes"));
        }
        let (bytes, warning) = record::read_all(self.source, name, &record, self.options.crc)?;
        self.warnings.extend(warning);
        let tree = pickle::load(&bytes, &limits, &self.source.path, name)?;
        if !tree.storages().is_empty() {
            return self.fail(index, "a plain pickle that shows storages, of which it has none");
        }
        match tree.root() {
            Some(root) => self.adopt(index, tree, root),
            None => self.fail(index, "it holds no object"),
        }
    }

    fn adopt(&mut self, index: u32, tree: Tree, root: NodeId) -> Result<NodeId> {
        let moved = self.tree.adopt(tree, &self.options.limits, &self.source.path)?;
        let root = moved.of(root);
        self.objects.insert(index, root);
        Ok(root)
    }

    /// The limits for an object in so many bytes. There may be many of them.
    fn limits(&self, len: u64) -> Limits {
        let mut limits = self.options.limits;
        limits.max_pickle_bytes = limits.max_pickle_bytes.min(len.saturating_mul(OBJECT_TIMES));
        limits.max_nodes = limits.max_nodes.min(len);
        limits
    }

    /// A description.
    fn config<T: serde::de::DeserializeOwned>(&mut self, index: u32) -> Result<T> {
        let record = self.archive.record(self.source, index)?;
        let name = self.archive.entry(index).name;
        if record.len > self.configs_left {
            let len = MAX_CONFIGS - self.configs_left + record.len;
            let what = format!("descriptions of {len} bytes, and at most {MAX_CONFIGS} are read");
            return self.unsupported(index, what);
        }
        let mut most = self.options.limits.max_pickle_bytes;
        if record.compressed {
            let allowed = INFLATED_TIMES.saturating_mul(self.source.len);
            most = most.min(allowed.saturating_add(INFLATED_LEAST));
        }
        if record.len > most {
            let (path, part) = (&self.source.path, Part::Record(name.into()));
            return Err(Error::limit(path, part, "max_pickle_bytes", record.len, most, "bytes"));
        }
        self.configs_left -= record.len;
        let (bytes, warning) = record::read_all(self.source, name, &record, self.options.crc)?;
        self.warnings.extend(warning);
        match serde_json::from_slice(&bytes) {
            Ok(config) => Ok(config),
            Err(e) => self.fail(index, format!("no valid description of tensors: {e}")),
        }
    }

    /// Adds an entry to those of a model.
    fn add(&mut self, at: u32, entries: &mut Entries, name: &str, value: NodeId) -> Result<()> {
        if !entries.names.insert(name.into()) {
            return self.fail(at, format!("there is another entry called {name:?}"));
        }
        let key = self.tree.add(Node::Str(name.into()));
        let count = self.tree.nodes().len() as u64;
        let most = self.options.limits.max_nodes.min(u64::from(u32::MAX - 1));
        if count > most {
            let path = &self.source.path;
            return Err(Error::limit(path, Part::Object, "max_nodes", count, most, "nodes"));
        }
        entries.items.push((key, value));
        Ok(())
    }

    fn dict(&mut self, entries: Entries) -> NodeId {
        self.tree.add(Node::Dict(Dict { items: entries.items, ..Dict::default() }))
    }

    /// The record that a name in a description points to.
    fn record_of(&self, folder: &str, record: &str, config: u32, name: &str) -> Result<u32> {
        match self.archive.find(&format!("{folder}{record}")) {
            Some(index) => Ok(index),
            None => {
                let folder = format!("{}/{folder}", self.archive.prefix());
                self.fail(config, format!("{name:?} is in {record:?}, which is not in {folder}"))
            }
        }
    }

    fn find(&self, name: &str, what: impl Fn() -> String) -> Result<u32> {
        self.archive.find(name).ok_or_else(|| {
            let problem = format!("no record {}/{name}, {}", self.archive.prefix(), what());
            Error::format(&self.source.path, Part::File, None, problem)
        })
    }

    /// An error about a record.
    fn fail<T>(&self, index: u32, problem: impl Into<String>) -> Result<T> {
        let entry = self.archive.entry(index);
        Err(self.source.format(Part::Record(entry.name.into()), entry.offset, problem))
    }

    fn unsupported<T>(&self, index: u32, what: String) -> Result<T> {
        let entry = self.archive.entry(index);
        Err(self.source.unsupported(Part::Record(entry.name.into()), entry.offset, what, SAVE))
    }
}
