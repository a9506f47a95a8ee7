"""What goes to Vulkan devices and comes back; on a device, where there is one."""

from __future__ import annotations

import collections
import sys
import warnings

import numpy as np
import pytest

import libnumpack
from libnumpack import errors, nn, optim, utils, vulkan
from libnumpack.vulkan import VulkanTensor

on_device = pytest.mark.skipif(not vulkan.is_available(), reason="there is no Vulkan device")
# That a device is a program on the host is said once.
pytestmark = pytest.mark.filterwarnings("ignore:.*not a GPU.*:RuntimeWarning")


@pytest.fixture
def rng():
    return np.random.default_rng(2)


@pytest.fixture
def no_device(monkeypatch):
    """As on a machine without a Vulkan driver."""

    opened = libnumpack.devices.opened

    def refuse(place):
        if place.type == "cpu":
            return opened(place)
        raise errors.DeviceError("no Vulkan loader can be opened; install one")

    monkeypatch.setattr(libnumpack.devices, "opened", refuse)


# Arrays.


def test_floats_become_float32_and_all_else_stays(rng):
    for dtype in (np.float64, np.float16, np.float32, ">f4", ">f8"):
        given = rng.standard_normal((3, 4)).astype(dtype)
        for convert in (vulkan.to_vulkan, vulkan.ensure_vulkan_compatible):
            found = convert(given)
            assert type(found) is np.ndarray and found.dtype == np.float32
            np.testing.assert_array_equal(found, given.astype(np.float32))
    for dtype in (np.int64, np.int32, np.int8, np.uint8, np.uint16, np.bool_):
        given = np.ones(3, dtype)
        assert vulkan.to_vulkan(given) is given
    swapped = vulkan.to_vulkan(np.arange(3, dtype=">i8"))
    assert swapped.dtype == np.int64 and swapped.dtype.isnative and swapped.tolist() == [0, 1, 2]


def test_what_is_as_it_should_be_is_not_copied(rng):
    given = rng.standard_normal((3, 4)).astype(np.float32)
    assert vulkan.to_vulkan(given) is given
    assert np.shares_memory(vulkan.to_vulkan(given[1:]), given)
    turned = vulkan.to_vulkan(given.T)
    assert turned.flags.c_contiguous and not np.shares_memory(turned, given)
    np.testing.assert_array_equal(turned, given.T)
    tensor = libnumpack.from_numpy(given)
    assert np.shares_memory(vulkan.to_vulkan(tensor), given)
    scalar = vulkan.to_vulkan(np.float64(2.5))
    assert scalar.shape == () and scalar.dtype == np.float32
    assert vulkan.to_vulkan(np.ones(2, np.longdouble)).dtype == np.float32
    with pytest.raises(ValueError, match="unequal lengths"):
        vulkan.to_vulkan([[1, 2], [3]])


def test_lists_numbers_and_tensors():
    assert vulkan.to_vulkan([[1.0, 2.0], [3.0, 4.0]]).dtype == np.float32
    assert vulkan.to_vulkan([1, 2]).dtype == np.int64
    wanting = libnumpack.tensor([1.0, 2.0], requires_grad=True)
    assert vulkan.to_vulkan(wanting).tolist() == [1, 2]
    half = libnumpack.tensor([1.5], dtype=libnumpack.bfloat16)
    assert vulkan.to_vulkan(half).dtype == np.float32

    class OfTensorFlow:
        def numpy(self):
            return np.array([0.5])

    assert vulkan.to_vulkan(OfTensorFlow()).dtype == np.float32


@pytest.mark.parametrize("given", [np.ones(2, np.complex64), np.array(["a"]), np.array([None]), "text"])
def test_what_nothing_is_computed_with(given):
    with pytest.raises(TypeError, match="floats and whole numbers"):
        vulkan.ensure_vulkan_compatible(given)


def test_batches_keep_their_form(rng):
    arrays = [rng.standard_normal(shape) for shape in ((10, 20), (5, 30), (8, 15))]
    found = vulkan.to_vulkan_batch(arrays)
    assert type(found) is list and [a.shape for a in found] == [(10, 20), (5, 30), (8, 15)]
    assert all(a.dtype == np.float32 for a in found)
    assert type(vulkan.to_vulkan_batch(tuple(arrays))) is tuple
    Pair = collections.namedtuple("Pair", "a b")
    pair = vulkan.to_vulkan_batch(Pair(arrays[0], [1, 2]))
    assert type(pair) is Pair and pair.b.tolist() == [1, 2]
    assert type(vulkan.to_vulkan_batch(arrays[0])) is np.ndarray


def test_arguments_are_converted():
    given = np.ones(2)
    args, kwargs = vulkan.convert_module_inputs(
        libnumpack.ones(2), given, 3, mask=libnumpack.tensor([1]), name="x"
    )
    assert type(args) is tuple and type(args[0]) is np.ndarray
    assert args[1] is given and args[2] == 3
    assert kwargs["mask"].dtype == np.int64 and kwargs["name"] == "x"

    @vulkan.auto_convert_to_vulkan
    def kinds(*args, **kwargs):
        """Kinds of arguments."""
        return [type(a).__name__ for a in (*args, *kwargs.values())]

    assert kinds(libnumpack.ones(1), [1], also=libnumpack.ones(1)) == ["ndarray", "list", "ndarray"]
    assert kinds.__name__ == "kinds" and kinds.__doc__ == "Kinds of arguments."


def test_names_are_in_utils_too():
    for name in utils.__all__:
        assert getattr(utils, name) is getattr(vulkan, name)
    assert {
        "to_vulkan", "to_vulkan_gpu", "to_vulkan_batch", "from_vulkan", "ensure_vulkan_compatible",
        "convert_module_inputs", "auto_convert_to_vulkan", "VulkanTensor",
    } <= set(utils.__all__)


# Without a device.


def test_without_a_device_there_is_an_array_and_a_warning(no_device):
    with pytest.warns(RuntimeWarning, match="array on the host.*install"):
        found = vulkan.to_vulkan(np.ones(3), keep_on_gpu=True)
    assert type(found) is np.ndarray and found.dtype == np.float32
    with pytest.raises(errors.DeviceError, match="install"):
        vulkan.to_vulkan_gpu(np.ones(3))
    with pytest.raises(errors.DeviceError):
        nn.Linear(2, 1).vulkan()


def test_without_a_device_modules_compute_on_the_host(no_device, rng):
    model = nn.Sequential(nn.Linear(8, 4), nn.ReLU(), nn.Linear(4, 2))
    assert model(rng.standard_normal((3, 8))).shape == (3, 2)


def test_without_torch_its_tensors_are_a_dependency(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(errors.DependencyError, match="pip install torch"):
        vulkan.from_vulkan(np.ones(2), device="cpu")


def test_devices_are_listed_or_it_is_said_what_to_install():
    if vulkan.is_available():
        found = vulkan.devices()
        assert [d.index for d in found] == list(range(len(found)))
        for device in found:
            assert device.name and device.uuid and device.driver and device.memory > 0
            assert device.kind in ("discrete", "integrated", "virtual", "other", "software")
            assert device.problem is None or device.problem
    else:
        try:
            assert all(device.problem for device in vulkan.devices())
        except errors.DeviceError as e:
            assert "install" in str(e)


# On a device.


@on_device
def test_a_tensor_that_stays_on_the_device(rng):
    given = rng.standard_normal((10, 16))
    kept = vulkan.to_vulkan(given, keep_on_gpu=True)
    for made in (vulkan.to_vulkan_gpu(given), kept, VulkanTensor(given.tolist())):
        assert type(made) is VulkanTensor
        assert made.device.type == "vulkan" and made.shape == (10, 16) and made.dtype == libnumpack.float32
        found = made.numpy()
        assert type(found) is np.ndarray
        np.testing.assert_array_equal(found, given.astype(np.float32))
        np.testing.assert_array_equal(np.asarray(made), found)
        here = made.cpu()
        assert here.device == libnumpack.device("cpu")
        np.testing.assert_array_equal(here.numpy(), found)
        assert vulkan.to_vulkan_gpu(made) is made
        np.testing.assert_array_equal(vulkan.to_vulkan(made), found)
    assert vulkan.to_vulkan_gpu(np.arange(3)).dtype == libnumpack.int64
    with pytest.raises(ValueError, match="no Vulkan device"):
        VulkanTensor(given, device="cpu")


@on_device
def test_numbers_and_arrays_of_any_type_are_written_to_elements():
    x = libnumpack.zeros(2, 3, device="vulkan")
    x[0] = np.array([[1.0, 2.0, 3.0]])
    x[1, 1:] = [4, 5]
    x[:, 0] = libnumpack.tensor([7, 8], device="vulkan")
    x[0, 1] = True
    assert x.tolist() == [[7, 1, 3], [8, 4, 5]]
    x[0] = libnumpack.ones(3)
    assert x.tolist() == [[1, 1, 1], [8, 4, 5]]


@on_device
def test_what_is_computed_of_one_is_one(rng):
    a, b = rng.standard_normal((2, 4, 4)).astype(np.float32)
    x = vulkan.to_vulkan_gpu(a)
    plain = libnumpack.tensor(b).to("vulkan")
    assert type(plain) is libnumpack.Tensor
    for found, expected in [
        (x + 1, a + 1), (x * plain, a * b), (plain * x, a * b), (x @ x, a @ a), (x[1:, 0], a[1:, 0]),
        (x.sum(0), a.sum(0)), (x.transpose(0, 1), a.T), (x.reshape(16), a.reshape(16)), (x.detach(), a),
    ]:
        assert type(found) is VulkanTensor
        np.testing.assert_allclose(found.numpy(), expected, rtol=1e-4, atol=1e-6)


@on_device
def test_tensors_bring_their_gradients_along():
    x = libnumpack.tensor([1.0, 2.0], requires_grad=True)
    there = vulkan.to_vulkan_gpu(x)
    assert there.requires_grad and there.numpy().tolist() == [1, 2]
    (there * there).sum().backward()
    assert x.grad.tolist() == [2, 4]


@on_device
def test_a_tensor_on_a_device_keeps_its_memory():
    x = libnumpack.ones(3).to("vulkan")
    there = vulkan.to_vulkan_gpu(x)
    there.fill_(5)
    assert x.cpu().tolist() == [5, 5, 5]


def model_of(*sizes):
    layers = []
    for a, b in zip(sizes, sizes[1:]):
        layers += [nn.Linear(a, b), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


@on_device
def test_modules_give_what_they_are_given(rng):
    model = model_of(12, 8, 4)
    x = rng.standard_normal((5, 12)).astype(np.float32)
    expected = model(x)
    found = model(vulkan.to_vulkan_gpu(x))
    assert type(found) is VulkanTensor and found.requires_grad
    assert all(p.device.type == "vulkan" for p in model.parameters())
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-4, atol=1e-5)
    # From now on arrays are computed with there too, and come back.
    again = model(x)
    assert type(again) is np.ndarray
    np.testing.assert_allclose(again, expected, rtol=1e-4, atol=1e-5)
    there = model(libnumpack.tensor(x).to("vulkan"))
    assert type(there) is libnumpack.Tensor and there.is_vulkan
    with pytest.raises(errors.SharingError, match=r"on cpu, and Sequential on vulkan:0.*\.to\('vulkan:0'\)"):
        model(libnumpack.tensor(x))
    model.cpu()
    np.testing.assert_array_equal(model(x), expected)
    with pytest.raises(errors.SharingError, match="move"):
        model(libnumpack.tensor(x).to("vulkan"))


@on_device
def test_gradients_come_back_to_an_input():
    model = model_of(3, 2)
    x = VulkanTensor([[1.0, 2.0, 3.0]]).requires_grad_()
    model(x).sum().backward()
    expected = model[0].weight.detach().cpu().numpy().sum(0, keepdims=True)
    np.testing.assert_allclose(x.grad.cpu().numpy(), expected, rtol=1e-5)
    assert model[0].bias.grad.is_vulkan


@on_device
def test_moving_keeps_parameters_and_gradients():
    model = model_of(4, 3)
    params = list(model.parameters())
    model(libnumpack.ones(2, 4)).sum().backward()
    grads = [p.grad.numpy().copy() for p in params]
    assert model.vulkan() is model
    for a, b, grad in zip(params, model.parameters(), grads):
        assert a is b and a.is_vulkan and a.requires_grad and a.is_leaf
        assert a.grad.is_vulkan
        np.testing.assert_array_equal(a.grad.cpu().numpy(), grad)
    state = model.state_dict()
    assert all(t.is_vulkan for t in state.values())
    other = model_of(4, 3)
    other.load_state_dict(state)
    np.testing.assert_array_equal(other[0].weight.detach().numpy(), params[0].detach().cpu().numpy())
    model.to("cpu")
    model.load_state_dict(other.state_dict())
    # Of a type that devices do not have.
    values = {name: t.numpy().astype(np.float64) for name, t in model.state_dict().items()}
    model.vulkan().load_state_dict(values)
    model.to("cpu", libnumpack.float64)
    for name, t in model.state_dict().items():
        assert t.dtype == libnumpack.float64 and t.device == libnumpack.device("cpu")
        np.testing.assert_array_equal(t.numpy(), values[name])
    with pytest.raises(TypeError, match="float64"):
        model.vulkan()
    assert model.to("vulkan", libnumpack.float32)[0].weight.is_vulkan


@on_device
def test_a_module_does_not_move_where_another_input_is_elsewhere():
    module = nn.MultiheadAttention(4, 1)
    with pytest.raises(errors.SharingError, match="on cpu"):
        module(VulkanTensor([[1.0] * 4]), libnumpack.ones(1, 4), libnumpack.ones(1, 4))
    assert not module.out_proj.weight.is_vulkan


@on_device
@pytest.mark.parametrize(
    "make",
    [
        lambda: nn.Linear(8, 8), lambda: nn.Sequential(nn.Linear(8, 8), nn.GELU()), nn.Tanh, nn.Sigmoid,
        nn.SiLU, lambda: nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 3)),
        lambda: nn.Softmax(-1), lambda: nn.LogSoftmax(1), lambda: nn.LayerNorm(8), lambda: nn.RMSNorm(8),
        lambda: nn.Flatten(0, 1), lambda: nn.TransformerEncoderLayer(8, 2, 16, 0.0, batch_first=True),
    ],
)
def test_layers_compute_what_the_host_does(make, rng):
    layer = make()
    x = rng.standard_normal((2, 8, 8) if "Transformer" in repr(layer) else (4, 8)).astype(np.float32)

    def outcome(place):
        layer.to(place)
        layer.zero_grad()
        given = libnumpack.tensor(x).to(place).requires_grad_()
        found = layer(given)
        (found * found).sum().backward()
        grads = [t.grad.cpu().numpy() for t in (given, *layer.parameters())]
        return [found.detach().cpu().numpy(), *grads]

    for there, here in zip(outcome("vulkan"), outcome("cpu")):
        np.testing.assert_allclose(there, here, rtol=1e-3, atol=1e-4)


@on_device
def test_an_index_that_leads_nowhere_is_said_by_the_next_read():
    found = nn.Embedding(4, 2).to("vulkan")(libnumpack.tensor([5]).to("vulkan"))
    with pytest.raises(IndexError, match="index 5"):
        found.cpu()
    logits, target = libnumpack.ones(1, 2).to("vulkan"), libnumpack.tensor([5]).to("vulkan")
    assert np.isnan(nn.functional.cross_entropy(logits, target).item())


@on_device
def test_embeddings_and_attention_on_a_device(rng):
    class Reader(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed = nn.Embedding(20, 8, padding_idx=0)
            self.attention = nn.MultiheadAttention(8, 2, batch_first=True)

        def forward(self, tokens):
            x = self.embed(tokens)
            return self.attention(x, x, x, key_padding_mask=tokens == 0, is_causal=True)

    tokens = np.array([[3, 7, 1, 0], [5, 5, 19, 2]])
    model = Reader()
    expected = model(tokens)
    model.vulkan()
    for found, wanted in zip(model(tokens), expected):
        assert type(found) is np.ndarray
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)
    out, weights = model(vulkan.to_vulkan_gpu(tokens))
    assert type(out) is VulkanTensor and type(weights) is VulkanTensor


@on_device
@pytest.mark.parametrize("make", [
    lambda p: optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=0.01), lambda p: optim.Adam(p, lr=0.05),
    lambda p: optim.AdamW(p, lr=0.05, amsgrad=True),
])
def test_optimisers_on_a_device(make, rng):
    start, grads = rng.standard_normal((3, 4)), rng.standard_normal((4, 3, 4))

    def trained(place):
        param = libnumpack.tensor(start.astype(np.float32)).to(place).requires_grad_()
        optimizer = make([param])
        for g in grads:
            param.grad = libnumpack.tensor(g.astype(np.float32)).to(place)
            optimizer.step()
        return param.detach().cpu().numpy()

    np.testing.assert_allclose(trained("vulkan"), trained("cpu"), rtol=1e-4, atol=1e-6)


@on_device
def test_losses_of_tensors_on_a_device_take_arrays(rng):
    logits = libnumpack.tensor(rng.standard_normal((6, 3)).astype(np.float32))
    y = rng.integers(0, 3, 6)
    here = nn.CrossEntropyLoss()(logits, y)
    there = nn.CrossEntropyLoss()(vulkan.to_vulkan_gpu(logits), y)
    assert type(there) is VulkanTensor
    assert there.item() == pytest.approx(here.item(), rel=1e-5)


def test_nothing_is_said_where_all_is_well():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        vulkan.to_vulkan(np.ones(2))
        vulkan.to_vulkan_batch([np.ones(2)])
