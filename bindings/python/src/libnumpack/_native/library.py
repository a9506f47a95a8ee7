"""The shared library: where it is, and its functions.

``lib.store_open(…)`` calls ``numpack_store_open``. A function that returns a status raises when that is not
0; every call gives up the interpreter's lock until it returns.
"""

from __future__ import annotations

import ctypes
import os
from pathlib import Path
from typing import Any

from . import table

_WORDS: dict[str, Any] = {
    "void": None,
    "i32": ctypes.c_int32,
    "u32": ctypes.c_uint32,
    "i64": ctypes.c_int64,
    "u64": ctypes.c_uint64,
    "u8": ctypes.c_uint8,
    "f64": ctypes.c_double,
    "size": ctypes.c_size_t,
    "str": ctypes.c_char_p,
    "handle": ctypes.c_void_p,
    "pointer": ctypes.c_void_p,
}

_NAME = "libnumpack.so"
_SETTING = "LIBNUMPACK"


def _type(word: str) -> Any:
    """The type that a word of the table stands for."""
    found = _WORDS.get(word)
    if found is None and word.endswith("*"):
        found = _WORDS[word] = ctypes.POINTER(_type(word[:-1]))
    return found


def _structs() -> dict[str, type[ctypes.Structure]]:
    """One class for each struct of the table. A new one is zeros but for its ``struct_size``."""

    def start(self: ctypes.Structure, **members: Any) -> None:
        ctypes.Structure.__init__(self, ctypes.sizeof(self), **members)

    found = {}
    for line in table.STRUCTS.splitlines():
        name, *members = line.split()
        fields = [(m, _type(word)) for m, word in (part.split(":") for part in members)]
        made = type(name, (ctypes.Structure,), {"_fields_": fields, "__init__": start})
        _WORDS[name] = found[name] = made
    return found


def _split(signature: str) -> tuple[str, list[str]]:
    result, parameters = signature[:-1].split("(")
    return result, parameters.split(", ") if parameters else []


for _line in table.CALLBACKS.splitlines():
    _name, _signature = _line.split(" ", 1)
    _result, _parameters = _split(_signature)
    _WORDS[_name] = ctypes.CFUNCTYPE(_type(_result), *map(_type, _parameters))

structs = _structs()

_signatures = dict(line.split(" ", 1) for line in table.FUNCTIONS.splitlines())


def _open() -> ctypes.CDLL:
    """The library that ``LIBNUMPACK`` names, else the one in this package, else the system's."""
    named = os.environ.get(_SETTING)
    packaged = Path(__file__).parent / _NAME
    if named:
        candidates = [named]
    elif packaged.exists():
        candidates = [str(packaged)]
    else:
        candidates = [f"{_NAME}.{table.ABI_VERSION}", _NAME]
    problem: OSError | None = None
    for candidate in candidates:
        try:
            found = ctypes.CDLL(candidate)
        except OSError as e:
            problem = problem or e
            continue
        version = found.numpack_abi_version()
        if version != table.ABI_VERSION:
            raise ImportError(
                f"{candidate} has interface {version}, and this package needs {table.ABI_VERSION}; "
                f"install them together, or name another one by {_SETTING}"
            )
        return found
    raise ImportError(f"{_NAME} cannot be loaded ({problem}); set {_SETTING} to where it is")


class _Library:
    """Functions are looked up at their first call, so that importing this is quick."""

    def __init__(self) -> None:
        self._cdll = _open()

    def __getattr__(self, name: str) -> Any:
        if name not in _signatures:
            raise AttributeError(f"the C interface has no numpack_{name}")
        result, parameters = _split(_signatures[name])
        function: Any = self._cdll[f"numpack_{name}"]
        function.restype = _type(result)
        function.argtypes = [_type(word) for word in parameters]
        if result == "i32" and name != "last_os_error":
            function.errcheck = _check
        setattr(self, name, function)
        return function


def _check(status: int, function: Any, arguments: Any) -> int:
    if status:
        # Which needs the numbers of this package.
        from ..errors import raise_status

        raise_status(status, last_error(), lib.last_os_error())
    return status


def last_error() -> str:
    """What the last call on this thread that returned a status said."""
    size = lib.last_error(None, 0) + 1
    buffer = ctypes.create_string_buffer(size)
    lib.last_error(buffer, size)
    return buffer.value.decode("utf-8", "replace")


def callback(name: str, function: Any) -> Any:
    """A Python function as a callback of the table, or NULL for None. Who gets it keeps it alive while it may be
    called."""
    return _WORDS[name]() if function is None else _WORDS[name](function)


lib: Any = _Library()
