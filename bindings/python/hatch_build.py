"""Puts the shared library into the wheel, and the workspace's version into its metadata.

The library is built by cargo, or is the one that ``LIBNUMPACK_PREBUILT`` names. ``LIBNUMPACK_PLATFORM`` names the
platform of the wheel, such as ``manylinux_2_28_x86_64``, where whoever builds knows better than this Python.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from hatchling.metadata.plugin.interface import MetadataHookInterface

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parent.parent
PREBUILT = "LIBNUMPACK_PREBUILT"
PLATFORM = "LIBNUMPACK_PLATFORM"
# By this name on every system: the package opens it by its path.
INSIDE = "libnumpack/_native/libnumpack.so"
SUFFIXES = (".so", ".dylib", ".dll")


class Version(MetadataHookInterface):
    """The version is the workspace's."""

    def update(self, metadata: dict[str, Any]) -> None:
        metadata["version"] = workspace_version()


class Library(BuildHookInterface[Any]):
    """The shared library goes into the wheel, which is for any Python 3 on one platform."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if self.target_name == "sdist":
            sys.exit(
                "libnumpack has no source distribution, as the Rust sources of its library are not in this folder; "
                "build a wheel from the repository: python -m build --wheel bindings/python"
            )
        library = prebuilt() or build()
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{platform()}"
        if version == "editable":
            link(library)
        else:
            build_data["force_include"][str(library)] = INSIDE


def workspace_version() -> str:
    cargo = REPOSITORY / "Cargo.toml"
    text = cargo.read_text(encoding="utf-8") if cargo.exists() else ""
    found = re.search(r'^\[workspace\.package\]\s[^\[]*?^version = "([^"]+)"', text, flags=re.M)
    if found is None:
        sys.exit(
            f"{cargo} is not libnumpack's: the package is built inside of its repository; with a pip before 21.3, "
            "which copies the folder elsewhere, update pip first"
        )
    return found[1]


def prebuilt() -> Path | None:
    """The library that is named, if one is."""
    named = os.environ.get(PREBUILT)
    if not named:
        return None
    path = Path(named).resolve()
    if not path.is_file():
        sys.exit(f"{PREBUILT} names {path}, which is no file; name the shared library, or unset it to have it built")
    return path


def build() -> Path:
    """Builds the library by cargo, where cargo builds all else."""
    cargo = os.environ.get("CARGO") or shutil.which("cargo")
    if cargo is None:
        sys.exit(
            "there is no cargo, which builds the library: install Rust 1.89 or newer from https://rustup.rs and a C "
            f"compiler, or name a shared library that is built already by {PREBUILT}"
        )
    command = [cargo, "build", "--release", "--package", "numpack-capi", "--message-format=json-render-diagnostics"]
    print("+", *command, file=sys.stderr, flush=True)
    done = subprocess.run(command, cwd=REPOSITORY, stdout=subprocess.PIPE, check=False)
    if done.returncode:
        sys.exit(f"cargo cannot build the library: it ended with {done.returncode}, and what is above says why")
    messages = (json.loads(line) for line in done.stdout.splitlines() if line.startswith(b"{"))
    for message in messages:
        if message.get("reason") == "compiler-artifact" and message["target"]["name"] == "numpack":
            for name in message["filenames"]:
                if name.endswith(SUFFIXES):
                    return Path(name)
    sys.exit("cargo built no shared library on this system, so there is nothing to install")


def platform() -> str:
    named = os.environ.get(PLATFORM) or sysconfig.get_platform()
    return re.sub(r"[-.]", "_", named)


def link(library: Path) -> None:
    """In an editable installation the package uses what cargo builds, newer ones too. Git ignores the link."""
    place = HERE / "src" / INSIDE
    place.unlink(missing_ok=True)
    place.symlink_to(library)
