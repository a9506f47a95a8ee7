//! A store that is to be changed.

use std::path::Path;

use numpack_format::{Error, Writer, WriterOptions};
use numpack_interop::{Format, Tensors};

use crate::args::StoreArgs;
use crate::{text, warn};

/// Opens the store of a command for changes that will be one commit. Another writer is waited for.
pub(crate) fn open(args: &StoreArgs) -> anyhow::Result<Writer> {
    check(&args.store)?;
    let mut options = WriterOptions { wait: false, ..WriterOptions::default() };
    let opened = match Writer::open_with(&args.store, &options) {
        Err(Error::Locked { .. }) if !args.no_wait => {
            let path = text::plain(&args.store.display().to_string());
            eprintln!("numpack: {path}: waiting for another writer");
            options.wait = true;
            Writer::open_with(&args.store, &options)
        }
        opened => opened,
    };
    Ok(opened?)
}

/// The names of arrays as their store has them; `ls` may show others.
pub(crate) fn array_names(store: &Path, names: &[String]) -> anyhow::Result<Vec<String>> {
    check(store)?;
    let tensors = Tensors::open(store)?;
    names.iter().map(|name| Ok(tensors.array_name(name)?)).collect()
}

/// Makes what was changed durable.
pub(crate) fn commit(writer: Writer) -> anyhow::Result<()> {
    warn(&writer.commit_with_warnings()?);
    Ok(())
}

/// Says what is to be done with what is no store.
fn check(path: &Path) -> anyhow::Result<()> {
    let advice = match Format::of_file(path)? {
        Format::NumPack => return Ok(()),
        Format::Package => "it is a package, which cannot be changed; unpack it first",
        _ => "it is no store; convert it to one first",
    };
    anyhow::bail!("{}: {advice}", path.display())
}
