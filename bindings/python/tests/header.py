"""What the C header declares, in the words of ``libnumpack._native``: read without a compiler.

``python header.py --write`` writes ``table.py`` and ``constants.py`` there from it, as ``cargo xtask header`` does.
"""

from __future__ import annotations

import re
import sys
from functools import lru_cache
from pathlib import Path

HEADER = Path(__file__).resolve().parents[3] / "include" / "numpack.h"
NATIVE = Path(__file__).resolve().parents[1] / "src" / "libnumpack" / "_native"

WORDS = {
    "int32_t": "i32", "uint32_t": "u32", "int64_t": "i64", "uint64_t": "u64", "size_t": "size", "uint8_t": "u8",
    "double": "f64", "void": "void",
}


@lru_cache(maxsize=None)
def text() -> str:
    """The header without comments, and with blanks in the place of all white space."""
    found = HEADER.read_text(encoding="utf-8")
    return re.sub(r"\s+", " ", re.sub(r"/\*.*?\*/|//[^\n]*", " ", found, flags=re.S))


def word(declared: str) -> str:
    """A C type as the table writes it: handles, which are only passed on, are ``handle``."""
    kind = re.sub(r"\bconst\b|\bstruct\b", " ", declared).replace("*", " * ").split()
    name, stars = kind[0], len(kind) - 1
    if name == "char":
        return ["char", "str", "str*", "str**"][stars]
    if name in WORDS:
        name = WORDS[name]
        return "pointer" + "*" * (stars - 1) if name == "void" and stars else name + "*" * stars
    name = name.removeprefix("numpack_")
    if name in structs() or name.endswith("_fn"):
        return name + "*" * stars
    return "handle" + "*" * (stars - 1)


def words(parameters: str) -> str:
    """Those of several parameters with their names."""
    return ", ".join(word(declared(p)) for p in parameters.split(",") if p.strip() not in ("", "void"))


def declared(parameter: str) -> str:
    """The type of a parameter or member, without its name."""
    return re.sub(r"\w+$", "", parameter.strip())


def functions() -> dict[str, str]:
    """Name, without ``numpack_``, to signature: ``i32(str, handle*)``."""
    body = text().split('extern "C" {', 1)[1]
    pattern = r"(?<![\w*] inline )\b((?:const )?\w+ \*?)numpack_(\w+)\(([^()]*)\);"
    return {
        name: f"{word(result)}({words(parameters)})"
        for result, name, parameters in re.findall(pattern, body)
    }


@lru_cache(maxsize=None)
def structs() -> dict[str, list[tuple[str, str]]]:
    """Name to members, each with its type as C text."""
    found = {}
    for members, name in re.findall(r"typedef struct \{([^{}]*)\} numpack_(\w+);", text()):
        parts = [m.strip() for m in members.split(";") if m.strip()]
        found[name] = [(re.findall(r"\w+$", part)[0], declared(part)) for part in parts]
    return found


def members() -> dict[str, str]:
    """Name of a struct to its members: ``struct_size:u32 key:str``."""
    return {
        name: " ".join(f"{member}:{word(kind)}" for member, kind in parts)
        for name, parts in structs().items()
    }


def callbacks() -> dict[str, str]:
    """Name to signature."""
    pattern = r"typedef (\w+) \(\*numpack_(\w+)\)\(([^()]*)\);"
    return {
        name: f"{word(result)}({words(parameters)})"
        for result, name, parameters in re.findall(pattern, text())
    }


def constants() -> dict[str, int]:
    """The numbers that are defined, without ``NUMPACK_``, but for the version."""
    found = HEADER.read_text(encoding="utf-8")
    defines = re.findall(r"^#define NUMPACK_(\w+) +(.+)$", found, flags=re.M)
    return {name: number(value) for name, value in defines if name != "ABI_VERSION"}


def abi_version() -> int:
    found = re.findall(r"^#define NUMPACK_ABI_VERSION (\d+)$", HEADER.read_text(encoding="utf-8"), flags=re.M)
    return int(found[0])


def number(value: str) -> int:
    """What a number in the header is: decimal, or a difference, as C says its smallest."""
    first, *rest = re.findall(r"-?\d+", value.replace("- ", "-"))
    return int(first) + sum(int(part) for part in rest)


def lines(found: dict[str, str]) -> str:
    return "".join(f"{name} {what}\n" for name, what in found.items())


def write() -> None:
    """Writes what follows from the header into the two modules."""
    table = NATIVE / "table.py"
    source = table.read_text(encoding="utf-8")
    source = re.sub(r"^ABI_VERSION = .*$", f"ABI_VERSION = {abi_version()}", source, flags=re.M)
    for name, found in (("FUNCTIONS", functions()), ("STRUCTS", members()), ("CALLBACKS", callbacks())):
        body = lines(found)
        source = re.sub(rf'(?<=^{name} = """\\\n)[^"]*(?=""")', lambda _: body, source, flags=re.M)
    table.write_text(source, encoding="utf-8")
    module = NATIVE / "constants.py"
    head = module.read_text(encoding="utf-8").split("\n\n", 1)[0]
    body = "".join(f"{name} = {value}\n" for name, value in constants().items())
    module.write_text(f"{head}\n\n{body}", encoding="utf-8")


if __name__ == "__main__":
    if sys.argv[1:] != ["--write"]:
        sys.exit("usage: python header.py --write")
    write()
