//! Status codes, and the message of the last error.

use std::cell::{Cell, RefCell};
use std::error::Error as _;
use std::ffi::c_char;
use std::io;

use numpack_interop::Error;

/// Done.
pub const NUMPACK_OK: i32 = 0;
/// The system refused or the disk failed: not found, no permission, disk full.
pub const NUMPACK_IO: i32 = 1;
/// A file is damaged or not what it should be.
pub const NUMPACK_FORMAT: i32 = 2;
/// A file is sound, but of a kind or with a feature that is not read.
pub const NUMPACK_UNSUPPORTED: i32 = 3;
/// An argument cannot be: NULL, not UTF-8, an unknown constant, a row that is not there, a buffer
/// of another size, a key or name that a conversion does not find.
pub const NUMPACK_PARAMETER: i32 = 4;
/// A file asks for more than the limits allow.
pub const NUMPACK_LIMIT: i32 = 5;
/// A callback asked to stop. The output is as it was before.
pub const NUMPACK_CANCELLED: i32 = 6;
/// The output is there already and may not be replaced.
pub const NUMPACK_EXISTS: i32 = 7;
/// Another writer holds the store.
pub const NUMPACK_LOCKED: i32 = 8;
/// A fault of the library itself was caught. Please report it; the process may go on.
pub const NUMPACK_PANIC: i32 = 9;
/// A store or package holds no array of that name.
pub const NUMPACK_NOT_FOUND: i32 = 10;
/// Somebody else changed or replaced the store or file meanwhile. Open it again.
pub const NUMPACK_CHANGED: i32 = 11;
/// A forked child used a handle of its parent to change a store. Open the store in the child.
pub const NUMPACK_FORKED: i32 = 12;
/// A sync failed before, so what was written since the one before it may be lost. Open the store
/// again and verify it.
pub const NUMPACK_POISONED: i32 = 13;
/// There is no store at the path: nothing, or something else.
pub const NUMPACK_NOT_A_STORE: i32 = 14;
/// Memory cannot be shared or written as asked: it is read-only, on a device, in another byte order
/// or has strides that stand against it, or its gradient is wanted. Of tensors that compute: they are
/// on two devices, or a rule of gradients is broken. The message says what to do.
pub const NUMPACK_SHARING: i32 = 15;
/// An element type is not possible here. The message says what to do.
pub const NUMPACK_TYPE: i32 = 16;
/// A tensor's memory is being written by another thread, or used while it is to be written.
pub const NUMPACK_IN_USE: i32 = 17;
/// There is not so much memory, on the host or on a device.
pub const NUMPACK_OUT_OF_MEMORY: i32 = 18;
/// A device refused or failed.
pub const NUMPACK_DEVICE: i32 = 19;
/// One of the indices that a tensor holds leads nowhere, such as a class, or a row of an embedding.
pub const NUMPACK_INDEX: i32 = 20;

thread_local! {
    static LAST: RefCell<String> = const { RefCell::new(String::new()) };
    static LAST_OS_ERROR: Cell<i32> = const { Cell::new(0) };
}

/// What the functions that look back will say: a message, and the system's number behind it or 0.
pub(crate) fn set_last(message: String, os_error: i32) {
    LAST.with_borrow_mut(|last| *last = message);
    LAST_OS_ERROR.set(os_error);
}

/// The operating system's number for what went wrong, or 0 where it was not asked.
pub(crate) fn os_error(error: &Error) -> i32 {
    if let Error::NumPack(numpack_format::Error::NotAStore { path, .. }) = error {
        // What stands against opening a folder there, if that is the reason.
        return std::fs::read_dir(path).err().map_or(0, |e| number(&e));
    }
    let mut source = error.source();
    while let Some(e) = source {
        if let Some(e) = e.downcast_ref::<io::Error>() {
            return number(e);
        }
        source = e.source();
    }
    0
}

/// Of an error that has lost its number on the way, the one that means the same.
fn number(e: &io::Error) -> i32 {
    use io::ErrorKind as K;
    let meant = |&n: &i32| io::Error::from_raw_os_error(n).kind() == e.kind();
    e.raw_os_error().unwrap_or_else(|| match e.kind() {
        // From the last to the first, since EACCES says more than EPERM.
        K::NotFound
        | K::PermissionDenied
        | K::AlreadyExists
        | K::NotADirectory
        | K::IsADirectory
        | K::StorageFull
        | K::QuotaExceeded
        | K::ReadOnlyFilesystem
        | K::OutOfMemory => (1..=133).rev().find(meant).unwrap_or(0),
        _ => 0,
    })
}

pub(crate) fn code(error: &Error) -> i32 {
    use numpack_format::Error as N;
    use torch_pickle::Error as T;
    match error {
        Error::Io { .. } | Error::Torch(T::Io { .. }) | Error::NumPack(N::Io { .. }) => NUMPACK_IO,
        Error::Torch(T::Unsupported { .. })
        | Error::NumPack(N::Unsupported { .. })
        | Error::Unsupported { .. }
        | Error::Shared { .. } => NUMPACK_UNSUPPORTED,
        Error::Torch(T::Parameter { .. })
        | Error::NumPack(N::Parameter { .. })
        | Error::Name { .. }
        | Error::Parameter(_) => NUMPACK_PARAMETER,
        Error::Torch(T::Limit { .. }) | Error::NumPack(N::Limit { .. }) => NUMPACK_LIMIT,
        Error::Cancelled | Error::Torch(T::Cancelled { .. }) => NUMPACK_CANCELLED,
        Error::Exists { .. } | Error::NumPack(N::Exists { .. }) => NUMPACK_EXISTS,
        Error::NumPack(N::Locked { .. }) => NUMPACK_LOCKED,
        Error::NumPack(N::NoArray { .. }) => NUMPACK_NOT_FOUND,
        Error::NumPack(N::Changed { .. }) => NUMPACK_CHANGED,
        Error::NumPack(N::Forked { .. }) => NUMPACK_FORKED,
        Error::NumPack(N::Poisoned { .. }) => NUMPACK_POISONED,
        Error::NumPack(N::NotAStore { .. }) => NUMPACK_NOT_A_STORE,
        Error::Sharing { .. } => NUMPACK_SHARING,
        Error::Type { .. } => NUMPACK_TYPE,
        Error::InUse(_) => NUMPACK_IN_USE,
        Error::OutOfMemory { .. } | Error::DeviceMemory { .. } => NUMPACK_OUT_OF_MEMORY,
        Error::Device { .. } => NUMPACK_DEVICE,
        Error::Index(_) => NUMPACK_INDEX,
        // A damaged file.
        _ => NUMPACK_FORMAT,
    }
}

/// Copies the message of the last call on this thread that returned a status: why it failed, or
/// nothing after a success.
///
/// Writes at most `size` bytes to `buffer`, the last of them NUL, and returns the length of the
/// whole message without its NUL. With `buffer` NULL or `size` 0 it only returns the length.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_last_error(buffer: *mut c_char, size: usize) -> usize {
    LAST.with_borrow(|last| {
        if !buffer.is_null() && size > 0 {
            // Cut between characters, never within one.
            let mut n = last.len().min(size - 1);
            while !last.is_char_boundary(n) {
                n -= 1;
            }
            // SAFETY: n is at most size - 1, the caller vouches for size bytes at `buffer`, and
            // the message is memory of our own that cannot overlap them.
            unsafe { std::ptr::copy_nonoverlapping(last.as_ptr().cast(), buffer, n) };
            // SAFETY: n is at most size - 1.
            let end = unsafe { buffer.add(n) };
            // SAFETY: `end` is one of the size bytes.
            unsafe { end.write(0) };
        }
        last.len()
    })
}

/// The operating system's error number (`errno`) behind that message, such as `ENOENT` where a file
/// is not there; 0 after a success, and where it was not the system that refused. There is one after
/// `NUMPACK_IO` as a rule, and after `NUMPACK_NOT_A_STORE` where no folder can be opened at the path.
#[unsafe(no_mangle)]
pub extern "C" fn numpack_last_os_error() -> i32 {
    LAST_OS_ERROR.get()
}
