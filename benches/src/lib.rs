//! Measurements of libnumpack, each beside its reference in the same run.
//!
//! `cargo run --release -p numpack-benches --bin table` prints one table. A figure is a ratio of
//! two things measured alternately, never a test: a bound that is not held reads `over`, and the
//! exit status stays 0. `cargo bench -p numpack-benches` measures the parts.
//!
//! | module | holds |
//! |---|---|
//! | [`data`] | the checkpoints that are measured, and what else has to be there |
//! | [`copier`] | the reference of conversions: the same files with the same syncs, copied |
//! | [`timing`] | pairs of measurements, their median and spread |
//! | [`table`] | the rows and how they are printed |
//! | [`machine`] | where it was measured: processor, kernel, file systems, free space |
//! | [`peers`] | other readers of the same tensors |
//! | [`rows`] | what is measured: one module for each group of rows |
//!
//! Outputs are made anew each time, and removed outside the time that is taken. What has been
//! written is on the disk before the next measurement begins.

#![deny(unsafe_code)]

pub mod copier;
pub mod data;
pub mod machine;
pub mod peers;
pub mod rows;
pub mod table;
pub mod timing;

use std::cell::Cell;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

/// The name of a place on a disk.
pub const DISK: &str = "disk";
/// The name of a place in memory.
pub const TMPFS: &str = "tmpfs";

/// A folder that measurements take place in, and what it is called in the table.
#[derive(Debug)]
pub struct Place {
    /// [`TMPFS`] or [`DISK`].
    pub name: &'static str,
    /// Gone with its content when the run ends.
    folder: tempfile::TempDir,
}

impl Place {
    /// A new folder in `parent`.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn new(name: &'static str, parent: &Path) -> Result<Place> {
        let folder = tempfile::Builder::new()
            .prefix("numpack-bench-")
            .tempdir_in(parent)
            .with_context(|| format!("make a folder in {}", parent.display()))?;
        Ok(Place { name, folder })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// A path in it.
    pub fn join(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    /// Removes an output, and waits until the file system has come to rest.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub fn discard(&self, path: &Path) -> Result<()> {
        let removed =
            if path.is_dir() { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) };
        removed.with_context(|| format!("remove {}", path.display()))?;
        self.settle()
    }

    /// Waits until all that was written here is on the disk.
    ///
    /// # Errors
    /// When the file system says so.
    pub fn settle(&self) -> Result<()> {
        let folder = File::open(self.path())?;
        rustix::fs::syncfs(&folder).context("sync the file system")
    }
}

/// The outputs of one measurement.
///
/// In memory each is removed once it is measured. On a disk it is only emptied, and all are removed
/// when the measurement ends: for minutes ext4 avoids the inodes of removed files, and searches
/// among all of them for each file that is made.
#[derive(Debug)]
pub struct Outputs<'a> {
    place: &'a Place,
    extension: &'static str,
    made: Cell<usize>,
}

impl<'a> Outputs<'a> {
    /// Outputs whose names end so.
    pub fn new(place: &'a Place, extension: &'static str) -> Outputs<'a> {
        Outputs { place, extension, made: Cell::new(0) }
    }

    fn name(&self, n: usize) -> PathBuf {
        self.place.join(&format!("out{n}.{}", self.extension))
    }

    /// How long `f` takes to make an output.
    ///
    /// # Errors
    /// Its error, or when the output cannot be cleared away.
    pub fn time<T>(&self, f: impl FnOnce(&Path) -> Result<T>) -> Result<Duration> {
        let output = self.name(self.made.get());
        let took = timing::time(|| f(&output))?;
        if self.place.name == DISK {
            self.made.set(self.made.get() + 1);
            empty(&output)?;
            self.place.settle()?;
        } else {
            self.place.discard(&output)?;
        }
        Ok(took)
    }

    /// Removes what is left.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub fn clear(self) -> Result<()> {
        (0..self.made.get()).try_for_each(|n| self.place.discard(&self.name(n)))
    }
}

/// Takes the content of a file, or of the files of a folder.
fn empty(path: &Path) -> Result<()> {
    if !path.is_dir() {
        File::options().write(true).truncate(true).open(path)?;
        return Ok(());
    }
    path.read_dir()?.try_for_each(|entry| empty(&entry?.path()))
}

/// What a run was asked to do.
#[derive(Debug)]
pub struct Settings {
    /// Pairs of each slow measurement.
    pub pairs: usize,
    /// Size of the large checkpoint in bytes.
    pub size: u64,
    /// Number of tensors of the checkpoint of tiny ones.
    pub tensors: usize,
}
