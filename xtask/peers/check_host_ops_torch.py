"""Checks the operations on host memory against torch: a part of ``check_host_ops.py``.

Types, shapes, refusals and integers must be torch's own. Floats are compared with torch in
the same type; ``RELATIVE`` says how far apart they may be, relative to the number or, where
terms cancel, to their size. Gradients are compared with ``torch.autograd``.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional

from host_ops import Answer, HostOps, Raw, Refused, Source
from statements import Wrong

DTYPES = ["bool", "uint8", "int8", "int16", "int32", "int64", "float16", "bfloat16", "float32", "float64"]
FLOATS = ["float16", "bfloat16", "float32", "float64"]
RELATIVE = {
    # Both have rounding errors of their own, and torch's vector functions of singles promise less
    # than 2e-7; a half is computed as a single by both, and may be rounded to the one beside.
    "float64": 4e-13,
    "float32": 4e-6,
    "float16": 2e-3,
    "bfloat16": 1.6e-2,
}


def raw(tensor: torch.Tensor) -> Raw:
    """A tensor's memory, strides and all."""
    tensor = tensor.detach()
    if tensor.dtype == torch.bfloat16:
        same = Raw.of(tensor.view(torch.int16).numpy())
        same.dtype = "bfloat16"
        return same
    return Raw.of(tensor.numpy())


def name(dtype: torch.dtype) -> str:
    """Without ``torch.``."""
    return str(dtype).removeprefix("torch.")


def tensor_of(answer: Answer) -> torch.Tensor:
    """What came back."""
    dtype = getattr(torch, answer.dtype)
    if not answer.data:
        return torch.empty(answer.shape, dtype=dtype)
    return torch.frombuffer(bytearray(answer.data), dtype=dtype).reshape(answer.shape)


class Torch:
    """Calls with tensors, and comparisons."""

    def __init__(self, say: Any, ops: HostOps, source: Source) -> None:
        self.say, self.ops, self.source = say, ops, source
        self.random = torch.Generator().manual_seed(int(source.rng.integers(1 << 30)))

    def all(self, op: str, *inputs: Any, **args: Any) -> list[torch.Tensor]:
        """All outputs."""
        given = [raw(i) if isinstance(i, torch.Tensor) else i for i in inputs]
        return [tensor_of(a) for a in self.ops.call(op, *given, **args)]

    def one(self, op: str, *inputs: Any, **args: Any) -> torch.Tensor:
        """The only output."""
        (output,) = self.all(op, *inputs, **args)
        return output

    def tensor(self, dtype: str, shape: Any, scale: float = 1.0) -> torch.Tensor:
        """Random numbers of moderate size in some order of memory."""
        kind = getattr(torch, dtype)
        if dtype == "bool":
            values = torch.rand(tuple(shape), generator=self.random) < 0.5
        elif kind.is_floating_point:
            values = (torch.randn(tuple(shape), generator=self.random, dtype=torch.float64) * scale).to(kind)
        else:
            low = 0 if dtype == "uint8" else -9
            values = torch.randint(low, 10, tuple(shape), generator=self.random).to(kind)
        return self.laid(values)

    def laid(self, values: torch.Tensor) -> torch.Tensor:
        """The same numbers in another order of memory."""
        if values.ndim == 0 or self.source.rng.random() < 0.4:
            return values
        order = [int(d) for d in self.source.rng.permutation(values.ndim)]
        steps = [int(self.source.pick([1, 1, 2])) for _ in order]
        turned = values.permute(order)
        room = torch.zeros([n * s for n, s in zip(turned.shape, steps, strict=True)], dtype=values.dtype)
        place = room[tuple(slice(None, None, s) for s in steps)]
        place.copy_(turned)
        back = [order.index(d) for d in range(len(order))]
        return place.permute(back)

    def same(self, what: str, found: torch.Tensor, wanted: torch.Tensor, relative: float = 1, size: Any = None) -> None:
        """Fails where type or shape differ, or numbers by more than is allowed."""
        if (found.dtype, found.shape) != (wanted.dtype, wanted.shape):
            kinds = f"{found.dtype} {tuple(found.shape)}, expected {wanted.dtype} {tuple(wanted.shape)}"
            raise Wrong(f"{what}: {kinds}")
        self.say.numbers += found.numel()
        if not wanted.dtype.is_floating_point:
            right = found == wanted
        else:
            a, b = found.double(), wanted.detach().double()
            bound = b.abs() if size is None else torch.as_tensor(size).double().expand(b.shape)
            tiny = torch.finfo(wanted.dtype).tiny
            right = (a - b).abs() <= RELATIVE[name(wanted.dtype)] * relative * bound + tiny
            right |= (a == b) | (a.isnan() & b.isnan())
        if not right.all():
            raise Wrong(
                f"{what}: {int((~right).sum())} of {right.numel()} differ: {found[~right][:4].tolist()}, "
                f"expected {wanted[~right][:4].tolist()}"
            )

    def both(self, what: str, ours: Callable[[], Any], theirs: Callable[[], Any]) -> tuple[Any, Any] | None:
        """What both give, or None where both refuse; fails where only one does."""
        try:
            wanted = theirs()
        except (RuntimeError, IndexError, TypeError, ValueError, NotImplementedError, ZeroDivisionError) as error:
            wanted = error
        try:
            found = ours()
        except Refused as error:
            found = error
        self.say.numbers += 1
        if isinstance(wanted, Exception) != isinstance(found, Exception):
            raise Wrong(f"{what}: {found!r:.300}, torch: {wanted!r:.300}")
        return None if isinstance(wanted, Exception) else (found, wanted)


def operands(dtype: str) -> list[torch.Tensor]:
    """With and without dimensions."""
    kind = getattr(torch, dtype)
    return [torch.tensor([1, 3, 2]).to(kind), torch.tensor(2).to(kind)]


SCALARS: list[Any] = [True, 2, 1.5]


def kinds() -> list[Any]:
    """An operand of every type and class."""
    return [o for dtype in DTYPES for o in operands(dtype)] + SCALARS


def add_to(say: Any) -> None:
    """Adds the checks."""

    def check(text: str) -> Callable[[Any], Any]:
        def named(f: Any) -> Any:
            say.add(text, torch=True)(lambda ops, source: f(Torch(say, ops, source)))
            return f

        return named

    @check("result_type of every pair, and of triples, of types, classes and plain numbers")
    def result_types(t: Torch) -> None:
        for a, b in itertools.product(kinds(), repeat=2):
            if not isinstance(a, torch.Tensor) and not isinstance(b, torch.Tensor):
                continue
            found = t.one("result_type", a, b).dtype
            if found != torch.result_type(a, b):
                raise Wrong(f"{a!r} and {b!r}: {found}, torch: {torch.result_type(a, b)}")
            t.say.numbers += 1
        every = kinds()
        for _ in range(3000):
            some = [t.source.pick(every) for _ in range(3)]
            tensors = [s for s in some if isinstance(s, torch.Tensor)]
            if len(tensors) < 3:
                continue
            # torch has no result_type of three; where adds none of its own rules for two.
            found = t.one("result_type", *some).dtype
            wanted = torch.clamp(*some).dtype if not all(s.dtype == torch.bool for s in some) else torch.bool
            if found != wanted:
                raise Wrong(f"{some}: {found}, torch: {wanted}")
            t.say.numbers += 1

    binary: dict[str, Any] = {
        "add": torch.add,
        "sub": torch.sub,
        "mul": torch.mul,
        "div": torch.true_divide,
        "floor_divide": torch.floor_divide,
        "remainder": torch.remainder,
        "pow": torch.pow,
        "eq": torch.eq,
        "ne": torch.ne,
        "lt": torch.lt,
        "le": torch.le,
        "gt": torch.gt,
        "ge": torch.ge,
        "maximum": torch.maximum,
        "minimum": torch.minimum,
        "where": lambda a, b: torch.where(torch.tensor([True, False, True]), a, b),
        "logical_and": torch.logical_and,
        "logical_or": torch.logical_or,
        "logical_xor": torch.logical_xor,
    }

    @check("every operation of two operands: types, values and refusals for every pair of kinds")
    def pairs(t: Torch) -> None:
        wrong = []
        for op, f in binary.items():
            for a, b in itertools.product(kinds(), repeat=2):
                numbers = [not isinstance(v, torch.Tensor) for v in (a, b)]
                # What takes no plain numbers there takes tensors without dimensions here.
                if all(numbers) or (any(numbers) and op in ("maximum", "minimum", "logical_and", "logical_or", "logical_xor")):
                    continue
                if numbers[0] and op in ("eq", "ne", "lt", "le", "gt", "ge"):
                    continue
                first = [torch.tensor([True, False, True])] if op == "where" else []
                try:
                    results = t.both(
                        f"{op} of {a!r} and {b!r}",
                        lambda op=op, a=a, b=b, first=first: t.one(op, *first, a, b),
                        lambda f=f, a=a, b=b: f(a, b),
                    )
                    if results:
                        t.same(f"{op} of {a!r} and {b!r}", *results)
                except Wrong as error:
                    wrong.append(str(error))
        if wrong:
            raise Wrong(f"{len(wrong)}: " + "; ".join(wrong[:5]))

    unary: dict[str, Any] = {
        "neg": torch.neg,
        "abs": torch.abs,
        "sign": torch.sign,
        "square": torch.square,
        "exp": torch.exp,
        "log": torch.log,
        "log1p": torch.log1p,
        "sqrt": torch.sqrt,
        "rsqrt": torch.rsqrt,
        "reciprocal": torch.reciprocal,
        "sin": torch.sin,
        "cos": torch.cos,
        "tanh": torch.tanh,
        "erf": torch.erf,
        "sigmoid": torch.sigmoid,
        "relu": torch.relu,
        "silu": functional.silu,
        "gelu": functional.gelu,
        "isnan": torch.isnan,
        "logical_not": torch.logical_not,
    }

    @check("every operation of one operand: types, values and refusals for every type")
    def singles(t: Torch) -> None:
        wrong = []
        for op, f in unary.items():
            for dtype in DTYPES:
                for shape in [(), (0,), (3, 4), (2, 5, 3)]:
                    x = t.tensor(dtype, shape, scale=2)
                    try:
                        results = t.both(f"{op} of {dtype}", lambda op=op, x=x: t.one(op, x), lambda f=f, x=x: f(x))
                        if results:
                            t.same(f"{op} of {dtype}", *results, size=results[1].double().abs() + (0.1 if op == "gelu" else 0))
                    except Wrong as error:
                        wrong.append(str(error))
        if wrong:
            raise Wrong(f"{len(wrong)}: " + "; ".join(wrong[:5]))

    @check("special values: infinities, NaN and zeros of both signs give what torch gives")
    def special(t: Torch) -> None:
        odd = [0.0, -0.0, 1.0, -1.0, float("inf"), float("-inf"), float("nan"), 0.5, -2.5, 3.0]
        wrong = []
        for dtype in FLOATS:
            x = torch.tensor(odd, dtype=getattr(torch, dtype))
            for op, f in unary.items():
                try:
                    found, wanted = t.one(op, x), f(x)
                    if op == "gelu" and dtype in ("float32", "bfloat16"):
                        # Torch's vector function makes NaN of infinity there, unlike for doubles.
                        found, wanted = found[x != float("inf")], wanted[x != float("inf")]
                    size = wanted.double().abs().nan_to_num() + 0.1
                    t.same(f"{op} of {dtype}", found, wanted, size=size)
                except Wrong as error:
                    wrong.append(str(error))
            for op, f in binary.items():
                if op == "where":
                    continue
                try:
                    t.same(f"{op} of {dtype}", t.one(op, x[:, None], x), f(x[:, None], x))
                except Wrong as error:
                    wrong.append(str(error))
            for low, high in itertools.product([None, *x[:7]], repeat=2):
                if low is None and high is None:
                    continue
                t.same("clamp", t.one("clamp", x, low, high), torch.clamp(x, low, high))
        if wrong:
            raise Wrong(f"{len(wrong)}: " + "; ".join(wrong[:5]))

    @check("numbers beyond an integer type are refused or wrap as in torch")
    def beyond(t: Torch) -> None:
        wrong = []
        for op, f in binary.items():
            if op in ("maximum", "minimum", "where", "logical_and", "logical_or", "logical_xor"):
                continue
            for dtype in ["uint8", "int8", "int16", "int32"]:
                x = torch.tensor([1, 3, 100]).to(getattr(torch, dtype))
                for number in [-1, -200, -255, -256, 300, 70000, 1 << 40, -(1 << 40)]:
                    try:
                        results = t.both(
                            f"{op} of {dtype} and {number}",
                            lambda op=op, x=x, number=number: t.one(op, x, number),
                            lambda f=f, x=x, number=number: f(x, number),
                        )
                        if results:
                            t.same(f"{op} of {dtype} and {number}", *results)
                    except Wrong as error:
                        wrong.append(str(error))
        if wrong:
            raise Wrong(f"{len(wrong)}: " + "; ".join(wrong[:5]))

    @check("casts of every pair of types, where torch defines them")
    def casts(t: Torch) -> None:
        for start, end in itertools.product(DTYPES, repeat=2):
            x = t.tensor(start, (7, 9), scale=20)
            if start in FLOATS and end == "uint8":
                x = x.abs()
            t.same(f"{start} to {end}", t.one("cast", x, dtype=end), x.to(getattr(torch, end)))

    import check_host_ops_gradients

    check_host_ops_gradients.add_to(check)

    @check("reductions: types, values and refusals for every type")
    def reductions(t: Torch) -> None:
        named: dict[str, Any] = {
            "sum": torch.sum,
            "mean": torch.mean,
            "amax": torch.amax,
            "amin": torch.amin,
            "count_nonzero": torch.count_nonzero,
        }
        wrong = []
        for (op, f), dtype in itertools.product(named.items(), DTYPES):
            for shape, dims in [((3, 4, 5), [0]), ((3, 4, 5), [-1]), ((3, 4, 5), [2, 0]), ((2, 3), [0, 1]), ((2, 0), [0]), ((2, 0), [1]), ((4,), [0]), ((), [0])]:
                for keepdim in (False, True):
                    if op == "count_nonzero" and keepdim:
                        continue
                    x = t.tensor(dtype, shape)
                    how = {} if op == "count_nonzero" else {"keepdim": keepdim}
                    try:
                        results = t.both(
                            f"{op} of {dtype} {shape} {dims}",
                            lambda op=op, x=x, dims=dims, how=how: t.one(op, x, dims=dims, **how),
                            lambda f=f, x=x, dims=dims, how=how: f(x, dim=dims, **how),
                        )
                        if results:
                            t.same(f"{op} of {dtype} {shape} {dims}", *results, size=results[1].double().abs() + 1)
                    except Wrong as error:
                        wrong.append(str(error))
        for dtype in DTYPES:
            for shape in [(3, 4), (1,), (), (0,), (0, 2)]:
                x = t.tensor(dtype, shape)
                for op, f in {"sum": torch.sum, "prod": torch.prod}.items():
                    try:
                        t.same(f"{op} of {dtype}", t.one(op, x), f(x), size=f(x).double().abs() + 1)
                    except Wrong as error:
                        wrong.append(str(error))
                for op, f in {"argmax": torch.argmax, "argmin": torch.argmin}.items():
                    for how in [{}, {"dim": -1}, {"dim": 0, "keepdim": True}]:
                        try:
                            results = t.both(
                                f"{op} of {dtype} {shape} {how}",
                                lambda op=op, x=x, how=how: t.one(op, x, **how),
                                lambda f=f, x=x, how=how: f(x, **how),
                            )
                            if results:
                                t.same(f"{op} of {dtype} {shape} {how}", *results)
                        except Wrong as error:
                            wrong.append(str(error))
        for dtype in FLOATS:
            for correction, dims in itertools.product([0, 1, 2.5, 4], [[0], [1], [0, 1]]):
                x = t.tensor(dtype, (4, 6))
                for op, f in {"var": torch.var, "std": torch.std}.items():
                    found = t.one(op, x, dims=dims, correction=correction)
                    t.same(op, found, f(x, dim=dims, correction=correction), relative=4)
        if wrong:
            raise Wrong(f"{len(wrong)}: " + "; ".join(wrong[:5]))

    @check("products of all shapes that torch.matmul takes, and of those that it refuses")
    def products(t: Torch) -> None:
        shapes = [(), (3,), (4,), (2, 3), (3, 4), (4, 3), (2, 3, 4), (1, 4, 3), (2, 4, 1), (5, 1, 3, 4), (0, 4), (3, 0), (2, 0, 4), (0,)]
        for dtype in ["int64", "int32", "uint8", *FLOATS]:
            for first, second in itertools.product(shapes, repeat=2):
                a, b = t.tensor(dtype, first), t.tensor(dtype, second)
                results = t.both(f"matmul of {first} and {second}", lambda a=a, b=b: t.one("matmul", a, b), lambda a=a, b=b: torch.matmul(a, b))
                if results:
                    t.same(f"matmul of {first} and {second}", *results, size=results[1].abs() + 4)

    @check("views: shapes and strides that torch reshapes, and what it refuses")
    def views(t: Torch) -> None:
        for _ in range(1500):
            x = t.tensor("int32", t.source.shape(0, 3, (0, 1, 2, 4)))
            shape = [int(t.source.pick([-1, 0, 1, 2, 4, 8])) for _ in range(int(t.source.rng.integers(0, 4)))]
            # Torch makes a size of -1 of it.
            expands = not (-1 in shape and len(shape) > x.ndim and -1 in shape[: len(shape) - x.ndim])
            for op, f in {"reshape": torch.reshape, "view": lambda x, s: x.view(s), "expand": lambda x, s: x.expand(s)}.items():
                if op == "expand" and not expands:
                    continue
                results = t.both(f"{op} of {tuple(x.shape)} {x.stride()} to {shape}", lambda op=op: t.one(op, x, shape=shape), lambda f=f: f(x, shape))
                if results:
                    t.same(op, *results)

    @check("arange: lengths, types and values")
    def ranges(t: Torch) -> None:
        for start, end, step in itertools.product([0, 1, -3, 0.5, 2.5], [0, 5, -4, 3.7], [1, 2, -1, 0.3, 0, -0.5]):
            what = f"arange({start}, {end}, {step})"
            results = t.both(what, lambda: t.one("arange", start, end, step), lambda: torch.arange(start, end, step))
            if results:
                t.same(what, *results, size=results[1].abs() + 1)

    @check("cat and stack: promotion, shapes and refusals")
    def joined(t: Torch) -> None:
        for _ in range(400):
            shape = list(t.source.shape(0, 3, (0, 1, 2, 3)))
            dim = int(t.source.rng.integers(-3, 3))
            tensors = []
            for _ in range(int(t.source.rng.integers(1, 4))):
                own = list(shape)
                if own and t.source.rng.random() < 0.5:
                    own[dim % len(own)] = int(t.source.rng.integers(0, 4))
                tensors.append(t.tensor(t.source.pick(DTYPES), own))
            for op, f in {"cat": torch.cat, "stack": torch.stack}.items():
                what = f"{op} of {[(x.dtype, tuple(x.shape)) for x in tensors]} along {dim}"
                results = t.both(what, lambda op=op: t.one(op, *tensors, dim=dim), lambda f=f: f(tensors, dim=dim))
                if results:
                    t.same(what, *results)

    @check("gather, scatter_add, index_select and index_add, also of halves and integers")
    def indexed(t: Torch) -> None:
        for dtype in ["int64", "uint8", *FLOATS]:
            for _ in range(60):
                shape = t.source.shape(1, 3, (1, 2, 4, 6))
                dim = int(t.source.rng.integers(-len(shape), len(shape)))
                x = t.tensor(dtype, shape)
                small = [int(t.source.rng.integers(0, n + 1)) for n in shape]
                small[dim] = int(t.source.pick([0, 1, 3, 7]))
                index = t.laid(torch.randint(0, shape[dim], small, generator=t.random))
                t.same("gather", t.one("gather", x, index, dim=dim), torch.gather(x, dim, index))
                values = t.tensor(dtype, [n + int(t.source.pick([0, 1])) for n in small])
                size = x.abs() + 8
                found = t.one("scatter_add", x, index, values, dim=dim)
                t.same("scatter_add", found, torch.scatter_add(x, dim, index, values), size=size)
                flat = torch.randint(0, shape[dim], (int(t.source.pick([0, 1, 5])),), generator=t.random)
                picked = torch.index_select(x, dim, flat)
                t.same("index_select", t.one("index_select", x, flat, dim=dim), picked)
                added = t.tensor(dtype, picked.shape)
                found = t.one("index_add", x, flat, added, dim=dim, alpha=2)
                t.same("index_add", found, torch.index_add(x, dim, flat, added, alpha=2), size=size * 2)
        for bad in (-1, 3):
            index = torch.tensor([bad])
            for op, f in {"gather": torch.gather, "index_select": torch.index_select}.items():
                t.both(op, lambda op=op, index=index: t.one(op, torch.ones(3), index, dim=0), lambda f=f, index=index: f(torch.ones(3), 0, index))

    @check("a hundred steps of each optimiser, with all their options")
    def optimisers(t: Torch) -> None:
        for dtype in ("float32", "float64"):
            kind = getattr(torch, dtype)
            for momentum, dampening, decay, nesterov in itertools.product([0, 0.9], [0, 0.3], [0, 0.05], [False, True]):
                if nesterov and (momentum == 0 or dampening):
                    continue
                how = {"lr": 0.05, "momentum": momentum, "dampening": dampening, "weight_decay": decay, "nesterov": nesterov}
                run(t, f"SGD {how}", kind, "sgd", how, 1 if momentum else 0, lambda p, how=how: torch.optim.SGD(p, **how, foreach=False))
            for decay, amsgrad, decoupled in itertools.product([0, 0.1], [False, True], [False, True]):
                how = {"lr": 0.02, "beta1": 0.8, "beta2": 0.98, "eps": 1e-7, "weight_decay": decay, "decoupled": decoupled}
                kinds = torch.optim.AdamW if decoupled else torch.optim.Adam
                run(
                    t,
                    f"{kinds.__name__} {how} {amsgrad}",
                    kind,
                    "adam",
                    how,
                    3 if amsgrad else 2,
                    lambda p, kinds=kinds, decay=decay, amsgrad=amsgrad: kinds(
                        p, lr=0.02, betas=(0.8, 0.98), eps=1e-7, weight_decay=decay, amsgrad=amsgrad, foreach=False
                    ),
                )
            grads = torch.randn(50, dtype=kind, generator=t.random)
            for limit in (0.1, 5.0, 100.0):
                parameter = torch.nn.Parameter(torch.zeros(50, dtype=kind))
                parameter.grad = grads.clone()
                norm = torch.nn.utils.clip_grad_norm_([parameter], limit)
                clipped, found = t.all("clip_grad_norm", grads, max_norm=limit)
                t.same("clip_grad_norm", clipped, parameter.grad)
                t.same("clip_grad_norm", found[0], norm)


def run(t: Torch, what: str, kind: Any, op: str, how: dict, states: int, build: Callable[[Any], Any]) -> None:
    """Steps both, from the same gradients."""
    start = torch.randn(40, dtype=kind, generator=t.random)
    parameter = torch.nn.Parameter(start.clone())
    optimiser = build([parameter])
    ours = [start.clone(), *(torch.zeros_like(start) for _ in range(states))]
    target = torch.randn(40, dtype=kind, generator=t.random)
    for step in range(1, 101):
        grads = (parameter.detach() - target) + 0.3 * torch.randn(40, dtype=kind, generator=t.random)
        parameter.grad = grads.clone()
        optimiser.step()
        outputs = t.all(op, ours[0], grads, *ours[1:], step=step, **how)
        # Parameters, gradients, state.
        ours = [outputs[0], *outputs[2:]]
        t.same(f"{what}, step {step}", ours[0], parameter.detach(), relative=4, size=start.abs() + 1)
