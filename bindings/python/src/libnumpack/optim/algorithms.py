"""Stochastic gradient descent, Adam and AdamW."""

from __future__ import annotations

import ctypes
from typing import Any, Mapping

from .._native import Handle, make, structs
from .optimizer import Optimizer, Params, check


class SGD(Optimizer):
    """Stochastic gradient descent: p - lr · (gradient + weight_decay · p), with ``momentum`` of a direction
    that is kept from step to step.

    ``dampening``: what the gradient is lessened by before it is added to that. ``nesterov``: looks ahead
    along it. ``maximize``: makes the loss larger.

    >>> import libnumpack
    >>> from libnumpack import optim
    >>> x = libnumpack.tensor([1.0], requires_grad=True)
    >>> optimizer = optim.SGD([x], lr=0.1)
    >>> (x * x).sum().backward()
    >>> optimizer.step()
    >>> x
    tensor([0.8000], requires_grad=True)
    """

    def __init__(
        self, params: Params, lr: float = 1e-3, momentum: float = 0, dampening: float = 0,
        weight_decay: float = 0, nesterov: bool = False, *, maximize: bool = False,
    ) -> None:
        # Those after maximize are what torch wants to find in a state.
        super().__init__(params, {
            "lr": lr, "momentum": momentum, "dampening": dampening, "weight_decay": weight_decay,
            "nesterov": nesterov, "maximize": maximize, "foreach": None, "differentiable": False,
            "fused": None,
        })

    def _made(self, params: Any, count: int, lr: float) -> Handle:
        return make("nn_optimizer", "nn_optimizer_sgd", params, count, lr, None)

    def _settings(self, group: Mapping[str, Any]) -> dict[str, float]:
        momentum, dampening = check("momentum", group["momentum"]), float(group["dampening"])
        if group["nesterov"] and (momentum == 0 or dampening != 0):
            raise ValueError("nesterov is for momentum without dampening; set momentum, and dampening to 0")
        return {
            "lr": check("lr", group["lr"]), "momentum": momentum, "dampening": dampening,
            "weight_decay": check("weight_decay", group["weight_decay"]),
            "nesterov": float(group["nesterov"]),
        }


class Adam(Optimizer):
    """Adam (Kingma and Ba, 2015): steps by a mean of the gradients over the root of a mean of their squares.

    ``betas``: what is kept of both means at each step. ``eps``: added to the root. ``weight_decay``: what of
    a parameter is added to its gradient. ``amsgrad``: the largest mean of squares so far is used.
    ``maximize``: makes the loss larger.

    >>> from libnumpack import nn, optim
    >>> optimizer = optim.Adam(nn.Linear(2, 1).parameters(), lr=0.01)
    >>> optimizer.param_groups[0]["lr"] = 0.001
    """

    _decoupled = False

    def __init__(
        self, params: Params, lr: float = 1e-3, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8,
        weight_decay: float = 0, amsgrad: bool = False, *, maximize: bool = False,
    ) -> None:
        super().__init__(params, {
            "lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "amsgrad": amsgrad,
            "maximize": maximize, "foreach": None, "capturable": False, "differentiable": False,
            "fused": None, "decoupled_weight_decay": self._decoupled,
        })

    def _made(self, params: Any, count: int, lr: float) -> Handle:
        options = structs["nn_adam_options"](decoupled=self._decoupled)
        return make("nn_optimizer", "nn_optimizer_adam", params, count, lr, ctypes.byref(options))

    def _settings(self, group: Mapping[str, Any]) -> dict[str, float]:
        first, second = group["betas"]
        return {
            "lr": check("lr", group["lr"]), "beta1": check("betas[0]", first, below=1.0),
            "beta2": check("betas[1]", second, below=1.0), "eps": check("eps", group["eps"]),
            "weight_decay": check("weight_decay", group["weight_decay"]), "amsgrad": float(group["amsgrad"]),
        }


class AdamW(Adam):
    """Adam, in which ``weight_decay`` takes its part off the parameter, times the learning rate, and leaves
    the gradient alone (Loshchilov and Hutter, 2019)."""

    _decoupled = True

    def __init__(
        self, params: Params, lr: float = 1e-3, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8,
        weight_decay: float = 1e-2, amsgrad: bool = False, *, maximize: bool = False,
    ) -> None:
        super().__init__(params, lr, betas, eps, weight_decay, amsgrad, maximize=maximize)
