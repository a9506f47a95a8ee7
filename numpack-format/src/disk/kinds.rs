//! What a file or folder is: which one, of which kind, and who may use it.

use rustix::fs::{self, FileType, Mode};
use rustix::io::Errno;
use std::fs::File;
use std::io;

/// What tells one file from another, and from itself before a change.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct FileId {
    device: u64,
    inode: u64,
    len: u64,
    modified: (i64, u64),
}

impl FileId {
    #[allow(
        clippy::unnecessary_cast,
        clippy::cast_lossless,
        reason = "the types differ between systems"
    )]
    pub(super) fn new(s: &fs::Stat) -> FileId {
        FileId {
            device: s.st_dev as u64,
            inode: s.st_ino as u64,
            len: s.st_size as u64,
            modified: (s.st_mtime as i64, s.st_mtime_nsec as u64),
        }
    }

    /// The identity of an open file.
    pub(crate) fn of(file: &File) -> io::Result<FileId> {
        Ok(FileId::new(&fs::fstat(file)?))
    }

    /// Whether both are one file, changed or not.
    pub(crate) fn same_file(&self, other: &FileId) -> bool {
        (self.device, self.inode) == (other.device, other.inode)
    }

    pub(crate) fn len(&self) -> u64 {
        self.len
    }
}

/// Who may use a file or folder: what one that takes the place of another gets from it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Access {
    mode: u32,
    owner: u32,
    group: u32,
}

impl Access {
    #[allow(
        clippy::unnecessary_cast,
        clippy::useless_conversion,
        reason = "the types differ between systems"
    )]
    pub(super) fn new(s: &fs::Stat) -> Access {
        let mode = u32::from(s.st_mode) & 0o7777;
        Access { mode, owner: s.st_uid, group: s.st_gid }
    }

    /// What a file has of it, without the bits that only folders and programs use.
    pub(super) fn of_file(self) -> Access {
        Access { mode: self.mode & 0o777, ..self }
    }

    /// The permissions that a file may be made with before it gets this access: its owner and
    /// group may be others until then, so only what owner, group and all others may do alike is
    /// open to anyone but the process that makes it.
    pub(super) fn to_begin_with(self) -> fs::RawMode {
        let (owner, group, other) = (self.mode >> 6 & 7, self.mode >> 3 & 7, self.mode & 7);
        let all = owner & group & other;
        (owner << 6 | all << 3 | all) as fs::RawMode
    }

    /// Gives this access to a file or folder that has another; `false` if it has this one.
    pub(super) fn give(self, to: &File, mut now: Access) -> io::Result<bool> {
        if now == self {
            return Ok(false);
        }
        if (now.owner, now.group) != (self.owner, self.group) {
            // Only some may give files away; the group alone may be possible.
            let given = |r: io::Result<()>| match r {
                Err(e) if is_errno(&e, &[Errno::PERM, Errno::INVAL]) => Ok(false),
                other => other.map(|()| true),
            };
            let unix = std::os::unix::fs::fchown::<&File>;
            if !given(unix(to, Some(self.owner), Some(self.group)))? {
                given(unix(to, None, Some(self.group)))?;
            }
            // A change of owner may take bits away.
            now = Access::new(&fs::fstat(to)?);
        }
        if now.mode != self.mode {
            fs::fchmod(to, Mode::from_raw_mode(self.mode as fs::RawMode))?;
        }
        Ok(true)
    }
}

/// What stands under a name.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found {
    pub(crate) id: FileId,
    pub(crate) kind: Kind,
    /// How many names it has.
    pub(crate) links: u64,
    /// Who may use it, if it is a file.
    pub(crate) access: Access,
}

impl Found {
    /// What an open file is.
    pub(crate) fn of(file: &File) -> io::Result<Found> {
        Ok(Found::new(&fs::fstat(file)?))
    }

    #[allow(
        clippy::unnecessary_cast,
        clippy::cast_lossless,
        reason = "the type differs between systems"
    )]
    pub(super) fn new(s: &fs::Stat) -> Found {
        Found {
            id: FileId::new(s),
            kind: Kind::new(FileType::from_raw_mode(s.st_mode)),
            links: s.st_nlink as u64,
            access: Access::new(s).of_file(),
        }
    }
}

/// Whether an error is one of these.
pub(crate) fn is_errno(e: &io::Error, which: &[Errno]) -> bool {
    which.iter().any(|n| e.raw_os_error() == Some(n.raw_os_error()))
}

/// What an entry of a folder is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    File,
    Folder,
    Other,
}

impl Kind {
    pub(super) fn new(kind: FileType) -> Kind {
        match kind {
            FileType::RegularFile => Kind::File,
            FileType::Directory => Kind::Folder,
            _ => Kind::Other,
        }
    }
}
