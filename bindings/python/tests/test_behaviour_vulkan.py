"""Arrays and tensors on their ways to Vulkan and back, statement by statement.

Torch's tensors are in test_behaviour_torch.py. What needs a device runs where there is one.
"""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import libnumpack as ln
from libnumpack import nn, optim, vulkan
from libnumpack.utils import (
    VulkanTensor, ensure_vulkan_compatible, to_vulkan, to_vulkan_batch, to_vulkan_gpu,
)

on_device = pytest.mark.skipif(not vulkan.is_available(), reason="there is no Vulkan device")
pytestmark = pytest.mark.filterwarnings("ignore:.*not a GPU.*:RuntimeWarning")

# What the document has differently, and what holds here:
# - a module computes where its parameters are, on the host at first; a VulkanTensor, or .vulkan(), moves it;
# - of a VulkanTensor a module makes a VulkanTensor, which stays on the device;
# - .cpu() gives a tensor on the host, .numpy() an array;
# - floats become float32, and integers stay integers, because they are indices.


@pytest.fixture
def x():
    return np.random.default_rng(0).standard_normal((10, 128)).astype(np.float32)


class TestConversion:
    def test_a_module_takes_an_array_and_gives_one(self, x):
        result = nn.Linear(128, 64)(x)
        assert type(result) is np.ndarray and result.shape == (10, 64) and result.dtype == np.float32

    def test_what_is_converted_before_gives_the_same(self, x):
        linear = nn.Linear(128, 64)
        assert np.array_equal(linear(to_vulkan(x)), linear(x))
        assert np.array_equal(linear(to_vulkan(x.astype(np.float64))), linear(x))

    def test_several_at_once(self):
        rng = np.random.default_rng(1)
        tensors = [ln.tensor(rng.standard_normal(shape)) for shape in ((10, 20), (5, 30), (8, 15))]
        found = to_vulkan_batch(tensors)
        assert type(found) is list and type(to_vulkan_batch(tuple(tensors))) is tuple
        for array, tensor in zip(found, tensors):
            assert type(array) is np.ndarray and array.dtype == np.float32
            assert np.array_equal(array, tensor.numpy().astype(np.float32))

    def test_a_network_of_several_layers(self):
        model = nn.Sequential(nn.Linear(384, 256), nn.ReLU(), nn.Linear(256, 128), nn.ReLU(), nn.Linear(128, 10))
        given = np.random.default_rng(2).standard_normal((32, 384)).astype(np.float32)
        found = model(to_vulkan(given))
        assert found.shape == (32, 10)
        # The same, written out.
        state = {name: tensor.numpy().astype(np.float64) for name, tensor in model.state_dict().items()}
        expected = given.astype(np.float64)
        for layer in ("0", "2", "4"):
            expected = expected @ state[f"{layer}.weight"].T + state[f"{layer}.bias"]
            expected = expected if layer == "4" else np.maximum(expected, 0)
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


class TestTypes:
    @pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.longdouble, ">f4"])
    def test_floats_are_float32(self, dtype):
        for convert in (to_vulkan, ensure_vulkan_compatible):
            found = convert(np.array([0.5, 1.5], dtype))
            assert found.dtype == np.float32 and found.tolist() == [0.5, 1.5]

    @pytest.mark.parametrize("dtype", [np.bool_, np.uint8, np.int32, np.int64])
    def test_integers_stay_integers(self, dtype):
        given = np.ones(3, dtype)
        assert to_vulkan(given) is given
        # Which a number of 2**24 + 1 needs.
        assert to_vulkan(np.array([16_777_217])).tolist() == [16_777_217]

    def test_whatever_is_like_an_array(self):
        assert to_vulkan([[1.0, 2.0]]).dtype == np.float32 and to_vulkan((1, 2)).dtype == np.int64
        assert to_vulkan(2.5).shape == () and to_vulkan(ln.ones(2, dtype="bfloat16")).dtype == np.float32

        class OfAnotherLibrary:
            def numpy(self):
                return np.array([0.5])

        assert to_vulkan(OfAnotherLibrary()).tolist() == [0.5]

    def test_memory_is_viewed_where_it_can_be(self, x):
        assert to_vulkan(x) is x and np.shares_memory(to_vulkan(x[2:]), x)
        assert np.shares_memory(to_vulkan(ln.from_numpy(x)), x)

    def test_gradients_are_left_behind(self):
        assert to_vulkan(ln.tensor([1.0, 2.0], requires_grad=True)).tolist() == [1, 2]

    @pytest.mark.parametrize("given", [None, "text", [1j], {"a": 1}, np.array([None])])
    def test_anything_else_is_refused(self, given):
        with pytest.raises(TypeError, match="floats and whole numbers"):
            to_vulkan(given)


class TestWithoutADevice:
    @pytest.fixture(autouse=True)
    def no_device(self, monkeypatch):
        def refuse(place):
            if place.type == "cpu":
                return ln.devices.cpu, None
            raise ln.errors.DeviceError("no Vulkan loader can be opened; install one")

        monkeypatch.setattr(ln.devices, "opened", refuse)

    def test_what_should_stay_there_is_an_array_with_a_warning(self, x):
        with pytest.warns(RuntimeWarning, match="array on the host.*install"):
            found = to_vulkan(x, keep_on_gpu=True)
        assert type(found) is np.ndarray and np.array_equal(found, x)

    def test_what_must_stay_there_is_an_error(self, x):
        with pytest.raises(ln.errors.DeviceError, match="install"):
            to_vulkan_gpu(x)

    def test_arrays_are_computed_with_all_the_same(self, x):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert nn.Linear(128, 64)(to_vulkan(x)).shape == (10, 64)


@on_device
class TestOnADevice:
    def test_a_tensor_stays_there(self, x):
        linear = nn.Linear(128, 64)
        expected = linear(x)
        there = to_vulkan_gpu(x)
        assert type(there) is VulkanTensor and there.is_vulkan
        result = linear(there)
        assert type(result) is VulkanTensor and result.shape == (10, 64)
        np.testing.assert_allclose(result.numpy(), expected, rtol=1e-4, atol=1e-5)

    def test_keep_on_gpu_is_the_same(self, x):
        there = to_vulkan(x, keep_on_gpu=True)
        assert type(there) is VulkanTensor and np.array_equal(there.numpy(), x)
        assert type(nn.Linear(128, 64)(there)) is VulkanTensor

    def test_what_it_has(self, x):
        there = to_vulkan_gpu(x.astype(np.float64))
        assert there.shape == (10, 128) and there.dtype is ln.float32 and f"{there.device}" == "vulkan:0"
        assert type(there.numpy()) is np.ndarray and np.array_equal(there.numpy(), x)
        here = there.cpu()
        assert f"{here.device}" == "cpu" and np.array_equal(here.numpy(), x)

    def test_it_is_taken_everywhere(self, x):
        there = to_vulkan_gpu(x)
        assert to_vulkan_gpu(there) is there
        for convert in (to_vulkan, ensure_vulkan_compatible):
            assert type(convert(there)) is np.ndarray and np.array_equal(convert(there), x)
        assert [type(a) for a in to_vulkan_batch([there, x])] == [np.ndarray, np.ndarray]

    def test_between_layers_it_stays_there(self, x):
        seen = []

        class Look(nn.Module):
            def forward(self, given):
                seen.append(given.device.type)
                return given

        model = nn.Sequential(nn.Linear(128, 16), Look(), nn.ReLU(), Look(), nn.Linear(16, 4))
        there = model(to_vulkan_gpu(x))
        assert seen == ["vulkan", "vulkan"]
        # An array is computed with there too, from now on, and comes back.
        again = model(x)
        assert type(again) is np.ndarray
        np.testing.assert_allclose(again, there.numpy(), rtol=1e-5, atol=1e-6)

    def test_numbers_of_tokens(self):
        embedding = nn.Embedding(50, 8)
        tokens = np.array([[3, 49], [0, 3]])
        found = embedding(to_vulkan_gpu(tokens))
        assert np.array_equal(found.numpy(), embedding.weight.detach().cpu().numpy()[tokens])

    def test_it_trains(self):
        ln.manual_seed(0)
        rng = np.random.default_rng(3)
        inputs = rng.standard_normal((64, 8)).astype(np.float32)
        labels = (inputs[:, 0] > 0).astype(np.int64)
        model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 2)).vulkan()
        optimizer = optim.Adam(model.parameters(), lr=0.02)
        x, y = to_vulkan_gpu(inputs), to_vulkan_gpu(labels)
        losses = []
        for _ in range(60):
            loss = nn.CrossEntropyLoss()(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        assert losses[-1] < losses[0] / 3
