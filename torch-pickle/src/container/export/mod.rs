//! The archive of `torch.export.save` and `package_pt2`: `.pt2`.
//!
//! What is in it stands at the root of this crate.
//!
//! The object is a dict: the state dict of the model, and behind it its constants under their own
//! names: tensors that the code mentions, and buffers that are no part of the state dict. Of
//! several models it is a dict of such dicts. (`torch/export/pt2_archive/_package.py`,
//! `torch/_export/serde/schema.py`, `torch/csrc/export/pt2_archive_constants.h`,
//! `torch/export/__init__.py`.)
//!
//! | module | |
//! |---|---|
//! | `config` | what the archive says of its tensors |
//! | `builder` | the object is put together |

mod builder;
mod config;

use std::collections::HashSet;

use super::{Container, Opened};
use crate::archive::{Archive, Naming};
use crate::error::{Error, Part, Result};
use crate::place::Input;
use crate::source::Source;
use crate::{Dict, Node, Options};
use builder::Builder;

const FORMAT: &str = "archive_format";
const VERSION: &str = "archive_version";
/// The graph in the archives of torch 2.1 to 2.7.
const OLD_GRAPH: &[u8] = b"serialized_exported_program.json";
const SAVE: &str = "save the module's state_dict() with torch.save";

/// Whether an archive is one.
pub(super) fn is_one(archive: &Archive) -> bool {
    archive.find(FORMAT).is_some()
}

pub(super) fn open(source: Source, mut archive: Archive, options: &Options) -> Result<Opened> {
    let path = &source.path;
    if archive.find("data.pkl").is_some() {
        let problem = format!(
            "it has both {FORMAT} and data.pkl, and torch.load and torch.export.load differ in what they take"
        );
        return Err(Error::format(path, Part::File, None, problem));
    }
    check_text(&source, &mut archive, options, FORMAT, "pt2")?;
    check_text(&source, &mut archive, options, VERSION, "0")?;
    let models = models(&archive);
    if let Some(problem) = models.without() {
        return Err(Error::unsupported(path, Part::File, None, problem, SAVE));
    }
    archive.read_texts(&source, options.crc)?;
    let mut warnings = std::mem::take(&mut archive.warnings);
    let mut builder = Builder::new(&source, &archive, options);
    let mut parts = Vec::new();
    for model in &models.exported {
        parts.push((model.clone(), builder.exported(model)?));
    }
    for model in &models.compiled {
        parts.push((format!("aotinductor/{model}"), builder.compiled(model)?));
    }
    for model in &models.closed {
        warnings.push(format!(
            "{}: the weights of the compiled model {model:?} are in its library, or beside it without names, and left out",
            path.display()
        ));
    }
    let root = match parts.as_slice() {
        [(_, only)] => *only,
        _ => {
            let mut items = Vec::with_capacity(parts.len());
            let mut names = HashSet::new();
            for (name, dict) in &parts {
                if !names.insert(name) {
                    let problem = format!("there are two models called {name:?}");
                    return Err(Error::format(path, Part::File, None, problem));
                }
                items.push((builder.tree.add(Node::Str(name.as_str().into())), *dict));
            }
            builder.tree.add(Node::Dict(Dict { items, ..Dict::default() }))
        }
    };
    builder.tree.set_root(root);
    let built = builder.done();
    warnings.extend(built.warnings);
    let mut inputs = vec![Input { source, archive: Some(archive) }];
    inputs.extend(built.inputs);
    let (tree, places) = (built.tree, built.places);
    Ok(Opened { container: Container::Export, tree, inputs, places, constants: None, warnings })
}

/// Opens an archive without a folder, as torch wrote them up to 2.7; gives nothing where it is none.
pub(super) fn open_old(source: &Source, options: &Options) -> Option<Result<Opened>> {
    let archive = Archive::open(source, Naming::Free).ok()??;
    if archive.find_name(OLD_GRAPH).is_some() {
        return Some(old(source.clone(), archive, options));
    }
    archive.find_name(FORMAT.as_bytes())?;
    let what = "a torch.export archive without a folder, as torch up to 2.7 wrote compiled models";
    Some(Err(Error::unsupported(&source.path, Part::File, None, what, SAVE)))
}

fn old(source: Source, archive: Archive, options: &Options) -> Result<Opened> {
    let find = |stem: &str| {
        let names = [".pt", ".json"].map(|suffix| format!("serialized_{stem}{suffix}"));
        names.iter().find_map(|name| archive.find_name(name.as_bytes()))
    };
    let Some(weights) = find("state_dict") else {
        let problem = "no record serialized_state_dict.pt";
        return Err(Error::format(&source.path, Part::File, None, problem));
    };
    let mut builder = Builder::new(&source, &archive, options);
    let root = builder.saved(weights, find("constants"))?;
    builder.tree.set_root(root);
    let built = builder.done();
    let mut inputs = vec![Input { source, archive: Some(archive) }];
    inputs.extend(built.inputs);
    let (tree, places, warnings) = (built.tree, built.places, built.warnings);
    Ok(Opened { container: Container::Export, tree, inputs, places, constants: None, warnings })
}

/// Compares a short record with what it has to say.
fn check_text(
    source: &Source,
    archive: &mut Archive,
    options: &Options,
    name: &str,
    wanted: &str,
) -> Result<()> {
    // Torch takes an archive without a version for one of the first.
    let Some(index) = archive.find(name) else { return Ok(()) };
    let (text, at) = archive.text(source, index, options.crc)?;
    if text == wanted.as_bytes() {
        return Ok(());
    }
    let part = Part::Record(archive.entry(index).name.into());
    let what = format!("{name} \"{}\", and only \"{wanted}\" is read", text.escape_ascii());
    Err(Error::unsupported(&source.path, part, at, what, ""))
}

/// The models of an archive by name, in the order of its directory.
#[derive(Default)]
struct Models {
    exported: Vec<String>,
    /// Compiled ones that have weights of their own.
    compiled: Vec<String>,
    /// Those that have none.
    closed: Vec<String>,
}

fn models(archive: &Archive) -> Models {
    let mut models = Models::default();
    let mut seen = HashSet::new();
    for entry in archive.entries() {
        let name = entry.name.get(archive.prefix().len() + 1..).unwrap_or_default();
        if let Some(model) = name.strip_prefix("models/").and_then(|n| n.strip_suffix(".json")) {
            models.exported.push(model.to_owned());
        } else if let Some(file) = name.strip_prefix("data/aotinductor/")
            && let Some((model, _)) = file.split_once('/')
            && seen.insert(model)
        {
            let config = archive.find(&format!("data/aotinductor/{model}/weights_config.json"));
            let list = if config.is_some() { &mut models.compiled } else { &mut models.closed };
            list.push(model.to_owned());
        }
    }
    models
}

impl Models {
    /// What is wrong where there is nothing to read.
    fn without(&self) -> Option<String> {
        match (self.exported.len() + self.compiled.len(), self.closed.first()) {
            (1.., _) => None,
            (0, Some(model)) => Some(format!(
                "a torch.export archive of the compiled model {model:?} alone, whose weights are in its library, or beside it without names"
            )),
            (0, None) => Some("a torch.export archive without a model".to_owned()),
        }
    }
}
