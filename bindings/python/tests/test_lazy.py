"""`LazyArray`: indexed, computed with, shared and pickled as NumPy's arrays are."""

from __future__ import annotations

import copy
import gc
import operator
import pickle
from pathlib import Path

import numpy as np
import pytest

from libnumpack.store import LazyArray, NumPack

SHAPE = (70, 4, 5)
A = np.arange(1400, dtype="f4").reshape(SHAPE)


def store(path: Path, array: np.ndarray, kind: str = "plain") -> NumPack:
    """A store with an array ``a``: in one piece, or with dropped rows before, between and behind it."""
    npk = NumPack(path / "s.npk")
    npk.open()
    if kind == "plain":
        npk.save({"a": array})
    else:
        at = [0, len(array) // 2, len(array)]
        npk.save({"a": np.insert(array, at, 0, axis=0)})
        npk.drop("a", [0, at[1] + 1, -1])
    return npk


@pytest.fixture(params=["plain", "dropped", "batch"], scope="module")
def lazy(request, tmp_path_factory):
    npk = store(tmp_path_factory.mktemp(request.param), A, request.param)
    if request.param == "batch":
        with npk.batch_mode():
            yield npk.load("a", lazy=True)
    else:
        yield npk.load("a", lazy=True)


MASK = np.arange(70) % 3 == 0
FULL = (np.arange(1400) % 11 == 0).reshape(SHAPE)
KEYS = [
    0,
    -1,
    69,
    np.int64(3),
    slice(None),
    slice(3, 9),
    slice(60, 500),
    slice(9, 3),
    slice(None, None, 7),
    slice(None, None, -1),
    slice(-3, 10, -9),
    [],
    [5],
    [3, 1, -1, 3],
    np.array([4, 2], "i4"),
    np.array([4, 2], "u8"),
    np.array([[0, 1], [2, -3]]),
    np.array([], "i8"),
    np.array(3),
    MASK,
    list(MASK),
    np.zeros(70, bool),
    FULL,
    FULL[:, :, 0],
    ...,
    (),
    (...,),
    None,
    (0,),
    (0, 1),
    (0, 1, 2),
    (-1, -1, -1),
    (slice(2, 5), 1),
    (slice(None), 1, slice(1, 4)),
    (slice(None), [0, 2]),
    ([1, 2, 3], 0),
    ([1, 2, 3], [0, 1, 2]),
    ([[0], [1]], [0, 1, 2]),
    ([1, 2], slice(None), [3, 4]),
    (MASK, 0),
    (MASK, slice(1, 3), -1),
    (5, [0, 1]),
    (5, slice(None), [0, 1]),
    (..., 0),
    (0, ...),
    (0, ..., 1),
    (slice(1, 3), ..., slice(None, None, 2)),
    (None, 3),
    (3, None),
    (slice(2), None, 1),
    (None, [1, 2], None),
    (..., None),
    ([1, 2], None, [0, 1]),
    (slice(10, 20), MASK[:4]),
    (0, FULL[0]),
    (np.array([1, 0]), np.array([True, False, True, True])[:4].nonzero()[0][:2]),
    (..., [0, 1], [2, 3]),
    True,
    (slice(None, None, -2), [0, 3], None, slice(4, 0, -1)),
]


@pytest.mark.parametrize("key", KEYS, ids=lambda key: str(key).replace("\n", "")[:40])
def test_it_is_indexed_as_numpy(lazy, key):
    found, expected = lazy[key], A[key]
    assert type(found) is type(expected)
    assert found.dtype == expected.dtype and found.shape == expected.shape
    assert np.array_equal(found, expected)
    if isinstance(found, np.ndarray):
        # It is the caller's own.
        assert found.flags.writeable
        found[...] = -1
        assert np.array_equal(lazy[key], expected)


@pytest.mark.parametrize(
    "key",
    [
        70,
        -71,
        [0, 70],
        [-71],
        np.array([[70]]),
        (0, 4),
        (0, 0, 0, 0),
        (slice(None), 4),
        MASK[:-1],
        np.zeros(71, bool),
        FULL[:, :3],
        1.5,
        [1.5],
        "a",
        (0, [5]),
        ([1, 2], [0, 1, 2]),
        (..., ...),
        ([True, False],),
    ],
    ids=lambda key: str(key).replace("\n", "")[:40],
)
def test_what_numpy_refuses(lazy, key):
    with pytest.raises(IndexError):
        A[key]
    with pytest.raises(IndexError):
        lazy[key]


def test_what_it_is(lazy):
    assert (lazy.shape, lazy.ndim, lazy.size, lazy.itemsize, lazy.nbytes) == (SHAPE, 3, 1400, 4, 5600)
    assert lazy.dtype == np.float32 and len(lazy) == 70
    assert repr(lazy) == "LazyArray('a', shape=(70, 4, 5), dtype=float32)"
    assert np.array_equal(lazy.T, A.T) and np.array_equal(lazy.reshape(70, -1), A.reshape(70, 20))
    assert np.array_equal(lazy.copy(), A) and lazy.copy().flags.writeable
    assert 17.0 in lazy and -1.0 not in lazy
    assert lazy.tolist() == A.tolist() and lazy.tobytes() == A.tobytes()
    assert np.array_equal(lazy.astype("i8"), A.astype("i8"))
    for copied in (copy.copy(lazy), copy.deepcopy(lazy)):
        assert isinstance(copied, np.ndarray) and copied.flags.writeable and np.array_equal(copied, A)
    with pytest.raises(TypeError):
        hash(lazy)
    with pytest.raises(ValueError):
        bool(lazy)
    with pytest.raises(TypeError, match="read-only"):
        lazy[0] = 1


def test_it_is_gone_through_by_rows(lazy):
    rows = list(lazy)
    assert len(rows) == 70 and np.array_equal(np.stack(rows), A)
    rows[0][...] = -1
    assert np.array_equal(next(iter(lazy)), A[0])


def test_numpy_takes_it(lazy):
    assert np.array_equal(np.asarray(lazy), A)
    assert np.asarray(lazy, dtype="f8").dtype == np.float64
    private = np.array(lazy)
    private += 1
    assert np.array_equal(lazy[:], A)
    assert np.array_equal(np.concatenate([lazy, A]), np.concatenate([A, A]))
    assert np.array_equal(np.stack([lazy, lazy]), np.stack([A, A]))
    assert np.allclose(np.linalg.norm(lazy, axis=-1), np.linalg.norm(A, axis=-1))
    assert np.array_equal(np.add(lazy, 1), A + 1)


BINARY = [
    operator.add,
    operator.sub,
    operator.mul,
    operator.truediv,
    operator.floordiv,
    operator.mod,
    operator.pow,
    divmod,
    operator.eq,
    operator.ne,
    operator.lt,
    operator.le,
    operator.gt,
    operator.ge,
]
BITS = [operator.and_, operator.or_, operator.xor, operator.lshift, operator.rshift]


@pytest.mark.parametrize("kind", ["plain", "dropped"])
@pytest.mark.parametrize("function", BINARY, ids=lambda f: f.__name__)
def test_operators(tmp_path, function, kind):
    a = np.arange(1, 25, dtype="f8").reshape(8, 3)
    npk = store(tmp_path, a, kind)
    lazy = npk.load("a", lazy=True)
    row = np.array([1.0, 2.0, 3.0])
    for other in (2, 2.5, row, a, a.tolist()[0]):
        other = np.asarray(other) if isinstance(other, list) else other
        for found, expected in (
            (function(lazy, other), function(a, other)),
            (function(other, lazy), function(other, a)),
        ):
            assert isinstance(found, type(expected))
            assert np.array_equal(found, expected, equal_nan=True)
    assert np.array_equal(function(lazy, lazy), function(a, a))


@pytest.mark.parametrize("function", BITS, ids=lambda f: f.__name__)
def test_operators_of_bits(tmp_path, function):
    a = np.arange(24).reshape(8, 3)
    lazy = store(tmp_path, a).load("a", lazy=True)
    for other in (3, np.array([1, 2, 3])):
        assert np.array_equal(function(lazy, other), function(a, other))
        assert np.array_equal(function(other, lazy), function(other, a))
    assert np.array_equal(~lazy, ~a) and np.array_equal(-lazy, -a) and np.array_equal(+lazy, a)
    assert np.array_equal(abs(-lazy), a)
    assert np.array_equal(lazy @ lazy.T, a @ a.T) and np.array_equal(
        np.ones((2, 8), int) @ lazy, np.ones((2, 8), int) @ a
    )
    with pytest.raises(TypeError):
        lazy & 1.5


INPLACE = ["iadd", "isub", "imul", "itruediv", "ifloordiv", "imod", "ipow"]


@pytest.mark.parametrize("name", INPLACE)
def test_in_place_operators_give_an_array_and_leave_the_store(tmp_path, name):
    a = np.arange(1.0, 7.0).reshape(3, 2)
    npk = store(tmp_path, a)
    found = getattr(operator, name)(npk.load("a", lazy=True), 2)
    assert type(found) is np.ndarray
    assert np.array_equal(found, getattr(operator, name)(a.copy(), 2))
    found += 1
    assert np.array_equal(npk["a"], a)


@pytest.mark.parametrize(
    "name", ["sum", "mean", "std", "var", "min", "max", "prod", "any", "all", "argmin", "argmax"]
)
def test_reductions(lazy, name):
    for arguments in ({}, {"axis": 0}, {"axis": -1}):
        with np.errstate(over="ignore"):
            assert np.array_equal(getattr(lazy, name)(**arguments), getattr(A, name)(**arguments))
            assert np.array_equal(getattr(np, name)(lazy, **arguments), getattr(np, name)(A, **arguments))


def test_the_public_packages_names(lazy):
    assert np.array_equal(lazy.vectorized_gather([3, 0, 3]), A[[3, 0, 3]])
    for name in (
        "parallel_boolean_index",
        "boolean_index_smart",
        "boolean_index_adaptive",
        "boolean_index_production",
        "boolean_index_adaptive_algorithm",
    ):
        assert np.array_equal(getattr(lazy, name)(MASK), A[MASK])
        assert np.array_equal(getattr(lazy, name)(MASK.tolist()), A[MASK])
    rows = lazy.mega_batch_get_rows([5, 1, 9], 2)
    assert isinstance(rows, list) and np.array_equal(np.stack(rows), A[[5, 1, 9]])
    with pytest.raises(ValueError):
        lazy.mega_batch_get_rows([1], 0)


@pytest.mark.parametrize("dtype", ["bool", "u1", "i2", "u8", "f2", "f8", "c8", "c16"])
@pytest.mark.parametrize("kind", ["plain", "dropped"])
def test_element_types(tmp_path, dtype, kind):
    a = (np.arange(60) % 7).reshape(20, 3).astype(dtype)
    lazy = store(tmp_path, a, kind).load("a", lazy=True)
    assert lazy.dtype == a.dtype
    for key in (0, slice(3, 9), [5, 1], (slice(None), 1)):
        assert lazy[key].dtype == a.dtype and np.array_equal(lazy[key], a[key])


def test_zero_dimensions_and_no_elements(tmp_path):
    npk = NumPack(tmp_path / "s.npk")
    npk.open()
    npk.save({"z": np.array(2.5), "e": np.zeros((0, 3)), "w": np.zeros((4, 0))})
    z, e, w = (npk.load(name, lazy=True) for name in "zew")
    assert z.shape == () and z[()] == 2.5 and isinstance(z[...], np.ndarray) and float(z) == 2.5
    assert int(z) == 2 and complex(z) == 2.5 and z + 1 == 3.5 and np.asarray(z) == 2.5
    for call in (lambda: len(z), lambda: iter(z)):
        with pytest.raises(TypeError):
            call()
    for key in (0, [0], slice(None)):
        with pytest.raises(IndexError):
            z[key]
    assert (
        e.shape == (0, 3)
        and list(e) == []
        and e[:].shape == (0, 3)
        and e[[]].shape == (0, 3)
        and e.sum() == 0
    )
    assert w[1:3].shape == (2, 0) and w[[0, 3]].shape == (2, 0) and np.asarray(w).shape == (4, 0)
    with pytest.raises(IndexError):
        e[0]


def test_asarray_shares_the_file_read_only(tmp_path):
    npk = store(tmp_path, A)
    lazy = npk.load("a", lazy=True)
    shared, again = np.asarray(lazy), np.asarray(lazy)
    assert np.shares_memory(shared, again) and not shared.flags.writeable
    assert np.shares_memory(
        shared, np.array(lazy, copy=False) if np.__version__ < "2" else np.asarray(lazy, copy=False)
    )
    with pytest.raises(ValueError):
        shared[0] = 1
    del lazy, again
    npk.drop("a")
    npk.close()
    del npk
    gc.collect()
    assert np.array_equal(shared, A)
    part = shared[3:5]
    del shared
    gc.collect()
    assert np.array_equal(part, A[3:5])


@pytest.mark.skipif(np.__version__ < "2", reason="copy=False has this meaning from NumPy 2 on")
def test_a_copy_that_is_needed_is_refused_where_none_is_wanted(tmp_path):
    lazy = store(tmp_path, A, "dropped").load("a", lazy=True)
    with pytest.raises(ValueError, match="copy"):
        np.asarray(lazy, copy=False)
    with pytest.raises(ValueError, match="copy"):
        np.asarray(store(tmp_path / "b", A).load("a", lazy=True), dtype="f8", copy=False)


@pytest.mark.parametrize("kind", ["plain", "dropped"])
def test_it_keeps_its_rows_when_the_store_changes(tmp_path, kind):
    npk = store(tmp_path, A, kind)
    lazy = npk.load("a", lazy=True)
    other = NumPack(tmp_path / "s.npk")
    other.open()
    for change in (
        lambda: npk.append({"a": A[:3]}),
        lambda: other.drop("a", [0, 5]),
        lambda: npk.update("a"),
        lambda: other.save({"a": np.zeros(3)}),
        lambda: npk.rename("a", "b"),
        npk.reset,
        npk.close,
        lambda: NumPack(tmp_path / "s.npk", drop_if_exists=True).open(),
    ):
        change()
        assert lazy.shape == SHAPE
        assert (
            np.array_equal(lazy[:], A)
            and np.array_equal(lazy[[3, -1]], A[[3, -1]])
            and np.array_equal(lazy[7], A[7])
        )
        assert np.array_equal(np.asarray(lazy), A)


def test_replaced_rows_are_seen(tmp_path):
    npk = store(tmp_path, A)
    lazy = npk.load("a", lazy=True)
    npk.replace({"a": -A[:2]}, [3, 60])
    assert (
        np.array_equal(lazy[[3, 60]], -A[:2])
        and np.array_equal(lazy[3], -A[0])
        and np.array_equal(lazy[4], A[4])
    )


def test_it_is_closed(tmp_path):
    npk = store(tmp_path, A)
    with npk.load("a", lazy=True) as lazy:
        shared = np.asarray(lazy)
    for call in (
        lambda: lazy[0],
        lambda: lazy.shape,
        lambda: lazy + 1,
        lambda: list(lazy),
        lambda: pickle.dumps(lazy),
    ):
        with pytest.raises(ValueError, match="closed"):
            call()
    assert "closed" in repr(lazy)
    lazy.close()
    assert np.array_equal(shared, A)


def test_it_is_pickled_by_path_and_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    npk = NumPack("s.npk")
    npk.open()
    npk.save({"a": A})
    data = pickle.dumps(npk.load("a", lazy=True))
    assert len(data) < 500
    monkeypatch.chdir("/")
    found = pickle.loads(data)
    assert isinstance(found, LazyArray) and np.array_equal(found[:], A)
    npk.drop("a", 0)
    assert np.array_equal(pickle.loads(data)[:], A[1:])
    npk.drop("a")
    with pytest.raises(KeyError):
        pickle.loads(data)


def test_ml_dtypes(tmp_path):
    ml_dtypes = pytest.importorskip("ml_dtypes")
    a = np.arange(60).reshape(20, 3).astype(ml_dtypes.bfloat16)
    for kind in ("plain", "dropped"):
        npk = NumPack(tmp_path / f"{kind}.npk")
        npk.open()
        npk.save({"a": a if kind == "plain" else np.concatenate([a[:1], a])})
        if kind == "dropped":
            npk.drop("a", 0)
        lazy = npk.load("a", lazy=True)
        assert lazy.dtype == a.dtype
        for key in (0, slice(3, 9), [5, 1], (slice(None), 1), slice(None, None, -1)):
            assert lazy[key].dtype == a.dtype and np.array_equal(lazy[key].astype("f4"), a[key].astype("f4"))
        assert np.array_equal((lazy + lazy).astype("f4"), (a + a).astype("f4"))


def test_large_runs(tmp_path):
    a = np.arange(1_000_000, dtype="f4").reshape(10_000, 100)
    for kind in ("plain", "dropped"):
        lazy = store(tmp_path / kind, a, kind).load("a", lazy=True)
        assert np.array_equal(lazy[5:9000], a[5:9000]) and lazy[5:9000].flags.writeable
        assert np.array_equal(lazy[::-3], a[::-3])
        assert sum(float(row[0]) for row in lazy) == float(a[:, 0].sum(dtype="f8"))
