"""Tensors and NumPy, statement by statement: what shares memory, what copies, what is refused, how each looks."""

from __future__ import annotations

import numpy as np
import pytest

import libnumpack as ln

on_device = pytest.mark.skipif(not ln.vulkan.is_available(), reason="there is no Vulkan device")
pytestmark = pytest.mark.filterwarnings("ignore:.*not a GPU.*:RuntimeWarning")

# What the document has differently, and what holds here:
# - read-only arrays are refused, as it says; PyTorch warns and takes them;
# - .detach().cpu().numpy() shares the memory of a tensor on the host, as in PyTorch; it is a copy from a device;
# - types are shown with the name of this package, and devices are those of Vulkan.


def pointer(array: np.ndarray) -> int:
    return array.__array_interface__["data"][0]


class TestFromNumpy:
    def test_it_shares_and_changes_go_both_ways(self):
        array = np.array([1.0, 2.0, 3.0], dtype=np.float32)
        shared = ln.from_numpy(array)
        assert f"{array} {shared}" == "[1. 2. 3.] tensor([1., 2., 3.])"
        array[0] = 99.0
        assert f"{shared}" == "tensor([99.,  2.,  3.])"
        shared[1] = -7.0
        assert f"{array}" == "[99. -7.  3.]"

    def test_the_memory_is_the_same(self):
        array = np.array([1, 2, 3], dtype=np.float32)
        tensor = ln.from_numpy(array)
        assert pointer(array) == tensor.untyped_storage().data_ptr() == tensor.data_ptr()

    @pytest.mark.parametrize("array", [
        np.array([object()]), np.array(["text"]), np.array([b"bytes"]), np.array(["2000-01-01"], "M8[D]"),
        np.zeros(2, [("x", "f4")]),
    ], ids=lambda array: str(array.dtype))
    def test_it_takes_numbers_alone(self, array):
        for make in (ln.from_numpy, ln.as_tensor, ln.tensor):
            with pytest.raises(TypeError):
                make(array)

    def test_it_refuses_what_is_read_only_and_a_copy_helps(self):
        array = np.array([1.0, 2.0, 3.0])
        array.setflags(write=False)
        with pytest.raises(ValueError, match="read-only.*copy it"):
            ln.from_numpy(array)
        copied = ln.from_numpy(np.array(array, copy=True))
        copied[0] = 9
        assert array.tolist() == [1, 2, 3]

    def test_it_takes_positive_strides_and_refuses_negative_ones(self):
        array = np.arange(12.0).reshape(3, 4)
        assert ln.from_numpy(array[1:, ::2]).tolist() == [[4, 6], [8, 10]]
        for backwards in (array[::-1], array[:, ::-1]):
            with pytest.raises(ValueError, match="negative strides.*copy it"):
                ln.from_numpy(backwards)

    def test_it_takes_arrays_of_no_dimension_and_of_no_element(self):
        array = np.array(1.5)
        ln.from_numpy(array).fill_(2)
        assert array == 2 and ln.from_numpy(np.zeros((0, 3))).shape == (0, 3)


class TestAsTensor:
    def test_it_shares_where_it_can(self):
        array = np.array([1.1, 2.2, 3.3], dtype=np.float64)
        tensor = ln.as_tensor(array)
        array[1] = 222.0
        assert f"{tensor}" == "tensor([  1.1000, 222.0000,   3.3000], dtype=libnumpack.float64)"

    def test_it_copies_for_another_type(self):
        array = np.array([1.1, 222.0, 3.3])
        converted = ln.as_tensor(array, dtype=ln.float32)
        array[2] = 333.0
        assert f"{converted}" == "tensor([  1.1000, 222.0000,   3.3000])"
        # The same type is none other.
        assert ln.as_tensor(array, dtype=ln.float64).data_ptr() == pointer(array)

    def test_it_copies_what_is_read_only_or_goes_backwards(self):
        read_only = np.arange(3.0)
        read_only.setflags(write=False)
        array = np.arange(3.0)
        for source in (read_only, array[::-1]):
            tensor = ln.as_tensor(source)
            assert np.array_equal(tensor.numpy(), source)
            tensor[0] = 9
        assert read_only.tolist() == array.tolist() == [0, 1, 2]

    @on_device
    def test_it_copies_to_another_device(self):
        array = np.arange(3.0, dtype=np.float32)
        tensor = ln.as_tensor(array, device="vulkan")
        array[0] = 9
        assert tensor.is_vulkan and tensor.tolist() == [0, 1, 2]


class TestTensor:
    def test_it_is_always_independent(self):
        array = np.array([10, 20, 30], dtype=np.int64)
        copied = ln.tensor(array)
        array[0] = 123
        assert f"{copied}" == "tensor([10, 20, 30])"

    @pytest.mark.parametrize(("data", "text"), [
        ([1, 2], "tensor([1, 2])"), ((1.5, 2.5), "tensor([1.5000, 2.5000])"), (7, "tensor(7)"), (True, "tensor(True)"),
        ([[1], [2]], "tensor([[1],\n        [2]])"), (np.float32(2), "tensor(2.)"), (np.array([1j]), (
            "tensor([0.+1.j], dtype=libnumpack.complex128)"
        )), (range(2), "tensor([0, 1])"),
    ])
    def test_it_takes_lists_tuples_numbers_and_arrays(self, data, text):
        assert f"{ln.tensor(data)}" == text

    def test_it_takes_a_type_and_a_device(self):
        tensor = ln.tensor(np.array([10, 20, 30]), dtype=ln.float32, device="cpu")
        assert f"{tensor} {tensor.device}" == "tensor([10., 20., 30.]) cpu"


class TestTypes:
    @pytest.mark.parametrize(("theirs", "ours"), [
        (np.float32, ln.float32), (np.float64, ln.float64), (np.int32, ln.int32), (np.int64, ln.int64),
        (np.uint8, ln.uint8), (np.bool_, ln.bool), (np.complex64, ln.complex64), (np.complex128, ln.complex128),
    ])
    def test_each_has_its_counterpart(self, theirs, ours):
        tensor = ln.from_numpy(np.array([0, 1, 2], dtype=theirs))
        name = np.dtype(theirs).name
        assert tensor.dtype is ours and f"{name:>8} → {tensor.dtype}" == f"{name:>8} → libnumpack.{name}"
        assert tensor.numpy().dtype == theirs


class TestLayouts:
    def test_strided_views_share(self):
        base = np.arange(10, dtype=np.float32)
        view = base[::2]
        tensor = ln.from_numpy(view)
        view[0] = 999.0
        assert f"{base}" == "[999.   1.   2.   3.   4.   5.   6.   7.   8.   9.]"
        assert f"{tensor}" == "tensor([999.,   2.,   4.,   6.,   8.])" and not tensor.is_contiguous()
        tensor[4] = -1
        assert base[8] == -1

    def test_fortran_order_shares_and_is_not_contiguous(self):
        array = np.asfortranarray(np.arange(6).reshape(2, 3))
        tensor = ln.from_numpy(array)
        assert array.flags["F_CONTIGUOUS"] and not tensor.is_contiguous() and tensor.stride() == (1, 2)
        copied = tensor.contiguous()
        assert copied.is_contiguous() and copied.data_ptr() != tensor.data_ptr() == pointer(array)
        array[1, 0] = 50
        assert tensor.tolist() == [[0, 1, 2], [50, 4, 5]] and copied.tolist() == [[0, 1, 2], [3, 4, 5]]
        # What is contiguous already is no copy.
        assert copied.contiguous() is copied

    def test_operations_take_any_order(self):
        array = np.asfortranarray(np.arange(6.0).reshape(2, 3))
        tensor = ln.from_numpy(array)
        assert (tensor * 2).numpy().tolist() == (array * 2).tolist()
        assert (tensor @ tensor.T).numpy().tolist() == (array @ array.T).tolist()
        assert tensor.reshape(6).tolist() == array.reshape(6).tolist()
        with pytest.raises(ValueError, match="reshape"):
            tensor.view(6)


class TestNumpy:
    def test_it_shares(self):
        tensor = ln.tensor([1.0, 2.0, 3.0])
        array = tensor.numpy()
        tensor[0] = 99.0
        assert f"{array}" == "[99.  2.  3.]"

    @on_device
    def test_a_tensor_has_to_be_on_the_host(self):
        there = ln.tensor([1.0, 2.0], device="vulkan")
        with pytest.raises(ValueError, match=r"\.cpu\(\)"):
            there.numpy()
        assert there.cpu().numpy().tolist() == [1, 2]

    def test_a_tensor_must_not_want_a_gradient(self):
        tensor = ln.tensor([1.0, 2.0], requires_grad=True)
        with pytest.raises(RuntimeError, match=r"\.detach\(\)"):
            tensor.numpy()
        assert tensor.detach().numpy().tolist() == [1, 2]


class TestPatterns:
    def test_load_with_numpy_and_train_with_tensors(self, tmp_path):
        rng = np.random.default_rng(0)
        np.save(tmp_path / "data.npy", rng.random((5, 3)))
        np.save(tmp_path / "labels.npy", rng.integers(0, 2, 5).astype(np.int32))
        data, labels = np.load(tmp_path / "data.npy"), np.load(tmp_path / "labels.npy")
        x, y = ln.tensor(data, dtype=ln.float32), ln.tensor(labels, dtype=ln.long)
        assert (x.dtype, y.dtype) == (ln.float32, ln.int64)
        assert np.array_equal(x.numpy(), data.astype(np.float32)) and y.tolist() == labels.tolist()

    @pytest.mark.parametrize("place", ["cpu", pytest.param("vulkan", marks=on_device)])
    @pytest.mark.parametrize("grad", [False, True])
    def test_what_always_gives_an_array(self, place, grad):
        tensor = ln.randn(100, 100, device=place, requires_grad=grad)
        array = tensor.detach().cpu().numpy()
        assert array.shape == (100, 100) and array.dtype == np.float32 and array.tolist() == tensor.tolist()

    def test_operations_between(self):
        array = np.array([1, 2, 3, 4, 5], dtype=np.float32)
        squared = ln.from_numpy(array) ** 2
        assert f"{squared.numpy()}" == "[ 1.  4.  9. 16. 25.]" and array[1] == 2


class TestPitfalls:
    def test_a_change_that_was_not_expected(self):
        array = np.array([1.0, 2.0, 3.0])
        shared, own = ln.from_numpy(array), ln.tensor(array)
        array[0] = 0
        assert shared[0].item() == 0 and own[0].item() == 1

    @on_device
    def test_a_device_ends_sharing(self):
        array = np.array([1.0, 2.0], np.float32)
        here = ln.from_numpy(array)
        there = here.to("vulkan")
        array[0] = 5
        assert f"{here.device}" == "cpu" and here.tolist() == [5, 2] and there.tolist() == [1, 2]

    def test_types_of_floats(self):
        assert f"{ln.from_numpy(np.array([1.0, 2.0])).dtype}" == "libnumpack.float64"
        assert f"{ln.tensor([1.0, 2.0]).dtype}" == "libnumpack.float32"
        assert ln.from_numpy(np.array([1.0, 2.0], dtype=np.float32)).dtype is ln.float32


def test_in_summary():
    array = np.arange(4.0)
    assert np.shares_memory(array, ln.from_numpy(array).numpy())
    assert np.shares_memory(array, ln.as_tensor(array).numpy())
    assert not np.shares_memory(array, ln.tensor(array).numpy())
    tensor = ln.zeros(4)
    assert np.shares_memory(tensor.numpy(), tensor.numpy())
    assert np.shares_memory(tensor.detach().cpu().numpy(), tensor.numpy())
