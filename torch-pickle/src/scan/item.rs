//! What some bytes are: an archive, something packed, pickles.

use std::fs::File;
use std::io::{self, Read};

use flate2::read::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};

use super::gather::Scanner;
use super::machine::{self, Seen};
use super::report::{Class, FileKind, Level};
use super::source::{Bytes, Cursor};
use super::{names, search, tar, zip};

/// Bytes to be looked at.
#[derive(Clone)]
pub(super) struct Item<'f> {
    pub(super) bytes: Bytes<'f>,
    /// The way to it; empty for the file.
    pub(super) name: String,
    pub(super) depth: u32,
    pub(super) claim: Claim,
    pub(super) packed: Packed,
    /// The checksum of what comes out.
    pub(super) crc: Option<u32>,
    /// Whether torch.load reads it as the object.
    pub(super) main: bool,
}

/// Why the bytes are looked at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Claim {
    /// They are the file.
    File,
    /// They are said to be a pickle: by their name, or by what stands before them.
    Pickle,
    /// The same, and to be encrypted.
    Encrypted,
    /// They are a record that begins like one.
    Record,
    /// They are a constant of a pickle that begins like one.
    Constant,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Packed {
    No,
    Deflate,
    Zlib,
    Gzip,
    /// A text of which each character is a byte.
    Latin1,
    /// An instruction with an escaped text.
    Escaped,
}

/// The number every legacy file starts with, as LONG1 and as text.
const LEGACY_BINARY: [u8; 12] =
    [0x8A, 0x0A, 0x6C, 0xFC, 0x9C, 0x46, 0xF9, 0x20, 0x6A, 0xA8, 0x50, 0x19];
const LEGACY_TEXT: &[u8] = b"L119547037146038801333356L\n";
/// Pickles in a legacy file: magic, protocol, system, object, keys.
const LEGACY_PICKLES: usize = 5;
/// Instructions that are followed in a record that only may be a pickle.
const RECORD_TRIAL: u64 = 4096;

impl<'f> Item<'f> {
    pub(super) fn of_file(file: &'f File, len: u64) -> Item<'f> {
        Item {
            bytes: Bytes::of_file(file, len),
            name: String::new(),
            depth: 0,
            claim: Claim::File,
            packed: Packed::No,
            crc: None,
            main: false,
        }
    }

    /// A part of it, of another kind.
    pub(super) fn part(
        &self,
        bytes: Bytes<'f>,
        what: &str,
        claim: Claim,
        packed: Packed,
    ) -> Item<'f> {
        let comma = if self.name.is_empty() { "" } else { ", " };
        Item {
            bytes,
            name: format!("{}{comma}{what}", self.name),
            depth: self.depth + 1,
            claim,
            packed,
            crc: None,
            main: false,
        }
    }

    /// What a pickle at this byte of it is called.
    pub(super) fn name_at(&self, at: u64) -> String {
        match at {
            0 => self.name.clone(),
            _ if self.name.is_empty() => format!("byte {at}"),
            _ => format!("{}, byte {at}", self.name),
        }
    }
}

impl<'f> Scanner<'f> {
    pub(super) fn look_at(&mut self, item: Item<'f>) -> io::Result<()> {
        let mut item = item;
        match item.packed {
            Packed::No => {}
            Packed::Latin1 | Packed::Escaped => {
                let Some(bytes) = self.decoded(&item)? else { return Ok(()) };
                // A text without anything in it is the rule.
                if bytes.len() < 4 {
                    return Ok(());
                }
                item.bytes = bytes;
            }
            _ => item.bytes = self.inflate(&item)?,
        }
        item.packed = Packed::No;
        self.check_crc(&item)?;
        self.recognise(&item)
    }

    /// Inflates as much as may be held.
    fn inflate(&mut self, item: &Item<'f>) -> io::Result<Bytes<'f>> {
        let input = Reading { bytes: &item.bytes, at: 0 };
        let room = self.room();
        let mut out = Vec::new();
        let result = match item.packed {
            Packed::Deflate => DeflateDecoder::new(input).take(room + 1).read_to_end(&mut out),
            Packed::Zlib => ZlibDecoder::new(input).take(room + 1).read_to_end(&mut out),
            _ => MultiGzDecoder::new(input).take(room + 1).read_to_end(&mut out),
        };
        if let Err(e) = result {
            if e.kind() == io::ErrorKind::OutOfMemory {
                return Err(e);
            }
            let what = format!("compressed data are damaged after {} bytes of content", out.len());
            self.find(Level::Suspicious, &item.name, item.bytes.file_offset(), what);
        } else if out.len() as u64 > room {
            out.truncate(room as usize);
            let what = format!("inflates to more than the {room} bytes that may still be held");
            self.find(Level::NotLookedInto, &item.name, item.bytes.file_offset(), what);
        }
        out.shrink_to_fit();
        self.inflate_left = self.inflate_left.saturating_sub(out.len() as u64);
        Ok(Bytes::of_memory(out, &self.held))
    }

    fn check_crc(&mut self, item: &Item<'f>) -> io::Result<()> {
        // An archive without checksums has zeros.
        let Some(expected) = item.crc.filter(|&crc| crc != 0) else { return Ok(()) };
        if item.bytes.len() > self.options.max_inflated {
            return Ok(());
        }
        let (mut crc, mut at) = (crc32fast::Hasher::new(), 0);
        while at < item.bytes.len() {
            let piece = item.bytes.read(at, 256 * 1024)?;
            crc.update(&piece);
            at += piece.len() as u64;
        }
        let found = crc.finalize();
        if found != expected {
            let what = format!("its checksum is {found:08x}, and {expected:08x} is on record");
            self.find(Level::Suspicious, &item.name, item.bytes.file_offset(), what);
        }
        Ok(())
    }

    fn recognise(&mut self, item: &Item<'f>) -> io::Result<()> {
        let head = item.bytes.read(0, 1024)?;
        let starts = |magic: &[u8]| head.starts_with(magic);
        let mut known = false;
        if item.claim == Claim::File || starts(b"PK\x03\x04") || starts(b"PK\x05\x06") {
            known = zip::look(self, item)?;
            if known && starts(b"PK") {
                return Ok(());
            }
        }
        if tar::is_tar(&head) {
            self.is_a(item, FileKind::Tar);
            tar::look(self, item)?;
            known = true;
        }
        if starts(b"\x93NUMPY") {
            self.is_a(item, FileKind::Npy);
            self.array(item, &head);
            return Ok(());
        }
        let packed = match head.as_slice() {
            [0x1F, 0x8B, 8, ..] => Some((Packed::Gzip, FileKind::Gzip, "inflated")),
            [0x78, second, ..] if (0x7800 + u32::from(*second)).is_multiple_of(31) => {
                Some((Packed::Zlib, FileKind::Zlib, "inflated"))
            }
            _ => None,
        };
        if let Some((packed, container, what)) = packed {
            self.is_a(item, container);
            self.push(item.part(item.bytes.clone(), what, Claim::Pickle, packed));
            return Ok(());
        }
        if let Some(what) = unread(&head)
            && matches!(item.claim, Claim::File | Claim::Pickle)
        {
            self.is_a(item, FileKind::Unread(what));
            let why = format!("{what}: unpack it, and scan what is in it");
            self.find(Level::NotLookedInto, &item.name, None, why);
            return Ok(());
        }
        if let Some(what) = other(&head, item.bytes.len()) {
            self.is_a(item, FileKind::Other(what));
            known = true;
        }
        self.stream(item, &head, known)
    }

    /// A numpy array: its objects, if it has any, are a pickle behind the header.
    fn array(&mut self, item: &Item<'f>, head: &[u8]) {
        let (len, from) = match head {
            [_, _, _, _, _, _, 1, _, a, b, ..] => (u64::from(u16::from_le_bytes([*a, *b])), 10),
            [_, _, _, _, _, _, _, _, a, b, c, d, ..] => {
                (u32::from_le_bytes([*a, *b, *c, *d]).into(), 12)
            }
            _ => return,
        };
        let end = (from as u64).saturating_add(len);
        // The type of objects is O, and no other part of a header has that letter.
        let header = &head
            [from.min(head.len())..(end.min(head.len() as u64) as usize).max(from.min(head.len()))];
        let has_objects = header.contains(&b'O') || end > head.len() as u64;
        let claim = if has_objects { Claim::Pickle } else { Claim::Record };
        self.push(item.part(item.bytes.after(end), "objects", claim, Packed::No));
    }

    /// Pickles, one after the other.
    fn stream(&mut self, item: &Item<'f>, head: &[u8], known: bool) -> io::Result<()> {
        let legacy = item.claim == Claim::File && is_legacy(head);
        let mut item = item.clone();
        if legacy {
            self.is_a(&item, FileKind::Legacy);
            item.main = true;
        }
        let len = item.bytes.len();
        let mut cursor = Cursor::new(item.bytes.clone());
        let (mut at, mut count) = (0, 0);
        while at < len {
            cursor.go_to(at);
            let first = cursor.peek(2)?.first_chunk::<2>().copied().unwrap_or_default();
            let stated = first[0] == 0x80 && first[1] <= 5;
            let claim = match item.claim {
                _ if legacy => Claim::Pickle,
                claim if count == 0 => claim,
                _ => Claim::Constant,
            };
            let most = if claim == Claim::Record && !stated { RECORD_TRIAL } else { u64::MAX };
            let seen = machine::run(&mut cursor, self.bounds(most))?;
            if !is_pickle(&seen, claim, stated, known, len - at) {
                if claim == Claim::Encrypted {
                    let what = "it is encrypted";
                    self.find(Level::NotLookedInto, &item.name, item.bytes.file_offset(), what);
                }
                break;
            }
            if claim == Claim::Encrypted {
                let what = "it is marked as encrypted, and is not";
                self.find(Level::Suspicious, &item.name, item.bytes.file_offset(), what);
            }
            count += 1;
            let (stopped, end) = (seen.stopped, at + seen.len);
            self.commit(&item, at, seen);
            at = end;
            if !stopped || legacy && count == LEGACY_PICKLES {
                break;
            }
        }
        if legacy && count < LEGACY_PICKLES {
            self.refuse(|| format!("it ends after {count} of {LEGACY_PICKLES} pickles"));
        }
        if legacy && count >= LEGACY_PICKLES || at >= len && count > 0 {
            return Ok(());
        }
        let whole = matches!(item.claim, Claim::File | Claim::Pickle);
        if whole || count > 0 {
            if count > 0 && !known && item.claim != Claim::Encrypted {
                let what = format!("{} bytes follow what can be read of the last pickle", len - at);
                self.find(Level::Note, &item.name, Some(at), what);
            }
            if !known {
                search::rest(self, &item, at)?;
            }
        }
        Ok(())
    }
}

/// Whether what was read is a pickle, and not data that begin like one.
fn is_pickle(seen: &Seen, claim: Claim, stated: bool, known: bool, len: u64) -> bool {
    if seen.instructions == 0 {
        return false;
    }
    let sound = seen.stopped && seen.fault.is_none();
    let names = &seen.names.by_name;
    let dangerous =
        || names.keys().any(|(module, name)| names::classify(module, name).0 == Class::Dangerous);
    match claim {
        Claim::Pickle => true,
        Claim::File if !known => {
            sound || stated || seen.has_identifier || seen.unresolved_count > 0
        }
        Claim::File | Claim::Encrypted | Claim::Record | Claim::Constant => {
            sound && (stated || !names.is_empty() || seen.len == len && claim == Claim::File)
                || stated && (seen.has_identifier || seen.unresolved_count > 0)
                || (stated || seen.has_call) && dangerous()
        }
    }
}

fn is_legacy(head: &[u8]) -> bool {
    let after = if head.first() == Some(&0x80) { head.get(2..).unwrap_or_default() } else { head };
    let framed =
        if after.first() == Some(&0x95) { after.get(9..).unwrap_or_default() } else { after };
    framed.starts_with(&LEGACY_BINARY) || head.starts_with(LEGACY_TEXT)
}

/// What is compressed in a way that is not read here.
fn unread(head: &[u8]) -> Option<&'static str> {
    let known: [(&[u8], &str); 8] = [
        (b"7z\xBC\xAF\x27\x1C", "7z archive"),
        (b"BZh", "data compressed by bzip2"),
        (b"\xFD7zXZ\0", "data compressed by xz"),
        (b"\x5D\0\0", "data compressed by lzma"),
        (b"\x28\xB5\x2F\xFD", "data compressed by zstd"),
        (b"\x04\x22\x4D\x18", "data compressed by lz4"),
        (b"Rar!\x1A\x07", "rar archive"),
        (b"ZF0x", "data compressed by an old joblib"),
    ];
    known.iter().find(|(magic, _)| head.starts_with(magic)).map(|(_, what)| *what)
}

/// What has no pickles.
fn other(head: &[u8], len: u64) -> Option<&'static str> {
    let known: [(&[u8], &str); 4] = [
        (b"NPKG", "numpack package"),
        (b"NPKB", "metadata of a numpack store"),
        (b"GGUF", "gguf file"),
        (b"\x89HDF\r\n\x1A\n", "hdf5 file"),
    ];
    if let Some((_, what)) = known.iter().find(|(magic, _)| head.starts_with(magic)) {
        return Some(what);
    }
    let header = u64::from_le_bytes(*head.first_chunk()?);
    let fits = header.checked_add(8).is_some_and(|n| n <= len);
    (head.get(8) == Some(&b'{') && fits).then_some("safetensors file")
}

/// Bytes as a reader.
struct Reading<'a, 'f> {
    bytes: &'a Bytes<'f>,
    at: u64,
}

impl Read for Reading<'_, '_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let n = self.bytes.read_at(self.at, out)?;
        self.at += n as u64;
        Ok(n)
    }
}
