"""Tensors: elements of one type in the memory of this process or on a Vulkan device, with gradients.

| module | holds |
|---|---|
| `core` | `Tensor`: what it is, where its elements are, gradients, moving |
| `values` | elements as arrays and numbers, and for other libraries |
| `pointwise` | functions of elements, operators |
| `reduction` | sums and the like, products of matrices |
| `shape` | views, indexing, joining |
| `size` | `Size`, and the memory that a tensor shows |
| `create` | new tensors: of NumPy arrays, lists, numbers, other libraries' tensors |
| `exchange` | memory shared with NumPy and, by DLPack, with others |
| `grad` | whether gradients are tracked |
| `text` | how a tensor is shown |
"""

from .core import Tensor
from .create import (
    arange, as_tensor, empty, from_dlpack, from_numpy, full, full_like, manual_seed, ones, ones_like, rand, randn,
    tensor, zeros, zeros_like,
)
from .grad import enable_grad, is_grad_enabled, no_grad, set_grad_enabled
from .reduction import matmul
from .shape import cat, stack, where
from .size import Size

__all__ = [
    "Size", "Tensor", "arange", "as_tensor", "cat", "empty", "enable_grad", "from_dlpack", "from_numpy", "full",
    "full_like", "is_grad_enabled", "manual_seed", "matmul", "no_grad", "ones", "ones_like", "rand", "randn",
    "set_grad_enabled", "stack", "tensor", "where", "zeros", "zeros_like",
]
