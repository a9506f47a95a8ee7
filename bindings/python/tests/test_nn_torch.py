"""Layers, losses, gradients, optimisers and states beside PyTorch's."""

from __future__ import annotations

import copy
import re
import warnings

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import libnumpack  # noqa: E402
from libnumpack import nn, optim, vulkan  # noqa: E402
from libnumpack.nn import functional as F  # noqa: E402

tnn = torch.nn


@pytest.fixture
def rng():
    return np.random.default_rng(4)


def twins(ours, theirs):
    """Both in doubles, with the same parameters."""
    theirs = theirs.double()
    ours = ours.double()
    assert list(ours.state_dict()) == list(theirs.state_dict())
    ours.load_state_dict(theirs.state_dict())
    return ours, theirs


def compare(ours, theirs, *arrays, **named):
    """Results and all gradients of floats."""
    mine = [libnumpack.tensor(a, requires_grad=a.dtype.kind == "f") for a in arrays]
    other = [torch.tensor(a, requires_grad=a.dtype.kind == "f") for a in arrays]

    def given(tensor):
        return {k: tensor(v) if isinstance(v, np.ndarray) else v for k, v in named.items()}

    found = ours(*mine, **given(libnumpack.tensor))
    wanted = theirs(*other, **given(torch.tensor))
    found, wanted = (x if isinstance(x, tuple) else (x,) for x in (found, wanted))
    for a, b in zip(found, wanted):
        assert (a is None) == (b is None)
        if a is not None:
            assert a.shape == tuple(b.shape)
            np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=1e-9, atol=1e-11)
    found[0].square().sum().backward()
    wanted[0].square().sum().backward()
    pairs = list(zip(mine, other))
    if isinstance(ours, nn.Module):
        pairs += list(zip(ours.parameters(), theirs.parameters()))
    for a, b in pairs:
        assert (a.grad is None) == (b.grad is None)
        if a.grad is not None:
            np.testing.assert_allclose(a.grad.numpy(), b.grad.numpy(), rtol=1e-8, atol=1e-10)


MODULES = [
    lambda m: m.Linear(6, 3), lambda m: m.Linear(6, 3, bias=False), lambda m: m.ReLU(), lambda m: m.GELU(),
    lambda m: m.GELU(approximate="tanh"), lambda m: m.SiLU(), lambda m: m.Tanh(), lambda m: m.Sigmoid(),
    lambda m: m.Softmax(dim=1), lambda m: m.LogSoftmax(dim=0), lambda m: m.LayerNorm(6),
    lambda m: m.LayerNorm((4, 6)), lambda m: m.RMSNorm(6),
    lambda m: m.RMSNorm(6, eps=0.1), lambda m: m.Flatten(), lambda m: m.Identity(),
    lambda m: m.Sequential(m.Linear(6, 5), m.GELU(), m.Linear(5, 4), m.ReLU(), m.Linear(4, 2), m.Tanh()),
    lambda m: m.TransformerEncoderLayer(6, 2, 16, dropout=0.0, batch_first=True),
    lambda m: m.TransformerEncoderLayer(6, 3, 16, dropout=0.0, activation="gelu", norm_first=True),
    lambda m: m.TransformerEncoderLayer(6, 1, 16, dropout=0.0, bias=False),
    lambda m: m.TransformerEncoder(
        m.TransformerEncoderLayer(6, 2, 8, 0.0, batch_first=True), 2, m.LayerNorm(6)
    ),
]


@pytest.mark.parametrize("make", MODULES)
def test_layers(make, rng):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ours, theirs = twins(make(nn), make(tnn))
    compare(ours, theirs, rng.standard_normal((2, 4, 6)))
    # Some of torch's versions do not say whether a norm has a bias.
    shown = [re.sub(r"(affine=\w+), bias=\w+", r"\1", repr(m)) for m in (ours, theirs)]
    assert shown[0] == shown[1].replace("NonDynamicallyQuantizableLinear", "Linear")
    ours_state, theirs_state = ours.state_dict(), theirs.state_dict()
    assert ours_state._metadata == theirs_state._metadata


def test_embedding(rng):
    ours, theirs = twins(nn.Embedding(9, 4, padding_idx=3), tnn.Embedding(9, 4, padding_idx=3))
    compare(ours, theirs, np.array([[1, 3], [8, 1]]))


@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("widths", [(None, None), (5, 7)])
@pytest.mark.parametrize("masks", ["none", "bool", "float", "both", "heads"])
def test_attention(batch_first, widths, masks, rng):
    kdim, vdim = widths
    named = {"kdim": kdim, "vdim": vdim, "batch_first": batch_first}
    ours, theirs = twins(nn.MultiheadAttention(8, 2, **named), tnn.MultiheadAttention(8, 2, **named))
    q, k, v = (rng.standard_normal((3, n, w)) for n, w in ((4, 8), (6, kdim or 8), (6, vdim or 8)))
    if not batch_first:
        q, k, v = (x.swapaxes(0, 1).copy() for x in (q, k, v))
    padding = np.zeros((3, 6), bool)
    padding[0, 4:] = True
    mask = np.triu(np.ones((4, 6), bool), 2)
    given = {
        "none": {}, "bool": {"attn_mask": mask}, "float": {"attn_mask": rng.standard_normal((4, 6))},
        "both": {"attn_mask": mask, "key_padding_mask": padding},
        "heads": {"attn_mask": rng.standard_normal((6, 4, 6)), "average_attn_weights": False},
    }[masks]
    compare(ours, theirs, q, k, v, **given)
    compare(ours, theirs, q, k, v, need_weights=False, **given)


LOSSES = [
    ("MSELoss", {}, "floats"), ("L1Loss", {}, "floats"), ("BCEWithLogitsLoss", {}, "shares"),
    ("BCEWithLogitsLoss", {"weight": [1.0, 2.0, 0.5], "pos_weight": [0.3, 1.0, 4.0]}, "shares"),
    ("CrossEntropyLoss", {}, "classes"), ("CrossEntropyLoss", {"weight": [1.0, 2.0, 0.5]}, "classes"),
    ("CrossEntropyLoss", {"ignore_index": 1, "label_smoothing": 0.2}, "classes"),
    ("CrossEntropyLoss", {"weight": [1.0, 2.0, 0.5], "label_smoothing": 0.2}, "classes"),
    ("CrossEntropyLoss", {"label_smoothing": 0.1}, "shares"),
    ("NLLLoss", {"weight": [1.0, 2.0, 0.5]}, "classes"),
    ("NLLLoss", {"ignore_index": 0}, "classes"),
]


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize(("name", "options", "kind"), LOSSES)
def test_losses(name, options, kind, reduction, rng):
    x = rng.standard_normal((5, 3))
    shares = rng.random((5, 3))
    shares /= shares.sum(1, keepdims=True)
    y = {"floats": rng.standard_normal((5, 3)), "shares": shares, "classes": rng.integers(0, 3, 5)}[kind]

    def made(library, tensor):
        given = {k: tensor(np.array(v)) if isinstance(v, list) else v for k, v in options.items()}
        loss = getattr(library, name)(reduction=reduction, **given)
        target = tensor(y)
        return lambda x: loss(x, target)

    compare(made(nn, libnumpack.tensor), made(tnn, torch.tensor), x)


OPTIMISERS = [
    ("SGD", {"lr": 0.1}), ("SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.2, "weight_decay": 0.1}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True}), ("SGD", {"lr": 0.1, "maximize": True}),
    ("Adam", {}),
    ("Adam", {"lr": 0.1, "betas": (0.7, 0.9), "eps": 1e-4, "weight_decay": 0.2, "amsgrad": True}),
    ("AdamW", {}), ("AdamW", {"lr": 0.05, "weight_decay": 0.3, "amsgrad": True, "maximize": True}),
]


def optimisers(name, options, start):
    mine = libnumpack.tensor(start, requires_grad=True)
    other = torch.tensor(start, requires_grad=True)
    ours, theirs = getattr(optim, name), getattr(torch.optim, name)
    return mine, ours([mine], **options), other, theirs([other], **options)


def run(mine, ours, other, theirs, grads):
    for g in grads:
        mine.grad, other.grad = libnumpack.tensor(g), torch.tensor(g)
        ours.step()
        theirs.step()
    np.testing.assert_allclose(mine.detach().numpy(), other.detach().numpy(), rtol=1e-11)


@pytest.mark.parametrize(("name", "options"), OPTIMISERS)
def test_optimisers_and_their_states(name, options, rng):
    start, grads = rng.standard_normal((3, 4)), rng.standard_normal((6, 3, 4))
    first = optimisers(name, options, start)
    run(*first, grads[:3])
    mine, ours, other, theirs = first
    a, b = ours.state_dict(), theirs.state_dict()
    assert a["state"].keys() == b["state"].keys()
    for i in a["state"]:
        kept = {k: v for k, v in b["state"][i].items() if v is not None}
        assert a["state"][i].keys() == kept.keys()
        for k, v in kept.items():
            np.testing.assert_allclose(a["state"][i][k].numpy(), v.numpy(), rtol=1e-11)
    assert a["param_groups"] == b["param_groups"]
    # Each goes on from the other's.
    second = optimisers(name, {}, mine.detach().numpy())
    second[1].load_state_dict(copy.deepcopy(b))
    as_torch = {
        "state": {i: {k: torch.tensor(v.numpy()) for k, v in kept.items()} for i, kept in a["state"].items()},
        "param_groups": a["param_groups"],
    }
    second[3].load_state_dict(as_torch)
    run(*second, grads[3:])


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("StepLR", {"step_size": 3}), ("ExponentialLR", {"gamma": 0.9}),
        ("CosineAnnealingLR", {"T_max": 5, "eta_min": 0.1}),
    ],
)
def test_learning_rates(name, options):
    _, ours, _, theirs = optimisers("SGD", {"lr": 0.7}, np.zeros(1))
    mine = getattr(optim.lr_scheduler, name)(ours, **options)
    other = getattr(torch.optim.lr_scheduler, name)(theirs, **options)
    for _ in range(12):
        np.testing.assert_allclose(mine.get_last_lr(), other.get_last_lr(), rtol=1e-12)
        ours.step()
        theirs.step()
        mine.step()
        other.step()


def test_defaults_are_torch_s():
    param, other = libnumpack.zeros(1, requires_grad=True), torch.zeros(1, requires_grad=True)
    for name in ("SGD", "Adam", "AdamW"):
        assert getattr(optim, name)([param]).defaults == getattr(torch.optim, name)([other]).defaults


@pytest.mark.parametrize("kind", [1.0, 2.0, float("inf")])
def test_gradients_made_smaller(kind, rng):
    values = rng.standard_normal((3, 5))
    mine = [libnumpack.zeros(5, requires_grad=True, dtype=libnumpack.float64) for _ in values]
    other = [torch.zeros(5, requires_grad=True, dtype=torch.float64) for _ in values]
    for a, b, v in zip(mine, other, values):
        a.grad, b.grad = libnumpack.tensor(v), torch.tensor(v)
    found = nn.utils.clip_grad_norm_(mine, 0.7, kind)
    assert found.item() == pytest.approx(tnn.utils.clip_grad_norm_(other, 0.7, kind).item(), rel=1e-6)
    for a, b in zip(mine, other):
        np.testing.assert_allclose(a.grad.numpy(), b.grad.numpy(), rtol=1e-7)


def test_bounds_and_gains_of_first_values():
    for name in ("linear", "sigmoid", "tanh", "relu", "selu"):
        assert nn.init.calculate_gain(name) == tnn.init.calculate_gain(name)
    assert nn.init.calculate_gain("leaky_relu", 0.3) == tnn.init.calculate_gain("leaky_relu", 0.3)
    ours, theirs = libnumpack.zeros(200, 300), torch.zeros(200, 300)
    for fill, named in [
        ("kaiming_uniform_", {"a": 0.5}), ("kaiming_normal_", {"mode": "fan_out", "nonlinearity": "relu"}),
        ("xavier_uniform_", {"gain": 2.0}), ("xavier_normal_", {}),
    ]:
        getattr(nn.init, fill)(ours, **named)
        getattr(tnn.init, fill)(theirs, **named)
        assert ours.numpy().std() == pytest.approx(theirs.numpy().std(), rel=0.02)


def test_scaled_dot_product_attention(rng):
    q, k, v = (rng.standard_normal((2, n, 4)) for n in (3, 5, 5))
    for named in ({}, {"is_causal": True}, {"scale": 0.3}, {"attn_mask": np.tri(3, 5, dtype=bool)}):
        compare(F.scaled_dot_product_attention, tnn.functional.scaled_dot_product_attention, q, k, v, **named)


# torch's tensors where ours are taken.


def test_modules_take_torch_s_tensors_and_give_arrays(rng):
    model = nn.Sequential(nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 3))
    x = torch.randn(10, 128, requires_grad=True)
    found = model(x)
    assert type(found) is np.ndarray and found.shape == (10, 3) and found.dtype == np.float32
    np.testing.assert_array_equal(found, model(x.detach().numpy()))
    assert model(x.double()).dtype == np.float32
    assert model(x.bfloat16()).dtype == np.float32
    assert nn.Embedding(5, 2)(torch.tensor([1, 2])).shape == (2, 2)


def test_states_of_torch_are_loaded_and_ours_by_torch(rng):
    theirs = tnn.Sequential(tnn.Linear(4, 3), tnn.LayerNorm(3))
    ours = nn.Sequential(nn.Linear(4, 3), nn.LayerNorm(3))
    ours.load_state_dict(theirs.state_dict())
    x = rng.standard_normal((2, 4)).astype(np.float32)
    np.testing.assert_allclose(ours(x), theirs(torch.tensor(x)).detach().numpy(), rtol=1e-5, atol=1e-6)
    given = {name: torch.from_dlpack(t) for name, t in ours.state_dict().items()}
    again = tnn.Sequential(tnn.Linear(4, 3), tnn.LayerNorm(3))
    assert str(again.load_state_dict(given)) == "<All keys matched successfully>"
    np.testing.assert_allclose(ours(x), again(torch.tensor(x)).detach().numpy(), rtol=1e-5, atol=1e-6)


def test_states_go_through_files_to_torch_and_back(tmp_path, rng):
    ours, theirs = (m.Sequential(m.Linear(4, 3), m.LayerNorm(3)) for m in (nn, tnn))
    optimizer = optim.AdamW(ours.parameters(), lr=0.05, amsgrad=True)
    x = rng.standard_normal((6, 4)).astype(np.float32)

    def go(model, optimizer, x):
        optimizer.zero_grad()
        model(x).square().sum().backward()
        optimizer.step()

    go(ours, optimizer, libnumpack.tensor(x))
    libnumpack.save({"model": ours.state_dict(), "optimizer": optimizer.state_dict()}, tmp_path / "ours.pt")
    found = torch.load(tmp_path / "ours.pt", weights_only=True)
    assert found["model"]._metadata == ours.state_dict()._metadata
    theirs.load_state_dict(found["model"])
    other = torch.optim.AdamW(theirs.parameters())
    other.load_state_dict(found["optimizer"])
    go(ours, optimizer, libnumpack.tensor(x))
    go(theirs, other, torch.tensor(x))
    for a, b in zip(ours.parameters(), theirs.parameters()):
        np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=1e-4, atol=1e-6)
    torch.save({"model": theirs.state_dict(), "optimizer": other.state_dict()}, tmp_path / "theirs.pt")
    found = libnumpack.load(tmp_path / "theirs.pt")
    ours.load_state_dict(found["model"])
    optimizer.load_state_dict(found["optimizer"])
    go(ours, optimizer, libnumpack.tensor(x))
    go(theirs, other, torch.tensor(x))
    for a, b in zip(ours.parameters(), theirs.parameters()):
        np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=1e-4, atol=1e-6)


def test_tensors_of_torch_become_arrays():
    x = torch.randn(3, 4)
    found = vulkan.to_vulkan(x)
    assert type(found) is np.ndarray and found.dtype == np.float32
    assert np.shares_memory(found, x.numpy())
    assert vulkan.to_vulkan(x.double()).dtype == np.float32
    assert vulkan.to_vulkan(x.bfloat16()).dtype == np.float32
    assert vulkan.to_vulkan(torch.tensor([1, 2])).dtype == np.int64
    wanting = torch.ones(2, requires_grad=True)
    assert vulkan.to_vulkan(wanting * 2).tolist() == [2, 2]
    assert vulkan.to_vulkan(x.T).flags.c_contiguous
    assert [a.shape for a in vulkan.to_vulkan_batch([x, x[0]])] == [(3, 4), (4,)]
    args, kwargs = vulkan.convert_module_inputs(x, torch.tensor([1]), mask=torch.tensor([True]))
    assert all(type(a) is np.ndarray for a in (*args, *kwargs.values()))


def test_arrays_become_tensors_of_torch(rng):
    array = rng.standard_normal((3, 4)).astype(np.float32)
    found = vulkan.from_vulkan(array, device="cpu")
    assert type(found) is torch.Tensor and found.device.type == "cpu"
    found[0, 0] = 5
    assert array[0, 0] == 5
    for given in (array[::-1], array.T, array.astype(">f4"), libnumpack.tensor(array), torch.tensor(array)):
        again = vulkan.from_vulkan(given, torch.device("cpu"))
        np.testing.assert_array_equal(again.numpy(), np.asarray(given))
    array.setflags(write=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        vulkan.from_vulkan(array, "cpu")[0, 0] = 6
    assert array[0, 0] == 5
    half = libnumpack.tensor([1.5], dtype=libnumpack.bfloat16)
    assert vulkan.from_vulkan(half, "cpu").dtype == torch.bfloat16
    wanting = libnumpack.tensor([1.5], requires_grad=True)
    assert vulkan.from_vulkan(wanting, "cpu").tolist() == [1.5]


@pytest.mark.skipif(torch.cuda.is_available(), reason="torch has CUDA here")
def test_without_cuda_there_is_a_tensor_on_the_host_and_a_warning():
    with pytest.warns(UserWarning, match="device='cpu'"):
        found = vulkan.from_vulkan(np.ones(2, np.float32))
    assert found.device.type == "cpu" and found.tolist() == [1, 1]


@pytest.mark.skipif(not vulkan.is_available(), reason="there is no Vulkan device")
@pytest.mark.filterwarnings("ignore:.*not a GPU.*:RuntimeWarning")
def test_tensors_of_torch_go_to_a_device_and_back(rng):
    x = torch.randn(10, 128)
    there = vulkan.to_vulkan_gpu(x)
    assert type(there) is vulkan.VulkanTensor and there.shape == (10, 128)
    model = nn.Linear(128, 64)
    expected = model(x)
    back = vulkan.from_vulkan(model(there), device="cpu")
    assert type(back) is torch.Tensor
    np.testing.assert_allclose(back.numpy(), expected, rtol=1e-4, atol=1e-5)
    assert type(model(x)) is np.ndarray
