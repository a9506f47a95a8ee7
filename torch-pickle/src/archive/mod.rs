//! The zip container: a strict reader of its central directory.
//!
//! Everything that two readers could understand differently is refused: two records of one name, a
//! local header that contradicts the directory, records that overlap, bytes before or after the
//! archive. Nothing but the end record and the directory is read here; a local header is checked
//! when its record is first used.

mod end;
mod entry;
mod local;
mod sniff;

use std::fs::File;
use std::path::Path;

use crate::error::{Error, Part, Result};
use crate::io::{buffer, read_exact_at};
use crate::record::Record;
use crate::table::{Hasher, IdTable};
use end::{End, Found, u16_at, u32_at};
pub use entry::Entry;
use entry::Extent;
pub(crate) use sniff::folder;

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
/// for entry in checkpoint.archive().entries() {
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
    names: IdTable,
    hasher: Hasher,
    directory_offset: u64,
    prefix: String,
    version: u32,
    byte_order: ByteOrder,
    states_byte_order: bool,
    has_crc: bool,
    /// What was odd about the records read at opening.
    pub(crate) warnings: Vec<String>,
}

/// The highest archive version torch accepts.
const MAX_VERSION: u32 = 10;
/// Longest text record (`version`, `byteorder`) worth reading.
const MAX_TEXT: u64 = 64;

impl Archive {
    /// Reads the directory of an open file.
    pub(crate) fn open(
        file: &File,
        path: &Path,
        len: u64,
        crc: crate::CrcPolicy,
    ) -> Result<Archive> {
        let end = match end::find(file, path, len)? {
            Found::Archive(end) => end,
            Found::Nothing => return Err(sniff::not_an_archive(file, path, len)),
        };
        let (mut archive, in_order) = Archive::read_directory(file, path, &end)?;
        archive.check_layout(path, in_order)?;
        archive.check_contents(file, path, crc)?;
        Ok(archive)
    }

    /// The archive, and whether its entries stand in the order of their records.
    fn read_directory(file: &File, path: &Path, end: &End) -> Result<(Archive, bool)> {
        let bad = |at: u64, problem: String| Error::format(path, Part::Directory, at, problem);
        if end.size > u64::from(u32::MAX) {
            return Err(bad(
                end.offset,
                format!("it takes {} bytes, and at most 4 GiB are read", end.size),
            ));
        }
        // Both fit: the end record was checked to lie behind `size` bytes of this file, and to
        // count no more entries than these have room for.
        let mut directory =
            buffer(end.size as usize).map_err(|e| Error::io(path, "read", Some(end.offset), e))?;
        read_exact_at(file, &mut directory, end.offset)
            .map_err(|e| Error::io(path, "read", Some(end.offset), e))?;

        let hasher = Hasher::default();
        let mut names = IdTable::with_capacity(end.count as usize);
        let mut starts: Vec<u32> = Vec::with_capacity(end.count as usize);
        let mut at = 0usize;
        let (mut last, mut in_order) = (0, true);
        let mut has_crc = false;
        let mut prefix: Option<String> = None;
        for index in 0..end.count as u32 {
            let here = end.offset + at as u64;
            let (entry, next) = entry::parse(&directory, at).map_err(|e| bad(here, e))?;
            let name = entry.name;
            let part = || Part::Record(name.into());
            entry
                .check()
                .map_err(|(what, advice)| Error::unsupported(path, part(), here, what, advice))?;
            let folder = prefix.get_or_insert_with(|| match name.split_once('/') {
                Some((folder, _)) => folder.to_owned(),
                None => String::new(),
            });
            if folder.is_empty() {
                return Err(Error::Format {
                    file: path.to_owned(),
                    part: part(),
                    offset: Some(here),
                    problem: "it is in no folder, and torch puts each record into one".into(),
                    advice: "zip the folder itself, not what is in it",
                });
            }
            if name.strip_prefix(folder.as_str()).is_none_or(|rest| !rest.starts_with('/')) {
                return Err(Error::format(
                    path,
                    part(),
                    here,
                    format!("it lies outside {folder}/, the folder of the first record"),
                ));
            }
            let hash = hasher.hash(name.as_bytes());
            let name_of = |id: u32| entry::name(&directory, starts[id as usize] as usize);
            if let Some(first) = names.find(hash, |id| name_of(id) == name.as_bytes()) {
                let (first, _) = entry::parse(&directory, starts[first as usize] as usize)
                    .map_err(|e| bad(here, e))?;
                return Err(Error::format(
                    path,
                    part(),
                    entry.offset,
                    format!(
                        "another record of this name is at byte {}, and readers differ in which they take",
                        first.offset
                    ),
                ));
            }
            names.insert(hash, index);
            has_crc |= entry.crc != 0;
            in_order &= last <= entry.offset;
            last = entry.offset;
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
            hasher,
            directory_offset: end.offset,
            prefix: prefix.unwrap_or_default(),
            version: 0,
            byte_order: ByteOrder::Little,
            states_byte_order: false,
            has_crc,
            warnings: Vec::new(),
        };
        Ok((archive, in_order))
    }

    /// Puts the entries in the order of their records and checks that they fit side by side.
    fn check_layout(&mut self, path: &Path, in_order: bool) -> Result<()> {
        let count = self.starts.len() as u32;
        if !in_order {
            let mut order: Vec<u32> = (0..count).collect();
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
                return Err(Error::format(
                    path,
                    Part::Record(entry.name.into()),
                    entry.offset,
                    format!("it overlaps record {other}, which reaches to byte {free_from}"),
                ));
            }
            if previous.is_none() && extent.offset != 0 {
                let entry = self.entry(i);
                return Err(Error::Format {
                    file: path.to_owned(),
                    part: Part::Record(entry.name.into()),
                    offset: Some(entry.offset),
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
            return Err(Error::format(
                path,
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

    /// Checks that it is a checkpoint, and reads the two records that say how it was written.
    fn check_contents(&mut self, file: &File, path: &Path, crc: crate::CrcPolicy) -> Result<()> {
        if self.find("constants.pkl").is_some() {
            return Err(Error::unsupported(
                path,
                Part::File,
                None,
                "a torchscript archive",
                "save its state_dict() with torch.save",
            ));
        }
        if self.find("data.pkl").is_none() {
            return Err(sniff::not_a_checkpoint(self, path));
        }
        let version = ["version", ".data/version"].iter().find_map(|n| self.find(n));
        let Some(version) = version else {
            return Err(Error::format(
                path,
                Part::File,
                None,
                format!("no record {}/version", self.prefix),
            ));
        };
        let (text, at) = self.text(file, path, version, crc)?;
        let number = std::str::from_utf8(&text).ok().map(|t| t.trim_end_matches('\n'));
        let number = number.filter(|t| t.bytes().all(|b| b.is_ascii_digit()));
        match number.and_then(|t| t.parse::<u32>().ok()) {
            Some(v) if (1..=MAX_VERSION).contains(&v) => self.version = v,
            _ => {
                return Err(Error::unsupported(
                    path,
                    Part::Record(self.entry(version).name.into()),
                    at,
                    format!(
                        "archive version \"{}\", and 1 to {MAX_VERSION} are read",
                        text.escape_ascii()
                    ),
                    "",
                ));
            }
        }
        if let Some(order) = self.find("byteorder") {
            let (text, at) = self.text(file, path, order, crc)?;
            self.states_byte_order = true;
            self.byte_order = match text.as_slice() {
                b"little" => ByteOrder::Little,
                b"big" => ByteOrder::Big,
                _ => {
                    return Err(Error::format(
                        path,
                        Part::Record(self.entry(order).name.into()),
                        at,
                        format!(
                            "byte order \"{}\", and only \"little\" and \"big\" exist",
                            text.escape_ascii()
                        ),
                    ));
                }
            };
        }
        Ok(())
    }

    fn text(
        &mut self,
        file: &File,
        path: &Path,
        index: u32,
        crc: crate::CrcPolicy,
    ) -> Result<(Vec<u8>, u64)> {
        let record = self.record(file, path, index)?;
        let entry = self.entry(index);
        let name = entry.name;
        if record.len > MAX_TEXT {
            return Err(Error::format(
                path,
                Part::Record(name.into()),
                record.offset,
                format!("it has {} bytes, and at most {MAX_TEXT} were expected", record.len),
            ));
        }
        let (text, warning) = crate::record::read_all(file, path, name, &record, crc)?;
        let offset = record.offset;
        self.warnings.extend(warning);
        Ok((text, offset))
    }

    /// The folder that all records are in.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The version of the archive's layout, 1 to 10; torch writes 3.
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

    /// The index of the record of a storage. `hint` is tried first: storages stand in the order in
    /// which the pickle meets them. `scratch` is any memory that can be used for a name.
    pub(crate) fn find_storage(&self, key: &str, hint: u32, scratch: &mut Vec<u8>) -> Option<u32> {
        if (hint as usize) < self.starts.len() {
            let name = self.name(hint);
            let rest = name.get(self.prefix.len()..).and_then(|r| r.strip_prefix(b"/data/"));
            if rest == Some(key.as_bytes()) {
                return Some(hint);
            }
        }
        scratch.clear();
        for part in [&self.prefix, "/data/", key] {
            scratch.extend_from_slice(part.as_bytes());
        }
        self.find_name(scratch)
    }

    fn find_name(&self, name: &[u8]) -> Option<u32> {
        self.names.find(self.hasher.hash(name), |id| self.name(id) == name)
    }

    fn name(&self, index: u32) -> &[u8] {
        entry::name(&self.directory, self.starts[index as usize] as usize)
    }

    /// Where the bytes of a record lie, after its local header was compared with the directory.
    pub(crate) fn record(&self, file: &File, path: &Path, index: u32) -> Result<Record> {
        let entry = self.entry(index);
        let offset = local::data_offset(file, path, &entry, self.room_for(index))?;
        Ok(self.record_at(index, offset))
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
