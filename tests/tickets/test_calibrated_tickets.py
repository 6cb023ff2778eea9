"""Calibrated tickets: the algebra of their goals, what they gain on unseen inputs, and what verification says."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from slth.data import Split
from slth.errors import InputError, MemoryEstimateError
from slth.networks import extract
from slth.tickets import Ticket, evaluate, find_ticket, load_ticket
from slth.tickets.calibration.feedback import Feedback
from slth.tickets.calibration.moments import Moments, regression, rows_of, squared_loss
from slth.tickets.search.parts import refine_parts

LAYERS: dict[str, tuple[nn.Module, tuple[int, ...]]] = {
    "conv": (nn.Conv2d(4, 6, 3, stride=2, padding=1), (4, 9, 8)),
    "same": (nn.Conv2d(2, 3, (3, 2), padding="same", dilation=2), (2, 7, 8)),
    "circular": (nn.Conv2d(2, 3, 3, padding=1, padding_mode="circular"), (2, 6, 6)),
    "grouped": (nn.Conv2d(4, 6, 3, groups=2), (4, 6, 6)),
    "depthwise": (nn.Conv2d(4, 4, 3, groups=4, padding=1), (4, 6, 6)),
    "1d": (nn.Conv1d(3, 2, 4), (3, 11)),
    "3d": (nn.Conv3d(2, 3, 2), (2, 4, 5, 4)),
    "transposed": (nn.ConvTranspose2d(4, 6, 3, stride=2, output_padding=1, groups=2), (4, 4, 5)),
    "linear": (nn.Linear(5, 4), (5,)),
    "tokens": (nn.Linear(5, 4), (7, 5)),
}


def two_layers() -> nn.Sequential:
    torch.manual_seed(3)
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 6, 3), nn.ReLU(), nn.Flatten(), nn.Linear(6 * 16, 5)
    )


def correlated_images(count: int, seed: int) -> torch.Tensor:
    """Smooth non-negative images (N, 2, 6, 6): inputs whose second moments are far from those of white noise."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 2, 3, 3, generator=generator) * torch.rand(count, 1, 1, 1, generator=generator)
    return nn.functional.interpolate(coarse, size=6, mode="bilinear", align_corners=True)


def output_error(ticket: Ticket, images: torch.Tensor) -> float:
    """The ticket's output error over the variation of the target's outputs."""
    with torch.no_grad():
        wanted, got = ticket.target.to_module()(images), ticket.folded()(images)
    return float((wanted - got).norm() / (wanted - wanted.mean(0)).norm())


@pytest.fixture(scope="module", name="calibrated")
def _calibrated() -> Ticket:
    return find_ticket(two_layers(), width=500, input_range=(0, 1), calibrate=correlated_images(64, 0))


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("signs", ["+", "+-"])
def test_a_layer_is_a_product_with_its_features(name: str, signs: str) -> None:
    layer, shape = LAYERS[name]
    x = torch.randn(3, *shape, generator=torch.Generator().manual_seed(0))
    x = x.abs() if signs == "+" else x
    target = extract(layer, example_input=x, input_range=(0, 10) if signs == "+" else None)
    (linear,) = target.maps
    assert linear.signs == signs
    values: dict[str, Any] = {}
    result = target.to_module().run((x,), values)
    (step,) = (one for one in target.steps if one.kind == "module")
    seen = values[next(step.references())]  # padding of some modes is a step by itself
    with torch.no_grad():
        features, outputs = rows_of(linear, seen, result, 10**9, 0)
    weight = torch.from_numpy(linear.weight).reshape(linear.groups, linear.channels[1] // linear.groups, -1)
    weight = torch.cat([weight] * len(signs), dim=2)
    found = features @ weight.transpose(1, 2)
    if linear.bias is not None:
        found += torch.from_numpy(linear.bias).reshape(linear.groups, 1, -1)
    torch.testing.assert_close(found, outputs, atol=1e-5, rtol=1e-5)
    with torch.no_grad():
        some, _ = rows_of(linear, seen, result, 6, 0)
    assert some.shape[1] <= max(6, len(x))
    assert some.shape[2] == features.shape[2]


def test_feedback_gives_the_goals_that_minimise_the_loss() -> None:
    """The goals are those of the formula W_R + E_c H_cR (H_RR + λI)^−1, applied channel after channel."""
    rng = np.random.default_rng(0)
    taps, units, outputs, damping = 3, 5, 4, 1e-2
    rows = rng.standard_normal((100, taps * units)) @ rng.standard_normal((taps * units, taps * units))
    second, weight = rows.T @ rows / 100, rng.standard_normal((outputs, taps * units))
    feedback = Feedback(second, weight, taps, damping)
    strength = np.diag(second).reshape(units, taps).sum(axis=1)
    assert (np.diff(strength[feedback.order]) <= 0).all()
    damped = second + damping * np.trace(second) / len(second) * np.eye(len(second))
    goals, sums, left = weight.copy(), np.zeros_like(weight), list(range(units))
    for _ in range(units):
        (unit,), wanted, (metric,) = feedback.next_goals(1)
        own = np.arange(unit * taps, (unit + 1) * taps)
        np.testing.assert_allclose(wanted[:, 0], goals[:, own], rtol=1e-8, atol=1e-10)
        assert np.linalg.det(metric) == pytest.approx(1.0)
        sums[:, own] = wanted[:, 0] + 0.1 * rng.standard_normal((outputs, taps))
        feedback.settle(sums[:, own][:, None])
        left.remove(unit)
        rest = np.concatenate([np.arange(u * taps, (u + 1) * taps) for u in left]) if left else np.arange(0)
        error = goals[:, own] - sums[:, own]
        goals[:, rest] += error @ damped[np.ix_(own, rest)] @ np.linalg.inv(damped[np.ix_(rest, rest)])
    error = weight - sums
    assert feedback.loss == pytest.approx(float(((error @ damped) * error).sum()))


def test_regression_finds_the_weight_that_undoes_a_distortion() -> None:
    linear = extract(nn.Linear(4, 3), example_input=torch.zeros(1, 4)).maps[0]
    linear = dataclasses.replace(linear, signs="+")
    x = torch.rand(2000, 4, generator=torch.Generator().manual_seed(0))
    distortion = torch.eye(4) + 0.2 * torch.ones(4, 4)
    weight, bias = torch.from_numpy(linear.weight), torch.from_numpy(linear.bias if linear.bias is not None else 0)
    moments = Moments(linear)
    moments.add(x @ distortion, x @ weight.T + bias, 10**9, 0)
    own = linear.weight.astype(np.float64)[None]
    found = regression(moments, own, 1e-9)
    np.testing.assert_allclose(found[0], own[0] @ np.linalg.inv(distortion.double().numpy()).T, atol=1e-4)
    assert squared_loss(moments, found) < squared_loss(moments, own)
    assert regression(moments, own, None) is own
    np.testing.assert_allclose(regression(moments, own, 1e9), own, atol=1e-6)


def test_flips_in_a_metric_never_make_it_worse() -> None:
    rng = np.random.default_rng(0)
    candidates, goals = rng.standard_normal((60, 2 * 6)), rng.standard_normal((2, 6))
    metric, chosen = np.tril(rng.standard_normal((3, 3))) + 2 * np.eye(3), rng.random((2, 60)) < 0.5

    def losses(selected: Any) -> Any:
        sums = np.stack([selected[p] @ candidates.reshape(60, 2, 6)[:, p] for p in range(2)])
        return np.square((goals - sums).reshape(2, 2, 3) @ metric).sum(axis=(1, 2))

    assert (losses(refine_parts(candidates, goals, chosen, metric)) < 0.5 * losses(chosen)).all()


@pytest.mark.parametrize(("structure", "width"), [("channel", 500), ("kernel", 60)])
def test_it_is_better_than_plain_on_unseen_inputs(structure: str, width: int) -> None:
    """Same parent, same width; judged on inputs that were not calibrated with."""
    unseen = correlated_images(200, 1)
    options: dict[str, Any] = {"width": width, "structure": structure, "input_range": (0, 1)}
    plain = find_ticket(two_layers(), **options)
    ours = find_ticket(two_layers(), calibrate=correlated_images(128, 0), **options)
    assert ours.parent == plain.parent
    assert output_error(ours, unseen) < 0.5 * output_error(plain, unseen)
    assert ours.verify()


def test_verification_computes_the_goals_again(calibrated: Ticket, tmp_path: Path) -> None:
    images = correlated_images(64, 0)
    without = calibrated.verify()
    assert without
    assert any("64 images of the calibration" in one for one in without.unchecked)
    full = calibrated.verify(calibrate=images)
    assert full, full.failures
    assert "the goals of the calibration are computed again" in full.certified
    other = calibrated.verify(calibrate=correlated_images(64, 2))
    assert not other
    assert "other images" in other.failures[0]
    loaded = load_ticket(calibrated.save(tmp_path / "t.slth"))
    assert loaded.verify(calibrate=images)
    assert loaded.info["calibration"] == calibrated.info["calibration"]
    assert "calibrated: on 64 unlabelled images" in (tmp_path / "t.md").read_text()


@pytest.mark.parametrize("key", ["goal_error", "shift", "bias_goal_error"])
def test_a_false_claim_about_the_goals_is_found(calibrated: Ticket, key: str) -> None:
    first, *others = calibrated.info["calibration"]["layers"]
    claim = {**calibrated.info["calibration"], "layers": [{**first, key: 2 * first[key] + 0.1}, *others]}
    forged = dataclasses.replace(calibrated, info={**calibrated.info, "calibration": claim})
    found = forged.verify(calibrate=correlated_images(64, 0))
    assert not found
    assert key in found.failures[0]


@pytest.mark.parametrize("claim", [3, {}, {"layers": [3]}, {"layers": [], "images": 1, "images_sha256": ""}])
def test_a_malformed_claim_is_a_failure_and_no_traceback(calibrated: Ticket, claim: Any) -> None:
    forged = dataclasses.replace(calibrated, info={**calibrated.info, "calibration": claim})
    assert not forged.verify()


def test_images_for_a_ticket_that_was_not_calibrated() -> None:
    plain = find_ticket(nn.Linear(4, 2), width=60)
    assert "was not calibrated" in plain.verify(calibrate=torch.zeros(2, 4)).failures[0]


def test_the_result_does_not_depend_on_threads(calibrated: Ticket, tmp_path: Path) -> None:
    again = find_ticket(two_layers(), width=500, input_range=(0, 1), threads=1, calibrate=correlated_images(64, 0))
    files = [ticket.save(tmp_path / name).read_bytes() for name, ticket in (("a.slth", calibrated), ("b.slth", again))]
    assert files[0] == files[1]


def test_it_is_not_judged_on_its_own_images(calibrated: Ticket) -> None:
    seen, unseen = correlated_images(64, 0), correlated_images(64, 1)
    labels = torch.zeros(64, dtype=torch.int64)
    with pytest.raises(InputError, match="64 were recognised"):
        evaluate(calibrated, Split(seen, labels))
    with pytest.raises(InputError, match="calibrated on images of this data"):
        evaluate(calibrated, Split(torch.cat([unseen[:10], seen[5:6]]), labels[:11]))
    assert evaluate(calibrated, Split(unseen, labels), controls=False)


class Shared(nn.Module):
    """A residual network of two inputs of any sign that uses one layer twice."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.twice, self.last = nn.Linear(5, 6), nn.Linear(6, 6), nn.Linear(6, 3, bias=False)

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        x = torch.tanh(self.first(x + y))
        x = x + torch.tanh(self.twice(x))
        out: torch.Tensor = self.last(x + torch.tanh(self.twice(x)))
        return out


def test_shared_layers_several_inputs_and_both_signs() -> None:
    torch.manual_seed(0)
    model = Shared()
    inputs = tuple(torch.randn(256, 5) for _ in range(2))
    fresh = tuple(torch.randn(256, 5) for _ in range(2))
    plain, ours = (find_ticket(model, width=60, example_input=tuple(one[:1] for one in inputs), calibrate=calibrate)
                   for calibrate in (None, inputs))  # fmt: skip

    def error(ticket: Ticket) -> float:
        with torch.no_grad():
            return float((model(*fresh) - ticket.folded()(*fresh)).norm())

    assert ours.target.maps[1].signs == "+-"
    assert error(ours) < 0.8 * error(plain)
    assert ours.verify(calibrate=inputs)


def test_dead_inputs_and_single_images_are_no_trouble() -> None:
    images = correlated_images(1, 0)
    images[:, 1] = 0
    ticket = find_ticket(two_layers(), width=200, input_range=(0, 1), calibrate=images)
    assert ticket.verify(calibrate=images)
    assert [one["shrinkage"] for one in ticket.info["calibration"]["layers"]] == [None] * 3


def test_a_time_limit_holds_for_calibrated_searches() -> None:
    ticket = find_ticket(
        two_layers(), width=200, input_range=(0, 1), time_limit=2.0, calibrate=correlated_images(16, 0)
    )
    assert ticket.info["time_limit"]["limit"] == 2.0
    assert ticket.verify()


@pytest.mark.parametrize(
    ("calibrate", "says"),
    [
        (torch.full((4, 2, 6, 6), -1.0), r"lie in the input range \[0, 1\]; got -1 to -1"),
        (torch.full((4, 2, 6, 6), torch.nan), "lie in the input range"),
        (torch.zeros(0, 2, 6, 6), "same number N ≥ 1"),
        ((torch.zeros(2, 2, 6, 6), torch.zeros(2, 2, 6, 6)), "same number N ≥ 1"),
        ("digits", "must be a tensor"),
        (torch.zeros(4, 3, 6, 6), "input x? ?"),
    ],
)
def test_wrong_inputs_are_refused(calibrate: Any, says: str) -> None:
    with pytest.raises(InputError, match=says):
        find_ticket(two_layers(), width=100, input_range=(0, 1), calibrate=calibrate)


def test_too_little_memory_is_refused() -> None:
    with pytest.raises(MemoryEstimateError, match="calibration on 2,048 inputs"):
        find_ticket(two_layers(), width=10, input_range=(0, 1), calibrate=correlated_images(2048, 0), max_memory=3e6)
