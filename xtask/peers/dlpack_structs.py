"""The structs of dlpack.h, and its code for each element type."""

from __future__ import annotations

import ctypes
from ctypes import POINTER, c_int32, c_int64, c_uint8, c_uint16, c_uint32, c_uint64, c_void_p
from typing import Any

from tensors_abi import FLOAT8_DTYPES, NUMPY_DTYPES, VERSIONED, capsule_pointer

READ_ONLY, IS_COPIED = 1, 2
# DLDataTypeCode and bits.
CODES = {"bool": (6, 8), "bfloat16": (4, 16), "complex32": (5, 32)}
CODES |= {name: (code, 8) for code, name in zip((10, 11, 12, 13, 14), FLOAT8_DTYPES, strict=True)}
for kind, code in {"int": 0, "uint": 1, "float": 2, "complex": 5}.items():
    names = [name for name in NUMPY_DTYPES if name.removeprefix(kind).isdigit()]
    CODES |= {name: (code, int(name.removeprefix(kind))) for name in names}


class DLTensor(ctypes.Structure):
    """As dlpack.h has it."""

    _fields_ = [
        ("data", c_void_p),
        ("device_type", c_int32),
        ("device_id", c_int32),
        ("ndim", c_int32),
        ("code", c_uint8),
        ("bits", c_uint8),
        ("lanes", c_uint16),
        ("shape", POINTER(c_int64)),
        ("strides", POINTER(c_int64)),
        ("byte_offset", c_uint64),
    ]


Deleter = ctypes.CFUNCTYPE(None, c_void_p)


class DLManagedTensor(ctypes.Structure):
    """As dlpack.h has it."""

    _fields_ = [("tensor", DLTensor), ("context", c_void_p), ("deleter", Deleter)]


class DLManagedTensorVersioned(ctypes.Structure):
    """As dlpack.h has it."""

    _fields_ = [
        ("major", c_uint32),
        ("minor", c_uint32),
        ("context", c_void_p),
        ("deleter", Deleter),
        ("flags", c_uint64),
        ("tensor", DLTensor),
    ]


def inside(capsule: Any) -> DLManagedTensorVersioned:
    """What a capsule of version 1 holds; valid as long as the capsule."""
    return DLManagedTensorVersioned.from_address(capsule_pointer(capsule, VERSIONED))
