//! Changing a store that is there: one record decides, and is then carried out.

use crate::disk::{self, Dir, Kind};
use crate::error::{Error, Result};
use crate::limits::Limits;
use crate::metadata;
use crate::redo::{self, Redo, sha256};
use crate::store::Loaded;
use std::io;

/// How the names of staged files end.
pub(crate) const NEW: &str = ".new";

/// Makes a change durable. Once this returns, or if `published` was set, the change is decided.
///
/// The staged files must have been synced, and the folder they are in.
pub(crate) fn publish(dir: &Dir, redo: &Redo, published: &mut bool) -> Result<()> {
    let path = dir.join(redo::TEMPORARY);
    // Only a record that never became visible can be in the way.
    dir.remove_file(redo::TEMPORARY)?;
    let file = dir.create_new(redo::TEMPORARY)?;
    let written = disk::write_at(&file, &redo.encode(), 0, &path)
        .and_then(|()| disk::sync_file(&file, &path));
    drop(file);
    if let Err(e) = written {
        let _ = dir.remove_file(redo::TEMPORARY);
        return Err(e);
    }
    dir.rename(redo::TEMPORARY, dir, redo::FILE)?;
    *published = true;
    dir.sync()
}

/// Carries out a published change. It may have been begun before; doing it twice does no harm.
pub(crate) fn apply(dir: &Dir, redo: &Redo) -> Result<()> {
    for (name, bytes) in &redo.bitmaps {
        dir.replace_file(redo::BITMAP_TEMPORARY, name, bytes)?;
    }
    for name in &redo.stale_bitmaps {
        dir.remove_file(name)?;
    }
    let stage = dir.open_dir(redo::STAGE)?;
    if let Some(stage) = &stage {
        for (from, to) in &redo.renames {
            match stage.try_rename(from, dir, &to[..]) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => {
                    return Err(Error::io("rename", stage.join(from))(e));
                }
                _ => {}
            }
        }
    }
    let on_disk = dir.read(metadata::FILE, "the size of the metadata", u64::MAX)?;
    if on_disk.is_none_or(|(_, bytes)| bytes != redo.metadata) {
        dir.replace_file(redo::METADATA_TEMPORARY, metadata::FILE, &redo.metadata)?;
    }
    for name in &redo.removals {
        dir.remove_file(name)?;
    }
    for name in &redo.folders {
        dir.remove_dir(name)?;
    }
    if let Some(stage) = stage {
        stage.sync()?;
        dir.remove_dir(redo::STAGE)?;
    }
    dir.sync()?;
    dir.remove_file(redo::FILE)?;
    dir.sync()
}

/// Finishes or discards what an earlier writer left behind, and says what was worth a warning.
/// The caller has the lock.
pub(crate) fn recover(dir: &Dir, limits: &Limits) -> Result<Vec<String>> {
    let loaded = Loaded::read(dir, limits)?;
    if let Some(redo) = &loaded.redo {
        apply(dir, redo)?;
    }
    if loaded.ignored {
        dir.remove_file(redo::FILE)?;
        dir.sync()?;
    }
    clear_leftovers(dir)?;
    Ok(loaded.warnings)
}

/// Removes what a writer that died before its commit left.
fn clear_leftovers(dir: &Dir) -> Result<()> {
    for name in [redo::TEMPORARY, redo::METADATA_TEMPORARY, redo::BITMAP_TEMPORARY] {
        if dir.id(name).map_err(Error::io("inspect", dir.join(name)))?.is_some() {
            dir.remove_file(name)?;
        }
    }
    clear_stage(dir)
}

/// Removes the staged files and their folder, if nothing else is in it.
pub(crate) fn clear_stage(dir: &Dir) -> Result<()> {
    let Some(stage) = dir.open_dir(redo::STAGE)? else { return Ok(()) };
    for (name, kind) in stage.entries()? {
        if let Some(name) = name.filter(|n| kind == Kind::File && n.ends_with(NEW)) {
            stage.remove_file(&name)?;
        }
    }
    dir.remove_dir(redo::STAGE)?;
    Ok(())
}

/// The hash of the metadata as it is on disk now.
pub(crate) fn metadata_hash(dir: &Dir) -> Result<[u8; 32]> {
    match dir.read(metadata::FILE, "the size of the metadata", u64::MAX)? {
        Some((_, bytes)) => Ok(sha256(&bytes)),
        None => Err(Error::Changed { file: dir.join(metadata::FILE) }),
    }
}
