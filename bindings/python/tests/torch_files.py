"""``.pt`` files without torch: written and read here by Python's own zip and pickle, as torch lays them
out."""

from __future__ import annotations

import io
import pickle
import struct
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np

STORAGES = {
    "f4": "FloatStorage",
    "f8": "DoubleStorage",
    "i8": "LongStorage",
    "i4": "IntStorage",
    "u1": "ByteStorage",
    "b1": "BoolStorage",
    "f2": "HalfStorage",
}
BFLOAT16 = "BFloat16Storage"


class Bits:
    """Elements of bfloat16, as their bits."""

    def __init__(self, bits: np.ndarray) -> None:
        self.bits = bits


class _Writer:
    def __init__(self) -> None:
        self.storages: dict[int, tuple[str, np.ndarray]] = {}

    def value(self, value: Any) -> bytes:
        if isinstance(value, (dict, OrderedDict)):
            made = b"ccollections\nOrderedDict\n)R" if isinstance(value, OrderedDict) else b"}"
            return made + b"(" + b"".join(self.value(k) + self.value(v) for k, v in value.items()) + b"u"
        if isinstance(value, list):
            return b"](" + b"".join(map(self.value, value)) + b"e"
        if isinstance(value, tuple):
            return b"(" + b"".join(map(self.value, value)) + b"t"
        if isinstance(value, (np.ndarray, Bits)):
            return self.tensor(value)
        # Everything else is what pickle makes of it, without protocol and stop.
        return pickle.dumps(value, 2)[2:-1]

    def tensor(self, value: Any) -> bytes:
        array, kind = (
            (value.bits, BFLOAT16) if isinstance(value, Bits) else (value, STORAGES[value.dtype.str[1:]])
        )
        base = array
        while isinstance(base.base, np.ndarray):
            base = base.base
        number = list(self.storages).index(id(base)) if id(base) in self.storages else len(self.storages)
        self.storages[id(base)] = kind, base
        offset = (
            array.__array_interface__["data"][0] - base.__array_interface__["data"][0]
        ) // array.itemsize
        strides = tuple(s // array.itemsize for s in array.strides)
        storage = (
            b"("
            + self.value("storage")
            + b"ctorch\n"
            + kind.encode()
            + b"\n"
            + self.value(str(number))
            + (self.value("cpu") + self.value(base.size) + b"tQ")
        )
        return (
            b"ctorch._utils\n_rebuild_tensor_v2\n("
            + storage
            + self.value(offset)
            + self.value(array.shape)
            + (self.value(strides) + b"\x89" + b"ccollections\nOrderedDict\n)R" + b"tR")
        )


def write(path: Path, value: Any) -> None:
    """Writes a file as ``torch.save`` does; arrays are its tensors, and views of one array share a
    storage."""
    writer = _Writer()
    pickled = b"\x80\x02" + writer.value(value) + b"."
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickled)
        for i, (_, base) in enumerate(writer.storages.values()):
            archive.writestr(f"archive/data/{i}", base.tobytes())
        archive.writestr("archive/version", "3\n")


class _Reader(pickle.Unpickler):
    def __init__(self, archive: zipfile.ZipFile, root: str) -> None:
        super().__init__(io.BytesIO(archive.read(f"{root}/data.pkl")))
        self.archive, self.root = archive, root
        self.storages: dict[str, np.ndarray] = {}

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return self.rebuild
        if module == "torch" and name.endswith("Storage"):
            return name
        raise pickle.UnpicklingError(f"{module}.{name}")

    def persistent_load(self, found: Any) -> Any:
        _, kind, key, _, _ = found
        if key not in self.storages:
            words = {name: word for word, name in STORAGES.items()} | {BFLOAT16: "u2"}
            self.storages[key] = np.frombuffer(
                self.archive.read(f"{self.root}/data/{key}"), words[kind]
            ).copy()
        return self.storages[key]

    @staticmethod
    def rebuild(storage: np.ndarray, offset: int, shape: Any, strides: Any, *_: Any) -> np.ndarray:
        return np.lib.stride_tricks.as_strided(
            storage[offset:], shape, [s * storage.itemsize for s in strides]
        )


def read(path: Path) -> Any:
    """What is in a file, with arrays for its tensors; bfloat16 as its bits."""
    with zipfile.ZipFile(path) as archive:
        root = archive.namelist()[0].split("/")[0]
        return _Reader(archive, root).load()


def bfloat16(values: Any) -> Bits:
    """Numbers that bfloat16 has exactly."""
    found = np.asarray(values, "f4")
    bits = found.view("u4")
    assert not (bits & 0xFFFF).any() and struct.calcsize("f") == 4
    return Bits((bits >> 16).astype("u2"))
