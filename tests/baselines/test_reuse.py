"""A network that was trained once has the weights of a new training, and of no other one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from slth import cache, data
from slth.baselines import reuse
from slth.baselines.recipe import Recipe
from slth.baselines.reuse import train_once
from slth.baselines.training import train

RECIPE = Recipe(epochs=1, batch=16, learning_rate=0.05)


def network(seed: int = 0, width: int = 4) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(1, width, 3), nn.BatchNorm2d(width), nn.ReLU(), nn.Flatten(), nn.Linear(36 * width, 10)
    )


@pytest.fixture(name="images")
def _images() -> data.Split:
    return data.load("digits", "test")[:100]


def weights(model: nn.Module) -> bytes:
    return b"".join(tensor.numpy().tobytes() for tensor in model.state_dict().values())


def test_the_weights_are_those_of_a_training(
    tmp_path: Path, images: data.Split, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLTH_CACHE", str(tmp_path))
    fresh, first, second = network(), network(), network()
    train(fresh, images, recipe=RECIPE)
    seconds = train_once(first, images, recipe=RECIPE)
    monkeypatch.setattr(reuse, "train", lambda *_, **__: pytest.fail("it was trained again"))
    assert train_once(second, images, recipe=RECIPE) == seconds > 0
    assert weights(fresh) == weights(first) == weights(second)
    assert not second.training


def test_whatever_else_is_asked_for_is_trained(
    tmp_path: Path, images: data.Split, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another seed, width, recipe, image, label, number of threads, version of the code."""
    monkeypatch.setenv("SLTH_CACHE", str(tmp_path))
    other = data.Split(images.images.clone(), images.labels.clone())
    other.images[0, 0, 0, 0] += 1 / 16
    relabelled = data.Split(images.images, images.labels.roll(1))

    def kept() -> int:
        return len(list(tmp_path.glob("*/*.safetensors")))

    asked = [
        (network(), images, RECIPE), (network(seed=1), images, RECIPE), (network(width=5), images, RECIPE),
        (network(), images, replace(RECIPE, learning_rate=0.06)), (network(), images, replace(RECIPE, seed=1)),
        (network(), other, RECIPE), (network(), relabelled, RECIPE),
    ]  # fmt: skip
    for number, (model, split, recipe) in enumerate(asked, start=1):
        train_once(model, split, recipe=recipe)
        assert kept() == number
    monkeypatch.setattr(torch, "get_num_threads", lambda: 99)
    train_once(network(), images, recipe=RECIPE)
    assert kept() == len(asked) + 1
    monkeypatch.setattr(cache, "code_digest", lambda *_: "another")
    train_once(network(), images, recipe=RECIPE)
    assert kept() == len(asked) + 2
