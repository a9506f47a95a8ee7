//! `metadata.npkm`: one record per array.

use crate::cursor::{Cursor, put_str};
use crate::dtype::{DType, byte_size};
use crate::error::{Error, Result, UPGRADE};
use crate::limits::Limits;
use crate::names;
use std::path::Path;

/// The file's name in the store.
pub(crate) const FILE: &str = "metadata.npkm";
const MAGIC: [u8; 4] = *b"NPKB";
const VERSION: u32 = 1;
const HEADER: usize = 20;
/// A record with an empty name, no dimension and an empty file name.
const MIN_RECORD: usize = 51;

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

/// Reads and checks the whole file. Whether names are unique is left to the caller, who needs an
/// index of them anyway.
pub(crate) fn parse(bytes: &[u8], file: &Path, limits: &Limits) -> Result<Vec<Record>> {
    let mut c = Cursor::new(bytes, file);
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
        return Err(unsupported(
            file,
            None,
            4,
            format!("the metadata version is {version}, only {VERSION} is known"),
            UPGRADE,
        ));
    }
    let total = c.u64("total size")?;
    let count = c.count(MIN_RECORD, "the number of arrays")?;
    let mut records = Vec::with_capacity(count);
    let mut sum = 0u64;
    for _ in 0..count {
        let record = parse_record(&mut c, file, limits)?;
        sum = sum.checked_add(record.size_bytes).ok_or_else(|| {
            c.error(8, "the sizes of the arrays add up to more than 64 bits hold")
        })?;
        records.push(record);
    }
    c.end()?;
    if total != sum {
        return Err(
            c.error(8, format!("total size is {total}, the sizes of the arrays add up to {sum}"))
        );
    }
    Ok(records)
}

fn parse_record(c: &mut Cursor<'_>, file: &Path, limits: &Limits) -> Result<Record> {
    let name = c.string("array name")?;
    parse_named(c, name, file, limits).map_err(|e| e.in_array(name))
}

fn parse_named(c: &mut Cursor<'_>, name: &str, file: &Path, limits: &Limits) -> Result<Record> {
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
    let mut shape = Vec::with_capacity(dims);
    for _ in 0..dims {
        shape.push(c.u64("shape")?);
    }
    let at_file = c.at();
    let data_file = c.string("data file name")?;
    if let Err(problem) = names::check_relative(data_file) {
        return Err(c.error(at_file, format!("the data file name {data_file:?} {problem}")));
    }
    let modified_micros = c.u64("modification time")? as i64;
    let at_size = c.at();
    let size_bytes = c.u64("size")?;
    let at_dtype = c.at();
    let code = c.u8("element type")?;
    let Some(dtype) = DType::from_code(code) else {
        return Err(unsupported(
            file,
            Some(name),
            at_dtype,
            format!("the element type has code {code}, known are 0 to 13"),
            UPGRADE,
        ));
    };
    let Some(expected) = byte_size(dtype, &shape) else {
        return Err(c.error(at_shape, format!("the shape {shape:?} of {dtype} exceeds 64 bits")));
    };
    if size_bytes != expected {
        return Err(c.error(
            at_size,
            format!("the size is {size_bytes}, shape {shape:?} of {dtype} takes {expected}"),
        ));
    }
    let at_compression = c.at();
    let compression = c.take(22, "compression")?;
    if let Some(i) = compression.iter().position(|&b| b != 0) {
        let problem =
            "the array is marked as compressed, which no public version writes or reads".to_owned();
        return Err(unsupported(
            file,
            Some(name),
            at_compression + i as u64,
            problem,
            "write it again uncompressed",
        ));
    }
    Ok(Record {
        name: name.to_owned(),
        dtype,
        shape,
        data_file: data_file.to_owned(),
        modified_micros,
        size_bytes,
    })
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

/// The bytes of a metadata file with these records, in this order.
pub(crate) fn encode<'a>(records: impl Iterator<Item = &'a Record> + Clone) -> Result<Vec<u8>> {
    let (mut count, mut total) = (0u32, 0u64);
    for r in records.clone() {
        let more = (count.checked_add(1), total.checked_add(r.size_bytes));
        let (Some(c), Some(t)) = more else {
            return Err(Error::parameter(
                Some(&r.name),
                "the store would exceed 2^32 arrays or 2^64 bytes; split it in several stores",
            ));
        };
        (count, total) = (c, t);
    }
    let mut out = Vec::with_capacity(HEADER + count as usize * 128);
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&VERSION.to_le_bytes());
    out.extend_from_slice(&total.to_le_bytes());
    out.extend_from_slice(&count.to_le_bytes());
    for r in records {
        put_str(&mut out, &r.name);
        out.extend_from_slice(&(r.shape.len() as u32).to_le_bytes());
        for d in &r.shape {
            out.extend_from_slice(&d.to_le_bytes());
        }
        put_str(&mut out, &r.data_file);
        out.extend_from_slice(&r.modified_micros.to_le_bytes());
        out.extend_from_slice(&r.size_bytes.to_le_bytes());
        out.push(r.dtype.code());
        out.extend_from_slice(&[0; 22]);
    }
    Ok(out)
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

    #[test]
    fn the_documented_example_is_99_bytes() {
        let bytes = encode([sample()].iter()).unwrap();
        assert_eq!(bytes.len(), 99);
        assert_eq!(&bytes[..8], b"NPKB\x01\0\0\0");
        assert_eq!(bytes[0x4c], 10);
        let back = parse(&bytes, Path::new("m"), &Limits::default()).unwrap();
        assert_eq!(back, [sample()]);
    }

    #[test]
    fn counts_are_capped_by_the_size() {
        let mut bytes = encode([sample()].iter()).unwrap();
        bytes[16..20].copy_from_slice(&u32::MAX.to_le_bytes());
        assert!(
            parse(&bytes, Path::new("m"), &Limits::default())
                .unwrap_err()
                .to_string()
                .contains("cannot hold")
        );
        let mut bytes = encode([sample()].iter()).unwrap();
        bytes[0x19..0x1d].copy_from_slice(&(u32::MAX - 15).to_le_bytes());
        assert!(
            parse(&bytes, Path::new("m"), &Limits::default())
                .unwrap_err()
                .to_string()
                .contains("cannot hold")
        );
    }
}
