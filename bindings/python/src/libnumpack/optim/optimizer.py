"""What all optimisers are: groups of parameters with options, a step, a state."""

from __future__ import annotations

import ctypes
from typing import Any, Callable, Iterable, Mapping, Union

from .._native import Handle, handles, lib, make, text, texts
from ..nn._inputs import is_torch
from ..nn.module import Module, clear_grad
from ..tensors import Tensor, as_tensor, enable_grad

Params = Union[Iterable[Tensor], Iterable[Mapping[str, Any]]]


class Optimizer:
    """The base of `SGD`, `Adam` and `AdamW`, which are made.

    ``params``: tensors that are trained, such as ``model.parameters()``, or dicts, each a group: its
    ``params``, and options that differ from those of the others. `param_groups` has all of them, to be read
    and set between steps. Parameters stay the same tensors when their module moves, and the optimiser goes on
    with them.
    """

    param_groups: list[dict[str, Any]]
    """A dict for each group: ``params``, and its options by name, such as ``lr``."""
    defaults: dict[str, Any]
    """The options of a group that says nothing else."""
    _native: Handle

    def __init__(self, params: Params, defaults: Mapping[str, Any]) -> None:
        if isinstance(params, Tensor):
            raise TypeError("params is a Tensor; give an iterable of tensors or dicts, such as [tensor]")
        if isinstance(params, Module):
            raise TypeError(f"params is a {type(params).__name__}; give its parameters()")
        self.defaults = dict(defaults)
        self.param_groups = []
        self._sent: list[dict[str, float]] = []
        # How often something was done that a recorded step must know, and who recorded the last one.
        self._renewed = 0
        self._recorder: Any = None
        given = list(params)
        if not given:
            raise ValueError("there are no parameters to train; give some, such as model.parameters()")
        groups: list[Any] = given if isinstance(given[0], Mapping) else [{"params": given}]
        for group in groups:
            self.add_param_group(group)

    def add_param_group(self, param_group: Mapping[str, Any]) -> None:
        """One more group: a dict of ``params``, a tensor or several, and options that differ from `defaults`.

        Raises `ValueError` for a tensor that is trained already, was computed, or wants no gradients.
        """
        if not isinstance(param_group, Mapping):
            raise TypeError(f"a group is a dict with params, not {type(param_group).__name__}")
        group = {**self.defaults, **param_group}
        params = group["params"]
        group["params"] = params = [params] if isinstance(params, Tensor) else list(params)
        known = {id(p) for other in self.param_groups for p in other["params"]}
        for param in params:
            if not isinstance(param, Tensor):
                raise TypeError(f"a parameter is a Tensor, not {type(param).__name__}")
            if not param.is_leaf:
                raise ValueError("a computed tensor cannot be trained; give those that it was computed of")
            if id(param) in known:
                raise ValueError("a parameter is given twice; give each once, to one group")
            known.add(id(param))
            if param._nn is None:
                # One that may want a gradient later on.
                param._nn = param._compute()
        settings = self._settings(group)
        every = handles([p._compute() for p in params]), len(params)
        if self.param_groups:
            lib.nn_optimizer_add_group(self._native, *every, settings["lr"])
        else:
            self._native = self._made(*every, settings["lr"])
        self.param_groups.append(group)
        self._sent.append({})
        self._renewed += 1
        self._send()

    def _made(self, params: Any, count: int, lr: float) -> Handle:
        """The library's optimiser of a first group."""
        raise NotImplementedError

    def _settings(self, group: Mapping[str, Any]) -> dict[str, float]:
        """The options of a group as the library has them, checked."""
        raise NotImplementedError

    def _send(self) -> None:
        """Has the library know of options that were set."""
        for i, (group, sent) in enumerate(zip(self.param_groups, self._sent)):
            wanted = self._settings(group)
            if wanted != sent:
                for name, value in wanted.items():
                    if sent.get(name) != value:
                        lib.nn_optimizer_set_setting(self._native, i, text(name), value)
                self._sent[i] = wanted

    def _every(self) -> list[Tensor]:
        return [param for group in self.param_groups for param in group["params"]]

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Leaves its parameters without gradients, or with zeros."""
        for param in self._every():
            clear_grad(param, set_to_none)

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Changes each parameter that has a gradient. With a ``closure``, which computes the loss and
        gradients anew, gives its loss.

        Raises `ValueError` for options that cannot be, and then has changed no parameter.
        """
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        self._send()
        every = self._every()
        turned = []
        try:
            for group in self.param_groups:
                for param in group["params"] if group.get("maximize") else ():
                    grad = param.grad
                    if grad is not None:
                        turned.append((param, grad))
                        param.grad = -grad.detach()
            for param in every:
                # What was written to its memory meanwhile.
                param._compute()
            self._renewed += 1
            lib.nn_optimizer_step(self._native)
        finally:
            for param, grad in turned:
                param.grad = grad
        for param in every:
            param._changed()
        return loss

    # States.

    def _kept(self) -> dict[int, dict[str, Tensor]]:
        """What the library keeps of each parameter, by its number: copies."""
        state = make("nn_state", "nn_optimizer_state", self._native)
        found: dict[int, dict[str, Tensor]] = {}
        for i in range(lib.nn_state_count(state)):
            name, tensor = ctypes.c_char_p(), ctypes.c_void_p()
            lib.nn_state_get(state, i, ctypes.byref(name), ctypes.byref(tensor))
            number, _, what = (name.value or b"").decode().partition(".")
            handle = Handle.of(lib.nn_tensor_retain(tensor), "nn_tensor")
            found.setdefault(int(number), {})[what] = Tensor._of_compute(handle)
        return found

    @property
    def state(self) -> dict[Tensor, dict[str, Tensor]]:
        """What is kept of each parameter that was changed, such as ``exp_avg``: copies. `load_state_dict`
        sets it."""
        every = self._every()
        return {every[i]: kept for i, kept in self._kept().items()}

    def state_dict(self) -> dict[str, Any]:
        """What torch's optimiser of this name gives: ``state``, by the parameters' numbers, and
        ``param_groups``, with such numbers for parameters. `libnumpack.save` writes it, and torch loads it.

        >>> from libnumpack import nn, optim
        >>> optimizer = optim.SGD(nn.Linear(2, 1).parameters(), lr=0.1)
        >>> state = optimizer.state_dict()
        >>> state["state"], state["param_groups"][0]["params"], state["param_groups"][0]["lr"]
        ({}, [0, 1], 0.1)
        """
        groups, count = [], 0
        for group in self.param_groups:
            numbers = list(range(count, count + len(group["params"])))
            groups.append({**{k: v for k, v in group.items() if k != "params"}, "params": numbers})
            count += len(numbers)
        return {"state": self._kept(), "param_groups": groups}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Takes a state of the same kind of optimiser, ours or torch's, of parameters in the same order.

        Raises `ValueError` for groups of other sizes, and for what does not fit a parameter; nothing is
        changed then.
        """
        groups = state_dict["param_groups"]
        sizes = [len(group["params"]) for group in groups]
        own = [len(group["params"]) for group in self.param_groups]
        if sizes != own:
            raise ValueError(f"the state has groups of {sizes} parameters, not of {own}; give one that fits")
        for group in groups:
            self._settings({**self.defaults, **group})
        # Their numbers in the state, which need not be those of their places.
        places = {number: i for i, number in enumerate(n for group in groups for n in group["params"])}
        names, tensors = [], []
        for number, entries in state_dict["state"].items():
            for name, value in entries.items():
                if value is not None:
                    at = places.get(number if number in places else int(number))
                    names.append(f"{at if at is not None else len(places)}.{name}")
                    tensors.append(as_tensor(value.detach().cpu() if is_torch(value) else value))
        handles_ = [tensor.detach()._compute() for tensor in tensors]
        lib.nn_optimizer_load_state(self._native, texts(names), handles(handles_), len(names))
        for own_group, group in zip(self.param_groups, groups):
            own_group.update({name: value for name, value in group.items() if name != "params"})
        self._renewed += 1
        self._send()

    def __repr__(self) -> str:
        lines = [f"{type(self).__name__} ("]
        for i, group in enumerate(self.param_groups):
            lines.append(f"Parameter Group {i}")
            lines += [f"    {name}: {group[name]}" for name in sorted(group) if name != "params"]
        return "\n".join([*lines, ")"])


def check(name: str, value: float, least: float = 0.0, below: float = float("inf")) -> float:
    """A number within its bounds, as a float."""
    found = float(value)
    if not least <= found < below:
        beyond = "" if below == float("inf") else f", and less than {below:g}"
        raise ValueError(f"{name} is {value}; give {least:g} or more{beyond}")
    return found
