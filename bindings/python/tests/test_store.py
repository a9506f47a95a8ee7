"""`NumPack`: every method, compared with NumPy."""

from __future__ import annotations

import gc
import time
import warnings
from pathlib import Path

import numpy as np
import pytest

from libnumpack.errors import FormatError
from libnumpack.store import LazyArray, NumPack

PLAIN = [
    "bool",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "int8",
    "int16",
    "int32",
    "int64",
    "float16",
    "float32",
    "float64",
    "complex64",
    "complex128",
]


def some(dtype: str, shape: tuple[int, ...] = (5, 3)) -> np.ndarray:
    """Elements of any bits, NaN excepted, that differ from each other where the type has so many."""
    numbers = np.arange(int(np.prod(shape))).reshape(shape)
    if dtype == "bool":
        return numbers % 3 == 0
    values = numbers - 4 if np.dtype(dtype).kind in "ifc" else numbers
    made = values.astype(dtype)
    return made * (1 + 2j) if made.dtype.kind == "c" else made


@pytest.fixture
def npk(tmp_path: Path):
    with NumPack(tmp_path / "s.npk") as opened:
        yield opened


def same(found: np.ndarray, expected: np.ndarray) -> None:
    assert isinstance(found, np.ndarray)
    assert found.dtype == expected.dtype
    assert found.shape == expected.shape
    assert np.array_equal(found, expected)


# -- what can be saved


@pytest.mark.parametrize("dtype", PLAIN)
def test_every_element_type_comes_back(npk, dtype):
    a = some(dtype)
    npk.save({"a": a})
    found = npk.load("a")
    same(found, a)
    assert found.flags.writeable and found.flags.owndata


@pytest.mark.parametrize("shape", [(), (0,), (3,), (0, 4), (4, 0), (2, 3, 4), (1, 1, 1, 1, 2)])
def test_every_shape_comes_back(npk, shape):
    a = np.arange(int(np.prod(shape)), dtype="f4").reshape(shape)
    npk.save({"a": a})
    same(npk.load("a"), a)
    assert npk.get_shape("a") == shape


LAYOUTS = {
    "fortran": lambda a: np.asfortranarray(a),
    "transposed": lambda a: a.T,
    "reversed": lambda a: a[::-1],
    "reversed columns": lambda a: a[:, ::-1],
    "every other": lambda a: a[::2, 1::2],
    "broadcast": lambda a: np.broadcast_to(a[0], (7, a.shape[1])),
    "big endian": lambda a: a.astype(a.dtype.newbyteorder(">")),
    "field": lambda a: np.rec.fromarrays([a, a + 1], names="p,q")["q"],
    "misaligned": lambda a: np.frombuffer(b"x" + a.tobytes(), a.dtype, offset=1).reshape(a.shape),
    "read-only": lambda a: np.frombuffer(a.tobytes(), a.dtype).reshape(a.shape),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", ["int16", "float64"])
def test_memory_in_any_order_is_saved_in_c_order(npk, layout, dtype):
    a = LAYOUTS[layout](np.arange(24, dtype=dtype).reshape(6, 4))
    expected = np.array(a.tolist(), dtype)
    npk.save({"a": a, "b": expected})
    same(npk.load("a"), expected)
    npk.append({"b": a} if a.shape[1:] == (4,) else {"b": expected})
    assert np.array_equal(npk.load("b")[len(expected) :], expected if a.shape[1:] != (4,) else a)


def test_whatever_numpy_takes_is_saved(npk):
    npk.save({"list": [[1, 2], [3, 4]], "number": 3.5, "tuple": (True, False), "range": range(4)})
    same(npk.load("list"), np.array([[1, 2], [3, 4]]))
    same(npk.load("number"), np.array(3.5))
    same(npk.load("tuple"), np.array([True, False]))
    same(npk.load("range"), np.arange(4))


@pytest.mark.skipif(not hasattr(np, "from_dlpack"), reason="this NumPy has no from_dlpack")
def test_objects_of_dlpack_and_of_the_array_protocol_are_saved(npk):
    class OfDlpack:
        def __init__(self, array):
            self._array = array

        def __dlpack__(self, **options):
            return self._array.__dlpack__(**options)

        def __dlpack_device__(self):
            return self._array.__dlpack_device__()

    class OfProtocol:
        def __array__(self, dtype=None, copy=None):
            return np.arange(3, dtype="i2")

    npk.save({"d": OfDlpack(np.arange(4.0)), "p": OfProtocol()})
    same(npk.load("d"), np.arange(4.0))
    same(npk.load("p"), np.arange(3, dtype="i2"))


def test_tensors_of_this_library_are_saved(npk):
    import libnumpack

    t = libnumpack.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    npk.save({"t": t, "tt": t.detach().t(), "half": t.detach().to(libnumpack.bfloat16), "i": libnumpack.tensor([1, 2])})
    same(npk.load("t"), np.array([[1, 2], [3, 4]], "f4"))
    same(npk.load("tt"), np.array([[1, 3], [2, 4]], "f4"))
    same(npk.load("i"), np.array([1, 2]))
    assert npk.get_metadata()["arrays"]["half"]["dtype"] == "Bfloat16"
    npk.append({"half": t.detach().to(libnumpack.bfloat16)[:1]})
    bits = npk.load("half").view("u2")
    assert bits.tolist() == [[0x3F80, 0x4000], [0x4040, 0x4080], [0x3F80, 0x4000]]


def test_a_lazy_array_is_saved_under_any_name(npk):
    npk.save({"a": np.arange(6).reshape(3, 2)})
    lazy = npk.load("a", lazy=True)
    npk.save({"a": lazy, "b": lazy})
    same(npk.load("a"), np.arange(6).reshape(3, 2))
    same(npk.load("b"), np.arange(6).reshape(3, 2))


@pytest.mark.parametrize(
    "value",
    [
        ["a", "b"],
        np.array(["2020"], "M8[D]"),
        np.array([object()]),
        np.zeros(2, "i4,f4"),
        b"bytes",
        np.zeros(2, np.longdouble),
        np.ma.masked_array([1, 2], [True, False]),
    ],
    ids=["text", "date", "object", "record", "bytes", "longdouble", "masked"],
)
def test_what_is_no_number_is_refused(npk, value):
    with pytest.raises(TypeError):
        npk.save({"a": np.arange(2), "b": value})
    assert npk.get_member_list() == []


def test_bfloat16_and_float8_keep_their_type(npk):
    ml_dtypes = pytest.importorskip("ml_dtypes")
    a = np.array([[1.5, -2.0], [3.25, 0.0]])
    arrays = {
        "bf": a.astype(ml_dtypes.bfloat16),
        "f8": a.astype(ml_dtypes.float8_e5m2),
        "t": a.astype(ml_dtypes.bfloat16).T,
        "z": np.array(2, ml_dtypes.bfloat16),
        "plain": a,
    }
    npk.save(arrays)
    for name, array in arrays.items():
        found = npk.load(name)
        assert found.dtype == array.dtype and found.shape == array.shape
        assert found.tobytes() == np.ascontiguousarray(array).tobytes()
        assert npk.load(name, lazy=True).dtype == array.dtype
    npk.append({"bf": arrays["bf"][:1]})
    npk.replace({"bf": np.array([[9, 9]], ml_dtypes.bfloat16)}, 1)
    assert npk["bf"].astype("f4").tolist() == [[1.5, -2.0], [9.0, 9.0], [1.5, -2.0]]
    assert npk.get_metadata()["arrays"]["bf"]["dtype"] == "Bfloat16"
    with pytest.raises(TypeError, match="bfloat16"):
        npk.append({"bf": np.ones((1, 2), "f4")})


def test_bfloat16_is_bits_without_ml_dtypes(npk, monkeypatch):
    ml_dtypes = pytest.importorskip("ml_dtypes")
    from libnumpack import dtypes

    npk.save({"bf": np.array([1.0, -2.0], ml_dtypes.bfloat16)})
    monkeypatch.setattr(dtypes, "_of_ml_dtypes", lambda name: None)
    same(npk.load("bf"), np.array([0x3F80, 0xC000], "u2"))


def test_save_is_all_or_nothing_and_replaces(npk):
    npk.save({"a": np.arange(3), "b": np.arange(4)})
    npk.save({"a": np.ones((2, 2), "f4")})
    same(npk.load("a"), np.ones((2, 2), "f4"))
    same(npk.load("b"), np.arange(4))
    with pytest.raises(ValueError):
        npk.save({"a": np.zeros(1), "b\0": np.zeros(1)})
    same(npk.load("a"), np.ones((2, 2), "f4"))
    npk.save({})
    with pytest.raises(ValueError, match="arrays must be a dictionary"):
        npk.save([np.arange(3)])
    with pytest.raises(TypeError):
        npk.save({3: np.arange(3)})


@pytest.mark.parametrize(
    "name", ["", "a/b", "../x", " ", "ü", "a.b", "x" * 240, "x" * 400, "new\nline", "\\"]
)
def test_names_may_be_anything(npk, name):
    npk.save({name: np.arange(3), "other": np.arange(2)})
    same(npk.load(name), np.arange(3))
    npk.append({name: [7]})
    npk.drop(name, 0)
    same(npk.load(name), np.array([1, 2, 7]))
    assert sorted(npk.get_member_list()) == sorted([name, "other"])
    assert sorted(p.name for p in Path(npk._filename).parent.iterdir()) == ["s.npk"]


# -- opening and closing


def test_it_is_not_opened_by_being_made(tmp_path):
    npk = NumPack(tmp_path / "s.npk")
    assert npk.is_closed and not npk.is_opened
    for call in (
        lambda: npk.load("a"),
        lambda: npk.save({"a": np.ones(1)}),
        npk.get_member_list,
        npk.reset,
        lambda: npk.getitem("a", 0),
        lambda: npk.batch_mode(),
        lambda: npk.stream_load("a"),
        lambda: npk.append({}),
        lambda: npk.replace({}, 0),
        lambda: npk.drop("a"),
    ):
        with pytest.raises(RuntimeError, match="not opened or has been closed"):
            call()
    npk.open()
    npk.open()
    assert npk.is_opened and not npk.is_closed
    npk.save({"a": np.arange(3)})
    npk.close()
    npk.close()
    assert npk.is_closed
    with pytest.raises(RuntimeError):
        npk.load("a")
    npk.open()
    same(npk.load("a"), np.arange(3))


def test_opening_makes_no_store_and_saving_does(tmp_path):
    path = tmp_path / "deep" / "er" / "s.npk"
    with NumPack(path) as npk:
        assert npk.get_member_list() == [] and not npk.has_array("a") and list(npk) == []
        assert npk.get_metadata()["total_arrays"] == 0 and npk.get_modify_time("a") is None
        for call in (
            lambda: npk.load("a"),
            lambda: npk["a"],
            lambda: npk.getitem("a", 0),
            lambda: npk.get_shape("a"),
            lambda: npk.load("a", lazy=True),
            lambda: npk.stream_load("a"),
            lambda: npk.append({"a": [1]}),
            lambda: npk.replace({"a": [1]}, 0),
        ):
            with pytest.raises(FileNotFoundError, match="no store"):
                call()
        with npk.batch_mode():
            pass
        assert not path.parent.exists() or not path.exists()
        npk.save({"a": np.arange(2)})
        same(npk.load("a"), np.arange(2))
    with NumPack(str(path)) as npk:
        same(npk.load("a"), np.arange(2))


def test_an_empty_folder_is_a_place_for_a_store(tmp_path):
    with NumPack(tmp_path) as npk:
        npk.reset()
        assert npk.get_member_list() == []
        with pytest.raises(KeyError):
            npk.load("a")
        npk.save({"a": np.arange(2)})
    with NumPack(tmp_path) as npk:
        assert npk.get_member_list() == ["a"]


def test_a_store_that_appears_later_is_found(tmp_path):
    reader, writer = NumPack(tmp_path / "s.npk"), NumPack(tmp_path / "s.npk")
    reader.open(), writer.open()
    assert reader.get_member_list() == []
    writer.save({"a": np.arange(2)})
    assert reader.get_member_list() == ["a"]
    same(reader.load("a"), np.arange(2))


def test_what_is_no_store_is_refused(tmp_path):
    (tmp_path / "file").write_text("text")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "mine.txt").write_text("text")
    for name in ("file", "folder"):
        for drop in (False, True):
            with pytest.raises(
                (FormatError, NotADirectoryError), match="no NumPack store|not a NumPack store"
            ):
                NumPack(tmp_path / name, drop_if_exists=drop).open()
    assert (tmp_path / "file").read_text() == "text"
    assert (tmp_path / "folder" / "mine.txt").read_text() == "text"
    with NumPack(tmp_path / "s.npk") as npk:
        npk.save({"a": np.arange(3)})
    metadata = tmp_path / "s.npk" / "metadata.npkm"
    metadata.write_bytes(b"XXXX" + metadata.read_bytes()[4:])
    with pytest.raises(FormatError, match="metadata"):
        NumPack(tmp_path / "s.npk").open()


def test_drop_if_exists_replaces_the_store_once(tmp_path):
    path = tmp_path / "s.npk"
    with NumPack(path) as npk:
        npk.save({"a": np.arange(3)})
    npk = NumPack(path, drop_if_exists=True)
    assert "a" in NumPack(path).__enter__()
    with npk:
        assert npk.get_member_list() == []
        npk.save({"b": np.arange(2)})
    with npk:
        assert npk.get_member_list() == ["b"]
    (path / "metadata.npkm").write_bytes(b"damaged")
    with NumPack(path, drop_if_exists=True) as npk:
        assert npk.get_member_list() == []
    with NumPack(tmp_path / "new.npk", drop_if_exists=True) as npk:
        npk.save({"a": np.arange(3)})


def test_strict_context_mode(tmp_path):
    npk = NumPack(tmp_path / "s.npk", strict_context_mode=True)
    npk.open()
    with pytest.raises(RuntimeError, match="strict"):
        npk.save({"a": np.arange(3)})
    with npk:
        npk.save({"a": np.arange(3)})
    npk.open()
    with pytest.raises(RuntimeError, match="strict"):
        npk.load("a")


def test_warn_no_context(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        NumPack(tmp_path / "a")
        NumPack(tmp_path / "a", warn_no_context=False)
        NumPack(tmp_path / "a", strict_context_mode=True, warn_no_context=True)
        with pytest.raises(UserWarning, match="with statement"):
            NumPack(tmp_path / "a", warn_no_context=True)


def test_garbage_is_collected_at_close_if_asked(tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(gc, "collect", lambda: calls.append(1))
    for made, asked, expected in ((False, None, 0), (True, None, 1), (False, True, 1), (True, False, 0)):
        calls.clear()
        npk = NumPack(tmp_path / "s.npk", force_gc_on_close=made)
        npk.open()
        npk.close(asked)
        assert len(calls) == expected


def test_an_exception_in_a_with_statement_goes_on_and_closes(tmp_path):
    npk = NumPack(tmp_path / "s.npk")
    with pytest.raises(ZeroDivisionError):
        with npk:
            npk.save({"a": np.arange(3)})
            raise ZeroDivisionError
    assert npk.is_closed


def test_repr(npk, tmp_path):
    assert repr(npk) == f"NumPack({tmp_path / 's.npk'}, arrays=0)"
    npk.save({"a": np.arange(3)})
    assert repr(npk) == f"NumPack({tmp_path / 's.npk'}, arrays=1)"
    npk.close()
    assert repr(npk) == f"NumPack({tmp_path / 's.npk'}, status=closed)"


# -- what there is


def test_lists_and_lookups(npk):
    npk.save({"b": np.zeros((2, 3), "f4"), "a": np.zeros(4, "u1")})
    npk.save({"c": np.zeros(1)})
    assert npk.get_member_list() == ["b", "a", "c"]
    assert list(npk) == ["b", "a", "c"]
    assert npk.has_array("a") and not npk.has_array("z")
    assert "a" in npk and "z" not in npk and 3 not in npk
    assert npk.get_shape("b") == (2, 3)
    same(npk["b"], np.zeros((2, 3), "f4"))
    assert npk.get_io_stats() == {"stats_available": False}


def test_what_is_missing_is_a_key_error(npk):
    npk.save({"a": np.zeros(2)})
    for call in (
        lambda: npk.load("z"),
        lambda: npk.load("z", lazy=True),
        lambda: npk["z"],
        lambda: npk.getitem("z", 0),
        lambda: npk.get_shape("z"),
        lambda: npk.stream_load("z"),
        lambda: npk.append({"z": [1.0]}),
        lambda: npk.replace({"z": [1.0]}, 0),
        lambda: npk.update("z"),
        lambda: npk.clone("z", "y"),
        lambda: npk.rename("z", "y"),
        lambda: npk.drop("z", 0),
    ):
        with pytest.raises(KeyError, match="z"):
            call()
    assert npk.get_modify_time("z") is None


def test_metadata(npk, tmp_path):
    before = time.time() * 1e6
    npk.save({"a": np.zeros((4, 3), "f4")})
    npk.drop("a", 1)
    found = npk.get_metadata()
    modified = found["arrays"]["a"].pop("last_modified")
    assert found == {
        "arrays": {"a": {"shape": [3, 3], "size_bytes": 36, "dtype": "Float32"}},
        "base_dir": str(tmp_path / "s.npk"),
        "total_arrays": 1,
    }
    assert before - 1e6 < modified < time.time() * 1e6 + 1e6
    assert npk.get_modify_time("a") == modified


@pytest.mark.parametrize("size", [None, 1, 2, 4, 10, 1000])
def test_stream_load(npk, size):
    a = np.arange(30).reshape(10, 3)
    npk.save({"a": a})
    pieces = list(npk.stream_load("a", size))
    assert [len(p) for p in pieces] == [min(size or 1, 10 - i) for i in range(0, 10, size or 1)]
    same(np.concatenate(pieces), a)
    npk.drop("a", [0, 5])
    same(np.concatenate(list(npk.stream_load("a", size))), np.delete(a, [0, 5], 0))


def test_stream_load_goes_through_what_was_there_when_it_began(npk):
    npk.save({"a": np.arange(6), "z": np.array(1.0), "e": np.zeros((0, 2))})
    stream = npk.stream_load("a", 4)
    npk.append({"a": [7, 8]})
    npk.drop("a", 0)
    assert np.concatenate(list(stream)).tolist() == [0, 1, 2, 3, 4, 5]
    assert list(npk.stream_load("e", 3)) == []
    for size in (0, -1):
        with pytest.raises(ValueError, match="greater than 0"):
            npk.stream_load("a", size)
    with pytest.raises(ValueError, match="0 dimensions"):
        npk.stream_load("z")


# -- arrays as a whole


def test_clone_and_rename(npk):
    npk.save({"a": np.arange(5), "b": np.arange(2)})
    npk.drop("a", 0)
    npk.clone("a", "c")
    npk.replace({"c": [9]}, 0)
    assert npk["a"].tolist() == [1, 2, 3, 4] and npk["c"].tolist() == [9, 2, 3, 4]
    npk.rename("a", "d")
    assert sorted(npk) == ["b", "c", "d"] and npk["d"].tolist() == [1, 2, 3, 4]
    for call in (npk.clone, npk.rename):
        with pytest.raises(ValueError, match="b"):
            call("d", "b")
    assert npk["b"].tolist() == [0, 1]


def test_dropping_arrays(npk):
    npk.save({n: np.arange(3) for n in "abcd"})
    npk.drop("a")
    npk.drop(["b", "c"])
    npk.drop("a")
    npk.drop(["b", "nothing"])
    assert npk.get_member_list() == ["d"]
    npk.save({"a": np.arange(2)})
    same(npk.load("a"), np.arange(2))


def test_reset_takes_everything(npk):
    npk.save({n: np.arange(3) for n in "abcd"})
    npk.reset()
    assert npk.get_member_list() == []
    npk.save({"a": np.arange(2)})
    assert npk.get_member_list() == ["a"]


def test_update_frees_the_room_of_dropped_rows(npk, tmp_path):
    npk.save({"a": np.arange(1000.0)})
    npk.drop("a", slice(0, 900))
    size = lambda: sum(p.stat().st_size for p in (tmp_path / "s.npk").glob("data_*"))  # noqa: E731
    assert size() == 8000
    npk.update("a")
    assert size() == 800
    same(npk.load("a"), np.arange(900.0, 1000.0))
    npk.update("a")


def test_load_lazily(npk):
    npk.save({"a": np.arange(3)})
    assert isinstance(npk.load("a", lazy=True), LazyArray)


def test_parameters_and_defaults_are_the_public_packages():
    import inspect

    expected = {
        "__init__": "filename, drop_if_exists=False, strict_context_mode=False, "
        "warn_no_context=None, force_gc_on_close=False",
        "open": "",
        "close": "force_gc=None",
        "save": "arrays",
        "load": "array_name, lazy=False",
        "append": "arrays",
        "replace": "arrays, indexes",
        "drop": "array_name, indexes=None",
        "getitem": "array_name, indexes",
        "get_shape": "array_name",
        "get_member_list": "",
        "get_modify_time": "array_name",
        "reset": "",
        "update": "array_name",
        "clone": "source_name, target_name",
        "get_metadata": "",
        "has_array": "array_name",
        "stream_load": "array_name, buffer_size=None",
        "get_io_stats": "",
        "batch_mode": "memory_limit=None",
        "writable_batch_mode": "",
    }
    for name, parameters in expected.items():
        _, *found = inspect.signature(getattr(NumPack, name)).parameters.values()
        assert (
            ", ".join(p.name if p.default is p.empty else f"{p.name}={p.default}" for p in found)
            == parameters
        ), name
