//! What a file would do to whoever unpickles it, and what two files disagree on.

use std::ffi::{c_char, c_void};

use numpack_interop::scanned::{Class, Level, Verdict, WeightsOnly};
use numpack_interop::{Difference, Error, ScanOptions, diff, scan};

use crate::checkpoint::numpack_checkpoint;
use crate::handle;
use crate::shell::{self, guard};

/// Nothing but data, and names that build plain values.
pub const NUMPACK_SCAN_CLEAN: i32 = 0;
/// Something unknown, contradictory, or that could not be looked into.
pub const NUMPACK_SCAN_SUSPICIOUS: i32 = 1;
/// Unpickling it could run what somebody else wrote.
pub const NUMPACK_SCAN_DANGEROUS: i32 = 2;

/// Called for what is found in a file, the worst names first: `level` is a `NUMPACK_SCAN_*`, `what`
/// says it (`os.system: runs a command`), `part` names the pickle or record it is in and may be
/// empty, `offset` is the byte there, or -1. Texts are valid during the call. Anything but 0 cancels.
#[allow(non_camel_case_types, reason = "the name C programs type")]
pub type numpack_scan_fn = Option<
    unsafe extern "C" fn(
        level: i32,
        what: *const c_char,
        part: *const c_char,
        offset: i64,
        user: *mut c_void,
    ) -> i32,
>;

/// Called for each difference: `path` is where, as a dotted path, and `what` says it. Texts are
/// valid during the call. Anything but 0 cancels.
#[allow(non_camel_case_types, reason = "the name C programs type")]
pub type numpack_difference_fn = Option<
    unsafe extern "C" fn(path: *const c_char, what: *const c_char, user: *mut c_void) -> i32,
>;

/// The callers' function for what is found.
struct Told {
    callback: numpack_scan_fn,
    user: *mut c_void,
}

impl Told {
    fn tell(&self, level: i32, what: &str, part: &str, offset: Option<u64>) -> Result<(), Error> {
        let Some(callback) = self.callback else { return Ok(()) };
        let (what, part) = (shell::c_text(what), shell::c_text(part));
        let offset = offset.and_then(|n| i64::try_from(n).ok()).unwrap_or(-1);
        // SAFETY: the caller vouches for its function; the texts end in NUL and live on.
        match unsafe { callback(level, what.as_ptr(), part.as_ptr(), offset, self.user) } {
            0 => Ok(()),
            _ => Err(Error::Cancelled),
        }
    }
}

/// Reads each pickle that can be reached in a file, of whatever kind, and says what unpickling it
/// would do; nothing is executed or imported.
///
/// `verdict` takes the worst as a `NUMPACK_SCAN_*`, `weights_only` 1 if `torch.load` would take the
/// pickles with `weights_only=True`, else 0. `callback`, which may be NULL, is called for each place
/// of a name that is dangerous or unknown, and for whatever else is odd.
///
/// Errors: `NUMPACK_IO`, `NUMPACK_CANCELLED`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_scan(
    path: *const c_char,
    callback: numpack_scan_fn,
    user: *mut c_void,
    verdict: *mut i32,
    weights_only: *mut i32,
) -> i32 {
    guard(|| {
        // SAFETY: the caller's promise.
        let path = unsafe { shell::path(path, "path") }?;
        let report = scan(&path, &ScanOptions::new())?;
        let told = Told { callback, user };
        for mention in &report.mentions {
            let level = match mention.class {
                Class::Dangerous => NUMPACK_SCAN_DANGEROUS,
                Class::Unknown => NUMPACK_SCAN_SUSPICIOUS,
                Class::Known | Class::Refused => continue,
            };
            let colon = if mention.why.is_empty() { "" } else { ": " };
            let what = format!("{}.{}{colon}{}", mention.module, mention.name, mention.why);
            for place in &mention.places {
                let part = report.pickles.get(place.pickle).map_or("", |p| p.name.as_str());
                told.tell(level, &what, part, Some(place.offset))?;
            }
        }
        for finding in &report.findings {
            let level = match finding.level {
                Level::Dangerous => NUMPACK_SCAN_DANGEROUS,
                Level::Suspicious | Level::NotLookedInto => NUMPACK_SCAN_SUSPICIOUS,
                Level::Note => NUMPACK_SCAN_CLEAN,
            };
            told.tell(level, &finding.what, &finding.part, finding.offset)?;
        }
        let worst = match report.verdict() {
            Verdict::Clean => NUMPACK_SCAN_CLEAN,
            Verdict::Suspicious => NUMPACK_SCAN_SUSPICIOUS,
            Verdict::Dangerous => NUMPACK_SCAN_DANGEROUS,
        };
        // SAFETY: the caller's promise.
        unsafe { shell::put(verdict, worst) };
        let accepts = report.weights_only == WeightsOnly::Accepts;
        // SAFETY: the caller's promise.
        unsafe { shell::put(weights_only, accepts.into()) };
        Ok(())
    })
}

/// Compares two files: kinds of containers, keys and their order, plain values, and of each tensor
/// the element type, shape, flags, elements and what it shares its storage with. Strides and the
/// invisible rest of storages are not compared.
///
/// `callback`, which may be NULL, is called for each difference, at most `limit` of them; `count`
/// takes how many were found: 0 if the files hold the same.
///
/// Errors: as `numpack_checkpoint_read`, and `NUMPACK_CANCELLED`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_diff(
    a: *const numpack_checkpoint,
    b: *const numpack_checkpoint,
    limit: usize,
    callback: numpack_difference_fn,
    user: *mut c_void,
    count: *mut usize,
) -> i32 {
    guard(|| {
        // SAFETY: the caller's promise.
        let a = &unsafe { handle::borrow(a) }?.tensors;
        // SAFETY: the caller's promise.
        let b = &unsafe { handle::borrow(b) }?.tensors;
        let found = diff(a, b, limit)?;
        for Difference { path, what, .. } in &found {
            let Some(callback) = callback else { break };
            let (path, what) = (shell::c_text(path), shell::c_text(what));
            // SAFETY: the caller vouches for its function; the texts end in NUL and live on.
            if unsafe { callback(path.as_ptr(), what.as_ptr(), user) } != 0 {
                return Err(Error::Cancelled);
            }
        }
        // SAFETY: the caller's promise.
        unsafe { shell::put(count, found.len()) };
        Ok(())
    })
}
