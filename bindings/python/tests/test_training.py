"""Training from NumPy's arrays: by a loop that is written out, and by steps that are recorded."""

from __future__ import annotations

import numpy as np
import pytest

import libnumpack
from libnumpack import nn, optim, vulkan

on_device = pytest.mark.skipif(not vulkan.is_available(), reason="there is no Vulkan device")
PLACES = ["cpu", pytest.param("vulkan", marks=on_device)]
pytestmark = pytest.mark.filterwarnings("ignore:.*not a GPU.*:RuntimeWarning")


@pytest.fixture(autouse=True)
def _seed():
    libnumpack.manual_seed(1)


@pytest.fixture
def data():
    """100 rows of 10 numbers, and whether each adds up to more than 0."""
    x = np.random.default_rng(0).standard_normal((100, 10))
    return x, (x.sum(1) > 0).astype(np.int64)


def classifier():
    return nn.Sequential(nn.Linear(10, 20), nn.ReLU(), nn.Linear(20, 2))


@pytest.mark.parametrize("place", PLACES)
def test_a_loop_learns(place, data):
    x, y = libnumpack.from_numpy(data[0]).float().to(place), libnumpack.from_numpy(data[1]).long().to(place)
    model = classifier().to(place)
    optimizer = optim.Adam(model.parameters(), lr=0.01)
    criterion = nn.CrossEntropyLoss()
    losses = []
    for _ in range(100):
        outputs = model(x)
        loss = criterion(outputs, y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[0] == pytest.approx(np.log(2), abs=0.2)
    assert losses[-1] < 0.1
    found = model.eval()(data[0])
    assert type(found) is np.ndarray
    assert (found.argmax(1) == data[1]).mean() > 0.95


def reference(model, x, y, lr, steps):
    """The same in NumPy: plain steps downhill, with the gradients written out."""
    w1, b1, w2, b2 = (p.detach().numpy().astype(np.float64) for p in model.parameters())
    losses = []
    for _ in range(steps):
        wide = x @ w1.T + b1
        kept = np.maximum(wide, 0)
        logits = kept @ w2.T + b2
        e = np.exp(logits - logits.max(1, keepdims=True))
        p = e / e.sum(1, keepdims=True)
        losses.append(-np.log(p[np.arange(len(y)), y]).mean())
        g = p.copy()
        g[np.arange(len(y)), y] -= 1
        g /= len(y)
        gw = (g @ w2) * (wide > 0)
        w2, b2 = w2 - lr * g.T @ kept, b2 - lr * g.sum(0)
        w1, b1 = w1 - lr * gw.T @ x, b1 - lr * gw.sum(0)
    return losses, [w1, b1, w2, b2]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("recorded", [False, True])
def test_losses_and_parameters_are_those_of_the_formulas(place, recorded, data):
    x, y = data
    model = classifier()
    losses, expected = reference(model, x, y, 0.5, 20)
    model.to(place)
    optimizer = optim.SGD(model.parameters(), lr=0.5)
    criterion = nn.CrossEntropyLoss()
    found = []
    if recorded:
        step = optim.TrainStep(model, optimizer, criterion)
        found = [step(x, y).item() for _ in range(20)]
    else:
        given = libnumpack.tensor(x).float().to(place), libnumpack.tensor(y).to(place)
        for _ in range(20):
            loss = criterion(model(given[0]), given[1])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            found.append(loss.item())
    np.testing.assert_allclose(found, losses, rtol=1e-4)
    for param, wanted in zip(model.parameters(), expected):
        np.testing.assert_allclose(param.detach().cpu().numpy(), wanted, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("place", PLACES)
def test_training_goes_on_after_a_state_was_loaded(place, data):
    def begin():
        model = classifier().to(place)
        optimizer = optim.AdamW(model.parameters(), lr=0.01, amsgrad=True)
        return model, optimizer, optim.lr_scheduler.StepLR(optimizer, 5)

    def train(model, optimizer, scheduler, count):
        for _ in range(count):
            loss = nn.CrossEntropyLoss()(model(libnumpack.tensor(data[0]).float().to(place)), data[1])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            scheduler.step()
        return loss.item()

    first = begin()
    train(*first, 8)
    states = [part.state_dict() for part in first]
    states[0] = {name: t.clone() for name, t in states[0].items()}
    expected = train(*first, 8)
    second = begin()
    for part, state in zip(second, states):
        part.load_state_dict(state)
    assert train(*second, 8) == expected
    for a, b in zip(first[0].parameters(), second[0].parameters()):
        assert a.tolist() == b.tolist()


@pytest.mark.parametrize("place", PLACES)
def test_training_goes_on_from_a_file(place, data, tmp_path):
    def begin():
        model = classifier().to(place)
        optimizer = optim.Adam(model.parameters(), lr=0.05)
        return model, optimizer, optim.TrainStep(model, optimizer, nn.CrossEntropyLoss())

    model, optimizer, step = begin()
    step(*data)
    libnumpack.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, tmp_path / "x.pt")
    expected = [step(*data).item() for _ in range(3)]
    model, optimizer, step = begin()
    step(*data)
    found = libnumpack.load(tmp_path / "x.pt")
    model.load_state_dict(found["model"])
    optimizer.load_state_dict(found["optimizer"])
    np.testing.assert_allclose([step(*data).item() for _ in range(3)], expected, rtol=1e-6)


class Odd(nn.Module):
    """A module in Python with what no layer of the library does."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(10, 16)
        self.gain = nn.Parameter(libnumpack.ones(16))
        self.last = nn.Linear(16, 1)

    def forward(self, x):
        x = (self.first(x) * self.gain).sin() + self.first(x).exp().clamp(max=2.0)
        return self.last(x).squeeze(-1)


def absolute_and_square(output, target):
    difference = output - target
    return (difference.abs() + difference * difference).mean()


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(
    "criterion",
    [
        nn.MSELoss(), nn.L1Loss(), nn.BCEWithLogitsLoss(), nn.MSELoss(reduction="sum"), absolute_and_square,
        nn.functional.mse_loss,
    ],
    ids=str,
)
def test_a_recorded_step_is_that_of_a_loop(place, criterion, data):
    x, y = data[0].astype(np.float32), data[1].astype(np.float32)
    outcomes = []
    start = Odd().state_dict()
    for recorded in (False, True):
        model = Odd()
        model.load_state_dict(start)
        model.to(place)
        optimizer = optim.Adam(model.parameters(), lr=0.01)
        step = optim.TrainStep(model, optimizer, criterion)
        losses = []
        for rows in (slice(0, 40), slice(40, 80), slice(80, 100), slice(0, 40), slice(40, 80)):
            if recorded:
                losses.append(step(x[rows], y[rows]).item())
                continue
            given, target = (libnumpack.tensor(a[rows]).to(place) for a in (x, y))
            loss = criterion(model(given), target)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        outcomes.append((losses, [p.detach().cpu().numpy() for p in model.parameters()]))
    np.testing.assert_allclose(outcomes[0][0], outcomes[1][0], rtol=1e-4)
    for a, b in zip(outcomes[0][1], outcomes[1][1]):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("place", PLACES)
def test_a_recorded_step_heeds_what_is_changed(place, data):
    x, y = data
    start = classifier().state_dict()

    def train(recorded):
        model = classifier().to(place)
        model.load_state_dict(start)
        optimizer = optim.Adam(model.parameters(), lr=0.1, betas=(0.5, 0.9))
        step = optim.TrainStep(model, optimizer, nn.CrossEntropyLoss())

        def run():
            if recorded:
                return step(x, y).item()
            loss = nn.CrossEntropyLoss()(model(libnumpack.tensor(x).float().to(model[0].weight.device)), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            return loss.item()

        losses = [run(), run()]
        optimizer.param_groups[0]["lr"] = 0.3
        losses += [run(), run()]
        optimizer.param_groups[0].update(betas=(0.6, 0.9), weight_decay=0.1)
        losses += [run(), run()]
        optimizer.load_state_dict(optimizer.state_dict())
        losses += [run(), run()]
        model.load_state_dict({name: t * 0.5 for name, t in model.state_dict().items()})
        losses += [run(), run()]
        model.to("cpu").to(place)
        losses += [run(), run()]
        # A step that is written out in between, and another one that is recorded.
        recorded, before = False, recorded
        losses += [run()]
        recorded, first = before, step
        losses += [run()]
        step = optim.TrainStep(model, optimizer, nn.CrossEntropyLoss())
        losses += [run(), run()]
        step = first
        losses += [run(), run()]
        return losses

    np.testing.assert_allclose(train(True), train(False), rtol=1e-4)


@on_device
def test_a_device_records_once_for_each_shape(data):
    calls = []

    class Counting(nn.Linear):
        def forward(self, x):
            calls.append(x.shape)
            return super().forward(x)

    model = Counting(10, 2).vulkan()
    step = optim.TrainStep(model, optim.SGD(model.parameters(), lr=0.1), nn.functional.cross_entropy)
    losses = [step(data[0][:rows], data[1][:rows]).item() for rows in (40, 40, 20, 40, 20, 40)]
    assert calls == [(40, 10), (20, 10)]
    assert losses[-1] < losses[1] < losses[0]


def test_a_recorded_step_leaves_use_to_others(data):
    model = nn.Sequential(nn.Linear(10, 8), nn.Dropout(0.9), nn.Linear(8, 2))
    step = optim.TrainStep(model, optim.SGD(model.parameters(), lr=0.0), nn.CrossEntropyLoss())
    noisy = {step(*data).item() for _ in range(4)}
    model.eval()
    assert len(noisy) == 4 and len({step(*data).item() for _ in range(4)}) == 1


def test_errors_of_functions_come_through(data):
    model = classifier()
    optimizer = optim.SGD(model.parameters(), lr=0.1)

    class Refusal(Exception):
        pass

    def refuse(output, target):
        raise Refusal("no")

    with pytest.raises(Refusal):
        optim.TrainStep(model, optimizer, refuse)(*data)
    with pytest.raises(TypeError, match="single Tensor"):
        optim.TrainStep(model, optimizer, lambda output, target: 3)(*data)
    with pytest.raises(ValueError):
        optim.TrainStep(model, optimizer, nn.CrossEntropyLoss())(data[0][:, :3], data[1])
    # And the module is called as ever afterwards.
    assert type(model(data[0])) is np.ndarray
    optimizer.param_groups[0]["maximize"] = True
    with pytest.raises(ValueError, match="maximize"):
        optim.TrainStep(model, optimizer, nn.CrossEntropyLoss())(*data)


def test_memory_that_is_shared_with_numpy_follows(data):
    model = nn.Linear(10, 2)
    shown = model.state_dict()["bias"].numpy()
    before = shown.copy()
    optim.TrainStep(model, optim.SGD(model.parameters(), lr=0.1), nn.CrossEntropyLoss())(*data)
    assert (shown != before).any()
    np.testing.assert_array_equal(shown, model.bias.detach().numpy())
