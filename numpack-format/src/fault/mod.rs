//! Faults on demand, for tests: changes to the disk fail, end the process, or are written down.
//!
//! Every change to the disk calls [`step`] before it is made, which may refuse it, and [`did`]
//! once it was made, which may log it. Both do nothing, and cost nothing, without the feature
//! `fault-injection`, but for this crate's own tests.
//!
//! [`plan`] has what can be asked for: of a whole process by its environment, or of one thread by
//! a test within it. [`record`] has the log, which says of each change what a replay needs.
//!
//! What a caller writes through the file that [`crate::ArrayWriter::splice`] lends passes here as
//! one write, so it is refused or logged as a whole. A map that is written through would not pass
//! at all.

use std::borrow::Cow;
use std::fs::File;

#[cfg(any(test, feature = "fault-injection"))]
mod plan;
#[cfg(test)]
pub(crate) mod record;

#[cfg(test)]
pub(crate) use plan::{Action, arm};
#[cfg(any(test, feature = "fault-injection"))]
pub(crate) use plan::{Ending, exchange_refused, step};

/// What the caller of [`step`] is to do.
#[derive(PartialEq, Eq, Clone, Copy)]
pub(crate) enum Fault {
    /// Nothing out of the ordinary.
    None,
    /// Write a part, then go by this.
    #[cfg(any(test, feature = "fault-injection"))]
    Short(Ending),
}

/// A change that was made, or a sync that was tried. Folders are given as open files.
#[cfg_attr(not(test), allow(dead_code, reason = "only tests look at it"))]
pub(crate) enum Did<'a> {
    /// A file was opened that may have been made by that.
    Create {
        folder: &'a File,
        name: &'a str,
        file: &'a File,
        exclusive: bool,
    },
    MakeFolder {
        folder: &'a File,
        name: &'a str,
    },
    /// The owner or the permissions of a file or folder.
    Access(&'a File),
    Write {
        file: &'a File,
        at: u64,
        bytes: &'a [u8],
    },
    /// Bytes that the caller did not see: they are in the file.
    Fill {
        file: &'a File,
        at: u64,
        len: u64,
    },
    Cut {
        file: &'a File,
        len: u64,
    },
    Rename {
        from: (&'a File, &'a str),
        to: (&'a File, Cow<'a, str>),
    },
    Exchange {
        folder: &'a File,
        names: (&'a str, Cow<'a, str>),
    },
    /// A file got this name too.
    Link {
        to: (&'a File, &'a str),
    },
    Remove {
        folder: &'a File,
        name: &'a str,
    },
    RemoveFolder {
        folder: &'a File,
        name: &'a str,
    },
    /// Of a file or folder; of a file perhaps without what nobody needs to read it.
    Sync {
        file: &'a File,
        only_data: bool,
        failed: bool,
    },
    SyncAll {
        failed: bool,
    },
}

#[cfg(not(any(test, feature = "fault-injection")))]
#[inline(always)]
pub(crate) fn step(_op: &str, _dir: &std::path::Path, _name: &str) -> std::io::Result<Fault> {
    Ok(Fault::None)
}

#[cfg(not(any(test, feature = "fault-injection")))]
#[inline(always)]
pub(crate) fn exchange_refused() -> bool {
    false
}

/// Tells of a change, for the log.
#[inline(always)]
pub(crate) fn did<'a>(what: impl FnOnce() -> Did<'a>) {
    #[cfg(test)]
    record::add(what);
    #[cfg(not(test))]
    let _ = what;
}
