"""What torch holds, as plain values that another version of torch can be compared with.

Tensors are named here by rules of our own making from the documentation of ``numpack
ls``: keys, indices and names of attributes joined by dots, every path, in order.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from compare import COMPRESSED_PARTS, raw_bytes, untyped

MOST = 4000
PLAIN = (type(None), bool, int, float, str, bytes, complex)


class TooMany(Exception):
    """An object has more paths than are worth comparing."""


def text(key: Any) -> str:
    """A key as it stands in a name."""
    if type(key) is str:
        return key.encode("utf-8", "surrogatepass").decode("utf-8", "replace")
    return str(key)


class Naming:
    """One walk along every path of an object."""

    def __init__(self) -> None:
        self.found: list[tuple[str, torch.Tensor]] = []
        self.values: list[tuple[str, Any]] = []
        self.kept: list[Any] = []
        self.parts: dict[int, list[tuple[str, Any]]] = {}
        self.steps = 0

    def below(self, value: Any, path: tuple[str, ...], above: frozenset[int]) -> None:
        """Walks on from a value, but not into what it is part of."""
        self.steps += 1
        if self.steps > MOST:
            raise TooMany
        if id(value) in above:
            return
        if type(value) in PLAIN:
            self.values.append((".".join(path), value))
            return
        if type(value) in (set, frozenset):
            self.values.append((".".join(path), sorted(map(repr, value))))
            return
        above |= {id(value)}
        # What a recipe gave must live on, or another object gets its identity.
        self.kept.append(value)
        for label, child in self.children(value, path):
            self.below(child, (*path, label), above)

    def children(self, value: Any, path: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
        """The parts of a value, with the words that lead there."""
        if isinstance(value, torch.Tensor):
            yield from self.tensor(value, path)
        elif isinstance(value, nn.Module):
            hidden = value._non_persistent_buffers_set
            kinds = value._parameters, value._buffers, value._modules
            for kind in kinds:
                shown = kind is not value._buffers
                yield from (
                    (text(k), v)
                    for k, v in kind.items()
                    if v is not None and (shown or k not in hidden)
                )
        elif type(value).__name__ in ("dict", "OrderedDict"):
            yield from ((text(key), inner) for key, inner in value.items())
            yield from self.attributes(vars(value) if hasattr(value, "__dict__") else None)
        elif type(value) in (list, tuple):
            yield from ((str(index), inner) for index, inner in enumerate(value))
        elif not isinstance(value, (type, torch.dtype, torch.storage.TypedStorage, torch.UntypedStorage)):
            yield from self.recipe(value)

    def tensor(self, value: torch.Tensor, path: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
        """A tensor itself, its parts, and its attributes."""
        if value.is_nested or value.layout != torch.strided:
            # Each call makes new tensors of them.
            if id(value) not in self.parts:
                self.parts[id(value)] = list(self.tensor_parts(value.detach()))
            yield from self.parts[id(value)]
        elif value.device.type != "meta":
            self.found.append((".".join(path), value))
            yield from self.attributes(value.__dict__ or None)

    def tensor_parts(self, value: torch.Tensor) -> Iterator[tuple[str, Any]]:
        """The strided tensors that another one is written as."""
        if value.is_nested:
            arguments = value.__reduce_ex__(2)[1]
            yield from ((str(index), part) for index, part in enumerate(arguments[-4:]))
        elif value.layout == torch.sparse_coo:
            yield from (("indices", value._indices()), ("values", value._values()))
        else:
            yield from ((name, getattr(value, name)()) for name in COMPRESSED_PARTS[value.layout])

    def attributes(self, state: Any) -> Iterator[tuple[str, Any]]:
        """What was set on an object: a dict, or a pair of dicts where it has slots."""
        if type(state) is tuple and len(state) == 2 and all(type(s) in (dict, type(None)) for s in state):
            for part in state:
                yield from self.attributes(part)
        elif isinstance(state, dict):
            yield from ((text(key), inner) for key, inner in state.items())
        elif type(state) in (list, tuple):
            yield from ((str(index), inner) for index, inner in enumerate(state))
        elif isinstance(state, torch.Tensor):
            yield "state", state

    def recipe(self, value: Any) -> Iterator[tuple[str, Any]]:
        """The parts of an object of any other class, as pickle writes them."""
        made = value.__reduce_ex__(2)
        if isinstance(made, str):
            return
        function, arguments, state, items, pairs = (*made, None, None, None)[:5]
        if function.__name__ == "__newobj__":
            arguments = arguments[1:]
        yield from ((str(index), inner) for index, inner in enumerate(arguments or ()))
        yield from self.attributes(state)
        yield from ((str(index), inner) for index, inner in enumerate(items or ()))
        yield from ((text(key), inner) for key, inner in pairs or ())


def unique(names: list[str]) -> list[str]:
    """Names of which each is one tensor's, the later ones with a number behind them."""
    used: set[str] = set()
    made = []
    for name in names:
        number, chosen = 0, name
        while chosen in used:
            number += 1
            chosen = f"{name}~{number}"
        used.add(chosen)
        made.append(chosen)
    return made


def spans(tensors: list[torch.Tensor]) -> dict[int, tuple[int, int]]:
    """For each storage a number that those share that lie in one another, and the first byte."""
    places = {untyped(tensor)._cdata: untyped(tensor) for tensor in tensors}
    ordered = sorted(places.items(), key=lambda item: (item[1].data_ptr(), -item[1].nbytes()))
    made: dict[int, tuple[int, int]] = {}
    group, start, end = 0, 0, 0
    for identity, storage in ordered:
        first, size = storage.data_ptr(), storage.nbytes()
        if size == 0 or first >= end:
            group += 1
            start, end = first, first + size
        end = max(end, first + size)
        made[identity] = group, start
    return made


def tensor_facts(tensors: list[tuple[str, torch.Tensor]]) -> list[dict[str, Any]]:
    """What ``numpack ls --json --sha256`` should say of each."""
    places = spans([tensor for _, tensor in tensors])
    facts = []
    for name, (_, tensor) in zip(unique([name for name, _ in tensors]), tensors, strict=True):
        storage = untyped(tensor)
        group, start = places[storage._cdata]
        moved = (storage.data_ptr() - start) // tensor.element_size() if storage.nbytes() else 0
        facts.append({
            "name": name,
            "dtype": str(tensor.dtype).replace("torch.", ""),
            "shape": list(tensor.shape),
            "stride": list(tensor.stride()),
            "offset": tensor.storage_offset() + moved,
            "storage": group if storage.nbytes() else None,
            "requires_grad": tensor.requires_grad,
            "resolved": tensor.is_conj() or tensor.is_neg(),
            "nbytes": tensor.numel() * tensor.element_size(),
            "sha256": hashlib.sha256(raw_bytes(tensor)).hexdigest(),
        })  # fmt: skip
    return facts


def root_kind(value: Any) -> str:
    """The kind of an object."""
    if isinstance(value, torch.Tensor):
        return "tensor"
    return "dict" if type(value).__name__ in ("dict", "OrderedDict") else type(value).__name__


def truth(value: Any) -> dict[str, Any]:
    """All that is known of an object without its classes."""
    naming = Naming()
    naming.below(value, (), frozenset())
    return {
        "root": root_kind(value),
        "distinct": len({id(tensor) for _, tensor in naming.found}),
        "tensors": tensor_facts(naming.found),
        "values": [[name, type(value).__name__, repr(value)] for name, value in naming.values],
    }
