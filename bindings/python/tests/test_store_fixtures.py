"""Stores and packages that the public ``numpack`` package wrote, against what it read in them."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from libnumpack.packages import get_package_info, unpack
from libnumpack.store import NumPack

BESIDE = Path(__file__).resolve().parents[3].parent / "shared" / "fixtures"
FOLDER = Path(os.environ.get("LIBNUMPACK_FIXTURES", BESIDE)) / "npk"

if not FOLDER.exists():
    pytest.skip("no collection of real files; set LIBNUMPACK_FIXTURES to one", allow_module_level=True)

TRUTH = json.loads((FOLDER / "truth.json").read_text(encoding="utf-8"))


def sha256(array: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()


def check(npk: NumPack, arrays: dict[str, Any]) -> None:
    assert sorted(npk) == sorted(arrays)
    for name, truth in arrays.items():
        found = npk.load(name)
        assert (found.dtype.name, list(found.shape), sha256(found)) == (
            truth["dtype"],
            truth["shape"],
            truth["sha256"],
        ), name
        lazy = npk.load(name, lazy=True)
        assert lazy.shape == found.shape and np.array_equal(np.asarray(lazy), found, equal_nan=True)
        rows = np.arange(len(found))[::-3]
        for picked in (npk.getitem(name, rows), lazy[rows], lazy[::-1][::3]):
            assert picked.tobytes() == found[rows].tobytes()
        pieces = list(npk.stream_load(name, 7))
        assert b"".join(p.tobytes() for p in pieces) == found.tobytes()


@pytest.mark.parametrize("name", TRUTH["stores"])
def test_stores_are_read(name):
    store = TRUTH["stores"][name]
    before = {p: p.stat().st_mtime_ns for p in sorted((FOLDER / store["path"]).rglob("*"))}
    with NumPack(FOLDER / store["path"]) as npk:
        check(npk, store["arrays"])
    assert before == {p: p.stat().st_mtime_ns for p in sorted((FOLDER / store["path"]).rglob("*"))}


@pytest.mark.parametrize("name", TRUTH["stores"])
def test_and_changed(name, tmp_path):
    store = TRUTH["stores"][name]
    shutil.copytree(FOLDER / store["path"], tmp_path / "s.npk")
    os.chmod(tmp_path / "s.npk", 0o755)
    for file in (tmp_path / "s.npk").rglob("*"):
        os.chmod(file, 0o755 if file.is_dir() else 0o644)
    with NumPack(tmp_path / "s.npk") as npk:
        for array in npk.get_member_list():
            before = npk[array]
            if not len(before):
                continue
            npk.append({array: before[:2]})
            npk.drop(array, 0)
            npk.replace({array: before[:1]}, -1)
            expected = np.concatenate([before, before[:2]])[1:]
            expected[-1] = before[0]
            assert npk[array].tobytes() == expected.tobytes()
            npk.update(array)
            assert npk[array].tobytes() == expected.tobytes()


@pytest.mark.parametrize("name", TRUTH["packages"])
def test_packages_are_read(name, tmp_path):
    arrays = TRUTH["packages"][name]["arrays"]
    said = get_package_info(FOLDER / name)["arrays"]
    assert said == {n: {"shape": a["shape"], "dtype": a["dtype"]} for n, a in arrays.items()}
    with NumPack(unpack(FOLDER / name, tmp_path / "t.npk")) as npk:
        check(npk, arrays)
