"""Runs the command and compares what it says and writes with what torch holds."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from command import Failure, Numpack
from compare import holders, overlaps, raw_bytes, storage_identity, walk
from npk_reader import SIDE_INFORMATION, StoreError, read_store

AS_STORED = {
    torch.bfloat16: "uint16",
    torch.complex32: "float16",
    torch.float8_e4m3fn: "uint8",
    torch.float8_e4m3fnuz: "uint8",
    torch.float8_e5m2: "uint8",
    torch.float8_e5m2fnuz: "uint8",
    torch.float8_e8m0fnu: "uint8",
}
UPSTREAM = [
    "bool",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "int8",
    "int16",
    "int32",
    "int64",
    "float16",
    "float32",
    "float64",
    "complex64",
    "complex128",
]
AS_STORED |= {getattr(torch, name): name for name in UPSTREAM}


def load(path: Path, weights_only: bool | None = None, mmap: bool = False) -> tuple[Any, bool]:
    """Loads with torch, weights only if that works or is demanded; says which it was."""
    try:
        return torch.load(path, weights_only=weights_only is not False, mmap=mmap), weights_only is not False
    except Exception as error:
        if weights_only is None:
            return torch.load(path, weights_only=False, mmap=mmap), False
        raise Failure(f"torch.load: {str(error).strip()[-600:]}") from error


@dataclass(frozen=True)
class Named:
    """A tensor that one name alone must mean."""

    tensor: torch.Tensor
    required: bool


def is_ordinary(keys: tuple[Any, ...]) -> bool:
    """Whether the rules for names leave no doubt how these keys are joined."""
    words = [str(key) for key in keys]
    return all(word and word.isprintable() for word in words) and len(".".join(words).encode()) <= 180


def by_name(value: Any) -> dict[str, Named]:
    """The tensors that can be told by their dotted name, and whether that name has to exist."""
    entries = list(walk(value))
    joined = [".".join(map(str, keys)) for keys, _, _ in entries]
    uses = Counter(joined)
    uses_on_disk = Counter(map(file_name, joined))
    named: dict[str, Named] = {}
    for name, (keys, tensor, again) in zip(joined, entries, strict=True):
        certain = keys and all(type(key) in (str, int) for key in keys)
        if (
            certain
            and uses[name] == 1
            and "~" not in name
            and name != SIDE_INFORMATION
            and is_strided(tensor)
        ):
            alone = uses_on_disk[file_name(name)] == 1
            named[name] = Named(tensor, alone and not again and is_ordinary(keys))
    return named


def file_name(name: str) -> str:
    """What a name looks like to a file system that ignores case."""
    return name.replace("/", "%2F").casefold()


def is_strided(tensor: torch.Tensor) -> bool:
    """Whether a tensor is plain numbers in memory."""
    if tensor.is_nested or tensor.is_quantized or tensor.device.type == "meta":
        return False
    return tensor.layout == torch.strided


def place(tensor: Any) -> Any:
    """Where in its storage a tensor lies."""
    if not isinstance(tensor, torch.Tensor):
        return None
    return tensor.storage_offset(), tuple(tensor.shape), tensor.stride(), tensor.is_conj(), tensor.is_neg()


def check_store(value: Any, path: Path, stem: str) -> int:
    """Compares a store's arrays with the tensors of their names; returns how many there were."""
    try:
        store = read_store(path)
    except (OSError, StoreError) as error:
        raise Failure(str(error)) from error
    places: dict[int, list[Any]] = defaultdict(list)
    for holder in holders(value):
        places[storage_identity(holder)].append(place(holder))

    root_is_tensor = isinstance(value, torch.Tensor) and is_strided(value)
    named = {stem: Named(value, True)} if root_is_tensor else by_name(value)
    matched = 0
    for name, entry in named.items():
        tensor, shared = entry.tensor, places[storage_identity(entry.tensor)]
        if len(set(shared)) > 1 or overlaps(tensor):
            continue
        if name not in store.arrays:
            if entry.required and len(shared) == 1:
                raise Failure(f"no array {name!r} among {sorted(store.arrays)!r:.500}")
            continue
        compare_array(name, tensor, store.arrays[name])
        matched += 1
    return matched


def compare_array(name: str, tensor: torch.Tensor, array: Any) -> None:
    """Compares one stored array with its tensor."""
    expected = AS_STORED.get(tensor.dtype)
    if expected is not None:
        if array.dtype.name != expected:
            raise Failure(f"array {name!r} of a {tensor.dtype} is {array.dtype.name}, expected {expected}")
        shape = tuple(tensor.shape) or (1,)
        shapes = [(*shape, 2), (*tensor.shape, 2)] if tensor.dtype == torch.complex32 else [shape]
        if array.shape not in shapes:
            raise Failure(f"array {name!r} has the shape {array.shape}, expected {shapes[0]}")
    if array.tobytes() != raw_bytes(tensor):
        raise Failure(f"array {name!r}: bytes differ from the tensor's")


def check_listing(value: Any, listing: Any) -> None:
    """Compares ``ls --json --sha256`` of a torch file with what torch loads from it."""
    if missing := {"path", "format", "tensors"} - set(listing):
        raise Failure(f"keys {sorted(missing)} are missing")
    entries = listing["tensors"]
    listed = {entry["name"]: entry for entry in entries}
    if len(listed) < len(entries):
        raise Failure("two tensors have one name")
    if isinstance(value, torch.Tensor):
        if is_strided(value):
            if len(entries) != 1:
                raise Failure(f"{len(entries)} tensors are listed for one")
            compare_entry(entries[0], value)
        return
    storages: dict[Any, int] = {}
    for name, named in by_name(value).items():
        if name not in listed:
            if named.required:
                raise Failure(f"{name!r} is not listed among {list(listed)!r:.500}")
            continue
        entry, identity = listed[name], storage_identity(named.tensor)
        compare_entry(entry, named.tensor)
        if "storage" in entry and storages.setdefault(entry["storage"], identity) != identity:
            raise Failure(
                f"{name!r}: storage {entry['storage']!r} is not that of other tensors listed with it"
            )


def compare_entry(entry: dict[str, Any], tensor: torch.Tensor) -> None:
    """Compares one tensor as listed with the tensor."""
    expected = {
        "dtype": str(tensor.dtype).removeprefix("torch."),
        "shape": list(tensor.shape),
        "nbytes": tensor.numel() * tensor.element_size(),
        "sha256": hashlib.sha256(raw_bytes(tensor)).hexdigest(),
    }
    optional = {
        "stride": list(tensor.stride()),
        "offset": tensor.storage_offset(),
        "requires_grad": tensor.requires_grad,
    }
    expected |= {key: fact for key, fact in optional.items() if entry.get(key) is not None}
    for key, fact in expected.items():
        if entry.get(key) != fact:
            raise Failure(f"{entry['name']!r}: {key} is {entry.get(key)!r}, expected {fact!r}")
