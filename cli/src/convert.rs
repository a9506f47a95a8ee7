//! `numpack convert IN OUT`.

use std::io::Write;
use std::path::Path;

use anyhow::bail;
use numpack_interop::{
    CrcPolicy, Existing, Export, Format, FromTorch, Report, ToTorch, export_file, from_torch_file,
    to_torch_file,
};

use crate::args::{ConvertArgs, Crc};
use crate::progress::Bar;
use crate::{Answer, text, warn};

pub(crate) fn run(args: &ConvertArgs, out: &mut dyn Write) -> anyhow::Result<Answer> {
    let from = Format::of_file(&args.input)?;
    let to = format_for(&args.output)?;
    let mut bar = Bar::new(args.progress);
    let is_stored = matches!(from, Format::NumPack | Format::Package);
    if args.copy_shared && !is_neighbour(to) {
        bail!("--copy-shared is for .safetensors, .npy and .npz files; others keep sharing");
    }
    let result = match (from, to) {
        (_, to) if is_neighbour(to) => export(args, &mut bar),
        (Format::Package, Format::NumPack) => {
            bail!("{} is a package; numpack unpack makes a store of it", args.input.display())
        }
        (from, Format::NumPack) if from != Format::NumPack => from_torch(args, &mut bar),
        (from, Format::Torch) if is_stored || is_neighbour(from) => to_torch(args, &mut bar),
        (_, same) => bail!(
            "{} is a {} already; name an output that ends in {}",
            args.input.display(),
            noun(same),
            if same == Format::Torch { ".npk" } else { ".pt" }
        ),
    };
    bar.finish();
    let report = result?;
    warn(&report.warnings);
    let what = match to {
        Format::Torch => "storage",
        Format::SafeTensors => "tensor",
        _ => "array",
    };
    writeln!(
        out,
        "{}: {}, {}",
        text::plain(&args.output.display().to_string()),
        text::count(report.tensors, what),
        text::bytes(report.bytes)
    )?;
    Ok(Answer::Yes)
}

fn is_neighbour(format: Format) -> bool {
    matches!(format, Format::SafeTensors | Format::Npy | Format::Npz)
}

fn existing(args: &ConvertArgs) -> Existing {
    if args.overwrite { Existing::Replace } else { Existing::Refuse }
}

fn crc(args: &ConvertArgs) -> CrcPolicy {
    match args.crc {
        Crc::Refuse => CrcPolicy::Refuse,
        Crc::Warn => CrcPolicy::Warn,
        Crc::Off => CrcPolicy::Off,
    }
}

fn export(args: &ConvertArgs, bar: &mut Bar) -> anyhow::Result<Report> {
    let mut options = Export::new()
        .existing(existing(args))
        .chunk_size(args.chunk_size)
        .crc(crc(args))
        .copy_shared(args.copy_shared);
    if let Some(key) = &args.key {
        options = options.key(key);
    }
    if let Some(names) = &args.names {
        options = options.array_names(names);
    }
    export_file(&args.input, &args.output, &options, bar).map_err(|e| hint(e, args.overwrite))
}

fn from_torch(args: &ConvertArgs, bar: &mut Bar) -> anyhow::Result<Report> {
    if args.names.is_some() {
        bail!("--names selects arrays of a store; for a checkpoint use --key");
    }
    let mut options = FromTorch::new()
        .existing(existing(args))
        .chunk_size(args.chunk_size)
        .crc(crc(args))
        .keep_objects(args.keep_objects)
        .compact_views(args.compact_views);
    if let Some(key) = &args.key {
        options = options.key(key);
    }
    from_torch_file(&args.input, &args.output, &options, bar).map_err(|e| hint(e, args.overwrite))
}

fn to_torch(args: &ConvertArgs, bar: &mut Bar) -> anyhow::Result<Report> {
    if args.key.is_some() {
        bail!("--key selects a part of a checkpoint; for a store use --names");
    }
    let mut options = ToTorch::new()
        .existing(existing(args))
        .chunk_size(args.chunk_size)
        .alignment(if args.align == "4096" { 4096 } else { 64 });
    if let Some(names) = &args.names {
        options = options.array_names(names);
    }
    to_torch_file(&args.input, &args.output, &options, bar).map_err(|e| hint(e, args.overwrite))
}

/// Says it in the words of the command line.
fn hint(e: numpack_interop::Error, overwrite: bool) -> anyhow::Error {
    match e {
        numpack_interop::Error::Exists { path, what } if !overwrite && !what.contains("folder") => {
            anyhow::anyhow!("{}: {what} is there already; --overwrite replaces it", path.display())
        }
        numpack_interop::Error::Shared { path, first, second, format } => anyhow::anyhow!(
            "{}: tensors {first:?} and {second:?} share memory, which {format} files cannot say; \
             --copy-shared writes each by itself, --names chooses",
            path.display()
        ),
        e => e.into(),
    }
}

fn noun(format: Format) -> &'static str {
    match format {
        Format::Torch => "checkpoint",
        _ => "store",
    }
}

/// Outputs are recognised by their suffix.
fn format_for(output: &Path) -> anyhow::Result<Format> {
    match Format::of_suffix(output) {
        Some(Format::Package) => bail!(
            "{}: a package is made of a store; convert to .npk, then numpack pack",
            output.display()
        ),
        Some(format) => Ok(format),
        None => bail!(
            "{}: the suffix says what to write; end it in .npk for a store, in .pt, .pth, .bin or \
             .ckpt for a checkpoint, or in .safetensors, .npy or .npz",
            output.display()
        ),
    }
}
