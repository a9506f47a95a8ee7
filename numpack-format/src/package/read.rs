//! A package, read as it is.

use super::array::PackedArray;
use super::content::Content;
use super::format::{Checksum, Entry, Layout, damaged};
use super::{CHUNK, Compression};
use crate::array::ArrayInfo;
use crate::bitmap::Bitmap;
use crate::disk::FileId;
use crate::dtype::DType;
use crate::error::{Error, Result, format};
use crate::limits::Limits;
use crate::metadata::{self, Metadata, Record, RecordRef};
use crate::names::{self, NameIndex};
use crate::side::{self, SideInfo};
use crate::{segments, side_codec};
use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// What a package holds.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub struct PackageInfo {
    /// The version of the format, 1 or 2.
    pub version: u32,
    /// Whether files in it may be compressed; each says whether it is.
    pub compressed: bool,
    /// The files, in the order in which they stand in the package.
    pub files: Vec<PackedFile>,
    /// The arrays in the order of their records, as [`Store::arrays`](crate::Store::arrays) gives
    /// them: without dropped rows, and without the array that holds the side information.
    pub arrays: Vec<ArrayInfo>,
    /// What a reader should be told, though the arrays can be read.
    pub warnings: Vec<String>,
}

/// A file in a package.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct PackedFile {
    /// Its name in the store.
    pub name: String,
    /// Its size in the store, in bytes.
    pub size: u64,
    /// How many bytes its content takes in the package.
    pub packed_size: u64,
    /// How it is stored.
    pub compression: Compression,
}

/// A package, open for reading.
///
/// Opening reads and checks the headers of all files, the metadata, the bitmaps of dropped rows
/// and the side information, that each array's file is there and long enough, and that nothing
/// follows. The content of the arrays is not read, and so not checked: the format has one checksum
/// over all files together, which only [`verify`](Package::verify) and [`unpack`](super::unpack)
/// can compare. Reading one array reads nothing but its own file: a zlib stream has a checksum of
/// its own, which is checked when all of it has been read; bytes stored as they are, or by zstd,
/// have none.
///
/// It has the file open, and may be used from several threads.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = tempfile::tempdir()?;
/// # let (store, path) = (dir.path().join("m.npk"), dir.path().join("m.npkg"));
/// # use numpack_format::{DType, View, Writer, PackOptions, pack};
/// # let mut w = Writer::create(&store)?;
/// # w.save("a", &View::new(DType::U8, &[3, 2], &[1, 2, 3, 4, 5, 6]))?;
/// # w.commit()?;
/// # pack(&store, &path, &PackOptions::default())?;
/// use numpack_format::Package;
///
/// let package = Package::open(&path)?;
/// assert_eq!(package.arrays()[0].shape, [3, 2]);
/// let mut row = [0; 2];
/// package.read_rows_into("a", 1..2, &mut row)?;
/// assert_eq!(row, [3, 4]);
/// package.verify()?;
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Package {
    pub(super) path: PathBuf,
    pub(super) file: File,
    id: FileId,
    pub(super) layout: Layout,
    /// With the side information's, in the order of the file.
    pub(super) records: Vec<Record>,
    info: PackageInfo,
    index: NameIndex,
    /// By the position in `info.arrays`.
    data: Vec<Data>,
    side: Option<SideInfo>,
}

/// Where an array's content is.
#[derive(Debug)]
pub(super) struct Data {
    pub(super) file: String,
    pub(super) bitmap: Option<Bitmap>,
}

impl Package {
    /// Opens a package.
    ///
    /// The file must be a regular one, or lead to one. Nothing is written.
    pub fn open(path: impl AsRef<Path>) -> Result<Package> {
        Package::open_with(path, &Limits::default())
    }

    /// The same, with the caller's bounds on what the package may ask for.
    pub fn open_with(path: impl AsRef<Path>, limits: &Limits) -> Result<Package> {
        let path = path.as_ref();
        let (file, id) = crate::disk::open_at(path)?;
        let layout = Layout::read(&file, id.len(), path, limits)?;
        let mut opening = Opening { path, file: &file, layout: &layout, limits };
        let records = opening.records()?;
        let (arrays, data, side, warnings) = opening.arrays(&records)?;
        let index = NameIndex::build(arrays.len(), |i| &arrays[i].name)
            .map_err(|i| opening.twin(&arrays[i].name))?;
        let files = layout.entries.iter().map(|e| PackedFile {
            name: e.name.clone(),
            size: e.size,
            packed_size: e.packed,
            compression: e.compression,
        });
        let info = PackageInfo {
            version: layout.version,
            compressed: layout.compressed,
            files: files.collect(),
            arrays,
            warnings,
        };
        Ok(Package { path: path.to_owned(), file, id, layout, records, info, index, data, side })
    }

    /// The path it was opened by.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What the package holds.
    pub fn info(&self) -> &PackageInfo {
        &self.info
    }

    /// The arrays in the order of their records, without the one that holds the side information.
    pub fn arrays(&self) -> &[ArrayInfo] {
        &self.info.arrays
    }

    /// The side information, if there is any and it could be read.
    pub fn side(&self) -> Option<&SideInfo> {
        self.side.as_ref()
    }

    /// Opens one array for reading. Nothing of it is read yet.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let dir = tempfile::tempdir()?;
    /// # let (store, path) = (dir.path().join("m.npk"), dir.path().join("m.npkg"));
    /// # use numpack_format::{DType, Package, View, Writer, PackOptions, pack};
    /// # let mut w = Writer::create(&store)?;
    /// # w.save("a", &View::new(DType::U8, &[3, 2], &[1, 2, 3, 4, 5, 6]))?;
    /// # w.commit()?;
    /// # pack(&store, &path, &PackOptions::default())?;
    /// let package = Package::open(&path)?;
    /// let mut array = package.array("a")?;
    /// let mut bytes = [0; 3];
    /// array.read_bytes_at(0, &mut bytes)?;
    /// array.read_bytes_at(3, &mut bytes)?;
    /// assert_eq!(bytes, [4, 5, 6]);
    /// # Ok(()) }
    /// ```
    pub fn array(&self, name: &str) -> Result<PackedArray<'_>> {
        let i = self.index.find(name, |i| &self.info.arrays[i].name);
        let missing = || Error::NoArray { path: self.path.clone(), name: name.to_owned() };
        let i = i.ok_or_else(missing)?;
        Ok(PackedArray::new(self, &self.info.arrays[i], &self.data[i]))
    }

    /// Reads one array whole: `out` must have its [`nbytes`](ArrayInfo::nbytes). They are in C
    /// order, little-endian, without dropped rows.
    pub fn read_into(&self, name: &str, out: &mut [u8]) -> Result<()> {
        let mut array = self.array(name)?;
        check_len(name, array.nbytes(), out)?;
        array.read_bytes_at(0, out)
    }

    /// Reads a range of rows of one array, counted without dropped rows. `out` must have their
    /// exact size in bytes. What comes before them in a compressed file is read and dropped.
    pub fn read_rows_into(&self, name: &str, rows: Range<u64>, out: &mut [u8]) -> Result<()> {
        let mut array = self.array(name)?;
        let (count, row) = (array.info().rows(), array.info().row_size());
        if rows.start > rows.end || rows.end > count {
            let (from, to) = (rows.start, rows.end);
            let problem = format!("rows {from}..{to} are out of range, the array has {count}");
            return Err(Error::parameter(Some(name), problem));
        }
        check_len(name, (rows.end - rows.start) * row, out)?;
        array.read_bytes_at(rows.start * row, out)
    }

    /// Reads everything and compares the checksum. Together with what opening checks, the package
    /// then holds a sound store.
    pub fn verify(&self) -> Result<()> {
        self.faults()?.into_iter().next().map_or(Ok(()), Err)
    }

    /// Everything that [`verify`](Package::verify) can find wrong. An error means that the file
    /// could not be read.
    pub fn faults(&self) -> Result<Vec<Error>> {
        let mut faults = Vec::new();
        let mut checksum = Checksum::new(self.layout.version);
        let mut buffer = vec![0; CHUNK];
        for entry in &self.layout.entries {
            match self.stream(entry, &mut buffer, &mut checksum, |_, _| Ok(())) {
                Err(e @ Error::Format { .. }) => faults.push(e),
                read => read?,
            }
        }
        // Of files that cannot be read whole the checksum says nothing new.
        if faults.is_empty() {
            match self.compare(checksum) {
                Err(e @ Error::Format { .. }) => faults.push(e),
                compared => compared?,
            }
        }
        Ok(faults)
    }

    /// Gives the content of a file piece by piece, with the offset of each.
    pub(super) fn stream(
        &self,
        entry: &Entry,
        buffer: &mut [u8],
        checksum: &mut Checksum,
        mut to: impl FnMut(u64, &[u8]) -> Result<()>,
    ) -> Result<()> {
        let mut content = Content::open(&self.file, &self.path, entry)?;
        while content.left() > 0 {
            let n = content.left().min(buffer.len() as u64) as usize;
            let offset = entry.size - content.left();
            content.read(&mut buffer[..n])?;
            checksum.update(&buffer[..n]);
            to(offset, &buffer[..n])?;
        }
        checksum.end_file();
        content.finish()
    }

    /// Ends a pass over all files.
    pub(super) fn compare(&self, checksum: Checksum) -> Result<()> {
        let (stored, found) = (self.layout.checksum, checksum.finish());
        if found != stored {
            let problem = format!(
                "the checksum is {stored:08x}, that of the files is {found:08x}: the package is damaged"
            );
            return Err(damaged(&self.path, self.id.len() - 4, problem));
        }
        // What has just been read must be what was judged when the package was opened.
        if FileId::of(&self.file).map_err(Error::io("inspect", &self.path))? != self.id {
            return Err(Error::Changed { file: self.path.clone() });
        }
        Ok(())
    }
}

/// What opening needs at hand.
struct Opening<'a> {
    path: &'a Path,
    file: &'a File,
    layout: &'a Layout,
    limits: &'a Limits,
}

type Arrays = (Vec<ArrayInfo>, Vec<Data>, Option<SideInfo>, Vec<String>);

impl Opening<'_> {
    fn records(&self) -> Result<Vec<Record>> {
        let Some(entry) = self.layout.find(metadata::FILE) else {
            return Err(lacks(self.path, metadata::FILE));
        };
        let what = "the size of the metadata";
        let bytes = self.small(entry, entry.size, what, self.limits.max_metadata_bytes)?;
        let metadata = Metadata::parse(bytes, &self.path.join(metadata::FILE), self.limits)?;
        let records: Vec<Record> = metadata.iter().map(RecordRef::to_record).collect();
        for r in &records {
            self.check_data(r).map_err(|e| e.in_array(&r.name))?;
        }
        Ok(records)
    }

    /// The file of an array is there and long enough.
    fn check_data(&self, r: &Record) -> Result<()> {
        if r.data_file.ends_with(segments::SUFFIX) || r.data_file.contains('/') {
            let problem = format!(
                "the array is in {:?}, which the program that made the package left out",
                r.data_file
            );
            let hint = "pack the store again with this library, which puts such arrays in one file";
            return Err(super::format::unsupported(self.path, None, problem, hint));
        }
        match self.layout.find(&r.data_file) {
            None => Err(lacks(self.path, &r.data_file)),
            Some(e) if e.size < r.size_bytes => {
                let problem =
                    format!("{:?} has {} bytes, expected {}", e.name, e.size, r.size_bytes);
                Err(damaged(self.path, e.at, problem))
            }
            Some(_) => Ok(()),
        }
    }

    fn arrays(&mut self, records: &[Record]) -> Result<Arrays> {
        let (mut infos, mut data) = (Vec::new(), Vec::new());
        let (mut side, mut warnings) = (None, Vec::new());
        let mut seen_side = false;
        for r in records {
            if r.name == side::ARRAY_NAME {
                if std::mem::replace(&mut seen_side, true) {
                    return Err(self.twin(&r.name));
                }
                match self.side(r) {
                    Ok(info) => side = Some(info),
                    Err(e @ Error::Io { .. }) => return Err(e),
                    Err(e) => warnings.push(format!("the side information is left out: {e}")),
                }
                continue;
            }
            let bitmap = self.bitmap(r).map_err(|e| e.in_array(&r.name))?;
            let mut shape = r.shape.clone();
            let stored_rows = shape.first().copied().unwrap_or(1);
            if let (Some(rows), Some(bitmap)) = (shape.first_mut(), &bitmap) {
                *rows = bitmap.live();
            }
            infos.push(ArrayInfo {
                name: r.name.clone(),
                dtype: r.dtype,
                shape,
                stored_rows,
                modified_micros: r.modified_micros,
                note: None,
            });
            data.push(Data { file: r.data_file.clone(), bitmap });
        }
        give_notes(&mut infos, side.as_ref(), &mut warnings);
        let unused = unused(records, self.layout);
        // Names are not in the checksum: a bitmap under a damaged one would bring rows back.
        if let Some(name) = unused.iter().find(|n| names::is_bitmap_file(n)) {
            let at = self.layout.find(name).map(|e| e.at);
            return Err(damaged(self.path, at, format!("no array has the bitmap {name:?}")));
        }
        if !unused.is_empty() {
            warnings.push(format!("no array uses {}", unused.join(", ")));
        }
        Ok((infos, data, side, warnings))
    }

    fn bitmap(&self, r: &Record) -> Result<Option<Bitmap>> {
        let (Some(&rows), Some(name)) = (r.shape.first(), names::bitmap_file(&r.name)) else {
            return Ok(None);
        };
        let Some(entry) = self.layout.find(&name) else { return Ok(None) };
        let what = "the size of the bitmap";
        let bytes = self.small(entry, entry.size, what, self.limits.max_bitmap_bytes)?;
        Bitmap::parse(&bytes, rows, &self.path.join(&name)).map(Some)
    }

    fn side(&self, r: &Record) -> Result<SideInfo> {
        let inside = self.path.join(&r.data_file);
        if r.dtype != DType::U8 || r.shape.len() != 1 {
            let problem = "expected side information as a 1-D uint8 array";
            return Err(format(&inside, None, problem));
        }
        let Some(entry) = self.layout.find(&r.data_file) else {
            return Err(lacks(self.path, &r.data_file));
        };
        let what = "the size of the side information";
        let bytes = self.small(entry, r.size_bytes, what, self.limits.max_side_bytes)?;
        side_codec::decode(&bytes, &inside)
    }

    /// The first `size` bytes of a file. Memory is taken as they come, not as they are promised.
    fn small(&self, entry: &Entry, size: u64, what: &'static str, limit: u64) -> Result<Vec<u8>> {
        if size > limit {
            let file = self.path.join(&entry.name);
            return Err(Error::Limit { file, array: None, what, value: size, limit });
        }
        let mut content = Content::open(self.file, self.path, entry)?;
        let mut out = Vec::new();
        while (out.len() as u64) < size {
            let at = out.len();
            let n = (size - at as u64).min(CHUNK as u64) as usize;
            out.resize(at + n, 0);
            content.read(&mut out[at..])?;
        }
        Ok(out)
    }

    fn twin(&self, name: &str) -> Error {
        let file = self.path.join(metadata::FILE);
        format(&file, None, "two records have this name").in_array(name)
    }
}

pub(super) fn lacks(package: &Path, file: &str) -> Error {
    damaged(package, None, format!("there is no {file:?} in the package"))
}

/// Gives each array the note on it, and says which notes no longer fit.
fn give_notes(infos: &mut [ArrayInfo], side: Option<&SideInfo>, warnings: &mut Vec<String>) {
    let Some(side) = side else { return };
    let by_name: HashMap<String, usize> =
        infos.iter().enumerate().map(|(i, a)| (a.name.clone(), i)).collect();
    for note in side.arrays.iter().filter(|n| !n.dropped) {
        let problem = match by_name.get(&note.name).map(|&i| &mut infos[i]) {
            None => "the array is gone".to_owned(),
            Some(info) => {
                let mut stored = info.shape.clone();
                if let Some(rows) = stored.first_mut() {
                    *rows = info.stored_rows;
                }
                match side_codec::misfit(note, info.dtype, &stored) {
                    None => {
                        info.note = Some(note.clone());
                        continue;
                    }
                    Some(problem) => problem,
                }
            }
        };
        warnings.push(format!(
            "the note on array {:?} no longer fits and is left out: {problem}",
            note.name
        ));
    }
}

fn check_len(name: &str, expected: u64, out: &[u8]) -> Result<()> {
    if out.len() as u64 == expected {
        return Ok(());
    }
    let problem = format!("the buffer has {} bytes, {expected} are needed", out.len());
    Err(Error::parameter(Some(name), problem))
}

/// The files that no array uses.
pub(super) fn unused<'a>(records: &[Record], layout: &'a Layout) -> Vec<&'a str> {
    let mut used: HashSet<&str> = records.iter().map(|r| &r.data_file[..]).collect();
    let bitmaps: Vec<String> = records.iter().filter_map(|r| names::bitmap_file(&r.name)).collect();
    used.extend(bitmaps.iter().map(|b| &b[..]));
    used.insert(metadata::FILE);
    layout.entries.iter().map(|e| &e.name[..]).filter(|n| !used.contains(n)).collect()
}
