"""Times of the Python package and of what it is compared with, for `benches/src/rows/python.rs`.

Called with the folder that the package is installed in, and what to do: `imports` and `memory` print a line and end;
`serve` says the versions, then answers each line, whose words are parted by tabs, with nanoseconds.
"""

import os
import sys
import time

sys.path.insert(0, sys.argv[1])


def imports():
    """How long it takes to import the package where numpy is imported already, and to import numpy."""
    start = time.perf_counter_ns()
    import numpy  # noqa: F401

    between = time.perf_counter_ns()
    import libnumpack  # noqa: F401

    print(time.perf_counter_ns() - between, between - start)


def status(field):
    """Bytes, from the system's account of this process."""
    with open("/proc/self/status", encoding="ascii") as lines:
        found = next(line for line in lines if line.startswith(field + ":"))
    return int(found.split()[1]) << 10


def memory(path):
    """By how much memory grows at most while a tensor of 256 MiB is written, and one of some bytes before."""
    import torch
    from libnumpack.io import from_torch

    from_torch(torch.zeros(8), path, "first")
    tensor = torch.ones(64 << 20)
    start = status("VmRSS")
    from_torch(tensor, path, "data")
    print(max(0, status("VmHWM") - start))


def repeat(function, times):
    start = time.perf_counter_ns()
    for _ in range(times):
        function()
    return time.perf_counter_ns() - start


class Calls:
    """Single calls, of ours and of numpy's, as often as is asked for."""

    def __init__(self):
        import libnumpack
        import numpy

        array = numpy.arange(60, dtype="float32").reshape(6, 10)
        tensor = libnumpack.from_numpy(array)
        scalars = [libnumpack.tensor(1.5), libnumpack.tensor(2.5)]
        numbers = [numpy.array(1.5, "float32"), numpy.array(2.5, "float32")]
        self.of = {
            "shape": (lambda: tensor.shape, lambda: array.shape),
            "index": (lambda: tensor[3], lambda: array[3]),
            "add": (lambda: scalars[0] + scalars[1], lambda: numbers[0] + numbers[1]),
        }

    def time(self, what, whose, times):
        return repeat(self.of[what][whose == "theirs"], int(times))


def rows_of(way, whose, path, n, times):
    """Random rows of the array `a`, or one row after the other where `n` is 1; new ones each time."""
    import libnumpack
    import numpy

    n, times = int(n), int(times)
    with libnumpack.NumPack(path) as store:
        lazy = store.load("a", lazy=True)
        rows = lazy.shape[0]
        if whose == "theirs":
            array = numpy.memmap(os.path.join(path, "data_a.npkd"), lazy.dtype, "r", shape=lazy.shape)
            pick = array.__getitem__
        elif way == "lazy":
            pick = lazy.__getitem__
        else:
            def pick(index):
                return store.getitem("a", index)
        if n == 1:
            picks = [i % rows for i in range(times)]
        else:
            picks = list(numpy.random.default_rng().integers(0, rows, (times, n)))
        pick(picks[0])
        start = time.perf_counter_ns()
        for index in picks:
            pick(index)
        return time.perf_counter_ns() - start


def load(whose, path):
    if whose == "ours":
        import libnumpack

        def found():
            return libnumpack.load(path, mmap=True)
    else:
        import torch

        def found():
            return torch.load(path, mmap=True, weights_only=True)
    start = time.perf_counter_ns()
    state = found()
    took = time.perf_counter_ns() - start
    del state
    return took


class Writes:
    """One tensor into a new store, or as one write into a new file."""

    def __init__(self):
        self.tensor = None

    def time(self, whose, path, size, sync):
        import torch
        from libnumpack.io import from_torch

        n = int(size) // 4
        if self.tensor is None or self.tensor.numel() != n:
            self.tensor = torch.arange(n, dtype=torch.float32).reshape(-1, 8)
        if whose == "ours":
            start = time.perf_counter_ns()
            from_torch(self.tensor, path)
            return time.perf_counter_ns() - start
        left = memoryview(self.tensor.numpy()).cast("B")
        start = time.perf_counter_ns()
        with open(path, "xb", buffering=0) as file:
            while left:
                left = left[file.write(left):]
            if sync == "sync":
                os.fsync(file.fileno())
        return time.perf_counter_ns() - start


def serve():
    import importlib.metadata
    import importlib.util

    import numpy

    says = f"libnumpack {importlib.metadata.version('libnumpack')}, numpy {numpy.__version__}"
    if importlib.util.find_spec("torch"):
        says += f", torch {importlib.metadata.version('torch')}"
    print(says, flush=True)
    answers = {"call": Calls().time, "rows": rows_of, "load": load, "write": Writes().time}
    for line in sys.stdin:
        word, *arguments = line.rstrip("\n").split("\t")
        print(answers[word](*arguments), flush=True)


{"imports": imports, "memory": memory, "serve": serve}[sys.argv[2]](*sys.argv[3:])
