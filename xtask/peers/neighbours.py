"""Checks the neighbours of ``.pt`` against numpy, safetensors and torch.

What ``numpy.save``, ``numpy.savez`` and ``safetensors`` write is converted by the
command to every other kind of file and back, read by the library it belongs to,
and compared to the bit: bytes, element types, shapes, Fortran order, names and
their order. ``python neighbours.py --numpack PATH`` ends with ``N passed, M
failed``; the status is 1 if any failed.
"""

from __future__ import annotations

import argparse
import itertools
import json
import subprocess
import sys
import tempfile
import traceback
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy
import safetensors.torch
import torch

from checks import Failure, Numpack, load

NUMBERS = [
    *("bool", "uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64"),
    *("float16", "float32", "float64", "complex64", "complex128"),
]
SHAPES: list[tuple[int, ...]] = [(), (0,), (1,), (7,), (3, 4), (0, 5), (5, 0), (1, 6), (6, 1), (2, 3, 4), (4, 1, 3)]
# Larger than what passes through a buffer, so that the kernel copies.
LARGE = (700, 1031)
ONLY_TORCH = [
    *("bfloat16", "float8_e4m3fn", "float8_e5m2", "float8_e8m0fnu"),
    *("float8_e4m3fnuz", "float8_e5m2fnuz"),
]
# What both torch and safetensors have.
TORCH = [*(name for name in NUMBERS if name != "complex128"), *ONLY_TORCH]
Check = Callable[[Numpack, Path], None]


def random_array(rng: np.random.Generator, dtype: str, shape: tuple[int, ...]) -> np.ndarray:
    """Any bits that the type can have."""
    size = int(np.prod(shape, dtype=int)) * np.dtype(dtype).itemsize
    raw = np.frombuffer(rng.bytes(size), dtype="uint8").copy()
    if dtype == "bool":
        raw &= 1
    return raw.view(dtype).reshape(shape)


def random_tensor(rng: np.random.Generator, dtype: str, shape: tuple[int, ...]) -> torch.Tensor:
    """The same for torch."""
    if dtype in NUMBERS:
        return torch.from_numpy(random_array(rng, dtype, shape))
    kind = getattr(torch, dtype)
    words = {1: "uint8", 2: "int16"}[kind.itemsize]
    return torch.from_numpy(random_array(rng, words, shape)).view(kind)


def laid(array: np.ndarray, order: str, byte_order: str) -> np.ndarray:
    """The same numbers in another order."""
    return np.asarray(array, dtype=array.dtype.newbyteorder(byte_order), order=order)


def expect_array(what: str, found: np.ndarray, wanted: np.ndarray, flags: bool = True) -> None:
    """Fails where two arrays differ: elements, native type, shape, and how they lie."""
    wanted = wanted.astype(wanted.dtype.newbyteorder("="), order="K", copy=False)
    same = (found.dtype, found.shape, found.tobytes()) == (wanted.dtype, wanted.shape, wanted.tobytes())
    if flags:
        same &= found.flags.f_contiguous == wanted.flags.f_contiguous
        same &= found.flags.c_contiguous == wanted.flags.c_contiguous
    if not same:
        raise Failure(f"{what}: {found.dtype} {found.shape}, expected {wanted.dtype} {wanted.shape}")


def expect_tensor(what: str, found: torch.Tensor, wanted: torch.Tensor, strides: bool = False) -> None:
    """Fails where two tensors differ."""
    if found.dtype != wanted.dtype or found.shape != wanted.shape or bits(found) != bits(wanted):
        raise Failure(f"{what}: {found.dtype} {found.shape}, expected {wanted.dtype} {wanted.shape}")
    if strides and found.numel() and found.is_contiguous() != wanted.is_contiguous():
        raise Failure(f"{what}: strides {found.stride()}, expected {wanted.stride()}")


def bits(tensor: torch.Tensor) -> bytes:
    """The elements in C order."""
    flat = tensor.detach().contiguous().reshape(-1)
    return flat.view(torch.uint8).numpy().tobytes() if flat.numel() else b""


def expect_bytes(what: str, found: Path, wanted: Path) -> None:
    """Fails where two files differ."""
    if found.read_bytes() != wanted.read_bytes():
        raise Failure(f"{what}: {found.name} is not {wanted.name} byte for byte")


def expect_dict(what: str, found: dict[str, Any], wanted: dict[str, Any], order: bool = True) -> None:
    """Fails where names differ, or what they name."""
    if (list(found) != list(wanted)) if order else (set(found) != set(wanted)):
        raise Failure(f"{what}: names {list(found)[:9]}, expected {list(wanted)[:9]}")
    for name, value in wanted.items():
        if isinstance(value, np.ndarray):
            expect_array(f"{what} {name!r}", found[name], value, flags=order)
        else:
            expect_tensor(f"{what} {name!r}", found[name], value)


def same(numpack: Numpack, *paths: Path) -> None:
    """Each file holds what the first does, as the command itself says."""
    for path in paths[1:]:
        numpack.run("diff", paths[0], path)
    for path in paths:
        numpack.run("verify", path)


def npy(numpack: Numpack, folder: Path, array: np.ndarray, version: tuple[int, int] | None = None) -> None:
    """One array as a ``.npy`` file, to every other kind and back."""
    first, pt, npk, npz = (folder / name for name in ("x.npy", "x.pt", "x.npk", "x.npz"))
    with first.open("wb") as file:
        np.lib.format.write_array(file, array, version=version)
    wanted = folder / "wanted.npy"
    np.save(wanted, array.astype(array.dtype.newbyteorder("<"), order="K", copy=False))

    numpack.run("convert", first, folder / "again.npy")
    expect_bytes("npy to npy", folder / "again.npy", wanted)
    numpack.run("convert", first, pt)
    expect_tensor("npy to pt", load(pt, True)[0], torch.from_numpy(np.load(wanted)), strides=True)
    numpack.run("convert", pt, folder / "back.npy")
    expect_bytes("npy to pt to npy", folder / "back.npy", wanted)
    numpack.run("convert", first, npk)
    numpack.run("convert", npk, folder / "stored.npy")
    expect_array("npy to npk to npy", np.load(folder / "stored.npy"), array, flags=False)
    numpack.run("convert", first, npz)
    expect_dict("npy to npz", dict(np.load(npz)), {"x": array})
    numpack.run("convert", npz, folder / "out.npy")
    expect_bytes("npy to npz to npy", folder / "out.npy", wanted)
    same(numpack, first, pt, folder / "stored.npy")
    listed = numpack.json("ls", "--json", first)
    entry = listed["tensors"][0]
    if (listed["format"], entry["dtype"], entry["shape"]) != ("npy", str(array.dtype.newbyteorder("=")), list(array.shape)):
        raise Failure(f"ls says {entry}")


def npz(numpack: Numpack, folder: Path, arrays: dict[str, np.ndarray], save: Callable[..., None]) -> None:
    """An archive, to every other kind and back."""
    first, pt, npk, again = (folder / name for name in ("x.npz", "x.pt", "x.npk", "again.npz"))
    save(first, **arrays)
    numpack.run("convert", first, again)
    expect_dict("npz to npz", dict(np.load(again)), arrays)
    with zipfile.ZipFile(again) as archive:
        if bad := archive.testzip():
            raise Failure(f"zipfile finds {bad} damaged")
        check_alignment(archive, again.read_bytes())
    numpack.run("convert", first, pt)
    loaded = load(pt, True)[0]
    for name, array in arrays.items():
        native = np.asarray(array, dtype=array.dtype.newbyteorder("="))
        expect_tensor(f"npz to pt {name!r}", loaded[name], torch.from_numpy(native.copy(order="K")), strides=True)
    numpack.run("convert", pt, folder / "back.npz")
    expect_bytes("npz to pt to npz", folder / "back.npz", again)
    numpack.run("convert", first, npk)
    numpack.run("convert", npk, folder / "stored.npz")
    found = dict(np.load(folder / "stored.npz"))
    if list(found) != list(arrays):
        raise Failure(f"names {list(found)}, expected {list(arrays)}")
    for name, array in arrays.items():
        expect_array(f"npz to npk to npz {name!r}", found[name], array, flags=False)
    same(numpack, first, again, pt, npk)
    for name, array in arrays.items():
        if array.ndim and len(array) > 3:
            row = numpack.run("cat", first, name, "--rows", "-2:", "--npy", binary=True)
            (folder / "rows.npy").write_bytes(row)
            expect_array(f"rows of {name!r}", np.load(folder / "rows.npy"), array[-2:], flags=False)


def check_alignment(archive: zipfile.ZipFile, raw: bytes) -> None:
    """Elements start at a multiple of 64, in the file and in the record."""
    for info in archive.infolist():
        at = info.header_offset
        data = at + 30 + int.from_bytes(raw[at + 26 : at + 28], "little") + int.from_bytes(raw[at + 28 : at + 30], "little")
        header = 10 + int.from_bytes(raw[data + 8 : data + 10], "little")
        if data % 64 or header % 64 or info.compress_type != zipfile.ZIP_STORED:
            raise Failure(f"{info.filename} lies at {data}, its elements {header} behind")


def tensors(numpack: Numpack, folder: Path, value: dict[str, torch.Tensor], metadata: dict[str, str] | None) -> None:
    """A ``.safetensors`` file, to every other kind and back."""
    first, pt, npk = (folder / name for name in ("x.safetensors", "x.pt", "x.npk"))
    again, back, stored = (folder / f"{name}.safetensors" for name in ("again", "back", "stored"))
    plain = folder / "plain.safetensors"
    safetensors.torch.save_file(value, first, metadata)
    safetensors.torch.save_file(value, plain, {"format": "pt"})
    numpack.run("convert", first, again)
    if len(metadata or {}) < 2:
        # The library's own order of several changes from run to run.
        expect_bytes("safetensors to safetensors", again, first)
    with safetensors.safe_open(again, "pt") as file:
        if (file.metadata() or {}) != (metadata or {}):
            raise Failure(f"metadata {file.metadata()}, expected {metadata}")
    expect_dict("safetensors again", safetensors.torch.load_file(again), value, order=False)
    numpack.run("convert", first, pt)
    expect_dict("safetensors to pt", load(pt, True)[0], value, order=False)
    numpack.run("convert", pt, back)
    expect_bytes("pt to safetensors", back, plain)
    numpack.run("convert", first, npk)
    numpack.run("convert", npk, stored)
    expect_bytes("npk to safetensors", stored, plain)
    same(numpack, first, again, pt, npk)
    shown = numpack.run("info", first)
    for key, text in (metadata or {}).items():
        if f"{key} = {text}" not in shown:
            raise Failure(f"info does not show {key}: {shown}")


def numpy_tensors(numpack: Numpack, folder: Path, arrays: dict[str, np.ndarray]) -> None:
    """What ``safetensors.numpy`` writes, and archives of the same arrays."""
    first, archive, back = folder / "x.safetensors", folder / "x.npz", folder / "back.safetensors"
    safetensors.numpy.save_file(arrays, first)
    numpack.run("convert", first, folder / "again.safetensors")
    expect_bytes("safetensors again", folder / "again.safetensors", first)
    numpack.run("convert", first, archive)
    expect_dict("safetensors to npz", dict(np.load(archive)), arrays, order=False)
    numpack.run("convert", archive, back)
    expect_dict("npz to safetensors", safetensors.numpy.load_file(back), arrays, order=False)
    same(numpack, first, archive)


def shards(numpack: Numpack, folder: Path, seed: int) -> None:
    """Several files that an index names are one."""
    rng = np.random.default_rng(seed)
    value = {f"layer.{i}.weight": random_tensor(rng, TORCH[(seed + i) % len(TORCH)], (i, 3)) for i in range(9)}
    places = {name: f"model-{i % 3 + 1:05}-of-00003.safetensors" for i, name in enumerate(sorted(value))}
    for place in sorted(set(places.values())):
        part = {name: value[name] for name in value if places[name] == place}
        safetensors.torch.save_file(part, folder / place, {"format": "pt"})
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {"total_size": 1}, "weight_map": places}))
    numpack.run("convert", index, folder / "one.pt")
    expect_dict("shards to pt", load(folder / "one.pt", True)[0], value, order=False)
    numpack.run("convert", index, folder / "one.safetensors")
    safetensors.torch.save_file(value, folder / "wanted.safetensors", {"format": "pt"})
    expect_bytes("shards to one", folder / "one.safetensors", folder / "wanted.safetensors")
    same(numpack, index, folder / "one.pt")


def sharing(numpack: Numpack, folder: Path, value: dict[str, torch.Tensor]) -> None:
    """The command refuses what ``save_file`` refuses, and copies on demand."""
    pt, out = folder / "x.pt", folder / "x.safetensors"
    torch.save(value, pt)
    contiguous = all(tensor.is_contiguous() for tensor in value.values())
    try:
        safetensors.torch.save_file(value, folder / "theirs.safetensors", {"format": "pt"})
        theirs = True
    except RuntimeError as error:
        if contiguous and "share memory" not in str(error):
            raise
        theirs = False
    if contiguous or theirs:
        numpack.run("convert", pt, out, status=0 if theirs else 2)
    if theirs:
        expect_bytes("pt to safetensors", out, folder / "theirs.safetensors")
    numpack.run("convert", "--overwrite", "--copy-shared", pt, out)
    copies = {name: tensor.clone().contiguous() for name, tensor in value.items()}
    safetensors.torch.save_file(copies, folder / "copies.safetensors", {"format": "pt"})
    expect_bytes("copied", out, folder / "copies.safetensors")


def refused(numpack: Numpack, folder: Path, value: np.ndarray, word: str) -> None:
    """Arrays that are no numbers of torch's are named, alone and in an archive."""
    np.save(folder / "x.npy", value)
    np.savez(folder / "x.npz", good=np.arange(3), bad=value)
    np.savez_compressed(folder / "y.npz", bad=value)
    for path, out in itertools.product(("x.npy", "x.npz", "y.npz"), ("out.pt", "out.npk", "out.npz")):
        numpack.refused("convert", folder / path, folder / out, word=word)
        if (folder / out).exists():
            raise Failure(f"{out} is there all the same")
    numpack.refused("ls", folder / "x.npy", word=word)


def training(numpack: Numpack, folder: Path) -> None:
    """A checkpoint's model goes out by its key; what is no tensor is counted."""
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.randn(5, 3)).sum().backward()
    optimizer.step()
    pt = folder / "x.pt"
    torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict(), "epoch": 3}, pt)
    numpack.run("convert", "--key", "model", pt, folder / "model.safetensors")
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    safetensors.torch.save_file(state, folder / "wanted.safetensors", {"format": "pt"})
    expect_bytes("model", folder / "model.safetensors", folder / "wanted.safetensors")
    numpack.run("convert", pt, folder / "all.npz")
    found = np.load(folder / "all.npz")
    expect_array("dotted", found["optimizer.state.0.exp_avg"], optimizer.state_dict()["state"][0]["exp_avg"].numpy())
    numpack.run("convert", "--key", "model.0.weight", pt, folder / "w.npy")
    expect_array("one", np.load(folder / "w.npy"), model[0].weight.detach().numpy())
    numpack.refused("convert", pt, folder / "no.npy", word="choose it by its key")


def rows(numpack: Numpack, folder: Path, seed: int) -> None:
    """Rows come from archives and safetensors files as they do from ``.npy`` files."""
    rng = np.random.default_rng(seed)
    dtype = NUMBERS[seed % len(NUMBERS)]
    arrays = {name: random_array(rng, dtype, (2, 3)) for name in ("a", "b")}
    more = {name: random_array(rng, dtype, (50_000, 3)) for name in ("b", "a")}
    np.savez(folder / "x.npz", **arrays)
    numpack.run("convert", folder / "x.npz", folder / "x.npk")
    save = np.savez_compressed if seed % 2 else np.savez
    save(folder / "more.npz", **{name: laid(array, "F", ">") for name, array in more.items()})
    files = [folder / "more.npz"]
    if dtype != "complex128" and dtype != "complex64":
        safetensors.numpy.save_file(more, folder / "more.safetensors")
        files.append(folder / "more.safetensors")
    wanted = arrays
    for file in files:
        numpack.run("append", folder / "x.npk", "a", file, "b", file)
        wanted = {name: np.concatenate([array, more[name]]) for name, array in wanted.items()}
    numpack.run("convert", folder / "x.npk", folder / "back.npz")
    expect_dict("appended", dict(np.load(folder / "back.npz")), wanted)
    np.savez(folder / "other.npz", c=arrays["a"], d=arrays["a"])
    numpack.refused("append", folder / "x.npk", "a", folder / "other.npz", word="nothing is named")


def members(numpack: Numpack, folder: Path) -> None:
    """Archives as other programs make them."""
    first = folder / "x.npz"
    array = np.arange(12, dtype="int16").reshape(3, 4)
    with zipfile.ZipFile(first, "w") as archive:
        archive.writestr("notes.txt", "hello")
        for name, method in [("a/b", zipfile.ZIP_STORED), ("ü", zipfile.ZIP_DEFLATED)]:
            info = zipfile.ZipInfo(f"{name}.npy")
            info.compress_type = method
            with archive.open(info, "w", force_zip64=True) as file:
                np.lib.format.write_array(file, array)
    numpack.run("convert", first, folder / "again.npz")
    expect_dict("members", dict(np.load(folder / "again.npz")), {"a/b": array, "ü": array})
    np.savez(folder / "none.npz")
    numpack.run("convert", folder / "none.npz", folder / "none2.npz")
    if np.load(folder / "none2.npz").files:
        raise Failure("an empty archive is not empty")


def dictionary(rng: np.random.Generator, dtypes: list[str], make: Callable[..., Any]) -> dict[str, Any]:
    """Values of random types, shapes and names."""
    words = ["weight", "bias", "a.b", "x/y", "ü", "with space", "__x__", "0", "w.npy", 'q"uote', "back\\slash"]
    names = rng.permutation(words)[: rng.integers(1, len(words))]
    shapes = [SHAPES[rng.integers(len(SHAPES))] for _ in names]
    return {str(name): make(rng, str(rng.choice(dtypes)), shape) for name, shape in zip(names, shapes, strict=True)}


def checks(seeds: range) -> Iterator[tuple[str, Check]]:
    """Name and check of every case."""
    rng = np.random.default_rng(11)
    for dtype, order, byte_order in itertools.product(NUMBERS, "CF", "<>"):
        for shape in [*SHAPES, LARGE] if dtype in ("bool", "float32", "complex128") else SHAPES[:10]:
            array = laid(random_array(rng, dtype, shape), order, byte_order)
            yield f"npy {byte_order}{dtype} {order} {shape}", lambda n, f, a=array: npy(n, f, a)
    for version in [(1, 0), (2, 0), (3, 0)]:
        array = laid(random_array(rng, "float64", (3, 5)), "F", ">")
        yield f"npy version {version}", lambda n, f, a=array, v=version: npy(n, f, a, v)
    for save, order, byte_order in itertools.product((np.savez, np.savez_compressed), "CF", "<>"):
        arrays = {f"{d} {s}": laid(random_array(rng, d, s), order, byte_order) for d in NUMBERS for s in SHAPES}
        arrays["large"] = laid(random_array(rng, "float32", LARGE), order, byte_order)
        yield f"{save.__name__} {byte_order}{order}", lambda n, f, a=arrays, s=save: npz(n, f, a, s)
    for seed, save in itertools.product(seeds, (np.savez, np.savez_compressed)):
        arrays = dictionary(np.random.default_rng(seed), NUMBERS, random_array)
        yield f"{save.__name__} random {seed}", lambda n, f, a=arrays, s=save: npz(n, f, a, s)
    for dtype, shape in itertools.product(TORCH, [*SHAPES, LARGE]):
        value = {"x": random_tensor(rng, dtype, shape)}
        yield f"safetensors {dtype} {shape}", lambda n, f, v=value: tensors(n, f, v, {"format": "pt"})
    for seed in seeds:
        value = dictionary(np.random.default_rng(seed), TORCH, random_tensor)
        metadata = [None, {"format": "pt"}, {"format": "pt", "who": "me", "ключ": "значение"}][seed % 3]
        yield f"safetensors random {seed}", lambda n, f, v=value, m=metadata: tensors(n, f, v, m)
        arrays = dictionary(np.random.default_rng(seed), [d for d in NUMBERS if "complex" not in d], random_array)
        yield f"safetensors numpy random {seed}", lambda n, f, a=arrays: numpy_tensors(n, f, a)
    for seed in range(6):
        yield f"shards {seed}", lambda n, f, s=seed: shards(n, f, s)
    for seed in range(len(NUMBERS)):
        yield f"rows {seed}", lambda n, f, s=seed: rows(n, f, s)
    base = torch.arange(24.0)
    yield "sharing: tied", lambda n, f: sharing(n, f, {"a": base, "b": base})
    yield "sharing: the same window", lambda n, f: sharing(n, f, {"a": base, "b": base.view(24)})
    yield "sharing: overlapping", lambda n, f: sharing(n, f, {"a": base[:13], "b": base[12:]})
    yield "sharing: side by side", lambda n, f: sharing(n, f, {"a": base[:12], "b": base[12:]})
    yield "sharing: a transpose", lambda n, f: sharing(n, f, {"a": base.view(4, 6), "b": base.view(4, 6).T})
    yield "sharing: nothing", lambda n, f: sharing(n, f, {"a": base[:0], "b": base[:0], "c": base})
    for value, word in [
        (np.array([1, None], dtype=object), "numpack scan"),
        (np.zeros(2, dtype=[("x", "f4"), ("y", "i8")]), "structured"),
        (np.array(["text"]), "(text)"),
        (np.array([b"text"]), "(bytes of text)"),
        (np.array(["2020-01-01"], "datetime64[D]"), "(a date)"),
        (np.array([1], "timedelta64[s]"), "(a time span)"),
        (np.zeros(3, "longdouble"), "with astype"),
        (np.zeros(3, "V2"), "bfloat16"),
    ]:
        yield f"refused {value.dtype}", lambda n, f, v=value, w=word: refused(n, f, v, w)
    yield "a training run", training
    yield "archives of others", members


class Commands(Numpack):
    """The command, also where it must not be done or prints bytes."""

    def run(self, *arguments: Any, status: int = 0, binary: bool = False) -> Any:
        """The output, as text or as bytes."""
        if not binary:
            return super().run(*arguments, status=status)
        command = [str(self.binary), *map(str, arguments)]
        return subprocess.run(command, capture_output=True, timeout=self.TIMEOUT, check=True).stdout

    def refused(self, *arguments: Any, word: str) -> None:
        """A command that cannot be done, and says why."""
        command = [str(self.binary), *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, timeout=self.TIMEOUT, check=False)
        if done.returncode != 2 or word not in done.stderr.decode():
            raise Failure(f"{arguments} left with {done.returncode}: {done.stderr.decode()}, expected {word!r}")


def main() -> int:
    """Runs the checks and prints a line for each that fails."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--numpack", type=Path, required=True)
    parser.add_argument("--count", type=int, default=60, help="how many random files of each kind")
    parser.add_argument("--only", default="", help="run the cases whose name begins so")
    arguments = parser.parse_args()
    numpack = Commands(arguments.numpack)
    passed = failed = 0
    for name, check in checks(range(arguments.count)):
        if not name.startswith(arguments.only):
            continue
        with tempfile.TemporaryDirectory(prefix="numpack-neighbours-") as folder:
            try:
                check(numpack, Path(folder))
                passed += 1
            except Exception as error:
                failed += 1
                where = "" if isinstance(error, Failure) else f"{type(error).__name__}: "
                print(f"FAIL {name}: {where}{str(error)[:600]}", flush=True)
                if where:
                    traceback.print_exc()
    print(f"neighbours: {passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
