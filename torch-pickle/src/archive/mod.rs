//! The zip container: a strict reader of its central directory.
//!
//! Everything that two readers could understand differently is refused: two records of one name, a
//! local header that contradicts the directory, records that overlap, bytes before or after the
//! archive. Nothing but the end record and the directory is read here; a local header is checked
//! when its record is first used.

mod any;
mod end;
mod entry;
mod local;
mod names;

use std::fmt::Write;

use crate::StorageKey;
use crate::error::{Error, Part, Result};
use crate::record::Record;
use crate::source::Source;
pub use any::ZipFile;
use end::End;
pub(crate) use end::{u16_at, u32_at};
pub use entry::Entry;
use entry::Extent;
use names::Names;

/// The order of the bytes of each number in an archive.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum ByteOrder {
    /// Least significant byte first; also where the archive does not say.
    #[default]
    Little,
    /// Most significant byte first.
    Big,
}

/// The records of a zip archive, by name.
///
/// ```no_run
/// let checkpoint = torch_pickle::Checkpoint::open("model.pt")?;
/// for entry in checkpoint.archive().into_iter().flat_map(|a| a.entries()) {
///     println!("{} {} bytes", entry.name, entry.len);
/// }
/// # Ok::<(), torch_pickle::Error>(())
/// ```
#[derive(Debug)]
pub struct Archive {
    /// The central directory, as it stands in the file.
    directory: Vec<u8>,
    /// Where each entry starts in it.
    starts: Vec<u32>,
    /// The entries by the position of their records; empty where that is their order already.
    by_offset: Vec<u32>,
    names: Names,
    directory_offset: u64,
    prefix: String,
    version: u32,
    byte_order: ByteOrder,
    states_byte_order: bool,
    has_crc: bool,
    /// What was odd about the records read at opening.
    pub(crate) warnings: Vec<String>,
}

/// How the records of an archive are named.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Naming {
    /// All in the folder of the first one, as torch has it.
    InOneFolder,
    /// Anyhow.
    Free,
}

/// The highest archive version torch accepts.
const MAX_VERSION: u32 = 10;
/// Longest text record (`version`, `byteorder`) worth reading.
const MAX_TEXT: u64 = 64;

impl Archive {
    /// Reads the directory of an archive; `None` where there is none.
    pub(crate) fn open(source: &Source, naming: Naming) -> Result<Option<Archive>> {
        let Some(end) = end::find(source)? else { return Ok(None) };
        let (mut archive, is_tidy) = Archive::read_directory(source, &end, naming)?;
        if !is_tidy {
            archive.check_layout(source)?;
        }
        Ok(Some(archive))
    }

    /// The archive, and whether its records were seen to stand side by side from the start on, in
    /// the order of the entries: torch writes no others.
    fn read_directory(source: &Source, end: &End, naming: Naming) -> Result<(Archive, bool)> {
        let bad = |at: u64, problem: String| source.format(Part::Directory, at, problem);
        if end.size > u64::from(u32::MAX) {
            return Err(bad(
                end.offset,
                format!("it takes {} bytes, and at most 4 GiB are read", end.size),
            ));
        }
        // Both fit: the end record was checked to lie behind `size` bytes of this file, and to
        // count no more entries than these have room for.
        let directory = source.bytes(end.offset, end.size as usize)?;

        let mut names = Names::default();
        let mut starts: Vec<u32> = Vec::with_capacity(end.count as usize);
        let mut at = 0usize;
        let (mut free_from, mut is_tidy) = (Some(0), true);
        let mut has_crc = false;
        let mut prefix: Option<String> = None;
        for index in 0..end.count as u32 {
            let here = end.offset + at as u64;
            let (entry, next) = entry::parse(&directory, at).map_err(|e| bad(here, e))?;
            let name = entry.name;
            let part = || Part::Record(name.into());
            entry
                .check()
                .map_err(|(what, advice)| source.unsupported(part(), here, what, advice))?;
            if naming == Naming::InOneFolder {
                let folder = prefix.get_or_insert_with(|| match name.split_once('/') {
                    Some((folder, _)) => folder.to_owned(),
                    None => String::new(),
                });
                check_folder(source, name, here, folder)?;
            }
            if let Some(first) = names.add(name.as_bytes(), index, &directory, &starts) {
                let (first, _) = entry::parse(&directory, starts[first as usize] as usize)
                    .map_err(|e| bad(here, e))?;
                return Err(source.format(
                    part(),
                    entry.offset,
                    format!(
                        "another record of this name is at byte {}, and readers differ in which they take",
                        first.offset
                    ),
                ));
            }
            has_crc |= entry.crc != 0;
            is_tidy &= match free_from {
                Some(0) => entry.offset == 0,
                Some(from) => entry.offset >= from,
                None => false,
            };
            free_from = entry.least_end();
            starts.push(at as u32);
            at = next;
        }
        if at as u64 != end.size {
            return Err(bad(
                end.offset + at as u64,
                format!(
                    "{} bytes are left over after the {} entries that the end record counts",
                    end.size - at as u64,
                    end.count
                ),
            ));
        }
        let archive = Archive {
            directory,
            starts,
            by_offset: Vec::new(),
            names,
            directory_offset: end.offset,
            prefix: prefix.unwrap_or_default(),
            version: 0,
            byte_order: ByteOrder::Little,
            states_byte_order: false,
            has_crc,
            warnings: Vec::new(),
        };
        is_tidy &= free_from.is_some_and(|end_of_last| end_of_last <= end.offset);
        Ok((archive, is_tidy))
    }

    /// Puts the entries in the order of their records and checks that they fit side by side.
    fn check_layout(&mut self, source: &Source) -> Result<()> {
        let count = self.starts.len() as u32;
        let mut order: Vec<u32> = (0..count).collect();
        if !order.is_sorted_by_key(|&i| self.extent(i).offset) {
            order.sort_by_key(|&i| self.extent(i).offset);
            self.by_offset = order;
        }
        let mut previous: Option<(u32, Extent)> = None;
        for i in 0..count {
            let i = self.by_offset.get(i as usize).copied().unwrap_or(i);
            let extent = self.extent(i);
            let free_from = match &previous {
                None => 0,
                Some((_, p)) => p.least_end().unwrap_or(u64::MAX),
            };
            if extent.offset < free_from {
                let entry = self.entry(i);
                let other = previous.map_or("", |(p, _)| self.entry(p).name);
                return Err(source.format(
                    Part::Record(entry.name.into()),
                    entry.offset,
                    format!("it overlaps record {other}, which reaches to byte {free_from}"),
                ));
            }
            if previous.is_none() && extent.offset != 0 {
                let entry = self.entry(i);
                return Err(Error::Format {
                    file: source.path.clone(),
                    part: Part::Record(entry.name.into()),
                    offset: Some(source.base + entry.offset),
                    problem: format!("{} bytes stand in front of the first record", entry.offset),
                    advice: "torch refuses such files too; cut the archive out of the file first",
                });
            }
            previous = Some((i, extent));
        }
        if let Some((last, extent)) = previous
            && extent.least_end().is_none_or(|end| end > self.directory_offset)
        {
            let last = self.entry(last);
            return Err(source.format(
                Part::Record(last.name.into()),
                last.offset,
                format!(
                    "it should take {} bytes, and the central directory starts at byte {}",
                    last.stored_len, self.directory_offset
                ),
            ));
        }
        Ok(())
    }

    /// Reads the two records that say how a checkpoint was written.
    pub(crate) fn read_texts(&mut self, source: &Source, crc: crate::CrcPolicy) -> Result<()> {
        let version = ["version", ".data/version"].iter().find_map(|n| self.find(n));
        let Some(version) = version else {
            let problem = format!("no record {}/version", self.prefix);
            return Err(Error::format(&source.path, Part::File, None, problem));
        };
        let (text, at) = self.text(source, version, crc)?;
        let number = std::str::from_utf8(&text).ok().map(|t| t.trim_end_matches('\n'));
        let number = number.filter(|t| t.bytes().all(|b| b.is_ascii_digit()));
        match number.and_then(|t| t.parse::<u32>().ok()) {
            Some(v) if (1..=MAX_VERSION).contains(&v) => self.version = v,
            _ => {
                let text = text.escape_ascii();
                let what = format!("archive version \"{text}\", and 1 to {MAX_VERSION} are read");
                let part = Part::Record(self.entry(version).name.into());
                return Err(Error::unsupported(&source.path, part, at, what, ""));
            }
        }
        if let Some(order) = self.find("byteorder") {
            let (text, at) = self.text(source, order, crc)?;
            self.states_byte_order = true;
            self.byte_order = match text.as_slice() {
                b"little" => ByteOrder::Little,
                b"big" => ByteOrder::Big,
                _ => {
                    let part = Part::Record(self.entry(order).name.into());
                    let text = text.escape_ascii();
                    let problem =
                        format!("byte order \"{text}\", and only \"little\" and \"big\" exist");
                    return Err(Error::format(&source.path, part, at, problem));
                }
            };
        }
        Ok(())
    }

    /// A short record, and where it lies in the file.
    pub(crate) fn text(
        &mut self,
        source: &Source,
        index: u32,
        crc: crate::CrcPolicy,
    ) -> Result<(Vec<u8>, u64)> {
        let record = self.record(source, index)?;
        let name = self.entry(index).name;
        if record.len > MAX_TEXT {
            let problem =
                format!("it has {} bytes, and at most {MAX_TEXT} were expected", record.len);
            let part = Part::Record(name.into());
            return Err(Error::format(&source.path, part, record.offset, problem));
        }
        let (text, warning) = crate::record::read_all(source, name, &record, crc)?;
        self.warnings.extend(warning);
        Ok((text, record.offset))
    }

    /// The folder that all records are in.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The version of the archive's layout, 1 to 10; torch writes 3, and 6 from `torch.export`. 0
    /// where the archive has none.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// The order of bytes in its storages.
    pub fn byte_order(&self) -> ByteOrder {
        self.byte_order
    }

    /// Whether a record says so; torch 1.13 and older left it out.
    pub fn states_byte_order(&self) -> bool {
        self.states_byte_order
    }

    /// Whether checksums were computed when the archive was written.
    pub fn has_crc(&self) -> bool {
        self.has_crc
    }

    /// The number of entries.
    pub fn len(&self) -> usize {
        self.starts.len()
    }

    /// Whether there are no entries; never so in an archive that was opened.
    pub fn is_empty(&self) -> bool {
        self.starts.is_empty()
    }

    /// The entries of the central directory, in its order.
    pub fn entries(&self) -> impl Iterator<Item = Entry<'_>> {
        (0..self.starts.len() as u32).map(|i| self.entry(i))
    }

    /// Where the central directory starts: the end of all records.
    pub fn directory_offset(&self) -> u64 {
        self.directory_offset
    }

    pub(crate) fn entry(&self, index: u32) -> Entry<'_> {
        let at = self.starts[index as usize] as usize;
        // Each entry was parsed when the archive was opened; this cannot fail.
        entry::parse(&self.directory, at).map_or(Entry::EMPTY, |(entry, _)| entry)
    }

    /// Where a record lies.
    pub(crate) fn extent(&self, index: u32) -> Extent {
        let at = self.starts[index as usize] as usize;
        // As in `entry`, this cannot fail.
        entry::extent(&self.directory[at..]).unwrap_or_default()
    }

    /// The index of the record `<prefix>/<rest>`.
    pub(crate) fn find(&self, rest: &str) -> Option<u32> {
        let name = [self.prefix.as_bytes(), b"/", rest.as_bytes()].concat();
        self.find_name(&name)
    }

    /// Finds the records of storages in a folder: `data`.
    pub(crate) fn storages(&self, folder: &str) -> Storages<'_> {
        let name = format!("{}/{folder}/", self.prefix);
        let (run, start) = (self.names.run(name.as_bytes()), name.len());
        Storages { archive: self, name, start, run }
    }

    /// The same archive, of this byte order.
    pub(crate) fn with_byte_order(mut self, order: ByteOrder) -> Archive {
        self.byte_order = order;
        self
    }

    /// The index of the record of this name.
    pub(crate) fn find_name(&self, name: &[u8]) -> Option<u32> {
        self.names.find(name, &self.directory, &self.starts)
    }

    /// Where the bytes of a record lie, after its local header was compared with the directory.
    pub(crate) fn record(&self, source: &Source, index: u32) -> Result<Record> {
        let entry = self.entry(index);
        let offset = local::data_offset(source, &entry, self.room_for(index))?;
        Ok(self.record_at(index, source.base + offset))
    }

    /// The same, where the offset of the bytes is known.
    pub(crate) fn record_at(&self, index: u32, offset: u64) -> Record {
        let entry = self.entry(index);
        Record {
            offset,
            stored_len: entry.stored_len,
            len: entry.len,
            crc: self.has_crc.then_some(entry.crc),
            compressed: entry.compressed,
            order: self.byte_order,
            skip: 0,
        }
    }

    /// The byte at which the next record, or the directory, starts.
    fn room_for(&self, index: u32) -> u64 {
        let next = if self.by_offset.is_empty() {
            Some(index + 1)
        } else {
            let offset = self.extent(index).offset;
            let at = self.by_offset.partition_point(|&i| self.extent(i).offset <= offset);
            self.by_offset.get(at).copied()
        };
        match next {
            Some(i) if (i as usize) < self.starts.len() => self.extent(i).offset,
            _ => self.directory_offset,
        }
    }
}

/// Finds the records of storages by their keys.
pub(crate) struct Storages<'a> {
    archive: &'a Archive,
    /// What the name of each begins with, and its length; behind that, the last one asked for.
    name: String,
    start: usize,
    /// Where their run begins, if they stand in one, and how many they are.
    run: Option<(u32, u32)>,
}

impl Storages<'_> {
    /// The index of a record.
    pub(crate) fn find(&mut self, key: &StorageKey) -> Option<u32> {
        if let (Some((first, count)), Some(n)) = (self.run, key.number())
            && n < count
        {
            return Some(first + n);
        }
        self.name.truncate(self.start);
        // Writing to a string cannot fail.
        let _ = write!(self.name, "{key}");
        self.archive.find_name(self.name.as_bytes())
    }
}

/// Refuses a record outside the folder of the first one.
fn check_folder(source: &Source, name: &str, here: u64, folder: &str) -> Result<()> {
    let part = || Part::Record(name.into());
    if folder.is_empty() {
        return Err(Error::Format {
            file: source.path.clone(),
            part: part(),
            offset: Some(source.base + here),
            problem: "it is in no folder, and torch puts each record into one".into(),
            advice: "zip the folder itself, not what is in it",
        });
    }
    if name.strip_prefix(folder).is_none_or(|rest| !rest.starts_with('/')) {
        let problem = format!("it lies outside {folder}/, the folder of the first record");
        return Err(source.format(part(), here, problem));
    }
    Ok(())
}
