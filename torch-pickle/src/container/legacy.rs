//! The stream that torch wrote before 1.6: five pickles, then the storages one after another.
//!
//! ```text
//! pickle   the magic number 0x1950a86a20f9469cfc6c
//! pickle   the protocol, 1001
//! pickle   a dict: protocol_version, little_endian, type_sizes
//! pickle   the object; storages by key
//! pickle   the list of keys
//! 8 bytes  number of elements of the first storage in that list, little-endian; its elements
//! 8 bytes  and so on
//! ```
//!
//! Elements are little-endian whatever wrote them. A storage may be a part of another, and is then
//! not written itself. (`_legacy_load` in `torch/serialization.py`.)

use std::collections::HashMap;

use super::{Container, Opened};
use crate::error::{Error, Part, Result};
use crate::pickle::{self, Dialect, Loaded, Stream};
use crate::place::{Input, Place};
use crate::record::Record;
use crate::source::Source;
use crate::{ByteOrder, Node, Options, StorageId, StorageKey, Tree};

/// The number every file starts with, as LONG1 (protocols 2 and up) and as text.
const MAGIC: [u8; 12] = [0x8A, 0x0A, 0x6C, 0xFC, 0x9C, 0x46, 0xF9, 0x20, 0x6A, 0xA8, 0x50, 0x19];
const MAGIC_TEXT: &[u8] = b"L119547037146038801333356L\n";
/// The only version of the stream there is.
const PROTOCOL: i64 = 1001;

/// Whether a file begins with the magic number, pickled by any protocol.
pub(super) fn is_one(head: &[u8]) -> bool {
    let after = |bytes: &'_ [u8], code: u8, len: usize| match bytes.first() {
        Some(&first) if first == code => len,
        _ => 0,
    };
    let rest = &head[after(head, 0x80, 2).min(head.len())..];
    // Protocols 4 and up put a frame around each pickle.
    let rest = &rest[after(rest, 0x95, 9).min(rest.len())..];
    rest.starts_with(&MAGIC) || head.starts_with(MAGIC_TEXT)
}

pub(super) fn open(source: Source, options: &Options) -> Result<Opened> {
    let limits = &options.limits;
    let path = &source.path;
    let mut stream = Stream::new(&source, 0, source.len);
    stream.pickle("magic number", limits)?;
    let protocol = small(&mut stream, "protocol", options)?;
    if root(&protocol) != Some(&Node::Int(PROTOCOL)) {
        let problem = "protocol 1001 was expected, the only one there is";
        return Err(Error::format(path, Part::Pickle("protocol".into()), None, problem));
    }
    stream.pickle("sys_info", limits)?;
    let bytes = stream.pickle("object", limits)?;
    let loaded = pickle::load_as(&bytes, limits, path, "object", Dialect::Legacy)?;
    drop(bytes);
    let keys = small(&mut stream, "storage keys", options)?;
    let found = read_storages(&mut stream, &loaded, &keys)?;
    let mut warnings = Vec::new();
    if stream.left() > 0 {
        warnings.push(format!(
            "{}: {} bytes follow the last storage, at byte {}",
            path.display(),
            stream.left(),
            stream.at()
        ));
    }
    let mut places = Vec::with_capacity(loaded.tree.storages().len());
    for (i, storage) in loaded.tree.storages().iter().enumerate() {
        let id = StorageId(i as u32);
        let (whole, from) = loaded.views.get(&id).copied().unwrap_or((id, 0));
        let Some(&offset) = found.get(&whole) else {
            let key = &loaded.tree.storage(whole).key;
            let problem = format!("storage {key:?} is not among the storages of the file");
            return Err(Error::format(path, Part::Pickle("storage keys".into()), None, problem));
        };
        let len = storage.nbytes().unwrap_or(0);
        let offset = source.base + offset + from * storage.dtype.item_size() as u64;
        let record = Record::plain(offset, len, ByteOrder::Little);
        places.push(Place::range(0, &format!("storage {}", storage.key), record));
    }
    let inputs = vec![Input { source, archive: None }];
    let (container, tree) = (Container::Legacy, loaded.tree);
    Ok(Opened { container, tree, inputs, places, constants: None, warnings })
}

/// Where the bytes of each storage start.
fn read_storages(
    stream: &mut Stream<'_>,
    loaded: &Loaded,
    keys: &Tree,
) -> Result<HashMap<StorageId, u64>> {
    let (path, tree) = (stream.path(), &loaded.tree);
    let fail = |problem: String| {
        Err(Error::format(path, Part::Pickle("storage keys".into()), None, problem))
    };
    let Some(Node::List(keys_in_order)) = root(keys) else {
        return fail("a list of keys was expected".into());
    };
    let known: HashMap<&StorageKey, StorageId> =
        tree.storages().iter().enumerate().map(|(i, s)| (&s.key, StorageId(i as u32))).collect();
    let mut found = HashMap::with_capacity(known.len());
    for &key in keys_in_order {
        let Node::Str(key) = keys.node(key) else {
            return fail("a key of a storage must be a string".into());
        };
        let Some(&id) = known.get(&StorageKey::from(&**key)) else {
            // How long its elements are nobody says.
            return fail(format!("storage {key:?} is listed, and no tensor shows it"));
        };
        // Its elements would stand in the file twice, and readers differ in which they take.
        if loaded.views.contains_key(&id) {
            return fail(format!("storage {key:?} is listed, and is a part of another"));
        }
        let storage = tree.storage(id);
        let at = stream.at();
        let numel = stream.count("the number of elements of a storage")?;
        if numel != storage.numel {
            let problem = format!(
                "it has {numel} elements, and the object says {} of {} bytes",
                storage.numel,
                storage.dtype.item_size()
            );
            let part = Part::Record(format!("storage {key}").into());
            return Err(Error::format(path, part, at, problem));
        }
        let first = stream.at();
        let len = storage.nbytes().unwrap_or(u64::MAX);
        stream.skip(len, &format!("storage {key}"))?;
        if found.insert(id, first).is_some() {
            return fail(format!("storage {key:?} is listed twice"));
        }
    }
    Ok(found)
}

/// A pickle of plain values.
pub(super) fn small(stream: &mut Stream<'_>, name: &str, options: &Options) -> Result<Tree> {
    let bytes = stream.pickle(name, &options.limits)?;
    pickle::load(&bytes, &options.limits, stream.path(), name)
}

/// The value itself.
pub(super) fn root(tree: &Tree) -> Option<&Node> {
    tree.root().map(|root| tree.node(root))
}
