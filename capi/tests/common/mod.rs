//! How the tests of C and C++ programs compile and run them.
#![allow(dead_code, reason = "no test that has this module wants all of it")]

use std::path::{Path, PathBuf};
use std::process::Command;

/// The libraries lie beside the test's own binary.
pub(crate) fn build_dir() -> PathBuf {
    std::env::current_exe().unwrap().parent().unwrap().to_owned()
}

pub(crate) fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// A checkpoint of torch's own.
pub(crate) fn checkpoint() -> PathBuf {
    repository().join("examples/checkpoint.pt")
}

/// Runs a command that must succeed, and returns what it prints.
pub(crate) fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{command:?}: {}\n{text}{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    text
}

/// A compiler with every warning an error, which finds the headers.
pub(crate) fn compiler(name: &str) -> Command {
    let mut command = tool(name);
    command
        .args(["-Wall", "-Wextra", "-Wpedantic", "-Werror", "-g", "-pthread", "-I"])
        .arg(repository().join("include"));
    command
}

/// Links what a compiler compiles to the shared library.
pub(crate) fn link_shared(command: &mut Command) -> &mut Command {
    command.arg("-L").arg(build_dir()).arg("-lnumpack")
}

/// A program that finds the shared library, and a Vulkan driver only where the tests are run with one.
pub(crate) fn program(path: &Path) -> Command {
    let mut command = Command::new(path);
    let others = std::env::var_os("LD_LIBRARY_PATH").unwrap_or_default();
    let others = std::env::split_paths(&others).filter(|folder| folder.is_absolute());
    let folders = std::iter::once(build_dir()).chain(others);
    command.env("LD_LIBRARY_PATH", std::env::join_paths(folders).unwrap());
    if std::env::var_os("NUMPACK_TEST_DRIVER").is_none() {
        without_driver(&mut command);
    }
    command
}

fn without_driver(command: &mut Command) {
    for variable in ["VK_DRIVER_FILES", "VK_ICD_FILENAMES"] {
        command.env(variable, "/nonexistent.json");
    }
}

/// The same under valgrind, where any error or leak fails; those of drivers are not ours.
pub(crate) fn valgrind(path: &Path) -> Command {
    let mut command = program(Path::new("valgrind"));
    without_driver(&mut command);
    command
        .args(["--quiet", "--error-exitcode=9", "--leak-check=full"])
        .arg("--errors-for-leak-kinds=definite")
        .arg(path);
    command
}

/// What `examples/classifier.c` says at the end.
pub(crate) fn last_loss(said: &str) -> f64 {
    let loss = said.trim_end().rsplit_once(' ').map(|(_, loss)| loss);
    loss.and_then(|loss| loss.parse().ok()).unwrap_or_else(|| panic!("{said}"))
}

/// Runs a tool. In place of a clang that is not there, the one inside zig does, which
/// `cargo xtask test` names.
fn tool(name: &str) -> Command {
    let is_there = |name: &str| Command::new(name).arg("--version").output().is_ok();
    let part = match name {
        "clang" => "cc",
        "clang++" => "c++",
        _ => return Command::new(name),
    };
    match std::env::var_os("NUMPACK_ZIG").filter(|_| !is_there(name)) {
        Some(zig) => {
            let mut command = Command::new(zig);
            command.arg(part);
            command
        }
        None => Command::new(name),
    }
}

/// Whether a tool is there. One that is missing is a skip for a person and a failure for CI.
pub(crate) fn has(name: &str) -> bool {
    let found = tool(name).arg("--version").output().is_ok_and(|o| o.status.success());
    if !found {
        assert!(std::env::var_os("CI").is_none(), "{name} is not installed");
        println!("skipped: {name} is not installed");
    }
    found
}
