//! `numpack verify PATH`.

use std::io::Write;

use numpack_interop::{Tensors, verify};

use crate::args::PathArgs;
use crate::{Answer, text, warn};

pub(crate) fn run(args: &PathArgs, out: &mut dyn Write) -> anyhow::Result<Answer> {
    let found = verify(&args.path)?;
    warn(&found.notices);
    for fault in &found.faults {
        writeln!(out, "{}", text::plain(fault))?;
    }
    if !found.faults.is_empty() {
        writeln!(out, "{}", text::count(found.faults.len(), "fault"))?;
        return Ok(Answer::No);
    }
    let tensors = Tensors::open(&args.path)?.summary().tensors;
    writeln!(out, "sound: {}", text::count(tensors, "tensor"))?;
    Ok(Answer::Yes)
}
