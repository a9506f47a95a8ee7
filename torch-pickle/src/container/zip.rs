//! The zip archive that torch writes since 1.6: `data.pkl`, and a record for each storage. One with
//! a `constants.pkl` is TorchScript's: the same, with the module's constants and its code beside.

use super::{Container, Opened, sniff};
use crate::archive::{Archive, ByteOrder};
use crate::error::{Error, Part, Result};
use crate::place::{Input, Place};
use crate::record::{self, Record};
use crate::source::Source;
use crate::{Limits, Options, StorageType, Tree, pickle};

/// What a compressed pickle may inflate to in any file, and for each byte of the file. Pickles
/// of torch shrink to a tenth, and their storages have headers in the same file.
const INFLATED_LEAST: u64 = 64 << 20;
const INFLATED_TIMES: u64 = 64;
/// The nodes that a compressed pickle may have in any file, besides one for each byte of the
/// file: what is not compressed cannot have more than that either.
const INFLATED_NODES: u64 = 1 << 20;

pub(super) fn open(source: Source, mut archive: Archive, options: &Options) -> Result<Opened> {
    if archive.find("data.pkl").is_none() {
        return Err(sniff::not_a_checkpoint(&archive, &source.path));
    }
    archive.read_texts(&source, options.crc)?;
    let container = match archive.find("constants.pkl") {
        Some(_) => Container::TorchScript,
        None => Container::Zip,
    };
    let mut warnings = std::mem::take(&mut archive.warnings);
    let (tree, places) = read(&source, &archive, "data", options, &mut warnings)?;
    let constants = match container {
        Container::TorchScript => {
            let (tree, places) = read(&source, &archive, "constants", options, &mut warnings)?;
            // The directory is read again, and not kept twice where there are no constants.
            let inputs = match places.is_empty() {
                true => Vec::new(),
                false => vec![Input {
                    source: source.clone(),
                    archive: reopened(&source, archive.byte_order())?,
                }],
            };
            let warnings = Vec::new();
            Some(Box::new(Opened { container, tree, inputs, places, constants: None, warnings }))
        }
        _ => None,
    };
    let inputs = vec![Input { source, archive: Some(archive) }];
    Ok(Opened { container, tree, inputs, places, constants, warnings })
}

fn reopened(source: &Source, order: ByteOrder) -> Result<Option<Archive>> {
    let archive = Archive::open(source, crate::archive::Naming::InOneFolder)?;
    Ok(archive.map(|archive| archive.with_byte_order(order)))
}

/// The object of a pickle, and where its storages lie: in the folder called as it is.
fn read(
    source: &Source,
    archive: &Archive,
    name: &str,
    options: &Options,
    warnings: &mut Vec<String>,
) -> Result<(Tree, Vec<Place>)> {
    let tree = read_object(source, archive, &format!("{name}.pkl"), options, warnings)?;
    let places = find_storages(source, archive, name, &tree)?;
    if archive.byte_order() == ByteOrder::Big
        && tree.storages().iter().any(|s| s.dtype == StorageType::Untyped)
    {
        warnings.push(format!(
            "{}: untyped storages of this big-endian archive are swapped by the type of their tensors; torch leaves them as they are",
            source.path.display()
        ));
    }
    Ok((tree, places))
}

fn read_object(
    source: &Source,
    archive: &Archive,
    file_name: &str,
    options: &Options,
    warnings: &mut Vec<String>,
) -> Result<Tree> {
    let path = &source.path;
    let missing = || Error::format(path, Part::File, None, format!("no record {file_name}"));
    let index = archive.find(file_name).ok_or_else(missing)?;
    let record = archive.record(source, index)?;
    let name = archive.entry(index).name;
    let limits = allowed(options, &record, source.len);
    let most = limits.max_pickle_bytes;
    if record.len > most {
        let part = Part::Record(name.into());
        return Err(Error::limit(path, part, "max_pickle_bytes", record.len, most, "bytes"));
    }
    let (bytes, warning) = record::read_all(source, name, &record, options.crc)?;
    warnings.extend(warning);
    pickle::load(&bytes, &limits, path, name)
}

/// The limits for a pickle: a compressed one may cost what its file justifies, where the caller
/// has not chosen otherwise.
fn allowed(options: &Options, record: &Record, file_len: u64) -> Limits {
    let (mut limits, defaults) = (options.limits, Limits::default());
    if record.compressed && limits.max_pickle_bytes == defaults.max_pickle_bytes {
        let most = INFLATED_TIMES.saturating_mul(file_len).saturating_add(INFLATED_LEAST);
        limits.max_pickle_bytes = limits.max_pickle_bytes.min(most);
    }
    if record.compressed && limits.max_nodes == defaults.max_nodes {
        limits.max_nodes = limits.max_nodes.min(file_len.saturating_add(INFLATED_NODES));
    }
    limits
}

/// Finds the record of each storage and compares its length.
fn find_storages(
    source: &Source,
    archive: &Archive,
    folder: &str,
    tree: &Tree,
) -> Result<Vec<Place>> {
    let mut finder = archive.storages(folder);
    let mut places = Vec::with_capacity(tree.storages().len());
    for storage in tree.storages() {
        let key = &storage.key;
        let Some(entry) = finder.find(key) else {
            let problem =
                format!("no record {}/{folder}/{key}, which a tensor shows", archive.prefix());
            return Err(Error::format(&source.path, Part::File, None, problem));
        };
        if storage.nbytes() != Some(archive.extent(entry).len) {
            let found = archive.entry(entry);
            let expected = match storage.nbytes() {
                Some(n) => format!("{n} bytes"),
                None => "more bytes than 64 bits count".into(),
            };
            let problem = format!(
                "it has {} bytes, and {} elements of {} bytes are {expected}",
                found.len,
                storage.numel,
                storage.dtype.item_size()
            );
            return Err(source.format(Part::Record(found.name.into()), found.offset, problem));
        }
        places.push(Place::Entry { input: 0, entry });
    }
    Ok(places)
}
