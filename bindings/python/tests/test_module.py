"""Modules: parts by name, states, moves, and what calls take and give."""

from __future__ import annotations

import copy
import pickle
from collections import OrderedDict

import numpy as np
import pytest

import libnumpack
from libnumpack import nn
from libnumpack.errors import SharingError


def classifier():
    return nn.Sequential(nn.Linear(10, 20), nn.ReLU(), nn.Linear(20, 2))


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = classifier()
        self.scale = nn.Parameter(libnumpack.ones(2))
        self.register_buffer("shift", libnumpack.zeros(2))
        self.register_buffer("scratch", libnumpack.zeros(1), persistent=False)
        self.twin = self.body[2]

    def forward(self, x):
        return self.body(x) * self.scale + self.shift


# Parts.


def test_names_of_parts_are_dotted_and_each_comes_once():
    net = Net()
    assert [name for name, _ in net.named_parameters()] == [
        "scale", "body.0.weight", "body.0.bias", "body.2.weight", "body.2.bias"
    ]
    assert [name for name, _ in net.named_parameters("net", recurse=False)] == ["net.scale"]
    assert [name for name, _ in net.named_buffers()] == ["shift", "scratch"]
    assert [name for name, _ in net.named_modules()] == ["", "body", "body.0", "body.1", "body.2"]
    assert [name for name, _ in net.named_modules(remove_duplicate=False)][-1] == "twin"
    assert [name for name, _ in net.named_children()] == ["body", "twin"]
    assert net.twin is net.body[2]
    assert len(list(net.parameters())) == 5
    twice = nn.ModuleList([net.twin, net.twin])
    assert len(list(twice.children())) == 1
    assert [n for n, _ in net.named_parameters(remove_duplicate=False)][-2:] == ["twin.weight", "twin.bias"]
    assert net.get_submodule("body.2") is net.twin
    assert net.get_parameter("body.0.bias") is net.body[0].bias
    with pytest.raises(AttributeError):
        net.get_submodule("body.7")
    with pytest.raises(AttributeError, match="no parameter"):
        net.get_parameter("shift")


def test_attributes_that_become_parts():
    net = nn.Module()
    net.weight = nn.Parameter(libnumpack.ones(2))
    assert list(dict(net.named_parameters())) == ["weight"]
    net.weight = None
    assert not list(net.parameters())
    assert net.weight is None
    net.weight = nn.Parameter(libnumpack.ones(3))
    assert net.weight.shape == (3,)
    with pytest.raises(TypeError, match="parameter"):
        net.weight = libnumpack.ones(3)
    net.weight = nn.Linear(1, 1)
    assert [name for name, _ in net.named_parameters()] == ["weight.weight", "weight.bias"]
    with pytest.raises(TypeError, match="module"):
        net.weight = 3
    net.register_buffer("mean", libnumpack.zeros(2))
    net.mean = libnumpack.ones(2)
    assert net.mean.tolist() == [1, 1]
    assert net.state_dict()["mean"].tolist() == [1, 1]
    with pytest.raises(TypeError, match="buffer"):
        net.mean = 5
    net.plain = 5
    net.plain = nn.Parameter(libnumpack.ones(1))
    assert net.get_parameter("plain") is net.plain
    assert {"plain", "mean", "weight"} <= set(dir(net))
    del net.plain
    with pytest.raises(AttributeError, match="'plain'"):
        net.plain  # noqa: B018
    with pytest.raises(AttributeError, match="nothing"):
        net.nothing  # noqa: B018


def test_names_that_cannot_be():
    net = nn.Module()
    net.taken = 1
    for name, kind in (("a.b", KeyError), ("", KeyError), ("taken", KeyError), (3, TypeError)):
        for register, part in (
            (net.register_parameter, nn.Parameter(libnumpack.ones(1))),
            (net.register_buffer, libnumpack.ones(1)),
            (net.register_module, nn.ReLU()),
        ):
            with pytest.raises(kind):
                register(name, part)
    with pytest.raises(TypeError, match="not a Parameter"):
        net.register_parameter("x", libnumpack.ones(1))
    with pytest.raises(TypeError, match="not a Module"):
        net.add_module("x", 3)
    with pytest.raises(TypeError, match="as_tensor"):
        net.register_buffer("x", np.ones(1))


def test_a_class_that_forgets_to_begin_is_told():
    class Forgetful(nn.Module):
        def __init__(self):
            self.inner = nn.ReLU()

    with pytest.raises(AttributeError, match=r"super\(\).__init__\(\)"):
        Forgetful()


def test_a_parameter_wants_a_gradient_and_shares_memory():
    array = np.zeros(3, np.float32)
    given = libnumpack.from_numpy(array)
    param = nn.Parameter(given)
    assert param.requires_grad and param.is_leaf and not given.requires_grad
    array[1] = 5
    assert param.tolist() == [0, 5, 0]
    (param * 2).sum().backward()
    assert param.grad.tolist() == [2, 2, 2]
    assert type(param * 2) is libnumpack.Tensor
    assert repr(nn.Parameter(libnumpack.ones(2))) == (
        "Parameter containing:\ntensor([1., 1.], requires_grad=True)"
    )
    assert not nn.Parameter(given, requires_grad=False).requires_grad
    with pytest.raises(TypeError, match="as_tensor"):
        nn.Parameter(array)
    with pytest.raises(TypeError):
        nn.Parameter(libnumpack.tensor([1, 2]))


def test_frozen_parameters_follow_memory_and_come_back():
    layer = nn.Linear(2, 1).requires_grad_(False)
    shown = layer.state_dict()["bias"].numpy()
    shown[0] = 5
    assert layer.bias.tolist() == [5]
    before = layer(libnumpack.zeros(1, 2)).item()
    layer.requires_grad_()
    layer(libnumpack.zeros(1, 2)).sum().backward()
    assert before == 5 and layer.bias.grad.tolist() == [1]
    with libnumpack.no_grad():
        layer.bias.fill_(3)
    assert shown.tolist() == [3]


def test_copies_have_parameters_of_their_own():
    net = Net()
    for other in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert other.twin is other.body[2]
        assert list(other.state_dict()) == list(net.state_dict())
        for (_, a), (_, b) in zip(net.named_parameters(), other.named_parameters()):
            assert type(b) is nn.Parameter and b.requires_grad
            assert a is not b and a.tolist() == b.tolist()
        with libnumpack.no_grad():
            other.scale.fill_(9)
        assert net.scale.tolist() == [1, 1]


# Containers.


def test_sequences():
    model = classifier()
    assert len(model) == 3
    assert model[-1] is list(model)[2]
    assert isinstance(model[1:], nn.Sequential) and model[1:][0] is model[1]
    named = nn.Sequential(OrderedDict([("first", nn.Linear(2, 3)), ("act", nn.Tanh())]))
    assert [name for name, _ in named.named_children()] == ["first", "act"]
    assert list(named[:1].state_dict()) == ["first.weight", "first.bias"]
    assert model.append(nn.Sigmoid()) is model and isinstance(model[3], nn.Sigmoid)
    model[3] = nn.Tanh()
    assert isinstance(model[-1], nn.Tanh)
    del model[1]
    assert [type(m).__name__ for m in model] == ["Linear", "Linear", "Tanh"]
    assert list(model._modules) == ["0", "1", "2"]
    model.insert(1, nn.ReLU())
    assert isinstance(model[1], nn.ReLU) and len(model) == 4
    with pytest.raises(IndexError, match="4 modules"):
        model[4]
    with pytest.raises(TypeError):
        nn.Sequential(3)


def test_lists_and_dicts_of_modules():
    layers = nn.ModuleList([nn.Linear(2, 2), nn.ReLU()])
    layers.extend([nn.Tanh()])
    layers += [nn.Sigmoid()]
    assert [type(m).__name__ for m in layers[1:]] == ["ReLU", "Tanh", "Sigmoid"]
    assert len(layers + [nn.ReLU()]) == 5
    net = nn.Module()
    net.layers = layers
    net.heads = nn.ModuleDict({"a": nn.Linear(2, 1)})
    net.heads["b"] = nn.Linear(2, 1)
    assert list(net.state_dict()) == [
        "layers.0.weight", "layers.0.bias", "heads.a.weight", "heads.a.bias", "heads.b.weight", "heads.b.bias"
    ]
    assert "a" in net.heads and list(net.heads) == ["a", "b"] and len(net.heads) == 2
    assert [name for name, _ in net.heads.items()] == list(net.heads.keys())
    assert net.heads.pop("a") is not None and list(net.heads) == ["b"]
    with pytest.raises(KeyError):
        net.heads["a"]


def test_a_linear_layer_and_what_is_behind_it_in_one_give_the_same():
    rng = np.random.default_rng(0)
    x = libnumpack.tensor(rng.standard_normal((4, 6)), requires_grad=True)
    for act in (nn.ReLU(), nn.GELU(), nn.GELU("tanh"), nn.SiLU(), nn.Tanh(), nn.Sigmoid()):
        linear = nn.Linear(6, 5).double()
        results = []
        for compute in (nn.Sequential(linear, act), lambda x: act(linear(x))):  # noqa: B023
            linear.zero_grad()
            x.grad = None
            out = compute(x)
            out.square().sum().backward()
            grads = [t.grad.numpy() for t in (x, linear.weight, linear.bias)]
            results.append([out.detach().numpy(), *grads])
        for a, b in zip(*results):
            np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-14)


def test_a_sequence_calls_what_is_more_than_a_linear_layer():
    class Doubled(nn.Linear):
        def forward(self, x):
            return super().forward(x) * 2

    layer = Doubled(3, 2)
    x = libnumpack.ones(1, 3)
    np.testing.assert_array_equal(
        nn.Sequential(layer, nn.Identity(), nn.ReLU())(x).detach().numpy(),
        nn.Sequential(layer, nn.ReLU())(x).detach().numpy(),
    )


# States.


def test_a_state_is_as_torch_s():
    net = Net()
    state = net.state_dict()
    assert type(state) is OrderedDict
    assert list(state) == [
        "scale", "shift", "body.0.weight", "body.0.bias", "body.2.weight", "body.2.bias", "twin.weight",
        "twin.bias",
    ]
    assert list(state._metadata) == ["", "body", "body.0", "body.1", "body.2", "twin"]
    assert state._metadata["body.0"] == {"version": 1}
    assert not any(t.requires_grad for t in state.values())
    assert net.state_dict(keep_vars=True)["scale"] is net.scale
    assert list(net.body.state_dict(prefix="model."))[0] == "model.0.weight"
    assert "model.0" in net.body.state_dict(prefix="model.")._metadata
    # The same memory.
    state["scale"].fill_(3)
    assert net.scale.tolist() == [3, 3]


def test_states_are_loaded():
    a, b = Net(), Net()
    keys = b.load_state_dict(a.state_dict())
    assert repr(keys) == "<All keys matched successfully>"
    assert keys.missing_keys == [] and keys.unexpected_keys == []
    for (_, x), (_, y) in zip(a.named_parameters(), b.named_parameters()):
        assert x.tolist() == y.tolist() and x is not y
        assert y.requires_grad and y.is_leaf
    # Of arrays, and of another type.
    values = {name: t.numpy().astype(np.float64) + 1 for name, t in a.state_dict().items()}
    b.load_state_dict(values)
    assert b.scale.dtype == libnumpack.float32
    np.testing.assert_allclose(b.scale.detach().numpy(), a.scale.detach().numpy() + 1)


def test_errors_of_states_are_torch_s_and_change_nothing():
    net = nn.Sequential(nn.Linear(3, 2))
    before = net[0].bias.tolist()
    state = net.state_dict()
    bias = libnumpack.full((2,), 9.0)
    wrong = {"0.bias": bias, "0.weight": libnumpack.zeros(2, 4), "extra": libnumpack.zeros(1)}
    with pytest.raises(RuntimeError) as error:
        net.load_state_dict(wrong)
    assert str(error.value).splitlines() == [
        "Error(s) in loading state_dict for Sequential:",
        '\tUnexpected key(s) in state_dict: "extra".',
        "\tsize mismatch for 0.weight: copying a param with shape Size([2, 4]) from checkpoint, "
        "the shape in current model is Size([2, 3]).",
    ]
    assert net[0].bias.tolist() == before
    with pytest.raises(RuntimeError, match=r'Missing key\(s\) in state_dict: "0.weight", "0.bias"\.'):
        net.load_state_dict({})
    keys = net.load_state_dict({"0.bias": libnumpack.full((2,), 9.0), "more": state["0.bias"]}, strict=False)
    assert keys.missing_keys == ["0.weight"] and keys.unexpected_keys == ["more"]
    assert net[0].bias.tolist() == [9, 9]
    with pytest.raises(RuntimeError, match="size mismatch"):
        net.load_state_dict({"0.weight": libnumpack.zeros(1)}, strict=False)
    with pytest.raises(TypeError, match="dict"):
        net.load_state_dict([1])


# All parts at once.


def test_training_and_use():
    net = nn.Sequential(nn.Dropout(0.5), nn.Sequential(nn.Dropout(0.5)))
    assert all(m.training for m in net.modules())
    assert net.eval() is net
    assert not any(m.training for m in net.modules())
    x = np.ones((4, 4), np.float32)
    np.testing.assert_array_equal(net(x), x)
    assert net.train()[1][0].training
    with pytest.raises(ValueError):
        net.train(1)


def test_gradients_wanted_and_gone():
    net = classifier()
    assert net.requires_grad_(False) is net
    assert not any(p.requires_grad for p in net.parameters())
    assert not net(libnumpack.ones(1, 10)).requires_grad
    net.requires_grad_()
    net(libnumpack.ones(1, 10)).sum().backward()
    assert all(p.grad is not None for p in net.parameters())
    net.zero_grad(set_to_none=False)
    assert all(not p.grad.numpy().any() for p in net.parameters())
    net.zero_grad()
    assert all(p.grad is None for p in net.parameters())


def test_a_function_for_all_modules():
    seen = []
    net = classifier()
    net.apply(lambda m: seen.append(type(m).__name__))
    assert seen == ["Linear", "ReLU", "Linear", "Sequential"]

    def ones(module):
        if isinstance(module, nn.Linear):
            nn.init.ones_(module.weight)

    assert (net.apply(ones)[0].weight.detach().numpy() == 1).all()


def test_other_types():
    net = Net()
    net.register_buffer("count", libnumpack.tensor([3]))
    params = list(net.parameters())
    net(libnumpack.ones(1, 10)).sum().backward()
    grad = net.scale.grad.tolist()
    assert net.double() is net
    assert all(a is b for a, b in zip(params, net.parameters()))
    assert all(p.dtype == libnumpack.float64 for p in net.parameters())
    assert net.scale.grad.dtype == libnumpack.float64
    assert net.scale.grad.tolist() == grad
    assert net.shift.dtype == libnumpack.float64 and net.count.dtype == libnumpack.int64
    for change, name in (
        (net.half, "float16"), (net.bfloat16, "bfloat16"), (net.float, "float32"),
        (lambda: net.to(np.float64), "float64"), (lambda: net.to(libnumpack.ones(1)), "float32"),
        (lambda: net.to("cpu", libnumpack.float64), "float64"), (lambda: net.to(dtype="float32"), "float32"),
        (lambda: net.to(device="cpu"), "float32"), (net.cpu, "float32"),
    ):
        change()
        assert {p.dtype.name for p in net.parameters()} == {name}
    with pytest.raises(TypeError, match="int64"):
        net.to(libnumpack.int64)
    with pytest.raises(ValueError, match="no CUDA"):
        net.to("cuda")
    # By its name too, which is none of a device.
    assert nn.Linear(2, 1).to("float64").weight.dtype == libnumpack.float64
    assert nn.Linear(2, 1).to("cpu", "float16").weight.dtype == libnumpack.float16
    with pytest.raises(ValueError, match="vulkan"):
        nn.Linear(2, 1).to("cuda")
    with pytest.raises(TypeError, match="element type"):
        nn.Linear(2, 1).to("gpu")


# What is shown.


def test_modules_are_shown_as_torch_shows_them():
    assert repr(Net()) == """\
Net(
  (body): Sequential(
    (0): Linear(in_features=10, out_features=20, bias=True)
    (1): ReLU()
    (2): Linear(in_features=20, out_features=2, bias=True)
  )
  (twin): Linear(in_features=20, out_features=2, bias=True)
)"""
    assert repr(nn.TransformerEncoder(nn.TransformerEncoderLayer(4, 2, 8), 2)) == """\
TransformerEncoder(
  (layers): ModuleList(
    (0-1): 2 x TransformerEncoderLayer(
      (self_attn): MultiheadAttention(
        (out_proj): Linear(in_features=4, out_features=4, bias=True)
      )
      (linear1): Linear(in_features=4, out_features=8, bias=True)
      (dropout): Dropout(p=0.1, inplace=False)
      (linear2): Linear(in_features=8, out_features=4, bias=True)
      (norm1): LayerNorm((4,), eps=1e-05, elementwise_affine=True, bias=True)
      (norm2): LayerNorm((4,), eps=1e-05, elementwise_affine=True, bias=True)
      (dropout1): Dropout(p=0.1, inplace=False)
      (dropout2): Dropout(p=0.1, inplace=False)
    )
  )
)"""
    for module, text in [
        (nn.Module(), "Module()"), (nn.ReLU(inplace=True), "ReLU(inplace=True)"),
        (nn.GELU(), "GELU(approximate='none')"),
        (nn.Embedding(5, 3, 0), "Embedding(5, 3, padding_idx=0)"), (nn.Softmax(1), "Softmax(dim=1)"),
        (nn.RMSNorm(4), "RMSNorm((4,), eps=None, elementwise_affine=True)"),
        (nn.Flatten(), "Flatten(start_dim=1, end_dim=-1)"), (nn.MSELoss(), "MSELoss()"),
        (nn.Tanh(), "Tanh()"), (nn.Sequential(), "Sequential()"),
    ]:
        assert repr(module) == text


# What calls take and give.


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16, ">f4"])
def test_arrays_become_arrays(dtype):
    model = classifier()
    x = np.random.default_rng(1).standard_normal((5, 10)).astype(dtype)
    found = model(x)
    assert type(found) is np.ndarray and found.dtype == np.float32 and found.shape == (5, 2)
    expected = model(libnumpack.tensor(np.float32(x))).detach().numpy()
    np.testing.assert_array_equal(found, expected)
    # Also a view that goes backwards, and memory that is not to be written to.
    x.setflags(write=False)
    np.testing.assert_array_equal(model(x[::-1]), expected[::-1])
    assert model.double()(x).dtype == np.float64


def test_tensors_become_tensors_with_gradients():
    model = classifier()
    x = libnumpack.ones(3, 10, dtype=libnumpack.float64)
    found = model(x)
    assert type(found) is libnumpack.Tensor and found.requires_grad and found.dtype == libnumpack.float32
    with libnumpack.no_grad():
        assert not model(x).requires_grad
    # What was asked for by a gradient comes back through the conversion.
    x.requires_grad_()
    model(x).sum().backward()
    assert x.grad.dtype == libnumpack.float64 and x.grad.shape == (3, 10)


def test_an_array_beside_a_tensor_becomes_one():
    loss = nn.CrossEntropyLoss()(libnumpack.zeros(2, 4, requires_grad=True), np.array([0, 3]))
    assert loss.requires_grad
    loss = nn.MSELoss()(libnumpack.zeros(2, dtype=libnumpack.float64), np.ones(2, np.float32))
    assert loss.dtype == libnumpack.float64 and loss.item() == 1


class Parts(nn.Module):
    def forward(self, things, *, also=None):
        self.seen = (things, also)
        return {"out": [things["a"] * 2, (also, 7, None, "text")]}


def test_tuples_lists_and_dicts_keep_their_form():
    module = Parts()
    found = module({"a": np.ones(2)}, also=np.array([1, 2]))
    assert type(module.seen[0]["a"]) is libnumpack.Tensor
    assert module.seen[0]["a"].dtype == libnumpack.float32 and module.seen[1].dtype == libnumpack.int64
    doubled, (also, number, nothing, text) = found["out"]
    assert type(doubled) is np.ndarray and doubled.dtype == np.float32 and doubled.tolist() == [2, 2]
    assert also.dtype == np.int64 and (number, nothing, text) == (7, None, "text")
    found = module({"a": libnumpack.ones(2)}, also=[libnumpack.ones(1)])
    assert type(found["out"][0]) is libnumpack.Tensor and type(found["out"][1][0]) is list


def test_whole_numbers_and_truth_values_are_never_converted():
    module = Parts()
    for dtype in (np.int64, np.int32, np.uint8, np.bool_):
        found = module({"a": np.ones(2)}, also=np.ones(2, dtype))
        assert found["out"][1][0].dtype == dtype
    # A module without parameters leaves tensors what they are.
    found = module({"a": libnumpack.ones(2, dtype=libnumpack.float64)})
    assert found["out"][0].dtype == libnumpack.float64


def test_only_the_outermost_call_converts():
    class Outer(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = nn.Linear(2, 2)

        def forward(self, x):
            found = self.inner(x)
            assert type(x) is libnumpack.Tensor and type(found) is libnumpack.Tensor
            self.kind = found.dtype
            return found

    outer = Outer()
    assert type(outer(np.ones((1, 2)))) is np.ndarray
    # After an error too, the next call is an outermost one again.
    with pytest.raises(ValueError):
        outer(np.ones((1, 3)))
    assert type(outer(np.ones((1, 2)))) is np.ndarray
    assert libnumpack.is_grad_enabled()


def test_a_module_of_a_type_that_numpy_lacks_gives_float32_unless_there_is_one():
    found = nn.Linear(4, 2).bfloat16()(np.ones((1, 4)))
    assert found.dtype == (libnumpack.bfloat16.numpy() or np.float32)


def test_a_module_without_forward_says_so():
    with pytest.raises(AttributeError, match="forward"):
        nn.Module()(1)


@pytest.mark.parametrize("value", [[1.0, 2.0], 5, None, "x"])
def test_what_is_no_tensor_or_array_is_refused(value):
    for module in (nn.Linear(2, 1), nn.ReLU(), nn.Sequential(nn.Linear(2, 1), nn.ReLU())):
        with pytest.raises(TypeError, match=f"{type(value).__name__} is no Tensor"):
            module(value)


def test_complex_and_other_arrays():
    with pytest.raises(TypeError):
        classifier()(np.array(["a"]))


def test_errors_of_devices_name_both():
    # Where there is no device: one that pretends to be elsewhere.
    class Elsewhere(libnumpack.Tensor):
        @property
        def device(self):
            return libnumpack.device("vulkan", 3)

    x = Elsewhere._of_memory(libnumpack.ones(1, 10)._memory())
    with pytest.raises(SharingError, match=r"vulkan:3, and Sequential on cpu.*\.to\('cpu'\)"):
        classifier()(x)


def test_warnings_show_the_line_of_who_calls():
    for model in (nn.Softmax(), nn.Sequential(nn.Linear(2, 2), nn.Softmax())):
        with pytest.warns(UserWarning, match="give dim") as warned:
            model(np.ones((1, 2)))
        assert warned[0].filename == __file__
