"""Sums and the like, products of matrices, and functions of whole lines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Sequence, Union

import numpy as np

from .. import dtypes
from .._native import constants as c
from .._native import make, numbers
from .grad import no_grad
from .pointwise import _kind, _operand

if TYPE_CHECKING:
    from ..dtypes import DTypeLike

Dims = Union[int, Sequence[int], None]


class Extremes(NamedTuple):
    """The largest or smallest elements along a dimension, and where they are."""

    values: Any
    indices: Any


def _dims(dim: Dims, ndim: int) -> tuple[int, Any]:
    found: tuple[Any, ...] = () if dim is None else (dim,) if _is_dim(dim) else tuple(dim)  # type: ignore[arg-type]
    if not ndim and found in ((0,), (-1,)):
        # Of a single number that is all, as PyTorch has it.
        found = ()
    return len(found), numbers(found)


def _is_dim(dim: Any) -> bool:
    """Whether it is one number, Python's or NumPy's."""
    return hasattr(dim, "__index__") and not hasattr(dim, "_compute") and not isinstance(dim, np.ndarray)


class Reduction:
    """``dim`` is one dimension, several, or None for all; it goes, or stays with size 1 with ``keepdim``."""

    __slots__ = ()

    if TYPE_CHECKING:
        _compute: Any
        _of_compute: Any
        _cast: Any
        _dtype: dtypes.dtype
        _shape: Any
        @property
        def ndim(self) -> int: ...
        numel: Any
        gather: Any
        unsqueeze: Any
        squeeze: Any
        detach: Any
        maximum: Any
        minimum: Any
        square: Any

    def _reduce(self, op: int, dim: Dims, keepdim: bool) -> Any:
        return self._of_compute(make("nn_tensor", "nn_tensor_reduce", self._compute(), op, *_dims(dim, self.ndim), keepdim))

    def sum(self, dim: Dims = None, keepdim: bool = False, *, dtype: DTypeLike | None = None) -> Any:
        """The sum; of integers and truth values as int64."""
        source = self if dtype is None else self._cast(dtypes.as_dtype(dtype))
        return source._reduce(c.NN_SUM, dim, keepdim)

    def mean(self, dim: Dims = None, keepdim: bool = False, *, dtype: DTypeLike | None = None) -> Any:
        """The mean, of floats."""
        source = self if dtype is None else self._cast(dtypes.as_dtype(dtype))
        return source._reduce(c.NN_MEAN, dim, keepdim)

    def amax(self, dim: Dims = None, keepdim: bool = False) -> Any:
        """The largest element."""
        return self._reduce(c.NN_AMAX, dim, keepdim)

    def amin(self, dim: Dims = None, keepdim: bool = False) -> Any:
        """The smallest element."""
        return self._reduce(c.NN_AMIN, dim, keepdim)

    def argmax(self, dim: int | None = None, keepdim: bool = False) -> Any:
        """The place of the largest element, along a dimension or among all, as int64."""
        return self._reduce(c.NN_ARGMAX, dim, keepdim)

    def argmin(self, dim: int | None = None, keepdim: bool = False) -> Any:
        """The place of the smallest element."""
        return self._reduce(c.NN_ARGMIN, dim, keepdim)

    def max(self, dim: Any = None, keepdim: bool = False) -> Any:
        """The largest element of all; along ``dim`` as `Extremes`, ``(values, indices)``; with another tensor in
        place of ``dim``, the larger of each two."""
        if dim is None:
            return self.amax()
        return self._extremes(dim, keepdim, "argmax") if _is_dim(dim) else self.maximum(dim)

    def min(self, dim: Any = None, keepdim: bool = False) -> Any:
        """The smallest, as `max` has the largest."""
        if dim is None:
            return self.amin()
        return self._extremes(dim, keepdim, "argmin") if _is_dim(dim) else self.minimum(dim)

    def _extremes(self, dim: int, keepdim: bool, which: str) -> Extremes:
        # Truth values have no order of their own.
        numbers_ = self._cast(dtypes.uint8) if self._dtype is dtypes.bool_ else self
        if not self.ndim:
            return Extremes(self, getattr(numbers_, which)())
        indices = getattr(numbers_, which)(dim, True)
        values = self.gather(dim, indices)
        return Extremes(values, indices) if keepdim else Extremes(values.squeeze(dim), indices.squeeze(dim))

    def var(self, dim: Dims = None, keepdim: bool = False, *, correction: float = 1) -> Any:
        """The variance of n elements, with a divisor of n - ``correction``."""
        count, dims = _dims(dim, self.ndim)
        return self._of_compute(
            make("nn_tensor", "nn_tensor_var", self._compute(), count, dims, correction, keepdim)
        )

    def std(self, dim: Dims = None, keepdim: bool = False, *, correction: float = 1) -> Any:
        """The standard deviation, the root of `var`."""
        return self.var(dim, keepdim, correction=correction).sqrt()

    def norm(self, dim: Dims = None, keepdim: bool = False) -> Any:
        """The root of the sum of squares."""
        return self.square().sum(dim, keepdim).sqrt()

    def all(self, dim: Any = None, keepdim: bool = False) -> Any:
        """Whether all elements are true, or not 0."""
        return self._truths(dim, keepdim, "all")

    def any(self, dim: Any = None, keepdim: bool = False) -> Any:
        """Whether one element is true, or not 0."""
        return self._truths(dim, keepdim, "any")

    def _truths(self, dim: Any, keepdim: bool, name: str) -> Any:
        if not self.numel():
            from .create import tensor

            found = getattr(self.detach().cpu()._flat(), name)(axis=dim, keepdims=keepdim)
            return tensor(found, device=self.device)  # type: ignore[attr-defined]
        with no_grad():
            truths = self._cast(dtypes.bool_)._cast(dtypes.uint8)
            return (truths.amin if name == "all" else truths.amax)(dim, keepdim)._cast(dtypes.bool_)

    def softmax(self, dim: int, dtype: DTypeLike | None = None) -> Any:
        """e to the power of each element over the sum of those along a dimension."""
        source = self if dtype is None else self._cast(dtypes.as_dtype(dtype))
        return self._of_compute(make("nn_tensor", "nn_tensor_softmax", source._compute(), dim, False))

    def log_softmax(self, dim: int, dtype: DTypeLike | None = None) -> Any:
        """The logarithm of `softmax`."""
        source = self if dtype is None else self._cast(dtypes.as_dtype(dtype))
        return self._of_compute(make("nn_tensor", "nn_tensor_softmax", source._compute(), dim, True))

    def matmul(self, other: Any) -> Any:
        """The product of matrices, of a matrix and a vector, or of batches of them, as `numpy.matmul` has it.

        >>> import libnumpack
        >>> libnumpack.tensor([[1.0, 2.0]]) @ libnumpack.tensor([[3.0], [4.0]])
        tensor([[11.]])
        """
        found = _operand(other)
        if found is None:
            raise TypeError(f"a tensor times {type(other).__name__} is no product of matrices; give a tensor")
        return _kind(self, found)._of_compute(
            make("nn_tensor", "nn_tensor_matmul", self._compute(), found._compute())
        )

    mm = dot = matmul

    def __matmul__(self, other: Any) -> Any:
        return NotImplemented if _operand(other) is None else self.matmul(other)

    def __rmatmul__(self, other: Any) -> Any:
        found = _operand(other)
        return NotImplemented if found is None else found.matmul(self)


def matmul(first: Any, second: Any) -> Any:
    """The product of two tensors as matrices: `Tensor.matmul`."""
    found = _operand(first)
    if found is None:
        raise TypeError(f"{type(first).__name__} is no tensor; make one with libnumpack.tensor")
    return found.matmul(second)
