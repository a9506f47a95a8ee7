"""Checks who shares memory, who copies and what is refused, between tensors and NumPy.

Needs numpy only; with ``--torch`` torch's own from_numpy, as_tensor and tensor are
given the same arrays. ``python check_sharing.py --library PATH [--torch]``.
"""

from __future__ import annotations

import gc
import sys
import threading
import weakref
from typing import Any

import numpy as np

from statements import Statements, Wrong, pointer, values
from tensors_abi import FLOAT8_DTYPES, NUMPY_DTYPES, PARAMETER, SHARING, TYPE, Library, Refused, Tensor

say = Statements()


def swapped(dtype: str) -> np.ndarray:
    """An array in the other byte order."""
    return np.array([1, 2, 258], np.dtype(dtype).newbyteorder())


def misaligned(dtype: str) -> np.ndarray:
    """An array one byte beside where it should be."""
    size = np.dtype(dtype).itemsize
    array = np.zeros(4 * size + 1, "uint8")[1:].view(dtype)
    array[:] = values(dtype, (4,))
    return array


def field() -> np.ndarray:
    """Every second number of twelve bytes: the step is no multiple of eight."""
    records = np.zeros(4, np.dtype({"names": ["a"], "formats": ["<f8"], "offsets": [0], "itemsize": 12}))
    records["a"] = [1, 2, 3, 4]
    return records["a"]


def read_only() -> np.ndarray:
    """An array that may not be written to."""
    array = values("float32", (3,))
    array.setflags(write=False)
    return array


SHARED = {
    "flat": lambda: values("float32", (5,)),
    "matrix": lambda: values("int64", (3, 4)),
    "every second": lambda: values("float32", (10,))[::2],
    "a part": lambda: values("int16", (6, 7))[2:5, 1:6:3],
    "Fortran order": lambda: np.asfortranarray(values("int32", (2, 3))),
    "transposed": lambda: values("complex64", (2, 3, 4)).transpose(2, 0, 1),
    "repeated": lambda: np.lib.stride_tricks.as_strided(values("float64", (3,)), (2, 3), (0, 8)),
    "overlapping": lambda: np.lib.stride_tricks.as_strided(values("float64", (6,)), (4, 3), (8, 8)),
    "one index": lambda: values("uint8", (3, 1, 4))[:, :, 1:2],
    "0-d": lambda: np.array(2.5),
    "0-d of a view": lambda: values("int8", (3, 3))[1:2, 2:3].reshape(()),
    "empty": lambda: np.zeros(0),
    "empty in the first": lambda: np.zeros((0, 3), "int8"),
    "empty in the last": lambda: np.zeros((3, 0), "bool"),
    "empty in the middle": lambda: np.zeros((2, 0, 5), "complex128"),
    "empty part": lambda: values("float32", (4, 5))[2:2, 1:],
    "empty and large": lambda: np.zeros((0, 1 << 40), "int8"),
}
REFUSED = {
    "read-only": (read_only, "read-only"),
    "reversed": (lambda: values("float32", (5,))[::-1], "negative strides"),
    "reversed in one": (lambda: values("int8", (3, 4))[:, ::-2], "negative strides"),
    "a field": (field, "not multiples of its elements' 8 bytes"),
    "misaligned": (lambda: misaligned("float64"), "misaligned"),
    "misaligned pairs": (lambda: misaligned("complex64"), "misaligned"),
    "other order": (lambda: swapped("float32"), "other byte order"),
    "other order of shorts": (lambda: swapped("uint16"), "other byte order"),
    "other order of pairs": (lambda: swapped("complex128"), "other byte order"),
}
NO_NUMBERS = {
    "objects": np.array([1, "a"], object),
    "text": np.array(["a", "bc"]),
    "bytes": np.array([b"a", b"bc"]),
    "times": np.array(["2000-01-01"], "datetime64[ns]"),
    "time spans": np.array([1], "timedelta64[s]"),
    "records": np.zeros(2, [("a", "<f4"), ("b", "<i4")]),
    "raw bytes": np.zeros(2, "V2"),
    "long doubles": np.zeros(2, np.longdouble),
    "long complex numbers": np.zeros(2, np.clongdouble),
}


def show_the_same(what: str, array: np.ndarray, tensor: Tensor) -> None:
    """Whether a tensor shares an array's memory: place, order, and writes both ways."""
    say.equal(f"{what}: dtype", tensor.dtype, array.dtype.name)
    say.equal(f"{what}: shape", tensor.shape, array.shape)
    say.same(
        f"{what}: elements", np.frombuffer(tensor.read(), array.dtype).reshape(array.shape), array.copy("C")
    )
    if array.size == 0:
        return
    say.equal(f"{what}: pointer", tensor.data, pointer(array))
    say.equal(f"{what}: strides", [s * array.itemsize for s in tensor.strides], list(array.strides))
    one = array.dtype.type(1)
    array[...] = 0
    array[(0,) * array.ndim] = one
    say.equal(f"{what}: a write to the array", tensor.get(*(0,) * array.ndim), one.item())
    tensor.set([-1] * array.ndim, 0)
    tensor.set([0] * array.ndim, 0)
    say.equal(f"{what}: a write to the tensor", array.any(), False)


def copied(what: str, array: np.ndarray, tensor: Tensor, dtype: str | None = None) -> None:
    """Whether a tensor has an array's elements in memory of its own."""
    native = array.astype(array.dtype.newbyteorder("="))
    wanted = np.ascontiguousarray(native.astype(dtype or native.dtype)).reshape(array.shape)
    found = tensor.numpy()
    say.same(f"{what}: elements", found, wanted)
    say.equal(f"{what}: in C order", (tensor.contiguous_already, tensor.read_only), (True, False))
    say.equal(f"{what}: memory", np.shares_memory(found, array), False)
    if array.size and array.flags.writeable:
        array[...] = array.dtype.type(7)
        say.same(f"{what}: after a write to the array", found, wanted)


@say.add("from_numpy shares: pointer, dtype, shape and strides are the array's, writes are seen both ways")
def from_numpy_shares(lib: Library) -> None:
    for what, make in SHARED.items():
        array = make()
        show_the_same(what, array, lib.from_numpy(array))


@say.add("every dtype of the table is kept: float64 stays float64")
def dtypes_are_kept(lib: Library) -> None:
    for dtype in NUMPY_DTYPES:
        array = values(dtype, (2, 3))
        show_the_same(dtype, array, lib.from_numpy(array))
        copied(dtype, values(dtype, (2, 3)), lib.tensor(values(dtype, (2, 3))))
        say.equal(dtype, lib.from_numpy(array).numpy().dtype, array.dtype)


@say.add("from_numpy refuses what it cannot share, and says why and what to do")
def from_numpy_refuses(lib: Library) -> None:
    for make, words in REFUSED.values():
        say.refused(SHARING, words, lambda make=make: lib.from_numpy(make()))
        say.refused(
            SHARING,
            "copy it with tensor(), or let as_tensor() choose",
            lambda make=make: lib.from_numpy(make()),
        )


@say.add("elements that are no numbers are refused by all three")
def no_numbers(lib: Library) -> None:
    for array in NO_NUMBERS.values():
        for call in (lib.from_numpy, lib.as_tensor, lib.tensor):
            say.refused(TYPE, "which no tensor has", lambda call=call, array=array: call(array))


@say.add("after a refusal nothing is lent, and a copy of the array is taken")
def a_copy_is_taken(lib: Library) -> None:
    array = read_only()
    say.refused(SHARING, "read-only", lambda: lib.from_numpy(array))
    say.equal("lent", (lib.lent, lib.released), ({}, {}))
    copy = np.array(array, copy=True)
    show_the_same("a copy", copy, lib.from_numpy(copy))


@say.add("as_tensor shares where from_numpy does")
def as_tensor_shares(lib: Library) -> None:
    for what, make in SHARED.items():
        array = make()
        show_the_same(what, array, lib.as_tensor(array))
        array = make()
        show_the_same(f"{what}, dtype named", array, lib.as_tensor(array, array.dtype.name))


@say.add("as_tensor copies what from_numpy refuses, and what is wanted of another dtype")
def as_tensor_copies(lib: Library) -> None:
    for what, (make, _) in REFUSED.items():
        array = make()
        copied(what, array, lib.as_tensor(array))
        say.equal(f"{what}: given back at once", lib.lent, {})
    for what, make in SHARED.items():
        array = make()
        dtype = "float32" if array.dtype != np.float32 else "float64"
        copied(what, array, lib.as_tensor(array, dtype), dtype)


@say.add("tensor() always copies")
def tensor_copies(lib: Library) -> None:
    for what, make in {**SHARED, **{what: make for what, (make, _) in REFUSED.items()}}.items():
        array = make()
        copied(what, array, lib.tensor(array))
        array = make()
        copied(f"{what} as float32", array, lib.tensor(array, "float32"), "float32")


@say.add("a tensor from lists of floats is what its array is: float64, and float32 where that is said")
def floats_are_doubles(lib: Library) -> None:
    array = np.array([1.0, 2.0, 3.0])
    say.equal("dtype", lib.from_numpy(array).dtype, "float64")
    say.equal("dtype", lib.tensor(np.array([1.0], np.float32)).dtype, "float32")


@say.add("numpy() shares: a write to the tensor is seen in the array, and the other way round")
def numpy_shares(lib: Library) -> None:
    for dtype in NUMPY_DTYPES:
        tensor = lib.zeros(dtype, (2, 3))
        array = tensor.numpy()
        say.equal(f"{dtype}: pointer", pointer(array), tensor.data)
        say.equal(
            f"{dtype}: layout",
            (array.dtype.name, array.shape, array.flags.c_contiguous),
            (dtype, (2, 3), True),
        )
        tensor.set([1, 2], 1)
        say.equal(f"{dtype}: from the tensor", array[1, 2], array.dtype.type(1))
        array[0, 1] = 1
        say.equal(f"{dtype}: from the array", tensor.get(0, 1), array.dtype.type(1).item())
        say.equal(f"{dtype}: writable", array.flags.writeable, True)


@say.add("numpy() of a view is a view: transposed, stepped, expanded, one element, none")
def numpy_of_views(lib: Library) -> None:
    base = values("int32", (4, 6))
    tensor = lib.from_numpy(base)
    for what, view, wanted in [
        ("transposed", tensor.transpose(0, 1), base.T),
        ("stepped", tensor.slice(1, 1, None, 2), base[:, 1::2]),
        ("a row", tensor.select(0, -1), base[-1]),
        ("an element", tensor.select(0, 1).select(0, 2), base[1, 2:3].reshape(())),
        ("expanded", tensor.slice(0, 1, 2).expand(5, 6), np.broadcast_to(base[1:2], (5, 6))),
        ("empty", tensor.slice(0, 2, 2), base[2:2]),
        ("other sizes", tensor.view(3, 8), base.reshape(3, 8)),
    ]:
        found = view.numpy()
        say.same(what, found, wanted)
        if found.size:
            say.equal(f"{what}: place", (pointer(found), found.strides), (pointer(wanted), wanted.strides))


@say.add("numpy() of a tensor that requires grad is refused: call .detach() first")
def numpy_of_grad(lib: Library) -> None:
    tensor = lib.tensor(np.array([1.0, 2.0]), requires_grad=True)
    say.refused(SHARING, "call .detach() first", tensor.numpy)
    array = tensor.detach().numpy()
    array[0] = 9
    say.equal("after a write to the detached array", tensor.get(0), 9.0)


@say.add("numpy() of a dtype that NumPy lacks is refused")
def numpy_of_other_dtypes(lib: Library) -> None:
    for dtype in ["bfloat16", "complex32", *FLOAT8_DTYPES]:
        tensor = lib.zeros(dtype, (2,))
        say.refused(TYPE, f"NumPy has no {dtype}; convert it with to_dtype", tensor.numpy)
        say.same(
            dtype, tensor.to("float32").numpy(), np.full(2, 2.0**-127 if "e8m0" in dtype else 0, np.float32)
        )


@say.add("requires_grad is for floats and complex numbers only")
def grad_for_floats(lib: Library) -> None:
    for dtype in NUMPY_DTYPES:
        make = lambda dtype=dtype: lib.tensor(values(dtype, (2,)), requires_grad=True)
        if np.dtype(dtype).kind in "fc":
            say.equal(dtype, make().requires_grad, True)
            say.equal(f"{dtype} detached", make().detach().requires_grad, False)
        else:
            say.refused(TYPE, f"a tensor of {dtype} has no gradient", make)
            say.refused(TYPE, "has no gradient", lambda dtype=dtype: lib.zeros(dtype, (2,)).require_grad())
    say.equal(
        "after a conversion to integers",
        lib.zeros("float32", (2,)).require_grad().to("int8").requires_grad,
        False,
    )


@say.add("strided views share; a Fortran-order array is not contiguous, and contiguous() copies it")
def order(lib: Library) -> None:
    fortran = np.asfortranarray(values("float32", (2, 3)))
    tensor = lib.from_numpy(fortran)
    say.equal("contiguous", (fortran.flags.f_contiguous, tensor.contiguous_already), (True, False))
    copied("contiguous()", fortran, tensor.contiguous())
    base = values("float32", (10,))
    tensor = lib.from_numpy(base[::2])
    base[0] = 999
    say.equal("after a write to the base", tensor.get(0), 999.0)
    say.equal("contiguous", tensor.contiguous_already, False)
    plain = lib.from_numpy(base)
    say.equal("contiguous() of a contiguous one shares", plain.contiguous().shares(plain), True)


@say.add("detach and views share; clone and to another dtype copy, to the same dtype shares")
def who_copies(lib: Library) -> None:
    array = values("float64", (2, 3))
    tensor = lib.from_numpy(array)
    for what, view in [
        ("detach", tensor.detach()),
        ("transpose", tensor.transpose(0, 1)),
        ("to its own dtype", tensor.to("float64")),
        ("require_grad", tensor.require_grad()),
    ]:
        say.equal(what, (view.shares(tensor), view.data), (True, pointer(array)))
    for what, copy in [("clone", tensor.clone()), ("to float32", tensor.to("float32"))]:
        say.equal(what, copy.shares(tensor), False)
        array[0, 0] = 5
        say.equal(f"{what} after a write", copy.get(0, 0), 0.0)
        array[0, 0] = 0
    say.equal("a clone keeps the wish for a gradient", tensor.require_grad().clone().requires_grad, True)


@say.add("read-only memory is read and not written, and a clone of it is writable")
def read_only_memory(lib: Library) -> None:
    array = read_only()
    tensor = lib.share(array, "float32", (3,), read_only=True)
    say.equal("flags", (tensor.read_only, tensor.numpy().flags.writeable), (True, False))
    say.equal("of a view", tensor.slice(0, 1, None).read_only, True)
    for write in (
        lambda: tensor.set([0], 1.0),
        lambda: tensor.fill(1.0),
        lambda: tensor.write(b"\0" * 12),
        lambda: tensor.copy_from(lib.zeros("float32", (3,))),
    ):
        say.refused(SHARING, "read-only; clone it, and write to the copy", write)
    copied("a clone", array, tensor.clone())


@say.add("elements shown more than once are read and not written")
def expanded_memory(lib: Library) -> None:
    tensor = lib.from_numpy(values("int8", (1, 3))).expand(2, 3)
    say.refused(PARAMETER, "clone it first", lambda: tensor.fill(1))
    say.refused(PARAMETER, "clone it first", lambda: tensor.copy_from(lib.zeros("int8", (3,))))
    say.equal("elements", tensor.read(), bytes([0, 1, 2, 0, 1, 2]))


@say.add("the array lives as long as any view, and is given back once, when the last one goes")
def owner_outlives_views(lib: Library) -> None:
    array = values("float32", (4, 5))
    seen = weakref.ref(array)
    tensor = lib.from_numpy(array)
    user = tensor.user
    row, column = tensor.select(0, 1), tensor.transpose(0, 1).select(0, 2)
    del array
    gc.collect()
    say.equal("with all handles", (seen() is None, lib.released), (False, {}))
    del tensor
    gc.collect()
    say.equal("with two views", (seen() is None, lib.released), (False, {}))
    say.equal("a row", np.frombuffer(row.read(), "float32").tolist(), [5, 6, 7, 8, 9])
    del row
    back = column.numpy()
    del column
    gc.collect()
    say.equal("with an array of a view", (seen() is None, lib.released), (False, {}))
    say.equal("a column", back.tolist(), [2, 7, 12, 17])
    del back
    gc.collect()
    say.equal("with nothing", (seen() is None, lib.released), (True, {user: 1}))


@say.add("a clone does not keep the array")
def a_clone_is_free(lib: Library) -> None:
    array = values("float32", (4,))
    seen = weakref.ref(array)
    clone = lib.from_numpy(array).clone()
    del array
    gc.collect()
    say.equal("the array", seen(), None)
    say.equal("the clone", clone.numpy().tolist(), [0, 1, 2, 3])


@say.add("numpy() outlives the tensor that it is of")
def arrays_outlive_tensors(lib: Library) -> None:
    array = lib.tensor(values("int64", (3, 1000))).numpy()
    gc.collect()
    part = array[1, ::3]
    del array
    gc.collect()
    say.same("a part", part, values("int64", (3, 1000))[1, ::3])


@say.add("a tensor freed on another thread gives its array back there")
def freed_elsewhere(lib: Library) -> None:
    array = values("float32", (4,))
    seen = weakref.ref(array)
    tensors = [lib.from_numpy(array)]
    user = tensors[0].user
    del array
    thread = threading.Thread(target=tensors.clear)
    thread.start()
    thread.join()
    say.equal("given back", (seen() is None, lib.released), (True, {user: 1}))


@say.add("one array lent many times is given back as often")
def lent_many_times(lib: Library) -> None:
    array = values("float32", (4,))
    tensors = [lib.from_numpy(array[i:]) for i in range(4)]
    say.equal("lent", len(lib.lent), 4)
    tensors[1].set([0], 50.0)
    say.equal("all see a write", [t.get(-1) for t in tensors] + [tensors[0].get(1)], [3.0] * 4 + [50.0])
    tensors.clear()
    say.equal("given back", sorted(lib.released.values()), [1] * 4)


@say.add("copying between parts of one array that overlap gives what was there before")
def overlapping_parts(lib: Library) -> None:
    for start, stop, to in [(0, 90_000, 10_000), (10_000, 100_000, 0), (0, 99_999, 1), (1, 100_000, 0)]:
        array = values("int32", (100_000,))
        wanted = array.copy()
        wanted[to : to + stop - start] = array[start:stop]
        lib.from_numpy(array[to : to + stop - start]).copy_from(lib.from_numpy(array[start:stop]))
        say.same(f"{start}:{stop} to {to}", array, wanted)
    array = values("int32", (60, 60))
    wanted = array.T.copy()
    lib.from_numpy(array).copy_from(lib.from_numpy(array.T))
    say.same("its own transpose", array, wanted)


@say.add("descriptions that cannot be are refused, and nothing is lent")
def impossible(lib: Library) -> None:
    class Described:
        def __init__(self, **said: Any) -> None:
            plain = {"data": (4096, False), "typestr": "<f4", "shape": (2,), "strides": None}
            self.__array_interface__ = {**plain, **said}

    for words, said in [
        ("is NULL", {"data": (0, False)}),
        ("which no tensor has", {"typestr": "<f3"}),
        ("which no tensor has", {"typestr": ""}),
        ("more elements than memory can hold", {"shape": (1 << 62, 1 << 62)}),
        ("more elements than memory can hold", {"shape": (0, 1 << 62, 1 << 62)}),
        ("more than memory can hold", {"shape": (3, 3), "strides": (1 << 62, 1 << 62)}),
        ("more than memory can hold", {"shape": (1 << 62,)}),
    ]:
        for call in (lib.from_numpy, lib.as_tensor, lib.tensor):
            try:
                call(Described(**said))
            except Refused as refused:
                say.equal(f"{said}: {refused}", words in refused.message, True)
            else:
                raise Wrong(f"{said} is not refused")


# What torch does otherwise, by design: it shares read-only arrays after a warning, and misaligned
# ones; its as_tensor refuses what it cannot share, where ours copies.
SHARED_BY_TORCH = ("read-only", "misaligned", "misaligned pairs")


@say.add("from_numpy, as_tensor and tensor agree with torch's", torch=True)
def as_torch(lib: Library) -> None:
    import torch

    def seen(tensor: Any) -> tuple[Any, ...]:
        return (
            str(tensor.dtype).removeprefix("torch."),
            tuple(tensor.shape),
            tensor.is_contiguous(),
            tensor.tolist(),
        )

    def ours(tensor: Tensor) -> tuple[Any, ...]:
        return tensor.dtype, tensor.shape, tensor.contiguous_already, tensor.numpy().tolist()

    for what, make in SHARED.items():
        array = make()
        for call, theirs in [(lib.from_numpy, torch.from_numpy), (lib.as_tensor, torch.as_tensor)]:
            found, wanted = call(array), theirs(array)
            say.equal(f"{what}: as torch", ours(found), seen(wanted))
            if array.size:
                # Torch has strides of 0 where there are no elements.
                say.equal(f"{what}: strides", found.strides, wanted.stride())
                say.equal(f"{what}: pointer", found.data, wanted.data_ptr())
        say.equal(
            f"{what}: copied", ours(lib.tensor(array).contiguous()), seen(torch.tensor(array).contiguous())
        )
    for dtype in NUMPY_DTYPES:
        array = values(dtype, (2, 3))
        for wanted in NUMPY_DTYPES:
            found, theirs = lib.as_tensor(array, wanted), torch.as_tensor(array, dtype=getattr(torch, wanted))
            say.equal(f"{dtype} as {wanted}", ours(found), seen(theirs))
            if dtype == wanted:
                say.equal(f"{dtype}: shared", (found.data, theirs.data_ptr()), (pointer(array),) * 2)
    for what, (make, _) in REFUSED.items():
        if what in SHARED_BY_TORCH:
            say.equal(
                f"{what}: shared by torch", torch.from_numpy(array := make()).data_ptr(), pointer(array)
            )
        else:
            say.raises(ValueError, lambda make=make: torch.from_numpy(make()))
    for array in NO_NUMBERS.values():
        say.raises(TypeError, lambda array=array: torch.from_numpy(array))


@say.add("numpy() agrees with torch's: values, strides, refusals", torch=True)
def back_as_torch(lib: Library) -> None:
    import torch

    base = values("float32", (4, 6))
    ours, theirs = lib.from_numpy(base), torch.from_numpy(base)
    for what, found, wanted in [
        ("whole", ours, theirs),
        ("transposed", ours.transpose(0, 1), theirs.T),
        ("stepped", ours.slice(1, 1, None, 2), theirs[:, 1::2]),
        ("expanded", ours.slice(0, 1, 2).expand(5, 6), theirs[1:2].expand(5, 6)),
        ("empty", ours.slice(0, 2, 2), theirs[2:2]),
        ("an element", ours.select(0, 1).select(0, 1), theirs[1, 1]),
    ]:
        found, wanted = found.numpy(), wanted.numpy()
        say.same(what, found, wanted)
        if found.size:
            say.equal(f"{what}: strides", found.strides, wanted.strides)
            say.equal(f"{what}: pointer", pointer(found), pointer(wanted))
    say.raises(RuntimeError, theirs.clone().requires_grad_().numpy)
    for dtype in ["bfloat16", "complex32", *FLOAT8_DTYPES]:
        say.raises(TypeError, torch.zeros(2, dtype=getattr(torch, dtype)).numpy)


if __name__ == "__main__":
    sys.exit(say.main(__doc__))
