//! Making a package of a store.

use super::Compression;
use super::format::{self, Checksum};
use super::output::Output;
use super::source::{Data, Source};
use crate::disk::FileId;
use crate::error::{Error, Result};
use crate::limits::Limits;
use crate::metadata::{self, Record};
use crate::{names, new_store};
use flate2::{Compress, FlushCompress, Status};
use std::collections::HashSet;
use std::path::Path;

/// How often packing starts again because the store was changed meanwhile.
const TRIES: u32 = 5;
/// zlib's own idea of a fair trade, and that of the public package.
const LEVEL: u32 = 6;
/// What is read at a time to be compressed.
const PIECE: usize = 256 << 10;

/// How a package is made.
#[derive(Clone, Debug)]
pub struct PackOptions {
    /// How its files are stored. Default: [`Compression::Stored`], which every public reader takes.
    /// With [`Compression::Zlib`], at level 6, a file that would not shrink is stored all the same.
    pub compression: Compression,
    /// Whether a regular file at the path is replaced. Default: no.
    pub overwrite: bool,
    /// Bounds on what the store may ask for.
    pub limits: Limits,
}

impl Default for PackOptions {
    fn default() -> PackOptions {
        PackOptions {
            compression: Compression::Stored,
            overwrite: false,
            limits: Limits::default(),
        }
    }
}

/// What [`pack`] has done.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct PackInfo {
    /// How many files the package holds.
    pub files: u32,
    /// Their sizes together, unpacked, in bytes.
    pub size: u64,
    /// The size of the package in bytes.
    pub package_size: u64,
    /// What the caller should be told.
    pub warnings: Vec<String>,
}

/// Makes a package of the store at a path.
///
/// It holds one state of the store, whole; a committed change that is not applied yet counts. No
/// lock is taken and nothing is written in the store: a store that is changed meanwhile is packed
/// again, and after several times is [`Error::Changed`]. Dropped rows stay, with their bitmaps, as
/// in the store; arrays in segments become one file.
///
/// The package is written beside its place, synced and renamed there, so that there is a whole
/// one or none, whatever happens. Where the path is a symbolic link, what it leads to is replaced.
/// It must not lie in the store. Memory is a few MiB whatever the size of the arrays, and besides
/// what opening the store takes.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = tempfile::tempdir()?;
/// # let (store, package) = (dir.path().join("m.npk"), dir.path().join("m.npkg"));
/// use numpack_format::{DType, PackOptions, View, Writer, pack};
///
/// let mut writer = Writer::create(&store)?;
/// writer.save("w", &View::new(DType::U8, &[2, 2], &[1, 2, 3, 4]))?;
/// writer.commit()?;
/// let info = pack(&store, &package, &PackOptions::default())?;
/// assert_eq!(info.package_size, std::fs::metadata(&package)?.len());
/// # Ok(()) }
/// ```
pub fn pack(
    store: impl AsRef<Path>,
    package: impl AsRef<Path>,
    options: &PackOptions,
) -> Result<PackInfo> {
    let store = store.as_ref();
    if options.compression == Compression::Zstd {
        let problem = "zstd is read but not written; choose zlib, or no compression";
        return Err(Error::parameter(None, problem));
    }
    for _ in 0..TRIES {
        let source = Source::open(store, &options.limits)?;
        let target = new_store::resolve(package.as_ref())?;
        let folder = store.canonicalize().map_err(Error::io("resolve", store))?;
        if target.starts_with(&folder) {
            let problem = format!(
                "{} lies in the store that is to be packed; choose a path outside",
                target.display()
            );
            return Err(Error::parameter(None, problem));
        }
        let plan = Plan::new(&source, &options.limits)?;
        let mut output = Output::begin(&target, options.overwrite)?;
        let mut files = Vec::with_capacity(source.records().len());
        let written = plan
            .write(&source, options.compression, &mut output, &mut files)
            .and_then(|info| output.sync().map(|()| info));
        let current = source.is_current(&files)?;
        match written {
            Ok(info) if current => return output.publish().map(|()| info),
            Err(e) if current => return Err(e),
            _ => {}
        }
    }
    Err(Error::Changed { file: store.to_owned() })
}

/// What goes into a package.
struct Plan {
    metadata: Vec<u8>,
    /// In the order of the package.
    entries: Vec<(String, Kind)>,
}

#[derive(Clone, Copy)]
enum Kind {
    Metadata,
    Data(usize),
    Bitmap(usize),
}

impl Plan {
    fn new(source: &Source, limits: &Limits) -> Result<Plan> {
        let mut records = source.records().to_vec();
        name_files(&mut records);
        let metadata = metadata::encode(records.iter().map(metadata::Source::New))?;
        let (value, limit) = (metadata.len() as u64, limits.max_metadata_bytes);
        if value > limit {
            let (file, what) = (metadata::FILE.into(), "the size of the metadata");
            return Err(Error::Limit { file, array: None, what, value, limit });
        }
        let mut entries = vec![(metadata::FILE.to_owned(), Kind::Metadata)];
        for (i, r) in records.into_iter().enumerate() {
            if let Some(name) = names::bitmap_file(&r.name)
                && source.bitmap(i)?.is_some()
            {
                entries.push((name, Kind::Bitmap(i)));
            }
            entries.push((r.data_file, Kind::Data(i)));
        }
        entries.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(Plan { metadata, entries })
    }

    /// Writes the package, and notes the identity of each array's files.
    fn write(
        &self,
        source: &Source,
        compression: Compression,
        output: &mut Output,
        files: &mut Vec<Vec<FileId>>,
    ) -> Result<PackInfo> {
        files.resize(source.records().len(), Vec::new());
        let compressed = compression != Compression::Stored;
        let count = u32::try_from(self.entries.len()).map_err(|_| {
            Error::parameter(None, "the package would exceed 2^32 files; split the store")
        })?;
        output.put(&format::header(compressed, count))?;
        let mut checksum = Checksum::new(format::VERSION);
        let mut total = 0;
        for (name, kind) in &self.entries {
            let data;
            let (size, mut content) = match *kind {
                Kind::Metadata => (self.metadata.len() as u64, Content::Bytes(&self.metadata, 0)),
                Kind::Bitmap(i) => {
                    data = source.bitmap_file(i)?;
                    (data.len() as u64, Content::Bytes(&data, 0))
                }
                Kind::Data(i) => {
                    let data = source.data(i)?;
                    files[i] = data.ids()?;
                    (source.records()[i].size_bytes, Content::Array(Box::new(data)))
                }
            };
            output.put(&format::entry_header(name, size))?;
            if !(compressed && deflate(&mut content, size, output, &mut checksum)?) {
                store(&mut content, size, output, &mut checksum)?;
            }
            checksum.end_file();
            total += size;
        }
        output.put(&checksum.finish().to_le_bytes())?;
        let warnings = source.warnings().to_vec();
        Ok(PackInfo { files: count, size: total, package_size: output.at(), warnings })
    }
}

/// The bytes of a file that is packed.
enum Content<'a> {
    Bytes(&'a [u8], usize),
    Array(Box<Data>),
}

impl Content<'_> {
    /// Some of the next bytes, at least one; the caller knows how many there are.
    fn read(&mut self, out: &mut [u8]) -> Result<usize> {
        match self {
            Content::Bytes(bytes, at) => {
                let n = out.len().min(bytes.len() - *at);
                out[..n].copy_from_slice(&bytes[*at..*at + n]);
                *at += n;
                Ok(n)
            }
            Content::Array(data) => data.read(out),
        }
    }

    fn rewind(&mut self) {
        match self {
            Content::Bytes(_, at) => *at = 0,
            Content::Array(data) => data.rewind(),
        }
    }
}

/// Puts a file into the package as it is.
fn store(
    content: &mut Content<'_>,
    mut size: u64,
    output: &mut Output,
    checksum: &mut Checksum,
) -> Result<()> {
    while size > 0 {
        let space = output.space()?;
        let n = (space.len() as u64).min(size) as usize;
        let n = content.read(&mut space[..n])?;
        checksum.update(&space[..n]);
        output.take(n);
        size -= n as u64;
    }
    Ok(())
}

/// Puts a file into the package as a zlib stream; `false`, and nothing is there, where that is not
/// smaller.
fn deflate(
    content: &mut Content<'_>,
    size: u64,
    output: &mut Output,
    checksum: &mut Checksum,
) -> Result<bool> {
    let at = output.at();
    let mut zlib = Compress::new(flate2::Compression::new(LEVEL), true);
    let mut piece = vec![0; size.min(PIECE as u64) as usize];
    let (mut from, mut to, mut left) = (0, 0, size);
    loop {
        if from == to && left > 0 {
            let wanted = left.min(piece.len() as u64) as usize;
            (from, to) = (0, content.read(&mut piece[..wanted])?);
            checksum.update(&piece[..to]);
            left -= to as u64;
        }
        let flush = if left == 0 { FlushCompress::Finish } else { FlushCompress::None };
        let (ins, outs) = (zlib.total_in(), zlib.total_out());
        let status = zlib
            .compress(&piece[from..to], output.space()?, flush)
            .map_err(|e| Error::parameter(None, format!("zlib failed: {e}")))?;
        from += (zlib.total_in() - ins) as usize;
        output.take((zlib.total_out() - outs) as usize);
        if zlib.total_out() >= size {
            content.rewind();
            checksum.restart_file();
            output.rewind(at);
            return Ok(false);
        }
        if status == Status::StreamEnd {
            break;
        }
    }
    // The stored size is the last field before the bytes.
    output.patch(at - 8, &zlib.total_out().to_le_bytes())?;
    Ok(true)
}

/// Gives each array a data file of its own, called as all programs take it into a package. What is
/// called so already keeps its name.
fn name_files(records: &mut [Record]) {
    let mut kept = HashSet::new();
    let mut taken = HashSet::new();
    let mut unnamed = Vec::new();
    for (i, r) in records.iter().enumerate() {
        if format::is_data_file(&r.data_file) && kept.insert(r.data_file.clone()) {
            taken.insert(names::fold(&r.data_file));
        } else {
            unnamed.push(i);
        }
    }
    for i in unnamed {
        let name = &records[i].name;
        let mut n = 0;
        let file = loop {
            let file = names::data_file(name, n);
            if taken.insert(names::fold(&file)) {
                break file;
            }
            n += 1;
        };
        records[i].data_file = file;
    }
}
