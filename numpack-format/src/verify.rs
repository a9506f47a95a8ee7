//! Finding everything that is wrong with a store.

use crate::bitmap::Bitmap;
use crate::disk::{Dir, Kind};
use crate::error::{Error, Result};
use crate::folder;
use crate::limits::Limits;
use crate::loaded::Loaded;
use crate::metadata::{self, Metadata, RecordRef};
use crate::overlay::Overlay;
use crate::spare::{self, Held};
use crate::store::{self, MAX_TRIES, Store, pause};
use crate::{lock, names, redo, row_log, segments, side, side_codec};
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::path::{Path, PathBuf};

/// What a fault is about.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum FaultKind {
    /// `metadata.npkm` cannot be read, so nothing else can be judged.
    Metadata,
    /// The record of a committed change cannot be read, or no longer applies.
    Redo,
    /// A data file, or a segment, is missing, too short or no regular file.
    Data,
    /// The bitmap of dropped rows cannot be read.
    Bitmap,
    /// Two arrays share a data file, so that changing one would damage the other.
    Shared,
    /// A data file, bitmap or segment list that no array uses.
    Orphan,
    /// The side information cannot be read, or a note in it no longer fits.
    Side,
    /// A notice: a writer died here. The next one finishes or clears what it left.
    Leftover,
    /// A notice: a data file has bytes past the array's end, which are ignored.
    Surplus,
    /// A notice: another program changed an array since the note on it was written, and the note
    /// still fits.
    Modified,
}

/// Something that [`Store::verify`] found.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Fault {
    /// What it is about.
    pub kind: FaultKind,
    /// The file.
    pub file: PathBuf,
    /// The array, where one is concerned.
    pub array: Option<String>,
    /// What is wrong, with the file and the array.
    pub message: String,
}

impl Fault {
    /// Whether it is only a notice: no data is wrong or lost.
    pub fn is_notice(&self) -> bool {
        matches!(self.kind, FaultKind::Leftover | FaultKind::Surplus | FaultKind::Modified)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

struct Check<'a> {
    dir: &'a Dir,
    limits: Limits,
    faults: Vec<Fault>,
}

impl Store {
    /// Everything that is wrong with the store at a path, and nothing is written. An empty list
    /// means: sound.
    ///
    /// An error means that the path holds no store, or could not be looked at. If the store is
    /// changed meanwhile, this starts again, and after many times is [`Error::Changed`].
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let dir = tempfile::tempdir()?;
    /// # let path = dir.path().join("m.npk");
    /// # use numpack_format::{Store, Writer};
    /// Writer::create(&path)?.commit()?;
    /// assert_eq!(Store::verify(&path)?, []);
    /// # Ok(()) }
    /// ```
    pub fn verify(path: impl AsRef<Path>) -> Result<Vec<Fault>> {
        let path = path.as_ref();
        for attempt in 0..MAX_TRIES {
            let dir = folder::open(path)?;
            if let Some(before) = Held::of(&dir)? {
                let faults = Check::all(&dir);
                let changed = matches!(faults, Err(Error::Changed { .. }));
                if !changed && before.is_of(&dir)? && dir.is_here(path)? {
                    return faults;
                }
            }
            pause(attempt);
        }
        Err(Error::Changed { file: path.to_owned() })
    }
}

impl Check<'_> {
    /// Everything that is wrong in a folder, if nobody changes it.
    fn all(dir: &Dir) -> Result<Vec<Fault>> {
        let mut check = Check { dir, limits: Limits::default(), faults: Vec::new() };
        match Loaded::read(dir, &check.limits) {
            Ok(loaded) => check.loaded(loaded)?,
            Err(e @ (Error::Io { .. } | Error::NotAStore { .. } | Error::Changed { .. })) => {
                return Err(e);
            }
            Err(e) => {
                let about = |name: &str| matches!(&e, Error::Format { file, .. } | Error::Unsupported { file, .. } | Error::Limit { file, .. } if file.ends_with(name));
                let record = [redo::FILE, row_log::FILE].into_iter().find(|name| about(name));
                let (kind, file) = match record {
                    Some(record) => (FaultKind::Redo, record),
                    None => (FaultKind::Metadata, metadata::FILE),
                };
                check.add(kind, file, None, e.to_string());
            }
        }
        Ok(check.faults)
    }

    fn add(&mut self, kind: FaultKind, file: &str, array: Option<&str>, message: String) {
        self.faults.push(Fault {
            kind,
            file: self.dir.join(file),
            array: array.map(str::to_owned),
            message,
        });
    }

    /// Adds a fault in the usual words.
    fn say(&mut self, kind: FaultKind, file: &str, array: Option<&str>, problem: &str) {
        let place = self.dir.join(file);
        let message = match array {
            Some(a) => format!("{}: array {a:?}: {problem}", place.display()),
            None => format!("{}: {problem}", place.display()),
        };
        self.add(kind, file, array, message);
    }

    fn loaded(&mut self, mut loaded: Loaded) -> Result<()> {
        let ignored = if loaded.ignored { redo::FILE } else { row_log::FILE };
        for warning in std::mem::take(&mut loaded.warnings) {
            self.add(FaultKind::Redo, ignored, None, warning);
        }
        if let Some((_, _, record)) = &loaded.redo {
            self.say(
                FaultKind::Leftover,
                record,
                None,
                "a committed change has not been applied yet; the next writer does it",
            );
        }
        let overlay = match loaded.redo.take() {
            Some((redo, source, record)) => Overlay::new(self.dir, redo, source, record),
            None => Overlay::default(),
        };
        let mut used: HashMap<String, String> = HashMap::new();
        let mut bitmaps = HashSet::new();
        let mut names_seen = HashSet::new();
        for r in loaded.metadata.iter() {
            if !names_seen.insert(r.name) {
                self.say(
                    FaultKind::Metadata,
                    metadata::FILE,
                    Some(r.name),
                    "two records have this name",
                );
            }
            for file in self.array(&r, &overlay) {
                if let Some(other) = used.insert(file.clone(), r.name.to_owned()) {
                    self.say(
                        FaultKind::Shared,
                        &file,
                        Some(r.name),
                        &format!("array {other:?} has the same file; save one of them again"),
                    );
                }
            }
            bitmaps.extend(names::bitmap_file(r.name));
        }
        self.side(&loaded.metadata, &overlay)?;
        self.entries(&used, &bitmaps, &overlay)
    }

    /// Checks one array, and gives the files it uses.
    fn array(&mut self, r: &RecordRef<'_>, overlay: &Overlay) -> Vec<String> {
        let name = Some(r.name);
        let mut used = vec![r.data_file.to_owned()];
        if r.data_file.ends_with(segments::SUFFIX)
            && let Ok(Some(bytes)) = self.dir.read(
                r.data_file,
                "the size of a segment list",
                self.limits.max_segment_list_bytes,
            )
            && let Ok(list) = segments::parse_unchecked(&bytes, &self.dir.join(r.data_file))
        {
            used.extend(list.into_iter().map(|s| s.file));
        }
        match store::open_parts(
            self.dir,
            &overlay.staged,
            r.data_file,
            r.dtype,
            &r.shape(),
            &self.limits,
        ) {
            Ok(parts) => {
                for p in parts {
                    let surplus = p.file.metadata().map_or(0, |m| m.len().saturating_sub(p.len));
                    if surplus > 0 {
                        let problem = format!(
                            "{surplus} bytes follow the array's {}; they are ignored",
                            p.len
                        );
                        self.say(FaultKind::Surplus, r.data_file, name, &problem);
                    }
                }
            }
            Err(e) => {
                self.add(FaultKind::Data, r.data_file, name, e.in_array(r.name).to_string());
            }
        }
        match overlay.bitmap(self.dir, r, &self.limits) {
            Ok(None) => {}
            Ok(Some(bitmap)) => self.bitmap(r, &bitmap),
            Err(e) => self.add(
                FaultKind::Bitmap,
                &names::bitmap_file(r.name).unwrap_or_default(),
                name,
                e.in_array(r.name).to_string(),
            ),
        }
        used
    }

    fn bitmap(&mut self, r: &RecordRef<'_>, bitmap: &Bitmap) {
        if r.name == side::ARRAY_NAME && bitmap.live() != r.rows() {
            self.say(
                FaultKind::Side,
                r.data_file,
                Some(r.name),
                "another program has dropped rows of it; they are read all the same",
            );
        }
    }

    fn side(&mut self, metadata: &Metadata, overlay: &Overlay) -> Result<()> {
        let Some(record) = metadata.iter().find(|r| r.name == side::ARRAY_NAME) else {
            return Ok(());
        };
        let name = Some(side::ARRAY_NAME);
        let side = match store::read_side(self.dir, &overlay.staged, &record, &self.limits) {
            Ok(side) => side,
            Err(e @ (Error::Io { .. } | Error::Changed { .. })) => return Err(e),
            Err(e) => {
                self.add(FaultKind::Side, record.data_file, name, e.to_string());
                return Ok(());
            }
        };
        let by_name: HashMap<&str, RecordRef<'_>> = metadata.iter().map(|r| (r.name, r)).collect();
        for note in side.arrays.iter().filter(|n| !n.dropped) {
            let r = by_name.get(&note.name[..]);
            let (kind, problem) = match r.map(|r| side_codec::misfit(note, r.dtype, &r.shape())) {
                None => {
                    (FaultKind::Side, "the note on it no longer fits: the array is gone".to_owned())
                }
                Some(Some(p)) => (FaultKind::Side, format!("the note on it no longer fits: {p}")),
                Some(None)
                    if note.modified.is_some_and(|m| r.is_some_and(|r| r.modified_micros != m)) =>
                {
                    (
                        FaultKind::Modified,
                        "changed by another program since the side information was written"
                            .to_owned(),
                    )
                }
                Some(None) => continue,
            };
            self.say(kind, record.data_file, Some(&note.name), &problem);
        }
        Ok(())
    }

    /// Looks for files that nothing uses.
    fn entries(
        &mut self,
        used: &HashMap<String, String>,
        bitmaps: &HashSet<String>,
        overlay: &Overlay,
    ) -> Result<()> {
        let mut entries: Vec<(String, Kind)> =
            self.dir.entries()?.into_iter().filter_map(|(n, k)| Some((n?, k))).collect();
        entries.sort_by(|a, b| a.0.cmp(&b.0));
        for (name, kind) in entries {
            match kind {
                Kind::File
                    if used.contains_key(&name)
                        || bitmaps.contains(&name)
                        || overlay.leaving.contains(&name[..]) => {}
                Kind::File
                    if [metadata::FILE, lock::FILE, redo::FILE, row_log::FILE]
                        .contains(&&name[..]) => {}
                Kind::File if self.may_be_kept(&name)? => {}
                Kind::File if name.starts_with(names::OWN_PREFIX) => self.leftover(&name),
                Kind::File if name.ends_with(".npkd") || name.ends_with(segments::SUFFIX) => {
                    self.orphan(&name);
                }
                Kind::File if name.ends_with(".npkb") => {
                    self.say(FaultKind::Orphan, &name, None, "no array has this bitmap; an array of that name would lose rows in other programs");
                }
                Kind::Folder if name == redo::STAGE => {
                    let staged: HashSet<&String> = overlay.staged.values().collect();
                    let inner =
                        self.dir.open_dir(&name)?.map_or(Ok(Vec::new()), |d| d.entries())?;
                    if inner.iter().any(|(n, _)| n.as_ref().is_none_or(|n| !staged.contains(n))) {
                        self.leftover(&name);
                    }
                }
                Kind::Folder if names::is_segment_folder(&name) => {
                    let inner =
                        self.dir.open_dir(&name)?.map_or(Ok(Vec::new()), |d| d.entries())?;
                    for file in
                        inner.into_iter().filter_map(|(n, _)| n).map(|n| format!("{name}/{n}"))
                    {
                        if !used.contains_key(&file) && !overlay.leaving.contains(&file[..]) {
                            self.orphan(&file);
                        }
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Whether this is what a handle keeps for its next change, as far as can be told.
    fn may_be_kept(&self, name: &str) -> Result<bool> {
        let len = |name: &str| {
            let id = self.dir.id(name).map_err(Error::io("inspect", self.dir.join(name)))?;
            Ok(id.map(|id| id.len()))
        };
        Ok(match name {
            redo::TEMPORARY => len(name)?.is_none_or(|len| len <= spare::MAX),
            // Only metadata of as many bytes are made of it.
            redo::METADATA_TEMPORARY => {
                let whole = len(metadata::FILE)?;
                len(name)?.is_none_or(|len| Some(len) == whole)
            }
            _ => false,
        })
    }

    fn orphan(&mut self, file: &str) {
        self.say(
            FaultKind::Orphan,
            file,
            None,
            "no array uses this file; adopt it, if its type and shape are known, or delete it",
        );
    }

    fn leftover(&mut self, file: &str) {
        self.say(
            FaultKind::Leftover,
            file,
            None,
            "a writer died before its commit and left this; the next writer clears it",
        );
    }
}
