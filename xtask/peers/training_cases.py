"""Checkpoints as training scripts write them, a function each."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from registry import case


class Network(nn.Module):
    """Linear layers, batch norm, a tied output and a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(11, 6)
        self.hidden = nn.Linear(6, 6)
        self.norm = nn.BatchNorm1d(6)
        self.output = nn.Linear(6, 11, bias=False)
        self.output.weight = self.embedding.weight
        self.register_buffer("mask", torch.tensor([True, False, True]))
        self.register_buffer("scale", torch.tensor(0.5))

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Scores for each token."""
        return self.output(torch.tanh(self.norm(self.hidden(self.embedding(tokens)))))


def trained(make_optimizer: Callable[[Any], torch.optim.Optimizer], steps: int = 3) -> dict[str, Any]:
    """A network after some steps with the optimiser's state."""
    network = Network()
    optimizer = make_optimizer(network.parameters())
    for _ in range(steps):
        optimizer.zero_grad()
        network(torch.randint(11, (8,))).square().mean().backward()
        optimizer.step()
    return {"model": network.state_dict(), "optimizer": optimizer.state_dict(), "epoch": steps}


@case
def plain_state_dict() -> Any:
    return nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)).state_dict()


@case
def state_dict_with_buffers() -> Any:
    network = nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.Flatten(), nn.LazyLinear(2))
    network(torch.randn(4, 2, 5, 5))
    return network.state_dict()


@case
def tied_weights() -> Any:
    return Network().state_dict()


@case
def parameters_not_detached() -> Any:
    return OrderedDict(Network().named_parameters(remove_duplicate=False))


@case
def adam() -> Any:
    return trained(lambda parameters: torch.optim.Adam(parameters, lr=1e-3, amsgrad=True))


@case
def adamw_with_groups() -> Any:
    def optimizer(parameters: Any) -> torch.optim.Optimizer:
        first, *others = parameters
        groups = [{"params": [first], "weight_decay": 0.0}, {"params": others, "lr": torch.tensor(0.01)}]
        return torch.optim.AdamW(groups, lr=1e-3, betas=(0.8, 0.95), foreach=False)

    return trained(optimizer)


@case
def sgd_with_momentum() -> Any:
    return trained(lambda parameters: torch.optim.SGD(parameters, lr=0.1, momentum=0.9, nesterov=True))


@case
def sgd_without_state() -> Any:
    return trained(lambda parameters: torch.optim.SGD(parameters, lr=0.1))


@case
def adagrad() -> Any:
    return trained(lambda parameters: torch.optim.Adagrad(parameters, lr_decay=0.1))


@case
def rmsprop() -> Any:
    return trained(lambda parameters: torch.optim.RMSprop(parameters, centered=True, momentum=0.5))


@case
def lbfgs() -> Any:
    weight = nn.Parameter(torch.randn(3))
    optimizer = torch.optim.LBFGS([weight], max_iter=4)

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = (weight - 1).pow(4).sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    return optimizer.state_dict()


@case
def schedulers() -> Any:
    optimizer = torch.optim.SGD(Network().parameters(), lr=0.1, momentum=0.9)
    kinds = torch.optim.lr_scheduler
    made = {
        "step": kinds.StepLR(optimizer, 2),
        "cosine": kinds.CosineAnnealingLR(optimizer, 10),
        "one cycle": kinds.OneCycleLR(optimizer, max_lr=0.5, total_steps=20),
        "plateau": kinds.ReduceLROnPlateau(optimizer),
        "multi step": kinds.MultiStepLR(optimizer, [3, 5, 5]),
        "lambda": kinds.LambdaLR(optimizer, lambda epoch: 0.9**epoch),
    }
    optimizer.step()
    for name, scheduler in made.items():
        scheduler.step(*([0.5] if name == "plateau" else []))
    return {name: scheduler.state_dict() for name, scheduler in made.items()}


@case
def gradient_scaler() -> Any:
    state = {
        "scale": 65536.0,
        "growth_factor": 2.0,
        "backoff_factor": 0.5,
        "growth_interval": 2000,
        "_growth_tracker": 7,
    }
    return {"scaler": state, "found_inf": torch.tensor(0.0), "model": Network().state_dict()}


@case
def ema_is_the_same_dict() -> Any:
    state = Network().state_dict()
    return {"model": state, "ema": state, "history": [state, {"again": state}]}


@case
def ema_shares_storages() -> Any:
    state = Network().state_dict()
    return {"model": state, "ema": OrderedDict((name, value.view_as(value)) for name, value in state.items())}


@case
def bfloat16_model() -> Any:
    return Network().to(torch.bfloat16).state_dict()


@case
def half_model_with_float_copy() -> Any:
    network = Network()
    return {
        "master": network.state_dict(),
        "half": {name: p.half() for name, p in network.state_dict().items()},
    }


@case
def complex_parameters() -> Any:
    values = torch.complex(torch.randn(2, 3), torch.randn(2, 3))
    small = torch.randn(4, 2).half()
    return nn.ParameterDict(
        {
            "c64": nn.Parameter(values),
            "c128": nn.Parameter(values.to(torch.complex128)),
            "c32": nn.Parameter(torch.view_as_complex(small)),
        }
    ).state_dict()


@case
def quantised_per_tensor() -> Any:
    return {
        str(dtype): torch.quantize_per_tensor(
            torch.randn(3, 4), 0.1, 0 if dtype == torch.qint32 else 3, dtype
        )
        for dtype in (torch.qint8, torch.quint8, torch.qint32)
    }


@case
def quantised_per_channel() -> Any:
    scales, zeros = torch.tensor([0.1, 0.2, 0.3], dtype=torch.float64), torch.tensor([0, 1, 2])
    return {
        "affine": torch.quantize_per_channel(torch.randn(3, 4), scales, zeros, 0, torch.qint8),
        "last axis": torch.quantize_per_channel(torch.randn(4, 3), scales, zeros, 1, torch.quint8),
        "float": torch.quantize_per_channel(
            torch.randn(3, 4), scales.float(), zeros.float(), 0, torch.quint8
        ),
    }


@case
def quantised_transposed() -> Any:
    whole = torch.quantize_per_tensor(torch.randn(3, 4), 0.25, 1, torch.qint8)
    return {"whole": whole, "transposed": whole.t(), "part": whole[1:]}


@case
def sparse_coo() -> Any:
    indices = torch.tensor([[0, 2, 2], [1, 0, 0]])
    values = torch.tensor([1.0, 2.0, 3.0])
    loose = torch.sparse_coo_tensor(indices, values, (3, 4))
    hybrid = torch.sparse_coo_tensor(indices, torch.randn(3, 2), (3, 4, 2))
    empty = torch.sparse_coo_tensor(torch.empty(2, 0, dtype=torch.int64), torch.empty(0), (3, 4))
    return {"loose": loose, "coalesced": loose.coalesce(), "hybrid": hybrid, "empty": empty, "values": values}


@case
def sparse_compressed() -> Any:
    dense = torch.tensor([[0.0, 1, 0, 2], [3, 0, 0, 0], [0, 0, 4, 0], [0, 5, 0, 6]])
    return [
        dense.to_sparse_csr(),
        dense.to_sparse_csc(),
        dense.to_sparse_bsr((2, 2)),
        dense.to_sparse_bsc((2, 1)),
    ]


@case
def embedding_bags() -> Any:
    return nn.ModuleList([nn.EmbeddingBag(7, 3, mode=mode) for mode in ("sum", "mean")]).state_dict()


@case
def transformer_encoder() -> Any:
    layer = nn.TransformerEncoderLayer(8, 2, dim_feedforward=16, batch_first=True)
    return nn.TransformerEncoder(layer, 3, norm=nn.LayerNorm(8)).state_dict()


@case
def recurrent_layers() -> Any:
    return nn.ModuleDict({"lstm": nn.LSTM(3, 4, 2, bidirectional=True), "gru": nn.GRU(3, 4)}).state_dict()


@case
def weight_normalised() -> Any:
    return nn.utils.parametrizations.weight_norm(nn.Linear(3, 4)).state_dict()


@case
def nested_lists_of_state_dicts() -> Any:
    return {"fold": [[nn.Linear(2, 2).state_dict()], [], [nn.Linear(2, 1).state_dict(), {"score": 0.25}]]}


@case
def training_checkpoint() -> Any:
    state = trained(torch.optim.AdamW)
    state["rng"] = {"torch": torch.get_rng_state(), "python": (3, tuple(range(2**31, 2**31 + 625)), None)}
    state["best"], state["args"] = float("nan"), {"lr": 1e-3, "layers": (2, 2), "name": None, "amp": False}
    state["swa"] = OrderedDict((name, value.clone()) for name, value in state["model"].items())
    return state
