"""The elements as NumPy's arrays, as Python's numbers, as text, and for other libraries."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .. import dtypes
from ..errors import SharingError
from . import exchange, text


class Values:
    __slots__ = ()

    if TYPE_CHECKING:
        _layout: Any
        _memory: Any
        _must_be_here: Any
        _flat: Any
        _shape: Any
        _dtype: dtypes.dtype
        detach: Any
        numel: Any
        @property
        def requires_grad(self) -> bool: ...

    def numpy(self) -> np.ndarray[Any, Any]:
        """The elements as an array that shares the tensor's memory.

        Raises `SharingError` for a tensor on a device (``.cpu()`` first) and one that requires grad (``.detach()``
        first), `TypeError` for a type that NumPy lacks, unless ml_dtypes has it and is installed.

        >>> import libnumpack
        >>> t = libnumpack.tensor([1.0, 2.0])
        >>> t.numpy()[0] = 7
        >>> t
        tensor([7., 2.])
        """
        self._must_be_here()
        if self.requires_grad:
            raise SharingError("the tensor requires grad, which an array does not know; call .detach() first")
        if self._dtype.numpy() is None:
            raise TypeError(
                f"NumPy has no {self._dtype.name}; install ml_dtypes, or convert it with .float() first"
            )
        return exchange.shown(self._memory(), self._dtype)

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray[Any, Any]:
        array = self.numpy()
        if dtype is not None and array.dtype != dtype:
            if copy is False:
                raise ValueError(f"{self._dtype.name} becomes {np.dtype(dtype)} only by a copy; allow it")
            return array.astype(dtype)
        return array.copy() if copy else array

    @property
    def __array_interface__(self) -> dict[str, Any]:
        array = self.numpy()
        found = dict(array.__array_interface__)
        return found

    def __buffer__(self, flags: Any) -> memoryview:
        return memoryview(self.numpy())  # type: ignore[arg-type]

    def __dlpack__(self, *, stream: Any = None, max_version: tuple[Any, Any] | None = None,
                   dl_device: tuple[Any, Any] | None = None, copy: Any = None) -> Any:
        """A DLPack capsule on the same memory; NumPy's and PyTorch's ``from_dlpack`` call this. Memory that is
        read-only, such as a mapped file's, is copied, unless ``copy`` is False.

        Raises `SharingError` for a tensor on a device, or one that requires grad.
        """
        if stream is not None:
            raise SharingError("a tensor on the host has no stream; leave it out")
        if dl_device is not None and tuple(map(int, dl_device)) != self.__dlpack_device__():
            raise BufferError("the tensor is on the host, and cannot be given on another device")
        self._must_be_here()
        if self.requires_grad:
            raise SharingError("the tensor requires grad, which others do not know; call .detach() first")
        versioned = max_version is not None and max_version[0] >= 1
        # Others write to what they are given, whatever it says of itself: PyTorch does. So a mapped file is copied.
        if copy is None:
            copy = self._layout().read_only
        return exchange.to_capsule(self._memory(), versioned, bool(copy))

    def __dlpack_device__(self) -> tuple[Any, Any]:
        self._must_be_here()
        return (1, 0)

    def item(self) -> Any:
        """The only element, as Python's number.

        Raises `ValueError` for a tensor of more or no elements.
        """
        if self.numel() != 1:
            raise ValueError(f"a tensor of {self.numel()} elements is no number; choose one, or use .tolist()")
        return self._values().item()

    def tolist(self) -> Any:
        """The elements as nested lists of Python's numbers."""
        return self._values().tolist()

    def _values(self) -> np.ndarray[Any, Any]:
        """The elements as an array to look at, of floats where NumPy has no such type."""
        found: Any = self if self._dtype.numpy() is not None else self.detach().float()
        return found._flat()  # type: ignore[no-any-return]

    def __bool__(self) -> Any:
        return bool(self.item())

    def __int__(self) -> Any:
        return int(self.item())

    def __float__(self) -> Any:
        return float(self.item())

    def __complex__(self) -> complex:
        return complex(self.item())

    def __index__(self) -> Any:
        if self._dtype.is_floating_point or self._dtype.is_complex:
            raise TypeError(f"a tensor of {self._dtype.name} is no index; give one of integers")
        return int(self.item())

    def __len__(self) -> Any:
        if not self._shape:
            raise TypeError("a tensor of 0 dimensions has no length; .numel() is 1")
        return self._shape[0]

    def __repr__(self) -> str:
        return text.shown(self)  # type: ignore[arg-type]

    def __format__(self, spec: str) -> str:
        return format(self.item(), spec) if spec and not self._shape else format(repr(self), spec)
