"""Checks of the options of ``numpack convert``."""

from __future__ import annotations

import shutil
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from checks import Failure, Numpack, check_store, load
from compare import differences, raw_bytes
from npk_reader import read_store

Check = Callable[[Numpack, Path], str]
CHECKS: list[tuple[str, Check]] = []


def option(check: Check) -> Check:
    """Registers a function as the check of its name."""
    CHECKS.append((check.__name__.replace("_", " "), check))
    return check


def checkpoint() -> dict[Any, Any]:
    """An object with subtrees of several kinds."""
    encoder = OrderedDict(weight=torch.arange(6.0).view(2, 3), bias=torch.ones(2, dtype=torch.bfloat16))
    return {
        "model": {"encoder": encoder, "step": torch.tensor(3), "name": "x"},
        "model.encoder": {"literal": torch.zeros(1)},
        "list": [{"a": torch.ones(1)}, {"a": torch.ones(2), "shared": encoder}],
        "tensor": torch.arange(4, dtype=torch.float16),
        "lr": 0.5,
    }


def save(folder: Path, name: str, value: Any) -> Path:
    """Saves an object into the case's folder and returns where."""
    torch.save(value, folder / name)
    return folder / name


def through_key(numpack: Numpack, folder: Path, key: str, expected: Any) -> None:
    """Converts one subtree to a store and back."""
    source = save(folder, "a.pt", checkpoint())
    store, back = folder / "b.npk", folder / "c.pt"
    numpack.run("convert", source, store, "--key", key)
    numpack.run("verify", store)
    if not isinstance(expected, torch.Tensor):
        check_store(expected, store, source.stem)
    numpack.run("convert", store, back)
    same(expected, back)


def same(expected: Any, path: Path) -> None:
    """Fails unless a torch file holds exactly this."""
    if problems := differences(expected, load(path, weights_only=True)[0]):
        raise Failure(f"{path.name}: " + "; ".join(problems))


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@option
def key_of_a_subtree(numpack: Numpack, folder: Path) -> str:
    through_key(numpack, folder, "model", checkpoint()["model"])
    return "names are relative to it"


@option
def key_with_dots(numpack: Numpack, folder: Path) -> str:
    through_key(numpack, folder, "list.1", checkpoint()["list"][1])
    return ""


@option
def key_prefers_the_literal(numpack: Numpack, folder: Path) -> str:
    through_key(numpack, folder, "model.encoder", checkpoint()["model.encoder"])
    return ""


@option
def key_of_a_tensor(numpack: Numpack, folder: Path) -> str:
    through_key(numpack, folder, "tensor", checkpoint()["tensor"])
    return ""


@option
def key_that_is_missing(numpack: Numpack, folder: Path) -> str:
    source, store = save(folder, "a.pt", checkpoint()), folder / "b.npk"
    numpack.run("convert", source, store, "--key", "model.decoder", status=2)
    if store.exists():
        raise Failure("a store was left behind")
    return "refused"


@option
def existing_output_is_refused(numpack: Numpack, folder: Path) -> str:
    first, second = save(folder, "a.pt", checkpoint()), save(folder, "other.pt", {"w": torch.ones(3)})
    store, back = folder / "b.npk", folder / "c.pt"
    numpack.run("convert", first, store)
    numpack.run("convert", store, back)
    before = contents(folder)
    numpack.run("convert", second, store, status=2)
    numpack.run("convert", store, back, status=2)
    if contents(folder) != before:
        raise Failure("a refused conversion changed files")
    return "and left as it was"


@option
def overwrite_replaces(numpack: Numpack, folder: Path) -> str:
    first, second = save(folder, "a.pt", checkpoint()), save(folder, "other.pt", {"w": torch.ones(3)})
    store, back = folder / "b.npk", folder / "c.pt"
    numpack.run("convert", first, store)
    numpack.run("convert", store, back)
    numpack.run("convert", second, store, "--overwrite")
    numpack.run("verify", store)
    if list(read_store(store).arrays) != ["w"]:
        raise Failure(f"the store holds {list(read_store(store).arrays)}, expected 'w' alone")
    numpack.run("convert", store, back, "--overwrite")
    same({"w": torch.ones(3)}, back)
    return ""


@option
def overwrite_spares_other_folders(numpack: Numpack, folder: Path) -> str:
    source, other = save(folder, "a.pt", checkpoint()), folder / "b.npk"
    other.mkdir()
    (other / "precious.txt").write_text("mine")
    before = contents(folder)
    numpack.run("convert", source, other, "--overwrite", status=2)
    if contents(folder) != before:
        raise Failure("a folder that is no store was changed")
    return ""


@option
def names_give_a_flat_dict(numpack: Numpack, folder: Path) -> str:
    source, store, back = save(folder, "a.pt", checkpoint()), folder / "b.npk", folder / "c.pt"
    model = checkpoint()["model"]
    expected = {
        "tensor": checkpoint()["tensor"],
        "model.step": model["step"],
        "list.0.a": torch.ones(1),
    }
    numpack.run("convert", source, store)
    numpack.run("convert", store, back, "--names", ",".join(expected))
    found, _ = load(back, weights_only=True)
    if not isinstance(found, dict) or list(found) != list(expected):
        raise Failure(f"expected the names {list(expected)}, found {found!r:.300}")
    for name, tensor in expected.items():
        got = found[name]
        if (got.dtype, got.shape, raw_bytes(got)) != (tensor.dtype, tensor.shape, raw_bytes(tensor)):
            raise Failure(f"{name!r} is {got!r:.200}, expected {tensor!r:.200}")
    return "in the order asked for"


@option
def name_that_is_missing(numpack: Numpack, folder: Path) -> str:
    source, store, back = save(folder, "a.pt", checkpoint()), folder / "b.npk", folder / "c.pt"
    numpack.run("convert", source, store)
    numpack.run("convert", store, back, "--names", "tensor,absent", status=2)
    if back.exists():
        raise Failure("a file was left behind")
    return "refused"


@option
def diff_tells_a_difference(numpack: Numpack, folder: Path) -> str:
    changed = checkpoint()
    changed["list"][0]["a"] = torch.full((1,), 2.0)
    plain = {**checkpoint(), "lr": 0.25}
    source, store = save(folder, "a.pt", checkpoint()), folder / "b.npk"
    numpack.run("convert", source, store)
    for name, value in [
        ("tensor.pt", changed),
        ("fewer.pt", {"tensor": checkpoint()["tensor"]}),
        ("plain.pt", plain),
    ]:
        other = save(folder, name, value)
        numpack.run("diff", source, other, status=1)
        numpack.run("diff", other, store, status=1)
    return ""


@option
def verify_tells_a_fault(numpack: Numpack, folder: Path) -> str:
    source, store = save(folder, "a.pt", checkpoint()), folder / "b.npk"
    numpack.run("convert", source, store)
    damaged = folder / "damaged"
    shutil.copytree(store, damaged)
    data = damaged / read_store(store).records["tensor"].data_file
    data.write_bytes(data.read_bytes()[:-1])
    numpack.run("verify", damaged, status=1)
    return ""
