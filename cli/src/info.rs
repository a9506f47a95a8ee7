//! `numpack info PATH`.

use std::io::Write;

use numpack_interop::Tensors;

use crate::args::PathArgs;
use crate::{Answer, text, warn};

pub(crate) fn run(args: &PathArgs, out: &mut dyn Write) -> anyhow::Result<Answer> {
    let file = Tensors::open(&args.path)?;
    warn(&file.warnings());
    let s = file.summary();
    let mut line = |label: &str, value: String| writeln!(out, "{label:<10}{value}");
    line("path", text::plain(&args.path.display().to_string()))?;
    line("format", s.container)?;
    line("object", text::plain(&s.root))?;
    line("tensors", format!("{}, {} elements", s.tensors, s.elements))?;
    line("storages", format!("{}, {}", s.storages, text::bytes(s.storage_bytes)))?;
    let mut label = "dtypes";
    for (dtype, (tensors, elements)) in s.dtypes {
        line(label, format!("{dtype:<16}{}, {elements} elements", text::count(tensors, "tensor")))?;
        label = "";
    }
    let mut label = "objects";
    for (class, n) in s.objects {
        line(label, format!("{n} × {}", text::plain(&class)))?;
        label = "";
    }
    Ok(Answer::Yes)
}
