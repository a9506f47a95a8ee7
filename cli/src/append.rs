//! `numpack append STORE ARRAY FILE…`.

use std::io::{self, Write};

use anyhow::bail;
use numpack_interop::{Format, Npy, Tensors, append_npy};

use crate::args::{AppendArgs, ProgressMode};
use crate::progress::Bar;
use crate::{Answer, store, text};

pub(crate) fn run(args: &AppendArgs, out: &mut dyn Write) -> anyhow::Result<Answer> {
    let (pairs, rest) = args.pairs.as_chunks::<2>();
    if let [array] = rest {
        bail!("array {array:?} has no file; write ARRAY FILE, once for each array");
    }
    if pairs.iter().filter(|[_, file]| file == "-").count() > 1 {
        bail!("only one file can be the standard input");
    }
    let (names, files): (Vec<String>, Vec<&str>) =
        pairs.iter().map(|[array, file]| (array.clone(), &file[..])).unzip();
    let arrays = store::array_names(&args.store.store, &names)?;
    let files = names.iter().zip(files).map(|(name, file)| open(name, file));
    let files = files.collect::<numpack_interop::Result<Vec<_>>>()?;

    let mut writer = store::open(&args.store)?;
    // From here on Ctrl-C gives up the whole change; before, it may end the wait at once.
    let mut bar = Bar::new(ProgressMode::Auto);
    let pairs = arrays.iter().map(String::as_str).zip(files).collect();
    let added = append_npy(&mut writer, pairs, &mut bar);
    bar.finish();
    let added = added?;
    let all = arrays.iter().map(|a| Ok(writer.array(a)?.rows()));
    let all = all.collect::<anyhow::Result<Vec<u64>>>()?;
    store::commit(writer)?;
    for ((name, added), all) in names.iter().zip(added).zip(all) {
        writeln!(out, "{}: {} appended, {all} in all", text::name(name), text::rows(added))?;
    }
    Ok(Answer::Yes)
}

/// The rows in a file. Of one that holds several tensors it is the one that is called as the
/// array is, unless there is only one.
fn open(array: &str, file: &str) -> numpack_interop::Result<Npy> {
    if file == "-" {
        return Npy::from_reader("standard input", io::stdin());
    }
    if !matches!(Format::of_file(file)?, Format::Npz | Format::SafeTensors) {
        return Npy::open(file);
    }
    let tensors = Tensors::open(file)?;
    let name = match &tensors.list()?[..] {
        [only] => only.name.to_string(),
        _ => array.to_owned(),
    };
    Npy::from_tensors(tensors, &name)
}
