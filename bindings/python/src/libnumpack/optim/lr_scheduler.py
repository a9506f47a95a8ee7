"""Learning rates that change from epoch to epoch: ``torch.optim.lr_scheduler``.

>>> from libnumpack import nn, optim
>>> optimizer = optim.SGD(nn.Linear(2, 1).parameters(), lr=0.1)
>>> scheduler = optim.lr_scheduler.StepLR(optimizer, step_size=2)
>>> for epoch in range(4):
...     optimizer.step()
...     scheduler.step()
>>> round(optimizer.param_groups[0]["lr"], 6)
0.001
"""

from __future__ import annotations

import math
from typing import Any, Callable, Mapping, Sequence

from .optimizer import Optimizer


class LRScheduler:
    """The base of those below. ``step()`` behind the steps of an epoch sets the rates of the next one.

    A group keeps the rate that it began with as ``initial_lr``. To go on after a break, load the optimiser's
    state and then this one's.
    """

    last_epoch: int
    """How often ``step()`` was called."""
    base_lrs: list[float]
    """The rate of each group at the beginning."""

    def __init__(self, optimizer: Optimizer) -> None:
        if not isinstance(optimizer, Optimizer):
            raise TypeError(f"a learning rate is that of an optimiser, not of {type(optimizer).__name__}")
        self.optimizer = optimizer
        self.base_lrs = [group.setdefault("initial_lr", group["lr"]) for group in optimizer.param_groups]
        self.last_epoch = 0
        self._set()

    def get_lr(self) -> list[float]:
        """The rate of each group in the epoch `last_epoch`."""
        raise NotImplementedError

    def get_last_lr(self) -> list[float]:
        """The rate of each group that was set last."""
        return self._last

    def step(self) -> None:
        """Sets the rates of the next epoch."""
        self.last_epoch += 1
        self._set()

    def _set(self) -> None:
        self._last = self.get_lr()
        for group, lr in zip(self.optimizer.param_groups, self._last):
            group["lr"] = lr

    def state_dict(self) -> dict[str, Any]:
        """All but the optimiser and functions."""
        return {k: v for k, v in self.__dict__.items() if k != "optimizer" and not k.endswith("lambdas")}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Takes such a state, and sets the rates that it stands for."""
        self.__dict__.update(state_dict)
        self._set()


class StepLR(LRScheduler):
    """Times ``gamma`` every ``step_size`` epochs."""

    def __init__(self, optimizer: Optimizer, step_size: int, gamma: float = 0.1) -> None:
        self.step_size, self.gamma = step_size, gamma
        super().__init__(optimizer)

    def get_lr(self) -> list[float]:
        return [lr * self.gamma ** (self.last_epoch // self.step_size) for lr in self.base_lrs]


class ExponentialLR(LRScheduler):
    """Times ``gamma`` every epoch."""

    def __init__(self, optimizer: Optimizer, gamma: float) -> None:
        self.gamma = gamma
        super().__init__(optimizer)

    def get_lr(self) -> list[float]:
        return [lr * self.gamma**self.last_epoch for lr in self.base_lrs]


class CosineAnnealingLR(LRScheduler):
    """Along half a cosine from the first rate to ``eta_min`` within ``T_max`` epochs, then back, and so
    on."""

    def __init__(self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0) -> None:
        self.T_max, self.eta_min = T_max, eta_min
        super().__init__(optimizer)

    def get_lr(self) -> list[float]:
        part = (1 + math.cos(math.pi * self.last_epoch / self.T_max)) / 2
        return [self.eta_min + (lr - self.eta_min) * part for lr in self.base_lrs]


class LambdaLR(LRScheduler):
    """The first rate times what a function makes of the epoch's number: one function for all groups, or a
    list of one for each, which no state has."""

    def __init__(
        self, optimizer: Optimizer, lr_lambda: Callable[[int], float] | Sequence[Callable[[int], float]],
    ) -> None:
        count = len(optimizer.param_groups)
        self.lr_lambdas = [lr_lambda] * count if callable(lr_lambda) else list(lr_lambda)
        if len(self.lr_lambdas) != count:
            given = len(self.lr_lambdas)
            raise ValueError(f"there are {given} functions for {count} groups; give one for each")
        super().__init__(optimizer)

    def get_lr(self) -> list[float]:
        return [lr * f(self.last_epoch) for lr, f in zip(self.base_lrs, self.lr_lambdas)]
