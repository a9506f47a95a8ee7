"""From NumPy to a trained network, step by step: tensors, devices, operations, gradients, a training loop."""

from __future__ import annotations

import numpy as np
import pytest

import libnumpack as ln
from libnumpack import nn, optim

on_device = pytest.mark.skipif(not ln.vulkan.is_available(), reason="there is no Vulkan device")
pytestmark = pytest.mark.filterwarnings("ignore:.*not a GPU.*:RuntimeWarning")

# What the document has differently, and what holds here: devices are those of Vulkan, which every vendor's GPUs have,
# so that "vulkan" stands for "cuda", and .vulkan() for .cuda().


class TestTensors:
    def test_conversion(self):
        array = np.array([1, 2, 3, 4, 5])
        tensor = ln.from_numpy(array)
        assert type(tensor) is ln.Tensor and tensor.dtype is ln.int64
        back = tensor.numpy()
        assert type(back) is np.ndarray and np.array_equal(back, array)

    def test_shared_memory(self):
        array = np.array([1, 2, 3])
        tensor = ln.from_numpy(array)
        tensor[0] = 999
        assert f"{array[0]}" == "999"

    def test_a_copy(self):
        array = np.array([1, 2, 3])
        tensor = ln.tensor(array)
        tensor[0] = 999
        assert f"{array[0]}" == "1"


class TestDevices:
    def test_a_tensor_is_on_the_host(self):
        assert f"{ln.tensor([1, 2, 3]).device}" == "cpu"

    @on_device
    def test_a_tensor_on_a_device(self):
        there = ln.tensor([1, 2, 3]).to("vulkan")
        assert f"{there.device}" == "vulkan:0" and there.is_vulkan
        assert repr(there) == "tensor([1, 2, 3], device='vulkan:0')"

    def test_a_device_is_chosen(self):
        place = ln.device("vulkan" if ln.vulkan.is_available() else "cpu")
        tensor = ln.tensor([1, 2, 3]).to(place)
        assert tensor.device.type == place.type and tensor.tolist() == [1, 2, 3]

    @on_device
    def test_there_and_back(self):
        here = ln.tensor([1.5, -2.0, 3.0])
        there = here.vulkan()
        back = there.cpu()
        assert f"{back.device}" == "cpu" and back.equal(here) and back.data_ptr() != here.data_ptr()
        with pytest.raises(ValueError, match=r"on vulkan:0; move it with \.cpu\(\)"):
            there.numpy()

    def test_where_there_is_no_cuda_it_says_what_there_is(self):
        with pytest.raises(ValueError, match="'cuda' is no device: .*'vulkan'"):
            ln.tensor([1]).to("cuda")

    @pytest.mark.skipif(ln.vulkan.is_available(), reason="there is a Vulkan device")
    def test_where_there_is_no_device_it_says_what_to_install(self):
        with pytest.raises(ln.errors.DeviceError, match="install"):
            ln.tensor([1]).vulkan()


class TestOperations:
    def test_each_two_elements(self):
        a, b = ln.tensor([1, 2, 3]), ln.tensor([4, 5, 6])
        assert f"{a + b}" == "tensor([5, 7, 9])"

    def test_reductions(self):
        a = ln.tensor([1, 2, 3])
        assert f"{a.float().mean()}" == "tensor(2.)" and f"{a.sum()}" == "tensor(6)"

    def test_gradients(self):
        x = ln.tensor([1.0, 2.0, 3.0], requires_grad=True)
        y = x ** 2
        z = y.sum()
        assert y.requires_grad and z.item() == 14
        z.backward()
        assert f"{x.grad}" == "tensor([2., 4., 6.])"

    def test_no_gradients(self):
        x = ln.tensor([1.0, 2.0, 3.0], requires_grad=True)
        with ln.no_grad():
            y = x * 2
        assert not y.requires_grad and y.numpy().tolist() == [2, 4, 6]
        assert (x * 2).requires_grad


def data():
    """Labels that can be learned, in the document's shapes: (100, 10) floats and 100 numbers of 2 classes."""
    rng = np.random.default_rng(0)
    inputs = rng.standard_normal((100, 10))
    return inputs, (inputs[:, 0] > inputs[:, 1]).astype(np.int64)


def train(device: str) -> None:
    ln.manual_seed(0)
    inputs, labels = data()
    x, y = ln.from_numpy(inputs).float().to(device), ln.from_numpy(labels).long().to(device)
    model = nn.Sequential(nn.Linear(10, 20), nn.ReLU(), nn.Linear(20, 2)).to(device)
    optimizer = optim.Adam(model.parameters(), lr=0.01)
    criterion = nn.CrossEntropyLoss()
    losses = []
    for _ in range(100):
        outputs = model(x)
        loss = criterion(outputs, y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert outputs.shape == (100, 2)
    # It begins near the loss of guessing, and has learned the labels by heart at the end.
    assert abs(losses[0] - np.log(2)) < 0.2 and losses[-1] < 0.05
    assert (model(x).argmax(1) == y).float().mean().item() == 1


class TestNetwork:
    def test_data(self):
        inputs, labels = data()
        x, y = ln.from_numpy(inputs).float(), ln.from_numpy(labels).long()
        assert (x.shape, x.dtype, y.shape, y.dtype) == ((100, 10), ln.float32, (100,), ln.int64)
        # Which is a copy for the inputs, of float64, and the same memory for the labels.
        assert x.data_ptr() != inputs.ctypes.data and y.data_ptr() == labels.ctypes.data

    def test_the_model(self):
        model = nn.Sequential(nn.Linear(10, 20), nn.ReLU(), nn.Linear(20, 2))
        assert [tuple(p.shape) for p in model.parameters()] == [(20, 10), (20,), (2, 20), (2,)]
        assert repr(model).splitlines()[1:-1] == [
            "  (0): Linear(in_features=10, out_features=20, bias=True)", "  (1): ReLU()",
            "  (2): Linear(in_features=20, out_features=2, bias=True)",
        ]

    def test_the_training_loop(self):
        train("cpu")

    @on_device
    def test_the_training_loop_on_a_device(self):
        train("vulkan")
