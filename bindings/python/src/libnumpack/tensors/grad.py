"""Whether gradients are tracked, on each thread for itself."""

from __future__ import annotations

import ctypes
import functools
from typing import Any, Callable, TypeVar

from .._native import Handle, lib, make, structs

F = TypeVar("F", bound=Callable[..., Any])


def grad_of(leaf: Any, expected: Any = None) -> Handle | None:
    """The gradient of a leaf, both as handles; None too if it is not equal to the one that is expected."""
    found = make("nn_tensor", "nn_tensor_grad", leaf)
    if found.is_freed or (expected is not None and _bytes(found) != _bytes(expected)):
        return None
    return found


def _bytes(tensor: Handle) -> bytearray:
    info = structs["nn_tensor_info"]()
    lib.nn_tensor_get_info(tensor, info)
    found = bytearray(info.nbytes)
    if found:
        lib.nn_tensor_read(tensor, ctypes.addressof(ctypes.c_char.from_buffer(found)), len(found))
    return found


def _set(enabled: bool) -> bool:
    before = ctypes.c_int32()
    lib.nn_set_grad_enabled(enabled, ctypes.byref(before))
    return bool(before.value)


def is_grad_enabled() -> bool:
    """Whether operations on this thread note what their results were computed of."""
    before = _set(True)
    if not before:
        _set(False)
    return before


class set_grad_enabled:
    """Tracks gradients or does not, from here on, or within a ``with`` block.

    >>> import libnumpack
    >>> with libnumpack.set_grad_enabled(False):
    ...     libnumpack.is_grad_enabled()
    False
    """

    def __init__(self, enabled: bool) -> None:
        self._before = _set(enabled)

    def __enter__(self) -> None:
        return None

    def __exit__(self, *_: Any) -> None:
        _set(self._before)


class _Mode:
    """A ``with`` block or a decorator. One object may be entered several times."""

    _enabled: bool

    def __init__(self) -> None:
        self._before: list[bool] = []

    def __enter__(self) -> None:
        self._before.append(_set(self._enabled))

    def __exit__(self, *_: Any) -> None:
        _set(self._before.pop())

    def __call__(self, function: F) -> F:
        @functools.wraps(function)
        def within(*arguments: Any, **named: Any) -> Any:
            with type(self)():
                return function(*arguments, **named)

        return within  # type: ignore[return-value]


class no_grad(_Mode):
    """Within it nothing is noted for gradients: ``with no_grad():``, or ``@no_grad()`` on a function.

    >>> import libnumpack
    >>> x = libnumpack.tensor([1.0], requires_grad=True)
    >>> with libnumpack.no_grad():
    ...     y = x * 2
    >>> y.requires_grad
    False
    """

    _enabled = False


class enable_grad(_Mode):
    """Undoes `no_grad` within it."""

    _enabled = True
