"""Checks gradients, norms and losses against ``torch.autograd``: a part of ``check_host_ops.py``."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional

from statements import Wrong

FLOATS = ["float16", "bfloat16", "float32", "float64"]


def add_to(check: Callable[[str], Callable[[Any], Any]]) -> None:
    """Adds the checks."""

    def grads(y: torch.Tensor, inputs: list[torch.Tensor], grad: torch.Tensor) -> list[torch.Tensor]:
        return list(torch.autograd.grad(y, inputs, grad))

    @check("gradients of functions of one operand")
    def of_one(t: Any) -> None:
        functions: dict[str, tuple[Any, str]] = {
            "abs": (torch.abs, "x"),
            "exp": (torch.exp, "y"),
            "log": (torch.log, "x"),
            "sqrt": (torch.sqrt, "y"),
            "log1p": (torch.log1p, "x"),
            "rsqrt": (torch.rsqrt, "y"),
            "reciprocal": (torch.reciprocal, "y"),
            "square": (torch.square, "x"),
            "erf": (torch.erf, "x"),
            "sin": (torch.sin, "x"),
            "cos": (torch.cos, "x"),
            "tanh": (torch.tanh, "y"),
            "sigmoid": (torch.sigmoid, "y"),
            "relu": (torch.relu, "y"),
            "silu": (functional.silu, "x"),
            "gelu": (functional.gelu, "x"),
            "gelu tanh": (lambda x: functional.gelu(x, approximate="tanh"), "x"),
            "leaky_relu": (lambda x: functional.leaky_relu(x, 0.1), "x"),
        }
        for (op, (f, saved)), dtype in itertools.product(functions.items(), FLOATS):
            for shape in [(), (5,), (3, 7), (0, 2)]:
                x = t.tensor(dtype, shape, scale=2)
                if op in ("log", "sqrt", "log1p", "rsqrt", "reciprocal"):
                    x = x.abs() + 0.1
                x.requires_grad_()
                y = f(x)
                g = t.tensor(dtype, shape)
                (wanted,) = grads(y, [x], g)
                how = {"approximate": "tanh"} if "tanh" in op else {"slope": 0.1} if "leaky" in op else {}
                found = t.one(f"{op.split()[0]}_backward", g, x if saved == "x" else y, **how)
                # Torch rounds each of the factors to a half.
                relative = 4 if op in ("rsqrt", "reciprocal", "erf") else 1
                t.same(f"{op} of {dtype}", found, wanted, relative, size=g.abs() * 4 + wanted.abs())
        x = t.tensor("float32", (5,)).requires_grad_()
        g = t.tensor("float32", (5,))
        t.same("sign", t.one("sign_backward", g), grads(torch.sign(x), [x], g)[0])

    @check("gradients of functions of two operands, broadcast")
    def of_two(t: Any) -> None:
        functions: dict[str, Any] = {
            "add": torch.add,
            "sub": torch.sub,
            "mul": torch.mul,
            "div": torch.div,
            "remainder": torch.remainder,
            "maximum": torch.maximum,
            "minimum": torch.minimum,
            "pow": torch.pow,
        }
        for (op, f), dtype in itertools.product(functions.items(), FLOATS):
            for _ in range(25):
                first, second = t.source.together(2)
                a, b = t.tensor(dtype, first), t.tensor(dtype, second)
                if op in ("maximum", "minimum"):
                    a, b = a.round(), b.round()
                if op == "pow":
                    a = a.abs() + (0 if t.source.rng.random() < 0.3 else 0.2)
                if op in ("div", "remainder"):
                    b = b + b.sign() * 0.5
                a, b = a.requires_grad_(), b.requires_grad_()
                y = f(a, b)
                g = t.tensor(dtype, y.shape)
                wanted = grads(y, [a, b], g)
                found = t.all(f"{op}_backward", g, a, b, *([y] if op == "pow" else []))
                for ours, theirs in zip(found, wanted, strict=True):
                    # Terms cancel in sums over what was broadcast; halves are added in their own type there.
                    size = theirs.abs() + g.abs().sum() * 4
                    # Torch rounds each of three factors of a power's gradient to a half.
                    relative = 3 if op == "pow" else 1
                    t.same(f"{op} of {dtype} {first} {second}", ours, theirs, relative, size)

    @check("gradients of where and clamp")
    def chosen(t: Any) -> None:
        for dtype in FLOATS:
            for _ in range(30):
                first, second, third = t.source.together(3)
                c = t.tensor("bool", first)
                a, b = t.tensor(dtype, second).requires_grad_(), t.tensor(dtype, third).requires_grad_()
                y = torch.where(c, a, b)
                g = t.tensor(dtype, y.shape)
                for ours, theirs in zip(t.all("where_backward", g, c, a, b), grads(y, [a, b], g), strict=True):
                    t.same("where", ours, theirs, size=theirs.abs() + g.abs().sum())
                x = t.tensor(dtype, first).round().requires_grad_()
                for low, high in [(-1, 1), (None, 1), (-1.0, None), (1, -1), (-torch.ones_like(x), x.new_ones(1))]:
                    y = torch.clamp(x, low, high)
                    g = t.tensor(dtype, y.shape)
                    t.same(f"clamp to {low} and {high}", t.one("clamp_backward", g, x, low, high), grads(y, [x], g)[0])

    @check("gradients of reductions")
    def reduced(t: Any) -> None:
        for dtype in FLOATS:
            for _ in range(60):
                x = t.tensor(dtype, t.source.shape(1, 3, (1, 2, 4)))
                some = t.source.rng.permutation(x.ndim)[: int(t.source.rng.integers(1, x.ndim + 1))]
                dims, keep = [int(d) for d in some], bool(t.source.rng.integers(2))
                x = (x * 2).round() if t.source.rng.random() < 0.5 else x
                x = x.requires_grad_()
                how = {"dims": dims, "keepdim": keep}
                for op, f in {"sum": torch.sum, "mean": torch.mean}.items():
                    y = f(x, dim=dims, keepdim=keep)
                    g = t.tensor(dtype, y.shape)
                    found = t.one(f"{op}_backward", g, shape=list(x.shape), **how)
                    t.same(op, found, grads(y, [x], g)[0])
                for f in (torch.amax, torch.amin):
                    y = f(x, dim=dims, keepdim=keep)
                    g = t.tensor(dtype, y.shape)
                    t.same("amax", t.one("amax_backward", g, x, y, **how), grads(y, [x], g)[0])
                y = torch.prod(x, dim=dims[0], keepdim=keep)
                g = t.tensor(dtype, y.shape)
                found = t.one("prod_backward", g, x, dims=dims[:1], keepdim=keep)
                if dtype in ("float32", "float64"):
                    t.same("prod", found, grads(y, [x], g)[0])
                for correction in (0, 1):
                    if len(x.flatten()) < 2 or torch.tensor([x.shape[d] for d in dims]).prod() <= 1:
                        continue
                    if x.dtype not in (torch.float32, torch.float64):
                        continue
                    y = torch.var(x, dim=dims, correction=correction, keepdim=keep)
                    g = t.tensor(dtype, y.shape)
                    found = t.one("var_backward", g, x, correction=correction, **how)
                    t.same("var", found, grads(y, [x], g)[0], size=g.abs().max() * 4 + 1)
                    y = torch.std(x, dim=dims, correction=correction, keepdim=keep)
                    found = t.one("std_backward", g, x, y, correction=correction, **how)
                    t.same("std", found, grads(y, [x], g)[0], size=(g / y).nan_to_num(0, 0, 0).abs().max() * 4 + 1)

    @check("softmax and its logarithm, and their gradients")
    def softmaxes(t: Any) -> None:
        for (op, f), dtype in itertools.product({"softmax": torch.softmax, "log_softmax": torch.log_softmax}.items(), FLOATS):
            for _ in range(40):
                x = t.tensor(dtype, t.source.shape(0, 3, (0, 1, 2, 9)), scale=3).requires_grad_()
                dim = int(t.source.rng.integers(-max(1, x.ndim), max(1, x.ndim)))
                y = f(x, dim)
                t.same(op, t.one(op, x, dim=dim), y.detach(), size=y.abs() + (1 if "log" in op else 0))
                g = t.tensor(dtype, y.shape)
                (wanted,) = grads(y, [x], g)
                t.same(op, t.one(f"{op}_backward", g, y, dim=dim), wanted, size=wanted.abs() + g.abs().sum())
        for dtype in ("int64", "bool"):
            t.both("softmax", lambda dtype=dtype: t.one("softmax", t.tensor(dtype, (3,)), dim=0), lambda dtype=dtype: torch.softmax(t.tensor(dtype, (3,)), 0))

    @check("gradients of products and layers")
    def products(t: Any) -> None:
        for dtype in FLOATS:
            for first, second in [((3,), (3,)), ((2, 3), (3,)), ((3,), (3, 4)), ((2, 3), (3, 4)), ((5, 2, 3), (3, 4)), ((5, 2, 3), (3,)), ((3,), (5, 3, 4)), ((5, 2, 3), (5, 3, 4)), ((1, 2, 3), (5, 3, 4)), ((4, 1, 2, 3), (5, 3, 2)), ((2, 0), (0, 3))]:
                a, b = t.tensor(dtype, first).requires_grad_(), t.tensor(dtype, second).requires_grad_()
                y = torch.matmul(a, b)
                g = t.tensor(dtype, y.shape)
                found = t.all("matmul_backward", g, a, b)
                for ours, theirs in zip(found, grads(y, [a, b], g), strict=True):
                    t.same(f"matmul of {first} {second}", ours, theirs, size=theirs.abs() + 20)
            activations: dict[str, Any] = {
                "none": lambda x: x,
                "relu": torch.relu,
                "gelu": functional.gelu,
                "silu": functional.silu,
                "tanh": torch.tanh,
                "sigmoid": torch.sigmoid,
            }
            for batch, (activation, f) in itertools.product([(), (4,), (2, 3), (0,)], activations.items()):
                x = t.tensor(dtype, (*batch, 5)).requires_grad_()
                weight, bias = t.tensor(dtype, (3, 5)).requires_grad_(), t.tensor(dtype, (3,)).requires_grad_()
                before = functional.linear(x, weight, bias)
                y = f(before)
                t.same("linear", t.one("linear", x, weight, bias, activation=activation), y.detach(), size=y.abs() + 5)
                g = t.tensor(dtype, y.shape)
                wanted = grads(y, [x, weight, bias], g)
                saved = before if activation in ("gelu", "silu") else y
                inner = t.one("activation_backward", g, saved, activation=activation)
                for ours, theirs in zip(t.all("linear_backward", inner, x, weight), wanted, strict=True):
                    t.same(f"linear and {activation}", ours, theirs, size=theirs.abs() + 20)
            start = t.tensor(dtype, (4,))
            a, b = t.tensor(dtype, (2, 3)), t.tensor(dtype, (3, 4))
            found = t.one("addmm", start, a, b, beta=0.5, alpha=-2)
            t.same("addmm", found, torch.addmm(start, a, b, beta=0.5, alpha=-2), size=found.abs() + 8)
            inputs = [tensor.requires_grad_() for tensor in (start, a, b)]
            g = t.tensor(dtype, (2, 4))
            wanted = grads(torch.addmm(*inputs, beta=0.5, alpha=-2), inputs, g)
            for ours, theirs in zip(t.all("addmm_backward", g, *inputs, beta=0.5, alpha=-2), wanted, strict=True):
                t.same("addmm", ours, theirs, size=theirs.abs() + 20)

    @check("norms and their gradients")
    def norms(t: Any) -> None:
        for dtype, shape in itertools.product(FLOATS, [(4,), (3, 8), (2, 3, 4), (0, 4), (5, 1)]):
            for parts in range(1, len(shape) + 1):
                normal = list(shape[-parts:])
                x = t.tensor(dtype, shape).requires_grad_()
                weight, bias = (t.tensor(dtype, normal).requires_grad_() for _ in range(2))
                g = t.tensor(dtype, shape)
                size = 30
                for given in (weight, None):
                    for eps in (1e-5, 0.1):
                        y = functional.layer_norm(x, normal, given, bias if given is not None else None, eps)
                        found = t.one("layer_norm", x, given, bias if given is not None else None, shape=normal, eps=eps)
                        t.same("layer_norm", found, y.detach(), size=y.abs() + 4)
                        inputs = [x] if given is None else [x, given, bias]
                        wanted = grads(y, inputs, g)
                        ours = t.all("layer_norm_backward", g, x, given, shape=normal, eps=eps)
                        for a, b in zip(ours, wanted, strict=False):
                            t.same("layer_norm_backward", a, b, size=b.abs() + size)
                    for eps in (None, 1e-3):
                        y = functional.rms_norm(x, normal, given, eps)
                        how = {"shape": normal} | ({} if eps is None else {"eps": eps})
                        t.same("rms_norm", t.one("rms_norm", x, given, **how), y.detach(), size=y.abs() + 4)
                        wanted = grads(y, [x] if given is None else [x, given], g)
                        ours = t.all("rms_norm_backward", g, x, given, **how)
                        for a, b in zip(ours, wanted, strict=False):
                            t.same(f"rms_norm_backward {dtype} {shape} {normal}", a, b, size=b.abs() + size)

    @check("embeddings, gathers and parts, and their gradients")
    def parts(t: Any) -> None:
        for dtype in FLOATS:
            for shape in [(), (3,), (2, 4), (0,)]:
                weight = t.tensor(dtype, (6, 3)).requires_grad_()
                index = torch.randint(0, 6, shape, generator=t.random)
                for padding in (None, 2):
                    y = functional.embedding(index, weight, padding_idx=padding)
                    t.same("embedding", t.one("embedding", weight, index), y.detach())
                    g = t.tensor(dtype, y.shape)
                    how = {"rows": 6} | ({} if padding is None else {"padding_idx": padding})
                    t.same("embedding", t.one("embedding_backward", g, index, **how), grads(y, [weight], g)[0], size=8)
            x = t.tensor(dtype, (4, 5)).requires_grad_()
            index = torch.randint(0, 5, (4, 7), generator=t.random)
            y = torch.gather(x, 1, index)
            g = t.tensor(dtype, y.shape)
            found = t.one("gather_backward", g, index, shape=[4, 5], dim=1)
            t.same("gather", found, grads(y, [x], g)[0], size=10)
            flat = torch.tensor([1, 3, 3])
            y = torch.index_select(x, 0, flat)
            g = t.tensor(dtype, y.shape)
            found = t.one("index_select_backward", g, flat, shape=[4, 5], dim=0)
            t.same("index_select", found, grads(y, [x], g)[0], size=10)
            source = t.tensor(dtype, (3, 5)).requires_grad_()
            y = torch.index_add(x, 0, flat, source, alpha=2)
            g = t.tensor(dtype, y.shape)
            found = t.one("index_add_backward", g, flat, dim=0, alpha=2)
            t.same("index_add", found, grads(y, [source], g)[0])
            source = t.tensor(dtype, (4, 7)).requires_grad_()
            y = torch.scatter_add(x, 1, index, source)
            found = t.one("scatter_add_backward", g, index, dim=1)
            t.same("scatter_add", found, grads(y, [source], g)[0])
            y = x[:, 1:5:2]
            g = t.tensor(dtype, y.shape)
            found = t.one("slice_backward", g, shape=[4, 5], dim=1, start=1, stop=5, step=2)
            t.same("slice", found, grads(y, [x], g)[0])
            y = x.select(0, -1)
            g = t.tensor(dtype, y.shape)
            t.same("select", t.one("select_backward", g, shape=[4, 5], dim=0, index=-1), grads(y, [x], g)[0])
            z = t.tensor(dtype, (2, 3, 4)).requires_grad_()
            y = z.permute(2, 0, 1)
            g = t.tensor(dtype, y.shape)
            t.same("permute", t.one("permute_backward", g, dims=[2, 0, 1]), grads(y, [z], g)[0])
            pieces = [t.tensor(dtype, (2, n)).requires_grad_() for n in (1, 0, 3)]
            y = torch.cat(pieces, 1)
            g = t.tensor(dtype, y.shape)
            for a, b in zip(t.all("cat_backward", g, sizes=[1, 0, 3], dim=1), grads(y, pieces, g), strict=True):
                t.same("cat", a, b)
            pieces = [t.tensor(dtype, (2, 3)).requires_grad_() for _ in range(3)]
            y = torch.stack(pieces, -1)
            g = t.tensor(dtype, y.shape)
            for a, b in zip(t.all("stack_backward", g, dim=-1), grads(y, pieces, g), strict=True):
                t.same("stack", a, b)

    @check("cross entropy with every combination of its options, and its gradient")
    def cross_entropies(t: Any) -> None:
        shapes = [(5,), (4, 5), (3, 5, 2), (2, 5, 2, 3), (0, 5)]
        for dtype, shape, reduction in itertools.product(FLOATS, shapes, ["none", "mean", "sum"]):
            classes = shape[0] if len(shape) == 1 else shape[1]
            bare = [n for i, n in enumerate(shape) if i != (0 if len(shape) == 1 else 1)]
            for weighted, smoothing, kind in itertools.product([False, True], [0.0, 0.2, 1.0], ["index", "ignore", "all ignored", "probabilities"]):
                x = t.tensor(dtype, shape, scale=2).requires_grad_()
                weight = t.tensor(dtype, (classes,)).abs() if weighted else None
                how: dict[str, Any] = {"reduction": reduction, "label_smoothing": smoothing}
                if kind == "probabilities":
                    target = torch.softmax(t.tensor("float64", shape), 0 if len(shape) == 1 else 1).to(x.dtype)
                else:
                    target = t.laid(torch.randint(0, classes, bare, generator=t.random))
                    if kind == "ignore":
                        how["ignore_index"] = 1
                    if kind == "all ignored":
                        target = torch.full_like(target, -100)
                what = f"cross entropy of {dtype} {shape} {how} {weighted} {kind}"
                # Torch's own gradient wants it so.
                x = x.detach().contiguous().requires_grad_()
                y = functional.cross_entropy(x, target, weight, **how)
                size = y.detach().abs() + 6
                t.same(what, t.one("cross_entropy", x, target, weight, **how), y.detach(), size=size)
                g = t.tensor(dtype, y.shape)
                (wanted,) = grads(y, [x], g)
                found = t.one("cross_entropy_backward", g, x, target, weight, **how)
                t.same(f"{what}, gradient", found, wanted, size=wanted.abs() + 3)
                if kind == "probabilities":
                    continue
                del how["label_smoothing"]
                y = functional.nll_loss(x, target, weight, **how) if len(shape) > 1 or True else None
                t.same(f"nll {what}", t.one("nll_loss", x, target, weight, **how), y.detach(), size=y.abs() + 6)
                g = t.tensor(dtype, y.shape)
                found = t.one("nll_loss_backward", g, x, target, weight, **how)
                t.same(f"nll {what}, gradient", found, grads(y, [x], g)[0], size=3)
        for bad in (5, -1):
            target = torch.tensor([bad])
            refused = t.both("target", lambda target=target: t.one("cross_entropy", torch.ones(1, 5), target), lambda target=target: functional.cross_entropy(torch.ones(1, 5), target))
            if refused:
                raise Wrong(f"target {bad} of 5 is taken")

    @check("the squared error and its gradient")
    def squared(t: Any) -> None:
        for dtype, reduction, shape in itertools.product(FLOATS, ["none", "mean", "sum"], [(), (4,), (3, 5), (0,)]):
            x, target = t.tensor(dtype, shape).requires_grad_(), t.tensor(dtype, shape)
            y = functional.mse_loss(x, target, reduction=reduction)
            t.same("mse", t.one("mse_loss", x, target, reduction=reduction), y.detach(), size=y.abs() + 1)
            g = t.tensor(dtype, y.shape)
            found = t.one("mse_loss_backward", g, x, target, reduction=reduction)
            t.same("mse", found, grads(y, [x], g)[0], size=4)
