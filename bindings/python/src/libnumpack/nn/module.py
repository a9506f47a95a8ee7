"""Modules: what has parameters, and computes with them."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any, Callable, Iterator, Mapping, TypeVar

from .. import devices, dtypes
from ..tensors import Tensor
from ..tensors.core import names_device
from . import _inputs, _state
from .parameter import Parameter, at, put

M = TypeVar("M", bound="Module")

_TOO_EARLY = "{} has no parts yet; call super().__init__() before"


class Module:
    """What has parameters and computes with them: the base of all layers, and of yours, as
    ``torch.nn.Module``.

    Parameters, buffers and modules that become attributes are part of the module: `parameters`, `state_dict`
    and `to` find them by their dotted names. A class of yours calls ``super().__init__()`` first, and defines
    ``forward``.

    A call takes tensors, NumPy's arrays, and torch's tensors, also in tuples, lists and dicts:

    * of `Tensor`, the result is a `Tensor`, with gradients;
    * of `libnumpack.vulkan.VulkanTensor`, it is a ``VulkanTensor``, with gradients. A module that is on the
      host moves to their device first, and stays there;
    * of arrays and torch's tensors alone, it is an array, without gradients, computed where the parameters
      are.

    Floats become of the type of the parameters; those of a module without any stay what they are, but arrays
    become float32. Whole numbers and truth values are never converted. A `Tensor` on another device than the
    parameters is a `libnumpack.errors.SharingError`. All of that is done by the outermost call: within
    ``forward`` there are tensors.

    >>> import numpy as np
    >>> from libnumpack import nn
    >>> class Twice(nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.inner = nn.Linear(3, 3)
    ...     def forward(self, x):
    ...         return self.inner(self.inner(x))
    >>> [name for name, _ in Twice().named_parameters()]
    ['inner.weight', 'inner.bias']
    >>> Twice()(np.ones((2, 3))).dtype
    dtype('float32')
    """

    training: bool
    """Whether it is being trained, as modules are made for: dropout is done only then."""
    _parameters: dict[str, Parameter | None]
    _buffers: dict[str, Tensor | None]
    _modules: dict[str, Module | None]
    _not_saved: set[str]
    _version = 1

    def __init__(self) -> None:
        self.__dict__.update(training=True, _parameters={}, _buffers={}, _modules={}, _not_saved=set())

    # What it computes.

    forward: Callable[..., Any]
    """What the module computes of tensors; a class defines it."""

    def __call__(self, *inputs: Any, **named: Any) -> Any:
        if _inputs.here.within:
            return self.forward(*inputs, **named)
        return _inputs.call(self, inputs, named)

    # Its parts.

    def __setattr__(self, name: str, value: Any) -> None:
        own = self.__dict__
        if "_parameters" not in own:
            if isinstance(value, (Parameter, Module)):
                raise AttributeError(_TOO_EARLY.format(type(self).__name__))
            object.__setattr__(self, name, value)
        elif isinstance(value, Parameter):
            self._forget(name, "_parameters")
            self.register_parameter(name, value)
        elif isinstance(value, Module):
            self._forget(name, "_modules")
            self.add_module(name, value)
        elif name in own["_parameters"] or name in own["_modules"]:
            kind = "parameter" if name in own["_parameters"] else "module"
            if value is not None:
                raise TypeError(f"{name!r} is a {kind}, not a {type(value).__name__}; give another, or None")
            own[f"_{kind}s"][name] = None
        elif name in own["_buffers"]:
            if value is not None and not isinstance(value, Tensor):
                raise TypeError(f"{name!r} is a buffer, not a {type(value).__name__}; give a Tensor")
            own["_buffers"][name] = value
        else:
            object.__setattr__(self, name, value)

    def __getattr__(self, name: str) -> Any:
        # Only for what is not found otherwise.
        for kind in ("_parameters", "_buffers", "_modules"):
            kept = self.__dict__.get(kind, {})
            if name in kept:
                return kept[name]
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __delattr__(self, name: str) -> None:
        for kind in ("_parameters", "_buffers", "_modules"):
            if name in self.__dict__.get(kind, {}):
                del self.__dict__[kind][name]
                self._not_saved.discard(name)
                return
        object.__delattr__(self, name)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *self._parameters, *self._buffers, *self._modules})

    def _forget(self, name: str, but: str) -> None:
        """Whatever else has this name goes."""
        self.__dict__.pop(name, None)
        for kind in ("_parameters", "_buffers", "_modules"):
            if kind != but:
                self.__dict__[kind].pop(name, None)
        self._not_saved.discard(name)

    def _check_name(self, name: str, kept: Mapping[str, Any]) -> None:
        if not isinstance(name, str):
            raise TypeError(f"the name of a part is a str, not {type(name).__name__}")
        if not name or "." in name:
            raise KeyError(f"the name {name!r} of a part is empty or has a dot; choose another")
        if name not in kept and (hasattr(self, name) or name in self.__dict__):
            raise KeyError(f"there is an attribute {name!r} already; choose another name")

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Makes a parameter part of the module; None keeps its place for one that may be set later."""
        if "_parameters" not in self.__dict__:
            raise AttributeError(_TOO_EARLY.format(type(self).__name__))
        self._check_name(name, self._parameters)
        if param is not None and not isinstance(param, Parameter):
            raise TypeError(f"{name!r} is a {type(param).__name__}, not a Parameter; make one of it")
        self._parameters[name] = param

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Makes a tensor part of the module that is not trained. It is saved if ``persistent``."""
        if "_buffers" not in self.__dict__:
            raise AttributeError(_TOO_EARLY.format(type(self).__name__))
        self._check_name(name, self._buffers)
        if tensor is not None and not isinstance(tensor, Tensor):
            kind = type(tensor).__name__
            raise TypeError(f"the buffer {name!r} is a {kind}, not a Tensor; use libnumpack.as_tensor")
        self._buffers[name] = tensor
        (self._not_saved.discard if persistent else self._not_saved.add)(name)

    def add_module(self, name: str, module: Module | None) -> None:
        """Makes a module part of this one."""
        if module is not None and not isinstance(module, Module):
            raise TypeError(f"{name!r} is a {type(module).__name__}, not a Module")
        self._check_name(name, self._modules)
        self._modules[name] = module

    def register_module(self, name: str, module: Module | None) -> None:
        """`add_module`."""
        self.add_module(name, module)

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """The modules of which it directly consists, each once, with their names."""
        seen = set()
        for name, module in self._modules.items():
            if module is not None and id(module) not in seen:
                seen.add(id(module))
                yield name, module

    def children(self) -> Iterator[Module]:
        """The modules of which it directly consists."""
        for _, module in self.named_children():
            yield module

    def named_modules(
        self, memo: set[Module] | None = None, prefix: str = "", remove_duplicate: bool = True,
    ) -> Iterator[tuple[str, Module]]:
        """This module and all that are in it, by their dotted names, each once unless ``remove_duplicate`` is
        false."""
        memo = set() if memo is None else memo
        if self in memo:
            return
        if remove_duplicate:
            memo.add(self)
        yield prefix, self
        for name, module in self._modules.items():
            if module is not None:
                yield from module.named_modules(memo, _joined(prefix, name), remove_duplicate)

    def modules(self) -> Iterator[Module]:
        """This module and all that are in it."""
        for _, module in self.named_modules():
            yield module

    def _named(
        self, kind: str, prefix: str, recurse: bool, remove_duplicate: bool,
    ) -> Iterator[tuple[str, Any]]:
        seen = set()
        every = self.named_modules(None, prefix, remove_duplicate) if recurse else iter([(prefix, self)])
        for path, module in every:
            for name, tensor in module.__dict__[kind].items():
                if tensor is None or id(tensor) in seen:
                    continue
                if remove_duplicate:
                    seen.add(id(tensor))
                yield _joined(path, name), tensor

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True,
    ) -> Iterator[tuple[str, Parameter]]:
        """Its parameters by their dotted names, in the order in which they were made."""
        return self._named("_parameters", prefix, recurse, remove_duplicate)

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """Its parameters, and with ``recurse`` those of the modules in it, each once.

        >>> from libnumpack import nn
        >>> sum(p.numel() for p in nn.Linear(10, 2).parameters())
        22
        """
        for _, tensor in self.named_parameters(recurse=recurse):
            yield tensor

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True,
    ) -> Iterator[tuple[str, Tensor]]:
        """Its buffers by their dotted names."""
        return self._named("_buffers", prefix, recurse, remove_duplicate)

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        """Its buffers."""
        for _, tensor in self.named_buffers(recurse=recurse):
            yield tensor

    def get_submodule(self, target: str) -> Module:
        """The module of this dotted name. Raises `AttributeError` where there is none."""
        module: Any = self
        for name in target.split(".") if target else ():
            module = getattr(module, name)
            if not isinstance(module, Module):
                raise AttributeError(f"{name!r} of {target!r} is no module")
        return module  # type: ignore[no-any-return]

    def get_parameter(self, target: str) -> Parameter:
        """The parameter of this dotted name. Raises `AttributeError` where there is none."""
        path, _, name = target.rpartition(".")
        found = getattr(self.get_submodule(path), name)
        if not isinstance(found, Parameter):
            raise AttributeError(f"{target!r} is no parameter")
        return found

    # What is done with all of them.

    def state_dict(
        self, *, destination: OrderedDict[str, Any] | None = None, prefix: str = "", keep_vars: bool = False,
    ) -> OrderedDict[str, Any]:
        """Parameters and buffers by their dotted names, without gradients: the same memory. The dict has an
        attribute ``_metadata``, as torch's has. With ``keep_vars`` they are the parameters themselves.

        >>> from libnumpack import nn
        >>> list(nn.Linear(3, 2).state_dict())
        ['weight', 'bias']
        """
        return _state.collect(self, destination, prefix, keep_vars)

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True) -> _state.Keys:
        """Copies a state into parameters and buffers: tensors of ours, of torch, or arrays, of any type and
        device.

        Gives the names that were missing and those that were not expected. Raises `RuntimeError` that lists
        both, if ``strict``, and all shapes that differ; nothing is changed then.

        >>> from libnumpack import nn
        >>> nn.Linear(3, 2).load_state_dict(nn.Linear(3, 2).state_dict())
        <All keys matched successfully>
        """
        return _state.load(self, state_dict, strict)

    def train(self: M, mode: bool = True) -> M:
        """Says whether it is being trained, and all modules in it."""
        if not isinstance(mode, bool):
            raise ValueError(f"whether a module is trained is True or False, not {mode!r}")
        for module in self.modules():
            module.training = mode
        return self

    def eval(self: M) -> M:
        """Used from here on: ``train(False)``."""
        return self.train(False)

    def requires_grad_(self: M, requires_grad: bool = True) -> M:
        """Says whether its parameters are to be trained."""
        for param in self.parameters():
            param.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Leaves its parameters without gradients, or with zeros."""
        for param in self.parameters():
            clear_grad(param, set_to_none)

    def apply(self: M, fn: Callable[[Module], Any]) -> M:
        """Calls a function with each module in it, and then with it."""
        for module in self.children():
            module.apply(fn)
        fn(self)
        return self

    def _each(self: M, change: Callable[[Tensor], Tensor]) -> M:
        """Parameters, which stay the same objects, and buffers become what ``change`` makes of them."""
        for param in self.parameters():
            before = param.detach()
            after = change(before)
            if after is not before:
                put(param, after)
        done: dict[int, Tensor] = {}
        for module in self.modules():
            for name, buffer in module._buffers.items():
                if buffer is not None:
                    if id(buffer) not in done:
                        done[id(buffer)] = change(buffer)
                    module._buffers[name] = done[id(buffer)]
        return self

    def to(
        self: M, *where: Any, device: devices.DeviceLike | None = None, dtype: dtypes.DTypeLike | None = None,
    ) -> M:
        """Moves parameters and buffers to a device, and those that are floats to another type of floats, in
        place: ``to(device)``, ``to(dtype)``, ``to(device, dtype)``, or to where and what a tensor is.

        Parameters stay the same objects, so that an optimiser goes on with them; their gradients follow.
        Raises `libnumpack.errors.DeviceError` where there is no such device, and `TypeError` for a type that
        it does not have, such as float64 on Vulkan.

        >>> import libnumpack
        >>> from libnumpack import nn
        >>> nn.Linear(3, 2).to(libnumpack.float64).weight.dtype
        libnumpack.float64
        """
        for value in where:
            if isinstance(value, Tensor):
                device, dtype = value.device, value.dtype
            elif isinstance(value, devices.device) or names_device(value):
                device = value
            elif value is not None:
                dtype = value
        there = None if device is None else devices.device(device)
        floats = None if dtype is None else dtypes.as_dtype(dtype)
        if floats is not None and not floats.is_floating_point:
            raise TypeError(f"parameters are floats, and cannot become {floats}; give a type such as float32")

        return self._each(lambda t: at(t, there, floats if t.dtype.is_floating_point else None))

    def cpu(self: M) -> M:
        """Moves it to the host."""
        return self.to(devices.cpu)

    def vulkan(self: M, index: int | None = None) -> M:
        """Moves it to a Vulkan device, by its number in `libnumpack.vulkan.devices` or the usual one.

        Raises `libnumpack.errors.DeviceError` where there is none.
        """
        return self.to(devices.device("vulkan", index))

    def float(self: M) -> M:
        """All floats become float32."""
        return self.to(dtypes.float32)

    def double(self: M) -> M:
        """All floats become float64, which devices do not have."""
        return self.to(dtypes.float64)

    def half(self: M) -> M:
        """All floats become float16."""
        return self.to(dtypes.float16)

    def bfloat16(self: M) -> M:
        """All floats become bfloat16."""
        return self.to(dtypes.bfloat16)

    # How it is shown.

    def extra_repr(self) -> str:
        """What is shown of the module between its parentheses, if it has no modules; a class may define
        it."""
        return ""

    def _shown_parts(self) -> list[tuple[str, str]]:
        return [(name, repr(module)) for name, module in self._modules.items()]

    def __repr__(self) -> str:
        lines = self.extra_repr().splitlines()
        parts = [f"({name}): {text}" for name, text in self._shown_parts()]
        if not parts and len(lines) < 2:
            return f"{type(self).__name__}({''.join(lines)})"
        inner = "\n".join([*lines, *parts]).replace("\n", "\n  ")
        return f"{type(self).__name__}(\n  {inner}\n)"


def _joined(prefix: str, name: str) -> str:
    return f"{prefix}.{name}" if prefix else name


def clear_grad(tensor: Tensor, set_to_none: bool) -> None:
    """Leaves a tensor without its gradient, or with zeros."""
    if set_to_none:
        tensor.grad = None
    elif tensor.grad is not None:
        tensor.grad = tensor.grad.detach() * 0
