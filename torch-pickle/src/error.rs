//! What can go wrong, by whose fault it is.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// The result of this crate's functions.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a file could not be read or written.
///
/// Each message names the file, the part of it, the byte offset where there is one, what was
/// expected, and what to do next where that is known.
///
/// ```
/// use torch_pickle::{Checkpoint, Error};
/// let err = Checkpoint::open("no/such/file.pt").unwrap_err();
/// assert!(matches!(err, Error::Io { .. }));
/// assert!(err.to_string().starts_with("no/such/file.pt: cannot open"));
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused, or the disk failed.
    #[error("{}: cannot {action}{}: {source}", file.display(), At(*offset))]
    Io {
        /// The file.
        file: PathBuf,
        /// What was tried: `open`, `read`.
        action: &'static str,
        /// Where in the file.
        offset: Option<u64>,
        /// The system's own error.
        source: io::Error,
    },
    /// The file is damaged, or was never what it claims to be.
    #[error("{}{}{problem}{}", FileName(file), Place(part, *offset), Advice(advice))]
    Format {
        /// The file.
        file: PathBuf,
        /// The part of it that is wrong.
        part: Part,
        /// Where: in the file, or in the pickle where `part` is one.
        offset: Option<u64>,
        /// What was found and what was expected.
        problem: String,
        /// What to do next; empty where nothing helps.
        advice: &'static str,
    },
    /// The file may be sound, but this crate does not read that.
    #[error("{}{}{what}{}", FileName(file), Place(part, *offset), Advice(advice))]
    Unsupported {
        /// The file.
        file: PathBuf,
        /// The part of it.
        part: Part,
        /// Where: in the file, or in the pickle where `part` is one.
        offset: Option<u64>,
        /// What is not supported.
        what: String,
        /// What to do instead; empty where nothing helps.
        advice: &'static str,
    },
    /// The caller asked for something that cannot be.
    #[error("{parameter}: {problem}{}", Advice(advice))]
    Parameter {
        /// The argument.
        parameter: &'static str,
        /// What is wrong with it.
        problem: String,
        /// What to pass instead; empty where that is plain.
        advice: &'static str,
    },
    /// A limit set by the caller, or by this crate against hostile files, was reached.
    #[error(
        "{}{}needs {needed} {unit}, and the limit `{limit}` is {allowed}; raise it if the file is trusted",
        FileName(file), Place(part, *offset)
    )]
    Limit {
        /// The file; empty for a tree that has none.
        file: PathBuf,
        /// The part of it.
        part: Part,
        /// Where, if that is known.
        offset: Option<u64>,
        /// The name of the limit.
        limit: &'static str,
        /// How much would be needed, at the least.
        needed: u64,
        /// How much is allowed.
        allowed: u64,
        /// What is counted: `bytes`, `names`.
        unit: &'static str,
    },
    /// The caller's own function asked to stop.
    #[error("{}cancelled", FileName(file))]
    Cancelled {
        /// The file that was being worked on; may be empty.
        file: PathBuf,
    },
}

impl Error {
    pub(crate) fn io(
        file: &Path,
        action: &'static str,
        offset: Option<u64>,
        source: io::Error,
    ) -> Error {
        Error::Io { file: file.to_owned(), action, offset, source }
    }

    pub(crate) fn format(
        file: &Path,
        part: Part,
        offset: impl Into<Option<u64>>,
        problem: impl Into<String>,
    ) -> Error {
        Error::Format {
            file: file.to_owned(),
            part,
            offset: offset.into(),
            problem: problem.into(),
            advice: "",
        }
    }

    pub(crate) fn unsupported(
        file: &Path,
        part: Part,
        offset: impl Into<Option<u64>>,
        what: impl Into<String>,
        advice: &'static str,
    ) -> Error {
        let (file, offset, what) = (file.to_owned(), offset.into(), what.into());
        Error::Unsupported { file, part, offset, what, advice }
    }

    pub(crate) fn limit(
        file: &Path,
        part: Part,
        limit: &'static str,
        needed: u64,
        allowed: u64,
        unit: &'static str,
    ) -> Error {
        Error::Limit { file: file.to_owned(), part, offset: None, limit, needed, allowed, unit }
    }
}

/// The part of a file that an error is about.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Part {
    /// The file as a whole.
    File,
    /// The end record of the zip archive.
    EndRecord,
    /// The central directory of the zip archive.
    Directory,
    /// A record, by its name in the archive. Offsets count from the start of the file.
    Record(Box<str>),
    /// A pickle, by the name of its record. Offsets count from the start of the pickle.
    Pickle(Box<str>),
    /// A tensor, by its path in the object or its number in the pickle.
    Tensor(Box<str>),
    /// The object that was loaded.
    Object,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Part::File => f.write_str("the file"),
            Part::EndRecord => f.write_str("end record"),
            Part::Directory => f.write_str("central directory"),
            Part::Record(name) => write!(f, "record {name}"),
            Part::Pickle(name) => write!(f, "pickle {name}"),
            Part::Tensor(name) => write!(f, "tensor {name}"),
            Part::Object => f.write_str("object"),
        }
    }
}

struct At(Option<u64>);

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(offset) => write!(f, " at byte {offset}"),
            None => Ok(()),
        }
    }
}

/// The part of the file, unless it is all of it.
struct Place<'a>(&'a Part, Option<u64>);

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place(Part::File, None) => Ok(()),
            Place(part, offset) => write!(f, "{part}{}: ", At(*offset)),
        }
    }
}

struct Advice<'a>(&'a str);

impl fmt::Display for Advice<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() { Ok(()) } else { write!(f, "; {}", self.0) }
    }
}

struct FileName<'a>(&'a Path);

impl fmt::Display for FileName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.as_os_str().is_empty() { Ok(()) } else { write!(f, "{}: ", self.0.display()) }
    }
}

/// An error inside a pickle, before the file it came from is known.
#[derive(Debug)]
pub(crate) struct Fault(Box<(u64, FaultKind)>);

#[derive(Debug)]
pub(crate) enum FaultKind {
    Format(String),
    /// It ends too early, and needs so many bytes at least.
    Truncated(String, u64),
    Unsupported(String, &'static str),
    Limit {
        limit: &'static str,
        needed: u64,
        allowed: u64,
        unit: &'static str,
    },
}

impl Fault {
    pub(crate) fn new(offset: u64, kind: FaultKind) -> Fault {
        Fault(Box::new((offset, kind)))
    }

    pub(crate) fn format(offset: u64, problem: impl Into<String>) -> Fault {
        Fault::new(offset, FaultKind::Format(problem.into()))
    }

    /// How long the pickle must be at least, where it is only too short.
    pub(crate) fn needs(&self) -> Option<u64> {
        match self.0.1 {
            FaultKind::Truncated(_, needs) => Some(needs),
            _ => None,
        }
    }

    pub(crate) fn into_error(self, file: &Path, part: Part) -> Error {
        let (offset, kind) = *self.0;
        match kind {
            FaultKind::Format(problem) | FaultKind::Truncated(problem, _) => {
                Error::format(file, part, offset, problem)
            }
            FaultKind::Unsupported(what, advice) => {
                Error::unsupported(file, part, offset, what, advice)
            }
            FaultKind::Limit { limit, needed, allowed, unit } => Error::Limit {
                file: file.to_owned(),
                part,
                offset: Some(offset),
                limit,
                needed,
                allowed,
                unit,
            },
        }
    }
}
