"""Random checkpoints, each decided by one seed."""

from __future__ import annotations

import math
import random
import struct
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

NAMES = [
    "float8_e4m3fn", "float8_e4m3fnuz", "float8_e5m2", "float8_e5m2fnuz", "float8_e8m0fnu", "uint16",
    "uint32", "uint64", "int8", "int64", "bfloat16", "float16", "float32", "float64", "complex32",
    "complex64", "complex128",
]  # fmt: skip
KINDS = [getattr(torch, name) for name in NAMES if hasattr(torch, name)]
WORDS = [
    "weight", "bias", "model", "state", "0", "1", "layers", "exp_avg", "a", "b", "a.b", "x/y", "..", "",
    "é", "名", "W", "w", "\n", "\ud800", "k" * 260, "%2F", "~1", "a b", "data",
]  # fmt: skip


class Generator:
    """Builds one object; the same seed builds the same one."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.tensors: list[torch.Tensor] = []
        self.containers: list[Any] = []
        self.open: list[Any] = []
        self.budget = 70

    def root(self) -> Any:
        """A whole checkpoint."""
        if self.random.random() < 0.08:
            return self.tensor()
        make = self.random.choices([self.table, self.ordered, self.list_of, self.tuple_of], [5, 4, 2, 1])[0]
        return make(0)

    def value(self, depth: int) -> Any:
        """Any value, plainer the deeper it lies."""
        self.budget -= 1
        if depth > 5 or self.budget < 0:
            return self.tensor() if self.random.random() < 0.3 else self.plain()
        if self.containers and self.random.random() < 0.06:
            return self.random.choice(self.containers)
        if self.open and self.random.random() < 0.015:
            return self.random.choice(self.open)
        choices = [
            (lambda: self.tensor(), 8),
            (lambda: self.plain(), 6),
            (lambda: self.table(depth + 1), 3),
            (lambda: self.ordered(depth + 1), 2),
            (lambda: self.list_of(depth + 1), 2),
            (lambda: self.tuple_of(depth + 1), 1),
            (lambda: self.module_state(), 0.5),
        ]
        return self.random.choices([make for make, _ in choices], [weight for _, weight in choices])[0]()

    def fill(self, container: Any, add: Callable[[], None]) -> Any:
        """Adds to a container that what is added may refer to, unless a tuple lies between."""
        counts = [0, 1, 2, 2, 3, 4, 6] if self.open else [1, 3, 5, 8, 12]
        self.open.append(container)
        for _ in range(self.random.choice(counts)):
            add()
        self.open.pop()
        self.containers.append(container)
        return container

    def table(self, depth: int) -> dict[Any, Any]:
        """A dict with keys of any kind."""
        made: dict[Any, Any] = {}
        return self.fill(made, lambda: made.update({self.key(): self.value(depth)}))

    def ordered(self, depth: int) -> OrderedDict[Any, Any]:
        """An ordered dict, at times with the attribute that modules leave on theirs."""
        made: OrderedDict[Any, Any] = OrderedDict()
        if self.random.random() < 0.4:
            made._metadata = OrderedDict({"": {"version": self.random.randrange(4)}, self.word(): {}})
        return self.fill(made, lambda: made.update({self.key(): self.value(depth)}))

    def list_of(self, depth: int) -> list[Any]:
        """A list."""
        made: list[Any] = []
        return self.fill(made, lambda: made.append(self.value(depth)))

    def tuple_of(self, depth: int) -> tuple[Any, ...]:
        """A tuple; it refers to nothing that is still being filled, which pickles do not allow for."""
        outside, self.open = self.open, []
        made = tuple(self.value(depth) for _ in range(self.random.randrange(5)))
        self.open = outside
        self.containers.append(made)
        return made

    def word(self) -> str:
        """A string as keys have."""
        if self.random.random() < 0.7:
            return self.random.choice(WORDS)
        return "".join(self.random.choice("abz09._-/~%ü😀 ") for _ in range(self.random.randrange(12)))

    def key(self) -> Any:
        """A dict key, mostly a string."""
        if self.random.random() < 0.8:
            return self.word()
        number = self.random.randrange(-3, 300)
        return self.random.choice(
            [number, number / 4, None, True, (number, self.word()), (), str(number), b"k", 2**65]
        )

    def plain(self) -> Any:
        """A value without tensors."""
        chance = self.random
        pattern = struct.unpack("<d", chance.randbytes(8))[0]
        return chance.choice([
            None, True, False, (), (0.9, 0.999), {1, "x"}, torch.bfloat16, torch.device("cpu"),
            chance.randrange(-5, 300), chance.randrange(-(2**34), 2**34), chance.getrandbits(130) - 2**129,
            chance.random(), pattern, -0.0, math.nan, math.inf, complex(chance.random(), -0.0),
            self.word(), "text\u2028" * chance.randrange(60), chance.randbytes(chance.randrange(1, 9)),
            bytearray(b"ab"), torch.Size([2, chance.randrange(4)]),
        ])  # fmt: skip

    def module_state(self) -> Any:
        """The state of a small module, of which the optimiser's parameters come later."""
        module = self.random.choice([nn.Linear(2, 3), nn.BatchNorm1d(2), nn.Embedding(3, 2), nn.LayerNorm(2)])
        state = module.state_dict()
        self.tensors.extend(state.values())
        return state

    def tensor(self) -> torch.Tensor:
        """A fresh tensor, one met before, or a view of one."""
        if self.tensors and self.random.random() < 0.35:
            known = self.random.choice(self.tensors)
            if self.random.random() < 0.25:
                return known
            made = self.view(known)
        else:
            made = self.fresh()
        made = self.dress(made)
        if made.layout == torch.strided and not made.is_quantized:
            self.tensors.append(made)
        return made

    def fresh(self) -> torch.Tensor:
        """A tensor with a storage of its own, of random bytes."""
        shape = [
            self.random.choice([0, 1, 1, 2, 3, 3, 4, 5])
            for _ in range(self.random.choice([0, 1, 1, 2, 2, 3, 4]))
        ]
        kind = self.random.random()
        if kind < 0.05:
            return torch.rand(shape).round().bool()
        if kind < 0.09:
            return torch.quantize_per_tensor(
                torch.randn(shape), 0.5, 0, self.random.choice([torch.qint8, torch.qint32])
            )
        if kind < 0.13 and shape:
            return torch.rand(shape).round().to_sparse()
        return self.of_kind(self.random.choice(KINDS), shape)

    def of_kind(self, dtype: torch.dtype, shape: list[int]) -> torch.Tensor:
        """A tensor of random bytes."""
        size = torch.empty(0, dtype=dtype).element_size()
        data = bytearray(self.random.randbytes(math.prod(shape) * size))
        flat = (
            torch.frombuffer(data, dtype=torch.uint8).clone() if data else torch.empty(0, dtype=torch.uint8)
        )
        return flat.view(dtype).view(shape)

    def view(self, tensor: torch.Tensor) -> torch.Tensor:
        """Another look at the storage of a tensor."""
        tensor = tensor.detach()
        ways: list[Callable[[], torch.Tensor]] = [lambda: tensor, lambda: tensor.unsqueeze(0)]
        if tensor.dim() and tensor.numel():
            length = tensor.shape[0]
            start = self.random.randrange(length)
            ways += [
                lambda: tensor[start:],
                lambda: tensor[: start + 1],
                lambda: tensor[start],
                lambda: tensor[::2],
                lambda: tensor[start:start],
                lambda: tensor.transpose(0, -1),
                lambda: tensor.unsqueeze(0).expand(3, *tensor.shape),
                lambda: tensor.unfold(0, min(2, length), 1),
            ]
        if tensor.dtype in (torch.complex64, torch.complex128) and not tensor.is_conj():
            ways.append(lambda: tensor.conj())
        return self.random.choice(ways)()

    def dress(self, tensor: torch.Tensor) -> torch.Tensor:
        """At times makes a tensor a parameter, or gives it a gradient flag or an attribute."""
        chance = self.random.random()
        floating = tensor.layout == torch.strided and not tensor.is_quantized and tensor.dtype in (
            torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.complex64, torch.complex128
        )  # fmt: skip
        if not floating or tensor.is_conj():
            return tensor
        if chance < 0.12:
            tensor = nn.Parameter(tensor.detach(), requires_grad=self.random.random() < 0.7)
        elif chance < 0.2:
            tensor = tensor.detach().requires_grad_()
        if self.random.random() < 0.06:
            tensor = tensor.detach() if type(tensor) is torch.Tensor else tensor
            tensor.note = self.plain()
        return tensor


def generate(seed: int) -> Any:
    """The random checkpoint of a seed."""
    torch.manual_seed(seed)
    return Generator(seed).root()
