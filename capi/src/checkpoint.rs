//! Tensors in files: checkpoints of torch, and every other kind of file this library lists.

use std::collections::HashMap;
use std::ffi::{CString, c_char, c_void};
use std::ops::ControlFlow;
use std::ptr;
use std::sync::{Mutex, OnceLock, PoisonError};

use numpack_interop::{Error, Rows, TensorInfo, Tensors};
use torch_pickle::Text;

use crate::dtype;
use crate::handle::{self, Handle};
use crate::options::{self, numpack_warning_fn, warn};
use crate::shell::{self, guard, parameter};
use crate::structs::{self, Versioned};

/// A file with tensors in it, open for reading: a checkpoint of torch in whatever it is stored, a
/// `.safetensors`, `.npy` or `.npz` file, a store, or a package. Nothing found in it is executed.
/// Tensors are read when asked for.
#[allow(non_camel_case_types, reason = "the name C programs type")]
pub struct numpack_checkpoint {
    pub(crate) tensors: Tensors,
    list: Vec<Listed>,
    by_name: OnceLock<HashMap<Text, usize>>,
    /// By the number of the tensor: where it is listed first.
    pub(crate) by_tensor: HashMap<u32, usize>,
    format: CString,
    map: Mutex<Option<torch_pickle::Map>>,
}

impl Handle for numpack_checkpoint {
    const NAME: &str = "checkpoint";
}

/// A tensor, with its name as C can be pointed to.
struct Listed {
    info: TensorInfo,
    /// With a NUL at its end, and maybe some within.
    name: Box<[u8]>,
}

/// How `numpack_checkpoint_open` reads. Zero means the default of each.
#[allow(non_camel_case_types, reason = "the name C programs type")]
#[derive(Clone, Copy)]
#[repr(C)]
pub struct numpack_checkpoint_options {
    /// `sizeof(numpack_checkpoint_options)`.
    pub struct_size: u32,
    /// A `NUMPACK_CRC_*`.
    pub crc: i32,
}

/// What is said of one tensor. The caller sets `struct_size`, a call the rest; the pointers are
/// borrowed from the checkpoint.
#[allow(non_camel_case_types, reason = "the name C programs type")]
#[derive(Clone, Copy)]
#[repr(C)]
pub struct numpack_tensor_info {
    /// `sizeof(numpack_tensor_info)`.
    pub struct_size: u32,
    /// A `NUMPACK_DTYPE_*`.
    pub dtype: i32,
    /// The dotted path, which ends in NUL; empty for a tensor that is the whole object.
    pub name: *const c_char,
    /// Its length in bytes without that NUL. It is larger than `strlen(name)` if there is a NUL
    /// within.
    pub name_length: usize,
    /// `ndim` lengths.
    pub shape: *const u64,
    /// `ndim` steps in elements, in the storage.
    pub strides: *const u64,
    /// How many dimensions. 0: a single element.
    pub ndim: u32,
    /// The number of the storage: tensors of one number share memory.
    pub storage: u32,
    /// The first element in the storage, in elements.
    pub offset: u64,
    /// The size of the storage in bytes.
    pub storage_nbytes: u64,
    /// The size of the elements in C order in bytes: what `numpack_checkpoint_read` fills.
    pub nbytes: u64,
    /// The number of the tensor: the same under each of its names.
    pub tensor: u32,
    /// Not 0: autograd tracks it.
    pub requires_grad: i32,
    /// Not 0: it is a `torch.nn.Parameter`.
    pub parameter: i32,
    /// 0.
    pub reserved: i32,
}

// SAFETY: integers only, and `struct_size` first.
unsafe impl Versioned for numpack_checkpoint_options {
    const NAME: &str = "numpack_checkpoint_options";
    const ZERO: Self = numpack_checkpoint_options { struct_size: 0, crc: 0 };
}

// SAFETY: integers and raw pointers only, and `struct_size` first.
unsafe impl Versioned for numpack_tensor_info {
    const NAME: &str = "numpack_tensor_info";
    const ZERO: Self = numpack_tensor_info {
        struct_size: 0,
        dtype: 0,
        name: ptr::null(),
        name_length: 0,
        shape: ptr::null(),
        strides: ptr::null(),
        ndim: 0,
        storage: 0,
        offset: 0,
        storage_nbytes: 0,
        nbytes: 0,
        tensor: 0,
        requires_grad: 0,
        parameter: 0,
        reserved: 0,
    };
}

impl numpack_checkpoint {
    fn new(tensors: Tensors) -> Result<numpack_checkpoint, Error> {
        let infos = tensors.list()?;
        let mut by_tensor = HashMap::with_capacity(infos.len());
        for (i, info) in infos.iter().enumerate() {
            by_tensor.entry(info.id.0).or_insert(i);
        }
        let named = |info: TensorInfo| {
            let name = [info.name.as_bytes(), &[0]].concat().into_boxed_slice();
            Listed { info, name }
        };
        let format = shell::c_text(&tensors.summary().container);
        Ok(numpack_checkpoint {
            tensors,
            list: infos.into_iter().map(named).collect(),
            by_name: OnceLock::new(),
            by_tensor,
            format,
            map: Mutex::new(None),
        })
    }

    pub(crate) fn infos(&self) -> Vec<TensorInfo> {
        self.list.iter().map(|listed| listed.info.clone()).collect()
    }

    pub(crate) fn get(&self, index: usize) -> Result<&TensorInfo, Error> {
        self.listed(index).map(|listed| &listed.info)
    }

    fn listed(&self, index: usize) -> Result<&Listed, Error> {
        self.list.get(index).ok_or_else(|| {
            parameter(format!("index {index} is out of range, there are {}", self.list.len()))
        })
    }
}

/// Opens a file, or the folder of a store or of a distributed checkpoint, told apart by content:
/// what torch saves (zip archives, legacy streams, tar, TorchScript, `.pt2`, the index of a sharded
/// model), `.safetensors`, `.npy` and `.npz` files, NumPack stores and packages. The caller owns the
/// handle; `numpack_checkpoint_free` gives it back.
///
/// `options` may be NULL. Errors: `NUMPACK_IO`; `NUMPACK_FORMAT` for a damaged file;
/// `NUMPACK_UNSUPPORTED` for one of another kind, named in the message; `NUMPACK_LIMIT`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_checkpoint_open(
    path: *const c_char,
    options: *const numpack_checkpoint_options,
    checkpoint: *mut *mut numpack_checkpoint,
) -> i32 {
    guard(|| {
        // SAFETY: the caller's promise.
        let path = unsafe { shell::path(path, "path") }?;
        // SAFETY: the caller's promise.
        let o = unsafe { structs::read_or_zero(options) }?;
        let crc = options::crc(o.crc)?;
        handle::wanted(checkpoint)?;
        let opened = numpack_checkpoint::new(Tensors::open_with(path, crc)?)?;
        // SAFETY: not NULL; the caller vouches for the memory.
        unsafe { handle::give(checkpoint, opened) };
        Ok(())
    })
}

/// Shares a checkpoint: it comes back, and is to be freed once more. NULL is fine.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_checkpoint_retain(
    checkpoint: *const numpack_checkpoint,
) -> *mut numpack_checkpoint {
    // SAFETY: the caller's promise.
    unsafe { handle::retain(checkpoint) }
}

/// Gives a checkpoint back, and what it was asked for, maps too. NULL is fine.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_checkpoint_free(checkpoint: *mut numpack_checkpoint) {
    // SAFETY: the caller's promise.
    unsafe { handle::free(checkpoint) };
}

/// What kind of file it is, in words, such as `zip archive of torch, version 3`; NULL for NULL. The
/// text is borrowed from the checkpoint.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_checkpoint_get_format(
    checkpoint: *const numpack_checkpoint,
) -> *const c_char {
    // SAFETY: the caller's promise.
    let found = unsafe { handle::borrow(checkpoint) };
    found.map_or(ptr::null(), |checkpoint| checkpoint.format.as_ptr())
}

/// How many tensors are listed: one under several names counts several times. 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_checkpoint_count(checkpoint: *const numpack_checkpoint) -> usize {
    // SAFETY: the caller's promise.
    let found = unsafe { handle::borrow(checkpoint) };
    found.map_or(0, |checkpoint| checkpoint.list.len())
}

/// Says what there is of a tensor, by its place in the list, from 0. What `info` points to lives as
/// long as the checkpoint.
///
/// Errors: `NUMPACK_PARAMETER` for a place that is not there, or a wrong `info->struct_size`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_checkpoint_get_info(
    checkpoint: *const numpack_checkpoint,
    index: usize,
    info: *mut numpack_tensor_info,
) -> i32 {
    guard(|| {
        // SAFETY: the caller's promise.
        let checkpoint = unsafe { handle::borrow(checkpoint) }?;
        let Listed { info: found, name } = checkpoint.listed(index)?;
        // SAFETY: the caller's promise.
        let size = unsafe { structs::size(info.cast_const()) }?;
        let value = numpack_tensor_info {
            struct_size: size as u32,
            dtype: dtype::of_torch(found.dtype),
            name: name.as_ptr().cast(),
            name_length: found.name.len(),
            shape: found.shape.as_ptr(),
            strides: found.stride.as_ptr(),
            ndim: found.shape.len() as u32,
            storage: found.storage,
            offset: found.offset,
            storage_nbytes: found.storage_nbytes,
            nbytes: found.nbytes,
            tensor: found.id.0,
            requires_grad: i32::from(found.requires_grad),
            parameter: i32::from(found.parameter),
            reserved: 0,
        };
        // SAFETY: the caller vouches for `size` bytes, which have been found to be enough.
        unsafe { structs::write(info, size, value) };
        Ok(())
    })
}

/// Finds a tensor by its name: `index` takes its place in the list.
///
/// Errors: `NUMPACK_NOT_FOUND`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_checkpoint_find(
    checkpoint: *const numpack_checkpoint,
    name: *const c_char,
    index: *mut usize,
) -> i32 {
    guard(|| {
        // SAFETY: the caller's promise.
        let checkpoint = unsafe { handle::borrow(checkpoint) }?;
        // SAFETY: the caller's promise.
        let name = unsafe { shell::required(name, "name") }?;
        let by_name = checkpoint.by_name.get_or_init(|| {
            let names = checkpoint.list.iter().enumerate();
            names.map(|(i, listed)| (listed.info.name.clone(), i)).collect()
        });
        let found = match by_name.get(name) {
            Some(&found) => found,
            // Another way to say the same.
            None => {
                let missing = |_| numpack_format::Error::NoArray {
                    path: checkpoint.tensors.path().to_owned(),
                    name: name.to_owned(),
                };
                let id = checkpoint.tensors.find(name).map_err(missing)?.id;
                checkpoint.by_tensor.get(&id.0).copied().unwrap_or_default()
            }
        };
        // SAFETY: the caller's promise.
        unsafe { shell::put(index, found) };
        Ok(())
    })
}

/// Calls `warning` for each thing that was odd about the file so far, though it can be read.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_checkpoint_warnings(
    checkpoint: *const numpack_checkpoint,
    warning: numpack_warning_fn,
    user: *mut c_void,
) -> i32 {
    guard(|| {
        // SAFETY: the caller's promise.
        let checkpoint = unsafe { handle::borrow(checkpoint) }?;
        // SAFETY: the caller's promise.
        unsafe { warn(warning, user, &checkpoint.tensors.warnings()) };
        Ok(())
    })
}

/// Reads a tensor into `buffer`, whose `size` must be `numpack_tensor_info.nbytes`: its elements in
/// C order, little-endian, conjugation and negation resolved. Its checksum, where the file has one,
/// is compared the first time.
///
/// Errors of this and the following: `NUMPACK_PARAMETER` for a buffer of another size or rows that
/// are not there; `NUMPACK_FORMAT` for a wrong checksum; `NUMPACK_IO`; `NUMPACK_LIMIT` for a tensor
/// that shows far more elements than are stored. After an error the buffer may be filled in part.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_checkpoint_read(
    checkpoint: *const numpack_checkpoint,
    index: usize,
    buffer: *mut c_void,
    size: usize,
) -> i32 {
    guard(|| {
        // SAFETY: the caller's promise.
        let checkpoint = unsafe { handle::borrow(checkpoint) }?;
        // SAFETY: the caller's promise.
        let out = unsafe { shell::buffer(buffer, size) }?;
        checkpoint.tensors.read_into(checkpoint.get(index)?, out)
    })
}

/// The SHA-256 of what `numpack_checkpoint_read` gives, in 32 bytes at `digest`.
///
/// Errors: as there.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_checkpoint_sha256(
    checkpoint: *const numpack_checkpoint,
    index: usize,
    digest: *mut u8,
) -> i32 {
    guard(|| {
        // SAFETY: the caller's promise.
        let checkpoint = unsafe { handle::borrow(checkpoint) }?;
        let sum = checkpoint.tensors.sha256(checkpoint.get(index)?)?;
        // SAFETY: the caller's promise.
        unsafe { shell::put(digest.cast::<[u8; 32]>(), sum) };
        Ok(())
    })
}

/// Reads `count` rows from row `start` on; rows are the first dimension. `size` must be `count`
/// times the size of a row: `nbytes / shape[0]`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_checkpoint_read_rows(
    checkpoint: *const numpack_checkpoint,
    index: usize,
    start: u64,
    count: u64,
    buffer: *mut c_void,
    size: usize,
) -> i32 {
    guard(|| {
        // SAFETY: the caller's promise.
        let checkpoint = unsafe { handle::borrow(checkpoint) }?;
        // SAFETY: the caller's promise.
        let out = unsafe { shell::buffer(buffer, size) }?;
        let info = checkpoint.get(index)?;
        let rows = shell::range(start, count)?;
        let there = info.shape.first().copied().unwrap_or(0);
        let row_size = info.nbytes.checked_div(there).unwrap_or(0);
        if rows.end > there {
            return Err(parameter(format!("rows {rows:?} are not in {there} rows")));
        }
        if row_size.checked_mul(count) != Some(size as u64) {
            return Err(parameter(format!(
                "the buffer has {size} bytes, and {count} rows have {row_size} each"
            )));
        }
        let ends = [start, rows.end].map(i64::try_from);
        let [Ok(from), Ok(to)] = ends else { return Err(parameter("too many rows".to_owned())) };
        let mut at = 0;
        checkpoint.tensors.read_rows(info, &Rows::from(from..to), &mut |bytes| {
            out[at..at + bytes.len()].copy_from_slice(bytes);
            at += bytes.len();
            ControlFlow::Continue(())
        })
    })
}

/// Points to the bytes of a tensor in the file, mapped as memory: `data` takes where they are, at
/// any address, `nbytes` how many. They are read from the disk as they are touched, and must not
/// be written to. They stay until the checkpoint is freed. No checksum is compared. NULL for a
/// tensor without elements.
///
/// The caller answers for the file: while it is mapped, nobody may change or shorten it; touching
/// what is cut off ends the process by a signal, `SIGBUS`.
///
/// Errors: `NUMPACK_UNSUPPORTED` where the bytes in the file are not those that
/// `numpack_checkpoint_read` gives (a view that steps, a compressed or big-endian file, a tensor in
/// several pieces), or it is a store or a package: read it instead, or map an array of a store by
/// `numpack_array_map`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_checkpoint_map(
    checkpoint: *const numpack_checkpoint,
    index: usize,
    data: *mut *const c_void,
    nbytes: *mut usize,
) -> i32 {
    guard(|| {
        // SAFETY: the caller's promise.
        let checkpoint = unsafe { handle::borrow(checkpoint) }?;
        let id = checkpoint.get(index)?.id;
        let refused = || {
            Error::Unsupported {
            path: checkpoint.tensors.path().to_owned(),
            message: "tensors of a store or a package are not mapped here; read the tensor, or map its array".to_owned(),
        }
        };
        let source = checkpoint.tensors.checkpoint().ok_or_else(refused)?;
        let mut kept = checkpoint.map.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.is_none() {
            // SAFETY: the caller answers for the file, as the header says.
            *kept = Some(unsafe { source.map() }?);
        }
        let bytes = match &*kept {
            Some(map) => map.tensor(id)?,
            None => &[],
        };
        let start = if bytes.is_empty() { ptr::null() } else { bytes.as_ptr().cast() };
        // SAFETY: the caller's promise.
        unsafe { shell::put(data, start) };
        // SAFETY: the caller's promise.
        unsafe { shell::put(nbytes, bytes.len()) };
        Ok(())
    })
}
