"""Checks views of tensors, and reading and writing their elements, against NumPy, and
with ``--torch`` strides and what can be a view against torch.

``python check_elements.py --library PATH [--torch]``.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from ctypes import c_int32, c_void_p
from typing import Any

import numpy as np

from statements import Statements, values
from tensors_abi import FLOAT8_DTYPES, IN_USE, NUMPY_DTYPES, PARAMETER, TYPE, Library, Refused, Tensor

say = Statements()

INTEGERS = [name for name in NUMPY_DTYPES if np.dtype(name).kind in "iu"]


def does(call: Callable[[], Any]) -> bool:
    """Whether a call is done and not refused as something that cannot be."""
    try:
        call()
    except Refused as refused:
        if refused.status != PARAMETER:
            raise
        return False
    return True


@say.add("an element is read as NumPy's item, and written as NumPy writes it")
def single_elements(lib: Library) -> None:
    for dtype in NUMPY_DTYPES:
        rng = np.random.default_rng(1)
        array = np.frombuffer(rng.bytes(24 * np.dtype(dtype).itemsize), "uint8").copy()
        array = (array & 1 if dtype == "bool" else array).view(dtype).reshape(4, 6)
        tensor = lib.from_numpy(array).transpose(0, 1)
        for i in range(-6, 6):
            for j in range(-4, 4):
                found, wanted = tensor.get(i, j), array.T[i, j].item()
                say.equal(f"{dtype} [{i}, {j}]", (type(found), repr(found)), (type(wanted), repr(wanted)))
        for index in ((6, 0), (-7, 0), (0, 4), (0, -5), (0,), (0, 0, 0), (1 << 62, 0), (-(1 << 63), 0)):
            say.refused(PARAMETER, "", lambda index=index: tensor.get(*index))
            say.refused(PARAMETER, "", lambda index=index: tensor.set(index, 0))
        for value in (True, 0, 1, 100, 1.75, -0.0, 2.5, 3 + 0j):
            wanted = np.zeros(1, dtype)
            wanted[0] = value.real if isinstance(value, complex) else value
            tensor.set([-1, 2], value)
            say.same(f"{dtype} of {value}", array[2:3, -1], wanted)


@say.add("an integer is refused where NumPy says that it is out of bounds, and nothing is written")
def integers_out_of_range(lib: Library) -> None:
    edges = sorted(
        {
            sign * (1 << bit) + step
            for bit in (7, 8, 15, 16, 31, 32, 63)
            for sign in (-1, 1)
            for step in (-1, 0, 1)
        }
    )
    edges = [n for n in edges if -(1 << 63) <= n < 1 << 64] + [0, (1 << 64) - 1]
    for dtype in INTEGERS:
        array = np.zeros(2, dtype)
        tensor = lib.from_numpy(array)
        for value in edges:
            wanted = np.zeros(2, dtype)
            try:
                wanted[1] = value
            except OverflowError:
                wanted = np.array([0, 7], dtype)
                array[1] = 7
                say.refused(
                    PARAMETER, f"is out of the range of {dtype}", lambda value=value: tensor.set([1], value)
                )
                say.refused(PARAMETER, "is out of the range", lambda value=value: tensor.fill(value))
                say.refused(
                    PARAMETER, "is out of the range", lambda value=value: lib.full(dtype, (2,), value)
                )
            else:
                tensor.set([1], value)
                say.equal(f"{dtype}: read again", tensor.get(1), value)
            say.same(f"{dtype} {value}", array, wanted)


@say.add("a float is cut off on its way to an integer, and refused where that does not fit")
def floats_to_integers(lib: Library) -> None:
    for dtype in INTEGERS:
        info = np.iinfo(dtype)
        tensor = lib.zeros(dtype, (1,))
        plain = [
            0.9,
            -0.9,
            1.5,
            127.9,
            128.0,
            -128.9,
            255.9,
            256.0,
            2.0**31,
            2.0**63,
            -(2.0**63),
            2.0**64,
            1e300,
        ]
        for value in [*plain, float("inf"), float("-inf"), float("nan")]:
            fits = np.isfinite(value) and info.min <= int(value) <= info.max
            say.equal(f"{dtype} {value}", does(lambda value=value: tensor.fill(value)), bool(fits))
            if fits:
                say.equal(f"{dtype} of {value}", tensor.get(0), int(value))


@say.add("a complex number is refused where only real ones are, as NumPy refuses it")
def complex_to_real(lib: Library) -> None:
    for dtype in [d for d in NUMPY_DTYPES if np.dtype(d).kind in "iuf"]:
        tensor = lib.zeros(dtype, (1,))
        for value in (1j, 1 + 1j, complex(1, float("nan"))):
            say.raises(TypeError, lambda value=value: np.zeros(1, dtype).__setitem__(0, value))
            say.refused(PARAMETER, f"is out of the range of {dtype}", lambda value=value: tensor.fill(value))
        tensor.fill(3 + 0j)
        say.equal(dtype, tensor.get(0), 3)


@say.add("full and fill write every element that is shown, and no other")
def filled(lib: Library) -> None:
    for dtype in NUMPY_DTYPES:
        for value in (True, 1, 2.5):
            wanted = np.full((2, 3), value).astype(dtype)
            say.same(f"{dtype} full of {value}", lib.full(dtype, (2, 3), value).numpy(), wanted)
        for at in ((slice(None), slice(1, None, 2)), (slice(1, 2), slice(None)), (slice(0, 0), slice(None))):
            array, wanted = values(dtype, (4, 6)), values(dtype, (4, 6))
            lib.from_numpy(array[at]).fill(1)
            wanted[at] = 1
            say.same(f"{dtype} {at}", array, wanted)
    say.equal("a 0-d one", lib.full("int8", (), -5).get(), -5)


@say.add("reading and writing all elements goes by C order, and takes a buffer of their size only")
def whole(lib: Library) -> None:
    for dtype in NUMPY_DTYPES:
        array = values(dtype, (4, 6))
        for what, part in [
            ("whole", array),
            ("transposed", array.T),
            ("stepped", array[1::2, ::5]),
            ("empty", array[1:1]),
        ]:
            tensor = lib.from_numpy(part)
            say.equal(f"{dtype} {what}: read", tensor.read(), part.tobytes())
            new = part[::-1].astype(dtype)
            tensor.write(new.tobytes())
            say.same(f"{dtype} {what}: written", part.copy(), new)
            say.refused(PARAMETER, "the buffer has", lambda: tensor.write(new.tobytes() + b"\0"))
            if new.size:
                say.refused(PARAMETER, "the buffer has", lambda: tensor.write(new.tobytes()[:-1]))


@say.add("any bytes are shared or copied as elements of any type, with strides and an offset")
def memory(lib: Library) -> None:
    raw = np.frombuffer(np.random.default_rng(2).bytes(256), "uint8").copy()
    for dtype in NUMPY_DTYPES:
        size = np.dtype(dtype).itemsize
        source = raw & 1 if dtype == "bool" else raw
        for shape, strides, offset in [
            ((2, 3), None, 0),
            ((2, 3), (3 * size, size), 2 * size),
            ((3, 2), (size, -2 * size), 5 * size),
            ((2, 2), (0, size), size),
            ((), (), 3 * size),
            ((0, 4), (size, size), 0),
        ]:
            data = source[: 6 * size] if strides is None else source
            wanted = np.ndarray(shape, dtype, data, offset, strides)
            tensor = lib.share(data, dtype, shape, strides=strides, offset=offset)
            say.same(f"{dtype} {shape} {strides}", tensor.numpy(), wanted)
            copy = lib.copy(data, dtype, shape, strides=strides, offset=offset)
            say.same(f"{dtype} {shape} {strides}: copied", copy.numpy(), wanted)
            if wanted.size:
                say.equal("place", tensor.data, wanted.__array_interface__["data"][0])
        # A copy may be made of what does not lie at multiples of its size.
        wanted = np.ndarray((4,), dtype, source, 1, (size + 1,))
        say.same(
            f"{dtype} beside", lib.copy(source, dtype, (4,), strides=(size + 1,), offset=1).numpy(), wanted
        )
        if size > 1:
            for strides, offset in [((size + 1,), 0), ((size,), 1)]:
                say.refused(
                    PARAMETER,
                    "copy the memory",
                    lambda: lib.share(source, dtype, (4,), strides=strides, offset=offset),
                )
        for shape, strides, offset in [
            ((256 // size + 1,), None, 0),
            ((2,), (256,), 0),
            ((2,), (-size,), 0),
            ((1,), (size,), 256),
            ((2,), (1 << 62,), 0),
            ((1 << 62, 1 << 62), None, 0),
        ]:
            for call in (lib.share, lib.copy):
                say.refused(PARAMETER, "", lambda: call(source, dtype, shape, strides=strides, offset=offset))


@say.add("copy_from spreads a smaller tensor as NumPy does, and refuses what NumPy refuses")
def spread(lib: Library) -> None:
    rng = np.random.default_rng(3)
    for i in range(400):
        to = tuple(int(n) for n in rng.choice([0, 1, 2, 3], int(rng.integers(0, 4))))
        given = tuple(int(n) if rng.random() < 0.7 else 1 for n in to)[int(rng.integers(0, 2)) :]
        if rng.random() < 0.2:
            given = tuple(int(n) for n in rng.choice([1, 2, 3], int(rng.integers(0, 4))))
        array, source = np.zeros(to, "int32"), values("int32", given) + 1
        try:
            wanted = np.broadcast_to(source, to)
        except ValueError:
            wanted = None
        done = does(lambda: lib.from_numpy(array).copy_from(lib.from_numpy(source)))
        say.equal(f"{i}: {given} to {to}", done, wanted is not None)
        if wanted is not None:
            say.same(f"{i}: {given} to {to}", array, wanted.copy())


def step(rng: np.random.Generator, tensor: Tensor, array: np.ndarray) -> tuple[str, Tensor, np.ndarray]:
    """A random view of both."""
    ndim = array.ndim
    dim = int(rng.integers(-ndim, ndim)) if ndim else 0
    choice = rng.choice(
        ["slice", "select", "permute", "unsqueeze", "squeeze", "expand", "reshape", "narrow", "flatten"]
    )
    if choice == "unsqueeze" or ndim == 0:
        at = int(rng.integers(-ndim - 1, ndim + 1))
        return f"unsqueeze {at}", tensor.unsqueeze(at), np.expand_dims(array, at)
    n = array.shape[dim]
    if choice == "slice":
        start, stop = (None if rng.random() < 0.3 else int(rng.integers(-n - 2, n + 3)) for _ in range(2))
        by = int(rng.integers(1, 4))
        at = [slice(None)] * ndim
        at[dim] = slice(start, stop, by)
        return f"slice {dim} {start}:{stop}:{by}", tensor.slice(dim, start, stop, by), array[tuple(at)]
    if choice == "select" and n:
        i = int(rng.integers(-n, n))
        at = [slice(None)] * ndim
        at[dim] = i
        return f"select {dim} {i}", tensor.select(dim, i), array[(..., *at)] if ndim > 1 else array[..., i]
    if choice == "permute":
        dims = [int(d) for d in rng.permutation(ndim)]
        return f"permute {dims}", tensor.permute(*dims), array.transpose(dims)
    if choice == "squeeze":
        return "squeeze", tensor.squeeze(), array.squeeze()
    if choice == "expand" and array.size < 2000:
        sizes = [int(rng.integers(1, 4)) if n == 1 else n for n in array.shape]
        sizes = [int(rng.integers(1, 3))] * int(rng.integers(0, 2)) + sizes
        return f"expand {sizes}", tensor.expand(*sizes), np.broadcast_to(array, sizes)
    if choice == "narrow" and n:
        start = int(rng.integers(0, n))
        length = int(rng.integers(0, n - start + 1))
        at = [slice(None)] * ndim
        at[dim] = slice(start, start + length)
        return f"narrow {dim} {start} {length}", tensor.narrow(dim, start, length), array[tuple(at)]
    if choice == "reshape" and array.size:
        return "reshape -1 1", tensor.reshape(-1, 1), array.reshape(-1, 1)
    return "flatten", tensor.flatten(), array.reshape(-1)


@say.add("random chains of views show what NumPy's show, and writes to them arrive where NumPy's do")
def chains(lib: Library) -> None:
    rng = np.random.default_rng(4)
    for i in range(1500):
        shape = tuple(int(n) for n in rng.choice([1, 2, 3, 4], int(rng.integers(1, 5))))
        base = values("int32", shape)
        tensor, array = lib.from_numpy(base), base
        done = []
        for _ in range(int(rng.integers(1, 6))):
            name, tensor, array = step(rng, tensor, array)
            done.append(name)
        what = f"{i}: {shape} {done}"
        say.equal(f"{what}: shape", tensor.shape, array.shape)
        say.equal(f"{what}: elements", tensor.read(), array.tobytes())
        say.equal(f"{what}: contiguous", tensor.contiguous_already, array.flags.c_contiguous)
        say.same(f"{what}: as an array", tensor.numpy(), array)


@say.add("threads see a write whole or are refused, and what is refused is not done")
def threads(lib: Library) -> None:
    tensor = lib.zeros("int32", (1 << 18,))
    part = tensor.slice(0, 0, None, 2)
    torn: list[Any] = []
    done = {"write": 0, "read": 0}

    def work(number: int) -> None:
        for i in range(100):
            write = (i + number) % 2 == 0
            try:
                if write:
                    tensor.fill(number)
                else:
                    found = np.frombuffer(part.read(), "int32")
                    if found.min() != found.max():
                        torn.append((found.min(), found.max()))
                done["write" if write else "read"] += 1
            except Refused as refused:
                if refused.status != IN_USE:
                    torn.append(refused)

    workers = [threading.Thread(target=work, args=(number,)) for number in range(1, 5)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    say.equal("torn, or refused otherwise", torn, [])
    say.equal("some were done", min(done.values()) > 0, True)
    tensor.fill(9)
    say.equal("in the end", tensor.get(5), 9)


@say.add("NULL in place of a tensor, or of a place for one, is refused")
def null(lib: Library) -> None:
    names = ["get_layout", "shares", "numpy", "get_view", "select", "slice", "narrow", "transpose", "permute"]
    names += [
        "squeeze",
        "squeeze_all",
        "unsqueeze",
        "expand",
        "view",
        "reshape",
        "flatten",
        "detach",
        "require_grad",
    ]
    names += ["clone", "contiguous", "to_dtype", "cpu", "get", "set", "fill", "copy_from", "read", "write"]
    names += ["to_dlpack", "to_dlpack_legacy", "from_dlpack", "from_dlpack_legacy", "zeros", "full"]
    names += ["from_numpy", "as_tensor", "copy_numpy", "share", "copy"]
    for name in names:
        say.refused(
            PARAMETER, "NULL", lambda name=name: lib.call(f"numpack_tensor_{name}", *[c_void_p()] * 7)
        )
    tensor = lib.zeros("int8", (2,))
    for name in [
        "detach",
        "clone",
        "contiguous",
        "cpu",
        "squeeze_all",
        "get_layout",
        "numpy",
        "get_view",
        "fill",
        "copy_from",
        "to_dlpack",
    ]:
        say.refused(
            PARAMETER,
            "NULL",
            lambda name=name: lib.call(f"numpack_tensor_{name}", tensor.handle, *[c_void_p()] * 6),
        )
    lib.functions.numpack_tensor_free(None)
    say.equal("retain", lib.functions.numpack_tensor_retain(None), None)


@say.add("element types that no tensor has are refused")
def other_types(lib: Library) -> None:
    for number in (34, 40, 41, 50):
        say.refused(
            TYPE,
            "no tensor in memory has",
            lambda number=number: lib.make("numpack_tensor_zeros", c_int32(number), c_int32(0), None),
        )
    for number in (-1, 14, 31, 51, 1 << 30):
        say.refused(
            PARAMETER,
            "none of NUMPACK_DTYPE_",
            lambda number=number: lib.make("numpack_tensor_zeros", c_int32(number), c_int32(0), None),
        )


@say.add("strides, contiguity, and what is a view and what a copy, are as in torch", torch=True)
def as_torch(lib: Library) -> None:
    import torch

    def places(shape: Any, strides: Any) -> list[int]:
        # The stride of one index or none says nothing.
        return [] if 0 in shape else [s for n, s in zip(shape, strides) if n > 1]

    rng = np.random.default_rng(5)
    for i in range(1500):
        shape = [
            int(n)
            for n in rng.choice([0, 1, 2, 3, 4], int(rng.integers(0, 5)), p=[0.04, 0.26, 0.3, 0.2, 0.2])
        ]
        base = values("int32", tuple(n * 2 for n in shape))
        order = [int(d) for d in rng.permutation(len(shape))]
        theirs = torch.from_numpy(base).permute(order)
        theirs = theirs[tuple(slice(None, None, int(rng.integers(1, 3))) for _ in shape)]
        if rng.random() < 0.3:
            theirs = theirs.unsqueeze(0).expand(2, *theirs.shape)
        ours = lib.from_dlpack(theirs)
        n = theirs.dim()
        total = theirs.numel()
        sizes = [
            [-1],
            [total],
            [2, -1],
            [-1, 1],
            [4, -1, 2],
            [-1, 3],
            [*theirs.shape, 1],
            [1, *theirs.shape],
            list(theirs.shape),
        ]
        if n > 1:
            joined = int(rng.integers(0, n - 1))
            now = list(theirs.shape)
            sizes.append([*now[:joined], now[joined] * now[joined + 1], *now[joined + 2 :]])
        a, b = (int(rng.integers(-n - 1, n + 1)) for _ in range(2))
        pairs: list[tuple[str, Callable[[], Tensor], Callable[[], Any]]] = [
            ("contiguous", ours.contiguous, theirs.contiguous),
            ("squeeze", ours.squeeze, theirs.squeeze),
            (f"squeeze {a}", lambda: ours.squeeze(a), lambda: theirs.squeeze(a)),
            (f"unsqueeze {a}", lambda: ours.unsqueeze(a), lambda: theirs.unsqueeze(a)),
            (f"transpose {a} {b}", lambda: ours.transpose(a, b), lambda: theirs.transpose(a, b)),
            (f"flatten {a} {b}", lambda: ours.flatten(a, b), lambda: theirs.flatten(a, b)),
            (f"select {a} {b}", lambda: ours.select(a, b), lambda: theirs.select(a, b)),
        ]
        for size in sizes:
            pairs.append(
                (f"view {size}", lambda size=size: ours.view(*size), lambda size=size: theirs.view(size))
            )
            pairs.append(
                (
                    f"reshape {size}",
                    lambda size=size: ours.reshape(*size),
                    lambda size=size: theirs.reshape(size),
                )
            )
        for name, call, wanted in pairs:
            what = f"{i}: {tuple(theirs.shape)} {theirs.stride()} {name}"
            try:
                reference = wanted()
            except (RuntimeError, IndexError):
                say.equal(f"{what}: done", does(call), False)
                continue
            found = call()
            say.equal(f"{what}: shape", found.shape, tuple(reference.shape))
            say.equal(f"{what}: contiguous", found.contiguous_already, reference.is_contiguous())
            say.equal(
                f"{what}: strides",
                places(found.shape, found.strides),
                places(reference.shape, reference.stride()),
            )
            say.equal(f"{what}: elements", found.numpy().tolist(), reference.tolist())
            if total and reference.numel():
                shared = reference.untyped_storage().data_ptr() == theirs.untyped_storage().data_ptr()
                say.equal(f"{what}: shared", found.shares(ours), shared)


@say.add("elements of types that NumPy lacks are read and written as in torch", torch=True)
def other_elements(lib: Library) -> None:
    import torch

    for dtype in ["bfloat16", "complex32", *FLOAT8_DTYPES]:
        kind = getattr(torch, dtype)
        for value in (0.0, 1.0, -1.5, 3.14159, 0.001, 447.0, 1e9, float("nan")):
            if value == -1.5 and dtype == "float8_e8m0fnu":
                continue
            wanted = torch.tensor([value], dtype=torch.float32).to(kind)
            tensor = lib.full(dtype, (1,), value)
            found = torch.from_dlpack(tensor)
            say.equal(
                f"{dtype} of {value}", repr(found.to(torch.complex64)), repr(wanted.to(torch.complex64))
            )
            item = wanted.to(torch.complex128 if dtype == "complex32" else torch.float64).item()
            say.equal(f"{dtype} of {value}: read", repr(tensor.get(0)), repr(item))


if __name__ == "__main__":
    sys.exit(say.main(__doc__))
