"""Arrays of a store whose rows are read when they are asked for."""

from __future__ import annotations

import operator
from typing import Any, Callable, Iterator

import numpy as np

from ._native import make
from ._native import path as as_path
from .store_rows import Rows

_BLOCK = 1 << 20
"""How many bytes are read at a time when rows are gone through."""


def _binary(function: Callable[[Any, Any], Any]) -> Callable[[LazyArray, Any], Any]:
    def method(self: LazyArray, other: Any) -> Any:
        return function(self._shared(), other._shared() if isinstance(other, LazyArray) else other)

    return method


def _reflected(function: Callable[[Any, Any], Any]) -> Callable[[LazyArray, Any], Any]:
    def method(self: LazyArray, other: Any) -> Any:
        return function(other, self._shared())

    return method


def _unary(function: Callable[[Any], Any]) -> Callable[[LazyArray], Any]:
    def method(self: LazyArray) -> Any:
        return function(self._shared())

    return method


def _of_numpy(name: str) -> Callable[..., Any]:
    def method(self: LazyArray, *arguments: Any, **named: Any) -> Any:
        return getattr(self._shared(), name)(*arguments, **named)

    method.__name__ = name
    method.__doc__ = f"As `numpy.ndarray.{name}`."
    return method


class LazyArray:
    """An array of a store, as it was when it was loaded: its rows are read when they are asked for.

    ``NumPack.load(name, lazy=True)`` gives one. It keeps its rows, without dropped ones, when the store is
    changed or closed, but for one thing: rows that are replaced are replaced here too. It is indexed as an
    array of NumPy, and what that gives is in memory of its own. Arithmetic, comparisons and reductions are
    NumPy's and give its arrays; ``a *= 2`` makes ``a`` such an array, and leaves the store as it is.
    `numpy.asarray` shares the file's memory, read-only, where the rows are one piece of a file.

    It can be pickled: path and name go, and the other process opens the array as it is there and then.

    >>> import numpy as np, tempfile, os
    >>> from libnumpack import NumPack
    >>> path = os.path.join(tempfile.mkdtemp(), "a.npk")
    >>> with NumPack(path) as npk:
    ...     npk.save({"a": np.arange(12.0).reshape(4, 3)})
    ...     a = npk.load("a", lazy=True)
    >>> a
    LazyArray('a', shape=(4, 3), dtype=float64)
    >>> a[-1], a[[0, 2], 1], float(a.sum())
    (array([ 9., 10., 11.]), array([1., 7.]), 66.0)

    While it lives, the public ``numpack`` package must not shorten the array's file: touching what is cut off
    ends the process. This library never does.
    """

    __slots__ = ("_rows", "_path", "_name", "__weakref__")

    def __init__(self, rows: Rows, path: str, name: str) -> None:
        self._rows: Rows | None = rows
        self._path = path
        self._name = name

    def _opened(self) -> Rows:
        if self._rows is None:
            raise ValueError(f"the lazy array {self._name!r} is closed; load it again")
        return self._rows

    def _shared(self) -> np.ndarray:
        return self._opened().shared()

    @property
    def shape(self) -> tuple[int, ...]:
        """Lengths of the dimensions."""
        return self._opened().shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """NumPy's type of the elements."""
        return self._opened().dtype

    @property
    def ndim(self) -> int:
        """How many dimensions."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """How many elements."""
        size = 1
        for n in self.shape:
            size *= n
        return size

    @property
    def itemsize(self) -> int:
        """Bytes of an element."""
        return self.dtype.itemsize

    @property
    def nbytes(self) -> int:
        """Bytes of all elements."""
        return self.size * self.itemsize

    @property
    def T(self) -> np.ndarray:
        """Transposed, as an array of NumPy."""
        found: np.ndarray = self._shared().T
        return found

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("len() of an array of 0 dimensions")
        return self.shape[0]

    def __getitem__(self, key: Any) -> Any:
        rows = self._rows
        if rows is None:
            rows = self._opened()
        if type(key) is LazyArray:
            key = key._shared()
        return rows[key]

    def __setitem__(self, key: Any, value: Any) -> None:
        raise TypeError("a lazy array is read-only; use NumPack.replace, or writable_batch_mode")

    def __iter__(self) -> Iterator[Any]:
        rows = self._opened()
        if not rows.shape:
            raise TypeError("an array of 0 dimensions cannot be gone through")
        size = max(1, _BLOCK // max(1, rows.info.row_size))
        return (
            row
            for start in range(0, rows.shape[0], size)
            for row in rows.run(start, min(start + size, rows.shape[0]))
        )

    def __contains__(self, value: Any) -> bool:
        return value in self._shared()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        rows = self._opened()
        wanted = rows.dtype if dtype is None else np.dtype(dtype)
        if copy is False and (rows.whole is None or wanted != rows.dtype):
            raise ValueError(
                f"the rows of {self._name!r} cannot be shared as {wanted} without a copy; "
                "leave out copy=False"
            )
        if copy and wanted == rows.dtype:
            return rows.read()
        return rows.shared().astype(wanted, copy=False)

    def copy(self) -> np.ndarray:
        """All rows, in memory of their own."""
        return self._opened().read()

    def __copy__(self) -> np.ndarray:
        return self.copy()

    def __deepcopy__(self, memo: Any) -> np.ndarray:
        return self.copy()

    def __reduce__(self) -> Any:
        self._opened()
        return _reopened, (self._path, self._name)

    def __repr__(self) -> str:
        if self._rows is None:
            return f"LazyArray({self._name!r}, closed)"
        return f"LazyArray({self._name!r}, shape={self.shape}, dtype={self.dtype})"

    def close(self) -> None:
        """Gives up the file. Arrays that share its memory keep it."""
        self._rows = None

    def __enter__(self) -> LazyArray:
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        self.close()

    def __bool__(self) -> bool:
        return bool(self._shared())

    def __float__(self) -> float:
        return float(self._shared())

    def __int__(self) -> int:
        return int(self._shared())

    def __complex__(self) -> complex:
        return complex(self._shared())

    # -- the public package's names for what indexing does

    def vectorized_gather(self, indices: Any) -> np.ndarray:
        """The rows of these numbers: ``a[indices]``."""
        found: np.ndarray = self[list(indices)]
        return found

    def mega_batch_get_rows(self, indices: Any, batch_size: int) -> list[np.ndarray]:
        """The rows of these numbers as a list, read ``batch_size`` at a time."""
        if batch_size < 1:
            raise ValueError(f"batch_size must be greater than 0, not {batch_size}")
        wanted = list(indices)
        return [row for i in range(0, len(wanted), batch_size) for row in self[wanted[i : i + batch_size]]]

    def parallel_boolean_index(self, mask: Any) -> np.ndarray:
        """The rows where the mask is true: ``a[mask]``."""
        found: np.ndarray = self[np.asarray(mask, dtype=bool)]
        return found

    boolean_index_smart = parallel_boolean_index
    boolean_index_adaptive = parallel_boolean_index
    boolean_index_production = parallel_boolean_index
    boolean_index_adaptive_algorithm = parallel_boolean_index

    # -- NumPy's

    sum = _of_numpy("sum")
    mean = _of_numpy("mean")
    std = _of_numpy("std")
    var = _of_numpy("var")
    min = _of_numpy("min")
    max = _of_numpy("max")
    prod = _of_numpy("prod")
    any = _of_numpy("any")
    all = _of_numpy("all")
    argmin = _of_numpy("argmin")
    argmax = _of_numpy("argmax")
    dot = _of_numpy("dot")
    astype = _of_numpy("astype")
    tolist = _of_numpy("tolist")
    tobytes = _of_numpy("tobytes")
    flatten = _of_numpy("flatten")
    ravel = _of_numpy("ravel")
    reshape = _of_numpy("reshape")
    transpose = _of_numpy("transpose")

    __hash__ = None  # type: ignore[assignment]
    __eq__ = _binary(operator.eq)
    __ne__ = _binary(operator.ne)
    __lt__ = _binary(operator.lt)
    __le__ = _binary(operator.le)
    __gt__ = _binary(operator.gt)
    __ge__ = _binary(operator.ge)
    __add__ = _binary(operator.add)
    __sub__ = _binary(operator.sub)
    __mul__ = _binary(operator.mul)
    __matmul__ = _binary(operator.matmul)
    __truediv__ = _binary(operator.truediv)
    __floordiv__ = _binary(operator.floordiv)
    __mod__ = _binary(operator.mod)
    __divmod__ = _binary(divmod)
    __pow__ = _binary(operator.pow)
    __and__ = _binary(operator.and_)
    __or__ = _binary(operator.or_)
    __xor__ = _binary(operator.xor)
    __lshift__ = _binary(operator.lshift)
    __rshift__ = _binary(operator.rshift)
    __radd__ = _reflected(operator.add)
    __rsub__ = _reflected(operator.sub)
    __rmul__ = _reflected(operator.mul)
    __rmatmul__ = _reflected(operator.matmul)
    __rtruediv__ = _reflected(operator.truediv)
    __rfloordiv__ = _reflected(operator.floordiv)
    __rmod__ = _reflected(operator.mod)
    __rdivmod__ = _reflected(divmod)
    __rpow__ = _reflected(operator.pow)
    __rand__ = _reflected(operator.and_)
    __ror__ = _reflected(operator.or_)
    __rxor__ = _reflected(operator.xor)
    __rlshift__ = _reflected(operator.lshift)
    __rrshift__ = _reflected(operator.rshift)
    __neg__ = _unary(operator.neg)
    __pos__ = _unary(operator.pos)
    __invert__ = _unary(operator.invert)
    __abs__ = _unary(operator.abs)


def _reopened(path: str, name: str) -> LazyArray:
    """The array in another process, as it is there and then."""
    store = make("store", "store_open", as_path(path), None)
    return LazyArray(Rows.open(store, name), path, name)
