//! What a checkpoint may be stored in: told apart by content, and read into one form.
//!
//! | module | |
//! |---|---|
//! | `zip` | the archive that torch writes since 1.6, and TorchScript's |
//! | `legacy` | the stream of pickles from before |
//! | `tar` | what torch 0.1 wrote |
//! | `shards` | a `.bin.index.json` that names the files of a large model |
//! | `distributed` | a folder that the processes of a training wrote together |
//! | `export` | the archives of `torch.export` |
//! | `sniff` | what a file is that is none of these |

mod distributed;
mod export;
mod legacy;
mod shards;
mod sniff;
mod tar;
mod zip;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::archive::{Archive, Naming};
use crate::error::{Error, Part, Result};
use crate::place::{Input, Place};
use crate::record::Record;
use crate::source::Source;
use crate::{Options, Tree};

pub(crate) use sniff::folder;

/// Longest name of a file, in bytes, that a system has.
const MAX_NAME: usize = 1024;

/// What a checkpoint is stored in.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Container {
    /// The zip archive that torch writes since 1.6.
    Zip,
    /// A zip archive of TorchScript: a module, its code and its constants.
    TorchScript,
    /// The stream of pickles that torch wrote before 1.6, and still does on demand.
    Legacy,
    /// The tar archive of torch 0.1.
    Tar,
    /// Several files, named by a `pytorch_model.bin.index.json`.
    Shards,
    /// The folder of a distributed checkpoint.
    Distributed,
    /// The archive of `torch.export`, a `.pt2`: a dict of the model's state dict and, behind it,
    /// of its constants by their own names; of several models a dict of such dicts.
    Export,
    /// No file of torch's: an object that was given with its bytes.
    Parts,
}

impl std::fmt::Display for Container {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Container::Zip => "zip archive of torch",
            Container::TorchScript => "torchscript archive",
            Container::Legacy => "legacy stream of torch",
            Container::Tar => "tar archive of torch 0.1",
            Container::Shards => "sharded checkpoint",
            Container::Distributed => "distributed checkpoint",
            Container::Export => "torch.export archive",
            Container::Parts => "tensors",
        })
    }
}

/// What a container holds.
pub(crate) struct Opened {
    pub(crate) container: Container,
    pub(crate) tree: Tree,
    pub(crate) inputs: Vec<Input>,
    /// Where each storage of the tree lies.
    pub(crate) places: Vec<Place>,
    pub(crate) constants: Option<Box<Opened>>,
    pub(crate) warnings: Vec<String>,
}

/// Opens whatever is at a path.
pub(crate) fn open(path: &Path, options: &Options) -> Result<Opened> {
    let failed = |e| Error::io(path, "open", None, e);
    if path.metadata().map_err(failed)?.is_dir() {
        return match distributed::metadata_file(path) {
            Some(metadata) => distributed::open(path, &metadata, options),
            None => Err(sniff::folder(path)),
        };
    }
    let source = Source::open(path)?;
    match open_file(source.clone(), options)? {
        Ok(opened) => Ok(opened),
        Err(head) if shards::is_one(path, &head) => shards::open(source, options),
        Err(head) => Err(sniff::unknown(&source, &head)),
    }
}

/// Opens a file that is a checkpoint by itself; gives its first bytes where it is none.
fn open_file(source: Source, options: &Options) -> Result<std::result::Result<Opened, Vec<u8>>> {
    match Archive::open(&source, Naming::InOneFolder) {
        Ok(Some(archive)) if export::is_one(&archive) => {
            return export::open(source, archive, options).map(Ok);
        }
        Ok(Some(archive)) => return zip::open(source, archive, options).map(Ok),
        Ok(None) => {}
        // What is in no folder.
        Err(e) => return export::open_old(&source, options).ok_or(e)?.map(Ok),
    }
    let head = sniff::head(&source)?;
    if legacy::is_one(&head) {
        return legacy::open(source, options).map(Ok);
    }
    if tar::is_one(&head) {
        return tar::open(source, options).map(Ok);
    }
    Ok(Err(head))
}

/// A file in a folder, by a name found in another file, which says what to read and not where on
/// this machine: what is no plain file, such as a pipe, is not even opened.
fn file_in(folder: &Path, name: &str) -> Result<std::result::Result<Source, &'static str>> {
    let is_name = Path::new(name).file_name().is_some_and(|n| n == name);
    if !is_name || name.len() > MAX_NAME || name.contains(['/', '\\', '\0']) {
        return Ok(Err("is no name in the same folder"));
    }
    let path = folder.join(name);
    match path.metadata() {
        Ok(found) if !found.is_file() => Ok(Err("is no plain file")),
        Ok(_) => Source::open(&path).map(Ok),
        Err(e) => Err(Error::io(&path, "open", None, e)),
    }
}

/// Opens the archive in a part of a file.
pub(crate) fn open_archive(source: Source, options: &Options) -> Result<Opened> {
    match Archive::open(&source, Naming::InOneFolder)? {
        Some(archive) => zip::open(source, archive, options),
        None => Err(source.format(Part::File, 0, "a zip archive of torch was expected here")),
    }
}

/// An object whose storages lie in files that are open: for each storage the number of its file,
/// and where in it.
pub(crate) fn parts(
    path: &Path,
    files: Vec<(PathBuf, File)>,
    tree: Tree,
    records: &[(u32, Record)],
) -> Result<Opened> {
    let fail = |part, at, problem: String| Err(Error::format(path, part, at, problem));
    let mut inputs = Vec::with_capacity(files.len());
    for (path, file) in files {
        let len = file.metadata().map_err(|e| Error::io(&path, "open", None, e))?.len();
        let source = Source { path, file: Arc::new(file), base: 0, len };
        inputs.push(Input { source, archive: None });
    }
    if records.len() != tree.storages().len() || tree.root().is_none() {
        let (records, storages) = (records.len(), tree.storages().len());
        let problem = format!("{records} records were given for {storages} storages of an object");
        return fail(Part::Object, None, problem);
    }
    for ((file, record), storage) in records.iter().zip(tree.storages()) {
        let Some(input) = inputs.get(*file as usize) else {
            return fail(Part::Object, None, format!("there is no file number {file}"));
        };
        let (path, len) = (&input.source.path, input.source.len);
        let fail = |part, at, problem: String| Err(Error::format(path, part, at, problem));
        let part = || Part::Record(storage.key.to_string().into());
        if storage.nbytes() != Some(record.len) {
            let (len, numel, dtype) = (record.len, storage.numel, storage.dtype);
            let size = dtype.item_size();
            let problem = format!("it has {len} bytes, and {numel} elements of {size} bytes");
            return fail(part(), Some(record.offset), problem);
        }
        if record.offset.checked_add(record.stored_len).is_none_or(|end| end > len) {
            let problem = format!(
                "truncated: it takes {} bytes from byte {}, and the file has {len}",
                record.stored_len, record.offset
            );
            return fail(part(), Some(record.offset), problem);
        }
    }
    for (i, tensor) in tree.tensors().iter().enumerate() {
        let storage = tree.storages().get(tensor.storage.0 as usize);
        let checked =
            storage.map_or(Err("it shows no storage".to_owned()), |s| tensor.check_bounds(s));
        if let Err(problem) = checked {
            return fail(Part::Tensor(format!("number {i}").into()), None, problem);
        }
    }
    let places = records.iter().zip(tree.storages());
    let places = places
        .map(|((file, record), storage)| Place::range(*file, &storage.key.to_string(), *record))
        .collect();
    let container = Container::Parts;
    Ok(Opened { container, tree, inputs, places, constants: None, warnings: Vec::new() })
}
