"""Checks ``numpack cat`` and ``numpack append`` against numpy.

Needs numpy only. What ``cat --npy`` writes must load as what numpy has, what
``cat`` prints must read back as the same numbers, and rows in any file that
``numpy.save`` writes must arrive in the store. ``python check_commands.py
--numpack PATH`` ends with ``N passed, M failed``; the status is 1 if any failed.
"""

from __future__ import annotations

import argparse
import io
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from npk_reader import read_store
from npk_writer import write_store

DTYPES = [
    *("bool", "uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64"),
    *("float16", "float32", "float64", "complex64", "complex128"),
]
ROWS = ["1:3", "-2:", ":", "::-1", "5:0:-2", "::3", "4", "1,-1,1", "7:2"]


class Failed(Exception):
    """What a command gave is not what numpy says."""


def same(found: np.ndarray, wanted: np.ndarray) -> bool:
    """Whether two arrays are equal bit for bit."""
    return (found.dtype, found.shape, found.tobytes()) == (wanted.dtype, wanted.shape, wanted.tobytes())


def expect(what: str, found: np.ndarray, wanted: np.ndarray) -> None:
    """Fails where two arrays differ."""
    if not same(found, wanted):
        raise Failed(f"{what}: {found!r:.200}, expected {wanted!r:.200}")


def random_array(rng: np.random.Generator, dtype: str, shape: tuple[int, ...]) -> np.ndarray:
    """Any bits that the type can have, but one NaN only, which text cannot tell from another."""
    size = int(np.prod(shape, dtype=int)) * np.dtype(dtype).itemsize
    raw = np.frombuffer(rng.bytes(size), dtype="uint8").copy()
    if dtype == "bool":
        raw &= 1
    array = raw.view(dtype).reshape(shape)
    if array.dtype.kind in "fc":
        parts = array.view(array.real.dtype)
        parts[np.isnan(parts)] = np.nan
    return array


def pick(array: np.ndarray, rows: str) -> np.ndarray:
    """The rows that Python would give."""
    if ":" in rows:
        return array[slice(*(int(part) if part else None for part in rows.split(":")))]
    return array[[int(part) for part in rows.split(",")]]


class Commands:
    """The binary, and a folder to work in."""

    def __init__(self, binary: str, folder: Path) -> None:
        self.binary, self.folder = binary, folder
        self.rng = np.random.default_rng(7)

    def run(self, *args: object, stdin: bytes = b"") -> bytes:
        """The output of a command that must succeed."""
        command = [self.binary, *map(str, args)]
        done = subprocess.run(command, input=stdin, capture_output=True, check=False)
        if done.returncode:
            raise Failed(f"{args} left with {done.returncode}: {done.stderr.decode().strip()}")
        return done.stdout

    def refused(self, *args: object, word: str, stdin: bytes = b"") -> None:
        """A command that must not be done, and say why."""
        command = [self.binary, *map(str, args)]
        done = subprocess.run(command, input=stdin, capture_output=True, check=False)
        if done.returncode != 2 or word not in done.stderr.decode() or done.stdout:
            raise Failed(f"{args} left with {done.returncode} and said {done.stderr.decode()!r}")

    def cat(self, dtype: str) -> None:
        """All ways to read an array: from the store, a package, and a compressed one."""
        arrays = {
            "flat": random_array(self.rng, dtype, (9,)),
            "deep": random_array(self.rng, dtype, (7, 3, 2)),
            "none": random_array(self.rng, dtype, (0, 4)),
            "thin": random_array(self.rng, dtype, (3, 0)),
        }
        store = self.folder / f"cat-{dtype}.npk"
        write_store(store, arrays)
        self.run("pack", store, store.with_suffix(".npkg"))
        self.run("pack", "--compress", store, store.with_suffix(".zip"))
        for path in [store, store.with_suffix(".npkg"), store.with_suffix(".zip")]:
            for name, array in arrays.items():
                for rows in [None, *ROWS] if len(array) > 6 else [None, ":", "::-1"]:
                    choice = [] if rows is None else ["--rows", rows]
                    wanted = array if rows is None else pick(array, rows)
                    found = self.run("cat", path, name, "--npy", *choice)
                    expect(f"{path.name} {name} {rows}", np.load(io.BytesIO(found)), wanted)
                    text = self.run("cat", path, name, *choice).decode()
                    lines = [line.split(" ") if line else [] for line in text.splitlines()]
                    read = [self.parse(word, dtype) for line in lines for word in line]
                    expect(f"text of {name} {rows}", np.array(read, dtype).reshape(wanted.shape), wanted)
                    if len(lines) != len(wanted):
                        raise Failed(f"{name} {rows}: {len(lines)} lines for {len(wanted)} rows")

    @staticmethod
    def parse(word: str, dtype: str) -> object:
        """A number as Python reads it."""
        kind = np.dtype(dtype).kind
        return {"b": lambda w: bool(int(w)), "f": float, "c": complex}.get(kind, int)(word)

    def append(self, dtype: str) -> None:
        """Rows in C and Fortran order, either byte order, and from the standard input."""
        first = random_array(self.rng, dtype, (2, 3, 4))
        store, file = self.folder / f"append-{dtype}.npk", self.folder / "rows.npy"
        write_store(store, {"a": first, "b": first[:, 0, 0].copy()})
        wanted = first
        for order in "CF":
            for byte_order in "<>":
                rows = random_array(self.rng, dtype, (5, 3, 4))
                laid = np.asarray(rows, dtype=np.dtype(dtype).newbyteorder(byte_order), order=order)
                np.save(file, laid)
                self.run("append", store, "a", file)
                wanted = np.concatenate([wanted, rows])
                expect(f"append {order} {byte_order}", read_store(store).arrays["a"], wanted)
        for version in [(1, 0), (2, 0), (3, 0)]:
            memory = io.BytesIO()
            np.lib.format.write_array(memory, wanted[:1], version=version)
            self.run("append", store, "a", "-", stdin=memory.getvalue())
            wanted = np.concatenate([wanted, wanted[:1]])
        expect("append versions", read_store(store).arrays["a"], wanted)
        np.save(file, first[:0])
        self.run("append", store, "a", file)
        column = random_array(self.rng, dtype, (6,))
        np.save(file, column)
        np.save(self.folder / "more.npy", wanted)
        self.run("append", store, "b", file, "a", self.folder / "more.npy")
        arrays = read_store(store).arrays
        expect("append two", arrays["a"], np.concatenate([wanted, wanted]))
        expect("append two", arrays["b"], np.concatenate([first[:, 0, 0], column]))
        self.run("verify", store)

    def refusals(self) -> None:
        """Files that do not fit change nothing."""
        store, file = self.folder / "refusals.npk", self.folder / "bad.npy"
        array = np.arange(6, dtype="float32").reshape(2, 3)
        write_store(store, {"a": array, "b": array})
        good = self.folder / "good.npy"
        np.save(good, array)
        whole = good.read_bytes()
        bad = {
            "float64": np.arange(6.0).reshape(2, 3),
            "shape": np.zeros((2, 4), "float32"),
            "0-d": np.float32(1),
            "objects": np.array([[1, None, "x"]], dtype=object),
            "structured": np.zeros(2, dtype=[("x", "f4")]),
            "not taken": np.array(["text"]),
        }
        for word, value in bad.items():
            np.save(file, value)
            self.refused("append", store, "a", good, "b", file, word=word)
        for word, content in [
            ("cut off", whole[:-1]),
            ("follow", whole + b"\0"),
            ("header", whole[:40]),
            ("not a .npy", b"PK\3\4" * 100),
            ("not a .npy", b""),
            ("version", whole[:6] + b"\x09" + whole[7:]),
            ("header", whole.replace(b"False", b"Fals ")),
            ("not taken", whole.replace(b"<f4", b"<f3")),
            ("64 bits", whole.replace(b"(2, 3), }" + b" " * 40, b"(4294967296, 4294967296, 4294967296), }".ljust(49))),
        ]:
            file.write_bytes(content)
            self.refused("append", store, "a", good, "b", file, word=word)
        flags = self.folder / "flags.npk"
        write_store(flags, {"a": np.zeros((1, 3), bool)})
        np.save(file, np.zeros((2, 3), bool))
        file.write_bytes(file.read_bytes()[:-1] + b"\2")
        self.refused("append", flags, "a", file, word="boolean")
        expect("after refusals", read_store(store).arrays["a"], array)
        self.run("verify", store)


def main() -> int:
    """Runs the checks and prints a line for each that fails."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--numpack", type=Path, required=True)
    binary = str(parser.parse_args().numpack)
    passed = failed = 0
    with tempfile.TemporaryDirectory() as folder:
        commands = Commands(binary, Path(folder))
        checks = [(commands.cat, [d]) for d in DTYPES] + [(commands.append, [d]) for d in DTYPES]
        for check, args in [*checks, (commands.refusals, [])]:
            try:
                check(*args)
                passed += 1
            except Exception as error:
                failed += 1
                print(f"FAIL {check.__name__} {' '.join(args)}: {type(error).__name__}: {error}")
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
