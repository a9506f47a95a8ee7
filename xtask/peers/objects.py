"""Random objects of Python's library, of numpy and torch, and how ``numpack info --object`` prints them.

What is expected is put together from Python's own ``repr`` and ``str`` of the values.
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
import pathlib
import random
import struct
import types
import uuid
import zoneinfo
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from checks import Failure, Numpack

KEYS = [
    ("epoch", "epoch"), ("layer.0.weight", "layer.0.weight"), ("0.weight", "0.weight"), ("größe", "größe"),
    ("a b", "a b"), ("", "''"), ("1", "'1'"), ("1e5", "'1e5'"), ("nan", "'nan'"), ("None", "'None'"),
    ("it's", '"it\'s"'), ("a: b", "'a: b'"), ("x\n\x1b[1m", "'x\\n\\x1b[1m'"), (1, "1"), (-2, "-2"), (1.5, "1.5"),
    (None, "None"), (True, "True"), ((1, "x"), "(1, 'x')"), (b"k", "b'k'"), (2**65, "36893488147419103232"),
]  # fmt: skip
TEXTS = ["", "x", "it's", 'say "x"', "\x00\x1b[31m\x7f\x85\xa0", "é名😀", "a\\b\n\t", "\u202e\u2028\ufeff", "\ud800"]
LINE = 80
SHOWN = {key: text for key, text in KEYS if isinstance(key, str)}


class Color(enum.Enum):
    """Members are made by their values."""

    RED = 1
    NAME = "x"
    PAIR = (1, 2)


class Way(enum.IntFlag):
    """Members are made by their values, too."""

    UP = 1
    LEFT = 2


Point = collections.namedtuple("Point", "x y")


@dataclasses.dataclass
class Config:
    """A class with attributes."""

    lr: Any
    steps: Any


class Slotted:
    """A class without a dict."""

    __slots__ = ("a", "b")

    def __init__(self, a: Any, b: Any) -> None:
        self.a, self.b = a, b


class Maker:
    """Makes the values of one seed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def number(self, least: int = -300, most: int = 300) -> int:
        """A small number."""
        return self.random.randint(least, most)

    def zone(self) -> Any:
        """A time zone, or none."""
        offset = datetime.timedelta(seconds=self.number(-86399, 86399))
        return self.random.choice([
            None, datetime.timezone.utc, datetime.timezone(datetime.timedelta(minutes=self.number())),
            datetime.timezone(offset), datetime.timezone(offset, "MESZ"), zoneinfo.ZoneInfo("UTC"),
        ])  # fmt: skip

    def plain(self) -> Any:
        """A value that is printed on a line."""
        chance = self.random
        pattern = struct.unpack("<d", chance.randbytes(8))[0]
        moment = datetime.datetime(
            chance.randint(1, 9999), chance.randint(1, 12), chance.randint(1, 28), chance.randrange(24),
            chance.randrange(60), chance.randrange(60), chance.choice([0, chance.randrange(10**6)]), self.zone(),
        )  # fmt: skip
        digits = "".join(chance.choice("0123456789") for _ in range(chance.randint(1, 30)))
        folder = chance.choice([pathlib.PurePosixPath, pathlib.PureWindowsPath])
        scalar = chance.choice([
            np.float64(pattern), np.float32(chance.random() * 10 ** self.number(-40, 38)), np.int16(self.number()),
            np.float16(chance.random() * 10 ** self.number(-7, 4)), np.uint64(chance.getrandbits(64)),
            np.bool_(True), np.str_("aé"), np.complex64(complex(self.number(), 0.5)),
        ])  # fmt: skip
        return chance.choice([
            None, True, self.number(), chance.getrandbits(70) - 2**69, pattern, chance.random() * 10.0 ** self.number(),
            chance.choice(TEXTS), chance.randbytes(self.number(0, 9)), bytearray(chance.randbytes(3)),
            complex(self.number(), pattern), complex(0.0, self.number() / 4), moment, moment.date(), moment.timetz(),
            datetime.timedelta(self.number(), chance.randrange(86400), chance.choice([0, 5])), self.zone(),
            decimal.Decimal(digits) * chance.choice([1, -1]), decimal.Decimal(digits).scaleb(self.number(-40, 40)),
            fractions.Fraction(self.number(), chance.randint(1, 99)), uuid.UUID(int=chance.getrandbits(128)),
            folder(chance.choice(["/", "a", "C:/", ".", "//h/s/"]), "b c", chance.choice(["..", "/x", "y.pt"])),
            chance.choice([Color.RED, Color.NAME, Color.PAIR, Way.UP, Way.UP | Way.LEFT]),
            range(self.number(), self.number(), chance.choice([1, 2, -3])), slice(None, self.number(), None),
            (), (self.number(),), (0.9, (None, "x")), [self.number(), 0.5], {self.number()}, frozenset([1]),
            torch.Size([2, self.number(0, 5)]), torch.device("cpu"), torch.device("cuda", 1), torch.bfloat16,
            torch.sparse_csr, scalar, scalar.dtype if scalar.dtype.kind != "U" else np.dtype(">i4"),
            Point(self.number(), "y"),
        ])  # fmt: skip

    def array(self) -> Any:
        """A tensor or an array, of which type and shape are printed."""
        shape = [self.number(0, 3) for _ in range(self.number(0, 3))]
        kind = self.random.choice([torch.float32, torch.bfloat16, torch.int64, torch.bool, torch.complex64])
        tensor = torch.zeros(shape, dtype=kind)
        return self.random.choice([
            tensor, nn.Parameter(torch.zeros(shape)), nn.Parameter(torch.zeros(shape), requires_grad=False),
            np.zeros(shape, self.random.choice(["f4", ">i2", "?", "c16", "U3"])),
        ])  # fmt: skip

    def value(self, depth: int) -> Any:
        """Any value."""
        if depth > 4 or self.random.random() < 0.5:
            return self.plain()
        if self.random.random() < 0.2:
            return self.array()

        def some() -> list[Any]:
            return [self.value(depth + 1) for _ in range(self.number(1, 4))]

        def table() -> dict[Any, Any]:
            return {key: self.value(depth + 1) for key, _ in self.random.sample(KEYS, self.number(1, 5))}

        def attributes() -> dict[str, Any]:
            return {name: self.value(depth + 1) for name in ["lr", "name_", "x1"]}

        def ordered() -> Any:
            made = collections.OrderedDict(table())
            made._metadata = attributes()
            return made

        def factory() -> Any:
            return collections.defaultdict(self.random.choice([list, None]), table())

        def network() -> Any:
            return nn.Sequential(nn.Linear(2, 1, bias=self.random.random() < 0.5), nn.BatchNorm1d(1))

        return self.random.choice([
            table, ordered, factory, network, lambda: [{"a": self.plain()}, *some()],
            lambda: ({"a": self.plain()}, *some()), lambda: argparse.Namespace(**attributes()),
            lambda: types.SimpleNamespace(**attributes()), lambda: Config(self.plain(), some()),
            lambda: Slotted(self.plain(), table()), lambda: collections.deque(some(), self.random.choice([None, 9])),
            lambda: collections.Counter("abca"), lambda: functools.partial(int, self.plain(), base=table()),
            lambda: Point(table(), self.plain()),
            lambda: torch.optim.SGD(nn.Linear(1, 1).parameters(), lr=0.1),
        ])()  # fmt: skip


def named(cls: Any) -> str:
    """A class by its full name."""
    return f"{cls.__module__}.{cls.__qualname__}"


def short(value: Any) -> str | None:
    """What is printed of a value on a line; ``None`` for what takes more."""
    if isinstance(value, datetime.datetime | datetime.time) and isinstance(value.tzinfo, zoneinfo.ZoneInfo):
        return f"{type(value).__name__} {value.replace(tzinfo=None)} {value.tzinfo.key}"
    if isinstance(value, zoneinfo.ZoneInfo):
        return f"zoneinfo {value.key}"
    if type(value) in (datetime.datetime, datetime.date, datetime.time, datetime.timedelta, datetime.timezone):
        return f"{type(value).__name__} {value}"
    if isinstance(value, enum.Enum):
        return f"{named(type(value))}({value.value!r})"
    if isinstance(value, Point) and short(value.x) is not None:
        return f"{named(Point)}({short(value.x)}, {short(value.y)})"
    if isinstance(value, list | tuple | set) and not isinstance(value, Point | torch.Size):
        parts = [short(part) for part in value]
        if any(text is None or (isinstance(part, list | set) and part)
               for text, part in zip(parts, value, strict=True)):
            return None
        begin, end = {list: "[]", tuple: "()", set: "{}"}[type(value)]
        text = begin + ", ".join(parts)
        comma = "," * (type(value) is tuple and len(value) == 1)
        return f"{text}{comma}{end}" if len(text.encode()) <= LINE else None
    if isinstance(value, dict) and not value and type(value) is dict:
        return "{}"
    if isinstance(value, type):
        return named(value)
    leaf = (
        type(None), bool, int, float, complex, str, bytes, bytearray, decimal.Decimal, fractions.Fraction, uuid.UUID,
        pathlib.PurePath, range, slice, frozenset, torch.Size, torch.device, torch.dtype, torch.layout, np.generic,
        np.dtype,
    )  # fmt: skip
    return repr(value) if isinstance(value, leaf) else None


def shown(key: Any) -> str:
    """A key before a colon."""
    return SHOWN.get(key, key) if isinstance(key, str) else repr(key)


def numbered(parts: Iterable[Any]) -> list[tuple[str, Any]]:
    """Parts under their places."""
    return [(str(i), part) for i, part in enumerate(parts)]


def head_and_parts(value: Any) -> tuple[str, Iterable[tuple[str, Any]]]:
    """The line of a value that takes more than one, and the parts that follow."""
    if isinstance(value, torch.Tensor):
        marks = ", parameter" * isinstance(value, nn.Parameter) + ", requires grad" * value.requires_grad
        return f"{str(value.dtype).removeprefix('torch.')} {list(value.shape)}{marks}", ()
    if isinstance(value, np.ndarray):
        name = value.dtype.str if value.dtype.kind == "U" else value.dtype.name
        big = " (big-endian)" if value.dtype.byteorder == ">" and value.dtype.kind != "U" else ""
        return f"numpy.ndarray {name}{big} {list(value.shape)}", ()
    if isinstance(value, nn.Module):
        plain = [
            (name, part) for name, part in vars(value).items()
            if name[0] != "_" and isinstance(part, type(None) | bool | int | float | str)
        ]  # fmt: skip
        inner = [*value._parameters.items(), *value._buffers.items(), *value._modules.items()]
        return f"{named(type(value))} module", [*plain, *((key, part) for key, part in inner if part is not None)]
    if isinstance(value, torch.optim.Optimizer):
        return f"{named(type(value))} optimizer", value.__getstate__().items()
    if isinstance(value, Point):
        return f"{named(Point)} of 2", numbered(value)
    if isinstance(value, list | tuple):
        return f"{type(value).__name__} of {len(value)}", numbered(value)
    if isinstance(value, collections.deque):
        most = "" if value.maxlen is None else f", maxlen={value.maxlen}"
        return f"collections.deque of {len(value)}{most}", numbered(value)
    if isinstance(value, functools.partial):
        return f"functools.partial of {named(value.func)}", [*numbered(value.args), *value.keywords.items()]
    if isinstance(value, dict):
        name = type(value).__name__
        if isinstance(value, collections.defaultdict):
            made = "" if value.default_factory is None else f" of {named(value.default_factory)}"
            name = f"collections.defaultdict{made}"
        elif isinstance(value, collections.Counter):
            name = "collections.Counter"
        attributes = vars(value).items() if isinstance(value, collections.OrderedDict) else ()
        return name, [*((shown(key), part) for key, part in value.items()), *attributes]
    state = value.__getstate__()
    # With slots alone the dict is ``None``.
    parts = state if isinstance(state, dict) else {**(state[0] or {}), **state[1]}
    return named(type(value)), parts.items()


def expected(value: Any) -> Iterator[str]:
    """All lines of a value."""
    todo: list[tuple[int, str, Any]] = [(0, "", value)]
    while todo:
        level, key, value = todo.pop()
        begin = "  " * level + (f"{key}: " if level else "")
        if (text := short(value)) is not None:
            yield begin + text
            continue
        head, parts = head_and_parts(value)
        yield begin + head
        todo.extend(reversed([(level + 1, key, part) for key, part in parts]))


def check_printed(numpack: Numpack, seed: int, folder: Path) -> str:
    """Prints the object of a seed, from the file that torch saved."""
    torch.manual_seed(seed)
    maker = Maker(seed)
    value = {key: maker.value(0) for key, _ in KEYS}
    torch.save(value, folder / "a.pt")
    found = numpack.run("info", folder / "a.pt", "--key=", "--depth", "50").split("\n")[:-1]
    wanted = list(expected(value))
    for number, (ours, theirs) in enumerate(zip(found, wanted, strict=False), 1):
        if ours != theirs:
            raise Failure(f"line {number} is {ours!r}, expected {theirs!r}")
    if len(found) != len(wanted):
        raise Failure(f"{len(found)} lines, expected {len(wanted)}")
    numpack.run("info", folder / "a.pt", "--object", "--depth", "3", "--items", "2")
    return f"{len(found)} lines"
