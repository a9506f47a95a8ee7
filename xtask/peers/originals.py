"""Loading what torch wrote, whatever it is stored in, by the torch at hand."""

from __future__ import annotations

import json
import tempfile
import warnings
from pathlib import Path
from typing import Any

import torch

SCRIPTED, SHARDS, DISTRIBUTED, TAR = "torchscript", "shards", "distributed", "tar"
EXPORTED = "export"


def torch_load(path: Path, weights_only: bool, **options: Any) -> Any:
    """``torch.load`` onto the processor."""
    return torch.load(path, map_location="cpu", weights_only=weights_only, **options)


def attribute(value: Any, path: str) -> Any:
    """What a dotted name leads to."""
    for name in path.split("."):
        value = getattr(value, name)
    return value


def load_shards(index: Path) -> dict[str, Any]:
    """The entries that an index names, each from its file, in the order of the index."""
    names = json.loads(index.read_text())["weight_map"]
    files = {file: torch_load(index.parent / file, weights_only=False) for file in set(names.values())}
    return {name: files[file][name] for name, file in names.items()}


def load_distributed(folder: Path) -> Any:
    """What torch's own converter makes of a distributed checkpoint."""
    from torch.distributed.checkpoint.api import CheckpointException
    from torch.distributed.checkpoint.format_utils import dcp_to_torch_save

    with tempfile.TemporaryDirectory() as temporary:
        file = Path(temporary) / "whole.pt"
        try:
            dcp_to_torch_save(folder, file)
        except CheckpointException as error:  # no subclass of Exception
            raise RuntimeError(str(error)) from error
        return torch_load(file, weights_only=False)


def load_original(path: Path, container: str, weights_only: bool = False) -> Any:
    """The object in a file or folder."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if container == SCRIPTED:
            module = torch.jit.load(str(path))
            return {name: attribute(module, name) for name in module.state_dict()}
        if container == SHARDS:
            return load_shards(path)
        if container == DISTRIBUTED:
            return load_distributed(path)
        if container == EXPORTED:
            import export_files

            return export_files.load(path)
        return torch_load(path, weights_only)
