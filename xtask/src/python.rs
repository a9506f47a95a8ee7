//! The Python package: installed from this clone, checked, and its tests.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::drivers::{self, Driver};
use crate::environment::{
    PYTHON, PYTHON_OLDEST, PYTHON_TORCH, TORCH, repository, run, target_folder,
};
use crate::steps::{is_ci, library};

/// Relative to the repository.
pub(crate) const FOLDER: &str = "bindings/python";

/// The tests that need numpy alone: with a software device; and without any, with the oldest numpy.
pub(crate) fn test() -> Result<()> {
    let python = PYTHON.python()?;
    types(&python)?;
    let site = install(&library()?)?;
    let driver = driver()?;
    if let Some(driver) = &driver {
        println!("xtask: the Python package, with {}", driver.name);
        tests(&python, &[&site], |pytest| driver.set(pytest))?;
    }
    println!("xtask: the Python package, with the oldest numpy and without a device");
    // Not the drivers of this machine either.
    let nowhere = site.with_file_name("no-driver.json");
    tests(&PYTHON_OLDEST.python()?, &[&site], |pytest| {
        pytest.env("VK_DRIVER_FILES", &nowhere).env("VK_ICD_FILENAMES", &nowhere);
    })
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
    let driver = driver()?;
    tests(&python, &[&site, &torch], |pytest| {
        pytest.env("NUMPACK_TEST_MODULES", "torch ml_dtypes safetensors");
        if let Some(driver) = &driver {
            driver.set(pytest);
        }
    })
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

/// Runs all tests, with these folders to import from before all else, and what more is set.
fn tests(python: &Path, folders: &[&Path], set: impl FnOnce(&mut Command)) -> Result<()> {
    let path = std::env::join_paths(folders)
        .context("a folder with a colon in its name cannot be imported from")?;
    // In memory, where there is such a place: what a sync keeps is tested in Rust, and hundreds of them
    // take a busy disk minutes.
    let memory = Path::new("/dev/shm");
    let temporary = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
    let temporary = temporary.join(format!("numpack-python-{}", std::process::id()));
    fs::create_dir_all(&temporary)?;
    let mut pytest = Command::new(python);
    pytest
        .args(["-B", "-m", "pytest", "--quiet", "tests"])
        .current_dir(repository().join(FOLDER))
        .env("PYTHONPATH", path)
        .env("TMPDIR", &temporary)
        // The package's own.
        .env_remove("LIBNUMPACK");
    set(&mut pytest);
    let result = run(&mut pytest);
    fs::remove_dir_all(&temporary)?;
    result
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
