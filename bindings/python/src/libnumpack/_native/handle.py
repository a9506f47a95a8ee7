"""Handles: what the library gave, and takes back when nothing in Python refers to it any more."""

from __future__ import annotations

import ctypes
import os
import sys
from typing import Any

from .library import lib

_process = object()
"""Another one in each process: handles that a forked child has of its parent do not have the child's."""


def _forked() -> None:
    global _process
    _process = object()


_frees: dict[str, Any] = {}


def _free_of(kind: str) -> Any:
    found = _frees[kind] = getattr(lib, kind + "_free")
    return found


os.register_at_fork(after_in_child=_forked)


class Handle:
    """One handle, given to calls as it is."""

    # Freed by ``__del__``: a finaliser of weakref's would cost more than most calls do.
    __slots__ = ("_as_parameter_", "_free", "_owner", "__weakref__")

    def __init__(self, pointer: ctypes.c_void_p, kind: str) -> None:
        self._as_parameter_ = pointer
        self._free = _frees.get(kind) or _free_of(kind)
        self._owner = _process

    @classmethod
    def of(cls, pointer: int, kind: str) -> Handle:
        """Of an address that a call gave or put into an array."""
        return cls(ctypes.c_void_p(pointer), kind)

    def free(self) -> None:
        """Gives it back now. Nothing may be called with it any more."""
        self.__del__()
        self._as_parameter_ = ctypes.c_void_p()

    def hand_over(self) -> ctypes.c_void_p:
        """The pointer, for a call that ends what is behind it, whatever comes of the call."""
        pointer, self._as_parameter_ = self._as_parameter_, ctypes.c_void_p()
        return pointer

    @property
    def is_freed(self) -> bool:
        return not self._as_parameter_

    def __del__(self, is_finalizing: Any = sys.is_finalizing) -> None:
        pointer = self._as_parameter_
        # In a forked child the memory is a copy, but a device is not: it stays the parent's. When the interpreter
        # ends, threads may still use memory that was lent, and the system takes all back.
        if pointer and not is_finalizing() and self._owner is _process:
            self._free(pointer)


def make(kind: str, function: str, *arguments: Any) -> Handle:
    """Calls ``function``, whose last parameter is where a new handle of this kind goes."""
    out = ctypes.c_void_p()
    try:
        getattr(lib, function)(*arguments, ctypes.byref(out))
    except ctypes.ArgumentError as e:
        # ctypes' own kind, which is no TypeError.
        raise TypeError(f"an argument is of the wrong type; {function} says of it: {e}") from None
    return Handle(out, kind)
