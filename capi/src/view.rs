//! What goes in: arrays in the caller's memory, and choices of rows.

use std::ffi::{c_char, c_void};
use std::ptr;

use numpack_format::{Rows, View};
use numpack_interop::{Borrowed, Error};

use crate::dtype;
use crate::shell::{self, guard, parameter};
use crate::structs::{self, Versioned};

/// Every row.
pub const NUMPACK_ROWS_ALL: i32 = 0;
/// One row, `start`.
pub const NUMPACK_ROWS_INDEX: i32 = 1;
/// Every `step`-th row from `start` to before `stop`, cut to the rows there are.
pub const NUMPACK_ROWS_SLICE: i32 = 2;
/// The rows of `list`, in its order; one may come several times.
pub const NUMPACK_ROWS_LIST: i32 = 3;
/// The rows whose byte in `mask` is not 0. There are as many bytes as rows.
pub const NUMPACK_ROWS_MASK: i32 = 4;

/// In place of a slice's `start` or `stop`: from or to the end, whichever `step` leads away from or
/// to. It is `INT64_MIN`.
pub const NUMPACK_ROWS_END: i64 = -9_223_372_036_854_775_807 - 1;

/// An array in the caller's memory, which is only borrowed during a call. Elements are
/// little-endian. `numpack_view_of` makes one in C order.
#[allow(non_camel_case_types, reason = "the name C programs type")]
#[derive(Clone, Copy)]
#[repr(C)]
pub struct numpack_view {
    /// `sizeof(numpack_view)`.
    pub struct_size: u32,
    /// A `NUMPACK_DTYPE_*`.
    pub dtype: i32,
    /// How many dimensions. 0: one element, no rows.
    pub ndim: u32,
    /// Must be 0.
    pub reserved: i32,
    /// `ndim` lengths; the first is the number of rows.
    pub shape: *const u64,
    /// `ndim` steps in bytes, also negative or 0: element `[i, j, ...]` is at byte
    /// `offset + i * strides[0] + j * strides[1] + ...` of `data`. NULL: C order without gaps, and
    /// the elements fill all of `data` from `offset` on.
    pub strides: *const i64,
    /// The memory.
    pub data: *const c_void,
    /// How many bytes there are at `data`. No other is read.
    pub nbytes: usize,
    /// Where in them the first element is.
    pub offset: usize,
}

/// A choice of rows of an array, counted without dropped ones. A negative number counts from the
/// end. The functions `numpack_rows_*` make one.
#[allow(non_camel_case_types, reason = "the name C programs type")]
#[derive(Clone, Copy)]
#[repr(C)]
pub struct numpack_rows {
    /// `sizeof(numpack_rows)`.
    pub struct_size: u32,
    /// A `NUMPACK_ROWS_*`, which says what of the rest counts.
    pub kind: i32,
    /// Index: the row. Slice: the first row.
    pub start: i64,
    /// Slice: the row after the last one.
    pub stop: i64,
    /// Slice: how far it is from one to the next, not 0; negative: backwards.
    pub step: i64,
    /// List: `count` rows.
    pub list: *const i64,
    /// Mask: `count` bytes.
    pub mask: *const u8,
    /// List, mask: how many.
    pub count: usize,
}

// SAFETY: integers and raw pointers only, and `struct_size` first.
unsafe impl Versioned for numpack_view {
    const NAME: &str = "numpack_view";
    const ZERO: Self = numpack_view {
        struct_size: 0,
        dtype: 0,
        ndim: 0,
        reserved: 0,
        shape: ptr::null(),
        strides: ptr::null(),
        data: ptr::null(),
        nbytes: 0,
        offset: 0,
    };
}

// SAFETY: as above.
unsafe impl Versioned for numpack_rows {
    const NAME: &str = "numpack_rows";
    const ZERO: Self = numpack_rows {
        struct_size: 0,
        kind: 0,
        start: 0,
        stop: 0,
        step: 0,
        list: ptr::null(),
        mask: ptr::null(),
        count: 0,
    };
}

/// A stride is read as what Rust counts memory in.
const _: () = assert!(size_of::<i64>() == size_of::<isize>());

/// The caller's array.
///
/// # Safety
/// `from` is NULL or points to a view that says the truth, and its memory stays as it is for `'a`.
pub(crate) unsafe fn view<'a>(from: *const numpack_view) -> Result<View<'a>, Error> {
    // SAFETY: the caller's promise.
    let v = unsafe { structs::read(from) }?;
    reserved(&v)?;
    let dtype = dtype::required(v.dtype)?;
    let ndim = v.ndim as usize;
    // SAFETY: the caller's promise.
    let shape = unsafe { shell::slice(v.shape, ndim, "shape") }?;
    // SAFETY: the caller's promise; any bytes are a valid u8.
    let data = unsafe { shell::slice(v.data.cast::<u8>(), v.nbytes, "data") }?;
    if !v.strides.is_null() {
        // SAFETY: the caller's promise; the two integers have the same size.
        let strides = unsafe { shell::slice(v.strides.cast::<isize>(), ndim, "strides") }?;
        return Ok(View::strided(dtype, shape, strides, data, v.offset));
    }
    match data.get(v.offset..) {
        Some(data) => Ok(View::new(dtype, shape, data)),
        None => Err(parameter(format!(
            "numpack_view: offset is {}, the data has {} bytes",
            v.offset, v.nbytes
        ))),
    }
}

/// The caller's arrays, with their names.
///
/// # Safety
/// `names` and `views` are NULL or point to `count` texts and views; the latter as for [`view`].
pub(crate) unsafe fn named<'a>(
    names: *const *const c_char,
    views: *const numpack_view,
    count: usize,
) -> Result<Vec<(&'a str, View<'a>)>, Error> {
    // SAFETY: the caller's promise.
    let names = unsafe { shell::texts(names, count, "names") }?;
    // SAFETY: the caller's promise.
    let views = unsafe { each(views, count) }?;
    let pair = |(name, at)| {
        // SAFETY: one of the caller's views.
        unsafe { view(at) }.map(|view| (name, view))
    };
    names.into_iter().zip(views).map(pair).collect()
}

/// The caller's tensors.
///
/// # Safety
/// As for [`named`].
pub(crate) unsafe fn tensors<'a>(
    views: *const numpack_view,
    count: usize,
) -> Result<Vec<Borrowed<'a>>, Error> {
    // SAFETY: the caller's promise.
    let views = unsafe { each(views, count) }?;
    // SAFETY: each is one of the caller's views.
    views.into_iter().map(|at| unsafe { tensor(at) }).collect()
}

/// A place that later versions may give a meaning.
pub(crate) fn reserved(v: &numpack_view) -> Result<(), Error> {
    match v.reserved {
        0 => Ok(()),
        _ => Err(parameter("numpack_view: reserved is not 0".to_owned())),
    }
}

/// The strides, if there are any.
///
/// # Safety
/// As for [`view`].
pub(crate) unsafe fn strides<'a>(v: &numpack_view) -> Result<Option<&'a [i64]>, Error> {
    if v.strides.is_null() {
        return Ok(None);
    }
    // SAFETY: the caller's promise.
    unsafe { shell::slice(v.strides, v.ndim as usize, "strides") }.map(Some)
}

/// One of them.
///
/// # Safety
/// As for [`view`].
pub(crate) unsafe fn tensor<'a>(from: *const numpack_view) -> Result<Borrowed<'a>, Error> {
    // SAFETY: the caller's promise.
    let v = unsafe { structs::read(from) }?;
    reserved(&v)?;
    let (dtype, ndim) = (dtype::required_torch(v.dtype)?, v.ndim as usize);
    // SAFETY: the caller's promise.
    let shape = unsafe { shell::slice(v.shape, ndim, "shape") }?;
    // SAFETY: the caller's promise; any bytes are a valid u8.
    let data = unsafe { shell::slice(v.data.cast::<u8>(), v.nbytes, "data") }?;
    // SAFETY: the caller's promise.
    let strides = unsafe { strides(&v) }?;
    Ok(Borrowed { dtype, shape, strides, data, offset: v.offset })
}

/// Where each of the caller's views is.
///
/// # Safety
/// `views` is NULL or points to `count` views.
unsafe fn each(
    views: *const numpack_view,
    count: usize,
) -> Result<Vec<*const numpack_view>, Error> {
    if count == 0 {
        return Ok(Vec::new());
    }
    // A header of a later version may have a longer struct.
    // SAFETY: there is one at least.
    let step = unsafe { structs::size(views) }?;
    let mut list = Vec::with_capacity(count);
    for i in 0..count {
        // SAFETY: i is below count, and the caller's structs are `step` bytes apart.
        let at = unsafe { views.byte_add(i * step) };
        // SAFETY: as above.
        if unsafe { structs::size(at) }? != step {
            return Err(parameter(format!("numpack_view: struct_size differs in views[{i}]")));
        }
        list.push(at);
    }
    Ok(list)
}

/// The caller's choice of rows.
pub(crate) enum Selection<'a> {
    Plain(Rows<'a>),
    /// C's truth values, as Rust's.
    Mask(Vec<bool>),
}

impl Selection<'_> {
    pub(crate) fn rows(&self) -> Rows<'_> {
        match self {
            Selection::Plain(rows) => *rows,
            Selection::Mask(mask) => Rows::Mask(mask),
        }
    }
}

/// The caller's choice of rows.
///
/// # Safety
/// `from` is NULL or points to a choice that says the truth, and its memory stays as it is for `'a`.
pub(crate) unsafe fn rows<'a>(from: *const numpack_rows) -> Result<Selection<'a>, Error> {
    // SAFETY: the caller's promise.
    let r = unsafe { structs::read(from) }?;
    let end = |i: i64| (i != NUMPACK_ROWS_END).then_some(i);
    Ok(Selection::Plain(match r.kind {
        NUMPACK_ROWS_ALL => Rows::All,
        NUMPACK_ROWS_INDEX => Rows::Index(r.start),
        NUMPACK_ROWS_SLICE => Rows::Slice { start: end(r.start), stop: end(r.stop), step: r.step },
        // SAFETY: the caller's promise.
        NUMPACK_ROWS_LIST => Rows::List(unsafe { shell::slice(r.list, r.count, "list") }?),
        NUMPACK_ROWS_MASK => {
            // SAFETY: the caller's promise.
            let mask = unsafe { shell::slice(r.mask, r.count, "mask") }?;
            return Ok(Selection::Mask(mask.iter().map(|&b| b != 0).collect()));
        }
        other => {
            let problem = format!("kind is {other}, which is none of NUMPACK_ROWS_*");
            return Err(parameter(problem));
        }
    }))
}

/// How many rows a choice has of an array of `total` rows: for the size of a buffer, times
/// `numpack_array_info.row_size`.
///
/// Errors: `NUMPACK_PARAMETER` for a row that is not there, or a mask of another length.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_rows_count(
    rows: *const numpack_rows,
    total: u64,
    count: *mut u64,
) -> i32 {
    guard(|| {
        // SAFETY: the caller's promise.
        let selection = unsafe { self::rows(rows) }?;
        let n = selection.rows().count(total)?;
        // SAFETY: the caller's promise.
        unsafe { shell::put(count, n) };
        Ok(())
    })
}
