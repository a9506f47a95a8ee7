"""Converts the example checkpoint and reads the store with the independent reader.

Needs numpy only: what the tensors hold is known from the truth that torch wrote
beside the checkpoint. ``python check_example.py --numpack PATH`` ends with
``N passed, M failed``; the status is 1 if any failed.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from npk_reader import read_store

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
STORED_AS = {"bfloat16": "uint16"}


def check(entry: dict, array: np.ndarray | None) -> str:
    """What is wrong with the array of one tensor; empty if nothing is."""
    if array is None:
        return "is not in the store"
    dtype = STORED_AS.get(entry["dtype"], entry["dtype"])
    if array.dtype.name != dtype:
        return f"is stored as {array.dtype.name}, expected {dtype}"
    if list(array.shape) != (entry["shape"] or [1]):
        return f"has shape {list(array.shape)}, expected {entry['shape']}"
    found = hashlib.sha256(array.tobytes()).hexdigest()
    return "" if found == entry["sha256"] else f"has sha256 {found}, expected {entry['sha256']}"


def main() -> int:
    """Runs the checks and prints a line for each that fails."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--numpack", type=Path, required=True)
    numpack = str(parser.parse_args().numpack)
    truth = json.loads((EXAMPLES / "checkpoint.truth.json").read_text())["tensors"]
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder) / "checkpoint.npk"
        subprocess.run([numpack, "convert", EXAMPLES / "checkpoint.pt", store], check=True)
        subprocess.run([numpack, "verify", store], check=True)
        arrays = read_store(store).arrays
        # Of tensors that share a storage only the first has an array.
        owners = {entry["storage"]: entry for entry in reversed(truth)}
        for entry in owners.values():
            if problem := check(entry, arrays.get(entry["name"])):
                print(f"{entry['name']} {problem}")
                failed += 1
        if extra := set(arrays) - {entry["name"] for entry in owners.values()}:
            print(f"arrays that no tensor explains: {sorted(extra)}")
            failed += 1
    print(f"{max(len(owners) - failed, 0)} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
