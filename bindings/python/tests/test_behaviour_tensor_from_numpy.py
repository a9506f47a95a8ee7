"""Tensors from NumPy, statement by statement: the type is kept, memory is shared, and how to have a copy."""

from __future__ import annotations

import numpy as np
import pytest

import libnumpack as ln

# What the document has differently, and what holds here:
# - a list of floats has the type float32, and so has the array that .numpy() gives of such a tensor;
# - types are shown with the name of this package.


def test_an_array_becomes_a_tensor_of_its_type():
    array = np.array([1.0, 2.0, 3.0])
    assert f"{array}, {array.dtype}" == "[1. 2. 3.], float64"
    tensor = ln.from_numpy(array)
    assert f"{tensor}" == "tensor([1., 2., 3.], dtype=libnumpack.float64)"
    assert f"{tensor.dtype}" == "libnumpack.float64"


@pytest.mark.parametrize("name", [
    "bool", "uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64", "float16", "float32",
    "float64", "complex64", "complex128",
])
def test_any_type_of_numbers_is_preserved(name):
    assert ln.from_numpy(np.zeros(2, name)).dtype is getattr(ln, name)
    assert ln.from_numpy(np.zeros(2, name)).numpy().dtype == np.dtype(name)


def test_a_tensor_becomes_an_array():
    tensor = ln.tensor([4.0, 5.0, 6.0])
    assert tensor.device == ln.device("cpu")
    array = tensor.numpy()
    assert f"{tensor}" == "tensor([4., 5., 6.])"
    assert f"{array}" == "[4. 5. 6.]" and type(array) is np.ndarray and array.dtype == np.float32


@pytest.mark.skipif(not ln.vulkan.is_available(), reason="there is no Vulkan device")
@pytest.mark.filterwarnings("ignore:.*not a GPU.*:RuntimeWarning")
def test_only_a_tensor_on_the_host_becomes_an_array():
    tensor = ln.tensor([4.0, 5.0, 6.0]).vulkan()
    with pytest.raises(ValueError, match=r"\.cpu\(\)"):
        tensor.numpy()
    assert tensor.cpu().numpy().tolist() == [4, 5, 6]


def test_a_change_of_the_array_is_one_of_the_tensor():
    array = np.array([1.0, 2.0, 3.0])
    tensor = ln.from_numpy(array)
    array[0] = 99.0
    assert f"{array}" == "[99.  2.  3.]"
    assert f"{tensor}" == "tensor([99.,  2.,  3.], dtype=libnumpack.float64)"
    tensor[2] = -1.0
    assert f"{array}" == "[99.  2. -1.]"


def test_a_change_of_the_tensor_is_one_of_its_array():
    tensor = ln.tensor([4.0, 5.0, 6.0])
    array = tensor.numpy()
    tensor[0] = 111.0
    assert f"{tensor}" == "tensor([111.,   5.,   6.])"
    assert f"{array}" == "[111.   5.   6.]"
    array[1] = 0.5
    assert tensor[1].item() == 0.5


def test_nothing_is_copied_however_large_it_is():
    array = np.zeros((1000, 1000), np.float32)
    tensor = ln.from_numpy(array)
    assert np.shares_memory(array, tensor.numpy())
    assert tensor.data_ptr() == array.ctypes.data == tensor.numpy().ctypes.data


def test_tensor_makes_an_independent_one():
    array = np.array([1.0, 2.0, 3.0])
    own = ln.tensor(array)
    array[0] = 99.0
    own[1] = -5.0
    assert own.tolist() == [1, -5, 3] and array.tolist() == [99, 2, 3] and own.dtype is ln.float64


def test_clone_gives_an_independent_array():
    tensor = ln.tensor([4.0, 5.0, 6.0])
    array = tensor.clone().numpy()
    tensor[0] = 111.0
    array[1] = 0.0
    assert array.tolist() == [4, 0, 6] and tensor.tolist() == [111, 5, 6]
