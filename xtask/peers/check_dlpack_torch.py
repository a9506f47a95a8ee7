"""Checks DLPack in both directions with torch.

``python check_dlpack_torch.py --library PATH``.
"""

from __future__ import annotations

import gc
import sys
import weakref
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from dlpack_structs import CODES
from statements import Statements, values
from tensors_abi import Library

say = Statements()


def torch_bytes(tensor: Any) -> bytes:
    """A torch tensor's elements in C order."""
    flat = tensor.detach().clone(memory_format=torch.contiguous_format).reshape(-1)
    return flat.view(torch.uint8).numpy().tobytes() if flat.numel() else b""


def torch_parts(tensor: Any) -> tuple[Any, ...]:
    """All that makes a torch tensor, its bits and places."""
    places = (tensor.stride(), tensor.data_ptr()) if tensor.numel() else None
    return tensor.dtype, tuple(tensor.shape), torch_bytes(tensor), places


def torch_of(rng: np.random.Generator, dtype: str, shape: Sequence[int]) -> Any:
    """A torch tensor of any bits that the type can have."""
    kind = getattr(torch, dtype)
    if 0 in shape:
        return torch.empty(list(shape), dtype=kind)
    raw = np.frombuffer(rng.bytes(int(np.prod(shape, dtype=int)) * kind.itemsize), "uint8").copy()
    if dtype == "bool":
        raw &= 1
    return torch.from_numpy(raw).view(kind).reshape(list(shape))


@say.add("torch.from_dlpack shares every dtype and every view of ours")
def torch_takes(lib: Library) -> None:
    rng = np.random.default_rng(6)
    for dtype in CODES:
        theirs = torch_of(rng, dtype, (4, 6))
        ours = lib.of_bytes(torch_bytes(theirs), dtype, (4, 6))
        for what, view, wanted in [
            ("whole", ours, theirs),
            ("transposed", ours.transpose(0, 1), theirs.T),
            ("stepped", ours.slice(1, 1, None, 2), theirs[:, 1::2]),
            ("from an offset", ours.slice(0, 2, None).slice(1, 3, 5), theirs[2:, 3:5]),
            ("an element", ours.select(0, 1).select(0, 2), theirs[1, 2]),
            ("expanded", ours.slice(0, 1, 2).expand(5, 6), theirs[1:2].expand(5, 6)),
            ("empty", ours.slice(0, 2, 2), theirs[2:2]),
        ]:
            found = torch.from_dlpack(view)
            say.equal(f"{dtype} {what}", torch_parts(found)[:3], torch_parts(wanted)[:3])
            if wanted.numel():
                say.equal(
                    f"{dtype} {what}: place", (found.data_ptr(), found.stride()), (view.data, wanted.stride())
                )
        taken = torch.from_dlpack(ours)
        taken.zero_()
        say.equal(f"{dtype}: a write to torch's", ours.read(), bytes(len(ours.read())))
        ours.write(torch_bytes(theirs))
        say.equal(f"{dtype}: a write to ours", torch_bytes(taken), torch_bytes(theirs))


@say.add("torch copies where that is asked for, and keeps and frees our memory")
def torch_keeps(lib: Library) -> None:
    array = values("float32", (3,))
    tensor = lib.from_numpy(array)
    copy = torch.from_dlpack(tensor, copy=True)
    array[0] = 9
    say.equal("a copy", copy.tolist(), [0, 1, 2])
    user, taken = tensor.user, torch.from_dlpack(tensor)
    del tensor
    gc.collect()
    say.equal("kept", (taken[1:].tolist(), user in lib.released), ([1, 2], False))
    part = taken[2:]
    del taken
    gc.collect()
    say.equal("kept by a view", (part.tolist(), user in lib.released), ([2], False))
    del part
    gc.collect()
    say.equal("freed", lib.released.get(user), 1)


@say.add("tensors of torch's are taken: shared, every dtype, any strides")
def torch_gives(lib: Library) -> None:
    rng = np.random.default_rng(7)
    for dtype in CODES:
        whole = torch_of(rng, dtype, (4, 6))
        for what, theirs in [
            ("whole", whole),
            ("transposed", whole.T),
            ("stepped", whole[:, 1::2]),
            ("from an offset", whole[2:, 3:5]),
            ("an element", whole[1, 2]),
            ("expanded", whole[1:2].expand(5, 6)),
            ("empty", whole[2:2]),
        ]:
            for version in ((1, 1), None):
                ours = lib.from_capsule(theirs.__dlpack__(max_version=version))
                say.equal(
                    f"{dtype} {what}: dtype and shape", (ours.dtype, ours.shape), (dtype, tuple(theirs.shape))
                )
                say.equal(f"{dtype} {what}: elements", ours.read(), torch_bytes(theirs))
                if theirs.numel():
                    # Torch gives a stride of 1 where there is one index.
                    strides = tuple(
                        1 if n == 1 else s for n, s in zip(theirs.shape, theirs.stride(), strict=True)
                    )
                    found = tuple(1 if n == 1 else s for n, s in zip(ours.shape, ours.strides, strict=True))
                    say.equal(f"{dtype} {what}: place", (ours.data, found), (theirs.data_ptr(), strides))
        ours = lib.from_dlpack(whole)
        ours.write(bytes(whole.numel() * whole.element_size()))
        say.equal(f"{dtype}: a write to ours", torch_bytes(whole), bytes(len(torch_bytes(whole))))


@say.add("torch's memory lives until the last tensor of it is freed")
def torch_lives(lib: Library) -> None:
    for version in ((1, 1), None):
        array = values("float32", (3,))
        seen = weakref.ref(array)
        ours = lib.from_capsule(torch.from_numpy(array).__dlpack__(max_version=version))
        del array
        gc.collect()
        say.equal("kept", (seen() is None, ours.numpy().tolist()), (False, [0, 1, 2]))
        del ours
        gc.collect()
        say.equal("freed", seen(), None)


@say.add("torch does not give what requires grad or is conjugated")
def torch_refuses(lib: Library) -> None:
    for theirs in (torch.zeros(2, requires_grad=True), torch.zeros(2, dtype=torch.complex64).conj()):
        say.raises(BufferError, lambda theirs=theirs: lib.from_dlpack(theirs))
    say.equal("detached", lib.from_dlpack(torch.ones(2, requires_grad=True).detach()).get(1), 1.0)


@say.add("random tensors go from torch and back, bit for bit and place for place")
def random_torch(lib: Library) -> None:
    rng = np.random.default_rng(8)
    for i in range(600):
        dtype = list(CODES)[i % len(CODES)]
        shape = [
            int(n)
            for n in rng.choice(
                [0, 1, 2, 3, 5, 8], int(rng.integers(0, 5)), p=[0.06, 0.2, 0.2, 0.2, 0.2, 0.14]
            )
        ]
        theirs = torch_of(rng, dtype, [n * 2 for n in shape]).permute(
            [int(d) for d in rng.permutation(len(shape))]
        )
        theirs = theirs[tuple(slice(int(rng.integers(0, 2)), None, int(rng.integers(1, 4))) for _ in shape)]
        ours = lib.from_capsule(theirs.__dlpack__(max_version=None if i % 2 else (1, 1)))
        say.equal(f"{i}: elements", ours.read(), torch_bytes(theirs))
        back = torch.from_dlpack(ours)
        wanted = torch_parts(theirs)
        if theirs.numel():
            say.equal(
                f"{i}: back",
                (back.dtype, back.shape, back.data_ptr()),
                (theirs.dtype, theirs.shape, theirs.data_ptr()),
            )
        say.equal(f"{i}: bits", torch_parts(back)[:3], wanted[:3])


if __name__ == "__main__":
    sys.exit(say.main(__doc__))
