"""Files that torch wrote long ago, made by hand from how torch still reads them.

Both kinds may have storages that are parts of others, which no torch of today
writes. Tensors are given to the pickler as references here, so that it writes the
storages that were chosen for them.
"""

from __future__ import annotations

import io
import pickle
import random
import struct
import tarfile
from pathlib import Path
from typing import Any

import torch

from compare import untyped

MAGIC = 0x1950A86A20F9469CFC6C


class Cut:
    """A storage as the file has it: a root, or a part of one."""

    def __init__(
        self, key: int, root: Any, dtype: torch.dtype, offset: int, numel: int, whole: Cut | None
    ) -> None:
        self.key, self.root, self.dtype = key, root, dtype
        self.offset, self.numel, self.whole = offset, numel, whole

    @property
    def kind(self) -> Any:
        """The class of the storage."""
        typed = torch.storage.TypedStorage(wrap_storage=self.root, dtype=self.dtype)
        return getattr(torch, typed.pickle_storage_type())

    def data(self) -> bytes:
        """The elements of a root."""
        return torch.empty(0, dtype=torch.uint8).set_(self.root).numpy().tobytes()


class Cutter:
    """Gives each tensor a storage: its own, or a part of it that covers the tensor."""

    def __init__(self, chance: random.Random) -> None:
        self.random = chance
        self.roots: dict[int, Cut] = {}
        self.cuts: list[Cut] = []

    def add(self, root: Any, dtype: torch.dtype, offset: int, numel: int, whole: Cut | None) -> Cut:
        """A storage of its own key."""
        made = Cut(1000 + 16 * len(self.cuts), root, dtype, offset, numel, whole)
        self.cuts.append(made)
        return made

    def whole(self, owner: Any) -> Cut:
        """All of the storage behind a tensor, or of a storage."""
        storage = untyped(owner)
        root = self.roots.get(storage._cdata)
        if root is None:
            numel = storage.nbytes() // torch.empty(0, dtype=owner.dtype).element_size()
            root = self.roots[storage._cdata] = self.add(storage, owner.dtype, 0, numel, None)
        if root.dtype != owner.dtype:
            raise RuntimeError("one storage is shown as two types")
        return root

    def of(self, tensor: torch.Tensor) -> Cut:
        """The storage for a tensor."""
        root = self.whole(tensor)
        if self.random.random() < 0.5 or tensor.numel() == 0:
            return root
        last = tensor.storage_offset() + sum(
            (size - 1) * step for size, step in zip(tensor.shape, tensor.stride(), strict=True)
        )
        first = self.random.randint(0, tensor.storage_offset())
        end = self.random.randint(last + 1, root.numel)
        return self.add(root.root, tensor.dtype, first, end - first, root)


class Reference:
    """Stands for a storage in the pickle."""

    def __init__(self, cut: Cut) -> None:
        self.cut = cut


def arguments(tensor: torch.Tensor, cut: Cut) -> tuple[Any, ...]:
    """What rebuilds a tensor in a storage."""
    return (
        Reference(cut),
        tensor.storage_offset() - cut.offset,
        tuple(tensor.shape),
        tensor.stride(),
        tensor.requires_grad,
        {},
    )


def is_plain(tensor: torch.Tensor) -> bool:
    """Whether a tensor is nothing but numbers in a storage."""
    if tensor.layout != torch.strided or tensor.is_quantized or tensor.is_nested or tensor.__dict__:
        return False
    return not tensor.is_conj() and not tensor.is_neg() and tensor.device.type == "cpu"


class LegacyPickler(pickle.Pickler):
    """Writes storages as torch 0.4 did."""

    def __init__(self, file: Any, protocol: int, cutter: Cutter) -> None:
        super().__init__(file, protocol)
        self.cutter = cutter

    def reducer_override(self, value: Any) -> Any:
        """How a tensor is written."""
        if type(value) is torch.Tensor and is_plain(value):
            return torch._utils._rebuild_tensor_v2, arguments(value, self.cutter.of(value))
        return NotImplemented

    def persistent_id(self, value: Any) -> Any:
        """How a storage is written."""
        if isinstance(value, Reference):
            cut = value.cut
        elif isinstance(value, torch.storage.TypedStorage):
            cut = self.cutter.whole(value)
        else:
            return None
        whole = cut.whole or cut
        part = None if cut.whole is None else (str(cut.key), cut.offset, cut.numel)
        return "storage", whole.kind, str(whole.key), "cpu", whole.numel, part


def write_legacy(value: Any, path: Path, chance: random.Random, protocol: int) -> None:
    """The stream that torch wrote before 1.6, with storages that are parts of others."""
    cutter = Cutter(chance)
    body = io.BytesIO()
    LegacyPickler(body, protocol, cutter).dump(value)
    roots = list(cutter.roots.values())
    chance.shuffle(roots)
    sizes = {"short": 2, "int": 4, "long": 4}
    with path.open("wb") as file:
        for part in (MAGIC, 1001, {"protocol_version": 1001, "little_endian": True, "type_sizes": sizes}):
            pickle.dump(part, file, protocol)
        file.write(body.getvalue())
        pickle.dump([str(root.key) for root in roots], file, protocol)
        for root in roots:
            file.write(struct.pack("<q", root.numel) + root.data())


class TarPickler(pickle.Pickler):
    """Writes tensors as numbers."""

    def __init__(self, file: Any, protocol: int, cutter: Cutter) -> None:
        super().__init__(file, protocol)
        self.cutter = cutter
        self.tensors: dict[int, tuple[int, torch.Tensor, Cut]] = {}

    def reducer_override(self, value: Any) -> Any:
        """A parameter is what rebuilds one."""
        if type(value) is torch.nn.Parameter:
            return torch._utils._rebuild_parameter, (value.data, value.requires_grad, {})
        return NotImplemented

    def persistent_id(self, value: Any) -> Any:
        """The number of a tensor."""
        if type(value) is not torch.Tensor:
            return None
        if value.requires_grad or not is_plain(value):
            raise RuntimeError("torch 0.1 had no such tensor")
        if id(value) not in self.tensors:
            self.tensors[id(value)] = 5 + 16 * len(self.tensors), value, self.cutter.of(value)
        return self.tensors[id(value)][0]


def write_tar(value: Any, path: Path, chance: random.Random) -> None:
    """The archive that torch 0.1 wrote."""
    cutter, body, protocol = Cutter(chance), io.BytesIO(), 2
    pickler = TarPickler(body, protocol, cutter)
    pickler.dump(value)
    storages, tensors = io.BytesIO(), io.BytesIO()
    roots = list(cutter.roots.values())
    pickle.dump(len(roots), storages, protocol)
    for root in roots:
        pickle.dump((root.key, "cpu", root.kind), storages, protocol)
        storages.write(struct.pack("<q", root.numel) + root.data())
    parts = [(cut.key, cut.whole.key, cut.offset, cut.numel) for cut in cutter.cuts if cut.whole]
    pickle.dump(parts, storages, protocol)
    pickle.dump(len(pickler.tensors), tensors, protocol)
    for key, tensor, cut in pickler.tensors.values():
        pickle.dump((key, cut.key, torch.FloatTensor), tensors, protocol)
        numbers = [*tensor.shape, *tensor.stride(), tensor.storage_offset() - cut.offset]
        tensors.write(struct.pack(f"<ii{len(numbers)}q", tensor.dim(), 0, *numbers))
    system = io.BytesIO()
    pickle.dump({"protocol_version": 1000, "little_endian": True}, system, protocol)
    members = {"sys_info": system, "pickle": body, "tensors": tensors, "storages": storages}
    style = chance.choice([tarfile.PAX_FORMAT, tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT])
    with tarfile.open(path, "w:", format=style) as archive:
        for name, stream in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(stream.getvalue())
            stream.seek(0)
            archive.addfile(info, stream)
