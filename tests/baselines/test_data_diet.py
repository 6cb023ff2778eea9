"""Scores of examples, subsets, pre-training on them; what lies between two children."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import nn

from slth.baselines import connectivity, data_diet
from slth.baselines.randomness import order_of
from slth.baselines.recipe import Recipe
from slth.baselines.training import train
from slth.data import Split
from slth.errors import InputError

RECIPE = Recipe(epochs=2, batch=10, learning_rate=0.05)


def tiny(seed: int = 0) -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(
            nn.Conv2d(1, 2, 2), nn.BatchNorm2d(2), nn.ReLU(), nn.Flatten(), nn.Linear(8, 9), nn.ReLU(), nn.Linear(9, 3)
        )


@pytest.fixture(scope="module")
def blobs() -> Split:
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(40) % 3
    return Split(torch.rand((40, 1, 3, 3), generator=generator) + labels[:, None, None, None] / 2, labels)


class Fixed(nn.Module):
    """Logits that are given: one row for each value of an image's only pixel."""

    def __init__(self, table: list[list[float]]) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.tensor(table))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.table[x.reshape(-1).long()]


def test_el2n_by_hand() -> None:
    ln = math.log
    data = Split(torch.tensor([0.0, 1.0, 2.0]).reshape(3, 1, 1, 1), torch.tensor([0, 1, 1]))
    a = Fixed([[ln(3), 0.0], [0.0, 0.0], [ln(9), 0.0]])  # p = (¾, ¼), (½, ½), (0.9, 0.1)
    b = Fixed([[0.0, 0.0], [0.0, ln(4)], [0.0, ln(3)]])  # p = (½, ½), (0.2, 0.8), (¼, ¾)
    one = [0.25 * math.sqrt(2), 0.5 * math.sqrt(2), 0.9 * math.sqrt(2)]
    two = [0.5 * math.sqrt(2), 0.2 * math.sqrt(2), 0.25 * math.sqrt(2)]
    assert data_diet.el2n([a], data).tolist() == pytest.approx(one)
    assert data_diet.el2n([a, b], data).tolist() == pytest.approx([(x + y) / 2 for x, y in zip(one, two, strict=True)])


@pytest.mark.parametrize("chunk", [7, 100])
def test_grand_against_one_backward_pass_an_example(blobs: Split, chunk: int) -> None:
    networks = data_diet.replicates(tiny, blobs, recipe=RECIPE, steps=3, count=2)
    expected = torch.zeros(len(blobs), dtype=torch.float64)
    for network in networks:
        network.eval()
        for i in range(len(blobs)):
            network.zero_grad()
            nn.functional.cross_entropy(network(blobs.images[i : i + 1]), blobs.labels[i : i + 1]).backward()
            gradients = [p.grad for p in network.parameters() if p.grad is not None]
            assert len(gradients) == len(list(network.parameters()))
            expected[i] += math.sqrt(sum(float(one.double().square().sum()) for one in gradients)) / 2
        network.zero_grad()
    torch.testing.assert_close(data_diet.grand(networks, blobs, chunk=chunk), expected, rtol=1e-5, atol=1e-7)


def test_grand_is_about_trained_parameters_alone(blobs: Split) -> None:
    network = tiny()
    network[0].weight.requires_grad_(False)
    whole = data_diet.grand([tiny()], blobs)
    assert bool((data_diet.grand([network], blobs) < whole).all())
    for parameter in network.parameters():
        parameter.requires_grad_(False)
    with pytest.raises(InputError, match="must have parameters that require gradients"):
        data_diet.grand([network], blobs)


def test_replicates_differ_in_seed_and_are_not_augmented(blobs: Split) -> None:
    a, b = data_diet.replicates(tiny, blobs, recipe=Recipe(epochs=2, batch=10, augment=True), steps=3, count=2)
    plain = tiny(1)
    train(plain, blobs, recipe=Recipe(epochs=2, batch=10, seed=1), last_step=3)
    assert torch.equal(plain.get_parameter("4.weight"), b.get_parameter("4.weight"))
    assert not torch.equal(a.get_parameter("4.weight"), b.get_parameter("4.weight"))


def test_subsets_are_exact_and_ties_go_by_the_order_of_the_data() -> None:
    scores = torch.tensor([0.3, 0.1, 0.2, 0.1, 0.9, 0.1, 0.9], dtype=torch.float64)
    choose = data_diet.subset
    assert choose(2, kind="easy", scores=scores).tolist() == [1, 3]
    assert choose(4, kind="easy", scores=scores).tolist() == [1, 2, 3, 5]
    assert choose(1, kind="hard", scores=scores).tolist() == [4]
    assert choose(3, kind="hard", scores=scores).tolist() == [0, 4, 6]
    drawn = choose(3, kind="random", scores=scores, seed=5)
    assert drawn.tolist() == choose(3, kind="random", scores=-scores, seed=5).tolist()
    assert len(set(drawn.tolist())) == 3
    assert {tuple(choose(3, kind="random", scores=scores, seed=s).tolist()) for s in range(20)} != {
        tuple(drawn.tolist())
    }
    assert choose(7, kind="hard", scores=scores).tolist() == list(range(7))


@pytest.mark.parametrize("kind", data_diet.SUBSET_KINDS)
def test_balanced_subsets_take_as_many_of_each_class(kind: str) -> None:
    classes = torch.tensor([0] * 10 + [1] * 10 + [2] * 10)
    scores = torch.arange(30, dtype=torch.float64)
    chosen = data_diet.subset(8, kind=kind, scores=scores, classes=classes)
    assert torch.bincount(classes[chosen]).tolist() == [3, 3, 2]
    if kind == "easy":
        assert chosen.tolist() == [0, 1, 2, 10, 11, 12, 20, 21]
    if kind == "hard":
        assert chosen.tolist() == [7, 8, 9, 17, 18, 19, 28, 29]


def test_pretraining_passes_over_the_subset_at_the_rate_of_the_whole_run(blobs: Split) -> None:
    """By hand: 7 steps on 15 examples, two batches an epoch, of a run that has 2·4 steps on all 40."""
    chosen = torch.arange(0, 30, 2)
    point = data_diet.pretrained(tiny(), blobs, chosen, recipe=RECIPE, step=7)
    model = tiny()
    model.train()
    optimiser = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    for step in range(7):
        optimiser.param_groups[0]["lr"] = 0.05 * 0.5 * (1 + math.cos(math.pi * step / 8))
        batch = chosen[order_of(RECIPE, step // 2, 15)[(step % 2) * 10 :][:10]]
        optimiser.zero_grad()
        nn.functional.cross_entropy(model(blobs.images[batch]), blobs.labels[batch]).backward()
        optimiser.step()
    for mine, theirs in zip(model.state_dict().values(), point.state_dict().values(), strict=True):
        torch.testing.assert_close(mine, theirs)


def test_a_diet_of_everything_is_no_diet(blobs: Split) -> None:
    point = data_diet.pretrained(tiny(), blobs, torch.arange(40), recipe=RECIPE, step=5)
    plain = tiny()
    train(plain, blobs, recipe=RECIPE, last_step=5)
    assert all(torch.equal(a, b) for a, b in zip(point.parameters(), plain.parameters(), strict=True))


class OneNumber(nn.Module):
    """Class 1 if |w|·x > 1 and else 0: wrong exactly where |w| is too small for x."""

    def __init__(self, w: float) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.tensor(w))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        margin = self.w.abs() * x.reshape(-1) - 1
        return torch.stack([torch.zeros_like(margin), margin], dim=1)


def test_a_barrier_that_is_known() -> None:
    """From w = 2 to w = −2 through 0. Of x = 1, 0.4, 0.8 with label 1, the ends have the first and last right, the
    middle none: errors go from ⅓ to 1 and back."""
    data = Split(torch.tensor([1.0, 0.4, 0.8]).reshape(3, 1, 1, 1), torch.ones(3, dtype=torch.int64))
    line = connectivity.between(OneNumber(2.0), OneNumber(-2.0), data, points=5)
    assert line.alphas == (0.0, 0.25, 0.5, 0.75, 1.0)
    assert line.errors == pytest.approx((1 / 3, 1.0, 1.0, 1.0, 1 / 3))
    assert line.barrier == pytest.approx(2 / 3)
    assert not line.connected
    assert line.examples == pytest.approx(1 / 3)  # wrong at both ends: no barrier of its own
    ends = [math.log1p(math.exp(1 - 2 * x)) for x in (1.0, 0.4, 0.8)]
    assert line.loss_barrier == pytest.approx(math.log1p(math.e) - sum(ends) / 3, rel=1e-6)


def test_examples_right_at_one_end_alone_are_not_connected() -> None:
    data = Split(torch.tensor([1.0, 0.4]).reshape(2, 1, 1, 1), torch.ones(2, dtype=torch.int64))
    line = connectivity.between(OneNumber(2.0), OneNumber(3.0), data)
    assert line.examples == pytest.approx(1 / 2)
    assert line.barrier == pytest.approx(1 / 4)  # error ½ at the start, 0 at the end


def test_a_network_has_no_barrier_to_itself(blobs: Split) -> None:
    network = tiny()
    train(network, blobs, recipe=RECIPE)
    line = connectivity.between(network, copy.deepcopy(network), blobs, calibration=blobs)
    assert line.barrier == 0
    assert line.loss_barrier == pytest.approx(0, abs=1e-6)
    assert line.examples == 1
    assert line.connected


def test_batchnorm_statistics_are_those_of_the_network_in_between(blobs: Split) -> None:
    """Between w and −w lies 0, and its statistics are 0 and 0, not those of either end."""
    a, b = (nn.Sequential(nn.Flatten(), nn.Linear(9, 3, bias=False), nn.BatchNorm1d(3)) for _ in range(2))
    with torch.no_grad():
        a.get_parameter("1.weight").fill_(1.0)
        b.get_parameter("1.weight").fill_(-1.0)
        for network in (a, b):
            network.get_buffer("2.running_mean").fill_(100.0)
    with pytest.raises(InputError, match="BatchNorm need calibration data"):
        connectivity.between(a, b, blobs)
    line = connectivity.between(a, b, blobs, calibration=blobs, points=3)
    # Where all logits are equal, so are the losses: ln 3, in the middle and at both ends.
    assert line.losses == pytest.approx([math.log(3)] * 3, abs=1e-4)
    assert float(a.get_buffer("2.running_mean")[0]) == 100.0


def test_children_differ_in_the_order_of_the_data_alone(blobs: Split) -> None:
    start = data_diet.pretrained(tiny(), blobs, torch.arange(20), recipe=RECIPE, step=3)
    a, b, again = connectivity.children(start, blobs, recipe=RECIPE, first_step=3, seeds=(0, 1, 0))
    assert torch.equal(a.get_parameter("4.weight"), again.get_parameter("4.weight"))
    assert not torch.equal(a.get_parameter("4.weight"), b.get_parameter("4.weight"))


def test_refusals(blobs: Split) -> None:
    scores = torch.arange(5, dtype=torch.float64)
    with pytest.raises(InputError, match="size must be an integer between 1 and 5; got 6"):
        data_diet.subset(6, kind="easy", scores=scores)
    with pytest.raises(InputError, match="kind must be one of random, easy, hard"):
        data_diet.subset(2, kind="medium", scores=scores)
    with pytest.raises(InputError, match="scores must be numbers"):
        data_diet.subset(2, kind="easy", scores=scores / 0 * 0)
    with pytest.raises(InputError, match="class 1 has 1 examples; 2 are asked for"):
        data_diet.subset(4, kind="hard", scores=scores, classes=torch.tensor([0, 0, 0, 0, 1]))
    with pytest.raises(InputError, match="step must be an integer between 0 and 7; got 8"):
        data_diet.pretrained(tiny(), blobs, torch.arange(9), recipe=RECIPE, step=8)
    with pytest.raises(InputError, match="indices of the 40 examples"):
        data_diet.pretrained(tiny(), blobs, torch.tensor([40]), recipe=RECIPE, step=1)
    with pytest.raises(InputError, match="two classes at least"):
        data_diet.pretrained(tiny(), blobs, torch.arange(0, 40, 3), recipe=RECIPE, step=1)
    with pytest.raises(InputError, match="labels must lie between 0 and 2"):
        data_diet.el2n([tiny()], Split(blobs.images, blobs.labels + 1))
    with pytest.raises(InputError, match="labels must lie between 0 and 2"):
        data_diet.grand([tiny()], Split(blobs.images, blobs.labels - 1))
    with pytest.raises(InputError, match="one network at least"):
        data_diet.el2n([], blobs)
    with pytest.raises(InputError, match="one architecture"):
        connectivity.between(tiny(), OneNumber(1.0), blobs)
