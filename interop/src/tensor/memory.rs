//! The memory under tensors: the one place that turns pointers into bytes.
//!
//! Many tensors may show one storage, from many threads. Whoever looks at its bytes, or changes
//! them, says so first; a change beside any other use is refused instead of waited for, because it
//! would be a fault of the program.
#![allow(unsafe_code)]

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::device::DeviceMemory;
use crate::{Error, Result};

/// Where the memory that this crate allocates begins: at a multiple of so many bytes, the width of
/// a cache line and of the widest vector registers.
pub const ALIGNMENT: usize = 64;

/// The bytes of one or many tensors. A clone is another handle on the same bytes; the last one
/// frees them, or gives them back to whoever lent them, on the thread where it goes.
#[derive(Clone)]
pub struct Storage(Arc<Inner>);

struct Inner {
    place: Place,
    writable: bool,
    uses: Uses,
}

enum Place {
    Host(Host),
    Device(Box<dyn DeviceMemory>),
}

/// Memory of this process.
struct Host {
    /// Not dangling if `len` is not 0.
    start: NonNull<u8>,
    len: usize,
    /// Dropped after the last use.
    _owner: Owner,
}

enum Owner {
    /// There are no bytes.
    Nobody,
    /// Somebody's value that has the bytes in it.
    Value { _kept: Box<dyn Send + Sync> },
    /// Our own.
    Allocated { _kept: Allocation },
    /// Memory lent to us.
    Lent { _kept: Release },
}

// SAFETY: the bytes are reached through `Uses` only, which lets either many look or one change,
// and what is dropped with them is Send; `Release` is only ever dropped, by one thread.
unsafe impl Send for Host {}
// SAFETY: as above.
unsafe impl Sync for Host {}

/// What tells the lender that the memory is no longer needed.
struct Release(Option<Box<dyn FnOnce() + Send>>);

impl Drop for Release {
    fn drop(&mut self) {
        if let Some(release) = self.0.take() {
            release();
        }
    }
}

struct Allocation {
    base: NonNull<u8>,
    layout: Layout,
}

impl Drop for Allocation {
    fn drop(&mut self) {
        // SAFETY: allocated with this layout in `Storage::zeros`, and freed once.
        unsafe { dealloc(self.base.as_ptr(), self.layout) };
    }
}

impl Storage {
    /// New memory, all zero, at a multiple of [`ALIGNMENT`].
    ///
    /// # Errors
    /// [`Error::OutOfMemory`].
    pub fn zeros(nbytes: usize) -> Result<Storage> {
        let out_of_memory = || Error::OutOfMemory { nbytes: nbytes as u64 };
        if nbytes == 0 {
            return Ok(Storage::host(nowhere(), 0, Owner::Nobody, true));
        }
        // Asked for with a small alignment, a large piece comes from the system zeroed and
        // untouched; with a large one it would be cleared byte by byte.
        let size = nbytes.checked_add(ALIGNMENT).ok_or_else(out_of_memory)?;
        let layout = Layout::from_size_align(size, 16).map_err(|_| out_of_memory())?;
        // SAFETY: the layout's size is not 0.
        let base = unsafe { alloc_zeroed(layout) };
        let base = NonNull::new(base).ok_or_else(out_of_memory)?;
        let allocation = Allocation { base, layout };
        let skip = base.as_ptr().align_offset(ALIGNMENT);
        // SAFETY: less than ALIGNMENT, which were allocated beyond `nbytes`.
        let start = unsafe { base.add(skip) };
        Ok(Storage::host(start, nbytes, Owner::Allocated { _kept: allocation }, true))
    }

    /// Memory inside a value that is kept as long as any tensor shows it: a map, a vector, another
    /// library's buffer. It can be read and not written.
    ///
    /// ```
    /// use numpack_interop::{Storage, Tensor, dtype::DType};
    /// let lent = Storage::from_owner(vec![1_u8, 2, 3]);
    /// let t = Tensor::new(lent, DType::UINT8, &[3], &[1], 0)?;
    /// assert_eq!(t.to_vec::<u8>()?, [1, 2, 3]);
    /// assert!(t.is_read_only());
    /// # Ok::<(), numpack_interop::Error>(())
    /// ```
    pub fn from_owner(owner: impl AsRef<[u8]> + Send + Sync + 'static) -> Storage {
        let kept = Box::new(owner);
        let bytes: &[u8] = (*kept).as_ref();
        let (start, len) = (NonNull::from(bytes).cast(), bytes.len());
        Storage::host(start, len, Owner::Value { _kept: kept }, false)
    }

    /// Memory that somebody else owns. `release` is called once, when the last tensor that shows it
    /// is gone, on whichever thread that is; where this fails, it is dropped and not called.
    ///
    /// # Safety
    /// Until `release` is called, the `nbytes` bytes at `start` are readable, and writable if
    /// `writable` says so. While a tensor of this library reads them, nobody writes them, and while
    /// one writes them, nobody else uses them: in another thread, or in this one while it holds
    /// [`Elements`](super::Elements). Tensors made of the same storage see to that among
    /// themselves; two storages of the same memory do not.
    ///
    /// # Errors
    /// [`Error::Parameter`] for NULL where there should be bytes, and for more than a process can
    /// have.
    pub unsafe fn from_raw(
        start: *mut u8,
        nbytes: usize,
        writable: bool,
        release: impl FnOnce() + Send + 'static,
    ) -> Result<Storage> {
        if start.is_null() && nbytes > 0 {
            let problem = format!("the data is NULL, and is to have {nbytes} bytes");
            return Err(Error::Parameter(problem));
        }
        if isize::try_from(nbytes).is_err() {
            return Err(Error::Parameter(format!("{nbytes} bytes do not fit the memory")));
        }
        let start = NonNull::new(start).unwrap_or_else(nowhere);
        let lent = Owner::Lent { _kept: Release(Some(Box::new(release))) };
        Ok(Storage::host(start, nbytes, lent, writable))
    }

    /// Memory of a device.
    pub fn on_device(memory: Box<dyn DeviceMemory>) -> Storage {
        Storage::new(Place::Device(memory), true)
    }

    /// Memory of this process. Without bytes, any place does, and one that suits every type is
    /// taken.
    fn host(start: NonNull<u8>, len: usize, owner: Owner, writable: bool) -> Storage {
        let start = if len == 0 { nowhere() } else { start };
        Storage::new(Place::Host(Host { start, len, _owner: owner }), writable)
    }

    fn new(place: Place, writable: bool) -> Storage {
        Storage(Arc::new(Inner { place, writable, uses: Uses::default() }))
    }

    /// How many bytes it has.
    pub fn nbytes(&self) -> usize {
        match &self.0.place {
            Place::Host(host) => host.len,
            Place::Device(memory) => memory.nbytes(),
        }
    }

    /// Whether its bytes must not be changed through a tensor.
    pub fn is_read_only(&self) -> bool {
        !self.0.writable
    }

    /// Whether both are the same bytes' handle.
    pub fn is_same(&self, other: &Storage) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// What tells it from every other as long as it lives.
    /// Whether anybody else holds this memory: another tensor that shows it, or a library that it was given to.
    pub fn is_shared(&self) -> bool {
        Arc::strong_count(&self.0) > 1
    }

    pub(crate) fn identity(&self) -> usize {
        Arc::as_ptr(&self.0).addr()
    }

    /// Whether a byte of one is a byte of the other: of one storage, or of two that were lent the
    /// same memory.
    pub(crate) fn overlaps(&self, other: &Storage) -> bool {
        let (Place::Host(a), Place::Host(b)) = (&self.0.place, &other.0.place) else {
            return self.is_same(other);
        };
        let (a0, b0) = (a.start.addr().get(), b.start.addr().get());
        self.is_same(other) || (a0 < b0 + b.len && b0 < a0 + a.len)
    }

    /// The device that has it, if it is not the memory of this process.
    pub fn device(&self) -> Option<&dyn DeviceMemory> {
        match &self.0.place {
            Place::Host(_) => None,
            Place::Device(memory) => Some(&**memory),
        }
    }

    /// Where the bytes are in this process. Reading and writing there is for code that knows who
    /// else does.
    ///
    /// # Errors
    /// [`Error::Sharing`] for those of a device.
    pub fn as_ptr(&self) -> Result<*mut u8> {
        Ok(self.bytes()?.start.as_ptr())
    }

    fn bytes(&self) -> Result<&Host> {
        match &self.0.place {
            Place::Host(host) => Ok(host),
            Place::Device(memory) => Err(Error::Sharing {
                problem: format!("the tensor is on {}", memory.device().name()),
                advice: "move it to the host with .cpu() first",
            }),
        }
    }

    /// The bytes, to look at.
    ///
    /// # Errors
    /// [`Error::InUse`] while they are written, [`Error::Sharing`] where they are on a device.
    pub(crate) fn read(&self) -> Result<Reading<'_>> {
        let host = self.bytes()?;
        let mark = self.0.uses.read()?;
        let bytes = NonNull::slice_from_raw_parts(host.start, host.len);
        Ok(Reading { bytes, mark })
    }

    /// The bytes, to change.
    ///
    /// # Errors
    /// [`Error::InUse`] while they are used, [`Error::Sharing`] where they are on a device or
    /// read-only.
    pub(crate) fn write(&self) -> Result<Writing<'_>> {
        let host = self.bytes()?;
        if self.is_read_only() {
            let problem = "the tensor's memory is read-only".to_owned();
            return Err(Error::Sharing { problem, advice: "clone it, and write to the copy" });
        }
        let mark = self.0.uses.write()?;
        let bytes = NonNull::slice_from_raw_parts(host.start, host.len);
        Ok(Writing { bytes, mark })
    }
}

impl fmt::Debug for Storage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("Storage");
        out.field("nbytes", &self.nbytes()).field("read_only", &self.is_read_only());
        if let Some(memory) = self.device() {
            out.field("device", &memory.device().name());
        }
        out.finish()
    }
}

/// A place for no bytes: aligned, and not NULL.
fn nowhere() -> NonNull<u8> {
    NonNull::<Aligned>::dangling().cast()
}

#[repr(align(64))]
struct Aligned;

const _: () = assert!(align_of::<Aligned>() == ALIGNMENT);

/// Who uses the bytes: so many readers, or one writer.
#[derive(Default)]
struct Uses(AtomicUsize);

/// In place of the count: somebody writes.
const WRITTEN: usize = usize::MAX;

impl Uses {
    fn read(&self) -> Result<ReadMark<'_>> {
        let more = |n: usize| if n >= WRITTEN - 1 { None } else { Some(n + 1) };
        match self.0.fetch_update(Ordering::Acquire, Ordering::Relaxed, more) {
            Ok(_) => Ok(ReadMark(self)),
            Err(_) => Err(Error::InUse("being written")),
        }
    }

    fn write(&self) -> Result<WriteMark<'_>> {
        match self.0.compare_exchange(0, WRITTEN, Ordering::Acquire, Ordering::Relaxed) {
            Ok(_) => Ok(WriteMark(self)),
            Err(WRITTEN) => Err(Error::InUse("being written")),
            Err(_) => Err(Error::InUse("being read")),
        }
    }
}

/// One reader, as long as it lives.
struct ReadMark<'a>(&'a Uses);

impl Drop for ReadMark<'_> {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Release);
    }
}

/// The writer, as long as it lives.
struct WriteMark<'a>(&'a Uses);

impl Drop for WriteMark<'_> {
    fn drop(&mut self) {
        self.0.0.store(0, Ordering::Release);
    }
}

/// Bytes of a storage that nobody changes meanwhile, or what they are seen as.
///
/// A pointer and no reference, as in std's `Ref`: a reference would have to be good until the
/// function returns that drops this, and the mark is gone before.
pub(crate) struct Reading<'a, T: ?Sized = [u8]> {
    bytes: NonNull<T>,
    mark: ReadMark<'a>,
}

impl<'a> Reading<'a> {
    /// Sees the bytes as something else.
    pub(crate) fn try_map<T: ?Sized>(
        self,
        see: impl FnOnce(&[u8]) -> Result<&T>,
    ) -> Result<Reading<'a, T>> {
        let seen = NonNull::from(see(&self)?);
        Ok(Reading { bytes: seen, mark: self.mark })
    }
}

impl<T: ?Sized> Deref for Reading<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: the bytes live as long as the storage, which the mark borrows, and as long as the
        // mark lives, nobody gets them mutably.
        unsafe { self.bytes.as_ref() }
    }
}

/// Bytes of a storage that nobody else uses meanwhile, or what they are seen as.
pub(crate) struct Writing<'a, T: ?Sized = [u8]> {
    bytes: NonNull<T>,
    mark: WriteMark<'a>,
}

impl<'a> Writing<'a> {
    /// Sees the bytes as something else.
    pub(crate) fn try_map<T: ?Sized>(
        mut self,
        see: impl FnOnce(&mut [u8]) -> Result<&mut T>,
    ) -> Result<Writing<'a, T>> {
        let seen = NonNull::from(see(&mut self)?);
        Ok(Writing { bytes: seen, mark: self.mark })
    }
}

impl<T: ?Sized> Deref for Writing<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: the bytes live as long as the storage, which the mark borrows, and as long as the
        // mark lives, nobody else gets them.
        unsafe { self.bytes.as_ref() }
    }
}

impl<T: ?Sized> DerefMut for Writing<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as for `deref`; the storage is writable, which was looked at when it was marked.
        unsafe { self.bytes.as_mut() }
    }
}
