"""Tensors and NumPy: what shares, what copies, what is refused, and how tensors look."""

from __future__ import annotations

import copy
import gc
import pickle
import sys
import weakref
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import libnumpack as ln
from libnumpack.errors import SharingError


def address(array: np.ndarray) -> int:
    return array.__array_interface__["data"][0]


class TestFromNumpy:
    def test_a_change_on_either_side_is_seen_on_the_other(self):
        array = np.array([1.0, 2.0, 3.0], dtype=np.float32)
        t = ln.from_numpy(array)
        array[0] = 99.0
        assert t.tolist() == [99, 2, 3]
        t[1] = -7.0
        assert array.tolist() == [99, -7, 3]

    def test_both_have_one_address(self):
        array = np.array([1, 2, 3], dtype=np.float32)
        t = ln.from_numpy(array)
        assert t.untyped_storage().data_ptr() == t.data_ptr() == address(array)
        assert t.untyped_storage().nbytes() == 12

    @pytest.mark.parametrize("name", [
        "bool", "uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64", "float16", "float32",
        "float64", "complex64", "complex128",
    ])
    def test_the_type_is_kept(self, name):
        array = np.array([0, 1, 2], dtype=name)
        t = ln.from_numpy(array)
        assert t.dtype is ln.dtypes.as_dtype(name) and t.dtype.name == name
        assert repr(t.dtype) == f"libnumpack.{name}"
        assert t.numpy().dtype == array.dtype and np.array_equal(t.numpy(), array)

    def test_read_only_memory_is_refused_and_a_copy_taken(self):
        array = np.array([1.0, 2.0, 3.0])
        array.setflags(write=False)
        with pytest.raises(SharingError, match="read-only"):
            ln.from_numpy(array)
        with pytest.raises(ValueError):
            ln.from_numpy(array)
        assert ln.from_numpy(np.array(array, copy=True)).tolist() == [1, 2, 3]

    def test_negative_strides_are_refused(self):
        with pytest.raises(SharingError, match="negative strides"):
            ln.from_numpy(np.arange(4)[::-1])

    @pytest.mark.parametrize("array", [np.array(["a"]), np.array([None]), np.array([{}])])
    def test_what_is_no_number_is_a_type_error(self, array):
        with pytest.raises(TypeError):
            ln.from_numpy(array)

    @pytest.mark.parametrize("value", [[1, 2], 3.0, (1,), np.float32(1)])
    def test_what_is_no_array_is_a_type_error(self, value):
        with pytest.raises(TypeError, match="tensor"):
            ln.from_numpy(value)

    def test_the_other_byte_order_is_refused(self):
        with pytest.raises(SharingError):
            ln.from_numpy(np.arange(3, dtype=">f4"))

    def test_strided_views_share(self):
        array = np.arange(10)
        t = ln.from_numpy(array[::2])
        assert t.tolist() == [0, 2, 4, 6, 8] and t.stride() == (2,)
        array[2] = 999
        assert t[1].item() == 999

    def test_fortran_order_shares_and_is_not_contiguous(self):
        array = np.asfortranarray(np.arange(6).reshape(2, 3))
        t = ln.from_numpy(array)
        assert array.flags["F_CONTIGUOUS"] and not t.is_contiguous()
        assert t.tolist() == [[0, 1, 2], [3, 4, 5]] and t.data_ptr() == address(array)
        own = t.contiguous()
        assert own.is_contiguous() and own.data_ptr() != t.data_ptr() and own.equal(t)
        array[0, 0] = 5
        assert t[0, 0].item() == 5 and own[0, 0].item() == 0

    def test_the_array_lives_as_long_as_a_view_of_the_tensor(self):
        array = np.arange(1000.0)
        alive = weakref.ref(array)
        view = ln.from_numpy(array)[10:20]
        del array
        gc.collect()
        assert alive() is not None and view.tolist() == list(range(10, 20))
        del view
        gc.collect()
        assert alive() is None


class TestAsTensor:
    def test_shares_when_it_can(self):
        array = np.array([1.1, 2.2, 3.3])
        t = ln.as_tensor(array)
        array[1] = 222.0
        assert t[1].item() == 222 and t.data_ptr() == address(array)

    def test_another_type_is_a_copy(self):
        array = np.array([1.1, 2.2, 3.3])
        t = ln.as_tensor(array, dtype=ln.float32)
        array[2] = 333.0
        assert t.dtype is ln.float32 and t[2].item() == pytest.approx(3.3)

    @pytest.mark.parametrize("dtype", [np.float32, np.dtype("f4"), "float32", "torch.float32", ln.float32, float])
    def test_types_by_any_of_their_names(self, dtype):
        assert ln.as_tensor(np.arange(3), dtype=dtype).dtype is ln.float32

    def test_read_only_and_reversed_and_foreign_order_are_copies(self):
        array = np.arange(4.0)
        array.setflags(write=False)
        for source in (array, np.arange(4.0)[::-1], np.arange(4, dtype=">i4")):
            t = ln.as_tensor(source)
            assert np.array_equal(t.numpy(), source) and t.data_ptr() != address(source)

    def test_a_tensor_is_given_back(self):
        t = ln.zeros(2)
        assert ln.as_tensor(t) is t

    def test_lists_and_buffers(self):
        assert ln.as_tensor([1, 2]).dtype is ln.int64
        data = bytearray(b"abc")
        t = ln.as_tensor(data)
        t[0] = 122
        assert data == b"zbc"


class TestTensor:
    def test_copies_always(self):
        array = np.array([10, 20, 30], dtype=np.int64)
        t = ln.tensor(array)
        array[0] = 123
        assert t.tolist() == [10, 20, 30]
        t[1] = 999
        assert array[1] == 20

    def test_types_and_devices_in_texts_and_by_their_short_names(self):
        assert f"{ln.float32:>20}|{ln.device('cpu'):<5}|" == "  libnumpack.float32|cpu  |"
        assert (ln.half, ln.float, ln.double, ln.short, ln.int, ln.long) == (
            ln.float16, ln.float32, ln.float64, ln.int16, ln.int32, ln.int64
        )

    def test_dtype_and_device_at_once(self):
        t = ln.tensor(np.array([10, 20]), dtype=ln.float32, device="cpu")
        assert t.dtype is ln.float32 and t.device == ln.device("cpu") and str(t.device) == "cpu"

    @pytest.mark.parametrize(("value", "dtype"), [
        ([1.0, 2.0], ln.float32), ([1, 2], ln.int64), (3, ln.int64), (2.5, ln.float32), (True, ln.bool),
        ((1, 2.0), ln.float32), ([[True], [False]], ln.bool), ([1j], ln.complex64), ([], ln.float32),
        (np.array([1.0]), ln.float64), ([np.float64(1)], ln.float64), (np.float16(1), ln.float16),
    ])
    def test_the_type_of_what_it_is_made_of(self, value, dtype):
        assert ln.tensor(value).dtype is dtype

    def test_unequal_lengths_and_words_are_refused(self):
        with pytest.raises(ValueError, match="unequal lengths"):
            ln.tensor([[1, 2], [3]])
        with pytest.raises(TypeError):
            ln.tensor(["a"])
        with pytest.raises(OverflowError):
            ln.tensor([1 << 70])

    def test_numbers_that_the_type_does_not_have_are_refused(self):
        for value, dtype in ((300, "uint8"), ([1, -1], "uint8"), (float("nan"), "int32"), ([1.0, 1e30], "int64")):
            with pytest.raises(OverflowError):
                ln.tensor(value, dtype=dtype)
        with pytest.raises(TypeError, match="complex"):
            ln.tensor(1j, dtype="float32")
        assert ln.tensor(2.7, dtype="int64").item() == 2 and ln.tensor(2, dtype="bool").item() is True
        assert ln.tensor([1 << 63, 1]).tolist() == [1 << 63, 1]
        with pytest.raises(OverflowError):
            ln.tensor([1 << 63, -1])
        # Elements of an array are converted as NumPy converts them.
        assert ln.tensor(np.array([300]), dtype="uint8").item() == 44

    def test_arrays_of_objects_are_refused_also_those_of_numbers(self):
        for value in ([1, 2], [1.5, 2], [None], []):
            for make in (ln.tensor, ln.as_tensor, ln.from_numpy):
                with pytest.raises(TypeError):
                    make(np.array(value, dtype=object))

    @pytest.mark.parametrize(("value", "word"), [(None, "NoneType"), ({1: 2}, "dict"), ([object()], "object")])
    def test_what_is_no_number_is_named(self, value, word):
        with pytest.raises(TypeError, match=f"{word} is no number"):
            ln.tensor(value)

    def test_sizes_that_cannot_be(self):
        for make, kind in (
            (lambda: ln.zeros(-1), ValueError), (lambda: ln.rand(2, -3), ValueError), (lambda: ln.rand(2.5), TypeError),
            (lambda: ln.zeros(1 << 70), OverflowError), (lambda: ln.ones(2).expand(3, (1 << 64) + 2), OverflowError),
            (lambda: ln.zeros(2).sum(1 << 64), OverflowError),
        ):
            with pytest.raises(kind):
                make()
        assert ln.full(np.int64(2), 1).tolist() == [1, 1]

    def test_of_a_tensor_and_of_tensors(self):
        t = ln.ones(2)
        other = ln.tensor(t)
        other[0] = 5
        assert t.tolist() == [1, 1]
        assert ln.tensor([ln.tensor(1.0), ln.tensor(2.0)]).tolist() == [1, 2]


class TestNumpy:
    def test_shares(self):
        t = ln.tensor([1.0, 2.0, 3.0])
        array = t.numpy()
        assert array.dtype == np.float32
        t[0] = 99.0
        assert array[0] == 99
        array[1] = 5
        assert t[1].item() == 5

    def test_a_clone_does_not(self):
        t = ln.tensor([1.0, 2.0])
        array = t.clone().numpy()
        t[0] = 9
        assert array[0] == 1

    def test_a_tensor_with_a_gradient_has_to_be_detached(self):
        t = ln.tensor([1.0, 2.0], requires_grad=True)
        with pytest.raises(RuntimeError, match="detach"):
            t.numpy()
        with pytest.raises(RuntimeError, match="detach"):
            np.asarray(t)
        array = t.detach().numpy()
        array[0] = 7
        assert t.tolist() == [7, 2]
        assert (t * 2).tolist() == [14, 4]

    def test_the_tensor_lives_as_long_as_the_array(self):
        array = ln.arange(1000).numpy()
        gc.collect()
        assert array.sum() == 499500

    def test_results_can_be_shared_too(self):
        t = ln.tensor([1.0, 2.0]) ** 2
        array = t.numpy()
        array[0] = 5
        assert t.tolist() == [5, 4]

    def test_numpy_takes_tensors(self):
        t = ln.tensor([[1.0, 4.0]])
        assert np.sqrt(t).tolist() == [[1, 2]]
        assert np.asarray(t).shape == (1, 2) and np.array(t, dtype="f8").dtype == np.float64
        assert (np.array([1, 2]) + ln.tensor([3, 4])).tolist() == [4, 6]
        assert isinstance(np.array([1, 2]) + ln.tensor([3, 4]), ln.Tensor)
        assert address(np.asarray(t)) == t.data_ptr()
        assert t.__array_interface__["shape"] == (1, 2)

    def test_types_that_numpy_lacks(self):
        t = ln.tensor([1.5]).bfloat16()
        if ln.bfloat16.numpy() is None:
            with pytest.raises(TypeError, match="ml_dtypes"):
                t.numpy()
        else:
            assert t.numpy().dtype.name == "bfloat16" and float(t.numpy()[0]) == 1.5
            assert ln.from_numpy(t.numpy()).dtype is ln.bfloat16
        assert t.tolist() == [1.5] and t.item() == 1.5


class TestDLPack:
    def test_both_ways_without_a_copy(self):
        array = np.arange(6.0).reshape(2, 3)
        t = ln.from_dlpack(array)
        t[0, 0] = 9
        assert array[0, 0] == 9
        back = np.from_dlpack(t[:, 1:])
        assert back.tolist() == [[1, 2], [4, 5]] and address(back) == address(array) + 8

    def test_a_capsule_is_used_once(self):
        capsule = ln.ones(2).__dlpack__()
        assert ln.from_dlpack(capsule).tolist() == [1, 1]
        with pytest.raises(TypeError, match="used before"):
            ln.from_dlpack(capsule)

    def test_a_capsule_that_nobody_takes_is_freed(self):
        array = np.zeros(4)
        alive = weakref.ref(array)
        capsule = ln.from_numpy(array).__dlpack__(max_version=(1, 0))
        del array
        gc.collect()
        assert alive() is not None
        del capsule
        gc.collect()
        assert alive() is None

    def test_a_gradient_is_refused(self):
        with pytest.raises(SharingError, match="detach"):
            ln.ones(2, requires_grad=True).__dlpack__()

    @pytest.mark.skipif(sys.version_info < (3, 12), reason="Python has __buffer__ from 3.12 on")
    def test_buffers(self):
        assert memoryview(ln.tensor([1, 2])).tolist() == [1, 2]


class TestIndexing:
    KEYS = [
        0, -1, slice(1, 3), slice(None, None, 2), (slice(None), 1), (0, 1, 2), (..., 0), None, (None, 0),
        ([0, 2],), ([0, 2], slice(None), 1), (slice(None), [1, 0]), ([0, 1], [1, 2]), np.array([[0, 1], [2, 0]]),
        (slice(0, 0),), np.array([True, False, True]), (slice(None), np.array([True, True, False, False])),
        slice(-2, None), slice(5, 1), (1, ..., slice(1, None)), [-1], [],
    ]

    @pytest.mark.parametrize("key", KEYS, ids=str)
    @pytest.mark.parametrize("with_grad", [False, True])
    def test_as_numpy_has_it(self, key, with_grad):
        array = np.arange(3 * 4 * 5, dtype=np.float64).reshape(3, 4, 5)
        t = ln.tensor(array, requires_grad=with_grad)
        want = array[key]
        got = t[key]
        assert tuple(got.shape) == want.shape and got.tolist() == want.tolist()
        if with_grad and got.numel():
            got.sum().backward()
            counts = np.zeros_like(array)
            np.add.at(counts, key, 1)
            assert t.grad.tolist() == counts.tolist()

    @pytest.mark.parametrize("key", KEYS, ids=str)
    def test_writing_as_numpy_has_it(self, key):
        array = np.arange(3 * 4 * 5, dtype=np.float32).reshape(3, 4, 5)
        t = ln.tensor(array)
        array[key] = -1
        t[key] = -1
        assert t.tolist() == array.tolist()

    def test_a_whole_mask(self):
        t = ln.tensor([[1.0, -2.0], [-3.0, 4.0]])
        assert t[t > 0].tolist() == [1, 4]
        t[t < 0] = 0
        assert t.tolist() == [[1, 0], [0, 4]]
        x = ln.tensor([[1.0, -2.0], [-3.0, 4.0]], requires_grad=True)
        x[x > 0].sum().backward()
        assert x.grad.tolist() == [[1, 0], [0, 1]]

    def test_slices_are_cut_as_pythons_are(self):
        t, values = ln.arange(4), list(range(4))
        for key in (
            slice(1 << 64, None), slice(0, 1 << 64), slice(-(1 << 64), None), slice(None, None, 1 << 64), slice(3, 1),
            slice(-2, None), slice(9, 12), slice(np.int64(1), np.int64(3)),
        ):
            assert t[key].tolist() == values[key]
        with pytest.raises(TypeError):
            t[1.0:2]

    def test_values_that_do_not_fit_are_refused(self):
        t = ln.tensor([1, 2], dtype="uint8")
        for value, kind in ((300, OverflowError), (float("inf"), OverflowError), (1j, TypeError), ([1, 2, 3], ValueError)):
            with pytest.raises(kind):
                t[:] = value
            if not isinstance(value, list):
                with pytest.raises(kind):
                    t.fill_(value)
        t[0] = 2.7
        assert t.tolist() == [2, 2]
        for value in ("x", None):
            with pytest.raises(TypeError, match="no number"):
                t.fill_(value)

    def test_leading_dimensions_of_one_are_no_matter(self):
        t = ln.zeros(2, 3)
        t[0, 1] = ln.tensor([[5.0]])
        t[1] = ln.tensor([[[1.0, 2.0, 3.0]]])
        assert t.tolist() == [[0, 5, 0], [1, 2, 3]]

    def test_views_show_the_same_memory(self):
        t = ln.zeros(2, 3)
        t[0] = 1
        t.T[2][1] = 5
        t.view(-1)[1] = 7
        assert t.tolist() == [[1, 7, 1], [0, 0, 5]]

    @pytest.mark.parametrize(("key", "kind"), [
        (3, IndexError), ((0, 0, 0), IndexError), (slice(None, None, -1), ValueError), ("a", IndexError),
        ([0, 9], IndexError), (np.array([True]), IndexError), ((..., ...), IndexError), (1.5, IndexError),
    ])
    def test_what_is_not_there(self, key, kind):
        for t in (ln.zeros(3, 4), ln.zeros(3, 4, requires_grad=True)):
            with pytest.raises(kind):
                t[key]


class TestOperations:
    def test_like_numpy(self):
        a, b = ln.tensor([1, 2, 3]), ln.tensor([4, 5, 6])
        assert (a + b).tolist() == [5, 7, 9]
        assert a.float().mean().item() == 2 and a.sum().item() == 6
        assert (a / b).dtype is ln.float32 and (a * 2.5).dtype is ln.float32

    @pytest.mark.parametrize("name", ["exp", "log", "sqrt", "sin", "cos", "tanh", "abs", "square", "reciprocal"])
    def test_functions_of_elements(self, name):
        array = np.linspace(0.5, 2, 7)
        want = getattr(np, name)(array)
        assert np.allclose(getattr(ln.from_numpy(array), name)().numpy(), want, rtol=1e-15)

    def test_operators_against_numpy(self):
        rng = np.random.default_rng(0)
        a, b = rng.normal(size=(2, 3, 4)), rng.normal(size=(3, 1)) + 3
        x, y = ln.tensor(a), ln.tensor(b)
        for f in (
            lambda p, q: p + q, lambda p, q: p - q, lambda p, q: p * q, lambda p, q: p / q, lambda p, q: q ** p,
            lambda p, q: p > q, lambda p, q: p <= q, lambda p, q: p == p, lambda p, q: p != q, lambda p, q: -p,
            lambda p, q: 2 - p, lambda p, q: 1 / q, lambda p, q: abs(p), lambda p, q: 2 ** p,
        ):
            assert np.allclose(f(x, y).numpy(), f(a, b), rtol=1e-14)

    def test_reductions_against_numpy(self):
        array = np.random.default_rng(1).normal(size=(3, 4, 5))
        t = ln.tensor(array)
        for name, theirs in (
            ("sum", np.sum), ("mean", np.mean), ("amax", np.max), ("amin", np.min),
            ("std", lambda a, axis=None, keepdims=False: np.std(a, axis=axis, keepdims=keepdims, ddof=1)),
        ):
            for dim in (None, 0, -1, (0, 2)):
                for keep in (False, True):
                    got = getattr(t, name)(dim, keep)
                    assert np.allclose(got.numpy(), theirs(array, axis=dim, keepdims=keep)), (name, dim, keep)
        values, places = t.max(1)
        assert values.tolist() == array.max(1).tolist() and places.tolist() == array.argmax(1).tolist()
        assert t.argmin().item() == array.argmin() and t.max().item() == array.max()
        assert (t > -9).all().item() and not (t > 9).any().item() and not ln.zeros(0).any().item()

    def test_products(self):
        a, b = np.random.default_rng(2).normal(size=(2, 3, 4)), np.random.default_rng(3).normal(size=(4, 5))
        assert np.allclose((ln.tensor(a) @ ln.tensor(b)).numpy(), a @ b)
        assert np.allclose((a @ ln.tensor(b)).numpy(), a @ b)

    def test_joining_and_choosing(self):
        a, b = ln.tensor([1.0, 2.0]), ln.tensor([3.0, 4.0])
        assert ln.cat([a, b]).tolist() == [1, 2, 3, 4] and ln.stack([a, b], 1).tolist() == [[1, 3], [2, 4]]
        assert ln.where(a > 1, a, 0).tolist() == [0, 2] and ln.where(a > 1, a, b).tolist() == [3, 2]
        assert [p.tolist() for p in ln.arange(5).split(2)] == [[0, 1], [2, 3], [4]]
        assert a.clamp(max=1.5).tolist() == [1, 1.5] and a.masked_fill(a > 1, 9).tolist() == [1, 9]

    def test_bounds_that_an_integer_type_does_not_have(self):
        t = ln.tensor([0, 1, 200], dtype="uint8")
        assert t.clamp(-1, 1).tolist() == [0, 1, 1] and t.clamp(-5).tolist() == [0, 1, 200]
        assert t.clamp(max=1000).tolist() == [0, 1, 200] and t.clamp(1, 1000).tolist() == [1, 1, 200]
        for wrong in ({"min": 256}, {"max": -1}):
            with pytest.raises(OverflowError):
                t.clamp(**wrong)
        assert t.clamp(-0.5, 0.5).tolist() == [0, 0.5, 0.5]

    def test_shapes(self):
        t = ln.arange(24).reshape(2, 3, 4)
        assert t.permute(2, 0, 1).shape == (4, 2, 3) and t.transpose(0, 2).shape == (4, 3, 2)
        assert t.flatten(1).shape == (2, 12) and t.unsqueeze(0).squeeze().shape == (2, 3, 4)
        assert t[:1].expand(5, 3, 4).shape == (5, 3, 4) and t.size(-1) == 4 and t.dim() == 3
        assert t.view(-1, 6).shape == ln.Size((4, 6)) and t.numel() == 24 == t.shape.numel()
        with pytest.raises(ValueError):
            t.transpose(0, 2).view(24)

    def test_in_place(self):
        array = np.ones(3)
        t = ln.from_numpy(array)
        t += 1
        t.mul_(3).sub_(1)
        assert array.tolist() == [5, 5, 5]
        t.copy_(ln.tensor([1, 2, 3]))
        t[1:].zero_()
        assert array.tolist() == [1, 0, 0]
        t.fill_(4)
        t /= 8
        assert array.tolist() == [0.5, 0.5, 0.5]

    def test_in_place_a_type_keeps_its_kind(self):
        t = ln.tensor([1, 2])
        for change in (lambda: t.add_(0.5), lambda: t.mul_(ln.ones(2)), lambda: t.div_(2), lambda: t.__imul__(1.5)):
            with pytest.raises(TypeError, match="in place"):
                change()
        assert t.tolist() == [1, 2] and t.add_(True).tolist() == [2, 3]
        with pytest.raises(TypeError, match="in place"):
            ln.tensor([True]).add_(1)

    def test_signs_of_logic_are_of_truth_values(self):
        a, b = ln.tensor([True, True, False]), ln.tensor([True, False, False])
        assert (a & b).tolist() == [True, False, False] and (a | b).tolist() == [True, True, False]
        assert (a ^ True).tolist() == [False, False, True] and (a & np.array([True, False, True])).tolist() == (a & b).tolist()
        for wrong in (lambda: ln.tensor([1]) & 1, lambda: a | 1, lambda: a ^ ln.tensor([1, 1, 1]), lambda: 1 & a):
            with pytest.raises(TypeError, match="truth values"):
                wrong()
        assert ln.tensor([2]).logical_and(ln.tensor([0])).tolist() == [False]

    def test_what_is_no_tensor_is_said_to_be_none(self):
        x = ln.ones(2, requires_grad=True)
        for wrong in (
            lambda: (x * 2).backward([1, 1]), lambda: setattr(x, "grad", np.ones(2)), lambda: setattr(x, "data", 3),
            lambda: x.equal(3), lambda: x.allclose("x"), lambda: ln.from_dlpack([1]), lambda: ln.manual_seed("a"),
            lambda: x.std(correction="a"),
        ):
            with pytest.raises(TypeError):
                wrong()
        assert x.equal(np.ones(2)) and x.allclose(np.ones(2)) and "x" not in x
        assert not ln.tensor([1j]).allclose(ln.tensor([2j]))

    def test_dimensions_by_numpys_numbers_and_of_single_numbers(self):
        t = ln.tensor([[1.0, 5.0], [3.0, 2.0]])
        assert t.max(np.int64(0)).values.tolist() == [3, 5] and t.sum(np.int64(1)).tolist() == [6, 5]
        assert [p.tolist() for p in t[0].split(np.int64(1))] == [[1], [5]]
        truths = ln.tensor([[False, True], [False, False]])
        assert truths.max(1).values.tolist() == [True, False] and truths.min(0).indices.tolist() == [0, 1]
        assert ln.tensor(3.0).sum(0).item() == ln.tensor(3.0).mean(-1).item() == 3
        for wrong, kind in ((lambda: t.size(2), IndexError), (lambda: t.chunk(0), ValueError),
                            (lambda: t.narrow(0, 0, 3), ValueError)):
            with pytest.raises(kind):
                wrong()

    def test_threads_may_share_a_tensor_that_nobody_changes(self):
        for grad in (False, True):
            for _ in range(20):
                t = ln.tensor([1.0, 2.0], requires_grad=grad) * 3
                held = t.detach()
                with ThreadPoolExecutor(6) as pool:
                    found = list(pool.map(lambda _: (t.is_leaf, t.detach().data_ptr(), t.tolist(), (t * 2).tolist()), range(6)))
                assert found == [(not grad, held.data_ptr(), [3, 6], [6, 12])] * 6

    def test_numbers(self):
        assert float(ln.tensor(2.5)) == 2.5 and int(ln.tensor([3])) == 3 and [0, 1, 2][ln.tensor(1)] == 1
        assert bool(ln.tensor([1])) and f"{ln.tensor(2.5):.2f}" == "2.50" and len(ln.zeros(4, 2)) == 4
        assert ln.tensor(1 << 62).item() == 1 << 62
        assert ln.tensor((1 << 64) - 1, dtype="uint64").item() == (1 << 64) - 1
        for wrong in (lambda: bool(ln.zeros(2)), lambda: ln.zeros(0).item()):
            with pytest.raises(ValueError):
                wrong()
        with pytest.raises(TypeError):
            len(ln.tensor(1))
        assert 2 in ln.tensor([1, 2]) and 5 not in ln.tensor([1, 2])

    def test_what_is_not_computed_says_so(self):
        with pytest.raises(TypeError, match="complex64"):
            ln.tensor([1j]) + 1
        with pytest.raises(ValueError):
            ln.zeros(2) + ln.zeros(3)
        with pytest.raises(TypeError):
            ln.zeros(2) + "a"
        assert (ln.zeros(2) == None) is False  # noqa: E711


class TestDevices:
    def test_names(self):
        assert ln.tensor([1, 2, 3]).device == ln.device("cpu") and str(ln.tensor(1).device) == "cpu"
        assert ln.device("vulkan:1") == ln.device("vulkan", 1) and ln.device("vulkan:1").index == 1
        place = ln.device("vulkan" if ln.vulkan.is_available() else "cpu")
        t = ln.tensor([1, 2, 3]).to(place)
        assert t.device.type == place.type and t.cpu().tolist() == [1, 2, 3]
        with pytest.raises(ValueError, match="vulkan"):
            ln.device("cuda")
        with pytest.raises(ValueError):
            ln.device("gpu0")

    def test_to(self):
        t = ln.tensor([1.5])
        assert t.to(ln.float32) is t and t.to("cpu") is t and t.to(ln.float32, copy=True) is not t
        assert t.to("cpu", ln.int64).dtype is ln.int64 and t.to(ln.zeros(1, dtype="float64")).dtype is ln.float64
        assert t.long().dtype is ln.int64 and t.half().double().dtype is ln.float64 and t.int().dtype is ln.int32
        assert t.bool().tolist() == [True] and t.to("float8_e4m3fn").float().tolist() == [1.5]


class TestText:
    @pytest.mark.parametrize(("make", "text"), [
        (lambda: ln.tensor([99.0, 2.0, 3.0]), "tensor([99.,  2.,  3.])"),
        (lambda: ln.from_numpy(np.array([1.0, 2.0, 3.0])), "tensor([1., 2., 3.], dtype=libnumpack.float64)"),
        (lambda: ln.tensor([4.0, 5.5]), "tensor([4.0000, 5.5000])"),
        (lambda: ln.tensor([1, -20]), "tensor([  1, -20])"),
        (lambda: ln.tensor([True, False]), "tensor([ True, False])"),
        (lambda: ln.tensor(3.0, requires_grad=True), "tensor(3., requires_grad=True)"),
        (lambda: ln.tensor([0.1, 1e10]), "tensor([1.0000e-01, 1.0000e+10])"),
        (lambda: ln.tensor([float("nan"), float("inf"), -1.0]), "tensor([nan, inf, -1.])"),
        (lambda: ln.tensor([1e-320, 2.0], dtype="float64"), (
            "tensor([9.9999e-321,  2.0000e+00], dtype=libnumpack.float64)"
        )),
        (lambda: ln.zeros(0, 3), "tensor([], size=(0, 3))"),
        (lambda: ln.zeros(2, 2), "tensor([[0., 0.],\n        [0., 0.]])"),
        (lambda: ln.tensor([1 + 2j]), "tensor([1.+2.j])"),
        (lambda: ln.arange(2000), "tensor([   0,    1,    2,  ..., 1997, 1998, 1999])"),
    ])
    def test_looks_like_torchs(self, make, text):
        assert repr(make()) == text


class TestCopies:
    def test_pickles(self):
        for t in (ln.tensor([[1.0, 2.0]]).T, ln.tensor([1.5]).bfloat16(), ln.tensor(3), ln.zeros(0, 2)):
            again = pickle.loads(pickle.dumps(t))
            assert again.dtype is t.dtype and again.shape == t.shape and again.tolist() == t.tolist()
        leaf = pickle.loads(pickle.dumps(ln.ones(2, requires_grad=True)))
        assert leaf.requires_grad and leaf.is_leaf
        leaf[:1].sum().backward()
        assert leaf.grad.tolist() == [1, 0]

    def test_deep_copies(self):
        t = ln.ones(2)
        other = copy.deepcopy(t)
        other[0] = 5
        assert t.tolist() == [1, 1]

    def test_random_numbers_follow_the_seed(self):
        ln.manual_seed(3)
        a = ln.randn(1000)
        ln.manual_seed(3)
        assert a.equal(ln.randn(1000)) and abs(a.mean().item()) < 0.2 and abs(a.std().item() - 1) < 0.1
        u = ln.rand(1000)
        assert 0 <= u.min().item() and u.max().item() < 1


def test_the_package_says_what_it_is_and_has():
    assert ln.__version__.count(".") >= 2
    assert {"io", "nn", "optim", "utils", "vulkan", "tensor", "NumPack", "long", "bool"} <= set(dir(ln))
    with pytest.raises(AttributeError, match="nothing_such"):
        ln.nothing_such
    for kind in ln.Tensor.__mro__[:-1]:
        for name, value in vars(kind).items():
            assert name.startswith("_") or value.__doc__, name
