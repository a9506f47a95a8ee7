"""Gradients made smaller: ``torch.nn.utils``."""

from __future__ import annotations

import ctypes
import math
from typing import Iterable, Union

from .._native import handles, lib
from ..tensors import Tensor, no_grad, stack, tensor

Tensors = Union[Tensor, Iterable[Tensor]]


def _with_grad(parameters: Tensors) -> list[Tensor]:
    every = [parameters] if isinstance(parameters, Tensor) else list(parameters)
    return [p for p in every if p.grad is not None]


def clip_grad_norm_(
    parameters: Tensors, max_norm: float, norm_type: float = 2.0, error_if_nonfinite: bool = False,
) -> Tensor:
    """Scales the gradients of these tensors, all on one device, so that their norm, as if they were one
    vector, is at most ``max_norm``; gives what it was. It is the root of the sum of squares, or with another
    ``norm_type`` p the p-th root of the sum of p-th powers, or the largest magnitude for ``math.inf``.

    Raises `RuntimeError` for a norm that is infinite or NaN, if ``error_if_nonfinite``; no gradient has
    changed then.

    >>> import libnumpack
    >>> from libnumpack import nn
    >>> x = libnumpack.tensor([3.0, 4.0], requires_grad=True)
    >>> (x * x).sum().backward()
    >>> nn.utils.clip_grad_norm_([x], 1.0)
    tensor(10.)
    >>> x.grad
    tensor([0.6000, 0.8000])
    """
    found = _with_grad(parameters)
    if norm_type == 2 and not error_if_nonfinite:
        norm = ctypes.c_double()
        every = handles([p._compute() for p in found])
        lib.nn_clip_grad_norm(every, len(found), max_norm, ctypes.byref(norm))
        return tensor(norm.value)
    if not found:
        return tensor(0.0)
    if not max_norm >= 0:
        raise ValueError(f"a norm of {max_norm} cannot be; give 0 or more")
    grads = [p.grad.detach() for p in found]
    total: Tensor
    with no_grad():
        if norm_type == math.inf:
            total = stack([g.abs().amax() for g in grads]).amax()
        else:
            total = stack([(g.abs() ** norm_type).sum() for g in grads]).sum() ** (1 / norm_type)
        if error_if_nonfinite and not math.isfinite(total.item()):
            raise RuntimeError(f"the norm of the gradients is {total.item()}; look for what made them so")
        factor = (max_norm / (total + 1e-6)).clamp(max=1.0)
        for param, grad in zip(found, grads):
            param.grad = (grad * factor).to(grad.dtype)
    return total


def clip_grad_value_(parameters: Tensors, clip_value: float) -> None:
    """Cuts each element of the gradients of these tensors to between -``clip_value`` and ``clip_value``."""
    found = _with_grad(parameters)
    lib.nn_clip_grad_value(handles([p._compute() for p in found]), len(found), clip_value)
