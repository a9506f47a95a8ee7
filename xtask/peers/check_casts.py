"""Checks conversions of elements: NumPy's types against ``ndarray.astype``, and with
``--torch`` the types that NumPy lacks against ``Tensor.to``.

Every bit counts, but that of NaN only its being NaN does. Floats that do not fit an
integer NumPy and torch leave to the processor; there the documentation is the truth: the
nearest integer there is, and 0 for NaN. ``python check_casts.py --library PATH [--torch]``.
"""

from __future__ import annotations

import sys
import warnings
from typing import Any

import numpy as np

from statements import Statements, Wrong
from tensors_abi import FLOAT8_DTYPES, NUMPY_DTYPES, Library

say = Statements()

INTEGERS = [name for name in NUMPY_DTYPES if np.dtype(name).kind in "iu"]
TORCH_ONLY = ["bfloat16", "complex32", *FLOAT8_DTYPES]


def halfway_doubles() -> np.ndarray:
    """Doubles half way between two halves or two singles, and right beside that."""
    halves = np.arange(0x7C00, dtype="uint16").view("float16").astype("float64")
    singles = np.frombuffer(np.random.default_rng(1).bytes(40_000), "float32")
    singles = np.abs(singles[np.isfinite(singles)]).astype("float64")
    middles = [
        (halves[1:] + halves[:-1]) / 2,
        (singles + np.nextafter(singles.astype("float32"), np.float32(np.inf))) / 2,
    ]
    edges = np.array(
        [65504, 65519.99999, 65520, 65536, 3.4028234663852886e38, 3.4028235677973366e38, 3.5e38, 1e300]
    )
    tiny = np.array([2.0**-24, 2.0**-25, 2.0**-26, 2.0**-149, 2.0**-150, 2.0**-151, 5e-324])
    exact = np.concatenate([*middles, edges, tiny])
    exact = exact[np.isfinite(exact)]
    around = [exact, np.nextafter(exact, np.inf), np.nextafter(exact, 0)]
    # Beside a middle by so little that a single on the way forgets it.
    around += [around[0] * (1 + 2.0**-40), around[0] * (1 - 2.0**-40)]
    all_of_them = np.concatenate(around)
    return np.concatenate([all_of_them, -all_of_them])


def edges_of_integers() -> list[int]:
    """Numbers at which a type begins or ends, or a float loses a bit."""
    powers = [1 << bit for bit in (7, 8, 10, 11, 12, 15, 16, 23, 24, 25, 31, 32, 52, 53, 54, 62, 63, 64)]
    near = [power + step for power in powers for step in (-3, -2, -1, 0, 1, 2, 3)]
    return [0, 1, 2, 3, 5, 127, 65504, 65519, 65520, 65521, 65536, *near]


def floats() -> np.ndarray:
    """Doubles that ask something of every type."""
    plain = [
        0.0,
        -0.0,
        1.0,
        1.5,
        2.5,
        0.5,
        0.99999,
        127.5,
        255.5,
        np.inf,
        np.nan,
        1e-320,
        2.0**-126,
        2.0**-133,
    ]
    plain += [float(n) for n in edges_of_integers()] + [n + 0.5 for n in edges_of_integers()]
    rng = np.random.default_rng(2)
    random = rng.standard_normal(2000) * 2.0 ** rng.integers(-160, 140, 2000)
    anything = np.frombuffer(rng.bytes(8 * 2000), "float64")
    small = rng.uniform(-300, 300, 2000)
    found = np.concatenate([plain, random, anything, small, halfway_doubles()])
    return np.concatenate([found, -found])


def source(dtype: str) -> np.ndarray:
    """Elements of a type: its edges, and any others."""
    kind = np.dtype(dtype)
    rng = np.random.default_rng(3)
    if kind.kind == "b":
        return np.array([False, True, True])
    if kind.kind in "iu":
        info = np.iinfo(kind)
        edges = [n for edge in edges_of_integers() for n in (edge, -edge) if info.min <= n <= info.max]
        # Half way between two singles and two halves, and one beside it.
        big = [
            n + step
            for n in ((1 << 24) + 1, (1 << 40) + (1 << 16), (1 << 62) + (1 << 38))
            for step in (-1, 0, 1)
        ]
        edges += [n for edge in big for n in (edge, -edge) if info.min <= n <= info.max]
        halves = [n for n in range(2049, 65520, 7) if n <= info.max]
        random = np.frombuffer(rng.bytes(4000 * kind.itemsize), kind)
        return np.concatenate([np.array([info.min, info.max, *edges, *halves], kind), random])
    if dtype == "float16":
        return np.arange(1 << 16, dtype="uint16").view("float16")
    with np.errstate(all="ignore"):
        if kind.kind == "f":
            anything = np.frombuffer(rng.bytes(4000 * kind.itemsize), kind)
            return np.concatenate([floats().astype(kind), anything])
        part = floats().astype("float32" if dtype == "complex64" else "float64")
        return (part + 1j * rng.permutation(part)).astype(kind)


def parts(array: np.ndarray) -> np.ndarray:
    """Floats instead of complex numbers."""
    return array.view(array.real.dtype) if array.dtype.kind == "c" else array


def same_numbers(what: str, found: np.ndarray, wanted: np.ndarray, of: np.ndarray) -> None:
    """Fails unless all bits are equal, or both are NaN."""
    say.equal(f"{what}: dtype and shape", (found.dtype, found.shape), (wanted.dtype, wanted.shape))
    found, wanted = parts(found), parts(wanted)
    bits = f"uint{found.dtype.itemsize * 8}"
    right = found.view(bits) == wanted.view(bits)
    if found.dtype.kind == "f":
        right |= np.isnan(found) & np.isnan(wanted)
    say.comparisons += right.size - 1
    if not right.all():
        # Complex numbers have two parts each.
        first = np.flatnonzero(~right)[:5]
        each = len(found) // max(len(of), 1)
        raise Wrong(
            f"{what}: {np.count_nonzero(~right)} of {right.size} differ: "
            f"{[(of[i // each], found[i], wanted[i]) for i in first]}"
        )


def to_integer(numbers: np.ndarray, dtype: str) -> np.ndarray:
    """The integers that the documentation promises for floats: cut off, clipped, and 0 for NaN."""
    info = np.iinfo(dtype)
    cut = np.trunc(numbers.astype("float64"))
    wanted = np.zeros(cut.shape, dtype)
    # As doubles the limits are exact, but for those just below a power of two.
    low, high = cut <= float(info.min), cut >= float(info.max)
    fits = ~(low | high | np.isnan(cut))
    wanted[fits] = cut[fits].astype(dtype)
    wanted[low], wanted[high] = info.min, info.max
    return wanted


def expected(array: np.ndarray, dtype: str) -> np.ndarray:
    """What NumPy says, or the documentation where NumPy says nothing."""
    if array.dtype.kind in "fc" and dtype in INTEGERS:
        wanted = to_integer(array.real, dtype)
        info = np.iinfo(dtype)
        with np.errstate(all="ignore"):
            cut = np.trunc(array.real.astype("float64"))
            fits = (cut >= float(info.min)) & (cut < float(info.max))
            # The promise is NumPy's wherever that has one.
            same_numbers(
                f"{array.dtype} to {dtype} by NumPy", wanted[fits], array[fits].astype(dtype), array[fits]
            )
        return wanted
    with np.errstate(all="ignore"):
        return array.astype(dtype)


@say.add("every pair of NumPy's types converts as ndarray.astype does it")
def as_numpy(lib: Library) -> None:
    warnings.simplefilter("ignore")
    wrong = []
    for dtype in NUMPY_DTYPES:
        array = source(dtype)
        tensor = lib.of_bytes(array.tobytes(), dtype, array.shape)
        for to in NUMPY_DTYPES:
            converted = tensor.to(to)
            try:
                same_numbers(f"{dtype} to {to}", converted.numpy(), expected(array, to), array)
                say.equal("shared", converted.shares(tensor), dtype == to)
            except Wrong as error:
                wrong.append(str(error))
    if wrong:
        raise Wrong("; ".join(wrong))


@say.add("every order of elements converts alike: transposed, stepped, expanded, 0-d, empty, reversed")
def any_order(lib: Library) -> None:
    base = source("float32")[:2400].reshape(40, 60)
    for what, array in [
        ("transposed", base.T),
        ("stepped", base[1::3, ::2]),
        ("expanded", np.broadcast_to(base[3:4], (7, 60))),
        ("0-d", base[4, 5:6].reshape(())),
        ("empty", base[3:3]),
        ("reversed", base[::-1, ::-2]),
    ]:
        tensor = lib.from_dlpack(array)
        for to in ("float64", "float16", "int8", "complex64", "bool"):
            found = tensor.to(to)
            say.equal(f"{what}: contiguous", found.contiguous_already, True)
            same_numbers(
                f"{what} to {to}",
                found.numpy().reshape(-1),
                expected(array, to).reshape(-1),
                array.reshape(-1),
            )


@say.add("a bool whose byte is neither 0 nor 1 is true")
def odd_truths(lib: Library) -> None:
    array = np.arange(256, dtype="uint8").view("bool")
    for to in NUMPY_DTYPES:
        if to != "bool":
            found = lib.from_numpy(array).to(to).numpy()
            say.same(to, found, (array.view("uint8") != 0).astype(to))


@say.add("copying into a tensor of another type converts as to_dtype does")
def copy_converts(lib: Library) -> None:
    for dtype in NUMPY_DTYPES:
        array = source(dtype)[:500]
        tensor = lib.of_bytes(array.tobytes(), dtype, array.shape)
        for to in NUMPY_DTYPES:
            target = np.zeros(2 * len(array), to)
            lib.from_numpy(target[::2]).copy_from(tensor)
            same_numbers(f"{dtype} into {to}", target[::2].copy(), expected(array, to), array)
            say.equal("between", target[1::2].any(), False)


def torch_source(dtype: str) -> Any:
    """Elements of a type as torch has it."""
    import torch

    if dtype in NUMPY_DTYPES:
        return torch.from_numpy(np.ascontiguousarray(source(dtype)))
    if dtype == "complex32":
        part = np.arange(1 << 16, dtype="uint16")
        both = np.stack([part, np.random.default_rng(4).permutation(part)], axis=1)
        return torch.from_numpy(both.reshape(-1)).view(torch.complex32)
    if dtype == "bfloat16":
        return torch.from_numpy(np.arange(1 << 16, dtype="uint16")).view(torch.bfloat16)
    return torch.from_numpy(np.arange(256, dtype="uint8")).view(getattr(torch, dtype))


def torch_bytes(tensor: Any) -> bytes:
    """A torch tensor's elements."""
    import torch

    return tensor.view(torch.uint8).numpy().tobytes()


def eight_bit_edges() -> np.ndarray:
    """Singles on, half way between, and right beside the codes of every 8-bit float."""
    import torch

    found = []
    for dtype in FLOAT8_DTYPES:
        codes = torch_source(dtype).to(torch.float32).numpy()
        codes = np.unique(codes[np.isfinite(codes)]).astype("float64")
        middles = (codes[1:] + codes[:-1]) / 2
        beyond = codes[-1:] + np.array([0.25, 0.5, 0.75, 1, 1.5]) * (codes[-1] - codes[-2])
        for numbers in (codes, middles, beyond, -beyond):
            single = numbers.astype("float32")
            found += [
                single,
                np.nextafter(single, np.float32(np.inf)),
                np.nextafter(single, np.float32(-np.inf)),
            ]
    with np.errstate(all="ignore"):
        anything = np.frombuffer(np.random.default_rng(5).bytes(400_000), "float32")
        return np.concatenate([*found, anything, floats().astype("float32")])


def left_to_the_processor(theirs: Any, to: str) -> Any:
    """Where a float does not fit an integer, as booleans; the part that torch does not define."""
    import torch

    if not (theirs.dtype.is_floating_point or theirs.dtype.is_complex) or to not in INTEGERS:
        return np.zeros(len(theirs), bool)
    wide = theirs.to(torch.complex128).real if theirs.dtype.is_complex else theirs.to(torch.float64)
    cut = np.trunc(wide.numpy())
    info = np.iinfo(to)
    # Below zero torch wraps, by way of a wider integer.
    return ~((cut >= float(info.min)) & (cut < float(info.max)))


def against_torch(lib: Library, theirs: Any, dtype: str, to: str) -> str | None:
    """Converts with both; what differs, or None. Raises what torch does not do."""
    import torch

    wanted = theirs.to(getattr(torch, to))
    ours = lib.of_bytes(torch_bytes(theirs), dtype, tuple(theirs.shape)).to(to)
    whole = f"uint{wanted.element_size() * 8}" if to not in ("complex64", "complex128", "complex32") else None
    part = {"complex32": "uint16", "complex64": "uint32", "complex128": "uint64"}.get(to, whole)
    found_bits = np.frombuffer(ours.read(), part)
    wanted_bits = np.frombuffer(torch_bytes(wanted), part)
    right = found_bits == wanted_bits
    if wanted.dtype.is_floating_point or wanted.dtype.is_complex:
        kind = {"complex32": "float16", "complex64": "float32", "complex128": "float64"}.get(to, to)

        def nan(bits: np.ndarray) -> np.ndarray:
            return torch.from_numpy(bits.copy()).view(getattr(torch, kind)).to(torch.float64).isnan().numpy()

        right |= nan(found_bits) & nan(wanted_bits)
    undefined = left_to_the_processor(theirs, to)
    if undefined.any():
        wide = theirs.to(torch.complex128).real if theirs.dtype.is_complex else theirs.to(torch.float64)
        promised = to_integer(wide.numpy(), to).view(part)
        right[undefined] = found_bits[undefined] == promised[undefined]
    say.comparisons += right.size
    if right.all():
        return None
    each = len(right) // len(theirs)
    first = [int(i) for i in np.flatnonzero(~right)[:4]]
    shown = [
        (theirs[i // each].to(torch.complex128).tolist(), hex(found_bits[i]), hex(wanted_bits[i]))
        for i in first
    ]
    return f"{dtype} to {to}: {np.count_nonzero(~right)} of {right.size} differ: {shown}"


def all_against_torch(lib: Library, pairs: list[tuple[Any, str, str]]) -> None:
    """Fails with all that differs; what torch does not convert is counted."""
    wrong, not_there = [], []
    for theirs, dtype, to in pairs:
        try:
            found = against_torch(lib, theirs, dtype, to)
        except (RuntimeError, NotImplementedError) as error:
            not_there.append(f"{dtype} to {to}: {error}")
            continue
        wrong += [found] if found else []
    if not_there:
        print(f"  torch has not: {len(not_there)} of {len(pairs)} pairs, such as {not_there[0]:.150}")
    if wrong:
        raise Wrong("; ".join(wrong))


@say.add("types that NumPy lacks convert to all others as torch does it: every code", torch=True)
def from_others(lib: Library) -> None:
    all_against_torch(
        lib, [(torch_source(dtype), dtype, to) for dtype in TORCH_ONLY for to in [*NUMPY_DTYPES, *TORCH_ONLY]]
    )


@say.add("all others convert to types that NumPy lacks as torch does it", torch=True)
def to_others(lib: Library) -> None:
    all_against_torch(lib, [(torch_source(dtype), dtype, to) for dtype in NUMPY_DTYPES for to in TORCH_ONLY])


@say.add(
    "singles on, beside and half way between the codes of 8-bit floats convert as torch does it", torch=True
)
def to_eight_bits(lib: Library) -> None:
    import torch

    single = torch.from_numpy(eight_bit_edges())
    all_against_torch(lib, [(single, "float32", to) for to in TORCH_ONLY])
    all_against_torch(lib, [(single.to(torch.float64), "float64", to) for to in TORCH_ONLY])


if __name__ == "__main__":
    sys.exit(say.main(__doc__))
