"""`NumPack.batch_mode` and `NumPack.writable_batch_mode`."""

from __future__ import annotations

import gc
from pathlib import Path

import numpy as np
import pytest
from test_store import PLAIN, same, some

from libnumpack.errors import StoreError
from libnumpack.store import NumPack


@pytest.fixture
def npk(tmp_path: Path):
    with NumPack(tmp_path / "s.npk") as opened:
        yield opened


# -- many changes in one commit


def test_batch_mode_is_one_commit(npk, tmp_path):
    npk.save({"a": np.ones((2, 3)), "gone": np.zeros(1)})
    other = NumPack(tmp_path / "s.npk").__enter__()
    with npk.batch_mode():
        a = npk.load("a")
        assert npk.load("a") is a
        a *= 2
        npk.save({"a": a, "b": np.arange(4)})
        npk.append({"b": [4, 5]})
        npk.replace({"b": [9]}, 0)
        npk.drop("b", 1)
        npk.drop("gone")
        npk.clone("b", "c")
        npk.rename("c", "d")
        npk.save({"z": np.array(3.0)})
        assert npk.get_member_list() == ["a", "b", "d", "z"]
        assert npk.get_shape("b") == (5,) and npk.get_shape("z") == ()
        assert npk["b"].tolist() == [9, 2, 3, 4, 5] and npk["z"] == 3.0
        assert npk.getitem("b", [0, -1]).tolist() == [9, 5]
        assert npk.load("b", lazy=True)[1:3].tolist() == [2, 3]
        assert [p.tolist() for p in npk.stream_load("b", 3)] == [[9, 2, 3], [4, 5]]
        assert npk.get_metadata()["arrays"]["b"]["shape"] == [5]
        assert npk.has_array("b") and not npk.has_array("gone") and npk.get_modify_time("gone") is None
        assert other.get_member_list() == ["a", "gone"] and (other["a"] == 1).all()
    for opened in (npk, other):
        assert sorted(opened) == ["a", "b", "d", "z"]
        same(opened["a"], np.full((2, 3), 2.0))
        assert opened["d"].tolist() == [9, 2, 3, 4, 5]
        same(opened["z"], np.array(3.0))


def test_batch_mode_is_given_up_by_an_exception(npk):
    npk.save({"a": np.ones(3)})
    with pytest.raises(ZeroDivisionError):
        with npk.batch_mode():
            npk.save({"a": np.zeros(2), "b": np.zeros(2)})
            npk.append({"a": [5.0]})
            raise ZeroDivisionError
    assert npk.get_member_list() == ["a"]
    same(npk["a"], np.ones(3))
    npk.append({"a": [2.0]})
    same(npk["a"], np.array([1.0, 1.0, 1.0, 2.0]))


def test_batch_mode_makes_a_store_whole_or_not(tmp_path):
    with NumPack(tmp_path / "s.npk") as npk:
        with pytest.raises(ZeroDivisionError):
            with npk.batch_mode():
                npk.save({"a": np.ones(3)})
                raise ZeroDivisionError
        assert not (tmp_path / "s.npk").exists()
        with npk.batch_mode():
            npk.save({"a": np.ones(3)})
        same(npk["a"], np.ones(3))


def test_saving_in_batch_mode_takes_the_values_of_that_moment_but_of_what_was_loaded(npk):
    npk.save({"a": np.zeros(3)})
    with npk.batch_mode():
        buffer = np.zeros(3)
        for i in range(4):
            buffer[:] = i
            npk.save({f"b{i}": buffer})
        a = npk.load("a")
        npk.save({"a": a})
        a += 5
    assert [npk[f"b{i}"][0] for i in range(4)] == [0, 1, 2, 3]
    same(npk["a"], np.full(3, 5.0))


@pytest.mark.parametrize("limit", [0, 0.001, 1])
def test_batch_mode_within_little_memory(npk, limit):
    arrays = {f"a{i}": np.full(20_000, i, "f8") for i in range(10)}
    npk.save(arrays)
    with npk.batch_mode(memory_limit=limit):
        for name in arrays:
            array = npk.load(name)
            array += 100
            npk.save({name: array})
        assert all((npk.load(name) == i + 100).all() for i, name in enumerate(arrays))
    assert all((npk.load(name) == i + 100).all() for i, name in enumerate(arrays))
    with pytest.raises(ValueError):
        npk.batch_mode(-1)


def test_batch_mode_in_batch_mode_is_a_part_of_it(npk):
    with pytest.raises(ZeroDivisionError):
        with npk.batch_mode():
            with npk.batch_mode():
                npk.save({"a": np.ones(3)})
            assert npk["a"].sum() == 3
            raise ZeroDivisionError
    assert npk.get_member_list() == []


def test_batch_mode_keeps_logical_types(npk):
    ml_dtypes = pytest.importorskip("ml_dtypes")
    npk.save({"a": np.ones((2, 2), ml_dtypes.bfloat16)})
    with npk.batch_mode():
        a = npk.load("a")
        a *= 3
        npk.save({"a": a})
        with pytest.raises(TypeError, match="batch_mode"):
            npk.save({"new": np.ones(2, ml_dtypes.bfloat16)})
        npk.append({"a": np.ones((1, 2), ml_dtypes.bfloat16)})
    assert npk["a"].dtype == ml_dtypes.bfloat16
    assert npk["a"].astype("f4").tolist() == [[3, 3], [3, 3], [1, 1]]


def test_reset_in_batch_mode(npk):
    npk.save({"a": np.ones(3)})
    with npk.batch_mode():
        npk.save({"b": np.ones(3)})
        npk.reset()
        assert npk.get_member_list() == []
        npk.save({"c": np.array(7)})
    assert npk.get_member_list() == ["c"]
    same(npk["c"], np.array(7))


def test_a_change_that_would_wait_for_its_own_thread_is_refused(npk, tmp_path):
    npk.save({"a": np.ones(3)})
    other = NumPack(tmp_path / "s.npk").__enter__()
    with npk.batch_mode():
        with pytest.raises(StoreError, match="batch_mode"):
            other.save({"b": np.ones(1)})
        with pytest.raises(StoreError, match="batch_mode"):
            other.batch_mode().__enter__()
        with pytest.raises(RuntimeError, match="batch_mode"):
            npk.close()
    with npk.writable_batch_mode() as mode:
        mode.load("a")
        for opened in (npk, other):
            with pytest.raises(StoreError, match="writable_batch_mode"):
                opened.append({"a": [1.0]})
        same(npk["a"], np.ones(3))
    other.append({"a": [2.0]})
    assert len(npk["a"]) == 4


def test_a_batch_mode_that_is_dropped_unlocks_the_store(npk, tmp_path):
    npk.save({"a": np.ones(3)})
    for kind in ("batch_mode", "writable_batch_mode"):
        with getattr(npk, kind)():
            pass
        npk.append({"a": [1.0]})


# -- memory to work in


def test_writable_batch_mode_writes_in_place(npk):
    npk.save(
        {
            "a": np.arange(6.0).reshape(3, 2),
            "b": np.arange(4, dtype="i2"),
            "e": np.zeros((0, 3)),
            "z": np.array(2),
        }
    )
    with npk.writable_batch_mode() as mode:
        a, b = mode.load("a"), mode.load("b")
        assert mode.load("a") is a and not a.flags.owndata and a.flags.writeable
        a[1] = 50
        b *= 3
        mode.save({"a": a, "b": b})
        assert mode.load("e").shape == (0, 3)
        with pytest.raises(ValueError, match="no rows"):
            mode.load("z")
        assert npk["a"][1].tolist() == [50, 50]
    same(npk["a"], np.array([[0, 1], [50, 50], [4, 5.0]]))
    same(npk["b"], np.arange(4, dtype="i2") * 3)


def test_arrays_of_writable_batch_mode_live_on_read_only(npk):
    npk.save({"a": np.arange(100_000.0)})
    with npk.writable_batch_mode() as mode:
        a = mode.load("a")
        a += 1
    with pytest.raises(ValueError, match="read-only"):
        a[0] = 1
    npk.save({"a": np.zeros(2)})
    npk.close()
    del mode
    gc.collect()
    same(np.array(a), np.arange(100_000.0) + 1)


def test_other_arrays_are_copied_by_writable_batch_mode(npk):
    npk.save({"a": np.arange(3.0)})
    with npk.writable_batch_mode() as mode:
        mode.save({"a": [7, 8, 9]})
        with pytest.raises(ValueError, match="shape"):
            mode.save({"a": np.zeros(2)})
        with pytest.raises(TypeError):
            mode.save({"a": np.zeros(3, "c16")})
        with pytest.raises(KeyError):
            mode.load("z")
    same(npk["a"], np.array([7.0, 8.0, 9.0]))
    with pytest.raises(StoreError, match="over"):
        mode.load("a")


def test_writable_batch_mode_refuses_dropped_rows(npk):
    npk.save({"a": np.arange(3.0)})
    npk.drop("a", 0)
    with npk.writable_batch_mode() as mode:
        with pytest.raises(ValueError, match="compact"):
            mode.load("a")
    npk.update("a")
    with npk.writable_batch_mode() as mode:
        mode.load("a")[:] = 4
    same(npk["a"], np.array([4.0, 4.0]))


def test_a_change_between_two_arrays_of_writable_batch_mode_is_noticed(npk, tmp_path):
    npk.save({"a": np.arange(3.0), "b": np.arange(3.0)})
    other = NumPack(tmp_path / "s.npk").__enter__()
    with npk.writable_batch_mode() as mode:
        mode.load("a")
        # What another process could do in the moment in which the lock goes from one array to the next.
        mode._unlock()
        other.save({"a": np.arange(5.0)})
        with pytest.raises(StoreError, match="'a'"):
            mode.load("b")
    same(npk["a"], np.arange(5.0))


@pytest.mark.parametrize("dtype", PLAIN)
def test_every_element_type_in_memory_to_work_in(npk, dtype):
    a = some(dtype)
    npk.save({"a": np.zeros_like(a)})
    with npk.writable_batch_mode() as mode:
        mode.load("a")[:] = a
    same(npk["a"], a)
