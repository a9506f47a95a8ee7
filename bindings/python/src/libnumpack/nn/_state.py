"""The state of a module: its tensors by name, collected and loaded."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Mapping, NamedTuple

from ..tensors import Tensor, as_tensor
from ._inputs import is_torch
from .parameter import at, write

if TYPE_CHECKING:
    from .module import Module


class Keys(NamedTuple):
    """The names that were missing in a state, and those that were not expected."""

    missing_keys: list[str]
    unexpected_keys: list[str]

    def __repr__(self) -> str:
        if not self.missing_keys and not self.unexpected_keys:
            return "<All keys matched successfully>"
        return f"Keys(missing_keys={self.missing_keys}, unexpected_keys={self.unexpected_keys})"


def _saved(module: Module) -> list[tuple[str, Tensor]]:
    """Parameters and buffers of this module alone that are saved."""
    own: list[tuple[str, Any]] = list(module._parameters.items())
    own += [(name, t) for name, t in module._buffers.items() if name not in module._not_saved]
    return [(name, tensor) for name, tensor in own if tensor is not None]


def collect(
    module: Module, into: OrderedDict[str, Any] | None, prefix: str, keep_vars: bool,
) -> OrderedDict[str, Any]:
    """The state of a module and those in it, by all names that they have."""
    into = OrderedDict() if into is None else into
    metadata: Any = into.__dict__.setdefault("_metadata", OrderedDict())
    for path, part in module.named_modules(remove_duplicate=False):
        at = f"{prefix}{path}." if path else prefix
        metadata[at[:-1]] = {"version": part._version}
        for name, tensor in _saved(part):
            into[at + name] = tensor if keep_vars else tensor.detach()
    return into


def load(module: Module, state: Mapping[str, Any], strict: bool) -> Keys:
    """Copies a state into a module, all of it or nothing."""
    if not isinstance(state, Mapping):
        raise TypeError(f"a state is a dict of tensors by name, not {type(state).__name__}")
    own = collect(module, None, "", keep_vars=True)
    missing = [name for name in own if name not in state]
    unexpected = [name for name in state if name not in own]
    problems = []
    if strict and missing:
        problems.append(f"Missing key(s) in state_dict: {_listed(missing)}.")
    if strict and unexpected:
        problems.append(f"Unexpected key(s) in state_dict: {_listed(unexpected)}.")
    pairs = []
    for name, tensor in own.items():
        if name not in state:
            continue
        value = state[name]
        given = as_tensor(value.detach().cpu() if is_torch(value) else value)
        if given.shape != tensor.shape:
            problems.append(
                f"size mismatch for {name}: copying a param with shape {given.shape} from checkpoint, "
                f"the shape in current model is {tensor.shape}."
            )
        pairs.append((tensor, at(given.detach(), tensor.device, tensor.dtype)))
    if problems:
        name = type(module).__name__
        raise RuntimeError("\n\t".join([f"Error(s) in loading state_dict for {name}:", *problems]))
    for tensor, given in pairs:
        write(tensor, given)
    return Keys(missing, unexpected)


def _listed(names: list[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)
