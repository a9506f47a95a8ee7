"""Neural networks: layers, losses, and modules that are made of them. Names, arguments and first values are
those of ``torch.nn``.

| module | holds |
|---|---|
| `module` | `Module`: parts by name, states, moves, calls |
| `parameter` | `Parameter` |
| `layers` | linear layers, embeddings, norms, dropout, activations |
| `containers` | `Sequential`, `ModuleList`, `ModuleDict` |
| `attention` | `MultiheadAttention` and a transformer's encoder |
| `loss` | losses |
| `functional` | what all of them compute, as functions |
| `init` | first values |
| `utils` | gradients made smaller |

>>> import numpy as np
>>> from libnumpack import nn
>>> model = nn.Sequential(nn.Linear(10, 20), nn.ReLU(), nn.Linear(20, 2))
>>> model(np.zeros((5, 10))).shape
(5, 2)
"""

from . import functional, init, utils
from .attention import MultiheadAttention, TransformerEncoder, TransformerEncoderLayer
from .containers import ModuleDict, ModuleList, Sequential
from .layers import (
    GELU, Dropout, Embedding, Flatten, Identity, LayerNorm, Linear, LogSoftmax, ReLU, RMSNorm, Sigmoid, SiLU,
    Softmax, Tanh,
)
from .loss import BCEWithLogitsLoss, CrossEntropyLoss, L1Loss, MSELoss, NLLLoss
from .module import Module
from .parameter import Parameter

__all__ = [
    "BCEWithLogitsLoss", "CrossEntropyLoss", "Dropout", "Embedding", "Flatten", "GELU", "Identity", "L1Loss",
    "LayerNorm", "Linear", "LogSoftmax", "MSELoss", "Module", "ModuleDict", "ModuleList",
    "MultiheadAttention", "NLLLoss", "Parameter", "RMSNorm", "ReLU", "Sequential", "SiLU", "Sigmoid",
    "Softmax", "Tanh", "TransformerEncoder", "TransformerEncoderLayer", "functional", "init", "utils",
]
