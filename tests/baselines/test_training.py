"""The training loop: schedules, resuming, rewinding, masks, and what stops it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from slth import data
from slth.baselines import training
from slth.baselines.masks import keep_top, maskable, weights_hash
from slth.baselines.objective import Moment, Objective, cross_entropy
from slth.baselines.randomness import augmented
from slth.baselines.recipe import Recipe
from slth.baselines.tensorboard import TensorBoard
from slth.baselines.training import train
from slth.errors import InputError, TrainingError
from slth.networks import models
from slth.progress import Bars, Lines, Several, Silent


@pytest.fixture(scope="module")
def digits() -> data.Split:
    return data.subset(data.load("digits", "train"), 300, seed=0)


def net(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 10))


def state(model: nn.Module) -> torch.Tensor:
    return torch.cat([value.float().flatten() for value in model.state_dict().values()])


def test_it_learns_and_says_so(digits: data.Split) -> None:
    lines: list[str] = []
    model = net()
    history = train(model, digits, recipe=Recipe(epochs=8, batch=32), validation=digits, progress=Lines(lines.append))
    assert training.accuracy(model, digits) == history.epochs[-1]["validation"] > 0.95
    assert len(lines) == 8
    assert "validation" in lines[0]
    assert history.steps == 8 * 10
    assert not model.training


def test_a_fixed_seed_gives_the_same_network_and_leaves_the_callers_noise_alone(digits: data.Split) -> None:
    first, second, third = net(), net(), net()
    before = torch.get_rng_state()
    train(first, digits, recipe=Recipe(epochs=2))
    assert torch.equal(before, torch.get_rng_state())
    train(second, digits, recipe=Recipe(epochs=2))
    train(third, digits, recipe=Recipe(epochs=2, seed=1))
    assert torch.equal(state(first), state(second))
    assert not torch.equal(state(first), state(third))


class Stop(Exception):
    pass


@pytest.mark.parametrize("optimiser", ["sgd", "adam"])
def test_an_interrupted_run_goes_on_to_the_same_network(digits: data.Split, tmp_path: Path, optimiser: str) -> None:
    """With noise in training (dropout): its state is in the checkpoint too."""
    recipe = Recipe(epochs=4, batch=64, optimiser=optimiser, learning_rate=0.01)
    noisy = nn.Sequential(nn.Dropout(0.2), net())
    whole = nn.Sequential(nn.Dropout(0.2), net())
    reference = train(whole, digits, recipe=recipe)

    def stop(line: str) -> None:
        if line.startswith("epoch 2"):
            raise Stop

    path = tmp_path / "run.pt"
    with pytest.raises(Stop):
        train(noisy, digits, recipe=recipe, checkpoint=path, progress=Lines(stop))
    fresh = nn.Sequential(nn.Dropout(0.2), net(seed=5))
    lines: list[str] = []
    history = train(fresh, digits, recipe=recipe, checkpoint=path, progress=Lines(lines.append))
    assert "goes on" in lines[0]
    assert len(lines) == 3
    assert torch.equal(state(fresh), state(whole))
    assert [one["loss"] for one in history.epochs] == [one["loss"] for one in reference.epochs]
    assert history.steps == reference.steps
    # and a finished run is not run again
    again = net(seed=6)
    train(nn.Sequential(nn.Dropout(0.2), again), digits, recipe=recipe, checkpoint=path, progress=Lines(lines.append))
    assert torch.equal(state(again), state(whole[1]))


def test_a_run_in_two_parts_visits_the_same_examples_at_the_same_rates(digits: data.Split) -> None:
    """With plain SGD the optimiser has no memory: two parts make the whole."""
    recipe = Recipe(epochs=3, batch=64, momentum=0)
    whole, parts = net(), net()
    train(whole, digits, recipe=recipe)
    train(parts, digits, recipe=recipe, last_step=7)
    train(parts, digits, recipe=recipe, first_step=7)
    assert torch.equal(state(whole), state(parts))


def test_masked_weights_stay_zero(digits: data.Split) -> None:
    model = net()
    masks = keep_top({name: w.abs() for name, w in maskable(model).items()}, 0.2)
    train(model, digits, recipe=Recipe(epochs=2, weight_decay=1e-3), masks=masks)
    for name, weight in maskable(model).items():
        assert int((weight != 0).sum()) == int(masks[name].sum())
    masks["1.weight"][:] = False
    with pytest.raises(TrainingError, match="collapse"):
        train(net(), digits, recipe=Recipe(epochs=2), masks=masks)


def test_objectives_are_called_where_they_should_be(digits: data.Split) -> None:
    seen: dict[str, Any] = {"step": [], "epoch": [], "loss": 0}

    def loss(model: nn.Module, logits: torch.Tensor, labels: torch.Tensor, moment: Moment) -> torch.Tensor:
        seen["loss"] += 1
        return cross_entropy(model, logits, labels, moment)

    train(
        net(), digits, recipe=Recipe(epochs=2, batch=128),
        objective=Objective(loss=loss, after_step=lambda model, at: seen["step"].append(at.step),
                            after_epoch=lambda model, at: seen["epoch"].append((at.epoch, at.step))),
    )  # fmt: skip
    assert seen == {"loss": 6, "step": list(range(6)), "epoch": [(0, 2), (1, 5)]}


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("constant", [1, 1, 1, 1]),
        ("cosine", [1, 0.5 * (1 + math.cos(math.pi / 4)), 0.5, 0.5 * (1 + math.cos(3 * math.pi / 4))]),
        ("multistep", [1, 1, 0.1, 0.01]),
    ],
)
def test_schedules(schedule: str, expected: Any) -> None:
    recipe = Recipe(learning_rate=1, schedule=schedule)
    assert [recipe.rate(step, 4) for step in range(4)] == pytest.approx(expected)


def test_one_cycle_rises_then_falls() -> None:
    recipe = Recipe(learning_rate=2, schedule="one-cycle")
    rates = [recipe.rate(step, 100) for step in range(100)]
    assert rates[0] == pytest.approx(2 / 25)
    assert max(rates) == rates[30] == pytest.approx(2)
    assert rates[:31] == sorted(rates[:31])
    assert rates[30:] == sorted(rates[30:], reverse=True)


@pytest.mark.parametrize(
    ("field", "value"),
    [("epochs", 0), ("batch", 0), ("learning_rate", -1), ("learning_rate", math.nan), ("optimiser", "lion"),
     ("schedule", "zigzag"), ("weight_decay", -1), ("milestones", (0.5, 1.0))],
)  # fmt: skip
def test_recipes_are_checked(field: str, value: Any) -> None:
    with pytest.raises(InputError, match=field):
        Recipe(**{field: value})


def test_a_loss_that_is_no_number_stops_training_and_keeps_the_last_checkpoint(
    digits: data.Split, tmp_path: Path
) -> None:
    path, recipe = tmp_path / "run.pt", Recipe(epochs=3)

    def loss(model: nn.Module, logits: torch.Tensor, labels: torch.Tensor, moment: Moment) -> torch.Tensor:
        return logits.sum() * (math.nan if moment.epoch == 2 else 1e-3)

    with pytest.raises(TrainingError, match="epoch 3"):
        train(net(), digits, recipe=recipe, objective=Objective(loss=loss), checkpoint=path)
    model = net(seed=3)
    history = train(model, digits, recipe=recipe, checkpoint=path)
    assert len(history.epochs) == 3
    assert bool(state(model).isfinite().all())


def test_a_network_that_is_no_longer_finite_is_no_checkpoint(digits: data.Split, tmp_path: Path) -> None:
    """The loss of a step is that before the step: a last step may break the weights and still look well."""
    path, recipe = tmp_path / "run.pt", Recipe(epochs=2)

    def spoil(model: nn.Module, moment: Moment) -> None:
        if moment.step == moment.steps - 1:
            model.get_parameter("1.weight")[0, 0] = math.inf

    with pytest.raises(TrainingError, match="weight is not finite after step 6"):
        train(net(), digits, recipe=recipe, objective=Objective(after_step=spoil), checkpoint=path)
    assert len(train(net(), digits, recipe=recipe, checkpoint=path).epochs) == 2


def test_a_checkpoint_of_other_masks_or_of_a_later_step_is_refused(digits: data.Split, tmp_path: Path) -> None:
    scores = {name: weight.abs() for name, weight in maskable(net()).items()}
    recipe = Recipe(epochs=2)
    train(net(), digits, recipe=recipe, masks=keep_top(scores, 0.5), checkpoint=tmp_path / "masked.pt")
    for masks in (keep_top(scores, 0.2), None):
        with pytest.raises(InputError, match="another run: masks"):
            train(net(), digits, recipe=recipe, masks=masks, checkpoint=tmp_path / "masked.pt")
    train(net(), digits, recipe=recipe, last_step=5, checkpoint=tmp_path / "part.pt")
    with pytest.raises(InputError, match="past the last one, 4"):
        train(net(), digits, recipe=recipe, last_step=4, checkpoint=tmp_path / "part.pt")


def test_a_checkpoint_of_something_else_is_refused(digits: data.Split, tmp_path: Path) -> None:
    path, recipe = tmp_path / "run.pt", Recipe(epochs=1)
    train(net(), digits, recipe=recipe, checkpoint=path)
    wider = nn.Sequential(nn.Flatten(), nn.Linear(64, 20), nn.BatchNorm1d(20), nn.ReLU(), nn.Linear(20, 10))
    before = weights_hash(wider)
    with pytest.raises(InputError, match="another architecture"):
        train(wider, digits, recipe=recipe, checkpoint=path)
    assert weights_hash(wider) == before
    with pytest.raises(InputError, match="another run: recipe"):
        train(net(), digits, recipe=Recipe(epochs=1, seed=1), checkpoint=path)
    with pytest.raises(InputError, match="examples = 200"):
        train(net(), digits[:200], recipe=recipe, checkpoint=path)
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(InputError, match="not a readable checkpoint"):
        train(net(), digits, recipe=recipe, checkpoint=path)
    path.write_bytes(b"PK nonsense")
    with pytest.raises(InputError, match="not a readable checkpoint"):
        train(net(), digits, recipe=recipe, checkpoint=path)


def test_data_that_does_not_fit_is_refused(digits: data.Split) -> None:
    recipe = Recipe(epochs=1)
    with pytest.raises(InputError, match="do not fit the network"):
        train(models.lenet5(), digits, recipe=recipe)
    with pytest.raises(InputError, match="two classes"):
        train(net(), data.Split(digits.images, torch.zeros(300, dtype=torch.int64)), recipe=recipe)
    with pytest.raises(InputError, match="between 0 and 9"):
        train(net(), data.Split(digits.images, digits.labels + 5), recipe=recipe)
    with pytest.raises(InputError, match="got none"):
        train(net(), digits[:0], recipe=recipe)
    with pytest.raises(InputError, match="require gradients"):
        train(nn.Flatten(), data.Split(digits.images, digits.labels), recipe=recipe)
    with pytest.raises(InputError, match="last_step"):
        train(net(), digits, recipe=recipe, last_step=100)


def test_augmented_images_are_shifted_and_mirrored() -> None:
    image = torch.zeros(1, 1, 8, 8)
    image[0, 0, 3, 2] = 1
    batch = image.expand(400, 1, 8, 8)
    got = augmented(batch, seed=0)
    places = {tuple(one.nonzero()[0].tolist()[1:]) for one in got}
    # rows 3 ± 1; columns 2 ± 1, or mirrored 5 ± 1: eighteen places, each missed with chance (17/18)^400 < 1e-9
    assert places == {(r, c) for r in (2, 3, 4) for c in (1, 2, 3, 4, 5, 6)}
    assert torch.equal(got, augmented(batch, seed=0))


class Recorder(Silent):
    def __init__(self) -> None:
        self.heard: list[tuple[Any, ...]] = []

    def begin(self, task: str, total: int, done: int = 0) -> None:
        self.heard.append(("begin", task, total, done))

    def advance(self, task: str, steps: int = 1) -> None:
        self.heard.append(("advance", task, steps))

    def report(self, task: str, facts: Mapping[str, Any]) -> None:
        self.heard.append(("report", task, facts["epoch"], facts["step"], facts["loss"]))

    def end(self, task: str) -> None:
        self.heard.append(("end", task))


def test_a_listener_hears_every_step_and_epoch_and_the_end_of_a_broken_run_too(
    digits: data.Split, tmp_path: Path
) -> None:
    path, recipe = tmp_path / "run.pt", Recipe(epochs=2, batch=100)

    def break_in_the_second_epoch(model: nn.Module, moment: Moment) -> None:
        if moment.step == 4:
            raise Stop

    first, second = Recorder(), Recorder()
    objective = Objective(after_step=break_in_the_second_epoch)
    with pytest.raises(Stop):
        train(net(), digits, recipe=recipe, objective=objective, checkpoint=path, progress=first)
    history = train(net(), digits, recipe=recipe, checkpoint=path, progress=second)
    step, losses = ("advance", "training", 1), [one["loss"] for one in history.epochs]
    assert first.heard == [
        ("begin", "training", 6, 0), step, step, step, ("report", "training", 1, 3, losses[0]), step,
        ("end", "training"),
    ]  # fmt: skip
    assert second.heard == [
        ("begin", "training", 6, 3), step, step, step, ("report", "training", 2, 6, losses[1]), ("end", "training")
    ]  # fmt: skip


def test_tensorboard_files_hold_the_curve(digits: data.Split, tmp_path: Path) -> None:
    event_accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    written = Several([Bars(), TensorBoard(tmp_path)])
    for _ in range(2):
        train(net(), digits, recipe=Recipe(epochs=2), progress=written)
    train(net(), digits, recipe=Recipe(epochs=1))
    assert len(list(tmp_path.glob("run-00*/events.*"))) == 2
    events = event_accumulator.EventAccumulator(str(tmp_path / "run-002"))
    events.Reload()
    assert [one.step for one in events.Scalars("loss")] == [3, 6]
