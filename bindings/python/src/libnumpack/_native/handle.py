"""Handles: what the library gave, and takes back when nothing in Python refers to it any more."""

from __future__ import annotations

import ctypes
import os
import sys
from typing import Any

from .library import lib


class Handle(ctypes.c_void_p):
    """One handle, given to calls as it is. Each kind has a class, which knows how it is freed."""

    # Freed by ``__del__``: a finaliser of weakref's would cost more than most calls do.
    __slots__ = ()

    _free: Any

    @staticmethod
    def of(pointer: int, kind: str) -> Handle:
        """Of an address that a call gave or put into an array."""
        return (_kinds.get(kind) or _kind(kind))(pointer)

    def free(self) -> None:
        """Gives it back now. Nothing may be called with it any more."""
        self.__del__()
        self.value = None

    def hand_over(self) -> ctypes.c_void_p:
        """The pointer, for a call that ends what is behind it, whatever comes of the call."""
        pointer, self.value = ctypes.c_void_p(self.value), None
        return pointer

    @property
    def is_freed(self) -> bool:
        return not self

    def __del__(self, is_finalizing: Any = sys.is_finalizing) -> None:
        # When the interpreter ends, threads may still use memory that was lent, and the system takes all back.
        if self and not is_finalizing():
            self._free(self)


_kinds: dict[str, type[Handle]] = {}


def _kind(name: str) -> type[Handle]:
    free = staticmethod(getattr(lib, name + "_free"))
    # One for all threads, so that a child knows all that its parent made.
    return _kinds.setdefault(name, type(name, (Handle,), {"__slots__": (), "_free": free}))


def _forked() -> None:
    # The memory of a handle that a child has of its parent is a copy, but a device is not: it stays the parent's.
    for kind in _kinds.values():
        kind._free = staticmethod(lambda _: None)
    _kinds.clear()


os.register_at_fork(after_in_child=_forked)


def make(kind: str, function: str, *arguments: Any) -> Handle:
    """Calls ``function``, whose last parameter is where a new handle of this kind goes."""
    out = (_kinds.get(kind) or _kind(kind))()
    try:
        getattr(lib, function)(*arguments, ctypes.byref(out))
    except ctypes.ArgumentError as e:
        # ctypes' own kind, which is no TypeError.
        raise TypeError(f"an argument is of the wrong type; {function} says of it: {e}") from None
    return out
