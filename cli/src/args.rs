//! What can be typed.

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

/// Tensors in files: PyTorch checkpoints and NumPack stores, without PyTorch or Python.
///
/// Nothing found in a file is ever executed.
#[derive(Parser)]
#[command(name = "numpack", version, max_term_width = 100)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Convert a checkpoint to a store, or a store to a checkpoint
    Convert(ConvertArgs),
    /// List the tensors of a file
    Ls(LsArgs),
    /// Say what a file is and holds
    Info(PathArgs),
    /// Check every byte that can be checked; exit status 1 if there are faults
    Verify(PathArgs),
    /// Compare two files; exit status 1 if they differ
    Diff(DiffArgs),
    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

#[derive(clap::Args)]
pub(crate) struct PathArgs {
    /// A .pt file or a .npk folder
    pub(crate) path: PathBuf,
}

#[derive(clap::Args)]
pub(crate) struct ConvertArgs {
    /// The file to read: a checkpoint (.pt, .pth, .bin, .ckpt) or a store (.npk), told apart by
    /// content
    #[arg(value_name = "IN")]
    pub(crate) input: PathBuf,
    /// The file to write: .npk makes a store; .pt, .pth, .bin and .ckpt make a checkpoint
    #[arg(value_name = "OUT")]
    pub(crate) output: PathBuf,
    /// Convert only what stands at this key of the checkpoint: the key as it is, or a dotted path
    /// (model.encoder.weight)
    #[arg(long, value_name = "K")]
    pub(crate) key: Option<String>,
    /// Export only these arrays of the store, as a flat dict in this order
    #[arg(long, value_name = "A,B", value_delimiter = ',')]
    pub(crate) names: Option<Vec<String>>,
    /// Replace an existing store or file (never any other folder)
    #[arg(long)]
    pub(crate) overwrite: bool,
    /// Upper bound of buffers, in bytes; K, M and G are understood
    #[arg(long, value_name = "BYTES", default_value = "100M", value_parser = crate::text::parse_bytes)]
    pub(crate) chunk_size: u64,
    /// Show a progress bar on a terminal
    #[arg(long, value_enum, default_value_t = ProgressMode::Auto)]
    pub(crate) progress: ProgressMode,
    /// Give each view an array of its own instead of keeping the storage they share
    #[arg(long)]
    pub(crate) compact_views: bool,
    /// Carry over objects of unknown classes too; torch loads them only with weights_only=False
    #[arg(long)]
    pub(crate) keep_objects: bool,
    /// What to do when a checksum does not match
    #[arg(long, value_enum, default_value_t = Crc::Refuse)]
    pub(crate) crc: Crc,
    /// Align the data of each tensor in a checkpoint to this many bytes
    #[arg(long, value_name = "BYTES", default_value = "64", value_parser = ["64", "4096"])]
    pub(crate) align: String,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ProgressMode {
    /// A bar on a terminal when the work takes a while
    Auto,
    /// No bar
    Never,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Crc {
    /// Stop, and write nothing
    Refuse,
    /// Convert and warn
    Warn,
    /// Do not compute checksums
    Off,
}

#[derive(clap::Args)]
pub(crate) struct LsArgs {
    /// A .pt file or a .npk folder
    pub(crate) path: PathBuf,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// Add the SHA-256 of each tensor's elements (C order, little-endian)
    #[arg(long)]
    pub(crate) sha256: bool,
}

#[derive(clap::Args)]
pub(crate) struct DiffArgs {
    /// The first file
    pub(crate) a: PathBuf,
    /// The second file
    pub(crate) b: PathBuf,
    /// Stop after this many differences
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub(crate) max: usize,
}
