"""Optimisers: what changes parameters by their gradients. Names, arguments and defaults are those of
``torch.optim``.

| module | holds |
|---|---|
| `optimizer` | `Optimizer`: groups, steps, states |
| `algorithms` | `SGD`, `Adam`, `AdamW` |
| `train_step` | `TrainStep`: a step of training that a device records once |
| `lr_scheduler` | learning rates that change from epoch to epoch |
"""

from . import lr_scheduler
from .algorithms import SGD, Adam, AdamW
from .optimizer import Optimizer
from .train_step import TrainStep

__all__ = ["Adam", "AdamW", "Optimizer", "SGD", "TrainStep", "lr_scheduler"]
