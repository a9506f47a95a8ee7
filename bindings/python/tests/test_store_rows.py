"""Rows: chosen, appended, replaced and dropped, compared with NumPy; with all that the public package gets
wrong."""

from __future__ import annotations

import itertools
import random
from pathlib import Path

import numpy as np
import pytest

from libnumpack.errors import FormatError, StoreError
from libnumpack.store import NumPack

ROWS = 200


@pytest.fixture
def npk(tmp_path: Path):
    with NumPack(tmp_path / "s.npk") as opened:
        yield opened


def numbers(rows: int = ROWS, columns: int = 3, dtype: str = "f4") -> np.ndarray:
    return np.arange(rows * columns, dtype=dtype).reshape(rows, columns)


CHOICES = {
    "one": 5,
    "the last": -1,
    "a number of numpy": np.int32(7),
    "0-d": np.array(4),
    "list": [3, 1, 2],
    "tuple": (0, 199),
    "negative": [-1, -200, 0],
    "array": np.array([150, 2, 77]),
    "unsigned": np.array([3, 9], "u8"),
    "small integers": np.array([3, -9], "i1"),
    "strided": np.arange(100)[::-7],
    "nothing": [],
    "no numbers": np.array([], dtype="i8"),
    "slice": slice(10, 20),
    "open slice": slice(None),
    "step": slice(3, 190, 17),
    "backwards": slice(None, None, -1),
    "backwards by 3": slice(-5, 8, -3),
    "past the end": slice(190, 1000),
    "from before the start": slice(-1000, 4),
    "far": slice(-(10**30), 10**30),
    "empty slice": slice(20, 10),
    "mask": np.arange(ROWS) % 7 == 0,
    "mask as a list": [i % 9 == 0 for i in range(ROWS)],
    "no row of a mask": np.zeros(ROWS, bool),
}


def numbers_of(choice) -> np.ndarray:
    """The rows that a choice names, by NumPy."""
    if isinstance(choice, slice):
        return np.arange(ROWS)[choice]
    found = np.atleast_1d(np.asarray(choice))
    return np.arange(ROWS)[found if found.size else found.astype(int)]


@pytest.mark.parametrize("dropped", [False, True], ids=["all there", "some dropped"])
@pytest.mark.parametrize("choice", CHOICES.values(), ids=CHOICES)
def test_getitem(npk, choice, dropped):
    a = numbers()
    if dropped:
        npk.save({"a": np.insert(a, [0, 64, 64, 200], -1, axis=0)})
        npk.drop("a", [0, 65, 66, 203])
    else:
        npk.save({"a": a})
    for _ in range(2):
        found = npk.getitem("a", choice)
        expected = a[numbers_of(choice)]
        assert found.dtype == a.dtype and found.shape == expected.shape
        assert np.array_equal(found, expected)
    found[...] = 0
    assert np.array_equal(npk.load("a"), a)


@pytest.mark.parametrize("choice", CHOICES.values(), ids=CHOICES)
@pytest.mark.parametrize("prepared", ["all there", "some dropped", "batch_mode"])
def test_replace(npk, choice, prepared):
    a = numbers()
    npk.save({"a": np.concatenate([a, a[:1]])})
    if prepared == "some dropped":
        npk.drop("a", -1)
    else:
        npk.save({"a": a})
    expected = a.copy()
    new = -numbers(len(numbers_of(choice))) - 1
    expected[numbers_of(choice)] = new
    if prepared == "batch_mode":
        with npk.batch_mode():
            npk.replace({"a": new}, choice)
            assert np.array_equal(npk.load("a"), expected)
    else:
        npk.replace({"a": new}, choice)
    assert np.array_equal(npk.load("a"), expected)


@pytest.mark.parametrize("choice", CHOICES.values(), ids=CHOICES)
@pytest.mark.parametrize("prepared", ["all there", "some dropped", "batch_mode"])
def test_drop(npk, choice, prepared):
    a = numbers()
    npk.save({"a": np.concatenate([a, a[:1]])})
    if prepared == "some dropped":
        npk.drop("a", -1)
    else:
        npk.save({"a": a})
    expected = np.delete(a, numbers_of(choice), axis=0)
    if prepared == "batch_mode":
        with npk.batch_mode():
            npk.drop("a", choice)
            assert np.array_equal(npk.load("a"), expected)
    else:
        npk.drop("a", choice)
    assert np.array_equal(npk.load("a"), expected)
    assert np.array_equal(npk.load("a", lazy=True)[:], expected)
    assert npk.get_shape("a") == expected.shape
    npk.append({"a": a[:2]})
    assert np.array_equal(npk.load("a"), np.concatenate([expected, a[:2]]))


@pytest.mark.parametrize(
    "choice",
    [
        ROWS,
        -ROWS - 1,
        [0, ROWS],
        np.array([-ROWS - 1]),
        np.array([2**63], "u8"),
        10**30,
        np.zeros(ROWS + 1, bool),
        np.zeros(3, bool),
        [True, False],
    ],
    ids=str,
)
@pytest.mark.parametrize("dropped", [False, True], ids=["all there", "some dropped"])
def test_rows_that_are_not_there(npk, choice, dropped):
    a = numbers(ROWS + dropped)
    npk.save({"a": a})
    if dropped:
        npk.drop("a", 0)
    before = npk.load("a")
    count = (
        1
        if np.ndim(choice) == 0
        else int(np.sum(choice))
        if np.asarray(choice).dtype == bool
        else len(choice)
    )
    for call in (
        lambda: npk.getitem("a", choice),
        lambda: npk.replace({"a": numbers(count)}, choice),
        lambda: npk.drop("a", choice),
    ):
        with pytest.raises((IndexError, OverflowError)):
            call()
    assert np.array_equal(npk.load("a"), before)


@pytest.mark.parametrize("choice", ["1", {1: 2}, None, object(), [[1, 2]], np.zeros((2, 2), int)], ids=str)
def test_what_names_no_rows(npk, choice):
    npk.save({"a": numbers()})
    for call in (lambda: npk.getitem("a", choice), lambda: npk.replace({"a": numbers(1)}, choice)):
        with pytest.raises((ValueError, IndexError)):
            call()
    for choice in ([1.5], np.array([0.0]), slice(0, 5, 0)):
        for call in (lambda: npk.getitem("a", choice), lambda: npk.drop("a", choice)):
            with pytest.raises((ValueError, IndexError)):
                call()
    assert len(npk["a"]) == ROWS


def test_rows_that_do_not_fit(npk):
    npk.save({"a": numbers(), "b": np.arange(4), "z": np.array(1.0)})
    for rows, error in (
        (numbers(2, 4), ValueError),
        (numbers(2, 3, "f8"), TypeError),
        (np.ones((1, 1, 3), "f4"), ValueError),
        (np.float32(3), ValueError),
        (np.array(["x"]), TypeError),
    ):
        with pytest.raises(error):
            npk.append({"a": rows})
        with pytest.raises(error):
            npk.replace({"a": rows}, [0, 1])
    for rows in (numbers(1), numbers(3)):
        with pytest.raises(ValueError):
            npk.replace({"a": rows}, [0, 1])
        with pytest.raises(ValueError):
            npk.replace({"a": rows}, slice(0, 2))
    with pytest.raises(ValueError):
        npk.append({"z": np.array([1.0])})
    with pytest.raises((ValueError, IndexError)):
        npk.getitem("z", 0)
    with pytest.raises(ValueError, match="arrays must be a dictionary"):
        npk.replace(numbers(1), 0)
    with pytest.raises(ValueError, match="arrays must be a dictionary"):
        npk.append(numbers(1))
    assert np.array_equal(npk["a"], numbers())


def test_one_row_and_plain_numbers_fit(npk):
    npk.save({"a": numbers(2), "b": np.arange(3, dtype="i2")})
    npk.append({"a": [1, 2, 3], "b": 7})
    npk.append({"a": [[4, 5, 6], [7, 8, 9]], "b": [8, 9]})
    npk.replace({"a": [0, 0, 0]}, 0)
    npk.replace({"b": 5}, -1)
    assert npk["a"].tolist() == [[0, 0, 0], [3, 4, 5], [1, 2, 3], [4, 5, 6], [7, 8, 9]]
    assert npk["b"].tolist() == [0, 1, 2, 7, 8, 5] and npk["b"].dtype == np.int16


def test_several_arrays_change_all_or_none(npk):
    npk.save({"a": numbers(5), "b": numbers(3)})
    with pytest.raises(ValueError):
        npk.append({"a": numbers(1), "b": numbers(1, 2)})
    with pytest.raises(IndexError):
        npk.replace({"a": -numbers(1), "b": -numbers(1)}, 4)
    with pytest.raises(IndexError):
        npk.drop(["a", "b"], 4)
    with pytest.raises(KeyError):
        npk.append({"a": numbers(1), "c": numbers(1)})
    assert np.array_equal(npk["a"], numbers(5)) and np.array_equal(npk["b"], numbers(3))
    npk.append({"a": numbers(1), "b": numbers(1)})
    npk.replace({"a": -numbers(1), "b": -numbers(1)}, 3)
    npk.drop(["a", "b"], [0])
    assert len(npk["a"]) == 5 and len(npk["b"]) == 3
    assert (npk["a"][2] == -numbers(1)[0]).all() and (npk["b"][2] == -numbers(1)[0]).all()


# -- what the public package gets wrong


def test_scattered_rows_are_replaced_where_they_are(npk):
    a = numbers(1000)
    npk.save({"a": a})
    rows = [999, 3, 500, 64, 63]
    new = -numbers(5)
    npk.replace({"a": new}, rows)
    a[rows] = new
    assert np.array_equal(npk["a"], a)


def test_dropped_rows_do_not_come_back_by_an_append(npk):
    npk.save({"a": numbers(64)})
    npk.drop("a", [10, 63])
    npk.append({"a": numbers(3)})
    assert np.array_equal(npk["a"], np.concatenate([np.delete(numbers(64), [10, 63], 0), numbers(3)]))
    npk.drop("a", slice(None))
    assert npk.get_shape("a") == (0, 3)
    npk.append({"a": numbers(1)})
    assert np.array_equal(npk["a"], numbers(1))


def test_a_lazy_array_shows_no_dropped_rows(npk):
    npk.save({"a": numbers()})
    npk.drop("a", slice(0, 100, 2))
    a = np.delete(numbers(), np.arange(0, 100, 2), 0)
    lazy = npk.load("a", lazy=True)
    assert len(lazy) == len(a)
    assert (
        np.array_equal(lazy[:], a)
        and np.array_equal(lazy[3:70], a[3:70])
        and np.array_equal(np.asarray(lazy), a)
    )
    assert [row.tolist() for row in lazy] == a.tolist()


def test_what_was_saved_is_there_without_close(tmp_path):
    npk = NumPack(tmp_path / "s.npk")
    npk.open()
    npk.save({"a": numbers(3)})
    assert np.array_equal(NumPack(tmp_path / "s.npk").__enter__()["a"], numbers(3))
    npk.append({"a": numbers(2)})
    assert len(NumPack(tmp_path / "s.npk").__enter__()["a"]) == 5
    npk.save({"a": numbers(3, 2, "i8")})
    assert np.array_equal(NumPack(tmp_path / "s.npk").__enter__()["a"], numbers(3, 2, "i8"))


def test_a_reader_that_closes_later_changes_nothing(tmp_path):
    with NumPack(tmp_path / "s.npk") as npk:
        npk.save({"a": numbers(3)})
    reader, writer = NumPack(tmp_path / "s.npk"), NumPack(tmp_path / "s.npk")
    reader.open()
    assert reader.get_member_list() == ["a"]
    with writer:
        writer.save({"b": numbers(2)})
    reader.load("a")
    reader.close()
    assert sorted(NumPack(tmp_path / "s.npk").__enter__()) == ["a", "b"]


def test_writers_take_turns(tmp_path):
    one, two = NumPack(tmp_path / "s.npk"), NumPack(tmp_path / "s.npk")
    one.open(), two.open()
    one.save({"a": np.zeros(0, "i8")})
    for i in range(10):
        (one, two)[i % 2].append({"a": [i]})
    assert one["a"].tolist() == two["a"].tolist() == list(range(10))


def test_a_damaged_store_is_refused_and_left_alone(tmp_path):
    with NumPack(tmp_path / "s.npk") as npk:
        npk.save({"a": numbers(3)})
    metadata = tmp_path / "s.npk" / "metadata.npkm"
    good = metadata.read_bytes()
    for bad in (good[:-1], good + b"\0", b"XXXX" + good[4:], good[:4] + b"\x63" + good[5:], b""):
        metadata.write_bytes(bad)
        with pytest.raises((FormatError, OSError)):
            with NumPack(tmp_path / "s.npk") as npk:
                npk.save({"b": numbers(1)})
        assert metadata.read_bytes() == bad
    metadata.write_bytes(good)
    data = tmp_path / "s.npk" / "data_a.npkd"
    data.write_bytes(data.read_bytes()[:-1])
    with NumPack(tmp_path / "s.npk") as npk:
        for call in (lambda: npk.load("a"), lambda: npk.load("a", lazy=True), lambda: npk.getitem("a", 0)):
            with pytest.raises((FormatError, StoreError)):
                call()


def test_no_bitmap_is_left_for_a_new_array(npk):
    npk.save({"a": numbers()})
    npk.drop("a", slice(0, 100))
    npk.save({"a": numbers()})
    assert np.array_equal(npk["a"], numbers())
    npk.drop("a", 0)
    npk.drop("a")
    npk.save({"a": numbers(7)})
    assert np.array_equal(npk["a"], numbers(7))


# -- rows that are held open for getitem


def test_getitem_sees_every_change_at_once(tmp_path):
    one, two = NumPack(tmp_path / "s.npk"), NumPack(tmp_path / "s.npk")
    one.open(), two.open()
    a = numbers()
    one.save({"a": a})
    for i, changed in enumerate([one, two] * 10):
        assert np.array_equal(one.getitem("a", [0, -1]), a[[0, -1]])
        assert np.array_equal(two.getitem("a", [0, -1]), a[[0, -1]])
        what = i % 5
        if what == 0:
            changed.append({"a": numbers(1) + i})
            a = np.concatenate([a, numbers(1) + i])
        elif what == 1:
            changed.drop("a", 0)
            a = a[1:]
        elif what == 2:
            changed.replace({"a": numbers(1) - i}, -1)
            a = np.concatenate([a[:-1], numbers(1) - i])
        elif what == 3:
            changed.update("a")
        else:
            a = a + 1
            changed.save({"a": a})


def test_getitem_holds_few_arrays_open(npk):
    npk.save({f"a{i}": numbers(3) + i for i in range(200)})
    settle(npk)
    for i in range(200):
        assert npk.getitem(f"a{i}", 0)[0, 0] == i
    assert 0 < len(npk._kept) <= 64


def test_getitem_uses_what_it_holds(npk):
    npk.save({"a": numbers(3)})
    settle(npk)
    npk.getitem("a", 0)
    kept = npk._kept["a"][0]
    npk.getitem("a", 1)
    assert npk._kept["a"][0] is kept
    npk.append({"a": numbers(1)})
    assert len(npk.getitem("a", slice(None))) == 4
    assert npk._kept.get("a", (None,))[0] is not kept


def settle(npk: NumPack) -> None:
    import time

    time.sleep(0.06)
    npk.get_member_list()


# -- any order of changes


@pytest.mark.parametrize("seed", range(12))
def test_any_changes_are_numpys(npk, seed):
    chance = random.Random(seed)
    columns = chance.choice([1, 3, 17])
    dtype = chance.choice(["f4", "i8", "u1", "c16"])
    model = numbers(chance.choice([0, 1, 63, 64, 65, 300]), columns, dtype)
    npk.save({"a": model})
    counter = itertools.count(1000)
    for _ in range(40):
        total = len(model)
        some = sorted(chance.sample(range(total), min(total, chance.choice([0, 1, 2, 50])))) if total else []
        chance.shuffle(some)
        what = chance.choice(["append", "append", "replace", "drop", "update", "save", "reopen", "slice"])
        new = lambda n: (numbers(n, columns, "i8") + next(counter)).astype(dtype)  # noqa: E731
        if what == "append":
            rows = new(chance.choice([0, 1, 5, 70]))
            npk.append({"a": rows})
            model = np.concatenate([model, rows])
        elif what == "replace":
            rows = new(len(some))
            npk.replace({"a": rows}, some)
            model = model.copy()
            model[np.array(some, int)] = rows
        elif what == "drop":
            npk.drop("a", some)
            model = np.delete(model, np.array(some, int), 0)
        elif what == "slice":
            cut = slice(chance.randrange(-total - 2, total + 2), None, chance.choice([-7, -1, 2, 5]))
            npk.drop("a", cut)
            model = np.delete(model, np.arange(total)[cut], 0)
        elif what == "update":
            npk.update("a")
        elif what == "save" and chance.random() < 0.2:
            model = new(chance.choice([3, 100]))
            npk.save({"a": model})
        elif what == "reopen":
            npk.close()
            npk.open()
        assert npk.get_shape("a") == model.shape
        assert np.array_equal(npk["a"], model)
        index = np.array(
            [chance.randrange(-len(model), len(model)) for _ in range(9)] if len(model) else [], int
        )
        assert np.array_equal(npk.getitem("a", index), model[index])
        assert np.array_equal(npk.load("a", lazy=True)[1:-1:3], model[1:-1:3])
