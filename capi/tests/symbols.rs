//! The shared library exports what the committed list says, which is what the header declares, and
//! nothing else: all else cannot be called from outside.

mod declarations;

use std::path::Path;
use std::process::Command;

/// Every name that the shared library, which lies beside this test's own binary, exports; with the
/// letter by which `nm` says what it is.
fn exported() -> Option<Vec<(String, char)>> {
    let library = std::env::current_exe().unwrap().with_file_name("libnumpack.so");
    let output = Command::new("nm")
        .args(["--dynamic", "--defined-only", "--format=posix"])
        .arg(library)
        .output()
        .ok()?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let symbol = |line: &str| {
        let mut words = line.split_whitespace();
        Some((words.next()?.to_owned(), words.next()?.chars().next()?))
    };
    Some(text.lines().map(|line| symbol(line).unwrap_or_else(|| panic!("{line}"))).collect())
}

#[test]
fn the_exported_names_are_the_committed_ones() {
    let Some(mut symbols) = exported() else {
        assert!(std::env::var_os("CI").is_none(), "nm is not installed");
        println!("skipped: nm is not installed");
        return;
    };
    symbols.sort_unstable();
    for (name, kind) in &symbols {
        assert_eq!(*kind, 'T', "{name} is no function");
        assert!(name.starts_with("numpack_"), "{name} is not ours");
    }
    let names: Vec<String> = symbols.into_iter().map(|(name, _)| name).collect();

    let declared = declarations::functions(&declarations::code());
    let mut declared: Vec<String> = declared.into_iter().map(|f| f.name).collect();
    declared.sort_unstable();
    assert_eq!(names, declared, "the library and the header differ");

    // `cargo xtask header` runs this test with the variable set.
    let list = Path::new(env!("CARGO_MANIFEST_DIR")).join("symbols.txt");
    if std::env::var_os("NUMPACK_WRITE_HEADER").is_some() {
        std::fs::write(&list, names.join("\n") + "\n").unwrap();
    }
    let committed = std::fs::read_to_string(&list).unwrap_or_default();
    let committed: Vec<&str> = committed.lines().collect();
    assert_eq!(names, committed, "capi/symbols.txt is out of date; run `cargo xtask header`");
}
