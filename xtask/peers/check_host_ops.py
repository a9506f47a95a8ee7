"""Checks the operations on host memory against NumPy, and with ``--torch`` against torch.

Shapes, orders of memory, types and numbers are random, from a fixed seed. Integers,
truth values and comparisons must be equal. Floats are compared with what NumPy gets from
numbers of a wider type: singles and halves from doubles, doubles from long doubles, in
units of the last place of the result's type; ``ULPS`` says how many an operation may be off.
``python check_host_ops.py --evaluate PATH [--torch]``.
"""

from __future__ import annotations

import argparse
import math
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from host_ops import DTYPES, FLOATS, INTEGERS, HostOps, Refused, Source
from statements import Wrong

ULPS = {
    # Correctly rounded by IEEE 754.
    "neg": 0.5,
    "abs": 0.5,
    "sign": 0.5,
    "square": 0.5,
    "sqrt": 0.5,
    "add": 0.5,
    "sub": 0.5,
    "mul": 0.5,
    "div": 0.5,
    "reciprocal": 0.5,
    "relu": 0.5,
    # Two roundings.
    "rsqrt": 1.5,
    # The system's mathematical library, which promises 1 for most, and 2 for these two.
    "exp": 1,
    "log": 1,
    "log1p": 1,
    "sin": 1,
    "cos": 1,
    "pow": 1,
    "tanh": 2.5,
    "erf": 2,
    # exp, an addition and a division; where exp(-x) is large its rounding errors add up.
    "sigmoid": 2.5,
    "silu": 3,
    # erfc is a polynomial with 1e-15. Its argument is rounded, there and in the truth, which counts
    # for the tail of doubles: a relative error of x² units, twice.
    "gelu": 3,
}


class Checks:
    """Statements about a running ``evaluate``, and how much was compared for them."""

    def __init__(self) -> None:
        self.checks: list[tuple[str, bool, Callable[[HostOps, Source], None]]] = []
        self.numbers = 0

    def add(self, text: str, torch: bool = False) -> Callable[[Any], Any]:
        """Names a check by its statement; with ``torch`` it is one that needs torch."""

        def named(check: Any) -> Any:
            self.checks.append((text, torch, check))
            return check

        return named

    def same(self, what: str, found: np.ndarray, wanted: np.ndarray) -> None:
        """Fails where arrays differ in type, shape or any value; NaN is NaN."""
        if (found.dtype, found.shape) != (wanted.dtype, wanted.shape):
            raise Wrong(f"{what}: {found.dtype} {found.shape}, expected {wanted.dtype} {wanted.shape}")
        self.numbers += found.size
        wrong = found != wanted
        if found.dtype.kind == "f":
            wrong &= ~(np.isnan(found) & np.isnan(wanted))
        if np.any(wrong):
            raise Wrong(f"{what}: {found[wrong][:4]}, expected {wanted[wrong][:4]}")

    def close(self, what: str, found: np.ndarray, wanted: np.ndarray, ulps: Any, absolute: Any = 0.0) -> None:
        """Fails where floats are further from the truth than so many units of the last place."""
        if found.shape != wanted.shape:
            raise Wrong(f"{what}: shape {found.shape}, expected {wanted.shape}")
        self.numbers += found.size
        with np.errstate(all="ignore"):
            rounded = wanted.astype(found.dtype)
            unit = np.spacing(np.abs(rounded)).astype("longdouble")
            unit = np.where(np.isfinite(rounded), unit, 0)
            off = np.abs(found.astype("longdouble") - wanted.astype("longdouble"))
            # A few hundredths more: the truth is rounded too.
            right = off <= unit * (np.asarray(ulps) + 0.02) + absolute
            right |= (found == rounded) | (np.isnan(found) & np.isnan(wanted))
            # Halves are rounded twice, and nothing is promised of what is too large by less than that.
            limit = np.finfo(found.dtype).max
            right |= np.isinf(found) & (np.abs(wanted) >= limit * (1 - 1e-6)) & (np.sign(found) == np.sign(wanted))
        if not right.all():
            w = np.flatnonzero(~right.reshape(-1))[:4]
            some = [(found.reshape(-1)[i], wanted.reshape(-1)[i], (off / unit).reshape(-1)[i]) for i in w]
            raise Wrong(f"{what}: {(~right).sum()} of {right.size} differ, (found, expected, ulps): {some}")

    def refused(self, what: str, words: str, call: Callable[[], Any]) -> None:
        """Fails unless a call is refused in words that have these in them."""
        self.numbers += 1
        try:
            found = call()
        except Refused as refused:
            if words not in str(refused):
                raise Wrong(f"{what}: refused with {refused}, without {words!r}") from refused
        else:
            raise Wrong(f"{what}: not refused: {found!r:.200}")

    def main(self, description: str | None) -> int:
        """Runs the checks."""
        parser = argparse.ArgumentParser(description=description)
        parser.add_argument("--evaluate", type=Path, required=True)
        parser.add_argument("--torch", action="store_true")
        parser.add_argument("--seed", type=int, default=1)
        parser.add_argument("--only", default="", help="checks whose statement has this in it")
        arguments = parser.parse_args()
        ops = HostOps(arguments.evaluate.resolve())
        if arguments.torch:
            import check_host_ops_torch

            check_host_ops_torch.add_to(self)
        else:
            import check_host_ops_networks
            import check_host_ops_whole

            check_host_ops_whole.add_to(self)
            check_host_ops_networks.add_to(self)
        passed = failed = 0
        for i, (text, needs_torch, check) in enumerate(self.checks):
            if needs_torch != arguments.torch or arguments.only not in text:
                continue
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    check(ops, Source(arguments.seed + i))
                passed += 1
            except Exception as error:
                failed += 1
                print(f"FAIL {text}: {type(error).__name__}: {error}")
        print(f"{passed} passed, {failed} failed, {ops.calls} operations, {self.numbers} numbers")
        return 1 if failed else 0


say = Checks()


def wider(array: np.ndarray) -> np.ndarray:
    """In the type that gives the truth: doubles for what is computed in singles."""
    return array.astype("longdouble" if array.dtype == "float64" else "float64")


def float_of(dtype: str) -> str:
    """What functions of floats give."""
    return dtype if dtype in FLOATS else "float32"


def as_float(array: np.ndarray) -> np.ndarray:
    """As functions of floats take it."""
    return array.astype(float_of(array.dtype.name))


def by_element(f: Callable[[float], float]) -> Callable[[np.ndarray], np.ndarray]:
    """A function of Python's over arrays."""

    def over(x: np.ndarray) -> np.ndarray:
        return np.array([f(float(v)) for v in x.reshape(-1)]).reshape(x.shape)

    return over


def gelu(x: np.ndarray) -> np.ndarray:
    """By the C library's erfc."""
    return x.astype("float64") * 0.5 * by_element(lambda v: math.erfc(-v / math.sqrt(2)))(x)


def gelu_tanh(x: np.ndarray) -> np.ndarray:
    """The approximation."""
    inner = np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)
    return 0.5 * x * (1 + np.tanh(inner))


NUMBERS = {
    "neg": np.negative,
    "abs": np.abs,
    "sign": lambda x: np.where(np.isnan(x), 0, np.sign(x)).astype(x.dtype) if x.dtype.kind == "f" else np.sign(x),
    "square": np.square,
    "relu": lambda x: np.maximum(x, x.dtype.type(0)),
}
FUNCTIONS = {
    "exp": np.exp,
    "log": np.log,
    "log1p": np.log1p,
    "sqrt": np.sqrt,
    "rsqrt": lambda x: 1 / np.sqrt(x),
    "reciprocal": lambda x: 1 / x,
    "sin": np.sin,
    "cos": np.cos,
    "tanh": np.tanh,
    "erf": by_element(math.erf),
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
}
ACTIVATIONS = {
    "silu": lambda x: x / (1 + np.exp(-x)),
    "gelu": gelu,
}


def sensible(op: str, x: np.ndarray) -> np.ndarray:
    """Keeps arguments where a unit of the last place of the argument does not turn the result."""
    if op in ("sin", "cos"):
        return np.where(np.abs(x) > 1e4, x.dtype.type(0.5), x).astype(x.dtype)
    return x


@say.add("functions of numbers are NumPy's, integers exactly, wrapping")
def unary_numbers(ops: HostOps, source: Source) -> None:
    for op, f in NUMBERS.items():
        for dtype in [*INTEGERS, *FLOATS]:
            for _ in range(25):
                x = source.array(dtype)
                found = ops.one(op, x)
                with np.errstate(all="ignore"):
                    wanted = np.asarray(f(x))
                say.same(f"{op} of {dtype}", found, wanted.astype(dtype))
        if op not in ("square", "sign"):
            say.refused(op, "bool elements are no numbers", lambda op=op: ops.one(op, np.ones(2, bool)))


@say.add("functions of floats are NumPy's in a wider type, to a few units of the last place")
def unary_floats(ops: HostOps, source: Source) -> None:
    for op, f in FUNCTIONS.items() | ACTIVATIONS.items():
        for dtype in FLOATS if op in ACTIVATIONS else DTYPES:
            for _ in range(25):
                x = source.laid(sensible(op, source.array(dtype)))
                found = ops.one(op, x)
                if found.dtype.name != float_of(dtype):
                    raise Wrong(f"{op} of {dtype} is {found.dtype}")
                with np.errstate(all="ignore"):
                    wide = wider(as_float(x))
                    wanted = f(wide)
                    # sigmoid and silu have no more digits than exp(-x) can be told.
                    tail = 0.0
                    if op in ("sigmoid", "silu"):
                        limit = math.log(np.finfo("float32" if dtype != "float64" else dtype).max)
                        wanted = np.where(-wide > limit, -0.0 if op == "silu" else 0.0, wanted)
                        wanted = np.where(np.isneginf(wide) & (op == "silu"), np.nan, wanted)
                        tail = np.where(-wide > limit - 16, np.finfo("float32" if dtype != "float64" else dtype).tiny, 0)
                    if op == "gelu":
                        tail = np.where(wide < 0, np.abs(wanted) * wide**2 * 2 * np.finfo("float64").eps, 0)
                        tail = np.where(np.isfinite(tail), tail, 0)
                say.close(f"{op} of {dtype}", found, np.asarray(wanted), ULPS[op], tail)


@say.add("GELU by tanh is its formula")
def gelu_by_tanh(ops: HostOps, source: Source) -> None:
    for dtype in FLOATS:
        for _ in range(30):
            x = source.array(dtype, special=False)
            wanted = gelu_tanh(wider(x))
            # 1 + tanh cancels for negative numbers, as in the formula.
            lost = np.abs(wider(x)) * np.finfo("float32" if dtype != "float64" else dtype).eps * 4
            say.close(f"gelu of {dtype}", ops.one("gelu", x, approximate="tanh"), wanted, 2, lost)


ARITHMETIC = {"add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.true_divide}


def promoted(*operands: Any) -> str:
    """The type by torch's rules, written anew from its documentation."""
    order = ["bool", "uint8", "int8", "int16", "int32", "int64", "float16", "float32", "float64"]

    def join(a: str, b: str) -> str:
        return "int16" if {a, b} == {"uint8", "int8"} else max(a, b, key=order.index)

    def category(dtype: str) -> int:
        return 0 if dtype == "bool" else 1 if dtype in INTEGERS else 2

    groups: list[list[str]] = [[], [], []]
    for operand in operands:
        if isinstance(operand, np.ndarray):
            groups[0 if operand.ndim else 1].append(operand.dtype.name)
        else:
            groups[2].append({bool: "bool", int: "int64", float: "float32"}[type(operand)])
    result = ""
    for group in groups:
        own = ""
        for dtype in group:
            own = join(own, dtype) if own else dtype
        if not result:
            result = own
        elif own and category(own) > category(result):
            result = join(result, own)
    return result


def operand(source: Source, shape: tuple[int, ...]) -> Any:
    """An array, or at times a plain number."""
    if source.rng.random() < 0.2:
        return source.pick([True, False, 0, 1, -3, 100, 2.5, -0.75, 1e-3])
    return source.array(source.pick(DTYPES), shape)


def in_type(value: Any, dtype: str) -> np.ndarray:
    """An operand as the operation sees it; plain numbers and 0-d arrays are not rounded to halves."""
    array = np.asarray(value)
    if isinstance(value, np.ndarray) and array.ndim:
        return array.astype(dtype)
    return array.astype("float32" if dtype == "float16" else dtype)


@say.add("arithmetic broadcasts and promotes by torch's rules, integers wrap, floats are rounded once")
def arithmetic(ops: HostOps, source: Source) -> None:
    for op, f in ARITHMETIC.items():
        for _ in range(700):
            a, b = (operand(source, shape) for shape in source.together(2))
            dtype = promoted(a, b)
            if op == "div":
                dtype = float_of(dtype)
            if op == "sub" and "bool" in (np.asarray(a).dtype.name, np.asarray(b).dtype.name):
                say.refused(op, "bool elements are no numbers", lambda a=a, b=b: ops.one("sub", a, b))
                continue
            found = ops.one(op, a, b)
            if found.dtype.name != dtype:
                raise Wrong(f"{op} of {a!r:.80} and {b!r:.80} is {found.dtype}, expected {dtype}")
            with np.errstate(all="ignore"):
                x, y = in_type(a, dtype), in_type(b, dtype)
                if dtype in FLOATS:
                    say.close(f"{op} in {dtype}", found, np.asarray(f(wider(x), wider(y))), ULPS[op])
                else:
                    say.same(f"{op} in {dtype}", found, np.asarray(f(x, y)).astype(dtype))


@say.add("division and remainder round down, and refuse integers divided by zero")
def division(ops: HostOps, source: Source) -> None:
    for op, f in {"floor_divide": np.floor_divide, "remainder": np.remainder}.items():
        for dtype in [*INTEGERS, "float32", "float64"]:
            for _ in range(40):
                a, b = (source.array(dtype, shape) for shape in source.together(2))
                if dtype in INTEGERS and np.any(b == 0) and np.broadcast(a, b).size:
                    say.refused(op, "divided by zero", lambda a=a, b=b, op=op: ops.one(op, a, b))
                    b = np.where(b == 0, b.dtype.type(7), b)
                with np.errstate(all="ignore"):
                    wanted = np.asarray(f(a, b))
                    if dtype in FLOATS and op == "floor_divide":
                        wanted = np.where(b == 0, a / b, wanted)
                say.same(f"{op} of {dtype}", ops.one(op, a, b), wanted.astype(dtype))


@say.add("powers: integers exactly, floats to a unit of the last place")
def powers(ops: HostOps, source: Source) -> None:
    for dtype in [*INTEGERS, *FLOATS]:
        for _ in range(60):
            first, second = source.together(2)
            base = source.array(dtype, first)
            if dtype in INTEGERS:
                exponent = source.laid(source.rng.integers(0, 12, second).astype(dtype))
                say.same(f"pow of {dtype}", ops.one("pow", base, exponent), np.asarray(base**exponent))
                continue
            exponent = source.array(dtype, second, special=False)
            with np.errstate(all="ignore"):
                wanted = np.power(wider(base), wider(exponent))
            say.close(f"pow of {dtype}", ops.one("pow", base, exponent), np.asarray(wanted), ULPS["pow"])
    say.refused("pow", "is no integer", lambda: ops.one("pow", np.ones(3, "int32"), -1))
    say.same(
        "negative exponents",
        ops.one("pow", np.array([2, 1, -1, -1, 0]), np.array([-1, -5, -2, -3, -1])),
        np.array([0, 1, 1, -1, 0]),
    )


@say.add("maximum, minimum, clamp and where choose as NumPy does, with NaN above all")
def choices(ops: HostOps, source: Source) -> None:
    for _ in range(800):
        a, b = (operand(source, shape) for shape in source.together(2))
        dtype = promoted(a, b)
        x, y = (np.asarray(v).astype(dtype) for v in (a, b))
        for op, f in {"maximum": np.maximum, "minimum": np.minimum}.items():
            say.same(f"{op} in {dtype}", ops.one(op, a, b), np.asarray(f(x, y)))
        condition = source.array("bool", source.pick([x.shape, y.shape, ()]))
        say.same(f"where in {dtype}", ops.one("where", condition, a, b), np.asarray(np.where(condition, x, y)))
    say.refused("where", "condition is int64", lambda: ops.one("where", np.ones(2, int), 1, 2))
    for dtype in [*INTEGERS, *FLOATS]:
        for _ in range(50):
            x = source.array(dtype)
            low, high = (source.numbers(dtype, 1).reshape(()) for _ in range(2))
            say.same(
                f"clamp of {dtype}",
                ops.one("clamp", x, low, high),
                np.asarray(np.minimum(np.maximum(x, low), high)),
            )
            say.same(f"clamp of {dtype}", ops.one("clamp", x, low, None), np.asarray(np.maximum(x, low)))
            say.same(f"clamp of {dtype}", ops.one("clamp", x, None, high), np.asarray(np.minimum(x, high)))


@say.add("comparisons and logic give bools, as NumPy's in the promoted type")
def comparisons(ops: HostOps, source: Source) -> None:
    compare = {
        "eq": np.equal,
        "ne": np.not_equal,
        "lt": np.less,
        "le": np.less_equal,
        "gt": np.greater,
        "ge": np.greater_equal,
    }
    logic = {"logical_and": np.logical_and, "logical_or": np.logical_or, "logical_xor": np.logical_xor}
    for _ in range(250):
        a, b = (operand(source, shape) for shape in source.together(2))
        dtype = promoted(a, b)
        x, y = in_type(a, dtype), in_type(b, dtype)
        for op, f in compare.items():
            say.same(f"{op} in {dtype}", ops.one(op, a, b), np.asarray(f(x, y)))
        a, b = (source.array(source.pick(DTYPES), shape) for shape in source.together(2))
        for op, f in logic.items():
            say.same(op, ops.one(op, a, b), np.asarray(f(a, b)))
        say.same("logical_not", ops.one("logical_not", a), np.asarray(np.logical_not(a)))
        if a.dtype.kind == "f":
            say.same("isnan", ops.one("isnan", a), np.asarray(np.isnan(a)))


def to_integer(x: np.ndarray, dtype: str) -> np.ndarray:
    """Cut off, clipped to the integer type, 0 for NaN: what the documentation promises."""
    info = np.iinfo(dtype)
    cut = np.trunc(x.astype("float64"))
    wanted = np.zeros(cut.shape, dtype)
    low, high = cut <= float(info.min), cut >= float(info.max)
    fits = ~(low | high | np.isnan(cut))
    wanted[fits] = cut[fits].astype(dtype)
    wanted[low], wanted[high] = info.min, info.max
    return wanted


@say.add("every pair of types is cast as NumPy's astype does it, in any order of memory")
def casts(ops: HostOps, source: Source) -> None:
    for start in DTYPES:
        for end in DTYPES:
            for _ in range(12):
                x = source.array(start)
                with np.errstate(all="ignore"):
                    cut = start in FLOATS and end in INTEGERS
                    wanted = to_integer(x, end) if cut else x.astype(end)
                say.same(f"{start} to {end}", ops.one("cast", x, dtype=end), wanted)
                shapes = source.together(2)
                target = source.array(end, np.broadcast_shapes(*shapes))
                x = source.array(start, shapes[0])
                with np.errstate(all="ignore"):
                    wanted = target.copy()
                    wanted[...] = to_integer(x, end) if cut else x.astype(end)
                say.same(f"{start} into {end}", ops.one("copy", target, x), wanted)


@say.add("views show what NumPy's show, and writing into a part leaves the rest alone")
def views(ops: HostOps, source: Source) -> None:
    rng = source.rng
    for _ in range(600):
        x = source.array(source.pick(DTYPES), source.shape(1, 4))
        n = x.ndim
        order = rng.permutation(n)
        dims = [int(d) - (n if rng.random() < 0.5 else 0) for d in order]
        say.same("permute", ops.one("permute", x, dims=dims), x.transpose(order))
        a, b = (int(d) for d in rng.integers(-n, n, 2))
        say.same("transpose", ops.one("transpose", x, dim0=a, dim1=b), np.swapaxes(x, a, b))
        d = int(rng.integers(-n, n))
        start, stop = (int(v) for v in rng.integers(-10, 11, 2))
        step = int(rng.integers(1, 4))
        place = [slice(None)] * n
        place[d] = slice(start, stop, step)
        part = x[tuple(place)]
        how = {"dim": d, "start": start, "stop": stop, "step": step}
        say.same("slice", ops.one("slice", x, **how), part)
        wanted = x.copy()
        new = source.numbers(x.dtype.name, part.size).reshape(part.shape)
        wanted[tuple(place)] = new
        say.same("write", ops.one("write", x, source.laid(new), **how), wanted)
        if x.shape[d]:
            index = int(rng.integers(-x.shape[d], x.shape[d]))
            say.same("select", ops.one("select", x, dim=d, index=index), np.take(x, index, d))
        shape = [n for n in x.shape for n in ([n // 2, 2] if n and n % 2 == 0 else [n, 1])]
        say.same("reshape", ops.one("reshape", x, shape=shape), x.reshape(shape))
        if x.size:
            say.same("reshape", ops.one("reshape", x, shape=[-1]), x.reshape(-1))
        u = int(rng.integers(-n - 1, n + 1))
        say.same("unsqueeze", ops.one("unsqueeze", x, dim=u), np.expand_dims(x, u))
        say.same("squeeze", ops.one("squeeze_all", x), np.squeeze(x))
        big = (3, *(5 if n == 1 else n for n in x.shape))
        say.same("expand", ops.one("expand", x, shape=list(big)), np.broadcast_to(x, big))
        e = int(rng.integers(d % n, n))
        flat = (*x.shape[: d % n], int(np.prod(x.shape[d % n : e + 1])), *x.shape[e + 1 :])
        say.same("flatten", ops.one("flatten", x, start=d, end=e), x.reshape(flat))


@say.add("what cannot be is refused with a reason, and nothing ends the program")
def refusals(ops: HostOps, source: Source) -> None:
    x = np.zeros((2, 3), "float32")
    huge = 1 << 40
    for words, op, inputs, args in [
        ("do not broadcast", "add", [x, np.zeros(2)], {}),
        ("no dimension 2 among 2", "transpose", [x], {"dim0": 0, "dim1": 2}),
        ("name each dimension once", "permute", [x], {"dims": [0, 0]}),
        ("give sizes of the same product", "reshape", [x], {"shape": [4]}),
        ("at most one of them -1", "reshape", [x], {"shape": [-1, -1]}),
        ("more elements than can be counted", "full", [0], {"shape": [huge, huge], "dtype": "float32"}),
        ("could not be had", "full", [0], {"shape": [1 << 58], "dtype": "int64"}),
        ("index 3 is beyond a dimension of size 3", "select", [x], {"dim": 1, "index": 3}),
        ("step 0", "slice", [x], {"dim": 0, "start": 0, "stop": 1, "step": 0}),
        ("gelu", "gelu", [np.zeros(2, "int32")], {}),
        ("use reshape", "view", [x.T], {"shape": [6]}),
    ]:
        say.refused(op, words, lambda op=op, inputs=inputs, args=args: ops.call(op, *inputs, **args))


if __name__ == "__main__":
    sys.exit(say.main(__doc__))
