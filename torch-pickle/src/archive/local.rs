//! The local header in front of each record, compared with the central directory.

use super::entry::{ENCRYPTED, Entry, widen};
use super::{u16_at, u32_at};
use crate::error::{Part, Result};
use crate::source::Source;

const SIGNATURE: [u8; 4] = *b"PK\x03\x04";
const HEADER_LEN: usize = 30;
/// The flag that sizes and checksum follow the data instead of standing in the header.
const DESCRIPTOR: u16 = 1 << 3;

/// The position of the record's first byte. `room` is where the next thing in the file starts.
pub(super) fn data_offset(source: &Source, entry: &Entry<'_>, room: u64) -> Result<u64> {
    let fail = |problem: String| {
        Err(source.format(Part::Record(entry.name.into()), entry.offset, problem))
    };
    // The name follows the header, so one read fetches both.
    let len = HEADER_LEN + entry.name.len();
    let header = source.bytes(entry.offset, len)?;
    if header[..4] != SIGNATURE {
        return fail("a local header was expected here".into());
    }
    let name_len = usize::from(u16_at(&header, 26));
    let extra_len = usize::from(u16_at(&header, 28));
    if name_len != entry.name.len() || &header[HEADER_LEN..] != entry.name.as_bytes() {
        let shown = &header[HEADER_LEN..][..name_len.min(entry.name.len())];
        return fail(format!("its local header has another name: \"{}\"", shown.escape_ascii()));
    }
    let (flags, method) = (u16_at(&header, 6), u16_at(&header, 8));
    if method != entry.method {
        return fail(format!(
            "its local header says compression method {method}, the central directory {}",
            entry.method
        ));
    }
    if (flags ^ entry.flags) & ENCRYPTED != 0 {
        return fail(
            "its local header says it is encrypted, the central directory does not".into(),
        );
    }
    let extra_at = entry.offset + len as u64;
    let data = extra_at + extra_len as u64;
    let fits = data.checked_add(entry.stored_len).is_some_and(|end| end <= room);
    if !fits {
        return fail(format!(
            "{} bytes from byte {data} reach into what follows at byte {room}",
            entry.stored_len
        ));
    }
    check_sizes(source, entry, &header, flags, extra_at)?;
    Ok(data)
}

fn check_sizes(
    source: &Source,
    entry: &Entry<'_>,
    header: &[u8],
    flags: u16,
    extra_at: u64,
) -> Result<()> {
    let crc = u32_at(header, 14);
    let (stored, len) = (u32_at(header, 18), u32_at(header, 22));
    if flags & DESCRIPTOR != 0 && crc == 0 && stored == 0 && len == 0 {
        return Ok(());
    }
    let mut sizes = [u64::from(len), u64::from(stored)];
    if len == u32::MAX || stored == u32::MAX {
        let extra = source.bytes(extra_at, usize::from(u16_at(header, 28)))?;
        match widen([len, stored], &extra) {
            Some(wide) => sizes = wide,
            None if flags & DESCRIPTOR != 0 => return Ok(()),
            None => {
                return Err(source.format(
                    Part::Record(entry.name.into()),
                    entry.offset,
                    "its local header needs a zip64 field that is not there",
                ));
            }
        }
    }
    // With a descriptor each value may stay zero.
    let agrees =
        |local: u64, central: u64| local == central || flags & DESCRIPTOR != 0 && local == 0;
    if agrees(sizes[0], entry.len)
        && agrees(sizes[1], entry.stored_len)
        && agrees(crc.into(), entry.crc.into())
    {
        return Ok(());
    }
    Err(source.format(
        Part::Record(entry.name.into()),
        entry.offset,
        format!(
            "its local header says {} of {} bytes with checksum {crc:08x}, the central directory {} of {} with {:08x}",
            sizes[1], sizes[0], entry.stored_len, entry.len, entry.crc
        ),
    ))
}
