"""A step of training: forward, loss, the way back and the update, which a device records once."""

from __future__ import annotations

import ctypes
from typing import Any, Callable

from .. import devices, dtypes
from .._native import Callbacks, Handle, lib, make
from .._native import constants as c
from .._native.library import callback
from ..nn import _inputs
from ..nn.loss import BCEWithLogitsLoss, CrossEntropyLoss, L1Loss, MSELoss
from ..nn.module import Module
from ..nn.parameter import Moves, at
from ..tensors import Tensor
from .optimizer import Optimizer


class TrainStep:
    """Does a step of training with each call: ``step(x, y)`` computes ``criterion(model(x), y)`` and its
    gradients, and has the optimiser change the parameters. It gives the loss before the change, a tensor
    without dimensions.

    On a device the work is recorded at the first call with inputs of their shapes, and done again by one
    submission at each further one, of up to eight shapes; nothing waits until a value is asked for.
    Parameters have to be float32 there, and each has to get a gradient. What ``forward`` does in Python is
    done only when it is recorded: it must not depend on values. A change of a learning rate is heeded, and
    one of other options, of ``train`` and ``eval``, and a move of the model record the step anew. On the host
    it is the same as a loop that is written out.

    ``model``: any `libnumpack.nn.Module` of one input. ``criterion``: a loss module, or a function of two
    tensors that gives one without dimensions. Inputs are what modules take, and are moved to where the model
    is.

    >>> import numpy as np
    >>> from libnumpack import nn, optim
    >>> model = nn.Linear(3, 2)
    >>> step = optim.TrainStep(model, optim.SGD(model.parameters(), lr=0.1), nn.CrossEntropyLoss())
    >>> x, y = np.eye(3), np.array([0, 1, 0])
    >>> losses = [step(x, y).item() for _ in range(20)]
    >>> losses[-1] < losses[0]
    True
    """

    def __init__(
        self, model: Module, optimizer: Optimizer, criterion: Callable[[Tensor, Tensor], Tensor],
    ) -> None:
        self.model = model
        self.optimizer = optimizer
        self.criterion = criterion
        self._native: Handle | None = None
        self._made_for: Any = None
        self._callbacks = Callbacks()

    def __call__(self, x: Any, y: Any) -> Tensor:
        place, dtype = _inputs.home(self.model)
        place, dtype = place or devices.cpu, dtype or dtypes.float32
        x, y = (_taken(value, dtype, place) for value in (x, y))
        every = self.optimizer._every()
        self.optimizer._send()
        for param in every:
            # What was written to its memory meanwhile.
            param._compute()
        inputs = x._compute(), y._compute()
        now = self._state(x, y)
        if self._native is None or now != self._made_for:
            # The last one goes before, for parameters are moved together.
            other, self.optimizer._recorder = self.optimizer._recorder, self
            for step in (self, other):
                if step is not None:
                    step._native = None
            self._callbacks, self._made_for = Callbacks(), now
            with self._callbacks:
                self._native = self._made(*inputs)
        with self._callbacks:
            lib.nn_step_run(self._native, *inputs)
        for param in every:
            param._changed()
        loss: Tensor = Tensor._of_compute(make("nn_tensor", "nn_step_loss", self._native))
        return loss

    def _state(self, x: Tensor, y: Tensor) -> Any:
        """What the recorded work depends on, other than shapes."""
        if any(group.get("maximize") for group in self.optimizer.param_groups):
            raise ValueError("a recorded step makes the loss smaller; leave maximize, and negate the loss")
        settings = [{k: v for k, v in sent.items() if k != "lr"} for sent in self.optimizer._sent]
        training = [module.training for module in self.model.modules()]
        return settings, training, self.optimizer._renewed, Moves.count, x.dtype, y.dtype

    def _made(self, x: Handle, y: Handle) -> Handle:
        nothing = callback("release_fn", None)
        forward = self._callbacks.make("nn_forward_fn", self._forward)
        model = make("nn_module", "nn_module_custom", None, None, 0, forward, nothing, None)
        loss = _LOSSES.get(type(self.criterion), lambda _: None)(self.criterion)
        if loss is not None:
            return make("nn_step", "nn_step_create", model, self.optimizer._native, loss, x, y)
        return make(
            "nn_step", "nn_step_create_custom", model, self.optimizer._native,
            self._callbacks.make("nn_loss_fn", self._loss), nothing, None, x, y,
        )

    def _forward(self, x: int, result: Any, _: Any) -> None:
        _give(result, _within(self.model, _lent(x)))

    def _loss(self, output: int, target: int, loss: Any, _: Any) -> None:
        _give(loss, _within(self.criterion, _lent(output), _lent(target)))


def _taken(value: Any, dtype: dtypes.dtype, place: devices.device) -> Tensor:
    if not isinstance(value, Tensor):
        return _inputs.of_array(value.detach().cpu() if _inputs.is_torch(value) else value, dtype, place)
    return at(value.detach(), place, dtype if value.dtype.is_floating_point else None)


def _lent(pointer: int) -> Tensor:
    """A tensor on a handle that the library lends."""
    lent: Tensor = Tensor._of_compute(Handle.of(lib.nn_tensor_retain(pointer), "nn_tensor"))
    return lent


def _give(out: Any, result: Any) -> None:
    """Gives the library a handle on a result."""
    if not isinstance(result, Tensor):
        raise TypeError(f"a step computes tensors, and got {type(result).__name__}; return a single Tensor")
    out[0] = ctypes.c_void_p(lib.nn_tensor_retain(result._compute()))


def _within(function: Callable[..., Any], *tensors: Tensor) -> Any:
    """What a module or function makes of tensors, as within another module."""
    before, _inputs.here.within = _inputs.here.within, True
    try:
        return function(*tensors)
    finally:
        _inputs.here.within = before


# The losses that the library has itself, where they are made without options.
_LOSSES: dict[Any, Callable[[Any], int | None]] = {
    MSELoss: lambda loss: c.NN_MSE if loss.reduction == "mean" else None,
    L1Loss: lambda loss: c.NN_L1 if loss.reduction == "mean" else None,
    BCEWithLogitsLoss: lambda loss: (
        c.NN_BCE_WITH_LOGITS
        if loss.reduction == "mean" and loss.weight is None and loss.pos_weight is None else None
    ),
    CrossEntropyLoss: lambda loss: (
        c.NN_CROSS_ENTROPY
        if loss.reduction == "mean" and loss.weight is None and loss.ignore_index == -100
        and loss.label_smoothing == 0 else None
    ),
}
