"""Arrays in a folder: saved, read, appended to and replaced by rows, each change durable when the call
returns.

| Module | Holds |
|---|---|
| `store` | `NumPack` |
| `store_modes` | `NumPack.batch_mode` and `NumPack.writable_batch_mode` |
| `store_handle` | the open store: its folder, whether it changed, and who is changing it |
| `store_rows` | the rows of an array, indexed |
| `store_views` | what is written |
| `lazy` | `LazyArray` |
"""

from __future__ import annotations

import ctypes
import gc
import os
import warnings
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Tuple, Union

import numpy as np

from ._native import constants as c
from ._native import lib, path, text, texts
from .errors import MissingError
from .lazy import LazyArray
from .store_handle import OpenStore
from .store_modes import BatchModeContext, WritableBatchMode
from .store_rows import Info, Rows
from .store_views import Choice, Piece, fitting, named, of_array, save_tensors, views

__all__ = ["BatchModeContext", "LazyArray", "NumPack", "WritableBatchMode", "force_cleanup_windows_handles"]

Indexes = Union[int, List[int], Tuple[int, ...], np.ndarray, slice]
"""Rows: a number, several, a mask with a truth value for each row, or a slice. Negative numbers count from
the end."""

_KEPT = 64
"""Arrays that are held open for `NumPack.getitem`."""


class NumPack:
    """A store of arrays: a folder, by convention named ``*.npk``, that the public ``numpack`` package reads
    too.

    It is opened by `open`, or by a ``with`` statement:

    >>> import numpy as np, tempfile, os
    >>> from libnumpack import NumPack
    >>> path = os.path.join(tempfile.mkdtemp(), "vectors.npk")
    >>> with NumPack(path) as npk:
    ...     npk.save({"vectors": np.arange(6.0).reshape(3, 2)})
    ...     npk.append({"vectors": np.array([[6.0, 7.0]])})
    ...     npk.getitem("vectors", [0, -1])
    array([[0., 1.],
           [6., 7.]])

    Every change is on the disk, whole, when its call returns; a crash at any point leaves the state before or
    after. Many may read a store while one writes; a second writer waits. Threads may share an object. In a
    forked child it reads on, but refuses changes with `StoreError`: open the store there.

    A store is made by the first change, not by opening: until then a path where nothing is has no arrays, and
    reading one is a `FileNotFoundError`.

    Parameters
    ----------
    filename : str or Path
        Where the store is, or is to be made.
    drop_if_exists : bool
        Replace the store that is there by an empty one, at the first `open`. Anything else that is there is
        left alone, as `open` has it.
    strict_context_mode : bool
        Refuse to be used outside of a ``with`` statement.
    warn_no_context : bool, optional
        Warn if that is not demanded. Default: no.
    force_gc_on_close : bool
        Collect garbage at `close`.
    """

    def __init__(
        self,
        filename: Union[str, Path],
        drop_if_exists: bool = False,
        strict_context_mode: bool = False,
        warn_no_context: Optional[bool] = None,
        force_gc_on_close: bool = False,
    ) -> None:
        self._filename = Path(filename)
        self._drop_if_exists = drop_if_exists
        self._strict_context_mode = strict_context_mode
        self._force_gc_on_close = force_gc_on_close
        self._context_entered = False
        self._store: Optional[OpenStore] = None
        self._batch: Optional[BatchModeContext] = None
        self._kept: Dict[str, Tuple[Rows, Any, int]] = {}
        if warn_no_context and not strict_context_mode:
            warnings.warn(
                f"the NumPack of {str(filename)!r} can be used outside of a with statement, where only "
                "close() frees its files; give strict_context_mode=True, or warn_no_context=False",
                UserWarning,
                stacklevel=2,
            )

    # -- opening and closing

    def open(self) -> None:
        """Opens the store. Does nothing if it is open; opens it again after `close`.

        Raises `FormatError` for a folder that is no store, or a damaged one, and `NotADirectoryError` for a
        file.
        """
        if self._store is not None:
            return
        store = OpenStore(os.path.abspath(self._filename))
        if self._drop_if_exists:
            store.empty()
            self._drop_if_exists = False
        else:
            store.look()
        self._store = store

    def close(self, force_gc: Optional[bool] = None) -> None:
        """Closes the store; all changes are on the disk already. Arrays and lazy arrays that came from it
        live on."""
        if self._batch is not None:
            raise RuntimeError("the store is in batch_mode; leave that first")
        if self._store is None:
            return
        # Other threads may be in the middle of a call: what they use goes when they are done.
        self._store = None
        self._kept = {}
        if force_gc or (force_gc is None and self._force_gc_on_close):
            gc.collect()

    def __enter__(self) -> NumPack:
        self.open()
        self._context_entered = True
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        self._context_entered = False
        self.close()

    @property
    def is_opened(self) -> bool:
        """Whether it is open."""
        return self._store is not None

    @property
    def is_closed(self) -> bool:
        """Whether it is closed, or was not opened yet."""
        return self._store is None

    def __repr__(self) -> str:
        if self._store is None:
            return f"NumPack({self._filename}, status=closed)"
        try:
            return f"NumPack({self._filename}, arrays={len(self._infos())})"
        except Exception:  # what is wrong is for calls to say
            return f"NumPack({self._filename}, status=opened)"

    def _checked(self) -> OpenStore:
        store = self._store
        if store is None:
            raise RuntimeError(
                f"the NumPack of {str(self._filename)!r} is not opened or has been closed; call open(), or "
                "use it in a with statement"
            )
        if self._strict_context_mode and not self._context_entered:
            raise RuntimeError(
                f"the NumPack of {str(self._filename)!r} is in strict context mode; "
                "use it in a with statement"
            )
        return store

    # -- changes

    def _change(self, what: str, names: List[str], *arguments: Any) -> None:
        """A change of some arrays by the function of that name, of the store or of the writer that batch_mode
        has."""
        if self._batch is not None:
            self._batch._call(what, names, *arguments)
            return
        store = self._checked()
        with store.changing() as handle:
            getattr(lib, f"store_{what}")(handle, *arguments)

    def save(self, arrays: Dict[str, Any]) -> None:
        """Writes arrays, each in the place of one of its name, whatever that one's type and shape: all or
        none.

        They may be anything that NumPy takes, tensors of torch on any device, and objects of DLPack; any
        strides and byte order. bfloat16 and float8, of ml_dtypes, torch or this library, keep their type.

        Raises `TypeError` for elements that are no numbers.
        """
        store = self._checked()
        pieces = {name: of_array(array) for name, array in named(arrays).items()}
        if not pieces:
            return
        if self._batch is not None:
            self._batch._save(arrays, pieces)
        elif all(piece.is_plain for piece in pieces.values()):
            self._change(
                "save", list(pieces), texts(pieces), views(p.view() for p in pieces.values()), len(pieces)
            )
        else:
            with store.changing():
                save_tensors(path(store.path), pieces, c.EXISTING_MERGE)

    def append(self, arrays: Dict[str, Any]) -> None:
        """Adds rows at the end of arrays, all or none: `{name: rows}`, of shape ``(n, ...)`` or one row of
        ``(...)``.

        Raises `KeyError` for an array that is not there, `TypeError` for rows of another element type,
        `ValueError` for such of another shape.
        """
        pieces = self._fitting(arrays)
        if pieces:
            made = [piece.view(info.stored.number) for piece, info in pieces.values()]
            self._change("append", list(pieces), texts(pieces), views(made), len(pieces))

    def replace(self, arrays: Dict[str, Any], indexes: Indexes) -> None:
        """Replaces rows, in the order of ``indexes``: `{name: rows}`, as many rows as indexes, or one row for
        one.

        Of a row that is named twice, the last one counts. Several arrays are changed all or none.

        Raises `IndexError` for a row that is not there, and otherwise as `append`.
        """
        self._checked()
        named(arrays)
        choice = Choice(indexes)
        pieces = self._fitting(arrays)
        if len(pieces) > 1 and self._batch is None:
            with self.batch_mode():
                self._replace(pieces, choice)
        else:
            self._replace(pieces, choice)

    def _replace(self, pieces: Dict[str, Tuple[Piece, Info]], choice: Choice) -> None:
        for name, (piece, info) in pieces.items():
            view = piece.view(info.stored.number)
            choice.checked(
                info.shape[0] if info.shape else 0,
                lambda: self._change(
                    "replace_rows", [name], text(name), ctypes.byref(choice.rows), ctypes.byref(view)
                ),
            )

    def _fitting(self, arrays: Any) -> Dict[str, Tuple[Piece, Info]]:
        self._checked()
        found = {}
        for name, array in named(arrays).items():
            info = self._info(name)
            found[name] = fitting(array, info), info
        return found

    def drop(self, array_name: Union[str, List[str]], indexes: Optional[Indexes] = None) -> None:
        """Drops arrays, or rows of them, all or none.

        A dropped array is gone from the list; one that is not there is gone already. Dropped rows are not
        seen any more, and `update` frees their room.

        Raises `IndexError` for a row that is not there, and `KeyError` for rows of such an array.
        """
        self._checked()
        names = [array_name] if isinstance(array_name, str) else list(array_name)
        if indexes is None:
            names = [name for name in dict.fromkeys(names) if self._find(name) is not None]
            if names:
                self._change("remove_arrays", names, texts(names), len(names))
            return
        choice = Choice(indexes)
        if len(names) > 1 and self._batch is None:
            with self.batch_mode():
                self._drop(names, choice)
        else:
            self._drop(names, choice)

    def _drop(self, names: List[str], choice: Choice) -> None:
        for name in names:
            shape = self._info(name).shape
            choice.checked(
                shape[0] if shape else 0,
                lambda: self._change("drop_rows", [name], text(name), ctypes.byref(choice.rows), None),
            )

    def update(self, array_name: str) -> None:
        """Frees the room of an array's dropped rows. Raises `KeyError` where it is not there."""
        self._checked()
        self._change("compact", [array_name], text(array_name), None)

    def clone(self, source_name: str, target_name: str) -> None:
        """Copies an array to another name. Raises `KeyError` where it is not there, `ValueError` for a name
        in use."""
        self._checked()
        self._change("clone_array", [source_name, target_name], text(source_name), text(target_name))

    def rename(self, array_name: str, new_name: str) -> None:
        """Gives an array another name. Raises `KeyError` where it is not there, `ValueError` for a name in
        use."""
        self._checked()
        self._change("rename_array", [array_name, new_name], text(array_name), text(new_name))

    def reset(self) -> None:
        """Takes all arrays out of the store."""
        self._checked()
        self._change("reset", [])

    # -- reading

    def _rows(self, name: str) -> Rows:
        """An array as it is now."""
        if self._batch is not None:
            return self._batch._rows(name)
        return Rows.open(self._checked().for_reading(), name)

    def _info(self, name: str) -> Info:
        """What there is of an array now."""
        if self._batch is not None:
            return self._batch._rows(name).info
        store = self._checked()
        found = store.info(name)
        if found is not None:
            return found
        store.for_reading()
        raise MissingError(f"{self._filename} holds no array {name!r}; get_member_list() says what there is")

    def _find(self, name: str) -> Optional[Info]:
        """What there is of an array now, if it is there."""
        if self._batch is None:
            return self._checked().info(name)
        try:
            return self._batch._rows(name).info
        except KeyError:
            return None

    def _infos(self) -> List[Info]:
        if self._batch is not None:
            return self._batch._infos()
        return [info for info in self._checked().infos() if not info.hidden]

    def load(self, array_name: str, lazy: bool = False) -> Any:
        """An array: read into memory of its own, or, if ``lazy``, a `LazyArray`, whose rows are read when
        asked for.

        bfloat16 and float8 come in the types of ml_dtypes where that is installed, else as their bits in
        uint16 and uint8. Raises `KeyError` where there is no such array, `FileNotFoundError` where there is
        no store.
        """
        store = self._checked()
        if self._batch is not None and not lazy:
            return self._batch._load(array_name)
        rows = self._rows(array_name)
        return LazyArray(rows, store.path, array_name) if lazy else rows.read()

    def __getitem__(self, key: str) -> np.ndarray:
        """The array of that name, as `load`."""
        found: np.ndarray = self.load(key)
        return found

    def getitem(self, array_name: str, indexes: Indexes) -> np.ndarray:
        """The chosen rows, in memory of their own, of shape ``(n, ...)``; one number gives ``(1, ...)``.

        The array stays open for the next call; whether it has changed since is looked at in every one.

        Raises `IndexError` for a row that is not there.
        """
        kept = self._kept.get(array_name)
        if kept is not None and kept[1].stamp() == kept[2]:
            rows = kept[0]
        else:
            rows = self._keep(array_name)
        if type(indexes) is not np.ndarray or indexes.dtype.kind != "i" or indexes.ndim != 1:
            indexes = _rows_of(indexes)
        found: np.ndarray = rows[indexes]
        return found

    def _keep(self, name: str) -> Rows:
        """An array as it is now; it is kept where a later change can be told from the folder."""
        self._kept.pop(name, None)
        if self._batch is not None:
            return self._rows(name)
        folder, stamp = self._checked().settled()
        rows = self._rows(name)
        if stamp and folder.stamp() == stamp:
            # Other threads may do the same.
            for old in list(self._kept)[: max(0, len(self._kept) - _KEPT + 1)]:
                self._kept.pop(old, None)
            self._kept[name] = rows, folder, stamp
        return rows

    def stream_load(self, array_name: str, buffer_size: Optional[int] = None) -> Iterator[np.ndarray]:
        """The array as it is now in pieces of ``buffer_size`` rows, by default single rows: ``(n, ...)``
        each.

        Raises `ValueError` for a size below 1.
        """
        self._checked()
        if buffer_size is not None and buffer_size <= 0:
            raise ValueError(f"buffer_size must be greater than 0, not {buffer_size}")
        rows = self._rows(array_name)
        if not rows.shape:
            raise ValueError(f"the array {array_name!r} has 0 dimensions and so no rows; load it whole")
        size, total = int(buffer_size or 1), rows.shape[0]
        return (rows.run(start, min(start + size, total)) for start in range(0, total, size))

    def get_shape(self, array_name: str) -> Tuple[int, ...]:
        """The shape of an array, without dropped rows. Raises `KeyError` where it is not there."""
        self._checked()
        return self._info(array_name).shape

    def get_member_list(self) -> List[str]:
        """The names of all arrays, in the order in which they were first saved."""
        self._checked()
        return [info.name for info in self._infos()]

    def get_modify_time(self, array_name: str) -> Optional[int]:
        """When an array was last changed, in microseconds since 1970; None where it is not there."""
        self._checked()
        found = self._find(array_name)
        return None if found is None else found.modified

    def get_metadata(self) -> Dict[str, Any]:
        """What there is: ``arrays``, by name, each with ``shape``, ``dtype``, ``size_bytes`` and
        ``last_modified``; ``base_dir``; ``total_arrays``.

        The shape and the size are those of the rows that are seen. ``dtype`` is a word such as ``Float32``.
        """
        store = self._checked()
        arrays = {
            info.name: {
                "shape": list(info.shape),
                "last_modified": info.modified,
                "size_bytes": info.nbytes,
                "dtype": info.logical.name.capitalize(),
            }
            for info in self._infos()
        }
        return {"arrays": arrays, "base_dir": store.path, "total_arrays": len(arrays)}

    def has_array(self, array_name: str) -> bool:
        """Whether there is an array of that name."""
        self._checked()
        found = self._find(array_name)
        return found is not None and not found.hidden

    def __contains__(self, array_name: object) -> bool:
        return isinstance(array_name, str) and self.has_array(array_name)

    def __iter__(self) -> Iterator[str]:
        return iter(self.get_member_list())

    def get_io_stats(self) -> Dict[str, Any]:
        """No statistics are kept: ``{"stats_available": False}``, as the public package has it."""
        return {"stats_available": False}

    # -- many changes

    def batch_mode(self, memory_limit: Optional[float] = None) -> BatchModeContext:
        """Many changes in one commit, at the end of a ``with`` statement; none of them if that ends by an
        exception.

        Within it `load` gives an array that is kept, the same object each time, and saving that object takes
        what became of it at the end. Other arrays are saved as they are at the call. The store is locked
        meanwhile: other writers wait.

        Parameters
        ----------
        memory_limit : float, optional
            How many MiB of arrays are kept in memory; what is more is written to the disk. Default: 256.

        >>> import numpy as np, tempfile, os
        >>> from libnumpack import NumPack
        >>> with NumPack(os.path.join(tempfile.mkdtemp(), "a.npk")) as npk:
        ...     npk.save({"a": np.ones(3)})
        ...     with npk.batch_mode():
        ...         for _ in range(3):
        ...             a = npk.load("a")
        ...             a *= 2
        ...             npk.save({"a": a})
        ...     npk.load("a")
        array([8., 8., 8.])
        """
        self._checked()
        return BatchModeContext(self, memory_limit)

    def writable_batch_mode(self) -> WritableBatchMode:
        """Arrays as memory to work in, without a copy: in a ``with`` statement, whose object has ``load`` and
        ``save``.

        What is written is in the file at once, for every reader, and on the disk at the end. It is no commit:
        a crash leaves some of it, and an exception takes nothing back. Shapes stay as they are, and an array
        with dropped rows is to be compacted by `update` first.

        >>> import numpy as np, tempfile, os
        >>> from libnumpack import NumPack
        >>> with NumPack(os.path.join(tempfile.mkdtemp(), "a.npk")) as npk:
        ...     npk.save({"a": np.ones(3)})
        ...     with npk.writable_batch_mode() as wb:
        ...         a = wb.load("a")
        ...         a[1:] *= 5
        ...     npk.load("a")
        array([1., 5., 5.])
        """
        self._checked()
        return WritableBatchMode(self)


def _rows_of(indexes: Any) -> Any:
    """Row numbers, a mask or a slice, as rows take them."""
    if isinstance(indexes, slice):
        return indexes
    found = np.asarray(indexes)
    if found.ndim == 1 and found.dtype.kind == "i":
        return found
    if found.ndim > 1:
        raise ValueError(f"the indexes must be one row number each, or a mask; they have shape {found.shape}")
    if not found.size:
        return found.reshape(-1).astype(np.intp) if found.dtype != bool else found
    if found.dtype.kind not in "iub" or isinstance(indexes, (bool, np.bool_)):
        raise IndexError(f"row numbers are integers, not {found.dtype}")
    return found.reshape(-1)


def force_cleanup_windows_handles() -> bool:
    """Collects garbage. Files are closed when nothing refers to them any more, on every system."""
    gc.collect()
    return True
