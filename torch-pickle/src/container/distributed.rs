//! The folder that the processes of a training wrote together.
//!
//! ```text
//! .metadata     a pickle of torch.distributed.checkpoint.metadata.Metadata:
//!                 state_dict_metadata  name → TensorStorageMetadata(properties, size, chunks)
//!                                      or BytesStorageMetadata
//!                 planner_data         name → the keys that lead there
//!                 storage_data         MetadataIndex(fqn, offset) → _StorageInfo(relative_path,
//!                                      offset, length)
//! __0_0.distcp  zip archives of torch one after another: a box of a tensor each, or an object
//! ```

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use super::{Container, Opened, zip};
use crate::archive::{Archive, Naming};
use crate::error::{Error, Part, Result};
use crate::pickle::{self, Stream};
use crate::pieces::{Piece, Pieces};
use crate::place::Place;
use crate::source::Source;
use crate::{
    DType, Dict, Dims, Node, NodeId, Options, Storage, StorageId, StorageType, Tensor, Tree,
};

/// The file that says what is where.
const METADATA: &str = ".metadata";
/// Longest way to a value.
const MAX_KEYS: usize = 1000;
/// What the pickle of an object may inflate to for each byte of its archive.
const OBJECT_TIMES: u64 = 16;
/// Places in lists that may stay empty, in all; so many more may be filled later as there are
/// entries.
const MAX_GAPS: usize = 1 << 16;
/// Most attributes of an object that are looked at, and most dimensions of a tensor: torch's
/// objects have a dozen, and its tensors 64.
const MAX_ATTRIBUTES: usize = 64;
const MAX_DIMS: usize = 64;

/// The file with the metadata of a folder, if it is one of a distributed checkpoint.
pub(super) fn metadata_file(folder: &Path) -> Option<PathBuf> {
    Some(folder.join(METADATA)).filter(|file| file.is_file())
}

pub(super) fn open(folder: &Path, metadata: &Path, options: &Options) -> Result<Opened> {
    let source = Source::open(metadata)?;
    let limits = &options.limits;
    let bytes = Stream::new(&source, 0, source.len).pickle("metadata", limits)?;
    let tree = pickle::load(&bytes, limits, metadata, "metadata")?;
    let index = Index { tree: &tree, path: metadata };
    let mut builder = Builder {
        folder,
        options,
        files: HashMap::new(),
        pieces_left: 0,
        chunks_left: bytes.len(),
        all: Opened {
            container: Container::Distributed,
            tree: Tree::new(),
            inputs: Vec::new(),
            places: Vec::new(),
            constants: None,
            warnings: Vec::new(),
        },
    };
    let root = index.root()?;
    let mut names = Names::default();
    let stored = index.storage_data(root, &mut names)?;
    builder.pieces_left = stored.len();
    let mut entries = Vec::new();
    for (key, value) in index.dict(root, "state_dict_metadata")? {
        let name = index.text(key, "a name")?;
        let id = names.of(key, name);
        let class = index.class(value);
        let node = match class {
            "TensorStorageMetadata" => builder.tensor(&index, (id, name), value, &stored)?,
            "BytesStorageMetadata" => builder.object(&index, (id, name), &stored)?,
            _ => return index.fail(format!("{name:?} is of the unknown kind {class:?}")),
        };
        entries.push((id, key, node));
    }
    builder.nest(&index, root, names, entries)?;
    Ok(builder.all)
}

/// Where an item lies.
struct Stored<'t> {
    file: &'t str,
    offset: u64,
    len: u64,
}

type Items<'t> = HashMap<(Name, Option<Dims>), Stored<'t>>;

/// The number of a text.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Name(u32);

/// Texts by number. One that is mentioned many times is compared once: it may be long, and a
/// mention short.
#[derive(Default)]
struct Names<'t> {
    by_node: HashMap<NodeId, Name>,
    by_text: HashMap<&'t str, Name>,
}

impl<'t> Names<'t> {
    fn of(&mut self, id: NodeId, text: &'t str) -> Name {
        *self.by_node.entry(id).or_insert_with(|| {
            let next = Name(self.by_text.len() as u32);
            *self.by_text.entry(text).or_insert(next)
        })
    }
}

/// The metadata, read as the objects they describe.
struct Index<'t> {
    tree: &'t Tree,
    path: &'t Path,
}

impl<'t> Index<'t> {
    fn fail<T>(&self, problem: impl Into<String>) -> Result<T> {
        Err(Error::format(self.path, Part::Pickle("metadata".into()), None, problem))
    }

    fn root(&self) -> Result<NodeId> {
        match self.tree.root() {
            Some(root) if self.class(root) == "Metadata" => Ok(root),
            _ => self.fail(
                "an object of class torch.distributed.checkpoint.metadata.Metadata was expected",
            ),
        }
    }

    /// The name of an object's class.
    fn class(&self, id: NodeId) -> &'t str {
        let Node::Object(object) = self.tree.node(id) else { return "" };
        match self.tree.node(object.callable) {
            Node::Global(global)
                // The second is what torch 1.13 calls it.
                if global.module.starts_with("torch.distributed.checkpoint")
                    || global.module.starts_with("torch.distributed._shard.checkpoint") =>
            {
                &global.name
            }
            _ => "",
        }
    }

    /// An attribute of an object.
    fn attribute(&self, id: NodeId, name: &str) -> Option<NodeId> {
        let Node::Object(object) = self.tree.node(id) else { return None };
        let Node::Dict(state) = self.tree.node(object.state?) else { return None };
        let is = |key: &NodeId| matches!(self.tree.node(*key), Node::Str(s) if &**s == name);
        // Many objects may share one state: it is not searched far for each of them.
        let mut items = state.items.iter().take(MAX_ATTRIBUTES);
        let found = items.find(|(key, _)| is(key)).map(|&(_, value)| value)?;
        (!matches!(self.tree.node(found), Node::None)).then_some(found)
    }

    fn dict(&self, id: NodeId, name: &str) -> Result<impl Iterator<Item = (NodeId, NodeId)> + 't> {
        match self.attribute(id, name).map(|id| self.tree.node(id)) {
            Some(Node::Dict(dict)) => Ok(dict.items.iter().copied()),
            _ => self.fail(format!("{name} was expected to be a dict")),
        }
    }

    fn text(&self, id: NodeId, what: &str) -> Result<&'t str> {
        match self.tree.node(id) {
            Node::Str(text) => Ok(text),
            _ => self.fail(format!("{what} was expected to be a string")),
        }
    }

    fn count(&self, id: NodeId, name: &str) -> Result<u64> {
        match self.attribute(id, name).map(|id| self.tree.node(id)) {
            Some(Node::Int(n @ 0..)) => Ok(*n as u64),
            _ => self.fail(format!("{name} was expected to be a number from 0 up")),
        }
    }

    /// A `torch.Size` or a tuple.
    fn size(&self, id: NodeId) -> Result<Vec<u64>> {
        let mut node = self.tree.node(id);
        if let Node::Object(object) = node
            && matches!(self.tree.node(object.callable), Node::Global(g) if g.is("torch", "Size"))
            && let Node::Tuple(args) = self.tree.node(object.args)
            && let [inner] = args[..]
        {
            node = self.tree.node(inner);
        }
        let (Node::Tuple(ids) | Node::List(ids)) = node else {
            return self.fail("a torch.Size was expected");
        };
        if ids.len() > MAX_DIMS {
            let count = ids.len();
            return self.fail(format!("{count} dimensions, and at most {MAX_DIMS} are read"));
        }
        let number = |id: &NodeId| match self.tree.node(*id) {
            Node::Int(n) => u64::try_from(*n).ok(),
            _ => None,
        };
        let dims: Option<Vec<u64>> = ids.iter().map(number).collect();
        dims.map_or_else(|| self.fail("a torch.Size with sizes from 0 up was expected"), Ok)
    }

    fn size_of(&self, id: NodeId, name: &str) -> Result<Vec<u64>> {
        match self.attribute(id, name) {
            Some(id) => self.size(id),
            None => self.fail(format!("{name} is missing")),
        }
    }

    /// Where each item lies.
    fn storage_data(&self, root: NodeId, names: &mut Names<'t>) -> Result<Items<'t>> {
        let mut items = HashMap::new();
        for (key, value) in self.dict(root, "storage_data")? {
            let Some(fqn) = self.attribute(key, "fqn") else {
                return self.fail("an entry of storage_data has no fqn");
            };
            let name = self.text(fqn, "fqn")?;
            let offset = self.attribute(key, "offset").map(|id| self.size(id)).transpose()?;
            let file = match self.attribute(value, "relative_path") {
                Some(file) => self.text(file, "relative_path")?,
                None => return self.fail(format!("an item of {name:?} has no relative_path")),
            };
            if file.len() > super::MAX_NAME {
                return self
                    .fail(format!("the file of {name:?} has a name of {} bytes", file.len()));
            }
            if let Some(how) = self.attribute(value, "transform_descriptors")
                && !matches!(self.tree.node(how), Node::Tuple(l) | Node::List(l) if l.is_empty())
            {
                let what = format!("{name:?} is transformed, perhaps compressed");
                let part = Part::Pickle("metadata".into());
                let advice = "save the checkpoint without extensions";
                return Err(Error::unsupported(self.path, part, None, what, advice));
            }
            let (at, len) = (self.count(value, "offset")?, self.count(value, "length")?);
            let item = (names.of(fqn, name), offset.map(Dims::from));
            if items.insert(item, Stored { file, offset: at, len }).is_some() {
                return self.fail(format!("{name:?} is said to be stored in two places"));
            }
        }
        Ok(items)
    }
}

/// Puts the object together.
struct Builder<'a> {
    folder: &'a Path,
    options: &'a Options,
    /// By name, and how many bytes of each are objects'.
    files: HashMap<String, (Source, u64)>,
    /// Pieces that there may still be: each is stored somewhere.
    pieces_left: usize,
    /// Chunks that may still be looked at. A list of them may be that of many tensors.
    chunks_left: usize,
    all: Opened,
}

impl Builder<'_> {
    /// The part of a file that an item takes.
    fn source(&mut self, index: &Index<'_>, name: &str, at: &Stored<'_>) -> Result<Source> {
        if !self.files.contains_key(at.file) {
            match super::file_in(self.folder, at.file)? {
                Ok(source) => self.files.insert(at.file.to_owned(), (source, 0)),
                Err(problem) => {
                    let file = at.file;
                    return index.fail(format!("the file {file:?} of {name:?} {problem}"));
                }
            };
        }
        let source = self.files.get(at.file).map(|(source, _)| source);
        let end = at.offset.checked_add(at.len);
        match source.zip(end) {
            Some((source, end)) if end <= source.len => Ok(source.part(at.offset, at.len)),
            _ => index.fail(format!(
                "truncated: {name:?} takes {} bytes from byte {} of {:?}, which has {}",
                at.len,
                at.offset,
                at.file,
                source.map_or(0, |source| source.len)
            )),
        }
    }

    fn tensor(
        &mut self,
        index: &Index<'_>,
        (number, name): (Name, &str),
        id: NodeId,
        stored: &Items<'_>,
    ) -> Result<NodeId> {
        let shape = index.size_of(id, "size")?;
        let dtype = self.element_type(index, name, id)?;
        let Some(Node::List(chunks)) = index.attribute(id, "chunks").map(|c| index.tree.node(c))
        else {
            return index.fail(format!("the chunks of {name:?} were expected to be a list"));
        };
        self.chunks_left = match self.chunks_left.checked_sub(chunks.len()) {
            Some(left) => left,
            None => return index.fail(format!("{name:?} has more chunks than the file has bytes")),
        };
        let mut pieces = Vec::new();
        for &chunk in chunks {
            let offsets: Dims = index.size_of(chunk, "offsets")?.into();
            let sizes: Dims = index.size_of(chunk, "sizes")?.into();
            if sizes.contains(&0) {
                continue;
            }
            // Those of one tensor are at different places, so there are no more than items.
            self.pieces_left = match self.pieces_left.checked_sub(1) {
                Some(left) => left,
                None => return index.fail(format!("the chunks of {name:?} overlap")),
            };
            let found = stored.get(&(number, Some(offsets.clone())));
            let found = found.or_else(|| stored.get(&(number, None)).filter(|_| chunks.len() == 1));
            let Some(at) = found else {
                return index.fail(format!("nothing says where {name:?} at {offsets:?} is stored"));
            };
            let source = self.source(index, name, at)?;
            pieces.push(Piece { offsets, sizes, source, opened: OnceLock::new() });
        }
        let path = self.folder.to_owned();
        let what = (shape.clone().into(), dtype);
        let pieces = Pieces::new(path, name, what, pieces, *self.options)?;
        let tree = &mut self.all.tree;
        // What covers the shape was just found to be counted by 64 bits.
        let numel = pieces.len() / dtype.size() as u64;
        let storage = Storage {
            key: name.into(),
            dtype: StorageType::Typed(dtype),
            location: "cpu".into(),
            numel,
        };
        let mut tensor = Tensor::contiguous(StorageId(0), dtype, &shape);
        if let Err(problem) = tensor.check_bounds(&storage) {
            return index.fail(format!("{name:?}: {problem}"));
        }
        tensor.storage = tree.add_storage(storage);
        let tensor = tree.add_tensor(tensor);
        self.all.places.push(Place::Pieces(Box::new(pieces)));
        Ok(tree.add(Node::Tensor(tensor)))
    }

    /// The type of a tensor. Its other properties torch does not bring back either.
    fn element_type(&self, index: &Index<'_>, name: &str, id: NodeId) -> Result<DType> {
        let properties = index.attribute(id, "properties").map(|p| index.tree.node(p));
        let state = match properties {
            Some(Node::Object(object)) => object.state.map(|s| index.tree.node(s)),
            _ => None,
        };
        let first = match state {
            Some(Node::Tuple(state)) => state.first().copied(),
            // Torch 1.13 has no state of its own for it.
            Some(Node::Dict(_)) => properties_of(index, id),
            _ => None,
        };
        let dtype = match first.map(|d| index.tree.node(d)) {
            Some(Node::Global(g)) if &*g.module == "torch" => DType::from_name(&g.name),
            _ => None,
        };
        match dtype {
            // What a quantised tensor is scaled by is nowhere in the folder.
            Some(dtype) if dtype.values_per_item() == 1 && !dtype.name().starts_with('q') => {
                Ok(dtype)
            }
            Some(dtype) => {
                let what = format!("{name:?} is {dtype}, which such a folder does not describe");
                let part = Part::Pickle("metadata".into());
                Err(Error::unsupported(
                    index.path,
                    part,
                    None,
                    what,
                    "torch does not load it either",
                ))
            }
            None => index.fail(format!("the element type of {name:?} is not known")),
        }
    }

    /// An object that is no tensor: an archive of its own.
    fn object(
        &mut self,
        index: &Index<'_>,
        (number, name): (Name, &str),
        stored: &Items<'_>,
    ) -> Result<NodeId> {
        let Some(at) = stored.get(&(number, None)) else {
            return index.fail(format!("nothing says where {name:?} is stored"));
        };
        let source = self.source(index, name, at)?;
        let path = source.path.clone();
        // Each is a part of its file: together they are no longer. One that is read many times
        // would make a large object of a small file.
        if let Some((file, taken)) = self.files.get_mut(at.file) {
            *taken = taken.saturating_add(at.len);
            if *taken > file.len {
                let problem = format!("{name:?} overlaps another item of {:?}", at.file);
                return index.fail(problem);
            }
        }
        // Nor may what is compressed cost more than a few times its length, as there may be many.
        let mut options = *self.options;
        let limits = &mut options.limits;
        limits.max_pickle_bytes = limits.max_pickle_bytes.min(at.len.saturating_mul(OBJECT_TIMES));
        limits.max_nodes = limits.max_nodes.min(at.len);
        let archive = Archive::open(&source, Naming::InOneFolder)?.ok_or_else(|| {
            source.format(Part::File, 0, format!("the archive of {name:?} was expected here"))
        })?;
        let opened = zip::open(source, archive, &options)?;
        let root = opened.tree.root().unwrap_or(NodeId::new(0));
        let inputs = self.all.inputs.len() as u32;
        self.all.inputs.extend(opened.inputs);
        self.all.places.extend(opened.places.into_iter().map(|place| place.shift(inputs)));
        self.all.warnings.extend(opened.warnings);
        let moved = self.all.tree.adopt(opened.tree, &self.options.limits, &path)?;
        Ok(moved.of(root))
    }

    /// Makes the object whose parts have these names: nested, where the metadata say how.
    fn nest<'t>(
        &mut self,
        index: &Index<'t>,
        root: NodeId,
        mut names: Names<'t>,
        entries: Vec<(Name, NodeId, NodeId)>,
    ) -> Result<()> {
        let planner = index.attribute(root, "planner_data").map(|id| index.tree.node(id));
        let mut ways: HashMap<Name, &[NodeId]> = HashMap::new();
        if let Some(Node::Dict(dict)) = planner {
            for &(key, way) in &dict.items {
                let (Node::Str(text), Node::Tuple(way)) =
                    (index.tree.node(key), index.tree.node(way))
                else {
                    continue;
                };
                ways.insert(names.of(key, text), way);
            }
        }
        let tree = &mut self.all.tree;
        let top = tree.add(Node::Dict(Dict::default()));
        tree.set_root(top);
        let (children, texts) = (HashMap::new(), HashMap::new());
        let most_gaps = MAX_GAPS + entries.len();
        let mut nest = Nest { index, names, tree, children, texts, gaps: 0, most_gaps };
        let most = self.options.limits.max_nodes.min(u64::from(u32::MAX - 1));
        for (name, key, value) in entries {
            let way = ways.get(&name).copied();
            let way = way.filter(|way| (1..=MAX_KEYS).contains(&way.len()));
            let way: Option<Vec<Key>> =
                way.and_then(|way| way.iter().map(|&key| nest.key(key)).collect());
            let way = way.or_else(|| nest.key(key).map(|key| vec![key])).unwrap_or_default();
            let put = nest.put(top, &way, value);
            let count = nest.tree.nodes().len() as u64;
            if count > most {
                let part = Part::Object;
                return Err(Error::limit(index.path, part, "max_nodes", count, most, "nodes"));
            }
            if put.is_none() {
                let name = index.text(key, "a name")?;
                return index.fail(format!("{name:?} does not fit where its keys lead"));
            }
        }
        Ok(())
    }
}

/// The element type among the properties of a tensor, as torch 1.13 has them.
fn properties_of(index: &Index<'_>, id: NodeId) -> Option<NodeId> {
    index.attribute(index.attribute(id, "properties")?, "dtype")
}

/// A step on the way to a value.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Key {
    Name(Name, NodeId),
    /// A place in a list.
    Place(usize),
}

/// Dicts and lists that are being filled.
struct Nest<'n, 't> {
    index: &'n Index<'t>,
    names: Names<'t>,
    tree: &'n mut Tree,
    children: HashMap<(NodeId, Key), NodeId>,
    /// The nodes of names that are keys: one for each, however many dicts have it.
    texts: HashMap<Name, NodeId>,
    /// Places of lists that nothing was put into yet, and how many there may be.
    gaps: usize,
    most_gaps: usize,
}

impl Nest<'_, '_> {
    /// What a key in the metadata means here.
    fn key(&mut self, id: NodeId) -> Option<Key> {
        match self.index.tree.node(id) {
            Node::Str(text) => {
                let name = self.names.of(id, text);
                let tree = &mut self.tree;
                let node =
                    self.texts.entry(name).or_insert_with(|| tree.add(Node::Str(text.clone())));
                Some(Key::Name(name, *node))
            }
            Node::Int(n) => usize::try_from(*n).ok().map(Key::Place),
            _ => None,
        }
    }

    /// Puts a value where the keys lead; `None` where they contradict others.
    fn put(&mut self, top: NodeId, way: &[Key], value: NodeId) -> Option<()> {
        let mut at = top;
        for (i, &key) in way.iter().enumerate() {
            let last = i + 1 == way.len();
            let known = self.children.get(&(at, key)).copied();
            let child = match (known, last) {
                (Some(_), true) => return None,
                (Some(child), false) => child,
                (None, _) => {
                    let child = match way.get(i + 1) {
                        None => value,
                        Some(Key::Name(..)) => self.tree.add(Node::Dict(Dict::default())),
                        Some(Key::Place(_)) => self.tree.add(Node::List(Vec::new())),
                    };
                    self.insert(at, key, child)?;
                    self.children.insert((at, key), child);
                    child
                }
            };
            at = child;
        }
        Some(())
    }

    fn insert(&mut self, at: NodeId, key: Key, child: NodeId) -> Option<()> {
        match (key, self.tree.node_mut(at)) {
            (Key::Name(_, name), Node::Dict(dict)) => dict.items.push((name, child)),
            (Key::Place(place), Node::List(list)) => {
                // Places that nothing is put into hold None, as in torch.
                if let Some(gap) = place.checked_sub(list.len()).filter(|&gap| gap > 0) {
                    self.gaps = self.gaps.checked_add(gap).filter(|&n| n <= self.most_gaps)?;
                    let none = self.tree.add(Node::None);
                    let Node::List(list) = self.tree.node_mut(at) else { return None };
                    list.resize(place, none);
                }
                let Node::List(list) = self.tree.node_mut(at) else { return None };
                match list.get_mut(place) {
                    Some(empty) => {
                        *empty = child;
                        self.gaps -= 1;
                    }
                    None => list.push(child),
                }
            }
            _ => return None,
        }
        Some(())
    }
}
