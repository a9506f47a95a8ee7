//! The Python package beside numpy and torch, in their own processes.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use super::store::{ROWS, make};
use crate::peers::Python;
use crate::table::{Bound, Row, Table};
use crate::timing::Pairs;
use crate::{DISK, Outputs, Place, Settings, data};

/// Names the Python that has numpy, and perhaps torch.
const PYTHON: &str = "NUMPACK_BENCH_PACKAGE_PYTHON";
/// Names the folder that the package is installed in.
const FOLDER: &str = "NUMPACK_BENCH_PACKAGE";
const SCRIPT: &str = include_str!("../../python/measure.py");

/// The longest that a call may take, beyond what it is called for.
const CALL: Bound = Bound::Time(Duration::from_micros(10));
const CALLS: u32 = 10_000;
/// The most that writing a tensor may take of memory.
const MEMORY: u64 = 32 << 20;

/// All of it.
///
/// # Errors
/// When there is no such package, or something cannot be made or read.
pub fn python(tmpfs: &Place, disk: &Place, s: &Settings, table: &mut Table) -> Result<()> {
    let folder = std::env::var(FOLDER)
        .with_context(|| format!("{FOLDER} names no folder; run `cargo xtask bench`"))?;
    let package = Package { folder };
    package.imports(s, table)?;
    let args = [&package.folder, "serve"];
    let (mut python, versions) = Python::start_named(PYTHON, SCRIPT, &args)?
        .with_context(|| format!("{PYTHON} names no Python; run `cargo xtask bench`"))?;
    eprintln!("{versions}");
    let numpy = versions.split(", ").nth(1).context("no version of numpy")?;
    let torch = versions.split(", ").nth(2);
    calls(&mut python, numpy, s, table)?;
    rows(&mut python, numpy, tmpfs, s, table)?;
    load(&mut python, torch, disk, s, table)?;
    if torch.is_none() {
        eprintln!("from_torch is not measured: there is no torch");
        return Ok(());
    }
    for (place, size) in [(tmpfs, 38 << 20), (tmpfs, s.size), (disk, s.size)] {
        from_torch(&mut python, place, size, s, table)?;
    }
    let path = tmpfs.join("memory.npk");
    let took = package.ask("memory", &[path.to_str().context("no UTF-8")?])?;
    tmpfs.discard(&path)?;
    table.push(Row::bytes(
        "Python: peak memory above start, from_torch of 256 MiB",
        took[0],
        MEMORY,
    ));
    Ok(())
}

/// Where the package is installed.
struct Package {
    folder: String,
}

impl Package {
    /// Runs the script, and gives the numbers that it prints.
    fn ask(&self, what: &str, args: &[&str]) -> Result<Vec<u64>> {
        let python = std::env::var_os(PYTHON).with_context(|| format!("{PYTHON} is not set"))?;
        let output =
            Command::new(python).args(["-c", SCRIPT, &self.folder, what]).args(args).output()?;
        if !output.status.success() {
            bail!("{what}: {}", String::from_utf8_lossy(&output.stderr));
        }
        let said = String::from_utf8(output.stdout)?;
        said.split_whitespace().map(|n| Ok(n.parse()?)).collect()
    }

    fn imports(&self, s: &Settings, table: &mut Table) -> Result<()> {
        let mut pairs = Pairs::default();
        // The first one brings the files into memory.
        for i in 0..=s.pairs * 3 {
            let took = self.ask("imports", &[])?;
            ensure!(took.len() == 2, "two times are expected");
            if i > 0 {
                pairs.ours.push(Duration::from_nanos(took[0]));
                pairs.reference.push(Duration::from_nanos(took[1]));
            }
        }
        let what = "Python: import libnumpack, numpy being there";
        let bound = Bound::Time(Duration::from_millis(40));
        table.push(Row::pairs(what, "import numpy", &pairs, bound));
        Ok(())
    }
}

/// Ours and theirs, asked for in turn with lines that differ in that word.
fn pairs(
    python: &mut Python,
    n: usize,
    times: u32,
    line: impl Fn(&str) -> String,
) -> Result<Pairs> {
    let python = std::cell::RefCell::new(python);
    let ask = |whose| Ok(python.borrow_mut().ask(line(whose))? / times);
    Pairs::measure(n, || ask("ours"), || ask("theirs"))
}

/// What a call costs that does next to nothing.
fn calls(python: &mut Python, numpy: &str, s: &Settings, table: &mut Table) -> Result<()> {
    for (word, what) in [
        ("shape", "shape of a tensor"),
        ("index", "row of a tensor"),
        ("add", "sum of two tensors of no dimension"),
    ] {
        let pairs =
            pairs(python, s.pairs, CALLS, |whose| format!("call\t{word}\t{whose}\t{CALLS}"))?;
        table.push(Row::pairs(format!("Python: {what}"), numpy, &pairs, CALL));
    }
    Ok(())
}

/// Rows of arrays in stores.
fn rows(
    python: &mut Python,
    numpy: &str,
    place: &Place,
    s: &Settings,
    table: &mut Table,
) -> Result<()> {
    let memmap = format!("memmap, {numpy}");
    for (rows, n, bound) in [(10, 1, CALL), (ROWS, 100, Bound::Ratio(1.0))] {
        let path = place.join("rows.npk");
        make(&path, rows)?;
        let path_text = path.to_str().context("no UTF-8")?;
        let times = if n == 1 { CALLS } else { 1_000 };
        for (way, name) in [("getitem", "getitem"), ("lazy", "a lazy array's")] {
            let pairs = pairs(python, s.pairs, times, |whose| {
                format!("rows\t{way}\t{whose}\t{path_text}\t{n}\t{times}")
            })?;
            let what = format!("Python: {name} {n} of {rows} rows");
            table.push(Row::pairs(what, &memmap, &pairs, bound));
        }
        place.discard(&path)?;
    }
    Ok(())
}

/// A checkpoint, mapped.
fn load(
    python: &mut Python,
    torch: Option<&str>,
    place: &Place,
    s: &Settings,
    table: &mut Table,
) -> Result<()> {
    let path = data::large(place, s)?;
    let path = path.to_str().context("no UTF-8")?;
    let what = format!("Python: load(mmap=True) of {} MiB", s.size >> 20);
    let bound = Bound::Time(Duration::from_millis(3));
    let line = |whose: &str| format!("load\t{whose}\t{path}");
    match torch {
        Some(torch) => {
            let pairs = pairs(python, s.pairs, 1, line)?;
            table.push(Row::pairs(what, torch, &pairs, bound));
        }
        None => {
            let ours = crate::timing::repeat(s.pairs, || python.ask(line("ours")))?;
            let ours = crate::timing::median(&ours);
            table.push(Row::alone(what, ours, "no torch".to_owned(), bound));
        }
    }
    Ok(())
}

/// A tensor of torch's into a store.
fn from_torch(
    python: &mut Python,
    place: &Place,
    size: u64,
    s: &Settings,
    table: &mut Table,
) -> Result<()> {
    // In memory there is nothing to sync.
    let (sync, reference, bound) = if place.name == DISK {
        ("sync", "write and fsync", Bound::None)
    } else {
        ("none", "write", Bound::Ratio(1.3))
    };
    let (stores, files) = (Outputs::new(place, "npk"), Outputs::new(place, "raw"));
    let python = std::cell::RefCell::new(python);
    // Timed where it happens, so without what clears up.
    let ask = |whose: &str, outputs: &Outputs<'_>| {
        let mut took = Duration::ZERO;
        outputs.time(|path| {
            let path = path.to_str().context("no UTF-8")?;
            took = python.borrow_mut().ask(format!("write\t{whose}\t{path}\t{size}\t{sync}"))?;
            Ok(())
        })?;
        Ok(took)
    };
    let pairs = Pairs::measure(s.pairs, || ask("ours", &stores), || ask("theirs", &files))?;
    stores.clear()?;
    files.clear()?;
    let what = format!("Python: from_torch of {} MiB, {}", size >> 20, place.name);
    table.push(Row::pairs(what, reference, &pairs, bound));
    Ok(())
}
