//! A log of what a thread did to the disk, with all that is needed to do it again.
//!
//! Files and folders are known by their inodes, so that a name tells no lies about what it stood
//! for. A number that is free may be given again; the log is read in order, and whatever made the
//! new file comes first.

use super::Did;
use std::cell::RefCell;
use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};

/// A change, or a sync.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Op {
    Create {
        folder: u64,
        name: String,
        file: u64,
        exclusive: bool,
        mode: u32,
    },
    MakeFolder {
        folder: u64,
        name: String,
        made: u64,
        mode: u32,
    },
    Mode {
        inode: u64,
        mode: u32,
    },
    Write {
        file: u64,
        at: u64,
        bytes: Vec<u8>,
    },
    Cut {
        file: u64,
        len: u64,
    },
    Rename {
        from: (u64, String),
        to: (u64, String),
    },
    Exchange {
        folder: u64,
        names: [String; 2],
    },
    Link {
        file: u64,
        to: (u64, String),
    },
    Remove {
        folder: u64,
        name: String,
    },
    RemoveFolder {
        folder: u64,
        name: String,
    },
    Sync {
        inode: u64,
        only_data: bool,
        failed: bool,
    },
    SyncAll {
        failed: bool,
    },
    /// A call returned, and its change was promised to last.
    Returned,
}

thread_local! {
    static LOG: RefCell<Option<Vec<Op>>> = const { RefCell::new(None) };
}

/// While it lives, the thread's changes are logged.
pub(crate) struct Recorder(());

impl Recorder {
    pub(crate) fn start() -> Recorder {
        LOG.with(|l| *l.borrow_mut() = Some(Vec::new()));
        Recorder(())
    }

    /// Adds that a call has returned.
    pub(crate) fn returned(&self) {
        LOG.with(|l| l.borrow_mut().as_mut().map(|log| log.push(Op::Returned)));
    }

    /// Ends the log.
    pub(crate) fn finish(self) -> Vec<Op> {
        LOG.with(|l| l.borrow_mut().take()).unwrap_or_default()
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        LOG.with(|l| *l.borrow_mut() = None);
    }
}

pub(super) fn add<'a>(what: impl FnOnce() -> Did<'a>) {
    LOG.with(|l| {
        if let Some(log) = l.borrow_mut().as_mut() {
            // A log with a gap would prove nothing.
            log.push(op(what()).expect("a change that was made can be looked at"));
        }
    });
}

fn op(did: Did<'_>) -> io::Result<Op> {
    let inode = |file: &File| Ok::<u64, io::Error>(file.metadata()?.ino());
    let mode = |file: &File| Ok::<u32, io::Error>(file.metadata()?.mode() & 0o7777);
    let place = |(folder, name): (&File, &str)| Ok::<_, io::Error>((inode(folder)?, name.into()));
    let found = |folder: &File, name: &str| {
        let flags = rustix::fs::AtFlags::SYMLINK_NOFOLLOW;
        let stat = rustix::fs::statat(folder, name, flags)?;
        Ok::<_, io::Error>((stat.st_ino, stat.st_mode & 0o7777))
    };
    Ok(match did {
        Did::Create { folder, name, file, exclusive } => Op::Create {
            folder: inode(folder)?,
            name: name.into(),
            file: inode(file)?,
            exclusive,
            mode: mode(file)?,
        },
        Did::MakeFolder { folder, name } => {
            let (made, mode) = found(folder, name)?;
            Op::MakeFolder { folder: inode(folder)?, name: name.into(), made, mode }
        }
        Did::Access(file) => Op::Mode { inode: inode(file)?, mode: mode(file)? },
        Did::Write { file, at, bytes } => {
            Op::Write { file: inode(file)?, at, bytes: bytes.to_vec() }
        }
        Did::Fill { file, at, len } => {
            let mut bytes = vec![0; len as usize];
            file.read_exact_at(&mut bytes, at)?;
            Op::Write { file: inode(file)?, at, bytes }
        }
        Did::Cut { file, len } => Op::Cut { file: inode(file)?, len },
        Did::Rename { from, to } => {
            Op::Rename { from: place(from)?, to: (inode(to.0)?, to.1.into_owned()) }
        }
        Did::Exchange { folder, names } => Op::Exchange {
            folder: inode(folder)?,
            names: [names.0.to_owned(), names.1.into_owned()],
        },
        Did::Link { to } => Op::Link { file: found(to.0, to.1)?.0, to: place(to)? },
        Did::Remove { folder, name } => Op::Remove { folder: inode(folder)?, name: name.into() },
        Did::RemoveFolder { folder, name } => {
            Op::RemoveFolder { folder: inode(folder)?, name: name.into() }
        }
        Did::Sync { file, only_data, failed } => {
            Op::Sync { inode: inode(file)?, only_data, failed }
        }
        Did::SyncAll { failed } => Op::SyncAll { failed },
    })
}
