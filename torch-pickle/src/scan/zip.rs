//! A zip archive, read by whatever leads to a record: each central directory that can be found,
//! and the local headers that none of them lists.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::io;

use flate2::{Decompress, FlushDecompress};

use super::gather::Scanner;
use super::item::{Claim, Item, Packed};
use super::opcodes;
use super::report::{FileKind, Level};
use super::source::Bytes;

const END: &[u8; 4] = b"PK\x05\x06";
const END64: &[u8; 4] = b"PK\x06\x06";
const LOCATOR: &[u8; 4] = b"PK\x06\x07";
const CENTRAL: &[u8; 4] = b"PK\x01\x02";
const LOCAL: &[u8; 4] = b"PK\x03\x04";
const END_LEN: usize = 22;
/// The end record, its comment, and the two records of its 64-bit form.
const TAIL: u64 = 22 + 0xFFFF + 20 + 56;
/// Bits that mean encryption.
const ENCRYPTED: u16 = 1 | 1 << 6 | 1 << 13;
/// Bytes of a record that tell whether it may be a pickle.
const HEAD: usize = 64;
/// Bytes of a deflated record that give as many.
const DEFLATED_HEAD: usize = 1024;
/// A local header with its name, and the padding that torch puts behind it, in one read.
const LOCAL_READ: usize = 512;
/// What may stand between two records: a data descriptor.
const DESCRIPTOR: u64 = 24;
/// Archives in a row that are looked at.
const MAX_ROW: usize = 100_000;
/// End records that are tried.
const MAX_ENDS: usize = 16;

/// A place where a central directory starts, and what must be added to the offsets in it.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Directory {
    at: u64,
    delta: u64,
    count: u64,
    end: u64,
}

/// What a header says of a record.
#[derive(Clone, Debug)]
struct Entry {
    name: Vec<u8>,
    offset: u64,
    stored: u64,
    crc: u32,
    method: u16,
    flags: u16,
}

/// What was met in one archive.
#[derive(Default)]
struct Met {
    names: HashSet<u64>,
    places: HashSet<(u64, u16)>,
    /// Where records lie, with their headers.
    extents: Vec<(u64, u64)>,
    /// Where the bytes of records lie that are archives, which are looked into by themselves.
    archives: Vec<(u64, u64)>,
    records: usize,
    npy: usize,
    data_pkl: bool,
    constants_pkl: bool,
    /// What only an archive of `torch.export` has.
    export: bool,
}

/// Looks at an archive. False where there is none.
pub(super) fn look<'f>(scanner: &mut Scanner<'f>, item: &Item<'f>) -> io::Result<bool> {
    let bytes = &item.bytes;
    let (mut directories, ends) = directories(bytes)?;
    let starts_with_record = bytes.read(0, 4)? == LOCAL;
    if directories.is_empty() && !starts_with_record {
        let is_empty = ends > 0 && bytes.read(0, 4)? == END;
        if is_empty {
            scanner.is_a(item, FileKind::Zip);
        }
        return Ok(is_empty);
    }
    if scanner.archives_left == 0 {
        scanner.find(Level::NotLookedInto, &item.name, None, "too many archives in one another");
        return Ok(true);
    }
    scanner.archives_left -= 1;
    if item.claim == Claim::File && directories.first().is_some_and(|d| d.delta > 0) {
        let row = row(bytes)?;
        if !row.is_empty() {
            push_row(scanner, item, &row);
            return Ok(true);
        }
    }
    let mut met = Met::default();
    let hasher = RandomState::new();
    if let Some(first) = directories.first().copied() {
        read_directory(scanner, item, &first, &mut met, &hasher)?;
        // The last end record is every reader's, where nothing follows it. One that lies in a
        // record of its archive is that record's, wherever the offset in it would lead from here.
        let is_last = first.end == bytes.len();
        let inside =
            |d: &Directory| met.archives.iter().any(|&(from, to)| from < d.end && d.end <= to);
        directories.retain(|d| *d == first || !(is_last && inside(d)));
    }
    match directories.as_slice() {
        [] => scanner.find(
            Level::Suspicious,
            &item.name,
            None,
            "the archive has no central directory; its local headers are looked for",
        ),
        [_] => {}
        _ => scanner.find(
            Level::Suspicious,
            &item.name,
            None,
            format!("{} central directories; readers differ in which they take", directories.len()),
        ),
    }
    for directory in directories.iter().skip(1) {
        read_directory(scanner, item, directory, &mut met, &hasher)?;
    }
    if directories.first().is_some_and(|d| d.delta > 0) {
        let what = "bytes were put in front of the archive";
        scanner.find(Level::Suspicious, &item.name, Some(0), what);
    }
    unlisted(scanner, item, &directories, &mut met)?;
    classify(scanner, item, &met);
    Ok(true)
}

/// What kind of archive it is.
fn classify<'f>(scanner: &mut Scanner<'f>, item: &Item<'f>, met: &Met) {
    let container = if met.constants_pkl {
        scanner.refuse(|| "it is a torchscript archive".to_owned());
        FileKind::TorchScript
    } else if met.data_pkl {
        FileKind::Torch
    } else if met.export {
        scanner.refuse(|| "it is an archive of torch.export".to_owned());
        FileKind::Export
    } else if met.npy > 0 && met.npy == met.records {
        FileKind::Npz
    } else {
        FileKind::Zip
    };
    scanner.is_a(item, container);
}

/// Archives one after another are looked at one by one: every reader takes one of them.
fn push_row<'f>(scanner: &mut Scanner<'f>, item: &Item<'f>, row: &[(u64, u64)]) {
    scanner.is_a(item, FileKind::Row);
    scanner.refuse(|| "it has several archives one after another".to_owned());
    // As many as there are bytes for.
    scanner.archives_left += row.len();
    for &(start, end) in row {
        let archive = item.bytes.slice(start, end - start);
        let what = format!("archive at byte {start}");
        scanner.push(item.part(archive, &what, Claim::Record, Packed::No));
    }
}

/// Where each of several archives starts and ends, if there is nothing else in the file.
fn row(bytes: &Bytes<'_>) -> io::Result<Vec<(u64, u64)>> {
    let mut row = Vec::new();
    let mut end = bytes.len();
    while end > 0 {
        match start_of(bytes, end)? {
            Some(start) if row.len() < MAX_ROW => row.push((start, end)),
            _ => return Ok(Vec::new()),
        }
        end = row.last().map_or(0, |&(start, _)| start);
    }
    row.reverse();
    Ok(if row.len() > 1 { row } else { Vec::new() })
}

/// Where the archive starts that ends here, by what its end record says.
fn start_of(bytes: &Bytes<'_>, end: u64) -> io::Result<Option<u64>> {
    const WIDE: usize = 56 + 20;
    let len = (WIDE + END_LEN).min(usize::try_from(end).unwrap_or(usize::MAX));
    let tail = bytes.read(end - len as u64, len)?;
    let Some(p) = tail.len().checked_sub(END_LEN) else { return Ok(None) };
    if tail[p..p + 4] != *END || u16_at(&tail, p + 20) != 0 {
        return Ok(None);
    }
    let (mut size, mut offset) =
        (u64::from(u32_at(&tail, p + 12)), u64::from(u32_at(&tail, p + 16)));
    let mut before = end - END_LEN as u64;
    if p == WIDE && tail[..4] == *END64 && tail[56..60] == *LOCATOR {
        (size, offset) = (u64_at(&tail, 40), u64_at(&tail, 48));
        before -= WIDE as u64;
    }
    let start = before.checked_sub(size).and_then(|directory| directory.checked_sub(offset));
    let Some(start) = start.filter(|&start| start < before) else { return Ok(None) };
    Ok((bytes.read(start, 4)? == LOCAL && bytes.read(start + offset, 4)? == CENTRAL)
        .then_some(start))
}

/// The central directories, and how many end records there are.
fn directories(bytes: &Bytes<'_>) -> io::Result<(Vec<Directory>, usize)> {
    let tail_at = bytes.len().saturating_sub(TAIL);
    let tail = bytes.read(tail_at, TAIL as usize)?;
    let mut found: Vec<Directory> = Vec::new();
    let mut ends = 0;
    let last = (tail.len() + 1).saturating_sub(END_LEN);
    for p in (0..last).rev() {
        if tail[p..p + 4] != *END {
            continue;
        }
        ends += 1;
        if ends > MAX_ENDS {
            break;
        }
        let at = tail_at + p as u64;
        let mut size = u64::from(u32_at(&tail, p + 12));
        let mut offset = u64::from(u32_at(&tail, p + 16));
        let mut count = u64::from(u16_at(&tail, p + 10));
        let mut before = at;
        if let Some(l) = p.checked_sub(20).filter(|&l| tail[l..l + 4] == *LOCATOR)
            && let Some(e) = l.checked_sub(56).filter(|&e| tail[e..e + 4] == *END64)
        {
            count = u64_at(&tail, e + 32);
            size = u64_at(&tail, e + 40);
            offset = u64_at(&tail, e + 48);
            before = tail_at + e as u64;
        }
        // Python goes back from the end record, torch to the offset it states.
        for start in [before.checked_sub(size), Some(offset)].into_iter().flatten() {
            let is_there = bytes.read(start, 4)? == CENTRAL;
            if is_there && found.iter().all(|d| d.at != start) {
                let delta = start.saturating_sub(offset);
                let end = at + END_LEN as u64 + u64::from(u16_at(&tail, p + 20));
                found.push(Directory { at: start, delta, count, end });
            }
        }
    }
    Ok((found, ends))
}

fn read_directory<'f>(
    scanner: &mut Scanner<'f>,
    item: &Item<'f>,
    directory: &Directory,
    met: &mut Met,
    hasher: &RandomState,
) -> io::Result<()> {
    let bytes = &item.bytes;
    let (mut at, mut count) = (directory.at, 0u64);
    loop {
        let header = bytes.read(at, 46)?;
        if header.len() < 46 || header[..4] != *CENTRAL {
            break;
        }
        if scanner.entries_left == 0 {
            scanner.find(Level::NotLookedInto, &item.name, Some(at), "too many records");
            return Ok(());
        }
        scanner.entries_left -= 1;
        let lens = [28, 30, 32].map(|n| usize::from(u16_at(&header, n)));
        let rest = bytes.read(at + 46, lens[0] + lens[1])?;
        let (name, extra) = rest.split_at(lens[0].min(rest.len()));
        let mut wide = [24, 20, 42].map(|n| u64::from(u32_at(&header, n)));
        widen(&mut wide, extra);
        let entry = Entry {
            name: name.to_vec(),
            offset: wide[2],
            stored: wide[1],
            crc: u32_at(&header, 16),
            method: u16_at(&header, 10),
            flags: u16_at(&header, 8),
        };
        record(scanner, item, directory.delta, &entry, met, hasher)?;
        count += 1;
        at += 46 + lens.iter().sum::<usize>() as u64;
    }
    // The end record may count 65,535 and mean more.
    if count != directory.count && directory.count != 0xFFFF {
        let what = format!("{count} records are listed, and {} are counted", directory.count);
        scanner.find(Level::Suspicious, &item.name, Some(directory.at), what);
    }
    Ok(())
}

/// Replaces each value that is all ones by the next one of the zip64 field.
fn widen(values: &mut [u64], mut extra: &[u8]) {
    while extra.len() >= 4 {
        let (tag, len) = (u16_at(extra, 0), usize::from(u16_at(extra, 2)));
        let Some(mut body) = extra.get(4..4 + len) else { return };
        if tag == 1 {
            for value in values.iter_mut().filter(|v| **v == u64::from(u32::MAX)) {
                let Some((wide, rest)) = body.split_first_chunk() else { return };
                *value = u64::from_le_bytes(*wide);
                body = rest;
            }
            return;
        }
        extra = &extra[4 + len..];
    }
}

/// A record that a directory lists.
fn record<'f>(
    scanner: &mut Scanner<'f>,
    item: &Item<'f>,
    delta: u64,
    entry: &Entry,
    met: &mut Met,
    hasher: &RandomState,
) -> io::Result<()> {
    let bytes = &item.bytes;
    let name = String::from_utf8_lossy(&entry.name).into_owned();
    if !met.names.insert(hasher.hash_one(&entry.name)) {
        let what = "another record has the same name, and readers differ in which they take";
        scanner.find(Level::Suspicious, &label(item, &name), Some(entry.offset), what);
    }
    met.records += 1;
    met.npy += usize::from(name.ends_with(".npy"));
    let places = [entry.offset.saturating_add(delta), entry.offset];
    let mut local = Vec::new();
    let mut at = 0;
    for place in places {
        (at, local) = (place, bytes.read(place, LOCAL_READ)?);
        if local.starts_with(LOCAL) {
            break;
        }
    }
    if local.len() < 30 || !local.starts_with(LOCAL) {
        let what = "a local header was expected here";
        scanner.find(Level::Suspicious, &label(item, &name), Some(entry.offset), what);
        return Ok(());
    }
    let (name_len, extra_len) = (u64::from(u16_at(&local, 26)), u64::from(u16_at(&local, 28)));
    let data_at = at + 30 + name_len + extra_len;
    let local_name = match local.get(30..30 + name_len as usize) {
        Some(inside) => inside.to_vec(),
        None => bytes.read(at + 30, name_len as usize)?,
    };
    let local_name = String::from_utf8_lossy(&local_name).into_owned();
    if local_name != name {
        let what = format!("its local header has another name: {local_name}");
        scanner.find(Level::Suspicious, &label(item, &name), Some(at), what);
    }
    let (flags, method) = (u16_at(&local, 6), u16_at(&local, 8));
    if method != entry.method {
        let what = format!(
            "its local header says compression method {method}, the central directory {}",
            entry.method
        );
        scanner.find(Level::Suspicious, &label(item, &name), Some(at), what);
    }
    let local_stored = u64::from(u32_at(&local, 18));
    let sized = flags & 8 == 0 && local_stored != u64::from(u32::MAX);
    if sized && local_stored != entry.stored {
        let what = format!(
            "its local header says {local_stored} bytes, the central directory {}",
            entry.stored
        );
        scanner.find(Level::Suspicious, &label(item, &name), Some(at), what);
    }
    let stored = if sized { entry.stored.max(local_stored) } else { entry.stored };
    met.extents.push((at, data_at.saturating_add(entry.stored)));
    let known = local.get((data_at - at) as usize..).unwrap_or_default();
    // The tables in front of deflated data can take a hundred bytes and more.
    let size = if method.max(entry.method) == 0 { HEAD } else { DEFLATED_HEAD };
    let head =
        if known.len() >= size { known[..size].to_vec() } else { bytes.read(data_at, size)? };
    let encrypted = (flags | entry.flags) & ENCRYPTED != 0;
    if method.max(entry.method) == 0 && !encrypted && head.starts_with(LOCAL) {
        met.archives.push((data_at, data_at.saturating_add(entry.stored)));
    }
    let data = bytes.slice(data_at, stored);
    // Where both headers disagree, each may be believed.
    let methods = if method == entry.method { &[method][..] } else { &[method, entry.method] };
    for &method in methods {
        let which = Which { name: &name, encrypted, crc: Some(entry.crc) };
        consider(scanner, item, data.clone(), &head, method, &which, met);
        if local_name != name {
            let which = Which { name: &local_name, ..which };
            consider(scanner, item, data.clone(), &head, method, &which, met);
        }
    }
    Ok(())
}

/// What a record is called.
fn label(item: &Item<'_>, name: &str) -> String {
    if item.name.is_empty() { name.to_owned() } else { format!("{}, {name}", item.name) }
}

#[derive(Clone, Copy)]
struct Which<'a> {
    name: &'a str,
    encrypted: bool,
    crc: Option<u32>,
}

/// Hands a record on that may be a pickle, by its name or its first bytes.
fn consider<'f>(
    scanner: &mut Scanner<'f>,
    item: &Item<'f>,
    data: Bytes<'f>,
    head: &[u8],
    method: u16,
    which: &Which<'_>,
    met: &mut Met,
) {
    let name = which.name;
    let in_folder = name.split_once('/').map_or(name, |(_, rest)| rest);
    let main = in_folder == "data.pkl" && item.depth == 0;
    met.data_pkl |= main;
    met.constants_pkl |= in_folder == "constants.pkl";
    met.export |= in_folder == "archive_format" || name == "serialized_exported_program.json";
    if data.len() == 0 {
        return;
    }
    let by_name = is_pickle_name(name);
    let packed = match method {
        0 => Packed::No,
        8 => Packed::Deflate,
        other => {
            let what = format!("compression method {other}, which is not read");
            scanner.find(Level::NotLookedInto, &label(item, name), data.file_offset(), what);
            return;
        }
    };
    let inflated = if packed == Packed::Deflate {
        inflate_head(head)
    } else {
        head[..head.len().min(HEAD)].to_vec()
    };
    if !by_name && !may_be_one(&inflated, name) {
        if which.encrypted {
            let what = "it is encrypted";
            scanner.find(Level::NotLookedInto, &label(item, name), data.file_offset(), what);
        }
        return;
    }
    let place = data.file_offset().unwrap_or(0);
    if !met.places.insert((place, method)) && !main {
        return;
    }
    let claim = match (which.encrypted, by_name) {
        (true, _) => Claim::Encrypted,
        (_, true) => Claim::Pickle,
        _ => Claim::Record,
    };
    scanner.push(Item { crc: which.crc, main, ..item.part(data, name, claim, packed) });
}

/// The first bytes of deflated data, or none where they are damaged.
fn inflate_head(head: &[u8]) -> Vec<u8> {
    let mut out = vec![0; HEAD];
    let mut engine = Decompress::new(false);
    let _ = engine.decompress(head, &mut out, FlushDecompress::None);
    out.truncate(engine.total_out() as usize);
    out
}

/// Whether the name says that it is a pickle.
pub(super) fn is_pickle_name(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    [".pkl", ".pickle", ".p", ".pck", ".pcl", ".joblib", ".dill", ".cloudpickle"]
        .iter()
        .any(|end| name.ends_with(end))
}

/// Whether the first bytes, or the name of a general kind, make it worth a look.
fn may_be_one(head: &[u8], name: &str) -> bool {
    let general =
        [".dat", ".data", ".bin", ".pt", ".pth", ".ckpt", ".npy", ".npz", ".zip", ".tar", ".gz"];
    match head {
        [0x80, protocol, next, ..] => *protocol <= 5 && opcodes::is_opcode(*next),
        [0x93, b'N', b'U', ..] | [b'P', b'K', 3, 4, ..] | [0x1F, 0x8B, 8, ..] => true,
        [first, ..] if opcodes::is_opcode(*first) => {
            let general = general.iter().any(|end| name.ends_with(end));
            general || matches!(first, b'c' | b'(' | b'i' | b']' | b'}') && head.contains(&b'\n')
        }
        _ => false,
    }
}

/// Local headers between the records that are listed.
fn unlisted<'f>(
    scanner: &mut Scanner<'f>,
    item: &Item<'f>,
    directories: &[Directory],
    met: &mut Met,
) -> io::Result<()> {
    let bytes = &item.bytes;
    let mut covered = std::mem::take(&mut met.extents);
    covered.extend(directories.iter().map(|d| (d.at, d.end)));
    covered.sort_unstable();
    covered.push((bytes.len(), bytes.len()));
    let mut from = 0;
    for (start, end) in covered {
        if start > from + DESCRIPTOR {
            between(scanner, item, from, start, met)?;
        }
        from = from.max(end);
    }
    Ok(())
}

/// The local headers in one gap.
fn between<'f>(
    scanner: &mut Scanner<'f>,
    item: &Item<'f>,
    from: u64,
    to: u64,
    met: &mut Met,
) -> io::Result<()> {
    const STEP: u64 = 64 * 1024;
    let bytes = &item.bytes;
    let mut at = from;
    while at < to {
        let n = STEP.min(to - at).min(scanner.search_left);
        if n < 4 {
            return Ok(());
        }
        let window = bytes.read(at, n as usize)?;
        let Some(p) = window.windows(4).position(|w| w == LOCAL) else {
            scanner.search_left -= n;
            // A signature may lie across the seam.
            at += if at + n < to { n - 3 } else { n };
            continue;
        };
        scanner.search_left -= p as u64;
        at += p as u64;
        let header = bytes.read(at, LOCAL_READ)?;
        if header.len() < 30 || scanner.entries_left == 0 {
            return Ok(());
        }
        scanner.entries_left -= 1;
        let (name_len, extra_len) = (usize::from(u16_at(&header, 26)), u16_at(&header, 28));
        let data_at = at + 30 + name_len as u64 + u64::from(extra_len);
        let name = bytes.read(at + 30, name_len.min(1000))?;
        let name = String::from_utf8_lossy(&name).into_owned();
        let what = "a record that the central directory does not list";
        scanner.find(Level::Suspicious, &label(item, &name), Some(at), what);
        let stored = u64::from(u32_at(&header, 18));
        let sized = u16_at(&header, 6) & 8 == 0 && data_at + stored <= to;
        let room = to.saturating_sub(data_at);
        let data = bytes.slice(data_at, if sized && stored > 0 { stored } else { room });
        let head = data.read(0, DEFLATED_HEAD)?;
        met.records += 1;
        let encrypted = u16_at(&header, 6) & ENCRYPTED != 0;
        let which = Which { name: &name, encrypted, crc: None };
        consider(scanner, item, data, &head, u16_at(&header, 8), &which, met);
        at = if sized { data_at + stored } else { at + 30 };
    }
    Ok(())
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}
