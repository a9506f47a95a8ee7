"""Packages: a store in one file, ``.npkg``."""

from __future__ import annotations

import ctypes
import os
import struct
from pathlib import Path
from typing import Any, BinaryIO, Dict, Optional, Union

from ._native import constants as c
from ._native import lib, make, structs
from ._native import path as as_path
from .errors import FormatError
from .store_handle import warnings_of
from .store_rows import infos

PathLike = Union[str, Path]

__all__ = ["get_package_info", "pack", "unpack"]


def pack(
    source: PathLike, target: Optional[PathLike] = None, compression: bool = True, overwrite: bool = False
) -> Path:
    """Makes a package of a store, in one state of it, and says where it is. It appears whole or not at all.

    Parameters
    ----------
    source : str or Path
        The store.
    target : str or Path, optional
        The package; ``.npkg`` is added where it has no suffix. Default: beside the store, named as it and
        ``.npkg``.
    compression : bool
        Compress by zlib what becomes smaller by that. The public ``numpack`` package reads such a package
        only where ``zstandard`` is not installed; it reads one that is not compressed everywhere.
    overwrite : bool
        Replace a file that is there.

    Raises `FileNotFoundError` where there is no store, `FileExistsError`, and `FormatError` for a damaged
    store.

    >>> import numpy as np, tempfile, os
    >>> from libnumpack import NumPack, pack, unpack
    >>> folder = tempfile.mkdtemp()
    >>> with NumPack(os.path.join(folder, "a.npk")) as npk:
    ...     npk.save({"a": np.arange(3)})
    >>> packed = pack(os.path.join(folder, "a.npk"))
    >>> packed.name
    'a.npk.npkg'
    >>> with NumPack(unpack(packed, os.path.join(folder, "b.npk"))) as npk:
    ...     npk.load("a")
    array([0, 1, 2])
    """
    source = Path(source)
    _must_be_there(source)
    if target is None:
        target = source.parent / f"{source.name}.npkg"
    else:
        target = Path(target)
        if not target.suffix:
            target = target.with_suffix(".npkg")
    os.makedirs(target.absolute().parent, exist_ok=True)
    kind = c.COMPRESSION_ZLIB if compression else c.COMPRESSION_NONE

    def call(note: Any) -> None:
        options = structs["pack_options"](compression=kind, overwrite=overwrite, warning=note)
        lib.pack(as_path(source), as_path(target), ctypes.byref(options), None, None, None)

    warnings_of(call)
    return target


def unpack(
    source: PathLike, target: Optional[PathLike] = None, overwrite: bool = False, verify: bool = True
) -> Path:
    """Makes a store of a package, and says where it is. Everything is checked before it appears, whole.

    Parameters
    ----------
    source : str or Path
        The package.
    target : str or Path, optional
        The store. Default: beside the package, named as it without ``.npkg``, and ending in ``.npk``.
    overwrite : bool
        Replace a store that is there. Anything else is left alone.
    verify : bool
        Packages are always verified; this is for calls that name it.

    Raises `FileNotFoundError`, `FileExistsError`, and `FormatError` for a damaged package: what was at the
    target is then as it was.
    """
    source = Path(source)
    _must_be_there(source)
    if target is None:
        stem = source.stem
        target = source.parent / (stem if stem.endswith(".npk") else f"{stem}.npk")
    target = Path(target)
    os.makedirs(target.absolute().parent, exist_ok=True)

    def call(note: Any) -> None:
        options = structs["unpack_options"](overwrite=overwrite, warning=note)
        lib.unpack(as_path(source), as_path(target), ctypes.byref(options), None, None)

    warnings_of(call)
    return target


def get_package_info(source: PathLike) -> Dict[str, Any]:
    """What is in a package, without unpacking it.

    A dict of ``version``, ``compression`` (0: none, 1: some) and ``compression_name``, ``file_count``,
    ``files`` (each with ``name``, ``original_size``, ``compressed_size``, which is 0 for one that is not
    compressed, and ``actual_size``), ``total_original_size``, ``total_compressed_size``,
    ``compression_ratio``, and ``arrays``: their ``shape`` and ``dtype`` by name.

    Raises `FileNotFoundError`, and `FormatError` for a damaged package; the content of arrays is not looked
    at.
    """
    source = Path(source)
    _must_be_there(source)
    package = make("package", "package_open", as_path(source))
    found = infos(make("list", "package_list", package))
    with open(source, "rb") as file:
        version, compression, files, name = _index(file)
    original = sum(f["original_size"] for f in files)
    actual = sum(f["actual_size"] for f in files)
    return {
        "version": version,
        "compression": compression,
        "compression_name": name,
        "file_count": len(files),
        "files": files,
        "total_original_size": original,
        "total_compressed_size": actual,
        "compression_ratio": actual / original if original else 1.0,
        "arrays": {
            info.name: {"shape": list(info.shape), "dtype": info.logical.name}
            for info in found
            if not info.hidden
        },
    }


def _index(file: BinaryIO) -> tuple[int, int, list[dict[str, Any]], str]:
    """The files of a package, which the library has found sound. README of the format: header, then for each
    file its name, sizes and bytes."""
    magic, version, compression, count = struct.unpack("<4sIBI", file.read(13))
    files, name = [], "none"
    for _ in range(count):
        (length,) = struct.unpack("<I", file.read(4))
        label = file.read(length).decode("utf-8")
        original, stored = struct.unpack("<QQ", file.read(16))
        if stored and name == "none":
            name = "zstd" if file.read(4) == b"\x28\xb5\x2f\xfd" else "zlib"
            file.seek(-4, os.SEEK_CUR)
        actual = stored or original
        file.seek(actual, os.SEEK_CUR)
        files.append(
            {
                "name": label,
                "original_size": original,
                "compressed_size": stored,
                "actual_size": actual,
            }
        )
    if magic != b"NPKG":
        raise FormatError(f"{file.name} is no package")
    return version, compression, files, name


def _must_be_there(place: Path) -> None:
    if not os.path.lexists(place):
        raise FileNotFoundError(2, "there is nothing here; look at the path", str(place))
