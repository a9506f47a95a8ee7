"""Prints a line for each value and protocol: version, protocol, pickle in hex, and what we print.

Run by Python 2.7, 3.6 and newer ones; ``pickles.txt`` has the lines of several. What is expected is
put together from Python's own ``repr`` and ``str``.
"""

from __future__ import print_function

import argparse
import binascii
import collections
import datetime
import decimal
import fractions
import pickle
import sys
import types
import uuid

PY2 = sys.version_info[0] == 2


class Plain(object):
    """An instance with attributes."""


class Slots(object):
    """An instance without a dict; protocols 0 and 1 refuse it."""

    __slots__ = ("a", "b")


class Both(Slots):
    """An instance with both."""


class Words(list):
    """A list with a name."""


class Table(dict):
    """A dict with a name."""


Point = collections.namedtuple("Point", "x y")


def made(cls, **attributes):
    """An instance with these attributes."""
    value = cls()
    for name, attribute in attributes.items():
        setattr(value, name, attribute)
    return value


def cases():
    """Values, and what is printed of each."""
    when = datetime.datetime(2024, 5, 1, 12, 30, 0, 250)
    yield when, "datetime %s" % when
    # All bytes of the state are ASCII, or they are no UTF-8: either way Python 2 writes a string.
    when = datetime.datetime(2000, 1, 2, 3, 4, 5, 200000)
    yield when, "datetime %s" % when
    yield datetime.date(9999, 12, 31), "date 9999-12-31"
    yield datetime.time(23, 59, 59), "time 23:59:59"
    yield datetime.timedelta(-1, 5, 7), "timedelta -1 day, 0:00:05.000007"
    yield datetime.timedelta(2), "timedelta 2 days, 0:00:00"
    for text in ["1.50", "-0", "1E+100", "NaN", "Infinity"]:
        yield decimal.Decimal(text), repr(decimal.Decimal(text))
    for value in [fractions.Fraction(-1, 3), fractions.Fraction(4), uuid.UUID(int=5)]:
        yield value, repr(value)
    value = uuid.UUID("ffffffff-1234-5678-9abc-def012345678")
    yield value, repr(value)
    for value in [complex(1, 2), complex(0.0, -1.5), complex(-0.0, 1), complex(float("nan"), 1e300)]:
        yield value, repr(value)
    for value in [1.0, 1e16, 1e-5, 0.1, 2**70, -(2**63), None, True, (1, (2.5, None)), [0.9], [], {}, ()]:
        yield value, repr(value).replace("L", "")
    yield argparse.Namespace(lr=0.1), "argparse.Namespace\n  lr: 0.1"
    yield made(Plain, a=1), "__main__.Plain\n  a: 1"
    words = Words([1, "x"])
    words.note = None
    # Protocols 0 and 1 build it by its base, the others fill it; it is the same either way.
    yield words, "__main__.Words\n  note: None\n  0: 1\n  1: 'x'"
    yield Table(a=1), "__main__.Table\n  a: 1"
    yield Point(1, "y"), "__main__.Point(1, 'y')"
    yield Point(1, [[2]]), "__main__.Point of 2\n  0: 1\n  1: list of 1\n    0: [2]"
    table = collections.defaultdict(list)
    table["k"].append(1)
    yield table, "collections.defaultdict of %s.list\n  k: [1]" % "builtins"
    yield collections.deque([1, 2], 3), "collections.deque of 2, maxlen=3\n  0: 1\n  1: 2"
    yield collections.deque(), "collections.deque of 0"
    yield collections.Counter("aa"), "collections.Counter\n  a: 2"
    ordered = collections.OrderedDict([("a", 1)])
    yield ordered, "OrderedDict\n  a: 1"
    yield len, "builtins.len"
    text = u"\u00e9\u540d\U0001f600 it's\n\x1b[31m"
    yield text, u"\"\u00e9\u540d\U0001f600 it's\\n\\x1b[31m\""
    if PY2:
        yield xrange(2, 9), "range(2, 9)"  # noqa: F821
        return
    yield range(2, 9, 3), "range(2, 9, 3)"
    yield range(2**70, 2**71), repr(range(2**70, 2**71))
    yield b"a'\x00\xff", repr(b"a'\x00\xff")
    yield bytearray(b"ab"), repr(bytearray(b"ab"))
    yield {1}, "{1}"
    yield frozenset([(1, "x")]), "frozenset({(1, 'x')})"
    yield Ellipsis, "builtins.Ellipsis"
    yield types.SimpleNamespace(a=[1], b={}), "types.SimpleNamespace\n  a: [1]\n  b: {}"
    if sys.version_info >= (3, 11):
        yield slice(None, 3), repr(slice(None, 3))
    yield made(Slots, a=1, b="x"), {2: "__main__.Slots\n  a: 1\n  b: 'x'"}
    yield made(Both, a=1, c=2), {2: "__main__.Both\n  c: 2\n  a: 1"}
    when = datetime.datetime(2024, 10, 27, 2, 30, fold=1)
    yield when, {0: "datetime %s" % when, 4: "datetime %s fold=1" % when}
    for zone in [datetime.timezone.utc, datetime.timezone(datetime.timedelta(hours=-1, minutes=-30)),
                 datetime.timezone(datetime.timedelta(0, 7200), "MESZ")]:
        yield zone, "timezone %s" % zone
        when = datetime.datetime(1, 1, 2, 3, 4, 5, 6, zone)
        yield when, "datetime %s" % when
        yield when.timetz(), "time %s" % when.timetz()
    for case in cases_of_python_3():
        yield case


def cases_of_python_3():
    """What needs modules that Python 2 lacks."""
    import enum
    import functools
    import pathlib

    global Color, Flag
    Color = enum.Enum("Color", "RED GREEN", module=__name__)
    Flag = enum.IntFlag("Flag", "A B", module=__name__)
    Color.__qualname__, Flag.__qualname__ = "Color", "Flag"
    yield Color.GREEN, "__main__.Color(2)"
    if sys.version_info >= (3, 8):
        yield Flag.A | Flag.B, "__main__.Flag(3)"
    for path in [pathlib.PurePosixPath("/a/b"), pathlib.PurePosixPath("//x/./y"), pathlib.PurePath("."),
                 pathlib.PureWindowsPath("C:/a", "b c"), pathlib.PureWindowsPath(r"\\host\share\x"),
                 pathlib.Path("runs") / "it's"]:
        yield path, repr(path)
    yield functools.partial(int, "ff", base=16), \
        "functools.partial of builtins.int\n  0: 'ff'\n  base: 16"
    if sys.version_info >= (3, 9):
        import zoneinfo

        zone = zoneinfo.ZoneInfo("UTC")
        yield zone, "zoneinfo UTC"
        yield datetime.datetime(2024, 1, 1, tzinfo=zone), "datetime 2024-01-01 00:00:00 UTC"


def main():
    """Prints the lines of this Python."""
    version = "%d.%d" % sys.version_info[:2]
    for value, expected in cases():
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
            wanted = expected
            if isinstance(expected, dict):
                fitting = [p for p in expected if p <= protocol]
                if not fitting:
                    continue
                wanted = expected[max(fitting)]
            data = binascii.hexlify(pickle.dumps(value, protocol)).decode("ascii")
            shown = wanted if not isinstance(wanted, bytes) else wanted.decode("ascii")
            escaped = shown.encode("utf-8").replace(b"\\", b"\\\\").replace(b"\n", b"\\n")
            line = ("%s\t%d\t%s\t" % (version, protocol, data)).encode("ascii") + escaped + b"\n"
            getattr(sys.stdout, "buffer", sys.stdout).write(line)


main()
