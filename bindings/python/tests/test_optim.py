"""Optimisers against their formulas in NumPy, in doubles, and learning rates that change."""

from __future__ import annotations

import math

import numpy as np
import pytest

import libnumpack
from libnumpack import nn, optim


def sgd(p, grads, lr=1e-3, momentum=0.0, dampening=0.0, weight_decay=0.0, nesterov=False, maximize=False):
    kept = None
    for g in grads:
        g = (-g if maximize else g) + weight_decay * p
        if momentum:
            kept = g if kept is None else momentum * kept + (1 - dampening) * g
            g = g + momentum * kept if nesterov else kept
        p = p - lr * g
    return p


def adam(
    p, grads, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0, amsgrad=False, maximize=False,
    decoupled=False,
):
    mean, squares, largest = np.zeros_like(p), np.zeros_like(p), np.zeros_like(p)
    for t, g in enumerate(grads, 1):
        g = -g if maximize else g
        if decoupled:
            p = p * (1 - lr * weight_decay)
        else:
            g = g + weight_decay * p
        mean = betas[0] * mean + (1 - betas[0]) * g
        squares = betas[1] * squares + (1 - betas[1]) * g * g
        largest = np.maximum(largest, squares)
        root = np.sqrt((largest if amsgrad else squares) / (1 - betas[1] ** t)) + eps
        p = p - lr * mean / (1 - betas[0] ** t) / root
    return p


def adamw(p, grads, weight_decay=0.01, **options):
    return adam(p, grads, weight_decay=weight_decay, decoupled=True, **options)


ALL = [
    (optim.SGD, sgd, {}),
    (optim.SGD, sgd, {"lr": 0.1}),
    (optim.SGD, sgd, {"lr": 0.1, "momentum": 0.9}),
    (optim.SGD, sgd, {"lr": 0.1, "momentum": 0.9, "dampening": 0.3, "weight_decay": 0.2}),
    (optim.SGD, sgd, {"lr": 0.1, "momentum": 0.8, "nesterov": True, "weight_decay": 0.1}),
    (optim.SGD, sgd, {"lr": 0.1, "momentum": 0.8, "maximize": True}),
    (optim.Adam, adam, {}),
    (optim.Adam, adam, {"lr": 0.1, "betas": (0.8, 0.95), "eps": 1e-3, "weight_decay": 0.1}),
    (optim.Adam, adam, {"lr": 0.1, "amsgrad": True, "maximize": True}),
    (optim.Adam, adam, {"lr": 0.1, "betas": (0.0, 0.0), "eps": 0.5}),
    (optim.AdamW, adamw, {}),
    (optim.AdamW, adamw, {"lr": 0.1, "weight_decay": 0.3, "amsgrad": True}),
]


@pytest.fixture
def rng():
    return np.random.default_rng(5)


def run(optimizer, param, grads):
    for g in grads:
        param.grad = libnumpack.tensor(g)
        optimizer.step()


@pytest.mark.parametrize(("kind", "formula", "options"), ALL, ids=lambda v: getattr(v, "__name__", str(v)))
def test_steps(kind, formula, options, rng):
    start, grads = rng.standard_normal((3, 4)), rng.standard_normal((5, 3, 4))
    param = libnumpack.tensor(start, requires_grad=True)
    optimizer = kind([param], **options)
    run(optimizer, param, grads)
    np.testing.assert_allclose(param.detach().numpy(), formula(start, grads, **options), rtol=1e-12)
    # The gradient is left as it was.
    np.testing.assert_array_equal(param.grad.numpy(), grads[-1])


def test_defaults_are_torch_s():
    params = [libnumpack.zeros(1, requires_grad=True)]
    assert optim.SGD(params).defaults == {
        "lr": 1e-3, "momentum": 0, "dampening": 0, "weight_decay": 0, "nesterov": False, "maximize": False,
        "foreach": None, "differentiable": False, "fused": None,
    }
    both = {
        "lr": 1e-3, "betas": (0.9, 0.999), "eps": 1e-8, "amsgrad": False, "maximize": False, "foreach": None,
        "capturable": False, "differentiable": False, "fused": None,
    }
    assert optim.Adam(params).defaults == {**both, "weight_decay": 0, "decoupled_weight_decay": False}
    assert optim.AdamW(params).defaults == {**both, "weight_decay": 0.01, "decoupled_weight_decay": True}


@pytest.mark.parametrize("kind", [optim.SGD, optim.Adam, optim.AdamW])
def test_groups_have_options_of_their_own(kind, rng):
    formula = {optim.SGD: sgd, optim.Adam: adam, optim.AdamW: adamw}[kind]
    starts, grads = rng.standard_normal((3, 4)), rng.standard_normal((4, 3, 4))
    params = [libnumpack.tensor(s, requires_grad=True) for s in starts]
    groups = [{"params": params[0]}, {"params": [params[1]], "lr": 0.5, "weight_decay": 0.25}]
    optimizer = kind(groups, lr=0.1)
    optimizer.add_param_group({"params": [params[2]], "lr": 0.2})
    assert [group["lr"] for group in optimizer.param_groups] == [0.1, 0.5, 0.2]
    for step in range(4):
        for param, grad in zip(params, grads[step]):
            param.grad = libnumpack.tensor(grad)
        optimizer.step()
    for i, options in enumerate(({"lr": 0.1}, {"lr": 0.5, "weight_decay": 0.25}, {"lr": 0.2})):
        np.testing.assert_allclose(
            params[i].detach().numpy(), formula(starts[i], grads[:, i], **options), rtol=1e-12
        )


def test_options_are_set_between_steps(rng):
    start, grads = rng.standard_normal(4), rng.standard_normal((3, 4))
    param = libnumpack.tensor(start, requires_grad=True)
    optimizer = optim.SGD([param], lr=0.1)
    expected = start
    for g, options in zip(grads, ({"lr": 0.1}, {"lr": 0.5}, {"lr": 0.5, "weight_decay": 0.2})):
        optimizer.param_groups[0].update(options)
        expected = sgd(expected, [g], **options)
        run(optimizer, param, [g])
    np.testing.assert_allclose(param.detach().numpy(), expected, rtol=1e-12)
    optimizer.param_groups[0]["lr"] = -1
    with pytest.raises(ValueError, match="lr is -1"):
        optimizer.step()
    np.testing.assert_allclose(param.detach().numpy(), expected, rtol=1e-12)


def test_a_parameter_without_a_gradient_is_left_alone(rng):
    a, b = (libnumpack.tensor(rng.standard_normal(3), requires_grad=True) for _ in range(2))
    before = b.tolist()
    optimizer = optim.Adam([a, b])
    a.grad = libnumpack.ones(3, dtype=libnumpack.float64)
    optimizer.step()
    assert b.tolist() == before
    assert list(optimizer.state) == [a]
    assert set(optimizer.state[a]) == {"step", "exp_avg", "exp_avg_sq"}


def test_memory_that_is_shared_is_changed_and_read():
    array = np.ones(3)
    param = nn.Parameter(libnumpack.from_numpy(array))
    optimizer = optim.SGD([param], lr=0.5)
    param.grad = libnumpack.ones(3, dtype=libnumpack.float64)
    optimizer.step()
    assert array.tolist() == [0.5, 0.5, 0.5]
    array[0] = 10
    optimizer.step()
    assert array.tolist() == [9.5, 0, 0]
    assert param.tolist() == [9.5, 0, 0]


@pytest.mark.parametrize(
    "make", [lambda: nn.Parameter(libnumpack.ones(2), requires_grad=False), lambda: libnumpack.ones(2)]
)
def test_what_wants_a_gradient_later_on_is_trained_then(make):
    param = make()
    optimizer = optim.SGD([param], lr=0.5)
    optimizer.step()
    shown = param.detach().numpy()
    param.requires_grad_()
    (param * 2).sum().backward()
    optimizer.step()
    assert param.tolist() == [0, 0] and shown.tolist() == [0, 0]


def test_gradients_go():
    param = libnumpack.ones(2, requires_grad=True)
    optimizer = optim.SGD([param])
    (param * 2).sum().backward()
    optimizer.zero_grad(set_to_none=False)
    assert param.grad.tolist() == [0, 0]
    optimizer.zero_grad()
    assert param.grad is None


def test_a_closure_computes_the_loss():
    param = libnumpack.tensor([3.0], requires_grad=True)
    optimizer = optim.SGD([param], lr=0.1)

    def closure():
        optimizer.zero_grad()
        loss = (param * param).sum()
        loss.backward()
        return loss

    with libnumpack.no_grad():
        loss = optimizer.step(closure)
    assert loss.item() == 9
    assert param.item() == pytest.approx(3 - 0.1 * 6)


def test_what_cannot_be_trained():
    param = libnumpack.ones(2, requires_grad=True)
    for given, error, text in [
        ([], ValueError, "no parameters"),
        (param, TypeError, r"\[tensor\]"),
        ([param * 2], ValueError, "computed"),
        ([param, param], ValueError, "twice"),
        ([{"params": [param]}, {"params": [param]}], ValueError, "twice"),
        ([np.ones(2)], TypeError, "ndarray"),
    ]:
        with pytest.raises(error, match=text):
            optim.SGD(given)
    for options in (
        {"lr": -1}, {"momentum": -0.5}, {"weight_decay": -1}, {"nesterov": True},
        {"nesterov": True, "momentum": 0.9, "dampening": 0.1}, {"lr": math.nan},
    ):
        with pytest.raises(ValueError):
            optim.SGD([param], **options)
    for options in ({"betas": (1.0, 0.9)}, {"betas": (0.9, -0.1)}, {"eps": -1}, {"lr": -1}):
        with pytest.raises(ValueError):
            optim.Adam([param], **options)


@pytest.mark.parametrize(("kind", "formula", "options"), ALL, ids=lambda v: getattr(v, "__name__", str(v)))
def test_states_go_to_another_optimiser(kind, formula, options, rng):
    start, grads = rng.standard_normal((3, 4)), rng.standard_normal((6, 3, 4))
    first = libnumpack.tensor(start, requires_grad=True)
    optimizer = kind([first], **options)
    run(optimizer, first, grads[:3])
    state = optimizer.state_dict()
    assert set(state) == {"state", "param_groups"}
    assert state["param_groups"][0]["params"] == [0]
    for name, value in options.items():
        assert state["param_groups"][0][name] == value
    second = libnumpack.tensor(first.detach().numpy(), requires_grad=True)
    other = kind([second], lr=7.0)
    other.load_state_dict(state)
    assert other.param_groups[0]["lr"] == options.get("lr", 1e-3)
    assert other.param_groups[0]["params"] == [second]
    # The first goes on by itself, and what it keeps is not the other's.
    run(optimizer, first, grads[3:])
    run(other, second, grads[3:])
    expected = formula(start, grads, **options)
    np.testing.assert_allclose(first.detach().numpy(), expected, rtol=1e-12)
    np.testing.assert_allclose(second.detach().numpy(), expected, rtol=1e-12)


def test_names_in_states_are_torch_s(rng):
    grads = rng.standard_normal((1, 3))
    for kind, options, names in [
        (optim.SGD, {}, None), (optim.SGD, {"momentum": 0.5}, ["momentum_buffer"]),
        (optim.Adam, {}, ["step", "exp_avg", "exp_avg_sq"]),
        (optim.AdamW, {"amsgrad": True}, ["step", "exp_avg", "exp_avg_sq", "max_exp_avg_sq"]),
    ]:
        param = libnumpack.zeros(3, requires_grad=True, dtype=libnumpack.float64)
        optimizer = kind([param], **options)
        assert optimizer.state_dict()["state"] == {}
        run(optimizer, param, grads)
        state = optimizer.state_dict()["state"]
        expected = {} if names is None else {0: names}
        assert {i: list(kept) for i, kept in state.items()} == expected
        if names and "step" in names:
            assert state[0]["step"].shape == () and state[0]["step"].item() == 1


def test_states_that_do_not_fit_change_nothing(rng):
    param = libnumpack.zeros(3, requires_grad=True, dtype=libnumpack.float64)
    optimizer = optim.Adam([param], lr=0.5)
    run(optimizer, param, rng.standard_normal((1, 3)))
    kept = optimizer.state[param]["exp_avg"].tolist()
    good = optimizer.state_dict()
    two = optim.Adam([libnumpack.zeros(1, requires_grad=True), libnumpack.zeros(1, requires_grad=True)])
    with pytest.raises(ValueError, match=r"\[2\].*\[1\]"):
        optimizer.load_state_dict(two.state_dict())
    cut = {**good["state"][0], "exp_avg": libnumpack.zeros(2)}
    short = {"state": {0: cut}, "param_groups": good["param_groups"]}
    with pytest.raises(ValueError, match="exp_avg"):
        optimizer.load_state_dict(short)
    unknown = {"state": {0: {"speed": libnumpack.zeros(3)}}, "param_groups": good["param_groups"]}
    with pytest.raises(ValueError, match="speed"):
        optimizer.load_state_dict(unknown)
    beyond = {"state": {5: good["state"][0]}, "param_groups": good["param_groups"]}
    with pytest.raises(ValueError):
        optimizer.load_state_dict(beyond)
    bad = {"state": good["state"], "param_groups": [{**good["param_groups"][0], "betas": (2, 3)}]}
    with pytest.raises(ValueError, match="betas"):
        optimizer.load_state_dict(bad)
    assert optimizer.param_groups[0]["betas"] == (0.9, 0.999)
    assert optimizer.state[param]["exp_avg"].tolist() == kept


def test_an_optimiser_is_shown():
    optimizer = optim.SGD([libnumpack.zeros(1, requires_grad=True)], lr=0.25)
    lines = repr(optimizer).splitlines()
    assert lines[:2] == ["SGD (", "Parameter Group 0"] and "    lr: 0.25" in lines and lines[-1] == ")"


# Learning rates.


def rates(make, epochs):
    optimizer = optim.SGD([libnumpack.zeros(1, requires_grad=True)], lr=0.8)
    scheduler = make(optimizer)
    found = []
    for _ in range(epochs):
        found.append(optimizer.param_groups[0]["lr"])
        assert scheduler.get_last_lr() == [found[-1]]
        optimizer.step()
        scheduler.step()
    return found


def test_learning_rates_that_change():
    schedulers = optim.lr_scheduler
    np.testing.assert_allclose(
        rates(lambda o: schedulers.StepLR(o, 2, gamma=0.5), 6), [0.8, 0.8, 0.4, 0.4, 0.2, 0.2]
    )
    np.testing.assert_allclose(rates(lambda o: schedulers.ExponentialLR(o, 0.5), 4), [0.8, 0.4, 0.2, 0.1])
    np.testing.assert_allclose(
        rates(lambda o: schedulers.CosineAnnealingLR(o, 4, eta_min=0.2), 9),
        [0.2 + 0.6 * (1 + math.cos(math.pi * t / 4)) / 2 for t in range(9)],
    )
    np.testing.assert_allclose(
        rates(lambda o: schedulers.LambdaLR(o, lambda t: 1 / (1 + t)), 3), [0.8, 0.4, 0.8 / 3]
    )


def test_learning_rates_of_groups_and_their_states():
    params = [libnumpack.zeros(1, requires_grad=True) for _ in range(2)]
    optimizer = optim.SGD([{"params": params[0]}, {"params": params[1], "lr": 1.0}], lr=0.5)
    scheduler = optim.lr_scheduler.LambdaLR(optimizer, [lambda t: 2.0**t, lambda t: 3.0**t])
    scheduler.step()
    assert [g["lr"] for g in optimizer.param_groups] == [1.0, 3.0]
    assert [g["initial_lr"] for g in optimizer.param_groups] == [0.5, 1.0]
    with pytest.raises(ValueError, match="2 groups"):
        optim.lr_scheduler.LambdaLR(optimizer, [lambda t: 1.0])
    with pytest.raises(TypeError, match="optimiser"):
        optim.lr_scheduler.StepLR(params, 2)
    first = optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.5)
    first.step()
    first.step()
    second = optim.lr_scheduler.StepLR(optimizer, 5)
    second.load_state_dict(first.state_dict())
    assert second.last_epoch == 2 and second.get_last_lr() == [0.125, 0.25]
    assert optimizer.param_groups[1]["lr"] == 0.25
