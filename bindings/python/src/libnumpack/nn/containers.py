"""Modules of modules: one after another, in a list, by names."""

from __future__ import annotations

import operator
from collections import OrderedDict
from itertools import groupby
from typing import Any, Iterable, Iterator, Mapping, overload

from ..tensors import Tensor
from . import functional as F
from .layers import Activation, Linear
from .module import Module


class _Numbered(Module):
    """Modules that are named by their places."""

    _modules: dict[str, Module]  # type: ignore[assignment]

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[Module]:
        return iter(list(self._modules.values()))

    def _name(self, index: int) -> str:
        at = operator.index(index)
        if not -len(self) <= at < len(self):
            raise IndexError(f"index {at} is out of range of {len(self)} modules")
        return list(self._modules)[at]

    def __setitem__(self, index: int, module: Module) -> None:
        self.add_module(self._name(index), module)

    def __delitem__(self, index: int | slice) -> None:
        names = list(self._modules)
        gone = set(names[index] if isinstance(index, slice) else [self._name(index)])
        self._renew([self._modules[name] for name in names if name not in gone])

    def _renew(self, modules: Iterable[Module]) -> None:
        """These modules, named by their places."""
        all_ = list(modules)
        self._modules.clear()
        for i, module in enumerate(all_):
            self.add_module(str(i), module)

    def append(self, module: Module) -> Any:
        """One module more at the end; gives itself back."""
        self.add_module(str(len(self)), module)
        return self

    def extend(self, modules: Iterable[Module]) -> Any:
        """Several modules more at the end; gives itself back."""
        for module in list(modules):
            self.append(module)
        return self

    def insert(self, index: int, module: Module) -> Any:
        """One module more before another; gives itself back."""
        all_ = list(self)
        all_.insert(index, module)
        self._renew(all_)
        return self


class Sequential(_Numbered):
    """One module after another, given as arguments or as an `OrderedDict` by name. A `Linear` and the
    activation behind it are computed in one, where a device does that.

    >>> from libnumpack import nn
    >>> model = nn.Sequential(nn.Linear(10, 20), nn.ReLU(), nn.Linear(20, 2))
    >>> model
    Sequential(
      (0): Linear(in_features=10, out_features=20, bias=True)
      (1): ReLU()
      (2): Linear(in_features=20, out_features=2, bias=True)
    )
    >>> model[-1].out_features, len(model[:2])
    (2, 2)
    """

    def __init__(self, *modules: Any) -> None:
        super().__init__()
        by_name = len(modules) == 1 and isinstance(modules[0], Mapping)
        for name, module in modules[0].items() if by_name else enumerate(modules):
            self.add_module(str(name), module)

    @overload
    def __getitem__(self, index: int) -> Module: ...

    @overload
    def __getitem__(self, index: slice) -> Sequential: ...

    def __getitem__(self, index: int | slice) -> Module:
        if isinstance(index, slice):
            return type(self)(OrderedDict(list(self._modules.items())[index]))
        return self._modules[self._name(index)]

    def forward(self, input: Any) -> Any:
        modules = list(self._modules.values())
        at = 0
        while at < len(modules):
            module = modules[at]
            behind = modules[at + 1] if at + 1 < len(modules) else None
            # Only what is known to compute no more than this.
            if type(module) is Linear and isinstance(behind, Activation) and isinstance(input, Tensor):
                input = F.linear_activation(input, module.weight, module.bias, behind.op)
                at += 2
            else:
                input = module(input)
                at += 1
        return input


class ModuleList(_Numbered):
    """Modules in a list, which are part of the module that the list is part of.

    >>> from libnumpack import nn
    >>> nn.ModuleList(nn.Linear(2, 2) for _ in range(3))
    ModuleList(
      (0-2): 3 x Linear(in_features=2, out_features=2, bias=True)
    )
    """

    def __init__(self, modules: Iterable[Module] | None = None) -> None:
        super().__init__()
        self.extend(modules or ())

    @overload
    def __getitem__(self, index: int) -> Module: ...

    @overload
    def __getitem__(self, index: slice) -> ModuleList: ...

    def __getitem__(self, index: int | slice) -> Module:
        if isinstance(index, slice):
            return type(self)(list(self)[index])
        return self._modules[self._name(index)]

    def __iadd__(self, modules: Iterable[Module]) -> ModuleList:
        return self.extend(modules)  # type: ignore[no-any-return]

    def __add__(self, modules: Iterable[Module]) -> ModuleList:
        return ModuleList([*self, *modules])

    def _shown_parts(self) -> list[tuple[str, str]]:
        found = []
        for text, same in groupby(super()._shown_parts(), key=lambda part: part[1]):
            names = [name for name, _ in same]
            if len(names) > 1:
                found.append((f"{names[0]}-{names[-1]}", f"{len(names)} x {text}"))
            else:
                found.append((names[0], text))
        return found


class ModuleDict(Module):
    """Modules by names, which are part of the module that the dict is part of."""

    _modules: dict[str, Module]  # type: ignore[assignment]

    def __init__(self, modules: Mapping[str, Module] | Iterable[tuple[str, Module]] | None = None) -> None:
        super().__init__()
        self.update(modules or {})

    def __getitem__(self, key: str) -> Module:
        return self._modules[key]

    def __setitem__(self, key: str, module: Module) -> None:
        self.add_module(key, module)

    def __delitem__(self, key: str) -> None:
        del self._modules[key]

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[str]:
        return iter(self._modules)

    def __contains__(self, key: object) -> bool:
        return key in self._modules

    def keys(self) -> Iterable[str]:
        """The names."""
        return self._modules.keys()

    def values(self) -> Iterable[Module]:
        """The modules."""
        return self._modules.values()

    def items(self) -> Iterable[tuple[str, Module]]:
        """Names and modules."""
        return self._modules.items()

    def pop(self, key: str) -> Module:
        """Takes a module out and gives it."""
        return self._modules.pop(key)

    def clear(self) -> None:
        """Takes all modules out."""
        self._modules.clear()

    def update(self, modules: Mapping[str, Module] | Iterable[tuple[str, Module]]) -> None:
        """More modules, or others of the same names."""
        for name, module in modules.items() if isinstance(modules, Mapping) else modules:
            self.add_module(name, module)
