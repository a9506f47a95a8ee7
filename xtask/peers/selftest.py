"""Proves that the comparison sees what it is there to see.

Torch alone does the round trip here: objects must come back equal, and each of
many small changes to one must be noticed.
"""

from __future__ import annotations

import copy
import io
import random
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

from cases import CASES, build
from compare import differences, walk
from generate import generate

NOT_BY_TORCH = {
    "numpy arrays and scalars": "foreign byte order becomes native",
    "bare storages": "untyped storages become typed",
}


def through_torch(value: Any) -> Any:
    """Saves and loads an object in memory."""
    stream = io.BytesIO()
    torch.save(value, stream)
    stream.seek(0)
    return torch.load(stream, weights_only=False)


def nan_of(pattern: int) -> float:
    """The float with these bits."""
    return float(np.uint64(pattern).view(np.float64))


def viewed(way: Callable[[torch.Tensor], list[torch.Tensor]]) -> list[torch.Tensor]:
    """Tensors made from one base of equal numbers."""
    return way(torch.zeros(12))


def attribute(tensor: torch.Tensor, **attributes: Any) -> torch.Tensor:
    """A tensor with attributes."""
    for name, value in attributes.items():
        setattr(tensor, name, value)
    return tensor


def ordered(metadata: Any) -> OrderedDict[str, int]:
    """An ordered dict with ``_metadata``."""
    made = OrderedDict(a=1)
    if metadata is not None:
        made._metadata = metadata
    return made


def twice(value: Any) -> list[Any]:
    """One object in two places."""
    return [value, value]


def own_reference(depth: int) -> list[Any]:
    """A list that holds itself, ``depth`` lists deep."""
    outer: list[Any] = []
    inner = outer
    for _ in range(depth):
        inner.append([])
        inner = inner[0]
    inner.append(outer)
    return outer


def quantised(
    scale: float = 0.5, zero: int = 0, dtype: torch.dtype = torch.qint8, axis: int | None = None
) -> torch.Tensor:
    """A quantised tensor whose integers are always 1."""
    if axis is not None:
        maker = torch._make_per_channel_quantized_tensor
        return maker(
            torch.ones(2, 2, dtype=torch.int8),
            torch.full((2,), scale, dtype=torch.float64),
            torch.zeros(2),
            axis,
        )
    plain = {torch.qint8: torch.int8, torch.quint8: torch.uint8}[dtype]
    return torch._make_per_tensor_quantized_tensor(torch.ones(2, 2, dtype=plain), scale, zero)


def coo(columns: list[int], coalesced: bool = False, values: torch.Tensor | None = None) -> torch.Tensor:
    """A sparse tensor with two entries in the first row."""
    values = torch.ones(2) if values is None else values
    return torch.sparse_coo_tensor(torch.tensor([[0, 0], columns]), values, (2, 4), is_coalesced=coalesced)


def unequal() -> list[tuple[str, Any, Any]]:
    """Pairs that must be told apart."""
    ones, zero_f8 = torch.ones(4), torch.zeros(4, dtype=torch.uint8)
    values, dense = torch.ones(2), torch.eye(4)
    return [
        ("dict type", {"a": 1}, OrderedDict(a=1)),
        ("list type", [1], (1,)),
        ("key order", {"a": 1, "b": 2}, {"b": 2, "a": 1}),
        ("key type str and int", {"0": 1}, {0: 1}),
        ("key type bool and int", {True: 1}, {1: 1}),
        ("key type float and int", {1.0: 1}, {1: 1}),
        ("key text", {"é": 1}, {"e\u0301": 1}),
        ("missing key", {"a": 1, "b": 2}, {"a": 1}),
        ("more keys", {"a": 1}, {"a": 1, "b": 2}),
        ("missing item", [1, 2], [1]),
        ("bool and int", True, 1),
        ("int and float", 1, 1.0),
        ("none and false", None, False),
        ("big int", 2**200, 2**200 + 1),
        ("minus zero", 0.0, -0.0),
        ("last bit of a float", 0.1, 0.1 + 2**-56),
        ("nan payload", nan_of(0x7FF8000000000000), nan_of(0x7FF8000000000001)),
        ("nan sign", nan_of(0x7FF8000000000000), nan_of(0xFFF8000000000000)),
        ("complex sign", complex(0.0, -0.0), complex(0.0, 0.0)),
        ("surrogate", "\ud800", "\ufffd"),
        ("bytes", b"a", b"b"),
        ("bytes and text", b"a", "a"),
        ("bytearray", bytearray(b"a"), b"a"),
        ("set", {1, "1"}, {1, 2}),
        ("size and tuple", torch.Size([1]), (1,)),
        ("dtype value", torch.int8, torch.uint8),
        ("numpy scalar", np.float64(1.0), 1.0),
        ("numpy scalar type", np.int32(1), np.int64(1)),
        ("numpy dtype", np.ones(2, "f4"), np.ones(2, "f8")),
        ("numpy order", np.ones((2, 3)), np.ones((2, 3), order="F")),
        ("numpy shape", np.ones((2, 3)), np.ones((3, 2))),
        ("numpy and tensor", np.ones(2, "f4"), torch.ones(2)),
        ("tensor dtype of equal bytes", torch.zeros(2, dtype=torch.int32), torch.zeros(2)),
        ("float8 kind", zero_f8.view(torch.float8_e4m3fn), zero_f8.clone().view(torch.float8_e5m2)),
        ("unsigned kind", torch.zeros(2, dtype=torch.uint16), torch.zeros(2, dtype=torch.int16)),
        ("bfloat16 and half", torch.zeros(2, dtype=torch.bfloat16), torch.zeros(2, dtype=torch.float16)),
        ("shape", torch.ones(2, 3), torch.ones(3, 2)),
        ("zero-d and one", torch.tensor(1.0), torch.ones(1)),
        ("zero sizes", torch.ones(0, 3), torch.ones(3, 0)),
        ("one element", torch.tensor([1.0, 2.0]), torch.tensor([1.0, 2.5])),
        ("minus zero in a tensor", torch.tensor([0.0]), torch.tensor([-0.0])),
        ("nan in a tensor", torch.tensor([float("nan")]), -torch.tensor([float("nan")])),
        ("transposed bytes", torch.arange(4.0).view(2, 2), torch.arange(4.0).view(2, 2).t()),
        ("conj not resolved", torch.tensor([1j]).conj(), torch.tensor([1j])),
        ("neg not resolved", torch.tensor([1j]).conj().imag, torch.tensor([1.0])),
        ("requires_grad", torch.ones(2, requires_grad=True), torch.ones(2)),
        ("parameter", nn.Parameter(torch.ones(2)), torch.ones(2, requires_grad=True)),
        ("frozen parameter", nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2), requires_grad=False)),
        ("lost attribute", attribute(torch.ones(2), note=1), torch.ones(2)),
        ("attribute value", attribute(torch.ones(2), note=1), attribute(torch.ones(2), note=2)),
        ("parameter attribute", attribute(nn.Parameter(ones), note=1), nn.Parameter(torch.ones(4))),
        ("lost metadata", ordered({"": {"version": 1}}), ordered(None)),
        ("metadata value", ordered({"": {"version": 1}}), ordered({"": {"version": 2}})),
        ("metadata type", ordered({"": 1}), ordered(OrderedDict({"": 1}))),
        ("lost sharing", [ones, ones.detach()], [torch.ones(4), torch.ones(4)]),
        ("gained sharing", [torch.ones(4), torch.ones(4)], [ones, ones.detach()]),
        ("sharing in part", [ones[:2], ones[2:]], [torch.ones(2), torch.ones(2)]),
        ("crossed sharing", [ones, values, ones[1:], values[1:]], [ones, values, ones[1:], ones[3:]]),
        ("offset of a view", viewed(lambda t: [t, t[2:5]]), viewed(lambda t: [t, t[3:6]])),
        ("order of views", viewed(lambda t: [t[:4], t[4:8]]), viewed(lambda t: [t[4:8], t[:4]])),
        (
            "strides of a shared view",
            viewed(lambda t: [t, t[:4].view(2, 2)]),
            viewed(lambda t: [t, t[:4].view(2, 2).t()]),
        ),
        ("steps of a shared view", viewed(lambda t: [t, t[:3]]), viewed(lambda t: [t, t[0:6:2]])),
        ("expanded view alone", torch.ones(1).expand(3), torch.ones(3)),
        ("windows alone", torch.zeros(5).unfold(0, 3, 1), torch.zeros(3, 3)),
        ("shared by sparse values", [values, coo([0, 1], values=values)], [torch.ones(2), coo([0, 1])]),
        ("same tensor twice", twice(torch.ones(2)), [values, values.detach()]),
        (
            "same parameter twice",
            twice(nn.Parameter(torch.ones(2))),
            [nn.Parameter(values), nn.Parameter(values)],
        ),
        ("lost identity of a dict", twice({"a": 1}), [{"a": 1}, {"a": 1}]),
        ("gained identity of a dict", [{"a": 1}, {"a": 1}], twice({"a": 1})),
        ("lost identity of a list", twice([]), [[], []]),
        ("lost identity of a tuple", twice(([],)), [([],), ([],)]),
        ("self reference unrolled", own_reference(0), own_reference(1)),
        ("self reference lost", own_reference(0), [[]]),
        ("quantised scale", quantised(0.5), quantised(0.25)),
        ("quantised zero point", quantised(zero=0), quantised(zero=1)),
        ("quantised dtype", quantised(), quantised(dtype=torch.quint8)),
        ("quantised scheme", quantised(), quantised(axis=0)),
        ("quantised axis", quantised(axis=0), quantised(axis=1)),
        ("quantised channel scale", quantised(axis=0), quantised(0.25, axis=0)),
        ("quantised and plain", quantised(), quantised().int_repr()),
        ("sparse indices", coo([0, 1]), coo([0, 2])),
        ("sparse order", coo([0, 1]), coo([1, 0])),
        ("sparse coalesced", coo([0, 1]), coo([0, 1], coalesced=True)),
        ("sparse values", coo([0, 1]), coo([0, 1], values=torch.zeros(2))),
        ("sparse and dense", dense.to_sparse(), dense),
        ("sparse layout", dense.to_sparse_csr(), dense.to_sparse_csc()),
        ("sparse block size", dense.to_sparse_bsr((2, 2)), dense.to_sparse_bsr((1, 1))),
        ("device", torch.ones(2), torch.ones(2, device="meta")),
        ("storage bytes", torch.ones(2).storage(), torch.zeros(2).storage()),
    ]


def equal() -> list[tuple[str, Any, Any]]:
    """Pairs that differ only in what a conversion may change."""
    base = torch.arange(12.0).view(3, 4)
    turned = torch.tensor([1j, 2]).conj()
    return [
        ("conj resolved", {"a": turned}, {"a": turned.resolve_conj()}),
        ("neg resolved", turned.imag, turned.imag.resolve_neg()),
        ("conj apart from its base", [turned, turned.conj()], [turned.resolve_conj(), turned.conj().clone()]),
        ("lone view made contiguous", base.t(), base.t().contiguous()),
        ("lone view made compact", base[1:2, 1:3], base[1:2, 1:3].clone()),
        ("shared views moved together", [base[1], base[1:]], moved(base)),
        ("size-one strides", torch.ones(3, 1), torch.ones(1, 3).t()),
    ]


def moved(base: torch.Tensor) -> list[torch.Tensor]:
    """The second row and the rows from it on, in a storage that begins with them."""
    rest = base[1:].clone()
    return [rest[0], rest]


def mutate(value: Any, chance: random.Random) -> str | None:
    """Changes one random thing in an object; says what, or None if there is nothing to change."""
    containers: list[Any] = []
    seen: set[int] = set()

    def collect(item: Any) -> None:
        if isinstance(item, (dict, list, tuple)) and id(item) not in seen:
            seen.add(id(item))
            if isinstance(item, (dict, list)) and item:
                containers.append(item)
            for inner in list(item.values() if isinstance(item, dict) else item):
                collect(inner)

    collect(value)
    tensors = [
        tensor for _, tensor, _ in walk(value) if tensor.layout == torch.strided and storage_is_read(tensor)
    ]
    if tensors and chance.random() < 0.5:
        tensor = chance.choice(tensors)
        address = chance.randrange(tensor.element_size())
        flat = torch.empty(0, dtype=torch.uint8).set_(tensor.untyped_storage())
        flat[tensor.storage_offset() * tensor.element_size() + address] ^= 1 << chance.randrange(8)
        return "a bit of a tensor"
    if not containers:
        return None
    container = chance.choice(containers)
    key = chance.choice(list(container)) if isinstance(container, dict) else chance.randrange(len(container))
    way = chance.randrange(4)
    if way == 0:
        del container[key]
        return "a deleted item"
    if way == 1 and isinstance(container, dict) and len(container) > 1:
        container[key] = container.pop(next(iter(container)) if key != next(iter(container)) else key)
        return "moved items"
    if way == 2 and isinstance(container[key], (dict, list, set, bytearray)) and container[key]:
        container[key] = copy.copy(container[key])
        container[key].clear()
        return "an emptied container"
    container[key] = ["changed"]
    return "a replaced value"


def storage_is_read(tensor: torch.Tensor) -> bool:
    """Whether a bit of a tensor's first element can be changed."""
    return tensor.numel() > 0 and tensor.device.type == "cpu"


def run(seed: int, count: int) -> tuple[int, int]:
    """Runs all self tests, printing a line each; returns how many passed and failed."""
    results: list[bool] = []

    def report(name: str, problem: str | None) -> None:
        results.append(problem is None)
        print(f"ok   {name}" if problem is None else f"FAIL {name}: {problem}")

    for name, left, right in unequal():
        found = differences(left, right) and differences(right, left)
        report(f"differs: {name}", None if found else "not noticed")
        same = [*differences(left, through_torch(left)), *differences(right, through_torch(right))]
        report(f"equal: {name}", "; ".join(same) or None)
    for name, left, right in equal():
        report(f"allowed: {name}", "; ".join(differences(left, right)) or None)

    objects = [(item.name, lambda item=item: build(item)) for item in CASES]
    objects += [
        (f"random {number}", lambda number=number: generate(number)) for number in range(seed, seed + count)
    ]
    for name, make in objects:
        value = make()
        returned = through_torch(value)
        problems = differences(value, returned)
        if name in NOT_BY_TORCH:
            report(f"torch alone: {name} ({NOT_BY_TORCH[name]})", None if problems else "comes back equal")
            continue
        report(f"torch alone: {name}", "; ".join(problems) or None)
        change = mutate(returned, random.Random(name))
        if change is not None:
            report(f"changed: {name} ({change})", None if differences(value, returned) else "not noticed")
    return sum(results), len(results) - sum(results)
