//! Faults on demand, for tests: the n-th change to the disk fails or ends the process.
//!
//! Compiled in with the feature `fault-injection`, and in this crate's own tests. Read once from
//! the environment: `NUMPACK_FAULT_STEP` is the number of the change (from 1), and
//! `NUMPACK_FAULT_ACTION` is `abort` (end the process before it), `torn` (end it after half of a
//! write; `abort` where there is nothing to tear), `fail` (an I/O error in place of it),
//! `no-exchange` (exchanging folders is refused at every step) or `count` (append a line a change
//! to the file `NUMPACK_FAULT_LOG`).

/// What the caller of [`step`] is to do.
#[derive(PartialEq, Eq, Clone, Copy)]
pub(crate) enum Fault {
    /// Nothing out of the ordinary.
    None,
    /// Write half, then call [`crash`].
    #[cfg(any(test, feature = "fault-injection"))]
    Torn,
}

#[cfg(not(any(test, feature = "fault-injection")))]
mod plan {
    use super::Fault;
    use std::io;
    use std::path::Path;

    #[inline(always)]
    pub(crate) fn step(_op: &str, _dir: &Path, _name: &str) -> io::Result<Fault> {
        Ok(Fault::None)
    }

    #[inline(always)]
    pub(crate) fn exchange_refused() -> bool {
        false
    }
}

#[cfg(any(test, feature = "fault-injection"))]
mod plan {
    use super::Fault;
    use std::io::{self, Write};
    use std::path::Path;
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    struct Plan {
        step: u64,
        action: String,
        log: Option<std::fs::File>,
    }

    fn plan() -> &'static Plan {
        static PLAN: OnceLock<Plan> = OnceLock::new();
        PLAN.get_or_init(|| {
            let var = |name| std::env::var(name).ok();
            let log = var("NUMPACK_FAULT_LOG")
                .and_then(|p| std::fs::File::options().create(true).append(true).open(p).ok());
            Plan {
                step: var("NUMPACK_FAULT_STEP").and_then(|s| s.parse().ok()).unwrap_or(0),
                action: var("NUMPACK_FAULT_ACTION").unwrap_or_default(),
                log,
            }
        })
    }

    /// Counts a change to the disk that is about to happen.
    pub(crate) fn step(op: &str, dir: &Path, name: &str) -> io::Result<Fault> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let plan = plan();
        let n = COUNT.fetch_add(1, Ordering::Relaxed) + 1;
        if let Some(mut log) = plan.log.as_ref() {
            writeln!(log, "{n} {op} {} {name:?}", dir.display())?;
        }
        if n != plan.step {
            return Ok(Fault::None);
        }
        match plan.action.as_str() {
            "abort" => crash(),
            "torn" if op == "write" => Ok(Fault::Torn),
            "torn" => crash(),
            "fail" => Err(io::Error::other("a fault asked for by a test")),
            _ => Ok(Fault::None),
        }
    }

    /// Whether exchanging two folders is to be refused, as some file systems do.
    pub(crate) fn exchange_refused() -> bool {
        plan().action == "no-exchange" || std::env::var_os("NUMPACK_FAULT_NO_EXCHANGE").is_some()
    }

    /// Ends the process as a power switch would, for all that the process can tell.
    pub(crate) fn crash() -> ! {
        std::process::abort()
    }
}

#[cfg(any(test, feature = "fault-injection"))]
pub(crate) use plan::crash;
pub(crate) use plan::{exchange_refused, step};
