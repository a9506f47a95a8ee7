//! What can go wrong, split by whose fault it is.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// The result of this crate's functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a store could not be read or written.
///
/// The message names the file, the array and the byte where these are known, what was expected,
/// and what to do next. Sizes and offsets are in bytes.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused.
    #[error("cannot {action} {}: {source}", .file.display())]
    Io {
        /// What was attempted, as a verb.
        action: &'static str,
        /// The file or folder.
        file: PathBuf,
        /// The reason given.
        source: io::Error,
    },
    /// A file of the store is damaged, or was never what its name says.
    #[error("{}: {problem}; {hint}", place(.file, .array.as_deref(), *.offset))]
    Format {
        /// The file.
        file: PathBuf,
        /// The array, where one is concerned.
        array: Option<String>,
        /// Where in the file.
        offset: Option<u64>,
        /// What was expected and what was found.
        problem: String,
        /// What to do next.
        hint: &'static str,
    },
    /// The file is sound, but uses what this crate does not read.
    #[error("{}: {problem}; {hint}", place(.file, .array.as_deref(), *.offset))]
    Unsupported {
        /// The file.
        file: PathBuf,
        /// The array, where one is concerned.
        array: Option<String>,
        /// Where in the file.
        offset: Option<u64>,
        /// What is used.
        problem: String,
        /// What to do next.
        hint: &'static str,
    },
    /// The caller asked for what cannot be.
    #[error("{}{problem}", of_array(.array.as_deref()))]
    Parameter {
        /// The array, where one is concerned.
        array: Option<String>,
        /// What is wrong with the request, and what would be right.
        problem: String,
    },
    /// More than the caller's [`Limits`](crate::Limits) allow.
    #[error("{}: {what} is {value}, more than the limit of {limit}; raise it in Limits if the store is trusted", place(.file, .array.as_deref(), None))]
    Limit {
        /// The file.
        file: PathBuf,
        /// The array, where one is concerned.
        array: Option<String>,
        /// Which quantity.
        what: &'static str,
        /// How much there is.
        value: u64,
        /// How much is allowed.
        limit: u64,
    },
    /// Another writer has the store.
    #[error("{}: another writer has this store open; wait until it is done, or try again", .path.display())]
    Locked {
        /// The store.
        path: PathBuf,
    },
    /// There is something already where a new store was to be.
    #[error("{} exists already; choose another path, or replace the store", .path.display())]
    Exists {
        /// The path.
        path: PathBuf,
    },
    /// The path is no NumPack store.
    #[error("{} is not a NumPack store: {problem}", .path.display())]
    NotAStore {
        /// The path.
        path: PathBuf,
        /// What is there instead.
        problem: &'static str,
    },
    /// The store holds no array of that name.
    #[error("{} holds no array {name:?}; list its arrays to see what there is", .path.display())]
    NoArray {
        /// The store.
        path: PathBuf,
        /// The name.
        name: String,
    },
    /// A sync failed before, so what was written since the one before it may be lost.
    #[error("{}: an earlier sync failed, so what was written may be lost; open the store again and verify it", .path.display())]
    Poisoned {
        /// The store, or the file whose sync failed.
        path: PathBuf,
    },
    /// Somebody else changed the store meanwhile.
    #[error("{} was changed by another process meanwhile; open the store again", .file.display())]
    Changed {
        /// The file or folder that is another one now.
        file: PathBuf,
    },
    /// A writer was used in a forked child of the process that opened it.
    #[error("{}: this writer belongs to the parent process; open the store anew in the child", .path.display())]
    Forked {
        /// The store.
        path: PathBuf,
    },
}

impl Error {
    pub(crate) fn io(
        action: &'static str,
        file: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Error {
        let file = file.into();
        move |source| Error::Io { action, file, source }
    }

    pub(crate) fn parameter(array: Option<&str>, problem: impl Into<String>) -> Error {
        Error::Parameter { array: array.map(str::to_owned), problem: problem.into() }
    }

    /// Whether the system failed to make something durable.
    pub(crate) fn is_failed_sync(&self) -> bool {
        match self {
            Error::Io { action, .. } => action.starts_with("sync"),
            Error::Poisoned { .. } => true,
            _ => false,
        }
    }

    /// The same error, saying which array it is about.
    pub(crate) fn in_array(mut self, name: &str) -> Error {
        match &mut self {
            Error::Format { array, .. }
            | Error::Unsupported { array, .. }
            | Error::Parameter { array, .. }
            | Error::Limit { array, .. }
                if array.is_none() =>
            {
                *array = Some(name.to_owned());
            }
            _ => {}
        }
        self
    }
}

/// What to do about a damaged file.
pub(crate) const RESTORE: &str =
    "restore the store from a copy, or run verify to see all that is wrong";
/// What to do about a newer format.
pub(crate) const UPGRADE: &str = "upgrade to a version that knows it";

/// A damaged file.
pub(crate) fn format(
    file: &Path,
    offset: impl Into<Option<u64>>,
    problem: impl Into<String>,
) -> Error {
    Error::Format {
        file: file.to_owned(),
        array: None,
        offset: offset.into(),
        problem: problem.into(),
        hint: RESTORE,
    }
}

fn place<'a>(
    file: &'a Path,
    array: Option<&'a str>,
    offset: Option<u64>,
) -> impl fmt::Display + 'a {
    Place { file, array, offset }
}

struct Place<'a> {
    file: &'a Path,
    array: Option<&'a str>,
    offset: Option<u64>,
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some(array) = self.array {
            write!(f, ": array {array:?}")?;
        }
        if let Some(offset) = self.offset {
            write!(f, ": at byte {offset}")?;
        }
        Ok(())
    }
}

fn of_array(array: Option<&str>) -> String {
    array.map_or_else(String::new, |a| format!("array {a:?}: "))
}
