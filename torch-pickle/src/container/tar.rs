//! The tar archive that torch 0.1 wrote, of four members:
//!
//! ```text
//! sys_info  pickle
//! storages  pickle: how many; for each
//!             pickle (key, location, class), 8 bytes number of elements, the elements
//!           pickle [(key, key of the whole, offset, elements), …]: storages that are parts
//! tensors   pickle: how many; for each
//!             pickle (key, key of the storage, class), 4 bytes ndim, 4 bytes nothing,
//!             8 bytes for each size, 8 for each stride, 8 for the offset
//! pickle    the object; a tensor or storage is the persistent id of its key
//! ```
//!
//! Numbers are little-endian; keys are numbers. (`legacy_load` in `torch/serialization.py`; the
//! headers are those of POSIX ustar, IEEE Std 1003.1.)

use std::collections::HashMap;
use std::sync::Arc;

use super::legacy::{root, small};
use super::{Container, Opened};
use crate::error::{Error, Part, Result};
use crate::pickle::{self, Dialect, Stream};
use crate::place::{Input, Place};
use crate::record::Record;
use crate::source::Source;
use crate::{
    ByteOrder, Node, NodeId, Options, Storage, StorageId, StorageType, Tensor, TensorClass, Tree,
};

/// The size of a header, and what contents are padded to.
const BLOCK: u64 = 512;
/// Members looked at: there are four, and perhaps what somebody has added.
const MAX_MEMBERS: usize = 64;
const NAMES: [&str; 4] = ["sys_info", "storages", "tensors", "pickle"];
/// Longest extended header that is looked into.
const MAX_EXTENDED: u64 = 64 * 1024;
/// Most dimensions of a tensor, as numpy's and torch's own limit.
const MAX_DIMS: u32 = 64;

/// Whether a file begins with a tar header.
pub(super) fn is_one(head: &[u8]) -> bool {
    head.get(..BLOCK as usize).is_some_and(|h| &h[257..262] == b"ustar" || old_header(h))
}

/// A header from before ustar has no magic; its checksum tells.
fn old_header(header: &[u8]) -> bool {
    NAMES.contains(&&*name(header)) && checksum_fits(header)
}

fn checksum_fits(header: &[u8]) -> bool {
    let sum: u64 = (header.iter().enumerate())
        .map(|(i, &b)| if (148..156).contains(&i) { u64::from(b' ') } else { u64::from(b) })
        .sum();
    octal(&header[148..156]) == Some(sum)
}

/// A number in octal digits.
fn octal(field: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(field).ok()?;
    let text = text.trim_matches(|c| c == ' ' || c == '\0');
    u64::from_str_radix(text, 8).ok().filter(|_| !text.starts_with('+'))
}

/// The name in a header: a folder may stand in a field of its own.
fn name(header: &[u8]) -> String {
    let text = |field: &[u8]| {
        let end = field.iter().position(|&b| b == 0).unwrap_or(field.len());
        String::from_utf8_lossy(&field[..end]).into_owned()
    };
    let name = text(&header[..100]);
    let name = match &header[257..262] == b"ustar" && header[345] != 0 {
        true => format!("{}/{name}", text(&header[345..500])),
        false => name,
    };
    name.strip_prefix("./").map(str::to_owned).unwrap_or(name)
}

/// Whether an extended header, of lines `length key=value`, changes what the next one says.
fn renames(source: &Source, from: u64, len: u64) -> Result<bool> {
    if len > MAX_EXTENDED {
        return Ok(true);
    }
    let text = source.bytes(from, len as usize)?;
    let has = |key: &[u8]| text.windows(key.len()).any(|w| w == key);
    Ok(has(b" path=") || has(b" size=") || has(b" linkpath=") || has(b" GNU.sparse"))
}

/// The ranges of the members by name.
fn members(source: &Source) -> Result<HashMap<String, (u64, u64)>> {
    let mut found = HashMap::new();
    let (mut at, mut count) = (0, 0);
    while at + BLOCK <= source.len {
        let header = source.bytes(at, BLOCK as usize)?;
        if header.iter().all(|&b| b == 0) {
            break;
        }
        let fail = |problem: String| Err(source.format(Part::File, at, problem));
        if !checksum_fits(&header) {
            return fail("a tar header was expected here, and its checksum is wrong".into());
        }
        count += 1;
        if count > MAX_MEMBERS {
            return fail(format!("more than {MAX_MEMBERS} members, and four were expected"));
        }
        let Some(len) = octal(&header[124..136]) else {
            return fail("the length of a member is no octal number".into());
        };
        let name = name(&header);
        let from = at + BLOCK;
        if len > source.len - from {
            let left = source.len - from;
            return fail(format!(
                "truncated: member {name:?} needs {len} bytes, and {left} are left"
            ));
        }
        match header[156] {
            b'0' | 0 => {
                if let Some((other, _)) = found.insert(name.clone(), (from, len)) {
                    return fail(format!("another member {name:?} is at byte {other}"));
                }
            }
            // Python's tarfile writes times with fractions this way.
            b'x' | b'g' if !renames(source, from, len)? => {}
            b'x' | b'g' | b'L' => {
                return fail("the name or length of a member stands in a header of its own".into());
            }
            // Links, folders and the like hold nothing that is wanted.
            _ if NAMES.contains(&&*name) => {
                return fail(format!("member {name:?} is no plain file"));
            }
            _ => {}
        }
        at = from + len.next_multiple_of(BLOCK);
    }
    Ok(found)
}

pub(super) fn open(source: Source, options: &Options) -> Result<Opened> {
    let path = &source.path;
    let members = members(&source)?;
    let member = |name: &str| match members.get(name) {
        Some(&(from, len)) => Ok(Stream::new(&source, from, from + len)),
        None if members.contains_key("pickle") || members.contains_key("storages") => {
            Err(Error::format(path, Part::File, None, format!("no member {name}")))
        }
        None => Err(Error::unsupported(
            path,
            Part::File,
            None,
            "a tar archive that is not one of torch",
            "unpack it, and open what is in it",
        )),
    };
    let mut tables = Tables::default();
    tables.storages(&mut member("storages")?, &source, options)?;
    tables.tensors(&mut member("tensors")?, options)?;
    let bytes = member("pickle")?.pickle("pickle", &options.limits)?;
    let dialect = Dialect::Numbered(tables.tree, tables.nodes);
    let tree = pickle::load_as(&bytes, &options.limits, path, "pickle", dialect)?.tree;
    let (container, places) = (Container::Tar, tables.places);
    let inputs = vec![Input { source, archive: None }];
    Ok(Opened { container, tree, inputs, places, constants: None, warnings: Vec::new() })
}

/// Storages and tensors by their keys, which the object mentions.
#[derive(Default)]
struct Tables {
    tree: Tree,
    nodes: HashMap<u64, NodeId>,
    places: Vec<Place>,
    /// Where each storage starts in the file.
    offsets: Vec<u64>,
    /// Of which storage, and from which element on, a storage is a part.
    parts: HashMap<StorageId, (StorageId, u64)>,
}

impl Tables {
    fn storages(
        &mut self,
        stream: &mut Stream<'_>,
        source: &Source,
        options: &Options,
    ) -> Result<()> {
        for _ in 0..count(stream, "storages", options)? {
            let at = stream.at();
            let fail = |problem: &str| Err(source.format(Part::File, at, problem));
            let entry = small(stream, "storages", options)?;
            let Some([key, location, class]) = triple(&entry) else {
                return fail("a storage must be a key, a location and a class");
            };
            let (Some(key), Node::Str(location)) = (pickle::number(key), location) else {
                return fail("the key of a storage must be a number, its location a string");
            };
            let Some(dtype @ StorageType::Typed(_)) = pickle::storage_class(class) else {
                return fail("the class of a storage is none of torch's");
            };
            let numel = stream.count("the number of elements of a storage")?;
            let location = Arc::from(&**location);
            let storage = Storage { key: key.to_string().into(), dtype, location, numel };
            let first = stream.at();
            let len = storage.nbytes().unwrap_or(u64::MAX);
            stream.skip(len, &format!("storage {key}"))?;
            self.add(key, storage, first, source)?;
        }
        let at = stream.at();
        let fail = |problem: String| Err(source.format(Part::File, at, problem));
        let views = small(stream, "storages", options)?;
        let Some(Node::List(list)) = root(&views) else {
            return fail("a list of storages that are parts was expected".into());
        };
        for &view in list {
            let Node::Tuple(items) = views.node(view) else {
                return fail("a part of a storage must be a tuple".into());
            };
            let numbers: Vec<u64> =
                items.iter().filter_map(|&i| pickle::number(views.node(i))).collect();
            let [key, whole, offset, numel] = numbers[..] else {
                return fail("a part of a storage must be four numbers".into());
            };
            let whole = match self.nodes.get(&whole).map(|&n| self.tree.node(n)) {
                Some(&Node::Storage(id)) => id,
                _ => return fail(format!("storage {whole} is not there")),
            };
            let (root, from) = self.parts.get(&whole).copied().unwrap_or((whole, 0));
            let (storage, first) = (self.tree.storage(whole), self.offsets[whole.0 as usize]);
            if offset.checked_add(numel).is_none_or(|end| end > storage.numel) {
                let have = storage.numel;
                return fail(format!(
                    "{numel} elements from {offset} on are said to be part of storage {}, which has {have}",
                    storage.key
                ));
            }
            let first = first + offset * storage.dtype.item_size() as u64;
            let part = Storage { key: key.to_string().into(), numel, ..storage.clone() };
            let id = self.add(key, part, first, source)?;
            self.parts.insert(id, (root, from + offset));
        }
        Ok(())
    }

    fn add(
        &mut self,
        key: u64,
        storage: Storage,
        first: u64,
        source: &Source,
    ) -> Result<StorageId> {
        let len = storage.nbytes().unwrap_or(0);
        let record = Record::plain(source.base + first, len, ByteOrder::Little);
        self.places.push(Place::range(0, &format!("storage {key}"), record));
        self.offsets.push(first);
        let id = self.tree.add_storage(storage);
        let node = self.tree.add(Node::Storage(id));
        if self.nodes.insert(key, node).is_some() {
            return Err(source.format(Part::File, first, format!("there are two storages {key}")));
        }
        Ok(id)
    }

    fn tensors(&mut self, stream: &mut Stream<'_>, options: &Options) -> Result<()> {
        let path = stream.path();
        for _ in 0..count(stream, "tensors", options)? {
            let at = stream.at();
            let fail = |problem: String| Err(Error::format(path, Part::File, at, problem));
            let entry = small(stream, "tensors", options)?;
            let keys = triple(&entry).and_then(|[key, storage, _]| {
                Some((pickle::number(key)?, pickle::number(storage)?))
            });
            let Some((key, storage)) = keys else {
                return fail("a tensor must be a key, the key of its storage and a class".into());
            };
            let storage = match self.nodes.get(&storage).map(|&n| self.tree.node(n)) {
                Some(&Node::Storage(id)) => id,
                _ => {
                    return fail(format!(
                        "tensor {key} shows storage {storage}, which is not there"
                    ));
                }
            };
            let StorageType::Typed(dtype) = self.tree.storage(storage).dtype else {
                return fail(format!("the type of tensor {key} is not known"));
            };
            let ndim = u32::from_le_bytes(stream.take("the number of dimensions")?);
            if ndim > MAX_DIMS {
                return fail(format!("tensor {key} has {ndim} dimensions, more than {MAX_DIMS}"));
            }
            stream.skip(4, "the number of dimensions")?;
            let mut dims = |what| (0..ndim).map(|_| stream.count(what)).collect::<Result<Vec<_>>>();
            let (shape, stride) = (dims("a size")?, dims("a stride")?);
            let offset = stream.count("the offset of a tensor")?;
            let mut tensor = Tensor {
                stride: stride.into(),
                offset,
                class: TensorClass::Tensor,
                ..Tensor::contiguous(storage, dtype, &shape)
            };
            if let Err(problem) = tensor.check_bounds(self.tree.storage(storage)) {
                return fail(problem);
            }
            // It was found to lie in the part; it shows the whole.
            if let Some(&(whole, from)) = self.parts.get(&storage) {
                (tensor.storage, tensor.offset) = (whole, tensor.offset.saturating_add(from));
            }
            let id = self.tree.add_tensor(tensor);
            let node = self.tree.add(Node::Tensor(id));
            if self.nodes.insert(key, node).is_some() {
                return fail(format!("there are two tensors {key}"));
            }
        }
        Ok(())
    }
}

/// How many entries follow: no more than there are bytes left.
fn count(stream: &mut Stream<'_>, name: &str, options: &Options) -> Result<u64> {
    let tree = small(stream, name, options)?;
    match root(&tree).and_then(pickle::number) {
        Some(n) if n <= stream.left() => Ok(n),
        _ => {
            let problem = "the number of entries is none, or more than the file holds";
            Err(Error::format(stream.path(), Part::File, stream.at(), problem))
        }
    }
}

/// The parts of a tuple of three.
fn triple(tree: &Tree) -> Option<[&Node; 3]> {
    match root(tree)? {
        Node::Tuple(items) if items.len() == 3 => {
            Some([tree.node(items[0]), tree.node(items[1]), tree.node(items[2])])
        }
        _ => None,
    }
}
