"""`pack`, `unpack` and `get_package_info`."""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest

from libnumpack.errors import FormatError
from libnumpack.packages import get_package_info, pack, unpack
from libnumpack.store import NumPack

ARRAYS = {"zeros": np.zeros((1000, 8)), "few": np.arange(5, dtype="i2"), "e": np.zeros((0, 2), "f4")}


@pytest.fixture
def store(tmp_path: Path) -> Path:
    with NumPack(tmp_path / "s.npk") as npk:
        npk.save(ARRAYS)
        npk.drop("few", 1)
    return tmp_path / "s.npk"


def check(path: Path) -> None:
    with NumPack(path) as npk:
        assert sorted(npk) == sorted(ARRAYS)
        assert np.array_equal(npk["zeros"], ARRAYS["zeros"]) and npk["few"].tolist() == [0, 2, 3, 4]
        assert npk["e"].shape == (0, 2)


@pytest.mark.parametrize("compression", [True, False])
def test_there_and_back(store, tmp_path, compression):
    packed = pack(store, tmp_path / "p.npkg", compression=compression)
    assert packed == tmp_path / "p.npkg"
    assert unpack(packed, tmp_path / "t.npk") == tmp_path / "t.npk"
    check(tmp_path / "t.npk")
    assert (packed.stat().st_size < 20_000) == compression


def test_where_they_go(store, tmp_path, monkeypatch):
    assert pack(str(store)) == tmp_path / "s.npk.npkg"
    assert pack(store, tmp_path / "deep" / "er" / "name") == tmp_path / "deep" / "er" / "name.npkg"
    os.rename(store, tmp_path / "gone")
    assert unpack(tmp_path / "s.npk.npkg") == tmp_path / "s.npk"
    check(tmp_path / "s.npk")
    assert unpack(tmp_path / "deep" / "er" / "name.npkg") == tmp_path / "deep" / "er" / "name.npk"
    assert unpack(tmp_path / "s.npk.npkg", tmp_path / "a" / "b") == tmp_path / "a" / "b"
    monkeypatch.chdir(tmp_path)
    assert pack("s.npk", "here.npkg") == Path("here.npkg")
    assert unpack("here.npkg") == Path("here.npk")
    check(tmp_path / "here.npk")


def test_what_is_there_stays_unless_it_is_to_be_replaced(store, tmp_path):
    packed = pack(store)
    with pytest.raises(FileExistsError):
        pack(store)
    with pytest.raises(FileExistsError):
        unpack(packed, store)
    with NumPack(store) as npk:
        npk.save({"new": np.arange(2)})
    unpack(packed, store, overwrite=True)
    check(store)
    with NumPack(store) as npk:
        npk.save({"new": np.arange(2)})
    pack(store, overwrite=True)
    unpack(packed, tmp_path / "t.npk")
    with NumPack(tmp_path / "t.npk") as npk:
        assert "new" in npk
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "file").write_text("text")
    with pytest.raises(FormatError):
        unpack(packed, tmp_path / "mine", overwrite=True)
    assert (tmp_path / "mine" / "file").read_text() == "text"


def test_what_is_missing_or_damaged(store, tmp_path):
    for call in (pack, unpack, get_package_info):
        with pytest.raises(FileNotFoundError):
            call(tmp_path / "nothing")
    with pytest.raises(ValueError):
        pack(tmp_path)
    (tmp_path / "text.npkg").write_text("this is no package, and longer than a header")
    for call in (lambda: unpack(tmp_path / "text.npkg"), lambda: get_package_info(tmp_path / "text.npkg")):
        with pytest.raises(FormatError):
            call()
    packed = pack(store, compression=False)
    good = packed.read_bytes()
    at = good.index(np.arange(5, dtype="i2").tobytes())
    packed.write_bytes(good[:at] + b"\1" + good[at + 1 :])
    for verify in (True, False):
        with pytest.raises(FormatError, match="checksum|damaged"):
            unpack(packed, store, overwrite=True, verify=verify)
    check(store)
    packed.write_bytes(good[:-30])
    with pytest.raises(FormatError):
        unpack(packed, tmp_path / "t.npk")
    assert not (tmp_path / "t.npk").exists()


@pytest.mark.parametrize("compression", [True, False])
def test_what_is_said_of_one(store, compression):
    packed = pack(store, compression=compression)
    found = get_package_info(packed)
    names = {f["name"]: f for f in found["files"]}
    assert set(names) == {
        "metadata.npkm",
        "data_zeros.npkd",
        "data_few.npkd",
        "data_e.npkd",
        "deleted_few.npkb",
    }
    assert found["version"] == 2 and found["compression"] == compression and found["file_count"] == 5
    assert found["compression_name"] == ("zlib" if compression else "none")
    zeros = names["data_zeros.npkd"]
    assert zeros["original_size"] == 64000
    assert (0 < zeros["compressed_size"] < 1000) if compression else zeros["compressed_size"] == 0
    assert zeros["actual_size"] == (zeros["compressed_size"] or 64000)
    assert names["data_few.npkd"]["compressed_size"] == 0
    assert found["total_original_size"] == sum(f["original_size"] for f in names.values())
    assert found["total_compressed_size"] == sum(f["actual_size"] for f in names.values())
    assert found["compression_ratio"] == found["total_compressed_size"] / found["total_original_size"]
    assert found["arrays"]["few"] == {"shape": [4], "dtype": "int16"}
    assert found["arrays"]["zeros"] == {"shape": [1000, 8], "dtype": "float64"}


def test_the_layout_is_the_public_one(store):
    """Read here as its description has it."""
    data = pack(store).read_bytes()
    magic, version, compression, count = struct.unpack_from("<4sIBI", data)
    assert (magic, version, compression) == (b"NPKG", 2, 1)
    at, files, checksum = 13, {}, 0
    for _ in range(count):
        (length,) = struct.unpack_from("<I", data, at)
        name = data[at + 4 : at + 4 + length].decode()
        size, stored = struct.unpack_from("<QQ", data, at + 4 + length)
        at += 20 + length
        content = data[at : at + (stored or size)]
        at += stored or size
        files[name] = zlib.decompress(content) if stored else content
        assert len(files[name]) == size
        checksum = zlib.crc32(zlib.crc32(files[name]).to_bytes(4, "little"), checksum)
    assert data[at:] == checksum.to_bytes(4, "little")
    assert files["data_zeros.npkd"] == ARRAYS["zeros"].tobytes()
    assert list(files) == sorted(files)


def test_logical_types_go_along(tmp_path):
    ml_dtypes = pytest.importorskip("ml_dtypes")
    with NumPack(tmp_path / "s.npk") as npk:
        npk.save({"a": np.ones(3, ml_dtypes.bfloat16)})
    packed = pack(tmp_path / "s.npk")
    assert get_package_info(packed)["arrays"] == {"a": {"shape": [3], "dtype": "bfloat16"}}
    with NumPack(unpack(packed, tmp_path / "t.npk")) as npk:
        assert npk["a"].dtype == ml_dtypes.bfloat16
