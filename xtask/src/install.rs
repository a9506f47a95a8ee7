//! The C library as a tree of files: the libraries, the headers, and what pkg-config and CMake
//! want to know.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::environment::{repository, target_folder};
use crate::steps::cargo;

/// All packages of the workspace have one version.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Where to install, as it is asked for.
struct Place {
    prefix: PathBuf,
    /// What the prefix is put under, for whoever makes a package.
    destdir: Option<PathBuf>,
}

impl Place {
    fn from_args(args: &[String]) -> Result<Place> {
        let (mut prefix, mut destdir) = (None, None);
        let mut rest = args.iter();
        while let Some(arg) = rest.next() {
            let (flag, value) = match arg.split_once('=') {
                Some((flag, value)) => (flag, Some(value.to_owned())),
                None => (arg.as_str(), rest.next().cloned()),
            };
            let slot = match flag {
                "--prefix" => &mut prefix,
                "--destdir" => &mut destdir,
                _ => {
                    bail!("{arg} is not known; install takes --prefix FOLDER and --destdir FOLDER")
                }
            };
            let value = value.filter(|v| !v.is_empty());
            *slot = Some(PathBuf::from(value.with_context(|| format!("{flag} needs a folder"))?));
        }
        let prefix = prefix.context("say where to, such as --prefix /usr/local")?;
        Ok(Place { prefix, destdir })
    }

    /// The folder that is written.
    fn root(&self) -> Result<PathBuf> {
        let prefix = std::path::absolute(&self.prefix)?;
        Ok(match &self.destdir {
            Some(destdir) => {
                std::path::absolute(destdir)?.join(prefix.strip_prefix("/").unwrap_or(&prefix))
            }
            None => prefix,
        })
    }
}

/// The libraries as they were built.
pub(crate) struct Built {
    /// The folder they are in.
    folder: PathBuf,
    /// What else a program needs that has the static one in it: `-lpthread` and others.
    native: Vec<String>,
}

impl Built {
    pub(crate) fn shared(&self) -> PathBuf {
        self.folder.join("libnumpack.so")
    }
}

/// The version of the interface, which is part of the shared library's name.
pub(crate) fn abi_version() -> Result<u32> {
    let header = fs::read_to_string(repository().join("include/numpack.h"))?;
    header
        .lines()
        .find_map(|line| line.strip_prefix("#define NUMPACK_ABI_VERSION ")?.trim().parse().ok())
        .context("include/numpack.h has no NUMPACK_ABI_VERSION")
}

/// Refuses systems whose libraries are named and found in another way.
pub(crate) fn only_linux() -> Result<()> {
    if !cfg!(target_os = "linux") {
        bail!(
            "install and dist lay the library out for Linux only; elsewhere, \
             `cargo build --release -p numpack-capi` makes the libraries in target/release"
        );
    }
    Ok(())
}

/// Builds the shared and the static library with `cargo`, which is to be a `rustc` command and
/// writes below `folder`.
pub(crate) fn build(cargo: &mut Command, folder: PathBuf) -> Result<Built> {
    // Only here: what is built otherwise has no such name, and is found by the plain one.
    let soname = format!("link-arg=-Wl,-soname,libnumpack.so.{}", abi_version()?);
    cargo
        .args(["--release", "--package", "numpack-capi", "--lib"])
        .args(["--crate-type", "cdylib,staticlib", "--", "-C", &soname, "-C", "strip=symbols"])
        .args(["--print", "native-static-libs"])
        .stderr(Stdio::piped());
    let mut child = cargo.spawn().with_context(|| format!("cannot run {cargo:?}"))?;
    let mut native = Vec::new();
    for line in BufReader::new(child.stderr.take().context("no output")?).lines() {
        let line = line?;
        match line.split_once("native-static-libs:") {
            Some((_, libraries)) => {
                native = libraries.split_whitespace().map(str::to_owned).collect();
            }
            // What surrounds it.
            None if line.is_empty() || line.contains("link against the following native") => {}
            None => eprintln!("{line}"),
        }
    }
    let status = child.wait()?;
    if !status.success() {
        bail!("the C library cannot be built: {status}");
    }
    if native.is_empty() {
        bail!("rustc did not say what the static library needs");
    }
    Ok(Built { folder, native })
}

/// `cargo xtask install`.
pub(crate) fn install(args: &[String]) -> Result<()> {
    only_linux()?;
    let place = Place::from_args(args)?;
    let built = build(cargo().arg("rustc"), target_folder().join("release"))?;
    let root = place.root()?;
    lay_down(&built, &root)?;
    println!("installed libnumpack {VERSION} in {}", root.display());
    Ok(())
}

/// Writes the whole tree below `root`.
pub(crate) fn lay_down(built: &Built, root: &Path) -> Result<()> {
    let abi = abi_version()?;
    let lib = root.join("lib");
    let real = format!("libnumpack.so.{VERSION}");
    let soname = format!("libnumpack.so.{abi}");
    put_file(&built.shared(), &lib.join(&real), 0o755)?;
    put_link(&real, &lib.join(&soname))?;
    put_link(&soname, &lib.join("libnumpack.so"))?;
    put_file(&built.folder.join("libnumpack.a"), &lib.join("libnumpack.a"), 0o644)?;
    put_headers(&repository().join("include"), &root.join("include"))?;
    put_file(&repository().join("LICENSE"), &root.join("share/doc/numpack/LICENSE"), 0o644)?;

    let fill = |template: &str, libraries: &str| {
        template
            .replace("@VERSION@", VERSION)
            .replace("@ABI@", &abi.to_string())
            .replace("@LIBS@", libraries)
    };
    let put = |name: &str, text: String| {
        put_with(&lib.join(name), 0o644, |new| Ok(fs::write(new, &text)?))
    };
    let pc = include_str!("../install/numpack.pc.in");
    put("pkgconfig/numpack.pc", fill(pc, &built.native.join(" ")))?;
    let config = include_str!("../install/numpack-config.cmake.in");
    put("cmake/numpack/numpack-config.cmake", fill(config, &built.native.join(";")))?;
    let version = include_str!("../install/numpack-config-version.cmake.in");
    put("cmake/numpack/numpack-config-version.cmake", fill(version, ""))
}

/// All headers of a folder, and of those in it.
fn put_headers(from: &Path, to: &Path) -> Result<()> {
    for entry in fs::read_dir(from).with_context(|| format!("cannot read {}", from.display()))? {
        let entry = entry?;
        let (path, to) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type()?.is_dir() {
            put_headers(&path, &to)?;
        } else if path.extension().is_some_and(|e| e == "h" || e == "hpp") {
            put_file(&path, &to, 0o644)?;
        }
    }
    Ok(())
}

fn put_file(from: &Path, to: &Path, mode: u32) -> Result<()> {
    put_with(to, mode, |new| {
        fs::copy(from, new).with_context(|| format!("cannot copy {}", from.display()))?;
        Ok(())
    })
}

/// Makes a file beside its place and moves it there: a program that runs keeps the library it has.
fn put_with(to: &Path, mode: u32, make: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let new = beside(to)?;
    make(&new)
        .and_then(|()| Ok(fs::set_permissions(&new, fs::Permissions::from_mode(mode))?))
        .and_then(|()| Ok(fs::rename(&new, to)?))
        .inspect_err(|_| drop(fs::remove_file(&new)))
        .with_context(|| format!("cannot write {}", to.display()))
}

/// A symbolic link, relative, so that the whole tree can be moved.
fn put_link(target: &str, to: &Path) -> Result<()> {
    let new = beside(to)?;
    symlink(target, &new)
        .and_then(|()| fs::rename(&new, to))
        .with_context(|| format!("cannot link {}", to.display()))
}

/// A free name in the folder of `to`, which is made.
fn beside(to: &Path) -> Result<PathBuf> {
    let folder = to.parent().context("no folder")?;
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let mut name = to.file_name().context("no name")?.to_owned();
    name.push(format!(".new-{}", std::process::id()));
    let new = folder.join(name);
    if new.symlink_metadata().is_ok() {
        fs::remove_file(&new)?;
    }
    Ok(new)
}
