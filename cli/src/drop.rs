//! `numpack drop STORE ARRAY…`.

use std::io::Write;

use anyhow::bail;

use crate::args::DropArgs;
use crate::{Answer, store, text};

pub(crate) fn run(args: &DropArgs, out: &mut dyn Write) -> anyhow::Result<Answer> {
    let arrays = store::array_names(&args.store.store, &args.arrays)?;
    if let Some(twice) = arrays.iter().enumerate().find(|(i, a)| arrays[..*i].contains(a)) {
        bail!("array {:?} is named twice; once is enough", twice.1);
    }
    let mut writer = store::open(&args.store)?;
    let mut lines = Vec::with_capacity(arrays.len());
    for (array, name) in arrays.iter().zip(&args.arrays) {
        let rows = writer.array(array)?.rows();
        let name = text::name(name);
        lines.push(match &args.rows {
            Some(choice) => {
                let gone = writer.drop_rows(array, &choice.rows())?;
                format!("{name}: {} dropped, {} left", text::rows(gone), rows - gone)
            }
            None => {
                writer.remove_array(array)?;
                format!("{name}: removed, {}", text::rows(rows))
            }
        });
    }
    store::commit(writer)?;
    for line in lines {
        writeln!(out, "{line}")?;
    }
    Ok(Answer::Yes)
}
