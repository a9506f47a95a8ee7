"""What can go wrong, as Python's own kinds of errors with the library's messages.

| Error | Raised where |
|---|---|
| `OSError` and its kinds (`FileNotFoundError`, `PermissionError`, …) | the system refused |
| `FileExistsError` | an output is there already |
| `KeyError` | there is no array or key of that name |
| `IndexError` | there is no such row or element |
| `TypeError` | an element type or object is not possible |
| `OverflowError` | a number is beyond an element type, or beyond 64 bits |
| `MemoryError` | there is not so much memory, on the host or on a device |
| `FormatError`, a `ValueError` | a file is damaged, of an unknown kind, or asks for too much |
| `ValueError` | any other argument that cannot be |
| `SharingError`, a `ValueError` and `RuntimeError` | memory cannot be shared, tensors are on two devices, a rule of gradients is broken |
| `StoreError`, a `RuntimeError` | a store is held by another writer, was changed meanwhile, or its handle is a forked parent's |
| `DeviceError`, a `RuntimeError` | a device refused or failed |
| `DependencyError`, an `ImportError` | an object of a library is wanted that is not installed |
"""

from __future__ import annotations

from typing import NoReturn

from ._native import constants as c


class FormatError(ValueError):
    """A file is damaged, of a kind that is not read, or asks for more than the limits allow."""


class SharingError(ValueError, RuntimeError):
    """Memory cannot be shared or written as asked, or tensors cannot be used together."""


class StoreError(RuntimeError):
    """A store cannot be changed now: the message says why."""


class DeviceError(RuntimeError):
    """A Vulkan device refused or failed, or there is none."""


class DependencyError(ImportError):
    """An object of a library is wanted that is not installed."""


class MissingError(KeyError):
    """There is no such array or key. Shows its message as it is."""

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""


_KINDS: dict[int, type[Exception]] = {
    c.FORMAT: FormatError,
    c.UNSUPPORTED: FormatError,
    c.LIMIT: FormatError,
    c.PARAMETER: ValueError,
    c.CANCELLED: InterruptedError,
    c.EXISTS: FileExistsError,
    c.LOCKED: StoreError,
    c.NOT_FOUND: MissingError,
    c.CHANGED: StoreError,
    c.FORKED: StoreError,
    c.POISONED: OSError,
    c.SHARING: SharingError,
    c.TYPE: TypeError,
    c.IN_USE: SharingError,
    c.OUT_OF_MEMORY: MemoryError,
    c.DEVICE: DeviceError,
    c.INDEX: IndexError,
}


def raise_status(status: int, message: str, number: int = 0) -> NoReturn:
    """Raises what stands for a status of the library. ``number`` is the system's, where it refused."""
    if status in (c.IO, c.NOT_A_STORE) and number:
        raise OSError(number, message)
    if status == c.NOT_A_STORE:
        raise FormatError(message)
    raise _KINDS.get(status, OSError if status == c.IO else RuntimeError)(message)
