//! What each command does.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use crate::environment::{
    self, DIST, ENCODER, NUMPACK, OLD_TORCH, PYTHON, PYTHON_OLDEST, PYTHON_TORCH, SCANNERS, TEST,
    TORCH, VULKAN_PEERS, repository, run, target_folder,
};
use crate::{drivers, install_tests, julia, python, vulkan};

/// Whether a missing thing is an error instead of a skip.
pub(crate) fn is_ci() -> bool {
    std::env::var_os("CI").is_some()
}

pub(crate) fn cargo() -> Command {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(repository());
    cargo
}

/// Fetches what the tests need, or lists it.
pub(crate) fn setup(dry_run: bool) -> Result<()> {
    let all = [
        (TEST, "test"),
        (PYTHON, "test"),
        (PYTHON_OLDEST, "test"),
        (TORCH, "peers"),
        (PYTHON_TORCH, "peers"),
        (OLD_TORCH, "peers"),
        (NUMPACK, "peers"),
        (SCANNERS, "peers"),
        (ENCODER, "peers"),
        (DIST, "dist"),
        (VULKAN_PEERS, "vulkan peers"),
    ];
    for (environment, needed_by) in all {
        let state = if environment.is_ready()? { "there" } else { "to be fetched" };
        println!(
            "{} for `cargo xtask {needed_by}`: {}, {state}, in {}",
            environment.requirements,
            environment.size,
            environment.folder()?.display()
        );
        if !dry_run && needed_by == "test" {
            environment.python()?;
        }
    }
    let state = if drivers::are_ready()? { "there" } else { "to be fetched" };
    println!(
        "Vulkan drivers and layers for `cargo xtask test`: {}, {state}, in {}",
        drivers::SIZE,
        drivers::folder()?.display()
    );
    if !dry_run {
        drivers::drivers()?;
    }
    julia::setup(dry_run)
}

/// Every test that needs no peer.
pub(crate) fn test() -> Result<()> {
    let has_nextest = Command::new(env!("CARGO"))
        .args(["nextest", "--version"])
        .output()
        .is_ok_and(|o| o.status.success());
    let mut tests = cargo();
    if has_nextest {
        tests.args(["nextest", "run", "--workspace", "--no-fail-fast"]);
    } else {
        tests.args(["test", "--workspace", "--lib", "--bins", "--tests"]);
    }
    // The C and C++ tests want a second compiler. Where there is none, zig has one, which is large
    // to fetch.
    let has_clang = Command::new("clang++").arg("--version").output().is_ok();
    if !has_clang && (is_ci() || DIST.is_ready().unwrap_or(false)) {
        tests.env("NUMPACK_ZIG", environment::zig()?);
    }
    // That crate's tests run on each of several drivers.
    run(tests.args(["--exclude", "vulkan-core"]))?;
    run(cargo().args(["test", "--workspace", "--doc", "--quiet"]))?;
    // Their compiler is C++, which nothing else here needs.
    let has_cxx = Command::new("c++").arg("--version").output().is_ok();
    if has_cxx || is_ci() {
        vulkan::shaders(true)?;
    } else {
        println!("skipped: that the kernels are what their sources compile to (no C++ compiler)");
    }
    vulkan::test()?;
    python_tests()?;
    julia::test()?;
    install_tests::install_tests()
}

/// The reader in Python, written from the format's description alone, checks what we wrote, and
/// numpy what goes in and out as `.npy` files and as tensors of the C library, and the operations on
/// host memory; and the tests of the package.
fn python_tests() -> Result<()> {
    let python = match environment::python_version().and_then(|_| TEST.python()) {
        Ok(python) => python,
        Err(e) if is_ci() => return Err(e),
        Err(e) => {
            println!("skipped: the independent reader, tensors and the package in Python ({e:#})");
            return Ok(());
        }
    };
    run(cargo().args(["build", "--release", "--bin", "numpack"]))?;
    for check in ["xtask/peers/check_example.py", "xtask/peers/check_commands.py"] {
        run(Command::new(&python)
            .args(["-B", check, "--numpack"])
            .arg(binary())
            .current_dir(repository()))?;
    }
    let library = library()?;
    for check in ["sharing", "dlpack", "elements", "casts"] {
        run(&mut tensor_check(&python, check, &library))?;
    }
    run(&mut operation_check(&python)?)?;
    python::test()
}

/// What checks the operations on host memory in Python.
fn operation_check(python: &Path) -> Result<Command> {
    let example = ["--release", "--package", "numpack-host-ops", "--example", "evaluate"];
    run(cargo().arg("build").args(example))?;
    let mut command = Command::new(python);
    command
        .args(["-B", "xtask/peers/check_host_ops.py", "--evaluate"])
        .arg(release("examples").join("evaluate"))
        .current_dir(repository());
    Ok(command)
}

/// What checks tensors of the C library in Python.
fn tensor_check(python: &Path, check: &str, library: &Path) -> Command {
    let mut command = Command::new(python);
    command
        .args(["-B", &format!("xtask/peers/check_{check}.py"), "--library"])
        .arg(library)
        .current_dir(repository());
    command
}

/// Both directions against the real torch, the neighbours of `.pt` against numpy and safetensors,
/// our stores read by the public numpack, files scanned by the public scanners, tensors in memory
/// and operations beside torch's, the Python package beside it, and files in every container by the oldest
/// and the newest torch.
pub(crate) fn peers(args: &[String]) -> Result<()> {
    if args == ["tensors"] {
        return tensors();
    }
    if args == ["operations"] {
        return operations();
    }
    if args == ["training"] {
        return training();
    }
    if args == ["python"] {
        return python::peers();
    }
    run(cargo().args(["build", "--release", "--bin", "numpack"]))?;
    if let Some((first, rest)) = args.split_first()
        && first == "containers"
    {
        return containers(rest);
    }
    let stores = std::env::temp_dir().join(format!("numpack-peers-{}", std::process::id()));
    std::fs::create_dir_all(&stores)?;
    let result = with_stores(args, &stores);
    std::fs::remove_dir_all(&stores)?;
    result?;
    // Who asks for certain cases wants those.
    if !args.is_empty() {
        return Ok(());
    }
    tensors()?;
    operations()?;
    training()?;
    python::peers()?;
    containers(&[])
}

fn tensors() -> Result<()> {
    let (python, library) = (TORCH.python()?, library()?);
    run(&mut tensor_check(&python, "dlpack_torch", &library))?;
    for check in ["sharing", "elements", "casts"] {
        run(tensor_check(&python, check, &library).arg("--torch"))?;
    }
    Ok(())
}

fn operations() -> Result<()> {
    run(operation_check(&TORCH.python()?)?.arg("--torch"))
}

/// Gradients and training beside torch's, and a public encoder, on the host and on a software device.
fn training() -> Result<()> {
    let examples = ["--package", "numpack-interop", "--example", "compute", "--example", "embed"];
    run(cargo().args(["build", "--release", "--bin", "numpack"]))?;
    run(cargo().args(["build", "--release"]).args(examples))?;
    let example = |name: &str| release("examples").join(name);
    let mut beside_torch = Command::new(TORCH.python()?);
    beside_torch.args(["-B", "xtask/peers/check_nn.py", "--compute"]).arg(example("compute"));
    let mut encoder = Command::new(ENCODER.python()?);
    encoder.args(["-B", "xtask/peers/check_encoder.py", "--numpack"]).arg(binary());
    encoder.arg("--embed").arg(example("embed"));
    let drivers = match drivers::drivers() {
        Ok(drivers) => drivers,
        Err(e) if is_ci() => return Err(e),
        Err(e) => {
            println!("skipped: training on a Vulkan device ({e:#})");
            Vec::new()
        }
    };
    for mut check in [beside_torch, encoder] {
        if let Some(driver) = drivers.first() {
            driver.set(check.arg("--vulkan"));
        }
        run(check.current_dir(repository()))?;
    }
    Ok(())
}

fn containers(args: &[String]) -> Result<()> {
    run(Command::new(TORCH.python()?)
        .args(["-B", "xtask/peers/check_containers.py", "--numpack"])
        .arg(binary())
        .arg("--old-python")
        .arg(OLD_TORCH.python()?)
        .args(args)
        .current_dir(repository()))
}

fn with_stores(args: &[String], stores: &Path) -> Result<()> {
    run(Command::new(TORCH.python()?)
        .args(["-B", "xtask/peers/peers.py", "--beyond", "--count", "500", "--numpack"])
        .arg(binary())
        .arg("--keep")
        .arg(stores)
        .args(args)
        .current_dir(repository()))?;
    run(Command::new(TORCH.python()?)
        .args(["-B", "xtask/peers/neighbours.py", "--numpack"])
        .arg(binary())
        .current_dir(repository()))?;
    run(Command::new(NUMPACK.python()?)
        .args(["-B", "xtask/peers/public_numpack.py", "--numpack"])
        .arg(binary())
        .arg(stores)
        .current_dir(repository()))?;
    run(Command::new(SCANNERS.python()?)
        .args(["-B", "xtask/peers/public_scanners.py", "--numpack"])
        .arg(binary())
        .current_dir(repository()))
}

/// The table of measurements.
pub(crate) fn bench(args: &[String]) -> Result<()> {
    let mut table = cargo();
    table.args(["run", "--release", "--package", "numpack-benches", "--bin", "table", "--"]);
    // Torch is measured beside us where it is installed already.
    if TORCH.is_ready().unwrap_or(false) {
        table.env("NUMPACK_BENCH_PYTHON", TORCH.python()?);
    }
    vulkan::name_peers(&mut table)?;
    // Only for who asks for it.
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    if words.contains(&"--only=python") || words.windows(2).any(|w| w == ["--only", "python"]) {
        python::name(&mut table)?;
    }
    run(table.args(args))
}

/// The C header and the list of its functions, written by the tests that compare them, and what Python has
/// of it.
pub(crate) fn header() -> Result<()> {
    for test in ["header", "symbols"] {
        run(cargo()
            .args(["test", "--package", "numpack-capi", "--test", test, "--quiet"])
            .env("NUMPACK_WRITE_HEADER", "1"))?;
    }
    python::header()
}

/// Formatting and clippy.
pub(crate) fn lint() -> Result<()> {
    run(cargo().args(["fmt", "--all", "--check"]))?;
    run(cargo().args(["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]))?;
    // The C library without devices.
    let without = ["--package", "numpack-capi", "--no-default-features"];
    run(cargo().arg("clippy").args(without).args(["--", "-D", "warnings"]))
}

fn binary() -> PathBuf {
    release("numpack")
}

/// Builds the C library.
pub(crate) fn library() -> Result<PathBuf> {
    use std::env::consts::{DLL_PREFIX, DLL_SUFFIX};
    run(cargo().args(["build", "--release", "--package", "numpack-capi"]))?;
    Ok(release(&format!("{DLL_PREFIX}numpack{DLL_SUFFIX}")))
}

fn release(name: &str) -> PathBuf {
    target_folder().join("release").join(name)
}
