"""Certified agreement: it holds against attacks, shrinks with the radius, and leaves ties open."""

from __future__ import annotations

import itertools
import json

import numpy as np
import torch
from torch import nn

from slth.data import load
from slth.tickets import Ticket, certified_agreement, find_ticket
from slth.tickets.certify.recheck import recheck_agreement


def test_pointwise_agreement_is_the_observed_one() -> None:
    images = load("digits").images
    first = nn.Linear(64, 12)
    model = nn.Sequential(nn.Flatten(), first, nn.ReLU(), nn.Linear(12, 10, bias=False))
    nn.init.normal_(first.weight, std=0.3)  # The untrained network then predicts several classes.
    ticket = find_ticket(model, width=40, input_range=(0, 1))
    certificate = certified_agreement(ticket, images)
    with torch.no_grad():
        a, b = (network(images).argmax(dim=1) for network in (ticket.target.to_module(), ticket.to_module()))
    assert (certificate.observed == (a == b).numpy()).all()
    assert (certificate.certified == certificate.observed).all()
    assert (certificate.disagree == ~certificate.observed).all()
    assert 0 < certificate.fraction < 1  # a poor ticket errs on some
    assert len(np.unique(certificate.classes)) > 2
    assert (certificate.classes == a.numpy()).all()


def test_agreement_around_examples_is_monotone_and_true(digits_ticket: Ticket) -> None:
    """What is certified for a radius is certified for smaller ones, and no attack within it changes a class."""
    images = load("digits").images[45:55]  # the ticket of an untrained network agrees with it on some of them
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


def test_a_tie_is_not_certified() -> None:
    """Two outputs are equal: no enclosure can tell which class is predicted in exact arithmetic."""
    model = nn.Linear(3, 2)
    with torch.no_grad():
        model.weight[1] = model.weight[0]
        model.bias[1] = model.bias[0]
    ticket = find_ticket(model, width=30, input_range=(0, 1))
    certificate = certified_agreement(ticket, torch.rand(5, 3))
    assert not certificate.certified.any()
    assert not certificate.disagree.any()
