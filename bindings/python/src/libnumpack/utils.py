"""The names of `libnumpack.vulkan` where programs for grilly look for them."""

from .vulkan import (
    VulkanDevice, VulkanTensor, auto_convert_to_vulkan, convert_module_inputs, devices, ensure_vulkan_compatible,
    from_vulkan, is_available, to_vulkan, to_vulkan_batch, to_vulkan_gpu,
)

__all__ = [
    "VulkanDevice", "VulkanTensor", "auto_convert_to_vulkan", "convert_module_inputs", "devices",
    "ensure_vulkan_compatible", "from_vulkan", "is_available", "to_vulkan", "to_vulkan_batch", "to_vulkan_gpu",
]
