//! The structs of `dlpack.h`.

use std::ffi::c_void;
use std::mem::offset_of;

/// `DLPackVersion`: which struct this is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(C)]
pub struct DLPackVersion {
    /// Another one is another layout, and not understood.
    pub major: u32,
    /// Another one is the same layout.
    pub minor: u32,
}

/// The version of what is exported.
pub const VERSION: DLPackVersion = DLPackVersion { major: 1, minor: 1 };

/// `DLDevice`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(C)]
pub struct DLDevice {
    /// A `DLDeviceType`: 1 is the memory of this process.
    pub device_type: i32,
    /// Which of several.
    pub device_id: i32,
}

/// `DLDataType`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(C)]
pub struct DLDataType {
    /// A `DLDataTypeCode`; see [`TypeCode`](crate::dtype::TypeCode).
    pub code: u8,
    /// Bits of one number, of both for a complex one.
    pub bits: u8,
    /// Numbers in an element.
    pub lanes: u16,
}

/// `DLTensor`: where the elements are. It owns nothing.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct DLTensor {
    /// The memory.
    pub data: *mut c_void,
    /// Where it is.
    pub device: DLDevice,
    /// How many dimensions.
    pub ndim: i32,
    /// The element type.
    pub dtype: DLDataType,
    /// `ndim` sizes.
    pub shape: *mut i64,
    /// `ndim` steps in elements; NULL for C order without gaps.
    pub strides: *mut i64,
    /// Where in the memory the first element is.
    pub byte_offset: u64,
}

/// `DLManagedTensor`: a tensor and how to give it back, as before version 1.
#[derive(Debug)]
#[repr(C)]
pub struct DLManagedTensor {
    /// The tensor.
    pub dl_tensor: DLTensor,
    /// The giver's.
    pub manager_ctx: *mut c_void,
    /// Called once by whoever took it; may be NULL.
    pub deleter: Option<unsafe extern "C" fn(*mut DLManagedTensor)>,
}

/// `DLManagedTensorVersioned`: the same with a version and flags.
#[derive(Debug)]
#[repr(C)]
pub struct DLManagedTensorVersioned {
    /// To be looked at first.
    pub version: DLPackVersion,
    /// The giver's.
    pub manager_ctx: *mut c_void,
    /// Called once by whoever took it; may be NULL.
    pub deleter: Option<unsafe extern "C" fn(*mut DLManagedTensorVersioned)>,
    /// `FLAG_*`.
    pub flags: u64,
    /// The tensor.
    pub dl_tensor: DLTensor,
}

/// `DLPACK_FLAG_BITMASK_READ_ONLY`.
pub const FLAG_READ_ONLY: u64 = 1;
/// `DLPACK_FLAG_BITMASK_IS_COPIED`: the memory is nobody else's.
pub const FLAG_IS_COPIED: u64 = 1 << 1;
/// `DLPACK_FLAG_BITMASK_IS_SUBBYTE_TYPE_PADDED`: elements of less than a byte have one each.
pub const FLAG_SUBBYTE_PADDED: u64 = 1 << 2;

/// `kDLCPU`, `kDLCUDAHost`, `kDLROCMHost`: memory that this process can read.
pub(super) const CPU: i32 = 1;
pub(super) const CUDA_HOST: i32 = 3;
pub(super) const ROCM_HOST: i32 = 11;

// As C compilers lay out dlpack.h where pointers have 64 bits.
const _: () = {
    assert!(size_of::<DLDevice>() == 8 && size_of::<DLDataType>() == 4);
    assert!(size_of::<DLTensor>() == 48 && align_of::<DLTensor>() == 8);
    assert!(offset_of!(DLTensor, device) == 8 && offset_of!(DLTensor, ndim) == 16);
    assert!(offset_of!(DLTensor, dtype) == 20 && offset_of!(DLTensor, shape) == 24);
    assert!(offset_of!(DLTensor, strides) == 32 && offset_of!(DLTensor, byte_offset) == 40);
    assert!(size_of::<DLManagedTensor>() == 64);
    assert!(offset_of!(DLManagedTensor, manager_ctx) == 48);
    assert!(offset_of!(DLManagedTensor, deleter) == 56);
    assert!(size_of::<DLManagedTensorVersioned>() == 80);
    assert!(offset_of!(DLManagedTensorVersioned, manager_ctx) == 8);
    assert!(offset_of!(DLManagedTensorVersioned, deleter) == 16);
    assert!(offset_of!(DLManagedTensorVersioned, flags) == 24);
    assert!(offset_of!(DLManagedTensorVersioned, dl_tensor) == 32);
};
