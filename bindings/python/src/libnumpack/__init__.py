"""Tensors in files, in memory and on GPUs, without PyTorch.

| module | holds |
|---|---|
| `dtypes` | element types |
| `devices` | where tensors are |
| `tensor` | tensors: made, viewed, computed with, differentiated |
| `errors` | what can go wrong |
"""

from . import errors
from .devices import device
from .dtypes import *  # noqa: F403
from .dtypes import bool_ as bool
from .dtypes import dtype
from .tensor import *  # noqa: F403
from .tensor import Tensor, tensor
