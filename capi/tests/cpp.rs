//! C++ programs use `numpack.hpp` as a user would: by two compilers, in three standards, with and
//! without exceptions, under valgrind and the sanitizers.

mod common;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use common::{checkpoint, compiler, has, link_shared, program, repository, run, valgrind};
use serde_json::Value;
use sha2::{Digest, Sha256};

/// The parts of the program that checks all but what has a program of its own.
const PARTS: [&str; 7] = [
    "main.cpp",
    "stores.cpp",
    "checkpoints.cpp",
    "tensors.cpp",
    "sharing.cpp",
    "callbacks.cpp",
    "nn.cpp",
];

const SANITIZERS: [&str; 2] = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"];

fn source(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cpp").join(name)
}

/// Compiles and links sources of `tests/cpp` to a program in a folder.
fn build(cxx: &str, folder: &Path, options: &[&str], sources: &[&str]) -> PathBuf {
    let exe = folder.join("program");
    let mut command = compiler(cxx);
    command.args(options).args(sources.iter().map(|name| source(name))).arg("-o").arg(&exe);
    run(link_shared(&mut command));
    exe
}

/// Runs a test program, whose checks must hold.
fn check(exe: &Path, folder: &Path) {
    // A test asks for more memory than there is; the address sanitizer is to say so, not to stop.
    let mut command = program(exe);
    command.env("ASAN_OPTIONS", "allocator_may_return_null=1:detect_leaks=1");
    let said = run(command.arg(checkpoint()).arg(folder));
    assert_eq!(said, "all rules hold\n", "{}", exe.display());
}

fn build_and_check(cxx: &str, options: &[&str], sources: &[&str]) {
    if has(cxx) {
        let folder = tempfile::tempdir().unwrap();
        check(&build(cxx, folder.path(), options, sources), folder.path());
    }
}

#[test]
fn every_rule_holds_by_gcc_in_cpp17() {
    if !has("g++") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let exe = build("g++", folder.path(), &["-std=c++17"], &PARTS);
    check(&exe, folder.path());
    compare_with_torch(folder.path());
    if has("valgrind") {
        let folder = tempfile::tempdir().unwrap();
        run(valgrind(&exe).arg(checkpoint()).arg(folder.path()));
    }
}

#[test]
fn every_rule_holds_by_gcc_in_cpp20() {
    build_and_check("g++", &["-std=c++20"], &PARTS);
}

#[test]
fn every_rule_holds_by_gcc_in_cpp23_optimised() {
    build_and_check("g++", &["-std=c++23", "-O2"], &PARTS);
}

#[test]
fn every_rule_holds_by_clang_in_cpp17() {
    build_and_check("clang++", &["-std=c++17"], &PARTS);
}

#[test]
fn every_rule_holds_by_clang_in_cpp20() {
    build_and_check("clang++", &["-std=c++20"], &PARTS);
}

#[test]
fn every_rule_holds_by_clang_in_cpp23() {
    build_and_check("clang++", &["-std=c++2b"], &PARTS);
}

/// Of each tensor the test program leaves a line and its elements. What they are is known from torch
/// itself.
fn compare_with_torch(folder: &Path) {
    let truth = std::fs::read(repository().join("examples/checkpoint.truth.json")).unwrap();
    let truth: Value = serde_json::from_slice(&truth).unwrap();
    let truth = truth["tensors"].as_array().unwrap();
    let list = std::fs::read_to_string(folder.join("tensors.txt")).unwrap();
    assert_eq!(list.lines().count(), truth.len());
    // Storages have other numbers there; the same ones must be the same.
    let mut storages: HashMap<&str, &Value> = HashMap::new();
    for (index, (line, expected)) in list.lines().zip(truth).enumerate() {
        let fields: Vec<&str> = line.split('\t').collect();
        let &[name, dtype, storage, shape] = &fields[..] else { panic!("{line}") };
        let shape: Vec<u64> = shape.split_whitespace().map(|n| n.parse().unwrap()).collect();
        assert_eq!(expected["name"], name);
        assert_eq!(expected["dtype"], dtype, "{name}");
        assert_eq!(expected["shape"], serde_json::json!(shape), "{name}");
        assert_eq!(*storages.entry(storage).or_insert(&expected["storage"]), &expected["storage"]);
        let bytes = std::fs::read(folder.join(format!("{index}.bin"))).unwrap();
        let sum: String = Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(expected["sha256"], sum, "{name}");
    }
}

/// Addresses, leaks and undefined behaviour, on the side of C++.
#[test]
fn sanitizers_find_nothing() {
    build_and_check("g++", &["-std=c++17", SANITIZERS[0], SANITIZERS[1]], &PARTS);
    let options = ["-std=c++20", "-fno-exceptions", "-fno-rtti", SANITIZERS[0], SANITIZERS[1]];
    build_and_check("g++", &options, &["results.cpp"]);
}

/// The library is not instrumented, so this is about what the headers do.
#[test]
fn threads_share_handles_without_races() {
    build_and_check("g++", &["-std=c++17", "-fsanitize=thread"], &["threads.cpp"]);
    build_and_check("clang++", &["-std=c++17"], &["threads.cpp"]);
}

#[test]
fn results_need_neither_exceptions_nor_type_information() {
    for cxx in ["g++", "clang++"] {
        for standard in ["-std=c++17", "-std=c++2b"] {
            build_and_check(cxx, &[standard, "-fno-exceptions", "-fno-rtti"], &["results.cpp"]);
        }
    }
}

/// Parts of one program that are compiled each in its own way share no name by accident.
#[test]
fn parts_with_and_without_exceptions_link() {
    if !has("g++") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let compile = |name: &str, options: &[&str]| {
        let object = folder.path().join(name).with_extension("o");
        run(compiler("g++").args(options).arg("-c").arg(source(name)).arg("-o").arg(&object));
        object
    };
    let without = compile("linked_without.cpp", &["-std=c++17", "-fno-exceptions", "-fno-rtti"]);
    let plain = compile("linked_plain.cpp", &["-std=c++20"]);
    let exe = folder.path().join("program");
    run(link_shared(compiler("g++").arg(plain).arg(without).arg("-o").arg(&exe)));
    check(&exe, folder.path());
}

/// Each header can be included by itself, twice, and first.
#[test]
fn every_header_stands_alone() {
    if !has("g++") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let include = repository().join("include");
    let parts = std::fs::read_dir(include.join("numpack")).unwrap();
    let names = parts.map(|part| part.unwrap().file_name().into_string().unwrap());
    let map = std::fs::read_to_string(include.join("numpack.hpp")).unwrap();
    for name in names {
        assert!(map.contains(&format!(" | numpack/{name} |")), "the map lacks {name}");
        assert!(map.contains(&format!("#include \"numpack/{name}\"\n")), "{name} is not included");
        let source = folder.path().join("alone.cpp");
        std::fs::write(&source, format!("#include <numpack/{name}>\n").repeat(2)).unwrap();
        run(compiler("g++").args(["-std=c++17", "-fsyntax-only"]).arg(&source));
    }
}

/// Every function of `numpack.h` is reached by some header of C++.
#[test]
fn every_function_is_reachable() {
    let include = repository().join("include");
    let header = std::fs::read_to_string(include.join("numpack.h")).unwrap();
    let parts: String = std::fs::read_dir(include.join("numpack"))
        .unwrap()
        .map(|part| std::fs::read_to_string(part.unwrap().path()).unwrap())
        .collect();
    let words: std::collections::HashSet<&str> =
        parts.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').collect();
    let functions: Vec<&str> = header
        .lines()
        .filter(|line| line.starts_with(|c: char| c.is_ascii_lowercase()))
        .filter_map(|line| line.split_once('(')?.0.rsplit([' ', '*']).next())
        .filter(|name| name.starts_with("numpack_"))
        .collect();
    assert!(functions.len() > 100, "{}", functions.len());
    for function in functions {
        assert!(words.contains(function), "no part of numpack.hpp calls {function}");
    }
}

#[test]
fn the_example_loads() {
    if !has("g++") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let exe = folder.path().join("load");
    let mut command = compiler("g++");
    command.args(["-std=c++17", SANITIZERS[0], SANITIZERS[1]]);
    command.arg(repository().join("examples/load.cpp")).arg("-o").arg(&exe);
    run(link_shared(&mut command));
    let said = run(program(&exe).arg(checkpoint()).arg("model.embedding.weight"));
    assert!(said.starts_with("model.token_counts: int64 192\n"), "{said}");
    assert!(said.contains("\nthe first row of model.embedding.weight has 48 elements"), "{said}");
    let truth = std::fs::read(repository().join("examples/checkpoint.truth.json")).unwrap();
    let truth: Value = serde_json::from_slice(&truth).unwrap();
    let floats: Vec<u64> = truth["tensors"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|tensor| tensor["dtype"] == "float32")
        .map(|tensor| {
            tensor["shape"].as_array().unwrap().iter().map(|n| n.as_u64().unwrap()).product()
        })
        .collect();
    let end = format!("{} vectors of {} floats\n", floats.len(), floats.iter().sum::<u64>());
    assert!(said.ends_with(&end), "{said}");
}
