//! Our writer of archives beside the one of the `zip` crate, which has to be slower by a tenth for
//! ours to be there.
//!
//! Twice: where both are handed the bytes, by the same reads of the same file; and where each
//! converts a store in its best way, ours with copies inside the kernel.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufWriter, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use numpack_interop::{NoProgress, ToTorch, to_torch_file};
use torch_pickle::{Checkpoint, Node, StorageData, StorageId, StorageSink, WriteOptions};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

use crate::copier::publish;
use crate::table::{Bound, Row, Table};
use crate::timing::Pairs;
use crate::{Outputs, Place, Settings, data};

const BOUND: Bound = Bound::Ratio(0.90);
const BUFFER: usize = 1 << 20;

/// Both ways, with large and with tiny tensors.
///
/// # Errors
/// When an archive cannot be written, or the two differ in content.
pub fn zip(place: &Place, s: &Settings, table: &mut Table) -> Result<()> {
    let large = format!("{} MiB", s.size >> 20);
    let tiny = format!("{} tiny tensors", s.tensors);
    for (input, what) in [(data::large(place, s)?, large), (data::tiny(place, s)?, tiny)] {
        let pairs = handed(place, s, &input)?;
        let row = format!("write an archive, {what}, bytes handed over, {}", place.name);
        table.push(Row::pairs(row, "zip crate", &pairs, BOUND));
        let pairs = converted(place, s, &input)?;
        let row = format!("write an archive, {what}, from a store, {}", place.name);
        table.push(Row::pairs(row, "zip crate", &pairs, BOUND));
    }
    Ok(())
}

fn handed(place: &Place, s: &Settings, input: &Path) -> Result<Pairs> {
    let checkpoint = Checkpoint::open(input)?;
    let mut records = Vec::new();
    for id in 0..checkpoint.tree().storages().len() {
        let record =
            checkpoint.storage_record(StorageId(u32::try_from(id)?))?.context("in pieces")?;
        records.push((record.offset, record.len));
    }
    let (file, _) = checkpoint.storage_file(StorageId(0)).context("no storage")?;
    let mut bytes = FromFile { file, records, buffer: vec![0; BUFFER] };
    let mut ours = |output: &Path| -> Result<()> {
        torch_pickle::write(output, checkpoint.tree(), &WriteOptions::new(), &mut bytes)?;
        Ok(())
    };
    let entries = entries_of(input, |entry| Source::Range(entry.offset, entry.len))?;
    measure(place, s, &mut ours, |output| by_crate(&entries, input, output))
}

fn converted(place: &Place, s: &Settings, input: &Path) -> Result<Pairs> {
    let store = data::store_of(input)?;
    let mut ours = |output: &Path| -> Result<()> {
        to_torch_file(&store, output, &ToTorch::new(), &mut NoProgress)?;
        Ok(())
    };
    let files = data_files(input, &store)?;
    let entries = entries_of(input, |entry| match files.get(&entry.offset) {
        Some(file) => Source::File(file.clone(), entry.len),
        None => Source::Range(entry.offset, entry.len),
    })?;
    measure(place, s, &mut ours, |output| by_crate(&entries, input, output))
}

fn measure(
    place: &Place,
    s: &Settings,
    ours: &mut dyn FnMut(&Path) -> Result<()>,
    theirs: impl Fn(&Path) -> Result<()>,
) -> Result<Pairs> {
    let (a, b) = (place.join("ours.pt"), place.join("crate.pt"));
    ours(&a)?;
    theirs(&b)?;
    check_same_entries(&a, &b)?;
    place.discard(&a)?;
    place.discard(&b)?;
    let outputs = Outputs::new(place, "pt");
    let pairs = Pairs::measure(s.pairs, || outputs.time(&mut *ours), || outputs.time(&theirs))?;
    outputs.clear()?;
    Ok(pairs)
}

/// Hands over the storages of a checkpoint, read from its file.
struct FromFile<'a> {
    file: &'a File,
    records: Vec<(u64, u64)>,
    buffer: Vec<u8>,
}

impl StorageData for FromFile<'_> {
    fn write_storage(
        &mut self,
        id: StorageId,
        sink: &mut StorageSink<'_, '_>,
    ) -> torch_pickle::Result<()> {
        let (mut at, len) = self.records[id.0 as usize];
        let end = at + len;
        while at < end {
            let n = self.buffer.len().min(usize::try_from(end - at).unwrap_or(usize::MAX));
            let piece = &mut self.buffer[..n];
            self.file.read_exact_at(piece, at).map_err(|source| torch_pickle::Error::Io {
                file: PathBuf::new(),
                action: "read",
                offset: Some(at),
                source,
            })?;
            sink.write(piece)?;
            at += n as u64;
        }
        Ok(())
    }
}

/// An entry for the `zip` crate to write.
struct Entry {
    name: String,
    source: Source,
    is_data: bool,
}

enum Source {
    /// Offset and length in the checkpoint.
    Range(u64, u64),
    /// A file and its length.
    File(PathBuf, u64),
}

/// Where an entry of an archive is.
struct Found {
    offset: u64,
    len: u64,
}

fn entries_of(archive: &Path, source: impl Fn(&Found) -> Source) -> Result<Vec<Entry>> {
    let mut archive = ZipArchive::new(File::open(archive)?)?;
    let mut entries = Vec::with_capacity(archive.len());
    for i in 0..archive.len() {
        let file = archive.by_index_raw(i)?;
        let offset = file.data_start().context("an entry without a place")?;
        let found = Found { offset, len: file.size() };
        let name = file.name()?.into_owned();
        let is_data = name.contains("/data/");
        entries.push(Entry { source: source(&found), name, is_data });
    }
    Ok(entries)
}

/// The data file of each storage, by the offset it has in the checkpoint.
fn data_files(checkpoint: &Path, store: &Path) -> Result<HashMap<u64, PathBuf>> {
    let checkpoint = Checkpoint::open(checkpoint)?;
    let tree = checkpoint.tree();
    let mut files = HashMap::new();
    for (name, node) in tree.first_names() {
        let Node::Tensor(id) = *tree.node(node) else { continue };
        let record = checkpoint.storage_record(tree.tensor(id).storage)?.context("in pieces")?;
        files.insert(record.offset, store.join(format!("data_{name}.npkd")));
    }
    Ok(files)
}

/// Writes the entries with the `zip` crate: stored, data aligned to 64 bytes, and as durable as
/// ours.
fn by_crate(entries: &[Entry], checkpoint: &Path, output: &Path) -> Result<()> {
    let mut checkpoint = File::open(checkpoint)?;
    let temporary = output.with_extension("partial");
    let mut archive = ZipWriter::new(BufWriter::with_capacity(BUFFER, File::create(&temporary)?));
    let mut buffer = vec![0; BUFFER];
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    for entry in entries {
        let (Source::Range(_, len) | Source::File(_, len)) = entry.source;
        let options = options
            .with_alignment(if entry.is_data { 64 } else { 1 })
            .large_file(len >= u64::from(u32::MAX));
        archive.start_file(entry.name.as_str(), options)?;
        match &entry.source {
            Source::Range(offset, len) => {
                checkpoint.seek(SeekFrom::Start(*offset))?;
                pass(&mut checkpoint, *len, &mut archive, &mut buffer)?;
            }
            Source::File(path, len) => {
                pass(&mut File::open(path)?, *len, &mut archive, &mut buffer)?;
            }
        }
    }
    let file = archive.finish()?.into_inner().map_err(|e| e.into_error())?;
    file.sync_all()?;
    publish(&temporary, output)
}

fn pass(from: &mut File, mut len: u64, to: &mut impl Write, buffer: &mut [u8]) -> Result<()> {
    while len > 0 {
        let n = buffer.len().min(usize::try_from(len)?);
        from.read_exact(&mut buffer[..n])?;
        to.write_all(&buffer[..n])?;
        len -= n as u64;
    }
    Ok(())
}

/// Compares names, sizes and checksums, which the `zip` crate computed of its own and we of ours.
fn check_same_entries(a: &Path, b: &Path) -> Result<()> {
    let (mut x, mut y) = (ZipArchive::new(File::open(a)?)?, ZipArchive::new(File::open(b)?)?);
    ensure!(x.len() == y.len(), "the archives have {} and {} entries", x.len(), y.len());
    for i in 0..x.len() {
        let (p, q) = (x.by_index_raw(i)?, y.by_index_raw(i)?);
        let (name, other) = (p.name()?, q.name()?);
        let same = (&name, p.size(), p.crc32()) == (&other, q.size(), q.crc32());
        // Our pickle may be another spelling of the same object.
        ensure!(same || (name == other && name.ends_with("data.pkl")), "{name} and {other} differ");
    }
    Ok(())
}
