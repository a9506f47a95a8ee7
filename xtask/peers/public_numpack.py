"""Opens stores with the public numpack package and compares every array.

Run with numpack and numpy installed: ``python public_numpack.py FOLDER`` takes
each ``*.npk`` with metadata below the folder. What the independent reader finds must be what
the public package gives. Each store is opened as a copy and in a process of its
own, because the public package writes when it closes and can crash on reading.
With ``--numpack PATH`` the two programs also change a store in turn (``public_changes.py``).
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import public_changes
from npk_reader import SIDE_INFORMATION, Record, StoreError, read_store

# Older ones open data_<name>.npkd whatever the metadata says, and know no segments.
HONOURS_DATA_FILE = (0, 7)


def is_reachable(record: Record, version: str) -> bool:
    """Whether this version of the public package finds an array's data."""
    if tuple(map(int, version.split(".")[:2])) >= HONOURS_DATA_FILE:
        return True
    return record.data_file == f"data_{record.name}.npkd"


def check(store: Path) -> str:
    """Compares one store with what the public package loads; returns a note."""
    import numpack

    expected = read_store(store, foreign=True)
    with tempfile.TemporaryDirectory(prefix="numpack-public-") as temporary:
        copy = Path(temporary) / "store.npk"
        shutil.copytree(store, copy, copy_function=shutil.copyfile)
        copy.chmod(0o755)
        with numpack.NumPack(str(copy)) as opened:
            names = set(opened.get_member_list())
            if names != set(expected.records):
                raise StoreError(
                    f"the public package lists {sorted(names)}, expected {sorted(expected.records)}"
                )
            reachable = [
                name for name in expected.arrays if is_reachable(expected.records[name], numpack.__version__)
            ]
            for name in reachable:
                loaded, array = opened.load(name), expected.arrays[name]
                for what, found, wanted in [
                    ("dtype", loaded.dtype, array.dtype),
                    ("shape", loaded.shape, array.shape),
                    ("bytes", loaded.tobytes(), array.tobytes()),
                ]:
                    if found != wanted:
                        raise StoreError(f"array {name!r}: {what} {found!r:.80}, expected {wanted!r:.80}")
            if SIDE_INFORMATION in names and opened.load(SIDE_INFORMATION).dtype.name != "uint8":
                raise StoreError("the side information is not uint8")
    return f"{len(reachable)} of {len(expected.arrays)} arrays"


def check_one(store: Path) -> int:
    """Checks a single store, for the process of its own."""
    try:
        print(check(store))
    except Exception as error:
        print(f"{type(error).__name__}: {error}")
        return 1
    return 0


def main() -> int:
    """Checks every store below a folder; 1 if any failed."""
    sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace")
    if len(sys.argv) == 3 and sys.argv[1] == "--one":
        return check_one(Path(sys.argv[2]))
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--numpack", type=Path, help="the binary that takes turns with the public package")
    args = parser.parse_args()
    passed = failed = 0
    if args.numpack:
        try:
            public_changes.check(str(args.numpack))
            passed += 1
            print("ok   changes in turn")
        except Exception as error:
            failed += 1
            print(f"FAIL changes in turn ({error})")
    folder = args.folder
    for store in sorted(path.parent for path in folder.rglob("*.npk/metadata.npkm")):
        command = [sys.executable, __file__, "--one", str(store)]
        done = subprocess.run(
            command, capture_output=True, encoding="utf-8", errors="backslashreplace", check=False
        )
        said = done.stdout.strip() or f"left with {done.returncode}: {done.stderr.strip()[-500:]}"
        passed, failed = passed + (done.returncode == 0), failed + (done.returncode != 0)
        print(
            f"{'ok  ' if done.returncode == 0 else 'FAIL'} {store.relative_to(folder)} ({said})", flush=True
        )
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
