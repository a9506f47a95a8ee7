"""What is written to a store: arrays of all kinds, and choices of rows, as the C interface takes them."""

from __future__ import annotations

import ctypes
import operator
import sys
from typing import Any, Callable, Iterable, Mapping

import numpy as np

from ._native import Handle, handles, lib, make, sizes, structs, text, texts
from ._native import constants as c
from ._native.library import callback
from .dtypes import as_dtype, of_number, of_numpy
from .dtypes import dtype as DType
from .store_rows import Info, address


class Piece:
    """An array to be written: its memory, which is only borrowed, and how elements lie in it."""

    __slots__ = ("dtype", "shape", "strides", "data", "nbytes", "offset", "owner")

    def __init__(
        self,
        dtype: DType,
        shape: tuple[int, ...],
        strides: tuple[int, ...] | None,
        data: int,
        nbytes: int,
        offset: int,
        owner: Any,
    ) -> None:
        self.dtype = dtype
        self.shape = shape
        self.strides = strides
        """In bytes; None for C order without gaps."""
        self.data = data
        self.nbytes = nbytes
        self.offset = offset
        """Bytes of ``data`` before the first element."""
        self.owner = owner

    def view(self, number: int | None = None) -> Any:
        """The C interface's struct, with another element type of the same size where one is given."""
        strides = None if self.strides is None else (ctypes.c_int64 * len(self.strides))(*self.strides)
        return structs["view"](
            dtype=self.dtype.number if number is None else number,
            ndim=len(self.shape),
            shape=sizes(self.shape),
            strides=strides,
            data=self.data or None,
            nbytes=self.nbytes,
            offset=self.offset,
        )

    def tensor(self) -> Handle:
        """A tensor of the memory, which must outlive it."""
        released = callback("release_fn", 0)
        return make("tensor", "tensor_share", ctypes.byref(self.view()), 1, released, None)

    @property
    def is_plain(self) -> bool:
        """Whether a store has such elements. Others are stored as bits, beside a word on what they stand
        for."""
        return self.dtype.number <= c.DTYPE_COMPLEX128


def is_torch(value: Any) -> bool:
    """Whether it is a tensor of torch, which is not imported for that."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, getattr(torch, "Tensor", ()))


def as_array(value: Any) -> np.ndarray:
    """What there is as an array of NumPy: anything that NumPy takes, and objects of DLPack."""
    if isinstance(value, np.ma.MaskedArray):
        raise TypeError("a store has no masks; fill the array first with .filled()")
    if isinstance(value, np.ndarray):
        return value
    if hasattr(value, "detach") and hasattr(value, "cpu"):
        value = value.detach().cpu()
    if hasattr(value, "__dlpack__") and not hasattr(value, "__array__") and hasattr(np, "from_dlpack"):
        return np.from_dlpack(value)
    return np.asarray(value)


def of_array(value: Any) -> Piece:
    """An array, or whatever becomes one.

    Raises `TypeError` for elements that are no numbers.
    """
    if is_torch(value):
        return of_torch(value)
    if hasattr(value, "_memory"):
        from .tensors import Tensor

        if isinstance(value, Tensor):
            return _of_tensor(value.detach().cpu())
    array = as_array(value)
    kind = of_numpy(array.dtype)
    if kind is None:
        raise TypeError(
            f"elements of type {array.dtype} cannot be stored; bool, integers of 8 to 64 bits, floats of 16 "
            "to 64 and complex numbers of 64 or 128 can, so convert it first with .astype()"
        )
    if array.dtype.byteorder == ">":
        array = array.astype(array.dtype.newbyteorder("<"))
    if kind.number > c.DTYPE_COMPLEX128 and not (array.flags.aligned and array.flags.c_contiguous):
        array = np.ascontiguousarray(array).reshape(array.shape)
    if array.flags.c_contiguous or not array.size:
        return Piece(kind, array.shape, None, address(array), array.nbytes, 0, array)
    return _strided(kind, array.shape, array.strides, address(array), array)


def _of_tensor(tensor: Any) -> Piece:
    """A tensor of this library, on the host."""
    memory, layout = tensor._memory(), structs["tensor_layout"]()
    lib.tensor_get_layout(memory, ctypes.byref(layout))
    kind = of_number(layout.dtype)
    shape = tuple(layout.shape[: layout.ndim])
    strides = tuple(s * kind.itemsize for s in layout.strides[: layout.ndim])
    return _strided(kind, shape, strides, layout.data or 0, memory)


def _strided(kind: DType, shape: tuple[int, ...], strides: tuple[int, ...], first: int, owner: Any) -> Piece:
    """Elements that lie so from the first one on."""
    if 0 in shape:
        return Piece(kind, shape, None, first, 0, 0, owner)
    before = sum((n - 1) * s for n, s in zip(shape, strides) if s < 0)
    after = sum((n - 1) * s for n, s in zip(shape, strides) if s > 0)
    return Piece(kind, shape, strides, first + before, after - before + kind.itemsize, -before, owner)


def of_torch(tensor: Any) -> Piece:
    """A tensor of torch: its memory where that is the host's, else a copy there.

    Raises `TypeError` for sparse and quantised tensors.
    """
    tensor = tensor.detach()
    if str(tensor.layout) != "torch.strided":
        raise TypeError(f"a tensor of layout {tensor.layout} has no rows; convert it first with .to_dense()")
    if tensor.is_quantized:
        raise TypeError("a quantised tensor cannot be stored alone; convert it first with .dequantize()")
    if tensor.device.type == "meta":
        raise TypeError("a tensor on the meta device has no elements; materialise it first")
    tensor = tensor.cpu().resolve_conj().resolve_neg()
    kind = as_dtype(tensor.dtype)
    size = tensor.element_size()
    strides = tuple(s * size for s in tensor.stride())
    return _strided(kind, tuple(tensor.shape), strides, tensor.data_ptr(), tensor)


def fitting(value: Any, info: Info) -> Piece:
    """Rows for an array that is there. Python's numbers and lists take its element type.

    Raises `TypeError` for elements of another type, and `ValueError` for rows of another shape.
    """
    if not hasattr(value, "dtype") and not hasattr(value, "__dlpack__"):
        value = np.asarray(value, info.dtype)
    piece = of_array(value)
    if piece.dtype is not info.logical and piece.dtype is not info.stored:
        raise TypeError(
            f"the array {info.name!r} has elements of {info.logical.name}, and the rows of "
            f"{piece.dtype.name}; convert them first with .astype()"
        )
    if len(piece.shape) != len(info.shape) or piece.shape[1:] != info.shape[1:]:
        if piece.shape == info.shape[1:]:
            # One row, as it stands in the array.
            strides = None if piece.strides is None else (0, *piece.strides)
            return Piece(
                piece.dtype, (1, *piece.shape), strides, piece.data, piece.nbytes, piece.offset, piece.owner
            )
        raise ValueError(
            f"the array {info.name!r} has shape {info.shape}, and the rows {piece.shape}; only the first "
            "dimension may differ"
        )
    return piece


class Choice:
    """Rows that a caller names, as the C interface takes them."""

    __slots__ = ("rows", "_kept")

    def __init__(self, indexes: Any) -> None:
        self._kept: Any = None
        if isinstance(indexes, slice):
            start, stop, step = (
                None if i is None else operator.index(i) for i in (indexes.start, indexes.stop, indexes.step)
            )
            if step == 0:
                raise ValueError("the step of a slice cannot be 0")
            self.rows = structs["rows"](
                kind=c.ROWS_SLICE,
                start=_edge(start),
                stop=_edge(stop),
                step=_within(1 if step is None else step),
            )
            return
        if isinstance(indexes, (str, bytes, dict)) or not (
            hasattr(indexes, "__index__") or hasattr(indexes, "__len__") or hasattr(indexes, "__array__")
        ):
            raise ValueError(
                f"the indexes must be int, list, tuple, numpy.ndarray or slice, not {type(indexes).__name__}"
            )
        if isinstance(indexes, (int, np.integer)) and not isinstance(indexes, bool):
            self.rows = structs["rows"](kind=c.ROWS_INDEX, start=_within(int(indexes)))
            return
        found = np.asarray(indexes)
        if found.ndim == 0 and found.dtype.kind in "iu":
            found = found.reshape(1)
        if found.ndim != 1:
            raise ValueError(
                f"the indexes must be one row number each, or a mask; they have shape {found.shape}"
            )
        if found.dtype == np.bool_:
            mask = np.ascontiguousarray(found)
            self._kept = mask
            truths = ctypes.cast(address(mask), ctypes.POINTER(ctypes.c_uint8))
            self.rows = structs["rows"](kind=c.ROWS_MASK, mask=truths, count=mask.size)
            return
        if found.size and found.dtype.kind not in "iu":
            raise IndexError(f"row numbers are integers, not {found.dtype}")
        if found.dtype == np.uint64 and found.size and int(found.max()) > np.iinfo(np.int64).max:
            raise IndexError(f"there is no row {found.max()}")
        numbers = np.ascontiguousarray(found, np.int64)
        self._kept = numbers
        pointer = ctypes.cast(address(numbers), ctypes.POINTER(ctypes.c_int64))
        self.rows = structs["rows"](kind=c.ROWS_LIST, list=pointer, count=numbers.size)

    def checked(self, total: int, call: Callable[[], Any]) -> Any:
        """What ``call`` gives; its error is an `IndexError` where it has been for a row that is not there."""
        try:
            return call()
        except ValueError:
            count = ctypes.c_uint64()
            try:
                lib.rows_count(ctypes.byref(self.rows), total, ctypes.byref(count))
            except ValueError as e:
                raise IndexError(str(e)) from None
            raise


def _within(number: int) -> int:
    """The nearest number of 64 bits that is not the mark of an open end; no array is so long."""
    limit = 2**63 - 1
    return max(-limit, min(limit, number))


def _edge(number: int | None) -> int:
    return c.ROWS_END if number is None else _within(number)


def named(arrays: Any) -> Mapping[str, Any]:
    """Arrays by name, as the methods take them."""
    if not isinstance(arrays, dict):
        raise ValueError(f"arrays must be a dictionary of names and arrays, not {type(arrays).__name__}")
    for name in arrays:
        text(name)
    return arrays


def views(pieces: Iterable[Any]) -> Any:
    """Several structs of views, as an array."""
    found = list(pieces)
    return (structs["view"] * len(found))(*found)


def save_tensors(path: bytes, pieces: Mapping[str, Piece], existing: int) -> None:
    """Writes arrays of whichever types into the store at a path, in one commit."""
    tensors = [piece.tensor() for piece in pieces.values()]
    lib.from_torch(texts(pieces), handles(tensors), len(tensors), path, existing)
