"""Vulkan devices, and what goes there and comes back: arrays, torch's tensors, `VulkanTensor`."""

from __future__ import annotations

import ctypes
import functools
import importlib
import sys
import warnings
from dataclasses import dataclass
from typing import Any, Callable, TypeVar

import numpy as np

from . import dtypes
from ._native import lib, make, structs
from .devices import DeviceLike, callers_level, device
from .errors import DependencyError, DeviceError
from .tensors import Tensor, as_tensor

F = TypeVar("F", bound=Callable[..., Any])
Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class VulkanDevice:
    """What is known of a device."""

    index: int
    """Its place in the list, by which ``device("vulkan", index)`` names it: GPUs first, software last."""
    name: str
    kind: str
    """``"discrete"``, ``"integrated"``, ``"virtual"``, ``"other"``, or ``"software"`` for a program on the
    host."""
    vendor: str
    uuid: str
    """By which it is known from start to start."""
    driver: str
    """The driver's name and version."""
    memory: int
    """Bytes of its memory."""
    problem: str | None
    """Why it cannot be used, or None."""


def devices() -> list[VulkanDevice]:
    """All that Vulkan finds, also those that cannot be used.

    Raises `libnumpack.errors.DeviceError` without a Vulkan loader or driver, saying what to install.
    """
    found = make("device_list", "devices")
    every = []
    for i in range(lib.device_list_count(found)):
        info = structs["device_info"]()
        lib.device_list_get(found, i, ctypes.byref(info))
        name, kind, vendor, uuid, driver = (
            (getattr(info, what) or b"").decode("utf-8", "replace")
            for what in ("name", "kind", "vendor", "uuid", "driver")
        )
        problem = info.problem.decode("utf-8", "replace") if info.problem else None
        every.append(VulkanDevice(info.index, name, kind, vendor, uuid, driver, info.memory, problem))
    return every


def is_available() -> bool:
    """Whether there is a device that can be used, be it a program on the host."""
    try:
        return any(found.problem is None for found in devices())
    except DeviceError:
        return False


class VulkanTensor(Tensor):
    """A tensor on a Vulkan device whose elements come back when NumPy asks for them: `to_vulkan_gpu` makes
    one, and modules give one when they are given one.

    What is computed of it is one too, with gradients, and stays on the device. ``data``: an array, a tensor
    of ours or torch's, or nested lists; floats become float32, and a tensor of ours on a device keeps its
    memory. Raises `libnumpack.errors.DeviceError` where there is no such device.
    """

    def __init__(self, data: Any, device: DeviceLike = "vulkan") -> None:
        there = _uploaded(data, device)
        self._mem, self._nn = None, there._compute()
        self._grad_of = self._base = self._own = None
        self._describe()

    def numpy(self) -> Array:
        """The elements as an array of its own: a copy, which waits for the device. bfloat16 comes as
        float32."""
        return self._values()

    def cpu(self) -> Tensor:
        """A tensor on the host with the same elements: a copy, which waits for the device. Gradients come
        back."""
        return super().cpu()


def _uploaded(data: Any, place: DeviceLike) -> Tensor:
    found = data if isinstance(data, Tensor) else as_tensor(ensure_vulkan_compatible(data))
    if found.dtype is dtypes.float64:
        # No device has it.
        found = found.to(dtypes.float32)
    where = device(place)
    if where.type != "vulkan":
        raise ValueError(f"{where} is no Vulkan device; give 'vulkan' or 'vulkan:0'")
    already = found.is_vulkan and where.index in (None, found.device.index)
    return found if already else found.to(where)


def _is_torch(value: Any) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, getattr(torch, "Tensor", ()))


def _is_tensor(value: Any) -> bool:
    """Whether it is a tensor of ours, torch's, TensorFlow's, or the like."""
    return isinstance(value, Tensor) or callable(getattr(value, "numpy", None))


def ensure_vulkan_compatible(data: Any) -> Array:
    """An array in C order: floats of every kind as float32, whole numbers and truth values of the type that
    they have.

    ``data``: an array, a tensor of ours, torch's or TensorFlow's on whatever device, without its gradient, or
    nested lists. An array or tensor on the host that is like that already is not copied. Raises `TypeError`
    for complex numbers and what is no number.

    >>> import numpy as np
    >>> from libnumpack.vulkan import ensure_vulkan_compatible
    >>> ensure_vulkan_compatible(np.arange(3)).dtype, ensure_vulkan_compatible([0.5, 1.5]).dtype
    (dtype('int64'), dtype('float32'))
    """
    if isinstance(data, Tensor):
        here = data.detach().cpu()
        data = (here.to(dtypes.float32) if here.dtype.is_floating_point else here).numpy()
    elif _is_torch(data):
        here = data.detach().cpu().resolve_conj().resolve_neg()
        data = (here.float() if here.is_floating_point() else here).numpy()
    elif _is_tensor(data):
        data = data.numpy()
    try:
        array = np.asarray(data)
    except ValueError as e:
        raise ValueError("the lists are of unequal lengths, and no array; fill the short ones up") from e
    if array.dtype.kind in "iub":
        return array.astype(array.dtype.newbyteorder("="), order="C", copy=False)
    known = dtypes.of_numpy(array.dtype)
    # NumPy has longer floats than we have.
    if array.dtype.kind != "f" and (known is None or not known.is_floating_point):
        kind = type(data).__name__ if array.dtype == object and not array.ndim else array.dtype
        raise TypeError(f"Vulkan computes with floats and whole numbers, not {kind}; convert it first")
    return array.astype(np.float32, order="C", copy=False)


def to_vulkan(tensor: Any, keep_on_gpu: bool = False) -> Any:
    """What a device computes with: an array, as `ensure_vulkan_compatible` has it, or with ``keep_on_gpu`` a
    `VulkanTensor`, which is an array all the same, with a warning, where there is no device.

    >>> import numpy as np
    >>> from libnumpack.vulkan import to_vulkan
    >>> x = np.ones((2, 3), np.float32)
    >>> to_vulkan(x) is x, to_vulkan(x.astype(np.float64)).dtype
    (True, dtype('float32'))
    """
    if keep_on_gpu:
        try:
            return to_vulkan_gpu(tensor)
        except DeviceError as e:
            warnings.warn(f"this stays in an array on the host: {e}", RuntimeWarning, stacklevel=callers_level())
    return ensure_vulkan_compatible(tensor)


def to_vulkan_gpu(tensor: Any) -> VulkanTensor:
    """A `VulkanTensor` of an array, a tensor, or nested lists. Tensors of ours bring their gradients along.

    Raises `libnumpack.errors.DeviceError` where there is no device.
    """
    return tensor if isinstance(tensor, VulkanTensor) else VulkanTensor(tensor)


def to_vulkan_batch(tensors: Any) -> Any:
    """`to_vulkan` of each of several: a list for a list, a tuple for a tuple, an array for a single one.

    >>> import numpy as np
    >>> from libnumpack.vulkan import to_vulkan_batch
    >>> [a.shape for a in to_vulkan_batch([np.zeros((10, 20)), np.zeros((5, 30))])]
    [(10, 20), (5, 30)]
    """
    if isinstance(tensors, (list, tuple)):
        every = [to_vulkan(tensor) for tensor in tensors]
        if isinstance(tensors, list):
            return every
        return type(tensors)(*every) if hasattr(tensors, "_fields") else tuple(every)
    return to_vulkan(tensors)


def from_vulkan(array: Any, device: Any = "cuda") -> Any:
    """A tensor of torch, on one of torch's devices, of an array or a tensor of ours, without its gradient.

    On the host it shares the memory, if that can be written. Where there is no CUDA for ``device="cuda"``, it
    is on the host, with a warning. Raises `libnumpack.errors.DependencyError` where torch is not installed.
    """
    try:
        torch: Any = importlib.import_module("torch")
    except ImportError as e:
        raise DependencyError("from_vulkan gives tensors of torch; install it: pip install torch") from e
    where = torch.device(device)
    if where.type == "cuda" and not torch.cuda.is_available():
        warnings.warn("torch has no CUDA here: the tensor is on the host; give device='cpu'", stacklevel=callers_level())
        where = torch.device("cpu")
    if isinstance(array, Tensor):
        return torch.from_dlpack(array.detach().cpu()).to(where)
    if _is_torch(array):
        return array.detach().to(where)
    found = np.asarray(array)
    shares = found.flags.writeable and found.dtype.isnative and all(step >= 0 for step in found.strides)
    if not shares:
        found = found.astype(found.dtype.newbyteorder("="), order="C")
    return torch.from_numpy(found).to(where)


def convert_module_inputs(*args: Any, **kwargs: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments, in which each tensor is an array, as `to_vulkan` has it, and all else is what it was.

    >>> import libnumpack
    >>> from libnumpack.vulkan import convert_module_inputs
    >>> (x, n), named = convert_module_inputs(libnumpack.ones(2), 3, mask=None)
    >>> type(x).__name__, n, named
    ('ndarray', 3, {'mask': None})
    """

    def convert(value: Any) -> Any:
        return to_vulkan(value) if _is_tensor(value) else value

    return tuple(map(convert, args)), {name: convert(value) for name, value in kwargs.items()}


def auto_convert_to_vulkan(function: F) -> F:
    """Decorates a function of arrays, so that it takes tensors too: `convert_module_inputs` of its arguments.

    >>> import libnumpack
    >>> @libnumpack.vulkan.auto_convert_to_vulkan
    ... def total(x):
    ...     return float(x.sum())
    >>> total(libnumpack.ones(3))
    3.0
    """

    @functools.wraps(function)
    def converting(*args: Any, **kwargs: Any) -> Any:
        args, kwargs = convert_module_inputs(*args, **kwargs)
        return function(*args, **kwargs)

    return converting  # type: ignore[return-value]
