"""The rows of one array of a store, indexed as NumPy indexes arrays."""

from __future__ import annotations

import ctypes
import operator
from typing import Any

import numpy as np

from ._native import Handle, lib, make, structs, text
from ._native import constants as c
from .dtypes import as_dtype, of_number


class Info:
    """What a store says of one array: a copy of the C interface's struct, which is borrowed."""

    __slots__ = (
        "name",
        "stored",
        "logical",
        "shape",
        "hidden",
        "nbytes",
        "row_size",
        "stored_rows",
        "modified",
    )

    def __init__(self, found: Any) -> None:
        self.name: str = ctypes.string_at(found.name, found.name_length).decode("utf-8", "surrogateescape")
        self.stored = of_number(found.dtype)
        self.logical = as_dtype(found.logical_dtype.decode()) if found.logical_dtype else self.stored
        self.shape: tuple[int, ...] = tuple(found.shape[: found.ndim])
        self.hidden = bool(found.hidden)
        self.nbytes: int = found.nbytes
        self.row_size: int = found.row_size
        self.stored_rows: int = found.stored_rows
        self.modified: int = found.modified_micros

    @property
    def dtype(self) -> np.dtype[Any]:
        """NumPy's type of the elements: that of what they stand for where NumPy or ml_dtypes have it."""
        shown = self.logical.numpy() if self.logical.itemsize == self.stored.itemsize else None
        return shown or self.stored.raw()


def infos(listed: Handle) -> list[Info]:
    """What a list of the C interface holds, in its order."""
    found = structs["array_info"]()
    result = []
    for i in range(lib.list_count(listed)):
        lib.list_get(listed, i, ctypes.byref(found))
        result.append(Info(found))
    return result


class _Memory:
    """Lends memory to an array, which keeps this, and so the owner, alive."""

    __slots__ = ("__array_interface__", "_owner", "__weakref__")

    __array_interface__: dict[str, Any]
    _owner: Any


def lent(
    address: int, shape: tuple[int, ...], dtype: np.dtype[Any], owner: Any, read_only: bool
) -> np.ndarray:
    """An array on memory of ``owner``."""
    # Types of ml_dtypes have no word in the interface.
    raw = dtype if dtype.kind in "biufc" and dtype.isbuiltin == 1 else np.dtype(f"<u{dtype.itemsize}")
    memory = _Memory()
    memory._owner = owner
    memory.__array_interface__ = {
        "version": 3,
        "shape": shape,
        "typestr": raw.str,
        "data": (address, read_only),
    }
    shown = np.asarray(memory)
    return shown if raw is dtype else shown.view(dtype)


def address(array: np.ndarray) -> int:
    """Where the first element of an array is."""
    try:
        # A third of the time that __array_interface__ takes.
        return ctypes.addressof(ctypes.c_char.from_buffer(array))  # type: ignore[arg-type]
    except (BufferError, TypeError, ValueError):  # read-only, not in C order, empty, or a type of ml_dtypes
        found: int = array.__array_interface__["data"][0]
        return found


class Rows:
    """An array of a store as it was when this was made, without dropped rows.

    Where its rows are one piece of a file, that is mapped, and NumPy does the rest. Where they are not, they
    are gathered from maps, or read.
    """

    __slots__ = ("array", "info", "shape", "dtype", "whole", "_mapped", "_may_map")

    def __init__(self, array: Handle, shape: tuple[int, ...] | None = None, mapped: bool = True) -> None:
        found = structs["array_info"]()
        lib.array_get_info(array, ctypes.byref(found))
        self.array = array
        self.info = Info(found)
        if shape is not None:
            self.info.shape = shape
        self.shape = self.info.shape
        self.dtype = self.info.dtype
        self.whole = self._map() if mapped else None
        """All of it, read-only and shared with the file; None where that is not one piece."""
        self._mapped: Handle | None = None
        self._may_map = mapped

    @classmethod
    def open(cls, store: Handle, name: str) -> Rows:
        return cls(make("array", "array_open", store, text(name)))

    def _map(self) -> np.ndarray | None:
        if not self.info.nbytes:
            empty = np.empty(self.shape, self.dtype)
            empty.flags.writeable = False
            return empty
        data, size = ctypes.c_void_p(), ctypes.c_size_t()
        try:
            lib.array_map(self.array, ctypes.byref(data), ctypes.byref(size))
        except ValueError:  # dropped rows, segments, or rows that are just being replaced
            return None
        assert data.value is not None and size.value == self.info.nbytes
        return lent(data.value, self.shape, self.dtype, self.array, True)

    def read(self) -> np.ndarray:
        """All rows in memory of their own."""
        out = np.empty(self.shape, self.dtype)
        lib.array_read(self.array, address(out), out.nbytes)
        return out

    def shared(self) -> np.ndarray:
        """All rows: shared with the file, and then read-only, where they can be."""
        return self.read() if self.whole is None else self.whole

    def run(self, start: int, stop: int) -> np.ndarray:
        """The rows from ``start`` to before ``stop``, which are there, in memory of their own."""
        if self.whole is not None:
            copied: np.ndarray = self.whole[start:stop].copy()
            return copied
        count = max(0, stop - start)
        out = np.empty((count, *self.shape[1:]), self.dtype)
        if out.nbytes:
            lib.array_read_rows(self.array, start, count, address(out), out.nbytes)
        return out

    def gather(self, rows: np.ndarray) -> np.ndarray:
        """The rows of these numbers, in memory of their own; the result has the shape of ``rows`` and that of
        a row.

        Raises `IndexError` where there is no such row.
        """
        if self.whole is not None:
            return self.whole.take(rows, 0) if rows.dtype.kind == "i" else self.whole[rows]
        wanted = (
            rows
            if rows.dtype == np.int64 and rows.flags.c_contiguous
            else np.ascontiguousarray(rows, np.int64)
        )
        out = np.empty(wanted.shape + self.shape[1:], self.dtype)
        try:
            self._gather(wanted, out)
        except ValueError as e:
            raise IndexError(str(e)) from None
        return out

    def _gather(self, wanted: np.ndarray, out: np.ndarray) -> None:
        first = ctypes.c_int64.from_address(address(wanted))
        count, into, size = wanted.size, address(out), out.nbytes
        if self._mapped is None and self._may_map:
            try:
                self._mapped = make("mapped_rows", "array_map_rows", self.array)
            except ValueError:  # rows are just being replaced
                pass
        if self._mapped is None:
            choice = structs["rows"](kind=c.ROWS_LIST, list=ctypes.pointer(first), count=count)
            lib.array_gather(self.array, ctypes.byref(choice), into, size)
        else:
            lib.mapped_rows_gather(self._mapped, ctypes.byref(first), count, into, size)

    def __getitem__(self, key: Any) -> Any:
        """What NumPy would give, in memory of its own."""
        if type(key) is list:
            key = np.asarray(key)
            if not key.size:
                key = key.astype(np.intp)
        if type(key) is np.ndarray and key.dtype.kind == "i":
            if not self.shape:
                raise IndexError("an array of 0 dimensions has no rows; index it with ()")
            return self.gather(key)
        if type(key) is slice and self.shape:
            start, stop, step = key.indices(self.shape[0])
            if step == 1:
                return self.run(start, stop)
        if self.whole is None:
            return self._pick(key) if self.shape else self.read()[key]
        found = self.whole[key]
        # What NumPy only points to is as read-only as the map is.
        return found if not isinstance(found, np.ndarray) or found.flags.writeable else found.copy()

    def _pick(self, key: Any) -> Any:
        """Reads the rows that the key's first index names, and leaves the rest to NumPy."""
        if isinstance(key, (int, np.integer)) and not isinstance(key, bool):
            i = operator.index(key)
            rows = self.shape[0]
            if not -rows <= i < rows:
                raise IndexError(f"there is no row {i}: the array has {rows} rows")
            return self.run(i % rows, i % rows + 1)[0]
        keys = list(key) if isinstance(key, tuple) else [key]
        keys = [np.asarray(k) if isinstance(k, (list, np.ndarray)) else k for k in keys]
        expanded: list[Any] = []
        for k in keys:
            # A mask stands for the places where it is true, whatever its dimensions.
            if isinstance(k, np.ndarray) and k.dtype == bool and k.ndim:
                at = sum(1 for e in expanded if e is not None)
                known = not any(e is Ellipsis for e in expanded)
                if known and k.shape != self.shape[at : at + k.ndim]:
                    raise IndexError(
                        f"the mask has shape {k.shape}, and the array {self.shape}; "
                        "give one truth value for each row"
                    )
                expanded.extend(k.nonzero())
            else:
                expanded.append(k)
        first = next((i for i, k in enumerate(expanded) if k is not None), None)
        if first is None:
            return self.read()[key]
        chosen = expanded[first]
        if isinstance(chosen, slice):
            start, stop, step = chosen.indices(self.shape[0])
            picked = self.run(start, stop) if step == 1 else self.gather(np.arange(start, stop, step))
            expanded[first] = slice(None)
        elif isinstance(chosen, (int, np.integer)) and not isinstance(chosen, (bool, np.bool_)):
            picked = self.gather(np.array([chosen]))
            expanded[first] = 0
        elif (
            isinstance(chosen, np.ndarray)
            and chosen.dtype.kind in "iu"
            or (isinstance(chosen, np.ndarray) and not chosen.size)
        ):
            numbers = chosen.astype(np.int64)
            picked = self.gather(numbers.reshape(-1))
            expanded[first] = np.arange(numbers.size).reshape(numbers.shape)
        else:
            return self.read()[key]
        return picked[tuple(expanded)]
