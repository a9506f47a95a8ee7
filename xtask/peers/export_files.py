"""Archives of ``torch.export`` in every layout, and what torch reads of them.

Torch 2.15 writes the newest itself, and reads the older ones, which are written here as
older versions of torch did.
"""

from __future__ import annotations

import io
import json
import logging
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import nn

from mixtures import ALL_KINDS, Mixture

# What has a number in torch/_export/serde/schema.py.
UNNUMBERED = ("torch.bits", "torch.float4", "torch.bcomplex")
KINDS = [kind for kind in ALL_KINDS if not str(kind).startswith(UNNUMBERED)]

# Of each old file torch says at length that it is old.
logging.getLogger("torch.export").setLevel(logging.ERROR)


class Part(nn.Module):
    """Tensors under names, and others that are no part of the state dict."""

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Mentions what would not be saved otherwise."""
        for name, tensor in [*self._buffers.items(), *vars(self).items()]:
            kept = name not in self._non_persistent_buffers_set and name in self._buffers
            if isinstance(tensor, torch.Tensor) and not kept and tensor.dtype == torch.float32:
                values = values + tensor.sum()
        for inner in self.children():
            values = inner(values)
        return values


def fill(part: Part, mixture: Mixture, depth: int, known: dict[int, nn.Parameter] | None = None) -> Part:
    """Puts random tensors into a module: fresh ones, views, the same again.

    Parameters have storages of their own, and empty ones no gradients, as all that is empty
    shares one: of what shares a storage with them, torch 2.15 loads buffers as if they had some.
    """
    chance, known = mixture.random, {} if known is None else known
    for number in range(chance.randrange(1, 7)):
        tensor = mixture.tensor()
        dense = tensor.layout == torch.strided and not tensor.is_nested and not tensor.is_quantized
        if tensor.is_meta or not dense or tensor.is_conj() or tensor.is_neg():
            continue
        way, name = chance.random(), f"{chance.choice(['weight', 'w', 'é'])}{number}"
        if isinstance(tensor, nn.Parameter):
            tracked = tensor.requires_grad and tensor.numel() > 0
            own = nn.Parameter(tensor.detach().clone(), tracked)
            part.register_parameter(name, known.setdefault(id(tensor), own))
        elif way < 0.7:
            part.register_buffer(name, tensor.detach())
        elif way < 0.85:
            part.register_buffer(name, tensor.detach(), persistent=False)
        else:
            setattr(part, name, tensor.detach())
    if depth and chance.random() < 0.5:
        part.inner = fill(Part(), mixture, depth - 1, known)
    return part


def module(mixture: Mixture) -> Any:
    """A module with tensors of all kinds that the format has."""
    mixture.objects, mixture.kinds = False, KINDS
    return fill(Part(), mixture, 2)


def modules(mixture: Mixture) -> dict[str, Any]:
    """Several of them."""
    mixture.objects, mixture.kinds = False, KINDS
    names = ["encoder", "decoder", "model"][: mixture.random.randrange(2, 4)]
    return {name: fill(Part(), mixture, 1) for name in names}


def program(value: nn.Module) -> Any:
    """The exported program."""
    return torch.export.export(value, (torch.ones(2),))


def newest(mixture: Mixture, value: Any, base: Path) -> Path:
    """``torch.export.save``, or a package of several programs."""
    from torch.export.pt2_archive._package import package_pt2

    path, chance = base.with_suffix(".pt2"), mixture.random
    extra = {"note.txt": "kept", "x.npy": "no array"} if chance.random() < 0.3 else None
    if isinstance(value, dict):
        made = {name: program(part) for name, part in value.items()}
        package_pt2(path, exported_programs=made, extra_files=extra)
    else:
        torch.export.save(program(value), path, extra_files=extra)
    return path


def compiled(mixture: Mixture, value: Any, base: Path) -> Path:
    """The weights of compiled models, without their code."""
    from torch.export.pt2_archive._package import package_pt2
    from torch.export.pt2_archive._package_weights import TensorProperties, Weights

    path = base.with_suffix(".pt2")
    named = {name: part.state_dict() for name, part in value.items()}
    files = {
        name: [Weights({key: (tensor, TensorProperties(tensor)) for key, tensor in tensors.items()})]
        for name, tensors in named.items()
        if tensors
    }
    package_pt2(path, aoti_files=files)
    return path


def saved(mixture: Mixture, value: Any, base: Path) -> Path:
    """Weights and constants as one file of ``torch.save`` each, as torch 2.8 had it at first."""
    from torch._export.serde.serialize import serialize
    from torch.export.pt2_archive._package import PT2ArchiveWriter

    path, made = base.with_suffix(".pt2"), serialize(program(value))
    with PT2ArchiveWriter(str(path)) as writer:
        writer.write_bytes("data/weights/model.pt", made.state_dict)
        writer.write_bytes("data/constants/model.pt", made.constants)
        writer.write_bytes("models/model.json", made.exported_program)
        writer.write_bytes("data/sample_inputs/model.pt", made.example_inputs)
    return path


def old(mixture: Mixture, value: Any, base: Path) -> Path:
    """The archive of torch 2.1 to 2.7."""
    from torch._export.serde.schema import SCHEMA_VERSION
    from torch._export.serde.serialize import serialize

    path, made = base.with_suffix(".pt2"), serialize(program(value))
    suffix = mixture.random.choice([".pt", ".pt", ".json"])
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("serialized_exported_program.json", made.exported_program)
        archive.writestr(f"serialized_state_dict{suffix}", made.state_dict)
        archive.writestr(f"serialized_constants{suffix}", made.constants)
        archive.writestr("serialized_example_inputs.pt", made.example_inputs)
        archive.writestr("version", ".".join(map(str, SCHEMA_VERSION)))
    return path


def weights_on_disk(path: Path) -> dict[str, dict[str, torch.Tensor]]:
    """The weights of compiled models, by model, as ``load_pt2`` takes them from the disk."""
    found: dict[str, dict[str, torch.Tensor]] = {}
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        records = {
            name.rsplit("/", 1)[1]: torch.load(io.BytesIO(archive.read(name)))
            for name in names
            if "/data/weights/" in name
        }
        for name in names:
            if not name.endswith("/weights_config.json"):
                continue
            described = json.loads(archive.read(name))
            found[name.split("/")[-2]] = {
                weight: records[record].as_strided(shape, stride, offset).detach()
                for weight, (record, shape, stride, offset) in described.items()
            }
    return found


def load(path: Path) -> Any:
    """The weights and constants that torch reads."""
    from torch.export.pt2_archive._package import load_pt2

    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
    if not any(name.endswith("/archive_format") for name in names):
        programs = {"model": torch.export.load(path)}
    elif any("/data/aotinductor/" in name for name in names):
        found = weights_on_disk(path)
        return {f"aotinductor/{k}": v for k, v in found.items()} if len(found) > 1 else found.popitem()[1]
    else:
        programs = load_pt2(str(path)).exported_programs
    all_of = {name: {**made.state_dict, **made.constants} for name, made in programs.items()}
    return all_of if len(all_of) > 1 else all_of.popitem()[1]
