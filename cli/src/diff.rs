//! `numpack diff A B`.

use std::io::Write;

use numpack_interop::{Tensors, diff};

use crate::args::DiffArgs;
use crate::{Answer, text, warn};

pub(crate) fn run(args: &DiffArgs, out: &mut dyn Write) -> anyhow::Result<Answer> {
    let (a, b) = (Tensors::open(&args.a)?, Tensors::open(&args.b)?);
    warn(&a.warnings());
    warn(&b.warnings());
    let differences = diff(&a, &b, args.max.max(1))?;
    if differences.is_empty() {
        writeln!(out, "equal: {}", text::count(a.summary().tensors, "tensor"))?;
        return Ok(Answer::Yes);
    }
    for d in &differences {
        writeln!(out, "{}: {}", text::name(&d.path), text::plain(&d.what))?;
    }
    if differences.len() >= args.max.max(1) {
        writeln!(
            out,
            "stopped after {}; --max shows more",
            text::count(differences.len(), "difference")
        )?;
    }
    Ok(Answer::No)
}
