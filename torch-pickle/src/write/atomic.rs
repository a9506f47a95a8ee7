//! A file that appears whole or not at all.
//!
//! It is written under a hidden name beside its target, synced, renamed and the folder synced. A
//! run that died leaves the hidden file; the next run for the same target removes it, told apart
//! from one that is still being written by the lock its writer holds.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

/// Stands in the name of each temporary file.
const MARK: &str = ".torch-pickle-";
/// Leaves room in 255 bytes for the mark and the random part.
const MAX_STEM: usize = 200;

/// A file on its way to its place, where it appears whole or not at all: dropped before it is
/// committed, it leaves nothing.
///
/// ```
/// use std::io::Write;
/// use torch_pickle::AtomicFile;
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("out");
/// let out = AtomicFile::create(&path)?;
/// out.file().write_all(b"hello")?;
/// assert!(!path.exists());
/// out.commit(false)?;
/// assert_eq!(std::fs::read(&path)?, b"hello");
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct AtomicFile {
    temporary: NamedTempFile,
    target: PathBuf,
}

impl AtomicFile {
    /// Starts a file beside `target`, after clearing what dead runs left there.
    ///
    /// # Errors
    /// When `target` names no file, or its folder cannot be written to.
    pub fn create(target: &Path) -> io::Result<AtomicFile> {
        let name = target
            .file_name()
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "the path names no file"))?;
        let folder = folder_of(target);
        let prefix = prefix_for(name);
        clear_leftovers(folder, &prefix)?;
        let mut builder = tempfile::Builder::new();
        builder.prefix(&prefix).rand_bytes(8);
        #[cfg(unix)]
        {
            // As if it were created under its final name: what the umask leaves of it.
            use std::os::unix::fs::PermissionsExt;
            builder.permissions(fs::Permissions::from_mode(0o666));
        }
        let temporary = builder.tempfile_in(folder)?;
        // Held until the process ends or the file is closed; see `clear_leftovers`.
        temporary.as_file().try_lock().map_err(io::Error::from)?;
        Ok(AtomicFile { temporary, target: target.to_owned() })
    }

    /// The file to write to, under a name of its own for now.
    pub fn file(&self) -> &File {
        self.temporary.as_file()
    }

    /// Makes it durable and visible. With `replace` false an existing target is an
    /// `AlreadyExists` error and stays.
    ///
    /// # Errors
    /// That one, or when it cannot be synced or renamed.
    pub fn commit(self, replace: bool) -> io::Result<()> {
        self.temporary.as_file().sync_all()?;
        let persisted = if replace {
            self.temporary.persist(&self.target)
        } else {
            self.temporary.persist_noclobber(&self.target)
        };
        persisted.map_err(|e| e.error)?;
        sync_folder(folder_of(&self.target))
    }
}

fn folder_of(target: &Path) -> &Path {
    match target.parent() {
        Some(p) if !p.as_os_str().is_empty() => p,
        _ => Path::new("."),
    }
}

fn prefix_for(name: &std::ffi::OsStr) -> OsString {
    let mut prefix = OsString::from(".");
    match name.to_str() {
        Some(s) => {
            let fits =
                s.char_indices().map(|(i, c)| i + c.len_utf8()).take_while(|&n| n <= MAX_STEM);
            prefix.push(&s[..fits.last().unwrap_or(0)]);
        }
        None => prefix.push("file"),
    }
    prefix.push(MARK);
    prefix
}

/// Removes the files with this prefix whose writer no longer lives.
fn clear_leftovers(folder: &Path, prefix: &std::ffi::OsStr) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let ours = name.as_encoded_bytes().starts_with(prefix.as_encoded_bytes());
        if !ours || !entry.file_type()?.is_file() {
            continue;
        }
        // One that vanished, or that another run clears too, is no business of ours.
        if let Ok(file) = File::open(entry.path())
            && file.try_lock().is_ok()
        {
            let _ = fs::remove_file(entry.path());
        }
    }
    Ok(())
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
}
