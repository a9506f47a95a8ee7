//! The files of a large model, named by a `pytorch_model.bin.index.json`:
//!
//! ```json
//! {"metadata": {"total_size": 12}, "weight_map": {"a.weight": "pytorch_model-00001-of-00002.bin"}}
//! ```
//!
//! Each is a checkpoint, a dict of tensors. (`save_pretrained` of the transformers library.)

use std::collections::HashMap;
use std::path::Path;

use super::{Container, Opened, sniff};
use crate::error::{Error, Part, Result};
use crate::source::Source;
use crate::{Dict, Node, NodeId, Options, Tree};

/// Longest index that is read: as values it takes many times its length, and one of a hundred
/// thousand names has not a tenth of this.
const MAX_INDEX: u64 = 64 << 20;
/// What an index ends on.
const SUFFIX: &str = ".index.json";

/// Whether a file is an index, by its name and first byte.
pub(super) fn is_one(path: &Path, head: &[u8]) -> bool {
    let named = path.file_name().is_some_and(|n| n.to_string_lossy().ends_with(SUFFIX));
    named && head.trim_ascii_start().starts_with(b"{")
}

/// The names of an index, in its order, and the file each is in.
fn weight_map(source: &Source, options: &Options) -> Result<Vec<(String, String)>> {
    let path = &source.path;
    if source.len > MAX_INDEX {
        let what = format!("an index of {} bytes, and at most {MAX_INDEX} are read", source.len);
        return Err(Error::unsupported(path, Part::File, None, what, ""));
    }
    let most = options.limits.max_pickle_bytes;
    if source.len > most {
        let limit = "max_pickle_bytes";
        return Err(Error::limit(path, Part::File, limit, source.len, most, "bytes"));
    }
    let bytes = source.bytes(0, source.len as usize)?;
    let fail = |problem: String| Err(Error::format(path, Part::File, None, problem));
    let index: serde_json::Value = match serde_json::from_slice(&bytes) {
        Ok(index) => index,
        Err(e) => return fail(format!("no valid json: {e}")),
    };
    let Some(map) = index.get("weight_map").and_then(|m| m.as_object()) else {
        return fail("a weight_map was expected".into());
    };
    let mut names = Vec::with_capacity(map.len());
    for (name, file) in map {
        let Some(file) = file.as_str() else {
            return fail(format!("the file of {name:?} is no string"));
        };
        names.push((name.clone(), file.to_owned()));
    }
    Ok(names)
}

pub(super) fn open(source: Source, options: &Options) -> Result<Opened> {
    let path = source.path.clone();
    let names = weight_map(&source, options)?;
    drop(source);
    let folder = path.parent().unwrap_or(Path::new(""));
    let mut all = Opened {
        container: Container::Shards,
        tree: Tree::new(),
        inputs: Vec::new(),
        places: Vec::new(),
        constants: None,
        warnings: Vec::new(),
    };
    // By file: the nodes of its dict.
    let mut shards: HashMap<&str, HashMap<String, NodeId>> = HashMap::new();
    let mut items = Vec::with_capacity(names.len());
    for (name, file) in &names {
        if !shards.contains_key(file.as_str()) {
            let shard = match super::file_in(folder, file)? {
                Ok(shard) => shard,
                Err(problem) => {
                    let problem = format!("the file {file:?} of {name:?} {problem}");
                    return Err(Error::format(&path, Part::File, None, problem));
                }
            };
            shards.insert(file, add(&mut all, shard, options)?);
        }
        let Some(&node) = shards.get(file.as_str()).and_then(|nodes| nodes.get(name)) else {
            let problem = format!("{file:?} was expected to hold {name:?}");
            return Err(Error::format(&path, Part::File, None, problem));
        };
        let key = all.tree.add(Node::Str(name.as_str().into()));
        items.push((key, node));
    }
    let kept: HashMap<NodeId, ()> = items.iter().map(|&(_, node)| (node, ())).collect();
    for (file, nodes) in &shards {
        let lost = nodes.values().filter(|node| !kept.contains_key(node)).count();
        if lost > 0 {
            all.warnings.push(format!(
                "{}: {lost} entries of {file:?} are not in the index, and left out",
                path.display()
            ));
        }
    }
    let root = all.tree.add(Node::Dict(Dict { items, ..Dict::default() }));
    all.tree.set_root(root);
    Ok(all)
}

/// Adds a file, and gives the entries of its dict.
fn add(all: &mut Opened, source: Source, options: &Options) -> Result<HashMap<String, NodeId>> {
    let path = &source.path.clone();
    // An index that names an index, perhaps itself, would go on without end.
    let shard = match super::open_file(source.clone(), options)? {
        Ok(shard) => shard,
        Err(head) if is_one(path, &head) => {
            let problem = "an index was named by an index, and a file of tensors was expected";
            return Err(Error::format(path, Part::File, None, problem));
        }
        Err(head) => return Err(sniff::unknown(&source, &head)),
    };
    let Some(root) = shard.tree.root() else { return Ok(HashMap::new()) };
    let inputs = all.inputs.len() as u32;
    all.inputs.extend(shard.inputs);
    all.places.extend(shard.places.into_iter().map(|place| place.shift(inputs)));
    all.warnings.extend(shard.warnings);
    let nodes = all.tree.adopt(shard.tree, &options.limits, path)?;
    let Node::Dict(dict) = all.tree.node(nodes.of(root)) else {
        return Err(Error::format(path, Part::Object, None, "a dict of tensors was expected"));
    };
    let named = dict.items.iter().filter_map(|&(key, value)| match all.tree.node(key) {
        Node::Str(name) => Some((name.to_string(), value)),
        _ => None,
    });
    Ok(named.collect())
}
