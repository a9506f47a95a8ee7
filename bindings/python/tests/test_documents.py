"""The code in README.md and docs/ runs, and so do the examples in docstrings."""

from __future__ import annotations

import doctest
import importlib
import importlib.util
import pkgutil
import re
import shutil
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import libnumpack
from libnumpack import devices

FOLDER = Path(__file__).resolve().parents[1]
REPOSITORY = FOLDER.parents[1]
PAGES = [REPOSITORY / "README.md", FOLDER / "README.md", *sorted((FOLDER / "docs").glob("*.md"))]


def modules() -> list[ModuleType]:
    names = [module.name for module in pkgutil.walk_packages(libnumpack.__path__, "libnumpack.")]
    # The library lies where a module written in C would.
    return [libnumpack, *(importlib.import_module(name) for name in names if name != "libnumpack._native.libnumpack")]


def docstrings() -> list[Any]:
    finder = doctest.DocTestFinder(exclude_empty=True)
    found = [test for module in modules() for test in finder.find(module, module.__name__)]
    return [pytest.param(test, id=test.name) for test in found if test.examples]


def needs(code: str) -> None:
    """Skips what imports something that is not there."""
    for name in re.findall(r"^\s*(?:import|from) (\w+)", code, flags=re.M):
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"{name} is not installed")


def needs_device(code: str) -> None:
    """Skips what uses a device where there is none. Pages ask for themselves."""
    if re.search(r"vulkan\"|vulkan'|vulkan:", code):
        try:
            devices.opened(devices.device("vulkan"))
        except libnumpack.errors.DeviceError as e:
            pytest.skip(f"no Vulkan device: {e}")


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # that a device is a software one
@pytest.mark.parametrize("test", docstrings())
def test_docstring(test: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = "\n".join(example.source for example in test.examples)
    needs(code)
    needs_device(code)
    monkeypatch.chdir(tmp_path)
    said: list[str] = []
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS)
    failed, tried = runner.run(test, out=said.append)
    assert tried and not failed, "".join(said)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_page(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The blocks of a page run one after the other, as one program, where there is a `model.pt`."""
    text = page.read_text(encoding="utf-8")
    blocks = list(re.finditer(r"^```python\n(.*?)^```", text, flags=re.M | re.S))
    assert blocks
    needs("".join(block[1] for block in blocks))
    monkeypatch.chdir(tmp_path)
    shutil.copy(REPOSITORY / "examples" / "checkpoint.pt", "model.pt")
    names: dict[str, Any] = {"__name__": "page"}
    for block in blocks:
        # A traceback shows the line of the page.
        line = text.count("\n", 0, block.start(1))
        exec(compile("\n" * line + block[1], str(page), "exec"), names)
