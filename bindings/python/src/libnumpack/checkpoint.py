"""Files of tensors and values: `load` and `save`, PyTorch's names without PyTorch.

Nothing in a file is executed or imported. What is no plain value and no tensor is refused, or shown as what it
is: a `Recipe`.
"""

from __future__ import annotations

import ctypes
import typing
import warnings
from collections import Counter, OrderedDict
from collections.abc import Mapping
from typing import Any, Callable, Union

import numpy as np

from . import devices, dtypes
from ._native import Callbacks, Handle, lib, make, path, structs
from ._native import constants as c
from .devices import DeviceLike
from .errors import FormatError
from .tensors import Size, Tensor, as_tensor

MapLocation = Union[DeviceLike, typing.Mapping[str, DeviceLike], Callable[..., Any], None]


class Global:
    """A class or function that a file names, and that was not looked up: ``module`` and ``name``."""

    __slots__ = ("module", "name")

    def __init__(self, module: str, name: str) -> None:
        self.module = module
        self.name = name

    def __repr__(self) -> str:
        return f"<global {self.module}.{self.name}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Global) and (self.module, self.name) == (other.module, other.name)

    def __hash__(self) -> int:
        return hash((self.module, self.name))


class Recipe:
    """What Python would build by calling ``callable`` with ``arguments``, and what was not built.

    ``rest`` holds what would be done to it then: keyword arguments, a state, items, as the file has them.
    """

    __slots__ = ("callable", "arguments", "rest")

    def __init__(self) -> None:
        self.callable: Any = None
        self.arguments: Any = ()
        self.rest: list[Any] = []

    def __repr__(self) -> str:
        return f"<recipe of {self.callable!r}>"


def load(path: Any, map_location: MapLocation = None, weights_only: bool = True, mmap: bool = False) -> Any:
    """The object in a file: what ``torch.load`` gives, with `Tensor` in the place of PyTorch's.

    ``path``: a ``.pt`` file of any age, a sharded or distributed checkpoint, a NumPack store or package, or one of
    ``.safetensors``, ``.npy``, ``.npz``, told apart by content. Tensors that share memory in the file do so here.

    ``map_location``: where tensors go; the host if it is left out, wherever they were. ``weights_only``: what is no
    plain value is refused by name; without it, such is given as a `Recipe`. Neither executes anything. ``mmap``:
    tensors show the file's memory, read as they are touched, and read-only; nobody may change or shorten the file
    meanwhile. Those that cannot be mapped are read.

    Raises `FileNotFoundError`, `FormatError` for a damaged file, another kind, and a class that is not known.

    >>> import libnumpack, tempfile, os
    >>> path = os.path.join(tempfile.mkdtemp(), "state.pt")
    >>> libnumpack.save({"weight": libnumpack.ones(2), "epoch": 3}, path)
    >>> libnumpack.load(path)
    {'weight': tensor([1., 1.]), 'epoch': 3}
    """
    return _Reader(path, map_location, weights_only, mmap).read()


_CONTAINERS = {
    c.NODE_TUPLE: tuple, c.NODE_LIST: list, c.NODE_SET: set, c.NODE_FROZENSET: frozenset, c.NODE_DICT: dict,
    c.NODE_ORDERED_DICT: OrderedDict,
}
_BUILT_LAST = (c.NODE_TUPLE, c.NODE_FROZENSET)


class _Reader:
    """One file's nodes as Python's objects. They form a graph of any depth, so that nothing recurses."""

    def __init__(self, name: Any, map_location: Any, weights_only: bool, mmap: bool) -> None:
        self.checkpoint = make("checkpoint", "checkpoint_open", path(name), None)
        self.name, self.map_location = name, map_location
        self.weights_only, self.mmap = weights_only, mmap
        self.tensors: dict[int, Any] = {}
        self.made: dict[int, Any] = {}
        # Of what is begun and not finished: its kind, what the library says of it, its keys and values.
        self.begun: dict[int, tuple[int, int, list[tuple[int, int]]]] = {}
        self.node, self.info = structs["node"](), structs["tensor_info"]()

    def read(self) -> Any:
        with Callbacks() as callbacks:
            warned: list[str] = []
            hear = callbacks.make("warning_fn", lambda text, _: warned.append(text.decode()), None)
            lib.checkpoint_warnings(self.checkpoint, hear, None)
        for text in warned:
            warnings.warn(text, stacklevel=devices.callers_level())
        if not self.mmap:
            count = lib.checkpoint_count(self.checkpoint)
            found = (ctypes.c_void_p * max(count, 1))()
            lib.checkpoint_load_all(self.checkpoint, found, count)
            self.all = [Handle.of(pointer, "tensor") for pointer in found[:count]]
        root = ctypes.c_uint32()
        lib.checkpoint_get_root(self.checkpoint, ctypes.byref(root))
        todo = [(root.value, False)]
        while todo:
            number, is_ready = todo.pop()
            if is_ready:
                self.finish(number)
                continue
            if number in self.made or number in self.begun:
                continue
            parts = self.begin(number)
            if parts is not None:
                todo.append((number, True))
                todo.extend((part, False) for part in reversed(parts) if part not in self.made)
        return self.made[root.value]

    def children(self, number: int, count: int) -> list[tuple[int, int]]:
        key, value = ctypes.c_uint32(), ctypes.c_uint32()
        keys, values = ctypes.byref(key), ctypes.byref(value)
        get, checkpoint = lib.checkpoint_get_child, self.checkpoint
        found = []
        for child in range(count):
            get(checkpoint, number, child, keys, values)
            found.append((key.value, value.value))
        return found

    def begin(self, number: int) -> list[int] | None:
        """Makes what a number stands for; what is made of parts is begun, and gives their numbers."""
        node = self.node
        lib.checkpoint_get_node(self.checkpoint, number, node)
        kind = node.kind
        if kind in _CONTAINERS or kind == c.NODE_OBJECT:
            children = self.children(number, node.children)
            self.begun[number] = kind, node.integer, children
            if kind not in _BUILT_LAST:
                # Before its parts: it may be one of them.
                self.made[number] = Recipe() if kind == c.NODE_OBJECT else _CONTAINERS[kind]()
            parts = [n for pair in children for n in pair if n != c.NO_NODE]
            attributes = ctypes.c_uint32(c.NO_NODE)
            if kind == c.NODE_ORDERED_DICT:
                lib.checkpoint_get_attributes(self.checkpoint, number, ctypes.byref(attributes))
                if attributes.value != c.NO_NODE:
                    parts.append(attributes.value)
            return parts
        self.made[number] = self.plain(node)
        return None

    def plain(self, node: Any) -> Any:
        kind = node.kind
        # Most are tensors, and their names.
        if kind == c.NODE_TENSOR:
            return self.tensor(node.integer, node.index)
        if kind == c.NODE_STR:
            return _bytes(node, "text", node.length).decode()
        if kind == c.NODE_NONE:
            return None
        if kind == c.NODE_BOOL:
            return bool(node.integer)
        if kind == c.NODE_INT:
            return node.integer
        if kind == c.NODE_FLOAT:
            return node.real
        text = _bytes(node, "text", node.length)
        if kind == c.NODE_BIG_INT:
            return int.from_bytes(text, "little", signed=True)
        if kind == c.NODE_SURROGATE_STR:
            return text.decode("utf-8", "surrogatepass")
        if kind == c.NODE_BYTES:
            return text
        if kind == c.NODE_BYTEARRAY:
            return bytearray(text)
        if kind == c.NODE_GLOBAL:
            return _known_global(text.decode(), _bytes(node, "name", node.name_length).decode())
        raise FormatError(f"{self.name}: there is a storage by itself, which no tensor shows; torch can load it")

    def tensor(self, number: int, index: int) -> Any:
        found = self.tensors.get(number)
        if found is None:
            if index == ctypes.c_size_t(-1).value:
                raise FormatError(f"{self.name}: a tensor stands at a place without a name; torch can load it")
            found = self.tensors[number] = self.moved(self.loaded(index), index)
        return found

    def loaded(self, index: int) -> Handle:
        if not self.mmap:
            return self.all[index]
        try:
            return make("tensor", "checkpoint_load_mapped", self.checkpoint, index)
        except (ValueError, TypeError):
            return make("tensor", "checkpoint_load", self.checkpoint, index)

    def moved(self, memory: Handle, index: int) -> Any:
        info = self.info
        lib.checkpoint_get_info(self.checkpoint, index, info)
        # Gradients are the other handle's.
        made = Tensor._of_memory(make("tensor", "tensor_detach", memory) if info.requires_grad else memory)
        place = self.map_location
        if place is not None:
            made = self.at(place, made)
        if info.parameter:
            from .nn import Parameter

            return Parameter(made, bool(info.requires_grad))
        return made.requires_grad_() if info.requires_grad else made

    def at(self, place: Any, made: Tensor) -> Tensor:
        if callable(place) and not isinstance(place, devices.device):
            chosen = place(made, "cpu")
            return made if chosen is None else chosen
        return made.to(device=place.get("cpu") if isinstance(place, Mapping) else place)

    def finish(self, number: int) -> None:
        """Fills what was begun, now that its parts are there."""
        kind, how, children = self.begun.pop(number)
        try:
            values = [self.made[value] for _, value in children]
            if kind in _BUILT_LAST:
                self.made[number] = _CONTAINERS[kind](values)
            elif kind == c.NODE_LIST:
                self.made[number].extend(values)
            elif kind == c.NODE_SET:
                self.made[number].update(values)
            elif kind == c.NODE_OBJECT:
                self.made[number] = self.object(number, how, children, values)
            else:
                made = self.made[number]
                for (key, _), value in zip(children, values):
                    made[self.made[key]] = value
                if kind == c.NODE_ORDERED_DICT:
                    self.attributes(number, made)
        except KeyError:
            raise FormatError(f"{self.name}: a tuple contains itself, which is not built") from None
        except TypeError as e:
            raise FormatError(f"{self.name}: what Python would not build either: {e}") from e

    def attributes(self, number: int, made: Any) -> None:
        found = ctypes.c_uint32()
        lib.checkpoint_get_attributes(self.checkpoint, number, ctypes.byref(found))
        if found.value != c.NO_NODE:
            made.__dict__.update({str(key): value for key, value in self.made[found.value].items()})

    def object(self, number: int, how: int, children: list[tuple[int, int]], values: list[Any]) -> Any:
        made = self.made[number]
        made.callable = values[0] if values else None
        made.arguments = values[1] if len(values) > 1 else ()
        keys = [None if key == c.NO_NODE else self.made[key] for key, _ in children[2:]]
        made.rest = [v if k is None else (k, v) for k, v in zip(keys, values[2:])]
        if how in (c.OBJECT_CALL, c.OBJECT_NEW) and isinstance(made.callable, Global) and not made.rest:
            known = _KNOWN_CALLS.get((made.callable.module, made.callable.name))
            if known is not None:
                try:
                    return known(*made.arguments)
                except (TypeError, ValueError, OverflowError) as e:
                    raise FormatError(f"{self.name}: {made.callable!r} with arguments that it does not take: {e}") from e
        if self.weights_only:
            raise FormatError(
                f"{self.name}: {made.callable!r} is no plain value, and is not built; "
                "load with weights_only=False to see what it would be"
            )
        return made


def _bytes(node: Any, member: str, length: int) -> bytes:
    """Bytes that the library points to, which do not end in NUL, and may have one among them."""
    offset = getattr(type(node), member).offset
    pointer = ctypes.c_void_p.from_buffer(node, offset).value
    return ctypes.string_at(pointer, length) if pointer and length else b""


def _known_global(module: str, name: str) -> Any:
    if module == "torch":
        found = dtypes.names().get(name)
        if found is not None:
            return found
    return Global(module, name)


_KNOWN_CALLS: dict[tuple[str, str], Callable[..., Any]] = {
    ("torch", "Size"): Size,
    ("torch", "device"): lambda *names: ":".join(map(str, names)),
    ("builtins", "complex"): complex,
    ("builtins", "slice"): slice,
    ("builtins", "range"): range,
    ("collections", "Counter"): Counter,
}


def save(obj: Any, path: Any) -> None:
    """Writes an object as a ``.pt`` file that ``torch.load(path, weights_only=True)`` takes.

    ``obj``: tensors, arrays of NumPy and tensors of PyTorch, in dicts, lists, tuples and sets of any depth, beside
    None, truth values, numbers, texts, bytes, sizes and element types. Tensors that share memory do so in the file;
    those of a device are brought back. An existing file is replaced; the new one appears whole or not at all.

    Raises `TypeError` for anything else, with the place where it stands, and `RecursionError` for what contains
    itself.

    >>> import libnumpack, tempfile, os
    >>> path = os.path.join(tempfile.mkdtemp(), "model.pt")
    >>> libnumpack.save(libnumpack.nn.Linear(2, 1).state_dict(), path)
    >>> list(libnumpack.load(path))
    ['weight', 'bias']
    """
    _Writer().write(obj, path)


class _Writer:
    """Python's objects as nodes, parts before what they are parts of."""

    def __init__(self) -> None:
        self.object = make("object", "object_create")
        self.made: dict[int, int] = {}
        # What is converted on the way lives until the file is written, and so do their numbers.
        self.kept: list[Any] = []
        self.number = ctypes.c_uint32()

    def write(self, obj: Any, name: Any) -> None:
        open_: set[int] = set()
        todo: list[tuple[Any, str, bool]] = [(obj, "", False)]
        while todo:
            value, place, is_ready = todo.pop()
            if is_ready:
                open_.discard(id(value))
                self.made[id(value)] = self.container(value)
                continue
            if id(value) in self.made:
                continue
            parts = _parts(value)
            if parts is None:
                self.kept.append(value)
                self.made[id(value)] = self.leaf(value, place)
                continue
            if id(value) in open_:
                raise RecursionError(f"{place or 'the object'} contains itself, which is not written; break it")
            open_.add(id(value))
            self.kept.append((value, parts))
            todo.append((value, place, True))
            todo.extend((part, f"{place}{step}", False) for step, part in reversed(parts))
        options = structs["save_options"](overwrite=1)
        lib.object_save(self.object, self.made[id(obj)], path(name), options)

    def container(self, value: Any) -> int:
        if isinstance(value, dict):
            keys, values = (self.numbers(part) for part in (value.keys(), value.values()))
            attributes = c.NO_NODE
            ordered = isinstance(value, OrderedDict)
            metadata = getattr(value, "_metadata", None)
            if ordered and isinstance(metadata, dict):
                attributes = self.nested({"_metadata": metadata})
            lib.object_add_dict(
                self.object, keys, values, len(value), ordered, attributes, ctypes.byref(self.number)
            )
        else:
            kind = next(number for number, kind in _ITEMS if isinstance(value, kind))
            lib.object_add_items(
                self.object, kind, self.numbers(value), len(value), ctypes.byref(self.number)
            )
        return self.number.value

    def nested(self, value: Any) -> int:
        """A part that was not asked for: the attributes of a dict, which are small."""
        parts = _parts(value)
        self.kept.append(value)
        for _, part in parts or ():
            if id(part) not in self.made:
                self.made[id(part)] = self.nested(part)
        return self.leaf(value, "_metadata") if parts is None else self.container(value)

    def numbers(self, values: Any) -> Any:
        found = [self.made[id(value)] for value in values]
        return (ctypes.c_uint32 * len(found))(*found)

    def leaf(self, value: Any, place: str) -> int:
        tensor = _as_tensor(value)
        if tensor is not None:
            return self.tensor(tensor)
        given = structs["node"]()
        kind, text = _plain(value, given)
        if kind is None:
            raise TypeError(
                f"{place or 'the object'} is of {type(value).__name__}, which is not written; "
                "make it tensors, numbers, texts, lists or dicts"
            )
        given.kind = kind
        if text is not None:
            self.kept.append(text)
            given.text, given.length = text, len(text)
        if isinstance(value, (Global, dtypes.dtype)):
            name = value.name.encode()
            self.kept.append(name)
            given.name, given.name_length = name, len(name)
        lib.object_add(self.object, given, ctypes.byref(self.number))
        return self.number.value

    def tensor(self, tensor: Tensor) -> int:
        from .nn import Parameter

        here = tensor.detach().cpu()
        self.kept.append(here)
        memory = here._memory()
        if tensor.requires_grad:
            memory = make("tensor", "tensor_require_grad", memory, True)
        is_parameter = isinstance(tensor, Parameter)
        lib.object_add_tensor(self.object, memory, is_parameter, ctypes.byref(self.number))
        return self.number.value


_ITEMS = (
    (c.NODE_TUPLE, tuple), (c.NODE_LIST, list), (c.NODE_SET, set), (c.NODE_FROZENSET, frozenset),
)


def _parts(value: Any) -> list[tuple[str, Any]] | None:
    """What a container holds, each with the way to it; None for what is no container."""
    if isinstance(value, dict):
        keys = [(" (a key of it)", key) for key in value]
        return keys + [(f"[{key!r}]", item) for key, item in value.items()]
    if isinstance(value, (list, tuple)):
        return [(f"[{i}]", item) for i, item in enumerate(value)]
    if isinstance(value, (set, frozenset)):
        return [(" (a member of it)", item) for item in value]
    return None


def _as_tensor(value: Any) -> Tensor | None:
    if isinstance(value, Tensor):
        return value
    if isinstance(value, np.ndarray) or (hasattr(value, "__dlpack__") and hasattr(value, "dtype")):
        found = as_tensor(value)
        return found.requires_grad_() if getattr(value, "requires_grad", False) else found
    return None


def _plain(value: Any, given: Any) -> tuple[int | None, bytes | None]:
    """The kind of a plain value and its text, after its number has been put into ``given``."""
    if value is None:
        return c.NODE_NONE, None
    if isinstance(value, (bool, np.bool_)):
        given.integer = bool(value)
        return c.NODE_BOOL, None
    if isinstance(value, (int, np.integer)):
        number = int(value)
        if -(1 << 63) <= number < 1 << 63:
            given.integer = number
            return c.NODE_INT, None
        return c.NODE_BIG_INT, number.to_bytes(number.bit_length() // 8 + 1, "little", signed=True)
    if isinstance(value, (float, np.floating)):
        given.real = float(value)
        return c.NODE_FLOAT, None
    if isinstance(value, str):
        try:
            return c.NODE_STR, value.encode()
        except UnicodeEncodeError:
            return c.NODE_SURROGATE_STR, value.encode("utf-8", "surrogatepass")
    if isinstance(value, bytes):
        return c.NODE_BYTES, value
    if isinstance(value, bytearray):
        return c.NODE_BYTEARRAY, bytes(value)
    if isinstance(value, dtypes.dtype):
        return c.NODE_GLOBAL, b"torch"
    if isinstance(value, Global):
        return c.NODE_GLOBAL, value.module.encode()
    return None, None
