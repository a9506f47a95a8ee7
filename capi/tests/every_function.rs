//! Every function of the header is called from C with arguments that cannot be: everything NULL and
//! 0, and each parameter in turn while all others are valid. It fails as the header says, or works;
//! it writes to no output when it fails; it never crashes.
//!
//! The calls are made from the header, so a function that is new is called too; one with a
//! parameter that `cases.rs` has no value for fails the test.

#[path = "every_function/cases.rs"]
mod cases;
mod common;
mod declarations;

use std::fmt::Write;
use std::path::{Path, PathBuf};

use cases::{Argument, Case};
use common::{compiler, has, link_shared, program, repository, run, valgrind};
use declarations::Function;

/// The largest status that the header has.
fn last_status(code: &str) -> i32 {
    let statuses = code.split_once("#define NUMPACK_OK 0").unwrap().1;
    let mut last = 0;
    for line in statuses.lines() {
        let Some(number) = line.strip_prefix("#define ").and_then(|l| l.split_once(' ')) else {
            continue;
        };
        // They count up; the next constants begin again.
        if number.1.parse() != Ok(last + 1) {
            break;
        }
        last += 1;
    }
    last
}

/// The cases of one function: all valid, all NULL and 0, and each that one parameter has.
fn cases_of(arguments: &[Argument], function: &Function) -> Vec<Case> {
    let zero = |(a, p): (&Argument, &declarations::Named)| format!("{} = {};", p.name, a.zero);
    let pairs = || arguments.iter().zip(&function.parameters);
    // To clip nothing is fine.
    let needs_something = !function.name.starts_with("numpack_nn_clip_")
        && arguments.iter().any(|a| a.zero_expected == "PARAMETER");
    let mut cases = vec![
        Case { what: "all valid".to_owned(), set: String::new(), expected: "OK" },
        Case {
            what: "all NULL and 0".to_owned(),
            set: pairs().map(zero).collect(),
            expected: if needs_something { "PARAMETER" } else { "ANY" },
        },
    ];
    for (argument, parameter) in pairs() {
        cases.push(Case {
            what: format!("{} = {}", parameter.name, argument.zero),
            set: zero((argument, parameter)),
            expected: argument.zero_expected,
        });
    }
    cases
}

/// A C function that makes every call of one function.
fn calls(function: &Function, arguments: Vec<Argument>, c: &mut String) {
    let mut cases = cases_of(&arguments, function);
    let name = &function.name;
    let names: Vec<&str> = function.parameters.iter().map(|p| p.name.as_str()).collect();
    let mut inputs = 0;
    let (mut declare, mut after) = (String::new(), String::new());
    for (i, argument) in arguments.into_iter().enumerate() {
        inputs |= u32::from(argument.is_input) << i;
        writeln!(declare, "        {}", argument.declare).unwrap();
        writeln!(after, "        {}", argument.after).unwrap();
        cases.extend(argument.cases);
    }
    if cases::wants_device(name) {
        for case in &mut cases {
            if case.expected == "OK" {
                case.expected = "OK_WITH_DEVICE";
            }
        }
    }
    writeln!(c, "static void call_{name}(void) {{").unwrap();
    writeln!(c, "    static const struct one cases[] = {{").unwrap();
    for case in &cases {
        let what = case.what.replace('\\', "\\\\").replace('"', "\\\"");
        writeln!(c, "        {{\"{what}\", {}}},", case.expected).unwrap();
    }
    writeln!(c, "    }};\n    for (int c = 0; c < {}; c++) {{", cases.len()).unwrap();
    writeln!(c, "        begin(\"{name}\", cases[c].what);\n{declare}        switch (c) {{")
        .unwrap();
    for (k, case) in cases.iter().enumerate() {
        writeln!(c, "        case {k}: {} break;", case.set).unwrap();
    }
    writeln!(c, "        }}\n        remember();").unwrap();
    let call = format!("{name}({})", names.join(", "));
    let text = match function.returns.as_str() {
        // It returns no status.
        "int32_t" if name == "numpack_last_os_error" => {
            format!("(void){call};\n        judge_memory(NUMPACK_OK, {inputs}u);")
        }
        "int32_t" => format!(
            "int32_t status = {call};\n        judge(status, cases[c].expected, {inputs}u);"
        ),
        "void" => format!("{call};\n        judge_memory(NUMPACK_OK, {inputs}u);"),
        "uint32_t" | "size_t" | "const char *" => {
            format!("(void){call};\n        judge_memory(NUMPACK_OK, {inputs}u);")
        }
        handle if name.ends_with("_retain") => {
            let free = name.replace("_retain", "_free");
            format!(
                "{handle} again = {call};\n        judge_memory(NUMPACK_OK, {inputs}u);\n        {free}(again);"
            )
        }
        other => panic!("{name} returns {other}, which is not known here"),
    };
    writeln!(c, "        {text}\n{after}    }}\n}}\n").unwrap();
}

/// The whole program.
fn program_text() -> String {
    let code = declarations::code();
    let structs = declarations::structs(&code);
    let functions = declarations::functions(&code);
    let mut c =
        format!("enum {{ LAST_STATUS = {} }};\n#include \"world.h\"\n\n", last_status(&code));
    let mut main = String::new();
    for function in &functions {
        let argument = |i: usize| {
            cases::argument(function, i, &structs).unwrap_or_else(|| {
                let parameter = &function.parameters[i];
                panic!(
                    "{}: no value for `{} {}` is known; add one to capi/tests/every_function/cases.rs",
                    function.name, parameter.of, parameter.name
                )
            })
        };
        let arguments = (0..function.parameters.len()).map(argument).collect();
        calls(function, arguments, &mut c);
        writeln!(main, "    call_{}();", function.name).unwrap();
    }
    let count = functions.len();
    writeln!(c, "int main(int argc, char **argv) {{\n    start(argc, argv);\n{main}    return finish({count});\n}}")
        .unwrap();
    c
}

/// Compiles the program in a folder, where it lies beside its source.
fn compile(folder: &Path) -> PathBuf {
    let source = folder.join("calls.c");
    std::fs::write(&source, program_text()).unwrap();
    let exe = folder.join("calls");
    let mut cc = compiler(&std::env::var("CC").unwrap_or_else(|_| "cc".into()));
    // It has functions for what a header may come to have.
    cc.args(["-std=c11", "-Wno-unused-function", "-Wno-pedantic", "-Wno-extra"])
        .arg("-I")
        .arg(repository().join("capi/tests/every_function"))
        .arg(&source)
        .arg("-o")
        .arg(&exe);
    run(link_shared(&mut cc));
    exe
}

fn work_folder(folder: &Path) -> PathBuf {
    let work = folder.join("work");
    std::fs::create_dir(&work).unwrap();
    work
}

#[test]
fn every_function_takes_every_bad_argument() {
    let folder = tempfile::tempdir().unwrap();
    let exe = compile(folder.path());
    let said = run(program(&exe).arg(work_folder(folder.path())));
    print!("{said}");
    let functions = declarations::functions(&declarations::code()).len();
    assert!(functions > 100 && said.starts_with(&format!("{functions} functions, ")), "{said}");
}

/// The same under valgrind, where it is installed: no read of what is not there, no leak.
#[test]
fn valgrind_finds_nothing_in_every_function() {
    if !has("valgrind") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let exe = compile(folder.path());
    run(valgrind(&exe).arg(work_folder(folder.path())));
}
