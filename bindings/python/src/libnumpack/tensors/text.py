"""How a tensor is shown: as PyTorch shows one, so that what people have seen so often looks the same.

The rules are those of PyTorch's printing: 4 digits behind the point, whole floats without any, powers of ten where
the largest number is more than 1000 times the smallest; of more than 1000 elements three at each end.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Callable

import numpy as np

from .. import dtypes

if TYPE_CHECKING:
    from .core import Tensor

_DIGITS = 4
_THRESHOLD = 1000
_EDGE = 3
_WIDTH = 80
_PREFIX = "tensor("

# Of these types the numbers say enough.
_USUAL = (dtypes.float32, dtypes.int64, dtypes.bool_, dtypes.complex64)


def shown(tensor: Tensor) -> str:
    """The text of ``repr(tensor)``."""
    suffixes = []
    if tensor.device.type != "cpu":
        suffixes.append(f"device='{tensor.device}'")
    if not tensor.numel():
        if tensor.ndim != 1:
            suffixes.append(f"size={tuple(tensor.shape)}")
        if tensor.dtype is not dtypes.float32:
            suffixes.append(f"dtype={tensor.dtype}")
        text = "[]"
    else:
        if tensor.dtype not in _USUAL:
            suffixes.append(f"dtype={tensor.dtype}")
        text = _elements(_plain(tensor))
    if tensor.requires_grad:
        suffixes.append("requires_grad=True")
    return _PREFIX + _with(text, suffixes) + ")"


def _plain(tensor: Tensor) -> np.ndarray[Any, Any]:
    """The elements in a type that NumPy computes with; those of others as their bits."""
    kind = tensor.dtype
    if kind.numpy() is not None and kind.raw().isbuiltin == 1:
        return tensor._flat()
    try:
        return tensor.detach().to(dtypes.complex64 if kind.is_complex else dtypes.float32)._flat()
    except TypeError:
        return tensor._flat().view(f"<u{kind.itemsize}")


def _with(text: str, suffixes: list[str]) -> str:
    length = len(text) - text.rfind("\n") + 1
    for suffix in suffixes:
        if length + len(suffix) + 2 > _WIDTH:
            text += ",\n" + " " * len(_PREFIX) + suffix
            length = len(_PREFIX) + len(suffix)
        else:
            text += ", " + suffix
            length += len(suffix) + 2
    return text


def _elements(array: np.ndarray[Any, Any]) -> str:
    summarise = array.size > _THRESHOLD
    show, width = _formatter(_edges(array) if summarise else array)
    return _nested(array, len(_PREFIX), summarise, show, width)


def _edges(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Three indices at each end of each dimension."""
    for axis, size in enumerate(array.shape):
        if size > 2 * _EDGE:
            array = array.take([*range(_EDGE), *range(size - _EDGE, size)], axis=axis)
    return array


Show = Callable[[Any], str]


def _formatter(array: np.ndarray[Any, Any]) -> tuple[Show, int]:
    """What shows one element, and the width that it takes."""
    if array.dtype.kind == "c":
        real, real_width = _formatter(array.real)
        imaginary, imaginary_width = _formatter(array.imag)

        def show_complex(value: Any) -> str:
            part = (imaginary(value.imag) + "j").lstrip()
            return real(value.real) + (part if part[0] in "+-" else "+" + part)

        return show_complex, real_width + imaginary_width + 1
    if array.dtype.kind != "f":
        width = max(len(str(value)) for value in array.reshape(-1).tolist())
        return (lambda value: str(value).rjust(width)), width
    return _of_floats(array)


def _of_floats(array: np.ndarray[Any, Any]) -> tuple[Show, int]:
    values = array.reshape(-1).astype(np.float64)
    values = values[np.isfinite(values) & (values != 0)]
    write: Show = "{:.0f}.".format
    if values.size:
        least, most = np.abs(values).min(), np.abs(values).max()
        whole = bool((values == np.ceil(values)).all())
        with np.errstate(over="ignore"):
            spread = most / least
        if spread > 1000 or most > 1e8 or (least < 1e-4 and not whole):
            write = f"{{:.{_DIGITS}e}}".format
        elif not whole:
            write = f"{{:.{_DIGITS}f}}".format
    width = max([1, *(len(write(value)) for value in values)])

    def show(value: Any) -> str:
        text = write(value) if math.isfinite(value) else str(float(value))
        return text.rjust(width)

    return show, width


def _nested(array: np.ndarray[Any, Any], indent: int, summarise: bool, show: Show, width: int) -> str:
    if array.ndim == 0:
        return show(array.item())
    cut = summarise and len(array) > 2 * _EDGE
    if array.ndim == 1:
        values = array.tolist()
        texts = [show(v) for v in (values[:_EDGE] if cut else values)]
        if cut:
            texts += [" ...", *(show(v) for v in values[-_EDGE:])]
        per_line = max(1, (_WIDTH - indent) // (width + 2))
        lines = [", ".join(texts[i : i + per_line]) for i in range(0, len(texts), per_line)]
        return "[" + (",\n" + " " * (indent + 1)).join(lines) + "]"
    rows = [*array[:_EDGE], None, *array[-_EDGE:]] if cut else list(array)
    parts = ["..." if r is None else _nested(r, indent + 1, summarise, show, width) for r in rows]
    return "[" + ("," + "\n" * (array.ndim - 1) + " " * (indent + 1)).join(parts) + "]"
