//! One entry of the central directory.

use super::end::{ENTRY_LEN, u64_at};
use super::{u16_at, u32_at};

const SIGNATURE: [u8; 4] = *b"PK\x01\x02";
/// The extra field that holds the values too large for the entry itself.
pub(super) const ZIP64: u16 = 0x0001;
/// Bits of the flags that mean encryption: of the data, strongly, or of the directory.
pub(super) const ENCRYPTED: u16 = 1 | 1 << 6 | 1 << 13;

/// What the central directory says of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Entry<'a> {
    /// Its name, with the folder.
    pub name: &'a str,
    /// Where its local header starts in the file.
    pub offset: u64,
    /// Bytes in the file.
    pub stored_len: u64,
    /// Bytes of its contents.
    pub len: u64,
    /// CRC-32 of its contents.
    pub crc: u32,
    /// Whether its bytes are deflated.
    pub compressed: bool,
    pub(super) method: u16,
    pub(super) flags: u16,
}

impl Entry<'_> {
    pub(super) const EMPTY: Entry<'static> = Entry {
        name: "",
        offset: 0,
        stored_len: 0,
        len: 0,
        crc: 0,
        compressed: false,
        method: 0,
        flags: 0,
    };

    /// The first byte after the record if its local header has no extra field.
    pub(super) fn least_end(&self) -> Option<u64> {
        self.offset.checked_add(30 + self.name.len() as u64)?.checked_add(self.stored_len)
    }

    /// Whether the record is of a kind that is read at all.
    pub(super) fn check(&self) -> Result<(), (String, &'static str)> {
        if self.flags & ENCRYPTED != 0 {
            return Err(("it is encrypted".into(), "decrypt the archive first"));
        }
        match self.method {
            0 if self.len != self.stored_len => Err((
                format!(
                    "stored without compression, yet {} bytes should become {}",
                    self.stored_len, self.len
                ),
                "",
            )),
            0 | 8 => Ok(()),
            other => Err((
                format!("compression method {other}; stored (0) and deflated (8) are read"),
                "zip the folder again without compression",
            )),
        }
    }
}

/// The name of an entry that was parsed before.
pub(super) fn name(directory: &[u8], at: usize) -> &[u8] {
    let len = usize::from(u16_at(directory, at + 28));
    let from = at + ENTRY_LEN as usize;
    &directory[from..from + len]
}

/// Reads the entry at `at`, and says where the next one starts.
pub(super) fn parse(directory: &[u8], at: usize) -> Result<(Entry<'_>, usize), String> {
    let rest = &directory[at..];
    if rest.len() < ENTRY_LEN as usize || rest[..4] != SIGNATURE {
        return Err("an entry was expected here".into());
    }
    let name_len = usize::from(u16_at(rest, 28));
    let extra_len = usize::from(u16_at(rest, 30));
    let comment_len = usize::from(u16_at(rest, 32));
    let name_end = ENTRY_LEN as usize + name_len;
    let extra_end = name_end + extra_len;
    let end = extra_end + comment_len;
    if end > rest.len() {
        return Err(format!("the entry needs {end} bytes, and {} are left", rest.len()));
    }
    let name = &rest[ENTRY_LEN as usize..name_end];
    let Ok(name) = std::str::from_utf8(name) else {
        return Err(format!("the name \"{}\" is not UTF-8", name.escape_ascii()));
    };
    let disk = u16_at(rest, 34);
    if disk != 0 && disk != u16::MAX {
        return Err(format!("record {name} is said to lie in another volume"));
    }
    let Extent { offset, stored_len, len, .. } = extent(rest)
        .ok_or_else(|| format!("record {name} needs a zip64 field that is not there"))?;
    let method = u16_at(rest, 10);
    let entry = Entry {
        name,
        offset,
        stored_len,
        len,
        crc: u32_at(rest, 16),
        compressed: method == 8,
        method,
        flags: u16_at(rest, 8),
    };
    Ok((entry, at + end))
}

/// Where the record of an entry lies: all that is asked of each entry once it was parsed.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Extent {
    pub(crate) offset: u64,
    stored_len: u64,
    pub(crate) len: u64,
    name_len: u64,
}

impl Extent {
    /// The first byte after the record if its local header has no extra field.
    pub(super) fn least_end(&self) -> Option<u64> {
        self.offset.checked_add(30 + self.name_len)?.checked_add(self.stored_len)
    }
}

/// Of an entry whose parts were found to lie in `entry`; `None` where a zip64 field is missing.
pub(super) fn extent(entry: &[u8]) -> Option<Extent> {
    let name_len = usize::from(u16_at(entry, 28));
    let extra_len = usize::from(u16_at(entry, 30));
    let extra_at = ENTRY_LEN as usize + name_len;
    let sizes = [u32_at(entry, 24), u32_at(entry, 20), u32_at(entry, 42)];
    let extra = &entry[extra_at..extra_at + extra_len];
    let [len, stored_len, offset] = widen(sizes, extra)?;
    Some(Extent { offset, stored_len, len, name_len: name_len as u64 })
}

/// Replaces each value that is all ones by the next one of the zip64 extra field.
pub(super) fn widen<const N: usize>(values: [u32; N], extra: &[u8]) -> Option<[u64; N]> {
    let mut wide = values.map(u64::from);
    if !values.contains(&u32::MAX) {
        return Some(wide);
    }
    let mut field = zip64_field(extra)?;
    for (w, v) in wide.iter_mut().zip(values) {
        if v == u32::MAX {
            if field.len() < 8 {
                return None;
            }
            *w = u64_at(field, 0);
            field = &field[8..];
        }
    }
    Some(wide)
}

fn zip64_field(mut extra: &[u8]) -> Option<&[u8]> {
    while extra.len() >= 4 {
        let (tag, len) = (u16_at(extra, 0), usize::from(u16_at(extra, 2)));
        let body = extra.get(4..4 + len)?;
        if tag == ZIP64 {
            return Some(body);
        }
        extra = &extra[4 + len..];
    }
    None
}
