//! Running the command.
#![allow(dead_code, unreachable_pub, reason = "each test file uses a part of this module")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

pub fn example() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/checkpoint.pt")
}

pub fn numpack(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_numpack")).args(args).output().unwrap()
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// The output of a command that must succeed, or answer `status`.
pub fn expect(status: i32, args: &[&str]) -> Output {
    let output = numpack(args);
    assert_eq!(output.status.code(), Some(status), "{args:?}: {}", text(&output.stderr));
    output
}

/// What a command that must succeed prints.
pub fn printed(args: &[&str]) -> String {
    text(&expect(0, args).stdout)
}

/// A command that cannot be done, and says so with these words.
pub fn refused(args: &[&str], words: &str) {
    let output = expect(2, args);
    let said = text(&output.stderr);
    assert!(said.contains(words), "{args:?}: {said}");
    assert!(output.stdout.is_empty(), "{args:?}");
}
