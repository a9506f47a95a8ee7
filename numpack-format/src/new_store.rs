//! A new store: built beside its place, and put there at once.

use crate::commit::{self, AtHand};
use crate::disk::{self, Dir, Kind};
use crate::error::{Error, Result};
use crate::limits::Limits;
use crate::lock::{self, StoreLock};
use crate::metadata::{self, Metadata, Record};
use crate::redo::{self, RecordWriter, Redo, Rename};
use crate::writer::WriterOptions;
use crate::{names, segments};
use rustix::io::Errno;
use std::collections::HashMap;
use std::ffi::OsString;
use std::hash::{BuildHasher, Hasher};
use std::io;
use std::path::{Path, PathBuf};

/// A folder that is made to see what access a folder gets, and removed.
pub(crate) const PROBE: &str = "libnumpack.probe";

/// What stands at the place of a new store.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Place {
    Nothing,
    EmptyFolder,
    Store,
    Other(&'static str),
}

/// A new store that nobody sees yet.
#[derive(Debug)]
pub(crate) struct NewStore {
    pub(crate) dir: Dir,
    parent: Dir,
    sibling: String,
    target: PathBuf,
    name: OsString,
    /// Shows others that the folder is in use.
    _lock: StoreLock,
}

impl NewStore {
    /// Makes an empty folder beside the target, for nobody else to see. Files in it get the access
    /// that those of the store it is to replace have.
    pub(crate) fn begin(target: &Path) -> Result<NewStore> {
        let (parent, name) = split(target)?;
        let prefix = sibling_prefix(&name);
        let like = match Dir::open(target) {
            Ok(old) => old.access_of(metadata::FILE)?,
            Err(_) => None,
        };
        loop {
            let sibling = format!("{prefix}{}-{:016x}", std::process::id(), random());
            if !parent.make_dir(&sibling, 0o700)? {
                continue;
            }
            let Some(mut dir) = parent.open_dir(&sibling)? else { continue };
            dir.like = like;
            // Another writer that clears leftovers may have taken the folder for one, and have
            // removed it.
            let lock = match StoreLock::in_dir(&dir, false) {
                Ok(Some(lock)) => lock,
                Ok(None) => continue,
                Err(e) => {
                    if lock::is_gone(&e) && !dir.is_here(dir.path())? {
                        continue;
                    }
                    return Err(e);
                }
            };
            if !lock.is_in(&dir)? {
                continue;
            }
            return Ok(NewStore {
                dir,
                parent,
                sibling,
                target: target.to_owned(),
                name,
                _lock: lock,
            });
        }
    }

    /// Gives the folder the access of the one it replaces, or what the process gives all folders;
    /// `false` if it has that.
    pub(crate) fn open_up(&self) -> Result<bool> {
        let wanted = match Dir::open(&self.target) {
            Ok(old) => old.access()?,
            Err(_) => {
                // The file mode mask cannot be asked for without setting it.
                self.dir.make_dir(PROBE, 0o777)?;
                let probe = self.dir.open_dir(PROBE)?.map(|d| d.access()).transpose()?;
                self.dir.remove_dir(PROBE)?;
                probe.ok_or_else(|| Error::Changed { file: self.dir.join(PROBE) })?
            }
        };
        if self.dir.access()? == wanted {
            return Ok(false);
        }
        self.dir.give_access(wanted)?;
        Ok(true)
    }

    /// The same, and makes it durable.
    fn open_up_for_good(&self) -> Result<()> {
        if self.open_up()? { self.dir.sync() } else { Ok(()) }
    }

    /// Puts the store where nothing, or an empty folder, is.
    pub(crate) fn publish(&self, published: &mut bool) -> Result<()> {
        self.open_up_for_good()?;
        match self.parent.try_rename(&self.sibling, &self.parent, &*self.name) {
            Ok(()) => *published = true,
            Err(e) => {
                let taken = matches!(
                    e.kind(),
                    io::ErrorKind::DirectoryNotEmpty
                        | io::ErrorKind::AlreadyExists
                        | io::ErrorKind::NotADirectory
                );
                return Err(if taken {
                    Error::Exists { path: self.target.clone() }
                } else {
                    Error::io("rename", self.parent.join(&self.sibling))(e)
                });
            }
        }
        self.parent.sync()
    }

    /// Puts the store in the place of whatever store is there, and removes that.
    pub(crate) fn publish_over(
        &self,
        records: &[&Record],
        metadata: &[u8],
        options: &WriterOptions,
        published: &mut bool,
    ) -> Result<Vec<String>> {
        loop {
            match place(&self.target)? {
                Place::Nothing | Place::EmptyFolder => match self.publish(published) {
                    Err(Error::Exists { .. }) => {}
                    done => return done.map(|()| Vec::new()),
                },
                Place::Other(problem) => {
                    return Err(Error::NotAStore { path: self.target.clone(), problem });
                }
                Place::Store => {
                    let (old, lock) = match StoreLock::acquire(&self.target, options.wait, None) {
                        // What is there now is looked at again.
                        Err(Error::NotAStore { .. }) => continue,
                        locked => locked?,
                    };
                    if place(&self.target)? != Place::Store {
                        continue;
                    }
                    self.open_up_for_good()?;
                    // Whoever has an array of the old store open is to see its last change whole.
                    match commit::recover(&old, &lock, &options.limits) {
                        // A damaged store has nothing that could be finished.
                        Ok(_)
                        | Err(
                            Error::Format { .. } | Error::Unsupported { .. } | Error::Limit { .. },
                        ) => {}
                        Err(e) => return Err(e),
                    }
                    let exchanged = self
                        .parent
                        .exchange(&self.sibling, &*self.name)
                        .map_err(Error::io("exchange", &self.target))?;
                    if !exchanged {
                        let limits = &options.limits;
                        return self.merge_into(old, &lock, records, metadata, limits, published);
                    }
                    *published = true;
                    self.parent.sync()?;
                    let mut left = clear_store(&old, &options.limits)?;
                    if left.is_empty() && !self.remove_folder(&old)? {
                        left.push("a file that has just been made".to_owned());
                    }
                    return Ok(self.say_left(&left));
                }
            }
        }
    }

    /// Removes the old store's folder, now that it is empty. A writer that waited for the old
    /// store may make a lock file in it before it notices.
    fn remove_folder(&self, old: &Dir) -> Result<bool> {
        for _ in 0..100 {
            if self.parent.remove_dir(&self.sibling)? {
                return Ok(true);
            }
            if old.entries()?.iter().any(|(name, _)| name.as_deref() != Some(lock::FILE)) {
                return Ok(false);
            }
            old.remove_file(lock::FILE)?;
        }
        Ok(true)
    }

    fn say_left(&self, left: &[String]) -> Vec<String> {
        if left.is_empty() {
            return Vec::new();
        }
        let place = self.parent.join(&self.sibling);
        vec![format!(
            "the old store held files that are none of a store ({}); they are in {} now",
            left.join(", "),
            place.display()
        )]
    }

    /// Where folders cannot be exchanged: the old store is changed into the new one.
    fn merge_into(
        &self,
        mut old: Dir,
        lock: &StoreLock,
        records: &[&Record],
        metadata: &[u8],
        limits: &Limits,
        published: &mut bool,
    ) -> Result<Vec<String>> {
        old.like = old.access_of(metadata::FILE)?;
        let prefix = format!("{}-{:016x}-", std::process::id(), random());
        let merged = self.try_merge((&old, lock), records, metadata, limits, &prefix, published);
        if merged.is_err() && !*published {
            // What cannot be removed now, the next writer removes. Other files may be those of a
            // change that was decided before and could not be finished.
            let _ = commit::clear_stage(&old, &prefix);
        }
        merged
    }

    fn try_merge(
        &self,
        (old, lock): (&Dir, &StoreLock),
        records: &[&Record],
        metadata: &[u8],
        limits: &Limits,
        prefix: &str,
        published: &mut bool,
    ) -> Result<Vec<String>> {
        // Whoever put the old store there may not have lived to sync that.
        self.parent.sync()?;
        match commit::recover(old, lock, limits) {
            // A damaged store has nothing that could be finished.
            Ok(_) | Err(Error::Format { .. } | Error::Unsupported { .. } | Error::Limit { .. }) => {
            }
            Err(e) => return Err(e),
        }
        let stage = commit::make_stage(old)?;
        let mut redo = Redo {
            old: commit::metadata_hash(old, None, limits)?,
            metadata: metadata.to_vec(),
            ..Redo::default()
        };
        for (i, r) in records.iter().enumerate() {
            let staged = format!("{prefix}{i}{}", commit::NEW);
            self.dir.rename(&r.data_file, &stage, &staged)?;
            redo.renames.push(stage_rename(&stage, staged, &r.data_file)?);
        }
        redo.bitmaps = self.bitmaps(limits)?;
        let known = known_files(old, limits)?;
        let mut finals: HashMap<String, Vec<&str>> = HashMap::new();
        let data = records.iter().map(|r| &r.data_file);
        for file in data.chain(redo.bitmaps.iter().map(|b| &b.0)) {
            finals.entry(names::fold(file)).or_default().push(file);
        }
        for file in known.files {
            if names_one_of(old, &file, finals.get(&names::fold(&file)))? {
                continue;
            }
            if names::is_bitmap_file(&file) {
                redo.stale_bitmaps.push(file);
            } else if redo::is_removable(&file) && names::check_relative(&file).is_ok() {
                redo.removals.push(file);
            }
        }
        redo.folders = known.folders.into_iter().filter(|f| names::is_segment_folder(f)).collect();
        stage.sync()?;
        old.sync()?;
        let check = || commit::check_old(old, &redo, limits);
        let record = RecordWriter::new(old);
        commit::publish(old, record, None, &redo, limits, check, published)?;
        let warnings = commit::apply(old, lock, &redo, None, AtHand::default(), limits)?;
        // The change stands; an empty folder that stays is cleared by the next writer.
        let _ = self.remove();
        Ok(warnings)
    }

    /// The bitmaps of the new store.
    fn bitmaps(&self, limits: &Limits) -> Result<Vec<(String, Vec<u8>)>> {
        let mut bitmaps = Vec::new();
        for (name, _) in self.dir.entries()? {
            let Some(name) = name.filter(|n| names::is_bitmap_file(n)) else { continue };
            let what = "the size of the bitmap";
            if let Some(bytes) = self.dir.read(&name, what, limits.max_bitmap_bytes)? {
                bitmaps.push((name, bytes));
            }
        }
        Ok(bitmaps)
    }

    /// Takes the folder away, with all that is in it.
    pub(crate) fn remove(&self) -> Result<()> {
        clear_store(&self.dir, &Limits::default())?;
        self.parent.remove_dir(&self.sibling)?;
        Ok(())
    }
}

/// A number that no other writer comes by.
pub(crate) fn random() -> u64 {
    std::hash::RandomState::new().build_hasher().finish()
}

/// The move of a staged file to its place.
pub(crate) fn stage_rename(stage: &Dir, staged: String, target: &str) -> Result<Rename> {
    let id = stage.id(&staged).map_err(Error::io("inspect", stage.join(&staged)))?;
    let len = id.ok_or_else(|| Error::Changed { file: stage.join(&staged) })?.len();
    Ok(Rename { staged, target: target.to_owned(), len })
}

/// Whether a file is one of these, whose names differ from it by case at most: by its name, or
/// because the file system sees no difference.
pub(crate) fn names_one_of<T: AsRef<str>>(
    dir: &Dir,
    file: &str,
    others: Option<&Vec<T>>,
) -> Result<bool> {
    let Some(others) = others else { return Ok(false) };
    if others.iter().any(|o| o.as_ref() == file) {
        return Ok(true);
    }
    let id = |f: &str| dir.id(f).map_err(Error::io("inspect", dir.join(f)));
    let Some(own) = id(file)? else { return Ok(false) };
    for other in others {
        if id(other.as_ref())?.is_some_and(|id| id.same_file(&own)) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// What stands at a path.
pub(crate) fn place(target: &Path) -> Result<Place> {
    loop {
        match std::fs::symlink_metadata(target) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Place::Nothing),
            Err(e) => return Err(Error::io("inspect", target)(e)),
            Ok(m) if !m.is_dir() => return Ok(Place::Other("it is a file, not a folder")),
            Ok(_) => {}
        }
        let dir = match Dir::open(target) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Place::Nothing),
            dir => dir.map_err(Error::io("open", target))?,
        };
        if dir.id(metadata::FILE).map_err(Error::io("inspect", target))?.is_some() {
            return Ok(Place::Store);
        }
        let empty = dir.entries()?.is_empty();
        // An old store that was replaced meanwhile loses its files.
        if !dir.is_here(target)? {
            continue;
        }
        return Ok(if empty {
            Place::EmptyFolder
        } else {
            Place::Other("it is a folder that holds other files, and no metadata.npkm")
        });
    }
}

/// The path without symbolic links, so that what they lead to is replaced and not they.
pub(crate) fn resolve(path: &Path) -> Result<PathBuf> {
    if std::fs::symlink_metadata(path).is_ok() {
        return path.canonicalize().map_err(Error::io("resolve", path));
    }
    let Some(name) = path.file_name() else {
        return Err(Error::parameter(
            None,
            format!("{} names no folder; give the store a name", path.display()),
        ));
    };
    let parent = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    Ok(parent.canonicalize().map_err(Error::io("resolve", parent))?.join(name))
}

pub(crate) fn split(target: &Path) -> Result<(Dir, OsString)> {
    let (Some(parent), Some(name)) = (target.parent(), target.file_name()) else {
        return Err(Error::parameter(
            None,
            format!("{} cannot be a store; give the store a name", target.display()),
        ));
    };
    Ok((Dir::open(parent).map_err(Error::io("open", parent))?, name.to_owned()))
}

/// Makes it durable that a store is at its place. Whoever put it there may not have lived to do
/// so, and what is committed into it must not go with it.
pub(crate) fn sync_place(target: &Path) -> Result<()> {
    let (parent, _) = match split(target) {
        // Who may not read the folder cannot sync it.
        Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::PermissionDenied => {
            return Ok(());
        }
        opened => opened?,
    };
    match parent.sync() {
        // Where nothing can be made, nothing waits.
        Err(Error::Io { source, .. }) if disk::is_errno(&source, &[Errno::ROFS, Errno::INVAL]) => {
            Ok(())
        }
        synced => synced,
    }
}

/// How the names of folders that are to become the store begin.
pub(crate) fn sibling_prefix(name: &OsString) -> String {
    match name.to_str() {
        Some(name) if name.len() <= 190 => format!(".{name}.libnumpack-"),
        _ => {
            let hash = redo::sha256(name.as_encoded_bytes());
            let hex: String = hash.iter().take(16).map(|b| format!("{b:02x}")).collect();
            format!(".{hex}.libnumpack-")
        }
    }
}

/// Removes what writers that died left beside a store. Whatever cannot be looked at stays.
pub(crate) fn clear_siblings(target: &Path) {
    let Ok((parent, name)) = split(target) else { return };
    let prefix = sibling_prefix(&name);
    let Ok(entries) = parent.entries() else { return };
    let siblings = entries.into_iter().filter(|(_, kind)| *kind == Kind::Folder);
    let siblings: Vec<String> =
        siblings.filter_map(|(name, _)| name.filter(|n| is_sibling(n, &prefix))).collect();
    // One may be the old store, whose place another took without living to sync that: after a
    // power loss it would be the store again.
    if siblings.is_empty() || parent.sync().is_err() {
        return;
    }
    for sibling in siblings {
        // Each by itself: one that cannot be removed does not keep the others.
        let _ = clear_sibling(&parent, &sibling);
    }
}

pub(crate) fn is_sibling(entry: &str, prefix: &str) -> bool {
    let Some((pid, random)) = entry.strip_prefix(prefix).and_then(|rest| rest.split_once('-'))
    else {
        return false;
    };
    !pid.is_empty()
        && pid.bytes().all(|b| b.is_ascii_digit())
        && random.len() == 16
        && random.bytes().all(|b| b.is_ascii_hexdigit())
}

fn clear_sibling(parent: &Dir, entry: &str) -> Result<()> {
    let Some(dir) = parent.open_dir(entry)? else { return Ok(()) };
    let Some(lock) = StoreLock::in_dir(&dir, false)? else { return Ok(()) };
    // It may have become the store between our opening and our locking it.
    if dir.is_here(dir.path())?
        && lock.is_in(&dir)?
        && clear_store(&dir, &Limits::default())?.is_empty()
    {
        parent.remove_dir(entry)?;
    }
    Ok(())
}

struct Known {
    files: Vec<String>,
    folders: Vec<String>,
    foreign: Vec<String>,
}

/// What in a folder belongs to a store, but for the metadata and the lock.
fn known_files(dir: &Dir, limits: &Limits) -> Result<Known> {
    let mut known = Known { files: Vec::new(), folders: Vec::new(), foreign: Vec::new() };
    let mut named = std::collections::HashSet::new();
    if let Ok(Some(bytes)) =
        dir.read(metadata::FILE, "the size of the metadata", limits.max_metadata_bytes)
        && let Ok(metadata) = Metadata::parse(bytes, &dir.join(metadata::FILE), limits)
    {
        named.extend(metadata.iter().map(|r| r.data_file.to_owned()));
    }
    for (name, kind) in dir.entries()? {
        let Some(name) = name else {
            known.foreign.push("a name that is not UTF-8".to_owned());
            continue;
        };
        match kind {
            Kind::File if name == metadata::FILE || name == lock::FILE => {}
            Kind::File
                if name.starts_with(names::OWN_PREFIX)
                    || is_store_file(&name)
                    || named.contains(&name) =>
            {
                known.files.push(name);
            }
            Kind::Folder
                if names::is_segment_folder(&name) || [redo::STAGE, PROBE].contains(&&name[..]) =>
            {
                let Some(inner) = dir.open_dir(&name)? else { continue };
                for (file, kind) in inner.entries()? {
                    match file {
                        Some(f)
                            if kind == Kind::File
                                && (is_store_file(&f) || f.ends_with(commit::NEW)) =>
                        {
                            known.files.push(format!("{name}/{f}"));
                        }
                        f => known.foreign.push(format!("{name}/{}", f.unwrap_or_default())),
                    }
                }
                known.folders.push(name);
            }
            _ => known.foreign.push(name),
        }
    }
    Ok(known)
}

fn is_store_file(name: &str) -> bool {
    [".npkd", ".npkb", segments::SUFFIX].iter().any(|s| name.ends_with(s))
}

/// Removes a store's files from its folder, the metadata first, so that it is a store no more.
/// What is none of its files stays, and is named.
fn clear_store(dir: &Dir, limits: &Limits) -> Result<Vec<String>> {
    let known = known_files(dir, limits)?;
    dir.remove_file(metadata::FILE)?;
    for file in &known.files {
        dir.remove_file(file)?;
    }
    let mut left = known.foreign;
    for folder in &known.folders {
        dir.remove_dir(folder)?;
    }
    dir.remove_file(lock::FILE)?;
    left.sort();
    Ok(left)
}
