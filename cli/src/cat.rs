//! `numpack cat PATH ARRAY`.

use std::io::{IsTerminal, Write};

use anyhow::bail;
use numpack_interop::{Rows, Tensors};

use crate::args::CatArgs;
use crate::rows::Choice;
use crate::{Answer, warn};

pub(crate) fn run(args: &CatArgs, out: &mut dyn Write) -> anyhow::Result<Answer> {
    if args.npy && std::io::stdout().is_terminal() {
        bail!("--npy writes bytes, not text; send them to a file or a pipe");
    }
    let file = Tensors::open(&args.path)?;
    warn(&file.warnings());
    let tensor = file.find(&args.array)?;
    let rows = args.rows.as_ref().map_or(Rows::All, Choice::rows);
    if args.npy {
        file.write_npy(&tensor, &rows, out)?;
    } else {
        file.write_text(&tensor, &rows, out)?;
    }
    Ok(Answer::Yes)
}
