"""Checks norms, indexing, losses, optimisers and random numbers against their formulas in
NumPy: a part of ``check_host_ops.py``. Gradients are compared with torch's there, and with
differences in the crate's own tests.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from check_host_ops_whole import eps, wider
from host_ops import DTYPES, FLOATS, HostOps, Source


def philox(seed: int, block: int) -> list[int]:
    """Philox4x32-10, from its paper, with Python's integers."""
    mask = (1 << 32) - 1
    key = [seed & mask, seed >> 32]
    words = [block & mask, block >> 32, 0, 0]
    for _ in range(10):
        a, b = 0xD2511F53 * words[0], 0xCD9E8D57 * words[2]
        words = [(b >> 32) ^ words[1] ^ key[0], b & mask, (a >> 32) ^ words[3] ^ key[1], a & mask]
        key = [(key[0] + 0x9E3779B9) & mask, (key[1] + 0xBB67AE85) & mask]
    return words


def add_to(say: Any) -> None:
    """Adds the checks."""

    @say.add("layer_norm and rms_norm over any last dimensions")
    def norms(ops: HostOps, source: Source) -> None:
        for dtype in FLOATS:
            for _ in range(150):
                shape = source.shape(1, 4, (0, 1, 2, 3, 8))
                parts = int(source.rng.integers(1, len(shape) + 1))
                normal = list(shape[-parts:])
                x = source.array(dtype, shape, special=False)
                weight, bias = (
                    source.array(dtype, tuple(normal), special=False) if source.rng.random() < 0.7 else None
                    for _ in range(2)
                )
                wide, axes = wider(x), tuple(range(-parts, 0))
                with np.errstate(all="ignore"):
                    mean = wide.mean(axis=axes, keepdims=True) if x.size else 0
                    square = ((wide - mean) ** 2).mean(axis=axes, keepdims=True) if x.size else 0
                    power = (wide**2).mean(axis=axes, keepdims=True) if x.size else 0
                w = 1 if weight is None else wider(weight)
                b = 0 if bias is None else wider(bias)
                normed = (wide - mean) / np.sqrt(square + 1e-5)
                # The normalised number is rounded once, its product with the weight and the sum again.
                # The mean of doubles is rounded to one as well, which counts where little is left.
                sizes = np.abs(wide).mean(axis=axes, keepdims=True) if x.size else 0
                size = (np.abs(wide) + 4 * sizes) / np.sqrt(square + 1e-5)
                lost = (np.abs(normed * w) * 2 + np.abs(b)) * eps(x) + np.abs(size * w) * 2.0**-52
                found = ops.one("layer_norm", x, weight, bias, shape=normal, eps=1e-5)
                say.close(f"layer_norm of {dtype}", found, normed * w + b, 0.5, lost)
                normed = wide / np.sqrt(power + 1e-5)
                found = ops.one("rms_norm", x, weight, shape=normal, eps=1e-5)
                say.close(f"rms_norm of {dtype}", found, normed * w, 0.5, np.abs(normed * w) * 2 * eps(x))
        x = np.ones((2, 3), "float32")
        say.refused("norm", "does not end with [2]", lambda: ops.one("layer_norm", x, shape=[2], eps=0))
        say.refused("norm", "does not end with []", lambda: ops.one("rms_norm", x, shape=[]))
        short = lambda: ops.one("layer_norm", x, np.ones(2, "float32"), shape=[3], eps=0)
        say.refused("norm", "the weight has shape [2]", short)

    @say.add("index_select, gather, embedding, cat and stack move any elements exactly")
    def moved(ops: HostOps, source: Source) -> None:
        for _ in range(400):
            dtype = source.pick(DTYPES)
            shape = source.shape(1, 4, (1, 2, 3, 5))
            x = source.array(dtype, shape)
            d = int(source.rng.integers(-x.ndim, x.ndim))
            kind = source.pick(["int64", "int32"])
            flat = source.laid(source.rng.integers(0, shape[d], int(source.rng.integers(0, 6))).astype(kind))
            say.same("index_select", ops.one("index_select", x, flat, dim=d), np.take(x, flat, axis=d))
            small = list(shape)
            small[d] = int(source.rng.integers(0, 7))
            index = source.laid(source.rng.integers(0, shape[d], small))
            say.same("gather", ops.one("gather", x, index, dim=d), np.take_along_axis(x, index, d))
            if x.ndim == 2:
                index = source.laid(source.rng.integers(0, shape[0], source.shape()))
                say.same("embedding", ops.one("embedding", x, index), x[index])
            parts = []
            for _ in range(int(source.rng.integers(1, 4))):
                own = list(shape)
                own[d] = int(source.rng.integers(0, 4))
                # torch leaves out what has shape (0), whatever it is joined with.
                parts.append(source.array(dtype, tuple(own)))
            say.same("cat", ops.one("cat", *parts, dim=d), np.concatenate(parts, d))
            parts = [source.array(dtype, shape) for _ in range(3)]
            say.same("stack", ops.one("stack", *parts, dim=d), np.stack(parts, d))
        for op in ("index_select", "gather"):
            for index in (-1, 3, 1 << 40):
                call = lambda op=op, index=index: ops.one(op, np.ones(3), np.array([index]), dim=0)
                say.refused(op, f"index {index} is beyond a dimension of size 3", call)
        say.refused("embedding", "index 2", lambda: ops.one("embedding", np.ones((2, 2)), np.array([2])))
        say.refused("gather", "the indices are float64", lambda: ops.one("gather", np.ones(2), np.ones(2)))

    @say.add("scatter_add and index_add sum what comes to one place")
    def scattered(ops: HostOps, source: Source) -> None:
        for dtype in ["uint8", "int32", "int64", *FLOATS]:
            for _ in range(60):
                shape = source.shape(1, 3, (1, 2, 3, 5))
                # Small integers are exact in every type, in any order.
                x = np.round(source.array("float64", shape, special=False)).astype(dtype)
                d = int(source.rng.integers(-x.ndim, x.ndim))
                small = list(shape)
                small[d] = int(source.rng.integers(0, 9))
                index = source.laid(source.rng.integers(0, shape[d], small))
                values = np.round(source.array("float64", tuple(small), special=False)).astype(dtype)
                wanted = x.copy()
                places = list(np.indices(small))
                places[d] = index
                np.add.at(wanted, tuple(places), values)
                say.same("scatter_add", ops.one("scatter_add", x, index, values, dim=d), wanted)
                flat = source.rng.integers(0, shape[d], small[d])
                wanted = np.moveaxis(x.copy(), d, 0)
                np.add.at(wanted, flat, 2 * np.moveaxis(values, d, 0))
                found = ops.one("index_add", x, flat, values, dim=d, alpha=2)
                say.same("index_add", found, np.moveaxis(wanted, 0, d))

    @say.add("cross entropy by its definition, with weights, smoothing, and ignored targets")
    def losses(ops: HostOps, source: Source) -> None:
        for dtype in FLOATS:
            for _ in range(200):
                shape = source.pick([(4,), (6, 4), (3, 4, 2), (0, 4)])
                axis = 0 if len(shape) == 1 else 1
                x = source.array(dtype, shape, special=False)
                weight = np.abs(source.array(dtype, (4,), special=False)) if source.rng.random() < 0.5 else None
                w = np.ones(4) if weight is None else wider(weight)
                smoothing = source.pick([0.0, 0.1])
                reduction = source.pick(["none", "mean", "sum"])
                how = {"label_smoothing": smoothing, "reduction": reduction}
                wide = np.moveaxis(wider(x), axis, -1)
                with np.errstate(all="ignore"):
                    top = wide.max(axis=-1, keepdims=True) if x.size else 0
                    logs = wide - top - np.log(np.exp(wide - top).sum(axis=-1, keepdims=True))
                    if source.rng.random() < 0.5:
                        part = np.abs(source.array(dtype, shape, special=False))
                        target = np.moveaxis(wider(part), axis, -1) * (1 - smoothing) + smoothing / 4
                        rows = -(w * target * logs).sum(axis=-1)
                        found = ops.one("cross_entropy", x, part, weight, **how)
                        total = rows.size
                    else:
                        part = np.asarray(source.rng.integers(0, 4, wide.shape[:-1]))
                        how["ignore_index"] = 2
                        kept = part != 2
                        own = -(np.take_along_axis(logs, part[..., None], -1)[..., 0] * w[part])
                        even = -(w * logs).sum(axis=-1)
                        rows = np.where(kept, (1 - smoothing) * own + smoothing / 4 * even, 0)
                        found = ops.one("cross_entropy", x, part, weight, **how)
                        total = w[part][kept].sum()
                    wanted = {"none": rows, "sum": rows.sum(), "mean": rows.sum() / total}[reduction]
                    lost = 1e-13 * (np.abs(rows).sum() + 10)
                say.close(f"cross entropy of {dtype} {how}", found, np.asarray(wanted), 0.5, lost)
        for target, words in [
            (np.array([4]), "index 4 is beyond a dimension of size 4"),
            (np.array([-1]), "index -1 is beyond"),
            (np.array([1, 2]), "a target of class indices has shape [2]"),
            (np.ones((1, 3)), "a target of probabilities has shape [1, 3]"),
            (np.array([True]), "the target is bool"),
        ]:
            say.refused("target", words, lambda target=target: ops.one("cross_entropy", np.ones((1, 4)), target))

    @say.add("optimisers follow their formulas over many steps")
    def optimisers(ops: HostOps, source: Source) -> None:
        rng = source.rng
        for dtype in ("float32", "float64"):
            for decoupled in (False, True):
                p = rng.standard_normal(30).astype(dtype)
                ours = [p, np.zeros_like(p), np.zeros_like(p)]
                theirs = [v.astype("longdouble") for v in ours]
                how = {"lr": 0.01, "beta1": 0.9, "beta2": 0.99, "eps": 1e-8, "weight_decay": 0.05}
                for step in range(1, 101):
                    g = rng.standard_normal(30).astype(dtype)
                    outputs = [a.numpy() for a in ops.call("adam", ours[0], g, *ours[1:], step=step, decoupled=decoupled, **how)]
                    ours = [outputs[0], *outputs[2:]]
                    w, m, v = theirs
                    wide = g.astype("longdouble")
                    if decoupled:
                        w = w * (1 - 0.01 * 0.05)
                    else:
                        wide = wide + 0.05 * w
                    m, v = 0.9 * m + 0.1 * wide, 0.99 * v + 0.01 * wide**2
                    unbiased, root = m / (1 - 0.9**step), np.sqrt(v / (1 - 0.99**step))
                    theirs = [w - 0.01 * unbiased / (root + 1e-8), m, v]
                # A hundred steps, each rounded a few times.
                say.close(f"adam of {dtype}", ours[0], theirs[0], 100, 100 * float(np.finfo(dtype).eps))
        for words, how in [
            ("betas 1 and 0.9", {"lr": 0.1, "beta1": 1, "beta2": 0.9, "eps": 0, "weight_decay": 0}),
            ("learning rate -1", {"lr": -1, "beta1": 0, "beta2": 0.9, "eps": 0, "weight_decay": 0}),
        ]:
            call = lambda how=how: ops.call("adam", *[np.ones(2)] * 4, step=1, **how)
            say.refused("adam", words, call)

    @say.add("random numbers are those of Philox4x32-10 by the documented mapping")
    def numbers(ops: HostOps, source: Source) -> None:
        for seed, offset in [(0, 0), (7, 1), ((1 << 63) - 1, 6), (12345678901234, (1 << 34) + 3)]:
            count = 50
            words = [philox(seed, (offset + e) // 4)[(offset + e) % 4] for e in range(count)]
            place = {"seed": seed, "offset": offset, "shape": [5, 10]}
            word = np.array(words, "uint64").reshape(5, 10)
            for dtype, bits in {"float16": 11, "float32": 24, "float64": 24}.items():
                found = ops.one("uniform", low=0, high=1, dtype=dtype, **place)
                say.same(f"uniform {dtype}", found, ((word >> (32 - bits)) / 2.0**bits).astype(dtype))
            fraction = (word >> 8) / 2.0**24
            say.same("bernoulli", ops.one("bernoulli", p=0.3, **place), fraction < 0.3)
            found = ops.one("integers", low=-5, high=1000, **place)
            say.same("integers", found, (word * 1005 >> 32).astype("int64") - 5)
            x = source.array("float32", (5, 10), special=False)
            y, kept = (a.numpy() for a in ops.call("dropout", x, p=0.25, **place))
            say.same("dropout", kept, fraction >= 0.25)
            say.close("dropout", y, np.where(kept, wider(x) / 0.75, 0), 0.5)
            wanted = []
            for e in range(count):
                first = (offset + e) // 2 * 2
                a, b = (philox(seed, n // 4)[n % 4] >> 8 for n in (first, first + 1))
                radius, turn = np.sqrt(-2 * np.log((a + 1) * 2.0**-24)), 2 * np.pi * b * 2.0**-24
                wanted.append(radius * (np.sin(turn) if (offset + e) % 2 else np.cos(turn)))
            wide = np.array(wanted).reshape(5, 10)
            for dtype in FLOATS:
                found = ops.one("normal", mean=1, std=2, dtype=dtype, **place)
                say.close(f"normal {dtype}", found, 1 + 2 * wide, 1, 1e-14)
        place = {"seed": 3, "offset": 0, "shape": [400, 500]}
        x = ops.one("normal", mean=0, std=1, dtype="float32", **place).astype("float64")
        u = ops.one("uniform", low=0, high=1, dtype="float32", **place).astype("float64")
        # Five standard errors of the mean and the variance of as many numbers.
        limits = [(x.mean(), 0, 1), (x.var(), 1, 2**0.5), (u.mean(), 0.5, 12**-0.5), (u.var(), 1 / 12, 180**-0.5)]
        for found, wanted, deviation in limits:
            if abs(found - wanted) > 5 * deviation / np.sqrt(x.size):
                raise AssertionError(f"{found}, expected {wanted}")
        if not 0 <= u.min() <= u.max() < 1:
            raise AssertionError("uniform numbers are not in [0, 1)")
