//! A folder for the files of one fuzzing process.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

const PREFIX: &str = "numpack-fuzz-";
const LOCK: &str = "lock";

/// A folder that one process has to itself, in memory where the system offers that.
///
/// libFuzzer ends the process without running destructors, so what a dead process left is removed
/// by the next one; the lock tells it apart from a live one's.
#[derive(Debug)]
pub struct Scratch {
    folder: PathBuf,
    _lock: File,
}

impl Scratch {
    /// Makes the folder of this process.
    ///
    /// # Panics
    /// Where no folder can be made.
    pub fn new() -> Scratch {
        let memory = Path::new("/dev/shm");
        let base = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
        for entry in fs::read_dir(&base).into_iter().flatten().flatten() {
            if entry.file_name().to_string_lossy().starts_with(PREFIX)
                && File::open(entry.path().join(LOCK)).is_ok_and(|f| f.try_lock().is_ok())
            {
                let _ = fs::remove_dir_all(entry.path());
            }
        }
        let folder = base.join(format!("{PREFIX}{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a scratch folder can be made");
        let lock = File::create(folder.join(LOCK)).expect("a file can be made");
        lock.try_lock().expect("the folder belongs to this process");
        Scratch { folder, _lock: lock }
    }

    /// A path in the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Writes a file, in place of what it held.
    ///
    /// # Panics
    /// Where it cannot be written.
    pub fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, bytes).expect("a scratch file can be written");
        path
    }
}

impl Default for Scratch {
    fn default() -> Scratch {
        Scratch::new()
    }
}
