//! What must hold of a store after a scenario, or a part of one.

use super::model::Model;
use super::scenarios::{At, Scenario};
use crate::fault::record::{Op, Recorder};
use crate::fault::{Action, arm};
use crate::{DType, Error, Fault, FaultKind, SideInfo, Store, Writer, WriterOptions};
use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// All that a reader can tell of a store.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Content {
    /// Type, shape, rows with those that were dropped, and content of each array.
    arrays: BTreeMap<String, (DType, Vec<u64>, u64, Vec<u8>)>,
    side: Option<SideInfo>,
    /// The permissions of the folder and of the metadata.
    modes: (u32, u32),
    /// A file in the folder that is none of ours.
    foreign: Option<Vec<u8>>,
    /// A data file that no record names, or that was one.
    orphan: Option<Vec<u8>>,
}

/// The state of a store, `None` if it is not there.
pub(super) type State = Option<Content>;

/// A file that is in the folder of some stores.
pub(super) const FOREIGN: &str = "notes.txt";
/// A data file that no record names in some stores, and the array that it becomes.
pub(super) const ORPHAN: (&str, &str) = ("data_orphan.npkd", "orphan");
/// The name of the store.
pub(super) const STORE: &str = "s.npk";

/// What a reader finds; an error says what is wrong.
fn try_state(path: &Path) -> Result<State, String> {
    let store = match Store::open_listed(path) {
        Ok(store) => store,
        Err(Error::NotAStore { .. }) if std::fs::read_dir(path).map_or(0, Iterator::count) == 0 => {
            return Ok(None);
        }
        Err(e) => return Err(e.to_string()),
    };
    if !store.warnings().is_empty() {
        return Err(store.warnings().join("; "));
    }
    let names: Vec<&str> = store.names().collect();
    let opened = store.arrays_by_name(&names).map_err(|e| e.to_string())?;
    let mut arrays = BTreeMap::new();
    for array in opened {
        let info = array.info();
        let mut data = vec![0; array.nbytes() as usize];
        array.read_into(&mut data).map_err(|e| e.to_string())?;
        let what = (info.dtype, info.shape.clone(), info.stored_rows, data);
        arrays.insert(info.name.clone(), what);
    }
    // The times differ from run to run.
    let side = store.side().cloned().map(|mut side| {
        side.arrays.iter_mut().for_each(|n| n.modified = None);
        side
    });
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    let modes = (mode(path), mode(&path.join("metadata.npkm")));
    let foreign = std::fs::read(path.join(FOREIGN)).ok();
    // Rows that are to be added may be there already; what it was is its array's now.
    let mut orphan = std::fs::read(path.join(ORPHAN.0)).ok();
    if store.contains(ORPHAN.1) {
        orphan = None;
    }
    Ok(Some(Content { arrays, side, modes, foreign, orphan }))
}

pub(super) fn state(path: &Path) -> State {
    try_state(path).unwrap()
}

/// A folder for a store, in memory where that can be had: nothing in it needs to last.
pub(super) fn place() -> (tempfile::TempDir, PathBuf) {
    let memory = Path::new("/dev/shm");
    let dir = if memory.is_dir() {
        tempfile::tempdir_in(memory).or_else(|_| tempfile::tempdir())
    } else {
        tempfile::tempdir()
    };
    let dir = dir.unwrap();
    let path = dir.path().join(STORE);
    (dir, path)
}

/// A scenario that ran to its end.
pub(super) struct Reference {
    /// What was there at first.
    pub(super) base: Model,
    /// The states at first and after each call.
    pub(super) states: Vec<State>,
    /// What it did to the disk: kind and name.
    pub(super) steps: Vec<(String, String)>,
    /// How many steps had been done when each call returned.
    returned: Vec<usize>,
    pub(super) log: Vec<Op>,
}

impl Reference {
    pub(super) fn of(scenario: &Scenario) -> Reference {
        let (dir, path) = place();
        (scenario.set_up)(&path);
        let base = Model::of(dir.path());
        let at = At::new(&path);
        let mut states = vec![state(&path)];
        let mut returned = Vec::new();
        let guard = arm(0, Action::Nothing, scenario.no_exchange);
        let recorder = Recorder::start();
        for call in &scenario.calls {
            call(&at).unwrap();
            recorder.returned();
            returned.push(guard.steps().len());
            states.push(state(&path));
            check_sound(&path, scenario.name);
        }
        let steps = guard.steps();
        drop(guard);
        // A handle that is dropped clears up.
        drop(at);
        let log = recorder.finish();
        let ours = |n: &str| n.starts_with("libnumpack.") && n != crate::lock::FILE;
        let left = names(&path).into_iter().find(|n| ours(n));
        assert_eq!(left, None, "{}", scenario.name);
        let name = scenario.name;
        let changes = states.windows(2).all(|s| s[0] != s[1]);
        assert!(changes || name.starts_with("recover"), "{name} changes nothing");
        // Nothing that was done to the disk is missing in the log.
        let mut model = base.clone();
        log.iter().for_each(|op| model.replay(op));
        assert_eq!(model.now().hash(), Model::of(dir.path()).now().hash(), "{name}: the log");
        Reference { base, states, steps, returned, log }
    }

    /// The store as it was at first.
    pub(super) fn fresh(&self) -> (tempfile::TempDir, PathBuf) {
        let (dir, path) = place();
        self.base.now().write(dir.path());
        (dir, path)
    }

    /// The states before and after a call; after the last one there is one.
    pub(super) fn around(&self, returned: usize) -> &[State] {
        &self.states[returned..(returned + 2).min(self.states.len())]
    }

    /// The states before and after the call in which a step is done.
    pub(super) fn around_step(&self, n: usize) -> &[State] {
        self.around(self.returned.iter().filter(|&&end| end < n).count())
    }
}

fn names(dir: &Path) -> Vec<String> {
    std::fs::read_dir(dir)
        .map(|d| d.map(|e| e.unwrap().file_name().into_string().unwrap()).collect())
        .unwrap_or_default()
}

/// The store is whole and in one of these states; which, comes back.
pub(super) fn try_whole(path: &Path, allowed: &[State]) -> Result<usize, String> {
    let now = try_state(path)?;
    let Some(found) = allowed.iter().rposition(|s| *s == now) else {
        return Err(format!("the store is {now:#?}, not one of {allowed:#?}"));
    };
    if now.is_some() {
        let faults = Store::verify(path).map_err(|e| e.to_string())?;
        if !faults.iter().all(|f| f.is_notice() || is_orphan(f)) {
            return Err(format!("{faults:#?}"));
        }
    }
    Ok(found)
}

pub(super) fn check_whole(path: &Path, allowed: &[State], what: &str) -> usize {
    try_whole(path, allowed).unwrap_or_else(|e| panic!("{what}: {e}"))
}

/// The next writer clears up, and changes nothing else.
pub(super) fn try_clear_up(path: &Path, before: &State) -> Result<(), String> {
    let options = WriterOptions { wait: false, ..WriterOptions::default() };
    let writer = match before {
        Some(_) => Writer::open_with(path, &options),
        None => Writer::create(path),
    };
    drop(writer.map_err(|e| e.to_string())?);
    let mut left = names(path.parent().unwrap());
    left.retain(|n| n != STORE);
    if before.is_some() {
        sound(path)?;
        let ours = |n: &String| n.starts_with("libnumpack.") && n != crate::lock::FILE;
        left.extend(names(path).into_iter().filter(ours));
    }
    if !left.is_empty() {
        return Err(format!("{left:?} are left"));
    }
    let now = try_state(path)?;
    if now != *before {
        return Err(format!("clearing up made {now:#?} of {before:#?}"));
    }
    Ok(())
}

pub(super) fn clear_up(path: &Path, before: &State, what: &str) {
    try_clear_up(path, before).unwrap_or_else(|e| panic!("{what}: {e}"));
}

/// Whether it is the one that was there at first.
fn is_orphan(fault: &Fault) -> bool {
    fault.kind == FaultKind::Orphan && fault.file.ends_with(ORPHAN.0)
}

/// Nothing is wrong, but for bytes past the end of arrays.
fn sound(path: &Path) -> Result<(), String> {
    let faults = Store::verify(path).map_err(|e| e.to_string())?;
    if faults.iter().all(|f| f.kind == FaultKind::Surplus || is_orphan(f)) {
        return Ok(());
    }
    Err(format!("{faults:#?}"))
}

pub(super) fn check_sound(path: &Path, what: &str) {
    sound(path).unwrap_or_else(|e| panic!("{what}: {e}"));
}
