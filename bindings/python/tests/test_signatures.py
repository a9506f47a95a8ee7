"""The tables of ``libnumpack._native`` against the C header, both ways, and against a C compiler."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from pathlib import Path

import header
import pytest

from libnumpack._native import constants, lib, structs, table

ADVICE = "run `cargo xtask header`"


def parsed(text: str) -> dict[str, str]:
    return dict(line.split(" ", 1) for line in text.splitlines())


def test_the_version_of_the_interface() -> None:
    assert table.ABI_VERSION == header.abi_version() == lib.abi_version()


def test_functions() -> None:
    found = header.functions()
    # The list that the library's own test compares with what it exports.
    exported = (header.HEADER.parent.parent / "capi" / "symbols.txt").read_text(encoding="utf-8").split()
    assert {f"numpack_{name}" for name in found} == set(exported)
    assert parsed(table.FUNCTIONS) == found, ADVICE


def test_structs() -> None:
    assert parsed(table.STRUCTS) == header.members(), ADVICE


def test_callbacks() -> None:
    assert parsed(table.CALLBACKS) == header.callbacks(), ADVICE


def test_constants() -> None:
    found = {name: value for name, value in vars(constants).items() if not name.startswith("_")}
    assert found == header.constants(), ADVICE


def test_there_is_something_to_compare() -> None:
    # What is read by patterns could read nothing.
    functions = header.functions()
    assert functions["tensor_full"] == "i32(i32, u32, u64*, scalar*, handle*)"
    assert functions["store_free"] == "void(handle)"
    assert functions["store_get_path"] == "str(handle)"
    assert header.members()["store_options"] == "struct_size:u32 no_wait:i32 in_place:i32 reserved:i32"
    assert header.callbacks()["scan_fn"] == "i32(i32, str, str, i64, pointer)"
    numbers = header.constants()
    assert (numbers["OK"], numbers["DTYPE_BFLOAT16"], numbers["ROWS_END"]) == (0, 32, -(2**63))


def test_the_library_has_them() -> None:
    # Looking a function up makes its types of the words of the table.
    assert [name for name in parsed(table.FUNCTIONS) if not callable(getattr(lib, name))] == []


def test_a_compiler_lays_structs_out_alike(tmp_path: Path) -> None:
    compiler = os.environ.get("CC") or shutil.which("cc")
    if compiler is None:
        if "CI" in os.environ:
            pytest.fail("there is no C compiler")
        pytest.skip("there is no C compiler")
    lines = ["#include <stddef.h>", '#include "numpack.h"']
    for name, kind in structs.items():
        lines.append(f'_Static_assert(sizeof(numpack_{name}) == {ctypes.sizeof(kind)}, "{name}");')
        for member, *_ in kind._fields_:
            place = getattr(kind, member)
            offset = f"offsetof(numpack_{name}, {member})"
            size = f"sizeof(((numpack_{name} *)0)->{member})"
            lines.append(
                f'_Static_assert({offset} == {place.offset} && {size} == {place.size}, "{name}.{member}");'
            )
    source = tmp_path / "layout.c"
    source.write_text("\n".join(lines) + "\n", encoding="utf-8")
    command = [compiler, "-std=c11", "-fsyntax-only", "-I", str(header.HEADER.parent), str(source)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
