//! Resident memory of conversions, each in a process of its own.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use numpack_interop::{FromTorch, NoProgress, ToTorch, from_torch_file, to_torch_file};

use crate::table::{Row, Table};
use crate::{Place, Settings, data};

/// The most that a conversion may take above what the process has at its start. Mapped pages
/// count.
const BOUND: u64 = 32 << 20;
/// Runs of each direction, of which the worst counts.
const RUNS: usize = 3;

/// Starts this program again, to convert and to say what that took.
pub const CHILD: &str = "--convert-and-report";

/// Both directions.
///
/// # Errors
/// When a conversion fails.
pub fn memory(place: &Place, s: &Settings, table: &mut Table) -> Result<()> {
    let checkpoint = data::large(place, s)?;
    let store = data::store_of(&checkpoint)?;
    for (input, output, way) in
        [(&checkpoint, "out.npk", ".pt to .npk"), (&store, "out.pt", ".npk to .pt")]
    {
        let output = place.join(output);
        let mut most = 0;
        for _ in 0..RUNS {
            most = most.max(in_child(CHILD, input, output.as_os_str())?);
            place.discard(&output)?;
        }
        let what = format!("peak memory above start, {} MiB {way}", s.size >> 20);
        table.push(Row::bytes(what, most, BOUND));
    }
    Ok(())
}

/// Runs this program with a word and two arguments, and gives the number it prints.
///
/// # Errors
/// When it fails.
pub fn in_child(word: &str, first: &Path, second: &OsStr) -> Result<u64> {
    let program = std::env::current_exe().context("find this program")?;
    let out = Command::new(program).arg(word).args([first.as_os_str(), second]).output()?;
    ensure!(out.status.success(), "the child: {}", String::from_utf8_lossy(&out.stderr));
    Ok(String::from_utf8_lossy(&out.stdout).trim().parse()?)
}

/// What the child does: converts, and prints by how many bytes its memory grew at most.
///
/// # Errors
/// When the conversion fails, or the system does not tell.
pub fn child(input: &Path, output: &Path) -> Result<()> {
    report(|| {
        if input.is_dir() {
            to_torch_file(input, output, &ToTorch::new(), &mut NoProgress)?;
        } else {
            from_torch_file(input, output, &FromTorch::new(), &mut NoProgress)?;
        }
        Ok(())
    })
}

/// Prints by how many bytes the memory of this process grows at most while something is done.
///
/// # Errors
/// When that fails, or the system does not tell.
pub fn report(what: impl FnOnce() -> Result<()>) -> Result<()> {
    let start = status("VmRSS:")?;
    what()?;
    println!("{}", status("VmHWM:")?.saturating_sub(start));
    Ok(())
}

/// A number of bytes from the system's account of this process.
fn status(field: &str) -> Result<u64> {
    let text = std::fs::read_to_string("/proc/self/status")?;
    let line = text.lines().find_map(|l| l.strip_prefix(field));
    let kib = line.and_then(|l| l.trim().strip_suffix(" kB")).context("no such field")?;
    Ok(kib.trim().parse::<u64>()? << 10)
}
