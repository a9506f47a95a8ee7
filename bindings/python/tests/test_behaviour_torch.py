"""What the documents say of torch's own tensors: conversions to stores and files, ways to Vulkan and back.

The examples say ``cuda``; where torch has none, its tensors are on the host, as `from_vulkan` has it.
"""

from __future__ import annotations

import subprocess
import sys
import warnings

import numpy as np
import pytest

import libnumpack as ln
from libnumpack import NumPack, nn, vulkan
from libnumpack.io import from_torch, from_torch_file, to_torch, to_torch_file
from libnumpack.utils import from_vulkan, to_vulkan, to_vulkan_batch, to_vulkan_gpu

torch = pytest.importorskip("torch")

PLACE = "cuda" if torch.cuda.is_available() else "cpu"
on_device = pytest.mark.skipif(not vulkan.is_available(), reason="there is no Vulkan device")
pytestmark = pytest.mark.filterwarnings("ignore:.*not a GPU.*:RuntimeWarning")


class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = torch.nn.Linear(4, 3)
        self.head = torch.nn.Linear(3, 2, bias=False)


class TestStores:
    def test_a_tensor_is_saved(self, tmp_path):
        tensor = torch.randn(1000, 128)
        assert from_torch(tensor, tmp_path / "output.npk", array_name="embeddings") is None
        with NumPack(tmp_path / "output.npk") as npk:
            assert npk.get_member_list() == ["embeddings"]
            assert np.array_equal(npk.load("embeddings"), tensor.numpy())

    def test_without_a_name_it_is_data(self, tmp_path):
        from_torch(torch.ones(2), str(tmp_path / "output.npk"))
        with NumPack(tmp_path / "output.npk") as npk:
            assert npk.get_member_list() == ["data"]

    def test_overwriting(self, tmp_path):
        store = tmp_path / "output.npk"
        from_torch(torch.ones(2), store, "a")
        from_torch(torch.zeros(3), store, "b")
        from_torch(torch.full((4,), 5.0), store, "a")
        assert to_torch(store, "a").tolist() == [5] * 4 and to_torch(store, "b").tolist() == [0] * 3
        from_torch(torch.ones(1), store, "c", drop_if_exists=True)
        assert to_torch(store).tolist() == [1]

    def test_an_array_is_loaded(self, tmp_path):
        tensor = torch.randn(5, 3)
        from_torch(tensor, tmp_path / "input.npk", array_name="embeddings")
        for found in (to_torch(tmp_path / "input.npk", array_name="embeddings"), to_torch(str(tmp_path / "input.npk"))):
            assert type(found) is torch.Tensor and found.device.type == "cpu" and torch.equal(found, tensor)
        # It is nobody else's.
        found.zero_()
        assert torch.equal(to_torch(tmp_path / "input.npk"), tensor)

    @pytest.mark.parametrize("device", [PLACE, torch.device(PLACE), "meta", torch.device("meta")], ids=str)
    def test_an_array_is_loaded_to_a_device(self, tmp_path, device):
        from_torch(torch.ones(2), tmp_path / "input.npk")
        assert to_torch(tmp_path / "input.npk", device=device).device.type == torch.device(device).type

    def test_of_several_one_has_to_be_named(self, tmp_path):
        from_torch(torch.ones(2), tmp_path / "input.npk", "weight")
        from_torch(torch.ones(2), tmp_path / "input.npk", "bias")
        with pytest.raises(ValueError, match="'bias', 'weight'.*array_name"):
            to_torch(tmp_path / "input.npk")
        with pytest.raises(KeyError, match="'bias', 'weight'"):
            to_torch(tmp_path / "input.npk", "missing")

    def test_a_model_parameter_by_parameter(self, tmp_path):
        model = Model()
        for name, param in model.named_parameters():
            from_torch(param.data, tmp_path / "model.npk", array_name=name)
        state = {name: to_torch(tmp_path / "model.npk", name) for name, _ in model.named_parameters()}
        assert list(state) == ["encoder.weight", "encoder.bias", "head.weight"]
        assert Model().load_state_dict(state).missing_keys == []
        weight = to_torch(tmp_path / "model.npk", array_name="encoder.weight", device=PLACE)
        assert torch.equal(weight.cpu(), model.encoder.weight)

    def test_a_parameter_itself_and_any_strides(self, tmp_path):
        param = torch.nn.Parameter(torch.randn(4, 3))
        from_torch(param, tmp_path / "o.npk", "param")
        from_torch(param.T[::2], tmp_path / "o.npk", "view")
        assert torch.equal(to_torch(tmp_path / "o.npk", "param"), param)
        assert torch.equal(to_torch(tmp_path / "o.npk", "view"), param.T[::2])


class TestFiles:
    def test_a_file_of_torchs(self, tmp_path):
        state = Model().state_dict()
        torch.save(state, tmp_path / "model.pt")
        from_torch_file(tmp_path / "model.pt", tmp_path / "output.npk")
        for name, tensor in state.items():
            assert torch.equal(to_torch(tmp_path / "output.npk", name), tensor)
        from_torch_file(tmp_path / "model.pt", tmp_path / "one.npk", key="encoder.weight")
        assert torch.equal(to_torch(tmp_path / "one.npk"), state["encoder.weight"])

    def test_a_file_for_torch(self, tmp_path):
        with NumPack(tmp_path / "input.npk") as npk:
            npk.save({"weights": np.ones((2, 2), np.float32), "biases": np.arange(2), "other": np.zeros(1)})
        to_torch_file(tmp_path / "input.npk", tmp_path / "output.pt")
        found = torch.load(tmp_path / "output.pt", weights_only=True)
        assert list(found) == ["weights", "biases", "other"] and torch.equal(found["weights"], torch.ones(2, 2))
        to_torch_file(tmp_path / "input.npk", tmp_path / "output.pt", array_names=["weights", "biases"])
        assert list(torch.load(tmp_path / "output.pt", weights_only=True)) == ["weights", "biases"]

    def test_a_checkpoint_there_and_back(self, tmp_path):
        model = Model()
        optimizer = torch.optim.Adam(model.parameters())
        model.head(model.encoder(torch.ones(1, 4))).sum().backward()
        optimizer.step()
        torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, tmp_path / "checkpoint.pt")
        from_torch_file(tmp_path / "checkpoint.pt", tmp_path / "model.npk")
        to_torch_file(tmp_path / "model.npk", tmp_path / "restored.pt")
        found = torch.load(tmp_path / "restored.pt", weights_only=True)
        again = Model()
        again.load_state_dict(found["model"])
        other = torch.optim.Adam(again.parameters())
        other.load_state_dict(found["optimizer"])
        assert all(torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters()))
        assert other.state_dict()["param_groups"] == optimizer.state_dict()["param_groups"]
        for a, b in zip(optimizer.state_dict()["state"].values(), other.state_dict()["state"].values()):
            assert list(a) == list(b) and all(torch.equal(a[key], b[key]) for key in a)


class TestVulkan:
    def test_a_module_takes_a_tensor_of_torchs(self):
        linear = nn.Linear(128, 64)
        x = torch.randn(10, 128)
        result = linear(x)
        assert f"{type(result)}" == "<class 'numpy.ndarray'>" and f"{result.shape}" == "(10, 64)"
        theirs = torch.nn.functional.linear(x, *(torch.from_dlpack(t) for t in linear.state_dict().values()))
        np.testing.assert_allclose(result, theirs.numpy(), rtol=1e-4, atol=1e-5)

    def test_it_is_converted_from_wherever_it_is(self):
        x = torch.randn(10, 128).to(PLACE)
        array = to_vulkan(x)
        assert type(array) is np.ndarray and array.dtype == np.float32 and np.array_equal(array, x.cpu().numpy())
        linear = nn.Linear(128, 64)
        assert np.array_equal(linear(array), linear(x))

    @pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
    def test_floats_are_float32(self, dtype):
        found = to_vulkan(torch.tensor([0.5, 1.5], dtype=getattr(torch, dtype)))
        assert found.dtype == np.float32 and found.tolist() == [0.5, 1.5]

    def test_it_is_detached(self):
        x = torch.ones(2, requires_grad=True)
        assert to_vulkan(x * 2).tolist() == [2, 2] and x.requires_grad
        assert to_vulkan(torch.nn.Parameter(x)).tolist() == [1, 1]

    def test_memory_is_viewed_where_it_can_be(self):
        x = torch.zeros(3)
        array = to_vulkan(x)
        x[0] = 5
        assert array.tolist() == [5, 0, 0]

    def test_several_at_once(self):
        tensors = [torch.randn(10, 20), torch.randn(5, 30), torch.randn(8, 15)]
        found = to_vulkan_batch(tensors)
        assert type(found) is list and all(np.array_equal(a, t.numpy()) for a, t in zip(found, tensors))
        assert type(to_vulkan_batch(tuple(tensors))) is tuple

    def test_the_way_back(self):
        result = nn.Linear(128, 64)(np.random.default_rng(0).standard_normal((10, 128)).astype(np.float32))
        found = from_vulkan(result, device="cpu")
        assert f"{type(found)}" == "<class 'torch.Tensor'>" and np.array_equal(found.numpy(), result)
        assert from_vulkan(result, device=torch.device(PLACE)).device.type == PLACE

    def test_the_way_back_is_to_cuda_if_nothing_is_said(self):
        if PLACE == "cuda":
            assert from_vulkan(np.ones(2, np.float32)).is_cuda
            return
        with pytest.warns(UserWarning, match="no CUDA.*device='cpu'"):
            found = from_vulkan(np.ones(2, np.float32))
        assert found.device.type == "cpu" and found.tolist() == [1, 1]

    @pytest.mark.parametrize("direct", [False, True])
    def test_the_whole_way(self, direct):
        given = torch.randn(32, 384).to(PLACE)
        model = nn.Sequential(nn.Linear(384, 256), nn.ReLU(), nn.Linear(256, 128), nn.ReLU(), nn.Linear(128, 10))
        output = model(given if direct else to_vulkan(given))
        final = torch.softmax(from_vulkan(output, device=PLACE), dim=-1)
        assert final.shape == (32, 10) and torch.allclose(final.sum(-1), torch.ones(32, device=PLACE))

        theirs = torch.nn.Sequential(
            torch.nn.Linear(384, 256), torch.nn.ReLU(), torch.nn.Linear(256, 128), torch.nn.ReLU(),
            torch.nn.Linear(128, 10),
        )
        theirs.load_state_dict({name: torch.from_dlpack(tensor) for name, tensor in model.state_dict().items()})
        expected = torch.softmax(theirs(given.cpu()), dim=-1)
        assert torch.allclose(final.cpu(), expected, rtol=1e-4, atol=1e-6)

    @on_device
    def test_on_a_device_from_end_to_end(self):
        x = torch.randn(10, 128)
        linear = nn.Linear(128, 64)
        expected = linear(x)
        for there in (to_vulkan_gpu(x), to_vulkan(x, keep_on_gpu=True)):
            result = linear(there)
            assert type(result) is vulkan.VulkanTensor
            found = from_vulkan(result, device="cpu")
            np.testing.assert_allclose(found.numpy(), expected, rtol=1e-4, atol=1e-5)


class TestBeside:
    """The rules of the documents on NumPy, beside torch's own."""

    def test_what_differs(self):
        array = np.array([1.0, 2.0, 3.0])
        array.setflags(write=False)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            assert torch.from_numpy(array).tolist() == [1, 2, 3]
        with pytest.raises(ValueError, match="read-only"):
            ln.from_numpy(array)

    @pytest.mark.parametrize("data", [
        [1.0, 2.0], [1, 2], 7, 2.5, True, (1, 2.5), [[1], [2]], np.float64(1.5), np.array([1, 2], np.int16), [True, 2],
        np.array([1j]), [1j], [],
    ], ids=str)
    def test_types_and_texts_are_the_same(self, data):
        ours, theirs = ln.tensor(data), torch.tensor(data)
        assert repr(ours).replace("libnumpack.", "torch.") == repr(theirs)
        assert str(ours.dtype).replace("libnumpack.", "torch.") == str(theirs.dtype)

    def test_what_is_refused_is_refused_by_both(self):
        for name, wrong in [
            ("from_numpy", [1, 2]), ("from_numpy", np.array(["a"])), ("from_numpy", np.arange(3)[::-1]),
            ("tensor", [[1, 2], [3]]), ("tensor", "text"), ("tensor", [None]),
        ]:
            for library in (torch, ln):
                with pytest.raises((TypeError, ValueError, RuntimeError)):
                    getattr(library, name)(wrong)
        for library in (torch, ln):
            with pytest.raises(RuntimeError):
                library.tensor([1.0], requires_grad=True).numpy()


def test_nothing_of_torch_is_needed_for_files(tmp_path):
    torch.save({"x": torch.ones(2)}, tmp_path / "model.pt")
    program = (
        "import sys; sys.modules['torch'] = None\n"
        "from libnumpack.io import from_torch_file, to_torch_file\n"
        "from_torch_file('model.pt', 'model.npk'); to_torch_file('model.npk', 'again.pt')\n"
    )
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=True)
    assert torch.load(tmp_path / "again.pt", weights_only=True)["x"].tolist() == [1, 1]
