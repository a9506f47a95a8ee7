"""Conversions between PyTorch's files and tensors, and stores, statement by statement; without torch.

What makes or takes tensors of torch is in test_behaviour_torch.py.
"""

from __future__ import annotations

import inspect
import sys
from pathlib import Path

import numpy as np
import pytest

import libnumpack as ln
from libnumpack import NumPack, io
from libnumpack.errors import DependencyError

# What the document has differently, or leaves open, and what holds here:
# - conversions of files need no torch;
# - without drop_if_exists arrays are added to the store that is there, which its own examples rely on;
# - the order of to_torch_file's names is that of the dict in the file.


def arrays(store: Path) -> dict[str, np.ndarray]:
    with NumPack(store) as npk:
        return {name: npk.load(name) for name in npk.get_member_list()}


@pytest.fixture
def model(tmp_path):
    """A checkpoint as training leaves one, and what is in it."""
    state = {
        "encoder.weight": ln.arange(6, dtype="float32").reshape(2, 3), "encoder.bias": ln.tensor([0.5, -0.5]),
        "head": ln.tensor([1, 2, 3], dtype="int16"),
    }
    ln.save(state, tmp_path / "model.pt")
    return state


class TestSignatures:
    @pytest.mark.parametrize(("name", "signature"), [
        ("from_torch", {"tensor": ..., "output_path": ..., "array_name": None, "drop_if_exists": False}),
        ("to_torch", {"input_path": ..., "array_name": None, "device": None}),
        ("from_torch_file", {
            "input_path": ..., "output_path": ..., "key": None, "drop_if_exists": False,
            "chunk_size": io.DEFAULT_CHUNK_SIZE,
        }),
        ("to_torch_file", {
            "input_path": ..., "output_path": ..., "array_names": None, "chunk_size": io.DEFAULT_CHUNK_SIZE,
        }),
    ])
    def test_parameters_and_defaults(self, name, signature):
        found = [p for p in inspect.signature(getattr(io, name)).parameters.values() if p.kind is not p.KEYWORD_ONLY]
        assert {p.name: ... if p.default is p.empty else p.default for p in found} == signature

    def test_older_names(self):
        assert io.from_pytorch is io.from_torch_file and io.to_pytorch is io.to_torch_file

    def test_without_torch_its_tensors_are_a_dependency(self, tmp_path, monkeypatch):
        monkeypatch.setitem(sys.modules, "torch", None)
        for call in (lambda: io.from_torch(None, tmp_path / "o.npk"), lambda: io.to_torch(tmp_path / "o.npk")):
            with pytest.raises(DependencyError, match="install torch"):
                call()
        assert issubclass(DependencyError, ImportError) and io.DependencyError is DependencyError
        assert not (tmp_path / "o.npk").exists()


class TestFromTorchFile:
    def test_a_whole_file(self, tmp_path, model):
        assert io.from_torch_file(tmp_path / "model.pt", tmp_path / "output.npk") is None
        found = arrays(tmp_path / "output.npk")
        assert list(found) == list(model)
        for name, tensor in model.items():
            assert found[name].dtype == tensor.numpy().dtype and np.array_equal(found[name], tensor.numpy())

    def test_paths_are_texts_or_paths(self, tmp_path, model):
        io.from_torch_file(str(tmp_path / "model.pt"), str(tmp_path / "output.npk"))
        io.to_torch_file(str(tmp_path / "output.npk"), str(tmp_path / "output.pt"))
        assert list(ln.load(str(tmp_path / "output.pt"))) == list(model)

    def test_one_key_of_a_state(self, tmp_path, model):
        io.from_torch_file(tmp_path / "model.pt", tmp_path / "output.npk", key="encoder.weight")
        found = arrays(tmp_path / "output.npk")
        assert list(found) == ["encoder.weight"]
        assert found["encoder.weight"].tolist() == [[0, 1, 2], [3, 4, 5]]
        with pytest.raises(KeyError, match='nothing is named "decoder"'):
            io.from_torch_file(tmp_path / "model.pt", tmp_path / "other.npk", key="decoder")
        assert not (tmp_path / "other.npk").exists()

    def test_a_key_of_a_nested_object(self, tmp_path, model):
        ln.save({"model": model, "epoch": 3}, tmp_path / "checkpoint.pt")
        io.from_torch_file(tmp_path / "checkpoint.pt", tmp_path / "output.npk", key="model")
        assert list(arrays(tmp_path / "output.npk")) == list(model)

    def test_what_exists_is_added_to_or_dropped(self, tmp_path, model):
        store = tmp_path / "output.npk"
        with NumPack(store) as npk:
            npk.save({"old": np.zeros(2), "head": np.zeros(2)})
        io.from_torch_file(tmp_path / "model.pt", store)
        found = arrays(store)
        assert set(found) == {"old", *model} and found["head"].tolist() == [1, 2, 3]
        io.from_torch_file(tmp_path / "model.pt", store, drop_if_exists=True)
        assert list(arrays(store)) == list(model)

    @pytest.mark.parametrize("chunk_size", [1, 1000, 1 << 40])
    def test_chunks_change_nothing(self, tmp_path, chunk_size):
        array = np.random.default_rng(0).random((300, 7))
        ln.save({"x": array}, tmp_path / "model.pt")
        io.from_torch_file(tmp_path / "model.pt", tmp_path / "output.npk", chunk_size=chunk_size)
        assert np.array_equal(arrays(tmp_path / "output.npk")["x"], array)
        io.to_torch_file(tmp_path / "output.npk", tmp_path / "again.pt", chunk_size=chunk_size)
        assert np.array_equal(ln.load(tmp_path / "again.pt")["x"].numpy(), array)

    def test_a_chunk_is_some_bytes(self, tmp_path, model):
        assert io.DEFAULT_CHUNK_SIZE == 100 * 1024 * 1024
        for wrong, kind in ((0, ValueError), (-1, ValueError), (1.5, TypeError), ("1", TypeError)):
            with pytest.raises(kind):
                io.from_torch_file(tmp_path / "model.pt", tmp_path / "o.npk", chunk_size=wrong)

    def test_large_files_stream(self, tmp_path):
        array = np.zeros((4000, 1000))
        ln.save({"x": array}, tmp_path / "large.pt")
        with Peak() as peak:
            io.from_torch_file(tmp_path / "large.pt", tmp_path / "large.npk")
            io.to_torch_file(tmp_path / "large.npk", tmp_path / "again.pt")
        # Buffers, and what is mapped of the file at a time.
        assert peak.bytes < array.nbytes // 2

    def test_nothing_is_left_of_what_fails(self, tmp_path):
        (tmp_path / "damaged.pt").write_bytes(b"no checkpoint")
        with pytest.raises(ValueError):
            io.from_torch_file(tmp_path / "damaged.pt", tmp_path / "output.npk")
        with pytest.raises(FileNotFoundError):
            io.from_torch_file(tmp_path / "missing.pt", tmp_path / "output.npk")
        assert not (tmp_path / "output.npk").exists()


class TestToTorchFile:
    def test_all_arrays(self, tmp_path):
        values = {"weights": np.ones((2, 2), np.float32), "biases": np.arange(2.0), "flags": np.array([True, False])}
        with NumPack(tmp_path / "input.npk") as npk:
            npk.save(values)
        assert io.to_torch_file(tmp_path / "input.npk", tmp_path / "output.pt") is None
        found = ln.load(tmp_path / "output.pt")
        assert list(found) == list(values)
        for name, array in values.items():
            assert found[name].numpy().dtype == array.dtype and np.array_equal(found[name].numpy(), array)

    def test_some_arrays(self, tmp_path):
        with NumPack(tmp_path / "input.npk") as npk:
            npk.save({"weights": np.ones(2), "other": np.zeros(2), "biases": np.zeros(3)})
        io.to_torch_file(tmp_path / "input.npk", tmp_path / "output.pt", array_names=["weights", "biases"])
        assert list(ln.load(tmp_path / "output.pt")) == ["weights", "biases"]
        io.to_torch_file(tmp_path / "input.npk", tmp_path / "output.pt", array_names=["biases", "weights"])
        assert list(ln.load(tmp_path / "output.pt")) == ["biases", "weights"]
        with pytest.raises(KeyError, match="missing"):
            io.to_torch_file(tmp_path / "input.npk", tmp_path / "output.pt", array_names=["missing"])
        assert list(ln.load(tmp_path / "output.pt")) == ["biases", "weights"]

    def test_one_array_is_a_dict_of_one(self, tmp_path):
        with NumPack(tmp_path / "input.npk") as npk:
            npk.save({"x": np.arange(3)})
        io.to_torch_file(tmp_path / "input.npk", tmp_path / "output.pt")
        assert list(ln.load(tmp_path / "output.pt")) == ["x"]

    def test_what_is_not_there(self, tmp_path):
        with pytest.raises(FileNotFoundError):
            io.to_torch_file(tmp_path / "missing.npk", tmp_path / "output.pt")
        assert not (tmp_path / "output.pt").exists()


def test_a_checkpoint_there_and_back(tmp_path, model):
    checkpoint = {"model": model, "optimizer": {"lr": 0.1, "steps": [1, 2]}, "done": None}
    ln.save(checkpoint, tmp_path / "checkpoint.pt")
    io.from_torch_file(tmp_path / "checkpoint.pt", tmp_path / "model.npk")
    io.to_torch_file(tmp_path / "model.npk", tmp_path / "restored.pt")
    found = ln.load(tmp_path / "restored.pt")
    assert list(found) == list(checkpoint) and found["optimizer"] == checkpoint["optimizer"] and found["done"] is None
    assert list(found["model"]) == list(model)
    assert all(found["model"][name].equal(tensor) and found["model"][name].dtype is tensor.dtype
               for name, tensor in model.items())


class Peak:
    """How much more memory the process had at most, by what the system counts."""

    def __enter__(self):
        # The system begins to count anew.
        Path("/proc/self/clear_refs").write_text("5")
        self._before = self._high()
        return self

    def __exit__(self, *_):
        self.bytes = self._high() - self._before

    @staticmethod
    def _high() -> int:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) * 1024
