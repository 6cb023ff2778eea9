"""The search: what it reports, what it refuses, and how it is watched and stopped."""

from __future__ import annotations

import dataclasses
import threading
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from slth.errors import InputError, MemoryEstimateError
from slth.networks import extract, models
from slth.progress import Silent
from slth.tickets import Ticket, find_ticket


def small_conv() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(2, 3, 3, padding=1))


def three_layers() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(2, 3, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(3, 2, 2), nn.Flatten(), nn.Linear(8, 3)
    )


def test_more_width_gives_a_smaller_error() -> None:
    """Median of five parents; the error falls about like 1/width, also where most candidates are never generated."""
    model = nn.Sequential(nn.Conv2d(1, 3, 3))
    errors = [
        np.median([find_ticket(model, width=width, seed=seed).layers[0].relative_rms for seed in range(5)])
        for width in (200, 1600, 12_800)
    ]
    assert errors[1] < errors[0] / 5
    assert errors[2] < errors[1] / 5


def test_reports_say_what_was_kept(digits_ticket: Ticket) -> None:
    for i, (report, blocks) in enumerate(zip(digits_ticket.layers, digits_ticket.kept, strict=True)):
        linear = digits_ticket.target.maps[i]
        signs = [digits_ticket.parent.mixing(i, c, block.rows) for c, block in enumerate(blocks)]
        assert all((np.diff(block.rows) > 0).all() for block in blocks)
        assert all((u > 0).all() for u in signs)  # every layer here sees non-negative inputs
        assert report.kept == report.channels == sum(len(block.rows) for block in blocks)
        sizes = [linear.dimension] * linear.channels[0] + [linear.channels[1]] * (linear.bias is not None)
        assert report.weights == sum(len(b.rows) * (1 + size) for b, size in zip(blocks, sizes, strict=True))
        assert report.random == 300 * sum(1 + size for size in sizes)
        assert report.usable == sum(len(digits_ticket.parent.sign_group(i, c, "+")) for c in linear.instances)
        assert 0 < report.density < 1
        assert (report.name, report.kind, report.dimension) == (linear.name, linear.kind, linear.dimension)
        assert report.width == 300


def test_the_uniform_law_gives_tickets_too() -> None:
    ticket = find_ticket(small_conv(), width=800, law="uniform")
    assert ticket.parent.law == "uniform"
    assert ticket.verify()
    assert ticket.layers[0].relative_rms < 0.1


def test_the_ticket_depends_on_its_seed_and_not_on_threads() -> None:
    model = models.mlp(sizes=(16, 8, 3))
    one, two, other = (find_ticket(model, width=200, seed=seed, threads=n) for seed, n in ((7, 1), (7, 2), (8, 1)))
    without_time = [dataclasses.replace(report, seconds=0.0) for report in one.layers]
    assert without_time == [dataclasses.replace(report, seconds=0.0) for report in two.layers]
    for blocks, same in zip(one.kept, two.kept, strict=True):
        for block, again in zip(blocks, same, strict=True):
            assert (block.rows == again.rows).all()
            assert (block.counts == again.counts).all()
    assert one.layers[0].error != other.layers[0].error


@pytest.mark.parametrize("method", ["exact", "pursuit", "relax"])
def test_a_method_can_be_chosen(method: str) -> None:
    ticket = find_ticket(nn.Sequential(nn.Linear(3, 2)), width=30, method=method)
    assert ticket.verify()
    assert ticket.info["method"] == method


def test_a_huge_width_is_refused_before_any_work(monkeypatch: pytest.MonkeyPatch) -> None:
    def work(*_: object, **__: object) -> None:
        raise AssertionError("work was started")

    monkeypatch.setattr("slth.tickets.search.search.solve_parts", work)
    monkeypatch.setattr("slth.networks.parent.random_rows", work)
    with pytest.raises(MemoryEstimateError, match=r"0: width 2147483648, D = 27.*\d+ GB of memory; 1 GB may be used"):
        find_ticket(small_conv(), width=2**31, max_memory=1e9)


@pytest.mark.parametrize("width", [0, -5, {"linear": 0}, 1.5, "wide"])
def test_a_width_that_makes_no_sense_is_refused(width: Any) -> None:
    with pytest.raises(InputError, match="width"):
        find_ticket(nn.Sequential(nn.Linear(2, 2)), width=width)


@pytest.mark.parametrize("options", [{"method": "magic"}, {"seed": -1}, {"seed": 2**64}, {"threads": 0}, {"law": "x"}])
def test_other_options_are_checked(options: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=next(iter(options))):
        find_ticket(nn.Sequential(nn.Linear(2, 2)), width=5, **options)


class Recorder(Silent):
    """A listener that writes down what it is told, and can press Ctrl-C."""

    def __init__(self, interrupt_at: int = -1) -> None:
        self.calls: list[tuple[str, str, int]] = []
        self.interrupt_at = interrupt_at

    def begin(self, task: str, total: int, done: int = 0) -> None:
        self.calls.append(("begin", task, total))

    def advance(self, task: str, steps: int = 1) -> None:
        self.calls.append(("advance", task, steps))
        if sum(call[0] == "advance" for call in self.calls) == self.interrupt_at:
            raise KeyboardInterrupt

    def end(self, task: str) -> None:
        self.calls.append(("end", task, 0))


def test_progress_counts_every_input_channel() -> None:
    recorder = Recorder()
    find_ticket(three_layers(), width=10, progress=recorder)
    layers = {"0 (D = 27)": 3, "3 (D = 8)": 4, "5 (D = 3)": 9}
    assert recorder.calls[:3] == [("begin", name, total) for name, total in layers.items()]
    assert recorder.calls[-3:] == [("end", name, 0) for name in layers]
    for name, total in layers.items():
        assert recorder.calls.count(("advance", name, 1)) == total


def test_progress_bars_are_silent_without_a_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    find_ticket(nn.Sequential(nn.Linear(2, 2)), width=10, progress=True)
    assert capfd.readouterr() == ("", "")


def test_ctrl_c_stops_the_search_and_leaves_no_threads() -> None:
    before = set(threading.enumerate())
    recorder = Recorder(interrupt_at=2)
    with pytest.raises(KeyboardInterrupt):
        find_ticket(models.mlp(sizes=(200, 20, 5)), width=300, progress=recorder, threads=2)
    assert set(threading.enumerate()) <= before
    assert [call[0] for call in recorder.calls[-3:]].count("end") == 2
    assert sum(call[0] == "advance" for call in recorder.calls) == 2


def test_a_target_that_was_extracted_before_is_taken_as_it_is(
    digits_target: nn.Sequential, digits_ticket: Ticket
) -> None:
    target = extract(digits_target, input_range=(0, 1))
    again = find_ticket(target, width=300, seed=1)
    assert again.target.hash() == digits_ticket.target.hash()
    assert [report.error for report in again.layers] == [report.error for report in digits_ticket.layers]


def test_an_extracted_target_brings_its_own_input_range() -> None:
    target = extract(nn.Sequential(nn.Linear(3, 2)))
    with pytest.raises(InputError, match=r"belong to extract\(\)"):
        find_ticket(target, width=50, input_range=(0, 1))


def test_a_wide_layer_is_as_near_as_its_width_allows() -> None:
    """A pursuit stops early when large candidates are thinned too much: the error was once a hundred times this."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 4, 3, bias=False))
    ticket = find_ticket(model, width=400_000, input_range=(0, 1))
    assert ticket.layers[0].relative_rms < 5e-4
    assert ticket.layers[0].kept < 2000
