//! The Python package: installed from this clone, checked, and its tests.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::drivers::{self, Driver};
use crate::environment::{PYTHON, PYTHON_TORCH, TORCH, repository, run, target_folder};
use crate::steps::{is_ci, library};

/// Relative to the repository.
pub(crate) const FOLDER: &str = "bindings/python";

/// The tests that need numpy alone: with a software device, and without any.
pub(crate) fn test() -> Result<()> {
    let python = PYTHON.python()?;
    types(&python)?;
    let site = install(&library()?)?;
    let driver = driver()?;
    let mut pytest = tests(&python, &[&site])?;
    if let Some(driver) = &driver {
        println!("xtask: the Python package, with {}", driver.name);
        driver.set(&mut pytest);
        run(&mut pytest)?;
    }
    println!("xtask: the Python package, without a device");
    let mut pytest = tests(&python, &[&site])?;
    // Not the drivers of this machine either.
    let nowhere = site.with_file_name("no-driver.json");
    pytest.env("VK_DRIVER_FILES", &nowhere).env("VK_ICD_FILENAMES", &nowhere);
    run(&mut pytest)
}

/// The same tests, and those that need torch and `ml_dtypes`.
pub(crate) fn peers() -> Result<()> {
    let python = PYTHON_TORCH.python()?;
    let said = Command::new(TORCH.python()?)
        .args(["-c", "import sysconfig; print(sysconfig.get_path('platlib'), end='')"])
        .output()?;
    if !said.status.success() {
        bail!("{}", String::from_utf8_lossy(&said.stderr));
    }
    let torch = PathBuf::from(String::from_utf8(said.stdout)?);
    let site = install(&library()?)?;
    println!("xtask: the Python package, beside torch");
    let mut pytest = tests(&python, &[&site, &torch])?;
    pytest.env("NUMPACK_TEST_MODULES", "torch ml_dtypes safetensors");
    if let Some(driver) = driver()? {
        driver.set(&mut pytest);
    }
    run(&mut pytest)
}

/// Writes the table of the C interface from the header.
pub(crate) fn header() -> Result<()> {
    let script = repository().join(FOLDER).join("tests/header.py");
    run(Command::new(crate::environment::system_python()).arg("-B").arg(script).arg("--write"))
}

/// Installs the package of this clone, with a library that is built, below the build folder, and says where.
pub(crate) fn install(library: &Path) -> Result<PathBuf> {
    let site = target_folder().join("python/site");
    if site.exists() {
        fs::remove_dir_all(&site)?;
    }
    run(Command::new(PYTHON.python()?)
        .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"])
        // What builds it is installed beside pip already, and numpy is.
        .args(["--no-build-isolation", "--no-deps", "--no-index", "--target"])
        .arg(&site)
        .arg(repository().join(FOLDER))
        .env("LIBNUMPACK_PREBUILT", library))?;
    Ok(site)
}

/// Tells the benchmarks where the package is, and a Python for it: torch's, if that is installed already.
pub(crate) fn name(table: &mut Command) -> Result<()> {
    let python = if TORCH.is_ready()? { TORCH.python()? } else { PYTHON.python()? };
    table.env("NUMPACK_BENCH_PACKAGE", install(&library()?)?);
    table.env("NUMPACK_BENCH_PACKAGE_PYTHON", python);
    Ok(())
}

/// The types of the package, strictly.
fn types(python: &Path) -> Result<()> {
    let cache = target_folder().join("python/mypy");
    run(Command::new(python)
        .args(["-B", "-m", "mypy", "--no-error-summary", "--cache-dir"])
        .arg(cache)
        .current_dir(repository().join(FOLDER)))
}

/// All tests, with these folders to import from before all else.
fn tests(python: &Path, folders: &[&Path]) -> Result<Command> {
    let mut pytest = Command::new(python);
    pytest
        .args(["-B", "-m", "pytest", "--quiet", "tests"])
        .current_dir(repository().join(FOLDER))
        .env("PYTHONPATH", python_path(folders)?)
        // The package's own.
        .env_remove("LIBNUMPACK");
    Ok(pytest)
}

pub(crate) fn python_path(folders: &[&Path]) -> Result<OsString> {
    std::env::join_paths(folders).context("a folder with a colon cannot be imported from")
}

/// A software device, where there is one.
fn driver() -> Result<Option<Driver>> {
    match drivers::drivers() {
        Ok(drivers) => Ok(drivers.into_iter().next()),
        Err(e) if is_ci() => Err(e),
        Err(e) => {
            println!("skipped: the Python package on a Vulkan device ({e:#})");
            Ok(None)
        }
    }
}
