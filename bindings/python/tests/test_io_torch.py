"""Conversions of tensors, compared with torch; and files, as torch writes and reads them."""

from __future__ import annotations

import gc
import subprocess
import sys
from collections import OrderedDict

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from libnumpack.io import (  # noqa: E402
    from_pt,
    from_tensor,
    from_torch,
    from_torch_file,
    to_pt,
    to_tensor,
    to_torch,
    to_torch_file,
)
from libnumpack.store import NumPack  # noqa: E402

WORDS = [
    "bool",
    "uint8",
    "int8",
    "int16",
    "int32",
    "int64",
    "float16",
    "float32",
    "float64",
    "complex64",
    "complex128",
    "bfloat16",
    "float8_e4m3fn",
    "float8_e5m2",
    "float8_e4m3fnuz",
    "float8_e5m2fnuz",
    "float8_e8m0fnu",
    "uint16",
    "uint32",
    "uint64",
]
DTYPES = [getattr(torch, word) for word in WORDS if hasattr(torch, word)]


def some(dtype, *shape: int):
    torch.manual_seed(1)
    if dtype == torch.bool:
        return torch.rand(shape) > 0.5
    if dtype.is_complex:
        return torch.randn(shape, dtype=dtype)
    return (
        (torch.rand(shape) * 60).to(torch.int64 if not dtype.is_floating_point else torch.float32).to(dtype)
    )


def bits(tensor) -> bytes:
    return bytes(tensor.contiguous().reshape(-1).view(torch.uint8).numpy()) if tensor.numel() else b""


def same(found, expected) -> None:
    assert found.dtype == expected.dtype and found.shape == expected.shape
    assert bits(found.resolve_conj().resolve_neg()) == bits(expected.detach().resolve_conj().resolve_neg())


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", [(), (0,), (5,), (3, 4), (0, 4), (2, 3, 4)], ids=str)
def test_there_and_back(tmp_path, dtype, shape):
    tensor = some(dtype, *shape)
    assert from_torch(tensor, tmp_path / "o.npk") is None
    same(to_torch(tmp_path / "o.npk"), tensor)


LAYOUTS = {
    "transposed": lambda t: t.T,
    "sliced": lambda t: t[1::2, ::3],
    "expanded": lambda t: t[:1].expand(4, -1),
    "offset": lambda t: t[2:],
    "permuted": lambda t: t.reshape(2, 3, 8).permute(2, 0, 1),
    "requires grad": lambda t: (
        t.clone().requires_grad_() if t.dtype.is_floating_point or t.dtype.is_complex else t
    ),
    "parameter": lambda t: torch.nn.Parameter(
        t, requires_grad=t.dtype.is_floating_point or t.dtype.is_complex
    ),
    "computed": lambda t: t.float().requires_grad_() * 2,
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.int16, torch.complex64], ids=str)
def test_any_layout(tmp_path, layout, dtype):
    if layout == "computed" and dtype.is_complex:
        pytest.skip("it is no float")
    tensor = LAYOUTS[layout](some(dtype, 6, 8))
    from_torch(tensor, tmp_path / "o.npk", "x")
    found = to_torch(tmp_path / "o.npk", "x")
    same(found, tensor)
    assert found.is_contiguous() and not found.requires_grad


def test_conjugates_and_negatives_are_resolved(tmp_path):
    c = torch.randn(3, 4, dtype=torch.complex64)
    for tensor in (c.conj(), c.conj().imag, c.T.conj()):
        from_torch(tensor, tmp_path / "o.npk")
        same(to_torch(tmp_path / "o.npk"), tensor)


@pytest.mark.filterwarnings("ignore:ComplexHalf")
def test_complex32(tmp_path):
    tensor = torch.randn(3, 2).half().view(torch.complex32)
    from_torch(tensor, tmp_path / "o.npk")
    found = to_torch(tmp_path / "o.npk")
    assert found.dtype == torch.complex32 and bits(torch.view_as_real(found)) == bits(
        torch.view_as_real(tensor)
    )


def test_names(tmp_path):
    tensor = torch.randn(10, 4)
    from_torch(tensor, str(tmp_path / "o.npk"))
    with NumPack(tmp_path / "o.npk") as npk:
        assert npk.get_member_list() == ["data"]
    from_torch(tensor + 1, tmp_path / "o.npk", array_name="embeddings")
    same(to_torch(str(tmp_path / "o.npk"), "embeddings"), tensor + 1)
    same(to_torch(tmp_path / "o.npk", array_name="data"), tensor)
    with pytest.raises(ValueError, match="'data', 'embeddings'"):
        to_torch(tmp_path / "o.npk")
    with pytest.raises(KeyError, match="'nothing'"):
        to_torch(tmp_path / "o.npk", "nothing")
    with pytest.raises(FileNotFoundError):
        to_torch(tmp_path / "n.npk")
    with NumPack(tmp_path / "e.npk") as npk:
        npk.reset()
    with pytest.raises(ValueError, match="no arrays"):
        to_torch(tmp_path / "e.npk")


def test_a_store_that_is_there_is_added_to_or_replaced(tmp_path):
    from_torch(torch.zeros(2), tmp_path / "o.npk", "a")
    from_torch(torch.ones(3), tmp_path / "o.npk", "b")
    from_torch(torch.ones(2), tmp_path / "o.npk", "a")
    same(to_torch(tmp_path / "o.npk", "a"), torch.ones(2))
    from_torch(torch.ones(4), tmp_path / "o.npk", "c", drop_if_exists=True)
    same(to_torch(tmp_path / "o.npk"), torch.ones(4))


def test_a_model_parameter_by_parameter(tmp_path):
    model = torch.nn.Sequential(
        torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 2, dtype=torch.bfloat16)
    )
    for name, parameter in model.named_parameters():
        from_torch(parameter.data, tmp_path / "model.npk", array_name=name)
    for name, parameter in model.named_parameters():
        same(to_torch(tmp_path / "model.npk", array_name=name), parameter)
    to_torch_file(tmp_path / "model.npk", tmp_path / "model.pt")
    model.load_state_dict(torch.load(tmp_path / "model.pt", weights_only=True))


def test_the_tensor_is_private(tmp_path):
    from_torch(torch.arange(6.0), tmp_path / "o.npk")
    found = to_torch(tmp_path / "o.npk")
    found += 1
    assert found.tolist() == [1, 2, 3, 4, 5, 6]
    same(to_torch(tmp_path / "o.npk"), torch.arange(6.0))
    with NumPack(tmp_path / "o.npk") as npk:
        npk.replace({"data": np.float32([9])}, 0)
    gc.collect()
    assert found[0] == 1


def test_dropped_and_appended_rows(tmp_path):
    from_torch(torch.arange(12).reshape(6, 2).bfloat16(), tmp_path / "o.npk")
    with NumPack(tmp_path / "o.npk") as npk:
        npk.drop("data", [0, 3])
        npk.append({"data": torch.tensor([[100, 101]]).bfloat16()})
    found = to_torch(tmp_path / "o.npk")
    same(found, torch.tensor([[2, 3], [4, 5], [8, 9], [10, 11], [100, 101]]).bfloat16())


def test_devices(tmp_path):
    from_torch(torch.arange(3.0), tmp_path / "o.npk")
    assert to_torch(tmp_path / "o.npk").device.type == "cpu"
    for device in ("cpu", torch.device("cpu")):
        same(to_torch(tmp_path / "o.npk", device=device), torch.arange(3.0))
    assert to_torch(tmp_path / "o.npk", device="meta").device.type == "meta"
    with pytest.raises(TypeError, match="meta"):
        from_torch(torch.empty(3, device="meta"), tmp_path / "m.npk")
    with pytest.raises(RuntimeError):
        to_torch(tmp_path / "o.npk", device="no such device")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device is here")
def test_cuda(tmp_path):
    for dtype in (torch.float32, torch.bfloat16):
        tensor = torch.arange(12, device="cuda").to(dtype).reshape(3, 4).T.requires_grad_()
        from_torch(tensor, tmp_path / "o.npk", drop_if_exists=True)
        found = to_torch(tmp_path / "o.npk", device="cuda:0")
        assert found.device.type == "cuda" and torch.equal(found, tensor)
        with NumPack(tmp_path / "o.npk") as npk:
            npk.save({"cuda": tensor})
        same(to_torch(tmp_path / "o.npk", "cuda"), tensor.cpu())


@pytest.mark.filterwarnings("ignore:torch.quantize")
def test_what_is_refused(tmp_path):
    for value in (np.ones(2), [1.0], 3, None, {"a": torch.ones(1)}):
        with pytest.raises(TypeError, match="torch.Tensor"):
            from_torch(value, tmp_path / "o.npk")
    with pytest.raises(TypeError, match="to_dense"):
        from_torch(torch.eye(3).to_sparse(), tmp_path / "o.npk")
    with pytest.raises(TypeError, match="dequantize"):
        from_torch(torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.qint8), tmp_path / "o.npk")
    assert not (tmp_path / "o.npk").exists()


def test_stores_take_tensors(tmp_path):
    with NumPack(tmp_path / "o.npk") as npk:
        npk.save(
            {
                "a": torch.arange(6).reshape(2, 3).T,
                "b": torch.ones(2).bfloat16(),
                "g": torch.ones(2, requires_grad=True),
                "n": np.arange(2),
            }
        )
        npk.append({"a": torch.tensor([[9, 9]]), "b": torch.zeros(1).bfloat16()})
        npk.replace({"a": torch.tensor([[7, 7]])}, [0])
        with npk.batch_mode():
            npk.save({"c": torch.ones(2, 2)})
            npk.append({"c": torch.zeros(1, 2)})
        assert npk["a"].tolist() == [[7, 7], [1, 4], [2, 5], [9, 9]] and npk["c"].tolist() == [
            [1, 1],
            [1, 1],
            [0, 0],
        ]
        assert npk["g"].tolist() == [1, 1]
        lazy = npk.load("a", lazy=True)
        assert torch.equal(torch.from_numpy(lazy[1:3]), torch.tensor([[1, 4], [2, 5]]))
    same(to_torch(tmp_path / "o.npk", "b"), torch.tensor([1, 1, 0]).bfloat16())


def test_the_newer_names(tmp_path):
    tensor = torch.randn(5, 2)
    assert from_tensor(tensor, tmp_path / "o.npk") is None
    npk = from_tensor(tensor, tmp_path / "o.npk", "x", drop_if_exists=True, return_npk_obj=True)
    assert npk.get_member_list() == ["x"] and np.array_equal(npk["x"], tensor.numpy())
    same(to_tensor(tmp_path / "o.npk"), tensor)
    same(to_tensor(tmp_path / "o.npk", "x", "cpu", torch.float64), tensor.double())
    torch.save({"a": tensor, "n": 3}, tmp_path / "d.pt")
    npk = from_pt(tmp_path / "d.pt", tmp_path / "d.npk", key="a", return_npk_obj=True)
    assert np.array_equal(npk[npk.get_member_list()[0]], tensor.numpy())
    to_pt(tmp_path / "o.npk", tmp_path / "o.pt")
    assert torch.equal(torch.load(tmp_path / "o.pt")["x"], tensor)


# -- files


def equal(found, expected) -> bool:
    if isinstance(expected, torch.Tensor):
        return (
            type(found) is type(expected)
            and found.dtype == expected.dtype
            and found.requires_grad == (expected.requires_grad)
            and torch.equal(found, expected)
        )
    if isinstance(expected, dict):
        return (
            type(found) is type(expected)
            and list(found) == list(expected)
            and all(equal(found[k], expected[k]) for k in expected)
        )
    if isinstance(expected, (list, tuple)):
        return (
            type(found) is type(expected) and len(found) == len(expected) and all(map(equal, found, expected))
        )
    return type(found) is type(expected) and found == expected


def checkpoint():
    model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.BatchNorm1d(8), torch.nn.Linear(8, 2))
    optimizer = torch.optim.Adam(model.parameters())
    model(torch.randn(5, 4)).sum().backward()
    optimizer.step()
    tied = torch.randn(4, 4)
    return {
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "epoch": 3,
        "tied": [tied, tied.T, tied[1:]],
        "half": torch.randn(3).bfloat16(),
        "f8": torch.randn(4).to(torch.float8_e5m2).view(torch.uint8),
        "z": torch.tensor(2.5),
        "p": torch.nn.Parameter(torch.ones(2)),
        "best": float("nan") != 0,
        "od": OrderedDict(a=1),
    }


def test_a_checkpoint_loads_equal(tmp_path):
    value = checkpoint()
    torch.save(value, tmp_path / "c.pt")
    from_torch_file(tmp_path / "c.pt", tmp_path / "c.npk")
    to_torch_file(tmp_path / "c.npk", tmp_path / "back.pt")
    back = torch.load(tmp_path / "back.pt", weights_only=True)
    assert equal(back, value)
    assert back["model"]._metadata == value["model"]._metadata
    assert back["tied"][0].data_ptr() == back["tied"][1].data_ptr()
    same(to_torch(tmp_path / "c.npk", "model.0.weight"), value["model"]["0.weight"])
    # Tensors that a store has only as views of another.
    for i, tensor in enumerate(value["tied"]):
        same(to_torch(tmp_path / "c.npk", f"tied.{i}"), tensor)


@pytest.mark.parametrize(
    "value",
    [torch.randn(3, 2), [torch.ones(2), torch.zeros(1).bfloat16()], {"w": torch.ones(2)}],
    ids=["bare", "list", "dict"],
)
def test_other_roots(tmp_path, value):
    torch.save(value, tmp_path / "x.pt")
    from_torch_file(tmp_path / "x.pt", tmp_path / "x.npk")
    to_torch_file(tmp_path / "x.npk", tmp_path / "back.pt")
    assert equal(torch.load(tmp_path / "back.pt", weights_only=True), value)
    if isinstance(value, torch.Tensor):
        same(to_torch(tmp_path / "x.npk"), value)
        same(to_torch(tmp_path / "x.npk", "x"), value)


def test_a_key_of_a_state_dict(tmp_path):
    torch.save({"encoder.weight": torch.ones(2, 3), "decoder.weight": torch.zeros(1)}, tmp_path / "model.pt")
    from_torch_file(tmp_path / "model.pt", tmp_path / "o.npk", key="encoder.weight")
    same(to_torch(tmp_path / "o.npk"), torch.ones(2, 3))


def test_what_torch_writes_in_its_old_way(tmp_path):
    value = {"a": torch.randn(3), "b": torch.arange(4)}
    torch.save(value, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    from_torch_file(tmp_path / "old.pt", tmp_path / "o.npk")
    for name, tensor in value.items():
        same(to_torch(tmp_path / "o.npk", name), tensor)


def test_a_tensor_is_written_from_where_it_lies(tmp_path):
    """Saving 256 MiB takes no such amount of memory on top."""
    code = """
import resource, sys, torch
from libnumpack.io import from_torch
tensor = torch.zeros(64, 1024, 1024).fill_(1.0)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
from_torch(tensor, sys.argv[1])
from_torch(tensor[:32].bfloat16(), sys.argv[1], "half")
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    said = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "o.npk"], check=True, capture_output=True, text=True
    )
    # In KiB: the half that is made, 64 MiB, and the library's buffers.
    assert int(said.stdout) < (64 + 32) * 1024
