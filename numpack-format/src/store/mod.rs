//! Opening a store for reading; [`notes`] has what the side information says of it.

mod notes;

use crate::array::{Array, ArrayInfo, Part, Watch};
use crate::bitmap::Bitmap;
use crate::disk::{Dir, FileId};
use crate::dtype::{DType, row_size};
use crate::error::{Error, Result, format};
use crate::folder::{self, Folder, Generation};
use crate::limits::Limits;
use crate::loaded::Loaded;
use crate::metadata::{self, Metadata, RecordRef};
use crate::names::{self, NameIndex};
use crate::overlay::Overlay;
use crate::patches::Patches;
use crate::side::{self, SideInfo};
use crate::spare::Held;
use crate::{redo, row_log, segments};
use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

pub(crate) use notes::read_side;

/// How often a reader starts again because a writer committed meanwhile.
pub(crate) const MAX_TRIES: u32 = 1000;
/// Up to so many arrays, each bitmap is looked for by itself; beyond, the folder is listed.
const FEW: usize = 4;

/// A store, open for reading: one state of it, whole.
///
/// Opening reads the names, types and stored shapes. What else an array has (its length on the
/// disk, the bitmap of dropped rows) is read and checked when the array is first asked for.
///
/// Reading takes no lock and writes nothing, so it works on a read-only medium and beside a
/// writer. It may be used from several threads.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("m.npk");
/// # use numpack_format::{DType, Store, View, Writer};
/// # let mut w = Writer::create(&path)?;
/// # w.save("a", &View::new(DType::F32, &[2], &[0; 8]))?;
/// # w.commit()?;
/// let store = Store::open(&path)?;
/// for info in store.arrays()? {
///     let mut bytes = vec![0; info.nbytes() as usize];
///     store.array(&info.name)?.read_into(&mut bytes)?;
/// }
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Store {
    path: PathBuf,
    /// The same from the root, whatever folder the process is in later.
    place: PathBuf,
    limits: Limits,
    /// Absent for a store that is not there yet.
    folder: Option<Arc<Folder>>,
    pub(crate) metadata: Metadata,
    pub(crate) index: NameIndex,
    overlay: Overlay,
    /// Bitmaps that have been looked for, by the position of the array's record.
    bitmaps: Mutex<HashMap<usize, Seen>>,
    infos: OnceLock<Vec<ArrayInfo>>,
    side: Option<SideInfo>,
    /// Why there is no side information, although there is an array of that name.
    side_error: Option<Error>,
    fits: Vec<bool>,
    /// Notes that fit, by the position of the record.
    notes: HashMap<usize, usize>,
    warnings: Vec<String>,
}

/// How often rows had been replaced in place, and new ones that were found to wait after that.
type Replaced = (u64, Option<Arc<Patches>>);

/// A bitmap, and which file it was read from. The public package changes bitmaps and nothing else.
#[derive(Debug)]
struct Seen {
    file: Option<FileId>,
    bitmap: Option<Arc<Bitmap>>,
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
        Store::open_and(path.as_ref(), limits, |_| Ok(()))
    }

    /// The same, and reads the bitmaps of all arrays at once: [`arrays`](Store::arrays) then
    /// succeeds whatever becomes of the store.
    pub fn open_listed(path: impl AsRef<Path>) -> Result<Store> {
        Store::open_listed_with(path.as_ref(), &Limits::default())
    }

    pub(crate) fn open_listed_with(path: &Path, limits: &Limits) -> Result<Store> {
        Store::open_and(path, limits, Store::set_list)
    }

    /// The same, and how often rows had been replaced in place before.
    pub(crate) fn open_counted(path: &Path, limits: &Limits) -> Result<(Store, u64)> {
        let store = Store::open_listed_with(path, limits)?;
        let count = store.folder().map_or(0, |folder| folder.count);
        Ok((store, count))
    }

    fn open_and(
        path: &Path,
        limits: &Limits,
        then: impl Fn(&Store) -> Result<()>,
    ) -> Result<Store> {
        for attempt in 0..MAX_TRIES {
            let dir = folder::open(path)?;
            // What was there before is asked for by an error alone, and the first is not believed.
            let before = if attempt == 0 { None } else { Held::of(&dir)? };
            let loaded = Loaded::read(&dir, limits).and_then(|l| Store::new(l, path, dir, limits));
            match loaded.and_then(|store| then(&store).map(|()| store)) {
                Ok(store) => {
                    if store.is_current()? {
                        return Ok(store);
                    }
                }
                Err(Error::Changed { .. }) => {}
                // It may be wrong only because it changed while it was read.
                Err(e) => {
                    let dir = folder::open(path)?;
                    if let Some(before) = before
                        && before.is_of(&dir)?
                        && dir.is_here(path)?
                    {
                        return Err(e);
                    }
                }
            }
            pause(attempt);
        }
        Err(Error::Changed { file: path.to_owned() })
    }

    fn new(loaded: Loaded, path: &Path, dir: Dir, limits: &Limits) -> Result<Store> {
        let (metadata, overlay, folder, warnings) = loaded.split(dir);
        let names = |i: usize| metadata.name(i);
        let index = NameIndex::build(metadata.len(), names).map_err(|i| {
            let file = folder.dir.join(metadata::FILE);
            format(&file, None, "two records have this name").in_array(names(i))
        })?;
        let mut store = Store {
            path: path.to_owned(),
            place: std::path::absolute(path).map_err(Error::io("resolve", path))?,
            limits: limits.clone(),
            metadata: metadata.clone(),
            index,
            overlay,
            folder: Some(Arc::new(folder)),
            warnings,
            ..Store::absent(path)
        };
        store.read_side()?;
        Ok(store)
    }

    /// A store without arrays that is not on disk.
    pub(crate) fn absent(path: &Path) -> Store {
        Store {
            path: path.to_owned(),
            place: path.to_owned(),
            limits: Limits::default(),
            folder: None,
            metadata: Metadata::default(),
            index: NameIndex::default(),
            overlay: Overlay::default(),
            bitmaps: Mutex::default(),
            infos: OnceLock::new(),
            side: None,
            side_error: None,
            fits: Vec::new(),
            notes: HashMap::new(),
            warnings: Vec::new(),
        }
    }

    /// The path it was opened by.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How many arrays there are, without the one that holds the side information.
    pub fn len(&self) -> usize {
        self.metadata.len() - usize::from(self.position(side::ARRAY_NAME).is_some())
    }

    /// Whether there are no arrays.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The names of the arrays in the order of their records, without the one that holds the side
    /// information.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.metadata.iter().map(|r| r.name).filter(|n| *n != side::ARRAY_NAME)
    }

    /// Whether there is an array of this name.
    pub fn contains(&self, name: &str) -> bool {
        self.find(name).is_some()
    }

    /// The arrays in the order of their records, without the one that holds the side information.
    ///
    /// The first call reads the bitmaps of all arrays. If the store was changed since it was
    /// opened, this is [`Error::Changed`].
    pub fn arrays(&self) -> Result<&[ArrayInfo]> {
        if let Some(infos) = self.infos.get() {
            return Ok(infos);
        }
        let infos = self.list();
        if !self.is_current()? {
            return Err(Error::Changed { file: self.path.clone() });
        }
        let infos = infos?;
        Ok(self.infos.get_or_init(|| infos))
    }

    fn set_list(&self) -> Result<()> {
        let infos = self.list()?;
        self.infos.get_or_init(|| infos);
        Ok(())
    }

    fn list(&self) -> Result<Vec<ArrayInfo>> {
        let files = match &self.folder {
            Some(folder) if self.metadata.len() > FEW => {
                Some(self.overlay.bitmap_files(&folder.dir)?)
            }
            _ => None,
        };
        let mut infos = Vec::with_capacity(self.metadata.len());
        for (i, r) in self.metadata.iter().enumerate() {
            if r.name == side::ARRAY_NAME {
                continue;
            }
            let none = files.as_ref().is_some_and(|files| {
                files.is_empty() || names::bitmap_file(r.name).is_none_or(|f| !files.contains(&f))
            });
            let bitmap = if none { None } else { self.bitmap(i)? };
            infos.push(self.info_of(i, &r, bitmap.as_deref()));
        }
        Ok(infos)
    }

    /// What the store says of one array, `None` if there is none of this name. Like
    /// [`arrays`](Store::arrays) this reads all bitmaps first; [`array`](Store::array) does not.
    pub fn info(&self, name: &str) -> Result<Option<&ArrayInfo>> {
        let Some(i) = self.find(name) else { return Ok(None) };
        let infos = self.arrays()?;
        // One record may be missing from the list: that of the side information.
        Ok(infos[i.saturating_sub(1)..].iter().take(2).find(|info| info.name == name))
    }

    fn info_of(&self, i: usize, r: &RecordRef<'_>, bitmap: Option<&Bitmap>) -> ArrayInfo {
        let mut shape = r.shape();
        if let (Some(rows), Some(bitmap)) = (shape.first_mut(), bitmap) {
            *rows = bitmap.live();
        }
        let note = self.notes.get(&i).and_then(|&n| self.side.as_ref()?.arrays.get(n).cloned());
        ArrayInfo {
            name: r.name.to_owned(),
            dtype: r.dtype,
            shape,
            stored_rows: r.rows(),
            modified_micros: r.modified_micros,
            note,
        }
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

    /// The note on an array, if it fits.
    pub(crate) fn note(&self, name: &str) -> Option<&side::ArrayNote> {
        self.note_at(self.find(name)?)
    }

    /// The note on the array of a record, if it fits.
    pub(crate) fn note_at(&self, i: usize) -> Option<&side::ArrayNote> {
        let side = self.side.as_ref()?;
        side.arrays.get(*self.notes.get(&i)?)
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
        let Some(folder) = &self.folder else { return Err(missing()) };
        let opened = self.replaced(folder).and_then(|rows| self.open_array(folder, i, rows));
        if folder.is_current()? {
            return opened;
        }
        for _ in 0..MAX_TRIES {
            let now = Store::open_with(&self.place, &self.limits)?;
            let changed = || Error::Changed { file: self.path.clone() };
            let j = now.find(name).ok_or_else(changed)?;
            let same = now.same_array(j, self, i)?;
            let Some(folder) = now.folder.as_ref().filter(|_| same) else { return Err(changed()) };
            let opened = now.replaced(folder).and_then(|rows| now.open_array(folder, j, rows));
            if folder.is_current()? {
                return opened;
            }
        }
        Err(Error::Changed { file: self.path.clone() })
    }

    /// Whether array `j` is what array `i` of another state is, as far as that has been read.
    fn same_array(&self, j: usize, other: &Store, i: usize) -> Result<bool> {
        if !self.metadata.get(j).same_as(&other.metadata.get(i)) {
            return Ok(false);
        }
        let bitmaps = other.bitmaps.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(seen) = bitmaps.get(&i).map(|seen| seen.bitmap.clone()) else { return Ok(true) };
        drop(bitmaps);
        Ok(self.bitmap(j)? == seen)
    }

    /// Opens several arrays, for less than opening them one by one: whether the store was changed
    /// meanwhile is asked once for all of them. Each has a file open.
    pub fn arrays_by_name(&self, names: &[&str]) -> Result<Vec<Array>> {
        let all_at_once = || -> Result<Option<Vec<Array>>> {
            let Some(folder) = &self.folder else { return Ok(None) };
            let rows = self.replaced(folder)?;
            let mut opened = Vec::with_capacity(names.len());
            for name in names {
                let Some(i) = self.find(name) else { return Ok(None) };
                opened.push(self.open_array(folder, i, rows.clone())?);
            }
            Ok(folder.is_current()?.then_some(opened))
        };
        // An array that fails or is not there is told of by the way that asks again.
        match all_at_once() {
            Ok(Some(arrays)) => Ok(arrays),
            _ => names.iter().map(|name| self.array(name)).collect(),
        }
    }

    fn find(&self, name: &str) -> Option<usize> {
        self.position(name).filter(|_| name != side::ARRAY_NAME)
    }

    /// The position of an array's record, also of the one that holds the side information.
    pub(crate) fn position(&self, name: &str) -> Option<usize> {
        self.index.find(name, |i| self.metadata.name(i))
    }

    /// The bitmap of array `i`, as it was last read; of a store that is locked, it is as it was.
    pub(crate) fn bitmap_known(&self, i: usize) -> Result<Option<Arc<Bitmap>>> {
        let known = self.bitmaps.lock().unwrap_or_else(PoisonError::into_inner);
        match known.get(&i).map(|known| known.bitmap.clone()) {
            Some(bitmap) => Ok(bitmap),
            None => {
                drop(known);
                self.bitmap(i)
            }
        }
    }

    pub(crate) fn forget_bitmaps(&mut self) {
        self.bitmaps.get_mut().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// The bitmap of array `i`. The caller sees to it that the store is the one that was opened.
    pub(crate) fn bitmap(&self, i: usize) -> Result<Option<Arc<Bitmap>>> {
        let Some(folder) = &self.folder else { return Ok(None) };
        let record = self.metadata.get(i);
        let Some(name) = names::bitmap_file(record.name) else { return Ok(None) };
        let inspect = || Error::io("inspect", folder.dir.join(&name));
        let mut bitmaps = self.bitmaps.lock().unwrap_or_else(PoisonError::into_inner);
        let file = folder.dir.id(&name).map_err(inspect())?;
        if let Some(known) = bitmaps.get(&i).filter(|known| known.file == file) {
            return Ok(known.bitmap.clone());
        }
        let read = match file {
            // Most arrays have none.
            None if !self.overlay.writes(&name) => Ok(None),
            _ => self.overlay.bitmap(&folder.dir, &record, &self.limits),
        };
        let bitmap = read.map_err(|e| e.in_array(record.name))?.map(Arc::new);
        // If it is another file by now, the next look-up reads it again.
        bitmaps.insert(i, Seen { file, bitmap: bitmap.clone() });
        Ok(bitmap)
    }

    /// The same store, after arrays without dropped rows have grown.
    /// `file` is that of its metadata now.
    pub(crate) fn grown(&mut self, metadata: Metadata, dir: &Dir, file: File) -> Result<()> {
        let id = FileId::of(&file).map_err(Error::io("inspect", dir.join(metadata::FILE)))?;
        let generation = Generation { metadata: Some(id), redo: None };
        let counted = folder::counted(dir)?;
        let folder = Folder::new(dir.clone(), (file, None), generation, counted);
        self.folder = Some(Arc::new(folder));
        self.metadata = metadata;
        self.infos = OnceLock::new();
        Ok(())
    }

    pub(crate) fn folder(&self) -> Option<&Arc<Folder>> {
        self.folder.as_ref()
    }

    /// Whether the path still leads to the store, in the state that was opened.
    pub(crate) fn is_latest(&self) -> Result<bool> {
        match &self.folder {
            Some(folder) => Ok(folder.dir.leads_from(&self.place)? && folder.is_current()?),
            None => Ok(false),
        }
    }

    fn is_current(&self) -> Result<bool> {
        self.folder.as_ref().map_or(Ok(true), |folder| folder.is_current())
    }

    /// How often rows have been replaced in place by now, and those that wait, if the store is still
    /// the one that was opened: they come and go without another trace.
    fn replaced(&self, folder: &Folder) -> Result<Replaced> {
        let count = folder.replacements()?;
        let as_read = count == folder.count && !self.overlay.passing;
        if as_read || folder.generation.redo.is_some() {
            return Ok((count, self.overlay.rows.clone()));
        }
        let waiting = row_log::read(&folder.dir, &self.limits)?;
        let ours = waiting.filter(|w| w.redo.old == redo::sha256(self.metadata.bytes()));
        let patches = ours.map(|w| {
            let path = folder.dir.join(row_log::FILE);
            Arc::new(Patches { source: w.record, path, of: w.redo.rows })
        });
        Ok((count, patches))
    }

    /// Opens array `i` with dropped rows and all. `count` is how often rows had been replaced in
    /// place when the store was opened.
    pub(crate) fn stored_array(&self, i: usize, count: u64) -> Result<Array> {
        match &self.folder {
            Some(folder) => {
                self.open_with_bitmap(folder, i, (count, self.overlay.rows.clone()), None)
            }
            None => Err(Error::Changed { file: self.path.clone() }),
        }
    }

    fn open_array(&self, folder: &Arc<Folder>, i: usize, rows: Replaced) -> Result<Array> {
        let bitmap = self.bitmap(i)?;
        self.open_with_bitmap(folder, i, rows, bitmap)
    }

    fn open_with_bitmap(
        &self,
        folder: &Arc<Folder>,
        i: usize,
        (count, patches): Replaced,
        bitmap: Option<Arc<Bitmap>>,
    ) -> Result<Array> {
        let r = self.metadata.get(i);
        let parts = open_parts(
            &folder.dir,
            &self.overlay.staged,
            r.data_file,
            r.dtype,
            &r.shape(),
            &self.limits,
        )
        .map_err(|e| e.in_array(r.name))?;
        let info = self.info_of(i, &r, bitmap.as_deref());
        let watch = Watch::new(folder.clone(), r.data_file, &self.limits, count, patches);
        // Rows of segments are never replaced in place.
        let watch = (!r.data_file.ends_with(segments::SUFFIX)).then_some(watch);
        Ok(Array::new(info, parts, bitmap, watch))
    }
}

/// Waits a little before the next try.
pub(crate) fn pause(attempt: u32) {
    std::thread::sleep(Duration::from_micros(u64::from(attempt.min(50)) * 20));
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
    let row = row_size(dtype, shape.iter().copied()).unwrap_or(0);
    let rows = shape.first().copied().unwrap_or(1);
    if !data_file.ends_with(segments::SUFFIX) {
        return Ok(vec![open_part(dir, staged.get(data_file), data_file, 0, row * rows)?]);
    }
    let what = "the size of a segment list";
    let Some(list) = dir.read(data_file, what, limits.max_segment_list_bytes)? else {
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
    Ok(Part { file: Arc::new(file), path, start, len })
}
