//! Structs that begin with their own size, so that later versions can append fields.

use numpack_interop::Error;

use crate::shell::parameter;

/// A struct whose first field is its size, as the caller's header has it.
///
/// # Safety
/// `repr(C)`, first field `u32`, and any bytes a C program writes by the struct's declaration are
/// a valid value.
pub(crate) unsafe trait Versioned: Copy {
    /// What C programs call it.
    const NAME: &str;
    /// What it is where the caller gives none.
    const ZERO: Self;
}

/// A copy of the caller's struct; all zeros for NULL.
///
/// # Safety
/// `from` is NULL or points to at least 4 readable bytes, a `uint32_t`, and to as many as that
/// number says.
pub(crate) unsafe fn read_or_zero<T: Versioned>(from: *const T) -> Result<T, Error> {
    if from.is_null() {
        return Ok(T::ZERO);
    }
    // SAFETY: the caller's promise is the same.
    unsafe { read(from) }
}

/// A copy of the caller's struct, which must be there.
///
/// # Safety
/// As for [`read_or_zero`].
pub(crate) unsafe fn read<T: Versioned>(from: *const T) -> Result<T, Error> {
    // SAFETY: the caller's promise is the same.
    let size = unsafe { size(from) }?;
    // A caller built for a later version may ask for what this one does not know.
    for i in size_of::<T>()..size {
        // SAFETY: i is below `size`, for which the caller vouches.
        let at = unsafe { from.cast::<u8>().add(i) };
        // SAFETY: as above.
        if unsafe { at.read() } != 0 {
            return Err(parameter(format!(
                "{}: byte {i} is set, which this version of the library does not know",
                T::NAME
            )));
        }
    }
    // SAFETY: the caller vouches for `size` bytes, which are at least those of T, and any bytes
    // are a valid T.
    Ok(unsafe { from.read_unaligned() })
}

/// The size of the caller's struct, which is found to be large enough.
///
/// # Safety
/// As for [`read_or_zero`].
pub(crate) unsafe fn size<T: Versioned>(at: *const T) -> Result<usize, Error> {
    if at.is_null() {
        return Err(parameter(format!("{} is NULL", T::NAME)));
    }
    // SAFETY: the caller vouches for a u32 at the start.
    let size = unsafe { at.cast::<u32>().read_unaligned() } as usize;
    // Later versions append fields; this one has none that could be missing.
    if size < size_of::<T>() || size > 65536 {
        return Err(parameter(format!(
            "{}: struct_size is {size}, expected {}; set it to sizeof the struct",
            T::NAME,
            size_of::<T>()
        )));
    }
    Ok(size)
}

/// Fills the caller's struct. What a later version of the header has more becomes 0.
///
/// # Safety
/// `to` points to `size` writable bytes, which are no fewer than a `T` has; `value` has them as its
/// own size.
pub(crate) unsafe fn write<T: Versioned>(to: *mut T, size: usize, value: T) {
    // SAFETY: the caller vouches for so many bytes.
    unsafe { to.write_unaligned(value) };
    let rest = size - size_of::<T>();
    // SAFETY: right behind T, within the `size` bytes or at their end.
    let end = unsafe { to.add(1) };
    // SAFETY: these are the bytes that are left.
    unsafe { end.cast::<u8>().write_bytes(0, rest) };
}
