//! Where it was measured.

use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

/// A few lines above the table: machine, file systems, date and revision.
pub fn heading(disk: &Path, memory: &Path) -> String {
    let unknown = || "unknown".to_owned();
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_else(|_| unknown());
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let mut out = String::new();
    let _ = writeln!(out, "processor     {}, {cores} cores", cpu().unwrap_or_else(unknown));
    let _ = writeln!(out, "kernel        {}", kernel.trim());
    for (name, folder) in [("disk", disk), ("tmpfs", memory)] {
        let kind = file_system(folder).unwrap_or_else(unknown);
        let _ = writeln!(out, "{name:<13} {kind}");
    }
    let _ = writeln!(out, "date          {}", date().unwrap_or_else(unknown));
    let _ = writeln!(out, "revision      {}", revision().unwrap_or_else(unknown));
    out
}

fn cpu() -> Option<String> {
    let text = fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find(|l| l.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

/// The kind of file system that a folder is on, and its mount options.
fn file_system(folder: &Path) -> Option<String> {
    let folder = folder.canonicalize().ok()?;
    let mounts = fs::read_to_string("/proc/self/mounts").ok()?;
    // device, mount point, kind, options; of two on one point the later one is seen
    let mounts = mounts.lines().filter_map(|l| {
        let mut words = l.split(' ').skip(1);
        Some((words.next()?, words.next()?, words.next()?))
    });
    let (_, kind, options) = mounts
        .filter(|(point, ..)| folder.starts_with(point))
        .max_by_key(|(point, ..)| point.len())?;
    Some(format!("{kind} ({options})"))
}

fn date() -> Option<String> {
    output("date", &["-u", "+%F"])
}

fn revision() -> Option<String> {
    let revision = output("git", &["rev-parse", "--short=12", "HEAD"])?;
    let is_clean = output("git", &["status", "--porcelain"])?.is_empty();
    Some(if is_clean { revision } else { format!("{revision} with changes") })
}

fn output(program: &str, args: &[&str]) -> Option<String> {
    let out = Command::new(program).args(args).output().ok().filter(|o| o.status.success())?;
    Some(String::from_utf8_lossy(&out.stdout).trim().to_owned())
}

/// Refuses a folder without room for so many bytes and files.
///
/// # Errors
/// When there is too little, saying how much is needed.
pub fn check_space(folder: &Path, bytes: u64, files: u64) -> Result<()> {
    let stat = rustix::fs::statvfs(folder)
        .with_context(|| format!("inspect the file system of {}", folder.display()))?;
    let free = stat.f_bavail.saturating_mul(stat.f_frsize);
    if free < bytes {
        let gib = |n: u64| n as f64 / f64::from(1 << 30);
        bail!(
            "{} has {:.1} GiB free, the measurements need {:.1}; choose another folder or a \
             smaller --size",
            folder.display(),
            gib(free),
            gib(bytes)
        );
    }
    // Some file systems have no fixed number of files, and say 0.
    if stat.f_files > 0 && stat.f_favail < files {
        bail!(
            "{} takes {} more files, the measurements need {files}; choose another folder or \
             fewer --tensors",
            folder.display(),
            stat.f_favail
        );
    }
    Ok(())
}
