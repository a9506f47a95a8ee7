//! The process ends at each change to the disk in turn.
//!
//! It is this test program itself, run again with only [`child`].

use super::checks::{Reference, check_whole, clear_up, state};
use super::scenarios::{At, all, no_exchange, scenario, with_scenarios};
use crate::{DType, Error, View, Writer};
use std::path::Path;
use std::process::{Command, Stdio};

const SCENARIO: &str = "NUMPACK_CRASH_SCENARIO";
const PLACE: &str = "NUMPACK_CRASH_PLACE";

/// Runs in the process that is interrupted.
#[test]
fn child() {
    let (Ok(name), Some(path)) = (std::env::var(SCENARIO), std::env::var_os(PLACE)) else {
        return;
    };
    let done = if name == "writer" {
        Writer::open(path).map(drop)
    } else {
        let scenario = all().into_iter().find(|s| s.name == name).unwrap();
        At::new(Path::new(&path)).run(&scenario, || ()).1
    };
    // 0: committed; 3: refused in good order.
    std::process::exit(if done.is_ok() { 0 } else { 3 });
}

fn run(name: &str, path: &Path, step: usize, action: &str) -> Option<i32> {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["crash_tests::kills::child", "--exact", "--nocapture", "--test-threads=1"])
        .env(SCENARIO, name)
        .env(PLACE, path)
        .env("NUMPACK_FAULT_STEP", step.to_string())
        .env("NUMPACK_FAULT_ACTION", action)
        // The message of an abort takes longer to write than all else.
        .env("RUST_BACKTRACE", "0");
    if no_exchange(name) {
        command.env("NUMPACK_FAULT_NO_EXCHANGE", "1");
    }
    command.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap().code()
}

/// The numbers of the steps at which a process is killed so.
fn kills(reference: &Reference, action: &str) -> Vec<usize> {
    let steps = reference.steps.iter().enumerate();
    steps.filter(|(_, (op, _))| action == "abort" || op == "write").map(|(i, _)| i + 1).collect()
}

fn kill_everywhere(name: &'static str) {
    let reference = Reference::of(&scenario(name));
    let mut done = 0;
    for action in ["abort", "torn"] {
        let mut last = 0;
        for n in kills(&reference, action) {
            let (_dir, path) = reference.fresh();
            assert_eq!(run(name, &path, n, action), None, "{name} {action} at {n}");
            let what = format!("{name} {action} at {n}, {:?}", reference.steps[n - 1]);
            let around = reference.around_step(n);
            let found = check_whole(&path, around, &what);
            let now = reference.states.iter().rposition(|s| *s == around[found]).unwrap();
            // Once decided, it stays so.
            assert!(now >= last, "{what}: back again");
            last = now;
            clear_up(&path, &around[found], &what);
            done += 1;
        }
        if action == "abort" {
            assert_eq!(last, reference.states.len() - 1, "{name} never took effect");
        }
    }
    println!("{name}: {done} kills");
}

macro_rules! tests {
    ($($name:ident)*) => { $(#[test] fn $name() { kill_everywhere(stringify!($name)); })* };
}
with_scenarios!(tests);

#[test]
fn there_are_many_kills() {
    let count = |s: &_| {
        let reference = Reference::of(s);
        ["abort", "torn"].iter().map(|a| kills(&reference, a).len()).sum::<usize>()
    };
    let total: usize = all().iter().map(count).sum();
    println!("{total} kills in all");
    assert!(total >= 1000, "only {total} kills");
}

#[test]
fn recovery_is_killed_too() {
    kill_recovery("merge", ("rename", crate::redo::TEMPORARY), 0);
}

#[test]
fn recovery_of_replaced_rows_is_killed_too() {
    // When the file has been made and written to.
    kill_recovery("replace_scattered", ("create", crate::row_log::FILE), 1);
}

/// Kills what a scenario has decided, by a step or one `later`, at each step then, and after that
/// the next writer.
fn kill_recovery(scenario_name: &'static str, step: (&str, &str), later: usize) {
    let reference = Reference::of(&scenario(scenario_name));
    let is_it = |(op, name): &(String, String)| (&op[..], &name[..]) == step;
    let decided = reference.steps.iter().position(is_it).unwrap() + later;
    let after = &reference.states[1];
    let mut done = 0;
    for first in decided + 2..=reference.steps.len() {
        for second in 1.. {
            let (_dir, path) = reference.fresh();
            assert_eq!(run(scenario_name, &path, first, "abort"), None);
            let code = run("writer", &path, second, "abort");
            let what = format!("killed at {first}, then at {second}");
            check_whole(&path, std::slice::from_ref(after), &what);
            clear_up(&path, after, &what);
            done += 1;
            if code == Some(0) {
                break;
            }
            assert_eq!(code, None, "{what}");
        }
    }
    println!("{done} kills of the recovery");
}

fn fresh(name: &'static str) -> (tempfile::TempDir, std::path::PathBuf) {
    let (dir, path) = super::checks::place();
    (scenario(name).set_up)(&path);
    (dir, path)
}

#[test]
fn a_forked_child_leaves_everything_alone() {
    let (_dir, path) = fresh("merge");
    let mut w = Writer::open(&path).unwrap();
    w.save("new", &View::new(DType::U8, &[1], &[1])).unwrap();
    w.pretend_forked();
    assert!(matches!(w.begin_array("x", DType::U8, &[1]), Err(Error::Forked { .. })));
    assert!(matches!(w.remove_array("kept"), Err(Error::Forked { .. })));
    assert!(matches!(w.commit(), Err(Error::Forked { .. })));
    assert_eq!(std::fs::read_dir(path.join(crate::redo::STAGE)).unwrap().count(), 1);
}

#[test]
fn a_huge_file_in_the_place_of_the_metadata_is_refused() {
    let (_dir, path) = fresh("replace_by_record");
    let file = std::fs::File::options().write(true).open(path.join("metadata.npkm")).unwrap();
    file.set_len(15 << 40).unwrap();
    assert_eq!(run("replace_by_record", &path, 0, ""), Some(3));
    assert_eq!(file.metadata().unwrap().len(), 15 << 40);
}

#[test]
fn a_change_that_could_not_be_carried_out_is_refused() {
    for name in ["merge", "replace_by_record"] {
        let files: &[&str] = if name == "merge" {
            &["data_changed.npkd", "data_dropped.npkd", "deleted_changed.npkb"]
        } else {
            &["data_changed.npkd"]
        };
        for file in files {
            let (_dir, path) = fresh(name);
            std::fs::remove_file(path.join(file)).unwrap();
            std::fs::create_dir(path.join(file)).unwrap();
            let metadata = std::fs::read(path.join("metadata.npkm")).unwrap();
            assert_eq!(run(name, &path, 0, ""), Some(3), "{name} {file}");
            assert_eq!(std::fs::read(path.join("metadata.npkm")).unwrap(), metadata);
            assert!(
                !path.join(crate::redo::FILE).exists() && !path.join(crate::redo::STAGE).exists()
            );
            std::fs::remove_dir(path.join(file)).unwrap();
            assert_eq!(run(name, &path, 0, ""), Some(0), "{name} {file}");
        }
    }
}

#[test]
fn a_replacement_that_fails_leaves_what_was_decided_before() {
    let (_dir, path) = fresh("recover_decided");
    let before = state(&path);
    // For a while, it cannot be finished.
    let file = path.join("data_fresh.npkd");
    std::fs::create_dir(&file).unwrap();
    assert_eq!(run("replace_by_record", &path, 0, ""), Some(3));
    std::fs::remove_dir(&file).unwrap();
    clear_up(&path, &before, "a replacement that failed");
}
