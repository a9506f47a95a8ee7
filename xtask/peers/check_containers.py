"""Checks the ``numpack`` command on random files of the oldest and the newest torch.

``python check_containers.py --numpack PATH --old-python PYTHON`` has both write files
in every container, compares what the command says of each with what torch holds, takes
them to stores and back, and has both torches read what came back. Any difference is
printed; the status is 1 if there was one.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from command import Failure, Numpack

HERE = Path(__file__).parent
WORDS = {
    "zip": "zip archive of torch", "legacy": "legacy stream", "tar": "tar archive", "shards": "sharded",
    "torchscript": "torchscript", "distributed": "distributed",
    "export": "torch.export archive",
}  # fmt: skip
FACTS = ("name", "dtype", "shape", "stride", "offset", "requires_grad", "nbytes", "sha256")


@dataclass
class Outcome:
    """What was found about one file."""

    truth: Path
    facts: dict[str, Any]
    problems: list[str] = field(default_factory=list)
    jobs: list[dict[str, Any]] = field(default_factory=list)


def check_listing(facts: dict[str, Any], listing: dict[str, Any]) -> None:
    """Compares ``ls --json --sha256`` with what torch holds."""
    found, wanted = listing["tensors"], facts["tensors"]
    if facts["name"] in ("tar", "legacy with parts"):
        # Where a storage that only its parts show begins, torch cannot say.
        found, wanted = from_first(found), from_first(wanted)
    if facts["container"] == "torchscript":
        found = sorted(found, key=lambda entry: entry["name"])
        wanted = sorted(wanted, key=lambda entry: entry["name"])
    names = [entry["name"] for entry in found], [entry["name"] for entry in wanted]
    if names[0] != names[1]:
        more, less = [n for n in names[0] if n not in names[1]], [n for n in names[1] if n not in names[0]]
        where = "in another order" if not more and not less else f"has {more!r:.300}, lacks {less!r:.300}"
        raise Failure(f"ls: {len(names[0])} names, expected {len(names[1])}: {where}")
    groups: dict[Any, Any] = {}
    back: dict[Any, Any] = {}
    for entry, fact in zip(found, wanted, strict=True):
        for key in FACTS:
            if entry.get(key) != fact[key]:
                raise Failure(f"ls: {entry['name']!r}: {key} is {entry.get(key)!r}, expected {fact[key]!r}")
        if fact["storage"] is not None:
            pair = entry["storage"], fact["storage"]
            if groups.setdefault(*pair) != pair[1] or back.setdefault(*pair[::-1]) != pair[0]:
                raise Failure(f"ls: {entry['name']!r} does not share storages as it does in torch")


def from_first(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The entries with their offsets counted from the first tensor in the same storage."""
    firsts: dict[Any, int] = {}
    for entry in entries:
        if entry["nbytes"]:
            firsts[entry["storage"]] = min(firsts.get(entry["storage"], entry["offset"]), entry["offset"])
    return [
        entry | {"offset": entry["offset"] - firsts[entry["storage"]] if entry["nbytes"] else 0}
        for entry in entries
    ]


def check_info(facts: dict[str, Any], output: str) -> None:
    """Compares ``info`` with what torch holds."""
    # What goes on in a second line begins with blanks.
    lines = dict(line.split(maxsplit=1) for line in output.splitlines() if line[:1].strip())
    if WORDS[facts["container"]] not in lines["format"]:
        raise Failure(f"info: format is {lines['format']!r}")
    if not lines["tensors"].startswith(f"{facts['distinct']}") and facts["container"] != "torchscript":
        raise Failure(f"info: tensors are {lines['tensors']!r}, expected {facts['distinct']}")


def check_scan(report: dict[str, Any]) -> None:
    """Expects nothing odd of what torch wrote, and that all of it was looked into."""
    if report["verdict"] != "clean" or not report["complete"]:
        raise Failure(f"scan: {report['verdict']}: {report['findings']!r:.300}")
    if report["containers"] != ["zip archive of torch.export"]:
        raise Failure(f"scan: it is {report['containers']!r}")


class Checker:
    """The command under test, and where it works."""

    def __init__(self, numpack: Numpack, share: float) -> None:
        self.numpack, self.share = numpack, share

    def check(self, truth: Path) -> Outcome:
        """Everything about one file but reading back what was written."""
        facts = json.loads(truth.read_text())
        path, outcome = facts["path"], Outcome(truth, facts)

        def attempt(check: Any) -> bool:
            try:
                check()
            except Failure as failure:
                outcome.problems.append(str(failure))
                return False
            return True

        attempt(lambda: check_listing(facts, self.numpack.json("ls", "--json", "--sha256", path)))
        attempt(lambda: self.numpack.run("verify", path))
        attempt(lambda: check_info(facts, self.numpack.run("info", path)))
        if facts["container"] == "export":
            attempt(lambda: check_scan(self.numpack.json("scan", "--json", path)[0]))
        if facts["seed"] % 100 < 100 * self.share:
            attempt(lambda: self.round_trip(outcome, "plain", []))
            # What stands for a class outside the file, nothing can write again.
            if not facts["plain"] and facts["container"] not in ("legacy", "torchscript"):
                attempt(lambda: self.round_trip(outcome, "kept", ["--keep-objects"]))
        return outcome

    def round_trip(self, outcome: Outcome, way: str, options: list[str]) -> None:
        """To a store and back."""
        facts, base = outcome.facts, str(outcome.truth)[: -len(".truth.json")]
        path, store, back = facts["path"], f"{base}.{way}.npk", f"{base}.{way}.back.pt"
        equal = way == "kept" or facts["plain"]
        self.numpack.run("convert", *options, path, store)
        self.numpack.run("verify", store)
        self.numpack.run("convert", store, back)
        if equal:
            self.numpack.run("diff", path, store)
            self.numpack.run("diff", path, back)
        self.numpack.run("verify", back)
        shutil.rmtree(store)
        named = facts["container"] == "torchscript" or "of a module" in facts["name"]
        how = "equal" if equal else "named" if named else "tensors"
        job = {key: facts[key] for key in ("path", "container", "name")}
        outcome.jobs.append(job | {"truth": str(outcome.truth), "back": back, "how": how})


def version_of(said: dict[str, Any]) -> str:
    """The version of torch, without what it was built for."""
    return said["torch"].partition("+")[0]


def write_files(pythons: list[Path], arguments: argparse.Namespace, out: Path) -> None:
    """Has each torch write its part of the files, all at once."""
    count = -(-arguments.count // len(pythons))
    started = []
    for number, python in enumerate(pythons):
        seed = arguments.seed + number * 1_000_000
        command = [python, "-B", HERE / "containers.py", "--out", out / str(number)]
        command += ["--count", count, "--seed", seed, *(["--show-refused"] if arguments.show_refused else [])]
        started.append(subprocess.Popen([str(word) for word in command]))
    if any([process.wait() for process in started]):
        raise SystemExit("a torch could not write its files")


def read_back(pythons: list[Path], outcomes: list[Outcome], out: Path) -> dict[str, Counter[str]]:
    """Has each torch read what came back; returns how often what happened, by version."""
    jobs = [(outcome, job) for outcome in outcomes for job in outcome.jobs]
    file = out / "jobs.json"
    file.write_text(json.dumps([job for _, job in jobs]))
    command = ["-B", str(HERE / "read_back.py"), str(file)]
    started = [subprocess.Popen([str(p), *command], stdout=subprocess.PIPE) for p in pythons]
    with ThreadPoolExecutor(len(started)) as pool:
        outputs = list(pool.map(lambda process: process.communicate()[0], started))
    counts: dict[str, Counter[str]] = {}
    for output in outputs:
        said = json.loads(output.decode().splitlines()[-1])
        name, results = f"torch {version_of(said)}", said["results"]
        counts[name] = Counter(result["state"] for result in results)
        counts[name + " skipped"] = Counter(r["note"] for r in results if r["state"] == "skipped")
        for (outcome, job), result in zip(jobs, results, strict=True):
            if result["state"] == "different":
                outcome.problems.append(f"{name} reads {Path(job['back']).name}: {result['note']}")
    return counts


def report(outcomes: list[Outcome], counts: dict[str, Counter[str]]) -> int:
    """Prints what was found; returns how many files had problems."""
    kinds: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0, 0])
    for outcome in outcomes:
        row = kinds[version_of(outcome.facts), outcome.facts["name"]]
        row[0] += 1
        row[1] += bool(outcome.jobs)
        row[2] += bool(outcome.problems)
        if outcome.problems:
            print(f"FAIL {outcome.facts['path']}")
            for problem in outcome.problems:
                print(f"    {problem}")
    for (version, name), (files, converted, failed) in sorted(kinds.items()):
        print(f"torch {version:8} {name:22} {files:5} files, {converted:5} there and back, {failed:4} failed")
    for version, states in counts.items():
        if version.endswith(" skipped"):
            for reason, times in states.most_common(5):
                print(f"    {times:5} {reason}")
            continue
        print(f"read back by {version}: " + ", ".join(f"{n} {state}" for state, n in sorted(states.items())))
    failed = sum(bool(outcome.problems) for outcome in outcomes)
    print(f"{len(outcomes) - failed} files passed, {failed} failed")
    return failed


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="check the numpack command on files in every container")
    parser.add_argument("--numpack", type=Path, required=True, help="the numpack binary")
    parser.add_argument("--old-python", type=Path, help="a python with the oldest torch")
    parser.add_argument("--count", type=int, default=2000, help="how many files (default: 2000)")
    parser.add_argument("--seed", type=int, default=0, help="the first file's seed (default: 0)")
    parser.add_argument("--share", type=float, default=1.0, help="the part that is converted (default: all)")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="leave the files in a folder")
    parser.add_argument("--written", action="store_true", help="check the files that the folder has already")
    parser.add_argument("--show-refused", action="store_true", help="print what torch would not save")
    return parser.parse_args()


def run(arguments: argparse.Namespace, out: Path) -> int:
    """Writes, checks, reads back; returns how many files had problems."""
    pythons = [path for path in (arguments.old_python, Path(sys.executable)) if path]
    started = time.monotonic()

    def passed(what: str) -> None:
        print(f"{what}: {time.monotonic() - started:.0f} s", flush=True)

    if not arguments.written:
        write_files(pythons, arguments, out)
        passed("written")
    checker = Checker(Numpack(arguments.numpack), arguments.share)
    truths = sorted(out.rglob("*.truth.json"))
    with ThreadPoolExecutor(2) as pool:
        outcomes = list(pool.map(checker.check, truths))
    passed("read by numpack")
    counts = read_back(pythons, outcomes, out)
    passed("read back")
    return report(outcomes, counts) if outcomes else 1


def in_memory() -> str | None:
    """A folder in memory, where there is room: these checks are not about what a disk keeps."""
    memory = Path("/dev/shm")
    return str(memory) if memory.is_dir() and shutil.disk_usage(memory).free > 2 << 30 else None


def main() -> int:
    """Runs the checks; 1 if any failed."""
    sys.stdout.reconfigure(errors="backslashreplace")
    arguments = parse_arguments()
    if arguments.keep:
        return 1 if run(arguments, arguments.keep) else 0
    with tempfile.TemporaryDirectory(prefix="numpack-containers-", dir=in_memory()) as folder:
        return 1 if run(arguments, Path(folder)) else 0


if __name__ == "__main__":
    sys.exit(main())
