"""New tensors: of NumPy arrays, lists and numbers, of other libraries' tensors, filled, random.

| Call | Memory |
|---|---|
| `from_numpy` | shares, or refuses |
| `as_tensor` | shares if it can, else copies |
| `tensor` | copies, always |
"""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any, Sequence

import numpy as np

from .. import devices, dtypes
from .._native import constants as c
from .._native import lib, make, sizes
from ..errors import SharingError
from . import exchange
from .core import Tensor
from .pointwise import must_fit, scalar
from .shape import _sequence

if TYPE_CHECKING:
    from ..devices import DeviceLike
    from ..dtypes import DTypeLike


def from_numpy(array: np.ndarray[Any, Any]) -> Tensor:
    """A tensor that shares an array's memory: a change on either side is seen on the other. The type is kept,
    strides too; the memory lives as long as one of them.

    Raises `TypeError` for what is no array or has elements that are no numbers, `SharingError` for an array that
    is read-only, in another byte order or misaligned, or whose strides are negative or no multiples of an
    element: `as_tensor` copies those. (PyTorch warns of read-only memory and takes it all the same.)

    >>> import libnumpack, numpy as np
    >>> array = np.array([1.0, 2.0, 3.0])
    >>> t = libnumpack.from_numpy(array)
    >>> array[0] = 99
    >>> t
    tensor([99.,  2.,  3.], dtype=libnumpack.float64)
    """
    if not isinstance(array, np.ndarray):
        raise TypeError(f"from_numpy takes an array, not {type(array).__name__}; use tensor() or as_tensor()")
    dtype = _beyond_numpy(array.dtype)
    if dtype is not None:
        if not array.flags.writeable or any(step < 0 for step in array.strides):
            raise SharingError("the array is read-only or goes backwards; as_tensor copies it")
    return Tensor._of_memory(exchange.share(array, dtype, "tensor_from_numpy"))


def _beyond_numpy(found: np.dtype[Any]) -> dtypes.dtype | None:
    """The type of ml_dtypes' elements; None for NumPy's own."""
    return dtypes.of_numpy(found) if found.isbuiltin == 2 else None


def as_tensor(data: Any, dtype: DTypeLike | None = None, device: DeviceLike | None = None) -> Tensor:
    """A tensor of ``data``, which shares its memory if that can be, and copies else: for another type or device,
    and where `from_numpy` would refuse an array.

    A tensor is given back as it is. Arrays, PyTorch's tensors on the CPU (detached), objects with ``__dlpack__``
    or a buffer are shared; lists and numbers are copied, as `tensor` does.

    Raises `TypeError` for what has no numbers.
    """
    made = _shared(data, dtype)
    return made.to(dtype=dtype, device=device)


def _shared(data: Any, dtype: DTypeLike | None) -> Tensor:
    if isinstance(data, Tensor):
        return data
    if isinstance(data, np.ndarray):
        return _of_array(data)
    if hasattr(data, "__dlpack__"):
        # PyTorch's, which are not given as long as they want a gradient.
        source = data.detach() if getattr(data, "requires_grad", False) else data
        if type(source).__module__.partition(".")[0] == "torch":
            source = source.resolve_conj().resolve_neg().cpu()
        return Tensor._of_memory(exchange.of_dlpack(source))
    if hasattr(data, "__array__") and not isinstance(data, np.generic) or isinstance(data, (memoryview, bytearray)):
        return _of_array(np.asarray(data))
    return tensor(data, dtype)


def _of_array(array: np.ndarray[Any, Any]) -> Tensor:
    dtype = _beyond_numpy(array.dtype)
    if dtype is not None:
        if not array.flags.writeable or any(step < 0 for step in array.strides):
            array = array.copy()
        return from_numpy(array)
    _must_be_numbers(array)
    return Tensor._of_memory(exchange.share(array, None, "tensor_as_tensor", -1))


def _must_be_numbers(array: np.ndarray[Any, Any]) -> None:
    if array.dtype == object:
        for item in array.flat:
            if not isinstance(item, (int, float, complex)):
                raise TypeError(f"{type(item).__name__} is no number, and no tensor; convert it first")
    if array.dtype.kind not in "biufcV" or array.dtype.names is not None:
        raise TypeError(f"elements of {array.dtype} are no numbers; convert them first")


def tensor(data: Any, dtype: DTypeLike | None = None, device: DeviceLike | None = None,
           requires_grad: bool = False) -> Tensor:
    """A tensor of a copy of ``data``: lists and tuples, nested in equal lengths, numbers, arrays, tensors.

    Without ``dtype`` that of an array or tensor is kept; Python's floats become float32, integers int64, truth
    values bool, complex numbers complex64. ``requires_grad``: gradients are wanted for it.

    Raises `ValueError` for lists of unequal lengths, `TypeError` for what is no number, `OverflowError` for a number
    of Python's that the type does not have.

    >>> import libnumpack
    >>> libnumpack.tensor([[1, 2], [3, 4]])
    tensor([[1, 2],
            [3, 4]])
    >>> libnumpack.tensor([1.0, 2.5]).dtype
    libnumpack.float32
    """
    wanted = None if dtype is None else dtypes.as_dtype(dtype)
    if isinstance(data, Tensor) or (hasattr(data, "__dlpack__") and not isinstance(data, np.ndarray)):
        source = _shared(data, None).detach()
        made = source.to(dtype=wanted, device=device)
        made = made.clone() if made is source or made._mem is source._mem else made
    else:
        made = _copied(data, wanted).to(device=device)
    return made.requires_grad_() if requires_grad else made


def _copied(data: Any, wanted: dtypes.dtype | None) -> Tensor:
    try:
        if isinstance(data, (list, tuple)):
            data = _nested(data)
        array = data if isinstance(data, np.ndarray) else np.asarray(data)
    except ValueError as e:
        raise ValueError("the lists are of unequal lengths, and no tensor; fill the short ones up") from e
    if not isinstance(data, (np.ndarray, np.generic)) and not hasattr(data, "__array__"):
        # Made of Python's own numbers.
        first = _first(data)
        is_plain = not isinstance(first, (np.generic, np.ndarray))
        if type(first) is int and array.dtype == np.float64 and (np.abs(array) >= 1 << 63).any():
            # Integers, some beyond int64, which NumPy makes floats of.
            exact = np.asarray(data, object)
            array = exact if all(isinstance(x, int) for x in exact.flat) else array
        if array.dtype == object and array.size and all(isinstance(x, int) for x in array.flat):
            # Before 2.0, NumPy cuts bits off.
            if not all(0 <= x < 1 << 64 for x in array.flat):
                raise OverflowError("the integers do not fit 64 bits; give floats")
            array = array.astype(np.uint64)
        if wanted is not None:
            _must_fit(array, wanted)
        if array.dtype == np.float64 and is_plain:
            wanted = wanted or dtypes.float32
        elif array.dtype == np.complex128 and is_plain:
            wanted = wanted or dtypes.complex64
    beyond = _beyond_numpy(array.dtype)
    if beyond is not None:
        shared = from_numpy(array.copy())
        return shared if wanted is None else shared.to(dtype=wanted)
    _must_be_numbers(array)
    number = -1 if wanted is None else wanted.number
    return Tensor._of_memory(
        make("tensor", "tensor_copy_numpy", exchange.interface(array), number, 0)
    )


def _must_fit(array: np.ndarray[Any, Any], kind: dtypes.dtype) -> None:
    """Raises where one of Python's numbers cannot be an element of a type."""
    if array.size and array.dtype.kind in "iufc":
        # One that is NaN comes out as either.
        values = (array.min(), array.max()) if array.dtype.kind != "c" else (array.flat[0],)
        for value in values:
            must_fit(value.item(), kind)


def _nested(data: Sequence[Any]) -> Any:
    """Lists whose innermost items may be tensors, as arrays."""
    if data and hasattr(data[0], "__array__") and not isinstance(data[0], np.generic):
        return np.stack([np.asarray(item.detach().cpu() if hasattr(item, "detach") else item) for item in data])
    return data


def _first(data: Any) -> Any:
    """The first number in lists, None for empty ones."""
    while isinstance(data, (list, tuple)):
        if not data:
            return None
        data = data[0]
    return data


def from_dlpack(source: Any) -> Tensor:
    """A tensor on the memory of another library's: any object with ``__dlpack__``, or a capsule.

    Raises `SharingError` for memory of a device.

    >>> import libnumpack, numpy as np
    >>> libnumpack.from_dlpack(np.arange(3))
    tensor([0, 1, 2])
    """
    return Tensor._of_memory(exchange.of_dlpack(source))


# Filled and random


def _made(function: str, shape: Sequence[Any], dtype: DTypeLike | None, device: DeviceLike | None,
          requires_grad: bool, *before: Any, after: Any = ()) -> Tensor:
    found = tuple(operator.index(n) for n in _sequence(shape))
    kind = dtypes.float32 if dtype is None else dtypes.as_dtype(dtype)
    _, handle = devices.opened(devices.as_device(device))
    made = Tensor._of_compute(
        make("nn_tensor", function, *before, kind.number, len(found), sizes(found), *after, handle)
    )
    return made.requires_grad_() if requires_grad else made


def full(size: Any, fill_value: Any, *, dtype: DTypeLike | None = None, device: DeviceLike | None = None,
         requires_grad: bool = False) -> Tensor:
    """A tensor of these sizes with one number everywhere; without ``dtype`` that of the number."""
    number = scalar(fill_value)
    if number is None:
        raise TypeError(f"{fill_value!r} is no number")
    if dtype is None:
        dtype = dtypes.as_dtype(bool if number.kind == c.SCALAR_BOOL else type(fill_value) if isinstance(
            fill_value, (int, float, complex)) else fill_value.dtype)
    shape = (size,) if hasattr(size, "__index__") and not isinstance(size, Tensor) else tuple(size)
    kind = dtypes.as_dtype(dtype)
    must_fit(fill_value, kind)
    if devices.as_device(device).type == "cpu":
        memory = make("tensor", "tensor_full", kind.number, len(shape), sizes(shape), number)
        made = Tensor._of_memory(memory)
        return made.requires_grad_() if requires_grad else made
    return _made("nn_tensor_full", shape, kind, device, requires_grad, after=(number,))


def zeros(*size: Any, dtype: DTypeLike | None = None, device: DeviceLike | None = None,
          requires_grad: bool = False) -> Tensor:
    """Zeros, of float32 without ``dtype``: ``zeros(2, 3)`` or ``zeros((2, 3))``."""
    return full(_sequence(size), 0, dtype=dtype or dtypes.float32, device=device, requires_grad=requires_grad)


def ones(*size: Any, dtype: DTypeLike | None = None, device: DeviceLike | None = None,
         requires_grad: bool = False) -> Tensor:
    """Ones, of float32 without ``dtype``."""
    return full(_sequence(size), 1, dtype=dtype or dtypes.float32, device=device, requires_grad=requires_grad)


empty = zeros
"""As `zeros`: memory is never given out as it was left."""


def full_like(like: Tensor, fill_value: Any, *, dtype: DTypeLike | None = None,
              device: DeviceLike | None = None, requires_grad: bool = False) -> Tensor:
    """A tensor of the same sizes, type and device with one number everywhere."""
    return full(like.shape, fill_value, dtype=dtype or like.dtype, device=device or like.device,
                requires_grad=requires_grad)


def zeros_like(like: Tensor, *, dtype: DTypeLike | None = None, device: DeviceLike | None = None,
               requires_grad: bool = False) -> Tensor:
    """Zeros of the same sizes, type and device."""
    return full_like(like, 0, dtype=dtype, device=device, requires_grad=requires_grad)


def ones_like(like: Tensor, *, dtype: DTypeLike | None = None, device: DeviceLike | None = None,
              requires_grad: bool = False) -> Tensor:
    """Ones of the same sizes, type and device."""
    return full_like(like, 1, dtype=dtype, device=device, requires_grad=requires_grad)


def rand(*size: Any, dtype: DTypeLike | None = None, device: DeviceLike | None = None,
         requires_grad: bool = False) -> Tensor:
    """Uniform random numbers from 0 up to before 1."""
    return _made("nn_tensor_random", size, dtype, device, requires_grad, c.NN_UNIFORM)


def randn(*size: Any, dtype: DTypeLike | None = None, device: DeviceLike | None = None,
          requires_grad: bool = False) -> Tensor:
    """Normal random numbers of mean 0 and deviation 1."""
    return _made("nn_tensor_random", size, dtype, device, requires_grad, c.NN_NORMAL)


def manual_seed(seed: int) -> None:
    """Begins the random numbers of the whole process anew: the same seed gives the same numbers."""
    lib.nn_manual_seed(operator.index(seed) % (1 << 64))


def arange(start: Any, end: Any = None, step: Any = 1, *, dtype: DTypeLike | None = None,
           device: DeviceLike | None = None, requires_grad: bool = False) -> Tensor:
    """The numbers from ``start``, or 0, to before ``end``: int64, or float32 if one of them is a float.

    >>> import libnumpack
    >>> libnumpack.arange(4), libnumpack.arange(1, 2, 0.5)
    (tensor([0, 1, 2, 3]), tensor([1.0000, 1.5000]))
    """
    if end is None:
        start, end = 0, start
    kind = dtypes.as_dtype(dtype) if dtype is not None else (
        dtypes.int64 if all(isinstance(n, (int, np.integer)) for n in (start, end, step)) else dtypes.float32
    )
    made = tensor(np.arange(start, end, step), dtype=kind, device=device)
    return made.requires_grad_() if requires_grad else made
