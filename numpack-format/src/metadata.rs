//! `metadata.npkm`: one record per array.

use crate::cursor::{Cursor, put_str};
use crate::dtype::{DType, byte_size};
use crate::error::{Error, Result, UPGRADE};
use crate::limits::Limits;
use crate::names;
use std::path::Path;
use std::sync::Arc;

/// The file's name in the store.
pub(crate) const FILE: &str = "metadata.npkm";
const MAGIC: [u8; 4] = *b"NPKB";
const VERSION: u32 = 1;
const HEADER: usize = 20;
/// A record with an empty name, no dimension and an empty file name.
const MIN_RECORD: usize = 51;
/// What follows the size and the element type.
const COMPRESSION: usize = 22;

/// What the metadata says of one array.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Record {
    pub(crate) name: String,
    pub(crate) dtype: DType,
    /// Physical: dropped rows count.
    pub(crate) shape: Vec<u64>,
    pub(crate) data_file: String,
    pub(crate) modified_micros: i64,
    pub(crate) size_bytes: u64,
}

/// The same, where it lies in the file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RecordRef<'a> {
    pub(crate) name: &'a str,
    pub(crate) dtype: DType,
    pub(crate) dims: &'a [[u8; 8]],
    pub(crate) data_file: &'a str,
    pub(crate) modified_micros: i64,
    pub(crate) size_bytes: u64,
    bytes: &'a [u8],
}

impl RecordRef<'_> {
    pub(crate) fn shape(&self) -> Vec<u64> {
        self.dims.iter().map(|d| u64::from_le_bytes(*d)).collect()
    }

    /// Stored rows: dropped ones count. An array without dimensions has one.
    pub(crate) fn rows(&self) -> u64 {
        self.dims.first().map_or(1, |d| u64::from_le_bytes(*d))
    }

    pub(crate) fn has_rows(&self) -> bool {
        !self.dims.is_empty()
    }

    /// Whether both say the same.
    pub(crate) fn same_as(&self, other: &RecordRef<'_>) -> bool {
        self.bytes == other.bytes
    }

    pub(crate) fn to_record(self) -> Record {
        Record {
            name: self.name.to_owned(),
            dtype: self.dtype,
            shape: self.shape(),
            data_file: self.data_file.to_owned(),
            modified_micros: self.modified_micros,
            size_bytes: self.size_bytes,
        }
    }
}

/// A whole metadata file, checked, with the place of each record. A copy is cheap.
#[derive(Clone, Debug, Default)]
pub(crate) struct Metadata {
    bytes: Arc<Vec<u8>>,
    starts: Arc<Vec<usize>>,
}

impl Metadata {
    /// Reads and checks the whole file. Whether names are unique is left to the caller, who needs
    /// an index of them anyway.
    pub(crate) fn parse(bytes: Vec<u8>, file: &Path, limits: &Limits) -> Result<Metadata> {
        let mut c = Cursor::new(&bytes, file);
        let magic = c.take(4, "magic")?;
        if magic != MAGIC {
            return Err(c.error(
                0,
                format!(
                    "expected the magic {:?}, found {:?}",
                    MAGIC.escape_ascii().to_string(),
                    magic.escape_ascii().to_string()
                ),
            ));
        }
        let version = c.u32("version")?;
        if version != VERSION {
            let problem = format!("the metadata version is {version}, only {VERSION} is known");
            return Err(unsupported(file, None, 4, problem, UPGRADE));
        }
        let total = c.u64("total size")?;
        let count = c.count(MIN_RECORD, "the number of arrays")?;
        let mut starts = Vec::with_capacity(count);
        let mut sum = 0u64;
        for _ in 0..count {
            starts.push(c.at() as usize);
            let size = check_record(&mut c, file, limits)?;
            sum = sum.checked_add(size).ok_or_else(|| {
                c.error(8, "the sizes of the arrays add up to more than 64 bits hold")
            })?;
        }
        c.end()?;
        if total != sum {
            let problem = format!("total size is {total}, the sizes of the arrays add up to {sum}");
            return Err(c.error(8, problem));
        }
        Ok(Metadata { bytes: Arc::new(bytes), starts: Arc::new(starts) })
    }

    /// The file itself.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(crate) fn len(&self) -> usize {
        self.starts.len()
    }

    /// Record `i`, which must be there.
    pub(crate) fn get(&self, i: usize) -> RecordRef<'_> {
        let end = self.starts.get(i + 1).copied().unwrap_or(self.bytes.len());
        // Checked when it was parsed.
        split(&self.bytes[self.starts[i]..end])
    }

    /// The name in record `i`, which must be there.
    pub(crate) fn name(&self, i: usize) -> &str {
        let at = self.starts[i];
        let len = u32::from_le_bytes(field(&self.bytes, at)) as usize;
        str::from_utf8(&self.bytes[at + 4..at + 4 + len]).unwrap_or_default()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = RecordRef<'_>> + Clone {
        (0..self.len()).map(|i| self.get(i))
    }

    /// The same file with other rows in some records: position, rows, bytes, time. Nothing moves.
    pub(crate) fn with_rows(&self, changes: &[(usize, &Record)]) -> Result<Metadata> {
        let mut bytes = Vec::clone(&self.bytes);
        let mut total = u64::from_le_bytes(field(&bytes, 8));
        for &(i, r) in changes {
            let old = self.get(i);
            let more = total.checked_sub(old.size_bytes).and_then(|t| t.checked_add(r.size_bytes));
            total = more.ok_or_else(|| too_large(&r.name))?;
            let at = self.starts[i];
            let dims = at + 4 + old.name.len() + 4;
            let time = dims + old.dims.len() * 8 + 4 + old.data_file.len();
            bytes[dims..dims + 8].copy_from_slice(&r.shape[0].to_le_bytes());
            bytes[time..time + 8].copy_from_slice(&r.modified_micros.to_le_bytes());
            bytes[time + 8..time + 16].copy_from_slice(&r.size_bytes.to_le_bytes());
        }
        bytes[8..16].copy_from_slice(&total.to_le_bytes());
        Ok(Metadata { bytes: Arc::new(bytes), starts: self.starts.clone() })
    }
}

fn field<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&bytes[at..at + N]);
    out
}

/// The fields of a record that has been checked.
fn split(bytes: &[u8]) -> RecordRef<'_> {
    let len = |at: usize| u32::from_le_bytes(field(bytes, at)) as usize;
    let text = |at: usize, n: usize| str::from_utf8(&bytes[at..at + n]).unwrap_or_default();
    let name = len(0);
    let at = 4 + name;
    let dims = len(at);
    let file_at = at + 4 + dims * 8;
    let file = len(file_at);
    let rest = file_at + 4 + file;
    RecordRef {
        name: text(4, name),
        dtype: DType::from_code(bytes[rest + 16]).unwrap_or(DType::U8),
        dims: bytes[at + 4..file_at].as_chunks().0,
        data_file: text(file_at + 4, file),
        modified_micros: i64::from_le_bytes(field(bytes, rest)),
        size_bytes: u64::from_le_bytes(field(bytes, rest + 8)),
        bytes,
    }
}

/// Checks the next record and gives its size in bytes.
fn check_record(c: &mut Cursor<'_>, file: &Path, limits: &Limits) -> Result<u64> {
    let name = c.string("array name")?;
    check_named(c, name, file, limits).map_err(|e| e.in_array(name))
}

fn check_named(c: &mut Cursor<'_>, name: &str, file: &Path, limits: &Limits) -> Result<u64> {
    let at_shape = c.at();
    let dims = c.count(8, "the number of dimensions")?;
    if dims as u64 > u64::from(limits.max_dims) {
        return Err(Error::Limit {
            file: file.to_owned(),
            array: None,
            what: "the number of dimensions",
            value: dims as u64,
            limit: u64::from(limits.max_dims),
        });
    }
    let shape: &[[u8; 8]] = c.take(dims as u64 * 8, "shape")?.as_chunks().0;
    let shape = || shape.iter().map(|d| u64::from_le_bytes(*d));
    let at_file = c.at();
    let data_file = c.string("data file name")?;
    if let Err(problem) = names::check_relative(data_file) {
        return Err(c.error(at_file, format!("the data file name {data_file:?} {problem}")));
    }
    c.u64("modification time")?;
    let at_size = c.at();
    let size_bytes = c.u64("size")?;
    let at_dtype = c.at();
    let code = c.u8("element type")?;
    let Some(dtype) = DType::from_code(code) else {
        let problem = format!("the element type has code {code}, known are 0 to 13");
        return Err(unsupported(file, Some(name), at_dtype, problem, UPGRADE));
    };
    let Some(expected) = byte_size(dtype, shape()) else {
        let shape: Vec<u64> = shape().collect();
        return Err(c.error(at_shape, format!("the shape {shape:?} of {dtype} exceeds 64 bits")));
    };
    if size_bytes != expected {
        let shape: Vec<u64> = shape().collect();
        let problem =
            format!("the size is {size_bytes}, shape {shape:?} of {dtype} takes {expected}");
        return Err(c.error(at_size, problem));
    }
    let at_compression = c.at();
    let compression = c.take(COMPRESSION as u64, "compression")?;
    if let Some(i) = compression.iter().position(|&b| b != 0) {
        let problem =
            "the array is marked as compressed, which no public version writes or reads".to_owned();
        let hint = "write it again uncompressed";
        return Err(unsupported(file, Some(name), at_compression + i as u64, problem, hint));
    }
    Ok(size_bytes)
}

fn unsupported(
    file: &Path,
    array: Option<&str>,
    offset: u64,
    problem: String,
    hint: &'static str,
) -> Error {
    Error::Unsupported {
        file: file.to_owned(),
        array: array.map(str::to_owned),
        offset: Some(offset),
        problem,
        hint,
    }
}

fn too_large(name: &str) -> Error {
    let problem = "the store would exceed 2^32 arrays or 2^64 bytes; split it in several stores";
    Error::parameter(Some(name), problem)
}

/// A record of a metadata file to be: one that changes, or one that is copied as it is.
#[derive(Clone, Copy)]
pub(crate) enum Source<'a> {
    New(&'a Record),
    Kept(RecordRef<'a>),
}

impl<'a> Source<'a> {
    pub(crate) fn name(&self) -> &'a str {
        match self {
            Source::New(r) => &r.name,
            Source::Kept(r) => r.name,
        }
    }

    pub(crate) fn data_file(&self) -> &'a str {
        match self {
            Source::New(r) => &r.data_file,
            Source::Kept(r) => r.data_file,
        }
    }

    fn size_bytes(&self) -> u64 {
        match self {
            Source::New(r) => r.size_bytes,
            Source::Kept(r) => r.size_bytes,
        }
    }
}

/// The bytes of a metadata file with these records, in this order.
pub(crate) fn encode<'a>(records: impl Iterator<Item = Source<'a>>) -> Result<Vec<u8>> {
    let (mut count, mut total) = (0u32, 0u64);
    let mut out = Vec::with_capacity(HEADER + records.size_hint().0 * 128);
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&VERSION.to_le_bytes());
    out.extend_from_slice(&[0; 12]);
    for source in records {
        let more = (count.checked_add(1), total.checked_add(source.size_bytes()));
        let (Some(c), Some(t)) = more else { return Err(too_large(source.name())) };
        (count, total) = (c, t);
        match source {
            Source::Kept(r) => out.extend_from_slice(r.bytes),
            Source::New(r) => put_record(&mut out, r),
        }
    }
    out[8..16].copy_from_slice(&total.to_le_bytes());
    out[16..20].copy_from_slice(&count.to_le_bytes());
    Ok(out)
}

fn put_record(out: &mut Vec<u8>, r: &Record) {
    put_str(out, &r.name);
    out.extend_from_slice(&(r.shape.len() as u32).to_le_bytes());
    for d in &r.shape {
        out.extend_from_slice(&d.to_le_bytes());
    }
    put_str(out, &r.data_file);
    out.extend_from_slice(&r.modified_micros.to_le_bytes());
    out.extend_from_slice(&r.size_bytes.to_le_bytes());
    out.push(r.dtype.code());
    out.extend_from_slice(&[0; COMPRESSION]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Record {
        Record {
            name: "w".into(),
            dtype: DType::F32,
            shape: vec![3, 2],
            data_file: "data_w.npkd".into(),
            modified_micros: 0x0006_60b0_3d3b_294d,
            size_bytes: 24,
        }
    }

    fn parse(bytes: Vec<u8>) -> Result<Metadata> {
        Metadata::parse(bytes, Path::new("m"), &Limits::default())
    }

    fn encoded(records: &[Record]) -> Vec<u8> {
        encode(records.iter().map(Source::New)).unwrap()
    }

    #[test]
    fn the_documented_example_is_99_bytes() {
        let bytes = encoded(&[sample()]);
        assert_eq!(bytes.len(), 99);
        assert_eq!(&bytes[..8], b"NPKB\x01\0\0\0");
        assert_eq!(bytes[0x4c], 10);
        let back = parse(bytes.clone()).unwrap();
        assert_eq!(back.iter().map(RecordRef::to_record).collect::<Vec<_>>(), [sample()]);
        assert_eq!(encode(back.iter().map(Source::Kept)).unwrap(), bytes);
    }

    #[test]
    fn rows_change_in_place() {
        let other = Record { name: "v".into(), data_file: "d".into(), ..sample() };
        let grown = Record { shape: vec![5, 2], size_bytes: 40, modified_micros: 9, ..sample() };
        let old = parse(encoded(&[other.clone(), sample()])).unwrap();
        let new = old.with_rows(&[(1, &grown)]).unwrap();
        assert_eq!(new.bytes(), encoded(&[other, grown]));
        assert!(parse(new.bytes().to_vec()).is_ok());
    }

    #[test]
    fn counts_are_capped_by_the_size() {
        for (at, count) in [(16, u32::MAX), (0x19, u32::MAX - 15)] {
            let mut bytes = encoded(&[sample()]);
            bytes[at..at + 4].copy_from_slice(&count.to_le_bytes());
            assert!(parse(bytes).unwrap_err().to_string().contains("cannot hold"));
        }
    }
}
