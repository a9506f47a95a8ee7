"""A writer for each container that one process can write."""

from __future__ import annotations

import io
import json
import pickle
import random
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

import distributed_files
import export_files
import streams
from mixtures import OLD, TYPED_KINDS, Mixture


def zip_default(mixture: Mixture, value: Any, base: Path) -> Path:
    """``torch.save`` with one of the protocols, to a file or a stream."""
    chance = mixture.random
    path = base.with_name(base.name + chance.choice([".pt", ".pth", ".bin", ".tar.ckpt", ""]))
    protocol = chance.choice([2, 2, 2, 3, 4, 5])
    if chance.random() < 0.6:
        torch.save(value, path, pickle_protocol=protocol)
    else:
        stream = io.BytesIO()
        torch.save(value, stream, pickle_protocol=protocol)
        path.write_bytes(stream.getvalue())
    return path


def zip_repacked(mixture: Mixture, value: Any, base: Path) -> Path:
    """An archive that somebody unpacked and packed again."""
    chance = mixture.random
    stream, path = io.BytesIO(), base.with_suffix(".pt")
    torch.save(value, stream)
    way = chance.choice([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
    with zipfile.ZipFile(stream) as source, zipfile.ZipFile(path, "w", way) as target:
        folders = {name.split("/")[0] + "/" for name in source.namelist()}
        for folder in folders if chance.random() < 0.3 else ():
            target.writestr(folder, b"")
        for name in source.namelist():
            target.writestr(name, source.read(name))
        if chance.random() < 0.3:
            target.comment = b"packed again"
    return path


def zip_settings(mixture: Mixture, value: Any, base: Path) -> Path:
    """``torch.save`` with settings that only newer versions have."""
    from torch.utils.serialization import config

    path = base.with_suffix(".pt")
    wanted = {"save.compute_crc32": mixture.random.random() < 0.3}
    wanted["save.storage_alignment"] = mixture.random.choice([64, 128, 4096])
    with config.patch(wanted):
        torch.save(value, path)
    return path


class Storages(pickle.Unpickler):
    """Finds the type of each storage, and of the tensors in those that have none."""

    def __init__(self, data: bytes) -> None:
        super().__init__(io.BytesIO(data))
        self.kinds: dict[str, torch.dtype | None] = {}

    def persistent_load(self, pid: Any) -> Any:
        """Notes a storage, and gives an empty one of its key."""
        _, kind, key, _, numel = pid
        dtype = None if kind is torch.UntypedStorage else kind.dtype
        self.kinds.setdefault(key, dtype)
        size = torch.empty(0, dtype=dtype or torch.uint8).element_size()
        storage = torch.UntypedStorage(numel * size).fill_(0)
        storage.key = key
        return torch.storage.TypedStorage(wrap_storage=storage, dtype=dtype or torch.uint8, _internal=True)

    def find_class(self, module: str, name: str) -> Any:
        """Notes the type of a tensor that says it beside its storage."""
        if (module, name) == ("torch._utils", "_rebuild_tensor_v3"):
            return self.rebuild
        return super().find_class(module, name)

    def rebuild(self, storage: Any, *arguments: Any) -> Any:
        """Notes a tensor's type as that of its storage."""
        self.kinds[storage._untyped_storage.key] = arguments[5]
        return torch._utils._rebuild_tensor_v3(storage, *arguments)


def swapped(data: bytes, dtype: torch.dtype) -> bytes:
    """The bytes of a storage as a big-endian machine has them."""
    size = torch.empty(0, dtype=dtype).element_size()
    size = size // 2 if dtype.is_complex else size
    return b"".join(data[at : at + size][::-1] for at in range(0, len(data), size))


def big_endian(mixture: Mixture, value: Any, base: Path) -> Path:
    """An archive as a big-endian machine writes it, made by turning the bytes of one."""
    stream, path = io.BytesIO(), base.with_suffix(".pt")
    torch.save(value, stream)
    with zipfile.ZipFile(stream) as source, zipfile.ZipFile(path, "w") as target:
        names = source.namelist()
        prefix = names[0].split("/")[0]
        finder = Storages(source.read(f"{prefix}/data.pkl"))
        finder.load()
        for name in names:
            data = source.read(name)
            if name == f"{prefix}/byteorder":
                data = b"big"
            elif name.startswith(f"{prefix}/data/"):
                dtype = finder.kinds[name.rsplit("/", 1)[1]]
                data = data if dtype is None else swapped(data, dtype)
            target.writestr(name, data)
    return path


def legacy(mixture: Mixture, value: Any, base: Path) -> Path:
    """The stream that torch wrote before 1.6, by torch itself."""
    path = base.with_suffix(".pth")
    protocol = mixture.random.choice([2, 2, 2, 0, 1, 3, 4, 5])
    torch.save(value, path, pickle_protocol=protocol, _use_new_zipfile_serialization=False)
    return path


def legacy_parts(mixture: Mixture, value: Any, base: Path) -> Path:
    """The same with storages that are parts of others, by hand."""
    path = base.with_suffix(".pth")
    streams.write_legacy(value, path, mixture.random, mixture.random.choice([1, 2, 2, 3, 4, 5]))
    return path


def tar(mixture: Mixture, value: Any, base: Path) -> Path:
    """The archive of torch 0.1, by hand."""
    path = base.with_suffix(".tar")
    streams.write_tar(value, path, mixture.random)
    return path


def shards(mixture: Mixture, value: Any, base: Path) -> Path:
    """The files of a large model with their index."""
    folder, count = base.with_suffix(""), mixture.random.randrange(2, 5)
    folder.mkdir()
    names = list(value)
    mixture.random.shuffle(names)
    pattern = "pytorch_model-{:05}-of-{:05}.bin"
    files = {name: pattern.format(number % count + 1, count) for number, name in enumerate(names)}
    for file in set(files.values()):
        part = {name: value[name] for name in value if files[name] == file}
        torch.save(part, folder / file, _use_new_zipfile_serialization=mixture.random.random() < 0.8)
    index = {"metadata": {"total_size": 1}, "weight_map": {name: files[name] for name in sorted(files)}}
    path = folder / "pytorch_model.bin.index.json"
    path.write_text(json.dumps(index, indent=2))
    return path


def torchscript(mixture: Mixture, value: Any, base: Path) -> Path:
    """A module that was compiled or traced."""
    path, chance = base.with_suffix(".pt"), mixture.random
    value.eval()
    if chance.random() < 0.5:
        made = torch.jit.script(value)
        if chance.random() < 0.3:
            made = torch.jit.freeze(made)
    else:
        made = torch.jit.trace(value, torch.randn(3, 2, dtype=value.weight.dtype))
    extra = {"note.txt": "kept", "more/config.json": "{}"} if chance.random() < 0.4 else {}
    torch.jit.save(made, str(path), _extra_files=extra)
    return path


def anything(mixture: Mixture) -> Any:
    """Any object."""
    return mixture.root()


def only_tensors(mixture: Mixture) -> dict[str, Any]:
    """A flat dict of tensors, as models are cut into shards."""
    mixture.objects, mixture.kinds = False, TYPED_KINDS
    names = [f"layers.{number}.{mixture.random.choice(['weight', 'bias', 'é'])}" for number in range(12)]
    return {name: mixture.tensor() for name in names[: mixture.random.randrange(4, 12)]}


def module(mixture: Mixture) -> Any:
    """A whole module."""
    mixture.unknown = True
    return mixture.module()


def old(mixture: Mixture) -> Any:
    """An object without types that old streams have no storages for."""
    mixture.kinds = TYPED_KINDS
    return mixture.root()


def only_plain(mixture: Mixture) -> Any:
    """The same without classes of its own, for what is written by hand."""
    mixture.objects = False
    return old(mixture)


Make = Callable[[Mixture], Any]
Write = Callable[[Mixture, Any, Path], Path]

# Name, share of all files, what is written, how.
CONTAINERS: list[tuple[str, int, Make, Write]] = [
    ("zip", 34, anything, zip_default),
    ("zip repacked", 6, anything, zip_repacked),
    *([] if OLD else [("zip with settings", 5, anything, zip_settings)]),
    *([] if OLD else [("zip big-endian", 7, anything, big_endian)]),
    ("zip of a module", 5, module, zip_default),
    ("legacy", 14, old, legacy),
    ("legacy with parts", 8, only_plain, legacy_parts),
    ("legacy of a module", 4, module, legacy),
    ("tar", 8, only_plain, tar),
    ("shards", 6, only_tensors, shards),
    ("torchscript", 8, module, torchscript),
    (
        ("distributed", 4, distributed_files.flat_state, distributed_files.write_alone_long_ago)
        if OLD
        else ("distributed", 6, distributed_files.state, distributed_files.write_alone)
    ),
    *([] if OLD else [("export", 6, export_files.module, export_files.newest)]),
    *([] if OLD else [("export of several", 2, export_files.modules, export_files.newest)]),
    *([] if OLD else [("export compiled", 2, export_files.modules, export_files.compiled)]),
    *([] if OLD else [("export saved", 2, export_files.module, export_files.saved)]),
    *([] if OLD else [("export old", 3, export_files.module, export_files.old)]),
]
