//! `numpack pack STORE PACKAGE` and `numpack unpack PACKAGE STORE`.

use std::io::Write;
use std::path::Path;

use anyhow::{anyhow, bail};
use numpack_format::{
    Compression, Error, PackOptions, Package, Store, UnpackOptions, pack, unpack,
};
use numpack_interop::Format;

use crate::args::{PackArgs, UnpackArgs};
use crate::{Answer, text, warn};

pub(crate) fn run(args: &PackArgs, out: &mut dyn Write) -> anyhow::Result<Answer> {
    match Format::of_file(&args.store)? {
        Format::NumPack => {}
        Format::Package => bail!("{}: it is a package already", args.store.display()),
        _ => bail!("{}: it is no store; convert it to one first", args.store.display()),
    }
    let arrays = Store::open(&args.store)?.len();
    let compression = if args.compress { Compression::Zlib } else { Compression::Stored };
    let options = PackOptions { compression, overwrite: args.overwrite, ..PackOptions::default() };
    let packed = pack(&args.store, &args.package, &options);
    let info = packed.map_err(|e| hint(e, &args.package, args.overwrite, "a file"))?;
    warn(&info.warnings);
    say(out, &args.package, arrays, info.package_size)
}

pub(crate) fn run_unpack(args: &UnpackArgs, out: &mut dyn Write) -> anyhow::Result<Answer> {
    let from = &args.package;
    if Format::of_file(from)? != Format::Package {
        bail!("{}: it is no package; numpack pack makes one of a store", from.display());
    }
    let arrays = Package::open(from)?.arrays().len();
    let options = UnpackOptions {
        overwrite: args.overwrite,
        wait: !args.no_wait,
        ..UnpackOptions::default()
    };
    let unpacked = unpack(from, &args.store, &options);
    let info = unpacked.map_err(|e| hint(e, &args.store, args.overwrite, "a store"))?;
    warn(&info.warnings);
    say(out, &args.store, arrays, info.size)
}

fn say(out: &mut dyn Write, path: &Path, arrays: usize, size: u64) -> anyhow::Result<Answer> {
    let path = text::plain(&path.display().to_string());
    writeln!(out, "{path}: {}, {}", text::count(arrays, "array"), text::bytes(size))?;
    Ok(Answer::Yes)
}

/// Says it in the words of the command line.
fn hint(e: Error, path: &Path, overwrite: bool, what: &str) -> anyhow::Error {
    match e {
        Error::Exists { .. } if !overwrite => {
            anyhow!("{}: exists already; --overwrite replaces it if it is {what}", path.display())
        }
        e => e.into(),
    }
}
