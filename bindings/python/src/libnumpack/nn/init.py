"""First values of parameters: ``torch.nn.init``. Each function writes into the tensor that it is given, and
gives it back. Random numbers follow `libnumpack.manual_seed`.

>>> import libnumpack
>>> from libnumpack import nn
>>> nn.init.constant_(libnumpack.zeros(2), 3.0)
tensor([3., 3.])
"""

from __future__ import annotations

import math
from typing import TypeVar

from ..tensors import Tensor, no_grad, rand, randn
from .parameter import write

T = TypeVar("T", bound=Tensor)

_GAINS = {
    "linear": 1.0, "sigmoid": 1.0, "conv1d": 1.0, "conv2d": 1.0, "conv3d": 1.0, "tanh": 5 / 3,
    "relu": math.sqrt(2), "selu": 0.75,
}


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """By how much a function of each element lessens deviations; ``param`` is the slope of ``leaky_relu``."""
    if nonlinearity == "leaky_relu":
        slope = 0.01 if param is None else param
        return math.sqrt(2 / (1 + slope * slope))
    if nonlinearity not in _GAINS:
        known = ", ".join(_GAINS)
        raise ValueError(f"no gain of {nonlinearity!r} is known; give one of {known} or leaky_relu")
    return _GAINS[nonlinearity]


def _fans(tensor: Tensor) -> tuple[int, int]:
    """Of how many elements each is computed, and of how many it is part."""
    if tensor.ndim < 2:
        raise ValueError(f"a shape {tensor.shape} has no inputs and outputs; give 2 dimensions or more")
    field = math.prod(tensor.shape[2:])
    return tensor.shape[1] * field, tensor.shape[0] * field


def _fan(tensor: Tensor, mode: str) -> int:
    if mode not in ("fan_in", "fan_out"):
        raise ValueError(f"mode is {mode!r}; give 'fan_in' or 'fan_out'")
    return _fans(tensor)[mode == "fan_out"]


def uniform_(tensor: T, a: float = 0.0, b: float = 1.0) -> T:
    """Uniform numbers from ``a`` to ``b``."""
    with no_grad():
        values = rand(*tensor.shape, dtype=tensor.dtype, device=tensor.device)
        write(tensor, values * (b - a) + a)
    return tensor


def normal_(tensor: T, mean: float = 0.0, std: float = 1.0) -> T:
    """Normal numbers."""
    with no_grad():
        values = randn(*tensor.shape, dtype=tensor.dtype, device=tensor.device)
        write(tensor, values * std + mean)
    return tensor


def constant_(tensor: T, val: float) -> T:
    """One number everywhere."""
    with no_grad():
        tensor.fill_(val)
    return tensor


def zeros_(tensor: T) -> T:
    """0 everywhere."""
    return constant_(tensor, 0.0)


def ones_(tensor: T) -> T:
    """1 everywhere."""
    return constant_(tensor, 1.0)


def xavier_uniform_(tensor: T, gain: float = 1.0) -> T:
    """Uniform numbers within gain · √(6 / (inputs + outputs)) (Glorot and Bengio, 2010)."""
    bound = gain * math.sqrt(6 / max(1, sum(_fans(tensor))))
    return uniform_(tensor, -bound, bound)


def xavier_normal_(tensor: T, gain: float = 1.0) -> T:
    """Normal numbers of a deviation of gain · √(2 / (inputs + outputs))."""
    return normal_(tensor, 0.0, gain * math.sqrt(2 / max(1, sum(_fans(tensor)))))


def kaiming_uniform_(
    tensor: T, a: float = 0, mode: str = "fan_in", nonlinearity: str = "leaky_relu",
) -> T:
    """Uniform numbers within gain · √(3 / inputs) (He and others, 2015); ``a`` is the slope of
    ``leaky_relu``."""
    bound = calculate_gain(nonlinearity, a) * math.sqrt(3 / max(1, _fan(tensor, mode)))
    return uniform_(tensor, -bound, bound)


def kaiming_normal_(
    tensor: T, a: float = 0, mode: str = "fan_in", nonlinearity: str = "leaky_relu",
) -> T:
    """Normal numbers of a deviation of gain / √inputs."""
    return normal_(tensor, 0.0, calculate_gain(nonlinearity, a) / math.sqrt(max(1, _fan(tensor, mode))))
