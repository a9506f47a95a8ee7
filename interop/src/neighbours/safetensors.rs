//! Reading `.safetensors` files, one or the several that an index names.
//!
//! ```text
//!      0     8  length of the header, little-endian
//!      8     …  {"__metadata__": {"format": "pt"},
//!                "name": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}, …}
//!      …     …  the elements, C order, little-endian, without gaps
//! ```
//!
//! Source: the documentation of the safetensors library. Its types read what is said of a tensor,
//! and have the last word on the whole; names, order and what a header may cost are seen to here,
//! because the library takes the last of two equal names and keeps the header several times.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use safetensors::tensor::{Dtype, Metadata as Checked, TensorInfo};
use serde::de::{Deserialize, Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};
use torch_pickle::{ByteOrder, DType, Options, Record};

use super::{Builder, Metadata, Opened, Stored, bad_tensor};
use crate::{Error, Result};

/// The longest header that the safetensors library reads, and that is read here.
pub(crate) const MAX_HEADER: u64 = 100_000_000;
/// Dimensions, as a store takes them.
const MAX_DIMS: usize = 64;
/// The key of what is no tensor.
const METADATA: &str = "__metadata__";
/// What an index ends on.
pub(crate) const INDEX: &str = ".safetensors.index.json";

/// The element types that both have.
pub(crate) const TYPES: [(Dtype, DType); 20] = [
    (Dtype::BOOL, DType::Bool),
    (Dtype::U8, DType::UInt8),
    (Dtype::I8, DType::Int8),
    (Dtype::F8_E5M2, DType::Float8E5M2),
    (Dtype::F8_E4M3, DType::Float8E4M3Fn),
    (Dtype::F8_E8M0, DType::Float8E8M0Fnu),
    (Dtype::F8_E4M3FNUZ, DType::Float8E4M3Fnuz),
    (Dtype::F8_E5M2FNUZ, DType::Float8E5M2Fnuz),
    (Dtype::I16, DType::Int16),
    (Dtype::U16, DType::UInt16),
    (Dtype::F16, DType::Float16),
    (Dtype::BF16, DType::BFloat16),
    (Dtype::I32, DType::Int32),
    (Dtype::U32, DType::UInt32),
    (Dtype::F32, DType::Float32),
    (Dtype::C64, DType::Complex64),
    (Dtype::F64, DType::Float64),
    (Dtype::I64, DType::Int64),
    (Dtype::U64, DType::UInt64),
    HALVED,
];
/// Torch counts pairs of these numbers, which share a byte: its last dimension is half as long.
pub(crate) const HALVED: (Dtype, DType) = (Dtype::F4, DType::Float4E2M1FnX2);

/// The header of a file.
struct Header {
    metadata: Metadata,
    /// By the place of their data.
    tensors: Vec<(String, TensorInfo)>,
    /// Where the data start.
    data_at: u64,
}

pub(super) fn open(path: &Path, options: &Options) -> Result<Opened> {
    if path.file_name().is_some_and(|n| n.to_string_lossy().ends_with(INDEX)) {
        return open_index(path, options);
    }
    let mut builder = Builder::default();
    let (file, header) = Header::open(path)?;
    let mut items = Vec::with_capacity(header.tensors.len());
    for (name, info) in &header.tensors {
        let (dtype, shape) = torch_type(path, name, info)?;
        let value = builder.add(&header.stored(name, info, (dtype, &shape), 0));
        items.push(builder.item(name, value));
    }
    builder.set_dict(items);
    let checkpoint = builder.finish(path, vec![(path.to_owned(), file)], options)?;
    Ok(Opened { checkpoint, metadata: header.metadata, warnings: Vec::new() })
}

impl Header {
    /// Opens a file, and reads its header.
    fn open(path: &Path) -> Result<(File, Header)> {
        let mut file = File::open(path).map_err(|e| Error::io(path, "open", e))?;
        let len = file.metadata().map_err(|e| Error::io(path, "open", e))?.len();
        let header = Header::read(&mut file, len, path)?;
        Ok((file, header))
    }

    fn read(file: &mut File, len: u64, path: &Path) -> Result<Header> {
        let fail = |problem: String| Error::damaged(path, problem);
        let mut start = [0; 8];
        if len < 8 {
            return Err(fail(format!("not a safetensors file: it has {len} bytes")));
        }
        file.read_exact(&mut start).map_err(|e| Error::io(path, "read", e))?;
        let header_len = u64::from_le_bytes(start);
        if header_len > MAX_HEADER {
            let problem = format!(
                "not a safetensors file: its header would have {header_len} bytes, and at most \
                 {MAX_HEADER} are read"
            );
            return Err(fail(problem));
        }
        let data_at = 8 + header_len;
        if data_at > len {
            let problem = format!("truncated: {len} bytes, and the header alone takes {data_at}");
            return Err(fail(problem));
        }
        let mut text = vec![0; header_len as usize];
        file.read_exact(&mut text).map_err(|e| Error::io(path, "read", e))?;
        if text.first() != Some(&b'{') {
            return Err(fail("not a safetensors file: its header does not begin with {".into()));
        }
        let parsed: Parsed = serde_json::from_slice(&text)
            .map_err(|e| fail(format!("the header is damaged: {e}")))?;
        drop(text);
        let header = Header { metadata: parsed.metadata, tensors: parsed.tensors, data_at };
        header.check(path, len)?;
        Ok(header)
    }

    /// Whether the data of the tensors are all that follows, each byte once.
    fn check(&self, path: &Path, len: u64) -> Result<()> {
        let mut before = 0;
        for (name, info) in &self.tensors {
            let (from, to) = info.data_offsets;
            let bad = |problem: String| Err(bad_tensor(path, name, problem));
            if info.shape.len() > MAX_DIMS {
                return bad(format!("more than {MAX_DIMS} dimensions are not read"));
            }
            let elements = match info.shape.contains(&0) {
                true => Some(0),
                false => info.shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d)),
            };
            let Some(bits) = elements.and_then(|n| n.checked_mul(info.dtype.bitsize())) else {
                return bad(format!("shape {:?} of {} exceeds 64 bits", info.shape, info.dtype));
            };
            if bits % 8 != 0 || to.checked_sub(from) != Some(bits / 8) {
                return bad(format!(
                    "its data are said to lie from {from} to {to}, and {} of shape {:?} takes {} \
                     bytes",
                    info.dtype,
                    info.shape,
                    bits.div_ceil(8)
                ));
            }
            if from != before {
                let what = if from < before { "overlap those before" } else { "leave a hole" };
                return bad(format!("its data {what}: they start at {from}, expected {before}"));
            }
            before = to;
        }
        let end = self.data_at.checked_add(before as u64);
        match end.and_then(|end| len.checked_sub(end)) {
            Some(0) => {}
            Some(more) => {
                let problem = format!("{more} bytes follow the data of its tensors");
                return Err(Error::damaged(path, problem));
            }
            None => {
                let problem = format!(
                    "truncated: {} bytes of data, its header says {before}",
                    len - self.data_at
                );
                return Err(Error::damaged(path, problem));
            }
        }
        // The names are not looked at, and would take as much memory again.
        let infos = self.tensors.iter().map(|(_, info)| (String::new(), info.clone())).collect();
        Checked::new(None, infos)
            .map(drop)
            .map_err(|e| Error::damaged(path, format!("the header is damaged: {e}")))
    }

    fn stored<'a>(
        &self,
        name: &'a str,
        info: &TensorInfo,
        (dtype, shape): (DType, &'a [u64]),
        file: u32,
    ) -> Stored<'a> {
        let (from, to) = info.data_offsets;
        let at = self.data_at + from as u64;
        let record = Record::plain(at, (to - from) as u64, ByteOrder::Little);
        Stored { name, dtype, shape, fortran_order: false, file, record }
    }
}

/// The type and shape of a tensor, as torch has them.
fn torch_type(path: &Path, name: &str, info: &TensorInfo) -> Result<(DType, Vec<u64>)> {
    let found = TYPES.iter().find(|(theirs, _)| *theirs == info.dtype);
    let mut shape: Vec<u64> = info.shape.iter().map(|&d| d as u64).collect();
    let refuse = |what: String| {
        let message = format!("tensor {name:?}: {what}");
        Err(Error::Unsupported { path: path.to_owned(), message })
    };
    let Some(&(theirs, dtype)) = found else {
        return refuse(format!(
            "element type {} is not read, as torch has none like it; convert it first",
            info.dtype
        ));
    };
    if theirs == HALVED.0 {
        match shape.last_mut() {
            Some(last) if *last % 2 == 0 => *last /= 2,
            _ => {
                return refuse(format!(
                    "{theirs} of shape {:?} does not pair up in its last dimension",
                    info.shape
                ));
            }
        }
    }
    Ok((dtype, shape))
}

/// A header as it stands.
struct Parsed {
    metadata: Metadata,
    tensors: Vec<(String, TensorInfo)>,
}

impl<'de> Deserialize<'de> for Parsed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Parsed, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = Parsed;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of tensors")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Parsed, A::Error> {
                let (mut metadata, mut tensors) = (None, Vec::new());
                while let Some(name) = map.next_key::<String>()? {
                    if name == METADATA {
                        let Unique(pairs) = map.next_value()?;
                        if metadata.replace(pairs.into_iter().collect()).is_some() {
                            return Err(A::Error::custom("__metadata__ stands there twice"));
                        }
                        continue;
                    }
                    let info: TensorInfo = map
                        .next_value()
                        .map_err(|e| A::Error::custom(format!("tensor {name:?}: {e}")))?;
                    tensors.push((name, info));
                }
                check_names(tensors.iter().map(|(name, _)| name))?;
                tensors.sort_by_key(|(_, info)| info.data_offsets);
                Ok(Parsed { metadata: metadata.unwrap_or_default(), tensors })
            }
        }
        deserializer.deserialize_map(Entries)
    }
}

/// Pairs of text of which no two have one name.
struct Unique(Vec<(String, String)>);

impl<'de> Deserialize<'de> for Unique {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Unique, D::Error> {
        struct Pairs;
        impl<'de> Visitor<'de> for Pairs {
            type Value = Unique;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of strings")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Unique, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                check_names(pairs.iter().map(|(name, _)| name))?;
                Ok(Unique(pairs))
            }
        }
        deserializer.deserialize_map(Pairs)
    }
}

fn check_names<'a, E: serde::de::Error>(names: impl Iterator<Item = &'a String>) -> Result<(), E> {
    let mut seen = HashSet::new();
    for name in names {
        if !seen.insert(name) {
            return Err(E::custom(format!(
                "{name:?} stands there twice, and readers differ in which they take"
            )));
        }
    }
    Ok(())
}

/// What names the files of a large model.
#[derive(serde::Deserialize)]
struct Index {
    weight_map: Unique,
    #[serde(default, rename = "metadata")]
    _metadata: IgnoredAny,
}

/// Opens the files that an index names as one.
fn open_index(path: &Path, options: &Options) -> Result<Opened> {
    let len = path.metadata().map_err(|e| Error::io(path, "open", e))?.len();
    if len > MAX_HEADER {
        let problem = format!("an index of {len} bytes; at most {MAX_HEADER} are read");
        return Err(Error::damaged(path, problem));
    }
    let text = std::fs::read(path).map_err(|e| Error::io(path, "read", e))?;
    let index: Index = serde_json::from_slice(&text)
        .map_err(|e| Error::damaged(path, format!("the index is damaged: {e}")))?;
    drop(text);
    let folder = path.parent().unwrap_or(Path::new(""));
    let mut shards = Shards::default();
    let mut items = Vec::with_capacity(index.weight_map.0.len());
    for (name, file) in &index.weight_map.0 {
        // The index says what to read, not where on this machine.
        let plain = Path::new(file).file_name().is_some_and(|n| n == file.as_str());
        if !plain || file.contains(['/', '\\', '\0']) {
            let problem = format!("the file {file:?} of {name:?} is no name in the same folder");
            return Err(Error::damaged(path, problem));
        }
        let shard = shards.get(file, &folder.join(file))?;
        let Some(at) = shards.all[shard].left.remove(name) else {
            return Err(Error::damaged(path, format!("{file} was expected to hold {name:?}")));
        };
        let Shard { header, path, .. } = &shards.all[shard];
        let info = &header.tensors[at].1;
        let (dtype, shape) = torch_type(path, name, info)?;
        let stored = header.stored(name, info, (dtype, &shape), shard as u32);
        let value = shards.builder.add(&stored);
        items.push(shards.builder.item(name, value));
    }
    let Shards { mut builder, all, files, .. } = shards;
    builder.set_dict(items);
    let mut warnings = Vec::new();
    let mut metadata = BTreeMap::new();
    for shard in all {
        if !shard.left.is_empty() {
            warnings.push(format!(
                "{}: {} tensors of {} are not in the index, and left out",
                path.display(),
                shard.left.len(),
                shard.path.display()
            ));
        }
        for (key, value) in shard.header.metadata {
            metadata.entry(key).or_insert(value);
        }
    }
    let checkpoint = builder.finish(path, files, options)?;
    Ok(Opened { checkpoint, metadata, warnings })
}

/// The files of an index.
#[derive(Default)]
struct Shards {
    builder: Builder,
    by_name: HashMap<String, usize>,
    all: Vec<Shard>,
    files: Vec<(PathBuf, File)>,
}

struct Shard {
    path: PathBuf,
    header: Header,
    /// The tensors that the index did not name so far.
    left: HashMap<String, usize>,
}

impl Shards {
    /// The number of a file, opened when it is first named.
    fn get(&mut self, name: &str, path: &Path) -> Result<usize> {
        if let Some(&at) = self.by_name.get(name) {
            return Ok(at);
        }
        let (file, header) = Header::open(path)?;
        let left = header.tensors.iter().enumerate().map(|(i, (name, _))| (name.clone(), i));
        let shard = Shard { path: path.to_owned(), left: left.collect(), header };
        self.all.push(shard);
        self.files.push((path.to_owned(), file));
        self.by_name.insert(name.to_owned(), self.all.len() - 1);
        Ok(self.all.len() - 1)
    }
}
