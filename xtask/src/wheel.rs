//! The Python package as a wheel, for any Python 3 on any Linux of the last years.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::environment::{PYTHON, repository, run, system_python, target_folder};
use crate::install::VERSION;
use crate::python::FOLDER;

/// Makes it of a library that is built for this version of glibc.
pub(crate) fn wheel(library: &Path, glibc: [u32; 2]) -> Result<()> {
    let platform = format!("manylinux_{}_{}_x86_64", glibc[0], glibc[1]);
    let name = format!("libnumpack-{VERSION}-py3-none-{platform}.whl");
    let made = build(library, &platform, &name, &target_folder().join("dist"))?;
    let folder = std::env::temp_dir().join(format!("numpack-wheel-{}", std::process::id()));
    fs::create_dir_all(&folder)?;
    let result = check(&made, library, &platform, &name, &folder);
    fs::remove_dir_all(&folder)?;
    result?;
    println!("{}: {} bytes", made.display(), fs::metadata(&made)?.len());
    Ok(())
}

fn build(library: &Path, platform: &str, name: &str, folder: &Path) -> Result<PathBuf> {
    run(Command::new(PYTHON.python()?)
        .args(["-B", "-m", "hatchling", "build", "--target", "wheel", "--directory"])
        .arg(folder)
        .current_dir(repository().join(FOLDER))
        .env("LIBNUMPACK_PREBUILT", library)
        .env("LIBNUMPACK_PLATFORM", platform)
        // The same files are the same wheel, whoever makes it and when.
        .env("SOURCE_DATE_EPOCH", "0"))?;
    let made = folder.join(name);
    ensure!(made.exists(), "hatchling made no {name}");
    Ok(made)
}

/// It is the same when it is made again, and works where there is nothing but numpy.
fn check(wheel: &Path, library: &Path, platform: &str, name: &str, folder: &Path) -> Result<()> {
    let again = build(library, platform, name, folder)?;
    ensure!(fs::read(wheel)? == fs::read(&again)?, "{name} is another one when it is made again");

    let environment = folder.join("environment");
    run(Command::new(system_python()).args(["-m", "venv"]).arg(&environment))?;
    let python = environment.join("bin/python");
    run(Command::new(&python)
        .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--constraint"])
        .arg(repository().join(PYTHON.requirements))
        .arg(wheel))?;
    let said = Command::new(&python)
        .args(["-I", "-c", PROGRAM])
        .current_dir(folder)
        .env_remove("LIBNUMPACK")
        .output()
        .context("run the new environment's Python")?;
    if !said.status.success() {
        bail!("{name}: {}", String::from_utf8_lossy(&said.stderr));
    }
    let said = String::from_utf8_lossy(&said.stdout);
    ensure!(said.trim() == format!("{VERSION} {VERSION} 6.0"), "{name} said {said}");
    println!("{name} works in a new environment with numpy alone");
    Ok(())
}

/// Says the version of the package, of the library that it finds, and what one sum is.
const PROGRAM: &str = "
import importlib.metadata, os
import libnumpack
from libnumpack._native import lib
folder = os.path.dirname(libnumpack.__file__)
assert os.path.samefile(lib._cdll._name, os.path.join(folder, '_native', 'libnumpack.so')), lib._cdll
total = libnumpack.tensor([1.0, 2.0, 3.0]).sum().item()
print(importlib.metadata.version('libnumpack'), lib.version().decode(), total)
";
