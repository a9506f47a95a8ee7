"""Handles: what the library gave, and takes back when nothing in Python refers to it any more."""

from __future__ import annotations

import ctypes
import os
import weakref
from typing import Any

from .library import lib


class Handle:
    """One handle, given to calls as it is."""

    __slots__ = ("_as_parameter_", "_finalizer", "__weakref__")

    def __init__(self, pointer: int, kind: str) -> None:
        self._as_parameter_ = ctypes.c_void_p(pointer)
        self._finalizer = weakref.finalize(self, _free, kind, pointer, os.getpid())

    def free(self) -> None:
        """Gives it back now. Nothing may be called with it any more."""
        self._finalizer()
        self._as_parameter_ = ctypes.c_void_p(None)

    def hand_over(self) -> ctypes.c_void_p:
        """The pointer, for a call that ends what is behind it, whatever comes of the call."""
        self._finalizer.detach()
        pointer, self._as_parameter_ = self._as_parameter_, ctypes.c_void_p(None)
        return pointer

    def outlive_exit(self) -> None:
        """Leaves it to the system when the interpreter ends: other threads may still use memory that it lends."""
        self._finalizer.atexit = False

    @property
    def is_freed(self) -> bool:
        return not self._finalizer.alive


def _free(kind: str, pointer: int, owner: int) -> None:
    # In a forked child the memory is a copy, but a device is not: it stays the parent's.
    if owner == os.getpid():
        getattr(lib, f"{kind}_free")(pointer)


def make(kind: str, function: str, *arguments: Any) -> Handle:
    """Calls ``function``, whose last parameter is where a new handle of this kind goes."""
    out = ctypes.c_void_p()
    getattr(lib, function)(*arguments, ctypes.byref(out))
    assert out.value is not None
    return Handle(out.value, kind)
