//! `numpack convert IN OUT`.

use std::io::Write;
use std::path::Path;

use anyhow::bail;
use numpack_interop::{
    CrcPolicy, Existing, Format, FromTorch, Report, ToTorch, from_torch_file, to_torch_file,
};

use crate::args::{ConvertArgs, Crc};
use crate::progress::Bar;
use crate::{Answer, text, warn};

pub(crate) fn run(args: &ConvertArgs, out: &mut dyn Write) -> anyhow::Result<Answer> {
    let from = Format::of_file(&args.input)?;
    let to = format_for(&args.output)?;
    let mut bar = Bar::new(args.progress);
    let result = match (from, to) {
        (Format::Torch, Format::NumPack) => from_torch(args, &mut bar),
        (Format::NumPack | Format::Package, Format::Torch) => to_torch(args, &mut bar),
        (Format::Package, _) => {
            bail!("{} is a package; numpack unpack makes a store of it", args.input.display())
        }
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
    writeln!(
        out,
        "{}: {}, {}",
        text::plain(&args.output.display().to_string()),
        text::count(report.tensors, if to == Format::Torch { "storage" } else { "array" }),
        text::bytes(report.bytes)
    )?;
    Ok(Answer::Yes)
}

fn from_torch(args: &ConvertArgs, bar: &mut Bar) -> anyhow::Result<Report> {
    if args.names.is_some() {
        bail!("--names selects arrays of a store; for a checkpoint use --key");
    }
    let mut options = FromTorch::new()
        .existing(if args.overwrite { Existing::Replace } else { Existing::Refuse })
        .chunk_size(args.chunk_size)
        .crc(match args.crc {
            Crc::Refuse => CrcPolicy::Refuse,
            Crc::Warn => CrcPolicy::Warn,
            Crc::Off => CrcPolicy::Off,
        })
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
        .existing(if args.overwrite { Existing::Replace } else { Existing::Refuse })
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
    let suffix = output.extension().and_then(|s| s.to_str()).unwrap_or("").to_ascii_lowercase();
    match suffix.as_str() {
        "npk" => Ok(Format::NumPack),
        "pt" | "pth" | "bin" | "ckpt" => Ok(Format::Torch),
        "npkg" => bail!(
            "{}: a package is made of a store; convert to .npk, then numpack pack",
            output.display()
        ),
        _ => bail!(
            "{}: the suffix says what to write; end it in .npk for a store, in .pt, .pth, .bin or \
             .ckpt for a checkpoint",
            output.display()
        ),
    }
}
