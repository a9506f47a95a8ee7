//! Devices, such as GPUs: what there is, opening one, tensors on it.

use std::ffi::{CStr, CString, c_char};
use std::ptr;

use numpack_interop::Error;

use crate::handle::{self, Handle};
use crate::shell::{self, guard, parameter};
use crate::structs::{self, Versioned};
use crate::tensor::{self, numpack_tensor};
use crate::vulkan::{self, Opened};

/// Nothing is checked.
pub const NUMPACK_VALIDATION_OFF: i32 = 0;
/// That Vulkan is used as it is specified.
pub const NUMPACK_VALIDATION_CORE: i32 = 1;
/// That, and that every access is ordered.
pub const NUMPACK_VALIDATION_SYNCHRONIZATION: i32 = 2;

/// What is said of a device. The caller sets `struct_size`, a call the rest; the texts are borrowed
/// from the list or the device that was asked.
#[allow(non_camel_case_types, reason = "the name C programs type")]
#[derive(Clone, Copy)]
#[repr(C)]
pub struct numpack_device_info {
    /// `sizeof(numpack_device_info)`.
    pub struct_size: u32,
    /// Its place in the list: GPUs first, software last.
    pub index: u32,
    /// Its name, for people.
    pub name: *const c_char,
    /// `discrete`, `integrated`, `virtual`, `other`, or `software` for a program on the host.
    pub kind: *const c_char,
    /// The vendor's name, or its number.
    pub vendor: *const c_char,
    /// The UUID, by which it is known from start to start.
    pub uuid: *const c_char,
    /// The driver's name and version.
    pub driver: *const c_char,
    /// Why it cannot be used; NULL if it can.
    pub problem: *const c_char,
    /// Bytes of its memory.
    pub memory: u64,
    /// How many bytes of a tensor a kernel sees at once; larger tensors are cut.
    pub max_storage_range: u64,
    /// How many bytes a tensor may have.
    pub max_allocation: u64,
    /// Bytes that the threads of a group share.
    pub shared_memory: u32,
    /// How many threads a group may have.
    pub max_invocations: u32,
    /// How many threads go in step.
    pub subgroup_size: u32,
    /// 0.
    pub reserved: i32,
}

// SAFETY: integers and raw pointers only, and `struct_size` first.
unsafe impl Versioned for numpack_device_info {
    const NAME: &str = "numpack_device_info";
    const ZERO: Self = numpack_device_info {
        struct_size: 0,
        index: 0,
        name: ptr::null(),
        kind: ptr::null(),
        vendor: ptr::null(),
        uuid: ptr::null(),
        driver: ptr::null(),
        problem: ptr::null(),
        memory: 0,
        max_storage_range: 0,
        max_allocation: 0,
        shared_memory: 0,
        max_invocations: 0,
        subgroup_size: 0,
        reserved: 0,
    };
}

/// What a device holds and did since it was opened. The caller sets `struct_size`.
#[allow(non_camel_case_types, reason = "the name C programs type")]
#[derive(Clone, Copy)]
#[repr(C)]
pub struct numpack_device_usage {
    /// `sizeof(numpack_device_usage)`.
    pub struct_size: u32,
    /// 0.
    pub reserved: i32,
    /// Bytes of all tensors; views add nothing.
    pub live_bytes: u64,
    /// How many pieces of memory those tensors have.
    pub live_buffers: u64,
    /// The most that `live_bytes` ever was.
    pub peak_bytes: u64,
    /// Bytes in all buffers, those for later use too, until `numpack_device_trim`.
    pub reserved_bytes: u64,
    /// Bytes that went to the device.
    pub uploaded_bytes: u64,
    /// Bytes that came from it.
    pub downloaded_bytes: u64,
    /// How often work was handed to the driver.
    pub submits: u64,
    /// How many kernels were recorded.
    pub dispatches: u64,
    /// How many copies were recorded that need no kernel.
    pub copies: u64,
    /// How many barriers were recorded between them.
    pub barriers: u64,
    /// How many kernels were compiled, or taken from the cache.
    pub pipelines: u64,
}

// SAFETY: integers only, and `struct_size` first.
unsafe impl Versioned for numpack_device_usage {
    const NAME: &str = "numpack_device_usage";
    const ZERO: Self = numpack_device_usage {
        struct_size: 0,
        reserved: 0,
        live_bytes: 0,
        live_buffers: 0,
        peak_bytes: 0,
        reserved_bytes: 0,
        uploaded_bytes: 0,
        downloaded_bytes: 0,
        submits: 0,
        dispatches: 0,
        copies: 0,
        barriers: 0,
        pipelines: 0,
    };
}

/// How a device is opened. Zero means the default of each.
#[allow(non_camel_case_types, reason = "the name C programs type")]
#[derive(Clone, Copy)]
#[repr(C)]
pub struct numpack_device_options {
    /// `sizeof(numpack_device_options)`.
    pub struct_size: u32,
    /// A `NUMPACK_VALIDATION_*`: what the layers check, for tests; it costs much time.
    pub validation: i32,
    /// An index or a UUID, as `numpack_devices` has them. NULL: what the variable
    /// `NUMPACK_VULKAN_DEVICE` names, or else the first that can be used.
    pub select: *const c_char,
}

// SAFETY: integers and raw pointers only, and `struct_size` first.
unsafe impl Versioned for numpack_device_options {
    const NAME: &str = "numpack_device_options";
    const ZERO: Self =
        numpack_device_options { struct_size: 0, validation: 0, select: ptr::null() };
}

/// What is said of a device.
pub(crate) struct Described {
    pub(crate) index: u32,
    pub(crate) name: String,
    pub(crate) kind: &'static str,
    pub(crate) vendor: String,
    pub(crate) uuid: String,
    pub(crate) driver: String,
    pub(crate) problem: Option<String>,
    pub(crate) memory: u64,
    pub(crate) max_storage_range: u64,
    pub(crate) max_allocation: u64,
    pub(crate) shared_memory: u32,
    pub(crate) max_invocations: u32,
    pub(crate) subgroup_size: u32,
}

/// The same, with texts as C has them.
struct Info {
    said: Described,
    /// Name, kind, vendor, UUID and driver.
    texts: [CString; 5],
    problem: Option<CString>,
}

impl Info {
    fn new(said: Described) -> Info {
        let texts = [&said.name, said.kind, &said.vendor, &said.uuid, &said.driver];
        let texts = texts.map(shell::c_text);
        let problem = said.problem.as_deref().map(shell::c_text);
        Info { said, texts, problem }
    }

    /// Fills the caller's struct.
    ///
    /// # Safety
    /// `to` is NULL or points to at least 4 bytes, a `uint32_t`, and to as many as that number
    /// says.
    unsafe fn put(&self, to: *mut numpack_device_info) -> Result<(), Error> {
        // SAFETY: the caller's promise.
        let size = unsafe { structs::size(to.cast_const()) }?;
        let (said, [name, kind, vendor, uuid, driver]) = (&self.said, &self.texts);
        let value = numpack_device_info {
            struct_size: size as u32,
            index: said.index,
            name: name.as_ptr(),
            kind: kind.as_ptr(),
            vendor: vendor.as_ptr(),
            uuid: uuid.as_ptr(),
            driver: driver.as_ptr(),
            problem: self.problem.as_deref().map_or(ptr::null(), CStr::as_ptr),
            memory: said.memory,
            max_storage_range: said.max_storage_range,
            max_allocation: said.max_allocation,
            shared_memory: said.shared_memory,
            max_invocations: said.max_invocations,
            subgroup_size: said.subgroup_size,
            reserved: 0,
        };
        // SAFETY: the caller vouches for `size` bytes, which have been found to be enough.
        unsafe { structs::write(to, size, value) };
        Ok(())
    }
}

/// The devices of this machine.
#[allow(non_camel_case_types, reason = "the name C programs type")]
pub struct numpack_device_list {
    infos: Vec<Info>,
}

impl Handle for numpack_device_list {
    const NAME: &str = "list of devices";
}

/// An open device. It closes when the handles on it and its tensors are gone. Any number of threads
/// may use it.
#[allow(non_camel_case_types, reason = "the name C programs type")]
pub struct numpack_device {
    opened: Opened,
    info: Info,
    warning: Option<CString>,
}

impl Handle for numpack_device {
    const NAME: &str = "device";
}

/// Where tensors are that compute: on the caller's device, or the host for NULL.
///
/// # Safety
/// `device` is NULL or a handle.
pub(crate) unsafe fn place(device: *const numpack_device) -> numpack_nn::Device {
    // SAFETY: the caller's promise: the value lives, and nobody has it mutably.
    unsafe { device.as_ref() }.map_or(numpack_nn::Device::Cpu, |d| d.opened.place())
}

/// Lists the devices that Vulkan finds, also those that cannot be used, with the reason. The caller
/// owns the list; `numpack_device_list_free` gives it back.
///
/// Errors: `NUMPACK_DEVICE` without a Vulkan loader or driver, saying what to install; here and
/// below also if this library was built without Vulkan.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_devices(list: *mut *mut numpack_device_list) -> i32 {
    guard(|| {
        handle::wanted(list)?;
        let infos = vulkan::list()?.into_iter().map(Info::new).collect();
        // SAFETY: not NULL; the caller vouches for the memory.
        unsafe { handle::give(list, numpack_device_list { infos }) };
        Ok(())
    })
}

/// How many devices there are; 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_device_list_count(list: *const numpack_device_list) -> usize {
    // SAFETY: the caller's promise.
    unsafe { list.as_ref() }.map_or(0, |l| l.infos.len())
}

/// Says what the device at `index` is, from 0. What `info` points to lives as long as the list.
///
/// Errors: `NUMPACK_PARAMETER` for an index past the last one.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_device_list_get(
    list: *const numpack_device_list,
    index: usize,
    info: *mut numpack_device_info,
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

/// Shares a list: it comes back, and is to be freed once more. NULL is fine.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_device_list_retain(
    list: *const numpack_device_list,
) -> *mut numpack_device_list {
    // SAFETY: the caller's promise.
    unsafe { handle::retain(list) }
}

/// Gives a list back, and what it was asked for. NULL is fine.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_device_list_free(list: *mut numpack_device_list) {
    // SAFETY: the caller's promise.
    unsafe { handle::free(list) };
}

/// Opens a device, which the caller owns. `options` may be NULL.
///
/// Errors: `NUMPACK_DEVICE` where none can be used as asked, saying what there is;
/// `NUMPACK_PARAMETER` for a text that names none, also in the variable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_device_open(
    options: *const numpack_device_options,
    device: *mut *mut numpack_device,
) -> i32 {
    guard(|| {
        handle::wanted(device)?;
        // SAFETY: the caller's promise.
        let o = unsafe { structs::read_or_zero(options) }?;
        // SAFETY: the caller's promise.
        let select = unsafe { shell::optional(o.select, "select") }?;
        let opened = Opened::open(select, o.validation)?;
        let info = Info::new(opened.describe());
        let warning = opened.warning().as_deref().map(shell::c_text);
        // SAFETY: not NULL; the caller vouches for the memory.
        unsafe { handle::give(device, numpack_device { opened, info, warning }) };
        Ok(())
    })
}

/// Shares a device handle: it comes back, and is to be freed once more. NULL is fine.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_device_retain(
    device: *const numpack_device,
) -> *mut numpack_device {
    // SAFETY: the caller's promise.
    unsafe { handle::retain(device) }
}

/// Gives a device back; it stays open as long as it has tensors. NULL is fine.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_device_free(device: *mut numpack_device) {
    // SAFETY: the caller's promise.
    unsafe { handle::free(device) };
}

/// Says what a device is. What `info` points to lives as long as the device.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_device_get_info(
    device: *const numpack_device,
    info: *mut numpack_device_info,
) -> i32 {
    guard(|| {
        // SAFETY: the caller's promise.
        let device = unsafe { handle::borrow(device) }?;
        // SAFETY: the caller's promise.
        unsafe { device.info.put(info) }
    })
}

/// What a person should know who uses the device, such as that it is no GPU, in one line that lives
/// as long as the device: `warning` takes NULL if there is nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_device_get_warning(
    device: *const numpack_device,
    warning: *mut *const c_char,
) -> i32 {
    guard(|| {
        // SAFETY: the caller's promise.
        let device = unsafe { handle::borrow(device) }?;
        let text = device.warning.as_deref().map_or(ptr::null(), CStr::as_ptr);
        // SAFETY: the caller's promise.
        unsafe { shell::put(warning, text) };
        Ok(())
    })
}

/// Says what a device holds and did since it was opened.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_device_get_usage(
    device: *const numpack_device,
    usage: *mut numpack_device_usage,
) -> i32 {
    guard(|| {
        // SAFETY: the caller's promise.
        let device = unsafe { handle::borrow(device) }?;
        // SAFETY: the caller's promise.
        let size = unsafe { structs::size(usage.cast_const()) }?;
        let found = numpack_device_usage { struct_size: size as u32, ..device.opened.usage() };
        // SAFETY: the caller vouches for so many bytes.
        unsafe { structs::write(usage, size, found) };
        Ok(())
    })
}

/// Waits until all that was asked of a device is done. Nothing else waits, but what reads elements.
///
/// Errors: `NUMPACK_DEVICE` if the device was lost; `NUMPACK_INDEX` for an index among those
/// that were computed with since the last wait that led nowhere.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_device_synchronize(device: *const numpack_device) -> i32 {
    guard(|| {
        // SAFETY: the caller's promise.
        unsafe { handle::borrow(device) }?.opened.synchronize()
    })
}

/// Gives memory back to the system that was kept for the next tensors.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_device_trim(device: *const numpack_device) -> i32 {
    guard(|| {
        // SAFETY: the caller's promise.
        unsafe { handle::borrow(device) }?.opened.trim();
        Ok(())
    })
}

/// A copy of a tensor on a device; the same memory if it is there already. `numpack_tensor_cpu` is
/// the way back.
///
/// Errors: `NUMPACK_DEVICE`; `NUMPACK_OUT_OF_MEMORY`; `NUMPACK_IN_USE`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_tensor_to_device(
    tensor: *const numpack_tensor,
    device: *const numpack_device,
    there: *mut *mut numpack_tensor,
) -> i32 {
    guard(|| {
        // SAFETY: the caller's promise.
        let tensor = &unsafe { handle::borrow(tensor) }?.tensor;
        // SAFETY: the caller's promise.
        let device = unsafe { handle::borrow(device) }?;
        handle::wanted(there)?;
        let new = device.opened.upload(tensor)?;
        // SAFETY: not NULL; the caller vouches for the memory.
        unsafe { tensor::give(there, new) };
        Ok(())
    })
}
