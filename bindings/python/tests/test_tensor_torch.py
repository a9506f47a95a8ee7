"""Tensors beside PyTorch's: memory shared both ways, values, gradients and texts equal."""

from __future__ import annotations

import operator
import re

import numpy as np
import pytest

import libnumpack as ln
from libnumpack.errors import SharingError

torch = pytest.importorskip("torch")

DTYPES = ["bool", "uint8", "int8", "int16", "int32", "int64", "float16", "bfloat16", "float32", "float64",
          "complex64", "complex128"]


@pytest.mark.parametrize("name", DTYPES)
def test_memory_is_shared_both_ways(name):
    theirs = torch.arange(6).reshape(2, 3).to(getattr(torch, name))
    ours = ln.as_tensor(theirs)
    assert ours.dtype is ln.dtypes.as_dtype(theirs.dtype) and ours.data_ptr() == theirs.data_ptr()
    ours[0, 1] = 0
    assert theirs[0, 1] == 0
    back = torch.from_dlpack(ours.T)
    assert back.data_ptr() == theirs.data_ptr() and back.shape == (3, 2) and back.dtype == theirs.dtype
    assert torch.equal(back, theirs.T)


def test_what_torch_has_more_of():
    assert ln.as_tensor(torch.ones(2, requires_grad=True)).tolist() == [1, 1]
    assert ln.as_tensor(torch.tensor([1 + 2j]).conj()).numpy().tolist() == [1 - 2j]
    assert ln.tensor(torch.ones(2), dtype=torch.float64).dtype is ln.float64
    assert ln.zeros(2, dtype=torch.bfloat16).dtype is ln.bfloat16
    array = torch.arange(4)
    assert ln.tensor(array).data_ptr() != array.data_ptr()
    assert torch.as_tensor(ln.tensor([1, 2])).tolist() == [1, 2]
    with pytest.raises(SharingError):
        torch.from_dlpack(ln.ones(1, requires_grad=True))


def random(rng, shape, name):
    if name == "bool":
        return rng.random(shape) < 0.5
    array = rng.normal(size=shape) * rng.choice([1, 1e-3, 100])
    return array.astype(name if name != "bfloat16" else "float32")


def pair(array, name, grad=False):
    ours = ln.tensor(array, dtype=name)
    theirs = torch.tensor(array, dtype=getattr(torch, name))
    if grad:
        ours.requires_grad_()
        theirs.requires_grad_()
    return ours, theirs


@pytest.mark.parametrize("name", [n for n in DTYPES if n != "complex128"])
@pytest.mark.parametrize("seed", range(6))
def test_texts_are_equal(name, seed):
    rng = np.random.default_rng(seed)
    for shape in [(), (3,), (0,), (2, 0), (5, 7), (2, 3, 4), (1200,), (40, 40), (3, 2, 8, 30), (1, 25)]:
        if "complex" in name:
            array = (random(rng, shape, "float32") + 1j * random(rng, shape, "float32")).astype(name)
        else:
            array = random(rng, shape, name)
        ours, theirs = pair(array, name)
        assert same_words(repr(ours)) == same_words(repr(theirs))


def same_words(text):
    """Where the line breaks before the type hangs on the length of our name."""
    return re.sub(r",\s+dtype=(libnumpack|torch)", ", dtype=", text)


def test_texts_of_special_values():
    inf, nan = float("inf"), float("nan")
    for values in ([inf, 1.0], [nan, -inf, 0.5], [1e-5], [1e9], [1e8 + 1], [0.0], [-0.0, 1.0], [1e-5, 1.0], [12345.678]):
        assert repr(ln.tensor(values)) == repr(torch.tensor(values))
    assert repr(ln.ones(2, requires_grad=True)) == repr(torch.ones(2, requires_grad=True))


BINARY = ["add", "sub", "mul", "truediv", "pow", "eq", "ne", "lt", "le", "gt", "ge"]


@pytest.mark.parametrize("op", BINARY)
def test_types_of_results(op):
    names = ["bool", "uint8", "int8", "int16", "int32", "int64", "float16", "bfloat16", "float32", "float64"]
    function = getattr(operator, op)
    scalars = [True, 2, 2.5]
    for a in names:
        for b in [*names, *scalars]:
            ours, theirs = pair(np.array([1, 1]), a)
            others = pair(np.array([1]), b) if isinstance(b, str) else (b, b)
            try:
                want = function(theirs, others[1])
            except RuntimeError:
                continue  # no rule of torch's
            got = function(ours, others[0])
            assert str(want.dtype) == f"torch.{got.dtype.name}", (a, op, b)
            assert got.double().tolist() == pytest.approx(want.double().tolist(), rel=1e-2)


@pytest.mark.parametrize("op", BINARY)
@pytest.mark.parametrize("shape", [(), (2,)])
def test_types_of_results_with_numbers_on_either_side(op, shape):
    function = getattr(operator, op)
    for name in ["bool", "uint8", "int8", "int16", "int32", "int64", "float16", "bfloat16", "float32", "float64"]:
        ours, theirs = pair(np.ones(shape), name)
        for number in (True, 2, 2.5):
            for call in (lambda t, n: function(n, t), function):
                try:
                    want = call(theirs, number)
                except RuntimeError:
                    continue  # no rule of torch's
                got = call(ours, number)
                assert str(want.dtype) == f"torch.{got.dtype.name}", (name, number)
                assert got.shape == shape and got.double().tolist() == pytest.approx(want.double().tolist(), rel=1e-2)


FUNCTIONS = {
    "exp": lambda t: t.exp(), "log": lambda t: (t * t + 1).log(), "pow": lambda t: (t * t + 1) ** 1.5,
    "mean": lambda t: t.mean(1), "var": lambda t: t.var(0), "std": lambda t: t.std(), "max": lambda t: t.max(1)[0],
    "amax": lambda t: t.amax(0, True), "softmax": lambda t: t.softmax(1), "logs": lambda t: t.log_softmax(0),
    "matmul": lambda t: t @ t.T, "view": lambda t: t.t()[1:].reshape(-1)[::2], "index": lambda t: t[[0, 2, 2]],
    "pairs": lambda t: t[[0, 1], [3, 2]], "mask": lambda t: t[t > 0], "gelu": lambda t: t * t.sigmoid().tanh(),
    "clamp": lambda t: t.clamp(-0.5, 0.5), "fill": lambda t: t.masked_fill(t < 0, 0.0), "abs": lambda t: abs(t),
    "norm": lambda t: t.norm(), "cast": lambda t: t.float().double(), "expand": lambda t: t[:1].expand(4, 4) * t[:4, :4],
    "unsqueeze": lambda t: t.unsqueeze(1).squeeze() - t.permute(0, 1), "split": lambda t: t.split(2)[1],
    "flatten": lambda t: t.flatten()[3], "relu": lambda t: t.relu(), "rsub": lambda t: 2 / (1 - t * 0.1),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_values_and_gradients(name):
    function = FUNCTIONS[name]
    array = np.random.default_rng(5).normal(size=(5, 4))
    ours, theirs = pair(array, "float64", grad=True)
    a, b = function(ours), function(theirs)
    assert tuple(a.shape) == tuple(b.shape)
    assert np.allclose(a.detach().numpy(), b.detach().numpy(), rtol=1e-12, atol=1e-14)
    (a * a).sum().backward()
    (b * b).sum().backward()
    assert np.allclose(ours.grad.numpy(), theirs.grad.numpy(), rtol=1e-11, atol=1e-13)


def test_files_go_both_ways(tmp_path):
    weight = torch.randn(4, 5)
    state = {"w": weight, "view": weight[1:3, ::2], "bf": weight.bfloat16(), "p": torch.nn.Parameter(weight[0].clone()),
             "n": [1, 2.5, None, ("x",)], "size": weight.shape, "dtype": torch.float16, "device": torch.device("cpu")}
    torch.save(state, tmp_path / "theirs.pt")
    ours = ln.load(tmp_path / "theirs.pt")
    assert ours["n"] == state["n"] and ours["size"] == (4, 5) and isinstance(ours["size"], ln.Size)
    assert ours["dtype"] is ln.float16 and ours["p"].requires_grad and ours["view"].stride() == (5, 2)
    for key in ("w", "view", "bf", "p"):
        assert torch.equal(torch.from_dlpack(ours[key].detach()), state[key].detach())
    ln.save(ours, tmp_path / "ours.pt")
    again = torch.load(tmp_path / "ours.pt", weights_only=True)
    for key in ("w", "view", "bf", "p"):
        assert torch.equal(again[key], state[key]) and again[key].dtype == state[key].dtype
    assert isinstance(again["p"], torch.nn.Parameter) and again["view"].untyped_storage().data_ptr() == again["w"].data_ptr()
    ln.save({"w": weight, "leaf": torch.ones(1, requires_grad=True)}, tmp_path / "direct.pt")
    direct = torch.load(tmp_path / "direct.pt", weights_only=True)
    assert torch.equal(direct["w"], weight) and direct["leaf"].requires_grad


@pytest.mark.parametrize("name", ["uint16", "uint32", "uint64", "float8_e4m3fn", "float8_e5m2"])
def test_newer_types_in_files(tmp_path, name):
    ours = ln.arange(6).to(name).reshape(2, 3)
    ln.save({"t": ours, "row": ours[1]}, tmp_path / "o.pt")
    theirs = torch.load(tmp_path / "o.pt", weights_only=True)
    assert theirs["t"].dtype is getattr(torch, name) and theirs["t"].double().tolist() == ours.double().tolist()
    assert theirs["row"].untyped_storage().data_ptr() == theirs["t"].untyped_storage().data_ptr()
