"""`Tensor`: what it is, where its elements are, its gradient, and its ways to NumPy and to devices."""

from __future__ import annotations

import ctypes
import os
import threading
from sys import getrefcount
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import devices, dtypes
from .._native import Handle, lib, make, structs
from ..devices import device
from ..errors import SharingError
from . import exchange
from .grad import grad_of, is_grad_enabled
from .pointwise import Pointwise
from .reduction import Reduction
from .shape import Shape
from .size import Size, Storage
from .values import Values

if TYPE_CHECKING:
    from ..devices import DeviceLike
    from ..dtypes import DTypeLike


class Tensor(Pointwise, Reduction, Shape, Values):
    """Elements of one type, on the host or on a device: names and rules are PyTorch's.

    Made by `libnumpack.tensor` and its neighbours, not by calling this class. Operations give new tensors, or
    views of the same memory; those that change a tensor in place end with an underscore. Tensors of floats can
    have gradients. Any number of threads may use one that nobody changes.

    >>> import libnumpack
    >>> x = libnumpack.tensor([1.0, 2.0, 3.0], requires_grad=True)
    >>> (x ** 2).sum().backward()
    >>> x.grad
    tensor([2., 4., 6.])
    """

    # Where the elements are: memory that NumPy, PyTorch or a view may share is the library's tensor in memory,
    # ``_mem``. What computes is another handle, ``_nn``, with elements of its own on the host. A tensor has one of
    # them, or both; then memory is what counts, because others may write to it, and ``_compute`` brings the other
    # up to date.
    #
    # A gradient knows the leaf that it is of, and what it was when it was handed out, as its ``_grad_of``; a view of
    # one knows the gradient as its ``_base``.
    __slots__ = ("_mem", "_nn", "_shape", "_dtype", "_device", "_grad_of", "_base", "_own", "__weakref__")

    # NumPy leaves operators with a tensor to the tensor.
    __array_priority__ = 1000

    _mem: Handle | None
    _nn: Handle | None
    _shape: Size
    _dtype: dtypes.dtype
    _device: device
    _grad_of: tuple[Tensor, Handle | None] | None
    _base: Tensor | None
    _own: bool | None

    def __init_subclass__(cls) -> None:
        cls._is_usual = False

    def __init__(self, *_: Any, **__: Any) -> None:
        raise TypeError("make tensors with libnumpack.tensor, zeros, from_numpy and the like")

    # How one is made

    @classmethod
    def _new(cls, mem: Handle | None, nn: Handle | None) -> Tensor:
        made = cls.__new__(cls)
        made._mem, made._nn = mem, nn
        made._grad_of = made._base = made._own = None
        return made

    @classmethod
    def _of_memory(cls, handle: Handle) -> Tensor:
        """One on a tensor in memory, ``numpack_tensor``."""
        return cls._new(handle, None)

    @classmethod
    def _of_compute(cls, handle: Handle) -> Tensor:
        """One on a tensor that computes, ``numpack_nn_tensor``."""
        return cls._new(None, handle)

    def __getattr__(self, name: str) -> Any:
        # What a tensor is, is asked for when it is needed: of many results nobody wants to know.
        if name not in ("_shape", "_dtype", "_device"):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        self._describe()
        return object.__getattribute__(self, name)

    def _describe(self) -> None:
        # Another thread may have the elements in memory meanwhile.
        nn = self._nn
        if nn is not None:
            info = structs["nn_tensor_info"]()
            lib.nn_tensor_get_info(nn, info)
            place = devices.of_index(info.device_index) if info.on_device else devices.cpu
        else:
            info = structs["tensor_layout"]()
            lib.tensor_get_layout(self._mem, info)
            place = devices.cpu
        self._shape = Size(info.shape[: info.ndim])
        self._dtype = dtypes.of_number(info.dtype)
        self._device = place

    def _showing(self, handle: Handle) -> Tensor:
        """A tensor that shows this one's memory."""
        made = Tensor._new(handle, None)
        if self._grad_of is not None or self._base is not None:
            made._base = self
        return made

    # Where its elements are

    def _memory(self) -> Handle:
        """The tensor in memory, made if there is none yet."""
        memory = self._mem
        if self._nn is not None:
            with _lock:
                if self._mem is None:
                    self._make_memory()
                # Not after the lock, where another thread may let it go.
                memory = self._mem
        assert memory is not None
        return memory

    def _make_memory(self) -> None:
        self._must_be_here()
        made = make("tensor", "nn_tensor_to_tensor", self._nn)
        if self.requires_grad:
            self._mem = make("tensor", "tensor_detach", made)
            self._own = True
        else:
            self._mem = made
            self._nn = None

    def _compute(self) -> Handle:
        """The tensor that computes, with the elements as they are now."""
        nn = self._nn
        if nn is None:
            return make("nn_tensor", "nn_tensor_from_tensor", self._mem)
        memory = self._mem
        if memory is not None:
            lib.nn_tensor_refresh(nn, memory, None)
            # Memory that was made to be looked at is not compared again once nobody does: no tensor or other library
            # has its storage, and no array its handle.
            if self._own:
                with _lock:
                    shared = ctypes.c_int32()
                    lib.tensor_is_shared(memory, ctypes.byref(shared))
                    if not shared.value and self._references(memory) == _ALONE:
                        self._mem = None
        return nn

    def _references(self, memory: Handle) -> Any:
        return getrefcount(memory)

    def _changed(self) -> None:
        """To be called when the library changed the tensor that computes: others see it too."""
        if self._mem is not None and self._nn is not None:
            lib.nn_tensor_write_to(self._nn, self._mem)
        self._mutated()

    def _mutated(self) -> None:
        """To be called when the elements were changed in place: a gradient that was handed out is one."""
        if self._base is not None:
            self._base._mutated()
        if self._grad_of is not None:
            leaf, before = self._grad_of
            # One that has been replaced meanwhile is nobody's.
            if grad_of(leaf._nn, before):
                lib.nn_tensor_set_grad(leaf._nn, self._compute())
                self._grad_of = leaf, grad_of(leaf._nn)
            else:
                self._grad_of = None

    def _set(self, other: Tensor) -> None:
        """Takes the elements of another tensor of its shape, of any type and device, in place of its own."""
        if self._nn is None:
            self._mem = other._memory() if other._device.type == "cpu" else None
            self._nn = None if self._mem is not None else other.detach()._compute()
        else:
            lib.nn_tensor_set_data(self._nn, other._compute())
            self._mem = None
        self._describe()

    def _must_be_here(self) -> None:
        if self._device.type != "cpu":
            raise SharingError(f"the tensor is on {self._device}; move it with .cpu() first")

    def _flat(self) -> np.ndarray[Any, Any]:
        """The elements as an array to read, copied if they have to be: bits where NumPy has no such type."""
        nn = self._nn
        if self._mem is not None or nn is None or (self._device.type == "cpu" and not self.requires_grad):
            return exchange.shown(self._memory(), self._dtype)
        array = np.empty(self._shape, self._dtype.raw())
        lib.nn_tensor_read(nn, array.ctypes.data, array.nbytes)
        return array

    # What it is

    @property
    def shape(self) -> Size:
        """The sizes of the dimensions."""
        return self._shape

    @property
    def dtype(self) -> dtypes.dtype:
        """The type of the elements."""
        return self._dtype

    @property
    def device(self) -> device:
        """Where the elements are."""
        return self._device

    @property
    def ndim(self) -> int:
        """How many dimensions there are."""
        return len(self._shape)

    def dim(self) -> int:
        """How many dimensions there are."""
        return len(self._shape)

    def size(self, dim: int | None = None) -> Any:
        """The sizes of the dimensions, or that of one."""
        if dim is None:
            return self._shape
        if not -len(self._shape) <= dim < len(self._shape):
            raise IndexError(f"there is no dimension {dim} among {len(self._shape)}; count from 0, or from the end")
        return self._shape[dim]

    def numel(self) -> int:
        """How many elements there are."""
        return self._shape.numel()

    def element_size(self) -> int:
        """Bytes of an element."""
        return self._dtype.itemsize

    @property
    def itemsize(self) -> int:
        """Bytes of an element."""
        return self._dtype.itemsize

    @property
    def nbytes(self) -> int:
        """Bytes of all elements."""
        return self.numel() * self._dtype.itemsize

    def _layout(self) -> Any:
        layout = structs["tensor_layout"]()
        lib.tensor_get_layout(self._memory(), layout)
        return layout

    def stride(self, dim: int | None = None) -> Any:
        """How many elements it is from one index to the next, of each dimension or of one."""
        layout = self._layout()
        strides = tuple(layout.strides[: layout.ndim])
        return strides if dim is None else strides[dim]

    def storage_offset(self) -> int:
        """How many elements of the storage lie before the first one."""
        return int(self._layout().offset)

    def data_ptr(self) -> int:
        """The address of the first element, on the host; 0 where there is none."""
        layout = self._layout()
        # Who has it may look there at any time.
        self._own = None
        return int(layout.data or 0) if layout.numel else 0

    def untyped_storage(self) -> Storage:
        """The memory that the tensor shows, on the host."""
        return Storage(self)

    def is_contiguous(self) -> bool:
        """Whether the elements lie one after another in C order."""
        nn = self._nn
        if self._mem is not None or nn is None:
            return bool(self._layout().contiguous)
        info = structs["nn_tensor_info"]()
        lib.nn_tensor_get_info(nn, info)
        return bool(info.contiguous)

    def is_floating_point(self) -> bool:
        """Whether the elements are floats."""
        return self._dtype.is_floating_point

    def is_complex(self) -> bool:
        """Whether the elements are complex numbers."""
        return self._dtype.is_complex

    @property
    def is_vulkan(self) -> bool:
        """Whether it is on a Vulkan device."""
        return self._device.type == "vulkan"

    # Gradients

    def _info(self, what: str) -> bool:
        nn = self._nn
        if nn is None:
            return False
        info = structs["nn_tensor_info"]()
        lib.nn_tensor_get_info(nn, info)
        return bool(getattr(info, what))

    @property
    def requires_grad(self) -> bool:
        """Whether a gradient is computed for it: a leaf that wants one, or what was computed of such."""
        return self._info("requires_grad")

    @requires_grad.setter
    def requires_grad(self, wanted: bool) -> None:
        self.requires_grad_(wanted)

    def requires_grad_(self, requires_grad: bool = True) -> Tensor:
        """Says whether a gradient is to be computed for this leaf, and gives it back.

        Raises `TypeError` for a type without gradients, `SharingError` for a tensor that was computed.
        """
        if requires_grad or self._nn is not None:
            if self._nn is None:
                self._nn = make("nn_tensor", "nn_tensor_from_tensor", self._mem)
            lib.nn_tensor_require_grad(self._nn, requires_grad)
        return self

    @property
    def is_leaf(self) -> bool:
        """Whether it was not computed of anything that wants a gradient."""
        nn = self._nn
        if nn is None:
            return True
        info = structs["nn_tensor_info"]()
        lib.nn_tensor_get_info(nn, info)
        return bool(info.is_leaf)

    @property
    def grad(self) -> Any:
        """The gradient that `backward` left, or None. It can be set, and changed in place, but not by way of an
        array: that of ``.grad.numpy()`` is a copy."""
        if self._nn is None:
            return None
        handle = grad_of(self._nn)
        if handle is None:
            return None
        found = Tensor._of_compute(handle)
        if self._device.type == "cpu":
            # On a device it is the same memory; here a handle of its own keeps what it was.
            found._grad_of = self, grad_of(self._nn)
        return found

    @grad.setter
    def grad(self, grad: Tensor | None) -> None:
        if grad is None and self._nn is None:
            return
        if self._nn is None:
            raise SharingError("a tensor without requires_grad has no gradient; set requires_grad first")
        lib.nn_tensor_set_grad(self._nn, None if grad is None else _given(grad, "a gradient")._compute())

    def backward(self, gradient: Tensor | None = None, retain_graph: bool = False) -> None:
        """Adds the gradient of this tensor to `grad` of each leaf that it was computed of.

        ``gradient``: the tensor's own, of its shape, type and device; 1 for a tensor of one element.
        Raises `SharingError` for a tensor of more elements without it, if nothing wants a gradient, if what was
        kept of the computation has been used and given up (``retain_graph`` keeps it), and if a tensor that is
        needed was changed in place.
        """
        lib.nn_tensor_backward(
            self._compute(), None if gradient is None else _given(gradient, "a gradient")._compute(), retain_graph
        )

    def detach(self) -> Tensor:
        """The same elements, in the same memory, computed of nothing."""
        if self._device.type == "cpu":
            return self._showing(make("tensor", "tensor_detach", self._memory()))
        return self._of_compute(make("nn_tensor", "nn_tensor_detach", self._nn))

    @property
    def data(self) -> Tensor:
        """The elements without their gradient, in the same memory. Set, they are taken from another tensor of
        the same shape, with its type and device."""
        return self.detach()

    @data.setter
    def data(self, other: Tensor) -> None:
        self._set(_given(other, "data"))

    # Copies, types and devices

    def clone(self) -> Tensor:
        """A copy of the elements; gradients come back through it."""
        if self._by_memory():
            return Tensor._of_memory(make("tensor", "tensor_clone", self._memory()))
        return self._of_compute(make("nn_tensor", "nn_tensor_clone", self._compute()))

    def contiguous(self) -> Tensor:
        """The same tensor if its elements lie in C order, else a copy."""
        if self.is_contiguous():
            return self
        if self._by_memory():
            return Tensor._of_memory(make("tensor", "tensor_contiguous", self._memory()))
        return self._of_compute(make("nn_tensor", "nn_tensor_contiguous", self._compute()))

    def _by_memory(self) -> bool:
        """Whether it is viewed, copied and cast as memory: on the host, where no gradient is to be noted."""
        return self._device.type == "cpu" and not (self._nn is not None and self._noted())

    def _noted(self) -> bool:
        return self.requires_grad and is_grad_enabled()

    def to(self, *wanted: Any, dtype: DTypeLike | None = None, device: DeviceLike | None = None,
           copy: bool = False) -> Tensor:
        """The same elements as another type, or on another device, or both: ``to(dtype)``, ``to(device)``,
        ``to(device, dtype)``, ``to(other_tensor)``. The tensor itself if it is that already, unless ``copy``.

        Raises `TypeError` for a type that the device does not have, `DeviceError` where there is no device.

        >>> import libnumpack
        >>> libnumpack.tensor([1.5]).to("int64")
        tensor([1])
        """
        for given in wanted:
            if isinstance(given, Tensor):
                dtype, device = given._dtype, given._device
            elif isinstance(given, devices.device) or names_device(given):
                device = given
            elif given is not None:
                dtype = given
        made = self
        if dtype is not None:
            made = made._cast(dtypes.as_dtype(dtype))
        if device is not None:
            made = made._move(devices.device(device))
        return made.clone() if copy and made is self else made

    def _cast(self, dtype: dtypes.dtype) -> Tensor:
        if dtype is self._dtype:
            return self
        if self._by_memory():
            return Tensor._of_memory(make("tensor", "tensor_to_dtype", self._memory(), dtype.number))
        return self._of_compute(make("nn_tensor", "nn_tensor_to_dtype", self._compute(), dtype.number))

    def _move(self, place: devices.device) -> Tensor:
        if place.type == "cpu" and self._device.type == "cpu":
            return self
        place, handle = devices.opened(place)
        if place == self._device:
            return self
        return Tensor._of_compute(make("nn_tensor", "nn_tensor_to_device", self._compute(), handle))

    def cpu(self) -> Tensor:
        """The same elements on the host."""
        return self._move(devices.cpu)

    def vulkan(self, index: int | None = None) -> Tensor:
        """The same elements on a Vulkan device, the usual one or that with this number."""
        if index is None and self.is_vulkan:
            return self
        return self._move(device("vulkan", index))

    def float(self) -> Tensor:
        """As float32."""
        return self._cast(dtypes.float32)

    def double(self) -> Tensor:
        """As float64."""
        return self._cast(dtypes.float64)

    def half(self) -> Tensor:
        """As float16."""
        return self._cast(dtypes.float16)

    def bfloat16(self) -> Tensor:
        """As bfloat16."""
        return self._cast(dtypes.bfloat16)

    def long(self) -> Tensor:
        """As int64."""
        return self._cast(dtypes.int64)

    def int(self) -> Tensor:
        """As int32."""
        return self._cast(dtypes.int32)

    def bool(self) -> Tensor:
        """As truth values."""
        return self._cast(dtypes.bool_)

    # Copies of tensors

    __hash__ = object.__hash__

    def __reduce__(self) -> Any:
        here = self.detach().cpu()
        return _rebuilt, (
            type(self), np.array(here._flat().view(_bits(self._dtype))), self._dtype.name, self.requires_grad,
            self._device,
        )

    def __deepcopy__(self, memo: dict[Any, Any]) -> Tensor:
        made: Tensor = _rebuilt(*self.__reduce__()[1])
        memo[id(self)] = made
        return made


Tensor._is_usual = True


def _references_alone() -> Any:
    """What ``_references`` finds of memory that only its tensor has, which hangs on the version of Python."""
    tensor = Tensor._new(Handle(), None)
    memory = tensor._mem
    assert memory is not None
    return tensor._references(memory)


_ALONE = _references_alone()

# Held while elements are brought into memory, which is done once for each tensor.
_lock = threading.Lock()


def _forked() -> None:
    global _lock
    _lock = threading.Lock()


os.register_at_fork(after_in_child=_forked)


def _given(value: Any, what: str) -> Tensor:
    if not isinstance(value, Tensor):
        raise TypeError(f"{what} is a Tensor, not {type(value).__name__}; make one with libnumpack.as_tensor")
    return value


def names_device(given: Any) -> bool:
    """Whether it is a device and no type, where a call takes either."""
    return isinstance(given, str) and given.partition(":")[0] in ("cpu", "vulkan", "cuda") or (
        isinstance(given, int) and not isinstance(given, bool)
    )


def _bits(dtype: dtypes.dtype) -> np.dtype[Any]:
    """A type of NumPy's own of the same size: the elements can be pickled without ml_dtypes."""
    return dtype.raw() if dtype.raw().isbuiltin == 1 else np.dtype(f"<u{dtype.itemsize}")


def _rebuilt(cls: Any, bits: np.ndarray[Any, Any], name: str, requires_grad: bool, place: device) -> Any:
    dtype = dtypes.as_dtype(name)
    made = Tensor._of_memory(exchange.share(bits, dtype, ""))
    moved = made._move(place)
    if cls is not Tensor:
        moved = cls._of_compute(moved._compute()) if moved._mem is None else cls._of_memory(moved._mem)
    return moved.requires_grad_() if requires_grad else moved
