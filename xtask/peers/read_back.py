"""Loads what numpack wrote with the torch at hand, and compares it with the original.

``python read_back.py JOBS`` reads a JSON list of jobs and prints the version of torch and
what it found for each: ``{"state": "equal" | "skipped" | "different", "note": …}``.
"""

from __future__ import annotations

import json
import sys
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import torch

from compare import differences
from mixtures import OLD
from originals import load_original, torch_load
from truth import truth

FACTS = ("name", "dtype", "shape", "requires_grad", "sha256")


# What numpack makes equal, loaded by the same torch: the others are compared by facts alone.
WHOLE = ("zip", "legacy", "tar", "shards", "distributed", "export")


class Skip(Exception):
    """This torch cannot be asked."""


def expected_of(job: dict[str, Any]) -> tuple[Any, bool]:
    """The original object, and whether it loads with weights only; ``None`` if not at all here."""
    path, container = Path(job["path"]), job["container"]
    if job["name"] == "zip big-endian":
        return None, False
    if container in ("zip", "legacy"):
        try:
            return load_original(path, container, weights_only=True), True
        except Exception:
            pass
    try:
        return load_original(path, container), False
    except Exception:
        return None, False


def unknown_here(facts: dict[str, Any]) -> bool:
    """Whether the original has element types that this torch does not know."""
    return any(not hasattr(torch, tensor["dtype"]) for tensor in facts["tensors"])


def contents(facts: dict[str, Any]) -> Counter[tuple[Any, ...]]:
    """The tensors without their names, each as often as it occurs."""
    return Counter((t["dtype"], tuple(t["shape"]), t["sha256"]) for t in facts["tensors"])


def compare_facts(job: dict[str, Any], wanted: dict[str, Any], found: dict[str, Any]) -> list[str]:
    """What differs between what is known of the original and of what came back."""
    if job["how"] == "tensors":
        missing = set(contents(wanted)) - set(contents(found))
        return [f"tensors are missing: {sorted(missing)!r:.300}"] if missing else []
    problems = []
    left = {t["name"]: [t[fact] for fact in FACTS] for t in wanted["tensors"]}
    right = {t["name"]: [t[fact] for fact in FACTS] for t in found["tensors"]}
    for name in sorted({*left, *right}):
        if left.get(name) != right.get(name):
            problems.append(f"{name!r} is {right.get(name)}, expected {left.get(name)}")
    if job["how"] == "named":
        return problems[:5]
    problems += compare_places(wanted, found)
    if wanted["values"] != found["values"]:
        pairs = zip(wanted["values"], found["values"])
        first = next((pair for pair in pairs if pair[0] != pair[1]), "one more value")
        problems.append(f"plain values differ: {first!r:.300}")
    return problems[:5]


def compare_places(wanted: dict[str, Any], found: dict[str, Any]) -> list[str]:
    """What differs in which tensors share storages, and where in them they lie."""
    groups: dict[Any, dict[str, Any]] = {}
    for tensor in wanted["tensors"]:
        if tensor["storage"] is not None and not tensor["resolved"]:
            groups.setdefault(tensor["storage"], {})[tensor["name"]] = tensor
    others = {tensor["name"]: tensor for tensor in found["tensors"]}
    owners: dict[Any, Any] = {}
    for group, tensors in groups.items():
        paired = [(tensor, others[name]) for name, tensor in tensors.items() if name in others]
        if len(paired) < 2:
            continue
        storages = {other["storage"] for _, other in paired}
        if len(storages) > 1 or any(owners.setdefault(storage, group) != group for storage in storages):
            return [f"the tensors {list(tensors)!r:.200} lie in the storages {storages}"]
        moves = {other["offset"] - tensor["offset"] for tensor, other in paired}
        if len(moves) > 1:
            return [f"the tensors {list(tensors)!r:.200} moved by {moves} elements"]
    return []


def check(job: dict[str, Any]) -> str:
    """Compares one file; returns a note, and raises where it differs."""
    facts = json.loads(Path(job["truth"]).read_text())
    expected, weights_only = expected_of(job)
    back = Path(job["back"])
    try:
        found = torch_load(back, weights_only)
    except Exception as error:
        if expected is None and (job["container"] in WHOLE or unknown_here(facts)):
            reason = (str(error).strip().splitlines() or [""])[-1]
            raise Skip(f"neither file loads here: {reason[:90]}") from error
        raise ValueError(f"torch.load(weights_only={weights_only}): {str(error).strip()[:400]}") from error
    # An older torch may make less of the same file.
    wanted = facts if expected is None else truth(expected)
    if OLD and expected is None:
        # Of what only the newest torch reads as it was saved, tensors are all that can be compared.
        job = job | {"how": "tensors"}
    problems = compare_facts(job, wanted, truth(found))
    if expected is not None and job["how"] == "equal":
        problems += differences(expected, found, sharing="parts" not in job["name"] and job["name"] != "tar")
    if not OLD and job["how"] == "equal":
        mapped = torch_load(back, weights_only, mmap=True)
        problems += [f"with mmap: {problem}" for problem in differences(found, mapped)]
    if problems:
        raise ValueError("; ".join(problems))
    return "weights_only" if weights_only else "pickled" if expected is not None else "by facts"


def main() -> int:
    """Checks all jobs."""
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    results = []
    for job in json.loads(Path(sys.argv[1]).read_text()):
        try:
            results.append({"state": "equal", "note": check(job)})
        except Skip as skip:
            results.append({"state": "skipped", "note": str(skip)})
        except Exception as error:
            note = f"{type(error).__name__}: {error}"
            results.append({"state": "different", "note": note[:1500]})
    print(json.dumps({"torch": torch.__version__, "results": results}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
