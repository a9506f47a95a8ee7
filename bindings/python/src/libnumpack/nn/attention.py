"""Attention with several heads, and the encoder of a transformer, which is made of it."""

from __future__ import annotations

import copy
import math
from typing import Any, Callable

from .._native import constants as c
from ..devices import DeviceLike
from ..dtypes import DTypeLike
from ..tensors import Tensor
from . import functional as F
from . import init
from .containers import ModuleList
from .layers import Activation, Dropout, LayerNorm, Linear, new
from .module import Module


class MultiheadAttention(Module):
    """softmax(q kᵀ / √(columns of a head)) v, of linear functions of query, key and value (Vaswani and
    others, 2017).

    ``embed_dim`` columns are shared by ``num_heads`` heads. Inputs are of shape (length, batch, columns), or
    (batch, length, columns) with ``batch_first``, or (length, columns) without a batch. Keys and values may
    have other numbers of columns, ``kdim`` and ``vdim``.

    >>> import numpy as np
    >>> from libnumpack import nn
    >>> attention = nn.MultiheadAttention(16, 4, batch_first=True)
    >>> x = np.zeros((2, 5, 16))
    >>> found, weights = attention(x, x, x)
    >>> found.shape, weights.shape
    ((2, 5, 16), (2, 5, 5))
    """

    def __init__(
        self, embed_dim: int, num_heads: int, dropout: float = 0.0, bias: bool = True, *,
        kdim: int | None = None, vdim: int | None = None, batch_first: bool = False,
        device: DeviceLike | None = None, dtype: DTypeLike | None = None,
    ) -> None:
        super().__init__()
        if embed_dim <= 0 or num_heads <= 0 or embed_dim % num_heads:
            raise ValueError(f"{embed_dim} columns cannot be shared by {num_heads} heads; give each as many")
        if not 0 <= dropout <= 1:
            raise ValueError(f"dropout's probability is {dropout}; give one from 0 to 1")
        self.embed_dim = embed_dim
        self.num_heads = num_heads
        self.head_dim = embed_dim // num_heads
        self.dropout = dropout
        self.batch_first = batch_first
        self.kdim = embed_dim if kdim is None else kdim
        self.vdim = embed_dim if vdim is None else vdim
        columns = {"q": embed_dim, "k": self.kdim, "v": self.vdim}
        together = self.kdim == self.vdim == embed_dim
        all_ = new((3 * embed_dim, embed_dim), device, dtype) if together else None
        self.register_parameter("in_proj_weight", all_)
        for name, width in columns.items():
            weight = None if together else new((embed_dim, width), device, dtype)
            self.register_parameter(f"{name}_proj_weight", weight)
        self.register_parameter("in_proj_bias", new((3 * embed_dim,), device, dtype) if bias else None)
        self.out_proj = Linear(embed_dim, embed_dim, bias, device, dtype)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws first values of what makes queries, keys and values anew; biases are zeros."""
        for weight in (self.in_proj_weight, self.q_proj_weight, self.k_proj_weight, self.v_proj_weight):
            if weight is not None:
                init.xavier_uniform_(weight)
        if self.in_proj_bias is not None:
            init.zeros_(self.in_proj_bias)
            init.zeros_(self.out_proj.bias)

    def forward(
        self, query: Tensor, key: Tensor, value: Tensor, key_padding_mask: Tensor | None = None,
        need_weights: bool = True, attn_mask: Tensor | None = None, average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """What the queries find, and how much each attends to each key, or None unless ``need_weights``: of
        shape (batch, queries, keys), the mean over the heads, or (batch, heads, queries, keys) unless
        ``average_attn_weights``.

        Masks are true where a key is not attended to, or numbers that are added to the scores:
        ``key_padding_mask`` is (batch, keys), ``attn_mask`` (queries, keys) or (batch · heads, queries,
        keys). With ``is_causal``, and no ``attn_mask``, a query sees no key behind its own place.
        """
        for name, given, columns in (
            ("query", query, self.embed_dim), ("key", key, self.kdim), ("value", value, self.vdim),
        ):
            if given.ndim not in (2, 3) or given.ndim != query.ndim or given.shape[-1] != columns:
                raise ValueError(
                    f"the {name} is of shape {given.shape}; give (length, batch, {columns}), or with "
                    f"batch_first (batch, length, {columns}), or (length, {columns}), as for the query"
                )
        unbatched = query.ndim == 2
        lengths_first = not self.batch_first and not unbatched
        projected = self._projected(query, key, value)
        if unbatched:
            projected = [t.unsqueeze(0) for t in projected]
            key_padding_mask = None if key_padding_mask is None else key_padding_mask.unsqueeze(0)
        q, k, v = (self._split(t.transpose(0, 1) if lengths_first else t) for t in projected)
        scores = (q * (1 / math.sqrt(self.head_dim))) @ k.transpose(-1, -2)
        if is_causal and attn_mask is None:
            attn_mask = F.causal_mask(q.shape[-2], k.shape[-2], q)
        if attn_mask is not None:
            if attn_mask.ndim == 3:
                attn_mask = attn_mask.reshape(-1, self.num_heads, *attn_mask.shape[1:])
            scores = F.hidden(scores, attn_mask)
        if key_padding_mask is not None:
            scores = F.hidden(scores, key_padding_mask.unsqueeze(1).unsqueeze(1))
        shares = F.softmax(scores, -1)
        found = (F.dropout(shares, self.dropout, self.training) @ v).transpose(1, 2)
        found = self.out_proj(found.reshape(found.shape[0], found.shape[1], self.embed_dim))
        weights = None if not need_weights else shares.mean(1) if average_attn_weights else shares
        if unbatched:
            return found.squeeze(0), None if weights is None else weights.squeeze(0)
        return found.transpose(0, 1) if lengths_first else found, weights

    def _projected(self, query: Tensor, key: Tensor, value: Tensor) -> list[Tensor]:
        """Query, key and value as the heads take them: by one product where all are made of the same."""
        width = self.embed_dim
        if self.in_proj_weight is not None and query is key and key is value:
            all_ = F.linear(query, self.in_proj_weight, self.in_proj_bias)
            return [all_.narrow(-1, i * width, width) for i in range(3)]
        made = []
        for i, (name, given) in enumerate((("q", query), ("k", key), ("v", value))):
            weight = getattr(self, f"{name}_proj_weight")
            if weight is None:
                weight = self.in_proj_weight.narrow(0, i * width, width)
            bias = None if self.in_proj_bias is None else self.in_proj_bias.narrow(0, i * width, width)
            made.append(F.linear(given, weight, bias))
        return made

    def _split(self, tensor: Tensor) -> Any:
        """(batch, length, columns) as (batch, heads, length, columns of a head)."""
        return tensor.reshape(*tensor.shape[:2], self.num_heads, self.head_dim).transpose(1, 2)


_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {"relu": F.relu, "gelu": F.gelu}
_OPS: dict[Any, int] = {F.relu: c.NN_RELU, F.gelu: c.NN_GELU}


class TransformerEncoderLayer(Module):
    """Attention of a sequence to itself, two linear layers, and a sum and norm behind each, or the norm
    before each with ``norm_first``.

    ``activation``: ``"relu"``, ``"gelu"``, or a function of tensors. Inputs are of shape (length, batch,
    d_model), or (batch, length, d_model) with ``batch_first``.
    """

    def __init__(
        self, d_model: int, nhead: int, dim_feedforward: int = 2048, dropout: float = 0.1,
        activation: str | Callable[[Tensor], Tensor] = "relu", layer_norm_eps: float = 1e-5,
        batch_first: bool = False, norm_first: bool = False, bias: bool = True,
        device: DeviceLike | None = None, dtype: DTypeLike | None = None,
    ) -> None:
        super().__init__()
        if isinstance(activation, str) and activation not in _ACTIVATIONS:
            raise ValueError(f"activation is {activation!r}; give 'relu', 'gelu' or a function")
        self.self_attn = MultiheadAttention(
            d_model, nhead, dropout, bias, batch_first=batch_first, device=device, dtype=dtype
        )
        self.linear1 = Linear(d_model, dim_feedforward, bias, device, dtype)
        self.dropout = Dropout(dropout)
        self.linear2 = Linear(dim_feedforward, d_model, bias, device, dtype)
        self.norm_first = norm_first
        self.norm1 = LayerNorm(d_model, layer_norm_eps, bias=bias, device=device, dtype=dtype)
        self.norm2 = LayerNorm(d_model, layer_norm_eps, bias=bias, device=device, dtype=dtype)
        self.dropout1 = Dropout(dropout)
        self.dropout2 = Dropout(dropout)
        self.activation = _ACTIVATIONS[activation] if isinstance(activation, str) else activation

    def forward(
        self, src: Tensor, src_mask: Tensor | None = None, src_key_padding_mask: Tensor | None = None,
        is_causal: bool = False,
    ) -> Tensor:
        """The sequence, each place of which knows of the others. Masks are those of `MultiheadAttention`."""
        masks = (src_mask, src_key_padding_mask, is_causal)
        if self.norm_first:
            src = src + self._attended(self.norm1(src), *masks)
            src = src + self._fed(self.norm2(src))
            return src
        src = self.norm1(src + self._attended(src, *masks))
        return self.norm2(src + self._fed(src))  # type: ignore[no-any-return]

    def _attended(self, x: Tensor, mask: Tensor | None, padding: Tensor | None, is_causal: bool) -> Any:
        found, _ = self.self_attn(x, x, x, padding, need_weights=False, attn_mask=mask, is_causal=is_causal)
        return self.dropout1(found)

    def _fed(self, x: Tensor) -> Any:
        op = self.activation.op if isinstance(self.activation, Activation) else _OPS.get(self.activation)
        if op is None:
            wide = self.activation(self.linear1(x))
        else:
            wide = F.linear_activation(x, self.linear1.weight, self.linear1.bias, op)
        return self.dropout2(self.linear2(self.dropout(wide)))


class TransformerEncoder(Module):
    """``num_layers`` copies of a layer, one after another, and ``norm`` behind them, if that is given. All
    begin with the values that the given layer has."""

    def __init__(self, encoder_layer: Module, num_layers: int, norm: Module | None = None) -> None:
        super().__init__()
        self.layers = ModuleList(copy.deepcopy(encoder_layer) for _ in range(num_layers))
        self.num_layers = num_layers
        self.norm = norm

    def forward(
        self, src: Tensor, mask: Tensor | None = None, src_key_padding_mask: Tensor | None = None,
        is_causal: bool = False,
    ) -> Tensor:
        """What the last layer makes of the sequence. Masks are those of the layers."""
        for layer in self.layers:
            src = layer(src, src_mask=mask, src_key_padding_mask=src_key_padding_mask, is_causal=is_causal)
        return src if self.norm is None else self.norm(src)
