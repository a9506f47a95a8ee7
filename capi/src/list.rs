//! What arrays a store or a package holds.

use std::ffi::{CStr, CString, c_char, c_void};
use std::ptr;

use numpack_format::ArrayInfo;

use crate::handle::{self, Handle};
use crate::options::{numpack_warning_fn, warn};
use crate::shell::{self, guard, parameter};
use crate::store::numpack_store;
use crate::structs::{self, Versioned};

/// What is said of one array. The caller sets `struct_size`, a call the rest; the pointers are
/// borrowed from the list or the array that was asked.
#[allow(non_camel_case_types, reason = "the name C programs type")]
#[derive(Clone, Copy)]
#[repr(C)]
pub struct numpack_array_info {
    /// `sizeof(numpack_array_info)`.
    pub struct_size: u32,
    /// A `NUMPACK_DTYPE_*`: the type of the stored elements.
    pub dtype: i32,
    /// The name, which ends in NUL.
    pub name: *const c_char,
    /// Its length in bytes without that NUL. It is larger than `strlen(name)` if there is a NUL
    /// within: such an array can be listed, but not named in a call.
    pub name_length: usize,
    /// What the elements stand for where that is not `dtype`, such as `bfloat16`; else NULL.
    pub logical_dtype: *const c_char,
    /// `ndim` lengths, without dropped rows.
    pub shape: *const u64,
    /// How many dimensions. 0: a single element.
    pub ndim: u32,
    /// Not 0: the array is a part of something, such as the storage behind several tensors of a
    /// checkpoint, and was no array of its own there.
    pub hidden: i32,
    /// The number of rows, which is `shape[0]`; 1 for an array of 0 dimensions.
    pub rows: u64,
    /// The size of a row in bytes.
    pub row_size: u64,
    /// The size of all rows in bytes.
    pub nbytes: u64,
    /// How many rows are on the disk: with those that were dropped.
    pub stored_rows: u64,
    /// When it was last changed, in microseconds since 1970.
    pub modified_micros: i64,
}

// SAFETY: integers and raw pointers only, and `struct_size` first.
unsafe impl Versioned for numpack_array_info {
    const NAME: &str = "numpack_array_info";
    const ZERO: Self = numpack_array_info {
        struct_size: 0,
        dtype: 0,
        name: ptr::null(),
        name_length: 0,
        logical_dtype: ptr::null(),
        shape: ptr::null(),
        ndim: 0,
        hidden: 0,
        rows: 0,
        row_size: 0,
        nbytes: 0,
        stored_rows: 0,
        modified_micros: 0,
    };
}

/// What is said of one array, in memory that C can be pointed to.
pub(crate) struct Info {
    info: ArrayInfo,
    /// With a NUL at its end, and maybe some within.
    name: Box<[u8]>,
    logical: Option<CString>,
}

impl Info {
    pub(crate) fn new(info: &ArrayInfo) -> Info {
        let name = [info.name.as_bytes(), &[0]].concat().into_boxed_slice();
        let logical = info.note.as_ref().and_then(|n| n.dtype.as_deref()).map(shell::c_text);
        Info { info: info.clone(), name, logical }
    }

    /// Fills the caller's struct.
    ///
    /// # Safety
    /// `to` is NULL or points to at least 4 bytes, a `uint32_t`, and to as many as that number
    /// says.
    pub(crate) unsafe fn put(
        &self,
        to: *mut numpack_array_info,
    ) -> Result<(), numpack_interop::Error> {
        // SAFETY: the caller's promise.
        let size = unsafe { structs::size(to.cast_const()) }?;
        let info = &self.info;
        let shape = if info.is_scalar() { &[] } else { &info.shape[..] };
        let value = numpack_array_info {
            struct_size: size as u32,
            dtype: i32::from(info.dtype.code()),
            name: self.name.as_ptr().cast(),
            name_length: info.name.len(),
            logical_dtype: self.logical.as_deref().map_or(ptr::null(), CStr::as_ptr),
            shape: shape.as_ptr(),
            ndim: shape.len() as u32,
            hidden: i32::from(info.note.as_ref().is_some_and(|n| n.hidden)),
            rows: info.rows(),
            row_size: info.row_size(),
            nbytes: info.nbytes(),
            stored_rows: info.stored_rows,
            modified_micros: info.modified_micros,
        };
        // SAFETY: the caller vouches for `size` bytes, which have been found to be enough.
        unsafe { structs::write(to, size, value) };
        Ok(())
    }
}

/// The arrays of a store or a package in one state of it, in their order.
#[allow(non_camel_case_types, reason = "the name C programs type")]
pub struct numpack_list {
    infos: Vec<Info>,
    /// Their positions, by name.
    sorted: Vec<usize>,
    warnings: Vec<String>,
}

impl Handle for numpack_list {
    const NAME: &str = "list";
}

impl numpack_list {
    pub(crate) fn new(arrays: &[ArrayInfo], warnings: &[String]) -> numpack_list {
        let mut sorted: Vec<usize> = (0..arrays.len()).collect();
        sorted.sort_unstable_by_key(|&i| &arrays[i].name);
        let infos = arrays.iter().map(Info::new).collect();
        numpack_list { infos, sorted, warnings: warnings.to_vec() }
    }
}

/// Lists the arrays of a store as it is now, all in one state of it. The caller owns the list;
/// `numpack_list_free` gives it back. It does not change with the store.
///
/// Errors: `NUMPACK_FORMAT` if the store is damaged, `NUMPACK_IO`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_store_list(
    store: *const numpack_store,
    list: *mut *mut numpack_list,
) -> i32 {
    guard(|| {
        // SAFETY: the caller's promise.
        let store = unsafe { handle::borrow(store) }?;
        handle::wanted(list)?;
        let state = store.store.listed()?;
        let value = numpack_list::new(state.arrays()?, state.warnings());
        // SAFETY: not NULL; the caller vouches for the memory.
        unsafe { handle::give(list, value) };
        Ok(())
    })
}

/// How many arrays there are; 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_list_count(list: *const numpack_list) -> usize {
    // SAFETY: the caller's promise.
    unsafe { list.as_ref() }.map_or(0, |l| l.infos.len())
}

/// Says what there is of the array at `index`, from 0. What `info` points to lives as long as the
/// list.
///
/// Errors: `NUMPACK_PARAMETER` for an index past the last one, or a wrong `info->struct_size`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_list_get(
    list: *const numpack_list,
    index: usize,
    info: *mut numpack_array_info,
) -> i32 {
    guard(|| {
        // SAFETY: the caller's promise.
        let list = unsafe { handle::borrow(list) }?;
        let found = list.infos.get(index).ok_or_else(|| {
            parameter(format!("index {index} is out of range, there are {}", list.infos.len()))
        })?;
        // SAFETY: the caller's promise.
        unsafe { found.put(info) }
    })
}

/// Finds an array by its name: `index` takes its place in the list.
///
/// Errors: `NUMPACK_NOT_FOUND`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_list_find(
    list: *const numpack_list,
    name: *const c_char,
    index: *mut usize,
) -> i32 {
    guard(|| {
        // SAFETY: the caller's promise.
        let list = unsafe { handle::borrow(list) }?;
        // SAFETY: the caller's promise.
        let name = unsafe { shell::required(name, "name") }?;
        let found = list.sorted.binary_search_by_key(&name, |&i| &list.infos[i].info.name);
        let missing =
            |_| numpack_format::Error::NoArray { path: "the list".into(), name: name.to_owned() };
        let found = list.sorted[found.map_err(missing)?];
        // SAFETY: the caller's promise.
        unsafe { shell::put(index, found) };
        Ok(())
    })
}

/// Calls `warning` for each thing that a reader should know though the arrays can be read, such as
/// that what the store knew of their logical types is lost.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_list_warnings(
    list: *const numpack_list,
    warning: numpack_warning_fn,
    user: *mut c_void,
) -> i32 {
    guard(|| {
        // SAFETY: the caller's promise.
        let list = unsafe { handle::borrow(list) }?;
        // SAFETY: the caller's promise.
        unsafe { warn(warning, user, &list.warnings) };
        Ok(())
    })
}

/// Shares a list: it comes back, and is to be freed once more. NULL is fine.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_list_retain(list: *const numpack_list) -> *mut numpack_list {
    // SAFETY: the caller's promise.
    unsafe { handle::retain(list) }
}

/// Gives a list back, and what it was asked for. NULL is fine.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_list_free(list: *mut numpack_list) {
    // SAFETY: the caller's promise.
    unsafe { handle::free(list) };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::{NUMPACK_NOT_FOUND, NUMPACK_OK};
    use numpack_format::{DType, Store, View, Writer};

    /// A name that C cannot say is listed whole, and not taken for a shorter one.
    #[test]
    fn a_name_with_a_nul() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.npk");
        let mut writer = Writer::create(&path).unwrap();
        writer.save("a\0b", &View::new(DType::U8, &[1], &[7])).unwrap();
        writer.commit().unwrap();
        let store = Store::open(&path).unwrap();
        let list = numpack_list::new(store.arrays().unwrap(), &[]);
        let size = size_of::<numpack_array_info>() as u32;
        let mut info = numpack_array_info { struct_size: size, ..numpack_array_info::ZERO };
        // SAFETY: a list and an info of our own.
        assert_eq!(unsafe { numpack_list_get(&raw const list, 0, &raw mut info) }, NUMPACK_OK);
        assert_eq!(info.name_length, 3);
        // SAFETY: the name ends in NUL, after the one within.
        let name = unsafe { CStr::from_ptr(info.name) };
        assert_eq!(name, c"a");
        // SAFETY: a list and a text of our own.
        let found = unsafe { numpack_list_find(&raw const list, info.name, ptr::null_mut()) };
        assert_eq!(found, NUMPACK_NOT_FOUND);
    }
}
