//! Set-up, tests, header, benchmarks and releases: `cargo xtask help` lists them.
//!
//! Nothing here touches the system: what the tests need beyond Rust and a C compiler is fetched
//! into the user's cache folder, keyed by what was asked for.

mod dist;
mod drivers;
mod environment;
mod install;
mod install_tests;
mod julia;
mod python;
mod steps;
mod vulkan;
mod wheel;

use std::process::ExitCode;

const HELP: &str = "\
usage: cargo xtask COMMAND

commands:
  setup [--dry-run]   fetch what the tests need into the cache; --dry-run lists it
  test                run every test that needs no other library: Rust, C, Python, Julia
  test install        only that the C library works where it was installed
  test python         only the Python package: its types, and its tests with numpy alone
  test julia          only the Julia package
  peers [ARG…]        check against the real torch, numpy, safetensors, the public numpack and
                      scanners, fetching them first; arguments go to xtask/peers/peers.py,
                      and leave out tensors in memory and the files in every container
  peers tensors       only tensors in memory, beside torch's
  peers operations    only operations on host memory, beside torch's
  peers training      only gradients, layers and training, beside torch's
  peers python        only the tests of the Python package, beside torch
  peers containers [ARG…]
                      only the files in every container, by the oldest and the newest torch;
                      arguments (--count N, --seed N) go to xtask/peers/check_containers.py
  bench [ARG…]        print the benchmark table; arguments go to the benchmark
  header              write include/numpack.h from the sources, capi/symbols.txt, and the tables
                      of the Python package
  install --prefix FOLDER [--destdir FOLDER]
                      build the C library and lay it down with its headers, for pkg-config and
                      CMake; --destdir puts the prefix under another folder
  dist                the same as target/dist/libnumpack-VERSION-x86_64-linux-gnu.tar.gz, for any
                      Linux with glibc 2.28 or newer, and a wheel for any Python; fetches zig first
  shaders [--check]   compile the kernels of vulkan-core, whose compiler takes minutes to build
                      once; --check only says which are not what their sources compile to
  vulkan              run the tests that need a Vulkan device, on each of several drivers
  vulkan DRIVER COMMAND…
                      run a command with one of them: lavapipe, lavapipe-newer, swiftshader
  vulkan peers        fetch ncnn and grilly, which the benchmarks of a device then measure too
  lint                formatting and clippy, warnings as errors
";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let (command, rest) = match args.split_first() {
        Some((command, rest)) => (command.as_str(), rest),
        None => ("help", &[][..]),
    };
    let result = match (command, rest) {
        ("setup", []) => steps::setup(false),
        ("setup", [flag]) if flag == "--dry-run" => steps::setup(true),
        ("test", []) => steps::test(),
        ("test", [only]) if only == "install" => install_tests::install_tests(),
        ("test", [only]) if only == "python" => python::test(),
        ("test", [only]) if only == "julia" => julia::test(),
        ("peers", rest) => steps::peers(rest),
        ("bench", rest) => steps::bench(rest),
        ("header", []) => steps::header(),
        ("install", rest) => install::install(rest),
        ("dist", []) => dist::dist(),
        ("lint", []) => steps::lint(),
        ("shaders", []) => vulkan::shaders(false),
        ("shaders", [flag]) if flag == "--check" => vulkan::shaders(true),
        ("vulkan", []) => vulkan::test(),
        ("vulkan", [only]) if only == "peers" => vulkan::peers(),
        ("vulkan", [name, command @ ..]) => vulkan::with_driver(name, command),
        ("help" | "--help" | "-h", _) => {
            print!("{HELP}");
            Ok(())
        }
        _ => {
            eprint!("{HELP}");
            return ExitCode::from(2);
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("xtask: {e:#}");
            ExitCode::FAILURE
        }
    }
}
