"""Tensors in files, in memory and on GPUs, without PyTorch.

| module | holds |
|---|---|
| `tensors` | tensors: made, viewed, computed with, differentiated |
| `checkpoint` | `load` and `save`: files of tensors and values |
| `store`, `lazy` | NumPack stores: arrays whose rows are appended, replaced and dropped |
| `packages` | stores in one file |
| `io` | conversions between PyTorch's tensors and files, and stores |
| `nn`, `optim` | layers, losses, optimisers |
| `vulkan`, `utils` | Vulkan devices, and ways of arrays and PyTorch's tensors to them |
| `dtypes`, `devices` | element types, and where tensors are |
| `errors` | what can go wrong |

`nn`, `optim`, `vulkan`, `utils` and `io` are imported when they are first named.
"""

from importlib import import_module as _import_module
from typing import Any as _Any

from . import errors
from ._native import lib as _lib
from .checkpoint import load, save
from .devices import device
from .dtypes import *  # noqa: F403
from .dtypes import bool_ as bool
from .dtypes import dtype
from .dtypes import float16 as half
from .dtypes import float32 as float
from .dtypes import float64 as double
from .dtypes import int16 as short
from .dtypes import int32 as int
from .dtypes import int64 as long
from .packages import get_package_info, pack, unpack
from .store import LazyArray, NumPack
from .tensors import *  # noqa: F403
from .tensors import Tensor, tensor

__version__: str = _lib.version().decode()
"""The version of the library."""

_LATER = ("io", "nn", "optim", "utils", "vulkan")


def __getattr__(name: str) -> _Any:
    if name in _LATER:
        return _import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_LATER})
