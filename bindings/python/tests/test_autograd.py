"""Gradients in Python: the rules of PyTorch's autograd."""

from __future__ import annotations

import threading

import numpy as np
import pytest

import libnumpack as ln
from libnumpack.errors import SharingError


def test_a_sum_of_squares():
    x = ln.tensor([1.0, 2.0, 3.0], requires_grad=True)
    z = (x ** 2).sum()
    z.backward()
    assert x.grad.tolist() == [2, 4, 6] and z.item() == 14


def test_no_grad_as_block_and_decorator():
    x = ln.tensor([1.0], requires_grad=True)
    with ln.no_grad():
        assert not (x * 2).requires_grad
        with ln.enable_grad():
            assert (x * 2).requires_grad

    @ln.no_grad()
    def double(t):
        return t * 2

    assert not double(x).requires_grad and (x * 2).requires_grad and ln.is_grad_enabled()


def test_gradients_add_up_and_are_set():
    x = ln.tensor([1.0, 2.0], requires_grad=True)
    for _ in range(2):
        (x * 3).sum().backward()
    assert x.grad.tolist() == [6, 6]
    x.grad.zero_()
    assert x.grad.tolist() == [0, 0]
    x.grad.add_(ln.tensor([1.0, 2.0]))
    (x * 3).sum().backward()
    assert x.grad.tolist() == [4, 5]
    x.grad = None
    assert x.grad is None
    x.grad = ln.ones(2)
    assert x.grad.tolist() == [1, 1]
    with pytest.raises(SharingError):
        x.grad = ln.ones(3)


def test_a_leaf_is_changed_within_no_grad_only():
    x = ln.ones(3, requires_grad=True)
    for change in (lambda: x.add_(1), lambda: x.fill_(2), lambda: x.__setitem__(0, 5)):
        with pytest.raises(RuntimeError, match="no_grad"):
            change()
    with ln.no_grad():
        x -= 0.5
        x[0] = 7
        x[1:].mul_(4)
    assert x.tolist() == [7, 2, 2] and x.is_leaf and x.requires_grad
    (x * x).sum().backward()
    assert x.grad.tolist() == [14, 4, 4]


def test_a_computed_tensor_is_changed_with_its_history():
    x = ln.tensor([1.0, 2.0], requires_grad=True)
    y = x * 2
    y += 1
    y *= y
    y.sum().backward()
    assert y.tolist() == [9, 25] and x.grad.tolist() == [12, 20]


def test_memory_that_numpy_changes_is_noticed():
    x = ln.tensor([3.0], requires_grad=True)
    y = x * x
    x.detach().numpy()[0] = 4
    assert (x * 1).tolist() == [4]
    with pytest.raises(SharingError, match="changed in place"):
        y.backward()


def test_detach_and_data_share():
    x = ln.tensor([1.0, 2.0], requires_grad=True)
    flat = x.detach()
    flat[0] = 5
    assert not flat.requires_grad and x.tolist() == [5, 2]
    x.data.mul_(2)
    assert x.tolist() == [10, 4]
    x.data = ln.tensor([1.0, 1.5], dtype="float64")
    assert x.dtype is ln.float64 and x.tolist() == [1, 1.5] and x.requires_grad
    with pytest.raises(ValueError, match="shape"):
        x.data = ln.ones(3)


def test_rules():
    x = ln.tensor([1.0, 2.0], requires_grad=True)
    with pytest.raises(RuntimeError):
        (x * 2).backward()
    with pytest.raises(RuntimeError):
        ln.ones(1).sum().backward()
    y = (x * x).sum()
    y.backward()
    with pytest.raises(RuntimeError):
        y.backward()
    z = (x * x).sum()
    z.backward(retain_graph=True)
    z.backward()
    (x * 2).backward(ln.tensor([1.0, 10.0]))
    assert x.grad.tolist() == [2 + 4 + 2, 4 + 8 + 20]
    with pytest.raises(TypeError):
        ln.tensor([1, 2]).requires_grad_()
    with pytest.raises(RuntimeError):
        (x * 2).requires_grad_(False)


def test_views_and_copies_carry_gradients():
    x = ln.tensor(np.arange(6.0).reshape(2, 3), requires_grad=True)
    loss = x.T[1].sum() + x.clone().reshape(-1)[5] * 2 + x.to("float32").mean() + ln.cat([x, x]).sum()
    loss.backward()
    want = np.full((2, 3), 2 + 1 / 6)
    want[:, 1] += 1
    want[1, 2] += 2
    assert np.allclose(x.grad.numpy(), want)


def test_threads_have_their_own_mode():
    seen = []
    with ln.no_grad():
        thread = threading.Thread(target=lambda: seen.append(ln.is_grad_enabled()))
        thread.start()
        thread.join()
    assert seen == [True]


def test_a_long_graph_is_freed_without_recursion():
    x = ln.tensor([1.0], requires_grad=True)
    y = x
    for _ in range(20_000):
        y = y + 1
    del y
    assert x.tolist() == [1]


def test_views_of_a_gradient_are_the_gradient():
    x = ln.ones(2, 2, requires_grad=True)
    (x * x).sum().backward()
    x.grad[0].zero_()
    x.grad.T[1][1] = 7
    x.grad.detach().view(4)[2:3].add_(1)
    assert x.grad.tolist() == [[0, 0], [3, 7]]
    # What is read from it is one's own.
    x.grad.numpy()[:] = 5
    x.grad.clone().zero_()
    assert x.grad.tolist() == [[0, 0], [3, 7]]
    # One that is the gradient no more changes nothing.
    grad = x.grad
    x.grad = None
    grad.fill_(1)
    assert x.grad is None
    (x * x).sum().backward()
    before = x.grad
    (x * x).sum().backward()
    before.zero_()
    grad[0] = 9
    assert x.grad.tolist() == [[4, 4], [4, 4]]


def test_memory_that_is_no_longer_shared_is_let_go():
    x = ln.randn(1000, requires_grad=True)
    with ln.no_grad():
        x.fill_(1)
    array = x.detach().numpy()
    (x * 1).sum()
    array[0] = 5
    assert (x * 1)[0].item() == 5
    view = x.detach()[1:]
    del array
    (x * 1).sum()
    view[0] = 7
    assert (x * 1)[1].item() == 7
    del view
    (x * 1).sum()
    # Nobody could see a change of it any more.
    assert x._mem is None and x.tolist()[:3] == [5, 7, 1]
    import ctypes

    address = x.data_ptr()
    (x * 1).sum()
    ctypes.c_float.from_address(address).value = 3
    assert (x * 1)[0].item() == 3
