"""Roots, views, dtypes, names and plain values of every kind, a function each."""

from __future__ import annotations

import math
from collections import Counter, OrderedDict, defaultdict, deque
from typing import Any

import numpy as np
import torch
from torch import nn

from registry import beyond, case


@case
def tuple_root() -> Any:
    return torch.randn(2), {"a": torch.ones(3)}, (), (1,)


@case
def list_root() -> Any:
    return [torch.randn(2), None, [torch.ones(3), "x"], -1]


@case
def scalar_root() -> Any:
    return 42


@case
def empty_containers() -> Any:
    return {
        "dict": {},
        "list": [],
        "tuple": (),
        "ordered": OrderedDict(),
        "set": set(),
        "nested": [[], {}, [()]],
    }


@case
def empty_root() -> Any:
    return OrderedDict()


@case
def bare_tensor_root() -> Any:
    return torch.arange(6, dtype=torch.int32).reshape(2, 3)


@case
def bare_scalar_tensor_root() -> Any:
    return torch.tensor(3.5, dtype=torch.float64)


@case
def bare_parameter_root() -> Any:
    return nn.Parameter(torch.randn(2, 2))


@case
def parameters_and_gradients() -> Any:
    return {
        "frozen": nn.Parameter(torch.randn(2), requires_grad=False),
        "learned": nn.Parameter(torch.randn(2)),
        "tensor": torch.randn(2, requires_grad=True),
        "plain": torch.randn(2),
    }


@case
def tensor_attributes() -> Any:
    tensor, parameter, other = torch.randn(2), nn.Parameter(torch.randn(3)), torch.ones(2)
    tensor.note, tensor.friend, tensor.values_of = "x", other, {"k": [1, 2]}
    parameter.is_expert, parameter.scale = True, 0.5
    return {"tensor": tensor, "parameter": parameter, "other": other}


@case
def numpy_arrays_and_scalars() -> Any:
    return {
        "rows": np.arange(6, dtype=np.float32).reshape(2, 3),
        "fortran": np.asfortranarray(np.arange(6).reshape(2, 3)),
        "big endian": np.arange(3, dtype=">i2"),
        "bool": np.array([True, False]),
        "zero-d": np.array(1.5),
        "empty": np.zeros((0, 3), np.uint8),
        "float scalar": np.float64(-0.0),
        "int scalar": np.int64(-3),
        "half scalar": np.float16(1.5),
        "best": np.float32(0.1),
        "tensor": torch.ones(2),
    }


@case
def float8_kinds() -> Any:
    data = torch.arange(256, dtype=torch.int32).to(torch.uint8).reshape(16, 16)
    kinds = (
        "float8_e4m3fn",
        "float8_e4m3fnuz",
        "float8_e5m2",
        "float8_e5m2fnuz",
        "float8_e8m0fnu",
        "float4_e2m1fn_x2",
    )
    return {kind: data.clone().view(getattr(torch, kind)) for kind in kinds}


@case
def bits_kinds() -> Any:
    data = torch.arange(16, dtype=torch.uint8)
    return {
        kind: data.clone().view(getattr(torch, kind))
        for kind in ("bits8", "bits16", "bits1x8", "bits2x4", "bits4x2")
    }


@case
def half_complex_kinds() -> Any:
    data = torch.arange(48, dtype=torch.uint8).reshape(3, 16)
    return {kind: data.clone().view(getattr(torch, kind)) for kind in ("complex32", "bcomplex32")}


@case
def unsigned_kinds() -> Any:
    data = torch.arange(255, 255 - 48, -1, dtype=torch.int32).to(torch.uint8).reshape(3, 16)
    return {kind: data.clone().view(getattr(torch, kind)) for kind in ("uint8", "uint16", "uint32", "uint64")}


@case
def every_common_kind() -> Any:
    kinds = [
        "bool",
        "int8",
        "int16",
        "int32",
        "int64",
        "float16",
        "bfloat16",
        "float32",
        "float64",
        "complex64",
        "complex128",
    ]
    return {kind: torch.tensor([[0, 1, 1], [1, 0, 1]]).to(getattr(torch, kind)) for kind in kinds}


@case
def special_floats() -> Any:
    values = [math.nan, -math.nan, math.inf, -math.inf, 0.0, -0.0, 5e-324, 1.7976931348623157e308]
    kinds = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
    return {
        "list": values,
        **{str(kind): torch.tensor(values, dtype=torch.float64).to(kind) for kind in kinds},
    }


@case
def zero_d_and_zero_size() -> Any:
    sizes: list[tuple[int, ...]] = [(), (0,), (0, 3), (3, 0), (2, 0, 5), (1,), (1, 1, 1)]
    kinds = (torch.float32, torch.bfloat16, torch.bool, torch.complex64, torch.float8_e5m2)
    return {f"{kind}{size}": torch.zeros(size).to(kind) for kind in kinds for size in sizes}


@case
def views_that_lie_alone() -> Any:
    return {
        "transposed": torch.randn(3, 4).t(),
        "columns": torch.randn(4, 5)[:, 1:3],
        "steps": torch.arange(10)[1::3],
        "permuted": torch.randn(2, 3, 4).permute(2, 0, 1),
        "small part": torch.randn(1000)[500:503],
        "zero-d part": torch.randn(10)[3],
        "empty part": torch.randn(10)[4:4],
        "channels last": torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last),
        "diagonal": torch.randn(4, 4).diagonal(),
    }


@case
def expanded_views() -> Any:
    return {
        "rows": torch.randn(3).expand(4, 3),
        "columns": torch.randn(3, 1).expand(3, 5),
        "scalar": torch.tensor(2.5, dtype=torch.bfloat16).expand(2, 2),
        "windows": torch.arange(8.0).unfold(0, 4, 1),
    }


@case
def overlapping_views() -> Any:
    base = torch.arange(24.0)
    return {
        "head": base[:16],
        "tail": base[8:],
        "matrix": base.view(4, 6),
        "transposed": base.view(4, 6).t(),
        "middle": base.view(4, 6)[1:3, 2:5],
        "one": base[7],
        "expanded": base[3:5].expand(3, 2),
        "none": base[5:5],
    }


@case
def views_without_their_base() -> Any:
    base = torch.arange(100, dtype=torch.int16)
    return [base[10:20], base[15:30:2], base[40:44].view(2, 2).t()]


@case
def same_tensor_twice() -> Any:
    tensor, parameter = torch.randn(3), nn.Parameter(torch.randn(2))
    return {
        "a": tensor,
        "b": [tensor, tensor],
        "alias": tensor.detach(),
        "p": parameter,
        "data": parameter.data,
        "q": parameter,
    }


@case
def conj_and_neg_views() -> Any:
    values = torch.tensor([[1 + 2j, 3 - 4j], [0.5j, -1]])
    other = torch.tensor([1 + 1j, 2 - 2j])
    return {
        "plain": values,
        "conj": values.conj(),
        "adjoint": values.mH,
        "negative": other.conj().imag,
        "alone": torch.tensor([1j, 2], dtype=torch.complex128).conj(),
    }


@case
def dots_in_keys() -> Any:
    return {"a": {"b": torch.ones(2)}, "a.b": torch.zeros(2), "a.": {"b": torch.ones(1)}, ".": torch.ones(3)}


@case
def numbers_beside_their_words() -> Any:
    return {
        0: torch.ones(1),
        "0": torch.zeros(1),
        -1: torch.ones(2),
        1.5: torch.ones(3),
        "1.5": torch.ones(4),
    }


@case
def names_that_collide_on_disk() -> Any:
    names = [
        "a/b",
        "a%2Fb",
        "A/B",
        "w",
        "W",
        "w~1",
        "w~2",
        "é",
        "e\u0301",
        "__libnumpack__",
        "metadata",
        "data",
    ]
    return {name: torch.full((2,), float(index)) for index, name in enumerate(names)}


@case
def odd_names() -> Any:
    names = [
        "/",
        "..",
        ".",
        "",
        " ",
        "a\nb",
        "\t",
        "名前",
        "😀",
        "\x00",
        "nul\x00inside",
        "a\\b",
        'quote"',
        "'",
        "-rf",
        "con",
        "%",
        "*?",
    ]
    return {name: torch.full((2,), float(index)) for index, name in enumerate(names)}


@case
def odd_names_nested() -> Any:
    return {"..": {"..": {"etc/passwd": torch.ones(1)}}, "": {"": torch.ones(2), "x": {"": torch.ones(3)}}}


@case
def long_names() -> Any:
    return {
        "k" * 300: torch.ones(1),
        "k" * 301: torch.ones(2),
        "ü" * 150: torch.ones(3),
        "a/" * 120: torch.ones(4),
    }


@case
def surrogates() -> Any:
    return {"lone \ud800": torch.ones(1), "text": "\udfff half \ud83d", "pair": "😀", ("\ud800",): 1}


@case
def keys_that_are_no_strings() -> Any:
    return {
        1: "int",
        2.5: "float",
        None: "none",
        False: "bool",
        (1, "x"): "tuple",
        b"y": "bytes",
        (): "empty",
        2**70: "big",
        "minus zero": {-0.0: torch.ones(1)},
        (0, (1,)): torch.ones(2),
        "t": {None: torch.ones(3), True: torch.ones(4)},
        math.inf: 1,
    }


@case
def plain_values() -> Any:
    return {
        "ints": [
            0,
            -1,
            255,
            256,
            65535,
            65536,
            2**31 - 1,
            2**31,
            -(2**31),
            2**63,
            -(2**63) - 1,
            2**200,
            -(2**1000),
        ],
        "floats": [0.1, -0.0, math.nan, math.inf, 1e-320],
        "text": ["", "x" * 300, "größe", "\x00", "\u2028", "line\nline"],
        "bytes": [b"x", b"\x00\xff" * 200],
        "complex": [1 + 2j, complex(-0.0, math.nan)],
        "others": [None, True, False, (), ((), (1, (2,)))],
    }


@case
def values_that_weights_only_refuses() -> Any:
    return {"power": 2**2100, "negative": -(3**1500), "bytes": b"", "t": torch.ones(1)}


@case
def builtin_containers() -> Any:
    return {
        "set": {1, 2, "x"},
        "bytearray": bytearray(b"a\x00b"),
        "counter": Counter("abca"),
        "size": torch.Size([2, 3]),
    }


@case
def torch_constants() -> Any:
    return {
        "dtype": torch.bfloat16,
        "device": torch.device("cpu"),
        torch.float32: "as key",
        "layout": [torch.int8, torch.Size([])],
    }


@case
def ordered_dict_attributes() -> Any:
    state = OrderedDict(a=torch.ones(2))
    state._metadata = OrderedDict({"": {"version": 2}, "a": {"version": None, "extra": (1, 2.5)}})
    state.note = "kept"
    return {"state": state, "bare": OrderedDict([("z", 1), ("a", 2)])}


@case
def self_references() -> Any:
    items: list[Any] = [1, torch.ones(2)]
    items.append(items)
    table: dict[Any, Any] = {"items": items}
    table["table"] = table
    return [items, table, [table, items]]


@case
def deep_nesting() -> Any:
    value: Any = torch.ones(2)
    for level in range(150):
        value = {"k": value} if level % 3 else [value]
    return value


@case
def shared_containers() -> Any:
    pair, betas, shared = [torch.ones(1)], (0.9, [0.999]), {"x": 1}
    return {
        "a": pair,
        "b": pair,
        "groups": [{"betas": betas}, {"betas": betas}],
        "shared": [shared] * 3,
        "equal": {"x": 1},
    }


@case
def many_tensors() -> Any:
    return OrderedDict(
        (f"layers.{index // 4}.part{index % 4}", torch.full((3,), index)) for index in range(2000)
    )


@beyond
def other_classes() -> Any:
    return {
        "frozen": frozenset({1}),
        "default": defaultdict(int, a=1),
        "queue": deque([1, torch.ones(2)]),
        "slice": slice(1, 2),
    }


@beyond
def numpy_objects_and_text() -> Any:
    return {
        "text": np.array(["a", "bb"]),
        "objects": np.array([None, "x"], dtype=object),
        "time": np.datetime64("2020-01-01"),
    }


@beyond
def bare_storages() -> Any:
    tensor = torch.arange(4)
    return {
        "typed": torch.arange(3.0).storage(),
        "untyped": torch.arange(4).untyped_storage(),
        "of": tensor,
        "its": tensor.storage(),
    }


@beyond
def meta_tensors() -> Any:
    return {"meta": torch.empty(3, 4, device="meta"), "real": torch.ones(1)}


@beyond
def nested_tensors() -> Any:
    return {"nested": torch.nested.nested_tensor([torch.randn(2, 3), torch.randn(4, 3)])}
