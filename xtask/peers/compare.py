"""Deep equality of two loaded checkpoints, to the bit and including what is shared.

Three things are allowed to differ, because a conversion is allowed to change them:
conj and neg may be resolved, a lone view without overlaps may become contiguous,
and a lone view may get a storage of its own size. A view is lone where no other
part of its storage is shown, however many names it has.
"""

from __future__ import annotations

import itertools
import struct
import types
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

EXACT = (type(None), bool, int, str, bytes, bytearray, type(...), type(NotImplemented), slice, range)
CONSTANTS = (
    *(torch.dtype, torch.device, torch.layout, torch.memory_format, torch.qscheme, type),
    *(types.FunctionType, types.BuiltinFunctionType),
)
STORAGES = (torch.storage.TypedStorage, torch.UntypedStorage)
COMPRESSED_PARTS = {
    torch.sparse_csr: ("crow_indices", "col_indices", "values"),
    torch.sparse_bsr: ("crow_indices", "col_indices", "values"),
    torch.sparse_csc: ("ccol_indices", "row_indices", "values"),
    torch.sparse_bsc: ("ccol_indices", "row_indices", "values"),
}


def differences(reference: Any, found: Any, sharing: bool = True) -> list[str]:
    """What distinguishes ``found`` from ``reference``; empty if nothing does."""
    comparison = Comparison()
    comparison.values("root", reference, found)
    if sharing:
        comparison.sharing()
    return comparison.problems


def holders(value: Any) -> list[Any]:
    """Every tensor and bare storage in ``value``, also those inside attributes and sparse tensors."""
    comparison = Comparison()
    comparison.values("root", value, value)
    return [reference for _, reference, _ in comparison._holders]


def untyped(owner: Any) -> Any:
    """The untyped storage behind a tensor or a storage, by the name it has in this torch."""
    if isinstance(owner, torch.Tensor):
        owner = owner.untyped_storage() if hasattr(owner, "untyped_storage") else owner.storage()
    if isinstance(owner, torch.storage.TypedStorage):
        return owner._untyped_storage if hasattr(owner, "_untyped_storage") else owner._storage
    return owner


def raw_bytes(tensor: torch.Tensor) -> bytes:
    """The logical elements of a strided tensor in C order, read straight from its storage."""
    if tensor.is_conj() or tensor.is_neg():
        tensor = tensor.detach().resolve_conj().resolve_neg()
    if tensor.numel() == 0:
        return b""
    flat = torch.empty(0, dtype=torch.uint8).set_(untyped(tensor)).numpy()
    size = tensor.element_size()
    items = np.lib.stride_tricks.as_strided(
        flat[tensor.storage_offset() * size :],
        (*tensor.shape, size),
        (*(stride * size for stride in tensor.stride()), 1),
        writeable=False,
    )
    return items.tobytes()


def overlaps(tensor: torch.Tensor) -> bool:
    """Whether two elements of a strided tensor lie at one address."""
    if tensor.numel() < 2:
        return False
    offsets = np.zeros((1,), np.int64)
    for size, stride in zip(tensor.shape, tensor.stride(), strict=True):
        offsets = (offsets[:, None] + np.arange(size) * stride).ravel()
    return len(np.unique(offsets)) < len(offsets)


def steps(tensor: torch.Tensor) -> list[int | None]:
    """The strides that take part in finding elements."""
    if tensor.numel() == 0:
        return []
    return [stride if size > 1 else None for size, stride in zip(tensor.shape, tensor.stride(), strict=True)]


def bits(value: float) -> bytes:
    """A float's eight bytes, which tell apart -0.0 and the kinds of nan."""
    return struct.pack("<d", value)


def storage_identity(owner: Any) -> int:
    """A number that two tensors or storages have in common exactly if they share memory."""
    return untyped(owner)._cdata


def parts(tensor: torch.Tensor) -> dict[str, torch.Tensor]:
    """The strided tensors that a sparse tensor consists of."""
    if tensor.layout == torch.sparse_coo:
        return {"_indices()": tensor._indices(), "_values()": tensor._values()}
    return {f"{part}()": getattr(tensor, part)() for part in COMPRESSED_PARTS[tensor.layout]}


class Comparison:
    """One walk over two objects side by side."""

    LIMIT = 20

    def __init__(self) -> None:
        self.problems: list[str] = []
        self._kept: list[Any] = []
        self._found_of: dict[int, Any] = {}
        self._reference_of: dict[int, Any] = {}
        self._holders: list[tuple[str, Any, Any]] = []

    def note(self, path: str, problem: str) -> None:
        """Records a difference, up to a limit."""
        if len(self.problems) < self.LIMIT:
            self.problems.append(f"{path}: {problem}")

    def same(self, path: str, what: str, reference: Any, found: Any) -> bool:
        """Notes a difference of a property that ``==`` decides."""
        if equal := bool(reference == found):
            return equal
        self.note(path, f"{what} is {found!r}, expected {reference!r}")
        return equal

    def values(self, path: str, reference: Any, found: Any) -> None:
        """Compares two values of any kind."""
        if type(reference) is not type(found):
            self.note(path, f"type is {type(found).__name__}, expected {type(reference).__name__}")
        elif isinstance(reference, (float, complex)) and not isinstance(reference, np.generic):
            same = all(
                bits(getattr(reference, half)) == bits(getattr(found, half)) for half in ("real", "imag")
            )
            if not same:
                self.note(path, f"value is {found!r}, expected {reference!r}")
        elif isinstance(reference, np.generic):
            self.same(path, "numpy dtype", reference.dtype, found.dtype)
            self.same(path, "bytes", reference.tobytes(), found.tobytes())
        elif isinstance(reference, CONSTANTS) or (
            isinstance(reference, EXACT) and type(reference) is not bytearray
        ):
            self.same(path, "value", reference, found)
        elif self.first_meeting(path, reference, found):
            self.objects(path, reference, found)

    def first_meeting(self, path: str, reference: Any, found: Any) -> bool:
        """Whether this pair is new; notes a pair whose halves were paired otherwise before."""
        if type(reference) is tuple and not reference:
            return True
        known, known_back = self._found_of.get(id(reference)), self._reference_of.get(id(found))
        if known is None and known_back is None:
            self._kept += [reference, found]
            self._found_of[id(reference)] = found
            self._reference_of[id(found)] = reference
            return True
        if known is None:
            self.note(path, "is one object with another place, where the reference has two")
        elif known is not found:
            self.note(path, "is an object of its own, where the reference shares one with another place")
        return False

    def objects(self, path: str, reference: Any, found: Any) -> None:
        """Compares two objects that have an identity."""
        if isinstance(reference, torch.Tensor):
            self.tensors(path, reference, found)
        elif isinstance(reference, STORAGES):
            self.storages(path, reference, found)
        elif isinstance(reference, np.ndarray):
            self.arrays(path, reference, found)
        elif isinstance(reference, dict):
            self.dicts(path, reference, found)
        elif isinstance(reference, (set, frozenset)):
            self.same(path, "set", sorted(map(repr, reference)), sorted(map(repr, found)))
        elif isinstance(reference, bytearray):
            self.same(path, "value", reference, found)
        elif isinstance(reference, (list, tuple)) or type(reference).__name__ == "deque":
            if self.same(path, "length", len(reference), len(found)):
                for index, (left, right) in enumerate(zip(reference, found, strict=True)):
                    self.values(f"{path}[{index}]", left, right)
        else:
            self.recipes(path, reference, found)
            return
        if (attributes := getattr(reference, "__dict__", None)) is not None and not isinstance(
            reference, STORAGES
        ):
            self.values(f"{path}.__dict__", dict(attributes), dict(found.__dict__))

    def recipes(self, path: str, reference: Any, found: Any) -> None:
        """Compares objects of any other class by what pickle would write of them."""
        if reference is found:
            return
        left, right = reference.__reduce_ex__(2), found.__reduce_ex__(2)
        if isinstance(left, str) or isinstance(right, str):
            self.same(path, "name", left, right)
            return
        names = ("callable", "arguments", "state", "items", "pairs")
        for name, one, other in itertools.zip_longest(names, left, right):
            if name == "callable":
                self.same(path, name, one, other)
            elif name in ("items", "pairs"):
                self.values(f"{path}.{name}", list(one or ()), list(other or ()))
            else:
                self.values(f"{path}.{name}", one, other)

    def dicts(self, path: str, reference: dict[Any, Any], found: dict[Any, Any]) -> None:
        """Compares keys with their types and order, then values."""
        if not self.same(path, "length", len(reference), len(found)):
            self.note(path, f"keys are {list(found)!r:.200}, expected {list(reference)!r:.200}")
            return
        before = len(self.problems)
        for index, (left, right) in enumerate(zip(reference, found, strict=True)):
            self.values(f"{path}.keys()[{index}]", left, right)
        if len(self.problems) == before:
            for (key, left), right in zip(reference.items(), found.values(), strict=True):
                self.values(f"{path}[{key!r:.80}]", left, right)
        if hasattr(reference, "default_factory"):
            self.same(path, "default factory", reference.default_factory, found.default_factory)

    def arrays(self, path: str, reference: np.ndarray, found: np.ndarray) -> None:
        """Compares numpy arrays."""
        self.same(path, "numpy dtype", reference.dtype, found.dtype)
        self.same(path, "shape", reference.shape, found.shape)
        self.same(path, "fortran order", reference.flags.fnc, found.flags.fnc)
        if reference.dtype.hasobject:
            self.values(f"{path}.tolist()", reference.tolist(), found.tolist())
        else:
            self.same(path, "bytes", reference.tobytes(), found.tobytes())

    def storages(self, path: str, reference: Any, found: Any) -> None:
        """Compares storages that stand in an object without a tensor."""
        if isinstance(reference, torch.storage.TypedStorage):
            self.same(path, "dtype", reference.dtype, found.dtype)
            reference, found = untyped(reference), untyped(found)
        self.same(path, "bytes", bytes(reference.tolist()), bytes(found.tolist()))
        self._holders.append((path, reference, found))

    def tensors(self, path: str, reference: torch.Tensor, found: torch.Tensor) -> None:
        """Compares everything about two tensors but what they share."""
        alike = [
            self.same(path, name, getattr(reference, name), getattr(found, name))
            for name in ("dtype", "layout", "device", "is_quantized", "is_nested", "requires_grad")
        ]
        if all(alike) and not reference.is_nested:
            alike.append(self.same(path, "shape", tuple(reference.shape), tuple(found.shape)))
        if not all(alike) or reference.device.type == "meta":
            return
        if reference.is_nested:
            self.values(f"{path}.unbind()", list(reference.detach().unbind()), list(found.detach().unbind()))
        elif reference.layout != torch.strided:
            if reference.layout == torch.sparse_coo:
                self.same(path, "is_coalesced()", reference.is_coalesced(), found.is_coalesced())
            found_parts = parts(found.detach())
            for name, part in parts(reference.detach()).items():
                self.values(f"{path}.{name}", part, found_parts[name])
        else:
            if raw_bytes(reference) != raw_bytes(found):
                self.note(path, "bytes differ")
            if reference.is_quantized:
                self.quantizers(path, reference, found)
            self._holders.append((path, reference, found))

    def quantizers(self, path: str, reference: torch.Tensor, found: torch.Tensor) -> None:
        """Compares how two quantised tensors map integers to numbers."""
        if not self.same(path, "qscheme()", reference.qscheme(), found.qscheme()):
            return
        if reference.qscheme() in (torch.per_tensor_affine, torch.per_tensor_symmetric):
            self.values(f"{path}.q_scale()", reference.q_scale(), found.q_scale())
            self.values(f"{path}.q_zero_point()", reference.q_zero_point(), found.q_zero_point())
            return
        self.same(path, "axis", reference.q_per_channel_axis(), found.q_per_channel_axis())
        for left, right, name in [
            (reference.q_per_channel_scales(), found.q_per_channel_scales(), "scales"),
            (reference.q_per_channel_zero_points(), found.q_per_channel_zero_points(), "zero points"),
        ]:
            self.same(path, f"dtype of {name}", left.dtype, right.dtype)
            self.same(path, name, raw_bytes(left), raw_bytes(right))

    def sharing(self) -> None:
        """Compares which tensors share a storage, and where in it they lie."""
        pairs: dict[int, int] = {}
        back: dict[int, int] = {}
        groups: dict[int, list[tuple[str, Any, Any]]] = {}
        for path, reference, found in self._holders:
            if is_resolved_on_writing(reference) or storage_bytes(reference) == 0:
                continue
            left, right = storage_identity(reference), storage_identity(found)
            if pairs.setdefault(left, right) != right:
                self.note(path, "has a storage of its own, where the reference shares one")
            elif back.setdefault(right, left) != left:
                self.note(path, "shares a storage, where the reference has one of its own")
            groups.setdefault(left, []).append((path, reference, found))
        for group in groups.values():
            self.places(group)

    def places(self, group: list[tuple[str, Any, Any]]) -> None:
        """Compares offsets and strides of the tensors of one storage."""
        tensors = [entry for entry in group if isinstance(entry[1], torch.Tensor)]
        if len(group) == len(tensors) and len({placing(reference) for _, reference, _ in tensors}) == 1:
            for path, reference, found in tensors:
                if overlaps(reference) or overlaps(found):
                    self.same(path, "strides", steps(reference), steps(found))
            return
        absolute = len(tensors) < len(group)
        first = [0 if absolute else min(entry[side].storage_offset() for entry in tensors) for side in (1, 2)]
        for path, reference, found in tensors:
            offsets = reference.storage_offset() - first[0], found.storage_offset() - first[1]
            self.same(path, "offset in the shared storage", *offsets)
            self.same(path, "strides", steps(reference), steps(found))


def placing(tensor: torch.Tensor) -> tuple[Any, ...]:
    """Where in its storage a tensor's elements lie."""
    return tensor.dtype, tensor.storage_offset(), tuple(tensor.shape), tensor.stride()


def is_resolved_on_writing(owner: Any) -> bool:
    """Whether a tensor's elements are not what its storage holds."""
    return isinstance(owner, torch.Tensor) and (owner.is_conj() or owner.is_neg())


def storage_bytes(owner: Any) -> int:
    """The size of the storage behind a tensor, or of a storage."""
    return untyped(owner).nbytes()


def walk(value: Any) -> Iterator[tuple[tuple[Any, ...], torch.Tensor, bool]]:
    """Each tensor below ``value`` with its keys, and whether it was met before at another path."""
    seen: set[int] = set()

    def below(item: Any, path: tuple[Any, ...], above: frozenset[int], again: bool) -> Iterator[Any]:
        again = again or id(item) in seen
        if isinstance(item, torch.Tensor):
            yield path, item, again
            seen.add(id(item))
        elif isinstance(item, (dict, list, tuple)) and id(item) not in above:
            seen.add(id(item))
            for key, inner in item.items() if isinstance(item, dict) else enumerate(item):
                yield from below(inner, (*path, key), above | {id(item)}, again)

    yield from below(value, (), frozenset(), False)
