"""Rounding and norms: enclosures hold against rational arithmetic and against singular values, and are tight."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch
from certified_cases import case
from torch import nn

from slth.networks import extract
from slth.tickets import Ticket, certify_network, find_ticket
from slth.tickets.certify.enclosed import EnclosedMap, enclose
from slth.tickets.certify.forms import Box, Form, Unknowns, gamma
from slth.tickets.certify.norms import map_norm
from slth.tickets.certify.propagate import Propagation
from slth.tickets.networks.folded import fold_record


def test_one_linear_layer_is_bracketed_exactly() -> None:
    """sup over [0, 1]^n of |Σ ΔK x + Δb| is the larger of the sums of positive and of negative errors."""
    ticket = find_ticket(nn.Linear(6, 3), width=40, input_range=(0, 1))
    folded = enclose(fold_record(ticket))["layer"]
    assert folded.ticket_bias is not None
    assert folded.bias is not None
    error = folded.positive.center - folded.weight.center
    bias = folded.ticket_bias.center - folded.bias.center
    exact = max(float((error.clamp(min=0).sum(1) + bias).max()), float((-error.clamp(max=0).sum(1) - bias).max()) * -1)
    exact = max(exact, float(-(error.clamp(max=0).sum(1) + bias).min()))
    certificate = certify_network(ticket, shape=(6,))
    assert certificate.proved == pytest.approx(exact, rel=1e-12)
    assert certificate.found == pytest.approx(exact, rel=1e-6)
    assert certificate.found <= exact <= certificate.proved


def exact_output(ticket: Ticket, x: list[Fraction]) -> tuple[list[Fraction], list[Fraction]]:
    """The outputs of linear-ReLU-linear for target and ticket, kept channel by kept channel, in rational arithmetic."""

    def layer(i: int, x: list[Fraction]) -> tuple[list[Fraction], list[Fraction]]:
        linear, parent = ticket.target.maps[i], ticket.parent
        assert linear.bias is not None
        bias = [Fraction(float(b)) for b in linear.bias]
        target_out = [
            sum((Fraction(float(w)) * v for w, v in zip(row, x, strict=True)), b)
            for row, b in zip(linear.weight, bias, strict=True)
        ]
        ticket_out = [Fraction(0)] * len(bias)
        for c in linear.instances:
            rows = ticket.kept[i][c].rows
            value = Fraction(1) if c == linear.channels[0] else x[c]
            for u, v in zip(parent.mixing(i, c, rows), parent.slices(i, c, rows), strict=True):
                hidden = max(Fraction(float(u)) * value, Fraction(0))
                ticket_out = [t + hidden * Fraction(float(w)) for t, w in zip(ticket_out, v, strict=True)]
        return target_out, ticket_out

    def relu(values: list[Fraction]) -> list[Fraction]:
        return [max(v, Fraction(0)) for v in values]

    return layer(1, relu(layer(0, x)[0]))[0], layer(1, relu(layer(0, x)[1]))[1]


def test_rounding_is_enclosed() -> None:
    """At single points the intervals hold the exact rational values and are a few units in the last place wide."""
    torch.manual_seed(1)
    ticket = find_ticket(nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)), width=40, seed=2)
    propagation = Propagation(ticket.target, enclose(fold_record(ticket)))
    points = torch.randn(10, 3, dtype=torch.float64)
    pair = propagation.run(Box(points, points), Unknowns(0))
    for i, point in enumerate(points.tolist()):
        target_out, ticket_out = exact_output(ticket, [Fraction(v) for v in point])
        for j in range(2):
            for exact, box in (
                (target_out[j], pair.target_box),
                (ticket_out[j], pair.ticket_box),
                (ticket_out[j] - target_out[j], pair.delta_box),
            ):
                assert Fraction(float(box.lo[i, j])) <= exact <= Fraction(float(box.hi[i, j]))
                assert float(box.hi[i, j] - box.lo[i, j]) < 1e-12


def test_folded_sums_enclose_the_exact_sums() -> None:
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


def test_operations_on_forms_round_outwards() -> None:
    """A sum of an affine form and a multiple of it encloses what rational arithmetic gives."""
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
def test_operator_norms_are_upper_bounds_and_close(options: dict[str, Any]) -> None:
    """They are compared with the singular values of the convolution written out as a matrix."""
    torch.manual_seed(2)
    linear = extract(nn.Conv2d(4, 6, 3, **options)).maps[0]
    weight = torch.from_numpy(linear.weight).double()
    shape = (4, 9, 8)
    basis = torch.eye(4 * 9 * 8, dtype=torch.float64).reshape(-1, *shape)
    conv = linear.to_module().double()
    conv.register_parameter("bias", None)
    matrix = conv(basis).flatten(1)
    true = float(torch.linalg.matrix_norm(matrix.detach(), 2))
    bound = map_norm(linear, weight, shape)
    assert true <= bound <= 1.6 * true
    dense = extract(nn.Linear(7, 30)).maps[0]
    true = float(torch.linalg.matrix_norm(torch.from_numpy(dense.weight).double(), 2))
    assert true <= map_norm(dense, torch.from_numpy(dense.weight).double(), (7,)) <= 1.001 * true


def test_a_folded_map_knows_its_norms() -> None:
    """Its largest row sum and its Euclidean norm bound the outputs for random inputs."""
    _, ticket, shape = case("conv-pool", "both")
    folded: EnclosedMap = enclose(fold_record(ticket))["0"]
    x = torch.randn((50, *shape), dtype=torch.float64)
    z = folded.operate(x, folded.weight.center)
    assert z.abs().max() <= folded.gain([folded.weight]) * x.abs().max()
    assert (z.flatten(1).norm(dim=1) <= folded.norm(folded.weight, shape) * x.flatten(1).norm(dim=1)).all()
