"""Python's values as the C interface takes them."""

from __future__ import annotations

import ctypes
import os
from typing import Any, Iterable, Sequence

from .library import callback


def path(value: Any) -> bytes:
    """A path as UTF-8."""
    return text(os.fsdecode(os.fspath(value)), "path")


def text(value: Any, what: str = "name") -> bytes:
    """A text as UTF-8, in which there is no NUL."""
    if not isinstance(value, str):
        raise TypeError(f"a {what} is a str, not {type(value).__name__}")
    found = value.encode("utf-8", "surrogateescape")
    if b"\0" in found:
        raise ValueError(f"there is a NUL in the {what} {value!r}; choose another")
    return found


def texts(values: Iterable[str], what: str = "name") -> Any:
    """Several, as an array; its length is their number."""
    found = [text(value, what) for value in values]
    return (ctypes.c_char_p * len(found))(*found)


def sizes(values: Sequence[int]) -> Any:
    """Lengths of dimensions. Raises `ValueError` for a negative one."""
    return _checked((ctypes.c_uint64 * len(values))(*values), values)


def numbers(values: Sequence[int]) -> Any:
    """Indices, dimensions and the like."""
    return _checked((ctypes.c_int64 * len(values))(*values), values)


def _checked(made: Any, values: Sequence[int]) -> Any:
    """Raises for numbers that do not fit, of which ctypes cuts bits off."""
    if made[:] != list(values):
        if any(value >= 1 << 63 or value < -(1 << 63) for value in values):
            raise OverflowError(f"one of {list(values)} does not fit 64 bits; give smaller numbers")
        raise ValueError(f"there is a negative size in {list(values)}; give 0 or more")
    return made


def handles(values: Sequence[Any]) -> Any:
    """Handles, as an array."""
    return (ctypes.c_void_p * len(values))(*values)


class Callbacks:
    """Callbacks of one call, and what they raised.

    Used around the call: whatever a callback raised stops the work, and is raised again in the place of the
    error that the stopped call gives.
    """

    def __init__(self) -> None:
        self._raised: BaseException | None = None
        self._kept: list[Any] = []

    def __enter__(self) -> Callbacks:
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        if self._raised is not None:
            raised, self._raised = self._raised, None
            raise raised

    def make(self, name: str, function: Any, default: Any = 0) -> Any:
        """A callback of this name. ``function`` returns what the callback is to return, or nothing."""
        stopped = 1 if default == 0 else default

        def guarded(*arguments: Any) -> Any:
            if self._raised is not None:
                return stopped
            try:
                return function(*arguments) or default
            except BaseException as e:  # KeyboardInterrupt too: nothing may pass through C
                self._raised = e
                return stopped

        made = callback(name, guarded)
        self._kept.append(made)
        return made
