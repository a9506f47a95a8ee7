//! Each change to the disk fails in turn, in each way it can.

use super::checks::{Reference, check_sound, check_whole, clear_up};
use super::scenarios::{At, Scenario, has_others, scenario, with_scenarios};
use crate::fault::{Action, arm};
use crate::{DType, Error, NumPack, Store, View, Writer};
use rustix::io::Errno;

/// How a change can fail.
fn actions(op: &str) -> &'static [Action] {
    const IO: Action = Action::Fail(Errno::IO);
    const NO_SPACE: Action = Action::Fail(Errno::NOSPC);
    match op {
        "write" => &[
            IO,
            NO_SPACE,
            Action::Fail(Errno::DQUOT),
            Action::Short(Errno::NOSPC),
            Action::Short(Errno::IO),
            Action::Full,
            Action::Dead,
            Action::DeadTorn,
        ],
        "create" | "mkdir" | "link" | "rename" | "exchange" => {
            &[IO, NO_SPACE, Action::Full, Action::Dead]
        }
        _ => &[IO, Action::Dead],
    }
}

fn save_one(npk: &NumPack) -> Result<(), Error> {
    npk.save(&[("afterwards", View::new(DType::U8, &[3], &[1, 2, 3]))])
}

fn fail(scenario: &Scenario, reference: &Reference, n: usize, action: Action) -> bool {
    let what = format!("{} with {action:?} at {n}, {:?}", scenario.name, reference.steps[n - 1]);
    let (_dir, path) = reference.fresh();
    let at = At::new(&path);
    let guard = arm(n, action, scenario.no_exchange);
    let (returned, result) = at.run(scenario, || ());
    // On a disk that is still full, nobody makes it worse.
    let found = check_whole(&path, reference.around(returned), &what);
    let now = &reference.around(returned)[found];
    let _ = Writer::open(&path);
    check_whole(&path, std::slice::from_ref(now), &what);
    // Files are gone through in no certain order, so it may be another step than it was.
    let op = guard.steps().get(n - 1).map_or_else(String::new, |(op, _)| op.clone());
    drop(guard);

    let failed_sync = op.starts_with("sync") && action == Action::Fail(Errno::IO);
    assert!(result.is_err() || !failed_sync, "{what}: a sync failed, and nobody said so");
    if let (Some(npk), Err(_)) = (at.handle(), &result) {
        match save_one(npk) {
            Err(Error::Poisoned { .. }) if op.starts_with("sync") => {}
            Ok(()) if !failed_sync || has_others(scenario.name) => {
                let store = Store::open(&path).unwrap();
                assert!(store.contains("afterwards"), "{what}");
                check_sound(&path, &what);
                return true;
            }
            other => panic!("{what}: then {other:?}"),
        }
    }
    clear_up(&path, now, &what);
    if now.is_some() {
        save_one(&NumPack::open(&path).unwrap()).unwrap();
        check_sound(&path, &what);
    }
    result.is_err()
}

fn fail_everywhere(name: &'static str) {
    let scenario = scenario(name);
    let reference = Reference::of(&scenario);
    let (mut done, mut told) = (0, 0);
    for (i, (op, _)) in reference.steps.iter().enumerate() {
        for action in actions(op) {
            told += u32::from(fail(&scenario, &reference, i + 1, *action));
            done += 1;
        }
    }
    println!("{name}: {done} faults, {told} of which made the call fail");
    assert!(told > 0 && done >= 2 * reference.steps.len());
}

macro_rules! tests {
    ($($name:ident)*) => { $(#[test] fn $name() { fail_everywhere(stringify!($name)); })* };
}
with_scenarios!(tests);

#[test]
fn a_sync_that_fails_before_the_commit_counts_too() {
    let reference = Reference::of(&scenario("append"));
    let (_dir, path) = reference.fresh();
    let change = |npk: &NumPack| {
        let mut w = npk.begin()?;
        w.append(&[("kept", View::new(DType::U8, &[1], &[1]))])?;
        // What was appended goes along, and is synced for that.
        w.rename_array("kept", "renamed")
    };
    let guard = arm(0, Action::Nothing, false);
    change(&NumPack::open(&path).unwrap()).unwrap();
    let at = guard.steps().iter().position(|(op, _)| op == "syncdata").unwrap() + 1;
    drop(guard);
    let (_dir, path) = reference.fresh();
    let npk = NumPack::open(&path).unwrap();
    let guard = arm(at, Action::Fail(Errno::IO), false);
    assert!(change(&npk).is_err_and(|e| e.is_failed_sync()));
    drop(guard);
    assert!(matches!(save_one(&npk), Err(Error::Poisoned { .. })));
}
