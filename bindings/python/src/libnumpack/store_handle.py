"""An open store: its folder, whether it changed, and who is changing it."""

from __future__ import annotations

import ctypes
import os
import threading
import time
import warnings
import weakref
from contextlib import contextmanager
from typing import Any, Iterator

from ._native import Callbacks, Handle, lib, make, path, structs, text
from .errors import MissingError, StoreError
from .store_rows import Info, infos

_SETTLED = 50_000_000
"""A folder's time of change is only good to tell a later one from if it is this many nanoseconds old: the
system's clock for it goes in ticks of up to 10 ms."""

_changing: dict[str, tuple[int, int]] = {}
"""Stores, and the process and thread that has one locked beyond a call. A change of the same store by the
same thread would wait for ever."""


def warn(messages: list[str], level: int = 3) -> None:
    """The library's warnings as Python's."""
    for message in messages:
        warnings.warn(message, RuntimeWarning, stacklevel=level + 1)


class Folder:
    """A folder, held open to see whether anything in it came, went or got another name."""

    __slots__ = ("_number", "__weakref__")

    def __init__(self, place: str) -> None:
        self._number = os.open(
            place, os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_CLOEXEC", 0)
        )
        weakref.finalize(self, os.close, self._number)

    def stamp(self) -> int:
        """When that was last. Every commit of a store moves files, so this changes with each."""
        return os.fstat(self._number).st_mtime_ns


class OpenStore:
    """A store at a path, or the place for one."""

    def __init__(self, place: str) -> None:
        self.path = place
        self._handle: Handle | None = None
        self._folder: Folder | None = None
        self._lock = threading.Lock()

    def _name(self) -> bytes:
        return path(self.path)

    def look(self) -> Handle | None:
        """Opens the store, if there is one.

        Raises `FormatError` where there is something else than an empty folder.
        """
        with self._lock:
            if self._handle is None and not self._is_free():
                handle = make("store", "store_open", self._name(), None)
                self._note_warnings(handle)
                self._folder = Folder(self.path)
                self._handle = handle
            return self._handle

    def _is_free(self) -> bool:
        """Whether there is nothing at the path but perhaps an empty folder."""
        try:
            with os.scandir(self.path) as found:
                return next(found, None) is None
        except FileNotFoundError:
            return True
        except OSError:  # not a folder, no permission: opening says what
            return False

    def _note_warnings(self, handle: Handle) -> None:
        messages: list[str] = []
        with Callbacks() as callbacks:
            note = callbacks.make(
                "warning_fn", lambda message, _: messages.append(message.decode("utf-8", "replace")), None
            )
            lib.list_warnings(make("list", "store_list", handle), note, None)
        warn(messages, 5)

    def empty(self) -> None:
        """Puts a store without arrays in the place of the one that is there, if there is one."""
        if self._is_free():
            return
        self.check_thread()
        writer = make("writer", "writer_replace", self._name(), None)
        commit(writer)
        self.look()

    def for_reading(self) -> Handle:
        """The handle. Raises `FileNotFoundError` where there is no store."""
        found = self._handle or self.look()
        if found is None:
            raise FileNotFoundError(2, "there is no store here; save an array to make one", self.path)
        return found

    def infos(self) -> list[Info]:
        """What the store holds now; nothing where there is none."""
        found = self._handle or self.look()
        return [] if found is None else infos(make("list", "store_list", found))

    def info(self, name: str) -> Info | None:
        """What there is of one array now, hidden ones too."""
        found = self._handle or self.look()
        if found is None:
            return None
        try:
            array = make("array", "array_open", found, text(name))
        except MissingError:
            return None
        info = structs["array_info"]()
        lib.array_get_info(array, ctypes.byref(info))
        return Info(info)

    def settled(self) -> tuple[Folder, int]:
        """The folder, and when it last changed; 0 if that is too recent to tell the next change from it."""
        self.for_reading()
        assert self._folder is not None
        stamp = self._folder.stamp()
        return self._folder, stamp if time.time_ns() - stamp > _SETTLED else 0

    # -- changes

    def check_thread(self) -> None:
        """Raises `StoreError` where a change would wait for this very thread."""
        if _changing.get(os.path.realpath(self.path)) == (os.getpid(), threading.get_ident()):
            raise StoreError(
                f"this thread has {self.path} open in batch_mode or writable_batch_mode; change the store "
                "through that, or leave it first"
            )

    @contextmanager
    def changing(self) -> Iterator[Handle]:
        """The handle for one change, made first where there is no store."""
        self.check_thread()
        handle = self._handle or self.look()
        if handle is None:
            os.makedirs(os.path.dirname(self.path), exist_ok=True)
            make("store", "store_open_or_create", self._name(), None).free()
            handle = self.for_reading()
        yield handle

    def begin(self) -> Handle:
        """A writer for many changes, which makes the store where there is none."""
        self.check_thread()
        handle = self._handle or self.look()
        if handle is None:
            os.makedirs(os.path.dirname(self.path), exist_ok=True)
            return make("writer", "writer_create", self._name(), None)
        return make("writer", "store_begin", handle, None)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Notes that this thread has the store locked."""
        name = os.path.realpath(self.path)
        _changing[name] = os.getpid(), threading.get_ident()
        try:
            yield
        finally:
            _changing.pop(name, None)


def commit(writer: Handle) -> None:
    """Commits what a writer did, and ends it."""
    messages: list[str] = []
    with Callbacks() as callbacks:
        note = callbacks.make(
            "warning_fn", lambda message, _: messages.append(message.decode("utf-8", "replace")), None
        )
        lib.writer_commit(writer.hand_over(), note, None)
    warn(messages, 4)


def warnings_of(call: Any) -> Any:
    """Calls with a callback for warnings, which become Python's when the call is done."""
    messages: list[str] = []
    with Callbacks() as callbacks:
        note = callbacks.make(
            "warning_fn", lambda message, _: messages.append(message.decode("utf-8", "replace")), None
        )
        found = call(note)
    warn(messages, 4)
    return found
