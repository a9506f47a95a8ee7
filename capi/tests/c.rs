//! C programs use the library as a user would: compiled with warnings as errors, linked to the
//! shared and to the static library, and run.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The libraries lie beside this test's own binary.
fn build_dir() -> PathBuf {
    std::env::current_exe().unwrap().parent().unwrap().to_owned()
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn run(command: &mut Command) -> String {
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

/// Compiles one C file, linked to the shared or to the static library.
fn compile(source: &Path, program: &Path, standard: &str, is_static: bool) {
    let mut cc = Command::new(std::env::var_os("CC").unwrap_or_else(|| "cc".into()));
    cc.args(["-Wall", "-Wextra", "-Wpedantic", "-Werror", "-g"])
        .arg(format!("-std={standard}"))
        .arg("-I")
        .arg(repository().join("include"))
        .arg(source)
        .arg("-o")
        .arg(program)
        .arg("-pthread");
    if is_static {
        cc.arg(build_dir().join("libnumpack.a")).args(["-ldl", "-lm"]);
    } else {
        cc.arg("-L").arg(build_dir()).arg("-lnumpack");
    }
    run(&mut cc);
}

fn program(path: &Path) -> Command {
    let mut command = Command::new(path);
    command.env("LD_LIBRARY_PATH", build_dir());
    command
}

/// A tool that is missing is a skip for a person and a failure for CI.
fn skip(tool: &str) {
    assert!(std::env::var_os("CI").is_none(), "{tool} is not installed");
    println!("skipped: {tool} is not installed");
}

#[test]
fn the_example_converts_there_and_back() {
    let folder = tempfile::tempdir().unwrap();
    let exe = folder.path().join("convert");
    compile(&repository().join("examples/convert.c"), &exe, "c11", false);
    let store = folder.path().join("checkpoint.npk");
    let back = folder.path().join("back.pt");
    let checkpoint = repository().join("examples/checkpoint.pt");
    let said = run(program(&exe).arg(&checkpoint).arg(&store));
    assert!(said.contains("arrays"), "{said}");
    run(program(&exe).arg(&store).arg(&back));
    let a = numpack_interop::Tensors::open(&checkpoint).unwrap();
    let b = numpack_interop::Tensors::open(&back).unwrap();
    assert_eq!(numpack_interop::diff(&a, &b, 10).unwrap(), []);
}

#[test]
fn the_example_keeps_rows() {
    let folder = tempfile::tempdir().unwrap();
    let exe = folder.path().join("store");
    compile(&repository().join("examples/store.c"), &exe, "c11", false);
    let store = folder.path().join("embeddings.npk");
    let package = folder.path().join("embeddings.npkg");
    let said = run(program(&exe).arg(&store).arg(&package));
    assert!(
        said.starts_with("vectors: 3 rows of float32, the last begins with 5, the first with 1")
    );
    let packed = numpack_format::Package::open(&package).unwrap();
    packed.verify().unwrap();
    let mut ids = [0; 24];
    packed.read_into("ids", &mut ids).unwrap();
    assert_eq!(ids.chunks(8).map(|id| id[0]).collect::<Vec<_>>(), [100, 101, 101]);
    assert_eq!(numpack_format::Store::verify(&store).unwrap(), []);
}

/// Programs that check every rule a C program can see, each for its part of the header.
const PROGRAMS: [&str; 7] =
    ["rules", "store", "writer", "reading", "sharing", "checkpoint", "tensor"];

/// Compiles one of them in a folder.
fn compile_program(name: &str, folder: &Path, standard: &str, is_static: bool) -> PathBuf {
    let exe = folder.join(name);
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/{name}.c"));
    compile(&source, &exe, standard, is_static);
    exe
}

#[test]
fn every_rule_of_the_interface_holds() {
    for (standard, is_static) in [("c99", false), ("c11", true)] {
        for name in PROGRAMS {
            let folder = tempfile::tempdir().unwrap();
            let exe = compile_program(name, folder.path(), standard, is_static);
            let checkpoint = repository().join("examples/checkpoint.pt");
            let said = run(program(&exe).arg(&checkpoint).arg(folder.path()));
            assert!(said.ends_with("all rules hold\n"), "{name}: {said}");
        }
    }
}

/// The same programs under valgrind, where it is installed: no error, no leak.
#[test]
fn valgrind_finds_nothing() {
    if Command::new("valgrind").arg("--version").output().is_err() {
        skip("valgrind");
        return;
    }
    for name in PROGRAMS {
        let folder = tempfile::tempdir().unwrap();
        let exe = compile_program(name, folder.path(), "c11", false);
        let mut valgrind = Command::new("valgrind");
        valgrind
            .args([
                "--quiet",
                "--error-exitcode=9",
                "--leak-check=full",
                "--errors-for-leak-kinds=definite",
            ])
            .arg(&exe)
            .arg(repository().join("examples/checkpoint.pt"))
            .arg(folder.path())
            .env("LD_LIBRARY_PATH", build_dir());
        run(&mut valgrind);
    }
}

/// The header is C++ too, and may be included twice.
#[test]
fn the_header_is_cpp() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("both.cpp");
    let text = "#include <numpack.h>\n#include <numpack.h>\nint main() { return numpack_rows_all().kind; }\n";
    std::fs::write(&source, text).unwrap();
    let cxx = std::env::var_os("CXX").unwrap_or_else(|| "c++".into());
    if Command::new(&cxx).arg("--version").output().is_err() {
        skip("a C++ compiler");
        return;
    }
    run(Command::new(cxx)
        .args(["-std=c++11", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-fsyntax-only", "-I"])
        .arg(repository().join("include"))
        .arg(&source));
}

/// Every function of the header is exported, and nothing else: all else cannot be called from
/// outside.
#[test]
fn only_our_names_are_exported() {
    let Ok(output) = Command::new("nm")
        .args(["--dynamic", "--defined-only", "--extern-only", "--format=just-symbols"])
        .arg(build_dir().join("libnumpack.so"))
        .output()
    else {
        skip("nm");
        return;
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut names: Vec<&str> =
        std::str::from_utf8(&output.stdout).unwrap().split_whitespace().collect();
    names.sort_unstable();
    assert_eq!(names, functions_of_the_header());
}

/// The names before an opening parenthesis at the start of a line, but for those the header itself
/// defines.
fn functions_of_the_header() -> Vec<String> {
    let header = std::fs::read_to_string(repository().join("include/numpack.h")).unwrap();
    let declared = |line: &str| {
        let is_code = line.starts_with(|c: char| c.is_ascii_lowercase())
            && !line.starts_with("typedef")
            && !line.starts_with("static");
        let name = line.split_once('(')?.0.rsplit([' ', '*']).next()?;
        (is_code && name.starts_with("numpack_")).then(|| name.to_owned())
    };
    let mut names: Vec<String> = header.lines().filter_map(declared).collect();
    names.sort_unstable();
    names
}
