"""Writes the ``.pt2`` files beside this script, and ``truth.json``: what torch holds of each.

Run by torch 2.15. What it reads of a file, of any of the layouts, is what is expected of it; of
compiled models, which it cannot read without the compiled code, what was given to be written. All
but ``model.pt2`` are packed again afterwards, so that what is not read takes less room or none.
"""

from __future__ import annotations

import io
import json
import logging
import pickle
import warnings
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch._export.serde.schema import SCHEMA_VERSION
from torch._export.serde.serialize import serialize
from torch.export.pt2_archive._package import PT2ArchiveWriter, load_pt2, package_pt2
from torch.export.pt2_archive._package_weights import TensorProperties, Weights
from torch.testing._internal.two_tensor import TwoTensor

HERE = Path(__file__).parent
KINDS = [
    torch.bool, torch.uint8, torch.int8, torch.uint16, torch.int16, torch.uint32, torch.int32,
    torch.uint64, torch.int64, torch.float16, torch.bfloat16, torch.float64, torch.complex32,
    torch.complex64, torch.complex128, torch.float8_e4m3fn, torch.float8_e5m2,
    torch.float8_e4m3fnuz, torch.float8_e5m2fnuz, torch.float8_e8m0fnu,
]  # fmt: skip


class Model(torch.nn.Module):
    """Tied weights, views, constants; the forward pass uses little, so that the graph is small."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.arange(6.0).reshape(2, 3))
        self.tied = self.weight
        self.frozen = torch.nn.Parameter(torch.ones(2), requires_grad=False)
        shared = torch.arange(12.0)
        self.register_buffer("part", shared[2:5])
        self.register_buffer("turned", shared.reshape(3, 4).t())
        self.register_buffer("scalar", torch.tensor(7))
        self.register_buffer("empty", torch.zeros(0, 3))
        self.register_buffer("mask", torch.tensor([True, False]), persistent=False)
        self.constant = torch.tensor([1.0, 2.0])[1:]

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Mentions the constants, without which they are not saved."""
        return values + self.constant + self.mask


class Small(torch.nn.Module):
    """A little of it."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.arange(6.0).reshape(2, 3))
        self.tied = self.weight
        self.register_buffer("turned", torch.arange(6).reshape(3, 2).t())
        self.constant = torch.tensor([1.0, 2.0])

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Mentions the constant."""
        return values + self.constant


class Kinds(torch.nn.Module):
    """A buffer of each type that has a number in the format."""

    def __init__(self) -> None:
        super().__init__()
        for kind in KINDS:
            size = torch.empty(0, dtype=kind).element_size()
            values = torch.arange(2 * size, dtype=torch.uint8) % 2
            self.register_buffer(str(kind).replace("torch.", "a_"), values.view(kind))

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Does nothing."""
        return values


def export(module: torch.nn.Module) -> Any:
    """The program, without where each step came from."""
    program = torch.export.export(module, (torch.ones(1),))
    for node in program.graph.nodes:
        for key in ("stack_trace", "nn_module_stack", "source_fn_stack", "torch_fn", "from_node"):
            node.meta.pop(key, None)
    return program


def stored_bytes(tensor: torch.Tensor) -> bytes:
    """The elements in order."""
    flat = tensor.detach().contiguous().reshape(-1)
    return flat.view(torch.uint8).numpy().tobytes() if flat.numel() else b""


def facts(tensors: dict[str, Any]) -> list[dict[str, Any]]:
    """What is known of tensors by name; what shares a storage has the same number."""
    storages: dict[int, int] = {}
    found = []
    for name, tensor in tensors.items():
        if not isinstance(tensor, torch.Tensor):
            continue
        found.append({
            "name": name,
            "dtype": str(tensor.dtype).removeprefix("torch."),
            "shape": list(tensor.shape),
            "stride": list(tensor.stride()),
            "offset": tensor.storage_offset(),
            "requires_grad": tensor.requires_grad,
            "parameter": isinstance(tensor, torch.nn.Parameter),
            "storage": storages.setdefault(tensor.untyped_storage()._cdata, len(storages)),
            "bytes": stored_bytes(tensor).hex(),
        })  # fmt: skip
    return found


def read(path: Path) -> dict[str, Any]:
    """The weights and constants that torch reads."""
    program = torch.export.load(path)
    return {**program.state_dict, **program.constants}


def write_old(program: Any, path: Path) -> None:
    """What torch wrote from 2.3 to 2.7, in the order in which it did."""
    made = serialize(program)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("serialized_exported_program.json", made.exported_program)
        archive.writestr("serialized_state_dict.pt", made.state_dict)
        archive.writestr("serialized_constants.pt", made.constants)
        archive.writestr("serialized_example_inputs.pt", made.example_inputs)
        archive.writestr("version", ".".join(map(str, SCHEMA_VERSION)))


def repack(path: Path) -> None:
    """Packs a file again: JSON deflated, no example inputs, archives in it without padding."""
    with zipfile.ZipFile(io.BytesIO(path.read_bytes())) as source, zipfile.ZipFile(path, "w") as target:
        for name in source.namelist():
            if "_inputs" in name:
                continue
            kind = zipfile.ZIP_DEFLATED if name.endswith(".json") else zipfile.ZIP_STORED
            data = source.read(name)
            data = tight(data) if data.startswith(b"PK") else data
            target.writestr(zipfile.ZipInfo(name), data, kind, 9)


def tight(data: bytes) -> bytes:
    """An archive without the padding that torch puts in front of storages."""
    stream = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as source, zipfile.ZipFile(stream, "w") as target:
        for name in source.namelist():
            if not name.endswith(("serialization_id", ".format_version", ".storage_alignment")):
                target.writestr(zipfile.ZipInfo(name), source.read(name))
    return stream.getvalue()


def pickled(path: Path) -> None:
    """A weight of a class of its own, and constants that are no tensors."""
    program = export(Kinds())
    program._state_dict.clear()
    program._state_dict["pair"] = TwoTensor(torch.arange(2.0), torch.ones(2))
    quantised = torch.quantize_per_tensor(torch.ones(1, 1), 0.5, 0, torch.qint8)
    packed = torch.ops.quantized.linear_prepack(quantised, torch.zeros(1))
    with PT2ArchiveWriter(str(path)) as writer:
        from torch.export.pt2_archive import _package as package

        program._constants.clear()
        program._constants["packed"] = packed
        weights = package._package_state_dict("model", program, writer)
        package._package_payload_config(writer, weights, "data/weights/model_weights_config.json")
        constants = package._package_constants("model", program, writer)
        writer.write_bytes("data/constants/opaque_obj_0", pickle.dumps({"rate": 0.5}, protocol=2))
        constants.config["opaque"] = package.schema.PayloadMeta("opaque_obj_0", False, True, None)
        package._package_payload_config(writer, constants, "data/constants/model_constants_config.json")
        writer.write_bytes("models/model.json", b"{}")


def main() -> None:
    """Writes the files."""
    warnings.simplefilter("ignore")
    logging.disable()
    torch.manual_seed(0)
    truth: dict[str, Any] = {}
    torch.export.save(export(Model()), HERE / "model.pt2")
    truth["model.pt2"] = facts(read(HERE / "model.pt2"))
    program, path = export(Small()), HERE / "two.pt2"
    package_pt2(path, exported_programs={"kinds": export(Kinds()), "other": program})
    loaded = load_pt2(path).exported_programs
    truth["two.pt2"] = facts({
        f"{model}.{name}": tensor
        for model, inner in loaded.items()
        for name, tensor in {**inner.state_dict, **inner.constants}.items()
    })  # fmt: skip
    write_old(program, HERE / "old.pt2")
    truth["old.pt2"] = facts(read(HERE / "old.pt2"))
    weights = {name: (t.detach(), TensorProperties(t)) for name, t in program.state_dict.items()}
    extra = {"note.npy": "no array"}
    package_pt2(HERE / "compiled.pt2", aoti_files={"model": [Weights(weights)]}, extra_files=extra)
    truth["compiled.pt2"] = facts({name: tensor for name, (tensor, _) in weights.items()})
    pickled(HERE / "pickled.pt2")
    for name in ("two", "old", "compiled", "pickled"):
        repack(HERE / f"{name}.pt2")
    lines = ",\n".join(
        f"{json.dumps(name)}: [\n" + ",\n".join(json.dumps(fact) for fact in found) + "]"
        for name, found in truth.items()
    )
    (HERE / "truth.json").write_text("{\n" + lines + "\n}\n")


if __name__ == "__main__":
    main()
