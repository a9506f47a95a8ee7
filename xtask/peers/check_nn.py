"""Checks ``numpack-nn`` against torch: values, gradients, and training, on the host and on devices.

Tensors go both ways in ``.pt`` files: what torch saved is read by the library, and what it wrote is
loaded by torch with ``weights_only``. The truth is torch's in doubles. ``BOUNDS`` says how far an
operation may be off, in units of the last place of the largest element of the result; the doubles of
the host keep to the same number of their own units.
``python check_nn.py --compute PATH [--vulkan]``.
"""

from __future__ import annotations

import argparse
import copy
import json
import random
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

BOUNDS = {
    # Sums of many products, each rounded.
    "matmul": 16,
    "linear": 16,
    "layer_norm": 16,
    "module": 16,
    # Quotients of sums.
    "softmax": 8,
    "rms_norm": 8,
    # A tangent or a power, and differences and products with it.
    "tanh": 8,
    "gelu_tanh": 8,
    "pow": 8,
}
"""What is not here may be off by 4 units."""

LEAVES = ["x", "z", "b"]
"""Names of tensors that want gradients."""

STEPS = 100
"""Of training."""

KINK = 2e-6
"""As near to 0 as singles may take a number near 1 that was added up for one of another sign."""


class Wrong(Exception):
    """A statement does not hold."""


class Compute:
    """The running example, and the folder in which tensors are exchanged."""

    def __init__(self, program: Path, folder: Path) -> None:
        self.folder = folder
        self.process = subprocess.Popen(
            [program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )

    def __call__(self, tensors: dict[str, torch.Tensor], **request: Any) -> dict[str, Any]:
        """What it makes of these tensors."""
        given, result = self.folder / "given.pt", self.folder / "result.pt"
        torch.save({name: t.detach() for name, t in tensors.items()}, given)
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write(json.dumps({"file": str(given), "result": str(result), **request}) + "\n")
        answer = self.process.stdout.readline().strip()
        if answer != "ok":
            raise Wrong(f"{answer or 'the program ended'}: {request}")
        return torch.load(result, weights_only=True)

    def end(self) -> None:
        """Lets it go."""
        assert self.process.stdin
        self.process.stdin.close()
        if self.process.wait(60) != 0:
            raise Wrong(f"the program ended with {self.process.returncode}")


class Checks:
    """Comparisons made, and how far off each operation was."""

    def __init__(self, compute: Compute, devices: list[str]) -> None:
        self.compute = compute
        self.devices = devices
        self.numbers = 0
        self.cases = 0
        self.worst: dict[tuple[str, str], float] = {}

    def close(
        self, op: str, where: str, name: str, have: torch.Tensor, want: torch.Tensor, terms: float
    ) -> None:
        """Fails where tensors differ by more than the operation's bound.

        What is lost is counted in units of the largest element, or of ``terms``, if that is more.
        """
        if have.shape != want.shape:
            raise Wrong(f"{op} on {where}: {name} has shape {tuple(have.shape)}, not {tuple(want.shape)}")
        self.numbers += want.numel()
        if want.numel() == 0:
            return
        eps = torch.finfo(have.dtype).eps
        scale = max(want.abs().max().item(), torch.finfo(have.dtype).tiny, terms)
        off = (have.double() - want).abs().max().item() / (eps * scale)
        key = (op, where)
        self.worst[key] = max(self.worst.get(key, 0.0), off)
        if not off <= BOUNDS.get(op, 4):
            raise Wrong(f"{op} on {where}: {name} is off by {off:.1f} units of the last place: {have}, not {want}")

    def same(
        self,
        op: str,
        tensors: dict[str, torch.Tensor],
        steps: list[dict[str, Any]],
        truth: Any,
        module: nn.Module | None = None,
        described: dict[str, Any] | None = None,
        terms: float = 0.0,
    ) -> None:
        """Runs steps here and there, and compares the value and all gradients.

        Those named in ``LEAVES`` want gradients. The result is weighed by random numbers and summed, to
        be the single number that gradients are of. ``terms`` is how large what gradients are differences
        of may be.
        """
        self.cases += 1
        for kind, where in [(torch.float64, "cpu"), *((torch.float32, d) for d in self.devices)]:
            # Doubles that are singles, so that both begin with the same numbers.
            given = {
                n: t.float().to(kind) if t.is_floating_point() else t for n, t in tensors.items()
            }
            leaves = [n for n in LEAVES if n in given]
            wide = {n: t.double().requires_grad_(n in leaves) if t.is_floating_point() else t for n, t in given.items()}
            sent = dict(given)
            request: dict[str, Any] = {"device": where, "outputs": ["y"], "leaves": leaves, "backward": "loss"}
            if module is not None:
                module = module.double()
                module.zero_grad()
                with torch.no_grad():
                    for p in module.parameters():
                        p.copy_(p.float().double())
                sent.update({f"m.{n}": p.detach().to(kind) for n, p in module.state_dict().items()})
                request["module"] = described
            y = truth(wide)
            w = torch.rand(y.shape).to(kind)
            (y * w.double()).sum().backward()
            sent["w"] = w
            request["steps"] = [
                *steps,
                {"out": "v", "op": "mul", "in": ["y", "w"]},
                {"out": "loss", "op": "sum", "in": ["v"], "dims": []},
            ]
            found = self.compute(sent, **request)
            self.close(op, f"{where} in {kind}", "the value", found["y"], y.detach(), 0.0)
            for n in leaves:
                if wide[n].grad is not None:
                    self.close(op, f"{where} in {kind}", f"the gradient of {n}", found[f"grad {n}"], wide[n].grad, terms)
            for n, p in module.named_parameters() if module is not None else []:
                self.close(op, f"{where} in {kind}", f"the gradient of {n}", found[f"grad m.{n}"], p.grad, terms)


def shape(low: int = 0, high: int = 4) -> list[int]:
    """Sizes of up to so many dimensions."""
    return [random.choice([1, 2, 3, 5, 8]) for _ in range(random.randint(low, high))]


def normal(*sizes: int) -> torch.Tensor:
    """Normal doubles."""
    return torch.randn(sizes, dtype=torch.float64)


def elementwise(say: Checks) -> None:
    """Functions of one and two elements."""
    above = lambda t: t.abs() + 0.1
    one = {
        "neg": torch.neg,
        "abs": torch.abs,
        "exp": torch.exp,
        "log": (torch.log, above),
        "sqrt": (torch.sqrt, above),
        "rsqrt": (torch.rsqrt, above),
        "reciprocal": (torch.reciprocal, above),
        "square": torch.square,
        "sin": torch.sin,
        "cos": torch.cos,
        "tanh": torch.tanh,
        "sigmoid": torch.sigmoid,
        "relu": torch.relu,
        "gelu": F.gelu,
        "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
        "silu": F.silu,
    }
    for name, function in one.items():
        function, domain = function if isinstance(function, tuple) else (function, lambda t: t)
        for _ in range(6):
            x = domain(normal(*shape()))
            say.same(name, {"x": x}, [{"out": "y", "op": name, "in": ["x"]}], lambda t: function(t["x"]))
    two = {
        "add": torch.add,
        "sub": torch.sub,
        "mul": torch.mul,
        "div": torch.div,
        "maximum": torch.maximum,
        "minimum": torch.minimum,
        "pow": torch.pow,
    }
    for name, function in two.items():
        for _ in range(8):
            full = shape(1)
            a = [1 if random.random() < 0.25 else s for s in full]
            b = [1 if random.random() < 0.25 else s for s in full][random.randint(0, len(full)) :]
            x, z = normal(*a), normal(*b)
            if name == "pow":
                x = above(x)
            if name == "div":
                z = above(z)
            say.same(
                name,
                {"x": x, "z": z},
                [{"out": "y", "op": name, "in": ["x", "z"]}],
                lambda t: function(t["x"], t["z"]),
            )
            number = random.choice([2, 0.5, 3.0, 1.5])
            step = {"out": "y", "op": name, "in": ["x"], "number": number}
            numbered = lambda t: function(t["x"], torch.as_tensor(number, dtype=torch.float64))
            say.same(name, {"x": above(x)}, [step], numbered)
    for _ in range(6):
        sizes = shape(1)
        condition = torch.rand(sizes) < 0.5
        say.same(
            "where",
            {"c": condition, "x": normal(*sizes), "z": normal(sizes[-1])},
            [{"out": "y", "op": "where", "in": ["c", "x", "z"]}],
            lambda t: torch.where(t["c"], t["x"], t["z"]),
        )
        bounds = {"min": -0.5, "max": random.choice([None, 0.25])}
        say.same(
            "clamp",
            {"x": normal(*sizes)},
            [{"out": "y", "op": "clamp", "in": ["x"], **bounds}],
            lambda t: torch.clamp(t["x"], bounds["min"], bounds["max"]),
        )


def shaped(say: Checks) -> None:
    """Views, joining, reductions, products."""
    for _ in range(8):
        sizes = shape(2)
        x = normal(*sizes)
        d = random.randrange(-len(sizes), len(sizes))
        e = random.randrange(len(sizes))
        order = random.sample(range(len(sizes)), len(sizes))
        index = torch.randint(0, sizes[d], (random.randint(1, 6),))
        places = torch.randint(0, sizes[d], [random.randint(1, 4) if i == d % len(sizes) else s for i, s in enumerate(sizes)])
        start, end, step = 1, sizes[e] + 3, 2
        cut = tuple(slice(start, end, step) if i == e else slice(None) for i in range(len(sizes)))
        views = {
            "transpose": ({"dims": [d, e]}, lambda t: t["x"].transpose(d, e)),
            "permute": ({"dims": order}, lambda t: t["x"].permute(order)),
            "reshape": ({"dims": [sizes[0], -1]}, lambda t: t["x"].reshape(sizes[0], -1)),
            "expand": ({"dims": [2, *sizes]}, lambda t: t["x"].expand(2, *sizes)),
            "select": ({"dim": d, "index": -1}, lambda t: t["x"].select(d, -1)),
            "slice": ({"dim": e, "dims": [start, end, step]}, lambda t: t["x"][cut]),
        }
        for name, (arguments, function) in views.items():
            say.same(name, {"x": x}, [{"out": "y", "op": name, "in": ["x"], **arguments}], function)
        say.same(
            "index_select",
            {"x": x, "i": index},
            [{"out": "y", "op": "index_select", "in": ["x", "i"], "dim": d}],
            lambda t: t["x"].index_select(d, t["i"]),
        )
        say.same(
            "gather",
            {"x": x, "i": places},
            [{"out": "y", "op": "gather", "in": ["x", "i"], "dim": d}],
            lambda t: t["x"].gather(d, t["i"]),
        )
        z = normal(*sizes)
        for name, function in {"cat": torch.cat, "stack": torch.stack}.items():
            step_ = {"out": "y", "op": name, "in": ["x", "z", "x"], "dim": d}
            say.same(name, {"x": x, "z": z}, [step_], lambda t: function([t["x"], t["z"], t["x"]], d))
        dims = random.sample(range(len(sizes)), random.randint(1, len(sizes)))
        keep = random.random() < 0.5
        reductions = {
            "sum": ({}, lambda t: t["x"].sum(dims, keep)),
            "mean": ({}, lambda t: t["x"].mean(dims, keep)),
            "var": ({"correction": 0}, lambda t: t["x"].var(dims, correction=0, keepdim=keep)),
            "amax": ({}, lambda t: t["x"].amax(dims, keep)),
            "amin": ({}, lambda t: t["x"].amin(dims, keep)),
        }
        for name, (arguments, function) in reductions.items():
            step_ = {"out": "y", "op": name, "in": ["x"], "dims": dims, "keepdim": keep, **arguments}
            say.same(name, {"x": x}, [step_], function)
        softs = {"softmax": torch.softmax, "log_softmax": torch.log_softmax}
        for name, function in softs.items():
            say.same(name, {"x": x}, [{"out": "y", "op": name, "in": ["x"], "dim": d}], lambda t: function(t["x"], d))
    for _ in range(16):
        m, k, n = (random.choice([1, 2, 3, 7, 16, 33]) for _ in range(3))
        batch = shape(0, 2)
        other = [1 if random.random() < 0.3 else s for s in batch][random.randint(0, len(batch)) :]
        a, b = random.choice(
            [
                ((*batch, m, k), (*other, k, n)),
                ((k,), (k,)),
                ((m, k), (k,)),
                ((k,), (*other, k, n)),
            ]
        )
        say.same(
            "matmul",
            {"x": normal(*a), "z": normal(*b)},
            [{"out": "y", "op": "matmul", "in": ["x", "z"]}],
            lambda t: t["x"] @ t["z"],
        )
        say.same(
            "linear",
            {"x": normal(*batch, k), "z": normal(n, k), "b": normal(n)},
            [{"out": "y", "op": "linear", "in": ["x", "z", "b"]}],
            lambda t: F.linear(t["x"], t["z"], t["b"]),
        )
        rows = random.randint(1, 6)
        say.same(
            "embedding",
            {"x": normal(rows, n), "i": torch.randint(0, rows, [2, m])},
            [{"out": "y", "op": "embedding", "in": ["x", "i"], "padding_idx": 0}],
            lambda t: F.embedding(t["i"], t["x"], padding_idx=0),
        )
        # A variance of two elements or one is nearly or quite 0, and stretches what was lost.
        last = random.choice([3, 5, 16, 33])
        say.same(
            "layer_norm",
            {"x": normal(*batch, m, last), "z": normal(last), "b": normal(last)},
            [{"out": "y", "op": "layer_norm", "in": ["x", "z", "b"], "shape": [last], "eps": 1e-3}],
            lambda t: F.layer_norm(t["x"], [last], t["z"], t["b"], 1e-3),
        )
        say.same(
            "rms_norm",
            {"x": normal(*batch, m, last), "z": normal(last)},
            [{"out": "y", "op": "rms_norm", "in": ["x", "z"], "shape": [last], "eps": 1e-5}],
            lambda t: F.rms_norm(t["x"], [last], t["z"], 1e-5),
        )


def losses(say: Checks) -> None:
    """Losses over classes and over elements."""
    for reduction in ["none", "mean", "sum"]:
        for smoothing in [0.0, 0.1]:
            for extra in [[], [3], [2, 2]]:
                classes, batch = random.choice([2, 3, 10, 70]), random.choice([1, 5, 8])
                x = normal(batch, classes, *extra)
                y = torch.randint(0, classes, [batch, *extra])
                if batch > 1:
                    y[0] = -100
                weight = torch.rand(classes, dtype=torch.float64) + 0.5
                options = {"reduction": reduction, "label_smoothing": smoothing}
                # A probability less a target, each up to 1.
                terms = 1.0 / y.numel() if reduction == "mean" else 1.0
                entropy = {"out": "y", "op": "cross_entropy", **options}
                say.same(
                    "cross_entropy",
                    {"x": x, "t": y, "c": weight},
                    [{**entropy, "in": ["x", "t", "c"]}],
                    lambda t: F.cross_entropy(t["x"], t["t"], t["c"], **options),
                    terms=terms,
                )
                say.same(
                    "cross_entropy",
                    {"x": x, "t": torch.softmax(normal(*x.shape), 1)},
                    [{**entropy, "in": ["x", "t"]}],
                    lambda t: F.cross_entropy(t["x"], t["t"], **options),
                    terms=terms,
                )
                say.same(
                    "nll_loss",
                    {"x": x, "t": y},
                    [
                        {"out": "l", "op": "log_softmax", "in": ["x"], "dim": 1},
                        {"out": "y", "op": "nll_loss", "in": ["l", "t"], "reduction": reduction},
                    ],
                    lambda t: F.nll_loss(F.log_softmax(t["x"], 1), t["t"], reduction=reduction),
                    terms=terms,
                )
        for name in ["mse_loss", "l1_loss"]:
            sizes = shape(1)
            function = getattr(F, name)
            say.same(
                name,
                {"x": normal(*sizes), "z": normal(*sizes)},
                [{"out": "y", "op": name, "in": ["x", "z"], "reduction": reduction}],
                lambda t: function(t["x"], t["z"], reduction=reduction),
            )
        name = "binary_cross_entropy_with_logits"
        say.same(
            name,
            {"x": normal(3, 5) * 4, "t": torch.rand(3, 5, dtype=torch.float64)},
            [{"out": "y", "op": name, "in": ["x", "t"], "reduction": reduction}],
            lambda t: F.binary_cross_entropy_with_logits(t["x"], t["t"], reduction=reduction),
        )


def modules(say: Checks) -> None:
    """Modules with torch's parameters."""
    mlp = nn.Sequential(nn.Linear(6, 9), nn.ReLU(), nn.Linear(9, 9), nn.Tanh(), nn.Linear(9, 3), nn.GELU())
    described = {
        "kind": "Sequential",
        "modules": [
            {"kind": "Linear", "in": 6, "out": 9},
            {"kind": "ReLU"},
            {"kind": "Linear", "in": 9, "out": 9},
            {"kind": "Tanh"},
            {"kind": "Linear", "in": 9, "out": 3},
            {"kind": "GELU"},
        ],
    }
    step = {"out": "y", "op": "module", "in": ["x"]}
    for sizes in [[6], [5, 6], [2, 3, 6]]:
        say.same("module", {"x": normal(*sizes)}, [step], lambda t: mlp(t["x"]), mlp, described)
    for norm, kind in [
        (nn.LayerNorm(6), {"kind": "LayerNorm", "size": 6}),
        (nn.RMSNorm(6, eps=1e-6), {"kind": "RMSNorm", "size": 6, "eps": 1e-6}),
    ]:
        nn.init.normal_(norm.weight)
        say.same("module", {"x": normal(4, 6)}, [step], lambda t: norm(t["x"]), norm, kind)
    rows = nn.Embedding(7, 4)
    rows_kind = {"kind": "Embedding", "rows": 7, "columns": 4}
    index = {"i": torch.randint(0, 7, (3, 5))}
    say.same("module", index, [{**step, "in": ["i"]}], lambda t: rows(t["i"]), rows, rows_kind)
    for batch_first in [False, True]:
        for bias in [False, True]:
            attention = nn.MultiheadAttention(8, 2, bias=bias, batch_first=batch_first)
            kind = {"kind": "MultiheadAttention", "columns": 8, "heads": 2, "bias": bias, "batch_first": batch_first}
            if bias:
                nn.init.normal_(attention.in_proj_bias)
                nn.init.normal_(attention.out_proj.bias)
            say.same(
                "module",
                {"x": normal(3, 5, 8)},
                [step],
                lambda t: attention(t["x"], t["x"], t["x"], need_weights=False)[0],
                attention,
                kind,
            )
        for norm_first in [False, True]:
            for activation in ["relu", "gelu"]:
                layer = nn.TransformerEncoderLayer(
                    8, 2, 16, 0.0, activation, batch_first=batch_first, norm_first=norm_first
                )
                kind = {
                    "kind": "TransformerEncoderLayer",
                    "columns": 8,
                    "heads": 2,
                    "feedforward": 16,
                    "activation": activation,
                    "batch_first": batch_first,
                    "norm_first": norm_first,
                }
                say.same("module", {"x": normal(3, 5, 8)}, [step], lambda t: layer(t["x"]), layer, kind)


def flat(state: dict[str, torch.Tensor]) -> torch.Tensor:
    """All parameters, one after another, in doubles."""
    return torch.cat([p.detach().double().flatten() for p in state.values()])


def train(
    model: nn.Module,
    x: torch.Tensor,
    y: torch.Tensor,
    loss: str,
    optimizer: dict[str, Any],
    steps: int = STEPS,
    begun: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Trains a copy in the type of ``x``, and gives the states of it and its optimiser."""
    model = copy.deepcopy(model).to(x.dtype)
    options = {k: v for k, v in optimizer.items() if k != "kind"}
    updates = getattr(torch.optim, optimizer["kind"])(model.parameters(), **options)
    if begun:
        model.load_state_dict(begun["model"])
        updates.load_state_dict(begun["optimizer"])
    function = getattr(F, loss)
    for _ in range(steps):
        updates.zero_grad()
        function(model(x), y).backward()
        updates.step()
    return {"model": model.state_dict(), "optimizer": updates.state_dict()}


def clear_of_kinks(
    model: nn.Module, x: torch.Tensor, y: torch.Tensor, loss: str, optimizer: dict[str, Any]
) -> tuple[torch.Tensor, torch.Tensor]:
    """A batch like ``x``, and the parameters that training in doubles ends with, in which no input of an
    ``nn.ReLU`` comes so near to 0 that singles may take it for a negative one: each side has its own
    gradient, and what follows is no matter of rounding.
    """
    nearest: list[float] = []
    note = lambda _, given: nearest.append(given[0].abs().min().item())
    hooks = [m.register_forward_pre_hook(note) for m in model.modules() if isinstance(m, nn.ReLU)]
    wide = y.double() if y.is_floating_point() else y
    truth = flat(train(model, x.double(), wide, loss, optimizer)["model"])
    while nearest and min(nearest) < KINK:
        print(f"drawn anew: an input of a ReLU came to {min(nearest):.1e}")
        nearest.clear()
        x = torch.randn_like(x)
        truth = flat(train(model, x.double(), wide, loss, optimizer)["model"])
    for hook in hooks:
        hook.remove()
    return x, truth


def training(say: Checks) -> None:
    """A hundred steps from torch's own first values: as near to torch's doubles as its singles are, which
    is the farthest of three orders of the batch.

    Then half of them here and half in torch, and the other way round, each going on with the other's
    parameters and moments.
    """
    encoder = {
        "kind": "TransformerEncoderLayer",
        "columns": 16,
        "heads": 4,
        "feedforward": 32,
        "batch_first": True,
    }
    encode = lambda: nn.TransformerEncoderLayer(16, 4, 32, 0.0, batch_first=True)
    linear = lambda i, o: {"kind": "Linear", "in": i, "out": o}
    classes = torch.randint(0, 2, [100])
    networks = {
        "classifier": (
            nn.Sequential(nn.Linear(10, 20), nn.ReLU(), nn.Linear(20, 2)),
            [linear(10, 20), {"kind": "ReLU"}, linear(20, 2)],
            torch.randn(100, 10),
            classes,
            "cross_entropy",
            {"kind": "Adam", "lr": 0.01},
        ),
        "classifier, sgd": (
            nn.Sequential(nn.Linear(10, 20), nn.ReLU(), nn.Linear(20, 2)),
            [linear(10, 20), {"kind": "ReLU"}, linear(20, 2)],
            torch.randn(100, 10),
            classes,
            "cross_entropy",
            {"kind": "SGD", "lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.001},
        ),
        "mlp": (
            nn.Sequential(nn.Linear(32, 64), nn.GELU(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 8)),
            [linear(32, 64), {"kind": "GELU"}, linear(64, 64), {"kind": "Tanh"}, linear(64, 8)],
            torch.randn(64, 32),
            torch.randn(64, 8),
            "mse_loss",
            {"kind": "AdamW", "lr": 0.003},
        ),
        "encoder": (
            nn.Sequential(encode(), encode(), nn.Flatten(), nn.Linear(96, 4)),
            [encoder, encoder, {"kind": "Flatten"}, linear(96, 4)],
            torch.randn(32, 6, 16),
            torch.randint(0, 4, [32]),
            "cross_entropy",
            {"kind": "Adam", "lr": 0.001},
        ),
    }
    for name, (model, parts, x, y, loss, optimizer) in networks.items():
        x, truth = clear_of_kinks(model, x, y, loss, optimizer)
        # The rows of a batch in another order are the same step, rounded otherwise.
        orders = [torch.arange(len(x)), torch.arange(len(x)).flip(0), torch.randperm(len(x))]
        theirs = max(
            (flat(train(model, x[rows], y[rows], loss, optimizer)["model"]) - truth).norm().item()
            for rows in orders
        )
        described = {
            "module": {"kind": "Sequential", "modules": parts},
            "optimizer": optimizer,
            "loss": loss,
        }
        half = STEPS // 2

        def ours(device: str, steps: int, begun: dict[str, Any] | None = None) -> dict[str, Any]:
            state = begun["model"] if begun else model.state_dict()
            more: dict[str, Any] = {"steps": steps}
            if begun:
                more["state"] = str(say.compute.folder / "begun.pt")
                torch.save(begun, more["state"])
            given = {"x": x, "y": y, **{f"m.{n}": p for n, p in state.items()}}
            return say.compute(given, device=device, training={**described, **more})

        for device in say.devices:
            ways = {
                "here": ours(device, STEPS),
                "here, then in torch": train(model, x, y, loss, optimizer, half, ours(device, half)),
                "in torch, then here": ours(device, half, train(model, x, y, loss, optimizer, half)),
            }
            for way, found in ways.items():
                distance = (flat(found["model"]) - truth).norm().item()
                print(f"training {name}, {way}, on {device}: {distance:.2e} from doubles, torch {theirs:.2e}")
                if not distance <= 3 * theirs:
                    raise Wrong(f"{name}, {way}, on {device}: {distance / theirs:.1f} times as far off as torch")
                say.numbers += truth.numel()
                say.cases += 1


def main() -> int:
    """Runs all checks, and says how far off what was."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--compute", type=Path, required=True)
    parser.add_argument("--vulkan", action="store_true", help="compute on a Vulkan device too")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    random.seed(0)
    with tempfile.TemporaryDirectory() as folder:
        compute = Compute(arguments.compute, Path(folder))
        say = Checks(compute, ["cpu", "vulkan"] if arguments.vulkan else ["cpu"])
        try:
            for part in [elementwise, shaped, losses, modules, training]:
                part(say)
            compute.end()
        except Wrong as e:
            print(f"failed: {e}")
            return 1
    for (op, where), off in sorted(say.worst.items()):
        print(f"{op} on {where}: off by {off:.1f} of {BOUNDS.get(op, 4)} units at most")
    print(f"numpack-nn beside torch {torch.__version__}: {say.cases} cases, {say.numbers} numbers, 0 failed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
