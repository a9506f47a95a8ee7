"""Writes plain NumPack stores from the format's description, for tests.

No bitmaps, no side information: the smallest store that a reader takes.
"""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np

CODES = [
    *("bool", "uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64"),
    *("float16", "float32", "float64", "complex64", "complex128"),
]


def text(value: str) -> bytes:
    """A length and UTF-8."""
    return struct.pack("<I", len(value.encode())) + value.encode()


def write_store(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Makes a store of arrays."""
    path.mkdir()
    records = []
    for name, array in arrays.items():
        (path / f"data_{name}.npkd").write_bytes(array.tobytes())
        records.append(
            text(name)
            + struct.pack(f"<I{array.ndim}Q", array.ndim, *array.shape)
            + text(f"data_{name}.npkd")
            + struct.pack("<QQB", 1_700_000_000_000_000, array.nbytes, CODES.index(array.dtype.name))
            + bytes(1 + 4 + 8 + 8 + 1)
        )
    size = sum(array.nbytes for array in arrays.values())
    header = b"NPKB" + struct.pack("<IQI", 1, size, len(records))
    (path / "metadata.npkm").write_bytes(header + b"".join(records))
