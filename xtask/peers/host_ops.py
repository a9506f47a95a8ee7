"""Drives ``host-ops``' example ``evaluate``, and makes the arrays that it is asked about."""

from __future__ import annotations

import ctypes
import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

INTEGERS = ["uint8", "int8", "int16", "int32", "int64"]
FLOATS = ["float16", "float32", "float64"]
DTYPES = ["bool", *INTEGERS, *FLOATS]
"""The types that NumPy has too."""


class Refused(Exception):
    """The crate answered with an error."""


@dataclass
class Raw:
    """An array by its memory: bytes, and where its elements are, in elements."""

    dtype: str
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    offset: int
    data: bytes

    @staticmethod
    def of(array: np.ndarray) -> Raw:
        """A NumPy array with the memory that it shows, strides and all."""
        size = array.itemsize
        if array.size == 0:
            return Raw(array.dtype.name, array.shape, tuple(s // size for s in array.strides), 0, b"")
        reach = [(n - 1) * s for n, s in zip(array.shape, array.strides, strict=True)]
        low, high = sum(r for r in reach if r < 0), sum(r for r in reach if r > 0) + size
        start = array.__array_interface__["data"][0] + low
        strides = tuple(s // size for s in array.strides)
        return Raw(array.dtype.name, array.shape, strides, -low // size, ctypes.string_at(start, high - low))


@dataclass
class Answer:
    """An array that came back, in C order."""

    dtype: str
    shape: tuple[int, ...]
    data: bytes

    def numpy(self) -> np.ndarray:
        """As an array; bfloat16, which NumPy lacks, becomes float32."""
        if self.dtype == "bfloat16":
            wide = np.frombuffer(self.data, "uint16").astype("uint32") << 16
            return wide.view("float32").reshape(self.shape)
        return np.frombuffer(self.data, self.dtype).reshape(self.shape)


class HostOps:
    """A running ``evaluate``."""

    def __init__(self, binary: Path) -> None:
        self.process = subprocess.Popen([binary], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.calls = 0

    def call(self, op: str, *inputs: Any, **args: Any) -> list[Answer]:
        """Evaluates one operation; raises what the crate refuses."""
        assert self.process.stdin and self.process.stdout
        self.calls += 1
        described: list[Any] = []
        blocks: list[bytes] = []
        for given in inputs:
            if given is None:
                described.append(None)
            elif isinstance(given, (bool, int, float)) and not isinstance(given, np.generic):
                described.append({"scalar": type(given).__name__, "value": repr(given)})
            else:
                raw = given if isinstance(given, Raw) else Raw.of(np.asarray(given))
                head = {"dtype": raw.dtype, "shape": raw.shape, "strides": raw.strides}
                described.append(head | {"offset": raw.offset, "nbytes": len(raw.data)})
                blocks.append(raw.data)
        head = {"op": op, "args": args, "inputs": described}
        self.process.stdin.write(json.dumps(head).encode() + b"\n" + b"".join(blocks))
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"evaluate ended on {head}")
        answer = json.loads(line)
        if "error" in answer:
            error = answer["error"]
            # In lower case, without a full stop, the operation first, and with an advice at the end.
            if error[:1].isupper() or error.endswith(".") or not ("; " in error or "is missing" in error):
                raise RuntimeError(f"an error as it should not be: {error!r}")
            raise Refused(error)
        return [
            Answer(o["dtype"], tuple(o["shape"]), self.process.stdout.read(o["nbytes"]))
            for o in answer["outputs"]
        ]

    def one(self, op: str, *inputs: Any, **args: Any) -> np.ndarray:
        """The only output, as NumPy has it."""
        (answer,) = self.call(op, *inputs, **args)
        return answer.numpy()


class Source:
    """Random arrays in random shapes, orders and types."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)

    def pick(self, choices: Any) -> Any:
        """One of several."""
        return choices[int(self.rng.integers(len(choices)))]

    def shape(self, low: int = 0, high: int = 4, sizes: tuple[int, ...] = (0, 1, 2, 3, 5, 8)) -> tuple:
        """Sizes of ``low`` to ``high`` dimensions."""
        return tuple(int(self.pick(sizes)) for _ in range(int(self.rng.integers(low, high + 1))))

    def numbers(self, dtype: str, count: int, special: bool = True, scale: float = 3.0) -> np.ndarray:
        """Any integers; floats of all sizes with some special ones, or normal ones of one scale."""
        rng = self.rng
        if dtype == "bool":
            return rng.integers(0, 2, count).astype("bool")
        if dtype in INTEGERS:
            info = np.iinfo(dtype)
            wide = rng.integers(info.min, info.max, count, dtype, endpoint=True)
            small = rng.integers(max(info.min, -9), 10, count).astype(dtype)
            return np.where(rng.random(count) < 0.5, wide, small)
        with np.errstate(all="ignore"):
            plain = (rng.standard_normal(count) * scale).astype(dtype)
            if not special:
                return plain
            sizes = (rng.standard_normal(count) * 10.0 ** rng.integers(-12, 6, count)).astype(dtype)
            odd = np.array([0.0, -0.0, 1, -1, 2, 0.5, np.inf, -np.inf, np.nan, 1e-40, 89.0, -104.0, 3e38])
            odd = odd.astype(dtype)
            kind = rng.integers(0, 10, count)
            out = np.where(kind < 6, plain, sizes)
            return np.where(kind == 9, odd[rng.integers(0, len(odd), count)], out).astype(dtype)

    def laid(self, values: np.ndarray) -> np.ndarray:
        """The same array in some order of memory: steps, gaps, reversed and permuted dimensions."""
        if values.ndim == 0 or self.rng.random() < 0.3:
            return values
        order = self.rng.permutation(values.ndim)
        moved = values.transpose(order)
        steps = [int(self.pick([1, 1, 1, 2, 3, -1, -2])) for _ in moved.shape]
        gaps = [int(self.pick([0, 0, 1])) for _ in moved.shape]
        shape = [n * abs(s) + 2 * g for n, s, g in zip(moved.shape, steps, gaps, strict=True)]
        room = np.zeros(shape, values.dtype)
        place = tuple(
            slice(g, g + n * abs(s), abs(s)) for n, s, g in zip(moved.shape, steps, gaps, strict=True)
        )
        part = room[place][tuple(slice(None, None, -1 if s < 0 else 1) for s in steps)]
        part[...] = moved
        return part.transpose(np.argsort(order))

    def array(self, dtype: str, shape: tuple[int, ...] | None = None, **how: Any) -> np.ndarray:
        """An array of this type in any shape and order."""
        shape = self.shape() if shape is None else shape
        return self.laid(self.numbers(dtype, int(np.prod(shape, dtype=int)), **how).reshape(shape))

    def together(self, count: int) -> list[tuple[int, ...]]:
        """Shapes that broadcast."""
        whole = self.shape()
        shapes = []
        for _ in range(count):
            kept = whole[int(self.rng.integers(len(whole) + 1)) if self.rng.random() < 0.3 else 0 :]
            shapes.append(tuple(1 if self.rng.random() < 0.2 else n for n in kept))
        return shapes
