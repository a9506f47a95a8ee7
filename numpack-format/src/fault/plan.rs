//! What is to go wrong, and when.
//!
//! For a whole process this is read once from the environment: `NUMPACK_FAULT_STEP` is the number
//! of the change (from 1), and `NUMPACK_FAULT_ACTION` one of
//!
//! - `abort`: end the process before it;
//! - `torn`: end it after half of a write, before anything else;
//! - `fail` or `eio`, `enospc`, `edquot`: that error in place of it, the latter two where the
//!   change needs room;
//! - `short`: half of a write, then `ENOSPC`; `short-eio` likewise;
//! - `full`: from there on, all that needs room is refused with `ENOSPC`; what frees room, and
//!   syncs, succeed;
//! - `dead`, `dead-torn`: from there on, everything is refused, as if the process had ended before
//!   the change, or half-way through a write;
//! - `no-exchange`: exchanging folders is refused at every step;
//! - `count`, or anything else: nothing.
//!
//! Each change appends a line to the file `NUMPACK_FAULT_LOG`, if that is given.

use super::Fault;
use rustix::io::Errno;
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// What becomes of the change that a plan is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Action {
    Nothing,
    Abort,
    Torn,
    Fail(Errno),
    Short(Errno),
    Full,
    Dead,
    DeadTorn,
}

/// How a write ends of which a part was made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Ending {
    Crash,
    Fail(Errno),
}

impl Ending {
    pub(crate) fn end(self) -> io::Error {
        match self {
            // As a power switch would, for all that the process can tell.
            Ending::Crash => std::process::abort(),
            Ending::Fail(errno) => errno.into(),
        }
    }
}

/// Whether a full disk refuses a change. A file system may need room to rename, too, as one that
/// never overwrites does for any write.
fn needs_room(op: &str) -> bool {
    matches!(op, "create" | "write" | "mkdir" | "link" | "rename" | "exchange")
}

impl Action {
    fn named(name: &str) -> Action {
        match name {
            "abort" => Action::Abort,
            "torn" => Action::Torn,
            "fail" | "eio" => Action::Fail(Errno::IO),
            "enospc" => Action::Fail(Errno::NOSPC),
            "edquot" => Action::Fail(Errno::DQUOT),
            "short" => Action::Short(Errno::NOSPC),
            "short-eio" => Action::Short(Errno::IO),
            "full" => Action::Full,
            "dead" => Action::Dead,
            "dead-torn" => Action::DeadTorn,
            _ => Action::Nothing,
        }
    }

    /// What change `n` meets if the action is for change `at`.
    fn at(self, at: u64, n: u64, op: &str) -> io::Result<Fault> {
        if n < at || at == 0 {
            return Ok(Fault::None);
        }
        let first = n == at;
        match self {
            Action::Full if needs_room(op) => Err(Errno::NOSPC.into()),
            Action::DeadTorn if first && op == "write" => Ok(Fault::Short(Ending::Fail(Errno::IO))),
            Action::Dead | Action::DeadTorn => Err(Errno::IO.into()),
            Action::Torn if first && op == "write" => Ok(Fault::Short(Ending::Crash)),
            Action::Abort | Action::Torn if first => Err(Ending::Crash.end()),
            Action::Short(errno) if first && op == "write" => Ok(Fault::Short(Ending::Fail(errno))),
            Action::Fail(errno) if first && (errno == Errno::IO || needs_room(op)) => {
                Err(errno.into())
            }
            _ => Ok(Fault::None),
        }
    }
}

/// What the environment asks for.
struct Plan {
    at: u64,
    action: Action,
    no_exchange: bool,
    log: Option<File>,
}

fn plan() -> &'static Plan {
    static PLAN: OnceLock<Plan> = OnceLock::new();
    PLAN.get_or_init(|| {
        let var = |name| std::env::var(name).ok();
        let log = var("NUMPACK_FAULT_LOG")
            .and_then(|p| File::options().create(true).append(true).open(p).ok());
        let action = var("NUMPACK_FAULT_ACTION").unwrap_or_default();
        let no_exchange =
            action == "no-exchange" || std::env::var_os("NUMPACK_FAULT_NO_EXCHANGE").is_some();
        Plan {
            at: var("NUMPACK_FAULT_STEP").and_then(|s| s.parse().ok()).unwrap_or(0),
            action: Action::named(&action),
            no_exchange,
            log,
        }
    })
}

/// Counts a change to the disk that is about to happen, and says what becomes of it.
pub(crate) fn step(op: &str, dir: &Path, name: &str) -> io::Result<Fault> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    #[cfg(test)]
    if let Some(fault) = thread::step(op, name) {
        return fault;
    }
    let plan = plan();
    let n = COUNT.fetch_add(1, Ordering::Relaxed) + 1;
    if let Some(mut log) = plan.log.as_ref() {
        writeln!(log, "{n} {op} {} {name:?}", dir.display())?;
    }
    plan.action.at(plan.at, n, op)
}

/// Whether exchanging two folders is to be refused, as some file systems do.
pub(crate) fn exchange_refused() -> bool {
    #[cfg(test)]
    if let Some(refused) = thread::exchange_refused() {
        return refused;
    }
    plan().no_exchange
}

#[cfg(test)]
pub(crate) use thread::arm;

/// Faults of one thread, which tests in the same process set and take back.
#[cfg(test)]
mod thread {
    use super::{Action, Fault};
    use std::cell::RefCell;
    use std::io;

    struct Armed {
        at: u64,
        action: Action,
        no_exchange: bool,
        steps: Vec<(String, String)>,
    }

    thread_local! {
        static ARMED: RefCell<Option<Armed>> = const { RefCell::new(None) };
    }

    /// While it lives, this thread's changes are counted, and one or more of them go wrong.
    pub(crate) struct Guard(());

    /// From now on, change `at` meets the action; with 0, none does.
    pub(crate) fn arm(at: usize, action: Action, no_exchange: bool) -> Guard {
        let armed = Armed { at: at as u64, action, no_exchange, steps: Vec::new() };
        ARMED.with(|a| *a.borrow_mut() = Some(armed));
        Guard(())
    }

    impl Guard {
        /// The kinds of the changes so far, and the names they were about.
        pub(crate) fn steps(&self) -> Vec<(String, String)> {
            ARMED.with(|a| a.borrow().as_ref().map_or_else(Vec::new, |a| a.steps.clone()))
        }
    }

    impl Drop for Guard {
        fn drop(&mut self) {
            ARMED.with(|a| *a.borrow_mut() = None);
        }
    }

    pub(super) fn step(op: &str, name: &str) -> Option<io::Result<Fault>> {
        ARMED.with(|a| {
            let mut a = a.borrow_mut();
            let armed = a.as_mut()?;
            armed.steps.push((op.to_owned(), name.to_owned()));
            Some(armed.action.at(armed.at, armed.steps.len() as u64, op))
        })
    }

    pub(super) fn exchange_refused() -> Option<bool> {
        ARMED.with(|a| a.borrow().as_ref().map(|a| a.no_exchange))
    }
}
