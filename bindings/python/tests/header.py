"""What the C header declares, in the words of ``libnumpack._native``: read without a compiler."""

from __future__ import annotations

import re
from pathlib import Path

HEADER = Path(__file__).resolve().parents[3] / "include" / "numpack.h"


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
    known = {"int32_t": "i32", "uint32_t": "u32", "int64_t": "i64", "uint64_t": "u64"}
    known |= {"size_t": "size", "uint8_t": "u8", "double": "f64", "void": "void"}
    if name in known:
        name = known[name]
        return "pointer" + "*" * (stars - 1) if name == "void" and stars else name + "*" * stars
    name = name.removeprefix("numpack_")
    if name in structs() or name.endswith("_fn"):
        return name + "*" * stars
    return "handle" + "*" * (stars - 1)


def functions() -> dict[str, str]:
    """Name to signature: ``i32(str, handle*)``."""
    body = text().split('extern "C" {', 1)[1]
    found = {}
    pattern = r"(?<![\w*] inline )\b((?:const )?\w+ \*?)(numpack_\w+)\(([^()]*)\);"
    for result, name, parameters in re.findall(pattern, body):
        words = [word(declared(p)) for p in parameters.split(",") if p.strip() not in ("", "void")]
        found[name] = f"{word(result)}({', '.join(words)})"
    return found


def declared(parameter: str) -> str:
    """The type of a parameter or member, without its name."""
    return re.sub(r"\w+$", "", parameter.strip())


def structs() -> dict[str, dict[str, str]]:
    """Name to members to types, as C text."""
    found = {}
    for members, name in re.findall(r"typedef struct \{([^{}]*)\} numpack_(\w+);", text()):
        parts = [m.strip() for m in members.split(";") if m.strip()]
        found[name] = {re.search(r"\w+$", p)[0]: declared(p) for p in parts}  # type: ignore[index]
    return found


def callbacks() -> dict[str, tuple[str, str]]:
    """Name to result and parameters, as words."""
    pattern = r"typedef (\w+) \(\*numpack_(\w+)\)\(([^()]*)\);"
    return {
        name: (word(result), ", ".join(word(declared(p)) for p in parameters.split(",")))
        for result, name, parameters in re.findall(pattern, text())
    }


def constants() -> dict[str, int]:
    """The numbers that are defined."""
    defines = re.findall(r"^#define NUMPACK_(\w+) +(\(?-?\d.*)$", HEADER.read_text(), flags=re.M)
    return {name: int(eval(value)) for name, value in defines}  # noqa: S307


def dump():
    out = ['FUNCTIONS = """\\']
    for name, signature in functions().items():
        out.append(f"{name.removeprefix('numpack_')} {signature}")
    out.append('"""')
    return "\n".join(out)


if __name__ == "__main__":
    print(dump())
    for name, members in structs().items():
        print("class", name, {k: word(v) for k, v in members.items()})
    for name, c in callbacks().items():
        print(name, c)
    print(constants())
