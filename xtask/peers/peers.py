"""Checks the ``numpack`` command against the real PyTorch, in both directions.

Every case is saved by torch, converted to a store and back by the command, read
again by torch and compared to the bit. ``python peers.py --numpack PATH`` prints
a line a case and ends with ``N passed, M failed``; the status is 1 if any failed.
"""

from __future__ import annotations

import argparse
import fnmatch
import re
import shutil
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

import objects
import options
import selftest
from cases import CASES, build
from checks import Failure, Numpack, check_listing, check_store, load
from compare import differences, walk
from generate import generate


def check_round_trip(numpack: Numpack, value: Any, folder: Path) -> str:
    """Takes an object to a store and back; returns a note for the case's line."""
    original, store, back = folder / "a.pt", folder / "b.npk", folder / "c.pt"
    torch.save(value, original)
    reference, weights_only = load(original)

    problems: list[str] = []

    def attempt(what: str, check: Callable[[], Any]) -> Any:
        try:
            return check()
        except Failure as failure:
            problems.append(f"{what}: {failure}")
        return None

    def back_again(mmap: bool) -> None:
        found, _ = load(back, weights_only=weights_only, mmap=mmap)
        if found_differences := differences(reference, found):
            raise Failure("; ".join(found_differences))

    attempt("ls", lambda: check_listing(reference, numpack.json("ls", "--json", "--sha256", original)))
    numpack.run("convert", original, store)
    attempt("verify", lambda: numpack.run("verify", store))
    matched = attempt("store", lambda: check_store(reference, store, original.stem))
    attempt("diff of the store", lambda: numpack.run("diff", original, store))
    if attempt("convert back", lambda: numpack.run("convert", store, back)) is not None:
        attempt("back", lambda: back_again(mmap=False))
        attempt("back with mmap", lambda: back_again(mmap=True))
        attempt("diff of both files", lambda: numpack.run("diff", original, back))
    if problems:
        raise Failure("\n    ".join(problems))
    count = sum(not again for _, _, again in walk(reference))
    return f"{count} tensors, {matched} matched by name{'' if weights_only else ', not weights_only'}"


def all_checks(
    arguments: argparse.Namespace, numpack: Numpack
) -> Iterator[tuple[str, Callable[[Path], str]]]:
    """Name and check of every case, in the order they run."""
    for item in CASES:
        if arguments.beyond or not item.beyond:
            yield item.name, lambda folder, item=item: check_round_trip(numpack, build(item), folder)
    for name, check in options.CHECKS:
        yield name, lambda folder, check=check: check(numpack, folder)
    for seed in range(arguments.seed, arguments.seed + arguments.count):
        yield f"random {seed}", lambda folder, seed=seed: check_round_trip(numpack, generate(seed), folder)
        yield f"object {seed}", lambda folder, seed=seed: objects.check_printed(numpack, seed, folder)


def run_checks(arguments: argparse.Namespace, keep: Path | None) -> tuple[int, int]:
    """Runs the cases that were asked for; returns how many passed and failed."""
    numpack = Numpack(arguments.numpack)
    passed = failed = 0
    with tempfile.TemporaryDirectory(prefix="numpack-peers-") as temporary:
        for name, check in all_checks(arguments, numpack):
            if not fnmatch.fnmatchcase(name, arguments.only):
                continue
            folder = (keep or Path(temporary)) / re.sub(r"\W+", "-", name)
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            try:
                note = check(folder)
            except Exception as error:
                failed += 1
                kind = "" if isinstance(error, Failure) else f"{type(error).__name__}: "
                print(f"FAIL {name}\n    {kind}{error}", flush=True)
            else:
                passed += 1
                print(f"ok   {name}" + (f" ({note})" if note else ""), flush=True)
            if keep is None:
                shutil.rmtree(folder)
    return passed, failed


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="check the numpack command against the real torch")
    parser.add_argument("--numpack", type=Path, help="the numpack binary")
    parser.add_argument("--count", type=int, default=200, help="how many random objects (default: 200)")
    parser.add_argument("--seed", type=int, default=0, help="the first random object's seed (default: 0)")
    parser.add_argument("--only", default="*", metavar="PATTERN", help="run the cases whose name matches")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="leave every case's files in a folder")
    parser.add_argument("--beyond", action="store_true", help="also run cases that the promise leaves out")
    parser.add_argument(
        "--self-test", action="store_true", help="test the comparison itself, without numpack"
    )
    arguments = parser.parse_args()
    if not arguments.self_test and arguments.numpack is None:
        parser.error("--numpack is needed")
    return arguments


def main() -> int:
    """Runs the checks; 1 if any failed."""
    warnings.simplefilter("ignore")
    sys.stdout.reconfigure(errors="backslashreplace")
    arguments = parse_arguments()
    if arguments.self_test:
        passed, failed = selftest.run(arguments.seed, arguments.count)
    else:
        passed, failed = run_checks(arguments, arguments.keep)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
