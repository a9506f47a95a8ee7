//! Opening a store for reading.

use crate::array::{Array, ArrayInfo, Part};
use crate::bitmap::Bitmap;
use crate::disk::{Dir, FileId};
use crate::dtype::{DType, row_size};
use crate::error::{Error, Result, format};
use crate::limits::Limits;
use crate::metadata::{self, Record};
use crate::names::NameIndex;
use crate::overlay::Overlay;
use crate::redo::{self, Redo, sha256};
use crate::side::{self, SideInfo};
use crate::{segments, side_codec};
use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// How often a reader starts again because a writer committed meanwhile.
pub(crate) const MAX_TRIES: u32 = 1000;

/// A store, open for reading: one state of it, whole.
///
/// Reading takes no lock and writes nothing, so it works on a read-only medium and beside a
/// writer. It may be used from several threads.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("m.npk");
/// # use numpack_format::{DType, Store, Writer};
/// # let mut w = Writer::create(&path)?;
/// # w.save("a", DType::F32, &[2], &[4], &[0; 8], 0)?;
/// # w.commit()?;
/// let store = Store::open(&path)?;
/// for info in store.arrays() {
///     let mut bytes = vec![0; info.nbytes() as usize];
///     store.array(&info.name)?.read_into(&mut bytes)?;
/// }
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Store {
    path: PathBuf,
    limits: Limits,
    /// Absent for a store that is not there yet.
    disk: Option<OnDisk>,
    infos: Vec<ArrayInfo>,
    data_files: Vec<String>,
    index: NameIndex,
    bitmaps: HashMap<usize, Arc<Bitmap>>,
    side: Option<SideInfo>,
    /// Why there is no side information, although there is an array of that name.
    side_error: Option<Error>,
    fits: Vec<bool>,
    warnings: Vec<String>,
}

/// The open folder, and what tells its state from another.
#[derive(Debug)]
struct OnDisk {
    dir: Dir,
    /// Kept open, so that no other file can come by their identity.
    _files: (File, Option<File>),
    generation: Generation,
    /// Data files that a committed change has not moved yet: final name, staged name.
    staged: HashMap<String, String>,
}

#[derive(PartialEq, Debug)]
pub(crate) struct Generation {
    metadata: Option<FileId>,
    redo: Option<FileId>,
}

impl Generation {
    pub(crate) fn of(dir: &Dir) -> io::Result<Generation> {
        // In this order: a change puts its record there, moves data files, changes the metadata and
        // takes the record away. The old metadata after no record means that none has been moved.
        let redo = dir.id(redo::FILE)?;
        Ok(Generation { metadata: dir.id(metadata::FILE)?, redo })
    }
}

impl OnDisk {
    /// Whether the folder is still in the state that was read.
    fn is_current(&self) -> Result<bool> {
        let now = Generation::of(&self.dir).map_err(Error::io("inspect", self.dir.path()))?;
        Ok(now == self.generation)
    }
}

impl Store {
    /// Opens the store at a path.
    ///
    /// A path that does not exist, or a folder without `metadata.npkm`, is an error, and so is a
    /// damaged store; nothing is created or repaired.
    pub fn open(path: impl AsRef<Path>) -> Result<Store> {
        Store::open_with(path, &Limits::default())
    }

    /// The same, with the caller's bounds on what the store may ask for.
    pub fn open_with(path: impl AsRef<Path>, limits: &Limits) -> Result<Store> {
        let path = path.as_ref();
        for attempt in 0..MAX_TRIES {
            let dir = open_folder(path)?;
            let before = Generation::of(&dir).map_err(Error::io("inspect", path))?;
            let loaded = Loaded::read(&dir, limits).and_then(|l| l.into_store(path, dir, limits));
            match loaded {
                Ok(store) => {
                    if store.disk.as_ref().map_or(Ok(true), OnDisk::is_current)? {
                        return Ok(store);
                    }
                }
                // It may be wrong only because it changed while it was read.
                Err(e) => {
                    let dir = open_folder(path)?;
                    let now = Generation::of(&dir).map_err(Error::io("inspect", path))?;
                    if now == before && dir.is_here(path)? {
                        return Err(e);
                    }
                }
            }
            std::thread::sleep(Duration::from_micros(u64::from(attempt.min(50)) * 20));
        }
        Err(Error::Changed { file: path.to_owned() })
    }

    /// A store without arrays that is not on disk.
    pub(crate) fn absent(path: &Path) -> Store {
        Store {
            path: path.to_owned(),
            limits: Limits::default(),
            disk: None,
            infos: Vec::new(),
            data_files: Vec::new(),
            index: NameIndex::default(),
            bitmaps: HashMap::new(),
            side: None,
            side_error: None,
            fits: Vec::new(),
            warnings: Vec::new(),
        }
    }

    /// The path it was opened by.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The arrays in the order of their records, without the one that holds the side information.
    pub fn arrays(&self) -> &[ArrayInfo] {
        &self.infos
    }

    /// The array of a name.
    pub fn info(&self, name: &str) -> Option<&ArrayInfo> {
        self.find(name).map(|i| &self.infos[i])
    }

    /// The side information, if there is any and it could be read. The notes on arrays keep their
    /// places; [`note_fits`](Store::note_fits) says which still hold.
    pub fn side(&self) -> Option<&SideInfo> {
        self.side.as_ref()
    }

    /// Whether note `i` of the side information fits the array it is about. One on an array that
    /// was taken out of the store fits none.
    pub fn note_fits(&self, i: usize) -> bool {
        self.fits.get(i).copied().unwrap_or(false)
    }

    pub(crate) fn side_error(&mut self) -> Option<Error> {
        self.side_error.take()
    }

    /// What a reader should be told, though the arrays can be read.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Opens an array, and checks that its files are as long as the metadata says.
    ///
    /// If the store was changed since it was opened, this succeeds only if the array was not, and
    /// is [`Error::Changed`] otherwise.
    pub fn array(&self, name: &str) -> Result<Array> {
        let missing = || Error::NoArray { path: self.path.clone(), name: name.to_owned() };
        let i = self.find(name).ok_or_else(missing)?;
        let Some(disk) = &self.disk else { return Err(missing()) };
        let opened = self.open_array(disk, i);
        if disk.is_current()? {
            return opened;
        }
        for _ in 0..MAX_TRIES {
            let now = Store::open_with(&self.path, &self.limits)?;
            let changed = || Error::Changed { file: self.path.clone() };
            let j = now.find(name).ok_or_else(changed)?;
            let same = now.infos[j] == self.infos[i]
                && now.data_files[j] == self.data_files[i]
                && now.bitmaps.get(&j) == self.bitmaps.get(&i);
            let Some(disk) = now.disk.as_ref().filter(|_| same) else { return Err(changed()) };
            let opened = now.open_array(disk, j);
            if disk.is_current()? {
                return opened;
            }
        }
        Err(Error::Changed { file: self.path.clone() })
    }

    /// Opens several arrays, for less than opening them one by one: whether the store was changed
    /// meanwhile is asked once for all of them. Each has a file open.
    pub fn arrays_by_name(&self, names: &[&str]) -> Result<Vec<Array>> {
        let opened = match &self.disk {
            Some(disk) => {
                let opened: Result<Option<Vec<Array>>> = names
                    .iter()
                    .map(|name| self.find(name).map(|i| self.open_array(disk, i)).transpose())
                    .collect();
                // An array that fails or is not there is told of by the way that asks again.
                opened.ok().flatten().filter(|_| disk.is_current().unwrap_or(false))
            }
            None => None,
        };
        match opened {
            Some(arrays) => Ok(arrays),
            None => names.iter().map(|name| self.array(name)).collect(),
        }
    }

    fn find(&self, name: &str) -> Option<usize> {
        self.index.find(name, |i| &self.infos[i].name)
    }

    fn open_array(&self, disk: &OnDisk, i: usize) -> Result<Array> {
        let info = &self.infos[i];
        let parts = open_parts(
            &disk.dir,
            &disk.staged,
            &self.data_files[i],
            info.dtype,
            &stored_shape(info),
            &self.limits,
        );
        Ok(Array::new(
            info.clone(),
            parts.map_err(|e| e.in_array(&info.name))?,
            self.bitmaps.get(&i).cloned(),
        ))
    }
}

/// The shape with dropped rows.
fn stored_shape(info: &ArrayInfo) -> Vec<u64> {
    let mut shape = info.shape.clone();
    if let Some(rows) = shape.first_mut() {
        *rows = info.stored_rows;
    }
    shape
}

/// Opens a store's folder.
pub(crate) fn open_folder(path: &Path) -> Result<Dir> {
    Dir::open(path).map_err(|e| match e.kind() {
        io::ErrorKind::NotFound => {
            Error::NotAStore { path: path.to_owned(), problem: "there is nothing" }
        }
        io::ErrorKind::NotADirectory => {
            Error::NotAStore { path: path.to_owned(), problem: "it is a file, not a folder" }
        }
        _ => Error::io("open", path)(e),
    })
}

/// Opens the files of an array and checks their length.
pub(crate) fn open_parts(
    dir: &Dir,
    staged: &HashMap<String, String>,
    data_file: &str,
    dtype: DType,
    shape: &[u64],
    limits: &Limits,
) -> Result<Vec<Part>> {
    // Overflow was refused when the metadata was read.
    let row = row_size(dtype, shape).unwrap_or(0);
    let rows = shape.first().copied().unwrap_or(1);
    if !data_file.ends_with(segments::SUFFIX) {
        return Ok(vec![open_part(dir, staged.get(data_file), data_file, 0, row * rows)?]);
    }
    let what = "the size of a segment list";
    let Some((_, list)) = dir.read(data_file, what, limits.max_segment_list_bytes)? else {
        return Err(format(&dir.join(data_file), None, "the segment list is missing"));
    };
    let list = segments::parse(&list, &dir.join(data_file), rows, row)?;
    let mut parts = Vec::with_capacity(list.len());
    let mut start = 0u64;
    for s in list {
        parts.push(open_part(dir, None, &s.file, start, s.bytes)?);
        start = start.checked_add(s.bytes).ok_or_else(|| {
            format(&dir.join(data_file), None, "the segments have 2^64 bytes or more")
        })?;
    }
    Ok(parts)
}

fn open_part(dir: &Dir, staged: Option<&String>, name: &str, start: u64, len: u64) -> Result<Part> {
    let mut found = None;
    if let Some(staged) = staged {
        let name = format!("{}/{staged}", redo::STAGE);
        found = dir.open_file(&name)?.map(|(f, id)| (f, id.len(), dir.join(&name)));
    }
    if found.is_none() {
        found = dir.open_file(name)?.map(|(f, id)| (f, id.len(), dir.join(name)));
    }
    let Some((file, size, path)) = found else {
        return Err(format(&dir.join(name), None, "the data file is missing"));
    };
    if size < len {
        return Err(format(
            &path,
            size,
            format!("expected {len} bytes, the file ends after {size}"),
        ));
    }
    Ok(Part { file, path, start, len })
}

/// The metadata that counts, with a committed change applied in memory.
pub(crate) struct Loaded {
    pub(crate) records: Vec<Record>,
    pub(crate) redo: Option<Redo>,
    pub(crate) warnings: Vec<String>,
    /// Whether a redo record was found that no longer applies.
    pub(crate) ignored: bool,
    /// The metadata file itself, or its hash.
    on_disk: Result<Vec<u8>, [u8; 32]>,
    files: (File, Option<File>),
    generation: Generation,
}

impl Loaded {
    pub(crate) fn read(dir: &Dir, limits: &Limits) -> Result<Loaded> {
        let record = dir.read(redo::FILE, "the size of the redo record", limits.max_redo_bytes)?;
        let path = dir.join(metadata::FILE);
        let metadata =
            dir.read(metadata::FILE, "the size of the metadata", limits.max_metadata_bytes)?;
        let Some((file, mut bytes)) = metadata else {
            return Err(Error::NotAStore {
                path: dir.path().to_owned(),
                problem: "it holds no metadata.npkm",
            });
        };
        let id = |f: &File| FileId::of(f).map_err(Error::io("inspect", &path));
        let generation = Generation {
            metadata: Some(id(&file)?),
            redo: record.as_ref().map(|(f, _)| id(f)).transpose()?,
        };
        let (mut redo, mut redo_file, mut warnings, mut ignored) = (None, None, Vec::new(), false);
        let mut hash = None;
        if let Some((f, record)) = record {
            redo_file = Some(f);
            let r = Redo::parse(&record, &dir.join(redo::FILE))?;
            let on_disk = sha256(&bytes);
            hash = Some(on_disk);
            if r.old == on_disk || r.metadata == bytes {
                bytes.clone_from(&r.metadata);
                redo = Some(r);
            } else {
                ignored = true;
                warnings.push(format!("{} is ignored: another program has rewritten {} since; the next writer discards it", dir.join(redo::FILE).display(), metadata::FILE));
            }
        }
        let records = metadata::parse(&bytes, &path, limits)?;
        if let Some(redo) = &redo {
            redo.check_targets(&records, &dir.join(redo::FILE))?;
        }
        Ok(Loaded {
            records,
            redo,
            warnings,
            ignored,
            on_disk: hash.map_or(Ok(bytes), Err),
            files: (file, redo_file),
            generation,
        })
    }

    /// The hash of the metadata file itself.
    pub(crate) fn on_disk(&self) -> [u8; 32] {
        self.on_disk.as_ref().map_or_else(|hash| *hash, |bytes| sha256(bytes))
    }

    fn into_store(self, path: &Path, dir: Dir, limits: &Limits) -> Result<Store> {
        let mut warnings = self.warnings;
        let mut records = self.records;
        let side_record = take_side(&mut records, &dir)?;
        let index = index(&records, &dir)?;
        let overlay = Overlay::new(self.redo.as_ref());
        let bitmaps = overlay.bitmaps(&dir, &records, limits)?;
        let mut infos = Vec::with_capacity(records.len());
        let mut data_files = Vec::with_capacity(records.len());
        for (i, r) in records.into_iter().enumerate() {
            let stored_rows = r.shape.first().copied().unwrap_or(1);
            let mut shape = r.shape;
            if let (Some(rows), Some(bitmap)) = (shape.first_mut(), bitmaps.get(&i)) {
                *rows = bitmap.live();
            }
            infos.push(ArrayInfo {
                name: r.name,
                dtype: r.dtype,
                shape,
                stored_rows,
                modified_micros: r.modified_micros,
                note: None,
            });
            data_files.push(r.data_file);
        }
        let (mut side, mut side_error) = (None, None);
        if let Some(record) = side_record {
            match read_side(&dir, &overlay.staged, &record, limits) {
                Ok(info) => side = Some(info),
                // It may be sound, and must not pass for damaged.
                Err(e @ (Error::Io { .. } | Error::Changed { .. })) => return Err(e),
                Err(e) => {
                    warnings.push(format!("the side information is left out: {e}"));
                    side_error = Some(e);
                }
            }
        }
        let disk =
            OnDisk { dir, _files: self.files, generation: self.generation, staged: overlay.staged };
        let mut store = Store {
            path: path.to_owned(),
            limits: limits.clone(),
            disk: Some(disk),
            infos,
            data_files,
            index,
            bitmaps,
            side,
            side_error,
            fits: Vec::new(),
            warnings,
        };
        store.judge_notes();
        Ok(store)
    }
}

impl Store {
    /// Gives each array the note on it, and says which notes no longer fit.
    fn judge_notes(&mut self) {
        let Some(side) = &self.side else { return };
        for note in &side.arrays {
            if note.dropped {
                self.fits.push(false);
                continue;
            }
            let at = self.index.find(&note.name, |i| &self.infos[i].name);
            let problem = match at {
                None => Some("the array is gone".to_owned()),
                Some(i) => {
                    let info = &self.infos[i];
                    let mut shape = info.shape.clone();
                    if let Some(rows) = shape.first_mut() {
                        *rows = info.stored_rows;
                    }
                    side_codec::misfit(note, info.dtype, &shape)
                }
            };
            self.fits.push(problem.is_none());
            match (problem, at) {
                (None, Some(i)) => self.infos[i].note = Some(note.clone()),
                (problem, _) => self.warnings.push(format!(
                    "the note on array {:?} no longer fits and is left out: {}",
                    note.name,
                    problem.unwrap_or_default()
                )),
            }
        }
    }
}

/// Takes the record of the side information out of the list.
pub(crate) fn take_side(records: &mut Vec<Record>, dir: &Dir) -> Result<Option<Record>> {
    let mut side = None;
    let mut twice = false;
    records.retain_mut(|r| {
        let is_side = r.name == side::ARRAY_NAME;
        if is_side {
            twice |= side.replace(r.clone()).is_some();
        }
        !is_side
    });
    if twice { Err(twin(dir, side::ARRAY_NAME)) } else { Ok(side) }
}

pub(crate) fn index(records: &[Record], dir: &Dir) -> Result<NameIndex> {
    NameIndex::build(records.len(), |i| &records[i].name).map_err(|i| twin(dir, &records[i].name))
}

fn twin(dir: &Dir, name: &str) -> Error {
    format(&dir.join(metadata::FILE), None, "two records have this name").in_array(name)
}

/// Reads the side information.
pub(crate) fn read_side(
    dir: &Dir,
    staged: &HashMap<String, String>,
    record: &Record,
    limits: &Limits,
) -> Result<SideInfo> {
    let file = dir.join(&record.data_file);
    if record.dtype != DType::U8 || record.shape.len() != 1 {
        return Err(format(
            &file,
            None,
            format!(
                "expected side information as a 1-D uint8 array, found {:?} of {}",
                record.shape, record.dtype
            ),
        ));
    }
    if record.size_bytes > limits.max_side_bytes {
        return Err(Error::Limit {
            file,
            array: None,
            what: "the size of the side information",
            value: record.size_bytes,
            limit: limits.max_side_bytes,
        });
    }
    let parts = open_parts(dir, staged, &record.data_file, record.dtype, &record.shape, limits)?;
    let info = ArrayInfo {
        name: record.name.clone(),
        dtype: record.dtype,
        shape: record.shape.clone(),
        stored_rows: record.size_bytes,
        modified_micros: 0,
        note: None,
    };
    let mut bytes = vec![0; record.size_bytes as usize];
    Array::new(info, parts, None).read_into(&mut bytes)?;
    side_codec::decode(&bytes, &file)
}
