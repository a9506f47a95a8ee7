"""Train a small network with PyTorch and save a checkpoint as training scripts do.

Run with torch 2.15: ``python make_checkpoint.py [OUT]`` writes ``checkpoint.pt``
next to this script, and beside it ``checkpoint.truth.json``: what torch itself says of
each tensor. Everything is seeded, so the same torch on the same kind of processor
gives the same values.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections import OrderedDict
from pathlib import Path
from typing import Any

import torch
from torch import nn

VOCABULARY = 192
WIDTH = 48
STEPS_PER_EPOCH = 20
EPOCHS = 3


class TinyLanguageModel(nn.Module):
    """Predicts the next token from two tokens; the input and output embeddings are tied."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, WIDTH)
        nn.init.normal_(self.embedding.weight, std=0.1)
        self.hidden = nn.Linear(2 * WIDTH, 2 * WIDTH)
        self.norm = nn.BatchNorm1d(2 * WIDTH)
        self.project = nn.Linear(2 * WIDTH, WIDTH)
        self.output = nn.Linear(WIDTH, VOCABULARY, bias=False)
        self.output.weight = self.embedding.weight
        self.register_buffer("token_counts", torch.zeros(VOCABULARY, dtype=torch.int64))

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Scores every token as the successor of each row's two tokens."""
        embedded = self.embedding(tokens).flatten(1)
        activated = torch.relu(self.norm(self.hidden(embedded)))
        return self.output(self.project(activated))


def synthetic_batch(generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Pairs of tokens, each followed by the successor of its second token."""
    tokens = torch.randint(VOCABULARY, (64, 2), generator=generator)
    return tokens, (tokens[:, 1] + 1) % VOCABULARY


def train() -> dict[str, Any]:
    """Trains for a few epochs and returns what a training script would save."""
    torch.manual_seed(20)
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    generator = torch.Generator().manual_seed(15)

    model = TinyLanguageModel()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, betas=(0.9, 0.98), weight_decay=0.01)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=EPOCHS, eta_min=1e-4)
    loss_function = nn.CrossEntropyLoss()

    loss_history: list[float] = []
    for _ in range(EPOCHS):
        for _ in range(STEPS_PER_EPOCH):
            tokens, following = synthetic_batch(generator)
            model.token_counts += torch.bincount(tokens.flatten(), minlength=VOCABULARY)
            optimizer.zero_grad()
            loss = loss_function(model(tokens), following)
            loss.backward()
            optimizer.step()
            loss_history.append(loss.item())
        scheduler.step()

    return {
        "model": model.state_dict(),
        "model_bf16": half_precision(model.state_dict()),
        "optimizer": optimizer.state_dict(),
        "scheduler": scheduler.state_dict(),
        "epoch": EPOCHS,
        "loss_history": loss_history,
        "config": {
            "name": "tiny-language-model",
            "vocabulary": VOCABULARY,
            "width": WIDTH,
            "activation": {"kind": "relu", "inplace": False, "slope": None},
            "betas": (0.9, 0.98),
            "tied": True,
            "best_validation_loss": float("nan"),
            "early_stop_below": -float("inf"),
            "tags": ["example", "größe", "小"],
            "seed": 20,
        },
        "rng_state": generator.get_state(),
    }


def half_precision(state: dict[str, torch.Tensor]) -> OrderedDict[str, torch.Tensor]:
    """A copy of the floating-point tensors as bfloat16, as kept for inference."""
    return OrderedDict(
        (name, tensor.to(torch.bfloat16)) for name, tensor in state.items() if tensor.is_floating_point()
    )


def truth(value: Any, path: tuple[str, ...], storages: dict[int, int]) -> list[dict[str, Any]]:
    """What torch says of every tensor in a nested object, by dotted path."""
    if isinstance(value, torch.Tensor):
        memory = value.untyped_storage().data_ptr()
        data = value.contiguous().view(-1).view(torch.uint8).numpy().tobytes()
        return [
            {
                "name": ".".join(path),
                "dtype": str(value.dtype).removeprefix("torch."),
                "shape": list(value.shape),
                "storage": storages.setdefault(memory, len(storages)),
                "sha256": hashlib.sha256(data).hexdigest(),
            }
        ]
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, (list, tuple)):
        items = enumerate(value)
    else:
        items = ()
    return [entry for key, item in items for entry in truth(item, (*path, str(key)), storages)]


def main() -> None:
    """Writes the checkpoint to the path given, or next to this script."""
    default = Path(__file__).with_name("checkpoint.pt")
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else default
    checkpoint = train()
    torch.save(checkpoint, target)
    tensors = truth(torch.load(target), (), {})
    target.with_suffix(".truth.json").write_text(json.dumps({"tensors": tensors}, indent=1) + "\n")
    print(f"{target}: {target.stat().st_size} bytes, last loss {checkpoint['loss_history'][-1]:.4f}")


if __name__ == "__main__":
    main()
