//! Prints one table of measurements.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::{Parser, ValueEnum};
use numpack_benches::rows::{
    changes, convert, device, gather, memory, open, python, read, store, train, zip,
};
use numpack_benches::table::Table;
use numpack_benches::{DISK, Place, Settings, TMPFS, data, machine};

/// Measures libnumpack beside its references and prints a table.
///
/// With NUMPACK_BENCH_PYTHON set to a Python that has torch, torch is measured too; with
/// NUMPACK_BENCH_VULKAN_PYTHON to one that has ncnn and grilly, those are.
#[derive(Parser)]
struct Args {
    /// Only this group of rows; may be given several times
    #[arg(long, value_name = "NAME")]
    only: Vec<Group>,
    /// Pairs of each measurement
    #[arg(long, value_name = "N", default_value_t = 7, value_parser = clap::value_parser!(u16).range(1..))]
    pairs: u16,
    /// Size of the large checkpoint
    #[arg(long, value_name = "MIB", default_value_t = 1024, value_parser = clap::value_parser!(u64).range(8..=1 << 20))]
    size: u64,
    /// Tensors of the checkpoint of tiny ones
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1..))]
    tensors: u32,
    /// A folder on a disk; by default the build folder
    #[arg(long, value_name = "DIR")]
    folder: Option<PathBuf>,
    /// A folder in memory
    #[arg(long, value_name = "DIR", default_value = "/dev/shm")]
    memory_folder: PathBuf,
}

/// A group of rows.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Group {
    /// A large checkpoint becomes a store
    FromTorch,
    /// A large store becomes a checkpoint
    ToTorch,
    /// Resident memory of both
    Memory,
    /// Opening and listing the large checkpoint
    Open,
    /// Opening and listing the checkpoint of tiny tensors
    Many,
    /// Reading tensors of a checkpoint, and the memory that listing one takes
    Read,
    /// Conversions of tiny tensors, both ways
    Tiny,
    /// Our archive writer beside the zip crate's
    Zip,
    /// Saving, loading, opening and packing a store
    Store,
    /// Appending, replacing and dropping rows of a store
    Changes,
    /// Picking rows of a store
    Gather,
    /// The Python package, which cargo xtask bench installs
    Python,
    /// Transfers and kernels on a Vulkan device, which cargo xtask vulkan DRIVER chooses
    Device,
    /// Training on such a device
    Train,
}

fn main() -> Result<()> {
    let words: Vec<_> = std::env::args_os().collect();
    if let [_, child, input, output] = &words[..] {
        if child == memory::CHILD {
            return memory::child(Path::new(input), Path::new(output));
        }
        if child == read::CHILD {
            return read::child(Path::new(input));
        }
        if child == changes::CHILD {
            return changes::child(Path::new(input), &output.to_string_lossy());
        }
    }
    let args = Args::parse();
    let wants = |groups: &[Group]| {
        args.only.is_empty() || groups.iter().any(|group| args.only.contains(group))
    };
    let folder = args.folder.clone().unwrap_or_else(build_folder);
    std::fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
    let settings = Settings {
        pairs: args.pairs.into(),
        size: args.size << 20,
        tensors: args.tensors as usize,
    };
    let large = wants(&[
        Group::FromTorch,
        Group::ToTorch,
        Group::Memory,
        Group::Open,
        Group::Read,
        Group::Zip,
        Group::Store,
        Group::Changes,
        Group::Python,
    ]);
    let tiny = wants(&[Group::Many, Group::Read, Group::Tiny, Group::Zip]);
    // Stores of tiny tensors: the input, two to compare, and one output; on the disk also the
    // emptied files of the others, those of the large store among them.
    let store = if tiny { settings.tensors as u64 } else { 0 };
    let emptied = 2 * (settings.pairs as u64 + 1) * (store + 2 * data::LARGE_TENSORS as u64);
    for (parent, emptied) in [(&folder, emptied), (&args.memory_folder, 0)] {
        let files = 4 * store + 1000;
        // Four files of the large size: input and store, one output, and what it is compared
        // with or another format's. A tiny file takes a block and its inode.
        let bytes = if large { 4 * settings.size } else { 0 } + files * (5 << 10) + (64 << 20);
        let files = files + emptied;
        eprintln!("needs {} MiB and {files} files in {}", bytes >> 20, parent.display());
        machine::check_space(parent, bytes, files)?;
    }

    let disk = Place::new(DISK, &folder)?;
    let tmpfs = Place::new(TMPFS, &args.memory_folder)?;
    let (s, mut table) = (&settings, Table::default());
    if wants(&[Group::FromTorch]) {
        convert::from_torch(&tmpfs, s, [1.2, 1.5], &mut table)?;
        convert::from_torch(&disk, s, [1.15, 1.3], &mut table)?;
    }
    if wants(&[Group::ToTorch]) {
        convert::to_torch(&tmpfs, s, 1.5, &mut table)?;
        convert::to_torch(&disk, s, 1.3, &mut table)?;
    }
    if wants(&[Group::Memory]) {
        memory::memory(&disk, s, &mut table)?;
    }
    if wants(&[Group::Open]) {
        open::large(&disk, s, &mut table)?;
    }
    if wants(&[Group::Many]) {
        open::many(&disk, s, &mut table)?;
    }
    if wants(&[Group::Read]) {
        read::one(&disk, s, &mut table)?;
        read::warm(&tmpfs, s, &mut table)?;
        read::warm(&disk, s, &mut table)?;
        read::list_memory(&tmpfs, s, &mut table)?;
    }
    if wants(&[Group::Tiny]) {
        convert::tiny(&tmpfs, s, &mut table)?;
        convert::tiny(&disk, s, &mut table)?;
    }
    if wants(&[Group::Zip]) {
        zip::zip(&tmpfs, s, &mut table)?;
    }
    if wants(&[Group::Store]) {
        store::store(&tmpfs, s, &mut table)?;
        store::store(&disk, s, &mut table)?;
    }
    if wants(&[Group::Changes]) {
        changes::changes(&tmpfs, s, &mut table)?;
        changes::changes(&disk, s, &mut table)?;
        changes::memory(&disk, s, &mut table)?;
    }
    if wants(&[Group::Gather]) {
        gather::gather(&tmpfs, s, &mut table)?;
    }
    // Only where it is asked for: not every machine has a package, or a device.
    if args.only.contains(&Group::Python) {
        python::python(&tmpfs, &disk, s, &mut table)?;
    }
    if args.only.contains(&Group::Device) {
        device::device(s, &mut table)?;
    }
    if args.only.contains(&Group::Train) {
        train::train(s, &mut table)?;
    }
    println!("{}\n{table}", machine::heading(disk.path(), tmpfs.path()));
    Ok(())
}

/// Where cargo builds: on a disk, most likely, and ignored by git.
fn build_folder() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| PathBuf::from("target"), PathBuf::from)
}
