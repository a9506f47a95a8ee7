//! Finding the end of a zip archive: the end record, and its 64-bit extension.

use crate::error::{Error, Part, Result};
use crate::source::Source;

const END: [u8; 4] = *b"PK\x05\x06";
const END64: [u8; 4] = *b"PK\x06\x06";
const LOCATOR: [u8; 4] = *b"PK\x06\x07";
const END_LEN: usize = 22;
const LOCATOR_LEN: usize = 20;
const END64_LEN: usize = 56;
/// The smallest central directory entry.
pub(super) const ENTRY_LEN: u64 = 46;

/// Where the central directory lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct End {
    pub(super) offset: u64,
    pub(super) size: u64,
    pub(super) count: u64,
}

/// Finds the one end record whose comment ends with the file and whose central directory lies
/// right before it; `None` where there is no end record at all.
///
/// The signature may also occur inside the comment, so each place is tried. Two that both fit are
/// refused: readers would disagree on what the archive holds.
pub(super) fn find(source: &Source) -> Result<Option<End>> {
    let len = source.len;
    let tail_len = len.min((END_LEN + LOCATOR_LEN + END64_LEN + 0xFFFF) as u64) as usize;
    let tail_at = len - tail_len as u64;
    let tail = source.bytes(tail_at, tail_len)?;

    let mut found: Option<(End, u64)> = None;
    let mut first_fault: Option<Error> = None;
    let last = tail_len.saturating_sub(END_LEN - 1);
    for p in (0..last).rev() {
        if tail[p] != b'P' || tail[p..p + 4] != END {
            continue;
        }
        let at = tail_at + p as u64;
        match check(&tail, p, tail_at, source) {
            Ok(end) => match found {
                None => found = Some((end, at)),
                Some((_, other)) => {
                    return Err(source.format(
                        Part::EndRecord,
                        at,
                        format!(
                            "another end record at byte {other} fits as well, so the archive can be read in two ways"
                        ),
                    ));
                }
            },
            Err(e) => {
                first_fault.get_or_insert(e);
            }
        }
    }
    match (found, first_fault) {
        (Some((end, _)), _) => Ok(Some(end)),
        (None, Some(fault)) => Err(fault),
        (None, None) => Ok(None),
    }
}

fn check(tail: &[u8], p: usize, tail_at: u64, source: &Source) -> Result<End> {
    let at = tail_at + p as u64;
    let fail = |problem: String| Err(source.format(Part::EndRecord, at, problem));
    let comment = usize::from(u16_at(tail, p + 20));
    let after = tail.len() - (p + END_LEN);
    if comment != after {
        return fail(format!("its comment has {comment} bytes, but {after} bytes follow it"));
    }
    let (disk, cd_disk) = (u16_at(tail, p + 4), u16_at(tail, p + 6));
    let (here, count) = (u16_at(tail, p + 8), u16_at(tail, p + 10));
    let (size, offset) = (u32_at(tail, p + 12), u32_at(tail, p + 16));
    let wide = |v: u32| v == u32::MAX;
    let mut end = End { offset: offset.into(), size: size.into(), count: count.into() };
    let mut before = at;

    let locator = p.checked_sub(LOCATOR_LEN).filter(|&l| tail[l..l + 4] == LOCATOR);
    if let Some(l) = locator {
        let (locator_disk, disks) = (u32_at(tail, l + 4), u32_at(tail, l + 16));
        let end64_at = u64_at(tail, l + 8);
        let Some(e) = l.checked_sub(END64_LEN).filter(|&e| tail[e..e + 4] == END64) else {
            return fail("its zip64 locator is not preceded by a zip64 end record".into());
        };
        if end64_at != tail_at + e as u64 {
            return fail(format!(
                "its zip64 locator says byte {end64_at}, but the zip64 end record is at byte {}; bytes may have been put in front of the archive or lost from it",
                tail_at + e as u64
            ));
        }
        let end64_len = u64_at(tail, e + 4);
        if end64_len != (END64_LEN - 12) as u64 || locator_disk != 0 || disks > 1 {
            return fail("its zip64 end record is malformed".into());
        }
        if u32_at(tail, e + 16) != 0 || u32_at(tail, e + 20) != 0 {
            return fail("the archive is one of several volumes, which are not supported".into());
        }
        let (here64, count64) = (u64_at(tail, e + 24), u64_at(tail, e + 32));
        let (size64, offset64) = (u64_at(tail, e + 40), u64_at(tail, e + 48));
        let agrees = (wide(size) || u64::from(size) == size64)
            && (wide(offset) || u64::from(offset) == offset64)
            && (count == u16::MAX || u64::from(count) == count64)
            && here64 == count64;
        if !agrees {
            return fail("it contradicts its zip64 end record".into());
        }
        end = End { offset: offset64, size: size64, count: count64 };
        before = tail_at + e as u64;
    } else if wide(size) || wide(offset) || count == u16::MAX {
        return fail("it needs a zip64 end record, and none stands before it".into());
    }
    if (disk, cd_disk) != (0, 0) && (disk, cd_disk) != (u16::MAX, u16::MAX) || here != count {
        return fail("the archive is one of several volumes, which are not supported".into());
    }

    match end.offset.checked_add(end.size) {
        Some(stop) if stop == before => {}
        Some(stop) if stop < before => {
            return Err(Error::Format {
                file: source.path.clone(),
                part: Part::EndRecord,
                offset: Some(source.base + at),
                problem: format!(
                    "{} bytes too many: the central directory should end at byte {stop} and ends at byte {before}",
                    before - stop
                ),
                advice: "the archive starts later in the file, as in a shard of a distributed checkpoint or behind prepended data; cut it out first",
            });
        }
        _ => {
            return fail(format!(
                "truncated: the central directory is said to take {} bytes from byte {}, past the end record",
                end.size, end.offset
            ));
        }
    }
    if end.count > end.size / ENTRY_LEN {
        return fail(format!(
            "it counts {} entries, but its central directory of {} bytes has room for {}",
            end.count,
            end.size,
            end.size / ENTRY_LEN
        ));
    }
    Ok(end)
}

pub(crate) fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

pub(super) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}
