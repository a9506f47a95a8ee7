"""Many changes of a store at once: in one commit, or in memory that is the file's."""

from __future__ import annotations

import ctypes
import os
import threading
import weakref
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import numpy as np

from ._native import Handle, lib, make, structs, text, texts
from ._native import constants as c
from .errors import MissingError, StoreError
from .store_handle import OpenStore, commit
from .store_rows import Info, Rows, lent
from .store_views import Piece, of_array, views

if TYPE_CHECKING:
    from .store import NumPack

_MEMORY = 256
"""MiB of arrays that batch_mode keeps in memory, if not told otherwise."""


class BatchModeContext:
    """What `NumPack.batch_mode` gives: the changes until the ``with`` statement ends are one commit."""

    def __init__(self, numpack_instance: NumPack, memory_limit: float | None = None) -> None:
        if memory_limit is not None and memory_limit < 0:
            raise ValueError(f"memory_limit is a number of MiB, not {memory_limit}")
        self.npk = numpack_instance
        self.memory_limit = memory_limit
        self._limit = int((_MEMORY if memory_limit is None else memory_limit) * (1 << 20))
        self._lock = threading.RLock()
        self._writer: Handle | None = None
        self._stack = ExitStack()
        self._forget()

    def _forget(self) -> None:
        self._cached: dict[str, np.ndarray] = {}
        """Arrays as `NumPack.load` gave them, and such as were saved."""
        self._pending: set[str] = set()
        """Those of them that the writer does not have yet."""
        self._names: dict[str, None] = {}
        """All arrays, in order: a writer cannot list them."""
        self._scalars: set[str] = set()
        """Arrays of 0 dimensions that were saved here: a writer shows them as one row."""
        self._changed = False

    def __enter__(self) -> BatchModeContext:
        npk = self.npk
        store = npk._checked()
        if npk._batch is not None:
            return self  # a part of that one
        if self._writer is not None:
            raise StoreError("this batch_mode is in use; make another")
        self._writer = store.begin()
        self._stack.enter_context(store.held())
        self._names = dict.fromkeys(info.name for info in store.infos() if not info.hidden)
        npk._kept = {}
        npk._batch = self
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        if self.npk._batch is not self:
            return
        writer = self._writer
        assert writer is not None
        try:
            with self._lock:
                if kind is None:
                    self._flush()
                if kind is None and self._changed:
                    commit(writer)
                else:
                    writer.free()
        finally:
            if not writer.is_freed:
                writer.free()
            self.npk._batch = None
            self._writer = None
            self._stack.close()
            self._forget()

    def _call(self, what: str, names: list[str], *arguments: Any) -> None:
        """A change other than saving, of the arrays of these names."""
        with self._lock:
            self._flush()
            self._cached.clear()
            self._changed = True
            getattr(lib, f"writer_{what}")(self._writer, *arguments)
            if what == "reset":
                self._names.clear()
                self._scalars.clear()
            elif what == "remove_arrays":
                for name in names:
                    self._names.pop(name, None)
                    self._scalars.discard(name)
            elif what in ("rename_array", "clone_array"):
                old, new = names
                self._names[new] = None
                if old in self._scalars:
                    self._scalars.add(new)
                if what == "rename_array":
                    self._names.pop(old, None)
                    self._scalars.discard(old)

    def _load(self, name: str) -> np.ndarray:
        with self._lock:
            found = self._cached.get(name)
            if found is None:
                found = self._rows(name).read()
                self._cached[name] = found
                self._make_room()
            return found

    def _save(self, arrays: dict[str, Any], pieces: dict[str, Piece]) -> None:
        with self._lock:
            for name, piece in pieces.items():
                if not piece.is_plain:
                    self._check_type(name, piece)
            for name, piece in pieces.items():
                given = arrays[name]
                if self._cached.get(name) is not given or not isinstance(given, np.ndarray):
                    if piece.nbytes > self._limit or not isinstance(piece.owner, np.ndarray):
                        self._cached.pop(name, None)
                        self._pending.discard(name)
                        self._write({name: piece})
                        continue
                    self._cached[name] = piece.owner.copy()
                self._pending.add(name)
                self._names[name] = None
            self._make_room()

    def _check_type(self, name: str, piece: Piece) -> None:
        """A writer has plain elements only, but it can put others in the place of such."""
        info = self._rows(name).info if name in self._names else None
        if info is None or info.logical is not piece.dtype or info.shape != piece.shape or not piece.shape:
            raise TypeError(
                f"a new array of {piece.dtype.name} cannot be saved within batch_mode: "
                f"save {name!r} before or after it"
            )

    def _make_room(self) -> None:
        if sum(array.nbytes for array in self._cached.values()) > self._limit:
            self._flush()
            self._cached.clear()

    def _flush(self) -> None:
        """Hands all pending arrays to the writer."""
        pending = {name: of_array(self._cached[name]) for name in self._names if name in self._pending}
        self._pending.clear()
        if pending:
            self._write(pending)

    def _write(self, pieces: dict[str, Piece]) -> None:
        self._changed = True
        plain = {name: piece for name, piece in pieces.items() if piece.is_plain}
        if plain:
            made = views(piece.view() for piece in plain.values())
            lib.writer_save(self._writer, texts(plain), made, len(plain))
        for name, piece in pieces.items():
            self._names[name] = None
            self._scalars.discard(name)
            if not piece.shape:
                self._scalars.add(name)
            if not piece.is_plain:
                view = piece.view(c.DTYPE_UINT8 if piece.dtype.itemsize == 1 else c.DTYPE_UINT16)
                everything = structs["rows"](kind=c.ROWS_ALL)
                lib.writer_replace_rows(
                    self._writer, text(name), ctypes.byref(everything), ctypes.byref(view)
                )

    def _rows(self, name: str) -> Rows:
        """An array with the changes so far. It is read rather than mapped: if they are given up, the file
        shrinks."""
        with self._lock:
            self._flush()
            array = make("array", "writer_array", self._writer, text(name))
            return Rows(array, () if name in self._scalars else None, mapped=False)

    def _infos(self) -> list[Info]:
        with self._lock:
            return [self._rows(name).info for name in list(self._names)]


class WritableBatchMode:
    """What `NumPack.writable_batch_mode` gives: arrays as memory to work in."""

    def __init__(self, numpack_instance: NumPack) -> None:
        self.npk = numpack_instance
        self._store: OpenStore | None = None
        self._locked: Handle | None = None
        """The rows of the array that was loaded last: they keep the store locked."""
        self._loaded: dict[str, tuple[np.ndarray, _Shared | None, Info]] = {}
        self._stack = ExitStack()

    def __enter__(self) -> WritableBatchMode:
        if self._store is not None:
            raise StoreError("this writable_batch_mode is in use; make another")
        store = self.npk._checked()
        store.check_thread()
        store.for_reading()
        self._store = store
        return self

    def load(self, array_name: str) -> np.ndarray:
        """The array as memory that can be written, the same object each time.

        It is good until the ``with`` statement ends, and read-only after it.

        Raises `KeyError` where there is no such array, and `ValueError` for one with dropped rows:
        `NumPack.update` it first.
        """
        if self._store is None:
            raise StoreError("writable_batch_mode is over; use it in a with statement")
        found = self._loaded.get(array_name)
        if found is None:
            found = self._loaded[array_name] = self._load(self._store, array_name)
        return found[0]

    def _load(self, store: OpenStore, name: str) -> tuple[np.ndarray, _Shared | None, Info]:
        # Each of them locks the store; the one before has to go first, and its memory stays as a second map.
        if self._locked is not None:
            lib.rows_mut_flush(self._locked)
            self._unlock()
        rows = make("rows_mut", "store_map_rows_mut", store.for_reading(), text(name))
        self._locked = rows
        self._stack.enter_context(store.held())
        info = store.info(name)
        if info is None:
            raise MissingError(f"{store.path} holds no array {name!r}")
        self._check_loaded(store)
        data, size = ctypes.c_void_p(), ctypes.c_size_t()
        lib.rows_mut_get(rows, ctypes.byref(data), ctypes.byref(size))
        if not data.value:
            return np.empty(info.shape, info.dtype), None, info
        shared = _Shared(data.value, size.value)
        return lent(shared.address, info.shape, info.dtype, shared, False), shared, info

    def _check_loaded(self, store: OpenStore) -> None:
        """Between two arrays the store was not locked: whether somebody gave one that is here another
        file."""
        for name, (_, _, before) in self._loaded.items():
            now = store.info(name)
            if now is None or (now.modified, now.shape, now.stored_rows) != (
                before.modified,
                before.shape,
                before.stored_rows,
            ):
                raise StoreError(
                    f"another writer changed {name!r} meanwhile; load all arrays before you write"
                )

    def save(self, arrays_dict: dict[str, Any]) -> None:
        """Copies arrays into those of their names; one that `load` gave is there already.

        Raises `ValueError` for another shape.
        """
        for name, given in arrays_dict.items():
            array = self.load(name)
            if given is not array:
                value = np.asarray(given)
                if value.shape != array.shape:
                    raise ValueError(
                        f"{name!r} has shape {array.shape}, not {value.shape}, and keeps it in this mode"
                    )
                np.copyto(array, value, casting="same_kind")

    def _unlock(self) -> None:
        self._stack.close()
        if self._locked is not None:
            self._locked.free()
            self._locked = None

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        try:
            for array, shared, _ in self._loaded.values():
                array.flags.writeable = False
                if shared is not None:
                    shared.sync()
            if self._locked is not None:
                lib.rows_mut_flush(self._locked)
        finally:
            self._loaded.clear()
            self._unlock()
            self._store = None


def _libc() -> Any:
    found = ctypes.CDLL(None, use_errno=True)
    found.mremap.restype = ctypes.c_void_p
    found.mremap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_size_t, ctypes.c_int]
    found.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
    found.msync.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    return found


class _Shared:
    """A second map of the same pages of a file as another one that is shared.

    The library's own map ends with the lock of the store, and arrays of it may live on: this one stays as
    long as they do.
    """

    __slots__ = ("address", "size", "_libc", "__weakref__")

    _MAY_MOVE = 1
    _SYNC = 4

    def __init__(self, address: int, size: int) -> None:
        self._libc = _libc()
        self.size = size
        # An old size of 0 asks for a second map, mremap(2).
        found = self._libc.mremap(address, 0, size, self._MAY_MOVE)
        if found is None or found == ctypes.c_void_p(-1).value:
            number = ctypes.get_errno()
            raise OSError(number, f"the rows cannot be mapped: {os.strerror(number)}")
        self.address: int = found
        weakref.finalize(self, self._libc.munmap, found, size).atexit = False

    def sync(self) -> None:
        """Returns when what was written is on the disk."""
        if self._libc.msync(self.address, self.size, self._SYNC):
            number = ctypes.get_errno()
            raise OSError(number, f"the rows cannot be synced: {os.strerror(number)}")
