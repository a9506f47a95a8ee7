"""Layers and losses against formulas in NumPy, in doubles, and against values from PyTorch's
documentation."""

from __future__ import annotations

import math

import numpy as np
import pytest

import libnumpack
from libnumpack import nn
from libnumpack.nn import functional as F


@pytest.fixture(autouse=True)
def _seed():
    libnumpack.manual_seed(7)


def test_functions_take_tensors_alone():
    for wrong in (
        lambda: F.relu(np.ones(2)), lambda: F.linear(libnumpack.ones(2), [[1.0, 2.0]]), lambda: F.mse_loss(1.0, 1.0),
        lambda: F.cross_entropy(libnumpack.ones(2, 3), [0, 1]),
    ):
        with pytest.raises(TypeError, match="is no Tensor"):
            wrong()


@pytest.fixture
def rng():
    return np.random.default_rng(3)


def doubles(array):
    return libnumpack.tensor(np.asarray(array, np.float64))


def softmax(x, axis=-1):
    e = np.exp(x - x.max(axis, keepdims=True))
    return e / e.sum(axis, keepdims=True)


erf = np.vectorize(math.erf)


@pytest.mark.parametrize(
    ("layer", "function"),
    [
        (nn.ReLU(), lambda x: np.maximum(x, 0)),
        (nn.GELU(), lambda x: x * (1 + erf(x / math.sqrt(2))) / 2),
        (nn.GELU("tanh"), lambda x: x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))) / 2),
        (nn.SiLU(), lambda x: x / (1 + np.exp(-x))),
        (nn.Tanh(), np.tanh),
        (nn.Sigmoid(), lambda x: 1 / (1 + np.exp(-x))),
        (nn.Identity(1, unused=2), lambda x: x),
        (nn.Softmax(dim=1), softmax),
        (nn.Softmax(dim=0), lambda x: softmax(x, 0)),
        (nn.LogSoftmax(dim=-1), lambda x: np.log(softmax(x))),
    ],
    ids=repr,
)
def test_functions_of_elements_and_lines(layer, function, rng):
    x = rng.standard_normal((5, 7))
    np.testing.assert_allclose(layer(doubles(x)).numpy(), function(x), rtol=1e-12, atol=1e-15)


def test_a_function_of_both_names(rng):
    x = doubles(rng.standard_normal(9))
    for layer, function in [
        (nn.ReLU(), F.relu), (nn.GELU(), F.gelu), (nn.SiLU(), F.silu), (nn.Tanh(), F.tanh),
        (nn.Sigmoid(), F.sigmoid),
    ]:
        np.testing.assert_array_equal(layer(x).numpy(), function(x).numpy())


def test_a_softmax_without_dim_says_so():
    with pytest.warns(UserWarning, match="give dim"):
        found = nn.Softmax()(libnumpack.zeros(2, 4))
    np.testing.assert_array_equal(found.numpy(), np.full((2, 4), 0.25))


def test_linear(rng):
    layer = nn.Linear(4, 3).double()
    x = rng.standard_normal((2, 5, 4))
    expected = x @ layer.weight.detach().numpy().T + layer.bias.detach().numpy()
    np.testing.assert_allclose(layer(doubles(x)).detach().numpy(), expected, rtol=1e-13)
    without = nn.Linear(4, 3, bias=False)
    assert without.bias is None
    assert [name for name, _ in without.named_parameters()] == ["weight"]
    with pytest.raises(ValueError, match="5"):
        layer(doubles(np.zeros((2, 5))))


def test_first_values_are_of_torch_s_distributions():
    layer = nn.Linear(400, 300)
    for values in (layer.weight, layer.bias):
        values = values.detach().numpy()
        assert abs(values).max() <= 1 / 20
        # A uniform distribution within b has the deviation b / sqrt(3).
        assert values.std() == pytest.approx(1 / 20 / math.sqrt(3), rel=0.1)
    rows = nn.Embedding(200, 100).weight.detach().numpy()
    assert rows.mean() == pytest.approx(0, abs=0.05)
    assert rows.std() == pytest.approx(1, rel=0.05)
    attention = nn.MultiheadAttention(64, 4)
    weight = attention.in_proj_weight.detach().numpy()
    bound = math.sqrt(6 / (4 * 64))
    assert bound * 0.95 < abs(weight).max() <= bound
    assert not attention.in_proj_bias.detach().numpy().any()
    assert not attention.out_proj.bias.detach().numpy().any()
    assert attention.out_proj.weight.detach().numpy().any()


def test_the_same_seed_gives_the_same_values_as_modules_in_c():
    from libnumpack._native import Handle, lib, make
    import ctypes

    libnumpack.manual_seed(5)
    module = make("nn_module", "nn_module_linear", 6, 4, 1)
    libnumpack.manual_seed(5)
    layer = nn.Linear(6, 4)
    for i, param in enumerate(layer.parameters()):
        found = ctypes.c_void_p()
        lib.nn_module_get_parameter(module, i, None, ctypes.byref(found))
        native = libnumpack.Tensor._of_compute(Handle.of(lib.nn_tensor_retain(found), "nn_tensor"))
        np.testing.assert_allclose(param.detach().numpy(), native.detach().numpy(), rtol=1e-5, atol=1e-7)


def test_an_index_that_leads_nowhere_is_an_index_error():
    logits, wrong = libnumpack.ones(1, 2), libnumpack.tensor([5])
    for compute in (
        lambda: nn.Embedding(4, 2)(wrong), lambda: logits.index_select(1, wrong),
        lambda: F.cross_entropy(logits, wrong),
    ):
        with pytest.raises(IndexError, match="index 5"):
            compute()


def test_embedding(rng):
    layer = nn.Embedding(10, 3, padding_idx=-2)
    assert layer.padding_idx == 8
    weight = layer.weight.detach().numpy()
    assert not weight[8].any()
    index = np.array([[1, 8], [4, 1]])
    found = layer(libnumpack.tensor(index))
    np.testing.assert_array_equal(found.detach().numpy(), weight[index])
    found.sum().backward()
    expected = np.zeros((10, 3))
    expected[1], expected[4] = 2, 1
    np.testing.assert_array_equal(layer.weight.grad.numpy(), expected)
    with pytest.raises(ValueError, match="10 rows"):
        nn.Embedding(10, 3, padding_idx=10)
    rows = libnumpack.tensor([[1.0, 2.3, 3.0], [4.0, 5.1, 6.3]])
    frozen = nn.Embedding.from_pretrained(rows)
    assert not frozen.weight.requires_grad
    np.testing.assert_array_equal(frozen(np.array([1])), np.float32([[4.0, 5.1, 6.3]]))


@pytest.mark.parametrize("shape", [7, (3, 7)])
def test_norms(shape, rng):
    x = rng.standard_normal((4, 3, 7))
    axes = (-1,) if shape == 7 else (-2, -1)
    centred = x - x.mean(axes, keepdims=True)
    expected = centred / np.sqrt((centred**2).mean(axes, keepdims=True) + 1e-5)
    layer = nn.LayerNorm(shape).double()
    np.testing.assert_allclose(layer(doubles(x)).detach().numpy(), expected, rtol=1e-10, atol=1e-12)
    weight, bias = rng.standard_normal((2, *layer.weight.shape))
    layer.load_state_dict({"weight": weight, "bias": bias})
    np.testing.assert_allclose(
        layer(doubles(x)).detach().numpy(), expected * weight + bias, rtol=1e-10, atol=1e-12
    )
    root = np.sqrt((x**2).mean(axes, keepdims=True) + 0.25)
    layer = nn.RMSNorm(shape, eps=0.25).double()
    np.testing.assert_allclose(layer(doubles(x)).detach().numpy(), x / root, rtol=1e-10)
    assert not list(nn.LayerNorm(shape, elementwise_affine=False).parameters())
    assert [name for name, _ in nn.LayerNorm(shape, bias=False).named_parameters()] == ["weight"]


def test_rms_norm_without_eps_has_that_of_the_type():
    x = libnumpack.full((1, 4), 1e-4)
    root = math.sqrt(1e-8 + np.finfo(np.float32).eps)
    np.testing.assert_allclose(nn.RMSNorm(4)(x).detach().numpy(), np.full((1, 4), 1e-4 / root), rtol=1e-5)


def test_dropout():
    layer = nn.Dropout(0.25)
    x = libnumpack.ones(200, 500)
    found = layer(x).numpy()
    np.testing.assert_allclose(np.unique(found), [0, 1 / 0.75], rtol=1e-6)
    assert (found == 0).mean() == pytest.approx(0.25, abs=0.01)
    np.testing.assert_array_equal(layer.eval()(x).numpy(), x.numpy())
    with pytest.raises(ValueError, match="from 0 to 1"):
        nn.Dropout(1.5)


def test_flatten():
    assert nn.Flatten()(libnumpack.zeros(2, 3, 4, 5)).shape == (2, 60)
    assert nn.Flatten(0, 1)(libnumpack.zeros(2, 3, 4)).shape == (6, 4)


def attention_of(layer, q, k, v, hide=None):
    """The formula of Vaswani and others, for (batch, length, columns), with the weights of each head."""
    state = {name: t.numpy() for name, t in layer.state_dict().items()}
    e, heads = layer.embed_dim, layer.num_heads
    if "in_proj_weight" in state:
        w = np.split(state["in_proj_weight"], 3)
    else:
        w = [state[f"{n}_proj_weight"] for n in "qkv"]
    b = np.split(state.get("in_proj_bias", np.zeros(3 * e)), 3)
    q, k, v = (x @ w_.T + b_ for x, w_, b_ in zip((q, k, v), w, b))
    q, k, v = (x.reshape(*x.shape[:2], heads, e // heads).transpose(0, 2, 1, 3) for x in (q, k, v))
    scores = q @ k.swapaxes(-1, -2) / math.sqrt(e // heads)
    if hide is not None:
        scores = np.where(hide, -np.inf, scores)
    shares = softmax(scores)
    found = (shares @ v).transpose(0, 2, 1, 3)
    found = found.reshape(*found.shape[:2], e)
    return found @ state["out_proj.weight"].T + state.get("out_proj.bias", 0), shares


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("widths", [None, (6, 10)])
def test_attention(bias, widths, rng):
    kdim, vdim = widths or (None, None)
    layer = nn.MultiheadAttention(8, 2, bias=bias, kdim=kdim, vdim=vdim, batch_first=True).double()
    q, k, v = (rng.standard_normal((3, n, w)) for n, w in ((4, 8), (5, kdim or 8), (5, vdim or 8)))
    expected, shares = attention_of(layer, q, k, v)
    found, weights = layer(doubles(q), doubles(k), doubles(v))
    np.testing.assert_allclose(found.detach().numpy(), expected, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(weights.detach().numpy(), shares.mean(1), rtol=1e-10)
    _, each = layer(doubles(q), doubles(k), doubles(v), average_attn_weights=False)
    np.testing.assert_allclose(each.detach().numpy(), shares, rtol=1e-10)
    assert layer(doubles(q), doubles(k), doubles(v), need_weights=False)[1] is None
    # Lengths first, and without a batch.
    other = nn.MultiheadAttention(8, 2, bias=bias, kdim=kdim, vdim=vdim).double()
    other.load_state_dict(layer.state_dict())
    turned, _ = other(*(doubles(x.swapaxes(0, 1)) for x in (q, k, v)))
    np.testing.assert_allclose(turned.detach().numpy(), expected.swapaxes(0, 1), rtol=1e-10, atol=1e-12)
    for each in (layer, other):
        one, weights = each(*(doubles(x[1]) for x in (q, k, v)))
        np.testing.assert_allclose(one.detach().numpy(), expected[1], rtol=1e-10, atol=1e-12)
        np.testing.assert_allclose(weights.detach().numpy(), shares.mean(1)[1], rtol=1e-10)


def test_attention_of_a_sequence_to_itself_is_one_product(rng):
    layer = nn.MultiheadAttention(8, 4, batch_first=True).double()
    x = rng.standard_normal((2, 5, 8))
    same = doubles(x)
    found, _ = layer(same, same, same)
    expected, _ = attention_of(layer, x, x, x)
    np.testing.assert_allclose(found.detach().numpy(), expected, rtol=1e-10, atol=1e-12)


def test_masks_of_attention(rng):
    layer = nn.MultiheadAttention(8, 2, batch_first=True).double()
    x = rng.standard_normal((3, 4, 8))
    given = [doubles(x)] * 3
    behind = np.triu(np.ones((4, 4), bool), 1)
    padding = np.array([[0, 0, 0, 1], [0, 0, 0, 0], [0, 1, 1, 1]], bool)
    expected, _ = attention_of(layer, x, x, x, behind | padding[:, None, None])

    def check(expected, **masks):
        found, _ = layer(*given, **masks)
        np.testing.assert_allclose(found.detach().numpy(), expected, rtol=1e-10, atol=1e-12)

    tensor = libnumpack.tensor
    check(expected, attn_mask=tensor(behind), key_padding_mask=tensor(padding))
    check(expected, is_causal=True, key_padding_mask=tensor(padding))
    as_numbers = np.where(behind, -np.inf, 0)
    check(expected, attn_mask=doubles(as_numbers), key_padding_mask=doubles(np.where(padding, -np.inf, 0)))
    of_heads = rng.random((6, 4, 4)) < 0.3
    of_heads[:, :, 0] = False
    expected, _ = attention_of(layer, x, x, x, of_heads.reshape(3, 2, 4, 4))
    check(expected, attn_mask=tensor(of_heads))
    # Masks of arrays are taken as inputs are.
    plain = nn.MultiheadAttention(8, 2, batch_first=True)
    found, _ = plain(x, x, x, key_padding_mask=padding)
    assert isinstance(found, np.ndarray)


def test_attention_refuses_what_does_not_fit():
    with pytest.raises(ValueError, match="heads"):
        nn.MultiheadAttention(10, 3)
    layer = nn.MultiheadAttention(8, 2)
    with pytest.raises(ValueError, match="query"):
        layer(*[libnumpack.zeros(2, 3, 7)] * 3)


def test_scaled_dot_product_attention(rng):
    q, k, v = (rng.standard_normal((2, n, 4)) for n in (3, 5, 5))
    scores = q @ k.swapaxes(-1, -2) / 2
    found = F.scaled_dot_product_attention(doubles(q), doubles(k), doubles(v))
    np.testing.assert_allclose(found.numpy(), softmax(scores) @ v, rtol=1e-10)
    seen = np.tril(np.ones((3, 5), bool))
    expected = softmax(np.where(seen, scores, -np.inf)) @ v
    for named in ({"is_causal": True}, {"attn_mask": libnumpack.tensor(seen)}):
        found = F.scaled_dot_product_attention(doubles(q), doubles(k), doubles(v), **named)
        np.testing.assert_allclose(found.numpy(), expected, rtol=1e-10)


@pytest.mark.parametrize("norm_first", [False, True])
@pytest.mark.parametrize("activation", ["relu", "gelu", F.silu, nn.ReLU()], ids=str)
def test_an_encoder_layer(norm_first, activation, rng):
    layer = nn.TransformerEncoderLayer(8, 2, 16, 0.5, activation, batch_first=True, norm_first=norm_first)
    layer.double().eval()
    x = rng.standard_normal((3, 4, 8))
    state = {name: t.numpy() for name, t in layer.state_dict().items()}

    def norm(x, i):
        centred = x - x.mean(-1, keepdims=True)
        scaled = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5)
        return scaled * state[f"norm{i}.weight"] + state[f"norm{i}.bias"]

    def feed(x):
        wide = x @ state["linear1.weight"].T + state["linear1.bias"]
        if activation == "gelu":
            wide = wide * (1 + erf(wide / math.sqrt(2))) / 2
        elif activation is F.silu:
            wide = wide / (1 + np.exp(-wide))
        else:
            wide = np.maximum(wide, 0)
        return wide @ state["linear2.weight"].T + state["linear2.bias"]

    def attend(x):
        return attention_of(layer.self_attn, x, x, x)[0]

    if norm_first:
        expected = x + attend(norm(x, 1))
        expected = expected + feed(norm(expected, 2))
    else:
        expected = norm(x + attend(x), 1)
        expected = norm(expected + feed(expected), 2)
    np.testing.assert_allclose(layer(doubles(x)).detach().numpy(), expected, rtol=1e-9, atol=1e-11)


def test_an_encoder_is_layers_that_begin_alike(rng):
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True).eval()
    encoder = nn.TransformerEncoder(layer, 3, nn.LayerNorm(8)).eval()
    assert len({id(p) for p in encoder.parameters()}) == 3 * 12 + 2
    x = rng.standard_normal((2, 5, 8)).astype(np.float32)
    expected = x
    for _ in range(3):
        expected = layer(expected)
    np.testing.assert_allclose(encoder(x), nn.LayerNorm(8)(expected), rtol=1e-4, atol=1e-5)
    hidden = np.zeros((2, 5), bool)
    hidden[:, 3:] = True
    short = encoder(x[:, :3])
    np.testing.assert_allclose(encoder(x, src_key_padding_mask=hidden)[:, :3], short, rtol=1e-4, atol=1e-5)
    # What comes later does not matter to what is before.
    changed = x.copy()
    changed[:, 4] += 1
    kept = encoder(x, is_causal=True)[:, :4]
    np.testing.assert_allclose(encoder(changed, is_causal=True)[:, :4], kept, rtol=1e-5, atol=1e-6)


def reduced(losses, reduction):
    return losses if reduction == "none" else losses.sum() if reduction == "sum" else losses.mean()


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_losses_of_two_of_one_shape(reduction, rng):
    x, y = rng.standard_normal((2, 4, 3))
    p = rng.random((4, 3))
    for loss, target, expected in [
        (nn.MSELoss(reduction=reduction), y, (x - y) ** 2),
        (nn.L1Loss(reduction=reduction), y, abs(x - y)),
        (nn.BCEWithLogitsLoss(reduction=reduction), p, bce(x, p)),
    ]:
        found = loss(doubles(x), doubles(target)).numpy()
        np.testing.assert_allclose(found, reduced(expected, reduction), rtol=1e-12)


def bce(x, p, pos_weight=1.0):
    s = 1 / (1 + np.exp(-x))
    return -(pos_weight * p * np.log(s) + (1 - p) * np.log(1 - s))


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_weights_of_binary_losses(reduction, rng):
    x, p, weight = rng.standard_normal((4, 3)), rng.random((4, 3)), rng.random(3)
    pos_weight = np.array([0.5, 2.0, 3.0])
    for named, expected in [
        ({"weight": weight}, weight * bce(x, p)),
        ({"pos_weight": pos_weight}, bce(x, p, pos_weight)),
        ({"weight": weight, "pos_weight": pos_weight}, weight * bce(x, p, pos_weight)),
    ]:
        loss = nn.BCEWithLogitsLoss(reduction=reduction, **{k: doubles(v) for k, v in named.items()})
        found = loss(doubles(x), doubles(p)).numpy()
        np.testing.assert_allclose(found, reduced(expected, reduction), rtol=1e-12)


def test_the_gradient_with_a_weight_of_what_is_one(rng):
    x, p, pos_weight = rng.standard_normal(6), rng.random(6), rng.random(6) * 3
    given = libnumpack.tensor(x, requires_grad=True)
    loss = nn.BCEWithLogitsLoss(pos_weight=doubles(pos_weight), reduction="sum")
    loss(given, doubles(p)).backward()
    s = 1 / (1 + np.exp(-x))
    np.testing.assert_allclose(given.grad.numpy(), (1 - p) * s - pos_weight * p * (1 - s), rtol=1e-12)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("more", [(), (2,)])
def test_cross_entropy(reduction, more, rng):
    x = rng.standard_normal((5, 4, *more))
    y = rng.integers(0, 4, (5, *more))
    y.flat[1] = 2
    logs = np.log(softmax(x, 1))
    weight = np.array([0.1, 2.0, 0.5, 1.5])
    counted = (y != 2).astype(np.float64)
    picked = -np.take_along_axis(logs, y[:, None], 1)[:, 0]
    for named, losses, divisor in [
        ({}, picked, y.size),
        ({"weight": doubles(weight)}, picked * weight[y], weight[y].sum()),
        ({"ignore_index": 2}, picked * counted, counted.sum()),
    ]:
        expected = losses.sum() / divisor if reduction == "mean" else reduced(losses, reduction)
        found = nn.CrossEntropyLoss(**named, reduction=reduction)(doubles(x), libnumpack.tensor(y))
        np.testing.assert_allclose(found.numpy(), expected, rtol=1e-12)
        found = nn.NLLLoss(**named, reduction=reduction)(doubles(logs), libnumpack.tensor(y))
        np.testing.assert_allclose(found.numpy(), expected, rtol=1e-12)
    smooth = 0.9 * picked - 0.1 * logs.mean(1)
    found = nn.CrossEntropyLoss(label_smoothing=0.1, reduction=reduction)(doubles(x), libnumpack.tensor(y))
    np.testing.assert_allclose(found.numpy(), reduced(smooth, reduction), rtol=1e-12)
    p = softmax(rng.standard_normal(x.shape), 1)
    found = nn.CrossEntropyLoss(reduction=reduction)(doubles(x), doubles(p))
    np.testing.assert_allclose(found.numpy(), reduced(-(p * logs).sum(1), reduction), rtol=1e-12)


def test_losses_refuse_what_cannot_be():
    with pytest.raises(ValueError, match="'mean', 'sum' or 'none'"):
        nn.MSELoss(reduction="average")
    with pytest.raises(ValueError, match="shape"):
        nn.MSELoss()(libnumpack.zeros(3), libnumpack.zeros(4))
    with pytest.raises(TypeError, match="as_tensor"):
        F.relu(np.zeros(3))


def test_gains_and_first_values():
    assert nn.init.calculate_gain("tanh") == pytest.approx(5 / 3)
    assert nn.init.calculate_gain("leaky_relu", 0.2) == pytest.approx(math.sqrt(2 / 1.04))
    with pytest.raises(ValueError, match="no gain"):
        nn.init.calculate_gain("softplus")
    w = libnumpack.zeros(300, 200)
    for fill, deviation in [
        (lambda w: nn.init.xavier_uniform_(w, gain=2.0), 2 * math.sqrt(2 / 500)),
        (lambda w: nn.init.xavier_normal_(w), math.sqrt(2 / 500)),
        (lambda w: nn.init.kaiming_uniform_(w, nonlinearity="relu"), math.sqrt(2 / 200)),
        (lambda w: nn.init.kaiming_normal_(w, mode="fan_out"), math.sqrt(2 / 300)),
        (lambda w: nn.init.normal_(w, 1.0, 0.5), 0.5),
        (lambda w: nn.init.uniform_(w, -1, 1), 1 / math.sqrt(3)),
    ]:
        assert fill(w) is w
        assert w.numpy().std() == pytest.approx(deviation, rel=0.02)
    assert (nn.init.constant_(w, 3).numpy() == 3).all()
    assert (nn.init.ones_(w).numpy() == 1).all()
    assert not nn.init.zeros_(w).numpy().any()
    with pytest.raises(ValueError, match="2 dimensions"):
        nn.init.xavier_uniform_(libnumpack.zeros(3))


@pytest.mark.parametrize("kind", [1, 2, 3.5, math.inf])
def test_gradients_made_smaller(kind, rng):
    values = [rng.standard_normal((3, 4)), rng.standard_normal(5)]
    params = [libnumpack.tensor(v, requires_grad=True) for v in values]
    for limit in (0.5, 100.0):
        for p, v in zip(params, values):
            p.grad = doubles(v)
        every = np.concatenate([v.ravel() for v in values])
        norm = np.linalg.norm(every, kind)
        found = nn.utils.clip_grad_norm_(params, limit, kind)
        assert found.item() == pytest.approx(norm, rel=1e-6)
        for p, v in zip(params, values):
            np.testing.assert_allclose(p.grad.numpy(), v * min(1, limit / (norm + 1e-6)), rtol=1e-6)
    nn.utils.clip_grad_value_(iter(params), 0.25)
    for p, v in zip(params, values):
        np.testing.assert_allclose(p.grad.numpy(), np.clip(v, -0.25, 0.25), rtol=1e-6)


def test_a_norm_that_is_no_number_is_an_error_where_that_is_asked():
    param = libnumpack.tensor([1.0, 2.0], requires_grad=True)
    param.grad = libnumpack.tensor([1.0, math.inf])
    with pytest.raises(RuntimeError, match="inf"):
        nn.utils.clip_grad_norm_(param, 1.0, error_if_nonfinite=True)
    assert param.grad.tolist() == [1.0, math.inf]
    assert nn.utils.clip_grad_norm_([libnumpack.zeros(2)], 1.0).item() == 0
