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
use crate::{DType, Dict, Kind, Node, NodeId, Options, Storage, StorageType, Tensor, Tree};

/// The file that says what is where.
const METADATA: &str = ".metadata";
/// Longest way to a value, and longest list, that the keys of a checkpoint may ask for.
const MAX_KEYS: usize = 1000;
const MAX_LIST: i64 = 1 << 20;

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
    let stored = index.storage_data(root)?;
    let mut entries = Vec::new();
    for (key, value) in index.dict(root, "state_dict_metadata")? {
        let name = index.text(key, "a name")?;
        let class = index.class(value);
        let node = match class {
            "TensorStorageMetadata" => builder.tensor(&index, name, value, &stored)?,
            "BytesStorageMetadata" => builder.object(&index, name, &stored)?,
            _ => return index.fail(format!("{name:?} is of the unknown kind {class:?}")),
        };
        entries.push((name, node));
    }
    builder.nest(&index, root, entries)?;
    Ok(builder.all)
}

/// Where an item lies.
struct Stored<'t> {
    file: &'t str,
    offset: u64,
    len: u64,
}

type Items<'t> = HashMap<(&'t str, Option<Vec<u64>>), Stored<'t>>;

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
        let found = state.items.iter().find(|(key, _)| is(key)).map(|&(_, value)| value)?;
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
        let dims: Option<Vec<u64>> = match self.tree.kind_of(id) {
            Kind::Size(dims) => dims.into_iter().map(|n| u64::try_from(n).ok()).collect(),
            _ => match self.tree.node(id) {
                Node::Tuple(ids) | Node::List(ids) => {
                    let number = |id: &NodeId| match self.tree.node(*id) {
                        Node::Int(n) => u64::try_from(*n).ok(),
                        _ => None,
                    };
                    ids.iter().map(number).collect()
                }
                _ => None,
            },
        };
        dims.map_or_else(|| self.fail("a torch.Size was expected"), Ok)
    }

    fn size_of(&self, id: NodeId, name: &str) -> Result<Vec<u64>> {
        match self.attribute(id, name) {
            Some(id) => self.size(id),
            None => self.fail(format!("{name} is missing")),
        }
    }

    /// Where each item lies.
    fn storage_data(&self, root: NodeId) -> Result<Items<'t>> {
        let mut items = HashMap::new();
        for (key, value) in self.dict(root, "storage_data")? {
            let name = match self.attribute(key, "fqn") {
                Some(name) => self.text(name, "fqn")?,
                None => return self.fail("an entry of storage_data has no fqn"),
            };
            let offset = self.attribute(key, "offset").map(|id| self.size(id)).transpose()?;
            let file = match self.attribute(value, "relative_path") {
                Some(file) => self.text(file, "relative_path")?,
                None => return self.fail(format!("an item of {name:?} has no relative_path")),
            };
            // The metadata say what to read, not where on this machine.
            let plain = Path::new(file).file_name().is_some_and(|n| n == file);
            if !plain || file.contains(['/', '\\', '\0']) {
                return self
                    .fail(format!("the file {file:?} of {name:?} is no name in the folder"));
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
            items.insert((name, offset), Stored { file, offset: at, len });
        }
        Ok(items)
    }
}

/// Puts the object together.
struct Builder<'a> {
    folder: &'a Path,
    options: &'a Options,
    files: HashMap<String, Source>,
    all: Opened,
}

impl Builder<'_> {
    /// The part of a file that an item takes.
    fn source(&mut self, index: &Index<'_>, name: &str, at: &Stored<'_>) -> Result<Source> {
        let source = match self.files.get(at.file) {
            Some(source) => source,
            None => {
                let source = Source::open(&self.folder.join(at.file))?;
                self.files.entry(at.file.to_owned()).or_insert(source)
            }
        };
        match at.offset.checked_add(at.len) {
            Some(end) if end <= source.len => Ok(source.part(at.offset, at.len)),
            _ => index.fail(format!(
                "truncated: {name:?} takes {} bytes from byte {} of {}, which has {}",
                at.len, at.offset, at.file, source.len
            )),
        }
    }

    fn tensor(
        &mut self,
        index: &Index<'_>,
        name: &str,
        id: NodeId,
        stored: &Items<'_>,
    ) -> Result<NodeId> {
        let shape = index.size_of(id, "size")?;
        let dtype = self.element_type(index, name, id)?;
        let Some(Node::List(chunks)) = index.attribute(id, "chunks").map(|c| index.tree.node(c))
        else {
            return index.fail(format!("the chunks of {name:?} were expected to be a list"));
        };
        let mut pieces = Vec::with_capacity(chunks.len());
        for &chunk in chunks {
            let offsets = index.size_of(chunk, "offsets")?;
            let sizes = index.size_of(chunk, "sizes")?;
            let found = stored.get(&(name, Some(offsets.clone())));
            let found = found.or_else(|| stored.get(&(name, None)).filter(|_| chunks.len() == 1));
            let Some(at) = found else {
                return index.fail(format!("nothing says where {name:?} at {offsets:?} is stored"));
            };
            let source = self.source(index, name, at)?;
            let (offsets, sizes) = (offsets.into(), sizes.into());
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
        let storage = tree.add_storage(storage);
        let tensor = tree.add_tensor(Tensor::contiguous(storage, dtype, &shape));
        self.all.places.push(Place::pieces(pieces));
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
    fn object(&mut self, index: &Index<'_>, name: &str, stored: &Items<'_>) -> Result<NodeId> {
        let Some(at) = stored.get(&(name, None)) else {
            return index.fail(format!("nothing says where {name:?} is stored"));
        };
        let source = self.source(index, name, at)?;
        let path = source.path.clone();
        let archive = Archive::open(&source, Naming::InOneFolder)?.ok_or_else(|| {
            source.format(Part::File, 0, format!("the archive of {name:?} was expected here"))
        })?;
        let opened = zip::open(source, archive, self.options)?;
        let root = opened.tree.root().unwrap_or(NodeId(0));
        let inputs = self.all.inputs.len() as u32;
        self.all.inputs.extend(opened.inputs);
        self.all.places.extend(opened.places.into_iter().map(|place| place.shift(inputs)));
        self.all.warnings.extend(opened.warnings);
        let moved = self.all.tree.adopt(opened.tree, &self.options.limits, &path)?;
        Ok(moved.of(root))
    }

    /// Makes the object whose parts have these names: nested, where the metadata say how.
    fn nest(
        &mut self,
        index: &Index<'_>,
        root: NodeId,
        entries: Vec<(&str, NodeId)>,
    ) -> Result<()> {
        let planner = index.attribute(root, "planner_data").map(|id| index.tree.node(id));
        let ways: HashMap<&str, &[NodeId]> = match planner {
            Some(Node::Dict(dict)) => dict
                .items
                .iter()
                .filter_map(|&(key, way)| match (index.tree.node(key), index.tree.node(way)) {
                    (Node::Str(key), Node::Tuple(way)) => Some((&**key, &way[..])),
                    _ => None,
                })
                .collect(),
            _ => HashMap::new(),
        };
        let tree = &mut self.all.tree;
        let top = tree.add(Node::Dict(Dict::default()));
        tree.set_root(top);
        let mut nest = Nest { tree, children: HashMap::new() };
        for (name, value) in entries {
            let named = [Key::Name(name.to_owned())];
            let way: Option<Vec<Key>> = match ways.get(name) {
                Some(way) if !way.is_empty() && way.len() <= MAX_KEYS => {
                    way.iter().map(|&key| Key::of(index.tree.node(key))).collect()
                }
                _ => None,
            };
            let way = way.as_deref().unwrap_or(&named);
            if nest.put(top, way, value).is_none() {
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
#[derive(Clone, PartialEq, Eq, Hash)]
enum Key {
    Name(String),
    /// A place in a list.
    Place(usize),
}

impl Key {
    fn of(node: &Node) -> Option<Key> {
        match node {
            Node::Str(name) => Some(Key::Name(name.to_string())),
            Node::Int(n @ 0..MAX_LIST) => Some(Key::Place(*n as usize)),
            _ => None,
        }
    }
}

/// Dicts and lists that are being filled.
struct Nest<'t> {
    tree: &'t mut Tree,
    children: HashMap<(NodeId, Key), NodeId>,
}

impl Nest<'_> {
    /// Puts a value where the keys lead; `None` where they contradict others.
    fn put(&mut self, top: NodeId, way: &[Key], value: NodeId) -> Option<()> {
        let mut at = top;
        for (i, key) in way.iter().enumerate() {
            let last = i + 1 == way.len();
            let known = self.children.get(&(at, key.clone())).copied();
            let child = match (known, last) {
                (Some(_), true) => return None,
                (Some(child), false) => child,
                (None, _) => {
                    let child = match way.get(i + 1) {
                        None => value,
                        Some(Key::Name(_)) => self.tree.add(Node::Dict(Dict::default())),
                        Some(Key::Place(_)) => self.tree.add(Node::List(Vec::new())),
                    };
                    self.insert(at, key, child)?;
                    self.children.insert((at, key.clone()), child);
                    child
                }
            };
            at = child;
        }
        Some(())
    }

    fn insert(&mut self, at: NodeId, key: &Key, child: NodeId) -> Option<()> {
        match key {
            Key::Name(name) => {
                let name = self.tree.add(Node::Str(name.as_str().into()));
                let Node::Dict(dict) = self.tree.node_mut(at) else { return None };
                dict.items.push((name, child));
            }
            Key::Place(place) => {
                // Places that nothing is put into hold None, as in torch.
                while matches!(self.tree.node(at), Node::List(l) if l.len() <= *place) {
                    let none = self.tree.add(Node::None);
                    let Node::List(list) = self.tree.node_mut(at) else { return None };
                    list.push(none);
                }
                let Node::List(list) = self.tree.node_mut(at) else { return None };
                *list.get_mut(*place)? = child;
            }
        }
        Some(())
    }
}
