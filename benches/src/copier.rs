//! The reference of a conversion: a program that knows beforehand which bytes go where, and only
//! copies them, with the system calls for durability that the conversion makes.
//!
//! Both copiers take what they write from an output of the conversion itself, and an output of
//! theirs is compared with that byte by byte before anything is measured.

use std::collections::HashSet;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use torch_pickle::{Checkpoint, Node};

/// Up to so many files the store's writer syncs one by one; beyond, the whole file system.
const FEW: usize = 32;
const BUFFER: usize = 1 << 20;

/// How bytes are copied.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Means {
    /// `copy_file_range`.
    Kernel,
    /// `pread` and `write` with a buffer.
    Buffer,
}

/// Where the bytes of a storage are, in both forms.
struct Pair {
    /// The data file in the store.
    file: String,
    /// The range of the `.pt` file.
    offset: u64,
    len: u64,
}

fn pairs(checkpoint: &Path) -> Result<Vec<Pair>> {
    let checkpoint = Checkpoint::open(checkpoint)?;
    let tree = checkpoint.tree();
    let mut pairs = Vec::new();
    for (name, node) in tree.first_names() {
        let Node::Tensor(id) = *tree.node(node) else { continue };
        let record = checkpoint.storage_record(tree.tensor(id).storage)?.context("in pieces")?;
        let file = format!("data_{name}.npkd");
        pairs.push(Pair { file, offset: record.offset, len: record.len });
    }
    Ok(pairs)
}

/// Copies a `.pt` file into the files of its store.
pub struct FolderCopy {
    checkpoint: PathBuf,
    means: Means,
    files: Vec<(String, Content)>,
}

enum Content {
    /// A range of the checkpoint: offset and length.
    Range(u64, u64),
    Bytes(Vec<u8>),
}

impl FolderCopy {
    /// One that makes the files of `store`, which was converted from `checkpoint`.
    ///
    /// # Errors
    /// When either cannot be read, or the store has other files than expected.
    pub fn like(checkpoint: &Path, store: &Path, means: Means) -> Result<FolderCopy> {
        let mut files = Vec::new();
        for pair in pairs(checkpoint)? {
            let len = store.join(&pair.file).metadata().with_context(|| pair.file.clone())?.len();
            ensure!(len == pair.len, "{} has {len} bytes, not {}", pair.file, pair.len);
            files.push((pair.file, Content::Range(pair.offset, pair.len)));
        }
        let known: HashSet<String> = files.iter().map(|(name, _)| name.clone()).collect();
        let mut small = Vec::new();
        for name in names_in(store)? {
            if !known.contains(&name) {
                let bytes = fs::read(store.join(&name))?;
                small.push((name, Content::Bytes(bytes)));
            }
        }
        files.extend(small);
        Ok(FolderCopy { checkpoint: checkpoint.to_owned(), means, files })
    }

    /// Makes the folder `target`.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn run(&self, target: &Path) -> Result<()> {
        let source = File::open(&self.checkpoint)?;
        let temporary = hidden(target);
        fs::create_dir(&temporary)?;
        let folder = File::open(&temporary)?;
        // The store's metadata come after the count of new files.
        let is_few = self.files.iter().filter(|(name, _)| name.ends_with(".npkd")).count() <= FEW;
        let mut unsynced = Vec::new();
        let mut buffer = vec![0; BUFFER];
        for (name, content) in &self.files {
            let file = create(&folder, name)?;
            match content {
                Content::Bytes(bytes) => file.write_all_at(bytes, 0)?,
                Content::Range(offset, len) => match self.means {
                    Means::Kernel => by_kernel((&source, *offset), (&file, 0), *len)?,
                    Means::Buffer => {
                        by_buffer((&source, *offset), (&file, 0), *len, &mut buffer)?;
                    }
                },
            }
            if is_few {
                unsynced.push(file);
            }
        }
        if is_few {
            unsynced.iter().try_for_each(File::sync_all)?;
            folder.sync_all()?;
        } else {
            rustix::fs::syncfs(&folder)?;
        }
        publish(&temporary, target)
    }
}

/// Copies the files of a store into a `.pt` file.
pub struct FileCopy {
    store: PathBuf,
    means: Means,
    parts: Vec<Part>,
}

enum Part {
    /// A data file and its length.
    File(String, u64),
    /// What stands between the data: headers, the pickle, the directory.
    Bytes(Vec<u8>),
}

impl FileCopy {
    /// One that makes the file `checkpoint`, which was converted from `store`.
    ///
    /// # Errors
    /// When either cannot be read.
    pub fn like(store: &Path, checkpoint: &Path, means: Means) -> Result<FileCopy> {
        let mut pairs = pairs(checkpoint)?;
        pairs.sort_by_key(|p| p.offset);
        let source = File::open(checkpoint)?;
        let between = |from: u64, to: u64| -> Result<Part> {
            let mut bytes = vec![0; usize::try_from(to - from)?];
            source.read_exact_at(&mut bytes, from)?;
            Ok(Part::Bytes(bytes))
        };
        let mut parts = Vec::new();
        let mut at = 0;
        for pair in pairs {
            parts.push(between(at, pair.offset)?);
            at = pair.offset + pair.len;
            parts.push(Part::File(pair.file, pair.len));
        }
        parts.push(between(at, source.metadata()?.len())?);
        Ok(FileCopy { store: store.to_owned(), means, parts })
    }

    /// Makes the file `target`.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn run(&self, target: &Path) -> Result<()> {
        let folder = File::open(&self.store)?;
        let temporary = hidden(target);
        let mut out =
            Out { file: File::create_new(&temporary)?, at: 0, buffer: vec![0; BUFFER], filled: 0 };
        for part in &self.parts {
            match part {
                Part::Bytes(bytes) => out.read(&mut &bytes[..], bytes.len() as u64)?,
                Part::File(name, len) => {
                    let mut file = open(&folder, name)?;
                    match self.means {
                        Means::Buffer => out.read(&mut file, *len)?,
                        Means::Kernel => {
                            out.flush()?;
                            by_kernel((&file, 0), (&out.file, out.at), *len)?;
                            out.at += len;
                        }
                    }
                }
            }
        }
        out.flush()?;
        out.file.sync_all()?;
        publish(&temporary, target)
    }
}

/// A file that is written from its start on.
struct Out {
    file: File,
    /// Where the buffer belongs.
    at: u64,
    buffer: Vec<u8>,
    filled: usize,
}

impl Out {
    fn flush(&mut self) -> Result<()> {
        self.file.write_all_at(&self.buffer[..self.filled], self.at)?;
        self.at += self.filled as u64;
        self.filled = 0;
        Ok(())
    }

    fn read(&mut self, from: &mut impl Read, mut len: u64) -> Result<()> {
        while len > 0 {
            if self.filled == self.buffer.len() {
                self.flush()?;
            }
            let free = &mut self.buffer[self.filled..];
            let n = free.len().min(usize::try_from(len)?);
            from.read_exact(&mut free[..n])?;
            self.filled += n;
            len -= n as u64;
        }
        Ok(())
    }
}

fn hidden(target: &Path) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(target.file_name().unwrap_or_default());
    name.push(".copy");
    target.with_file_name(name)
}

/// Gives a file or folder that is on the disk its name.
pub(crate) fn publish(temporary: &Path, target: &Path) -> Result<()> {
    fs::rename(temporary, target)?;
    let parent = target.parent().context("a target without a folder")?;
    File::open(parent)?.sync_all()?;
    Ok(())
}

fn create(folder: &File, name: &str) -> Result<File> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(folder, name, flags, Mode::from_raw_mode(0o666))?.into())
}

fn open(folder: &File, name: &str) -> Result<File> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(folder, name, flags, Mode::empty())?.into())
}

fn by_kernel(from: (&File, u64), to: (&File, u64), len: u64) -> Result<()> {
    let (mut read_at, mut write_at) = (from.1, to.1);
    let end = read_at + len;
    while read_at < end {
        let rest = usize::try_from(end - read_at)?;
        match rustix::fs::copy_file_range(
            from.0,
            Some(&mut read_at),
            to.0,
            Some(&mut write_at),
            rest,
        ) {
            Ok(0) => bail!("the source ends before the range does"),
            Ok(_) | Err(Errno::INTR) => {}
            Err(Errno::XDEV | Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP | Errno::PERM) => {
                let mut buffer = vec![0; BUFFER];
                let rest = end - read_at;
                return by_buffer((from.0, read_at), (to.0, write_at), rest, &mut buffer);
            }
            Err(e) => return Err(e.into()),
        }
    }
    Ok(())
}

fn by_buffer(from: (&File, u64), to: (&File, u64), len: u64, buffer: &mut [u8]) -> Result<()> {
    let mut done = 0;
    while done < len {
        let n = buffer.len().min(usize::try_from(len - done)?);
        from.0.read_exact_at(&mut buffer[..n], from.1 + done)?;
        to.0.write_all_at(&buffer[..n], to.1 + done)?;
        done += n as u64;
    }
    Ok(())
}

fn names_in(folder: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in folder.read_dir()? {
        let name = entry?.file_name().into_string();
        names.push(name.ok().context("a name that is not UTF-8")?);
    }
    names.sort();
    Ok(names)
}

/// Compares two files, or all files of two folders.
///
/// # Errors
/// When they differ or cannot be read.
pub fn check_equal(a: &Path, b: &Path) -> Result<()> {
    if !a.is_dir() {
        return check_equal_files(a, b);
    }
    let names = names_in(a)?;
    ensure!(names == names_in(b)?, "{} and {} hold other files", a.display(), b.display());
    names.iter().try_for_each(|name| check_equal_files(&a.join(name), &b.join(name)))
}

fn check_equal_files(a: &Path, b: &Path) -> Result<()> {
    let (x, y) = (File::open(a)?, File::open(b)?);
    let differ = || format!("{} and {} differ", a.display(), b.display());
    let len = x.metadata()?.len();
    ensure!(len == y.metadata()?.len(), differ());
    let piece = BUFFER.min(usize::try_from(len)?);
    let (mut p, mut q) = (vec![0; piece], vec![0; piece]);
    let mut at = 0;
    while at < len {
        let n = piece.min(usize::try_from(len - at)?);
        x.read_exact_at(&mut p[..n], at)?;
        y.read_exact_at(&mut q[..n], at)?;
        ensure!(p[..n] == q[..n], differ());
        at += n as u64;
    }
    Ok(())
}
