"""Element types: ours, and what NumPy, torch and plain words call them."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Union

import numpy as np

from ._native import constants as c


class dtype:
    """An element type, such as `libnumpack.float32`. There is one object for each.

    Wherever a type is asked for, NumPy's, torch's, Python's ``bool``, ``int`` and ``float``, and names such as
    ``"float32"`` serve too.

    >>> import libnumpack
    >>> libnumpack.float32
    libnumpack.float32
    >>> libnumpack.float32.itemsize, libnumpack.int64.is_floating_point
    (4, False)
    """

    __slots__ = ("name", "number", "itemsize", "is_floating_point", "is_complex", "_numpy")

    name: str
    number: int
    """The C interface's `NUMPACK_DTYPE_*`."""
    itemsize: int
    """Bytes of an element."""
    is_floating_point: bool
    is_complex: bool

    def __init__(self, name: str, number: int, itemsize: int, kind: str, numpy: str | None) -> None:
        self.name = name
        self.number = number
        self.itemsize = itemsize
        self.is_floating_point = kind == "f"
        self.is_complex = kind == "c"
        self._numpy = numpy

    def __repr__(self) -> str:
        return f"libnumpack.{self.name}"

    def __format__(self, spec: str) -> str:
        return format(repr(self), spec)

    def __reduce__(self) -> Any:
        return as_dtype, (self.name,)

    def numpy(self) -> np.dtype[Any] | None:
        """NumPy's type: its own, that of ml_dtypes where that is installed, else None."""
        if self._numpy is not None:
            return np.dtype(self._numpy)
        return _of_ml_dtypes(self.name)

    def raw(self) -> np.dtype[Any]:
        """NumPy's type of the same size that shows the elements, as bits where it has no better one."""
        return self.numpy() or np.dtype(f"<u{self.itemsize}" if self.itemsize in (1, 2) else f"V{self.itemsize}")


@lru_cache(maxsize=None)
def _of_ml_dtypes(name: str) -> np.dtype[Any] | None:
    try:
        import ml_dtypes
    except ImportError:
        return None
    found = getattr(ml_dtypes, name, None)
    return None if found is None else np.dtype(found)


_ALL: dict[str, dtype] = {}


def _add(name: str, number: int, size: int, kind: str, numpy: str | None = None) -> dtype:
    made = _ALL[name] = dtype(name, number, size, kind, numpy)
    return made


bool_ = _add("bool", c.DTYPE_BOOL, 1, "b", "?")
uint8 = _add("uint8", c.DTYPE_UINT8, 1, "u", "u1")
uint16 = _add("uint16", c.DTYPE_UINT16, 2, "u", "<u2")
uint32 = _add("uint32", c.DTYPE_UINT32, 4, "u", "<u4")
uint64 = _add("uint64", c.DTYPE_UINT64, 8, "u", "<u8")
int8 = _add("int8", c.DTYPE_INT8, 1, "i", "i1")
int16 = _add("int16", c.DTYPE_INT16, 2, "i", "<i2")
int32 = _add("int32", c.DTYPE_INT32, 4, "i", "<i4")
int64 = _add("int64", c.DTYPE_INT64, 8, "i", "<i8")
float16 = _add("float16", c.DTYPE_FLOAT16, 2, "f", "<f2")
float32 = _add("float32", c.DTYPE_FLOAT32, 4, "f", "<f4")
float64 = _add("float64", c.DTYPE_FLOAT64, 8, "f", "<f8")
complex64 = _add("complex64", c.DTYPE_COMPLEX64, 8, "c", "<c8")
complex128 = _add("complex128", c.DTYPE_COMPLEX128, 16, "c", "<c16")
bfloat16 = _add("bfloat16", c.DTYPE_BFLOAT16, 2, "f")
complex32 = _add("complex32", c.DTYPE_COMPLEX32, 4, "c")
bcomplex32 = _add("bcomplex32", c.DTYPE_BCOMPLEX32, 4, "c")
float8_e4m3fn = _add("float8_e4m3fn", c.DTYPE_FLOAT8_E4M3FN, 1, "f")
float8_e4m3fnuz = _add("float8_e4m3fnuz", c.DTYPE_FLOAT8_E4M3FNUZ, 1, "f")
float8_e5m2 = _add("float8_e5m2", c.DTYPE_FLOAT8_E5M2, 1, "f")
float8_e5m2fnuz = _add("float8_e5m2fnuz", c.DTYPE_FLOAT8_E5M2FNUZ, 1, "f")
float8_e8m0fnu = _add("float8_e8m0fnu", c.DTYPE_FLOAT8_E8M0FNU, 1, "f")
float4_e2m1fn_x2 = _add("float4_e2m1fn_x2", c.DTYPE_FLOAT4_E2M1FN_X2, 1, "f")
qint8 = _add("qint8", c.DTYPE_QINT8, 1, "q")
quint8 = _add("quint8", c.DTYPE_QUINT8, 1, "q")
qint32 = _add("qint32", c.DTYPE_QINT32, 4, "q")
quint4x2 = _add("quint4x2", c.DTYPE_QUINT4X2, 1, "q")
quint2x4 = _add("quint2x4", c.DTYPE_QUINT2X4, 1, "q")
bits8 = _add("bits8", c.DTYPE_BITS8, 1, "q")
bits16 = _add("bits16", c.DTYPE_BITS16, 2, "q")
bits1x8 = _add("bits1x8", c.DTYPE_BITS1X8, 1, "q")
bits2x4 = _add("bits2x4", c.DTYPE_BITS2X4, 1, "q")
bits4x2 = _add("bits4x2", c.DTYPE_BITS4X2, 1, "q")

_BY_NUMBER = {t.number: t for t in _ALL.values()}
_BY_NUMPY = {np.dtype(t._numpy): t for t in _ALL.values() if t._numpy is not None}
_WORDS = {
    "float": float32, "double": float64, "half": float16, "long": int64, "int": int32, "short": int16,
    "cfloat": complex64, "cdouble": complex128, "bool_": bool_,
}
"""torch's other names."""
_PYTHON: dict[Any, dtype] = {bool: bool_, int: int64, float: float32, complex: complex64}

DTypeLike = Union[dtype, np.dtype, type, str, Any]
"""An element type by any of its names."""


def of_number(number: int) -> dtype:
    """The type that the C interface calls so."""
    return _BY_NUMBER[number]


def of_numpy(found: np.dtype[Any]) -> dtype | None:
    """The type of NumPy's elements in whichever byte order, ml_dtypes' too."""
    known = _BY_NUMPY.get(found) or _BY_NUMPY.get(found.newbyteorder("<"))
    if known is None and found.kind in "Vf" and type(found.type(0)).__module__.startswith("ml_dtypes"):
        known = _ALL.get(found.name)
    return known


def as_dtype(wanted: DTypeLike) -> dtype:
    """The type that is meant.

    Raises `TypeError` where there is no such type.

    >>> import numpy as np
    >>> as_dtype(np.float64), as_dtype("torch.bfloat16"), as_dtype(float)
    (libnumpack.float64, libnumpack.bfloat16, libnumpack.float32)
    """
    if isinstance(wanted, dtype):
        return wanted
    found = None
    if isinstance(wanted, str):
        word = wanted.rpartition(".")[2]
        found = _ALL.get(word) or _WORDS.get(word)
    elif isinstance(wanted, type) and wanted in _PYTHON:
        found = _PYTHON[wanted]
    elif type(wanted).__module__ == "torch":
        found = _ALL.get(str(wanted).rpartition(".")[2])
    if found is None:
        try:
            found = of_numpy(np.dtype(wanted))
        except TypeError:
            pass
    if found is None:
        raise TypeError(f"{wanted!r} is no element type; give one such as libnumpack.float32 or 'float32'")
    return found


def names() -> dict[str, dtype]:
    """All of them, by name."""
    return dict(_ALL)


__all__ = ["dtype", "as_dtype", *(name for name in _ALL if name != "bool")]
