//! The layout of a package: header, entries, names and checksum.

use super::Compression;
use crate::error::{Error, Result, UPGRADE};
use crate::limits::Limits;
use crate::metadata;
use crate::names::{self, NameIndex};
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

pub(super) const MAGIC: [u8; 4] = *b"NPKG";
pub(super) const VERSION: u32 = 2;
pub(super) const HEADER: u64 = 13;
/// Between an entry's name and its bytes.
pub(super) const SIZES: u64 = 16;
const FOOTER: u64 = 4;
/// An entry with an empty name and no bytes.
const MIN_ENTRY: u64 = 4 + SIZES;
/// Deflate spends at least 2 bits on 258 bytes.
const MAX_ZLIB: u64 = 1032;
/// Zstandard spends at least 4 bytes on a block of 128 KiB.
const MAX_ZSTD: u64 = 32768;
/// Below this total, no ratio is asked about.
const NO_BOMB: u64 = 1 << 30;

/// A file in a package.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) name: String,
    /// Its size when it is unpacked.
    pub(super) size: u64,
    /// The bytes it takes in the package, and where they begin.
    pub(super) packed: u64,
    pub(super) at: u64,
    pub(super) compression: Compression,
}

/// All that a package says of itself, but the content of its files.
#[derive(Debug)]
pub(super) struct Layout {
    pub(super) version: u32,
    /// The flag in the header; each file has its own word on it.
    pub(super) compressed: bool,
    pub(super) entries: Vec<Entry>,
    pub(super) index: NameIndex,
    pub(super) checksum: u32,
}

impl Layout {
    /// Reads and checks the headers of all entries, and no content.
    pub(super) fn read(file: &File, len: u64, path: &Path, limits: &Limits) -> Result<Layout> {
        let mut scan = Scan { input: BufReader::with_capacity(64 << 10, file), at: 0, len, path };
        let magic: [u8; 4] = scan.array("the magic")?;
        if magic != MAGIC {
            let found = magic.escape_ascii();
            return Err(damaged(
                path,
                0,
                format!("expected the magic \"NPKG\", found \"{found}\""),
            ));
        }
        let version = u32::from_le_bytes(scan.array("the version")?);
        if !(1..=VERSION).contains(&version) {
            let problem = format!("the package has version {version}, known are 1 and {VERSION}");
            return Err(unsupported(path, 4, problem, UPGRADE));
        }
        let [compressed] = scan.array("the compression")?;
        if compressed > 1 {
            let problem = format!("the compression is {compressed}, known are 0 and 1");
            return Err(unsupported(path, 8, problem, UPGRADE));
        }
        let count = u32::from_le_bytes(scan.array("the number of files")?);
        let room = scan.left().saturating_sub(FOOTER) / MIN_ENTRY;
        if u64::from(count) > room {
            let problem = format!("the number of files is {count}, the package can hold {room}");
            return Err(damaged(path, 9, problem));
        }
        // Not with room for all: a sparse file is larger than what it took to make it.
        let mut entries = Vec::new();
        let mut total = 0u64;
        for _ in 0..count {
            let entry = scan.entry(compressed == 1)?;
            total = total
                .checked_add(entry.size)
                .ok_or_else(|| damaged(path, None, "its files have 2^64 bytes or more"))?;
            entries.push(entry);
        }
        let checksum = u32::from_le_bytes(scan.array("the checksum")?);
        if scan.left() > 0 {
            let problem = format!("expected the end, {} more bytes follow", scan.left());
            return Err(damaged(path, scan.at, problem));
        }
        let allowed = len.saturating_mul(limits.max_package_expansion).max(NO_BOMB);
        if total > allowed {
            return Err(Error::Limit {
                file: path.to_owned(),
                array: None,
                what: "the size of its files when unpacked",
                value: total,
                limit: allowed,
            });
        }
        let index = NameIndex::build(entries.len(), |i| &entries[i].name).map_err(|i| {
            let Entry { name, at, .. } = &entries[i];
            damaged(path, *at, format!("two files have the name {name:?}"))
        })?;
        Ok(Layout { version, compressed: compressed == 1, entries, index, checksum })
    }

    pub(super) fn find(&self, name: &str) -> Option<&Entry> {
        self.index.find(name, |i| &self.entries[i].name).map(|i| &self.entries[i])
    }
}

/// A walk over the headers.
struct Scan<'a> {
    input: BufReader<&'a File>,
    at: u64,
    len: u64,
    path: &'a Path,
}

impl Scan<'_> {
    fn left(&self) -> u64 {
        self.len - self.at
    }

    fn fill(&mut self, out: &mut [u8], what: &str) -> Result<()> {
        let n = out.len() as u64;
        if n > self.left() {
            let problem = format!("expected {n} bytes of {what}, the package ends here");
            return Err(damaged(self.path, self.len, problem));
        }
        self.input.read_exact(out).map_err(Error::io("read", self.path))?;
        self.at += n;
        Ok(())
    }

    fn array<const N: usize>(&mut self, what: &str) -> Result<[u8; N]> {
        let mut out = [0; N];
        self.fill(&mut out, what)?;
        Ok(out)
    }

    fn entry(&mut self, may_be_compressed: bool) -> Result<Entry> {
        let start = self.at;
        let n = u32::from_le_bytes(self.array("the length of a name")?) as usize;
        if n > names::MAX_COMPONENT {
            let problem = format!("a file name of {n} bytes is longer than a name can be");
            return Err(damaged(self.path, start, problem));
        }
        let mut name = vec![0; n];
        self.fill(&mut name, "a name")?;
        let name = String::from_utf8(name)
            .map_err(|_| damaged(self.path, start + 4, "the file name is not UTF-8"))?;
        check_name(&name)
            .map_err(|p| damaged(self.path, start + 4, format!("the file name {name:?} {p}")))?;
        let size = u64::from_le_bytes(self.array("a size")?);
        let stored = u64::from_le_bytes(self.array("a stored size")?);
        let at = self.at;
        let packed = if stored == 0 { size } else { stored };
        if packed > self.left() {
            let left = self.left();
            let problem = format!("{name:?} takes {packed} bytes, the package ends after {left}");
            return Err(damaged(self.path, at, problem));
        }
        let mut compression = Compression::Stored;
        let mut seen = 0;
        if stored > 0 {
            if !may_be_compressed {
                let problem =
                    format!("{name:?} is compressed, the package says that nothing in it is");
                return Err(damaged(self.path, at - 8, problem));
            }
            let mut first = [0; 4];
            seen = stored.min(4);
            self.fill(&mut first[..seen as usize], "a compressed file")?;
            compression = sniff(first).ok_or_else(|| {
                damaged(self.path, at, format!("{name:?} is neither a zlib nor a zstd stream"))
            })?;
            let most = stored.saturating_mul(if compression == Compression::Zlib {
                MAX_ZLIB
            } else {
                MAX_ZSTD
            });
            if size > most {
                let problem = format!(
                    "{name:?} is to have {size} bytes, {stored} compressed ones hold at most {most}"
                );
                return Err(damaged(self.path, at - SIZES, problem));
            }
        }
        // A file's length, and so every part of it, fits an i64.
        self.input.seek_relative((packed - seen) as i64).map_err(Error::io("read", self.path))?;
        self.at = at + packed;
        Ok(Entry { name, size, packed, at, compression })
    }
}

/// Which compression some bytes begin.
fn sniff(first: [u8; 4]) -> Option<Compression> {
    match first {
        [0x28, 0xb5, 0x2f, 0xfd] => Some(Compression::Zstd),
        // The two bytes of the header are a multiple of 31.
        [0x78, flags, ..] if (0x7800 + u32::from(flags)).is_multiple_of(31) => {
            Some(Compression::Zlib)
        }
        _ => None,
    }
}

/// Whether a file in a package may have a name; if not, why. Nothing else is ever packed, and no
/// such name leads out of the store.
fn check_name(name: &str) -> Result<(), &'static str> {
    if name == metadata::FILE {
        return Ok(());
    }
    names::check_relative(name)?;
    if name.contains('/') {
        return Err("is in a folder; a package holds files only");
    }
    if is_data_file(name) || names::is_bitmap_file(name) {
        return Ok(());
    }
    Err("is none of metadata.npkm, data_….npkd and deleted_….npkb")
}

/// Whether a data file is called as all programs take it into a package.
pub(super) fn is_data_file(name: &str) -> bool {
    name.starts_with("data_") && name.ends_with(".npkd") && !name.contains('/')
}

/// The first bytes of a package.
pub(super) fn header(compressed: bool, files: u32) -> Vec<u8> {
    let mut out = Vec::with_capacity(HEADER as usize);
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&VERSION.to_le_bytes());
    out.push(u8::from(compressed));
    out.extend_from_slice(&files.to_le_bytes());
    out
}

/// What stands before the bytes of a file that is stored as it is.
pub(super) fn entry_header(name: &str, size: u64) -> Vec<u8> {
    let mut out = Vec::with_capacity(4 + name.len() + SIZES as usize);
    crate::cursor::put_str(&mut out, name);
    out.extend_from_slice(&size.to_le_bytes());
    out.extend_from_slice(&0u64.to_le_bytes());
    out
}

/// The checksum of a package: over the content of its files, not over names, sizes or headers.
pub(super) struct Checksum {
    each_file: bool,
    whole: crc32fast::Hasher,
    file: crc32fast::Hasher,
}

impl Checksum {
    pub(super) fn new(version: u32) -> Checksum {
        let new = crc32fast::Hasher::new;
        Checksum { each_file: version >= 2, whole: new(), file: new() }
    }

    pub(super) fn update(&mut self, content: &[u8]) {
        if self.each_file { &mut self.file } else { &mut self.whole }.update(content);
    }

    /// The content of one file has been given.
    pub(super) fn end_file(&mut self) {
        if self.each_file {
            let crc = std::mem::take(&mut self.file).finalize();
            self.whole.update(&crc.to_le_bytes());
        }
    }

    /// Forgets what has been given of the current file.
    pub(super) fn restart_file(&mut self) {
        self.file.reset();
    }

    pub(super) fn finish(self) -> u32 {
        self.whole.finalize()
    }
}

const HINT: &str = "get the package again from where it came, or pack the store again";

/// A damaged package.
pub(super) fn damaged(
    package: &Path,
    offset: impl Into<Option<u64>>,
    problem: impl Into<String>,
) -> Error {
    let (file, offset, problem) = (package.to_owned(), offset.into(), problem.into());
    Error::Format { file, array: None, offset, problem, hint: HINT }
}

/// A package that this crate does not read.
pub(super) fn unsupported(
    package: &Path,
    offset: impl Into<Option<u64>>,
    problem: String,
    hint: &'static str,
) -> Error {
    let (file, offset) = (package.to_owned(), offset.into());
    Error::Unsupported { file, array: None, offset, problem, hint }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_plain() {
        for good in
            ["metadata.npkm", "data_.npkd", "data_a\\b.npkd", "data_...npkd", "deleted_a.npkb"]
        {
            assert_eq!(check_name(good), Ok(()), "{good}");
        }
        for bad in [
            "",
            "/etc/data_x.npkd",
            "../data_x.npkd",
            "data_x/../../y.npkd",
            "data_a_segments/seg_000000.npkd",
            "data_a\0.npkd",
            "libnumpack.redo",
            "METADATA.npkm",
            "data_a.npkseg",
            "x.npkd",
        ] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn streams_are_told_apart() {
        assert_eq!(sniff(*b"\x78\x9c\xf3\x0b"), Some(Compression::Zlib));
        assert_eq!(sniff(*b"\x78\x01\0\0"), Some(Compression::Zlib));
        assert_eq!(sniff(*b"\x28\xb5\x2f\xfd"), Some(Compression::Zstd));
        for bad in [b"\x78\x9d\0\0", b"\x28\xb5\x2f\xfe", b"NPKB"] {
            assert_eq!(sniff(*bad), None);
        }
    }
}
