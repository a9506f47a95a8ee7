"""Checks reductions, products, softmax and the like against NumPy: a part of ``check_host_ops.py``.

The truth is computed in doubles for singles and halves, and in long doubles for doubles. A
bound on the error is stated beside each comparison, as units of the last place of the
result, or of the sum of the sizes of what was added where that may cancel.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from host_ops import DTYPES, FLOATS, INTEGERS, HostOps, Source


def wider(array: np.ndarray) -> np.ndarray:
    """In the type that gives the truth."""
    return array.astype("longdouble" if array.dtype == "float64" else "float64")


def eps(array: np.ndarray) -> float:
    """What the operation's own arithmetic may lose: halves are computed as singles."""
    return float(np.finfo("float64" if array.dtype == "float64" else "float32").eps)


def dims_of(source: Source, ndim: int) -> tuple[list[int], Any]:
    """Some dimensions, negative at times, and what NumPy calls them."""
    if ndim == 0 or source.rng.random() < 0.2:
        return [], None
    some = source.rng.permutation(ndim)[: int(source.rng.integers(1, ndim + 1))]
    dims = [int(d) - (ndim if source.rng.random() < 0.5 else 0) for d in some]
    return dims, tuple(dims)


def add_to(say: Any) -> None:
    """Adds the checks."""

    @say.add("sums and products: of integers exactly, of floats as if added in doubles")
    def sums(ops: HostOps, source: Source) -> None:
        for dtype in DTYPES:
            for _ in range(120):
                x = source.array(dtype, special=source.rng.random() < 0.3)
                dims, axis = dims_of(source, x.ndim)
                keep = bool(source.rng.integers(2))
                how: Any = {"axis": axis, "keepdims": keep}
                found = ops.one("sum", x, dims=dims, keepdim=keep)
                if dtype not in FLOATS:
                    say.same("sum", found, np.asarray(x.sum(dtype="int64", **how)))
                    found = ops.one("prod", x, dims=dims, keepdim=keep)
                    say.same("prod", found, np.asarray(x.prod(dtype="int64", **how)))
                    continue
                with np.errstate(all="ignore"):
                    wide = wider(x)
                    total = np.abs(wide).sum(**how)
                    # Singles are added in doubles: one rounding. Doubles lose log2(n) + 8 units at most.
                    lost = total * (np.finfo("float64").eps * 16)
                    say.close(f"sum of {dtype}", found, np.asarray(wide.sum(**how)), 0.5, lost)
                    found = ops.one("mean", x, dims=dims, keepdim=keep)
                    count = x.size // max(1, total.size) if total.size else 0
                    mean = wide.sum(**how) / np.longdouble(count)
                    say.close(f"mean of {dtype}", found, np.asarray(mean), 0.5, lost / max(count, 1))
                    x = source.array(dtype, x.shape, special=False)
                    found = ops.one("prod", x, dims=dims, keepdim=keep)
                    product = np.asarray(wider(x).prod(**how))
                    lost = np.abs(product) * (np.finfo("float64").eps * (count + 1))
                    say.close(f"prod of {dtype}", found, product, 0.5, lost)
        for op in ("mean", "var"):
            refused = lambda op=op: ops.one(op, np.ones(3, int), dims=[], correction=1)
            say.refused(op, "takes floats, and got int64", refused)
        refused = lambda: ops.one("sum", np.ones((2, 2)), dims=[0, -2])
        say.refused("sum", "name each dimension once", refused)

    @say.add("a long sum of singles is the exact one, rounded once")
    def long_sums(ops: HostOps, source: Source) -> None:
        x = (source.rng.standard_normal((300, 4000)) * 1e3).astype("float32")
        for axis in (0, 1, None):
            dims = [] if axis is None else [axis]
            wanted = np.asarray(x.astype("float64").sum(axis=axis))
            say.close("sum", ops.one("sum", x, dims=dims), wanted, 0.5, 1e-6)
            say.close("sum", ops.one("sum", x.T.copy().T, dims=dims), wanted, 0.5, 1e-6)
            found = ops.one("sum", x.astype("float64"), dims=dims)
            say.close("sum", found, np.asarray(x.astype("longdouble").sum(axis=axis)), 2, 1e-9)

    @say.add("variances and deviations with any correction")
    def variances(ops: HostOps, source: Source) -> None:
        for dtype in FLOATS:
            for _ in range(150):
                x = source.array(dtype, special=False) + np.dtype(dtype).type(source.pick([0, 100]))
                dims, axis = dims_of(source, x.ndim)
                correction = source.pick([0, 1, 2, 0.5])
                with np.errstate(all="ignore"):
                    wide = wider(x)
                    middle = wide.mean(axis=axis, keepdims=True)
                    squares = np.asarray(((wide - middle) ** 2).sum(axis=axis))
                    count = np.asarray(np.ones(x.shape).sum(axis=axis))
                    wanted = squares / np.maximum(0, count - correction)
                    # In doubles the mean is off by an unit of it, which counts squared.
                    lost = 1e-13 * np.abs(wanted) + 1e-27
                    found = ops.one("var", x, dims=dims, correction=correction)
                    say.close(f"var of {dtype}", found, wanted, 0.5, lost)
                    found = ops.one("std", x, dims=dims, correction=correction)
                    say.close(f"std of {dtype}", found, np.sqrt(wanted), 1, lost)

    @say.add("the greatest and smallest, and where they are first; NaN is above and below all")
    def extremes(ops: HostOps, source: Source) -> None:
        for dtype in DTYPES:
            for _ in range(120):
                x = source.array(dtype, source.shape(0, 4, (1, 2, 3, 5, 9)))
                if dtype in FLOATS and x.size and source.rng.random() < 0.5:
                    x = np.round(x)
                dims, axis = dims_of(source, x.ndim)
                keep = bool(source.rng.integers(2))
                for op, f in {"amax": np.max, "amin": np.min}.items():
                    wanted = np.asarray(f(x, axis=axis, keepdims=keep))
                    say.same(f"{op} of {dtype}", ops.one(op, x, dims=dims, keepdim=keep), wanted)
                if dtype == "bool":
                    continue
                d = None if not dims else dims[0]
                for op, f in {"argmax": np.argmax, "argmin": np.argmin}.items():
                    found = ops.one(op, x, keepdim=keep, **({} if d is None else {"dim": d}))
                    say.same(f"{op} of {dtype}", found, np.asarray(f(x, axis=d, keepdims=keep), "int64"))
                if d is not None:
                    best, where = (a.numpy() for a in ops.call("max", x, dim=d, keepdim=keep))
                    say.same("max", best, np.asarray(np.max(x, axis=d, keepdims=keep)))
                    say.same("max", where, np.asarray(np.argmax(x, axis=d, keepdims=keep), "int64"))
        for op in ("amax", "amin"):
            say.refused(op, "no elements to reduce in shape [2, 0]", lambda op=op: ops.one(op, np.ones((2, 0)), dims=[1]))
            say.same(op, ops.one(op, np.ones((0, 2)), dims=[1]), np.ones(0))
        say.refused("argmax", "no elements to reduce", lambda: ops.one("argmax", np.ones(0)))

    @say.add("products of vectors, matrices and batches, in any order of memory")
    def products(ops: HostOps, source: Source) -> None:
        for dtype in [*INTEGERS, *FLOATS]:
            for _ in range(220):
                m, k, n = (int(source.pick([0, 1, 2, 3, 7, 16, 33])) for _ in range(3))
                first, second = source.together(2)
                first, second = first[-2:], second[-2:]
                try:
                    np.broadcast_shapes(first, second)
                except ValueError:
                    continue
                shapes = source.pick(
                    [
                        ((m, k), (k, n)),
                        ((k,), (k,)),
                        ((m, k), (k,)),
                        ((k,), (k, n)),
                        ((*first, m, k), (*second, k, n)),
                        ((*first, m, k), (k, n)),
                        ((*first, m, k), (k,)),
                        ((k,), (*second, k, n)),
                    ]
                )
                a, b = (source.array(dtype, shape, special=False) for shape in shapes)
                found = ops.one("matmul", a, b)
                if dtype in INTEGERS:
                    say.same(f"matmul of {dtype}", found, np.asarray(np.matmul(a, b)))
                    continue
                wanted = np.asarray(np.matmul(wider(a), wider(b)))
                # k products added in the type itself, each sum rounded.
                lost = np.asarray(np.matmul(np.abs(wider(a)), np.abs(wider(b)))) * (k + 1) * eps(a) / 2
                say.close(f"matmul of {dtype} {shapes}", found, wanted, 0.5, lost)
        for words, a, b in [
            ("shapes [2, 3] and [2, 3]", np.ones((2, 3)), np.ones((2, 3))),
            ("float64 and float32", np.ones((2, 3)), np.ones((3, 2), "float32")),
            ("no numbers", np.ones((2, 2), bool), np.ones((2, 2), bool)),
            ("shapes [] and [2]", np.ones(()), np.ones(2)),
            ("do not broadcast", np.ones((2, 3, 4)), np.ones((3, 4, 2))),
        ]:
            say.refused("matmul", words, lambda a=a, b=b: ops.one("matmul", a, b))

    @say.add("expanded matrices, whose strides are 0, multiply as their copies")
    def expanded(ops: HostOps, source: Source) -> None:
        for dtype in ("float32", "float64", "int64"):
            row = source.array(dtype, (1, 40), special=False)
            a = np.broadcast_to(row, (30, 40))
            b = np.broadcast_to(row.reshape(40, 1), (40, 20))
            say.same(dtype, ops.one("matmul", a, b), ops.one("matmul", a.copy(), b.copy()))

    @say.add("addmm, and a layer with bias and activation in one step")
    def layers(ops: HostOps, source: Source) -> None:
        activations = {
            "none": lambda x: x,
            "relu": lambda x: np.where(x <= 0, 0, x),
            "tanh": np.tanh,
            "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
            "silu": lambda x: x / (1 + np.exp(-x)),
        }
        for dtype in FLOATS:
            for _ in range(120):
                m, k, n = (int(source.pick([0, 1, 2, 5, 20])) for _ in range(3))
                batch = source.shape(0, 2, (1, 2, 3))
                x = source.array(dtype, (*batch, m, k) if source.rng.random() < 0.8 else (k,), special=False, scale=1)
                weight = source.array(dtype, (n, k), special=False, scale=1)
                bias = source.array(dtype, (n,), special=False) if source.rng.random() < 0.7 else None
                name = source.pick(list(activations))
                found = ops.one("linear", x, weight, bias, activation=name)
                before = wider(x) @ wider(weight).T + (0 if bias is None else wider(bias))
                sizes = np.abs(wider(x)) @ np.abs(wider(weight)).T + (0 if bias is None else np.abs(wider(bias)))
                # None of the activations is steeper than 1.1.
                lost = 1.1 * sizes * (k + 2) * eps(x) / 2 + 3 * eps(x)
                say.close(f"linear of {dtype}", found, np.asarray(activations[name](before)), 2, lost)
                if x.ndim == 2:
                    beta, alpha = source.pick([0.0, 1.0, -2.0]), source.pick([1.0, 0.5])
                    start = source.array(dtype, source.pick([(n,), (m, n), (m, 1), ()]), special=False)
                    if beta == 0:
                        start = np.full_like(start, np.nan)
                    found = ops.one("addmm", start, x, weight.T, beta=beta, alpha=alpha)
                    wanted = alpha * (wider(x) @ wider(weight).T) + (beta * wider(start) if beta else 0)
                    lost = (sizes + np.abs(np.nan_to_num(wider(start))) * 2) * (k + 3) * eps(x)
                    say.close(f"addmm of {dtype}", found, np.asarray(wanted), 0.5, lost)

    @say.add("softmax and its logarithm along any dimension, also of large and infinite numbers")
    def softmaxes(ops: HostOps, source: Source) -> None:
        for dtype in FLOATS:
            for _ in range(200):
                x = source.array(dtype, source.shape(0, 4), special=False, scale=source.pick([1, 20, 1000]))
                if x.size and source.rng.random() < 0.3:
                    x.reshape(-1)[0] = -np.inf
                d = int(source.rng.integers(-max(x.ndim, 1), max(x.ndim, 1)))
                wide = wider(x)
                if x.size:
                    shifted = wide - wide.max(axis=d if x.ndim else None, keepdims=True)
                    with np.errstate(all="ignore"):
                        total = np.exp(shifted).sum(axis=d if x.ndim else None, keepdims=True)
                        soft, log = np.exp(shifted) / total, shifted - np.log(total)
                else:
                    soft = log = wide
                # x - max is rounded, and exp of it is off by as much.
                tiny = np.finfo("float32" if dtype != "float64" else dtype).tiny
                with np.errstate(all="ignore"):
                    lost = soft * np.where(np.isfinite(shifted), np.abs(shifted), 0) * eps(x) / 2 if x.size else 0
                say.close(f"softmax of {dtype}", ops.one("softmax", x, dim=d), soft, 3, lost + tiny)
                # The sum's exponentials are singles; an error of two units in it is one of its logarithm.
                found = ops.one("log_softmax", x, dim=d)
                say.close(f"log_softmax of {dtype}", found, log, 1, 3 * eps(x))
