"""Distributed checkpoints: by one process, and by several that share tensors.

The processes are forked, so that torch is loaded once, and each folder is written by
all of them together.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import importlib
import os
import random
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as processes

from mixtures import TYPED_KINDS, Mixture

MORE_KINDS = ["float8_e4m3fn", "float8_e5m2", "uint16", "uint32", "complex32"]


def kinds() -> list[torch.dtype]:
    """Element types that a distributed checkpoint can hold."""
    return TYPED_KINDS + [getattr(torch, name) for name in MORE_KINDS if hasattr(torch, name)]


def state(mixture: Mixture) -> dict[str, Any]:
    """A dict of dicts and lists with tensors and plain values."""
    chance = mixture.random
    mixture.kinds = kinds()

    def tensor() -> torch.Tensor:
        dims = chance.choice([0, 1, 1, 2, 2, 3])
        made = mixture.of_kind(chance.choice(mixture.kinds), [chance.randrange(1, 6) for _ in range(dims)])
        if made.dim() > 1 and chance.random() < 0.3:
            made = made.transpose(0, 1)
        if made.dtype in (torch.float32, torch.float64) and chance.random() < 0.2:
            made = torch.nn.Parameter(made)
        return made

    def value(depth: int) -> Any:
        kind = chance.random()
        if depth > 3 or kind < 0.55:
            return tensor()
        if kind < 0.7:
            return {name(): value(depth + 1) for _ in range(chance.randrange(1, 4))}
        if kind < 0.8:
            return [value(depth + 1) for _ in range(chance.randrange(1, 4))]
        plain = [7, "text", 0.5, None, True, (1, 2), [1, "x"], {"a": 1}, b"raw", {}, [], torch.float16]
        return chance.choice(plain)

    def name() -> str:
        word = chance.choice(["weight", "bias", "0", "layer", "exp_avg", "é", "a b"])
        return f"{word}{chance.randrange(9)}"

    made = {name(): value(1) for _ in range(chance.randrange(2, 7))}
    made["model"] = mixture.module().state_dict()
    made["step"] = chance.randrange(1000)
    return made


def write_alone(mixture: Mixture, value: Any, base: Path) -> Path:
    """A folder that one process writes."""
    import torch.distributed.checkpoint as checkpoint

    path, chance = base.with_suffix(""), mixture.random
    writer = checkpoint.FileSystemWriter(
        path, single_file_per_rank=chance.random() < 0.5, thread_count=chance.choice([1, 2, 4])
    )
    checkpoint.save(value, storage_writer=writer, no_dist=True)
    return path


@contextlib.contextmanager
def hashable_dataclasses() -> Iterator[None]:
    """Lets this Python import modules from before it refused what cannot be hashed as a default."""
    usual = dataclasses.dataclass

    def dataclass(cls: Any = None, **options: Any) -> Any:
        if cls is None:
            return functools.partial(dataclass, **options)
        made = usual(cls, **options)
        if made.__hash__ is None:
            made.__hash__ = object.__hash__
        return made

    dataclasses.dataclass = dataclass
    try:
        yield
    finally:
        dataclasses.dataclass = usual


def flat_state(mixture: Mixture) -> dict[str, Any]:
    """A flat dict with tensors and plain values."""
    made = mixture.module().state_dict()
    mixture.kinds = TYPED_KINDS
    for number in range(mixture.random.randrange(1, 6)):
        made[f"more.{number}"] = mixture.of_kind(mixture.random.choice(mixture.kinds), [number, 3])
    return {**made, "step": 7, "args": {"lr": 0.5, "name": "x"}}


def write_alone_long_ago(mixture: Mixture, value: Any, base: Path) -> Path:
    """The same by the oldest torch, where the module is not yet public."""
    with hashable_dataclasses():
        from torch.distributed._shard import checkpoint

    path = base.with_suffix("")
    path.mkdir()
    checkpoint.save_state_dict(value, checkpoint.FileSystemWriter(str(path)), no_dist=True)
    return path


def pieces(length: int, count: int) -> Iterator[tuple[int, int]]:
    """Where each of a number of processes has its rows, as ``torch.chunk`` cuts them."""
    size = -(-length // count)
    for number in range(count):
        first = min(number * size, length)
        yield first, min(size, length - first)


def spread(whole: torch.Tensor, rank: int, world: int, chance: random.Random) -> Any:
    """This process's part of a tensor: rows, columns, blocks, or all of it."""
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.tensor import DTensor, Replicate, Shard

    way = chance.random()
    if whole.dim() == 0 or way < 0.15:
        return whole
    if world == 4 and whole.dim() > 1 and way < 0.35:
        mesh = init_device_mesh("cpu", (2, 2))
        places = chance.choice([[Shard(0), Shard(1)], [Shard(1), Replicate()], [Replicate(), Shard(0)]])
        local = whole
        for place, number in zip(places, (rank // 2, rank % 2)):
            if isinstance(place, Shard):
                first, size = list(pieces(local.shape[place.dim], 2))[number]
                local = local.narrow(place.dim, first, size)
    else:
        mesh = init_device_mesh("cpu", (world,))
        place = Shard(chance.randrange(whole.dim())) if chance.random() < 0.85 else Replicate()
        places, local = [place], whole
        if isinstance(place, Shard):
            first, size = list(pieces(whole.shape[place.dim], world))[rank]
            local = whole.narrow(place.dim, first, size)
    shape, stride = whole.shape, torch.empty(whole.shape, device="meta").stride()
    return DTensor.from_local(local.contiguous(), mesh, places, run_check=False, shape=shape, stride=stride)


def rows_of_one(whole: torch.Tensor, rank: int, world: int) -> Any:
    """This process's part of a tensor as older code has it, cut anywhere."""
    from torch.distributed._shard.sharded_tensor import Shard, init_from_local_shards

    length = whole.shape[0]
    cuts = sorted([0, length, *(length * 2 * number // (3 * world) for number in range(1, world))])
    first, end = cuts[rank], cuts[rank + 1]
    offsets = [first, *([0] * (whole.dim() - 1))]
    part = whole[first:end].contiguous()
    shards = [Shard.from_tensor_and_offsets(part, offsets, rank)] if end > first else []
    return init_from_local_shards(shards, *whole.shape)


def write_part(rank: int, world: int, base: str, seeds: list[int], meeting: str) -> None:
    """What one of the processes does."""
    import torch.distributed.checkpoint as checkpoint

    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=world)
    for seed in seeds:
        torch.manual_seed(seed)
        chance = random.Random(seed)
        whole = state(Mixture(seed))

        def part(value: Any, chance: random.Random = chance) -> Any:
            if isinstance(value, dict):
                return {key: part(inner) for key, inner in value.items()}
            if type(value) is list:
                return [part(inner) for inner in value]
            if not isinstance(value, torch.Tensor):
                return value
            plain = value.detach().contiguous()
            if plain.dim() and plain.shape[0] > 3 and plain.dtype == torch.float32 and chance.random() < 0.3:
                return rows_of_one(plain, rank, world)
            return spread(plain, rank, world, chance)

        path = folder(base, seed, world)
        writer = checkpoint.FileSystemWriter(
            path, thread_count=1 + seed % 2, single_file_per_rank=seed % 3 > 0
        )
        checkpoint.save(part(whole), storage_writer=writer)
    dist.destroy_process_group()


def folder(base: str, seed: int, world: int) -> Path:
    """Where the processes write."""
    return Path(base) / f"{seed:07}-distributed-by-{world}"


def write_together(base: Path, seeds: list[int], world: int) -> list[Path]:
    """A folder for each seed, each written by several processes."""
    # What is imported here need not be by each process.
    for name in ("checkpoint", "device_mesh", "tensor", "_shard.sharded_tensor"):
        importlib.import_module(f"torch.distributed.{name}")
    with tempfile.TemporaryDirectory() as temporary:
        arguments = (world, str(base), seeds, f"{temporary}/meeting")
        processes.start_processes(write_part, arguments, nprocs=world, start_method="fork")
    return [folder(str(base), seed, world) for seed in seeds]
