"""Certificates: sound against sampling, gradient search and exact arithmetic; tight where the truth is known."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import json
from fractions import Fraction

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional
from typer.testing import CliRunner

from slth.cli.arguments import parse_radii, parse_shape
from slth.cli.ticket import ticket_app
from slth.data import load
from slth.errors import InputError
from slth.networks import extract
from slth.tickets import certified_agreement, certify_network, find_ticket
from slth.tickets.certify import differences
from slth.tickets.certify.enclosed import EnclosedMap, enclose
from slth.tickets.certify.forms import Box, Form, Unknowns, gamma
from slth.tickets.certify.norms import map_norm
from slth.tickets.certify.propagate import Propagation
from slth.tickets.certify.recheck import recheck_agreement, recheck_network
from slth.tickets.networks.folded import build_pair, fold_record


class Residual(nn.Module):
    """Additions, concatenation, depthwise and strided convolutions, padding modes, scaling, a global mean."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(2, 4, 3, padding=1, padding_mode="reflect")
        self.depthwise = nn.Conv2d(4, 4, 3, padding=1, groups=4)
        self.point = nn.Conv2d(4, 4, 1, bias=False)
        self.down = nn.Conv2d(8, 3, 2, stride=2)
        self.last = nn.Linear(3, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        a = torch.relu(self.first(x))
        b = functional.leaky_relu(self.point(functional.relu(self.depthwise(a))), 0.1)
        c = torch.cat([functional.relu(a + b), 0.5 * a - b], dim=1)
        return self.last(-self.down(c).mean(dim=(2, 3)) / 3 + 0.25)


class Shapes(nn.Module):
    """Sizes read from tensors, chunks, constants, and the corners of hard activations."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(16, 8)
        self.out = nn.Linear(4, 2)
        self.register_buffer("shift", torch.linspace(-0.5, 0.5, 8))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = functional.avg_pool2d(functional.pad(x, (1, 1, 0, 0), value=0.5), (2, 1), padding=(0, 0))[:, :, :, 1:5]
        x = functional.hardtanh(self.linear(x.reshape(x.size(0), -1)) + self.shift, -0.4, 0.6)
        left, right = x.chunk(2, dim=1)
        return self.out(torch.stack([left, right], dim=-1).sum(dim=-1))


NETWORKS = {
    "conv-pool": lambda: nn.Sequential(
        nn.Conv2d(2, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 3, 2), nn.ReLU(), nn.Flatten(), nn.Linear(3, 3)
    ),
    "overlapping-pools": lambda: nn.Sequential(
        nn.Conv2d(2, 3, 3, padding=1), nn.MaxPool2d(3, 2, padding=1), nn.ReLU(), nn.AvgPool2d(2), nn.Flatten(),
        nn.Linear(12, 4), nn.ReLU6(), nn.Linear(4, 2),
    ),
    "smooth": lambda: nn.Sequential(
        nn.Conv2d(2, 3, 3, stride=2), nn.Tanh(), nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(3, 4), nn.Sigmoid(),
        nn.Dropout(0.5), nn.Linear(4, 2), nn.LogSigmoid(),
    ),
    "residual": Residual,
    "shapes": Shapes,
}  # fmt: skip
RANGES = {"positive": (0.0, 1.0), "both": (-1.0, 1.0)}
SIDE = {"shapes": 4, "residual": 5}
CASES = [(name, signs) for name in NETWORKS for signs in RANGES if (name, signs) != ("shapes", "both")]


@functools.cache
def case(name: str, signs: str):
    """The network, its ticket (a poor one: errors are what is looked at), and the shape of one input."""
    torch.manual_seed(3)
    side = SIDE.get(name, 7)
    model = NETWORKS[name]().eval()
    ticket = find_ticket(
        model, width=36, input_range=RANGES[signs], seed=4, example_input=torch.zeros(1, 2, side, side)
    )
    return model, ticket, (2, side, side)


def worst_differences(ticket, box: Box, count: int = 60, steps: int = 12) -> torch.Tensor:
    """|δ| found in a box: random points, corners, and gradient ascent from them; float64, by the masked network."""
    target, compact = ticket.target.to_module().double(), ticket.to_module().double()
    shape = (count, *box.lo.shape[1:])
    x = box.lo + (box.hi - box.lo) * torch.rand(shape, dtype=torch.float64)
    x[: count // 2] = torch.where(torch.rand(x[: count // 2].shape) < 0.5, box.lo, box.hi)
    worst = torch.zeros(target(x[:1]).shape[1:], dtype=torch.float64)
    for step in range(steps):
        x = x.detach().requires_grad_()
        d = (compact(x) - target(x)).abs()
        worst = torch.maximum(worst, d.detach().amax(dim=0))
        (slope,) = torch.autograd.grad(d.sum(), x)
        x = torch.maximum(
            torch.minimum(x + slope.sign() * (box.hi - box.lo) * 0.2 * (1 - step / steps), box.hi), box.lo
        )
    return worst


@pytest.mark.parametrize(("name", "signs"), CASES)
def test_nothing_found_exceeds_what_is_proved(name, signs):
    """Over the whole box and over a ball, with and without shared unknowns; every entry of the output by itself."""
    _, ticket, shape = case(name, signs)
    low, high = RANGES[signs]
    propagation = Propagation(ticket.target, enclose(fold_record(ticket)))
    center = torch.rand((1, *shape), dtype=torch.float64) * (high - low) + low
    for radius in (0.02, 2.0):
        box = Box((center - radius).clamp(min=low), (center + radius).clamp(max=high))
        worst = worst_differences(ticket, box)
        for unknowns in (0, 20, 2000):
            proved = propagation.run(box, Unknowns(unknowns)).delta_box.largest[0]
            assert (worst <= proved * (1 + 1e-12) + 1e-12).all()
            # Not vacuous either: in these small networks within a factor of 100 of what a short search finds.
            assert proved.max() < 100 * worst.max()


@pytest.mark.parametrize(("name", "signs"), CASES)
def test_every_step_encloses_both_networks(name, signs):
    """Intervals, affine forms and Euclidean bounds of a, â and δ at every linear map hold for sampled inputs."""
    _, ticket, shape = case(name, signs)
    low, high = RANGES[signs]
    folded = fold_record(ticket)
    propagation = Propagation(ticket.target, enclose(folded))
    seen: dict[str, differences.Pair] = {}
    box = Box(torch.full((1, *shape), low).double(), torch.full((1, *shape), high).double())
    propagation.run(box, Unknowns(500), lambda step, pair: seen.__setitem__(step.call, pair))
    values: list[dict[str, torch.Tensor]] = [{}, {}]
    x = box.lo + (box.hi - box.lo) * torch.rand((300, *shape), dtype=torch.float64)
    for network, record in zip(build_pair(ticket, folded, torch.float64), values, strict=True):
        for linear in ticket.target.maps:
            network.get_submodule(linear.name).register_forward_hook(
                lambda _, __, out, record=record, name=linear.name: record.__setitem__(name, out)
            )
        network(x)
    for linear in ticket.target.maps:
        a, b = (record[linear.name] for record in values)
        pair, d = seen[linear.name], b - a
        for value, form, interval in (
            (a, pair.target, pair.target_box), (b, pair.ticket, pair.ticket_box), (d, pair.delta, pair.delta_box)
        ):  # fmt: skip
            for bounds in (interval, form.box()):
                assert ((value >= bounds.lo - 1e-12) & (value <= bounds.hi + 1e-12)).all()
        if pair.near is not None:
            assert (a - pair.near.center).flatten(1).norm(dim=1).max() <= pair.near.radius + 1e-12
            assert d.flatten(1).norm(dim=1).max() <= pair.near.delta + 1e-12


def test_the_folded_ticket_is_the_compact_one():
    for name, signs in CASES:
        _, ticket, shape = case(name, signs)
        x = torch.randn((20, *shape), dtype=torch.float64)  # also of signs that the ticket was not found for
        folded = build_pair(ticket, fold_record(ticket), torch.float64)[1](x)
        assert (folded - ticket.to_module().double()(x)).abs().max() < 1e-10


def test_one_linear_layer_is_bracketed_exactly():
    """sup over [0, 1]^n of |Σ ΔK x + Δb| is the larger of the sums of positive and of negative errors."""
    ticket = find_ticket(nn.Linear(6, 3), width=40, input_range=(0, 1))
    folded = enclose(fold_record(ticket))["layer"]
    error = folded.positive.center - folded.weight.center
    bias = folded.ticket_bias.center - folded.bias.center
    exact = max(float((error.clamp(min=0).sum(1) + bias).max()), float((-error.clamp(max=0).sum(1) - bias).max()) * -1)
    exact = max(exact, float(-(error.clamp(max=0).sum(1) + bias).min()))
    certificate = certify_network(ticket, shape=(6,))
    assert certificate.proved == pytest.approx(exact, rel=1e-12)
    assert certificate.found == pytest.approx(exact, rel=1e-6)
    assert certificate.found <= exact <= certificate.proved


def exact_output(ticket, x: list[Fraction]) -> tuple[list[Fraction], list[Fraction]]:
    """Target and ticket of linear-ReLU-linear, kept channel by kept channel, in rational arithmetic."""

    def layer(i: int, x: list[Fraction]) -> tuple[list[Fraction], list[Fraction]]:
        linear, parent = ticket.target.maps[i], ticket.parent
        bias = [Fraction(float(b)) for b in linear.bias]
        ours = [
            sum((Fraction(float(w)) * v for w, v in zip(row, x, strict=True)), b)
            for row, b in zip(linear.weight, bias, strict=True)
        ]
        theirs = [Fraction(0)] * len(bias)
        for c in linear.instances:
            rows = ticket.kept[i][c].rows
            value = Fraction(1) if c == linear.channels[0] else x[c]
            for u, v in zip(parent.mixing(i, c, rows), parent.slices(i, c, rows), strict=True):
                hidden = max(Fraction(float(u)) * value, Fraction(0))
                theirs = [t + hidden * Fraction(float(w)) for t, w in zip(theirs, v, strict=True)]
        return ours, theirs

    def relu(values: list[Fraction]) -> list[Fraction]:
        return [max(v, Fraction(0)) for v in values]

    return layer(1, relu(layer(0, x)[0]))[0], layer(1, relu(layer(0, x)[1]))[1]


def test_rounding_is_enclosed():
    """At single points the intervals hold the exact rational values and are a few units in the last place wide."""
    torch.manual_seed(1)
    ticket = find_ticket(nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)), width=40, seed=2)
    propagation = Propagation(ticket.target, enclose(fold_record(ticket)))
    points = torch.randn(10, 3, dtype=torch.float64)
    pair = propagation.run(Box(points, points), Unknowns(0))
    for i, point in enumerate(points.tolist()):
        ours, theirs = exact_output(ticket, [Fraction(v) for v in point])
        for j in range(2):
            for exact, box in (
                (ours[j], pair.target_box),
                (theirs[j], pair.ticket_box),
                (theirs[j] - ours[j], pair.delta_box),
            ):
                assert Fraction(float(box.lo[i, j])) <= exact <= Fraction(float(box.hi[i, j]))
                assert float(box.hi[i, j] - box.lo[i, j]) < 1e-12


def test_folded_sums_enclose_the_exact_sums():
    ticket = find_ticket(nn.Linear(3, 4), width=80, seed=5, method="pursuit")
    folded = enclose(fold_record(ticket))["layer"]
    for c in range(3):
        rows = ticket.kept[0][c].rows
        u, candidates = ticket.parent.mixing(0, c, rows), ticket.parent.candidates(0, c, rows)
        for enclosed, chosen, sign in ((folded.positive, u > 0, 1), (folded.negative, u < 0, -1)):
            for out in range(4):
                exact = sign * sum((Fraction(v) for v in candidates[chosen, out].tolist()), Fraction(0))
                off = abs(exact - Fraction(float(enclosed.center[out, c])))
                assert off <= Fraction(float(enclosed.radius[out, c]))


def test_operations_on_forms_round_outwards():
    """An affine form of exact rationals, through sums, multiples and a linear map, against rational arithmetic."""
    rng = np.random.default_rng(0)
    center, spread, rest = (
        torch.from_numpy(v) for v in (rng.normal(size=(1, 3)), rng.normal(size=(4, 1, 3)), rng.random((1, 3)))
    )
    form = Form(center, spread, rest)
    total = (form + form.times(0.1)).box()
    for j in range(3):
        c, radius = (
            Fraction(float(center[0, j])) * (1 + Fraction(0.1)),
            (sum(abs(Fraction(float(s))) for s in spread[:, 0, j]) + Fraction(float(rest[0, j]))) * (1 + Fraction(0.1)),
        )
        assert Fraction(float(total.lo[0, j])) <= c - radius
        assert Fraction(float(total.hi[0, j])) >= c + radius
        assert float(total.hi[0, j] - total.lo[0, j]) <= float(2 * radius) * (1 + 1e-13)
    assert gamma(10) > 2 * 10 * 2**-53


@pytest.mark.parametrize("options", [{}, {"padding": 2}, {"stride": 2, "padding": 1}, {"dilation": 2}, {"groups": 2}])
def test_operator_norms_are_upper_bounds_and_close(options):
    """Against the singular values of the convolution written out as a matrix."""
    torch.manual_seed(2)
    linear = extract(nn.Conv2d(4, 6, 3, **options)).maps[0]
    weight = torch.from_numpy(linear.weight).double()
    shape = (4, 9, 8)
    basis = torch.eye(4 * 9 * 8, dtype=torch.float64).reshape(-1, *shape)
    conv = linear.to_module().double()
    matrix = functional.conv2d(basis, conv.weight, None, conv.stride, conv.padding, conv.dilation, conv.groups).flatten(
        1
    )
    true = float(torch.linalg.matrix_norm(matrix.detach(), 2))
    bound = map_norm(linear, weight, shape)
    assert true <= bound <= 1.6 * true
    dense = extract(nn.Linear(7, 30)).maps[0]
    true = float(torch.linalg.matrix_norm(torch.from_numpy(dense.weight).double(), 2))
    assert true <= map_norm(dense, torch.from_numpy(dense.weight).double(), (7,)) <= 1.001 * true


def test_more_unknowns_and_smaller_boxes_prove_more():
    _, ticket, shape = case("conv-pool", "positive")
    proved = [certify_network(ticket, shape=shape, unknowns=unknowns).proved for unknowns in (0, 1000)]
    assert proved[1] < proved[0]
    propagation = Propagation(ticket.target, enclose(fold_record(ticket)))
    center = torch.full((1, *shape), 0.5).double()
    widths = [
        float(propagation.run(Box(center - r, center + r), Unknowns(1000)).delta_box.largest.max())
        for r in (0.0, 0.01, 0.1, 0.5)
    ]
    assert widths == sorted(widths)
    assert widths[0] < 0.2 * widths[-1]


def test_a_certificate_describes_itself_and_rechecks():
    _, ticket, shape = case("conv-pool", "positive")
    images = torch.rand(20, *shape)
    certificate = certify_network(ticket, images=images)
    assert 0 < certificate.observed <= certificate.found <= certificate.proved <= certificate.norm_bound
    assert certificate.ratio == certificate.proved / certificate.found
    assert [limit.name for limit in certificate.limits] == [linear.name for linear in ticket.target.maps]
    assert all(limit.found <= limit.proved for limit in certificate.limits)
    record = json.loads(json.dumps(certificate.describe()))
    assert recheck_network(ticket, record) == ()
    for name in ("proved", "found", "norm_bound"):
        failures = recheck_network(ticket, record | {name: record[name] * 1.01})
        assert len(failures) == 1
        assert name in failures[0]
    for wrong in ({"shape": [3]}, {"worst_input": "?"}, {"low": 2.0}, {"unknowns": -1}, {"low": 0.9, "high": 1.0}):
        assert recheck_network(ticket, record | wrong)
    assert recheck_network(ticket, {})
    other = find_ticket(ticket.target, width=60, seed=9)
    assert recheck_network(other, record)


def unsound(monkeypatch):
    """A ReLU that takes the difference to shrink wherever a sign is open: plausible, and wrong."""
    right = differences.relu

    def wrong(pair, unknowns):
        out = right(pair, unknowns)
        small = Form(out.delta.center * 0.2, out.delta.spread * 0.2, out.delta.rest * 0.2)
        box = small.box()
        return dataclasses.replace(out, delta=small, delta_box=box, near=None)

    monkeypatch.setattr("slth.tickets.certify.transformers.relu", wrong)


def test_an_unsound_transformer_would_be_caught(monkeypatch):
    """The negative control of this file's first test: it fails when the propagation is wrong."""
    unsound(monkeypatch)
    with pytest.raises(AssertionError):
        test_nothing_found_exceeds_what_is_proved("conv-pool", "positive")


def test_pointwise_agreement_is_the_observed_one():
    images = load("digits").images
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 12), nn.ReLU(), nn.Linear(12, 10, bias=False))
    nn.init.normal_(model[1].weight, std=0.3)  # an untrained network that predicts one class here, another there
    ticket = find_ticket(model, width=40, input_range=(0, 1))
    certificate = certified_agreement(ticket, images)
    with torch.no_grad():
        a, b = (network(images).argmax(dim=1) for network in (ticket.target.to_module(), ticket.to_module()))
    assert (certificate.observed == (a == b).numpy()).all()
    assert (certificate.certified == certificate.observed).all()
    assert (certificate.disagree == ~certificate.observed).all()
    assert 0 < certificate.fraction < 1  # so poor a ticket errs on some
    assert len(np.unique(certificate.classes)) > 2
    assert (certificate.classes == a.numpy()).all()


def test_agreement_around_examples_is_monotone_and_true(digits_ticket):
    """What is certified for a radius is certified for smaller ones, and no attack within it changes a class."""
    images = load("digits").images[:8]
    found = [certified_agreement(digits_ticket, images, radius=r, unknowns=250) for r in (0.0, 0.002, 0.01)]
    for wide, narrow in itertools.pairwise(reversed(found)):
        assert not (wide.certified & ~narrow.certified).any()
    assert found[0].fraction > 0 < found[1].fraction
    looked = np.isfinite(found[1].difference)
    assert (found[1].difference[looked] >= found[0].difference[looked]).all()
    record = json.loads(json.dumps(found[1].describe()))
    assert recheck_agreement(digits_ticket, record, images) == ()
    assert recheck_agreement(digits_ticket, record | {"certified": record["certified"] + 1}, images)
    assert recheck_agreement(digits_ticket, record | {"examples": 9}, images)
    sure = torch.from_numpy(found[1].certified)
    x, classes = images[sure].double(), torch.from_numpy(found[1].classes)[sure]
    for network in (digits_ticket.target.to_module().double(), digits_ticket.to_module().double()):
        for target_class in range(10):
            y = x.clone().requires_grad_()
            out = network(y)
            (slope,) = torch.autograd.grad((out[:, target_class] - out.gather(1, classes[:, None])[:, 0]).sum(), y)
            moved = (x + 0.002 * slope.sign()).clamp(0, 1)
            assert (network(moved).argmax(dim=1) == classes).all()


def test_a_tie_is_not_certified():
    """Two equal outputs: nobody can say which class is predicted in exact arithmetic."""
    model = nn.Linear(3, 2)
    with torch.no_grad():
        model.weight[1] = model.weight[0]
        model.bias[1] = model.bias[0]
    ticket = find_ticket(model, width=30, input_range=(0, 1))
    certificate = certified_agreement(ticket, torch.rand(5, 3))
    assert not certificate.certified.any()
    assert not certificate.disagree.any()


@pytest.mark.parametrize("extra", [nn.GELU(), nn.Softmax(dim=1), nn.LayerNorm(4)])
def test_steps_without_a_transformer_are_named(extra):
    ticket = find_ticket(nn.Sequential(nn.Linear(3, 4), extra, nn.Linear(4, 2)), width=10)
    with pytest.raises(InputError, match=rf"no sound transformer for .*{type(extra).__name__.lower()}.*Supported"):
        certify_network(ticket, low=0, high=1, shape=(3,))


class Settings(nn.Module):
    """Operations whose settings change what they compute."""

    def __init__(self, call) -> None:
        super().__init__()
        self.linear, self.call = nn.Linear(3, 4), call

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.call(self.linear(x))


@pytest.mark.parametrize(
    "call",
    [
        lambda x: torch.add(x, x, alpha=2),
        lambda x: torch.div(x, 2, rounding_mode="floor"),
        lambda x: x.mean(dim=1, keepdim=True, dtype=torch.float32),
        lambda x: functional.softplus(x, 2.0),
        lambda x: x * x,
        lambda x: 1 / x,
    ],
)
def test_settings_are_not_overlooked(call):
    ticket = find_ticket(Settings(call), width=10)
    with pytest.raises(InputError, match="no sound transformer"):
        certify_network(ticket, low=0, high=1, shape=(3,))


def test_layers_left_out_of_the_search_are_followed_too():
    model = nn.Sequential(nn.Conv2d(1, 2, 2), nn.ReLU(), nn.Flatten(), nn.Linear(8, 3))
    ticket = find_ticket(model, width=40, input_range=(0, 1), skip="0")
    certificate = certify_network(ticket, shape=(1, 3, 3))
    assert certificate.limits[0].proved == 0.0
    assert 0 < certificate.found <= certificate.proved


class TwoInputs(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(2, 2)

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return self.linear(x + y)


class Mixing(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(2, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.linear(x - x.mean(dim=0, keepdim=True))


def test_what_cannot_be_certified_is_refused():
    plain = find_ticket(nn.Linear(3, 2), width=10)
    with pytest.raises(InputError, match="finite range"):
        certify_network(plain, shape=(3,))
    with pytest.raises(InputError, match="shape of one input"):
        certify_network(plain, low=0, high=1)
    with pytest.raises(InputError, match="do not fit the network"):
        certify_network(plain, low=0, high=1, shape=(4,))
    with pytest.raises(InputError, match="one input and one output"):
        certify_network(find_ticket(TwoInputs(), width=10), low=0, high=1, shape=(2,))
    with pytest.raises(InputError, match="every example by itself"):
        certified_agreement(find_ticket(Mixing(), width=10), torch.rand(3, 2))
    for radius in (-1.0, float("nan")):
        with pytest.raises(InputError, match="radius"):
            certified_agreement(plain, torch.rand(3, 3), radius=radius, low=0, high=1)
    with pytest.raises(InputError, match=r"must lie in \[0, 0.5\]"):
        certified_agreement(plain, torch.rand(3, 3), radius=0.1, low=0, high=0.5)
    with pytest.raises(InputError, match="finite"):
        certified_agreement(plain, torch.full((1, 3), torch.nan))


def test_the_command(tmp_path, digits_ticket, monkeypatch):
    path = digits_ticket.save(tmp_path / "digits.slth")
    monkeypatch.setattr("slth.tickets.load_ticket", lambda *_: digits_ticket)  # its file holds no target
    out = CliRunner().invoke(
        ticket_app,
        [
            "certify",
            str(path),
            "--data",
            "digits",
            "--radius",
            "0,1/1000",
            "--limit",
            "4",
            "--json",
            "--max-memory",
            "1e7",
            "--shape",
            "1,8,8",
        ],
    )
    assert out.exit_code == 0, out.output
    record = json.loads(out.output)
    assert record["network"]["found"] <= record["network"]["proved"]
    assert [one["radius"] for one in record["agreement"]] == [0.0, 0.001]
    shown = CliRunner().invoke(
        ticket_app, ["certify", str(path), "--data", "digits", "--limit", "3", "--max-memory", "2e7"]
    )
    assert shown.exit_code == 0
    assert "proved" in shown.output
    assert "ratio" in shown.output
    assert parse_radii("0, 1/4,0.5") == [0.0, 0.25, 0.5]
    assert parse_shape("2,3") == (2, 3)
    for bad in ("x", "1/0", "-1", ""):
        with pytest.raises(InputError, match="radius"):
            parse_radii(bad)
    for bad in ("a", "0,3"):
        with pytest.raises(InputError, match="shape"):
            parse_shape(bad)


def test_a_folded_map_knows_its_norms():
    """The largest row sum and the Euclidean gain bound what the map does to random inputs."""
    _, ticket, shape = case("conv-pool", "both")
    folded: EnclosedMap = enclose(fold_record(ticket))["0"]
    x = torch.randn((50, *shape), dtype=torch.float64)
    z = folded.operate(x, folded.weight.center)
    assert z.abs().max() <= folded.gain([folded.weight]) * x.abs().max()
    assert (z.flatten(1).norm(dim=1) <= folded.norm(folded.weight, shape) * x.flatten(1).norm(dim=1)).all()
