"""Propagation: sound against sampling and gradient search, and able to tell more with more unknowns."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from certified_cases import CASES, RANGES, case, worst_differences
from torch import nn

from slth.tickets import certify_network, find_ticket
from slth.tickets.certify import activations
from slth.tickets.certify.differences import Pair
from slth.tickets.certify.enclosed import enclose
from slth.tickets.certify.forms import Box, Form, Unknowns
from slth.tickets.certify.propagate import Propagation
from slth.tickets.networks.folded import build_pair, fold_record


@pytest.mark.parametrize(("name", "signs"), CASES)
def test_nothing_found_exceeds_what_is_proved(name: str, signs: str) -> None:
    """In the whole box and in a ball, with and without shared unknowns, for every entry of the output."""
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
            # The bounds are not vacuous: here they are within a factor of 100 of what a short search finds.
            assert proved.max() < 100 * worst.max()


def make_relu_unsound(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let ReLU shrink every difference: plausible where signs are open, and wrong."""
    right = activations.relu

    def wrong(pair: Pair, unknowns: Unknowns) -> Pair:
        out = right(pair, unknowns)
        small = Form(out.delta.center * 0.2, out.delta.spread * 0.2, out.delta.rest * 0.2)
        box = small.box()
        return dataclasses.replace(out, delta=small, delta_box=box, euclidean=None)

    monkeypatch.setattr("slth.tickets.certify.transformers.relu", wrong)


def test_an_unsound_transformer_would_be_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """The negative control of the test above: it fails when the propagation is wrong."""
    make_relu_unsound(monkeypatch)
    with pytest.raises(AssertionError):
        test_nothing_found_exceeds_what_is_proved("conv-pool", "positive")


@pytest.mark.parametrize(("name", "signs"), CASES)
def test_every_step_encloses_both_networks(name: str, signs: str) -> None:
    """Intervals, affine forms and Euclidean bounds of a, â and δ at every linear map hold for sampled inputs."""
    _, ticket, shape = case(name, signs)
    low, high = RANGES[signs]
    folded = fold_record(ticket)
    propagation = Propagation(ticket.target, enclose(folded))
    seen: dict[str, Pair] = {}
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
        if pair.euclidean is not None:
            assert (a - pair.euclidean.center).flatten(1).norm(dim=1).max() <= pair.euclidean.radius + 1e-12
            assert d.flatten(1).norm(dim=1).max() <= pair.euclidean.delta + 1e-12


def test_the_folded_ticket_is_the_compact_one() -> None:
    for name, signs in CASES:
        _, ticket, shape = case(name, signs)
        x = torch.randn((20, *shape), dtype=torch.float64)  # also of signs that the ticket was not found for
        folded = build_pair(ticket, fold_record(ticket), torch.float64)[1](x)
        assert (folded - ticket.to_module().double()(x)).abs().max() < 1e-10


def test_more_unknowns_and_smaller_boxes_prove_more() -> None:
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


def test_layers_left_out_of_the_search_are_followed_too() -> None:
    model = nn.Sequential(nn.Conv2d(1, 2, 2), nn.ReLU(), nn.Flatten(), nn.Linear(8, 3))
    ticket = find_ticket(model, width=40, input_range=(0, 1), skip="0")
    certificate = certify_network(ticket, shape=(1, 3, 3))
    assert certificate.limits[0].proved == 0.0
    assert 0 < certificate.found <= certificate.proved
