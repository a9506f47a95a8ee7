"""The tensor part of the C interface for Python, by ctypes alone.

``Library(path)`` loads the library; ``Tensor`` holds a handle and speaks
``__array_interface__`` and ``__dlpack__``. What goes wrong is a ``Refused`` with the
status and the message. It is as small as the checks beside it need.
"""

from __future__ import annotations

import ctypes
import itertools
from collections.abc import Callable, Sequence
from ctypes import (
    POINTER,
    byref,
    c_char_p,
    c_double,
    c_int32,
    c_int64,
    c_size_t,
    c_uint32,
    c_uint64,
    c_void_p,
)
from typing import Any

PARAMETER, SHARING, TYPE, IN_USE = 4, 15, 16, 17

NUMPY_DTYPES = [
    *("bool", "uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64"),
    *("float16", "float32", "float64", "complex64", "complex128"),
]
FLOAT8_DTYPES = [f"float8_{kind}" for kind in ("e4m3fn", "e4m3fnuz", "e5m2", "e5m2fnuz", "e8m0fnu")]
DTYPES = {name: number for number, name in enumerate(NUMPY_DTYPES)}
DTYPES |= {"bfloat16": 32, "complex32": 33}
DTYPES |= {name: number for number, name in enumerate(FLOAT8_DTYPES, start=35)}
NAMES = {number: name for name, number in DTYPES.items()}

SLICE_END = -(1 << 63)
BOOL, INT, UINT, FLOAT, COMPLEX = range(5)

CPU = (1, 0)
VERSIONED, LEGACY = b"dltensor_versioned", b"dltensor"
USED = {VERSIONED: b"used_dltensor_versioned", LEGACY: b"used_dltensor"}


class Versioned(ctypes.Structure):
    """A struct that begins with its size."""

    def __init__(self, **fields: Any) -> None:
        super().__init__(struct_size=ctypes.sizeof(self), **fields)


class ArrayInterface(Versioned):
    """``numpack_array_interface``."""

    _fields_ = [
        ("struct_size", c_uint32),
        ("read_only", c_int32),
        ("data", c_void_p),
        ("typestr", c_char_p),
        ("shape", POINTER(c_uint64)),
        ("strides", POINTER(c_int64)),
        ("ndim", c_uint32),
        ("reserved", c_int32),
    ]


class Layout(Versioned):
    """``numpack_tensor_layout``."""

    _fields_ = [
        ("struct_size", c_uint32),
        ("dtype", c_int32),
        ("ndim", c_uint32),
        ("read_only", c_int32),
        ("shape", POINTER(c_uint64)),
        ("strides", POINTER(c_int64)),
        ("data", c_void_p),
        ("numel", c_uint64),
        ("nbytes", c_uint64),
        ("offset", c_uint64),
        ("storage_nbytes", c_uint64),
        ("contiguous", c_int32),
        ("requires_grad", c_int32),
        ("on_device", c_int32),
        ("reserved", c_int32),
    ]


class View(Versioned):
    """``numpack_view``."""

    _fields_ = [
        ("struct_size", c_uint32),
        ("dtype", c_int32),
        ("ndim", c_uint32),
        ("reserved", c_int32),
        ("shape", POINTER(c_uint64)),
        ("strides", POINTER(c_int64)),
        ("data", c_void_p),
        ("nbytes", c_size_t),
        ("offset", c_size_t),
    ]


class Scalar(Versioned):
    """``numpack_scalar``."""

    _fields_ = [
        ("struct_size", c_uint32),
        ("kind", c_int32),
        ("integer", c_int64),
        ("real", c_double),
        ("imaginary", c_double),
    ]


class Refused(Exception):
    """A call that returned a status, with its message."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"status {status}: {message}")
        self.status, self.message = status, message


def _python(name: str, result: Any, *arguments: Any) -> Any:
    """A function of Python's own C interface, called with its lock held."""
    function = getattr(ctypes.pythonapi, name)
    function.restype, function.argtypes = result, arguments
    return function


_new_capsule = _python("PyCapsule_New", ctypes.py_object, c_void_p, c_char_p, c_void_p)
_capsule_is = _python("PyCapsule_IsValid", ctypes.c_int, ctypes.py_object, c_char_p)
capsule_pointer = _python("PyCapsule_GetPointer", c_void_p, ctypes.py_object, c_char_p)
_name_capsule = _python("PyCapsule_SetName", ctypes.c_int, ctypes.py_object, c_char_p)

ReleaseFn = ctypes.CFUNCTYPE(None, c_void_p)


class Library:
    """The loaded library, and the objects whose memory it has been lent."""

    def __init__(self, path: object) -> None:
        # CDLL gives up Python's lock during a call, so that a release on another thread gets it.
        self.functions = ctypes.CDLL(str(path))
        self.functions.numpack_tensor_retain.restype = c_void_p
        self.functions.numpack_last_error.restype = c_size_t
        self.lent: dict[int, Any] = {}
        # How often each was given back: once, or there is a fault.
        self.released: dict[int, int] = {}
        self._numbers = itertools.count(1)
        self._release = ReleaseFn(self._give_back)

    def _give_back(self, user: int) -> None:
        self.released[user] = self.released.get(user, 0) + 1
        self.lent.pop(user, None)

    def call(self, name: str, *arguments: Any) -> None:
        """Calls a function that returns a status."""
        status = getattr(self.functions, name)(*arguments)
        if status:
            raise Refused(status, self.last_error())

    def last_error(self) -> str:
        """The message of the last call on this thread."""
        size = self.functions.numpack_last_error(None, c_size_t(0)) + 1
        text = ctypes.create_string_buffer(size)
        self.functions.numpack_last_error(text, c_size_t(size))
        return text.value.decode()

    def make(self, name: str, *arguments: Any) -> Tensor:
        """Calls a function whose last argument is a new tensor."""
        handle = c_void_p()
        self.call(name, *arguments, byref(handle))
        return Tensor(self, handle)

    def _lend(self, owner: Any, make: Callable[..., Tensor]) -> Tensor:
        """Makes a tensor that keeps an object until it releases it."""
        user = next(self._numbers)
        self.lent[user] = owner
        try:
            tensor = make(self._release, c_void_p(user))
        except Refused:
            # Nothing was taken, so nothing is given back.
            self.lent.pop(user)
            if user in self.released:
                raise AssertionError("released although it was refused") from None
            raise
        tensor.user = user
        return tensor

    def from_numpy(self, array: Any) -> Tensor:
        """``numpack_tensor_from_numpy``."""
        described = describe(array)
        return self._lend(
            array, lambda *lent: self.make("numpack_tensor_from_numpy", byref(described), *lent)
        )

    def as_tensor(self, array: Any, dtype: str | None = None) -> Tensor:
        """``numpack_tensor_as_tensor``."""
        described, number = describe(array), c_int32(-1 if dtype is None else DTYPES[dtype])
        return self._lend(
            array, lambda *lent: self.make("numpack_tensor_as_tensor", byref(described), number, *lent)
        )

    def tensor(self, array: Any, dtype: str | None = None, requires_grad: bool = False) -> Tensor:
        """``numpack_tensor_copy_numpy``."""
        number = c_int32(-1 if dtype is None else DTYPES[dtype])
        return self.make("numpack_tensor_copy_numpy", byref(describe(array)), number, c_int32(requires_grad))

    def share(
        self,
        array: Any,
        dtype: str,
        shape: Sequence[int],
        read_only: bool = False,
        strides: Sequence[int] | None = None,
        offset: int = 0,
    ) -> Tensor:
        """``numpack_tensor_share``: an array's bytes as elements of any type."""
        view = view_of(array, dtype, shape, strides, offset)
        return self._lend(
            array, lambda *lent: self.make("numpack_tensor_share", byref(view), c_int32(read_only), *lent)
        )

    def copy(
        self,
        array: Any,
        dtype: str,
        shape: Sequence[int],
        strides: Sequence[int] | None = None,
        offset: int = 0,
    ) -> Tensor:
        """``numpack_tensor_copy``: the same, copied."""
        return self.make("numpack_tensor_copy", byref(view_of(array, dtype, shape, strides, offset)))

    def full(self, dtype: str, shape: Sequence[int], value: Any) -> Tensor:
        """``numpack_tensor_full``."""
        sizes = (c_uint64 * len(shape))(*shape)
        given = byref(scalar(value))
        return self.make("numpack_tensor_full", c_int32(DTYPES[dtype]), c_uint32(len(shape)), sizes, given)

    def zeros(self, dtype: str, shape: Sequence[int]) -> Tensor:
        """``numpack_tensor_zeros``."""
        sizes = (c_uint64 * len(shape))(*shape)
        return self.make("numpack_tensor_zeros", c_int32(DTYPES[dtype]), c_uint32(len(shape)), sizes)

    def of_bytes(self, data: bytes, dtype: str, shape: Sequence[int]) -> Tensor:
        """A new tensor of these bytes, in C order."""
        tensor = self.zeros(dtype, shape)
        tensor.write(data)
        return tensor

    def from_capsule(self, capsule: Any) -> Tensor:
        """``numpack_tensor_from_dlpack``, or ``_legacy``, as the capsule's name says."""
        for name, function in [
            (VERSIONED, "numpack_tensor_from_dlpack"),
            (LEGACY, "numpack_tensor_from_dlpack_legacy"),
        ]:
            if _capsule_is(capsule, name):
                tensor = self.make(function, c_void_p(capsule_pointer(capsule, name)))
                # The capsule's owner sees by the name that its tensor was taken.
                _name_capsule(capsule, USED[name])
                return tensor
        raise ValueError("a capsule is not one of DLPack's, or its tensor was taken before")

    def from_dlpack(self, given: Any) -> Tensor:
        """Takes a tensor as the specification says: version 1 where the other side knows it."""
        try:
            capsule = given.__dlpack__(max_version=(1, 1))
        except TypeError:
            capsule = given.__dlpack__()
        return self.from_capsule(capsule)


def describe(array: Any) -> ArrayInterface:
    """What ``array.__array_interface__`` says; what it points to lives as long as it does."""
    said = array.__array_interface__
    data, read_only = said["data"]
    shape, strides = said["shape"], said["strides"]
    described = ArrayInterface(
        read_only=read_only, data=data, typestr=said["typestr"].encode(), ndim=len(shape)
    )
    described.shape = (c_uint64 * len(shape))(*shape)
    if strides is not None:
        described.strides = (c_int64 * len(strides))(*strides)
    return described


def view_of(array: Any, dtype: str, shape: Sequence[int], strides: Sequence[int] | None, offset: int) -> View:
    """The bytes of an array in C order as elements, ``strides`` and ``offset`` in bytes."""
    view = View(dtype=DTYPES[dtype], ndim=len(shape), nbytes=array.nbytes, offset=offset)
    view.data = array.__array_interface__["data"][0]
    view.shape = (c_uint64 * len(shape))(*shape)
    if strides is not None:
        view.strides = (c_int64 * len(strides))(*strides)
    return view


def scalar(value: Any) -> Scalar:
    """A value of Python's."""
    if isinstance(value, bool):
        return Scalar(kind=BOOL, integer=value)
    if isinstance(value, int):
        return Scalar(kind=INT if value < 1 << 63 else UINT, integer=value)
    if isinstance(value, float):
        return Scalar(kind=FLOAT, real=value)
    return Scalar(kind=COMPLEX, real=value.real, imaginary=value.imag)


class Tensor:
    """A handle, freed with this object."""

    def __init__(self, library: Library, handle: c_void_p) -> None:
        self.library, self.handle = library, handle
        # By which the library gives back what it was lent for this.
        self.user = 0

    def __del__(self) -> None:
        self.library.functions.numpack_tensor_free(self.handle)

    def layout(self) -> Layout:
        """All that is said of it."""
        layout = Layout()
        self.library.call("numpack_tensor_get_layout", self.handle, byref(layout))
        return layout

    @property
    def dtype(self) -> str:
        return NAMES[self.layout().dtype]

    @property
    def shape(self) -> tuple[int, ...]:
        layout = self.layout()
        return tuple(layout.shape[: layout.ndim])

    @property
    def strides(self) -> tuple[int, ...]:
        layout = self.layout()
        return tuple(layout.strides[: layout.ndim])

    @property
    def data(self) -> int:
        return self.layout().data or 0

    @property
    def read_only(self) -> bool:
        return bool(self.layout().read_only)

    @property
    def contiguous_already(self) -> bool:
        return bool(self.layout().contiguous)

    @property
    def requires_grad(self) -> bool:
        return bool(self.layout().requires_grad)

    def _make(self, name: str, *arguments: Any) -> Tensor:
        return self.library.make(f"numpack_tensor_{name}", self.handle, *arguments)

    def _make_of(self, name: str, numbers: Sequence[int]) -> Tensor:
        return self._make(name, c_uint32(len(numbers)), (c_int64 * len(numbers))(*numbers))

    def select(self, dim: int, index: int) -> Tensor:
        return self._make("select", c_int64(dim), c_int64(index))

    def slice(self, dim: int, start: int | None, stop: int | None, step: int = 1) -> Tensor:
        ends = [c_int64(SLICE_END if end is None else end) for end in (start, stop)]
        return self._make("slice", c_int64(dim), *ends, c_int64(step))

    def transpose(self, a: int, b: int) -> Tensor:
        return self._make("transpose", c_int64(a), c_int64(b))

    def permute(self, *dims: int) -> Tensor:
        return self._make_of("permute", dims)

    def expand(self, *sizes: int) -> Tensor:
        return self._make_of("expand", sizes)

    def view(self, *sizes: int) -> Tensor:
        return self._make_of("view", sizes)

    def reshape(self, *sizes: int) -> Tensor:
        return self._make_of("reshape", sizes)

    def narrow(self, dim: int, start: int, length: int) -> Tensor:
        return self._make("narrow", c_int64(dim), c_uint64(start), c_uint64(length))

    def squeeze(self, dim: int | None = None) -> Tensor:
        return self._make("squeeze_all") if dim is None else self._make("squeeze", c_int64(dim))

    def unsqueeze(self, dim: int) -> Tensor:
        return self._make("unsqueeze", c_int64(dim))

    def flatten(self, first: int = 0, last: int = -1) -> Tensor:
        return self._make("flatten", c_int64(first), c_int64(last))

    def detach(self) -> Tensor:
        return self._make("detach")

    def require_grad(self, wanted: bool = True) -> Tensor:
        return self._make("require_grad", c_int32(wanted))

    def clone(self) -> Tensor:
        return self._make("clone")

    def contiguous(self) -> Tensor:
        return self._make("contiguous")

    def to(self, dtype: str) -> Tensor:
        return self._make("to_dtype", c_int32(DTYPES[dtype]))

    def shares(self, other: Tensor) -> bool:
        same = c_int32()
        self.library.call("numpack_tensor_shares", self.handle, other.handle, byref(same))
        return bool(same.value)

    def get(self, *index: int) -> Any:
        value = Scalar()
        self.library.call(
            "numpack_tensor_get",
            self.handle,
            c_uint32(len(index)),
            (c_int64 * len(index))(*index),
            byref(value),
        )
        return {
            BOOL: bool(value.integer),
            INT: value.integer,
            UINT: value.integer % (1 << 64),
            FLOAT: value.real,
            COMPLEX: complex(value.real, value.imaginary),
        }[value.kind]

    def set(self, index: Sequence[int], value: Any) -> None:
        numbers = (c_int64 * len(index))(*index)
        self.library.call(
            "numpack_tensor_set", self.handle, c_uint32(len(index)), numbers, byref(scalar(value))
        )

    def fill(self, value: Any) -> None:
        self.library.call("numpack_tensor_fill", self.handle, byref(scalar(value)))

    def copy_from(self, other: Tensor) -> None:
        self.library.call("numpack_tensor_copy_from", self.handle, other.handle)

    def read(self) -> bytes:
        """All elements in C order."""
        buffer = ctypes.create_string_buffer(self.layout().nbytes)
        self.library.call("numpack_tensor_read", self.handle, buffer, c_size_t(len(buffer)))
        return buffer.raw

    def write(self, data: bytes) -> None:
        self.library.call("numpack_tensor_write", self.handle, data, c_size_t(len(data)))

    @property
    def __array_interface__(self) -> dict[str, Any]:
        said = ArrayInterface()
        self.library.call("numpack_tensor_numpy", self.handle, byref(said))
        return {
            "version": 3,
            "typestr": said.typestr.decode(),
            "shape": tuple(said.shape[: said.ndim]),
            "strides": tuple(said.strides[: said.ndim]),
            "data": (said.data or 0, bool(said.read_only)),
        }

    def numpy(self) -> Any:
        """An array that shares the memory, and keeps this object."""
        import numpy

        return numpy.asarray(self)

    def __dlpack_device__(self) -> tuple[int, int]:
        return CPU

    def __dlpack__(
        self,
        *,
        stream: Any = None,
        max_version: tuple[int, int] | None = None,
        dl_device: tuple[int, int] | None = None,
        copy: bool | None = None,
    ) -> Any:
        if stream is not None or dl_device not in (None, CPU):
            raise BufferError("the tensor is in the memory of this process, which has no streams")
        versioned = max_version is not None and max_version[0] >= 1
        managed = c_void_p()
        try:
            self.library.call(
                "numpack_tensor_to_dlpack" if versioned else "numpack_tensor_to_dlpack_legacy",
                self.handle,
                c_int32(bool(copy)),
                byref(managed),
            )
        except Refused as refused:
            raise BufferError(refused.message) from refused
        destructor = ctypes.cast(self.library.functions.numpack_dlpack_capsule_destructor, c_void_p)
        return _new_capsule(managed, VERSIONED if versioned else LEGACY, destructor)
