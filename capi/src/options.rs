//! The options of conversions, and the callbacks.

use std::ffi::{c_char, c_void};
use std::ops::ControlFlow;

use numpack_interop::{CrcPolicy, Error, Existing, Progress};

use crate::shell;
use crate::structs::Versioned;

/// The usual: `numpack_from_torch_file` adds to an existing store, `numpack_to_torch_file`
/// replaces an existing file.
pub const NUMPACK_EXISTING_DEFAULT: i32 = 0;
/// An existing output is added to: its arrays stay, those of the same name are replaced.
pub const NUMPACK_EXISTING_MERGE: i32 = 1;
/// An existing output is replaced whole.
pub const NUMPACK_EXISTING_REPLACE: i32 = 2;
/// An existing output is an error.
pub const NUMPACK_EXISTING_REFUSE: i32 = 3;

/// A checksum that does not match is an error.
pub const NUMPACK_CRC_REFUSE: i32 = 0;
/// A checksum that does not match is a warning.
pub const NUMPACK_CRC_WARN: i32 = 1;
/// Checksums are not computed.
pub const NUMPACK_CRC_OFF: i32 = 2;

/// Called as the work goes on, at least once for every 16 MiB: `done` of `total` bytes are
/// written. Anything but 0 cancels.
#[allow(non_camel_case_types, reason = "the name C programs type")]
pub type numpack_progress_fn =
    Option<unsafe extern "C" fn(done: u64, total: u64, user: *mut c_void) -> i32>;

/// Called with what the caller should know though the work succeeded. The text is valid during
/// the call.
#[allow(non_camel_case_types, reason = "the name C programs type")]
pub type numpack_warning_fn =
    Option<unsafe extern "C" fn(message: *const c_char, user: *mut c_void)>;

/// How `numpack_from_torch_file` converts. Zero means the default of each.
#[allow(non_camel_case_types, reason = "the name C programs type")]
#[derive(Clone, Copy)]
#[repr(C)]
pub struct numpack_from_torch_options {
    /// `sizeof(numpack_from_torch_options)`.
    pub struct_size: u32,
    /// A `NUMPACK_EXISTING_*`.
    pub existing: i32,
    /// Convert only what stands at this key or dotted path. NULL: everything.
    pub key: *const c_char,
    /// Upper bound of buffers in bytes. 0: 100 MiB; they stay below 8 MiB all the same.
    pub chunk_size: u64,
    /// A `NUMPACK_CRC_*`.
    pub crc: i32,
    /// Not 0: carry over objects of unknown classes as recipes.
    pub keep_objects: i32,
    /// Not 0: give each view an array of its own.
    pub compact_views: i32,
    /// Must be 0.
    pub reserved: i32,
    /// NULL: not called.
    pub progress: numpack_progress_fn,
    /// NULL: warnings are dropped.
    pub warning: numpack_warning_fn,
    /// Handed to both callbacks.
    pub user: *mut c_void,
}

/// How `numpack_to_torch_file` converts. Zero means the default of each.
#[allow(non_camel_case_types, reason = "the name C programs type")]
#[derive(Clone, Copy)]
#[repr(C)]
pub struct numpack_to_torch_options {
    /// `sizeof(numpack_to_torch_options)`.
    pub struct_size: u32,
    /// A `NUMPACK_EXISTING_*`; a file cannot be merged into.
    pub existing: i32,
    /// `array_count` names: export only these, as a flat dict in this order. NULL: everything.
    pub array_names: *const *const c_char,
    /// How many names.
    pub array_count: usize,
    /// Upper bound of buffers in bytes. 0: 100 MiB; they stay below 8 MiB all the same.
    pub chunk_size: u64,
    /// Alignment of each tensor's data in bytes. 0: 64; 4096 is the other choice.
    pub alignment: u32,
    /// Must be 0.
    pub reserved: i32,
    /// NULL: not called.
    pub progress: numpack_progress_fn,
    /// NULL: warnings are dropped.
    pub warning: numpack_warning_fn,
    /// Handed to both callbacks.
    pub user: *mut c_void,
}

/// How `numpack_export_file` converts. Zero means the default of each.
#[allow(non_camel_case_types, reason = "the name C programs type")]
#[derive(Clone, Copy)]
#[repr(C)]
pub struct numpack_export_options {
    /// `sizeof(numpack_export_options)`.
    pub struct_size: u32,
    /// A `NUMPACK_EXISTING_*`; a file cannot be merged into.
    pub existing: i32,
    /// Only what stands at this key or dotted path. NULL: everything.
    pub key: *const c_char,
    /// `array_count` names: export only these tensors. NULL: all.
    pub array_names: *const *const c_char,
    /// How many names.
    pub array_count: usize,
    /// Upper bound of buffers in bytes. 0: 100 MiB; they stay below 8 MiB all the same.
    pub chunk_size: u64,
    /// A `NUMPACK_CRC_*`.
    pub crc: i32,
    /// Not 0: tensors that show the same bytes are written once for each name, not refused.
    pub copy_shared: i32,
    /// NULL: not called.
    pub progress: numpack_progress_fn,
    /// NULL: warnings are dropped.
    pub warning: numpack_warning_fn,
    /// Handed to both callbacks.
    pub user: *mut c_void,
}

// SAFETY: integers, raw pointers and nullable function pointers only, and `struct_size` first.
unsafe impl Versioned for numpack_export_options {
    const NAME: &str = "numpack_export_options";
    const ZERO: Self = numpack_export_options {
        struct_size: 0,
        existing: 0,
        key: std::ptr::null(),
        array_names: std::ptr::null(),
        array_count: 0,
        chunk_size: 0,
        crc: 0,
        copy_shared: 0,
        progress: None,
        warning: None,
        user: std::ptr::null_mut(),
    };
}

// SAFETY: integers, raw pointers and nullable function pointers only, and `struct_size` first.
unsafe impl Versioned for numpack_from_torch_options {
    const NAME: &str = "numpack_from_torch_options";
    const ZERO: Self = numpack_from_torch_options {
        struct_size: 0,
        existing: 0,
        key: std::ptr::null(),
        chunk_size: 0,
        crc: 0,
        keep_objects: 0,
        compact_views: 0,
        reserved: 0,
        progress: None,
        warning: None,
        user: std::ptr::null_mut(),
    };
}

// SAFETY: as above.
unsafe impl Versioned for numpack_to_torch_options {
    const NAME: &str = "numpack_to_torch_options";
    const ZERO: Self = numpack_to_torch_options {
        struct_size: 0,
        existing: 0,
        array_names: std::ptr::null(),
        array_count: 0,
        chunk_size: 0,
        alignment: 0,
        reserved: 0,
        progress: None,
        warning: None,
        user: std::ptr::null_mut(),
    };
}

pub(crate) fn existing(value: i32, default: Existing) -> Result<Existing, Error> {
    match value {
        NUMPACK_EXISTING_DEFAULT => Ok(default),
        NUMPACK_EXISTING_MERGE => Ok(Existing::Merge),
        NUMPACK_EXISTING_REPLACE => Ok(Existing::Replace),
        NUMPACK_EXISTING_REFUSE => Ok(Existing::Refuse),
        other => Err(Error::Parameter(format!(
            "existing is {other}, which is none of NUMPACK_EXISTING_*"
        ))),
    }
}

pub(crate) fn crc(value: i32) -> Result<CrcPolicy, Error> {
    match value {
        NUMPACK_CRC_REFUSE => Ok(CrcPolicy::Refuse),
        NUMPACK_CRC_WARN => Ok(CrcPolicy::Warn),
        NUMPACK_CRC_OFF => Ok(CrcPolicy::Off),
        other => Err(Error::Parameter(format!("crc is {other}, which is none of NUMPACK_CRC_*"))),
    }
}

pub(crate) fn reserved(value: i32) -> Result<(), Error> {
    match value {
        0 => Ok(()),
        _ => Err(Error::Parameter("a reserved field of the options is not 0".to_owned())),
    }
}

/// The caller's callbacks.
pub(crate) struct Callbacks {
    pub(crate) progress: numpack_progress_fn,
    pub(crate) warning: numpack_warning_fn,
    pub(crate) user: *mut c_void,
}

impl Progress for Callbacks {
    fn advance(&mut self, done: u64, total: u64) -> ControlFlow<()> {
        let Some(progress) = self.progress else { return ControlFlow::Continue(()) };
        // SAFETY: the caller vouches for its function, and `user` is what it handed us.
        match unsafe { progress(done, total, self.user) } {
            0 => ControlFlow::Continue(()),
            _ => ControlFlow::Break(()),
        }
    }
}

impl Callbacks {
    pub(crate) fn warn(&self, warnings: &[String]) {
        // SAFETY: the caller vouches for its function and what it handed us.
        unsafe { warn(self.warning, self.user, warnings) };
    }
}

/// Tells the caller what it should know though the work succeeded.
///
/// # Safety
/// `warning` is NULL or may be called with `user`.
pub(crate) unsafe fn warn(warning: numpack_warning_fn, user: *mut c_void, warnings: &[String]) {
    let Some(warning) = warning else { return };
    for text in warnings {
        let text = shell::c_text(text);
        // SAFETY: the caller vouches for its function; the text ends in NUL and lives on.
        unsafe { warning(text.as_ptr(), user) };
    }
}
