"""Checks of the C interface, each named by the statement that it proves.

A file of checks adds functions to its ``Statements`` and calls ``main``, which takes
``--library PATH``, and ``--torch`` for the checks that compare with torch. It prints a
line for each that fails and ends with ``N passed, M failed, K comparisons``; the status
is 1 if any failed. What several files need is here too.
"""

from __future__ import annotations

import argparse
import gc
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tensors_abi import Library, Refused

Check = Callable[[Library], None]


def values(dtype: str, shape: tuple[int, ...]) -> np.ndarray:
    """Numbers that are all different where the type allows it."""
    return np.arange(np.prod(shape, dtype=int)).astype(dtype).reshape(shape)


def pointer(array: np.ndarray) -> int:
    """Where an array's first element is."""
    return array.__array_interface__["data"][0]


class Wrong(Exception):
    """What was found is not what the statement says."""


class Statements:
    """The checks of one file, and how much they compared."""

    def __init__(self) -> None:
        self.checks: list[tuple[str, bool, Check]] = []
        self.comparisons = 0

    def add(self, text: str, torch: bool = False) -> Callable[[Check], Check]:
        """Names a check by its statement; with ``torch`` it is one that needs torch."""

        def named(check: Check) -> Check:
            self.checks.append((text, torch, check))
            return check

        return named

    def equal(self, what: str, found: Any, wanted: Any) -> None:
        """Fails where two values differ."""
        self.comparisons += 1
        if found != wanted:
            raise Wrong(f"{what}: {found!r:.300}, expected {wanted!r:.300}")

    def same(self, what: str, found: Any, wanted: Any) -> None:
        """Fails where two arrays differ in type, shape or any bit."""
        self.equal(
            what,
            (found.dtype, found.shape, found.tobytes()),
            (wanted.dtype, wanted.shape, wanted.tobytes()),
        )

    def refused(self, status: int, words: str, call: Callable[[], Any]) -> None:
        """Fails unless a call is refused with this status, in words that have these in them."""
        try:
            found = call()
        except Refused as refused:
            self.equal(f"the status of {refused.message!r}", refused.status, status)
            self.equal(f"{words!r} in {refused.message!r}", words in refused.message, True)
        else:
            raise Wrong(f"not refused, as {words!r} should be: {found!r:.200}")

    def raises(self, kind: type[BaseException], call: Callable[[], Any]) -> None:
        """Fails unless a call raises exactly this."""
        try:
            found = call()
        except BaseException as raised:
            self.equal(f"the kind of {raised!r:.200}", type(raised), kind)
        else:
            raise Wrong(f"no {kind.__name__}: {found!r:.200}")

    def main(self, description: str | None) -> int:
        """Runs the checks."""
        parser = argparse.ArgumentParser(description=description)
        parser.add_argument("--library", type=Path, required=True)
        parser.add_argument("--torch", action="store_true")
        arguments = parser.parse_args()
        library = Library(arguments.library.resolve())
        passed = failed = 0
        for text, needs_torch, check in self.checks:
            if needs_torch and not arguments.torch:
                continue
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    check(library)
                gc.collect()
                self.equal("objects that are still lent", library.lent, {})
                self.equal(
                    "objects given back twice", {n for n in library.released.values() if n != 1}, set()
                )
                passed += 1
            except Exception as error:
                failed += 1
                print(f"FAIL {text}: {type(error).__name__}: {error}")
            finally:
                gc.collect()
                library.lent.clear()
                library.released.clear()
        print(f"{passed} passed, {failed} failed, {self.comparisons} comparisons")
        return 1 if failed else 0
