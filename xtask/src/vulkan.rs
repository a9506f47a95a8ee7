//! The tests that need a Vulkan driver, on each of several, and the kernels' compiler.

use std::process::Command;

use anyhow::{Result, bail};

use crate::drivers::{self, Driver};
use crate::environment::{VULKAN_PEERS, cache_folder, repository, run};
use crate::steps::{cargo, is_ci};

/// How a driver is tested.
struct Plan {
    driver: &'static str,
    /// Bits of a vector, where the driver can be told: they decide the size of a subgroup.
    width: Option<&'static str>,
    /// What the layers check.
    validation: &'static str,
    /// Only the harness, and not the rest.
    harness: bool,
    /// Fewer layouts, where each kernel takes a second to compile.
    frugal: bool,
    /// An optional feature of the device that is not used.
    without: Option<&'static str>,
}

const PLANS: [Plan; 5] = [
    Plan { validation: "synchronization", ..PLAIN },
    Plan { width: Some("128"), harness: true, without: Some("MemoryBudget"), ..PLAIN },
    Plan { width: Some("512"), harness: true, without: Some("HostImport"), ..PLAIN },
    Plan { driver: "lavapipe-newer", validation: "core", ..PLAIN },
    Plan { driver: "swiftshader", harness: true, frugal: true, ..PLAIN },
];

const PLAIN: Plan = Plan {
    driver: "lavapipe",
    width: None,
    validation: "off",
    harness: false,
    frugal: false,
    without: None,
};

/// Runs the tests of `vulkan-core` on each driver.
pub(crate) fn test() -> Result<()> {
    let drivers = match drivers::drivers() {
        Ok(drivers) => drivers,
        Err(e) if is_ci() => return Err(e),
        Err(e) => {
            println!("skipped: everything on a Vulkan device ({e:#})");
            return Ok(());
        }
    };
    // What is built upon it, with the first of them.
    if let Some(driver) = drivers.first() {
        println!(
            "xtask: devices in numpack-nn, numpack-interop, from C and on the command line, on {}",
            driver.name
        );
        for package in ["numpack-nn", "numpack-interop", "numpack-capi", "numpack-cli"] {
            let mut tests = cargo();
            tests.args(["test", "--package", package, "--quiet", "--test", "vulkan"]);
            if package == "numpack-capi" {
                tests.args(["--test", "every_function"]);
            }
            // Random numbers are the process's, and tests compare what is drawn.
            tests.args(["--", "--test-threads", "1"]);
            driver.set(&mut tests);
            run(&mut tests)?;
        }
    }
    for plan in &PLANS {
        let Some(driver) = drivers.iter().find(|d| d.name == plan.driver) else {
            bail!("{} is not among the drivers", plan.driver);
        };
        run_plan(plan, driver)?;
    }
    Ok(())
}

fn run_plan(plan: &Plan, driver: &Driver) -> Result<()> {
    let Plan { width, validation, harness, frugal, without, .. } = plan;
    let vector = width.map_or(String::new(), |bits| format!(", vectors of {bits} bits"));
    let lacks = without.map_or(String::new(), |name| format!(", without {name}"));
    println!("xtask: vulkan-core on {}{vector}{lacks}, validation {validation}", driver.name);
    let mut tests = cargo();
    tests.args(["test", "--package", "vulkan-core", "--quiet"]);
    if *harness {
        tests.args(["--test", "harness"]);
    } else {
        tests.arg("--tests");
    }
    tests.args(["--", "--nocapture", "--test-threads", "2"]);
    tests.env("NUMPACK_TEST_VALIDATION", validation);
    if *frugal {
        tests.env("NUMPACK_TEST_FRUGAL", "1");
    }
    if let Some(feature) = without {
        tests.env("NUMPACK_TEST_WITHOUT", feature);
    }
    driver.set(&mut tests);
    if let Some(bits) = width {
        tests.env("LP_NATIVE_VECTOR_WIDTH", bits);
    }
    run(&mut tests)
}

/// Runs a command of the caller's with one of the drivers: `cargo xtask vulkan NAME COMMAND…`.
pub(crate) fn with_driver(name: &str, command: &[String]) -> Result<()> {
    let drivers = drivers::drivers()?;
    let Some(driver) = drivers.iter().find(|d| d.name == name) else {
        let names: Vec<&str> = drivers.iter().map(|d| d.name).collect();
        bail!("{name} is no driver; there are {}", names.join(", "));
    };
    let [program, args @ ..] = command else {
        bail!("say what to run with {name}");
    };
    let mut command = Command::new(program);
    driver.set(command.args(args));
    name_peers(&mut command)?;
    run(&mut command)
}

/// Fetches other libraries that compute by Vulkan.
pub(crate) fn peers() -> Result<()> {
    println!(
        "xtask: what the benchmarks measure too is there: {}",
        VULKAN_PEERS.python()?.display()
    );
    Ok(())
}

/// Tells the benchmarks where those are, if they are installed already.
pub(crate) fn name_peers(command: &mut Command) -> Result<()> {
    if VULKAN_PEERS.is_ready().unwrap_or(false) {
        command.env("NUMPACK_BENCH_VULKAN_PYTHON", VULKAN_PEERS.python()?);
    }
    Ok(())
}

/// Compiles the kernels, or says which are not what their sources compile to.
pub(crate) fn shaders(check: bool) -> Result<()> {
    let folder = repository().join("vulkan-core");
    let mut compiler = cargo();
    compiler
        .args(["run", "--quiet", "--release", "--locked", "--manifest-path"])
        .arg(repository().join("xtask/shaders/Cargo.toml"))
        .arg("--")
        .args(check.then_some("--check"))
        .arg(folder.join("shaders"))
        .arg(folder.join("spirv"))
        // Minutes of C++, once on a machine.
        .env("CARGO_TARGET_DIR", cache_folder()?.join("shader-compiler"));
    run(&mut compiler)
}
