//! Option structs and callbacks.

use std::ffi::{CStr, CString, c_char, c_void};
use std::ops::ControlFlow;

use numpack_interop::{CrcPolicy, Error, Existing, Progress};

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

/// An option struct: plain data whose first field is its size, and for which all zeros are the
/// defaults.
///
/// # Safety
/// `repr(C)`, first field `u32`, and any bytes a C program writes by the struct's declaration are
/// a valid value.
pub(crate) unsafe trait Options: Copy {
    const DEFAULT: Self;
}

// SAFETY: integers, raw pointers and nullable function pointers only, and `struct_size` first.
unsafe impl Options for numpack_from_torch_options {
    const DEFAULT: Self = numpack_from_torch_options {
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
unsafe impl Options for numpack_to_torch_options {
    const DEFAULT: Self = numpack_to_torch_options {
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

/// A copy of the caller's options.
///
/// # Safety
/// `options` is NULL or points to at least 4 readable bytes, a `uint32_t`, and to as many as that
/// number says.
pub(crate) unsafe fn read<T: Options>(options: *const T) -> Result<T, Error> {
    if options.is_null() {
        return Ok(T::DEFAULT);
    }
    // SAFETY: the caller vouches for a u32 at the start.
    let size = unsafe { options.cast::<u32>().read_unaligned() } as usize;
    // Later versions append fields; this one has none that could be missing.
    if size < size_of::<T>() || size > 65536 {
        return Err(Error::Parameter(format!(
            "options: struct_size is {size}, expected {}; set it to sizeof the struct",
            size_of::<T>()
        )));
    }
    // A caller built for a later version may ask for what this one does not know.
    for i in size_of::<T>()..size {
        // SAFETY: i is below `size`, for which the caller vouches.
        let at = unsafe { options.cast::<u8>().add(i) };
        // SAFETY: as above.
        if unsafe { at.read() } != 0 {
            return Err(Error::Parameter(format!(
                "options: byte {i} is set, which this version of the library does not know"
            )));
        }
    }
    // SAFETY: the caller vouches for `size` bytes, which are at least those of T, and any bytes
    // are a valid T.
    Ok(unsafe { options.read_unaligned() })
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
        let Some(warning) = self.warning else { return };
        for text in warnings {
            // A name in the message may hold a NUL, which would end it.
            let text = CString::new(text.replace('\0', "\\0")).unwrap_or_default();
            let text: &CStr = &text;
            // SAFETY: the caller vouches for its function; the text ends in NUL and lives on.
            unsafe { warning(text.as_ptr(), self.user) };
        }
    }
}
