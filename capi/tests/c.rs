//! C programs use the library as a user would: compiled with warnings as errors, linked to the
//! shared and to the static library, and run.

mod common;

use std::path::{Path, PathBuf};

use common::{
    build_dir, checkpoint, compiler, has, link_shared, program, repository, run, valgrind,
};

/// Compiles one C file with the system's compiler, linked to the shared or to the static library.
fn compile(source: &Path, program: &Path, standard: &str, is_static: bool) {
    let cc = std::env::var("CC").unwrap_or_else(|_| "cc".into());
    compile_by(&cc, source, program, &[&format!("-std={standard}")], is_static);
}

fn compile_by(cc: &str, source: &Path, program: &Path, options: &[&str], is_static: bool) {
    let mut cc = compiler(cc);
    cc.args(options).arg(source).arg("-o").arg(program);
    if is_static {
        cc.arg(build_dir().join("libnumpack.a")).args(["-ldl", "-lm"]);
    } else {
        link_shared(&mut cc);
    }
    run(&mut cc);
}

#[test]
fn the_example_converts_there_and_back() {
    let folder = tempfile::tempdir().unwrap();
    let exe = folder.path().join("convert");
    compile(&repository().join("examples/convert.c"), &exe, "c11", false);
    let store = folder.path().join("checkpoint.npk");
    let back = folder.path().join("back.pt");
    let checkpoint = checkpoint();
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

#[test]
fn the_example_lists_and_reads() {
    let folder = tempfile::tempdir().unwrap();
    let exe = folder.path().join("tensors");
    compile(&repository().join("examples/tensors.c"), &exe, "c11", false);
    let said = run(program(&exe).arg(checkpoint()).arg("model.token_counts"));
    assert!(said.contains("\nmodel.embedding.weight: float32 192 48\n"), "{said}");
    // Each of 60 steps counted 64 pairs of tokens.
    assert!(said.ends_with("the 192 elements of model.token_counts add up to 7680\n"), "{said}");
}

/// The loss, which the last line has, is small at the end.
#[test]
fn the_example_trains() {
    let folder = tempfile::tempdir().unwrap();
    let exe = folder.path().join("classifier");
    compile(&repository().join("examples/classifier.c"), &exe, "c99", false);
    let said = run(program(&exe).arg("cpu"));
    assert!(said.starts_with("epoch 1: loss 0.") && said.lines().count() == 11, "{said}");
    assert!(common::last_loss(&said) < 0.2, "{said}");
}

/// Programs that check every rule a C program can see, each for its part of the header.
const PROGRAMS: [&str; 11] = [
    "rules",
    "store",
    "writer",
    "reading",
    "sharing",
    "checkpoint",
    "tensor",
    "object",
    "nn",
    "nn_memory",
    "training",
];

/// Compiles one of them in a folder.
fn compile_program(name: &str, folder: &Path, standard: &str, is_static: bool) -> PathBuf {
    let exe = folder.join(name);
    compile(&program_source(name), &exe, standard, is_static);
    exe
}

fn program_source(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/{name}.c"))
}

#[test]
fn every_rule_of_the_interface_holds() {
    for (standard, is_static) in [("c99", false), ("c11", true)] {
        for name in PROGRAMS {
            let folder = tempfile::tempdir().unwrap();
            let exe = compile_program(name, folder.path(), standard, is_static);
            let said = run(program(&exe).arg(checkpoint()).arg(folder.path()));
            assert!(said.ends_with("all rules hold\n"), "{name}: {said}");
        }
    }
}

/// They compile by two compilers in every standard, and run by the second.
#[test]
fn other_standards_and_compilers_take_the_header() {
    for cc in ["gcc", "clang"] {
        if !has(cc) {
            continue;
        }
        for standard in ["-std=c99", "-std=c11", "-std=c17", "-std=c2x"] {
            for name in PROGRAMS {
                let folder = tempfile::tempdir().unwrap();
                let exe = folder.path().join(name);
                compile_by(cc, &program_source(name), &exe, &[standard], false);
                if cc == "clang" && standard == "-std=c17" {
                    let said = run(program(&exe).arg(checkpoint()).arg(folder.path()));
                    assert!(said.ends_with("all rules hold\n"), "{name}: {said}");
                }
            }
        }
    }
}

/// Addresses, leaks and undefined behaviour, on the side of C. Races are looked for by
/// `tests/cpp/threads.cpp`: the library is not instrumented, and what orders its threads is not seen.
#[test]
fn sanitizers_find_nothing() {
    if !has("gcc") {
        return;
    }
    for name in PROGRAMS {
        let folder = tempfile::tempdir().unwrap();
        let exe = folder.path().join(name);
        let options = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"];
        compile_by("gcc", &program_source(name), &exe, &options, false);
        // A test asks for more memory than there is; that is to be said, not to stop it.
        let mut command = program(&exe);
        command.env("ASAN_OPTIONS", "allocator_may_return_null=1:detect_leaks=1");
        let said = run(command.arg(checkpoint()).arg(folder.path()));
        assert!(said.ends_with("all rules hold\n"), "{name}: {said}");
    }
}

/// The same programs under valgrind, where it is installed: no error, no leak.
#[test]
fn valgrind_finds_nothing() {
    if !has("valgrind") {
        return;
    }
    for name in PROGRAMS {
        let folder = tempfile::tempdir().unwrap();
        let exe = compile_program(name, folder.path(), "c11", false);
        run(valgrind(&exe).arg(checkpoint()).arg(folder.path()));
    }
}

/// The header is C++ too, and may be included twice.
#[test]
fn the_header_is_cpp() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("both.cpp");
    let text = "#include <numpack.h>\n#include <numpack.h>\nint main() { return numpack_rows_all().kind; }\n";
    std::fs::write(&source, text).unwrap();
    let cxx = std::env::var("CXX").unwrap_or_else(|_| "c++".into());
    if has(&cxx) {
        run(compiler(&cxx).args(["-std=c++11", "-fsyntax-only"]).arg(&source));
    }
}
