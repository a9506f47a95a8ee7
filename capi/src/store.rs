//! Stores: the handle, and changes that are durable when the call returns.

use std::ffi::{CString, c_char};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr;

use numpack_format::{DType, NumPack, WriterOptions};
use numpack_interop::Error;

use crate::dtype;
use crate::handle::{self, Handle};
use crate::shell::{self, guard, parameter};
use crate::structs::{self, Versioned};
use crate::view::{self, numpack_rows, numpack_view};

/// A store, open for reading and writing. It is locked only while a call or a `numpack_writer`
/// changes it.
#[allow(non_camel_case_types, reason = "the name C programs type")]
pub struct numpack_store {
    pub(crate) store: NumPack,
    path: CString,
}

impl Handle for numpack_store {
    const NAME: &str = "store";
}

/// How a store is changed. Zero means the default of each.
#[allow(non_camel_case_types, reason = "the name C programs type")]
#[derive(Clone, Copy)]
#[repr(C)]
pub struct numpack_store_options {
    /// `sizeof(numpack_store_options)`.
    pub struct_size: u32,
    /// Not 0: where another writer has the store, a change is `NUMPACK_LOCKED`. 0: it waits.
    pub no_wait: i32,
    /// Not 0: rows are replaced in their place at once, which is faster. If the program ends before
    /// the commit, some stay replaced; a power loss may leave parts of rows; readers may see the
    /// change half-done; and giving it up does not take it back. 0: all or none.
    pub in_place: i32,
    /// Must be 0.
    pub reserved: i32,
}

// SAFETY: integers only, and `struct_size` first.
unsafe impl Versioned for numpack_store_options {
    const NAME: &str = "numpack_store_options";
    const ZERO: Self =
        numpack_store_options { struct_size: 0, no_wait: 0, in_place: 0, reserved: 0 };
}

/// The caller's options.
///
/// # Safety
/// `from` is NULL or points to `struct_size` bytes.
pub(crate) unsafe fn options(from: *const numpack_store_options) -> Result<WriterOptions, Error> {
    // SAFETY: the caller's promise.
    let o = unsafe { structs::read_or_zero(from) }?;
    if o.reserved != 0 {
        return Err(parameter("numpack_store_options: reserved is not 0".to_owned()));
    }
    Ok(WriterOptions {
        wait: o.no_wait == 0,
        in_place: o.in_place != 0,
        ..WriterOptions::default()
    })
}

/// What the three ways to open a store have in common.
///
/// # Safety
/// As for the functions of C.
unsafe fn open_as(
    path: *const c_char,
    from: *const numpack_store_options,
    store: *mut *mut numpack_store,
    open: impl FnOnce(&Path, &WriterOptions) -> numpack_format::Result<NumPack>,
) -> i32 {
    guard(|| {
        // SAFETY: the caller's promise.
        let path = unsafe { shell::path(path, "path") }?;
        // SAFETY: the caller's promise.
        let options = unsafe { options(from) }?;
        handle::wanted(store)?;
        let opened = open(&path, &options)?;
        let path = CString::new(opened.path().as_os_str().as_bytes()).unwrap_or_default();
        // SAFETY: not NULL; the caller vouches for the memory.
        unsafe { handle::give(store, numpack_store { store: opened, path }) };
        Ok(())
    })
}

/// Opens the store at a path. The caller owns the handle; `numpack_store_free` gives it back.
///
/// `options` may be NULL. Errors: `NUMPACK_NOT_A_STORE` where there is nothing, or something else;
/// `NUMPACK_FORMAT` for a damaged store; `NUMPACK_UNSUPPORTED`; `NUMPACK_LIMIT`; `NUMPACK_IO`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_store_open(
    path: *const c_char,
    options: *const numpack_store_options,
    store: *mut *mut numpack_store,
) -> i32 {
    // SAFETY: the caller's promise.
    unsafe { open_as(path, options, store, |p, o| NumPack::open_with(p, o)) }
}

/// Makes a store without arrays, and opens it as `numpack_store_open` does.
///
/// Errors: `NUMPACK_EXISTS` where there is anything but an empty folder.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_store_create(
    path: *const c_char,
    options: *const numpack_store_options,
    store: *mut *mut numpack_store,
) -> i32 {
    // SAFETY: the caller's promise.
    unsafe { open_as(path, options, store, |p, o| NumPack::create_with(p, o)) }
}

/// Opens the store at a path, and makes it first if there is nothing. Else as `numpack_store_open`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_store_open_or_create(
    path: *const c_char,
    options: *const numpack_store_options,
    store: *mut *mut numpack_store,
) -> i32 {
    // SAFETY: the caller's promise.
    unsafe { open_as(path, options, store, |p, o| NumPack::open_or_create(p, o)) }
}

/// Shares a handle: it comes back, and is to be freed once more. NULL is fine.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_store_retain(store: *const numpack_store) -> *mut numpack_store {
    // SAFETY: the caller's promise.
    unsafe { handle::retain(store) }
}

/// Gives a handle back. Arrays, lists and writers that came from it live on. NULL is fine.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_store_free(store: *mut numpack_store) {
    // SAFETY: the caller's promise.
    unsafe { handle::free(store) };
}

/// Where the store is, as an absolute path; NULL for NULL. The text lives as long as the handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_store_get_path(store: *const numpack_store) -> *const c_char {
    // SAFETY: the caller's promise.
    unsafe { store.as_ref() }.map_or(ptr::null(), |s| s.path.as_ptr())
}

/// Runs a change of a store.
///
/// # Safety
/// `store` is NULL or a handle.
unsafe fn change(
    store: *const numpack_store,
    work: impl FnOnce(&NumPack) -> Result<(), Error>,
) -> i32 {
    guard(|| {
        // SAFETY: the caller's promise.
        let store = unsafe { handle::borrow(store) }?;
        work(&store.store)
    })
}

/// Writes `count` arrays, each in the place of one of its name, whatever that one's type and
/// shape: all or none, and durable on return.
///
/// `names` are `count` texts, `views` as many views. To write one array of any size in pieces, save
/// it with no rows and append to it, within one `numpack_writer`. Types that a store has only as what
/// they stand for, such as `BFLOAT16`, are `NUMPACK_TYPE`: `numpack_from_torch` writes those.
///
/// The errors of every change: `NUMPACK_LOCKED` if it is not to wait for another writer,
/// `NUMPACK_FORKED` in a forked child, `NUMPACK_CHANGED`, `NUMPACK_POISONED`, and `NUMPACK_IO`, as
/// on a full disk. The store is then as before or, where the last step failed, as after: never
/// between. A thread that has a `numpack_writer` of the store must not change it otherwise: the
/// call would wait for ever.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_store_save(
    store: *const numpack_store,
    names: *const *const c_char,
    views: *const numpack_view,
    count: usize,
) -> i32 {
    let work = |npk: &NumPack| {
        // SAFETY: the caller's promise.
        let arrays = unsafe { view::named(names, views, count) }?;
        Ok(npk.save(&arrays)?)
    };
    // SAFETY: the caller's promise.
    unsafe { change(store, work) }
}

/// Adds rows at the end of `count` arrays, all or none. Each view has the array's element type and
/// dimensions, but for the first.
///
/// Errors: those of every change, `NUMPACK_NOT_FOUND`, and `NUMPACK_PARAMETER` for a view that does
/// not fit its array, or an array of 0 dimensions.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_store_append(
    store: *const numpack_store,
    names: *const *const c_char,
    views: *const numpack_view,
    count: usize,
) -> i32 {
    let work = |npk: &NumPack| {
        // SAFETY: the caller's promise.
        let rows = unsafe { view::named(names, views, count) }?;
        Ok(npk.append(&rows)?)
    };
    // SAFETY: the caller's promise.
    unsafe { change(store, work) }
}

/// Replaces the chosen rows of an array by those of a view, in the order of the choice. Of a row
/// that is chosen several times, the last one counts.
///
/// Errors: as for `numpack_store_append`, and `NUMPACK_PARAMETER` for a row that is not there, or
/// another number of rows in the view.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_store_replace_rows(
    store: *const numpack_store,
    name: *const c_char,
    rows: *const numpack_rows,
    view: *const numpack_view,
) -> i32 {
    let work = |npk: &NumPack| {
        // SAFETY: the caller's promise.
        let name = unsafe { shell::required(name, "name") }?;
        // SAFETY: the caller's promise.
        let rows = unsafe { view::rows(rows) }?;
        // SAFETY: the caller's promise.
        let view = unsafe { view::view(view) }?;
        Ok(npk.replace_rows(name, &rows.rows(), &view)?)
    };
    // SAFETY: the caller's promise.
    unsafe { change(store, work) }
}

/// Drops the chosen rows of an array. `dropped`, which may be NULL, takes how many those are. Their
/// room is freed by `numpack_store_compact`.
///
/// Errors: as for `numpack_store_replace_rows`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_store_drop_rows(
    store: *const numpack_store,
    name: *const c_char,
    rows: *const numpack_rows,
    dropped: *mut u64,
) -> i32 {
    let work = |npk: &NumPack| {
        // SAFETY: the caller's promise.
        let name = unsafe { shell::required(name, "name") }?;
        // SAFETY: the caller's promise.
        let rows = unsafe { view::rows(rows) }?;
        let n = npk.drop_rows(name, &rows.rows())?;
        // SAFETY: the caller's promise.
        unsafe { shell::put(dropped, n) };
        Ok(())
    };
    // SAFETY: the caller's promise.
    unsafe { change(store, work) }
}

/// Takes `count` arrays out of the store, all or none.
///
/// Errors: those of every change, and `NUMPACK_NOT_FOUND`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_store_remove_arrays(
    store: *const numpack_store,
    names: *const *const c_char,
    count: usize,
) -> i32 {
    let work = |npk: &NumPack| {
        // SAFETY: the caller's promise.
        let names = unsafe { shell::texts(names, count, "names") }?;
        Ok(npk.remove_arrays(&names)?)
    };
    // SAFETY: the caller's promise.
    unsafe { change(store, work) }
}

/// Gives an array another name, which must be free.
///
/// Errors: those of every change, `NUMPACK_NOT_FOUND`, and `NUMPACK_PARAMETER` if there is an array
/// of the new name.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_store_rename_array(
    store: *const numpack_store,
    from: *const c_char,
    to: *const c_char,
) -> i32 {
    let work = |npk: &NumPack| {
        // SAFETY: the caller's promise.
        let from = unsafe { shell::required(from, "from") }?;
        // SAFETY: the caller's promise.
        let to = unsafe { shell::required(to, "to") }?;
        Ok(npk.rename_array(from, to)?)
    };
    // SAFETY: the caller's promise.
    unsafe { change(store, work) }
}

/// Copies an array to another name, which must be free. Dropped rows are not copied.
///
/// Errors: as for `numpack_store_rename_array`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_store_clone_array(
    store: *const numpack_store,
    from: *const c_char,
    to: *const c_char,
) -> i32 {
    let work = |npk: &NumPack| {
        // SAFETY: the caller's promise.
        let from = unsafe { shell::required(from, "from") }?;
        // SAFETY: the caller's promise.
        let to = unsafe { shell::required(to, "to") }?;
        Ok(npk.clone_array(from, to)?)
    };
    // SAFETY: the caller's promise.
    unsafe { change(store, work) }
}

/// Makes an array of a data file that lies in the store and that no record names, for instance because
/// the program that wrote it died: `NUMPACK_FAULT_ORPHAN` of `numpack_store_verify`, whose `file` is
/// the name of the file. It must be one in which an array named `name` lies, and hold whole rows of
/// `dtype`, each of the shape of `ndim` lengths at `row`. Rows that the bitmap of that name drops stay
/// dropped. `rows`, which may be NULL, takes how many there are then.
///
/// Errors: those of every change, and `NUMPACK_PARAMETER` if there is an array of the name, another
/// array has the file, it is not there, or does not hold whole rows.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_store_adopt_array(
    store: *const numpack_store,
    name: *const c_char,
    file: *const c_char,
    dtype: i32,
    ndim: u32,
    row: *const u64,
    rows: *mut u64,
) -> i32 {
    let work = |npk: &NumPack| {
        // SAFETY: the caller's promise.
        let orphan = unsafe { Orphan::new(name, file, dtype, ndim, row) }?;
        let count = npk.adopt_array(orphan.name, orphan.file, orphan.dtype, orphan.row)?;
        // SAFETY: the caller's promise.
        unsafe { shell::put(rows, count) };
        Ok(())
    };
    // SAFETY: the caller's promise.
    unsafe { change(store, work) }
}

/// What the caller says of a data file.
pub(crate) struct Orphan<'a> {
    pub(crate) name: &'a str,
    pub(crate) file: &'a str,
    pub(crate) dtype: DType,
    pub(crate) row: &'a [u64],
}

impl Orphan<'_> {
    /// # Safety
    /// The texts are NULL or end with NUL, and `row` is NULL or points to `ndim` numbers; all stay
    /// as they are as long as what is returned is used.
    pub(crate) unsafe fn new(
        name: *const c_char,
        file: *const c_char,
        dtype: i32,
        ndim: u32,
        row: *const u64,
    ) -> Result<Self, Error> {
        // SAFETY: the caller's promise.
        let name = unsafe { shell::required(name, "name") }?;
        // SAFETY: the caller's promise.
        let file = unsafe { shell::required(file, "file") }?;
        let dtype = dtype::required(dtype)?;
        // SAFETY: the caller's promise.
        let row = unsafe { shell::slice(row, ndim as usize, "row") }?;
        Ok(Orphan { name, file, dtype, row })
    }
}

/// Frees the room of the dropped rows of an array, or, with `name` NULL, of all arrays, and puts
/// segments together. `freed`, which may be NULL, takes how many rows went.
///
/// Errors: those of every change, and `NUMPACK_NOT_FOUND`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_store_compact(
    store: *const numpack_store,
    name: *const c_char,
    freed: *mut u64,
) -> i32 {
    let work = |npk: &NumPack| {
        // SAFETY: the caller's promise.
        let n = match unsafe { shell::optional(name, "name") }? {
            Some(name) => npk.compact_array(name)?,
            None => npk.compact()?,
        };
        // SAFETY: the caller's promise.
        unsafe { shell::put(freed, n) };
        Ok(())
    };
    // SAFETY: the caller's promise.
    unsafe { change(store, work) }
}

/// Takes all arrays out of the store, and what it knows of the object they were part of.
///
/// Errors: those of every change.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_store_reset(store: *const numpack_store) -> i32 {
    // SAFETY: the caller's promise.
    unsafe { change(store, |npk| Ok(npk.reset()?)) }
}
