"""Random objects of every kind that both the oldest and the newest torch can save.

Where the promise of an equal round trip leaves out what was drawn, the mixture says
so: objects of classes that only their own module knows.
"""

from __future__ import annotations

import argparse
import collections
import dataclasses
import datetime
import decimal
import enum
import fractions
import functools
import math
import pathlib
import re
import types
import uuid
from collections import OrderedDict
from typing import Any

import numpy as np
import torch
from torch import nn

from generate import KINDS, Generator

MORE = [
    "bool", "uint8", "int16", "int32", "bits8", "bits16", "bits1x8", "bits2x4", "bits4x2",
    "float4_e2m1fn_x2", "bcomplex32",
]  # fmt: skip
# The oldest torch has tensors that it cannot save.
OLD = not hasattr(torch.Tensor, "untyped_storage")
ALL_KINDS = [
    kind
    for kind in KINDS + [getattr(torch, name) for name in MORE if hasattr(torch, name)]
    if not (OLD and kind == torch.complex32)
]
# Those that have a class of storages, which is all that torch knew of before its zip archives.
TYPED_KINDS = [
    kind
    for kind in ALL_KINDS
    if kind in (torch.bool, torch.bfloat16)
    or kind in (torch.float16, torch.float32, torch.float64)
    or kind in (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)
    or kind in (torch.complex64, torch.complex128)
]
NUMPY_KINDS = ["?", "u1", "i2", "u4", "i8", "f2", "f4", "f8", "c8", "c16", ">i4", ">f8"]


class Colour(enum.Enum):
    """A class that a checkpoint may mention."""

    RED = 1
    BLUE = "b"


class Level(enum.IntEnum):
    """A number with a name."""

    LOW = 1
    HIGH = 2


@dataclasses.dataclass
class Settings:
    """What a training script was told."""

    rate: float
    weights: Any
    extra: Any = None


class Slots:
    """State in slots, which pickles as a pair."""

    __slots__ = ("one", "two")

    def __init__(self, one: Any, two: Any) -> None:
        self.one, self.two = one, two


Pair = collections.namedtuple("Pair", ["left", "right"])


class Stack(list):
    """A list with attributes."""


class Table(OrderedDict):
    """An ordered dict of another name."""


class Block(nn.Module):
    """A module with parameters, buffers, saved and not, and parts."""

    def __init__(self, width: int, parts: list[nn.Module]) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(width, 2))
        self.register_parameter("absent", None)
        self.register_buffer("mean", torch.randn(width))
        self.register_buffer("scratch", torch.ones(2), persistent=False)
        self.register_buffer("count", torch.tensor(width))
        self.parts = nn.ModuleList(parts)
        self.note = "block"

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Uses every part, so that it can be compiled."""
        return values @ self.weight.t() + self.mean


class Mixture(Generator):
    """Builds one object; ``unknown`` tells whether it has objects of classes of its own."""

    def __init__(self, seed: int, objects: bool = True) -> None:
        super().__init__(seed)
        self.objects, self.unknown = objects, False
        self.kinds = ALL_KINDS
        self.budget = self.random.choice([5, 10, 20, 40])

    def root(self) -> Any:
        """A whole checkpoint."""
        chance = self.random.random()
        if chance < 0.2:
            return self.training()
        if chance < 0.25:
            return self.module().state_dict()
        if chance < 0.27:
            return self.deep()
        return super().root()

    def deep(self) -> Any:
        """A tensor below many containers."""
        made: Any = self.tensor()
        for level in range(self.random.randrange(50, 150)):
            made = {"k": made, "level": level} if level % 3 else [made]
        return made

    def value(self, depth: int) -> Any:
        """Any value."""
        chance = self.random.random()
        if self.objects and chance < 0.05 and depth < 5:
            return self.known_object(depth)
        if self.objects and chance < 0.07 and depth < 5:
            self.unknown = True
            return self.other_object(depth)
        return super().value(depth)

    def fresh(self) -> torch.Tensor:
        """A tensor with a storage of its own, of any layout."""
        chance = self.random.random()
        if chance < 0.05:
            return self.sparse()
        if chance < 0.08:
            return self.quantised()
        if chance < 0.1 and not OLD:
            parts = [torch.randn(self.random.randrange(1, 4), 2) for _ in range(self.random.randrange(1, 4))]
            return torch.nested.nested_tensor(parts)
        if chance < 0.12 and not OLD:
            return torch.empty(self.random.randrange(4), 3, dtype=torch.bfloat16, device="meta")
        dims = self.random.choice([0, 1, 1, 2, 2, 3, 4, 6])
        shape = [self.random.choice([0, 1, 1, 2, 3, 3, 4, 5]) for _ in range(dims)]
        return self.of_kind(self.random.choice(self.kinds), shape)

    def of_kind(self, dtype: torch.dtype, shape: list[int]) -> torch.Tensor:
        """A tensor of random bytes; a bool is 0 or 1."""
        if dtype == torch.bool:
            return torch.rand(shape).round().bool()
        return super().of_kind(dtype, shape)

    def view(self, tensor: torch.Tensor) -> torch.Tensor:
        """Another look at the storage of a tensor."""
        if tensor.is_nested or tensor.device.type == "meta":
            return tensor
        return super().view(tensor)

    def dress(self, tensor: torch.Tensor) -> torch.Tensor:
        """At times a parameter, a gradient flag or an attribute."""
        plain = not tensor.is_nested and tensor.device.type == "cpu"
        made = super().dress(tensor) if plain else tensor
        if type(made) is nn.Parameter and made.requires_grad and self.random.random() < 0.2:
            made.register_hook(print)
        return made

    def tensor(self) -> torch.Tensor:
        """A tensor, of which the strided ones may be shown again."""
        made = super().tensor()
        if self.tensors and (made.is_nested or made.device.type == "meta"):
            self.tensors = [known for known in self.tensors if known is not made]
        return made

    def sparse(self) -> torch.Tensor:
        """A tensor of any sparse layout."""
        dense = torch.randn(4, 6) * torch.rand(4, 6).round()
        kind = self.random.randrange(7)
        if kind == 0:
            return dense.to_sparse_csr()
        if kind == 1:
            return dense.to_sparse_csc()
        if kind == 2:
            return dense.to_sparse_bsr((2, 3))
        if kind == 3:
            return dense.to_sparse_bsc((2, 2))
        indices = torch.tensor([[0, 2, 2], [1, 0, 0]])
        if kind == 4:
            return torch.sparse_coo_tensor(indices, torch.randn(3, 2), (3, 4, 2))
        loose = torch.sparse_coo_tensor(indices, self.of_kind(torch.float64, [3]), (3, 4))
        return loose if kind == 5 else torch.eye(3).to_sparse()

    def quantised(self) -> torch.Tensor:
        """A quantised tensor of any scheme."""
        values, kind = torch.randn(3, 4), self.random.randrange(4)
        if kind == 0:
            scales, zeros = torch.rand(3, dtype=torch.float64) + 0.1, torch.tensor([0, 1, 2])
            return torch.quantize_per_channel(values, scales, zeros, 0, torch.qint8)
        if kind == 1:
            return torch.quantize_per_channel(values, torch.rand(4) + 0.1, torch.rand(4), 1, torch.quint8)
        dtype = self.random.choice([torch.qint8, torch.quint8, torch.qint32])
        return torch.quantize_per_tensor(values, 0.25, 0 if dtype == torch.qint32 else 3, dtype)

    def known_object(self, depth: int) -> Any:
        """An object of Python's own library, of numpy or of torch."""
        chance, inner = self.random, self.value(depth + 1)
        when = datetime.datetime(2024, 2, 29, 23, 59, 58, chance.randrange(10**6))
        return chance.choice([
            lambda: argparse.Namespace(lr=0.1, inner=inner),
            lambda: types.SimpleNamespace(a=inner),
            lambda: collections.defaultdict(chance.choice([int, list, None]), a=inner),
            lambda: collections.deque([1, inner], chance.choice([None, 2, 5])),
            lambda: collections.Counter("abca"),
            lambda: frozenset({1, (2, "x")}),
            lambda: decimal.Decimal("-1.25E-7"),
            lambda: fractions.Fraction(1, 3),
            lambda: chance.choice([when, when.date(), when.time()]),
            lambda: when.replace(tzinfo=datetime.timezone(datetime.timedelta(hours=-3))),
            lambda: datetime.timedelta(days=-1, microseconds=7),
            lambda: uuid.UUID(int=chance.getrandbits(128)),
            lambda: chance.choice([pathlib.PurePosixPath("a/b"), pathlib.Path("c.pt")]),
            lambda: chance.choice([slice(1, None, 2), range(3), ..., NotImplemented, int, OrderedDict]),
            lambda: chance.choice([torch.per_tensor_affine, torch.device("cuda:1")]),
            self.array,
            self.array,
            self.numpy_scalar,
            lambda: torch.arange(chance.randrange(1, 4), dtype=torch.float64).storage(),
            lambda: np.random.RandomState(chance.randrange(9)).get_state(),
        ])()  # fmt: skip

    def array(self) -> Any:
        """A numpy array."""
        chance = self.random
        kind = chance.randrange(8)
        if kind == 0:
            return np.array(["a", "bb", "é"])
        if kind == 1:
            return np.array([None, "x", {"k": 1}], dtype=object)
        if kind == 2:
            return np.array([(1, 2.5), (3, 4.5)], dtype=[("a", "<i4"), ("b", ">f8")])
        if kind == 3:
            return np.array(["2020-01-01", "NaT"], dtype="datetime64[D]")
        shape = [chance.randrange(4) for _ in range(chance.randrange(4))]
        dtype = np.dtype(chance.choice(NUMPY_KINDS))
        data = chance.randbytes(math.prod(shape) * dtype.itemsize)
        made = np.frombuffer(bytes(b & 1 for b in data) if dtype == bool else data, dtype).reshape(shape)
        return np.asfortranarray(made) if kind == 4 else made.copy()

    def numpy_scalar(self) -> Any:
        """A numpy scalar or type."""
        chance = self.random
        return chance.choice([
            np.float64(-0.0), np.float32(chance.random()), np.float16(1.5), np.int64(-3), np.uint8(200),
            np.bool_(True), np.complex64(1 - 2j), np.str_("text"), np.bytes_(b"raw"),
            np.datetime64("2020-01-01"), np.dtype("float32"), np.dtype(">u2"), np.float32,
        ])  # fmt: skip

    def other_object(self, depth: int) -> Any:
        """An object of a class that is no plain value."""
        chance, inner = self.random, self.value(depth + 1)
        stack = Stack([inner, 1])
        stack.note = "kept"
        return chance.choice([
            lambda: Settings(0.5, inner),
            lambda: Slots(inner, 2),
            lambda: Pair(inner, 1),
            lambda: stack,
            lambda: Table(a=inner),
            lambda: chance.choice([*Colour, *Level, re.IGNORECASE]),
            lambda: functools.partial(math.pow, 2.0),
            lambda: math.sqrt,
            lambda: Settings,
            self.module,
        ])()  # fmt: skip

    def module(self) -> nn.Module:
        """A module with parts."""
        chance = self.random
        parts = [
            chance.choice([
                lambda: nn.Linear(2, chance.randrange(1, 4), bias=chance.random() < 0.5),
                lambda: nn.BatchNorm1d(2),
                lambda: nn.Embedding(3, 2),
                lambda: nn.Conv2d(1, 2, (1, chance.randrange(1, 3))),
                lambda: nn.GRU(2, 2),
                lambda: nn.Sequential(nn.ReLU(), nn.Linear(2, 2)),
            ])()  # fmt: skip
            for _ in range(chance.randrange(4))
        ]
        made = Block(chance.randrange(1, 4), parts)
        if len(parts) > 1 and chance.random() < 0.3:
            made.parts[0].tied = made.weight
        if chance.random() < 0.3:
            made.weight.requires_grad_(False)
        return made.to(chance.choice([torch.float32, torch.float64, torch.bfloat16, torch.float16]))

    def training(self) -> dict[str, Any]:
        """What a training script saves after some steps."""
        chance = self.random
        module = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))
        parameters = list(module.parameters())
        make = chance.choice([
            lambda: torch.optim.SGD(parameters, lr=0.1, momentum=chance.choice([0.0, 0.9])),
            lambda: torch.optim.Adam(parameters, amsgrad=chance.random() < 0.5),
            lambda: torch.optim.AdamW([{"params": parameters[:2]}, {"params": parameters[2:], "lr": 0.5}]),
            lambda: torch.optim.Adagrad(parameters),
            lambda: torch.optim.RMSprop(parameters, centered=True, momentum=0.5),
            lambda: torch.optim.Adadelta(parameters),
            lambda: torch.optim.RAdam(parameters),
        ])  # fmt: skip
        optimizer = make()
        schedules = torch.optim.lr_scheduler
        scheduler = chance.choice([
            lambda: schedules.StepLR(optimizer, 2),
            lambda: schedules.CosineAnnealingLR(optimizer, 10),
            lambda: schedules.MultiStepLR(optimizer, [3, 5, 5]),
            lambda: schedules.ExponentialLR(optimizer, 0.5),
        ])()  # fmt: skip
        for _ in range(chance.randrange(1, 4)):
            module(torch.randn(4, 3)).square().mean().backward()
            optimizer.step()
            scheduler.step()
        state = module.state_dict()
        made: dict[str, Any] = {
            "model": state,
            "optimizer": optimizer.state_dict(),
            "scheduler": scheduler.state_dict(),
            "scaler": {"scale": 65536.0, "growth_interval": 2000, "_growth_tracker": 0},
            "epoch": chance.randrange(9),
            "rng": [torch.get_rng_state()[:64], (3, tuple(range(9)), None)],
        }
        extras = {
            "ema": lambda: OrderedDict((name, value.clone()) for name, value in state.items()),
            "same": lambda: state,
            "args": lambda: argparse.Namespace(lr=0.1, layers=[2, 2], out=pathlib.Path("runs")),
            "best": lambda: np.float64(0.75),
            "gradients": lambda: [p.grad for p in parameters],
            "parameters": lambda: parameters,
        }
        for name, make_extra in extras.items():
            if chance.random() < 0.3:
                made[name] = make_extra()
        return made
