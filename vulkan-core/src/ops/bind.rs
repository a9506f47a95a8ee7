//! What every dispatch keeps to: how much a kernel may see, where it may begin, how many invocations a
//! group has and how groups are counted.

use crate::core::record::Part;
use crate::devices::DeviceKind;
use crate::stream::Stream;
use crate::tensor::Tensor;

/// How many bytes of a tensor a kernel may see.
pub(crate) fn storage_range(stream: &Stream) -> u64 {
    let shared = stream.shared();
    let limit = shared.gpu.info().limits.max_storage_range;
    shared.options.max_storage_range.map_or(limit, |most| most.min(limit))
}

/// What is bound begins at a multiple of so many bytes, at which four words may be read at once.
pub(crate) fn alignment(stream: &Stream) -> u64 {
    stream.shared().gpu.info().limits.storage_alignment.max(16)
}

/// The part of a tensor's memory that a kernel is shown, and where in it the tensor begins, in elements.
pub(crate) fn bound(t: &Tensor) -> (Part<'_>, u32) {
    let align = alignment(t.stream());
    let size = t.dtype().size() as u64;
    let (first, end) = t.layout.extent();
    let start = first as u64 * size / align * align;
    let end = (end as u64 * size).next_multiple_of(16);
    (Part::read(&t.storage, start, end), (first as u64 - start / size) as u32)
}

/// Whether the device is given the kernels for programs on processors.
pub(crate) fn is_software(stream: &Stream) -> bool {
    let shared = stream.shared();
    shared.options.kernels_for.unwrap_or(shared.gpu.info().kind) == DeviceKind::Software
}

/// Whether reading an element may cost a software device, whose processor is this one, much more than
/// multiplying: so it was measured on a processor without AVX-512, where lavapipe puts each element into a
/// vector by way of memory. With it, kernels stay as they were measured to be fast elsewhere.
pub(crate) fn reads_slowly() -> bool {
    #[cfg(target_arch = "x86_64")]
    return !std::arch::is_x86_feature_detected!("avx512vl");
    #[cfg(not(target_arch = "x86_64"))]
    return true;
}

/// How many invocations a group has: so many, or as many as the device allows.
pub(crate) fn group_size(stream: &Stream, most: u32) -> u32 {
    let limits = &stream.shared().gpu.info().limits;
    limits.max_invocations.min(limits.max_group_size[0]).min(most)
}

/// So many groups, or some more: folded where one axis has not room for all.
pub(crate) fn grid(stream: &Stream, groups: u64) -> [u32; 3] {
    let shared = stream.shared();
    let most = shared.gpu.info().limits.max_groups[0];
    let most = shared.options.max_groups.map_or(most, |limit| limit.min(most));
    let x = groups.min(u64::from(most)).max(1);
    [x as u32, groups.div_ceil(x).max(1) as u32, 1]
}
