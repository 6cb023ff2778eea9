"""Network certificates: what they describe, how they are proved again, what is refused, and the command."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from certified_cases import case
from torch import nn
from torch.nn import functional
from typer.testing import CliRunner

from slth.cli.arguments import parse_radii, parse_shape
from slth.cli.ticket import ticket_app
from slth.errors import InputError
from slth.tickets import Ticket, certified_agreement, certify_network, find_ticket
from slth.tickets.certify.recheck import recheck_network


def test_a_certificate_describes_itself_and_rechecks() -> None:
    _, ticket, shape = case("conv-pool", "positive")
    images = torch.rand(20, *shape)
    certificate = certify_network(ticket, images=images)
    assert certificate.observed is not None
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


@pytest.mark.parametrize(
    ("extra", "name"),
    [(nn.GELU(), "gelu"), (nn.Softmax(dim=1), "torch.softmax"), (nn.LayerNorm(4), "torch.layer_norm")],
)
def test_steps_without_a_transformer_are_named(extra: nn.Module, name: str) -> None:
    ticket = find_ticket(nn.Sequential(nn.Linear(3, 4), extra, nn.Linear(4, 2)), width=10)
    with pytest.raises(InputError, match=rf"no sound transformer for .*{name}.*Supported"):
        certify_network(ticket, low=0, high=1, shape=(3,))


class Attention(nn.Module):
    """A layer of attention between two linear layers, after a reshape by sizes, which needs no transformer."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.out = nn.Linear(2, 6), nn.Linear(2, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = self.qkv(x.reshape(x.shape[0], x.shape[1] // 2, 2)).chunk(3, dim=-1)
        out: torch.Tensor = self.out(torch.softmax(q @ k.transpose(1, 2), dim=-1) @ v)
        return out


def test_what_has_no_transformer_is_named_before_any_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """All such steps at once, and nothing that reads sizes only. No kept channel is regenerated for it."""
    ticket = find_ticket(Attention(), width=10, example_input=torch.zeros(2, 6))
    for module in ("network", "agreement"):
        monkeypatch.setattr(f"slth.tickets.certify.{module}.fold_record", None)
    words = r"no sound transformer for matmul \(torch.matmul\), softmax \(torch.softmax\), matmul_1 \(torch.matmul\)\."
    with pytest.raises(InputError, match=words):
        certify_network(ticket, low=0, high=1)
    with pytest.raises(InputError, match=words):
        certified_agreement(ticket, torch.rand(3, 6))


class Settings(nn.Module):
    """A linear layer, and an operation whose settings change what it computes."""

    def __init__(self, call: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.linear, self.call = nn.Linear(3, 4), call

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.call(self.linear(x))


@pytest.mark.parametrize(
    "call",
    [
        lambda x: torch.add(x, x, alpha=2),
        lambda x: torch.div(x, 2, rounding_mode="floor"),
        lambda x: x.sum(dim=1, keepdim=True, dtype=torch.int64),
        lambda x: functional.softplus(x, 2.0),
        lambda x: x * x,
        lambda x: torch.clamp(x, min=torch.tensor(0.1)),
        lambda x: functional.interpolate(x[:, None], scale_factor=2.0, mode="linear"),
        lambda x: functional.pad(x, (1, 1), value=-torch.inf),
        lambda x: 1 / x,
    ],
)
def test_settings_are_not_overlooked(call: Callable[[torch.Tensor], torch.Tensor]) -> None:
    ticket = find_ticket(Settings(call), width=10)
    with pytest.raises(InputError, match="no sound transformer"):
        certify_network(ticket, low=0, high=1, shape=(3,))


class TwoInputs(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(2, 2)

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.linear(x + y)
        return out


class Mixing(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(2, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.linear(x - x.mean(dim=0, keepdim=True))
        return out


def test_what_cannot_be_certified_is_refused() -> None:
    plain = find_ticket(nn.Linear(3, 2), width=10)
    with pytest.raises(InputError, match="finite range"):
        certify_network(plain, shape=(3,))
    without_shapes = dataclasses.replace(plain, info={})  # as a file of an older version
    with pytest.raises(InputError, match="shape of one input"):
        certify_network(without_shapes, low=0, high=1)
    with pytest.raises(InputError, match=r"must have the shape \(n, 3\); got \(1, 4\)"):
        certify_network(plain, low=0, high=1, shape=(4,))
    two = (torch.zeros(2, 2), torch.zeros(2, 2))
    with pytest.raises(InputError, match="one input and one output"):
        certify_network(find_ticket(TwoInputs(), width=10, example_input=two), low=0, high=1, shape=(2,))
    with pytest.raises(InputError, match="every example by itself"):
        certified_agreement(find_ticket(Mixing(), width=10), torch.rand(3, 2))
    for radius in (-1.0, float("nan")):
        with pytest.raises(InputError, match="radius"):
            certified_agreement(plain, torch.rand(3, 3), radius=radius, low=0, high=1)
    with pytest.raises(InputError, match=r"must lie in \[0, 0.5\]"):
        certified_agreement(plain, torch.rand(3, 3), radius=0.1, low=0, high=0.5)
    with pytest.raises(InputError, match="finite"):
        certified_agreement(plain, torch.full((1, 3), torch.nan))


def test_the_command(tmp_path: Path, digits_ticket: Ticket, monkeypatch: pytest.MonkeyPatch) -> None:
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
