//! What can go wrong, by whose fault it is.

use std::io;
use std::path::{Path, PathBuf};

/// The result of every call of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a call failed. Nothing that was on disk before is lost.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The checkpoint cannot be read or written.
    #[error(transparent)]
    Torch(torch_pickle::Error),
    /// The store cannot be read or written.
    #[error(transparent)]
    NumPack(numpack_format::Error),
    /// A file could not be used.
    #[error("{}: could not {action}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// The output is there already and may not be replaced.
    #[error("{}: {what} is there already; ask to overwrite it, or choose another path", path.display())]
    Exists {
        /// The output.
        path: PathBuf,
        /// What it is: `a store`, `a file`, `a folder that is no store`.
        what: &'static str,
    },
    /// A name that is not there, or leads to more than one thing.
    #[error("{}: {message}", path.display())]
    Name {
        /// The file looked in.
        path: PathBuf,
        /// What was looked for, and what there is.
        message: String,
    },
    /// A file of no kind this crate reads.
    #[error("{}: {message}", path.display())]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// What it is, and what is read.
        message: String,
    },
    /// Two tensors show the same bytes, and the format to be written cannot say so.
    #[error(
        "{}: tensors {first:?} and {second:?} share memory, which {format} files cannot say; have \
         shared ones copied, or choose the names to write",
        path.display()
    )]
    Shared {
        /// The file that is read.
        path: PathBuf,
        /// One of them.
        first: String,
        /// Another.
        second: String,
        /// The suffix of the format.
        format: &'static str,
    },
    /// Memory that cannot be shared as asked.
    #[error("{problem}; {advice}")]
    Sharing {
        /// What stands against it.
        problem: String,
        /// What to do instead.
        advice: &'static str,
    },
    /// An element type that is not possible here.
    #[error("{problem}; {advice}")]
    Type {
        /// Which, and where.
        problem: String,
        /// What to do instead.
        advice: &'static str,
    },
    /// A tensor's memory is being written while it is to be used, or used while it is to be written.
    #[error("the memory of this tensor is {0}; finish there first, or clone the tensor")]
    InUse(&'static str),
    /// There is not so much memory.
    #[error("{nbytes} bytes of memory could not be had; choose a part of the tensor, or map it")]
    OutOfMemory {
        /// How much was asked for.
        nbytes: u64,
    },
    /// A device refused or failed.
    #[error("{device}: {problem}")]
    Device {
        /// Its name: `vulkan:0`.
        device: String,
        /// What it said.
        problem: String,
    },
    /// A device has not so much memory left.
    #[error("{device}: {problem}")]
    DeviceMemory {
        /// Its name: `vulkan:0`.
        device: String,
        /// How much was asked for, how much is left, and what to do.
        problem: String,
    },
    /// One of the indices that a tensor holds leads nowhere.
    #[error("{0}")]
    Index(String),
    /// An option or argument that cannot be.
    #[error("{0}")]
    Parameter(String),
    /// A file was verified and has faults, of which this is the first.
    #[error("{0}; the callback is told of all that is wrong")]
    Faulty(String),
    /// The caller's progress callback said stop. The output is as it was before.
    #[error("cancelled; nothing was changed")]
    Cancelled,
}

impl From<torch_pickle::Error> for Error {
    fn from(source: torch_pickle::Error) -> Error {
        match &source {
            torch_pickle::Error::Io { source, .. } if is_cancelled(source) => Error::Cancelled,
            torch_pickle::Error::Cancelled { .. } => Error::Cancelled,
            _ => Error::Torch(source),
        }
    }
}

impl From<numpack_format::Error> for Error {
    fn from(source: numpack_format::Error) -> Error {
        match &source {
            numpack_format::Error::Io { source, .. } if is_cancelled(source) => Error::Cancelled,
            _ => Error::NumPack(source),
        }
    }
}

impl Error {
    /// A file that is not what it claims to be.
    pub(crate) fn damaged(path: &Path, problem: impl Into<String>) -> Error {
        Error::Torch(torch_pickle::Error::Format {
            file: path.to_owned(),
            part: torch_pickle::Part::File,
            offset: None,
            problem: problem.into(),
            advice: "copy it again, or save it anew",
        })
    }

    pub(crate) fn io(path: &Path, action: &'static str, source: io::Error) -> Error {
        if is_cancelled(&source) {
            return Error::Cancelled;
        }
        Error::Io { path: path.to_owned(), action, source }
    }

    /// A name that was not found in the object of a file.
    pub(crate) fn name(path: &Path, source: torch_pickle::Error) -> Error {
        let message = match source {
            torch_pickle::Error::Parameter { problem, .. } => problem,
            other => other.to_string(),
        };
        Error::Name { path: path.to_owned(), message }
    }
}

/// Marks an `io::Error` that carries a cancellation through a layer that knows only those.
#[derive(Debug, thiserror::Error)]
#[error("cancelled")]
struct CancelMark;

pub(crate) fn cancel_error() -> io::Error {
    io::Error::other(CancelMark)
}

pub(crate) fn is_cancelled(e: &io::Error) -> bool {
    e.get_ref().is_some_and(|inner| inner.is::<CancelMark>())
}
