//! Every access to a folder, and every change to the disk.
//!
//! Paths are relative to an open folder, so that a store keeps its files even when another takes
//! its place in the tree, and so that a hundred thousand files cost no path resolution. No
//! symbolic link inside a store is followed. Each change passes [`crate::fault::step`].
//!
//! Folders are here; [`kinds`] has what a file is, [`files`] what is done to one that is open.

mod files;
mod kinds;

use crate::error::{Error, Result};
use crate::fault::{self, Did, Fault};
use rustix::fs::{self, AtFlags, CWD, FileType, Mode, OFlags};
use rustix::io::{Errno, retry_on_intr};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

pub(crate) use files::{
    begin_to_write, cut, fill, not_plain, open_at, sync_data, sync_file, try_write_at, write_at,
};
pub(crate) use kinds::{Access, FileId, Found, Kind, is_errno};

/// An open folder. A copy of it is the same open folder.
#[derive(Clone, Debug)]
pub(crate) struct Dir {
    fd: Arc<File>,
    /// As of when it was first asked for: which folder it is stays true, the rest does not.
    id: OnceLock<FileId>,
    path: PathBuf,
    /// What new files in it get; if absent, what the process gives all its files.
    pub(crate) like: Option<Access>,
}

impl Dir {
    /// Opens a folder; the path itself may be a symbolic link.
    pub(crate) fn open(path: &Path) -> io::Result<Dir> {
        let fd = retry_on_intr(|| {
            fs::openat(
                CWD,
                path,
                OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
                Mode::empty(),
            )
        })?;
        Ok(Dir::new(fd.into(), path.to_owned()))
    }

    fn new(fd: File, path: PathBuf) -> Dir {
        Dir { fd: Arc::new(fd), id: OnceLock::new(), path, like: None }
    }

    /// Opens a folder of this folder, `None` if it is not there.
    pub(crate) fn open_dir(&self, name: &str) -> Result<Option<Dir>> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        match retry_on_intr(|| fs::openat(&self.fd, name, flags, Mode::empty())) {
            Ok(fd) => Ok(Some(Dir::new(fd.into(), self.join(name)))),
            Err(Errno::NOENT) => Ok(None),
            Err(e) => Err(Error::io("open", self.join(name))(e.into())),
        }
    }

    /// Where the folder was when it was opened.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The path of a file in the folder, for messages.
    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Whether the path still leads to this folder.
    fn still_there(&self) -> io::Result<bool> {
        self.is_at(&self.path)
    }

    /// Which folder it is.
    fn own_id(&self) -> io::Result<&FileId> {
        if let Some(id) = self.id.get() {
            return Ok(id);
        }
        let id = FileId::of(&self.fd)?;
        Ok(self.id.get_or_init(|| id))
    }

    fn is_at(&self, path: &Path) -> io::Result<bool> {
        match fs::statat(CWD, path, AtFlags::empty()) {
            Ok(s) => Ok(FileId::new(&s).same_file(self.own_id()?)),
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(false),
            Err(e) => Err(e.into()),
        }
    }

    /// Whether the path, called so in messages, still leads to this folder.
    pub(crate) fn is_here(&self, path: &Path) -> Result<bool> {
        self.still_there().map_err(Error::io("inspect", path))
    }

    /// Whether a path leads to this folder, however it was opened.
    pub(crate) fn leads_from(&self, path: &Path) -> Result<bool> {
        self.is_at(path).map_err(Error::io("inspect", path))
    }

    /// What a name stands for, `None` if nothing.
    pub(crate) fn find(&self, name: &str) -> io::Result<Option<Found>> {
        match fs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(s) => Ok(Some(Found::new(&s))),
            Err(Errno::NOENT) => Ok(None),
            Err(e) => Err(e.into()),
        }
    }

    /// The identity of what a name stands for, `None` if nothing.
    pub(crate) fn id(&self, name: &str) -> io::Result<Option<FileId>> {
        Ok(self.find(name)?.map(|found| found.id))
    }

    /// Who may use the folder.
    pub(crate) fn access(&self) -> Result<Access> {
        let stat = fs::fstat(&self.fd).map_err(|e| Error::io("inspect", &self.path)(e.into()))?;
        Ok(Access::new(&stat))
    }

    /// Who may use a file of the folder; `None` if there is no regular file of that name.
    pub(crate) fn access_of(&self, name: &str) -> Result<Option<Access>> {
        let found = self.find(name).map_err(|e| Error::io("inspect", self.join(name))(e))?;
        Ok(found.filter(|found| found.kind == Kind::File).map(|found| found.access))
    }

    /// Makes the folder one that the same may use as another.
    pub(crate) fn give_access(&self, access: Access) -> Result<()> {
        self.step("chmod", "")
            .and_then(|_| access.give(&self.fd, Access::new(&fs::fstat(&self.fd)?)))
            .map_err(Error::io("change the permissions of", &self.path))?;
        fault::did(|| Did::Access(&self.fd));
        Ok(())
    }

    /// What stands at a checked relative path, `None` if nothing. What is reached through
    /// anything but folders is [`Kind::Other`].
    pub(crate) fn kind(&self, relative: &str) -> Result<Option<Kind>> {
        if let Some((folder, rest)) = relative.split_once('/') {
            return match self.open_dir(folder) {
                Ok(Some(dir)) => dir.kind(rest),
                Ok(None) => Ok(None),
                Err(Error::Io { source, .. })
                    if is_errno(&source, &[Errno::LOOP, Errno::NOTDIR]) =>
                {
                    Ok(Some(Kind::Other))
                }
                Err(e) => Err(e),
            };
        }
        let found =
            self.find(relative).map_err(|e| Error::io("inspect", self.join(relative))(e))?;
        Ok(found.map(|found| found.kind))
    }

    /// Opens a regular file for reading by a checked relative path; `None` if it is not there.
    pub(crate) fn open_file(&self, relative: &str) -> Result<Option<(File, FileId)>> {
        let opened = self.open_as(relative, OFlags::RDONLY)?;
        Ok(opened.map(|(file, stat)| (file, FileId::new(&stat))))
    }

    /// Opens a regular file to be changed in place; the number of its names comes with it.
    pub(crate) fn open_to_change(&self, name: &str) -> Result<Option<(File, FileId, u64)>> {
        let opened = self.open_as(name, OFlags::RDWR)?;
        #[allow(
            clippy::unnecessary_cast,
            clippy::cast_lossless,
            reason = "the type differs between systems"
        )]
        Ok(opened.map(|(file, stat)| (file, FileId::new(&stat), stat.st_nlink as u64)))
    }

    fn open_as(&self, relative: &str, access: OFlags) -> Result<Option<(File, fs::Stat)>> {
        let file = || self.join(relative);
        let dirs = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let mut at: Option<std::os::fd::OwnedFd> = None;
        let (folders, name) =
            relative.rsplit_once('/').map_or((None, relative), |(f, n)| (Some(f), n));
        for folder in folders.into_iter().flat_map(|f| f.split('/')) {
            let parent = at
                .as_ref()
                .map_or_else(|| std::os::fd::AsFd::as_fd(&self.fd), std::os::fd::AsFd::as_fd);
            match retry_on_intr(|| fs::openat(parent, folder, dirs, Mode::empty())) {
                Ok(fd) => at = Some(fd),
                Err(Errno::NOENT) => return Ok(None),
                Err(Errno::LOOP | Errno::NOTDIR) => {
                    return Err(not_plain(file(), "is reached through a symbolic link or a file"));
                }
                Err(e) => return Err(Error::io("open", file())(e.into())),
            }
        }
        let parent = at
            .as_ref()
            .map_or_else(|| std::os::fd::AsFd::as_fd(&self.fd), std::os::fd::AsFd::as_fd);
        // NONBLOCK: a pipe must not keep the reader waiting.
        let flags = access | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let fd: File = match retry_on_intr(|| fs::openat(parent, name, flags, Mode::empty())) {
            Ok(fd) => fd.into(),
            Err(Errno::NOENT) => return Ok(None),
            Err(Errno::LOOP) => return Err(not_plain(file(), "is a symbolic link")),
            // Under a lease it is being written over: it has lost its name since it was looked up.
            Err(Errno::WOULDBLOCK) => return Err(Error::Changed { file: file() }),
            Err(e) => return Err(Error::io("open", file())(e.into())),
        };
        let stat = fs::fstat(&fd).map_err(|e| Error::io("inspect", file())(e.into()))?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(not_plain(file(), "is not a regular file"));
        }
        Ok(Some((fd, stat)))
    }

    /// Reads a small file whole, `None` if it is not there.
    pub(crate) fn read(
        &self,
        relative: &str,
        what: &'static str,
        limit: u64,
    ) -> Result<Option<Vec<u8>>> {
        Ok(self.read_and_keep(relative, what, limit)?.map(|(_, _, bytes)| bytes))
    }

    /// The same, with the file, still open, and which one it was while it was read.
    pub(crate) fn read_and_keep(
        &self,
        relative: &str,
        what: &'static str,
        limit: u64,
    ) -> Result<Option<(File, FileId, Vec<u8>)>> {
        let Some((file, id)) = self.open_file(relative)? else { return Ok(None) };
        let path = || self.join(relative);
        let len = id.len();
        if len > limit {
            return Err(Error::Limit { file: path(), array: None, what, value: len, limit });
        }
        let mut bytes = vec![0; len as usize];
        let read = file.read_exact_at(&mut bytes, 0);
        // Written in place meanwhile, it may be part old and part new.
        if FileId::of(&file).map_err(Error::io("inspect", path()))? != id {
            return Err(Error::Changed { file: path() });
        }
        read.map_err(Error::io("read", path()))?;
        Ok(Some((file, id, bytes)))
    }

    /// Everything in the folder. Names that are not UTF-8 come as `None`.
    pub(crate) fn entries(&self) -> Result<Vec<(Option<String>, Kind)>> {
        self.entries_where(|_| true)
    }

    /// Everything in the folder whose name, as bytes, is wanted.
    pub(crate) fn entries_where(
        &self,
        wanted: impl Fn(&[u8]) -> bool,
    ) -> Result<Vec<(Option<String>, Kind)>> {
        let fail = |e: Errno| Error::io("list", &self.path)(e.into());
        let mut out = Vec::new();
        for entry in fs::Dir::read_from(&self.fd).map_err(fail)? {
            let entry = entry.map_err(fail)?;
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") || !wanted(name.to_bytes()) {
                continue;
            }
            let mut kind = entry.file_type();
            if kind == FileType::Unknown
                && let Ok(s) = fs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW)
            {
                kind = FileType::from_raw_mode(s.st_mode);
            }
            out.push((name.to_str().ok().map(str::to_owned), Kind::new(kind)));
        }
        Ok(out)
    }

    fn step(&self, op: &str, name: &str) -> io::Result<Fault> {
        fault::step(op, &self.path, name)
    }

    /// Creates a file that must not be there yet.
    pub(crate) fn create_new(&self, name: &str) -> Result<File> {
        self.create_as(name, self.like).map_err(Error::io("create", self.join(name)))
    }

    fn create_as(&self, name: &str, like: Option<Access>) -> io::Result<File> {
        self.step("create", name)?;
        let mode = like.map_or(0o666, Access::to_begin_with);
        let file = self.open_new(name, OFlags::EXCL, mode)?;
        // The file mode mask may have taken something away.
        if let Some(like) = like
            && like.give(&file, Access::new(&fs::fstat(&file)?))?
        {
            fault::did(|| Did::Access(&file));
        }
        Ok(file)
    }

    /// Creates a file in the place of what has its name: that goes, and is not written to, for it
    /// may be a link to anything.
    pub(crate) fn create_anew(&self, name: &str, like: Option<Access>) -> Result<File> {
        let file = match self.create_as(name, like) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
                self.remove_file(name)?;
                self.create_as(name, like)
            }
            file => file,
        };
        file.map_err(Error::io("create", self.join(name)))
    }

    fn open_new(&self, name: &str, flags: OFlags, mode: fs::RawMode) -> io::Result<File> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW | flags;
        let exclusive = flags.contains(OFlags::EXCL);
        let mode = Mode::from_raw_mode(mode);
        let file: File = retry_on_intr(|| fs::openat(&self.fd, name, flags, mode))?.into();
        fault::did(|| Did::Create { folder: &self.fd, name, file: &file, exclusive });
        Ok(file)
    }

    /// Opens a lock file, and makes it if need be.
    pub(crate) fn open_lock(&self, name: &str) -> Result<(File, FileId)> {
        let there = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let open = || loop {
            match retry_on_intr(|| fs::openat(&self.fd, name, there, Mode::empty())) {
                Ok(fd) => {
                    let file: File = fd.into();
                    let stat = fs::fstat(&file)?;
                    // Who may read the store may read this too. Only its owner can see to that.
                    let given = self.like.map(|like| like.give(&file, Access::new(&stat)));
                    if matches!(given, Some(Ok(true))) {
                        fault::did(|| Did::Access(&file));
                    }
                    return Ok((file, FileId::new(&stat)));
                }
                Err(Errno::NOENT) => {}
                Err(e) => return Err(e.into()),
            }
            match self.create_as(name, self.like) {
                // Somebody else was faster.
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
                made => {
                    let file = made?;
                    let id = FileId::of(&file)?;
                    return Ok((file, id));
                }
            }
        };
        open().map_err(Error::io("open", self.join(name)))
    }

    /// Replaces a small file at once: written under another name, synced, renamed.
    pub(crate) fn replace_file(&self, temporary: &str, name: &str, bytes: &[u8]) -> Result<()> {
        let file = self.begin_file(temporary, name, bytes)?;
        self.finish_file(&file, temporary, name)
    }

    /// The first half of that: the file is written, and on its way to the disk.
    pub(crate) fn begin_file(&self, temporary: &str, name: &str, bytes: &[u8]) -> Result<File> {
        let file = self.create_anew(temporary, self.access_of(name)?.or(self.like))?;
        write_at(&file, bytes, 0, &self.join(temporary))?;
        begin_to_write(&file);
        Ok(file)
    }

    /// The second half.
    pub(crate) fn finish_file(&self, file: &File, temporary: &str, name: &str) -> Result<()> {
        sync_file(file, &self.join(temporary))?;
        self.rename(temporary, self, name)
    }

    /// Gives a file a second name, which must be free; `false` where the file system cannot.
    pub(crate) fn link(&self, from: &str, to_dir: &Dir, to: &str) -> Result<bool> {
        let fail = Error::io("link", self.join(from));
        if let Err(e) = to_dir.step("link", to) {
            return Err(fail(e));
        }
        match fs::linkat(&self.fd, from, &to_dir.fd, to, AtFlags::empty()) {
            Ok(()) => {
                fault::did(|| Did::Link { to: (&to_dir.fd, to) });
                Ok(true)
            }
            Err(Errno::PERM | Errno::OPNOTSUPP | Errno::MLINK | Errno::XDEV | Errno::NOSYS) => {
                Ok(false)
            }
            Err(e) => Err(fail(e.into())),
        }
    }

    /// Moves a file; what stands under the new name goes.
    pub(crate) fn rename(&self, from: &str, to_dir: &Dir, to: &str) -> Result<()> {
        self.try_rename(from, to_dir, to).map_err(Error::io("rename", self.join(from)))
    }

    /// The same, with the system's own word on why not.
    pub(crate) fn try_rename(
        &self,
        from: &str,
        to_dir: &Dir,
        to: impl rustix::path::Arg + Copy,
    ) -> io::Result<()> {
        self.step("rename", from)?;
        retry_on_intr(|| fs::renameat(&self.fd, from, &to_dir.fd, to))?;
        fault::did(|| Did::Rename {
            from: (&self.fd, from),
            to: (&to_dir.fd, to.to_string_lossy()),
        });
        Ok(())
    }

    /// Moves a file to a name that nothing has; `false`, and nothing is moved, if something has it.
    pub(crate) fn rename_new(
        &self,
        from: &str,
        to: impl rustix::path::Arg + Copy,
    ) -> io::Result<bool> {
        self.step("rename", from)?;
        #[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
        {
            let no_replace = fs::RenameFlags::NOREPLACE;
            match retry_on_intr(|| fs::renameat_with(&self.fd, from, &self.fd, to, no_replace)) {
                Ok(()) => {
                    fault::did(|| Did::Rename {
                        from: (&self.fd, from),
                        to: (&self.fd, to.to_string_lossy()),
                    });
                    return Ok(true);
                }
                Err(Errno::EXIST) => return Ok(false),
                Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {}
                Err(e) => return Err(e.into()),
            }
        }
        // A second name never takes the place of another.
        match fs::linkat(&self.fd, from, &self.fd, to, AtFlags::empty()) {
            Ok(()) => {}
            Err(Errno::EXIST) => return Ok(false),
            Err(e) => return Err(e.into()),
        }
        fs::unlinkat(&self.fd, from, AtFlags::empty())?;
        Ok(true)
    }

    /// Exchanges two entries at once; `false` where the file system cannot.
    pub(crate) fn exchange(&self, a: &str, b: impl rustix::path::Arg + Copy) -> io::Result<bool> {
        if fault::exchange_refused() {
            return Ok(false);
        }
        self.step("exchange", a)?;
        #[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
        {
            match retry_on_intr(|| {
                fs::renameat_with(&self.fd, a, &self.fd, b, fs::RenameFlags::EXCHANGE)
            }) {
                Ok(()) => {
                    fault::did(|| Did::Exchange {
                        folder: &self.fd,
                        names: (a, b.to_string_lossy()),
                    });
                    Ok(true)
                }
                Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP | Errno::BUSY | Errno::XDEV) => {
                    Ok(false)
                }
                Err(e) => Err(e.into()),
            }
        }
        #[cfg(not(any(target_os = "linux", target_os = "android", target_vendor = "apple")))]
        {
            let _ = b;
            Ok(false)
        }
    }

    /// Removes a file by a checked relative path; it is no error if it is not there.
    pub(crate) fn remove_file(&self, relative: &str) -> Result<()> {
        let fail = Error::io("remove", self.join(relative));
        if let Some((folders, name)) = relative.rsplit_once('/') {
            let mut dir = self.clone();
            for folder in folders.split('/') {
                match dir.open_dir(folder)? {
                    Some(next) => dir = next,
                    None => return Ok(()),
                }
            }
            return dir.remove_file(name);
        }
        if let Err(e) = self.step("remove", relative) {
            return Err(fail(e));
        }
        match fs::unlinkat(&self.fd, relative, AtFlags::empty()) {
            Ok(()) => {
                fault::did(|| Did::Remove { folder: &self.fd, name: relative });
                Ok(())
            }
            Err(Errno::NOENT) => Ok(()),
            Err(e) => Err(fail(e.into())),
        }
    }

    /// Removes a folder if it is empty; `false` if it stays because it is not.
    pub(crate) fn remove_dir(&self, name: &str) -> Result<bool> {
        self.step("rmdir", name).map_err(Error::io("remove", self.join(name)))?;
        match fs::unlinkat(&self.fd, name, AtFlags::REMOVEDIR) {
            Ok(()) => {
                fault::did(|| Did::RemoveFolder { folder: &self.fd, name });
                Ok(true)
            }
            Err(Errno::NOENT) => Ok(true),
            Err(Errno::NOTEMPTY | Errno::EXIST) => Ok(false),
            Err(e) => Err(Error::io("remove", self.join(name))(e.into())),
        }
    }

    /// Makes a folder; `false` if there is something of that name.
    pub(crate) fn make_dir(&self, name: &str, mode: fs::RawMode) -> Result<bool> {
        self.step("mkdir", name).map_err(Error::io("create", self.join(name)))?;
        match fs::mkdirat(&self.fd, name, Mode::from_raw_mode(mode)) {
            Ok(()) => {
                fault::did(|| Did::MakeFolder { folder: &self.fd, name });
                Ok(true)
            }
            Err(Errno::EXIST) => Ok(false),
            Err(e) => Err(Error::io("create", self.join(name))(e.into())),
        }
    }

    /// Makes what happened to the folder's entries durable.
    pub(crate) fn sync(&self) -> Result<()> {
        let synced = self.step("syncdir", "").and_then(|_| self.fd.sync_all());
        let failed = synced.is_err();
        fault::did(|| Did::Sync { file: &self.fd, only_data: false, failed });
        synced.map_err(Error::io("sync", &self.path))
    }

    /// Makes everything on the file system durable; `false` where that cannot be relied on, or
    /// would not tell of a write that failed.
    pub(crate) fn sync_file_system(&self) -> Result<bool> {
        #[cfg(target_os = "linux")]
        {
            /// ext2 to ext4, XFS, Btrfs, F2FS, tmpfs. What stacks on others, or goes over a wire,
            /// may not hear of such a request, or not of its errors.
            const LOCAL: [u64; 5] = [0xef53, 0x5846_5342, 0x9123_683e, 0xf2f5_2010, 0x0102_1994];
            let fail = |e: Errno| Error::io("sync the file system of", &self.path)(e.into());
            #[allow(
                clippy::unnecessary_cast,
                clippy::cast_lossless,
                reason = "the type differs between systems"
            )]
            let kind = fs::fstatfs(&self.fd).map_err(fail)?.f_type as u64 & 0xffff_ffff;
            if !LOCAL.contains(&kind) || !syncfs_tells_errors() {
                return Ok(false);
            }
            if let Err(e) = self.step("syncfs", "") {
                fault::did(|| Did::SyncAll { failed: true });
                return Err(Error::io("sync the file system of", &self.path)(e));
            }
            match fs::syncfs(&self.fd) {
                Ok(()) => {
                    fault::did(|| Did::SyncAll { failed: false });
                    Ok(true)
                }
                Err(Errno::NOSYS | Errno::INVAL | Errno::OPNOTSUPP) => Ok(false),
                Err(e) => Err(fail(e)),
            }
        }
        #[cfg(not(target_os = "linux"))]
        {
            Ok(false)
        }
    }

    /// Whether both are one folder.
    pub(crate) fn same_as(&self, other: &Dir) -> Result<bool> {
        let id = |dir: &'_ Dir| dir.own_id().copied().map_err(Error::io("inspect", &dir.path));
        Ok(id(self)?.same_file(&id(other)?))
    }
}

/// Before Linux 5.8, `syncfs` succeeded whatever became of the data.
#[cfg(target_os = "linux")]
fn syncfs_tells_errors() -> bool {
    let uname = rustix::system::uname();
    let release = uname.release().to_string_lossy();
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|n| n.parse::<u32>().ok());
    let (major, minor) = (numbers.next().flatten(), numbers.next().flatten());
    (major, minor.unwrap_or(0)) >= (Some(5), 8)
}
