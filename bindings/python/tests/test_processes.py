"""Stores used by several threads and processes at once, by children, and by those that are killed."""

from __future__ import annotations

import gc
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from libnumpack.errors import StoreError
from libnumpack.store import LazyArray, NumPack

A = np.arange(3000, dtype="i8").reshape(1000, 3)


def opened(path: Path, **arrays: np.ndarray) -> NumPack:
    npk = NumPack(path / "s.npk")
    npk.open()
    if arrays:
        npk.save(arrays)
    return npk


def script(body: str, *arguments: object, heard: bool = False) -> subprocess.Popen:
    """A process that runs this; what it prints can be ``heard``."""
    start = "import sys, os, time\nimport numpy as np\nfrom libnumpack.store import NumPack\n"
    command = [sys.executable, "-c", start + body, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE if heard else None, text=True)


# -- threads


def test_threads_share_one_object(tmp_path):
    npk = opened(tmp_path, a=A)

    def work(thread: int) -> None:
        for i in range(8):
            npk.save({f"t{thread}": np.full((2, 2), i)})
            assert (npk.load(f"t{thread}") == i).all()
            npk.append({f"t{thread}": np.full((1, 2), i)})
            assert npk.getitem(f"t{thread}", [0, -1]).tolist() == [[i, i]] * 2
            assert np.array_equal(npk.getitem("a", [5, -1]), A[[5, -1]])

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(work, range(6)))
    assert len(npk.get_member_list()) == 7


def test_threads_append_to_one_array(tmp_path):
    opened(tmp_path, a=np.zeros(0, "i8"))

    def work(thread: int) -> None:
        with NumPack(tmp_path / "s.npk") as npk:
            for i in range(10):
                npk.append({"a": [thread * 100 + i]})

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    found = opened(tmp_path)["a"].tolist()
    assert sorted(found) == [t * 100 + i for t in range(4) for i in range(10)]
    for thread in range(4):
        assert [n for n in found if n // 100 == thread] == [thread * 100 + i for i in range(10)]


def test_another_thread_waits_for_batch_mode(tmp_path):
    npk = opened(tmp_path, a=A)
    started, order = threading.Event(), []

    def work() -> None:
        with NumPack(tmp_path / "s.npk") as other:
            started.set()
            other.append({"a": A[:1]})
            order.append("append")

    with npk.batch_mode():
        thread = threading.Thread(target=work)
        thread.start()
        started.wait()
        time.sleep(0.2)
        npk.save({"a": A[:10]})
        order.append("save")
    thread.join()
    assert order == ["save", "append"] and len(npk["a"]) == 11


def test_closing_while_others_read_does_no_harm(tmp_path):
    npk = opened(tmp_path, a=A)
    stop, wrong = threading.Event(), []

    def work() -> None:
        while not stop.is_set():
            try:
                if not np.array_equal(npk.getitem("a", [1, 2]), A[[1, 2]]) or not np.array_equal(
                    npk.load("a"), A
                ):
                    wrong.append("other rows")
            except RuntimeError as e:
                if "closed" not in str(e):
                    wrong.append(e)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for _ in range(200):
        npk.close()
        npk.open()
    stop.set()
    for thread in threads:
        thread.join()
    assert wrong == []


# -- processes


APPEND = """
with NumPack(sys.argv[1]) as npk:
    for i in range(int(sys.argv[3])):
        npk.append({"a": np.full((2, 3), int(sys.argv[2]) * 1000 + i)})
"""


def test_two_processes_append(tmp_path):
    npk = opened(tmp_path, a=np.zeros((0, 3), "i8"))
    workers = [script(APPEND, npk._filename, n, 25) for n in (1, 2)]
    while any(worker.poll() is None for worker in workers):
        found = npk["a"]
        assert len(found) % 2 == 0 and (found[:, :1] == found).all()
    assert [worker.wait() for worker in workers] == [0, 0]
    found = npk["a"][::2, 0]
    assert len(found) == 50
    for n in (1, 2):
        assert found[found // 1000 == n].tolist() == [n * 1000 + i for i in range(25)]


def test_a_change_of_another_process_is_seen_by_getitem(tmp_path):
    npk = opened(tmp_path, a=A)
    time.sleep(0.06)
    assert np.array_equal(npk.getitem("a", -1), A[-1:]) and "a" in npk._kept
    assert script(APPEND, npk._filename, 7, 1).wait() == 0
    assert npk.getitem("a", -1).tolist() == [[7000] * 3]
    assert script("NumPack(sys.argv[1], drop_if_exists=True).open()", npk._filename).wait() == 0
    with pytest.raises(KeyError):
        npk.getitem("a", -1)


def test_a_killed_writer_leaves_the_state_before(tmp_path):
    npk = opened(tmp_path, a=A)
    worker = script(
        """
npk = NumPack(sys.argv[1]); npk.open()
with npk.batch_mode(memory_limit=0):
    npk.save({"a": np.zeros(5), "b": np.zeros(100_000)})
    npk.append({"b": np.ones(3)})
    print("ready", flush=True)
    time.sleep(600)
""",
        npk._filename,
        heard=True,
    )
    with worker:
        assert worker.stdout.readline() == "ready\n"
        assert np.array_equal(npk["a"], A) and npk.get_member_list() == ["a"]
        worker.send_signal(signal.SIGKILL)
    assert np.array_equal(npk["a"], A) and npk.get_member_list() == ["a"]
    npk.append({"a": A[:1]})
    assert np.array_equal(npk["a"], np.concatenate([A, A[:1]]))


def test_a_killed_worker_leaves_whole_appends(tmp_path):
    npk = opened(tmp_path, a=np.zeros((0, 3), "i8"))
    for n in range(3):
        worker = script(APPEND, npk._filename, n, 100_000)
        before = len(npk["a"])
        while len(npk["a"]) < before + 6:
            assert worker.poll() is None
        worker.send_signal(signal.SIGKILL)
        worker.wait()
    found = npk["a"]
    assert len(found) % 2 == 0 and np.array_equal(found[::2], found[1::2])
    for n in range(3):
        ours = found[found[:, 0] // 1000 == n][::2, 0] if n else found[found[:, 0] < 1000][::2, 0]
        assert ours.tolist() == [n * 1000 + i for i in range(len(ours))]
    npk.append({"a": A[:1]})
    assert np.array_equal(npk["a"][-1], A[0])


def test_a_writer_that_exits_in_batch_mode_changes_nothing(tmp_path):
    npk = opened(tmp_path, a=A)
    worker = script(
        """
npk = NumPack(sys.argv[1]); npk.open()
mode = npk.batch_mode(); mode.__enter__()
npk.append({"a": np.zeros((5, 3), "i8")})
""",
        npk._filename,
    )
    assert worker.wait() == 0
    assert np.array_equal(npk["a"], A)
    npk.append({"a": A[:1]})


# -- children


needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")


def in_child(function) -> str:
    """What a function says in a forked child."""
    read, write = os.pipe()
    child = os.fork()
    if not child:
        try:
            said = str(function())
        except BaseException as e:
            said = f"{type(e).__name__}: {e}"
        os.write(write, said.encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as pipe:
        said = pipe.read()
    os.waitpid(child, 0)
    return said


@needs_fork
def test_a_forked_child_reads_and_opens_again_to_write(tmp_path):
    npk = opened(tmp_path, a=A)
    lazy, shared = npk.load("a", lazy=True), np.asarray(npk.load("a", lazy=True))
    time.sleep(0.06)
    npk.getitem("a", 0)

    def reads():
        gc.collect()
        return [
            np.array_equal(npk["a"], A),
            np.array_equal(npk.getitem("a", [0, -1]), A[[0, -1]]),
            np.array_equal(lazy[3:9], A[3:9]),
            np.array_equal(shared, A),
            npk.get_member_list(),
        ]

    assert in_child(reads) == "[True, True, True, True, ['a']]"
    for change in (
        lambda: npk.save({"b": A}),
        lambda: npk.append({"a": A}),
        lambda: npk.drop("a"),
        lambda: npk.reset(),
        lambda: npk.batch_mode().__enter__(),
        lambda: npk.writable_batch_mode().__enter__().load("a"),
    ):
        said = in_child(change)
        assert said.startswith("StoreError") and "open" in said.lower(), said

    def writes():
        npk.close()
        npk.open()
        npk.append({"a": A[:1]})
        return len(npk["a"])

    assert in_child(writes) == "1001"
    assert len(npk["a"]) == 1001
    npk.append({"a": A[:1]})


@needs_fork
def test_a_child_of_batch_mode_ends_nothing(tmp_path):
    npk = opened(tmp_path, a=A)
    with npk.batch_mode():
        npk.save({"b": np.arange(3)})

        def leave():
            npk._batch.__exit__(None, None, None)

        assert in_child(leave).startswith("StoreError")
        assert in_child(lambda: npk._batch.__exit__(ValueError, ValueError(), None)) == "None"
        npk.append({"b": [3]})
    assert npk["b"].tolist() == [0, 1, 2, 3] and np.array_equal(npk["a"], A)


def total(lazy: LazyArray) -> int:
    return int(lazy[::2].sum())


@pytest.mark.parametrize(
    "method", [m for m in ("fork", "spawn") if m in multiprocessing.get_all_start_methods()]
)
def test_lazy_arrays_go_to_workers(tmp_path, method):
    npk = opened(tmp_path, a=A)
    npk.drop("a", 0)
    lazy = npk.load("a", lazy=True)
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context(method)) as pool:
        assert list(pool.map(total, [lazy] * 4)) == [int(A[1:][::2].sum())] * 4


def test_a_lazy_array_is_opened_anew_in_another_process(tmp_path):
    npk = opened(tmp_path, a=A)
    (tmp_path / "lazy").write_bytes(pickle.dumps(npk.load("a", lazy=True)))
    worker = script(
        "import pickle\nprint(int(pickle.load(open(sys.argv[1], 'rb'))[[1, -1]].sum()))",
        tmp_path / "lazy",
        heard=True,
    )
    assert worker.communicate()[0] == f"{A[[1, -1]].sum()}\n"


# -- what is no longer referred to


def test_arrays_outlive_what_they_came_from(tmp_path):
    def make() -> tuple:
        npk = opened(tmp_path, a=A)
        return (
            npk["a"],
            npk.load("a", lazy=True),
            np.asarray(npk.load("a", lazy=True)),
            npk.stream_load("a", 400),
        )

    loaded, lazy, shared, stream = make()
    gc.collect()
    opened(tmp_path).reset()
    gc.collect()
    assert np.array_equal(loaded, A) and np.array_equal(lazy[:], A) and np.array_equal(shared, A)
    assert np.array_equal(np.concatenate(list(stream)), A)


def test_files_are_closed(tmp_path):
    def count() -> int:
        return len(os.listdir("/proc/self/fd"))

    opened(tmp_path, a=A, b=A).close()
    gc.collect()
    before = count()
    for _ in range(5):
        npk = opened(tmp_path)
        npk.load("a")
        lazy = npk.load("a", lazy=True)
        np.asarray(lazy)[0].sum()
        npk.getitem("b", 0)
        npk.drop("b", 0)
        npk.getitem("b", 0)
        with npk.writable_batch_mode() as mode:
            mode.load("a")[0] = 1
        with npk.batch_mode():
            npk.append({"b": A[:1]})
        npk.close()
        del npk, lazy, mode
    gc.collect()
    assert count() == before


def test_leaving_the_interpreter_while_arrays_are_used(tmp_path):
    npk = opened(tmp_path, a=np.arange(2_000_000))
    worker = script(
        """
import threading
npk = NumPack(sys.argv[1]); npk.open()
shared = np.asarray(npk.load("a", lazy=True))
mode = npk.writable_batch_mode().__enter__()
mine = mode.load("a")
def work():
    while True:
        shared.sum(); mine.sum()
threading.Thread(target=work, daemon=True).start()
time.sleep(0.2)
""",
        npk._filename,
    )
    assert worker.wait() == 0


def test_a_store_error_says_what_to_do(tmp_path):
    npk = opened(tmp_path, a=A)
    with npk.batch_mode():
        with pytest.raises(StoreError, match="leave it first"):
            NumPack(tmp_path / "s.npk").__enter__().reset()
