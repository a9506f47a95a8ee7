//! `numpack compact STORE [ARRAY…]`.

use std::io::Write;

use crate::args::CompactArgs;
use crate::{Answer, store, text};

pub(crate) fn run(args: &CompactArgs, out: &mut dyn Write) -> anyhow::Result<Answer> {
    let arrays = store::array_names(&args.store.store, &args.arrays)?;
    let mut writer = store::open(&args.store)?;
    let mut freed = 0;
    for array in &arrays {
        freed += writer.compact_array(array)?;
    }
    if arrays.is_empty() {
        freed = writer.compact()?;
    }
    store::commit(writer)?;
    writeln!(out, "{} freed", text::rows(freed))?;
    Ok(Answer::Yes)
}
