"""Reads a NumPack store with Python and numpy only, strictly.

It shares no code with the library under test: it follows the description of the
format and refuses whatever that does not name, down to the last byte of every
file. ``python npk_reader.py STORE`` lists what a store holds.
"""

from __future__ import annotations

import json
import math
import stat
import struct
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

SIDE_INFORMATION = "__libnumpack__"
LOCK_FILE = "libnumpack.lock"
METADATA_FILE = "metadata.npkm"
MAGIC = b"NPKB"
VERSION = 1
MAX_DIMENSIONS = 64

DTYPES: dict[int, np.dtype[Any]] = {
    code: np.dtype(name)
    for code, name in enumerate(
        ["?", "<u1", "<u2", "<u4", "<u8", "<i1", "<i2", "<i4", "<i8", "<f2", "<f4", "<f8", "<c8", "<c16"]
    )
}


class StoreError(Exception):
    """The store is not exactly what the format describes."""


@dataclass(frozen=True)
class Record:
    """One array as ``metadata.npkm`` describes it."""

    name: str
    shape: tuple[int, ...]
    data_file: str
    last_modified: int
    size_bytes: int
    dtype: np.dtype[Any]

    @property
    def row_bytes(self) -> int:
        """Bytes of one row, that is of one step along the first axis."""
        return math.prod(self.shape[1:]) * self.dtype.itemsize


@dataclass(frozen=True)
class Store:
    """The live rows of every array, and the side information if there is any."""

    arrays: dict[str, np.ndarray]
    records: dict[str, Record]
    side_information: Any | None


class Cursor:
    """Takes fields off a byte string and names the offset of what is missing."""

    def __init__(self, data: bytes, what: str) -> None:
        self.data = data
        self.offset = 0
        self.what = what

    def take(self, count: int, field: str) -> bytes:
        """The next ``count`` bytes."""
        end = self.offset + count
        if end > len(self.data):
            raise StoreError(
                f"{self.what}: {field} at offset {self.offset} needs {count} bytes, "
                f"{len(self.data) - self.offset} are left"
            )
        taken = self.data[self.offset : end]
        self.offset = end
        return taken

    def number(self, code: str, field: str) -> int:
        """The next little-endian unsigned number, ``code`` as in ``struct``."""
        layout = struct.Struct("<" + code)
        return layout.unpack(self.take(layout.size, field))[0]

    def text(self, field: str) -> str:
        """The next string: a u32 length and UTF-8."""
        start = self.offset
        raw = self.take(self.number("I", f"length of {field}"), field)
        try:
            return raw.decode("utf-8")
        except UnicodeDecodeError as error:
            raise StoreError(f"{self.what}: {field} at offset {start} is not utf-8: {error}") from error

    def expect(self, value: int, code: str, field: str) -> None:
        """Takes a number that can have one value only."""
        start = self.offset
        found = self.number(code, field)
        if found != value:
            raise StoreError(f"{self.what}: {field} at offset {start} is {found}, expected {value}")

    def finish(self) -> None:
        """Refuses bytes that nothing accounts for."""
        if self.offset != len(self.data):
            raise StoreError(f"{self.what}: {len(self.data) - self.offset} bytes after offset {self.offset}")


def parse_metadata(data: bytes, what: str = METADATA_FILE, foreign: bool = False) -> list[Record]:
    """Every record of a ``metadata.npkm``; only ``foreign`` ones may have files that differ by case alone."""
    cursor = Cursor(data, what)
    if (magic := cursor.take(4, "magic")) != MAGIC:
        raise StoreError(f"{what}: magic is {magic!r}")
    cursor.expect(VERSION, "I", "version")
    total_size = cursor.number("Q", "total size")
    count = cursor.number("I", "array count")
    records = [parse_record(cursor) for _ in range(count)]
    cursor.finish()

    if total_size != (found := sum(record.size_bytes for record in records)):
        raise StoreError(f"{what}: total size is {total_size}, the arrays have {found} bytes")
    refuse_repeats([record.name for record in records], str, "array name")
    refuse_repeats([record.data_file for record in records], str if foreign else str.casefold, "data file")
    return records


def parse_record(cursor: Cursor) -> Record:
    """The record at the cursor."""
    name = cursor.text("name")
    where = f"{cursor.what}: array {name!r}"
    dimensions = cursor.number("I", f"ndim of {name!r}")
    if not 1 <= dimensions <= MAX_DIMENSIONS:
        raise StoreError(f"{where}: {dimensions} dimensions")
    shape = tuple(cursor.number("Q", f"shape of {name!r}") for _ in range(dimensions))
    data_file = cursor.text(f"data file of {name!r}")
    last_modified = cursor.number("Q", f"last modified of {name!r}")
    size_bytes = cursor.number("Q", f"size of {name!r}")
    code = cursor.number("B", f"dtype of {name!r}")
    if code not in DTYPES:
        raise StoreError(f"{where}: dtype code {code}")
    for field, width in [
        ("compression algorithm", "B"),
        ("compression level", "I"),
        ("original size", "Q"),
        ("compressed size", "Q"),
        ("block flag", "B"),
    ]:
        cursor.expect(0, width, f"{field} of {name!r}")

    record = Record(name, shape, data_file, last_modified, size_bytes, DTYPES[code])
    if size_bytes != (found := shape[0] * record.row_bytes):
        raise StoreError(f"{where}: size is {size_bytes} bytes, shape and dtype make {found}")
    return record


def refuse_repeats(values: list[str], normal: Callable[[str], str], what: str) -> None:
    """Refuses two values that are one after ``normal``."""
    seen: dict[str, str] = {}
    for value in values:
        if (key := normal(value)) in seen:
            raise StoreError(f"{METADATA_FILE}: {what} {value!r} meets {seen[key]!r}")
        seen[key] = value


class Folder:
    """The files of a store, of which each must be asked for in the end."""

    def __init__(self, path: Path) -> None:
        self.path = path
        if not stat.S_ISDIR(path.lstat().st_mode):
            raise StoreError(f"{path}: not a folder")
        self.files: set[str] = set()
        self.folders: set[str] = set()
        for entry in sorted(path.rglob("*")):
            relative, mode = entry.relative_to(path).as_posix(), entry.lstat().st_mode
            if stat.S_ISREG(mode):
                self.files.add(relative)
            elif stat.S_ISDIR(mode):
                self.folders.add(relative)
            else:
                raise StoreError(f"{path}: {relative!r} is neither a file nor a folder")
        self.unread = self.files - {LOCK_FILE}
        self.unvisited = set(self.folders)

    def read(self, name: str) -> bytes:
        """The bytes of a file, which is thereby accounted for."""
        if name not in self.files:
            raise StoreError(f"{self.path}: file {name!r} is missing")
        self.unread.discard(name)
        self.unvisited.discard(Path(name).parent.as_posix())
        return (self.path / name).read_bytes()

    def finish(self) -> None:
        """Refuses what nothing in the metadata accounts for."""
        if left := sorted(self.unread | self.unvisited):
            raise StoreError(f"{self.path}: unexpected in a store: {', '.join(map(repr, left))}")


def read_rows(folder: Folder, record: Record) -> bytes:
    """All physical rows of an array, from its one file or from its segments."""
    if "/" in record.data_file or record.data_file in ("", ".", ".."):
        raise StoreError(f"array {record.name!r}: data file {record.data_file!r} is not a plain file name")
    if record.data_file.endswith(".npkseg"):
        rows = read_segments(folder, record)
    elif record.data_file.endswith(".npkd"):
        rows = folder.read(record.data_file)
    else:
        raise StoreError(f"array {record.name!r}: data file {record.data_file!r} has an unknown suffix")
    if len(rows) != record.size_bytes:
        raise StoreError(
            f"array {record.name!r}: {len(rows)} bytes of data, metadata says {record.size_bytes}"
        )
    return rows


def read_segments(folder: Folder, record: Record) -> bytes:
    """The rows of all segments that an ``.npkseg`` lists."""
    where = f"{record.data_file!r}"
    try:
        listing = json.loads(folder.read(record.data_file))
    except ValueError as error:
        raise StoreError(f"{where}: {error}") from error
    if not isinstance(listing, dict) or set(listing) != {"version", "segments"} or listing["version"] != 1:
        raise StoreError(f"{where}: expected version 1 and segments")
    pieces = []
    for index, segment in enumerate(listing["segments"]):
        if not isinstance(segment, dict) or set(segment) != {"file", "rows", "bytes"}:
            raise StoreError(f"{where}: segment {index} is {segment!r}")
        expected = f"{record.data_file.removesuffix('.npkseg')}_segments/seg_{index:06}.npkd"
        if segment["file"] != expected:
            raise StoreError(f"{where}: segment {index} is {segment['file']!r}, expected {expected!r}")
        piece = folder.read(expected)
        if not len(piece) == segment["bytes"] == segment["rows"] * record.row_bytes:
            raise StoreError(f"{where}: segment {index} has {len(piece)} bytes, listed as {segment!r}")
        pieces.append(piece)
    return b"".join(pieces)


def live_rows(data: bytes, rows: int, what: str) -> np.ndarray:
    """For each of ``rows`` rows whether the bitmap calls it live."""
    cursor = Cursor(data, what)
    total = cursor.number("Q", "total rows")
    cursor.number("Q", "deleted count")
    words = cursor.take(8 * ((total + 63) // 64), "words")
    cursor.finish()
    bits = np.unpackbits(np.frombuffer(words, np.uint8), bitorder="little").astype(bool)
    if bits[total:].any():
        raise StoreError(f"{what}: bits past row {total} are set")
    live = np.zeros(rows, bool)
    live[: min(rows, total)] = bits[: min(rows, total)]
    return live


def read_store(path: Path | str, foreign: bool = False) -> Store:
    """Reads a whole store, ``foreign`` if others wrote it; raises ``StoreError`` at anything unexpected."""
    folder = Folder(Path(path))
    metadata = folder.read(METADATA_FILE)
    records = {record.name: record for record in parse_metadata(metadata, foreign=foreign)}
    arrays: dict[str, np.ndarray] = {}
    for name, record in records.items():
        array = np.frombuffer(read_rows(folder, record), record.dtype).reshape(record.shape)
        bitmap = f"deleted_{name}.npkb"
        if bitmap in folder.files:
            array = array[live_rows(folder.read(bitmap), record.shape[0], bitmap)]
        arrays[name] = array
    folder.finish()
    side = arrays.pop(SIDE_INFORMATION, None)
    return Store(arrays, records, None if side is None else parse_side_information(side))


def parse_side_information(array: np.ndarray) -> Any:
    """The JSON in the side information array."""
    if array.dtype != np.uint8 or array.ndim != 1:
        raise StoreError(f"{SIDE_INFORMATION}: {array.dtype} of shape {array.shape}, expected uint8 bytes")
    try:
        return json.loads(array.tobytes().decode("utf-8"), parse_constant=refuse_constant)
    except ValueError as error:
        raise StoreError(f"{SIDE_INFORMATION}: {error}") from error


def refuse_constant(word: str) -> None:
    """Refuses NaN and the infinities, which JSON does not have."""
    raise ValueError(f"{word} is not json")


def main() -> int:
    """Lists a store."""
    if len(sys.argv) != 2:
        print("usage: npk_reader.py STORE", file=sys.stderr)
        return 2
    try:
        store = read_store(sys.argv[1])
    except (OSError, StoreError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    for name, array in store.arrays.items():
        print(f"{name!r}: {array.dtype.name} {list(array.shape)}")
    if store.side_information is not None:
        print(f"side information: {len(json.dumps(store.side_information))} characters")
    return 0


if __name__ == "__main__":
    sys.exit(main())
