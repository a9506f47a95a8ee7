"""Compares ``numpack scan`` with the public pickle scanners.

Needs picklescan, fickling and numpy. Pickles are made for every name that their own tables call
dangerous or harmless, in each way in which a pickle can mention one, and for tricks that hide one;
real files are added where ``LIBNUMPACK_FIXTURES`` or ``shared/fixtures`` has them. What picklescan
calls dangerous must be dangerous, and what it calls innocuous must not be, but for what is listed
here with a reason. Nothing is ever unpickled. ``python public_scanners.py --numpack PATH`` ends with
``N passed, M failed``; the status is 1 if any failed.
"""

from __future__ import annotations

import argparse
import bz2
import contextlib
import gzip
import io
import json
import logging
import os
import pickle
import subprocess
import sys
import tarfile
import tempfile
import zipfile
import zlib
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from fickling.fickle import UNSAFE_IMPORTS
from picklescan import scanner

REPOSITORY = Path(__file__).resolve().parents[2]

# What picklescan calls innocuous and is dangerous: it does not see these.
HIDDEN_FROM_PICKLESCAN = {
    "trick constant": "it does not look into constants, and a loader that is not in its table takes them",
    "trick constant latin1": "the same, as a text that latin-1 makes bytes of",
    "trick gzip": "it does not unpack gzip",
    "trick zlib": "it does not unpack zlib",
    "trick tar": "it does not read tar archives",
    "trick unlisted record": "it takes the central directory's word",
    "trick record without a suffix": "it goes by the suffix where no protocol is stated",
    "trick pickle before an archive": "it takes a file that ends with an archive for that alone",
    "trick behind other bytes": "it stops at the first byte that is no opcode",
}

# Modules of which fickling refuses every name, and which are not dangerous as a whole.
NOT_WHOLLY_DANGEROUS = {
    "__builtin__": "it lists the harmless names of builtins elsewhere",
    "__builtins__": "the same",
    "builtins": "the same",
    "difflib": "compares texts",
    "functools": "single names are dangerous: partial, reduce",
    "operator": "single names are dangerous: attrgetter, methodcaller, itemgetter",
    "_operator": "the same",
    "types": "single names are dangerous: CodeType, FunctionType",
    "threading": "locks are kept in objects; single names are dangerous: Thread, Timer",
    "_thread": "the same",
    "logging": "loggers are kept in objects; single names are dangerous: FileHandler, config",
    "joblib": "arrays that it saves mention it; single names are dangerous: load",
    "urllib": "urllib.parse has values; urllib.request and the like are dangerous",
    "compile": "no module",
    "exec": "no module",
    "eval": "no module",
}


def lines(module: str, name: str) -> bytes:
    """A call by GLOBAL, in protocol 0."""
    return f"c{module}\n{name}\n(S'x'\ntR.".encode()


def inst(module: str, name: str) -> bytes:
    """A call by INST."""
    return f"(S'x'\ni{module}\n{name}\n.".encode()


def text(value: str) -> bytes:
    """A SHORT_BINUNICODE."""
    return b"\x8c" + bytes([len(value)]) + value.encode()


def stacked(module: str, name: str) -> bytes:
    """A call by STACK_GLOBAL."""
    return b"\x80\x04" + text(module) + b"\x94" + text(name) + b"\x94\x93\x94" + text("x") + b"\x85R."


def remembered(module: str, name: str) -> bytes:
    """The same, with both texts from the memo, the other way round."""
    texts = text(name) + b"q\x050" + text(module) + b"q\x070"
    return b"\x80\x04" + texts + b"h\x07h\x05\x93" + text("x") + b"\x85R."


FORMS = {"GLOBAL": lines, "INST": inst, "STACK_GLOBAL": stacked, "memo": remembered}


def names_of(table: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """The names of one of picklescan's tables; a made-up one where it means all."""
    for module, names in table.items():
        if isinstance(names, str):
            yield module, "anything" if names == "*" else names
        else:
            for name in sorted(names):
                yield module, name


def archive(**records: bytes) -> bytes:
    """A zip archive."""
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w") as file:
        for name, content in records.items():
            file.writestr(name.replace("__", "."), content)
    return memory.getvalue()


def tricks() -> Iterator[tuple[str, bytes]]:
    """Ways to hide ``os.system('x')``."""
    plain, four = lines("os", "system"), stacked("os", "system")
    yield "trick two pickles", pickle.dumps(1) + plain
    yield "trick truncated", plain[:-2]
    yield "trick underflow", b"\x80\x040" + four[2:]
    yield "trick bad opcode behind", four[:-1] + b"\xff"
    yield "trick no text", b"\x80\x04K\x01K\x02\x93."
    yield "trick missing memo", b"\x80\x04h\x01h\x02\x93."
    yield "trick dotted", stacked("torch.serialization", "os.system")
    yield "trick dotted module", lines("os", "path.os.system")
    yield "trick old name", lines("commands", "getoutput")
    call = b"\x80\x04cmine\nload\n"
    yield "trick constant", call + b"C" + bytes([len(plain)]) + plain + b"\x85R."
    latin = four.decode("latin-1").encode()
    yield "trick constant latin1", call + b"X" + len(latin).to_bytes(4, "little") + latin + b"\x85R."
    yield "trick pickle.loads", b"\x80\x04cpickle\nloads\nC" + bytes([len(plain)]) + plain + b"\x85R."
    yield "trick gzip", gzip.compress(four)
    yield "trick zlib", zlib.compress(four)
    yield "trick bz2", bz2.compress(four)
    memory = io.BytesIO()
    with tarfile.open(fileobj=memory, mode="w") as file:
        member = tarfile.TarInfo("pickle")
        member.size = len(four)
        file.addfile(member, io.BytesIO(four))
    yield "trick tar", memory.getvalue()
    yield "trick record", archive(a__pkl=four, b__txt=b"x")
    yield "trick record of a model", archive(**{"m/data__pkl": b"\x80\x02}.", "m/x": four})
    yield "trick record without a suffix", archive(x=plain)
    whole = archive(a__txt=b"text", b__pkl=four)
    start = whole.index(b"PK\x01\x02")
    rest = archive(a__txt=b"text")
    rest = bytearray(rest[rest.index(b"PK\x01\x02") :])
    rest[-6:-2] = start.to_bytes(4, "little")
    yield "trick unlisted record", whole[:start] + bytes(rest)
    yield "trick broken checksum", whole.replace(b"\x85R.", b"\x86R.", 1)
    yield "trick pickle before an archive", plain + archive(a__txt=b"text")
    yield "trick behind other bytes", b"\x80\x03cjoblib.numpy_pickle\nNumpyArrayWrapper\n)\x81\xff\xff" + four


def harmless() -> Iterator[tuple[str, bytes]]:
    """Values, in every protocol."""
    values = {
        "plain": {"a": [1, 2.5, None, True], "b": ("x", b"y", {3})},
        "ordered": OrderedDict(a=1),
        "array": np.arange(6.0).reshape(2, 3),
        "bytes": {"blob": bytes(range(256)) * 4, "text": "cos\nsystem\n"},
    }
    for name, value in values.items():
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
            yield f"harmless {name} {protocol}", pickle.dumps(value, protocol)
    memory = io.BytesIO()
    np.savez(memory, a=np.arange(3), b=np.array([1, None], dtype=object))
    yield "harmless npz", memory.getvalue()


def cases() -> Iterator[tuple[str, bytes]]:
    """All that is made here, by name."""
    for form, make in FORMS.items():
        for module, name in names_of(scanner._unsafe_globals):
            yield f"dangerous {module}.{name} by {form}", make(module, name)
        for module, name in names_of(scanner._safe_globals):
            yield f"safe {module}.{name} by {form}", make(module, name)
    for module, name in names_of(scanner._unsafe_globals):
        yield f"dangerous {module}.{name} in an archive", archive(data__pkl=stacked(module, name))
    yield from tricks()
    yield from harmless()


def fixtures() -> Iterator[tuple[str, Path]]:
    """Real files, and the test data of picklescan, where they are."""
    beside = REPOSITORY.parent / "shared/fixtures"
    folder = Path(os.environ.get("LIBNUMPACK_FIXTURES", beside)) / "pt"
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.suffix not in {".json", ".txt"}:
            yield f"file {path.relative_to(folder)}", path


def by_picklescan(path: Path) -> str:
    """``dangerous``, ``innocuous``, ``suspicious``, or ``failed``."""
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            result = scanner.scan_file_path(str(path))
    except Exception:
        return "failed"
    if result.issues_count:
        return "dangerous"
    if result.scan_err:
        return "failed"
    safe = all(g.safety is scanner.SafetyLevel.Innocuous for g in result.globals)
    return "innocuous" if safe else "suspicious"


def by_numpack(binary: Path, paths: list[Path]) -> dict[str, dict[str, Any]]:
    """What the command says of each file."""
    found = {}
    for start in range(0, len(paths), 200):
        some = list(map(str, paths[start : start + 200]))
        done = subprocess.run([binary, "scan", "--json", *some], capture_output=True, check=False)
        if done.returncode not in (0, 1, 2) or done.stderr:
            raise SystemExit(f"numpack scan left with {done.returncode}: {done.stderr.decode()}")
        found |= {report["path"]: report for report in json.loads(done.stdout)}
    return found


def problem(name: str, theirs: str, ours: dict[str, Any]) -> str | None:
    """What is wrong with a pair of answers."""
    verdict = ours["verdict"]
    if theirs == "dangerous" and verdict != "dangerous":
        return f"picklescan calls it dangerous, numpack {verdict}"
    if theirs == "innocuous" and verdict == "dangerous" and name not in HIDDEN_FROM_PICKLESCAN:
        return f"picklescan calls it innocuous, numpack dangerous: {ours['globals']}"
    if name.startswith("safe ") and verdict != "clean":
        return f"picklescan calls the name safe, numpack {verdict}"
    if name.startswith("trick ") and verdict != "dangerous" and ours["complete"]:
        return f"it was made to be dangerous, and numpack calls it {verdict}"
    if name.startswith("harmless ") and verdict != "clean":
        return f"it was made to be harmless, and numpack calls it {verdict}: {ours['globals']}"
    return None


def main() -> int:
    """Runs the comparison."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--numpack", type=Path, required=True)
    binary = parser.parse_args().numpack
    logging.disable(logging.CRITICAL)
    failed = []
    pairs: dict[tuple[str, str], int] = {}
    with tempfile.TemporaryDirectory(prefix="numpack-scanners-") as temporary:
        paths: dict[str, Path] = {}
        for number, (name, content) in enumerate(cases()):
            paths[name] = Path(temporary) / f"{number}.pkl"
            paths[name].write_bytes(content)
        paths.update(fixtures())
        found = by_numpack(binary, list(paths.values()))
        for name, path in paths.items():
            theirs, ours = by_picklescan(path), found[str(path)]
            pair = (theirs, ours["verdict"])
            pairs[pair] = pairs.get(pair, 0) + 1
            if wrong := problem(name, theirs, ours):
                failed.append(f"{name}: {wrong}")
        whole = sorted(set(UNSAFE_IMPORTS) - set(NOT_WHOLLY_DANGEROUS))
        modules = {m: Path(temporary) / f"module-{m}.pkl" for m in whole}
        for module, path in modules.items():
            path.write_bytes(stacked(module, "anything"))
        found = by_numpack(binary, list(modules.values()))
        for module, path in modules.items():
            if found[str(path)]["verdict"] != "dangerous":
                failed.append(f"fickling refuses all of {module}, numpack calls it harmless or unknown")
    for (theirs, ours), count in sorted(pairs.items()):
        print(f"picklescan {theirs}, numpack {ours}: {count}")
    print(f"modules that fickling refuses: {len(modules)}, and {len(NOT_WHOLLY_DANGEROUS)} not as a whole")
    for line in failed:
        print(f"FAIL {line}")
    total = sum(pairs.values()) + len(modules)
    print(f"{total - len(failed)} passed, {len(failed)} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
