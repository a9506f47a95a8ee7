//! Set-up, tests, header and benchmarks: `cargo xtask help` lists them.
//!
//! Nothing here touches the system: what the tests need beyond Rust and a C compiler is fetched
//! into the user's cache folder, keyed by what was asked for.

mod environment;
mod steps;

use std::process::ExitCode;

const HELP: &str = "\
usage: cargo xtask COMMAND

commands:
  setup [--dry-run]   fetch what the tests need into the cache; --dry-run lists it
  test                run every test that needs no other library: Rust, C, Python
  peers [ARG…]        check against the real torch, numpy, safetensors, the public numpack and
                      scanners, fetching them first; arguments go to xtask/peers/peers.py,
                      and leave out tensors in memory and the files in every container
  peers tensors       only tensors in memory, beside torch's
  peers containers [ARG…]
                      only the files in every container, by the oldest and the newest torch;
                      arguments (--count N, --seed N) go to xtask/peers/check_containers.py
  bench [ARG…]        print the benchmark table; arguments go to the benchmark
  header              write include/numpack.h from the sources
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
        ("peers", rest) => steps::peers(rest),
        ("bench", rest) => steps::bench(rest),
        ("header", []) => steps::header(),
        ("lint", []) => steps::lint(),
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
