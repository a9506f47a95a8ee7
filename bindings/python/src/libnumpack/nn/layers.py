"""Layers: linear, embeddings, norms, dropout, activations, flattening."""

from __future__ import annotations

import math
import warnings
from typing import Any, Sequence, Union

from .. import dtypes
from .._native import constants as c
from ..devices import DeviceLike, callers_level
from ..dtypes import DTypeLike
from ..tensors import Tensor, empty, no_grad
from . import functional as F
from . import init
from .module import Module
from .parameter import Parameter, own, write

Shape = Union[int, Sequence[int]]


def new(shape: Sequence[int], device: DeviceLike | None, dtype: DTypeLike | None) -> Parameter:
    """A parameter of this shape, in float32 on the host by default, for which first values are still to be
    drawn."""
    floats = dtypes.float32 if dtype is None else dtypes.as_dtype(dtype)
    return own(empty(*shape, dtype=floats, device=device))


class Identity(Module):
    """Gives what it takes, whatever it was made with."""

    def __init__(self, *_: Any, **__: Any) -> None:
        super().__init__()

    def forward(self, input: Tensor) -> Tensor:
        return input


class Linear(Module):
    """``x weightᵀ + bias``: of shape (…, in_features) to (…, out_features).

    ``weight``, (out_features, in_features), and ``bias``, (out_features), or None, begin with uniform numbers
    within 1 / √in_features, in float32 on the host unless ``dtype`` and ``device`` say otherwise.

    >>> import numpy as np
    >>> from libnumpack import nn
    >>> nn.Linear(10, 2)(np.zeros((5, 10))).shape
    (5, 2)
    """

    def __init__(
        self, in_features: int, out_features: int, bias: bool = True, device: DeviceLike | None = None,
        dtype: DTypeLike | None = None,
    ) -> None:
        super().__init__()
        self.in_features = in_features
        self.out_features = out_features
        self.weight = new((out_features, in_features), device, dtype)
        self.register_parameter("bias", new((out_features,), device, dtype) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws first values anew."""
        bound = 1 / math.sqrt(self.in_features) if self.in_features > 0 else 0.0
        init.uniform_(self.weight, -bound, bound)
        if self.bias is not None:
            init.uniform_(self.bias, -bound, bound)

    def forward(self, input: Tensor) -> Tensor:
        return F.linear(input, self.weight, self.bias)

    def extra_repr(self) -> str:
        sizes = f"in_features={self.in_features}, out_features={self.out_features}"
        return f"{sizes}, bias={self.bias is not None}"


class Embedding(Module):
    """Rows of ``weight``, (num_embeddings, embedding_dim), by their numbers: of shape (…) to (…,
    embedding_dim).

    It takes whole numbers, and begins with normal ones. The row ``padding_idx`` begins with zeros and gets no
    gradient.

    >>> import numpy as np
    >>> from libnumpack import nn
    >>> nn.Embedding(100, 16, padding_idx=0)(np.array([[1, 5, 0]])).shape
    (1, 3, 16)
    """

    def __init__(
        self, num_embeddings: int, embedding_dim: int, padding_idx: int | None = None, *,
        device: DeviceLike | None = None, dtype: DTypeLike | None = None,
    ) -> None:
        super().__init__()
        self.num_embeddings = num_embeddings
        self.embedding_dim = embedding_dim
        self.padding_idx = None if padding_idx is None else F.row_of(padding_idx, num_embeddings)
        self.weight = new((num_embeddings, embedding_dim), device, dtype)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws first values anew."""
        init.normal_(self.weight)
        if self.padding_idx is not None:
            with no_grad():
                values = self.weight.detach().clone()
                values[self.padding_idx] = 0
            write(self.weight, values)

    @classmethod
    def from_pretrained(
        cls, embeddings: Tensor, freeze: bool = True, padding_idx: int | None = None,
    ) -> Embedding:
        """One with these rows, which are not trained if ``freeze``."""
        if embeddings.ndim != 2:
            raise ValueError(f"embeddings are of shape {embeddings.shape}; give (rows, columns)")
        rows, columns = embeddings.shape
        made = cls(rows, columns, padding_idx, device=embeddings.device, dtype=embeddings.dtype)
        made.weight = Parameter(embeddings, requires_grad=not freeze)
        return made

    def forward(self, input: Tensor) -> Tensor:
        return F.embedding(input, self.weight, self.padding_idx)

    def extra_repr(self) -> str:
        padding = "" if self.padding_idx is None else f", padding_idx={self.padding_idx}"
        return f"{self.num_embeddings}, {self.embedding_dim}{padding}"


class LayerNorm(Module):
    """(x - mean) / √(variance + eps) over the last dimensions, which have the shape ``normalized_shape``,
    times ``weight``, which begins with ones, plus ``bias``, which begins with zeros; without both if
    ``elementwise_affine`` is false."""

    def __init__(
        self, normalized_shape: Shape, eps: float = 1e-5, elementwise_affine: bool = True, bias: bool = True,
        device: DeviceLike | None = None, dtype: DTypeLike | None = None,
    ) -> None:
        super().__init__()
        self.normalized_shape = _shape(normalized_shape)
        self.eps = eps
        self.elementwise_affine = elementwise_affine
        for name, wanted in (("weight", elementwise_affine), ("bias", elementwise_affine and bias)):
            self.register_parameter(name, new(self.normalized_shape, device, dtype) if wanted else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Ones and zeros again."""
        if self.weight is not None:
            init.ones_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)

    def forward(self, input: Tensor) -> Tensor:
        return F.layer_norm(input, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        has = f"elementwise_affine={self.elementwise_affine}, bias={self.bias is not None}"
        return f"{self.normalized_shape}, eps={self.eps}, {has}"


class RMSNorm(Module):
    """x / √(mean of squares + eps) over the last dimensions, which have the shape ``normalized_shape``, times
    ``weight``, which begins with ones. Without ``eps`` it is the type's, such as 2⁻²³ for float32."""

    def __init__(
        self, normalized_shape: Shape, eps: float | None = None, elementwise_affine: bool = True,
        device: DeviceLike | None = None, dtype: DTypeLike | None = None,
    ) -> None:
        super().__init__()
        self.normalized_shape = _shape(normalized_shape)
        self.eps = eps
        self.elementwise_affine = elementwise_affine
        weight = new(self.normalized_shape, device, dtype) if elementwise_affine else None
        self.register_parameter("weight", weight)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Ones again."""
        if self.weight is not None:
            init.ones_(self.weight)

    def forward(self, input: Tensor) -> Tensor:
        return F.rms_norm(input, self.normalized_shape, self.weight, self.eps)

    def extra_repr(self) -> str:
        return f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}"


def _shape(shape: Shape) -> tuple[int, ...]:
    return (shape,) if isinstance(shape, int) else tuple(shape)


class Dropout(Module):
    """0 with probability ``p``, else x / (1 - p), in training; else what it takes."""

    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        super().__init__()
        if not 0 <= p <= 1:
            raise ValueError(f"dropout's probability is {p}; give one from 0 to 1")
        self.p = p
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:
        return F.dropout(input, self.p, self.training)

    def extra_repr(self) -> str:
        return f"p={self.p}, inplace={self.inplace}"


class Flatten(Module):
    """One dimension in place of those from ``start_dim`` to ``end_dim``: all but the first by default."""

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        super().__init__()
        self.start_dim = start_dim
        self.end_dim = end_dim

    def forward(self, input: Tensor) -> Tensor:
        return input.flatten(self.start_dim, self.end_dim)  # type: ignore[no-any-return]

    def extra_repr(self) -> str:
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"


class Activation(Module):
    """A function of each element, which a `Sequential` computes in one with a `Linear` before it. ``inplace``
    changes nothing but how it is shown: the input stays as it is."""

    op: int

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:
        return F._computed("nn_tensor_unary", input, self.op)

    def extra_repr(self) -> str:
        return "inplace=True" if self.inplace else ""


class ReLU(Activation):
    """Each element, or 0 if that is more."""

    op = c.NN_RELU


class SiLU(Activation):
    """x times the sigmoid of x."""

    op = c.NN_SILU


class Tanh(Activation):
    """The hyperbolic tangent."""

    op = c.NN_TANH

    def __init__(self) -> None:
        super().__init__()


class Sigmoid(Activation):
    """1 / (1 + e^-x)."""

    op = c.NN_SIGMOID

    def __init__(self) -> None:
        super().__init__()


class GELU(Activation):
    """x times the part of a normal distribution below x; ``approximate="tanh"`` for nearly that."""

    def __init__(self, approximate: str = "none") -> None:
        super().__init__()
        self.approximate = approximate
        self.op = F.gelu_op(approximate)

    def extra_repr(self) -> str:
        return f"approximate={self.approximate!r}"


class Softmax(Module):
    """e to the power of each element over the sum of those along ``dim``."""

    def __init__(self, dim: int | None = None) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, input: Tensor) -> Tensor:
        return F.softmax(input, _dim(self.dim, input))

    def extra_repr(self) -> str:
        return f"dim={self.dim}"


class LogSoftmax(Module):
    """The logarithm of `Softmax`."""

    def __init__(self, dim: int | None = None) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, input: Tensor) -> Tensor:
        return F.log_softmax(input, _dim(self.dim, input))

    def extra_repr(self) -> str:
        return f"dim={self.dim}"


def _dim(dim: int | None, input: Tensor) -> int:
    """PyTorch's choice of a dimension where none was given."""
    if dim is not None:
        return dim
    warnings.warn("a softmax without dim chooses one by the number of dimensions; give dim", stacklevel=callers_level())
    return 0 if input.ndim in (0, 1, 3) else 1
