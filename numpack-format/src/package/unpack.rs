//! Making a store of a package.

use super::CHUNK;
use super::format::Checksum;
use super::read::{Package, unused};
use crate::disk::{self, Dir};
use crate::error::{Error, Result};
use crate::limits::Limits;
use crate::metadata::{self, Record};
use crate::new_store::{self, NewStore, Place};
use crate::writer::WriterOptions;
use std::collections::HashSet;
use std::path::Path;

/// Up to so many files are synced one by one; beyond, the file system as a whole.
const FEW: usize = 32;

/// How a package is unpacked.
#[derive(Clone, Debug)]
pub struct UnpackOptions {
    /// Whether a store at the path is replaced. Default: no.
    pub overwrite: bool,
    /// Whether to wait for a writer of the store that is replaced. If not, it is
    /// [`Error::Locked`]. Default: wait.
    pub wait: bool,
    /// Bounds on what the package may ask for.
    pub limits: Limits,
}

impl Default for UnpackOptions {
    fn default() -> UnpackOptions {
        UnpackOptions { overwrite: false, wait: true, limits: Limits::default() }
    }
}

/// What [`unpack`] has done.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct UnpackInfo {
    /// How many files were written.
    pub files: u32,
    /// Their sizes together, in bytes.
    pub size: u64,
    /// What the caller should be told.
    pub warnings: Vec<String>,
}

/// Makes a store of a package.
///
/// The path must not exist, or be an empty folder; with `overwrite` it may hold a store, which is
/// replaced at once, as [`Writer::replace`](crate::Writer::replace) does it. Anything else is
/// refused.
///
/// Everything is checked (checksum, sizes, metadata, bitmaps) while it is written into a hidden
/// folder beside the path, and synced; only then it becomes the store. A damaged package leaves
/// what is at the path untouched, and nothing behind. Files that no array uses are left out with a
/// warning. Memory is a few MiB, and what the metadata and the bitmaps take.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = tempfile::tempdir()?;
/// # let (store, package) = (dir.path().join("m.npk"), dir.path().join("m.npkg"));
/// # let copy = dir.path().join("copy.npk");
/// # use numpack_format::{DType, PackOptions, View, Writer, pack};
/// # let mut w = Writer::create(&store)?;
/// # w.save("w", &View::new(DType::U8, &[2, 2], &[1, 2, 3, 4]))?;
/// # w.commit()?;
/// # pack(&store, &package, &PackOptions::default())?;
/// use numpack_format::{Store, UnpackOptions, unpack};
///
/// unpack(&package, &copy, &UnpackOptions::default())?;
/// assert_eq!(Store::open(&copy)?.arrays()?[0].name, "w");
/// # Ok(()) }
/// ```
pub fn unpack(
    package: impl AsRef<Path>,
    store: impl AsRef<Path>,
    options: &UnpackOptions,
) -> Result<UnpackInfo> {
    let package = Package::open_with(package, &options.limits)?;
    let path = store.as_ref();
    let target = new_store::resolve(path)?;
    match new_store::place(&target)? {
        Place::Nothing | Place::EmptyFolder => {}
        Place::Store if options.overwrite => {}
        Place::Other(problem) if options.overwrite => {
            return Err(Error::NotAStore { path: path.to_owned(), problem });
        }
        Place::Store | Place::Other(_) => return Err(Error::Exists { path: path.to_owned() }),
    }
    new_store::clear_siblings(&target);
    let new = NewStore::begin(&target)?;
    let mut published = false;
    let done = fill_and_publish(&package, &new, options, &mut published);
    if done.is_err() && !published {
        // What cannot be removed now, the next writer removes.
        let _ = new.remove();
    }
    done
}

fn fill_and_publish(
    package: &Package,
    new: &NewStore,
    options: &UnpackOptions,
    published: &mut bool,
) -> Result<UnpackInfo> {
    let (mut info, metadata) = fill(package, &new.dir)?;
    if options.overwrite {
        let mut seen = HashSet::new();
        let records: Vec<&Record> =
            package.records.iter().filter(|r| seen.insert(&r.data_file)).collect();
        let limits = options.limits.clone();
        let writer = WriterOptions { wait: options.wait, limits, ..WriterOptions::default() };
        info.warnings.extend(new.publish_over(&records, &metadata, &writer, published)?);
    } else {
        new.publish(published)?;
    }
    Ok(info)
}

/// Writes the files of a package into a folder, makes them durable, and gives the metadata.
fn fill(package: &Package, dir: &Dir) -> Result<(UnpackInfo, Vec<u8>)> {
    let unused: HashSet<&str> = unused(&package.records, &package.layout).into_iter().collect();
    let mut warnings = package.info().warnings.clone();
    if !unused.is_empty() {
        warnings.push("files that no array uses were left in the package".to_owned());
    }
    let mut info = UnpackInfo { files: 0, size: 0, warnings };
    let mut metadata = Vec::new();
    let mut checksum = Checksum::new(package.layout.version);
    let mut buffer = vec![0; CHUNK];
    let few = package.layout.entries.len() <= FEW;
    for entry in &package.layout.entries {
        if unused.contains(&entry.name[..]) {
            package.stream(entry, &mut buffer, &mut checksum, |_, _| Ok(()))?;
            continue;
        }
        let file = dir.create_new(&entry.name)?;
        let path = dir.join(&entry.name);
        let keep = entry.name == metadata::FILE;
        package.stream(entry, &mut buffer, &mut checksum, |offset, bytes| {
            if keep {
                metadata.extend_from_slice(bytes);
            }
            disk::write_at(&file, bytes, offset, &path)
        })?;
        if few {
            disk::sync_file(&file, &path)?;
        }
        info.files += 1;
        info.size += entry.size;
    }
    package.compare(checksum)?;
    if few || !dir.sync_file_system()? {
        if !few {
            for entry in package.layout.entries.iter().filter(|e| !unused.contains(&e.name[..])) {
                let missing = || Error::Changed { file: dir.join(&entry.name) };
                let (file, _) = dir.open_file(&entry.name)?.ok_or_else(missing)?;
                disk::sync_file(&file, &dir.join(&entry.name))?;
            }
        }
        dir.sync()?;
    }
    Ok((info, metadata))
}
