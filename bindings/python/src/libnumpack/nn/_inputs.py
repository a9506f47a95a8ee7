"""What modules take and give: tensors, NumPy's arrays and torch's tensors at the outermost call, tensors
within."""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING, Any, Callable, Iterator

import numpy as np

from .. import devices, dtypes
from ..errors import SharingError
from ..tensors import Tensor, as_tensor, no_grad
from ..vulkan import VulkanTensor

if TYPE_CHECKING:
    from .module import Module


class _Here(threading.local):
    within = False


here = _Here()
"""Whether this thread is within a module, where all that is computed with are tensors."""


def is_torch(value: Any) -> bool:
    """Whether it is a tensor of torch, which is not imported to find out."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, getattr(torch, "Tensor", ()))


def mapped(value: Any, change: Callable[[Any], Any]) -> Any:
    """The value, in which each thing that is no tuple, list or dict is what ``change`` makes of it."""
    if isinstance(value, tuple):
        all_ = [mapped(v, change) for v in value]
        return type(value)(*all_) if hasattr(value, "_fields") else tuple(all_)
    if isinstance(value, list):
        return [mapped(v, change) for v in value]
    if type(value) is dict:
        return {key: mapped(v, change) for key, v in value.items()}
    return change(value)


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, (tuple, list)):
        for part in value:
            yield from _leaves(part)
    elif type(value) is dict:
        for part in value.values():
            yield from _leaves(part)
    elif isinstance(value, (Tensor, np.ndarray)) or is_torch(value):
        yield value


def home(module: Module) -> tuple[devices.device | None, dtypes.dtype | None]:
    """Where a module is and the floating type it has, by its parameters, or else its buffers."""
    place = None
    for every in (module.parameters(), module.buffers()):
        for tensor in every:
            place = place or tensor.device
            if tensor.dtype.is_floating_point:
                return place, tensor.dtype
    return place, None


def call(module: Module, inputs: tuple[Any, ...], named: dict[str, Any]) -> Any:
    """The outermost call of a module: with tensors of what was given, and a result of that kind."""
    given = list(_leaves((inputs, named)))
    tensors = [value for value in given if isinstance(value, Tensor)]
    on_vulkan = next((value for value in tensors if isinstance(value, VulkanTensor)), None)
    place, dtype = home(module)
    moves = on_vulkan is not None and place == devices.cpu
    if on_vulkan is not None and moves:
        place = on_vulkan.device
    if place is None:
        place = tensors[0].device if tensors else devices.cpu
    else:
        for tensor in tensors:
            if tensor.device != place:
                raise SharingError(
                    f"an input is on {tensor.device}, and {type(module).__name__} on {place}; "
                    f"move one of them, such as the input by .to({str(place)!r})"
                )
    if moves:
        module.to(place)
    # What arrays become, of which NumPy makes float64 unasked.
    floating = dtype or next((t.dtype for t in tensors if t.dtype.is_floating_point), dtypes.float32)

    def take(value: Any) -> Any:
        if isinstance(value, Tensor):
            return value if dtype is None or not value.dtype.is_floating_point else value.to(dtype)
        if isinstance(value, np.ndarray):
            return of_array(value, floating, place)
        return of_array(value.detach().cpu(), floating, place) if is_torch(value) else value

    inputs, named = mapped(inputs, take), mapped(named, take)
    here.within = True
    try:
        if tensors or not given:
            result = module.forward(*inputs, **named)
        else:
            with no_grad():
                result = module.forward(*inputs, **named)
    finally:
        here.within = False
    if on_vulkan is not None:
        return mapped(result, _to_vulkan)
    return mapped(result, _to_array) if given and not tensors else result


def of_array(array: Any, floating: dtypes.dtype, place: devices.device) -> Tensor:
    """A tensor of an array or torch's tensor: floats as ``floating``, whole numbers and truth values as they
    are."""
    made = as_tensor(array)
    if made.dtype.is_floating_point:
        made = made.to(floating)
    return made.to(place)


def _to_vulkan(value: Any) -> Any:
    if isinstance(value, Tensor) and not isinstance(value, VulkanTensor) and value.device != devices.cpu:
        return VulkanTensor._of_compute(value._compute())
    return value


def _to_array(value: Any) -> Any:
    if not isinstance(value, Tensor):
        return value
    value = value.detach().cpu()
    # NumPy has no bfloat16.
    return (value if value.dtype.numpy() is not None else value.to(dtypes.float32)).numpy()
