//! The power goes after each change to the disk.

use super::checks::{Reference, State, place, state, try_clear_up, try_whole};
use super::model::{Model, Order};
use super::scenarios::{At, scenario, with_scenarios};
use super::states::{Effort, Random, Tree};
use crate::fault::record::{Op, Recorder};
use crate::fault::{Action, arm};
use crate::{DType, NumPack, View};
use rustix::io::Errno;
use std::collections::{HashMap, HashSet};
use std::mem::{Discriminant, discriminant};

/// So many states of interrupted recoveries are enough for one scenario.
const RECOVERIES: usize = 500;

/// What has been checked so far.
struct Checked {
    name: String,
    order: Order,
    effort: Effort,
    random: Random,
    /// All states that a store may be in at any time.
    known: Vec<State>,
    /// What was found after crashes, by their hash.
    verdicts: HashMap<u64, usize>,
    /// What the recoveries did that were interrupted again.
    recoveries: HashSet<Vec<Discriminant<Op>>>,
    /// States during recoveries.
    second: usize,
}

impl Checked {
    fn new(name: &str, order: Order, known: &[State]) -> Checked {
        Checked {
            name: name.to_owned(),
            order,
            effort: match order {
                _ if name.contains("many") => Effort::LEAST,
                Order::Kept => Effort::LOW,
                Order::Any => Effort::HIGH,
            },
            random: Random(0),
            known: known.to_vec(),
            verdicts: HashMap::new(),
            recoveries: HashSet::new(),
            second: 0,
        }
    }

    /// States that a crash may leave now, each once.
    fn trees(&mut self, model: &Model, effort: Effort) -> Vec<(u64, Tree)> {
        let mut trees = Vec::new();
        let mut seen = HashSet::new();
        model.crash_states(self.order, effort, &mut self.random, &mut |tree| {
            let hash = tree.hash();
            if seen.insert(hash) {
                trees.push((hash, tree));
            }
        });
        trees
    }

    /// Every state that may be left now is one of the allowed.
    fn try_crash(&mut self, model: &Model, allowed: &[State]) -> Result<(), String> {
        for (hash, tree) in self.trees(model, self.effort) {
            let found = self.verdict(hash, &tree, true)?;
            let found = &self.known[found];
            if !allowed.contains(found) {
                return Err(format!(
                    "the store is {found:#?}, not one of {allowed:#?}, after the crash: {tree:#?}"
                ));
            }
        }
        Ok(())
    }

    fn crash(&mut self, model: &Model, allowed: &[State], when: &str) {
        let checked = self.try_crash(model, allowed);
        checked.unwrap_or_else(|e| panic!("{}, {when}: {e}", self.name));
    }

    /// In which state a store is after a crash. It is whole, and the next writer clears up.
    fn verdict(&mut self, hash: u64, tree: &Tree, first: bool) -> Result<usize, String> {
        if let Some(found) = self.verdicts.get(&hash) {
            return Ok(*found);
        }
        let in_tree = |e| format!("{e} after the crash: {tree:#?}");
        let (dir, path) = place();
        tree.write(dir.path());
        let again = first && self.second < RECOVERIES;
        let base = again.then(|| Model::of(dir.path()));
        let found = try_whole(&path, &self.known).map_err(in_tree)?;
        let recorder = Recorder::start();
        try_clear_up(&path, &self.known[found]).map_err(in_tree)?;
        let log = recorder.finish();
        self.verdicts.insert(hash, found);
        self.second += usize::from(!first);
        if let Some(base) = base {
            self.crash_again(base, &log, found)?;
        }
        Ok(found)
    }

    /// The power goes once more, in the middle of the recovery, which changes nothing.
    fn crash_again(&mut self, mut model: Model, log: &[Op], found: usize) -> Result<(), String> {
        let mut kinds: Vec<_> = log.iter().map(discriminant).collect();
        kinds.dedup();
        if !self.recoveries.insert(kinds) {
            return Ok(());
        }
        for (i, op) in log.iter().enumerate() {
            model.replay(op);
            for (hash, tree) in self.trees(&model, Effort::LOW) {
                let again = self.verdict(hash, &tree, false);
                if again.as_ref() != Ok(&found) {
                    return Err(format!("{again:?} after {i}, {op:?}, of the recovery: {tree:#?}"));
                }
            }
        }
        Ok(())
    }

    fn say(&self, least: usize) {
        let (first, second) = (self.verdicts.len() - self.second, self.second);
        println!("{}: {first} states, and {second} of interrupted recoveries", self.name);
        assert!(first >= least, "{}: only {first} states", self.name);
    }
}

fn lose_power(name: &'static str) {
    let reference = Reference::of(&scenario(name));
    for order in [Order::Kept, Order::Any] {
        let title = format!("{name}, {order:?}");
        let mut checked = Checked::new(&title, order, &reference.states);
        let mut model = reference.base.clone();
        let mut returned = 0;
        for (i, op) in reference.log.iter().enumerate() {
            model.replay(op);
            returned += usize::from(*op == Op::Returned);
            checked.crash(&model, reference.around(returned), &format!("after {i}, {op:?}"));
        }
        checked.say(if name == "recover_undecided" { 1 } else { 10 });
    }
}

/// The same change each time, by a new handle.
fn change_more(path: &std::path::Path) {
    let npk = NumPack::open(path).unwrap();
    npk.save(&[("later", View::new(DType::U8, &[3], &[1, 2, 3]))]).unwrap();
}

/// All states of a scenario, and those with one more change after each.
fn and_more(reference: &Reference) -> Vec<State> {
    let mut states = reference.states.clone();
    for before in 0..reference.states.len() {
        let (_dir, path) = place();
        after_calls(reference, before).write(path.parent().unwrap());
        if state(&path).is_some() {
            change_more(&path);
            states.push(state(&path));
        }
    }
    states
}

/// The store after some calls have returned.
fn after_calls(reference: &Reference, calls: usize) -> Tree {
    let mut model = reference.base.clone();
    let mut returned = 0;
    for op in &reference.log {
        if returned == calls {
            break;
        }
        model.replay(op);
        returned += usize::from(*op == Op::Returned);
    }
    model.now()
}

/// The process ends, a writer comes and commits, and only then, or in the middle of that, the
/// power goes: what the first one left is not durable yet.
fn lose_power_after_a_kill(name: &'static str) {
    let scenario = scenario(name);
    let reference = Reference::of(&scenario);
    let known = and_more(&reference);
    let mut checked = Checked::new(&format!("{name} killed"), Order::Any, &known);
    checked.effort = if name.contains("many") { Effort::LEAST } else { Effort::LOW };
    let steps = reference.steps.len();
    for n in 1..=steps {
        // Of many files that are made alike, some will do.
        if n + 20 < steps && steps > 90 && n % 24 > 0 {
            continue;
        }
        let (dir, path) = reference.fresh();
        let mut model = Model::of(dir.path());
        let recorder = Recorder::start();
        let guard = arm(n, Action::Dead, scenario.no_exchange);
        let (returned, _) = At::new(&path).run(&scenario, || ());
        drop(guard);
        recorder.finish().iter().for_each(|op| model.replay(op));
        let found = state(&path);
        if found.is_none() {
            continue;
        }

        let recorder = Recorder::start();
        let npk = NumPack::open(&path).unwrap();
        drop(npk.begin().unwrap());
        recorder.returned();
        change_more(&path);
        recorder.returned();
        let then = recorder.finish();
        let end = state(&path);
        let mut allowed = reference.around(returned).to_vec();
        let mut recovering = true;
        let step = &reference.steps[n - 1];
        checked.crash(&model, &allowed, &format!("killed at {n}, {step:?}"));
        for (i, op) in then.iter().enumerate() {
            model.replay(op);
            if *op == Op::Returned {
                recovering = false;
                // What a writer has found is there to stay.
                allowed.retain(|s| *s == found);
                allowed.push(end.clone());
                allowed = allowed.split_off(usize::from(i + 1 == then.len()));
            }
            // While the second one prepares its own change, nothing is at stake.
            if *op != Op::Returned && !recovering {
                continue;
            }
            let when = format!("killed at {n}, {step:?}, then after {i}, {op:?}");
            checked.crash(&model, &allowed, &when);
        }
    }
    checked.say(3);
}

/// A sync fails, the call with it, and what it was about may be lost for good; then the power
/// goes, before or after a new handle has made a change.
fn lose_power_after_a_failed_sync(name: &'static str) {
    let scenario = scenario(name);
    let reference = Reference::of(&scenario);
    let known = and_more(&reference);
    let mut checked = Checked::new(&format!("{name} unsynced"), Order::Any, &known);
    for (n, step) in reference.steps.iter().enumerate() {
        if !step.0.starts_with("sync") {
            continue;
        }
        let (dir, path) = reference.fresh();
        let mut model = Model::of(dir.path());
        let recorder = Recorder::start();
        let guard = arm(n + 1, Action::Fail(Errno::IO), scenario.no_exchange);
        let (returned, result) = At::new(&path).run(&scenario, || ());
        drop(guard);
        assert!(result.is_err());
        recorder.finish().iter().for_each(|op| model.replay(op));
        let when = format!("sync {n}, {step:?}, failed");
        checked.crash(&model, reference.around(returned), &when);
        if state(&path).is_none() {
            continue;
        }

        let recorder = Recorder::start();
        change_more(&path);
        recorder.finish().iter().for_each(|op| model.replay(op));
        let when = format!("sync {n}, {step:?}, failed, and a change was made");
        checked.crash(&model, &[state(&path)], &when);
    }
    checked.say(1);
}

macro_rules! tests {
    ($($name:ident)*) => {
        $(#[test] fn $name() { lose_power(stringify!($name)); })*
        mod after_a_kill {
            $(#[test] fn $name() { super::lose_power_after_a_kill(stringify!($name)); })*
        }
        mod after_a_failed_sync {
            $(#[test] fn $name() { super::lose_power_after_a_failed_sync(stringify!($name)); })*
        }
    };
}
with_scenarios!(tests);

/// How many of the syncs of a scenario are needed: without one some state is wrong. So the checks
/// above would tell if it went missing.
fn syncs_missed(name: &'static str) -> (usize, u32) {
    let reference = Reference::of(&scenario(name));
    let (mut syncs, mut needed) = (0, 0);
    for at in 0..reference.log.len() {
        if !matches!(reference.log[at], Op::Sync { .. }) {
            continue;
        }
        syncs += 1;
        let mut checked = Checked::new("one less", Order::Any, &reference.states);
        (checked.effort, checked.second) = (Effort::LOW, RECOVERIES);
        let mut model = reference.base.clone();
        let mut returned = 0;
        let found = reference.log.iter().enumerate().any(|(i, op)| {
            if i != at {
                model.replay(op);
            }
            returned += usize::from(*op == Op::Returned);
            i >= at && checked.try_crash(&model, reference.around(returned)).is_err()
        });
        needed += u32::from(found);
        println!("{found}: {:?}", reference.log[at]);
    }
    println!("{name}: {needed} of {syncs} syncs are missed at once");
    (syncs, needed)
}

#[test]
fn a_missing_sync_of_a_record_is_found() {
    let (syncs, needed) = syncs_missed("everything");
    assert!(needed * 2 > syncs as u32);
}

#[test]
fn a_missing_sync_of_replaced_rows_is_found() {
    let (syncs, needed) = syncs_missed("replace_and_others");
    assert!(needed >= 30 && needed * 10 > syncs as u32 * 7, "{needed} of {syncs}");
}

/// All but two of a handle that is opened, and those after a record has been carried out.
#[test]
fn a_missing_sync_of_appended_rows_is_found() {
    let (syncs, needed) = syncs_missed("append_often");
    assert!(needed >= 6 * 3 && needed * 4 > syncs as u32 * 3);
}
