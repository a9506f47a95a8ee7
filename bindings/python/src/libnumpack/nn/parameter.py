"""Parameters: tensors that are trained."""

from __future__ import annotations

from typing import Any

from .. import devices, dtypes
from .._native import Handle, lib, make
from ..tensors import Tensor, no_grad, zeros


class Parameter(Tensor):
    """A tensor that a module trains: a leaf that wants a gradient, found by `Module.parameters` once it is an
    attribute of a module.

    ``data``: its elements, a tensor of floats, whose memory it shares.

    >>> import libnumpack
    >>> from libnumpack import nn
    >>> weight = nn.Parameter(libnumpack.ones(2, 3))
    >>> weight.requires_grad, weight.shape
    (True, Size([2, 3]))
    """

    def __init__(self, data: Tensor | None = None, requires_grad: bool = True) -> None:
        data = zeros(0) if data is None else data
        if not isinstance(data, Tensor):
            kind = type(data).__name__
            raise TypeError(f"a parameter is made of a Tensor, not {kind}; use libnumpack.as_tensor")
        here = data.device == devices.cpu
        memory = make("tensor", "tensor_detach", data._memory()) if here else None
        self._begin(memory, make("nn_tensor", "nn_tensor_detach", data._compute()), requires_grad)

    def _begin(self, memory: Handle | None, compute: Handle, requires_grad: bool) -> None:
        lib.nn_tensor_require_grad(compute, requires_grad)
        self._mem, self._nn = memory, compute
        self._grad_of = self._base = self._own = None
        self._describe()

    @classmethod
    def _of_compute(cls, handle: Handle) -> Any:
        """What is computed of a parameter is none."""
        return Tensor._of_compute(handle)

    def _make_memory(self) -> None:
        # Unlike other tensors, also one that wants no gradient keeps what an optimiser may have.
        self._must_be_here()
        self._mem = make("tensor", "tensor_detach", make("tensor", "nn_tensor_to_tensor", self._nn))

    def __deepcopy__(self, memo: dict[int, Any]) -> Parameter:
        found = memo.get(id(self))
        if found is None:
            found = memo[id(self)] = own(self, self.requires_grad)
        return found

    def __reduce_ex__(self, protocol: Any) -> Any:
        return _loaded, (self.detach().cpu(), self.requires_grad, self.device)

    def __repr__(self) -> str:
        return f"Parameter containing:\n{super().__repr__()}"


def own(values: Tensor, requires_grad: bool = True) -> Parameter:
    """A parameter with a copy of these elements, which nobody shares."""
    with no_grad():
        copied = make("nn_tensor", "nn_tensor_clone", values._compute())
    made = Parameter.__new__(Parameter)
    made._begin(None, copied, requires_grad)
    return made


def _loaded(values: Tensor, requires_grad: bool, place: devices.device) -> Parameter:
    return own(values.to(place), requires_grad)


def write(tensor: Tensor, values: Tensor) -> None:
    """Writes elements into a tensor, also one that wants a gradient."""
    with no_grad():
        tensor.copy_(values)


class Moves:
    """How often parameters took other elements in the place of their own, which a recorded step must know."""

    count = 0


def put(tensor: Tensor, moved: Tensor) -> None:
    """Has a tensor take the elements of another one, of another device or type, and its gradient follow."""
    Moves.count += 1
    grad = tensor.grad
    tensor._set(moved)
    if grad is not None:
        tensor.grad = at(grad.detach(), moved.device, moved.dtype)


def at(tensor: Tensor, place: devices.device | None, dtype: dtypes.dtype | None) -> Tensor:
    """The tensor on a device, of a type; either may be None. What a device does not have is converted on the
    host."""
    if place == devices.cpu:
        tensor = tensor.to(place)
    if dtype is not None:
        tensor = tensor.to(dtype)
    return tensor if place is None else tensor.to(place)
