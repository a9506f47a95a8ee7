"""Checks DLPack in both directions, with NumPy and with structs made by hand.

``python check_dlpack.py --library PATH``.
"""

from __future__ import annotations

import ctypes
import gc
import sys
import threading
import weakref
from ctypes import c_int64
from typing import Any

import numpy as np

from dlpack_structs import (
    CODES,
    IS_COPIED,
    READ_ONLY,
    Deleter,
    DLManagedTensor,
    DLManagedTensorVersioned,
    DLTensor,
    inside,
)
from statements import Statements, Wrong, pointer, values
from tensors_abi import FLOAT8_DTYPES, NUMPY_DTYPES, PARAMETER, SHARING, TYPE, Library, Refused, Tensor

say = Statements()


def views_of(tensor: Tensor, array: np.ndarray) -> list[tuple[str, Tensor, np.ndarray]]:
    """Views of a tensor of 4 by 6 elements, and the same of an array that is equal."""
    return [
        ("whole", tensor, array),
        ("transposed", tensor.transpose(0, 1), array.T),
        ("stepped", tensor.slice(1, 1, None, 2), array[:, 1::2]),
        ("from an offset", tensor.slice(0, 2, None).slice(1, 3, 5), array[2:, 3:5]),
        ("a row", tensor.select(0, -1), array[-1]),
        ("an element", tensor.select(0, 1).select(0, 2), array[1, 2:3].reshape(())),
        ("expanded", tensor.slice(0, 1, 2).expand(5, 6), np.broadcast_to(array[1:2], (5, 6))),
        ("expanded in front", tensor.select(0, 1).expand(3, 6), np.broadcast_to(array[1], (3, 6))),
        ("empty", tensor.slice(0, 2, 2), array[2:2]),
        (
            "three dimensions",
            tensor.view(2, 2, 6).permute(2, 0, 1),
            array.reshape(2, 2, 6).transpose(2, 0, 1),
        ),
    ]


ARRAYS = {
    "flat": lambda: values("float32", (5,)),
    "every second": lambda: values("float32", (10,))[::2],
    "from an offset": lambda: values("int16", (6, 7))[2:5, 1:6:3],
    "Fortran order": lambda: np.asfortranarray(values("int32", (2, 3))),
    "transposed": lambda: values("complex64", (2, 3, 4)).transpose(2, 0, 1),
    "reversed": lambda: values("float64", (5,))[::-1],
    "reversed in both": lambda: values("int8", (3, 4))[::-2, ::-1],
    "expanded": lambda: np.lib.stride_tricks.as_strided(values("float64", (3,)), (2, 3), (0, 8)),
    "0-d": lambda: np.array(2.5),
    "empty": lambda: np.zeros(0),
    "empty in the last": lambda: np.zeros((3, 0), "bool"),
    "empty and reversed": lambda: np.zeros((0, 3), "int8")[:, ::-1],
    "one index reversed": lambda: values("float32", (1, 4))[::-1],
}


@say.add("a capsule of version 1 says all: version, flags, device, dtype, shape, strides, data")
def what_is_said(lib: Library) -> None:
    for dtype, (code, bits) in CODES.items():
        tensor = lib.zeros(dtype, (4, 6))
        for what, view in [
            ("whole", tensor),
            ("transposed", tensor.transpose(0, 1)),
            ("a part", tensor.slice(0, 2, 4).slice(1, 1, None, 2)),
            ("an element", tensor.select(0, 1).select(0, 2)),
        ]:
            capsule = view.__dlpack__(max_version=(1, 1))
            given = inside(capsule)
            said, ndim = given.tensor, len(view.shape)
            say.equal(
                f"{dtype} {what}: version and flags", (given.major, given.minor, given.flags), (1, 1, 0)
            )
            say.equal(f"{dtype} {what}: device", (said.device_type, said.device_id), (1, 0))
            say.equal(f"{dtype} {what}: dtype", (said.code, said.bits, said.lanes), (code, bits, 1))
            say.equal(f"{dtype} {what}: shape", tuple(said.shape[:ndim]), view.shape)
            say.equal(f"{dtype} {what}: strides", tuple(said.strides[:ndim]), view.strides)
            say.equal(f"{dtype} {what}: data", said.data + said.byte_offset, view.data)
        empty = tensor.slice(0, 1, 1).__dlpack__(max_version=(1, 1))
        say.equal(f"{dtype} empty: data", inside(empty).tensor.data, None)


@say.add("np.from_dlpack shares: pointer and strides are the tensor's, writes are seen both ways")
def numpy_takes(lib: Library) -> None:
    for dtype in NUMPY_DTYPES:
        array = values(dtype, (4, 6))
        for what, view, wanted in views_of(lib.from_numpy(array), array):
            found = np.from_dlpack(view)
            say.same(f"{dtype} {what}", found, wanted)
            if wanted.size:
                say.equal(
                    f"{dtype} {what}: place",
                    (pointer(found), found.strides),
                    (pointer(wanted), wanted.strides),
                )
    tensor = lib.zeros("float32", (2, 3))
    array = np.from_dlpack(tensor)
    tensor.set([1, 1], 5.0)
    say.equal("a write to the tensor", array[1, 1], 5)
    array[0, 2] = 7
    say.equal("a write to the array", tensor.get(0, 2), 7.0)


@say.add("read-only memory arrives read-only, and is not given to who cannot know that")
def read_only_given(lib: Library) -> None:
    source = values("float32", (3,))
    tensor = lib.share(source, "float32", (3,), read_only=True)
    capsule = tensor.__dlpack__(max_version=(1, 0))
    say.equal("flags", inside(capsule).flags, READ_ONLY)
    array = np.from_dlpack(tensor)
    say.equal("writable", array.flags.writeable, False)
    say.equal("pointer", pointer(array), pointer(source))
    for version in (None, (0, 8)):
        say.raises(BufferError, lambda version=version: tensor.__dlpack__(max_version=version))
    copy = tensor.__dlpack__(copy=True)
    say.equal("a copy is writable", lib.from_capsule(copy).read_only, False)


@say.add("copy=True is flagged as a copy, and independent")
def copied(lib: Library) -> None:
    source = values("int64", (4, 6))
    tensor = lib.from_numpy(source)
    for what, view, wanted in views_of(tensor, source):
        capsule = view.__dlpack__(max_version=(1, 1), copy=True)
        say.equal(f"{what}: flags", inside(capsule).flags, IS_COPIED)
        wanted = wanted.copy()
        found = np.from_dlpack(view, copy=True)
        say.equal(f"{what}: memory", np.shares_memory(found, source), False)
        source += 1
        say.same(what, found, wanted)
        source -= 1
    say.equal("copy=False", np.shares_memory(np.from_dlpack(tensor, copy=False), source), True)


@say.add("a tensor that requires grad is not given; its detached one is")
def grad_given(lib: Library) -> None:
    tensor = lib.zeros("float32", (2,)).require_grad()
    say.raises(BufferError, lambda: np.from_dlpack(tensor))
    say.raises(BufferError, lambda: tensor.__dlpack__())
    say.equal("detached", pointer(np.from_dlpack(tensor.detach())), tensor.data)


@say.add("a capsule that nobody takes frees the tensor, of either kind")
def capsule_not_taken(lib: Library) -> None:
    for version in ((1, 1), None):
        tensor = lib.from_numpy(values("float32", (3,)))
        user = tensor.user
        capsule = tensor.__dlpack__(max_version=version)
        del tensor
        gc.collect()
        say.equal(f"{version}: with the capsule", user in lib.released, False)
        del capsule
        gc.collect()
        say.equal(f"{version}: without", lib.released.get(user), 1)


@say.add("an array of ours keeps the memory, and frees it once, on any thread")
def array_keeps(lib: Library) -> None:
    for take in (np.from_dlpack, lib.from_dlpack):
        for elsewhere in (False, True):
            tensor = lib.from_numpy(values("float32", (3,)))
            user, taken = tensor.user, [take(tensor)]
            del tensor
            gc.collect()
            say.equal(
                "as long as it lives",
                (np.asarray(taken[0]).tolist(), user in lib.released),
                ([0, 1, 2], False),
            )
            if elsewhere:
                thread = threading.Thread(target=taken.clear)
                thread.start()
                thread.join()
            taken.clear()
            gc.collect()
            say.equal("then", lib.released.get(user), 1)


@say.add("what NumPy refuses ends in NumPy's own error, and the tensor is freed")
def numpy_refuses(lib: Library) -> None:
    for dtype in ["bfloat16", "complex32", *FLOAT8_DTYPES]:
        source = np.zeros(8, "uint8")
        size = 2 if dtype == "bfloat16" else 4 if dtype == "complex32" else 1
        tensor = lib.share(source, dtype, (8 // size,))
        user = tensor.user
        try:
            np.from_dlpack(tensor)
        except (BufferError, RuntimeError, TypeError) as error:
            say.equal(f"{dtype}: {error}", error.__cause__, None)
            del error
        else:
            raise Wrong(f"NumPy takes {dtype}")
        say.equal(f"{dtype}: still lent", user in lib.lent, True)
        del tensor
        gc.collect()
        say.equal(f"{dtype}: freed", lib.released.get(user), 1)


@say.add("NumPy's error arrives also where it frees the last tensor of memory that Python lent")
def error_on_its_way(lib: Library) -> None:
    users = []

    class Alone:
        """Gives a tensor that only the capsule keeps."""

        def __init__(self, version: tuple[int, int] | None) -> None:
            self.version = version

        def __dlpack_device__(self) -> tuple[int, int]:
            return (1, 0)

        def __dlpack__(self, **_: Any) -> Any:
            tensor = lib.share(np.zeros(8, "uint8"), "bfloat16", (4,))
            users.append(tensor.user)
            return tensor.__dlpack__(max_version=self.version)

    for version in ((1, 1), None):
        try:
            np.from_dlpack(Alone(version))
        except (BufferError, RuntimeError) as error:
            say.equal(str(error), ("dtype" in str(error), error.__context__), (True, None))
        else:
            raise Wrong("NumPy takes bfloat16")
        say.equal("freed", lib.released.get(users[-1]), 1)


@say.add("a capsule's tensor is taken once")
def taken_once(lib: Library) -> None:
    for version in ((1, 1), None):
        capsule = lib.zeros("int8", (2,)).__dlpack__(max_version=version)
        tensor = lib.from_capsule(capsule)
        say.raises(ValueError, lambda: lib.from_capsule(capsule))
        del capsule
        gc.collect()
        say.equal("after the capsule is gone", tensor.read(), b"\0\0")


@say.add("arrays of NumPy's are taken: shared, with any strides, read-only ones too")
def numpy_gives(lib: Library) -> None:
    makers = {**ARRAYS, **{dtype: lambda dtype=dtype: values(dtype, (4, 6)) for dtype in NUMPY_DTYPES}}
    for what, make in makers.items():
        for version in ((1, 1), None):
            array = make()
            tensor = lib.from_capsule(array.__dlpack__(max_version=version))
            say.equal(
                f"{what}: dtype and shape", (tensor.dtype, tensor.shape), (array.dtype.name, array.shape)
            )
            say.same(what, tensor.numpy(), array)
            say.equal(f"{what}: read-only", tensor.read_only, False)
            if array.size == 0:
                continue
            say.equal(f"{what}: pointer", tensor.data, pointer(array))
            say.equal(f"{what}: strides", tensor.numpy().strides, array.strides)
            array[(-1,) * array.ndim] = 0
            say.equal(
                f"{what}: a write to the array", tensor.get(*[-1] * array.ndim), array.dtype.type(0).item()
            )
            tensor.set([0] * array.ndim, 1)
            say.equal(f"{what}: a write to the tensor", array[(0,) * array.ndim], array.dtype.type(1))
            say.same(f"{what}: a view", np.from_dlpack(tensor.clone()), array)


@say.add("a read-only array of NumPy's is taken read-only, and writes are refused")
def read_only_taken(lib: Library) -> None:
    array = values("float32", (3,))
    array.setflags(write=False)
    tensor = lib.from_dlpack(array)
    say.equal("read-only", (tensor.read_only, tensor.data), (True, pointer(array)))
    say.refused(SHARING, "read-only", lambda: tensor.set([0], 1.0))
    say.equal("given on", np.from_dlpack(tensor).flags.writeable, False)
    say.equal("as an array", tensor.numpy().flags.writeable, False)


@say.add("an array of NumPy's lives until the last tensor of it is freed, on any thread")
def source_lives(lib: Library) -> None:
    for version in ((1, 1), None):
        for elsewhere in (False, True):
            array = values("float32", (3,))
            seen = weakref.ref(array)
            tensors = [lib.from_capsule(array.__dlpack__(max_version=version))]
            tensors.append(tensors[0].slice(0, 1, None))
            del array
            del tensors[0]
            gc.collect()
            say.equal("with a view", (seen() is None, tensors[0].numpy().tolist()), (False, [1, 2]))
            gc.collect()
            if elsewhere:
                thread = threading.Thread(target=tensors.clear)
                thread.start()
                thread.join()
            tensors.clear()
            gc.collect()
            say.equal("then", seen(), None)


class Given:
    """A struct made by hand, which counts the calls of its deleter."""

    def __init__(self, versioned: bool, **changed: Any) -> None:
        self.deleted = 0
        self.data = values("float32", (6,))
        self.dimensions = (c_int64 * 2)(2, 3), (c_int64 * 2)(3, 1)
        self.deleter = Deleter(self.count)
        plain: dict[str, Any] = {"data": pointer(self.data), "device_type": 1, "ndim": 2}
        plain |= {
            "code": 2,
            "bits": 32,
            "lanes": 1,
            "shape": self.dimensions[0],
            "strides": self.dimensions[1],
        }
        outer = {"major": 1, "deleter": self.deleter} if versioned else {"deleter": self.deleter}
        for name, value in changed.items():
            (outer if name in ("major", "minor", "flags", "deleter") else plain)[name] = value
        self.kept = plain, outer
        kind = DLManagedTensorVersioned if versioned else DLManagedTensor
        self.managed = kind(tensor=DLTensor(**plain), **outer)
        self.function = "numpack_tensor_from_dlpack" + ("" if versioned else "_legacy")

    def count(self, managed: int) -> None:
        """The deleter."""
        self.deleted += 1 if managed == ctypes.addressof(self.managed) else 100

    def take(self, lib: Library) -> Tensor:
        """Hands it to the library."""
        return lib.make(self.function, ctypes.byref(self.managed))


def numbers(*values: int) -> Any:
    """Numbers as the struct points to them."""
    return (c_int64 * len(values))(*values)


@say.add("a struct that cannot be is refused, and its deleter is not called")
def impossible(lib: Library) -> None:
    for status, words, changed in [
        (SHARING, "on device 2:0", {"device_type": 2}),
        (SHARING, "on device 0:0", {"device_type": 0}),
        (TYPE, "code 2, 80 bits", {"bits": 80}),
        (TYPE, "4 lanes", {"lanes": 4}),
        (TYPE, "0 lanes", {"lanes": 0}),
        (TYPE, "code 3,", {"code": 3}),
        (TYPE, "code 200,", {"code": 200}),
        (TYPE, "code 6, 1 bits", {"code": 6, "bits": 1}),
        (PARAMETER, "of -1 dimensions", {"ndim": -1}),
        (PARAMETER, "has no shape", {"shape": None}),
        (PARAMETER, "shape [-2, 3]", {"shape": numbers(-2, 3)}),
        (PARAMETER, "more elements than memory can hold", {"shape": numbers(1 << 62, 1 << 62)}),
        (PARAMETER, "more elements than memory can hold", {"shape": numbers(0, 1 << 62, 1 << 62), "ndim": 3}),
        (PARAMETER, "lead out of the memory", {"strides": numbers(1 << 62, 1)}),
        (PARAMETER, "lead out of the memory", {"strides": numbers(-(1 << 63), 1)}),
        (PARAMETER, "is NULL", {"data": None}),
        (SHARING, "misaligned", {"byte_offset": 2}),
    ]:
        for versioned in (True, False):
            given = Given(versioned, **changed)
            say.refused(status, words, lambda given=given: given.take(lib))
            say.equal(f"{changed}: deleted", given.deleted, 0)
    given = Given(True, major=2)
    say.refused(SHARING, "DLPack 2.0 is not understood", lambda: given.take(lib))
    say.equal("deleted", given.deleted, 0)
    for function in ("numpack_tensor_from_dlpack", "numpack_tensor_from_dlpack_legacy"):
        say.refused(PARAMETER, "is NULL", lambda function=function: lib.make(function, None))
        say.raises(Refused, lambda function=function: lib.call(function, None, None))


@say.add("a struct made by hand is taken as it says, and its deleter called once")
def by_hand(lib: Library) -> None:
    whole = [[0, 1, 2], [3, 4, 5]]
    for wanted, changed in [
        (whole, {}),
        (whole, {"strides": None}),
        ([[1, 2], [4, 5]], {"byte_offset": 4, "shape": numbers(2, 2)}),
        ([[5, 4, 3], [2, 1, 0]], {"byte_offset": 20, "strides": numbers(-3, -1)}),
        ([[2, 1, 0], [5, 4, 3]], {"byte_offset": 8, "strides": numbers(3, -1)}),
        ([[1, 1, 1], [1, 1, 1]], {"byte_offset": 4, "strides": numbers(0, 0)}),
        ([[4]], {"byte_offset": 16, "shape": numbers(1, 1), "strides": numbers(1 << 62, -(1 << 63))}),
        (3, {"byte_offset": 12, "ndim": 0, "shape": None, "strides": None}),
        ([[], []], {"shape": numbers(2, 0), "data": None}),
        ([[], []], {"shape": numbers(2, 0), "strides": numbers(1 << 62, -(1 << 63)), "byte_offset": 3}),
        (whole, {"device_type": 3}),
        (whole, {"device_type": 11, "device_id": 1}),
        (whole, {"deleter": Deleter()}),
    ]:
        for versioned in (True, False):
            given = Given(versioned, **changed)
            tensor = given.take(lib)
            view = tensor.clone()
            if tensor.layout().numel:
                say.equal(
                    f"{changed}: data",
                    tensor.data,
                    given.managed.tensor.data + given.managed.tensor.byte_offset,
                )
            say.equal(f"{changed}", tensor.numpy().tolist(), wanted)
            say.equal(f"{changed}: copied", view.numpy().tolist(), wanted)
            say.equal(f"{changed}: not yet deleted", given.deleted, 0)
            del tensor
            gc.collect()
            say.equal(f"{changed}: deleted", given.deleted, 0 if "deleter" in changed else 1)
    given = Given(True, flags=READ_ONLY | IS_COPIED, minor=9)
    say.equal("flags", given.take(lib).read_only, True)


def random_array(rng: np.random.Generator, dtype: str) -> np.ndarray:
    """Any bits that the type can have, in any shape and order."""
    ndim = int(rng.integers(0, 5))
    shape = [int(n) for n in rng.choice([0, 1, 1, 2, 3, 5, 8], ndim, p=[0.06, 0.1, 0.1, 0.2, 0.2, 0.2, 0.14])]
    steps = [int(n) for n in rng.integers(1, 4, ndim)]
    whole = [n * step + 1 for n, step in zip(shape, steps, strict=True)]
    raw = np.frombuffer(rng.bytes(int(np.prod(whole, dtype=int)) * np.dtype(dtype).itemsize), "uint8").copy()
    if dtype == "bool":
        raw &= 1
    order = rng.permutation(ndim)
    array = raw.view(dtype).reshape([whole[d] for d in order]).transpose(np.argsort(order))
    # With the dots a 0-d array stays an array.
    array = array[(..., *(slice(1 if rng.random() < 0.5 else 0, None, step) for step in steps))]
    array = array[(..., *(slice(0, n) for n in shape))]
    return array[(..., *(slice(None, None, -1 if rng.random() < 0.2 else 1) for _ in shape))]


def as_bytes(array: np.ndarray) -> tuple[Any, ...]:
    """All that makes an array, its bits and places."""
    return array.dtype, array.shape, array.tobytes(), (array.strides, pointer(array)) if array.size else None


@say.add("random arrays go from NumPy and back, bit for bit and place for place")
def random_round_trips(lib: Library) -> None:
    rng = np.random.default_rng(5)
    for i in range(600):
        array = random_array(rng, NUMPY_DTYPES[i % len(NUMPY_DTYPES)])
        version = None if i % 3 == 0 else (1, 1)
        tensor = lib.from_capsule(array.__dlpack__(max_version=version))
        say.equal(f"{i}: elements", tensor.read(), array.tobytes())
        say.equal(f"{i}: back", as_bytes(np.from_dlpack(tensor)), as_bytes(array))
        say.equal(f"{i}: as an array", as_bytes(tensor.numpy()), as_bytes(array))
        say.same(f"{i}: a clone", np.from_dlpack(tensor.clone()), array)


if __name__ == "__main__":
    sys.exit(say.main(__doc__))
