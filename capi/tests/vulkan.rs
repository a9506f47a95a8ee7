//! Devices from C. `cargo xtask vulkan` runs this with drivers.
#![cfg(feature = "vulkan")]

mod common;

use std::path::Path;

use common::{checkpoint, compiler, link_shared, program, repository, run};

/// Compiles one C file, where the tests are run with a driver.
fn compile(source: &Path, exe: &Path) -> bool {
    if std::env::var_os("NUMPACK_TEST_DRIVER").is_none() {
        println!("skipped: cargo xtask vulkan runs this with drivers");
        return false;
    }
    let mut cc = compiler(&std::env::var("CC").unwrap_or_else(|_| "cc".into()));
    run(link_shared(cc.arg("-std=c99").arg(source).arg("-o").arg(exe)));
    true
}

#[test]
fn devices_compute() {
    // The second also records what functions of the program compute.
    for name in ["device", "training"] {
        let folder = tempfile::tempdir().unwrap();
        let exe = folder.path().join(name);
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/{name}.c"));
        if compile(&source, &exe) {
            let said = run(program(&exe).arg(checkpoint()).arg(folder.path()));
            assert!(said.ends_with("all rules hold\n"), "{said}");
        }
    }
}

#[test]
fn the_example_trains_there() {
    let folder = tempfile::tempdir().unwrap();
    let exe = folder.path().join("classifier");
    if compile(&repository().join("examples/classifier.c"), &exe) {
        let (here, there) = (run(program(&exe).arg("cpu")), run(program(&exe).arg("vulkan")));
        let (here, there) = (common::last_loss(&here), common::last_loss(&there));
        assert!(there < 0.2 && (here - there).abs() < 1e-3, "{here}, {there}");
    }
}
