"""Views, indexing and joining.

A view on the host shows the same memory. Where a gradient is to be noted it is computed too, beside the memory.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Iterator, Sequence

import numpy as np

from .. import dtypes
from .._native import handles, make, numbers, sizes
from ..errors import SharingError
from .grad import is_grad_enabled
from .pointwise import must_fit

if TYPE_CHECKING:
    from .core import Tensor


class Shape:
    __slots__ = ()

    if TYPE_CHECKING:
        _mem: Any
        _nn: Any
        _memory: Any
        _compute: Any
        _by_memory: Any
        _noted: Any
        _new: Any
        _of_compute: Any
        _of_memory: Any
        _showing: Any
        _mutated: Any
        _assign: Any
        _flat: Any
        _shape: Any
        _dtype: dtypes.dtype
        _device: Any
        @property
        def ndim(self) -> int: ...
        dim: Any
        numel: Any
        @property
        def requires_grad(self) -> bool: ...
        __len__: Any
        detach: Any

    def _view(self, name: str, *arguments: Any) -> Any:
        """A view by ``tensor_name`` or ``nn_tensor_name``, or both."""
        if self._by_memory():
            return self._showing(make("tensor", f"tensor_{name}", self._memory(), *arguments))
        nn = make("nn_tensor", f"nn_tensor_{name}", self._compute(), *arguments)
        mem = self._mem
        return self._new(None if mem is None else make("tensor", f"tensor_{name}", mem, *arguments), nn)

    def transpose(self, dim0: int, dim1: int) -> Any:
        """The same memory with two dimensions swapped."""
        return self._view("transpose", dim0, dim1)

    def permute(self, *dims: Any) -> Any:
        """The same memory with the dimensions in this order."""
        found = _sequence(dims)
        return self._view("permute", len(found), numbers(found))

    def t(self) -> Any:
        """A matrix transposed."""
        if self.ndim > 2:
            raise ValueError(f"t() is of matrices, and this has {self.ndim} dimensions; name two in transpose()")
        return self.transpose(0, 1) if self.ndim == 2 else self

    @property
    def T(self) -> Any:
        """The same memory with the dimensions in reverse order."""
        return self.permute(*reversed(range(self.ndim))) if self.ndim else self

    @property
    def mT(self) -> Any:
        """The same memory with the last two dimensions swapped."""
        return self.transpose(-2, -1)

    def unsqueeze(self, dim: int) -> Any:
        """The same memory with a dimension of size 1 more, at ``dim``."""
        return self._view("unsqueeze", dim)

    def squeeze(self, dim: int | None = None) -> Any:
        """The same memory without a dimension, if its size is 1, or without all such."""
        if dim is not None:
            return self._view("squeeze", dim)
        found: Any = self
        for at in reversed(range(self.ndim)):
            if self._shape[at] == 1:
                found = found.squeeze(at)
        return found

    def expand(self, *shape: Any) -> Any:
        """The same memory with dimensions of size 1 repeated; -1 keeps a size."""
        found = _sequence(shape)
        return self._view("expand", len(found), numbers(found))

    def expand_as(self, other: Any) -> Any:
        """`expand` to the shape of another tensor."""
        return self.expand(*other.shape)

    def view(self, *shape: Any) -> Any:
        """The same memory with other sizes, of which one may be -1.

        Raises `SharingError` where the elements would have to be copied: `reshape` does that.
        """
        found = _sequence(shape)
        if self._by_memory():
            return self._view("view", len(found), numbers(found))
        if not self.is_contiguous():  # type: ignore[attr-defined]
            raise SharingError("the elements do not lie in C order, and cannot be viewed so; use reshape()")
        return self._view("reshape", len(found), numbers(found))

    def view_as(self, other: Any) -> Any:
        """`view` with the shape of another tensor."""
        return self.view(*other.shape)

    def reshape(self, *shape: Any) -> Any:
        """The elements with other sizes, of which one may be -1: the same memory if that can be, else a copy."""
        found = _sequence(shape)
        return self._view("reshape", len(found), numbers(found))

    def reshape_as(self, other: Any) -> Any:
        """`reshape` to the shape of another tensor."""
        return self.reshape(*other.shape)

    def flatten(self, start_dim: int = 0, end_dim: int = -1) -> Any:
        """One dimension in place of several: the same memory if that can be, else a copy."""
        return self._view("flatten", start_dim, end_dim)

    ravel = flatten

    def select(self, dim: int, index: int) -> Any:
        """The same memory at one index of a dimension, which goes."""
        return self._view("select", dim, index)

    def narrow(self, dim: int, start: int, length: int) -> Any:
        """The same memory from ``start`` on, ``length`` indices of a dimension."""
        if not 0 <= length <= self._shape[dim]:
            raise ValueError(f"length is {length}; give 0 to {self._shape[dim]}")
        return self._view("narrow", dim, start if start >= 0 else start + self._shape[dim], length)

    def unbind(self, dim: int = 0) -> tuple[Any, ...]:
        """A view for each index of a dimension."""
        return tuple(self.select(dim, i) for i in range(self._shape[dim]))

    def split(self, size: Any, dim: int = 0) -> tuple[Any, ...]:
        """Views of ``size`` indices of a dimension each, the last of them maybe less, or of these sizes."""
        total, start, found = self._shape[dim], 0, []
        if hasattr(size, "__index__"):
            size = size.__index__()
            if size < 1:
                raise ValueError(f"size is {size}; give 1 or more")
            size = [min(size, total - at) for at in range(0, total, size)] or [0]
        if sum(size) != total:
            raise ValueError(f"the sizes {list(size)} have the sum {sum(size)}, and the dimension has {total}")
        for length in size:
            found.append(self.narrow(dim, start, length))
            start += length
        return tuple(found)

    def chunk(self, chunks: int, dim: int = 0) -> tuple[Any, ...]:
        """At most so many views of equal sizes, the last of them maybe smaller."""
        if chunks < 1:
            raise ValueError(f"chunks is {chunks}; give 1 or more")
        return self.split(max(1, -(-self._shape[dim] // chunks)), dim)

    def __iter__(self) -> Iterator[Any]:
        return iter([self[i] for i in range(len(self))])

    def __contains__(self, value: Any) -> bool:
        found = self == value
        return found is not False and bool(found.any())

    # Elements by index

    def index_select(self, dim: int, index: Any) -> Any:
        """A copy of those of these indices along a dimension, in their order."""
        return self._of_compute(
            make("nn_tensor", "nn_tensor_index_select", self._compute(), dim, _as_index(index, self)._compute())
        )

    def gather(self, dim: int, index: Any) -> Any:
        """For each place of ``index``, which has as many dimensions, the element that it names along ``dim``."""
        return self._of_compute(
            make("nn_tensor", "nn_tensor_gather", self._compute(), dim, _as_index(index, self)._compute())
        )

    def __getitem__(self, index: Any) -> Any:
        """As NumPy has it: integers, slices, ``...`` and None give views; lists, arrays and tensors of integers
        or truth values copies.

        Raises `IndexError` for an index that is not there, `ValueError` for a slice that goes backwards.
        """
        found: Any = self
        if type(index) is int and self._shape and -self._shape[0] <= index < self._shape[0]:
            return found.select(0, index)
        basic, advanced = _split(index, self)
        dim = 0
        for part in basic:
            if part is None:
                found = found.unsqueeze(dim)
                dim += 1
            elif isinstance(part, slice):
                if part != slice(None):
                    found = found._sliced(dim, part)
                dim += 1
            else:
                size = found.shape[dim]
                if not -size <= part < size:
                    raise IndexError(f"index {part} is out of range for dimension {dim} of size {size}")
                found = found.select(dim, part)
        if advanced:
            return found._taken(advanced)
        # Not the tensor itself, which in-place operators on t[:] would rebind.
        return found.detach() if found is self and not self.requires_grad else found

    def _sliced(self, dim: int, part: slice) -> Any:
        size = self._shape[dim]
        start, stop, step = part.indices(size)
        if step < 1:
            raise ValueError(f"a slice of a tensor goes forwards, and this has step {step}; copy it through NumPy")
        return self._view("slice", dim, start, max(start, stop), min(step, max(size, 1)))

    def _taken(self, advanced: list[tuple[int, Any]]) -> Any:
        """The elements by lists of indices along some dimensions, a copy."""
        if self._by_memory():
            from .create import tensor

            key: list[Any] = [slice(None)] * self.ndim
            for dim, index in advanced:
                key[dim] = index
            found = self._flat()[tuple(key)]
            return tensor_of_bits(np.array(found), self._dtype)
        first, count = advanced[0][0], len(advanced)
        if [dim for dim, _ in advanced] != list(range(first, first + count)):
            raise ValueError("lists of indices have to stand beside one another; take one after the other")
        indices = np.broadcast_arrays(*(index for _, index in advanced))
        strides = [int(np.prod(self._shape[first + i + 1 : first + count])) for i in range(count)]
        flat = np.zeros(indices[0].shape, np.int64)
        for (dim, _), index, step in zip(advanced, indices, strides):
            size = self._shape[dim]
            if index.size and not (-size <= index.min() and index.max() < size):
                raise IndexError(f"an index is out of range for dimension {dim} of size {size}")
            flat += np.where(index < 0, index + size, index) * step
        lines = self.flatten(first, first + count - 1) if count > 1 else self
        taken = lines.index_select(first, tensor_of_bits(flat.reshape(-1), dtypes.int64))
        shape = (*self._shape[:first], *flat.shape, *self._shape[first + count :])
        return taken.reshape(shape) if flat.ndim != 1 else taken

    def __setitem__(self, index: Any, value: Any) -> None:
        """Writes a number, tensor or array of a shape that broadcasts to those elements, converted.

        Raises `SharingError` for a tensor that requires grad, unless within `no_grad`, `IndexError`, `ValueError`
        for a shape that does not broadcast, `OverflowError` for a number that the type does not have.
        """
        if self._noted():
            raise SharingError(
                "a tensor that requires grad is changed in place; do it within no_grad, or change a clone"
            )
        from .create import tensor

        if isinstance(value, (int, float, complex)):
            must_fit(value, self._dtype)
        # Converted where it is: a device does not have all types.
        given = (value if hasattr(value, "_compute") else tensor(value)).detach().to(self._dtype)
        while given.ndim and given.shape[0] == 1:
            # Which broadcasts to nothing, too.
            given = given.select(0, 0)
        if self._device.type != "cpu":
            _, advanced = _split(index, self)
            if advanced:
                raise SharingError("on a device only views are written to; move the tensor with .cpu() first")
            self[index]._assign(given if hasattr(value, "_compute") else given.to(self._device))
            return
        self._memory()
        elements = self._flat()
        if not elements.flags.writeable:
            raise SharingError("the memory of the tensor is read-only; change a clone")
        basic, advanced = _split(index, self)
        if any(isinstance(part, slice) and (part.step or 1) < 1 for part in basic):
            raise ValueError("a slice of a tensor goes forwards; turn the values around instead")
        source = given.cpu()._flat()
        try:
            elements[_key(index)] = source
        except ValueError as e:
            raise ValueError(f"{str(e).rstrip('.')}; the values have the shape {source.shape}") from None
        self._mutated()


def tensor_of_bits(array: np.ndarray[Any, Any], dtype: dtypes.dtype) -> Any:
    """A tensor on an array of its own, of bits of this type."""
    from .core import Tensor
    from .exchange import share

    return Tensor._of_memory(share(array, dtype, ""))


def _sequence(values: Sequence[Any]) -> Sequence[Any]:
    if len(values) == 1 and isinstance(values[0], (tuple, list)):
        return values[0]
    return values


def _as_index(index: Any, beside: Any) -> Any:
    from .create import as_tensor

    found = as_tensor(index)
    if found.dtype not in (dtypes.int64, dtypes.int32):
        found = found.to(dtypes.int64)
    return found.to(device=beside._device)


def _array(part: Any) -> Any:
    """A list of indices or truth values as an array; anything else as it is."""
    if hasattr(part, "_compute"):
        part = part.detach().cpu()._flat()
    elif isinstance(part, (list, tuple, range)):
        part = np.asarray(part, np.int64 if not len(part) else None)
    elif isinstance(part, (bool, np.bool_)):
        part = np.asarray(part)
    if not isinstance(part, np.ndarray):
        return part
    if part.dtype.kind not in "biu":
        raise IndexError(f"an index is an integer or truth value, not {part.dtype.name}")
    return int(part) if part.ndim == 0 and part.dtype.kind != "b" else part


def _key(index: Any) -> Any:
    return tuple(map(_array, index)) if isinstance(index, tuple) else _array(index)


def _split(index: Any, of: Any) -> tuple[list[Any], list[tuple[int, Any]]]:
    """An index as views, one for each dimension from the first on, and lists of indices, with the dimensions of
    the view that they are of."""
    parts = list(index) if isinstance(index, tuple) else [index]
    parts = [_array(part) for part in parts]
    used = sum(p.ndim if _is_mask(p) else 1 for p in parts if p is not None and p is not Ellipsis)
    if used > of.ndim:
        raise IndexError(f"there are {used} indices for {of.ndim} dimensions")
    dots = [i for i, part in enumerate(parts) if part is Ellipsis]
    if len(dots) > 1:
        raise IndexError("there are several ... in an index; leave one")
    at = dots[0] if dots else len(parts)
    parts[at : at + 1] = [slice(None)] * (of.ndim - used)
    basic: list[Any] = []
    advanced: list[tuple[int, Any]] = []
    dim = source = 0
    for part in parts:
        if isinstance(part, np.ndarray):
            for one in _lists(part, of.shape[source : source + max(1, part.ndim)]):
                advanced.append((dim, one))
                basic.append(slice(None))
                dim += 1
                source += 1
            continue
        if part is not None and not isinstance(part, slice):
            if not hasattr(part, "__index__"):
                raise IndexError(f"{type(part).__name__} is no index; give an integer, a slice, a list or a mask")
            part = part.__index__()
        basic.append(part)
        dim += part is None or isinstance(part, slice)
        source += part is not None
    return basic, advanced


def _is_mask(part: Any) -> bool:
    return isinstance(part, np.ndarray) and part.dtype.kind == "b"


def _lists(part: np.ndarray[Any, Any], sizes_: Sequence[int]) -> Sequence[np.ndarray[Any, Any]]:
    """A mask as lists of indices, one for each of its dimensions."""
    if not _is_mask(part):
        return [part.astype(np.int64)]
    if part.shape != tuple(sizes_):
        raise IndexError(f"a mask of shape {part.shape} is not that of what it chooses from, {tuple(sizes_)}")
    return part.nonzero()


def _joined(function: str, tensors: Sequence[Any], dim: int) -> Any:
    from .create import as_tensor
    from .pointwise import _kind

    found = [as_tensor(t) for t in tensors]
    if not found:
        raise ValueError("there are no tensors to join; give at least one")
    # Computed handles stay until the call is over.
    computed = [t._compute() for t in found]
    kind = type(found[0])
    for other in found[1:]:
        kind = _kind(found[0] if kind is type(found[0]) else other, other)
    return kind._of_compute(make("nn_tensor", function, handles(computed), len(computed), dim))


def cat(tensors: Sequence[Any], dim: int = 0) -> Tensor:
    """Tensors one after another along a dimension; in the others their sizes are equal.

    >>> import libnumpack
    >>> libnumpack.cat([libnumpack.tensor([1, 2]), libnumpack.tensor([3])])
    tensor([1, 2, 3])
    """
    return _joined("nn_tensor_cat", tensors, dim)  # type: ignore[no-any-return]


def stack(tensors: Sequence[Any], dim: int = 0) -> Tensor:
    """Tensors of one shape along a new dimension."""
    return _joined("nn_tensor_stack", tensors, dim)  # type: ignore[no-any-return]


def where(condition: Any, first: Any, second: Any) -> Tensor:
    """Of each two elements that of ``first`` where ``condition`` is true, else that of ``second``; numbers serve
    too. All three broadcast."""
    from .create import as_tensor, full
    from .pointwise import _kind, scalar

    condition = as_tensor(condition)
    place = condition.device

    def operand(value: Any, beside: Any) -> Any:
        if scalar(value) is None:
            return as_tensor(value)
        dtype = beside.dtype if hasattr(beside, "_compute") and beside.dtype.is_floating_point else None
        return full((), value, dtype=dtype, device=place)

    a, b = operand(first, second), operand(second, first)
    return _kind(a, b)._of_compute(  # type: ignore[no-any-return]
        make("nn_tensor", "nn_tensor_where", a._compute(), condition._compute(), b._compute())
    )
