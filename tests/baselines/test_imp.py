"""Iterative magnitude pruning: counts, rewinding, what never returns, what is read instead of trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import nn

from slth.baselines import imp
from slth.baselines.masks import maskable
from slth.baselines.recipe import Recipe
from slth.baselines.training import History, accuracy, train
from slth.data import Split
from slth.errors import InputError, TrainingError
from slth.progress import Lines, Silent

RECIPE = Recipe(epochs=3, batch=16, learning_rate=0.05, weight_decay=1e-3, seed=4)
STEPS = 3 * 4  # 60 examples


@pytest.fixture(scope="module")
def blobs() -> Split:
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(60) % 3
    images = torch.rand((60, 1, 3, 3), generator=generator) + labels[:, None, None, None] / 2
    return Split(images, labels)


def network(seed: int = 0) -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(nn.Flatten(), nn.Linear(9, 11), nn.BatchNorm1d(11), nn.ReLU(), nn.Linear(11, 3))


def state(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("rewind", [0, 5])
def test_counts_are_exact_and_pruned_weights_never_return(blobs: Split, rewind: int) -> None:
    start = imp.rewind_point(network(), blobs, recipe=RECIPE, step=rewind)
    before = state(start)
    densities = imp.schedule(0.1)
    previous: Any = None
    trained: Any = None
    for found in imp.prune(start, blobs, recipe=RECIPE, rewind=rewind, densities=densities):
        flat = np.concatenate([mask.numpy().ravel() for mask in found.masks.values()])
        assert flat.sum() == round(0.8**found.level * 132) if found.level < 11 else flat.sum() == 13
        weights = np.concatenate([w.detach().numpy().ravel() for w in maskable(found.network).values()])
        assert np.all(weights[~flat] == 0)
        assert np.count_nonzero(weights) == flat.sum()
        if previous is not None:
            # Independently: sort what was left by magnitude, keep the last ones.
            alive = np.flatnonzero(previous)
            order = alive[np.argsort(np.abs(trained[alive]), kind="stable")]
            assert set(np.flatnonzero(flat)) == set(order[len(order) - flat.sum() :])
        previous, trained = flat, weights
        assert found.history.steps == STEPS - rewind
        assert same(before, state(start))
    assert found.level == len(densities) - 1 == 11


def test_every_level_starts_from_the_weights_of_the_rewind_step(blobs: Split, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = network()
    train(whole, blobs, recipe=RECIPE, last_step=5)  # what step 5 looks like
    start = imp.rewind_point(network(), blobs, recipe=RECIPE, step=5)
    assert same(state(whole), state(start))
    seen = []

    def watched(model: nn.Module, data: Split, **options: Any) -> History:
        seen.append((state(model), options["first_step"]))
        return train(model, data, **options)

    monkeypatch.setattr(imp, "train", watched)
    list(imp.prune(start, blobs, recipe=RECIPE, rewind=5, densities=[1.0, 0.5, 0.25]))
    assert len(seen) == 3
    assert all(same(values, state(whole)) and first == 5 for values, first in seen)


def test_the_trained_ticket_of_one_density(blobs: Split, tmp_path: Path) -> None:
    said: list[str] = []
    found = imp.find(
        network(), blobs, density=0.3, fraction=0.5, recipe=RECIPE, rewind=5, seed=3, validation=blobs, folder=tmp_path,
        progress=Lines(said.append),
    )  # fmt: skip
    assert sum(int(mask.sum()) for mask in found.masks.values()) == round(0.3 * 132)
    assert found.history.steps == 5 + 3 * (STEPS - 5)
    assert [level["density"] for level in found.notes["levels"]] == pytest.approx([1.0, 0.5, 0.3])
    assert not found.untouched
    assert accuracy(found.module(), blobs) == found.notes["levels"][-1]["validation"] > 0.5
    assert len(said) == 3
    again = imp.find(network(9), blobs, density=0.3, fraction=0.5, recipe=RECIPE, rewind=5, seed=3)
    assert same(found.masks, again.masks)
    assert same(state(found.module()), state(again.module()))


def test_bars_hear_the_rewinding_and_every_level(blobs: Split) -> None:
    class Trainings(Silent):
        heard: ClassVar[list[tuple[str, int]]] = []

        def begin(self, task: str, total: int, done: int = 0) -> None:
            self.heard.append((task, total))

    imp.find(network(), blobs, density=0.5, fraction=0.5, recipe=RECIPE, rewind=5, progress=Trainings())
    assert Trainings.heard == [("training", 5), ("training", STEPS - 5), ("training", STEPS - 5)]


def test_rewinding_to_zero_is_the_start_itself(blobs: Split) -> None:
    assert same(state(imp.rewind_point(network(3), blobs, recipe=RECIPE, step=0)), state(network(3)))


def test_a_rewind_point_is_read_where_it_is_there(
    blobs: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where training is not repeatable, levels on disk belong to the rewind point beside them."""
    options: dict[str, Any] = {"recipe": RECIPE, "step": 3, "folder": tmp_path}
    made = imp.rewind_point(network(), blobs, **options)
    other = imp.rewind_point(network(1), blobs, **options)
    assert len(list(tmp_path.glob("rewind-3-*.pt"))) == 2
    assert not same(state(made), state(other))
    monkeypatch.setattr("slth.baselines.training._take_steps", lambda *some: pytest.fail("it was trained again"))
    assert same(state(imp.rewind_point(network(), blobs, **options)), state(made))


def test_a_pruned_level_is_plain_training_with_pruned_weights_at_zero(blobs: Split) -> None:
    """An oracle without hooks: after every step, multiply by the mask; momentum and decay then act on zeros too."""
    *_, found = imp.prune(network(), blobs, recipe=RECIPE, rewind=0, densities=[1.0, 0.3])
    model = network()
    optimiser = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-3)
    from slth.baselines.randomness import order_of

    def clamp() -> None:
        with torch.no_grad():
            for name, weight in maskable(model).items():
                weight.mul_(found.masks[name])

    clamp()
    for step in range(STEPS):
        optimiser.param_groups[0]["lr"] = 0.05 * 0.5 * (1 + np.cos(np.pi * step / STEPS))
        chosen = order_of(RECIPE, step // 4, 60)[(step % 4) * 16 :][:16]
        optimiser.zero_grad()
        nn.functional.cross_entropy(model(blobs.images[chosen]), blobs.labels[chosen]).backward()
        optimiser.step()
        clamp()
    for name, weight in maskable(model).items():
        torch.testing.assert_close(weight, maskable(found.network)[name], atol=1e-5, rtol=1e-4)


def test_levels_that_are_there_are_read_not_trained(
    blobs: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options: dict[str, Any] = {"recipe": RECIPE, "rewind": 2, "densities": [1.0, 0.6, 0.4], "folder": tmp_path}
    start = imp.rewind_point(network(), blobs, recipe=RECIPE, step=2)
    levels = imp.prune(start, blobs, **options)
    next(levels), next(levels)  # and then the machine goes down
    again = list(imp.prune(start, blobs, **options))
    fresh = list(imp.prune(start, blobs, **{**options, "folder": None}))
    for a, b in zip(again, fresh, strict=True):
        assert same(a.masks, b.masks)
        assert same(state(a.network), state(b.network))
    stamps = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert len(stamps) == 3
    list(imp.prune(start, blobs, **options))
    assert stamps == {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    # Another start finds none of them.
    next(imp.prune(network(9), blobs, **options))
    assert len(list(tmp_path.iterdir())) == 4


@pytest.mark.parametrize(
    ("density", "fraction", "expected"),
    [(1.0, 0.2, [1.0]), (0.64, 0.2, [1.0, 0.8, 0.64]), (0.7, 0.2, [1.0, 0.8, 0.7]), (0.2, 0.5, [1.0, 0.5, 0.25, 0.2])],
)
def test_schedules(density: float, fraction: float, expected: Any) -> None:
    assert imp.schedule(density, fraction) == pytest.approx(expected)


def test_a_layer_without_weights_is_an_error_not_a_number(blobs: Split) -> None:
    model = network()
    with torch.no_grad():
        model.get_parameter("4.weight").mul_(1e-6)
    frozen = Recipe(epochs=1, batch=60, learning_rate=1e-9)
    with pytest.raises(TrainingError, match=r"layer collapse: no weight is kept in 4\.weight"):
        list(imp.prune(model, blobs, recipe=frozen, rewind=0, densities=[1.0, 0.5]))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rewind": STEPS}, "rewind must be an integer between 0 and 11; got 12"),
        ({"rewind": -1}, "rewind must be"),
        ({"densities": [0.5, 0.5]}, "must fall from level to level"),
        ({"densities": []}, "must fall from level to level"),
        ({"densities": [1.0, 0.0]}, "density must be"),
    ],
)
def test_bad_levels_are_refused_before_anything_is_trained(blobs: Split, change: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        imp.prune(network(), blobs, **{"recipe": RECIPE, "rewind": 0, "densities": [1.0, 0.5], **change})


def test_bad_steps_and_fractions_are_refused(blobs: Split) -> None:
    with pytest.raises(InputError, match="step must be an integer between 0 and 11; got 40"):
        imp.rewind_point(network(), blobs, recipe=RECIPE, step=40)
    for fraction in (0.0, 1.0, float("nan")):
        with pytest.raises(InputError, match="fraction must"):
            imp.schedule(0.1, fraction)
    with pytest.raises(InputError, match="density must"):
        imp.schedule(0.0)
