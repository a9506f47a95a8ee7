//! Many changes in one commit.

use std::ffi::{c_char, c_void};
use std::path::Path;

use numpack_format::{Writer, WriterOptions};
use numpack_interop::Error;

use crate::array::numpack_array;
use crate::handle::{self, Handle};
use crate::options::{numpack_warning_fn, warn};
use crate::shell::{self, guard, parameter};
use crate::store::{self, Orphan, numpack_store, numpack_store_options};
use crate::view::{self, numpack_rows, numpack_view};

/// Changes of a store that become visible and durable together, or not at all. It has the store
/// locked. One thread at a time may use it.
#[allow(non_camel_case_types, reason = "the name C programs type")]
pub struct numpack_writer {
    /// Absent once a panic has broken a change off.
    writer: Option<Writer>,
}

impl Handle for numpack_writer {
    const NAME: &str = "writer";
}

fn broken() -> Error {
    parameter(
        "a fault of the library has broken this change off; free it and begin anew".to_owned(),
    )
}

/// Gives the caller a writer.
///
/// # Safety
/// `out` points to writable memory for a pointer.
unsafe fn give(out: *mut *mut numpack_writer, writer: Writer) {
    let handle = Box::into_raw(Box::new(numpack_writer { writer: Some(writer) }));
    // SAFETY: the caller's promise.
    unsafe { out.write(handle) };
}

/// Begins a change of a store, which is locked until `numpack_writer_commit` or
/// `numpack_writer_free`; the caller owns the writer, and one of the two ends it.
///
/// `options` may be NULL: those of the store handle. Errors: those of every change
/// (`numpack_store_save`). A thread that has a writer of a store must neither begin another nor
/// change the store through its handle: the call would wait for ever, or be `NUMPACK_LOCKED`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_store_begin(
    store: *const numpack_store,
    options: *const numpack_store_options,
    writer: *mut *mut numpack_writer,
) -> i32 {
    guard(|| {
        // SAFETY: the caller's promise.
        let store = unsafe { handle::borrow(store) }?;
        handle::wanted(writer)?;
        let begun = if options.is_null() {
            store.store.begin()?
        } else {
            // SAFETY: the caller's promise.
            store.store.begin_with(&unsafe { store::options(options) }?)?
        };
        // SAFETY: not NULL; the caller vouches for the memory.
        unsafe { give(writer, begun) };
        Ok(())
    })
}

/// What the two ways to begin a new store have in common.
///
/// # Safety
/// As for the functions of C.
unsafe fn begin_at(
    path: *const c_char,
    options: *const numpack_store_options,
    writer: *mut *mut numpack_writer,
    begin: impl FnOnce(&Path, &WriterOptions) -> numpack_format::Result<Writer>,
) -> i32 {
    guard(|| {
        // SAFETY: the caller's promise.
        let path = unsafe { shell::path(path, "path") }?;
        // SAFETY: the caller's promise.
        let options = unsafe { store::options(options) }?;
        handle::wanted(writer)?;
        let begun = begin(&path, &options)?;
        // SAFETY: not NULL; the caller vouches for the memory.
        unsafe { give(writer, begun) };
        Ok(())
    })
}

/// Begins a new store, which appears whole with the commit. `options` may be NULL.
///
/// Errors: `NUMPACK_EXISTS` where there is anything but an empty folder.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_writer_create(
    path: *const c_char,
    options: *const numpack_store_options,
    writer: *mut *mut numpack_writer,
) -> i32 {
    // SAFETY: the caller's promise.
    unsafe { begin_at(path, options, writer, |p, o| Writer::create_with(p, o)) }
}

/// Begins a new store, which takes the place of the one at the path, damaged or not, with the
/// commit. `options` may be NULL.
///
/// Errors: `NUMPACK_NOT_A_STORE` where there is anything but a store or an empty folder.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_writer_replace(
    path: *const c_char,
    options: *const numpack_store_options,
    writer: *mut *mut numpack_writer,
) -> i32 {
    // SAFETY: the caller's promise.
    unsafe { begin_at(path, options, writer, |p, o| Writer::replace_with(p, o)) }
}

/// Makes all changes durable and visible at once, and ends the writer, whatever the result; it must
/// not be freed. After an error the store is as before or as after, never between.
///
/// `warning`, which may be NULL, is called with what the caller should know though the work
/// succeeded. Errors: those of every change.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_writer_commit(
    writer: *mut numpack_writer,
    warning: numpack_warning_fn,
    user: *mut c_void,
) -> i32 {
    guard(|| {
        if writer.is_null() {
            return Err(parameter("the writer is NULL".to_owned()));
        }
        // SAFETY: from `give`, and the caller gives it up.
        let ended = unsafe { Box::from_raw(writer) };
        let warnings = ended.writer.ok_or_else(broken)?.commit_with_warnings()?;
        // SAFETY: the caller's promise.
        unsafe { warn(warning, user, &warnings) };
        Ok(())
    })
}

/// Gives all changes up, and ends the writer. NULL is fine. In a forked child the store and its
/// lock stay as they are.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_writer_free(writer: *mut numpack_writer) {
    if writer.is_null() {
        return;
    }
    // SAFETY: from `give`, and the caller gives it up.
    let ended = unsafe { Box::from_raw(writer) };
    handle::drop_quietly(ended);
}

/// Opens an array as it will be after the commit, with the changes so far; later ones may or may
/// not show in it. The caller owns it. An array of 0 dimensions that was saved by this writer shows
/// as one row.
///
/// Errors: `NUMPACK_NOT_FOUND`, `NUMPACK_FORKED`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_writer_array(
    writer: *const numpack_writer,
    name: *const c_char,
    array: *mut *mut numpack_array,
) -> i32 {
    guard(|| {
        // SAFETY: the caller's promise.
        let writer = unsafe { handle::borrow(writer) }?;
        // SAFETY: the caller's promise.
        let name = unsafe { shell::required(name, "name") }?;
        handle::wanted(array)?;
        let opened = writer.writer.as_ref().ok_or_else(broken)?.array(name)?;
        // SAFETY: not NULL; the caller vouches for the memory.
        unsafe { handle::give(array, numpack_array::new(opened)) };
        Ok(())
    })
}

/// Runs a step of a change.
///
/// # Safety
/// `writer` is NULL or a writer that nobody else uses.
unsafe fn change(
    writer: *mut numpack_writer,
    work: impl FnOnce(&mut Writer) -> Result<(), Error>,
) -> i32 {
    guard(|| {
        // SAFETY: the caller's promise.
        let handle = unsafe { writer.as_mut() };
        let handle = handle.ok_or_else(|| parameter("the writer is NULL".to_owned()))?;
        // A panic drops it, which gives the change up: it might be half of one.
        let mut writer = handle.writer.take().ok_or_else(broken)?;
        let done = work(&mut writer);
        handle.writer = Some(writer);
        done
    })
}

/// As `numpack_store_save`, seen after the commit. If it fails, arrays before the one that failed
/// are saved.
///
/// After an error of this or any of the following, the writer may be used on.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_writer_save(
    writer: *mut numpack_writer,
    names: *const *const c_char,
    views: *const numpack_view,
    count: usize,
) -> i32 {
    let work = |w: &mut Writer| {
        // SAFETY: the caller's promise.
        let arrays = unsafe { view::named(names, views, count) }?;
        Ok(arrays.iter().try_for_each(|(name, view)| w.save(name, view))?)
    };
    // SAFETY: the caller's promise.
    unsafe { change(writer, work) }
}

/// As `numpack_store_append`, seen after the commit. If it fails, no array has grown.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_writer_append(
    writer: *mut numpack_writer,
    names: *const *const c_char,
    views: *const numpack_view,
    count: usize,
) -> i32 {
    let work = |w: &mut Writer| {
        // SAFETY: the caller's promise.
        let rows = unsafe { view::named(names, views, count) }?;
        Ok(w.append(&rows)?)
    };
    // SAFETY: the caller's promise.
    unsafe { change(writer, work) }
}

/// As `numpack_store_replace_rows`, seen after the commit, or at once with
/// `numpack_store_options.in_place`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_writer_replace_rows(
    writer: *mut numpack_writer,
    name: *const c_char,
    rows: *const numpack_rows,
    view: *const numpack_view,
) -> i32 {
    let work = |w: &mut Writer| {
        // SAFETY: the caller's promise.
        let name = unsafe { shell::required(name, "name") }?;
        // SAFETY: the caller's promise.
        let rows = unsafe { view::rows(rows) }?;
        // SAFETY: the caller's promise.
        let view = unsafe { view::view(view) }?;
        Ok(w.replace_rows(name, &rows.rows(), &view)?)
    };
    // SAFETY: the caller's promise.
    unsafe { change(writer, work) }
}

/// As `numpack_store_drop_rows`, seen after the commit.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_writer_drop_rows(
    writer: *mut numpack_writer,
    name: *const c_char,
    rows: *const numpack_rows,
    dropped: *mut u64,
) -> i32 {
    let work = |w: &mut Writer| {
        // SAFETY: the caller's promise.
        let name = unsafe { shell::required(name, "name") }?;
        // SAFETY: the caller's promise.
        let rows = unsafe { view::rows(rows) }?;
        let n = w.drop_rows(name, &rows.rows())?;
        // SAFETY: the caller's promise.
        unsafe { shell::put(dropped, n) };
        Ok(())
    };
    // SAFETY: the caller's promise.
    unsafe { change(writer, work) }
}

/// As `numpack_store_remove_arrays`, seen after the commit. If it fails, arrays before the one that
/// failed are removed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_writer_remove_arrays(
    writer: *mut numpack_writer,
    names: *const *const c_char,
    count: usize,
) -> i32 {
    let work = |w: &mut Writer| {
        // SAFETY: the caller's promise.
        let names = unsafe { shell::texts(names, count, "names") }?;
        Ok(names.iter().try_for_each(|name| w.remove_array(name))?)
    };
    // SAFETY: the caller's promise.
    unsafe { change(writer, work) }
}

/// As `numpack_store_rename_array`, seen after the commit.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_writer_rename_array(
    writer: *mut numpack_writer,
    from: *const c_char,
    to: *const c_char,
) -> i32 {
    let work = |w: &mut Writer| {
        // SAFETY: the caller's promise.
        let from = unsafe { shell::required(from, "from") }?;
        // SAFETY: the caller's promise.
        let to = unsafe { shell::required(to, "to") }?;
        Ok(w.rename_array(from, to)?)
    };
    // SAFETY: the caller's promise.
    unsafe { change(writer, work) }
}

/// As `numpack_store_adopt_array`, seen after the commit.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_writer_adopt_array(
    writer: *mut numpack_writer,
    name: *const c_char,
    file: *const c_char,
    dtype: i32,
    ndim: u32,
    row: *const u64,
    rows: *mut u64,
) -> i32 {
    let work = |w: &mut Writer| {
        // SAFETY: the caller's promise.
        let orphan = unsafe { Orphan::new(name, file, dtype, ndim, row) }?;
        let count = w.adopt_array(orphan.name, orphan.file, orphan.dtype, orphan.row)?;
        // SAFETY: the caller's promise.
        unsafe { shell::put(rows, count) };
        Ok(())
    };
    // SAFETY: the caller's promise.
    unsafe { change(writer, work) }
}

/// As `numpack_store_clone_array`, seen after the commit.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_writer_clone_array(
    writer: *mut numpack_writer,
    from: *const c_char,
    to: *const c_char,
) -> i32 {
    let work = |w: &mut Writer| {
        // SAFETY: the caller's promise.
        let from = unsafe { shell::required(from, "from") }?;
        // SAFETY: the caller's promise.
        let to = unsafe { shell::required(to, "to") }?;
        Ok(w.clone_array(from, to)?)
    };
    // SAFETY: the caller's promise.
    unsafe { change(writer, work) }
}

/// As `numpack_store_compact`, seen after the commit.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_writer_compact(
    writer: *mut numpack_writer,
    name: *const c_char,
    freed: *mut u64,
) -> i32 {
    let work = |w: &mut Writer| {
        // SAFETY: the caller's promise.
        let n = match unsafe { shell::optional(name, "name") }? {
            Some(name) => w.compact_array(name)?,
            None => w.compact()?,
        };
        // SAFETY: the caller's promise.
        unsafe { shell::put(freed, n) };
        Ok(())
    };
    // SAFETY: the caller's promise.
    unsafe { change(writer, work) }
}

/// As `numpack_store_reset`, seen after the commit.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_writer_reset(writer: *mut numpack_writer) -> i32 {
    let work = |w: &mut Writer| {
        w.clear();
        Ok(())
    };
    // SAFETY: the caller's promise.
    unsafe { change(writer, work) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::{NUMPACK_OK, NUMPACK_PANIC, NUMPACK_PARAMETER};
    use std::ffi::CString;
    use std::os::unix::ffi::OsStrExt;
    use std::ptr;

    /// What a panic has left half done cannot be committed.
    #[test]
    fn a_panic_gives_the_change_up() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("m.npk");
        let path = CString::new(target.as_os_str().as_bytes()).unwrap();
        let mut writer = ptr::null_mut();
        // SAFETY: a text and an output.
        let created = unsafe { numpack_writer_create(path.as_ptr(), ptr::null(), &raw mut writer) };
        assert_eq!(created, NUMPACK_OK);
        // SAFETY: a writer of our own.
        assert_eq!(unsafe { change(writer, |_| panic!("a test")) }, NUMPACK_PANIC);
        // SAFETY: as above.
        assert_eq!(unsafe { numpack_writer_reset(writer) }, NUMPACK_PARAMETER);
        // SAFETY: as above, and it is given up.
        let ended = unsafe { numpack_writer_commit(writer, None, ptr::null_mut()) };
        assert_eq!(ended, NUMPACK_PARAMETER);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
