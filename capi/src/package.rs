//! Packages: a store in one file.

use std::ffi::{c_char, c_void};
use std::ptr;

use numpack_format::{Compression, PackOptions, Package, UnpackOptions, pack, unpack};
use numpack_interop::Error;

use crate::handle::{self, Handle};
use crate::list::numpack_list;
use crate::options::{numpack_warning_fn, warn};
use crate::shell::{self, guard, parameter};
use crate::structs::{self, Versioned};

/// Files are stored as they are. Every public reader takes that.
pub const NUMPACK_COMPRESSION_NONE: i32 = 0;
/// Files are compressed by zlib, where that makes them smaller. The public reader takes that only
/// where the Python package `zstandard` is not installed.
pub const NUMPACK_COMPRESSION_ZLIB: i32 = 1;

/// How `numpack_pack` makes a package. Zero means the default of each.
#[allow(non_camel_case_types, reason = "the name C programs type")]
#[derive(Clone, Copy)]
#[repr(C)]
pub struct numpack_pack_options {
    /// `sizeof(numpack_pack_options)`.
    pub struct_size: u32,
    /// A `NUMPACK_COMPRESSION_*`.
    pub compression: i32,
    /// Not 0: a file at the path is replaced. 0: it is `NUMPACK_EXISTS`.
    pub overwrite: i32,
    /// Must be 0.
    pub reserved: i32,
    /// NULL: warnings are dropped.
    pub warning: numpack_warning_fn,
    /// Handed to the callback.
    pub user: *mut c_void,
}

/// How `numpack_unpack` makes a store. Zero means the default of each.
#[allow(non_camel_case_types, reason = "the name C programs type")]
#[derive(Clone, Copy)]
#[repr(C)]
pub struct numpack_unpack_options {
    /// `sizeof(numpack_unpack_options)`.
    pub struct_size: u32,
    /// Not 0: a store at the path is replaced. 0: it is `NUMPACK_EXISTS`.
    pub overwrite: i32,
    /// Not 0: where a writer has the store that is to be replaced, that is `NUMPACK_LOCKED`. 0: it
    /// waits.
    pub no_wait: i32,
    /// Must be 0.
    pub reserved: i32,
    /// NULL: warnings are dropped.
    pub warning: numpack_warning_fn,
    /// Handed to the callback.
    pub user: *mut c_void,
}

// SAFETY: integers, raw pointers and nullable function pointers only, and `struct_size` first.
unsafe impl Versioned for numpack_pack_options {
    const NAME: &str = "numpack_pack_options";
    const ZERO: Self = numpack_pack_options {
        struct_size: 0,
        compression: 0,
        overwrite: 0,
        reserved: 0,
        warning: None,
        user: ptr::null_mut(),
    };
}

// SAFETY: as above.
unsafe impl Versioned for numpack_unpack_options {
    const NAME: &str = "numpack_unpack_options";
    const ZERO: Self = numpack_unpack_options {
        struct_size: 0,
        overwrite: 0,
        no_wait: 0,
        reserved: 0,
        warning: None,
        user: ptr::null_mut(),
    };
}

fn compression(value: i32) -> Result<Compression, Error> {
    match value {
        NUMPACK_COMPRESSION_NONE => Ok(Compression::Stored),
        NUMPACK_COMPRESSION_ZLIB => Ok(Compression::Zlib),
        other => Err(parameter(format!(
            "compression is {other}, which is none of NUMPACK_COMPRESSION_*"
        ))),
    }
}

/// Makes a package of the store at a path, in one state of it. The store is not locked; the package
/// appears whole or not at all.
///
/// `store` and `package` are paths, the latter outside the store. `options` may be NULL. `files`,
/// `size` and `package_size`, each may be NULL, take how many files there are in it, their bytes,
/// and those of the package.
///
/// Errors: `NUMPACK_EXISTS`; `NUMPACK_NOT_A_STORE`; `NUMPACK_CHANGED` if the store was changed
/// meanwhile again and again; `NUMPACK_FORMAT` for a damaged one; `NUMPACK_IO`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_pack(
    store: *const c_char,
    package: *const c_char,
    options: *const numpack_pack_options,
    files: *mut u64,
    size: *mut u64,
    package_size: *mut u64,
) -> i32 {
    guard(|| {
        // SAFETY: the caller's promise.
        let store = unsafe { shell::path(store, "store") }?;
        // SAFETY: the caller's promise.
        let package = unsafe { shell::path(package, "package") }?;
        // SAFETY: the caller's promise.
        let o = unsafe { structs::read_or_zero(options) }?;
        crate::options::reserved(o.reserved)?;
        let settings = PackOptions {
            compression: compression(o.compression)?,
            overwrite: o.overwrite != 0,
            ..PackOptions::default()
        };
        let done = pack(store, package, &settings)?;
        // SAFETY: the caller's promise.
        unsafe { warn(o.warning, o.user, &done.warnings) };
        // SAFETY: the caller's promise.
        unsafe { shell::put(files, u64::from(done.files)) };
        // SAFETY: the caller's promise.
        unsafe { shell::put(size, done.size) };
        // SAFETY: the caller's promise.
        unsafe { shell::put(package_size, done.package_size) };
        Ok(())
    })
}

/// Makes a store of a package. Everything is checked before the store appears, whole.
///
/// `package` and `store` are paths. `options` may be NULL. `files` and `size`, both may be NULL,
/// take how many files were written, and their bytes.
///
/// Errors: `NUMPACK_EXISTS`; `NUMPACK_NOT_A_STORE` if that is what is to be replaced;
/// `NUMPACK_FORMAT` for a damaged package; `NUMPACK_LIMIT`; `NUMPACK_LOCKED`; `NUMPACK_IO`. What was
/// at the path is then as it was.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_unpack(
    package: *const c_char,
    store: *const c_char,
    options: *const numpack_unpack_options,
    files: *mut u64,
    size: *mut u64,
) -> i32 {
    guard(|| {
        // SAFETY: the caller's promise.
        let package = unsafe { shell::path(package, "package") }?;
        // SAFETY: the caller's promise.
        let store = unsafe { shell::path(store, "store") }?;
        // SAFETY: the caller's promise.
        let o = unsafe { structs::read_or_zero(options) }?;
        crate::options::reserved(o.reserved)?;
        let settings = UnpackOptions {
            overwrite: o.overwrite != 0,
            wait: o.no_wait == 0,
            ..UnpackOptions::default()
        };
        let done = unpack(package, store, &settings)?;
        // SAFETY: the caller's promise.
        unsafe { warn(o.warning, o.user, &done.warnings) };
        // SAFETY: the caller's promise.
        unsafe { shell::put(files, u64::from(done.files)) };
        // SAFETY: the caller's promise.
        unsafe { shell::put(size, done.size) };
        Ok(())
    })
}

/// A package, open for reading as it is. It has the file open.
#[allow(non_camel_case_types, reason = "the name C programs type")]
pub struct numpack_package {
    package: Package,
}

impl Handle for numpack_package {
    const NAME: &str = "package";
}

/// Opens a package. The caller owns the handle; `numpack_package_free` gives it back.
///
/// All but the content of the arrays is read and checked. Errors: `NUMPACK_FORMAT`,
/// `NUMPACK_UNSUPPORTED`, `NUMPACK_LIMIT`, `NUMPACK_IO`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_package_open(
    path: *const c_char,
    package: *mut *mut numpack_package,
) -> i32 {
    guard(|| {
        // SAFETY: the caller's promise.
        let path = unsafe { shell::path(path, "path") }?;
        handle::wanted(package)?;
        let opened = numpack_package { package: Package::open(path)? };
        // SAFETY: not NULL; the caller vouches for the memory.
        unsafe { handle::give(package, opened) };
        Ok(())
    })
}

/// Shares a package: it comes back, and is to be freed once more. NULL is fine.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_package_retain(
    package: *const numpack_package,
) -> *mut numpack_package {
    // SAFETY: the caller's promise.
    unsafe { handle::retain(package) }
}

/// Gives a package back. NULL is fine.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_package_free(package: *mut numpack_package) {
    // SAFETY: the caller's promise.
    unsafe { handle::free(package) };
}

/// Lists the arrays of a package, as `numpack_store_list` does those of a store.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_package_list(
    package: *const numpack_package,
    list: *mut *mut numpack_list,
) -> i32 {
    guard(|| {
        // SAFETY: the caller's promise.
        let package = unsafe { handle::borrow(package) }?;
        handle::wanted(list)?;
        let info = package.package.info();
        // SAFETY: not NULL; the caller vouches for the memory.
        unsafe { handle::give(list, numpack_list::new(&info.arrays, &info.warnings)) };
        Ok(())
    })
}

/// Reads one array whole, as `numpack_array_read` does. Nothing but a zlib stream's own checksum is
/// checked; `numpack_package_verify` checks all.
///
/// Errors: `NUMPACK_NOT_FOUND`, and those of `numpack_array_read`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_package_read(
    package: *const numpack_package,
    name: *const c_char,
    buffer: *mut c_void,
    size: usize,
) -> i32 {
    guard(|| {
        // SAFETY: the caller's promise.
        let package = unsafe { handle::borrow(package) }?;
        // SAFETY: the caller's promise.
        let name = unsafe { shell::required(name, "name") }?;
        // SAFETY: the caller's promise.
        let out = unsafe { shell::buffer(buffer, size) }?;
        Ok(package.package.read_into(name, out)?)
    })
}

/// Reads `count` rows of one array from row `start` on, as `numpack_array_read_rows` does. In a
/// compressed package all before them is inflated too.
///
/// Errors: as for `numpack_package_read`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_package_read_rows(
    package: *const numpack_package,
    name: *const c_char,
    start: u64,
    count: u64,
    buffer: *mut c_void,
    size: usize,
) -> i32 {
    guard(|| {
        // SAFETY: the caller's promise.
        let package = unsafe { handle::borrow(package) }?;
        // SAFETY: the caller's promise.
        let name = unsafe { shell::required(name, "name") }?;
        // SAFETY: the caller's promise.
        let out = unsafe { shell::buffer(buffer, size) }?;
        Ok(package.package.read_rows_into(name, shell::range(start, count)?, out)?)
    })
}

/// Reads everything and compares the checksum: with what opening checks, the package then holds a
/// sound store.
///
/// Errors: `NUMPACK_FORMAT` if it is damaged, `NUMPACK_IO`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_package_verify(package: *const numpack_package) -> i32 {
    guard(|| {
        // SAFETY: the caller's promise.
        let package = unsafe { handle::borrow(package) }?;
        Ok(package.package.verify()?)
    })
}
