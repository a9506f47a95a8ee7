"""The list of named objects to save."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch


@dataclass(frozen=True)
class Case:
    """A named object to save; ``beyond`` if the promise of an equal round trip leaves it out."""

    name: str
    build: Callable[[], Any]
    beyond: bool = False


CASES: list[Case] = []


def case(build: Callable[[], Any]) -> Callable[[], Any]:
    """Registers a function as the case of its name."""
    CASES.append(Case(build.__name__.replace("_", " "), build))
    return build


def beyond(build: Callable[[], Any]) -> Callable[[], Any]:
    """Registers a function as a case that the promise leaves out."""
    CASES.append(Case(build.__name__.replace("_", " "), build, beyond=True))
    return build


def build(item: Case) -> Any:
    """A case's object, the same at every call."""
    torch.manual_seed(0)
    return item.build()
