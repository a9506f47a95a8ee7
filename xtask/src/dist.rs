//! The C library as an archive that runs on any Linux of the last years, and as a wheel for Python.

use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::environment::{DIST, repository, run, target_folder};
use crate::install::{self, VERSION};
use crate::wheel::wheel;

/// Built by zig against this one, which Debian 10, RHEL 8 and Ubuntu 18.10 have.
const GLIBC: [u32; 2] = [2, 28];
/// A shared library beyond it has something in it that it should not. It has 8.1 million bytes, of which
/// 1.9 are the kernels and what else is only read, and 4.6 code: of each operation for each type.
const MAX_SIZE: u64 = 9_000_000;
const TARGET: &str = "x86_64-unknown-linux-gnu";

/// `cargo xtask dist`.
pub(crate) fn dist() -> Result<()> {
    install::only_linux()?;
    if !cfg!(target_arch = "x86_64") {
        bail!("dist makes an archive for x86_64 and is run there");
    }
    let python = DIST.python()?;
    let bin = python.parent().context("no folder")?;
    let mut zigbuild = Command::new(bin.join("cargo-zigbuild"));
    zigbuild
        .args(["rustc", "--target", &format!("{TARGET}.{}.{}", GLIBC[0], GLIBC[1])])
        .current_dir(repository())
        .env("CARGO", env!("CARGO"))
        // Smaller, and worth the minutes here.
        .env("CARGO_PROFILE_RELEASE_LTO", "fat")
        .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "1")
        .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "2")
        // It finds zig by the first Python there.
        .env("PATH", first_in_path(bin)?);
    let built = install::build(&mut zigbuild, target_folder().join(TARGET).join("release"))?;

    let needs = glibc_needed(&built.shared())?;
    let size = fs::metadata(built.shared())?.len();
    println!("libnumpack.so: {size} bytes, needs GLIBC {}", dotted(&needs));
    if needs.as_slice() > GLIBC.as_slice() {
        bail!("the library needs GLIBC {}, more than {}", dotted(&needs), dotted(&GLIBC));
    }
    if size > MAX_SIZE {
        bail!("the library has {size} bytes, more than {MAX_SIZE}");
    }

    let name = format!("libnumpack-{VERSION}-x86_64-linux-gnu");
    let folder = target_folder().join("dist");
    let tree = folder.join(&name);
    if tree.exists() {
        fs::remove_dir_all(&tree)?;
    }
    install::lay_down(&built, &tree)?;
    let archive = folder.join(format!("{name}.tar.gz"));
    // The same tree is the same archive, whoever makes it and when.
    run(Command::new("tar")
        .args(["--sort=name", "--owner=0", "--group=0", "--numeric-owner", "--mtime=@0"])
        .arg("--use-compress-program=gzip -n -9")
        .arg("-cf")
        .arg(&archive)
        .arg("-C")
        .arg(&folder)
        .arg(&name))?;
    println!("{}: {} bytes", archive.display(), fs::metadata(&archive)?.len());
    wheel(&built.shared(), GLIBC)?;
    Ok(())
}

pub(crate) fn dotted(version: &[u32]) -> String {
    version.iter().map(u32::to_string).collect::<Vec<_>>().join(".")
}

fn first_in_path(folder: &Path) -> Result<OsString> {
    let rest = std::env::var_os("PATH").unwrap_or_default();
    let all = std::iter::once(folder.to_owned()).chain(std::env::split_paths(&rest));
    std::env::join_paths(all).context("PATH cannot be extended")
}

/// The newest version of glibc's symbols that a library wants.
pub(crate) fn glibc_needed(library: &Path) -> Result<Vec<u32>> {
    let output = Command::new("readelf")
        .args(["--version-info", "--wide"])
        .arg(library)
        .output()
        .context("cannot run readelf; install binutils")?;
    if !output.status.success() {
        bail!("readelf cannot read {}", library.display());
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let versions = text.split("GLIBC_").skip(1).map(|rest| {
        let number = rest.split(|c: char| !c.is_ascii_digit() && c != '.').next().unwrap_or("");
        number.split('.').filter_map(|n| n.parse().ok()).collect::<Vec<u32>>()
    });
    versions.max().filter(|v| !v.is_empty()).context("the library names no version of glibc")
}
