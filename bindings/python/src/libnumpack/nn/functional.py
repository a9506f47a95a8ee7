"""What layers compute, as functions of tensors: ``torch.nn.functional``.

All take `Tensor`, on one device, and give new ones, with gradients. Errors are those of the library:
`ValueError` for shapes and numbers that cannot be, `TypeError` for types, `IndexError` for indices and classes
that are not there, `libnumpack.errors.SharingError` for tensors on two devices. A device says with the next read
that an index is not there; of such a class its loss is NaN.
"""

from __future__ import annotations

import ctypes
import math
from typing import Any, Sequence

from .._native import constants as c
from .._native import make, sizes, structs
from ..tensors import Tensor, arange, full, ones, where

_REDUCTIONS = {"mean": c.NN_REDUCTION_MEAN, "sum": c.NN_REDUCTION_SUM, "none": c.NN_REDUCTION_NONE}


def _computed(function: str, tensor: Tensor, *arguments: Any) -> Tensor:
    """What the library computes of a tensor and others, given as they are. The result is of the tensor's
    class."""
    # Whatever else has a shape, or is a list, must be a tensor.
    handles = [_handle(tensor)]
    handles += [
        _handle(value) if hasattr(value, "shape") or isinstance(value, (list, tuple)) else value for value in arguments
    ]
    return type(tensor)._of_compute(make("nn_tensor", function, *handles))


def _handle(value: Any) -> Any:
    if not isinstance(value, Tensor):
        raise TypeError(f"{type(value).__name__} is no Tensor; make one with libnumpack.tensor or as_tensor")
    return value._compute()


def relu(input: Tensor, inplace: bool = False) -> Tensor:
    """Each element, or 0 if that is more. With ``inplace`` it is a new tensor all the same, here and
    below."""
    return _computed("nn_tensor_unary", input, c.NN_RELU)


def gelu(input: Tensor, approximate: str = "none") -> Tensor:
    """x times the part of a normal distribution below x, or with ``approximate="tanh"`` nearly that."""
    return _computed("nn_tensor_unary", input, gelu_op(approximate))


def gelu_op(approximate: str) -> int:
    """The library's number for it."""
    if approximate not in ("none", "tanh"):
        raise ValueError(f"approximate is {approximate!r}; give 'none' or 'tanh'")
    return c.NN_GELU_TANH if approximate == "tanh" else c.NN_GELU


def silu(input: Tensor, inplace: bool = False) -> Tensor:
    """x times the sigmoid of x."""
    return _computed("nn_tensor_unary", input, c.NN_SILU)


def tanh(input: Tensor) -> Tensor:
    """The hyperbolic tangent."""
    return _computed("nn_tensor_unary", input, c.NN_TANH)


def sigmoid(input: Tensor) -> Tensor:
    """1 / (1 + e^-x)."""
    return _computed("nn_tensor_unary", input, c.NN_SIGMOID)


def softmax(input: Tensor, dim: int) -> Tensor:
    """e to the power of each element over the sum of those along a dimension."""
    return _computed("nn_tensor_softmax", input, dim, 0)


def log_softmax(input: Tensor, dim: int) -> Tensor:
    """The logarithm of `softmax`."""
    return _computed("nn_tensor_softmax", input, dim, 1)


def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """``input`` times ``weight``, transposed, plus ``bias``: of shape (…, in) to (…, out).

    ``weight``: (out, in). ``bias``: (out).
    """
    return _computed("nn_tensor_linear", input, weight, bias)


def linear_activation(input: Tensor, weight: Tensor, bias: Tensor | None, op: int) -> Tensor:
    """`linear` and a function of each element behind it in one, by the library's number for it."""
    return _computed("nn_tensor_linear_activation", input, weight, bias, op)


def dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """0 with probability ``p``, else x / (1 - p); the input itself unless ``training``."""
    if not 0 <= p <= 1:
        raise ValueError(f"dropout's probability is {p}; give one from 0 to 1")
    return _computed("nn_tensor_dropout", input, p) if training and p else input


def layer_norm(
    input: Tensor, normalized_shape: Sequence[int], weight: Tensor | None = None, bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """(x - mean) / √(variance + eps) over the last dimensions, which have this shape, times weight, plus
    bias."""
    shape = sizes(normalized_shape)
    return _computed("nn_tensor_layer_norm", input, len(shape), shape, weight, bias, eps)


def rms_norm(
    input: Tensor, normalized_shape: Sequence[int], weight: Tensor | None = None, eps: float | None = None,
) -> Tensor:
    """x / √(mean of squares + eps) over the last dimensions, which have this shape, times weight. ``eps`` is
    that of the type, if it is None."""
    shape = sizes(normalized_shape)
    given = None if eps is None else ctypes.c_double(eps)
    return _computed("nn_tensor_rms_norm", input, len(shape), shape, weight, given)


def embedding(input: Tensor, weight: Tensor, padding_idx: int | None = None) -> Tensor:
    """The rows of ``weight``, (rows, columns), that ``input``, of whole numbers, names: (input…, columns).
    The row ``padding_idx``, which may be counted from the end, has no gradient."""
    matrix, index = _handle(weight), _handle(input)
    row = -1 if padding_idx is None else row_of(padding_idx, weight.shape[0])
    return type(input)._of_compute(
        make("nn_tensor", "nn_tensor_embedding", matrix, index, row)
    )


def row_of(padding_idx: int, rows: int) -> int:
    """The number of a row from 0, of one that may be counted from the end."""
    if not -rows <= padding_idx < rows:
        raise ValueError(f"padding_idx {padding_idx} is none of {rows} rows; name one of them")
    return padding_idx % rows


def scaled_dot_product_attention(
    query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None, dropout_p: float = 0.0,
    is_causal: bool = False, scale: float | None = None,
) -> Tensor:
    """softmax(q kᵀ · scale) v: of (…, queries, columns), (…, keys, columns) and (…, keys, width).

    ``attn_mask``, broadcast to (…, queries, keys), is true where a key is attended to, or is added to the
    scores. With ``is_causal`` a query sees no key behind its own place. ``scale`` is 1 / √columns by default.
    """
    if is_causal:
        if attn_mask is not None:
            raise ValueError("there is a mask and is_causal; give one of them")
        attn_mask = ~causal_mask(query.shape[-2], key.shape[-2], query)
    scale = 1 / math.sqrt(query.shape[-1]) if scale is None else scale
    scores: Tensor = (query * scale) @ key.transpose(-1, -2)
    if attn_mask is not None:
        scores = hidden(scores, ~attn_mask if attn_mask.dtype.name == "bool" else attn_mask)
    found: Tensor = dropout(softmax(scores, -1), dropout_p) @ value
    return found


def causal_mask(queries: int, keys: int, like: Tensor) -> Tensor:
    """True where a key lies behind the query, where ``like`` is."""
    row = arange(queries, device=like.device).reshape(queries, 1)
    behind: Tensor = arange(keys, device=like.device).reshape(1, keys) > row
    return behind


def hidden(scores: Tensor, mask: Tensor) -> Tensor:
    """Scores with minus infinity where a mask of truth values is true, or with a mask of numbers added."""
    if mask.dtype.name != "bool":
        return scores + mask
    return where(mask, full((), -math.inf, dtype=scores.dtype, device=scores.device), scores)


# Losses. ``reduction``: ``"mean"`` or ``"sum"`` of the losses of all elements, or all of them for ``"none"``.


def reduction_of(reduction: str) -> int:
    """The library's number for it."""
    if reduction not in _REDUCTIONS:
        raise ValueError(f"reduction is {reduction!r}; give 'mean', 'sum' or 'none'")
    return _REDUCTIONS[reduction]


def mse_loss(input: Tensor, target: Tensor, *, reduction: str = "mean") -> Tensor:
    """(x - target)², of two tensors of one shape."""
    return _computed("nn_tensor_loss", input, c.NN_MSE, target, reduction_of(reduction))


def l1_loss(input: Tensor, target: Tensor, *, reduction: str = "mean") -> Tensor:
    """|x - target|, of two tensors of one shape."""
    return _computed("nn_tensor_loss", input, c.NN_L1, target, reduction_of(reduction))


def _class_loss(
    function: str, input: Tensor, target: Tensor, weight: Tensor | None, ignore_index: int, reduction: str,
    label_smoothing: float,
) -> Tensor:
    ignored = ctypes.c_int64(ignore_index)
    handle = None if weight is None else _handle(weight)
    options = structs["nn_cross_entropy_options"](
        reduction=reduction_of(reduction), weight=handle,
        ignore_index=ctypes.pointer(ignored), label_smoothing=label_smoothing,
    )
    return _computed(function, input, target, ctypes.byref(options))


def cross_entropy(
    input: Tensor, target: Tensor, weight: Tensor | None = None, *, ignore_index: int = -100,
    reduction: str = "mean", label_smoothing: float = 0.0,
) -> Tensor:
    """The cross entropy between the probabilities that softmax makes of ``input``, of shape (classes),
    (batch, classes) or (batch, classes, …), and ``target``.

    ``target``: class indices of that shape without classes, or probabilities of the same shape. ``weight``:
    one for each class. ``ignore_index``: a target that counts for nothing. ``label_smoothing``: what part of
    a target is spread over all classes.

    >>> import libnumpack
    >>> from libnumpack.nn import functional as F
    >>> loss = F.cross_entropy(libnumpack.zeros(4, 2), libnumpack.tensor([0, 1, 1, 0]))
    >>> round(loss.item(), 4)
    0.6931
    """
    return _class_loss(
        "nn_tensor_cross_entropy", input, target, weight, ignore_index, reduction, label_smoothing
    )


def nll_loss(
    input: Tensor, target: Tensor, weight: Tensor | None = None, *, ignore_index: int = -100,
    reduction: str = "mean",
) -> Tensor:
    """The same as `cross_entropy` behind `log_softmax`, of class indices."""
    return _class_loss("nn_tensor_nll_loss", input, target, weight, ignore_index, reduction, 0.0)


def binary_cross_entropy_with_logits(
    input: Tensor, target: Tensor, weight: Tensor | None = None, *, reduction: str = "mean",
    pos_weight: Tensor | None = None,
) -> Tensor:
    """The binary cross entropy between the sigmoid of ``input`` and ``target``, from 0 to 1, of one shape.

    ``weight`` is that of each element, ``pos_weight`` that of what is 1; both broadcast.
    """
    wanted = reduction_of(reduction)
    if weight is None and pos_weight is None:
        return _computed("nn_tensor_loss", input, c.NN_BCE_WITH_LOGITS, target, wanted)
    none = _REDUCTIONS["none"]
    if pos_weight is None:
        losses = _computed("nn_tensor_loss", input, c.NN_BCE_WITH_LOGITS, target, none)
    else:
        # That against ones is log(1 + e^-x), the loss of what is 1, and x more that of what is 0.
        like_ones = ones(*input.shape, dtype=input.dtype, device=input.device)
        of_ones = _computed("nn_tensor_loss", input, c.NN_BCE_WITH_LOGITS, like_ones, none)
        losses = (1 - target) * input + (1 + (pos_weight - 1) * target) * of_ones
    losses = losses if weight is None else losses * weight
    return losses if reduction == "none" else losses.mean() if reduction == "mean" else losses.sum()
