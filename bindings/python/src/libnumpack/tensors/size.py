"""How large tensors are: the sizes of their dimensions, and the memory that they show."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .core import Tensor


class Size(tuple):  # type: ignore[type-arg]
    """The sizes of a tensor's dimensions.

    >>> import libnumpack
    >>> libnumpack.zeros(2, 3).shape
    Size([2, 3])
    """

    __slots__ = ()

    def numel(self) -> int:
        """How many elements a tensor of these sizes has."""
        count = 1
        for size in self:
            count *= size
        return count

    def __repr__(self) -> str:
        return f"Size({list(self)})"


class Storage:
    """The memory that a tensor shows, on the host: all of it, also what the tensor leaves out."""

    def __init__(self, tensor: Tensor) -> None:
        self._memory = tensor._memory()
        layout = tensor._layout()
        self._pointer = (layout.data or 0) - (layout.offset * tensor.itemsize if layout.data else 0)
        self._size = int(layout.storage_nbytes)

    def data_ptr(self) -> int:
        """Its address."""
        return self._pointer

    def nbytes(self) -> int:
        """Its size in bytes."""
        return self._size

    __len__ = nbytes
