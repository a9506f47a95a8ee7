//! What a file would do to whoever unpickles it, told without doing it: [`scan`].
//!
//! The other readers of this crate refuse what two programs could understand differently. A
//! scanner must not be stopped by that, so it has its own, which take whatever can be reached and
//! say what is odd about it.
//!
//! | module | |
//! |---|---|
//! | `report` | what is said: verdict, mentions, findings |
//! | `source` | bytes of the file, or inflated ones |
//! | `opcodes`, `text`, `machine` | one pickle: instructions, a stack of texts, names |
//! | `names`, `tables` | what a name means |
//! | `item` | what some bytes are, and the pickles in them |
//! | `zip`, `tar` | archives, read leniently |
//! | `search` | pickles behind what cannot be read |
//! | `gather` | all of it put together |

mod gather;
mod item;
mod machine;
mod names;
mod opcodes;
mod report;
mod search;
mod source;
mod tables;
mod tar;
mod text;
mod zip;

use std::fs::File;
use std::io;
use std::path::Path;

use crate::error::{Error, Part, Result};
use gather::Scanner;
use item::Item;
pub use report::{
    Class, FileKind, Finding, Level, Mention, PickleFound, Place, ScanReport, Verdict, WeightsOnly,
};

/// How far a scan goes. Beyond a limit it goes on without keeping, or says what it did not look
/// into; it never fails for it.
///
/// ```
/// let options = torch_pickle::ScanOptions::new().max_places(1);
/// assert_eq!(options.max_places, 1);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ScanOptions {
    /// Places that are kept for each name.
    pub max_places: usize,
    /// Names that are kept, and as many dangerous ones beyond them.
    pub max_names: usize,
    /// Pickles that are listed, and findings.
    pub max_pickles: usize,
    /// How deep pickles and archives may lie in one another.
    pub max_depth: u32,
    /// Inflated bytes held in memory at a time.
    pub max_inflated: u64,
    /// Bytes that are searched for pickles behind what cannot be read.
    pub max_search: u64,
}

impl Default for ScanOptions {
    fn default() -> ScanOptions {
        ScanOptions {
            max_places: 100,
            max_names: 10_000,
            max_pickles: 10_000,
            max_depth: 16,
            max_inflated: 64 << 20,
            max_search: 64 << 20,
        }
    }
}

impl ScanOptions {
    /// The defaults.
    pub fn new() -> ScanOptions {
        ScanOptions::default()
    }

    /// Sets how many places are kept for each name.
    #[must_use]
    pub fn max_places(mut self, n: usize) -> ScanOptions {
        self.max_places = n;
        self
    }

    /// Sets how many names are kept.
    #[must_use]
    pub fn max_names(mut self, n: usize) -> ScanOptions {
        self.max_names = n;
        self
    }

    /// Sets how many pickles and findings are listed.
    #[must_use]
    pub fn max_pickles(mut self, n: usize) -> ScanOptions {
        self.max_pickles = n;
        self
    }

    /// Sets how deep pickles and archives may lie in one another.
    #[must_use]
    pub fn max_depth(mut self, n: u32) -> ScanOptions {
        self.max_depth = n;
        self
    }

    /// Sets how many inflated bytes are held at a time.
    #[must_use]
    pub fn max_inflated(mut self, n: u64) -> ScanOptions {
        self.max_inflated = n;
        self
    }

    /// Sets how many bytes are searched behind what cannot be read.
    #[must_use]
    pub fn max_search(mut self, n: u64) -> ScanOptions {
        self.max_search = n;
        self
    }
}

/// Says which pickles are in a file, which globals they mention, and what that means. Nothing is
/// executed or imported; a damaged file is a finding, not an error.
///
/// ```
/// use torch_pickle::{ScanOptions, Verdict, scan};
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("model.pkl");
/// std::fs::write(&path, b"cos\nsystem\n(S'echo hello'\ntR.")?;
/// let report = scan(&path, &ScanOptions::new())?;
/// assert_eq!(report.verdict(), Verdict::Dangerous);
/// assert_eq!((&*report.mentions[0].module, &*report.mentions[0].name), ("os", "system"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`Error::Io`] where the file cannot be read, [`Error::Unsupported`] for what is no file.
pub fn scan(path: impl AsRef<Path>, options: &ScanOptions) -> Result<ScanReport> {
    let path = path.as_ref();
    let open = |e| Error::io(path, "open", None, e);
    // Before it is opened: a pipe would wait for a writer.
    let metadata = std::fs::metadata(path).map_err(open)?;
    if metadata.is_dir() {
        return Err(crate::container::folder(path));
    }
    if !metadata.is_file() {
        return Err(Error::unsupported(path, Part::File, None, "not a regular file", ""));
    }
    let file = File::open(path).map_err(open)?;
    scan_file(&file, metadata.len(), options).map_err(|e| Error::io(path, "read", None, e))
}

fn scan_file(file: &File, len: u64, options: &ScanOptions) -> io::Result<ScanReport> {
    let mut scanner = Scanner::new(options);
    scanner.push(Item::of_file(file, len));
    scanner.run()?;
    Ok(scanner.finish())
}
