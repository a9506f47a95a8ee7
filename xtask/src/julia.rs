//! The Julia package's tests, and a Julia to run them with where the machine has none: Debian packages
//! unpacked under the user's cache, as the Vulkan drivers are.

use std::ffi::OsString;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::environment::{cache_folder, repository, run, target_folder};
use crate::steps::{is_ci, library};

/// The last release of Debian that has a Julia: 1.5, the oldest that the package promises.
const RELEASE: &str = "bullseye";
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// For the list of downloads.
const SIZE: &str = "about 90 MB fetched, 370 MB unpacked";

/// Libraries that are the machine's own: what belongs to its C library and its loader, and what other
/// programs share with them.
const OF_THE_MACHINE: &str = "ld- libanl libc-2 libc.so libcrypt libdl libgcc_s libm-2 libm.so libmvec \
    libnsl libnss libpthread libresolv librt libstdc++ libthread_db libutil";

/// A Julia, and where its libraries are if not where it looks itself.
struct Julia {
    program: PathBuf,
    libraries: Vec<PathBuf>,
}

impl Julia {
    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        let mut paths: Vec<OsString> = self.libraries.iter().map(|p| p.clone().into()).collect();
        if !paths.is_empty() {
            paths.extend(std::env::var_os("LD_LIBRARY_PATH"));
            command.env("LD_LIBRARY_PATH", paths.join(":".as_ref()));
        }
        command.arg("--startup-file=no");
        command
    }

    fn runs(&self) -> bool {
        self.command().args(["-e", "exit(0)"]).output().is_ok_and(|o| o.status.success())
    }
}

/// Runs the tests of `bindings/julia`.
pub(crate) fn test() -> Result<()> {
    let julia = match julia() {
        Ok(julia) => julia,
        Err(e) if is_ci() => return Err(e),
        Err(e) => {
            println!("skipped: the Julia package ({e:#})");
            return Ok(());
        }
    };
    run(julia
        .command()
        .args(["--project=bindings/julia", "bindings/julia/test/runtests.jl"])
        .env("LIBNUMPACK", library()?)
        // What Julia compiles ahead lies here, not in the user's folder.
        .env("JULIA_DEPOT_PATH", target_folder().join("julia"))
        .current_dir(repository()))
}

/// Lists the Julia for tests, and fetches it where there is none.
pub(crate) fn setup(dry_run: bool) -> Result<()> {
    if of_the_machine().is_some() {
        println!("Julia for `cargo xtask test`: the machine's");
        return Ok(());
    }
    let folder = folder()?;
    let state = if folder.join("ready").exists() { "there" } else { "to be fetched" };
    println!("Julia for `cargo xtask test`: {SIZE}, {state}, in {}", folder.display());
    if dry_run { Ok(()) } else { julia().map(drop) }
}

/// What the variable `JULIA` names, what is on the path, or what was fetched; fetched now if need be.
fn julia() -> Result<Julia> {
    if let Some(julia) = of_the_machine() {
        if !julia.runs() {
            bail!("{} does not run; set JULIA to one that does", julia.program.display());
        }
        return Ok(julia);
    }
    let folder = folder()?;
    let julia = fetched(&folder);
    if !folder.join("ready").exists() {
        println!("xtask: fetching Julia ({SIZE})");
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        fetch(&folder)?;
        if !julia.runs() {
            bail!("the Julia that was fetched does not run here; set JULIA to one that does");
        }
        fs::write(folder.join("ready"), "")?;
    }
    Ok(julia)
}

fn of_the_machine() -> Option<Julia> {
    let named = std::env::var_os("JULIA").filter(|v| !v.is_empty());
    let julia = Julia {
        program: named.clone().unwrap_or_else(|| "julia".into()).into(),
        libraries: Vec::new(),
    };
    // One that is named is to be used, and else to be an error.
    (named.is_some() || julia.runs()).then_some(julia)
}

/// The folder of what is fetched; other packages get another one.
fn folder() -> Result<PathBuf> {
    let mut hash = DefaultHasher::new();
    (RELEASE, OF_THE_MACHINE, 1).hash(&mut hash);
    Ok(cache_folder()?.join(format!("julia-{:016x}", hash.finish())))
}

fn triplet() -> String {
    format!("{}-linux-gnu", std::env::consts::ARCH)
}

fn fetched(folder: &Path) -> Julia {
    let usr = folder.join("usr");
    let libraries = usr.join("lib").join(triplet());
    Julia {
        program: usr.join("bin/julia"),
        libraries: vec![
            libraries.clone(),
            folder.join("lib").join(triplet()),
            libraries.join("julia"),
        ],
    }
}

/// Fetches and unpacks everything that Julia needs but the C library.
fn fetch(folder: &Path) -> Result<()> {
    let archives = folder.join("archives");
    for place in ["lists/partial", "debs/partial"] {
        fs::create_dir_all(archives.join(place))?;
    }
    let mirror = mirror()?;
    let line = format!("deb [signed-by={KEYRING}] {mirror} {RELEASE} main\n");
    fs::write(archives.join("sources.list"), line)?;
    // As if nothing was installed: all of it is to be in one place.
    fs::write(archives.join("status"), "")?;
    let apt = || {
        let mut apt = Command::new("apt-get");
        let option = |name: &str, path: &str| format!("{name}={}", archives.join(path).display());
        apt.args(["-qq", "-o", &option("Dir::Etc::sourcelist", "sources.list")])
            .args(["-o", "Dir::Etc::sourceparts=-", "-o", "Debug::NoLocking=1"])
            // The user who calls, not another who may not write to the folder.
            .args(["-o", "APT::Sandbox::User=root"])
            .args(["-o", &option("Dir::State::lists", "lists")])
            .args(["-o", &option("Dir::State::status", "status")])
            .args(["-o", &option("Dir::Cache", "")])
            .args(["-o", &option("Dir::Cache::archives", "debs")]);
        apt
    };
    run(apt().arg("update"))?;
    run(apt().args(["install", "--download-only", "--yes", "--no-install-recommends", "julia"]))?;
    for entry in fs::read_dir(archives.join("debs"))? {
        let path = entry?.path();
        if path.extension().is_some_and(|e| e == "deb") {
            run(Command::new("dpkg-deb").arg("-x").arg(&path).arg(folder))?;
        }
    }
    for libraries in ["lib", "usr/lib"] {
        let libraries = folder.join(libraries).join(triplet());
        for entry in fs::read_dir(&libraries).with_context(|| libraries.display().to_string())? {
            let entry = entry?;
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if !entry.file_type()?.is_dir()
                && OF_THE_MACHINE.split(' ').any(|l| name.starts_with(l))
            {
                fs::remove_file(entry.path())?;
            }
        }
    }
    fs::remove_dir_all(archives)?;
    Ok(())
}

/// Where this system has Debian's packages from.
fn mirror() -> Result<String> {
    let known = Command::new("apt-get")
        .args(["indextargets", "--format", "$(CREATED_BY)|$(COMPONENT)|$(LABEL)|$(REPO_URI)"])
        .output();
    let known = match known {
        Ok(known) if known.status.success() => String::from_utf8_lossy(&known.stdout).into_owned(),
        _ => bail!("Julia is fetched as a Debian package, by apt-get; install it, or set JULIA"),
    };
    known
        .lines()
        .find_map(|line| line.strip_prefix("Packages|main|Debian|"))
        .map(str::to_owned)
        .context("Julia is fetched as a Debian package, and this is another system; install it, or set JULIA")
}
