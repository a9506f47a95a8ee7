"""Functions of elements: operators, comparing, choosing, changing in place."""

from __future__ import annotations

import ctypes
import numbers
from typing import TYPE_CHECKING, Any, Callable

import numpy as np

from .. import dtypes
from .._native import constants as c
from .._native import lib, make, structs
from ..errors import SharingError
from .grad import is_grad_enabled

if TYPE_CHECKING:
    from .core import Tensor

_new_scalar = structs["scalar"]


def scalar(value: Any) -> Any:
    """Python's or NumPy's number as the library takes it; None if it is none."""
    # The usual ones first: the others are asked for slowly.
    if isinstance(value, Pointwise):
        return None
    if type(value) is float:
        return _new_scalar(kind=c.SCALAR_FLOAT, real=value)
    if isinstance(value, (bool, np.bool_)):
        return _new_scalar(kind=c.SCALAR_BOOL, integer=bool(value))
    if isinstance(value, numbers.Integral):
        number = int(value)
        if not -(1 << 63) <= number < 1 << 64:
            raise OverflowError(f"{number} does not fit 64 bits; give a float")
        kind = c.SCALAR_INT if number < 1 << 63 else c.SCALAR_UINT
        return _new_scalar(kind=kind, integer=number if number < 1 << 63 else number - (1 << 64))
    if isinstance(value, numbers.Real):
        return _new_scalar(kind=c.SCALAR_FLOAT, real=float(value))
    if isinstance(value, numbers.Complex):
        number_ = complex(value)
        return _new_scalar(kind=c.SCALAR_COMPLEX, real=number_.real, imaginary=number_.imag)
    return None


def _unary(op: int, text: str) -> Callable[[Any], Tensor]:
    def function(self: Any) -> Tensor:
        return self._of_compute(make("nn_tensor", "nn_tensor_unary", self._compute(), op))  # type: ignore[no-any-return]

    function.__doc__ = text
    return function


def _binary(op: int, text: str, reversed: bool = False) -> Callable[[Any, Any], Tensor]:
    def function(self: Any, other: Any) -> Tensor:
        if not isinstance(other, Pointwise):
            number = scalar(other)
            if number is not None:
                return self._of_compute(  # type: ignore[no-any-return]
                    make("nn_tensor", "nn_tensor_binary_scalar", self._compute(), op, number, reversed)
                )
            other = _operand(other)
            if other is None:
                return NotImplemented  # type: ignore[no-any-return]
        first, second = (other, self) if reversed else (self, other)
        if first._nn is None and second._nn is None:
            made = make("nn_tensor", "nn_tensor_binary_in_memory", first._mem, op, second._mem)
        else:
            made = make("nn_tensor", "nn_tensor_binary", first._compute(), op, second._compute())
        return _kind(self, other)._of_compute(made)  # type: ignore[no-any-return]

    function.__doc__ = text
    return function


def _operand(other: Any) -> Any:
    """Another tensor, or what can be one without a copy; None for anything else."""
    if isinstance(other, Pointwise):
        return other
    if hasattr(other, "__array__") or hasattr(other, "__dlpack__"):
        from .create import as_tensor

        return as_tensor(other)
    return None


def _other(other: Any) -> Any:
    found = _operand(other)
    if found is None:
        raise TypeError(f"{type(other).__name__} is no tensor; make one with libnumpack.tensor")
    return found


def must_fit(value: Any, kind: dtypes.dtype) -> None:
    """Raises where a number of Python's cannot be an element of a type, but for the digits of floats."""
    if kind.is_floating_point and type(value) in (float, int):
        return
    if isinstance(value, numbers.Complex) and not isinstance(value, numbers.Real):
        if not kind.is_complex:
            raise TypeError(f"{value} is complex, and the elements are {kind.name}; give its real part")
    elif not (kind.is_floating_point or kind.is_complex or kind is dtypes.bool_):
        raw = kind.numpy()
        if raw is not None and raw.kind in "iu":
            bounds = np.iinfo(raw)
            # Not true of NaN either.
            if not bounds.min <= int_part(value) <= bounds.max:
                raise OverflowError(f"{value} is no {kind.name}, which goes from {bounds.min} to {bounds.max}")


def _bounds(kind: dtypes.dtype, least: Any, most: Any) -> tuple[Any, Any]:
    """Bounds within which an integer type is: those that none is beyond are its own."""
    raw = kind.numpy()
    if raw is None or raw.kind not in "iu" or isinstance(least, float) or isinstance(most, float):
        return least, most
    own = np.iinfo(raw)
    if (least is not None and least > own.max) or (most is not None and most < own.min):
        raise OverflowError(f"a bound of {kind.name} is beyond {own.min} to {own.max}; give one within")
    return (None if least is None else max(least, own.min)), (None if most is None else min(most, own.max))


def int_part(value: Any) -> Any:
    """A number without what is behind its point; NaN and infinities as they are."""
    return value if isinstance(value, numbers.Integral) or not np.isfinite(value) else int(value)


def _kind(first: Any, second: Any) -> Any:
    """The class of a result: that of a tensor which is more than the usual."""
    return type(second) if type(first)._is_usual else type(first)


def _of_truths(name: str, sign: str) -> Callable[[Any, Any], Tensor]:
    def function(self: Any, other: Any) -> Tensor:
        kinds = [self._dtype]
        if not isinstance(other, (bool, np.bool_)):
            if not isinstance(other, numbers.Number):
                other = _operand(other)
                if other is None:
                    return NotImplemented  # type: ignore[no-any-return]
            kinds.append(other._dtype if isinstance(other, Pointwise) else dtypes.as_dtype(type(other)))
        # Of integers it would be of their bits, which nothing here computes.
        for kind in kinds:
            if kind is not dtypes.bool_:
                raise TypeError(f"{sign} is of truth values, not of {kind.name}; compare first, or use {name}()")
        return getattr(self, name)(other)  # type: ignore[no-any-return]

    function.__doc__ = f"`{name}`, of truth values."
    return function


def _rank(kind: dtypes.dtype) -> int:
    return 3 if kind.is_complex else 2 if kind.is_floating_point else 0 if kind is dtypes.bool_ else 1


def _in_place(name: str) -> Callable[[Any, Any], Any]:
    def function(self: Any, *arguments: Any) -> Any:
        return self._take(getattr(self, name)(*arguments), name)

    function.__doc__ = (
        f"The same as `{name}`, in place. Raises `TypeError` where the result is of floats and this of integers."
    )
    return function


def _operator_in_place(name: str) -> Callable[[Any, Any], Any]:
    def function(self: Any, other: Any) -> Any:
        result = getattr(self, name)(other)
        return NotImplemented if result is NotImplemented else self._take(result, name)

    return function


class Pointwise:
    """Functions of each element, or of each two. Shapes broadcast, and types are promoted, as PyTorch's do."""

    __slots__ = ()

    # Whether it is `Tensor` itself, and not something special.
    _is_usual = False

    if TYPE_CHECKING:
        _compute: Any
        _of_compute: Any
        _memory: Any
        _changed: Any
        _mutated: Any
        _mem: Any
        _nn: Any
        _shape: Any
        _dtype: dtypes.dtype
        _device: Any
        @property
        def is_leaf(self) -> bool: ...
        @property
        def requires_grad(self) -> bool: ...
        numel: Any

    neg = __neg__ = _unary(c.NN_NEG, "The negative of each element.")
    abs = __abs__ = absolute = _unary(c.NN_ABS, "The absolute value of each element.")
    exp = _unary(c.NN_EXP, "e to the power of each element.")
    log = _unary(c.NN_LOG, "The natural logarithm of each element.")
    sqrt = _unary(c.NN_SQRT, "The square root of each element.")
    rsqrt = _unary(c.NN_RSQRT, "One over the square root of each element.")
    reciprocal = _unary(c.NN_RECIPROCAL, "One over each element.")
    square = _unary(c.NN_SQUARE, "Each element times itself.")
    sin = _unary(c.NN_SIN, "The sine of each element.")
    cos = _unary(c.NN_COS, "The cosine of each element.")
    tanh = _unary(c.NN_TANH, "The hyperbolic tangent of each element.")
    sigmoid = _unary(c.NN_SIGMOID, "1 / (1 + e^-x) of each element x.")
    relu = _unary(c.NN_RELU, "Each element, or 0 if that is more.")
    logical_not = _unary(c.NN_LOGICAL_NOT, "Whether each element is false.")

    def __pos__(self) -> Any:
        return self

    def __invert__(self) -> Any:
        if self._dtype is not dtypes.bool_:
            raise TypeError(f"~ is of truth values, not of {self._dtype.name}; compare first")
        return self.logical_not()

    add = __add__ = _binary(c.NN_ADD, "The sum of each two elements.")
    sub = __sub__ = subtract = _binary(c.NN_SUB, "The difference of each two elements.")
    mul = __mul__ = multiply = _binary(c.NN_MUL, "The product of each two elements.")
    div = __truediv__ = true_divide = _binary(c.NN_DIV, "The quotient of each two elements, a float.")
    pow = __pow__ = _binary(c.NN_POW, "Each element to the power of the other.")
    maximum = _binary(c.NN_MAXIMUM, "The larger of each two elements, NaN if one is.")
    minimum = _binary(c.NN_MINIMUM, "The smaller of each two elements, NaN if one is.")
    __radd__ = _binary(c.NN_ADD, "", reversed=True)
    __rsub__ = _binary(c.NN_SUB, "", reversed=True)
    __rmul__ = _binary(c.NN_MUL, "", reversed=True)
    __rtruediv__ = _binary(c.NN_DIV, "", reversed=True)
    __rpow__ = _binary(c.NN_POW, "", reversed=True)

    eq = __eq__ = _binary(c.NN_EQ, "Whether each two elements are equal.")  # type: ignore[assignment]
    ne = __ne__ = _binary(c.NN_NE, "Whether each two elements differ.")  # type: ignore[assignment]
    lt = __lt__ = _binary(c.NN_LT, "Whether each element is less than the other.")
    le = __le__ = _binary(c.NN_LE, "Whether each element is less than the other, or equal.")
    gt = __gt__ = _binary(c.NN_GT, "Whether each element is greater than the other.")
    ge = __ge__ = _binary(c.NN_GE, "Whether each element is greater than the other, or equal.")
    logical_and = _binary(c.NN_LOGICAL_AND, "Whether both are true, or not 0.")
    logical_or = _binary(c.NN_LOGICAL_OR, "Whether one is true, or not 0.")
    logical_xor = _binary(c.NN_LOGICAL_XOR, "Whether just one is true, or not 0.")
    __and__ = __rand__ = _of_truths("logical_and", "&")
    __or__ = __ror__ = _of_truths("logical_or", "|")
    __xor__ = __rxor__ = _of_truths("logical_xor", "^")

    __hash__ = object.__hash__

    add_, sub_, mul_, div_, pow_ = map(_in_place, ("add", "sub", "mul", "div", "pow"))
    neg_, abs_, exp_, sqrt_, relu_ = map(_in_place, ("neg", "abs", "exp", "sqrt", "relu"))
    sigmoid_, tanh_, clamp_ = map(_in_place, ("sigmoid", "tanh", "clamp"))
    __iadd__, __isub__ = map(_operator_in_place, ("__add__", "__sub__"))
    __imul__, __itruediv__ = map(_operator_in_place, ("__mul__", "__truediv__"))
    __ipow__ = _operator_in_place("__pow__")

    def gelu(self, approximate: str = "none") -> Any:
        """x times the part of a normal distribution below x, of each element x; ``approximate="tanh"`` for the
        approximation with a hyperbolic tangent."""
        if approximate not in ("none", "tanh"):
            raise ValueError(f"approximate is {approximate!r}; give 'none' or 'tanh'")
        op = c.NN_GELU_TANH if approximate == "tanh" else c.NN_GELU
        return self._of_compute(make("nn_tensor", "nn_tensor_unary", self._compute(), op))

    silu = _unary(c.NN_SILU, "x times the sigmoid of x, of each element x.")

    def clamp(self, min: float | None = None, max: float | None = None) -> Any:
        """Each element, or the bound that it is beyond. Raises `OverflowError` for a bound that integers of this type
        are all beyond."""
        min, max = _bounds(self._dtype, min, max)
        bounds = [None if b is None else ctypes.byref(ctypes.c_double(b)) for b in (min, max)]
        return self._of_compute(make("nn_tensor", "nn_tensor_clamp", self._compute(), *bounds))

    clip = clamp

    def masked_fill(self, mask: Any, value: float) -> Any:
        """Where ``mask`` is true, ``value``; elsewhere the elements."""
        from .create import full
        from .shape import where

        return where(mask, full((), value, dtype=self._dtype, device=self._device), self)

    # In place

    def _take(self, result: Any, name: str) -> Any:
        """Takes what was computed, unless it is of a kind of numbers that this type has no place for."""
        if _rank(result._dtype) > _rank(self._dtype):
            raise TypeError(
                f"{name.strip('_')}: the result is {result._dtype.name}, and is written in place into "
                f"{self._dtype.name}; use the result itself, or convert this one first"
            )
        return self._assign(result)

    def _assign(self, source: Any) -> Any:
        """Takes the elements of a tensor of a shape that broadcasts to this one's, in place."""
        if self.requires_grad and is_grad_enabled() and not self.is_leaf and source._nn is not None:
            # As if it had been computed so: the way back goes on from the new elements.
            if source._shape != self._shape or source._dtype is not self._dtype:
                raise SharingError(
                    "a computed tensor cannot take elements of another shape or type in place; use the result itself"
                )
            self._mem, self._nn = None, source._nn
        elif self._nn is None:
            lib.tensor_copy_from(self._mem, source.detach()._memory())
            self._mutated()
        else:
            lib.nn_tensor_copy_from(self._compute(), source._compute())
            self._changed()
        return self

    def copy_(self, source: Any) -> Any:
        """Takes the elements of a tensor or array of a shape that broadcasts to this one's, converted."""
        found = _operand(source)
        if found is None:
            from .create import tensor

            found = tensor(source)
        return self._assign(found.to(self._dtype))

    def fill_(self, value: Any) -> Any:
        """Takes one number everywhere, that of a tensor of one element too.

        Raises `TypeError` for what is none, `OverflowError` for one that the type does not have.
        """
        if hasattr(value, "item"):
            value = value.item()
        number = scalar(value)
        if number is None:
            raise TypeError(f"{value!r} is no number")
        must_fit(value, self._dtype)
        if self._nn is None:
            lib.tensor_fill(self._mem, number)
            self._mutated()
        else:
            lib.nn_tensor_fill(self._compute(), number)
            self._changed()
        return self

    def zero_(self) -> Any:
        """Takes 0 everywhere."""
        return self.fill_(0)

    # Whole tensors

    def equal(self, other: Any) -> bool:
        """Whether both have the same shape and equal elements."""
        found = _other(other)
        return self._shape == found._shape and bool((self._values() == found._values()).all())  # type: ignore[attr-defined]

    def allclose(self, other: Any, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> bool:
        """Whether |a - b| <= atol + rtol |b| everywhere."""
        both: Any = (self, _other(other))
        wide = dtypes.complex128 if any(t._dtype.is_complex for t in both) else dtypes.float64
        a, b = (t.detach().cpu().to(wide)._flat() for t in both)
        return bool(np.allclose(a, b, rtol, atol, equal_nan))
