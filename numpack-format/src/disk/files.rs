//! Reading, writing and syncing a file that is open.

use super::FileId;
use crate::error::{Error, Result};
use crate::fault::{self, Did, Fault};
use rustix::fs::{self, CWD, FileType, Mode, OFlags};
use rustix::io::retry_on_intr;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Opens a regular file anywhere for reading; the path may lead over symbolic links.
pub(crate) fn open_at(path: &Path) -> Result<(File, FileId)> {
    // NONBLOCK: a pipe must not keep the reader waiting.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let file: File = retry_on_intr(|| fs::openat(CWD, path, flags, Mode::empty()))
        .map_err(|e| Error::io("open", path)(e.into()))?
        .into();
    let stat = fs::fstat(&file).map_err(|e| Error::io("inspect", path)(e.into()))?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        let problem = format!("{} is not a regular file; give the path of one", path.display());
        return Err(Error::parameter(None, problem));
    }
    Ok((file, FileId::new(&stat)))
}

pub(crate) fn not_plain(file: PathBuf, problem: &str) -> Error {
    let hint = "a store holds regular files only; copy the file into its place";
    Error::Format { file, array: None, offset: None, problem: problem.to_owned(), hint }
}

/// Writes at an offset.
pub(crate) fn write_at(file: &File, bytes: &[u8], offset: u64, path: &Path) -> Result<()> {
    try_write_at(file, bytes, offset, path).map_err(Error::io("write", path))
}

/// The same, with the system's own word on why not.
pub(crate) fn try_write_at(file: &File, bytes: &[u8], offset: u64, path: &Path) -> io::Result<()> {
    match fault::step("write", path, "")? {
        Fault::None => file.write_all_at(bytes, offset)?,
        #[cfg(any(test, feature = "fault-injection"))]
        Fault::Short(ending) => {
            let part = &bytes[..bytes.len() / 2];
            file.write_all_at(part, offset)?;
            fault::did(|| Did::Write { file, at: offset, bytes: part });
            return Err(ending.end());
        }
    }
    fault::did(|| Did::Write { file, at: offset, bytes });
    Ok(())
}

/// Lets somebody else write the `len` bytes from an offset, which end the file.
pub(crate) fn fill(
    file: &File,
    offset: u64,
    len: u64,
    path: &Path,
    f: impl FnOnce(&File, u64) -> io::Result<()>,
) -> io::Result<()> {
    let fault = fault::step("write", path, "")?;
    f(file, offset)?;
    match fault {
        Fault::None => {}
        #[cfg(any(test, feature = "fault-injection"))]
        Fault::Short(ending) => {
            file.set_len(offset + len / 2)?;
            fault::did(|| Did::Fill { file, at: offset, len: len / 2 });
            return Err(ending.end());
        }
    }
    // Somebody else may have written less; whoever asked for it looks at the file's length.
    let written = || file.metadata().map_or(0, |m| m.len().saturating_sub(offset).min(len));
    fault::did(|| Did::Fill { file, at: offset, len: written() });
    Ok(())
}

/// Lets the system begin to write what was put into a file, for a sync that comes later. It may
/// forget what it has written; this is only a hint.
pub(crate) fn begin_to_write(file: &File) {
    // What Linux does for this advice; `sync_file_range` does no more.
    #[cfg(target_os = "linux")]
    let _ = fs::fadvise(file, 0, None, fs::Advice::DontNeed);
    #[cfg(not(target_os = "linux"))]
    let _ = file;
}

/// Makes a file's content durable.
pub(crate) fn sync_file(file: &File, path: &Path) -> Result<()> {
    let synced = fault::step("sync", path, "").and_then(|_| file.sync_all());
    fault::did(|| Did::Sync { file, only_data: false, failed: synced.is_err() });
    synced.map_err(Error::io("sync", path))
}

/// Makes a file's content durable, and its length.
pub(crate) fn sync_data(file: &File, path: &Path) -> Result<()> {
    let synced = fault::step("syncdata", path, "").and_then(|_| file.sync_data());
    fault::did(|| Did::Sync { file, only_data: true, failed: synced.is_err() });
    synced.map_err(Error::io("sync", path))
}

/// Cuts a file off.
pub(crate) fn cut(file: &File, len: u64, path: &Path) -> Result<()> {
    fault::step("cut", path, "")
        .and_then(|_| file.set_len(len))
        .map_err(Error::io("shorten", path))?;
    fault::did(|| Did::Cut { file, len });
    Ok(())
}
