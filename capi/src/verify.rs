//! What is wrong with a store.

use std::ffi::{CStr, CString, c_char, c_void};
use std::os::unix::ffi::OsStrExt;
use std::ptr;

use numpack_format::{Fault, FaultKind, Store};
use numpack_interop::Error;

use crate::shell::{self, guard};

/// A kind that this header does not know.
pub const NUMPACK_FAULT_OTHER: i32 = 0;
/// `metadata.npkm` cannot be read, so nothing else can be judged.
pub const NUMPACK_FAULT_METADATA: i32 = 1;
/// The record of a committed change cannot be read, or no longer applies.
pub const NUMPACK_FAULT_REDO: i32 = 2;
/// A data file, or a segment, is missing, too short or no regular file.
pub const NUMPACK_FAULT_DATA: i32 = 3;
/// The bitmap of dropped rows cannot be read.
pub const NUMPACK_FAULT_BITMAP: i32 = 4;
/// Two arrays share a data file.
pub const NUMPACK_FAULT_SHARED: i32 = 5;
/// A data file, bitmap or segment list that no array uses.
pub const NUMPACK_FAULT_ORPHAN: i32 = 6;
/// What is known of logical types and objects cannot be read, or no longer fits.
pub const NUMPACK_FAULT_SIDE: i32 = 7;
/// A notice: a writer died here. The next one finishes or clears what it left.
pub const NUMPACK_FAULT_LEFTOVER: i32 = 8;
/// A notice: a data file has bytes past the array's end, which are ignored.
pub const NUMPACK_FAULT_SURPLUS: i32 = 9;
/// A notice: another program changed an array that something is known of, and that still fits.
pub const NUMPACK_FAULT_MODIFIED: i32 = 10;

/// Called for each thing that was found: its kind, a `NUMPACK_FAULT_*`; whether it is only a notice
/// (not 0), so that no data is wrong or lost; the file; the array, NULL where none is concerned; and
/// what is wrong, with the file and the array. The texts are valid during the call. Anything but 0
/// cancels.
#[allow(non_camel_case_types, reason = "the name C programs type")]
pub type numpack_fault_fn = Option<
    unsafe extern "C" fn(
        kind: i32,
        is_notice: i32,
        file: *const c_char,
        array: *const c_char,
        message: *const c_char,
        user: *mut c_void,
    ) -> i32,
>;

fn code(kind: FaultKind) -> i32 {
    match kind {
        FaultKind::Metadata => NUMPACK_FAULT_METADATA,
        FaultKind::Redo => NUMPACK_FAULT_REDO,
        FaultKind::Data => NUMPACK_FAULT_DATA,
        FaultKind::Bitmap => NUMPACK_FAULT_BITMAP,
        FaultKind::Shared => NUMPACK_FAULT_SHARED,
        FaultKind::Orphan => NUMPACK_FAULT_ORPHAN,
        FaultKind::Side => NUMPACK_FAULT_SIDE,
        FaultKind::Leftover => NUMPACK_FAULT_LEFTOVER,
        FaultKind::Surplus => NUMPACK_FAULT_SURPLUS,
        FaultKind::Modified => NUMPACK_FAULT_MODIFIED,
        _ => NUMPACK_FAULT_OTHER,
    }
}

/// Tells the caller of one fault.
///
/// # Safety
/// `callback` is NULL or may be called with `user`.
unsafe fn tell(fault: &Fault, callback: numpack_fault_fn, user: *mut c_void) -> Result<(), Error> {
    let Some(callback) = callback else { return Ok(()) };
    let file = CString::new(fault.file.as_os_str().as_bytes()).unwrap_or_default();
    let array = fault.array.as_deref().map(shell::c_text);
    let array = array.as_deref().map_or(ptr::null(), CStr::as_ptr);
    let message = shell::c_text(&fault.message);
    let (kind, notice) = (code(fault.kind), i32::from(fault.is_notice()));
    // SAFETY: the caller vouches for its function; the texts end in NUL and live on.
    match unsafe { callback(kind, notice, file.as_ptr(), array, message.as_ptr(), user) } {
        0 => Ok(()),
        _ => Err(Error::Cancelled),
    }
}

/// Looks for everything that is wrong with the store at a path. Nothing is written.
///
/// `NUMPACK_OK`: the store is sound; there may be notices. `NUMPACK_FORMAT`: it has faults, and
/// `numpack_last_error` has the first. `callback`, which may be NULL, is called for each fault and
/// notice. `faults` and `notices`, both may be NULL, take how many there are, and for a store with
/// faults too.
///
/// Other errors: `NUMPACK_NOT_A_STORE`; `NUMPACK_CANCELLED`; `NUMPACK_CHANGED` if the store was
/// changed meanwhile again and again; `NUMPACK_IO`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_store_verify(
    path: *const c_char,
    callback: numpack_fault_fn,
    user: *mut c_void,
    faults: *mut u64,
    notices: *mut u64,
) -> i32 {
    guard(|| {
        // SAFETY: the caller's promise.
        let path = unsafe { shell::path(path, "path") }?;
        let found = Store::verify(&path)?;
        for fault in &found {
            // SAFETY: the caller's promise.
            unsafe { tell(fault, callback, user) }?;
        }
        let wrong: Vec<&Fault> = found.iter().filter(|f| !f.is_notice()).collect();
        // SAFETY: the caller's promise.
        unsafe { shell::put(faults, wrong.len() as u64) };
        // SAFETY: the caller's promise.
        unsafe { shell::put(notices, (found.len() - wrong.len()) as u64) };
        match wrong.first() {
            None => Ok(()),
            Some(first) => {
                let place = format!("{}: ", first.file.display());
                Err(Error::NumPack(numpack_format::Error::Format {
                    problem: first.message.strip_prefix(&place).unwrap_or(&first.message).into(),
                    file: first.file.clone(),
                    array: None,
                    offset: None,
                    hint: "the callback is told of all that is wrong",
                }))
            }
        }
    })
}

/// Called for each fault of a file, and for what is odd but loses nothing, a notice: not 0. The text
/// is valid during the call. Anything but 0 cancels.
#[allow(non_camel_case_types, reason = "the name C programs type")]
pub type numpack_file_fault_fn =
    Option<unsafe extern "C" fn(is_notice: i32, message: *const c_char, user: *mut c_void) -> i32>;

/// Looks for everything that is wrong with a file of any kind that is read: structure, checksums,
/// content. Nothing is written. `numpack_store_verify` says more of a store.
///
/// `NUMPACK_OK`: it is sound; there may be notices. `NUMPACK_FORMAT`: it has faults, and
/// `numpack_last_error` has the first. `callback`, which may be NULL, is called for each fault and
/// notice. `faults` and `notices`, both may be NULL, take how many there are, and for a file with
/// faults too. Other errors: `NUMPACK_IO`; `NUMPACK_UNSUPPORTED`; `NUMPACK_CANCELLED`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_verify(
    path: *const c_char,
    callback: numpack_file_fault_fn,
    user: *mut c_void,
    faults: *mut u64,
    notices: *mut u64,
) -> i32 {
    guard(|| {
        // SAFETY: the caller's promise.
        let path = unsafe { shell::path(path, "path") }?;
        let found = numpack_interop::verify(&path)?;
        let each = found.faults.iter().map(|f| (0, f));
        for (is_notice, message) in each.chain(found.notices.iter().map(|n| (1, n))) {
            let Some(callback) = callback else { break };
            let message = shell::c_text(message);
            // SAFETY: the caller vouches for its function; the text ends in NUL and lives on.
            if unsafe { callback(is_notice, message.as_ptr(), user) } != 0 {
                return Err(Error::Cancelled);
            }
        }
        // SAFETY: the caller's promise.
        unsafe { shell::put(faults, found.faults.len() as u64) };
        // SAFETY: the caller's promise.
        unsafe { shell::put(notices, found.notices.len() as u64) };
        match found.faults.into_iter().next() {
            None => Ok(()),
            Some(first) => Err(Error::Faulty(first)),
        }
    })
}
