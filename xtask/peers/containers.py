"""Writes random files with the torch at hand, and beside each what torch holds.

``python containers.py --out DIR --count 1000 --seed 0`` works with the oldest and
the newest torch alike. What torch refuses to save is drawn again.
"""

from __future__ import annotations

import argparse
import io
import json
import random
import shutil
import sys
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import torch

import distributed_files
from container_files import CONTAINERS
from mixtures import OLD, TYPED_KINDS, Mixture
from originals import DISTRIBUTED, load_original
from truth import TooMany, truth


def write_truth(path: Path, name: str, seed: int, facts: dict[str, Any]) -> None:
    """Leaves what is known of a file beside it."""
    facts |= {"path": str(path), "container": name.split(" ")[0], "name": name, "seed": seed}
    facts["torch"] = torch.__version__
    file = path.with_name(path.name + ".truth.json")
    file.write_text(json.dumps(facts, ensure_ascii=True))


def last_line(error: Exception) -> str:
    """What an error says in the end."""
    return (str(error).strip().splitlines() or [""])[-1]


def through_torch(value: Any) -> Any:
    """What torch saves and loads on this machine."""
    stream = io.BytesIO()
    torch.save(value, stream)
    stream.seek(0)
    return torch.load(stream, weights_only=False)


def compare_typed(turned: dict[str, Any], facts: dict[str, Any]) -> None:
    """Fails unless torch turned around all storages that have a type; others it leaves as they are."""
    typed = {str(dtype).replace("torch.", "") for dtype in TYPED_KINDS} | {"qint8", "quint8", "qint32"}
    for one, other in zip(turned["tensors"], facts["tensors"], strict=True):
        if one["dtype"] in typed and one["sha256"] != other["sha256"]:
            raise SystemExit(f"a big-endian archive was made wrongly: {one['name']!r}")


def write_one(seed: int, container: Any, out: Path) -> None:
    """One file of a container."""
    name, _, make, write = container
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)
    mixture = Mixture(seed)
    value = make(mixture)
    base = out / f"{seed:07}-{name.replace(' ', '-')}"
    path = write(mixture, value, base)
    kind = name.split(" ")[0]
    # The oldest torch has nothing that reads a whole folder.
    found = packed(value) if kind == DISTRIBUTED and OLD else load_original(path, kind)
    facts = truth(found)
    if name == "zip big-endian":
        turned, facts = facts, truth(through_torch(value))
        compare_typed(turned, facts)
    facts["plain"] = not mixture.unknown
    write_truth(path, name, seed, facts)


def packed(value: dict[str, Any]) -> dict[str, Any]:
    """What a distributed checkpoint keeps of a flat dict of tensors: neither views nor gradients."""
    return {
        name: inner.detach().clone(memory_format=torch.contiguous_format)
        if isinstance(inner, torch.Tensor)
        else inner
        for name, inner in value.items()
    }


def write_together(first: int, count: int, out: Path, refused: Counter[str]) -> int:
    """Folders that two to four processes write together; returns how many torch reads again."""
    written = 0
    for number, world in enumerate((2, 3, 4)):
        seeds = list(range(first + 1000 * world, first + 1000 * world + (count + number) // 3))
        for seed, path in zip(seeds, distributed_files.write_together(out, seeds, world), strict=True):
            try:
                facts = truth(load_original(path, DISTRIBUTED)) | {"plain": True}
            except Exception as error:
                refused[f"distributed by {world}: {type(error).__name__}: {last_line(error):.90}"] += 1
                shutil.rmtree(path)
                continue
            write_truth(path, f"distributed by {world}", seed, facts)
            written += 1
    return written


def write_files(arguments: argparse.Namespace, count: int, refused: Counter[str]) -> int:
    """Writes files until there are enough; returns how many there are."""
    chooser = random.Random(arguments.seed)
    weights = [share for _, share, _, _ in CONTAINERS]
    seed, written = arguments.seed, 0
    while written < count:
        container = chooser.choices(CONTAINERS, weights)[0]
        seed += 1
        try:
            write_one(seed, container, arguments.out)
            written += 1
        except TooMany:
            refused[f"{container[0]}: too many paths"] += 1
        except Exception as error:
            refused[f"{container[0]}: {type(error).__name__}: {last_line(error):.90}"] += 1
            for left in arguments.out.glob(f"{seed:07}-*"):
                shutil.rmtree(left) if left.is_dir() else left.unlink()
        if sum(refused.values()) > 3 * count + 100:
            raise SystemExit(f"torch refuses nearly everything: {refused.most_common(9)}")
    return written


def main() -> int:
    """Writes the files that were asked for."""
    warnings.simplefilter("ignore")
    parser = argparse.ArgumentParser(description="write random files with this torch")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--show-refused", action="store_true", help="print what torch would not save")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    refused: Counter[str] = Counter()
    together = 0 if OLD else arguments.count // 25
    written = write_together(arguments.seed + 500_000, together, arguments.out, refused) if together else 0
    written += write_files(arguments, arguments.count - written, refused)
    print(f"torch {torch.__version__} wrote {written} files; {sum(refused.values())} draws it refused")
    for problem, times in refused.most_common(30) if arguments.show_refused else ():
        print(f"    {times:5} {problem}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
