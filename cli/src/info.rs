//! `numpack info PATH`.

use std::io::Write;

use numpack_interop::scanned::Class;
use numpack_interop::{Container, Format, PrintOptions, ScanOptions, ScanReport, Tensors};

use crate::args::InfoArgs;
use crate::{Answer, scan, text, warn};

/// Names shown for each class.
const SHOWN: usize = 8;

pub(crate) fn run(args: &InfoArgs, out: &mut dyn Write) -> anyhow::Result<Answer> {
    let file = Tensors::open(&args.path)?;
    warn(&file.warnings());
    let options = PrintOptions::new().depth(args.depth).items(args.items);
    if let Some(key) = &args.key {
        writeln!(out, "{}", file.print(key, &options)?)?;
        return Ok(Answer::Yes);
    }
    summary(args, &file, out)?;
    if args.object {
        writeln!(out, "\n{}", file.print("", &options)?)?;
    }
    Ok(Answer::Yes)
}

fn summary(args: &InfoArgs, file: &Tensors, out: &mut dyn Write) -> anyhow::Result<()> {
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
    let mut label = "metadata";
    for (key, value) in s.metadata {
        line(label, text::plain(&format!("{key} = {value}")))?;
        label = "";
    }
    // Of a folder or an index each file is to be scanned by itself.
    let several = [Container::Shards, Container::Distributed];
    let is_one_file = file.checkpoint().is_some_and(|c| !several.contains(&c.container()));
    if file.format() == Format::Torch && is_one_file {
        let report = numpack_interop::scan(&args.path, &ScanOptions::new())?;
        let mut label = "globals";
        for class in [Class::Dangerous, Class::Unknown, Class::Refused, Class::Known] {
            if let Some(names) = names(&report, class) {
                line(label, format!("{class}: {names}"))?;
                label = "";
            }
        }
        line("scan", format!("{}; {}", report.verdict(), scan::weights_only(&report)))?;
    }
    Ok(())
}

/// The names of a class, as far as there is room for them.
fn names(report: &ScanReport, class: Class) -> Option<String> {
    let all: Vec<String> = (report.mentions.iter().filter(|m| m.class == class))
        .map(|m| text::plain(&format!("{}.{}", m.module, m.name)))
        .collect();
    let more = match all.len().saturating_sub(SHOWN) {
        0 => String::new(),
        n => format!(" and {n} more"),
    };
    let shown = &all[..all.len().min(SHOWN)];
    (!all.is_empty()).then(|| format!("{}{more}", shown.join(", ")))
}
