"""How far a conversion is."""

from __future__ import annotations

import importlib
import sys
import time
from contextlib import contextmanager
from typing import Any, Callable, Iterator, Union

from ._native import Callbacks

Progress = Union[bool, Callable[[int, int], Any], None]
"""False: nothing is shown. True: it is, on stderr. A callable gets bytes done and bytes in all."""

_PAUSE = 0.1
"""Seconds between two lines that are shown."""


@contextmanager
def progress_of(progress: Progress, label: str) -> Iterator[Any]:
    """A callback for the library. There is always one: while Python runs it, signals are handled, so that
    Ctrl-C stops the work; what it raises is raised when the work has stopped."""
    shown = _Shown(label) if progress is True else None
    report = shown or (progress if callable(progress) else _nothing)

    def call(done: int, total: int, _: Any) -> None:
        report(done, total)

    try:
        with Callbacks() as callbacks:
            made = callbacks.make("progress_fn", call)
            try:
                yield made
            except InterruptedError:
                # What the callback raised comes in its place.
                if callbacks._raised is None:
                    raise
    finally:
        if shown is not None:
            shown.close()


def _nothing(done: int, total: int) -> None:
    pass


class _Shown:
    """A line on stderr, or a bar of tqdm."""

    def __init__(self, label: str) -> None:
        self._label = label
        self._bar: Any = None
        self._last = 0.0
        self._wrote = False
        try:
            self._tqdm: Any = importlib.import_module("tqdm").tqdm
        except ImportError:
            self._tqdm = None

    def __call__(self, done: int, total: int) -> None:
        if self._tqdm is not None:
            if self._bar is None:
                self._bar = self._tqdm(
                    total=total, desc=self._label, unit="B", unit_scale=True, file=sys.stderr
                )
            self._bar.total = total
            self._bar.update(done - self._bar.n)
            return
        now = time.monotonic()
        if done >= total or now - self._last >= _PAUSE:
            self._last, self._wrote = now, True
            part = 100 if not total else done * 100 // total
            print(
                f"\r{self._label}: {part:3d} % of {total / 1e6:.1f} MB", end="", file=sys.stderr, flush=True
            )

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
        if self._wrote:
            print(file=sys.stderr)
