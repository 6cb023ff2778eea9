"""Corrupted images: what each kind does, that it gets worse, and that it is the same every time."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from slth.baselines.recipe import Recipe
from slth.baselines.training import accuracy, train
from slth.data import Split, corruptions, load
from slth.data.corruptions import corrupted
from slth.errors import InputError
from slth.networks.models import digits_cnn


@pytest.fixture(scope="module")
def digits() -> Split:
    test = load("digits", "test")
    return Split(test.images[:120], test.labels[:120])


@pytest.mark.parametrize("kind", corruptions.KINDS)
def test_images_change_more_and_more_and_stay_images(digits: Split, kind: str) -> None:
    gaps = []
    for severity in corruptions.SEVERITIES:
        found = corrupted(digits, kind=kind, severity=severity, seed=1)
        assert found.images.shape == digits.images.shape
        assert found.images.dtype == torch.float32
        assert 0 <= float(found.images.min()) <= float(found.images.max()) <= 1
        assert torch.equal(found.labels, digits.labels)
        again = corrupted(digits, kind=kind, severity=severity, seed=1)
        assert torch.equal(found.images, again.images)
        gaps.append(float((found.images - digits.images).square().mean()))
    assert gaps == sorted(gaps)
    assert gaps[0] > 0


@pytest.mark.parametrize(("kind", "moves"), [("rotation", True), ("noise", True), ("blur", False), ("contrast", False)])
def test_the_seed_matters_where_there_is_chance(digits: Split, kind: str, moves: bool) -> None:
    a, b = (corrupted(digits, kind=kind, severity=3, seed=seed).images for seed in (0, 1))
    assert torch.equal(a, b) != moves


def test_contrast_is_its_formula(digits: Split) -> None:
    x = digits.images.double()
    mean = x.mean(dim=(1, 2, 3), keepdim=True)
    expected = mean + 0.3 * (x - mean)
    found = corrupted(digits, kind="contrast", severity=3).images
    torch.testing.assert_close(found.double(), expected, atol=1e-6, rtol=0)


def test_noise_has_the_stated_deviation() -> None:
    grey = Split(torch.full((50, 1, 20, 20), 0.5), torch.zeros(50, dtype=torch.int64))
    noise = corrupted(grey, kind="noise", severity=1).images - 0.5
    # σ = 0.1 clips beyond 5σ only; 20,000 draws: the deviation's standard error is σ/200, so 8 of them leave a false
    # failure probability below 1e-14 (and the seed is fixed).
    assert float(noise.std()) == pytest.approx(0.1, abs=8 * 0.1 / 200)
    assert float(noise.mean()) == pytest.approx(0, abs=8 * 0.1 / math.sqrt(20_000))


def test_blur_of_a_point_is_a_gaussian() -> None:
    point = torch.zeros((1, 1, 21, 21))
    point[0, 0, 10, 10] = 1
    found = corrupted(Split(point, torch.zeros(1, dtype=torch.int64)), kind="blur", severity=5).images[0, 0].double()
    sigma = 0.08 * 21
    offsets = torch.arange(21).double() - 10
    profile = torch.exp(-offsets.square() / (2 * sigma**2)) * (offsets.abs() <= int(4 * sigma + 0.5))
    torch.testing.assert_close(found, torch.outer(profile, profile) / profile.sum() ** 2, atol=1e-6, rtol=0)


def test_rotation_turns_about_the_centre_both_ways() -> None:
    bar = torch.zeros((40, 1, 15, 15))
    bar[:, 0, 7, 3:12] = 1
    found = corrupted(Split(bar, torch.zeros(40, dtype=torch.int64)), kind="rotation", severity=5).images
    rows, columns = torch.meshgrid(torch.arange(15.0) - 7, torch.arange(15.0) - 7, indexing="ij")
    angles = set()
    for image in found[:, 0]:
        assert float((image * rows).sum()) == pytest.approx(0, abs=1e-3)
        assert float((image * columns).sum()) == pytest.approx(0, abs=1e-3)
        # The principal axis of the bar.
        xy, xx, yy = ((image * m).sum() for m in (rows * columns, columns**2, rows**2))
        angles.add(round(math.degrees(float(torch.atan2(2 * xy, xx - yy))) / 2))
    assert len(angles) == 2
    assert {abs(angle) for angle in angles} == {50}


def test_accuracy_falls_with_severity(digits: Split) -> None:
    model = digits_cnn()
    train(model, load("digits", "train"), recipe=Recipe(epochs=8, batch=64, optimiser="adam", learning_rate=3e-3))
    found = {
        f"{kind}-{severity}": accuracy(model, corrupted(digits, kind=kind, severity=severity))
        for kind in corruptions.KINDS
        for severity in (1, 5)
    }
    assert all(found[f"{kind}-5"] <= found[f"{kind}-1"] for kind in corruptions.KINDS)
    assert found["noise-5"] < found["noise-1"]


def test_refusals(digits: Split) -> None:
    with pytest.raises(InputError, match="kind must be one of rotation, noise, blur, contrast"):
        corrupted(digits, kind="fog", severity=1)
    wrong: list[Any] = [0, 6, 2.5]
    for severity in wrong:
        with pytest.raises(InputError, match="severity must be an integer between 1 and 5"):
            corrupted(digits, kind="blur", severity=severity)
    with pytest.raises(InputError, match=r"images must lie in \[0, 1\]; got 0 to 255"):
        corrupted(Split(digits.images * 255, digits.labels), kind="blur", severity=1)
    with pytest.raises(InputError, match=r"shape \(N, C, H, W\)"):
        corrupted(Split(digits.images[:, 0], digits.labels), kind="blur", severity=1)
