"""`load` and `save`: whole objects, against files that PyTorch wrote and what is known of them."""

from __future__ import annotations

import math
import os
import pickle
import zipfile
from collections import Counter, OrderedDict
from pathlib import Path

import numpy as np
import pytest

import libnumpack as ln
from libnumpack.checkpoint import Global, Recipe
from libnumpack.errors import FormatError, SharingError

EXAMPLE = Path(__file__).resolve().parents[3] / "examples" / "checkpoint.pt"


def test_a_real_checkpoint():
    found = ln.load(EXAMPLE)
    assert list(found) == [
        "model", "model_bf16", "optimizer", "scheduler", "epoch", "loss_history", "config", "rng_state",
    ]
    model = found["model"]
    assert type(model) is OrderedDict and isinstance(model._metadata, dict)
    assert model["embedding.weight"].shape == (192, 48) and model["embedding.weight"].dtype is ln.float32
    # Tied weights are one tensor.
    assert model["output.weight"].data_ptr() == model["embedding.weight"].data_ptr()
    assert found["model_bf16"]["embedding.weight"].dtype is ln.bfloat16
    assert isinstance(found["epoch"], int) and all(isinstance(x, float) for x in found["loss_history"])
    groups = found["optimizer"]["param_groups"]
    assert isinstance(groups, list) and "lr" in groups[0]


def test_there_and_back(tmp_path):
    weight = ln.arange(6).reshape(2, 3).float()
    obj = {
        "model": OrderedDict(weight=weight, row=weight[0], scalar=ln.tensor(2.5)),
        "plain": [None, True, -1, 10 ** 30, -(10 ** 30), 0.1, math.inf, "text", "\ud800", b"by\0tes", (1, (2,)), ()],
        "set": {1, 2}, "frozen": frozenset("ab"), 3: "int key", (1, 2): "tuple key", "bytearray": bytearray(b"x"),
        "dtype": ln.bfloat16, "empty": {}, "array": np.arange(3, dtype="int16"), "number": np.float32(0.5),
        "low": weight.to("bfloat16"), "leaf": ln.ones(2, requires_grad=True),
        "parameter": ln.nn.Parameter(ln.zeros(2)),
    }
    obj["model"]._metadata = OrderedDict({"": {"version": 1}})
    ln.save(obj, tmp_path / "o.pt")
    again = ln.load(tmp_path / "o.pt")
    assert list(again) == list(obj) and again["plain"] == obj["plain"]
    assert again["set"] == {1, 2} and again["frozen"] == frozenset("ab") and again[3] == "int key"
    assert type(again["bytearray"]) is bytearray and again["dtype"] is ln.bfloat16 and again["number"] == 0.5
    assert again["model"]._metadata == {"": {"version": 1}}
    again["model"]["row"][1] = 99
    assert again["model"]["weight"].tolist() == [[0, 99, 2], [3, 4, 5]]
    assert again["array"].dtype is ln.int16 and again["low"].dtype is ln.bfloat16
    assert again["leaf"].requires_grad and type(again["leaf"]) is ln.Tensor
    assert isinstance(again["parameter"], ln.nn.Parameter) and again["parameter"].requires_grad


@pytest.mark.parametrize("name", [
    "uint16", "uint32", "uint64", "float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz", "complex128",
])
def test_types_without_a_storage_of_their_own(tmp_path, name):
    ours = ln.arange(6).to(name).reshape(2, 3)
    ln.save({"t": ours, "row": ours[1]}, tmp_path / "o.pt")
    again = ln.load(tmp_path / "o.pt")
    assert again["t"].dtype is ours.dtype and again["t"].tolist() == ours.tolist()
    assert again["row"].data_ptr() == again["t"].data_ptr() + 3 * ours.itemsize


def test_one_object_at_two_places_stays_one(tmp_path):
    part = [1]
    t = ln.ones(2)
    ln.save([part, part, t, {"t": t}], tmp_path / "o.pt")
    a, b, c, d = ln.load(tmp_path / "o.pt")
    assert a is b and c is d["t"]


def test_depth_is_no_limit(tmp_path):
    deep: list = []
    for _ in range(5000):
        deep = [deep]
    ln.save(deep, tmp_path / "deep.pt")
    found, depth = ln.load(tmp_path / "deep.pt"), 0
    while found:
        found, depth = found[0], depth + 1
    assert depth == 5000


@pytest.mark.parametrize(("obj", "place"), [
    ({"a": [object()]}, r"\['a'\]\[0\]"), (lambda: 0, "the object"), ({"x": {"y": 1j}}, r"\['x'\]\['y'\]"),
])
def test_what_is_not_written_is_named(tmp_path, obj, place):
    with pytest.raises(TypeError, match=place):
        ln.save(obj, tmp_path / "o.pt")
    assert not (tmp_path / "o.pt").exists()


def test_what_contains_itself_is_not_written(tmp_path):
    loop: list = []
    loop.append(loop)
    with pytest.raises(RecursionError):
        ln.save({"a": loop}, tmp_path / "o.pt")


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path):
    path = tmp_path / "o.pt"
    ln.save({"a": 1}, path)
    before = path.read_bytes()
    with pytest.raises(TypeError):
        ln.save({"a": object()}, path)
    assert path.read_bytes() == before
    ln.save({"a": 2}, path)
    assert ln.load(path) == {"a": 2} and os.listdir(tmp_path) == ["o.pt"]


def test_mapped(tmp_path):
    path = tmp_path / "o.pt"
    ln.save({"w": ln.arange(1000).float()}, path)
    w = ln.load(path, mmap=True)["w"]
    assert w.sum().item() == 499500
    with pytest.raises(SharingError, match="read-only"):
        w[0] = 1
    # Others would write to it.
    taken = np.from_dlpack(w)
    assert taken.__array_interface__["data"][0] != w.data_ptr()
    # Before 2.1, NumPy lets nobody write to what it takes.
    assert taken.flags.writeable or np.lib.NumpyVersion(np.__version__) < "2.1.0"
    own = w.clone()
    own[0] = 1
    assert own[0].item() == 1


def test_other_formats(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.arange(3), y=np.ones((2, 2)))
    found = ln.load(tmp_path / "a.npz")
    assert found["x"].tolist() == [0, 1, 2] and found["y"].dtype is ln.float64
    np.save(tmp_path / "a.npy", np.arange(4.0))
    assert ln.load(tmp_path / "a.npy").tolist() == [0, 1, 2, 3]


def test_map_location(tmp_path):
    path = tmp_path / "o.pt"
    ln.save({"w": ln.ones(2)}, path)
    for place in (None, "cpu", ln.device("cpu"), {"cuda:0": "cpu"}, lambda tensor, location: tensor):
        assert ln.load(path, map_location=place)["w"].device == ln.device("cpu")


def a_file_of(path: Path, data: bytes) -> Path:
    """A .pt file whose pickle is ``data``."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("o/data.pkl", data)
        archive.writestr("o/version", "3\n")
    return path


class Runs:
    """Would run a command where a pickle is executed."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return os.system, (f"touch {self.mark}",)


def test_nothing_is_executed(tmp_path):
    mark = tmp_path / "ran"
    path = a_file_of(tmp_path / "evil.pt", pickle.dumps({"a": Runs(mark), "b": 1}, 2))
    with pytest.raises(FormatError, match="system"):
        ln.load(path)
    found = ln.load(path, weights_only=False)
    assert isinstance(found["a"], Recipe) and found["b"] == 1
    assert found["a"].callable in (Global("posix", "system"), Global("nt", "system"))
    assert found["a"].arguments == (f"touch {mark}",) and not mark.exists()


@pytest.mark.parametrize("data", [
    b"\x80\x02}]K\x01s.",  # a list as a key
    b"\x80\x02]q\x00(h\x00tq\x01h\x00h\x01a0h\x01.",  # a tuple of a list of the tuple
])
def test_what_python_would_not_build(tmp_path, data):
    path = a_file_of(tmp_path / "odd.pt", data)
    try:
        found = ln.load(path)
    except FormatError as e:
        assert "odd.pt" in str(e)
    else:
        # A tuple in a list in the tuple: torch builds it too.
        assert found[0][0] is found


def test_what_is_no_file_of_tensors(tmp_path):
    with pytest.raises(FileNotFoundError):
        ln.load(tmp_path / "no.pt")
    (tmp_path / "text.pt").write_text("hello")
    with pytest.raises(FormatError, match="text.pt"):
        ln.load(tmp_path / "text.pt")
    damaged = EXAMPLE.read_bytes()[:-1000]
    (tmp_path / "cut.pt").write_bytes(damaged)
    with pytest.raises(FormatError, match="cut.pt"):
        ln.load(tmp_path / "cut.pt")
    with pytest.raises(ValueError, match="NUL"):
        ln.load("a\0b")


class Calls:
    """A call of a function, as a pickle has it."""

    def __init__(self, *call):
        self.call = call

    def __reduce__(self):
        return self.call[0], self.call[1:]


def test_plain_values_that_are_made_by_calls(tmp_path):
    obj = [1 + 2j, slice(1, None), range(3, 9, 2), Counter("aab")]
    path = a_file_of(tmp_path / "calls.pt", pickle.dumps(obj, 2, fix_imports=False))
    found = ln.load(path)
    assert found == obj and type(found[3]) is Counter
    for wrong in (Calls(range, "a"), Calls(complex, "x"), Calls(slice), Calls(range, 1, 2, 0)):
        path = a_file_of(tmp_path / "wrong.pt", pickle.dumps(wrong, 2, fix_imports=False))
        with pytest.raises(FormatError, match="arguments that it does not take"):
            ln.load(path)
