//! What can be typed.

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

use crate::rows::Choice;

/// Tensors in files: PyTorch checkpoints, NumPack stores and packages, without PyTorch or Python.
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
    /// Convert tensors from one kind of file to another
    Convert(ConvertArgs),
    /// List the tensors of a file
    Ls(LsArgs),
    /// Say what a file is and holds; print the object in it
    Info(InfoArgs),
    /// Check every byte that can be checked; exit status 1 if there are faults
    Verify(PathArgs),
    /// Compare two files; exit status 1 if they differ
    Diff(DiffArgs),
    /// Say what files would do to whoever unpickles them; exit status 1 if there is danger
    ///
    /// Each pickle that can be reached is read, in archives that are damaged or odd too, and each
    /// global that it mentions is told: known (torch.load takes it with weights_only=True), refused
    /// (harmless, and weights_only does not take it), unknown, or dangerous. Nothing is executed or
    /// imported. Exit status 2 if a file, or a part that can hold a pickle, could not be read and
    /// no danger was found in it.
    Scan(ScanArgs),
    /// Print rows of a tensor, or write them as a .npy file
    ///
    /// A row is a line: its elements in C order, with a space between. Booleans are 0 and 1.
    /// Floats are the shortest decimals that read back as the same number; float16, bfloat16 and
    /// float8 are shown as the float32 that they equal. Complex numbers are a+bj.
    Cat(CatArgs),
    /// Add rows from .npy, .npz and .safetensors files to arrays of a store
    ///
    /// All arrays get their rows in one commit, or none does. Element type and all dimensions but
    /// the first must be those of the array.
    #[command(
        override_usage = "numpack append [OPTIONS] <STORE> <ARRAY> <FILE> [<ARRAY> <FILE>]..."
    )]
    Append(AppendArgs),
    /// Drop rows of arrays of a store, or whole arrays
    ///
    /// All of it is one commit. Dropped rows are skipped from then on; compact frees their room.
    Drop(DropArgs),
    /// Give an array of a store another name
    Rename(RenameArgs),
    /// Free the room of dropped rows, and say how many there were
    Compact(CompactArgs),
    /// Make a package of a store: one file to send and to keep
    Pack(PackArgs),
    /// Make a store of a package
    Unpack(UnpackArgs),
    /// List the GPUs that Vulkan finds, and say which cannot be used and why
    Devices(DevicesArgs),
    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

#[derive(clap::Args)]
pub(crate) struct PathArgs {
    /// A checkpoint (.pt), a store (.npk), a package (.npkg), or a .safetensors, .npy or .npz
    /// file, told apart by content
    pub(crate) path: PathBuf,
}

#[derive(clap::Args)]
pub(crate) struct DevicesArgs {
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(clap::Args)]
pub(crate) struct InfoArgs {
    /// A checkpoint (.pt), a store (.npk) or a package (.npkg), told apart by content
    pub(crate) path: PathBuf,
    /// Print the object too: its keys, values and tensors, as an indented tree
    #[arg(long)]
    pub(crate) object: bool,
    /// Print only what stands at this key of the object, or at a dotted path
    /// (model.encoder.weight), and no summary
    #[arg(long, value_name = "K")]
    pub(crate) key: Option<String>,
    /// Print so many levels of the object, at most 100
    #[arg(long, value_name = "N", default_value_t = 8)]
    pub(crate) depth: usize,
    /// Print so many items of each list, dict and object
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub(crate) items: usize,
}

#[derive(clap::Args)]
pub(crate) struct ConvertArgs {
    /// The file to read: a checkpoint (.pt, .pth, .bin, .ckpt), a store (.npk), a package (.npkg),
    /// or a .safetensors, .npy or .npz file, told apart by content
    #[arg(value_name = "IN")]
    pub(crate) input: PathBuf,
    /// The file to write: .npk makes a store; .pt, .pth, .bin and .ckpt make a checkpoint;
    /// .safetensors, .npy and .npz make what they say
    #[arg(value_name = "OUT")]
    pub(crate) output: PathBuf,
    /// Convert only what stands at this key of the object: the key as it is, or a dotted path
    /// (model.encoder.weight)
    #[arg(long, value_name = "K")]
    pub(crate) key: Option<String>,
    /// Export only these arrays or tensors, as a flat dict in this order
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
    /// Write tensors that share memory once for each name into a .safetensors or .npz file, which
    /// cannot say that they do
    #[arg(long)]
    pub(crate) copy_shared: bool,
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
    /// A checkpoint (.pt), a store (.npk), a package (.npkg), or a .safetensors, .npy or .npz
    /// file, told apart by content
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

#[derive(clap::Args)]
pub(crate) struct ScanArgs {
    /// The files: checkpoints, pickles, numpy arrays, archives of them
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(clap::Args)]
pub(crate) struct CatArgs {
    /// A checkpoint (.pt), a store (.npk), a package (.npkg), or a .safetensors, .npy or .npz
    /// file, told apart by content
    pub(crate) path: PathBuf,
    /// The tensor, by the name that ls shows; '' where it is the whole object
    pub(crate) array: String,
    /// Only these rows, as Python has them: A:B, A:B:STEP, or numbers such as 1,5,-1
    #[arg(long, value_name = "ROWS", allow_hyphen_values = true)]
    pub(crate) rows: Option<Choice>,
    /// Write a .npy file to the standard output instead of text
    #[arg(long)]
    pub(crate) npy: bool,
}

/// The store that a command changes.
#[derive(clap::Args)]
pub(crate) struct StoreArgs {
    /// The store (.npk)
    pub(crate) store: PathBuf,
    /// Give up if another writer has the store, instead of waiting for it
    #[arg(long)]
    pub(crate) no_wait: bool,
}

#[derive(clap::Args)]
pub(crate) struct AppendArgs {
    #[command(flatten)]
    pub(crate) store: StoreArgs,
    /// An array, and the .npy file with its new rows (- reads one from the standard input), or the
    /// .npz or .safetensors file that has them under the same name; more pairs may follow
    #[arg(required = true, num_args = 2.., value_names = ["ARRAY", "FILE"])]
    pub(crate) pairs: Vec<String>,
}

#[derive(clap::Args)]
pub(crate) struct DropArgs {
    #[command(flatten)]
    pub(crate) store: StoreArgs,
    /// The arrays, by the names that ls shows
    #[arg(required = true, value_name = "ARRAY")]
    pub(crate) arrays: Vec<String>,
    /// Drop only these rows, of each array: A:B, A:B:STEP, or numbers such as 1,5,-1. Without
    /// this, the arrays themselves
    #[arg(long, value_name = "ROWS", allow_hyphen_values = true)]
    pub(crate) rows: Option<Choice>,
}

#[derive(clap::Args)]
pub(crate) struct RenameArgs {
    #[command(flatten)]
    pub(crate) store: StoreArgs,
    /// The array, by the name that ls shows
    pub(crate) old: String,
    /// Its new name, which must be free
    pub(crate) new: String,
}

#[derive(clap::Args)]
pub(crate) struct CompactArgs {
    #[command(flatten)]
    pub(crate) store: StoreArgs,
    /// Only these arrays, by the names that ls shows; all if none is given
    #[arg(value_name = "ARRAY")]
    pub(crate) arrays: Vec<String>,
}

#[derive(clap::Args)]
pub(crate) struct PackArgs {
    /// The store (.npk)
    pub(crate) store: PathBuf,
    /// The package to write (.npkg)
    pub(crate) package: PathBuf,
    /// Compress it with zlib; the public numpack package reads such a file only where it lacks
    /// zstandard
    #[arg(long)]
    pub(crate) compress: bool,
    /// Replace an existing file
    #[arg(long)]
    pub(crate) overwrite: bool,
}

#[derive(clap::Args)]
pub(crate) struct UnpackArgs {
    /// The package (.npkg)
    pub(crate) package: PathBuf,
    /// The store to make (.npk)
    pub(crate) store: PathBuf,
    /// Replace an existing store (never any other folder)
    #[arg(long)]
    pub(crate) overwrite: bool,
    /// Give up if a writer has the store that is replaced, instead of waiting for it
    #[arg(long)]
    pub(crate) no_wait: bool,
}
