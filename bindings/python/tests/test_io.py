"""Conversions of ``.pt`` files, without torch; `test_io_torch` has those of tensors."""

from __future__ import annotations

import importlib.util
import inspect
import os
import signal
import subprocess
import sys
import threading
import time
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch_files

import libnumpack.io as npio
from libnumpack.errors import FormatError
from libnumpack.io import (
    DEFAULT_CHUNK_SIZE,
    DependencyError,
    from_pt,
    from_pytorch,
    from_torch_file,
    to_pt,
    to_pytorch,
    to_torch_file,
)
from libnumpack.store import NumPack

W = np.arange(12, dtype="f4").reshape(3, 4)
STATE = {
    "encoder.weight": W,
    "encoder.bias": np.arange(4, dtype="f8"),
    "steps": np.array(7),
    "mask": np.array([True, False]),
}


@pytest.fixture
def state(tmp_path: Path) -> Path:
    torch_files.write(tmp_path / "state.pt", STATE)
    return tmp_path / "state.pt"


def equal(found, expected) -> bool:
    if isinstance(expected, np.ndarray):
        return (
            found.dtype == expected.dtype
            and found.shape == expected.shape
            and np.array_equal(found, expected)
        )
    if isinstance(expected, dict):
        return (
            type(found) is type(expected)
            and list(found) == list(expected)
            and all(equal(found[k], expected[k]) for k in expected)
        )
    if isinstance(expected, (list, tuple)):
        return (
            type(found) is type(expected) and len(found) == len(expected) and all(map(equal, found, expected))
        )
    return type(found) is type(expected) and found == expected


# -- files


def test_a_file_becomes_a_store(state, tmp_path):
    assert from_torch_file(state, tmp_path / "o.npk") is None
    with NumPack(tmp_path / "o.npk") as npk:
        assert npk.get_member_list() == list(STATE)
        for name, array in STATE.items():
            assert equal(npk[name], array)


def test_and_back(state, tmp_path):
    from_torch_file(str(state), str(tmp_path / "o.npk"))
    assert to_torch_file(str(tmp_path / "o.npk"), str(tmp_path / "back.pt")) is None
    assert equal(torch_files.read(tmp_path / "back.pt"), STATE)


def test_a_nested_object_comes_back_equal(tmp_path):
    shared = np.arange(20, dtype="f4")
    value = {
        "model": OrderedDict([("w", W), ("tied", W), ("t", W.T)]),
        "optimizer": {
            "state": {0: {"exp_avg": np.ones(3, "f4")}, 1: {"exp_avg": np.zeros((0, 2), "f4")}},
            "groups": [{"lr": 0.5, "betas": (0.9, 0.999)}],
        },
        "views": [shared[2:6], shared[4:], shared.reshape(4, 5)],
        "epoch": 12,
        "none": None,
        "text": "ü",
        "nan": float("inf"),
        "big": 2**80,
        "flag": True,
        "z": np.array(2.5, "f4"),
        "a.b": np.arange(2),
        "a": {"b": np.arange(3)},
    }
    torch_files.write(tmp_path / "c.pt", value)
    from_torch_file(tmp_path / "c.pt", tmp_path / "c.npk")
    to_torch_file(tmp_path / "c.npk", tmp_path / "back.pt")
    back = torch_files.read(tmp_path / "back.pt")
    assert equal(back, value)
    assert np.shares_memory(back["model"]["w"], back["model"]["tied"])
    assert np.shares_memory(back["views"][0], back["views"][1])
    with NumPack(tmp_path / "c.npk") as npk:
        assert equal(npk["model.w"], W) and equal(npk["optimizer.state.0.exp_avg"], np.ones(3, "f4"))


def test_bfloat16_comes_back(tmp_path):
    torch_files.write(tmp_path / "b.pt", {"b": torch_files.bfloat16([[1.5, -2.0], [0.0, 256.0]])})
    from_torch_file(tmp_path / "b.pt", tmp_path / "b.npk")
    to_torch_file(tmp_path / "b.npk", tmp_path / "back.pt")
    found = torch_files.read(tmp_path / "back.pt")["b"]
    assert found.dtype == np.uint16 and found.tolist() == [[0x3FC0, 0xC000], [0, 0x4380]]
    with NumPack(tmp_path / "b.npk") as npk:
        assert npk["b"].view("u2").tolist() == found.tolist()
        assert npk["b"].dtype == (
            importlib.import_module("ml_dtypes").bfloat16
            if importlib.util.find_spec("ml_dtypes")
            else np.uint16
        )


def test_a_bare_tensor_is_named_by_the_file(tmp_path):
    torch_files.write(tmp_path / "embeddings.pt", W)
    from_torch_file(tmp_path / "embeddings.pt", tmp_path / "o.npk")
    with NumPack(tmp_path / "o.npk") as npk:
        assert npk.get_member_list() == ["embeddings"] and equal(npk["embeddings"], W)
    to_torch_file(tmp_path / "o.npk", tmp_path / "back.pt")
    assert equal(torch_files.read(tmp_path / "back.pt"), W)
    to_torch_file(tmp_path / "o.npk", tmp_path / "named.pt", array_names=["embeddings"])
    assert equal(torch_files.read(tmp_path / "named.pt"), {"embeddings": W})


def test_a_key(tmp_path):
    torch_files.write(
        tmp_path / "c.pt", {"encoder.weight": W, "model": {"encoder": {"w": W + 1, "b": W[0]}}, "n": 3}
    )
    from_torch_file(tmp_path / "c.pt", tmp_path / "a.npk", key="encoder.weight")
    with NumPack(tmp_path / "a.npk") as npk:
        (name,) = npk
        assert equal(npk[name], W)
    from_torch_file(tmp_path / "c.pt", tmp_path / "b.npk", key="model.encoder")
    with NumPack(tmp_path / "b.npk") as npk:
        assert npk.get_member_list() == ["w", "b"] and equal(npk["w"], W + 1)
    with pytest.raises(KeyError, match="decoder"):
        from_torch_file(tmp_path / "c.pt", tmp_path / "d.npk", key="decoder")
    assert not (tmp_path / "d.npk").exists()


def test_names_give_a_flat_dict_in_their_order(state, tmp_path):
    from_torch_file(state, tmp_path / "o.npk")
    to_torch_file(tmp_path / "o.npk", tmp_path / "some.pt", array_names=["mask", "encoder.weight"])
    assert equal(torch_files.read(tmp_path / "some.pt"), {"mask": STATE["mask"], "encoder.weight": W})
    with pytest.raises(KeyError, match="nothing"):
        to_torch_file(tmp_path / "o.npk", tmp_path / "none.pt", array_names=["mask", "nothing"])
    assert not (tmp_path / "none.pt").exists()
    with pytest.raises(TypeError, match="list"):
        to_torch_file(tmp_path / "o.npk", tmp_path / "none.pt", array_names="mask")


def test_a_store_of_numpy_becomes_a_dict(tmp_path):
    arrays = {"b": np.arange(6.0).reshape(2, 3), "a": np.array(3), "e": np.zeros((0, 2), "f4")}
    with NumPack(tmp_path / "o.npk") as npk:
        npk.save(arrays)
        npk.save({"rows": np.arange(10)})
        npk.drop("rows", slice(0, 8))
    to_torch_file(tmp_path / "o.npk", tmp_path / "o.pt")
    assert equal(torch_files.read(tmp_path / "o.pt"), {**arrays, "rows": np.array([8, 9])})


def test_a_store_that_is_there_is_added_to_or_replaced(state, tmp_path):
    path = tmp_path / "o.npk"
    with NumPack(path) as npk:
        npk.save({"mine": np.arange(3), "mask": np.zeros(9)})
    from_torch_file(state, path)
    with NumPack(path) as npk:
        assert sorted(npk) == sorted(["mine", *STATE]) and equal(npk["mask"], STATE["mask"])
    from_torch_file(state, path, drop_if_exists=True)
    with NumPack(path) as npk:
        assert npk.get_member_list() == list(STATE)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "file").write_text("text")
    with pytest.raises(FileExistsError, match="no store"):
        from_torch_file(state, tmp_path / "mine", drop_if_exists=True)
    assert (tmp_path / "mine" / "file").exists()


def test_folders_are_made_and_an_output_file_is_replaced(state, tmp_path):
    from_torch_file(state, tmp_path / "a" / "b" / "o.npk")
    (tmp_path / "o.pt").write_text("old")
    to_torch_file(tmp_path / "a" / "b" / "o.npk", tmp_path / "o.pt")
    to_torch_file(tmp_path / "a" / "b" / "o.npk", tmp_path / "c" / "o.pt")
    assert equal(torch_files.read(tmp_path / "o.pt"), STATE) and equal(
        torch_files.read(tmp_path / "c" / "o.pt"), STATE
    )


def test_chunks(tmp_path):
    assert DEFAULT_CHUNK_SIZE == 100 * 1024 * 1024
    value = {"w": np.arange(1_000_000, dtype="f4").reshape(1000, 1000)}
    torch_files.write(tmp_path / "w.pt", value)
    for size in (1, 4096, 10**12):
        from_torch_file(tmp_path / "w.pt", tmp_path / "w.npk", drop_if_exists=True, chunk_size=size)
        to_torch_file(tmp_path / "w.npk", tmp_path / "back.pt", chunk_size=size)
        assert equal(torch_files.read(tmp_path / "back.pt"), value)
    for size in (0, -1):
        with pytest.raises(ValueError, match="chunk_size"):
            from_torch_file(tmp_path / "w.pt", tmp_path / "w.npk", chunk_size=size)


def test_what_cannot_be_converted(tmp_path):
    for call in (from_torch_file, to_torch_file, from_pt, to_pt):
        with pytest.raises(FileNotFoundError):
            call(tmp_path / "nothing", tmp_path / "o")
    (tmp_path / "text.pt").write_text("no file of torch's")
    (tmp_path / "folder").mkdir()
    with pytest.raises(FormatError):
        from_torch_file(tmp_path / "text.pt", tmp_path / "o.npk")
    for name in ("text.pt", "folder"):
        with pytest.raises((FormatError, OSError)):
            to_torch_file(tmp_path / name, tmp_path / "o.pt")
    assert sorted(os.listdir(tmp_path)) == ["folder", "text.pt"]


def test_nothing_in_a_file_is_run(tmp_path):
    import pickle
    import zipfile

    class Bad:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "ran"),)

    with zipfile.ZipFile(tmp_path / "bad.pt", "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({"x": Bad()}, 2))
        archive.writestr("archive/version", "3\n")
    with pytest.warns(RuntimeWarning, match="mkdir"):
        from_torch_file(tmp_path / "bad.pt", tmp_path / "bad.npk")
    assert not (tmp_path / "ran").exists()


# -- progress


def test_progress_by_a_callable(tmp_path):
    value = {f"w{i}": np.zeros(5_000_000, "f4") for i in range(3)}
    torch_files.write(tmp_path / "w.pt", value)
    for call, source, target in ((from_torch_file, "w.pt", "w.npk"), (to_torch_file, "w.npk", "back.pt")):
        seen = []
        call(tmp_path / source, tmp_path / target, progress=lambda done, total: seen.append((done, total)))
        done = [d for d, _ in seen]
        assert len(seen) >= 3 and done == sorted(done) and done[-1] == seen[-1][1] >= 60_000_000
        assert all(b - a <= 16 << 20 for a, b in zip(done, done[1:]))


class Stop(Exception):
    pass


def test_what_progress_raises_stops_the_work(state, tmp_path):
    def stop(done, total):
        raise Stop

    from_torch_file(state, tmp_path / "o.npk")
    with pytest.raises(Stop):
        from_torch_file(state, tmp_path / "new.npk", progress=stop)
    with pytest.raises(Stop):
        from_torch_file(state, tmp_path / "o.npk", drop_if_exists=True, key="mask", progress=stop)
    with pytest.raises(Stop):
        to_torch_file(tmp_path / "o.npk", tmp_path / "new.pt", progress=stop)
    assert not (tmp_path / "new.npk").exists() and not (tmp_path / "new.pt").exists()
    with NumPack(tmp_path / "o.npk") as npk:
        assert npk.get_member_list() == list(STATE)


def test_progress_on_stderr(state, tmp_path, capfd, monkeypatch):
    monkeypatch.setitem(sys.modules, "tqdm", None)
    from_torch_file(state, tmp_path / "o.npk", progress=True)
    said = capfd.readouterr()
    assert "100 %" in said.err and said.err.endswith("\n") and said.out == ""
    from_torch_file(state, tmp_path / "o.npk")
    assert capfd.readouterr().err == ""


def test_progress_by_tqdm(state, tmp_path, monkeypatch):
    import types

    bars = []

    class Bar:
        def __init__(self, **options):
            self.total, self.n, self.closed = options["total"], 0, False
            bars.append(self)

        def update(self, n):
            self.n += n

        def close(self):
            self.closed = True

    monkeypatch.setitem(sys.modules, "tqdm", types.SimpleNamespace(tqdm=Bar))
    from_torch_file(state, tmp_path / "o.npk", progress=True)
    (bar,) = bars
    assert bar.closed and bar.n == bar.total > 0


def test_ctrl_c_stops_the_work(tmp_path):
    torch_files.write(tmp_path / "w.pt", {f"w{i}": np.zeros(4_000_000, "f4") for i in range(8)})
    code = """
import sys, os, signal
from libnumpack.io import from_torch_file
if sys.argv[3] == "callback":
    def progress(done, total):
        os.kill(os.getpid(), signal.SIGINT)
else:
    import _thread, libnumpack.store_progress as p
    p._nothing = lambda done, total: os.kill(os.getpid(), signal.SIGINT)
    progress = False
try:
    from_torch_file(sys.argv[1], sys.argv[2], progress=progress)
except KeyboardInterrupt:
    sys.exit(7)
"""
    for how in ("callback", "without"):
        target = tmp_path / f"{how}.npk"
        assert subprocess.run([sys.executable, "-c", code, tmp_path / "w.pt", target, how]).returncode == 7
        assert not target.exists()


def test_other_threads_run_meanwhile(tmp_path):
    torch_files.write(tmp_path / "w.pt", {f"w{i}": np.zeros(4_000_000, "f4") for i in range(4)})
    ran = []
    thread = threading.Thread(target=lambda: [ran.append(time.sleep(0.001)) for _ in range(5)])
    seen = []

    def progress(done, total):
        if not seen:
            thread.start()
            thread.join()
        seen.append(done)

    from_torch_file(tmp_path / "w.pt", tmp_path / "w.npk", progress=progress)
    assert len(ran) == 5 and signal.getsignal(signal.SIGINT) is not None


# -- names


def test_names_and_defaults():
    assert from_pytorch is from_torch_file and to_pytorch is to_torch_file
    assert issubclass(DependencyError, ImportError)
    expected = {
        "from_torch": "tensor, output_path, array_name=None, drop_if_exists=False",
        "to_torch": "input_path, array_name=None, device=None",
        "from_torch_file": "input_path, output_path, key=None, drop_if_exists=False, chunk_size=104857600",
        "to_torch_file": "input_path, output_path, array_names=None, chunk_size=104857600",
        "from_tensor": "tensor, output_path, array_name=None, drop_if_exists=False, return_npk_obj=False",
        "to_tensor": "input_path, array_name=None, device=None, dtype=None",
        "from_pt": "input_path, output_path, key=None, drop_if_exists=False, chunk_size=104857600, "
        "return_npk_obj=False",
        "to_pt": "input_path, output_path, array_names=None, as_dict=True, chunk_size=104857600",
        "pack": "source, target=None, compression=True, overwrite=False",
        "unpack": "source, target=None, overwrite=False, verify=True",
        "get_package_info": "source",
    }
    for name, parameters in expected.items():
        found = [
            p.name if p.default is p.empty else f"{p.name}={p.default!r}"
            for p in inspect.signature(getattr(npio, name)).parameters.values()
            if p.kind is not p.KEYWORD_ONLY
        ]
        assert ", ".join(found) == parameters, name
    assert set(expected) < set(npio.__all__)


def test_from_pt_gives_the_store(state, tmp_path):
    assert from_pt(state, tmp_path / "a.npk") is None
    npk = from_pt(state, tmp_path / "o.npk", key="mask", return_npk_obj=True)
    assert npk.is_opened and len(npk.get_member_list()) == 1


def test_to_pt_as_dict(tmp_path):
    torch_files.write(tmp_path / "bare.pt", W)
    from_pt(tmp_path / "bare.pt", tmp_path / "bare.npk")
    to_pt(tmp_path / "bare.npk", tmp_path / "dict.pt")
    assert equal(torch_files.read(tmp_path / "dict.pt"), {"bare": W})
    to_pt(tmp_path / "bare.npk", tmp_path / "alone.pt", as_dict=False)
    assert equal(torch_files.read(tmp_path / "alone.pt"), W)
    with NumPack(tmp_path / "two.npk") as npk:
        npk.save({"a": W, "b": W + 1})
    for as_dict in (True, False):
        to_pt(tmp_path / "two.npk", tmp_path / "two.pt", as_dict=as_dict)
        assert equal(torch_files.read(tmp_path / "two.pt"), {"a": W, "b": W + 1})
    to_pt(tmp_path / "two.npk", tmp_path / "one.pt", ["b"])
    assert equal(torch_files.read(tmp_path / "one.pt"), {"b": W + 1})
    with pytest.raises(KeyError):
        to_pt(tmp_path / "two.npk", tmp_path / "no.pt", ["c"], as_dict=False)


def test_to_pt_of_one_array_alone(tmp_path):
    with NumPack(tmp_path / "two.npk") as npk:
        npk.save({"a": W, "b": W + 1})
    (tmp_path / "one.pt").write_text("old")
    to_pt(tmp_path / "two.npk", tmp_path / "one.pt", ["b"], as_dict=False)
    assert equal(torch_files.read(tmp_path / "one.pt"), W + 1)


@pytest.mark.skipif(importlib.util.find_spec("torch") is not None, reason="torch is installed")
def test_tensors_need_torch(tmp_path):
    with NumPack(tmp_path / "o.npk") as npk:
        npk.save({"a": W})
    for call in (
        lambda: npio.from_torch(W, tmp_path / "n.npk"),
        lambda: npio.to_torch(tmp_path / "o.npk"),
        lambda: npio.from_tensor(W, tmp_path / "n.npk"),
        lambda: npio.to_tensor(tmp_path / "o.npk"),
    ):
        with pytest.raises(DependencyError, match="torch"):
            call()


def test_files_import_no_torch(state, tmp_path):
    code = (
        "import sys\nfrom libnumpack.io import *\nfrom_torch_file(sys.argv[1], sys.argv[2])\n"
        "to_torch_file(sys.argv[2], sys.argv[3])\n"
        "assert 'torch' not in sys.modules and 'tqdm' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code, state, tmp_path / "o.npk", tmp_path / "o.pt"], check=True)


def test_any_file_of_tensors_becomes_a_neighbour(tmp_path):
    import libnumpack
    from libnumpack.io import export_file

    weight = libnumpack.arange(6).reshape(2, 3).float()
    libnumpack.save({"model": {"w": weight, "b": libnumpack.ones(2, dtype="float64")}, "epoch": 3}, tmp_path / "m.pt")
    export_file(tmp_path / "m.pt", tmp_path / "m.npz", key="model")
    with np.load(tmp_path / "m.npz") as found:
        assert sorted(found) == ["b", "w"] and found["w"].tolist() == weight.tolist()
        assert found["b"].dtype == np.float64
    export_file(tmp_path / "m.pt", tmp_path / "w.npy", array_names=["model.w"])
    assert np.load(tmp_path / "w.npy").tolist() == weight.tolist()
    with pytest.warns(RuntimeWarning, match="no tensor"):
        export_file(tmp_path / "m.pt", tmp_path / "m.safetensors")
    assert sorted(libnumpack.load(tmp_path / "m.safetensors")) == ["model.b", "model.w"]

    libnumpack.save({"w": weight, "row": weight[0]}, tmp_path / "shared.pt")
    before = (tmp_path / "m.safetensors").read_bytes()
    with pytest.raises(ValueError, match="share"):
        export_file(tmp_path / "shared.pt", tmp_path / "m.safetensors")
    assert (tmp_path / "m.safetensors").read_bytes() == before
    export_file(tmp_path / "shared.pt", tmp_path / "m.safetensors", copy_shared=True)
    assert libnumpack.load(tmp_path / "m.safetensors")["row"].tolist() == [0, 1, 2]

    def stop(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export_file(tmp_path / "shared.pt", tmp_path / "new.npz", copy_shared=True, progress=stop)
    assert not (tmp_path / "new.npz").exists()
