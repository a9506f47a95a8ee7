//! Reading `.npy` files and `.npz` archives of them.

use std::fs::File;
use std::path::Path;

use torch_pickle::{ByteOrder, Options, Record, ZipFile};

use super::{Builder, Metadata, Opened, Stored, bad_tensor};
use crate::dtype::native;
use crate::npy::Header;
use crate::{Error, Result};

/// What the names of arrays in an archive end on.
pub(crate) const SUFFIX: &str = ".npy";
/// The header of nearly every file is no longer.
const COMMON_HEADER: usize = 256;
/// What a header that is read may have at most, with all in front of it.
const LONGEST_HEADER: usize = (1 << 16) + 12;

pub(super) fn open_npy(path: &Path, options: &Options) -> Result<Opened> {
    let mut file = File::open(path).map_err(|e| Error::io(path, "open", e))?;
    let len = file.metadata().map_err(|e| Error::io(path, "open", e))?.len();
    let (header, at) = Header::read(&mut file, path)?;
    let nbytes = elements(&header, len - at.min(len)).map_err(|p| Error::damaged(path, p))?;
    let record = Record::plain(at, nbytes, order(&header));
    let stem = path.file_stem().map_or_else(|| "data".into(), |s| s.to_string_lossy());
    let mut builder = Builder::default();
    let root = builder.add(&stored(&stem, &header, record));
    builder.tree.set_root(root);
    let checkpoint = builder.finish(path, vec![(path.to_owned(), file)], options)?;
    Ok(Opened { checkpoint, metadata: Metadata::new(), warnings: Vec::new() })
}

pub(super) fn open_npz(path: &Path, options: &Options) -> Result<Opened> {
    let Some(zip) = ZipFile::open(path)? else {
        return Err(Error::damaged(path, "not a .npz file: it is no zip archive"));
    };
    let (mut builder, mut items) = (Builder::default(), Vec::new());
    let mut others = Vec::new();
    for (i, entry) in zip.entries().enumerate() {
        let Some(name) = entry.name.strip_suffix(SUFFIX) else {
            others.push(entry.name.to_owned());
            continue;
        };
        let value = builder.add(&member(path, &zip, i as u32, name)?.stored(name));
        items.push(builder.item(name, value));
    }
    builder.set_dict(items);
    let file = zip.file().try_clone().map_err(|e| Error::io(path, "open", e))?;
    let checkpoint = builder.finish(path, vec![(path.to_owned(), file)], options)?;
    let warnings = others.first().map(|first| {
        let n = others.len();
        format!(
            "{}: {n} of its records, such as {first:?}, are no arrays, and were left out",
            path.display()
        )
    });
    let warnings = warnings.into_iter().collect();
    Ok(Opened { checkpoint, metadata: Metadata::new(), warnings })
}

/// An array in an archive: what its header says, and where its elements are.
struct Member {
    header: Header,
    record: Record,
}

impl Member {
    fn stored<'a>(&'a self, name: &'a str) -> Stored<'a> {
        stored(name, &self.header, self.record)
    }
}

/// Reads the header of a member, which is then no part of its record.
fn member(path: &Path, zip: &ZipFile, index: u32, name: &str) -> Result<Member> {
    let mut record = zip.record(index)?;
    let inside = path.join(format!("{name}{SUFFIX}"));
    let mut start = zip.start_of(index, COMMON_HEADER)?;
    let needed = needed(&start);
    if needed > start.len() {
        start = zip.start_of(index, needed)?;
    }
    let (header, at) = Header::read(&mut &start[..], &inside)?;
    let nbytes = elements(&header, record.len - at.min(record.len));
    let nbytes = nbytes.map_err(|problem| bad_tensor(path, name, problem))?;
    // The checksum is that of the header and the elements; what is left of it when the header is
    // taken away is that of the elements.
    record.crc = record.crc.map(|both| {
        let mut header =
            crc32fast::Hasher::new_with_initial_len(crc32fast::hash(&start[..at as usize]), at);
        header.combine(&crc32fast::Hasher::new_with_initial_len(0, nbytes));
        both ^ header.finalize()
    });
    if record.compressed {
        // A header was read, so it is short.
        record.skip = at as u32;
    } else {
        record.offset += at;
        record.stored_len = nbytes;
    }
    record.len = nbytes;
    record.order = order(&header);
    Ok(Member { header, record })
}

/// How many bytes the header takes, as far as its first ones tell.
fn needed(start: &[u8]) -> usize {
    let len = match start.get(6) {
        Some(1) => start.get(8..10).map(|b| 10 + usize::from(b[0]) + (usize::from(b[1]) << 8)),
        _ => start.get(8..12).map(|b| {
            let len = b.iter().rev().fold(0u64, |n, &b| n << 8 | u64::from(b));
            12 + usize::try_from(len).unwrap_or(LONGEST_HEADER)
        }),
    };
    len.unwrap_or(0).min(LONGEST_HEADER)
}

fn stored<'a>(name: &'a str, header: &'a Header, record: Record) -> Stored<'a> {
    Stored {
        name,
        dtype: native(header.dtype),
        shape: &header.shape,
        fortran_order: header.fortran_order,
        file: 0,
        record,
    }
}

/// The bytes of the elements, which must be all that follows the header.
fn elements(header: &Header, found: u64) -> Result<u64, String> {
    let needed = header.nbytes().unwrap_or(u64::MAX);
    match found.checked_sub(needed) {
        Some(0) => Ok(needed),
        Some(more) => Err(format!("{more} bytes follow its {needed} bytes of elements")),
        None => Err(format!("it is cut off: {found} bytes of elements, its header says {needed}")),
    }
}

fn order(header: &Header) -> ByteOrder {
    if header.big_endian { ByteOrder::Big } else { ByteOrder::Little }
}
