"""Where tensors are: in the memory of this process, ``cpu``, or on a Vulkan device."""

from __future__ import annotations

import ctypes
import inspect
import os
import threading
import warnings
from typing import Any, Union

from ._native import Handle, lib, make, structs

DeviceLike = Union["device", str, int]
"""A device, its name such as ``"cpu"``, ``"vulkan"`` or ``"vulkan:1"``, or a Vulkan device's number."""


class device:
    """A place for tensors: ``device("cpu")``, ``device("vulkan")`` or ``device("vulkan", 1)``.

    Vulkan devices are counted as `libnumpack.vulkan.devices` lists them. Without a number it is the one that the
    variable ``NUMPACK_VULKAN_DEVICE`` names, or else the first, a GPU before a program on the host.

    >>> import libnumpack
    >>> libnumpack.device("cpu")
    device(type='cpu')
    >>> str(libnumpack.device("vulkan:1"))
    'vulkan:1'
    """

    __slots__ = ("type", "index")

    type: str
    index: int | None

    def __init__(self, type: DeviceLike, index: int | None = None) -> None:
        if isinstance(type, device):
            self.type, self.index = type.type, type.index
            return
        if isinstance(type, int) and not isinstance(type, bool):
            self.type, self.index = "vulkan", type
            return
        name, _, number = str(type).partition(":")
        if number and index is None and number.isdecimal():
            index, number = int(number), ""
        if name not in ("cpu", "vulkan") or number:
            advice = "there is no CUDA here, GPUs of all vendors are 'vulkan'" if name == "cuda" else (
                "give 'cpu', 'vulkan' or 'vulkan:0'"
            )
            raise ValueError(f"{str(type)!r} is no device: {advice}")
        self.type = name
        self.index = index if name == "vulkan" else None

    def __repr__(self) -> str:
        return f"device(type={self.type!r})" if self.index is None else (
            f"device(type={self.type!r}, index={self.index})"
        )

    def __str__(self) -> str:
        return self.type if self.index is None else f"{self.type}:{self.index}"

    def __format__(self, spec: str) -> str:
        return format(str(self), spec)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, device) and (self.type, self.index) == (other.type, other.index)

    def __hash__(self) -> int:
        return hash((self.type, self.index))

    def __reduce__(self) -> Any:
        return device, (self.type, self.index)


cpu = device("cpu")

_opened: dict[int | None, tuple[device, Handle]] = {}
_lock = threading.Lock()
_owner = os.getpid()


def opened(place: device) -> tuple[device, Handle | None]:
    """The device with its number, and its handle, open while the process lives; ``cpu`` has none.

    Raises `DeviceError` where it cannot be opened.
    """
    global _owner
    if place.type == "cpu":
        return cpu, None
    with _lock:
        # A forked child has no device of its parent.
        if _owner != os.getpid():
            _opened.clear()
            _owner = os.getpid()
        found = _opened.get(place.index)
        if found is None:
            found = _open(place.index)
            # By its number and, if that was not given, without one.
            found = _opened.setdefault(found[0].index, found)
            _opened[place.index] = found
    return found


def callers_level() -> int:
    """The ``stacklevel`` of a warning that the caller of this gives: that of who called the package."""
    level, frame = 1, inspect.currentframe()
    frame = frame and frame.f_back
    while frame is not None and frame.f_globals.get("__name__", "").partition(".")[0] == __name__.partition(".")[0]:
        level, frame = level + 1, frame.f_back
    return level


def _open(index: int | None) -> tuple[device, Handle]:
    options = structs["device_options"]()
    if index is not None:
        options.select = str(index).encode()
    handle = make("device", "device_open", ctypes.byref(options))
    info = structs["device_info"]()
    lib.device_get_info(handle, ctypes.byref(info))
    warning = ctypes.c_char_p()
    lib.device_get_warning(handle, ctypes.byref(warning))
    if warning.value:
        warnings.warn(warning.value.decode(), RuntimeWarning, stacklevel=callers_level())
    return device("vulkan", info.index), handle


def as_device(wanted: DeviceLike | None) -> device:
    """The device that is meant; None is the host."""
    return cpu if wanted is None else device(wanted)



def of_index(index: int) -> device:
    """A Vulkan device that is open, by its number."""
    found = _opened.get(index)
    return device("vulkan", index) if found is None else found[0]
