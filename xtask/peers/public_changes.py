"""Changes a store by the command line and by the public package in turn, and compares with numpy.

After each step the public package must load, and ``numpack cat --npy`` must give, what numpy has.
Steps of the public package run in a process of their own, because it writes when it closes and
can crash on reading. Used by ``public_numpack.py --numpack PATH``.
"""

from __future__ import annotations

import io
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

DTYPES = [
    *("bool", "uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64"),
    *("float16", "float32", "float64"),
]


class Session:
    """A store, and what numpy says is in it."""

    def __init__(self, binary: str, folder: Path) -> None:
        self.binary, self.folder, self.store = binary, folder, folder / "store.npk"
        self.arrays: dict[str, np.ndarray] = {}

    def numpack(self, *args: object) -> bytes:
        """Runs our command, which must succeed."""
        done = subprocess.run([self.binary, *map(str, args)], capture_output=True, check=False)
        if done.returncode:
            raise RuntimeError(f"numpack {args}: {done.stderr.decode()}")
        return done.stdout

    def public(self, what: str, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Lets the public package do something with arrays, and gives what it then loads."""
        given, taken = self.folder / "given.npz", self.folder / "taken.npz"
        # Names go by their place, as not every name can be that of a file.
        np.savez(given, names=np.array(list(arrays)), **{f"a{i}": a for i, a in enumerate(arrays.values())})
        command = [sys.executable, __file__, what, str(self.store), str(given), str(taken)]
        done = subprocess.run(command, capture_output=True, check=False)
        if done.returncode:
            raise RuntimeError(f"public {what}: {done.returncode}: {done.stderr.decode()[-500:]}")
        with np.load(taken) as found:
            return {name: found[f"a{i}"] for i, name in enumerate(found["names"].tolist())}

    def check(self, step: str) -> None:
        """Both readers have what numpy has, and the store is sound."""
        self.numpack("verify", self.store)
        ours = {
            name: np.load(io.BytesIO(self.numpack("cat", self.store, name, "--npy"))) for name in self.arrays
        }
        for reader, found in [("numpack", ours), ("public", self.public("load", {}))]:
            if set(found) != set(self.arrays):
                raise RuntimeError(f"{step}: {reader} lists {sorted(found)}, not {sorted(self.arrays)}")
            for name, wanted in self.arrays.items():
                array = found[name]
                if (array.dtype, array.shape) != (wanted.dtype, wanted.shape) or array.tobytes() != wanted.tobytes():
                    raise RuntimeError(f"{step}: {name!r} in {reader} is {array!r:.200}, not {wanted!r:.200}")

    def append(self, rows: dict[str, np.ndarray]) -> None:
        """Adds rows to arrays, in one commit of ours."""
        pairs = []
        for i, (name, new) in enumerate(rows.items()):
            np.save(self.folder / f"{i}.npy", new)
            pairs += [name, self.folder / f"{i}.npy"]
            self.arrays[name] = np.concatenate([self.arrays[name], new])
        self.numpack("append", self.store, *pairs)

    def run(self) -> None:
        """Every step in turn."""
        rng = np.random.default_rng(11)

        def rows(dtype: str, count: int) -> np.ndarray:
            return (rng.random((count, 3, 2)) * 100).astype(dtype)

        self.arrays = {dtype: rows(dtype, 70) for dtype in DTYPES}
        self.public("save", self.arrays)
        self.check("saved by the public package")

        self.append({dtype: rows(dtype, 5) for dtype in DTYPES})
        self.check("append")
        for dtype in DTYPES[:6]:
            self.numpack("drop", self.store, dtype, "--rows", "3:60:2")
            self.arrays[dtype] = np.delete(self.arrays[dtype], np.s_[3:60:2], axis=0)
        self.numpack("drop", self.store, *DTYPES[6:9], "--rows", "0,-1,7")
        for dtype in DTYPES[6:9]:
            self.arrays[dtype] = np.delete(self.arrays[dtype], [0, -1, 7], axis=0)
        self.check("drop of rows")
        self.append({"uint8": rows("uint8", 70), "int64": rows("int64", 1)})
        self.check("append after drop")
        self.numpack("rename", self.store, "float32", "other name")
        self.arrays["other name"] = self.arrays.pop("float32")
        self.numpack("rename", self.store, "uint8", "bytes")
        self.arrays["bytes"] = self.arrays.pop("uint8")
        self.check("rename")
        self.numpack("drop", self.store, "float16")
        del self.arrays["float16"]
        self.check("drop of an array")

        package = self.folder / "store.npkg"
        self.numpack("pack", self.store, package, "--compress")
        self.numpack("compact", self.store, "bytes")
        self.check("compact of an array")
        self.numpack("compact", self.store)
        self.check("compact")
        self.numpack("unpack", package, self.store, "--overwrite")
        self.check("unpack")

        self.numpack("compact", self.store)
        new = {name: rows(array.dtype.name, 4) for name, array in self.arrays.items()}
        self.public("append", new)
        self.arrays = {name: np.concatenate([array, new[name]]) for name, array in self.arrays.items()}
        self.check("append by the public package")
        gone = {name: np.array([0, 5, len(array) - 1]) for name, array in self.arrays.items()}
        self.public("drop", gone)
        self.arrays = {name: np.delete(array, gone[name], axis=0) for name, array in self.arrays.items()}
        self.check("drop by the public package")
        self.append({"bytes": rows("uint8", 3)})
        self.check("append after drop by the public package")


def check(binary: str) -> None:
    """Runs all steps; an exception tells what failed."""
    with tempfile.TemporaryDirectory(prefix="numpack-changes-") as folder:
        Session(binary, Path(folder)).run()


def public(what: str, store: str, given: str, taken: str) -> None:
    """One step of the public package, in this process."""
    import numpack

    with np.load(given) as found:
        arrays = {name: found[f"a{i}"] for i, name in enumerate(found["names"].tolist())}
    with numpack.NumPack(store) as opened:
        if what == "drop":
            for name, rows in arrays.items():
                opened.drop(name, rows.tolist())
        elif what != "load":
            getattr(opened, what)(arrays)
    loaded = {}
    if what == "load":
        with numpack.NumPack(store) as opened:
            loaded = {name: np.array(opened.load(name)) for name in opened.get_member_list()}
    np.savez(taken, names=np.array(list(loaded)), **{f"a{i}": a for i, a in enumerate(loaded.values())})


if __name__ == "__main__":
    public(*sys.argv[1:])
