"""Memory that is shared: with NumPy, and by DLPack with other libraries."""

from __future__ import annotations

import ctypes
import functools
import itertools
from typing import Any

import numpy as np

from .. import dtypes
from .._native import Handle, lib, make, structs
from .._native.library import callback
from ..errors import SharingError

_lent: dict[int, Any] = {}
"""What the library has borrowed, by the number it gives back."""


def _take_back(number: int) -> None:
    _lent.pop(number, None)


# Kept for ever: a tensor may be freed at any time.
_release = callback("release_fn", _take_back)


_numbers = itertools.count(1)
_sizes = functools.lru_cache(maxsize=None)(lambda ndim: ctypes.c_uint64 * ndim)
_steps = functools.lru_cache(maxsize=None)(lambda ndim: ctypes.c_int64 * ndim)


def interface(array: np.ndarray[Any, Any]) -> Any:
    """What the library wants to know of an array. It lives as long as the array and what is returned."""
    pointer, read_only = array.__array_interface__["data"]
    ndim = array.ndim
    given = structs["array_interface"](
        read_only=read_only, data=pointer, typestr=array.dtype.str.encode(), ndim=ndim,
        shape=_sizes(ndim)(*array.shape),
    )
    if not array.flags.c_contiguous:
        given.strides = _steps(ndim)(*array.strides)
    return given


def view(
    pointer: int, dtype: dtypes.dtype, shape: tuple[int, ...], strides: tuple[int, ...] | None = None,
) -> Any:
    """The elements at an address: ``strides`` in bytes, C order for None."""
    ndim = len(shape)
    # From the first byte that is an element's to behind the last one.
    before = after = 0
    size = dtype.itemsize
    if 0 in shape:
        size = 0
    elif strides is None:
        for length in shape:
            size *= length
    else:
        for length, step in zip(shape, strides):
            reach = (length - 1) * step
            before, after = (before - reach, after) if reach < 0 else (before, after + reach)
    given = structs["view"](
        dtype=dtype.number, ndim=ndim, shape=(ctypes.c_uint64 * ndim)(*shape),
        data=pointer - before, nbytes=before + after + size, offset=before if size else 0,
    )
    if strides is not None and size:
        given.strides = (ctypes.c_int64 * ndim)(*strides)
    return given


def share(array: np.ndarray[Any, Any], dtype: dtypes.dtype | None, function: str, *extra: Any) -> Handle:
    """A tensor by ``tensor_from_numpy`` or ``tensor_as_tensor``. Of a type that is not NumPy's own, such as
    ml_dtypes', and bits of which the type is said, ``dtype`` is the type.

    The array is kept alive until the library gives its memory back."""
    number = next(_numbers)
    _lent[number] = array
    try:
        if dtype is None:
            return make("tensor", function, interface(array), *extra, _release, number)
        given = view(array.__array_interface__["data"][0], dtype, array.shape, array.strides)
        return make("tensor", "tensor_share", given, not array.flags.writeable, _release, number)
    except BaseException:
        # What fails takes nothing.
        _take_back(number)
        raise


class _Shown:
    """The memory of a tensor, for NumPy to take. The array keeps it, and it keeps the tensor."""

    __slots__ = ("__array_interface__", "_memory")

    def __init__(self, memory: Handle, found: dict[str, Any]) -> None:
        self._memory = memory
        self.__array_interface__ = found


def shown(memory: Handle, dtype: dtypes.dtype) -> np.ndarray[Any, Any]:
    """The elements of a tensor in memory as an array on the same memory, of NumPy's type or as bits."""
    layout = structs["tensor_layout"]()
    lib.tensor_get_layout(memory, layout)
    ndim = layout.ndim
    raw = dtype.raw()
    plain = raw if raw.isbuiltin == 1 else np.dtype(f"<u{dtype.itemsize}")
    found = {
        "version": 3,
        "typestr": plain.str,
        "shape": tuple(layout.shape[:ndim]),
        "strides": tuple(step * dtype.itemsize for step in layout.strides[:ndim]),
        "data": (layout.data or 1, bool(layout.read_only)),
    }
    if not layout.numel:
        # There is no memory to show.
        return np.empty(found["shape"], raw)
    array = np.asarray(_Shown(memory, found))
    return array if plain is raw else array.view(raw)


# DLPack, https://dmlc.github.io/dlpack/latest/python_spec.html

_new_capsule = ctypes.pythonapi.PyCapsule_New
_new_capsule.restype = ctypes.py_object
_new_capsule.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
_pointer = ctypes.pythonapi.PyCapsule_GetPointer
_pointer.restype = ctypes.c_void_p
_pointer.argtypes = [ctypes.py_object, ctypes.c_char_p]
_is_valid = ctypes.pythonapi.PyCapsule_IsValid
_is_valid.argtypes = [ctypes.py_object, ctypes.c_char_p]
_set_name = ctypes.pythonapi.PyCapsule_SetName
_set_name.argtypes = [ctypes.py_object, ctypes.c_char_p]

# A capsule keeps the pointer to its name.
_NAMES = {True: (b"dltensor_versioned", b"used_dltensor_versioned"), False: (b"dltensor", b"used_dltensor")}
_SUFFIX = {True: "", False: "_legacy"}


def to_capsule(memory: Handle, versioned: bool, copied: bool) -> Any:
    """A capsule for another library, by the protocol of version 1 or the one before."""
    managed = ctypes.c_void_p()
    getattr(lib, f"tensor_to_dlpack{_SUFFIX[versioned]}")(memory, copied, ctypes.byref(managed))
    destructor = ctypes.cast(lib.dlpack_capsule_destructor, ctypes.c_void_p)
    return _new_capsule(managed, _NAMES[versioned][0], destructor)


def of_capsule(capsule: Any) -> Handle:
    """A tensor on the memory of what another library gave, which is used up."""
    versioned = bool(_is_valid(capsule, _NAMES[True][0]))
    name, used = _NAMES[versioned]
    if not _is_valid(capsule, name):
        raise TypeError("this is no DLPack capsule, or one that was used before; ask for another one")
    given = ctypes.c_void_p(_pointer(capsule, name))
    made = make("tensor", f"tensor_from_dlpack{_SUFFIX[versioned]}", given)
    _set_name(capsule, used)
    return made


def of_dlpack(source: Any) -> Handle:
    """A tensor on the memory of any object with ``__dlpack__``, or of a capsule."""
    if not hasattr(source, "__dlpack__"):
        if type(source).__name__ != "PyCapsule":
            raise TypeError(f"{type(source).__name__} has no __dlpack__; use as_tensor() or tensor()")
        return of_capsule(source)
    kind = source.__dlpack_device__()[0]
    # The host, and memory of it that CUDA or ROCm can reach.
    if int(kind) not in (1, 3, 11):
        raise SharingError(f"it is on another device (DLPack's kind {int(kind)}); move it to the CPU first")
    try:
        capsule = source.__dlpack__(max_version=(1, 1))
    except TypeError:
        capsule = source.__dlpack__()
    return of_capsule(capsule)
